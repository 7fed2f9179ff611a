/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Coppice side of the benchmarks: `coppice_bench WORKLOAD` runs one workload and prints lines
 * "name value unit". bench/run.py runs it beside its peers; COP_SCHEDULERS says on how many cores.
 *
 * Every workload warms up with the same code first, counts what came back, and times itself on the
 * monotonic clock. It runs in a process of a node with default settings but for room for two
 * million processes.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct workload workloads[] = {
    { "spawn", bench_spawn },
    { "pingpong", bench_pingpong },
    { "call.1", bench_call_1 },
    { "call.8", bench_call_8 },
    { "call.1000", bench_call_1000 },
    { "fanin.cast", bench_fanin_cast },
    { "fanin.send", bench_fanin_send },
    { "ring", bench_ring },
    { "fanout", bench_fanout },
    { "bigmsg.binary", bench_bigmsg_binary },
    { "bigmsg.list", bench_bigmsg_list },
    { "selective", bench_selective },
    { "timers", bench_timers },
    { "teardown.chain", bench_teardown_chain },
    { "teardown.chain.1M", bench_teardown_chain_million },
    { "teardown.hub", bench_teardown_hub },
    { "teardown.hub.1M", bench_teardown_hub_million },
    { "registry.register", bench_registry_register },
    { "registry.lookup", bench_registry_lookup },
    { "registry.via", bench_registry_via },
    { "registry.dispatch", bench_registry_dispatch },
    { "supervisor.start", bench_supervisor_start },
    { "supervisor.restart_burst", bench_supervisor_restart_burst },
    { "supervisor.shutdown", bench_supervisor_shutdown },
    { "supervisor.shutdown.100k", bench_supervisor_shutdown_100k },
    { "task.async_await", bench_task_async_await },
    { "task.async_stream", bench_task_async_stream },
    { "genstage.pipeline", bench_genstage_pipeline },
    { "genstage.broadcast", bench_genstage_broadcast },
    { "genstage.partition", bench_genstage_partition },
    { "genstage.demand1", bench_genstage_demand1 },
    { "genstage.consumer_supervisor", bench_genstage_consumer_supervisor },
    { "memory.gen_server", bench_memory_gen_server },
    { "memory.hibernated", bench_memory_hibernated },
    { "memory.callback", bench_memory_callback },
    { "memory.raw", bench_memory_raw },
    { "memory.timer", bench_memory_timer },
    { "hog.cooperative", bench_hog_cooperative },
    { "hog.uncooperative", bench_hog_uncooperative },
    { "hog.blocking", bench_hog_blocking },
};

static const struct workload *chosen;

int64_t bench_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void bench_out(const char *name, double value, const char *unit) {
    printf("%s %.3f %s\n", name, value, unit);
    fflush(stdout);
}

_Noreturn void bench_fail(const char *what) {
    printf("FAILED %s\n", what);
    fflush(stdout);
    _Exit(1);
}

void bench_collect(cop_ctx *ctx, int64_t count, cop_term expected) {
    for (int64_t i = 0; i < count; i++) {
        COP_SCOPE(ctx) {
            cop_term message;
            if (!cop_receive(ctx, 60000, &message))
                bench_fail("no message in a minute");
            if (!cop_match(message, expected))
                bench_fail("a message that nobody should send");
        }
    }
}

/* The node is not stopped in an orderly way: how long a million processes take to go away belongs
   to no figure, and the endless loops of hog.* never go. */
static void entry(cop_ctx *ctx, cop_term arg) {
    chosen->run(ctx);
    fflush(stdout);
    _Exit(0);
}

int main(int argc, char **argv) {
    /* As the peers, which have their loggers off. */
    cop_node_opts opts = { .max_processes = 2100000, .no_logger = true };
    for (size_t i = 0; argc == 2 && i < sizeof(workloads) / sizeof(workloads[0]); i++)
        if (strcmp(argv[1], workloads[i].name) == 0)
            chosen = &workloads[i];
    if (chosen == NULL) {
        fprintf(stderr, "usage: coppice_bench WORKLOAD\n");
        for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
            fprintf(stderr, "  %s\n", workloads[i].name);
        return 2;
    }
    return cop_run(&opts, entry) == 0 ? 0 : 1;
}
