/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include "term/utf8.h"

static bool is_tail(const uint8_t *at, const uint8_t *end, size_t n) {
    if ((size_t)(end - at) <= n)
        return false;
    for (size_t i = 1; i <= n; i++)
        if ((at[i] & 0xc0) != 0x80)
            return false;
    return true;
}

size_t cop__utf8_next(const uint8_t *at, const uint8_t *end, uint32_t *code) {
    if (at >= end)
        return 0;
    uint32_t a = at[0];
    if (a < 0x80) {
        *code = a;
        return 1;
    }
    if (a >= 0xc2 && a < 0xe0 && is_tail(at, end, 1)) {
        *code = (a & 0x1f) << 6 | (at[1] & 0x3fu);
        return 2;
    }
    if (a >= 0xe0 && a < 0xf0 && is_tail(at, end, 2)) {
        *code = (a & 0xf) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
        return *code >= 0x800 && (*code < 0xd800 || *code > 0xdfff) ? 3 : 0;
    }
    if (a >= 0xf0 && a < 0xf5 && is_tail(at, end, 3)) {
        *code = (a & 7) << 18 | (at[1] & 0x3fu) << 12 | (at[2] & 0x3fu) << 6 | (at[3] & 0x3fu);
        return *code >= 0x10000 && *code <= 0x10ffff ? 4 : 0;
    }
    return 0;
}

size_t cop__utf8_put(uint32_t code, uint8_t out[4]) {
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xc0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        if (code >= 0xd800 && code <= 0xdfff)
            return 0;
        out[0] = (uint8_t)(0xe0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (code & 0x3f));
        return 3;
    }
    if (code > 0x10ffff)
        return 0;
    out[0] = (uint8_t)(0xf0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (code & 0x3f));
    return 4;
}

bool cop__utf8_valid(const char *text, size_t size, size_t *characters) {
    const uint8_t *at = (const uint8_t *)text, *end = at + size;
    size_t n = 0;
    while (at < end) {
        uint32_t code;
        size_t length = cop__utf8_next(at, end, &code);
        if (length == 0)
            return false;
        at += length;
        n++;
    }
    if (characters != NULL)
        *characters = n;
    return true;
}
