/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of terms: whatever the bytes are, they are a term or an error with a place inside
 * the text. What was read prints; what was printed reads back as the same term (but for structs and
 * funs, whose print does not say all), prints the same again, hashes the same, and matches itself as
 * a pattern. The same text is also read as a pattern.
 */
#include <coppice/pattern.h>
#include <coppice/term.h>
#include <stdlib.h>
#include <string.h>

#include "term/heap.h"

static void expect(bool condition) {
    if (!condition)
        abort();
}

/* The print, of exact size for the sanitizer; the caller frees it. */
static char *printed(cop_term t, const cop_inspect_opts *opts) {
    size_t size = cop_inspect_to(NULL, 0, t, opts) + 1;
    char *text = malloc(size);
    if (text == NULL)
        abort();
    expect(cop_inspect_to(text, size, t, opts) == size - 1 && strlen(text) == size - 1);
    return text;
}

static void check_round_trip(cop_ctx *ctx, cop_term t) {
    static const cop_inspect_opts all = { .limit = -1,
                                          .printable_limit = -1,
                                          .structs_as_maps = true };
    char *text = printed(t, &all);
    cop_term again;
    expect(cop_parse(ctx, text, strlen(text), &again, NULL));
    expect(cop_same(t, again) && cop_compare(t, again) == 0 && cop_phash2(t) == cop_phash2(again));
    expect(cop_matches(ctx, t, text, NULL));
    char *text_again = printed(again, &all);
    expect(strcmp(text, text_again) == 0 || strlen(text) == strlen(text_again));
    free(text);
    free(text_again);
    free(printed(t, NULL));
    free(printed(t, &(cop_inspect_opts){ .limit = 3, .printable_limit = 3 }));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cop__heap heap;
    cop__heap_init(&heap);
    cop_ctx *ctx = (cop_ctx *)(void *)&heap;
    cop_parse_error error = { 0, NULL };
    cop_term t;
    char *text = malloc(size + 1); /* the reader must not need the NUL: see below */
    if (text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    cop_matches(ctx, COP_NIL, text, &error);
    char *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        abort();
    memcpy(exact, data, size);
    if (cop_parse(ctx, exact, size, &t, &error))
        check_round_trip(ctx, t);
    else
        expect(error.expected != NULL && error.offset <= size);
    free(text);
    free(exact);
    cop__heap_reset(&heap);
    return 0;
}
