/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task: waiting for many tasks at once.
 *
 * The tasks' references are put into a table, so that what a message costs does not depend on how many
 * there are. One walk along the mailbox takes the first message that belongs to a task without an
 * answer; the time left is measured anew each time, so no timer can leave a message behind.
 *
 * Invariants
 *   1. A task listed twice stands in the table once, at its first place; its twins copy from there.
 *   2. An answered task is not looked for any more: further messages of it stay in the mailbox.
 * Threads: the owner's process.
 */
#include "task_part.h"

struct many {
    const cop_task *tasks;
    size_t count, distinct;
    cop_task_result *results;
    size_t *first; /* of each task, the place of the first one with the same reference */
    size_t *slots; /* place + 1; 0: free */
    size_t mask;
    size_t hit; /* the place of the task that the last message belongs to */
};

/* ---- the table ------------------------------------------------------------------------------------- */

/* Where that reference is, or could be put. */
static size_t *slot_of(const struct many *m, cop_term ref) {
    size_t at = (cop_phash2(ref) * (size_t)0x9e3779b97f4a7c15u) >> 20;
    for (;; at++) {
        size_t *slot = &m->slots[at & m->mask];
        if (*slot == 0 || cop_same(m->tasks[*slot - 1].ref.t, ref))
            return slot;
    }
}

static void open_many(cop_ctx *ctx, struct many *m, size_t count, const cop_task *tasks,
                      cop_task_result *results) {
    size_t size = 8;
    while (size < 2 * count)
        size *= 2;
    *m = (struct many){ .tasks = tasks, .count = count, .results = results, .mask = size - 1 };
    for (size_t i = 0; i < count; i++) {
        task_check_owner(ctx, &tasks[i]);
        results[i] = (cop_task_result){ .value = COP_NONE };
    }
    m->first = cop_alloc(ctx, (size + count) * sizeof *m->first);
    m->slots = m->first + count;
    for (size_t i = 0; i < count; i++) {
        size_t *slot = slot_of(m, tasks[i].ref.t);
        if (*slot == 0) {
            *slot = i + 1;
            m->distinct++;
        }
        m->first[i] = *slot - 1;
    }
}

static void close_many(cop_ctx *ctx, struct many *m) {
    for (size_t i = 0; i < m->count; i++)
        m->results[i] = m->results[m->first[i]];
    cop_free(ctx, m->first);
}

static cop_term tasks_term(cop_ctx *ctx, const struct many *m) {
    cop_term list = COP_NIL;
    for (size_t i = m->count; i > 0; i--)
        list = cop_cons(ctx, cop_task_to_term(ctx, m->tasks[i - 1]), list);
    return list;
}

static void demonitor_pending(cop_ctx *ctx, const struct many *m) {
    for (size_t i = 0; i < m->count; i++)
        if (m->first[i] == i && m->results[i].is == COP_TASK_NOTHING)
            cop_process_demonitor(ctx, m->tasks[i].ref, COP_DEMONITOR_FLUSH);
}

/* ---- taking messages ------------------------------------------------------------------------------------ */

static bool is_of_one(cop_term message, void *arg) {
    struct many *m = arg;
    cop_term ref, any;
    if (!cop_match_tuple(message, &ref, &any)
        && !cop_match_tuple(message, cop_as("DOWN"), &ref, &any, &any, &any))
        return false;
    if (!cop_is_ref(ref))
        return false;
    size_t slot = *slot_of(m, ref);
    if (slot == 0 || m->results[slot - 1].is != COP_TASK_NOTHING)
        return false;
    m->hit = slot - 1;
    return true;
}

static bool take_one(cop_ctx *ctx, struct many *m, int64_t until_ms, cop_term *message) {
    int64_t left = COP_INFINITY;
    if (until_ms != COP_INFINITY) {
        left = until_ms - cop_monotonic_ms(ctx);
        left = left > 0 ? left : 0;
    }
    return cop_receive_match(ctx, left, is_of_one, m, message);
}

static int64_t until(cop_ctx *ctx, int64_t timeout_ms) {
    if (timeout_ms == COP_INFINITY)
        return COP_INFINITY;
    if (timeout_ms > INT64_C(4294967295))
        cop_error(ctx, cop_a(timeout_value));
    return cop_monotonic_ms(ctx) + timeout_ms;
}

/* Notes a reply; false for a down message. */
static bool note_reply(cop_ctx *ctx, struct many *m, cop_term message) {
    if (cop_tuple_size(message) != 2)
        return false;
    m->results[m->hit] = (cop_task_result){ COP_TASK_OK, cop_elem(message, 1) };
    cop_process_demonitor(ctx, m->tasks[m->hit].ref, COP_DEMONITOR_FLUSH);
    return true;
}

/* ---- await_many ------------------------------------------------------------------------------------------- */

cop_term cop_task_await_many(cop_ctx *ctx, size_t count, const cop_task *tasks,
                             int64_t timeout_ms) {
    int64_t timeout = task_timeout(ctx, timeout_ms, "Task.await_many/2");
    if (count == 0)
        return COP_NIL;
    struct many m;
    cop_task_result *results = cop_alloc(ctx, count * sizeof *results);
    open_many(ctx, &m, count, tasks, results);
    int64_t end = until(ctx, timeout);
    for (size_t left = m.distinct; left > 0; left--) {
        cop_term message, reason = cop_a(timeout).t;
        bool came = take_one(ctx, &m, end, &message);
        if (came && note_reply(ctx, &m, message))
            continue;
        if (came)
            reason = task_down_reason(ctx, message);
        demonitor_pending(ctx, &m);
        cop_term list = tasks_term(ctx, &m);
        cop_free(ctx, m.first);
        cop_free(ctx, results);
        task_exit(ctx, reason, "await_many", list, task_timeout_term(ctx, timeout));
    }
    close_many(ctx, &m);
    cop_term list = COP_NIL;
    for (size_t i = count; i > 0; i--)
        list = cop_cons(ctx, results[i - 1].value, list);
    cop_free(ctx, results);
    return list;
}

/* ---- yield_many -------------------------------------------------------------------------------------------- */

static void end_late_ones(cop_ctx *ctx, struct many *m, cop_on_timeout how) {
    for (size_t i = 0; i < m->count; i++) {
        if (m->first[i] != i || m->results[i].is != COP_TASK_NOTHING)
            continue;
        if (how == COP_ON_TIMEOUT_KILL)
            m->results[i] = cop_task_shutdown(ctx, m->tasks[i], COP_BRUTAL_KILL);
        else if (how == COP_ON_TIMEOUT_IGNORE)
            m->results[i] = cop_task_ignore(ctx, m->tasks[i]);
    }
}

static void note_any(cop_ctx *ctx, struct many *m, cop_term message, int64_t timeout) {
    if (note_reply(ctx, m, message))
        return;
    if (cop_match(cop_elem(message, 4), cop_a(noconnection))) {
        cop_term list = tasks_term(ctx, m);
        cop_free(ctx, m->first);
        task_exit(ctx, task_down_reason(ctx, message), "yield_many", list,
                  task_timeout_term(ctx, timeout));
    }
    m->results[m->hit] = (cop_task_result){ COP_TASK_EXIT, cop_elem(message, 4) };
}

void cop_task_yield_many(cop_ctx *ctx, size_t count, const cop_task *tasks,
                         const cop_yield_opts *opts, cop_task_result *results) {
    static const cop_yield_opts defaults;
    const cop_yield_opts *o = opts != NULL ? opts : &defaults;
    int64_t timeout = task_timeout(ctx, o->timeout_ms, "Task.yield_many/2");
    if (o->limit < 0 && o->limit != COP_ZERO)
        task_no_clause(ctx, "Task.yield_many/2");
    struct many m;
    open_many(ctx, &m, count, tasks, results);
    size_t wanted = m.distinct;
    if (o->limit != 0 && (size_t)(o->limit == COP_ZERO ? 0 : o->limit) < wanted)
        wanted = o->limit == COP_ZERO ? 0 : (size_t)o->limit;
    int64_t end = until(ctx, timeout);
    cop_term message;
    while (wanted > 0 && take_one(ctx, &m, end, &message)) {
        note_any(ctx, &m, message, timeout);
        wanted--;
    }
    if (wanted > 0)
        end_late_ones(ctx, &m, o->on_timeout);
    close_many(ctx, &m);
}
