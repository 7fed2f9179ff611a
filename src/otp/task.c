/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task: starting one, and the owner's side of one task.
 *
 * A task's reference is a monitor of the owner's that is also an alias, until the monitor ends. Two
 * messages carry it: {ref, result}, sent by the task to the alias, and the down message. The first is
 * always there before the second. Whoever takes one of them ends the monitor and flushes the other, so
 * nothing is left; ending the monitor also closes the alias, so nothing comes later.
 *
 * Threads: the owner's process.
 */
#include <coppice/proc_lib.h>

#include "task_part.h"

/* ---- the value ---------------------------------------------------------------------------------------- */

cop_term cop_task_to_term(cop_ctx *ctx, cop_task task) {
    return cop_map(ctx, cop_as("__struct__"), cop_as("Elixir.Task"), cop_a(mfa), task.mfa,
                   cop_a(owner), task.owner, cop_a(pid),
                   cop_is_none(task.pid.t) ? cop_a(nil).t : task.pid.t, cop_a(ref), task.ref);
}

bool cop_task_from_term(cop_term t, cop_task *out) {
    cop_term pid;
    *out = (cop_task){ .mfa = COP_NONE };
    return cop_is_struct(t, cop_as("Elixir.Task")) && cop_match_key(t, cop_a(pid), &pid)
           && (cop_match(pid, cop_a(nil)) || cop_get_pid(pid, &out->pid))
           && cop_match_key(t, cop_a(ref), &out->ref) && cop_match_key(t, cop_a(owner), &out->owner)
           && cop_match_key(t, cop_a(mfa), &out->mfa);
}

cop_term cop_task_result_to_term(cop_ctx *ctx, cop_task_result result) {
    if (result.is == COP_TASK_NOTHING)
        return cop_a(nil).t;
    return cop_tuple(ctx, result.is == COP_TASK_OK ? cop_a(ok) : cop_a(exit), result.value);
}

void task_check_owner(cop_ctx *ctx, const cop_task *task) {
    char shown[512], self[40];
    if (cop_same(task->owner.t, cop_self(ctx).t))
        return;
    cop_inspect_to(shown, sizeof shown, cop_task_to_term(ctx, *task), NULL);
    cop_inspect_to(self, sizeof self, cop_self(ctx).t, NULL);
    cop_raise(ctx, "ArgumentError",
              "task %s must be queried from the owner but was queried from %s", shown, self);
}

int64_t task_timeout(cop_ctx *ctx, int64_t timeout_ms, const char *function) {
    int64_t timeout = timeout_ms == 0 ? 5000 : timeout_ms == COP_ZERO ? 0 : timeout_ms;
    if (timeout < 0)
        task_no_clause(ctx, function);
    return timeout;
}

cop_term task_timeout_term(cop_ctx *ctx, int64_t timeout_ms) {
    return timeout_ms == COP_INFINITY ? cop_a(infinity).t : cop_of(ctx, timeout_ms);
}

_Noreturn void task_exit(cop_ctx *ctx, cop_term reason, const char *function, cop_term first,
                         cop_term shown) {
    cop_exit(ctx, cop_tuple(ctx, reason,
                            cop_tuple(ctx, cop_as("Elixir.Task"), cop_atom_new(function),
                                      cop_list(ctx, first, shown))));
}

/* ---- messages ------------------------------------------------------------------------------------------- */

bool task_is_down(cop_term message, cop_ref ref) {
    cop_term any;
    return cop_match_tuple(message, cop_as("DOWN"), ref, &any, &any, &any);
}

/* :noconnection says only that; the object, a pid or {name, node}, says where. A pid of this node can
   have it only in a message that somebody made. */
cop_term task_down_reason(cop_ctx *ctx, cop_term down) {
    cop_term object = cop_elem(down, 3), reason = cop_elem(down, 4), name, node;
    if (!cop_match(reason, cop_a(noconnection)))
        return reason;
    if (!cop_match_tuple(object, &name, &node))
        node = cop_as("nonode@nohost").t;
    return cop_tuple(ctx, cop_a(nodedown), node);
}

static bool is_noconnection(cop_term down) {
    return cop_match(cop_elem(down, 4), cop_a(noconnection));
}

static bool is_of_ref(cop_term message, void *arg) {
    cop_ref ref = *(cop_ref *)arg;
    cop_term any;
    return cop_match_tuple(message, ref, &any) || task_is_down(message, ref);
}

static bool is_reply(cop_term message, void *arg) {
    cop_term any;
    return cop_match_tuple(message, *(cop_ref *)arg, &any);
}

static bool is_down(cop_term message, void *arg) { return task_is_down(message, *(cop_ref *)arg); }

static void flush(cop_ctx *ctx, cop_ref ref) {
    cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
}

/* ---- starting --------------------------------------------------------------------------------------------- */

static cop_pid start(cop_ctx *ctx, cop_term what, bool link, const char *function) {
    cop_term call = task_call_of(ctx, what, 0, function);
    cop_spawn_opts opts = { .link = link };
    return task_spawn_now(ctx, task_owner(ctx), task_callers(ctx), call, &opts).pid;
}

cop_pid cop_task_start_term(cop_ctx *ctx, cop_term what) {
    return start(ctx, what, false, "Task.start");
}

cop_pid cop_task_start_link_term(cop_ctx *ctx, cop_term what) {
    return start(ctx, what, true, "Task.start_link");
}

cop_task cop_task_async_term(cop_ctx *ctx, cop_term what) {
    cop_term call = task_call_of(ctx, what, 0, "Task.async");
    cop_spawn_opts opts = { .link = true,
                            .monitor_alias = COP_ALIAS_DEMONITOR,
                            .monitor_ref = cop_make_ref(ctx) };
    cop_spawned child = task_spawn_now(ctx, task_owner(ctx), task_callers(ctx), call, &opts);
    return (cop_task){ child.pid, child.ref, cop_self(ctx), task_arity_of(ctx, call) };
}

cop_task cop_task_completed(cop_ctx *ctx, cop_term value) {
    cop_ref ref = cop_make_ref(ctx);
    cop_send(ctx, cop_self(ctx), cop_tuple(ctx, ref, value));
    return (cop_task){ .ref = ref,
                       .owner = cop_self(ctx),
                       .mfa = cop_tuple(ctx, cop_as("Elixir.Task"), cop_a(completed), 1) };
}

cop_term cop_task_child_spec(cop_ctx *ctx, cop_term arg) {
    return cop_task_child_spec_use(ctx, "Task", arg, COP_NIL);
}

cop_term cop_task_child_spec_use(cop_ctx *ctx, const char *module, cop_term arg,
                                 cop_term overrides) {
    cop_term spec = cop_child_spec_use(ctx, module, COP_WORKER, arg, COP_NIL);
    spec = cop_map_put(ctx, spec, cop_a(restart).t, cop_a(temporary).t);
    return cop_supervisor_child_spec(ctx, spec, overrides);
}

/* ---- waiting for one ----------------------------------------------------------------------------------------- */

cop_term cop_task_await(cop_ctx *ctx, cop_task task, int64_t timeout_ms) {
    int64_t timeout = task_timeout(ctx, timeout_ms, "Task.await/2");
    task_check_owner(ctx, &task);
    cop_term message, reply, reason = cop_a(timeout).t;
    if (cop_receive_match_since(ctx, timeout, task.ref, is_of_ref, &task.ref, &message)) {
        if (cop_match_tuple(message, task.ref, &reply)) {
            flush(ctx, task.ref);
            return reply;
        }
        reason = task_down_reason(ctx, message);
    }
    flush(ctx, task.ref);
    task_exit(ctx, reason, "await", cop_task_to_term(ctx, task), task_timeout_term(ctx, timeout));
}

/* What a message of the task's means to yield, shutdown and ignore. */
static cop_task_result result_of(cop_ctx *ctx, const cop_task *task, cop_term message,
                                 const char *function, cop_term shown) {
    cop_task_result result = { .is = COP_TASK_OK };
    if (cop_match_tuple(message, task->ref, &result.value)) {
        flush(ctx, task->ref);
        return result;
    }
    if (is_noconnection(message))
        task_exit(ctx, task_down_reason(ctx, message), function, cop_task_to_term(ctx, *task),
                  shown);
    return (cop_task_result){ COP_TASK_EXIT, cop_elem(message, 4) };
}

cop_task_result cop_task_yield(cop_ctx *ctx, cop_task task, int64_t timeout_ms) {
    int64_t timeout = task_timeout(ctx, timeout_ms, "Task.yield/2");
    task_check_owner(ctx, &task);
    cop_term message;
    if (!cop_receive_match_since(ctx, timeout, task.ref, is_of_ref, &task.ref, &message))
        return (cop_task_result){ COP_TASK_NOTHING, COP_NONE };
    return result_of(ctx, &task, message, "yield", task_timeout_term(ctx, timeout));
}

cop_task_result cop_task_ignore(cop_ctx *ctx, cop_task task) {
    task_check_owner(ctx, &task);
    cop_term message, reply;
    bool there = cop_receive_match_since(ctx, 0, task.ref, is_of_ref, &task.ref, &message);
    if (there && !cop_match_tuple(message, task.ref, &reply)) {
        if (is_noconnection(message))
            cop_exit(ctx, cop_tuple(ctx, task_down_reason(ctx, message),
                                    cop_tuple(ctx, cop_as("Elixir.Task"), cop_a(ignore),
                                              cop_list(ctx, cop_task_to_term(ctx, task)))));
        return (cop_task_result){ COP_TASK_EXIT, cop_elem(message, 4) };
    }
    if (!cop_is_none(task.pid.t))
        cop_process_unlink(ctx, task.pid);
    flush(ctx, task.ref);
    return there ? (cop_task_result){ COP_TASK_OK, reply }
                 : (cop_task_result){ COP_TASK_NOTHING, COP_NONE };
}

/* ---- ending one ------------------------------------------------------------------------------------------------- */

/* Sends the signal in the place of a caller that dies before it could. arg: {pid, reason, caller, ref}. */
static void enforce_exit(cop_ctx *ctx, cop_term arg) {
    cop_term pid, reason, message;
    cop_pid caller;
    cop_ref done;
    if (!cop_match_tuple(arg, &pid, &reason, &caller, &done))
        return;
    cop_ref watch = cop_process_monitor(ctx, caller);
    while (cop_receive(ctx, COP_INFINITY, &message)) {
        if (task_is_down(message, watch))
            cop_process_exit(ctx, pid, reason);
        if (task_is_down(message, watch) || cop_match_tuple(message, cop_a(done), done))
            return;
    }
}

/* Unlinks first, so that the exit does not come back. Between the two steps the task has nobody: if the
   caller is killed just there, the helper does the second. */
static void unlink_and_exit(cop_ctx *ctx, cop_pid pid, cop_atom reason) {
    cop_ref done = cop_make_ref(ctx);
    cop_pid helper = cop_spawn(ctx, enforce_exit, cop_tuple(ctx, pid, reason, cop_self(ctx), done));
    cop_process_unlink(ctx, pid);
    cop_process_exit(ctx, pid, reason);
    cop_send(ctx, helper, cop_tuple(ctx, cop_a(done), done));
}

/* The task's own messages after its end, of which `watch`, a second monitor, has told; a reply always
   wins. */
static cop_task_result last_word(cop_ctx *ctx, const cop_task *task, cop_term down,
                                 cop_atom expected, cop_term shown) {
    cop_task_result result = { .is = COP_TASK_OK };
    cop_ref ref = task->ref;
    cop_term message, reason = cop_elem(down, 4);
    if (cop_receive_match(ctx, 0, is_reply, &ref, &message)) {
        result.value = cop_elem(message, 1);
        flush(ctx, ref);
        return result;
    }
    if (cop_match(reason,
                  cop_a(noproc))) { /* it had ended before: its own down message knows how */
        if (!cop_receive_match(ctx, 0, is_down, &ref, &down)) {
            flush(ctx, ref);
            return (cop_task_result){ COP_TASK_EXIT, reason };
        }
        reason = cop_elem(down, 4);
    }
    flush(ctx, ref);
    if (is_noconnection(down))
        task_exit(ctx, task_down_reason(ctx, down), "shutdown", cop_task_to_term(ctx, *task),
                  shown);
    if (cop_match(reason, expected))
        return (cop_task_result){ COP_TASK_NOTHING, COP_NONE };
    return (cop_task_result){ COP_TASK_EXIT, reason };
}

cop_task_result cop_task_shutdown(cop_ctx *ctx, cop_task task, int64_t timeout_ms) {
    if (cop_is_none(task.pid.t))
        return cop_task_ignore(ctx, task);
    task_check_owner(ctx, &task);
    bool brutal = timeout_ms == COP_BRUTAL_KILL;
    int64_t timeout = brutal ? COP_INFINITY : task_timeout(ctx, timeout_ms, "Task.shutdown/2");
    cop_term shown = brutal ? cop_a(brutal_kill).t : task_timeout_term(ctx, timeout), down;
    cop_ref watch = cop_process_monitor(ctx, task.pid);
    unlink_and_exit(ctx, task.pid, brutal ? cop_a(kill) : cop_a(shutdown));
    if (!cop_receive_match(ctx, timeout, is_down, &watch, &down)) {
        cop_process_exit(ctx, task.pid, cop_a(kill));
        cop_receive_match(ctx, COP_INFINITY, is_down, &watch, &down);
    }
    return last_word(ctx, &task, down, brutal ? cop_a(killed) : cop_a(shutdown), shown);
}
