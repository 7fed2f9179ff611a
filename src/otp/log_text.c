/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text that grows: what the logger's formatters write into. It may have a limit, at which it is cut, so
 * that no event, whatever it holds, makes more text than somebody wants to read.
 *
 * Threads: the process's own that has the buffer.
 */
#include "log_text.h"

#include <stdio.h>
#include <string.h>

/* ---- the buffer --------------------------------------------------------------------------------------- */

static void reserve(cop_ctx *ctx, struct log_text *l, size_t n) {
    if (l->cap - l->size >= n + 1)
        return;
    l->cap = (l->cap + n + 1) * 2;
    l->text = cop_realloc(ctx, l->text, l->cap);
}

void log_put_bytes(cop_ctx *ctx, struct log_text *l, const void *bytes, size_t n) {
    if (l->limit > 0 && n > l->limit - l->size) {
        n = l->limit - l->size;
        l->was_cut = true;
    }
    reserve(ctx, l, n);
    if (n > 0)
        memcpy(l->text + l->size, bytes, n);
    l->size += n;
}

void log_put(cop_ctx *ctx, struct log_text *l, const char *text) {
    log_put_bytes(ctx, l, text, strlen(text));
}

void log_put_term(cop_ctx *ctx, struct log_text *l, cop_term t) {
    cop_bytes bytes;
    if (!l->was_cut && cop_get_bytes(cop_inspect(ctx, t, NULL), &bytes))
        log_put_bytes(ctx, l, bytes.data, bytes.size);
}

void log_put_integer(cop_ctx *ctx, struct log_text *l, int64_t n) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)n);
    log_put(ctx, l, text);
}

/* ---- characters ------------------------------------------------------------------------------------------ */

size_t log_character(const unsigned char *at, const unsigned char *end) {
    static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = *at < 0x80   ? 1
               : *at < 0xc0 ? 0
               : *at < 0xe0 ? 2
               : *at < 0xf0 ? 3
               : *at < 0xf8 ? 4
                            : 0;
    if (n == 0 || n > (size_t)(end - at))
        return 0;
    unsigned code = n == 1 ? *at : *at & (0xffU >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

void log_clean(cop_ctx *ctx, struct log_text *l, size_t from) {
    const unsigned char *text = (const unsigned char *)l->text;
    size_t good = from, n;
    while (good < l->size && (n = log_character(text + good, text + l->size)) > 0)
        good += n;
    if (good == l->size)
        return;
    struct log_text fresh = { 0 };
    for (size_t at = good; at<l->size; at += n> 0 ? n : 1) {
        n = log_character(text + at, text + l->size);
        log_put_bytes(ctx, &fresh, n > 0 ? (const char *)text + at : "\xef\xbf\xbd", n > 0 ? n : 3);
    }
    l->size = good;
    reserve(ctx, l, fresh.size); /* past the limit, where there is one: a few bytes */
    memcpy(l->text + good, fresh.text, fresh.size);
    l->size += fresh.size;
    cop_free(ctx, fresh.text);
}

/* A code point as UTF-8; false for what is none. */
static bool put_code(cop_ctx *ctx, struct log_text *l, uint64_t code) {
    unsigned char b[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return false;
    b[0] = n == 1 ? (unsigned char)code
                  : (unsigned char)((0xf00U >> n & 0xff) | (unsigned)(code >> (6 * (n - 1))));
    for (size_t i = 1; i < n; i++)
        b[i] = (unsigned char)(0x80 | (code >> (6 * (n - 1 - i)) & 0x3f));
    log_put_bytes(ctx, l, b, n);
    return true;
}

/* False where it is no chardata; lists deeper than that are none. */
static bool put_chardata(cop_ctx *ctx, struct log_text *l, cop_term t, int depth) {
    cop_bytes bytes;
    cop_term head;
    uint64_t code;
    for (; cop_get_cons(t, &head, &t) && !l->was_cut;)
        if (cop_get_u64(head, &code) ? !put_code(ctx, l, code)
                                     : depth == 0 || !put_chardata(ctx, l, head, depth - 1))
            return false;
    if (l->was_cut || cop_is_nil(t))
        return true;
    if (!cop_get_bytes(t, &bytes))
        return false;
    log_put_bytes(ctx, l, bytes.data, bytes.size);
    return true;
}

void log_put_chardata(cop_ctx *ctx, struct log_text *l, cop_term chardata) {
    size_t before = l->size;
    if (put_chardata(ctx, l, chardata, 200))
        return;
    l->size = before;
    log_put_term(ctx, l, chardata);
}

/* ---- calls -------- ----------------------------------------------------------------------------------- */

/* Module.function, in which the function is written like an atom without its colon. */
void log_put_function(cop_ctx *ctx, struct log_text *l, cop_atom module, cop_atom function) {
    cop_bytes bytes;
    log_put_term(ctx, l, module.t);
    log_put(ctx, l, ".");
    if (cop_get_bytes(cop_inspect(ctx, function.t, NULL), &bytes) && bytes.size > 0) {
        size_t colon = bytes.data[0] == ':' ? 1 : 0;
        log_put_bytes(ctx, l, (const char *)bytes.data + colon, bytes.size - colon);
    }
}

/* Module.function/arity, or with a list, Module.function(arguments). */
void log_put_call(cop_ctx *ctx, struct log_text *l, cop_atom module, cop_atom function,
                  cop_term arity) {
    int64_t n;
    log_put_function(ctx, l, module, function);
    if (cop_get_i64(arity, &n)) {
        log_put(ctx, l, "/");
        log_put_integer(ctx, l, n);
        return;
    }
    cop_term arg;
    log_put(ctx, l, "(");
    for (bool first = true; cop_get_cons(arity, &arg, &arity); first = false) {
        log_put(ctx, l, first ? "" : ", ");
        log_put_term(ctx, l, arg);
    }
    log_put(ctx, l, ")");
}
