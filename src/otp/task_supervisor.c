/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task.Supervisor: a DynamicSupervisor that understands {:start_task, args, restart, shutdown}
 * (dynamic_supervisor.c), and the side of those who ask it. args are those of Task.Supervised.start_link:
 *
 *     [owner, :monitor]          a task that waits for its start message. The call itself is sent to it,
 *                                so that it is not copied by way of the supervisor
 *     [owner, callers, call]     a task that runs at once: what can be started again
 *
 * Threads: the callers' processes.
 */
#include <coppice/task_supervisor.h>

#include "sup.h"
#include "task_part.h"

const char task_max_children_text[] = "reached the maximum number of tasks for this task "
                                      "supervisor. The maximum number of tasks that are "
                                      "allowed to run at the same time under this supervisor can "
                                      "be configured with the :max_children "
                                      "option passed to Task.Supervisor.start_link/1";

/* ---- starting one -------------------------------------------------------------------------------------- */

static cop_term init(cop_ctx *ctx, cop_term flags) {
    cop_process_put(ctx, cop_as("Elixir.Task.Supervisor").t,
                    cop_tuple(ctx, cop_a(temporary), 5000));
    return flags;
}

static const cop_supervisor task_supervisor = { .name = "Task.Supervisor", .init = init };

cop_started cop_task_supervisor_start_link(cop_ctx *ctx, const cop_dynamic_supervisor_opts *opts) {
    cop_start_opts start = { 0 };
    if (opts != NULL && opts->start != NULL)
        start = *opts->start;
    if (opts != NULL && !cop_is_none(opts->name.t))
        start.name = opts->name;
    sup_load_modules();
    return cop_dynamic_supervisor_start_link_module(ctx, &task_supervisor,
                                                    cop_dynamic_supervisor_init(ctx, opts), &start);
}

cop_started cop_task_supervisor_start_link_terms(cop_ctx *ctx, cop_term options) {
    cop_start_opts start = { 0 };
    sup_name_option(ctx, options, &start);
    cop_term flags = cop_list(
        ctx, cop_tuple(ctx, cop_a(strategy), cop_a(one_for_one)),
        cop_tuple(ctx, cop_a(max_restarts), sup_option(options, cop_a(max_restarts), COP_INT(3))),
        cop_tuple(ctx, cop_a(max_seconds), sup_option(options, cop_a(max_seconds), COP_INT(5))),
        cop_tuple(ctx, cop_a(max_children),
                  sup_option(options, cop_a(max_children), cop_a(infinity).t)));
    sup_load_modules();
    return cop_dynamic_supervisor_start_link_module(
        ctx, &task_supervisor, cop_dynamic_supervisor_init_terms(ctx, flags), &start);
}

cop_term cop_task_supervisor_child_spec(cop_ctx *ctx, cop_term options) {
    cop_atom module = cop_as("Elixir.Task.Supervisor");
    cop_term id = sup_option(options, cop_a(name), module.t), name, any;
    if (cop_match_tuple(id, cop_a(global), &name) || cop_match_tuple(id, cop_a(via), &any, &name))
        id = name;
    return cop_map(ctx, cop_a(id), id, cop_a(start),
                   cop_tuple(ctx, module, cop_a(start_link), cop_list(ctx, options)), cop_a(type),
                   cop_a(supervisor));
}

static cop_term start_link(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_started_to_term(ctx, cop_task_supervisor_start_link_terms(ctx, a[0]));
}

static cop_term child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_task_supervisor_child_spec(ctx, a[0]);
}

const cop_module task_supervisor_module = {
    .name = "Elixir.Task.Supervisor",
    .exports = (const cop_export[]){ { "start_link", 1, start_link },
                                     { "child_spec", 1, child_spec },
                                     { 0 } },
};

/* ---- starting tasks -------------------------------------------------------------------------------------- */

cop_term task_ask_start(cop_ctx *ctx, cop_term supervisor, cop_term args, cop_term restart,
                        cop_term shutdown) {
    cop_term request = cop_tuple(ctx, cop_a(start_task), args, restart, shutdown);
    return cop_gen_server_call(ctx, supervisor, request, COP_INFINITY);
}

static cop_term shutdown_of(cop_ctx *ctx, const cop_task_opts *opts, const char *function) {
    int64_t ms = opts == NULL || opts->shutdown_ms == 0 ? 5000 : opts->shutdown_ms;
    if (ms == COP_ZERO)
        ms = 0;
    if (ms < 0 && ms != COP_BRUTAL_KILL)
        task_no_clause(ctx, function);
    return sup_shutdown_term(ctx, ms);
}

static cop_task async(cop_ctx *ctx, cop_term supervisor, cop_term what, const cop_task_opts *opts,
                      bool link, const char *function) {
    static const cop_monitor_opts by_alias = { .alias = COP_ALIAS_DEMONITOR };
    cop_term call = task_call_of(ctx, what, 0, function);
    cop_term shutdown = shutdown_of(ctx, opts, function);
    cop_term got = task_ask_start(ctx, supervisor, cop_list(ctx, task_owner(ctx), cop_a(monitor)),
                                  cop_a(temporary).t, shutdown);
    cop_pid pid;
    if (cop_match_tuple(got, cop_a(error), cop_a(max_children)))
        cop_raise(ctx, "RuntimeError", "%s", task_max_children_text);
    if (!cop_match_tuple(got, cop_a(ok), &pid))
        cop_error(ctx, cop_tuple(ctx, cop_a(case_clause), got));
    if (link)
        cop_process_link(ctx, pid);
    cop_ref ref = cop_process_monitor_opts(ctx, pid, &by_alias);
    task_send_start(ctx, pid, ref.t, ref.t, call);
    return (cop_task){ pid, ref, cop_self(ctx), task_arity_of(ctx, call) };
}

cop_task cop__task_supervisor_async_term(cop_ctx *ctx, cop_term supervisor, cop_term what,
                                         const cop_task_opts *opts) {
    return async(ctx, supervisor, what, opts, true, "Task.Supervisor.async");
}

cop_task cop__task_supervisor_async_nolink_term(cop_ctx *ctx, cop_term supervisor, cop_term what,
                                                const cop_task_opts *opts) {
    return async(ctx, supervisor, what, opts, false, "Task.Supervisor.async_nolink");
}

cop_started cop__task_supervisor_start_child_term(cop_ctx *ctx, cop_term supervisor, cop_term what,
                                                  const cop_task_opts *opts) {
    const char *function = "Task.Supervisor.start_child";
    cop_task_restart restart = opts == NULL ? COP_TASK_TEMPORARY : opts->restart;
    cop_term call = task_call_of(ctx, what, 0, function), owner = task_owner(ctx);
    cop_term shutdown = shutdown_of(ctx, opts, function);
    bool waits = restart == COP_TASK_TEMPORARY && !cop_is_fun(what);
    cop_term args = waits ? cop_list(ctx, owner, cop_a(monitor))
                          : cop_list(ctx, owner, task_callers(ctx), call);
    cop_restart how = restart == COP_TASK_PERMANENT   ? COP_PERMANENT
                      : restart == COP_TASK_TRANSIENT ? COP_TRANSIENT
                                                      : COP_TEMPORARY;
    cop_started started;
    cop_started_from_term(task_ask_start(ctx, supervisor, args, sup_restart_atom(how).t, shutdown),
                          &started);
    if (waits && started.is == COP_STARTED) {
        cop_ref nobody = cop_make_ref(ctx);
        task_send_start(ctx, started.pid, nobody.t, nobody.t, call);
    }
    return started;
}

cop_term cop__task_supervisor_async_stream_term(cop_ctx *ctx, cop_term supervisor,
                                                cop_term enumerable, cop_term what,
                                                const cop_async_stream_opts *opts) {
    return task_stream(ctx, enumerable, what, TASK_UNDER_SUPERVISOR, supervisor, opts);
}

cop_term cop__task_supervisor_async_stream_nolink_term(cop_ctx *ctx, cop_term supervisor,
                                                       cop_term enumerable, cop_term what,
                                                       const cop_async_stream_opts *opts) {
    return task_stream(ctx, enumerable, what, TASK_UNDER_SUPERVISOR_NOLINK, supervisor, opts);
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

cop_term cop__task_supervisor_terminate_child(cop_ctx *ctx, cop_term supervisor, cop_term pid) {
    if (!cop_is_pid(pid))
        task_no_clause(ctx, "Task.Supervisor.terminate_child/2");
    return cop_dynamic_supervisor_terminate_child(ctx, supervisor, pid);
}

cop_term cop__task_supervisor_children(cop_ctx *ctx, cop_term supervisor) {
    cop_term children = cop_dynamic_supervisor_which_children(ctx, supervisor), list = COP_NIL;
    cop_term child, any;
    cop_pid pid;
    while (cop_get_cons(children, &child, &children))
        if (cop_match_tuple(child, &any, &pid, &any, &any))
            list = cop_cons(ctx, pid, list);
    return cop_list_reverse(ctx, list);
}
