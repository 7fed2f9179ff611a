/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage: what other processes do to a stage. Each function is one request or message of GenStage's
 * protocol; nothing here runs in the stage.
 */
#include <coppice/gen.h>

#include "gen_stage.h"

void cop__gen_stage_stop(cop_ctx *ctx, cop_term stage, cop_term reason, int64_t timeout_ms) {
    cop_term pid = cop_gen_server_whereis(ctx, stage);
    if (cop_is_none(pid))
        cop_exit(ctx, cop_a(noproc));
    cop_proc_lib_stop(ctx, pid, reason, timeout_ms);
}

void cop__gen_stage_reply(cop_ctx *ctx, cop_term from, cop_term reply) {
    cop_term pid, tag;
    if (!cop_match_tuple(from, &pid, &tag) || !cop_is_pid(pid))
        cop_raise(ctx, "FunctionClauseError", "no function clause matching in GenStage.reply/2");
    cop_send(ctx, pid, cop_tuple(ctx, tag, reply));
}

/* ---- subscribing ------------------------------------------------------------------------------------------ */

static cop_term subscribe_request(cop_ctx *ctx, cop_term current, cop_term to,
                                  const cop_subscribe_opts *opts, const char *kind) {
    if (cop_is_none(to))
        cop_raise(ctx, "ArgumentError", "expected :to argument in %s_(re)subscribe", kind);
    return cop_tuple(ctx, cop_as("$subscribe"), current, to, stage_subscription_terms(ctx, opts));
}

cop_term cop__gen_stage_sync_subscribe(cop_ctx *ctx, cop_term consumer, cop_term to,
                                       const cop_subscribe_opts *opts, int64_t timeout_ms) {
    cop_term request = subscribe_request(ctx, cop_a(nil).t, to, opts, "sync");
    return cop_gen_server_call(ctx, consumer, request, timeout_ms);
}

void cop__gen_stage_async_subscribe(cop_ctx *ctx, cop_term consumer, cop_term to,
                                    const cop_subscribe_opts *opts) {
    cop_gen_server_cast(ctx, consumer, subscribe_request(ctx, cop_a(nil).t, to, opts, "async"));
}

cop_term cop__gen_stage_sync_resubscribe(cop_ctx *ctx, cop_term consumer, cop_resubscribe old,
                                         cop_term to, const cop_subscribe_opts *opts,
                                         int64_t timeout_ms) {
    cop_term current = cop_tuple(ctx, old.tag, old.reason);
    cop_term request = subscribe_request(ctx, current, to, opts, "sync");
    return cop_gen_server_call(ctx, consumer, request, timeout_ms);
}

void cop__gen_stage_async_resubscribe(cop_ctx *ctx, cop_term consumer, cop_resubscribe old,
                                      cop_term to, const cop_subscribe_opts *opts) {
    cop_term current = cop_tuple(ctx, old.tag, old.reason);
    cop_gen_server_cast(ctx, consumer, subscribe_request(ctx, current, to, opts, "async"));
}

/* ---- to a producer ------------------------------------------------------------------------------------------ */

static cop_term send_to_producer(cop_ctx *ctx, cop_term from, cop_term what, int flags,
                                 const char *function) {
    cop_term to, tag;
    if (!cop_match_tuple(from, &to, &tag))
        cop_raise(ctx, "FunctionClauseError", "no function clause matching in GenStage.%s/3",
                  function);
    cop_term self = cop_tuple(ctx, cop_self(ctx), tag);
    return cop_process_send(ctx, to, cop_tuple(ctx, cop_as("$gen_producer"), self, what), flags);
}

cop_term cop__gen_stage_ask(cop_ctx *ctx, cop_term from, int64_t n, int flags) {
    if (n < 0 || n > STAGE_MAX_DEMAND)
        cop_raise(ctx, "FunctionClauseError", "no function clause matching in GenStage.ask/3");
    if (n == 0)
        return cop_a(ok).t;
    return send_to_producer(ctx, from, cop_tuple(ctx, cop_a(ask), n), flags, "ask");
}

cop_term cop__gen_stage_cancel(cop_ctx *ctx, cop_term from, cop_term reason, int flags) {
    return send_to_producer(ctx, from, cop_tuple(ctx, cop_a(cancel), reason), flags, "cancel");
}

cop_atom cop__gen_stage_demand(cop_ctx *ctx, cop_term stage) {
    return (cop_atom){ cop_gen_server_call(ctx, stage, cop_as("$demand"), 0) };
}

void cop__gen_stage_set_demand(cop_ctx *ctx, cop_term stage, cop_stage_demand mode) {
    if (mode != COP_DEMAND_FORWARD && mode != COP_DEMAND_ACCUMULATE)
        cop_raise(ctx, "FunctionClauseError", "no function clause matching in GenStage.demand/2");
    cop_atom shown = mode == COP_DEMAND_FORWARD ? cop_a(forward) : cop_a(accumulate);
    cop_gen_server_cast(ctx, stage, cop_tuple(ctx, cop_as("$demand"), shown));
}

void cop__gen_stage_sync_info(cop_ctx *ctx, cop_term stage, cop_term message, int64_t timeout_ms) {
    cop_gen_server_call(ctx, stage, cop_tuple(ctx, cop_as("$info"), message), timeout_ms);
}

void cop__gen_stage_async_info(cop_ctx *ctx, cop_term stage, cop_term message) {
    cop_gen_server_cast(ctx, stage, cop_tuple(ctx, cop_as("$info"), message));
}

int64_t cop__gen_stage_estimate_buffered_count(cop_ctx *ctx, cop_term stage, int64_t timeout_ms) {
    int64_t count = 0;
    cop_get_i64(cop_gen_server_call(ctx, stage, cop_as("$estimate_buffered_count"), timeout_ms),
                &count);
    return count;
}

/* ---- beyond Elixir --------------------------------------------------------------------------------------------- */

enum { DRAIN_GRACE_MS = 1000 };

cop_drained cop__gen_stage_drain(cop_ctx *ctx, cop_term stage, int64_t timeout_ms) {
    int64_t ms = timeout_ms == 0 ? 5000 : timeout_ms == COP_ZERO ? 0 : timeout_ms;
    bool endless = timeout_ms == COP_INFINITY;
    cop_term request = cop_tuple(ctx, cop_as("$drain"), endless ? -1 : ms);
    cop_term answer =
        cop_gen_server_call(ctx, stage, request, endless ? COP_INFINITY : ms + DRAIN_GRACE_MS);
    cop_drained drained = { 0 };
    if (!cop_match_tuple(answer, cop_a(drained), &drained.undelivered, &drained.unhandled))
        cop_error(ctx, cop_tuple(ctx, cop_a(badmatch), answer));
    drained.all = cop_is_nil(drained.undelivered) && cop_is_nil(drained.unhandled);
    return drained;
}

cop_term cop__gen_stage_counters(cop_ctx *ctx, cop_term stage, int64_t timeout_ms) {
    return cop_gen_server_call(ctx, stage, cop_as("$counters"), timeout_ms);
}
