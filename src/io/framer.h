/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_FRAMER_H
#define COP__IO_FRAMER_H

#include <stdbool.h>
#include <stddef.h>

#include <coppice/gen_tcp.h>

/* Bytes received and not yet delivered, and where the next piece ends. */
struct cop__framer {
    char *bytes;
    size_t start, end, cap;
    size_t scanned; /* no newline before it */
};

/* How to cut. wanted: bytes of a raw piece, 0 = what is there. */
struct cop__cut {
    cop_packet packet;
    size_t wanted, line_max, packet_max;
};

enum cop__framing { COP__FRAMING_MORE, COP__FRAMING_PIECE, COP__FRAMING_TOO_LONG };

void cop__framer_put(struct cop__framer *f, const char *bytes, size_t size);
/* The next piece: `size` bytes at `data`, valid until the next put; they and what belongs to them in the
   stream are then to be taken with cop__framer_take(f, whole). */
struct cop__piece {
    const char *data;
    size_t size, whole;
};
enum cop__framing cop__framer_next(struct cop__framer *f, const struct cop__cut *cut,
                                   struct cop__piece *piece);
/* The next line with its newline, or line_max bytes of one that is longer; 0: none is complete. */
size_t cop__framer_line(struct cop__framer *f, size_t line_max);
static inline const char *cop__framer_data(const struct cop__framer *f) {
    return f->bytes + f->start;
}
static inline size_t cop__framer_size(const struct cop__framer *f) { return f->end - f->start; }
void cop__framer_take(struct cop__framer *f, size_t size);
void cop__framer_free(struct cop__framer *f);

/* The length that stands before a packet: 0, 1, 2 or 4 bytes. */
size_t cop__packet_header(cop_packet packet);
/* Writes it; false if a packet of that size cannot have one. */
bool cop__packet_put_header(cop_packet packet, size_t size, unsigned char *out);

#endif
