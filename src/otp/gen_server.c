/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_server: the server's side.
 *
 * A server is a callback process. Its state block begins with the struct below and goes on with the
 * user's state; the words of both that are terms are kept alive by the run-time (ranges 0 and 1):
 *
 *     | struct server: terms, then plain fields | user's state: .state_terms terms, then plain |
 *
 * Start: proc_lib runs `enter` in the new process: name, init, acknowledge, then cop_become. From then
 * on on_message is called with each message, which is told apart as Erlang does it: system, the
 * parent's exit, call, cast, anything else.
 *
 * When a user callback raises, the run-time calls on_raised, so that terminate runs. What they return is
 * carried out by `proceed`. After a fault terminate does not run: the state may be torn.
 */
#include <coppice/gen_server.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"
#include "via.h"

struct server {
    /* terms */
    cop_term parent;
    cop_term name;         /* the registered name, or the pid */
    cop_term last_message; /* for reports, while a callback runs */
    cop_term client;       /* {pid, tag} of the call that is served, or COP_NONE */
    cop_term continue_with;
    /* plain */
    const cop_gen_server *module;
    int64_t timeout_ms; /* of the last return; -1: none */
    int64_t hibernate_after_ms;
    bool hibernate, idle_is_hibernate, suspended;
    bool ends; /* terminate has had its turn: the exit that follows is the end */
};
enum { SERVER_TERMS = 5 };

static void *user_state(struct server *s) { return s + 1; }

static void on_message(cop_ctx *ctx, void *state, cop_term message);
static void on_timeout(cop_ctx *ctx, void *state);
static void on_raised(cop_ctx *ctx, void *state, const cop_caught *caught);
static const cop_callbacks callbacks = { "gen_server:loop/7", on_message, on_timeout, on_raised };

/* ---- makers -------------------------------------------------------------------------------------- */

cop_next cop__next_timeout(cop_next next, int64_t ms) {
    next.then = COP__THEN_TIMEOUT;
    next.timeout_ms = ms == COP_ZERO ? 0 : ms;
    return next;
}
cop_init cop__init_timeout(cop_init init, int64_t ms) {
    init.then = COP__THEN_TIMEOUT;
    init.timeout_ms = ms == COP_ZERO ? 0 : ms;
    return init;
}
cop_next cop__next_hibernate(cop_next next) {
    next.then = COP__THEN_HIBERNATE;
    return next;
}
cop_init cop__init_hibernate(cop_init init) {
    init.then = COP__THEN_HIBERNATE;
    return init;
}
cop_next cop__next_continue(cop_next next, cop_term with) {
    next.then = COP__THEN_CONTINUE;
    next.continue_with = with;
    return next;
}
cop_init cop__init_continue(cop_init init, cop_term with) {
    init.then = COP__THEN_CONTINUE;
    init.continue_with = with;
    return init;
}

static _Noreturn void no_clause(cop_ctx *ctx, const char *verb, const char *clause) {
    cop_term name = cop_process_info(ctx, cop_self(ctx), cop_a(registered_name));
    char text[300];
    cop_inspect_to(text, sizeof text, cop_is_atom(name) ? name : cop_self(ctx).t, NULL);
    cop_raise(ctx, "RuntimeError", "attempted to %s GenServer %s but no %s clause was provided",
              verb, text, clause);
}

_Noreturn cop_next cop_bad_call(cop_ctx *ctx, cop_term request) {
    no_clause(ctx, "call", "handle_call/3");
}
_Noreturn cop_next cop_bad_cast(cop_ctx *ctx, cop_term request) {
    no_clause(ctx, "cast", "handle_cast/2");
}

/* ---- reports ----------------------------------------------------------------------------------------- */

static cop_term state_term(cop_ctx *ctx, struct server *s) {
    const cop_gen_server *module = s->module;
    if (module->state_to_term != NULL)
        return module->state_to_term(ctx, user_state(s));
    cop_term terms[16];
    size_t n = module->state_terms < 16 ? module->state_terms : 16;
    memcpy(terms, user_state(s), n * sizeof *terms);
    for (size_t i = 0; i < n; i++)
        if (cop_is_none(terms[i]))
            terms[i] = cop_a(nil).t;
    return cop_tuple_n(ctx, n, terms);
}

/* The state for a report: what the user's function raises must not hide the reason. */
static cop_term state_for_report(cop_ctx *ctx, struct server *s, bool is_fault) {
    cop_term shown = cop_a(undefined).t;
    if (is_fault)
        return cop_a(torn).t;
    volatile cop_term result = shown;
    COP_TRY(ctx) { result.w = state_term(ctx, s).w; }
    COP_CATCH(caught) { result.w = cop_a(undefined).t.w; }
    shown.w = result.w;
    return shown;
}

static cop_term client_info(cop_ctx *ctx, cop_term client) {
    cop_pid pid;
    cop_term tag;
    if (cop_is_none(client) || !cop_match_tuple(client, &pid, &tag))
        return cop_a(undefined).t;
    if (!cop_process_is_alive(ctx, pid))
        return cop_tuple(ctx, pid, cop_a(dead));
    return cop_tuple(ctx, pid, cop_tuple(ctx, pid, COP_NIL));
}

static void report(cop_ctx *ctx, struct server *s, cop_term reason, bool is_fault) {
    cop_term event = cop_map(ctx, cop_a(label), cop_tuple(ctx, cop_a(gen_server), cop_a(terminate)),
                             cop_a(name), s->name, cop_a(last_message),
                             cop_is_none(s->last_message) ? COP_NIL : s->last_message, cop_a(state),
                             state_for_report(ctx, s, is_fault), cop_a(log), COP_NIL, cop_a(reason),
                             reason, cop_a(client_info), client_info(ctx, s->client));
    cop_log(ctx, COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(report), event),
            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp)), cop_a(error_logger),
                    cop_map(ctx, cop_a(tag), cop_a(error))));
}

/* ---- the end ------------------------------------------------------------------------------------------- */

/* Runs terminate; if that raises, *caught becomes what it raised. True if it did. */
static bool run_terminate(cop_ctx *ctx, struct server *s, cop_term reason, cop_caught *raised) {
    if (s->module->terminate == NULL)
        return false;
    volatile bool failed = false;
    COP_TRY(ctx) { s->module->terminate(ctx, user_state(s), reason); }
    COP_CATCH(caught) {
        if (caught->class != COP_CLASS_THROW) { /* what is thrown is ignored */
            *raised = *caught;
            failed = true;
        }
    }
    return failed;
}

/* Ends the server with what was raised, or with an exit of that reason. */
static _Noreturn void finish(cop_ctx *ctx, struct server *s, cop_caught why, cop_term reply,
                             bool stopped_by_return) {
    cop_caught raised;
    s->ends = true;
    cop_term reason = cop_caught_reason(ctx, &why);
    if (!why.is_fault && run_terminate(ctx, s, reason, &raised)) {
        why = raised;
        stopped_by_return = false;
        reason = cop_caught_reason(ctx, &why);
    }
    if (!cop_is_none(reply) && !cop_is_none(s->client))
        cop__gen_server_reply(ctx, s->client, reply);
    if (!cop_reason_is_normal(reason)) {
        cop_term shown = stopped_by_return ? reason : cop_tuple(ctx, why.reason, why.stacktrace);
        report(ctx, s, shown, why.is_fault);
        cop_proc_lib_crash_report(ctx, &why);
    }
    cop__exit(ctx, reason);
}

static _Noreturn void stop(cop_ctx *ctx, struct server *s, cop_term reason, cop_term reply) {
    finish(ctx, s, (cop_caught){ .class = COP_CLASS_EXIT, .reason = reason, .stacktrace = COP_NIL },
           reply, true);
}

static _Noreturn void crash(cop_ctx *ctx, struct server *s, const cop_caught *caught) {
    cop_caught why = *caught;
    if (why.class == COP_CLASS_THROW) { /* in C no return value can be thrown */
        why.class = COP_CLASS_EXIT;
        why.reason = cop_tuple(ctx, cop_a(bad_return_value), why.reason);
        finish(ctx, s, why, COP_NONE, true);
    }
    finish(ctx, s, why, COP_NONE, false);
}

/* ---- the loop -------------------------------------------------------------------------------------------- */

enum step { STEP_CALL, STEP_CAST, STEP_INFO, STEP_CONTINUE };

static cop_next default_info(cop_ctx *ctx, struct server *s, cop_term message) {
    cop_term event =
        cop_map(ctx, cop_a(label),
                cop_tuple(ctx, cop_as("Elixir.GenServer"), cop_a(no_handle_info)), cop_a(report),
                cop_map(ctx, cop_a(module), sys_module_atom(s->module->name), cop_a(message),
                        message, cop_a(name), s->name));
    cop_log(ctx, COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(report), event),
            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp), cop_a(elixir)),
                    cop_a(error_logger), cop_map(ctx, cop_a(tag), cop_a(error_msg))));
    return cop_noreply();
}

static cop_next dispatch(cop_ctx *ctx, struct server *s, enum step step, cop_term what,
                         cop_from from) {
    const cop_gen_server *m = s->module;
    switch (step) {
    case STEP_CALL:
        return m->handle_call != NULL ? m->handle_call(ctx, user_state(s), what, from)
                                      : cop_bad_call(ctx, what);
    case STEP_CAST:
        return m->handle_cast != NULL ? m->handle_cast(ctx, user_state(s), what)
                                      : cop_bad_cast(ctx, what);
    case STEP_INFO:
        return m->handle_info != NULL ? m->handle_info(ctx, user_state(s), what)
                                      : default_info(ctx, s, what);
    case STEP_CONTINUE:
        break;
    }
    if (m->handle_continue == NULL)
        cop_error(ctx, cop_a(undef));
    return m->handle_continue(ctx, user_state(s), what);
}

static void on_raised(cop_ctx *ctx, void *state, const cop_caught *caught) {
    struct server *s = state;
    if (!s->ends)
        crash(ctx, s, caught);
}

/* How the server waits after a return. */
static void wait_as_asked(cop_ctx *ctx, struct server *s) {
    s->idle_is_hibernate = false;
    if (s->timeout_ms >= 0) {
        cop_process_idle_timeout(ctx, s->timeout_ms);
    } else if (s->hibernate) {
        cop_process_hibernate_after_callback(ctx);
    } else if (s->hibernate_after_ms > 0) {
        s->idle_is_hibernate = true;
        cop_process_idle_timeout(ctx, s->hibernate_after_ms);
    }
}

static void set_then(cop_ctx *ctx, struct server *s, uint8_t then, int64_t timeout_ms) {
    s->timeout_ms = -1;
    s->hibernate = then == COP__THEN_HIBERNATE;
    if (then != COP__THEN_TIMEOUT || timeout_ms == COP_INFINITY)
        return;
    if (timeout_ms < 0)
        stop(ctx, s,
             cop_tuple(ctx, cop_a(bad_return_value), cop_tuple(ctx, cop_a(timeout), timeout_ms)),
             COP_NONE);
    if (timeout_ms > INT64_C(4294967295)) {
        cop_caught why = { .class = COP_CLASS_ERROR,
                           .reason = cop_a(timeout_value).t,
                           .stacktrace = COP_NIL };
        crash(ctx, s, &why);
    }
    s->timeout_ms = timeout_ms;
}

/* Carries out one return, and the continues that follow from it. */
static void proceed(cop_ctx *ctx, struct server *s, cop_next next) {
    for (;;) {
        if (next.is == COP__STOP || next.is == COP__STOP_REPLY)
            stop(ctx, s, next.reason, next.is == COP__STOP_REPLY ? next.reply : COP_NONE);
        if (next.is == COP__REPLY && !cop_is_none(s->client))
            cop__gen_server_reply(ctx, s->client, next.reply);
        s->client = COP_NONE;
        if (next.then != COP__THEN_CONTINUE)
            break;
        cop_term with = next.continue_with;
        s->last_message = cop_tuple(ctx, cop_a(continue), with);
        next = dispatch(ctx, s, STEP_CONTINUE, with, (cop_from){ COP_NONE });
    }
    s->last_message = COP_NONE;
    set_then(ctx, s, next.then, next.timeout_ms);
    wait_as_asked(ctx, s);
}

static void serve(cop_ctx *ctx, struct server *s, enum step step, cop_term what, cop_term client,
                  cop_term shown) {
    s->last_message = shown;
    s->client = client;
    proceed(ctx, s, dispatch(ctx, s, step, what, (cop_from){ client }));
}

static void on_system(cop_ctx *ctx, struct server *s, cop_term from, cop_term request);

static void on_message(cop_ctx *ctx, void *state, cop_term message) {
    struct server *s = state;
    cop_term from, request, reason;
    if (cop_match_tuple(message, cop_as("$gen_call"), &from, &request)
        && cop_tuple_size(from) == 2) {
        serve(ctx, s, STEP_CALL, request, from, request);
    } else if (cop_match_tuple(message, cop_as("$gen_cast"), &request)) {
        serve(ctx, s, STEP_CAST, request, COP_NONE, message);
    } else if (cop_match_tuple(message, cop_a(system), &from, &request)) {
        on_system(ctx, s, from, request);
    } else if (cop_match_tuple(message, cop_as("EXIT"), s->parent, &reason)) {
        s->last_message = message;
        stop(ctx, s, reason, COP_NONE);
    } else {
        serve(ctx, s, STEP_INFO, message, COP_NONE, message);
    }
}

static void on_timeout(cop_ctx *ctx, void *state) {
    struct server *s = state;
    if (s->idle_is_hibernate) {
        cop_process_hibernate_after_callback(ctx);
        return;
    }
    serve(ctx, s, STEP_INFO, cop_a(timeout).t, COP_NONE, cop_a(timeout).t);
}

/* ---- system messages ---------------------------------------------------------------------------------------- */

static bool is_system_message(cop_term message, void *arg) {
    cop_term any;
    return cop_match_tuple(message, cop_a(system), &any, &any)
           || cop_match_tuple(message, cop_as("EXIT"), *(cop_term *)arg, &any);
}

/* Only system messages and the parent's end are served; all else waits. */
static void suspended(cop_ctx *ctx, struct server *s) {
    while (s->suspended) {
        cop_term message, from, request, reason;
        cop_receive_match(ctx, COP_INFINITY, is_system_message, &s->parent, &message);
        if (cop_match_tuple(message, cop_a(system), &from, &request))
            on_system(ctx, s, from, request);
        else if (cop_match_tuple(message, cop_as("EXIT"), s->parent, &reason))
            stop(ctx, s, reason, COP_NONE);
    }
}

static cop_term status(cop_ctx *ctx, struct server *s) {
    cop_term phase = s->suspended ? cop_a(suspended).t : cop_a(running).t;
    char text[300];
    cop_inspect_to(text, sizeof text, s->name, NULL);
    cop_term header =
        cop_tuple(ctx, cop_a(header),
                  cop_list_append(ctx, cop_charlist(ctx, "Status for generic server "),
                                  cop_charlist(ctx, text)));
    cop_term data =
        cop_tuple(ctx, cop_a(data),
                  cop_list(ctx, cop_tuple(ctx, cop_charlist(ctx, "Status"), phase),
                           cop_tuple(ctx, cop_charlist(ctx, "Parent"), s->parent),
                           cop_tuple(ctx, cop_charlist(ctx, "Logged events"), COP_NIL)));
    cop_term shown = cop_tuple(
        ctx, cop_a(data),
        cop_list(ctx, cop_tuple(ctx, cop_charlist(ctx, "State"), state_for_report(ctx, s, false))));
    cop_term misc = cop_list(ctx, header, data, shown);
    return cop_tuple(ctx, cop_a(status), cop_self(ctx),
                     cop_tuple(ctx, cop_a(module), cop_a(gen_server)),
                     cop_list(ctx, cop_process_dictionary(ctx), phase, s->parent, COP_NIL, misc));
}

static cop_term replace_state(cop_ctx *ctx, struct server *s, cop_term fun) {
    if (s->module->state_from_term == NULL)
        return cop_tuple(ctx, cop_a(error), cop_a(no_state_from_term));
    cop_term fresh = cop_fun_call(ctx, fun, state_term(ctx, s));
    if (!s->module->state_from_term(ctx, user_state(s), fresh))
        return cop_tuple(ctx, cop_a(error), cop_a(bad_state));
    return cop_tuple(ctx, cop_a(ok), fresh);
}

static void on_system(cop_ctx *ctx, struct server *s, cop_term from, cop_term request) {
    cop_term reason, fun, answer = cop_a(ok).t;
    s->client = COP_NONE;
    if (cop_match_tuple(request, cop_a(terminate), &reason)) {
        cop__gen_server_reply(ctx, from, answer);
        s->last_message = COP_NIL;
        stop(ctx, s, reason, COP_NONE);
    }
    bool suspend = cop_match(request, cop_a(suspend));
    if (cop_match(request, cop_a(resume)))
        s->suspended = false;
    else if (cop_match(request, cop_a(get_state)))
        answer = cop_tuple(ctx, cop_a(ok), state_term(ctx, s));
    else if (cop_match_tuple(request, cop_a(replace_state), &fun))
        answer = replace_state(ctx, s, fun);
    else if (cop_match(request, cop_a(get_status)))
        answer = status(ctx, s);
    else if (!suspend)
        answer = cop_tuple(ctx, cop_a(error), cop_tuple(ctx, cop_a(unknown_system_msg), request));
    if (cop_tuple_size(from) == 2)
        cop__gen_server_reply(ctx, from, answer);
    if (suspend && !s->suspended) {
        s->suspended = true;
        suspended(ctx, s);
    }
    if (!s->suspended)
        wait_as_asked(ctx, s); /* a time-out starts again with its full value */
}

/* ---- starting -------------------------------------------------------------------------------------------------- */

/* An atom, {:via, module, name}, or nil for none. */
static cop_term start_name(const cop_start_opts *opts) {
    if (opts != NULL && !cop_is_none(opts->via))
        return opts->via;
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

static cop_term pack(cop_ctx *ctx, const cop_gen_server *module, cop_term arg,
                     const cop_start_opts *opts, bool linked) {
    return cop_tuple(ctx, (uint64_t)(uintptr_t)module, cop_bool(linked), start_name(opts),
                     opts != NULL ? opts->hibernate_after_ms : 0,
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

static cop_init run_init(cop_ctx *ctx, struct server *s, cop_term name, cop_term arg) {
    cop_init init = cop_init_ok();
    COP_TRY(ctx) { init = s->module->init(ctx, user_state(s), arg); }
    COP_CATCH(caught) {
        cop_caught why = *caught;
        if (why.class == COP_CLASS_THROW) { /* in C no return value can be thrown */
            why.class = COP_CLASS_EXIT;
            why.reason = cop_tuple(ctx, cop_a(bad_return_value), why.reason);
        }
        name_unregister(ctx, name);
        cop_term reason = cop_caught_reason(ctx, &why);
        cop_proc_lib_init_fail_to(ctx, cop_process_parent(ctx),
                                  cop_tuple(ctx, cop_a(error), reason), &why);
    }
    return init;
}

static void enter(cop_ctx *ctx, cop_term packed) {
    uint64_t module_address;
    bool linked;
    int64_t hibernate_after;
    cop_term name, arg;
    if (!cop_match_tuple(packed, &module_address, &linked, &name, &hibernate_after, &arg))
        cop_error(ctx, cop_a(badarg));
    const cop_gen_server *module = (const cop_gen_server *)(uintptr_t)module_address;
    take_name(ctx, name);
    struct server *s = cop_process_state(ctx, sizeof *s + module->state_size);
    s->module = module;
    s->parent = linked ? cop_process_parent(ctx).t : cop_self(ctx).t;
    s->name = cop_match(name, cop_a(nil)) ? cop_self(ctx).t : name;
    via_is(name, &s->name);
    s->timeout_ms = -1;
    s->hibernate_after_ms = hibernate_after;
    cop_process_keep(ctx, 0, &s->parent, SERVER_TERMS);
    cop_process_keep(ctx, 1, user_state(s), module->state_terms);
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
        cop_term bad = cop_tuple(ctx, cop_a(bad_return_value), init.timeout_ms);
        fail(ctx, name, cop_started_error(bad), bad);
    }
    cop_proc_lib_init_ack(ctx, cop_started_ok(cop_self(ctx)));
    proceed(ctx, s,
            (cop_next){ .then = init.then,
                        .timeout_ms = init.timeout_ms,
                        .continue_with = init.continue_with });
    cop_become(ctx, &callbacks, s);
}

/* A name that is taken is found before anything is spawned. */
static bool is_taken(cop_ctx *ctx, const cop_start_opts *opts, cop_started *result) {
    cop_term name = start_name(opts);
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
    if (result.is != COP_STARTED && !cop_is_none(result.ref.t))
        cop_process_demonitor(ctx, result.ref, COP_DEMONITOR_FLUSH);
    return result;
}
