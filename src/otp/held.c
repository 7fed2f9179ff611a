/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terms in plain memory. Most pids and tags are of this node, and so in their word; one of another node, or
 * a tag that is a larger term, is a copy that no collector sees, owned by the process.
 *
 * Threads: the process that holds it.
 */
#include "held.h"

static void forget(void *saved) { cop_saved_forget(saved); }

struct held held_new(cop_ctx *ctx, cop_term t) {
    if (cop_is_immediate(t))
        return (struct held){ t, NULL };
    return (struct held){ COP_NONE, cop_own(ctx, cop_term_save(t), forget) };
}

void held_forget(cop_ctx *ctx, struct held *held) {
    if (held->saved != NULL && cop_disown(ctx, held->saved))
        cop_saved_forget(held->saved);
    *held = (struct held){ 0 };
}

cop_term held_term(cop_ctx *ctx, const struct held *held) {
    return held->saved == NULL ? held->word : cop_saved_load(ctx, held->saved);
}

bool held_is_saved(const struct held *held, cop_term t) { return cop_saved_is(held->saved, t); }
