/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of the EXPECT macros: cop_matches on a heap that is gone afterwards, so a pattern may be
 * matched where no process may allocate: in the middle of a selective receive.
 *
 * Threads: any.
 */
#include <coppice/pattern.h>

#include "kit.h"
#include "term/heap.h"

bool kit_matches(const char *file, int line, cop_term t, const char *pattern) {
    struct cop__heap heap;
    cop_parse_error error;
    cop__heap_init(&heap);
    bool matched = cop_matches((cop_ctx *)(void *)&heap, t, pattern, &error);
    cop__heap_reset(&heap);
    if (!matched && error.expected != NULL)
        test_fail_at(file, line, "this is no pattern: %s\nexpected at byte %zu: %s", pattern,
                     error.offset, error.expected);
    return matched;
}
