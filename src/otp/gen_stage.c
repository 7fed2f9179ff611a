/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage: a stage as a gen_server. Here are the start, the callbacks of the user, and the telling apart
 * of messages; the two sides of a stage are gen_stage_producer.c and gen_stage_consumer.c.
 *
 * Each module of stages has a table for the gen_server beneath, which is made at its first start and lives as
 * long as the program: the size of the state is the stage's and the user's together.
 *
 * A callback's return is carried out at once by stage_carry: events go to the dispatcher before a reply is
 * sent or the next batch is handled. Whatever may end the stage returns a cop_next, and who gets a stop
 * hands it on; the gen_server carries it out.
 *
 * Threads: the stage's own process; the list of tables is shared by all.
 */
#include "gen_stage.h"

#include <stdlib.h>
#include <string.h>

#include "sys.h"

/* ---- callbacks ------------------------------------------------------------------------------------------- */

_Noreturn void stage_undefined(cop_ctx *ctx, const struct stage *st, cop_atom function,
                               cop_term args) {
    cop_term frame = cop_tuple(ctx, stage_module_atom(st), function, args, COP_NIL);
    cop_caught why = { .class = COP_CLASS_ERROR,
                       .reason = cop_a(undef).t,
                       .stacktrace = cop_list(ctx, frame) };
    cop_rethrow(ctx, &why);
}

static cop_next bad_return(cop_ctx *ctx, cop_term returned) {
    return cop_stop(cop_tuple(ctx, cop_a(bad_return_value), returned));
}

/* A return in Elixir's form as a struct; false for what is none. */
static bool next_from_term(cop_ctx *ctx, struct stage *st, cop_term t, bool in_call,
                           cop_stage_next *next) {
    cop_term list = COP_NIL, state;
    *next = cop_stage_noreply();
    if (cop_match_tuple(t, cop_a(noreply), &list, &state, cop_a(hibernate)))
        next->hibernate = true;
    else if (in_call && cop_match_tuple(t, cop_a(stop), &next->reason, &next->reply, &state))
        next->is = COP__STAGE_STOP_REPLY;
    else if (cop_match_tuple(t, cop_a(stop), &next->reason, &state))
        next->is = COP__STAGE_STOP;
    else if (in_call && cop_match_tuple(t, cop_a(reply), &next->reply, &list, &state))
        next->is = COP__STAGE_REPLY;
    else if (in_call
             && cop_match_tuple(t, cop_a(reply), &next->reply, &list, &state, cop_a(hibernate)))
        next->is = COP__STAGE_REPLY, next->hibernate = true;
    else if (!cop_match_tuple(t, cop_a(noreply), &list, &state))
        return false;
    return cop_events_from_list(ctx, list, &next->events) && stage_user_from_term(ctx, st, state);
}

static cop_next carry(cop_ctx *ctx, struct stage *st, cop_stage_next *next, bool in_call) {
    if (__builtin_expect(next->is == COP__STAGE_TERM, 0)) {
        cop_term returned = next->reason;
        if (!next_from_term(ctx, st, returned, in_call, next))
            return bad_return(ctx, returned);
    }
    if (next->is == COP__STAGE_STOP)
        return cop_stop(next->reason);
    if (next->is == COP__STAGE_STOP_REPLY)
        return (cop_next){ .is = COP__STOP_REPLY, .reason = next->reason, .reply = next->reply };
    st->owed = st->owed > (int64_t)next->events.count ? st->owed - (int64_t)next->events.count : 0;
    stage_dispatch(ctx, st, next->events);
    cop_next done = cop_noreply();
    if (next->is == COP__STAGE_REPLY) {
        done.is = COP__REPLY;
        done.reply = next->reply;
    }
    if (next->hibernate)
        done.then = COP__THEN_HIBERNATE;
    return done;
}

cop_next stage_carry(cop_ctx *ctx, struct stage *st, cop_stage_next next) {
    return carry(ctx, st, &next, false);
}

cop_next stage_call_events(cop_ctx *ctx, struct stage *st, cop_events events, cop_from from) {
    if (st->module->handle_events == NULL)
        stage_undefined(
            ctx, st, cop_a(handle_events),
            cop_list(ctx, cop_events_to_list(ctx, events), from, stage_user_term(ctx, st)));
    return stage_carry(ctx, st, st->module->handle_events(ctx, st->user, events, from));
}

cop_next stage_call_cancel(cop_ctx *ctx, struct stage *st, cop_term why, cop_from from) {
    if (st->module->handle_cancel == NULL)
        return cop_noreply();
    return stage_carry(ctx, st, st->module->handle_cancel(ctx, st->user, why, from));
}

/* handle_subscribe's return in Elixir's form. */
static bool subscribed_from_term(cop_ctx *ctx, struct stage *st, cop_term t,
                                 cop_stage_subscribed *got) {
    cop_term state;
    if (cop_match_tuple(t, cop_a(automatic), &state))
        got->is = COP__STAGE_AUTOMATIC;
    else if (cop_match_tuple(t, cop_a(manual), &state))
        got->is = COP__STAGE_MANUAL;
    else if (cop_match_tuple(t, cop_a(stop), &got->reason, &state))
        got->is = COP__STAGE_SUBSCRIBE_STOP;
    else
        return false;
    return stage_user_from_term(ctx, st, state);
}

bool stage_call_subscribe(cop_ctx *ctx, struct stage *st, cop_stage_kind other, cop_term opts,
                          cop_from from, bool *manual, cop_next *next) {
    cop_stage_subscribed got = cop_stage_automatic();
    *next = cop_noreply();
    if (st->module->handle_subscribe != NULL)
        got = st->module->handle_subscribe(ctx, st->user, other, opts, from);
    cop_term returned = got.reason;
    if (got.is == COP__STAGE_SUBSCRIBE_TERM && !subscribed_from_term(ctx, st, returned, &got)) {
        *next = bad_return(ctx, returned);
        return false;
    }
    if (got.is == COP__STAGE_SUBSCRIBE_STOP) {
        *next = cop_stop(got.reason);
        return false;
    }
    *manual = got.is == COP__STAGE_MANUAL;
    if (*manual && other == COP_CONSUMER) { /* whose demand it is not */
        *next = bad_return(ctx, cop_tuple(ctx, cop_a(manual), stage_user_term(ctx, st)));
        return false;
    }
    return true;
}

cop_next stage_info(cop_ctx *ctx, struct stage *st, cop_term message) {
    if (st->module->handle_info != NULL)
        return stage_carry(ctx, st, st->module->handle_info(ctx, st->user, message));
    stage_log(ctx, COP_LEVEL_WARNING, "** Undefined handle_info in ~tp~n** Unhandled message: ~tp",
              cop_list(ctx, stage_module_atom(st), message));
    return cop_noreply();
}

/* ---- queues ---------------------------------------------------------------------------------------------------- */

void stage_keep_queues(cop_ctx *ctx, struct stage *st) {
    if (st->q == NULL)
        return;
    bool in_use = !stage_buffer_is_empty(st) || cop_queue_count(&st->q->in) > 0;
    if (in_use == st->queues_kept)
        return;
    st->queues_kept = in_use;
    if (in_use)
        cop_process_keep(ctx, 1, &st->q->marker, STAGE_QUEUE_TERMS + st->dispatcher->state_terms);
    else
        cop_process_keep(ctx, 1, st->dispatcher_state, st->dispatcher->state_terms);
}

/* ---- messages ------------------------------------------------------------------------------------------------ */

static cop_next took_down(cop_ctx *ctx, struct stage *st, cop_term message, cop_term ref,
                          cop_term reason) {
    uint32_t i = stage_sub_find(&st->tables->producers, ref);
    if (i != STAGE_NO_SUB)
        return stage_producer_gone(ctx, st, i, cop_a(down), reason);
    i = stage_sub_find_monitor(&st->tables->consumers, ref);
    if (i != STAGE_NO_SUB)
        return stage_consumer_gone(ctx, st, i, cop_a(down), reason);
    return stage_info(ctx, st, message);
}

static cop_next take_message(cop_ctx *ctx, struct stage *st, cop_term message) {
    cop_term from, what, ref, any;
    cop_next next;
    if (cop_match_tuple(message, cop_as("$gen_consumer"), &from, &what)
        && cop_tuple_size(from) == 2)
        return stage_consumer_message(ctx, st, message, from, what);
    if (cop_match_tuple(message, cop_as("$gen_producer"), &from, &what)
        && cop_tuple_size(from) == 2)
        return stage_producer_message(ctx, st, message, from, what);
    if (cop_match_tuple(message, cop_as("DOWN"), &ref, &any, &any, &what))
        return took_down(ctx, st, message, ref, what);
    if ((st->drains || st->stall_ms != 0) && stage_watch_message(ctx, st, message, &next))
        return next;
    return stage_info(ctx, st, message);
}

/* What is done at the end of every callback. */
static void settle(cop_ctx *ctx, struct stage *st, cop_next *next) {
    if (__builtin_expect(st->drains, 0))
        *next = stage_drain_look(ctx, st, *next);
    if (__builtin_expect(st->stall_ms != 0, 0))
        stage_watch_stall(ctx, st);
    stage_keep_queues(ctx, st);
}

static cop_next on_info(cop_ctx *ctx, void *state, cop_term message) {
    struct stage *st = stage_of(state);
    cop_next next = take_message(ctx, st, message);
    settle(ctx, st, &next);
    return next;
}

static cop_next estimate(cop_ctx *ctx, struct stage *st) {
    if (st->kind != COP_CONSUMER)
        return cop_reply(ctx, stage_buffer_count(st));
    stage_log(ctx, COP_LEVEL_ERROR,
              "Buffered count can only be requested for producers, GenStage ~tp is a consumer",
              cop_list(ctx, stage_name(ctx)));
    return cop_reply(ctx, 0);
}

static cop_next take_call(cop_ctx *ctx, struct stage *st, cop_term request, cop_from from) {
    cop_term a, b, c, reply;
    int64_t ms;
    if (cop_match(request, cop_as("$demand")))
        return cop_reply(ctx, st->accumulates ? cop_a(accumulate) : cop_a(forward));
    if (cop_match(request, cop_as("$estimate_buffered_count")))
        return estimate(ctx, st);
    if (cop_match(request, cop_as("$counters")))
        return cop_reply(ctx, stage_counters(ctx, st));
    if (cop_match_tuple(request, cop_as("$drain"), &ms))
        return stage_drain_begin(ctx, st, from.t, ms);
    if (cop_match_tuple(request, cop_as("$info"), &a)) {
        stage_take_info(ctx, st, a);
        return cop_reply(ctx, cop_a(ok));
    }
    if (cop_match_tuple(request, cop_as("$subscribe"), &a, &b, &c)) {
        cop_next next = stage_subscribe(ctx, st, a, b, c, &reply);
        return stage_stops(next) ? next : cop_reply(ctx, reply);
    }
    if (st->module->handle_call == NULL)
        stage_undefined(ctx, st, cop_a(handle_call),
                        cop_list(ctx, request, from, stage_user_term(ctx, st)));
    cop_stage_next next = st->module->handle_call(ctx, st->user, request, from);
    return carry(ctx, st, &next, true);
}

static cop_next on_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct stage *st = stage_of(state);
    cop_next next = take_call(ctx, st, request, from);
    settle(ctx, st, &next);
    return next;
}

static cop_next take_cast(cop_ctx *ctx, struct stage *st, cop_term request) {
    cop_term a, b, c, reply;
    if (cop_match_tuple(request, cop_as("$demand"), &a))
        return stage_set_demand(ctx, st, a);
    if (cop_match_tuple(request, cop_as("$info"), &a)) {
        stage_take_info(ctx, st, a);
        return cop_noreply();
    }
    if (cop_match_tuple(request, cop_as("$subscribe"), &a, &b, &c))
        return stage_subscribe(ctx, st, a, b, c, &reply);
    if (st->module->handle_cast == NULL)
        stage_undefined(ctx, st, cop_a(handle_cast),
                        cop_list(ctx, request, stage_user_term(ctx, st)));
    return stage_carry(ctx, st, st->module->handle_cast(ctx, st->user, request));
}

static cop_next on_cast(cop_ctx *ctx, void *state, cop_term request) {
    struct stage *st = stage_of(state);
    cop_next next = take_cast(ctx, st, request);
    settle(ctx, st, &next);
    return next;
}

static void on_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct stage *st = stage_of(state);
    if (st->module->terminate != NULL)
        st->module->terminate(ctx, st->user, reason);
}

static cop_term on_code_change(cop_ctx *ctx, void *state, cop_term old_vsn, cop_term extra) {
    struct stage *st = stage_of(state);
    if (st->module->code_change == NULL)
        return cop_a(ok).t;
    return st->module->code_change(ctx, st->user, old_vsn, extra);
}

static cop_term on_status_more(cop_ctx *ctx, const void *state) {
    const struct stage *st = stage_of(state);
    return st->module->status_more(ctx, st->user);
}

/* ---- the start --------------------------------------------------------------------------------------------------- */

static void tables_release(void *object) {
    struct stage_tables *t = object;
    stage_subs_release(&t->producers);
    stage_subs_release(&t->consumers);
    free(t);
}

static size_t plain_offset(const cop_gen_stage *module) {
    return sizeof(struct stage_terms) + (module->state_size + 7) / 8 * 8;
}

static struct stage *new_stage(cop_ctx *ctx, void *state, const cop_gen_stage *module) {
    struct stage_terms *t = state;
    t->plain = COP_INT(plain_offset(module));
    struct stage *st = stage_of(state);
    st->module = module;
    st->user = t + 1;
    st->tables = sup_alloc(ctx, sizeof *st->tables);
    memset(st->tables, 0, sizeof *st->tables);
    cop_own(ctx, st->tables, tables_release);
    return st;
}

/* The queues end, and so the dispatcher's state begins, at a multiple of 16 bytes. */
enum { QUEUES_AT = 8 };
_Static_assert((QUEUES_AT + sizeof(struct stage_queues)) % 16 == 0, "a state is aligned");

static void start_dispatcher(cop_ctx *ctx, struct stage *st, cop_term opts) {
    const cop_dispatcher *d = st->dispatcher;
    char *block = cop_alloc(ctx, QUEUES_AT + sizeof *st->q + d->state_size);
    st->q = (struct stage_queues *)(block + QUEUES_AT);
    st->dispatcher_state = st->q + 1;
    cop_process_keep(ctx, 1, st->dispatcher_state, d->state_terms);
    if (d->init != NULL)
        d->init(ctx, st->dispatcher_state, opts);
}

static bool kind_from(cop_term t, cop_stage_kind *kind) {
    *kind = cop_match(t, cop_a(producer))   ? COP_PRODUCER
            : cop_match(t, cop_a(consumer)) ? COP_CONSUMER
                                            : COP_PRODUCER_CONSUMER;
    return *kind != COP_PRODUCER_CONSUMER || cop_match(t, cop_a(producer_consumer));
}

/* init's return in Elixir's form. */
static bool init_from_term(cop_ctx *ctx, struct stage *st, cop_term t, cop_stage_init *init) {
    cop_term kind, state, opts = COP_NIL;
    *init = (cop_stage_init){ .is = COP__STAGE_INIT_OK };
    if (cop_match(t, cop_a(ignore))) {
        *init = cop_stage_init_ignore();
        return true;
    }
    if (cop_match_tuple(t, cop_a(stop), &init->reason)) {
        init->is = COP__STAGE_INIT_STOP;
        return true;
    }
    if (!cop_match_tuple(t, &kind, &state)
        && (!cop_match_tuple(t, &kind, &state, &opts) || !cop_is_list(opts)))
        return false;
    init->opts.terms = opts;
    return kind_from(kind, &init->kind) && stage_user_from_term(ctx, st, state);
}

static cop_init begin(cop_ctx *ctx, struct stage *st, const cop_stage_init *init) {
    struct stage_config config;
    cop_term why;
    if (!stage_config_of(ctx, init->kind, &init->opts, &config, &why))
        return cop_init_stop(why);
    st->kind = (uint8_t)init->kind;
    st->capacity = config.buffer_size;
    st->keep = config.keep;
    st->accumulates = config.accumulates;
    st->stall_ms = init->kind == COP_CONSUMER ? 0 : init->opts.stall_ms;
    st->dispatcher = init->kind == COP_CONSUMER ? NULL : config.dispatcher;
    if (st->dispatcher != NULL)
        start_dispatcher(ctx, st, config.dispatcher_opts);
    cop_next next = stage_subscribe_all(ctx, st, config.subscribe_to);
    return stage_stops(next) ? cop_init_stop(next.reason) : cop_init_ok();
}

static cop_init on_init(cop_ctx *ctx, void *state, cop_term packed) {
    uint64_t address;
    cop_term arg;
    if (!cop_match_tuple(packed, &address, &arg))
        return cop_init_stop(cop_a(badarg));
    const cop_gen_stage *module = (const cop_gen_stage *)(uintptr_t)address;
    struct stage *st = new_stage(ctx, state, module);
    cop_stage_init init = module->init(ctx, st->user, arg);
    cop_term returned = init.reason;
    if (init.is == COP__STAGE_INIT_TERM && !init_from_term(ctx, st, returned, &init))
        return cop_init_stop(cop_tuple(ctx, cop_a(bad_return_value), returned));
    switch (init.is) {
    case COP__STAGE_INIT_OK:
        return begin(ctx, st, &init);
    case COP__STAGE_INIT_IGNORE:
        return cop_init_ignore();
    case COP__STAGE_INIT_STOP:
        return cop_init_stop(init.reason);
    case COP__STAGE_INIT_NONE:
    case COP__STAGE_INIT_TERM:
        break;
    }
    return cop_init_stop(cop_tuple(ctx, cop_a(bad_return_value), cop_a(nil)));
}

/* A table that was made once is never changed nor freed, so whoever finds it may use it. */
struct table {
    struct table *next;
    const cop_gen_stage *module;
    cop_gen_server server;
};
static struct table *tables;

static struct table *table_new(cop_ctx *ctx, const cop_gen_stage *module) {
    struct table *table = sup_alloc(ctx, sizeof *table);
    *table = (struct table){ .module = module };
    table->server = (cop_gen_server){
        .name = module->name,
        .state_size = plain_offset(module) + sizeof(struct stage),
        .state_terms = STAGE_TERMS + module->state_terms,
        .init = on_init,
        .handle_call = on_call,
        .handle_cast = on_cast,
        .handle_info = on_info,
        .terminate = on_terminate,
        .state_to_term = stage_state_to_term,
        .state_from_term = stage_state_from_term,
        .code_change = on_code_change,
        .format_status = module->format_status,
        .redact = module->redact,
        .report_max_words = module->report_max_words,
        .status_data = stage_status_data,
        .status_more = module->status_more != NULL ? on_status_more : NULL,
    };
    return table;
}

static const cop_gen_server *server_of(cop_ctx *ctx, const cop_gen_stage *module) {
    struct table *first = __atomic_load_n(&tables, __ATOMIC_ACQUIRE);
    for (struct table *t = first; t != NULL; t = t->next)
        if (t->module == module)
            return &t->server;
    struct table *table = table_new(ctx, module);
    do /* two that are made at once do no harm */
        table->next = first;
    while (!__atomic_compare_exchange_n(&tables, &first, table, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE));
    return &table->server;
}

static cop_start_opts start_opts(const cop_start_opts *opts) {
    cop_start_opts o = { 0 };
    if (opts != NULL)
        o = *opts;
    if (o.initial_call == NULL)
        o.initial_call = "GenStage";
    return o;
}

static cop_term pack(cop_ctx *ctx, const cop_gen_stage *module, cop_term arg) {
    return cop_tuple(ctx, (uint64_t)(uintptr_t)module, cop_is_none(arg) ? cop_a(undefined).t : arg);
}

cop_started cop_gen_stage_start_link(cop_ctx *ctx, const cop_gen_stage *module, cop_term arg,
                                     const cop_start_opts *opts) {
    cop_start_opts o = start_opts(opts);
    return cop_gen_server_start_link(ctx, server_of(ctx, module), pack(ctx, module, arg), &o);
}

cop_started cop_gen_stage_start(cop_ctx *ctx, const cop_gen_stage *module, cop_term arg,
                                const cop_start_opts *opts) {
    cop_start_opts o = start_opts(opts);
    return cop_gen_server_start(ctx, server_of(ctx, module), pack(ctx, module, arg), &o);
}
