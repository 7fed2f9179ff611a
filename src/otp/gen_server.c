/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_server: the server's side.
 *
 * A server is a callback process. Its state block begins with struct server and goes on with the
 * user's state; the words of both that are terms lie together and are kept alive by the run-time
 * (range 0; range 1 is left to the server's module):
 *
 *     | struct server: plain fields, then terms | user's state: .state_terms terms, then plain |
 *
 * Start: proc_lib runs `enter` in the new process: name, init, acknowledge, then cop_become. From then
 * on on_message is called with each message, which is told apart as Erlang does it: system, the
 * parent's exit, call, cast, anything else.
 *
 * When a user callback raises, the run-time calls on_raised, so that terminate runs. What they return is
 * carried out by gen_server_proceed; what they throw too, when it is a return in Elixir's form: then the
 * process becomes a callback process anew. After a fault terminate does not run: the state may be
 * torn.
 */
#include "gen_server.h"

#include "sys.h"

static void tell_return(cop_ctx *ctx, struct server *s, const cop_next *next);
static void on_message(cop_ctx *ctx, void *state, cop_term message);
static void on_timeout(cop_ctx *ctx, void *state);
static void on_raised(cop_ctx *ctx, void *state, const cop_caught *caught);
const cop_callbacks gen_server_callbacks = { "gen_server:loop/7", on_message, on_timeout,
                                             on_raised };

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
    if (!cop_is_none(reply) && !cop_is_none(s->client)) {
        cop__gen_server_reply(ctx, s->client, reply);
        tell_return(ctx, s, &(cop_next){ .is = COP__STOP_REPLY, .reply = reply });
    }
    if (!cop_reason_is_normal(reason)) {
        bool is_bare =
            stopped_by_return || (why.class == COP_CLASS_EXIT && cop_is_nil(why.stacktrace));
        cop_term shown = is_bare ? reason : cop_tuple(ctx, why.reason, why.stacktrace);
        gen_server_report(ctx, s, shown, why.is_fault);
        sys_crash_report(ctx, &why, s->module->redact);
    }
    cop__exit(ctx, reason);
}

_Noreturn void gen_server_stop(cop_ctx *ctx, struct server *s, cop_term reason, cop_term reply) {
    finish(ctx, s, (cop_caught){ .class = COP_CLASS_EXIT, .reason = reason, .stacktrace = COP_NIL },
           reply, true);
}

static _Noreturn void crash(cop_ctx *ctx, struct server *s, const cop_caught *caught) {
    cop_caught why = *caught;
    if (why.class == COP_CLASS_EXIT && cop_is_nil(why.stacktrace)
        && !cop_reason_is_normal(why.reason))
        why.stacktrace = cop_stacktrace(ctx); /* for the reports */
    if (why.class == COP_CLASS_THROW) {       /* in C no return value can be thrown */
        why.class = COP_CLASS_EXIT;
        why.reason = cop_tuple(ctx, cop_a(bad_return_value), why.reason);
        finish(ctx, s, why, COP_NONE, true);
    }
    finish(ctx, s, why, COP_NONE, false);
}

/* ---- the loop -------------------------------------------------------------------------------------------- */

static cop_next default_info(cop_ctx *ctx, struct server *s, cop_term message) {
    cop_term event = cop_map(
        ctx, cop_a(label), cop_tuple(ctx, cop_as("Elixir.GenServer"), cop_a(no_handle_info)),
        cop_a(report),
        cop_map(ctx, cop_a(module), sys_module_atom(s->module->name), cop_a(message),
                gen_server_bounded(ctx, s, gen_server_shown(ctx, s, cop_a(message), message)),
                cop_a(name), s->sys.name));
    cop_log(ctx, COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(report), event),
            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp), cop_a(elixir)),
                    cop_a(error_logger), cop_map(ctx, cop_a(tag), cop_a(error_msg))));
    return cop_noreply();
}

/* Ends as a call of a function that is not there: {:undef, [{Module, function, args, []}]}. */
static _Noreturn void undefined(cop_ctx *ctx, struct server *s, cop_atom function, cop_term what) {
    cop_term args = cop_list(ctx, what, gen_server_state(ctx, s));
    cop_term frame = cop_tuple(ctx, sys_module_atom(s->module->name), function, args, COP_NIL);
    cop_caught why = { .class = COP_CLASS_ERROR,
                       .reason = cop_a(undef).t,
                       .stacktrace = cop_list(ctx, frame) };
    cop_rethrow(ctx, &why);
}

static cop_next dispatch(cop_ctx *ctx, struct server *s, enum step step, cop_term what,
                         cop_from from) {
    const cop_gen_server *m = s->module;
    s->step = (uint8_t)step;
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
    case STEP_INIT:
        break;
    }
    if (m->handle_continue == NULL)
        undefined(ctx, s, cop_a(handle_continue), what);
    return m->handle_continue(ctx, user_state(s), what);
}

/* ---- what is thrown is what was returned ---------------------------------------------------------------- */

/* The third or fourth element of a return: a timeout, :hibernate or {:continue, with}. */
static bool then_from_term(cop_term t, cop_next *next) {
    cop_term with;
    int64_t ms;
    if (cop_match(t, cop_a(hibernate)))
        *next = cop_then_hibernate(*next);
    else if (cop_get_i64(t, &ms) && ms >= 0)
        *next = cop_then_timeout(*next, ms == 0 ? COP_ZERO : ms);
    else if (cop_match_tuple(t, cop_a(continue), &with))
        *next = cop_then_continue(*next, with);
    else
        return cop_match(t, cop_a(infinity));
    return true;
}

/* A return in Elixir's form, with the state as state_from_term takes it. */
static bool next_from_term(cop_ctx *ctx, struct server *s, cop_term t, cop_next *next) {
    bool in_call = s->step == STEP_CALL;
    cop_term reply, reason, state, then;
    *next = cop_noreply();
    if (cop_match_tuple(t, cop_a(noreply), &state)) {
        *next = cop_noreply();
    } else if (cop_match_tuple(t, cop_a(noreply), &state, &then)) {
        if (!then_from_term(then, next))
            return false;
    } else if (in_call && cop_match_tuple(t, cop_a(reply), &reply, &state)) {
        *next = cop_reply(ctx, reply);
    } else if (in_call && cop_match_tuple(t, cop_a(reply), &reply, &state, &then)) {
        *next = cop_reply(ctx, reply);
        if (!then_from_term(then, next))
            return false;
    } else if (cop_match_tuple(t, cop_a(stop), &reason, &state)) {
        *next = cop_stop(reason);
    } else if (in_call && cop_match_tuple(t, cop_a(stop), &reason, &reply, &state)) {
        *next = cop_stop_reply(ctx, reason, reply);
    } else {
        return false;
    }
    return gen_server_set_state(ctx, s, state);
}

static void on_raised(cop_ctx *ctx, void *state, const cop_caught *caught) {
    struct server *s = state;
    cop_next next;
    if (s->ends)
        return;
    if (caught->class != COP_CLASS_THROW || !next_from_term(ctx, s, caught->reason, &next))
        crash(ctx, s, caught);
    COP_TRY(ctx) { gen_server_proceed(ctx, s, &next); }
    COP_CATCH(again) {
        if (!s->ends)
            crash(ctx, s, again);
        cop_rethrow(ctx, again);
    }
    cop_become(ctx, &gen_server_callbacks, s);
}

/* How the server waits after a return. */
static void wait_as_asked(cop_ctx *ctx, struct server *s) {
    s->idle_is_hibernate = s->asleep = false;
    if (s->timeout_ms >= 0) {
        cop_process_idle_timeout(ctx, s->timeout_ms);
    } else if (s->hibernate) {
        cop_process_hibernate_after_callback(ctx);
    } else if (s->hibernate_after_ms == 0) {
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
    if (timeout_ms > INT64_C(4294967295)) {
        cop_caught why = { .class = COP_CLASS_ERROR,
                           .reason = cop_a(timeout_value).t,
                           .stacktrace = COP_NIL };
        crash(ctx, s, &why);
    }
    s->timeout_ms = timeout_ms;
}

/* A call without a pair to answer to: Erlang's ends when it replies. */
static _Noreturn void no_such_from(cop_ctx *ctx, struct server *s, cop_term message) {
    s->last_message = message;
    cop_error(ctx, cop_a(function_clause));
}

/* Tells the debug options of a return: {:out, reply, from, state} or {:noreply, state}. */
static void tell_return(cop_ctx *ctx, struct server *s, const cop_next *next) {
    if (!cop_is_cons(s->sys.debug) || s->step == STEP_INIT)
        return;
    cop_term state = gen_server_shown(ctx, s, cop_a(state), gen_server_state(ctx, s));
    bool replies = next->is == COP__REPLY || next->is == COP__STOP_REPLY;
    cop_term event = replies && !cop_is_none(s->client)
                         ? cop_tuple(ctx, cop_a(out), next->reply, s->client, state)
                         : cop_tuple(ctx, cop_a(noreply), state);
    cop_sys_handle_debug(ctx, &s->sys, &gen_server_sys, event);
}

/* A timeout that is none makes the whole a bad return; nothing of it is carried out. */
static void check_timeout(cop_ctx *ctx, struct server *s, const cop_next *next) {
    if (next->then != COP__THEN_TIMEOUT || next->timeout_ms >= 0)
        return;
    cop_term state = gen_server_state(ctx, s);
    cop_term whole = next->is == COP__REPLY
                         ? cop_tuple(ctx, cop_a(reply), next->reply, state, next->timeout_ms)
                         : cop_tuple(ctx, cop_a(noreply), state, next->timeout_ms);
    gen_server_stop(ctx, s, cop_tuple(ctx, cop_a(bad_return_value), whole), COP_NONE);
}

void gen_server_proceed(cop_ctx *ctx, struct server *s, cop_next *next) {
    for (;;) {
        check_timeout(ctx, s, next);
        if (next->is == COP__STOP || next->is == COP__STOP_REPLY)
            gen_server_stop(ctx, s, next->reason,
                            next->is == COP__STOP_REPLY ? next->reply : COP_NONE);
        if (next->is == COP__REPLY && !cop_is_none(s->client))
            cop__gen_server_reply(ctx, s->client, next->reply);
        tell_return(ctx, s, next);
        s->client = COP_NONE;
        if (next->then != COP__THEN_CONTINUE)
            break;
        cop_term with = next->continue_with;
        s->last_message = cop_tuple(ctx, cop_a(continue), with);
        *next = dispatch(ctx, s, STEP_CONTINUE, with, (cop_from){ COP_NONE });
        cop_sys_handle_debug(ctx, &s->sys, &gen_server_sys, cop_tuple(ctx, cop_a(continue), with));
    }
    s->last_message = COP_NONE;
    set_then(ctx, s, next->then, next->timeout_ms);
    wait_as_asked(ctx, s);
}

/* `message` is the whole one, `shown` what a report says came last. */
static void serve(cop_ctx *ctx, struct server *s, enum step step, cop_term what, cop_term client,
                  cop_term message, cop_term shown) {
    s->last_message = shown;
    s->client = client;
    cop_sys_handle_debug(
        ctx, &s->sys, &gen_server_sys,
        cop_tuple(ctx, cop_a(in), gen_server_shown(ctx, s, cop_a(message), message)));
    cop_next next = dispatch(ctx, s, step, what, (cop_from){ client });
    gen_server_proceed(ctx, s, &next);
}

/* ---- hibernation and suspension ---------------------------------------------------------------------------- */

/* Was it hibernating when the message came that it serves now? */
static bool hibernates(const struct server *s) {
    return s->timeout_ms < 0 && (s->hibernate || s->hibernate_after_ms == 0 || s->asleep);
}

static void suspended_awoke(cop_ctx *ctx, cop_term address);

/* A system message was served: it hibernates again, also if that message has suspended it. */
static void go_on_hibernating(cop_ctx *ctx, struct server *s) {
    if (sys_is_suspended(&s->sys))
        sys_hibernate(ctx, &s->sys, suspended_awoke, cop_of(ctx, (int64_t)(uintptr_t)s));
    wait_as_asked(ctx, s);
}

/* What it does, on a stack of its own, when something came for it meanwhile. */
static void suspended_awoke(cop_ctx *ctx, cop_term address) {
    int64_t at = 0;
    cop_get_i64(address, &at);
    struct server *s = (struct server *)(uintptr_t)at;
    COP_TRY(ctx) { sys_serve_suspended(ctx, &s->sys, &gen_server_sys, s); }
    COP_CATCH(caught) {
        if (!s->ends)
            crash(ctx, s, caught);
        cop_rethrow(ctx, caught);
    }
    go_on_hibernating(ctx, s);
    cop_become(ctx, &gen_server_callbacks, s);
}

static void on_message(cop_ctx *ctx, void *state, cop_term message) {
    struct server *s = state;
    cop_term from, request, reason;
    if (cop_match_tuple(message, cop_as("$gen_call"), &from, &request)) {
        if (cop_tuple_size(from) != 2)
            no_such_from(ctx, s, message);
        serve(ctx, s, STEP_CALL, request, from, message, request);
    } else if (cop_match_tuple(message, cop_as("$gen_cast"), &request)) {
        serve(ctx, s, STEP_CAST, request, COP_NONE, message, message);
    } else if (hibernates(s) && sys_serve(ctx, &s->sys, &gen_server_sys, s, message)) {
        go_on_hibernating(ctx, s);
    } else if (cop_sys_handle(ctx, &s->sys, &gen_server_sys, s, message)) {
        wait_as_asked(ctx, s); /* a time-out starts again with its full value */
    } else if (cop_match_tuple(message, cop_as("EXIT"), s->sys.parent, &reason)) {
        s->last_message = message;
        gen_server_stop(ctx, s, reason, COP_NONE);
    } else {
        serve(ctx, s, STEP_INFO, message, COP_NONE, message, message);
    }
}

static void on_timeout(cop_ctx *ctx, void *state) {
    struct server *s = state;
    if (s->idle_is_hibernate) {
        s->asleep = true;
        cop_process_hibernate_after_callback(ctx);
        return;
    }
    serve(ctx, s, STEP_INFO, cop_a(timeout).t, COP_NONE, cop_a(timeout).t, cop_a(timeout).t);
}
