/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOGFLOW_FLOW_H
#define LOGFLOW_FLOW_H

#include <coppice.h>

#include "ledger.h"
#include "totals.h"

/*
 * The pipeline, and what its stages say to each other.
 *
 *     source --lines--> parser 1..4 --by path--> aggregator 0..n-1 --\
 *       (file)            (may crash) \                                +--> collector: the report
 *                                      \--5xx--> alerts: a process each --/
 *
 * Events of the source:   {line, text}
 * Events of a parser:     {partition, line, kind, status, bytes, path}; kind is :ok, :malformed, :lost or, in
 *                         partition :alerts, :server_error
 * To the collector:       {:counted, lines, server_errors}, {:handled, status}, {:crashed, line, reason},
 *                         {:end, lines}, {:failed, reason}
 *
 * Every line is counted once: the source sends a line again that was on its way when a parser crashed,
 * and the ledger lets only the first copy through. A line that ends a second parser is not parsed any
 * more, and is reported lost.
 */
struct flow {
    const char *path;
    int parsers, aggregators;
    struct ledger *ledger;
    cop_pid collector;
};

/* A struct flow as a term: the flow outlives all processes of its tree. */
static inline cop_term flow_to_term(cop_ctx *ctx, const struct flow *flow) {
    return cop_of(ctx, (uint64_t)(uintptr_t)flow);
}
static inline const struct flow *flow_of(cop_term t) {
    uint64_t address = 0;
    cop_get_u64(t, &address);
    return (const struct flow *)(uintptr_t)address;
}

#define SOURCE cop_a(logflow_source)
#define ALERTS cop_a(logflow_alerts)
cop_atom aggregator_name(int index);

/* What starts each; arg is the flow, for an aggregator {flow, index}. */
cop_started source_start_link(cop_ctx *ctx, cop_term arg);
cop_started parser_start_link(cop_ctx *ctx, cop_term arg);
cop_started aggregator_start_link(cop_ctx *ctx, cop_term arg);
cop_started alerts_start_link(cop_ctx *ctx, cop_term arg);
/* The whole tree. */
cop_started flow_start_link(cop_ctx *ctx, const struct flow *flow);

/* An aggregator's totals, which are the caller's from then on: malloc'ed, ended by totals_free and free. */
struct totals *aggregator_totals(cop_ctx *ctx, int index);

#endif
