/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace of a simulation: what happened, in order, as one number.
 *
 * Every event goes into a running hash of 64 bits: which process begins a turn or gives way, what it
 * takes out of its box, spawns, exits, jumps of the clock, fault points that fired. Two runs with the
 * same hash went the same way. With COP_SIM_TRACE=FILE each event is also a line of that file, so that
 * two runs can be laid side by side.
 *
 * What must not be in it is anything that differs from run to run for reasons of its own: addresses, ids of
 * OS processes, the wall clock. Pids, references and ports are made of slots and counters, atoms are
 * taken by their text, times are virtual. Integers of 2^40 and more are all alike here, since that is where
 * addresses and clocks are; of a string only the length and the first 64 bytes count.
 *
 * Threads: the one worker writes; the hash may be read by any.
 */
#include <coppice/sim.h>

#include "proc/proc.h"

static struct {
    uint64_t hash; /* atomic for readers */
    uint64_t events;
    bool closed; /* atomic */
    FILE *file;
} trace = { .closed = true };

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* ---- terms ------------------------------------------------------------------------------------- */

struct walk {
    uint64_t hash;
    int left; /* of its parts; what is beyond does not count */
};

static void add_term(struct walk *d, cop_term t, int depth);

static void add_bytes(struct walk *d, cop_bytes bytes) {
    d->hash = mix(d->hash, bytes.size);
    for (size_t i = 0; i < bytes.size && i < 64; i++)
        d->hash = mix(d->hash, bytes.data[i]);
}

static void add_integer(struct walk *d, cop_term t) {
    const int64_t limit = INT64_C(1) << 40;
    int64_t n;
    if (!cop_get_i64(t, &n) || n >= limit || n <= -limit)
        n = limit;
    d->hash = mix(d->hash, (uint64_t)n);
}

static void add_box(struct walk *d, cop_term t, int depth) {
    enum cop__box kind = cop__header_kind(*cop__box(t));
    cop_bytes bytes;
    double number;
    d->hash = mix(d->hash, kind);
    if (kind == BOX_TUPLE) {
        int64_t n = cop_tuple_size(t);
        for (int64_t i = 0; i < n; i++)
            add_term(d, cop_elem(t, (size_t)i), depth + 1);
    } else if (kind == BOX_MAP || kind == BOX_HAMT) {
        cop_term key, value;
        for (cop_map_iter it = cop_map_first(t); d->left > 0 && cop_map_next(&it, &key, &value);) {
            add_term(d, key, depth + 1);
            add_term(d, value, depth + 1);
        }
    } else if (cop_get_bytes(t, &bytes)) {
        add_bytes(d, bytes);
    } else if (cop_get_double(t, &number)) {
        uint64_t bits;
        memcpy(&bits, &number, sizeof bits);
        d->hash = mix(d->hash, bits);
    }
}

static void add_term(struct walk *d, cop_term t, int depth) {
    if (d->left-- <= 0 || depth > 16 || cop_is_none(t))
        return;
    for (; cop_is_cons(t) && d->left > 0; t = cop_tail(t))
        add_term(d, cop_head(t), depth + 1);
    if (cop_is_atom(t))
        d->hash = mix(d->hash, cop__atom_hash((cop_atom){ t }));
    else if (cop_is_integer(t))
        add_integer(d, t);
    else if (cop_is_immediate(t))
        d->hash = mix(d->hash, t.w);
    else if (cop__is_box(t))
        add_box(d, t, depth);
}

/* A number for a term that is the same in every run: no address goes into it. */
static uint64_t digest(cop_term t) {
    struct walk d = { .hash = 1, .left = 256 };
    add_term(&d, t, 0);
    return d.hash;
}

/* ---- events ------------------------------------------------------------------------------------- */

void cop__sim_trace_start(uint64_t seed) {
    const char *path = getenv("COP_SIM_TRACE");
    trace.events = 0;
    trace.file = path != NULL && *path != '\0' ? fopen(path, "ae") : NULL;
    if (trace.file != NULL) {
        setvbuf(trace.file, NULL, _IOLBF, 0); /* a test that fails, or crashes, leaves all of it */
        fprintf(trace.file, "seed %llu\n", (unsigned long long)seed);
    }
    __atomic_store_n(&trace.hash, mix(0, seed), __ATOMIC_RELAXED);
    __atomic_store_n(&trace.closed, false, __ATOMIC_RELEASE);
}

void cop__sim_trace_close(void) { __atomic_store_n(&trace.closed, true, __ATOMIC_RELEASE); }

void cop__sim_trace_stop(void) {
    cop__sim_trace_close();
    if (trace.file != NULL)
        fclose(trace.file);
    trace.file = NULL;
}

static void write_line(enum cop__sim_event event, uint64_t a, uint64_t b, uint64_t c,
                       cop_term about) {
    static const char *const names[] = { "",      "pick", "yield", "open",
                                         "spawn", "exit", "time",  "fault" };
    static const cop_inspect_opts opts = { .limit = 50, .printable_limit = 400 };
    static char text[2048];
    *text = '\0';
    if (!cop_is_none(about))
        cop_inspect_to(text, sizeof text, about, &opts);
    fprintf(trace.file, "%llu %s %llx %llx %llx %s\n", (unsigned long long)trace.events,
            names[event], (unsigned long long)a, (unsigned long long)b, (unsigned long long)c,
            text);
}

/* Not of the trace: what comes after its end, and the world outside, whose doings are seen when they are
   opened. */
static bool is_of_it(void) {
    struct cop__worker *w;
    return !__atomic_load_n(&trace.closed, __ATOMIC_ACQUIRE) && (w = cop__worker_self()) != NULL
           && !w->is_pseudo;
}

static void add_event(enum cop__sim_event event, uint64_t a, uint64_t b, uint64_t c,
                      cop_term about) {
    uint64_t hash = mix(mix(mix(mix(trace.hash, event), a), b), c);
    __atomic_store_n(&trace.hash, hash, __ATOMIC_RELAXED);
    trace.events++;
    if (trace.file != NULL)
        write_line(event, a, b, c, about);
}

void cop__sim_saw(enum cop__sim_event event, uint64_t a, uint64_t b, uint64_t c) {
    if (is_of_it())
        add_event(event, a, b, c, COP_NONE);
}

void cop__sim_exits(cop_ctx *p, cop_term reason) {
    if (is_of_it())
        add_event(SIM_EXIT, p->pid.w, 0, digest(reason), reason);
}

void cop__sim_opened(cop_ctx *p, const struct cop__env *first) {
    if (!is_of_it())
        return;
    for (const struct cop__env *env = first; env != NULL; env = env->next)
        add_event(SIM_OPEN, p->pid.w, env->from.w,
                  mix(digest(env->term), (uint64_t)env->kind << 32 | env->id), env->term);
}

uint64_t cop_sim_trace(void) { return __atomic_load_n(&trace.hash, __ATOMIC_RELAXED); }
