/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage.BroadcastDispatcher, callback by callback. All numbers are those of gen_stage 1.3.2. The state
 * is {[{surplus, pid, tag, selector}], waiting, requested, pids}.
 */
#include "dispatcher_drive.h"

/* A fun that is true of what begins with the prefix, true of even numbers, or raises, as its env says. */
static cop_term accepts(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_bytes prefix, text;
    int64_t n;
    if (cop_match(env, cop_a(boom)))
        cop_raise(ctx, "RuntimeError", "boom");
    if (cop_get_i64(argv[0], &n))
        return cop_match(env, cop_a(even)) ? cop_bool(n % 2 == 0).t : cop_a(nil).t;
    return cop_bool(cop_get_bytes(env, &prefix) && cop_get_bytes(argv[0], &text)
                    && text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0)
        .t;
}

static cop_term selector(cop_ctx *ctx, cop_term env) {
    cop_term fun = cop_fun(ctx, accepts, 1, env);
    return cop_list(ctx, cop_tuple(ctx, cop_a(max_demand), 10),
                    cop_tuple(ctx, cop_a(selector), fun));
}
#define SELECTS(who, env)                                                                 \
    EXPECT_TERM(ctx, drive_subscribe_term(ctx, &d, who, selector(ctx, cop_of(ctx, env))), \
                "{:ok, 0}")

TEST(DI_020_subscribe_and_cancel) {
    START(cop_broadcast_dispatcher, "[]");
    STATE("{[], 0, 0, %{__struct__: MapSet, map: %{}}}");
    EXPECT_INT(cop_map_size(cop_elem(cop_broadcast_dispatcher.state_to_term(ctx, d.state), 3)), 3);
    SUBSCRIBE("a", "[]");
    STATE("{[{0, _, :a, nil}], 0, 0, _}");
    CANCEL("a", 0);
    STATE("{[], 0, 0, %{__struct__: MapSet, map: %{}}}");
}

TEST(DI_021_what_was_requested_stays_requested) {
    START(cop_broadcast_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", 10, 10);
    STATE("{[{0, _, :a, nil}], 10, 10, _}");
    CANCEL("a", 0);
    STATE("{[], 0, 10, _}");
    DISPATCH("[1, 2]", "[1, 2]");
    TAKEN("[]");
}

TEST(DI_022_demand_before_another_joins) {
    START(cop_broadcast_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", 10, 10);
    SUBSCRIBE("b", "[]");
    STATE("{[{10, _, :a, nil}, {0, _, :b, nil}], 0, 10, _}");
    CANCEL("a", 0);
    STATE("{[{0, _, :b, nil}], 0, 10, _}");
    ASK("b", 10, 0);
    STATE("{[{0, _, :b, nil}], 10, 10, _}");
}

TEST(DI_023_demand_after_another_joined) {
    START(cop_broadcast_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    SUBSCRIBE("b", "[]");
    ASK("a", 10, 0);
    STATE("{[{10, _, :a, nil}, {0, _, :b, nil}], 0, 0, _}");
    CANCEL("b", 10);
    STATE("{[{0, _, :a, nil}], 10, 10, _}");
    ASK("a", 10, 10);
    STATE("{[{0, _, :a, nil}], 20, 20, _}");
}

TEST(DI_024_the_demand_is_what_all_have_asked_for) {
    START(cop_broadcast_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    SUBSCRIBE("b", "[]");
    ASK("a", 3, 0);
    ASK("b", 2, 2);
    STATE("{[{1, _, :a, nil}, {0, _, :b, nil}], 2, 2, _}");
    DISPATCH("[:a, :b]", "[]");
    TAKEN("[a: [:a, :b], b: [:a, :b]]");
    ASK("b", 2, 1);
    STATE("{[{0, _, :a, nil}, {1, _, :b, nil}], 1, 1, _}");
    DISPATCH("[:c, :d]", "[:d]");
    TAKEN("[a: [:c], b: [:c]]");
    DISPATCH("[:d]", "[:d]");
    ASK("a", 1, 1);
    SUBSCRIBE("c", "[]");
    STATE("{[{1, _, :a, nil}, {1, _, :b, nil}, {0, _, :c, nil}], 0, 1, _}");
    DISPATCH("[:d]", "[:d]");
    TAKEN("[]");
    ASK("a", 2, 0);
    ASK("b", 2, 0);
    ASK("c", 3, 2);
    STATE("{[{0, _, :a, nil}, {0, _, :b, nil}, {0, _, :c, nil}], 3, 3, _}");
    DISPATCH("[:d, :e, :f]", "[]");
    TAKEN("[a: [:d, :e, :f], b: [:d, :e, :f], c: [:d, :e, :f]]");
}

TEST(DI_025_a_newcomer_catches_up) {
    START(cop_broadcast_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", 10, 10);
    DISPATCH("[1, 2, 3]", "[]");
    TAKEN("[a: [1, 2, 3]]");
    SUBSCRIBE("b", "[]");
    STATE("{[{7, _, :a, nil}, {0, _, :b, nil}], 0, 7, _}");
    ASK("b", 20, 0);
    STATE("{[{0, _, :a, nil}, {13, _, :b, nil}], 7, 7, _}");
    DISPATCH("[4, 5, 6, 7, 8, 9, 10]", "[]");
    TAKEN("[a: [4, 5, 6, 7, 8, 9, 10], b: [4, 5, 6, 7, 8, 9, 10]]");
}

TEST(DI_026_what_the_last_one_had_requested_serves_the_next) {
    START(cop_broadcast_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", 10, 10);
    CANCEL("a", 0);
    SUBSCRIBE("b", "[]");
    ASK("b", 5, 0);
    STATE("{[{0, _, :b, nil}], 5, 10, _}");
    DISPATCH("[1, 2, 3]", "[]");
    TAKEN("[b: [1, 2, 3]]");
    STATE("{[{0, _, :b, nil}], 2, 7, _}");
}

TEST(DI_027_a_cancel_frees_demand) {
    START(cop_broadcast_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", 10, 10);
    SUBSCRIBE("b", "[]");
    ASK("a", 5, 0);
    STATE("{[{15, _, :a, nil}, {0, _, :b, nil}], 0, 10, _}");
    CANCEL("b", 5);
    STATE("{[{0, _, :a, nil}], 15, 15, _}");
}

TEST(DI_028_selectors) {
    START(cop_broadcast_dispatcher, "[]");
    SELECTS("a", "pre");
    SELECTS("b", "pref");
    STATE("{[{0, _, :a, _}, {0, _, :b, _}], 0, 0, _}");
    ASK("a", 4, 0);
    ASK("b", 4, 4);
    DISPATCH("[\"pref-1234\", \"pref-5678\", \"pre0000\", \"foo0000\"]", "[]");
    TAKEN("[{:a, [\"pref-1234\", \"pref-5678\", \"pre0000\"]}, {:\"$gen_producer\", {_, :a}, "
          "{:ask, 1}}, "
          "{:b, [\"pref-1234\", \"pref-5678\"]}, {:\"$gen_producer\", {_, :b}, {:ask, 2}}]");
}

TEST(DI_029_a_process_subscribes_once) {
    START(cop_broadcast_dispatcher, "[]");
    d.pids =
        cop_map(ctx, cop_a(a), cop_self(ctx), cop_a(b), cop_self(ctx), cop_a(c), cop_self(ctx));
    SUBSCRIBE("a", "[]");
    test_capture_log(ctx);
    EXPECT_TERM(ctx, drive_subscribe_term(ctx, &d, "b", COP_NIL), "{:error, :already_subscribed}");
    cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [_, _]}, "
                                       "%{error_logger: %{tag: :error}}}");
    EXPECT_SAME(ctx, cop_elem(cop_elem(log, 2), 1),
                cop_charlist(ctx, "~tp is already registered with ~tp. This subscription has been "
                                  "discarded.~n"));
    CANCEL("b", 0); /* the stage's clean-up */
    ASK("a", 2, 2);
    /* GenStage would take this one. */
    EXPECT_TERM(ctx, drive_subscribe_term(ctx, &d, "c", COP_NIL), "{:error, :already_subscribed}");
    test_flush(ctx);
    DISPATCH("[1]", "[]");
    TAKEN("[a: [1]]");
    CANCEL("a", 0);
    SUBSCRIBE("c", "[]");
}

TEST(DI_030_trace_B1) {
    START(cop_broadcast_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", 5, 5);
    STATE("{[{0, _, :a, nil}], 5, 5, _}");
    SUBSCRIBE("b", "[]");
    STATE("{[{5, _, :a, nil}, {0, _, :b, nil}], 0, 5, _}");
    ASK("a", 1, 0);
    STATE("{[{6, _, :a, nil}, {0, _, :b, nil}], 0, 5, _}");
    ASK("b", 3, 0);
    STATE("{[{3, _, :a, nil}, {0, _, :b, nil}], 3, 5, _}");
    DISPATCH("[1, 2, 3, 4]", "[4]");
    TAKEN("[a: [1, 2, 3], b: [1, 2, 3]]");
    STATE("{[{3, _, :a, nil}, {0, _, :b, nil}], 0, 2, _}");
    SUBSCRIBE("c", "[]");
    ASK("c", 10, 0);
    ASK("b", 2, 0);
    STATE("{[{1, _, :a, nil}, {0, _, :b, nil}, {8, _, :c, nil}], 2, 2, _}");
    DISPATCH("[5]", "[]");
    TAKEN("[a: [5], b: [5], c: [5]]");
    STATE("{[{1, _, :a, nil}, {0, _, :b, nil}, {8, _, :c, nil}], 1, 1, _}");
    CANCEL("b", 1);
    STATE("{[{0, _, :a, nil}, {7, _, :c, nil}], 2, 2, _}");
    CANCEL("c", 0);
    ASK("a", 4, 4);
    STATE("{[{0, _, :a, nil}], 6, 6, _}");
    DISPATCH("[1, 2, 3, 4, 5, 6, 7, 8]", "[7, 8]");
    TAKEN("[a: [1, 2, 3, 4, 5, 6]]");
    STATE("{[{0, _, :a, nil}], 0, 0, _}");
}

TEST(DI_030_trace_B2) {
    START(cop_broadcast_dispatcher, "[]");
    SELECTS("a", cop_a(even));
    SUBSCRIBE("b", "[]");
    ASK("a", 4, 0);
    ASK("b", 4, 4);
    DISPATCH("[1, 2, 3, 4]", "[]");
    TAKEN("[{:a, [2, 4]}, {:\"$gen_producer\", {_, :a}, {:ask, 2}}, {:b, [1, 2, 3, 4]}]");
    ASK("a", 2, 0);
    ASK("b", 4, 2);
    DISPATCH("[5, 7]", "[]");
    TAKEN("[{:a, []}, {:\"$gen_producer\", {_, :a}, {:ask, 2}}, {:b, [5, 7]}]");
}

TEST(DI_031_nothing_selected_is_sent_as_an_empty_list) {
    START(cop_broadcast_dispatcher, "[]");
    SELECTS("a", cop_a(none)); /* its answer for numbers is nil, which is no */
    ASK("a", 4, 4);
    DISPATCH("[1, 2]", "[]");
    TAKEN("[{:a, []}, {:\"$gen_producer\", {_, :a}, {:ask, 2}}]");
    ASK("a", 2, 2);
}

TEST(DI_032_what_is_no_selector_raises) {
    START(cop_broadcast_dispatcher, "[]");
    EXPECT_ERROR(ctx,
                 "%ArgumentError{message: \":selector option must be passed a unary function, got: "
                 ":oops\"}") {
        drive_subscribe_term(ctx, &d, "a", drive_read(ctx, "[selector: :oops]"));
    }
    SELECTS("b", cop_a(boom));
    ASK("b", 1, 1);
    EXPECT_ERROR(ctx, "%RuntimeError{message: \"boom\"}") { drive_dispatch(ctx, &d, "[1]"); }
}

TEST(DI_036_one_that_never_asks_holds_the_others_up) {
    START(cop_broadcast_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    SUBSCRIBE("b", "[]");
    ASK("a", 8, 0);
    CANCEL("b", 8);
    STATE("{[{0, _, :a, nil}], 8, 8, _}");
}

TEST(DI_037_info_is_sent_at_once) {
    START(cop_broadcast_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", 8, 8);
    INFO("{:some, :info}");
    TAKEN("[some: :info]");
}

TEST(a_selector_goes_with_its_subscription) {
    START(cop_broadcast_dispatcher, "[]");
    SELECTS("a", cop_a(even));
    CANCEL("a", 0);
    SUBSCRIBE("a", "[selector: nil]");
    ASK("a", 2, 2);
    DISPATCH("[1, 2]", "[]");
    TAKEN("[a: [1, 2]]");
}
