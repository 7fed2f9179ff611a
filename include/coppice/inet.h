/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_INET_H
#define COPPICE_INET_H

#include <coppice/process.h>

/*
 * What all sockets share, and addresses: Erlang's inet.
 *
 * An IP address is a tuple of integers as in Erlang, {127, 0, 0, 1} or {0, 0, 0, 0, 0, 0, 0, 1}; the
 * address of a Unix domain socket is {:local, path}.
 * A host, where a function takes one, is one of these, :loopback, :any, or a name or numeric address
 * as text (a C string, a binary, a charlist, an atom).
 */

typedef enum cop_inet_family { COP_INET, COP_INET6 } cop_inet_family;

/* ---- names and addresses ------------------------------------------------------------------------ */

cop_term cop__inet_getaddr(cop_ctx *ctx, cop_term host, cop_inet_family family, int64_t timeout_ms);
cop_term cop__inet_getaddrs(cop_ctx *ctx, cop_term host, cop_inet_family family,
                            int64_t timeout_ms);
/*
 * Looks a host name up, as the system does (files, DNS). Other processes go on meanwhile.
 *
 * Elixir:  :inet.getaddr/2,3; getaddrs: all addresses
 * Timeout: ms; 0 = COP_INFINITY
 * Returns: {:ok, ip} or {:ok, [ip]}; {:error, :nxdomain | :timeout | :einval | :eafnosupport}
 * Context: inside a process; may wait
 */
#define cop_inet_getaddr(ctx, host, family, timeout_ms)                            \
    ({                                                                             \
        cop_ctx *cop__sc = (ctx);                                                  \
        cop__inet_getaddr(cop__sc, cop_of(cop__sc, host), (family), (timeout_ms)); \
    })
#define cop_inet_getaddrs(ctx, host, family, timeout_ms)                            \
    ({                                                                              \
        cop_ctx *cop__sc = (ctx);                                                   \
        cop__inet_getaddrs(cop__sc, cop_of(cop__sc, host), (family), (timeout_ms)); \
    })

/* An address as text, a binary; {:error, :einval} for what is none. Elixir: :inet.ntoa/1. */
cop_term cop_inet_ntoa(cop_ctx *ctx, cop_term ip);
/*
 * An address from its text. The short and hexadecimal forms of IPv4 are taken too ("127.1",
 * "0x7f.1"), but not by _strict; an IPv6 address may end in %interface. _ipv6 gives an IPv4 address
 * as {0, 0, 0, 0, 0, 65535, _, _}.
 *
 * Elixir:  :inet.parse_address/1, parse_strict_address/1, parse_ipv4_address/1, parse_ipv6_address/1
 * Returns: {:ok, ip} or {:error, :einval}
 */
cop_term cop_inet_parse_address(cop_ctx *ctx, const char *text);
cop_term cop_inet_parse_strict_address(cop_ctx *ctx, const char *text);
cop_term cop_inet_parse_ipv4_address(cop_ctx *ctx, const char *text);
cop_term cop_inet_parse_ipv6_address(cop_ctx *ctx, const char *text);

/* ---- sockets -------------------------------------------------------------------------------------- */

/* The port number of this side; -1 when it is closed or a Unix domain socket. */
int cop_inet_port(cop_ctx *ctx, cop_port port);
/*
 * The address of this side, or of the other.
 *
 * Elixir:  :inet.sockname/1, :inet.peername/1
 * Returns: {:ok, {ip, number}}, {:ok, {:local, path}}; {:error, :enotconn | :closed | ...}
 */
cop_term cop_inet_sockname(cop_ctx *ctx, cop_port port);
cop_term cop_inet_peername(cop_ctx *ctx, cop_port port);

/* Sets the active mode, one of COP_TCP_* or COP_UDP_* or a count; returns at once, and works in order
   with what the caller does to the port. A count is added to what is left of the present one, as in
   OTP. */
void cop_inet_set_active(cop_ctx *ctx, cop_port port, int active);

/*
 * Sets options from a list, in order, up to the first that is wrong.
 *
 * Elixir:  :inet.setopts/2
 * Options: any:  active (true, false, :once, a count), recbuf, sndbuf, priority, tos, ttl, tclass,
 *                high_watermark, send_timeout (ms or :infinity), reuseaddr, keepalive, dontroute
 *          TCP:  nodelay, packet (0, :raw, 1, 2, 4, :line), packet_size, linger ({bool, seconds}),
 *                exit_on_close, send_timeout_close
 *          UDP:  broadcast, multicast_ttl, multicast_loop, multicast_if (ip),
 *                add_membership and drop_membership ({group ip, interface ip})
 * Returns: :ok or {:error, :einval | ...}
 */
cop_term cop_inet_setopts(cop_ctx *ctx, cop_port port, cop_term options);
/* The values of the options whose names are in the list: {:ok, [{name, value}]} or {:error, :einval}.
   Elixir: :inet.getopts/2. */
cop_term cop_inet_getopts(cop_ctx *ctx, cop_port port, cop_term names);
/*
 * What went through a socket: {:ok, [recv_oct: bytes, recv_cnt: packets, recv_max: largest,
 * recv_avg: mean, recv_dvi: mean deviation, send_oct:, send_cnt:, send_max:, send_avg:,
 * send_pend: bytes waiting to be sent]}.
 *
 * Elixir:  :inet.getstat/1
 */
cop_term cop_inet_getstat(cop_ctx *ctx, cop_port port);
/*
 * About a socket: a map of counters (those of getstat), input (bytes received that nobody took yet),
 * output (bytes waiting to be sent), owner, states, and for UDP drops (datagrams the kernel threw away
 * because nobody received them in time). :undefined when it is closed.
 *
 * Elixir:  :inet.info/1
 */
cop_term cop_inet_info(cop_ctx *ctx, cop_port port);

#endif
