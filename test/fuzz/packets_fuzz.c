/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the packets and lines of ports: whatever the bytes are and however they are cut, the pieces are
 * the same, none is longer than it may be, and put together again, with their lengths or line ends, they
 * are the input. The first two bytes choose the kind, its bound, and the cut.
 */
#include "io/packets.h"

#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *data;
    size_t size, cap;
};

static void expect(bool condition) {
    if (!condition)
        abort();
}

static void append(struct bytes *b, const void *data, size_t size) {
    if (b->cap - b->size < size) {
        b->cap = 2 * (b->size + size);
        b->data = realloc(b->data, b->cap);
        if (b->data == NULL)
            abort();
    }
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

static struct cop__packets kind_of(uint8_t choice) {
    static const int headers[] = { 1, 2, 4 };
    if (choice % 4 == 3)
        return (struct cop__packets){ .line = 1 + choice / 4 % 16 };
    return (struct cop__packets){ .header = headers[choice % 4], .max = 300 };
}

/* One piece: noted in `seen`, and in `input` as it must have stood there (a line end as LF). */
static void note(const struct cop__packets *p, const struct cop__piece *piece, struct bytes *seen,
                 struct bytes *input) {
    uint8_t header[4];
    uint64_t size = piece->size;
    expect(piece->size <= (p->line > 0 ? p->line : p->max));
    append(seen, &size, sizeof size);
    append(seen, &piece->whole, 1);
    append(seen, piece->data, piece->size);
    if (p->line == 0) {
        expect(piece->whole && cop__packets_header(p->header, piece->size, header));
        append(input, header, (size_t)p->header);
    }
    append(input, piece->data, piece->size);
    if (p->line > 0 && piece->whole)
        append(input, "\n", 1);
}

static void read_all(uint8_t choice, const uint8_t *bytes, size_t size, size_t cut,
                     struct bytes *seen, struct bytes *input) {
    struct cop__packets p = kind_of(choice);
    struct cop__piece piece;
    enum cop__packets_result result = COP__PACKETS_MORE;
    for (size_t at = 0; at < size && result != COP__PACKETS_TOO_LONG; at += cut) {
        size_t part = size - at < cut ? size - at : cut;
        uint8_t *fed = malloc(part); /* of exact size, for the sanitizer */
        if (fed == NULL)
            abort();
        memcpy(fed, bytes + at, part);
        cop__packets_put(&p, fed, part);
        free(fed);
        while ((result = cop__packets_next(&p, &piece)) == COP__PACKETS_PIECE)
            note(&p, &piece, seen, input);
    }
    append(seen, &result, sizeof result);
    while (cop__packets_last(&p, &piece)) {
        expect(!piece.whole);
        note(&p, &piece, seen, input);
    }
    cop__packets_free(&p);
}

/* Is `again` the input, but for CR before LF, and for what is missing of a last packet? */
static void check_input(const struct bytes *again, const uint8_t *bytes, size_t size, bool lines) {
    size_t at = 0;
    for (size_t i = 0; i < again->size; i++, at++) {
        if (lines && again->data[i] == '\n' && at + 1 < size && bytes[at] == '\r')
            at++;
        expect(at < size && bytes[at] == again->data[i]);
    }
    expect(!lines || at == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    struct bytes whole = { 0 }, cut = { 0 }, input = { 0 }, unused = { 0 };
    read_all(data[0], data + 2, size - 2, size, &whole, &input);
    read_all(data[0], data + 2, size - 2, 1 + data[1] % 40u, &cut, &unused);
    expect(whole.size == cut.size
           && (whole.size == 0 || memcmp(whole.data, cut.data, whole.size) == 0));
    check_input(&input, data + 2, size - 2, data[0] % 4 == 3);
    free(whole.data);
    free(cut.data);
    free(input.data);
    free(unused.data);
    return 0;
}
