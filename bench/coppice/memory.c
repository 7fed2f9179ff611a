/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.*: resident bytes per process, a million of them, idle, after half a second of rest.
 *
 *   memory.gen_server   started with gen_server (calls.c), a term and an integer of state
 *   memory.hibernated   the same, hibernated by its init
 *   memory.callback     no behaviour: a callback process that waits for its first message
 *   memory.raw          waits in the middle of a function, in cop_receive, with its C stack
 * The peer of the last two is the same: in Erlang there is one kind of waiting.
 */
#include "bench.h"

#include <stdio.h>
#include <unistd.h>

double bench_resident_bytes(void) {
    unsigned long long all, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%llu %llu", &all, &resident) != 2)
        bench_fail("statm");
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

void bench_memory(cop_ctx *ctx, const char *name, void (*start)(cop_ctx *ctx)) {
    double before = bench_resident_bytes();
    for (int i = 0; i < MEMORY_PROCESSES; i++) {
        COP_SCOPE(ctx) { start(ctx); }
        /* Each has come to rest before the next thousand is born, as a gen_server has anyway. */
        if (i % 1000 == 999)
            cop_yield(ctx);
    }
    cop_process_sleep(ctx, 500);
    if (cop_node_process_count() < MEMORY_PROCESSES)
        bench_fail("some of a million processes are gone");
    bench_out(name, (bench_resident_bytes() - before) / MEMORY_PROCESSES, "bytes/process");
}

static void ignore_message(cop_ctx *ctx, void *state, cop_term message) { cop_exit(ctx, message); }

static const cop_callbacks idle_callbacks = { .name = "idle", .message = ignore_message };

static void idle_start(cop_ctx *ctx, cop_term arg) { cop_become(ctx, &idle_callbacks, NULL); }

static void start_callback(cop_ctx *ctx) { cop_spawn(ctx, idle_start, COP_NIL); }

void bench_memory_callback(cop_ctx *ctx) { bench_memory(ctx, "memory.callback", start_callback); }

static void wait_start(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
}

static void start_waiting(cop_ctx *ctx) { cop_spawn(ctx, wait_start, COP_NIL); }

void bench_memory_raw(cop_ctx *ctx) { bench_memory(ctx, "memory.raw", start_waiting); }
