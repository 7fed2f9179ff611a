/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fanin.send and what it shares with fanin.cast: eight senders, one receiver, a million messages
 * {:m, 1}. It ends when the receiver has handled the last one, so freeing is included.
 */
#include "bench.h"

void bench_senders(cop_ctx *ctx, cop_entry sender, cop_pid destination, int64_t messages) {
    cop_term arg = cop_tuple(ctx, destination, messages / FANIN_SENDERS);
    for (int i = 0; i < FANIN_SENDERS; i++)
        cop_spawn(ctx, sender, arg);
}

static void send_many(cop_ctx *ctx, cop_term arg) {
    cop_pid destination;
    int64_t messages;
    if (!cop_match_tuple(arg, &destination, &messages))
        bench_fail("senders");
    for (int64_t i = 0; i < messages; i++) {
        COP_SCOPE(ctx) { cop_send(ctx, destination, cop_tuple(ctx, cop_a(m), 1)); }
    }
}

struct counter {
    cop_term main;
    int64_t left;
};

static void counter_message(cop_ctx *ctx, void *state, cop_term message) {
    struct counter *self = state;
    if (!cop_match_tuple(message, cop_a(m), 1))
        bench_fail("counter");
    if (--self->left == 0) {
        cop_send(ctx, self->main, cop_a(all_there));
        cop_exit(ctx, cop_a(normal));
    }
}

static const cop_callbacks counter_callbacks = { .name = "counter", .message = counter_message };

static void counter_start(cop_ctx *ctx, cop_term arg) {
    struct counter *self = cop_process_state(ctx, sizeof(*self));
    if (!cop_match_tuple(arg, &self->main, &self->left))
        bench_fail("counter");
    cop_process_keep(ctx, 0, &self->main, 1);
    cop_become(ctx, &counter_callbacks, self);
}

static int64_t fanin_send(cop_ctx *ctx, int64_t messages) {
    cop_pid to = cop_spawn(ctx, counter_start, cop_tuple(ctx, cop_self(ctx), messages));
    int64_t start = bench_now_ns();
    bench_senders(ctx, send_many, to, messages);
    bench_collect(ctx, 1, cop_a(all_there).t);
    return bench_now_ns() - start;
}

void bench_fanin_send(cop_ctx *ctx) {
    fanin_send(ctx, FANIN_MESSAGES / 10);
    double took = (double)fanin_send(ctx, FANIN_MESSAGES);
    bench_out("fanin.send", FANIN_MESSAGES * 1e9 / took, "messages/s");
}
