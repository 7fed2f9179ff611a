/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection: one process per client.
 *
 * It is a gen_server, so between two messages it is a struct and nothing else; thousands may be
 * idle. The listener starts it, hands it the socket, and then says so by the cast :start; from
 * there on what the client sends comes as messages, so many at most as the active count allows. A
 * client that sends faster than it is served, or that does not read, is held by TCP's own flow
 * control.
 *
 * When the process ends, however it ends, the socket closes and its memory goes.
 */
#include "session.h"

enum { MESSAGES_AT_ONCE = 64 };

struct connection {
    struct session *session;
};

static void count_down(cop_ctx *ctx, void *arg) { atomic_fetch_sub(&kv_counters.connected, 1); }

static cop_init connection_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct connection *self = state;
    cop_port port;
    if (!cop_get_port(arg, &port))
        return cop_init_stop(cop_a(badarg));
    if (atomic_fetch_add(&kv_counters.connected, 1) >= kv_config.max_clients) {
        atomic_fetch_sub(&kv_counters.connected, 1);
        return cop_init_error(cop_a(too_many));
    }
    cop_defer(ctx, count_down, NULL);
    struct pulse *pulse = pulse_claim(ctx);
    if (pulse == NULL)
        return cop_init_error(cop_a(too_many));
    self->session = cop_own(ctx, session_new(port, pulse), session_free);
    return self->session != NULL ? cop_init_ok() : cop_init_error(cop_a(too_many));
}

static cop_next serve(cop_ctx *ctx, struct session *s, cop_bytes data) {
    pulse_begin(s->pulse);
    session_serve(ctx, s, data);
    pulse_end(s->pulse);
    if (!s->closing)
        return cop_noreply();
    cop_gen_tcp_close(ctx, s->port);
    return cop_stop(cop_a(normal));
}

static cop_next connection_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    struct session *s = ((struct connection *)state)->session;
    cop_bytes data;
    if (cop_match_tuple(message, cop_a(tcp), s->port, &data))
        return serve(ctx, s, data);
    if (cop_match_tuple(message, cop_a(tcp_passive), s->port))
        cop_inet_set_active(ctx, s->port, MESSAGES_AT_ONCE);
    else if (cop_match_tuple(message, cop_a(tcp_closed), s->port))
        return cop_stop(cop_a(normal));
    return cop_noreply();
}

static cop_next connection_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    struct session *s = ((struct connection *)state)->session;
    if (!cop_match(request, cop_a(start)))
        return cop_bad_cast(ctx, request);
    cop_inet_set_active(ctx, s->port, MESSAGES_AT_ONCE);
    return cop_noreply();
}

static cop_term connection_state_to_term(cop_ctx *ctx, const void *state) {
    const struct session *s = ((const struct connection *)state)->session;
    return cop_map(ctx, cop_a(client), s != NULL ? s->id : 0);
}

static const cop_gen_server connection = {
    .name = "Connection",
    .state_size = sizeof(struct connection),
    .init = connection_init,
    .handle_cast = connection_handle_cast,
    .handle_info = connection_handle_info,
    .state_to_term = connection_state_to_term,
};

cop_started connection_start_link(cop_ctx *ctx, cop_term port) {
    return cop_gen_server_start_link(ctx, &connection, port, NULL);
}

cop_started connections_start_link(cop_ctx *ctx, cop_term arg) {
    return cop_supervisor_start_link(
        ctx, NULL, 0,
        &(cop_supervisor_opts){ .strategy = COP_ONE_FOR_ONE, .name = cop_a(connections) });
}
