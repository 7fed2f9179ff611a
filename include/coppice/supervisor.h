/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_SUPERVISOR_H
#define COPPICE_SUPERVISOR_H

#include <coppice/gen_server.h>

/* Starts an ordered list of children, restarts them by policy, stops them in reverse order, and gives
   up (exits :shutdown) when restarts come too fast. */

typedef enum cop_restart { COP_PERMANENT, COP_TRANSIENT, COP_TEMPORARY } cop_restart;
typedef enum cop_child_type { COP_WORKER, COP_SUPERVISOR } cop_child_type;
typedef enum cop_strategy { COP_ONE_FOR_ONE, COP_ONE_FOR_ALL, COP_REST_FOR_ONE } cop_strategy;
typedef enum cop_auto_shutdown {
    COP_AUTO_SHUTDOWN_NEVER,
    COP_AUTO_SHUTDOWN_ANY_SIGNIFICANT,
    COP_AUTO_SHUTDOWN_ALL_SIGNIFICANT,
} cop_auto_shutdown;
#define COP_BRUTAL_KILL INT64_C(-1)

/*
 * A child. Elixir: Supervisor.child_spec.
 *   id           the name of an atom; or NULL, and id_term is the id
 *   start        starts it, linked to the caller, as *_start_link functions do
 *   arg          handed to start; COP_NONE = :undefined. In a const table: COP_INT(n)
 *   module       shown in reports and which_children; NULL = the id
 *   restart      COP_PERMANENT is the default
 *   shutdown_ms  how long it may take to stop: 0 = 5000 (COP_INFINITY for a supervisor), COP_ZERO,
 *                COP_INFINITY, COP_BRUTAL_KILL
 *   significant  for auto_shutdown; only with COP_TRANSIENT or COP_TEMPORARY
 */
typedef struct cop_child_spec {
    const char *id;
    cop_term id_term;
    cop_started (*start)(cop_ctx *ctx, cop_term arg);
    cop_term arg;
    const char *module;
    cop_restart restart;
    int64_t shutdown_ms;
    cop_child_type type;
    bool significant;
} cop_child_spec;

/* max_restarts: 0 = 3, COP_ZERO = none; max_seconds: 0 = 5. */
typedef struct cop_supervisor_opts {
    cop_strategy strategy;
    int64_t max_restarts;
    int64_t max_seconds;
    cop_auto_shutdown auto_shutdown;
    cop_atom name;
} cop_supervisor_opts;

/*
 * Starts a supervisor and its children, one after another in order.
 *
 * Elixir:  Supervisor.start_link/2
 * Returns: COP_ERROR with {:shutdown, {:failed_to_start_child, id, reason}} if one fails (those before
 *          it were stopped again), {:already_started, pid}, or {:start_spec, what is wrong}
 */
cop_started cop_supervisor_start_link(cop_ctx *ctx, const cop_child_spec *children, size_t count,
                                      const cop_supervisor_opts *opts);

/* Each waits without limit for the supervisor. `supervisor` is a pid or a name as a term. Results are
   Elixir's terms: */
/* {:ok, pid} | {:ok, pid, info} | {:ok, :undefined} | {:error, {:already_started, pid} |
   :already_present | {reason, child} | what is wrong with the spec}. Elixir: start_child/2 */
cop_term cop_supervisor_start_child(cop_ctx *ctx, cop_term supervisor, const cop_child_spec *spec);
/* :ok | {:error, :not_found} */
cop_term cop_supervisor_terminate_child(cop_ctx *ctx, cop_term supervisor, cop_term id);
/* {:ok, pid} ... | {:error, :not_found | :running | :restarting | reason} */
cop_term cop_supervisor_restart_child(cop_ctx *ctx, cop_term supervisor, cop_term id);
/* :ok | {:error, :not_found | :running | :restarting} */
cop_term cop_supervisor_delete_child(cop_ctx *ctx, cop_term supervisor, cop_term id);
/* [{id, pid | :undefined | :restarting, :worker | :supervisor, [module]}], last started first */
cop_term cop_supervisor_which_children(cop_ctx *ctx, cop_term supervisor);
/* %{specs: n, active: n, supervisors: n, workers: n} */
cop_term cop_supervisor_count_children(cop_ctx *ctx, cop_term supervisor);
/* The child's pid by its id, or COP_NONE: a convenience over which_children. */
cop_term cop_supervisor_child(cop_ctx *ctx, cop_term supervisor, cop_term id);
/* Elixir: Supervisor.stop/3. */
#define cop_supervisor_stop(ctx, supervisor, reason, timeout_ms) \
    cop_gen_server_stop((ctx), (supervisor), (reason), (timeout_ms))

#endif
