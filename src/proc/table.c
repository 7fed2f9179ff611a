/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process table: slots, and the making and freeing of processes.
 *
 * Slots stand in one reserved range of memory and are never unmapped, so a stale address may always
 * be looked at. A slot's serial grows with each occupant, so an address never comes back. Free slots
 * are kept by the schedulers, 64 each, and beyond that in one list under a lock.
 *
 *     FREE --(cop__proc_new)--> 0 (runs or is queued) <--> PARKED
 *       ^                       |
 *       +---(cop__die: drained)-+
 *
 * Invariants
 *   1. slot->pid is set after everything else of the new occupant and cleared before its links and
 *      monitors are told of its end.
 *   2. A slot is given back only when its inbox is FREE.
 */
#include "proc/proc.h"

_Noreturn void cop__panic(const char *file, int line, const char *what) {
    fprintf(stderr, "coppice: %s:%d: the run-time is broken: %s\n", file, line, what);
    abort();
}

void cop__lock_slow(struct cop__lock *lock) {
    for (;;) {
        for (int i = 0; i < 100; i++) {
            if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == 0
                && __atomic_exchange_n(&lock->word, 1, __ATOMIC_ACQUIRE) == 0)
                return;
            cop__cpu_relax();
        }
        /* The holder may have lost its CPU: let it have this one. */
        sched_yield();
    }
}

/* Puts free slots into the list until it holds `want`; false if it is still empty. */
static bool slots_refill(uint32_t *slots, uint32_t *count, uint32_t want) {
    cop__lock(&cop__node.slot_lock);
    while (*count < want) {
        uint32_t index;
        if (cop__node.free_slots != 0) {
            index = cop__node.free_slots - 1;
            cop__node.free_slots = cop__node.slots[index].next_free;
        } else if (cop__node.slot_top < cop__node.max_slots) {
            index = cop__node.slot_top;
            cop__node.slots[index].index = index;
            cop__node.slots[index].inbox = INBOX_FREE;
            __atomic_store_n(&cop__node.slot_top, index + 1, __ATOMIC_RELEASE);
        } else {
            break;
        }
        slots[(*count)++] = index;
    }
    cop__unlock(&cop__node.slot_lock);
    return *count > 0;
}

static struct cop__slot *slot_take(struct cop__worker *w) {
    struct cop__sched *s = w != NULL ? w->sched : NULL;
    uint32_t one, none = 0;
    if (s == NULL)
        return slots_refill(&one, &none, 1) ? &cop__node.slots[one] : NULL;
    if (s->slot_count == 0 && !slots_refill(s->slots, &s->slot_count, 32))
        return NULL;
    return &cop__node.slots[s->slots[--s->slot_count]];
}

void cop__slot_give(struct cop__worker *w, struct cop__slot *slot) {
    struct cop__sched *s = w != NULL ? w->sched : NULL;
    if (s != NULL && s->slot_count < 64) {
        s->slots[s->slot_count++] = slot->index;
        return;
    }
    cop__lock(&cop__node.slot_lock);
    slot->next_free = cop__node.free_slots;
    cop__node.free_slots = slot->index + 1;
    /* Half of a full cache goes along, so that the next few give and take without the lock. */
    while (s != NULL && s->slot_count > 32) {
        struct cop__slot *other = &cop__node.slots[s->slots[--s->slot_count]];
        other->next_free = cop__node.free_slots;
        cop__node.free_slots = other->index + 1;
    }
    cop__unlock(&cop__node.slot_lock);
}

cop_ctx *cop__proc_new(cop_ctx *parent, struct cop__worker *w, enum cop__proc_kind kind) {
    struct cop__slot *slot = cop__node.sim && cop__sim_no_memory(parent) ? NULL : slot_take(w);
    if (slot == NULL)
        return NULL;
    _Static_assert(sizeof(cop_ctx) <= COP__SMALL_MAX, "a process is a small block");
    cop_ctx *p = cop__small_alloc(sizeof *p);
    memset(p, 0, sizeof *p);
    cop__heap_init(&p->heap);
    p->slot = slot;
    p->kind = (uint8_t)kind;
    p->queue_end = &p->queue;
    p->home = w != NULL && w->sched != NULL ? w->sched : cop__node.scheds[0];
    slot->serial++;
    p->pid = kind == KIND_PORT ? cop__port_make(slot->index, slot->serial & ((1ULL << 34) - 1))
                               : cop__pid_make(slot->index, slot->serial & ((1ULL << 36) - 1));
    p->idle_due = INT64_MAX;
    if (parent != NULL) {
        p->parent = parent->pid;
        p->leader = parent->leader;
    }
    slot->proc = p;
    __atomic_store_n(&slot->name, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->backlog, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->at, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->meter, 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(kind == KIND_PORT ? &cop__node.ports : &cop__node.processes, 1,
                       __ATOMIC_RELAXED);
    __atomic_store_n(&slot->inbox, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->pid, p->pid.w, __ATOMIC_SEQ_CST);
    if (cop__node.sim)
        cop__sim_saw(SIM_SPAWN, p->pid.w, p->parent.w, 0);
    return p;
}

struct cop__extra *cop__extra_of(cop_ctx *p) {
    if (p->extra == NULL)
        p->extra = cop__calloc(1, sizeof *p->extra);
    return p->extra;
}

void cop__proc_free(cop_ctx *p) {
    while (p->queue != NULL) {
        struct cop__env *env = p->queue;
        p->queue = env->next;
        if (env->id != 0 && env->kind == SIG_MESSAGE)
            cop__meter_release(env);
        cop__env_free(env);
    }
    cop__rel_clear(&p->rels);
    if (p->arg_env != NULL)
        cop__env_free(p->arg_env);
    if (p->extra != NULL && p->extra->exit_env != NULL)
        cop__env_free(p->extra->exit_env);
    if (p->extra != NULL && p->extra->unsent != NULL)
        cop__env_free(p->extra->unsent);
    cop__dictionary_drop(p);
    cop__free(p->extra);
    cop__free(p->state);
    if (p->alarm != NULL)
        cop__alarm_free(p);
    cop__heap_reset(&p->heap);
    if (p->has_nursery)
        cop__nursery_give(p->worker != NULL ? p->worker->sched : NULL, cop__heap_unlend(&p->heap));
    cop__small_free(p, sizeof *p);
}
