/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as text, by a pattern as Elixir's Logger.Formatter takes it.
 *
 * The message is made first, in a text of its own with a limit, then put where $message stands. What comes
 * out is always UTF-8: binaries are not trusted to hold any. Values of the metadata are shown by the
 * rules of Elixir's formatter, which leaves out lists and maps.
 *
 * Threads: the process's own that has the buffer.
 */
#include "log_format.h"

#include <coppice/node.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TRUNCATE = 8096, METADATA_LIMIT = 8096 };

static const char default_pattern[] = "\n$time $metadata[$level] $message\n";
static const char *const words[] = { "time", "date", "level", "message", "metadata", "node" };
enum { TIME, DATE, LEVEL, MESSAGE, METADATA, NODE, WORDS };

/* ---- patterns ------------------------------------------------------------------------------------------------ */

/* Which word begins at `at`, behind the $; *size is its length. WORDS for none. */
static size_t word_at(const char *at, size_t *size) {
    *size = strspn(at, "abcdefghijklmnopqrstuvwxyz");
    size_t i = 0;
    while (i < WORDS && (strlen(words[i]) != *size || strncmp(at, words[i], *size) != 0))
        i++;
    return i;
}

/* A $ that no letter follows is itself. */
bool log_pattern_is_good(const char *pattern) {
    size_t size;
    for (const char *at = pattern; at != NULL && (at = strchr(at, '$')) != NULL; at++)
        if (word_at(at + 1, &size) == WORDS && size > 0)
            return false;
    return true;
}

/* ---- the message ------------------------------------------------------------------------------------------------ */

/* Takes off a character that was cut in two. */
static void mend_end(struct log_text *l) {
    const unsigned char *text = (const unsigned char *)l->text;
    for (size_t back = 1; back <= 3 && back <= l->size; back++) {
        unsigned char c = text[l->size - back];
        if (c < 0x80)
            return;
        if (c >= 0xc0) {
            size_t wanted = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
            if (back < wanted)
                l->size -= back;
            return;
        }
    }
}

static void append_cleaned(cop_ctx *ctx, struct log_text *out, struct log_text *part) {
    size_t from = out->size;
    if (part->was_cut)
        mend_end(part);
    log_put_bytes(ctx, out, part->text, part->size);
    log_clean(ctx, out, from);
    if (part->was_cut)
        log_put(ctx, out, " (truncated)");
    cop_free(ctx, part->text);
}

void log_put_message(cop_ctx *ctx, struct log_text *out, const cop_log_event *event,
                     size_t truncate, bool details) {
    struct log_text message = { .limit = truncate == 0              ? TRUNCATE
                                         : truncate == COP_NO_LIMIT ? 0
                                                                    : truncate,
                                .details = details };
    log_put_event(ctx, &message, event->event);
    append_cleaned(ctx, out, &message);
}

/* ---- metadata ------------------------------------------------------------------------------------------------------ */

static bool is_word_of(const char *list, const char *word, size_t size) {
    for (const char *at = list; *at != '\0';) {
        at += strspn(at, " ,");
        size_t n = strcspn(at, " ,");
        if (n == size && strncmp(at, word, n) == 0)
            return true;
        at += n;
    }
    return false;
}

/* What nobody reads is not part of "all". */
bool log_key_is_shown(const char *list, cop_atom key) {
    static const char machines[] = "gl time report_cb error_logger logger_formatter";
    size_t size;
    const char *name = cop_atom_name(key, &size);
    if (list == NULL)
        return false;
    return strcmp(list, "all") == 0 ? !is_word_of(machines, name, size)
                                    : is_word_of(list, name, size);
}

void log_each_pair(cop_ctx *ctx, struct log_text *out, const char *list, cop_term metadata,
                   size_t truncate, log_put_pair put) {
    cop_term key, value;
    cop_atom name;
    if (list == NULL || !cop_is_map(metadata))
        return;
    if (strcmp(list, "all") == 0) {
        for (cop_map_iter it = cop_map_first(metadata); cop_map_next(&it, &key, &value);)
            if (!cop_get_atom(key, &name) || log_key_is_shown(list, name))
                put(ctx, out, key, value, truncate);
        return;
    }
    for (const char *at = list; *at != '\0';) {
        at += strspn(at, " ,");
        size_t n = strcspn(at, " ,");
        if (n > 0 && cop_atom_existing(at, n, &name) && cop_map_get(metadata, name.t, &value))
            put(ctx, out, name.t, value, truncate);
        at += n;
    }
}

/* As inspect shows a pid or a reference, without what stands before the '<'. */
static void put_identity(cop_ctx *ctx, struct log_text *out, cop_term t) {
    char text[128];
    cop_inspect_to(text, sizeof text, t, NULL);
    const char *at = strchr(text, '<');
    log_put(ctx, out, at != NULL ? at : text);
}

static bool put_domain(cop_ctx *ctx, struct log_text *out, cop_term list) {
    cop_term head;
    cop_atom name;
    if (cop_is_nil(list))
        return false;
    for (bool first = true; cop_get_cons(list, &head, &list); first = false) {
        if (!cop_get_atom(head, &name))
            return !first;
        log_put(ctx, out, first ? "" : ".");
        log_put(ctx, out, cop_atom_name(name, NULL));
    }
    return true;
}

bool log_put_value(cop_ctx *ctx, struct log_text *out, cop_term key, cop_term value) {
    cop_atom name, module, function;
    cop_bytes bytes;
    cop_term arity;
    int64_t n;
    if (cop_match(value, cop_a(nil)))
        return false;
    if (cop_get_bytes(value, &bytes)) {
        log_put_bytes(ctx, out, bytes.data, bytes.size);
    } else if (cop_get_atom(value, &name)) {
        const char *text = cop_atom_name(name, NULL);
        log_put(ctx, out, strncmp(text, "Elixir.", 7) == 0 ? text + 7 : text);
    } else if (cop_is_number(value)) {
        log_put_term(ctx, out, value);
    } else if (cop_is_pid(value) || cop_is_ref(value) || cop_is_port(value)) {
        put_identity(ctx, out, value);
    } else if (cop_match(key, cop_a(domain)) && cop_is_list(value)) {
        return put_domain(ctx, out, value);
    } else if ((cop_match(key, cop_a(mfa)) || cop_match(key, cop_a(initial_call)))
               && cop_match_tuple(value, &module, &function, &arity) && cop_get_i64(arity, &n)) {
        log_put_call(ctx, out, module, function, arity);
    } else if (cop_match(key, cop_a(file)) && cop_is_cons(value)) {
        log_put_chardata(ctx, out, value);
    } else {
        return false;
    }
    return true;
}

/* "key=value ", as Elixir has it. */
static void put_pair(cop_ctx *ctx, struct log_text *out, cop_term key, cop_term value,
                     size_t truncate) {
    cop_atom name;
    size_t before = out->size;
    struct log_text part = { .limit = METADATA_LIMIT };
    if (!cop_get_atom(key, &name))
        return;
    if (log_put_value(ctx, &part, key, value)) {
        log_put(ctx, out, cop_atom_name(name, NULL));
        log_put(ctx, out, "=");
        append_cleaned(ctx, out, &part);
        log_put(ctx, out, " ");
    } else {
        cop_free(ctx, part.text);
        out->size = before;
    }
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

int64_t log_time_us(const cop_log_event *event) {
    cop_term time;
    int64_t us = 0;
    if (cop_map_get(event->metadata, cop_a(time).t, &time))
        cop_get_i64(time, &us);
    return us < 0 ? 0 : us;
}

static void put_time(cop_ctx *ctx, struct log_text *out, const cop_log_event *event, size_t word,
                     bool utc) {
    int64_t us = log_time_us(event);
    time_t seconds = us / 1000000;
    struct tm tm = { 0 };
    char text[64];
    if (utc)
        gmtime_r(&seconds, &tm);
    else
        localtime_r(&seconds, &tm);
    if (word == DATE)
        snprintf(text, sizeof text, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    else
        snprintf(text, sizeof text, "%02d:%02d:%02d.%03d", tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int)(us / 1000 % 1000));
    log_put(ctx, out, text);
}

static void put_word(cop_ctx *ctx, struct log_text *out, size_t word, const cop_log_event *event,
                     const cop_logger_formatter *f, bool details) {
    switch (word) {
    case TIME:
    case DATE:
        put_time(ctx, out, event, word, f->utc);
        break;
    case LEVEL:
        log_put(ctx, out, cop_level_name(event->level));
        break;
    case MESSAGE:
        log_put_message(ctx, out, event, f->truncate, details);
        break;
    case METADATA:
        log_each_pair(ctx, out, f->metadata, event->metadata, f->truncate, put_pair);
        break;
    default:
        log_put(ctx, out, "nonode@nohost");
    }
}

static void put_pattern(cop_ctx *ctx, struct log_text *out, const cop_log_event *event,
                        const cop_logger_formatter *f, bool details) {
    const char *at = f->pattern != NULL ? f->pattern : default_pattern;
    while (*at != '\0') {
        size_t plain = strcspn(at, "$"), size, word;
        log_put_bytes(ctx, out, at, plain);
        at += plain;
        if (*at == '\0')
            break;
        word = word_at(at + 1, &size);
        if (word == WORDS)
            log_put_bytes(ctx, out, at, size + 1);
        else
            put_word(ctx, out, word, event, f, details);
        at += size + 1;
    }
}

static void put_custom(cop_ctx *ctx, struct log_text *out, const cop_log_event *event,
                       const cop_logger_formatter *f, bool details) {
    struct log_text message = { 0 };
    log_put_message(ctx, &message, event, f->truncate, details);
    cop_term text = cop_binary(ctx, message.text, message.size);
    cop_free(ctx, message.text);
    volatile cop_term made = COP_NONE;
    volatile bool failed = false;
    COP_TRY(ctx) { made.w = f->format(ctx, event, text, f->arg).w; }
    COP_CATCH(caught) {
        made.w = caught->reason.w;
        failed = true;
    }
    size_t from = out->size;
    if (failed) {
        log_put(ctx, out, "could not format: ");
        log_put_term(ctx, out, event->event);
        log_put(ctx, out, "\n");
    } else {
        log_put_chardata(ctx, out, (cop_term){ made.w });
    }
    log_clean(ctx, out, from);
}

static const char *colour_of(cop_level level) {
    return level <= COP_LEVEL_ERROR     ? "\033[31m"
           : level == COP_LEVEL_WARNING ? "\033[33m"
           : level == COP_LEVEL_DEBUG   ? "\033[36m"
                                        : "\033[22m";
}

void log_put_formatted(cop_ctx *ctx, struct log_text *out, const cop_log_event *event,
                       const cop_logger_formatter *f, bool details) {
    if (f->colors)
        log_put(ctx, out, colour_of(event->level));
    if (f->format != NULL)
        put_custom(ctx, out, event, f, details);
    else if (f->json)
        log_put_json(ctx, out, event, f, details);
    else
        put_pattern(ctx, out, event, f, details);
    if (f->colors)
        log_put(ctx, out, "\033[0m");
}

static cop_term as_binary(cop_ctx *ctx, struct log_text *text) {
    cop_term binary = cop_binary(ctx, text->size > 0 ? text->text : "", text->size);
    cop_free(ctx, text->text);
    return binary;
}

cop_term cop_logger_format(cop_ctx *ctx, const cop_log_event *event,
                           const cop_logger_formatter *formatter) {
    static const cop_logger_formatter defaults;
    struct log_text text = { 0 };
    log_put_formatted(ctx, &text, event, formatter != NULL ? formatter : &defaults,
                      cop_log_level() == COP_LEVEL_DEBUG);
    return as_binary(ctx, &text);
}

cop_term cop_logger_message(cop_ctx *ctx, const cop_log_event *event, bool details) {
    struct log_text text = { 0 };
    log_put_message(ctx, &text, event, 0, details);
    return as_binary(ctx, &text);
}
