/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage: the consumer's side, of a consumer and of a producer-consumer: subscribing, the events that
 * come, and the end of a subscription.
 *
 * With automatic demand a list of events is cut into chunks of max_demand - min_demand at most. Each
 * chunk is one call of handle_events; after it more is asked for, if by then no more than min_demand are
 * open. Nothing is merged: a message with one event is a batch of one. With manual demand a list
 * is one batch, and nothing is counted.
 *
 * A producer-consumer asks for events whether or not it has demand. What comes while it has none waits in its
 * `in` queue, each list as a tuple, which is half as large and needs no more work when it is handled; infos
 * and ends of subscriptions that come meanwhile wait behind it:
 *
 *     {:events, from, {e1, e2, ...}} | {:info, message} | {:gone, why, from, mode}
 *
 * Invariants
 *   1. A producer in the table is monitored; its tag is the monitor's reference.
 *   2. `open` is right before the first handle_events of a list is called.
 * Threads: the stage's own process.
 */
#include "gen_stage.h"

#include <coppice/gen.h>
#include <stdio.h>

enum { MAX_ARRAY = 1 << 20 }; /* a longer list waits as a list */

static void send_to_producer(cop_ctx *ctx, cop_term pid, cop_term tag, cop_term what) {
    cop_gen_send(ctx, pid, cop_as("$gen_producer"), tag, what, COP_SEND_NOCONNECT);
}

static void send_ask(cop_ctx *ctx, cop_term pid, cop_term tag, int64_t n) {
    send_to_producer(ctx, pid, tag, cop_tuple(ctx, cop_a(ask), n));
}

/* ---- events ------------------------------------------------------------------------------------------------ */

int64_t stage_next_chunk(const struct stage_sub *sub, struct stage_cut *walk, int64_t left,
                         int64_t *ask, int64_t *excess) {
    int64_t size = left < sub->max - sub->min ? left : sub->max - sub->min;
    int64_t counted = size < walk->old ? size : walk->old;
    *excess = size - counted;
    walk->old -= counted;
    walk->now -= counted;
    *ask = 0;
    if (walk->now <= sub->min) {
        *ask = sub->max - walk->now;
        walk->now = sub->max;
    }
    return size;
}

int64_t stage_open_after(cop_ctx *ctx, const struct stage_sub *sub, int64_t count, cop_term from) {
    if (count <= sub->max - sub->min && count <= sub->open) /* one chunk, as mostly */
        return sub->open - count <= sub->min ? sub->max : sub->open - count;
    struct stage_cut walk = { sub->open, sub->open };
    int64_t ask, excess;
    for (int64_t done = 0; done < count;) {
        done += stage_next_chunk(sub, &walk, count - done, &ask, &excess);
        if (excess > 0)
            stage_log(ctx, COP_LEVEL_ERROR,
                      "GenStage consumer ~tp has received ~tp events in excess from: ~tp",
                      cop_list(ctx, stage_name(ctx), excess, from));
    }
    return walk.now;
}

static cop_next handle_chunks(cop_ctx *ctx, struct stage *st, struct stage_sub *sub,
                              cop_events events, cop_term from) {
    struct stage_cut walk = { sub->open, sub->open };
    int64_t ask, excess;
    cop_next next = cop_noreply();
    cop_term pid = stage_sub_pid(ctx, sub), tag = stage_sub_tag(ctx, sub);
    sub->open = stage_open_after(ctx, sub, (int64_t)events.count, from);
    while (events.count > 0) {
        size_t size = (size_t)stage_next_chunk(sub, &walk, (int64_t)events.count, &ask, &excess);
        next = stage_call_events(ctx, st, cop_events_take(events, size), (cop_from){ from });
        if (stage_stops(next))
            return next;
        if (ask > 0 && !st->drains)
            send_ask(ctx, pid, tag, ask);
        events = cop_events_skip(events, size);
    }
    return next;
}

/* i: the subscription, or STAGE_NO_SUB for events that came before its end and are handled behind it. */
static cop_next handle_events(cop_ctx *ctx, struct stage *st, uint32_t i, cop_term from,
                              cop_events events) {
    if (i == STAGE_NO_SUB)
        return stage_call_events(ctx, st, events, (cop_from){ from });
    struct stage_sub *sub = &st->tables->producers.at[i];
    sub->events += (int64_t)events.count;
    sub->batches++;
    if (sub->manual)
        return stage_call_events(ctx, st, events, (cop_from){ from });
    return handle_chunks(ctx, st, sub, events, from);
}

static void queue(cop_ctx *ctx, struct stage *st, cop_term entry) {
    cop_queue_push(ctx, &st->q->in, cop_events_of(&entry, 1));
}

/* Does it wait behind others, or for demand? Only a producer-consumer's. */
static bool waits(const struct stage *st) {
    return st->kind == COP_PRODUCER_CONSUMER && (st->k == 0 || cop_queue_count(&st->q->in) > 0);
}

static cop_next take_events(cop_ctx *ctx, struct stage *st, cop_term message, cop_term from,
                            cop_term list) {
    cop_term pid = cop_elem(from, 0), tag = cop_elem(from, 1);
    cop_events events;
    uint32_t i = stage_sub_find(&st->tables->producers, tag);
    if (i == STAGE_NO_SUB) {
        if (cop_is_pid(pid))
            send_to_producer(ctx, pid, tag,
                             cop_tuple(ctx, cop_a(cancel), cop_a(unknown_subscription)));
        return cop_noreply();
    }
    if (!cop_events_from_list(ctx, list, &events))
        return stage_info(ctx, st, message);
    if (!waits(st))
        return handle_events(ctx, st, i, from, events);
    bool fits = events.count < MAX_ARRAY;
    queue(ctx, st,
          cop_tuple(ctx, cop_a(events), from,
                    fits ? cop_tuple_n(ctx, events.count, events.at) : list));
    return stage_drain(ctx, st);
}

/* ---- the end of a subscription -------------------------------------------------------------------------------- */

static bool mode_stops(int mode, cop_term reason) {
    if (cop_match(reason, cop_a(already_subscribed)))
        return false;
    return mode == COP_CANCEL_PERMANENT
           || (mode == COP_CANCEL_TRANSIENT && !cop_reason_is_normal(reason));
}

static cop_next call_gone(cop_ctx *ctx, struct stage *st, cop_term why, cop_term from, int mode) {
    cop_term reason = cop_elem(why, 1);
    cop_next next = stage_call_cancel(ctx, st, why, (cop_from){ from });
    if (stage_stops(next) || st->drains || !mode_stops(mode, reason))
        return next;
    stage_log(ctx, COP_LEVEL_NOTICE,
              "GenStage consumer ~tp is stopping after receiving cancel from producer ~tp with "
              "reason: ~tp",
              cop_list(ctx, stage_name(ctx), cop_elem(from, 0), reason));
    return cop_stop(reason);
}

cop_next stage_producer_gone(cop_ctx *ctx, struct stage *st, uint32_t i, cop_atom kind,
                             cop_term reason) {
    struct stage_sub *sub = &st->tables->producers.at[i];
    int mode = sub->cancel;
    cop_from from = stage_sub_from(ctx, sub);
    cop_term why = cop_tuple(ctx, kind, reason);
    cop_process_demonitor(ctx, (cop_ref){ sub->monitor }, COP_DEMONITOR_FLUSH);
    stage_sub_remove(&st->tables->producers, i);
    if (st->kind == COP_PRODUCER_CONSUMER && cop_queue_count(&st->q->in) > 0) {
        queue(ctx, st, cop_tuple(ctx, cop_a(gone), why, from, mode));
        return cop_noreply();
    }
    return call_gone(ctx, st, why, from.t, mode);
}

/* ---- a producer-consumer's queue --------------------------------------------------------------------------------- */

static cop_next handle_entry(cop_ctx *ctx, struct stage *st, cop_term entry) {
    cop_term a, b;
    cop_events events;
    int mode;
    if (cop_match_tuple(entry, cop_a(events), &a, &b)) {
        if (!cop_events_from_tuple(b, &events))
            cop_events_from_list(ctx, b, &events);
        uint32_t i = stage_sub_find(&st->tables->producers, cop_elem(a, 1));
        return handle_events(ctx, st, i, a, events);
    }
    if (cop_match_tuple(entry, cop_a(gone), &a, &b, &mode))
        return call_gone(ctx, st, a, b, mode);
    if (cop_match_tuple(entry, cop_a(info), &a)) {
        if (stage_buffer_is_empty(st))
            stage_dispatch_info(ctx, st, a);
        else
            stage_buffer_mark(ctx, st, a);
    }
    return cop_noreply();
}

cop_next stage_drain(cop_ctx *ctx, struct stage *st) {
    cop_next next = cop_noreply();
    while (st->k > 0 && !stage_stops(next)) {
        cop_events one = cop_queue_take(ctx, &st->q->in, 1);
        if (one.count == 0)
            break;
        st->handled++;
        next = handle_entry(ctx, st, one.at[0]);
    }
    return next;
}

/* ---- subscribing ---------------------------------------------------------------------------------------------------- */

static cop_next not_there(cop_ctx *ctx, const struct stage *st, cop_term to, int cancel,
                          cop_term *reply) {
    *reply = cop_tuple(ctx, cop_a(ok), cop_make_ref(ctx));
    if (cancel == COP_CANCEL_TEMPORARY)
        return cop_noreply();
    stage_log(ctx, COP_LEVEL_ERROR,
              "GenStage consumer ~tp was not able to subscribe to the process ~tp because that "
              "process is not alive",
              cop_list(ctx, stage_module_atom(st), to));
    return cop_stop_reply(ctx, cop_a(noproc), *reply); /* the caller is answered all the same */
}

static cop_next subscribe_to(cop_ctx *ctx, struct stage *st, cop_term current, cop_term producer,
                             cop_term opts, const struct stage_sub *how, cop_term *reply) {
    cop_next next;
    bool manual = false;
    cop_term tag = cop_process_monitor(ctx, producer).t;
    send_to_producer(ctx, producer, tag, cop_tuple(ctx, cop_a(subscribe), current, opts));
    cop_from from = { cop_tuple(ctx, producer, tag) };
    *reply = cop_tuple(ctx, cop_a(ok), tag);
    if (!stage_call_subscribe(ctx, st, COP_PRODUCER, opts, from, &manual, &next))
        return next;
    struct stage_sub *sub = stage_sub_add(ctx, &st->tables->producers, producer, tag, tag);
    sub->max = sub->open = how->max;
    sub->min = how->min;
    sub->cancel = how->cancel;
    sub->manual = manual;
    if (!manual)
        send_ask(ctx, producer, tag, how->max);
    return next;
}

cop_next stage_subscribe(cop_ctx *ctx, struct stage *st, cop_term current, cop_term to,
                         cop_term opts, cop_term *reply) {
    struct stage_sub how;
    if (st->drains) {
        *reply = cop_tuple(ctx, cop_a(error), cop_a(drains));
        return cop_noreply();
    }
    if (st->kind == COP_PRODUCER) {
        stage_log(ctx, COP_LEVEL_ERROR,
                  "GenStage producer ~tp cannot be subscribed to another stage: ~tp",
                  cop_list(ctx, stage_name(ctx), to));
        *reply = cop_tuple(ctx, cop_a(error), cop_a(not_a_consumer));
        return cop_noreply();
    }
    cop_term wrong = stage_check_subscription(ctx, opts, &how);
    if (!cop_is_none(wrong)) {
        stage_log(ctx, COP_LEVEL_ERROR,
                  "GenStage consumer ~tp subscribe received invalid option: ~ts",
                  cop_list(ctx, stage_name(ctx), wrong));
        *reply = cop_tuple(ctx, cop_a(error), cop_tuple(ctx, cop_a(bad_opts), wrong));
        return cop_noreply();
    }
    cop_term producer = cop_gen_server_whereis(ctx, to);
    if (cop_is_none(producer))
        return not_there(ctx, st, to, how.cancel, reply);
    return subscribe_to(ctx, st, current, producer, opts, &how, reply);
}

static void warn_of_bare(cop_ctx *ctx, const char *type, cop_term to) {
    char format[160];
    snprintf(format, sizeof format,
             ":subscribe_to value with type %s is deprecated. Change ~tp to {~tp, []} instead.",
             type);
    stage_log(ctx, COP_LEVEL_WARNING, format, cop_list(ctx, to, to));
}

/* One element of subscribe_to: a stage, or {stage, options}. */
static cop_next subscribe_element(cop_ctx *ctx, struct stage *st, cop_term element) {
    cop_term to = element, opts = COP_NIL, any, given, reply;
    if (cop_match_tuple(element, &any, &given) && cop_is_list(given)) {
        to = any;
        opts = given;
    } else if (cop_match_tuple(element, cop_a(global), &any)) {
        warn_of_bare(ctx, "{:global, term()}", element);
    } else if (cop_match_tuple(element, cop_a(via), &any, &any)) {
        warn_of_bare(ctx, "{:via, module(), term()}", element);
    }
    return stage_subscribe(ctx, st, cop_a(nil).t, to, opts, &reply);
}

cop_next stage_subscribe_all(cop_ctx *ctx, struct stage *st, cop_term list) {
    cop_term element;
    cop_next next = cop_noreply();
    while (!stage_stops(next) && cop_get_cons(list, &element, &list))
        next = subscribe_element(ctx, st, element);
    return next;
}

cop_next stage_consumer_message(cop_ctx *ctx, struct stage *st, cop_term message, cop_term from,
                                cop_term what) {
    cop_term reason;
    if (st->kind == COP_PRODUCER) {
        stage_log(ctx, COP_LEVEL_ERROR, "GenStage producer ~tp received $gen_consumer message: ~tp",
                  cop_list(ctx, stage_name(ctx), message));
        return cop_noreply();
    }
    if (cop_is_list(what))
        return take_events(ctx, st, message, from, what);
    if (cop_match_tuple(what, cop_a(cancel), &reason)) {
        uint32_t i = stage_sub_find(&st->tables->producers, cop_elem(from, 1));
        return i == STAGE_NO_SUB ? cop_noreply()
                                 : stage_producer_gone(ctx, st, i, cop_a(cancel), reason);
    }
    return stage_info(ctx, st, message);
}
