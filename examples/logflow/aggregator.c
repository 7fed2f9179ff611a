/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An aggregator: counts what belongs to its part of the paths, and tells the collector how many it has counted.
 * A line that the ledger knows as counted already is passed over.
 */
#include <stdio.h>
#include <stdlib.h>

#include "flow.h"

struct aggregator {
    const struct flow *flow;
    struct totals *totals; /* owned by the process */
};

cop_atom aggregator_name(int index) {
    char name[40];
    snprintf(name, sizeof name, "logflow_aggregator_%d", index);
    return cop_atom_new(name);
}

static void release(void *object) {
    totals_free(object);
    free(object);
}

static struct totals *fresh(cop_ctx *ctx) {
    struct totals *t = calloc(1, sizeof *t);
    if (t == NULL)
        cop_exit(ctx, cop_a(system_limit));
    return cop_own(ctx, t, release);
}

static cop_stage_init aggregator_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct aggregator *a = state;
    a->flow = flow_of(arg);
    a->totals = fresh(ctx);
    return cop_stage_consumer();
}

/* True if the line counts as a server error. */
static bool count_path(cop_ctx *ctx, struct aggregator *a, cop_term event) {
    int64_t status = 0, bytes = 0;
    cop_bytes path = { 0 };
    cop_get_i64(cop_elem(event, 3), &status);
    cop_get_i64(cop_elem(event, 4), &bytes);
    cop_get_bytes(cop_elem(event, 5), &path);
    if (!totals_add(a->totals, path.data, path.size, (int)status, bytes))
        cop_exit(ctx, cop_a(system_limit));
    return status >= 500;
}

static void count(cop_ctx *ctx, struct aggregator *a, cop_term event, int64_t *lines,
                  int64_t *errors) {
    int64_t line = -1, status = 0;
    cop_get_i64(cop_elem(event, 1), &line);
    cop_get_i64(cop_elem(event, 3), &status);
    unsigned marks = LINE_COUNTED | (status >= 500 ? LINE_SERVER_ERROR : 0u);
    if (!ledger_mark(a->flow->ledger, line, marks))
        return;
    ++*lines;
    if (cop_match(cop_elem(event, 2), cop_a(ok))) {
        *errors += count_path(ctx, a, event);
        return;
    }
    a->totals->lines++;
    if (cop_match(cop_elem(event, 2), cop_a(lost)))
        a->totals->lost++;
    else
        a->totals->malformed++;
}

static cop_stage_next aggregator_events(cop_ctx *ctx, void *state, cop_events events,
                                        cop_from from) {
    struct aggregator *a = state;
    int64_t lines = 0, errors = 0;
    for (size_t i = 0; i < events.count; i++)
        count(ctx, a, events.at[i], &lines, &errors);
    if (lines > 0)
        cop_send(ctx, a->flow->collector, cop_tuple(ctx, cop_a(counted), lines, errors));
    return cop_stage_noreply();
}

/* :totals gives them away, and begins anew. */
static cop_stage_next aggregator_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct aggregator *a = state;
    struct totals *given = a->totals;
    if (!cop_match(request, cop_a(totals)))
        return cop_stage_reply(ctx, cop_a(error), cop_no_events());
    cop_disown(ctx, given);
    a->totals = fresh(ctx);
    return cop_stage_reply(ctx, (uint64_t)(uintptr_t)given, cop_no_events());
}

static const cop_gen_stage aggregator = {
    .name = "LogFlow.Aggregator",
    .state_size = sizeof(struct aggregator),
    .init = aggregator_init,
    .handle_events = aggregator_events,
    .handle_call = aggregator_call,
};

cop_started aggregator_start_link(cop_ctx *ctx, cop_term arg) {
    int64_t index = 0;
    cop_get_i64(cop_elem(arg, 1), &index);
    return cop_gen_stage_start_link(ctx, &aggregator, cop_elem(arg, 0),
                                    &(cop_start_opts){ .name = aggregator_name((int)index) });
}

struct totals *aggregator_totals(cop_ctx *ctx, int index) {
    uint64_t address = 0;
    cop_get_u64(cop_gen_stage_call(ctx, aggregator_name(index), cop_a(totals), COP_INFINITY),
                &address);
    return (struct totals *)(uintptr_t)address;
}
