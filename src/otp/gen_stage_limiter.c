/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage, beyond Elixir: a rate limiter, a producer-consumer whose demand is manual. At the beginning of each
 * interval it asks its producers for what it may let through in it, less what it has asked for before and not
 * yet handed on. So a producer that does not send, or consumers that do not ask, make it wait, and save
 * nothing up.
 *
 *     open: %{from => events that this producer was asked for and that were not handed on yet}
 *
 * Threads: the stage's own process.
 */
#include "gen_stage.h"

struct limiter {
    cop_term open;
    int64_t events, interval_ms;
    int64_t total; /* the sum of open */
    bool ticking;
};

static cop_stage_init limiter_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct limiter *self = state;
    uint64_t dispatcher;
    int64_t stall_ms;
    cop_term opts, subscribe_to;
    if (!cop_match_tuple(arg, &self->events, &self->interval_ms, &subscribe_to, &dispatcher, &opts,
                         &stall_ms))
        return cop_stage_init_stop(cop_a(badarg));
    self->open = cop_map(ctx);
    return cop_stage_producer_consumer(.subscribe_to = subscribe_to,
                                       .dispatcher = (const cop_dispatcher *)(uintptr_t)dispatcher,
                                       .dispatcher_opts =
                                           cop_match(opts, cop_a(nil)) ? COP_NONE : opts,
                                       .stall_ms = stall_ms);
}

static void set_open(cop_ctx *ctx, struct limiter *self, cop_term from, int64_t n) {
    cop_term had;
    int64_t before = 0;
    if (cop_map_get(self->open, from, &had))
        cop_get_i64(had, &before);
    self->total += n - before;
    self->open = cop_map_put(ctx, self->open, from, cop_of(ctx, n));
}

/* Shares out what is free among the producers, the first of them getting what cannot be divided. */
static void ask_all(cop_ctx *ctx, struct limiter *self) {
    int64_t free = self->events - self->total, n = cop_map_size(self->open), had = 0;
    cop_term from, value, list = cop_map_to_list(ctx, self->open), pair;
    for (; n > 0 && free > 0 && cop_get_cons(list, &pair, &list); n--) {
        int64_t part = (free + n - 1) / n;
        if (!cop_match_tuple(pair, &from, &value) || !cop_get_i64(value, &had))
            continue;
        cop_gen_stage_ask(ctx, from, part, COP_SEND_NOCONNECT);
        set_open(ctx, self, from, had + part);
        free -= part;
    }
}

static void tick(cop_ctx *ctx, struct limiter *self) {
    self->ticking = cop_map_size(self->open) > 0;
    if (!self->ticking)
        return;
    ask_all(ctx, self);
    cop_process_send_after(ctx, cop_self(ctx), cop_as("$tick"), self->interval_ms);
}

/* The first subscription begins the first interval; the others come in with the next one. */
static cop_stage_subscribed limiter_subscribe(cop_ctx *ctx, void *state, cop_stage_kind other,
                                              cop_term opts, cop_from from) {
    struct limiter *self = state;
    if (other == COP_CONSUMER)
        return cop_stage_automatic();
    set_open(ctx, self, from.t, 0);
    if (!self->ticking)
        tick(ctx, self);
    return cop_stage_manual();
}

static cop_stage_next limiter_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct limiter *self = state;
    cop_term unused;
    if (cop_map_get(self->open, from.t, &unused)) {
        set_open(ctx, self, from.t, 0);
        self->open = cop_map_remove(ctx, self->open, from.t);
    }
    return cop_stage_noreply();
}

static cop_stage_next limiter_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    struct limiter *self = state;
    cop_term value;
    int64_t had = 0;
    if (cop_map_get(self->open, from.t, &value) && cop_get_i64(value, &had))
        set_open(ctx, self, from.t, had > (int64_t)events.count ? had - (int64_t)events.count : 0);
    return cop_stage_emit(events);
}

static cop_stage_next limiter_info(cop_ctx *ctx, void *state, cop_term message) {
    if (cop_match(message, cop_as("$tick")))
        tick(ctx, state);
    return cop_stage_noreply();
}

static cop_term limiter_to_term(cop_ctx *ctx, const void *state) {
    const struct limiter *self = state;
    return cop_map(ctx, cop_a(open), self->open, cop_a(events), self->events, cop_a(interval),
                   self->interval_ms);
}

static const cop_gen_stage limiter = {
    .name = "GenStage.RateLimiter",
    .state_size = sizeof(struct limiter),
    .state_terms = 1,
    .init = limiter_init,
    .handle_subscribe = limiter_subscribe,
    .handle_cancel = limiter_cancel,
    .handle_events = limiter_events,
    .handle_info = limiter_info,
    .state_to_term = limiter_to_term,
};

cop_started cop_gen_stage_rate_limiter(cop_ctx *ctx, const cop_rate_limiter_opts *o) {
    if (o->events < 1 || o->events > STAGE_MAX_DEMAND || o->interval_ms < 1)
        return cop_started_error(
            cop_tuple(ctx, cop_a(bad_opts),
                      "expected events and interval_ms to be equal to or greater than 1"));
    cop_term arg = cop_tuple(
        ctx, o->events, o->interval_ms, cop_is_none(o->subscribe_to) ? COP_NIL : o->subscribe_to,
        (uint64_t)(uintptr_t)o->dispatcher,
        cop_is_none(o->dispatcher_opts) ? cop_a(nil).t : o->dispatcher_opts, o->stall_ms);
    return o->no_link ? cop_gen_stage_start(ctx, &limiter, arg, &o->start)
                      : cop_gen_stage_start_link(ctx, &limiter, arg, &o->start);
}
