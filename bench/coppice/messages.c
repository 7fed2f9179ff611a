/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn, pingpong, fanout, ring: processes and plain messages.
 *
 * The two of pingpong are raw processes, which wait in cop_receive as Erlang's wait in receive. Those
 * of fanout and ring are callback processes, as everything is in Coppice that waits for work.
 */
#include "bench.h"

/* ---- spawn: 1000 processes at a time, each says one word and ends ---------------------------- */

static void say_done(cop_ctx *ctx, cop_term arg) { cop_send(ctx, arg, cop_a(done)); }

static void spawn_batches(cop_ctx *ctx, int batches) {
    for (int b = 0; b < batches; b++) {
        for (int i = 0; i < SPAWN_BATCH; i++)
            cop_spawn(ctx, say_done, cop_self(ctx).t);
        bench_collect(ctx, SPAWN_BATCH, cop_a(done).t);
    }
}

static void end_at_once(cop_ctx *ctx, cop_term arg) {}

/* The same, joined by monitors in the place of a word. */
static void monitor_batches(cop_ctx *ctx, int batches) {
    for (int b = 0; b < batches; b++) {
        for (int i = 0; i < SPAWN_BATCH; i++)
            cop_spawn_monitor(ctx, end_at_once, COP_NIL);
        for (int i = 0; i < SPAWN_BATCH; i++) {
            COP_SCOPE(ctx) {
                cop_term message, ref, pid;
                cop_receive(ctx, 60000, &message);
                if (!cop_match_tuple(message, cop_a(DOWN), &ref, cop_a(process), &pid,
                                     cop_a(normal)))
                    bench_fail("no down message");
            }
        }
    }
}

static void time_spawn(cop_ctx *ctx, const char *name, void (*batches)(cop_ctx *ctx, int count)) {
    batches(ctx, SPAWN_BATCHES / 10);
    int64_t start = bench_now_ns();
    batches(ctx, SPAWN_BATCHES);
    int64_t took = bench_now_ns() - start;
    bench_out(name, (double)took / ((double)SPAWN_BATCHES * SPAWN_BATCH), "ns/process");
}

void bench_spawn(cop_ctx *ctx) {
    time_spawn(ctx, "spawn", spawn_batches);
    time_spawn(ctx, "spawn.monitor", monitor_batches);
}

/* ---- pingpong -------------------------------------------------------------------------------- */

static void echo(cop_ctx *ctx, cop_term arg) {
    bool stopped = false;
    while (!stopped) {
        COP_SCOPE(ctx) {
            cop_term message;
            cop_pid from;
            cop_receive(ctx, COP_INFINITY, &message);
            if (cop_match_tuple(message, &from, cop_a(ping)))
                cop_send(ctx, from, cop_a(pong));
            else
                stopped = true;
        }
    }
}

static void ping(cop_ctx *ctx, cop_term arg) {
    cop_pid main_pid, other;
    int64_t rounds;
    if (!cop_match_tuple(arg, &main_pid, &other, &rounds))
        bench_fail("ping");
    int64_t start = bench_now_ns();
    for (int64_t i = 0; i < rounds; i++) {
        COP_SCOPE(ctx) {
            cop_term message;
            cop_send(ctx, other, cop_tuple(ctx, cop_self(ctx), cop_a(ping)));
            cop_receive(ctx, COP_INFINITY, &message);
            if (!cop_match(message, cop_a(pong)))
                bench_fail("pong");
        }
    }
    int64_t took = bench_now_ns() - start;
    cop_send(ctx, other, cop_a(stop));
    cop_send(ctx, main_pid, cop_tuple(ctx, cop_a(took), took));
}

static int64_t pingpong(cop_ctx *ctx, int64_t rounds) {
    cop_term message;
    int64_t took = 0;
    cop_pid other = cop_spawn(ctx, echo, COP_NIL);
    cop_spawn(ctx, ping, cop_tuple(ctx, cop_self(ctx), other, rounds));
    cop_receive(ctx, COP_INFINITY, &message);
    if (!cop_match_tuple(message, cop_a(took), &took))
        bench_fail("pingpong");
    return took;
}

void bench_pingpong(cop_ctx *ctx) {
    pingpong(ctx, PINGPONG_ROUNDS / 10);
    double took = (double)pingpong(ctx, PINGPONG_ROUNDS);
    bench_out("pingpong", took / (2.0 * PINGPONG_ROUNDS), "ns/message");
}

/* ---- fanout: one asks 100,000, and all answer ------------------------------------------------ */

static void echo_message(cop_ctx *ctx, void *state, cop_term message) {
    cop_pid from;
    cop_term what;
    if (cop_match_tuple(message, &from, &what))
        cop_send(ctx, from, cop_a(pong));
}

static const cop_callbacks echo_callbacks = { .name = "echo", .message = echo_message };

static void echo_start(cop_ctx *ctx, cop_term arg) { cop_become(ctx, &echo_callbacks, NULL); }

cop_pid bench_start_echo(cop_ctx *ctx) { return cop_spawn(ctx, echo_start, COP_NIL); }

static void fan(cop_ctx *ctx, const cop_pid *all, int rounds) {
    for (int round = 0; round < rounds; round++) {
        COP_SCOPE(ctx) {
            cop_term question = cop_tuple(ctx, cop_self(ctx), cop_a(ping));
            for (int i = 0; i < FANOUT_PROCESSES; i++)
                cop_send(ctx, all[i], question);
            bench_collect(ctx, FANOUT_PROCESSES, cop_a(pong).t);
        }
    }
}

void bench_fanout(cop_ctx *ctx) {
    cop_pid *all = cop_alloc(ctx, FANOUT_PROCESSES * sizeof(all[0]));
    for (int i = 0; i < FANOUT_PROCESSES; i++)
        all[i] = bench_start_echo(ctx);
    fan(ctx, all, 2);
    int64_t start = bench_now_ns();
    fan(ctx, all, FANOUT_ROUNDS);
    int64_t took = bench_now_ns() - start;
    bench_out("fanout", (double)took / ((double)FANOUT_ROUNDS * FANOUT_PROCESSES), "ns/process");
}

/* ---- ring: one token ------------------------------------------------------------------------- */

struct link {
    cop_term next;
    cop_term main;
};

static void link_message(cop_ctx *ctx, void *state, cop_term message) {
    struct link *self = state;
    int64_t n;
    if (cop_match(message, &n)) {
        if (n == 0)
            cop_send(ctx, self->main, cop_a(ring_done));
        else
            cop_send(ctx, self->next, n - 1);
    } else if (cop_match_tuple(message, cop_a(next), &self->next)) {
        return;
    } else {
        cop_send(ctx, self->next, cop_a(stop));
        cop_exit(ctx, cop_a(normal));
    }
}

static const cop_callbacks link_callbacks = { .name = "ring", .message = link_message };

static void link_start(cop_ctx *ctx, cop_term arg) {
    struct link *self = cop_process_state(ctx, sizeof(*self));
    if (!cop_match_tuple(arg, &self->next, &self->main))
        bench_fail("ring");
    cop_process_keep(ctx, 0, &self->next, 2);
    cop_become(ctx, &link_callbacks, self);
}

static int64_t ring(cop_ctx *ctx, int64_t hops) {
    cop_pid last = cop_spawn(ctx, link_start, cop_tuple(ctx, COP_NIL, cop_self(ctx)));
    cop_pid first = last;
    for (int i = 1; i < RING_SIZE; i++)
        first = cop_spawn(ctx, link_start, cop_tuple(ctx, first, cop_self(ctx)));
    cop_send(ctx, last, cop_tuple(ctx, cop_a(next), first));
    int64_t start = bench_now_ns();
    cop_send(ctx, first, hops);
    bench_collect(ctx, 1, cop_a(ring_done).t);
    int64_t took = bench_now_ns() - start;
    cop_send(ctx, first, cop_a(stop));
    return took;
}

void bench_ring(cop_ctx *ctx) {
    ring(ctx, RING_HOPS / 10);
    bench_out("ring", (double)ring(ctx, RING_HOPS) / RING_HOPS, "ns/hop");
}
