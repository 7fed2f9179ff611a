/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector. It hears of each batch that was counted and of each alert that was handled, and of the end of
 * the file; when the numbers are equal nothing is under way any more, so the totals are whole.
 */
#include "collect.h"

#include <stdlib.h>

static void take(cop_ctx *ctx, struct progress *p, cop_term message) {
    int64_t lines, errors;
    cop_term what, reason;
    if (cop_match_tuple(message, cop_a(counted), &lines, &errors)) {
        p->counted += lines;
        p->errors += errors;
    } else if (cop_match_tuple(message, cop_a(handled), &what)) {
        p->handled++;
    } else if (cop_match_tuple(message, cop_a(crashed), &what, &reason)) {
        p->crashes++;
    } else if (cop_match_tuple(message, cop_a(end), &lines)) {
        p->end = lines;
    } else if (cop_match_tuple(message, cop_a(failed), &reason)
               || cop_match_tuple(message, cop_a(EXIT), &what, &reason)) {
        cop_exit(ctx, reason); /* of the file; of the tree, if exits are trapped */
    }
}

static bool is_done(const struct progress *p) {
    return p->counted == p->end && p->handled == p->errors;
}

void collect(cop_ctx *ctx, struct progress *p, void (*show)(cop_ctx *ctx, struct progress *p)) {
    *p = (struct progress){ .end = -1, .began_ns = cop_monotonic_ns(ctx) };
    p->shown_ns = p->began_ns;
    while (!is_done(p)) {
        COP_SCOPE(ctx) {
            cop_term message;
            if (cop_receive(ctx, SHOW_MS, &message))
                take(ctx, p, message);
            int64_t now_ns = cop_monotonic_ns(ctx);
            if (show != NULL && now_ns - p->shown_ns >= SHOW_MS * INT64_C(1000000)) {
                p->shown_ns = now_ns;
                show(ctx, p);
            }
        }
    }
}

static void release(void *object) {
    totals_free(object);
    free(object);
}

struct totals *collect_totals(cop_ctx *ctx, const struct flow *flow) {
    struct totals *all = calloc(1, sizeof *all);
    if (all == NULL)
        cop_exit(ctx, cop_a(system_limit));
    cop_own(ctx, all, release);
    for (int i = 0; i < flow->aggregators; i++) {
        struct totals *part = cop_own(ctx, aggregator_totals(ctx, i), release);
        if (!totals_merge(all, part))
            cop_exit(ctx, cop_a(system_limit));
        cop_disown(ctx, part);
        release(part);
    }
    return all;
}
