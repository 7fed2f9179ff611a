/* SPDX-License-Identifier: Apache-2.0 */
/*
 * genstage.*: a producer of numbers, a producer-consumer that doubles them and a consumer that counts; the
 * first and the last with one event at a time; a producer with four consumers, each of which gets all events, or
 * a quarter of them; a supervisor that starts a process for each event. The peer is bench/erlang/bench_peer_stage.erl, a pipeline by hand.
 */
#include "bench.h"

#include <stdatomic.h>

/* ---- the stages -------------------------------------------------------------------------------------------- */

struct numbers {
    int64_t next, end;
};

static cop_stage_init numbers_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct numbers *self = state;
    uint64_t dispatcher;
    cop_term opts;
    if (!cop_match_tuple(arg, &self->end, &dispatcher, &opts))
        return cop_stage_init_stop(cop_a(badarg));
    return cop_stage_producer(.dispatcher = (const cop_dispatcher *)(uintptr_t)dispatcher,
                              .dispatcher_opts = opts, .demand = COP_DEMAND_ACCUMULATE);
}

static cop_stage_next numbers_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct numbers *self = state;
    cop_events events;
    int64_t n = self->end - self->next < demand ? self->end - self->next : demand;
    cop_term *at = cop_events_new(ctx, (size_t)n, &events);
    for (int64_t i = 0; i < n; i++)
        at[i] = COP_INT(self->next + i);
    self->next += n;
    return cop_stage_emit(events);
}

static const cop_gen_stage numbers = { .name = "Numbers",
                                       .state_size = sizeof(struct numbers),
                                       .init = numbers_init,
                                       .handle_demand = numbers_demand };

static cop_stage_init doubler_init(cop_ctx *ctx, void *state, cop_term subscriptions) {
    return cop_stage_producer_consumer(.subscribe_to = subscriptions);
}

static cop_stage_next doubler_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    cop_events doubled;
    cop_term *at = cop_events_new(ctx, events.count, &doubled);
    for (size_t i = 0; i < events.count; i++) {
        int64_t n = 0;
        cop_get_i64(events.at[i], &n);
        at[i] = COP_INT(2 * n);
    }
    return cop_stage_emit(doubled);
}

static const cop_gen_stage doubler = { .name = "Doubler",
                                       .init = doubler_init,
                                       .handle_events = doubler_events };

struct counter {
    cop_term parent;
    int64_t left;
};

static cop_stage_init counter_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct counter *self = state;
    cop_term subscriptions;
    if (!cop_match_tuple(arg, &self->parent, &self->left, &subscriptions))
        return cop_stage_init_stop(cop_a(badarg));
    return cop_stage_consumer(.subscribe_to = subscriptions);
}

static cop_stage_next counter_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    struct counter *self = state;
    self->left -= (int64_t)events.count;
    if (self->left == 0)
        cop_send(ctx, self->parent, cop_a(done));
    return cop_stage_noreply();
}

static const cop_gen_stage counter = { .name = "Counter",
                                       .state_size = sizeof(struct counter),
                                       .state_terms = 1,
                                       .init = counter_init,
                                       .handle_events = counter_events };

static cop_pid started(cop_started s) {
    if (s.is != COP_STARTED)
        bench_fail("a stage that does not start");
    return s.pid;
}

static cop_term to(cop_ctx *ctx, cop_pid producer, int64_t max_demand, int partition) {
    cop_subscribe_opts opts = { .max_demand = max_demand };
    if (partition >= 0)
        opts.terms = cop_list(ctx, cop_tuple(ctx, cop_a(partition), partition));
    return cop_list(ctx, cop_subscription(ctx, producer, &opts));
}

static cop_pid start_numbers(cop_ctx *ctx, int64_t count, const cop_dispatcher *dispatcher,
                             cop_term opts) {
    cop_term arg = cop_tuple(ctx, count, (uint64_t)(uintptr_t)dispatcher, opts);
    return started(cop_gen_stage_start(ctx, &numbers, arg, NULL));
}

static cop_pid start_counter(cop_ctx *ctx, int64_t count, cop_term subscriptions) {
    cop_term arg = cop_tuple(ctx, cop_self(ctx), count, subscriptions);
    return started(cop_gen_stage_start(ctx, &counter, arg, NULL));
}

static void end(cop_ctx *ctx, cop_pid stage) {
    cop_ref ref = cop_process_monitor(ctx, stage);
    cop_term down;
    cop_process_exit(ctx, stage, cop_a(kill));
    cop_receive_ref(ctx, COP_INFINITY, ref, &down);
}

/* ---- the workloads ------------------------------------------------------------------------------------------ */

static int64_t pipeline(cop_ctx *ctx, int64_t count, int64_t max_demand) {
    cop_pid a = start_numbers(ctx, count, &cop_demand_dispatcher, COP_NIL), b = a;
    if (max_demand > 1)
        b = started(cop_gen_stage_start(ctx, &doubler, to(ctx, a, max_demand, -1), NULL));
    cop_pid c = start_counter(ctx, count, to(ctx, b, max_demand, -1));
    int64_t began = bench_now_ns();
    cop_gen_stage_set_demand(ctx, a, COP_DEMAND_FORWARD);
    bench_collect(ctx, 1, cop_a(done).t);
    int64_t ns = bench_now_ns() - began;
    end(ctx, c);
    end(ctx, a);
    if (max_demand > 1)
        end(ctx, b);
    return ns;
}

static int64_t by_remainder(cop_ctx *ctx, cop_term event) {
    int64_t number = 0;
    cop_get_i64(event, &number);
    return number % STAGE_CONSUMERS;
}

static int64_t to_many(cop_ctx *ctx, int64_t count, bool partition) {
    cop_term opts = COP_NIL;
    cop_pid consumers[STAGE_CONSUMERS];
    if (partition)
        opts = cop_list(ctx, cop_tuple(ctx, cop_a(partitions), STAGE_CONSUMERS),
                        cop_tuple(ctx, cop_a(hash), cop_partition_hash(ctx, by_remainder)));
    cop_pid a = start_numbers(
        ctx, count, partition ? &cop_partition_dispatcher : &cop_broadcast_dispatcher, opts);
    for (int i = 0; i < STAGE_CONSUMERS; i++)
        consumers[i] = start_counter(ctx, partition ? count / STAGE_CONSUMERS : count,
                                     to(ctx, a, STAGE_DEMAND, partition ? i : -1));
    int64_t began = bench_now_ns();
    cop_gen_stage_set_demand(ctx, a, COP_DEMAND_FORWARD);
    bench_collect(ctx, STAGE_CONSUMERS, cop_a(done).t);
    int64_t ns = bench_now_ns() - began;
    for (int i = 0; i < STAGE_CONSUMERS; i++)
        end(ctx, consumers[i]);
    end(ctx, a);
    return ns;
}

static _Atomic int64_t children_left;
static cop_pid children_reader;

static void child(cop_ctx *ctx, cop_term event) {
    if (atomic_fetch_sub(&children_left, 1) == 1)
        cop_send(ctx, children_reader, cop_a(done));
}

static cop_started start_child(cop_ctx *ctx, cop_term event) {
    return cop_started_ok(cop_proc_lib_spawn_link(ctx, child, event));
}

static int64_t consumer_supervisor(cop_ctx *ctx, int64_t count) {
    cop_pid a = start_numbers(ctx, count, &cop_demand_dispatcher, COP_NIL);
    cop_child_spec spec = { .id = "child", .start = start_child, .restart = COP_TEMPORARY };
    cop_consumer_supervisor_opts opts = { .subscribe_to = to(ctx, a, STAGE_DEMAND, -1) };
    children_left = count;
    children_reader = cop_self(ctx);
    cop_pid sup = started(cop_consumer_supervisor_start_link(ctx, &spec, &opts));
    int64_t began = bench_now_ns();
    cop_gen_stage_set_demand(ctx, a, COP_DEMAND_FORWARD);
    bench_collect(ctx, 1, cop_a(done).t);
    int64_t ns = bench_now_ns() - began;
    cop_supervisor_stop(ctx, sup, cop_a(normal), 0);
    end(ctx, a);
    return ns;
}

static void out(const char *name, int64_t count, int64_t ns) {
    bench_out(name, (double)count * 1e9 / (double)ns, "events/s");
}

void bench_genstage_pipeline(cop_ctx *ctx) {
    pipeline(ctx, STAGE_EVENTS / 10, STAGE_DEMAND);
    out("genstage.pipeline", STAGE_EVENTS, pipeline(ctx, STAGE_EVENTS, STAGE_DEMAND));
}

void bench_genstage_demand1(cop_ctx *ctx) {
    pipeline(ctx, STAGE_EVENTS / 100, 1);
    out("genstage.demand1", STAGE_EVENTS / 10, pipeline(ctx, STAGE_EVENTS / 10, 1));
}

void bench_genstage_broadcast(cop_ctx *ctx) {
    to_many(ctx, STAGE_EVENTS / 10, false);
    out("genstage.broadcast", STAGE_EVENTS, to_many(ctx, STAGE_EVENTS, false));
}

void bench_genstage_partition(cop_ctx *ctx) {
    to_many(ctx, STAGE_EVENTS / 10, true);
    out("genstage.partition", STAGE_EVENTS, to_many(ctx, STAGE_EVENTS, true));
}

void bench_genstage_consumer_supervisor(cop_ctx *ctx) {
    consumer_supervisor(ctx, STAGE_EVENTS / 100);
    out("genstage.consumer_supervisor", STAGE_EVENTS / 10,
        consumer_supervisor(ctx, STAGE_EVENTS / 10));
}
