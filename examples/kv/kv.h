/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KV_H
#define KV_H

#include <coppice.h>
#include <coppice/gen_server.h>
#include <coppice/gen_tcp.h>
#include <coppice/logger.h>
#include <coppice/supervisor.h>
#include <stdatomic.h>

#include "resp.h"

/*
 * What the parts of the service share: its settings, its processes' names, its counters.
 *
 *     kv_main ── supervisor (one_for_one)
 *                ├── keeper         holds on to every shard's store
 *                ├── watchdog       ends processes that do not come back from their work
 *                ├── shards         supervisor (one_for_one): shard_0, shard_1, ...
 *                ├── connections    supervisor (one_for_one) of temporary children
 *                └── listener       accepts
 */

enum { KV_MAX_SHARDS = 64 };

struct kv_config {
    int port;
    unsigned shards;
    unsigned schedulers; /* 0: what the environment says */
    unsigned max_clients;
    int64_t watchdog_ms;
    struct resp_limits limits;
};
/* Set by main before the node starts; only read from then on. */
extern struct kv_config kv_config;

struct kv_counters {
    _Atomic uint64_t accepted;
    _Atomic uint64_t connected;
    _Atomic uint64_t refused;
    _Atomic uint64_t commands;
    _Atomic uint64_t taken_over; /* stores handed to a restarted shard */
    _Atomic uint64_t salvaged;   /* of them, those that were torn */
    _Atomic uint64_t killed;     /* processes ended by the watchdog */
    _Atomic int bound_port;      /* where the listener listens; 0 before */
    _Atomic int64_t started_ms;  /* of the monotonic clock */
};
extern struct kv_counters kv_counters;

/* A store as a term: freed when nobody holds it any more. */
extern const cop_resource_type kv_store_resource;

/* The name of a shard's process. */
cop_atom kv_shard_name(unsigned shard);
/* The shard that a hash belongs to. */
static inline unsigned kv_shard_of(uint64_t hash) {
    return (unsigned)((hash >> 32) * kv_config.shards >> 32);
}

cop_started keeper_start_link(cop_ctx *ctx, cop_term arg);
cop_started watchdog_start_link(cop_ctx *ctx, cop_term arg);
cop_started shards_start_link(cop_ctx *ctx, cop_term arg);
cop_started connections_start_link(cop_ctx *ctx, cop_term arg);
cop_started connection_start_link(cop_ctx *ctx, cop_term port);
cop_started listener_start_link(cop_ctx *ctx, cop_term arg);

/* Crashes the calling process in earnest; `kind` as in the CRASH command, known to crash_is_known.
   */
void crash(cop_ctx *ctx, cop_bytes kind);
bool crash_is_known(cop_bytes kind);

#endif
