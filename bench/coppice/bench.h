/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_BENCH_H
#define COPPICE_BENCH_H

#include <coppice.h>
#include <coppice/gen_server.h>

/* Sizes: those of bench/erlang/bench_peer.erl and the other peers. Change all or none. */
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
    FANOUT_PROCESSES = 100000,
    FANOUT_ROUNDS = 5,
    BIGMSG_BINARY_BYTES = 1 << 20,
    BIGMSG_BINARY_ROUNDS = 300000,
    BIGMSG_LIST_LENGTH = 1000,
    BIGMSG_LIST_ROUNDS = 100000,
    SELECTIVE_WAITING = 10000,
    SELECTIVE_ROUNDS = 200000,
    SELECTIVE_SCANS = 2000,
    TIMERS = 1000000,
    MEMORY_PROCESSES = 1000000,
    PROBES = 1000,
    SUPERVISOR_CHILDREN = 100000,
    TASKS = 100000,
    STAGE_EVENTS = 2000000,
    STAGE_DEMAND = 1000,
    STAGE_CONSUMERS = 4,
};

/* One workload: runs inside a fresh process and prints its lines. */
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
void bench_fanout(cop_ctx *ctx);
void bench_bigmsg_binary(cop_ctx *ctx);
void bench_bigmsg_list(cop_ctx *ctx);
void bench_selective(cop_ctx *ctx);
void bench_timers(cop_ctx *ctx);
void bench_teardown_chain(cop_ctx *ctx);
void bench_teardown_chain_million(cop_ctx *ctx);
void bench_teardown_hub(cop_ctx *ctx);
void bench_teardown_hub_million(cop_ctx *ctx);
void bench_registry_register(cop_ctx *ctx);
void bench_registry_lookup(cop_ctx *ctx);
void bench_registry_via(cop_ctx *ctx);
void bench_registry_dispatch(cop_ctx *ctx);
void bench_memory_gen_server(cop_ctx *ctx);
void bench_memory_hibernated(cop_ctx *ctx);
void bench_memory_callback(cop_ctx *ctx);
void bench_memory_raw(cop_ctx *ctx);
void bench_memory_timer(cop_ctx *ctx);
void bench_supervisor_start(cop_ctx *ctx);
void bench_supervisor_restart_burst(cop_ctx *ctx);
void bench_supervisor_shutdown(cop_ctx *ctx);
void bench_supervisor_shutdown_100k(cop_ctx *ctx);
void bench_task_async_await(cop_ctx *ctx);
void bench_task_async_stream(cop_ctx *ctx);
void bench_genstage_pipeline(cop_ctx *ctx);
void bench_genstage_demand1(cop_ctx *ctx);
void bench_genstage_broadcast(cop_ctx *ctx);
void bench_genstage_partition(cop_ctx *ctx);
void bench_genstage_consumer_supervisor(cop_ctx *ctx);
void bench_hog_cooperative(cop_ctx *ctx);
void bench_hog_uncooperative(cop_ctx *ctx);
void bench_hog_blocking(cop_ctx *ctx);

/* main.c */
int64_t bench_now_ns(void);
void bench_out(const char *name, double value, const char *unit);
/* Ends the program with a message: a benchmark that went wrong has no figure. */
_Noreturn void bench_fail(const char *what);
/* Takes `count` messages, each of which must be this term. */
void bench_collect(cop_ctx *ctx, int64_t count, cop_term expected);
/* memory.c: the resident size of this OS process. */
double bench_resident_bytes(void);
/* Starts a million of them, rests, prints the bytes for each. */
void bench_memory(cop_ctx *ctx, const char *name, void (*start)(cop_ctx *ctx));
/* fanin.c: starts the senders of `messages` messages; each is told {destination, its share}. */
void bench_senders(cop_ctx *ctx, cop_entry sender, cop_pid destination, int64_t messages);
/* calls.c: a gen_server that echoes what it is asked. */
cop_pid bench_start_server(cop_ctx *ctx);
/* messages.c: starts a callback process that answers {from, x} with :pong. */
cop_pid bench_start_echo(cop_ctx *ctx);

#endif
