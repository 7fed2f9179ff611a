/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage.BroadcastDispatcher: each event goes to every consumer.
 *
 * What all have asked for is `waiting`; what a consumer has asked for beyond that is its surplus. After
 * each ask and cancel the least surplus is moved to `waiting`, and what was not requested from the
 * producer before is requested:
 *
 *     a 6, b 3, waiting 0, requested 5   ->   a 3, b 0, waiting 3, requested 5   (nothing new to request)
 *
 * A newcomer has asked for nothing, so `waiting` goes back to the others' surpluses until it asks.
 *
 * A selector is a fun, a larger term, so selectors stand in a map by tag, the one term of the state. The
 * list of a batch is made once for all consumers without one.
 *
 * GenStage 1.3.2 forgets that a process is subscribed when its second subscription was refused, and takes
 * the third. Here a process is known as long as a subscription of it is.
 *
 * Invariants
 *   1. No surplus is negative; after a sync one of them is 0.
 *   2. waiting <= requested.
 * Threads: the stage's process.
 */
#include <string.h>

#include "dispatch.h"

struct listener {
    int64_t surplus;
    bool selects;
    struct held pid, tag;
};

struct broadcast {
    cop_term selectors; /* tag -> fun; COP_NONE: nobody has one */
    struct listener *listeners;
    size_t count, cap;
    int64_t waiting, requested;
};
enum { BROADCAST_TERMS = 1 };

static bool is_subscribed(const struct broadcast *self, cop_term pid) {
    for (size_t i = 0; i < self->count; i++)
        if (held_is(&self->listeners[i].pid, pid))
            return true;
    return false;
}

static cop_term selector_of(cop_ctx *ctx, cop_term opts) {
    cop_term selector = dispatch_option(opts, cop_a(selector));
    if (cop_is_none(selector) || cop_match(selector, cop_a(nil)))
        return COP_NONE;
    if (cop_fun_arity(selector) != 1)
        dispatch_bad(ctx, ":selector option must be passed a unary function, got: ", selector);
    return selector;
}

static cop_subscribed broadcast_subscribe(cop_ctx *ctx, void *state, cop_term opts, cop_from from) {
    struct broadcast *self = state;
    cop_term pid, tag, selector = selector_of(ctx, opts);
    from_parts(ctx, from, &pid, &tag);
    if (is_subscribed(self, pid)) {
        dispatch_log(ctx, COP_LEVEL_ERROR,
                     "~tp is already registered with ~tp. This subscription has been discarded.~n",
                     cop_list(ctx, pid, cop_self(ctx)));
        return cop_subscribe_error(cop_a(already_subscribed));
    }
    for (size_t i = 0; i < self->count; i++)
        self->listeners[i].surplus = demand_sum(self->listeners[i].surplus, self->waiting);
    self->waiting = 0;
    if (self->count == self->cap) {
        self->cap = self->cap == 0 ? 4 : 2 * self->cap;
        self->listeners = cop_realloc(ctx, self->listeners, self->cap * sizeof *self->listeners);
    }
    self->listeners[self->count++] = (struct listener){ .selects = !cop_is_none(selector),
                                                        .pid = held_new(ctx, pid),
                                                        .tag = held_new(ctx, tag) };
    if (!cop_is_none(selector)) {
        cop_term all = cop_is_none(self->selectors) ? cop_map(ctx) : self->selectors;
        self->selectors = cop_map_put(ctx, all, tag, selector);
    }
    return cop_subscribe_ok(0);
}

/* Moves what all have asked for to `waiting`; returns what is to be requested for it. */
static int64_t sync_demand(struct broadcast *self) {
    int64_t least = self->count == 0 ? 0 : INT64_MAX;
    for (size_t i = 0; i < self->count; i++)
        if (self->listeners[i].surplus < least)
            least = self->listeners[i].surplus;
    for (size_t i = 0; least > 0 && i < self->count; i++)
        self->listeners[i].surplus -= least;
    self->waiting = demand_sum(self->waiting, least);
    int64_t request = self->waiting > self->requested ? self->waiting - self->requested : 0;
    self->requested += request;
    return request;
}

static size_t find(const struct broadcast *self, cop_term tag) {
    size_t i = 0;
    while (i < self->count && !held_is(&self->listeners[i].tag, tag))
        i++;
    return i;
}

static int64_t broadcast_ask(cop_ctx *ctx, void *state, int64_t n, cop_from from) {
    struct broadcast *self = state;
    cop_term pid, tag;
    from_parts(ctx, from, &pid, &tag);
    size_t i = find(self, tag);
    if (i == self->count)
        return 0;
    self->listeners[i].surplus = demand_sum(self->listeners[i].surplus, n);
    return sync_demand(self);
}

/* One that was refused is not there. */
static int64_t broadcast_cancel(cop_ctx *ctx, void *state, cop_from from) {
    struct broadcast *self = state;
    cop_term pid, tag;
    from_parts(ctx, from, &pid, &tag);
    size_t i = find(self, tag);
    if (i == self->count)
        return 0;
    struct listener *gone = &self->listeners[i];
    if (gone->selects)
        self->selectors = cop_map_remove(ctx, self->selectors, tag);
    held_forget(ctx, &gone->pid);
    held_forget(ctx, &gone->tag);
    memmove(gone, gone + 1, (--self->count - i) * sizeof *gone);
    if (self->count > 0)
        return sync_demand(self);
    self->waiting = 0;
    return 0;
}

/* ---- dispatching ---------------------------------------------------------------------------------- */

/* Sends what the selector accepts, be it nothing; asks in the consumer's name for as many as it does not
   get, so that its demand stays level with the others'. */
static void send_selected(cop_ctx *ctx, const struct broadcast *self, cop_term pid, cop_term tag,
                          cop_events events) {
    cop_term selector = cop_a(nil).t;
    cop_term *selected = cop_events_new(ctx, events.count, NULL);
    size_t n = 0;
    cop_map_get(self->selectors, tag, &selector);
    for (size_t i = 0; i < events.count; i++) {
        cop_term answer = cop_fun_call(ctx, selector, events.at[i]);
        if (!cop_match(answer, cop_a(false)) && !cop_match(answer, cop_a(nil)))
            selected[n++] = events.at[i];
    }
    dispatch_events(ctx, pid, tag, cop_events_of(selected, n));
    if (n < events.count)
        cop_send(ctx, cop_self(ctx),
                 cop_tuple(ctx, cop_as("$gen_producer"), cop_tuple(ctx, pid, tag),
                           cop_tuple(ctx, cop_a(ask), events.count - n)));
}

static cop_events broadcast_dispatch(cop_ctx *ctx, void *state, cop_events events) {
    struct broadcast *self = state;
    if (self->waiting == 0)
        return events;
    cop_events now = (uint64_t)self->waiting < events.count
                         ? cop_events_take(events, (size_t)self->waiting)
                         : events;
    for (size_t i = 0; i < self->count; i++) {
        const struct listener *listener = &self->listeners[i];
        cop_term pid = held_term(ctx, &listener->pid), tag = held_term(ctx, &listener->tag);
        if (listener->selects)
            send_selected(ctx, self, pid, tag, now);
        else
            dispatch_events(ctx, pid, tag, now);
    }
    self->waiting -= (int64_t)now.count;
    self->requested -= (int64_t)now.count;
    return cop_events_skip(events, now.count);
}

static int64_t broadcast_room(cop_ctx *ctx, const void *state) {
    const struct broadcast *self = state;
    return self->waiting;
}

/* {[{surplus, pid, tag, selector | nil}], waiting, requested, MapSet of pids} */
static cop_term broadcast_to_term(cop_ctx *ctx, const void *state) {
    const struct broadcast *self = state;
    cop_term list = COP_NIL, pids = cop_map(ctx);
    for (size_t i = self->count; i-- > 0;) {
        const struct listener *listener = &self->listeners[i];
        cop_term pid = held_term(ctx, &listener->pid), tag = held_term(ctx, &listener->tag);
        cop_term selector = cop_a(nil).t;
        if (listener->selects)
            cop_map_get(self->selectors, tag, &selector);
        list = cop_list_tail(ctx, cop_tuple(ctx, listener->surplus, pid, tag, selector), list);
        pids = cop_map_put(ctx, pids, pid, COP_NIL);
    }
    cop_term set = cop_map(ctx, cop_as("__struct__"), cop_as("Elixir.MapSet"), cop_a(map), pids,
                           cop_a(version), 2);
    return cop_tuple(ctx, list, self->waiting, self->requested, set);
}

const cop_dispatcher cop_broadcast_dispatcher = {
    .name = "GenStage.BroadcastDispatcher",
    .state_size = sizeof(struct broadcast),
    .state_terms = BROADCAST_TERMS,
    .subscribe = broadcast_subscribe,
    .ask = broadcast_ask,
    .dispatch = broadcast_dispatch,
    .cancel = broadcast_cancel,
    .room = broadcast_room,
    .state_to_term = broadcast_to_term,
};
