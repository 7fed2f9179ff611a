/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of KEYS and SCAN, as redis-server's stringmatchlen reads them.
 *
 * A star is tried with as little as possible, and with more when what follows does not fit. Only
 * the last star has to be tried again: so there is no recursion, and no pattern takes exponential
 * time.
 */
#include "glob.h"

/* A [class] whose bracket stands at *at; leaves *at on its last byte. */
static bool class_has(cop_bytes pattern, size_t *at, uint8_t byte) {
    size_t i = *at + 1;
    bool negated = i < pattern.size && pattern.data[i] == '^', has = false;
    for (i += negated; i < pattern.size && pattern.data[i] != ']'; i++) {
        if (pattern.data[i] == '\\' && i + 1 < pattern.size) {
            has |= pattern.data[++i] == byte;
        } else if (i + 2 < pattern.size && pattern.data[i + 1] == '-') {
            uint8_t low = pattern.data[i], high = pattern.data[i + 2];
            has |= low <= high ? byte >= low && byte <= high : byte >= high && byte <= low;
            i += 2;
        } else {
            has |= pattern.data[i] == byte;
        }
    }
    *at = i < pattern.size ? i : pattern.size - 1;
    return has != negated;
}

/* One element of the pattern, which is no star, against one byte; moves *at behind the element. */
static bool element_matches(cop_bytes pattern, size_t *at, uint8_t byte) {
    bool matches = true;
    uint8_t element = pattern.data[*at];
    if (element == '[') {
        matches = class_has(pattern, at, byte);
    } else if (element != '?') {
        if (element == '\\' && *at + 1 < pattern.size)
            ++*at;
        matches = pattern.data[*at] == byte;
    }
    ++*at;
    return matches;
}

bool glob_matches(cop_bytes pattern, cop_bytes text) {
    size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;
    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = ++p;
            star_text = t;
        } else if (p < pattern.size && element_matches(pattern, &p, text.data[t])) {
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*')
        p++;
    return p == pattern.size;
}
