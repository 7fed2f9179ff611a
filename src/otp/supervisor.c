/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor: a gen_server around an ordered list of children. Here are its start, from the flags and the
 * specifications that init returned, and its callbacks, which serve OTP's requests one at a time; what
 * they do to children is in supervisor_engine.c, and the side of those who ask in supervisor_api.c.
 *
 * It ends through its parent's exit, through :sys, or by itself; all three come to `terminate`, which
 * stops the children in reverse order.
 *
 * Threads: its own process.
 */
#include <string.h>

#include "supervisor_engine.h"
#include "sys.h"

/* ---- the start ------------------------------------------------------------------------------------------ */

static const char *const strategies[] = { "one_for_one", "one_for_all", "rest_for_one" };
static const char *const auto_shutdowns[] = { "never", "any_significant", "all_significant" };

static bool index_of(cop_term t, const char *const *names, size_t n, int *out) {
    cop_atom atom;
    for (size_t i = 0; i < n; i++)
        if (cop_get_atom(t, &atom) && strcmp(cop_atom_name(atom, NULL), names[i]) == 0) {
            *out = (int)i;
            return true;
        }
    return false;
}

static cop_term flag(cop_term flags, cop_atom key, cop_term otherwise) {
    cop_term value;
    return cop_map_get(flags, key.t, &value) ? value : otherwise;
}

static cop_term wrong(cop_ctx *ctx, const char *what, cop_term value) {
    return cop_tuple(ctx, cop_atom_new(what), value);
}

/* What is wrong with the flags; COP_NONE when they were taken. */
static cop_term take_flags(cop_ctx *ctx, struct sup *s, cop_term flags) {
    cop_term strategy = cop_a(one_for_one).t, intensity = COP_INT(1), period = COP_INT(5);
    cop_term auto_shutdown = cop_a(never).t, timeline = COP_INT(0);
    int index;
    int64_t limit;
    if (cop_is_map(flags)) {
        strategy = flag(flags, cop_a(strategy), strategy);
        intensity = flag(flags, cop_a(intensity), intensity);
        period = flag(flags, cop_a(period), period);
        auto_shutdown = flag(flags, cop_a(auto_shutdown), auto_shutdown);
        timeline = flag(flags, cop_a(timeline), timeline);
    } else if (!cop_match_tuple(flags, &strategy, &intensity, &period)) {
        return wrong(ctx, "invalid_type", flags);
    }
    if (!index_of(strategy, strategies, 3, &index))
        return wrong(ctx, "invalid_strategy", strategy);
    s->strategy = (cop_strategy)index;
    if (!sup_count_from(intensity, 0, &s->max_restarts))
        return wrong(ctx, "invalid_intensity", intensity);
    if (!sup_count_from(period, 1, &s->max_seconds))
        return wrong(ctx, "invalid_period", period);
    if (!index_of(auto_shutdown, auto_shutdowns, 3, &index))
        return wrong(ctx, "invalid_auto_shutdown", auto_shutdown);
    s->auto_shutdown = (cop_auto_shutdown)index;
    if (!sup_count_from(timeline, 0, &limit))
        return wrong(ctx, "invalid_timeline", timeline);
    if (s->t->timeline == NULL)
        s->t->timeline = sup_timeline_new(ctx, limit, s->name);
    return COP_NONE;
}

/* What is wrong with a specification, or COP_NONE and *spec. */
static cop_term check_spec(cop_ctx *ctx, const struct sup *s, cop_term term,
                           struct sup_spec *spec) {
    struct sup_raw raw;
    if (!sup_raw_from(term, &raw))
        return wrong(ctx, "invalid_child_spec", term);
    return sup_check(ctx, &raw, cop_atom_new(auto_shutdowns[s->auto_shutdown]).t, spec);
}

/* Takes a specification in; what is wrong with it, or COP_NONE and *i. */
static cop_term take_spec(cop_ctx *ctx, struct sup *s, cop_term term, uint32_t *i) {
    struct sup_spec spec;
    cop_term bad = check_spec(ctx, s, term, &spec);
    if (!cop_is_none(bad))
        return bad;
    *i = sup_find(s, spec.id);
    if (*i != NONE)
        return wrong(ctx, "duplicate_child_name", spec.id);
    *i = sup_append(ctx, s, &spec);
    return COP_NONE;
}

/* A reason that leaves the scope it was made in. */
static cop_term brought_out(cop_ctx *ctx, struct sup *s) {
    cop_saved *saved = s->t->brought_out;
    cop_term t = saved == NULL ? COP_NONE : cop_saved_load(ctx, saved);
    s->t->brought_out = NULL;
    cop_saved_forget(saved);
    return t;
}

static cop_term take_specs(cop_ctx *ctx, struct sup *s, cop_term specs) {
    while (s->t->brought_out == NULL && cop_is_cons(specs)) {
        COP_SCOPE(ctx) {
            uint32_t i;
            cop_term why = take_spec(ctx, s, cop_head(specs), &i);
            if (!cop_is_none(why))
                s->t->brought_out = cop_term_save(why);
        }
        specs = cop_tail(specs);
    }
    return brought_out(ctx, s);
}

/* Starts all in order; COP_NONE, or the exit reason after one failed and those before it were stopped. */
static cop_term start_all(cop_ctx *ctx, struct sup *s) {
    for (uint32_t i = s->t->first, next; i != NONE && s->t->brought_out == NULL; i = next) {
        COP_SCOPE(ctx) {
            cop_term reason, info;
            if (!sup_start_child(ctx, s, i, &reason, &info)) {
                sup_report_child(ctx, s, "start_error", reason, i);
                s->t->brought_out = cop_term_save(
                    cop_tuple(ctx, cop_a(failed_to_start_child), sup_id_term(ctx, s, i), reason));
            }
        }
        next = sup_at(s, i)->next;
        if (sup_at(s, i)->form->restart == COP_TEMPORARY && sup_at(s, i)->state != CHILD_RUNNING
            && s->t->brought_out == NULL)
            sup_remove(s, i); /* it was ignored, so it is forgotten */
    }
    if (s->t->brought_out == NULL)
        return COP_NONE;
    sup_stop_all(ctx, s);
    return cop_tuple(ctx, cop_a(shutdown), brought_out(ctx, s));
}

static void note_end(cop_ctx *ctx, const struct sup *s, cop_term reason) {
    cop_term self = cop_self(ctx).t;
    sup_timeline_note(ctx, s->t->timeline, "stopped", cop_is_none(s->name) ? self : s->name, self,
                      reason);
}

static cop_init start_with(cop_ctx *ctx, struct sup *s, cop_term flags, cop_term specs) {
    cop_term bad = take_flags(ctx, s, flags);
    if (!cop_is_none(bad))
        return cop_init_stop(cop_tuple(ctx, cop_a(supervisor_data), bad));
    bad = take_specs(ctx, s, specs);
    if (!cop_is_none(bad))
        return cop_init_stop(cop_tuple(ctx, cop_a(start_spec), bad));
    cop_term failed = start_all(ctx, s);
    if (cop_is_none(failed))
        return cop_init_ok();
    note_end(ctx, s, failed);
    return cop_init_stop(failed);
}

static cop_init sup_init(cop_ctx *ctx, void *state, cop_term packed) {
    struct sup *s = state;
    cop_term arg, result, inner, flags, specs;
    if (!sup_unpack(packed, &s->module, &arg, &s->name))
        return cop_init_stop(cop_a(badarg));
    struct tables *t = sup_alloc(ctx, sizeof *t);
    t->first = t->last = t->free = NONE;
    s->t = cop_own(ctx, t, sup_tables_release);
    t->args = cop_term_save(arg);
    cop_process_trap_exit(ctx, true);
    s->module_name = sys_module_atom(s->module->name);
    result = s->module->init(ctx, arg);
    if (cop_match(result, cop_a(ignore)))
        return cop_init_ignore();
    if (cop_match_tuple(result, cop_a(ok), &inner) && cop_match_tuple(inner, &flags, &specs)
        && cop_is_proper_list(specs))
        return start_with(ctx, s, flags, specs);
    return cop_init_stop(
        cop_tuple(ctx, cop_a(bad_return), cop_tuple(ctx, s->module_name, cop_a(init), result)));
}

/* ---- another version of its code -------------------------------------------------------------------------- */

static cop_term check_specs(cop_ctx *ctx, const struct sup *s, cop_term specs) {
    cop_term ids = cop_map(ctx), known;
    for (; cop_is_cons(specs); specs = cop_tail(specs)) {
        struct sup_spec spec;
        cop_term bad = check_spec(ctx, s, cop_head(specs), &spec);
        if (!cop_is_none(bad))
            return bad;
        if (cop_map_get(ids, spec.id, &known))
            return wrong(ctx, "duplicate_child_name", spec.id);
        ids = cop_map_put(ctx, ids, spec.id, cop_a(true).t);
    }
    return COP_NONE;
}

/* The list is in init's order afterwards; those that it does not name any more come behind (observed). */
static void change_specs(cop_ctx *ctx, struct sup *s, cop_term specs) {
    int64_t named = cop_list_length(specs);
    for (; cop_is_cons(specs); specs = cop_tail(specs)) {
        struct sup_spec spec;
        check_spec(ctx, s, cop_head(specs), &spec);
        uint32_t i = sup_find(s, spec.id);
        if (i == NONE)
            sup_append(ctx, s, &spec);
        else
            sup_respecify(s, i, &spec);
    }
    for (int64_t unnamed = s->t->count - named; unnamed > 0; unnamed--)
        sup_move_last(s, s->t->first);
}

/* init is asked again. Flags and specifications, by id, are those that it gives, all or none; nobody is
   started or stopped. A child that it does not name any more stays. */
static cop_term sup_code_change(cop_ctx *ctx, void *state, cop_term old_vsn, cop_term extra) {
    struct sup *s = state, new = *s;
    cop_term inner, flags, specs, result = s->module->init(ctx, cop_saved_load(ctx, s->t->args));
    if (cop_match(result, cop_a(ignore)))
        return cop_a(ok).t;
    if (!cop_match_tuple(result, cop_a(ok), &inner) || !cop_match_tuple(inner, &flags, &specs)
        || !cop_is_proper_list(specs))
        return result;
    cop_term bad = take_flags(ctx, &new, flags), any;
    if (cop_match_tuple(bad, cop_a(invalid_type), &any))
        bad = wrong(ctx, "bad_flags", flags); /* as of old; observed */
    if (cop_is_none(bad))
        bad = check_specs(ctx, &new, specs);
    if (!cop_is_none(bad))
        return cop_tuple(ctx, cop_a(error), bad);
    *s = new;
    change_specs(ctx, s, specs);
    return cop_a(ok).t;
}

/* ---- callbacks ------------------------------------------------------------------------------------------- */

static void sup_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    sup_stop_all(ctx, state);
    note_end(ctx, state, reason);
}

static cop_next sup_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    struct sup *s = state;
    cop_pid pid;
    cop_ref timer;
    cop_term reason, what, id;
    if (cop_match_tuple(message, cop_as("EXIT"), &pid, &reason)) {
        uint32_t i = sup_find_pid(s, pid);
        return i == NONE ? cop_noreply() : sup_child_ended(ctx, s, i, reason);
    }
    if (cop_match_tuple(message, cop_a(timeout), &timer, &what)
        && cop_match_tuple(what, cop_as("$backoff"), &id)) {
        uint32_t i = sup_find(s, id);
        if (i == NONE || sup_at(s, i)->timer.t.w != timer.t.w
            || sup_at(s, i)->state != CHILD_RESTARTING)
            return cop_noreply(); /* somebody was faster */
        sup_at(s, i)->timer = (cop_ref){ COP_NONE };
        sup_start_again(ctx, s, i);
        return cop_noreply();
    }
    sup_report_message(ctx, false, message);
    return cop_noreply();
}

static cop_next sup_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    struct sup *s = state;
    cop_term id;
    if (!cop_match_tuple(request, cop_a(try_again_restart), &id))
        cop_error(ctx, cop_a(function_clause));
    uint32_t i = sup_find(s, id);
    if (i == NONE || sup_at(s, i)->state != CHILD_RESTARTING)
        return cop_noreply();
    return sup_restart(ctx, s, i);
}

static cop_term error(cop_ctx *ctx, const char *why) {
    return cop_tuple(ctx, cop_a(error), cop_atom_new(why));
}

static cop_term started_child(cop_ctx *ctx, const struct sup *s, uint32_t i, cop_term info) {
    cop_term pid = sup_pid_shown(sup_at(s, i));
    return cop_is_none(info) ? cop_tuple(ctx, cop_a(ok), pid)
                             : cop_tuple(ctx, cop_a(ok), pid, info);
}

static cop_term already(cop_ctx *ctx, const struct sup *s, cop_term id) {
    uint32_t i = sup_find(s, id);
    if (sup_at(s, i)->state != CHILD_RUNNING)
        return error(ctx, "already_present");
    return cop_tuple(ctx, cop_a(error), cop_tuple(ctx, cop_a(already_started), sup_at(s, i)->pid));
}

static cop_term do_start_child(cop_ctx *ctx, struct sup *s, cop_term spec) {
    uint32_t i;
    cop_term bad = take_spec(ctx, s, spec, &i), id, reason, info;
    if (!cop_is_none(bad))
        return cop_match_tuple(bad, cop_a(duplicate_child_name), &id)
                   ? already(ctx, s, id)
                   : cop_tuple(ctx, cop_a(error), bad);
    if (!sup_start_child(ctx, s, i, &reason, &info)) {
        cop_term failed =
            cop_tuple(ctx, cop_a(error), cop_tuple(ctx, reason, sup_record(ctx, s, i)));
        sup_remove(s, i);
        return failed;
    }
    cop_term reply = started_child(ctx, s, i, info);
    if (sup_at(s, i)->form->restart == COP_TEMPORARY) {
        cop_saved_forget(sup_at(s, i)->args); /* it is never started again */
        sup_at(s, i)->args = NULL;
        if (sup_at(s, i)->state != CHILD_RUNNING)
            sup_remove(s, i);
    }
    return reply;
}

static cop_term not_idle(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    if (i == NONE)
        return error(ctx, "not_found");
    if (sup_at(s, i)->state == CHILD_UNDEFINED)
        return COP_NONE;
    return error(ctx, sup_at(s, i)->state == CHILD_RUNNING ? "running" : "restarting");
}

static cop_term do_restart_child(cop_ctx *ctx, struct sup *s, uint32_t i) {
    cop_term reason, info, refused = not_idle(ctx, s, i);
    if (!cop_is_none(refused))
        return refused;
    if (!sup_start_child(ctx, s, i, &reason, &info))
        return cop_tuple(ctx, cop_a(error), reason);
    return started_child(ctx, s, i, info);
}

static cop_term do_terminate_child(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (i == NONE)
        return error(ctx, "not_found");
    sup_note(ctx, s, "terminated", i, sup_pid_term(ctx, sup_at(s, i)), cop_a(nil).t);
    sup_stop_child(ctx, s, i);
    if (sup_at(s, i)->form->restart == COP_TEMPORARY)
        sup_remove(s, i);
    return cop_a(ok).t;
}

static cop_term do_delete_child(cop_ctx *ctx, struct sup *s, uint32_t i) {
    cop_term refused = not_idle(ctx, s, i);
    if (!cop_is_none(refused))
        return refused;
    sup_remove(s, i);
    return cop_a(ok).t;
}

static cop_term child_shown(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    return cop_tuple(ctx, sup_id_term(ctx, s, i), sup_pid_shown(sup_at(s, i)),
                     sup_type_atom(sup_at(s, i)->form->type), sup_modules_term(ctx, sup_at(s, i)));
}

static cop_term which_child(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    return i == NONE ? error(ctx, "not_found") : cop_tuple(ctx, cop_a(ok), child_shown(ctx, s, i));
}

static cop_term which_children(cop_ctx *ctx, const struct sup *s) {
    cop_term list = COP_NIL;
    for (uint32_t i = s->t->first; i != NONE; i = sup_at(s, i)->next)
        list = cop_cons(ctx, child_shown(ctx, s, i), list);
    return list;
}

static cop_term count_children(cop_ctx *ctx, const struct sup *s) {
    int64_t active = 0, supervisors = 0, specs = s->t->count;
    for (uint32_t i = s->t->first; i != NONE; i = sup_at(s, i)->next) {
        const struct child *child = sup_at(s, i);
        active += child->state == CHILD_RUNNING && cop_process_is_alive(ctx, child->pid);
        supervisors += child->form->type == COP_SUPERVISOR;
    }
    return cop_list(ctx, cop_tuple(ctx, cop_a(specs), specs), cop_tuple(ctx, cop_a(active), active),
                    cop_tuple(ctx, cop_a(supervisors), supervisors),
                    cop_tuple(ctx, cop_a(workers), specs - supervisors));
}

static cop_term childspec(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    if (i == NONE)
        return error(ctx, "not_found");
    const struct sup_form *form = sup_at(s, i)->form;
    return cop_tuple(ctx, cop_a(ok),
                     cop_map(ctx, cop_a(id), sup_id_term(ctx, s, i), cop_a(start),
                             sup_mfa_term(ctx, sup_at(s, i)), cop_a(restart),
                             sup_restart_atom(form->restart), cop_a(significant), form->significant,
                             cop_a(shutdown), sup_shutdown_term(ctx, form->shutdown), cop_a(type),
                             sup_type_atom(form->type), cop_a(modules),
                             sup_modules_term(ctx, sup_at(s, i))));
}

static cop_next sup_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct sup *s = state;
    cop_term x;
    if (cop_match_tuple(request, cop_a(start_child), &x))
        return cop_reply(ctx, do_start_child(ctx, s, x));
    if (cop_match_tuple(request, cop_a(restart_child), &x))
        return cop_reply(ctx, do_restart_child(ctx, s, sup_find(s, x)));
    if (cop_match_tuple(request, cop_a(terminate_child), &x))
        return cop_reply(ctx, do_terminate_child(ctx, s, sup_find(s, x)));
    if (cop_match_tuple(request, cop_a(delete_child), &x))
        return cop_reply(ctx, do_delete_child(ctx, s, sup_find(s, x)));
    if (cop_match_tuple(request, cop_a(get_childspec), &x))
        return cop_reply(ctx, childspec(ctx, s, sup_find(s, x)));
    if (cop_match_tuple(request, cop_a(which_child), &x))
        return cop_reply(ctx, which_child(ctx, s, sup_find(s, x)));
    if (cop_match(request, cop_a(which_children)))
        return cop_reply(ctx, which_children(ctx, s));
    if (cop_match(request, cop_a(count_children)))
        return cop_reply(ctx, count_children(ctx, s));
    cop_error(ctx, cop_a(function_clause));
}

/* OTP's state record. */
static cop_term sup_state_to_term(cop_ctx *ctx, const void *state) {
    const struct sup *s = state;
    cop_term ids = COP_NIL, db = cop_map(ctx);
    for (uint32_t i = s->t->first; i != NONE; i = sup_at(s, i)->next) {
        cop_term id = sup_id_term(ctx, s, i);
        ids = cop_cons(ctx, id, ids);
        db = cop_map_put(ctx, db, id, sup_record(ctx, s, i));
    }
    return cop_tuple(ctx, cop_a(state), sup_shown_name(ctx, s->name, s->module_name),
                     cop_atom_new(strategies[s->strategy]), cop_tuple(ctx, ids, db),
                     cop_a(undefined), s->max_restarts, s->max_seconds,
                     sup_window_term(ctx, &s->t->window), 0,
                     cop_atom_new(auto_shutdowns[s->auto_shutdown]), s->module_name,
                     cop_saved_load(ctx, s->t->args));
}

static cop_term sup_status_more(cop_ctx *ctx, const void *state) {
    const struct sup *s = state;
    return sup_status(ctx, s->module_name);
}

static const cop_gen_server supervisor_server = {
    .name = "supervisor",
    .state_size = sizeof(struct sup),
    .state_terms = 1,
    .init = sup_init,
    .handle_call = sup_handle_call,
    .handle_cast = sup_handle_cast,
    .handle_info = sup_handle_info,
    .terminate = sup_terminate,
    .state_to_term = sup_state_to_term,
    .status_more = sup_status_more,
    .code_change = sup_code_change,
};

cop_started cop_supervisor_start_link_module(cop_ctx *ctx, const cop_supervisor *module,
                                             cop_term arg, const cop_supervisor_opts *opts) {
    char call[SUP_CALL];
    cop_start_opts start = sup_start_opts(call, module, NULL);
    if (opts != NULL) {
        start.name = opts->name;
        start.via = opts->via;
    }
    return cop_gen_server_start_link(ctx, &supervisor_server, sup_pack(ctx, module, arg, &start),
                                     &start);
}
