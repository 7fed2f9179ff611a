/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue in front of a broadcast. Events that come without demand wait in the producer's own queue, demand
 * that comes without events is remembered; so the stage's buffer is never used, and who notifies is
 * answered when the event has been sent.
 *
 *     sync_notify --> QueueBroadcaster --> Printer, Printer, Printer
 */
#include <coppice.h>
#include <stdio.h>

/* ---- the broadcaster --------------------------------------------------------------------------------------- */

struct broadcaster {
    cop_queue queue; /* {from, event}: its words are terms */
    int64_t pending; /* demand without events */
};

static cop_stage_init broadcaster_init(cop_ctx *ctx, void *state, cop_term arg) {
    return cop_stage_producer(.dispatcher = &cop_broadcast_dispatcher);
}

/* Sends as many events as there is demand for, and answers those who wait for that. */
static cop_stage_next dispatch_events(cop_ctx *ctx, struct broadcaster *self) {
    cop_events events;
    size_t n = cop_queue_count(&self->queue);
    if ((int64_t)n > self->pending)
        n = (size_t)self->pending;
    cop_term *at = cop_events_new(ctx, n, &events), from;
    for (size_t i = 0; i < n; i++) {
        cop_term entry = cop_queue_take(ctx, &self->queue, 1).at[0];
        if (cop_match_tuple(entry, &from, &at[i]))
            cop_gen_stage_reply(ctx, from, cop_a(ok));
    }
    self->pending -= (int64_t)n;
    return cop_stage_emit(events);
}

static cop_stage_next broadcaster_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct broadcaster *self = state;
    cop_term event;
    if (!cop_match_tuple(request, cop_a(notify), &event))
        return cop_stage_reply(ctx, cop_a(error), cop_no_events());
    cop_term entry = cop_tuple(ctx, from, event);
    cop_queue_push(ctx, &self->queue, cop_events_of(&entry, 1));
    return dispatch_events(ctx, self);
}

static cop_stage_next broadcaster_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct broadcaster *self = state;
    self->pending += demand;
    return dispatch_events(ctx, self);
}

static const cop_gen_stage broadcaster = {
    .name = "QueueBroadcaster",
    .state_size = sizeof(struct broadcaster),
    .state_terms = COP_QUEUE_TERMS,
    .init = broadcaster_init,
    .handle_call = broadcaster_call,
    .handle_demand = broadcaster_demand,
};

/* Sends an event, and returns when it has been dispatched. */
static void sync_notify(cop_ctx *ctx, cop_atom event) {
    cop_gen_stage_call(ctx, cop_a(broadcaster), cop_tuple(ctx, cop_a(notify), event), 0);
}

/* ---- the printers -------------------------------------------------------------------------------------------- */

static cop_stage_init printer_init(cop_ctx *ctx, void *state, cop_term reader) {
    *(cop_term *)state = reader;
    return cop_stage_consumer(.subscribe_to = cop_list(ctx, cop_a(broadcaster)));
}

static cop_stage_next printer_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    for (size_t i = 0; i < events.count; i++)
        cop_send(ctx, *(cop_term *)state,
                 cop_tuple(ctx, cop_a(printed), cop_self(ctx), events.at[i]));
    return cop_stage_noreply();
}

static const cop_gen_stage printer = {
    .name = "Printer",
    .state_size = sizeof(cop_term),
    .state_terms = 1,
    .init = printer_init,
    .handle_events = printer_events,
};

static void broadcaster_main(cop_ctx *ctx, cop_term arg) {
    enum { PRINTERS = 3 };
    cop_pid printers[PRINTERS], pid;
    cop_term message, event;
    cop_gen_stage_start_link(ctx, &broadcaster, COP_NONE,
                             &(cop_start_opts){ .name = cop_a(broadcaster) });
    for (int i = 0; i < PRINTERS; i++)
        printers[i] = cop_gen_stage_start_link(ctx, &printer, cop_self(ctx).t, NULL).pid;
    sync_notify(ctx, cop_a(hello_world));
    for (int i = 0; i < PRINTERS; i++) {
        cop_receive(ctx, COP_INFINITY, &message);
        if (cop_match_tuple(message, cop_a(printed), &pid, &event))
            printf("a printer got :%s\n", cop_atom_name((cop_atom){ event }, NULL));
    }
    for (int i = 0; i < PRINTERS; i++)
        cop_gen_stage_stop(ctx, printers[i], cop_a(normal), 0);
    cop_gen_stage_stop(ctx, cop_a(broadcaster), cop_a(normal), 0);
}

int main(void) { return cop_run(NULL, broadcaster_main); }
