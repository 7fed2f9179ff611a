/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_LOG_FORMAT_H
#define COP__OTP_LOG_FORMAT_H

#include "log_text.h"
#include <coppice/logger.h>

/* All of its $words are known; NULL is good. */
bool log_pattern_is_good(const char *pattern);
/* The whole text of an event, behind what `out` holds. */
void log_put_formatted(cop_ctx *ctx, struct log_text *out, const cop_log_event *event,
                       const cop_logger_formatter *formatter, bool details);

/* ---- pieces ---- */

/* The event's message alone, cut and cleaned. */
void log_put_message(cop_ctx *ctx, struct log_text *out, const cop_log_event *event,
                     size_t truncate, bool details);
int64_t log_time_us(const cop_log_event *event);
/* Is the key among the words of the list? NULL list: none; "all": all but what is for machines. */
bool log_key_is_shown(const char *list, cop_atom key);
/* Calls `put` for each pair that is shown: in the list's order, with "all" in the map's. */
typedef void (*log_put_pair)(cop_ctx *ctx, struct log_text *out, cop_term key, cop_term value,
                             size_t truncate);
void log_each_pair(cop_ctx *ctx, struct log_text *out, const char *list, cop_term metadata,
                   size_t truncate, log_put_pair put);
/* A value as Elixir's formatter shows it; false: it is not shown. */
bool log_put_value(cop_ctx *ctx, struct log_text *out, cop_term key, cop_term value);

/* ---- log_json.c ---- */

void log_put_json(cop_ctx *ctx, struct log_text *out, const cop_log_event *event,
                  const cop_logger_formatter *formatter, bool details);

#endif
