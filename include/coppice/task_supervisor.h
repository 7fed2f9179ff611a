/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_TASK_SUPERVISOR_H
#define COPPICE_TASK_SUPERVISOR_H

#include <coppice/dynamic_supervisor.h>
#include <coppice/task.h>

/*
 * Task.Supervisor: a DynamicSupervisor whose children are tasks. They end with it, in an orderly way, and
 * can be seen and counted; and a task that may fail can be started without a link to the caller.
 */

/*
 * Starts one.
 *
 * Elixir:  Task.Supervisor.start_link/1
 * Opts:    may be NULL; extra_arguments must not be used
 * Returns: COP_ERROR with {:already_started, pid} or {:supervisor_data, what is wrong}
 */
cop_started cop_task_supervisor_start_link(cop_ctx *ctx, const cop_dynamic_supervisor_opts *opts);
/* From Elixir's keyword list: max_restarts, max_seconds, max_children, name. */
cop_started cop_task_supervisor_start_link_terms(cop_ctx *ctx, cop_term options);
/*
 * %{id: id, start: {Task.Supervisor, :start_link, [options]}, type: :supervisor}; the id is the name, or
 * Task.Supervisor. The module is known to supervisors: {Task.Supervisor, name: :tasks} is a child.
 *
 * Elixir:  Task.Supervisor.child_spec/1
 */
cop_term cop_task_supervisor_child_spec(cop_ctx *ctx, cop_term options);

/* When a child of start_child is started again. */
typedef enum cop_task_restart {
    COP_TASK_TEMPORARY, /* never */
    COP_TASK_TRANSIENT, /* after a bad end */
    COP_TASK_PERMANENT, /* always */
} cop_task_restart;
/*
 *   shutdown_ms  how long it may take to stop: 0 = 5000, COP_ZERO, COP_INFINITY, COP_BRUTAL_KILL
 *   restart      only of start_child
 */
typedef struct cop_task_opts {
    int64_t shutdown_ms;
    cop_task_restart restart;
} cop_task_opts;

/*
 * In all of these the supervisor is a cop_pid, a cop_atom, or a cop_term: {name, node} or {:via, module,
 * name}; opts may be NULL; what is run is a function of C and its argument, or, in the *_term form, as there.
 * They wait for the supervisor, and exit with {:noproc, {GenServer, :call, [supervisor, request,
 * :infinity]}} when it is gone.
 */
cop_task cop__task_supervisor_async_term(cop_ctx *ctx, cop_term supervisor, cop_term what,
                                         const cop_task_opts *opts);
cop_task cop__task_supervisor_async_nolink_term(cop_ctx *ctx, cop_term supervisor, cop_term what,
                                                const cop_task_opts *opts);
cop_started cop__task_supervisor_start_child_term(cop_ctx *ctx, cop_term supervisor, cop_term what,
                                                  const cop_task_opts *opts);
/*
 * Starts a task, linked to the caller too, that sends back its result.
 *
 * Elixir:  Task.Supervisor.async/3, /5
 * Errors:  raises a RuntimeError when max_children are running
 */
#define cop_task_supervisor_async(ctx, supervisor, function, arg, opts)                    \
    ({                                                                                     \
        cop_ctx *cop__tk = (ctx);                                                          \
        cop__task_supervisor_async_term(cop__tk, COP_TERM(supervisor),                     \
                                        cop_task_fun(cop__tk, (function), (arg)), (opts)); \
    })
/*
 * The same without the link: when the task fails, the caller only gets {:DOWN, ref, :process, pid,
 * reason}; and when the caller ends, the task goes on.
 *
 * Elixir:  Task.Supervisor.async_nolink/3, /5
 */
#define cop_task_supervisor_async_nolink(ctx, supervisor, function, arg, opts)                    \
    ({                                                                                            \
        cop_ctx *cop__tk = (ctx);                                                                 \
        cop__task_supervisor_async_nolink_term(cop__tk, COP_TERM(supervisor),                     \
                                               cop_task_fun(cop__tk, (function), (arg)), (opts)); \
    })
/*
 * Starts a task that nobody waits for.
 *
 * Elixir:  Task.Supervisor.start_child/3, /5
 * Returns: COP_ERROR with :max_children
 */
#define cop_task_supervisor_start_child(ctx, supervisor, function, arg, opts)                    \
    ({                                                                                           \
        cop_ctx *cop__tk = (ctx);                                                                \
        cop__task_supervisor_start_child_term(cop__tk, COP_TERM(supervisor),                     \
                                              cop_task_fun(cop__tk, (function), (arg)), (opts)); \
    })

/*
 * cop_task_async_stream with its tasks under a supervisor; the nolink form's are not linked to the
 * stream: one that fails is an {:exit, reason} and nothing more, and they go on when the caller is killed.
 *
 * Elixir:  Task.Supervisor.async_stream/4, /6, async_stream_nolink/4, /6
 * Errors:  the walk raises a RuntimeError when max_children are running
 */
cop_term cop__task_supervisor_async_stream_term(cop_ctx *ctx, cop_term supervisor,
                                                cop_term enumerable, cop_term what,
                                                const cop_async_stream_opts *opts);
cop_term cop__task_supervisor_async_stream_nolink_term(cop_ctx *ctx, cop_term supervisor,
                                                       cop_term enumerable, cop_term what,
                                                       const cop_async_stream_opts *opts);
#define cop_task_supervisor_async_stream(ctx, supervisor, enumerable, function, arg, opts)       \
    ({                                                                                           \
        cop_ctx *cop__tk = (ctx);                                                                \
        cop__task_supervisor_async_stream_term(cop__tk, COP_TERM(supervisor), (enumerable),      \
                                               cop_task_element_fun(cop__tk, (function), (arg)), \
                                               (opts));                                          \
    })
#define cop_task_supervisor_async_stream_nolink(ctx, supervisor, enumerable, function, arg, opts) \
    ({                                                                                            \
        cop_ctx *cop__tk = (ctx);                                                                 \
        cop__task_supervisor_async_stream_nolink_term(                                            \
            cop__tk, COP_TERM(supervisor), (enumerable),                                          \
            cop_task_element_fun(cop__tk, (function), (arg)), (opts));                            \
    })

/* All of the above with a term in the place of a function and its argument. */
#define cop_task_supervisor_async_term(ctx, supervisor, what, opts) \
    cop__task_supervisor_async_term((ctx), COP_TERM(supervisor), (what), (opts))
#define cop_task_supervisor_async_nolink_term(ctx, supervisor, what, opts) \
    cop__task_supervisor_async_nolink_term((ctx), COP_TERM(supervisor), (what), (opts))
#define cop_task_supervisor_start_child_term(ctx, supervisor, what, opts) \
    cop__task_supervisor_start_child_term((ctx), COP_TERM(supervisor), (what), (opts))
#define cop_task_supervisor_async_stream_term(ctx, supervisor, enumerable, what, opts)        \
    cop__task_supervisor_async_stream_term((ctx), COP_TERM(supervisor), (enumerable), (what), \
                                           (opts))
#define cop_task_supervisor_async_stream_nolink_term(ctx, supervisor, enumerable, what, opts) \
    cop__task_supervisor_async_stream_nolink_term((ctx), COP_TERM(supervisor), (enumerable),  \
                                                  (what), (opts))

cop_term cop__task_supervisor_terminate_child(cop_ctx *ctx, cop_term supervisor, cop_term pid);
cop_term cop__task_supervisor_children(cop_ctx *ctx, cop_term supervisor);
/* :ok | {:error, :not_found}; what is no pid raises a FunctionClauseError.
   Elixir: Task.Supervisor.terminate_child/2. */
#define cop_task_supervisor_terminate_child(ctx, supervisor, pid) \
    cop__task_supervisor_terminate_child((ctx), COP_TERM(supervisor), COP_TERM(pid))
/* The pids of all that run, as a list. Elixir: Task.Supervisor.children/1. */
#define cop_task_supervisor_children(ctx, supervisor) \
    cop__task_supervisor_children((ctx), COP_TERM(supervisor))

#endif
