/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers of any size, as values: sign and 64-bit limbs, least first. Only what values need: made
 * of limbs or decimal text, printed, compared. The conversions are quadratic; the text that may be
 * read is bounded (a million digits), so that is bounded too.
 */
#include <stdio.h>

#include "os/alloc.h"
#include "term/layout.h"

#define CHUNK UINT64_C(10000000000000000000) /* 10^19, the largest power of ten in a limb */
enum { CHUNK_DIGITS = 19, MAX_DIGITS = 1000000 };

bool cop__magnitude_of(cop_term t, struct cop__magnitude *m, uint64_t *small) {
    if (cop_is_small(t)) {
        int64_t n = (int64_t)t.w >> 4;
        *small = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
        *m = (struct cop__magnitude){ small, n == 0 ? 0 : 1, n < 0 };
        return true;
    }
    if (!cop__is_box(t))
        return false;
    uint64_t *box = cop__box(t);
    enum cop__box kind = cop__header_kind(*box);
    if (kind != BOX_POSBIG && kind != BOX_NEGBIG)
        return false;
    *m = (struct cop__magnitude){ box + 1, cop__header_size(*box), kind == BOX_NEGBIG };
    return true;
}

cop_term cop__integer_make(cop_ctx *ctx, bool negative, const uint64_t *limbs, size_t count) {
    while (count > 0 && limbs[count - 1] == 0)
        count--;
    if (count == 0)
        return COP_INT(0);
    uint64_t limit = (UINT64_C(1) << 59) - (negative ? 0 : 1);
    if (count == 1 && limbs[0] <= limit)
        return negative ? COP_INT(0 - limbs[0]) : COP_INT(limbs[0]);
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), count + 1);
    box[0] = cop__header(negative ? BOX_NEGBIG : BOX_POSBIG, count);
    memcpy(box + 1, limbs, count * sizeof *limbs);
    return cop__box_term(box);
}

/* limbs = limbs * factor + add; returns the new count. */
static size_t multiply_add(uint64_t *limbs, size_t count, uint64_t factor, uint64_t add) {
    unsigned __int128 carry = add;
    for (size_t i = 0; i < count; i++) {
        carry += (unsigned __int128)limbs[i] * factor;
        limbs[i] = (uint64_t)carry;
        carry >>= 64;
    }
    if (carry != 0)
        limbs[count++] = (uint64_t)carry;
    return count;
}

cop_term cop_integer_parse(cop_ctx *ctx, const char *text, size_t size) {
    bool negative = size > 0 && text[0] == '-';
    if (size > 0 && (text[0] == '-' || text[0] == '+')) {
        text++;
        size--;
    }
    if (size == 0 || size > MAX_DIGITS)
        return COP_NONE;
    uint64_t *limbs = cop__malloc((size / CHUNK_DIGITS + 2) * sizeof *limbs);
    struct cop__heap *heap = cop__heap_of(ctx);
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        size_t n = (size - at) % CHUNK_DIGITS == 0 ? CHUNK_DIGITS : (size - at) % CHUNK_DIGITS;
        uint64_t part = 0, factor = 1;
        for (size_t i = 0; i < n; i++, at++) {
            if (text[at] < '0' || text[at] > '9') {
                cop__free(limbs);
                return COP_NONE;
            }
            part = part * 10 + (uint64_t)(text[at] - '0');
            factor *= 10;
        }
        count = multiply_add(limbs, count, factor, part);
    }
    cop__heap_hold(heap);
    cop_term t = cop__integer_make(ctx, negative, limbs, count);
    cop__free(limbs);
    cop__heap_let(heap);
    return t;
}

char *cop__integer_text(cop_term t) {
    struct cop__magnitude m;
    uint64_t small;
    if (!cop__magnitude_of(t, &m, &small))
        cop__term_panic("the text of what is no integer");
    size_t count = m.count;
    uint64_t *limbs = cop__malloc((count + 1) * sizeof *limbs);
    memcpy(limbs, m.limbs, count * sizeof *limbs);
    size_t chunks = count * 64 / 63 + 2, used = 0;
    uint64_t *parts = cop__malloc(chunks * sizeof *parts);
    while (count > 0) {
        unsigned __int128 rest = 0;
        for (size_t i = count; i > 0; i--) {
            rest = rest << 64 | limbs[i - 1];
            limbs[i - 1] = (uint64_t)(rest / CHUNK);
            rest %= CHUNK;
        }
        parts[used++] = (uint64_t)rest;
        while (count > 0 && limbs[count - 1] == 0)
            count--;
    }
    char *text = cop__malloc(used * CHUNK_DIGITS + 3), *at = text;
    if (m.negative)
        *at++ = '-';
    if (used == 0)
        *at++ = '0';
    for (size_t i = used; i > 0; i--)
        at += snprintf(at, CHUNK_DIGITS + 2, i == used ? "%llu" : "%019llu",
                       (unsigned long long)parts[i - 1]);
    *at = '\0';
    cop__free(parts);
    cop__free(limbs);
    return text;
}
