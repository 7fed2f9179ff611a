/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The branch for server errors: a ConsumerSupervisor, which starts a process for each line with a 5xx answer. What
 * that process does is small here (it tells the collector); in earnest it would ask a service, page somebody,
 * and might fail without harm to the others. Never more of them run than were asked for.
 */
#include "flow.h"

/* given: [flow, {partition, line, kind, status, bytes, path}] */
static cop_term handle(cop_ctx *ctx, cop_term given) {
    const struct flow *flow = flow_of(cop_head(given));
    cop_term event = cop_head(cop_tail(given)), status = cop_elem(event, 3);
    int64_t line = -1;
    cop_get_i64(cop_elem(event, 1), &line);
    if (ledger_mark(flow->ledger, line, LINE_HANDLED))
        cop_send(ctx, flow->collector, cop_tuple(ctx, cop_a(handled), status));
    return cop_a(ok).t;
}

static cop_started alert_start_link(cop_ctx *ctx, cop_term given) {
    return cop_started_ok(cop_task_start_link(ctx, handle, given));
}

cop_started alerts_start_link(cop_ctx *ctx, cop_term arg) {
    cop_child_spec alert = { .id = "alert",
                             .start = alert_start_link,
                             .arg = arg,
                             .module = "LogFlow.Alert",
                             .restart = COP_TRANSIENT };
    return cop_consumer_supervisor_start_link(ctx, &alert,
                                              &(cop_consumer_supervisor_opts){ .name = ALERTS });
}
