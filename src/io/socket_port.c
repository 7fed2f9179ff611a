/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets, the side of the loop: what TCP and UDP ports do alike. Who waits, how often an active socket
 * may still deliver, the ways of bytes that could not be written directly, and changes of the owner.
 *
 * Requests come as {what, pid, ref, arg}, answered with {ref, answer} to the reference, once:
 *
 *     {:write, pid, ref, nil}    answered when less than half of the high watermark waits
 *     {:pause, pid, ref, new}    then {:owner, pid, ref, new}: the owner gives the port away
 *     {:setopts | :getopts | :getstat | :info, pid, ref, arg}
 *     {:close, pid, ref, nil}    answered by the end of the port
 *     {:cancel, ref}  {:flush}  {:active, mode}  {:"$close"}  without an answer
 *
 * and those of the frame that all ports stand in (port.c).
 *
 * A process that waits and is not the owner (whose end is the port's) is monitored, so that nothing is
 * handed to the dead.
 * Threads: all of it on the loop's thread, inside a callback of the port.
 */
#include "io/port.h"
#include "io/socket.h"
#include "os/alloc.h"

char cop__read_buffer[COP__READ_SIZE];

void cop__socket_set_fd(struct cop__socket *s, bool writable) {
    uv_os_fd_t fd;
    if (uv_fileno(&s->handle, &fd) != 0)
        return;
    pthread_mutex_lock(&s->lock);
    s->fd = fd;
    s->writable = writable;
    pthread_mutex_unlock(&s->lock);
}

/* ---- who waits ------------------------------------------------------------------------------------------ */

void cop__socket_answer(struct cop__socket *s, cop_ref *ref, cop_term value) {
    cop_ref to = *ref;
    *ref = (cop_ref){ COP_NONE };
    if (!cop_is_none(to.t))
        cop_send(s->ctx, to, cop_tuple(s->ctx, to, value));
}

void cop__socket_opened(struct cop__socket *s, int error) {
    cop_ctx *ctx = s->ctx;
    if (error == 0) {
        cop__socket_answer(s, &s->opened, cop_tuple(ctx, cop_a(ok), s->port));
        return;
    }
    cop__socket_answer(s, &s->opened, cop__socket_error(ctx, cop__socket_reason(error)));
    cop__port_close(ctx, cop_a(normal).t);
}

void cop__waiter_add(struct cop__socket *s, struct cop__waiters *list, cop_pid pid, cop_ref ref,
                     size_t length) {
    struct cop__waiter *w = cop__malloc(sizeof *w);
    *w = (struct cop__waiter){ .pid = pid, .ref = ref, .length = length };
    if (pid.t.w != s->owner.t.w)
        w->monitor = cop_process_monitor(s->ctx, pid);
    *list->last = w;
    list->last = &w->next;
}

static void waiter_remove(struct cop__socket *s, struct cop__waiters *list,
                          struct cop__waiter **at) {
    struct cop__waiter *w = *at;
    *at = w->next;
    if (list->last == &w->next)
        list->last = at;
    if (!cop_is_none(w->monitor.t))
        cop_process_demonitor(s->ctx, w->monitor, COP_DEMONITOR_FLUSH);
    cop__free(w);
}

bool cop__waiter_take(struct cop__socket *s, struct cop__waiters *list, struct cop__waiter *out) {
    if (list->first == NULL)
        return false;
    *out = *list->first;
    waiter_remove(s, list, &list->first);
    return true;
}

void cop__waiter_answer_all(struct cop__socket *s, struct cop__waiters *list, cop_term value) {
    struct cop__waiter w;
    while (cop__waiter_take(s, list, &w))
        cop__socket_answer(s, &w.ref, value);
}

/* Takes out the one with this reference, or this monitor. */
static bool waiter_drop(struct cop__socket *s, struct cop__waiters *list, cop_ref ref) {
    for (struct cop__waiter **at = &list->first; *at != NULL; at = &(*at)->next)
        if ((*at)->ref.t.w == ref.t.w || (*at)->monitor.t.w == ref.t.w) {
            waiter_remove(s, list, at);
            return true;
        }
    return false;
}

static void cancel(struct cop__socket *s, cop_ref ref) {
    cop_term timeout = cop__socket_error(s->ctx, cop_a(timeout).t);
    if (waiter_drop(s, &s->receivers, ref) || waiter_drop(s, &s->senders, ref)) {
        cop__socket_answer(s, &ref, timeout);
    } else if (s->opened.t.w == ref.t.w) {
        cop__socket_answer(s, &s->opened, timeout);
        cop__port_close(s->ctx, cop_a(normal).t);
    } else if (s->shut.t.w == ref.t.w) {
        cop__socket_answer(s, &s->shut, timeout);
    }
}

/* ---- active mode --------------------------------------------------------------------------------------------- */

bool cop__socket_is_active(const struct cop__socket *s) {
    return !s->paused && s->active != COP_TCP_PASSIVE;
}

static void became_passive(struct cop__socket *s) {
    cop_atom tag = s->kind == COP__SOCKET_UDP ? cop_a(udp_passive) : cop_a(tcp_passive);
    s->active = COP_TCP_PASSIVE;
    cop_send(s->ctx, s->owner, cop_tuple(s->ctx, tag, s->port));
}

void cop__socket_delivered(struct cop__socket *s) {
    if (s->active == COP_TCP_ONCE)
        s->active = COP_TCP_PASSIVE;
    else if (s->active > 0 && --s->active == 0)
        became_passive(s);
}

/* As OTP: the sum must stay in range; 0 and below it ends the mode, and that is told. */
bool cop__socket_add_active(struct cop__socket *s, int64_t count) {
    int64_t sum = (s->active > 0 ? s->active : 0) + count;
    if (count < -COP__ACTIVE_MAX - 1 || sum > COP__ACTIVE_MAX || sum < -COP__ACTIVE_MAX - 1)
        return false;
    if (sum > 0)
        s->active = (int)sum;
    else
        became_passive(s);
    return true;
}

/* ---- sending --------------------------------------------------------------------------------------------------- */

struct cop__write *cop__socket_take_queue(struct cop__socket *s) {
    pthread_mutex_lock(&s->lock);
    struct cop__write *first = s->queue;
    s->queue = NULL;
    s->queue_last = &s->queue;
    pthread_mutex_unlock(&s->lock);
    return first;
}

static void wake_senders(struct cop__socket *s) {
    pthread_mutex_lock(&s->lock);
    bool room = s->pending <= s->high_watermark / 2;
    int error = s->error;
    pthread_mutex_unlock(&s->lock);
    if (room || error != 0)
        cop__waiter_answer_all(s, &s->senders,
                               error == 0 ? cop_a(ok).t
                                          : cop__socket_error(s->ctx, cop__socket_reason(error)));
}

bool cop__socket_written(struct cop__write *w, int error) {
    struct cop__socket *s = w->socket;
    pthread_mutex_lock(&s->lock);
    s->pending -= w->size;
    if (error != 0 && s->error == 0 && s->kind != COP__SOCKET_UDP)
        s->error = error;
    bool empty = s->pending == 0;
    pthread_mutex_unlock(&s->lock);
    cop__free(w);
    if (s->ctx != NULL)
        wake_senders(s);
    return empty;
}

/* ---- owners ------------------------------------------------------------------------------------------------------ */

static void change_owner(struct cop__socket *s, cop_pid owner) {
    s->owner = owner;
    cop__port_own(s->ctx, owner);
}

/* The owner gives the port away, in two steps. */
static void pause_or_give(struct cop__socket *s, bool give, cop_pid pid, cop_ref ref, cop_term arg,
                          const struct cop__socket_calls *calls) {
    cop_pid fresh;
    cop_term answer = cop_a(ok).t;
    if (!cop_get_pid(arg, &fresh)) {
        answer = cop__socket_error(s->ctx, cop_a(badarg).t);
    } else if (fresh.t.w == s->owner.t.w) {
        s->paused = false;
    } else if (pid.t.w != s->owner.t.w) {
        answer = cop__socket_error(s->ctx, cop_a(not_owner).t);
    } else if (give) {
        change_owner(s, fresh);
        s->paused = false;
    } else {
        s->paused = true;
        answer = cop_a(paused).t;
    }
    cop__socket_answer(s, &ref, answer);
    if (!s->paused)
        calls->mode_changed(s);
}

/* The frame of src/io/port.h around a socket, for as long as it reads a message. */
struct framed {
    struct cop__port_frame frame;
    struct cop__socket *socket;
    const struct cop__socket_calls *calls;
};

static void framed_command(struct cop__port_frame *frame, cop_term iodata, size_t size) {
    const struct framed *f = (const struct framed *)frame;
    f->calls->command(f->socket, iodata);
}

static void framed_close(struct cop__port_frame *frame) {
    const struct framed *f = (const struct framed *)frame;
    f->calls->close(f->socket);
}

static size_t framed_queued(const struct cop__port_frame *frame) {
    struct cop__socket *s = ((const struct framed *)frame)->socket;
    pthread_mutex_lock(&s->lock);
    size_t pending = s->pending;
    pthread_mutex_unlock(&s->lock);
    return pending;
}

static void port_protocol(struct cop__socket *s, cop_term message,
                          const struct cop__socket_calls *calls) {
    static const struct cop__port_kind kind = { framed_command, framed_close, framed_queued };
    struct framed f = { .socket = s, .calls = calls };
    pthread_mutex_lock(&s->lock);
    uint64_t sent = s->sent.octets;
    pthread_mutex_unlock(&s->lock);
    f.frame = (struct cop__port_frame){
        .kind = &kind,
        .ctx = s->ctx,
        .port = s->port,
        .owner = s->owner,
        .input = s->received.octets,
        .output = sent,
        .name = s->kind == COP__SOCKET_UDP ? "udp_inet" : "tcp_inet",
    };
    cop__port_protocol(&f.frame, message);
    s->owner = f.frame.owner;
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static void set_active(struct cop__socket *s, int64_t mode) {
    if (mode == COP_TCP_ACTIVE || mode == COP_TCP_ONCE || mode == COP_TCP_PASSIVE)
        s->active = (int)mode;
    else if (mode > 0)
        cop__socket_add_active(s, mode);
}

static bool serve_request(struct cop__socket *s, cop_atom what, cop_pid pid, cop_ref ref,
                          cop_term arg, const struct cop__socket_calls *calls) {
    bool pause = cop_match(what.t, cop_a(pause));
    if (cop_match(what.t, cop_a(write))) {
        cop__waiter_add(s, &s->senders, pid, ref, 0);
        calls->flush(s);
        wake_senders(s);
    } else if (pause || cop_match(what.t, cop_a(owner))) {
        pause_or_give(s, !pause, pid, ref, arg, calls);
    } else if (cop_match(what.t, cop_a(setopts))) {
        cop__socket_answer(s, &ref, cop__socket_setopts(s, arg));
        calls->mode_changed(s);
    } else if (cop_match(what.t, cop_a(getopts))) {
        cop__socket_answer(s, &ref, cop__socket_getopts(s, arg));
    } else if (cop_match(what.t, cop_a(getstat))) {
        cop__socket_answer(s, &ref, cop__socket_getstat(s));
    } else if (cop_match(what.t, cop_a(info))) {
        cop__socket_answer(s, &ref, cop__socket_info(s));
    } else if (cop_match(what.t, cop_a(close))) {
        calls->close(s);
    } else {
        return false;
    }
    return true;
}

void cop__socket_message(struct cop__socket *s, cop_term message,
                         const struct cop__socket_calls *calls) {
    cop_atom what;
    cop_pid pid;
    cop_ref ref;
    cop_term arg, any;
    int64_t mode;
    if (cop_match_tuple(message, &what, &pid, &ref, &arg)
        && serve_request(s, what, pid, ref, arg, calls))
        return;
    if (cop_match_tuple(message, cop_a(flush))) {
        calls->flush(s);
    } else if (cop_match_tuple(message, cop_a(active), &mode)) {
        set_active(s, mode);
        calls->mode_changed(s);
    } else if (cop_match_tuple(message, cop_a(cancel), &ref)) {
        cancel(s, ref);
    } else if (cop_match_tuple(message, cop_as("DOWN"), &ref, &any, &any, &any)) {
        if (!waiter_drop(s, &s->receivers, ref))
            waiter_drop(s, &s->senders, ref);
    } else if (cop_match_tuple(message, cop_as("$close"))) {
        calls->close(s);
    } else {
        port_protocol(s, message, calls);
    }
}
