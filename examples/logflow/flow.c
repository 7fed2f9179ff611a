/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree. Parsers have a supervisor of their own, which starts them again as often as it takes. If anything
 * else ends, the counts are not whole any more, so the tree ends with it.
 *
 *     rest_for_one, no restarts
 *       aggregator 0 ... n-1
 *       alerts               a process for each server error
 *       source               the file
 *       parsers              one_for_one
 *         parser 0 ... 3
 */
#include "flow.h"

enum { CHILDREN_MAX = 64 };

static cop_started parsers_start_link(cop_ctx *ctx, cop_term arg) {
    const struct flow *flow = flow_of(arg);
    cop_child_spec children[CHILDREN_MAX];
    for (int i = 0; i < flow->parsers; i++)
        children[i] = (cop_child_spec){ .id_term = cop_of(ctx, i),
                                        .start = parser_start_link,
                                        .arg = arg,
                                        .module = "LogFlow.Parser" };
    return cop_supervisor_start_link(
        ctx, children, (size_t)flow->parsers,
        &(cop_supervisor_opts){ .max_restarts = 1000000, .max_seconds = 1 });
}

cop_started flow_start_link(cop_ctx *ctx, const struct flow *flow) {
    cop_child_spec children[CHILDREN_MAX + 3];
    cop_term arg = flow_to_term(ctx, flow);
    size_t n = 0;
    for (int i = 0; i < flow->aggregators; i++)
        children[n++] = (cop_child_spec){ .id_term = cop_of(ctx, i),
                                          .start = aggregator_start_link,
                                          .arg = cop_tuple(ctx, arg, i),
                                          .module = "LogFlow.Aggregator" };
    children[n++] = (cop_child_spec){
        .id = "alerts", .start = alerts_start_link, .arg = arg, .type = COP_SUPERVISOR
    };
    children[n++] = (cop_child_spec){ .id = "source", .start = source_start_link, .arg = arg };
    children[n++] = (cop_child_spec){
        .id = "parsers", .start = parsers_start_link, .arg = arg, .type = COP_SUPERVISOR
    };
    return cop_supervisor_start_link(
        ctx, children, n,
        &(cop_supervisor_opts){ .strategy = COP_REST_FOR_ONE, .max_restarts = COP_ZERO });
}
