/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DynamicSupervisor, case by case. Expected terms were observed with Elixir's main-branch module on OTP 25.
 */
#include <stdlib.h>

#include "supervisor_help.h"

static cop_pid dyn(cop_ctx *ctx, const char *options) {
    begin(ctx);
    cop_started s = cop_dynamic_supervisor_start_link_terms(ctx, T(ctx, options));
    if (s.is != COP_STARTED)
        EXPECT_TERM(ctx, s.reason, "nothing");
    return s.pid;
}

static cop_term add_term(cop_ctx *ctx, cop_pid sup, cop_term spec) {
    return cop_dynamic_supervisor_start_child_term(ctx, sup, spec);
}

static cop_term add(cop_ctx *ctx, cop_pid sup, const char *spec) {
    return add_term(ctx, sup, T(ctx, spec));
}

static cop_pid pid_of(cop_ctx *ctx, cop_term started) {
    cop_pid pid = { COP_NONE };
    if (!cop_match_tuple(started, cop_a(ok), &pid))
        EXPECT_TERM(ctx, started, "{:ok, _}");
    return pid;
}

static cop_pid add_w(cop_ctx *ctx, cop_pid sup, const char *id, const char *more) {
    return pid_of(ctx, add_term(ctx, sup, W(ctx, id, more)));
}

static void counts(cop_ctx *ctx, cop_pid sup, const char *expected) {
    EXPECT_TERM(ctx, cop_dynamic_supervisor_count_children(ctx, sup), expected);
}

/* ---- configuration ---------------------------------------------------------------------------------------- */

TEST(DS_001_a_DynamicSupervisor_in_a_list_of_children) {
    begin(ctx);
    sup_of(ctx, T(ctx, "[{DynamicSupervisor, [name: :n]}]"), "[strategy: :one_for_one]");
    EXPECT_TERM(ctx, cop_dynamic_supervisor_which_children(ctx, cop_a(n)), "[]");
}

TEST(DS_002_two_unnamed_ones_clash_by_their_id) {
    begin(ctx);
    cop_pid sup =
        sup_of(ctx, T(ctx, "[{DynamicSupervisor, [name: :simple]}]"), "[strategy: :one_for_one]");
    EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, T(ctx, "{DynamicSupervisor, []}")),
                "{:ok, _}");
    EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, T(ctx, "{DynamicSupervisor, []}")),
                "{:error, {:already_started, _}}");
}

TEST(DS_002_names_of_all_kinds_stand_beside_each_other) {
    static const char *const names[] = { ":simple", "{:global, :g}",
                                         "{:via, Registry, {R, \"v\"}}" };
    begin(ctx);
    cop_registry_start_link(ctx, T(ctx, "[keys: :unique, name: R]"));
    cop_pid sup = sup_of(ctx, COP_NIL, "[strategy: :one_for_one]");
    for (int i = 0; i < 3; i++) {
        char spec[100];
        snprintf(spec, sizeof spec, "{DynamicSupervisor, [name: %s]}", names[i]);
        EXPECT_TERM(ctx, cop_supervisor_start_child_term(ctx, sup, T(ctx, spec)), "{:ok, _}");
    }
    for (int i = 0; i < 3; i++)
        EXPECT_TERM(ctx, cop_dynamic_supervisor_which_children(ctx, T(ctx, names[i])), "[]");
}

TEST(DS_003_ids_of_child_specs) {
    static const char *const cases[][2] = {
        { "[name: :foo]", ":foo" },
        { "[]", "DynamicSupervisor" },
        { "[name: {:via, Registry, {R, \"k\"}}]", "{R, \"k\"}" },
        { "[name: {:global, {:g, 1}}]", "{:g, 1}" },
    };
    begin(ctx);
    for (int i = 0; i < 4; i++) {
        cop_term spec = cop_dynamic_supervisor_child_spec(ctx, T(ctx, cases[i][0])), id;
        EXPECT(cop_map_get(spec, cop_a(id).t, &id));
        EXPECT_TERM(ctx, id, cases[i][1]);
    }
    EXPECT_SAME(ctx, cop_dynamic_supervisor_child_spec(ctx, T(ctx, "[name: :foo]")),
                T(ctx, "%{id: :foo, start: {DynamicSupervisor, :start_link, [[name: :foo]]}, "
                       "type: :supervisor}"));
}

TEST(DS_004_the_generated_spec_of_a_module) {
    EXPECT_SAME(ctx, cop_child_spec_use(ctx, "D", COP_SUPERVISOR, T(ctx, "[:hello]"), COP_NONE),
                T(ctx, "%{id: D, start: {D, :start_link, [[:hello]]}, type: :supervisor}"));
    EXPECT_SAME(ctx,
                cop_child_spec_use(ctx, "D", COP_SUPERVISOR, T(ctx, "[:hello]"),
                                   T(ctx, "[id: :id, restart: :temporary, shutdown: :infinity, "
                                          "start: {:foo, :bar, []}]")),
                T(ctx, "%{id: :id, start: {:foo, :bar, []}, type: :supervisor, "
                       "restart: :temporary, shutdown: :infinity}"));
}

TEST(DS_005_init) {
    EXPECT_SAME(ctx, cop_dynamic_supervisor_init_terms(ctx, COP_NIL),
                T(ctx, "{:ok, %{strategy: :one_for_one, intensity: 3, period: 5, "
                       "max_children: :infinity, extra_arguments: []}}"));
    EXPECT_SAME(ctx, cop_dynamic_supervisor_init(ctx, NULL),
                cop_dynamic_supervisor_init_terms(ctx, COP_NIL));
}

static cop_term mod_init(cop_ctx *ctx, cop_term arg) { return arg; }
static const cop_supervisor mod = { "Mod", mod_init };

static cop_started start_mod(cop_ctx *ctx, const char *arg, const cop_start_opts *opts) {
    return cop_dynamic_supervisor_start_link_module(ctx, &mod, T(ctx, arg), opts);
}

TEST(DS_006_bad_flags) {
    static const char *const cases[][2] = {
        { "{:ok, %{strategy: :unknown}}", "{:invalid_strategy, :unknown}" },
        { "{:ok, %{intensity: -1}}", "{:invalid_intensity, -1}" },
        { "{:ok, %{period: 0}}", "{:invalid_period, 0}" },
        { "{:ok, %{max_children: -1}}", "{:invalid_max_children, -1}" },
        { "{:ok, %{extra_arguments: -1}}", "{:invalid_extra_arguments, -1}" },
        { "{:ok, %{auto_shutdown: :any_significant}}",
          "{:invalid_auto_shutdown, :any_significant}" },
    };
    begin(ctx);
    for (int i = 0; i < 6; i++)
        EXPECT_SAME(ctx, start_mod(ctx, cases[i][0], NULL).reason,
                    cop_tuple(ctx, cop_a(supervisor_data), T(ctx, cases[i][1])));
}

TEST(DS_007_init_returns_something_else) {
    begin(ctx);
    EXPECT_TERM(ctx, start_mod(ctx, ":unknown", NULL).reason,
                "{:bad_return, {Mod, :init, :unknown}}");
    EXPECT(start_mod(ctx, ":ignore", NULL).is == COP_IGNORE);
}

TEST(DS_008_start_link_with_options) {
    begin(ctx);
    EXPECT_TERM(
        ctx,
        cop_dynamic_supervisor_start_link_terms(ctx, T(ctx, "[strategy: :one_for_all]")).reason,
        "{:supervisor_data, {:invalid_strategy, :one_for_all}}");
    EXPECT(cop_dynamic_supervisor_start_link_terms(ctx, COP_NIL).is == COP_STARTED);
    EXPECT(cop_dynamic_supervisor_start_link(ctx, NULL).is == COP_STARTED);
}

TEST(DS_009_a_name) {
    begin(ctx);
    const cop_start_opts named = { .name = cop_a(d) };
    cop_pid sup = start_mod(ctx, "{:ok, %{}}", &named).pid;
    EXPECT(cop_process_whereis(ctx, cop_a(d)).w == sup.t.w);
    EXPECT_TERM(
        ctx, cop_process_info(ctx, sup, cop_tuple(ctx, cop_a(dictionary), cop_as("$initial_call"))),
        "{:supervisor, Mod, 1}");
    EXPECT_TERM(ctx, start_mod(ctx, "{:ok, %{}}", &named).reason, "{:already_started, _}");
    cop_dynamic_supervisor_stop(ctx, cop_a(d), cop_a(normal), 0);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
}

TEST(DS_010_spawn_options) {
    begin(ctx);
    const cop_spawn_opts high = { .priority = COP_PRIORITY_HIGH };
    const cop_start_opts start = { .spawn = &high };
    cop_started s =
        cop_dynamic_supervisor_start_link(ctx, &(cop_dynamic_supervisor_opts){ .start = &start });
    EXPECT_TERM(ctx, cop_process_info(ctx, s.pid, cop_a(priority)), ":high");
}

TEST(DS_011_the_initial_call_is_that_of_a_Supervisor) {
    cop_pid d = dyn(ctx, "[]"), s = sup_of(ctx, COP_NIL, "[strategy: :one_for_one]");
    cop_term item = cop_tuple(ctx, cop_a(dictionary), cop_as("$initial_call"));
    EXPECT_SAME(ctx, cop_process_info(ctx, d, item), cop_process_info(ctx, s, item));
}

/* What init returns for the code to come, as text. */
static const char *of_new_code;
static cop_term changing_init(cop_ctx *ctx, cop_term arg) {
    return T(ctx, of_new_code == NULL ? "{:ok, %{}}" : of_new_code);
}
static const cop_supervisor changing = { "Changing", changing_init };

static cop_term new_code(cop_ctx *ctx, cop_pid sup, const char *result) {
    of_new_code = result;
    cop_sys_suspend(ctx, sup, 0);
    cop_term answer =
        cop_sys_change_code(ctx, sup, cop_as("Elixir.Changing"), cop_a(undefined), COP_NIL, 0);
    cop_sys_resume(ctx, sup, 0);
    return answer;
}

/* sys wraps whatever is not {:ok, state} (observed with DynamicSupervisor of Elixir 1.14). */
TEST(DS_012_code_change) {
    begin(ctx);
    of_new_code = NULL;
    cop_pid sup = cop_dynamic_supervisor_start_link_module(ctx, &changing, COP_NIL, NULL).pid;
    cop_pid first = add_w(ctx, sup, "a", "");
    EXPECT_TERM(ctx, new_code(ctx, sup, "{:ok, %{strategy: :rest_for_all}}"),
                "{:error, {:error, {:supervisor_data, {:invalid_strategy, :rest_for_all}}}}");
    EXPECT_TERM(ctx, new_code(ctx, sup, ":odd"), "{:error, :odd}");
    EXPECT_TERM(ctx, new_code(ctx, sup, ":ignore"), ":ok");
    add_w(ctx, sup, "b", ""); /* without a limit still */
    EXPECT_TERM(ctx, new_code(ctx, sup, "{:ok, %{max_children: 1}}"), ":ok");
    counts(ctx, sup, "%{specs: 2, active: 2, supervisors: 0, workers: 2}");
    EXPECT(cop_process_is_alive(ctx, first));
    EXPECT_TERM(ctx, add_term(ctx, sup, W(ctx, "c", "")), "{:error, :max_children}");
}

/* ---- start_child ------------------------------------------------------------------------------------------ */

TEST(DS_013_all_kinds_of_specs) {
    cop_pid sup = dyn(ctx, "[]");
    EXPECT_TERM(ctx, add(ctx, sup, "{1, {W, :start_link, [[]]}, :temporary, 500, :worker, [W]}"),
                "{:ok, _}");
    EXPECT_TERM(ctx, add(ctx, sup, "%{id: 1, start: {W, :start_link, [[]]}}"), "{:ok, _}");
    EXPECT_TERM(ctx, add(ctx, sup, "{W, []}"), "{:ok, _}");
    EXPECT_TERM(ctx, add(ctx, sup, "W"), "{:ok, _}");
    static const cop_child_spec in_c = { .start = w_start_link, .arg = COP_NIL };
    EXPECT_TERM(ctx, cop_dynamic_supervisor_start_child(ctx, sup, &in_c), "{:ok, _}");
    counts(ctx, sup, "%{specs: 5, active: 5, supervisors: 0, workers: 5}");
}

TEST(DS_014_extra_arguments) {
    cop_pid sup = dyn(ctx, "[extra_arguments: [[id: :x]]]");
    EXPECT_TERM(ctx, add(ctx, sup, "%{id: 1, start: {W, :start_link, []}}"), "{:ok, _}");
    EVENTS(ctx, "[{:up, :x}]");
}

TEST(DS_015_bad_specs_are_found_in_the_caller) {
    static const char *const cases[][2] = {
        { "%{}", "{:invalid_child_spec, %{}}" },
        { "{1, 2, 3, 4, 5, 6}", "{:invalid_mfa, 2}" },
        { "%{id: 1, start: {Task, :foo, :bar}}", "{:invalid_mfa, {Task, :foo, :bar}}" },
        { "%{id: 1, start: {Task, :foo, []}, shutdown: -1}", "{:invalid_shutdown, -1}" },
        { "%{id: 1, start: {Task, :foo, []}, significant: true}", "{:invalid_significant, true}" },
    };
    begin(ctx);
    for (int i = 0; i < 5; i++)
        EXPECT_SAME(
            ctx, cop_dynamic_supervisor_start_child_term(ctx, cop_a(nobody), T(ctx, cases[i][0])),
            cop_tuple(ctx, cop_a(error), T(ctx, cases[i][1])));
}

TEST(DS_016_and_which_they_are) {
    static const char *const cases[][2] = {
        { "%{start: {W, :f, []}}", "{:invalid_child_spec, %{start: {W, :f, []}}}" },
        { "%{id: 1}", "{:invalid_child_spec, %{id: 1}}" },
        { "%{id: 1, start: :x}", "{:invalid_child_spec, %{id: 1, start: :x}}" },
        { "%{id: 1, start: {1, 2, 3}}", "{:invalid_mfa, {1, 2, 3}}" },
        { "%{id: 1, start: {W, :f, []}, restart: :x}", "{:invalid_restart_type, :x}" },
        { "{1, {W, :f, []}, :permanent, 5, :x, [W]}", "{:invalid_child_type, :x}" },
        { "%{id: 1, start: {W, :f, []}, type: :x}", "{:invalid_child_type, :x}" },
        { "%{id: 1, start: {W, :f, []}, modules: :x}", "{:invalid_modules, :x}" },
        { "%{id: 1, start: {W, :f, []}, modules: [1]}", "{:invalid_modules, [1]}" },
    };
    begin(ctx);
    for (int i = 0; i < 9; i++)
        EXPECT_SAME(
            ctx, cop_dynamic_supervisor_start_child_term(ctx, cop_a(nobody), T(ctx, cases[i][0])),
            cop_tuple(ctx, cop_a(error), T(ctx, cases[i][1])));
}

TEST(DS_017_what_a_start_function_returns) {
    static const char *const cases[][2] = {
        { ":ignore", ":ignore" },
        { "{:error, :found}", "{:error, :found}" },
        { ":unknown", "{:error, :unknown}" },
        { "{:ok, 1}", "{:error, {:ok, 1}}" },
        { "{:ok, :undefined}", "{:error, {:ok, :undefined}}" },
        { ":error", "{:error, :error}" },
    };
    cop_pid sup = dyn(ctx, "[]");
    EXPECT_TERM(ctx, add(ctx, sup, "%{id: 1, start: {W, :start_extra, [[]]}}"), "{:ok, _, :extra}");
    for (int i = 0; i < 6; i++) {
        char text[100];
        snprintf(text, sizeof text, "%%{id: 1, start: {W, :value, [%s]}}", cases[i][0]);
        EXPECT_TERM(ctx, add(ctx, sup, text), cases[i][1]);
    }
    counts(ctx, sup, "%{specs: 1}");
}

TEST(DS_018_a_start_function_that_raises) {
    cop_pid sup = dyn(ctx, "[]");
    EXPECT_TERM(ctx, add(ctx, sup, "%{id: 1, start: {W, :throws, [:oops]}}"),
                "{:error, {{:nocatch, :oops}, _}}");
    EXPECT_TERM(ctx, add(ctx, sup, "%{id: 1, start: {W, :raises, [1]}}"),
                "{:error, {%RuntimeError{message: \"oops\"}, [_ | _]}}");
    EXPECT_TERM(ctx, add(ctx, sup, "%{id: 1, start: {W, :exits, [:oops]}}"), "{:error, :oops}");
    EXPECT_TERM(ctx, add(ctx, sup, "%{id: 1, start: {Nope, :x, []}}"),
                "{:error, {:undef, [{Nope, :x, [], []} | _]}}");
}

TEST(DS_019_no_children_at_all) {
    cop_pid sup = dyn(ctx, "[max_children: 0]");
    EXPECT_TERM(ctx, add_term(ctx, sup, W(ctx, "a", "")), "{:error, :max_children}");
    cop_started s = cop_dynamic_supervisor_start_link(
        ctx, &(cop_dynamic_supervisor_opts){ .max_children = COP_ZERO });
    EXPECT_TERM(ctx, add_term(ctx, s.pid, W(ctx, "a", "")), "{:error, :max_children}");
}

TEST(DS_020_max_children) {
    cop_pid sup = dyn(ctx, "[max_children: 1]");
    cop_pid first = add_w(ctx, sup, "a", "restart: :temporary");
    EXPECT_TERM(ctx, add_term(ctx, sup, W(ctx, "b", "")), "{:error, :max_children}");
    kill_pid(ctx, first);
    EXPECT_TERM(ctx, add_term(ctx, sup, W(ctx, "c", "")), "{:ok, _}");
    EVENTS(ctx, "[{:up, :a}, {:up, :c}]");
}

TEST(DS_021_which_and_count) {
    cop_pid sup = dyn(ctx, "[]"), w = add_w(ctx, sup, "a", "");
    cop_term list = cop_dynamic_supervisor_which_children(ctx, sup);
    EXPECT_TERM(ctx, list, "[{:undefined, _, :worker, [W]}]");
    EXPECT_SAME(ctx, cop_elem(cop_head(list), 1), w);
    EXPECT_SAME(ctx, cop_gen_server_call(ctx, sup, cop_a(count_children), 0),
                T(ctx, "[specs: 1, active: 1, supervisors: 0, workers: 1]"));
    EXPECT_SAME(ctx, cop_supervisor_which_children(ctx, sup), list);
}

TEST(DS_022_start_child_logs_nothing) {
    cop_pid sup = dyn(ctx, "[]");
    test_capture_log(ctx);
    add_w(ctx, sup, "a", "");
    EXPECT_TERM(ctx, reports(ctx), "[]");
}

TEST(DS_023_the_request_on_the_wire) {
    begin(ctx);
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :call, [:nope, {:start_child, {{A, :b, []}, "
                     ":permanent, 5000, :worker, [A]}}, :infinity]}}") {
        cop_dynamic_supervisor_start_child_term(ctx, cop_a(nope),
                                                T(ctx, "%{id: 1, start: {A, :b, []}}"));
    }
}

/* ---- restarts --------------------------------------------------------------------------------------------- */

static void end_pid(cop_ctx *ctx, cop_pid pid, const char *reason) {
    cop_gen_server_call(ctx, pid, cop_tuple(ctx, cop_a(stop), T(ctx, reason)), 0);
    test_await_down(ctx, pid);
}

TEST(DS_024_temporary) {
    cop_pid sup = dyn(ctx, "[]");
    end_pid(ctx, add_w(ctx, sup, "a", "restart: :temporary"), ":shutdown");
    end_pid(ctx, add_w(ctx, sup, "a", "restart: :temporary"), ":whatever");
    counts(ctx, sup, "%{specs: 0, active: 0, supervisors: 0, workers: 0}");
}

TEST(DS_025_transient) {
    cop_pid sup = dyn(ctx, "[]");
    end_pid(ctx, add_w(ctx, sup, "a", "restart: :transient"), ":shutdown");
    end_pid(ctx, add_w(ctx, sup, "a", "restart: :transient"), "{:shutdown, :signal}");
    counts(ctx, sup, "%{specs: 0}");
    end_pid(ctx, add_w(ctx, sup, "b", "restart: :transient"), ":whatever");
    ASSERT_RECEIVE(ctx, "{:up, :b}");
    counts(ctx, sup, "%{specs: 1, active: 1, supervisors: 0, workers: 1}");
}

TEST(DS_026_permanent) {
    cop_pid sup = dyn(ctx, "[]");
    end_pid(ctx, add_w(ctx, sup, "a", ""), ":shutdown");
    end_pid(ctx, add_w(ctx, sup, "a", ""), "{:shutdown, :signal}");
    end_pid(ctx, add_w(ctx, sup, "a", ""), ":whatever");
    counts(ctx, sup, "%{specs: 3, active: 3, supervisors: 0, workers: 3}");
}

static cop_pid flaky(cop_ctx *ctx, cop_pid sup) {
    return pid_of(ctx, add(ctx, sup, "%{id: 1, start: {W, :flaky, [[id: :f]]}}"));
}

TEST(DS_027_what_a_restart_returns) {
    cop_pid sup = dyn(ctx, "[max_restarts: 1_000_000_000]"), f = flaky(ctx, sup);
    kill_pid(ctx, f);
    EVENTS(ctx, "[{:up, :f}, {:up, :f}]");
    bad_starts = 1;
    bad_is_ignore = true;
    cop_term which = cop_dynamic_supervisor_which_children(ctx, sup);
    cop_pid now = { COP_NONE };
    cop_get_pid(cop_elem(cop_head(which), 1), &now);
    EXPECT(now.t.w != f.t.w);
    kill_pid(ctx, now);
    counts(ctx, sup, "%{specs: 0}");
    bad_is_ignore = false;
    f = flaky(ctx, sup);
    bad_starts = INT32_MAX;
    kill_pid(ctx, f);
    counts(ctx, sup, "%{specs: 1, active: 0, supervisors: 0, workers: 1}");
    EXPECT_TERM(ctx, cop_dynamic_supervisor_which_children(ctx, sup),
                "[{:undefined, :restarting, :worker, [W]}]");
}

TEST(DS_028_a_restarting_child_counts_for_max_children) {
    cop_pid sup = dyn(ctx, "[max_children: 1, max_restarts: 1_000_000_000]");
    cop_pid f = flaky(ctx, sup);
    kill_pid(ctx, f);
    EVENTS(ctx, "[{:up, :f}, {:up, :f}]");
    EXPECT_TERM(ctx, add_term(ctx, sup, W(ctx, "b", "")), "{:error, :max_children}");
    bad_starts = INT32_MAX;
    cop_get_pid(cop_elem(cop_head(cop_dynamic_supervisor_which_children(ctx, sup)), 1), &f);
    kill_pid(ctx, f);
    EXPECT_TERM(ctx, add_term(ctx, sup, W(ctx, "b", "")), "{:error, :max_children}");
}

TEST(DS_029_extra_arguments_are_given_again) {
    cop_pid sup = dyn(ctx, "[extra_arguments: [:x1, :x2]]");
    cop_pid pid = pid_of(ctx, add(ctx, sup, "%{id: 1, start: {W, :three, [:own]}}"));
    ASSERT_RECEIVE(ctx, "{:args, [:x1, :x2, :own]}");
    kill_pid(ctx, pid);
    ASSERT_RECEIVE(ctx, "{:args, [:x1, :x2, :own]}");
}

TEST(DS_030_a_restart_that_fails_once) {
    cop_pid sup = dyn(ctx, "[max_restarts: 2]"), f = flaky(ctx, sup);
    bad_starts = 1;
    kill_pid(ctx, f);
    EVENTS(ctx, "[{:up, :f}, {:fail, :f}, {:up, :f}]");
    counts(ctx, sup, "%{specs: 1, active: 1, supervisors: 0, workers: 1}");
}

TEST(DS_031_a_restart_that_keeps_failing) {
    static const char *const options[] = { "[max_restarts: 1]", "[max_restarts: 10]" };
    for (int i = 0; i < 2; i++) {
        bad_starts = 0;
        cop_pid sup = dyn(ctx, options[i]), f = flaky(ctx, sup);
        bad_starts = 1000;
        kill_pid(ctx, f);
        ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    }
}

TEST(DS_032_the_window_is_shared_by_all_children) {
    cop_pid sup = dyn(ctx, "[max_restarts: 1]");
    cop_pid a = add_w(ctx, sup, "a", ""), b = add_w(ctx, sup, "b", "");
    add_w(ctx, sup, "t", "restart: :temporary");
    test_capture_log(ctx);
    kill_pid(ctx, a);
    EVENTS(ctx, "[{:up, :a}, {:up, :b}, {:up, :t}, {:up, :a}]");
    kill_pid(ctx, b);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    ASSERT_RECEIVE(ctx, "{:down, :t, :shutdown}");
    ASSERT_RECEIVE(ctx, "{:down, :a, :shutdown}");
    EXPECT_TERM(ctx, reports(ctx),
                "[{:child_terminated, :undefined, :killed, _}, "
                "{:child_terminated, :undefined, :killed, _}, "
                "{:shutdown, :undefined, :reached_max_restart_intensity, _}]");
}

TEST(DS_033_the_reports_of_a_restart_that_keeps_failing) {
    cop_pid sup = dyn(ctx, "[max_restarts: 3]"), f = flaky(ctx, sup);
    bad_starts = 1000;
    test_capture_log(ctx);
    kill_pid(ctx, f);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    cop_term list = reports(ctx), r, pid;
    EXPECT_TERM(ctx, list,
                "[{:child_terminated, _, :killed, _}, {:start_error, _, :nope, {:restarting, _}}, "
                "{:start_error, _, :nope, {:restarting, _}}, "
                "{:start_error, _, :nope, {:restarting, _}}, "
                "{:shutdown, _, :reached_max_restart_intensity, _}]");
    while (cop_get_cons(list, &r, &list)) {
        if (!cop_match_tuple(cop_elem(r, 3), cop_a(restarting), &pid))
            pid = cop_elem(r, 3);
        EXPECT_SAME(ctx, pid, f);
    }
}

TEST(DS_034_the_report_of_an_end) {
    cop_pid sup = dyn(ctx, "[extra_arguments: []]");
    cop_pid a = add_w(ctx, sup, "a", "");
    test_capture_log(ctx);
    kill_pid(ctx, a);
    sync_with(ctx, sup);
    cop_term m = ASSERT_RECEIVE(
        ctx, "{:log, :error, {:report, %{label: {:supervisor, :child_terminated}, report: "
             "[supervisor: {_, Supervisor.Default}, errorContext: :child_terminated, reason: "
             ":killed, offender: [pid: _, id: :undefined, mfargs: {W, :start_link, [[id: :a]]}, "
             "restart_type: :permanent, shutdown: 5000, child_type: :worker]]}}, _}");
    EXPECT_TERM(ctx, cop_elem(m, 3), "%{domain: [:otp, :sasl]}");
    EXPECT_TERM(ctx, reports(ctx), "[]");
}

/* ---- terminate_child -------------------------------------------------------------------------------------- */

TEST(DS_035_terminate_child) {
    cop_pid sup = dyn(ctx, "[]");
    cop_pid a = add_w(ctx, sup, "a", "shutdown: :brutal_kill"), b = add_w(ctx, sup, "b", "");
    cop_process_monitor(ctx, a);
    EXPECT_TERM(ctx, cop_dynamic_supervisor_terminate_child(ctx, sup, a), ":ok");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :killed}");
    EXPECT_TERM(ctx, cop_dynamic_supervisor_terminate_child(ctx, sup, a), "{:error, :not_found}");
    cop_process_monitor(ctx, b);
    EXPECT_TERM(ctx, cop_dynamic_supervisor_terminate_child(ctx, sup, b), ":ok");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :shutdown}");
    counts(ctx, sup, "%{specs: 0, active: 0, supervisors: 0, workers: 0}");
}

TEST(DS_036_of_a_child_that_is_restarting) {
    cop_pid sup = dyn(ctx, "[max_restarts: 1_000_000_000]"), f = flaky(ctx, sup);
    bad_starts = INT32_MAX;
    kill_pid(ctx, f);
    EVENTS(ctx, "[{:up, :f}, {:fail, :f}]");
    EXPECT_TERM(ctx, cop_dynamic_supervisor_terminate_child(ctx, sup, f), ":ok");
    EXPECT_TERM(ctx, cop_dynamic_supervisor_terminate_child(ctx, sup, f), "{:error, :not_found}");
    counts(ctx, sup, "%{specs: 0, active: 0, supervisors: 0, workers: 0}");
}

TEST(DS_037_of_what_is_no_pid) {
    cop_pid sup = dyn(ctx, "[]");
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_dynamic_supervisor_terminate_child(ctx, sup, cop_a(a));
    }
    EXPECT_TERM(ctx,
                cop_gen_server_call(ctx, sup, cop_tuple(ctx, cop_a(terminate_child), cop_a(a)), 0),
                "{:error, :not_found}");
}

/* What terminate_child of one such child reports. */
static cop_term reported(cop_ctx *ctx, const char *opts, const char *keys) {
    char text[200];
    cop_pid sup = dyn(ctx, "[]");
    snprintf(text, sizeof text, "%%{id: 1, start: {W, :start_link, [[%s]]}, %s}", opts, keys);
    cop_pid w = pid_of(ctx, add(ctx, sup, text));
    test_capture_log(ctx);
    reports(ctx);
    EXPECT_TERM(ctx, cop_dynamic_supervisor_terminate_child(ctx, sup, w), ":ok");
    cop_term list = COP_NIL, all = reports(ctx), r;
    while (cop_get_cons(all, &r, &all)) /* what the child itself says is another matter */
        if (!cop_match(cop_elem(r, 0), cop_a(other)))
            list = cop_cons(ctx, cop_elem(r, 2), list);
    return list;
}

TEST(DS_038_which_answers_are_reported) {
    EXPECT_TERM(ctx, reported(ctx, "deaf: true", "shutdown: 30"), "[:killed]");
    EXPECT_TERM(ctx, reported(ctx, "exit: :weird", "restart: :permanent"), "[:weird]");
    EXPECT_TERM(ctx, reported(ctx, "exit: :normal", "restart: :permanent"), "[:normal]");
    EXPECT_TERM(ctx, reported(ctx, "exit: {:shutdown, 1}", "restart: :permanent"), "[]");
    EXPECT_TERM(ctx, reported(ctx, "exit: :normal", "restart: :transient"), "[]");
    EXPECT_TERM(ctx, reported(ctx, "exit: :normal", "restart: :temporary"), "[]");
    EXPECT_TERM(ctx, reported(ctx, "x: 1", "shutdown: :brutal_kill"), "[]");
}

TEST(DS_039_an_end_and_terminate_child_at_once) {
    cop_pid sup = dyn(ctx, "[]"), a = add_w(ctx, sup, "a", "");
    cop_process_suspend(ctx, sup, 0);
    kill_pid(ctx, a);
    cop_request_id asked =
        cop_gen_server_send_request(ctx, sup, cop_tuple(ctx, cop_a(terminate_child), a));
    cop_process_resume(ctx, sup);
    EXPECT_TERM(ctx, cop_gen_server_receive_response(ctx, asked, 0).value, "{:error, :not_found}");
    counts(ctx, sup, "%{specs: 1, active: 1}");
    /* The other way round. */
    cop_pid b = add_w(ctx, sup, "b", "");
    test_capture_log(ctx);
    cop_process_suspend(ctx, sup, 0);
    asked = cop_gen_server_send_request(ctx, sup, cop_tuple(ctx, cop_a(terminate_child), b));
    kill_pid(ctx, b);
    cop_process_resume(ctx, sup);
    EXPECT_TERM(ctx, cop_gen_server_receive_response(ctx, asked, 0).value, ":ok");
    counts(ctx, sup, "%{specs: 1}");
    EXPECT_TERM(ctx, reports(ctx), "[{:shutdown_error, :undefined, :killed, _}]");
}

/* ---- stopping --------------------------------------------------------------------------------------------- */

/* Three such children, monitored; the supervisor is stopped. */
static void stop_three(cop_ctx *ctx, const char *opts, const char *keys, const char *down) {
    char text[200], expected[100];
    cop_pid sup = dyn(ctx, "[]");
    snprintf(text, sizeof text, "%%{id: 1, start: {W, :start_link, [[%s]]}, %s}", opts, keys);
    for (int i = 0; i < 3; i++)
        cop_process_monitor(ctx, pid_of(ctx, add(ctx, sup, text)));
    cop_dynamic_supervisor_stop(ctx, sup, cop_a(normal), 0);
    snprintf(expected, sizeof expected, "{:DOWN, _, _, _, %s}", down);
    for (int i = 0; i < 3; i++)
        ASSERT_RECEIVE(ctx, expected);
}

TEST(DS_040_brutal_kill) { stop_three(ctx, "x: 1", "shutdown: :brutal_kill", ":killed"); }

TEST(DS_041_infinity_and_integers) {
    stop_three(ctx, "no_trap: 1", "shutdown: :infinity", ":shutdown");
    stop_three(ctx, "exit: {:shutdown, :oops}", "shutdown: :infinity", "{:shutdown, :oops}");
    stop_three(ctx, "exit: {:shutdown, :oops}", "shutdown: 5000", "{:shutdown, :oops}");
}

TEST(DS_042_a_time_out) {
    stop_three(ctx, "no_trap: 1", "shutdown: 1000", ":shutdown");
    stop_three(ctx, "deaf: true", "shutdown: 1", ":killed");
}

TEST(DS_043_answering_normal) {
    stop_three(ctx, "exit: :normal", "restart: :permanent", ":normal");
}

TEST(DS_044_mixed) {
    cop_pid sup = dyn(ctx, "[]");
    cop_process_monitor(ctx, add_w(ctx, sup, "a", "shutdown: :infinity"));
    cop_process_monitor(ctx, add_w(ctx, sup, "b", "shutdown: :brutal_kill"));
    cop_dynamic_supervisor_stop(ctx, sup, cop_a(normal), 0);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :shutdown}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :killed}");
}

TEST(DS_045_all_stop_at_once) {
    cop_pid sup = dyn(ctx, "[]");
    for (int i = 0; i < 5; i++)
        pid_of(ctx, add(ctx, sup, "%{id: 1, start: {W, :start_link, [[deaf_ms: 400]]}}"));
    int64_t before = cop_monotonic_ms(ctx);
    cop_dynamic_supervisor_stop(ctx, sup, cop_a(normal), 0);
    int64_t took = cop_monotonic_ms(ctx) - before;
    EXPECT(took >= 400 && took < 5 * 400);
}

TEST(DS_046_exit_messages_of_the_parent_and_of_strangers) {
    cop_pid sup = dyn(ctx, "[]");
    test_capture_log(ctx);
    cop_send(ctx, sup, cop_tuple(ctx, cop_as("EXIT"), test_idle_pid(ctx), cop_a(x)));
    sync_with(ctx, sup);
    EXPECT_TERM(ctx, reports(ctx), "[]");
    cop_send(ctx, sup, cop_tuple(ctx, cop_as("EXIT"), cop_self(ctx), cop_a(bye)));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :bye}");
    EXPECT_TERM(ctx, reports(ctx), "[{:other, :error}, {:other, :error}]");
}

/* ---- odd input -------------------------------------------------------------------------------------------- */

TEST(DS_047_messages_casts_and_unknown_calls) {
    cop_pid sup = dyn(ctx, "[]");
    test_capture_log(ctx);
    cop_send(ctx, sup, cop_a(hello));
    cop_gen_server_cast(ctx, sup, cop_a(hello));
    sync_with(ctx, sup);
    cop_term m = ASSERT_RECEIVE(
        ctx, "{:log, :error, {:report, %{label: {DynamicSupervisor, :unexpected_msg}, "
             "report: %{msg: :hello}}}, _}");
    EXPECT_TERM(ctx, cop_elem(m, 3), "%{domain: [:otp, :elixir]}");
    EXPECT_TERM(ctx, reports(ctx), "[]");
    cop_gen_server_try_call(ctx, sup, T(ctx, "{:restart_child, :x}"), 0);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, {:function_clause, _}}");
    sup = dyn(ctx, "[]");
    cop_gen_server_try_call(ctx, sup, T(ctx, "{:start_child, %{id: 1}}"), 0);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, {:function_clause, _}}");
}

TEST(DS_048_state) {
    cop_pid sup = dyn(ctx, "[name: :d, extra_arguments: [], max_children: 7]");
    add(ctx, sup, "%{id: 1, start: {W, :start_link, [[]]}}");
    cop_ref ref = cop_make_ref(ctx);
    cop_send(ctx, sup,
             cop_tuple(ctx, cop_a(system), cop_tuple(ctx, cop_self(ctx), ref), cop_a(get_state)));
    cop_term m =
        ASSERT_RECEIVE(ctx, "{_, %DynamicSupervisor{args: {:ok, %{}}, extra_arguments: [], "
                            "mod: Supervisor.Default, name: {:local, :d}, strategy: :one_for_one, "
                            "max_children: 7, max_restarts: 3, max_seconds: 5, restarts: []}}");
    cop_term children, list;
    EXPECT(cop_map_get(cop_elem(m, 1), cop_a(children).t, &children));
    list = cop_map_to_list(ctx, children);
    EXPECT_TERM(ctx, list, "[{_, {{W, :start_link, [[]]}, :permanent, 5000, :worker, [W]}}]");
}

/* ---- many ------------------------------------------------------------------------------------------------- */

static void plain_message(cop_ctx *ctx, void *state, cop_term message) {
    cop_term reason;
    if (cop_match_tuple(message, cop_a(stop), &reason))
        cop_exit(ctx, reason);
}
static const cop_callbacks plain_callbacks = { .name = "plain", .message = plain_message };
static void plain_entry(cop_ctx *ctx, cop_term arg) { cop_become(ctx, &plain_callbacks, NULL); }
static cop_started plain_start(cop_ctx *ctx, cop_term arg) {
    return cop_started_ok(cop_spawn_link(ctx, plain_entry, arg));
}

static size_t many(void) {
    const char *scale = getenv("COPPICE_TEST_SCALE");
    int by = scale != NULL ? atoi(scale) : 1;
    size_t n = (size_t)100000 / (size_t)(by < 1 ? 1 : by);
    return getenv("COP_SIM") != NULL || getenv("COPPICE_TEST_SEEDS") != NULL ? 500 : n;
}

TEST(a_hundred_thousand_children_come_and_go, .timeout_s = 120) {
    begin(ctx);
    size_t n = many();
    cop_started s = cop_dynamic_supervisor_start_link(
        ctx, &(cop_dynamic_supervisor_opts){ .max_restarts = INT64_MAX });
    const cop_child_spec child = { .start = plain_start, .module = "P", .shutdown_ms = 60000 };
    cop_pid *pids = cop_alloc(ctx, n * sizeof *pids);
    for (size_t i = 0; i < n; i++)
        COP_SCOPE(ctx) {
            pids[i] = pid_of(ctx, cop_dynamic_supervisor_start_child(ctx, s.pid, &child));
        }
    for (size_t i = 0; i < n; i += 3) /* a third is terminated, a third crashes and is restarted */
        COP_SCOPE(ctx) {
            EXPECT_TERM(ctx, cop_dynamic_supervisor_terminate_child(ctx, s.pid, pids[i]), ":ok");
            if (i + 1 < n)
                cop_process_exit(ctx, pids[i + 1], cop_a(kill));
        }
    cop_term count = cop_dynamic_supervisor_count_children(ctx, s.pid);
    int64_t active = 0;
    EXPECT(cop_match_key(count, cop_a(active), &active));
    EXPECT_INT(active, (int64_t)(n - (n + 2) / 3));
    cop_dynamic_supervisor_stop(ctx, s.pid, cop_a(normal), 0);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    for (size_t i = 2; i < n; i += 3)
        EXPECT(!cop_process_is_alive(ctx, pids[i]));
}
