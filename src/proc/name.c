/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registered names: one word per atom, found by the atom's index without a lock.
 *
 * Changes are made under a lock. A dying process clears its slot's pid first and looks for a name
 * after; who registers writes the name first and looks at the pid after (both sequentially
 * consistent), so one of the two sees the other and no name outlives its process.
 */
#include "proc/proc.h"

enum { MAX_ATOMS = 1 << 20 };

static uint64_t *names; /* by atom index: the word of a pid or port, or 0 */
static struct cop__lock lock;

void cop__names_init(void) {
    names = cop__vm_reserve(MAX_ATOMS * sizeof *names);
    if (names == NULL)
        cop__panic(__FILE__, __LINE__, "no memory for names");
}

void cop__names_free(void) {
    cop__vm_release(names, MAX_ATOMS * sizeof *names);
    names = NULL;
}

static uint64_t *entry(uint64_t atom_word) {
    uint64_t index = atom_word >> 4;
    COP_ASSERT(index < MAX_ATOMS);
    return &names[index];
}

cop_term cop__name_lookup(cop_term atom) {
    return (cop_term){ __atomic_load_n(entry(atom.w), __ATOMIC_ACQUIRE) };
}

void cop__name_forget(struct cop__slot *slot) {
    cop__lock(&lock);
    if (slot->name != 0) {
        __atomic_store_n(entry(slot->name), 0, __ATOMIC_RELEASE);
        __atomic_store_n(&slot->name, 0, __ATOMIC_RELEASE);
    }
    cop__unlock(&lock);
}

static bool name_is_allowed(cop_atom name) {
    return cop_is_atom(name.t) && name.t.w != cop_a(nil).t.w && name.t.w != cop_a(true).t.w
           && name.t.w != cop_a(false).t.w && name.t.w != cop_a(undefined).t.w;
}

bool cop__process_try_register(cop_ctx *ctx, cop_term who, cop_atom name) {
    cop__enter(ctx);
    bool done = false;
    struct cop__slot *slot =
        cop__is_local_pid(who) || cop__is_local_port(who) ? cop__slot_of(who) : NULL;
    if (slot != NULL && name_is_allowed(name)) {
        cop__lock(&lock);
        uint64_t *at = entry(name.t.w);
        if (*at == 0 && slot->name == 0 && __atomic_load_n(&slot->pid, __ATOMIC_ACQUIRE) == who.w) {
            __atomic_store_n(&slot->name, name.t.w, __ATOMIC_SEQ_CST);
            __atomic_store_n(at, who.w, __ATOMIC_RELEASE);
            done = __atomic_load_n(&slot->pid, __ATOMIC_SEQ_CST) == who.w;
            if (!done) { /* it died just now and may not have seen the name */
                __atomic_store_n(at, 0, __ATOMIC_RELEASE);
                __atomic_store_n(&slot->name, 0, __ATOMIC_RELEASE);
            }
        }
        cop__unlock(&lock);
    }
    cop__leave(ctx);
    return done;
}

static void inspect_into(char *out, size_t size, cop_term t) { cop_inspect_to(out, size, t, NULL); }

void cop__process_register(cop_ctx *ctx, cop_term who, cop_atom name) {
    if (cop__process_try_register(ctx, who, name))
        return;
    char whom[128], as[300];
    inspect_into(whom, sizeof whom, who);
    inspect_into(as, sizeof as, name.t);
    if (cop_is_pid(who) && !cop__is_local_pid(who))
        cop_raise(ctx, "ArgumentError", "could not register %s because it belongs to another node",
                  whom);
    cop_raise(ctx, "ArgumentError",
              "could not register %s with name %s because it is not alive, the name is already "
              "taken, or it has already been given another name",
              whom, as);
}

void cop_process_unregister(cop_ctx *ctx, cop_atom name) {
    if (!cop_is_atom(name.t))
        cop__badarg(ctx);
    cop__enter(ctx);
    cop__lock(&lock);
    uint64_t *at = entry(name.t.w);
    bool found = *at != 0;
    if (found) {
        struct cop__slot *slot = cop__slot_of((cop_term){ *at });
        __atomic_store_n(at, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&slot->name, 0, __ATOMIC_RELEASE);
    }
    cop__unlock(&lock);
    if (!found)
        cop__badarg(ctx);
    cop__leave(ctx);
}

cop_term cop_process_whereis(cop_ctx *ctx, cop_atom name) {
    if (!cop_is_atom(name.t))
        cop__badarg(ctx);
    return cop__name_lookup(name.t);
}

cop_term cop_process_registered(cop_ctx *ctx) {
    cop_term list = COP_NIL;
    uint32_t top = __atomic_load_n(&cop__node.slot_top, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < top; i++) {
        uint64_t name = __atomic_load_n(&cop__node.slots[i].name, __ATOMIC_ACQUIRE);
        if (name != 0)
            list = cop_cons(ctx, (cop_term){ name }, list);
    }
    return list;
}
