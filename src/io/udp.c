/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP sockets, the loop's side. Beside what all sockets serve (socket_port.c) they serve
 *
 *     {:recv, pid, ref, length}   {:connect, pid, ref, {ip, number}}
 *
 * Receiving: the socket is read only while somebody wants a datagram: the owner of an active one, or who
 * waits in a recv. So the port never holds one; what nobody takes in time waits in the kernel's buffer,
 * which has its bound and drops what is beyond.
 * Sending: directly by the caller (gen_udp.c); what the kernel had no room for comes here.
 *
 * Threads: all of it on the loop's thread.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "io/socket.h"

static void finish_close(struct cop__socket *s) { cop__port_close(s->ctx, cop_a(normal).t); }

/* ---- receiving -------------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(cop__read_buffer, sizeof cop__read_buffer);
}

static void update_reading(struct cop__socket *s);

static void received(struct cop__socket *s, const char *bytes, size_t size,
                     const struct cop__address *from) {
    cop_ctx *ctx = s->ctx;
    struct cop__waiter w;
    cop_term ip = cop__address_ip(ctx, from), data = cop_binary(ctx, bytes, size);
    int number = cop__address_port(from);
    cop__traffic_count(&s->received, size);
    if (cop__waiter_take(s, &s->receivers, &w)) {
        cop__socket_answer(s, &w.ref, cop_tuple(ctx, cop_a(ok), cop_tuple(ctx, ip, number, data)));
        return;
    }
    cop_send(ctx, s->owner, cop_tuple(ctx, cop_a(udp), s->port, ip, number, data));
    cop__socket_delivered(s);
}

static void failed(struct cop__socket *s, int error) {
    struct cop__waiter w;
    cop_term reason = cop__socket_reason(error);
    if (cop__waiter_take(s, &s->receivers, &w))
        cop__socket_answer(s, &w.ref, cop__socket_error(s->ctx, reason));
    else
        cop_send(s->ctx, s->owner, cop_tuple(s->ctx, cop_a(udp_error), s->port, reason));
}

static void on_received(uv_udp_t *handle, ssize_t n, const uv_buf_t *buf,
                        const struct sockaddr *address, unsigned flags) {
    struct cop__socket *s = handle->data;
    (void)flags;
    if (s->ctx == NULL || (n == 0 && address == NULL))
        return;
    cop__port_enter(s->ctx);
    if (n < 0) {
        failed(s, (int)n);
    } else {
        struct cop__address from = { .size = sizeof(struct sockaddr_in6) };
        memcpy(&from.is, address,
               address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                              : sizeof(struct sockaddr_in));
        received(s, buf->base, (size_t)n, &from);
    }
    update_reading(s);
    cop__port_leave(s->ctx);
}

static void update_reading(struct cop__socket *s) {
    if (s->closing)
        return;
    if (cop__socket_is_active(s) || s->receivers.first != NULL)
        uv_udp_recv_start(&s->udp, on_alloc, on_received);
    else
        uv_udp_recv_stop(&s->udp);
}

/* What is in the kernel already is taken at once, so that it is found without any time to wait. */
static void receive_now(struct cop__socket *s) {
    struct cop__address from = { .size = sizeof from.is };
    ssize_t n = recvfrom(s->fd, cop__read_buffer, sizeof cop__read_buffer, MSG_DONTWAIT,
                         (struct sockaddr *)&from.is, &from.size);
    if (n >= 0)
        received(s, cop__read_buffer, (size_t)n, &from);
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        failed(s, -errno);
}

static void request_recv(struct cop__socket *s, cop_pid pid, cop_ref ref) {
    if (cop__socket_is_active(s)) {
        cop__socket_answer(s, &ref, cop__socket_error(s->ctx, cop_a(einval).t));
        return;
    }
    bool first = s->receivers.first == NULL;
    cop__waiter_add(s, &s->receivers, pid, ref, 0);
    if (first)
        receive_now(s);
}

/* ---- sending ------------------------------------------------------------------------------------------------- */

static void on_sent(uv_udp_send_t *request, int status) {
    struct cop__write *w = (struct cop__write *)request;
    struct cop__socket *s = w->socket;
    if (s->ctx == NULL) {
        cop__socket_written(w, status);
        return;
    }
    cop__port_enter(s->ctx);
    cop__socket_written(w, status);
    cop__port_leave(s->ctx);
}

static void flush(struct cop__socket *s) {
    struct cop__write *w = cop__socket_take_queue(s);
    while (w != NULL) {
        struct cop__write *next = w->next;
        uv_buf_t buf = uv_buf_init((char *)w->bytes, (unsigned)w->size);
        const struct sockaddr *to = w->to.size != 0 ? (const struct sockaddr *)&w->to.is : NULL;
        int rc = uv_udp_send(&w->send, &s->udp, &buf, 1, to, on_sent);
        if (rc < 0)
            cop__socket_written(w, rc);
        w = next;
    }
}

/* {:command, iodata} of the port protocol: to whom it is connected. */
static void command(struct cop__socket *s, cop_term iodata) {
    cop_bytes bytes;
    cop_get_bytes(cop_iodata_to_binary(s->ctx, iodata), &bytes);
    pthread_mutex_lock(&s->lock);
    struct cop__part parts[2] = { { bytes.data, bytes.size }, { bytes.data, 0 } };
    cop__socket_queue(s, parts, 0, NULL);
    cop__traffic_count(&s->sent, bytes.size);
    pthread_mutex_unlock(&s->lock);
    flush(s);
}

static int connect_to(struct cop__socket *s, cop_term ip, int number) {
    struct cop__address to;
    if (!cop__address_from_term(ip, &to))
        return -EINVAL;
    cop__address_set_port(&to, number);
    if (s->connected)
        uv_udp_connect(&s->udp, NULL);
    int rc = uv_udp_connect(&s->udp, (const struct sockaddr *)&to.is);
    s->connected = rc == 0;
    return rc;
}

/* ---- opening and closing ---------------------------------------------------------------------------------------- */

static int open_socket(struct cop__socket *s) {
    const cop_udp_opts *o = &s->udp_opts;
    int family = s->bind_to.is.ss_family;
    uv_os_fd_t fd;
    int rc = uv_udp_init_ex(cop__io_loop(), &s->udp, (unsigned)family);
    if (rc < 0)
        return rc;
    s->handle.data = s;
    s->handle_state = COP__HANDLE_OPEN;
    rc = uv_fileno(&s->handle, &fd);
    if (rc == 0 && o->recbuf > 0)
        rc = cop__socket_set_int(fd, SOL_SOCKET, SO_RCVBUF, o->recbuf);
    if (rc == 0 && o->sndbuf > 0)
        rc = cop__socket_set_int(fd, SOL_SOCKET, SO_SNDBUF, o->sndbuf);
    if (rc == 0 && o->reuseport)
        rc = cop__socket_set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0 && o->broadcast)
        rc = uv_udp_set_broadcast(&s->udp, 1);
    if (rc != 0)
        return rc;
    unsigned flags = (o->reuseaddr ? (unsigned)UV_UDP_REUSEADDR : 0)
                     | (o->v6only && family == AF_INET6 ? (unsigned)UV_UDP_IPV6ONLY : 0);
    return uv_udp_bind(&s->udp, (const struct sockaddr *)&s->bind_to.is, flags);
}

static void udp_start(cop_ctx *ctx, void *data) {
    struct cop__socket *s = data;
    cop__socket_publish(s, ctx);
    int rc = open_socket(s);
    if (rc == 0) {
        cop__socket_set_fd(s, true);
        update_reading(s);
    }
    cop__socket_opened(s, rc);
}

static void on_closed(uv_handle_t *handle) { cop__socket_release(handle->data); }

static void udp_stop(cop_ctx *ctx, void *data, cop_term reason) {
    struct cop__socket *s = data;
    (void)reason;
    cop_term closed = cop__socket_error(ctx, cop_a(closed).t);
    cop__socket_answer(s, &s->opened, closed);
    cop__waiter_answer_all(s, &s->receivers, closed);
    cop__waiter_answer_all(s, &s->senders, closed);
    cop__socket_unpublish(s);
    if (s->handle_state == COP__HANDLE_OPEN)
        uv_close(&s->handle, on_closed);
    else
        cop__socket_release(s);
}

static void start_close(struct cop__socket *s) {
    flush(s);
    s->closing = true;
    finish_close(s);
}

/* ---- requests -------------------------------------------------------------------------------------------------------- */

static void udp_message(cop_ctx *ctx, void *data, cop_term message) {
    static const struct cop__socket_calls calls = { update_reading, flush, start_close, command };
    struct cop__socket *s = data;
    cop_pid pid;
    cop_ref ref;
    int number;
    cop_term arg, ip;
    if (cop_match_tuple(message, cop_a(recv), &pid, &ref, &arg)) {
        request_recv(s, pid, ref);
    } else if (cop_match_tuple(message, cop_a(connect), &pid, &ref, &arg)
               && cop_match_tuple(arg, &ip, &number)) {
        int rc = connect_to(s, ip, number);
        cop__socket_answer(s, &ref,
                           rc < 0 ? cop__socket_error(ctx, cop__socket_reason(rc)) : cop_a(ok).t);
    } else {
        cop__socket_message(s, message, &calls);
    }
    update_reading(s); /* whoever wanted one may have gone */
}

const struct cop__port_ops cop__udp_ops = { "udp_inet", udp_start, udp_message, udp_stop };
