/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulation: one worker, a clock that obeys, and a seed for whatever a schedule leaves open.
 *
 * A concurrent program is wrong in some of its interleavings, and a plain run sees the same few of them
 * again and again. Here every point where the order is open is a choice drawn from one stream of
 * random numbers, so a seed is an interleaving: a bad one is found by trying seeds, and run again from
 * its seed as often as one likes.
 *
 *     what runs next       any runnable process of the highest priority, by one of four ways of choosing
 *     how long             a turn's budget of reductions, often none
 *     handing off          at any call into the run-time the process may have to give way
 *     waking up            a process that was woken may become runnable a few turns later
 *     time                 jumps to the next deadline when nothing can run, and a little beyond;
 *                          crawls by what a turn costs while something can
 *
 * None of this is foreign to the real scheduler: with several cores each of these happens, only seldom.
 * A test that fails under a seed can fail without one.
 *
 * How a process is chosen is drawn once per run, since bugs differ in what brings them out: evenly; mostly
 * the one that has been runnable longest, or shortest; or by favourites, an order of processes that is
 * drawn anew now and then, so that one may be far behind all others. Each seed also draws how strong
 * the points above are. COP_SIM_FAULTS sets them, and switches on those that change what happens: kills,
 * allocations that fail, and the program's own (sim.h of the public headers has the list).
 *
 * How it hooks in: the scheduler asks for the next process here in place of its queues; every
 * worker's `attention` stays set, so that the way into the run-time, which looks at it anyway, comes
 * through cop__sim_enter; the clock is cop__node.sim_now_ns. There is no monitor thread, so a step that
 * never returns hangs the run.
 *
 * The world outside (threads of the host, ports) is not simulated. What the host starts before it waits
 * for the node is there from the beginning, in its order. While a port is open, time passes no faster
 * than the wall clock, so that an answer from outside can be in time.
 *
 * Invariants
 *   1. Each draw is made by the worker, at a point that the earlier draws led to. Nothing that differs from run
 *      to run (an address, a real clock, another thread's pace) decides whether one is made.
 *   2. A lane holds what is runnable, oldest first; each process is in one lane, or in `late`, once.
 * Threads: the worker; cop__sim_open and what the public header says, any.
 */
#include <coppice/sim.h>
#include <errno.h>
#include <limits.h>

#include "proc/proc.h"

enum { CHOOSE_ANY, CHOOSE_OLDEST, CHOOSE_YOUNGEST, CHOOSE_FAVOURITE, WAYS };
enum {
    LANES = 4,
    MAX_FAULTS = 32,
    LOOKED_AT = 32,
    FOR_THE_HOST_NS = 100000000,
    LOOK_AGAIN_NS = 5000000
};

enum { FAULT_HANDOFF, FAULT_CUT, FAULT_LATE, FAULT_JITTER, FAULT_KILL, FAULT_ALLOC, BUILT_IN };

struct fault {
    const char *name; /* of the program's own: in `names` */
    double given;     /* by the name alone */
    bool by_seed;
    uint64_t chance; /* of 2^32 */
};

static const struct fault built_in[BUILT_IN] = {
    [FAULT_HANDOFF] = { "handoff", 0.125, true, 0 }, [FAULT_CUT] = { "cut", 0.25, true, 0 },
    [FAULT_LATE] = { "late", 0.03, true, 0 },        [FAULT_JITTER] = { "jitter", 0.25, true, 0 },
    [FAULT_KILL] = { "kill", 0.004, false, 0 },      [FAULT_ALLOC] = { "alloc", 0.02, false, 0 },
};

struct lane {
    cop_ctx **at;
    uint32_t head, end, cap;
};

struct late {
    cop_ctx *p;
    uint64_t until; /* that pick */
};

static struct {
    uint64_t seed;
    uint64_t random[4];
    uint32_t open;            /* atomic */
    struct lane lanes[LANES]; /* by priority: max, high, normal, low */
    struct late *late;
    uint32_t late_count, late_cap;
    int way;
    uint64_t favour; /* what the order of favourites is made from */
    uint64_t drift_ns;
    uint64_t picks;
    struct fault faults[MAX_FAULTS];
    int fault_count;
    char *names;
    uint64_t *spared; /* pids */
    uint32_t spared_count, spared_cap;
    bool say_so; /* the environment asked, so the end of the run is told on stderr */
} sim;

uint64_t cop__sim_random(void) { return cop__random_next(sim.random); }

/* Below n. */
static uint32_t draw(uint32_t n) { return n < 2 ? 0 : (uint32_t)(cop__sim_random() % n); }

/* Draws only where something can come of it. */
static bool strikes(int fault) {
    uint64_t chance = sim.faults[fault].chance;
    return chance != 0 && (cop__sim_random() & UINT32_MAX) < chance;
}

/* ---- the start -------------------------------------------------------------------------------------- */

static uint64_t chance_of(double probability) { return (uint64_t)(probability * 4294967296.0); }

static void draw_strengths(void) {
    static const double parts[] = { 0, 0, 0.25, 1, 2 };
    for (int i = 0; i < BUILT_IN; i++) {
        sim.faults[i] = built_in[i];
        if (built_in[i].by_seed)
            sim.faults[i].chance = chance_of(built_in[i].given * parts[draw(5)]);
    }
    sim.fault_count = BUILT_IN;
    sim.way = (int)draw(WAYS);
    sim.favour = cop__sim_random();
    sim.drift_ns = (uint64_t[]){ 100, 1000, 20000 }[draw(3)];
}

static struct fault *fault_named(const char *name) {
    for (int i = 0; i < sim.fault_count; i++)
        if (strcmp(sim.faults[i].name, name) == 0)
            return &sim.faults[i];
    return NULL;
}

/* One entry of the list: a name, or name=probability. */
static bool read_fault(char *entry) {
    char *value = strchr(entry, '='), *end = NULL;
    if (value != NULL)
        *value++ = '\0';
    struct fault *fault = fault_named(entry);
    if (fault == NULL) {
        if (sim.fault_count == MAX_FAULTS || *entry == '\0')
            return false;
        fault = &sim.faults[sim.fault_count++];
        *fault = (struct fault){ .name = entry, .given = 0.01 };
    }
    double probability = value == NULL ? fault->given : strtod(value, &end);
    if ((value != NULL && (end == value || *end != '\0'))
        || !(probability >= 0 && probability <= 1))
        return false;
    fault->chance = chance_of(probability);
    return true;
}

static bool read_faults(const char *list) {
    free(sim.names);
    sim.names = strdup(list);
    if (sim.names == NULL)
        return false;
    char *rest;
    for (char *entry = strtok_r(sim.names, ", ", &rest); entry != NULL;
         entry = strtok_r(NULL, ", ", &rest))
        if (!read_fault(entry))
            return false;
    return true;
}

int cop__sim_start(bool asked, uint64_t seed, const char *faults) {
    const char *text = getenv("COP_SIM");
    if (text != NULL && *text == '\0')
        text = NULL;
    if (!asked && text == NULL)
        return 0;
    char *end;
    if (!asked)
        seed = strtoull(text, &end, 0);
    if (!asked && *end != '\0') {
        fprintf(stderr, "coppice: COP_SIM is no number: %s\n", text);
        return -EINVAL;
    }
    sim.say_so = !asked;
    sim.seed = seed;
    sim.picks = 0;
    __atomic_store_n(&sim.open, 0, __ATOMIC_RELAXED);
    cop__random_init(sim.random, seed);
    draw_strengths();
    if (faults == NULL)
        faults = getenv("COP_SIM_FAULTS");
    if (faults != NULL && !read_faults(faults)) {
        fprintf(stderr, "coppice: COP_SIM_FAULTS is no list of names and probabilities: %s\n",
                faults);
        return -EINVAL;
    }
    cop__node.sim = true;
    cop__node.sim_now_ns = INT64_C(1000000000000);
    cop__sim_trace_start(seed);
    return 0;
}

void cop__sim_stop(void) {
    cop__sim_trace_stop();
    for (int i = 0; i < LANES; i++)
        cop__free(sim.lanes[i].at);
    memset(sim.lanes, 0, sizeof sim.lanes);
    cop__free(sim.late);
    sim.late = NULL;
    sim.late_count = sim.late_cap = 0;
    cop__free(sim.spared);
    sim.spared = NULL;
    sim.spared_count = sim.spared_cap = 0;
    if (sim.say_so)
        fprintf(stderr, "coppice: simulated with seed %llu, trace %016llx\n",
                (unsigned long long)sim.seed, (unsigned long long)cop_sim_trace());
}

void cop__sim_open(void) {
    __atomic_store_n(&sim.open, 1, __ATOMIC_SEQ_CST);
    cop__futex_wake(&sim.open, 1);
}

/* ---- what can run ------------------------------------------------------------------------------------ */

static void *grown(void *at, uint32_t *cap, size_t size) {
    *cap = *cap * 2 + 32;
    return cop__realloc(at, *cap * size);
}

static void lane_add(cop_ctx *p) {
    static const int lane_of[] = { [COP_PRIORITY_MAX] = 0,
                                   [COP_PRIORITY_HIGH] = 1,
                                   [COP_PRIORITY_NORMAL] = 2,
                                   [COP_PRIORITY_LOW] = 3 };
    struct lane *lane = &sim.lanes[lane_of[p->priority]];
    if (lane->end == lane->cap && lane->head > lane->cap / 2) {
        memmove(lane->at, lane->at + lane->head, (lane->end - lane->head) * sizeof(cop_ctx *));
        lane->end -= lane->head;
        lane->head = 0;
    }
    if (lane->end == lane->cap)
        lane->at = grown(lane->at, &lane->cap, sizeof(cop_ctx *));
    lane->at[lane->end++] = p;
}

/* The k-th oldest leaves its place; the others keep their order. */
static cop_ctx *lane_take(struct lane *lane, uint32_t k) {
    cop_ctx **at = lane->at + lane->head + k, *p = *at;
    uint32_t before = k, behind = lane->end - lane->head - k - 1;
    if (before <= behind) {
        memmove(lane->at + lane->head + 1, lane->at + lane->head, before * sizeof(cop_ctx *));
        lane->head++;
    } else {
        memmove(at, at + 1, behind * sizeof(cop_ctx *));
        lane->end--;
    }
    return p;
}

void cop__sim_push(cop_ctx *p) {
    if (!strikes(FAULT_LATE)) {
        lane_add(p);
        return;
    }
    if (sim.late_count == sim.late_cap)
        sim.late = grown(sim.late, &sim.late_cap, sizeof(struct late));
    sim.late[sim.late_count++] = (struct late){ p, sim.picks + 1 + draw(32) };
}

/* Those whose time has come become runnable; all of them, if nothing else is. */
static void late_release(bool all) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sim.late_count; i++) {
        if (all || sim.late[i].until <= sim.picks)
            lane_add(sim.late[i].p);
        else
            sim.late[kept++] = sim.late[i];
    }
    sim.late_count = kept;
}

/* Its place in the order of favourites. */
static uint64_t favour_of(const cop_ctx *p) {
    uint64_t x = (p->pid.w ^ sim.favour) * UINT64_C(0x9e3779b97f4a7c15);
    return (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
}

static uint32_t favourite(const struct lane *lane, uint32_t n) {
    uint32_t from = draw(n), best = from;
    for (uint32_t i = 1; i < n && i < LOOKED_AT; i++) {
        uint32_t k = (from + i) % n;
        if (favour_of(lane->at[lane->head + k]) > favour_of(lane->at[lane->head + best]))
            best = k;
    }
    return best;
}

static uint32_t choose(const struct lane *lane) {
    uint32_t n = lane->end - lane->head;
    if (n == 1)
        return 0;
    if (sim.way == CHOOSE_ANY || draw(8) == 0)
        return draw(n);
    if (sim.way == CHOOSE_FAVOURITE)
        return favourite(lane, n);
    return sim.way == CHOOSE_OLDEST ? 0 : n - 1;
}

/* The lane that is served, or NULL. Low gets one turn in eight, as it always does. */
static struct lane *lane_to_serve(void) {
    struct lane *low = &sim.lanes[LANES - 1];
    bool low_first = low->head != low->end && draw(8) == 0;
    for (int i = 0; i < LANES - 1; i++) {
        if (i == 2 && low_first)
            return low;
        if (sim.lanes[i].head != sim.lanes[i].end)
            return &sim.lanes[i];
    }
    return low->head != low->end ? low : NULL;
}

static void pass_ns(int64_t ns) {
    __atomic_store_n(&cop__node.sim_now_ns, cop__node.sim_now_ns + ns, __ATOMIC_RELAXED);
}

cop_ctx *cop__sim_pick(struct cop__worker *w) {
    if (!__atomic_load_n(&sim.open, __ATOMIC_ACQUIRE))
        return NULL;
    sim.picks++;
    pass_ns(1 + draw((uint32_t)sim.drift_ns));
    if (draw(512) == 0) /* a long step */
        pass_ns(draw(2000000));
    if (draw(64) == 0)
        sim.favour = cop__sim_random();
    if (draw(4) == 0)
        cop__wheel_run(w->sched->wheel, cop__now_ns(), INT_MAX);
    cop__sched_drain(w->sched);
    late_release(false);
    struct lane *lane = lane_to_serve();
    if (lane == NULL && sim.late_count > 0) {
        late_release(true);
        lane = lane_to_serve();
    }
    return lane != NULL ? lane_take(lane, choose(lane)) : NULL;
}

/* ---- time -------------------------------------------------------------------------------------------- */

/* A timer may be late, and then others fall due with it. */
static int64_t jitter_ns(void) {
    if (!strikes(FAULT_JITTER))
        return 0;
    return draw(2) == 0 ? draw(1000000) : (int64_t)draw(5) * 1000000;
}

/* Ports are open, so the world outside may have something to say before the next deadline. */
static void wait_for_the_world(struct cop__sched *s) {
    int64_t before = cop__clock_monotonic_ns();
    cop__sched_sleep(s, LOOK_AGAIN_NS); /* nobody tells us when the last port closes */
    pass_ns(cop__clock_monotonic_ns() - before);
    cop__wheel_run(s->wheel, cop__now_ns(), INT_MAX);
}

void cop__sim_idle(struct cop__worker *w) {
    struct cop__sched *s = w->sched;
    if (!__atomic_load_n(&sim.open, __ATOMIC_ACQUIRE)) {
        /* A host that never waits for the node gets it all the same, a moment later. */
        int64_t until = cop__clock_monotonic_ns() + FOR_THE_HOST_NS, left = FOR_THE_HOST_NS;
        while (!__atomic_load_n(&sim.open, __ATOMIC_SEQ_CST) && left > 0) {
            cop__futex_wait(&sim.open, 0, left);
            left = until - cop__clock_monotonic_ns();
        }
        __atomic_store_n(&sim.open, 1, __ATOMIC_SEQ_CST);
        return;
    }
    int64_t next = cop__wheel_next_ms(s->wheel);
    if (__atomic_load_n(&s->remote, __ATOMIC_SEQ_CST) != NULL)
        return;
    if (next == INT64_MAX) {
        cop__sched_sleep(s, INT64_MAX);
        return;
    }
    if (__atomic_load_n(&cop__node.ports, __ATOMIC_ACQUIRE) != 0) {
        wait_for_the_world(s);
        return;
    }
    if (next * 1000000 > cop__node.sim_now_ns) {
        pass_ns(next * 1000000 - cop__node.sim_now_ns + jitter_ns());
        cop__sim_saw(SIM_TIME, (uint64_t)cop__node.sim_now_ns, 0, 0);
    }
    cop__wheel_run(s->wheel, cop__now_ns(), INT_MAX);
}

/* ---- fault points ------------------------------------------------------------------------------------- */

static bool is_spared(const cop_ctx *p) {
    for (uint32_t i = 0; i < sim.spared_count; i++)
        if (sim.spared[i] == p->pid.w)
            return true;
    return false;
}

static bool strikes_at(const cop_ctx *p, int fault) {
    if (sim.faults[fault].chance == 0 || is_spared(p) || !strikes(fault))
        return false;
    cop__sim_saw(SIM_FAULT, p->pid.w, (uint64_t)fault, 0);
    return true;
}

static void kill_here(cop_ctx *p) {
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term tuple = cop__exit_tuple(c, p->pid, cop_a(kill).t);
    cop__deliver(p->worker, cop__env_new(SIG_EXIT, p->pid, p->pid, tuple));
    cop__scratch_close(&scratch);
    cop__take_in(p);
    cop__check_exit(p);
}

void cop__sim_enter(cop_ctx *p) {
    if (p->kind != KIND_PROCESS || p->exiting || p->life == LIFE_EXITING
        || (uintptr_t)__builtin_frame_address(0) < p->worker->stack_limit)
        return;
    if (!p->pending_exit && strikes_at(p, FAULT_KILL))
        kill_here(p);
    if (strikes(FAULT_HANDOFF) || --p->budget < -64) {
        cop__sim_saw(SIM_YIELD, p->pid.w, 0, 0);
        cop__requeue(p);
    }
}

int32_t cop__sim_budget(void) { return (int32_t)(strikes(FAULT_CUT) ? draw(4) : draw(200)); }

bool cop__sim_no_memory(cop_ctx *p) {
    return p != NULL && p->kind == KIND_PROCESS && !p->exiting && strikes_at(p, FAULT_ALLOC);
}

/* ---- the public side ----------------------------------------------------------------------------------- */

bool cop_sim_is_on(void) { return cop__node.sim; }

uint64_t cop_sim_seed(void) { return cop__node.sim ? sim.seed : 0; }

bool cop_sim_fault(cop_ctx *ctx, const char *name) {
    if (__builtin_expect(!cop__node.sim, 1) || ctx->kind != KIND_PROCESS)
        return false;
    struct fault *fault = fault_named(name);
    return fault != NULL && strikes_at(ctx, (int)(fault - sim.faults));
}

void cop_sim_spare(cop_ctx *ctx) {
    if (!cop__node.sim || ctx->kind != KIND_PROCESS)
        return;
    if (sim.spared_count == sim.spared_cap)
        sim.spared = grown(sim.spared, &sim.spared_cap, sizeof(uint64_t));
    sim.spared[sim.spared_count++] = ctx->pid.w;
}
