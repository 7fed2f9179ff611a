/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_PORT_H
#define COP__IO_PORT_H

#include <coppice/port.h>

#include "proc/port.h"

/*
 * The frame that a port of src/io stands in: what all of them have, and the protocol that all of them
 * speak. A kind of port has one in its own struct, fills it in when it starts, and hands every message
 * that is not its own to cop__port_protocol. The loop's thread only.
 */
struct cop__port_frame {
    const struct cop__port_kind *kind;
    cop_ctx *ctx;
    cop_port port;
    cop_pid owner;
    uint64_t input, output; /* bytes, without the lengths of packets */
    int os_pid;             /* 0: none */
    const char *name;       /* lives as long as the port */
};

/*
 * What a kind does.
 *   command   writes; the iodata has that size
 *   close     ends the port: now (cop__port_close), or when it has written what there is
 *   queued    bytes that wait to be written
 */
struct cop__port_kind {
    void (*command)(struct cop__port_frame *frame, cop_term iodata, size_t size);
    void (*close)(struct cop__port_frame *frame);
    size_t (*queued)(const struct cop__port_frame *frame);
};

/* The messages of the port protocol and the requests of coppice/port.h; all else is :badsig. */
void cop__port_protocol(struct cop__port_frame *frame, cop_term message);
/* Delivers {port, what} to the owner. */
void cop__port_tell(struct cop__port_frame *frame, cop_term what);
/* The lower-case name of a negative errno, as an atom. */
cop_term cop__port_error(int uv_error);

#endif
