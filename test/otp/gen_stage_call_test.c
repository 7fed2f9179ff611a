/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage: manual demand, calls, and two stages with state of their own. What is expected was observed with
 * gen_stage 1.3.2.
 */
#include "gen_stage_help.h"

#define COUNTER \
    "%{init: {:producer, 0}, demand: :count, id: :p, tell: [:demand, :subscribe, :cancel]}"

/* ---- manual demand ------------------------------------------------------------------------------------------------- */

TEST(GT_105_manual_demand) {
    cop_pid p = act(ctx, COUNTER);
    cop_pid consumers[2] = {
        act(ctx,
            "%{init: {:consumer, 0}, id: :c, subscribe: :manual, tell: [:events, :subscribe]}"),
        act(ctx,
            P("%%{init: {:consumer, 0, [subscribe_to: [%s]]}, id: :c, subscribe: :manual, tell: "
              "[:events, :subscribe]}",
              S(p))),
    };
    cop_gen_stage_async_subscribe(ctx, consumers[0], p, NULL);
    for (int i = 0; i < 2; i++) {
        cop_term from = cop_elem(ASSERT_RECEIVE(ctx, "{:c, :subscribe, :producer, _, _}"), 4);
        /* The producer knows the consumer by the pid of the last ask, which is ours: so the events come here. */
        for (int n = 0; n < 2; n++) {
            EXPECT_TERM(ctx, cop_gen_stage_ask(ctx, from, 50, 0), ":ok");
            cop_term events = cop_elem(ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [_ | _]}"), 2);
            EXPECT_TERM(ctx, events, P("[%s]", numbers(100 * i + 50 * n, 50, 1)));
        }
        REFUTE_RECEIVE(ctx, "{:c, :events, _}", 0);
    }
    for (int i = 0; i < 2; i++)
        act_end(ctx, consumers[i]);
    act_end(ctx, p);
}

/* RateLimiter: at most max_demand events each interval. State: %{from => {pending, interval}}. */
struct limiter {
    cop_term producers, watcher;
};

static cop_stage_init limiter_init(cop_ctx *ctx, void *state, cop_term watcher) {
    struct limiter *self = state;
    self->producers = cop_map(ctx);
    self->watcher = watcher;
    return cop_stage_consumer(0);
}

static void ask_and_schedule(cop_ctx *ctx, struct limiter *self, cop_term from) {
    cop_term entry;
    int64_t pending, interval;
    if (!cop_map_get(self->producers, from, &entry) || !cop_match_tuple(entry, &pending, &interval))
        return;
    EXPECT_TERM(ctx, cop_gen_stage_ask(ctx, from, pending, 0), ":ok");
    cop_process_send_after(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(ask), from), interval);
    self->producers = cop_map_put(ctx, self->producers, from, cop_tuple(ctx, 0, interval));
}

static cop_stage_subscribed limiter_subscribe(cop_ctx *ctx, void *state, cop_stage_kind other,
                                              cop_term opts, cop_from from) {
    struct limiter *self = state;
    int64_t pending = 1000, interval = 5000;
    for (cop_term pair; cop_get_cons(opts, &pair, &opts);)
        if (!cop_match_tuple(pair, cop_a(max_demand), &pending))
            cop_match_tuple(pair, cop_a(interval), &interval);
    self->producers = cop_map_put(ctx, self->producers, from.t, cop_tuple(ctx, pending, interval));
    ask_and_schedule(ctx, self, from.t);
    return cop_stage_manual();
}

static cop_stage_next limiter_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct limiter *self = state;
    self->producers = cop_map_remove(ctx, self->producers, from.t);
    cop_send(ctx, self->watcher, cop_a(cancelled));
    return cop_stage_noreply();
}

static cop_stage_next limiter_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    struct limiter *self = state;
    cop_term entry;
    int64_t pending, interval;
    EXPECT(cop_map_get(self->producers, from.t, &entry)
           && cop_match_tuple(entry, &pending, &interval));
    self->producers = cop_map_put(ctx, self->producers, from.t,
                                  cop_tuple(ctx, pending + (int64_t)events.count, interval));
    cop_send(ctx, self->watcher,
             cop_tuple(ctx, cop_a(r), cop_a(events), cop_events_to_list(ctx, events)));
    return cop_stage_noreply();
}

static cop_stage_next limiter_info(cop_ctx *ctx, void *state, cop_term message) {
    struct limiter *self = state;
    cop_term from;
    EXPECT(cop_match_tuple(message, cop_a(ask), &from));
    cop_send(ctx, self->watcher, cop_a(tick));
    ask_and_schedule(ctx, self, from);
    return cop_stage_noreply();
}

static const cop_gen_stage limiter = {
    .name = "RateLimiter",
    .state_size = sizeof(struct limiter),
    .state_terms = 2,
    .init = limiter_init,
    .handle_subscribe = limiter_subscribe,
    .handle_cancel = limiter_cancel,
    .handle_events = limiter_events,
    .handle_info = limiter_info,
};

TEST(GT_106_the_rate_limiter) {
    cop_pid p = act(ctx, COUNTER);
    cop_pid r = cop_gen_stage_start(ctx, &limiter, cop_self(ctx).t, NULL).pid;
    cop_term tag = subscribe(ctx, r, p, "[max_demand: 10, interval: 100, cancel: :temporary]");
    batch(ctx, "r", 0, 10, 1);
    int64_t start = cop_monotonic_ms(ctx);
    batch(ctx, "r", 10, 10, 1);
    batch(ctx, "r", 20, 10, 1);
    EXPECT(cop_monotonic_ms(ctx) - start >= 150);
    cop_gen_stage_cancel(ctx, cop_tuple(ctx, p, tag), cop_a(enough), 0);
    ASSERT_RECEIVE(ctx, ":cancelled");
    test_flush(ctx);
    ASSERT_RECEIVE(ctx, ":tick");
    settle(ctx, p);
    REFUTE_RECEIVE(ctx, "{:r, :events, _}", 0);
    act_end(ctx, r);
    act_end(ctx, p);
}

TEST(GT_107_what_ask_sends) {
    cop_term from = cop_tuple(ctx, cop_self(ctx), cop_a(tag));
    EXPECT_TERM(ctx, cop_gen_stage_ask(ctx, from, 0, 0), ":ok");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") { cop_gen_stage_ask(ctx, from, -1, 0); }
    EXPECT_TERM(ctx, cop_gen_stage_ask(ctx, from, 3, COP_SEND_NOCONNECT), ":ok");
    EXPECT_TERM(ctx, test_flush(ctx),
                P("[{:\"$gen_producer\", {%s, :tag}, {:ask, 3}}]", S(cop_self(ctx))));
}

/* ---- calls ---------------------------------------------------------------------------------------------------------- */

/* A producer with demand, whose consumer this process is. */
static cop_pid asked(cop_ctx *ctx, const char *script) {
    cop_pid p = act(ctx, script);
    to_producer(ctx, p, T(ctx, ":t"), "{:subscribe, nil, []}");
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 10}");
    settle(ctx, p);
    test_flush(ctx);
    return p;
}

/* Calls by hand, so that the order of the answer and of events can be seen. */
static void call_by_hand(cop_ctx *ctx, cop_pid p, const char *request) {
    cop_term from = cop_tuple(ctx, cop_self(ctx), cop_a(call));
    cop_send(ctx, p, cop_tuple(ctx, cop_as("$gen_call"), from, T(ctx, request)));
    settle(ctx, p);
}

TEST(GT_110_events_come_before_the_reply) {
    cop_pid p = asked(ctx, "%{init: {:producer, 0}, tell: []}");
    call_by_hand(ctx, p, "{:emit, [1]}");
    EXPECT_TERM(ctx, test_flush(ctx), "[{:\"$gen_consumer\", _, [1]}, {:call, {:emit, [1]}}]");
    act_end(ctx, p);
}

TEST(GT_111_a_reply_by_hand_comes_before_the_events) {
    cop_pid p = asked(ctx, "%{init: {:producer, 0}, tell: []}");
    call_by_hand(ctx, p, "{:reply_first, [1]}");
    EXPECT_TERM(ctx, test_flush(ctx), "[{:call, :first}, {:\"$gen_consumer\", _, [1]}]");
    act_end(ctx, p);
}

TEST(GT_112_calls_that_stop) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, tell: []}");
    cop_ref ref = cop_process_monitor(ctx, p);
    cop_term stop = T(ctx, "{:return, {:stop, :shutdown, :ok, 0}}");
    EXPECT_TERM(ctx, cop_gen_stage_call(ctx, p, stop, 0), ":ok");
    ASSERT_RECEIVE(ctx, P("{:DOWN, %s, _, _, :shutdown}", S(ref)));
    p = act(ctx, "%{init: {:producer, 0}, tell: []}");
    stop = T(ctx, "{:return, {:stop, :normal, 0}}");
    EXPECT_EXIT(ctx, "{:normal, {GenServer, :call, _}}") { cop_gen_stage_call(ctx, p, stop, 0); }
}

TEST(GT_113_returns_of_a_gen_server_are_none_of_a_stage) {
    static const char *const bad[] = { "{:reply, :r, 0}", "{:noreply, 0}", "{:noreply, [], 0, 100}",
                                       "{:noreply, :notlist, 0}" };
    for (int i = 0; i < 4; i++) {
        cop_pid p = act(ctx, "%{init: {:producer, 0}, tell: []}");
        cop_term request = T(ctx, P("{:return, %s}", bad[i]));
        EXPECT_EXIT(ctx, P("{{:bad_return_value, %s}, _}", bad[i])) {
            cop_gen_stage_call(ctx, p, request, 0);
        }
    }
}

static cop_stage_init bare_init(cop_ctx *ctx, void *state, cop_term arg) {
    return cop_stage_producer(0);
}
static const cop_gen_stage bare = { .name = "Bare", .init = bare_init };

TEST(GT_114_callbacks_that_are_not_there) {
    cop_pid p = cop_gen_stage_start(ctx, &bare, COP_NONE, NULL).pid;
    EXPECT_EXIT(ctx, "{{:undef, [{Bare, :handle_call, [:hi, _, {}], []} | _]}, _}") {
        cop_gen_stage_call(ctx, p, cop_a(hi), 0);
    }
    p = cop_gen_stage_start(ctx, &bare, COP_NONE, NULL).pid;
    cop_ref ref = cop_process_monitor(ctx, p);
    cop_gen_stage_cast(ctx, p, cop_a(hi));
    ended(ctx, ref, "{:undef, [{Bare, :handle_cast, [:hi, {}], []} | _]}");
    p = cop_gen_stage_start(ctx, &bare, COP_NONE, NULL).pid;
    test_capture_log(ctx);
    cop_send(ctx, p, cop_a(hi));
    log_is(ctx, "warning", "** Undefined handle_info in ~tp~n** Unhandled message: ~tp",
           "[Bare, :hi]");
    settle(ctx, p);
    to_producer(ctx, p, T(ctx, ":t"), "{:subscribe, nil, []}");
    ref = cop_process_monitor(ctx, p);
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 1}");
    ended(ctx, ref, "{:undef, [{Bare, :handle_demand, [1, {}], []} | _]}");
}

TEST(GT_115_returns_that_hibernate) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, tell: []}");
    static const char *const returns[] = { "{:noreply, [], 0, :hibernate}",
                                           "{:reply, :ok, [], 0, :hibernate}" };
    for (int i = 0; i < 2; i++) {
        cop_term request = T(ctx, P("{:return, %s}", returns[i]));
        if (i == 0)
            cop_gen_stage_cast(ctx, p, request);
        else
            EXPECT_TERM(ctx, cop_gen_stage_call(ctx, p, request, 0), ":ok");
        for (int n = 0; n < 1000; n++) {
            cop_term f = cop_process_info(ctx, p, cop_a(current_function));
            if (cop_same(f, T(ctx, "{:erlang, :hibernate, 3}")))
                break;
            if (n == 999)
                EXPECT_TERM(ctx, f, "{:erlang, :hibernate, 3}");
            cop_yield(ctx);
        }
    }
    act_end(ctx, p);
}

TEST(GT_116_a_reply_to_a_call_that_was_given_up_comes_as_a_message) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, tell: []}");
    cop_sys_suspend(ctx, p, 0);
    cop_term request = T(ctx, "{:reply_first, []}");
    EXPECT_EXIT(ctx, "{:timeout, _}") { cop_gen_stage_call(ctx, p, request, 10); }
    cop_sys_resume(ctx, p, 0);
    ASSERT_RECEIVE(ctx, "{[:alias | _], :first}");
    act_end(ctx, p);
}

TEST(GT_126_a_broadcast_producer_takes_a_process_once) {
    test_capture_log(ctx);
    cop_pid p = act(ctx, "%{init: {:producer, 0, [dispatcher: GenStage.BroadcastDispatcher]}, "
                         "demand: :count, tell: []}");
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:cancel, :events]}");
    subscribe(ctx, c, p, "[max_demand: 2, min_demand: 0]");
    cop_term second = subscribe(ctx, c, p, "[max_demand: 2, min_demand: 0]"), subs;
    ASSERT_RECEIVE(ctx, P("{:c, :cancel, {:cancel, :already_subscribed}, {_, %s}}", S(second)));
    EXPECT(cop_map_get(cop_sys_get_state(ctx, c, 0), cop_a(producers).t, &subs));
    EXPECT_INT(cop_map_size(subs), 1);
    ASSERT_RECEIVE(ctx, "{:c, :events, [_, _]}");
    act_end(ctx, c);
    act_end(ctx, p);
}

/* ---- a producer that replies when its events are sent -------------------------------------------------------------------------------------- */

/* Events and who waits for them to be sent, {from, event}; and demand without events. */
struct broadcaster {
    cop_queue queue;
    int64_t pending;
};

static cop_stage_init broadcaster_init(cop_ctx *ctx, void *state, cop_term arg) {
    return cop_stage_producer(.dispatcher = &cop_broadcast_dispatcher);
}

static cop_stage_next dispatch_events(cop_ctx *ctx, struct broadcaster *self) {
    cop_events events;
    size_t n = cop_queue_count(&self->queue);
    if ((int64_t)n > self->pending)
        n = (size_t)self->pending;
    cop_term *at = cop_events_new(ctx, n, &events);
    for (size_t i = 0; i < n; i++) {
        cop_term from, pair = cop_queue_take(ctx, &self->queue, 1).at[0];
        EXPECT(cop_match_tuple(pair, &from, &at[i]));
        cop_gen_stage_reply(ctx, from, cop_a(ok));
    }
    self->pending -= (int64_t)n;
    return cop_stage_emit(events);
}

static cop_stage_next broadcaster_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct broadcaster *self = state;
    cop_term event, entry;
    EXPECT(cop_match_tuple(request, cop_a(notify), &event));
    entry = cop_tuple(ctx, from, event);
    cop_queue_push(ctx, &self->queue, cop_events_of(&entry, 1));
    return dispatch_events(ctx, self);
}

static cop_stage_next broadcaster_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct broadcaster *self = state;
    self->pending += demand;
    return dispatch_events(ctx, self);
}

static cop_term broadcaster_to_term(cop_ctx *ctx, const void *state) {
    const struct broadcaster *self = state;
    return cop_tuple(ctx, cop_queue_to_list(ctx, &self->queue), self->pending);
}

static const cop_gen_stage broadcaster = {
    .name = "QueueBroadcaster",
    .state_size = sizeof(struct broadcaster),
    .state_terms = COP_QUEUE_TERMS,
    .init = broadcaster_init,
    .handle_call = broadcaster_call,
    .handle_demand = broadcaster_demand,
    .state_to_term = broadcaster_to_term,
};

TEST(GT_130_131_the_queue_broadcaster) {
    cop_pid b = cop_gen_stage_start(ctx, &broadcaster, COP_NONE, NULL).pid;
    cop_request_id id = cop_gen_server_send_request(ctx, b, T(ctx, "{:notify, :early}"));
    EXPECT(!cop_gen_server_wait_response(ctx, id, 50).ok);
    cop_pid printers[3];
    for (int i = 0; i < 3; i++) {
        printers[i] = act(ctx, P("%%{init: {:consumer, 0, [subscribe_to: [%s]]}, id: :p%d, tell: "
                                 "[:events]}",
                                 S(b), i));
        settle(ctx, b);
        if (i == 0)
            EXPECT_TERM(ctx, cop_gen_server_receive_response(ctx, id, 5000).value, ":ok");
    }
    ASSERT_RECEIVE(ctx, "{:p0, :events, [:early]}");
    EXPECT_TERM(ctx, cop_gen_stage_call(ctx, b, T(ctx, "{:notify, :hello_world}"), 0), ":ok");
    for (int i = 0; i < 3; i++)
        ASSERT_RECEIVE(ctx, P("{:p%d, :events, [:hello_world]}", i));
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, b, 0), "%{state: {[], 998}}");
    for (int i = 0; i < 3; i++)
        act_end(ctx, printers[i]);
    act_end(ctx, b);
}
