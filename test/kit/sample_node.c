/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the sample whose tests have a node. */
#include <coppice/sim.h>
#include <coppice/test.h>
#include <signal.h>

TEST(node_passes) {
    cop_send(ctx, cop_self(ctx), cop_a(first));
    cop_send(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(second), 2));
    EXPECT_TERM(ctx, ASSERT_RECEIVE(ctx, "{:second, _}"), "{:second, 2}");
    REFUTE_RECEIVE(ctx, "{:second, _}", 1);
    EXPECT_TERM(ctx, test_flush(ctx), "[:first]");
    EXPECT_EXIT(ctx, "{:oh, _}") { cop_exit(ctx, cop_tuple(ctx, cop_a(oh), 1)); }
    EXPECT_ERROR(ctx, ":wrong") { cop_error(ctx, cop_a(wrong)); }
    EXPECT_THROW(ctx, ":ball") { cop_throw(ctx, cop_a(ball)); }
}

TEST(node_exit_has_another_reason) {
    EXPECT_EXIT(ctx, ":this") { cop_exit(ctx, cop_a(that)); }
}

TEST(node_exit_is_an_error) {
    EXPECT_EXIT(ctx, ":this") { cop_error(ctx, cop_a(this)); }
}

TEST(node_nothing_exits) {
    EXPECT_EXIT(ctx, ":this") { cop_self(ctx); }
}

TEST(node_no_message) {
    cop_send(ctx, cop_self(ctx), cop_a(something_else));
    ASSERT_RECEIVE_IN(ctx, ":wanted", 1);
}

TEST(node_unwanted_message) {
    cop_send(ctx, cop_self(ctx), cop_a(unwanted));
    REFUTE_RECEIVE(ctx, ":unwanted", 1);
}

TEST(node_test_exits) { cop_exit(ctx, cop_a(because)); }

TEST(node_test_ends_normally_half_way) { cop_exit(ctx, cop_a(normal)); }

static void exit_badly(cop_ctx *ctx, cop_term arg) { cop_exit(ctx, arg); }

static cop_started fail_to_start(cop_ctx *ctx, cop_term arg) { return cop_started_error(arg); }

TEST(node_start_fails) { test_start_supervised(ctx, fail_to_start, cop_a(no_luck)); }

TEST(node_link_ends_the_test) {
    cop_spawn_link(ctx, exit_badly, cop_a(pulled_down).t);
    ASSERT_RECEIVE(ctx, ":never");
}

static void fail_elsewhere(cop_ctx *ctx, cop_term arg) { EXPECT_TERM(ctx, arg, ":another"); }

TEST(node_another_process_fails) {
    cop_spawn(ctx, fail_elsewhere, cop_a(given).t);
    ASSERT_RECEIVE(ctx, ":never");
}

TEST(node_hangs, .timeout_s = 1) {
    cop_send(ctx, test_idle_pid(ctx), cop_a(to_the_idle));
    cop_send(ctx, cop_self(ctx), cop_a(the_unread_message));
    cop_receive_ref(ctx, COP_INFINITY, cop_make_ref(ctx), &(cop_term){ 0 });
}

/* Fails under some schedules only: whichever of two processes comes first. */
static void tell(cop_ctx *ctx, cop_term arg) {
    cop_pid parent;
    cop_term what;
    if (cop_match_tuple(arg, &parent, &what))
        cop_send(ctx, parent, what);
}

static void first_of_two(cop_ctx *ctx) {
    cop_term message;
    cop_spawn(ctx, tell, cop_tuple(ctx, cop_self(ctx), cop_a(one)));
    cop_spawn(ctx, tell, cop_tuple(ctx, cop_self(ctx), cop_a(two)));
    cop_receive(ctx, COP_INFINITY, &message);
    EXPECT_TERM(ctx, message, ":one");
}

TEST(node_fails_under_some_seed, .schedulers = 1) { first_of_two(ctx); }

TEST_HOST(host_simulates_and_fails) { simulate(100, first_of_two, .faults = "kill=0,handoff=0.1"); }

TEST(node_counts_its_runs) {
    static int runs;
    EXPECT_INT(++runs, 1);
}

TEST(node_crashes_under_seed_2) {
    if (cop_sim_seed() == 2)
        raise(SIGKILL);
}

/* Five days of waiting, for simulation only. */
TEST(node_waits_for_days, .timeout_s = 2) {
    cop_process_send_after(ctx, cop_self(ctx), cop_a(at_last), 5 * 86400 * INT64_C(1000));
    cop_process_sleep(ctx, 3 * 86400 * INT64_C(1000));
    REFUTE_RECEIVE(ctx, "_", 86400 * INT64_C(1000));
    ASSERT_RECEIVE_IN(ctx, ":at_last", 2 * 86400 * INT64_C(1000));
}
