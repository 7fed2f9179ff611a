/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task.*: a task for nothing at all, awaited at once, again and again; and a stream of them, with as many
 * at a time as there are schedulers.
 */
#include "bench.h"

static cop_term nothing(cop_ctx *ctx, cop_term arg) { return arg; }
static cop_term nothing_one(cop_ctx *ctx, cop_term element, cop_term arg) { return element; }

static void async_await(cop_ctx *ctx, int count) {
    for (int i = 0; i < count; i++)
        COP_SCOPE(ctx) {
            cop_task task = cop_task_async(ctx, nothing, cop_of(ctx, i));
            if (!cop_match(cop_task_await(ctx, task, 0), i))
                bench_fail("the result of another task");
        }
}

void bench_task_async_await(cop_ctx *ctx) {
    async_await(ctx, TASKS / 10);
    int64_t began = bench_now_ns();
    async_await(ctx, TASKS);
    bench_out("task.async_await", TASKS * 1e9 / (double)(bench_now_ns() - began), "tasks/s");
}

static bool add(cop_ctx *ctx, cop_term result, void *sum) {
    int64_t n = 0;
    if (!cop_match_tuple(result, cop_a(ok), &n))
        bench_fail("a task that did not end well");
    *(int64_t *)sum += n;
    return true;
}

static void async_stream(cop_ctx *ctx, int64_t count) {
    int64_t sum = 0;
    cop_term stream =
        cop_task_async_stream(ctx, cop_range(ctx, 1, count, 1), nothing_one, COP_NIL, NULL);
    cop_enum_each(ctx, stream, add, &sum);
    if (sum != count * (count + 1) / 2)
        bench_fail("the sum");
}

void bench_task_async_stream(cop_ctx *ctx) {
    async_stream(ctx, TASKS / 10);
    int64_t began = bench_now_ns();
    async_stream(ctx, TASKS);
    bench_out("task.async_stream", TASKS * 1e9 / (double)(bench_now_ns() - began), "tasks/s");
}
