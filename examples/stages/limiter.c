/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer that takes at most so many events in an interval. Its demand is manual: what it has handled it
 * asks for again when the interval is over, and not before.
 */
#include <coppice.h>
#include <stdio.h>

/* ---- a producer of numbers ----------------------------------------------------------------------------------- */

static cop_stage_init counter_init(cop_ctx *ctx, void *state, cop_term arg) {
    return cop_stage_producer(0);
}

static cop_stage_next counter_demand(cop_ctx *ctx, void *state, int64_t demand) {
    int64_t *counter = state;
    cop_events events;
    cop_term *at = cop_events_new(ctx, (size_t)demand, &events);
    for (int64_t i = 0; i < demand; i++)
        at[i] = cop_of(ctx, (*counter)++);
    return cop_stage_emit(events);
}

static const cop_gen_stage counter = { .name = "Counter",
                                       .state_size = sizeof(int64_t),
                                       .init = counter_init,
                                       .handle_demand = counter_demand };

/* ---- the limiter ------------------------------------------------------------------------------------------------ */

struct limiter {
    cop_term producers; /* %{from => {pending, interval}}: pending events may be asked for again */
    cop_term reader;
};

static cop_stage_init limiter_init(cop_ctx *ctx, void *state, cop_term reader) {
    struct limiter *self = state;
    self->producers = cop_map(ctx);
    self->reader = reader;
    return cop_stage_consumer(0);
}

static void put(cop_ctx *ctx, struct limiter *self, cop_term from, int64_t pending,
                int64_t interval) {
    self->producers = cop_map_put(ctx, self->producers, from, cop_tuple(ctx, pending, interval));
}

/* Asks for what was handled since the last time; 0 is harmless. And once more after the interval. */
static void ask_and_schedule(cop_ctx *ctx, struct limiter *self, cop_term from) {
    cop_term entry;
    int64_t pending, interval;
    if (!cop_map_get(self->producers, from, &entry) || !cop_match_tuple(entry, &pending, &interval))
        return; /* cancelled meanwhile */
    cop_gen_stage_ask(ctx, from, pending, 0);
    cop_process_send_after(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(ask), from), interval);
    put(ctx, self, from, 0, interval);
}

static cop_stage_subscribed limiter_subscribe(cop_ctx *ctx, void *state, cop_stage_kind other,
                                              cop_term opts, cop_from from) {
    struct limiter *self = state;
    int64_t pending = 1000, interval = 5000;
    for (cop_term option; cop_get_cons(opts, &option, &opts);)
        if (!cop_match_tuple(option, cop_a(max_demand), &pending))
            cop_match_tuple(option, cop_a(interval), &interval);
    put(ctx, self, from.t, pending, interval);
    ask_and_schedule(ctx, self, from.t);
    return cop_stage_manual(); /* the demand is ours */
}

static cop_stage_next limiter_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct limiter *self = state;
    self->producers = cop_map_remove(ctx, self->producers, from.t);
    return cop_stage_noreply();
}

static cop_stage_next limiter_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    struct limiter *self = state;
    cop_term entry;
    int64_t pending, interval;
    if (cop_map_get(self->producers, from.t, &entry) && cop_match_tuple(entry, &pending, &interval))
        put(ctx, self, from.t, pending + (int64_t)events.count, interval);
    cop_send(ctx, self->reader, cop_events_to_list(ctx, events));
    return cop_stage_noreply();
}

static cop_stage_next limiter_info(cop_ctx *ctx, void *state, cop_term message) {
    cop_term from;
    if (cop_match_tuple(message, cop_a(ask), &from))
        ask_and_schedule(ctx, state, from);
    return cop_stage_noreply();
}

static const cop_gen_stage limiter = {
    .name = "RateLimiter",
    .state_size = sizeof(struct limiter),
    .state_terms = 2,
    .init = limiter_init,
    .handle_subscribe = limiter_subscribe,
    .handle_cancel = limiter_cancel,
    .handle_events = limiter_events,
    .handle_info = limiter_info,
};

static void limiter_main(cop_ctx *ctx, cop_term arg) {
    enum { INTERVAL_MS = 100, ROUNDS = 3 };
    cop_pid a = cop_gen_stage_start_link(ctx, &counter, COP_NONE, NULL).pid;
    cop_pid b = cop_gen_stage_start_link(ctx, &limiter, cop_self(ctx).t, NULL).pid;
    /* Ten events every interval. */
    cop_subscribe_opts opts = { .max_demand = 10,
                                .terms =
                                    cop_list(ctx, cop_tuple(ctx, cop_a(interval), INTERVAL_MS)) };
    int64_t began = cop_monotonic_ms(ctx);
    cop_gen_stage_sync_subscribe(ctx, b, a, &opts, 0);
    for (int i = 0; i < ROUNDS; i++) {
        cop_term batch;
        char text[300];
        cop_receive(ctx, COP_INFINITY, &batch);
        cop_inspect_to(text, sizeof text, batch, &(cop_inspect_opts){ .charlists_as_lists = true });
        printf("%s\n", text);
    }
    /* Timers do not go off early, so two intervals have passed. */
    printf("%s\n", cop_monotonic_ms(ctx) - began >= 2 * INTERVAL_MS - 1 ? "in time" : "too fast");
    cop_gen_stage_stop(ctx, b, cop_a(normal), 0);
    cop_gen_stage_stop(ctx, a, cop_a(normal), 0);
}

int main(void) { return cop_run(NULL, limiter_main); }
