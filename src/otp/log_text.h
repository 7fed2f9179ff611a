/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_LOG_TEXT_H
#define COP__OTP_LOG_TEXT_H

#include <coppice/process.h>

/* A text that grows, in memory of the process's; zeroed is empty. */
struct log_text {
    char *text;
    size_t size, cap;
    bool details; /* also what Elixir shows only at level debug */
};

void log_put(cop_ctx *ctx, struct log_text *l, const char *text);
/* {:string, text}, {:format, format, args} or {:report, map}. */
void log_put_event(cop_ctx *ctx, struct log_text *l, cop_term event);

#endif
