/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_SUPERVISOR_H
#define COPPICE_SUPERVISOR_H

#include <coppice/child_spec.h>

/* Starts an ordered list of children, restarts them by policy, stops them in reverse order, and gives
   up (exits :shutdown) when restarts come too fast. */

typedef enum cop_strategy { COP_ONE_FOR_ONE, COP_ONE_FOR_ALL, COP_REST_FOR_ONE } cop_strategy;
typedef enum cop_auto_shutdown {
    COP_AUTO_SHUTDOWN_NEVER,
    COP_AUTO_SHUTDOWN_ANY_SIGNIFICANT,
    COP_AUTO_SHUTDOWN_ALL_SIGNIFICANT,
} cop_auto_shutdown;

/*
 *   strategy      COP_ONE_FOR_ONE is the default
 *   max_restarts  0 = 3, COP_ZERO = none
 *   max_seconds   0 = 5. So many restarts are allowed within so many seconds; one more ends it
 *   auto_shutdown ends it when significant children have ended by themselves
 *   name          registered before the children start
 *   timeline      beyond OTP: how many events cop_supervisor_timeline remembers; 0 = none
 *   via           in the place of name: {:via, module, name}, as in cop_start_opts
 */
typedef struct cop_supervisor_opts {
    cop_strategy strategy;
    int64_t max_restarts;
    int64_t max_seconds;
    cop_auto_shutdown auto_shutdown;
    cop_atom name;
    int64_t timeline;
    cop_term via;
} cop_supervisor_opts;

/*
 * A supervisor with a module of its own. Elixir: use Supervisor.
 *   name  the module's name, shown in reports and $initial_call
 *   init  runs in the new process; returns what cop_supervisor_init makes, or :ignore. Any other term
 *         of {:ok, {flags, children}} is as good: flags a map or {strategy, intensity, period}.
 *         cop_sys_change_code runs it again: the flags and specifications are those that it returns
 *         then, children run on, and nobody is started or stopped
 */
typedef struct cop_supervisor {
    const char *name;
    cop_term (*init)(cop_ctx *ctx, cop_term arg);
} cop_supervisor;

/*
 * Starts a supervisor and its children, one after another in order.
 *
 * Elixir:  Supervisor.start_link/2
 * Returns: COP_ERROR with {:shutdown, {:failed_to_start_child, id, reason}} if one fails (those before
 *          it were stopped again), {:already_started, pid}, {:supervisor_data, what is wrong with the
 *          options} or {:start_spec, what is wrong with a child}
 */
cop_started cop_supervisor_start_link(cop_ctx *ctx, const cop_child_spec *children, size_t count,
                                      const cop_supervisor_opts *opts);
/*
 * The same from terms: children a list of maps, 6-tuples, modules and {module, arg}; options Elixir's
 * keyword list.
 *
 * Errors:  ArgumentErrors in the caller, as Elixir raises them: no :strategy, a bad :name, an unknown
 *          module
 */
cop_started cop_supervisor_start_link_terms(cop_ctx *ctx, cop_term children, cop_term options);
/*
 * Starts a module's supervisor; of opts (may be NULL) only the name counts.
 *
 * Elixir:  Supervisor.start_link/3
 * Returns: as above; COP_IGNORE when init says so; COP_ERROR with {:bad_return, {module, :init, value}}
 *          or what init raised
 */
cop_started cop_supervisor_start_link_module(cop_ctx *ctx, const cop_supervisor *module,
                                             cop_term arg, const cop_supervisor_opts *opts);
/* {:ok, {flags, children}}, for init to return. Elixir: Supervisor.init/2. */
cop_term cop_supervisor_init(cop_ctx *ctx, const cop_child_spec *children, size_t count,
                             const cop_supervisor_opts *opts);
/* The same from terms, as cop_supervisor_start_link_terms takes them. */
cop_term cop_supervisor_init_terms(cop_ctx *ctx, cop_term children, cop_term options);

/* Each of these waits without limit for the supervisor, a cop_pid, cop_atom or cop_term as GenServer.call
   takes it. Results are Elixir's terms: */
cop_term cop__supervisor_start_child(cop_ctx *ctx, cop_term supervisor, const cop_child_spec *spec);
cop_term cop__supervisor_start_child_term(cop_ctx *ctx, cop_term supervisor, cop_term spec);
cop_term cop__supervisor_ask(cop_ctx *ctx, cop_term supervisor, cop_term request);
cop_term cop__supervisor_count_children(cop_ctx *ctx, cop_term supervisor);
cop_term cop__supervisor_child(cop_ctx *ctx, cop_term supervisor, cop_term id);
/* {:ok, pid} | {:ok, pid, info} | {:ok, :undefined} | {:error, {:already_started, pid} |
   :already_present | {reason, child} | what is wrong with the spec}. Elixir: start_child/2 */
#define cop_supervisor_start_child(ctx, supervisor, spec) \
    cop__supervisor_start_child((ctx), COP_TERM(supervisor), (spec))
/* The same with a map, a 6-tuple, a module or {module, arg}. */
#define cop_supervisor_start_child_term(ctx, supervisor, spec) \
    cop__supervisor_start_child_term((ctx), COP_TERM(supervisor), COP_TERM(spec))
/* :ok | {:error, :not_found}; a temporary child's specification goes with it */
#define cop_supervisor_terminate_child(ctx, supervisor, id) \
    COP__SUPERVISOR_ASK(ctx, supervisor, terminate_child, id)
/* {:ok, pid} ... | {:error, :not_found | :running | :restarting | reason} */
#define cop_supervisor_restart_child(ctx, supervisor, id) \
    COP__SUPERVISOR_ASK(ctx, supervisor, restart_child, id)
/* :ok | {:error, :not_found | :running | :restarting} */
#define cop_supervisor_delete_child(ctx, supervisor, id) \
    COP__SUPERVISOR_ASK(ctx, supervisor, delete_child, id)
/* {:ok, map with all seven keys} | {:error, :not_found}. Erlang: :supervisor.get_childspec/2 */
#define cop_supervisor_get_childspec(ctx, supervisor, id) \
    COP__SUPERVISOR_ASK(ctx, supervisor, get_childspec, id)
/* {:ok, {id, pid | :undefined | :restarting, type, modules}} | {:error, :not_found}.
   Erlang: :supervisor.which_child/2 (OTP 28) */
#define cop_supervisor_which_child(ctx, supervisor, id) \
    COP__SUPERVISOR_ASK(ctx, supervisor, which_child, id)
/* [{id, pid | :undefined | :restarting, :worker | :supervisor, [module]}], last started first */
#define cop_supervisor_which_children(ctx, supervisor) \
    cop__supervisor_ask((ctx), COP_TERM(supervisor), cop_a(which_children).t)
/* %{specs: n, active: n, supervisors: n, workers: n} */
#define cop_supervisor_count_children(ctx, supervisor) \
    cop__supervisor_count_children((ctx), COP_TERM(supervisor))
/* The child's pid by its id, or COP_NONE: a convenience over which_child. */
#define cop_supervisor_child(ctx, supervisor, id) \
    cop__supervisor_child((ctx), COP_TERM(supervisor), COP_TERM(id))
/* Elixir: Supervisor.stop/3. */
#define cop_supervisor_stop(ctx, supervisor, reason, timeout_ms) \
    cop_gen_server_stop((ctx), (supervisor), (reason), (timeout_ms))
#define COP__SUPERVISOR_ASK(ctx, supervisor, what, id)                                           \
    ({                                                                                           \
        cop_ctx *cop__sv = (ctx);                                                                \
        cop__supervisor_ask(cop__sv, COP_TERM(supervisor), cop_tuple(cop__sv, cop_a(what), id)); \
    })

/*
 * :ok when a supervisor would take these specifications, else {:error, what is wrong}; children as for
 * cop_supervisor_start_link_terms, without modules.
 * Erlang:  :supervisor.check_childspecs/2
 */
cop_term cop_supervisor_check_childspecs(cop_ctx *ctx, cop_term children,
                                         cop_auto_shutdown auto_shutdown);

cop_term cop__supervisor_timeline(cop_ctx *ctx, cop_term supervisor);
/*
 * What happened to a supervisor's children, oldest first; beyond OTP, and kept only where the options
 * said `timeline`. Answers without asking the supervisor, so also while it is busy, and after its end
 * for the last 64 that ended: why did this tree die?
 *
 * Supervisor: a pid, or the name under which it was or is registered (of several, the latest)
 * Returns:    [%{at: ms, event: e, id: id, pid: pid, reason: r}, ...]; at is a time of cop_monotonic_ms.
 *             e is :started, :ignored, :child_terminated, :start_error, :shutdown_error,
 *             :terminated (by hand), :backoff (reason: the pause in ms), :shutdown (too many restarts),
 *             or :stopped, the last one, where id and pid are the supervisor's own. [] if nothing is known
 */
#define cop_supervisor_timeline(ctx, supervisor) \
    cop__supervisor_timeline((ctx), COP_TERM(supervisor))

#endif
