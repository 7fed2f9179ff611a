/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options and counters of sockets by name, as inet:setopts, getopts, getstat and info have them.
 *
 * Those that are the kernel's alone stand in one table; those that are also the port's (how it delivers,
 * cuts and waits) have a function. An IPv6 socket has its own numbers for some of the kernel's.
 * Threads: the loop's, inside a callback of the port.
 */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "io/socket.h"

int cop__socket_set_int(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : -errno;
}

/* ---- the kernel's ----------------------------------------------------------------------------------------- */

enum { FOR_ANY, FOR_TCP, FOR_UDP };

struct kernel_option {
    const char *name;
    int level, number, level6, number6; /* 6: for IPv6, when they differ; 0: the same */
    int socket;
    bool is_bool;
};

static const struct kernel_option kernel_options[] = {
    { "recbuf", SOL_SOCKET, SO_RCVBUF, 0, 0, FOR_ANY, false },
    { "sndbuf", SOL_SOCKET, SO_SNDBUF, 0, 0, FOR_ANY, false },
    { "priority", SOL_SOCKET, SO_PRIORITY, 0, 0, FOR_ANY, false },
    { "reuseaddr", SOL_SOCKET, SO_REUSEADDR, 0, 0, FOR_ANY, true },
    { "keepalive", SOL_SOCKET, SO_KEEPALIVE, 0, 0, FOR_ANY, true },
    { "dontroute", SOL_SOCKET, SO_DONTROUTE, 0, 0, FOR_ANY, true },
    { "tos", IPPROTO_IP, IP_TOS, 0, 0, FOR_ANY, false },
    { "ttl", IPPROTO_IP, IP_TTL, IPPROTO_IPV6, IPV6_UNICAST_HOPS, FOR_ANY, false },
    { "tclass", IPPROTO_IPV6, IPV6_TCLASS, 0, 0, FOR_ANY, false },
    { "nodelay", IPPROTO_TCP, TCP_NODELAY, 0, 0, FOR_TCP, true },
    { "broadcast", SOL_SOCKET, SO_BROADCAST, 0, 0, FOR_UDP, true },
    { "multicast_ttl", IPPROTO_IP, IP_MULTICAST_TTL, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, FOR_UDP,
      false },
    { "multicast_loop", IPPROTO_IP, IP_MULTICAST_LOOP, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, FOR_UDP,
      true },
};

static const struct kernel_option *find_kernel_option(const struct cop__socket *s, cop_atom name) {
    const char *text = cop_atom_name(name, NULL);
    for (size_t i = 0; i < sizeof kernel_options / sizeof *kernel_options; i++) {
        const struct kernel_option *o = &kernel_options[i];
        if (strcmp(o->name, text) == 0
            && (o->socket == FOR_ANY || (o->socket == FOR_TCP && s->kind == COP__SOCKET_TCP)
                || (o->socket == FOR_UDP && s->kind == COP__SOCKET_UDP)))
            return o;
    }
    return NULL;
}

static int family_of(const struct cop__socket *s) {
    int family = AF_UNSPEC;
    socklen_t size = sizeof family;
    getsockopt(s->fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
    return family;
}

static void place_of(const struct cop__socket *s, const struct kernel_option *o, int *level,
                     int *number) {
    bool six = o->number6 != 0 && family_of(s) == AF_INET6;
    *level = six ? o->level6 : o->level;
    *number = six ? o->number6 : o->number;
}

static int set_kernel_option(struct cop__socket *s, const struct kernel_option *o, cop_term value) {
    int level, number, n;
    bool b;
    if (o->is_bool && cop_get_bool(value, &b))
        n = b;
    else if (o->is_bool || !cop_get_int(value, &n))
        return -EINVAL;
    place_of(s, o, &level, &number);
    return cop__socket_set_int(s->fd, level, number, n);
}

/* ---- the port's --------------------------------------------------------------------------------------------- */

static int set_active(struct cop__socket *s, cop_term value) {
    int64_t count;
    bool on;
    if (cop_get_bool(value, &on))
        s->active = on ? COP_TCP_ACTIVE : COP_TCP_PASSIVE;
    else if (cop_match(value, cop_a(once)))
        s->active = COP_TCP_ONCE;
    else if (!cop_get_i64(value, &count) || !cop__socket_add_active(s, count))
        return -EINVAL;
    return 0;
}

static cop_term active_term(cop_ctx *ctx, const struct cop__socket *s) {
    if (s->active > 0)
        return cop_of(ctx, s->active);
    return s->active == COP_TCP_ONCE ? cop_a(once).t : cop_bool(s->active == COP_TCP_ACTIVE).t;
}

static int set_packet(struct cop__socket *s, cop_term value) {
    static const cop_packet by_number[] = { COP_PACKET_RAW, COP_PACKET_1, COP_PACKET_2,
                                            COP_PACKET_RAW, COP_PACKET_4 };
    int64_t n;
    cop_packet packet = COP_PACKET_RAW;
    if (cop_match(value, cop_a(line)))
        packet = COP_PACKET_LINE;
    else if (cop_get_i64(value, &n) && n >= 0 && n <= 4 && n != 3)
        packet = by_number[n];
    else if (!cop_match(value, cop_a(raw)))
        return -EINVAL;
    s->tcp_opts.packet = packet;
    pthread_mutex_lock(&s->lock);
    s->send_packet = packet;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static cop_term packet_term(cop_ctx *ctx, const struct cop__socket *s) {
    if (s->tcp_opts.packet == COP_PACKET_LINE)
        return cop_a(line).t;
    return cop_of(ctx, cop__packet_header(s->tcp_opts.packet));
}

/* The port's business, not the kernel's: there a close would hold the loop's thread for so long. */
static int set_linger(struct cop__socket *s, cop_term value) {
    cop_term on;
    int seconds;
    bool is_on;
    if (!cop_match_tuple(value, &on, &seconds) || !cop_get_bool(on, &is_on) || seconds < 0)
        return -EINVAL;
    s->tcp_opts.linger_reset = is_on && seconds == 0;
    s->linger_s = is_on ? seconds : 0;
    return 0;
}

static int set_wait(struct cop__socket *s, cop_atom name, cop_term value) {
    int64_t n = COP_INFINITY;
    bool infinite = cop_match(value, cop_a(infinity)),
         is_timeout = cop_match(name.t, cop_a(send_timeout));
    if (!infinite && (!cop_get_i64(value, &n) || n < 0 || n > INT64_C(4294967295)))
        return -EINVAL;
    if (infinite && !is_timeout)
        return -EINVAL;
    pthread_mutex_lock(&s->lock);
    if (is_timeout)
        s->send_timeout_ms = n;
    else
        s->high_watermark = (size_t)n;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static int set_flag(struct cop__socket *s, cop_atom name, cop_term value) {
    bool on;
    if (!cop_get_bool(value, &on))
        return -EINVAL;
    if (cop_match(name.t, cop_a(exit_on_close))) {
        s->tcp_opts.no_exit_on_close = !on;
        return 0;
    }
    pthread_mutex_lock(&s->lock);
    s->send_timeout_close = on;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static int set_packet_size(struct cop__socket *s, cop_term value) {
    int64_t n;
    if (!cop_get_i64(value, &n) || n < 0)
        return -EINVAL;
    s->tcp_opts.packet_size = n == 0 || n > COP__PACKET_MAX ? COP__PACKET_MAX : (size_t)n;
    return 0;
}

/* ---- multicast ---------------------------------------------------------------------------------------------------- */

static int set_membership(struct cop__socket *s, cop_term value, bool join) {
    cop_term group, interface;
    char text[2][64];
    struct cop__address address[2];
    if (!cop_match_tuple(value, &group, &interface) || !cop__address_from_term(group, &address[0])
        || !cop__address_from_term(interface, &address[1])
        || address[0].is.ss_family != address[1].is.ss_family)
        return -EINVAL;
    for (int i = 0; i < 2; i++)
        uv_ip_name((struct sockaddr *)&address[i].is, text[i], sizeof text[i]);
    return uv_udp_set_membership(&s->udp, text[0], text[1], join ? UV_JOIN_GROUP : UV_LEAVE_GROUP);
}

static int set_multicast_if(struct cop__socket *s, cop_term value) {
    char text[64];
    struct cop__address address;
    if (!cop__address_from_term(value, &address))
        return -EINVAL;
    uv_ip_name((struct sockaddr *)&address.is, text, sizeof text);
    return uv_udp_set_multicast_interface(&s->udp, text);
}

/* ---- all ------------------------------------------------------------------------------------------------------------ */

static int set_option(struct cop__socket *s, cop_atom name, cop_term value) {
    bool is_udp = s->kind == COP__SOCKET_UDP;
    cop_term n = name.t;
    const struct kernel_option *o = find_kernel_option(s, name);
    if (o != NULL)
        return set_kernel_option(s, o, value);
    if (cop_match(n, cop_a(active)))
        return set_active(s, value);
    if (cop_match(n, cop_a(send_timeout)) || cop_match(n, cop_a(high_watermark)))
        return set_wait(s, name, value);
    if (!is_udp && cop_match(n, cop_a(packet)))
        return set_packet(s, value);
    if (!is_udp && cop_match(n, cop_a(packet_size)))
        return set_packet_size(s, value);
    if (!is_udp && cop_match(n, cop_a(linger)))
        return set_linger(s, value);
    if (!is_udp && (cop_match(n, cop_a(exit_on_close)) || cop_match(n, cop_a(send_timeout_close))))
        return set_flag(s, name, value);
    if (is_udp && cop_match(n, cop_a(add_membership)))
        return set_membership(s, value, true);
    if (is_udp && cop_match(n, cop_a(drop_membership)))
        return set_membership(s, value, false);
    if (is_udp && cop_match(n, cop_a(multicast_if)))
        return set_multicast_if(s, value);
    return -EINVAL;
}

cop_term cop__socket_setopts(struct cop__socket *s, cop_term options) {
    cop_term option, value;
    cop_atom name;
    int rc = cop_is_proper_list(options) ? 0 : -EINVAL;
    while (rc == 0 && cop_get_cons(options, &option, &options))
        rc = cop_match_tuple(option, &name, &value) ? set_option(s, name, value) : -EINVAL;
    return rc == 0 ? cop_a(ok).t : cop__socket_error(s->ctx, cop__socket_reason(rc));
}

/* COP_NONE: there is no such option. */
static cop_term get_option(struct cop__socket *s, cop_atom name) {
    cop_ctx *ctx = s->ctx;
    cop_term n = name.t;
    bool is_udp = s->kind == COP__SOCKET_UDP;
    const struct kernel_option *o = find_kernel_option(s, name);
    if (o != NULL) {
        int level, number, value = 0;
        socklen_t size = sizeof value;
        place_of(s, o, &level, &number);
        if (getsockopt(s->fd, level, number, &value, &size) != 0)
            return COP_NONE;
        return o->is_bool ? cop_bool(value != 0).t : cop_of(ctx, value);
    }
    if (cop_match(n, cop_a(active)))
        return active_term(ctx, s);
    if (cop_match(n, cop_a(high_watermark)))
        return cop_of(ctx, s->high_watermark);
    if (cop_match(n, cop_a(send_timeout)))
        return s->send_timeout_ms == COP_INFINITY ? cop_a(infinity).t
                                                  : cop_of(ctx, s->send_timeout_ms);
    if (is_udp)
        return COP_NONE;
    if (cop_match(n, cop_a(packet)))
        return packet_term(ctx, s);
    if (cop_match(n, cop_a(packet_size)))
        return cop_of(ctx, s->tcp_opts.packet_size);
    if (cop_match(n, cop_a(exit_on_close)))
        return cop_bool(!s->tcp_opts.no_exit_on_close).t;
    if (cop_match(n, cop_a(send_timeout_close)))
        return cop_bool(s->send_timeout_close).t;
    if (!cop_match(n, cop_a(linger)))
        return COP_NONE;
    return cop_tuple(ctx, cop_bool(s->tcp_opts.linger_reset || s->linger_s > 0), s->linger_s);
}

cop_term cop__socket_getopts(struct cop__socket *s, cop_term names) {
    cop_term list = COP_NIL, head;
    cop_atom name;
    cop_ctx *ctx = s->ctx;
    bool good = cop_is_proper_list(names);
    while (good && cop_get_cons(names, &head, &names)) {
        cop_term value = cop_get_atom(head, &name) ? get_option(s, name) : COP_NONE;
        good = !cop_is_none(value);
        if (good)
            list = cop_cons(ctx, cop_tuple(ctx, name, value), list);
    }
    return good ? cop_tuple(ctx, cop_a(ok), cop_list_reverse(ctx, list))
                : cop__socket_error(ctx, cop_a(einval).t);
}

/* ---- counters ---------------------------------------------------------------------------------------------------------- */

static cop_term counters(struct cop__socket *s) {
    cop_ctx *ctx = s->ctx;
    const struct cop__traffic *in = &s->received;
    pthread_mutex_lock(&s->lock);
    struct cop__traffic out = s->sent;
    size_t pending = s->pending;
    pthread_mutex_unlock(&s->lock);
    return cop_list(
        ctx, cop_tuple(ctx, cop_a(recv_oct), in->octets),
        cop_tuple(ctx, cop_a(recv_cnt), in->count), cop_tuple(ctx, cop_a(recv_max), in->max),
        cop_tuple(ctx, cop_a(recv_avg), (int64_t)in->mean),
        cop_tuple(ctx, cop_a(recv_dvi), (int64_t)in->deviation),
        cop_tuple(ctx, cop_a(send_oct), out.octets), cop_tuple(ctx, cop_a(send_cnt), out.count),
        cop_tuple(ctx, cop_a(send_max), out.max),
        cop_tuple(ctx, cop_a(send_avg), (int64_t)out.mean),
        cop_tuple(ctx, cop_a(send_pend), (uint64_t)pending));
}

cop_term cop__socket_getstat(struct cop__socket *s) {
    return cop_tuple(s->ctx, cop_a(ok), counters(s));
}

/* What the kernel threw away for want of room; it tells this of every socket. */
static uint32_t drops_of(const struct cop__socket *s) {
    enum { DROPS = 8, VALUES = 9 }; /* SK_MEMINFO_DROPS of linux/sock_diag.h */
    uint32_t values[VALUES] = { 0 };
    socklen_t size = sizeof values;
    return getsockopt(s->fd, SOL_SOCKET, SO_MEMINFO, values, &size) == 0 ? values[DROPS] : 0;
}

cop_term cop__socket_info(struct cop__socket *s) {
    cop_ctx *ctx = s->ctx;
    cop_term map = cop_map(ctx), list = counters(s), pair;
    while (cop_get_cons(list, &pair, &list))
        map = cop_map_put(ctx, map, cop_elem(pair, 0), cop_elem(pair, 1));
    cop_term states = cop_list(ctx, cop_a(open));
    if (s->is_listener)
        states = cop_cons(ctx, cop_a(listen), states);
    else if (s->connected)
        states = cop_cons(ctx, cop_a(connected), states);
    pthread_mutex_lock(&s->lock);
    size_t pending = s->pending;
    pthread_mutex_unlock(&s->lock);
    cop_term info =
        cop_map(ctx, cop_a(counters), map, cop_a(input), (uint64_t)cop__framer_size(&s->framer),
                cop_a(output), (uint64_t)pending, cop_a(owner), s->owner, cop_a(states), states);
    if (s->kind == COP__SOCKET_UDP)
        info = cop_map_put(ctx, info, cop_a(drops).t, cop_of(ctx, drops_of(s)));
    return info;
}
