/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__TEST_DISPATCHER_DRIVE_H
#define COP__TEST_DISPATCHER_DRIVE_H

#include <coppice.h>
#include <coppice/test.h>
#include <stdio.h>
#include <string.h>

/*
 * Drives a dispatcher's callbacks as a stage would, without a stage. The test process is every consumer:
 * consumer "a" has the tag :a, and an alias of the test process for its pid, so that each has another.
 */
struct drive {
    const cop_dispatcher *table;
    void *state;
    cop_term pids; /* tag -> pid */
};

static inline cop_term drive_read(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

static inline struct drive drive_start_term(cop_ctx *ctx, const cop_dispatcher *table,
                                            cop_term opts) {
    struct drive d = { table, cop_alloc(ctx, table->state_size), cop_map(ctx) };
    if (table->init != NULL)
        table->init(ctx, d.state, opts);
    return d;
}

static inline struct drive drive_start(cop_ctx *ctx, const cop_dispatcher *table,
                                       const char *opts) {
    return drive_start_term(ctx, table, drive_read(ctx, opts));
}

static inline cop_from drive_from(cop_ctx *ctx, struct drive *d, const char *who) {
    cop_term tag = cop_atom_new(who).t, pid;
    if (!cop_map_get(d->pids, tag, &pid)) {
        pid = cop_process_alias(ctx, false).t;
        d->pids = cop_map_put(ctx, d->pids, tag, pid);
    }
    return (cop_from){ cop_tuple(ctx, pid, tag) };
}

/* {:ok, demand} or {:error, reason}. */
static inline cop_term drive_subscribe_term(cop_ctx *ctx, struct drive *d, const char *who,
                                            cop_term opts) {
    cop_subscribed s = d->table->subscribe(ctx, d->state, opts, drive_from(ctx, d, who));
    return cop_is_none(s.error) ? cop_tuple(ctx, cop_a(ok), s.demand)
                                : cop_tuple(ctx, cop_a(error), s.error);
}

static inline cop_term drive_dispatch(cop_ctx *ctx, struct drive *d, const char *list) {
    cop_events events;
    cop_events_from_list(ctx, drive_read(ctx, list), &events);
    return cop_events_to_list(ctx, d->table->dispatch(ctx, d->state, events));
}

/* All messages that are there, those with events as {tag, events}. */
static inline cop_term drive_taken(cop_ctx *ctx) {
    cop_term taken = COP_NIL, all = test_flush(ctx), message, from, self, tag, events;
    while (cop_get_cons(all, &message, &all)) {
        if (cop_match_tuple(message, cop_as("$gen_consumer"), &from, &events)
            && cop_match_tuple(from, &self, &tag) && cop_same(self, cop_self(ctx).t))
            message = cop_tuple(ctx, tag, events);
        taken = cop_list_tail(ctx, message, taken);
    }
    return cop_list_reverse(ctx, taken);
}

/* In a test there are `ctx` and a struct drive `d`. */
#define START(table, opts) struct drive d = drive_start(ctx, &(table), (opts))
#define SUBSCRIBE(who, opts) \
    EXPECT_TERM(ctx, drive_subscribe_term(ctx, &d, who, drive_read(ctx, opts)), "{:ok, 0}")
#define ASK(who, n, demand) \
    EXPECT_INT(d.table->ask(ctx, d.state, (n), drive_from(ctx, &d, who)), (demand))
#define CANCEL(who, demand) \
    EXPECT_INT(d.table->cancel(ctx, d.state, drive_from(ctx, &d, who)), (demand))
#define DISPATCH(events, left) EXPECT_TERM(ctx, drive_dispatch(ctx, &d, events), left)
#define INFO(message) cop_dispatcher_info(ctx, d.table, d.state, drive_read(ctx, message))
#define TAKEN(all) EXPECT_TERM(ctx, drive_taken(ctx), all)
#define STATE(pattern) EXPECT_TERM(ctx, d.table->state_to_term(ctx, d.state), pattern)

#endif
