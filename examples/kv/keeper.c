/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: holds on to the stores, so that they outlive the shards.
 *
 * A store is a resource term: freed when no process holds it. A shard holds its own, the keeper
 * holds all of them; the shard that is started in the place of a dead one takes its store from
 * here. If the keeper itself ends, the shards still hold theirs, and the new keeper asks for them.
 *
 *     {:take, shard}          call   {:ok, store}: the caller is that shard from now on
 *     {:put, shard, pid, store}  cast  from a shard that was asked for its store, or salvaged it
 *     {:await, shard}         call   :ok as soon as that shard is there
 *
 * The last is for connections that found nobody under a shard's name: between its end and its
 * restart.
 */
#include "kv.h"
#include "store.h"

struct keeper {
    cop_term stores[KV_MAX_SHARDS];
    cop_term shards[KV_MAX_SHARDS];  /* the pid that took it last */
    cop_term waiting[KV_MAX_SHARDS]; /* callers of :await, a list */
};

static void store_destroy(void *store) { store_free(store); }

const cop_resource_type kv_store_resource = { .name = "store", .destroy = store_destroy };

static cop_init keeper_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct keeper *self = state;
    for (unsigned i = 0; i < KV_MAX_SHARDS; i++)
        self->stores[i] = self->shards[i] = self->waiting[i] = COP_NIL;
    for (unsigned i = 0; i < kv_config.shards; i++)
        cop_gen_server_cast(ctx, kv_shard_name(i), cop_a(deposit));
    return cop_init_ok();
}

/* The shard is there, as this process: whoever waited for it may go on. */
static void arrived(cop_ctx *ctx, struct keeper *self, unsigned shard, cop_term pid) {
    self->shards[shard] = pid;
    cop_term from, rest = self->waiting[shard];
    while (cop_get_cons(rest, &from, &rest))
        cop_gen_server_reply(ctx, from, cop_a(ok));
    self->waiting[shard] = COP_NIL;
}

static cop_next take(cop_ctx *ctx, struct keeper *self, unsigned shard, cop_term pid) {
    if (cop_is_nil(self->stores[shard]))
        self->stores[shard] = cop_resource(ctx, &kv_store_resource, store_new());
    else
        atomic_fetch_add(&kv_counters.taken_over, 1);
    arrived(ctx, self, shard, pid);
    return cop_reply(ctx, cop_tuple(ctx, cop_a(ok), self->stores[shard]));
}

static cop_next await(cop_ctx *ctx, struct keeper *self, unsigned shard, cop_from from) {
    cop_pid pid;
    if (cop_get_pid(self->shards[shard], &pid) && cop_process_is_alive(ctx, pid))
        return cop_reply(ctx, cop_a(ok));
    self->waiting[shard] = cop_cons(ctx, from.t, self->waiting[shard]);
    return cop_noreply();
}

static cop_next keeper_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    unsigned shard;
    if (cop_match_tuple(request, cop_a(take), &shard) && shard < KV_MAX_SHARDS)
        return take(ctx, state, shard, cop_elem(from.t, 0));
    if (cop_match_tuple(request, cop_a(await), &shard) && shard < KV_MAX_SHARDS)
        return await(ctx, state, shard, from);
    return cop_bad_call(ctx, request);
}

static cop_next keeper_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    struct keeper *self = state;
    unsigned shard;
    cop_pid pid;
    cop_term store;
    if (!cop_match_tuple(request, cop_a(put), &shard, &pid, &store) || shard >= KV_MAX_SHARDS)
        return cop_bad_cast(ctx, request);
    self->stores[shard] = store;
    arrived(ctx, self, shard, pid.t);
    return cop_noreply();
}

static const cop_gen_server keeper = {
    .name = "Keeper",
    .state_size = sizeof(struct keeper),
    .state_terms = sizeof(struct keeper) / sizeof(cop_term),
    .init = keeper_init,
    .handle_call = keeper_handle_call,
    .handle_cast = keeper_handle_cast,
};

cop_started keeper_start_link(cop_ctx *ctx, cop_term arg) {
    return cop_gen_server_start_link(ctx, &keeper, arg, &(cop_start_opts){ .name = cop_a(keeper) });
}
