/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_server: the client's side. A call is a monitor whose reference is also an alias, the request
 * {:"$gen_call", {self, [:alias | ref]}, request}, and the wait for what answers that reference: the
 * reply, or the end of the server. After it the alias is gone, so a late reply is dropped.
 */
#include "gen_call.h"

#include <coppice/gen.h>
#include <coppice/gen_server.h>
#include <string.h>

#include "sys.h"
#include "via.h"

/* Names are mostly literals, looked up again and again: the last atom of each place, by the address of the
   text. It is compared, so any atom may stand there. */
static uint64_t *known_place(const char *name) {
    static uint64_t known[64];
    return &known[((uintptr_t)name * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}

static cop_atom known(const char *name, const char *prefix, size_t prefix_size) {
    cop_atom atom = { { __atomic_load_n(known_place(name), __ATOMIC_RELAXED) } };
    if (cop_is_none(atom.t))
        return atom;
    const char *text = cop_atom_name(atom, NULL);
    bool same = strncmp(text, prefix, prefix_size) == 0 && strcmp(text + prefix_size, name) == 0;
    return same ? atom : (cop_atom){ COP_NONE };
}

static cop_atom note(const char *name, cop_atom atom) {
    __atomic_store_n(known_place(name), atom.t.w, __ATOMIC_RELAXED);
    return atom;
}

cop_atom sys_atom(const char *name) {
    cop_atom atom = known(name, "", 0);
    return cop_is_none(atom.t) ? note(name, cop_atom_new(name)) : atom;
}

cop_atom sys_module_atom(const char *name) {
    static const char prefix[] = "Elixir.";
    enum { PREFIX = sizeof prefix - 1 };
    char full[300];
    if (name == NULL)
        return cop_a(nil);
    if (name[0] < 'A' || name[0] > 'Z')
        return sys_atom(name);
    cop_atom atom = known(name, prefix, PREFIX);
    if (!cop_is_none(atom.t))
        return atom;
    size_t size = strlen(name);
    if (size >= sizeof full - PREFIX)
        return sys_atom(name);
    memcpy(full, prefix, PREFIX);
    memcpy(full + PREFIX, name, size + 1);
    return note(name, cop_atom_new(full));
}

static int64_t timeout_of(int64_t timeout_ms) {
    return timeout_ms == 0 ? 5000 : timeout_ms == COP_ZERO ? 0 : timeout_ms;
}

/* Elixir's FunctionClauseError for arguments that no clause takes. */
static _Noreturn void no_clause(cop_ctx *ctx, const char *function) {
    cop_raise(ctx, "FunctionClauseError", "no function clause matching in %s%s",
              strncmp(function, "sys", 3) == 0 ? ":" : "GenServer.", function);
}

cop_term gen_resolve(cop_ctx *ctx, cop_term server, const char *function, cop_term *why) {
    cop_atom name, node;
    *why = cop_a(noproc).t;
    if (cop_is_pid(server))
        return server;
    if (cop_get_atom(server, &name))
        return cop_process_whereis(ctx, name);
    if (via_is(server, NULL))
        return via_whereis(ctx, server);
    if (cop_match_tuple(server, &name, &node)) {
        if (cop_match(node.t, cop_as("nonode@nohost")))
            return cop_process_whereis(ctx, name);
        *why = cop_tuple(ctx, cop_a(nodedown), node);
        return COP_NONE;
    }
    no_clause(ctx, function);
}

static cop_called failed(cop_term reason) { return (cop_called){ false, reason }; }

cop_called gen_answer(cop_term message) {
    cop_term any, reason = COP_NONE, reply = COP_NONE;
    if (cop_match_tuple(message, &any, &any, &any, &any, &reason))
        return failed(reason);
    cop_match_tuple(message, &any, &reply);
    return (cop_called){ true, reply };
}

cop_called gen_call(cop_ctx *ctx, const char *function, cop_term server, cop_atom label,
                    cop_term request, int64_t timeout_ms) {
    int64_t timeout = timeout_ms == COP_ZERO ? 0 : timeout_ms;
    if (timeout < 0)
        no_clause(ctx, function);
    if (timeout > INT64_C(4294967295) && timeout != COP_INFINITY)
        cop_error(ctx, cop_a(timeout_value));
    cop_term why, pid = gen_resolve(ctx, server, function, &why);
    if (cop_is_none(pid))
        return failed(why);
    if (cop_match(pid, cop_self(ctx)))
        return failed(cop_a(calling_self).t);
    /* Without a time-out the reply comes to the pid, tagged by the bare reference, as Erlang does it. */
    cop_ref ref = cop_gen_request(ctx, (cop_pid){ pid }, label, request, timeout != COP_INFINITY);
    cop_term message;
    if (!cop_gen_receive(ctx, ref, timeout, &message))
        return failed(cop_a(timeout).t);
    return gen_answer(message);
}

cop_called cop__gen_server_try_call(cop_ctx *ctx, cop_term server, cop_term request,
                                    int64_t timeout_ms) {
    return gen_call(ctx, "call/3", server, cop_as("$gen_call"), request,
                    timeout_ms == 0 ? 5000 : timeout_ms);
}

cop_term timeout_shown(cop_ctx *ctx, int64_t timeout_ms) {
    if (timeout_ms == COP_INFINITY)
        return cop_a(infinity).t;
    return cop_of(ctx, timeout_ms == COP_ZERO ? 0 : timeout_ms);
}

static _Noreturn void exit_call(cop_ctx *ctx, cop_term reason, const char *function, cop_term a,
                                cop_term b, int64_t timeout) {
    cop_term mfa = cop_tuple(ctx, cop_as("Elixir.GenServer"), cop_atom_new(function),
                             cop_list(ctx, a, b, timeout_shown(ctx, timeout)));
    cop_exit(ctx, cop_tuple(ctx, reason, mfa));
}

cop_term cop__gen_server_call(cop_ctx *ctx, cop_term server, cop_term request, int64_t timeout_ms) {
    cop_called called = cop__gen_server_try_call(ctx, server, request, timeout_ms);
    if (!called.ok)
        exit_call(ctx, called.value, "call", server, request, timeout_of(timeout_ms));
    return called.value;
}

void cop__gen_server_cast(cop_ctx *ctx, cop_term server, cop_term request) {
    volatile cop_term to = COP_NONE;
    cop_term why;
    if (!via_is(server, NULL)) {
        to.w = gen_resolve(ctx, server, "cast/2", &why).w;
    } else { /* whatever is wrong with the name */
        COP_TRY(ctx) { to.w = via_whereis(ctx, server).w; }
        COP_CATCH(caught) { to.w = 0; }
    }
    if (to.w != 0)
        cop_send(ctx, (cop_term){ to.w }, cop_tuple(ctx, cop_as("$gen_cast"), request));
}

void cop__gen_server_reply(cop_ctx *ctx, cop_term from, cop_term reply) {
    if (cop_tuple_size(from) != 2 || !cop_is_pid(cop_elem(from, 0)))
        no_clause(ctx, "reply/2");
    cop_gen_reply(ctx, from, reply);
}

void cop__gen_server_stop(cop_ctx *ctx, cop_term server, cop_term reason, int64_t timeout_ms) {
    int64_t timeout = timeout_ms == 0 ? COP_INFINITY : timeout_ms;
    cop_term why, pid = gen_resolve(ctx, server, "stop/3", &why);
    cop_pid target;
    if (cop_is_none(pid))
        exit_call(ctx, why, "stop", server, reason, timeout);
    if (cop_match(pid, cop_self(ctx)) || !cop_get_pid(pid, &target))
        exit_call(ctx, cop_a(calling_self).t, "stop", server, reason, timeout);
    cop_term result = cop_proc_lib_try_stop(ctx, target, reason, timeout_ms);
    if (!cop_match(result, cop_a(ok)))
        exit_call(ctx, result, "stop", server, reason, timeout);
}

cop_term cop_gen_server_whereis(cop_ctx *ctx, cop_term server) {
    cop_term why, pid = gen_resolve(ctx, server, "whereis/1", &why);
    return cop_is_none(pid) && cop_is_tuple(why) ? server : pid; /* another node is not asked */
}
