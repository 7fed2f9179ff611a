/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving: from the process's queue, waiting for more.
 *
 * A scan keeps its place over waits, since only the owner changes the queue and new messages come at
 * its end. The wait for a reference made just now starts where the queue ended when it was made
 * (p->mark), so a call costs the same however long the queue is.
 */
#include "proc/proc.h"

/* A wait of many parts: for so long in all, from the first part on. */
struct patience {
    int64_t ms;
    int64_t seq; /* of its alarm; NO_ALARM before the first part */
};
enum { NO_ALARM = -1 };

/* Waits for the box to be filled. False: the time is over. */
static inline bool wait_with(cop_ctx *p, struct patience *patience) {
    p->idle = true;
    if (patience->ms == COP_INFINITY) {
        cop__wait(p);
        return true;
    }
    /* It is another's after the first part if the function that chooses among messages has waited itself. */
    if (patience->seq != p->wait_seq && !p->woken) {
        cop__alarm_set_in(p, patience->ms);
        patience->seq = p->wait_seq;
    }
    if (!p->woken)
        cop__wait(p);
    return !p->woken;
}

static void wait_end(cop_ctx *p) {
    cop__alarm_clear(p);
    p->woken = false;
    p->wait_seq++;
}

struct wanted {
    cop_wanted function; /* NULL: anything */
    void *arg;
    uint64_t ref;   /* not 0: the answer to this reference */
    uint64_t since; /* not 0: what came before this reference was made is not looked at */
};

/* {ref, _}, {[:alias | ref], _}, {_, ref, _} of an I/O device, or {_, ref, _, _, _} of a monitor */
static bool answers(const struct cop__env *env, uint64_t ref) {
    cop_term t = env->term;
    const cop_term *e = cop__tuple_elems(t, 2);
    if (e != NULL)
        return e[0].w == ref || (cop_is_cons(e[0]) && cop_tail(e[0]).w == ref);
    e = cop__tuple_elems(t, 5);
    if (e == NULL)
        e = cop__tuple_elems(t, 3);
    return e != NULL && e[1].w == ref;
}

static inline bool accepts(cop_ctx *p, const struct wanted *wanted, const struct cop__env *env) {
    if (wanted->ref != 0)
        return answers(env, wanted->ref);
    if (wanted->function == NULL)
        return true;
    cop__leave(p);
    bool yes = wanted->function(env->term, wanted->arg);
    cop__enter(p);
    return yes;
}

/* A part of each function that receives: every frame between it and the switch of stacks would cost a return
   that the processor cannot foresee. */
static inline __attribute__((always_inline)) bool receive(cop_ctx *p, int64_t timeout_ms,
                                                          const struct wanted *wanted,
                                                          cop_term *message) {
    struct cop__env **at =
        wanted->since != 0 && p->mark != NULL && cop__ref_youngest(p) == wanted->since ? p->mark
                                                                                       : &p->queue;
    struct patience patience = { .ms = timeout_ms, .seq = NO_ALARM };
    p->woken = false;
    cop__check_heap(p);
    for (bool in_time = true;;) {
        cop__take_in(p);
        cop__check_exit(p);
        for (; *at != NULL; at = &(*at)->next) {
            if (!accepts(p, wanted, *at))
                continue;
            struct cop__env *env = *at;
            cop__queue_remove(p, at);
            *message = cop__adopt(p, env);
            p->idle = false;
            if (patience.seq != NO_ALARM)
                wait_end(p);
            if (cop__spend(p, 1))
                cop__requeue(p);
            return true;
        }
        /* Only now: a bad time-out does not matter if a message matches. */
        if (timeout_ms != COP_INFINITY && (timeout_ms < 0 || timeout_ms > INT64_C(4294967295)))
            cop__error(p, cop_a(timeout_value).t);
        if (timeout_ms == 0 || !in_time)
            break;
        in_time = wait_with(p, &patience);
    }
    p->idle = false;
    if (patience.seq != NO_ALARM)
        wait_end(p);
    if (cop__spend(p, 1))
        cop__requeue(p);
    return false;
}

/* The name says that it is the run-time's: it may stand in a trace right above the user's code. */
static __attribute__((noinline)) bool cop__receive_wanted(cop_ctx *p, int64_t timeout_ms,
                                                          const struct wanted *wanted,
                                                          cop_term *message) {
    return receive(p, timeout_ms, wanted, message);
}

bool cop_receive(cop_ctx *ctx, int64_t timeout_ms, cop_term *message) {
    cop__enter(ctx);
    struct wanted any = { 0 };
    bool got = receive(ctx, timeout_ms, &any, message);
    cop__leave(ctx);
    return got;
}

bool cop_receive_match(cop_ctx *ctx, int64_t timeout_ms, cop_wanted wanted, void *arg,
                       cop_term *message) {
    cop__enter(ctx);
    struct wanted some = { .function = wanted, .arg = arg };
    bool got = cop__receive_wanted(ctx, timeout_ms, &some, message);
    cop__leave(ctx);
    return got;
}

bool cop_receive_match_since(cop_ctx *ctx, int64_t timeout_ms, cop_ref since, cop_wanted wanted,
                             void *arg, cop_term *message) {
    cop__enter(ctx);
    struct wanted some = { .function = wanted, .arg = arg, .since = since.t.w };
    bool got = cop__receive_wanted(ctx, timeout_ms, &some, message);
    cop__leave(ctx);
    return got;
}

bool cop_receive_ref(cop_ctx *ctx, int64_t timeout_ms, cop_ref ref, cop_term *message) {
    cop__enter(ctx);
    struct wanted answer = { .ref = ref.t.w, .since = ref.t.w };
    bool got = receive(ctx, timeout_ms, &answer, message);
    cop__leave(ctx);
    return got;
}

void cop_process_sleep(cop_ctx *ctx, int64_t ms) {
    if (ms < 0)
        cop__badarg(ctx);
    cop__enter(ctx);
    struct patience patience = { .ms = ms > INT64_C(1) << 50 ? COP_INFINITY : ms, .seq = NO_ALARM };
    ctx->woken = false;
    for (bool in_time = true; in_time;) {
        cop__take_in(ctx);
        cop__check_exit(ctx);
        in_time = wait_with(ctx, &patience);
    }
    ctx->idle = false;
    wait_end(ctx);
    cop__leave(ctx);
}
