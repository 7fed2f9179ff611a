/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_server: how it starts. A name that is taken is found before anything is spawned; else the new
 * process takes the name, makes its state block, runs init, and acknowledges. Whatever fails there
 * frees the name before the starter hears of it.
 */
#include <stdlib.h>
#include <string.h>

#include "gen_server.h"
#include "sup.h"
#include "sys.h"
#include "via.h"

/* An atom, {:global, term}, {:via, module, name}, or nil for none. */
static cop_term start_name(cop_ctx *ctx, const cop_start_opts *opts) {
    if (opts != NULL && !cop_is_none(opts->via)) {
        if (!via_is(opts->via, NULL))
            sup_bad_name(ctx, opts->via);
        return opts->via;
    }
    return opts != NULL && !cop_is_none(opts->name.t) ? opts->name.t : cop_a(nil).t;
}

static cop_term name_whereis(cop_ctx *ctx, cop_term name) {
    return via_is(name, NULL) ? via_whereis(ctx, name)
                              : cop_process_whereis(ctx, (cop_atom){ name });
}

static bool name_register(cop_ctx *ctx, cop_term name) {
    return via_is(name, NULL) ? via_register(ctx, name)
                              : cop_process_try_register(ctx, cop_self(ctx), (cop_atom){ name });
}

static void name_unregister(cop_ctx *ctx, cop_term name) {
    if (via_is(name, NULL))
        via_unregister(ctx, name);
    else if (!cop_match(name, cop_a(nil)))
        cop_process_unregister(ctx, (cop_atom){ name });
}

/* -1: never. */
static int64_t hibernate_after(const cop_start_opts *opts) {
    int64_t ms = opts != NULL ? opts->hibernate_after_ms : 0;
    return ms == COP_ZERO ? 0 : ms <= 0 || ms == COP_INFINITY ? -1 : ms;
}

static cop_term debug_of(const cop_start_opts *opts) {
    return opts != NULL && !cop_is_none(opts->debug) ? opts->debug : COP_NIL;
}

static cop_term pack(cop_ctx *ctx, const cop_gen_server *module, cop_term arg,
                     const cop_start_opts *opts, bool linked) {
    return cop_tuple(ctx, (uint64_t)(uintptr_t)module, cop_bool(linked), start_name(ctx, opts),
                     hibernate_after(opts), debug_of(opts),
                     cop_is_none(arg) ? cop_a(undefined).t : arg);
}

static void take_name(cop_ctx *ctx, cop_term name) {
    if (cop_match(name, cop_a(nil)) || name_register(ctx, name))
        return;
    cop_term winner = name_whereis(ctx, name);
    if (cop_is_none(winner))
        cop_proc_lib_init_fail(ctx, cop_started_error(cop_a(badarg).t), cop_a(normal).t);
    cop_proc_lib_init_fail(ctx, cop_started_error(cop_tuple(ctx, cop_a(already_started), winner)),
                           cop_a(normal).t);
}

/* The name is free before the starter hears of the failure. */
static _Noreturn void fail(cop_ctx *ctx, cop_term name, cop_started started, cop_term reason) {
    name_unregister(ctx, name);
    cop_proc_lib_init_fail(ctx, started, reason);
}

/* What init throws is what it returns, in Elixir's form. */
static bool init_from_term(cop_ctx *ctx, struct server *s, cop_term t, cop_init *init) {
    cop_term state, then, reason;
    int64_t ms;
    *init = cop_init_ok();
    if (cop_match(t, cop_a(ignore))) {
        *init = cop_init_ignore();
        return true;
    }
    if (cop_match_tuple(t, cop_a(stop), &reason)) {
        *init = cop_init_stop(reason);
        return true;
    }
    if (cop_match_tuple(t, cop_a(error), &reason)) {
        *init = cop_init_error(reason);
        return true;
    }
    if (cop_match_tuple(t, cop_a(ok), &state, &then)) {
        if (cop_match(then, cop_a(hibernate)))
            *init = cop_then_hibernate(*init);
        else if (cop_get_i64(then, &ms) && ms >= 0)
            *init = cop_then_timeout(*init, ms == 0 ? COP_ZERO : ms);
        else if (cop_match_tuple(then, cop_a(continue), &reason))
            *init = cop_then_continue(*init, reason);
        else if (!cop_match(then, cop_a(infinity)))
            return false;
    } else if (!cop_match_tuple(t, cop_a(ok), &state)) {
        return false;
    }
    return gen_server_set_state(ctx, s, state);
}

static _Noreturn void init_raised(cop_ctx *ctx, cop_term name, cop_caught why) {
    if (why.class == COP_CLASS_THROW) {
        why.class = COP_CLASS_EXIT;
        why.reason = cop_tuple(ctx, cop_a(bad_return_value), why.reason);
    }
    name_unregister(ctx, name);
    cop_term reason = cop_caught_reason(ctx, &why);
    cop_proc_lib_init_fail_to(ctx, cop_process_parent(ctx), cop_tuple(ctx, cop_a(error), reason),
                              &why);
}

static cop_init run_init(cop_ctx *ctx, struct server *s, cop_term name, cop_term arg) {
    cop_init init = cop_init_ok();
    COP_TRY(ctx) { init = s->module->init(ctx, user_state(s), arg); }
    COP_CATCH(caught) {
        if (caught->class != COP_CLASS_THROW || !init_from_term(ctx, s, caught->reason, &init))
            init_raised(ctx, name, *caught);
    }
    return init;
}

/* What is no list is passed over with a note. */
static cop_term debug_options(cop_ctx *ctx, cop_term name, cop_term list) {
    if (cop_is_list(list))
        return cop_sys_debug_options(ctx, list);
    cop_log(ctx, COP_LEVEL_ERROR,
            cop_tuple(ctx, cop_a(format),
                      cop_charlist(ctx, "~tp: ignoring erroneous debug options - ~tp~n"),
                      cop_list(ctx, name, list)),
            cop_map(ctx, cop_a(error_logger), cop_map(ctx, cop_a(tag), cop_a(error))));
    return COP_NIL;
}

static struct server *new_server(cop_ctx *ctx, const cop_gen_server *module, cop_term parent,
                                 cop_term name) {
    struct server *s = cop_process_state(ctx, sizeof *s + module->state_size);
    s->module = module;
    s->sys.parent = parent;
    s->sys.name = cop_match(name, cop_a(nil)) ? cop_self(ctx).t : name;
    via_is(name, &s->sys.name);
    s->timeout_ms = -1;
    cop_process_keep(ctx, 0, &s->sys.parent, SERVER_TERMS + module->state_terms);
    return s;
}

static void enter(cop_ctx *ctx, cop_term packed) {
    uint64_t module_address;
    bool linked;
    int64_t hibernate_after_ms;
    cop_term name, arg, debug;
    if (!cop_match_tuple(packed, &module_address, &linked, &name, &hibernate_after_ms, &debug,
                         &arg))
        cop_error(ctx, cop_a(badarg));
    const cop_gen_server *module = (const cop_gen_server *)(uintptr_t)module_address;
    take_name(ctx, name);
    cop_term parent = linked ? cop_process_parent(ctx).t : cop_self(ctx).t;
    struct server *s = new_server(ctx, module, parent, name);
    s->hibernate_after_ms = hibernate_after_ms;
    s->sys.debug = debug_options(ctx, s->sys.name, debug);
    cop_init init = run_init(ctx, s, name, arg);
    switch (init.is) {
    case COP__INIT_OK:
        break;
    case COP__INIT_IGNORE:
        fail(ctx, name, (cop_started){ .is = COP_IGNORE }, cop_a(normal).t);
    case COP__INIT_STOP:
        fail(ctx, name, cop_started_error(init.reason), init.reason);
    case COP__INIT_ERROR:
        fail(ctx, name, cop_started_error(init.reason), cop_a(normal).t);
    }
    if (init.then == COP__THEN_TIMEOUT && init.timeout_ms < 0) {
        cop_term whole = cop_tuple(ctx, cop_a(ok), gen_server_state(ctx, s), init.timeout_ms);
        cop_term bad = cop_tuple(ctx, cop_a(bad_return_value), whole);
        fail(ctx, name, cop_started_error(bad), bad);
    }
    cop_proc_lib_init_ack(ctx, cop_started_ok(cop_self(ctx)));
    gen_server_proceed(ctx, s,
                       &(cop_next){ .then = init.then,
                                    .timeout_ms = init.timeout_ms,
                                    .continue_with = init.continue_with });
    cop_become(ctx, &gen_server_callbacks, s);
}

/* A name that is taken is found before anything is spawned. */
static bool is_taken(cop_ctx *ctx, const cop_start_opts *opts, cop_started *result) {
    cop_term name = start_name(ctx, opts);
    if (cop_match(name, cop_a(nil)))
        return false;
    cop_term there = name_whereis(ctx, name);
    if (cop_is_none(there))
        return false;
    *result = cop_started_error(cop_tuple(ctx, cop_a(already_started), there));
    return true;
}

static cop_start_opts named(const cop_gen_server *module, const cop_start_opts *opts) {
    cop_start_opts o = { 0 };
    if (opts != NULL)
        o = *opts;
    if (o.initial_call == NULL)
        o.initial_call = module->name;
    return o;
}

cop_started cop_gen_server_start_link(cop_ctx *ctx, const cop_gen_server *module, cop_term arg,
                                      const cop_start_opts *opts) {
    cop_started result;
    cop_start_opts o = named(module, opts);
    return is_taken(ctx, opts, &result)
               ? result
               : cop_proc_lib_start_link(ctx, enter, pack(ctx, module, arg, opts, true), &o);
}

cop_started cop_gen_server_start(cop_ctx *ctx, const cop_gen_server *module, cop_term arg,
                                 const cop_start_opts *opts) {
    cop_started result;
    cop_start_opts o = named(module, opts);
    return is_taken(ctx, opts, &result)
               ? result
               : cop_proc_lib_start(ctx, enter, pack(ctx, module, arg, opts, false), &o);
}

cop_started cop_gen_server_start_monitor(cop_ctx *ctx, const cop_gen_server *module, cop_term arg,
                                         const cop_start_opts *opts) {
    cop_started result;
    cop_start_opts o = named(module, opts);
    if (is_taken(ctx, opts, &result))
        return result;
    result = cop_proc_lib_start_monitor(ctx, enter, pack(ctx, module, arg, opts, false), &o);
    if (result.is != COP_STARTED && !cop_is_none(result.ref.t)) {
        cop_term down; /* proc_lib leaves it, or sends it again */
        cop_process_demonitor(ctx, result.ref, COP_DEMONITOR_FLUSH);
        cop_receive_ref(ctx, 0, result.ref, &down);
    }
    return result;
}

_Noreturn void cop_gen_server_enter_loop(cop_ctx *ctx, const cop_gen_server *module,
                                         const void *state, const cop_start_opts *opts,
                                         cop_init first) {
    cop_pid parent = cop_proc_lib_parent(ctx);
    cop_term name = start_name(ctx, opts);
    if (cop_is_none(parent.t))
        cop_exit(ctx, cop_a(process_was_not_started_by_proc_lib));
    if (!cop_match(name, cop_a(nil)) && !cop_match(name_whereis(ctx, name), cop_self(ctx)))
        cop_exit(ctx, cop_a(process_not_registered));
    struct server *s = new_server(ctx, module, parent.t, name);
    if (module->state_size != 0 && state != NULL)
        memcpy(user_state(s), state, module->state_size);
    s->hibernate_after_ms = hibernate_after(opts);
    s->sys.debug = debug_options(ctx, s->sys.name, debug_of(opts));
    gen_server_proceed(ctx, s,
                       &(cop_next){ .then = first.then,
                                    .timeout_ms = first.timeout_ms,
                                    .continue_with = first.continue_with });
    cop_become(ctx, &gen_server_callbacks, s);
}
