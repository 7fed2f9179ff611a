/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer of a connection that is passive or reads lines. Its owner bounds it: reading stops while
   enough is there. */
#include "io/framer.h"

#include <string.h>

#include "os/alloc.h"

void cop__framer_put(struct cop__framer *f, const char *bytes, size_t size) {
    if (size == 0)
        return;
    if (f->cap - f->end < size && f->start > 0) {
        memmove(f->bytes, f->bytes + f->start, f->end - f->start);
        f->scanned = f->scanned > f->start ? f->scanned - f->start : 0;
        f->end -= f->start;
        f->start = 0;
    }
    if (f->cap - f->end < size) {
        f->cap = (f->end + size) * 2;
        f->bytes = cop__realloc(f->bytes, f->cap);
    }
    memcpy(f->bytes + f->end, bytes, size);
    f->end += size;
}

size_t cop__framer_line(struct cop__framer *f, size_t line_max) {
    size_t from = f->scanned > f->start ? f->scanned : f->start;
    const char *newline = f->end > from ? memchr(f->bytes + from, '\n', f->end - from) : NULL;
    f->scanned = f->end;
    if (newline != NULL) {
        size_t size = (size_t)(newline - (f->bytes + f->start)) + 1;
        return size < line_max ? size : line_max;
    }
    return f->end - f->start >= line_max ? line_max : 0;
}

void cop__framer_take(struct cop__framer *f, size_t size) {
    f->start += size;
    f->scanned = f->start;
    if (f->start == f->end) {
        f->start = f->end = f->scanned = 0;
        if (f->cap > 65536) { /* a large moment is over */
            cop__free(f->bytes);
            f->bytes = NULL;
            f->cap = 0;
        }
    }
}

void cop__framer_free(struct cop__framer *f) {
    cop__free(f->bytes);
    *f = (struct cop__framer){ 0 };
}
