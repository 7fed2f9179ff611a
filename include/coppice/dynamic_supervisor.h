/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_DYNAMIC_SUPERVISOR_H
#define COPPICE_DYNAMIC_SUPERVISOR_H

#include <coppice/supervisor.h>

/*
 * DynamicSupervisor: starts with no children, gets them on demand, knows them by pid. Made for many
 * children that live briefly: starting, restarting and terminating one cost the same with a million of
 * them. They have no order, and are stopped all at once.
 */

/*
 *   max_restarts     0 = 3, COP_ZERO = none
 *   max_seconds      0 = 5
 *   max_children     0 = no limit, COP_ZERO = none
 *   extra_arguments  a list in front of each child's own arguments; COP_NONE = []. A C start function is
 *                    then handed one list, the extra arguments and its own
 *   timeline         as for a Supervisor
 *   start            name, spawn options and the rest, as of a gen_server; may be NULL
 */
typedef struct cop_dynamic_supervisor_opts {
    int64_t max_restarts;
    int64_t max_seconds;
    int64_t max_children;
    cop_term extra_arguments;
    int64_t timeline;
    cop_atom name;
    const cop_start_opts *start;
} cop_dynamic_supervisor_opts;

/*
 * Starts one; opts may be NULL.
 *
 * Elixir:  DynamicSupervisor.start_link/1
 * Returns: COP_ERROR with {:already_started, pid} or {:supervisor_data, what is wrong}
 */
cop_started cop_dynamic_supervisor_start_link(cop_ctx *ctx,
                                              const cop_dynamic_supervisor_opts *opts);
/* From Elixir's keyword list: strategy, max_restarts, max_seconds, max_children, extra_arguments, name.
   Raises an ArgumentError for a bad name. */
cop_started cop_dynamic_supervisor_start_link_terms(cop_ctx *ctx, cop_term options);
/*
 * With a module of its own, whose init returns what cop_dynamic_supervisor_init makes, or :ignore.
 *
 * Elixir:  DynamicSupervisor.start_link/3
 * Returns: as above; COP_ERROR with {:bad_return, {module, :init, value}}
 */
cop_started cop_dynamic_supervisor_start_link_module(cop_ctx *ctx, const cop_supervisor *module,
                                                     cop_term arg, const cop_start_opts *opts);
/* {:ok, flags}, for init to return. Elixir: DynamicSupervisor.init/1. */
cop_term cop_dynamic_supervisor_init(cop_ctx *ctx, const cop_dynamic_supervisor_opts *opts);
cop_term cop_dynamic_supervisor_init_terms(cop_ctx *ctx, cop_term options);
/* The child_spec of a DynamicSupervisor with these options, a keyword list: its id is its name, or
   DynamicSupervisor. Elixir: DynamicSupervisor.child_spec/1. */
cop_term cop_dynamic_supervisor_child_spec(cop_ctx *ctx, cop_term options);

cop_term cop__dynamic_supervisor_start_child(cop_ctx *ctx, cop_term supervisor,
                                             const cop_child_spec *spec);
cop_term cop__dynamic_supervisor_start_child_term(cop_ctx *ctx, cop_term supervisor, cop_term spec);
cop_term cop__dynamic_supervisor_terminate_child(cop_ctx *ctx, cop_term supervisor, cop_term pid);
/*
 * Starts a child; the specification is checked in the caller, and its id means nothing.
 *
 * Elixir:  DynamicSupervisor.start_child/2
 * Returns: {:ok, pid} | {:ok, pid, info} | :ignore | {:error, :max_children | reason | what is wrong with
 *          the spec}
 */
#define cop_dynamic_supervisor_start_child(ctx, supervisor, spec) \
    cop__dynamic_supervisor_start_child((ctx), COP_TERM(supervisor), (spec))
/* The same with a map, a 6-tuple, a module or {module, arg}. */
#define cop_dynamic_supervisor_start_child_term(ctx, supervisor, spec) \
    cop__dynamic_supervisor_start_child_term((ctx), COP_TERM(supervisor), COP_TERM(spec))
/* :ok | {:error, :not_found}. What is no pid raises a FunctionClauseError.
   Elixir: DynamicSupervisor.terminate_child/2. */
#define cop_dynamic_supervisor_terminate_child(ctx, supervisor, pid) \
    cop__dynamic_supervisor_terminate_child((ctx), COP_TERM(supervisor), COP_TERM(pid))
/* [{:undefined, pid | :restarting, :worker | :supervisor, [module]}], in no order */
#define cop_dynamic_supervisor_which_children(ctx, supervisor) \
    cop_supervisor_which_children((ctx), (supervisor))
/* %{specs: n, active: n, supervisors: n, workers: n} */
#define cop_dynamic_supervisor_count_children(ctx, supervisor) \
    cop_supervisor_count_children((ctx), (supervisor))
/* Elixir: DynamicSupervisor.stop/3. */
#define cop_dynamic_supervisor_stop(ctx, supervisor, reason, timeout_ms) \
    cop_gen_server_stop((ctx), (supervisor), (reason), (timeout_ms))

#endif
