/* SPDX-License-Identifier: Apache-2.0 */
/* gen_tcp, the caller's side: arguments, and the direct way to the kernel for what is sent. How a port is
   asked and how senders keep their order is socket.c's. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "io/socket.h"

static cop_tcp_result result_of(cop_term answer) {
    cop_tcp_result result = { .reason = cop_a(closed).t };
    if (cop_match_tuple(answer, cop_a(ok), &result.port))
        result.ok = true;
    else
        cop_match_tuple(answer, cop_a(error), &result.reason);
    return result;
}

static cop_tcp_result refused(cop_atom reason) { return (cop_tcp_result){ .reason = reason.t }; }

static void check_port(cop_ctx *ctx, int tcp_port) {
    if (tcp_port < 0 || tcp_port > 65535)
        cop_error(ctx, cop_a(badarg));
}

static bool numeric(const char *ip, int port, struct cop__address *out) {
    if (!cop__address_parse(ip, strlen(ip), COP__ADDRESS_ANY, out))
        return false;
    cop__address_set_port(out, port);
    return true;
}

/* ---- opening ---------------------------------------------------------------------------------------- */

cop_tcp_result cop_gen_tcp_listen(cop_ctx *ctx, int tcp_port, const cop_tcp_opts *opts) {
    const char *ip = opts != NULL && opts->ip != NULL ? opts->ip : "127.0.0.1";
    const char *local = opts != NULL ? opts->local : NULL;
    struct cop__address at;
    check_port(ctx, tcp_port);
    if (local != NULL ? tcp_port != 0 || !cop__address_local(local, strlen(local), &at)
                      : !numeric(ip, tcp_port, &at))
        return refused(cop_a(einval));
    struct cop__socket *s = cop__tcp_new(opts);
    s->kind = local != NULL ? COP__SOCKET_LOCAL : COP__SOCKET_TCP;
    s->is_listener = true;
    s->bind_to = at;
    s->active = COP_TCP_PASSIVE;
    return result_of(cop__socket_open(ctx, s, &cop__tcp_ops, COP_INFINITY));
}

cop_tcp_result cop__gen_tcp_connect(cop_ctx *ctx, cop_term host, int tcp_port,
                                    const cop_tcp_opts *opts, int64_t timeout_ms) {
    struct cop__host to;
    struct cop__address from = { .size = 0 };
    check_port(ctx, tcp_port);
    if (opts != NULL)
        check_port(ctx, opts->from_port);
    if (cop__host_from_term(host, tcp_port, true, &to) != 0
        || (opts != NULL && opts->ip != NULL && !numeric(opts->ip, opts->from_port, &from)))
        return refused(cop_a(einval));
    struct cop__socket *s = cop__tcp_new(opts);
    if (to.address.size != 0 && to.address.is.ss_family == AF_UNIX)
        s->kind = COP__SOCKET_LOCAL;
    s->host = to;
    s->tcp_port = tcp_port;
    s->bind_to = from;
    s->active = s->tcp_opts.active == 0 ? COP_TCP_ACTIVE : s->tcp_opts.active;
    return result_of(cop__socket_open(ctx, s, &cop__tcp_ops, cop__socket_timeout(timeout_ms)));
}

cop_tcp_result cop_gen_tcp_accept(cop_ctx *ctx, cop_port listener, int64_t timeout_ms) {
    return result_of(cop__socket_call(ctx, listener, cop_a(accept), cop_a(nil).t,
                                      cop__socket_timeout(timeout_ms)));
}

/* ---- sending ------------------------------------------------------------------------------------------- */

/* One system call: the bytes from `done` on. */
static ssize_t write_once(int fd, const struct cop__part parts[2], size_t done) {
    size_t first = done < parts[0].size ? parts[0].size - done : 0;
    size_t second = parts[0].size + parts[1].size - done - first;
    const uint8_t *tail = parts[1].data + parts[1].size - second;
    if (first == 0)
        return send(fd, tail, second, MSG_DONTWAIT | MSG_NOSIGNAL);
    struct iovec vector[2] = {
        { (void *)(uintptr_t)(parts[0].data + parts[0].size - first), first },
        { (void *)(uintptr_t)tail, second },
    };
    struct msghdr message = { .msg_iov = vector, .msg_iovlen = 2 };
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Writes what the kernel takes. Returns the bytes written, or a negative errno. Under the lock. */
static ssize_t write_now(int fd, const struct cop__part parts[2]) {
    size_t done = 0, size = parts[0].size + parts[1].size;
    while (done < size) {
        ssize_t n = write_once(fd, parts, done);
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return -errno;
        break;
    }
    return (ssize_t)done;
}

/* What one send has come to, under the lock. */
struct sending {
    int error;
    bool full; /* too much waits already: nothing was sent */
    bool rest, wait, timeout_close;
    int64_t timeout_ms;
};

static struct sending send_parts(struct cop__socket *s, cop_bytes bytes) {
    struct sending result = { .timeout_ms = s->send_timeout_ms,
                              .timeout_close = s->send_timeout_close };
    uint8_t header[4];
    struct cop__part parts[2] = { { header, cop__packet_header(s->send_packet) },
                                  { bytes.data, bytes.size } };
    if (!s->writable)
        result.error = s->is_listener ? -ENOTCONN : UV_EOF;
    else if (s->error != 0)
        result.error = s->error;
    else if (!cop__packet_put_header(s->send_packet, bytes.size, header))
        result.error = -EMSGSIZE;
    else
        result.full = s->pending > s->high_watermark;
    if (result.error != 0 || result.full)
        return result;
    ssize_t done = s->pending == 0 ? write_now(s->fd, parts) : 0;
    if (done < 0) {
        result.error = s->error = (int)done;
        return result;
    }
    cop__traffic_count(&s->sent, parts[0].size + parts[1].size);
    result.rest = (size_t)done < parts[0].size + parts[1].size;
    if (result.rest)
        result.wait = cop__socket_queue(s, parts, (size_t)done, NULL);
    return result;
}

/* One attempt. */
static struct sending try_send(cop_port port, cop_bytes bytes) {
    struct sending sent = { .error = UV_EOF };
    struct cop__socket *s = cop__socket_find(port);
    if (s == NULL)
        return sent;
    sent.error = -EINVAL;
    if (s->kind != COP__SOCKET_UDP) {
        pthread_mutex_lock(&s->lock);
        sent = send_parts(s, bytes);
        pthread_mutex_unlock(&s->lock);
    }
    cop__socket_release(s);
    if (sent.error == -EPIPE || sent.error == -ECONNRESET)
        sent.error = UV_EOF;
    return sent;
}

cop_term cop_gen_tcp_send(cop_ctx *ctx, cop_port port, cop_term iodata) {
    cop_term binary = cop_iodata_to_binary(ctx, iodata);
    cop_bytes bytes;
    if (!cop_get_bytes(binary, &bytes))
        cop_error(ctx, cop_a(badarg));
    for (;;) {
        struct sending sent = try_send(port, bytes);
        if (sent.error != 0)
            return cop__socket_error(ctx, cop__socket_reason(sent.error));
        if (!sent.full && !sent.rest)
            return cop_a(ok).t;
        cop_term answer = cop__socket_queued(ctx, port, sent.full || sent.wait, sent.timeout_ms,
                                             sent.timeout_close);
        if (sent.rest || !cop_match(answer, cop_a(ok)))
            return answer;
    }
}

/* ---- the rest -------------------------------------------------------------------------------------------- */

cop_term cop_gen_tcp_recv(cop_ctx *ctx, cop_port port, size_t length, int64_t timeout_ms) {
    if (length > COP__PACKET_MAX)
        return cop__socket_error(ctx, cop_a(enomem).t);
    return cop__socket_call(ctx, port, cop_a(recv), cop_of(ctx, length),
                            cop__socket_timeout(timeout_ms));
}

void cop_gen_tcp_close(cop_ctx *ctx, cop_port port) { cop__socket_close(ctx, port); }

cop_term cop_gen_tcp_shutdown(cop_ctx *ctx, cop_port port, cop_atom how) {
    return cop__socket_call(ctx, port, cop_a(shutdown), how.t, COP_INFINITY);
}

cop_term cop_gen_tcp_controlling_process(cop_ctx *ctx, cop_port port, cop_pid owner) {
    return cop__socket_give(ctx, port, owner);
}

void cop_inet_set_packet(cop_ctx *ctx, cop_port port, cop_packet packet) {
    if ((unsigned)packet > COP_PACKET_4)
        cop_error(ctx, cop_a(badarg));
    struct cop__socket *s = cop__socket_find(port);
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->send_packet = packet;
    pthread_mutex_unlock(&s->lock);
    cop__socket_release(s);
    cop_send(ctx, port, cop_tuple(ctx, cop_a(packet), (int)packet));
}
