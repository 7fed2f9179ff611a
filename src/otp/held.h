/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_HELD_H
#define COP__OTP_HELD_H

#include <coppice/process.h>

/*
 * A term in plain memory, where no collector sees it: an immediate in its word, as local pids and
 * references are, anything else as a saved term that goes with the process.
 */
struct held {
    cop_term word;
    cop_saved *saved;
};
struct held held_new(cop_ctx *ctx, cop_term t);
void held_forget(cop_ctx *ctx, struct held *held);
cop_term held_term(cop_ctx *ctx, const struct held *held);
bool held_is_saved(const struct held *held, cop_term t);
/* Is it this term (===)? */
static inline bool held_is(const struct held *held, cop_term t) {
    return held->saved == NULL ? held->word.w == t.w : held_is_saved(held, t);
}

#endif
