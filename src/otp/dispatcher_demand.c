/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage.DemandDispatcher: each batch goes to who has asked for most.
 *
 * The consumers stand in one array, the largest demand first, among equals the one that came there
 * first. Whoever's demand changes is taken out and put in again behind its equals. So a batch is handed
 * out from the front, each consumer getting one message, and the usual one (a single consumer that has
 * asked for at least as much) costs one message and no move.
 *
 *     [ a 5 | c 5 | b 2 | d 0 ]   dispatch of 7: a gets 5, c gets 2   ->   [ c 3 | b 2 | d 0 | a 0 ]
 *
 * `pending` is demand that consumers have left behind: the producer was asked for it and will deliver,
 * so that much of the next demands needs no asking.
 *
 * Invariants
 *   1. The array is in the order of falling demand; once shuffled, those with a demand may stand in any
 *      order, but still in front of those without.
 * Threads: the stage's process.
 */
#include <string.h>

#include "dispatch.h"

struct consumer {
    int64_t demand;
    struct held pid, tag;
};

struct demand {
    struct consumer *consumers; /* cop_alloc'ed: goes with the process */
    size_t count, cap;
    uint64_t total, carry; /* of their demands, in 128 bits: each may be as large as it likes */
    int64_t pending;
    int64_t max; /* -1: nobody has asked yet */
    bool shuffle;
};

static void demand_init(cop_ctx *ctx, void *state, cop_term opts) {
    struct demand *self = state;
    cop_term max = dispatch_option(opts, cop_a(max_demand));
    cop_term shuffle = dispatch_option(opts, cop_a(shuffle_demands_on_first_dispatch));
    self->max = -1;
    if (!cop_is_none(max) && !cop_match(max, cop_a(nil))
        && (!cop_get_i64(max, &self->max) || self->max < 1))
        dispatch_bad(ctx, "expected :max_demand to be a positive integer, got: ", max);
    if (!cop_is_none(shuffle) && !cop_get_bool(shuffle, &self->shuffle))
        dispatch_bad(ctx,
                     "expected :shuffle_demands_on_first_dispatch to be a boolean, got: ", shuffle);
}

static cop_subscribed demand_subscribe(cop_ctx *ctx, void *state, cop_term opts, cop_from from) {
    struct demand *self = state;
    cop_term pid, tag;
    from_parts(ctx, from, &pid, &tag);
    if (self->count == self->cap) {
        self->cap = self->cap == 0 ? 4 : 2 * self->cap;
        self->consumers = cop_realloc(ctx, self->consumers, self->cap * sizeof *self->consumers);
    }
    self->consumers[self->count++] =
        (struct consumer){ .pid = held_new(ctx, pid), .tag = held_new(ctx, tag) };
    return cop_subscribe_ok(0);
}

/* Its index; count if nobody has this tag. */
static size_t find(const struct demand *self, cop_term tag) {
    size_t i = 0;
    while (i < self->count && !held_is(&self->consumers[i].tag, tag))
        i++;
    return i;
}

static void add_to_total(struct demand *self, int64_t n) {
    self->carry += __builtin_add_overflow(self->total, (uint64_t)n, &self->total);
}

static void take_from_total(struct demand *self, int64_t n) {
    self->carry -= __builtin_sub_overflow(self->total, (uint64_t)n, &self->total);
}

/* Gives the consumer at i another demand, and so another place: behind those with as much or more. */
static void set_demand(struct demand *self, size_t i, int64_t demand) {
    struct consumer *all = self->consumers;
    take_from_total(self, all[i].demand);
    add_to_total(self, demand);
    all[i].demand = demand;
    if (self->count == 1)
        return;
    struct consumer moved = all[i];
    size_t to = i;
    if (i + 1 < self->count && all[i + 1].demand >= demand) {
        while (to + 1 < self->count && all[to + 1].demand >= demand)
            to++;
        memmove(all + i, all + i + 1, (to - i) * sizeof *all);
    } else {
        while (to > 0 && all[to - 1].demand < demand)
            to--;
        memmove(all + to + 1, all + to, (i - to) * sizeof *all);
    }
    all[to] = moved;
}

static int64_t demand_ask(cop_ctx *ctx, void *state, int64_t n, cop_from from) {
    struct demand *self = state;
    cop_term pid, tag;
    from_parts(ctx, from, &pid, &tag);
    if (self->max < 0)
        self->max = n;
    if (n > self->max)
        dispatch_log(ctx, COP_LEVEL_WARNING,
                     "GenStage producer DemandDispatcher expects a maximum demand of ~tp. Using "
                     "different maximum demands will overload greedy consumers. Got demand for ~tp "
                     "events from ~tp~n",
                     cop_list(ctx, self->max, n, pid));
    size_t i = find(self, tag);
    if (i == self->count)
        return 0;
    struct consumer *consumer = &self->consumers[i];
    if (!held_is(&consumer->pid, pid)) {
        held_forget(ctx, &consumer->pid);
        consumer->pid = held_new(ctx, pid);
    }
    set_demand(self, i, demand_sum(consumer->demand, n));
    int64_t asked = n < self->pending ? n : self->pending;
    self->pending -= asked;
    return n - asked;
}

/* Those without a demand stay behind: who comes first must be able to take something. */
static void shuffle(cop_ctx *ctx, struct demand *self) {
    size_t n = 0;
    while (n < self->count && self->consumers[n].demand > 0)
        n++;
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)(cop_random_u64(ctx) % i);
        struct consumer moved = self->consumers[k];
        self->consumers[k] = self->consumers[i - 1];
        self->consumers[i - 1] = moved;
    }
}

static cop_events demand_dispatch(cop_ctx *ctx, void *state, cop_events events) {
    struct demand *self = state;
    if (self->shuffle)
        shuffle(ctx, self);
    self->shuffle = false;
    while (events.count > 0 && self->count > 0 && self->consumers[0].demand > 0) {
        struct consumer *first = &self->consumers[0];
        size_t n = (uint64_t)first->demand < events.count ? (size_t)first->demand : events.count;
        dispatch_events(ctx, held_term(ctx, &first->pid), held_term(ctx, &first->tag),
                        cop_events_take(events, n));
        events = cop_events_skip(events, n);
        set_demand(self, 0, first->demand - (int64_t)n);
    }
    self->pending =
        (uint64_t)self->pending > events.count ? self->pending - (int64_t)events.count : 0;
    return events;
}

static int64_t demand_cancel(cop_ctx *ctx, void *state, cop_from from) {
    struct demand *self = state;
    cop_term pid, tag;
    from_parts(ctx, from, &pid, &tag);
    size_t i = find(self, tag);
    if (i == self->count)
        return 0;
    struct consumer *gone = &self->consumers[i];
    self->pending = demand_sum(self->pending, gone->demand);
    take_from_total(self, gone->demand);
    held_forget(ctx, &gone->pid);
    held_forget(ctx, &gone->tag);
    memmove(gone, gone + 1, (--self->count - i) * sizeof *gone);
    return 0;
}

static int64_t demand_room(cop_ctx *ctx, const void *state) {
    const struct demand *self = state;
    return self->carry > 0 || self->total > INT64_MAX ? INT64_MAX : (int64_t)self->total;
}

/* {[{demand, pid, tag}], pending, max | nil, shuffle?} */
static cop_term demand_to_term(cop_ctx *ctx, const void *state) {
    const struct demand *self = state;
    cop_term list = COP_NIL;
    for (size_t i = self->count; i-- > 0;) {
        const struct consumer *consumer = &self->consumers[i];
        list = cop_list_tail(ctx,
                             cop_tuple(ctx, consumer->demand, held_term(ctx, &consumer->pid),
                                       held_term(ctx, &consumer->tag)),
                             list);
    }
    return cop_tuple(ctx, list, self->pending,
                     self->max < 0 ? cop_a(nil).t : cop_of(ctx, self->max), self->shuffle);
}

const cop_dispatcher cop_demand_dispatcher = {
    .name = "GenStage.DemandDispatcher",
    .state_size = sizeof(struct demand),
    .init = demand_init,
    .subscribe = demand_subscribe,
    .ask = demand_ask,
    .dispatch = demand_dispatch,
    .cancel = demand_cancel,
    .room = demand_room,
    .state_to_term = demand_to_term,
};
