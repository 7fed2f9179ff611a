/* SPDX-License-Identifier: Apache-2.0 */
/* gen_udp, the caller's side: arguments, and the direct way to the kernel for what is sent. How a port is
   asked is socket.c's. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "io/socket.h"

static void check_port(cop_ctx *ctx, int udp_port) {
    if (udp_port < 0 || udp_port > 65535)
        cop_error(ctx, cop_a(badarg));
}

static cop_udp_result result_of(cop_term answer) {
    cop_udp_result result = { .reason = cop_a(closed).t };
    if (cop_match_tuple(answer, cop_a(ok), &result.port))
        result.ok = true;
    else
        cop_match_tuple(answer, cop_a(error), &result.reason);
    return result;
}

cop_udp_result cop_gen_udp_open(cop_ctx *ctx, int udp_port, const cop_udp_opts *opts) {
    static const cop_udp_opts defaults = { 0 };
    check_port(ctx, udp_port);
    if (opts == NULL)
        opts = &defaults;
    const char *ip = opts->ip != NULL ? opts->ip : opts->family == COP_INET6 ? "::" : "0.0.0.0";
    struct cop__address at;
    if (!cop__address_parse(ip, strlen(ip), COP__ADDRESS_ANY, &at))
        return (cop_udp_result){ .reason = cop_a(einval).t };
    cop__address_set_port(&at, udp_port);
    struct cop__socket *s = cop__socket_new(COP__SOCKET_UDP);
    s->udp_opts = *opts;
    s->udp_opts.ip = NULL; /* the caller's */
    s->bind_to = at;
    s->active = opts->active == 0 ? COP_UDP_ACTIVE : opts->active;
    s->high_watermark = opts->high_watermark == 0 ? COP__HIGH_WATERMARK : opts->high_watermark;
    s->send_timeout_ms = cop__socket_timeout(opts->send_timeout_ms);
    return result_of(cop__socket_open(ctx, s, &cop__udp_ops, COP_INFINITY));
}

/* ---- sending ------------------------------------------------------------------------------------------- */

struct sending {
    int error;
    bool rest, wait;
    int64_t timeout_ms;
};

/* to is NULL for a connected socket. Under the lock. */
static struct sending send_datagram(struct cop__socket *s, cop_bytes bytes,
                                    const struct cop__address *to) {
    struct sending result = { .timeout_ms = s->send_timeout_ms };
    ssize_t n = -1;
    if (!s->writable) {
        result.error = UV_EOF;
        return result;
    }
    errno = EAGAIN; /* where others wait already, this one goes behind them */
    if (s->pending == 0)
        do
            n = sendto(s->fd, bytes.data, bytes.size, MSG_DONTWAIT | MSG_NOSIGNAL,
                       to != NULL ? (const struct sockaddr *)&to->is : NULL,
                       to != NULL ? to->size : 0);
        while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        result.error = errno == EDESTADDRREQ ? -EINVAL : -errno; /* as OTP says it */
        return result;
    }
    cop__traffic_count(&s->sent, bytes.size);
    if (n < 0) {
        struct cop__part parts[2] = { { bytes.data, bytes.size }, { bytes.data, 0 } };
        result.rest = true;
        result.wait = cop__socket_queue(s, parts, 0, to);
    }
    return result;
}

static cop_term send_to(cop_ctx *ctx, cop_port port, const struct cop__address *to, cop_term data) {
    cop_bytes bytes;
    if (!cop_get_bytes(cop_iodata_to_binary(ctx, data), &bytes))
        cop_error(ctx, cop_a(badarg));
    struct cop__socket *s = cop__socket_find(port);
    if (s == NULL)
        return cop__socket_error(ctx, cop_a(closed).t);
    struct sending sent = { .error = -EINVAL };
    if (s->kind == COP__SOCKET_UDP) {
        pthread_mutex_lock(&s->lock);
        sent = send_datagram(s, bytes, to);
        pthread_mutex_unlock(&s->lock);
    }
    cop__socket_release(s);
    if (sent.error != 0)
        return cop__socket_error(ctx, cop__socket_reason(sent.error));
    return sent.rest ? cop__socket_queued(ctx, port, sent.wait, sent.timeout_ms, false)
                     : cop_a(ok).t;
}

/* The address of a host, in the family of the socket if it must be looked up. Returns :ok or the error. */
static cop_term resolve(cop_ctx *ctx, cop_port port, cop_term host, int udp_port,
                        struct cop__address *out) {
    struct cop__host found;
    check_port(ctx, udp_port);
    if (cop__host_from_term(host, udp_port, false, &found) != 0)
        return cop__socket_error(ctx, cop_a(einval).t);
    *out = found.address;
    if (out->size != 0)
        return cop_a(ok).t;
    struct cop__socket *s = cop__socket_find(port);
    if (s == NULL)
        return cop__socket_error(ctx, cop_a(closed).t);
    cop_inet_family family = s->bind_to.is.ss_family == AF_INET6 ? COP_INET6 : COP_INET;
    cop__socket_release(s);
    cop_term answer = cop__inet_getaddr(ctx, host, family, COP_INFINITY), ip;
    if (!cop_match_tuple(answer, cop_a(ok), &ip))
        return answer;
    cop__address_from_term(ip, out);
    cop__address_set_port(out, udp_port);
    return cop_a(ok).t;
}

cop_term cop__gen_udp_send(cop_ctx *ctx, cop_port port, cop_term host, int udp_port,
                           cop_term data) {
    struct cop__address to;
    cop_term answer = resolve(ctx, port, host, udp_port, &to);
    return cop_match(answer, cop_a(ok)) ? send_to(ctx, port, &to, data) : answer;
}

cop_term cop_gen_udp_send_connected(cop_ctx *ctx, cop_port port, cop_term data) {
    return send_to(ctx, port, NULL, data);
}

/* ---- the rest -------------------------------------------------------------------------------------------- */

cop_term cop_gen_udp_recv(cop_ctx *ctx, cop_port port, size_t length, int64_t timeout_ms) {
    return cop__socket_call(ctx, port, cop_a(recv), cop_of(ctx, length),
                            cop__socket_timeout(timeout_ms));
}

cop_term cop__gen_udp_connect(cop_ctx *ctx, cop_port port, cop_term host, int udp_port) {
    struct cop__address to;
    cop_term answer = resolve(ctx, port, host, udp_port, &to);
    if (!cop_match(answer, cop_a(ok)))
        return answer;
    return cop__socket_call(ctx, port, cop_a(connect),
                            cop_tuple(ctx, cop__address_ip(ctx, &to), udp_port), COP_INFINITY);
}

void cop_gen_udp_close(cop_ctx *ctx, cop_port port) { cop__socket_close(ctx, port); }

cop_term cop_gen_udp_controlling_process(cop_ctx *ctx, cop_port port, cop_pid owner) {
    return cop__socket_give(ctx, port, owner);
}
