/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes into a report is bounded: a term that has more words than it may is shown as the beginning of
 * its text. So a process with a large state, or a long queue, does not fill the logger's mailbox while it
 * dies.
 *
 * Threads: the processes' own.
 */
#include <coppice/process.h>
#include <string.h>

#include "sys.h"

enum { CUT_TEXT = 2048 };

/* Takes the words of a term off *left; false when it has more. */
static bool fits(cop_term t, int64_t *left, int depth) {
    cop_term key, value;
    cop_bytes bytes;
    if (cop_is_immediate(t))
        return true;
    if (depth > 200 || --*left < 0)
        return false;
    if (cop_get_bytes(t, &bytes))
        return (*left -= (int64_t)(bytes.size / sizeof(cop_term))) >= 0;
    for (; cop_get_cons(t, &key, &t); *left -= 2)
        if (*left < 2 || !fits(key, left, depth + 1))
            return false;
    for (int64_t i = 0, n = cop_tuple_size(t); i < n; i++)
        if (--*left < 0 || !fits(cop_elem(t, (size_t)i), left, depth + 1))
            return false;
    if (cop_is_map(t))
        for (cop_map_iter it = cop_map_first(t); cop_map_next(&it, &key, &value); *left -= 2)
            if (*left < 2 || !fits(key, left, depth + 1) || !fits(value, left, depth + 1))
                return false;
    return true;
}

cop_term sys_bounded(cop_ctx *ctx, cop_term t, size_t max_words) {
    int64_t left = (int64_t)max_words;
    if (fits(t, &left, 0))
        return t;
    char text[CUT_TEXT];
    cop_inspect_to(text, sizeof text - 4, t, NULL);
    strcat(text, "...");
    size_t size = strlen(text);
    while (size > 3 && ((unsigned char)text[size - 4] & 0xc0) == 0x80) /* no half character */
        memmove(&text[size - 4], "...", 4), size--;
    return cop_of(ctx, text);
}

cop_term sys_bounded_fields(cop_ctx *ctx, cop_term list) {
    cop_term pair, fresh = COP_NIL;
    for (; cop_get_cons(list, &pair, &list); fresh = cop_cons(ctx, pair, fresh))
        if (cop_tuple_size(pair) == 2) {
            cop_term value = cop_elem(pair, 1), cut = sys_bounded(ctx, value, SYS_REPORT_WORDS);
            if (value.w != cut.w)
                pair = cop_tuple(ctx, cop_elem(pair, 0), cut);
        }
    return cop_list_reverse(ctx, fresh);
}
