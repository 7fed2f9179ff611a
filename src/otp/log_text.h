/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_LOG_TEXT_H
#define COP__OTP_LOG_TEXT_H

#include <coppice/process.h>

/* A text that grows, in memory of the process's; zeroed is empty. */
struct log_text {
    char *text;
    size_t size, cap;
    size_t limit; /* of size: what is beyond is cut off; 0 = none */
    bool was_cut;
    bool details; /* also what Elixir shows only at level debug */
};

/* ---- log_text.c ---- */

void log_put(cop_ctx *ctx, struct log_text *l, const char *text);
void log_put_bytes(cop_ctx *ctx, struct log_text *l, const void *bytes, size_t size);
/* As inspect shows it, with its default limits. */
void log_put_term(cop_ctx *ctx, struct log_text *l, cop_term term);
void log_put_integer(cop_ctx *ctx, struct log_text *l, int64_t n);
/* Chardata: binaries and code points in nested lists; what is none is inspected. */
void log_put_chardata(cop_ctx *ctx, struct log_text *l, cop_term chardata);
/* Module.function. */
void log_put_function(cop_ctx *ctx, struct log_text *l, cop_atom module, cop_atom function);
/* Module.function/arity, or with a list, Module.function(arguments). */
void log_put_call(cop_ctx *ctx, struct log_text *l, cop_atom module, cop_atom function,
                  cop_term arity);
/* The length of the UTF-8 character at `at`, or 0 where there is none. */
size_t log_character(const unsigned char *at, const unsigned char *end);
/* From `from` on, every byte that is not part of UTF-8 becomes U+FFFD. */
void log_clean(cop_ctx *ctx, struct log_text *l, size_t from);

/* ---- log_report.c ---- */

/* {:string, text}, {:format, format, args} or {:report, report}. */
void log_put_event(cop_ctx *ctx, struct log_text *l, cop_term event);
/* A list of stack frames, or []. */
bool log_is_trace(cop_term t);

#endif
