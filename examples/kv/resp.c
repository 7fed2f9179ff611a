/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RESP2 parser.
 *
 * It reads straight from the bytes that a connection received, and copies only the beginning of a
 * command whose end has not come yet:
 *
 *     fed bytes    *3 $3 SET $1 a $1 b | *2 $3 GET $1 a | *2 $3 GE
 *                   first command        second           kept in `held` by resp_park
 *
 * What it has understood of an incomplete command stays (`missing`, `bulk`, the arguments so far),
 * so nothing is read twice however the bytes are cut. Arguments are remembered as offsets from the
 * command's first byte, because the bytes move when more come; they become pointers when the
 * command is complete.
 *
 * Invariants
 *   1. start <= next <= size; everything before `start` is done with.
 *   2. missing > 0 means that the header of an array was read; then bulk >= 0 means that the
 *      length of the next argument was read too.
 *   3. Memory grows with the bytes received, never with a length that was only announced.
 * Texts and limits are those of redis-server 7.0.15, observed; it accepts 2^31 - 1 arguments.
 * Threads: one parser belongs to one process.
 */
#include "resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEEP_AT_MOST = 4096, /* an idle parser holds no more memory than this */
    FIRST_ARGS = 8,
};

void resp_init(struct resp *resp, const struct resp_limits *limits) {
    *resp = (struct resp){ .bulk = -1 };
    if (limits != NULL)
        resp->limits = *limits;
    struct resp_limits *has = &resp->limits;
    if (has->max_line == 0)
        has->max_line = 64 * 1024;
    if (has->max_bulk == 0)
        has->max_bulk = 64 * 1024 * 1024;
    if (has->max_args == 0)
        has->max_args = 1024 * 1024;
    if (has->max_command == 0)
        has->max_command = has->max_bulk > 8 << 20 ? has->max_bulk * 2 : 16 << 20;
}

void resp_feed(struct resp *resp, const uint8_t *data, size_t size) {
    if (resp->held.size == 0) {
        resp->data = data;
        resp->size = size;
        return;
    }
    buffer_put(&resp->held, data, size);
    resp->data = resp->held.data;
    resp->size = resp->held.size;
}

void resp_park(struct resp *resp) {
    size_t left = resp->size - resp->start;
    if (resp->held.size > 0) {
        buffer_drop(&resp->held, resp->start);
    } else if (left > 0) {
        buffer_put(&resp->held, resp->data + resp->start, left);
    }
    if (left == 0 && resp->held.capacity > KEEP_AT_MOST)
        buffer_free(&resp->held);
    if (left == 0 && resp->line.capacity > KEEP_AT_MOST)
        buffer_free(&resp->line);
    if (left == 0 && resp->args_capacity > KEEP_AT_MOST / sizeof *resp->args) {
        free(resp->args);
        resp->args = NULL;
        resp->args_capacity = 0;
    }
    resp->next -= resp->start;
    resp->start = 0;
    resp->data = resp->held.data;
    resp->size = left;
}

void resp_free(struct resp *resp) {
    buffer_free(&resp->held);
    buffer_free(&resp->line);
    free(resp->args);
    resp->args = NULL;
}

static enum resp_status protocol_error(struct resp *resp, const char *what) {
    snprintf(resp->error, sizeof resp->error, "ERR Protocol error: %s", what);
    return RESP_ERROR;
}

static void add_argument(struct resp *resp, size_t at, size_t size) {
    if (resp->argc == resp->args_capacity) {
        size_t capacity = resp->args_capacity == 0 ? FIRST_ARGS : resp->args_capacity * 2;
        union resp_arg *args = realloc(resp->args, capacity * sizeof *args);
        if (args == NULL)
            abort();
        resp->args = args;
        resp->args_capacity = capacity;
    }
    resp->args[resp->argc++].span = (typeof(resp->args->span)){ .at = at, .size = size };
}

/* All arguments are there: offsets from `base` become pointers. */
static enum resp_status complete(struct resp *resp, const uint8_t *base) {
    for (size_t i = 0; i < resp->argc; i++) {
        union resp_arg *arg = &resp->args[i];
        arg->bytes = (cop_bytes){ .data = base + arg->span.at, .size = arg->span.size };
    }
    resp->argv = (const cop_bytes *)resp->args;
    return RESP_COMMAND;
}

/* ---- inline commands ------------------------------------------------------------------------- */

static bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

static int hex_digit(uint8_t byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* An escape inside "..."; `at` stands behind the backslash. Returns where it goes on. */
static const uint8_t *read_escape(struct buffer *line, const uint8_t *at, const uint8_t *end) {
    if (*at == 'x' && end - at > 2 && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
        uint8_t byte = (uint8_t)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
        buffer_put(line, &byte, 1);
        return at + 3;
    }
    static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
    const char *found = *at == 0 ? NULL : strchr(from, *at);
    buffer_put(line, found != NULL ? (const void *)&to[found - from] : at, 1);
    return at + 1;
}

/* The rest of a quoted argument, behind its quote; NULL when the quotes do not fit. */
static const uint8_t *read_quoted(struct buffer *line, const uint8_t *at, const uint8_t *end,
                                  uint8_t quote) {
    while (at < end) {
        if (*at == quote)
            return at + 1 == end || is_space(at[1]) ? at + 1 : NULL;
        if (*at == '\\' && at + 1 < end && quote == '"') {
            at = read_escape(line, at + 1, end);
        } else if (*at == '\\' && at + 1 < end && at[1] == '\'') {
            buffer_put(line, "'", 1);
            at += 2;
        } else {
            buffer_put(line, at++, 1);
        }
    }
    return NULL;
}

/* One argument, from its first byte; NULL when its quotes do not fit. */
static const uint8_t *read_word(struct buffer *line, const uint8_t *at, const uint8_t *end) {
    while (at < end && !is_space(*at)) {
        if (*at == '"' || *at == '\'')
            return read_quoted(line, at + 1, end, *at);
        buffer_put(line, at++, 1);
    }
    return at;
}

/* A whole line into arguments; false when quotes do not fit. A NUL ends it, as in Redis. */
static bool split_line(struct resp *resp, const uint8_t *at, size_t size) {
    const uint8_t *end = at + strnlen((const char *)at, size);
    resp->line.size = 0;
    buffer_reserve(&resp->line, 1); /* even empty arguments have an address */
    for (;;) {
        while (at < end && is_space(*at))
            at++;
        if (at == end)
            return true;
        size_t begin = resp->line.size;
        if ((at = read_word(&resp->line, at, end)) == NULL)
            return false;
        add_argument(resp, begin, resp->line.size - begin);
    }
}

static enum resp_status next_inline(struct resp *resp) {
    const uint8_t *begin = resp->data + resp->start;
    size_t left = resp->size - resp->start;
    const uint8_t *newline = memchr(begin, '\n', left);
    size_t length = newline != NULL ? (size_t)(newline - begin) : left;
    if (length > resp->limits.max_line)
        return protocol_error(resp, "too big inline request");
    if (newline == NULL)
        return RESP_MORE;
    resp->next = resp->start = resp->start + length + 1;
    if (length > 0 && begin[length - 1] == '\r')
        length--;
    if (!split_line(resp, begin, length))
        return protocol_error(resp, "unbalanced quotes in request");
    return complete(resp, resp->line.data);
}

/* ---- arrays of bulk strings ------------------------------------------------------------------ */

/* The line at `next`, without its type byte and end; moves on behind it. Needs the CR and one byte
   more, which is not looked at, as in Redis. */
static enum resp_status next_line(struct resp *resp, cop_bytes *line, const char *too_long) {
    const uint8_t *begin = resp->data + resp->next;
    size_t left = resp->size - resp->next;
    const uint8_t *end = left > 0 ? memchr(begin, '\r', left) : NULL;
    size_t length = end != NULL ? (size_t)(end - begin) : left;
    if (length > resp->limits.max_line)
        return protocol_error(resp, too_long);
    if (end == NULL || length + 2 > left)
        return RESP_MORE;
    *line = (cop_bytes){ .data = begin, .size = length };
    resp->next += length + 2;
    return RESP_COMMAND;
}

static enum resp_status array_header(struct resp *resp) {
    cop_bytes line;
    enum resp_status status = next_line(resp, &line, "too big mbulk count string");
    if (status != RESP_COMMAND)
        return status;
    int64_t count;
    line = (cop_bytes){ .data = line.data + 1, .size = line.size - 1 };
    if (!integer_parse(line, &count) || count > (int64_t)resp->limits.max_args)
        return protocol_error(resp, "invalid multibulk length");
    resp->missing = count > 0 ? count : 0;
    if (resp->missing == 0)
        resp->start = resp->next;
    return RESP_COMMAND;
}

static enum resp_status bulk_header(struct resp *resp) {
    cop_bytes line;
    enum resp_status status = next_line(resp, &line, "too big bulk count string");
    if (status != RESP_COMMAND)
        return status;
    if (line.size == 0 || line.data[0] != '$') {
        char what[32];
        uint8_t got = line.data[0];
        snprintf(what, sizeof what, "expected '$', got '%c'",
                 got == '\r' || got == '\n' ? ' ' : got);
        return protocol_error(resp, what);
    }
    line = (cop_bytes){ .data = line.data + 1, .size = line.size - 1 };
    if (!integer_parse(line, &resp->bulk) || resp->bulk < 0
        || resp->bulk > (int64_t)resp->limits.max_bulk) {
        resp->bulk = -1;
        return protocol_error(resp, "invalid bulk length");
    }
    return RESP_COMMAND;
}

static enum resp_status next_array(struct resp *resp) {
    while (resp->missing > 0) {
        if (resp->bulk < 0) {
            enum resp_status status = bulk_header(resp);
            if (status != RESP_COMMAND)
                return status;
        }
        size_t size = (size_t)resp->bulk;
        if (resp->size - resp->next < size + 2)
            return RESP_MORE;
        add_argument(resp, resp->next - resp->start, size);
        resp->next += size + 2;
        resp->bulk = -1;
        resp->missing--;
    }
    const uint8_t *base = resp->data + resp->start;
    resp->start = resp->next;
    return complete(resp, base);
}

/* RESP_COMMAND with argc 0 for a command without arguments: an empty line, *0, *-1. */
static enum resp_status read_one(struct resp *resp) {
    if (resp->missing > 0)
        return next_array(resp);
    resp->argc = 0;
    resp->next = resp->start;
    if (resp->start == resp->size)
        return RESP_MORE;
    if (resp->data[resp->start] != '*')
        return next_inline(resp);
    enum resp_status status = array_header(resp);
    return status == RESP_COMMAND && resp->missing > 0 ? next_array(resp) : status;
}

enum resp_status resp_next(struct resp *resp) {
    enum resp_status status;
    do
        status = read_one(resp);
    while (status == RESP_COMMAND && resp->argc == 0);
    if (status == RESP_MORE && resp->size - resp->start > resp->limits.max_command)
        return protocol_error(resp, "too big request");
    return status;
}
