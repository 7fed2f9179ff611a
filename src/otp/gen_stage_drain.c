/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage, beyond Elixir: a stage that stops without losing events, one that says that it is stalled, and
 * what each has done so far.
 *
 * Draining: the stage cancels its subscriptions. A producer's answer comes behind all events that it has sent,
 * so when all have answered nothing is on its way any more. When the queues are empty too, an info is put
 * through the dispatcher, which hands it out once it holds no events itself: it is the mark that all is
 * out, unless something came in between. Then, or when the time is over, the caller is answered and the
 * stage stops. Whom to answer stands in the process dictionary.
 *
 * Stalls: while events wait a timer runs. If none has moved by then, a warning is logged; the next timer
 * starts when one has.
 *
 * Threads: the stage's own process.
 */
#include "gen_stage.h"
#include "sys.h"

/* ---- draining ---------------------------------------------------------------------------------------------- */

static cop_term drain_reason(cop_ctx *ctx) {
    return cop_tuple(ctx, cop_a(shutdown), cop_a(drains));
}

cop_next stage_drain_begin(cop_ctx *ctx, struct stage *st, cop_term from, int64_t ms) {
    if (st->drains)
        return cop_reply(ctx, cop_tuple(ctx, cop_a(error), cop_a(drains)));
    st->drains = STAGE_DRAINS;
    cop_process_put(ctx, cop_as("$drain").t, from);
    if (ms >= 0)
        cop_start_timer(ctx, ms, cop_self(ctx).t, cop_as("$drain").t);
    const struct stage_subs *producers = &st->tables->producers;
    for (uint32_t i = 0; (i = stage_sub_next(producers, i)) != STAGE_NO_SUB; i++)
        cop_gen_stage_cancel(ctx, stage_sub_from(ctx, &producers->at[i]), drain_reason(ctx),
                             COP_SEND_NOCONNECT);
    return st->accumulates ? stage_set_demand(ctx, st, cop_a(forward).t) : cop_noreply();
}

static bool has_queued(const struct stage *st) {
    return st->q != NULL && (!stage_buffer_is_empty(st) || cop_queue_count(&st->q->in) > 0);
}

/* The events of lists that have come and were not handled. */
static cop_term unhandled(cop_ctx *ctx, struct stage *st) {
    cop_term list = COP_NIL, from, events;
    cop_events some;
    while (st->q != NULL && (some = cop_queue_take(ctx, &st->q->in, 1)).count > 0) {
        if (!cop_match_tuple(some.at[0], cop_a(events), &from, &events))
            continue;
        for (int64_t i = 0; i < cop_tuple_size(events); i++)
            list = cop_cons(ctx, cop_elem(events, (size_t)i), list);
        for (cop_term e; cop_get_cons(events, &e, &events);)
            list = cop_cons(ctx, e, list);
    }
    return cop_list_reverse(ctx, list);
}

static cop_next drain_end(cop_ctx *ctx, struct stage *st) {
    cop_term from = cop_process_delete(ctx, cop_as("$drain").t);
    cop_term undelivered = st->q == NULL ? COP_NIL : cop_queue_to_list(ctx, &st->q->buffer);
    cop_gen_server_reply(ctx, from,
                         cop_tuple(ctx, cop_a(drained), undelivered, unhandled(ctx, st)));
    return cop_stop(cop_a(normal));
}

cop_next stage_drain_look(cop_ctx *ctx, struct stage *st, cop_next next) {
    if (stage_stops(next) || st->drains != STAGE_DRAINS || st->tables->producers.count > 0
        || has_queued(st))
        return next;
    st->drains = STAGE_DRAIN_MARKED;
    stage_dispatch_info(ctx, st, cop_as("$drained").t);
    return next;
}

/* ---- stalls --------------------------------------------------------------------------------------------------- */

/* A number that is another one after anything has moved. */
static int64_t progress(const struct stage *st) { return st->left + st->handled + st->dispatched; }

static void stall_time(cop_ctx *ctx, struct stage *st) {
    st->stall_timed = true;
    st->stall_mark = progress(st);
    cop_start_timer(ctx, st->stall_ms, cop_self(ctx).t, cop_as("$stall").t);
}

void stage_watch_stall(cop_ctx *ctx, struct stage *st) {
    if (st->stall_told && progress(st) != st->stall_mark)
        st->stall_told = false;
    if (!st->stall_timed && !st->stall_told && has_queued(st))
        stall_time(ctx, st);
}

static void stall_over(cop_ctx *ctx, struct stage *st) {
    st->stall_timed = false;
    if (!has_queued(st) || progress(st) != st->stall_mark)
        return; /* the watch at the end of this callback starts anew if there is need */
    st->stall_told = true;
    cop_term consumers = COP_NIL;
    for (uint32_t i = 0; (i = stage_sub_next(&st->tables->consumers, i)) != STAGE_NO_SUB; i++)
        consumers = cop_cons(ctx, stage_sub_pid(ctx, &st->tables->consumers.at[i]), consumers);
    stage_log(
        ctx, COP_LEVEL_WARNING,
        "GenStage ~tp ~tp is stalled: for ~tp ms none of ~tp events and ~tp lists that wait has "
        "moved; its consumers are ~tp",
        cop_list(ctx, stage_kind_atom(st->kind), stage_name(ctx), st->stall_ms,
                 st->pushed - st->left, (uint64_t)cop_queue_count(&st->q->in), consumers));
}

bool stage_watch_message(cop_ctx *ctx, struct stage *st, cop_term message, cop_next *next) {
    cop_term ref, what;
    *next = cop_noreply();
    if (st->drains && cop_match(message, cop_as("$drained"))) {
        if (has_queued(st))
            st->drains = STAGE_DRAINS;
        else
            *next = drain_end(ctx, st);
        return true;
    }
    if (!cop_match_tuple(message, cop_a(timeout), &ref, &what))
        return false;
    if (st->drains && cop_match(what, cop_as("$drain"))) {
        *next = drain_end(ctx, st);
        return true;
    }
    if (!cop_match(what, cop_as("$stall")))
        return false;
    stall_over(ctx, st);
    return true;
}

/* ---- counters --------------------------------------------------------------------------------------------------- */

static cop_term producers_term(cop_ctx *ctx, const struct stage_subs *subs) {
    static const char *const modes[] = { "permanent", "transient", "temporary" };
    cop_term list = COP_NIL;
    for (uint32_t i = 0; (i = stage_sub_next(subs, i)) != STAGE_NO_SUB; i++) {
        const struct stage_sub *sub = &subs->at[i];
        cop_term map =
            cop_map(ctx, cop_a(pid), stage_sub_pid(ctx, sub), cop_a(tag), stage_sub_tag(ctx, sub),
                    cop_a(cancel), cop_atom_new(modes[sub->cancel]), cop_a(events), sub->events,
                    cop_a(batches), sub->batches);
        if (!sub->manual)
            map = cop_map_merge(ctx, map,
                                cop_map(ctx, cop_a(open), sub->open, cop_a(min_demand), sub->min,
                                        cop_a(max_demand), sub->max));
        list = cop_cons(ctx, map, list);
    }
    return cop_list_reverse(ctx, list);
}

static cop_term consumers_term(cop_ctx *ctx, const struct stage_subs *subs) {
    cop_term list = COP_NIL;
    for (uint32_t i = 0; (i = stage_sub_next(subs, i)) != STAGE_NO_SUB; i++) {
        const struct stage_sub *sub = &subs->at[i];
        list = cop_cons(ctx,
                        cop_map(ctx, cop_a(pid), stage_sub_pid(ctx, sub), cop_a(tag),
                                stage_sub_tag(ctx, sub), cop_a(asked), sub->asked),
                        list);
    }
    return cop_list_reverse(ctx, list);
}

cop_term stage_counters(cop_ctx *ctx, const struct stage *st) {
    cop_term map = cop_map(ctx, cop_a(kind), stage_kind_atom(st->kind), cop_a(producers),
                           producers_term(ctx, &st->tables->producers), cop_a(consumers),
                           consumers_term(ctx, &st->tables->consumers));
    if (st->kind != COP_CONSUMER)
        map = cop_map_merge(ctx, map,
                            cop_map(ctx, cop_a(dispatched), st->dispatched, cop_a(dropped),
                                    st->dropped, cop_a(buffered), st->pushed - st->left));
    if (st->kind == COP_PRODUCER_CONSUMER)
        map = cop_map_merge(ctx, map,
                            cop_map(ctx, cop_a(demand), st->k, cop_a(waiting),
                                    (uint64_t)cop_queue_count(&st->q->in)));
    return map;
}
