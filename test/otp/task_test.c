/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task: starting, await, yield, ignore, shutdown. The specification's cases TA-001..094; what is expected
 * was observed with the Task of Elixir's main branch, and with Elixir 1.14 where the two agree.
 */
#include "task_help.h"

/* ---- start ------------------------------------------------------------------------------------------- */

TEST(TA_001_start_runs_a_function_without_a_link) {
    cop_pid pid = cop_task_start(ctx, at_go, cop_tuple(ctx, cop_self(ctx), cop_a(hi)));
    EXPECT(!is_linked(ctx, pid));
    cop_process_monitor(ctx, pid);
    go(ctx, pid);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    cop_task_start(ctx, tell, cop_tuple(ctx, cop_self(ctx), cop_a(hi)));
    ASSERT_RECEIVE(ctx, "{:hi, _}");
}

static cop_term tell_initial_call(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_send(ctx, a[0], cop_tuple(ctx, cop_process_get(ctx, cop_as("$initial_call").t), a[1]));
    return a[1];
}
static const cop_module initial = {
    .name = "Elixir.Initial",
    .exports = (const cop_export[]){ { "call", 2, tell_initial_call }, { 0 } },
};

TEST(TA_002_start_of_a_module_s_function) {
    cop_module_load(&initial);
    cop_term what = cop_tuple(ctx, cop_as("Elixir.Initial"), cop_a(call),
                              cop_list(ctx, cop_self(ctx), cop_a(hi)));
    EXPECT(!is_linked(ctx, cop_task_start_term(ctx, what)));
    ASSERT_RECEIVE(ctx, "{{Initial, :call, 2}, :hi}");
}

TEST(TA_003_start_link_is_linked) {
    cop_pid pid = cop_task_start_link(ctx, stay, COP_NIL);
    EXPECT(is_linked(ctx, pid));
}

TEST(TA_004_a_module_based_task_under_a_supervisor_is_not_restarted) {
    cop_module_load(&m_module);
    cop_term child = cop_tuple(ctx, cop_as("Elixir.M"), cop_tuple(ctx, cop_self(ctx), cop_a(ran)));
    cop_started sup = cop_supervisor_start_link_terms(ctx, cop_list(ctx, child),
                                                      T(ctx, "[strategy: :one_for_one]"));
    cop_pid task;
    EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{:ran, _}"), cop_a(ran), &task));
    test_await_down(ctx, task);
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup.pid),
                "%{active: 0, specs: 0, supervisors: 0, workers: 0}");
    REFUTE_RECEIVE(ctx, "{:ran, _}", 20);
    cop_supervisor_stop(ctx, sup.pid, cop_a(normal), 0);
}

TEST(TA_005_child_spec) {
    EXPECT_TERM(ctx, cop_map_to_list(ctx, cop_task_child_spec(ctx, cop_a(arg).t)),
                "[id: Task, restart: :temporary, start: {Task, :start_link, [:arg]}]");
}

TEST(TA_006_child_spec_of_a_module_with_overrides) {
    cop_term over = T(ctx, "[id: :my, restart: :permanent, shutdown: :infinity, "
                           "start: {:foo, :bar, []}]");
    cop_term spec = cop_task_child_spec_use(ctx, "M", cop_a(arg).t, over);
    EXPECT_TERM(ctx, spec,
                "%{id: :my, restart: :permanent, shutdown: :infinity, start: {:foo, :bar, []}}");
    EXPECT_INT(cop_map_size(spec), 4);
    EXPECT_TERM(ctx, cop_task_child_spec_use(ctx, "M", cop_a(arg).t, COP_NIL),
                "%{id: M, restart: :temporary, start: {M, :start_link, [:arg]}}");
}

TEST(TA_007_what_is_no_function_is_refused) {
    const char *no_clause = "%{__struct__: FunctionClauseError}";
    cop_term fun1 = cop_task_element_fun(ctx, NULL, COP_NIL);
    cop_term before = cop_of(ctx, cop_list_length(cop_process_list(ctx)));
    EXPECT_ERROR(ctx, no_clause) { cop_task_start_term(ctx, fun1); }
    EXPECT_ERROR(ctx, no_clause) { cop_task_start_term(ctx, COP_INT(1)); }
    EXPECT_ERROR(ctx, no_clause) { cop_task_start_link_term(ctx, T(ctx, "{\"a\", :b, []}")); }
    EXPECT_ERROR(ctx, no_clause) { cop_task_async_term(ctx, T(ctx, "{:a, :b, :c}")); }
    EXPECT_SAME(ctx, cop_of(ctx, cop_list_length(cop_process_list(ctx))), before);
}

static cop_term tell_callers(cop_ctx *ctx, cop_term arg) {
    cop_send(ctx, arg, cop_tuple(ctx, cop_a(callers), cop_process_get(ctx, cop_as("$callers").t)));
    return arg;
}
static cop_term start_inner(cop_ctx *ctx, cop_term arg) {
    cop_task_start_link(ctx, tell_callers, arg);
    return stay(ctx, arg);
}

TEST(TA_008_the_callers_of_a_nested_start_link) {
    cop_pid outer = cop_task_start_link(ctx, start_inner, cop_self(ctx).t);
    cop_term message = ASSERT_RECEIVE(ctx, "{:callers, [_, _]}");
    EXPECT_SAME(ctx, cop_elem(message, 1), cop_list(ctx, outer, cop_self(ctx)));
}

TEST(TA_009_the_log_names_the_owner) {
    test_capture_log(ctx);
    cop_process_unregister(ctx, cop_a(logger));
    cop_process_register(ctx, cop_self(ctx), cop_a(owner_name));
    cop_pid pid = cop_task_start(ctx, leave_go, cop_a(x).t);
    cop_process_unregister(ctx, cop_a(owner_name));
    test_capture_log(ctx);
    go(ctx, pid);
    cop_term report, metadata, any;
    cop_term event = ASSERT_RECEIVE(ctx, "{:log, :error, _, _}");
    EXPECT(cop_match_tuple(event, cop_a(log), cop_a(error), &report, &metadata));
    cop_match_tuple(report, cop_a(report), &report);
    EXPECT_TERM(ctx, report,
                "%{label: {Task.Supervisor, :terminating}, report: %{starter: :owner_name, "
                "args: [], process_label: :undefined, reason: {:x, [_ | _]}}}");
    EXPECT(cop_match_key(report, cop_a(report), &report) && cop_match_key(report, cop_a(name), pid)
           && cop_match_key(report, cop_a(function), &any) && cop_is_fun(any));
    EXPECT_TERM(ctx, metadata, "%{callers: [_], domain: [:otp, :elixir]}");
    REFUTE_RECEIVE(ctx, "{:log, _, _, _}", 20);
}

/* ---- async and await ----------------------------------------------------------------------------------- */

TEST(TA_010_the_fields_of_a_task) {
    cop_task task = cop_task_async(ctx, stay, COP_NIL);
    EXPECT_TERM(ctx, task.mfa, "{:erlang, :apply, 2}");
    EXPECT_SAME(ctx, task.owner, cop_self(ctx));
    EXPECT(cop_is_ref(task.ref.t) && is_linked(ctx, task.pid));
    cop_term monitors = cop_process_info(ctx, cop_self(ctx), cop_a(monitors));
    EXPECT(in_list(monitors, cop_tuple(ctx, cop_a(process), task.pid)));
    cop_task again;
    EXPECT(cop_task_from_term(cop_task_to_term(ctx, task), &again));
    EXPECT(cop_same(again.pid.t, task.pid.t) && cop_same(again.ref.t, task.ref.t));
    EXPECT_TERM(ctx, cop_task_to_term(ctx, task), "%{__struct__: Task, mfa: {:erlang, :apply, 2}}");
}

TEST(TA_011_the_messages_of_a_task) {
    test_trap_exit(ctx);
    cop_task task = cop_task_async(ctx, give, cop_a(v).t);
    test_await_down(ctx, task.pid);
    cop_term all = test_flush(ctx);
    EXPECT_INT(cop_list_length(all), 3);
    EXPECT_SAME(ctx, cop_head(all), cop_tuple(ctx, task.ref, cop_a(v)));
    EXPECT(in_list(all, cop_tuple(ctx, cop_as("EXIT"), task.pid, cop_a(normal))));
    EXPECT(in_list(
        all, cop_tuple(ctx, cop_as("DOWN"), task.ref, cop_a(process), task.pid, cop_a(normal))));
}

TEST(TA_012_async_of_a_module_s_function) {
    cop_task task = cop_task_async_term(ctx, mfa(ctx, "add", T(ctx, "[1, 2]")));
    EXPECT_TERM(ctx, task.mfa, "{M, :add, 2}");
    EXPECT_TERM(ctx, cop_task_await(ctx, task, 0), "3");
}

TEST(TA_013_and_014_await_after_other_work_leaves_nothing) {
    cop_task task = cop_task_async(ctx, give, COP_INT(40));
    int64_t other_work = 2, heavy;
    EXPECT(cop_get_i64(cop_task_await(ctx, task, 0), &heavy));
    EXPECT_INT(other_work + heavy, 42);
    cop_process_sleep(ctx, 1);
    no_messages(ctx);
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)), "[]");
}

TEST(TA_015_await_of_an_endless_task_times_out) {
    cop_task task = cop_task_async(ctx, stay, COP_NIL);
    EXPECT_EXIT(ctx, "{:timeout, {Task, :await, [%{__struct__: Task}, 10]}}") {
        cop_task_await(ctx, task, 10);
    }
    EXPECT(cop_process_is_alive(ctx, task.pid));
}

TEST(TA_016_a_late_reply_is_dropped) {
    test_trap_exit(ctx);
    cop_task task = cop_task_async(ctx, at_go, cop_a(late).t);
    EXPECT_EXIT(ctx, "{:timeout, _}") { cop_task_await(ctx, task, 5); }
    go(ctx, task.pid);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    no_messages(ctx);
}

TEST(TA_017_await_with_nobody_behind_the_reference) {
    cop_task task = fake_task(ctx);
    EXPECT_EXIT(ctx, "{:timeout, {Task, :await, [_, 0]}}") { cop_task_await(ctx, task, COP_ZERO); }
}

TEST(TA_018_await_twice) {
    cop_task task = cop_task_async(ctx, give, cop_a(v).t);
    EXPECT_TERM(ctx, cop_task_await(ctx, task, 0), ":v");
    EXPECT_EXIT(ctx, "{:timeout, {Task, :await, [_, 5]}}") { cop_task_await(ctx, task, 5); }
}

static void expect_wrong_owner(cop_ctx *ctx, cop_term task, int function) {
    cop_task t;
    cop_task_result result;
    char pattern[3000];
    EXPECT(cop_task_from_term(task, &t));
    snprintf(
        pattern, sizeof pattern,
        "%%{__struct__: ArgumentError, message: \"task %s must be queried from the owner but was "
        "queried from %s\"}",
        text_of(task), text_of(cop_self(ctx).t));
    EXPECT_ERROR(ctx, pattern) {
        if (function == 0)
            cop_task_await(ctx, t, 0);
        else if (function == 1)
            cop_task_yield(ctx, t, 0);
        else if (function == 2)
            cop_task_await_many(ctx, 1, &t, 0);
        else if (function == 3)
            cop_task_yield_many(ctx, 1, &t, NULL, &result);
        else if (function == 4)
            cop_task_ignore(ctx, t);
        else
            cop_task_shutdown(ctx, t, 0);
    }
}
static cop_term check_owner(cop_ctx *ctx, cop_term arg) {
    int64_t function;
    cop_get_i64(cop_elem(arg, 1), &function);
    expect_wrong_owner(ctx, cop_elem(arg, 0), (int)function);
    return cop_a(ok).t;
}
static void wrong_owner(cop_ctx *ctx, int function) {
    cop_term task = cop_task_to_term(ctx, cop_task_async(ctx, stay, COP_NIL));
    cop_task checker = cop_task_async(ctx, check_owner, cop_tuple(ctx, task, function));
    EXPECT_TERM(ctx, cop_task_await(ctx, checker, 0), ":ok");
}

TEST(TA_019_await_by_another_process) { wrong_owner(ctx, 0); }

TEST(TA_020_await_with_a_negative_time_out) {
    cop_task task = cop_task_completed(ctx, COP_NIL);
    EXPECT_ERROR(ctx, "%{__struct__: FunctionClauseError}") { cop_task_await(ctx, task, -1); }
}

TEST(TA_021_await_without_a_time_out) {
    cop_task task = cop_task_async(ctx, slow, COP_INT(5));
    EXPECT_TERM(ctx, cop_task_await(ctx, task, COP_INFINITY), "5");
}

TEST(TA_022_await_when_the_connection_is_lost) {
    cop_task task = fake_task(ctx);
    down_arrives(ctx, task, task.pid.t, cop_a(noconnection).t);
    EXPECT_EXIT(ctx, "{{:nodedown, :nonode@nohost}, {Task, :await, [_, 5000]}}") {
        cop_task_await(ctx, task, 0);
    }
}

TEST(TA_023_await_when_the_connection_to_a_name_is_lost) {
    cop_task task = fake_task(ctx);
    down_arrives(ctx, task, T(ctx, "{:name, :node}"), cop_a(noconnection).t);
    EXPECT_EXIT(ctx, "{{:nodedown, :node}, {Task, :await, [_, 5000]}}") {
        cop_task_await(ctx, task, 0);
    }
}

static cop_term async_inner(cop_ctx *ctx, cop_term arg) {
    cop_task inner = cop_task_async(ctx, tell_callers, arg);
    cop_task_await(ctx, inner, 0);
    return cop_self(ctx).t;
}

TEST(TA_024_the_callers_of_a_nested_async) {
    cop_task outer = cop_task_async(ctx, async_inner, cop_self(ctx).t);
    cop_term message = ASSERT_RECEIVE(ctx, "{:callers, [_, _]}");
    EXPECT_SAME(ctx, cop_elem(message, 1), cop_list(ctx, outer.pid, cop_self(ctx)));
    cop_task_await(ctx, outer, 0);
}

/* ---- tasks that fail ------------------------------------------------------------------------------------ */

static void await_fails(cop_ctx *ctx, cop_task task, const char *pattern, int logged) {
    test_capture_log(ctx);
    test_trap_exit(ctx);
    go(ctx, task.pid);
    EXPECT_EXIT(ctx, pattern) { cop_task_await(ctx, task, 0); }
    if (logged)
        ASSERT_RECEIVE(ctx,
                       "{:log, :error, {:report, %{label: {Task.Supervisor, :terminating}}}, _}");
    REFUTE_RECEIVE(ctx, "{:log, _, _, _}", 10);
}
static cop_term hurl_go(cop_ctx *ctx, cop_term arg) { return hurl(ctx, at_go(ctx, arg)); }
static cop_term oops_go(cop_ctx *ctx, cop_term arg) { return oops(ctx, at_go(ctx, arg)); }

TEST(TA_030_a_task_that_throws) {
    await_fails(ctx, cop_task_async(ctx, hurl_go, cop_a(t).t),
                "{{{:nocatch, :t}, [_ | _]}, {Task, :await, [_, 5000]}}", 1);
}

TEST(TA_031_a_task_that_exits_normally) {
    await_fails(ctx, cop_task_async(ctx, leave_go, cop_a(normal).t),
                "{:normal, {Task, :await, [_, 5000]}}", 0);
}

TEST(TA_032_a_task_that_raises) {
    await_fails(ctx, cop_task_async(ctx, oops_go, COP_NIL),
                "{{%{__struct__: RuntimeError, message: \"oops\"}, [_ | _]}, {Task, :await, _}}",
                1);
}

TEST(TA_033_a_task_that_exits_with_shutdown) {
    await_fails(ctx, cop_task_async(ctx, leave_go, cop_a(shutdown).t), "{:shutdown, _}", 0);
    await_fails(ctx, cop_task_async(ctx, leave_go, T(ctx, "{:shutdown, :x}")),
                "{{:shutdown, :x}, _}", 0);
}

TEST(TA_034_a_task_that_exits_with_another_reason) {
    await_fails(ctx, cop_task_async(ctx, leave_go, cop_a(other).t), "{:other, {Task, :await, _}}",
                1);
}

TEST(TA_035_a_task_of_an_unknown_function) {
    test_trap_exit(ctx);
    cop_term args = T(ctx, "[1, 2]");
    cop_task no_function = cop_task_async_term(ctx, mfa(ctx, "nothing", args));
    EXPECT_EXIT(ctx, "{{:undef, [{M, :nothing, [1, 2], _} | _]}, _}") {
        cop_task_await(ctx, no_function, 0);
    }
    cop_task no_module = cop_task_async_term(ctx, T(ctx, "{Nobody, :f, [1]}"));
    EXPECT_EXIT(ctx, "{{:undef, [{Nobody, :f, [1], _} | _]}, _}") {
        cop_task_await(ctx, no_module, 0);
    }
}

static cop_term fault(cop_ctx *ctx, cop_term arg) {
    static volatile uintptr_t nowhere = 8; /* not known to the compiler */
    *(volatile int *)nowhere = 1;
    return arg;
}

TEST(a_fault_in_a_task_is_its_exit) {
    test_trap_exit(ctx);
    EXPECT_RESULT(ctx, cop_task_yield(ctx, cop_task_async(ctx, fault, COP_NIL), 0),
                  "{:exit, {{:sigsegv, 8}, _}}");
}

/* A caller with an endless task: tells who it is, then exits as it is told by {:exit, reason}. */
static void endless_caller(cop_ctx *ctx, cop_term to) {
    cop_term message, reason;
    cop_task task = cop_task_async(ctx, stay, COP_NIL);
    cop_send(ctx, to, cop_tuple(ctx, cop_a(task), task.pid));
    cop_receive(ctx, COP_INFINITY, &message);
    if (cop_match_tuple(message, cop_a(exit), &reason))
        cop_exit(ctx, reason);
}
static cop_pid task_of_caller(cop_ctx *ctx, const char *reason) {
    cop_pid caller = other(ctx, endless_caller, cop_self(ctx).t), task = { COP_NONE };
    EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{:task, _}"), cop_a(task), &task));
    cop_send(ctx, caller, cop_tuple(ctx, cop_a(exit), T(ctx, reason)));
    test_await_down(ctx, caller);
    return task;
}

TEST(TA_036_a_task_and_the_end_of_its_caller) {
    EXPECT_TERM(ctx, test_await_down(ctx, task_of_caller(ctx, ":boom")), "_");
    cop_pid task = task_of_caller(ctx, ":normal");
    EXPECT(cop_process_is_alive(ctx, task));
    cop_process_exit(ctx, task, cop_a(kill));
}

static void failing_caller(cop_ctx *ctx, cop_term to) {
    cop_task_async(ctx, leave, cop_a(boom).t);
    stay(ctx, to);
}

TEST(TA_037_a_task_that_fails_takes_its_caller_along) {
    cop_spawned caller = cop_spawn_monitor(ctx, failing_caller, COP_NIL);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boom}");
    EXPECT(!cop_process_is_alive(ctx, caller.pid));
}

/* ---- completed --------------------------------------------------------------------------------------------- */

TEST(TA_040_completed) {
    cop_task task = cop_task_completed(ctx, COP_INT(4));
    EXPECT(cop_is_none(task.pid.t));
    EXPECT_TERM(ctx, cop_task_to_term(ctx, task), "%{pid: nil, mfa: {Task, :completed, 1}}");
    EXPECT_TERM(ctx, cop_task_await(ctx, task, 0), "4");
    EXPECT_RESULT(ctx, cop_task_yield(ctx, cop_task_completed(ctx, COP_INT(4)), 0), "{:ok, 4}");
    EXPECT_RESULT(ctx, cop_task_ignore(ctx, cop_task_completed(ctx, COP_INT(4))), "{:ok, 4}");
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, cop_task_completed(ctx, COP_INT(4)), 0), "{:ok, 4}");
    cop_task two[] = { cop_task_completed(ctx, COP_INT(1)), cop_task_completed(ctx, COP_INT(2)) };
    EXPECT_TERM(ctx, cop_task_await_many(ctx, 2, two, 0), "[1, 2]");
    no_messages(ctx);
}

/* ---- yield --------------------------------------------------------------------------------------------------- */

TEST(TA_060_yield_can_be_repeated) {
    cop_task task = cop_task_async(ctx, at_go, cop_a(v).t);
    EXPECT_RESULT(ctx, cop_task_yield(ctx, task, 1), "nil");
    go(ctx, task.pid);
    EXPECT_RESULT(ctx, cop_task_yield(ctx, task, 0), "{:ok, :v}");
    EXPECT_RESULT(ctx, cop_task_yield(ctx, task, 10), "nil");
}

/* A task that has ended for that reason, with its down message queued, and perhaps a reply before. */
static cop_task ended_task(cop_ctx *ctx, const char *reason, bool replied) {
    cop_task task = fake_task(ctx);
    task.pid = cop_task_start(ctx, leave_go, T(ctx, reason));
    task.ref = cop_process_monitor(ctx, task.pid);
    if (replied)
        cop_send(ctx, cop_self(ctx), cop_tuple(ctx, task.ref, cop_a(v)));
    if (strcmp(reason, ":killed") == 0)
        cop_process_exit(ctx, task.pid, cop_a(kill));
    else
        go(ctx, task.pid);
    test_await_down(ctx, task.pid);
    return task;
}

TEST(TA_061_yield_with_a_reply_and_a_bad_end) {
    cop_task task = ended_task(ctx, ":abnormal", true);
    EXPECT_RESULT(ctx, cop_task_yield(ctx, task, COP_ZERO), "{:ok, :v}");
    no_messages(ctx);
}

TEST(TA_062_yield_of_a_task_that_exits_normally) {
    EXPECT_RESULT(ctx, cop_task_yield(ctx, cop_task_async(ctx, leave, cop_a(normal).t), 0),
                  "{:exit, :normal}");
}

TEST(TA_063_yield_of_a_task_that_fails) {
    test_trap_exit(ctx);
    cop_task task = cop_task_async(ctx, leave, cop_a(x).t);
    EXPECT_RESULT(ctx, cop_task_yield(ctx, task, 0), "{:exit, :x}");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :x}");
    EXPECT_RESULT(ctx, cop_task_yield(ctx, task, COP_ZERO), "nil");
}

TEST(TA_064_yield_when_the_connection_is_lost) {
    cop_task task = fake_task(ctx);
    down_arrives(ctx, task, task.pid.t, cop_a(noconnection).t);
    EXPECT_EXIT(ctx, "{{:nodedown, :nonode@nohost}, {Task, :yield, [_, 5000]}}") {
        cop_task_yield(ctx, task, 0);
    }
}

TEST(TA_065_yield_by_another_process) { wrong_owner(ctx, 1); }
TEST(TA_055_await_many_by_another_process) { wrong_owner(ctx, 2); }
TEST(TA_078_yield_many_by_another_process) { wrong_owner(ctx, 3); }
TEST(ignore_by_another_process_is_refused) { wrong_owner(ctx, 4); }
TEST(shutdown_by_another_process_is_refused) { wrong_owner(ctx, 5); }

/* ---- ignore --------------------------------------------------------------------------------------------------- */

TEST(TA_080_ignore_of_a_task_that_has_replied) {
    cop_task task = cop_task_async(ctx, give, cop_a(v).t);
    test_await_down(ctx, task.pid);
    EXPECT_RESULT(ctx, cop_task_ignore(ctx, task), "{:ok, :v}");
    EXPECT_EXIT(ctx, "{:timeout, _}") { cop_task_await(ctx, task, COP_ZERO); }
    no_messages(ctx);
}

TEST(TA_081_ignore_of_a_task_that_runs) {
    cop_task task = cop_task_async(ctx, at_go, cop_a(v).t);
    cop_task bad = cop_task_async(ctx, leave_go, cop_a(boom).t);
    EXPECT_RESULT(ctx, cop_task_ignore(ctx, task), "nil");
    EXPECT_RESULT(ctx, cop_task_ignore(ctx, bad), "nil");
    EXPECT(!is_linked(ctx, task.pid) && !is_linked(ctx, bad.pid));
    go(ctx, task.pid);
    go(ctx, bad.pid);
    test_await_down(ctx, task.pid);
    test_await_down(ctx, bad.pid);
    no_messages(ctx);
}

TEST(TA_082_ignore_of_a_task_that_has_failed) {
    test_trap_exit(ctx);
    cop_task task = cop_task_async(ctx, leave, cop_a(oops).t);
    test_await_down(ctx, task.pid);
    EXPECT_RESULT(ctx, cop_task_ignore(ctx, task), "{:exit, :oops}");
}

TEST(TA_083_ignore_when_the_connection_is_lost) {
    cop_task task = fake_task(ctx);
    down_arrives(ctx, task, task.pid.t, cop_a(noconnection).t);
    EXPECT_EXIT(ctx, "{{:nodedown, :nonode@nohost}, {Task, :ignore, [_]}}") {
        cop_task_ignore(ctx, task);
    }
}

/* ---- shutdown --------------------------------------------------------------------------------------------------- */

/* Traps exits, tells the test so, and returns or exits as arg says: {pid, :return | :exit | :stay, reason}. */
static cop_term trapper(cop_ctx *ctx, cop_term arg) {
    cop_term message, reason;
    cop_pid from;
    cop_process_trap_exit(ctx, true);
    cop_send(ctx, cop_elem(arg, 0), cop_a(ready));
    do
        cop_receive(ctx, COP_INFINITY, &message);
    while (!cop_match_tuple(message, cop_as("EXIT"), &from, &reason)
           || cop_match(cop_elem(arg, 1), cop_a(stay)));
    if (cop_match(cop_elem(arg, 1), cop_a(exit)))
        cop_exit(ctx, cop_elem(arg, 2));
    return cop_tuple(ctx, cop_a(got), reason);
}
static cop_task ready_trapper(cop_ctx *ctx, const char *how, const char *reason) {
    cop_task task = cop_task_async(
        ctx, trapper, cop_tuple(ctx, cop_self(ctx), cop_atom_new(how), T(ctx, reason)));
    ASSERT_RECEIVE(ctx, ":ready");
    return task;
}

TEST(TA_084_shutdown_of_an_endless_task) {
    test_trap_exit(ctx);
    cop_task task = cop_task_async(ctx, stay, COP_NIL);
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, task, 0), "nil");
    EXPECT(!cop_process_is_alive(ctx, task.pid));
    no_messages(ctx);
}

TEST(TA_085_shutdown_of_a_task_that_returns_then) {
    cop_task task = ready_trapper(ctx, "return", "nil");
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, task, 0), "{:ok, {:got, :shutdown}}");
    no_messages(ctx);
}

TEST(TA_086_shutdown_of_a_task_that_exits_then) {
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, ready_trapper(ctx, "exit", ":normal"), 0),
                  "{:exit, :normal}");
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, ready_trapper(ctx, "exit", ":boom"), 0),
                  "{:exit, :boom}");
}

TEST(TA_087_shutdown_of_a_task_that_does_not_end) {
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, ready_trapper(ctx, "stay", "nil"), 1),
                  "{:exit, :killed}");
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, ready_trapper(ctx, "stay", "nil"), COP_BRUTAL_KILL),
                  "nil");
}

TEST(TA_088_shutdown_of_a_task_that_has_replied) {
    const char *reasons[] = { ":abnormal", ":normal", ":shutdown" };
    for (int i = 0; i < 6; i++)
        EXPECT_RESULT(ctx,
                      cop_task_shutdown(ctx, ended_task(ctx, reasons[i % 3], true),
                                        i < 3 ? 0 : COP_BRUTAL_KILL),
                      "{:ok, :v}");
    no_messages(ctx);
}

TEST(TA_089_shutdown_of_a_task_that_is_dead) {
    static const struct {
        const char *reason, *orderly, *brutal;
    } cases[] = {
        { ":abnormal", "{:exit, :abnormal}", "{:exit, :abnormal}" },
        { ":normal", "{:exit, :normal}", "{:exit, :normal}" },
        { ":shutdown", "nil", "{:exit, :shutdown}" },
        { ":killed", "{:exit, :killed}", "nil" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cop_task one = ended_task(ctx, cases[i].reason, false);
        EXPECT_RESULT(ctx, cop_task_shutdown(ctx, one, 0), cases[i].orderly);
        cop_task two = ended_task(ctx, cases[i].reason, false);
        EXPECT_RESULT(ctx, cop_task_shutdown(ctx, two, COP_BRUTAL_KILL), cases[i].brutal);
    }
    no_messages(ctx);
}

TEST(TA_091_shutdown_when_the_connection_is_lost) {
    cop_task one = ended_task(ctx, ":noconnection", false);
    EXPECT_EXIT(ctx, "{{:nodedown, :nonode@nohost}, {Task, :shutdown, [_, 5000]}}") {
        cop_task_shutdown(ctx, one, 0);
    }
    cop_task two = ended_task(ctx, ":noconnection", false);
    EXPECT_EXIT(ctx, "{{:nodedown, :nonode@nohost}, {Task, :shutdown, [_, :brutal_kill]}}") {
        cop_task_shutdown(ctx, two, COP_BRUTAL_KILL);
    }
}

TEST(TA_092_shutdown_after_the_monitor_is_gone) {
    cop_task task = cop_task_async(ctx, give, cop_a(v).t);
    cop_task_await(ctx, task, 0);
    test_await_down(ctx, task.pid);
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, task, 0), "{:exit, :noproc}");
    cop_task endless = cop_task_async(ctx, stay, COP_NIL);
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, endless, 0), "nil");
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, endless, COP_BRUTAL_KILL), "{:exit, :noproc}");
}

TEST(TA_093_shutdown_of_a_task_without_a_process) {
    cop_task task = fake_task(ctx), other_task = fake_task(ctx);
    task.pid = other_task.pid = (cop_pid){ COP_NONE };
    cop_send(ctx, cop_self(ctx), cop_tuple(ctx, task.ref, cop_a(r)));
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, task, 0), "{:ok, :r}");
    down_arrives(ctx, other_task, cop_a(nobody).t, cop_a(done).t);
    EXPECT_RESULT(ctx, cop_task_shutdown(ctx, other_task, 0), "{:exit, :done}");
}

TEST(TA_094_shutdown_with_a_wrong_time_out) {
    cop_task task = cop_task_async(ctx, stay, COP_NIL);
    EXPECT_ERROR(ctx, "%{__struct__: FunctionClauseError}") { cop_task_shutdown(ctx, task, -7); }
    EXPECT(cop_process_is_alive(ctx, task.pid));
}

/* A caller that is killed somewhere in shutdown leaves no task behind. */
static void shutting_caller(cop_ctx *ctx, cop_term to) {
    cop_task task = cop_task_async(ctx, stay, COP_NIL);
    cop_send(ctx, to, cop_tuple(ctx, cop_a(task), task.pid));
    wait_for(ctx, "go");
    cop_task_shutdown(ctx, task, COP_INFINITY);
    stay(ctx, to);
}

TEST(a_caller_killed_during_shutdown_leaves_no_task, .seeds = 50) {
    cop_pid caller = other(ctx, shutting_caller, cop_self(ctx).t), task = { COP_NONE };
    EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{:task, _}"), cop_a(task), &task));
    cop_process_monitor(ctx, task);
    go(ctx, caller);
    for (uint64_t i = cop_random_u64(ctx) % 16; i > 0; i--)
        cop_yield(ctx);
    cop_process_exit(ctx, caller, cop_a(kill));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
}
