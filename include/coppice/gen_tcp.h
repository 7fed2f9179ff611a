/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_GEN_TCP_H
#define COPPICE_GEN_TCP_H

#include <coppice/inet.h>

/*
 * Streams over IPv4, IPv6 and Unix domain sockets, as Erlang's gen_tcp: listeners and connections are
 * ports, linked to the process that owns them; they close when it ends.
 *
 * Messages to the owner of an active connection:
 *   {:tcp, port, data}            data is a binary
 *   {:tcp_closed, port}           the peer has closed; the port ends :normal after it
 *   {:tcp_error, port, reason}    then :tcp_closed follows
 *   {:tcp_passive, port}          an active count has run out
 */

/* active: COP_TCP_PASSIVE, COP_TCP_ACTIVE, COP_TCP_ONCE, or a count of messages 1..32767 */
enum { COP_TCP_PASSIVE = -1, COP_TCP_ACTIVE = -2, COP_TCP_ONCE = -3 };

/* How the stream is cut into packets. RAW: not at all; LINE: at newlines, when receiving; 1, 2, 4: a
   big-endian length of so many bytes stands before each, put there when sending, taken off when
   receiving. */
typedef enum cop_packet {
    COP_PACKET_RAW,
    COP_PACKET_LINE,
    COP_PACKET_1,
    COP_PACKET_2,
    COP_PACKET_4,
} cop_packet;

/*
 * Options; zeroed is the default of each.
 *   ip               numeric, to listen on or to connect from; NULL = "127.0.0.1" for listening
 *   local            the path of a Unix domain socket to listen on, instead of ip. The file stays when the
 *                    listener closes, as in OTP: unlink it before the next (else :eaddrinuse)
 *   family           in which a name is looked up; 0 = COP_INET (the family of a numeric address is
 *                    plain from it)
 *   from_port        to connect from
 *   backlog          0 = 128
 *   active           0 = COP_TCP_ACTIVE for connect, as in OTP; accepted connections begin with what
 *                    the listener has; 0 there = COP_TCP_PASSIVE
 *   packet           COP_PACKET_LINE delivers line by line with the newline; a line longer than
 *                    line_max is delivered in pieces, as OTP does
 *   line_max         0 = 65536
 *   packet_size      the largest packet accepted with COP_PACKET_1, 2, 4; one that is longer ends the
 *                    connection with :emsgsize. 0 = 67108864, the most
 *   keepalive        SO_KEEPALIVE
 *   linger_reset     closing resets the connection and drops what is unsent (SO_LINGER 0)
 *   delay            leave Nagle's algorithm on (nodelay: false)
 *   reuseport        several listeners on one port share its connections (SO_REUSEPORT). SO_REUSEADDR
 *                    is always on
 *   v6only           a listener on "::" takes no IPv4
 *   recbuf, sndbuf   the kernel's buffers in bytes; 0 = its default
 *   no_exit_on_close the port stays when the peer ends its side, so that one can still send
 *                    (exit_on_close: false)
 *   high_watermark   bytes waiting to be sent above which senders wait; 0 = 65536
 *   send_timeout_ms  0 = COP_INFINITY
 *   send_timeout_close   a send that times out closes the connection
 */
typedef struct cop_tcp_opts {
    const char *ip;
    int backlog;
    int active;
    cop_packet packet;
    size_t line_max;
    bool linger_reset;
    bool delay;
    size_t high_watermark;
    int64_t send_timeout_ms;
    const char *local;
    cop_inet_family family;
    int from_port;
    size_t packet_size;
    bool keepalive;
    bool reuseport;
    bool v6only;
    int recbuf;
    int sndbuf;
    bool no_exit_on_close;
    bool send_timeout_close;
} cop_tcp_opts;

/* {:ok, port} or {:error, reason}; reason is an atom such as :eaddrinuse, :closed, :timeout. */
typedef struct cop_tcp_result {
    bool ok;
    cop_port port;
    cop_term reason;
} cop_tcp_result;

/*
 * Listens.
 *
 * Elixir:  :gen_tcp.listen/2
 * Port:    0 lets the kernel pick one (cop_inet_port tells it); 0 too with .local
 * Errors:  :eaddrinuse, :eaddrnotavail, :eacces, :einval (no address), ...
 */
cop_tcp_result cop_gen_tcp_listen(cop_ctx *ctx, int tcp_port, const cop_tcp_opts *opts);
/*
 * Waits for a connection; the caller owns it. Several processes may wait at once.
 *
 * Elixir:  :gen_tcp.accept/1,2
 * Timeout: ms; 0 = COP_INFINITY, COP_ZERO looks and does not wait
 * Errors:  :timeout, :closed, :emfile, :system_limit (the table of processes is full)
 */
cop_tcp_result cop_gen_tcp_accept(cop_ctx *ctx, cop_port listener, int64_t timeout_ms);

cop_tcp_result cop__gen_tcp_connect(cop_ctx *ctx, cop_term host, int tcp_port,
                                    const cop_tcp_opts *opts, int64_t timeout_ms);
/*
 * Connects: cop_gen_tcp_connect(ctx, host, tcp_port, opts, timeout_ms). The addresses of a name are
 * tried one after another.
 *
 * Elixir:  :gen_tcp.connect/3,4
 * Host:    a name, an address, or {:local, path} with tcp_port 0; see coppice/inet.h
 * Timeout: ms, for looking the name up and connecting together; 0 = COP_INFINITY. After it nothing is
 *          left of the attempt
 * Errors:  :nxdomain, :econnrefused, :timeout, :enoent (no such path), :eagain (the backlog of a Unix
 *          domain socket is full), ...
 */
#define cop_gen_tcp_connect(ctx, host, ...)                                \
    ({                                                                     \
        cop_ctx *cop__sc = (ctx);                                          \
        cop__gen_tcp_connect(cop__sc, cop_of(cop__sc, host), __VA_ARGS__); \
    })
/*
 * Sends iodata, as one packet where there are packets. Waits while more than the high watermark is still
 * unsent, so a slow reader holds its senders and no memory grows.
 *
 * Elixir:  :gen_tcp.send/2
 * Returns: :ok, or {:error, :closed | :timeout | :emsgsize (too long for the packet's length) | ...}
 * Context: any process, not only the owner
 */
cop_term cop_gen_tcp_send(cop_ctx *ctx, cop_port port, cop_term iodata);
/*
 * Receives from a passive connection: exactly `length` bytes, or for 0 what is there, at least one.
 * Other packets than raw come whole, with length 0.
 *
 * Elixir:  :gen_tcp.recv/2,3
 * Returns: {:ok, binary} | {:error, :closed | :timeout | :einval (it is active) | :enomem (length
 *          above 67108864) | :emsgsize | ...}; nothing is lost by a time-out
 */
cop_term cop_gen_tcp_recv(cop_ctx *ctx, cop_port port, size_t length, int64_t timeout_ms);
/* Closes; what was sent before is still delivered (unless linger_reset), for 3 minutes at most or as long
   as the option linger says. A listener's port is free when it returns. Elixir: :gen_tcp.close/1. */
void cop_gen_tcp_close(cop_ctx *ctx, cop_port port);
/*
 * Ends one direction or both: :write ends sending after what was sent before, so the peer sees the end
 * of the stream; :read throws away what still comes; :read_write.
 *
 * Elixir:  :gen_tcp.shutdown/2
 * Returns: :ok or {:error, reason}
 */
cop_term cop_gen_tcp_shutdown(cop_ctx *ctx, cop_port port, cop_atom how);
/* Makes another process the owner; called by the owner. Messages of the port that already wait in the
   caller's mailbox move along, in order. Returns :ok or {:error, :not_owner | :closed}. */
cop_term cop_gen_tcp_controlling_process(cop_ctx *ctx, cop_port port, cop_pid owner);

/* Sets how packets are cut, at once for sending and in order with other requests for receiving. */
void cop_inet_set_packet(cop_ctx *ctx, cop_port port, cop_packet packet);

#endif
