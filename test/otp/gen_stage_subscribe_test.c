/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage: subscribing and cancelling. What is expected was observed with gen_stage
 * 1.3.2 unless a test says that we differ.
 */
#include <coppice/registry.h>

#include "gen_stage_help.h"

#define COUNTER \
    "%{init: {:producer, 0}, demand: :count, id: :p, tell: [:demand, :subscribe, :cancel]}"

/* ---- subscribing -------------------------------------------------------------------------------------------- */

TEST(GT_080_both_sides_see_the_same_tag) {
    cop_pid p = act(ctx, COUNTER),
            c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:subscribe]}");
    cop_term tag = subscribe(ctx, c, p, "[max_demand: 5, key: :value]");
    ASSERT_RECEIVE(ctx, P("{:c, :subscribe, :producer, [max_demand: 5, key: :value], {%s, %s}}",
                          S(p), S(tag)));
    ASSERT_RECEIVE(ctx, P("{:p, :subscribe, :consumer, [max_demand: 5, key: :value], {%s, %s}}",
                          S(c), S(tag)));
    ASSERT_RECEIVE(ctx, "{:p, :demand, 5}");
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_081_a_dead_consumer) {
    cop_pid p = act(ctx, COUNTER), dead = test_dead_pid(ctx);
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :call, [_, {:\"$subscribe\", nil, _, []}, 5000]}}") {
        cop_gen_stage_sync_subscribe(ctx, dead, p, NULL, 0);
    }
    cop_gen_stage_async_subscribe(ctx, dead, p, NULL);
    act_end(ctx, p);
}

static const char *const bad_options[][2] = {
    { "[max_demand: 0]", "expected :max_demand to be equal to or greater than 1, got: 0" },
    { "[max_demand: :infinity]", "expected :max_demand to be an integer, got: :infinity" },
    { "[min_demand: 2000]", "expected :min_demand to be equal to or less than 999, got: 2000" },
    { "[min_demand: -1]", "expected :min_demand to be equal to or greater than 0, got: -1" },
    { "[cancel: :x]",
      "expected :cancel to be one of [:temporary, :transient, :permanent], got: :x" },
    { "[cancel: :x, max_demand: 0]",
      "expected :max_demand to be equal to or greater than 1, got: 0" },
};

TEST(GT_082_bad_options_are_returned_and_logged) {
    cop_pid p = act(ctx, COUNTER), c = act(ctx, "%{init: {:consumer, 0}}");
    test_capture_log(ctx);
    for (size_t i = 0; i < sizeof bad_options / sizeof *bad_options; i++) {
        cop_subscribe_opts opts = { .terms = T(ctx, bad_options[i][0]) };
        cop_term got = cop_gen_stage_sync_subscribe(ctx, c, p, &opts, 0);
        EXPECT_TERM(ctx, got, P("{:error, {:bad_opts, \"%s\"}}", bad_options[i][1]));
        log_is(ctx, "error", "GenStage consumer ~tp subscribe received invalid option: ~ts",
               P("[%s, \"%s\"]", S(c), bad_options[i][1]));
    }
    cop_subscribe_opts opts = { .max_demand = 10, .min_demand = 10 };
    EXPECT_TERM(
        ctx, cop_gen_stage_sync_subscribe(ctx, c, p, &opts, 0),
        "{:error, {:bad_opts, \"expected :min_demand to be equal to or less than 9, got: 10\"}}");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, c, 0), "%{producers: %{}}");
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_082_bad_options_in_init_are_only_logged) {
    cop_pid p = act(ctx, COUNTER);
    test_capture_log(ctx);
    cop_pid c =
        act(ctx, P("%%{init: {:consumer, 0, [subscribe_to: [{%s, [max_demand: 0]}]]}}", S(p)));
    log_is(ctx, "error", "GenStage consumer ~tp subscribe received invalid option: ~ts", "[_, _]");
    cop_term producers;
    EXPECT(cop_map_get(cop_sys_get_state(ctx, c, 0), cop_a(producers).t, &producers));
    EXPECT_INT(cop_map_size(producers), 0);
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_083_a_producer_cannot_subscribe) {
    cop_pid p = act(ctx, COUNTER), q = act(ctx, COUNTER);
    test_capture_log(ctx);
    EXPECT_TERM(ctx, cop_gen_stage_sync_subscribe(ctx, q, p, NULL, 0), "{:error, :not_a_consumer}");
    log_is(ctx, "error", "GenStage producer ~tp cannot be subscribed to another stage: ~tp",
           P("[%s, %s]", S(q), S(p)));
    cop_gen_stage_async_subscribe(ctx, q, p, NULL);
    log_is(ctx, "error", "GenStage producer ~tp cannot be subscribed to another stage: ~tp",
           "[_, _]");
    act_end(ctx, q);
    act_end(ctx, p);
}

#define NOT_ALIVE                                                                      \
    "GenStage consumer ~tp was not able to subscribe to the process ~tp because that " \
    "process is not alive"

TEST(GT_084_a_producer_of_an_unknown_name) {
    static const char *const modes[] = { "permanent", "transient", "temporary" };
    test_capture_log(ctx);
    for (int i = 0; i < 3; i++) {
        cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: []}");
        cop_subscribe_opts opts = { .cancel = (cop_stage_cancel)i };
        cop_ref ref = cop_process_monitor(ctx, c);
        cop_term got = cop_gen_stage_sync_subscribe(ctx, c, cop_a(unknown), &opts, 0), tag;
        EXPECT(cop_match_tuple(got, cop_a(ok), &tag) && cop_is_ref(tag));
        if (i < 2) {
            log_is(ctx, "error", NOT_ALIVE, "[Act, :unknown]");
            ASSERT_RECEIVE(ctx, P("{:DOWN, %s, _, _, :noproc}", S(ref)));
        } else {
            settle(ctx, c);
            act_end(ctx, c);
        }
        const char *script =
            P("%%{init: {:consumer, 0, [subscribe_to: [{:unknown, [cancel: :%s]}]]}}", modes[i]);
        cop_started started = act_try(ctx, script, NULL);
        EXPECT_TERM(ctx, cop_started_to_term(ctx, started),
                    i < 2 ? "{:error, :noproc}" : "{:ok, _}");
        if (i == 2)
            act_end(ctx, started.pid);
    }
}

TEST(GT_085_a_producer_that_is_dead) {
    cop_pid dead = test_dead_pid(ctx);
    for (int i = 0; i < 3; i++) {
        cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: [:cancel]}");
        cop_ref ref = cop_process_monitor(ctx, c);
        cop_subscribe_opts opts = { .cancel = (cop_stage_cancel)i };
        EXPECT_TERM(ctx, cop_gen_stage_sync_subscribe(ctx, c, dead, &opts, 0), "{:ok, _}");
        ASSERT_RECEIVE(ctx, P("{:s, :cancel, {:down, :noproc}, {%s, _}}", S(dead)));
        if (i < 2) {
            ASSERT_RECEIVE(ctx, P("{:DOWN, %s, _, _, :noproc}", S(ref)));
            continue;
        }
        settle(ctx, c);
        act_end(ctx, c);
    }
}

TEST(GT_086_sync_subscribe_waits_for_the_consumers_handle_subscribe) {
    cop_pid p = act(ctx, COUNTER);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, subscribe: {:sleep, 200}}");
    int64_t start = cop_monotonic_ms(ctx);
    subscribe(ctx, c, p, "[]");
    EXPECT(cop_monotonic_ms(ctx) - start >= 200);
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_087_a_consumer_that_stops_in_handle_subscribe) {
    cop_pid p = act(ctx, COUNTER);
    static const char *const returns[][2] = {
        { "{:stop, :nope, 0}", ":nope" }, { "{:unknown, 0}", "{:bad_return_value, {:unknown, 0}}" }
    };
    for (int i = 0; i < 2; i++) {
        cop_pid c =
            act(ctx, P("%%{init: {:consumer, 0}, subscribe: {:return, %s}}", returns[i][0]));
        EXPECT_EXIT(ctx, P("{%s, {GenServer, :call, _}}", returns[i][1])) {
            cop_gen_stage_sync_subscribe(ctx, c, p, NULL, 0);
        }
        cop_started started =
            act_try(ctx,
                    P("%%{init: {:consumer, 0, [subscribe_to: [%s]]}, subscribe: {:return, %s}}",
                      S(p), returns[i][0]),
                    NULL);
        EXPECT_TERM(ctx, cop_started_to_term(ctx, started), P("{:error, %s}", returns[i][1]));
    }
    act_end(ctx, p);
}

TEST(GT_088_a_producer_that_stops_in_handle_subscribe) {
    static const char *const kinds[] = { "producer", "producer_consumer" };
    static const char *const returns[][2] = {
        { "{:stop, :nope, 0}", ":nope" }, { "{:manual, 0}", "{:bad_return_value, {:manual, 0}}" }
    };
    for (int i = 0; i < 4; i++) {
        cop_pid p = act(ctx, P("%%{init: {:%s, 0}, subscribe: {:return, %s}}", kinds[i / 2],
                               returns[i % 2][0]));
        cop_ref ref = cop_process_monitor(ctx, p);
        to_producer(ctx, p, T(ctx, ":tag"), "{:subscribe, nil, []}");
        ended(ctx, ref, returns[i % 2][1]);
    }
}

TEST(GT_089_a_third_process_cancels) {
    cop_pid p = act(ctx, COUNTER);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:cancel]}");
    cop_term tag = subscribe(ctx, c, p, "[cancel: :temporary]");
    cop_term from = cop_tuple(ctx, p, tag);
    EXPECT_TERM(ctx, cop_gen_stage_cancel(ctx, from, cop_a(oops), 0), ":ok");
    ASSERT_RECEIVE(ctx, P("{:p, :cancel, {:cancel, :oops}, {%s, %s}}", S(c), S(tag)));
    ASSERT_RECEIVE(ctx, P("{:c, :cancel, {:cancel, :oops}, {%s, %s}}", S(p), S(tag)));
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_090_a_consumer_that_ends) {
    cop_pid p = act(ctx, COUNTER);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: []}");
    subscribe(ctx, c, p, "[]");
    settle(ctx, p);
    act_end(ctx, c);
    ASSERT_RECEIVE(ctx, P("{:p, :cancel, {:down, :killed}, {%s, _}}", S(c)));
    c = act(ctx, "%{init: {:consumer, 0}, tell: []}");
    subscribe(ctx, c, p, "[]");
    settle(ctx, p);
    cop_gen_stage_stop(ctx, c, cop_a(normal), 0);
    ASSERT_RECEIVE(ctx, P("{:p, :cancel, {:down, :normal}, {%s, _}}", S(c)));
    act_end(ctx, p);
}

/* One cell of the table: a subscription of that mode ends in that way; does the consumer stop? */
static void cell(cop_ctx *ctx, int mode, bool down, const char *reason, bool stops) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, tell: []}");
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: [:cancel]}");
    cop_subscribe_opts opts = { .cancel = (cop_stage_cancel)mode };
    cop_term got = cop_gen_stage_sync_subscribe(ctx, c, p, &opts, 0), tag;
    EXPECT(cop_match_tuple(got, cop_a(ok), &tag));
    cop_ref ref = cop_process_monitor(ctx, c);
    if (down)
        cop_gen_stage_stop(ctx, p, T(ctx, reason), 0);
    else
        cop_gen_stage_cancel(ctx, cop_tuple(ctx, p, tag), T(ctx, reason), 0);
    ASSERT_RECEIVE(ctx, P("{:s, :cancel, {:%s, %s}, _}", down ? "down" : "cancel", reason));
    if (stops) {
        ASSERT_RECEIVE(ctx, P("{:DOWN, %s, _, _, %s}", S(ref), reason));
        log_is(ctx, "notice",
               "GenStage consumer ~tp is stopping after receiving cancel from producer ~tp with "
               "reason: ~tp",
               P("[%s, %s, %s]", S(c), S(p), reason));
    } else {
        settle(ctx, c);
        REFUTE_RECEIVE(ctx, "{:log, :notice, _, _}", 0);
        act_end(ctx, c);
    }
    if (!down)
        act_end(ctx, p);
    test_flush(ctx);
}

TEST(GT_091_what_the_end_of_a_subscription_means_by_mode) {
    static const char *const reasons[] = { ":normal", ":shutdown", "{:shutdown, 1}", ":boom",
                                           ":already_subscribed" };
    test_capture_log(ctx);
    for (int mode = 0; mode < 3; mode++)
        for (int down = 0; down < 2; down++)
            for (int r = 0; r < 5; r++)
                cell(ctx, mode, down == 1, reasons[r],
                     r < 4
                         && (mode == COP_CANCEL_PERMANENT
                             || (mode == COP_CANCEL_TRANSIENT && r == 3)));
}

TEST(handle_cancel_may_stop_a_temporary_consumer) {
    cop_pid p = act(ctx, COUNTER);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, cancel: {:return, {:stop, :mine, 0}}, tell: []}");
    cop_term tag = subscribe(ctx, c, p, "[cancel: :temporary]");
    cop_ref ref = cop_process_monitor(ctx, c);
    cop_gen_stage_cancel(ctx, cop_tuple(ctx, p, tag), cop_a(normal), 0);
    ended(ctx, ref, ":mine");
    act_end(ctx, p);
}

TEST(handle_cancel_may_hibernate) { /* GenStage's consumer forgets the mode, its producer crashes */
    cop_pid p =
        act(ctx, "%{init: {:producer, 0}, cancel: {:return, {:noreply, [], 0, :hibernate}}, "
                 "tell: []}");
    cop_pid c =
        act(ctx, "%{init: {:consumer, 0}, cancel: {:return, {:noreply, [], 0, :hibernate}}, "
                 "tell: []}");
    cop_term tag = subscribe(ctx, c, p, "[]");
    cop_ref ref = cop_process_monitor(ctx, c);
    cop_gen_stage_cancel(ctx, cop_tuple(ctx, p, tag), cop_a(boom), 0);
    ended(ctx, ref, ":boom");
    settle(ctx, p);
    act_end(ctx, p);
}

TEST(events_of_a_producers_handle_cancel_may_reach_the_cancelled) {
    cop_pid p =
        act(ctx, "%{init: {:producer, 0}, cancel: {:return, {:noreply, [1], 0}}, tell: []}");
    to_producer(ctx, p, T(ctx, ":t"), "{:subscribe, nil, []}");
    to_producer(ctx, p, T(ctx, ":t"), "{:ask, 2}");
    to_producer(ctx, p, T(ctx, ":t"), "{:cancel, :bye}");
    settle(ctx, p);
    EXPECT_TERM(
        ctx, test_flush(ctx),
        "[{:\"$gen_consumer\", {_, :t}, {:cancel, :bye}}, {:\"$gen_consumer\", {_, :t}, [1]}]");
    act_end(ctx, p);
}

/* ---- resubscribing ---------------------------------------------------------------------------------------------- */

TEST(GT_092_resubscribing_a_temporary_subscription) {
    cop_pid p = act(ctx, COUNTER);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:cancel, :subscribe]}");
    cop_term old = subscribe(ctx, c, p, "[max_demand: 10, min_demand: 0, cancel: :temporary]");
    ASSERT_RECEIVE(ctx, "{:p, :demand, 10}");
    settle(ctx, p);
    settle(ctx, c);
    settle(ctx, p);
    test_flush(ctx);
    cop_sys_suspend(ctx, p, 0);
    cop_subscribe_opts opts = { .max_demand = 20,
                                .min_demand = COP_ZERO,
                                .cancel = COP_CANCEL_TEMPORARY };
    cop_term got = cop_gen_stage_sync_resubscribe(ctx, c, old, cop_a(update), p, &opts, 0), tag;
    EXPECT(cop_match_tuple(got, cop_a(ok), &tag));
    ASSERT_RECEIVE(ctx, P("{:c, :subscribe, :producer, _, {_, %s}}", S(tag)));
    cop_sys_resume(ctx, p, 0);
    ASSERT_RECEIVE(ctx, P("{:p, :cancel, {:cancel, :update}, {_, %s}}", S(old)));
    ASSERT_RECEIVE(ctx, P("{:p, :subscribe, :consumer, _, {_, %s}}", S(tag)));
    ASSERT_RECEIVE(ctx, P("{:c, :cancel, {:cancel, :update}, {_, %s}}", S(old)));
    settle(ctx, c);
    cop_term subs;
    EXPECT(cop_map_get(cop_sys_get_state(ctx, c, 0), cop_a(producers).t, &subs));
    EXPECT_INT(cop_map_size(subs), 1);
    EXPECT(cop_map_get(cop_sys_get_state(ctx, p, 0), cop_a(consumers).t, &subs));
    EXPECT_INT(cop_map_size(subs), 1);
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_092_the_old_demand_counts_for_the_new) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, id: :p, tell: [:demand]}");
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: []}");
    cop_term old = subscribe(ctx, c, p, "[max_demand: 10, cancel: :temporary]");
    ASSERT_RECEIVE(ctx, "{:p, :demand, 10}");
    cop_subscribe_opts opts = { .max_demand = 20, .cancel = COP_CANCEL_TEMPORARY };
    cop_gen_stage_sync_resubscribe(ctx, c, old, cop_a(update), p, &opts, 0);
    ASSERT_RECEIVE(ctx, "{:p, :demand, 10}");
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_093_resubscribing_what_is_not_known) {
    cop_pid p = act(ctx, COUNTER);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:events, :cancel]}");
    EXPECT_TERM(ctx, cop_gen_stage_sync_resubscribe(ctx, c, cop_a(what), cop_a(update), p, NULL, 0),
                "{:ok, _}");
    ASSERT_RECEIVE(ctx, "{:c, :events, [0 | _]}");
    REFUTE_RECEIVE(ctx, "{_, :cancel, _, _}", 0);
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_094_resubscribing_a_permanent_subscription_ends_the_consumer) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, id: :p, tell: [:cancel]}");
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: []}");
    cop_ref ref = cop_process_monitor(ctx, c);
    cop_term old = subscribe(ctx, c, p, "[]");
    cop_term got = cop_gen_stage_sync_resubscribe(ctx, c, old, cop_a(update), p, NULL, 0), tag;
    EXPECT(cop_match_tuple(got, cop_a(ok), &tag));
    ended(ctx, ref, ":update");
    ASSERT_RECEIVE(ctx, P("{:p, :cancel, {:cancel, :update}, {_, %s}}", S(old)));
    /* :update, or :noproc when the consumer was gone before the producer came to monitor it. */
    ASSERT_RECEIVE(ctx, P("{:p, :cancel, {:down, _}, {_, %s}}", S(tag)));
    act_end(ctx, p);
}

TEST(GT_095_resubscribing_to_another_producer) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, tell: []}");
    cop_pid q = act(ctx, "%{init: {:producer, 0}, tell: []}");
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: []}");
    cop_term old = subscribe(ctx, c, p, "[]"), subs;
    EXPECT_TERM(ctx, cop_gen_stage_sync_resubscribe(ctx, c, old, cop_a(update), q, NULL, 0),
                "{:ok, _}");
    settle(ctx, q);
    EXPECT(cop_map_get(cop_sys_get_state(ctx, c, 0), cop_a(producers).t, &subs));
    EXPECT_INT(cop_map_size(subs), 2);
    act_end(ctx, c);
    act_end(ctx, p);
    act_end(ctx, q);
}

TEST(GT_096_resubscribing_with_bad_options_and_asynchronously) {
    cop_pid p = act(ctx, COUNTER);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:subscribe]}");
    test_capture_log(ctx);
    cop_subscribe_opts bad = { .max_demand = -1 };
    EXPECT_TERM(ctx, cop_gen_stage_sync_resubscribe(ctx, c, cop_a(x), cop_a(update), p, &bad, 0),
                "{:error, {:bad_opts, \"expected :max_demand to be equal to or greater than 1, "
                "got: -1\"}}");
    log_is(ctx, "error", "GenStage consumer ~tp subscribe received invalid option: ~ts", "[_, _]");
    cop_gen_stage_async_resubscribe(ctx, c, cop_a(x), cop_a(update), p, NULL);
    ASSERT_RECEIVE(ctx, "{:c, :subscribe, :producer, [], _}");
    ASSERT_RECEIVE(ctx, "{:p, :subscribe, :consumer, [], _}");
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_097_nothing_to_subscribe_to) {
    cop_pid c = act(ctx, "%{init: {:consumer, 0}}");
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"expected :to argument in sync_(re)subscribe\"}") {
        cop_gen_stage_sync_subscribe(ctx, c, COP_NONE, NULL, 0);
    }
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"expected :to argument in async_(re)subscribe\"}") {
        cop_gen_stage_async_subscribe(ctx, c, COP_NONE, NULL);
    }
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"expected :to argument in sync_(re)subscribe\"}") {
        cop_gen_stage_sync_resubscribe(ctx, c, cop_a(x), cop_a(y), COP_NONE, NULL, 0);
    }
    act_end(ctx, c);
}

TEST(GT_098_producers_in_subscribe_to_by_all_kinds_of_names) {
    cop_registry_start_link(ctx, T(ctx, "[keys: :unique, name: :reg]"));
    cop_term via = cop_registry_via(ctx, cop_a(reg), cop_a(key));
    cop_term names[] = { cop_a(local).t, via, T(ctx, "{:global, :g}") };
    for (int i = 0; i < 3; i++) {
        cop_start_opts opts = { .name = i == 0 ? cop_a(local) : (cop_atom){ COP_NONE },
                                .via = i == 0 ? COP_NONE : names[i] };
        EXPECT_INT(act_try(ctx,
                           P("%%{init: {:producer, 0}, demand: :count, id: :p%d, tell: "
                             "[:subscribe]}",
                             i),
                           &opts)
                       .is,
                   COP_STARTED);
    }
    test_capture_log(ctx);
    static const char *const forms[] = { "%s", "{%s, []}" };
    for (int i = 0; i < 3; i++)
        for (int form = 0; form < 2; form++) {
            char to[300];
            snprintf(to, sizeof to, form == 0 ? "%s" : "{%s, []}", S(names[i]));
            EXPECT(forms[form] != NULL);
            cop_pid c = act(ctx, P("%%{init: {:consumer, 0, [subscribe_to: [%s]]}, tell: []}", to));
            ASSERT_RECEIVE(ctx, P("{:p%d, :subscribe, :consumer, [], _}", i));
            if (i > 0 && form == 0)
                log_is(
                    ctx, "warning",
                    i == 1
                        ? ":subscribe_to value with type {:via, module(), term()} is deprecated. "
                          "Change ~tp to {~tp, []} instead."
                        : ":subscribe_to value with type {:global, term()} is deprecated. "
                          "Change ~tp to {~tp, []} instead.",
                    P("[%s, %s]", to, to));
            act_end(ctx, c);
        }
    REFUTE_RECEIVE(ctx, "{:log, :warning, _, _}", 0);
    for (int i = 0; i < 3; i++) {
        cop_pid p;
        EXPECT(cop_get_pid(cop_gen_server_whereis(ctx, names[i]), &p));
        act_end(ctx, p);
    }
}

TEST(GT_099_a_down_message_of_nobody) {
    static const char *const kinds[] = { "producer", "consumer" };
    for (int i = 0; i < 2; i++) {
        cop_pid p = act(ctx, P("%%{init: {:%s, 0}}", kinds[i]));
        cop_term down = cop_tuple(ctx, cop_as("DOWN"), cop_make_ref(ctx), cop_a(process),
                                  cop_self(ctx), cop_a(oops));
        cop_send(ctx, p, down);
        ASSERT_RECEIVE(ctx, P("{:s, :info, %s}", S(down)));
        act_end(ctx, p);
    }
}

static cop_stage_next subscribe_self(cop_ctx *ctx, void *state, cop_term message) {
    cop_gen_stage_sync_subscribe(ctx, cop_self(ctx), cop_self(ctx), NULL, 0);
    return cop_stage_noreply();
}

TEST(GT_100_a_stage_subscribed_to_itself) {
    cop_pid pc = act(ctx, "%{init: {:producer_consumer, 0}, events: :pass, tell: [:events]}");
    subscribe(ctx, pc, pc, "[]");
    cop_gen_stage_cast(ctx, pc, T(ctx, "{:emit, [7]}"));
    for (int i = 0; i < 3; i++)
        ASSERT_RECEIVE(ctx, "{:s, :events, [7]}");
    act_end(ctx, pc);
    cop_gen_stage module = act_stage;
    module.handle_info = subscribe_self;
    static cop_gen_stage calls_itself;
    calls_itself = module;
    cop_term arg = cop_tuple(ctx, T(ctx, "%{init: {:consumer, 0}, tell: []}"), cop_self(ctx));
    cop_pid c = cop_gen_stage_start(ctx, &calls_itself, arg, NULL).pid;
    cop_ref ref = cop_process_monitor(ctx, c);
    cop_send(ctx, c, cop_a(go));
    ended(ctx, ref, "{:calling_self, {GenServer, :call, _}}");
    c = act(ctx, "%{init: {:consumer, 0}, tell: []}");
    test_capture_log(ctx);
    subscribe(ctx, c, c, "[]");
    log_is(ctx, "error", "GenStage consumer ~tp received $gen_producer message: ~tp", "[_, _]");
    log_is(ctx, "error", "GenStage consumer ~tp received $gen_producer message: ~tp", "[_, _]");
    act_end(ctx, c);
}

TEST(GT_101_one_consumer_subscribes_twice) {
    cop_pid p = act(ctx, "%{init: {:producer, 0}, id: :p, tell: [:demand, :subscribe]}");
    cop_pid c = act(ctx, P("%%{init: {:consumer, 0, [subscribe_to: [{%s, [max_demand: 2]}, {%s, "
                           "[max_demand: 2]}]]}, tell: []}",
                           S(p), S(p)));
    for (int i = 0; i < 2; i++) {
        ASSERT_RECEIVE(ctx, "{:p, :subscribe, :consumer, _, _}");
        ASSERT_RECEIVE(ctx, "{:p, :demand, 2}");
    }
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_170_a_producer_by_name_and_node) { /* of this node, whose name is resolved at once */
    cop_pid p = act_try(ctx, COUNTER, &(cop_start_opts){ .name = cop_a(far) }).pid;
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:subscribe, :from, :cancel]}");
    cop_subscribe_opts opts = { .cancel = COP_CANCEL_TEMPORARY };
    cop_term to = T(ctx, "{:far, :nonode@nohost}");
    EXPECT_TERM(ctx, cop_gen_stage_sync_subscribe(ctx, c, to, &opts, 0), "{:ok, _}");
    ASSERT_RECEIVE(ctx, P("{:c, :from, {%s, _}}", S(p)));
    cop_gen_stage_stop(ctx, p, cop_a(normal), 0);
    ASSERT_RECEIVE(ctx, "{:c, :cancel, {:down, :normal}, _}");
    act_end(ctx, c);
}
