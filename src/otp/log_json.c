/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as JSON lines: one object, one line, whatever the event holds.
 *
 *     {"time":"2023-11-14T22:13:20.000123Z","level":"info","message":"...","pid":"#PID<0.12.0>",...}
 *
 * Strings are escaped as RFC 8259 asks, and hold only UTF-8: a byte that is none becomes U+FFFD. No key comes
 * twice: keys of the metadata are atoms, others are shown as inspect shows them (so a string keeps its
 * quotation marks), and one that is named like a field of ours gets "metadata." in front.
 *
 * Threads: the process's own that has the buffer.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "log_format.h"

enum { VALUE_LIMIT = 8096 };

/* Within quotation marks. */
static void put_string(cop_ctx *ctx, struct log_text *out, const char *text, size_t size) {
    const unsigned char *at = (const unsigned char *)text, *end = at + size;
    log_put(ctx, out, "\"");
    while (at < end) {
        size_t n = log_character(at, end);
        char escape[8];
        if (n == 0) {
            log_put(ctx, out, "\xef\xbf\xbd");
            n = 1;
        } else if (*at == '"' || *at == '\\') {
            escape[0] = '\\';
            escape[1] = (char)*at;
            log_put_bytes(ctx, out, escape, 2);
        } else if (*at < 0x20 || *at == 0x7f) {
            const char *known = *at == '\n'   ? "\\n"
                                : *at == '\t' ? "\\t"
                                : *at == '\r' ? "\\r"
                                              : NULL;
            snprintf(escape, sizeof escape, "\\u%04x", *at);
            log_put(ctx, out, known != NULL ? known : escape);
        } else {
            log_put_bytes(ctx, out, at, n);
        }
        at += n;
    }
    log_put(ctx, out, "\"");
}

static void put_cut(cop_ctx *ctx, struct log_text *out, const char *text, size_t size,
                    size_t limit) {
    struct log_text part = { .limit = limit };
    log_put_bytes(ctx, &part, text, size);
    while (part.was_cut && part.size > 0 && ((unsigned char)text[part.size] & 0xc0) == 0x80)
        part.size--; /* no half character */
    part.limit = 0;
    if (part.was_cut)
        log_put(ctx, &part, " (truncated)");
    put_string(ctx, out, part.text, part.size);
    cop_free(ctx, part.text);
}

/* Integers that a double holds are numbers, as every reader understands them; others are text. */
static bool put_number(cop_ctx *ctx, struct log_text *out, cop_term value) {
    int64_t n;
    double d;
    char text[64];
    if (cop_get_i64(value, &n) && n >= -INT64_C(9007199254740991)
        && n <= INT64_C(9007199254740991)) {
        log_put_integer(ctx, out, n);
        return true;
    }
    if (!cop_get_double(value, &d) || !isfinite(d))
        return false;
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        double again;
        if (sscanf(text, "%lf", &again) == 1 && again >= d && again <= d)
            break;
    }
    log_put(ctx, out, text);
    return true;
}

static void put_value(cop_ctx *ctx, struct log_text *out, cop_term value, size_t limit) {
    cop_bytes bytes;
    cop_atom atom;
    bool yes;
    if (cop_get_bool(value, &yes)) {
        log_put(ctx, out, yes ? "true" : "false");
    } else if (cop_match(value, cop_a(nil))) {
        log_put(ctx, out, "null");
    } else if (cop_get_atom(value, &atom)) {
        size_t size;
        const char *name = cop_atom_name(atom, &size);
        size_t prefix = strncmp(name, "Elixir.", 7) == 0 ? 7 : 0;
        put_string(ctx, out, name + prefix, size - prefix);
    } else if (cop_get_bytes(value, &bytes)) {
        put_cut(ctx, out, (const char *)bytes.data, bytes.size, limit);
    } else if (!put_number(ctx, out, value)
               && cop_get_bytes(cop_inspect(ctx, value, NULL), &bytes)) {
        put_cut(ctx, out, (const char *)bytes.data, bytes.size, limit);
    }
}

static void put_field(cop_ctx *ctx, struct log_text *out, cop_term key, cop_term value,
                      size_t truncate) {
    static const char *const ours[] = { "time", "level", "message" };
    cop_bytes bytes = { 0 };
    char name[300];
    cop_atom atom;
    if (cop_get_atom(key, &atom)) {
        bytes.data = (const uint8_t *)cop_atom_name(atom, &bytes.size);
        for (size_t i = 0; i < 3; i++)
            if (strcmp((const char *)bytes.data, ours[i]) == 0) {
                bytes.size = (size_t)snprintf(name, sizeof name, "metadata.%s", ours[i]);
                bytes.data = (const uint8_t *)name;
                break;
            }
    } else {
        cop_get_bytes(cop_inspect(ctx, key, NULL), &bytes);
    }
    log_put(ctx, out, ",");
    put_string(ctx, out, (const char *)bytes.data, bytes.size);
    log_put(ctx, out, ":");
    put_value(ctx, out, value,
              truncate == 0              ? VALUE_LIMIT
              : truncate == COP_NO_LIMIT ? 0
                                         : truncate);
}

void log_put_json(cop_ctx *ctx, struct log_text *out, const cop_log_event *event,
                  const cop_logger_formatter *f, bool details) {
    int64_t us = log_time_us(event);
    time_t seconds = us / 1000000;
    struct tm tm = { 0 };
    char text[80];
    struct log_text message = { 0 };
    gmtime_r(&seconds, &tm);
    snprintf(text, sizeof text, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\",\"level\":\"",
             tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (int)(us % 1000000));
    log_put(ctx, out, text);
    log_put(ctx, out, cop_level_name(event->level));
    log_put(ctx, out, "\",\"message\":");
    log_put_message(ctx, &message, event, f->truncate, details);
    put_string(ctx, out, message.text, message.size);
    cop_free(ctx, message.text);
    log_each_pair(ctx, out, f->metadata != NULL ? f->metadata : "all", event->metadata, f->truncate,
                  put_field);
    log_put(ctx, out, "}\n");
}
