/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logger: a callback process registered as :logger that writes what Elixir's console logger
 * writes.
 *
 * An event is {:string, text}, {:format, format, args} or {:report, map}; log_text.c makes text of it,
 * in a buffer of the process's that is written at once, so that lines of two events never mix. An overloaded logger drops:
 * what waits beyond the limit is counted, and the count is written when there is room again.
 *
 * Threads: the process's own.
 */
#include <coppice/logger.h>
#include <coppice/node.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log_text.h"

struct logger {
    cop_logger_opts opts;
    struct log_text text;
    uint64_t dropped;
};

/* ---- writing ---------------------------------------------------------------------------------------------- */

static void write_out(struct logger *l) {
    struct log_text *t = &l->text;
    int fd = l->opts.fd == 0 ? STDERR_FILENO : l->opts.fd;
    for (size_t at = 0; at < t->size;) {
        ssize_t n = write(fd, t->text + at, t->size - at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    t->size = 0;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static cop_level level_of(cop_term name) {
    static const char *const names[] = { "emergency", "alert",  "critical", "error",
                                         "warning",   "notice", "info",     "debug" };
    cop_atom a;
    for (unsigned i = 0; i < 8; i++)
        if (cop_get_atom(name, &a) && strcmp(cop_atom_name(a, NULL), names[i]) == 0)
            return (cop_level)i;
    return COP_LEVEL_ERROR;
}

static bool is_of_sasl(cop_term metadata) {
    cop_term domain, first, rest;
    return cop_map_get(metadata, cop_a(domain).t, &domain)
           && cop_match_cons(domain, cop_a(otp), &rest) && cop_match_cons(rest, &first, &rest)
           && cop_match(first, cop_a(sasl));
}

static void put_header(cop_ctx *ctx, struct logger *l, cop_term level, cop_term metadata) {
    cop_atom name;
    cop_term time_us;
    int64_t us = 0;
    log_put(ctx, &l->text, "\n");
    if (!l->opts.no_time) {
        if (cop_map_get(metadata, cop_a(time).t, &time_us))
            cop_get_i64(time_us, &us);
        time_t seconds = us / 1000000;
        struct tm tm;
        char text[32];
        localtime_r(&seconds, &tm);
        snprintf(text, sizeof text, "%02d:%02d:%02d.%03d ", tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int)(us / 1000 % 1000));
        log_put(ctx, &l->text, text);
    }
    log_put(ctx, &l->text, "[");
    log_put(ctx, &l->text, cop_get_atom(level, &name) ? cop_atom_name(name, NULL) : "error");
    log_put(ctx, &l->text, "] ");
}

static void log_event(cop_ctx *ctx, struct logger *l, cop_term level, cop_term event,
                      cop_term metadata) {
    cop_level limit = l->opts.level == 0 ? COP_LEVEL_DEBUG : l->opts.level;
    if (level_of(level) > limit || (!l->opts.sasl_reports && is_of_sasl(metadata)))
        return;
    put_header(ctx, l, level, metadata);
    l->text.details = limit == COP_LEVEL_DEBUG;
    log_put_event(ctx, &l->text, event);
    log_put(ctx, &l->text, "\n");
    write_out(l);
}

static bool is_overloaded(cop_ctx *ctx, struct logger *l) {
    size_t limit = l->opts.queue_limit == 0 ? 1000 : l->opts.queue_limit;
    int64_t waiting;
    return cop_get_i64(cop_process_info(ctx, cop_self(ctx), cop_a(message_queue_len)), &waiting)
           && (size_t)waiting > limit;
}

static void on_message(cop_ctx *ctx, void *state, cop_term message) {
    struct logger *l = state;
    cop_term level, event, metadata;
    cop_pid pid;
    cop_ref ref;
    if (cop_match_tuple(message, cop_a(log), &level, &event, &metadata)) {
        if (is_overloaded(ctx, l)) {
            l->dropped++;
            return;
        }
        if (l->dropped > 0) {
            char text[80];
            snprintf(text, sizeof text, "\n[warning] Logger dropped %llu events\n",
                     (unsigned long long)l->dropped);
            log_put(ctx, &l->text, text);
            l->dropped = 0;
        }
        log_event(ctx, l, level, event, metadata);
    } else if (cop_match_tuple(message, cop_a(flush), &pid, &ref)) {
        cop_send(ctx, pid, cop_tuple(ctx, ref, cop_a(ok)));
    }
}

/* The options of the next logger; starting is a host call, one at a time. */
static cop_logger_opts next_opts;

static void logger_entry(cop_ctx *ctx, cop_term arg) {
    static const cop_callbacks callbacks = { .name = "logger", .message = on_message };
    struct logger *l = cop_process_state(ctx, sizeof *l);
    l->opts = next_opts;
    if (!cop_process_try_register(ctx, cop_self(ctx), cop_a(logger)))
        cop_exit(ctx, cop_a(already_started));
    cop_process_set_priority(ctx, COP_PRIORITY_HIGH);
    cop_become(ctx, &callbacks, l);
}

cop_pid cop_logger_start(const cop_logger_opts *opts) {
    next_opts = opts != NULL ? *opts : (cop_logger_opts){ 0 };
    return cop_node_spawn(logger_entry);
}

void cop_logger_flush(cop_ctx *ctx) {
    cop_term logger = cop_process_whereis(ctx, cop_a(logger)), message;
    if (cop_is_none(logger))
        return;
    cop_ref ref = cop_process_monitor(ctx, logger);
    cop_send(ctx, logger, cop_tuple(ctx, cop_a(flush), cop_self(ctx), ref));
    cop_receive_ref(ctx, 5000, ref, &message);
    cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
}

void cop_logger_write(cop_ctx *ctx, cop_level level, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cop_log(ctx, level, cop_tuple(ctx, cop_a(string), (const char *)text), COP_NONE);
}
