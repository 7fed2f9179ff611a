/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shard: the process that alone reads and writes one store.
 *
 * A connection sends it all commands that it has for this shard just now as one call:
 *
 *     {:run, binary}   binary: command, command, ...   see batch.h
 *     reply: binary    how much of the request was done, then size, reply, size, reply, ...
 *
 * The store is not the shard's own: it comes from the keeper and outlives the shard. A shard that
 * starts looks whether its predecessor ended in the middle of a change. If so, or if the store does
 * not look sound, what is sound in it is copied to a new one, and the old one is never touched
 * again.
 */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "command.h"
#include "kv.h"
#include "pulse.h"

enum {
    SWEEP_MS = 100,
    SWEEP_BUCKETS = 256,      /* looked through at each sweep */
    ENOUGH_REPLIED = 4 << 20, /* bytes of replies after which a batch is answered half done */
    KEEP_AT_MOST = 256 << 10, /* an idle shard's buffer is no bigger */
};

struct shard {
    cop_term resource; /* the store, as a term */
    struct store *store;
    uint64_t claim;
    struct buffer *out;
    struct pulse *pulse;
    uint64_t served;
    unsigned number;
    bool sweeping;
};

/* ---- taking the store over ------------------------------------------------------------------- */

/* Copies what can be read. A fault at a torn place is caught here, and costs that bucket only. */
static void salvage_all(cop_ctx *ctx, struct salvage *salvage) {
    volatile bool done = false;
    while (!done) {
        COP_TRY(ctx) {
            while (store_salvage(salvage))
                continue;
            done = true;
        }
        COP_CATCH(caught) {
            if (!caught->is_fault)
                cop_rethrow(ctx, caught);
            store_salvage_skip(salvage);
        }
    }
}

/* Whether it is sound; a fault while looking is an answer too. */
static bool is_sound(cop_ctx *ctx, const struct store *store) {
    volatile bool sound = false;
    COP_TRY(ctx) { sound = store_verify(store); }
    COP_CATCH(caught) { sound = false; }
    return sound;
}

static void deposit(cop_ctx *ctx, const struct shard *self) {
    cop_gen_server_cast(ctx, cop_a(keeper),
                        cop_tuple(ctx, cop_a(put), self->number, cop_self(ctx), self->resource));
}

static void replace_torn(cop_ctx *ctx, struct shard *self, struct store *torn) {
    struct salvage salvage = { .from = torn, .into = store_new() };
    self->store = salvage.into;
    self->resource = cop_resource(ctx, &kv_store_resource, salvage.into);
    salvage_all(ctx, &salvage);
    self->claim = store_claim(self->store);
    deposit(ctx, self);
    atomic_fetch_add(&kv_counters.salvaged, 1);
    cop_logger_write(ctx, COP_LEVEL_WARNING,
                     "shard %u: its store was torn; %zu keys copied to a new one, %zu places lost",
                     self->number, salvage.kept, salvage.lost);
}

static bool take_over(cop_ctx *ctx, struct shard *self) {
    cop_called called = cop_gen_server_try_call(
        ctx, cop_a(keeper), cop_tuple(ctx, cop_a(take), self->number), COP_INFINITY);
    void *object;
    if (!called.ok || !cop_match_tuple(called.value, cop_a(ok), &self->resource)
        || !cop_get_resource(self->resource, &kv_store_resource, &object))
        return false;
    self->store = object;
    self->claim = store_claim(self->store);
    if (self->claim == 0 || !is_sound(ctx, self->store))
        replace_torn(ctx, self, self->store);
    return true;
}

/* ---- the process ----------------------------------------------------------------------------- */

static void free_buffer(void *object) {
    buffer_free(object);
    free(object);
}

static void sweep_soon(cop_ctx *ctx, struct shard *self) {
    if (self->sweeping || store_count_expiring(self->store) == 0)
        return;
    self->sweeping = true;
    cop_process_send_after(ctx, cop_self(ctx), cop_a(sweep), SWEEP_MS);
}

static cop_init shard_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct shard *self = state;
    if (!cop_match(arg, &self->number))
        return cop_init_stop(cop_a(badarg));
    self->pulse = pulse_claim(ctx);
    self->out = cop_own(ctx, calloc(1, sizeof *self->out), free_buffer);
    if (self->out == NULL || self->pulse == NULL)
        return cop_init_stop(cop_a(system_limit));
    if (!take_over(ctx, self))
        return cop_init_stop(cop_a(no_store));
    sweep_soon(ctx, self);
    return cop_init_ok();
}

/* In front of every use: somebody else may be this shard by now, if this process was given up. */
static void enter(cop_ctx *ctx, struct shard *self) {
    if (!store_enter(self->store, self->claim))
        cop_exit(ctx, cop_a(superseded));
}

static void run_one(cop_ctx *ctx, struct shard *self, const struct batch_item *item,
                    struct job *job) {
    const struct command *command = command_at(item->command);
    if (command->plan == PLAN_CRASH)
        crash(ctx, item->argv[0]);
    size_t head = batch_reply_begin(self->out);
    job->hash = item->hash;
    job->served = ++self->served;
    enter(ctx, self);
    command->run(job, item->argv, item->argc);
    store_leave(self->store, self->claim);
    batch_reply_end(self->out, head);
}

static size_t run_batch(cop_ctx *ctx, struct shard *self, cop_bytes request) {
    struct job job = {
        .store = self->store,
        .out = self->out,
        .now_ms = cop_system_time_ns(ctx) / 1000000,
        .shard = self->number,
        .shards = kv_config.shards,
        .max_value = kv_config.limits.max_bulk,
    };
    size_t done = 0;
    struct batch_item item;
    while (self->out->size < ENOUGH_REPLIED && batch_read(request, &done, &item)) {
        run_one(ctx, self, &item, &job);
        pulse_begin(self->pulse);
    }
    return done;
}

static cop_next run(cop_ctx *ctx, struct shard *self, cop_bytes request) {
    pulse_begin(self->pulse);
    self->out->size = 0;
    buffer_put_u64(self->out, 0);
    uint64_t done = run_batch(ctx, self, request);
    memcpy(self->out->data, &done, sizeof done);
    cop_term reply = cop_binary(ctx, self->out->data, self->out->size);
    if (self->out->capacity > KEEP_AT_MOST)
        buffer_free(self->out);
    sweep_soon(ctx, self);
    pulse_end(self->pulse);
    return cop_reply(ctx, reply);
}

static cop_next shard_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    cop_bytes batch;
    if (cop_match_tuple(request, cop_a(run), &batch))
        return run(ctx, state, batch);
    return cop_bad_call(ctx, request);
}

/* A new keeper asks. */
static cop_next shard_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    if (!cop_match(request, cop_a(deposit)))
        return cop_bad_cast(ctx, request);
    deposit(ctx, state);
    return cop_noreply();
}

static cop_next shard_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    struct shard *self = state;
    if (!cop_match(message, cop_a(sweep)))
        return cop_noreply();
    self->sweeping = false;
    pulse_begin(self->pulse);
    enter(ctx, self);
    store_sweep(self->store, cop_system_time_ns(ctx) / 1000000, SWEEP_BUCKETS);
    store_leave(self->store, self->claim);
    pulse_end(self->pulse);
    sweep_soon(ctx, self);
    return cop_noreply();
}

static cop_term shard_state_to_term(cop_ctx *ctx, const void *state) {
    const struct shard *self = state;
    return cop_map(ctx, cop_a(shard), self->number, cop_a(keys), store_count(self->store),
                   cop_a(served), self->served);
}

static const cop_gen_server shard = {
    .name = "Shard",
    .state_size = sizeof(struct shard),
    .state_terms = 1,
    .init = shard_init,
    .handle_call = shard_handle_call,
    .handle_cast = shard_handle_cast,
    .handle_info = shard_handle_info,
    .state_to_term = shard_state_to_term,
};

cop_atom kv_shard_name(unsigned number) {
    static uint64_t names[KV_MAX_SHARDS];
    uint64_t word = __atomic_load_n(&names[number], __ATOMIC_RELAXED);
    if (word == 0) {
        char text[32] = "shard_";
        integer_format(text + 6, number);
        word = cop_atom_new(text).t.w;
        __atomic_store_n(&names[number], word, __ATOMIC_RELAXED);
    }
    return (cop_atom){ { word } };
}

static cop_started shard_start_link(cop_ctx *ctx, cop_term number) {
    int64_t n = 0;
    cop_get_i64(number, &n);
    return cop_gen_server_start_link(ctx, &shard, number,
                                     &(cop_start_opts){ .name = kv_shard_name((unsigned)n) });
}

cop_started shards_start_link(cop_ctx *ctx, cop_term arg) {
    cop_child_spec *children = cop_alloc(ctx, kv_config.shards * sizeof *children);
    for (unsigned i = 0; i < kv_config.shards; i++) {
        children[i].id_term = kv_shard_name(i).t;
        children[i].start = shard_start_link;
        children[i].arg = COP_INT(i);
    }
    /* A client may crash shards as often as it likes; this many in so short a time, and the shards
       are all started anew, by the supervisor above. */
    const cop_supervisor_opts opts = {
        .strategy = COP_ONE_FOR_ONE,
        .max_restarts = 100,
        .max_seconds = 5,
        .name = cop_a(shards),
    };
    cop_started started = cop_supervisor_start_link(ctx, children, kv_config.shards, &opts);
    cop_free(ctx, children);
    return started;
}
