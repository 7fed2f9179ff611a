/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_CONSUMER_SUPERVISOR_H
#define COPPICE_CONSUMER_SUPERVISOR_H

#include <coppice/gen_stage.h>
#include <coppice/supervisor.h>

/*
 * ConsumerSupervisor: a stage that starts a process for each event. The processes' ends make the demand for
 * more events, so never more of them run for a producer than max_demand says: a pool without workers
 * that wait.
 *
 *     static cop_started print(cop_ctx *ctx, cop_term event) {
 *         return cop_task_start_link(ctx, show, event);
 *     }
 *     ...
 *     cop_consumer_supervisor_start_link(
 *         ctx, &(cop_child_spec){ .id = "Printer", .start = print, .restart = COP_TRANSIENT },
 *         &(cop_consumer_supervisor_opts){
 *             .subscribe_to = cop_list(ctx, cop_subscription(ctx, cop_a(producer),
 *                                                            &(cop_subscribe_opts){ .max_demand = 50 })) });
 *
 * The child's specification is a template. A C start function is handed the event, or, when the template
 * has an `arg`, the list [arg, event]; a function by name gets the event behind its other arguments. It must
 * link what it starts to its caller. restart is COP_TRANSIENT (started again with the same event after a
 * crash) or COP_TEMPORARY; the default, COP_PERMANENT, is refused.
 *
 * It is a consumer: cop_gen_stage_sync_subscribe and the others take it. After a subscription it asks for
 * max_demand events; when min_demand children of that subscription have ended, for as many more as have
 * ended (so min_demand is a batch of ends). A child that is being started again still counts. A cancelled
 * subscription leaves its children running, unless it ends the supervisor.
 */

/*
 *   max_restarts  0 = 3, COP_ZERO = none
 *   max_seconds   0 = 5, COP_ZERO = 0
 *   subscribe_to  a list of stages and cop_subscription(...); COP_NONE = []
 *   name          a registered name
 *   start         via, spawn options and the rest, as of a gen_server; may be NULL
 */
typedef struct cop_consumer_supervisor_opts {
    int64_t max_restarts;
    int64_t max_seconds;
    cop_term subscribe_to;
    cop_atom name;
    const cop_start_opts *start;
} cop_consumer_supervisor_opts;

/*
 * Starts one with its template; opts may be NULL.
 *
 * Elixir:  ConsumerSupervisor.start_link/2
 * Returns: COP_ERROR with {:already_started, pid}, {:bad_specs, what is wrong with the template},
 *          {:bad_opts, text}, or :noproc for a producer that is not there
 */
cop_started cop_consumer_supervisor_start_link(cop_ctx *ctx, const cop_child_spec *child,
                                               const cop_consumer_supervisor_opts *opts);
/*
 * The same from terms: children a list of one specification, options Elixir's keyword list.
 *
 * Errors:  ArgumentErrors in the caller: no :strategy, a bad :name, an unknown module; a
 *          FunctionClauseError for another number of children
 */
cop_started cop_consumer_supervisor_start_link_terms(cop_ctx *ctx, cop_term children,
                                                     cop_term options);
/*
 * With a module of its own, whose init returns what cop_consumer_supervisor_init makes,
 * {:ok, [spec], options}, or :ignore.
 *
 * Elixir:  ConsumerSupervisor.start_link/3
 * Returns: as above; COP_ERROR with {:bad_return_value, value}, or what init raised
 */
cop_started cop_consumer_supervisor_start_link_module(cop_ctx *ctx, const cop_supervisor *module,
                                                      cop_term arg, const cop_start_opts *opts);
/* {:ok, [spec], options}, for init to return. Elixir: ConsumerSupervisor.init/2. */
cop_term cop_consumer_supervisor_init(cop_ctx *ctx, const cop_child_spec *child,
                                      const cop_consumer_supervisor_opts *opts);
cop_term cop_consumer_supervisor_init_terms(cop_ctx *ctx, cop_term children, cop_term options);
/* What `use ConsumerSupervisor` makes of child_spec/1 in a module; see cop_child_spec_use. */
#define cop_consumer_supervisor_child_spec(ctx, module, arg, overrides) \
    cop_child_spec_use((ctx), (module), COP_SUPERVISOR, COP_TERM(arg), (overrides))

cop_term cop__consumer_supervisor_start_child(cop_ctx *ctx, cop_term supervisor, cop_term extra);
cop_term cop__consumer_supervisor_terminate_child(cop_ctx *ctx, cop_term supervisor, cop_term pid);
cop_term cop__consumer_supervisor_count_children(cop_ctx *ctx, cop_term supervisor);
/*
 * Starts a child from the template with these further arguments, a list. It counts for no producer.
 *
 * Elixir:  ConsumerSupervisor.start_child/2
 * Returns: {:ok, pid} | {:ok, pid, info} | :ignore | {:error, reason}
 */
#define cop_consumer_supervisor_start_child(ctx, supervisor, extra) \
    cop__consumer_supervisor_start_child((ctx), COP_TERM(supervisor), COP_TERM(extra))
/* :ok | {:error, :not_found}. What is no pid raises a FunctionClauseError.
   Elixir: ConsumerSupervisor.terminate_child/2. */
#define cop_consumer_supervisor_terminate_child(ctx, supervisor, pid) \
    cop__consumer_supervisor_terminate_child((ctx), COP_TERM(supervisor), COP_TERM(pid))
/* [{:undefined, pid | :restarting, :worker | :supervisor, [module]}], in no order */
#define cop_consumer_supervisor_which_children(ctx, supervisor) \
    cop_supervisor_which_children((ctx), (supervisor))
/* %{specs: 1, active: n, supervisors: n, workers: n} */
#define cop_consumer_supervisor_count_children(ctx, supervisor) \
    cop__consumer_supervisor_count_children((ctx), COP_TERM(supervisor))

#endif
