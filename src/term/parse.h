/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__TERM_PARSE_H
#define COP__TERM_PARSE_H

#include <coppice/term.h>

/* How deep terms are read and printed. */
enum { COP__NESTING_MAX = 512 };

/* As cop_parse, but `_` and names that begin so are read too, as COP_NONE: everywhere but in the
   keys of maps. What comes out is no term, unless there was no such name. */
bool cop__parse_pattern(cop_ctx *ctx, const char *text, size_t size, cop_term *out,
                        cop_parse_error *error);

#endif
