/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConsumerSupervisor: starting, its children, and their ends. As observed with gen_stage 1.3.2, unless a
 * test says otherwise. Its demand is in consumer_supervisor_demand_test.c.
 */
#include "consumer_supervisor_kit.h"

/* A module whose init returns what it is given, or raises. */
static cop_term my_init(cop_ctx *ctx, cop_term arg) {
    if (cop_match(arg, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "oops");
    return arg;
}
static const cop_supervisor my_module = { "MySup", my_init };

static cop_started start_module(cop_ctx *ctx, cop_term init) {
    return cop_consumer_supervisor_start_link_module(ctx, &my_module, init, NULL);
}

static void init_gives(cop_ctx *ctx, const char *init, const char *reason) {
    test_trap_exit(ctx);
    cop_started got = start_module(ctx, read(ctx, init));
    EXPECT_INT(got.is, COP_ERROR);
    EXPECT_TERM(ctx, got.reason, reason);
}

/* ---- starting ---------------------------------------------------------------------------------------------- */

TEST(CS_001_the_child_spec_of_a_module) {
    EXPECT_TERM(ctx, cop_consumer_supervisor_child_spec(ctx, "Sample", cop_a(arg), COP_NIL),
                "%{id: Sample, start: {Sample, :start_link, [:arg]}, type: :supervisor}");
    EXPECT_TERM(ctx,
                cop_consumer_supervisor_child_spec(
                    ctx, "Sample", cop_a(arg),
                    read(ctx, "[id: :id, restart: :temporary, start: {:foo, :bar, []}]")),
                "%{id: :id, restart: :temporary, start: {:foo, :bar, []}, type: :supervisor}");
}

TEST(CS_002_what_init_must_not_return) {
    const char *specs = "{:bad_specs, \"consumer supervisor expects a list with a single item as a "
                        "template\"}";
    init_gives(ctx, "{:ok, [1, 2], []}", specs);
    init_gives(ctx, "{:ok, [], []}", specs);
    init_gives(ctx, "{:ok, " TEMPORARY ", nil}",
               "{:bad_opts, \"supervisor's init expects a keywords list as options\"}");
    init_gives(ctx, "{:ok, " TEMPORARY ", []}",
               "{:bad_opts, \"supervisor expects a strategy to be given\"}");
    init_gives(ctx, "{:ok, " TEMPORARY ", [strategy: :unknown]}",
               "{:bad_opts, \"unknown supervision strategy for consumer supervisor\"}");
    init_gives(ctx, ":unknown", "{:bad_return_value, :unknown}");
    EXPECT_INT(start_module(ctx, cop_a(ignore).t).is, COP_IGNORE);
}

TEST(CS_003_templates_that_are_refused) {
    const char *permanent =
        "{:bad_opts, \"a child specification with :restart set to :permanent is not supported in "
        "ConsumerSupervisor\\n\\nSet the :restart option either to :temporary, so children spawned "
        "from "
        "events are never restarted, or :transient, so they are restarted only on abnormal "
        "exits\\n\"}";
    init_gives(ctx, "{:ok, " KID("restart: :permanent") ", " ONE_FOR_ONE "}", permanent);
    init_gives(ctx, "{:ok, [%{id: :kid, start: {:kid, :start_link, []}}], " ONE_FOR_ONE "}",
               permanent);
    init_gives(ctx, "{:ok, " KID("shutdown: :invalid") ", " ONE_FOR_ONE "}",
               "{:bad_specs, {:invalid_shutdown, :invalid}}");
    init_gives(ctx, "{:ok, [%{id: :kid, start: {1, 2, 3}}], " ONE_FOR_ONE "}",
               "{:bad_specs, {:invalid_mfa, {1, 2, 3}}}");
    init_gives(ctx, "{:ok, [:kid], " ONE_FOR_ONE "}", "{:bad_specs, {:invalid_child_spec, :kid}}");
}

TEST(CS_004_options_that_are_refused) {
    init_gives(ctx, "{:ok, " TEMPORARY ", [strategy: :one_for_one, max_restarts: 1.0]}",
               "{:bad_opts, \"max_restarts must be an integer\"}");
    init_gives(ctx, "{:ok, " TEMPORARY ", [strategy: :one_for_one, max_seconds: :a]}",
               "{:bad_opts, \"max_seconds must be an integer\"}");
    init_gives(ctx, "{:ok, " TEMPORARY ", [strategy: :one_for_one, foo: 1]}",
               "{:bad_opts, \"unknown options [foo: 1]\"}");
    init_gives(ctx, "{:ok, " TEMPORARY ", [strategy: :one_for_one, subscribe_to: :a]}",
               "{:bad_opts, \"expected :subscribe_to to be a list, got: :a\"}");
}

TEST(the_order_of_the_checks) {
    init_gives(ctx, "{:ok, " KID("restart: :permanent") ", [strategy: :x, max_seconds: :a]}",
               "{:bad_opts, \"unknown supervision strategy for consumer supervisor\"}");
    init_gives(ctx, "{:ok, " KID("shutdown: :x") ", nil}", "{:bad_specs, {:invalid_shutdown, :x}}");
    init_gives(
        ctx,
        "{:ok, " KID(
            "restart: :permanent") ", [strategy: :one_for_one, max_seconds: :a, subscribe_to: :a]}",
        "{:bad_opts, \"max_seconds must be an integer\"}");
}

TEST(CS_005_an_init_that_raises_or_returns_as_Erlangs) {
    init_gives(ctx, ":raise", "{%RuntimeError{message: \"oops\"}, [_ | _]}");
    init_gives(ctx, "{:ok, {{:one_for_one, 1, 5}, []}}",
               "{:bad_return_value, {:ok, {{:one_for_one, 1, 5}, []}}}");
}

TEST(CS_006_the_initial_call_and_the_name) {
    be_tester(ctx);
    test_trap_exit(ctx);
    cop_term init = read(ctx, "{:ok, " TEMPORARY ", " ONE_FOR_ONE "}");
    cop_started got = cop_consumer_supervisor_start_link_module(
        ctx, &my_module, init, &(cop_start_opts){ .name = cop_a(my_sup) });
    EXPECT_INT(got.is, COP_STARTED);
    EXPECT_SAME(ctx, cop_process_whereis(ctx, cop_a(my_sup)), got.pid);
    EXPECT_TERM(
        ctx,
        cop_process_info(ctx, got.pid, cop_tuple(ctx, cop_a(dictionary), cop_as("$initial_call"))),
        "{:supervisor, MySup, 1}");
    cop_term links = cop_process_info(ctx, got.pid, cop_a(links));
    EXPECT_SAME(ctx, links, cop_list(ctx, cop_self(ctx)));
    EXPECT_TERM(
        ctx, cop_sys_get_state(ctx, got.pid, 0),
        "%{type: :consumer, state: %{__struct__: ConsumerSupervisor, name: :my_sup, mod: MySup, "
        "template: {:kid, {:kid, :start_link, []}, :temporary, 5000, :worker, [:kid]}, "
        "max_restarts: 3, max_seconds: 5, strategy: :one_for_one, children: %{}, producers: %{}, "
        "restarts: [], restarting: 0}}");
    cop_started again = cop_consumer_supervisor_start_link_module(
        ctx, &my_module, init, &(cop_start_opts){ .name = cop_a(my_sup) });
    EXPECT_INT(again.is, COP_ERROR);
    EXPECT_TERM(ctx, again.reason, "{:already_started, _}");
}

TEST(CS_006_the_callback_module_is_in_the_status) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_term status = cop_sys_get_status(ctx, sup, 0), item;
    cop_term items = cop_elem(status, 3);
    for (int i = 0; i < 4; i++)
        items = cop_tail(items);
    items = cop_head(items);
    bool found = false;
    while (cop_get_cons(items, &item, &items))
        if (cop_match(cop_elem(item, 0), cop_a(supervisor))) {
            EXPECT_SAME(ctx, cop_elem(item, 1),
                        cop_list(ctx, cop_tuple(ctx, cop_charlist(ctx, "Callback"),
                                                cop_as("Elixir.ConsumerSupervisor.Default"))));
            found = true;
        }
    EXPECT(found);
}

TEST(CS_007_init_makes_a_template) {
    be_tester(ctx);
    cop_term options = read(ctx, ONE_FOR_ONE);
    EXPECT_TERM(ctx, cop_consumer_supervisor_init_terms(ctx, read(ctx, TEMPORARY), options),
                "{:ok, " TEMPORARY ", " ONE_FOR_ONE "}");
    EXPECT_TERM(ctx, cop_consumer_supervisor_init_terms(ctx, read(ctx, "[Task]"), options),
                "{:ok, [%{id: Task, start: {Task, :start_link, [[]]}, restart: :temporary}], _}");
    EXPECT_TERM(ctx, cop_consumer_supervisor_init_terms(ctx, read(ctx, "[{Task, :arg}]"), options),
                "{:ok, [%{id: Task, start: {Task, :start_link, [:arg]}, restart: :temporary}], _}");
    const char *legacy = "[{:kid, {:kid, :start_link, []}, :temporary, 5000, :worker, [:kid]}]";
    cop_term made = cop_consumer_supervisor_init_terms(ctx, read(ctx, legacy), options);
    EXPECT_TERM(ctx, cop_elem(made, 1), legacy);
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"expected :strategy option to be given\"}") {
        cop_consumer_supervisor_init_terms(ctx, read(ctx, TEMPORARY), COP_NIL);
    }
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_consumer_supervisor_init_terms(ctx, read(ctx, "[Task, Task]"), options);
    }
    EXPECT_ERROR(ctx, "%ArgumentError{}") {
        cop_consumer_supervisor_init_terms(ctx, read(ctx, "[NoSuchModule]"), options);
    }
    start_sup(ctx, legacy, ONE_FOR_ONE);
}

/* ---- start_child ------------------------------------------------------------------------------------------- */

static void start_gives(cop_ctx *ctx, cop_pid sup, const char *extra, const char *pattern) {
    EXPECT_TERM(ctx, cop_consumer_supervisor_start_child(ctx, sup, read(ctx, extra)), pattern);
}

TEST(CS_008_start_child_and_its_results) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    start_gives(ctx, sup, "[:ok3]", "{:ok, _, :extra}");
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    COUNTS("%{specs: 1, active: 2, supervisors: 0, workers: 2}");
    start_gives(ctx, sup, "[:error]", "{:error, :found}");
    start_gives(ctx, sup, "[:ignore]", ":ignore");
    start_gives(ctx, sup, "[:unknown]", "{:error, :unknown}");
    start_gives(ctx, sup, "[:throw]", "{:error, {{:nocatch, :oops}, [_ | _]}}");
    start_gives(ctx, sup, "[:raise]", "{:error, {%RuntimeError{message: \"oops\"}, [_ | _]}}");
    start_gives(ctx, sup, "[:exit]", "{:error, :oops}");
    start_gives(ctx, sup, "[1, 2, 3]",
                "{:error, {:undef, [{:kid, :start_link, [1, 2, 3], _} | _]}}");
    COUNTS("%{specs: 1, active: 2, supervisors: 0, workers: 2}");
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_consumer_supervisor_start_child(ctx, sup, cop_a(ok2));
    }
}

TEST(CS_009_start_child_counts_for_no_producer) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    feed(ctx, sup, 10, 0, COP_CANCEL_PERMANENT);
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    ACCOUNT("{0, 0}");
    end_kid(ctx, next_kid(ctx), cop_a(normal));
    await_children(ctx, sup, 0);
    ACCOUNT("{0, 0}");
    no_ask(ctx, sup);
}

/* ---- the end of a child -------------------------------------------------------------------------------------- */

TEST(CS_010_a_temporary_child_ends) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    end_kid(ctx, next_kid(ctx), cop_a(shutdown));
    end_kid(ctx, next_kid(ctx), cop_a(whatever));
    await_children(ctx, sup, 0);
    COUNTS("%{specs: 1, active: 0, supervisors: 0, workers: 0}");
}

TEST(CS_011_a_transient_child_ends) {
    cop_pid sup = start_sup(ctx, TRANSIENT, ONE_FOR_ONE);
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    cop_pid first = next_kid(ctx), second = next_kid(ctx);
    end_kid(ctx, first, cop_a(shutdown));
    cop_ref ref = cop_process_monitor(ctx, second);
    cop_send(ctx, second, read(ctx, "{:end, {:shutdown, :signal}}"));
    end_of(ctx, ref);
    await_children(ctx, sup, 0);
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    end_kid(ctx, next_kid(ctx), cop_a(whatever));
    EXPECT(cop_process_is_alive(ctx, next_kid(ctx)));
    COUNTS("%{specs: 1, active: 1, supervisors: 0, workers: 1}");
}

/* Starts one that is restarted as the list says, and kills it. */
static void restarted(cop_ctx *ctx, cop_pid sup, const char *then) {
    char extra[100];
    snprintf(extra, sizeof extra, "[{:seq, [:ok2, %s]}]", then);
    start_gives(ctx, sup, extra, "{:ok, _}");
    end_kid(ctx, next_kid(ctx), cop_a(whatever));
}

TEST(CS_012_what_a_restart_may_come_to) {
    cop_pid sup = start_sup(ctx, TRANSIENT, "[strategy: :one_for_one, max_restarts: 100000]");
    restarted(ctx, sup, ":ok3");
    next_kid(ctx);
    COUNTS("%{active: 1, workers: 1}");
    restarted(ctx, sup, ":ignore");
    await_counts(ctx, sup, 1, 1);
    restarted(ctx, sup, ":error");
    await_counts(ctx, sup, 1, 2);
    restarted(ctx, sup, ":unknown");
    await_counts(ctx, sup, 1, 3);
    cop_term which = cop_consumer_supervisor_which_children(ctx, sup), one;
    int restarting = 0;
    for (; cop_get_cons(which, &one, &which);)
        restarting += cop_match(cop_elem(one, 1), cop_a(restarting));
    EXPECT_INT(restarting, 2);
}

TEST(CS_013_a_restart_that_fails_once) {
    cop_pid sup = start_sup(ctx, TRANSIENT, "[strategy: :one_for_one, max_restarts: 2]");
    restarted(ctx, sup, ":error, :ok2");
    next_kid(ctx);
    COUNTS("%{active: 1, workers: 1}");
}

static void gives_up(cop_ctx *ctx, const char *options, const char *then) {
    cop_pid sup = start_sup(ctx, TRANSIENT, options);
    cop_ref ref = cop_process_monitor(ctx, sup);
    restarted(ctx, sup, then);
    EXPECT_TERM(ctx, end_of(ctx, ref), ":shutdown");
}

TEST(CS_014_too_many_restarts) {
    gives_up(ctx, "[strategy: :one_for_one, max_restarts: 1]", ":error");
    gives_up(ctx, "[strategy: :one_for_one, max_restarts: 1, max_seconds: 0]", ":error");
    gives_up(ctx, "[strategy: :one_for_one, max_restarts: 10]", ":error");
    gives_up(ctx, "[strategy: :one_for_one, max_restarts: 0]", ":ok2");
}

/* ---- stopping ----------------------------------------------------------------------------------------------- */

/* Starts one child for each event, stops the supervisor, and expects these reasons of their ends. */
static void stop_ends(cop_ctx *ctx, const char *children, size_t n, const char *const *events,
                      const char *const *reasons) {
    cop_pid sup = start_sup(ctx, children, ONE_FOR_ONE);
    cop_ref refs[4];
    for (size_t i = 0; i < n; i++) {
        start_gives(ctx, sup, events[i], "{:ok, _}");
        refs[i] = cop_process_monitor(ctx, next_kid(ctx));
    }
    cop_gen_stage_stop(ctx, sup, cop_a(normal), 0);
    for (size_t i = 0; i < n; i++) {
        EXPECT_TERM(ctx, end_of(ctx, refs[i]), reasons[i]);
    }
}

TEST(CS_015_the_supervisor_stops_its_children) {
    const char *two[] = { "[:ok2]", "[:ok2]" };
    stop_ends(ctx, KID("restart: :temporary, shutdown: :brutal_kill"), 2, two,
              (const char *[]){ ":killed", ":killed" });
    stop_ends(ctx, KID("restart: :temporary, shutdown: :infinity"), 2, two,
              (const char *[]){ ":shutdown", ":shutdown" });
    stop_ends(ctx, TEMPORARY, 2, two, (const char *[]){ ":shutdown", ":shutdown" });
    stop_ends(ctx, TEMPORARY, 2, (const char *[]){ "[:last_words]", "[:ok2]" },
              (const char *[]){ "{:shutdown, :oops}", ":shutdown" });
    stop_ends(ctx, KID("restart: :temporary, shutdown: 1"), 3,
              (const char *[]){ "[:deaf]", "[:ok2]", "[:ok2]" },
              (const char *[]){ ":killed", ":shutdown", ":shutdown" });
}

TEST(a_killed_supervisor_takes_its_children_along) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    cop_pid kid = next_kid(ctx);
    cop_ref ref = cop_process_monitor(ctx, kid);
    cop_process_exit(ctx, sup, cop_a(kill));
    EXPECT_TERM(ctx, end_of(ctx, ref), ":killed");
}

TEST(a_child_that_ends_otherwise_than_it_was_asked_to_is_reported) {
    cop_pid sup = start_sup(ctx, KID("restart: :temporary, shutdown: 1"), ONE_FOR_ONE);
    start_gives(ctx, sup, "[:deaf]", "{:ok, _}");
    cop_pid kid = next_kid(ctx);
    capture_log(ctx);
    EXPECT_TERM(ctx, cop_consumer_supervisor_terminate_child(ctx, sup, kid), ":ok");
    ASSERT_RECEIVE(
        ctx, "{:log, :error, {:report, %{report: [supervisor: {_, ConsumerSupervisor.Default}, "
             "errorContext: :shutdown_error, reason: :killed, offender: _]}}, _}");
}

TEST(CS_016_terminate_child) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    cop_pid kid = next_kid(ctx);
    cop_ref ref = cop_process_monitor(ctx, kid);
    EXPECT_TERM(ctx, cop_consumer_supervisor_terminate_child(ctx, sup, kid), ":ok");
    EXPECT_TERM(ctx, end_of(ctx, ref), ":shutdown");
    EXPECT_TERM(ctx, cop_consumer_supervisor_terminate_child(ctx, sup, kid),
                "{:error, :not_found}");
    COUNTS("%{workers: 0}");
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_consumer_supervisor_terminate_child(ctx, sup, cop_a(kid));
    }
}

TEST(CS_016_terminate_child_by_a_kill_and_of_one_that_restarts) {
    cop_pid sup = start_sup(ctx, KID("restart: :transient, shutdown: :brutal_kill"),
                            "[strategy: :one_for_one, max_restarts: 100000000]");
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    cop_pid kid = next_kid(ctx);
    cop_ref ref = cop_process_monitor(ctx, kid);
    EXPECT_TERM(ctx, cop_consumer_supervisor_terminate_child(ctx, sup, kid), ":ok");
    EXPECT_TERM(ctx, end_of(ctx, ref), ":killed");
    start_gives(ctx, sup, "[{:seq, [:ok2, :error]}]", "{:ok, _}");
    kid = next_kid(ctx);
    end_kid(ctx, kid, cop_a(whatever));
    await_counts(ctx, sup, 0, 1);
    EXPECT_TERM(ctx, cop_consumer_supervisor_terminate_child(ctx, sup, kid), ":ok");
    COUNTS("%{workers: 0, active: 0}");
}

/* ---- reports and messages -------------------------------------------------------------------------------------- */

TEST(CS_032_exits_of_others_and_of_the_parent) {
    cop_pid sup = start_own(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_send(ctx, sup, cop_tuple(ctx, cop_as("EXIT"), test_idle_pid(ctx), cop_a(kill)));
    COUNTS("%{specs: 1}");
    cop_ref ref = cop_process_monitor(ctx, sup);
    cop_process_exit(ctx, sup, cop_a(shutdown));
    EXPECT_TERM(ctx, end_of(ctx, ref), ":shutdown");
}

TEST(CS_032_a_normal_exit_of_the_parent_ends_it_too) {
    cop_pid sup = start_own(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_ref ref = cop_process_monitor(ctx, sup);
    cop_send(ctx, sup, cop_tuple(ctx, cop_as("EXIT"), cop_self(ctx), cop_a(normal)));
    EXPECT_TERM(ctx, end_of(ctx, ref), ":normal");
}

TEST(CS_033_unknown_messages_casts_and_calls) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    capture_log(ctx);
    cop_gen_server_cast(ctx, sup, cop_a(cast));
    COUNTS("%{specs: 1}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    cop_send(ctx, sup, cop_a(hello));
    cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [:hello]}, _}");
    EXPECT_SAME(ctx, cop_elem(cop_elem(log, 2), 1),
                cop_charlist(ctx, "ConsumerSupervisor received unexpected message: ~tp~n"));
    EXPECT_TERM(ctx, cop_gen_server_try_call(ctx, sup, cop_a(call), 0).value,
                "{:function_clause, [_ | _]}");
}

/* Its init returns what was put into the dictionary, by the start of a child with {:now, it}. */
static cop_term changing_init(cop_ctx *ctx, cop_term arg) {
    cop_term now = cop_process_get(ctx, cop_a(now).t);
    return cop_is_none(now) ? arg : now;
}
static const cop_supervisor changing_module = { "Changing", changing_init };

static cop_term change(cop_ctx *ctx, cop_pid sup, const char *init) {
    cop_term now = cop_tuple(ctx, cop_a(now), read(ctx, init));
    EXPECT_TERM(ctx, cop_consumer_supervisor_start_child(ctx, sup, cop_list(ctx, now)), ":ignore");
    EXPECT_TERM(ctx, cop_sys_suspend(ctx, sup, 0), ":ok");
    cop_term reply =
        cop_sys_change_code(ctx, sup, cop_as("Elixir.Changing"), cop_a(v1), COP_NIL, 0);
    EXPECT_TERM(ctx, cop_sys_resume(ctx, sup, 0), ":ok");
    return reply;
}

static cop_started start_changing(cop_ctx *ctx, cop_term arg) {
    return cop_consumer_supervisor_start_link_module(ctx, &changing_module, arg, NULL);
}

TEST(CS_034_a_change_of_code) {
    be_tester(ctx);
    cop_pid sup = test_start_supervised(ctx, start_changing,
                                        read(ctx, "{:ok, " TRANSIENT ", " ONE_FOR_ONE "}"));
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    cop_pid kid = next_kid(ctx);
    EXPECT_TERM(
        ctx, change(ctx, sup, "{:ok, [], " ONE_FOR_ONE "}"),
        "{:error, {:bad_specs, \"consumer supervisor expects a list with a single item as a "
        "template\"}}");
    EXPECT_TERM(ctx, change(ctx, sup, "{:ok, " TRANSIENT ", []}"),
                "{:error, {:bad_opts, \"supervisor expects a strategy to be given\"}}");
    EXPECT_TERM(ctx, change(ctx, sup, ":ignore"), ":ok");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, sup, 0), "%{state: %{max_restarts: 3}}");
    EXPECT_TERM(ctx,
                change(ctx, sup,
                       "{:ok, [%{id: :other, start: {:kid, :start_link, [:fixed]}, restart: "
                       ":transient}], [strategy: :one_for_one, max_restarts: 7]}"),
                ":ok");
    EXPECT_TERM(
        ctx, cop_sys_get_state(ctx, sup, 0),
        "%{state: %{max_restarts: 7, template: {:other, {:kid, :start_link, [:fixed]}, _, _, _, "
        "_}}}");
    end_kid(ctx, kid, cop_a(whatever));
    ASSERT_RECEIVE(ctx, "{:kid, _, [:ok2]}"); /* the old one again, as it was */
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    ASSERT_RECEIVE(ctx, "{:kid, _, [:fixed, :ok2]}");
    COUNTS("%{active: 2}");
}

TEST(CS_037_which_and_count) {
    cop_pid sup = start_sup(ctx, KID("restart: :temporary, type: :supervisor, modules: :dynamic"),
                            ONE_FOR_ONE);
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    cop_term which = cop_consumer_supervisor_which_children(ctx, sup);
    EXPECT_TERM(ctx, which, "[{:undefined, _, :supervisor, :dynamic}]");
    EXPECT_SAME(ctx, cop_elem(cop_head(which), 1), next_kid(ctx));
    COUNTS("%{specs: 1, active: 1, supervisors: 1, workers: 0}");
    EXPECT_INT(cop_map_size(cop_gen_server_call(ctx, sup, cop_a(count_children), 0)), 4);
    sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    start_gives(ctx, sup, "[:ok2]", "{:ok, _}");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup), "[{:undefined, _, :worker, [:kid]}]");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, sup, 0), "%{state: %{children: %{}}}");
}
