/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watcher of a stream of tasks: one process for each walk, between the caller and the tasks.
 *
 *     caller  --link, monitor-->  watcher  --monitor (and link, unless nolink)-->  task 0, 1, 2 ...
 *     caller  <------------------- {{ref, position}, value} ----------------------  task
 *
 * It starts the tasks, so that they are linked to it and not to the caller; keeps a timer for each; and tells
 * the caller of their ends. ref is the caller's monitor of the watcher.
 *
 *     from the caller   {caller, ref}  first of all;  {:spawn, position};  {:stop, ref}
 *     to the caller     {:spawned, {ref, position}, pid};  {:max_children, ref};
 *                       {:down | :timed_out, {ref, position}, reason}
 *
 * It traps exits if the caller does. If not, a task that fails takes it along, and so the caller.
 *
 * Invariants
 *   1. `running` has each task whose down message has not come: its monitor => {position, pid, timer,
 *      timed out?}. timer is nil without a time-out.
 *   2. Whatever else comes is ignored: only references that it made itself, and the caller's, count.
 * Threads: its own process.
 */
#include <coppice/gen_server.h>

#include "task_part.h"

struct watch {
    cop_term running, owner, supervisor, shutdown, timeout; /* kept alive */
    cop_pid caller;
    cop_ref caller_down; /* the monitor of the caller */
    cop_ref ref;         /* [] inside until the caller has told it */
    enum task_under under;
};
enum { WATCH_TERMS = 5 };

/* ---- starting tasks -------------------------------------------------------------------------------------- */

/* A task that waits for its start message, monitored. False if the supervisor has no room. */
static bool start_task(cop_ctx *ctx, const struct watch *w, cop_spawned *out) {
    static const cop_spawn_opts opts = { .link = true, .monitor = true };
    if (w->under == TASK_UNDER_NOBODY) {
        *out = task_spawn(ctx, w->owner, false, &opts);
        return true;
    }
    cop_term got = task_ask_start(ctx, w->supervisor, cop_list(ctx, w->owner, cop_a(monitor)),
                                  cop_a(temporary).t, w->shutdown);
    if (cop_match_tuple(got, cop_a(error), cop_a(max_children)))
        return false;
    if (!cop_match_tuple(got, cop_a(ok), &out->pid))
        cop_error(ctx, cop_tuple(ctx, cop_a(case_clause), got));
    if (w->under == TASK_UNDER_SUPERVISOR)
        cop_process_link(ctx, out->pid);
    out->ref = cop_process_monitor(ctx, out->pid);
    return true;
}

static void spawn_one(cop_ctx *ctx, struct watch *w, cop_term position) {
    cop_spawned task;
    cop_term timer = cop_a(nil).t;
    int64_t ms;
    if (!start_task(ctx, w, &task)) {
        cop_send(ctx, w->caller, cop_tuple(ctx, cop_a(max_children), w->ref));
        return;
    }
    if (cop_get_i64(w->timeout, &ms))
        timer = cop_process_send_after(
                    ctx, cop_self(ctx),
                    cop_tuple(ctx, cop_a(timeout), cop_tuple(ctx, w->ref, task.ref)), ms)
                    .t;
    w->running = cop_map_put(ctx, w->running, task.ref.t,
                             cop_tuple(ctx, position, task.pid, timer, cop_a(false)));
    cop_send(ctx, w->caller,
             cop_tuple(ctx, cop_a(spawned), cop_tuple(ctx, w->ref, position), task.pid));
}

/* ---- ends ------------------------------------------------------------------------------------------------ */

static void one_ended(cop_ctx *ctx, struct watch *w, cop_ref monitor, cop_term task,
                      cop_term reason) {
    cop_ref timer;
    if (cop_get_ref(cop_elem(task, 2), &timer))
        cop_process_cancel_timer_async(ctx, timer, true);
    w->running = cop_map_remove(ctx, w->running, monitor.t);
    cop_atom what = cop_match(cop_elem(task, 3), cop_a(true)) ? cop_a(timed_out) : cop_a(down);
    cop_send(ctx, w->caller,
             cop_tuple(ctx, what, cop_tuple(ctx, w->ref, cop_elem(task, 0)), reason));
}

static void kill_late(cop_ctx *ctx, struct watch *w, cop_term monitor) {
    cop_term task;
    if (!cop_map_get(w->running, monitor, &task))
        return;
    cop_process_unlink(ctx, cop_elem(task, 1));
    cop_process_exit(ctx, cop_elem(task, 1), cop_a(kill));
    w->running =
        cop_map_put(ctx, w->running, monitor,
                    cop_tuple(ctx, cop_elem(task, 0), cop_elem(task, 1), cop_a(nil), cop_a(true)));
}

/* The walk is over: no task outlives it. */
static _Noreturn void stop(cop_ctx *ctx, struct watch *w) {
    cop_term monitor, task, down;
    cop_process_trap_exit(ctx, true);
    for (cop_map_iter it = cop_map_first(w->running); cop_map_next(&it, &monitor, &task);)
        cop_process_exit(ctx, cop_elem(task, 1), cop_a(kill));
    for (cop_map_iter it = cop_map_first(w->running); cop_map_next(&it, &monitor, &task);)
        cop_receive_ref(ctx, COP_INFINITY, (cop_ref){ monitor }, &down);
    cop_exit(ctx, cop_a(normal));
}

/* The caller is gone, without a word if its end was :normal. */
static _Noreturn void caller_ended(cop_ctx *ctx, struct watch *w, cop_term reason) {
    cop_term monitor, task;
    if (w->under != TASK_UNDER_SUPERVISOR_NOLINK)
        for (cop_map_iter it = cop_map_first(w->running); cop_map_next(&it, &monitor, &task);)
            cop_process_exit(ctx, cop_elem(task, 1), reason);
    cop_exit(ctx, reason);
}

static void watch_message(cop_ctx *ctx, void *state, cop_term message) {
    struct watch *w = state;
    cop_term position, any, reason, task, both, monitor;
    cop_ref ref;
    if (cop_match_tuple(message, cop_a(spawn), &position)) {
        spawn_one(ctx, w, position);
    } else if (cop_match_tuple(message, cop_as("DOWN"), &ref, &any, &any, &reason)) {
        if (cop_same(ref.t, w->caller_down.t))
            caller_ended(ctx, w, reason);
        if (cop_map_get(w->running, ref.t, &task))
            one_ended(ctx, w, ref, task, reason);
    } else if (cop_match_tuple(message, cop_a(timeout), &both)) {
        if (cop_match_tuple(both, w->ref, &monitor))
            kill_late(ctx, w, monitor);
    } else if (cop_is_nil(w->ref.t) && cop_match_tuple(message, w->caller, &ref)) {
        w->ref = ref;
    } else if (cop_match_tuple(message, cop_a(stop), w->ref)) {
        stop(ctx, w);
    }
}

/* ---- the start --------------------------------------------------------------------------------------------- */

static const cop_callbacks callbacks = { .name = "Task.Supervised", .message = watch_message };

static void watch_main(cop_ctx *ctx, cop_term arg) {
    struct watch *w = cop_process_state(ctx, sizeof *w);
    cop_term ancestors;
    int under;
    bool trap;
    if (!cop_match_tuple(arg, &w->owner, &ancestors, &under, &w->supervisor, &w->shutdown,
                         &w->timeout, &trap)
        || !cop_get_pid(cop_elem(w->owner, 2), &w->caller))
        cop_exit(ctx, cop_a(badarg));
    w->under = (enum task_under)under;
    w->running = cop_map(ctx);
    w->ref = w->caller_down = (cop_ref){ COP_NIL }; /* what no reference is */
    cop_process_keep(ctx, 0, &w->running, WATCH_TERMS);
    cop_process_put(ctx, cop_as("$ancestors").t, ancestors);
    cop_process_trap_exit(ctx, trap);
    w->caller_down = cop_process_monitor(ctx, w->caller);
    cop_become(ctx, &callbacks, w);
}

cop_spawned task_watch_spawn(cop_ctx *ctx, enum task_under under, cop_term supervisor,
                             cop_term shutdown, cop_term timeout) {
    static const cop_spawn_opts opts = { .link = true,
                                         .monitor = true,
                                         .name_hint = "Elixir.Task.Supervised:stream_monitor/5" };
    cop_term ancestors = cop_process_get(ctx, cop_as("$ancestors").t);
    ancestors = cop_list_tail(ctx, cop_self(ctx), cop_is_list(ancestors) ? ancestors : COP_NIL);
    cop_term trap = cop_process_info(ctx, cop_self(ctx), cop_a(trap_exit));
    cop_spawned watcher = cop_process_spawn(
        ctx, watch_main,
        cop_tuple(ctx, task_owner(ctx), ancestors, (int)under, supervisor, shutdown, timeout, trap),
        &opts);
    cop_send(ctx, watcher.pid, cop_tuple(ctx, cop_self(ctx), watcher.ref));
    return watcher;
}
