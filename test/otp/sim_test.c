/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supervision trees under simulation with kills at any call: whatever dies when, nobody is left behind
 * without a parent, and callers always learn how their call ended.
 */
#include <coppice.h>
#include <coppice/test.h>

static cop_init worker_init(cop_ctx *ctx, void *state, cop_term arg) { return cop_init_ok(); }

static cop_next worker_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    int64_t *served = state;
    return cop_reply(ctx, ++*served);
}

static const cop_gen_server worker = {
    .name = "Worker", .state_size = 8, .init = worker_init, .handle_call = worker_call
};

static cop_started worker_start(cop_ctx *ctx, cop_term arg) {
    cop_start_opts opts = { 0 };
    if (!cop_match(arg, cop_a(undefined)))
        cop_get_atom(arg, &opts.name);
    return cop_gen_server_start_link(ctx, &worker, arg, &opts);
}

static cop_started branch_start(cop_ctx *ctx, cop_term arg) {
    cop_child_spec workers[] = {
        { .id = "one", .start = worker_start, .arg = cop_a(worker_one).t },
        { .id = "two", .start = worker_start, .arg = cop_a(worker_two).t },
    };
    cop_supervisor_opts opts = { .strategy = COP_ONE_FOR_ALL, .max_restarts = 20 };
    return cop_supervisor_start_link(ctx, workers, 2, &opts);
}

static const cop_child_spec children[] = {
    { .id = "branch", .start = branch_start, .type = COP_SUPERVISOR },
    { .id = "three", .start = worker_start },
};

static int64_t answered;

static void call_one(cop_ctx *ctx, bool odd) {
    cop_atom whom = cop_a(worker_one);
    if (odd)
        whom = cop_a(worker_two);
    cop_gen_server_call(ctx, whom, cop_a(serve), 1000);
    answered++;
}

static void call_around(cop_ctx *ctx, cop_term arg) {
    for (volatile int i = 0; i < 20; i++) {
        COP_TRY(ctx) { call_one(ctx, i % 2 != 0); }
        COP_CATCH(caught) { (void)caught; } /* dead, killed in the middle, or not there yet */
    }
}

/* The tree, three clients, and kills; then the end of the tree, and of everybody in it. */
static void a_tree_among_kills(cop_ctx *ctx) {
    size_t before = cop_node_process_count();
    cop_term down;
    cop_spawned client[3];
    test_trap_exit(ctx);
    cop_supervisor_opts opts = { .strategy = COP_REST_FOR_ONE, .max_restarts = 50 };
    cop_started tree = cop_supervisor_start_link(ctx, children, 2, &opts);
    for (int i = 0; i < 3; i++)
        client[i] = cop_spawn_monitor(ctx, call_around, COP_NIL);
    for (int i = 0; i < 3; i++)
        EXPECT(cop_receive_ref(ctx, 600000, client[i].ref, &down));
    if (tree.is == COP_STARTED) {
        cop_process_exit(ctx, tree.pid, cop_a(shutdown));
        ASSERT_RECEIVE_IN(ctx, "{:EXIT, _, _}", 60000);
    }
    cop_process_sleep(ctx, 60000);
    EXPECT_INT(cop_node_process_count(), before);
}

TEST_HOST(no_process_of_a_tree_outlives_it_whatever_is_killed_when) {
    simulate(300, a_tree_among_kills, .faults = "kill=0.001");
    EXPECT(answered > 1000 && answered < 300 * 3 * 20);
    simulate(100, a_tree_among_kills, .faults = "kill=0.02,alloc=0.02");
}

/* Without kills every call is answered, whatever the order. */
static void all_are_answered(cop_ctx *ctx) {
    cop_supervisor_opts opts = { 0 };
    test_trap_exit(ctx);
    cop_started tree = cop_supervisor_start_link(ctx, children, 2, &opts);
    EXPECT(tree.is == COP_STARTED);
    answered = 0;
    cop_term down;
    cop_spawned client = cop_spawn_monitor(ctx, call_around, COP_NIL);
    EXPECT(cop_receive_ref(ctx, 600000, client.ref, &down));
    EXPECT_INT(answered, 20);
}

TEST_HOST(every_call_is_answered_in_every_order) {
    simulate(200, all_are_answered, .faults = "late=0.2,handoff=0.2,cut=0.5");
}

/* ---- nothing is left of who is killed -------------------------------------------------------------- */

static cop_term give(cop_ctx *ctx, cop_term arg) { return arg; }
static cop_term twice(cop_ctx *ctx, cop_term element, cop_term arg) {
    return cop_tuple(ctx, element, element);
}

static void use_tasks(cop_ctx *ctx, cop_term arg) {
    cop_task tasks[4];
    cop_task_result results[4];
    for (int i = 0; i < 4; i++)
        tasks[i] = cop_task_async(ctx, give, cop_list(ctx, i, "a text"));
    cop_task_await(ctx, tasks[0], 1000);
    cop_task_yield_many(ctx, 3, tasks + 1, &(cop_yield_opts){ .timeout_ms = 1000 }, results);
    cop_term stream = cop_task_async_stream(ctx, cop_range(ctx, 1, 10, 1), twice, COP_NIL,
                                            &(cop_async_stream_opts){ .max_concurrency = 3 });
    cop_enum_take(ctx, stream, 7);
}

static cop_term count_up(cop_ctx *ctx, cop_term state, cop_term arg) {
    return cop_tuple(ctx, state, cop_list(ctx, state, arg));
}
static cop_term first_state(cop_ctx *ctx, cop_term arg) { return arg; }

static void use_an_agent(cop_ctx *ctx, cop_term arg) {
    cop_term first = cop_agent_init_fun(ctx, first_state, cop_list(ctx, 1, "a text"));
    cop_started agent = cop_agent_start_link(ctx, first, NULL);
    cop_agent_get_and_update(ctx, agent.pid, cop_agent_fun(ctx, count_up, COP_NIL), 1000);
    cop_agent_stop(ctx, agent.pid, cop_a(normal), 1000);
}

static void use_a_registry(cop_ctx *ctx, cop_term arg) {
    static const cop_registry_opts opts = { .keys = COP_REGISTRY_DUPLICATE,
                                            .name = "KillsRegistry",
                                            .partitions = 2 };
    cop_registry_start(ctx, &opts);
    cop_atom registry = cop_as("Elixir.KillsRegistry");
    cop_registry_register(ctx, registry, cop_list(ctx, 1, "key"), cop_tuple(ctx, 1, "value"));
    cop_registry_lookup(ctx, registry, cop_list(ctx, 1, "key"));
    cop_registry_match(ctx, registry, cop_list(ctx, 1, "key"), cop_as("_"), COP_NIL);
    cop_registry_put_meta(ctx, registry, cop_a(key).t, cop_list(ctx, 1, 2));
    cop_registry_keys_of(ctx, registry, cop_self(ctx));
    cop_registry_unregister(ctx, registry, cop_list(ctx, 1, "key"));
}

static void use_a_dynamic_supervisor(cop_ctx *ctx, cop_term arg) {
    cop_started s = cop_dynamic_supervisor_start_link(ctx, NULL);
    for (int i = 0; i < 3; i++) {
        cop_child_spec child = { .id = "child", .start = worker_start, .arg = cop_a(undefined).t };
        cop_dynamic_supervisor_start_child(ctx, s.pid, &child);
    }
    cop_dynamic_supervisor_which_children(ctx, s.pid);
    cop_dynamic_supervisor_stop(ctx, s.pid, cop_a(normal), 1000);
}

static void use_stages(cop_ctx *ctx, cop_term arg) {
    cop_started from = cop_gen_stage_from_enumerable(ctx, cop_range(ctx, 1, 100, 1), NULL);
    cop_subscribe_opts opts = { .max_demand = 10 };
    cop_term all = cop_list(ctx, cop_subscription(ctx, from.pid, &opts));
    cop_enum_take(ctx, cop_gen_stage_stream(ctx, all, NULL), 30);
}

static void use_sys(cop_ctx *ctx, cop_term arg) {
    cop_started s = worker_start(ctx, cop_a(undefined).t);
    cop_sys_get_state(ctx, s.pid, 1000);
    cop_sys_get_status(ctx, s.pid, 1000);
    cop_sys_suspend(ctx, s.pid, 1000);
    cop_sys_resume(ctx, s.pid, 1000);
    cop_gen_server_stop(ctx, s.pid, cop_a(normal), 1000);
}

static const cop_entry uses[] = { use_tasks,      use_an_agent,
                                  use_a_registry, use_a_dynamic_supervisor,
                                  use_stages,     use_sys };
enum { USES = sizeof(uses) / sizeof(uses[0]) };

static void users_are_killed(cop_ctx *ctx) {
    cop_spawned user[2 * USES];
    cop_term down;
    cop_sim_spare(ctx);
    for (size_t i = 0; i < 2 * USES; i++)
        user[i] = cop_spawn_monitor(ctx, uses[i % USES], COP_NIL);
    for (size_t i = 0; i < 2 * USES; i++)
        EXPECT(cop_receive_ref(ctx, 600000, user[i].ref, &down));
}

/* What they had in hand would be found by a leak checker. */
TEST_HOST(who_is_killed_while_he_uses_behaviours_leaves_nothing) {
    simulate(100, users_are_killed, .faults = "kill=0.01");
}
