/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dispatchers inside of stages: who gets what, what reaches the producer, and what ends it; and a dispatcher
 * of a program's own. As observed with gen_stage 1.3.2, unless a test says otherwise.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <stdio.h>
#include <string.h>

/* ---- a dispatcher of one's own -------------------------------------------------------------------- */

/* Sends everything to the last subscriber. Refuses whose options say refuse: why; returns, from subscribe and
   cancel, the demand that its options say. */
struct mine {
    cop_term opts;
    cop_term last; /* {pid, tag} */
    int64_t cancels;
};

static int64_t option(cop_term opts, const char *name) {
    cop_term pair, value;
    int64_t n;
    while (cop_get_cons(opts, &pair, &opts))
        if (cop_match_tuple(pair, cop_atom_new(name), &value) && cop_get_i64(value, &n))
            return n;
    return 0;
}

static void mine_init(cop_ctx *ctx, void *state, cop_term opts) {
    struct mine *self = state;
    self->opts = opts;
    self->last = cop_a(nil).t;
}

static cop_subscribed mine_subscribe(cop_ctx *ctx, void *state, cop_term opts, cop_from from) {
    struct mine *self = state;
    cop_term pair, why;
    for (cop_term rest = opts; cop_get_cons(rest, &pair, &rest);)
        if (cop_match_tuple(pair, cop_a(refuse), &why))
            return cop_subscribe_error(why);
    self->last = from.t;
    return cop_subscribe_ok(option(self->opts, "subscribe"));
}

static int64_t mine_ask(cop_ctx *ctx, void *state, int64_t n, cop_from from) { return n; }

static cop_events mine_dispatch(cop_ctx *ctx, void *state, cop_events events) {
    struct mine *self = state;
    if (!cop_is_tuple(self->last))
        return events;
    cop_dispatcher_send(ctx, (cop_from){ self->last }, events);
    return cop_no_events();
}

static int64_t mine_cancel(cop_ctx *ctx, void *state, cop_from from) {
    struct mine *self = state;
    self->cancels++;
    return option(self->opts, "cancel");
}

static cop_term mine_to_term(cop_ctx *ctx, const void *state) {
    const struct mine *self = state;
    return cop_map(ctx, cop_a(opts), self->opts, cop_a(cancels), self->cancels);
}

static const cop_dispatcher mine = {
    .name = "MyDispatcher",
    .state_size = sizeof(struct mine),
    .state_terms = 2,
    .init = mine_init,
    .subscribe = mine_subscribe,
    .ask = mine_ask,
    .dispatch = mine_dispatch,
    .cancel = mine_cancel,
    .state_to_term = mine_to_term,
};

/* ---- stages ----------------------------------------------------------------------------------------- */

/* Tells of its demand and cancels; emits what it is called with. arg: {tell, dispatcher, options}. */
struct source {
    cop_term tell;
};

static cop_stage_init source_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct source *self = state;
    cop_term kind, opts;
    if (!cop_match_tuple(arg, &self->tell, &kind, &opts))
        return cop_stage_init_stop(cop_a(badarg));
    const cop_dispatcher *dispatcher = cop_match(kind, cop_a(broadcast)) ? &cop_broadcast_dispatcher
                                       : cop_match(kind, cop_a(partition))
                                           ? &cop_partition_dispatcher
                                       : cop_match(kind, cop_a(mine)) ? &mine
                                                                      : NULL;
    if (cop_match(opts, cop_a(bare)))
        return cop_stage_producer(.dispatcher = dispatcher);
    return cop_stage_producer(.dispatcher = dispatcher, .dispatcher_opts = opts);
}

static cop_stage_next source_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct source *self = state;
    cop_send(ctx, self->tell, cop_tuple(ctx, cop_a(demand), demand));
    return cop_stage_noreply();
}

static cop_stage_next source_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    cop_events events;
    if (!cop_events_from_list(ctx, request, &events))
        return cop_stage_stop_reply(ctx, cop_a(badarg), cop_a(badarg));
    return cop_stage_reply(ctx, cop_a(ok), events);
}

static cop_stage_next source_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct source *self = state;
    cop_send(ctx, self->tell, cop_tuple(ctx, cop_a(source_lost), why));
    return cop_stage_noreply();
}

static const cop_gen_stage source = {
    .name = "Source",
    .state_size = sizeof(struct source),
    .state_terms = 1,
    .init = source_init,
    .handle_demand = source_demand,
    .handle_call = source_call,
    .handle_cancel = source_cancel,
};

static cop_started start_source(cop_ctx *ctx, cop_term arg) {
    return cop_gen_stage_start_link(ctx, &source, arg, NULL);
}

/* Tells what it gets. arg: {tell, name, subscribe_to}. */
struct sink {
    cop_term tell, name;
};

static cop_stage_init sink_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct sink *self = state;
    cop_term to;
    if (!cop_match_tuple(arg, &self->tell, &self->name, &to))
        return cop_stage_init_stop(cop_a(badarg));
    return cop_stage_consumer(.subscribe_to = to);
}

static cop_stage_next sink_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    struct sink *self = state;
    cop_send(ctx, self->tell, cop_tuple(ctx, self->name, cop_events_to_list(ctx, events)));
    return cop_stage_noreply();
}

static cop_stage_next sink_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct sink *self = state;
    cop_send(ctx, self->tell, cop_tuple(ctx, self->name, cop_a(lost), why));
    return cop_stage_noreply();
}

static const cop_gen_stage sink = {
    .name = "Sink",
    .state_size = sizeof(struct sink),
    .state_terms = 2,
    .init = sink_init,
    .handle_events = sink_events,
    .handle_cancel = sink_cancel,
};

static cop_started start_sink(cop_ctx *ctx, cop_term arg) {
    return cop_gen_stage_start_link(ctx, &sink, arg, NULL);
}

/* ---- help --------------------------------------------------------------------------------------------- */

static cop_term read(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

static cop_pid new_source(cop_ctx *ctx, cop_atom dispatcher, cop_term opts) {
    return test_start_supervised(ctx, start_source,
                                 cop_tuple(ctx, cop_self(ctx), dispatcher, opts));
}

static cop_pid new_sink(cop_ctx *ctx, cop_atom name, cop_term subscribe_to) {
    return test_start_supervised(ctx, start_sink,
                                 cop_tuple(ctx, cop_self(ctx), name, subscribe_to));
}

static void emit(cop_ctx *ctx, cop_pid producer, const char *list) {
    EXPECT_TERM(ctx, cop_gen_stage_call(ctx, producer, read(ctx, list), 0), ":ok");
}

/* The test process as a consumer. */
static void tell_producer(cop_ctx *ctx, cop_pid producer, const char *tag, cop_term what) {
    cop_send(ctx, producer,
             cop_tuple(ctx, cop_as("$gen_producer"),
                       cop_tuple(ctx, cop_self(ctx), cop_atom_new(tag)), what));
}
static void subscribe(cop_ctx *ctx, cop_pid producer, const char *tag, cop_term opts) {
    tell_producer(ctx, producer, tag, cop_tuple(ctx, cop_a(subscribe), cop_a(nil), opts));
}
static void ask(cop_ctx *ctx, cop_pid producer, const char *tag, int64_t n) {
    tell_producer(ctx, producer, tag, cop_tuple(ctx, cop_a(ask), n));
}
static void cancel(cop_ctx *ctx, cop_pid producer, const char *tag) {
    tell_producer(ctx, producer, tag, cop_tuple(ctx, cop_a(cancel), cop_a(done)));
}

/* The end of what is monitored by that reference: its reason. */
static cop_term end_of(cop_ctx *ctx, cop_ref ref) {
    cop_term down;
    EXPECT(cop_receive_ref(ctx, 5000, ref, &down));
    return cop_elem(down, 4);
}

static cop_term above_two(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    int64_t n;
    if (!cop_get_i64(argv[0], &n))
        cop_raise(ctx, "RuntimeError", "no number");
    return cop_bool(n > 2).t;
}

static cop_term key_begins_with_foo(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_bytes key;
    return cop_bool(cop_match_key(argv[0], cop_a(key), &key) && key.size >= 4
                    && memcmp(key.data, "foo-", 4) == 0)
        .t;
}

static cop_term option_list(cop_ctx *ctx, cop_atom key, cop_term value) {
    return cop_list(ctx, cop_tuple(ctx, key, value));
}

static cop_term selecting(cop_ctx *ctx, cop_fun_body body) {
    return option_list(ctx, cop_a(selector), cop_fun(ctx, body, 1, COP_NIL));
}

/* ---- the cases ---------------------------------------------------------------------------------------- */

TEST(DI_011_the_default_is_the_demand_dispatcher) {
    cop_pid producer = new_source(ctx, cop_a(none), COP_NIL);
    EXPECT_TERM(
        ctx, cop_sys_get_state(ctx, producer, 0),
        "%{dispatcher_mod: GenStage.DemandDispatcher, dispatcher_state: {[], 0, nil, false}}");
}

TEST(fresh_states_are_seen_by_sys) {
    cop_pid broadcast = new_source(ctx, cop_a(broadcast), COP_NIL);
    cop_pid partition = new_source(ctx, cop_a(partition), read(ctx, "[partitions: 1]"));
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, broadcast, 0),
                "%{dispatcher_mod: GenStage.BroadcastDispatcher, dispatcher_state: {[], 0, 0, "
                "%{__struct__: MapSet}}}");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, partition, 0),
                "%{dispatcher_mod: GenStage.PartitionDispatcher, dispatcher_state: {_, _, 0, 0, "
                "%{0 => {nil, nil, 0}}, %{}, %{}}}");
}

TEST(DI_029_a_second_subscription_is_cancelled_and_the_first_goes_on) {
    cop_pid producer = new_source(ctx, cop_a(broadcast), COP_NIL);
    cop_pid consumer = new_sink(ctx, cop_a(got), COP_NIL);
    test_capture_log(ctx);
    EXPECT_TERM(ctx, cop_gen_stage_sync_subscribe(ctx, consumer, producer, NULL, 0), "{:ok, _}");
    EXPECT_TERM(ctx, cop_gen_stage_sync_subscribe(ctx, consumer, producer, NULL, 0), "{:ok, _}");
    ASSERT_RECEIVE(ctx, "{:got, :lost, {:cancel, :already_subscribed}}");
    ASSERT_RECEIVE(ctx, "{:source_lost, {:cancel, :already_subscribed}}");
    ASSERT_RECEIVE(ctx, "{:log, :error, _, _}");
    ASSERT_RECEIVE(ctx, "{:demand, 1000}");
    emit(ctx, producer, "[:a, :b]");
    ASSERT_RECEIVE(ctx, "{:got, [:a, :b]}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(DI_031_nothing_selected_is_asked_for_again) {
    cop_pid producer = new_source(ctx, cop_a(broadcast), COP_NIL);
    subscribe(ctx, producer, "t", selecting(ctx, above_two));
    ask(ctx, producer, "t", 4);
    ASSERT_RECEIVE(ctx, "{:demand, 4}");
    emit(ctx, producer, "[1, 2]");
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", {_, :t}, []}");
    ASSERT_RECEIVE(ctx, "{:demand, 2}");
}

TEST(DI_032_a_bad_selector_ends_the_producer) {
    cop_pid producer = new_source(ctx, cop_a(broadcast), COP_NIL);
    cop_ref ref = cop_process_monitor(ctx, producer);
    subscribe(ctx, producer, "t", option_list(ctx, cop_a(selector), cop_a(oops).t));
    EXPECT_TERM(ctx, end_of(ctx, ref),
                "{%ArgumentError{message: \":selector option must be passed a unary function, got: "
                ":oops\"}, [_ | _]}");
}

TEST(DI_032_a_raising_selector_ends_the_producer) {
    cop_pid producer = new_source(ctx, cop_a(broadcast), COP_NIL);
    subscribe(ctx, producer, "t", selecting(ctx, above_two));
    ask(ctx, producer, "t", 1);
    ASSERT_RECEIVE(ctx, "{:demand, 1}");
    cop_called called = cop_gen_server_try_call(ctx, producer, read(ctx, "[:x]"), 0);
    EXPECT_TERM(ctx, called.value, "{%RuntimeError{message: \"no number\"}, [_ | _]}");
}

TEST(DI_033_a_selector_of_keys) {
    cop_pid producer = new_source(ctx, cop_a(broadcast), COP_NIL);
    cop_subscribe_opts opts = { .max_demand = 10, .terms = selecting(ctx, key_begins_with_foo) };
    new_sink(ctx, cop_a(foo), cop_list(ctx, cop_subscription(ctx, producer, &opts)));
    ASSERT_RECEIVE(ctx, "{:demand, 10}");
    emit(ctx, producer,
         "[%{key: \"foo-1\"}, %{key: \"bar-1\"}, %{key: \"foo-2\"}, %{key: \"foo\"}]");
    ASSERT_RECEIVE(ctx, "{:foo, [%{key: \"foo-1\"}, %{key: \"foo-2\"}]}");
}

TEST(DI_034_the_common_demand_is_asked_once) {
    cop_pid producer = new_source(ctx, cop_a(broadcast), COP_NIL);
    cop_subscribe_opts ten = { .max_demand = 10, .min_demand = COP_ZERO };
    cop_subscribe_opts twenty = { .max_demand = 20, .min_demand = COP_ZERO };
    new_sink(ctx, cop_a(a), cop_list(ctx, cop_subscription(ctx, producer, &ten)));
    new_sink(ctx, cop_a(b), cop_list(ctx, cop_subscription(ctx, producer, &twenty)));
    ASSERT_RECEIVE(ctx, "{:demand, 10}");
    emit(ctx, producer, "[1, 2, 3, 4, 5, 6, 7, 8, 9]");
    ASSERT_RECEIVE(ctx, "{:a, [1, 2, 3, 4, 5, 6, 7, 8, 9]}");
    ASSERT_RECEIVE(ctx, "{:b, [1, 2, 3, 4, 5, 6, 7, 8, 9]}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(DI_035_one_that_never_asks_blocks_all_until_it_is_cancelled) {
    cop_pid producer = new_source(ctx, cop_a(broadcast), COP_NIL);
    subscribe(ctx, producer, "synchroniser", COP_NIL);
    cop_subscribe_opts ten = { .max_demand = 10 };
    new_sink(ctx, cop_a(a), cop_list(ctx, cop_subscription(ctx, producer, &ten)));
    emit(ctx, producer, "[1, 2]");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    cancel(ctx, producer, "synchroniser");
    ASSERT_RECEIVE(ctx, "{:a, [1, 2]}");
    ASSERT_RECEIVE(ctx, "{:demand, 8}");
}

TEST(DI_036_a_cancel_of_one_that_never_asked_brings_the_others_demand) {
    cop_pid producer = new_source(ctx, cop_a(broadcast), COP_NIL);
    subscribe(ctx, producer, "silent", COP_NIL);
    cop_subscribe_opts eight = { .max_demand = 8 };
    new_sink(ctx, cop_a(a), cop_list(ctx, cop_subscription(ctx, producer, &eight)));
    emit(ctx, producer, "[]");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    cancel(ctx, producer, "silent");
    ASSERT_RECEIVE(ctx, "{:demand, 8}");
}

static void init_fails(cop_ctx *ctx, const char *opts, const char *text) {
    char pattern[300];
    cop_started got = cop_gen_stage_start(
        ctx, &source, cop_tuple(ctx, cop_self(ctx), cop_a(partition), read(ctx, opts)), NULL);
    EXPECT_INT(got.is, COP_ERROR);
    snprintf(pattern, sizeof pattern, "{%%ArgumentError{message: \"%s\"}, [_ | _]}", text);
    EXPECT_TERM(ctx, got.reason, pattern);
}

TEST(DI_050_a_producer_with_bad_partitions_does_not_start) {
    init_fails(ctx, "[]",
               "the enumerable of :partitions is required when using the partition dispatcher");
    init_fails(
        ctx, "[partitions: [:odd, :even]]",
        "when :partitions contains partitions that are not integers, you have to pass in the "
        ":hash option as well");
}

static void subscribe_ends(cop_ctx *ctx, const char *opts, const char *text) {
    char pattern[300];
    cop_pid producer = new_source(ctx, cop_a(partition), read(ctx, "[partitions: 2]"));
    cop_ref ref = cop_process_monitor(ctx, producer);
    subscribe(ctx, producer, "t", read(ctx, opts));
    snprintf(pattern, sizeof pattern, "{%%ArgumentError{message: \"%s\"}, [_ | _]}", text);
    EXPECT_TERM(ctx, end_of(ctx, ref), pattern);
}

TEST(DI_050_a_bad_partition_ends_the_producer) {
    subscribe_ends(
        ctx, "[]",
        "the :partition option is required when subscribing to a producer with partition "
        "dispatcher");
    subscribe_ends(ctx, "[partition: 7]", ":partition must be one of [0, 1], got: 7");
    cop_pid producer = new_source(ctx, cop_a(partition), read(ctx, "[partitions: 2]"));
    cop_ref ref = cop_process_monitor(ctx, producer);
    subscribe(ctx, producer, "t", read(ctx, "[partition: 1]"));
    subscribe(ctx, producer, "u", read(ctx, "[partition: 1]"));
    cop_term reason = end_of(ctx, ref), message;
    EXPECT(cop_match_key(cop_elem(reason, 0), cop_a(message), &message));
    EXPECT_SAME(ctx, message,
                cop_iodata_to_binary(ctx, cop_list(ctx, "the partition 1 is already taken by ",
                                                   cop_inspect(ctx, cop_self(ctx).t, NULL))));
}

TEST(a_refused_partition_leaves_the_producer_alone) {
    cop_pid producer =
        new_source(ctx, cop_a(partition), read(ctx, "[partitions: 2, bad_subscription: :refuse]"));
    subscribe(ctx, producer, "t", read(ctx, "[partition: 7]"));
    ASSERT_RECEIVE(
        ctx, "{:\"$gen_consumer\", {_, :t}, {:cancel, {:bad_opts, \":partition must be one of "
             "[0, 1], got: 7\"}}}");
    subscribe(ctx, producer, "u", read(ctx, "[partition: 1]"));
    ask(ctx, producer, "u", 3);
    ASSERT_RECEIVE(ctx, "{:demand, 3}");
}

static cop_term constant(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    return env;
}

static void hash_ends(cop_ctx *ctx, cop_term returns, const char *reason) {
    cop_term hash = cop_fun(ctx, constant, 1, returns);
    cop_pid producer =
        new_source(ctx, cop_a(partition),
                   cop_list(ctx, cop_tuple(ctx, cop_a(partitions), cop_list(ctx, cop_a(x))),
                            cop_tuple(ctx, cop_a(hash), hash)));
    subscribe(ctx, producer, "t", read(ctx, "[partition: :x]"));
    ask(ctx, producer, "t", 1);
    ASSERT_RECEIVE(ctx, "{:demand, 1}");
    EXPECT_TERM(ctx, cop_gen_server_try_call(ctx, producer, cop_list(ctx, 1), 0).value, reason);
}

TEST(DI_050_a_bad_hash_ends_the_producer) {
    hash_ends(ctx, cop_a(oops).t,
              "{%RuntimeError{message: \"the :hash function should return {event, partition}, got: "
              ":oops\"}, [_ | _]}");
    hash_ends(
        ctx, cop_tuple(ctx, 1, cop_a(y)),
        "{%RuntimeError{message: \"unknown partition :y computed for GenStage event 1. The known "
        "partitions are [:x]. See the :partitions option to set your own. This event has been "
        "discarded.\"}, [_ | _]}");
}

static cop_term by_phash2(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    return cop_tuple(ctx, argv[0], cop_phash2_range(argv[0], 4));
}

TEST(DI_052_a_consumer_gets_the_events_of_its_partition) {
    cop_term opts = cop_list(ctx, cop_tuple(ctx, cop_a(partitions), cop_range(ctx, 0, 3, 1)),
                             cop_tuple(ctx, cop_a(hash), cop_fun(ctx, by_phash2, 1, COP_NIL)));
    cop_pid producer = new_source(ctx, cop_a(partition), opts);
    cop_subscribe_opts two = { .max_demand = 10, .terms = read(ctx, "[partition: 2]") };
    cop_subscribe_opts three = { .max_demand = 10, .terms = read(ctx, "[partition: 3]") };
    new_sink(ctx, cop_a(two), cop_list(ctx, cop_subscription(ctx, producer, &two)));
    cop_pid other = new_sink(ctx, cop_a(three), COP_NIL);
    EXPECT_TERM(ctx, cop_gen_stage_sync_subscribe(ctx, other, producer, &three, 0), "{:ok, _}");
    ASSERT_RECEIVE(ctx, "{:demand, 10}");
    ASSERT_RECEIVE(ctx, "{:demand, 10}");
    emit(ctx, producer, "[0, 1, 2, 3, 4, 5]"); /* observed: phash2(e, 4) is 1, 2, 0, 3, 3, 2 */
    ASSERT_RECEIVE(ctx, "{:two, [1, 5]}");
    ASSERT_RECEIVE(ctx, "{:three, [3, 4]}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

/* ---- a dispatcher of one's own ------------------------------------------------------------------------- */

TEST(DI_060_init_gets_the_options) {
    cop_pid given = new_source(ctx, cop_a(mine), read(ctx, "[{:any, \"option\"}, 7]"));
    cop_pid bare = new_source(ctx, cop_a(mine), cop_a(bare).t);
    EXPECT_TERM(
        ctx, cop_sys_get_state(ctx, given, 0),
        "%{dispatcher_mod: MyDispatcher, dispatcher_state: %{opts: [{:any, \"option\"}, 7], "
        "cancels: 0}}");
    cop_garbage_collect(ctx, given);
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, given, 0),
                "%{dispatcher_state: %{opts: [{:any, \"option\"}, 7]}}");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, bare, 0), "%{dispatcher_state: %{opts: []}}");
}

TEST(DI_061_a_dispatcher_may_refuse_a_subscription) {
    cop_pid producer = new_source(ctx, cop_a(mine), COP_NIL);
    subscribe(ctx, producer, "t", read(ctx, "[refuse: {:full, 3}]"));
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", {_, :t}, {:cancel, {:full, 3}}}");
    ASSERT_RECEIVE(ctx, "{:source_lost, {:cancel, {:full, 3}}}");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, producer, 0),
                "%{dispatcher_state: %{cancels: 1}, consumers: %{}}");
}

TEST(DI_062_demand_of_subscribe_and_cancel_takes_the_buffer_first) {
    cop_pid producer = new_source(ctx, cop_a(mine), read(ctx, "[subscribe: 5, cancel: 4]"));
    emit(ctx, producer, "[1, 2]");
    subscribe(ctx, producer, "t", COP_NIL);
    ASSERT_RECEIVE(ctx, "{:\"$gen_consumer\", {_, :t}, [1, 2]}");
    ASSERT_RECEIVE(ctx, "{:demand, 3}");
    cancel(ctx, producer, "t");
    ASSERT_RECEIVE(ctx, "{:source_lost, {:cancel, :done}}");
    ASSERT_RECEIVE(ctx, "{:demand, 4}");
}
