/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes how a stream is cut into packets: whatever the bytes are and however they arrive, the same
 * packets come out, which are those that a plain reading of the whole finds; a length above the limit
 * ends it at its header, and no more is held than a packet of the limit and what arrived with it.
 * The input's first bytes say the kind of packet, how the bytes arrive, and the limit.
 */
#include <stdlib.h>
#include <string.h>

#include "io/framer.h"

static void expect(bool condition) {
    if (!condition)
        abort();
}

struct seen {
    uint8_t *bytes;
    size_t size, cap;
    bool too_long;
};

static void put(struct seen *seen, const void *data, size_t size) {
    uint64_t length = size;
    if (seen->size + sizeof length + size > seen->cap) {
        seen->cap = (seen->size + sizeof length + size) * 2;
        seen->bytes = realloc(seen->bytes, seen->cap);
        expect(seen->bytes != NULL);
    }
    memcpy(seen->bytes + seen->size, &length, sizeof length);
    memcpy(seen->bytes + seen->size + sizeof length, data, size);
    seen->size += sizeof length + size;
}

static void cut_up(struct seen *seen, const uint8_t *data, size_t size, size_t piece,
                   const struct cop__cut *cut) {
    struct cop__framer framer = { 0 };
    size_t largest = cut->wanted + cut->line_max + cut->packet_max + 4;
    for (size_t at = 0; at < size && !seen->too_long; at += piece) {
        size_t part = size - at < piece ? size - at : piece;
        uint8_t *fed = malloc(part); /* of exact size, for the sanitizer */
        expect(fed != NULL);
        memcpy(fed, data + at, part);
        cop__framer_put(&framer, (const char *)fed, part);
        free(fed);
        enum cop__framing framing;
        struct cop__piece next;
        while ((framing = cop__framer_next(&framer, cut, &next)) == COP__FRAMING_PIECE) {
            put(seen, next.data, next.size);
            cop__framer_take(&framer, next.whole);
        }
        seen->too_long = framing == COP__FRAMING_TOO_LONG;
        expect(seen->too_long || cop__framer_size(&framer) < largest);
    }
    cop__framer_free(&framer);
}

/* The same, read from the whole in the plainest way. */
static void read_plainly(struct seen *seen, const uint8_t *data, size_t size,
                         const struct cop__cut *cut) {
    size_t header = cop__packet_header(cut->packet);
    while (size > 0) {
        size_t length = 0, most;
        if (header > 0) {
            if (size < header)
                return;
            for (size_t i = 0; i < header; i++)
                length = length * 256 + data[i];
            seen->too_long = length > cut->packet_max;
            if (seen->too_long || size - header < length)
                return;
        } else if (cut->packet == COP_PACKET_LINE) {
            most = size < cut->line_max ? size : cut->line_max;
            while (length < most && (length == 0 || data[length - 1] != '\n'))
                length++;
            if (length < cut->line_max && data[length - 1] != '\n')
                return;
        } else if ((length = cut->wanted) > size) {
            return;
        }
        put(seen, data + header, length);
        data += header + length;
        size -= header + length;
    }
}

static void check_headers(size_t size, cop_packet packet) {
    uint8_t header[4];
    struct cop__framer framer = { 0 };
    struct cop__piece piece;
    struct cop__cut cut = { .packet = packet, .packet_max = size };
    size_t before = cop__packet_header(packet);
    if (before == 0 || !cop__packet_put_header(packet, size, header))
        return;
    cop__framer_put(&framer, (const char *)header, before);
    expect(cop__framer_next(&framer, &cut, &piece)
           == (size == 0 ? COP__FRAMING_PIECE : COP__FRAMING_MORE));
    cut.packet_max = size - 1;
    expect(size == 0 || cop__framer_next(&framer, &cut, &piece) == COP__FRAMING_TOO_LONG);
    cop__framer_free(&framer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4)
        return 0;
    struct cop__cut cut = { .packet = (cop_packet)(data[0] % 5),
                            .wanted = 1 + data[2] % 40,
                            .line_max = 1 + data[2],
                            .packet_max = data[2] + (data[3] & 1 ? 1000 : 0) };
    size_t piece = 1 + data[1] % 70;
    struct seen whole = { 0 }, cut_small = { 0 }, plain = { 0 };
    cut_up(&whole, data + 4, size - 4, size, &cut);
    cut_up(&cut_small, data + 4, size - 4, piece, &cut);
    read_plainly(&plain, data + 4, size - 4, &cut);
    expect(whole.size == plain.size && cut_small.size == plain.size);
    expect(whole.too_long == plain.too_long && cut_small.too_long == plain.too_long);
    expect(plain.size == 0
           || (memcmp(whole.bytes, plain.bytes, plain.size) == 0
               && memcmp(cut_small.bytes, plain.bytes, plain.size) == 0));
    check_headers((size_t)data[1] << 8 | data[2], cut.packet);
    free(whole.bytes);
    free(cut_small.bytes);
    free(plain.bytes);
    return 0;
}
