/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_TCP_H
#define COP__IO_TCP_H

#include <coppice/gen_tcp.h>
#include <pthread.h>

#include "io/framer.h"
#include "io/loop.h"

/* A process that waits for an answer of the port. */
struct tcp_waiter {
    struct tcp_waiter *next;
    cop_pid pid;
    cop_ref ref;
    size_t length; /* of a recv */
};

/*
 * A socket. The loop's thread owns it, except what `lock` guards: the way by which any process sends
 * directly (fd, writable, pending).
 */
struct tcp_socket {
    uv_tcp_t handle;
    uint32_t count; /* atomic: the port and whoever is sending */
    cop_ctx *ctx;   /* the port's; NULL before it began and after it ended */
    cop_port port;
    cop_pid owner;
    cop_tcp_opts opts;
    char ip[64];
    int tcp_port;
    bool is_listener, connected, eof, closing, handle_open, connection_waits;
    int active; /* COP_TCP_*, or a count */
    struct cop__framer framer;
    struct tcp_waiter *waiters, **last_waiter; /* accept or recv */
    struct tcp_waiter *senders;                /* that wait for the watermark */
    cop_pid opener;
    cop_ref opened;
    uv_connect_t connect;
    uv_shutdown_t shutdown;

    pthread_mutex_t lock;
    int fd;         /* -1 when nothing may be written directly */
    size_t pending; /* bytes given to the loop and not yet written */
    int error;      /* of a direct write, for the next sender */
};

extern const struct cop__port_ops cop__tcp_ops;
struct tcp_socket *cop__tcp_new(const cop_tcp_opts *opts);
/* The socket behind a port, with a count to be released; NULL when it is closed. */
struct tcp_socket *cop__tcp_find(cop_port port);
void cop__tcp_publish(struct tcp_socket *s);
void cop__tcp_release(struct tcp_socket *s);
const char *cop__tcp_error(int uv_error);

#endif
