/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor thread: takes a scheduler away from a worker whose step runs too long and hands it to
 * another worker; and carries out a kill on a process that does not come into the run-time.
 *
 * A worker says with a plain store whether it is in the run-time (in_runtime). The monitor claims a
 * worker that is not: it takes the worker's lock, sets `attention`, and issues a barrier on all
 * threads of the program (membarrier); if in_runtime is still 0 after it, then the worker's next way
 * into the run-time sees `attention` and waits for the lock. So the fast way costs no barrier.
 *
 *     worker:   in_runtime = 1; [compiler barrier]; if (attention) slow path: lock ...
 *     monitor:  lock; attention = 1; membarrier; if (in_runtime) give up, else it is ours
 *
 * A process killed that way is a zombie: dead to everybody else; its stack and heap stay until its
 * step comes into the run-time, which sends it to its loop frame.
 * A thief claims a worker likewise, to take the process that is next in line behind its step.
 * The thread sleeps while all workers sleep.
 */
#include "proc/proc.h"

static struct {
    pthread_t thread;
    bool started;
    uint32_t stop; /* atomic */
    uint32_t word; /* futex: 1 while it sleeps because all workers do */
} monitor;

/* In the worker's lock: it is outside and stays there. What an earlier claim has left for it to learn stays
   asked for when this one fails: the worker may just be on its way in, before it has looked. */
static bool claim(struct cop__worker *w) {
    uint32_t asked = __atomic_load_n(&w->attention, __ATOMIC_RELAXED);
    __atomic_store_n(&w->attention, 1, __ATOMIC_RELAXED);
    cop__membarrier();
    if (__atomic_load_n(&w->in_runtime, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&w->attention, asked, __ATOMIC_RELAXED);
        return false;
    }
    return true;
}

cop_ctx *cop__take_next(struct cop__sched *s) {
    struct cop__worker *w = __atomic_load_n(&s->worker, __ATOMIC_ACQUIRE);
    cop_ctx *p = NULL;
    cop__lock(&w->lock);
    if (w->sched == s && !w->detached && claim(w)) {
        p = s->next;
        __atomic_store_n(&s->next, NULL, __ATOMIC_RELAXED);
        /* attention stays set: the owner's next way in passes the lock, and sees what was taken. */
    }
    cop__unlock(&w->lock);
    return p;
}

/* A step that somebody wants dead: die for it, as far as others can see. */
static void reap(struct cop__worker *w) {
    cop_ctx *p = __atomic_load_n(&w->current, __ATOMIC_ACQUIRE);
    if (p == NULL || p->zombie || p->kind != KIND_PROCESS || p->exiting)
        return;
    cop__take_in(p);
    if (!p->pending_exit)
        return;
    p->zombie = true;
    cop__die_in_public(p, p->extra->exit_term);
}

static void look_at_worker(struct cop__worker *w, int64_t now) {
    uint64_t steps = __atomic_load_n(&w->steps, __ATOMIC_RELAXED);
    if (steps != w->seen_steps || __atomic_load_n(&w->in_runtime, __ATOMIC_RELAXED)) {
        w->seen_steps = steps;
        w->seen_since_ns = now;
        return;
    }
    if (now - w->seen_since_ns < cop__node.slice_ns)
        return;
    cop__lock(&w->lock);
    if (!claim(w)) {
        cop__unlock(&w->lock);
        return;
    }
    struct cop__sched *s = NULL;
    if (!w->detached && w->sched != NULL && cop__sched_has_work(w->sched)) {
        s = w->sched;
        w->detached = true;
    }
    reap(w);
    /* attention stays set: the worker must come through the slow path to learn of it. */
    cop__unlock(&w->lock);
    if (s != NULL)
        cop__worker_carry(s);
}

/* The worker learns of what was done while it was claimed. */
static void learn(struct cop__worker *w) {
    cop__lock(&w->lock);
    __atomic_store_n(&w->attention, 0, __ATOMIC_RELAXED);
    if (w->detached) {
        w->detached = false;
        w->sched = NULL;
    }
    cop__unlock(&w->lock);
}

static void leave_if_dead(cop_ctx *p) {
    if (p->zombie && !p->exiting_alone) {
        p->exiting_alone = true;
        cop__back(p, BACK_ZOMBIE);
    }
}

void cop__attention(cop_ctx *p) {
    if (cop__node.sim) {
        cop__sim_enter(p);
        return;
    }
    learn(p->worker);
    leave_if_dead(p);
}

void cop__enter_holding(cop_ctx *p) {
    struct cop__worker *w = p->worker;
    cop__set_in_runtime(w, 1);
    atomic_signal_fence(memory_order_seq_cst);
    if (__atomic_load_n(&w->attention, __ATOMIC_RELAXED) != 0 && !cop__node.sim)
        learn(w);
}

void cop__enter_held(cop_ctx *p) {
    if (cop__node.sim)
        cop__sim_enter(p);
    leave_if_dead(p);
}

static void *monitor_main(void *arg) {
    (void)arg;
    int64_t busy_ns =
        cop__clock_monotonic_ns(); /* when it last was; 0: memory was given back since */
    while (!__atomic_load_n(&monitor.stop, __ATOMIC_ACQUIRE)) {
        uint32_t sleeping = __atomic_load_n(&cop__node.sleeping, __ATOMIC_SEQ_CST);
        bool busy = sleeping < cop__node.sched_count;
        cop__workers_tidy();
        for (struct cop__worker *w = cop__workers_all(); w != NULL; w = w->all_next)
            look_at_worker(w, cop__clock_monotonic_ns());
        if (__atomic_load_n(&cop__stalls_on, __ATOMIC_RELAXED) != 0)
            for (struct cop__worker *w = cop__workers_all(); w != NULL; w = w->all_next)
                cop__stall_look(w, cop__clock_monotonic_ns());
        if (cop__pack_some(cop__clock_monotonic_ns())) {
            cop__futex_wait(&monitor.stop, 0, 500000);
            continue;
        }
        if (busy) {
            busy_ns = cop__clock_monotonic_ns();
            cop__futex_wait(&monitor.stop, 0, cop__node.slice_ns / 2);
            continue;
        }
        if (busy_ns != 0 && cop__clock_monotonic_ns() - busy_ns > COP__QUIET_NS) {
            cop__alloc_trim();
            busy_ns = 0;
        }
        /* All schedulers sleep; steps without one may still run, so look now and then. */
        __atomic_store_n(&monitor.word, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&cop__node.sleeping, __ATOMIC_SEQ_CST) == cop__node.sched_count
            && !__atomic_load_n(&monitor.stop, __ATOMIC_ACQUIRE))
            cop__futex_wait(&monitor.word, 1, INT64_C(250000000));
        __atomic_store_n(&monitor.word, 0, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

void cop__monitor_poke(void) {
    if (__atomic_load_n(&monitor.word, __ATOMIC_SEQ_CST) != 0
        && __atomic_exchange_n(&monitor.word, 0, __ATOMIC_SEQ_CST) != 0)
        cop__futex_wake(&monitor.word, 1);
}

void cop__monitor_start(void) {
    __atomic_store_n(&monitor.stop, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&monitor.word, 0, __ATOMIC_RELAXED);
    if (pthread_create(&monitor.thread, NULL, monitor_main, NULL) != 0)
        cop__panic(__FILE__, __LINE__, "no thread for the monitor");
    monitor.started = true;
}

void cop__monitor_stop(void) {
    if (!monitor.started)
        return;
    __atomic_store_n(&monitor.stop, 1, __ATOMIC_RELEASE);
    cop__futex_wake(&monitor.stop, 1);
    cop__monitor_poke();
    pthread_join(monitor.thread, NULL);
    monitor.started = false;
}
