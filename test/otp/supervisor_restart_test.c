/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supervisor, case by case: intensity, strategies, children that are restarting. Expected terms were
 * observed on Elixir 1.14 and OTP 25.
 */
#include "supervisor_help.h"

static cop_pid one(cop_ctx *ctx, const char *more, const char *options) {
    cop_pid sup = sup_of(ctx, cop_list(ctx, W(ctx, "a", more)), options);
    EVENTS(ctx, "[{:up, :a}]");
    return sup;
}

/* ---- intensity --------------------------------------------------------------------------------------------- */

TEST(SU_043_three_in_five_seconds_are_allowed) {
    begin(ctx);
    cop_pid sup = one(ctx, "", "[strategy: :one_for_one]");
    for (int i = 0; i < 3; i++) {
        kill_child(ctx, sup, "a");
        EVENTS(ctx, "[{:up, :a}]");
    }
    kill_child(ctx, sup, "a");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    NO_EVENTS(ctx, sup);
}

TEST(SU_044_the_reports_of_giving_up) {
    begin(ctx);
    cop_pid sup = one(ctx, "", "[strategy: :one_for_one, max_restarts: 1]");
    test_capture_log(ctx);
    kill_child(ctx, sup, "a");
    EVENTS(ctx, "[{:up, :a}]");
    cop_pid second = child(ctx, sup, "a");
    kill_pid(ctx, second);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    cop_term list = reports(ctx);
    EXPECT_TERM(ctx, list,
                "[{:child_terminated, :a, :killed, _}, {:progress, :a, nil, _}, "
                "{:child_terminated, :a, :killed, _}, "
                "{:shutdown, :a, :reached_max_restart_intensity, _}]");
    /* Observed: the offender of the last is shown with its pid. */
    EXPECT_SAME(ctx, cop_elem(cop_head(cop_tail(cop_tail(cop_tail(list)))), 3), second);
}

TEST(SU_045_none_at_all) {
    begin(ctx);
    cop_pid sup = one(ctx, "", "[strategy: :one_for_one, max_restarts: 0]");
    kill_child(ctx, sup, "a");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
}

TEST(SU_046_old_restarts_fall_out_of_the_window) {
    begin(ctx);
    cop_pid sup = one(ctx, "", "[strategy: :one_for_one, max_restarts: 2, max_seconds: 1]");
    for (int i = 0; i < 4; i++) {
        kill_child(ctx, sup, "a");
        EVENTS(ctx, "[{:up, :a}]");
        if (i == 1)
            cop_process_sleep(ctx, 2100);
    }
    kill_child(ctx, sup, "a");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
}

static cop_pid flaky(cop_ctx *ctx, const char *options) {
    cop_pid sup = sup_of(ctx, T(ctx, "[%{id: :f, start: {W, :flaky, [[id: :f]]}}]"), options);
    EVENTS(ctx, "[{:up, :f}]");
    return sup;
}

static cop_term state_of(cop_ctx *ctx, cop_pid sup) {
    cop_ref ref = cop_make_ref(ctx);
    cop_term m;
    cop_send(ctx, sup,
             cop_tuple(ctx, cop_a(system), cop_tuple(ctx, cop_self(ctx), ref), cop_a(get_state)));
    EXPECT(cop_receive_ref(ctx, 5000, ref, &m));
    return cop_elem(m, 1);
}

TEST(SU_047_each_failed_try_counts) {
    begin(ctx);
    cop_pid sup = flaky(ctx, "[strategy: :one_for_one, max_restarts: 5]");
    bad_starts = 2;
    kill_child(ctx, sup, "f");
    EVENTS(ctx, "[{:fail, :f}, {:fail, :f}, {:up, :f}]");
    EXPECT_INT(cop_list_length(cop_elem(state_of(ctx, sup), 7)), 3);
}

TEST(SU_048_a_child_that_never_restarts) {
    begin(ctx);
    cop_pid sup = flaky(ctx, "[strategy: :one_for_one]"), old = child(ctx, sup, "f");
    bad_starts = 1000;
    test_capture_log(ctx);
    kill_pid(ctx, old);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    EVENTS(ctx, "[{:fail, :f}, {:fail, :f}, {:fail, :f}]");
    cop_term list = reports(ctx), r, pid;
    EXPECT_TERM(ctx, list,
                "[{:child_terminated, :f, :killed, _}, {:start_error, :f, :nope, _}, "
                "{:start_error, :f, :nope, {:restarting, _}}, "
                "{:start_error, :f, :nope, {:restarting, _}}, "
                "{:shutdown, :f, :reached_max_restart_intensity, {:restarting, _}}]");
    while (cop_get_cons(list, &r, &list)) {
        if (!cop_match_tuple(cop_elem(r, 3), cop_a(restarting), &pid))
            pid = cop_elem(r, 3);
        EXPECT_SAME(ctx, pid, old);
    }
}

TEST(SU_049_giving_up_stops_the_others_in_reverse) {
    begin(ctx);
    cop_pid sup = sup_of(ctx, workers(ctx, "abc"), "[strategy: :one_for_all, max_restarts: 0]");
    EVENTS(ctx, "[{:up, :a}, {:up, :b}, {:up, :c}]");
    kill_child(ctx, sup, "b");
    EVENTS(ctx, "[{:down, :c, :shutdown}, {:down, :a, :shutdown}]");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
}

/* ---- strategies -------------------------------------------------------------------------------------------- */

static cop_pid group(cop_ctx *ctx, cop_term children, const char *options, const char *events) {
    cop_pid sup = sup_of(ctx, children, options);
    EVENTS(ctx, events);
    return sup;
}

TEST(SU_050_one_for_all_forgets_the_temporary) {
    begin(ctx);
    cop_pid sup = group(ctx,
                        cop_list(ctx, W(ctx, "a", ""), W(ctx, "t", "restart: :temporary"),
                                 W(ctx, "b", ""), W(ctx, "c", "")),
                        "[strategy: :one_for_all]", "[{:up, :a}, {:up, :t}, {:up, :b}, {:up, :c}]");
    kill_child(ctx, sup, "b");
    EVENTS(ctx, "[{:down, :c, :shutdown}, {:down, :t, :shutdown}, {:down, :a, :shutdown}, "
                "{:up, :a}, {:up, :b}, {:up, :c}]");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup),
                "[{:c, _, _, _}, {:b, _, _, _}, {:a, _, _, _}]");
}

TEST(SU_051_one_for_all_after_a_normal_end) {
    begin(ctx);
    cop_pid sup = group(ctx, workers(ctx, "abc"), "[strategy: :one_for_all]",
                        "[{:up, :a}, {:up, :b}, {:up, :c}]");
    end_child(ctx, sup, "a", ":normal");
    EVENTS(ctx, "[{:down, :a, :normal}, {:down, :c, :shutdown}, {:down, :b, :shutdown}, "
                "{:up, :a}, {:up, :b}, {:up, :c}]");
}

TEST(SU_052_a_group_restart_brings_back_what_was_terminated) {
    begin(ctx);
    cop_pid sup = group(ctx, workers(ctx, "abc"), "[strategy: :one_for_all]",
                        "[{:up, :a}, {:up, :b}, {:up, :c}]");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(b)), ":ok");
    kill_child(ctx, sup, "c");
    EVENTS(ctx, "[{:down, :b, :shutdown}, {:down, :a, :shutdown}, {:up, :a}, {:up, :b}, "
                "{:up, :c}]");
}

TEST(SU_053_and_a_transient_that_had_ended_well) {
    begin(ctx);
    cop_pid sup = group(ctx, cop_list(ctx, W(ctx, "t", "restart: :transient"), W(ctx, "b", "")),
                        "[strategy: :one_for_all]", "[{:up, :t}, {:up, :b}]");
    end_child(ctx, sup, "t", ":normal");
    EVENTS(ctx, "[{:down, :t, :normal}]");
    kill_child(ctx, sup, "b");
    EVENTS(ctx, "[{:up, :t}, {:up, :b}]");
}

TEST(SU_054_a_temporary_child_takes_nobody_with_it) {
    begin(ctx);
    cop_pid sup = group(ctx, cop_list(ctx, W(ctx, "t", "restart: :temporary"), W(ctx, "b", "")),
                        "[strategy: :one_for_all]", "[{:up, :t}, {:up, :b}]");
    kill_child(ctx, sup, "t");
    NO_EVENTS(ctx, sup);
}

TEST(SU_055_rest_for_one) {
    begin(ctx);
    cop_pid sup =
        group(ctx,
              cop_list(ctx, W(ctx, "a", ""), W(ctx, "b", ""), W(ctx, "t", "restart: :temporary"),
                       W(ctx, "c", "")),
              "[strategy: :rest_for_one]", "[{:up, :a}, {:up, :b}, {:up, :t}, {:up, :c}]");
    EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, W(ctx, "d", "")), "{:ok, _}");
    cop_pid a = child(ctx, sup, "a");
    kill_child(ctx, sup, "b");
    EVENTS(ctx, "[{:up, :d}, {:down, :d, :shutdown}, {:down, :c, :shutdown}, "
                "{:down, :t, :shutdown}, {:up, :b}, {:up, :c}, {:up, :d}]");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup),
                "[{:d, _, _, _}, {:c, _, _, _}, {:b, _, _, _}, {:a, _, _, _}]");
    EXPECT(child(ctx, sup, "a").t.w == a.t.w);
}

TEST(SU_056_rest_for_one_of_the_last) {
    begin(ctx);
    cop_pid sup = group(ctx, workers(ctx, "abc"), "[strategy: :rest_for_one]",
                        "[{:up, :a}, {:up, :b}, {:up, :c}]");
    kill_child(ctx, sup, "c");
    EVENTS(ctx, "[{:up, :c}]");
    NO_EVENTS(ctx, sup);
}

TEST(SU_057_places_in_the_list) {
    begin(ctx);
    cop_pid sup = group(ctx, workers(ctx, "abc"), "[strategy: :rest_for_one]",
                        "[{:up, :a}, {:up, :b}, {:up, :c}]");
    cop_supervisor_terminate_child(ctx, sup, cop_a(b));
    cop_supervisor_restart_child(ctx, sup, cop_a(b));
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup),
                "[{:c, _, _, _}, {:b, _, _, _}, {:a, _, _, _}]");
    cop_supervisor_terminate_child(ctx, sup, cop_a(b));
    cop_supervisor_delete_child(ctx, sup, cop_a(b));
    cop_supervisor_start_child_term(ctx, sup, W(ctx, "b", ""));
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup),
                "[{:b, _, _, _}, {:c, _, _, _}, {:a, _, _, _}]");
}

/* [a, b, c, d] where c is flaky. */
static cop_pid abcd(cop_ctx *ctx, const char *options) {
    return group(ctx,
                 cop_list(ctx, W(ctx, "a", ""), W(ctx, "b", ""),
                          T(ctx, "%{id: :c, start: {W, :flaky, [[id: :c]]}}"), W(ctx, "d", "")),
                 options, "[{:up, :a}, {:up, :b}, {:up, :c}, {:up, :d}]");
}

TEST(SU_058_one_for_all_tries_from_the_first_each_round) {
    begin(ctx);
    cop_pid sup = abcd(ctx, "[strategy: :one_for_all]");
    bad_starts = 2;
    test_capture_log(ctx);
    kill_child(ctx, sup, "b");
    EVENTS(ctx,
           "[{:down, :d, :shutdown}, {:down, :c, :shutdown}, {:down, :a, :shutdown}, "
           "{:up, :a}, {:up, :b}, {:fail, :c}, {:down, :b, :shutdown}, {:down, :a, :shutdown}, "
           "{:up, :a}, {:up, :b}, {:fail, :c}, {:down, :b, :shutdown}, {:down, :a, :shutdown}, "
           "{:up, :a}, {:up, :b}, {:up, :c}, {:up, :d}]");
    EXPECT_INT(cop_list_length(cop_elem(state_of(ctx, sup), 7)), 3);
    cop_term list = reports(ctx), r;
    while (cop_get_cons(list, &r, &list))
        if (cop_match(cop_elem(r, 0), cop_a(start_error)))
            EXPECT_TERM(ctx, r, "{:start_error, :c, :nope, :undefined}");
}

TEST(SU_059_rest_for_one_tries_only_the_one_that_failed_and_those_after) {
    begin(ctx);
    cop_pid sup = abcd(ctx, "[strategy: :rest_for_one]");
    bad_starts = 2;
    kill_child(ctx, sup, "b");
    EVENTS(ctx, "[{:down, :d, :shutdown}, {:down, :c, :shutdown}, {:up, :b}, {:fail, :c}, "
                "{:fail, :c}, {:up, :c}, {:up, :d}]");
    NO_EVENTS(ctx, sup);
}

TEST(SU_060_rest_for_one_where_the_crashed_one_fails_first) {
    begin(ctx);
    cop_pid sup =
        group(ctx,
              cop_list(ctx, W(ctx, "a", ""), T(ctx, "%{id: :b, start: {W, :flaky, [[id: :b]]}}"),
                       W(ctx, "c", "")),
              "[strategy: :rest_for_one]", "[{:up, :a}, {:up, :b}, {:up, :c}]");
    bad_starts = 1;
    kill_child(ctx, sup, "b");
    EVENTS(ctx, "[{:down, :c, :shutdown}, {:fail, :b}, {:up, :b}, {:up, :c}]");
}

TEST(SU_061_a_restart_that_ignores) {
    begin(ctx);
    cop_pid sup = flaky(ctx, "[strategy: :one_for_one]");
    bad_starts = 1;
    bad_is_ignore = true;
    kill_child(ctx, sup, "f");
    EVENTS(ctx, "[{:fail, :f}]");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup), "[{:f, :undefined, :worker, [W]}]");
    NO_EVENTS(ctx, sup);
}

TEST(SU_062_a_child_that_is_restarting) {
    begin(ctx);
    cop_pid sup = flaky(ctx, "[strategy: :one_for_one, max_restarts: 1_000_000_000]");
    bad_starts = INT32_MAX;
    kill_child(ctx, sup, "f");
    EVENTS(ctx, "[{:fail, :f}]");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup), "[{:f, :restarting, :worker, [W]}]");
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup),
                "%{specs: 1, active: 0, supervisors: 0, workers: 1}");
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(f)), "{:error, :restarting}");
    EXPECT_TERM(ctx, cop_supervisor_delete_child(ctx, sup, cop_a(f)), "{:error, :restarting}");
    EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, W(ctx, "f", "")),
                "{:error, :already_present}");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(f)), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup), "[{:f, :undefined, :worker, [W]}]");
    EXPECT_TERM(ctx, cop_supervisor_delete_child(ctx, sup, cop_a(f)), ":ok");
}

TEST(SU_063_terminating_the_one_that_fails_ends_the_rounds) {
    begin(ctx);
    cop_pid sup =
        group(ctx,
              cop_list(ctx, W(ctx, "a", ""), T(ctx, "%{id: :c, start: {W, :flaky, [[id: :c]]}}"),
                       W(ctx, "d", "")),
              "[strategy: :one_for_all, max_restarts: 1_000_000_000]",
              "[{:up, :a}, {:up, :c}, {:up, :d}]");
    bad_starts = INT32_MAX;
    kill_child(ctx, sup, "c");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(c)), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup),
                "[{:d, :undefined, :worker, [W]}, {:c, :undefined, :worker, [W]}, "
                "{:a, _, :worker, [W]}]");
    EXPECT(cop_process_is_alive(ctx, child(ctx, sup, "a")));
}
