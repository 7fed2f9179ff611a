/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing bytes, and the replies of RESP2 written into them.
 *
 * A reply is written once, to the end of a buffer, and never changed. Everything here is plain C
 * without any process: the tests of the service use it as it is.
 * Threads: a buffer belongs to one process; nothing is shared.
 */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

static void buffer_grow(struct buffer *buffer, size_t needed) {
    size_t capacity = buffer->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : buffer->capacity;
    while (capacity < needed)
        capacity *= 2;
    uint8_t *data = realloc(buffer->data, capacity);
    if (data == NULL)
        abort();
    buffer->data = data;
    buffer->capacity = capacity;
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t more) {
    if (buffer->capacity - buffer->size < more || buffer->data == NULL)
        buffer_grow(buffer, buffer->size + more);
    return buffer->data + buffer->size;
}

void buffer_put(struct buffer *buffer, const void *data, size_t size) {
    uint8_t *to = buffer_reserve(buffer, size);
    if (size != 0)
        memcpy(to, data, size);
    buffer->size += size;
}

void buffer_put_u32(struct buffer *buffer, uint32_t n) { buffer_put(buffer, &n, sizeof n); }

void buffer_put_u64(struct buffer *buffer, uint64_t n) { buffer_put(buffer, &n, sizeof n); }

void buffer_drop(struct buffer *buffer, size_t size) {
    if (size == 0)
        return;
    buffer->size -= size;
    memmove(buffer->data, buffer->data + size, buffer->size);
}

void buffer_free(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){ 0 };
}

size_t integer_format(char *text, int64_t n) {
    char digits[20];
    size_t count = 0, length = 0;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do
        digits[count++] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (n < 0)
        text[length++] = '-';
    while (count > 0)
        text[length++] = digits[--count];
    return length;
}

bool integer_parse(cop_bytes text, int64_t *out) {
    const uint8_t *at = text.data, *end = text.data + text.size;
    if (text.size == 1 && *at == '0') {
        *out = 0;
        return true;
    }
    bool negative = text.size > 0 && *at == '-';
    at += negative;
    if (at == end || end - at > 19 || *at < '1' || *at > '9')
        return false;
    uint64_t n = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        n = n * 10 + (uint64_t)(*at - '0');
    }
    if (n > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

bool bytes_are(cop_bytes text, const char *word) {
    size_t at = 0;
    for (; at < text.size && word[at] != 0; at++) {
        uint8_t byte = text.data[at];
        if (byte >= 'a' && byte <= 'z')
            byte = (uint8_t)(byte - 'a' + 'A');
        if (byte != (uint8_t)word[at])
            return false;
    }
    return at == text.size && word[at] == 0;
}

cop_bytes bytes_of(const char *text) {
    return (cop_bytes){ .data = (const uint8_t *)text, .size = strlen(text) };
}

void reply_text(struct buffer *out, const char *line) {
    buffer_put(out, line, strlen(line));
    buffer_put(out, "\r\n", 2);
}

/* A type byte, a number and the end of the line: what most replies begin with. */
static void reply_number(struct buffer *out, char type, int64_t n) {
    char *to = (char *)buffer_reserve(out, 24);
    to[0] = type;
    size_t length = 1 + integer_format(to + 1, n);
    to[length] = '\r';
    to[length + 1] = '\n';
    out->size += length + 2;
}

void reply_integer(struct buffer *out, int64_t n) { reply_number(out, ':', n); }

void reply_array(struct buffer *out, size_t count) { reply_number(out, '*', (int64_t)count); }

void reply_bulk(struct buffer *out, cop_bytes bytes) {
    buffer_reserve(out, bytes.size + 32);
    reply_number(out, '$', (int64_t)bytes.size);
    buffer_put(out, bytes.data, bytes.size);
    buffer_put(out, "\r\n", 2);
}

void reply_string(struct buffer *out, const char *text) { reply_bulk(out, bytes_of(text)); }

void reply_nil(struct buffer *out) { buffer_put(out, "$-1\r\n", 5); }

void reply_error(struct buffer *out, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0)
        length = 0;
    if ((size_t)length >= sizeof text)
        length = (int)sizeof text - 1;
    for (int i = 0; i < length; i++)
        if (text[i] == '\r' || text[i] == '\n')
            text[i] = ' ';
    buffer_put(out, "-", 1);
    buffer_put(out, text, (size_t)length);
    buffer_put(out, "\r\n", 2);
}
