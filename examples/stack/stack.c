/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stacks under supervisors, three ways: a supervisor with a module, children whose specifications are overridden,
 * and children that come on demand. docs/guides/supervisors.md walks through it.
 */
#include <coppice.h>
#include <stdio.h>

/* ---- the stack --------------------------------------------------------------------------------------------- */

struct stack {
    cop_term items; /* the first word of the state is a term: .state_terms = 1 */
};

static cop_init stack_init(cop_ctx *ctx, void *state, cop_term items) {
    struct stack *self = state;
    self->items = items;
    return cop_init_ok();
}

static cop_next stack_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct stack *self = state;
    cop_term top, rest;
    if (!cop_match(request, cop_a(pop)))
        return cop_bad_call(ctx, request);
    if (!cop_match_cons(self->items, &top, &rest))
        return cop_stop_reply(ctx, cop_a(empty), cop_a(empty)); /* the supervisor starts it again */
    self->items = rest;
    return cop_reply(ctx, top);
}

static cop_next stack_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    struct stack *self = state;
    cop_term item;
    if (!cop_match_tuple(request, cop_a(push), &item))
        return cop_bad_cast(ctx, request);
    self->items = cop_cons(ctx, item, self->items);
    return cop_noreply();
}

static const cop_gen_server stack_server = {
    .name = "Stack",
    .state_size = sizeof(struct stack),
    .state_terms = 1,
    .init = stack_init,
    .handle_call = stack_handle_call,
    .handle_cast = stack_handle_cast,
};

static cop_started stack_start_link(cop_ctx *ctx, cop_term items) {
    return cop_gen_server_start_link(ctx, &stack_server, items, NULL);
}

/* Stack as a module: what a specification from terms may name. */
static cop_term m_start_link(cop_ctx *ctx, cop_term env, size_t n, const cop_term *args) {
    return cop_started_to_term(ctx, stack_start_link(ctx, args[0]));
}

/* use GenServer, restart: :transient */
static cop_term m_child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *args) {
    cop_term transient = cop_list(ctx, cop_tuple(ctx, cop_a(restart), cop_a(transient)));
    return cop_child_spec_use(ctx, "Stack", COP_WORKER, args[0], transient);
}

static const cop_module stack_module = {
    .name = "Elixir.Stack",
    .exports = (const cop_export[]){ { "start_link", 1, m_start_link },
                                     { "child_spec", 1, m_child_spec },
                                     { 0 } },
};

/* ---- a supervisor with a module ---------------------------------------------------------------------------- */

static cop_term tree_init(cop_ctx *ctx, cop_term arg) {
    const cop_child_spec children[] = {
        { .id = "stack",
          .start = stack_start_link,
          .arg = cop_list(ctx, cop_a(hello)),
          .module = "Stack" },
    };
    return cop_supervisor_init(ctx, children, 1, &(cop_supervisor_opts){ .timeline = 100 });
}

static const cop_supervisor tree = { .name = "MyApp.Supervisor", .init = tree_init };

static void show(cop_ctx *ctx, const char *what, cop_term t) {
    char text[400];
    cop_inspect_to(text, sizeof text, t, NULL);
    printf("%s%s\n", what, text);
}

/* The child of that id, which may be starting again. */
static cop_term child(cop_ctx *ctx, cop_term sup, cop_term id) {
    return cop_supervisor_child(ctx, sup, id);
}

static void restarts(cop_ctx *ctx) {
    cop_started sup = cop_supervisor_start_link_module(
        ctx, &tree, COP_NIL, &(cop_supervisor_opts){ .name = cop_a(my_app) });
    cop_term first = child(ctx, sup.pid.t, cop_a(stack).t);
    show(ctx, "pop: ", cop_gen_server_call(ctx, first, cop_a(pop), 0));
    cop_ref ref = cop_process_monitor(ctx, first);
    show(ctx, "pop: ", cop_gen_server_call(ctx, first, cop_a(pop), 0));
    cop_term down;
    cop_receive_ref(ctx, COP_INFINITY, ref, &down);
    show(ctx, "it ended with ", cop_elem(down, 4));
    cop_term again = child(ctx, sup.pid.t, cop_a(stack).t);
    while (cop_is_none(again) || cop_same(again, first)) {
        cop_yield(ctx);
        again = child(ctx, sup.pid.t, cop_a(stack).t);
    }
    show(ctx, "pop of its successor: ", cop_gen_server_call(ctx, again, cop_a(pop), 0));
    cop_term list = cop_supervisor_timeline(ctx, sup.pid), event, name;
    while (cop_get_cons(list, &event, &list))
        if (cop_map_get(event, cop_a(event).t, &name))
            show(ctx, "  timeline: ", name);
    cop_supervisor_stop(ctx, sup.pid, cop_a(normal), 0);
}

/* ---- with some fields overridden, from terms --------------------------------------------------------------------------- */

static cop_term named(cop_ctx *ctx, cop_atom id, cop_atom item) {
    cop_term spec = cop_tuple(ctx, cop_as("Elixir.Stack"), cop_list(ctx, item));
    return cop_supervisor_child_spec(
        ctx, spec,
        cop_list(ctx, cop_tuple(ctx, cop_a(id), id), cop_tuple(ctx, cop_a(shutdown), 10000)));
}

static cop_term always_ok(cop_ctx *ctx, cop_term arg) { return cop_a(ok).t; }
static cop_term whole_state(cop_ctx *ctx, cop_term state, cop_term arg) { return state; }

/* Supervisor.child_spec({Agent, fn -> :ok end}, id: {Agent, 1}) */
static cop_term an_agent(cop_ctx *ctx, cop_term id) {
    cop_term spec =
        cop_tuple(ctx, cop_as("Elixir.Agent"), cop_agent_init_fun(ctx, always_ok, COP_NIL));
    return cop_supervisor_child_spec(ctx, spec, cop_list(ctx, cop_tuple(ctx, cop_a(id), id)));
}

static void overrides(cop_ctx *ctx) {
    cop_term agent_1 = cop_tuple(ctx, cop_as("Elixir.Agent"), 1);
    cop_term children = cop_list(ctx, named(ctx, cop_a(left), cop_a(l)),
                                 named(ctx, cop_a(right), cop_a(r)), an_agent(ctx, agent_1));
    cop_started sup = cop_supervisor_start_link_terms(
        ctx, children, cop_list(ctx, cop_tuple(ctx, cop_a(strategy), cop_a(rest_for_one))));
    if (sup.is != COP_STARTED)
        cop_exit(ctx, sup.reason);
    show(ctx, "pop of the right one: ",
         cop_gen_server_call(ctx, child(ctx, sup.pid.t, cop_a(right).t), cop_a(pop), 0));
    show(ctx,
         "specification: ", cop_elem(cop_supervisor_get_childspec(ctx, sup.pid, cop_a(left)), 1));
    show(ctx, "state of the agent: ",
         cop_agent_get(ctx, child(ctx, sup.pid.t, agent_1),
                       cop_agent_fun(ctx, whole_state, COP_NIL), 0));
    show(ctx, "children: ", cop_supervisor_count_children(ctx, sup.pid));
    cop_supervisor_stop(ctx, sup.pid, cop_a(normal), 0);
}

/* ---- on demand --------------------------------------------------------------------------------------------- */

static void on_demand(cop_ctx *ctx) {
    cop_started sup =
        cop_dynamic_supervisor_start_link(ctx, &(cop_dynamic_supervisor_opts){ .max_children = 2 });
    for (int i = 1; i <= 3; i++) {
        const cop_child_spec spec = { .start = stack_start_link,
                                      .arg = cop_list(ctx, i),
                                      .module = "Stack",
                                      .restart = COP_TEMPORARY };
        cop_term started = cop_dynamic_supervisor_start_child(ctx, sup.pid, &spec);
        printf("stack %d: %s\n", i,
               cop_match(cop_elem(started, 0), cop_a(ok)) ? "started" : "no room");
    }
    show(ctx, "children: ", cop_dynamic_supervisor_count_children(ctx, sup.pid));
    cop_dynamic_supervisor_stop(ctx, sup.pid, cop_a(normal), 0);
}

static void stack_main(cop_ctx *ctx, cop_term arg) {
    restarts(ctx);
    overrides(ctx);
    on_demand(ctx);
}

int main(void) {
    cop_module_load(&stack_module);
    return cop_run(NULL, stack_main);
}
