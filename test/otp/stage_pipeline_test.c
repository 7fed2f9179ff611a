/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random pipelines, whose stages crash at random.
 *
 * A pipeline of up to 9 stages is drawn from a seed: producers, producer-consumers that hand on what they
 * get, consumers; each of the latter subscribes to one or two stages above it, with demands of its own. A
 * supervisor starts those again that the test kills, and who loses a producer subscribes anew. An event is
 * a number: who made it, and its place there. What consumers handle they tell the test, which looks at it:
 *
 *   - from one maker, a subscription brings events in their order, and none twice; where no stage broadcasts,
 *     no event is handled twice at all;
 *   - nobody gets more than was asked for: no stage says that it got events in excess;
 *   - when nothing is killed any more, each consumer goes on;
 *   - when the producers dry up, all that was made has been handled, if nobody was killed (and nobody
 *     broadcasts); else what is missing is no more than the killed ones can have held.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NODES = 9, MAX_UPS = 2, MAX_MAKERS = 200, MAX_SEQ = 20000, MAX_PAIRS = 4096 };

struct node {
    cop_stage_kind kind;
    int ups[MAX_UPS], up_count;
    int64_t max, min; /* demand of those who subscribe to it: equal, else the greedier gets all */
    bool broadcasts;
};
static struct node nodes[MAX_NODES];
static int node_count;
static bool any_broadcast;
static cop_pid tester;
static atomic_int makers; /* producers that were started */
static atomic_bool dry;   /* producers make no more */
static atomic_long made_by[MAX_MAKERS];

/* So many seeds; fewer by COPPICE_TEST_SCALE, for slow builds. */
static uint64_t seeds(uint64_t n) {
    const char *text = getenv("COPPICE_TEST_SCALE");
    uint64_t scale = text != NULL ? strtoull(text, NULL, 10) : 1;
    return scale > 1 ? n / scale + 3 : n;
}

static uint64_t dice;
static unsigned roll(unsigned sides) {
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (unsigned)(dice >> 20) % sides;
}

static cop_atom name_of(int64_t node) {
    char name[20];
    snprintf(name, sizeof name, "node_%d", (int)node);
    return cop_atom_new(name);
}

/* ---- a stage --------------------------------------------------------------------------------------------------- */

struct stage {
    cop_term tags[MAX_UPS]; /* of its subscriptions; COP_NONE: it has none */
    int64_t node, maker, seq;
};

static cop_stage_init stage_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct stage *self = state;
    cop_get_i64(arg, &self->node);
    const struct node *n = &nodes[self->node];
    const cop_dispatcher *dispatcher = n->broadcasts ? &cop_broadcast_dispatcher : NULL;
    cop_send(ctx, cop_self(ctx), cop_a(tick));
    if (n->kind == COP_CONSUMER)
        return cop_stage_consumer();
    if (n->kind == COP_PRODUCER_CONSUMER)
        return cop_stage_producer_consumer(.dispatcher = dispatcher);
    self->maker = atomic_fetch_add(&makers, 1);
    return cop_stage_producer(.dispatcher = dispatcher, .buffer_size = COP_INFINITY);
}

static cop_stage_next stage_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct stage *self = state;
    cop_events events;
    if (dry || self->maker >= MAX_MAKERS || self->seq + demand > MAX_SEQ)
        return cop_stage_noreply();
    cop_term *at = cop_events_new(ctx, (size_t)demand, &events);
    for (int64_t i = 0; i < demand; i++)
        at[i] = cop_of(ctx, self->maker * MAX_SEQ + self->seq++);
    atomic_fetch_add(&made_by[self->maker], demand);
    return cop_stage_emit(events);
}

static cop_stage_next stage_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    struct stage *self = state;
    if (nodes[self->node].kind == COP_PRODUCER_CONSUMER)
        return cop_stage_emit(events);
    cop_send(ctx, tester,
             cop_tuple(ctx, cop_a(batch), self->node, cop_elem(from.t, 1),
                       cop_events_to_list(ctx, events)));
    cop_process_sleep(ctx, 1);
    return cop_stage_noreply();
}

/* Subscribes to whom it has lost, or has not found so far. */
static cop_stage_next stage_info(cop_ctx *ctx, void *state, cop_term message) {
    struct stage *self = state;
    const struct node *n = &nodes[self->node];
    for (int i = 0; i < n->up_count; i++) {
        if (!cop_is_none(self->tags[i]))
            continue;
        const struct node *up = &nodes[n->ups[i]];
        cop_subscribe_opts opts = { .max_demand = up->max,
                                    .min_demand = up->min == 0 ? COP_ZERO : up->min,
                                    .cancel = COP_CANCEL_TEMPORARY,
                                    .terms = cop_list(ctx, cop_tuple(ctx, cop_a(up), i)) };
        cop_gen_stage_async_subscribe(ctx, cop_self(ctx), name_of(n->ups[i]), &opts);
    }
    if (n->up_count > 0)
        cop_process_send_after(ctx, cop_self(ctx), cop_a(tick), 10);
    return cop_stage_noreply();
}

static cop_stage_subscribed stage_subscribe(cop_ctx *ctx, void *state, cop_stage_kind other,
                                            cop_term opts, cop_from from) {
    struct stage *self = state;
    cop_term pair;
    int64_t up;
    while (other == COP_PRODUCER && cop_get_cons(opts, &pair, &opts))
        if (cop_match_tuple(pair, cop_a(up), &up))
            self->tags[up] = cop_elem(from.t, 1);
    return cop_stage_automatic();
}

static cop_stage_next stage_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct stage *self = state;
    for (int i = 0; i < MAX_UPS; i++)
        if (!cop_is_none(self->tags[i]) && cop_same(self->tags[i], cop_elem(from.t, 1)))
            self->tags[i] = COP_NONE;
    return cop_stage_noreply();
}

static const cop_gen_stage stage = {
    .name = "Stage",
    .state_size = sizeof(struct stage),
    .state_terms = MAX_UPS,
    .init = stage_init,
    .handle_demand = stage_demand,
    .handle_events = stage_events,
    .handle_info = stage_info,
    .handle_subscribe = stage_subscribe,
    .handle_cancel = stage_cancel,
};

static cop_started stage_start(cop_ctx *ctx, cop_term arg) {
    int64_t node = 0;
    cop_get_i64(arg, &node);
    return cop_gen_stage_start_link(ctx, &stage, arg, &(cop_start_opts){ .name = name_of(node) });
}

static cop_started start_all(cop_ctx *ctx, cop_term arg) {
    cop_child_spec specs[MAX_NODES];
    for (int i = 0; i < node_count; i++)
        specs[i] = (cop_child_spec){ .id_term = COP_INT(i),
                                     .start = stage_start,
                                     .arg = COP_INT(i),
                                     .shutdown_ms = COP_BRUTAL_KILL };
    return cop_supervisor_start_link(ctx, specs, (size_t)node_count,
                                     &(cop_supervisor_opts){ .max_restarts = 1000000 });
}

/* ---- drawing one ------------------------------------------------------------------------------------------------- */

/* The first stage above it is the `index`-th, so that none is left without somebody below. */
static void draw_node(cop_stage_kind kind, int index, int from, int to, bool may_broadcast) {
    struct node *n = &nodes[node_count++];
    *n = (struct node){ .kind = kind, .max = 1 + roll(20) };
    n->min = roll((unsigned)n->max);
    n->broadcasts = kind != COP_CONSUMER && may_broadcast && roll(3) == 0;
    any_broadcast = any_broadcast || n->broadcasts;
    if (kind == COP_PRODUCER)
        return;
    n->up_count = to - from > 1 ? 1 + (int)roll(2) : 1;
    n->ups[0] = from + index % (to - from);
    n->ups[1] = n->ups[0] + 1 < to ? n->ups[0] + 1 : from;
}

static void draw(bool may_broadcast) {
    int producers = 1 + (int)roll(2), middle = roll(3) == 0 ? 0 : producers + (int)roll(2);
    int consumers = (middle > 0 ? middle : producers) + (int)roll(2);
    node_count = 0;
    any_broadcast = false;
    for (int i = 0; i < producers; i++)
        draw_node(COP_PRODUCER, i, 0, 0, may_broadcast);
    for (int i = 0; i < middle; i++)
        draw_node(COP_PRODUCER_CONSUMER, i, 0, producers, may_broadcast);
    for (int i = 0; i < consumers; i++)
        draw_node(COP_CONSUMER, i, middle > 0 ? producers : 0, producers + middle, may_broadcast);
}

/* ---- what is looked at --------------------------------------------------------------------------------------------- */

static struct {
    long handled[MAX_NODES], all, lossy;
    struct {
        cop_term tag;
        int64_t maker, last;
    } pairs[MAX_PAIRS];
    int pair_count;
    uint8_t seen[MAX_MAKERS * MAX_SEQ];
} seen;

static void see(cop_term tag, int64_t event) {
    int64_t maker = event / MAX_SEQ, seq = event % MAX_SEQ;
    int i = 0;
    while (i < seen.pair_count && (seen.pairs[i].tag.w != tag.w || seen.pairs[i].maker != maker))
        i++;
    EXPECT(i < MAX_PAIRS);
    if (i == seen.pair_count) {
        seen.pairs[seen.pair_count++].last = -1;
        seen.pairs[i].tag = tag;
        seen.pairs[i].maker = maker;
    }
    if (seq <= seen.pairs[i].last)
        FAIL("event %ld of maker %ld came after %ld", (long)seq, (long)maker,
             (long)seen.pairs[i].last);
    seen.pairs[i].last = seq;
    if (seen.seen[event]++ > 0 && !any_broadcast)
        FAIL("event %ld of maker %ld was handled twice", (long)seq, (long)maker);
    seen.all++;
}

static void take(cop_ctx *ctx, cop_term message) {
    char text[1000];
    cop_term tag, list, event;
    int64_t node, n = 0;
    if (cop_match_tuple(message, cop_a(batch), &node, &tag, &list)) {
        while (cop_get_cons(list, &event, &list)) {
            EXPECT(cop_get_i64(event, &n));
            see(tag, n);
            seen.handled[node]++;
        }
    } else if (cop_match(cop_elem(message, 0), cop_a(log))) {
        cop_inspect_to(text, sizeof text, message, NULL);
        if (strstr(text, "in excess") != NULL)
            FAIL("%s", text);
    }
}

/* Takes what comes within so many milliseconds; how many batches. */
static long pump(cop_ctx *ctx, int64_t ms) {
    int64_t end = cop_monotonic_ms(ctx) + ms;
    volatile long before = seen.all;
    for (volatile int64_t left = ms; left > 0; left = end - cop_monotonic_ms(ctx))
        COP_SCOPE(ctx) {
            cop_term message;
            if (cop_receive(ctx, left, &message))
                take(ctx, message);
        }
    return seen.all - before;
}

/* How much a stage can have held: what it had asked for and not handled, and as much on its way out. */
static long held_by(int node) {
    long held = 0;
    for (int i = 0; i < node_count; i++)
        for (int k = 0; k < nodes[i].up_count; k++)
            if (i == node || nodes[i].ups[k] == node)
                held += 2 * nodes[nodes[i].ups[k]].max;
    return held;
}

static void kill_one(cop_ctx *ctx) {
    int node = (int)roll((unsigned)node_count);
    cop_term pid = cop_process_whereis(ctx, name_of(node));
    if (cop_is_none(pid))
        return;
    seen.lossy += held_by(node);
    cop_process_exit(ctx, pid, roll(2) == 0 ? cop_a(kill) : cop_a(boom));
}

static void each_goes_on(cop_ctx *ctx) {
    long before[MAX_NODES];
    memcpy(before, seen.handled, sizeof before);
    for (int round = 0; round < 500; round++) {
        int slow = -1;
        for (int i = 0; i < node_count; i++)
            if (nodes[i].kind == COP_CONSUMER && seen.handled[i] < before[i] + 30)
                slow = i;
        if (slow < 0)
            return;
        if (round == 499)
            FAIL("node %d handled %ld events and no more", slow, seen.handled[slow]);
        pump(ctx, 10);
    }
}

static void run(cop_ctx *ctx, int kills, bool may_broadcast) {
    dice = cop_random_u64(ctx) | 1;
    memset(&seen, 0, sizeof seen);
    memset((void *)made_by, 0, sizeof made_by);
    makers = 0;
    dry = false;
    tester = cop_self(ctx);
    draw(may_broadcast);
    test_capture_log(ctx);
    test_start_supervised(ctx, start_all, COP_NIL);
    for (int i = 0; i < kills; i++) {
        pump(ctx, 1 + roll(15));
        kill_one(ctx);
    }
    each_goes_on(ctx);
    dry = true;
    while (pump(ctx, 100) > 0)
        ;
    long made = 0;
    for (int i = 0; i < MAX_MAKERS; i++)
        made += made_by[i];
    if (!any_broadcast && made - seen.all > seen.lossy)
        FAIL("%ld made, %ld handled, and at most %ld lost", made, seen.all, seen.lossy);
}

static void calm_runs(cop_ctx *ctx) { run(ctx, 0, false); }
static void broadcasting_runs(cop_ctx *ctx) { run(ctx, 0, true); }
static void crashing_runs(cop_ctx *ctx) { run(ctx, 12, false); }
static void crashing_broadcasts(cop_ctx *ctx) { run(ctx, 12, true); }

TEST_HOST(all_that_was_made_is_handled, .timeout_s = 300) { simulate(seeds(100), calm_runs); }
TEST_HOST(broadcasts_bring_all_in_order, .timeout_s = 300) {
    simulate(seeds(100), broadcasting_runs);
}
TEST_HOST(crashes_lose_only_what_the_dead_held, .timeout_s = 300) {
    simulate(seeds(300), crashing_runs);
}
TEST_HOST(broadcasts_go_on_after_crashes, .timeout_s = 300) {
    simulate(seeds(300), crashing_broadcasts);
}

TEST(crashes_on_two_threads, .timeout_s = 60) { run(ctx, 12, true); }
