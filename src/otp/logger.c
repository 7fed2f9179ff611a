/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logger: an event on its way, in the process that logs.
 *
 *     macro --enabled?--> printf, site --> cop_log --> log_dispatch --filters, bound--> handlers' mailboxes
 *      one load                             (core)     levels, primary filters          {:log, level, ...}
 *
 * Nothing on this way waits. A handler that has its limit of events waiting is passed over and the event
 * counted as dropped; the handler's process says so later. Events that one process logs reach each handler
 * in their order, because they are sent by that process.
 *
 * A handler's own events do not go to itself: what breaks it would come back for ever. Once the logger is
 * closed, which is when its node stops, events are written by the process that logs; only a program's own,
 * because all processes are killed then, in no order, and behaviours report what they see of it.
 *
 * Threads: the processes' own. log_state is written by the logger's server, and by the host that stops the
 * node.
 */
#include <coppice/gen_server.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "log_text.h"
#include "sys.h"

enum { LONGEST_TEXT = 65536, LARGEST_EVENT = 4 * SYS_REPORT_WORDS };

int log_state;

/* ---- filters -------------------------------------------------------------------------------------------------- */

cop_term log_own_report(cop_ctx *ctx, const char *what, cop_term report) {
    return cop_tuple(ctx, cop_a(report),
                     cop_map(ctx, cop_a(label), cop_tuple(ctx, cop_a(logger), cop_atom_new(what)),
                             cop_a(report), report));
}

void log_own_event(cop_ctx *ctx, cop_level level, const char *what, cop_term report) {
    cop_log(ctx, level, log_own_report(ctx, what, report),
            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp))));
}

static void remove_filter(cop_ctx *ctx, struct log_filters *filters, size_t at, cop_term reason) {
    uint32_t before = __atomic_fetch_or(&filters->removed, 1U << at, __ATOMIC_ACQ_REL);
    if ((before >> at & 1) != 0)
        return;
    cop_term list = cop_list(ctx, cop_tuple(ctx, cop_a(filter), (const char *)filters->ids[at]),
                             cop_tuple(ctx, cop_a(reason), reason));
    log_own_event(ctx, COP_LEVEL_ERROR, "removed_failing_filter", list);
}

/* What the filter says; one that raises has no opinion, for the last time. */
static cop_filter_result ask(cop_ctx *ctx, struct log_filters *filters, size_t at,
                             cop_log_event *event) {
    volatile cop_filter_result result = COP_FILTER_IGNORE;
    cop_log_event before = *event;
    COP_TRY(ctx) { result = filters->list[at].filter(ctx, event, filters->list[at].arg); }
    COP_CATCH(caught) {
        *event = before;
        remove_filter(ctx, filters, at, caught->reason);
    }
    return result;
}

static bool passes(cop_ctx *ctx, struct log_filters *filters, cop_log_event *event) {
    if (filters == NULL)
        return true;
    bool wanted = !filters->default_stop;
    for (size_t i = 0; i < filters->count; i++) {
        if ((__atomic_load_n(&filters->removed, __ATOMIC_RELAXED) >> i & 1) != 0)
            continue;
        cop_filter_result result = ask(ctx, filters, i, event);
        if (result == COP_FILTER_STOP)
            return false;
        wanted = wanted || result == COP_FILTER_LOG;
    }
    return wanted;
}

/* Is the list [:a, :b, ...] what the text says, "a.b", or (unless only_equal) something below it? */
static bool is_of_domain(cop_term domain, const cop_domain_filter *f) {
    if (f->domain == NULL || cop_is_none(domain))
        return f->domain == NULL && cop_is_none(domain);
    for (const char *at = f->domain; *at != '\0';) {
        size_t n = strcspn(at, "."), size;
        cop_term head;
        cop_atom name;
        if (!cop_get_cons(domain, &head, &domain) || !cop_get_atom(head, &name))
            return false;
        const char *text = cop_atom_name(name, &size);
        if (size != n || memcmp(text, at, n) != 0)
            return false;
        at += n + (at[n] == '.');
    }
    return !f->only_equal || cop_is_nil(domain);
}

cop_filter_result cop_logger_filter_domain(cop_ctx *ctx, cop_log_event *event, const void *arg) {
    const cop_domain_filter *f = arg;
    cop_term domain = COP_NONE;
    cop_map_get(event->metadata, cop_a(domain).t, &domain);
    if (is_of_domain(domain, f) == f->invert)
        return COP_FILTER_IGNORE;
    return f->log ? COP_FILTER_LOG : COP_FILTER_STOP;
}

/* ---- to the handlers ---------------------------------------------------------------------------------------------- */

static const cop_domain_filter sasl = { .domain = "otp.sasl" }, otp = { .domain = "otp" };

static bool is_of(cop_term metadata, const cop_domain_filter *filter) {
    cop_term domain;
    return cop_map_get(metadata, cop_a(domain).t, &domain) && is_of_domain(domain, filter);
}

static bool wants(const struct log_handler *h, cop_level level, bool is_sasl) {
    return __atomic_load_n(&h->id, __ATOMIC_ACQUIRE) != 0
           && (int)level <= __atomic_load_n(&h->level, __ATOMIC_RELAXED)
           && (!is_sasl || __atomic_load_n(&h->sasl, __ATOMIC_RELAXED) != 0);
}

/* Sends it, or counts it as dropped: the handler is between two lives, or has enough to do. */
static void hand_over(cop_ctx *ctx, struct log_handler *h, cop_term message) {
    struct log_life *life = &h->lives[__atomic_load_n(&h->current, __ATOMIC_ACQUIRE) & 1];
    cop_pid pid = { { __atomic_load_n(&life->pid, __ATOMIC_ACQUIRE) } };
    if (pid.t.w == cop_self(ctx).t.w)
        return;
    if (!cop_is_none(pid.t)
        && __atomic_fetch_add(&life->queued, 1, __ATOMIC_RELAXED)
               < __atomic_load_n(&h->limit, __ATOMIC_RELAXED)) {
        cop_send(ctx, pid, message);
        return;
    }
    if (!cop_is_none(pid.t))
        __atomic_fetch_sub(&life->queued, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&h->dropped, 1, __ATOMIC_RELAXED);
}

static cop_term message_of(cop_ctx *ctx, const cop_log_event *e) {
    return cop_tuple(ctx, cop_a(log), (int)e->level, e->event, e->metadata);
}

static bool is_allowed(cop_ctx *ctx, cop_level level, cop_term metadata) {
    cop_term file;
    cop_bytes path = { NULL, 0 };
    if (cop_map_get(metadata, cop_a(file).t, &file))
        cop_get_bytes(file, &path);
    return log_allows(ctx, level, (const char *)path.data, path.size);
}

/* The beginning of a text of more bytes than anybody reads. */
static cop_term cut_text(cop_ctx *ctx, cop_term chardata) {
    struct log_text text = { .limit = LONGEST_TEXT };
    log_put_chardata(ctx, &text, chardata);
    cop_term binary = cop_binary(ctx, text.text, text.size);
    cop_free(ctx, text.text);
    return binary;
}

/* Reports, arguments and texts of more words than anybody reads travel as their beginning, as text. */
static cop_term bounded(cop_ctx *ctx, cop_term event) {
    cop_term what, format;
    bool is_text = cop_match_tuple(event, cop_a(string), &what);
    if (!is_text && !cop_match_tuple(event, cop_a(report), &what)
        && !cop_match_tuple(event, cop_a(format), &format, &what))
        return event;
    cop_term cut = sys_bounded(ctx, what, LARGEST_EVENT);
    if (cut.w == what.w)
        return event;
    return cop_tuple(ctx, cop_a(string), is_text ? cut_text(ctx, what) : cut);
}

void log_dispatch(cop_ctx *ctx, cop_level level, cop_term event, cop_term metadata) {
    if (!is_allowed(ctx, level, metadata))
        return;
    cop_log_event e = { level, bounded(ctx, event), log_translated(ctx, event, metadata) };
    if (!passes(ctx, log_primary_filters(), &e))
        return;
    if (__atomic_load_n(&log_state, __ATOMIC_ACQUIRE) == LOG_CLOSED) {
        if (!is_of(e.metadata,
                   &otp)) /* who sees his supervisor killed by the stop has nothing to tell */
            log_write_direct(ctx, &e);
        return;
    }
    bool is_sasl = is_of(e.metadata, &sasl);
    cop_term message = COP_NONE; /* made once, unless a filter changes it */
    for (int i = 0; i < LOG_HANDLERS; i++) {
        struct log_handler *h = &log_handlers[i];
        if (!wants(h, e.level, is_sasl))
            continue;
        struct log_filters *filters = __atomic_load_n(&h->filters, __ATOMIC_ACQUIRE);
        cop_log_event own = e;
        if (filters != NULL && passes(ctx, filters, &own))
            hand_over(ctx, h, message_of(ctx, &own));
        if (filters != NULL)
            continue;
        if (cop_is_none(message))
            message = message_of(ctx, &e);
        hand_over(ctx, h, message);
    }
}

bool log_is_heard(cop_ctx *ctx, cop_level level, bool is_sasl) {
    if (!cop_log_is_enabled(level))
        return false;
    cop_term named = cop_process_whereis(ctx, cop_a(logger));
    int state = __atomic_load_n(&log_state, __ATOMIC_ACQUIRE);
    if (state != LOG_ON || named.w != log_server_pid())
        return state != LOG_CLOSED && !cop_is_none(named);
    for (int i = 0; i < LOG_HANDLERS; i++)
        if (wants(&log_handlers[i], level, is_sasl))
            return true;
    return false;
}

/* ---- messages ------------------------------------------------------------------------------------------------------ */

void cop__logger_printf(cop_ctx *ctx, cop_level level, const cop_log_site *site, const char *format,
                        ...) {
    if (!log_allows(ctx, level, site->file, strlen(site->file)))
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cop_term binary;
    if (n < (int)sizeof text) {
        binary = cop_of(ctx, n < 0 ? format : (const char *)text);
    } else {
        size_t size = n > LONGEST_TEXT ? LONGEST_TEXT : (size_t)n;
        char *longer = cop_alloc(ctx, size + 1);
        va_start(args, format);
        vsnprintf(longer, size + 1, format, args);
        va_end(args);
        binary = cop_binary(ctx, longer, size);
        cop_free(ctx, longer);
    }
    cop_log(ctx, level, cop_tuple(ctx, cop_a(string), binary),
            log_site_metadata(ctx, site, COP_NONE));
}

/* Chardata is a text; a map, or a list that begins with {atom, _}, a report; anything else is inspected. */
static cop_term event_of(cop_ctx *ctx, cop_term message) {
    cop_term head, tail, value;
    cop_atom key;
    if (cop_is_map(message)
        || (cop_get_cons(message, &head, &tail) && cop_match_tuple(head, &key, &value)))
        return cop_tuple(ctx, cop_a(report), message);
    if (!cop_is_list(message) && !cop_is_binary(message))
        message = cop_inspect(ctx, message, NULL);
    return cop_tuple(ctx, cop_a(string), message);
}

void cop__logger_log(cop_ctx *ctx, cop_level level, const cop_log_site *site, cop_term message,
                     cop_term metadata) {
    if (log_allows(ctx, level, site->file, strlen(site->file)))
        cop_log(ctx, level, event_of(ctx, message), log_site_metadata(ctx, site, metadata));
}

void cop__logger_lazy(cop_ctx *ctx, cop_level level, const cop_log_site *site,
                      cop_term (*message)(cop_ctx *ctx, void *arg), void *arg, cop_term metadata) {
    if (log_allows(ctx, level, site->file, strlen(site->file)) && log_is_heard(ctx, level, false))
        cop_log(ctx, level, event_of(ctx, message(ctx, arg)),
                log_site_metadata(ctx, site, metadata));
}
