/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Srv: a server that does what it is told, for tests. Its state is one term, as Elixir's; what happens is
 * told to `watcher`, the process that started it. start_srv(ctx, value, opts) starts one without link.
 */
#ifndef TEST_OTP_SRV_H
#define TEST_OTP_SRV_H

#include <coppice.h>
#include <coppice/test.h>

struct one {
    cop_term value;
    cop_term watcher;
};

static inline void one_tell(cop_ctx *ctx, const struct one *self, cop_term what) {
    cop_send(ctx, self->watcher, what);
}

static inline cop_init one_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct one *self = state;
    bool trap;
    if (!cop_match_tuple(arg, &self->value, &self->watcher, &trap))
        return cop_init_stop(cop_a(badarg));
    cop_process_trap_exit(ctx, trap);
    return cop_init_ok();
}

static inline cop_next one_then(cop_ctx *ctx, struct one *self, cop_term what, cop_next next) {
    cop_term x;
    int64_t ms;
    if (cop_match_tuple(what, cop_a(timeout), &ms))
        return cop_then_timeout(next, ms == 0 ? COP_ZERO : ms);
    if (cop_match_tuple(what, cop_a(continue), &x))
        return cop_then_continue(next, x);
    if (cop_match(what, cop_a(hibernate)))
        return cop_then_hibernate(next);
    if (cop_match_tuple(what, cop_a(sleep), &ms))
        cop_process_sleep(ctx, ms);
    if (cop_match_tuple(what, cop_a(put), &x))
        self->value = x;
    if (cop_match_tuple(what, cop_a(throw), &x))
        cop_throw(ctx, x);
    if (cop_match_tuple(what, cop_a(exit), &x))
        cop_exit(ctx, x);
    if (cop_match_tuple(what, cop_a(monitor), &x))
        cop_process_monitor(ctx, x);
    if (cop_match(what, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "boom");
    if (cop_match_tuple(what, cop_a(stop), &x)) {
        self->value = cop_a(stopped).t;
        return cop_stop(x);
    }
    return next;
}

static inline cop_next one_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct one *self = state;
    if (cop_match(request, cop_a(explicit))) { /* answers, and returns without a reply */
        cop_gen_server_reply(ctx, from, cop_a(early));
        return cop_noreply();
    }
    if (cop_match(request, cop_a(from)))
        return cop_reply(ctx, from);
    if (cop_match(request, cop_a(noreply)))
        return cop_noreply();
    return one_then(ctx, self, request, cop_reply(ctx, self->value));
}

static inline cop_next one_cast(cop_ctx *ctx, void *state, cop_term request) {
    struct one *self = state;
    one_tell(ctx, self, cop_tuple(ctx, cop_a(cast), request));
    return one_then(ctx, self, request, cop_noreply());
}

static inline cop_next one_info(cop_ctx *ctx, void *state, cop_term message) {
    struct one *self = state;
    one_tell(ctx, self, cop_tuple(ctx, cop_a(info), message));
    return cop_noreply();
}

static inline cop_next one_continue(cop_ctx *ctx, void *state, cop_term with) {
    struct one *self = state;
    one_tell(ctx, self, cop_tuple(ctx, cop_a(continue), with));
    return one_then(ctx, self, with, cop_noreply());
}

static inline void one_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct one *self = state;
    one_tell(ctx, self, cop_tuple(ctx, cop_a(terminate), reason, self->value));
}

static inline cop_term one_to_term(cop_ctx *ctx, const void *state) {
    return ((const struct one *)state)->value;
}

static inline bool one_from_term(cop_ctx *ctx, void *state, cop_term term) {
    ((struct one *)state)->value = term;
    return true;
}

static inline cop_term one_code_change(cop_ctx *ctx, void *state, cop_term old_vsn,
                                       cop_term extra) {
    struct one *self = state;
    cop_term x;
    one_tell(ctx, self, cop_tuple(ctx, cop_a(code_change), old_vsn));
    if (cop_match(extra, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "cc");
    if (!cop_match_tuple(extra, cop_a(ok), &x))
        return extra;
    self->value = x;
    return cop_a(ok).t;
}

#define SRV                                                                                    \
    .name = "Srv", .state_size = sizeof(struct one), .state_terms = 2, .init = one_init,       \
    .handle_call = one_call, .handle_cast = one_cast, .handle_info = one_info,                 \
    .handle_continue = one_continue, .terminate = one_terminate, .state_to_term = one_to_term, \
    .state_from_term = one_from_term, .code_change = one_code_change

static const cop_gen_server one_srv = { SRV };

/* A server of that table with value as its state; trap: it traps exits. */
static inline cop_started try_srv(cop_ctx *ctx, const cop_gen_server *module, cop_term value,
                                  bool trap, const cop_start_opts *opts) {
    cop_term arg = cop_tuple(ctx, value, cop_self(ctx), trap);
    return cop_gen_server_start(ctx, module, arg, opts);
}

static inline cop_pid start_srv(cop_ctx *ctx, cop_term value, const cop_start_opts *opts) {
    cop_started s = try_srv(ctx, &one_srv, value, false, opts);
    EXPECT_INT(s.is, COP_STARTED);
    return s.pid;
}

static inline cop_pid link_srv(cop_ctx *ctx, cop_term value, bool trap) {
    cop_term arg = cop_tuple(ctx, value, cop_self(ctx), trap);
    cop_started s = cop_gen_server_start_link(ctx, &one_srv, arg, NULL);
    EXPECT_INT(s.is, COP_STARTED);
    return s.pid;
}

#endif
