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
