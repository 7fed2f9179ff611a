/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running processes on borrowed stacks.
 *
 * A worker's loop runs on the same kind of stack that processes run on. A process without frames is
 * run by calling its step from the loop: no context switch. When it must wait in the middle of a
 * step it keeps that stack, and the worker goes on with a fresh one (or straight on the stack of the
 * next process, if that has one). When it is resumed, the worker jumps to its stack and gives back
 * the one it stood on; when the step returns at last, it returns into the loop frame at the base of
 * its own stack, which goes on as the loop of whichever worker is there now.
 *
 *     |base: cop__loop -> cop__turn -> entry -> ... -> cop_receive -> cop__wait|
 *
 * Rules
 *   1. "Parked" is published, and a left stack recycled, only by the code that runs on the next stack
 *      (after_switch): before that the context is not saved.
 *   2. After anything that may wait, the worker is fetched anew: p->worker, or cop__worker_self().
 *   3. The loop keeps nothing in its frame that another worker's loop would need.
 *   4. A step runs with in_runtime == 0; everything here runs with 1.
 * An exit, a fault or a change of life jumps to the loop frame (cop__back), which does what is left.
 */
#include "proc/proc.h"

static __thread struct cop__worker *tls_worker;

__attribute__((noinline)) struct cop__worker *cop__worker_self(void) {
    /* Not inlined: a process may wake on another thread, and the compiler must not keep the address
       of thread-local data over a wait. */
    __asm__ volatile("");
    return tls_worker;
}

void cop__worker_set_self(struct cop__worker *w) { tls_worker = w; }

_Noreturn void cop__back(cop_ctx *p, int how) {
    cop__set_in_runtime(p->worker, 1);
    p->tries = NULL;
    cop__heap_drop_holds(&p->heap);
    const uint64_t *jump = p->kind == KIND_PROCESS ? p->stack->base_jump : p->worker->thread_jump;
    if (p->kind == KIND_PROCESS)
        cop__fiber_abandon_frames(p->stack->low, cop__jump_sp(jump));
    cop__jump_to(jump, how);
}

/* ---- memory between callbacks --------------------------------------------------------------------- */

static size_t roots_of(cop_ctx *p, struct cop__roots *roots) {
    size_t n = 0;
    if (p->keep.count != 0)
        roots[n++] = p->keep;
    if (p->extra != NULL && p->extra->keep.count != 0)
        roots[n++] = p->extra->keep;
    if (!cop_is_none(p->dictionary))
        roots[n++] = (struct cop__roots){ &p->dictionary, 1 };
    if (!cop_is_none(p->arg))
        roots[n++] = (struct cop__roots){ &p->arg, 1 };
    return n;
}

/* An immediate only if all are, or not set (0), as in most states. That is less than a branch for each. */
static inline cop_term all_of(cop_term all, const cop_term *first, size_t count) {
    for (size_t i = 0; i < count; i++)
        all.w &= first[i].w | -(uint64_t)(first[i].w == 0);
    return all;
}

static inline bool roots_are_words(const cop_ctx *p) {
    cop_term all = all_of(all_of(COP_NIL, &p->dictionary, 1), &p->arg, 1);
    all = all_of(all, p->keep.first, p->keep.count);
    if (__builtin_expect(p->extra != NULL, 0))
        all = all_of(all, p->extra->keep.first, p->extra->keep.count);
    return cop_is_immediate(all);
}

static bool are_old(const cop_ctx *p, const cop_term *first, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!cop_is_immediate(first[i]) && !cop_is_none(first[i])
            && !cop__heap_holds_as_old(&p->heap, first[i]))
            return false;
    return true;
}

static bool roots_are_old(const cop_ctx *p) {
    return are_old(p, &p->dictionary, 1) && are_old(p, &p->arg, 1)
           && are_old(p, p->keep.first, p->keep.count)
           && (__builtin_expect(p->extra == NULL, 1)
               || are_old(p, p->extra->keep.first, p->extra->keep.count));
}

static __attribute__((noinline)) void tidy_around_roots(cop_ctx *p, bool full) {
    full = full || cop__heap_wants_full(&p->heap);
    if (!full && roots_are_old(p)) {
        cop__heap_drop_young(&p->heap);
        return;
    }
    struct cop__roots roots[4];
    size_t n = roots_of(p, roots);
    cop__heap_collect(&p->heap, roots, n, full);
}

static __attribute__((noinline)) void tidy(cop_ctx *p, bool full) {
    if (roots_are_words(p))
        cop__heap_reset(&p->heap);
    else
        tidy_around_roots(p, full);
}

void cop__tidy(cop_ctx *p, bool full) {
    if (full || !cop__heap_young_is_empty(&p->heap))
        tidy(p, full);
}

/* ---- the end -------------------------------------------------------------------------------------- */

void cop__die(cop_ctx *p, cop_term reason) {
    p->exiting = true;
    p->life = LIFE_EXITING;
    cop__alarm_clear(p);
    cop__owned_release(p);
    if (!p->zombie)
        cop__die_in_public(p, reason);
    struct cop__worker *w = cop__worker_self();
    if (w != NULL && w->current == p)
        __atomic_store_n(&w->current, NULL, __ATOMIC_RELAXED);
    p->worker = w;
    cop__proc_free(p);
}

static void finish(cop_ctx *p, int how) {
    cop_term reason = cop_a(normal).t;
    if (how == BACK_FAULT) {
        reason = cop__fault_reason(p, p->worker);
        cop__report_error(p, reason);
    } else if (how == BACK_ZOMBIE) {
        reason = cop_a(killed).t;
    } else if (p->pending_exit) {
        reason = p->extra->exit_term;
    }
    cop__die(p, reason);
}

/* ---- one turn --------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void sim_turn_begin(cop_ctx *p) {
    p->budget = cop__sim_budget();
    cop__sim_saw(SIM_PICK, p->pid.w, (uint64_t)p->budget, 0);
}

static inline void turn_begin(struct cop__worker *w, cop_ctx *p) {
    p->worker = w;
    if (w->sched != NULL)
        p->home = w->sched;
    p->where = WHERE_RUNNING;
    p->budget = COP__BUDGET;
    if (__builtin_expect(cop__node.sim, 0))
        sim_turn_begin(p);
    __atomic_store_n(&w->current, p, __ATOMIC_RELEASE);
    __atomic_store_n(&w->steps, w->steps + 1, __ATOMIC_RELAXED);
}

/* The worker's thread is about to stand on that stack. */
static inline void goes_onto(struct cop__worker *w, struct cop__stack *stack) {
    w->stack = stack;
    w->stack_limit = (uintptr_t)stack->low + COP__STACK_RESERVE;
}

/* Runs an entry function on this stack until it returns or jumps away. */
static void run_entry(cop_ctx *p) {
    p->stack = p->worker->stack;
    p->idle = false;
    p->life = LIFE_RAW;
    cop__heap_lend(&p->heap, p->stack->nursery, COP__SMALL_NURSERY);
    cop__leave(p);
    p->does.entry(p, p->arg);
    cop__enter(p);
    cop__check_exit(p);
    cop__die(p, cop_a(normal).t);
}

/* True if parked (then p must not be touched any more). */
static inline bool park(cop_ctx *p) {
    p->where = WHERE_WAITING;
    p->idle = true;
    __atomic_store_n(&p->slot->backlog, p->queue_len, __ATOMIC_RELAXED);
    uintptr_t empty = 0;
    return __atomic_compare_exchange_n(&p->slot->inbox, &empty, INBOX_PARKED, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static inline void nursery_lend(struct cop__worker *w, cop_ctx *p) {
    cop__heap_lend(&p->heap, cop__nursery_take(w->sched), COP__BIG_NURSERY);
    p->has_nursery = true;
}

static inline void nursery_return(cop_ctx *p) {
    uint64_t *nursery = cop__heap_unlend(&p->heap);
    cop__nursery_give(p->worker->sched, nursery);
    p->has_nursery = false;
}

/* Calls one callback. It may wait: afterwards the worker may be another one. */
static inline void call_message(cop_ctx *p, struct cop__env *env) {
    if (__builtin_expect(p->idle_due != INT64_MAX, 0)) {
        p->idle_due = INT64_MAX;
        cop__alarm_clear(p);
        p->wait_seq++;
    }
    cop_term message = cop__adopt(p, env);
    p->hibernate_asked = false;
    p->idle = false;
    p->reductions++;
    void (*call)(cop_ctx *, void *, cop_term) =
        p->kind == KIND_PORT ? p->does.port->message : p->does.callbacks->message;
    cop__leave(p);
    call(p, p->state, message);
    cop__enter(p);
}

static void call_timeout(cop_ctx *p) {
    p->idle_due = INT64_MAX;
    p->woken = p->idle = false;
    if (p->does.callbacks->timeout == NULL)
        return;
    cop__leave(p);
    p->does.callbacks->timeout(p, p->state);
    cop__enter(p);
}

static __attribute__((noinline)) void arm_idle(cop_ctx *p) {
    if (cop__alarm_is_set(p))
        return;
    p->woken = false;
    cop__alarm_set(p, p->idle_due);
}

/* Nothing is queued: parks, unless a timeout is due or something came. True if parked. */
static bool settle(cop_ctx *p) {
    if (__builtin_expect(p->idle_due != INT64_MAX, 0) && !p->suspended
        && p->idle_due <= cop__now_ms()) {
        cop__alarm_clear(p);
        call_timeout(p);
        cop__tidy(p, false);
        return false;
    }
    cop__tidy(p, p->hibernate_asked || p->collect_asked);
    p->collect_asked = false;
    nursery_return(p);
    /* The start's monitor is gone; a process that never had another relation needs no table. */
    if (p->rels.count == 0 && p->rels.cap != 0 && p->reductions < 64)
        cop__rel_clear(&p->rels);
    if (__builtin_expect(p->idle_due != INT64_MAX, 0) && !p->suspended)
        arm_idle(p);
    struct cop__worker *w = p->worker;
    __atomic_store_n(&w->current, NULL, __ATOMIC_RELAXED);
    if (park(p))
        return true;
    __atomic_store_n(&w->current, p, __ATOMIC_RELAXED);
    p->where = WHERE_RUNNING;
    nursery_lend(w, p);
    return false;
}

enum { LOOK_EVERY = 32 };

/* Is it time to look what else has come, before the nth message of a turn? Not for each: senders on other cores
   would lose the slot's line each time. But an exit must not wait behind 32 slow callbacks, so also when
   the kernel's clock has ticked; and for each under simulation, whose orders are to be many. */
static inline bool looks(const cop_ctx *p, int n, int64_t *ticked) {
    if (p->queue == NULL || p->suspended || n % LOOK_EVERY == 0
        || __builtin_expect(cop__node.sim, 0))
        return true;
    int64_t now = cop__clock_coarse_ns(), before = *ticked;
    *ticked = now;
    return now != before;
}

/* A callback process's turn: messages until there is none, or its budget is spent. */
static void turn_callbacks(cop_ctx *p) {
    nursery_lend(p->worker, p);
    int64_t ticked = 0;
    for (int n = 0;;) {
        if (looks(p, n, &ticked))
            cop__take_in(p);
        if (p->pending_exit) {
            finish(p, BACK_EXIT);
            return;
        }
        struct cop__env *env = p->suspended ? NULL : p->queue;
        if (env == NULL) {
            if (p->kind == KIND_PROCESS ? settle(p)
                                        : (cop__tidy(p, false), nursery_return(p), park(p)))
                return;
            if (p->kind == KIND_PORT)
                nursery_lend(p->worker, p);
            continue;
        }
        cop__queue_remove(p, &p->queue);
        __builtin_prefetch(p->queue);
        call_message(p, env);
        cop__check_heap(p);
        cop__tidy(p, false);
        if (++n >= COP__MESSAGES || p->budget < 0) {
            struct cop__worker *w = p->worker;
            nursery_return(p);
            __atomic_store_n(&p->slot->backlog, p->queue_len, __ATOMIC_RELAXED);
            p->where = WHERE_RUNNABLE;
            __atomic_store_n(&w->current, NULL, __ATOMIC_RELAXED);
            if (p->kind == KIND_PORT)
                cop__bound_push(p->bound, p);
            else if (w->sched != NULL)
                cop__sched_push(w->sched, p, false);
            else
                cop__schedule(w, p);
            return;
        }
    }
}

/* Not yet, or not now: waits without frames. */
static void park_again(cop_ctx *p) {
    struct cop__worker *w = p->worker;
    __atomic_store_n(&w->current, NULL, __ATOMIC_RELAXED);
    if (!park(p))
        cop__turn(w, p);
}

/* Is there what it waits for? A message that was refused is not looked at again: only the owner takes from
   the queue, and new ones come at its end. */
static bool is_awaited(cop_ctx *p) {
    struct cop__extra *x = p->extra;
    if (x == NULL || x->wanted == NULL)
        return p->queue != NULL;
    for (; *x->wanted_at != NULL; x->wanted_at = &(*x->wanted_at)->next) {
        cop__leave(p);
        bool yes = x->wanted((*x->wanted_at)->term, x->wanted_arg);
        cop__enter(p);
        if (yes) {
            x->wanted = NULL;
            return true;
        }
    }
    return false;
}

static void turn_hibernated(cop_ctx *p) {
    cop__take_in(p);
    if (p->pending_exit) {
        finish(p, BACK_EXIT);
        return;
    }
    if (p->suspended || !is_awaited(p)) {
        park_again(p);
        return;
    }
    run_entry(p);
}

void cop__turn(struct cop__worker *w, cop_ctx *p) {
    turn_begin(w, p);
    p->stack = w->stack;
    switch ((enum cop__life)p->life) {
    case LIFE_START:
        p->idle = false;
        cop__take_in(p);
        if (p->pending_exit) {
            finish(p, BACK_EXIT);
            return;
        }
        if (p->suspended) {
            park_again(p);
            return;
        }
        if (p->extra != NULL && p->extra->stack_size > w->stack->size && w->stack->slab != NULL) {
            /* It asked for a larger stack: go on with a loop on one, which finds it again. */
            w->preselected = p;
            w->duty = DUTY_RECYCLE;
            w->duty_stack = w->stack;
            struct cop__stack *large = cop__stack_take(w->sched, p->extra->stack_size);
            struct cop__stack *left = w->stack;
            goes_onto(w, large);
            cop__fiber_before_switch(&left->fiber, &large->fiber);
            cop__context_switch(&left->context, &large->context, w);
            COP_UNREACHABLE("a recycled stack came back");
        }
        run_entry(p);
        return;
    case LIFE_HIBERNATED:
        turn_hibernated(p);
        return;
    case LIFE_CALLBACK:
        turn_callbacks(p);
        return;
    case LIFE_RAW:
    case LIFE_EXITING:
        break;
    }
    COP_UNREACHABLE("a process without frames must have a step");
}

/* ---- the loop ------------------------------------------------------------------------------------- */

/* A step came back by a jump: the process exits, or changes its life. */
static void came_back(int how) {
    struct cop__worker *w = cop__worker_self();
    cop_ctx *p = w->current;
    COP_ASSERT(p != NULL && p->worker == w);
    if (__atomic_load_n(&w->attention, __ATOMIC_RELAXED) != 0 && !cop__node.sim)
        cop__attention(p);
    if (how == BACK_RAISED || (how == BACK_FAULT && cop__wants_raised(p))) {
        cop_term reason = cop__call_raised(p, how == BACK_FAULT);
        cop__die(p, reason);
        return;
    }
    if (how != BACK_BECOME) {
        finish(p, how);
        return;
    }
    p->tries = NULL;
    cop__tidy(p, true); /* its start leaves nothing but what it keeps */
    if (p->has_nursery)
        nursery_return(p);
    else
        cop__heap_unlend(&p->heap);
    cop__turn(w, p);
}

static inline void take_frames(cop_ctx *p) {
    if (__builtin_expect(p->is_packed, 0))
        cop__unpack(p);
    p->has_frames = false;
}

static __attribute__((noinline)) void do_duty(struct cop__worker *w, enum cop__duty duty) {
    cop_ctx *p = w->duty_proc;
    switch (duty) {
    case DUTY_NONE:
    case DUTY_PARK:
        break;
    case DUTY_REQUEUE:
        p->where = WHERE_RUNNABLE;
        if (w->sched == NULL)
            cop__schedule(w, p);
        else if (w->duty_flooded != NULL)
            cop__sched_push_flooder(w->sched, p, w->duty_flooded);
        else
            cop__sched_push(w->sched, p, false);
        break;
    case DUTY_RECYCLE:
        cop__stack_give(w->sched, w->duty_stack);
        break;
    }
}

/* The first thing on the other side of a switch, which hands over the worker that made it. */
static inline void after_switch(struct cop__worker *w) {
    cop__fiber_after_switch(&w->stack->fiber);
    enum cop__duty duty = w->duty;
    w->duty = DUTY_NONE;
    if (__builtin_expect(duty != DUTY_PARK, 0)) {
        do_duty(w, duty);
        return;
    }
    cop_ctx *p = w->duty_proc;
    if (!park(p))
        cop__schedule(w, p);
}

/* From the loop to a process that has frames. The loop's stack is given up, as it is: who takes it next may
   let the loop go on, which is less work than to begin one. */
static void resume(struct cop__worker *w, cop_ctx *p) {
    struct cop__stack *left = w->stack;
    w->duty = DUTY_RECYCLE;
    w->duty_stack = left;
    left->holds_loop = true;
    turn_begin(w, p);
    take_frames(p);
    goes_onto(w, p->stack);
    cop__fiber_before_switch(&left->fiber, &p->stack->fiber);
    after_switch(cop__context_switch(&left->context, &p->stack->context, w));
}

static __attribute__((noinline)) bool loop_once(void) {
    struct cop__worker *w = cop__worker_self();
    if (w->sched == NULL) {
        cop__worker_park_without_sched(w);
        return w->sched != NULL || w->preselected != NULL;
    }
    cop_ctx *p = cop__sched_pick(w);
    if (p == NULL) {
        __atomic_store_n(&w->steps, w->steps + 1, __ATOMIC_RELAXED);
        /* Not when the node begins to stop: the monitor may still start one that tells of a stall. */
        if (__atomic_load_n(&cop__node.ended, __ATOMIC_ACQUIRE)
            && __atomic_load_n(&cop__node.processes, __ATOMIC_ACQUIRE) == 0)
            return false;
        cop__worker_idle(w);
        return true;
    }
    if (p->has_frames)
        resume(w, p); /* and back on another worker, perhaps */
    else
        cop__turn(w, p);
    return true;
}

void cop__loop(void *worker) {
    after_switch(worker);
    {
        struct cop__worker *w = cop__worker_self();
        int how = cop__jump_save(w->stack->base_jump);
        if (how != 0)
            came_back(how);
    }
    while (loop_once())
        ;
    /* The node stops, or this thread is not needed: back to its own stack. */
    struct cop__worker *w = cop__worker_self();
    struct cop__stack *left = w->stack;
    w->duty = DUTY_RECYCLE;
    w->duty_stack = left;
    cop__fiber_before_switch(&left->fiber, &w->thread_fiber);
    cop__context_switch(&left->context, &w->thread_context, NULL);
    COP_UNREACHABLE("a recycled stack came back");
}

/* ---- waiting in the middle of a step ----------------------------------------------------------------- */

static void host_wait(cop_ctx *p) {
    struct cop__worker *w = p->worker;
    __atomic_store_n(&w->wake, 0, __ATOMIC_RELAXED);
    if (park(p)) {
        while (__atomic_load_n(&w->wake, __ATOMIC_ACQUIRE) == 0)
            cop__futex_wait(&w->wake, 0, -1);
    }
    p->where = WHERE_RUNNING;
}

/* Leaves the stack with its frames, to `next` or, if that is NULL, to the loop; returns when somebody has
   resumed the process. */
static inline __attribute__((always_inline)) void switch_away(cop_ctx *p, enum cop__duty duty,
                                                              cop_ctx *next) {
    struct cop__worker *w = p->worker;
    struct cop__stack *mine = p->stack;
    p->has_frames = true;
    w->duty = duty;
    w->duty_proc = p;
    struct cop__stack *to;
    if (next != NULL && next->has_frames) {
        turn_begin(w, next);
        take_frames(next);
        to = next->stack;
    } else {
        w->preselected = next;
        __atomic_store_n(&w->current, NULL, __ATOMIC_RELAXED);
        to = cop__stack_take(w->sched, 0);
    }
    goes_onto(w, to);
    cop__fiber_before_switch(&mine->fiber, &to->fiber);
    after_switch(cop__context_switch(&mine->context, &to->context, w));
}

void cop__wait(cop_ctx *p) {
    if (__builtin_expect(p->kind == KIND_PROCESS, 1)) {
        switch_away(p, DUTY_PARK, p->worker->sched != NULL ? cop__sched_pick(p->worker) : NULL);
        return;
    }
    COP_ASSERT(p->kind == KIND_HOST); /* ports never wait */
    host_wait(p);
}

/* Would p, in the queue again, be the last one that is taken? Then the next one is known without it. */
static inline bool is_last_in_line(const struct cop__worker *w, const cop_ctx *p) {
    return w->sched != NULL && p->priority == COP_PRIORITY_NORMAL && !cop__node.sim
           && __atomic_load_n(&w->sched->low.count, __ATOMIC_RELAXED) == 0;
}

static void let_others_run(cop_ctx *p, const struct cop__slot *flooded) {
    struct cop__worker *w = p->worker;
    cop_ctx *next = NULL;
    w->duty_flooded = flooded;
    if (is_last_in_line(w, p) && (next = cop__sched_pick(w)) == NULL)
        turn_begin(w, p); /* there are none */
    else
        switch_away(p, DUTY_REQUEUE, next);
}

static void requeue(cop_ctx *p, const struct cop__slot *flooded) {
    if (p->kind == KIND_PROCESS)
        let_others_run(p, flooded);
    if (!cop__node.sim)
        p->budget = COP__BUDGET;
    /* Its turn begins, as any other, with what was said to it. */
    if (p->kind != KIND_PORT && cop__take_in(p))
        cop__check_exit(p);
}

void cop__requeue(cop_ctx *p) { requeue(p, NULL); }

void cop__requeue_sender(cop_ctx *p, const struct cop__slot *to, int cost) {
    requeue(p, cost >= COP__FLOOD_COST ? to : NULL);
}

/* ---- threads ----------------------------------------------------------------------------------------- */

void cop__worker_run(struct cop__worker *w) {
    cop__fiber_init_thread(&w->thread_fiber);
    struct cop__stack *stack = cop__stack_take(NULL, 0);
    goes_onto(w, stack);
    cop__set_in_runtime(w, 1);
    cop__fiber_before_switch(&w->thread_fiber, &stack->fiber);
    cop__context_switch(&w->thread_context, &stack->context, w);
    cop__fiber_after_switch(&w->thread_fiber);
    cop__stack_give(NULL, w->duty_stack);
    w->duty = DUTY_NONE;
    w->stack = NULL;
}
