/* SPDX-License-Identifier: Apache-2.0 */
/* What supervisors have beyond OTP: back-off between restarts, and the timeline. */
#include "supervisor_help.h"

static cop_started flaky_start(cop_ctx *ctx, cop_term arg) {
    cop_started s;
    cop_term t = w_f_flaky(ctx, COP_NIL, 1, &arg);
    cop_started_from_term(t, &s);
    return s;
}

static cop_pid with_backoff(cop_ctx *ctx, const cop_supervisor_opts *opts) {
    begin(ctx);
    const cop_child_spec specs[] = {
        { .id = "a", .start = w_start_link, .arg = T(ctx, "[id: :a]") },
        { .id = "f",
          .start = flaky_start,
          .arg = T(ctx, "[id: :f]"),
          .backoff = { .min_ms = 100, .factor = 3, .max_ms = 500, .reset_after_ms = 2000 } },
        { .id = "z", .start = w_start_link, .arg = T(ctx, "[id: :z]") },
    };
    cop_started s = cop_supervisor_start_link(ctx, specs, 3, opts);
    EVENTS(ctx, "[{:up, :a}, {:up, :f}, {:up, :z}]");
    return s.pid;
}

/* The time between a kill of f and its next event. */
static int64_t pause_after_kill(cop_ctx *ctx, cop_pid sup, const char *events) {
    int64_t before = cop_monotonic_ms(ctx);
    kill_child(ctx, sup, "f");
    EVENTS(ctx, events);
    return cop_monotonic_ms(ctx) - before;
}

TEST(a_pause_grows_with_each_restart) {
    cop_pid sup = with_backoff(ctx, &(cop_supervisor_opts){ .max_restarts = 10 });
    EXPECT(pause_after_kill(ctx, sup, "[{:up, :f}]") >= 100);
    EXPECT(pause_after_kill(ctx, sup, "[{:up, :f}]") >= 300);
    EXPECT(pause_after_kill(ctx, sup, "[{:up, :f}]") >= 500); /* not 900: max_ms */
}

TEST(the_supervisor_works_on_during_a_pause) {
    cop_pid sup = with_backoff(ctx, NULL);
    kill_child(ctx, sup, "f");
    sync_with(ctx, sup);
    EXPECT_TERM(ctx, cop_supervisor_which_child(ctx, sup, cop_a(f)),
                "{:ok, {:f, :restarting, :worker, [:f]}}");
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(f)), "{:error, :restarting}");
    kill_child(ctx, sup, "a");
    EVENTS(ctx, "[{:up, :a}, {:up, :f}]");
}

TEST(terminate_child_ends_a_pause) {
    cop_pid sup = with_backoff(ctx, NULL);
    kill_child(ctx, sup, "f");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(f)), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(f)), "{:ok, _}");
    EVENTS(ctx, "[{:up, :f}]");
    cop_process_sleep(ctx, 400); /* the pause's end, if it came, would start another */
    NO_EVENTS(ctx, sup);
}

TEST(a_failing_restart_pauses_again) {
    cop_pid sup = with_backoff(ctx, NULL);
    bad_starts = 1;
    EXPECT(pause_after_kill(ctx, sup, "[{:fail, :f}, {:up, :f}]") >= 400);
}

TEST(a_child_that_ran_long_begins_again) {
    cop_pid sup = with_backoff(ctx, &(cop_supervisor_opts){ .max_restarts = 10 });
    pause_after_kill(ctx, sup, "[{:up, :f}]");
    pause_after_kill(ctx, sup, "[{:up, :f}]");
    cop_process_sleep(ctx, 2000);
    kill_child(ctx, sup, "f");
    EVENTS(ctx, "[{:up, :f}]");
    cop_term list = cop_supervisor_which_children(ctx, sup);
    EXPECT_TERM(ctx, list, "[_, {:f, _, _, _}, _]");
}

TEST(pauses_count_as_restarts) {
    cop_pid sup = with_backoff(ctx, &(cop_supervisor_opts){ .max_restarts = 1 });
    kill_child(ctx, sup, "f");
    EVENTS(ctx, "[{:up, :f}]");
    kill_child(ctx, sup, "f");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
}

TEST(a_group_stops_at_once_and_starts_after_the_pause) {
    cop_pid sup = with_backoff(ctx, &(cop_supervisor_opts){ .strategy = COP_ONE_FOR_ALL });
    int64_t before = cop_monotonic_ms(ctx);
    kill_child(ctx, sup, "f");
    EVENTS(ctx,
           "[{:down, :z, :shutdown}, {:down, :a, :shutdown}, {:up, :a}, {:up, :f}, {:up, :z}]");
    EXPECT(cop_monotonic_ms(ctx) - before >= 100);
}

TEST(a_crash_in_the_group_does_not_wait_for_another_ones_pause) {
    cop_pid sup = with_backoff(ctx, &(cop_supervisor_opts){ .strategy = COP_REST_FOR_ONE });
    kill_child(ctx, sup, "f");
    EVENTS(ctx, "[{:down, :z, :shutdown}]");
    kill_child(ctx, sup, "a");
    EVENTS(ctx, "[{:up, :a}, {:up, :f}, {:up, :z}]");
    cop_process_sleep(ctx, 400);
    NO_EVENTS(ctx, sup);
}

TEST(a_dynamic_child_pauses_too) {
    begin(ctx);
    cop_started s = cop_dynamic_supervisor_start_link(ctx, NULL);
    cop_term spec = T(ctx, "%{id: 1, start: {W, :flaky, [[id: :f]]}, "
                           "backoff: %{min: 100, jitter: 0.5}}");
    cop_pid f = { COP_NONE };
    EXPECT(
        cop_match_tuple(cop_dynamic_supervisor_start_child_term(ctx, s.pid, spec), cop_a(ok), &f));
    int64_t before = cop_monotonic_ms(ctx);
    kill_pid(ctx, f);
    EXPECT_TERM(ctx, cop_dynamic_supervisor_which_children(ctx, s.pid),
                "[{:undefined, :restarting, _, _}]");
    EVENTS(ctx, "[{:up, :f}, {:up, :f}]");
    EXPECT(cop_monotonic_ms(ctx) - before >= 50);
    EXPECT_TERM(ctx,
                cop_dynamic_supervisor_start_child_term(
                    ctx, s.pid, T(ctx, "%{id: 1, start: {W, :x, []}, backoff: %{min: -1}}")),
                "{:error, {:invalid_backoff, %{min: -1}}}");
}

/* ---- the timeline ----------------------------------------------------------------------------------------- */

/* [{event, id, reason}, ...] */
static cop_term timeline(cop_ctx *ctx, cop_term sup) {
    cop_term all = cop_supervisor_timeline(ctx, sup), one, list = COP_NIL, event, id, reason;
    while (cop_get_cons(all, &one, &all)) {
        EXPECT(cop_match_key(one, cop_a(event), &event) && cop_match_key(one, cop_a(id), &id)
               && cop_match_key(one, cop_a(reason), &reason));
        list = cop_cons(ctx, cop_tuple(ctx, event, id, reason), list);
    }
    return cop_list_reverse(ctx, list);
}

TEST(why_did_this_tree_die) {
    begin(ctx);
    cop_pid sup = sup_of(ctx, workers(ctx, "ab"),
                         "[strategy: :one_for_one, max_restarts: 1, name: :tree, timeline: 50]");
    kill_child(ctx, sup, "a");
    ASSERT_RECEIVE(ctx, "{:up, :a}");
    end_child(ctx, sup, "b", ":normal");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    /* It is gone, and still says why. */
    EXPECT_TERM(ctx, timeline(ctx, cop_a(tree).t),
                "[{:started, :a, nil}, {:started, :b, nil}, {:child_terminated, :a, :killed}, "
                "{:started, :a, nil}, {:child_terminated, :b, :normal}, "
                "{:shutdown, :b, :reached_max_restart_intensity}, {:stopped, :tree, :shutdown}]");
    EXPECT_SAME(ctx, timeline(ctx, sup.t), timeline(ctx, cop_a(tree).t));
}

TEST(a_timeline_is_a_ring) {
    begin(ctx);
    cop_pid sup = sup_of(ctx, workers(ctx, "abcde"), "[strategy: :one_for_one, timeline: 3]");
    EXPECT_TERM(ctx, timeline(ctx, sup.t),
                "[{:started, :c, nil}, {:started, :d, nil}, {:started, :e, nil}]");
}

TEST(without_the_option_there_is_none) {
    begin(ctx);
    cop_pid sup = sup_of(ctx, workers(ctx, "a"), "[strategy: :one_for_one]");
    EXPECT_TERM(ctx, timeline(ctx, sup.t), "[]");
    EXPECT_TERM(ctx, timeline(ctx, cop_a(nobody).t), "[]");
}

TEST(the_timeline_of_a_failed_start) {
    begin(ctx);
    cop_supervisor_start_link_terms(ctx,
                                    T(ctx, "[%{id: :x, start: {W, :value, [{:error, :nope}]}}]"),
                                    T(ctx, "[strategy: :one_for_one, timeline: 9, name: :tree]"));
    EXPECT_TERM(ctx, timeline(ctx, cop_a(tree).t),
                "[{:start_error, :x, :nope}, "
                "{:stopped, :tree, {:shutdown, {:failed_to_start_child, :x, :nope}}}]");
}

TEST(a_dynamic_supervisors_timeline) {
    begin(ctx);
    cop_started s = cop_dynamic_supervisor_start_link(
        ctx, &(cop_dynamic_supervisor_opts){ .timeline = 9, .max_restarts = COP_ZERO });
    cop_pid w = { COP_NONE };
    cop_match_tuple(cop_dynamic_supervisor_start_child_term(ctx, s.pid, T(ctx, "{W, []}")),
                    cop_a(ok), &w);
    kill_pid(ctx, w);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    EXPECT_TERM(ctx, timeline(ctx, s.pid.t),
                "[{:started, :undefined, nil}, {:child_terminated, :undefined, :killed}, "
                "{:shutdown, :undefined, :reached_max_restart_intensity}, {:stopped, _, "
                ":shutdown}]");
}

TEST(only_the_last_dead_ones_are_remembered) {
    begin(ctx);
    cop_pid first = { COP_NONE };
    for (int i = 0; i < 80; i++) {
        cop_pid sup = sup_of(ctx, COP_NIL, "[strategy: :one_for_one, timeline: 3]");
        if (i == 0)
            first = sup;
        cop_supervisor_stop(ctx, sup, cop_a(normal), 0);
        EXPECT_TERM(ctx, timeline(ctx, sup.t), "[{:stopped, _, :normal}]");
    }
    EXPECT_TERM(ctx, timeline(ctx, first.t), "[]");
}
