/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor: the side of those who start and ask one. Options and children become what Elixir's
 * Supervisor.init/2 makes of them, {:ok, {flags, specs}}, and only this travels to the new process:
 * nothing there points into the starter's memory.
 */
#include <string.h>

#include "sup.h"

/* ---- init ------------------------------------------------------------------------------------------------ */

static cop_term strategy_term(cop_ctx *ctx, cop_strategy s) {
    switch (s) {
    case COP_ONE_FOR_ONE:
        return cop_a(one_for_one).t;
    case COP_ONE_FOR_ALL:
        return cop_a(one_for_all).t;
    case COP_REST_FOR_ONE:
        return cop_a(rest_for_one).t;
    }
    return cop_of(ctx, (int)s); /* refused by its number */
}

static cop_term auto_shutdown_term(cop_ctx *ctx, cop_auto_shutdown a) {
    switch (a) {
    case COP_AUTO_SHUTDOWN_NEVER:
        return cop_a(never).t;
    case COP_AUTO_SHUTDOWN_ANY_SIGNIFICANT:
        return cop_a(any_significant).t;
    case COP_AUTO_SHUTDOWN_ALL_SIGNIFICANT:
        return cop_a(all_significant).t;
    }
    return cop_of(ctx, (int)a);
}

static cop_term made(cop_ctx *ctx, cop_term flags, cop_term specs) {
    return cop_tuple(ctx, cop_a(ok), cop_tuple(ctx, flags, specs));
}

cop_term cop_supervisor_init(cop_ctx *ctx, const cop_child_spec *children, size_t count,
                             const cop_supervisor_opts *opts) {
    static const cop_supervisor_opts defaults;
    const cop_supervisor_opts *o = opts != NULL ? opts : &defaults;
    cop_term flags =
        cop_map(ctx, cop_a(strategy), strategy_term(ctx, o->strategy), cop_a(intensity),
                o->max_restarts == 0          ? 3
                : o->max_restarts == COP_ZERO ? 0
                                              : o->max_restarts,
                cop_a(period), o->max_seconds == 0 ? 5 : o->max_seconds, cop_a(auto_shutdown),
                auto_shutdown_term(ctx, o->auto_shutdown));
    if (o->timeline != 0)
        flags = cop_map_put(ctx, flags, cop_a(timeline).t, cop_of(ctx, o->timeline));
    cop_term specs = COP_NIL;
    for (size_t i = count; i > 0; i--)
        specs = cop_cons(ctx, cop_child_spec_to_term(ctx, &children[i - 1]), specs);
    return made(ctx, flags, specs);
}

static cop_term resolved(cop_ctx *ctx, cop_term children) {
    cop_term list = COP_NIL, child;
    while (cop_get_cons(children, &child, &children))
        list = cop_cons(ctx, sup_resolve(ctx, child), list);
    return cop_list_reverse(ctx, list);
}

cop_term cop_supervisor_init_terms(cop_ctx *ctx, cop_term children, cop_term options) {
    cop_term strategy = sup_option(options, cop_a(strategy), COP_NONE);
    if (cop_is_none(strategy))
        cop_raise(ctx, "ArgumentError", "expected :strategy option to be given");
    cop_term flags =
        cop_map(ctx, cop_a(strategy), strategy, cop_a(intensity),
                sup_option(options, cop_a(max_restarts), COP_INT(3)), cop_a(period),
                sup_option(options, cop_a(max_seconds), COP_INT(5)), cop_a(auto_shutdown),
                sup_option(options, cop_a(auto_shutdown), cop_a(never).t));
    cop_term timeline = sup_option(options, cop_a(timeline), COP_NONE);
    if (!cop_is_none(timeline))
        flags = cop_map_put(ctx, flags, cop_a(timeline).t, timeline);
    return made(ctx, flags, resolved(ctx, children));
}

cop_started cop_supervisor_start_link(cop_ctx *ctx, const cop_child_spec *children, size_t count,
                                      const cop_supervisor_opts *opts) {
    return cop_supervisor_start_link_module(ctx, &sup_default_module,
                                            cop_supervisor_init(ctx, children, count, opts), opts);
}

cop_started cop_supervisor_start_link_terms(cop_ctx *ctx, cop_term children, cop_term options) {
    cop_term init = cop_supervisor_init_terms(ctx, children, options);
    cop_start_opts start = { 0 };
    sup_name_option(ctx, options, &start);
    cop_supervisor_opts opts = { .name = start.name, .via = start.via };
    return cop_supervisor_start_link_module(ctx, &sup_default_module, init, &opts);
}

/* ---- asking ---------------------------------------------------------------------------------------------- */

cop_term cop__supervisor_ask(cop_ctx *ctx, cop_term supervisor, cop_term request) {
    return cop_gen_server_call(ctx, supervisor, request, COP_INFINITY);
}

cop_term cop__supervisor_start_child(cop_ctx *ctx, cop_term supervisor,
                                     const cop_child_spec *spec) {
    return cop__supervisor_ask(
        ctx, supervisor, cop_tuple(ctx, cop_a(start_child), cop_child_spec_to_term(ctx, spec)));
}

cop_term cop__supervisor_start_child_term(cop_ctx *ctx, cop_term supervisor, cop_term spec) {
    return cop__supervisor_ask(ctx, supervisor,
                               cop_tuple(ctx, cop_a(start_child), sup_resolve(ctx, spec)));
}

cop_term cop__supervisor_count_children(cop_ctx *ctx, cop_term supervisor) {
    cop_term list = cop__supervisor_ask(ctx, supervisor, cop_a(count_children).t);
    cop_term map = cop_map(ctx), pair;
    while (cop_get_cons(list, &pair, &list))
        map = cop_map_put(ctx, map, cop_elem(pair, 0), cop_elem(pair, 1));
    return map;
}

cop_term cop__supervisor_child(cop_ctx *ctx, cop_term supervisor, cop_term id) {
    cop_term found = cop_supervisor_which_child(ctx, supervisor, id), child;
    if (!cop_match_tuple(found, cop_a(ok), &child) || !cop_is_pid(cop_elem(child, 1)))
        return COP_NONE;
    return cop_elem(child, 1);
}

cop_term cop_supervisor_check_childspecs(cop_ctx *ctx, cop_term children,
                                         cop_auto_shutdown auto_shutdown) {
    cop_term seen = cop_map(ctx), one;
    struct sup_raw raw;
    struct sup_spec spec;
    while (cop_get_cons(children, &one, &children)) {
        cop_term bad = cop_tuple(ctx, cop_a(invalid_child_spec), one);
        if (sup_raw_from(one, &raw))
            bad = sup_check(ctx, &raw, auto_shutdown_term(ctx, auto_shutdown), &spec);
        if (cop_is_none(bad) && cop_map_get(seen, spec.id, &one))
            bad = cop_tuple(ctx, cop_a(duplicate_child_name), spec.id);
        if (!cop_is_none(bad))
            return cop_tuple(ctx, cop_a(error), bad);
        seen = cop_map_put(ctx, seen, spec.id, cop_a(true).t);
    }
    return cop_a(ok).t;
}
