/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys: the client's side. A request is {:system, {self, tag}, request} with the steps of a call of
 * gen_server (see gen_call.c); only the exit names another function. Which one is read off the request,
 * as Erlang does it, with its oddities: replace_state is shown as {:replace_state, fun}, no_debug
 * as {:debug, :no_debug}.
 */
#include <coppice/gen.h>
#include <coppice/sys.h>

#include "gen_call.h"

/* {:sys, function, [name, arguments ...]}, and the timeout if one was given. */
static cop_term mfa(cop_ctx *ctx, cop_term name, cop_term request, int64_t timeout_ms) {
    cop_term function = request, any, a, b, c, args = COP_NIL;
    if (timeout_ms != 0)
        args = cop_list(ctx, timeout_shown(ctx, timeout_ms));
    if (cop_match_tuple(request, cop_a(debug), &any) && cop_match_tuple(any, &a, &b)) {
        function = a;
        args = cop_cons(ctx, b, args);
    } else if (cop_match_tuple(request, cop_a(change_code), &a, &b, &c)) {
        function = cop_a(change_code).t;
        args = cop_list_tail(ctx, a, b, c, args);
    } else if (cop_match_tuple(request, cop_a(terminate), &a)) {
        function = cop_a(terminate).t;
        args = cop_cons(ctx, a, args);
    }
    return cop_tuple(ctx, cop_a(sys), function, cop_cons(ctx, name, args));
}

cop_term cop__sys_request(cop_ctx *ctx, cop_term name, cop_term request, int64_t timeout_ms) {
    cop_called called =
        gen_call(ctx, "sys", name, cop_a(system), request, timeout_ms == 0 ? 5000 : timeout_ms);
    if (!called.ok)
        cop_exit(ctx, cop_tuple(ctx, called.value, mfa(ctx, name, request, timeout_ms)));
    return called.value;
}

static cop_term state_or_raise(cop_ctx *ctx, cop_term answer) {
    cop_term reason;
    if (cop_match_tuple(answer, cop_a(error), &reason))
        cop_error(ctx, reason);
    return answer;
}

cop_term cop__sys_get_state(cop_ctx *ctx, cop_term name, int64_t timeout_ms) {
    return state_or_raise(ctx, cop__sys_request(ctx, name, cop_a(get_state).t, timeout_ms));
}

cop_term cop__sys_replace_state(cop_ctx *ctx, cop_term name, cop_term fun, int64_t timeout_ms) {
    cop_term request = cop_tuple(ctx, cop_a(replace_state), fun);
    return state_or_raise(ctx, cop__sys_request(ctx, name, request, timeout_ms));
}

cop_term cop__sys_terminate(cop_ctx *ctx, cop_term name, cop_term reason, int64_t timeout_ms) {
    return cop__sys_request(ctx, name, cop_tuple(ctx, cop_a(terminate), reason), timeout_ms);
}

cop_term cop__sys_debug(cop_ctx *ctx, cop_term name, cop_term command, int64_t timeout_ms) {
    return cop__sys_request(ctx, name, cop_tuple(ctx, cop_a(debug), command), timeout_ms);
}

cop_term cop__sys_statistics(cop_ctx *ctx, cop_term name, cop_term flag, int64_t timeout_ms) {
    return cop__sys_debug(ctx, name, cop_tuple(ctx, cop_a(statistics), flag), timeout_ms);
}

cop_term cop__sys_trace(cop_ctx *ctx, cop_term name, cop_term flag, int64_t timeout_ms) {
    return cop__sys_debug(ctx, name, cop_tuple(ctx, cop_a(trace), flag), timeout_ms);
}

cop_term cop__sys_log(cop_ctx *ctx, cop_term name, cop_term flag, int64_t timeout_ms) {
    return cop__sys_debug(ctx, name, cop_tuple(ctx, cop_a(log), flag), timeout_ms);
}

cop_term cop__sys_log_to_file(cop_ctx *ctx, cop_term name, cop_term file, int64_t timeout_ms) {
    return cop__sys_debug(ctx, name, cop_tuple(ctx, cop_a(log_to_file), file), timeout_ms);
}

cop_term cop__sys_install(cop_ctx *ctx, cop_term name, cop_term spec, int64_t timeout_ms) {
    return cop__sys_debug(ctx, name, cop_tuple(ctx, cop_a(install), spec), timeout_ms);
}

cop_term cop__sys_remove(cop_ctx *ctx, cop_term name, cop_term fun_or_id, int64_t timeout_ms) {
    return cop__sys_debug(ctx, name, cop_tuple(ctx, cop_a(remove), fun_or_id), timeout_ms);
}
