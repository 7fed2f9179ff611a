/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage.DemandDispatcher, callback by callback. All numbers are those of gen_stage 1.3.2.
 */
#include "dispatcher_drive.h"

TEST(DI_001_a_subscription_has_no_demand) {
    START(cop_demand_dispatcher, "[]");
    STATE("{[], 0, nil, false}");
    SUBSCRIBE("a", "[]");
    STATE("{[{0, _, :a}], 0, nil, false}");
    CANCEL("a", 0);
    STATE("{[], 0, nil, false}");
}

TEST(DI_002_what_a_consumer_leaves_behind_is_pending) {
    START(cop_demand_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", 10, 10);
    STATE("{[{10, _, :a}], 0, 10, false}");
    CANCEL("a", 0);
    STATE("{[], 10, 10, false}");
    SUBSCRIBE("b", "[]");
    ASK("b", 5, 0);
    STATE("{[{5, _, :b}], 5, 10, false}");
    CANCEL("b", 0);
    STATE("{[], 10, 10, false}");
    DISPATCH("[1, 2, 3]", "[1, 2, 3]");
    STATE("{[], 7, 10, false}");
    DISPATCH("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]");
    STATE("{[], 0, 10, false}");
    TAKEN("[]");
}

TEST(DI_003_one_process_may_subscribe_twice) {
    START(cop_demand_dispatcher, "[]");
    d.pids = cop_map(ctx, cop_a(a), cop_self(ctx), cop_a(b), cop_self(ctx));
    SUBSCRIBE("a", "[]");
    SUBSCRIBE("b", "[]");
    ASK("a", 3, 3);
    ASK("b", 3, 3);
    CANCEL("a", 0);
    STATE("{[{3, _, :b}], 3, 3, false}");
    DISPATCH("[1, 2, 3, 4, 5]", "[4, 5]");
    TAKEN("[b: [1, 2, 3]]");
    STATE("{[{0, _, :b}], 1, 3, false}");
}

TEST(DI_004_what_nobody_asked_for_is_left_over) {
    START(cop_demand_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", 3, 3);
    DISPATCH("[:a]", "[]");
    TAKEN("[a: [:a]]");
    STATE("{[{2, _, :a}], 0, 3, false}");
    ASK("a", 3, 3);
    STATE("{[{5, _, :a}], 0, 3, false}");
    DISPATCH("[:a, :b, :c, :d, :e, :f, :g]", "[:f, :g]");
    TAKEN("[a: [:a, :b, :c, :d, :e]]");
    DISPATCH("[:a, :b, :c]", "[:a, :b, :c]");
    TAKEN("[]");
}

TEST(DI_005_the_largest_demand_stands_first) {
    START(cop_demand_dispatcher, "[max_demand: 100]");
    SUBSCRIBE("a", "[]");
    SUBSCRIBE("b", "[]");
    SUBSCRIBE("c", "[]");
    ASK("a", 4, 4);
    ASK("b", 2, 2);
    ASK("c", 3, 3);
    STATE("{[{4, _, :a}, {3, _, :c}, {2, _, :b}], 0, 100, false}");
    ASK("c", 2, 2);
    STATE("{[{5, _, :c}, {4, _, :a}, {2, _, :b}], 0, 100, false}");
    ASK("b", 4, 4);
    STATE("{[{6, _, :b}, {5, _, :c}, {4, _, :a}], 0, 100, false}");
}

TEST(DI_006_a_batch_goes_to_the_first_as_far_as_it_asked) {
    START(cop_demand_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    SUBSCRIBE("b", "[]");
    ASK("a", 3, 3);
    ASK("b", 2, 2);
    DISPATCH("[1, 2, 3, 4, 5]", "[]");
    TAKEN("[a: [1, 2, 3], b: [4, 5]]");
    STATE("{[{0, _, :a}, {0, _, :b}], 0, 3, false}");
    DISPATCH("[1, 2]", "[1, 2]");
    TAKEN("[]");
    ASK("a", 3, 3);
    ASK("b", 3, 3);
    DISPATCH("[1, 2]", "[]");
    STATE("{[{3, _, :b}, {1, _, :a}], 0, 3, false}");
    DISPATCH("[3, 4]", "[]");
    STATE("{[{1, _, :a}, {1, _, :b}], 0, 3, false}");
    DISPATCH("[5, 6, 7]", "[7]");
    TAKEN("[a: [1, 2], b: [3, 4], a: [5], b: [6]]");
    STATE("{[{0, _, :a}, {0, _, :b}], 0, 3, false}");
}

TEST(DI_007_trace_D1) {
    START(cop_demand_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    SUBSCRIBE("b", "[]");
    ASK("b", 2, 2);
    STATE("{[{2, _, :b}, {0, _, :a}], 0, 2, false}");
    ASK("a", 2, 2);
    STATE("{[{2, _, :b}, {2, _, :a}], 0, 2, false}");
    ASK("a", 1, 1);
    STATE("{[{3, _, :a}, {2, _, :b}], 0, 2, false}");
    DISPATCH("[1, 2, 3, 4, 5, 6]", "[6]");
    TAKEN("[a: [1, 2, 3], b: [4, 5]]");
    ASK("b", 4, 4);
    STATE("{[{4, _, :b}, {0, _, :a}], 0, 2, false}");
    CANCEL("b", 0);
    STATE("{[{0, _, :a}], 4, 2, false}");
    ASK("a", 3, 0);
    STATE("{[{3, _, :a}], 1, 2, false}");
    ASK("a", 3, 2);
    STATE("{[{6, _, :a}], 0, 2, false}");
    DISPATCH("[7, 8]", "[]");
    TAKEN("[a: [7, 8]]");
    CANCEL("a", 0);
    STATE("{[], 4, 2, false}");
    DISPATCH("[9, 10, 11, 12, 13]", "[9, 10, 11, 12, 13]");
    STATE("{[], 0, 2, false}");
}

TEST(DI_007_trace_D2) {
    START(cop_demand_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    SUBSCRIBE("b", "[]");
    SUBSCRIBE("c", "[]");
    ASK("a", 5, 5);
    ASK("b", 5, 5);
    ASK("c", 5, 5);
    STATE("{[{5, _, :a}, {5, _, :b}, {5, _, :c}], 0, 5, false}");
    DISPATCH("[1, 2, 3]", "[]");
    STATE("{[{5, _, :b}, {5, _, :c}, {2, _, :a}], 0, 5, false}");
    DISPATCH("[4, 5, 6, 7]", "[]");
    STATE("{[{5, _, :c}, {2, _, :a}, {1, _, :b}], 0, 5, false}");
    DISPATCH("[8, 9, 10, 11, 12, 13]", "[]");
    STATE("{[{1, _, :b}, {1, _, :a}, {0, _, :c}], 0, 5, false}");
    TAKEN("[a: [1, 2, 3], b: [4, 5, 6, 7], c: [8, 9, 10, 11, 12], a: [13]]");
    ASK("a", 3, 3);
    STATE("{[{4, _, :a}, {1, _, :b}, {0, _, :c}], 0, 5, false}");
    DISPATCH("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "[6, 7, 8, 9, 10]");
    TAKEN("[a: [1, 2, 3, 4], b: [5]]");
}

/* One dispatch to two consumers with demands of 3 and 2; true if the first one got 3. */
static bool first_gets_three(cop_ctx *ctx) {
    START(cop_demand_dispatcher, "[shuffle_demands_on_first_dispatch: true]");
    SUBSCRIBE("a", "[]");
    SUBSCRIBE("b", "[]");
    SUBSCRIBE("c", "[]");
    ASK("a", 3, 3);
    ASK("b", 2, 2);
    STATE("{[{3, _, :a}, {2, _, :b}, {0, _, :c}], 0, 3, true}");
    DISPATCH("[1, 2, 3, 4, 5]", "[]");
    STATE("{[{0, _, _}, {0, _, _}, {0, _, _}], 0, 3, false}");
    cop_term taken = drive_taken(ctx);
    if (cop_match(cop_elem(cop_head(taken), 0), cop_a(a))) {
        EXPECT_TERM(ctx, taken, "[a: [1, 2, 3], b: [4, 5]]");
        return true;
    }
    EXPECT_TERM(ctx, taken, "[b: [1, 2], a: [3, 4, 5]]");
    return false;
}

TEST(DI_008_the_first_dispatch_may_shuffle) {
    int three = 0;
    for (int i = 0; i < 64; i++)
        three += first_gets_three(ctx);
    EXPECT(three > 0 && three < 64);
}

TEST(DI_009_info_is_sent_at_once) {
    START(cop_demand_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", 2, 2);
    INFO("{:some, :info}");
    TAKEN("[some: :info]");
    STATE("{[{2, _, :a}], 0, 2, false}");
}

static const char warning[] =
    "{:log, :warning, {:format, _, [%s]}, %%{error_logger: %%{tag: :warning_msg}}}";

TEST(DI_010_more_than_the_maximum_is_warned_of) {
    START(cop_demand_dispatcher, "[max_demand: 3]");
    char pattern[200];
    SUBSCRIBE("a", "[]");
    test_capture_log(ctx);
    ASK("a", 4, 4);
    snprintf(pattern, sizeof pattern, warning, "3, 4, _");
    cop_term log = ASSERT_RECEIVE(ctx, pattern), format = cop_elem(cop_elem(log, 2), 1);
    EXPECT_SAME(ctx, format,
                cop_charlist(ctx,
                             "GenStage producer DemandDispatcher expects a maximum demand of ~tp. "
                             "Using different maximum demands will overload greedy consumers. Got "
                             "demand for ~tp events from ~tp~n"));
}

TEST(DI_010_the_first_demand_is_the_maximum) {
    START(cop_demand_dispatcher, "[]");
    char pattern[200];
    SUBSCRIBE("a", "[]");
    test_capture_log(ctx);
    ASK("a", 5, 5);
    TAKEN("[]");
    ASK("a", 6, 6);
    snprintf(pattern, sizeof pattern, warning, "5, 6, _");
    ASSERT_RECEIVE(ctx, pattern);
    ASK("a", 5, 5);
    TAKEN("[]");
}

TEST(options_that_are_none_are_refused) {
    EXPECT_ERROR(
        ctx, "%ArgumentError{message: \"expected :max_demand to be a positive integer, got: 0\"}") {
        START(cop_demand_dispatcher, "[max_demand: 0]");
        (void)d;
    }
    EXPECT_ERROR(ctx,
                 "%ArgumentError{message: \"expected :shuffle_demands_on_first_dispatch to be a "
                 "boolean, got: 1\"}") {
        START(cop_demand_dispatcher, "[shuffle_demands_on_first_dispatch: 1]");
        (void)d;
    }
}

TEST(a_tag_may_be_any_term_and_events_go_to_who_asked_last) {
    START(cop_demand_dispatcher, "[]");
    cop_from first = { cop_tuple(ctx, test_idle_pid(ctx), cop_tuple(ctx, cop_a(tag), "of mine")) };
    cop_from again = { cop_tuple(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(tag), "of mine")) };
    cop_from other = { cop_tuple(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(tag), "of yours")) };
    d.table->subscribe(ctx, d.state, COP_NIL, first);
    d.table->subscribe(ctx, d.state, COP_NIL, other);
    EXPECT_INT(d.table->ask(ctx, d.state, 2, again), 2);
    DISPATCH("[1, 2, 3]", "[3]");
    TAKEN("[{{:tag, \"of mine\"}, [1, 2]}]");
    EXPECT_INT(d.table->cancel(ctx, d.state, first), 0);
    STATE("{[{0, _, {:tag, \"of yours\"}}], 0, 2, false}");
}

TEST(demands_add_up_without_limit) {
    START(cop_demand_dispatcher, "[]");
    SUBSCRIBE("a", "[]");
    ASK("a", INT64_MAX, INT64_MAX);
    SUBSCRIBE("c", "[]");
    ASK("c", INT64_MAX, INT64_MAX);
    ASK("a", INT64_MAX, INT64_MAX);
    EXPECT_INT(d.table->room(ctx, d.state), INT64_MAX);
    CANCEL("c", 0);
    EXPECT_INT(d.table->room(ctx, d.state), INT64_MAX);
    DISPATCH("[1]", "[]");
    TAKEN("[a: [1]]");
    CANCEL("a", 0);
    SUBSCRIBE("b", "[]");
    ASK("b", 1000, 0);
    EXPECT_INT(d.table->room(ctx, d.state), 1000);
}
