/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agent: a gen_server whose state is one term and whose requests carry functions:
 *
 *     {:get, f}   {:update, f}   {:get_and_update, f}   and the cast {:cast, f}
 *
 * as Elixir's Agent.Server has them, so an Elixir node may be the client. f is a fun of one argument, or
 * {module, function, args}. A C function with its argument is such a fun too: its environment is
 * the function's address and the argument.
 */
#include <coppice/agent.h>
#include <coppice/module.h>
#include <pthread.h>

struct agent {
    cop_term value;
};

/* ---- functions as terms ------------------------------------------------------------------------------ */

static cop_term run_function(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    uint64_t address;
    cop_term arg;
    if (!cop_match_tuple(env, &address, &arg))
        cop_error(ctx, cop_a(badarg));
    return ((cop_agent_function)(uintptr_t)address)(ctx, argv[0], arg);
}

static cop_term run_init(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    uint64_t address;
    cop_term arg;
    if (!cop_match_tuple(env, &address, &arg))
        cop_error(ctx, cop_a(badarg));
    return ((cop_agent_init)(uintptr_t)address)(ctx, arg);
}

static cop_term env_of(cop_ctx *ctx, uintptr_t address, cop_term arg) {
    return cop_tuple(ctx, (uint64_t)address, cop_is_none(arg) ? cop_a(undefined).t : arg);
}

cop_term cop_agent_fun(cop_ctx *ctx, cop_agent_function function, cop_term arg) {
    return cop_fun(ctx, run_function, 1, env_of(ctx, (uintptr_t)function, arg));
}

cop_term cop_agent_init_fun(cop_ctx *ctx, cop_agent_init function, cop_term arg) {
    return cop_fun(ctx, run_init, 0, env_of(ctx, (uintptr_t)function, arg));
}

static bool is_mfa(cop_term t, cop_atom *module, cop_atom *function, cop_term *args) {
    return cop_match_tuple(t, module, function, args) && cop_is_proper_list(*args);
}

/* Elixir's FunctionClauseError, in the caller, for what cannot be called so. */
static void expect_function(cop_ctx *ctx, cop_term f, int64_t arity, const char *where) {
    cop_atom module, function;
    cop_term args;
    if (cop_fun_arity(f) != arity && !is_mfa(f, &module, &function, &args))
        cop_raise(ctx, "FunctionClauseError", "no function clause matching in Agent.%s", where);
}

static cop_term run(cop_ctx *ctx, cop_term f, cop_term state) {
    cop_atom module, function;
    cop_term args;
    if (is_mfa(f, &module, &function, &args))
        return cop_apply(ctx, module, function, cop_cons(ctx, state, args));
    return cop_fun_call(ctx, f, state);
}

/* ---- the server ------------------------------------------------------------------------------------------ */

/* $initial_call names the function that made the state. */
static void name_initial_call(cop_ctx *ctx, cop_term first) {
    cop_atom module = cop_a(c), function = cop_a(fun);
    size_t arity = 0;
    cop_term args;
    if (is_mfa(first, &module, &function, &args))
        arity = (size_t)cop_list_length(args);
    else
        cop_get_fun_export(first, &module, &function, &arity);
    cop_process_put(ctx, cop_as("$initial_call").t, cop_tuple(ctx, module, function, arity));
}

static cop_init agent_init(cop_ctx *ctx, void *state, cop_term first) {
    struct agent *self = state;
    cop_atom module, function;
    cop_term args;
    name_initial_call(ctx, first);
    self->value = is_mfa(first, &module, &function, &args) ? cop_apply(ctx, module, function, args)
                                                           : cop_fun_call_n(ctx, first, 0, NULL);
    return cop_init_ok();
}

/* Ends as Elixir's does for a request that no clause takes. */
static _Noreturn void no_clause(cop_ctx *ctx, cop_atom function, cop_term args) {
    cop_term frame = cop_tuple(ctx, cop_as("Elixir.Agent.Server"), function, args, COP_NIL);
    cop_caught why = { .class = COP_CLASS_ERROR,
                       .reason = cop_a(function_clause).t,
                       .stacktrace = cop_list(ctx, frame) };
    cop_rethrow(ctx, &why);
}

static cop_next agent_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct agent *self = state;
    cop_term f, result, value;
    if (cop_match_tuple(request, cop_a(get), &f))
        return cop_reply(ctx, run(ctx, f, self->value));
    if (cop_match_tuple(request, cop_a(update), &f)) {
        self->value = run(ctx, f, self->value);
        return cop_reply(ctx, cop_a(ok));
    }
    if (!cop_match_tuple(request, cop_a(get_and_update), &f))
        no_clause(ctx, cop_a(handle_call), cop_list(ctx, request, from, self->value));
    result = run(ctx, f, self->value);
    if (!cop_match_tuple(result, &value, &self->value))
        return cop_stop(cop_tuple(ctx, cop_a(bad_return_value), result));
    return cop_reply(ctx, value);
}

static cop_next agent_cast(cop_ctx *ctx, void *state, cop_term request) {
    struct agent *self = state;
    cop_term f;
    if (!cop_match_tuple(request, cop_a(cast), &f))
        no_clause(ctx, cop_a(handle_cast), cop_list(ctx, request, self->value));
    self->value = run(ctx, f, self->value);
    return cop_noreply();
}

/* `extra` is the function that changes the state. */
static cop_term agent_code_change(cop_ctx *ctx, void *state, cop_term old_vsn, cop_term extra) {
    struct agent *self = state;
    self->value = run(ctx, extra, self->value);
    return cop_a(ok).t;
}

static cop_term agent_to_term(cop_ctx *ctx, const void *state) {
    return ((const struct agent *)state)->value;
}

static bool agent_from_term(cop_ctx *ctx, void *state, cop_term term) {
    ((struct agent *)state)->value = term;
    return true;
}

static const cop_gen_server agent_server = {
    .name = "Agent.Server",
    .state_size = sizeof(struct agent),
    .state_terms = 1,
    .init = agent_init,
    .handle_call = agent_call,
    .handle_cast = agent_cast,
    .state_to_term = agent_to_term,
    .state_from_term = agent_from_term,
    .code_change = agent_code_change,
};

/* ---- for clients ------------------------------------------------------------------------------------------ */

cop_started cop_agent_start_link(cop_ctx *ctx, cop_term first, const cop_start_opts *opts) {
    cop_agent_load();
    expect_function(ctx, first, 0, "start_link/2");
    return cop_gen_server_start_link(ctx, &agent_server, first, opts);
}

cop_started cop_agent_start(cop_ctx *ctx, cop_term first, const cop_start_opts *opts) {
    cop_agent_load();
    expect_function(ctx, first, 0, "start/2");
    return cop_gen_server_start(ctx, &agent_server, first, opts);
}

cop_term cop__agent_get(cop_ctx *ctx, cop_term agent, cop_term function, int64_t timeout_ms) {
    expect_function(ctx, function, 1, "get/3");
    return cop__gen_server_call(ctx, agent, cop_tuple(ctx, cop_a(get), function), timeout_ms);
}

cop_term cop__agent_get_and_update(cop_ctx *ctx, cop_term agent, cop_term function,
                                   int64_t timeout_ms) {
    expect_function(ctx, function, 1, "get_and_update/3");
    return cop__gen_server_call(ctx, agent, cop_tuple(ctx, cop_a(get_and_update), function),
                                timeout_ms);
}

void cop__agent_update(cop_ctx *ctx, cop_term agent, cop_term function, int64_t timeout_ms) {
    expect_function(ctx, function, 1, "update/3");
    cop__gen_server_call(ctx, agent, cop_tuple(ctx, cop_a(update), function), timeout_ms);
}

void cop__agent_cast(cop_ctx *ctx, cop_term agent, cop_term function) {
    expect_function(ctx, function, 1, "cast/2");
    cop__gen_server_cast(ctx, agent, cop_tuple(ctx, cop_a(cast), function));
}

/* ---- as a module --------------------------------------------------------------------------------------------- */

cop_term cop_agent_child_spec(cop_ctx *ctx, cop_term first) {
    cop_agent_load();
    cop_atom agent = cop_as("Elixir.Agent");
    return cop_map(ctx, cop_a(id), agent, cop_a(start),
                   cop_tuple(ctx, agent, cop_a(start_link), cop_list(ctx, first)));
}

static cop_term module_start_link(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_term first = n == 3 ? cop_tuple_n(ctx, 3, a) : a[0];
    return cop_started_to_term(ctx, cop_agent_start_link(ctx, first, NULL));
}

static cop_term module_child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_agent_child_spec(ctx, a[0]);
}

static const cop_module agent_module = {
    .name = "Elixir.Agent",
    .exports = (const cop_export[]){ { "start_link", 1, module_start_link },
                                     { "start_link", 3, module_start_link },
                                     { "child_spec", 1, module_child_spec },
                                     { 0 } },
};

static void load(void) { cop_module_load(&agent_module); }

void cop_agent_load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
}
