/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage: how it looks from outside: the state as Elixir's %GenStage{}, the rows of get_status, and log
 * events.
 */
#include "gen_stage.h"
#include "sys.h"

cop_atom stage_kind_atom(uint8_t kind) {
    return kind == COP_PRODUCER   ? cop_a(producer)
           : kind == COP_CONSUMER ? cop_a(consumer)
                                  : cop_a(producer_consumer);
}

cop_atom stage_module_atom(const struct stage *st) { return sys_module_atom(st->module->name); }

cop_term stage_name(cop_ctx *ctx) {
    cop_term name = cop_process_info(ctx, cop_self(ctx), cop_a(registered_name));
    return cop_is_atom(name) ? name : cop_self(ctx).t;
}

void stage_log(cop_ctx *ctx, cop_level level, const char *format, cop_term args) {
    cop_atom tag = level == COP_LEVEL_ERROR     ? cop_a(error)
                   : level == COP_LEVEL_WARNING ? cop_a(warning_msg)
                                                : cop_a(info_msg);
    cop_log(ctx, level, cop_tuple(ctx, cop_a(format), cop_charlist(ctx, format), args),
            cop_map(ctx, cop_a(error_logger), cop_map(ctx, cop_a(tag), tag)));
}

/* ---- the user's state ------------------------------------------------------------------------------------ */

cop_term stage_user_term(cop_ctx *ctx, const struct stage *st) {
    const cop_gen_stage *m = st->module;
    if (m->state_to_term != NULL)
        return m->state_to_term(ctx, st->user);
    cop_events terms;
    cop_term *to = cop_events_new(ctx, m->state_terms, &terms);
    for (size_t i = 0; i < m->state_terms; i++) {
        cop_term word = ((const cop_term *)st->user)[i];
        to[i] = cop_is_none(word) ? cop_a(nil).t : word;
    }
    return cop_tuple_n(ctx, terms.count, terms.at);
}

bool stage_user_from_term(cop_ctx *ctx, struct stage *st, cop_term term) {
    const cop_gen_stage *m = st->module;
    if (m->state_from_term != NULL)
        return m->state_from_term(ctx, st->user, term);
    if (m->state_to_term != NULL || m->state_size != m->state_terms * sizeof(cop_term)
        || cop_tuple_size(term) != (int64_t)m->state_terms)
        return false;
    for (size_t i = 0; i < m->state_terms; i++)
        ((cop_term *)st->user)[i] = cop_elem(term, i);
    return true;
}

/* ---- %GenStage{} -------------------------------------------------------------------------------------------- */

static cop_term producers_term(cop_ctx *ctx, const struct stage_subs *subs) {
    cop_term map = cop_map(ctx);
    static const char *const modes[] = { "permanent", "transient", "temporary" };
    for (uint32_t i = 0; (i = stage_sub_next(subs, i)) != STAGE_NO_SUB; i++) {
        const struct stage_sub *sub = &subs->at[i];
        cop_term demand =
            sub->manual ? cop_a(manual).t : cop_tuple(ctx, sub->open, sub->min, sub->max);
        map = cop_map_put(
            ctx, map, stage_sub_tag(ctx, sub),
            cop_tuple(ctx, stage_sub_pid(ctx, sub), cop_atom_new(modes[sub->cancel]), demand));
    }
    return map;
}

static cop_term consumers_term(cop_ctx *ctx, const struct stage_subs *subs, cop_term *monitors) {
    cop_term map = cop_map(ctx);
    for (uint32_t i = 0; (i = stage_sub_next(subs, i)) != STAGE_NO_SUB; i++) {
        const struct stage_sub *sub = &subs->at[i];
        cop_term tag = stage_sub_tag(ctx, sub);
        map = cop_map_put(ctx, map, tag, cop_tuple(ctx, stage_sub_pid(ctx, sub), sub->monitor));
        *monitors = cop_map_put(ctx, *monitors, sub->monitor, tag);
    }
    return map;
}

static cop_term buffer_term(cop_ctx *ctx, const struct stage *st) {
    cop_term queue = cop_tuple(ctx, COP_NIL, cop_queue_to_list(ctx, &st->q->buffer));
    cop_term limit = st->capacity == INT64_MAX ? cop_make_ref(ctx).t : cop_of(ctx, st->capacity);
    return cop_tuple(ctx, queue, stage_buffer_count(st), limit);
}

/* :forward; what is held back, newest first; or a producer-consumer's {queue, demand}. */
static cop_term events_term(cop_ctx *ctx, const struct stage *st) {
    cop_term held = st->q == NULL ? COP_NIL : cop_queue_to_list(ctx, &st->q->in);
    if (st->kind == COP_PRODUCER_CONSUMER)
        return cop_tuple(ctx, cop_tuple(ctx, COP_NIL, held), st->k);
    return st->accumulates ? cop_list_reverse(ctx, held) : cop_a(forward).t;
}

static cop_term dispatcher_state_term(cop_ctx *ctx, const struct stage *st) {
    const cop_dispatcher *d = st->dispatcher;
    if (d->state_to_term != NULL)
        return d->state_to_term(ctx, st->dispatcher_state);
    cop_events terms;
    cop_term *to = cop_events_new(ctx, d->state_terms, &terms);
    for (size_t i = 0; i < d->state_terms; i++) {
        cop_term word = ((const cop_term *)st->dispatcher_state)[i];
        to[i] = cop_is_none(word) ? cop_a(nil).t : word;
    }
    return cop_tuple_n(ctx, terms.count, terms.at);
}

cop_term stage_state_to_term(cop_ctx *ctx, const void *state) {
    const struct stage *st = stage_of(state);
    bool sends = st->dispatcher != NULL;
    cop_term nil = cop_a(nil).t, monitors = cop_map(ctx);
    cop_term consumers = consumers_term(ctx, &st->tables->consumers, &monitors);
    cop_term map = cop_map(ctx, cop_as("__struct__"), cop_as("Elixir.GenStage"), cop_a(mod),
                           stage_module_atom(st), cop_a(state), stage_user_term(ctx, st),
                           cop_a(type), stage_kind_atom(st->kind), cop_a(dispatcher_mod),
                           sends ? sys_module_atom(st->dispatcher->name).t : nil,
                           cop_a(dispatcher_state), sends ? dispatcher_state_term(ctx, st) : nil);
    cop_term more =
        cop_map(ctx, cop_a(buffer), sends ? buffer_term(ctx, st) : nil, cop_a(buffer_keep),
                !sends                       ? nil
                : st->keep == COP_KEEP_FIRST ? cop_a(first).t
                                             : cop_a(last).t,
                cop_a(events), events_term(ctx, st), cop_a(monitors), monitors, cop_a(producers),
                producers_term(ctx, &st->tables->producers), cop_a(consumers), consumers);
    return cop_map_merge(ctx, map, more);
}

/* For replace_state: of the struct only the user's state, and the dispatcher's if it has the means. */
bool stage_state_from_term(cop_ctx *ctx, void *state, cop_term term) {
    struct stage *st = stage_of(state);
    cop_term user, dispatcher;
    stage_keep_queues(ctx, st); /* also what is thrown comes here, and no callback's end then */
    if (!cop_is_struct(term, cop_as("Elixir.GenStage")) || !cop_map_get(term, cop_a(state).t, &user)
        || !stage_user_from_term(ctx, st, user))
        return false;
    if (st->dispatcher == NULL || st->dispatcher->state_from_term == NULL
        || !cop_map_get(term, cop_a(dispatcher_state).t, &dispatcher))
        return true;
    return st->dispatcher->state_from_term(ctx, st->dispatcher_state, dispatcher);
}

/* ---- get_status ------------------------------------------------------------------------------------------------ */

static cop_term row(cop_ctx *ctx, const char *name, cop_term value) {
    return cop_tuple(ctx, cop_charlist(ctx, name), value);
}

static cop_term pids(cop_ctx *ctx, const struct stage_subs *subs) {
    cop_term list = COP_NIL;
    for (uint32_t i = 0; (i = stage_sub_next(subs, i)) != STAGE_NO_SUB; i++)
        list = cop_cons(ctx, stage_sub_pid(ctx, &subs->at[i]), list);
    return cop_list_reverse(ctx, list);
}

cop_term stage_status_data(cop_ctx *ctx, const void *state, cop_term shown) {
    const struct stage *st = stage_of(state);
    cop_term rows = COP_NIL, user = shown;
    if (cop_is_struct(shown, cop_as("Elixir.GenStage")))
        cop_map_get(shown, cop_a(state).t, &user);
    if (st->kind != COP_CONSUMER) {
        rows = cop_list(ctx, row(ctx, "Consumers", pids(ctx, &st->tables->consumers)),
                        row(ctx, "Buffer size", cop_of(ctx, stage_buffer_count(st))));
    }
    if (st->kind != COP_PRODUCER)
        rows = cop_cons(ctx, row(ctx, "Producers", pids(ctx, &st->tables->producers)), rows);
    if (st->kind != COP_CONSUMER)
        rows = cop_cons(ctx, row(ctx, "Dispatcher", sys_module_atom(st->dispatcher->name).t), rows);
    return cop_list_tail(ctx, row(ctx, "State", user),
                         row(ctx, "Stage", stage_kind_atom(st->kind).t), rows);
}
