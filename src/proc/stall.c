/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stalls: steps that run longer than they should, and where they are.
 *
 * The monitor thread sees that a worker has been in one step for so many ms. It asks the worker's thread
 * by a signal, whose handler walks the frames into the worker's own record and says that it is there;
 * at its next look the monitor takes the record and starts a process that looks the names up and tells:
 * the log, and who has asked for it by cop_system_monitor. Each is told once of a step.
 *
 *     monitor: NONE -> ASKED, signal        handler: ASKED -> TAKEN, or MISSED if the step is over
 *     monitor: TAKEN -> NONE, with a report        MISSED -> NONE
 *
 * Invariants
 *   1. In ASKED only the handler writes the record (pid, pcs, depth); in the other states only the
 *      monitor thread does.
 *   2. The handler looks only at its own thread: its worker, the stack it stands on, the process that it
 *      runs, which cannot go away under it. It neither allocates nor locks.
 *   3. Off, which is the default, nothing is installed, and the monitor looks at one word.
 * Threads: as above; cop_system_monitor from any process.
 */
#include "os/sample.h"
#include "proc/proc.h"

enum { NONE, ASKED, TAKEN, MISSED };
enum { TELL_LOG = 1, TELL_MONITOR = 2 };
enum { REPORTS = 16 };

struct report {
    uint32_t used; /* atomic */
    int tell;
    int64_t ms;
    cop_term pid;
    uint64_t name;
    size_t depth;
    uintptr_t pcs[COP__STALL_FRAMES];
};

static struct {
    int64_t log_ms;     /* 0: the log is not told */
    int64_t monitor_ms; /* atomic; 0: nobody has asked */
    uint64_t monitor;   /* atomic: the word of the pid that has */
    uint32_t installed; /* atomic */
    struct report reports[REPORTS];
} stalls;

uint32_t cop__stalls_on;

/* ---- in the thread that is asked ------------------------------------------------------------------------- */

static void tell(cop_ctx *ctx, cop_term arg);

static void on_sample(uintptr_t pc, uintptr_t fp) {
    struct cop__worker *w = cop__worker_self();
    if (w == NULL || __atomic_load_n(&w->stall.state, __ATOMIC_ACQUIRE) != ASKED)
        return;
    struct cop__stall *s = &w->stall;
    cop_ctx *p = __atomic_load_n(&w->current, __ATOMIC_RELAXED);
    uint32_t state = MISSED;
    if (p != NULL && p->kind == KIND_PROCESS && p->does.entry != tell
        && __atomic_load_n(&w->steps, __ATOMIC_RELAXED) == s->step) {
        s->pid = p->pid;
        s->name = __atomic_load_n(&p->slot->name, __ATOMIC_RELAXED);
        s->depth = cop__frames_walk(pc, fp, (uintptr_t)w->stack->low, (uintptr_t)w->stack, s->pcs,
                                    COP__STALL_FRAMES);
        state = TAKEN;
    }
    __atomic_store_n(&s->state, state, __ATOMIC_RELEASE);
}

/* ---- in a process of its own ---------------------------------------------------------------------------------- */

static cop_term pair(cop_ctx *ctx, const char *key, cop_term value) {
    return cop_tuple(ctx, cop_atom_new(key), value);
}

static void tell_log(cop_ctx *ctx, const struct report *r, cop_term in, cop_term trace) {
    cop_term list =
        cop_list(ctx, pair(ctx, "pid", r->pid),
                 pair(ctx, "registered_name", r->name != 0 ? (cop_term){ r->name } : COP_NIL),
                 pair(ctx, "timeout", cop_of(ctx, r->ms)), pair(ctx, "in", in),
                 pair(ctx, "stacktrace", trace));
    cop_term label = cop_tuple(ctx, cop_a(system_monitor), cop_a(long_schedule));
    cop_log(ctx, COP_LEVEL_WARNING,
            cop_tuple(ctx, cop_a(report), cop_map(ctx, cop_a(label), label, cop_a(report), list)),
            cop_map(ctx, cop_a(pid), r->pid));
}

static void tell(cop_ctx *ctx, cop_term arg) {
    int64_t number = 0;
    cop_get_i64(arg, &number);
    struct report *r = &stalls.reports[number];
    cop__enter(ctx);
    cop_term trace = cop__stacktrace(ctx, r->pcs, r->depth), in = cop_a(undefined).t;
    cop__leave(ctx);
    if (cop_is_cons(trace)) {
        cop_term frame = cop_head(trace);
        in = cop_tuple(ctx, cop_elem(frame, 0), cop_elem(frame, 1), cop_elem(frame, 2));
    }
    cop_pid monitor = { { __atomic_load_n(&stalls.monitor, __ATOMIC_ACQUIRE) } };
    if ((r->tell & TELL_MONITOR) != 0 && cop__is_local_pid(monitor.t))
        cop_send(ctx, monitor,
                 cop_tuple(
                     ctx, cop_a(monitor), r->pid, cop_a(long_schedule),
                     cop_list(ctx, pair(ctx, "timeout", cop_of(ctx, r->ms)), pair(ctx, "in", in))));
    if ((r->tell & TELL_LOG) != 0)
        tell_log(ctx, r, in, trace);
    __atomic_store_n(&r->used, 0, __ATOMIC_RELEASE);
}

/* ---- in the monitor thread ------------------------------------------------------------------------------------- */

/* Without room for it, it is not told: there are enough others then. */
static void start_report(const struct cop__stall *s) {
    for (size_t i = 0; i < REPORTS; i++) {
        struct report *r = &stalls.reports[i];
        if (__atomic_exchange_n(&r->used, 1, __ATOMIC_ACQUIRE) != 0)
            continue;
        r->tell = s->wanted;
        r->ms = s->ms;
        r->pid = s->pid;
        r->name = s->name;
        r->depth = s->depth;
        memcpy(r->pcs, s->pcs, s->depth * sizeof *s->pcs);
        if (!cop__spawn_service(tell, (int64_t)i))
            __atomic_store_n(&r->used, 0, __ATOMIC_RELEASE);
        return;
    }
}

static int due(int64_t ms) {
    int64_t monitor_ms = __atomic_load_n(&stalls.monitor_ms, __ATOMIC_RELAXED);
    return (stalls.log_ms != 0 && ms >= stalls.log_ms ? TELL_LOG : 0)
           | (monitor_ms != 0 && ms >= monitor_ms ? TELL_MONITOR : 0);
}

void cop__stall_look(struct cop__worker *w, int64_t now_ns) {
    struct cop__stall *s = &w->stall;
    uint32_t state = __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
    if (state == TAKEN)
        start_report(s);
    if (state == TAKEN || state == MISSED)
        __atomic_store_n(&s->state, NONE, __ATOMIC_RELAXED);
    uint64_t steps = __atomic_load_n(&w->steps, __ATOMIC_RELAXED);
    if (steps != s->seen_step || __atomic_load_n(&w->current, __ATOMIC_RELAXED) == NULL) {
        s->seen_step = steps;
        s->since_ns = now_ns;
        s->told = 0;
        return;
    }
    int64_t ms = (now_ns - s->since_ns) / 1000000;
    int wanted = due(ms) & ~s->told;
    int thread = __atomic_load_n(&w->thread_number, __ATOMIC_ACQUIRE);
    if (wanted == 0 || state == ASKED || thread == 0)
        return;
    s->told |= wanted;
    s->wanted = wanted;
    s->ms = ms;
    s->step = steps;
    __atomic_store_n(&s->state, ASKED, __ATOMIC_RELEASE);
    if (!cop__sample(thread))
        __atomic_store_n(&s->state, NONE, __ATOMIC_RELAXED);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static void switch_on(void) {
    if (__atomic_exchange_n(&stalls.installed, 1, __ATOMIC_ACQ_REL) == 0)
        cop__sample_install(on_sample);
    __atomic_store_n(&cop__stalls_on, 1, __ATOMIC_RELEASE);
}

void cop__stalls_init(int64_t log_ms) {
    uint32_t installed = stalls.installed;
    memset(&stalls, 0, sizeof stalls);
    stalls.installed = installed;
    stalls.log_ms = log_ms;
    cop__stalls_on = 0;
    if (log_ms != 0)
        switch_on();
}

cop_pid cop_system_monitor(cop_ctx *ctx, cop_pid process, int64_t long_schedule_ms) {
    bool on = cop__is_local_pid(process.t);
    if ((on && long_schedule_ms <= 0) || (!on && !cop_is_none(process.t)))
        cop__badarg(ctx);
    cop_pid old = { { __atomic_exchange_n(&stalls.monitor, on ? process.t.w : 0,
                                          __ATOMIC_ACQ_REL) } };
    __atomic_store_n(&stalls.monitor_ms, on ? long_schedule_ms : 0, __ATOMIC_RELEASE);
    if (on)
        switch_on();
    return cop__is_local_pid(old.t) ? old : (cop_pid){ COP_NONE };
}
