/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supervisor, the second half of the cases: calls, stopping, auto-shutdown, trees, odd input, and the
 * console's texts. Expected terms were observed on Elixir 1.14 and OTP 25.
 */
#include <fcntl.h>
#include <unistd.h>

#include "supervisor_help.h"

static cop_pid empty(cop_ctx *ctx) {
    begin(ctx);
    return sup_of(ctx, COP_NIL, "[strategy: :one_for_one]");
}

static cop_term start_child(cop_ctx *ctx, cop_pid sup, const char *spec) {
    return cop_supervisor_start_child_term(ctx, sup, T(ctx, spec));
}

static cop_pid abc(cop_ctx *ctx, const char *options) {
    begin(ctx);
    cop_pid sup = sup_of(ctx, workers(ctx, "abc"), options);
    EVENTS(ctx, "[{:up, :a}, {:up, :b}, {:up, :c}]");
    return sup;
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

TEST(SU_064_start_child_with_all_kinds_of_specs) {
    cop_pid sup = empty(ctx);
    EXPECT_TERM(ctx, start_child(ctx, sup, "%{id: :a, start: {W, :start_link, [[]]}}"), "{:ok, _}");
    EXPECT_TERM(ctx, start_child(ctx, sup, "W"), "{:ok, _}");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_as("Elixir.W")), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_delete_child(ctx, sup, cop_as("Elixir.W")), ":ok");
    EXPECT_TERM(ctx, start_child(ctx, sup, "{W, [id: :x]}"), "{:ok, _}");
    EXPECT_TERM(ctx,
                start_child(ctx, sup, "{:b, {W, :start_link, [[]]}, :permanent, 5, :worker, [W]}"),
                "{:ok, _}");
    static const cop_child_spec by_name = { .id = "n", .module = "W", .function = "value" };
    EXPECT_TERM(ctx, cop_supervisor_start_child(ctx, sup, &by_name),
                "{:error, {{:EXIT, {:undef, [{W, :value, [], []} | _]}}, _}}");
}

TEST(SU_065_start_child_with_bad_specs) {
    cop_pid sup = empty(ctx);
    EXPECT_TERM(ctx, start_child(ctx, sup, "%{}"), "{:error, :missing_id}");
    EXPECT_TERM(ctx, start_child(ctx, sup, "{1, 2, 3, 4, 5, 6}"), "{:error, {:invalid_mfa, 2}}");
    EXPECT_TERM(ctx, start_child(ctx, sup, "%{id: 1, start: {Task, :foo, :bar}}"),
                "{:error, {:invalid_mfa, {Task, :foo, :bar}}}");
    EXPECT_TERM(ctx, start_child(ctx, sup, "%{id: 1, start: {Task, :foo, []}, shutdown: -1}"),
                "{:error, {:invalid_shutdown, -1}}");
    static const cop_child_spec wrong = { .id = "w", .start = w_start_link, .shutdown_ms = -7 };
    EXPECT_TERM(ctx, cop_supervisor_start_child(ctx, sup, &wrong),
                "{:error, {:invalid_shutdown, -7}}");
}

TEST(SU_066_shutdown_of_0_and_1_are_legal) {
    cop_pid sup = empty(ctx);
    EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, W(ctx, "a", "shutdown: 0")),
                "{:ok, _}");
    EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, W(ctx, "b", "shutdown: 1")),
                "{:ok, _}");
    kill_child(ctx, sup, "a");
    kill_child(ctx, sup, "b");
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup), "%{specs: 2}");
}

TEST(SU_067_start_child_with_an_id_that_is_known) {
    cop_pid sup = abc(ctx, "[strategy: :one_for_one]");
    EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, W(ctx, "a", "")),
                "{:error, {:already_started, _}}");
    cop_supervisor_terminate_child(ctx, sup, cop_a(a));
    EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, W(ctx, "a", "")),
                "{:error, :already_present}");
}

TEST(SU_068_a_start_that_fails) {
    cop_pid sup = empty(ctx);
    test_capture_log(ctx);
    EXPECT_TERM(ctx, start_child(ctx, sup, "%{id: :e, start: {W, :start_link, [[stop: :nope]]}}"),
                "{:error, {:nope, {:child, :undefined, :e, {W, :start_link, [[stop: :nope]]}, "
                ":permanent, false, 5000, :worker, [W]}}}");
    EXPECT_TERM(ctx, reports(ctx), "[{:other, :error}]"); /* the child's own */
    EXPECT_TERM(ctx, start_child(ctx, sup, "%{id: :e, start: {W, :start_link, [[]]}}"), "{:ok, _}");
}

TEST(SU_069_a_start_that_ignores) {
    cop_pid sup = empty(ctx);
    EXPECT_TERM(ctx, start_child(ctx, sup, "%{id: :p, start: {W, :start_link, [[ignore: true]]}}"),
                "{:ok, :undefined}");
    EXPECT_TERM(ctx,
                start_child(ctx, sup,
                            "%{id: :t, start: {W, :start_link, [[ignore: true]]}, "
                            "restart: :temporary}"),
                "{:ok, :undefined}");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup), "[{:p, :undefined, :worker, [W]}]");
}

TEST(SU_070_a_start_with_extra_information) {
    cop_pid sup = empty(ctx);
    EXPECT_TERM(ctx, start_child(ctx, sup, "%{id: :x, start: {W, :start_extra, [[]]}}"),
                "{:ok, _, :extra}");
    cop_supervisor_terminate_child(ctx, sup, cop_a(x));
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(x)), "{:ok, _, :extra}");
}

TEST(SU_071_the_life_of_a_child) {
    cop_pid sup = abc(ctx, "[strategy: :one_for_one]");
    EXPECT_TERM(ctx, cop_supervisor_delete_child(ctx, sup, cop_a(a)), "{:error, :running}");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(a)), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(a)), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(a)), "{:ok, _}");
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(a)), "{:error, :running}");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(a)), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_delete_child(ctx, sup, cop_a(a)), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup), "[{:c, _, _, _}, {:b, _, _, _}]");
}

TEST(SU_072_unknown_ids) {
    cop_pid sup = empty(ctx);
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(x)), "{:error, :not_found}");
    EXPECT_TERM(ctx, cop_supervisor_delete_child(ctx, sup, cop_a(x)), "{:error, :not_found}");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(x)), "{:error, :not_found}");
    EXPECT_TERM(ctx, cop_supervisor_which_child(ctx, sup, cop_a(x)), "{:error, :not_found}");
}

TEST(SU_073_restart_child_of_one_that_fails_then_ignores) {
    cop_pid sup = empty(ctx);
    EXPECT_TERM(ctx, start_child(ctx, sup, "%{id: :f, start: {W, :flaky, [[id: :f]]}}"),
                "{:ok, _}");
    cop_supervisor_terminate_child(ctx, sup, cop_a(f));
    test_capture_log(ctx);
    bad_starts = 1;
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(f)), "{:error, :nope}");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup), "[{:f, :undefined, _, _}]");
    EXPECT_TERM(ctx, reports(ctx), "[]");
    bad_starts = 1;
    bad_is_ignore = true;
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(f)), "{:ok, :undefined}");
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(f)), "{:ok, _}");
}

TEST(SU_074_a_terminated_temporary_child_is_gone) {
    cop_pid sup = empty(ctx);
    cop_supervisor_start_child_term(ctx, sup, W(ctx, "t", "restart: :temporary"));
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(t)), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(t)), "{:error, :not_found}");
}

TEST(SU_075_types_and_modules) {
    begin(ctx);
    cop_pid sup = sup_of(ctx, T(ctx, "[{W, []}]"), "[strategy: :one_for_one]");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup), "[{W, _, :worker, [W]}]");
    EXPECT_TERM(ctx, cop_supervisor_which_child(ctx, sup, cop_as("Elixir.W")),
                "{:ok, {W, _, :worker, [W]}}");
    sup = sup_of(ctx,
                 T(ctx, "[%{id: :s, start: {W, :start_link, [[]]}, type: :supervisor, "
                        "modules: [Supervisor]}, "
                        "%{id: :d, start: {W, :start_link, [[]]}, modules: :dynamic, "
                        "type: :supervisor}]"),
                 "[strategy: :one_for_one]");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup),
                "[{:d, _, :supervisor, :dynamic}, {:s, _, :supervisor, [Supervisor]}]");
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup),
                "%{specs: 2, active: 2, supervisors: 2, workers: 0}");
}

TEST(SU_076_get_childspec) {
    cop_pid sup = empty(ctx);
    cop_supervisor_start_child_term(ctx, sup, W(ctx, "a", ""));
    EXPECT_SAME(ctx, cop_supervisor_get_childspec(ctx, sup, cop_a(a)),
                T(ctx, "{:ok, %{id: :a, start: {W, :start_link, [[id: :a]]}, restart: :permanent, "
                       "significant: false, shutdown: 5000, type: :worker, modules: [W]}}"));
    EXPECT_TERM(ctx, cop_supervisor_get_childspec(ctx, sup, cop_a(x)), "{:error, :not_found}");
    cop_supervisor_start_child_term(ctx, sup, W(ctx, "t", "restart: :temporary"));
    EXPECT_TERM(ctx, cop_supervisor_get_childspec(ctx, sup, cop_a(t)),
                "{:ok, %{start: {W, :start_link, :undefined}}}");
    sup =
        sup_of(ctx, cop_list(ctx, W(ctx, "t", "restart: :temporary")), "[strategy: :one_for_one]");
    EXPECT_TERM(ctx, cop_supervisor_get_childspec(ctx, sup, cop_a(t)),
                "{:ok, %{start: {W, :start_link, [[id: :t]]}}}");
}

TEST(SU_077_count_children_in_both_forms) {
    cop_pid sup = abc(ctx, "[strategy: :one_for_one]");
    EXPECT_SAME(ctx, cop_supervisor_count_children(ctx, sup),
                T(ctx, "%{specs: 3, active: 3, supervisors: 0, workers: 3}"));
    EXPECT_SAME(ctx, cop_gen_server_call(ctx, sup, cop_a(count_children), 0),
                T(ctx, "[specs: 3, active: 3, supervisors: 0, workers: 3]"));
}

TEST(SU_078_a_call_to_nobody) {
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :call, [:nobody, :which_children, :infinity]}}") {
        cop_supervisor_which_children(ctx, cop_a(nobody));
    }
}

/* ---- stopping --------------------------------------------------------------------------------------------- */

/* One child W with these arguments and keys; the reports from here on are captured. */
static cop_pid with(cop_ctx *ctx, const char *opts, const char *keys) {
    char text[300];
    begin(ctx);
    snprintf(text, sizeof text, "[%%{id: :a, start: {W, :start_link, [[id: :a, %s]]}%s%s}]", opts,
             keys[0] != '\0' ? ", " : "", keys);
    cop_pid sup = sup_of(ctx, T(ctx, text), "[strategy: :one_for_one]");
    test_capture_log(ctx);
    reports(ctx); /* the second time it is captured already */
    return sup;
}

/* Its end, and what is reported of it. */
static void stops(cop_ctx *ctx, const char *opts, const char *keys, const char *down,
                  const char *reported) {
    cop_pid sup = with(ctx, opts, keys);
    cop_process_monitor(ctx, child(ctx, sup, "a"));
    cop_supervisor_stop(ctx, sup, cop_a(normal), 0);
    cop_term m = ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, _}");
    EXPECT_TERM(ctx, cop_elem(m, 4), down);
    EXPECT_TERM(ctx, reports(ctx), reported);
    test_flush(ctx);
}

TEST(SU_079_a_child_that_does_not_stop_is_killed_and_reported) {
    int64_t before = cop_monotonic_ms(ctx);
    stops(ctx, "deaf: true", "shutdown: 30", ":killed", "[{:shutdown_error, :a, :killed, _}]");
    EXPECT(cop_monotonic_ms(ctx) - before >= 30);
    stops(ctx, "deaf: true", "shutdown: 0", ":killed", "[{:shutdown_error, :a, :killed, _}]");
}

TEST(SU_080_brutal_kill_does_not_ask) {
    stops(ctx, "x: 1", "shutdown: :brutal_kill", ":killed", "[]");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(SU_081_an_abnormal_answer_is_reported) {
    stops(ctx, "exit: :weird", "", ":weird",
          "[{:other, :error}, {:other, :error}, {:shutdown_error, :a, :weird, _}]");
}

TEST(SU_082_answering_normal) {
    stops(ctx, "exit: :normal", "", ":normal", "[{:shutdown_error, :a, :normal, _}]");
    stops(ctx, "exit: :normal", "restart: :transient", ":normal", "[]");
    stops(ctx, "exit: :normal", "restart: :temporary", ":normal", "[]");
}

TEST(SU_083_answering_shutdown_with_a_term) {
    stops(ctx, "exit: {:shutdown, 1}", "", "{:shutdown, 1}",
          "[{:shutdown_error, :a, {:shutdown, 1}, _}]");
    stops(ctx, "exit: {:shutdown, 1}", "restart: :transient", "{:shutdown, 1}", "[]");
}

TEST(SU_084_a_worker_has_five_seconds) {
    int64_t before = cop_monotonic_ms(ctx);
    stops(ctx, "deaf_ms: 200", "", ":shutdown", "[]");
    EXPECT(cop_monotonic_ms(ctx) - before >= 200);
    cop_pid sup = with(ctx, "x: 1", "");
    EXPECT_TERM(ctx, cop_supervisor_get_childspec(ctx, sup, cop_a(a)), "{:ok, %{shutdown: 5000}}");
}

TEST(SU_085_a_child_that_is_not_linked) {
    begin(ctx);
    cop_pid sup =
        sup_of(ctx, T(ctx, "[%{id: :a, start: {W, :start, [[]]}}]"), "[strategy: :one_for_one]");
    test_capture_log(ctx);
    cop_pid a = child(ctx, sup, "a");
    kill_pid(ctx, a);
    EXPECT(child(ctx, sup, "a").t.w == a.t.w);
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup), "%{active: 0, specs: 1}");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(a)), ":ok");
    EXPECT_TERM(ctx, reports(ctx), "[{:shutdown_error, :a, :noproc, _}]");
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(a)), "{:ok, _}");
}

TEST(SU_086_reasons_to_stop) {
    static const char *const reasons[] = { ":normal", ":shutdown", "{:shutdown, 1}", ":weird" };
    for (int i = 0; i < 4; i++) {
        cop_pid sup = with(ctx, "x: 1", "");
        EVENTS(ctx, "[{:up, :a}]");
        cop_supervisor_stop(ctx, sup, T(ctx, reasons[i]), 0);
        EVENTS(ctx, "[{:down, :a, :shutdown}]");
        EXPECT_TERM(ctx, reports(ctx), i < 3 ? "[]" : "[{:other, :error}, {:other, :error}]");
    }
}

static void parent(cop_ctx *ctx, cop_term arg) {
    cop_term reason;
    cop_pid sup = sup_of(ctx, cop_list(ctx, W(ctx, "a", "")), "[strategy: :one_for_one]");
    cop_send(ctx, tester, cop_tuple(ctx, cop_a(sup), sup));
    cop_receive(ctx, COP_INFINITY, &reason);
    if (cop_match_tuple(reason, cop_a(signal), &reason))
        cop_process_exit(ctx, sup, reason);
    else
        cop_exit(ctx, reason);
    cop_receive(ctx, COP_INFINITY, &reason);
}

static cop_pid of_parent(cop_ctx *ctx, cop_pid *the_parent) {
    cop_pid sup = { COP_NONE };
    begin(ctx);
    *the_parent = cop_spawn(ctx, parent, COP_NONE);
    cop_term m = ASSERT_RECEIVE(ctx, "{:sup, _}");
    EVENTS(ctx, "[{:up, :a}]");
    cop_get_pid(cop_elem(m, 1), &sup);
    return sup;
}

TEST(SU_087_the_parents_normal_end_ends_it) {
    cop_pid p, sup = of_parent(ctx, &p);
    cop_process_monitor(ctx, sup);
    cop_send(ctx, p, cop_a(normal));
    EVENTS(ctx, "[{:down, :a, :shutdown}]");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :normal}");
}

TEST(SU_088_exit_signals_of_strangers_and_of_the_parent) {
    cop_pid p, sup = of_parent(ctx, &p);
    cop_process_exit(ctx, sup, cop_a(normal));
    cop_process_exit(ctx, sup, cop_a(shutdown));
    cop_process_exit(ctx, sup, cop_a(boom));
    NO_EVENTS(ctx, sup);
    EXPECT(cop_process_is_alive(ctx, sup));
    cop_process_monitor(ctx, sup);
    cop_send(ctx, p, cop_tuple(ctx, cop_a(signal), cop_a(boom)));
    EVENTS(ctx, "[{:down, :a, :shutdown}]");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :boom}");
}

TEST(SU_089_a_killed_supervisor) {
    begin(ctx);
    cop_pid sup = sup_of(ctx, workers(ctx, "a"), "[strategy: :one_for_one]");
    kill_pid(ctx, sup);
    EVENTS(ctx, "[{:up, :a}, {:down, :a, :killed}]");
}

TEST(SU_090_a_stop_that_takes_too_long) {
    cop_pid sup = with(ctx, "deaf_ms: 300", "");
    char text[120];
    cop_bytes pid;
    cop_get_bytes(cop_inspect(ctx, sup.t, NULL), &pid);
    snprintf(text, sizeof text, "{:timeout, {GenServer, :stop, [%.*s, :normal, 50]}}",
             (int)pid.size, pid.data);
    EXPECT_EXIT(ctx, text) { cop_supervisor_stop(ctx, sup, cop_a(normal), 50); }
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
}

TEST(SU_091_stop_of_nobody) {
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :stop, [:nobody, :normal, :infinity]}}") {
        cop_supervisor_stop(ctx, cop_a(nobody), cop_a(normal), 0);
    }
}

/* ---- auto shutdown ---------------------------------------------------------------------------------------- */

static cop_pid significant(cop_ctx *ctx, const char *how, const char *restart) {
    char keys[100], options[100];
    begin(ctx);
    snprintf(keys, sizeof keys, "significant: true, restart: %s", restart);
    snprintf(options, sizeof options, "[strategy: :one_for_one, auto_shutdown: %s]", how);
    cop_pid sup =
        sup_of(ctx, cop_list(ctx, W(ctx, "a", ""), W(ctx, "s", keys), W(ctx, "z", keys)), options);
    EVENTS(ctx, "[{:up, :a}, {:up, :s}, {:up, :z}]");
    return sup;
}

TEST(SU_092_any_significant_temporary) {
    static const char *const reasons[] = { ":normal", ":boom" };
    for (int i = 0; i < 2; i++) {
        cop_pid sup = significant(ctx, ":any_significant", ":temporary");
        end_child(ctx, sup, "s", reasons[i]);
        ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
        ASSERT_RECEIVE(ctx, "{:down, :s, _}");
        EVENTS(ctx, "[{:down, :z, :shutdown}, {:down, :a, :shutdown}]");
    }
}

TEST(SU_093_any_significant_transient) {
    static const char *const reasons[] = { ":normal", ":shutdown", "{:shutdown, 1}" };
    for (int i = 0; i < 3; i++) {
        cop_pid sup = significant(ctx, ":any_significant", ":transient");
        end_child(ctx, sup, "s", reasons[i]);
        ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
        test_flush(ctx);
    }
    cop_pid sup = significant(ctx, ":any_significant", ":transient");
    kill_child(ctx, sup, "s");
    EVENTS(ctx, "[{:up, :s}]");
    NO_EVENTS(ctx, sup);
}

TEST(SU_094_what_does_not_shut_it_down) {
    cop_pid sup = significant(ctx, ":any_significant", ":temporary");
    end_child(ctx, sup, "a", ":normal");
    EVENTS(ctx, "[{:down, :a, :normal}, {:up, :a}]");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup, cop_a(s)), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup), "%{active: 2}");
}

TEST(SU_095_all_significant) {
    cop_pid sup = significant(ctx, ":all_significant", ":transient");
    end_child(ctx, sup, "s", ":normal");
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup), "%{active: 2}");
    end_child(ctx, sup, "z", ":normal");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    test_flush(ctx);
    sup = significant(ctx, ":all_significant", ":transient");
    cop_supervisor_terminate_child(ctx, sup, cop_a(s));
    end_child(ctx, sup, "z", ":normal");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    test_flush(ctx);
    sup = significant(ctx, ":all_significant", ":transient");
    end_child(ctx, sup, "s", ":normal");
    cop_supervisor_restart_child(ctx, sup, cop_a(s));
    end_child(ctx, sup, "z", ":normal");
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup), "%{active: 2}");
}

TEST(SU_096_start_child_of_a_significant_one) {
    cop_pid sup = empty(ctx);
    EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, W(ctx, "s", "significant: true")),
                "{:error, {:bad_combination, [auto_shutdown: :never, significant: true]}}");
    sup = sup_of(ctx, COP_NIL, "[strategy: :one_for_one, auto_shutdown: :any_significant]");
    EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, W(ctx, "s", "significant: true")),
                "{:error, {:bad_combination, [restart: :permanent, significant: true]}}");
}

/* ---- trees and odd input ---------------------------------------------------------------------------------- */

static cop_started inner_start(cop_ctx *ctx, cop_term arg) {
    return cop_supervisor_start_link_terms(
        ctx, cop_list(ctx, W(ctx, "leaf", "")),
        T(ctx, "[strategy: :one_for_one, max_restarts: 0, name: :inner]"));
}

static cop_pid top(cop_ctx *ctx, cop_restart restart) {
    const cop_child_spec inner = { .id = "inner",
                                   .start = inner_start,
                                   .module = "Inner",
                                   .restart = restart,
                                   .type = COP_SUPERVISOR };
    begin(ctx);
    cop_started s = cop_supervisor_start_link(ctx, &inner, 1, NULL);
    EVENTS(ctx, "[{:up, :leaf}]");
    test_capture_log(ctx);
    cop_pid sub = child(ctx, s.pid, "inner");
    kill_child(ctx, sub, "leaf");
    test_await_down(ctx, sub);
    return s.pid;
}

TEST(SU_097_a_supervisor_that_gives_up_is_restarted_by_its_own) {
    cop_pid sup = top(ctx, COP_PERMANENT);
    EVENTS(ctx, "[{:up, :leaf}]");
    sync_with(ctx, sup);
    EXPECT_TERM(ctx, reports(ctx),
                "[{:child_terminated, :leaf, :killed, _}, "
                "{:shutdown, :leaf, :reached_max_restart_intensity, _}, "
                "{:child_terminated, :inner, :shutdown, _}, {:progress, :leaf, nil, _}, "
                "{:progress, :inner, nil, _}]");
}

TEST(SU_098_unless_it_is_transient) {
    cop_pid sup = top(ctx, COP_TRANSIENT);
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup),
                "[{:inner, :undefined, :supervisor, [Inner]}]");
}

TEST(SU_099_unexpected_input) {
    cop_pid sup = empty(ctx);
    test_capture_log(ctx);
    cop_send(ctx, sup, cop_a(strange));
    sync_with(ctx, sup);
    ASSERT_RECEIVE(ctx, "{:log, :error, {:string, \"Supervisor received unexpected message: "
                        ":strange\\n\"}, _}");
    cop_send(ctx, sup, cop_tuple(ctx, cop_as("EXIT"), test_idle_pid(ctx), cop_a(boom)));
    sync_with(ctx, sup);
    EXPECT_TERM(ctx, reports(ctx), "[]");
    EXPECT(!cop_gen_server_try_call(ctx, sup, cop_a(unknown), 0).ok);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, {:function_clause, _}}");
    sup = sup_of(ctx, COP_NIL, "[strategy: :one_for_one]");
    cop_gen_server_cast(ctx, sup, cop_a(unknown));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, {:function_clause, _}}");
    sup = sup_of(ctx, COP_NIL, "[strategy: :one_for_one]");
    cop_send(ctx, sup, cop_tuple(ctx, cop_as("EXIT"), cop_self(ctx), cop_a(foo)));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :foo}");
}

static void links(cop_ctx *ctx, cop_term sup) { cop_process_link(ctx, sup); }

TEST(SU_100_a_stranger_that_is_linked_dies) {
    cop_pid sup = empty(ctx);
    test_capture_log(ctx);
    cop_pid stranger = cop_spawn(ctx, links, sup.t);
    test_await_down(ctx, stranger);
    sync_with(ctx, sup);
    EXPECT_TERM(ctx, reports(ctx), "[]");
}

TEST(SU_102_state_and_dictionary) {
    begin(ctx);
    cop_pid sup = sup_of(ctx, cop_list(ctx, W(ctx, "a", ""), W(ctx, "b", "")),
                         "[strategy: :one_for_one, name: :sup]");
    cop_ref ref = cop_make_ref(ctx);
    cop_send(ctx, sup,
             cop_tuple(ctx, cop_a(system), cop_tuple(ctx, cop_self(ctx), ref), cop_a(get_state)));
    EXPECT_TERM(ctx, ASSERT_RECEIVE(ctx, "{_, {:state, _, _, _, _, _, _, _, _, _, _, _}}"),
                "{_, {:state, {:local, :sup}, :one_for_one, {[:b, :a], "
                "%{a: {:child, _, :a, {W, :start_link, [[id: :a]]}, :permanent, false, 5000, "
                ":worker, [W]}}}, :undefined, 3, 5, [], 0, :never, Supervisor.Default, "
                "{:ok, {%{intensity: 3}, [_, _]}}}}");
    EXPECT_TERM(
        ctx, cop_process_info(ctx, sup, cop_tuple(ctx, cop_a(dictionary), cop_as("$initial_call"))),
        "{:supervisor, Supervisor.Default, 1}");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, child(ctx, sup, "a"), cop_a(ancestors), 0),
                "[:sup | _]");
}

TEST(SU_103_calls_wait_while_a_child_starts) {
    cop_pid sup = empty(ctx);
    cop_term slow = T(ctx, "{:start_child, %{id: :s, start: {W, :slow, [[]]}}}");
    cop_request_id started = cop_gen_server_send_request(ctx, sup, slow);
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup), "[{:s, _, :worker, [W]}]");
    EXPECT_TERM(ctx, cop_gen_server_receive_response(ctx, started, 0).value, "{:ok, _}");
}

TEST(SU_104_the_generated_spec_of_a_worker_module) {
    EXPECT_SAME(
        ctx,
        cop_child_spec_use(ctx, "M", COP_WORKER, cop_a(arg).t, T(ctx, "[restart: :transient]")),
        T(ctx, "%{id: M, start: {M, :start_link, [:arg]}, restart: :transient}"));
    EXPECT_SAME(ctx, cop_child_spec_use(ctx, "M", COP_WORKER, cop_a(arg).t, COP_NONE),
                T(ctx, "%{id: M, start: {M, :start_link, [:arg]}}"));
}

/* ---- the console's texts ---------------------------------------------------------------------------------- */

static int ends[2];

static void start_logger(cop_ctx *ctx) {
    EXPECT_INT(pipe(ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    cop_logger_start(&(cop_logger_opts){ .fd = ends[1], .no_time = true, .sasl_reports = true });
    while (cop_is_none(cop_process_whereis(ctx, cop_a(logger))))
        cop_process_sleep(ctx, 1);
}

/* What the logger wrote; pids are written as P. */
static const char *logged(cop_ctx *ctx) {
    static char raw[8192];
    cop_logger_flush(ctx);
    ssize_t n = read(ends[0], raw, sizeof raw - 1);
    raw[n > 0 ? n : 0] = '\0';
    char *to = raw;
    for (const char *at = raw; *at != '\0'; at++)
        if (strncmp(at, "#PID<", 5) == 0) {
            at = strchr(at, '>');
            *to++ = 'P';
        } else {
            *to++ = *at;
        }
    *to = '\0';
    return raw;
}

#define REST "Restart: :permanent\nShutdown: 10000\nType: :worker\n"

TEST(the_console_shows_reports_as_Elixir_does) {
    begin(ctx);
    start_logger(ctx);
    cop_pid sup =
        sup_of(ctx, T(ctx, "[%{id: :a, start: {W, :start_link, [[x: 1]]}, shutdown: 10_000}]"),
               "[strategy: :one_for_one, name: :sup, max_restarts: 0]");
    EXPECT_STR(logged(ctx), "\n[info] Child :a of Supervisor :sup started\nPid: P\n"
                            "Start Call: W.start_link([x: 1])\n" REST);
    kill_child(ctx, sup, "a");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    EXPECT_STR(logged(ctx),
               "\n[error] Child :a of Supervisor :sup terminated\n** (exit) killed\nPid: P\n"
               "Start Call: W.start_link([x: 1])\n" REST
               "\n[error] Child :a of Supervisor :sup caused shutdown\n"
               "** (exit) :reached_max_restart_intensity\n"
               "Start Call: W.start_link([x: 1])\n" REST);
}

TEST(the_console_shows_an_unnamed_supervisor_with_its_module) {
    begin(ctx);
    start_logger(ctx);
    cop_supervisor_start_link_terms(ctx,
                                    T(ctx, "[%{id: {:b, 1}, start: {W, :value, [{:error, :bad}]}, "
                                           "restart: :transient, type: :supervisor}]"),
                                    T(ctx, "[strategy: :one_for_one]"));
    EXPECT_STR(logged(ctx),
               "\n[error] Child {:b, 1} of Supervisor P (Supervisor.Default) failed to start\n"
               "** (exit) :bad\nStart Call: W.value({:error, :bad})\nRestart: :transient\n"
               "Shutdown: :infinity\nType: :supervisor\n");
}

TEST(the_console_shows_forgotten_arguments) {
    begin(ctx);
    cop_pid sup = sup_of(ctx, COP_NIL, "[strategy: :one_for_one, name: :sup]");
    cop_supervisor_start_child_term(ctx, sup, W(ctx, "t", "restart: :temporary"));
    start_logger(ctx);
    kill_child(ctx, sup, "t");
    sync_with(ctx, sup);
    EXPECT_STR(logged(ctx),
               "\n[error] Child :t of Supervisor :sup terminated\n** (exit) killed\nPid: P\n"
               "Start Call: W.start_link/?\nRestart: :temporary\nShutdown: 5000\n"
               "Type: :worker\n");
}

/* ---- another version of its code ---------------------------------------------------------------------------- */

static const char *of_new_code;
static cop_term changing_init(cop_ctx *ctx, cop_term arg) { return T(ctx, of_new_code); }
static const cop_supervisor changing = { "Changing", changing_init };

static cop_term new_code(cop_ctx *ctx, cop_pid sup, const char *result) {
    of_new_code = result;
    cop_sys_suspend(ctx, sup, 0);
    cop_term answer =
        cop_sys_change_code(ctx, sup, cop_as("Elixir.Changing"), cop_a(undefined), COP_NIL, 0);
    cop_sys_resume(ctx, sup, 0);
    return answer;
}

#define W_SPEC(id, more) "%{id: " id ", start: {W, :start_link, [[id: " id "]]}" more "}"

static cop_pid changing_start(cop_ctx *ctx) {
    begin(ctx);
    of_new_code = "{:ok, {%{intensity: 3}, [" W_SPEC(":a", "") ", " W_SPEC(":b", "") "]}}";
    cop_pid sup = cop_supervisor_start_link_module(ctx, &changing, COP_NIL, NULL).pid;
    EVENTS(ctx, "[{:up, :a}, {:up, :b}]");
    return sup;
}

/* Observed with :supervisor of OTP 25, also the order of the children. */
TEST(new_code_gives_a_supervisor_other_flags_and_specs_and_starts_nobody) {
    cop_pid sup = changing_start(ctx), b = child(ctx, sup, "b");
    EXPECT_TERM(ctx,
                new_code(ctx, sup,
                         "{:ok, {%{strategy: :one_for_all}, [" W_SPEC(":c", "") ", " W_SPEC(
                             ":b", ", restart: :temporary, shutdown: 7") "]}}"),
                ":ok");
    NO_EVENTS(ctx, sup);
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup),
                "[{:a, _, :worker, [W]}, {:b, _, :worker, [W]}, {:c, :undefined, :worker, [W]}]");
    EXPECT_TERM(ctx, cop_supervisor_get_childspec(ctx, sup, cop_a(b)),
                "{:ok, %{restart: :temporary, shutdown: 7}}");
    EXPECT(child(ctx, sup, "b").t.w == b.t.w);
    kill_child(ctx, sup, "b"); /* by its new specification */
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup, cop_a(c)), "{:ok, _}");
    EXPECT_TERM(ctx, cop_supervisor_get_childspec(ctx, sup, cop_a(b)), "{:error, :not_found}");
}

TEST(new_code_of_a_supervisor_that_is_wrong_changes_nothing) {
    static const char *const cases[][2] = {
        { "{:ok, {%{strategy: :nope}, []}}", "{:error, {:error, {:invalid_strategy, :nope}}}" },
        { "{:ok, {[], []}}", "{:error, {:error, {:bad_flags, []}}}" },
        { "{:ok, {%{intensity: 9}, [%{id: 1}]}}", "{:error, {:error, :missing_start}}" },
        { "{:ok, {%{}, [" W_SPEC(":c", "") ", " W_SPEC(":c", "") "]}}",
          "{:error, {:error, {:duplicate_child_name, :c}}}" },
        { ":odd", "{:error, :odd}" },
        { ":ignore", ":ok" },
    };
    cop_pid sup = changing_start(ctx);
    cop_term before = cop_sys_get_state(ctx, sup, 0);
    for (int i = 0; i < 6; i++) {
        EXPECT_TERM(ctx, new_code(ctx, sup, cases[i][0]), cases[i][1]);
        EXPECT_SAME(ctx, cop_sys_get_state(ctx, sup, 0), before);
    }
}
