/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets and lines of a port's data.
 *
 * A line's end is LF or CR LF. A line longer than the maximum comes in pieces, and a piece is given away
 * only when it is certain that the line's end does not follow right after it, so a line of just the
 * maximum is whole:
 *
 *     maximum 5:   abcde\n -> whole abcde     abcdef.. -> piece abcde     abcde\r -> wait for one more
 *
 * The buffer holds less than one packet or piece between two puts; its owner puts what one read gave.
 */
#include "io/packets.h"

#include <string.h>

#include "os/alloc.h"

enum { KEEP = 131072 }; /* a larger buffer is given back when it is empty */

void cop__packets_put(struct cop__packets *p, const void *bytes, size_t size) {
    if (size == 0)
        return;
    if (p->cap - p->end < size && p->start > 0) {
        memmove(p->bytes, p->bytes + p->start, p->end - p->start);
        p->end -= p->start;
        p->start = 0;
    }
    if (p->cap - p->end < size) {
        p->cap = (p->end + size) * 2;
        p->bytes = cop__realloc(p->bytes, p->cap);
    }
    memcpy(p->bytes + p->end, bytes, size);
    p->end += size;
}

static void take(struct cop__packets *p, size_t size) {
    p->start += size;
    p->scanned = 0;
    if (p->start == p->end)
        p->start = p->end = 0; /* the bytes stay until the next put */
}

static enum cop__packets_result next_packet(struct cop__packets *p, struct cop__piece *piece) {
    const uint8_t *at = p->bytes + p->start;
    size_t have = p->end - p->start, header = (size_t)p->header, size = 0;
    if (have < header)
        return COP__PACKETS_MORE;
    for (size_t i = 0; i < header; i++)
        size = size << 8 | at[i];
    if (size > p->max)
        return COP__PACKETS_TOO_LONG;
    if (have - header < size)
        return COP__PACKETS_MORE;
    *piece = (struct cop__piece){ .data = at + header, .size = size, .whole = true };
    take(p, header + size);
    return COP__PACKETS_PIECE;
}

static enum cop__packets_result next_line(struct cop__packets *p, struct cop__piece *piece) {
    const uint8_t *at = p->bytes + p->start;
    size_t have = p->end - p->start, seen = have < p->line + 2 ? have : p->line + 2;
    const uint8_t *newline =
        seen > p->scanned ? memchr(at + p->scanned, '\n', seen - p->scanned) : NULL;
    p->scanned = newline != NULL ? (size_t)(newline - at) : seen;
    if (newline != NULL) {
        size_t length = (size_t)(newline - at), size = length;
        if (size > 0 && at[size - 1] == '\r')
            size--;
        if (size <= p->line) {
            *piece = (struct cop__piece){ .data = at, .size = size, .whole = true };
            take(p, length + 1);
            return COP__PACKETS_PIECE;
        }
    }
    if (have <= p->line || (have == p->line + 1 && at[p->line] == '\r'))
        return COP__PACKETS_MORE;
    *piece = (struct cop__piece){ .data = at, .size = p->line };
    take(p, p->line);
    return COP__PACKETS_PIECE;
}

enum cop__packets_result cop__packets_next(struct cop__packets *p, struct cop__piece *piece) {
    if (p->start == p->end) {
        if (p->cap > KEEP)
            cop__packets_free(p);
        return COP__PACKETS_MORE;
    }
    return p->line > 0 ? next_line(p, piece) : next_packet(p, piece);
}

bool cop__packets_last(struct cop__packets *p, struct cop__piece *piece) {
    size_t have = p->end - p->start;
    if (p->line == 0 || have == 0)
        return false; /* a packet of which a part is missing is none */
    *piece =
        (struct cop__piece){ .data = p->bytes + p->start, .size = have < p->line ? have : p->line };
    take(p, piece->size);
    return true;
}

void cop__packets_free(struct cop__packets *p) {
    cop__free(p->bytes);
    p->bytes = NULL;
    p->start = p->end = p->cap = p->scanned = 0;
}

bool cop__packets_header(int header, size_t size, uint8_t out[4]) {
    if (header < 4 && size >> (8 * header) != 0)
        return header == 0;
    if (size > UINT32_MAX)
        return false;
    for (int i = 0; i < header; i++)
        out[i] = (uint8_t)(size >> (8 * (header - 1 - i)));
    return true;
}
