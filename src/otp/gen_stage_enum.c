/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage: a producer that walks along an enumerable. The walk begins with the first demand; each takes as
 * many elements as are asked for. When there are fewer, a :stop goes through its own buffer as an info, so
 * that the stage ends when the last event has left it.
 *
 * Until the walk is begun its iterator's own term is the enumerable. The stack of who started the stage is
 * kept for the report of an unexpected message, in the process dictionary.
 *
 * Threads: the stage's own process.
 */
#include <coppice/enum.h>
#include <string.h>

#include "gen_stage.h"

struct source {
    cop_enum walk;
    int64_t consumers;
    bool begun, stop_on_cancel;
};
enum { FIRST_ROOM = 1024 };

static cop_stage_init source_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct source *self = state;
    uint64_t dispatcher;
    bool accumulate;
    cop_term opts, stack;
    if (!cop_match_tuple(arg, &self->walk.kept, &dispatcher, &opts, &accumulate,
                         &self->stop_on_cancel, &stack))
        return cop_stage_init_stop(cop_a(badarg));
    cop_process_put(ctx, cop_as("$started_at").t, stack);
    return cop_stage_producer(.demand = accumulate ? COP_DEMAND_ACCUMULATE : COP_DEMAND_FORWARD,
                              .dispatcher = (const cop_dispatcher *)(uintptr_t)dispatcher,
                              .dispatcher_opts = cop_match(opts, cop_a(nil)) ? COP_NONE : opts);
}

/* At most n elements. How many there are is not known, so room is made as they come. */
static cop_events take(cop_ctx *ctx, struct source *self, int64_t n) {
    size_t room = n < FIRST_ROOM ? (size_t)n : FIRST_ROOM, count = 0;
    cop_term *at = cop_events_new(ctx, room, NULL), element;
    while ((int64_t)count < n && cop_enum_next(ctx, &self->walk, &element)) {
        if (count == room) {
            cop_term *more = cop_events_new(ctx, 2 * room, NULL);
            memcpy(more, at, count * sizeof *at);
            at = more;
            room *= 2;
        }
        at[count++] = element;
    }
    return cop_events_of(at, count);
}

static cop_stage_next source_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct source *self = state;
    if (!self->begun)
        self->walk = cop_enum_open(ctx, self->walk.kept);
    self->begun = true;
    cop_events events = take(ctx, self, demand);
    if ((int64_t)events.count < demand)
        cop_gen_stage_async_info(ctx, cop_self(ctx), cop_a(stop));
    return cop_stage_emit(events);
}

static cop_stage_subscribed source_subscribe(cop_ctx *ctx, void *state, cop_stage_kind other,
                                             cop_term opts, cop_from from) {
    struct source *self = state;
    self->consumers++;
    return cop_stage_automatic();
}

static cop_stage_next source_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct source *self = state;
    if (--self->consumers == 0 && self->stop_on_cancel)
        return cop_stage_stop(cop_a(normal));
    return cop_stage_noreply();
}

static cop_stage_next source_info(cop_ctx *ctx, void *state, cop_term message) {
    if (cop_match(message, cop_a(stop)))
        return cop_stage_stop(cop_a(normal));
    stage_log(
        ctx, COP_LEVEL_WARNING,
        "** Undefined handle_info in ~tp~n** Unhandled message: ~tp~n** Stream started at:~n~tp",
        cop_list(ctx, cop_as("Elixir.GenStage.Streamer"), message,
                 cop_process_get(ctx, cop_as("$started_at").t)));
    return cop_stage_noreply();
}

static cop_term source_to_term(cop_ctx *ctx, const void *state) {
    const struct source *self = state;
    return cop_tuple(ctx, self->begun ? cop_a(begun) : cop_a(waiting), self->consumers);
}

static const cop_gen_stage source = {
    .name = "GenStage.Streamer",
    .state_size = sizeof(struct source),
    .state_terms = COP_ENUM_TERMS,
    .init = source_init,
    .handle_demand = source_demand,
    .handle_subscribe = source_subscribe,
    .handle_cancel = source_cancel,
    .handle_info = source_info,
    .state_to_term = source_to_term,
};

cop_started cop__gen_stage_from_enumerable(cop_ctx *ctx, cop_term enumerable,
                                           const cop_from_enumerable_opts *opts) {
    cop_from_enumerable_opts o = { 0 };
    if (opts != NULL)
        o = *opts;
    cop_term stack = cop_process_info(ctx, cop_self(ctx), cop_a(current_stacktrace));
    cop_term arg =
        cop_tuple(ctx, enumerable, (uint64_t)(uintptr_t)o.dispatcher,
                  cop_is_none(o.dispatcher_opts) ? cop_a(nil).t : o.dispatcher_opts,
                  cop_bool(o.demand == COP_DEMAND_ACCUMULATE), cop_bool(o.stop_on_cancel), stack);
    return o.no_link ? cop_gen_stage_start(ctx, &source, arg, &o.start)
                     : cop_gen_stage_start_link(ctx, &source, arg, &o.start);
}
