/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DynamicSupervisor: the side of those who start and ask one. A child's specification is checked here,
 * before anything is sent, and travels as Elixir's 5-tuple {{m, f, args}, restart, shutdown, type, modules};
 * a C start function or a back-off makes the request longer.
 */
#include "sup.h"

/* ---- init ------------------------------------------------------------------------------------------------ */

static cop_term flags(cop_ctx *ctx, cop_term strategy, cop_term intensity, cop_term period,
                      cop_term max_children, cop_term extra) {
    return cop_map(ctx, cop_a(strategy), strategy, cop_a(intensity), intensity, cop_a(period),
                   period, cop_a(max_children), max_children, cop_a(extra_arguments), extra);
}

static cop_term count_term(cop_ctx *ctx, int64_t n, cop_term otherwise) {
    return n == 0 ? otherwise : cop_of(ctx, n == COP_ZERO ? 0 : n);
}

cop_term cop_dynamic_supervisor_init(cop_ctx *ctx, const cop_dynamic_supervisor_opts *opts) {
    static const cop_dynamic_supervisor_opts defaults;
    const cop_dynamic_supervisor_opts *o = opts != NULL ? opts : &defaults;
    cop_term map = flags(ctx, cop_a(one_for_one).t, count_term(ctx, o->max_restarts, COP_INT(3)),
                         count_term(ctx, o->max_seconds, COP_INT(5)),
                         count_term(ctx, o->max_children, cop_a(infinity).t),
                         cop_is_none(o->extra_arguments) ? COP_NIL : o->extra_arguments);
    if (o->timeline != 0)
        map = cop_map_put(ctx, map, cop_a(timeline).t, cop_of(ctx, o->timeline));
    return cop_tuple(ctx, cop_a(ok), map);
}

cop_term cop_dynamic_supervisor_init_terms(cop_ctx *ctx, cop_term options) {
    cop_term map = flags(ctx, sup_option(options, cop_a(strategy), cop_a(one_for_one).t),
                         sup_option(options, cop_a(max_restarts), COP_INT(3)),
                         sup_option(options, cop_a(max_seconds), COP_INT(5)),
                         sup_option(options, cop_a(max_children), cop_a(infinity).t),
                         sup_option(options, cop_a(extra_arguments), COP_NIL));
    cop_term timeline = sup_option(options, cop_a(timeline), COP_NONE);
    if (!cop_is_none(timeline))
        map = cop_map_put(ctx, map, cop_a(timeline).t, timeline);
    return cop_tuple(ctx, cop_a(ok), map);
}

cop_started cop_dynamic_supervisor_start_link(cop_ctx *ctx,
                                              const cop_dynamic_supervisor_opts *opts) {
    cop_start_opts start = { 0 };
    if (opts != NULL && opts->start != NULL)
        start = *opts->start;
    if (opts != NULL && !cop_is_none(opts->name.t))
        start.name = opts->name;
    return cop_dynamic_supervisor_start_link_module(ctx, &sup_default_module,
                                                    cop_dynamic_supervisor_init(ctx, opts), &start);
}

cop_started cop_dynamic_supervisor_start_link_terms(cop_ctx *ctx, cop_term options) {
    cop_start_opts start = { 0 };
    sup_name_option(ctx, options, &start);
    return cop_dynamic_supervisor_start_link_module(
        ctx, &sup_default_module, cop_dynamic_supervisor_init_terms(ctx, options), &start);
}

cop_term cop_dynamic_supervisor_child_spec(cop_ctx *ctx, cop_term options) {
    cop_atom module = cop_as("Elixir.DynamicSupervisor");
    cop_term id = sup_option(options, cop_a(name), module.t), name, any;
    if (cop_match_tuple(id, cop_a(global), &name) || cop_match_tuple(id, cop_a(via), &any, &name))
        id = name;
    return cop_map(ctx, cop_a(id), id, cop_a(start),
                   cop_tuple(ctx, module, cop_a(start_link), cop_list(ctx, options)), cop_a(type),
                   cop_a(supervisor));
}

/* ---- asking ---------------------------------------------------------------------------------------------- */

static cop_term start_checked(cop_ctx *ctx, cop_term supervisor, const struct sup_raw *raw,
                              cop_term shown) {
    struct sup_spec spec;
    cop_term bad = sup_check_dynamic(ctx, raw, shown, &spec);
    if (!cop_is_none(bad))
        return cop_tuple(ctx, cop_a(error), bad);
    cop_term wire =
        cop_tuple(ctx, cop_tuple(ctx, spec.m, spec.f, spec.args), sup_restart_atom(spec.restart),
                  sup_shutdown_term(ctx, spec.shutdown), sup_type_atom(spec.type), spec.modules);
    if (spec.c_start == NULL && spec.backoff.min_ms == 0)
        return cop__supervisor_ask(ctx, supervisor, cop_tuple(ctx, cop_a(start_child), wire));
    cop_term nil = cop_a(nil).t;
    return cop__supervisor_ask(ctx, supervisor,
                               cop_tuple(ctx, cop_a(start_child), wire,
                                         cop_is_none(raw->c_start) ? nil : raw->c_start,
                                         cop_is_none(raw->backoff) ? nil : raw->backoff));
}

cop_term cop__dynamic_supervisor_start_child(cop_ctx *ctx, cop_term supervisor,
                                             const cop_child_spec *spec) {
    struct sup_raw raw = sup_raw_from_struct(ctx, spec);
    if (cop_is_none(raw.start)) {
        cop_term shown = cop_child_spec_to_term(ctx, spec);
        return cop_tuple(ctx, cop_a(error), cop_tuple(ctx, cop_a(invalid_child_spec), shown));
    }
    return start_checked(ctx, supervisor, &raw, COP_NIL);
}

cop_term cop__dynamic_supervisor_start_child_term(cop_ctx *ctx, cop_term supervisor,
                                                  cop_term spec) {
    struct sup_raw raw;
    spec = sup_resolve(ctx, spec);
    if (!sup_raw_from(spec, &raw))
        return cop_tuple(ctx, cop_a(error), cop_tuple(ctx, cop_a(invalid_child_spec), spec));
    return start_checked(ctx, supervisor, &raw, spec);
}

cop_term cop__dynamic_supervisor_terminate_child(cop_ctx *ctx, cop_term supervisor, cop_term pid) {
    if (!cop_is_pid(pid))
        cop_raise(ctx, "FunctionClauseError",
                  "no function clause matching in DynamicSupervisor.terminate_child/2");
    return cop__supervisor_ask(ctx, supervisor, cop_tuple(ctx, cop_a(terminate_child), pid));
}
