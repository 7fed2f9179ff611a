/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_OS_PROCESS_H
#define COP__IO_OS_PROCESS_H

#include <uv.h>

#include "io/packets.h"
#include "io/port.h"

/* A program of the operating system behind a port. Its opener fills in the first part. */
struct os_process {
    struct cop__port_frame frame; /* its name is `name` */
    char *name, *file, *cd;
    char **argv, **env; /* ended by NULL; env NULL: the node's */
    cop_port_opts opts; /* without its pointers, and with no default left */
    cop_ref opened;     /* the opener waits for {ref, {:ok, port} | {:error, reason}} */

    uv_process_t process;
    uv_pipe_t from, to; /* what it writes; what it reads */
    uv_timer_t timer;   /* while reading is paused; after the port's end the grace */
    int handles;        /* of these, not closed yet */
    bool process_open, from_open, to_open, timer_open;
    bool reading, stopped, eof, exited, told_end, busy, holds;
    int status; /* when it has exited: as exit_status tells it */
    int stage;  /* signals sent after the port's end */
    size_t pending;
    struct cop__packets packets;
    cop_ref asked;                /* for the bytes unread; COP_NONE inside: not now */
    uint64_t unread, since_asked; /* what may be unread; what was delivered since it was asked */
};

extern const struct cop__port_ops cop__os_process_ops;
void cop__os_process_free(struct os_process *s);

#endif
