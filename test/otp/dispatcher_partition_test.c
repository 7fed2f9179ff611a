/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage.PartitionDispatcher, callback by callback. All numbers are those of gen_stage 1.3.2. The state
 * is {tag, hash, waiting, pending, %{name => {pid, tag, demand | queue}}, %{tag => name}, infos}; a queue
 * is {rear, front}.
 */
#include "dispatcher_drive.h"

/* ---- hashes ------------------------------------------------------------------------------------- */

static cop_term remainder_of(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    int64_t n = 0, by = 1;
    cop_get_i64(argv[0], &n);
    cop_get_i64(env, &by);
    return cop_tuple(ctx, argv[0], n % by);
}

/* Above 2 it is dropped; else ten times the event. */
static cop_term small_only(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    int64_t n = 0;
    cop_get_i64(argv[0], &n);
    return n > 2 ? cop_a(none).t : cop_tuple(ctx, 10 * n, cop_a(x));
}

/* {partition, value}, of which a 0 is dropped. */
static cop_term by_pair(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term partition, value;
    if (!cop_match_tuple(argv[0], &partition, &value))
        cop_error(ctx, cop_a(badarg));
    return cop_match(value, 0) ? cop_a(none).t : cop_tuple(ctx, value, partition);
}

static cop_term odd_or_even(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    int64_t n = 0;
    cop_get_i64(argv[0], &n);
    if (cop_match(env, cop_a(no_threes)) && n % 3 == 0)
        return cop_a(none).t;
    return cop_tuple(ctx, argv[0], n % 2 == 0 ? cop_a(even) : cop_a(odd));
}

static cop_term constant(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    return env;
}

static cop_term hashed(cop_ctx *ctx, const char *partitions, cop_fun_body body, cop_term env) {
    return cop_list(ctx, cop_tuple(ctx, cop_a(partitions), drive_read(ctx, partitions)),
                    cop_tuple(ctx, cop_a(hash), cop_fun(ctx, body, 1, env)));
}
#define START_HASHED(partitions, body, env)                           \
    struct drive d = drive_start_term(ctx, &cop_partition_dispatcher, \
                                      hashed(ctx, partitions, body, cop_of(ctx, env)))
/* waiting and pending */
#define WAITING(n, p) STATE("{_, _, " #n ", " #p ", _, _, _}")
#define PARTITIONS(pattern) STATE("{_, _, _, _, " pattern ", _, _}")

/* ---- the cases ---------------------------------------------------------------------------------- */

TEST(a_fresh_state) {
    START(cop_partition_dispatcher, "[partitions: 2]");
    STATE("{_, _, 0, 0, %{0 => {nil, nil, 0}, 1 => {nil, nil, 0}}, %{}, %{}}");
    cop_term state = d.table->state_to_term(ctx, d.state);
    EXPECT(cop_is_ref(cop_elem(state, 0)));
    EXPECT_INT(cop_fun_arity(cop_elem(state, 1)), 1);
    EXPECT_TERM(ctx, cop_fun_call(ctx, cop_elem(state, 1), cop_a(x)), "{:x, _}");
    EXPECT_INT(cop_map_size(cop_elem(state, 6)), 0);
}

static void demand_moves(cop_ctx *ctx, struct drive d, const char *first, const char *second,
                         const char *four) {
    SUBSCRIBE("a", first);
    ASK("a", 10, 10);
    WAITING(10, 0);
    CANCEL("a", 0);
    WAITING(10, 10);
    SUBSCRIBE("b", second);
    ASK("b", 5, 0);
    WAITING(10, 5);
    CANCEL("b", 0);
    WAITING(10, 10);
    DISPATCH(four, "[]");
    TAKEN("[]");
    WAITING(6, 10);
}

TEST(DI_040_what_a_consumer_leaves_behind_is_pending) {
    START(cop_partition_dispatcher, "[partitions: 2]");
    demand_moves(ctx, d, "[partition: 0]", "[partition: 1]", "[1, 2, 5, 6]");
    PARTITIONS("%{0 => {nil, nil, {[6], [1, 2, 5]}}, 1 => {nil, nil, 0}}");
}

TEST(DI_041_one_partition) {
    START(cop_partition_dispatcher, "[partitions: 1]");
    SUBSCRIBE("a", "[partition: 0]");
    ASK("a", 3, 3);
    DISPATCH("[1]", "[]");
    TAKEN("[a: [1]]");
    WAITING(2, 0);
    ASK("a", 3, 3);
    WAITING(5, 0);
    DISPATCH("[2, 3, 4, 5, 6, 7, 8]", "[7, 8]");
    TAKEN("[a: [2, 3, 4, 5, 6]]");
    WAITING(0, 0);
}

TEST(DI_042_names_of_ones_own) {
    START_HASHED("[:odd, :even]", odd_or_even, COP_NIL);
    demand_moves(ctx, d, "[partition: :odd]", "[partition: :even]", "[1, 2, 5, 6]");
    PARTITIONS("%{odd: {nil, nil, {[5], [1]}}, even: {nil, nil, {[6], [2]}}}");
}

TEST(DI_042_one_partition_of_a_name) {
    START_HASHED("[:x]", small_only, COP_NIL);
    SUBSCRIBE("a", "[partition: :x]");
    ASK("a", 3, 3);
    DISPATCH("[1]", "[]");
    TAKEN("[a: [10]]");
    WAITING(2, 0);
    ASK("a", 3, 3);
    DISPATCH("[2, 2, 2, 2, 2, 2, 2]", "[2, 2]");
    TAKEN("[a: [20, 20, 20, 20, 20]]");
}

TEST(DI_043_the_hash_may_drop_events) {
    START_HASHED("[:odd, :even]", odd_or_even, cop_a(no_threes));
    SUBSCRIBE("e", "[partition: :even]");
    SUBSCRIBE("o", "[partition: :odd]");
    ASK("e", 4, 4);
    ASK("o", 4, 4);
    DISPATCH("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]", "[12]");
    cop_term taken = drive_taken(ctx);
    EXPECT_INT(cop_list_length(taken), 2);
    bool odd_first = cop_match(cop_elem(cop_head(taken), 0), cop_a(o));
    EXPECT_TERM(ctx, taken,
                odd_first ? "[o: [1, 5, 7, 11], e: [2, 4, 8, 10]]"
                          : "[e: [2, 4, 8, 10], o: [1, 5, 7, 11]]");
}

TEST(DI_044_a_partition_without_a_consumer_queues) {
    START(cop_partition_dispatcher, "[partitions: 2]");
    SUBSCRIBE("b", "[partition: 1]");
    ASK("b", 5, 5);
    DISPATCH("[1, 2, 5, 6, 7]", "[]");
    TAKEN("[]");
    WAITING(0, 0);
    DISPATCH("[8, 9]", "[8, 9]");
    SUBSCRIBE("a", "[partition: 0]");
    ASK("a", 5, 5);
    TAKEN("[a: [1, 2, 5, 6, 7]]");
}

TEST(DI_045_more_than_was_asked_for_waits_for_the_next_ask) {
    START(cop_partition_dispatcher, "[partitions: 2]");
    SUBSCRIBE("a", "[partition: 0]");
    SUBSCRIBE("b", "[partition: 1]");
    ASK("a", 5, 5);
    ASK("b", 5, 5);
    DISPATCH("[1, 2, 5, 6, 7, 1, 2, 5, 6, 7]", "[]");
    TAKEN("[a: [1, 2, 5, 6, 7]]");
    ASK("a", 5, 5);
    TAKEN("[a: [1, 2, 5, 6, 7]]");
}

TEST(DI_046_a_cancel_lets_an_info_go) {
    START(cop_partition_dispatcher, "[partitions: 2]");
    SUBSCRIBE("a", "[partition: 0]");
    SUBSCRIBE("b", "[partition: 1]");
    ASK("b", 5, 5);
    DISPATCH("[1, 2, 5, 6, 7]", "[]");
    INFO("{:some, :info}");
    TAKEN("[]");
    CANCEL("a", 5);
    TAKEN("[some: :info]");
    WAITING(5, 0);
    PARTITIONS("%{0 => {nil, nil, 0}, 1 => {_, :b, 5}}");
}

TEST(DI_047_info_goes_at_once_or_behind_what_waits) {
    START(cop_partition_dispatcher, "[partitions: 2]");
    INFO(":nobody");
    TAKEN("[:nobody]");
    SUBSCRIBE("a", "[partition: 0]");
    SUBSCRIBE("b", "[partition: 1]");
    ASK("a", 5, 5);
    ASK("b", 5, 5);
    INFO(":nothing_waits");
    TAKEN("[:nothing_waits]");
    DISPATCH("[1, 2, 5, 6, 7, 1, 2]", "[]");
    TAKEN("[a: [1, 2, 5, 6, 7]]");
    INFO(":behind");
    ASK("b", 1, 1);
    TAKEN("[]");
    STATE("{_, _, 4, 0, %{0 => {_, :a, {[{_, :behind}], [1, 2]}}}, _, %{0 => {:behind, 1}}}");
    ASK("a", 2, 2);
    TAKEN("[a: [1, 2]]"); /* no demand is left behind the last of them */
    ASK("a", 1, 1);
    TAKEN("[:behind]");
}

TEST(DI_048_a_demand_used_up_exactly_counts_as_waiting) {
    START(cop_partition_dispatcher, "[partitions: 2]");
    SUBSCRIBE("a", "[partition: 0]");
    SUBSCRIBE("b", "[partition: 1]");
    ASK("a", 3, 3);
    ASK("b", 3, 3);
    DISPATCH("[1, 2, 5]", "[]");
    TAKEN("[a: [1, 2, 5]]");
    PARTITIONS("%{0 => {_, :a, {[], []}}, 1 => {_, :b, 3}}");
    INFO(":late");
    TAKEN("[]");
    ASK("b", 2, 2);
    TAKEN("[]");
    ASK("a", 5, 5);
    TAKEN("[:late]");
    PARTITIONS("%{0 => {_, :a, 5}, 1 => {_, :b, 5}}");
}

TEST(an_info_waits_for_all_queues_and_cuts_them_into_messages) {
    START_HASHED("2", remainder_of, 2);
    SUBSCRIBE("a", "[partition: 0]");
    SUBSCRIBE("b", "[partition: 1]");
    ASK("a", 1, 1);
    ASK("b", 9, 9);
    DISPATCH("[2, 4, 6, 1, 3]", "[]");
    TAKEN("[a: [2], b: [1, 3]]");
    DISPATCH("[5, 7, 9, 11, 13]", "[]");
    TAKEN("[b: [5, 7, 9, 11, 13]]");
    INFO(":one");
    ASK("b", 3, 3);
    DISPATCH("[8, 15]", "[]");
    TAKEN("[b: [15]]");
    INFO(":two");
    STATE("{_, _, _, _, _, _, %{0 => {:one, 1}, 1 => {:two, 1}}}");
    ASK("a", 9, 9);
    TAKEN("[{:a, [4, 6]}, :one, {:a, [8]}, :two]");
}

TEST(DI_049_trace_P1) {
    START_HASHED("3", remainder_of, 3);
    SUBSCRIBE("a", "[partition: 0]");
    SUBSCRIBE("b", "[partition: 1]");
    ASK("a", 4, 4);
    ASK("b", 2, 2);
    WAITING(6, 0);
    DISPATCH("[1, 2, 3, 4, 5, 6, 7]", "[7]");
    TAKEN("[a: [3, 6], b: [1, 4]]");
    WAITING(0, 0);
    PARTITIONS("%{0 => {_, :a, 2}, 1 => {_, :b, {[], []}}, 2 => {nil, nil, {[5], [2]}}}");
    ASK("b", 2, 2);
    WAITING(2, 0);
    SUBSCRIBE("c", "[partition: 2]");
    ASK("c", 1, 1);
    TAKEN("[c: [2]]");
    WAITING(3, 0);
    CANCEL("b", 0);
    WAITING(3, 2);
    DISPATCH("[7, 8]", "[]");
    WAITING(1, 2);
    PARTITIONS("%{0 => {_, :a, 2}, 1 => {nil, nil, {[], [7]}}, 2 => {_, :c, {[8], [5]}}}");
}

TEST(DI_049_trace_P2) {
    START_HASHED("[:x]", small_only, COP_NIL);
    SUBSCRIBE("a", "[partition: :x]");
    ASK("a", 3, 3);
    DISPATCH("[1, 3, 4]", "[]");
    TAKEN("[a: [10]]");
    WAITING(2, 0);
    ASK("a", 1, 1);
    WAITING(3, 0);
    DISPATCH("[5, 6, 7, 8]", "[]");
    TAKEN("[]");
    WAITING(3, 0);
    DISPATCH("[1, 1, 1, 1]", "[1]");
    TAKEN("[a: [10, 10, 10]]");
}

TEST(DI_049_trace_P3) {
    START_HASHED("2", by_pair, COP_NIL);
    SUBSCRIBE("a", "[partition: 0]");
    ASK("a", 3, 3);
    DISPATCH("[{0, 1}, {1, 2}, {0, 0}, {1, 3}, {0, 4}]", "[{0, 4}]");
    TAKEN("[a: [1]]");
    PARTITIONS("%{0 => {_, :a, 2}, 1 => {nil, nil, {[3], [2]}}}");
    ASK("a", 3, 3);
    PARTITIONS("%{0 => {_, :a, 5}}");
    SUBSCRIBE("b", "[partition: 1]");
    ASK("b", 1, 1);
    TAKEN("[b: [2]]");
    WAITING(4, 0);
    DISPATCH("[{1, 5}, {0, 6}, {1, 7}, {1, 8}, {1, 9}]", "[{1, 9}]");
    TAKEN("[a: [6]]");
    PARTITIONS("%{0 => {_, :a, 4}, 1 => {_, :b, {[8], [3, 5, 7]}}}");
    CANCEL("b", 4);
    CANCEL("a", 0);
    WAITING(4, 4);
    SUBSCRIBE("c", "[partition: 1]");
    ASK("c", 4, 0);
    TAKEN("[]");
}

#define INIT_RAISES(text, opts)                                  \
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"" text "\"}") { \
        drive_start(ctx, &cop_partition_dispatcher, opts);       \
    }

TEST(DI_050_what_init_refuses) {
    INIT_RAISES("the enumerable of :partitions is required when using the partition dispatcher",
                "[]");
    INIT_RAISES(
        "when :partitions contains partitions that are not integers, you have to pass in the "
        ":hash option as well",
        "[partitions: [:odd, :even]]");
    /* GenStage takes these and behaves oddly. */
    INIT_RAISES("expected :partitions to be a positive integer, got: 0", "[partitions: 0]");
    INIT_RAISES("expected :partitions to be a positive integer, got: -3", "[partitions: -3]");
    INIT_RAISES("expected :partitions to have one partition at least, got: []", "[partitions: []]");
    INIT_RAISES("expected :hash to be a unary function, got: :phash2",
                "[partitions: 2, hash: :phash2]");
    EXPECT_ERROR(ctx, "%Protocol.UndefinedError{}") {
        drive_start(ctx, &cop_partition_dispatcher, "[partitions: :four]");
    }
}

#define SUBSCRIBE_RAISES(text, opts)                               \
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"" text "\"}") {   \
        drive_subscribe_term(ctx, &d, "b", drive_read(ctx, opts)); \
    }

TEST(DI_050_what_subscribe_refuses) {
    START(cop_partition_dispatcher, "[partitions: 2]");
    SUBSCRIBE_RAISES(
        "the :partition option is required when subscribing to a producer with partition "
        "dispatcher",
        "[]");
    SUBSCRIBE_RAISES(":partition must be one of [0, 1], got: 2", "[partition: 2]");
    SUBSCRIBE_RAISES(":partition must be one of [0, 1], got: \\\"0\\\"", "[partition: \"0\"]");
    d.pids = cop_map(ctx, cop_a(a), cop_self(ctx));
    SUBSCRIBE("a", "[partition: 1]");
    char pid[40], pattern[120];
    cop_inspect_to(pid, sizeof pid, cop_self(ctx).t, NULL);
    snprintf(pattern, sizeof pattern,
             "%%ArgumentError{message: \"the partition 1 is already taken by %s\"}", pid);
    EXPECT_ERROR(ctx, pattern) {
        drive_subscribe_term(ctx, &d, "b", drive_read(ctx, "[partition: 1]"));
    }
}

TEST(a_bad_subscription_may_be_refused_alone) {
    START(cop_partition_dispatcher, "[partitions: 2, bad_subscription: :refuse]");
    SUBSCRIBE("a", "[partition: 1]");
    EXPECT_TERM(ctx, drive_subscribe_term(ctx, &d, "b", COP_NIL),
                "{:error, {:bad_opts, \"the :partition option is required when subscribing to a "
                "producer with partition dispatcher\"}}");
    EXPECT_TERM(ctx, drive_subscribe_term(ctx, &d, "b", drive_read(ctx, "[partition: 2]")),
                "{:error, {:bad_opts, \":partition must be one of [0, 1], got: 2\"}}");
    EXPECT_TERM(ctx, drive_subscribe_term(ctx, &d, "b", drive_read(ctx, "[partition: 1]")),
                "{:error, {:bad_opts, _}}");
    CANCEL("b", 0); /* the stage's clean-up */
    ASK("a", 1, 1);
    DISPATCH("[0]", "[]"); /* observed: phash2(0, 2) is 1 */
    TAKEN("[a: [0]]");
    INIT_RAISES("expected :bad_subscription to be one of [:raise, :refuse], got: :ignore",
                "[partitions: 2, bad_subscription: :ignore]");
}

TEST(DI_050_what_a_hash_must_not_return) {
    const char *other =
        "%RuntimeError{message: \"the :hash function should return {event, partition}, "
        "got: :oops\"}";
    const char *unknown =
        "%RuntimeError{message: \"unknown partition :y computed for GenStage event 1. "
        "The known partitions are [:x]. See the :partitions option to set your own. "
        "This event has been discarded.\"}";
    {
        START_HASHED("[:x]", constant, cop_a(oops));
        SUBSCRIBE("a", "[partition: :x]");
        ASK("a", 1, 1);
        EXPECT_ERROR(ctx, other) { drive_dispatch(ctx, &d, "[1]"); }
    }
    START_HASHED("[:x]", constant, cop_tuple(ctx, 1, cop_a(y)));
    SUBSCRIBE("a", "[partition: :x]");
    ASK("a", 1, 1);
    EXPECT_ERROR(ctx, unknown) { drive_dispatch(ctx, &d, "[1]"); }
}

TEST(DI_051_a_number_stands_for_the_names_below_it) {
    {
        START(cop_partition_dispatcher, "[partitions: 4]");
        PARTITIONS("%{0 => {nil, nil, 0}, 1 => _, 2 => _, 3 => {nil, nil, 0}}");
        DISPATCH("[1]", "[1]");
    }
    struct drive d =
        drive_start_term(ctx, &cop_partition_dispatcher,
                         cop_list(ctx, cop_tuple(ctx, cop_a(partitions), cop_range(ctx, 0, 3, 1))));
    PARTITIONS("%{0 => {nil, nil, 0}, 1 => _, 2 => _, 3 => {nil, nil, 0}}");
    SUBSCRIBE("a", "[partition: 3]");
    ASK("a", 9, 9);
    DISPATCH("[0, 1, 2, 3, 4, 5]", "[]"); /* observed: phash2 of them is 1, 2, 0, 3, 3, 2 */
    TAKEN("[a: [3, 4]]");
}

static void expect_names(cop_ctx *ctx, cop_term partitions, const char *names) {
    struct drive d = drive_start_term(ctx, &cop_partition_dispatcher,
                                      cop_list(ctx, cop_tuple(ctx, cop_a(partitions), partitions)));
    EXPECT_TERM(ctx, cop_map_keys(ctx, cop_elem(d.table->state_to_term(ctx, d.state), 4)), names);
}

TEST(DI_053_names_are_any_enumerable) {
    expect_names(ctx, cop_range(ctx, 1, 2, 0), "[1, 2]");
    expect_names(ctx,
                 drive_read(ctx, "%{__struct__: MapSet, map: %{7 => [], 9 => []}, version: 2}"),
                 "[7, 9]");
    expect_names(ctx, cop_of(ctx, 1), "[0]");
    expect_names(ctx, drive_read(ctx, "[5, 3, 5]"), "[3, 5]");
}

/* Place 0 for odd numbers, 1 for even ones; threes are dropped. */
static int64_t odd_first(cop_ctx *ctx, cop_term event) {
    int64_t n = 0;
    return !cop_get_i64(event, &n) ? 7 : n % 3 == 0 ? COP_NO_PARTITION : n % 2 == 0;
}

static struct drive start_odd_first(cop_ctx *ctx) {
    return drive_start_term(
        ctx, &cop_partition_dispatcher,
        cop_list(ctx, cop_tuple(ctx, cop_a(partitions), cop_list(ctx, cop_a(odd), cop_a(even))),
                 cop_tuple(ctx, cop_a(hash), cop_partition_hash(ctx, odd_first))));
}

TEST(a_hash_in_C_gives_the_place_of_a_partition) {
    struct drive d = start_odd_first(ctx);
    SUBSCRIBE("e", "[partition: :even]");
    SUBSCRIBE("o", "[partition: :odd]");
    ASK("e", 4, 4);
    ASK("o", 3, 3);
    DISPATCH("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]", "[11, 12]");
    TAKEN("[o: [1, 5, 7], e: [2, 4, 8, 10]]");
    PARTITIONS("%{odd: {_, :o, {[], []}}, even: {_, :e, {[], []}}}");
}

TEST(a_hash_in_C_is_a_fun_too) {
    cop_term hash = cop_partition_hash(ctx, odd_first);
    EXPECT_INT(cop_fun_arity(hash), 1);
    EXPECT_TERM(ctx, cop_fun_call(ctx, hash, 4), "{4, 1}");
    EXPECT_TERM(ctx, cop_fun_call(ctx, hash, 9), ":none");
}

TEST(a_place_that_there_is_not_ends_the_producer) {
    struct drive d = start_odd_first(ctx);
    SUBSCRIBE("e", "[partition: :even]");
    ASK("e", 4, 4);
    EXPECT_ERROR(ctx,
                 "%RuntimeError{message: \"unknown partition 7 computed for GenStage event :a. The "
                 "known partitions are [:even, :odd]. See the :partitions option to set your own. "
                 "This event has been discarded.\"}") {
        drive_dispatch(ctx, &d, "[:a]");
    }
}

TEST(the_default_hash_is_of_the_number_of_partitions_whatever_their_names) {
    START(cop_partition_dispatcher, "[partitions: [1, 2]]");
    SUBSCRIBE("a", "[partition: 1]");
    ASK("a", 2, 2);
    DISPATCH("[:a]", "[]"); /* phash2(:a, 2) is 1 */
    TAKEN("[a: [:a]]");
    EXPECT_ERROR(ctx,
                 "%RuntimeError{message: \"unknown partition 0 computed for GenStage event 1. The "
                 "known partitions are [1, 2]. See the :partitions option to set your own. This "
                 "event has been discarded.\"}") {
        drive_dispatch(ctx, &d, "[1]");
    }
}

TEST(many_partitions_and_long_queues_keep_their_order) {
    START_HASHED("40", remainder_of, 40);
    cop_events all;
    cop_term *at = cop_events_new(ctx, 4000, &all);
    for (int64_t i = 0; i < 4000; i++)
        at[i] = cop_of(ctx, i);
    SUBSCRIBE("a", "[partition: 39]");
    ASK("a", 4000, 4000);
    EXPECT_INT(d.table->dispatch(ctx, d.state, all).count, 0);
    cop_term taken = drive_taken(ctx);
    EXPECT_INT(cop_list_length(cop_elem(cop_head(taken), 1)), 100);
    SUBSCRIBE("b", "[partition: 7]");
    ASK("b", 60, 60);
    ASK("b", 60, 60);
    taken = drive_taken(ctx);
    cop_term got =
        cop_list_append(ctx, cop_elem(cop_head(taken), 1), cop_elem(cop_head(cop_tail(taken)), 1));
    EXPECT_INT(cop_list_length(got), 100);
    for (int64_t i = 0; i < 100; i++, got = cop_tail(got))
        EXPECT(cop_match(cop_head(got), i * 40 + 7));
}
