/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: the threads that carry schedulers.
 *
 * There is one for each scheduler, and one more for each step that ran too long and had its scheduler taken
 * away (monitor.c). When such a step is over, its worker waits in a list until a scheduler needs one again; one
 * that has waited for worker_idle_ms ends. So a rush of calls that block costs threads only while it lasts.
 *
 *     new, vacant, idle -- carry --> carries -- its step is too long --> carries nothing
 *     carries nothing -- the step is over --> idle -- long enough --> ended -- joined --> vacant
 *
 * When the system has no thread to give, the scheduler waits for one: for the next worker that becomes
 * idle, or until the monitor tries again.
 *
 * Invariants
 *   1. A worker's struct lives as long as the node: a thief may look at one that is over.
 *   2. A worker is in one of the lists idle, ended and vacant at most, which change under the lock; who takes it
 *      out of the idle list, a scheduler or itself, decides what becomes of it.
 *   3. A vacant worker has no thread; every other one has.
 *   4. A scheduler that waits is nobody's: `sched` of no worker is it, but for one that is still in its step
 *      and detached.
 * Threads: carry, all and tidy by the monitor thread (carry also while the node starts), stop by who stops the
 * node, the rest by the worker itself.
 */
#include <stdio.h>

#include "os/sample.h"
#include "proc/proc.h"

static struct {
    struct cop__lock lock;
    struct cop__worker *all; /* through all_next; grows only, until the node stops */
    struct cop__worker *idle, *vacant;
    struct cop__worker *ended; /* atomic for a look without the lock */
    struct cop__worker
        *left; /* stuck in a step when the node ended: their threads still use them */
    struct cop__sched *waiting[COP__MAX_SCHEDS]; /* for a thread */
    uint32_t waiting_count;                      /* atomic for a look without the lock */
    uint32_t threads;                            /* atomic: that have begun */
    bool told;                                   /* that there was no thread */
} workers;

/* ---- lists, under the lock ---------------------------------------------------------------------------- */

static void idle_push(struct cop__worker *w) {
    w->next_idle = workers.idle;
    w->idle_at = &workers.idle;
    if (w->next_idle != NULL)
        w->next_idle->idle_at = &w->next_idle;
    workers.idle = w;
}

/* Nothing if it is not there: somebody has taken it. */
static bool idle_remove(struct cop__worker *w) {
    if (w->idle_at == NULL)
        return false;
    *w->idle_at = w->next_idle;
    if (w->next_idle != NULL)
        w->next_idle->idle_at = w->idle_at;
    w->idle_at = NULL;
    return true;
}

static void vacate(struct cop__worker *w) {
    w->next_idle = workers.vacant;
    workers.vacant = w;
    w->is_vacant = true;
}

static struct cop__sched *take_waiting(void) {
    if (workers.waiting_count == 0)
        return NULL;
    __atomic_store_n(&workers.waiting_count, workers.waiting_count - 1, __ATOMIC_RELAXED);
    return workers.waiting[workers.waiting_count];
}

/* ---- threads ------------------------------------------------------------------------------------------- */

static void *worker_main(void *arg) {
    struct cop__worker *w = arg;
    cop__worker_set_self(w);
    __atomic_fetch_add(&workers.threads, 1, __ATOMIC_RELAXED);
    cop__small_keep();
    cop__fault_thread_begin();
    __atomic_store_n(&w->thread_number, cop__thread_number(), __ATOMIC_RELEASE);
    cop__worker_run(w);
    __atomic_store_n(&w->thread_number, 0, __ATOMIC_RELEASE);
    cop__epoch_forget(w);
    cop__fault_thread_end();
    cop__small_flush();
    return NULL;
}

static struct cop__worker *worker_new(void) {
    struct cop__worker *w = cop__calloc(1, sizeof *w);
    cop__set_in_runtime(w, 1);
    w->attention = cop__node.sim; /* simulated: every way into the run-time is the slow one */
    cop__lock(&workers.lock);
    w->all_next = workers.all;
    workers.all = w;
    cop__unlock(&workers.lock);
    return w;
}

static void give_to(struct cop__sched *s, struct cop__worker *w) {
    cop__lock(&w->lock); /* a thief may still look at what it carried before */
    w->sched = s;
    cop__unlock(&w->lock);
    __atomic_store_n(&s->worker, w, __ATOMIC_RELEASE);
}

static bool start_thread(struct cop__worker *w) {
    w->is_vacant = false;
    return pthread_create(&w->thread, NULL, worker_main, w) == 0;
}

/* There is no thread for it. */
static void wait_for_one(struct cop__sched *s, struct cop__worker *w) {
    if (cop__node.sim) /* there is no other, and no monitor to try again */
        cop__panic(__FILE__, __LINE__, "no thread for the simulation");
    cop__lock(&w->lock);
    w->sched = NULL;
    cop__unlock(&w->lock);
    cop__lock(&workers.lock);
    vacate(w);
    workers.waiting[workers.waiting_count] = s;
    __atomic_store_n(&workers.waiting_count, workers.waiting_count + 1, __ATOMIC_RELAXED);
    bool told = workers.told;
    workers.told = true;
    cop__unlock(&workers.lock);
    if (!told)
        fputs("coppice: the system has no thread for a scheduler, which waits for one\n", stderr);
}

void cop__worker_carry(struct cop__sched *s) {
    cop__lock(&workers.lock);
    struct cop__worker *idle = workers.idle, *w = NULL;
    if (idle != NULL) {
        idle_remove(idle);
    } else if ((w = workers.vacant) != NULL) {
        workers.vacant = w->next_idle;
    }
    cop__unlock(&workers.lock);
    if (idle != NULL) {
        give_to(s, idle);
        __atomic_store_n(&idle->wake, 1, __ATOMIC_RELEASE);
        cop__futex_wake(&idle->wake, 1);
        return;
    }
    if (w == NULL)
        w = worker_new();
    give_to(s, w);
    if (!start_thread(w))
        wait_for_one(s, w);
}

void cop__workers_tidy(void) {
    if (__atomic_load_n(&workers.ended, __ATOMIC_RELAXED) != NULL) {
        cop__lock(&workers.lock);
        for (struct cop__worker **at = &workers.ended, *w; (w = *at) != NULL;) {
            if (pthread_tryjoin_np(w->thread, NULL) != 0) {
                at = &w->next_idle; /* the thread is on its last steps */
                continue;
            }
            __atomic_store_n(at, w->next_idle, __ATOMIC_RELAXED);
            __atomic_fetch_sub(&workers.threads, 1, __ATOMIC_RELAXED);
            vacate(w);
        }
        cop__unlock(&workers.lock);
    }
    if (__atomic_load_n(&workers.waiting_count, __ATOMIC_RELAXED) != 0) {
        cop__lock(&workers.lock);
        struct cop__sched *s = take_waiting();
        cop__unlock(&workers.lock);
        if (s != NULL)
            cop__worker_carry(s);
    }
}

/* ---- a worker without a scheduler ----------------------------------------------------------------------- */

/* Its time is over: false if it got a scheduler just now. */
static bool end(struct cop__worker *w) {
    cop__lock(&workers.lock);
    bool ends = idle_remove(w);
    if (ends) {
        w->next_idle = workers.ended;
        __atomic_store_n(&workers.ended, w, __ATOMIC_RELAXED);
    }
    cop__unlock(&workers.lock);
    return ends;
}

/* How long it sleeps now: until it gives back what it keeps, then until it ends; < 0: without an end. */
static int64_t sleep_ns(bool trimmed, int64_t left_ns) {
    if (!trimmed && (left_ns < 0 || left_ns > COP__QUIET_NS))
        return COP__QUIET_NS;
    return left_ns;
}

static void wait_idle(struct cop__worker *w) {
    int64_t most_ns = cop__node.worker_idle_ns, since = cop__clock_monotonic_ns(),
            left_ns = most_ns;
    bool trimmed = false;
    while (__atomic_load_n(&w->wake, __ATOMIC_ACQUIRE) == 0) {
        int64_t sleep = sleep_ns(trimmed, left_ns);
        cop__futex_wait(&w->wake, 0, sleep);
        if (__atomic_load_n(&w->wake, __ATOMIC_ACQUIRE) != 0)
            return;
        int64_t past_ns = cop__clock_monotonic_ns() - since;
        if (most_ns >= 0 && past_ns >= most_ns && end(w))
            return;
        left_ns = most_ns < 0 ? -1 : past_ns < most_ns ? most_ns - past_ns : 0;
        if (!trimmed && past_ns >= COP__QUIET_NS) {
            trimmed = true;
            cop__alloc_trim();
            cop__stack_trim_below(w->stack);
        }
    }
}

void cop__worker_park_without_sched(struct cop__worker *w) {
    __atomic_store_n(&w->wake, 0, __ATOMIC_RELAXED);
    cop__lock(&workers.lock);
    bool stop = __atomic_load_n(&cop__node.ended, __ATOMIC_ACQUIRE);
    struct cop__sched *s = stop ? NULL : take_waiting();
    if (!stop && s == NULL)
        idle_push(w);
    cop__unlock(&workers.lock);
    if (s != NULL)
        give_to(s, w);
    else if (!stop)
        wait_idle(w);
}

/* ---- all of them ---------------------------------------------------------------------------------------- */

struct cop__worker *cop__workers_all(void) {
    return workers.all;
}

size_t cop_node_worker_count(void) { return __atomic_load_n(&workers.threads, __ATOMIC_RELAXED); }

/* Is it in a step that does not return, of a process that is over? One that the kernel only does not let run
   comes back soon. */
enum { STUCK_MS = 500 };
static bool is_stuck(struct cop__worker *w) {
    for (int ms = 0; ms < STUCK_MS; ms++) {
        if (__atomic_load_n(&w->in_runtime, __ATOMIC_ACQUIRE)
            || __atomic_load_n(&w->attention, __ATOMIC_RELAXED) == 0)
            return false;
        cop__futex_wait(&w->attention, 1, 1000000); /* a rest: nobody wakes it */
    }
    return true;
}

static void wake_all_idle(void) {
    cop__lock(&workers.lock);
    __atomic_store_n(&cop__node.ended, true, __ATOMIC_SEQ_CST);
    struct cop__worker *idle = workers.idle;
    for (struct cop__worker *w = idle; w != NULL; w = w->next_idle)
        w->idle_at = NULL;
    workers.idle = NULL;
    cop__unlock(&workers.lock);
    while (idle != NULL) {
        struct cop__worker *next = idle->next_idle;
        __atomic_store_n(&idle->wake, 1, __ATOMIC_RELEASE);
        cop__futex_wake(&idle->wake, 1);
        idle = next;
    }
}

/* One that is stuck in a step that never returns is left behind: false. */
static bool join_all(void) {
    bool all = true;
    struct cop__worker **at = &workers.all;
    while (*at != NULL) {
        struct cop__worker *w = *at;
        if (is_stuck(w)) {
            pthread_detach(w->thread);
            all = false;
            *at = w->all_next;
            w->all_next = workers.left;
            workers.left = w;
            continue;
        }
        if (!w->is_vacant)
            pthread_join(w->thread, NULL);
        at = &w->all_next;
    }
    return all;
}

bool cop__workers_stop(void) {
    wake_all_idle();
    for (uint32_t i = 0; i < cop__node.sched_count; i++)
        cop__sched_wake(cop__node.scheds[i]);
    bool all = join_all();
    /* Not before all have ended: a thief looks at other workers. */
    while (workers.all != NULL) {
        struct cop__worker *w = workers.all;
        workers.all = w->all_next;
        cop__free(w);
    }
    workers.vacant = workers.ended = NULL;
    workers.waiting_count = workers.threads = 0;
    workers.told = false;
    return all;
}
