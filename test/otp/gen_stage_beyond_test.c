/* SPDX-License-Identifier: Apache-2.0 */
/* GenStage, beyond Elixir: draining, the rate limiter, counters, stalls. Nothing of it was observed elsewhere. */
#include "gen_stage_help.h"

/* ---- draining ---------------------------------------------------------------------------------------------- */

static void drainer(cop_ctx *ctx, cop_term arg) {
    int64_t ms = 0;
    cop_get_i64(cop_elem(arg, 1), &ms);
    cop_drained d = cop_gen_stage_drain(ctx, cop_elem(arg, 0), ms);
    cop_send(ctx, cop_elem(arg, 2),
             cop_tuple(ctx, cop_a(drained), cop_bool(d.all), d.undelivered, d.unhandled));
}

/* Drains in another process, which tells {:drained, all, undelivered, unhandled}. */
static void drain(cop_ctx *ctx, cop_pid stage, int64_t ms) {
    cop_spawn(ctx, drainer, cop_tuple(ctx, stage, ms, cop_self(ctx)));
    /* Until it has begun: whom to answer stands in the stage's dictionary then. */
    cop_term item = T(ctx, "{:dictionary, :\"$drain\"}");
    while (!cop_is_tuple(cop_process_info(ctx, stage, item)))
        cop_yield(ctx);
}

static cop_pid asked(cop_ctx *ctx, const char *script, const char *tag, int n) {
    cop_pid p = act(ctx, script);
    to_producer(ctx, p, T(ctx, tag), "{:subscribe, nil, []}");
    if (n > 0)
        to_producer(ctx, p, T(ctx, tag), P("{:ask, %d}", n));
    settle(ctx, p);
    return p;
}

TEST(a_stage_with_nothing_to_deliver_is_drained_at_once) {
    static const char *const kinds[] = { "producer", "consumer", "producer_consumer" };
    for (int i = 0; i < 3; i++) {
        cop_pid p = act(ctx, P("%%{init: {:%s, 0}}", kinds[i]));
        cop_drained d = cop_gen_stage_drain(ctx, p, 0);
        EXPECT(d.all);
        ASSERT_RECEIVE(ctx, "{:s, :terminate, :normal}");
    }
}

TEST(a_drained_producer_delivers_its_buffer_and_makes_no_more) {
    cop_pid p = asked(ctx, "%{init: {:producer, 0}, demand: :count, tell: [:demand]}", ":t", 0);
    emit(ctx, p, "[1, 2, 3]");
    drain(ctx, p, 5000);
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 2}");
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [1, 2]}");
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 10}");
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [3]}");
    ASSERT_RECEIVE(ctx, "{:drained, true, [], []}");
    REFUTE_RECEIVE(ctx, "{:s, :demand, _}", 0);
}

TEST(a_drain_that_takes_too_long_tells_what_is_left) {
    cop_pid p = asked(ctx, "%{init: {:producer, 0}, tell: []}", ":t", 0);
    cop_ref ref = cop_process_monitor(ctx, p);
    emit(ctx, p, "[1, 2, 3]");
    drain(ctx, p, 50);
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 1}");
    ASSERT_RECEIVE(ctx, "{:drained, false, [2, 3], []}");
    ended(ctx, ref, ":normal");
}

TEST(a_drained_stage_takes_no_new_subscriptions) {
    cop_pid p = asked(ctx, "%{init: {:producer, 0}, tell: []}", ":t", 0);
    emit(ctx, p, "[1]");
    drain(ctx, p, 5000);
    to_producer(ctx, p, T(ctx, ":u"), "{:subscribe, nil, []}");
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", {_, :u}, {:cancel, {:shutdown, :drains}}}");
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 1}");
    ASSERT_RECEIVE(ctx, "{:drained, true, [], []}");
}

TEST(a_drained_producer_consumer_handles_what_is_on_its_way) {
    cop_pid pc = asked(ctx, "%{init: {:producer_consumer, 0}, events: :pass, tell: []}", ":t", 0);
    cop_term up = subscribe(ctx, pc, cop_self(ctx), "[max_demand: 4]");
    to_consumer(ctx, pc, up, "[1, 2]");
    drain(ctx, pc, 5000);
    ASSERT_RECEIVE(ctx, "{:\"$gen_producer\", _, {:cancel, {:shutdown, :drains}}}");
    to_consumer(ctx, pc, up, "[3]"); /* sent before the producer has seen the cancel */
    to_consumer(ctx, pc, up, "{:cancel, {:shutdown, :drains}}");
    to_producer(ctx, pc, T(ctx, ":t"), "{:ask, 10}");
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", {_, :t}, [1, 2]}");
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", {_, :t}, [3]}");
    ASSERT_RECEIVE(ctx, "{:drained, true, [], []}");
}

TEST(what_a_producer_consumer_has_not_handled_is_told) {
    cop_pid pc = asked(ctx, "%{init: {:producer_consumer, 0}, events: :triple, tell: []}", ":t", 1);
    cop_term up = subscribe(ctx, pc, cop_self(ctx), "[]");
    to_consumer(ctx, pc, up, "[1]");
    to_consumer(ctx, pc, up, "[2, 3]");
    settle(ctx, pc);
    drain(ctx, pc, 50);
    ASSERT_RECEIVE(ctx, "{:drained, false, [1, 1], [2, 3]}");
}

TEST(events_in_a_partition_are_waited_for) {
    cop_pid p = act(ctx, "%{init: {:producer, 0, [dispatcher: {GenStage.PartitionDispatcher, "
                         "[partitions: 1]}]}, tell: []}");
    to_producer(ctx, p, T(ctx, ":t"), "{:subscribe, nil, [partition: 0]}");
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 1}");
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 2}");
    settle(ctx, p);
    emit(ctx, p, "[1, 2, 3, 4]");
    drain(ctx, p, 5000);
    REFUTE_RECEIVE(ctx, "{:drained, _, _, _}", 10);
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 1}");
    ASSERT_RECEIVE(ctx, "{:drained, true, [], []}");
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [1, 2, 3]}");
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [4]}");
}

TEST(a_pipeline_is_drained_from_the_top_without_a_loss) {
    enum { COUNT = 500 };
    cop_term list = cop_enum_to_list(ctx, cop_range(ctx, 1, COUNT, 1));
    cop_pid a = act(ctx, "%{init: {:producer, 0}, tell: []}");
    cop_pid b = act(ctx, "%{init: {:producer_consumer, 0}, events: :pass, tell: []}");
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:events]}");
    cop_gen_stage_call(ctx, a, cop_tuple(ctx, cop_a(emit), list), 0);
    subscribe(ctx, c, b, "[max_demand: 7, cancel: :transient]");
    subscribe(ctx, b, a, "[max_demand: 10, cancel: :transient]");
    EXPECT(cop_gen_stage_drain(ctx, a, 0).all);
    EXPECT(cop_gen_stage_drain(ctx, b, 0).all);
    EXPECT(cop_gen_stage_drain(ctx, c, 0).all);
    int64_t next = 1;
    for (cop_term all = test_flush(ctx), m, e; cop_get_cons(all, &m, &all);)
        for (cop_term events = cop_elem(m, 2); cop_get_cons(events, &e, &events); next++)
            EXPECT(cop_match(e, next));
    EXPECT_INT(next, COUNT + 1);
}

/* ---- the rate limiter ----------------------------------------------------------------------------------------- */

static cop_pid limiter(cop_ctx *ctx, int64_t events, int64_t interval_ms, const char *producers) {
    cop_rate_limiter_opts opts = { .events = events,
                                   .interval_ms = interval_ms,
                                   .no_link = true,
                                   .subscribe_to = T(ctx, producers) };
    cop_started s = cop_gen_stage_rate_limiter(ctx, &opts);
    EXPECT_INT(s.is, COP_STARTED);
    return s.pid;
}

TEST(a_limiter_lets_so_many_through_in_an_interval) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, demand: :count, tell: []}");
    cop_pid l = limiter(ctx, 10, 100, P("[%s]", S(p)));
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:events]}");
    int64_t start = cop_monotonic_ms(ctx);
    subscribe(ctx, c, l, "[]");
    for (int i = 0; i < 4; i++)
        batch(ctx, "c", 10 * i, 10, 1);
    EXPECT(cop_monotonic_ms(ctx) - start >= 250);
    act_end(ctx, c);
    act_end(ctx, l);
    act_end(ctx, p);
}

TEST(a_limiter_shares_out_among_its_producers) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, id: :p, demand: :count, tell: [:demand]}");
    cop_pid q = act(ctx, "%{init: {:producer, 0}, id: :q, demand: :count, tell: [:demand]}");
    cop_pid l = limiter(ctx, 7, 50, P("[%s, %s]", S(p), S(q)));
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: []}");
    ASSERT_RECEIVE(ctx, "{:p, :demand, 7}"); /* the first interval is of the first */
    subscribe(ctx, c, l, "[]");
    int64_t n = 0, sum;
    cop_term from_p = cop_elem(ASSERT_RECEIVE(ctx, "{:p, :demand, _}"), 2);
    cop_term from_q = cop_elem(ASSERT_RECEIVE(ctx, "{:q, :demand, _}"), 2);
    EXPECT(cop_get_i64(from_p, &n) && cop_get_i64(from_q, &sum));
    EXPECT_INT(n + sum, 7);
    EXPECT(n >= 3 && sum >= 3);
    act_end(ctx, c);
    act_end(ctx, l);
    act_end(ctx, p);
    act_end(ctx, q);
}

TEST(a_limiter_without_demand_asks_for_no_more_than_one_interval) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, id: :p, demand: :count, tell: [:demand]}");
    cop_pid l = limiter(ctx, 5, 10, P("[%s]", S(p)));
    ASSERT_RECEIVE(ctx, "{:p, :demand, 5}");
    REFUTE_RECEIVE(ctx, "{:p, :demand, _}", 50);
    act_end(ctx, l);
    act_end(ctx, p);
}

TEST(bad_options_of_a_limiter) {
    cop_started s = cop_gen_stage_rate_limiter(ctx, &(cop_rate_limiter_opts){ .events = 1 });
    EXPECT_INT(s.is, COP_ERROR);
    EXPECT_TERM(ctx, s.reason, "{:bad_opts, _}");
}

/* ---- counters --------------------------------------------------------------------------------------------------- */

TEST(what_stages_count) {
    cop_pid p =
        asked(ctx, "%{init: {:producer, 0, [buffer_size: 3]}, discard: false, tell: []}", ":t", 2);
    emit(ctx, p, "[1, 2, 3, 4, 5, 6]");
    EXPECT_TERM(ctx, cop_gen_stage_counters(ctx, p, 0),
                P("%%{kind: :producer, dispatched: 2, buffered: 3, dropped: 1, producers: [], "
                  "consumers: [%%{pid: %s, tag: :t, asked: 2}]}",
                  S(cop_self(ctx))));
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: []}");
    cop_term tag = subscribe(ctx, c, cop_self(ctx), "[max_demand: 10, cancel: :transient]");
    to_consumer(ctx, c, tag, "[1, 2, 3]");
    to_consumer(ctx, c, tag, "[4]");
    EXPECT_TERM(ctx, cop_gen_stage_counters(ctx, c, 0),
                P("%%{kind: :consumer, consumers: [], producers: [%%{pid: %s, tag: %s, cancel: "
                  ":transient, events: 4, batches: 2, open: 6, min_demand: 5, max_demand: 10}]}",
                  S(cop_self(ctx)), S(tag)));
    cop_pid pc = asked(ctx, "%{init: {:producer_consumer, 0}, events: :pass, tell: []}", ":t", 1);
    tag = subscribe(ctx, pc, cop_self(ctx), "[]");
    to_consumer(ctx, pc, tag, "[1, 2]");
    to_consumer(ctx, pc, tag, "[3]");
    EXPECT_TERM(ctx, cop_gen_stage_counters(ctx, pc, 0),
                "%{kind: :producer_consumer, dispatched: 1, buffered: 1, dropped: 0, demand: 0, "
                "waiting: 1}");
    act_end(ctx, pc);
    act_end(ctx, c);
    act_end(ctx, p);
}

/* ---- stalls ------------------------------------------------------------------------------------------------------- */

static cop_stage_init watched_init(cop_ctx *ctx, void *state, cop_term arg) {
    return cop_stage_producer(.stall_ms = 50);
}

static cop_stage_next watched_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    cop_events events = cop_no_events();
    cop_events_from_list(ctx, cop_elem(request, 1), &events);
    return cop_stage_reply(ctx, request, events);
}

static cop_stage_next watched_demand(cop_ctx *ctx, void *state, int64_t demand) {
    return cop_stage_noreply();
}

static const cop_gen_stage watched = { .name = "Watched",
                                       .init = watched_init,
                                       .handle_call = watched_call,
                                       .handle_demand = watched_demand };

#define STALLED                                                                               \
    "GenStage ~tp ~tp is stalled: for ~tp ms none of ~tp events and ~tp lists that wait has " \
    "moved; its consumers are ~tp"

TEST(a_stalled_stage_says_so_once) {
    cop_pid p = cop_gen_stage_start(ctx, &watched, COP_NONE, NULL).pid;
    test_capture_log(ctx);
    to_producer(ctx, p, T(ctx, ":t"), "{:subscribe, nil, []}");
    emit(ctx, p, "[1, 2, 3]");
    log_is(ctx, "warning", STALLED, P("[:producer, %s, 50, 3, 0, [%s]]", S(p), S(cop_self(ctx))));
    emit(ctx, p, "[4]");
    REFUTE_RECEIVE(ctx, "{:log, _, _, _}", 150);
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 1}");
    log_is(ctx, "warning", STALLED, P("[:producer, %s, 50, 3, 0, [_]]", S(p)));
    for (int i = 0; i < 3; i++)
        to_producer(ctx, p, T(ctx, ":t"), "{:ask, 1}");
    REFUTE_RECEIVE(ctx, "{:log, _, _, _}", 150);
    act_end(ctx, p);
}

TEST(a_stage_whose_events_move_is_not_stalled) {
    cop_pid p = cop_gen_stage_start(ctx, &watched, COP_NONE, NULL).pid;
    test_capture_log(ctx);
    to_producer(ctx, p, T(ctx, ":t"), "{:subscribe, nil, []}");
    emit(ctx, p, "[1, 2, 3, 4]");
    for (int i = 0; i < 4; i++) {
        cop_process_sleep(ctx, 30);
        to_producer(ctx, p, T(ctx, ":t"), "{:ask, 1}");
    }
    settle(ctx, p);
    REFUTE_RECEIVE(ctx, "{:log, _, _, _}", 100);
    act_end(ctx, p);
}
