/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOGFLOW_COLLECT_H
#define LOGFLOW_COLLECT_H

#include "flow.h"

/* How far it is. */
struct progress {
    int64_t counted, errors, handled, crashes;
    int64_t end; /* how many lines there are; -1: not known yet */
    int64_t began_ns, shown_ns;
};

/*
 * The collector: waits until every line of the file was counted, as good, malformed or lost, and every server
 * error handled. The caller is the flow's collector and has started the tree. `show` (NULL: nothing) is called
 * about every SHOW_MS. Exits with what is wrong with the file.
 */
enum { SHOW_MS = 250 };
void collect(cop_ctx *ctx, struct progress *p, void (*show)(cop_ctx *ctx, struct progress *p));
/* What all aggregators have counted, added up; the caller's process owns it. */
struct totals *collect_totals(cop_ctx *ctx, const struct flow *flow);

#endif
