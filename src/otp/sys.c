/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys: the process's side. cop_sys_handle answers one system message; a process that is suspended by it
 * stays in it, in a selective receive of what may come then, until it is resumed. So what its return means to the
 * process is always: go on. A gen_server that hibernates when it is suspended hibernates on: it is woken, on a
 * fresh stack, only by what may come.
 *
 * The process's own functions are called here to look into it and to change it. What they raise is
 * caught, made an answer, and the process lives; only terminate does not come back.
 *
 * Threads: all of it runs in the process itself.
 */
#include "sys.h"

#include <coppice/gen.h>
#include <coppice/sys.h>

#include "sys_debug.h"

bool sys_is_suspended(const cop_sys *sys) { return cop_match(sys->phase, cop_a(suspended)); }

static cop_term class_atom(cop_class class) {
    return class == COP_CLASS_ERROR  ? cop_a(error).t
           : class == COP_CLASS_EXIT ? cop_a(exit).t
                                     : cop_a(throw).t;
}

static cop_term get_status(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, void *state) {
    cop_term misc = cb->status != NULL ? cb->status(ctx, state) : cb->get_state(ctx, state);
    cop_term phase = sys_is_suspended(sys) ? cop_a(suspended).t : cop_a(running).t;
    cop_term parent = cop_is_none(sys->parent) ? cop_self(ctx).t : sys->parent;
    return cop_tuple(ctx, cop_a(status), cop_self(ctx),
                     cop_tuple(ctx, cop_a(module), sys_module_atom(cb->module)),
                     cop_list(ctx, cop_process_dictionary(ctx), phase, parent,
                              cop_is_none(sys->debug) ? COP_NIL : sys->debug, misc));
}

static cop_term new_state(cop_ctx *ctx, const cop_sys_callbacks *cb, void *state, cop_term fun) {
    if (cb->replace_state != NULL)
        return cb->replace_state(ctx, state, fun);
    if (cb->set_state == NULL)
        cop_error(ctx, cop_a(undef));
    cop_term fresh = cop_fun_call(ctx, fun, cb->get_state(ctx, state));
    if (!cb->set_state(ctx, state, fresh))
        cop_error(ctx, cop_tuple(ctx, cop_a(bad_state), fresh));
    return fresh;
}

static cop_term replace_state(cop_ctx *ctx, const cop_sys_callbacks *cb, void *state,
                              cop_term fun) {
    volatile cop_term answer = COP_NONE;
    COP_TRY(ctx) { answer.w = new_state(ctx, cb, state, fun).w; }
    COP_CATCH(caught) {
        cop_term who = fun;
        if (cb->replace_state != NULL)
            who = cop_tuple(ctx, sys_module_atom(cb->module), cop_a(system_replace_state));
        cop_term what = cop_tuple(ctx, class_atom(caught->class), caught->reason);
        answer.w =
            cop_tuple(ctx, cop_a(error), cop_tuple(ctx, cop_a(callback_failed), who, what)).w;
    }
    return (cop_term){ answer.w };
}

static cop_term no_code_change(cop_ctx *ctx, const cop_sys_callbacks *cb, void *state,
                               cop_term module, cop_term old_vsn, cop_term extra) {
    cop_term args = cop_list(ctx, cb->get_state(ctx, state), module, old_vsn, extra);
    cop_term frame =
        cop_tuple(ctx, sys_module_atom(cb->module), cop_a(system_code_change), args, COP_NIL);
    return cop_tuple(ctx, cop_as("EXIT"), cop_tuple(ctx, cop_a(undef), cop_list(ctx, frame)));
}

static cop_term change_code(cop_ctx *ctx, const cop_sys_callbacks *cb, void *state, cop_term module,
                            cop_term old_vsn, cop_term extra) {
    volatile cop_term result = COP_NONE;
    if (cb->code_change == NULL) {
        result.w = no_code_change(ctx, cb, state, module, old_vsn, extra).w;
    } else {
        COP_TRY(ctx) { result.w = cb->code_change(ctx, state, module, old_vsn, extra).w; }
        COP_CATCH(caught) {
            result.w = caught->class == COP_CLASS_THROW
                           ? caught->reason.w
                           : cop_tuple(ctx, cop_as("EXIT"), cop_caught_reason(ctx, caught)).w;
        }
    }
    cop_term r = { result.w };
    return cop_match(r, cop_a(ok)) ? r : cop_tuple(ctx, cop_a(error), r);
}

static cop_term answer(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, void *state,
                       cop_term request) {
    cop_term a, module, old_vsn, extra;
    if (cop_match(request, cop_a(get_state)))
        return cb->get_state(ctx, state);
    if (cop_match(request, cop_a(get_status)))
        return get_status(ctx, sys, cb, state);
    if (cop_match(request, cop_a(suspend)) || cop_match(request, cop_a(resume))) {
        sys->phase = cop_match(request, cop_a(suspend)) ? cop_a(suspended).t : cop_a(running).t;
        return cop_a(ok).t;
    }
    if (cop_match_tuple(request, cop_a(replace_state), &a))
        return replace_state(ctx, cb, state, a);
    if (cop_match_tuple(request, cop_a(debug), &a))
        return sys_debug_command(ctx, sys, cb, a);
    if (sys_is_suspended(sys)
        && cop_match_tuple(request, cop_a(change_code), &module, &old_vsn, &extra))
        return change_code(ctx, cb, state, module, old_vsn, extra);
    return cop_tuple(ctx, cop_a(error), cop_tuple(ctx, cop_a(unknown_system_msg), request));
}

static void serve(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, void *state,
                  cop_term from, cop_term request) {
    cop_term reason;
    if (cop_tuple_size(from) != 2 || !cop_is_pid(cop_elem(from, 0)))
        cop_error(ctx, cop_a(function_clause));
    if (!cop_match_tuple(request, cop_a(terminate), &reason)) {
        cop_gen_reply(ctx, from, answer(ctx, sys, cb, state, request));
        return;
    }
    cop_gen_reply(ctx, from, cop_a(ok));
    cb->terminate(ctx, state, reason);
}

static bool is_parents_end(const cop_sys *sys, cop_term message, cop_term *reason) {
    return !cop_is_none(sys->parent)
           && cop_match_tuple(message, cop_as("EXIT"), sys->parent, reason);
}

/* What a suspended process takes: system messages and its parent's end. */
static bool is_for_suspended(cop_term message, void *arg) {
    cop_term any;
    return cop_match_tuple(message, cop_a(system), &any, &any)
           || is_parents_end(arg, message, &any);
}

/* Takes one message that is for a suspended process; false if none came in time. */
static bool take_one(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, void *state,
                     int64_t timeout_ms) {
    cop_term message, from, request, reason;
    if (!cop_receive_match(ctx, timeout_ms, is_for_suspended, sys, &message))
        return false;
    if (cop_match_tuple(message, cop_a(system), &from, &request))
        serve(ctx, sys, cb, state, from, request);
    else if (is_parents_end(sys, message, &reason))
        cb->terminate(ctx, state, reason);
    return true;
}

bool sys_serve(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, void *state,
               cop_term message) {
    cop_term from, request;
    if (!cop_match_tuple(message, cop_a(system), &from, &request))
        return false;
    serve(ctx, sys, cb, state, from, request);
    return true;
}

void sys_serve_suspended(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, void *state) {
    while (sys_is_suspended(sys) && take_one(ctx, sys, cb, state, 0))
        ;
}

_Noreturn void sys_hibernate(cop_ctx *ctx, cop_sys *sys, cop_entry entry, cop_term arg) {
    cop_process_hibernate_match(ctx, is_for_suspended, sys, entry, arg);
}

bool cop_sys_handle(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *callbacks, void *state,
                    cop_term message) {
    if (!sys_serve(ctx, sys, callbacks, state, message))
        return false;
    while (sys_is_suspended(sys))
        take_one(ctx, sys, callbacks, state, COP_INFINITY);
    return true;
}
