/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_GEN_UDP_H
#define COPPICE_GEN_UDP_H

#include <coppice/inet.h>

/*
 * Datagrams over IPv4 and IPv6, as Erlang's gen_udp. A socket is a port, linked to the process that owns
 * it; it closes when that ends.
 *
 * Messages to the owner of an active socket:
 *   {:udp, port, ip, number, data}   a datagram and where it came from
 *   {:udp_passive, port}             an active count has run out
 *   {:udp_error, port, reason}       e.g. :econnrefused on a connected socket; it stays open
 *
 * Nothing is held back in user space: while nobody receives, datagrams wait in the kernel's buffer
 * (recbuf), which throws away what it has no room for; cop_inet_info counts that as drops.
 */

/* active: COP_UDP_PASSIVE, COP_UDP_ACTIVE, COP_UDP_ONCE, or a count of messages 1..32767 */
enum { COP_UDP_PASSIVE = -1, COP_UDP_ACTIVE = -2, COP_UDP_ONCE = -3 };

/*
 * Options; zeroed is the default of each. More, also multicast groups: cop_inet_setopts.
 *   ip               numeric, to bind to; NULL = any of the family
 *   family           COP_INET6 with ip NULL binds to "::"
 *   active           0 = COP_UDP_ACTIVE, as in OTP
 *   recbuf, sndbuf   the kernel's buffers in bytes; 0 = its default
 *   broadcast        may send to broadcast addresses
 *   reuseaddr, reuseport   others may bind to the same port
 *   v6only           a socket on "::" takes no IPv4
 *   high_watermark   bytes waiting to be sent above which senders wait; 0 = 65536
 *   send_timeout_ms  0 = COP_INFINITY
 */
typedef struct cop_udp_opts {
    const char *ip;
    cop_inet_family family;
    int active;
    int recbuf;
    int sndbuf;
    bool broadcast;
    bool reuseaddr;
    bool reuseport;
    bool v6only;
    size_t high_watermark;
    int64_t send_timeout_ms;
} cop_udp_opts;

/* {:ok, port} or {:error, reason} */
typedef struct cop_udp_result {
    bool ok;
    cop_port port;
    cop_term reason;
} cop_udp_result;

/*
 * Opens a socket.
 *
 * Elixir:  :gen_udp.open/1,2
 * Port:    to bind to; 0 lets the kernel pick one (cop_inet_port tells it)
 * Errors:  :eaddrinuse, :eaddrnotavail, :eacces, :einval (no address), ...
 */
cop_udp_result cop_gen_udp_open(cop_ctx *ctx, int udp_port, const cop_udp_opts *opts);

cop_term cop__gen_udp_send(cop_ctx *ctx, cop_port port, cop_term host, int udp_port, cop_term data);
/*
 * Sends one datagram. A name is looked up first, meanwhile others go on. When the kernel has no room the
 * datagram waits, and above the high watermark so does the sender.
 *
 * Elixir:  :gen_udp.send/4
 * Host:    see coppice/inet.h
 * Data:    iodata, or what cop_of makes a binary of
 * Returns: :ok or {:error, :emsgsize | :eacces | :nxdomain | :eafnosupport | :closed | ...}
 * Context: any process, not only the owner
 */
#define cop_gen_udp_send(ctx, port, host, udp_port, data)                     \
    ({                                                                        \
        cop_ctx *cop__sc = (ctx);                                             \
        cop__gen_udp_send(cop__sc, (port), cop_of(cop__sc, host), (udp_port), \
                          cop_of(cop__sc, data));                             \
    })
/* Sends to whom the socket is connected. Elixir: :gen_udp.send/2. */
cop_term cop_gen_udp_send_connected(cop_ctx *ctx, cop_port port, cop_term data);

/*
 * Takes the next datagram of a passive socket.
 *
 * Elixir:  :gen_udp.recv/2,3
 * Length:  without meaning, as in OTP
 * Timeout: ms; 0 = COP_INFINITY, COP_ZERO looks and does not wait
 * Returns: {:ok, {ip, number, data}} | {:error, :timeout | :closed | :einval (it is active) | ...};
 *          nothing is lost by a time-out
 */
cop_term cop_gen_udp_recv(cop_ctx *ctx, cop_port port, size_t length, int64_t timeout_ms);

cop_term cop__gen_udp_connect(cop_ctx *ctx, cop_port port, cop_term host, int udp_port);
/*
 * From now on only datagrams of that address are received, and send_connected goes there.
 *
 * Elixir:  :gen_udp.connect/3
 * Returns: :ok or {:error, reason}
 */
#define cop_gen_udp_connect(ctx, port, host, udp_port)                            \
    ({                                                                            \
        cop_ctx *cop__sc = (ctx);                                                 \
        cop__gen_udp_connect(cop__sc, (port), cop_of(cop__sc, host), (udp_port)); \
    })
/* Closes; the port number is free when it returns. Elixir: :gen_udp.close/1. */
void cop_gen_udp_close(cop_ctx *ctx, cop_port port);
/* Makes another process the owner, as cop_gen_tcp_controlling_process. */
cop_term cop_gen_udp_controlling_process(cop_ctx *ctx, cop_port port, cop_pid owner);

#endif
