/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_AGENT_H
#define COPPICE_AGENT_H

#include <coppice/gen_server.h>

/*
 * Agent: a process that only holds a state. Clients read and change it by functions that run inside of
 * it, one at a time, in the order in which one client sent them.
 *
 *     static cop_term add(cop_ctx *ctx, cop_term state, cop_term by) { ... }
 *
 *     cop_agent_update(ctx, agent, cop_agent_fun(ctx, add, COP_INT(2)), 0);
 *
 * Function: a term, one of
 *           cop_agent_fun(ctx, function, arg)     a C function, called with the state and arg
 *           any other fun of one argument         (cop_fun, cop_fun_export)
 *           {module, function, args}              by name (coppice/module.h), the state comes first:
 *                                                 the form that goes to other nodes
 *           What it raises ends the agent, and so the caller's call. Another term raises a
 *           FunctionClauseError in the caller, and the agent does not notice
 * Agent:    as cop_gen_server_call's server; an agent is a gen_server, sys works on it too
 * Timeout:  timeout_ms as a call's: 0 = 5000, COP_ZERO, COP_INFINITY. A function that has begun runs to
 *           its end whatever becomes of the caller
 * Exits:    as of cop_gen_server_call, with the request {:get, function} and so on
 */

/* A C function of a state and an argument of one's own; what it returns means what the call says. */
typedef cop_term (*cop_agent_function)(cop_ctx *ctx, cop_term state, cop_term arg);
/* A C function that makes a first state. */
typedef cop_term (*cop_agent_init)(cop_ctx *ctx, cop_term arg);

/* As terms; arg is copied with them. */
cop_term cop_agent_fun(cop_ctx *ctx, cop_agent_function function, cop_term arg);
cop_term cop_agent_init_fun(cop_ctx *ctx, cop_agent_init function, cop_term arg);

/*
 * Starts an agent.
 *
 * Elixir:  Agent.start_link/2, start/2; with {module, function, args} their forms of 3 and 4 arguments
 * First:   cop_agent_init_fun, another fun without arguments, or {module, function, args}; runs in the
 *          agent, and whatever it returns is the state
 * Returns: as cop_gen_server_start_link
 * Errors:  a FunctionClauseError for another term
 */
cop_started cop_agent_start_link(cop_ctx *ctx, cop_term first, const cop_start_opts *opts);
cop_started cop_agent_start(cop_ctx *ctx, cop_term first, const cop_start_opts *opts);

/* What the function returns, given the state. Elixir: Agent.get/3. */
#define cop_agent_get(ctx, agent, function, timeout_ms) \
    cop__agent_get((ctx), COP_TERM(agent), (function), (timeout_ms))
/* The function returns {value, new state}; the value is returned. Elixir: Agent.get_and_update/3.
   When it returns anything else, the agent ends with {:bad_return_value, that}. */
#define cop_agent_get_and_update(ctx, agent, function, timeout_ms) \
    cop__agent_get_and_update((ctx), COP_TERM(agent), (function), (timeout_ms))
/* The function returns the new state. Elixir: Agent.update/3. */
#define cop_agent_update(ctx, agent, function, timeout_ms) \
    cop__agent_update((ctx), COP_TERM(agent), (function), (timeout_ms))
/* The same without waiting; never fails. Elixir: Agent.cast/2. */
#define cop_agent_cast(ctx, agent, function) cop__agent_cast((ctx), COP_TERM(agent), (function))
/* Elixir: Agent.stop/3. */
#define cop_agent_stop(ctx, agent, reason, timeout_ms) \
    cop_gen_server_stop(ctx, agent, reason, timeout_ms)

/* %{id: Agent, start: {Agent, :start_link, [first]}}, for a supervisor's children; {Agent, first} among them
   means the same. Elixir: Agent.child_spec/1. */
cop_term cop_agent_child_spec(cop_ctx *ctx, cop_term first);
/* Makes Agent known as a module (coppice/module.h). The functions above do so by themselves. */
void cop_agent_load(void);

/* ---- pieces of the macros above -------------------------------------------------------------- */

cop_term cop__agent_get(cop_ctx *ctx, cop_term agent, cop_term function, int64_t timeout_ms);
cop_term cop__agent_get_and_update(cop_ctx *ctx, cop_term agent, cop_term function,
                                   int64_t timeout_ms);
void cop__agent_update(cop_ctx *ctx, cop_term agent, cop_term function, int64_t timeout_ms);
void cop__agent_cast(cop_ctx *ctx, cop_term agent, cop_term function);

#endif
