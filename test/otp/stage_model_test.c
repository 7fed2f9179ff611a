/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random things are done to one producer, and the books must balance.
 *
 * The producer has a dispatcher, a buffer and a way of answering demand that are drawn from a seed. Up to
 * five consumers subscribe to it, ask, cancel and are killed; events come by themselves, or as they are
 * asked for. Each event has a number, given in the order of their making. Whenever all is quiet:
 *
 *   - every event that was made was delivered, or waits (in the buffer, or in a partition), or was
 *     reported lost (dropped from the buffer, or with a partition whose consumer left): none is missing;
 *   - no consumer got more than it had asked for, nobody got an event twice, each got them in order;
 *   - of a broadcast all got the same; of a partition each its own.
 *
 * In the end nothing is cancelled any more, and all demand is answered. Then nobody may wait for ever: no
 * demand is open (of a broadcast: one consumer at least has none open).
 */
#include <coppice.h>
#include <coppice/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONSUMERS = 5, MAX_EVENTS = 60000 };
enum kind { DEMAND, BROADCAST, PARTITION };

static struct {
    enum kind kind;
    int64_t partitions, buffer_size; /* of the buffer: 0: no limit */
    bool keep_first, eager, shuffles;
    cop_pid stage;
    int64_t made, delivered, discarded, dropped, owed, waits;
    uint8_t got[MAX_EVENTS];         /* by how many */
    int64_t log[MAX_EVENTS], logged; /* of a broadcast: in what order they came out */
} m;

static struct consumer {
    bool here;
    cop_pid pid;
    int64_t serial; /* the tag is {:sub, serial} */
    int64_t asked, got, last, joined, partition;
} consumers[CONSUMERS];
static int64_t serials;
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

/* ---- the producer ------------------------------------------------------------------------------------------ */

/* Numbers its events. An eager one answers its demand at once; one that is not, when it is told to. */
struct spring {
    cop_term tell;
    int64_t next;
};

static cop_events make(cop_ctx *ctx, struct spring *self, int64_t n) {
    cop_events events;
    cop_term *at = cop_events_new(ctx, (size_t)n, &events);
    for (int64_t i = 0; i < n; i++)
        at[i] = cop_of(ctx, self->next++);
    cop_send(ctx, self->tell, cop_tuple(ctx, cop_a(made), n));
    return events;
}

static cop_stage_init spring_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct spring *self = state;
    self->tell = arg;
    cop_term opts = COP_NIL;
    if (m.kind == PARTITION)
        opts = cop_list(ctx, cop_tuple(ctx, cop_a(partitions), m.partitions));
    else if (m.kind == DEMAND)
        opts = cop_list(ctx, cop_tuple(ctx, cop_a(max_demand), 1000000),
                        cop_tuple(ctx, cop_a(shuffle_demands_on_first_dispatch), m.shuffles));
    return cop_stage_producer(.buffer_size = m.buffer_size == 0 ? COP_INFINITY : m.buffer_size,
                              .buffer_keep = m.keep_first ? COP_KEEP_FIRST : COP_KEEP_LAST,
                              .dispatcher = m.kind == DEMAND      ? &cop_demand_dispatcher
                                            : m.kind == BROADCAST ? &cop_broadcast_dispatcher
                                                                  : &cop_partition_dispatcher,
                              .dispatcher_opts = opts);
}

static cop_stage_next spring_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct spring *self = state;
    cop_send(ctx, self->tell, cop_tuple(ctx, cop_a(demand), demand));
    return m.eager ? cop_stage_emit(make(ctx, self, demand)) : cop_stage_noreply();
}

static cop_stage_next spring_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    int64_t n = 0;
    cop_get_i64(request, &n);
    return cop_stage_reply(ctx, cop_a(ok), n == 0 ? cop_no_events() : make(ctx, state, n));
}

static cop_stage_next spring_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct spring *self = state;
    cop_send(ctx, self->tell, cop_tuple(ctx, cop_a(gone), cop_elem(from.t, 1)));
    return cop_stage_noreply();
}

static bool spring_discarded(cop_ctx *ctx, void *state, size_t count) {
    struct spring *self = state;
    cop_send(ctx, self->tell, cop_tuple(ctx, cop_a(discarded), count));
    return false;
}

static const cop_gen_stage spring = {
    .name = "Spring",
    .state_size = sizeof(struct spring),
    .state_terms = 1,
    .init = spring_init,
    .handle_demand = spring_demand,
    .handle_call = spring_call,
    .handle_cancel = spring_cancel,
    .format_discarded = spring_discarded,
};

static cop_started start_spring(cop_ctx *ctx, cop_term arg) {
    return cop_gen_stage_start_link(ctx, &spring, arg, NULL);
}

/* ---- the consumers: processes that hand all on to the test --------------------------------------------------- */

static void relay(cop_ctx *ctx, cop_term tester) {
    for (;;)
        COP_SCOPE(ctx) {
            cop_term message;
            cop_receive(ctx, COP_INFINITY, &message);
            cop_send(ctx, tester, message);
        }
}

static cop_term tag_of(cop_ctx *ctx, int64_t serial) { return cop_tuple(ctx, cop_a(sub), serial); }

static void send(cop_ctx *ctx, const struct consumer *c, cop_term what) {
    cop_send(ctx, m.stage,
             cop_tuple(ctx, cop_as("$gen_producer"), cop_tuple(ctx, c->pid, tag_of(ctx, c->serial)),
                       what));
}

static struct consumer *by_serial(int64_t serial) {
    for (int i = 0; i < CONSUMERS; i++)
        if (consumers[i].here && consumers[i].serial == serial)
            return &consumers[i];
    return NULL;
}

static bool is_quiet_mark(cop_term message, void *arg) {
    return cop_match(message, *(cop_ref *)arg);
}

/* ---- the books -------------------------------------------------------------------------------------------------- */

static void came(struct consumer *c, int64_t event) {
    if (event <= c->last)
        FAIL("event %ld came after %ld", (long)event, (long)c->last);
    c->last = event;
    c->got++;
    if (c->got > c->asked)
        FAIL("%ld events for a demand of %ld", (long)c->got, (long)c->asked);
    if (m.kind == BROADCAST) {
        int64_t at = c->joined + c->got - 1;
        if (at == m.logged)
            m.log[m.logged++] = event;
        if (m.log[at] != event)
            FAIL("event %ld where others got %ld", (long)event, (long)m.log[at]);
        return;
    }
    m.delivered++;
    if (m.got[event]++ > 0)
        FAIL("event %ld came twice", (long)event);
}

static void take(cop_ctx *ctx, cop_term message) {
    cop_term from, what, pid, tag, event;
    int64_t n, serial;
    if (cop_match_tuple(message, cop_a(made), &n)) {
        m.made += n;
        m.owed = m.owed > n ? m.owed - n : 0;
    } else if (cop_match_tuple(message, cop_a(demand), &n)) {
        m.owed += n;
    } else if (cop_match_tuple(message, cop_a(discarded), &n)) {
        m.discarded += n;
    } else if (cop_match_tuple(message, cop_as("$gen_consumer"), &from, &what)
               && cop_match_tuple(from, &pid, &tag) && cop_match_tuple(tag, cop_a(sub), &serial)) {
        struct consumer *c = by_serial(serial);
        for (; cop_get_cons(what, &event, &what);) {
            EXPECT(cop_get_i64(event, &n) && c != NULL);
            came(c, n);
            if (m.kind == PARTITION)
                EXPECT_INT(cop_phash2_range(event, (uint64_t)m.partitions), c->partition);
        }
    }
}

/* What is in the partitions' queues; of one partition, or of all (-1). */
static int64_t queued(cop_ctx *ctx, int64_t partition) {
    cop_term state, name, entry, rear, front;
    int64_t sum = 0;
    if (m.kind != PARTITION)
        return 0;
    EXPECT(cop_match_key(cop_sys_get_state(ctx, m.stage, 0), cop_a(dispatcher_state), &state));
    for (cop_map_iter it = cop_map_first(cop_elem(state, 4)); cop_map_next(&it, &name, &entry);)
        if ((partition < 0 || cop_match(name, partition))
            && cop_match_tuple(cop_elem(entry, 2), &rear, &front))
            sum += cop_list_length(rear) + cop_list_length(front);
    return sum;
}

/* Waits until nothing is on its way, takes all that has come, and looks at the books. */
static void settle(cop_ctx *ctx) {
    cop_term message;
    cop_gen_stage_call(ctx, m.stage, 0, 0);
    for (int i = 0; i < CONSUMERS; i++) {
        if (!consumers[i].here)
            continue;
        cop_ref mark = cop_make_ref(ctx);
        cop_send(ctx, consumers[i].pid, mark);
        EXPECT(cop_receive_match(ctx, 5000, is_quiet_mark, &mark, &message));
    }
    while (cop_receive(ctx, 0, &message))
        take(ctx, message);
    m.waits = cop_gen_stage_estimate_buffered_count(ctx, m.stage, 0) + queued(ctx, -1);
    int64_t out = m.kind == BROADCAST ? m.logged : m.delivered;
    if (m.made != out + m.waits + m.discarded + m.dropped)
        FAIL("%ld made, but %ld out, %ld waiting, %ld discarded, %ld dropped", (long)m.made,
             (long)out, (long)m.waits, (long)m.discarded, (long)m.dropped);
    for (int i = 0; i < CONSUMERS; i++)
        if (consumers[i].here && m.kind == BROADCAST
            && consumers[i].joined + consumers[i].got != m.logged)
            FAIL("a consumer got %ld of %ld events", (long)consumers[i].got,
                 (long)(m.logged - consumers[i].joined));
}

/* ---- what is done ---------------------------------------------------------------------------------------------- */

static bool is_free(int64_t partition) {
    for (int i = 0; i < CONSUMERS; i++)
        if (consumers[i].here && consumers[i].partition == partition)
            return false;
    return true;
}

static void subscribe(cop_ctx *ctx, struct consumer *c) {
    int64_t partition = roll((unsigned)m.partitions);
    for (int64_t i = 0; m.kind == PARTITION && !is_free(partition); i++) {
        if (i == m.partitions)
            return;
        partition = (partition + 1) % m.partitions;
    }
    if (m.kind == BROADCAST)
        settle(ctx);
    if (m.kind == BROADCAST)
        settle(ctx);
    *c = (struct consumer){ .here = true,
                            .pid = cop_spawn_link(ctx, relay, cop_self(ctx).t),
                            .serial = ++serials,
                            .last = -1,
                            .joined = m.logged,
                            .partition = m.kind == PARTITION ? partition : -1 };
    cop_term opts =
        m.kind == PARTITION ? cop_list(ctx, cop_tuple(ctx, cop_a(partition), partition)) : COP_NIL;
    send(ctx, c, cop_tuple(ctx, cop_a(subscribe), cop_a(nil), opts));
    if (m.kind == BROADCAST)
        settle(ctx); /* from here on it must get all */
}

static void ask(cop_ctx *ctx, struct consumer *c, int64_t n) {
    c->asked += n;
    send(ctx, c, cop_tuple(ctx, cop_a(ask), n));
}

static void emit(cop_ctx *ctx, int64_t n) {
    if (m.made + n < MAX_EVENTS && n > 0)
        cop_gen_stage_call(ctx, m.stage, n, 0);
}

/* All is quiet before; the producer has forgotten it afterwards. */
static void leave(cop_ctx *ctx, struct consumer *c, bool killed) {
    char pattern[40];
    settle(ctx);
    m.dropped += c->partition >= 0 ? queued(ctx, c->partition) : 0;
    cop_process_unlink(ctx, c->pid);
    if (killed)
        cop_process_exit(ctx, c->pid, cop_a(kill));
    else
        send(ctx, c, cop_tuple(ctx, cop_a(cancel), cop_a(normal)));
    snprintf(pattern, sizeof pattern, "{:gone, {:sub, %ld}}", (long)c->serial);
    ASSERT_RECEIVE(ctx, pattern);
    cop_process_exit(ctx, c->pid, cop_a(kill));
    c->here = false;
    settle(ctx);
}

static void something(cop_ctx *ctx) {
    struct consumer *c = &consumers[roll(CONSUMERS)];
    switch (roll(12)) {
    case 0:
    case 1:
        if (!c->here)
            subscribe(ctx, c);
        break;
    case 2:
        if (c->here)
            leave(ctx, c, roll(2) == 0);
        break;
    case 3:
        settle(ctx);
        break;
    case 4:
    case 5:
        emit(ctx, roll(2) == 0 ? m.owed : (int64_t)roll(20));
        break;
    default:
        if (c->here)
            ask(ctx, c, 1 + roll(roll(4) == 0 ? 100 : 8));
    }
}

/* All consumers are there, and all demand is answered: nobody waits. */
static void nobody_waits(cop_ctx *ctx) {
    for (int i = 0; i < CONSUMERS; i++)
        if (!consumers[i].here)
            subscribe(ctx, &consumers[i]);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < CONSUMERS; i++)
            if (consumers[i].here)
                ask(ctx, &consumers[i], 1 + roll(10));
        settle(ctx);
    }
    for (int round = 0; m.owed > 0 && round < 1000; round++) {
        emit(ctx, m.owed);
        settle(ctx);
    }
    int64_t least = INT64_MAX, sum = 0;
    for (int i = 0; i < CONSUMERS; i++) {
        if (!consumers[i].here)
            continue;
        int64_t open = consumers[i].asked - consumers[i].got;
        least = open < least ? open : least;
        sum += open;
    }
    if (m.kind == BROADCAST ? least > 0 : m.kind == DEMAND && sum > 0)
        FAIL("a demand of %ld is open, and the producer owes nothing; %ld events wait",
             (long)(m.kind == BROADCAST ? least : sum), (long)m.waits);
}

static void run(cop_ctx *ctx, enum kind kind) {
    dice = cop_random_u64(ctx) | 1;
    memset(&m, 0, sizeof m);
    memset(consumers, 0, sizeof consumers);
    serials = 0;
    m.kind = kind;
    m.partitions = 1 + roll(CONSUMERS);
    m.buffer_size = roll(2) == 0 ? 0 : 1 + roll(30);
    m.keep_first = roll(2) == 0;
    m.eager = roll(2) == 0;
    m.shuffles = roll(2) == 0;
    m.stage = test_start_supervised(ctx, start_spring, cop_self(ctx));
    for (int i = 0; i < 150; i++)
        COP_SCOPE(ctx) { something(ctx); }
    settle(ctx);
    nobody_waits(ctx);
}

static void demand_runs(cop_ctx *ctx) { run(ctx, DEMAND); }
static void broadcast_runs(cop_ctx *ctx) { run(ctx, BROADCAST); }
static void partition_runs(cop_ctx *ctx) { run(ctx, PARTITION); }

TEST_HOST(the_books_of_a_demand_dispatcher_balance, .timeout_s = 300) {
    simulate(seeds(300), demand_runs);
}
TEST_HOST(the_books_of_a_broadcast_balance, .timeout_s = 300) {
    simulate(seeds(300), broadcast_runs);
}
TEST_HOST(the_books_of_partitions_balance, .timeout_s = 300) {
    simulate(seeds(300), partition_runs);
}

/* And with time and threads as they are. */
TEST(the_books_balance_on_two_threads, .timeout_s = 60) {
    for (int i = 0; i < 20; i++)
        COP_SCOPE(ctx) {
            run(ctx, (enum kind)(i % 3));
            test_stop_supervised(ctx, m.stage);
            for (int k = 0; k < CONSUMERS; k++)
                if (consumers[k].here) {
                    cop_process_unlink(ctx, consumers[k].pid);
                    cop_process_exit(ctx, consumers[k].pid, cop_a(kill));
                }
        }
}
