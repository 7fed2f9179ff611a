/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage: the producer's side, of a producer and of a producer-consumer. What consumers ask for goes to
 * the dispatcher, which says how much of it is demand; that is served from the buffer first, and what is
 * left goes to handle_demand, or, in a producer-consumer, lets it handle what it has received. Events go
 * to the dispatcher, and what it does not get rid of into the buffer.
 *
 *     ask ----> dispatcher.ask --n--> buffer --rest--> handle_demand | stage_drain
 *     events -> dispatcher.dispatch --those left--> buffer
 *
 * An accumulating producer keeps what would be the last step of either line, in order, in its `in` queue:
 * {:demand, n} and {:dispatch, events}. Going forward they are played back one by one.
 *
 * Invariants
 *   1. A consumer in the table is monitored, and known to the dispatcher; the dispatcher forgets it after
 *      handle_cancel has run.
 *   2. k, a producer-consumer's demand, is never negative. A producer has none: what nobody served is
 *      the user's to remember.
 * Threads: the stage's own process.
 */
#include "gen_stage.h"

#include <coppice/gen.h>

static void send_to_consumer(cop_ctx *ctx, cop_term pid, cop_term tag, cop_term what) {
    cop_gen_send(ctx, pid, cop_as("$gen_consumer"), tag, what, COP_SEND_NOCONNECT);
}

static void send_cancel(cop_ctx *ctx, cop_term pid, cop_term tag, cop_term reason) {
    send_to_consumer(ctx, pid, tag, cop_tuple(ctx, cop_a(cancel), reason));
}

/* ---- events ------------------------------------------------------------------------------------------------ */

static void hold(cop_ctx *ctx, struct stage *st, cop_term entry) {
    cop_queue_push(ctx, &st->q->in, cop_events_of(&entry, 1));
}

/* How much the dispatcher could deliver; -1 if it does not say. */
static int64_t room_of(cop_ctx *ctx, const struct stage *st) {
    return st->dispatcher->room == NULL ? -1 : st->dispatcher->room(ctx, st->dispatcher_state);
}

void stage_dispatch(cop_ctx *ctx, struct stage *st, cop_events events) {
    if (events.count == 0)
        return;
    if (st->kind == COP_CONSUMER) {
        stage_log(
            ctx, COP_LEVEL_ERROR,
            "GenStage consumer ~tp cannot dispatch events (an empty list must be returned): ~tp",
            cop_list(ctx, stage_name(ctx), cop_events_to_list(ctx, events)));
        return;
    }
    if (st->accumulates) {
        hold(ctx, st, cop_tuple(ctx, cop_a(dispatch), cop_events_to_list(ctx, events)));
        return;
    }
    cop_events rest = st->dispatcher->dispatch(ctx, st->dispatcher_state, events);
    int64_t delivered = (int64_t)events.count - (int64_t)rest.count;
    st->k = st->k > delivered ? st->k - delivered : 0;
    st->dispatched += delivered;
    if (rest.count == 0)
        return;
    stage_buffer_store(ctx, st, rest);
    /* The demand of a consumer that left is no reason to go on: GenStage goes on, and fills its buffer. */
    int64_t room = st->k > 0 ? room_of(ctx, st) : -1;
    if (room >= 0 && room < st->k)
        st->k = room;
}

void stage_dispatch_info(cop_ctx *ctx, struct stage *st, cop_term message) {
    if (st->dispatcher == NULL || st->dispatcher->info == NULL)
        cop_send(ctx, cop_self(ctx), message);
    else
        st->dispatcher->info(ctx, st->dispatcher_state, message);
}

void stage_take_info(cop_ctx *ctx, struct stage *st, cop_term message) {
    if (st->kind == COP_PRODUCER_CONSUMER && cop_queue_count(&st->q->in) > 0)
        hold(ctx, st, cop_tuple(ctx, cop_a(info), message));
    else if (st->kind == COP_CONSUMER || stage_buffer_is_empty(st))
        stage_dispatch_info(ctx, st, message);
    else
        stage_buffer_mark(ctx, st, message);
}

/* ---- demand ------------------------------------------------------------------------------------------------ */

static cop_next call_demand(cop_ctx *ctx, struct stage *st, int64_t demand) {
    if (st->module->handle_demand == NULL)
        stage_undefined(ctx, st, cop_a(handle_demand),
                        cop_list(ctx, demand, stage_user_term(ctx, st)));
    if (__builtin_add_overflow(st->owed, demand, &st->owed))
        st->owed = INT64_MAX;
    return stage_carry(ctx, st, st->module->handle_demand(ctx, st->user, demand));
}

/*
 * Serves the buffer for a demand that has come; returns what is to be asked for.
 *
 * What a consumer that left had asked for is demand that the dispatcher does not report when the next one
 * asks, since the producer owes the events for it. Some of these may have come meanwhile, and wait in the
 * buffer: so the buffer is served as far as there is room. Some may have been lost there: so what is then
 * missing is asked for, however little was reported.
 */
static int64_t serve(cop_ctx *ctx, struct stage *st, int64_t demand) {
    int64_t room = st->accumulates ? -1 : room_of(ctx, st);
    if (room < 0)
        return stage_buffer_take(ctx, st, demand);
    if (!stage_buffer_is_empty(st)) {
        int64_t offered = room > demand ? room : demand;
        int64_t taken = offered - stage_buffer_take(ctx, st, offered);
        demand = demand > taken ? demand - taken : 0;
        room = room_of(ctx, st);
    }
    int64_t missing = room - st->owed;
    return missing > demand ? missing : demand;
}

/* Demand for this stage, after the dispatcher. */
static cop_next demand_came(cop_ctx *ctx, struct stage *st, int64_t demand) {
    if (st->kind == COP_PRODUCER_CONSUMER) {
        int64_t room = room_of(ctx, st);
        st->k += demand;
        stage_buffer_take(ctx, st, room < 0 ? st->k : room);
        if ((room = room_of(ctx, st)) > st->k)
            st->k = room;
        return stage_drain(ctx, st);
    }
    demand = serve(ctx, st, demand);
    if (demand == 0 || st->drains)
        return cop_noreply();
    if (st->accumulates) {
        hold(ctx, st, cop_tuple(ctx, cop_a(demand), demand));
        return cop_noreply();
    }
    return call_demand(ctx, st, demand);
}

static cop_next take_ask(cop_ctx *ctx, struct stage *st, cop_term from, cop_term n) {
    int64_t demand = -1;
    cop_term pid = cop_elem(from, 0), tag = cop_elem(from, 1);
    uint32_t i = stage_sub_find(&st->tables->consumers, tag);
    if (i == STAGE_NO_SUB) {
        if (cop_is_pid(pid))
            send_cancel(ctx, pid, tag, cop_a(unknown_subscription).t);
        return cop_noreply();
    }
    if (!cop_get_i64(n, &demand) || demand < 0 || demand > STAGE_MAX_DEMAND) {
        stage_log(ctx, COP_LEVEL_ERROR,
                  "GenStage producer ~tp received a demand that is none from: ~tp: ~tp",
                  cop_list(ctx, stage_name(ctx), from, n));
        return cop_noreply();
    }
    if (demand == 0)
        return cop_noreply();
    st->tables->consumers.at[i].asked += demand;
    cop_from asker = { from };
    return demand_came(ctx, st, st->dispatcher->ask(ctx, st->dispatcher_state, demand, asker));
}

/* One entry that was held back. */
static cop_next replay(cop_ctx *ctx, struct stage *st, cop_term entry) {
    int64_t demand;
    cop_term list;
    cop_events events;
    if (cop_match_tuple(entry, cop_a(demand), &demand)) {
        demand = stage_buffer_take(ctx, st, demand);
        return demand == 0 ? cop_noreply() : call_demand(ctx, st, demand);
    }
    if (cop_match_tuple(entry, cop_a(dispatch), &list) && cop_events_from_list(ctx, list, &events))
        stage_dispatch(ctx, st, events);
    return cop_noreply();
}

cop_next stage_set_demand(cop_ctx *ctx, struct stage *st, cop_term mode) {
    bool accumulate = cop_match(mode, cop_a(accumulate));
    cop_next next = cop_noreply();
    if (st->kind != COP_PRODUCER) {
        if (st->kind == COP_CONSUMER || accumulate)
            stage_log(ctx, COP_LEVEL_ERROR,
                      "Demand mode can only be set for producers, GenStage ~tp is a ~tp",
                      cop_list(ctx, stage_name(ctx), stage_kind_atom(st->kind)));
        return next;
    }
    if (accumulate || !st->accumulates) {
        st->accumulates = accumulate;
        return next;
    }
    st->accumulates = false;
    cop_queue held = st->q->in;
    st->q->in = (cop_queue){ 0 };
    for (cop_events one; !stage_stops(next); next = replay(ctx, st, one.at[0]))
        if ((one = cop_queue_take(ctx, &held, 1)).count == 0)
            break;
    return next;
}

/* ---- subscriptions ------------------------------------------------------------------------------------------- */

cop_next stage_consumer_gone(cop_ctx *ctx, struct stage *st, uint32_t i, cop_atom kind,
                             cop_term reason) {
    struct stage_sub *sub = &st->tables->consumers.at[i];
    cop_from from = stage_sub_from(ctx, sub);
    cop_process_demonitor(ctx, (cop_ref){ sub->monitor }, COP_DEMONITOR_FLUSH);
    send_cancel(ctx, cop_elem(from.t, 0), cop_elem(from.t, 1), reason);
    stage_sub_remove(&st->tables->consumers, i);
    cop_next next = stage_call_cancel(ctx, st, cop_tuple(ctx, kind, reason), from);
    if (stage_stops(next))
        return next;
    cop_next more = demand_came(ctx, st, st->dispatcher->cancel(ctx, st->dispatcher_state, from));
    return more.is == COP__NOREPLY && more.then == COP__THEN_WAIT ? next : more;
}

static cop_next register_consumer(cop_ctx *ctx, struct stage *st, cop_term from, cop_term opts) {
    cop_term pid = cop_elem(from, 0), tag = cop_elem(from, 1);
    bool manual = false;
    cop_next next;
    cop_ref monitor = cop_process_monitor(ctx, pid);
    stage_sub_add(ctx, &st->tables->consumers, pid, tag, monitor.t);
    if (!stage_call_subscribe(ctx, st, COP_CONSUMER, opts, (cop_from){ from }, &manual, &next))
        return next;
    cop_subscribed got =
        st->dispatcher->subscribe(ctx, st->dispatcher_state, opts, (cop_from){ from });
    if (cop_is_none(got.error))
        return demand_came(ctx, st, got.demand);
    return stage_consumer_gone(ctx, st, stage_sub_find(&st->tables->consumers, tag), cop_a(cancel),
                               got.error);
}

static cop_next take_subscribe(cop_ctx *ctx, struct stage *st, cop_term from, cop_term current,
                               cop_term opts) {
    cop_term old_tag, reason, tag = cop_elem(from, 1);
    struct stage_subs *consumers = &st->tables->consumers;
    if (stage_sub_find(consumers, tag) != STAGE_NO_SUB) {
        stage_log(ctx, COP_LEVEL_ERROR,
                  "GenStage producer ~tp received duplicated subscription from: ~tp",
                  cop_list(ctx, stage_name(ctx), from));
        send_cancel(ctx, cop_elem(from, 0), tag, cop_a(duplicated_subscription).t);
        return cop_noreply();
    }
    if (st->drains) {
        send_cancel(ctx, cop_elem(from, 0), tag, cop_tuple(ctx, cop_a(shutdown), cop_a(drains)));
        return cop_noreply();
    }
    if (cop_match_tuple(current, &old_tag, &reason)) {
        uint32_t old = stage_sub_find(consumers, old_tag);
        if (old != STAGE_NO_SUB) {
            cop_next next = stage_consumer_gone(ctx, st, old, cop_a(cancel), reason);
            if (stage_stops(next))
                return next;
        }
    }
    return register_consumer(ctx, st, from, opts);
}

cop_next stage_producer_message(cop_ctx *ctx, struct stage *st, cop_term message, cop_term from,
                                cop_term what) {
    cop_term a, b;
    if (st->kind == COP_CONSUMER) {
        stage_log(ctx, COP_LEVEL_ERROR, "GenStage consumer ~tp received $gen_producer message: ~tp",
                  cop_list(ctx, stage_name(ctx), message));
        return cop_noreply();
    }
    if (cop_match_tuple(what, cop_a(ask), &a) && cop_is_integer(a))
        return take_ask(ctx, st, from, a);
    if (cop_match_tuple(what, cop_a(cancel), &a)) {
        uint32_t i = stage_sub_find(&st->tables->consumers, cop_elem(from, 1));
        return i == STAGE_NO_SUB ? cop_noreply()
                                 : stage_consumer_gone(ctx, st, i, cop_a(cancel), a);
    }
    if (cop_match_tuple(what, cop_a(subscribe), &a, &b) && cop_is_pid(cop_elem(from, 0)))
        return take_subscribe(ctx, st, from, a, b);
    return stage_info(ctx, st, message);
}
