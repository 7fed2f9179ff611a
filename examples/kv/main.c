/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: a key-value service that speaks RESP2, so that redis-cli and redis-benchmark are its clients.
 *
 * The main process starts the supervision tree of kv.h and then waits for the end: its own, which
 * SIGTERM and SIGINT bring about, or the tree's. The children's order is that of their needs:
 * shards take their stores from the keeper, connections call shards, the listener starts
 * connections. They find each other by name, so each may be restarted alone.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "kv.h"
#include "pulse.h"
#include "store.h"

struct kv_config kv_config = {
    .port = 6380,
    .max_clients = 10000,
    .watchdog_ms = 2000,
};
struct kv_counters kv_counters;

static const cop_child_spec children[] = {
    { .id = "keeper", .start = keeper_start_link },
    { .id = "watchdog", .start = watchdog_start_link },
    { .id = "shards", .start = shards_start_link, .type = COP_SUPERVISOR },
    { .id = "connections", .start = connections_start_link, .type = COP_SUPERVISOR },
    { .id = "listener", .start = listener_start_link },
};

static void kv_main(cop_ctx *ctx, cop_term arg) {
    cop_process_trap_exit(ctx, true);
    cop_started tree = cop_supervisor_start_link(
        ctx, children, sizeof children / sizeof *children,
        &(cop_supervisor_opts){ .strategy = COP_ONE_FOR_ONE, .name = cop_a(kv) });
    if (tree.is != COP_STARTED)
        cop_exit(ctx, tree.reason);
    cop_term message = COP_NIL, reason = COP_NIL;
    cop_pid from;
    while (!cop_match_tuple(message, cop_as("EXIT"), &from, &reason))
        cop_receive(ctx, COP_INFINITY, &message);
    if (!cop_match(from.t, tree.pid))
        cop_supervisor_stop(ctx, tree.pid, cop_a(shutdown), 0);
    cop_exit(ctx, reason);
}

static void usage(FILE *to) {
    fputs(
        "usage: kv [--port N] [--shards N] [--max-bulk BYTES] [--max-clients N] [--watchdog-ms N]\n"
        "  --port         on 127.0.0.1; 0: one that is free (default 6380)\n"
        "  --shards       processes that hold the data, 1..64 (default: one per core, at least 2)\n"
        "  --max-bulk     the longest value (default 67108864)\n"
        "  --max-clients  connections at the same time (default 10000)\n"
        "  --watchdog-ms  how long a process may be at one request (default 2000)\n",
        to);
}

static int64_t number(const char *text, int64_t least, int64_t most) {
    int64_t n;
    if (!integer_parse(bytes_of(text), &n) || n < least || n > most) {
        fprintf(stderr, "kv: not a number from %lld to %lld: %s\n", (long long)least,
                (long long)most, text);
        exit(2);
    }
    return n;
}

static void parse_arguments(int argc, char **argv) {
    static const struct option options[] = {
        { "port", required_argument, NULL, 'p' },
        { "shards", required_argument, NULL, 's' },
        { "schedulers", required_argument, NULL, 'n' },
        { "max-bulk", required_argument, NULL, 'b' },
        { "max-clients", required_argument, NULL, 'c' },
        { "watchdog-ms", required_argument, NULL, 'w' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'p') {
            kv_config.port = (int)number(optarg, 0, 65535);
        } else if (option == 's') {
            kv_config.shards = (unsigned)number(optarg, 1, KV_MAX_SHARDS);
        } else if (option == 'n') {
            kv_config.schedulers = (unsigned)number(optarg, 1, 1024);
        } else if (option == 'b') {
            kv_config.limits.max_bulk = (size_t)number(optarg, 1, 512 << 20);
        } else if (option == 'c') {
            kv_config.max_clients = (unsigned)number(optarg, 1, 1000000);
        } else if (option == 'w') {
            kv_config.watchdog_ms = number(optarg, 4, 3600000);
        } else {
            usage(option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 2);
        }
    }
    if (optind < argc) {
        usage(stderr);
        exit(2);
    }
}

static void setup(void) {
    uint64_t seed = 0;
    struct timespec now;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        abort();
    store_seed(seed);
    command_setup();
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (kv_config.shards == 0)
        kv_config.shards = cores < 2 ? 2 : cores > KV_MAX_SHARDS ? KV_MAX_SHARDS : (unsigned)cores;
    if (kv_config.schedulers == 0 && getenv("COP_SCHEDULERS") == NULL)
        kv_config.schedulers = cores > 2 ? (unsigned)cores - 1 : 1;
    if (kv_config.limits.max_bulk == 0)
        kv_config.limits.max_bulk = 64 << 20;
    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store(&kv_counters.started_ms, now.tv_sec * 1000 + now.tv_nsec / 1000000);
    /* Some more than can be alive: one that was killed in a loop never gives its own back. */
    if (!pulse_setup(kv_config.max_clients + kv_config.shards + 256))
        abort();
}

int main(int argc, char **argv) {
    cop_node_opts opts = { 0 };
    const char *bad;
    if (cop_node_opts_from_args(&argc, argv, &opts, &bad) < 0) {
        fprintf(stderr, "kv: %s has no value, or a bad one\n", bad);
        return 2;
    }
    parse_arguments(argc, argv);
    setup();
    if (opts.schedulers == 0)
        opts.schedulers = (int)kv_config.schedulers;
    if (opts.max_processes == 0)
        opts.max_processes = 2 * (size_t)kv_config.max_clients + 4096;
    int status = cop_run(&opts, kv_main);
    if (status < 0)
        fprintf(stderr, "kv: %s\n", cop_strerror(status));
    return status < 0 ? 1 : status;
}
