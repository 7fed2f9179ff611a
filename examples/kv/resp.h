/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KV_RESP_H
#define KV_RESP_H

#include "buffer.h"

/*
 * The reading half of RESP2: bytes in, commands out. Bytes may be cut anywhere; both forms are
 * read, arrays of bulk strings and inline commands, as redis-server 7.0 reads them.
 */

/* What a client may not exceed; a zero is the default in the comment. */
struct resp_limits {
    size_t max_line;    /* an inline command, or a length's line: 64 KiB */
    size_t max_bulk;    /* one argument: 64 MiB */
    size_t max_args;    /* arguments of one command: 1,048,576 */
    size_t max_command; /* one command in all, with its framing: twice max_bulk, at least 16 MiB */
};

enum resp_status {
    RESP_MORE,    /* no complete command is there */
    RESP_COMMAND, /* argc and argv hold one (argc >= 1) */
    RESP_ERROR,   /* the client broke the protocol: `error` says how; read nothing more of it */
};

union resp_arg {
    struct {
        size_t at; /* while the command is incomplete: from its first byte */
        size_t size;
    } span;
    cop_bytes bytes; /* once it is complete */
};

struct resp {
    struct resp_limits limits;
    const uint8_t *data; /* the bytes to read: those fed, or `held` */
    size_t size;
    size_t start;       /* where the command that is being read begins */
    size_t next;        /* the next byte to look at */
    int64_t missing;    /* arguments still to come; 0 between commands */
    int64_t bulk;       /* size of the argument that comes now; -1: its length's line comes */
    struct buffer held; /* what came before and is not a whole command yet */
    struct buffer line; /* the arguments of an inline command, without their quotes */
    union resp_arg *args;
    size_t args_capacity;
    size_t argc;
    const cop_bytes *argv; /* of the command that resp_next returned, until the next call */
    char error[64];
};

void resp_init(struct resp *resp, const struct resp_limits *limits);
/* Hands it the bytes received. They must stay until resp_park. */
void resp_feed(struct resp *resp, const uint8_t *data, size_t size);
/* The next command of what was fed. */
enum resp_status resp_next(struct resp *resp);
/* Keeps what is not read yet, so that the bytes fed may go. */
void resp_park(struct resp *resp);
void resp_free(struct resp *resp);

#endif
