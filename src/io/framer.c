/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection has received and nobody took yet, and how it is cut into packets.
 *
 *     bytes   |  taken  |  start ... scanned ... end  |  free  |  cap
 *
 * Its owner bounds it: reading stops while enough is there, and cop__framer_next answers a packet that
 * would be longer than its limit as soon as the header is seen.
 * Threads: the owner's only.
 */
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
    if (newline != NULL) {
        size_t size = (size_t)(newline - (f->bytes + f->start)) + 1;
        return size < line_max ? size : line_max;
    }
    f->scanned = f->end;
    return f->end - f->start >= line_max ? line_max : 0;
}

size_t cop__packet_header(cop_packet packet) {
    switch (packet) {
    case COP_PACKET_1:
        return 1;
    case COP_PACKET_2:
        return 2;
    case COP_PACKET_4:
        return 4;
    case COP_PACKET_RAW:
    case COP_PACKET_LINE:
        break;
    }
    return 0;
}

bool cop__packet_put_header(cop_packet packet, size_t size, unsigned char *out) {
    size_t header = cop__packet_header(packet);
    if (header > 0 && size >> (8 * header) != 0)
        return false;
    for (size_t i = 0; i < header; i++)
        out[i] = (unsigned char)(size >> (8 * (header - 1 - i)));
    return true;
}

static enum cop__framing counted(struct cop__framer *f, const struct cop__cut *cut,
                                 struct cop__piece *piece) {
    size_t header = cop__packet_header(cut->packet), have = cop__framer_size(f), size = 0;
    if (have < header)
        return COP__FRAMING_MORE;
    for (size_t i = 0; i < header; i++)
        size = size << 8 | (unsigned char)f->bytes[f->start + i];
    if (size > cut->packet_max)
        return COP__FRAMING_TOO_LONG;
    if (have - header < size)
        return COP__FRAMING_MORE;
    *piece = (struct cop__piece){ f->bytes + f->start + header, size, header + size };
    return COP__FRAMING_PIECE;
}

enum cop__framing cop__framer_next(struct cop__framer *f, const struct cop__cut *cut,
                                   struct cop__piece *piece) {
    size_t have = cop__framer_size(f), size = 0;
    if (cop__packet_header(cut->packet) > 0)
        return counted(f, cut, piece);
    if (cut->packet == COP_PACKET_LINE)
        size = cop__framer_line(f, cut->line_max);
    else if (cut->wanted == 0)
        size = have;
    else if (have >= cut->wanted)
        size = cut->wanted;
    if (size == 0)
        return COP__FRAMING_MORE;
    *piece = (struct cop__piece){ f->bytes + f->start, size, size };
    return COP__FRAMING_PIECE;
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
