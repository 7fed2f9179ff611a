/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_server: calls in two steps, and to many. A request that was sent is a monitor whose reference is an
 * alias too; a collection is a map from these references to {server, label}. So waiting for any of many is
 * one selective receive that looks a message's reference up.
 *
 * multi_call and abcast go to a name on each of some nodes. The requests to all nodes are sent first, then
 * the answers are waited for with one deadline; those that come late go to aliases that are gone.
 */
#include <coppice/gen.h>

#include "gen_call.h"

static cop_called failed(cop_term reason) { return (cop_called){ false, reason }; }

static int64_t default_timeout(int64_t timeout_ms) {
    return timeout_ms == 0 ? 5000 : timeout_ms == COP_ZERO ? 0 : timeout_ms;
}

cop_request_id cop__gen_server_send_request(cop_ctx *ctx, cop_term server, cop_term request) {
    cop_term why, pid = gen_resolve(ctx, server, "send_request/2", &why);
    cop_request_id id = { .server = server };
    if (!cop_is_none(pid))
        id.ref = cop_gen_request(ctx, (cop_pid){ pid }, cop_as("$gen_call"), request, true);
    else /* nobody has that name: the monitor brings the answer; :undefined is none */
        id.ref = cop_process_monitor(ctx, cop_is_atom(server) ? server : cop_a(undefined).t);
    return id;
}

/* A down message as {:error, {reason, server}}. */
static cop_called response_of(cop_ctx *ctx, cop_term message, cop_term server) {
    cop_called called = gen_answer(message);
    if (!called.ok)
        called.value = cop_tuple(ctx, cop_a(error), cop_tuple(ctx, called.value, server));
    return called;
}

cop_called cop_gen_server_receive_response(cop_ctx *ctx, cop_request_id id, int64_t timeout_ms) {
    cop_term message;
    if (!cop_gen_receive(ctx, id.ref, default_timeout(timeout_ms), &message))
        return failed(cop_a(timeout).t);
    return response_of(ctx, message, id.server);
}

cop_called cop_gen_server_wait_response(cop_ctx *ctx, cop_request_id id, int64_t timeout_ms) {
    cop_term message;
    if (!cop_receive_ref(ctx, default_timeout(timeout_ms), id.ref, &message))
        return failed(cop_a(timeout).t);
    cop_process_demonitor(ctx, id.ref, COP_DEMONITOR_FLUSH);
    return response_of(ctx, message, id.server);
}

/* The reference that a message answers; false if it can be no answer. */
static bool ref_of(cop_term message, cop_ref *ref) {
    cop_term tag, alias, any;
    if (cop_match_tuple(message, cop_as("DOWN"), ref, &any, &any, &any))
        return true;
    return cop_match_tuple(message, &tag, &any)
           && (cop_get_ref(tag, ref)
               || (cop_match_cons(tag, cop_a(alias), &alias) && cop_get_ref(alias, ref)));
}

bool cop_gen_server_check_response(cop_ctx *ctx, cop_term message, cop_request_id id,
                                   cop_called *response) {
    cop_ref ref;
    if (!ref_of(message, &ref) || !cop_match(ref.t, id.ref))
        return false;
    cop_process_demonitor(ctx, id.ref, COP_DEMONITOR_FLUSH);
    *response = response_of(ctx, message, id.server);
    return true;
}

/* ---- collections ------------------------------------------------------------------------------------------- */

cop_term cop__gen_server_reqids_add(cop_ctx *ctx, cop_request_id id, cop_term label,
                                    cop_term collection) {
    cop_term any;
    if (!cop_is_map(collection) || cop_map_get(collection, id.ref.t, &any))
        cop_error(ctx, cop_a(badarg));
    return cop_map_put(ctx, collection, id.ref.t, cop_tuple(ctx, id.server, label));
}

cop_term cop_gen_server_reqids_to_list(cop_ctx *ctx, cop_term collection) {
    cop_term list = COP_NIL, ref, entry;
    for (cop_map_iter it = cop_map_first(collection); cop_map_next(&it, &ref, &entry);)
        list = cop_cons(ctx, cop_tuple(ctx, ref, cop_elem(entry, 1)), list);
    return list;
}

static bool answers_one_of(cop_term message, void *arg) {
    cop_ref ref;
    cop_term entry;
    return ref_of(message, &ref) && cop_map_get(*(cop_term *)arg, ref.t, &entry);
}

static cop_any_response any_of(cop_ctx *ctx, cop_term message, cop_term *collection, bool keep) {
    cop_any_response any = { .is = COP_RESPONSE };
    cop_ref ref = { COP_NONE };
    cop_term entry = COP_NONE, server = COP_NONE;
    ref_of(message, &ref);
    cop_map_get(*collection, ref.t, &entry);
    cop_match_tuple(entry, &server, &any.label);
    cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
    any.response = response_of(ctx, message, server);
    if (!keep)
        *collection = cop_map_remove(ctx, *collection, ref.t);
    return any;
}

cop_any_response cop_gen_server_wait_any(cop_ctx *ctx, cop_term *collection, int64_t timeout_ms,
                                         int flags) {
    cop_term message, ref, entry;
    if (cop_map_size(*collection) == 0)
        return (cop_any_response){ .is = COP_NO_REQUEST };
    if (cop_receive_match(ctx, default_timeout(timeout_ms), answers_one_of, collection, &message))
        return any_of(ctx, message, collection, (flags & COP_REQUEST_KEEP) != 0);
    if ((flags & COP_REQUEST_ABANDON) != 0)
        for (cop_map_iter it = cop_map_first(*collection); cop_map_next(&it, &ref, &entry);)
            cop_process_demonitor(ctx, (cop_ref){ ref }, COP_DEMONITOR_FLUSH);
    return (cop_any_response){ .is = COP_NO_RESPONSE };
}

cop_any_response cop_gen_server_check_any(cop_ctx *ctx, cop_term message, cop_term *collection,
                                          int flags) {
    if (cop_map_size(*collection) == 0)
        return (cop_any_response){ .is = COP_NO_REQUEST };
    if (!answers_one_of(message, collection))
        return (cop_any_response){ .is = COP_NO_RESPONSE };
    return any_of(ctx, message, collection, (flags & COP_REQUEST_KEEP) != 0);
}

/* ---- many nodes ------------------------------------------------------------------------------------------------ */

static cop_term own_node(cop_ctx *ctx) { return cop_list(ctx, cop_as("nonode@nohost")); }

static _Noreturn void bad_arguments(cop_ctx *ctx, const char *function) {
    cop_raise(ctx, "FunctionClauseError", "no function clause matching in GenServer.%s", function);
}

void cop__gen_server_abcast(cop_ctx *ctx, cop_term nodes, cop_atom name, cop_term request) {
    cop_term node;
    if (cop_is_none(nodes))
        nodes = own_node(ctx);
    for (; cop_get_cons(nodes, &node, &nodes);)
        cop__gen_server_cast(ctx, cop_tuple(ctx, name, node), request);
    if (!cop_is_nil(nodes))
        bad_arguments(ctx, "abcast/3");
}

static int64_t left_of(cop_ctx *ctx, int64_t deadline) {
    if (deadline == COP_INFINITY)
        return COP_INFINITY;
    int64_t left = deadline - cop_monotonic_ms(ctx);
    return left <= 0 ? COP_ZERO : left;
}

/* Sends to all; [{node, reference}], last first, with :none for where nobody is. */
static cop_term send_all(cop_ctx *ctx, cop_term nodes, cop_atom name, cop_term request) {
    cop_term sent = COP_NIL, node, why;
    for (; cop_get_cons(nodes, &node, &nodes);) {
        cop_term server = cop_tuple(ctx, name, node), ref = cop_a(none).t;
        if (!cop_is_none(gen_resolve(ctx, server, "multi_call/4", &why)))
            ref = cop__gen_server_send_request(ctx, server, request).ref.t;
        sent = cop_cons(ctx, cop_tuple(ctx, node, ref), sent);
    }
    if (!cop_is_nil(nodes))
        bad_arguments(ctx, "multi_call/4");
    return sent;
}

cop_multi cop__gen_server_multi_call(cop_ctx *ctx, cop_term nodes, cop_atom name, cop_term request,
                                     int64_t timeout_ms) {
    cop_multi result = { .replies = COP_NIL, .bad_nodes = COP_NIL };
    cop_term entry, node, sent;
    int64_t deadline = COP_INFINITY;
    if (timeout_ms != 0 && timeout_ms != COP_INFINITY)
        deadline = cop_monotonic_ms(ctx) + default_timeout(timeout_ms);
    sent = send_all(ctx, cop_is_none(nodes) ? own_node(ctx) : nodes, name, request);
    for (; cop_get_cons(sent, &entry, &sent);) {
        cop_request_id id = { .server = name.t };
        cop_called called = failed(cop_a(noproc).t);
        if (cop_match_tuple(entry, &node, &id.ref))
            called = cop_gen_server_receive_response(ctx, id, left_of(ctx, deadline));
        if (called.ok)
            result.replies = cop_cons(ctx, cop_tuple(ctx, node, called.value), result.replies);
        else
            result.bad_nodes = cop_cons(ctx, node, result.bad_nodes);
    }
    return result;
}
