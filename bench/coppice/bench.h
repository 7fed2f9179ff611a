/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_BENCH_H
#define COPPICE_BENCH_H

#include <coppice.h>
#include <coppice/gen_server.h>

/* Sizes: those of bench/erlang/bench_peer.erl. Change both or none. */
enum {
    SPAWN_BATCH = 1000,
    SPAWN_BATCHES = 300,
    PINGPONG_ROUNDS = 500000,
    RING_SIZE = 1000,
    RING_HOPS = 2000000,
    CALLS = 400000,
    PAIRS = 1000,
    FANIN_SENDERS = 8,
    FANIN_MESSAGES = 1000000,
    MEMORY_PROCESSES = 1000000,
    PROBES = 2000,
};

/* One workload: runs inside a fresh process and prints its line. */
struct workload {
    const char *name;
    void (*run)(cop_ctx *ctx);
};

void bench_spawn(cop_ctx *ctx);
void bench_pingpong(cop_ctx *ctx);
void bench_ring(cop_ctx *ctx);
void bench_call_1(cop_ctx *ctx);
void bench_call_8(cop_ctx *ctx);
void bench_call_1000(cop_ctx *ctx);
void bench_fanin_cast(cop_ctx *ctx);
void bench_fanin_send(cop_ctx *ctx);
void bench_memory_gen_server(cop_ctx *ctx);
void bench_memory_callback(cop_ctx *ctx);
void bench_memory_raw(cop_ctx *ctx);
void bench_latency_hog(cop_ctx *ctx);

/* main.c */
int64_t bench_now_ns(void);
void bench_out(const char *name, double value, const char *unit);
/* Ends the program with a message: a benchmark that went wrong has no figure. */
_Noreturn void bench_fail(const char *what);
/* Takes `count` messages, whatever they are. */
void bench_collect(cop_ctx *ctx, int64_t count);
/* memory.c: starts a million of them, rests, prints the bytes for each. */
void bench_memory(cop_ctx *ctx, const char *name, void (*start)(cop_ctx *ctx));
/* fanin.c: starts the senders of `messages` messages; each is told {destination, its share}. */
void bench_senders(cop_ctx *ctx, cop_entry sender, cop_pid destination, int64_t messages);

#endif
