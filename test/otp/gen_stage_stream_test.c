/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage.stream and from_enumerable. What is expected was observed with gen_stage 1.3.2 unless a test says
 * that we differ.
 */
#include "gen_stage_help.h"

#define COUNTER \
    "%{init: {:producer, 0}, demand: :count, id: :p, tell: [:demand, :subscribe, :cancel]}"

static cop_term stream(cop_ctx *ctx, const char *subscriptions) {
    return cop_gen_stage_stream(ctx, T(ctx, subscriptions), NULL);
}

static cop_pid from(cop_ctx *ctx, const char *list, const cop_from_enumerable_opts *opts) {
    cop_from_enumerable_opts o = { .no_link = true };
    if (opts != NULL)
        o = *opts;
    cop_started s = cop_gen_stage_from_enumerable(ctx, T(ctx, list), &o);
    EXPECT_INT(s.is, COP_STARTED);
    return s.pid;
}

/* ---- streams --------------------------------------------------------------------------------------------- */

TEST(GT_140_the_first_elements_of_a_producer) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, demand: :count, tell: []}");
    EXPECT_TERM(ctx, cop_enum_take(ctx, stream(ctx, P("[%s]", S(p))), 10),
                "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]");
    cop_term s = stream(ctx, P("[{%s, [max_demand: 100]}]", S(p)));
    EXPECT_INT(cop_list_length(cop_enum_take(ctx, s, 300)), 300);
    settle(ctx, p);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    act_end(ctx, p);
}

TEST(GT_141_other_messages_stay) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, demand: :count, tell: []}");
    cop_pid dead = test_dead_pid(ctx);
    cop_ref ref = cop_process_monitor(ctx, dead);
    cop_send(ctx, cop_self(ctx), T(ctx, "{:\"$gen_consumer\", {:x, :y}, [1]}"));
    cop_enum_take(ctx, stream(ctx, P("[%s]", S(p))), 10);
    cop_term all = test_flush(ctx);
    EXPECT_INT(cop_list_length(all), 2);
    for (cop_term l = all, m; cop_get_cons(l, &m, &l);)
        EXPECT(cop_same(m, T(ctx, "{:\"$gen_consumer\", {:x, :y}, [1]}"))
               || cop_match(cop_elem(m, 1), ref));
    act_end(ctx, p);
}

TEST(GT_142_a_producer_that_is_not_there) {
    cop_pid dead = test_dead_pid(ctx);
    EXPECT_EXIT(ctx, "{:noproc, {GenStage, :init_stream, [[:unknown]]}}") {
        cop_enum_take(ctx, stream(ctx, "[:unknown]"), 1);
    }
    EXPECT_EXIT(ctx, "{:noproc, {GenStage, :close_stream, [_]}}") {
        cop_enum_take(ctx, stream(ctx, P("[%s]", S(dead))), 1);
    }
    EXPECT_TERM(ctx, cop_enum_take(ctx, stream(ctx, "[{:unknown, [cancel: :temporary]}]"), 1),
                "[]");
    cop_term s = stream(ctx, P("[{%s, [cancel: :temporary]}]", S(dead)));
    EXPECT_TERM(ctx, cop_enum_take(ctx, s, 1), "[]");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void refuse(cop_ctx *ctx, cop_term dies) {
    cop_term message, request, from, pid, tag, any;
    for (;;) {
        if (!cop_receive(ctx, COP_INFINITY, &message)
            || !cop_match_tuple(message, cop_as("$gen_producer"), &from, &request)
            || !cop_match_tuple(from, &pid, &tag))
            continue;
        if (cop_match_tuple(request, cop_a(subscribe), &any, &any)) {
            cop_term self = cop_tuple(ctx, cop_self(ctx), tag);
            cop_term what = cop_tuple(ctx, cop_a(cancel), cop_a(no_thanks));
            cop_send(ctx, pid, cop_tuple(ctx, cop_as("$gen_consumer"), self, what));
            if (cop_match(dies, cop_a(true)))
                return;
        }
    }
}

TEST(GT_143_a_producer_that_refuses) {
    for (int dies = 0; dies < 2; dies++) {
        cop_pid p = cop_spawn(ctx, refuse, cop_bool(dies == 1).t);
        EXPECT_EXIT(ctx, "{:no_thanks, {GenStage, :close_stream, [%{}]}}") {
            cop_enum_take(ctx, stream(ctx, P("[%s]", S(p))), 1);
        }
        if (dies)
            p = cop_spawn(ctx, refuse, cop_a(true).t);
        cop_term s = stream(ctx, P("[{%s, [cancel: :temporary]}]", S(p)));
        EXPECT_TERM(ctx, cop_enum_take(ctx, s, 1), "[]");
        if (!dies)
            act_end(ctx, p);
    }
}

TEST(GT_144_a_finite_producer) {
    cop_pid p = from(ctx, "[1, 2, 3]", NULL);
    cop_term s = stream(ctx, P("[{%s, [cancel: :transient]}]", S(p)));
    EXPECT_TERM(ctx, cop_enum_to_list(ctx, s), "[1, 2, 3]");
    p = from(ctx, "[1, 2, 3]", NULL);
    EXPECT_EXIT(ctx, "{:normal, {GenStage, :close_stream, [%{}]}}") {
        cop_enum_to_list(ctx, stream(ctx, P("[%s]", S(p))));
    }
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void killer(cop_ctx *ctx, cop_term victim) {
    cop_process_sleep(ctx, 20);
    cop_process_exit(ctx, victim, cop_a(kill));
}

TEST(GT_145_a_producer_that_is_killed) {
    for (int mode = 0; mode < 3; mode++) {
        cop_pid p = act(ctx, "%{init: {:producer, 0}, tell: []}");
        cop_subscribe_opts opts = { .cancel = (cop_stage_cancel)mode };
        cop_term all = cop_list(ctx, cop_subscription(ctx, p, &opts));
        cop_term s = cop_gen_stage_stream(ctx, all, NULL);
        cop_spawn(ctx, killer, p.t);
        if (mode == COP_CANCEL_TEMPORARY)
            EXPECT_TERM(ctx, cop_enum_to_list(ctx, s), "[]");
        else
            EXPECT_EXIT(ctx, "{:killed, _}") { cop_enum_to_list(ctx, s); }
    }
}

TEST(GT_146_what_a_stream_asks_for) {
    cop_pid p = act(ctx, COUNTER);
    cop_term s = stream(ctx, P("[{%s, [max_demand: 4, key: 1]}]", S(p)));
    EXPECT_TERM(ctx, cop_enum_take(ctx, s, 0), "[]");
    settle(ctx, p);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    EXPECT_TERM(ctx, cop_enum_take(ctx, s, 3), "[0, 1, 2]");
    settle(ctx, p);
    EXPECT_TERM(
        ctx, test_flush(ctx),
        P("[{:p, :subscribe, :consumer, [max_demand: 4, key: 1], {%s, {_, _}}}, {:p, :demand, "
          "4}, {:p, :demand, 2}, {:p, :cancel, {:cancel, :normal}, {%s, {_, _}}}]",
          S(cop_self(ctx)), S(cop_self(ctx))));
    act_end(ctx, p);
}

static bool boom(cop_ctx *ctx, cop_term element, void *arg) {
    cop_raise(ctx, "RuntimeError", "boom");
}

TEST(GT_147_an_exception_in_the_walk) {
    cop_pid p = act(ctx, COUNTER);
    cop_term s = stream(ctx, P("[%s]", S(p)));
    EXPECT_ERROR(ctx, "%RuntimeError{message: \"boom\"}") { cop_enum_each(ctx, s, boom, NULL); }
    ASSERT_RECEIVE(ctx, "{:p, :cancel, {:cancel, :normal}, _}");
    settle(ctx, p);
    REFUTE_RECEIVE(ctx, "{:\"$gen_consumer\", _, _}", 0);
    act_end(ctx, p);
}

TEST(GT_148_the_producers_are_told_to_go_forward) {
    static const char accumulating[] =
        "%{init: {:producer, 0, [demand: :accumulate]}, demand: :count, tell: []}";
    cop_pid p = act(ctx, accumulating);
    EXPECT_TERM(ctx, cop_enum_take(ctx, stream(ctx, P("[%s]", S(p))), 2), "[0, 1]");
    EXPECT_TERM(ctx, cop_gen_stage_demand(ctx, p), ":forward");
    act_end(ctx, p);
    p = act(ctx, accumulating);
    cop_pid pc =
        act(ctx, P("%%{init: {:producer_consumer, 0, [subscribe_to: [%s]]}, events: :pass, "
                   "tell: []}",
                   S(p)));
    cop_stage_stream_opts opts = { .producers = cop_list(ctx, p) };
    cop_term s = cop_gen_stage_stream(ctx, cop_list(ctx, pc), &opts);
    EXPECT_TERM(ctx, cop_enum_take(ctx, s, 2), "[0, 1]");
    act_end(ctx, pc);
    act_end(ctx, p);
}

static void take_two(cop_ctx *ctx, cop_term arg) {
    cop_term p = cop_elem(arg, 0), test = cop_elem(arg, 1);
    cop_stage_stream_opts opts = { .demand = COP_DEMAND_ACCUMULATE };
    cop_send(ctx, test, cop_enum_take(ctx, cop_gen_stage_stream(ctx, cop_list(ctx, p), &opts), 2));
}

TEST(GT_148_or_left_accumulating_until_told_by_hand) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, demand: :count, id: :p, tell: [:subscribe]}");
    cop_spawn(ctx, take_two, cop_tuple(ctx, p, cop_self(ctx)));
    ASSERT_RECEIVE(ctx, "{:p, :subscribe, _, _, _}");
    while (!cop_match(cop_gen_stage_demand(ctx, p).t, cop_a(accumulate)))
        cop_yield(ctx);
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_FORWARD);
    ASSERT_RECEIVE(ctx, "[0, 1]");
    EXPECT_TERM(ctx, cop_gen_stage_demand(ctx, p), ":forward");
    act_end(ctx, p);
}

TEST(GT_149_bad_arguments_of_a_stream) {
    EXPECT_ERROR(ctx,
                 "%ArgumentError{message: \"invalid options for :p producer (expected :max_demand "
                 "to be equal to or greater than 1, got: 0)\"}") {
        stream(ctx, "[{:p, [max_demand: 0]}]");
    }
    EXPECT_ERROR(ctx,
                 "%ArgumentError{message: \"GenStage.stream/1 expects a list of subscriptions, "
                 "got: :p\"}") {
        stream(ctx, ":p");
    }
}

TEST(GT_150_no_producers) { EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream(ctx, "[]")), "[]"); }

static void collect(cop_ctx *ctx, cop_term arg) {
    cop_term list = cop_enum_take(ctx, cop_elem(arg, 0), 4);
    cop_send(ctx, cop_elem(arg, 1), cop_tuple(ctx, cop_a(got), list));
}

TEST(a_producer_joins_a_stream_that_runs) {
    cop_pid quiet = act(ctx, "%{init: {:producer, 0}, id: :q, tell: [:subscribe]}");
    cop_pid p = act(ctx, "%{init: {:producer, 0}, demand: :count, tell: []}");
    cop_pid walker =
        cop_spawn(ctx, collect, cop_tuple(ctx, stream(ctx, P("[%s]", S(quiet))), cop_self(ctx)));
    ASSERT_RECEIVE(ctx, "{:q, :subscribe, _, _, _}");
    cop_gen_stage_async_subscribe(ctx, walker, p, NULL);
    ASSERT_RECEIVE(ctx, "{:got, [0, 1, 2, 3]}");
    act_end(ctx, p);
    act_end(ctx, quiet);
}

TEST(a_stream_of_several_producers_ends_with_the_last) {
    cop_pid p = from(ctx, "[1, 2, 3]", NULL), q = from(ctx, "[4, 5]", NULL);
    cop_term s =
        stream(ctx, P("[{%s, [cancel: :transient, max_demand: 2]}, {%s, [cancel: :transient, "
                      "max_demand: 1]}]",
                      S(p), S(q)));
    cop_term list = cop_enum_to_list(ctx, s), element;
    int64_t sum = 0, n;
    EXPECT_INT(cop_list_length(list), 5);
    while (cop_get_cons(list, &element, &list))
        if (cop_get_i64(element, &n))
            sum += n;
    EXPECT_INT(sum, 15);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(who_walks_and_is_killed_leaves_its_producer) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, id: :p, tell: [:subscribe, :cancel]}");
    cop_pid walker =
        cop_spawn(ctx, collect, cop_tuple(ctx, stream(ctx, P("[%s]", S(p))), cop_self(ctx)));
    ASSERT_RECEIVE(ctx, "{:p, :subscribe, _, _, _}");
    cop_process_exit(ctx, walker, cop_a(kill));
    ASSERT_RECEIVE(ctx, "{:p, :cancel, {:down, _}, _}");
    act_end(ctx, p);
}

/* ---- enumerables ------------------------------------------------------------------------------------------- */

TEST(GT_160_with_and_without_a_link_and_by_name) {
    test_trap_exit(ctx);
    cop_pid p = from(ctx, "[1]", &(cop_from_enumerable_opts){ .start.name = cop_a(src) });
    cop_term links = cop_process_info(ctx, p, cop_a(links));
    EXPECT_TERM(ctx, cop_is_tuple(links) ? cop_elem(links, 1) : links, P("[%s]", S(cop_self(ctx))));
    EXPECT(cop_match(cop_process_whereis(ctx, cop_a(src)), p));
    cop_pid q = from(ctx, "[1]", NULL);
    links = cop_process_info(ctx, q, cop_a(links));
    EXPECT_TERM(ctx, cop_is_tuple(links) ? cop_elem(links, 1) : links, "[]");
    act_end(ctx, q);
    act_end(ctx, p);
}

static void ask(cop_ctx *ctx, cop_pid p, int n) {
    to_producer(ctx, p, T(ctx, ":t"), P("{:ask, %d}", n));
}

static cop_ref fake_consumer(cop_ctx *ctx, cop_pid p) {
    cop_ref ref = cop_process_monitor(ctx, p);
    to_producer(ctx, p, T(ctx, ":t"), "{:subscribe, nil, []}");
    return ref;
}

TEST(GT_161_the_end_is_seen_when_an_element_is_asked_for) {
    cop_pid p = from(ctx, "[1, 2, 3, 4, 5]", NULL);
    cop_ref ref = fake_consumer(ctx, p);
    ask(ctx, p, 3);
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [1, 2, 3]}");
    ask(ctx, p, 3);
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [4, 5]}");
    ended(ctx, ref, ":normal");
    p = from(ctx, "[1, 2, 3, 4]", NULL);
    ref = fake_consumer(ctx, p);
    ask(ctx, p, 4);
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [1, 2, 3, 4]}");
    settle(ctx, p);
    ask(ctx, p, 1);
    ended(ctx, ref, ":normal");
    p = from(ctx, "[]", NULL);
    ref = fake_consumer(ctx, p);
    settle(ctx, p);
    ask(ctx, p, 1);
    ended(ctx, ref, ":normal");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(GT_162_consumers_of_a_finite_enumerable) {
    for (int mode = 0; mode < 2; mode++) {
        cop_pid p = from(ctx, "[1, 2, 3]", NULL);
        cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:events, :cancel]}");
        cop_ref ref = cop_process_monitor(ctx, c);
        cop_subscribe_opts opts = { .cancel = (cop_stage_cancel)mode };
        EXPECT_TERM(ctx, cop_gen_stage_sync_subscribe(ctx, c, p, &opts, 0), "{:ok, _}");
        ASSERT_RECEIVE(ctx, "{:c, :events, [1, 2, 3]}");
        ASSERT_RECEIVE(ctx, "{:c, :cancel, {:down, :normal}, _}");
        if (mode == COP_CANCEL_PERMANENT) {
            ended(ctx, ref, ":normal");
        } else {
            settle(ctx, c);
            act_end(ctx, c);
        }
    }
}

static bool three_then_boom(cop_ctx *ctx, void *state, cop_term *kept, cop_term *element) {
    int64_t *n = state;
    if (*n == 3)
        cop_raise(ctx, "RuntimeError", "boom");
    *element = cop_of(ctx, ++*n);
    return true;
}

TEST(GT_163_an_enumerable_that_raises) {
    static const cop_generator g = { .name = "g", .state_size = 8, .next = three_then_boom };
    cop_from_enumerable_opts opts = { .no_link = true };
    cop_pid p = cop_gen_stage_from_enumerable(ctx, cop_stream(ctx, &g, COP_NIL), &opts).pid;
    cop_ref ref = fake_consumer(ctx, p);
    ask(ctx, p, 2);
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [1, 2]}");
    ask(ctx, p, 2);
    ended(ctx, ref, "{%RuntimeError{message: \"boom\"}, _}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(GT_164_on_cancel) {
    for (int stop = 0; stop < 2; stop++) {
        cop_pid p =
            from(ctx, "[1, 2, 3]",
                 &(cop_from_enumerable_opts){ .no_link = true, .stop_on_cancel = stop == 1 });
        cop_ref ref = cop_process_monitor(ctx, p);
        to_producer(ctx, p, T(ctx, ":a"), "{:subscribe, nil, []}");
        to_producer(ctx, p, T(ctx, ":b"), "{:subscribe, nil, []}");
        to_producer(ctx, p, T(ctx, ":a"), "{:cancel, :bye}");
        settle(ctx, p);
        to_producer(ctx, p, T(ctx, ":b"), "{:cancel, :bye}");
        if (stop) {
            ended(ctx, ref, ":normal");
        } else {
            settle(ctx, p);
            act_end(ctx, p);
        }
    }
}

TEST(GT_165_options_of_from_enumerable) {
    cop_pid p = from(ctx, "[1, 2, 3]",
                     &(cop_from_enumerable_opts){ .no_link = true,
                                                  .demand = COP_DEMAND_ACCUMULATE,
                                                  .dispatcher = &cop_broadcast_dispatcher });
    EXPECT_TERM(ctx, cop_gen_stage_demand(ctx, p), ":accumulate");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0),
                "%{dispatcher_mod: GenStage.BroadcastDispatcher, buffer: {_, 0, 10000}}");
    fake_consumer(ctx, p);
    ask(ctx, p, 2);
    settle(ctx, p);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_FORWARD);
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [1, 2]}");
    act_end(ctx, p);
}

TEST(the_end_waits_for_the_buffer) {
    cop_pid p = from(
        ctx, "[1, 2, 3]",
        &(cop_from_enumerable_opts){ .no_link = true, .dispatcher = &cop_broadcast_dispatcher });
    cop_ref ref = fake_consumer(ctx, p);
    ask(ctx, p, 5);
    to_producer(ctx, p, T(ctx, ":u"), "{:subscribe, nil, []}"); /* the same process: refused */
    ended(ctx, ref, ":normal");
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", _, [1, 2, 3]}");
}

TEST(an_unexpected_message_is_logged_with_the_place_of_the_start) {
    cop_pid p = from(ctx, "[1]", NULL);
    test_capture_log(ctx);
    cop_send(ctx, p, cop_a(hello));
    log_is(ctx, "warning",
           "** Undefined handle_info in ~tp~n** Unhandled message: ~tp~n** Stream started at:~n~tp",
           "[GenStage.Streamer, :hello, [_ | _]]");
    act_end(ctx, p);
}
