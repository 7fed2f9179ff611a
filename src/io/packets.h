/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_PACKETS_H
#define COP__IO_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes of a stream, taken apart into packets or lines. Zeroed but for the choice of one of the first
 * two, and of the maximum.
 */
struct cop__packets {
    int header;  /* 1, 2, 4: bytes of the length before each packet */
    size_t line; /* > 0: the longest piece of a line */
    size_t max;  /* the longest packet */
    uint8_t *bytes;
    size_t start, end, cap;
    size_t scanned; /* bytes from start on that have no newline */
};

struct cop__piece {
    const uint8_t *data; /* good until the next put, or free */
    size_t size;
    bool whole; /* a packet, or a line with its end (which is not in it) */
};

enum cop__packets_result { COP__PACKETS_MORE, COP__PACKETS_PIECE, COP__PACKETS_TOO_LONG };

void cop__packets_put(struct cop__packets *p, const void *bytes, size_t size);
/* Takes the next piece out, if it is there. After TOO_LONG there is no next. */
enum cop__packets_result cop__packets_next(struct cop__packets *p, struct cop__piece *piece);
/* At the end of the stream: what is left of a last line, piece by piece. */
bool cop__packets_last(struct cop__packets *p, struct cop__piece *piece);
void cop__packets_free(struct cop__packets *p);
/* The header for a packet of that size; false if it is too large for it. */
bool cop__packets_header(int header, size_t size, uint8_t out[4]);

#endif
