/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KV_SESSION_H
#define KV_SESSION_H

#include "batch.h"
#include "command.h"
#include "kv.h"
#include "pulse.h"

/*
 * What a connection is in the middle of: the commands it has read, what shards are to do for them,
 * the replies so far. Everything but `parts` is plain memory that lives as long as the process.
 */

/* How the reply to one command comes about. */
enum step_kind {
    STEP_LOCAL, /* `size` bytes of `local` */
    STEP_PASS,  /* the next reply of a shard as it is */
    STEP_EACH,  /* an array of `size` replies */
    STEP_COUNT, /* the sum of `size` integers */
    STEP_OK,    /* +OK, if `size` replies are no errors */
    STEP_KEYS,  /* one array of what all shards have */
    STEP_INFO,  /* the text of INFO, from all shards */
};

struct step {
    enum step_kind kind;
    size_t size;
};

/* What one shard does in this round. */
struct part {
    struct buffer request;
    struct buffer copied; /* replies that came to the rest of a request */
    cop_term sent;        /* the request, or the rest of it, as a binary */
    cop_request_id id;
    cop_bytes replies; /* those not used yet */
    uint64_t done;     /* bytes of `sent` that the replies are for */
    bool pending;      /* sent, and no answer taken */
    bool failed;
    char error[200]; /* why */
};

struct session {
    struct resp resp;
    struct buffer out;    /* replies, ready to be sent */
    struct buffer steps;  /* of struct step */
    struct buffer shards; /* of uint8_t: who does which piece of the steps, in order */
    struct buffer local;
    struct buffer name; /* CLIENT SETNAME */
    uint64_t id;        /* CLIENT ID */
    cop_port port;
    struct pulse *pulse;
    size_t shards_at; /* how many of `shards` have been used in this round */
    size_t local_at;
    bool closing; /* send what is in `out`, then close */
    struct part parts[];
};

struct session *session_new(cop_port port, struct pulse *pulse);
void session_free(void *session);
/* Serves all complete commands of what came in, and sends the replies. `closing` may be set after
   it. */
void session_serve(cop_ctx *ctx, struct session *session, cop_bytes received);

/* Replies to a command that needs no shard; may set `closing`. */
void local_reply(struct session *session, const struct command *command, const cop_bytes *argv,
                 size_t argc, struct buffer *out);
/* The text of INFO. */
void local_info(const struct shard_info *shards, struct buffer *out);

#endif
