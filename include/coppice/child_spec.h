/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_CHILD_SPEC_H
#define COPPICE_CHILD_SPEC_H

#include <coppice/gen_server.h>

/*
 * Child specifications, in two forms that are checked by the same rules: a C struct, of which a const
 * array is a tree's description, and Elixir's map, for what is configured or comes from another node.
 */

typedef enum cop_restart { COP_PERMANENT, COP_TRANSIENT, COP_TEMPORARY } cop_restart;
typedef enum cop_child_type { COP_WORKER, COP_SUPERVISOR } cop_child_type;
#define COP_BRUTAL_KILL INT64_C(-1)

/*
 * A pause before each restart of a child, beyond OTP. It does not block the supervisor: the child is
 * :restarting meanwhile. Each restart counts against max_restarts as always.
 *   min_ms          the first pause; 0 = no back-off at all
 *   max_ms          no pause is longer; 0 = 60000
 *   factor          each is that many times the one before; below 1 (or 0) = 2
 *   jitter          0 to 1: a pause p becomes a random one between p * (1 - jitter) and p
 *   reset_after_ms  a child that ran that long begins again with min_ms; 0 = 60000
 * In a map: backoff: %{min: ms, max: ms, factor: f, jitter: j, reset_after: ms}.
 */
typedef struct cop_backoff {
    int64_t min_ms;
    int64_t max_ms;
    double factor;
    double jitter;
    int64_t reset_after_ms;
} cop_backoff;

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
 *   function     shown with module as the start function; NULL = start_link. Where start is NULL, the
 *                function of that name is called (coppice/module.h), with arg, a list, for arguments
 *   dynamic_modules   which_children shows :dynamic in the place of the module's list
 *   backoff      beyond OTP; copied
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
    const char *function;
    bool dynamic_modules;
    cop_backoff backoff;
} cop_child_spec;

/* The struct as the map; a C start function goes with it as a resource, under the key :"$start". What
   is missing in the struct is missing in the map. */
cop_term cop_child_spec_to_term(cop_ctx *ctx, const cop_child_spec *spec);
/*
 * A specification with some keys replaced.
 *
 * Elixir:    Supervisor.child_spec/2
 * Spec:      a map, a module's atom, or {module, arg}; a module is one of coppice/module.h that exports
 *            child_spec/1, which is called
 * Overrides: a keyword list with id, start, restart, shutdown, type, modules, significant
 * Returns:   the map; nothing is checked, no default filled in
 * Errors:    raises Elixir's ArgumentErrors
 */
cop_term cop_supervisor_child_spec(cop_ctx *ctx, cop_term spec, cop_term overrides);
/*
 * What `use GenServer` (COP_WORKER) or `use Supervisor` (COP_SUPERVISOR) make of child_spec/1 in a
 * module, for the body of an exported child_spec/1: %{id: Module, start: {Module, :start_link, [arg]}},
 * type: :supervisor if it is one, and the overrides that stand after `use`.
 */
cop_term cop_child_spec_use(cop_ctx *ctx, const char *module, cop_child_type type, cop_term arg,
                            cop_term overrides);

#endif
