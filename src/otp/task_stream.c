/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of tasks, the caller's side: a generator (coppice/enum.h) that takes elements from its input, has
 * a task started for each by the watcher (task_watch.c), and gives out their results.
 *
 * While fewer tasks run than may, the next element is taken; results are only looked at when as many
 * run as may, or when the input has ended. That is the back-pressure: nothing is taken from the input
 * that no task works on, and a task is over when its process is.
 *
 * What a walk knows is one term, handed from one call to the next:
 *
 *     {the input's own term, call, %{position => {:running, element} | {:ok, value} | {:exit, reason}}}
 *
 * where the element is nil unless results are zipped with it. The rest stands in struct stream.
 *
 * Invariants
 *   1. delivered <= spawned; the map has no position that was delivered.
 *   2. `watching` is true from the watcher's start until its end was seen. Then nothing of the walk is
 *      left in the mailbox, nor a link or a monitor.
 *   3. *kept is written after each change of what it holds, so that `halt` sees the last state even
 *      when something raised in between.
 * Threads: the process that walks.
 */
#include <coppice/enum.h>
#include <coppice/node.h>
#include <stdio.h>

#include "task_part.h"

struct stream {
    cop_enum input; /* its `kept` is good only within a call: it lives in the term */
    cop_spawned watcher;
    int64_t timeout, on_timeout;
    int64_t room; /* so many more tasks may run */
    int64_t spawned, delivered;
    bool begun, watching, ended; /* ended: the input */
    bool unordered, zip;
};

/* ---- the term ------------------------------------------------------------------------------------------ */

static cop_term call_of(cop_term kept) { return cop_elem(kept, 1); }
static cop_term waiting_of(cop_term kept) { return cop_elem(kept, 2); }

static void set_waiting(cop_ctx *ctx, cop_term *kept, cop_term waiting) {
    *kept = cop_tuple(ctx, cop_elem(*kept, 0), call_of(*kept), waiting);
}

static void set_task(cop_ctx *ctx, cop_term *kept, cop_term position, cop_term how) {
    set_waiting(ctx, kept, cop_map_put(ctx, waiting_of(*kept), position, how));
}

static void forget_task(cop_ctx *ctx, cop_term *kept, cop_term position) {
    set_waiting(ctx, kept, cop_map_remove(ctx, waiting_of(*kept), position));
}

/* ---- messages -------------------------------------------------------------------------------------------- */

/* {ref, position}? */
static bool is_place(cop_term t, cop_ref ref, cop_term *position) {
    return cop_match_tuple(t, ref, position);
}

static bool is_result(cop_term message, void *arg) {
    const struct stream *s = arg;
    cop_term place, any, position;
    cop_atom kind;
    if (cop_match_tuple(message, &place, &any))
        return is_place(place, s->watcher.ref, &position);
    if (cop_match_tuple(message, &kind, &place, &any))
        return (cop_match(kind.t, cop_a(down)) || cop_match(kind.t, cop_a(timed_out)))
               && is_place(place, s->watcher.ref, &position);
    return task_is_down(message, s->watcher.ref);
}

static bool is_spawned(cop_term message, void *arg) {
    const struct stream *s = arg;
    cop_term place, any, position;
    if (cop_match_tuple(message, cop_a(spawned), &place, &any))
        return is_place(place, s->watcher.ref, &position);
    return cop_match_tuple(message, cop_a(max_children), s->watcher.ref)
           || task_is_down(message, s->watcher.ref);
}

static bool is_watcher_down(cop_term message, void *arg) {
    const struct stream *s = arg;
    return task_is_down(message, s->watcher.ref);
}

/* All that may be left of a walk whose watcher is gone. */
static bool is_left_over(cop_term message, void *arg) {
    const struct stream *s = arg;
    cop_term any;
    return is_result(message, arg) || is_spawned(message, arg)
           || cop_match_tuple(message, cop_as("EXIT"), s->watcher.pid, &any);
}

/* ---- the watcher's end ------------------------------------------------------------------------------------ */

static void forget_watcher(cop_ctx *ctx, struct stream *s) {
    cop_term message;
    s->watching = false;
    cop_process_demonitor(ctx, s->watcher.ref, COP_DEMONITOR_FLUSH);
    cop_process_unlink(ctx, s->watcher.pid);
    while (cop_receive_match(ctx, 0, is_left_over, s, &message))
        ;
}

static _Noreturn void exit_stream(cop_ctx *ctx, const struct stream *s, cop_term reason) {
    cop_term shown = task_timeout_term(ctx, s->timeout);
    cop_exit(ctx, cop_tuple(ctx, reason,
                            cop_tuple(ctx, cop_as("Elixir.Task.Supervised"), cop_a(stream),
                                      cop_list(ctx, shown))));
}

static _Noreturn void watcher_ended(cop_ctx *ctx, struct stream *s, cop_term down) {
    forget_watcher(ctx, s);
    exit_stream(ctx, s, cop_elem(down, 4));
}

/* No task is left when this returns. */
static void stream_halt(cop_ctx *ctx, void *state, cop_term kept) {
    struct stream *s = state;
    cop_term down = COP_NONE;
    if (!s->begun)
        return;
    if (s->watching) {
        cop_send(ctx, s->watcher.pid, cop_tuple(ctx, cop_a(stop), s->watcher.ref));
        cop_receive_match_since(ctx, COP_INFINITY, s->watcher.ref, is_watcher_down, s, &down);
        forget_watcher(ctx, s);
    }
    s->input.kept = cop_elem(kept, 0);
    cop_enum_close(ctx, &s->input);
    if (!cop_is_none(down) && !cop_match(cop_elem(down, 4), cop_a(normal)))
        exit_stream(ctx, s, cop_elem(down, 4));
}

/* ---- walking -------------------------------------------------------------------------------------------------- */

static void begin(cop_ctx *ctx, struct stream *s, cop_term *kept) {
    cop_term enumerable, call, supervisor, shutdown, timeout, rest;
    int under;
    if (!cop_match_tuple(*kept, &enumerable, &call, &under, &supervisor, &shutdown, &timeout, &rest)
        || !cop_match_tuple(rest, &s->room, &s->on_timeout, &s->unordered, &s->zip))
        cop_error(ctx, cop_a(badarg));
    if (!cop_get_i64(timeout, &s->timeout))
        s->timeout = COP_INFINITY;
    s->input = cop_enum_open(ctx, enumerable);
    *kept = cop_tuple(ctx, s->input.kept, call, cop_map(ctx));
    s->begun = true;
    s->watcher = task_watch_spawn(ctx, (enum task_under)under, supervisor, shutdown, timeout);
    s->watching = true;
}

/* {m, f, [element | args]}; a fun gets it as the only argument. */
static cop_term call_with(cop_ctx *ctx, cop_term call, cop_term element) {
    cop_term args = cop_elem(call, 2), fun, rest;
    if (cop_match_tuple(call, cop_a(erlang), cop_a(apply), &args)
        && cop_match_cons(args, &fun, &rest) && cop_is_fun(fun))
        args = cop_list(ctx, fun, cop_list(ctx, element));
    else
        args = cop_cons(ctx, element, args);
    return cop_tuple(ctx, cop_elem(call, 0), cop_elem(call, 1), args);
}

static void start_one(cop_ctx *ctx, struct stream *s, cop_term *kept, cop_term element) {
    cop_term message, any;
    cop_pid pid;
    cop_term place = cop_tuple(ctx, s->watcher.ref, s->spawned);
    cop_send(ctx, s->watcher.pid, cop_tuple(ctx, cop_a(spawn), s->spawned));
    cop_receive_match_since(ctx, COP_INFINITY, s->watcher.ref, is_spawned, s, &message);
    if (task_is_down(message, s->watcher.ref))
        watcher_ended(ctx, s, message);
    if (!cop_match_tuple(message, cop_a(spawned), &any, &pid))
        cop_raise(
            ctx, "RuntimeError",
            "%s. When using async_stream or async_stream_nolink, make sure to configure "
            ":max_concurrency to be lower or equal to :max_children and pay attention to whether "
            "other tasks are also spawned under the same task supervisor.",
            task_max_children_text);
    task_send_start(ctx, pid, place, cop_self(ctx).t, call_with(ctx, call_of(*kept), element));
    set_task(ctx, kept, cop_of(ctx, s->spawned),
             cop_tuple(ctx, cop_a(running), s->zip ? element : cop_a(nil).t));
    s->spawned++;
    s->room--;
}

/* Takes an element and starts its task. */
static void pull(cop_ctx *ctx, struct stream *s, cop_term *kept) {
    cop_term element;
    s->input.kept = cop_elem(*kept, 0);
    bool more = cop_enum_next(ctx, &s->input, &element);
    *kept = cop_tuple(ctx, s->input.kept, call_of(*kept), waiting_of(*kept));
    if (more)
        start_one(ctx, s, kept, element);
    else
        s->ended = true;
}

static cop_term exited(cop_ctx *ctx, const struct stream *s, cop_term element, cop_term reason) {
    if (s->zip)
        reason = cop_tuple(ctx, element, reason);
    return cop_tuple(ctx, cop_a(exit), reason);
}

/* A task is down: what becomes of its position. */
static void task_ended(cop_ctx *ctx, struct stream *s, cop_term *kept, cop_term message,
                       cop_term position) {
    cop_term how, element, reason = cop_elem(message, 2);
    s->room++;
    if (!cop_map_get(waiting_of(*kept), position, &how)
        || !cop_match_tuple(how, cop_a(running), &element))
        return; /* its value had come, or was even delivered */
    if (cop_match(cop_elem(message, 0), cop_a(timed_out))) {
        if (s->on_timeout == COP_ELEMENT_TIMEOUT_EXIT)
            exit_stream(ctx, s, cop_a(timeout).t);
        reason = cop_a(timeout).t;
    }
    set_task(ctx, kept, position, exited(ctx, s, element, reason));
}

/* The result of a position that is not running, which is delivered thereby. */
static bool deliver(cop_ctx *ctx, struct stream *s, cop_term *kept, cop_term position,
                    cop_term *result) {
    cop_term how, any;
    if (!cop_map_get(waiting_of(*kept), position, &how)
        || cop_match_tuple(how, cop_a(running), &any))
        return false;
    forget_task(ctx, kept, position);
    s->delivered++;
    *result = how;
    return true;
}

/* Takes one message; true if one position ended thereby. */
static bool take(cop_ctx *ctx, struct stream *s, cop_term *kept, cop_term *position) {
    cop_term message, place, value, any;
    cop_receive_match_since(ctx, COP_INFINITY, s->watcher.ref, is_result, s, &message);
    if (task_is_down(message, s->watcher.ref))
        watcher_ended(ctx, s, message);
    if (cop_match_tuple(message, &place, &value)) {
        set_task(ctx, kept, cop_elem(place, 1), cop_tuple(ctx, cop_a(ok), value));
        return false;
    }
    cop_match_tuple(message, &any, &place, &any);
    *position = cop_elem(place, 1);
    task_ended(ctx, s, kept, message, *position);
    return true;
}

static bool stream_next(cop_ctx *ctx, void *state, cop_term *kept, cop_term *element) {
    struct stream *s = state;
    cop_term position;
    bool deliverable = true; /* a position has ended since results were looked at */
    if (!s->begun)
        begin(ctx, s, kept);
    while (s->spawned > s->delivered || !s->ended) {
        if (!s->unordered && deliverable
            && deliver(ctx, s, kept, cop_of(ctx, s->delivered), element))
            return true;
        deliverable = false;
        if (s->room > 0 && !s->ended) {
            pull(ctx, s, kept);
        } else if (take(ctx, s, kept, &position)) {
            deliverable = true;
            if (s->unordered && deliver(ctx, s, kept, position, element))
                return true;
        }
    }
    return false;
}

static const cop_generator generator = {
    .name = "Task.async_stream",
    .state_size = sizeof(struct stream),
    .next = stream_next,
    .halt = stream_halt,
};

/* ---- building one ------------------------------------------------------------------------------------------- */

static _Noreturn void bad_option(cop_ctx *ctx, const char *what) {
    cop_raise(ctx, "ArgumentError", "%s", what);
}

static cop_term shutdown_of(cop_ctx *ctx, int64_t ms) {
    if (ms == COP_BRUTAL_KILL)
        return cop_a(brutal_kill).t;
    if ((ms < 0 && ms != COP_ZERO) || ms == COP_INFINITY)
        bad_option(ctx, ":shutdown must be either a positive integer or :brutal_kill");
    return cop_of(ctx, ms == 0 ? 5000 : ms == COP_ZERO ? 0 : ms);
}

cop_term task_stream(cop_ctx *ctx, cop_term enumerable, cop_term what, enum task_under under,
                     cop_term supervisor, const cop_async_stream_opts *opts) {
    static const cop_async_stream_opts defaults;
    const cop_async_stream_opts *o = opts != NULL ? opts : &defaults;
    cop_term call = task_call_of(ctx, what, 1, "Task.async_stream");
    int64_t max = o->max_concurrency == 0 ? cop_node_schedulers() : o->max_concurrency;
    if (max < 0)
        bad_option(ctx, ":max_concurrency must be an integer greater than zero");
    if (o->timeout_ms < 0 && o->timeout_ms != COP_ZERO)
        bad_option(ctx, ":timeout must be either a positive integer or :infinity");
    if (o->on_timeout != COP_ELEMENT_TIMEOUT_EXIT && o->on_timeout != COP_ELEMENT_TIMEOUT_KILL)
        bad_option(ctx, ":on_timeout must be either :exit or :kill_task");
    cop_term shutdown = shutdown_of(ctx, o->shutdown_ms);
    cop_term timeout = task_timeout_term(ctx, task_timeout(ctx, o->timeout_ms, "async_stream"));
    cop_term rest = cop_tuple(ctx, max, (int)o->on_timeout, o->unordered, o->zip_input_on_exit);
    return cop_stream(
        ctx, &generator,
        cop_tuple(ctx, enumerable, call, (int)under, supervisor, shutdown, timeout, rest));
}

cop_term cop_task_async_stream_term(cop_ctx *ctx, cop_term enumerable, cop_term what,
                                    const cop_async_stream_opts *opts) {
    return task_stream(ctx, enumerable, what, TASK_UNDER_NOBODY, cop_a(nil).t, opts);
}
