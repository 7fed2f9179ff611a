/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP ports, the loop's side: listeners and connections.
 *
 * Requests come as messages to the port, answers go as {ref, answer} to who asked:
 *
 *     {:accept | :recv, pid, ref, length}   {:cancel, ref}   {:write, pid, ref | nil, iodata}
 *     {:active, mode}  {:packet, n}  {:close}  {:shutdown, pid, ref}  {:owner, pid, ref, new}
 *
 * and those of Erlang's port protocol: {owner, {:command, iodata}}, {owner, :close},
 * {owner, {:connect, new}}.
 *
 * Receiving: bytes go at once to an owner of an active raw connection; otherwise into the framer, out
 * of which lines or what a recv asks for are taken. Reading stops while nobody wants the bytes: a passive
 * connection holds at most BUFFER_LIMIT, the rest stays with the peer.
 * Sending: see gen_tcp.c; what could not be written directly comes here as :write and is counted in
 * `pending` until libuv has written it.
 *
 * Threads: all of it on the loop's thread, except cop__tcp_find and release.
 */
#include "io/tcp.h"

#include <stdlib.h>
#include <string.h>

#include "os/alloc.h"
#include "os/vm.h"
#include "term/layout.h"

enum { READ_SIZE = 65536, BUFFER_LIMIT = 65536, MAX_SLOTS = 1 << 24 };

static char read_buffer[READ_SIZE];

/* ---- from port to socket ---------------------------------------------------------------------------- */

static struct tcp_socket **sockets; /* by the port's slot; reserved address space */
static pthread_mutex_t stripes[64];
static pthread_once_t sockets_once = PTHREAD_ONCE_INIT;

static void sockets_init(void) {
    sockets = cop__vm_reserve(MAX_SLOTS * sizeof *sockets);
    if (sockets == NULL)
        cop__term_panic("no memory for sockets");
    for (int i = 0; i < 64; i++)
        pthread_mutex_init(&stripes[i], NULL);
}

struct tcp_socket *cop__tcp_new(const cop_tcp_opts *opts) {
    pthread_once(&sockets_once, sockets_init);
    struct tcp_socket *s = cop__calloc(1, sizeof *s);
    s->count = 1;
    s->fd = -1;
    s->last_waiter = &s->waiters;
    pthread_mutex_init(&s->lock, NULL);
    if (opts != NULL)
        s->opts = *opts;
    if (s->opts.ip != NULL) {
        snprintf(s->ip, sizeof s->ip, "%s", s->opts.ip);
        s->opts.ip = NULL;
    }
    if (s->opts.line_max == 0)
        s->opts.line_max = 65536;
    if (s->opts.high_watermark == 0)
        s->opts.high_watermark = 65536;
    return s;
}

void cop__tcp_publish(struct tcp_socket *s) {
    uint64_t slot = cop__port_slot(s->port.t);
    pthread_mutex_lock(&stripes[slot % 64]);
    sockets[slot] = s;
    pthread_mutex_unlock(&stripes[slot % 64]);
}

static void unpublish(struct tcp_socket *s) {
    uint64_t slot = cop__port_slot(s->port.t);
    pthread_mutex_lock(&stripes[slot % 64]);
    if (sockets[slot] == s)
        sockets[slot] = NULL;
    pthread_mutex_unlock(&stripes[slot % 64]);
}

struct tcp_socket *cop__tcp_find(cop_port port) {
    if (!cop__is_port_word(port.t))
        return NULL;
    pthread_once(&sockets_once, sockets_init);
    uint64_t slot = cop__port_slot(port.t);
    pthread_mutex_lock(&stripes[slot % 64]);
    struct tcp_socket *s = sockets[slot];
    if (s != NULL && s->port.t.w == port.t.w)
        __atomic_fetch_add(&s->count, 1, __ATOMIC_RELAXED);
    else
        s = NULL;
    pthread_mutex_unlock(&stripes[slot % 64]);
    return s;
}

void cop__tcp_release(struct tcp_socket *s) {
    if (__atomic_sub_fetch(&s->count, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    cop__framer_free(&s->framer);
    pthread_mutex_destroy(&s->lock);
    cop__free(s);
}

const char *cop__tcp_error(int uv_error) {
    static __thread char name[32]; /* used at once, before the process can move */
    if (uv_error == UV_EOF)
        return "closed";
    const char *text = uv_err_name(uv_error);
    size_t n = 0;
    for (; text[n] != '\0' && n < sizeof name - 1; n++)
        name[n] = (char)(text[n] >= 'A' && text[n] <= 'Z' ? text[n] + 32 : text[n]);
    name[n] = '\0';
    return name;
}

/* ---- answers --------------------------------------------------------------------------------------------- */

static void answer(struct tcp_socket *s, cop_pid pid, cop_ref ref, cop_term value) {
    if (!cop_is_none(ref.t))
        cop_send(s->ctx, pid, cop_tuple(s->ctx, ref, value));
}

static cop_term error_term(cop_ctx *ctx, const char *why) {
    return cop_tuple(ctx, cop_a(error), cop_atom_new(why));
}

static void waiter_add(struct tcp_socket *s, cop_pid pid, cop_ref ref, size_t length) {
    struct tcp_waiter *w = cop__malloc(sizeof *w);
    *w = (struct tcp_waiter){ .pid = pid, .ref = ref, .length = length };
    *s->last_waiter = w;
    s->last_waiter = &w->next;
}

static bool waiter_take(struct tcp_socket *s, struct tcp_waiter *out) {
    struct tcp_waiter *w = s->waiters;
    if (w == NULL)
        return false;
    *out = *w;
    s->waiters = w->next;
    if (s->waiters == NULL)
        s->last_waiter = &s->waiters;
    cop__free(w);
    return true;
}

static void waiter_cancel(struct tcp_socket *s, cop_ref ref) {
    for (struct tcp_waiter **at = &s->waiters; *at != NULL; at = &(*at)->next) {
        struct tcp_waiter *w = *at;
        if (w->ref.t.w != ref.t.w)
            continue;
        *at = w->next;
        if (s->last_waiter == &w->next)
            s->last_waiter = at;
        cop__free(w);
        return;
    }
}

static void answer_all(struct tcp_socket *s, const char *why) {
    struct tcp_waiter w;
    while (waiter_take(s, &w))
        answer(s, w.pid, w.ref, error_term(s->ctx, why));
    while (s->senders != NULL) {
        struct tcp_waiter *sender = s->senders;
        s->senders = sender->next;
        answer(s, sender->pid, sender->ref, error_term(s->ctx, why));
        cop__free(sender);
    }
}

/* ---- receiving -------------------------------------------------------------------------------------------- */

static void update_reading(struct tcp_socket *s);

static bool is_active(const struct tcp_socket *s) {
    return s->active == COP_TCP_ACTIVE || s->active == COP_TCP_ONCE || s->active > 0;
}

static void deliver(struct tcp_socket *s, const char *bytes, size_t size) {
    cop_ctx *ctx = s->ctx;
    cop_send(ctx, s->owner, cop_tuple(ctx, cop_a(tcp), s->port, cop_binary(ctx, bytes, size)));
    if (s->active == COP_TCP_ONCE)
        s->active = COP_TCP_PASSIVE;
    else if (s->active > 0 && --s->active == 0) {
        s->active = COP_TCP_PASSIVE;
        cop_send(ctx, s->owner, cop_tuple(ctx, cop_as("tcp_passive"), s->port));
    }
}

/* What the framer can give now: a line, `wanted` bytes, or (0) all. 0: not yet. */
static size_t piece(struct tcp_socket *s, size_t wanted) {
    size_t have = cop__framer_size(&s->framer);
    if (s->opts.packet == COP_PACKET_LINE) {
        size_t line = cop__framer_line(&s->framer, s->opts.line_max);
        return line == 0 && s->eof ? have : line;
    }
    if (wanted == 0)
        return have;
    return have >= wanted ? wanted : 0;
}

static void serve(struct tcp_socket *s) {
    size_t size;
    while (is_active(s) && (size = piece(s, 0)) > 0) {
        deliver(s, cop__framer_data(&s->framer), size);
        cop__framer_take(&s->framer, size);
    }
    while (s->waiters != NULL && !s->is_listener && (size = piece(s, s->waiters->length)) > 0) {
        struct tcp_waiter w;
        waiter_take(s, &w);
        answer(
            s, w.pid, w.ref,
            cop_tuple(s->ctx, cop_a(ok), cop_binary(s->ctx, cop__framer_data(&s->framer), size)));
        cop__framer_take(&s->framer, size);
    }
}

/* The peer has ended, or the connection broke. */
static void ended(struct tcp_socket *s, int uv_error) {
    cop_ctx *ctx = s->ctx;
    bool active = is_active(s);
    s->eof = true;
    serve(s);
    if (uv_error != UV_EOF && active && uv_error != UV_ECONNRESET)
        cop_send(
            ctx, s->owner,
            cop_tuple(ctx, cop_as("tcp_error"), s->port, cop_atom_new(cop__tcp_error(uv_error))));
    if (active) {
        cop_send(ctx, s->owner, cop_tuple(ctx, cop_as("tcp_closed"), s->port));
        cop__port_close(ctx, cop_a(normal).t);
    }
    struct tcp_waiter w;
    while (!s->is_listener && waiter_take(s, &w))
        answer(s, w.pid, w.ref, error_term(ctx, "closed"));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(read_buffer, sizeof read_buffer);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct tcp_socket *s = stream->data;
    if (n == 0 || s->ctx == NULL)
        return;
    cop__port_enter(s->ctx);
    if (n < 0) {
        uv_read_stop(stream);
        ended(s, (int)n);
    } else if (is_active(s) && s->opts.packet == COP_PACKET_RAW
               && cop__framer_size(&s->framer) == 0) {
        deliver(s, buf->base, (size_t)n);
        update_reading(s);
    } else {
        cop__framer_put(&s->framer, buf->base, (size_t)n);
        serve(s);
        update_reading(s);
    }
    cop__port_leave(s->ctx);
}

static void update_reading(struct tcp_socket *s) {
    if (!s->connected || s->closing || s->eof)
        return;
    size_t have = cop__framer_size(&s->framer);
    size_t limit =
        s->waiters != NULL && s->waiters->length > BUFFER_LIMIT ? s->waiters->length : BUFFER_LIMIT;
    uv_stream_t *stream = (uv_stream_t *)&s->handle;
    if (is_active(s) || have < limit)
        uv_read_start(stream, on_alloc, on_read);
    else
        uv_read_stop(stream);
}

/* An active raw connection that nobody reads must not be read: only what was asked for. */
static void mode_changed(struct tcp_socket *s) {
    serve(s);
    if (s->eof && is_active(s)) {
        cop_send(s->ctx, s->owner, cop_tuple(s->ctx, cop_as("tcp_closed"), s->port));
        cop__port_close(s->ctx, cop_a(normal).t);
        return;
    }
    update_reading(s);
}

static void set_active(struct tcp_socket *s, int64_t mode) {
    if (mode == COP_TCP_ACTIVE || mode == COP_TCP_ONCE || mode == COP_TCP_PASSIVE)
        s->active = (int)mode;
    else if (mode > 0 && mode <= 32767)
        s->active = (s->active > 0 ? s->active : 0) + (int)mode;
    mode_changed(s);
}

/* ---- sending ------------------------------------------------------------------------------------------------- */

struct write {
    uv_write_t request;
    struct tcp_socket *socket;
    size_t size;
    uint8_t bytes[];
};

static void wake_senders(struct tcp_socket *s) {
    pthread_mutex_lock(&s->lock);
    bool room = s->pending <= s->opts.high_watermark / 2;
    pthread_mutex_unlock(&s->lock);
    while (room && s->senders != NULL) {
        struct tcp_waiter *sender = s->senders;
        s->senders = sender->next;
        answer(s, sender->pid, sender->ref, cop_a(ok).t);
        cop__free(sender);
    }
}

static void finish_close(struct tcp_socket *s);

static void on_written(uv_write_t *request, int status) {
    struct write *w = (struct write *)request;
    struct tcp_socket *s = w->socket;
    pthread_mutex_lock(&s->lock);
    s->pending -= w->size;
    if (status < 0 && s->error == 0)
        s->error = status;
    bool empty = s->pending == 0;
    pthread_mutex_unlock(&s->lock);
    cop__free(w);
    if (s->ctx == NULL)
        return;
    cop__port_enter(s->ctx);
    wake_senders(s);
    if (s->closing && empty)
        finish_close(s);
    cop__port_leave(s->ctx);
}

/* The bytes were added to `pending` by the sender. */
static void queue_write(struct tcp_socket *s, cop_pid pid, cop_term ref, cop_term iodata) {
    int64_t size = cop_iodata_size(iodata);
    if (size < 0)
        return;
    struct write *w = cop__malloc(sizeof *w + (size_t)size);
    w->socket = s;
    w->size = (size_t)size;
    cop_iodata_copy(iodata, w->bytes);
    uv_buf_t buf = uv_buf_init((char *)w->bytes, (unsigned)w->size);
    int rc = s->handle_open ? uv_write(&w->request, (uv_stream_t *)&s->handle, &buf, 1, on_written)
                            : UV_ENOTCONN;
    if (rc < 0) {
        pthread_mutex_lock(&s->lock);
        s->pending -= w->size;
        pthread_mutex_unlock(&s->lock);
        cop__free(w);
    }
    cop_ref reply;
    if (!cop_get_ref(ref, &reply))
        return;
    if (rc < 0) {
        answer(s, pid, reply, error_term(s->ctx, cop__tcp_error(rc)));
        return;
    }
    struct tcp_waiter *sender = cop__malloc(sizeof *sender);
    *sender = (struct tcp_waiter){ .next = s->senders, .pid = pid, .ref = reply };
    s->senders = sender;
    wake_senders(s);
}

/* ---- closing --------------------------------------------------------------------------------------------------- */

static void finish_close(struct tcp_socket *s) { cop__port_close(s->ctx, cop_a(normal).t); }

static void start_close(struct tcp_socket *s) {
    s->closing = true;
    if (s->connected)
        uv_read_stop((uv_stream_t *)&s->handle);
    pthread_mutex_lock(&s->lock);
    s->fd = -1;
    bool empty = s->pending == 0;
    pthread_mutex_unlock(&s->lock);
    if (empty || s->opts.linger_reset)
        finish_close(s);
}

static void on_closed(uv_handle_t *handle) { cop__tcp_release(handle->data); }

static void on_shut_down(uv_shutdown_t *request, int status) {
    struct tcp_socket *s = request->data;
    if (s->ctx == NULL)
        return;
    cop__port_enter(s->ctx);
    answer(s, s->opener, s->opened,
           status < 0 ? error_term(s->ctx, cop__tcp_error(status)) : cop_a(ok).t);
    cop__port_leave(s->ctx);
}

static void tcp_stop(cop_ctx *ctx, void *data, cop_term reason) {
    struct tcp_socket *s = data;
    (void)ctx;
    (void)reason;
    answer_all(s, "closed");
    unpublish(s);
    /* A direct writer holds the lock while it uses the descriptor: afterwards nobody does. */
    pthread_mutex_lock(&s->lock);
    bool was_open = s->handle_open;
    s->fd = -1;
    s->ctx = NULL;
    s->handle_open = false;
    pthread_mutex_unlock(&s->lock);
    if (!was_open) {
        cop__tcp_release(s);
        return;
    }
    if (s->opts.linger_reset && s->connected && !s->is_listener
        && uv_tcp_close_reset(&s->handle, on_closed) == 0)
        return;
    uv_close((uv_handle_t *)&s->handle, on_closed);
}

/* ---- listening and connecting ------------------------------------------------------------------------------------ */

static void begin_connection(struct tcp_socket *s) {
    uv_os_fd_t fd;
    s->connected = true;
    if (!s->opts.delay)
        uv_tcp_nodelay(&s->handle, 1);
    if (uv_fileno((uv_handle_t *)&s->handle, &fd) == 0) {
        pthread_mutex_lock(&s->lock);
        s->fd = fd;
        pthread_mutex_unlock(&s->lock);
    }
    update_reading(s);
}

/* A connection waits and so does an acceptor: they come together. */
static void try_accept(struct tcp_socket *listener) {
    struct tcp_waiter w;
    while (listener->connection_waits && waiter_take(listener, &w)) {
        struct tcp_socket *s = cop__tcp_new(&listener->opts);
        s->active = listener->opts.active == 0 ? COP_TCP_PASSIVE : listener->opts.active;
        s->owner = w.pid;
        uv_tcp_init(cop__io_loop(), &s->handle);
        s->handle.data = s;
        s->handle_open = true;
        listener->connection_waits = false;
        int rc = uv_accept((uv_stream_t *)&listener->handle, (uv_stream_t *)&s->handle);
        if (rc < 0) {
            answer(listener, w.pid, w.ref, error_term(listener->ctx, cop__tcp_error(rc)));
            uv_close((uv_handle_t *)&s->handle, on_closed);
            return;
        }
        s->opener = w.pid;
        s->opened = w.ref; /* told by its start, when it can be used */
        cop__port_open(listener->ctx, cop__io_bound(), &cop__tcp_ops, s, w.pid);
    }
}

static void on_connection(uv_stream_t *stream, int status) {
    struct tcp_socket *s = stream->data;
    if (status < 0 || s->ctx == NULL)
        return;
    cop__port_enter(s->ctx);
    s->connection_waits = true;
    try_accept(s);
    cop__port_leave(s->ctx);
}

static int to_address(const struct tcp_socket *s, const char *otherwise,
                      struct sockaddr_storage *out) {
    const char *ip = s->ip[0] != '\0' ? s->ip : otherwise;
    if (uv_ip4_addr(ip, s->tcp_port, (struct sockaddr_in *)out) == 0)
        return 0;
    return uv_ip6_addr(ip, s->tcp_port, (struct sockaddr_in6 *)out);
}

static int start_listening(struct tcp_socket *s) {
    struct sockaddr_storage address;
    int rc = to_address(s, "127.0.0.1", &address);
    if (rc == 0)
        rc = uv_tcp_bind(&s->handle, (struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->handle, s->opts.backlog > 0 ? s->opts.backlog : 128,
                       on_connection);
    return rc;
}

static void opened(struct tcp_socket *s, int rc) {
    cop_ctx *ctx = s->ctx;
    if (rc < 0) {
        answer(s, s->opener, s->opened, error_term(ctx, cop__tcp_error(rc)));
        cop__port_close(ctx, cop_a(normal).t);
        return;
    }
    if (!s->is_listener)
        begin_connection(s);
    answer(s, s->opener, s->opened, cop_tuple(ctx, cop_a(ok), s->port));
    s->opened = (cop_ref){ COP_NONE };
}

static void on_connected(uv_connect_t *request, int status) {
    struct tcp_socket *s = request->data;
    if (s->ctx == NULL || status == UV_ECANCELED)
        return;
    cop__port_enter(s->ctx);
    opened(s, status);
    cop__port_leave(s->ctx);
}

static void tcp_start(cop_ctx *ctx, void *data) {
    struct tcp_socket *s = data;
    s->ctx = ctx;
    s->port = cop__port_self(ctx);
    cop__tcp_publish(s);
    if (s->handle_open) { /* an accepted one */
        opened(s, 0);
        return;
    }
    uv_tcp_init(cop__io_loop(), &s->handle);
    s->handle.data = s;
    s->handle_open = true;
    if (s->is_listener) {
        opened(s, start_listening(s));
        return;
    }
    struct sockaddr_storage address;
    int rc = to_address(s, "127.0.0.1", &address);
    s->connect.data = s;
    if (rc == 0)
        rc = uv_tcp_connect(&s->connect, &s->handle, (struct sockaddr *)&address, on_connected);
    if (rc < 0)
        opened(s, rc);
}

/* ---- requests -------------------------------------------------------------------------------------------------------- */

static void change_owner(struct tcp_socket *s, cop_pid owner) {
    s->owner = owner;
    cop_process_link(s->ctx, owner);
}

/* {owner, {:command, iodata}}, {owner, :close}, {owner, {:connect, new}}; all else is :badsig. */
static void port_protocol(struct tcp_socket *s, cop_term message) {
    cop_pid from, fresh;
    cop_term request, iodata;
    if (cop_match_tuple(message, &from, &request) && from.t.w == s->owner.t.w) {
        if (cop_match_tuple(request, cop_a(command), &iodata) && cop_iodata_size(iodata) >= 0) {
            pthread_mutex_lock(&s->lock);
            s->pending += (size_t)cop_iodata_size(iodata);
            pthread_mutex_unlock(&s->lock);
            queue_write(s, from, COP_NIL, iodata);
            return;
        }
        if (cop_match(request, cop_a(close))) {
            cop_send(s->ctx, s->owner, cop_tuple(s->ctx, s->port, cop_a(closed)));
            start_close(s);
            return;
        }
        if (cop_match_tuple(request, cop_a(connect), &fresh)) {
            change_owner(s, fresh);
            cop_send(s->ctx, from, cop_tuple(s->ctx, s->port, cop_a(connected)));
            return;
        }
    }
    cop_process_exit(s->ctx, s->owner, cop_a(badsig).t);
}

static void request_recv(struct tcp_socket *s, cop_pid pid, cop_ref ref, size_t length) {
    if (is_active(s)) {
        answer(s, pid, ref, error_term(s->ctx, "einval"));
    } else if (s->eof && piece(s, length) == 0) {
        answer(s, pid, ref, error_term(s->ctx, "closed"));
    } else {
        waiter_add(s, pid, ref, length);
        serve(s);
        update_reading(s);
    }
}

static void tcp_message(cop_ctx *ctx, void *data, cop_term message) {
    struct tcp_socket *s = data;
    cop_pid pid, fresh;
    cop_ref ref;
    uint64_t length;
    int64_t mode;
    cop_term reply, iodata;
    if (cop_match_tuple(message, cop_a(write), &pid, &reply, &iodata)) {
        queue_write(s, pid, reply, iodata);
    } else if (cop_match_tuple(message, cop_a(active), &mode)) {
        set_active(s, mode);
    } else if (cop_match_tuple(message, cop_a(accept), &pid, &ref, &length)) {
        waiter_add(s, pid, ref, 0);
        try_accept(s);
    } else if (cop_match_tuple(message, cop_a(recv), &pid, &ref, &length)) {
        request_recv(s, pid, ref, (size_t)length);
    } else if (cop_match_tuple(message, cop_a(cancel), &ref)) {
        waiter_cancel(s, ref);
    } else if (cop_match_tuple(message, cop_a(packet), &mode)) {
        s->opts.packet = mode == COP_PACKET_LINE ? COP_PACKET_LINE : COP_PACKET_RAW;
        mode_changed(s);
    } else if (cop_match_tuple(message, cop_as("$close"))) {
        start_close(s);
    } else if (cop_match_tuple(message, cop_a(shutdown), &pid, &ref)) {
        s->opener = pid;
        s->opened = ref;
        s->shutdown.data = s;
        int rc = s->connected ? uv_shutdown(&s->shutdown, (uv_stream_t *)&s->handle, on_shut_down)
                              : UV_ENOTCONN;
        if (rc < 0)
            answer(s, pid, ref, error_term(ctx, cop__tcp_error(rc)));
    } else if (cop_match_tuple(message, cop_a(owner), &pid, &ref, &fresh)) {
        bool is_owner = pid.t.w == s->owner.t.w;
        if (is_owner)
            change_owner(s, fresh);
        answer(s, pid, ref, is_owner ? cop_a(ok).t : error_term(ctx, "not_owner"));
    } else {
        port_protocol(s, message);
    }
}

const struct cop__port_ops cop__tcp_ops = { "tcp_inet", tcp_start, tcp_message, tcp_stop };
