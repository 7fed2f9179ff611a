/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_DISPATCH_H
#define COP__OTP_DISPATCH_H

#include <coppice/dispatcher.h>

#include "held.h"

/* What the dispatchers have in common (dispatcher.c). */

/* Takes a subscription's pair apart; raises :badarg for what is none. */
void from_parts(cop_ctx *ctx, cop_from from, cop_term *pid, cop_term *tag);

/* As cop_dispatcher_send. */
void dispatch_events(cop_ctx *ctx, cop_term pid, cop_term tag, cop_events events);

/* A keyword list's value of that key; COP_NONE if it has none. */
cop_term dispatch_option(cop_term opts, cop_atom key);
/* Raises an ArgumentError: text, with what stood in its place. */
_Noreturn void dispatch_bad(cop_ctx *ctx, const char *text, cop_term got);
/* a + b, of numbers >= 0; what is too large stays at the largest. */
static inline int64_t demand_sum(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}
/* A format and its arguments, as Erlang's error_logger gives them to the log. */
void dispatch_log(cop_ctx *ctx, cop_level level, const char *format, cop_term args);

#endif
