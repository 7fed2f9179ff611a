/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets, the side of the processes that use them.
 *
 * A request to a port is the message {what, pid, ref, arg}. The reference is a monitor that is an alias
 * too: it is answered once, by the port or by its end, and a later answer is dropped. When the time is
 * over, {:cancel, ref} makes the port answer at once: with {:error, :timeout}, or it had answered
 * already and that answer counts. So nothing that a port hands out is lost.
 *
 * Any process sends directly while nothing waits in the loop (waking another thread would cost more than
 * the system call): under the socket's lock, so that the descriptor cannot be closed meanwhile. What
 * the kernel does not take at once is queued under the same lock, and everything after it too until that
 * is written: the order between senders is the order of their turns at the lock. The loop is told by a
 * message; should its sender be killed just then, the next one's message or the close serves.
 *
 * Invariants
 *   1. pending is the sum of the sizes in `queue` and of what libuv has and has not written.
 *   2. fd is a descriptor of the socket while it is not -1, and closed only after it was made -1.
 * Threads: all of it from any thread.
 */
#include "io/socket.h"

#include <coppice/port.h>
#include <errno.h>
#include <string.h>

#include "os/alloc.h"
#include "os/vm.h"
#include "term/layout.h"

enum { MAX_SLOTS = 1 << 24, STRIPES = 64 };

/* ---- from port to socket ---------------------------------------------------------------------------- */

static struct cop__socket **sockets; /* by the port's slot; reserved address space */
static pthread_mutex_t stripes[STRIPES];
static pthread_once_t sockets_once = PTHREAD_ONCE_INIT;

static void sockets_init(void) {
    sockets = cop__vm_reserve(MAX_SLOTS * sizeof *sockets);
    if (sockets == NULL)
        cop__term_panic("no memory for sockets");
    for (int i = 0; i < STRIPES; i++)
        pthread_mutex_init(&stripes[i], NULL);
}

struct cop__socket *cop__socket_new(enum cop__socket_kind kind) {
    pthread_once(&sockets_once, sockets_init);
    struct cop__socket *s = cop__calloc(1, sizeof *s);
    s->count = 1;
    s->kind = kind;
    s->fd = -1;
    s->receivers.last = &s->receivers.first;
    s->senders.last = &s->senders.first;
    s->queue_last = &s->queue;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void cop__socket_publish(struct cop__socket *s, cop_ctx *ctx) {
    s->ctx = ctx;
    s->port = cop__port_self(ctx);
    uint64_t slot = cop__port_slot(s->port.t);
    pthread_mutex_lock(&stripes[slot % STRIPES]);
    sockets[slot] = s;
    pthread_mutex_unlock(&stripes[slot % STRIPES]);
}

void cop__socket_unpublish(struct cop__socket *s) {
    uint64_t slot = cop__port_slot(s->port.t);
    pthread_mutex_lock(&stripes[slot % STRIPES]);
    if (sockets[slot] == s)
        sockets[slot] = NULL;
    pthread_mutex_unlock(&stripes[slot % STRIPES]);
    pthread_mutex_lock(&s->lock); /* who sends holds it while it uses the descriptor */
    s->fd = -1;
    s->writable = false;
    pthread_mutex_unlock(&s->lock);
    s->ctx = NULL;
}

struct cop__socket *cop__socket_find(cop_port port) {
    if (!cop__is_port_word(port.t))
        return NULL;
    pthread_once(&sockets_once, sockets_init);
    uint64_t slot = cop__port_slot(port.t);
    pthread_mutex_lock(&stripes[slot % STRIPES]);
    struct cop__socket *s = sockets[slot];
    if (s != NULL && s->port.t.w == port.t.w)
        __atomic_fetch_add(&s->count, 1, __ATOMIC_RELAXED);
    else
        s = NULL;
    pthread_mutex_unlock(&stripes[slot % STRIPES]);
    return s;
}

void cop__socket_release(struct cop__socket *s) {
    if (__atomic_sub_fetch(&s->count, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    while (s->queue != NULL) {
        struct cop__write *next = s->queue->next;
        cop__free(s->queue);
        s->queue = next;
    }
    cop__framer_free(&s->framer);
    if (s->found != NULL)
        uv_freeaddrinfo(s->found);
    pthread_mutex_destroy(&s->lock);
    cop__free(s);
}

/* ---- small things ------------------------------------------------------------------------------------- */

cop_term cop__socket_reason(int error) {
    char name[32];
    size_t n = 0;
    if (error == UV_EOF || error == UV_ECANCELED)
        return cop_a(closed).t;
    if (error <= UV_EAI_ADDRFAMILY && error >= UV_EAI_PROTOCOL) /* no address behind the name */
        return cop_a(nxdomain).t;
    for (const char *text = uv_err_name(error); text[n] != '\0' && n < sizeof name - 1; n++)
        name[n] = (char)(text[n] >= 'A' && text[n] <= 'Z' ? text[n] + 32 : text[n]);
    name[n] = '\0';
    return cop_atom_new(name).t;
}

cop_term cop__socket_error(cop_ctx *ctx, cop_term reason) {
    return cop_tuple(ctx, cop_a(error), reason);
}

int64_t cop__socket_timeout(int64_t ms) { return ms == 0 ? COP_INFINITY : ms == COP_ZERO ? 0 : ms; }

void cop__traffic_count(struct cop__traffic *t, size_t size) {
    t->octets += size;
    t->count++;
    if (size > t->max)
        t->max = size;
    double apart = (double)size - t->mean;
    t->mean += apart / (double)t->count;
    if (t->count > 1)
        t->deviation += ((apart < 0 ? -apart : apart) - t->deviation) / (double)t->count;
}

/* ---- asking a port -------------------------------------------------------------------------------------- */

/* The answer to ref, of which the port has forgotten nothing when it comes. */
cop_term cop__socket_wait(cop_ctx *ctx, cop_port port, cop_ref ref, int64_t timeout_ms) {
    cop_term message;
    if (!cop_receive_ref(ctx, timeout_ms, ref, &message)) {
        cop_send(ctx, port, cop_tuple(ctx, cop_a(cancel), ref));
        cop_receive_ref(ctx, COP_INFINITY, ref, &message);
    }
    return cop_tuple_size(message) == 2 ? cop_elem(message, 1)
                                        : cop__socket_error(ctx, cop_a(closed).t);
}

cop_term cop__socket_call(cop_ctx *ctx, cop_port port, cop_atom what, cop_term arg,
                          int64_t timeout_ms) {
    static const cop_monitor_opts alias = { .alias = COP_ALIAS_REPLY_DEMONITOR };
    cop_ref ref = cop_port_monitor_opts(ctx, port, &alias);
    cop_send(ctx, port, cop_tuple(ctx, what, cop_self(ctx), ref, arg));
    return cop__socket_wait(ctx, port, ref, timeout_ms);
}

static void release(void *socket) { cop__socket_release(socket); }

cop_term cop__socket_open(cop_ctx *ctx, struct cop__socket *s, const struct cop__port_ops *ops,
                          int64_t timeout_ms) {
    cop_own(ctx, s, release); /* if this process is killed before the port has it */
    struct cop__bound *bound = cop__io_bound(ctx);
    cop_ref ref = cop_process_alias(ctx, true);
    s->owner = cop_self(ctx);
    s->opened = ref;
    cop_port port = cop__port_open(ctx, bound, ops, s, s->owner);
    if (cop_is_none(port.t)) {
        cop_process_unalias(ctx, ref);
        if (cop_disown(ctx, s))
            cop__socket_release(s);
        return cop__socket_error(ctx, cop_a(system_limit).t);
    }
    cop_term answer = cop__socket_wait(ctx, port, ref, timeout_ms);
    if (!cop_match_tuple(answer, cop_a(ok), port))
        cop__socket_forget(ctx, port);
    return answer;
}

static bool is_exit_of(cop_term message, void *arg) {
    cop_term reason;
    return cop_match_tuple(message, cop_as("EXIT"), *(cop_port *)arg, &reason);
}

void cop__socket_forget(cop_ctx *ctx, cop_port port) {
    cop_term message;
    cop_process_unlink(ctx, port);
    cop_receive_match(ctx, 0, is_exit_of, &port, &message);
}

/* A connection goes on to deliver what was sent; of all others nothing is left when this returns. */
void cop__socket_close(cop_ctx *ctx, cop_port port) {
    struct cop__socket *s = cop__socket_find(port);
    bool wait = false;
    if (s != NULL) {
        wait = s->is_listener || s->kind == COP__SOCKET_UDP;
        pthread_mutex_lock(&s->lock);
        s->writable = false;
        pthread_mutex_unlock(&s->lock);
        cop__socket_release(s);
    }
    cop__socket_forget(ctx, port);
    if (wait)
        cop__socket_call(ctx, port, cop_a(close), cop_a(nil).t, COP_INFINITY);
    else
        cop_send(ctx, port, cop_tuple(ctx, cop_as("$close")));
}

static bool is_of_port(cop_term message, void *arg) {
    cop_atom tag;
    int64_t size = cop_tuple_size(message);
    if (size < 2 || !cop_get_atom(cop_elem(message, 0), &tag)
        || cop_elem(message, 1).w != ((cop_port *)arg)->t.w)
        return false;
    return cop_match(tag.t, cop_a(tcp)) || cop_match(tag.t, cop_a(tcp_closed))
           || cop_match(tag.t, cop_a(tcp_error)) || cop_match(tag.t, cop_a(tcp_passive))
           || cop_match(tag.t, cop_a(udp)) || cop_match(tag.t, cop_a(udp_passive))
           || cop_match(tag.t, cop_a(udp_error));
}

/* The port is silent while its messages move, so that they stay in order. */
cop_term cop__socket_give(cop_ctx *ctx, cop_port port, cop_pid owner) {
    cop_term answer = cop__socket_call(ctx, port, cop_a(pause), owner.t, COP_INFINITY), message;
    if (!cop_match(answer, cop_a(paused)))
        return answer; /* :ok when it is the owner already */
    while (cop_receive_match(ctx, 0, is_of_port, &port, &message))
        cop_send(ctx, owner, message);
    answer = cop__socket_call(ctx, port, cop_a(owner), owner.t, COP_INFINITY);
    cop__socket_forget(ctx, port);
    return answer;
}

/* ---- sending ------------------------------------------------------------------------------------------------ */

bool cop__socket_queue(struct cop__socket *s, const struct cop__part parts[2], size_t done,
                       const struct cop__address *to) {
    size_t size = parts[0].size + parts[1].size - done;
    struct cop__write *w = cop__malloc(sizeof *w + size);
    w->next = NULL;
    w->socket = s;
    w->size = size;
    w->to.size = 0;
    if (to != NULL)
        w->to = *to;
    size_t first = done < parts[0].size ? parts[0].size - done : 0;
    if (first > 0)
        memcpy(w->bytes, parts[0].data + done, first);
    if (size > first)
        memcpy(w->bytes + first, parts[1].data + parts[1].size - (size - first), size - first);
    *s->queue_last = w;
    s->queue_last = &w->next;
    s->pending += size;
    return s->pending > s->high_watermark;
}

cop_term cop__socket_queued(cop_ctx *ctx, cop_port port, bool wait, int64_t timeout_ms,
                            bool timeout_close) {
    if (!wait) {
        cop_send(ctx, port, cop_tuple(ctx, cop_a(flush)));
        return cop_a(ok).t;
    }
    cop_term answer = cop__socket_call(ctx, port, cop_a(write), cop_a(nil).t, timeout_ms);
    if (timeout_close && cop_match_tuple(answer, cop_a(error), cop_a(timeout)))
        cop_send(ctx, port, cop_tuple(ctx, cop_as("$close")));
    return answer;
}
