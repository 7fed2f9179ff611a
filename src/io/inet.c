/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inet, the caller's side: what can be asked of a socket, and names.
 *
 * A name is looked up by getaddrinfo on a thread of libuv's, for a small port that lives as long: so the
 * process that asks waits for a message, as for any port, and when it ends or its time is over nobody
 * is told any more.
 * Threads: lookup_* on the loop's, the rest on any.
 */
#include <coppice/inet.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>

#include "io/socket.h"
#include "os/alloc.h"

/* ---- looking up ----------------------------------------------------------------------------------------- */

struct lookup {
    uv_getaddrinfo_t request;
    cop_ctx *ctx; /* NULL when the port has ended */
    cop_ref ref;
    bool started;
    int family;
    char name[256];
};

static cop_term addresses_of(cop_ctx *ctx, const struct addrinfo *found) {
    cop_term list = COP_NIL;
    for (; found != NULL; found = found->ai_next) {
        struct cop__address address = { .size = found->ai_addrlen };
        memcpy(&address.is, found->ai_addr, address.size);
        list = cop_cons(ctx, cop__address_ip(ctx, &address), list);
    }
    return cop_list_reverse(ctx, list);
}

static void lookup_end(struct lookup *l, cop_term answer) {
    cop_send(l->ctx, l->ref, cop_tuple(l->ctx, l->ref, answer));
    cop__port_close(l->ctx, cop_a(normal).t);
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct lookup *l = request->data;
    if (l->ctx == NULL) {
        cop__free(l);
    } else {
        l->started = false;
        cop__port_enter(l->ctx);
        if (status < 0 || found == NULL)
            lookup_end(l, cop__socket_error(
                              l->ctx, cop__socket_reason(status < 0 ? status : UV_EAI_NONAME)));
        else
            lookup_end(l, cop_tuple(l->ctx, cop_a(ok), addresses_of(l->ctx, found)));
        cop__port_leave(l->ctx);
    }
    uv_freeaddrinfo(found);
}

static void lookup_start(cop_ctx *ctx, void *data) {
    struct lookup *l = data;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = l->family };
    l->ctx = ctx;
    l->request.data = l;
    int rc = uv_getaddrinfo(cop__io_loop(), &l->request, on_found, l->name, NULL, &hints);
    l->started = rc == 0;
    if (rc < 0)
        lookup_end(l, cop__socket_error(ctx, cop__socket_reason(rc)));
}

static void lookup_message(cop_ctx *ctx, void *data, cop_term message) {
    struct lookup *l = data;
    if (cop_match_tuple(message, cop_a(cancel), l->ref))
        lookup_end(l, cop__socket_error(ctx, cop_a(timeout).t));
}

static void lookup_stop(cop_ctx *ctx, void *data, cop_term reason) {
    struct lookup *l = data;
    (void)reason;
    l->ctx = NULL;
    /* Who waits still hears of it, should somebody have killed the port; the first answer counts. */
    cop_send(ctx, l->ref, cop_tuple(ctx, l->ref, cop__socket_error(ctx, cop_a(closed).t)));
    if (l->started)
        uv_cancel((uv_req_t *)&l->request); /* on_found comes in any case and frees it */
    else
        cop__free(l);
}

static const struct cop__port_ops lookup_ops = { "inet_gethost", lookup_start, lookup_message,
                                                 lookup_stop };

static void drop(void *lookup) { cop__free(lookup); }

static int family_number(cop_inet_family family) {
    return family == COP_INET6 ? AF_INET6 : AF_INET;
}

cop_term cop__inet_getaddrs(cop_ctx *ctx, cop_term host, cop_inet_family family,
                            int64_t timeout_ms) {
    struct cop__host found;
    int number = family_number(family);
    if (cop__host_from_term(host, 0, false, &found) != 0)
        return cop__socket_error(ctx, cop_a(einval).t);
    if (found.address.size != 0) {
        bool fits = found.address.is.ss_family == number;
        if (!fits && (cop_match(host, cop_a(loopback)) || cop_match(host, cop_a(any)))) {
            const char *same = cop_match(host, cop_a(any)) ? "::" : "::1";
            fits = cop__address_parse(same, strlen(same), COP__ADDRESS_ANY, &found.address);
        }
        if (fits)
            return cop_tuple(ctx, cop_a(ok), cop_list(ctx, cop__address_ip(ctx, &found.address)));
        return cop__socket_error(ctx,
                                 cop_is_tuple(host) ? cop_a(eafnosupport).t : cop_a(nxdomain).t);
    }
    struct cop__bound *bound = cop__io_bound(ctx);
    struct lookup *l = cop_own(ctx, cop__calloc(1, sizeof *l), drop);
    cop_ref ref = cop_process_alias(ctx, true);
    l->ref = ref;
    l->family = number;
    memcpy(l->name, found.name, sizeof l->name);
    cop_port port = cop__port_open(ctx, bound, &lookup_ops, l, cop_self(ctx));
    if (cop_is_none(port.t)) {
        cop_process_unalias(ctx, ref);
        if (cop_disown(ctx, l))
            cop__free(l);
        return cop__socket_error(ctx, cop_a(system_limit).t);
    }
    cop_term answer = cop__socket_wait(ctx, port, ref, cop__socket_timeout(timeout_ms));
    cop__socket_forget(ctx, port);
    return answer;
}

cop_term cop__inet_getaddr(cop_ctx *ctx, cop_term host, cop_inet_family family,
                           int64_t timeout_ms) {
    cop_term answer = cop__inet_getaddrs(ctx, host, family, timeout_ms), list;
    if (cop_match_tuple(answer, cop_a(ok), &list))
        return cop_tuple(ctx, cop_a(ok), cop_head(list));
    return answer;
}

/* ---- sockets ------------------------------------------------------------------------------------------------ */

/* Reads an address of the socket while it cannot be closed. Returns 0 or a negative errno. */
static int address_of(cop_port port, bool peer, struct cop__address *out) {
    struct cop__socket *s = cop__socket_find(port);
    if (s == NULL)
        return UV_EOF;
    out->size = sizeof out->is;
    struct sockaddr *to = (struct sockaddr *)&out->is;
    pthread_mutex_lock(&s->lock);
    int rc = s->fd < 0 ? UV_EOF : 0;
    if (rc == 0
        && (peer ? getpeername(s->fd, to, &out->size) : getsockname(s->fd, to, &out->size)) != 0)
        rc = -errno;
    pthread_mutex_unlock(&s->lock);
    cop__socket_release(s);
    return rc;
}

static cop_term name_of(cop_ctx *ctx, cop_port port, bool peer) {
    struct cop__address address;
    int rc = address_of(port, peer, &address);
    if (rc != 0)
        return cop__socket_error(ctx, cop__socket_reason(rc));
    return cop_tuple(ctx, cop_a(ok), cop__address_term(ctx, &address));
}

int cop_inet_port(cop_ctx *ctx, cop_port port) {
    struct cop__address address;
    (void)ctx;
    return address_of(port, false, &address) == 0 ? cop__address_port(&address) : -1;
}

cop_term cop_inet_sockname(cop_ctx *ctx, cop_port port) { return name_of(ctx, port, false); }
cop_term cop_inet_peername(cop_ctx *ctx, cop_port port) { return name_of(ctx, port, true); }

void cop_inet_set_active(cop_ctx *ctx, cop_port port, int active) {
    cop_send(ctx, port, cop_tuple(ctx, cop_a(active), active));
}

/* OTP answers :einval for a socket that is closed. */
static cop_term ask(cop_ctx *ctx, cop_port port, cop_atom what, cop_term arg) {
    cop_term answer = cop__socket_call(ctx, port, what, arg, COP_INFINITY);
    if (cop_match_tuple(answer, cop_a(error), cop_a(closed)))
        return cop__socket_error(ctx, cop_a(einval).t);
    return answer;
}

cop_term cop_inet_setopts(cop_ctx *ctx, cop_port port, cop_term options) {
    return ask(ctx, port, cop_a(setopts), options);
}

cop_term cop_inet_getopts(cop_ctx *ctx, cop_port port, cop_term names) {
    return ask(ctx, port, cop_a(getopts), names);
}

cop_term cop_inet_getstat(cop_ctx *ctx, cop_port port) {
    return ask(ctx, port, cop_a(getstat), cop_a(nil).t);
}

cop_term cop_inet_info(cop_ctx *ctx, cop_port port) {
    cop_term answer = ask(ctx, port, cop_a(info), cop_a(nil).t);
    return cop_is_map(answer) ? answer : cop_a(undefined).t;
}
