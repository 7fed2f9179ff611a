/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_GEN_TCP_H
#define COPPICE_GEN_TCP_H

#include <coppice/process.h>

/*
 * TCP over IPv4 and IPv6, as Erlang's gen_tcp and inet: listeners and connections are ports, linked to
 * the process that owns them; they close when it ends.
 *
 * Messages to the owner of an active connection:
 *   {:tcp, port, data}            data is a binary
 *   {:tcp_closed, port}           the peer has closed; the port ends :normal after it
 *   {:tcp_error, port, reason}    then :tcp_closed follows
 *   {:tcp_passive, port}          an active count has run out
 */

/* active: COP_TCP_PASSIVE, COP_TCP_ACTIVE, COP_TCP_ONCE, or a count of messages 1..32767 */
enum { COP_TCP_PASSIVE = -1, COP_TCP_ACTIVE = -2, COP_TCP_ONCE = -3 };
typedef enum cop_packet { COP_PACKET_RAW, COP_PACKET_LINE } cop_packet;

/*
 * Options; zeroed is the default of each.
 *   ip               to listen on or to connect from; NULL = "127.0.0.1" for listening
 *   backlog          0 = 128
 *   active           0 = COP_TCP_ACTIVE for connect, as in OTP; accepted connections begin with what
 *                    the listener has; 0 there = COP_TCP_PASSIVE
 *   packet           COP_PACKET_LINE delivers line by line with the newline; a line longer than
 *                    line_max is delivered in pieces, as OTP does
 *   line_max         0 = 65536
 *   linger_reset     closing resets the connection and drops what is unsent (SO_LINGER 0)
 *   delay            leave Nagle's algorithm on
 *   high_watermark   bytes waiting to be sent above which senders wait; 0 = 65536
 *   send_timeout_ms  0 = COP_INFINITY
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
} cop_tcp_opts;

/* {:ok, port} or {:error, reason}; reason is an atom such as :eaddrinuse, :closed, :timeout. */
typedef struct cop_tcp_result {
    bool ok;
    cop_port port;
    cop_term reason;
} cop_tcp_result;

/* Listens; tcp_port 0 lets the kernel pick one (cop_inet_port tells it). */
cop_tcp_result cop_gen_tcp_listen(cop_ctx *ctx, int tcp_port, const cop_tcp_opts *opts);
/* Waits for a connection; the caller owns it. Several processes may wait at once. */
cop_tcp_result cop_gen_tcp_accept(cop_ctx *ctx, cop_port listener, int64_t timeout_ms);
/* Connects to a numeric address. timeout_ms: 0 = COP_INFINITY. */
cop_tcp_result cop_gen_tcp_connect(cop_ctx *ctx, const char *ip, int tcp_port,
                                   const cop_tcp_opts *opts, int64_t timeout_ms);
/*
 * Sends iodata. Waits while more than the high watermark is still unsent, so a slow reader holds its
 * senders and no memory grows.
 * Returns: :ok, or {:error, :closed | :timeout | ...}
 * Context: any process, not only the owner
 */
cop_term cop_gen_tcp_send(cop_ctx *ctx, cop_port port, cop_term iodata);
/*
 * Receives from a passive connection: exactly `length` bytes, or for 0 (and lines) what is there.
 * Returns: {:ok, binary} | {:error, :closed | :timeout | :einval (it is active) | ...}
 */
cop_term cop_gen_tcp_recv(cop_ctx *ctx, cop_port port, size_t length, int64_t timeout_ms);
/* Closes; what was sent before is still delivered (unless linger_reset). */
void cop_gen_tcp_close(cop_ctx *ctx, cop_port port);
/* Ends sending: the peer sees the end of the stream. */
cop_term cop_gen_tcp_shutdown(cop_ctx *ctx, cop_port port);
/* Makes another process the owner; called by the owner. Messages of the port that already wait in the
   caller's mailbox move along. Returns :ok or {:error, :not_owner | :closed}. */
cop_term cop_gen_tcp_controlling_process(cop_ctx *ctx, cop_port port, cop_pid owner);

/* ---- inet --------------------------------------------------------------------------------------- */

/* Sets the active mode; returns at once, and works in order with what the caller does to the port.
   A count is added to what is left of the present one, as in OTP. */
void cop_inet_set_active(cop_ctx *ctx, cop_port port, int active);
void cop_inet_set_packet(cop_ctx *ctx, cop_port port, cop_packet packet);
/* The TCP port number of this side; -1 when it is closed. */
int cop_inet_port(cop_ctx *ctx, cop_port port);
/* {:ok, {"127.0.0.1", 1234}} | {:error, reason} */
cop_term cop_inet_peername(cop_ctx *ctx, cop_port port);

#endif
