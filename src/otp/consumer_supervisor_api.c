/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConsumerSupervisor: the side of those who start and ask one. A template in C becomes the map that Elixir
 * has for it, and only this travels to the new process.
 */
#include <coppice/consumer_supervisor.h>

#include "sup.h"

/* ---- init ------------------------------------------------------------------------------------------------- */

static cop_term default_init(cop_ctx *ctx, cop_term arg) { return arg; }
static const cop_supervisor default_module = { "ConsumerSupervisor.Default", default_init };

static cop_term count_term(cop_ctx *ctx, int64_t n, int64_t otherwise) {
    return cop_of(ctx, n == 0 ? otherwise : n == COP_ZERO ? 0 : n);
}

/* As a map; a C function without an argument has none to be shown. */
static cop_term template_of(cop_ctx *ctx, const cop_child_spec *child) {
    cop_term map = cop_child_spec_to_term(ctx, child), start;
    if (child->start == NULL || !cop_is_none(child->arg)
        || !cop_map_get(map, cop_a(start).t, &start))
        return map;
    return cop_map_put(ctx, map, cop_a(start).t,
                       cop_tuple(ctx, cop_elem(start, 0), cop_elem(start, 1), COP_NIL));
}

cop_term cop_consumer_supervisor_init(cop_ctx *ctx, const cop_child_spec *child,
                                      const cop_consumer_supervisor_opts *opts) {
    static const cop_consumer_supervisor_opts defaults;
    const cop_consumer_supervisor_opts *o = opts != NULL ? opts : &defaults;
    cop_term options =
        cop_list(ctx, cop_tuple(ctx, cop_a(strategy), cop_a(one_for_one)),
                 cop_tuple(ctx, cop_a(max_restarts), count_term(ctx, o->max_restarts, 3)),
                 cop_tuple(ctx, cop_a(max_seconds), count_term(ctx, o->max_seconds, 5)),
                 cop_tuple(ctx, cop_a(subscribe_to),
                           cop_is_none(o->subscribe_to) ? COP_NIL : o->subscribe_to));
    return cop_tuple(ctx, cop_a(ok), cop_list(ctx, template_of(ctx, child)), options);
}

cop_term cop_consumer_supervisor_init_terms(cop_ctx *ctx, cop_term children, cop_term options) {
    if (cop_is_none(sup_option(options, cop_a(strategy), COP_NONE)))
        cop_raise(ctx, "ArgumentError", "expected :strategy option to be given");
    if (cop_list_length(children) != 1)
        cop_raise(ctx, "FunctionClauseError",
                  "no function clause matching in ConsumerSupervisor.init/2");
    return cop_tuple(ctx, cop_a(ok), cop_list(ctx, sup_resolve(ctx, cop_head(children))), options);
}

/* ---- starting --------------------------------------------------------------------------------------------- */

cop_started cop_consumer_supervisor_start_link(cop_ctx *ctx, const cop_child_spec *child,
                                               const cop_consumer_supervisor_opts *opts) {
    cop_start_opts start = { 0 };
    if (opts != NULL && opts->start != NULL)
        start = *opts->start;
    if (opts != NULL && !cop_is_none(opts->name.t))
        start.name = opts->name;
    return cop_consumer_supervisor_start_link_module(
        ctx, &default_module, cop_consumer_supervisor_init(ctx, child, opts), &start);
}

/* Options of the start are not the supervisor's. */
static cop_term without_start_options(cop_ctx *ctx, cop_term options) {
    static const char *const keys[] = { "name", "timeout", "debug", "spawn_opt",
                                        "hibernate_after" };
    cop_term kept = COP_NIL, pair;
    while (cop_get_cons(options, &pair, &options)) {
        bool is_start = false;
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            is_start = is_start
                       || (cop_tuple_size(pair) == 2
                           && cop_match(cop_elem(pair, 0), cop_atom_new(keys[i])));
        if (!is_start)
            kept = cop_list_tail(ctx, pair, kept);
    }
    return cop_list_reverse(ctx, kept);
}

cop_started cop_consumer_supervisor_start_link_terms(cop_ctx *ctx, cop_term children,
                                                     cop_term options) {
    cop_start_opts start = { 0 };
    cop_term init =
        cop_consumer_supervisor_init_terms(ctx, children, without_start_options(ctx, options));
    sup_name_option(ctx, options, &start);
    return cop_consumer_supervisor_start_link_module(ctx, &default_module, init, &start);
}

/* ---- asking ----------------------------------------------------------------------------------------------- */

static _Noreturn void no_clause(cop_ctx *ctx, const char *function) {
    cop_raise(ctx, "FunctionClauseError", "no function clause matching in ConsumerSupervisor.%s/2",
              function);
}

cop_term cop__consumer_supervisor_start_child(cop_ctx *ctx, cop_term supervisor, cop_term extra) {
    if (!cop_is_proper_list(extra))
        no_clause(ctx, "start_child");
    return cop__supervisor_ask(ctx, supervisor, cop_tuple(ctx, cop_a(start_child), extra));
}

cop_term cop__consumer_supervisor_terminate_child(cop_ctx *ctx, cop_term supervisor, cop_term pid) {
    if (!cop_is_pid(pid))
        no_clause(ctx, "terminate_child");
    return cop__supervisor_ask(ctx, supervisor, cop_tuple(ctx, cop_a(terminate_child), pid));
}

cop_term cop__consumer_supervisor_count_children(cop_ctx *ctx, cop_term supervisor) {
    return cop__supervisor_ask(ctx, supervisor, cop_a(count_children).t);
}
