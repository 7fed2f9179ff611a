/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timers, memory.timer: what Process.send_after and :erlang.start_timer cost.
 *
 *   timers.pair     start one of a minute, cancel it
 *   timers.start    start one of a million of one to two minutes
 *   timers.cancel   cancel one of them
 *   timers.fire     a million that are due at the same millisecond, from there until the last message
 *                   was taken
 *   memory.timer    resident bytes of one of a million that wait
 */
#include "bench.h"

static void pairs(cop_ctx *ctx, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        COP_SCOPE(ctx) {
            cop_ref timer = cop_start_timer(ctx, 60000, cop_self(ctx).t, cop_a(x).t);
            if (cop_process_cancel_timer(ctx, timer) < 0)
                bench_fail("a timer of a minute was gone");
        }
    }
}

/* Starts all, cancels all; returns how long starting took. */
static int64_t start_and_cancel(cop_ctx *ctx, cop_ref *timers) {
    int64_t start = bench_now_ns();
    for (int64_t i = 0; i < TIMERS; i++)
        timers[i] = cop_start_timer(ctx, 60000 + i * 7919 % 60000, cop_self(ctx).t, cop_a(x).t);
    int64_t middle = bench_now_ns();
    for (int64_t i = 0; i < TIMERS; i++)
        if (cop_process_cancel_timer(ctx, timers[i]) < 0)
            bench_fail("a timer of a minute was gone");
    bench_out("timers.start", (double)(middle - start) / TIMERS, "ns/timer");
    bench_out("timers.cancel", (double)(bench_now_ns() - middle) / TIMERS, "ns/timer");
    return middle - start;
}

static void fire(cop_ctx *ctx, int64_t due_ms) {
    for (int64_t i = 0; i < TIMERS; i++)
        cop_start_timer_at(ctx, due_ms, cop_self(ctx).t, cop_a(x).t);
    if (cop_monotonic_ms(ctx) >= due_ms)
        bench_fail("starting them took too long");
    for (int64_t i = 0; i < TIMERS; i++) {
        COP_SCOPE(ctx) {
            cop_term message, timer;
            if (!cop_receive(ctx, 60000, &message)
                || !cop_match_tuple(message, cop_a(timeout), &timer, cop_a(x)))
                bench_fail("a timer did not fire");
            if (i == 0 && cop_monotonic_ms(ctx) < due_ms)
                bench_fail("a timer fired too early");
        }
    }
    double late = (double)(cop_monotonic_ns(ctx) - due_ms * 1000000);
    bench_out("timers.fire", TIMERS * 1e9 / late, "timers/s");
}

void bench_timers(cop_ctx *ctx) {
    pairs(ctx, TIMERS / 10);
    int64_t start = bench_now_ns();
    pairs(ctx, TIMERS);
    bench_out("timers.pair", (double)(bench_now_ns() - start) / TIMERS, "ns/pair");
    cop_ref *timers = cop_alloc(ctx, TIMERS * sizeof(timers[0]));
    int64_t took_ms = start_and_cancel(ctx, timers) / 1000000;
    cop_free(ctx, timers);
    fire(ctx, cop_monotonic_ms(ctx) + 300 + 2 * took_ms);
}

void bench_memory_timer(cop_ctx *ctx) {
    double before = bench_resident_bytes();
    for (int64_t i = 0; i < TIMERS; i++)
        cop_start_timer(ctx, 60000 + i * 7919 % 60000, cop_self(ctx).t, cop_a(x).t);
    bench_out("memory.timer", (bench_resident_bytes() - before) / TIMERS, "bytes/timer");
}
