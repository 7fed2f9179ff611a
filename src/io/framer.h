/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_FRAMER_H
#define COP__IO_FRAMER_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes received and not yet delivered, and where the next piece ends. */
struct cop__framer {
    char *bytes;
    size_t start, end, cap;
    size_t scanned; /* no newline before it */
};

void cop__framer_put(struct cop__framer *f, const char *bytes, size_t size);
/* The next line with its newline, or line_max bytes of one that is longer; 0: none is complete. */
size_t cop__framer_line(struct cop__framer *f, size_t line_max);
static inline size_t cop__framer_size(const struct cop__framer *f) { return f->end - f->start; }
static inline const char *cop__framer_data(const struct cop__framer *f) {
    return f->bytes + f->start;
}
void cop__framer_take(struct cop__framer *f, size_t size);
void cop__framer_free(struct cop__framer *f);

#endif
