/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at processes: alive, info, list, and the dump for the moment when something hangs.
 *
 * Information about another process is a signal to it, answered between two of its steps by its own
 * runner; so it is exact, takes no lock, and comes after whatever the asker sent before.
 * The dump runs on any thread: it claims waiting processes one by one (PARKED -> 0), prints them and
 * parks them again; of running ones it prints the address only.
 */
#include <unistd.h>

#include "proc/proc.h"

static cop_term pids_of(cop_ctx *ctx, cop_ctx *p, enum cop__rel_kind kind) {
    cop_term list = COP_NIL;
    struct cop__rel *rel;
    for (uint32_t i = 0; (rel = cop__rel_at(&p->rels, &i)) != NULL;)
        if (rel->kind == kind)
            list = cop_cons(ctx, (cop_term){ kind == REL_LINK ? rel->key : rel->other }, list);
    return cop_list_reverse(ctx, list);
}

static cop_term monitors_of(cop_ctx *ctx, cop_ctx *p) {
    cop_term list = COP_NIL;
    struct cop__rel *rel;
    for (uint32_t i = 0; (rel = cop__rel_at(&p->rels, &i)) != NULL;) {
        if (rel->kind != REL_MONITOR)
            continue;
        cop_term object = { rel->other };
        cop_atom kind = cop__is_local_port(object) ? cop_a(port) : cop_a(process);
        if (rel->name != 0)
            object = cop_tuple(ctx, (cop_term){ rel->name }, cop_as("nonode@nohost"));
        list = cop_cons(ctx, cop_tuple(ctx, kind, object), list);
    }
    return cop_list_reverse(ctx, list);
}

static cop_term messages_of(cop_ctx *ctx, cop_ctx *p) {
    cop_term list = COP_NIL;
    for (struct cop__env *env = p->queue; env != NULL; env = env->next)
        list = cop_cons(ctx, env->term, list);
    return cop_list_reverse(ctx, list);
}

static size_t memory_of(cop_ctx *p) {
    size_t bytes = sizeof *p + sizeof(struct cop__slot) + p->state_size
                   + p->rels.cap * sizeof(struct cop__rel) + cop__heap_words(&p->heap) * 8;
    for (struct cop__env *env = p->queue; env != NULL; env = env->next)
        bytes += sizeof *env + env->frag.words * 8;
    if (p->extra != NULL)
        bytes += sizeof *p->extra + p->extra->owned_bytes;
    if (p->has_frames)
        bytes += cop__vm_page_size();
    return bytes;
}

static const char *entry_name(const cop_ctx *p) {
    if (p->name_hint != NULL)
        return p->name_hint;
    if (p->life == LIFE_CALLBACK)
        return p->kind == KIND_PORT ? p->does.port->name : p->does.callbacks->name;
    return NULL;
}

static cop_term function_of(cop_ctx *ctx, cop_ctx *p, bool current) {
    if (current && (p->life == LIFE_HIBERNATED || (p->life == LIFE_CALLBACK && p->hibernate_asked)))
        return cop_tuple(ctx, cop_a(erlang), cop_a(hibernate), 3);
    const char *name = entry_name(p);
    return cop_tuple(ctx, cop_a(c), cop_atom_new(name != NULL ? name : "entry"), 2);
}

static cop_atom status_of(const cop_ctx *p) {
    if (p->exiting)
        return cop_a(exiting);
    return p->where == WHERE_WAITING   ? cop_a(waiting)
           : p->where == WHERE_RUNNING ? cop_a(running)
                                       : cop_a(runnable);
}

static const char *const item_names[] = {
    "registered_name",   "links",        "monitors",   "monitored_by",
    "message_queue_len", "messages",     "dictionary", "trap_exit",
    "priority",          "group_leader", "status",     "memory",
    "total_heap_size",   "heap_size",    "stack_size", "reductions",
    "current_function",  "initial_call", "parent",
};

bool cop__info_known(cop_atom item) {
    const char *name = cop_atom_name(item, NULL);
    for (size_t i = 0; i < sizeof item_names / sizeof *item_names; i++)
        if (strcmp(name, item_names[i]) == 0)
            return true;
    return false;
}

static cop_atom priority_of(const cop_ctx *p) {
    switch ((cop_priority)p->priority) {
    case COP_PRIORITY_LOW:
        return cop_a(low);
    case COP_PRIORITY_HIGH:
        return cop_a(high);
    case COP_PRIORITY_MAX:
        return cop_a(max);
    case COP_PRIORITY_NORMAL:
        break;
    }
    return cop_a(normal);
}

cop_term cop__info_item(cop_ctx *ctx, cop_ctx *p, cop_atom item) {
    const char *name = cop_atom_name(item, NULL);
    if (strcmp(name, "registered_name") == 0)
        return p->slot->name == 0 ? COP_NIL : (cop_term){ p->slot->name };
    if (strcmp(name, "links") == 0)
        return pids_of(ctx, p, REL_LINK);
    if (strcmp(name, "monitors") == 0)
        return monitors_of(ctx, p);
    if (strcmp(name, "monitored_by") == 0)
        return pids_of(ctx, p, REL_WATCHER);
    if (strcmp(name, "message_queue_len") == 0)
        return cop_of(ctx, p->queue_len);
    if (strcmp(name, "messages") == 0)
        return messages_of(ctx, p);
    if (strcmp(name, "dictionary") == 0)
        return cop_is_none(p->dictionary) ? COP_NIL : cop_map_to_list(ctx, p->dictionary);
    if (strcmp(name, "trap_exit") == 0)
        return cop_bool(p->trap_exit).t;
    if (strcmp(name, "priority") == 0)
        return priority_of(p).t;
    if (strcmp(name, "group_leader") == 0)
        return p->leader;
    if (strcmp(name, "status")
        == 0) /* it answers, so it runs; but it did wait, unless it is oneself */
        return p == ctx ? cop_a(running).t : p->exiting ? status_of(p).t : cop_a(waiting).t;
    if (strcmp(name, "memory") == 0)
        return cop_of(ctx, memory_of(p));
    if (strcmp(name, "total_heap_size") == 0 || strcmp(name, "heap_size") == 0)
        return cop_of(ctx, cop__heap_words(&p->heap));
    if (strcmp(name, "stack_size") == 0)
        return cop_of(ctx, p->has_frames ? cop__vm_page_size() / 8 : 0);
    if (strcmp(name, "reductions") == 0)
        return cop_of(ctx, p->reductions);
    if (strcmp(name, "current_function") == 0)
        return function_of(ctx, p, true);
    if (strcmp(name, "initial_call") == 0)
        return function_of(ctx, p, false);
    return cop_is_none(p->parent) ? cop_a(undefined).t : p->parent;
}

static bool is_quiet(struct cop__slot *slot) {
    uintptr_t inbox = __atomic_load_n(&slot->inbox, __ATOMIC_ACQUIRE);
    return inbox == INBOX_PARKED || inbox == INBOX_FREE;
}

/* Asks the process itself; COP_NONE when it is gone. */
static cop_term ask(cop_ctx *ctx, cop_term pid, cop_atom item) {
    cop_ref ref = cop__ref_next(ctx);
    struct cop__env *env = cop__env_raw(SIG_INFO, pid, ctx->pid, 2);
    env->frag.body[0] = ref.t.w;
    env->frag.body[1] = item.t.w;
    env->term = (cop_term){ (uint64_t)(uintptr_t)env->frag.body | 1 };
    cop__deliver(ctx->worker, env);
    cop__leave(ctx);
    cop_term reply;
    cop_receive_ref(ctx, COP_INFINITY, ref, &reply);
    cop__enter(ctx);
    cop_term value = cop_elem(reply, 1);
    return cop_is_tuple(value) ? cop_elem(value, 0) : COP_NONE;
}

bool cop_process_is_alive(cop_ctx *ctx, cop_pid pid) {
    if (!cop__is_local_pid(pid.t))
        cop__badarg(ctx);
    if (pid.t.w == ctx->pid.w)
        return true;
    cop__enter(ctx);
    struct cop__slot *slot = cop__slot_of(pid.t);
    bool alive = slot != NULL && __atomic_load_n(&slot->pid, __ATOMIC_ACQUIRE) == pid.t.w;
    /* Signals may be on their way to it, ours among them: then only it can say. */
    if (alive && !is_quiet(slot))
        alive = !cop_is_none(ask(ctx, pid.t, cop_a(priority)));
    cop__leave(ctx);
    return alive;
}

cop_term cop_process_info(cop_ctx *ctx, cop_pid pid, cop_atom item) {
    if (!cop__info_known(item) || !cop__is_local_pid(pid.t))
        cop__badarg(ctx);
    cop__enter(ctx);
    cop_term value;
    if (pid.t.w == ctx->pid.w) {
        cop__take_in(ctx);
        cop__check_exit(ctx);
        value = cop__info_item(ctx, ctx, item);
    } else {
        value = ask(ctx, pid.t, item);
    }
    cop__leave(ctx);
    return value;
}

cop_term cop_process_list(cop_ctx *ctx) {
    cop_term list = COP_NIL;
    for (uint32_t i = __atomic_load_n(&cop__node.slot_top, __ATOMIC_ACQUIRE); i > 0; i--) {
        cop_term pid = { __atomic_load_n(&cop__node.slots[i - 1].pid, __ATOMIC_ACQUIRE) };
        if (cop__is_local_pid(pid))
            list = cop_cons(ctx, pid, list);
    }
    return list;
}

size_t cop_node_process_count(void) {
    return __atomic_load_n(&cop__node.live, __ATOMIC_RELAXED)
           - __atomic_load_n(&cop__node.ports, __ATOMIC_RELAXED);
}

/* ---- the dump ----------------------------------------------------------------------------------------- */

static void put(int fd, const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

static void put_term(int fd, const char *label, cop_term t) {
    char text[600];
    cop_inspect_opts opts = { .limit = 20, .printable_limit = 200 };
    size_t at = (size_t)snprintf(text, sizeof text, "%s", label);
    at += cop_inspect_to(text + at, sizeof text - at - 1, t, &opts);
    if (at > sizeof text - 2)
        at = sizeof text - 2;
    text[at++] = '\n';
    put(fd, text, at);
}

static void dump_claimed(int fd, cop_ctx *p) {
    char text[200];
    const char *name = entry_name(p);
    int n =
        snprintf(text, sizeof text, "  %s%s, waiting, %u messages, %llu reductions%s\n",
                 p->kind == KIND_PORT ? "port " : "", name != NULL ? name : "process", p->queue_len,
                 (unsigned long long)p->reductions, p->trap_exit ? ", traps exits" : "");
    put(fd, text, (size_t)n);
    struct cop__rel *rel;
    for (uint32_t i = 0; (rel = cop__rel_at(&p->rels, &i)) != NULL;)
        if (rel->kind == REL_LINK)
            put_term(fd, "    link ", (cop_term){ rel->key });
    int shown = 0;
    for (struct cop__env *env = p->queue; env != NULL && shown < 20; env = env->next, shown++)
        put_term(fd, "    message ", env->term);
}

void cop_node_dump(int fd) {
    if (!__atomic_load_n(&cop__node.running, __ATOMIC_ACQUIRE))
        return;
    uint32_t top = __atomic_load_n(&cop__node.slot_top, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < top; i++) {
        struct cop__slot *slot = &cop__node.slots[i];
        cop_term pid = { __atomic_load_n(&slot->pid, __ATOMIC_ACQUIRE) };
        if (pid.w == 0)
            continue;
        put_term(fd, "", pid);
        uint64_t name = __atomic_load_n(&slot->name, __ATOMIC_ACQUIRE);
        if (name != 0)
            put_term(fd, "  registered as ", (cop_term){ name });
        uintptr_t parked = INBOX_PARKED;
        if (!__atomic_compare_exchange_n(&slot->inbox, &parked, 0, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED)) {
            put(fd, "  runs or is about to\n", 22);
            continue;
        }
        dump_claimed(fd, slot->proc);
        uintptr_t empty = 0;
        if (!__atomic_compare_exchange_n(&slot->inbox, &empty, INBOX_PARKED, false,
                                         __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            cop__schedule(NULL, slot->proc); /* something came meanwhile */
    }
}
