/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parser: takes lines, gives what is in them, and does not survive all of them. A line that contains
 * "\x00CRASH" makes it dereference NULL, which stands for any bug in a parser written in C; its supervisor
 * starts it again, and it joins the pipeline by itself: it subscribes to the source, and has the
 * aggregators and the alerts subscribe to it.
 *
 * Its events carry the partition they belong to. A line whose answer is a server error makes two events, one to be
 * counted and one to be handled.
 */
#include <string.h>

#include "flow.h"

struct parser {
    const struct flow *flow;
    unsigned desk;
};

/* The partition stands in the event. */
static cop_term partition_of(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    return cop_tuple(ctx, argv[0], cop_elem(argv[0], 0));
}

static cop_term partitions(cop_ctx *ctx, const struct flow *flow) {
    cop_term names = cop_list(ctx, cop_a(alerts));
    for (int i = flow->aggregators - 1; i >= 0; i--)
        names = cop_cons(ctx, i, names);
    return cop_list(ctx, cop_tuple(ctx, cop_a(partitions), names),
                    cop_tuple(ctx, cop_a(hash), cop_fun(ctx, partition_of, 1, COP_NIL)));
}

/* Makes a consumer subscribe to this parser; when the parser ends, the consumer stays. */
static void be_consumed(cop_ctx *ctx, cop_atom consumer, cop_term partition, int64_t max_demand) {
    cop_subscribe_opts opts = {
        .max_demand = max_demand,
        .cancel = COP_CANCEL_TEMPORARY,
        .terms = cop_list(ctx, cop_tuple(ctx, cop_a(partition), partition)),
    };
    cop_gen_stage_async_subscribe(ctx, consumer, cop_self(ctx), &opts);
}

static cop_stage_init parser_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct parser *p = state;
    p->flow = flow_of(arg);
    p->desk = ledger_take_desk(p->flow->ledger);
    for (int i = 0; i < p->flow->aggregators; i++)
        be_consumed(ctx, aggregator_name(i), cop_of(ctx, i), 1000);
    be_consumed(ctx, ALERTS, cop_a(alerts).t, 50);
    cop_subscribe_opts from_source = {
        .max_demand = 1000,
        .terms = cop_list(ctx, cop_tuple(ctx, cop_a(desk), p->desk)),
    };
    return cop_stage_producer_consumer(.dispatcher = &cop_partition_dispatcher,
                                       .dispatcher_opts = partitions(ctx, p->flow),
                                       .subscribe_to = cop_list(
                                           ctx, cop_subscription(ctx, SOURCE, &from_source)));
}

/* ---- one line ---------------------------------------------------------------------------------------------- */

/* A function of its own, so that reports name it. */
static __attribute__((noinline)) void crash_if_told(cop_bytes text) {
    const uint8_t *zero = memchr(text.data, 0, text.size);
    if (zero == NULL || text.data + text.size - zero < 6 || memcmp(zero + 1, "CRASH", 5) != 0)
        return;
    struct log_line *volatile missing = NULL;
    *(volatile int *)&missing->status = 1;
}

static int partition_of_path(const struct flow *flow, struct log_part path) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < path.size; i++)
        h = (h ^ path.at[i]) * 16777619u;
    return (int)((h ^ h >> 16) % (uint32_t)flow->aggregators);
}

static cop_term without_path(cop_ctx *ctx, const struct flow *flow, int64_t line, cop_atom kind) {
    return cop_tuple(ctx, (int)(line % flow->aggregators), line, kind, 0, 0, COP_NIL);
}

/* The events of a line, one or two; how many. */
static size_t parse_one(cop_ctx *ctx, struct parser *p, int64_t line, cop_bytes text,
                        cop_term *out) {
    struct log_line parsed;
    if ((ledger_marks(p->flow->ledger, line) & LINE_POISON) != 0) {
        out[0] = without_path(ctx, p->flow, line, cop_a(lost)); /* also when it is not on its way */
        return 1;
    }
    ledger_work_on(p->flow->ledger, p->desk, line);
    crash_if_told(text);
    if (!log_parse(text.data, text.size, &parsed)) {
        out[0] = without_path(ctx, p->flow, line, cop_a(malformed));
        return 1;
    }
    cop_term path = cop_binary(ctx, parsed.path.at, parsed.path.size);
    out[0] = cop_tuple(ctx, partition_of_path(p->flow, parsed.path), line, cop_a(ok), parsed.status,
                       parsed.bytes, path);
    if (parsed.status < 500)
        return 1;
    out[1] =
        cop_tuple(ctx, cop_a(alerts), line, cop_a(server_error), parsed.status, parsed.bytes, path);
    return 2;
}

static cop_stage_next parser_events(cop_ctx *ctx, void *state, cop_events lines, cop_from from) {
    struct parser *p = state;
    cop_events events;
    size_t n = 0;
    cop_term *at = cop_events_new(ctx, 2 * lines.count, &events);
    for (size_t i = 0; i < lines.count; i++) {
        int64_t line;
        cop_bytes text;
        if (cop_match_tuple(lines.at[i], &line, &text))
            n += parse_one(ctx, p, line, text, at + n);
    }
    ledger_work_on(p->flow->ledger, p->desk, -1);
    return cop_stage_emit(cop_events_take(events, n));
}

static const cop_gen_stage parser = {
    .name = "LogFlow.Parser",
    .state_size = sizeof(struct parser),
    .init = parser_init,
    .handle_events = parser_events,
};

cop_started parser_start_link(cop_ctx *ctx, cop_term arg) {
    return cop_gen_stage_start_link(ctx, &parser, arg, NULL);
}
