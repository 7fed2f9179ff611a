/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KV_BUFFER_H
#define KV_BUFFER_H

#include <coppice/term.h>
#include <stdint.h>

/*
 * Bytes that grow. A zeroed one is empty. Running out of memory aborts, which here ends the process
 * that asked, as any fault does.
 */
struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/* Room for `more` bytes beyond the size: a pointer to where they go. The size is not changed. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t more);
void buffer_put(struct buffer *buffer, const void *data, size_t size);
void buffer_put_u32(struct buffer *buffer, uint32_t n);
void buffer_put_u64(struct buffer *buffer, uint64_t n);
/* Drops the first `size` bytes. */
void buffer_drop(struct buffer *buffer, size_t size);
void buffer_free(struct buffer *buffer);

/* The replies of RESP2. */
void reply_text(struct buffer *out, const char *line); /* a line as it is, with its type in front */
void reply_integer(struct buffer *out, int64_t n);
void reply_bulk(struct buffer *out, cop_bytes bytes);
void reply_string(struct buffer *out, const char *text); /* a bulk string of C text */
void reply_nil(struct buffer *out);
void reply_array(struct buffer *out, size_t count); /* the header only */
/* An error: "-" text; bytes that would break the line become spaces, as in Redis. */
void reply_error(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The decimal text of n: into text, which has room for 21 bytes. Returns its length. */
size_t integer_format(char *text, int64_t n);
/* Reads an integer as Redis does: no spaces, no '+', no leading zeros, "-0" neither. */
bool integer_parse(cop_bytes text, int64_t *out);
/* The text (any case) is this word (given in capitals). */
bool bytes_are(cop_bytes text, const char *word);
/* A C string as bytes. */
cop_bytes bytes_of(const char *text);

#endif
