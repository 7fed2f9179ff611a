/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_server: how it looks from outside. The state as a term and back, what sys shows of it, the lines of
 * its trace, and the report of its end.
 *
 * Two callbacks have a say in what is shown. format_status is Elixir's: it is given a map of all there is
 * and returns it changed. redact is ours and simpler: it is given one term at a time, for each state,
 * message and reason, in reports, in get_status, and in logged and traced events; so it cannot be
 * forgotten at one of these places. Neither changes what get_state answers, which is asked for by name.
 *
 * A report is bounded: what has more than report_max_words is shown as the beginning of its text. So a
 * server with a large state does not fill the logger's mailbox with it while it dies.
 */
#include "gen_server.h"

#include <stdio.h>
#include <string.h>

#include "sys.h"

/* ---- the state ---------------------------------------------------------------------------------------- */

static bool is_all_terms(const cop_gen_server *module) {
    return module->state_to_term == NULL && module->state_from_term == NULL
           && module->state_size == module->state_terms * sizeof(cop_term);
}

cop_term gen_server_state(cop_ctx *ctx, struct server *s) {
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

bool gen_server_set_state(cop_ctx *ctx, struct server *s, cop_term term) {
    const cop_gen_server *module = s->module;
    if (module->state_from_term != NULL)
        return module->state_from_term(ctx, user_state(s), term);
    if (!is_all_terms(module) || cop_tuple_size(term) != (int64_t)module->state_terms)
        return false;
    cop_term *words = user_state(s);
    for (size_t i = 0; i < module->state_terms; i++)
        words[i] = cop_elem(term, i);
    return true;
}

/* ---- what is shown --------------------------------------------------------------------------------------- */

cop_term gen_server_bounded(cop_ctx *ctx, struct server *s, cop_term t) {
    size_t max = s->module->report_max_words;
    return sys_bounded(ctx, t, max == 0 ? SYS_REPORT_WORDS : max);
}

cop_term gen_server_shown(cop_ctx *ctx, struct server *s, cop_atom what, cop_term term) {
    return sys_shown(ctx, s->module->redact, what, term);
}

/* What state_to_term raises must not hide the reason of a report. */
static cop_term state_shown(cop_ctx *ctx, struct server *s, bool is_fault) {
    if (is_fault)
        return cop_a(torn).t;
    volatile cop_term state = COP_NONE;
    COP_TRY(ctx) { state.w = gen_server_state(ctx, s).w; }
    COP_CATCH(caught) { state.w = cop_a(undefined).t.w; }
    return gen_server_shown(ctx, s, cop_a(state), (cop_term){ state.w });
}

static bool has_keys_of(cop_term given, cop_term result) {
    cop_term key, value;
    for (cop_map_iter it = cop_map_first(given); cop_map_next(&it, &key, &value);)
        if (!cop_map_get(result, key, &value))
            return false;
    return true;
}

/* The map as format_status made it; where that goes wrong, a text about it stands for the state. */
static cop_term format_status(cop_ctx *ctx, struct server *s, cop_term status) {
    if (s->module->format_status == NULL)
        return status;
    volatile cop_term result = COP_NONE;
    COP_TRY(ctx) { result.w = s->module->format_status(ctx, status).w; }
    COP_CATCH(caught) { result.w = 0; }
    cop_term r = { result.w };
    const char *wrong = cop_is_none(r)            ? "crashed"
                        : !cop_is_map(r)          ? "did not return a map"
                        : !has_keys_of(status, r) ? "returned a map with unknown keys"
                                                  : NULL;
    if (wrong == NULL)
        return r;
    char text[400];
    char module[300];
    cop_inspect_to(module, sizeof module, sys_module_atom(s->module->name).t, NULL);
    snprintf(text, sizeof text, "%s:format_status/1 %s", module, wrong);
    return cop_map_put(ctx, status, cop_a(state).t, cop_charlist(ctx, text));
}

static cop_term of_map(cop_term map, cop_atom key) {
    cop_term value = COP_NIL;
    cop_map_get(map, key.t, &value);
    return value;
}

/* ---- the report of its end ---------------------------------------------------------------------------------- */

static cop_term client_info(cop_ctx *ctx, cop_term client) {
    cop_pid pid;
    cop_term tag;
    if (cop_is_none(client) || !cop_match_tuple(client, &pid, &tag))
        return cop_a(undefined).t;
    if (!cop_process_is_alive(ctx, pid))
        return cop_tuple(ctx, pid, cop_a(dead));
    cop_term name = cop_process_info(ctx, pid, cop_a(registered_name));
    cop_term stack = cop_process_info(ctx, pid, cop_a(current_stacktrace));
    return cop_tuple(
        ctx, pid,
        cop_tuple(ctx, cop_is_atom(name) ? name : pid.t, cop_is_none(stack) ? COP_NIL : stack));
}

void gen_server_report(cop_ctx *ctx, struct server *s, cop_term reason, bool is_fault) {
    cop_term message = cop_is_none(s->last_message) ? COP_NIL : s->last_message;
    cop_term status = cop_map(ctx, cop_a(state), state_shown(ctx, s, is_fault), cop_a(log),
                              cop_sys_get_log(ctx, &s->sys), cop_a(message),
                              gen_server_shown(ctx, s, cop_a(message), message), cop_a(reason),
                              gen_server_shown(ctx, s, cop_a(reason), reason));
    if (!is_fault)
        status = format_status(ctx, s, status);
    cop_term event =
        cop_map(ctx, cop_a(label), cop_tuple(ctx, cop_a(gen_server), cop_a(terminate)), cop_a(name),
                s->sys.name, cop_a(last_message),
                gen_server_bounded(ctx, s, of_map(status, cop_a(message))), cop_a(state),
                gen_server_bounded(ctx, s, of_map(status, cop_a(state))), cop_a(log),
                gen_server_bounded(ctx, s, of_map(status, cop_a(log))), cop_a(reason),
                gen_server_bounded(ctx, s, of_map(status, cop_a(reason))), cop_a(client_info),
                client_info(ctx, s->client));
    cop_log(ctx, COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(report), event),
            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp)), cop_a(error_logger),
                    cop_map(ctx, cop_a(tag), cop_a(error))));
}

/* ---- for sys -------------------------------------------------------------------------------------------------- */

/* "Status for generic server <0.127.0>" or with an atom; {"Status for generic server", name} else. */
static cop_term header(cop_ctx *ctx, cop_term name) {
    const char *tag = "Status for generic server";
    cop_atom atom;
    char text[600], shown[300];
    if (cop_get_atom(name, &atom)) {
        snprintf(text, sizeof text, "%s %s", tag, cop_atom_name(atom, NULL));
    } else if (cop_is_pid(name)) {
        cop_inspect_to(shown, sizeof shown, name, NULL);
        snprintf(text, sizeof text, "%s %s", tag, shown + strlen("#PID"));
    } else {
        return cop_tuple(ctx, cop_charlist(ctx, tag), name);
    }
    return cop_charlist(ctx, text);
}

static cop_term sys_status(cop_ctx *ctx, void *state) {
    struct server *s = state;
    cop_term status = format_status(ctx, s,
                                    cop_map(ctx, cop_a(state), state_shown(ctx, s, false),
                                            cop_a(log), cop_sys_get_log(ctx, &s->sys)));
    cop_term phase = cop_is_none(s->sys.phase) ? cop_a(running).t : s->sys.phase;
    cop_term data =
        cop_list(ctx, cop_tuple(ctx, cop_charlist(ctx, "Status"), phase),
                 cop_tuple(ctx, cop_charlist(ctx, "Parent"), s->sys.parent),
                 cop_tuple(ctx, cop_charlist(ctx, "Logged events"), of_map(status, cop_a(log))));
    cop_term shown = of_map(status, cop_a(state));
    cop_term rows = s->module->status_data != NULL
                        ? s->module->status_data(ctx, user_state(s), shown)
                        : cop_list(ctx, cop_tuple(ctx, cop_charlist(ctx, "State"), shown));
    cop_term more =
        s->module->status_more != NULL ? s->module->status_more(ctx, user_state(s)) : COP_NIL;
    return cop_list_tail(ctx, cop_tuple(ctx, cop_a(header), header(ctx, s->sys.name)),
                         cop_tuple(ctx, cop_a(data), data), cop_tuple(ctx, cop_a(data), rows),
                         more);
}

static cop_term sys_get_state(cop_ctx *ctx, void *state) { return gen_server_state(ctx, state); }

static cop_term sys_replace_state(cop_ctx *ctx, void *state, cop_term fun) {
    struct server *s = state;
    cop_term fresh = cop_fun_call(ctx, fun, gen_server_state(ctx, s));
    if (!gen_server_set_state(ctx, s, fresh))
        cop_error(ctx, cop_tuple(ctx, cop_a(bad_state), fresh));
    return fresh;
}

static cop_term sys_code_change(cop_ctx *ctx, void *state, cop_term module, cop_term old_vsn,
                                cop_term extra) {
    struct server *s = state;
    if (s->module->code_change == NULL)
        return cop_a(ok).t;
    return s->module->code_change(ctx, user_state(s), old_vsn, extra);
}

static void sys_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct server *s = state;
    s->client = COP_NONE;
    s->last_message = COP_NIL;
    gen_server_stop(ctx, s, reason, COP_NONE);
}

static cop_term text(cop_ctx *ctx, cop_term t) { return cop_sys_erlang_text(ctx, t); }

static cop_term sys_format(cop_ctx *ctx, cop_term event, cop_term name) {
    cop_term message, request, from, to, any, state, dbg = cop_list(ctx, "*DBG* ", text(ctx, name));
    if (cop_match_tuple(event, cop_a(in), &message)) {
        if (cop_match_tuple(message, cop_as("$gen_call"), &from, &request)
            && cop_match_tuple(from, &to, &any))
            return cop_list(ctx, dbg, " got call ", text(ctx, request), " from ", text(ctx, to),
                            "\n");
        if (cop_match_tuple(message, cop_as("$gen_cast"), &request))
            return cop_list(ctx, dbg, " got cast ", text(ctx, request), "\n");
        return cop_list(ctx, dbg, " got ", text(ctx, message), "\n");
    }
    if (cop_match_tuple(event, cop_a(out), &message, &from, &state)
        && cop_match_tuple(from, &to, &any))
        return cop_list(ctx, dbg, " sent ", text(ctx, message), " to ", text(ctx, to),
                        ", new state ", text(ctx, state), "\n");
    if (cop_match_tuple(event, cop_a(noreply), &state))
        return cop_list(ctx, dbg, " new state ", text(ctx, state), "\n");
    return cop_list(ctx, dbg, " dbg  ", text(ctx, event), "\n");
}

const cop_sys_callbacks gen_server_sys = {
    .module = "gen_server",
    .terminate = sys_terminate,
    .get_state = sys_get_state,
    .replace_state = sys_replace_state,
    .code_change = sys_code_change,
    .status = sys_status,
    .format = sys_format,
};
