/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KV_BATCH_H
#define KV_BATCH_H

#include "buffer.h"

/*
 * What goes between a connection and a shard: commands in one binary, replies in another.
 *
 *     request   command u32, argc u32, hash u64, argc times (size u32, bytes) ; next command ...
 *     reply     bytes of the request that were done u64 ; size u64, bytes ; next reply ...
 *
 * Both ends are this program, so numbers are in its own byte order. A shard that has replied much
 * answers before it is through; the connection sends the rest of the request again. So no memory
 * grows with the number of commands that a client sends at once.
 */

enum { BATCH_MAX_ARGS = 32 };

struct batch_item {
    uint32_t command; /* its number in the table */
    uint32_t argc;
    uint64_t hash;
    cop_bytes argv[BATCH_MAX_ARGS]; /* without the command's name */
};

/* Adds a command; argc is at most BATCH_MAX_ARGS. */
void batch_add(struct buffer *request, size_t command, uint64_t hash, const cop_bytes *argv,
               size_t argc);
/* The command at *at of a request, and *at behind it; false at the end. */
bool batch_read(cop_bytes request, size_t *at, struct batch_item *item);

/* Around the writing of one reply. */
size_t batch_reply_begin(struct buffer *out);
void batch_reply_end(struct buffer *out, size_t head);
/* The first part of a reply: how much of the request was done; false if it is no reply. */
bool batch_reply_done(cop_bytes *reply, uint64_t *done);
/* The next reply, taken off the front of *reply; false at the end. */
bool batch_reply_next(cop_bytes *reply, cop_bytes *one);

#endif
