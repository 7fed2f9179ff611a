/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP and Unix domain sockets, the loop's side: listeners and connections.
 *
 * Beside what all sockets serve (socket_port.c) they serve
 *
 *     {:accept | :recv, pid, ref, length}   {:shutdown, pid, ref, how}   {:packet, n}
 *
 * Opening: a name is looked up on libuv's threads, its addresses are tried one after another, each with a
 * handle of its own (one that failed must be closed first: COP__HANDLE_CLOSING). A Unix domain socket is
 * bound and connected by hand: libuv would remove the file at the end and cut long paths short.
 * Receiving: bytes go at once to the owner of an active raw connection; otherwise into the framer, out
 * of which packets or what a recv asks for are taken. Reading stops while nobody wants the bytes: a passive
 * connection holds at most BUFFER_LIMIT, the rest stays with the peer.
 * Sending: see socket.c; what could not be written directly comes here.
 *
 * Threads: all of it on the loop's thread.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "io/socket.h"
#include "os/alloc.h"

enum { BUFFER_LIMIT = 65536 };

static void update_reading(struct cop__socket *s);
static void flush(struct cop__socket *s);

struct cop__socket *cop__tcp_new(const cop_tcp_opts *opts) {
    struct cop__socket *s = cop__socket_new(COP__SOCKET_TCP);
    if (opts != NULL)
        s->tcp_opts = *opts;
    cop_tcp_opts *o = &s->tcp_opts;
    o->ip = o->local = NULL; /* the caller's, and dealt with by it */
    if (o->line_max == 0)
        o->line_max = 65536;
    if (o->packet_size == 0 || o->packet_size > COP__PACKET_MAX)
        o->packet_size = COP__PACKET_MAX;
    if (o->high_watermark == 0)
        o->high_watermark = COP__HIGH_WATERMARK;
    s->send_packet = o->packet;
    s->high_watermark = o->high_watermark;
    s->send_timeout_ms = cop__socket_timeout(o->send_timeout_ms);
    s->send_timeout_close = o->send_timeout_close;
    return s;
}

/* ---- receiving -------------------------------------------------------------------------------------------- */

static void deliver(struct cop__socket *s, const char *bytes, size_t size, size_t whole) {
    cop_ctx *ctx = s->ctx;
    cop__traffic_count(&s->received, whole);
    cop_send(ctx, s->owner, cop_tuple(ctx, cop_a(tcp), s->port, cop_binary(ctx, bytes, size)));
    cop__socket_delivered(s);
}

static enum cop__framing next_piece(struct cop__socket *s, size_t wanted,
                                    struct cop__piece *piece) {
    struct cop__cut cut = { .packet = s->tcp_opts.packet,
                            .wanted = wanted,
                            .line_max = s->tcp_opts.line_max,
                            .packet_max = s->tcp_opts.packet_size };
    return cop__framer_next(&s->framer, &cut, piece);
}

/* The stream cannot go on: a packet that is too long. */
static void break_off(struct cop__socket *s, int error) {
    s->eof = true;
    s->end_error = error;
    uv_read_stop(&s->stream);
    cop__framer_free(&s->framer);
}

/* Nothing more can be sent: the peer has closed and the owner knows. */
static void end_sending(struct cop__socket *s) {
    pthread_mutex_lock(&s->lock);
    s->writable = false;
    pthread_mutex_unlock(&s->lock);
}

/* What a recv at the end of the stream is answered; the first time why it ended. */
static cop_term end_answer(struct cop__socket *s) {
    cop_term reason = cop_a(closed).t;
    if (s->end_error != 0)
        reason = cop__socket_reason(s->end_error);
    else if (s->end_told)
        reason = cop_a(enotconn).t;
    s->end_error = 0;
    s->end_told = true;
    if (!s->tcp_opts.no_exit_on_close)
        end_sending(s);
    return cop__socket_error(s->ctx, reason);
}

/* The end of the stream, told to an active owner; the port ends with it. */
static void tell_end(struct cop__socket *s) {
    cop_ctx *ctx = s->ctx;
    if (s->end_told)
        return;
    s->end_told = true;
    if (s->end_error != 0)
        cop_send(ctx, s->owner,
                 cop_tuple(ctx, cop_a(tcp_error), s->port, cop__socket_reason(s->end_error)));
    cop_send(ctx, s->owner, cop_tuple(ctx, cop_a(tcp_closed), s->port));
    if (!s->tcp_opts.no_exit_on_close)
        cop__port_close(ctx, cop_a(normal).t);
}

/* Hands out what is there to whom it is due, and the end of the stream after it. */
static void serve(struct cop__socket *s) {
    struct cop__piece piece;
    struct cop__waiter w;
    enum cop__framing framing = COP__FRAMING_MORE;
    if (s->is_listener || !s->connected)
        return;
    while (cop__socket_is_active(s) && (framing = next_piece(s, 0, &piece)) == COP__FRAMING_PIECE) {
        deliver(s, piece.data, piece.size, piece.whole);
        cop__framer_take(&s->framer, piece.whole);
    }
    while (s->receivers.first != NULL
           && (framing = next_piece(s, s->receivers.first->length, &piece)) == COP__FRAMING_PIECE) {
        cop__waiter_take(s, &s->receivers, &w);
        cop__traffic_count(&s->received, piece.whole);
        cop__socket_answer(
            s, &w.ref, cop_tuple(s->ctx, cop_a(ok), cop_binary(s->ctx, piece.data, piece.size)));
        cop__framer_take(&s->framer, piece.whole);
    }
    if (framing == COP__FRAMING_TOO_LONG)
        break_off(s, UV_EMSGSIZE);
    if (!s->eof)
        return;
    if (cop__socket_is_active(s))
        tell_end(s);
    while (cop__waiter_take(s, &s->receivers, &w))
        cop__socket_answer(s, &w.ref, end_answer(s));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(cop__read_buffer, sizeof cop__read_buffer);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct cop__socket *s = stream->data;
    if (n == 0 || s->ctx == NULL)
        return;
    cop__port_enter(s->ctx);
    if (n < 0) {
        s->eof = true;
        if (n != UV_EOF && n != UV_ECONNRESET)
            s->end_error = (int)n;
        uv_read_stop(stream);
        serve(s);
    } else if (s->read_shut) {
        /* Nobody wants it. */
    } else if (cop__socket_is_active(s) && s->tcp_opts.packet == COP_PACKET_RAW
               && cop__framer_size(&s->framer) == 0) {
        deliver(s, buf->base, (size_t)n, (size_t)n);
        update_reading(s);
    } else {
        cop__framer_put(&s->framer, buf->base, (size_t)n);
        serve(s);
        update_reading(s);
    }
    cop__port_leave(s->ctx);
}

/* After serve: who still waits needs more than there is. */
static void update_reading(struct cop__socket *s) {
    if (!s->connected || s->closing || s->eof)
        return;
    if (cop__socket_is_active(s) || s->receivers.first != NULL
        || cop__framer_size(&s->framer) < BUFFER_LIMIT)
        uv_read_start(&s->stream, on_alloc, on_read);
    else
        uv_read_stop(&s->stream);
}

static void mode_changed(struct cop__socket *s) {
    serve(s);
    update_reading(s);
}

static void request_recv(struct cop__socket *s, cop_pid pid, cop_ref ref, int64_t length) {
    cop_atom why = cop_a(einval);
    if (!s->connected)
        why = cop_a(enotconn);
    else if (!cop__socket_is_active(s) && length >= 0
             && (s->tcp_opts.packet == COP_PACKET_RAW || length == 0)) {
        if (length <= COP__PACKET_MAX) {
            cop__waiter_add(s, &s->receivers, pid, ref, (size_t)length);
            mode_changed(s);
            return;
        }
        why = cop_a(enomem);
    }
    cop__socket_answer(s, &ref, cop__socket_error(s->ctx, why.t));
}

/* ---- sending ------------------------------------------------------------------------------------------------- */

static void finish_close(struct cop__socket *s) { cop__port_close(s->ctx, cop_a(normal).t); }

/* When all is written: the end that was asked for. */
static void after_writes(struct cop__socket *s) {
    if (s->closing)
        finish_close(s);
}

static void on_written(uv_write_t *request, int status) {
    struct cop__write *w = (struct cop__write *)request;
    struct cop__socket *s = w->socket;
    if (s->ctx == NULL) {
        cop__socket_written(w, status);
        return;
    }
    cop__port_enter(s->ctx);
    if (cop__socket_written(w, status) || status < 0)
        after_writes(s);
    cop__port_leave(s->ctx);
}

static void flush(struct cop__socket *s) {
    struct cop__write *w = cop__socket_take_queue(s);
    while (w != NULL) {
        struct cop__write *next = w->next;
        uv_buf_t buf = uv_buf_init((char *)w->bytes, (unsigned)w->size);
        int rc = s->connected ? uv_write(&w->write, &s->stream, &buf, 1, on_written) : UV_ENOTCONN;
        if (rc < 0)
            cop__socket_written(w, rc);
        w = next;
    }
}

/* {:command, iodata} of the port protocol */
static void command(struct cop__socket *s, cop_term iodata) {
    cop_bytes bytes;
    uint8_t header[4];
    cop_get_bytes(cop_iodata_to_binary(s->ctx, iodata), &bytes);
    pthread_mutex_lock(&s->lock);
    size_t before = cop__packet_header(s->send_packet);
    if (s->writable && cop__packet_put_header(s->send_packet, bytes.size, header)) {
        struct cop__part parts[2] = { { header, before }, { bytes.data, bytes.size } };
        cop__socket_queue(s, parts, 0, NULL);
        cop__traffic_count(&s->sent, before + bytes.size);
    }
    pthread_mutex_unlock(&s->lock);
    flush(s);
}

/* ---- closing --------------------------------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *timer) { cop__free(timer); }

static void on_linger(uv_timer_t *timer) {
    struct cop__socket *s = timer->data;
    cop__port_enter(s->ctx); /* tcp_stop would have closed the timer */
    finish_close(s);
    cop__port_leave(s->ctx);
}

/* What was sent before the close still goes out, but a peer that takes nothing does not keep the port
   for ever. */
static void start_linger(struct cop__socket *s) {
    if (s->linger != NULL)
        return;
    s->linger = cop__malloc(sizeof *s->linger);
    uv_timer_init(cop__io_loop(), s->linger);
    s->linger->data = s;
    uv_timer_start(s->linger, on_linger,
                   s->linger_s > 0 ? (uint64_t)s->linger_s * 1000 : COP__LINGER_MS, 0);
}

static void start_close(struct cop__socket *s) {
    if (s->connected && !s->closing)
        uv_read_stop(&s->stream);
    s->closing = true;
    pthread_mutex_lock(&s->lock);
    s->writable = false;
    pthread_mutex_unlock(&s->lock);
    flush(s);
    pthread_mutex_lock(&s->lock);
    bool empty = s->pending == 0 || s->error != 0;
    pthread_mutex_unlock(&s->lock);
    if (empty || s->tcp_opts.linger_reset)
        finish_close(s);
    else
        start_linger(s);
}

static void on_closed(uv_handle_t *handle) { cop__socket_release(handle->data); }

static void tcp_stop(cop_ctx *ctx, void *data, cop_term reason) {
    struct cop__socket *s = data;
    (void)reason;
    cop_term closed = cop__socket_error(ctx, cop_a(closed).t);
    cop__socket_answer(s, &s->opened, closed);
    cop__socket_answer(s, &s->shut, closed);
    cop__waiter_answer_all(s, &s->receivers, closed);
    cop__waiter_answer_all(s, &s->senders, closed);
    cop__socket_unpublish(s);
    if (s->linger != NULL)
        uv_close((uv_handle_t *)s->linger, on_timer_closed);
    if (s->host.name[0] != '\0')
        uv_cancel((uv_req_t *)&s->lookup); /* on_found comes anyway, with a count of its own */
    if (s->handle_state == COP__HANDLE_CLOSING)
        return; /* on_closed_for_next releases it */
    if (s->handle_state == COP__HANDLE_NONE) {
        cop__socket_release(s);
        return;
    }
    if (s->tcp_opts.linger_reset && s->connected && s->kind == COP__SOCKET_TCP
        && uv_tcp_close_reset(&s->tcp, on_closed) == 0)
        return;
    uv_close(&s->handle, on_closed);
}

static void on_shut_down(uv_shutdown_t *request, int status) {
    struct cop__socket *s = request->data;
    if (s->ctx == NULL)
        return;
    cop__port_enter(s->ctx);
    cop__socket_answer(s, &s->shut,
                       status < 0 ? cop__socket_error(s->ctx, cop__socket_reason(status))
                                  : cop_a(ok).t);
    cop__port_leave(s->ctx);
}

static void request_shutdown(struct cop__socket *s, cop_ref ref, cop_term how) {
    bool both = cop_match(how, cop_a(read_write)), write = both || cop_match(how, cop_a(write));
    int rc = s->connected ? 0 : UV_ENOTCONN;
    if (rc == 0 && !write && !cop_match(how, cop_a(read)))
        rc = UV_EINVAL;
    if (rc == 0 && (both || !write)) {
        s->read_shut = true;
        cop__framer_free(&s->framer);
        shutdown(s->fd, SHUT_RD);
        update_reading(s);
    }
    if (rc == 0 && write && !s->write_shut) {
        flush(s);
        end_sending(s);
        s->write_shut = true;
        s->shutdown.data = s;
        s->shut = ref;
        rc = uv_shutdown(&s->shutdown, &s->stream, on_shut_down);
        if (rc == 0)
            return; /* answered when all is written */
        s->shut = (cop_ref){ COP_NONE };
    }
    cop__socket_answer(s, &ref,
                       rc < 0 ? cop__socket_error(s->ctx, cop__socket_reason(rc)) : cop_a(ok).t);
}

/* ---- handles ----------------------------------------------------------------------------------------------------- */

static int open_handle(struct cop__socket *s, int family) {
    int rc = s->kind == COP__SOCKET_LOCAL
                 ? uv_pipe_init(cop__io_loop(), &s->pipe, 0)
                 : uv_tcp_init_ex(cop__io_loop(), &s->tcp, (unsigned)family);
    if (rc < 0)
        return rc;
    s->handle.data = s;
    s->handle_state = COP__HANDLE_OPEN;
    return 0;
}

/* What must be set before binding. */
static int set_options(struct cop__socket *s, int fd) {
    int rc = 0;
    if (s->tcp_opts.recbuf > 0)
        rc = cop__socket_set_int(fd, SOL_SOCKET, SO_RCVBUF, s->tcp_opts.recbuf);
    if (rc == 0 && s->tcp_opts.sndbuf > 0)
        rc = cop__socket_set_int(fd, SOL_SOCKET, SO_SNDBUF, s->tcp_opts.sndbuf);
    if (rc == 0 && s->tcp_opts.reuseport)
        rc = cop__socket_set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    return rc;
}

static int open_and_bind(struct cop__socket *s, int family) {
    uv_os_fd_t fd;
    int rc = open_handle(s, family);
    if (rc == 0)
        rc = uv_fileno(&s->handle, &fd);
    if (rc == 0)
        rc = set_options(s, fd);
    if (s->bind_to.size == 0 && s->tcp_opts.from_port > 0) {
        const char *any = family == AF_INET6 ? "::" : "0.0.0.0";
        cop__address_parse(any, strlen(any), COP__ADDRESS_STRICT, &s->bind_to);
        cop__address_set_port(&s->bind_to, s->tcp_opts.from_port);
    }
    if (rc == 0 && s->bind_to.size != 0)
        rc = uv_tcp_bind(&s->tcp, (struct sockaddr *)&s->bind_to.is,
                         s->tcp_opts.v6only && family == AF_INET6 ? UV_TCP_IPV6ONLY : 0);
    return rc;
}

/* A Unix domain socket, bound (to listen) or connected, as the stream of s. */
static int open_local(struct cop__socket *s, const struct cop__address *address,
                      bool listen_there) {
    const struct sockaddr *to = (const struct sockaddr *)&address->is;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int rc = set_options(s, fd);
    if (rc == 0
        && (listen_there ? bind(fd, to, address->size) : connect(fd, to, address->size)) != 0)
        rc = -errno;
    if (rc == 0)
        rc = open_handle(s, AF_UNIX);
    if (rc == 0)
        rc = uv_pipe_open(&s->pipe, fd);
    if (rc != 0)
        close(fd);
    return rc;
}

static void begin_connection(struct cop__socket *s) {
    s->connected = true;
    if (s->kind == COP__SOCKET_TCP) {
        uv_tcp_nodelay(&s->tcp, !s->tcp_opts.delay);
        if (s->tcp_opts.keepalive)
            uv_tcp_keepalive(&s->tcp, 1, 7200);
    }
    cop__socket_set_fd(s, true);
    update_reading(s);
}

static void opened(struct cop__socket *s, int rc) {
    if (rc == 0 && s->is_listener)
        cop__socket_set_fd(s, false);
    else if (rc == 0)
        begin_connection(s);
    cop__socket_opened(s, rc);
}

/* ---- listening ------------------------------------------------------------------------------------------------------ */

/* A connection waits and so does an acceptor: they come together. The new port tells the acceptor in its
   start, when it can be used. */
static void try_accept(struct cop__socket *listener) {
    struct cop__waiter w;
    while (listener->connection_waits && listener->receivers.first != NULL) {
        struct cop__socket *s = cop__tcp_new(&listener->tcp_opts);
        s->kind = listener->kind;
        s->active = listener->tcp_opts.active == 0 ? COP_TCP_PASSIVE : listener->tcp_opts.active;
        int rc = open_handle(s, AF_UNSPEC);
        listener->connection_waits = false;
        if (rc == 0)
            rc = uv_accept(&listener->stream, &s->stream);
        cop__waiter_take(listener, &listener->receivers, &w);
        if (rc == 0) {
            s->owner = w.pid;
            s->opened = w.ref;
            cop_port port = cop__port_open(listener->ctx, cop__io_bound(listener->ctx),
                                           &cop__tcp_ops, s, w.pid);
            if (!cop_is_none(port.t))
                continue;
        }
        cop_term reason = rc == 0 ? cop_a(system_limit).t : cop__socket_reason(rc);
        cop__socket_answer(listener, &w.ref, cop__socket_error(listener->ctx, reason));
        if (s->handle_state == COP__HANDLE_OPEN)
            uv_close(&s->handle, on_closed);
        else
            cop__socket_release(s);
    }
}

static void on_connection(uv_stream_t *stream, int status) {
    struct cop__socket *s = stream->data;
    if (s->ctx == NULL)
        return;
    cop__port_enter(s->ctx);
    struct cop__waiter w;
    if (status == 0) {
        s->connection_waits = true;
        try_accept(s);
    } else if (cop__waiter_take(s, &s->receivers, &w)) { /* :emfile and the like */
        cop__socket_answer(s, &w.ref, cop__socket_error(s->ctx, cop__socket_reason(status)));
    }
    cop__port_leave(s->ctx);
}

static void request_accept(struct cop__socket *s, cop_pid pid, cop_ref ref) {
    if (!s->is_listener) {
        cop__socket_answer(s, &ref, cop__socket_error(s->ctx, cop_a(einval).t));
        return;
    }
    cop__waiter_add(s, &s->receivers, pid, ref, 0);
    try_accept(s);
}

static int start_listening(struct cop__socket *s) {
    int rc = s->kind == COP__SOCKET_LOCAL ? open_local(s, &s->bind_to, true)
                                          : open_and_bind(s, s->bind_to.is.ss_family);
    if (rc == 0)
        rc = uv_listen(&s->stream, s->tcp_opts.backlog > 0 ? s->tcp_opts.backlog : 128,
                       on_connection);
    return rc;
}

/* ---- connecting ------------------------------------------------------------------------------------------------------- */

static void connect_next(struct cop__socket *s, int error);

/* The handle that failed is gone. */
static void on_closed_for_next(uv_handle_t *handle) {
    struct cop__socket *s = handle->data;
    s->handle_state = COP__HANDLE_NONE;
    if (s->ctx == NULL) {
        cop__socket_release(s);
        return;
    }
    cop__port_enter(s->ctx);
    connect_next(s, UV_ECONNREFUSED);
    cop__port_leave(s->ctx);
}

/* This address has failed. */
static void connect_failed(struct cop__socket *s, int error) {
    if (s->next_found == NULL) {
        opened(s, error);
        return;
    }
    if (s->handle_state != COP__HANDLE_OPEN) {
        connect_next(s, error);
        return;
    }
    s->handle_state = COP__HANDLE_CLOSING;
    uv_close(&s->handle, on_closed_for_next);
}

static void on_connected(uv_connect_t *request, int status) {
    struct cop__socket *s = request->data;
    if (s->ctx == NULL || status == UV_ECANCELED)
        return;
    cop__port_enter(s->ctx);
    if (status < 0)
        connect_failed(s, status);
    else
        opened(s, 0);
    cop__port_leave(s->ctx);
}

static void connect_to(struct cop__socket *s, const struct sockaddr *address) {
    int rc = open_and_bind(s, address->sa_family);
    s->connect.data = s;
    if (rc == 0)
        rc = uv_tcp_connect(&s->connect, &s->tcp, address, on_connected);
    if (rc < 0)
        connect_failed(s, rc);
}

/* The next address of the name; without one the last error stands. */
static void connect_next(struct cop__socket *s, int error) {
    if (s->next_found == NULL) {
        opened(s, error);
        return;
    }
    struct cop__address to = { .size = s->next_found->ai_addrlen };
    memcpy(&to.is, s->next_found->ai_addr, to.size);
    cop__address_set_port(&to, s->tcp_port);
    s->next_found = s->next_found->ai_next;
    connect_to(s, (struct sockaddr *)&to.is);
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct cop__socket *s = request->data;
    s->found = s->next_found = found; /* freed with s */
    s->host.name[0] = '\0';
    if (s->ctx != NULL) {
        cop__port_enter(s->ctx);
        connect_next(s, status < 0 ? status : UV_EAI_NONAME);
        cop__port_leave(s->ctx);
    }
    cop__socket_release(s);
}

static void start_connecting(struct cop__socket *s) {
    if (s->kind == COP__SOCKET_LOCAL) {
        opened(s, open_local(s, &s->host.address, false));
        return;
    }
    if (s->host.address.size != 0) {
        s->host.name[0] = '\0';
        connect_to(s, (struct sockaddr *)&s->host.address.is);
        return;
    }
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_family = s->tcp_opts.family == COP_INET6 ? AF_INET6 : AF_INET };
    s->lookup.data = s;
    __atomic_fetch_add(&s->count, 1, __ATOMIC_RELAXED);
    int rc = uv_getaddrinfo(cop__io_loop(), &s->lookup, on_found, s->host.name, NULL, &hints);
    if (rc == 0)
        return;
    s->host.name[0] = '\0';
    cop__socket_release(s);
    opened(s, rc);
}

static void tcp_start(cop_ctx *ctx, void *data) {
    struct cop__socket *s = data;
    cop__socket_publish(s, ctx);
    if (s->handle_state == COP__HANDLE_OPEN) /* an accepted one */
        opened(s, 0);
    else if (s->is_listener)
        opened(s, start_listening(s));
    else
        start_connecting(s);
}

/* ---- requests -------------------------------------------------------------------------------------------------------- */

static void tcp_message(cop_ctx *ctx, void *data, cop_term message) {
    static const struct cop__socket_calls calls = { mode_changed, flush, start_close, command };
    struct cop__socket *s = data;
    cop_pid pid;
    cop_ref ref;
    int64_t number;
    cop_term arg;
    (void)ctx;
    if (cop_match_tuple(message, cop_a(recv), &pid, &ref, &number)) {
        request_recv(s, pid, ref, number);
    } else if (cop_match_tuple(message, cop_a(accept), &pid, &ref, &arg)) {
        request_accept(s, pid, ref);
    } else if (cop_match_tuple(message, cop_a(shutdown), &pid, &ref, &arg)) {
        request_shutdown(s, ref, arg);
    } else if (cop_match_tuple(message, cop_a(packet), &number)) {
        s->tcp_opts.packet = (cop_packet)number;
        mode_changed(s);
    } else {
        cop__socket_message(s, message, &calls);
    }
}

const struct cop__port_ops cop__tcp_ops = { "tcp_inet", tcp_start, tcp_message, tcp_stop };
