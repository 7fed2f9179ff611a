/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata: that of a process, which stands in its dictionary as $logger_metadata$, and what Elixir's
 * translator adds to that of a crash, so that filters and handlers find the reason without knowing every
 * report: crash_reason, {reason, stacktrace}; registered_name; initial_call, ancestors and callers.
 *
 * In Elixir the reason is an exception's struct where Erlang's error has one; here it is what was raised.
 *
 * Threads: the processes' own.
 */
#include <coppice/gen_server.h>

#include "log.h"
#include "log_text.h"

static cop_term key_of_metadata(void) { return cop_as("$logger_metadata$").t; }

static cop_term as_map(cop_ctx *ctx, cop_term metadata) {
    cop_term map = cop_map(ctx), pair;
    if (cop_is_map(metadata))
        return metadata;
    for (; cop_get_cons(metadata, &pair, &metadata);
         map = cop_map_put(ctx, map, cop_elem(pair, 0), cop_elem(pair, 1)))
        if (cop_tuple_size(pair) != 2)
            cop_error(ctx, cop_a(badarg));
    if (!cop_is_nil(metadata))
        cop_error(ctx, cop_a(badarg));
    return map;
}

cop_term cop_logger_get_metadata(cop_ctx *ctx) {
    cop_term own = cop_process_get(ctx, key_of_metadata());
    return cop_is_map(own) ? own : cop_map(ctx);
}

static void add(cop_ctx *ctx, cop_term own, cop_term metadata) {
    cop_term key, value, given = as_map(ctx, metadata);
    for (cop_map_iter it = cop_map_first(given); cop_map_next(&it, &key, &value);)
        own = cop_match(value, cop_a(nil)) ? cop_map_remove(ctx, own, key)
                                           : cop_map_put(ctx, own, key, value);
    cop_process_put(ctx, key_of_metadata(), own);
}

void cop_logger_metadata(cop_ctx *ctx, cop_term metadata) {
    add(ctx, cop_logger_get_metadata(ctx), metadata);
}

void cop_logger_reset_metadata(cop_ctx *ctx, cop_term metadata) {
    add(ctx, cop_map(ctx), cop_is_none(metadata) ? COP_NIL : metadata);
}

/* ---- of a place ------------------------------------------------------------------------------------------------ */

cop_term log_site_metadata(cop_ctx *ctx, const cop_log_site *site, cop_term metadata) {
    cop_atom function;
    if (!cop_atom_try(site->function, __builtin_strlen(site->function), &function))
        function = cop_a(undefined);
    cop_term map = cop_map(ctx, cop_a(file), site->file, cop_a(line), site->line, cop_a(function),
                           site->function, cop_a(mfa), cop_tuple(ctx, cop_a(c), function, 0));
    return cop_is_none(metadata) ? map : cop_map_merge(ctx, map, as_map(ctx, metadata));
}

/* ---- of crashes ------------------------------------------------------------------------------------------------ */

static cop_term keyword(cop_term list, cop_term key) {
    cop_term pair;
    while (cop_get_cons(list, &pair, &list))
        if (cop_tuple_size(pair) == 2 && cop_same(cop_elem(pair, 0), key))
            return cop_elem(pair, 1);
    return COP_NONE;
}

static cop_term put(cop_ctx *ctx, cop_term meta, cop_atom key, cop_term value) {
    return cop_is_none(value) ? meta : cop_map_put(ctx, meta, key.t, value);
}

static cop_term put_name(cop_ctx *ctx, cop_term meta, cop_term name) {
    return put(ctx, meta, cop_a(registered_name), cop_is_atom(name) ? name : COP_NONE);
}

/* {reason, stacktrace} as it is; of anything else {it, []}. */
static cop_term reason_of(cop_ctx *ctx, cop_term reason) {
    cop_term error, trace;
    if (cop_match_tuple(reason, &error, &trace) && cop_is_cons(trace) && log_is_trace(trace))
        return reason;
    return cop_tuple(ctx, reason, COP_NIL);
}

static cop_term of_value(cop_term map, cop_atom key) {
    cop_term value;
    return cop_map_get(map, key.t, &value) ? value : COP_NONE;
}

static cop_term of_named(cop_ctx *ctx, cop_term meta, cop_term report) {
    meta = put(ctx, meta, cop_a(crash_reason), reason_of(ctx, of_value(report, cop_a(reason))));
    return put_name(ctx, meta, of_value(report, cop_a(name)));
}

/* {module, function, list of arguments} with the arity; a supervisor's is its module's init. */
static cop_term initial_call(cop_ctx *ctx, cop_term call) {
    cop_atom module, function;
    cop_term args;
    if (!cop_match_tuple(call, &module, &function, &args))
        return COP_NONE;
    if (cop_match(module.t, cop_a(supervisor)))
        return cop_tuple(ctx, function, cop_a(init), 1);
    int64_t arity = cop_list_length(args);
    return arity < 0 ? call : cop_tuple(ctx, module, function, arity);
}

static cop_term of_crash(cop_ctx *ctx, cop_term meta, cop_term own) {
    cop_term class, reason, trace;
    cop_term dictionary = keyword(own, cop_a(dictionary).t);
    cop_term user = keyword(dictionary, key_of_metadata());
    if (cop_is_map(user))
        meta = cop_map_merge(ctx, user, meta);
    if (cop_match_tuple(keyword(own, cop_a(error_info).t), &class, &reason, &trace)) {
        if (cop_match(class, cop_a(throw)))
            reason = cop_tuple(ctx, cop_a(nocatch), reason);
        meta = put(ctx, meta, cop_a(crash_reason), cop_tuple(ctx, reason, trace));
    }
    meta = put_name(ctx, meta, keyword(own, cop_a(registered_name).t));
    meta =
        put(ctx, meta, cop_a(initial_call), initial_call(ctx, keyword(own, cop_a(initial_call).t)));
    meta = put(ctx, meta, cop_a(ancestors), keyword(own, cop_a(ancestors).t));
    return put(ctx, meta, cop_a(callers), keyword(dictionary, cop_as("$callers").t));
}

/* The emulator's: args are [pid, {reason, stacktrace}]. */
static cop_term of_error(cop_ctx *ctx, cop_term meta, cop_term args) {
    cop_term pid, rest, reason, tag;
    if (!cop_match_key(of_value(meta, cop_a(error_logger)), cop_a(emulator), &tag)
        || !cop_match_cons(args, &pid, &rest) || !cop_match_cons(rest, &reason, &rest)
        || cop_tuple_size(reason) != 2)
        return meta;
    return put(ctx, meta, cop_a(crash_reason), reason_of(ctx, reason));
}

cop_term log_translated(cop_ctx *ctx, cop_term event, cop_term meta) {
    cop_term report, format, args, own, rest;
    if (cop_match_tuple(event, cop_a(format), &format, &args))
        return of_error(ctx, meta, args);
    if (!cop_match_tuple(event, cop_a(report), &report) || !cop_is_map(report))
        return meta;
    cop_term label = of_value(report, cop_a(label)), inner = of_value(report, cop_a(report));
    if (cop_match_tuple(label, cop_a(gen_server), cop_a(terminate)))
        return of_named(ctx, meta, report);
    if (cop_match_tuple(label, cop_as("Elixir.Task.Supervisor"), cop_a(terminating)))
        return of_named(ctx, meta, inner);
    if (cop_match_tuple(label, cop_a(proc_lib), cop_a(crash)) && cop_match_cons(inner, &own, &rest))
        return of_crash(ctx, meta, own);
    return meta;
}
