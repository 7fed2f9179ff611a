/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash reports: what proc_lib tells the logger about a process that crashes, in OTP's terms.
 *
 * The report has two parts: the process itself, and its neighbours, which are the processes that will
 * die with it: those that are linked to it and do not trap exits, what is linked to those, and so
 * on, up to 15. One that is in a long step answers only when the node's monitor sees it, after a slice
 * or two (10 ms); so nobody is asked any more when a second is over.
 *
 * What is shown of the process itself is bounded: each of reason, stack trace, messages, dictionary and label
 * by a number of words, and a queue that is longer than MESSAGES is not even looked at. A process may have a
 * say in what is shown (cop_proc_lib_set_redact; a gen_server's table has one of its own): it is given the
 * reason, the dictionary, the label, and the messages one by one. Then arguments in the stack trace, which
 * may hold any of these, are shown as their number.
 *
 * Threads: the processes' own.
 */
#include <coppice/proc_lib.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "sys.h"

enum { NEIGHBOURS = 15, NEIGHBOURS_MS = 1000, MESSAGES = 1000 };

cop_term sys_initial_call_shown(cop_ctx *ctx, cop_term call) {
    int64_t arity;
    cop_term args = COP_NIL;
    if (cop_tuple_size(call) != 3 || !cop_get_i64(cop_elem(call, 2), &arity))
        return call;
    for (int64_t i = arity; i > 0; i--) {
        char name[32];
        snprintf(name, sizeof name, "Argument__%lld", (long long)i);
        args = cop_cons(ctx, cop_atom_new(name), args);
    }
    return cop_tuple(ctx, cop_elem(call, 0), cop_elem(call, 1), args);
}

/* ---- neighbours -------------------------------------------------------------------------------------- */

struct walk {
    cop_pid seen[NEIGHBOURS + 1]; /* the first is the process itself */
    size_t count;
    int64_t until_ms;
    cop_term told; /* [{:neighbour, list}, ...], the last one first, as in OTP */
};

static bool is_seen(const struct walk *w, cop_pid pid) {
    for (size_t i = 0; i < w->count; i++)
        if (cop_match(w->seen[i].t, pid))
            return true;
    return false;
}

static cop_term from_dictionary(cop_ctx *ctx, const char *key) {
    return cop_tuple(ctx, cop_a(dictionary), cop_atom_new(key));
}

/* [{item, value}, ...] of a process, or COP_NONE: it is gone, or lives on another node. */
static cop_term ask(cop_ctx *ctx, cop_pid pid) {
    volatile cop_term answer = COP_NONE;
    cop_term items =
        cop_list(ctx, from_dictionary(ctx, "$process_label"), from_dictionary(ctx, "$initial_call"),
                 from_dictionary(ctx, "$ancestors"), cop_a(registered_name), cop_a(initial_call),
                 cop_a(current_function), cop_a(message_queue_len), cop_a(links), cop_a(trap_exit),
                 cop_a(status), cop_a(heap_size), cop_a(stack_size), cop_a(reductions),
                 cop_a(current_stacktrace));
    COP_TRY(ctx) { answer.w = cop_process_info_list(ctx, pid, items).w; }
    COP_CATCH(caught) { (void)caught; }
    return (cop_term){ answer.w };
}

/* The value of an item, an atom or {:dictionary, key}. */
static cop_term value_of(cop_term answer, cop_term item) {
    cop_term pair;
    while (cop_get_cons(answer, &pair, &answer))
        if (cop_same(cop_elem(pair, 0), item))
            return cop_elem(pair, 1);
    return cop_a(undefined).t;
}

static cop_term pair_of(cop_ctx *ctx, cop_term answer, cop_atom item) {
    return cop_tuple(ctx, item, value_of(answer, item.t));
}

static cop_term neighbour(cop_ctx *ctx, cop_pid pid, cop_term answer) {
    cop_term call = value_of(answer, from_dictionary(ctx, "$initial_call"));
    cop_term ancestors = value_of(answer, from_dictionary(ctx, "$ancestors"));
    call = cop_tuple_size(call) == 3 ? sys_initial_call_shown(ctx, call)
                                     : value_of(answer, cop_a(initial_call).t);
    cop_term list = cop_list(
        ctx, cop_tuple(ctx, cop_a(pid), pid), pair_of(ctx, answer, cop_a(registered_name)),
        cop_tuple(ctx, cop_a(process_label),
                  value_of(answer, from_dictionary(ctx, "$process_label"))),
        cop_tuple(ctx, cop_a(initial_call), call), pair_of(ctx, answer, cop_a(current_function)),
        cop_tuple(ctx, cop_a(ancestors), cop_is_list(ancestors) ? ancestors : COP_NIL),
        pair_of(ctx, answer, cop_a(message_queue_len)), pair_of(ctx, answer, cop_a(links)),
        pair_of(ctx, answer, cop_a(trap_exit)), pair_of(ctx, answer, cop_a(status)),
        pair_of(ctx, answer, cop_a(heap_size)), pair_of(ctx, answer, cop_a(stack_size)),
        pair_of(ctx, answer, cop_a(reductions)), pair_of(ctx, answer, cop_a(current_stacktrace)));
    return cop_tuple(ctx, cop_a(neighbour), list);
}

/* All of a list first, then what is linked to the last of it, and so on to the first: OTP's order. */
static void visit(cop_ctx *ctx, struct walk *w, cop_term links) {
    cop_term link, next[NEIGHBOURS];
    cop_pid pid;
    size_t n = 0;
    while (cop_get_cons(links, &link, &links) && w->count <= NEIGHBOURS
           && cop_monotonic_ms(ctx) < w->until_ms) {
        if (!cop_get_pid(link, &pid) || is_seen(w, pid))
            continue;
        cop_term answer = ask(ctx, pid);
        if (cop_is_none(answer) || !cop_match(value_of(answer, cop_a(trap_exit).t), cop_a(false)))
            continue;
        w->seen[w->count++] = pid;
        next[n++] = value_of(answer, cop_a(links).t);
        w->told = cop_cons(ctx, neighbour(ctx, pid, answer), w->told);
    }
    while (n-- > 0)
        visit(ctx, w, next[n]);
}

static cop_term neighbours(cop_ctx *ctx) {
    struct walk w = { .seen = { cop_self(ctx) },
                      .count = 1,
                      .until_ms = cop_monotonic_ms(ctx) + NEIGHBOURS_MS,
                      .told = COP_NIL };
    visit(ctx, &w, cop_process_info(ctx, cop_self(ctx), cop_a(links)));
    return w.told;
}

/* ---- the process itself ---------------------------------------------------------------------------------- */

static cop_term redact_key(void) { return cop_as("$redact").t; }

void cop_proc_lib_set_redact(cop_ctx *ctx, cop_redact redact) {
    if (redact == NULL)
        cop_process_delete(ctx, redact_key());
    else
        cop_process_put(ctx, redact_key(), cop_of(ctx, (uint64_t)(uintptr_t)redact));
}

static cop_redact own_redact(cop_ctx *ctx) {
    uint64_t word;
    cop_term there = cop_process_get(ctx, redact_key());
    return !cop_is_none(there) && cop_get_u64(there, &word) ? (cop_redact)(uintptr_t)word : NULL;
}

cop_term sys_shown(cop_ctx *ctx, cop_redact redact, cop_atom what, cop_term term) {
    if (redact == NULL)
        return term;
    volatile cop_term shown = COP_NONE;
    COP_TRY(ctx) { shown.w = redact(ctx, what, term).w; }
    COP_CATCH(caught) { shown.w = cop_a(redacted).t.w; }
    return cop_is_none((cop_term){ shown.w }) ? cop_a(redacted).t : (cop_term){ shown.w };
}

static cop_term user_dictionary(cop_ctx *ctx) {
    cop_term list = cop_process_dictionary(ctx), shown = COP_NIL, pair;
    while (cop_get_cons(list, &pair, &list)) {
        cop_term key = cop_elem(pair, 0);
        if (!cop_match(key, cop_as("$ancestors")) && !cop_match(key, cop_as("$initial_call"))
            && !cop_match(key, cop_as("$process_label")) && !cop_same(key, redact_key()))
            shown = cop_cons(ctx, pair, shown);
    }
    return cop_list_reverse(ctx, shown);
}

static cop_term info(cop_ctx *ctx, cop_atom key) {
    return cop_process_info(ctx, cop_self(ctx), key);
}

static cop_term item(cop_ctx *ctx, cop_atom key) { return cop_tuple(ctx, key, info(ctx, key)); }

static cop_term messages(cop_ctx *ctx, cop_redact redact) {
    int64_t count = 0;
    cop_term list, message, shown = COP_NIL;
    cop_get_i64(info(ctx, cop_a(message_queue_len)), &count);
    if (count > MESSAGES)
        return cop_format(ctx, "%lld messages", (long long)count);
    list = info(ctx, cop_a(messages));
    if (redact == NULL)
        return list;
    while (cop_get_cons(list, &message, &list))
        shown = cop_cons(ctx, sys_shown(ctx, redact, cop_a(message), message), shown);
    return cop_list_reverse(ctx, shown);
}

/* Frames with the numbers of their arguments in the place of the arguments. */
static cop_term without_arguments(cop_ctx *ctx, cop_term trace) {
    cop_term frame, shown = COP_NIL;
    for (; cop_get_cons(trace, &frame, &trace); shown = cop_cons(ctx, frame, shown)) {
        int64_t arity = cop_tuple_size(frame) == 4 ? cop_list_length(cop_elem(frame, 2)) : -1;
        if (arity >= 0)
            frame =
                cop_tuple(ctx, cop_elem(frame, 0), cop_elem(frame, 1), arity, cop_elem(frame, 3));
    }
    return cop_list_reverse(ctx, shown);
}

static cop_term bounded(cop_ctx *ctx, cop_term t) { return sys_bounded(ctx, t, SYS_REPORT_WORDS); }

static cop_term error_info(cop_ctx *ctx, const cop_caught *caught, cop_redact redact) {
    cop_atom class = caught->class == COP_CLASS_EXIT    ? cop_a(exit)
                     : caught->class == COP_CLASS_ERROR ? cop_a(error)
                                                        : cop_a(throw);
    cop_term trace =
        redact == NULL ? caught->stacktrace : without_arguments(ctx, caught->stacktrace);
    return cop_tuple(ctx, class,
                     bounded(ctx, sys_shown(ctx, redact, cop_a(reason), caught->reason)),
                     bounded(ctx, trace));
}

static cop_term label(cop_ctx *ctx, cop_redact redact) {
    cop_term label = cop_proc_lib_get_label(ctx, cop_self(ctx));
    return cop_match(label, cop_a(undefined)) ? label : sys_shown(ctx, redact, cop_a(label), label);
}

static cop_term own(cop_ctx *ctx, const cop_caught *caught, cop_redact redact) {
    cop_term ancestors = cop_process_get(ctx, cop_as("$ancestors").t);
    cop_term call = cop_process_get(ctx, cop_as("$initial_call").t);
    cop_term dictionary = sys_shown(ctx, redact, cop_a(dictionary), user_dictionary(ctx));
    return cop_list(
        ctx,
        cop_tuple(ctx, cop_a(initial_call),
                  cop_is_none(call) ? cop_a(undefined).t : sys_initial_call_shown(ctx, call)),
        cop_tuple(ctx, cop_a(pid), cop_self(ctx)), item(ctx, cop_a(registered_name)),
        cop_tuple(ctx, cop_a(process_label), bounded(ctx, label(ctx, redact))),
        cop_tuple(ctx, cop_a(error_info), error_info(ctx, caught, redact)),
        cop_tuple(ctx, cop_a(ancestors), cop_is_none(ancestors) ? COP_NIL : ancestors),
        item(ctx, cop_a(message_queue_len)),
        cop_tuple(ctx, cop_a(messages), bounded(ctx, messages(ctx, redact))),
        item(ctx, cop_a(links)), cop_tuple(ctx, cop_a(dictionary), bounded(ctx, dictionary)),
        item(ctx, cop_a(trap_exit)), item(ctx, cop_a(status)), item(ctx, cop_a(heap_size)),
        item(ctx, cop_a(stack_size)), item(ctx, cop_a(reductions)));
}

void sys_crash_report(cop_ctx *ctx, const cop_caught *caught, cop_redact redact) {
    if (caught->class == COP_CLASS_EXIT && cop_reason_is_normal(caught->reason))
        return;
    if (!log_is_heard(ctx, COP_LEVEL_ERROR, true))
        return;
    if (redact == NULL)
        redact = own_redact(ctx);
    cop_term me = own(ctx, caught, redact);
    cop_term event = cop_map(ctx, cop_a(label), cop_tuple(ctx, cop_a(proc_lib), cop_a(crash)),
                             cop_a(report), cop_list(ctx, me, neighbours(ctx)));
    cop_term kind = cop_map(ctx, cop_a(tag), cop_a(error_report), cop_a(type), cop_a(crash_report));
    cop_term title = cop_map(ctx, cop_a(title), cop_charlist(ctx, "CRASH REPORT"));
    cop_log(ctx, COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(report), event),
            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp), cop_a(sasl)), cop_a(error_logger),
                    kind, cop_a(logger_formatter), title));
}

void cop_proc_lib_crash_report(cop_ctx *ctx, const cop_caught *caught) {
    sys_crash_report(ctx, caught, NULL);
}
