/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConsumerSupervisor as a consumer: subscriptions, events, and the demand that the ends of children make. As
 * observed with gen_stage 1.3.2, unless a test says otherwise.
 */
#include "consumer_supervisor_kit.h"

/* ---- a producer of a list ----------------------------------------------------------------------------------- */

/* Emits what is asked for as long as it has some, and tells {:demand, n}. arg: {tell, events}. */
struct supply {
    cop_term tell;
    cop_queue events;
};

static cop_stage_init supply_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct supply *self = state;
    cop_term list;
    cop_events events;
    if (!cop_match_tuple(arg, &self->tell, &list) || !cop_events_from_list(ctx, list, &events))
        return cop_stage_init_stop(cop_a(badarg));
    cop_queue_push(ctx, &self->events, events);
    return cop_stage_producer();
}

static cop_stage_next supply_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct supply *self = state;
    cop_send(ctx, self->tell, cop_tuple(ctx, cop_a(demand), demand));
    return cop_stage_emit(cop_queue_take(ctx, &self->events, (size_t)demand));
}

static const cop_gen_stage supply = {
    .name = "Supply",
    .state_size = sizeof(struct supply),
    .state_terms = 1 + COP_QUEUE_TERMS,
    .init = supply_init,
    .handle_demand = supply_demand,
};

static cop_started start_supply(cop_ctx *ctx, cop_term arg) {
    return cop_gen_stage_start_link(ctx, &supply, arg, NULL);
}

static cop_pid supply_of(cop_ctx *ctx, const char *events) {
    return test_start_supervised(ctx, start_supply,
                                 cop_tuple(ctx, cop_self(ctx), read(ctx, events)));
}

static void subscribe(cop_ctx *ctx, cop_pid sup, cop_pid producer, int64_t max, int64_t min,
                      cop_stage_cancel cancel) {
    cop_subscribe_opts opts = { .max_demand = max,
                                .min_demand = min == 0 ? COP_ZERO : min,
                                .cancel = cancel };
    EXPECT_TERM(ctx, cop_gen_stage_sync_subscribe(ctx, sup, producer, &opts, 0), "{:ok, _}");
}

/* ---- subscribing ---------------------------------------------------------------------------------------------- */

static void subscribe_refuses(cop_ctx *ctx, cop_pid sup, cop_subscribe_opts opts,
                              const char *text) {
    char pattern[200];
    snprintf(pattern, sizeof pattern, "{:error, {:bad_opts, \"%s\"}}", text);
    EXPECT_TERM(ctx, cop_gen_stage_sync_subscribe(ctx, sup, cop_self(ctx), &opts, 0), pattern);
}

TEST(CS_017_subscribing_and_what_is_refused) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    feed(ctx, sup, 10, 5, COP_CANCEL_PERMANENT);
    subscribe_refuses(ctx, sup, (cop_subscribe_opts){ .max_demand = -1 },
                      "expected :max_demand to be equal to or greater than 1, got: -1");
    subscribe_refuses(ctx, sup, (cop_subscribe_opts){ .min_demand = 2000 },
                      "expected :min_demand to be equal to or less than 999, got: 2000");
    subscribe_refuses(
        ctx, sup, (cop_subscribe_opts){ .terms = read(ctx, "[cancel: :x]") },
        "expected :cancel to be one of [:temporary, :transient, :permanent], got: :x");
    EXPECT_TERM(
        ctx,
        cop_gen_stage_sync_subscribe(ctx, sup, cop_a(nobody),
                                     &(cop_subscribe_opts){ .cancel = COP_CANCEL_TEMPORARY }, 0),
        "{:ok, _}");
    COUNTS("%{specs: 1}");
    cop_ref ref = cop_process_monitor(ctx, sup);
    EXPECT_TERM(ctx, cop_gen_stage_sync_subscribe(ctx, sup, cop_a(nobody), NULL, 0), "{:ok, _}");
    EXPECT_TERM(ctx, end_of(ctx, ref), ":noproc");
}

TEST(CS_017_a_dead_producer) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    subscribe(ctx, sup, test_dead_pid(ctx), 10, 5, COP_CANCEL_TEMPORARY);
    COUNTS("%{specs: 1}");
    cop_ref ref = cop_process_monitor(ctx, sup);
    subscribe(ctx, sup, test_dead_pid(ctx), 10, 5, COP_CANCEL_PERMANENT);
    EXPECT_TERM(ctx, end_of(ctx, ref), ":noproc");
}

TEST(CS_017_subscriptions_of_init) {
    be_tester(ctx);
    test_trap_exit(ctx);
    cop_started got = cop_consumer_supervisor_start_link_terms(
        ctx, read(ctx, TEMPORARY), read(ctx, "[strategy: :one_for_one, subscribe_to: [:nobody]]"));
    EXPECT_INT(got.is, COP_ERROR);
    EXPECT_TERM(ctx, got.reason, ":noproc");
    got = cop_consumer_supervisor_start_link_terms(
        ctx, read(ctx, TEMPORARY),
        read(ctx, "[strategy: :one_for_one, subscribe_to: [{:tester, max_demand: 0}]]"));
    EXPECT_INT(got.is, COP_STARTED);
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, got.pid, 0), "%{producers: %{}}");
    REFUTE_RECEIVE(ctx, "{:\"$gen_producer\", _, _}", 0);
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

TEST(CS_018_starts_that_fail_in_different_ways) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, 10, 9, COP_CANCEL_PERMANENT);
    GIVE("[:ok2]");
    COUNTS("%{active: 1, workers: 1}");
    GIVE("[:ok3]");
    COUNTS("%{active: 2, workers: 2}");
    GIVE("[:error]");
    GIVE("[:ignore]");
    GIVE("[:unknown]");
    COUNTS("%{specs: 1, active: 2, supervisors: 0, workers: 2}");
    ACCOUNT("{2, 3}");
}

static cop_started start_enumerable(cop_ctx *ctx, cop_term list) {
    return cop_gen_stage_from_enumerable(ctx, list, NULL);
}

TEST(CS_019_three_events_of_an_enumerable_are_three_children) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_pid producer =
        test_start_supervised(ctx, start_enumerable, read(ctx, "[:ok2, :ok2, :ok2]"));
    subscribe(ctx, sup, producer, 1000, 500, COP_CANCEL_TEMPORARY);
    next_kid(ctx);
    next_kid(ctx);
    next_kid(ctx);
    COUNTS("%{active: 3, workers: 3}");
}

TEST(CS_020_a_start_that_raises_is_reported) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, 10, 9, COP_CANCEL_PERMANENT);
    capture_log(ctx);
    GIVE("[:raise, :throw, :exit]");
    cop_term log =
        ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [{_, _}, {%RuntimeError{message: "
                            "\"oops\"}, [_ | _]}]}, _}");
    EXPECT_SAME(
        ctx, cop_elem(cop_elem(log, 2), 1),
        cop_charlist(ctx, "ConsumerSupervisor failed to start child from: ~tp with reason: ~tp~n"));
    ASSERT_RECEIVE(
        ctx, "{:log, :error, {:report, %{label: {:supervisor, :start_error}, report: "
             "[supervisor: {_, ConsumerSupervisor.Default}, errorContext: :start_error, reason: "
             "{%RuntimeError{}, _}, offender: [pid: :undefined, id: :kid, mfargs: {:kid, "
             ":start_link, [:raise]}, restart_type: :temporary, shutdown: 5000, child_type: "
             ":worker]]}}, _}");
    ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [_, {{:nocatch, :oops}, [_ | _]}]}, _}");
    ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [_, :oops]}, _}");
    COUNTS("%{active: 0, workers: 0}");
    ACCOUNT("{0, 3}");
}

TEST(CS_021_one_child_at_a_time) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    subscribe(ctx, sup, supply_of(ctx, "[:ok2, :error, :ignore, :ok2, :ok2, :ok2]"), 1, 0,
              COP_CANCEL_PERMANENT);
    cop_pid first = next_kid(ctx);
    COUNTS("%{active: 1, workers: 1}");
    end_kid(ctx, first, cop_a(normal));
    cop_pid second = next_kid(ctx);
    COUNTS("%{active: 1, workers: 1}");
    for (int i = 0; i < 4; i++) /* one for each that failed, too */
        ASSERT_RECEIVE(ctx, "{:demand, 1}");
    REFUTE_RECEIVE(ctx, "{:demand, 1}", 0);
    EXPECT_TERM(ctx, cop_consumer_supervisor_terminate_child(ctx, sup, second), ":ok");
    next_kid(ctx);
    COUNTS("%{active: 1, workers: 1}");
}

TEST(CS_022_a_child_that_is_restarting_counts) {
    cop_pid sup = start_sup(ctx, TRANSIENT, "[strategy: :one_for_one, max_restarts: 100000000]");
    subscribe(ctx, sup, supply_of(ctx, "[{:seq, [:ok2, :error]}, :ok2]"), 1, 0,
              COP_CANCEL_PERMANENT);
    cop_pid kid = next_kid(ctx);
    end_kid(ctx, kid, cop_a(killed));
    await_counts(ctx, sup, 0, 1);
    REFUTE_RECEIVE(ctx, "{:kid, _, _}", 0);
    EXPECT_TERM(ctx, cop_consumer_supervisor_terminate_child(ctx, sup, kid), ":ok");
    next_kid(ctx);
    COUNTS("%{active: 1, workers: 1}");
}

TEST(CS_023_children_stay_when_their_producer_ends) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_pid producer = supply_of(ctx, "[:ok2, :ok2]");
    subscribe(ctx, sup, producer, 10, 0, COP_CANCEL_TEMPORARY);
    cop_pid kid = next_kid(ctx);
    next_kid(ctx);
    ASSERT_RECEIVE(ctx, "{:demand, 10}");
    test_stop_supervised(ctx, producer);
    while (cop_map_size(state_field(ctx, sup, cop_a(producers))) > 0)
        cop_yield(ctx);
    COUNTS("%{active: 2, workers: 2}");
    EXPECT_TERM(ctx, state_field(ctx, sup, cop_a(children)), "%{}");
    EXPECT_INT(cop_map_size(state_field(ctx, sup, cop_a(children))), 2);
    EXPECT_TERM(ctx, cop_consumer_supervisor_terminate_child(ctx, sup, kid), ":ok");
    COUNTS("%{active: 1, workers: 1}");
    REFUTE_RECEIVE(ctx, "{:demand, _}", 0);
}

TEST(CS_024_two_ends_bring_two_events) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    subscribe(ctx, sup, supply_of(ctx, "[:ok2, :ok2, :ok2, :ok2, :ok2, :ok2]"), 3, 2,
              COP_CANCEL_PERMANENT);
    cop_pid first = next_kid(ctx), second = next_kid(ctx);
    next_kid(ctx);
    end_kid(ctx, first, cop_a(normal));
    await_children(ctx, sup, 2);
    end_kid(ctx, second, cop_a(normal));
    next_kid(ctx);
    next_kid(ctx);
    COUNTS("%{active: 3, workers: 3}");
    REFUTE_RECEIVE(ctx, "{:kid, _, _}", 0);
}

TEST(CS_025_no_demand_while_all_live) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, 3, 0, COP_CANCEL_PERMANENT);
    GIVE("[:ok2, :ok2]");
    COUNTS("%{active: 2, workers: 2}");
    no_ask(ctx, sup);
}

/* ---- the table of demands ---------------------------------------------------------------------------------------- */

/* All children are started, then end one by one: `asks` says what is asked for after each end. */
static void demands(cop_ctx *ctx, int64_t max, int64_t min, int64_t given, const int64_t *asks) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, max, min, COP_CANCEL_PERMANENT), events = COP_NIL;
    for (int64_t i = 0; i < given; i++)
        events = cop_list_tail(ctx, cop_a(ok2), events);
    give(ctx, sup, tag, events);
    int64_t pending = 0;
    for (int64_t i = 0; i < given; i++) {
        end_kid(ctx, next_kid(ctx), cop_a(normal));
        await_children(ctx, sup, given - i - 1);
        pending = asks[i] > 0 ? 0 : pending + 1;
        if (asks[i] > 0)
            EXPECT_INT(next_ask(ctx), asks[i]);
        no_ask(ctx, sup);
        EXPECT_SAME(ctx, account_of(ctx, sup), cop_tuple(ctx, given - i - 1, pending));
    }
}

TEST(CS_026_the_demands_of_ends) {
    demands(ctx, 10, 5, 10, (int64_t[]){ 0, 0, 0, 0, 5, 0, 0, 0, 0, 5 });
    demands(ctx, 3, 2, 3, (int64_t[]){ 0, 2, 0 });
    demands(ctx, 3, 0, 3, (int64_t[]){ 1, 1, 1 });
    demands(ctx, 1, 0, 1, (int64_t[]){ 1 });
    demands(ctx, 4, 3, 4, (int64_t[]){ 0, 0, 3, 0 });
    demands(ctx, 50, 25, 5, (int64_t[]){ 0, 0, 0, 0, 0 });
    demands(ctx, 10, 9, 10, (int64_t[]){ 0, 0, 0, 0, 0, 0, 0, 0, 9, 0 });
}

TEST(CS_026_the_demands_of_failed_starts) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, 4, 2, COP_CANCEL_PERMANENT);
    GIVE("[:ignore, :error, :raise, :unknown]");
    EXPECT_INT(next_ask(ctx), 4);
    ACCOUNT("{0, 0}");
    sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    tag = feed(ctx, sup, 4, 2, COP_CANCEL_PERMANENT);
    GIVE("[:ok2, :ignore, :ok2, :ok2]");
    ACCOUNT("{3, 1}");
    no_ask(ctx, sup);
}

TEST(CS_027_the_event_is_the_last_argument) {
    cop_pid sup =
        start_sup(ctx, "[%{id: :kid, start: {:kid, :start_link, [:fixed]}, restart: :temporary}]",
                  ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, 10, 5, COP_CANCEL_PERMANENT);
    GIVE("[:ok2]");
    ASSERT_RECEIVE(ctx, "{:kid, _, [:fixed, :ok2]}");
}

TEST(CS_028_events_in_excess) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, 2, 1, COP_CANCEL_PERMANENT);
    capture_log(ctx);
    GIVE("[:ok2, :ok2, :ok2]");
    cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [1, {_, _}]}, _}");
    EXPECT_SAME(
        ctx, cop_elem(cop_elem(log, 2), 1),
        cop_charlist(ctx, "ConsumerSupervisor has received ~tp events in excess from: ~tp~n"));
    COUNTS("%{active: 3, workers: 3}");
    ACCOUNT("{3, 0}");
}

/* ---- ends ------------------------------------------------------------------------------------------------------------ */

TEST(CS_029_a_permanent_subscription_is_cancelled) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, 2, 1, COP_CANCEL_PERMANENT);
    GIVE("[:ok2, :ok2]");
    cop_ref first = cop_process_monitor(ctx, next_kid(ctx));
    cop_ref second = cop_process_monitor(ctx, next_kid(ctx));
    cop_ref ref = cop_process_monitor(ctx, sup);
    GIVE("{:cancel, :normal}");
    EXPECT_TERM(ctx, end_of(ctx, first), ":shutdown");
    EXPECT_TERM(ctx, end_of(ctx, second), ":shutdown");
    EXPECT_TERM(ctx, end_of(ctx, ref), ":normal");
}

TEST(CS_030_a_temporary_child_crashes) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, 2, 0, COP_CANCEL_PERMANENT);
    capture_log(ctx);
    GIVE("[:ok2]");
    cop_pid kid = next_kid(ctx);
    end_kid(ctx, kid, cop_a(boom));
    cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{report: [supervisor: _, "
                                       "errorContext: :child_terminated, reason: "
                                       ":boom, offender: [pid: _, id: :kid, mfargs: {:kid, "
                                       ":start_link, :undefined}, restart_type: "
                                       ":temporary, shutdown: 5000, child_type: :worker]]}}, _}");
    EXPECT(cop_is_tuple(log));
    EXPECT_INT(next_ask(ctx), 1);
    ACCOUNT("{0, 0}");
}

TEST(CS_031_a_transient_child_crashes) {
    cop_pid sup = start_sup(ctx, TRANSIENT, ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, 2, 0, COP_CANCEL_PERMANENT);
    cop_ref ref = cop_process_monitor(ctx, sup);
    capture_log(ctx);
    GIVE("[{:seq, [:ok2]}]");
    for (int i = 0; i < 3; i++) {
        end_kid(ctx, next_kid(ctx), cop_a(boom));
        ASSERT_RECEIVE(
            ctx, "{:log, :error, {:report, %{report: [supervisor: _, errorContext: "
                 ":child_terminated, reason: :boom, offender: [pid: _, id: :kid, mfargs: {:kid, "
                 ":start_link, [{:seq, [:ok2]}]}, restart_type: :transient, shutdown: 5000, "
                 "child_type: :worker]]}}, _}");
        COUNTS("%{workers: 1}");
        ACCOUNT("{1, 0}");
        no_ask(ctx, sup);
    }
    end_kid(ctx, next_kid(ctx), cop_a(boom));
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{report: [supervisor: _, errorContext: "
                        ":child_terminated, reason: :boom, offender: _]}}, _}");
    ASSERT_RECEIVE(ctx,
                   "{:log, :error, {:report, %{report: [supervisor: _, errorContext: :shutdown, "
                   "reason: :reached_max_restart_intensity, offender: _]}}, _}");
    EXPECT_INT(next_ask(ctx), 1);
    EXPECT_TERM(ctx, end_of(ctx, ref), ":shutdown");
}

/* ---- the summary's consumer --------------------------------------------------------------------------------------------- */

/* Task.start_link(fn -> ... end), as Printer.start_link does: tells {pid, event} and its links, and ends
   when it is told. */
static cop_term print(cop_ctx *ctx, cop_term event) {
    cop_term message;
    cop_send(ctx, cop_a(tester),
             cop_tuple(ctx, cop_a(kid), cop_self(ctx), event,
                       cop_process_info(ctx, cop_self(ctx), cop_a(links))));
    cop_receive(ctx, COP_INFINITY, &message);
    return message;
}

static cop_started printer_start_link(cop_ctx *ctx, cop_term event) {
    return cop_started_ok(cop_task_start_link(ctx, print, event));
}

static cop_started start_printers(cop_ctx *ctx, cop_term producer) {
    static const cop_child_spec printer = {
        .id = "Elixir.Printer",
        .start = printer_start_link,
        .restart = COP_TRANSIENT,
    };
    cop_subscribe_opts fifty = { .max_demand = 50 };
    cop_consumer_supervisor_opts opts = { .subscribe_to = cop_list(
                                              ctx, cop_subscription(ctx, producer, &fifty)) };
    return cop_consumer_supervisor_start_link(ctx, &printer, &opts);
}

static cop_term numbers(cop_ctx *ctx, int64_t n) {
    cop_term list = COP_NIL;
    while (n-- > 0)
        list = cop_list_tail(ctx, n, list);
    return list;
}

static cop_pid supply_numbers(cop_ctx *ctx, int64_t n) {
    be_tester(ctx);
    return test_start_supervised(ctx, start_supply, cop_tuple(ctx, cop_self(ctx), numbers(ctx, n)));
}

static cop_pid next_printer(cop_ctx *ctx, int64_t *event) {
    cop_pid pid = { COP_NONE };
    cop_term message = ASSERT_RECEIVE(ctx, "{:kid, _, _, _}");
    EXPECT(cop_get_pid(cop_elem(message, 1), &pid) && cop_get_i64(cop_elem(message, 2), event));
    return pid;
}

static void end_printer(cop_ctx *ctx, cop_pid pid) {
    cop_ref ref = cop_process_monitor(ctx, pid);
    cop_send(ctx, pid, cop_a(done));
    EXPECT_TERM(ctx, end_of(ctx, ref), ":normal");
}

TEST(CS_035_fifty_printers) {
    cop_pid producer = supply_numbers(ctx, 1000), pids[50];
    cop_pid sup = test_start_supervised(ctx, start_printers, producer);
    int64_t event = -1;
    ASSERT_RECEIVE(ctx, "{:demand, 50}");
    for (int i = 0; i < 50; i++)
        pids[i] = next_printer(ctx, &event);
    COUNTS("%{active: 50, workers: 50}");
    for (int i = 0; i < 24; i++)
        end_printer(ctx, pids[i]);
    await_children(ctx, sup, 26);
    ACCOUNT("{26, 24}");
    REFUTE_RECEIVE(ctx, "{:demand, _}", 0);
    end_printer(ctx, pids[24]);
    ASSERT_RECEIVE(ctx, "{:demand, 25}");
    await_children(ctx, sup, 50);
    ACCOUNT("{50, 0}");
}

TEST(CS_036_a_printer_is_linked_and_gets_its_event) {
    cop_pid producer = supply_numbers(ctx, 3);
    cop_pid sup = test_start_supervised(ctx, start_printers, producer);
    for (int64_t i = 0; i < 3; i++) {
        cop_term message = ASSERT_RECEIVE(ctx, "{:kid, _, _, _}");
        EXPECT_SAME(ctx, cop_elem(message, 3), cop_list(ctx, sup));
        EXPECT(cop_match(cop_elem(message, 2), 0) || cop_match(cop_elem(message, 2), 1)
               || cop_match(cop_elem(message, 2), 2));
    }
    EXPECT_TERM(
        ctx, cop_consumer_supervisor_which_children(ctx, sup),
        "[{:undefined, _, :worker, [Printer]}, {:undefined, _, :worker, [Printer]}, {:undefined, "
        "_, :worker, [Printer]}]");
    EXPECT_TERM(
        ctx, cop_sys_get_state(ctx, sup, 0),
        "%{state: %{template: {Printer, {Printer, :start_link, []}, :transient, 5000, :worker, "
        "[Printer]}}}");
}

/* A template with an argument of its own: the C function gets [arg, event]. */
static cop_started start_pair(cop_ctx *ctx, cop_term pair) {
    return cop_started_ok(cop_task_start_link(ctx, print, pair));
}
static cop_started start_pairs(cop_ctx *ctx, cop_term arg) {
    cop_child_spec spec = {
        .id = "pair", .start = start_pair, .arg = arg, .restart = COP_TEMPORARY
    };
    return cop_consumer_supervisor_start_link(ctx, &spec, NULL);
}

TEST(CS_027_a_c_function_with_an_argument_gets_a_list) {
    be_tester(ctx);
    cop_pid sup = test_start_supervised(ctx, start_pairs, cop_a(fixed));
    cop_term tag = feed(ctx, sup, 10, 5, COP_CANCEL_PERMANENT);
    GIVE("[:event]");
    ASSERT_RECEIVE(ctx, "{:kid, _, [:fixed, :event], _}");
}

TEST(two_producers_have_accounts_of_their_own) {
    cop_pid sup = start_sup(ctx, TEMPORARY, ONE_FOR_ONE);
    cop_term tag = feed(ctx, sup, 2, 1, COP_CANCEL_PERMANENT);
    GIVE("[:ok2]");
    cop_pid mine = next_kid(ctx);
    cop_pid producer = supply_of(ctx, "[:ok3, :ok3, :ok3]");
    subscribe(ctx, sup, producer, 2, 0, COP_CANCEL_TEMPORARY);
    ASSERT_RECEIVE(ctx, "{:demand, 2}");
    cop_pid theirs = next_kid(ctx);
    next_kid(ctx);
    end_kid(ctx, theirs, cop_a(normal));
    ASSERT_RECEIVE(ctx, "{:demand, 1}");
    next_kid(ctx);
    no_ask(ctx, sup);
    end_kid(ctx, mine, cop_a(normal));
    EXPECT_INT(next_ask(ctx), 1);
    REFUTE_RECEIVE(ctx, "{:demand, _}", 0);
}
