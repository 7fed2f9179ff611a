/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage: starting, options, the arithmetic of demand, and wrong messages. What is expected was observed
 * with gen_stage 1.3.2 unless a test says that we differ.
 */
#include "gen_stage_help.h"

static void start_is(cop_ctx *ctx, const char *script, const char *expected) {
    EXPECT_TERM(ctx, cop_started_to_term(ctx, act_try(ctx, script, NULL)), expected);
}

/* ---- start and init -------------------------------------------------------------------------------------- */

TEST(GT_001_child_spec_of_a_stage_module) {
    EXPECT_SAME(ctx, cop_child_spec_use(ctx, "M", COP_WORKER, COP_INT(7), COP_NONE),
                T(ctx, "%{id: M, start: {M, :start_link, [7]}}"));
    cop_term over = T(ctx, "[id: :x, restart: :transient, shutdown: 10000, start: {:m, :f, []}]");
    EXPECT_SAME(ctx, cop_child_spec_use(ctx, "M", COP_WORKER, COP_INT(7), over),
                T(ctx, "%{id: :x, start: {:m, :f, []}, restart: :transient, shutdown: 10000}"));
}

TEST(GT_002_what_init_may_return_instead_of_a_stage) {
    start_is(ctx, "%{init: :ignore}", ":ignore");
    start_is(ctx, "%{init: {:stop, :oops}}", "{:error, :oops}");
    start_is(ctx, "%{init: :unknown}", "{:error, {:bad_return_value, :unknown}}");
    static const char *const kinds[] = { "producer", "consumer", "producer_consumer" };
    for (int i = 0; i < 3; i++) {
        act_end(ctx, act(ctx, P("%%{init: {:%s, 0}}", kinds[i])));
        act_end(ctx, act(ctx, P("%%{init: {:%s, 0, []}}", kinds[i])));
    }
}

TEST(GT_003_bad_returns_of_init) {
    static const char *const bad[] = { "{:ok, 1}", "{:producer, 1, :hibernate}",
                                       "{:producer, 1, [], :hibernate}" };
    for (int i = 0; i < 3; i++)
        start_is(ctx, P("%%{init: %s}", bad[i]), P("{:error, {:bad_return_value, %s}}", bad[i]));
}

TEST(GT_004_bad_options_of_init) {
    static const char *const cases[][2] = {
        { "{:producer, 0, [buffer_size: 1.5]}",
          "expected :buffer_size to be an integer, got: 1.5" },
        { "{:producer, 0, [buffer_size: -1]}",
          "expected :buffer_size to be equal to or greater than 0, got: -1" },
        { "{:producer, 0, [buffer_keep: :middle]}",
          "expected :buffer_keep to be one of [:first, :last], got: :middle" },
        { "{:producer, 0, [demand: :none]}",
          "expected :demand to be one of [:accumulate, :forward], got: :none" },
        { "{:producer, 0, [dispatcher: 0]}",
          "expected :dispatcher to be an atom or a {atom, list}, got: 0" },
        { "{:consumer, 0, [subscribe_to: :a]}", "expected :subscribe_to to be a list, got: :a" },
        { "{:producer, 0, [unknown: :value]}", "unknown options [unknown: :value]" },
        { "{:producer, 0, [subscribe_to: []]}", "unknown options [subscribe_to: []]" },
        { "{:producer_consumer, 0, [demand: :forward]}", "unknown options [demand: :forward]" },
        { "{:consumer, 0, [buffer_size: 1]}", "unknown options [buffer_size: 1]" },
        { "{:producer, 0, [x: 1, demand: :none, buffer_keep: :y]}",
          "expected :buffer_keep to be one of [:first, :last], got: :y" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        start_is(ctx, P("%%{init: %s}", cases[i][0]),
                 P("{:error, {:bad_opts, \"%s\"}}", cases[i][1]));
}

static cop_stage_init consumer_with_a_buffer(cop_ctx *ctx, void *state, cop_term arg) {
    return cop_stage_consumer(.buffer_size = 5);
}

TEST(GT_004_options_as_a_struct_are_checked_by_the_same_rules) {
    static const cop_gen_stage module = { .name = "M", .init = consumer_with_a_buffer };
    cop_started started = cop_gen_stage_start(ctx, &module, COP_NONE, NULL);
    EXPECT_INT(started.is, COP_ERROR);
    EXPECT_TERM(ctx, started.reason, "{:bad_opts, \"unknown options [buffer_size: 5]\"}");
}

TEST(GT_005_a_name_that_is_taken) {
    cop_start_opts named = { .name = cop_a(stage) };
    cop_started first = act_try(ctx, "%{init: {:producer, 0}}", &named);
    cop_started second = act_try(ctx, "%{init: {:producer, 0}}", &named);
    EXPECT_TERM(ctx, second.reason, P("{:already_started, %s}", S(first.pid)));
    act_end(ctx, first.pid);
}

TEST(GT_006_an_unknown_dispatcher) {
    start_is(ctx, "%{init: {:producer, 0, [dispatcher: Nope]}}",
             "{:error, {:undef, [{Nope, :init, [[]], []} | _]}}");
}

TEST(GT_007_terminate_runs_on_stop) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}}");
    cop_gen_stage_stop(ctx, p, cop_a(normal), 0);
    ASSERT_RECEIVE(ctx, "{:s, :terminate, :normal}");
}

TEST(GT_008_stop_exits_with_the_bare_reason) {
    EXPECT_EXIT(ctx, ":noproc") { cop_gen_stage_stop(ctx, cop_a(nobody), cop_a(normal), 0); }
    cop_pid p = act(ctx, "%{init: {:consumer, 0}}");
    cop_gen_stage_cast(ctx, p, T(ctx, "{:sleep, 1000}"));
    EXPECT_EXIT(ctx, ":timeout") { cop_gen_stage_stop(ctx, p, cop_a(normal), 20); }
    act_end(ctx, p);
    cop_gen_stage_stop(ctx, act(ctx, "%{init: {:consumer, 0}}"), cop_a(bad), 0);
    ASSERT_RECEIVE(ctx, "{:s, :terminate, :bad}");
}

/* The last element of get_status. */
static cop_term rows(cop_ctx *ctx, cop_pid stage) {
    cop_term status = cop_sys_get_status(ctx, stage, 0), misc;
    misc = cop_elem(status, 3);
    for (cop_term l = misc, element; cop_get_cons(l, &element, &l);)
        misc = element;
    return cop_elem(cop_head(cop_tail(cop_tail(misc))), 1);
}

TEST(GT_009_get_status_shows_the_rows_of_the_kind) {
    cop_pid p = act(ctx, "%{init: {:producer, 7, [buffer_size: 3]}}");
    cop_pid c = act(ctx, "%{init: {:consumer, 8}, id: :c}");
    subscribe(ctx, c, p, "[]");
    EXPECT_TERM(ctx, rows(ctx, p),
                P("[{'State', 7}, {'Stage', :producer}, {'Dispatcher', GenStage.DemandDispatcher}, "
                  "{'Consumers', [%s]}, {'Buffer size', 0}]",
                  S(c)));
    EXPECT_TERM(ctx, rows(ctx, c),
                P("[{'State', 8}, {'Stage', :consumer}, {'Producers', [%s]}]", S(p)));
    cop_pid pc = act(ctx, "%{init: {:producer_consumer, 9}}");
    EXPECT_TERM(ctx, rows(ctx, pc),
                "[{'State', 9}, {'Stage', :producer_consumer}, {'Dispatcher', "
                "GenStage.DemandDispatcher}, {'Producers', []}, {'Consumers', []}, "
                "{'Buffer size', 0}]");
    EXPECT_TERM(
        ctx, cop_sys_get_state(ctx, p, 0),
        P("%%{__struct__: GenStage, mod: Act, state: 7, type: :producer, buffer: {{[], []}, "
          "0, 3}, buffer_keep: :last, events: :forward, producers: %%{}, dispatcher_mod: "
          "GenStage.DemandDispatcher}"));
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, c, 0),
                "%{type: :consumer, buffer: nil, dispatcher_mod: nil, dispatcher_state: nil}");
    act_end(ctx, c);
    act_end(ctx, p);
    act_end(ctx, pc);
}

TEST(the_process_is_a_stage_to_who_looks_at_it) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}}");
    EXPECT_TERM(ctx, cop_proc_lib_initial_call(ctx, p), "{GenStage, :init, [_]}");
    act_end(ctx, p);
}

static cop_term eight(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_map_put(ctx, a[0], cop_a(state).t, COP_INT(8));
}

TEST(replace_state_replaces_the_modules_state) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}}");
    cop_sys_replace_state(ctx, p, cop_fun(ctx, eight, 1, COP_NIL), 0);
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "%{state: 8, type: :producer}");
    act_end(ctx, p);
}

/* ---- the arithmetic of demand ------------------------------------------------------------------------------- */

TEST(GT_010_a_counter_and_a_consumer_with_defaults) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, demand: :count, tell: []}");
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: [:events]}");
    subscribe(ctx, c, p, "[]");
    batch(ctx, "s", 0, 500, 1);
    batch(ctx, "s", 500, 500, 1);
    act_end(ctx, c);
    act_end(ctx, p);
}

static void batches(cop_ctx *ctx, const char *opts, const int (*expected)[2], int n) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, demand: :count, tell: []}");
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: [:events]}");
    subscribe(ctx, c, p, opts);
    for (int i = 0; i < n; i++)
        batch(ctx, "s", expected[i][0], expected[i][1], 1);
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_011_a_small_difference_of_max_and_min) {
    int expected[52][2];
    for (int i = 0; i < 52; i++)
        expected[i][0] = 20 * i, expected[i][1] = 20;
    batches(ctx, "[max_demand: 100, min_demand: 80]", (const int(*)[2])expected, 52);
}

TEST(GT_012_a_large_difference_of_max_and_min) {
    static const int expected[][2] = {
        { 0, 80 }, { 80, 20 }, { 100, 80 }, { 180, 80 }, { 260, 20 }
    };
    batches(ctx, "[max_demand: 100, min_demand: 20]", expected, 5);
}

TEST(GT_013_one_at_a_time) {
    static const int expected[][2] = { { 0, 1 }, { 1, 1 }, { 2, 1 } };
    batches(ctx, "[max_demand: 1, min_demand: 0]", expected, 3);
}

/*
 * A consumer that this test feeds by hand, as its producer. `steps` is what must happen then, in words: a
 * number with a dot is a message of so many events to send; a plain one a batch of handle_events; with a ?
 * an ask of the consumer.
 */
struct fed {
    cop_pid consumer;
    cop_term tag;
    int next, seen;
};

static struct fed fed(cop_ctx *ctx, const char *script, const char *opts) {
    struct fed f = { .consumer = act(ctx, script) };
    f.tag = subscribe(ctx, f.consumer, cop_self(ctx), opts);
    ASSERT_RECEIVE(ctx, "{:\"$gen_producer\", {_, _}, {:subscribe, nil, _}}");
    return f;
}

static void feed(cop_ctx *ctx, struct fed *f, int n) {
    cop_events events;
    cop_term *at = cop_events_new(ctx, (size_t)n, &events);
    for (int i = 0; i < n; i++)
        at[i] = COP_INT(f->next++);
    cop_term from = cop_tuple(ctx, cop_self(ctx), f->tag);
    cop_send(ctx, f->consumer,
             cop_tuple(ctx, cop_as("$gen_consumer"), from, cop_events_to_list(ctx, events)));
}

/* The consumer's next ask, or batch, is that; they come from one process, so the order counts. */
static void then(cop_ctx *ctx, struct fed *f, int batch_size, int ask) {
    cop_term message, list, from;
    int64_t n = 0;
    EXPECT(cop_receive(ctx, 5000, &message));
    if (ask > 0) {
        EXPECT(cop_match_tuple(message, cop_as("$gen_producer"), &from, &list)
               && cop_match_tuple(list, cop_a(ask), &n));
        EXPECT_INT(n, ask);
        return;
    }
    EXPECT(cop_match_tuple(message, cop_a(s), cop_a(events), &list));
    EXPECT_INT(cop_list_length(list), batch_size);
    if (batch_size > 0)
        EXPECT(cop_match(cop_head(list), f->seen));
    f->seen += batch_size;
}

static void steps(cop_ctx *ctx, struct fed *f, const char *what) {
    for (char *end; *what != '\0'; what = *end == ' ' ? end + 1 : end) {
        int n = (int)strtol(what, &end, 10);
        if (*end == '.')
            feed(ctx, f, n), end++;
        else if (*end == '?')
            then(ctx, f, 0, n), end++;
        else
            then(ctx, f, n, 0);
    }
    settle(ctx, f->consumer);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void trace(cop_ctx *ctx, const char *opts, const char *what, int open_after) {
    struct fed f = fed(ctx, "%{init: {:consumer, 0}, tell: [:events]}", opts);
    steps(ctx, &f, what);
    cop_term state = cop_sys_get_state(ctx, f.consumer, 0), producers, entry, demand;
    int64_t open = 0;
    cop_map_get(state, cop_a(producers).t, &producers);
    EXPECT(cop_map_get(producers, f.tag, &entry));
    demand = cop_elem(entry, 2);
    EXPECT(cop_get_i64(cop_elem(demand, 0), &open));
    EXPECT_INT(open, open_after);
    act_end(ctx, f.consumer);
}

TEST(GT_014_1000_500) { trace(ctx, "[]", "1000? 1000. 500 500? 500 500?", 1000); }
TEST(GT_015_1000_750_adds_up_small_messages) {
    trace(ctx, "[min_demand: 750]", "1000? 100. 100 100. 100 100. 100 300?", 1000);
}
TEST(GT_016_100_20) {
    trace(ctx, "[max_demand: 100, min_demand: 20]", "100? 100. 80 80? 20", 80);
    trace(ctx, "[max_demand: 100, min_demand: 20]", "100? 100. 80 80? 20 80. 80 100?", 100);
}
TEST(GT_017_10_9) { trace(ctx, "[max_demand: 10, min_demand: 9]", "10? 2. 1 1? 1 1?", 10); }
TEST(GT_018_10_0) {
    trace(ctx, "[max_demand: 10, min_demand: 0]", "10? 10. 10 10?", 10);
    trace(ctx, "[max_demand: 10, min_demand: 0]", "10? 10. 10 10? 1. 1", 9);
}
TEST(GT_019_10_5) { trace(ctx, "[max_demand: 10, min_demand: 5]", "10? 3. 3 3. 3 6? 3. 3", 7); }
TEST(GT_020_7_3) { trace(ctx, "[max_demand: 7]", "7? 7. 4 4? 3", 4); }
TEST(GT_021_1_0) { trace(ctx, "[max_demand: 1]", "1? 1. 1 1?", 1); }

/* Logs of excess go to the test, between the batches; they are taken out before the steps are looked at. */
static void excess(cop_ctx *ctx, const char *opts, int n, const char *logs, const char *what,
                   int open_after) {
    struct fed f = fed(ctx, "%{init: {:consumer, 0}, tell: [:events]}", opts);
    steps(ctx, &f, P("%s?", strstr(opts, "10") != NULL ? "10" : "1"));
    test_capture_log(ctx);
    feed(ctx, &f, n);
    settle(ctx, f.consumer);
    for (char *end; *logs != '\0'; logs = end) {
        cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, _}, _}");
        cop_term args = cop_elem(cop_elem(log, 2), 2);
        EXPECT_SAME(ctx, cop_elem(cop_elem(log, 2), 1),
                    cop_charlist(ctx, "GenStage consumer ~tp has received ~tp events in excess "
                                      "from: ~tp"));
        EXPECT_TERM(
            ctx, args,
            P("[%s, %ld, {%s, _}]", S(f.consumer), strtol(logs, &end, 10), S(cop_self(ctx))));
    }
    REFUTE_RECEIVE(ctx, "{:log, _, _, _}", 0);
    steps(ctx, &f, what);
    cop_term demand = cop_sys_get_state(ctx, f.consumer, 0), producers, entry;
    cop_map_get(demand, cop_a(producers).t, &producers);
    EXPECT(cop_map_get(producers, f.tag, &entry));
    EXPECT(cop_match(cop_elem(cop_elem(entry, 2), 0), open_after));
    act_end(ctx, f.consumer);
}

TEST(GT_022_an_excess_of_2) { excess(ctx, "[max_demand: 10]", 12, "2", "5 5? 5 5? 2", 10); }
TEST(GT_023_an_excess_of_15_in_several_chunks) {
    excess(ctx, "[max_demand: 10, min_demand: 3]", 25, "4 7 4", "7 7? 7 7 4", 7);
}

TEST(GT_024_subscribe_then_handle_subscribe_then_ask) {
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: [:subscribe]}");
    subscribe(ctx, c, cop_self(ctx), "[max_demand: 7, x: 1]");
    cop_term all = test_flush(ctx);
    EXPECT_TERM(ctx, all,
                P("[{:\"$gen_producer\", {%s, _}, {:subscribe, nil, [max_demand: 7, x: 1]}}, "
                  "{:s, :subscribe, :producer, [max_demand: 7, x: 1], {%s, _}}, "
                  "{:\"$gen_producer\", {%s, _}, {:ask, 7}}]",
                  S(c), S(cop_self(ctx)), S(c)));
    act_end(ctx, c);
}

TEST(GT_025_an_empty_list) {
    struct fed f = fed(ctx, "%{init: {:consumer, 0}, tell: [:events]}", "[]");
    steps(ctx, &f, "1000? 0.");
    act_end(ctx, f.consumer);
    f = fed(ctx, "%{init: {:consumer, 0}, subscribe: :manual, tell: [:events]}", "[]");
    steps(ctx, &f, "0. 0");
    act_end(ctx, f.consumer);
}

TEST(GT_026_a_manual_consumer_takes_all_as_one_batch) {
    struct fed f = fed(ctx, "%{init: {:consumer, 0}, subscribe: :manual, tell: [:events]}",
                       "[max_demand: 10]");
    test_capture_log(ctx);
    steps(ctx, &f, "30. 30");
    act_end(ctx, f.consumer);
}

TEST(GT_027_four_batches_each_followed_by_an_ask) {
    trace(ctx, "[max_demand: 1000, min_demand: 750]",
          "1000? 1000. 250 250? 250 250? 250 250? 250 250?", 1000);
}

TEST(GT_028_a_stop_in_the_second_chunk) {
    struct fed f = fed(ctx, "%{init: {:consumer, 0}, events: {:stop_at, 7}, tell: [:events]}",
                       "[max_demand: 10]");
    cop_ref ref = cop_process_monitor(ctx, f.consumer);
    f.next = f.seen = 1;
    feed(ctx, &f, 10);
    then(ctx, &f, 0, 10);
    then(ctx, &f, 5, 0);
    then(ctx, &f, 0, 5);
    then(ctx, &f, 5, 0);
    ASSERT_RECEIVE(ctx, P("{:DOWN, %s, _, _, :stop_at}", S(ref)));
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(GT_029_a_bad_return_of_handle_events) {
    struct fed f = fed(ctx, "%{init: {:consumer, 0}, events: {:return, :bad}}", "[]");
    cop_ref ref = cop_process_monitor(ctx, f.consumer);
    feed(ctx, &f, 1);
    ASSERT_RECEIVE(ctx, "{:s, :terminate, {:bad_return_value, :bad}}");
    ASSERT_RECEIVE(ctx, P("{:DOWN, %s, _, _, {:bad_return_value, :bad}}", S(ref)));
}

/* ---- wrong messages --------------------------------------------------------------------------------------------- */

TEST(GT_120_a_subscription_twice) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, demand: :count, tell: []}");
    cop_term tag = cop_make_ref(ctx).t;
    to_producer(ctx, p, tag, "{:subscribe, nil, []}");
    settle(ctx, p);
    test_capture_log(ctx);
    to_producer(ctx, p, tag, "{:subscribe, nil, []}");
    ASSERT_RECEIVE(ctx, P("{:\"$gen_consumer\", {%s, %s}, {:cancel, :duplicated_subscription}}",
                          S(p), S(tag)));
    cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, _}, _}");
    EXPECT_SAME(
        ctx, cop_elem(cop_elem(log, 2), 1),
        cop_charlist(ctx, "GenStage producer ~tp received duplicated subscription from: ~tp"));
    to_producer(ctx, p, tag, "{:ask, 1}");
    ASSERT_RECEIVE(ctx, P("{:\"$gen_consumer\", {_, %s}, [0]}", S(tag)));
    act_end(ctx, p);
}

TEST(GT_121_an_ask_without_a_subscription) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}}");
    for (int n = 0; n < 2; n++) {
        to_producer(ctx, p, T(ctx, ":tag"), P("{:ask, %d}", n));
        ASSERT_RECEIVE(
            ctx, P("{:\"$gen_consumer\", {%s, :tag}, {:cancel, :unknown_subscription}}", S(p)));
    }
    act_end(ctx, p);
}

TEST(GT_122_a_cancel_without_a_subscription) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}}");
    to_producer(ctx, p, T(ctx, ":tag"), "{:cancel, :oops}");
    settle(ctx, p);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    act_end(ctx, p);
}

TEST(GT_123_events_without_a_subscription) {
    static const char *const kinds[] = { "consumer", "producer_consumer" };
    for (int i = 0; i < 2; i++) {
        cop_pid c = act(ctx, P("%%{init: {:%s, 0}}", kinds[i]));
        to_consumer(ctx, c, T(ctx, ":tag"), "[1]");
        ASSERT_RECEIVE(
            ctx, P("{:\"$gen_producer\", {%s, :tag}, {:cancel, :unknown_subscription}}", S(c)));
        settle(ctx, c);
        EXPECT_TERM(ctx, test_flush(ctx), "[]");
        act_end(ctx, c);
    }
}

TEST(GT_124_messages_of_the_other_side) {
    test_capture_log(ctx);
    cop_pid p = act(ctx, "%{init: {:producer, 0}}"), c = act(ctx, "%{init: {:consumer, 0}}");
    to_consumer(ctx, p, T(ctx, ":tag"), "[1]");
    cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, _}, _}");
    EXPECT_SAME(ctx, cop_elem(cop_elem(log, 2), 1),
                cop_charlist(ctx, "GenStage producer ~tp received $gen_consumer message: ~tp"));
    to_producer(ctx, c, T(ctx, ":tag"), "{:ask, 1}");
    log = ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, _}, _}");
    EXPECT_SAME(ctx, cop_elem(cop_elem(log, 2), 1),
                cop_charlist(ctx, "GenStage consumer ~tp received $gen_producer message: ~tp"));
    settle(ctx, p);
    settle(ctx, c);
    act_end(ctx, p);
    act_end(ctx, c);
}

TEST(GT_125_other_shapes_go_to_handle_info) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}}"),
            c = act(ctx, "%{init: {:consumer, 0}, id: :c}");
    to_producer(ctx, p, T(ctx, ":t"), "{:zzz, 1}");
    ASSERT_RECEIVE(ctx, "{:s, :info, {:\"$gen_producer\", {_, :t}, {:zzz, 1}}}");
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, :many}");
    ASSERT_RECEIVE(ctx, "{:s, :info, {:\"$gen_producer\", {_, :t}, {:ask, :many}}}");
    to_consumer(ctx, c, T(ctx, ":t"), ":what");
    ASSERT_RECEIVE(ctx, "{:c, :info, {:\"$gen_consumer\", {_, :t}, :what}}");
    act_end(ctx, p);
    act_end(ctx, c);
}

TEST(a_negative_demand_is_refused) { /* GenStage subtracts it */
    cop_pid p = act(ctx, "%{init: {:producer, 0}, demand: :count, tell: []}");
    to_producer(ctx, p, T(ctx, ":t"), "{:subscribe, nil, []}");
    settle(ctx, p);
    test_capture_log(ctx);
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, -1}");
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 100000000000000000000000}");
    ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [_, {_, :t}, -1]}, _}");
    ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [_, {_, :t}, _]}, _}");
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 1}");
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", {_, :t}, [0]}");
    act_end(ctx, p);
}

TEST(tags_may_be_any_terms) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, demand: :count, tell: []}");
    static const char *const tags[] = { "{1, [:a]}", "\"a text\"", "1.5", "%{a: 1}" };
    for (int i = 0; i < 4; i++) {
        to_producer(ctx, p, T(ctx, tags[i]), "{:subscribe, nil, []}");
        to_producer(ctx, p, T(ctx, tags[i]), "{:ask, 1}");
        ASSERT_RECEIVE(ctx, P("{:\"$gen_consumer\", {_, %s}, [%d]}", tags[i], i));
    }
    to_producer(ctx, p, T(ctx, tags[1]), "{:cancel, :done}");
    ASSERT_RECEIVE(ctx, P("{:\"$gen_consumer\", {_, %s}, {:cancel, :done}}", tags[1]));
    to_producer(ctx, p, T(ctx, tags[1]), "{:ask, 1}");
    ASSERT_RECEIVE(ctx, P("{:\"$gen_consumer\", {_, %s}, {:cancel, _}}", tags[1]));
    act_end(ctx, p);
}
