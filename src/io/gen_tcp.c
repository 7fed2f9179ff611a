/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_tcp and inet, the caller's side: requests to a port are messages, answered to a fresh reference;
 * the port's end is seen by a monitor on that reference.
 *
 * Sending writes directly from the caller's thread while nothing waits in the loop (waking another
 * thread would cost more than the system call): under the socket's lock, so the descriptor cannot be
 * closed meanwhile. What the kernel does not take at once goes to the loop, and everything after it too
 * until that is written, so the order is kept.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "io/tcp.h"
#include "os/alloc.h"

static int64_t timeout_of(int64_t ms) { return ms == 0 ? COP_INFINITY : ms == COP_ZERO ? 0 : ms; }

static cop_term error_term(cop_ctx *ctx, const char *why) {
    return cop_tuple(ctx, cop_a(error), cop_atom_new(why));
}

/* Waits for {ref, answer}; the port's end is {:error, :closed}. COP_NONE: the time is over. */
static cop_term wait_for(cop_ctx *ctx, cop_ref ref, int64_t timeout_ms) {
    cop_term message;
    bool came = cop_receive_ref(ctx, timeout_ms, ref, &message);
    cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
    if (!came)
        return COP_NONE;
    return cop_tuple_size(message) == 2 ? cop_elem(message, 1) : error_term(ctx, "closed");
}

static cop_tcp_result result_of(cop_ctx *ctx, cop_term answer) {
    cop_tcp_result result = { .reason = cop_a(timeout).t };
    if (cop_match_tuple(answer, cop_a(ok), &result.port))
        result.ok = true;
    else if (!cop_is_none(answer))
        cop_match_tuple(answer, cop_a(error), &result.reason);
    return result;
}

/* ---- opening ---------------------------------------------------------------------------------------- */

static cop_tcp_result open_port(cop_ctx *ctx, struct tcp_socket *s, int64_t timeout_ms) {
    struct cop__bound *bound = cop__io_bound();
    s->owner = cop_self(ctx);
    s->opener = cop_self(ctx);
    s->opened = cop_make_ref(ctx);
    cop_ref ref = s->opened;
    cop_port port = cop__port_open(ctx, bound, &cop__tcp_ops, s, s->owner);
    cop_term message;
    bool came = cop_receive_ref(ctx, timeout_ms, ref, &message);
    cop_tcp_result result = result_of(ctx, came ? cop_elem(message, 1) : COP_NONE);
    if (!came) {
        cop_process_unlink(ctx, port);
        cop_process_exit(ctx, port, cop_a(kill).t);
    } else if (!result.ok) {
        cop_process_unlink(ctx, port);
    }
    return result;
}

cop_tcp_result cop_gen_tcp_listen(cop_ctx *ctx, int tcp_port, const cop_tcp_opts *opts) {
    if (tcp_port < 0 || tcp_port > 65535)
        cop_error(ctx, cop_a(badarg));
    struct tcp_socket *s = cop__tcp_new(opts);
    s->is_listener = true;
    s->tcp_port = tcp_port;
    return open_port(ctx, s, COP_INFINITY);
}

cop_tcp_result cop_gen_tcp_connect(cop_ctx *ctx, const char *ip, int tcp_port,
                                   const cop_tcp_opts *opts, int64_t timeout_ms) {
    if (tcp_port < 0 || tcp_port > 65535)
        cop_error(ctx, cop_a(badarg));
    struct tcp_socket *s = cop__tcp_new(opts);
    snprintf(s->ip, sizeof s->ip, "%s", ip);
    s->tcp_port = tcp_port;
    s->active = s->opts.active == 0 ? COP_TCP_ACTIVE : s->opts.active;
    return open_port(ctx, s, timeout_of(timeout_ms));
}

cop_tcp_result cop_gen_tcp_accept(cop_ctx *ctx, cop_port listener, int64_t timeout_ms) {
    cop_ref ref = cop_process_monitor(ctx, listener);
    cop_send(ctx, listener, cop_tuple(ctx, cop_a(accept), cop_self(ctx), ref, 0));
    cop_term answer = wait_for(ctx, ref, timeout_of(timeout_ms));
    if (cop_is_none(answer)) {
        cop_send(ctx, listener, cop_tuple(ctx, cop_a(cancel), ref));
        /* It may have come just now: then it must not be lost. */
        cop_term message;
        if (cop_receive_ref(ctx, 0, ref, &message))
            answer = cop_elem(message, 1);
    }
    return result_of(ctx, answer);
}

/* ---- sending ------------------------------------------------------------------------------------------- */

/* Writes what the kernel takes. Returns the bytes written, or a negative errno. Under the lock. */
static ssize_t write_now(struct tcp_socket *s, const uint8_t *bytes, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = send(s->fd, bytes + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
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

static cop_term send_rest(cop_ctx *ctx, cop_port port, cop_term rest, bool wait, int64_t timeout) {
    if (!wait) {
        cop_send(ctx, port, cop_tuple(ctx, cop_a(write), cop_self(ctx), cop_a(nil), rest));
        return cop_a(ok).t;
    }
    cop_ref ref = cop_process_monitor(ctx, port);
    cop_send(ctx, port, cop_tuple(ctx, cop_a(write), cop_self(ctx), ref, rest));
    cop_term answer = wait_for(ctx, ref, timeout);
    return cop_is_none(answer) ? error_term(ctx, "timeout") : answer;
}

cop_term cop_gen_tcp_send(cop_ctx *ctx, cop_port port, cop_term iodata) {
    cop_term binary = cop_iodata_to_binary(ctx, iodata);
    cop_bytes bytes;
    if (!cop_get_bytes(binary, &bytes))
        cop_error(ctx, cop_a(badarg));
    struct tcp_socket *s = cop__tcp_find(port);
    if (s == NULL)
        return error_term(ctx, "closed");
    pthread_mutex_lock(&s->lock);
    ssize_t done = 0;
    int error = s->error;
    bool open = s->fd >= 0;
    if (open && error == 0 && s->pending == 0) {
        done = write_now(s, bytes.data, bytes.size);
        if (done < 0)
            error = s->error = (int)done;
    }
    size_t rest = open && error == 0 ? bytes.size - (size_t)done : 0;
    s->pending += rest;
    bool wait = s->pending > s->opts.high_watermark;
    int64_t timeout = timeout_of(s->opts.send_timeout_ms);
    pthread_mutex_unlock(&s->lock);
    cop__tcp_release(s);
    if (!open || error != 0)
        return error_term(ctx, !open || error == -EPIPE || error == -ECONNRESET
                                   ? "closed"
                                   : cop__tcp_error(error));
    if (rest == 0)
        return cop_a(ok).t;
    return send_rest(ctx, port, cop_binary_part(ctx, binary, bytes.size - rest, rest), wait,
                     timeout);
}

/* ---- the rest -------------------------------------------------------------------------------------------- */

cop_term cop_gen_tcp_recv(cop_ctx *ctx, cop_port port, size_t length, int64_t timeout_ms) {
    if (length > (size_t)1 << 30)
        return error_term(ctx, "enomem");
    cop_ref ref = cop_process_monitor(ctx, port);
    cop_send(ctx, port, cop_tuple(ctx, cop_a(recv), cop_self(ctx), ref, (uint64_t)length));
    cop_term answer = wait_for(ctx, ref, timeout_of(timeout_ms));
    if (!cop_is_none(answer))
        return answer;
    cop_send(ctx, port, cop_tuple(ctx, cop_a(cancel), ref));
    return error_term(ctx, "timeout");
}

void cop_gen_tcp_close(cop_ctx *ctx, cop_port port) {
    cop_process_unlink(ctx, port);
    cop_send(ctx, port, cop_tuple(ctx, cop_as("$close")));
}

static cop_term ask(cop_ctx *ctx, cop_port port, cop_atom what, cop_term more) {
    cop_ref ref = cop_process_monitor(ctx, port);
    cop_send(ctx, port,
             cop_is_none(more) ? cop_tuple(ctx, what, cop_self(ctx), ref)
                               : cop_tuple(ctx, what, cop_self(ctx), ref, more));
    return wait_for(ctx, ref, COP_INFINITY);
}

cop_term cop_gen_tcp_shutdown(cop_ctx *ctx, cop_port port) {
    return ask(ctx, port, cop_a(shutdown), COP_NONE);
}

static bool is_of_port(cop_term message, void *arg) {
    cop_term any;
    cop_port port = *(cop_port *)arg;
    return cop_match_tuple(message, cop_a(tcp), port, &any)
           || cop_match_tuple(message, cop_as("tcp_closed"), port)
           || cop_match_tuple(message, cop_as("tcp_passive"), port)
           || cop_match_tuple(message, cop_as("tcp_error"), port, &any);
}

cop_term cop_gen_tcp_controlling_process(cop_ctx *ctx, cop_port port, cop_pid owner) {
    if (owner.t.w == cop_self(ctx).t.w)
        return cop_a(ok).t;
    cop_term answer = ask(ctx, port, cop_a(owner), owner.t), message;
    if (!cop_match(answer, cop_a(ok)))
        return answer;
    while (cop_receive_match(ctx, 0, is_of_port, &port, &message))
        cop_send(ctx, owner, message);
    cop_process_unlink(ctx, port);
    return answer;
}

void cop_inet_set_active(cop_ctx *ctx, cop_port port, int active) {
    cop_send(ctx, port, cop_tuple(ctx, cop_a(active), active));
}

void cop_inet_set_packet(cop_ctx *ctx, cop_port port, cop_packet packet) {
    cop_send(ctx, port, cop_tuple(ctx, cop_a(packet), (int)packet));
}

/* Reads an address of the socket while it cannot be closed. */
static bool address_of(cop_port port, bool peer, struct sockaddr_storage *out) {
    struct tcp_socket *s = cop__tcp_find(port);
    if (s == NULL)
        return false;
    int size = sizeof *out;
    pthread_mutex_lock(&s->lock);
    bool ok = s->ctx != NULL && s->handle_open
              && (peer ? uv_tcp_getpeername(&s->handle, (struct sockaddr *)out, &size)
                       : uv_tcp_getsockname(&s->handle, (struct sockaddr *)out, &size))
                     == 0;
    pthread_mutex_unlock(&s->lock);
    cop__tcp_release(s);
    return ok;
}

static int port_of(const struct sockaddr_storage *address) {
    uint16_t n = address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port;
    return ntohs(n);
}

int cop_inet_port(cop_ctx *ctx, cop_port port) {
    struct sockaddr_storage address;
    (void)ctx;
    return address_of(port, false, &address) ? port_of(&address) : -1;
}

cop_term cop_inet_peername(cop_ctx *ctx, cop_port port) {
    struct sockaddr_storage address;
    char text[64] = "";
    if (!address_of(port, true, &address))
        return error_term(ctx, "enotconn");
    if (address.ss_family == AF_INET6)
        uv_ip6_name((const struct sockaddr_in6 *)&address, text, sizeof text);
    else
        uv_ip4_name((const struct sockaddr_in *)&address, text, sizeof text);
    return cop_tuple(ctx, cop_a(ok), cop_tuple(ctx, (const char *)text, port_of(&address)));
}
