/* SPDX-License-Identifier: Apache-2.0 */
/* cop_parse on any bytes; what it reads must print, and be read again as the same term. */
#include <stdlib.h>
#include <string.h>

#include "term/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const cop_inspect_opts all = { .limit = -1, .printable_limit = -1 };
    struct cop__heap heap;
    cop__heap_init(&heap);
    cop_ctx *ctx = (cop_ctx *)&heap;
    cop_term t, again;
    cop_parse_error error = { 0 };
    if (size < 4096 && cop_parse(ctx, (const char *)data, size, &t, &error)) {
        size_t length = cop_inspect_to(NULL, 0, t, &all);
        char *text = malloc(length + 1);
        cop_inspect_to(text, length + 1, t, &all);
        cop_phash2(t);
        /* Deep terms print with "..." and are not read back. */
        if (strstr(text, "...") == NULL
            && (!cop_parse(ctx, text, length, &again, NULL) || !cop_same(t, again)))
            abort();
        free(text);
    } else if (size < 4096 && (error.expected == NULL || error.offset > size)) {
        abort();
    }
    cop__heap_reset(&heap);
    return 0;
}
