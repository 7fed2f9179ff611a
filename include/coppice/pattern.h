/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_PATTERN_H
#define COPPICE_PATTERN_H

#include <coppice/term.h>

/*
 * Matches a term against a pattern given as text: Elixir's notation (see cop_parse), in which `_`
 * and names that begin with it stand for any term. Meant for tests and tools, where the text is
 * read by people; a program matches with coppice/match.h, which parses nothing and is checked by
 * the compiler.
 *
 * Elixir:  match?/2, without variables
 * Pattern: values compare with ===; tuples and lists element by element, [a | _] leaves the rest of
 *          a list open; a map needs the keys of the pattern and may have others, %{} is any map,
 *          %Name{...} also needs its __struct__. In the keys of maps there can be no `_`.
 * Returns: whether it matches; false with error->expected set (error may be NULL) when the text is
 *          no pattern, and with error->expected NULL when the term is just different
 * Context: anywhere with a heap; what it builds there is gone when it returns
 */
bool cop_matches(cop_ctx *ctx, cop_term term, const char *pattern, cop_parse_error *error);

#endif
