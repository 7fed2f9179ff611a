/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_SOCKET_H
#define COP__IO_SOCKET_H

#include <coppice/gen_tcp.h>
#include <coppice/gen_udp.h>
#include <pthread.h>

#include "io/address.h"
#include "io/framer.h"
#include "io/loop.h"

enum {
    COP__PACKET_MAX = 0x4000000, /* OTP's TCP_MAX_PACKET_SIZE */
    COP__READ_SIZE = 65536,
    COP__HIGH_WATERMARK = 65536,
    COP__ACTIVE_MAX = 32767,
    COP__LINGER_MS = 180000, /* how long a close waits for what was sent, as OTP */
};

/* A process that waits for an answer of the port. */
struct cop__waiter {
    struct cop__waiter *next;
    cop_pid pid;
    cop_ref ref;     /* an alias of the process */
    cop_ref monitor; /* of it, unless it is the owner */
    size_t length;   /* of a recv */
};
struct cop__waiters {
    struct cop__waiter *first, **last;
};

/* Bytes on their way to the kernel through the loop. */
struct cop__write {
    union {
        uv_write_t write;
        uv_udp_send_t send;
    };
    struct cop__write *next;
    struct cop__socket *socket;
    struct cop__address to; /* of a datagram; size 0: to whom it is connected */
    size_t size;
    uint8_t bytes[];
};

/* Counters of one direction, kept as OTP keeps them. */
struct cop__traffic {
    uint64_t octets, count, max;
    double mean, deviation;
};

enum cop__socket_kind { COP__SOCKET_TCP, COP__SOCKET_LOCAL, COP__SOCKET_UDP };
enum cop__handle_state {
    COP__HANDLE_NONE,
    COP__HANDLE_OPEN,
    COP__HANDLE_CLOSING, /* another one will stand in its place */
};

/*
 * A socket. The loop's thread owns it, except what `lock` guards: the way by which any process sends
 * directly.
 */
struct cop__socket {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
        uv_udp_t udp;
    };
    uint32_t count; /* atomic: the port, whoever is sending, a look-up */
    enum cop__socket_kind kind;
    enum cop__handle_state handle_state;
    cop_ctx *ctx; /* the port's; NULL before it began and after it ended */
    cop_port port;
    cop_pid owner;
    int active; /* COP_TCP_*, or a count */
    bool is_listener, connected, closing;
    bool paused;                   /* between two owners: as if passive */
    cop_ref opened;                /* whom to tell that it is open */
    struct cop__waiters receivers; /* of accept or recv */
    struct cop__waiters senders;   /* that wait for the watermark */
    struct cop__traffic received;

    /* TCP and Unix domain sockets */
    cop_tcp_opts tcp_opts;
    struct cop__address bind_to;
    struct cop__framer framer;
    bool connection_waits, eof, end_told, read_shut, write_shut;
    int end_error; /* why the stream ended, when not by the peer's will */
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    cop_ref shut;          /* whom to tell */
    int linger_s;          /* 0: COP__LINGER_MS */
    uv_timer_t *linger;    /* a close waits; owned by the loop */
    struct cop__host host; /* to connect to */
    int tcp_port;
    uv_getaddrinfo_t lookup;
    struct addrinfo *found, *next_found;

    cop_udp_opts udp_opts;

    pthread_mutex_t lock;
    int fd;        /* -1: there is none (any more) */
    bool writable; /* may be written directly */
    cop_packet send_packet;
    size_t pending;                         /* bytes given to the loop and not yet written */
    struct cop__write *queue, **queue_last; /* of these, what the loop has not seen yet */
    size_t high_watermark;
    int64_t send_timeout_ms;
    bool send_timeout_close;
    int error; /* of a direct write, for the next sender */
    struct cop__traffic sent;
};

/* ---- any thread ---------------------------------------------------------------------------------- */

struct cop__socket *cop__socket_new(enum cop__socket_kind kind);
struct cop__socket *cop__tcp_new(const cop_tcp_opts *opts);
/* The socket behind a port, with a count to be released; NULL when it is closed. */
struct cop__socket *cop__socket_find(cop_port port);
void cop__socket_release(struct cop__socket *s);

/* The name of an error as an atom: of a negative errno or what libuv has besides. */
cop_term cop__socket_reason(int error);
cop_term cop__socket_error(cop_ctx *ctx, cop_term reason); /* {:error, reason} */
int64_t cop__socket_timeout(int64_t ms);                   /* of an option's or argument's value */
void cop__traffic_count(struct cop__traffic *t, size_t size);

/* ---- the caller's side ----------------------------------------------------------------------------- */

/* Asks the port: {what, pid, ref, arg}. {:error, :timeout} when the time is over, and then the port has
   forgotten it; {:error, :closed} when it is gone. */
cop_term cop__socket_call(cop_ctx *ctx, cop_port port, cop_atom what, cop_term arg,
                          int64_t timeout_ms);
/* Waits for {ref, answer} of a port that was given the reference, an alias. */
cop_term cop__socket_wait(cop_ctx *ctx, cop_port port, cop_ref ref, int64_t timeout_ms);
/* Makes the port of s and waits until it is open. Returns {:ok, port} or {:error, reason}. */
cop_term cop__socket_open(cop_ctx *ctx, struct cop__socket *s, const struct cop__port_ops *ops,
                          int64_t timeout_ms);
/* The caller is done with a port: no link and no exit message of it. */
void cop__socket_forget(cop_ctx *ctx, cop_port port);
void cop__socket_close(cop_ctx *ctx, cop_port port);
/* What the kernel did not take goes to the loop: two parts of which `done` bytes are gone. Under the lock;
   true if the sender must wait. */
struct cop__part {
    const uint8_t *data;
    size_t size;
};
bool cop__socket_queue(struct cop__socket *s, const struct cop__part parts[2], size_t done,
                       const struct cop__address *to);
/* After the lock was left: tells the loop, and waits if that is so. */
cop_term cop__socket_queued(cop_ctx *ctx, cop_port port, bool wait, int64_t timeout_ms,
                            bool timeout_close);
cop_term cop__socket_give(cop_ctx *ctx, cop_port port, cop_pid owner);

/* ---- the loop's thread ------------------------------------------------------------------------------ */

extern const struct cop__port_ops cop__tcp_ops, cop__udp_ops;
extern char cop__read_buffer[COP__READ_SIZE];

/* At the start and at the end of the port. */
void cop__socket_publish(struct cop__socket *s, cop_ctx *ctx);
void cop__socket_unpublish(struct cop__socket *s);
/* The handle is open: its descriptor may be used by others from now on. */
void cop__socket_set_fd(struct cop__socket *s, bool writable);
/* Answers {ref, value} to whoever made the reference; the reference is used up. */
void cop__socket_answer(struct cop__socket *s, cop_ref *ref, cop_term value);
/* Tells the opener; after an error the port ends. */
void cop__socket_opened(struct cop__socket *s, int error);

void cop__waiter_add(struct cop__socket *s, struct cop__waiters *list, cop_pid pid, cop_ref ref,
                     size_t length);
/* Takes the first one out; false when there is none. */
bool cop__waiter_take(struct cop__socket *s, struct cop__waiters *list, struct cop__waiter *out);
void cop__waiter_answer_all(struct cop__socket *s, struct cop__waiters *list, cop_term value);

bool cop__socket_is_active(const struct cop__socket *s);
/* A message was delivered: counts down. */
void cop__socket_delivered(struct cop__socket *s);
/* Adds to the active count; 0 and less makes it passive. False when it is out of range. */
bool cop__socket_add_active(struct cop__socket *s, int64_t count);

/* Takes what senders have queued. */
struct cop__write *cop__socket_take_queue(struct cop__socket *s);
/* A write has ended; frees it and wakes senders. True if nothing waits any more. */
bool cop__socket_written(struct cop__write *w, int error);

/* What the two kinds do with requests that both have. */
struct cop__socket_calls {
    void (*mode_changed)(struct cop__socket *s);
    void (*flush)(struct cop__socket *s);
    void (*close)(struct cop__socket *s);
    void (*command)(struct cop__socket *s, cop_term iodata);
};
/* Serves a request that all sockets have, and Erlang's port protocol; what is neither ends the owner
   with :badsig. */
void cop__socket_message(struct cop__socket *s, cop_term message,
                         const struct cop__socket_calls *calls);
/* inet:setopts and the like. */
cop_term cop__socket_setopts(struct cop__socket *s, cop_term options);
cop_term cop__socket_getopts(struct cop__socket *s, cop_term names);
cop_term cop__socket_getstat(struct cop__socket *s);
cop_term cop__socket_info(struct cop__socket *s);
/* A socket option of the kernel; 0 or a negative errno. */
int cop__socket_set_int(int fd, int level, int option, int value);

#endif
