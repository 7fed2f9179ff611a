/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage: pipelines, the demand mode, the buffer of events, and infos. What is expected was observed with
 * gen_stage 1.3.2 unless a test says that we differ.
 */
#include "gen_stage_help.h"

#define COUNTER "%{init: {:producer, 0}, demand: :count, id: :a, tell: [:demand, :cancel]}"

/* ---- pipelines --------------------------------------------------------------------------------------------- */

static cop_pid with_producer(cop_ctx *ctx, const char *script, cop_pid producer, const char *opts) {
    char text[1024], to[64];
    cop_inspect_to(to, sizeof to, producer.t, NULL);
    const char *at = strchr(script, '@');
    snprintf(text, sizeof text, "%.*ssubscribe_to: [{%s, %s}]%s", (int)(at - script), script, to,
             opts, at + 1);
    return act(ctx, text);
}

TEST(GT_030_a_pipeline_subscribed_in_init) {
    cop_pid a = act(ctx, COUNTER);
    cop_pid b = with_producer(ctx, "%{init: {:producer_consumer, 2, [@]}, events: :double, id: :b}",
                              a, "[max_demand: 10]");
    cop_pid c =
        with_producer(ctx, "%{init: {:consumer, 0, [@]}, id: :c, tell: [:events]}", b, "[]");
    batch(ctx, "b", 0, 5, 1);
    batch(ctx, "b", 5, 5, 1);
    batch(ctx, "b", 10, 5, 1);
    batch(ctx, "c", 0, 5, 2);
    act_end(ctx, c);
    act_end(ctx, b);
    act_end(ctx, a);
}

TEST(GT_031_the_same_wired_by_hand_from_below) {
    cop_pid a = act(ctx, COUNTER);
    static const char b[] =
        "%{init: {:producer_consumer, 2}, events: :double, id: :b, tell: [:events]}";
    cop_pid b1 = act(ctx, b), b2 = act(ctx, b);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:events]}");
    subscribe(ctx, c, b1, "[]");
    settle(ctx, b1);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    subscribe(ctx, b1, a, "[max_demand: 10]");
    subscribe(ctx, b2, a, "[max_demand: 10]");
    ASSERT_RECEIVE(ctx, "{:a, :demand, 10}");
    ASSERT_RECEIVE(ctx, "{:a, :demand, _}");
    ASSERT_RECEIVE(ctx, "{:c, :events, [0, 2, 4, 6, 8]}");
    act_end(ctx, c);
    act_end(ctx, b1);
    act_end(ctx, b2);
    act_end(ctx, a);
}

struct line {
    cop_pid a, b, c;
};

static struct line line(cop_ctx *ctx, const char *events, const char *b_opts, const char *c_opts,
                        bool late) {
    char script[200];
    struct line l = { .a = act(ctx, COUNTER) };
    if (late) {
        snprintf(script, sizeof script,
                 "%%{init: {:producer_consumer, 0}, events: %s, id: :b, tell: [:events]}", events);
        l.b = act(ctx, script);
        l.c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:events]}");
        subscribe(ctx, l.c, l.b, c_opts);
        subscribe(ctx, l.b, l.a, b_opts);
        return l;
    }
    snprintf(script, sizeof script,
             "%%{init: {:producer_consumer, 0, [@]}, events: %s, id: :b, tell: [:events]}", events);
    l.b = with_producer(ctx, script, l.a, b_opts);
    l.c = with_producer(ctx, "%{init: {:consumer, 0, [@]}, id: :c, tell: [:events]}", l.b, c_opts);
    return l;
}

static void end_line(cop_ctx *ctx, struct line l) {
    act_end(ctx, l.c);
    act_end(ctx, l.b);
    act_end(ctx, l.a);
    test_flush(ctx);
}

/* The stage with that id got each of these numbers twice, as its next batch. */
static void batch_of_pairs(cop_ctx *ctx, const char *id, int first, int n) {
    cop_term message = ASSERT_RECEIVE(ctx, P("{:%s, :events, _}", id)), list, head;
    list = cop_elem(message, 2);
    EXPECT_INT(cop_list_length(list), 2 * n);
    for (int i = 0; cop_get_cons(list, &head, &list); i++)
        EXPECT(cop_match(head, first + i / 2));
}

/* Further batches up to that number: how they are cut depends on when the stages run, but none is larger
   than max_demand - min_demand, and nothing is lost or out of order. */
static void pairs_up_to(cop_ctx *ctx, const char *id, int first, int last) {
    for (int at = 2 * first; at <= 2 * last + 1;) {
        cop_term message = ASSERT_RECEIVE(ctx, P("{:%s, :events, _}", id)), list, head;
        list = cop_elem(message, 2);
        EXPECT(cop_list_length(list) <= 50);
        for (; cop_get_cons(list, &head, &list); at++)
            EXPECT(cop_match(head, at / 2));
    }
}

static void small_batches(cop_ctx *ctx, bool late) {
    struct line l = line(ctx, ":twice", "[max_demand: 100, min_demand: 80]",
                         "[max_demand: 100, min_demand: 50]", late);
    for (int i = 0; i < 6; i++)
        batch(ctx, "b", 20 * i, 20, 1);
    batch_of_pairs(ctx, "c", 0, 20);
    batch_of_pairs(ctx, "c", 20, 20);
    pairs_up_to(ctx, "c", 40, 139);
    end_line(ctx, l);
}

static void large_batches(cop_ctx *ctx, bool late) {
    struct line l = line(ctx, ":twice", "[max_demand: 100, min_demand: 20]",
                         "[max_demand: 100, min_demand: 50]", late);
    batch(ctx, "b", 0, 80, 1);
    batch_of_pairs(ctx, "c", 0, 25);
    batch_of_pairs(ctx, "c", 25, 25);
    pairs_up_to(ctx, "c", 50, 179);
    batch(ctx, "b", 80, 20, 1);
    batch(ctx, "b", 100, 80, 1);
    end_line(ctx, l);
}

TEST(GT_032_small_batches_through_a_producer_consumer) { small_batches(ctx, false); }
TEST(GT_033_large_batches_through_a_producer_consumer) { large_batches(ctx, false); }
TEST(GT_034_the_same_subscribed_late) {
    small_batches(ctx, true);
    large_batches(ctx, true);
}

/* A producer-consumer that keeps what it gets, and emits it with the next batch. */
struct later {
    cop_term kept, watcher;
};

static cop_stage_init later_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct later *self = state;
    self->watcher = arg;
    self->kept = COP_NIL;
    return cop_stage_producer_consumer(0);
}

static cop_stage_next later_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    struct later *self = state;
    cop_events old;
    cop_term list = cop_events_to_list(ctx, events);
    cop_send(ctx, self->watcher, cop_tuple(ctx, cop_a(b), cop_a(events), list));
    cop_events_from_list(ctx, self->kept, &old);
    self->kept = list;
    return cop_stage_emit(old);
}

static const cop_gen_stage later = { .name = "Later",
                                     .state_size = sizeof(struct later),
                                     .state_terms = 2,
                                     .init = later_init,
                                     .handle_events = later_events };

TEST(GT_035_a_hanging_consumer_stops_the_pipeline) {
    cop_pid a = act(ctx, COUNTER);
    cop_pid b = cop_gen_stage_start(ctx, &later, cop_self(ctx).t, NULL).pid;
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, events: :hang, tell: [:events]}");
    subscribe(ctx, c, b, "[max_demand: 10, min_demand: 5]");
    subscribe(ctx, b, a, "[max_demand: 10, min_demand: 8]");
    for (int i = 0; i < 5; i++)
        batch(ctx, "b", 2 * i, 2, 1);
    batch(ctx, "c", 0, 2, 1);
    REFUTE_RECEIVE(ctx, "{:c, :events, _}", 50);
    act_end(ctx, c);
    act_end(ctx, b);
    act_end(ctx, a);
}

TEST(GT_036_a_producer_consumer_that_discards_all_goes_on) {
    struct line l = line(ctx, ":nothing", "[max_demand: 100, min_demand: 80]", "[]", true);
    for (int i = 0; i < 51; i++)
        batch(ctx, "b", 20 * i, 20, 1);
    /* Nothing holds a and b back: they would fill this mailbox faster than it is searched. */
    cop_sys_suspend(ctx, l.a, 0);
    REFUTE_RECEIVE(ctx, "{:c, :events, _}", 0);
    end_line(ctx, l);
}

/* A producer-consumer between this process, its producer, and this process, its consumer. */
struct middle {
    cop_pid b;
    cop_term up, down;
};

static struct middle middle(cop_ctx *ctx, const char *script, const char *opts) {
    struct middle m = { .b = act(ctx, script), .down = cop_make_ref(ctx).t };
    m.up = subscribe(ctx, m.b, cop_self(ctx), opts);
    to_producer(ctx, m.b, m.down, "{:subscribe, nil, []}");
    settle(ctx, m.b);
    test_flush(ctx);
    return m;
}

static void receive(cop_ctx *ctx, struct middle *m, const char *list) {
    to_consumer(ctx, m->b, m->up, list);
    settle(ctx, m->b);
}

static void ask(cop_ctx *ctx, struct middle *m, int n) {
    to_producer(ctx, m->b, m->down, P("{:ask, %d}", n));
    settle(ctx, m->b);
}

/* What the stage has sent us up to now, oldest first: batches it handled, events, and asks. */
static void sent(cop_ctx *ctx, const char *expected) {
    cop_term all = test_flush(ctx), message, what = COP_NIL, x, from;
    while (cop_get_cons(all, &message, &all)) {
        if (cop_match_tuple(message, cop_as("$gen_consumer"), &from, &x)
            || cop_match_tuple(message, cop_as("$gen_producer"), &from, &x))
            what = cop_cons(ctx, x, what);
        else
            what = cop_cons(ctx, message, what);
    }
    EXPECT_TERM(ctx, cop_list_reverse(ctx, what), expected);
}

TEST(GT_037_a_pass_through_takes_its_queue_as_there_is_demand) {
    struct middle m =
        middle(ctx, "%{init: {:producer_consumer, 0}, events: :pass, tell: [:events]}",
               "[max_demand: 10, min_demand: 5]");
    receive(ctx, &m, "[1, 2, 3, 4]");
    receive(ctx, &m, "[5, 6]");
    sent(ctx, "[]");
    ask(ctx, &m, 1);
    sent(ctx, "[{:s, :events, [1, 2, 3, 4]}, [1]]");
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, m.b, 0), 3);
    ask(ctx, &m, 1);
    sent(ctx, "[[2]]");
    ask(ctx, &m, 4);
    sent(ctx, "[[3, 4], {:s, :events, [5, 6]}, [5, 6], {:ask, 6}]");
    act_end(ctx, m.b);
}

TEST(GT_037_events_that_become_more) {
    struct middle m =
        middle(ctx, "%{init: {:producer_consumer, 0}, events: :triple, tell: [:events]}", "[]");
    ask(ctx, &m, 4);
    receive(ctx, &m, "[1, 2, 3]");
    sent(ctx, "[{:s, :events, [1, 2, 3]}, [1, 1, 1, 2]]");
    receive(ctx, &m, "[4]");
    sent(ctx, "[]");
    ask(ctx, &m, 5);
    sent(ctx, "[[2, 2, 3, 3, 3]]");
    ask(ctx, &m, 1);
    sent(ctx, "[{:s, :events, [4]}, [4]]");
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, m.b, 0), 2);
    act_end(ctx, m.b);
}

TEST(GT_038_an_end_of_the_upstream_waits_behind_events) {
    struct middle m =
        middle(ctx, "%{init: {:producer_consumer, 0}, events: :pass, tell: [:events, :cancel]}",
               "[cancel: :temporary]");
    receive(ctx, &m, "[1, 2]");
    receive(ctx, &m, "[3]");
    to_consumer(ctx, m.b, m.up, "{:cancel, :done}");
    settle(ctx, m.b);
    sent(ctx, "[]");
    receive(ctx, &m, "[4]");
    sent(ctx, "[{:cancel, :unknown_subscription}]");
    ask(ctx, &m, 10);
    sent(ctx, P("[{:s, :events, [1, 2]}, [1, 2], {:s, :events, [3]}, [3], {:s, :cancel, {:cancel, "
                ":done}, {%s, %s}}]",
                S(cop_self(ctx)), S(m.up)));
    act_end(ctx, m.b);
}

TEST(GT_039_an_info_waits_behind_queued_events) {
    struct middle m = middle(
        ctx, "%{init: {:producer_consumer, 0}, events: :pass, tell: [:events, :info]}", "[]");
    cop_gen_stage_sync_info(ctx, m.b, cop_a(at_once), 0);
    settle(ctx, m.b);
    sent(ctx, "[{:s, :info, :at_once}]");
    receive(ctx, &m, "[1, 2]");
    cop_gen_stage_sync_info(ctx, m.b, cop_a(later), 0);
    settle(ctx, m.b);
    sent(ctx, "[]");
    ask(ctx, &m, 3);
    settle(ctx, m.b);
    sent(ctx, "[{:s, :events, [1, 2]}, [1, 2], {:s, :info, :later}]");
    act_end(ctx, m.b);
}

TEST(GT_040_discarding_with_a_demand_of_1) {
    struct middle m =
        middle(ctx, "%{init: {:producer_consumer, 0}, tell: []}", "[max_demand: 4, min_demand: 2]");
    ask(ctx, &m, 1);
    receive(ctx, &m, "[1, 2, 3, 4]");
    receive(ctx, &m, "[5, 6, 7, 8]");
    sent(ctx, "[{:ask, 2}, {:ask, 2}, {:ask, 2}, {:ask, 2}]");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, m.b, 0), "%{events: {{[], []}, 1}}");
    act_end(ctx, m.b);
}

TEST(GT_041_two_subscriptions_are_counted_apart) {
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, tell: []}");
    cop_term x = subscribe(ctx, c, cop_self(ctx), "[max_demand: 4, min_demand: 3]");
    cop_term y = subscribe(ctx, c, cop_self(ctx), "[max_demand: 10, min_demand: 0]");
    test_flush(ctx);
    to_consumer(ctx, c, x, "[1]");
    to_consumer(ctx, c, y, "[1, 2, 3]");
    settle(ctx, c);
    sent(ctx, "[{:ask, 1}]");
    to_consumer(ctx, c, y, "[4, 5, 6, 7, 8, 9, 10]");
    settle(ctx, c);
    sent(ctx, "[{:ask, 10}]");
    act_end(ctx, c);
}

/* ---- the demand mode ------------------------------------------------------------------------------------------ */

TEST(GT_045_an_accumulating_producer) {
    cop_pid p =
        act(ctx, "%{init: {:producer, 0, [demand: :accumulate]}, demand: :count, tell: []}");
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:events]}");
    EXPECT_TERM(ctx, cop_gen_stage_demand(ctx, p), ":accumulate");
    subscribe(ctx, c, p, "[max_demand: 4, min_demand: 0]");
    settle(ctx, p);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_FORWARD);
    batch(ctx, "c", 0, 4, 1);
    EXPECT_TERM(ctx, cop_gen_stage_demand(ctx, p), ":forward");
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_046_the_mode_is_set_twice_and_early) {
    cop_pid p = act(ctx, COUNTER);
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_ACCUMULATE);
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_ACCUMULATE);
    EXPECT_TERM(ctx, cop_gen_stage_demand(ctx, p), ":accumulate");
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_FORWARD);
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_FORWARD);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:events]}");
    subscribe(ctx, c, p, "[max_demand: 4, min_demand: 0]");
    batch(ctx, "c", 0, 4, 1);
    act_end(ctx, c);
    act_end(ctx, p);
}

/* A producer whose consumer this process is, as `fake_tag`. */
static cop_pid fake(cop_ctx *ctx, const char *script, cop_term *tag) {
    cop_pid p = act(ctx, script);
    *tag = cop_make_ref(ctx).t;
    to_producer(ctx, p, *tag, "{:subscribe, nil, []}");
    settle(ctx, p);
    test_flush(ctx);
    return p;
}

static void ask_of(cop_ctx *ctx, cop_pid p, cop_term tag, int n) {
    to_producer(ctx, p, tag, P("{:ask, %d}", n));
    settle(ctx, p);
}

TEST(GT_047_demands_are_replayed_one_by_one) {
    cop_term x, y = cop_make_ref(ctx).t;
    cop_pid p = fake(ctx,
                     "%{init: {:producer, 0, [demand: :accumulate]}, demand: :echo, "
                     "tell: [:demand]}",
                     &x);
    to_producer(ctx, p, y, "{:subscribe, nil, []}");
    ask_of(ctx, p, x, 2);
    ask_of(ctx, p, y, 2);
    sent(ctx, "[]");
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_FORWARD);
    settle(ctx, p);
    sent(ctx, "[{:s, :demand, 2}, [2], {:s, :demand, 2}, [2]]");
    ask_of(ctx, p, x, 1);
    sent(ctx, "[{:s, :demand, 1}, [1]]");
    act_end(ctx, p);
}

TEST(GT_048_demands_and_events_keep_their_order) {
    cop_term tag;
    cop_pid p = fake(ctx, "%{init: {:producer, 0, [demand: :accumulate]}, tell: [:demand]}", &tag);
    ask_of(ctx, p, tag, 2);
    emit(ctx, p, "[:x]");
    ask_of(ctx, p, tag, 3);
    emit(ctx, p, "[:y]");
    sent(ctx, "[]");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0),
                "%{events: [{:dispatch, [:y]}, {:demand, 3}, {:dispatch, [:x]}, {:demand, 2}]}");
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_FORWARD);
    settle(ctx, p);
    sent(ctx, "[{:s, :demand, 2}, [:x], {:s, :demand, 3}, [:y]]");
    act_end(ctx, p);
}

TEST(GT_049_a_stop_ends_the_replay) {
    cop_term tag;
    cop_pid p = fake(ctx,
                     "%{init: {:producer, 0, [demand: :accumulate]}, demand: {:return, {:stop, "
                     ":enough, 0}}, tell: [:demand]}",
                     &tag);
    ask_of(ctx, p, tag, 2);
    ask_of(ctx, p, tag, 3);
    cop_ref ref = cop_process_monitor(ctx, p);
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_FORWARD);
    ended(ctx, ref, ":enough");
    sent(ctx, "[{:s, :demand, 2}]");
}

TEST(GT_050_replayed_demand_is_served_from_the_buffer_first) {
    cop_term tag;
    cop_pid p = fake(ctx, "%{init: {:producer, 0}, tell: [:demand]}", &tag);
    emit(ctx, p, "[1, 2, 3]");
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_ACCUMULATE);
    ask_of(ctx, p, tag, 2);
    ask_of(ctx, p, tag, 2);
    sent(ctx, "[]");
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_FORWARD);
    settle(ctx, p);
    sent(ctx, "[[1, 2], [3], {:s, :demand, 1}]");
    act_end(ctx, p);
}

TEST(GT_051_nothing_is_lost_while_consumers_change) {
    cop_term x, y = cop_make_ref(ctx).t, z;
    cop_pid p = fake(ctx,
                     "%{init: {:producer, 0, [dispatcher: GenStage.BroadcastDispatcher]}, "
                     "tell: []}",
                     &x);
    ask_of(ctx, p, x, 1);
    to_producer(ctx, p, x, "{:cancel, :normal}");
    settle(ctx, p);
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_ACCUMULATE);
    for (int i = 1; i <= 4; i++)
        cop_gen_stage_cast(ctx, p, T(ctx, P("{:emit, [%d]}", i)));
    settle(ctx, p);
    test_flush(ctx);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:events]}");
    z = subscribe(ctx, c, p, "[]");
    EXPECT(!cop_is_none(z));
    to_producer(ctx, p, y, "{:subscribe, nil, []}");
    ask_of(ctx, p, y, 1000);
    sent(ctx, "[]");
    cop_gen_stage_set_demand(ctx, p, COP_DEMAND_FORWARD);
    for (int i = 1; i <= 4; i++) {
        ASSERT_RECEIVE(ctx, P("{:\"$gen_consumer\", _, [%d]}", i));
        ASSERT_RECEIVE(ctx, P("{:c, :events, [%d]}", i));
    }
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, p, 0), 0);
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_052_the_mode_of_what_is_no_producer) {
    cop_pid pc = act(ctx, "%{init: {:producer_consumer, 0}}"),
            c = act(ctx, "%{init: {:consumer, 0}}");
    test_capture_log(ctx);
    EXPECT_TERM(ctx, cop_gen_stage_demand(ctx, c), ":forward");
    EXPECT_TERM(ctx, cop_gen_stage_demand(ctx, pc), ":forward"); /* GenStage's crashes */
    cop_gen_stage_set_demand(ctx, pc, COP_DEMAND_FORWARD);
    settle(ctx, pc);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    cop_gen_stage_set_demand(ctx, pc, COP_DEMAND_ACCUMULATE);
    cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [_, :producer_consumer]}, _}");
    EXPECT_SAME(
        ctx, cop_elem(cop_elem(log, 2), 1),
        cop_charlist(ctx, "Demand mode can only be set for producers, GenStage ~tp is a ~tp"));
    cop_gen_stage_set_demand(ctx, c, COP_DEMAND_FORWARD);
    ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [_, :consumer]}, _}");
    EXPECT_TERM(ctx, cop_gen_stage_demand(ctx, pc), ":forward");
    act_end(ctx, pc);
    act_end(ctx, c);
}

TEST(GT_053_a_mode_that_is_none) {
    cop_pid p = act(ctx, COUNTER);
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_gen_stage_set_demand(ctx, p, (cop_stage_demand)7);
    }
    act_end(ctx, p);
}

/* ---- the buffer --------------------------------------------------------------------------------------------------- */

TEST(GT_055_buffered_events_come_first) {
    cop_pid p = act(ctx, COUNTER), c = act(ctx, "%{init: {:consumer, 0}, id: :c, tell: [:events]}");
    emit(ctx, p, "[:a, :b, :c]");
    emit(ctx, p, "[:d, :e]");
    subscribe(ctx, c, p, "[max_demand: 4, min_demand: 0]");
    ASSERT_RECEIVE(ctx, "{:c, :events, [:a, :b, :c, :d]}");
    ASSERT_RECEIVE(ctx, "{:c, :events, [:e]}");
    ASSERT_RECEIVE(ctx, "{:c, :events, [0, 1, 2]}");
    ASSERT_RECEIVE(ctx, "{:c, :events, [3, 4, 5, 6]}");
    act_end(ctx, c);
    act_end(ctx, p);
}

static cop_term discarded(cop_ctx *ctx, int n) {
    cop_term log = ASSERT_RECEIVE(ctx, P("{:log, :warning, {:format, _, [_, %d]}, _}", n));
    EXPECT_SAME(ctx, cop_elem(cop_elem(log, 2), 1),
                cop_charlist(ctx, "GenStage producer ~tp has discarded ~tp events from buffer"));
    return cop_head(cop_elem(cop_elem(log, 2), 2));
}

static void overflow(cop_ctx *ctx, const char *keep, const char *first, const char *second) {
    cop_term tag;
    cop_pid p =
        fake(ctx, P("%%{init: {:producer, 0, [buffer_size: 5, buffer_keep: :%s]}, tell: []}", keep),
             &tag);
    test_capture_log(ctx);
    emit(ctx, p, "[:a, :b, :c, :d, :e]");
    emit(ctx, p, "[:f, :g, :h]");
    discarded(ctx, 3);
    ask_of(ctx, p, tag, 4);
    ask_of(ctx, p, tag, 4);
    sent(ctx, P("[%s, %s]", first, second));
    act_end(ctx, p);
}

TEST(GT_056_the_first_events_are_kept) { overflow(ctx, "first", "[:a, :b, :c, :d]", "[:e]"); }
TEST(GT_057_the_last_events_are_kept) { overflow(ctx, "last", "[:d, :e, :f, :g]", "[:h]"); }

TEST(GT_058_more_at_once_than_there_is_room_for) {
    for (int last = 0; last < 2; last++) {
        cop_term tag;
        cop_pid p = fake(ctx,
                         P("%%{init: {:producer, 0, [buffer_size: 3, buffer_keep: :%s]}, "
                           "tell: [:demand]}",
                           last ? "last" : "first"),
                         &tag);
        test_capture_log(ctx);
        emit(ctx, p, "[1, 2, 3, 4, 5, 6, 7, 8]");
        discarded(ctx, 5);
        ask_of(ctx, p, tag, 10);
        sent(ctx, last ? "[[6, 7, 8], {:s, :demand, 7}]" : "[[1, 2, 3], {:s, :demand, 7}]");
        act_end(ctx, p);
    }
}

TEST(GT_059_without_a_limit_nothing_is_dropped) {
    cop_pid p = act(ctx, "%{init: {:producer, 0, [buffer_size: :infinity]}, tell: []}");
    static char list[70000];
    size_t used = (size_t)snprintf(list, sizeof list, "[0");
    for (int i = 1; i < 10001; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, ",%d", i);
    snprintf(list + used, sizeof list - used, "]");
    emit(ctx, p, list);
    emit(ctx, p, list);
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, p, 0), 20002);
    act_end(ctx, p);
}

TEST(GT_060_format_discarded_decides_about_the_log) {
    test_capture_log(ctx);
    for (int log = 0; log < 2; log++) {
        cop_pid p = act(ctx, P("%%{init: {:producer, 0, [buffer_size: 1]}, discard: %s}",
                               log ? "true" : "false"));
        emit(ctx, p, "[1, 2, 3]");
        ASSERT_RECEIVE(ctx, "{:s, :discard, 2}");
        if (log)
            discarded(ctx, 2);
        else
            REFUTE_RECEIVE(ctx, "{:log, _, _, _}", 0);
        act_end(ctx, p);
    }
}

TEST(GT_061_how_many_events_wait) {
    cop_term tag;
    cop_pid p = fake(ctx, "%{init: {:producer, 0}, tell: []}", &tag);
    emit(ctx, p, "[1, 2, 3, 4, 5]");
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, p, 0), 5);
    emit(ctx, p, "[6, 7, 8]");
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, p, 0), 8);
    ask_of(ctx, p, tag, 8);
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, p, 0), 0);
    cop_pid c = act(ctx, "%{init: {:consumer, 0}}");
    test_capture_log(ctx);
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, c, 0), 0);
    cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [_]}, _}");
    EXPECT_SAME(ctx, cop_elem(cop_elem(log, 2), 1),
                cop_charlist(ctx,
                             "Buffered count can only be requested for producers, GenStage ~tp "
                             "is a consumer"));
    act_end(ctx, c);
    act_end(ctx, p);
}

TEST(GT_062_what_the_buffer_has_not_is_asked_for) {
    cop_term tag;
    cop_pid p = fake(ctx, "%{init: {:producer, 0}, tell: [:demand]}", &tag);
    emit(ctx, p, "[:a, :b, :c]");
    ask_of(ctx, p, tag, 5);
    sent(ctx, "[[:a, :b, :c], {:s, :demand, 2}]");
    act_end(ctx, p);
}

TEST(GT_063_more_than_was_asked_for_is_buffered) {
    cop_term tag;
    cop_pid p = fake(ctx,
                     "%{init: {:producer, 0}, demand: {:emit, [1, 2, 3, 4, 5]}, "
                     "tell: [:demand]}",
                     &tag);
    ask_of(ctx, p, tag, 2);
    sent(ctx, "[{:s, :demand, 2}, [1, 2]]");
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, p, 0), 3);
    ask_of(ctx, p, tag, 3);
    sent(ctx, "[[3, 4, 5]]");
    ask_of(ctx, p, tag, 1);
    sent(ctx, "[{:s, :demand, 1}, [1]]");
    act_end(ctx, p);
}

TEST(GT_064_logs_show_the_name) {
    cop_pid p = act_try(ctx, "%{init: {:producer, 0, [buffer_size: 1]}, tell: []}",
                        &(cop_start_opts){ .name = cop_a(my_stage) })
                    .pid;
    test_capture_log(ctx);
    emit(ctx, p, "[1, 2]");
    EXPECT_TERM(ctx, discarded(ctx, 1), ":my_stage");
    act_end(ctx, p);
}

TEST(GT_065_a_consumer_cannot_emit) {
    cop_pid c = act(ctx, "%{init: {:consumer, 0}}");
    test_capture_log(ctx);
    emit(ctx, c, "[1, 2]");
    cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [_, [1, 2]]}, _}");
    EXPECT_SAME(ctx, cop_elem(cop_elem(log, 2), 1),
                cop_charlist(ctx,
                             "GenStage consumer ~tp cannot dispatch events (an empty list must "
                             "be returned): ~tp"));
    settle(ctx, c);
    act_end(ctx, c);
}

TEST(a_buffer_of_no_size_drops_all_that_nobody_asked_for) { /* GenStage crashes in init */
    cop_term tag;
    cop_pid p =
        fake(ctx, "%{init: {:producer, 0, [buffer_size: 0]}, discard: false, tell: []}", &tag);
    emit(ctx, p, "[1, 2]");
    ask_of(ctx, p, tag, 2);
    emit(ctx, p, "[3, 4, 5]");
    emit(ctx, p, "[6]");
    sent(ctx, "[[3, 4]]");
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, p, 0), 0);
    act_end(ctx, p);
}

/* ---- infos ---------------------------------------------------------------------------------------------------------- */

static void info(cop_ctx *ctx, cop_pid p, const char *what) {
    cop_gen_stage_sync_info(ctx, p, T(ctx, what), 0);
    settle(ctx, p);
}

TEST(GT_070_an_info_with_nothing_before_it) {
    static const char *const kinds[] = { "consumer", "producer", "producer_consumer" };
    for (int i = 0; i < 3; i++) {
        cop_pid p = act(ctx, P("%%{init: {:%s, 0}}", kinds[i]));
        cop_gen_stage_sync_info(ctx, p, cop_a(one), 0);
        ASSERT_RECEIVE(ctx, "{:s, :info, :one}");
        cop_gen_stage_async_info(ctx, p, cop_a(two));
        ASSERT_RECEIVE(ctx, "{:s, :info, :two}");
        act_end(ctx, p);
    }
}

TEST(GT_071_an_info_behind_1_2_and_3_events) {
    for (int n = 1; n <= 3; n++) {
        cop_term tag;
        cop_pid p = fake(ctx, "%{init: {:producer, 0, [buffer_size: 3]}, tell: [:info]}", &tag);
        emit(ctx, p, P("[%s]", numbers(1, n, 1)));
        info(ctx, p, ":info");
        sent(ctx, "[]");
        for (int i = 1; i < n; i++)
            ask_of(ctx, p, tag, 1);
        REFUTE_RECEIVE(ctx, "{:s, :info, _}", 0);
        ask_of(ctx, p, tag, 1);
        settle(ctx, p);
        ASSERT_RECEIVE(ctx, "{:s, :info, :info}");
        act_end(ctx, p);
    }
}

TEST(GT_072_infos_move_with_the_buffer) {
    cop_term tag;
    cop_pid p = fake(ctx, "%{init: {:producer, 0, [buffer_size: 3]}, tell: [:info]}", &tag);
    emit(ctx, p, "[:a, :b, :c]");
    info(ctx, p, ":info1");
    ask_of(ctx, p, tag, 2);
    sent(ctx, "[[:a, :b]]");
    emit(ctx, p, "[:d, :e]");
    info(ctx, p, ":info2");
    ask_of(ctx, p, tag, 1);
    settle(ctx, p);
    sent(ctx, "[[:c], {:s, :info, :info1}]");
    ask_of(ctx, p, tag, 2);
    settle(ctx, p);
    sent(ctx, "[[:d, :e], {:s, :info, :info2}]");
    act_end(ctx, p);
}

TEST(GT_073_an_info_is_released_when_its_event_is_dropped) {
    cop_pid p = act(ctx, "%{init: {:producer, 0, [buffer_size: 3]}, tell: [:info]}");
    emit(ctx, p, "[:a, :b]");
    info(ctx, p, ":info");
    emit(ctx, p, "[:c, :d, :e]");
    ASSERT_RECEIVE(ctx, "{:s, :info, :info}");
    act_end(ctx, p);
    p = act(ctx, "%{init: {:producer, 0, [buffer_size: 2]}, tell: [:info]}");
    emit(ctx, p, "[1, 2]");
    info(ctx, p, ":info");
    emit(ctx, p, "[3]");
    settle(ctx, p);
    sent(ctx, "[]");
    emit(ctx, p, "[4]");
    ASSERT_RECEIVE(ctx, "{:s, :info, :info}");
    act_end(ctx, p);
}

TEST(GT_074_an_overflow_that_keeps_the_first_releases_no_info) {
    cop_term tag;
    cop_pid p = fake(ctx,
                     "%{init: {:producer, 0, [buffer_size: 2, buffer_keep: :first]}, "
                     "tell: [:info]}",
                     &tag);
    emit(ctx, p, "[1, 2]");
    info(ctx, p, ":info");
    emit(ctx, p, "[3, 4]");
    settle(ctx, p);
    sent(ctx, "[]");
    ask_of(ctx, p, tag, 2);
    settle(ctx, p);
    sent(ctx, "[[1, 2], {:s, :info, :info}]");
    act_end(ctx, p);
}

TEST(GT_075_infos_at_several_places_keep_their_order) {
    cop_term tag;
    cop_pid p = fake(ctx, "%{init: {:producer, 0}, tell: [:info]}", &tag);
    emit(ctx, p, "[:a, :b, :c]");
    info(ctx, p, ":d");
    info(ctx, p, ":e");
    info(ctx, p, ":f");
    emit(ctx, p, "[:g, :h]");
    info(ctx, p, ":i");
    ask_of(ctx, p, tag, 10);
    settle(ctx, p);
    sent(ctx, "[[:a, :b, :c], [:g, :h], {:s, :info, :d}, {:s, :info, :e}, {:s, :info, :f}, "
              "{:s, :info, :i}]");
    act_end(ctx, p);
}

TEST(GT_076_infos_with_and_without_a_limit) {
    cop_term tag;
    cop_pid p = fake(ctx,
                     "%{init: {:producer, 0, [buffer_size: :infinity]}, "
                     "tell: [:info, :demand]}",
                     &tag);
    emit(ctx, p, "[1, 2]");
    info(ctx, p, ":x");
    info(ctx, p, ":y");
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, p, 0), 4);
    ask_of(ctx, p, tag, 2);
    settle(ctx, p);
    sent(ctx, "[[1, 2]]");
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, p, 0), 2);
    ask_of(ctx, p, tag, 1);
    settle(ctx, p);
    sent(ctx, "[{:s, :demand, 1}, {:s, :info, :x}, {:s, :info, :y}]");
    act_end(ctx, p);
    p = fake(ctx, "%{init: {:producer, 0}, tell: [:info]}", &tag);
    emit(ctx, p, "[1, 2]");
    info(ctx, p, ":x");
    info(ctx, p, ":y");
    EXPECT_INT(cop_gen_stage_estimate_buffered_count(ctx, p, 0), 2);
    ask_of(ctx, p, tag, 1);
    settle(ctx, p);
    sent(ctx, "[[1]]");
    ask_of(ctx, p, tag, 1);
    settle(ctx, p);
    sent(ctx, "[[2], {:s, :info, :x}, {:s, :info, :y}]");
    act_end(ctx, p);
}
