/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DynamicSupervisor: a gen_server around a bag of children (sup_bag.c). The API for others is in
 * dynamic_supervisor_api.c.
 *
 * Threads: its own process.
 */
#include "sup_bag.h"
#include "sys.h"

struct dyn {
    struct bag bag;
    const cop_supervisor *module;
    int64_t max_children;
};

/* ---- starting children ------------------------------------------------------------------------------------ */

/* {{m, f, args}, restart, shutdown, type, modules}, which the caller has checked; another node's caller
   may not have. */
static bool take_wire(cop_term t, cop_term c_start, cop_term backoff, struct sup_spec *out) {
    cop_term mfa, restart, shutdown, type;
    *out = (struct sup_spec){ .id = cop_a(undefined).t };
    if (!cop_match_tuple(t, &mfa, &restart, &shutdown, &type, &out->modules)
        || !cop_match_tuple(mfa, &out->m, &out->f, &out->args) || !cop_is_list(out->args))
        return false;
    sup_c_start_from(c_start, &out->c_start);
    return sup_restart_from(restart, &out->restart) && sup_shutdown_from(shutdown, &out->shutdown)
           && sup_type_from(type, &out->type)
           && sup_backoff_from(cop_match(backoff, cop_a(nil)) ? COP_NONE : backoff, &out->backoff);
}

static void release_form(void *form) { sup_form_release(form); }

static cop_term do_start_child(cop_ctx *ctx, struct dyn *d, const struct sup_spec *spec) {
    if ((int64_t)bag_count(&d->bag) >= d->max_children)
        return cop_tuple(ctx, cop_a(error), cop_a(max_children));
    struct sup_form *form = cop_own(ctx, bag_form(&d->bag, spec), release_form);
    struct sup_started got = sup_start(ctx, form, bag_extra(ctx, &d->bag), spec->args);
    cop_disown(ctx, form);
    if (got.is == SUP_STARTED) {
        bag_add(ctx, &d->bag, form, spec->args, got.pid, 0);
        return bag_started_term(ctx, &got);
    }
    sup_form_release(form);
    return bag_started_term(ctx, &got);
}

/* ---- the start ------------------------------------------------------------------------------------------ */

static cop_term flag(cop_term flags, cop_atom key, cop_term otherwise) {
    cop_term value;
    return cop_map_get(flags, key.t, &value) ? value : otherwise;
}

static cop_term wrong(cop_ctx *ctx, const char *what, cop_term value) {
    return cop_tuple(ctx, cop_atom_new(what), value);
}

/* What is wrong with the flags; COP_NONE when they were taken. Nothing is changed before all are good. */
static cop_term take_flags(cop_ctx *ctx, struct dyn *d, cop_term flags) {
    struct dyn new = *d;
    int64_t timeline = 0;
    cop_term v = flag(flags, cop_a(strategy), cop_a(one_for_one).t);
    if (!cop_match(v, cop_a(one_for_one)))
        return wrong(ctx, "invalid_strategy", v);
    if (!sup_count_from(v = flag(flags, cop_a(intensity), COP_INT(1)), 0, &new.bag.max_restarts))
        return wrong(ctx, "invalid_intensity", v);
    if (!sup_count_from(v = flag(flags, cop_a(period), COP_INT(5)), 1, &new.bag.max_seconds))
        return wrong(ctx, "invalid_period", v);
    new.max_children = INT64_MAX;
    v = flag(flags, cop_a(max_children), cop_a(infinity).t);
    if (!cop_match(v, cop_a(infinity)) && !sup_count_from(v, 0, &new.max_children))
        return wrong(ctx, "invalid_max_children", v);
    cop_term extra = flag(flags, cop_a(extra_arguments), COP_NIL);
    if (!cop_is_proper_list(extra))
        return wrong(ctx, "invalid_extra_arguments", extra);
    v = flag(flags, cop_a(auto_shutdown), cop_a(never).t);
    if (!cop_match(v, cop_a(never)))
        return wrong(ctx, "invalid_auto_shutdown", v);
    if (!sup_count_from(v = flag(flags, cop_a(timeline), COP_INT(0)), 0, &timeline))
        return wrong(ctx, "invalid_timeline", v);
    *d = new;
    bag_set_extra(&d->bag, extra);
    bag_set_timeline(ctx, &d->bag, timeline);
    return COP_NONE;
}

static cop_init dyn_init(cop_ctx *ctx, void *state, cop_term packed) {
    struct dyn *d = state;
    cop_term arg, result, flags;
    if (!sup_unpack(packed, &d->module, &arg, &d->bag.name))
        return cop_init_stop(cop_a(badarg));
    bag_init(ctx, &d->bag, arg);
    cop_process_trap_exit(ctx, true);
    d->bag.module_name = sys_module_atom(d->module->name);
    result = d->module->init(ctx, arg);
    if (cop_match(result, cop_a(ignore)))
        return cop_init_ignore();
    if (!cop_match_tuple(result, cop_a(ok), &flags) || !cop_is_map(flags))
        return cop_init_stop(cop_tuple(ctx, cop_a(bad_return),
                                       cop_tuple(ctx, d->bag.module_name, cop_a(init), result)));
    cop_term bad = take_flags(ctx, d, flags);
    if (!cop_is_none(bad))
        return cop_init_stop(cop_tuple(ctx, cop_a(supervisor_data), bad));
    return cop_init_ok();
}

/* Another version of its code: init is asked for flags again; the children stay. */
static cop_term dyn_code_change(cop_ctx *ctx, void *state, cop_term old_vsn, cop_term extra) {
    struct dyn *d = state;
    cop_term flags, result = d->module->init(ctx, bag_args(ctx, &d->bag));
    if (cop_match(result, cop_a(ignore)))
        return cop_a(ok).t;
    if (!cop_match_tuple(result, cop_a(ok), &flags) || !cop_is_map(flags))
        return result;
    cop_term bad = take_flags(ctx, d, flags);
    return cop_is_none(bad)
               ? cop_a(ok).t
               : cop_tuple(ctx, cop_a(error), cop_tuple(ctx, cop_a(supervisor_data), bad));
}

/* ---- callbacks ------------------------------------------------------------------------------------------- */

static void dyn_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct dyn *d = state;
    bag_stop_all(ctx, &d->bag, reason);
}

static cop_next dyn_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    struct dyn *d = state;
    switch (bag_message(ctx, &d->bag, message)) {
    case BAG_STOPS:
        return cop_stop(cop_a(shutdown));
    case BAG_NOT_MINE:
        sup_report_message(ctx, true, message);
        break;
    case BAG_DONE:
        break;
    }
    return cop_noreply();
}

static cop_next dyn_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    return cop_noreply(); /* observed: casts are ignored, silently */
}

static cop_term count_children(cop_ctx *ctx, const struct dyn *d) {
    struct bag_counts counts = bag_counts(&d->bag);
    return cop_list(ctx, cop_tuple(ctx, cop_a(specs), bag_count(&d->bag)),
                    cop_tuple(ctx, cop_a(active), counts.active),
                    cop_tuple(ctx, cop_a(supervisors), counts.supervisors),
                    cop_tuple(ctx, cop_a(workers), counts.workers));
}

/* {:start_task, args, restart, shutdown}, as of a Task.Supervisor: nil stands for its defaults. */
static bool take_task(cop_term request, struct sup_spec *out) {
    cop_term restart, shutdown;
    *out = (struct sup_spec){ .id = cop_a(undefined).t,
                              .m = cop_as("Elixir.Task.Supervised"),
                              .f = cop_a(start_link),
                              .restart = COP_TEMPORARY,
                              .shutdown = 5000 };
    return cop_match_tuple(request, cop_a(start_task), &out->args, &restart, &shutdown)
           && cop_is_proper_list(out->args)
           && (cop_match(restart, cop_a(nil)) || sup_restart_from(restart, &out->restart))
           && (cop_match(shutdown, cop_a(nil)) || sup_shutdown_from(shutdown, &out->shutdown));
}

static cop_next dyn_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct dyn *d = state;
    struct sup_spec spec;
    cop_term x, c_start = COP_NONE, backoff = cop_a(nil).t;
    if ((cop_match_tuple(request, cop_a(start_child), &x)
         || cop_match_tuple(request, cop_a(start_child), &x, &c_start, &backoff))
        && take_wire(x, c_start, backoff, &spec))
        return cop_reply(ctx, do_start_child(ctx, d, &spec));
    if (take_task(request, &spec)) {
        spec.modules = cop_list(ctx, spec.m);
        return cop_reply(ctx, do_start_child(ctx, d, &spec));
    }
    if (cop_match_tuple(request, cop_a(terminate_child), &x))
        return cop_reply(ctx, bag_terminate(ctx, &d->bag, x));
    if (cop_match(request, cop_a(which_children)))
        return cop_reply(ctx, bag_which(ctx, &d->bag));
    if (cop_match(request, cop_a(count_children)))
        return cop_reply(ctx, count_children(ctx, d));
    cop_error(ctx, cop_a(function_clause));
}

static cop_term kid_term(cop_ctx *ctx, const struct bag *bag, uint64_t origin,
                         const struct sup_form *form, cop_term args, bool restarting) {
    cop_term term = cop_tuple(ctx, sup_mfa(ctx, form, args), sup_restart_atom(form->restart),
                              sup_shutdown_term(ctx, form->shutdown), sup_type_atom(form->type),
                              cop_saved_load(ctx, form->modules));
    return restarting ? cop_tuple(ctx, cop_a(restarting), term) : term;
}

/* Elixir's struct. */
static cop_term dyn_state_to_term(cop_ctx *ctx, const void *state) {
    const struct dyn *d = state;
    cop_term more = cop_map(ctx, cop_a(children), bag_children(ctx, &d->bag, kid_term),
                            cop_a(restarts), bag_restarts(ctx, &d->bag));
    cop_term map =
        cop_map(ctx, cop_as("__struct__"), cop_as("Elixir.DynamicSupervisor"), cop_a(args),
                bag_args(ctx, &d->bag), cop_a(extra_arguments), bag_extra(ctx, &d->bag), cop_a(mod),
                d->bag.module_name, cop_a(name), bag_name(ctx, &d->bag), cop_a(strategy),
                cop_a(one_for_one), cop_a(max_children),
                d->max_children == INT64_MAX ? cop_a(infinity).t : cop_of(ctx, d->max_children),
                cop_a(max_restarts), d->bag.max_restarts, cop_a(max_seconds), d->bag.max_seconds);
    return cop_map_merge(ctx, map, more);
}

static cop_term dyn_status_more(cop_ctx *ctx, const void *state) {
    const struct dyn *d = state;
    return sup_status(ctx, d->bag.module_name);
}

static const cop_gen_server dynamic_server = {
    .name = "supervisor",
    .state_size = sizeof(struct dyn),
    .state_terms = BAG_TERMS,
    .init = dyn_init,
    .handle_call = dyn_handle_call,
    .handle_cast = dyn_handle_cast,
    .handle_info = dyn_handle_info,
    .terminate = dyn_terminate,
    .state_to_term = dyn_state_to_term,
    .status_more = dyn_status_more,
    .code_change = dyn_code_change,
};

cop_started cop_dynamic_supervisor_start_link_module(cop_ctx *ctx, const cop_supervisor *module,
                                                     cop_term arg, const cop_start_opts *opts) {
    char call[SUP_CALL];
    cop_start_opts start = sup_start_opts(call, module, opts);
    return cop_gen_server_start_link(ctx, &dynamic_server, sup_pack(ctx, module, arg, &start),
                                     &start);
}
