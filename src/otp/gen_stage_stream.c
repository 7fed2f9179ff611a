/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage: streams of what producers emit, as a generator (coppice/enum.h). The process that walks is the
 * consumer: it monitors the producers itself, and takes out of its mailbox what belongs to the walk.
 *
 * A subscription's tag is {walk, monitor}: a reference of this walk, by which its messages are told from all
 * others, and that of the monitor. GenStage has a process beside the caller which monitors both ways; what
 * a producer sees is the same.
 *
 * Events are given out one by one. A list of them is cut into chunks as a consumer does it; what a chunk lets
 * it ask for is asked when the first element behind the chunk is wanted. Between two elements the walk's
 * own term is the rest of the list.
 *
 * At the end, at an early one, and when something raises, all that are still subscribed are told {:cancel,
 * :normal}, and their answers are awaited. So no message is left: what a producer sends after its answer it
 * sends to somebody it does not know.
 *
 * Invariants
 *   1. A subscription in the table is monitored; its monitor's reference is the tag in the table.
 *   2. left + rest is the length of the list in the walk's own term.
 * Threads: the process that walks.
 */
#include <coppice/enum.h>

#include "gen_stage.h"

struct stream {
    struct stage_subs subs;
    cop_term walk;        /* a reference */
    cop_term sender;      /* the tag in the table of who sent the current list */
    struct stage_cut cut; /* of the current list */
    int64_t rest;         /* elements of the current list that are in no chunk yet */
    int64_t left, ask;    /* of the current chunk: elements, and what is asked for behind it */
    bool begun;
};

/* ---- messages ------------------------------------------------------------------------------------------- */

/* {:"$gen_consumer", {_, {walk, monitor}}, what}? */
static bool is_ours(const struct stream *s, cop_term message, cop_term *monitor, cop_term *what) {
    cop_term from, pid, tag;
    return cop_match_tuple(message, cop_as("$gen_consumer"), &from, what)
           && cop_match_tuple(from, &pid, &tag) && cop_match_tuple(tag, s->walk, monitor);
}

static bool is_down(const struct stream *s, cop_term message, cop_term *monitor, cop_term *why) {
    cop_term any;
    return cop_match_tuple(message, cop_as("DOWN"), monitor, &any, &any, why)
           && stage_sub_find(&s->subs, *monitor) != STAGE_NO_SUB;
}

static bool is_subscribe(cop_term message, cop_term *to, cop_term *opts) {
    cop_term request;
    return cop_match_tuple(message, cop_as("$gen_cast"), &request)
           && cop_match_tuple(request, cop_as("$subscribe"), cop_a(nil), to, opts);
}

static bool is_of_walk(cop_term message, void *arg) {
    cop_term monitor, what;
    return is_ours(arg, message, &monitor, &what) || is_down(arg, message, &monitor, &what);
}

static bool is_wanted(cop_term message, void *arg) {
    cop_term to, opts;
    return is_of_walk(message, arg) || is_subscribe(message, &to, &opts);
}

static cop_term tag_of(cop_ctx *ctx, const struct stream *s, cop_term monitor) {
    return cop_tuple(ctx, s->walk, monitor);
}

static void send(cop_ctx *ctx, const struct stream *s, cop_term pid, cop_term monitor,
                 cop_term what) {
    cop_term from = cop_tuple(ctx, cop_self(ctx), tag_of(ctx, s, monitor));
    cop_process_send(ctx, pid, cop_tuple(ctx, cop_as("$gen_producer"), from, what),
                     COP_SEND_NOCONNECT);
}

/* ---- subscribing ------------------------------------------------------------------------------------------- */

/* An element of the subscriptions: a stage, or {stage, options}. */
static cop_term stage_in(cop_term element, cop_term *opts) {
    cop_term to;
    *opts = COP_NIL;
    if (cop_match_tuple(element, &to, opts) && cop_is_list(*opts))
        return to;
    *opts = COP_NIL;
    return element;
}

static _Noreturn void exit_in(cop_ctx *ctx, cop_term reason, cop_atom function, cop_term arg) {
    cop_exit(ctx,
             cop_tuple(ctx, reason,
                       cop_tuple(ctx, cop_as("Elixir.GenStage"), function, cop_list(ctx, arg))));
}

/* The producer's pid; COP_NONE: skipped. */
static cop_term subscribe(cop_ctx *ctx, struct stream *s, cop_term element, cop_term all) {
    struct stage_sub how;
    cop_term opts, to = stage_in(element, &opts);
    if (!cop_is_none(stage_check_subscription(ctx, opts, &how)))
        return COP_NONE;
    cop_term producer = cop_gen_server_whereis(ctx, to);
    if (cop_is_none(producer) && how.cancel == COP_CANCEL_TEMPORARY)
        return COP_NONE;
    if (cop_is_none(producer))
        exit_in(ctx, cop_a(noproc).t, cop_a(init_stream), all);
    cop_term monitor = cop_process_monitor(ctx, producer).t;
    struct stage_sub *sub = stage_sub_add(ctx, &s->subs, producer, monitor, monitor);
    sub->max = sub->open = how.max;
    sub->min = how.min;
    sub->cancel = how.cancel;
    send(ctx, s, producer, monitor, cop_tuple(ctx, cop_a(subscribe), cop_a(nil), opts));
    send(ctx, s, producer, monitor, cop_tuple(ctx, cop_a(ask), how.max));
    return producer;
}

static void set_demand(cop_ctx *ctx, cop_term stages, cop_atom mode) {
    cop_term stage;
    while (cop_get_cons(stages, &stage, &stages))
        cop_gen_server_cast(ctx, stage, cop_tuple(ctx, cop_as("$demand"), mode));
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

static void forget(cop_ctx *ctx, struct stream *s, cop_term monitor) {
    uint32_t i = stage_sub_find(&s->subs, monitor);
    if (i == STAGE_NO_SUB)
        return;
    cop_process_demonitor(ctx, (cop_ref){ monitor }, COP_DEMONITOR_FLUSH);
    stage_sub_remove(&s->subs, i);
}

/* Cancels all, and waits until each has answered or is gone. */
static void cancel_all(cop_ctx *ctx, struct stream *s) {
    cop_term message, monitor, what, reason;
    for (uint32_t i = 0; (i = stage_sub_next(&s->subs, i)) != STAGE_NO_SUB; i++) {
        const struct stage_sub *sub = &s->subs.at[i];
        send(ctx, s, stage_sub_pid(ctx, sub), sub->monitor,
             cop_tuple(ctx, cop_a(cancel), cop_a(normal)));
    }
    while (s->subs.count > 0 && cop_receive_match(ctx, COP_INFINITY, is_of_walk, s, &message))
        if (is_down(s, message, &monitor, &what)
            || (is_ours(s, message, &monitor, &what)
                && cop_match_tuple(what, cop_a(cancel), &reason)))
            forget(ctx, s, monitor);
    while (cop_receive_match(ctx, 0, is_of_walk, s, &message))
        ;
}

static void stream_halt(cop_ctx *ctx, void *state, cop_term kept) { cancel_all(ctx, state); }

static void stream_close(void *state) {
    struct stream *s = state;
    stage_subs_release(&s->subs);
}

/* What is still subscribed, for the reason of an exit. */
static cop_term shown(cop_ctx *ctx, const struct stream *s) {
    cop_term map = cop_map(ctx);
    for (uint32_t i = 0; (i = stage_sub_next(&s->subs, i)) != STAGE_NO_SUB; i++) {
        const struct stage_sub *sub = &s->subs.at[i];
        map = cop_map_put(ctx, map, sub->monitor,
                          cop_tuple(ctx, cop_a(subscribed), stage_sub_pid(ctx, sub), sub->min,
                                    sub->max, sub->open));
    }
    return map;
}

static void producer_gone(cop_ctx *ctx, struct stream *s, cop_term monitor, cop_term reason) {
    uint32_t i = stage_sub_find(&s->subs, monitor);
    if (i == STAGE_NO_SUB)
        return;
    int mode = s->subs.at[i].cancel;
    forget(ctx, s, monitor);
    if (mode == COP_CANCEL_PERMANENT
        || (mode == COP_CANCEL_TRANSIENT && !cop_reason_is_normal(reason)))
        exit_in(ctx, reason, cop_a(close_stream), shown(ctx, s));
}

/* ---- walking --------------------------------------------------------------------------------------------------- */

static void stream_open(cop_ctx *ctx, void *state, cop_term arg) {
    struct stream *s = state;
    cop_term subscriptions, stages, element, pids = COP_NIL;
    cop_atom mode;
    if (!cop_match_tuple(arg, &subscriptions, &mode, &stages))
        cop_error(ctx, cop_a(badarg));
    s->walk = cop_make_ref(ctx).t;
    COP_TRY(ctx) {
        for (cop_term l = subscriptions; cop_get_cons(l, &element, &l);) {
            cop_term pid = subscribe(ctx, s, element, subscriptions);
            if (!cop_is_none(pid))
                pids = cop_cons(ctx, pid, pids);
        }
        set_demand(ctx, cop_match(stages, cop_a(nil)) ? cop_list_reverse(ctx, pids) : stages, mode);
    }
    COP_CATCH(caught) { /* halt is only for a walk that was opened */
        cop_caught why = *caught;
        cancel_all(ctx, s);
        cop_rethrow(ctx, &why);
    }
}

static void take_list(cop_ctx *ctx, struct stream *s, cop_term *rest, cop_term message,
                      cop_term monitor, cop_term list) {
    uint32_t i = stage_sub_find(&s->subs, monitor);
    cop_term from = cop_elem(message, 1);
    int64_t count = cop_list_length(list);
    if (i == STAGE_NO_SUB) {
        send(ctx, s, cop_elem(from, 0), monitor,
             cop_tuple(ctx, cop_a(cancel), cop_a(unknown_subscription)));
        return;
    }
    if (count <= 0)
        return;
    struct stage_sub *sub = &s->subs.at[i];
    s->cut = (struct stage_cut){ sub->open, sub->open };
    sub->open = stage_open_after(ctx, sub, count, from);
    s->sender = monitor;
    s->rest = count;
    *rest = list;
}

static void take_message(cop_ctx *ctx, struct stream *s, cop_term *rest) {
    cop_term message, monitor, what, reason, opts;
    cop_receive_match(ctx, COP_INFINITY, is_wanted, s, &message);
    if (is_subscribe(message, &what, &opts)) {
        cop_term element = cop_tuple(ctx, what, opts);
        subscribe(ctx, s, element, cop_list(ctx, element));
    } else if (is_down(s, message, &monitor, &reason)) {
        producer_gone(ctx, s, monitor, reason);
    } else if (is_ours(s, message, &monitor, &what)) {
        if (cop_match_tuple(what, cop_a(cancel), &reason))
            producer_gone(ctx, s, monitor, reason);
        else
            take_list(ctx, s, rest, message, monitor, what);
    }
}

/* The next chunk of the current list. */
static void begin_chunk(struct stream *s) {
    int64_t excess;
    uint32_t i = stage_sub_find(&s->subs, s->sender);
    s->left = i == STAGE_NO_SUB
                  ? s->rest
                  : stage_next_chunk(&s->subs.at[i], &s->cut, s->rest, &s->ask, &excess);
    s->rest -= s->left;
}

static void send_ask(cop_ctx *ctx, struct stream *s) {
    if (s->ask == 0)
        return;
    uint32_t i = stage_sub_find(&s->subs, s->sender);
    if (i != STAGE_NO_SUB)
        send(ctx, s, stage_sub_pid(ctx, &s->subs.at[i]), s->sender,
             cop_tuple(ctx, cop_a(ask), s->ask));
    s->ask = 0;
}

static bool stream_next(cop_ctx *ctx, void *state, cop_term *kept, cop_term *element) {
    struct stream *s = state;
    if (!s->begun)
        *kept = COP_NIL;
    s->begun = true;
    while (s->left == 0) {
        send_ask(ctx, s);
        if (s->rest > 0)
            begin_chunk(s);
        else if (s->subs.count == 0)
            return false;
        else
            take_message(ctx, s, kept);
    }
    s->left--;
    return cop_get_cons(*kept, element, kept);
}

static const cop_generator stream_generator = {
    .name = "GenStage.stream",
    .state_size = sizeof(struct stream),
    .open = stream_open,
    .next = stream_next,
    .halt = stream_halt,
    .close = stream_close,
};

static void check(cop_ctx *ctx, cop_term element) {
    struct stage_sub unused;
    cop_term opts, to = stage_in(element, &opts), wrong;
    cop_bytes text, name;
    wrong = stage_check_subscription(ctx, opts, &unused);
    if (cop_is_none(wrong))
        return;
    cop_get_bytes(wrong, &text);
    cop_term inspected = cop_inspect(ctx, to, NULL);
    cop_get_bytes(inspected, &name);
    cop_raise(ctx, "ArgumentError", "invalid options for %.*s producer (%.*s)", (int)name.size,
              (const char *)name.data, (int)text.size, (const char *)text.data);
}

cop_term cop_gen_stage_stream(cop_ctx *ctx, cop_term subscriptions,
                              const cop_stage_stream_opts *opts) {
    cop_stage_stream_opts o = { 0 };
    cop_term element;
    if (opts != NULL)
        o = *opts;
    if (!cop_is_proper_list(subscriptions))
        sup_argument_error(
            ctx, "GenStage.stream/1 expects a list of subscriptions, got: ", subscriptions, "");
    for (cop_term l = subscriptions; cop_get_cons(l, &element, &l);)
        check(ctx, element);
    cop_atom mode = o.demand == COP_DEMAND_ACCUMULATE ? cop_a(accumulate) : cop_a(forward);
    cop_term stages = cop_is_none(o.producers) ? cop_a(nil).t : o.producers;
    return cop_stream(ctx, &stream_generator, cop_tuple(ctx, subscriptions, mode, stages));
}
