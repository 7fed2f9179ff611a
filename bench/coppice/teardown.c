/* SPDX-License-Identifier: Apache-2.0 */
/*
 * teardown.chain, teardown.hub: many processes that die of one exit signal.
 *
 *   chain   each is linked with the next; the first is told to exit, the last one's end is awaited
 *   hub     one is linked with all others, and each of these is monitored by who measures; the hub
 *           is told to exit, all down messages are awaited
 * With 10,000 and 100,000 processes, and a program of its own with a million: the cost of one must
 * not grow with their number. All are callback processes that wait for their first message.
 */
#include "bench.h"

#include <stdio.h>

static void idle_message(cop_ctx *ctx, void *state, cop_term message) { cop_exit(ctx, message); }

static const cop_callbacks idle_callbacks = { .name = "idle", .message = idle_message };

static void idle_start(cop_ctx *ctx, cop_term arg) { cop_become(ctx, &idle_callbacks, NULL); }

/* Takes the down message of a process that died of the signal. */
static void take_down(cop_ctx *ctx) {
    COP_SCOPE(ctx) {
        cop_term message, ref, pid;
        if (!cop_receive(ctx, 60000, &message)
            || !cop_match_tuple(message, cop_a(DOWN), &ref, cop_a(process), &pid, cop_a(boom)))
            bench_fail("no down message, or with another reason");
    }
}

static void print_teardown(const char *shape, int64_t count, int64_t took) {
    char name[64];
    snprintf(name, sizeof(name), "teardown.%s.%s", shape,
             count == 10000    ? "10k"
             : count == 100000 ? "100k"
                               : "1M");
    bench_out(name, (double)took / (double)count, "ns/process");
}

/* ---- chain ----------------------------------------------------------------------------------- */

static void chain_start(cop_ctx *ctx, cop_term arg) {
    cop_pid main_pid;
    int64_t left;
    if (!cop_match_tuple(arg, &main_pid, &left))
        bench_fail("chain");
    if (left == 1)
        cop_send(ctx, main_pid, cop_tuple(ctx, cop_a(last), cop_self(ctx)));
    else
        cop_spawn_link(ctx, chain_start, cop_tuple(ctx, main_pid, left - 1));
    cop_become(ctx, &idle_callbacks, NULL);
}

static int64_t chain(cop_ctx *ctx, int64_t count) {
    cop_term message;
    cop_pid last;
    size_t before = cop_node_process_count();
    cop_pid first = cop_spawn(ctx, chain_start, cop_tuple(ctx, cop_self(ctx), count));
    if (!cop_receive(ctx, 60000, &message) || !cop_match_tuple(message, cop_a(last), &last))
        bench_fail("the chain");
    cop_process_monitor(ctx, last);
    if (cop_node_process_count() < before + (size_t)count)
        bench_fail("some of the chain are gone already");
    int64_t start = bench_now_ns();
    cop_process_exit(ctx, first, cop_a(boom));
    take_down(ctx);
    int64_t took = bench_now_ns() - start;
    for (int i = 0; cop_node_process_count() > before; i++) {
        cop_process_sleep(ctx, 1);
        if (i == 1000)
            bench_fail("some of the chain live on");
    }
    return took;
}

/* ---- hub ------------------------------------------------------------------------------------- */

static void hub_start(cop_ctx *ctx, cop_term arg) {
    cop_pid main_pid;
    int64_t count;
    if (!cop_match_tuple(arg, &main_pid, &count))
        bench_fail("hub");
    for (int64_t i = 0; i < count; i++) {
        COP_SCOPE(ctx) {
            cop_pid child = cop_spawn_link(ctx, idle_start, COP_NIL);
            cop_send(ctx, main_pid, child);
        }
    }
    cop_become(ctx, &idle_callbacks, NULL);
}

static int64_t hub(cop_ctx *ctx, int64_t count) {
    cop_pid hub_pid = cop_spawn(ctx, hub_start, cop_tuple(ctx, cop_self(ctx), count));
    for (int64_t i = 0; i < count; i++) {
        COP_SCOPE(ctx) {
            cop_term message;
            cop_pid child;
            if (!cop_receive(ctx, 60000, &message) || !cop_match(message, &child))
                bench_fail("hub");
            cop_process_monitor(ctx, child);
        }
    }
    int64_t start = bench_now_ns();
    cop_process_exit(ctx, hub_pid, cop_a(boom));
    for (int64_t i = 0; i < count; i++)
        take_down(ctx);
    return bench_now_ns() - start;
}

/* ---------------------------------------------------------------------------------------------- */

void bench_teardown_chain(cop_ctx *ctx) {
    chain(ctx, 10000);
    print_teardown("chain", 10000, chain(ctx, 10000));
    print_teardown("chain", 100000, chain(ctx, 100000));
}

void bench_teardown_chain_million(cop_ctx *ctx) {
    chain(ctx, 10000);
    print_teardown("chain", 1000000, chain(ctx, 1000000));
}

void bench_teardown_hub(cop_ctx *ctx) {
    hub(ctx, 10000);
    print_teardown("hub", 10000, hub(ctx, 10000));
    print_teardown("hub", 100000, hub(ctx, 100000));
}

void bench_teardown_hub_million(cop_ctx *ctx) {
    hub(ctx, 10000);
    print_teardown("hub", 1000000, hub(ctx, 1000000));
}
