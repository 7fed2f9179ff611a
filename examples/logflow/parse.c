/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of lines: one pass, no memory, no copy. Every step takes its part off the front of what is left,
 * and what is left never grows, so no line can make it read beyond the end or run long.
 */
#include "parse.h"

#include <string.h>

struct rest {
    const uint8_t *at, *end;
};

static bool take_byte(struct rest *r, uint8_t byte) {
    if (r->at == r->end || *r->at != byte)
        return false;
    r->at++;
    return true;
}

/* Up to the byte `end`, which is taken too and is not part of it. */
static bool take_until(struct rest *r, uint8_t end, struct log_part *part) {
    const uint8_t *found = memchr(r->at, end, (size_t)(r->end - r->at));
    if (found == NULL)
        return false;
    *part = (struct log_part){ r->at, (size_t)(found - r->at) };
    r->at = found + 1;
    return true;
}

static bool take_word(struct rest *r, struct log_part *part) {
    return take_until(r, ' ', part) && part->size > 0;
}

static bool is_upper(struct log_part part) {
    for (size_t i = 0; i < part.size; i++)
        if (part.at[i] < 'A' || part.at[i] > 'Z')
            return false;
    return part.size > 0;
}

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/* GET /path?query HTTP/1.1 */
static bool parse_request(struct log_part request, struct log_line *out) {
    struct rest r = { request.at, request.at + request.size };
    if (!take_word(&r, &out->method) || !is_upper(out->method) || !take_word(&r, &out->path)
        || out->path.at[0] != '/')
        return false;
    if (r.end - r.at != 8 || memcmp(r.at, "HTTP/", 5) != 0 || !is_digit(r.at[5]) || r.at[6] != '.'
        || !is_digit(r.at[7]))
        return false;
    const uint8_t *query = memchr(out->path.at, '?', out->path.size);
    if (query != NULL)
        out->path.size = (size_t)(query - out->path.at);
    return out->path.size <= LOG_PATH_MAX;
}

static bool take_status(struct rest *r, int *status) {
    if (r->end - r->at < 3 || *r->at < '1' || *r->at > '5' || !is_digit(r->at[1])
        || !is_digit(r->at[2]))
        return false;
    *status = (r->at[0] - '0') * 100 + (r->at[1] - '0') * 10 + (r->at[2] - '0');
    r->at += 3;
    return true;
}

static bool take_bytes(struct rest *r, int64_t *bytes) {
    *bytes = 0;
    if (take_byte(r, '-'))
        return true;
    int digits = 0;
    for (; r->at < r->end && is_digit(*r->at) && digits < 16; digits++)
        *bytes = *bytes * 10 + (*r->at++ - '0');
    return digits > 0 && digits <= 15;
}

/* Nothing, or both of: "referer" "agent" */
static bool parse_tail(struct rest *r) {
    struct log_part part;
    if (r->at == r->end)
        return true;
    for (int i = 0; i < 2; i++)
        if (!take_byte(r, ' ') || !take_byte(r, '"') || !take_until(r, '"', &part))
            return false;
    return r->at == r->end;
}

static bool is_printable(const uint8_t *line, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (line[i] < 32)
            return false;
    return true;
}

bool log_parse(const uint8_t *line, size_t size, struct log_line *out) {
    struct rest r = { line, line + size };
    struct log_part part;
    if (size == 0 || size > LOG_LINE_MAX || !is_printable(line, size))
        return false;
    if (!take_word(&r, &out->host) || !take_word(&r, &part) || !take_word(&r, &part))
        return false;
    if (!take_byte(&r, '[') || !take_until(&r, ']', &out->time) || out->time.size == 0)
        return false;
    if (!take_byte(&r, ' ') || !take_byte(&r, '"') || !take_until(&r, '"', &part)
        || !parse_request(part, out))
        return false;
    return take_byte(&r, ' ') && take_status(&r, &out->status) && take_byte(&r, ' ')
           && take_bytes(&r, &out->bytes) && parse_tail(&r);
}
