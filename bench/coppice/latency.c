/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latency.hog: one process runs an endless loop in C, without a call into the run-time. What do
 * others notice? Round trips between two of them, each after a pause of a millisecond.
 */
#include "bench.h"

#include <stdlib.h>

static void hog(cop_ctx *ctx, cop_term arg) {
    for (;;)
        __asm__ volatile("");
}

static void echo_message(cop_ctx *ctx, void *state, cop_term message) {
    cop_pid from;
    if (cop_match_tuple(message, &from, cop_a(ping)))
        cop_send(ctx, from, cop_a(pong));
}

static const cop_callbacks echo_callbacks = { .name = "echo", .message = echo_message };

static void echo_start(cop_ctx *ctx, cop_term arg) { cop_become(ctx, &echo_callbacks, NULL); }

static int by_size(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void probe(cop_ctx *ctx, cop_pid other, int64_t *times, int count) {
    for (int i = 0; i < count; i++) {
        COP_SCOPE(ctx) {
            cop_process_sleep(ctx, 1);
            int64_t start = bench_now_ns();
            cop_send(ctx, other, cop_tuple(ctx, cop_self(ctx), cop_a(ping)));
            bench_collect(ctx, 1);
            times[i] = bench_now_ns() - start;
        }
    }
}

void bench_latency_hog(cop_ctx *ctx) {
    int64_t *times = cop_alloc(ctx, PROBES * sizeof(times[0]));
    cop_spawn(ctx, hog, COP_NIL);
    cop_pid other = cop_spawn(ctx, echo_start, COP_NIL);
    cop_process_sleep(ctx, 200);
    probe(ctx, other, times, PROBES / 10);
    probe(ctx, other, times, PROBES);
    qsort(times, PROBES, sizeof(times[0]), by_size);
    bench_out("latency.hog.p50", (double)times[PROBES / 2 - 1] / 1000, "us");
    bench_out("latency.hog.p99", (double)times[PROBES * 99 / 100 - 1] / 1000, "us");
}
