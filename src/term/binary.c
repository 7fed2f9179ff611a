/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binaries: up to 64 bytes in the heap, above that one shared block with a count; iodata.
 * A part of a shared one is another box on the same block.
 */
#include <stdarg.h>
#include <stdio.h>

#include "os/alloc.h"
#include "term/layout.h"

static const size_t largest = (size_t)1 << 40;

bool cop__binary_view(cop_term t, cop_bytes *bytes, unsigned *bits) {
    if (!cop__is_box(t))
        return false;
    uint64_t *box = cop__box(t);
    switch (cop__header_kind(*box)) {
    case BOX_BINARY:
        bytes->data = (const uint8_t *)(box + 2);
        bytes->size = (size_t)(box[1] >> 3);
        *bits = (unsigned)(box[1] & 7);
        return true;
    case BOX_SHARED: {
        const struct cop__shared *shared = (const struct cop__shared *)(uintptr_t)box[2];
        bytes->data = shared->data + box[3];
        bytes->size = (size_t)(box[4] >> 3);
        *bits = (unsigned)(box[4] & 7);
        return true;
    }
    default:
        return false;
    }
}

static cop_term inline_new(cop_ctx *ctx, size_t size, unsigned bits, uint8_t **data) {
    size_t words = (size + 7) / 8;
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), words + 2);
    box[0] = cop__header(BOX_BINARY, words + 1);
    box[1] = (uint64_t)size << 3 | bits;
    if (words > 0)
        box[1 + words] = 0; /* the padding compares equal */
    *data = (uint8_t *)(box + 2);
    return cop__box_term(box);
}

static cop_term shared_box(cop_ctx *ctx, struct cop__shared *shared, size_t start, size_t size,
                           unsigned bits) {
    struct cop__heap *heap = cop__heap_of(ctx);
    uint64_t *box = cop__heap_alloc(heap, 5);
    box[0] = cop__header(BOX_SHARED, 4);
    box[2] = (uint64_t)(uintptr_t)shared;
    box[3] = start;
    box[4] = (uint64_t)size << 3 | bits;
    cop__heap_link_offheap(heap, (struct cop__offbox *)box);
    return cop__box_term(box);
}

static cop_term bits_new(cop_ctx *ctx, size_t size, unsigned bits, uint8_t **data) {
    if (size > largest)
        cop__raise(ctx, cop_a(system_limit).t);
    if (size <= COP__BINARY_INLINE_MAX)
        return inline_new(ctx, size, bits, data);
    cop__heap_hold(cop__heap_of(ctx));
    struct cop__shared *shared = cop__malloc(sizeof *shared + size);
    shared->count = 1;
    shared->size = size;
    *data = shared->data;
    cop_term t = shared_box(ctx, shared, 0, size, bits);
    cop__heap_let(cop__heap_of(ctx));
    return t;
}

cop_term cop_binary_new(cop_ctx *ctx, size_t size, uint8_t **data) {
    return bits_new(ctx, size, 0, data);
}

cop_term cop__bitstring(cop_ctx *ctx, const uint8_t *from, size_t size, unsigned last_bits) {
    uint8_t *data;
    cop_term t = bits_new(ctx, size, last_bits & 7, &data);
    if (size > 0)
        memcpy(data, from, size);
    if (size > 0 && (last_bits & 7) != 0)
        data[size - 1] &= (uint8_t)(0xff << (8 - (last_bits & 7)));
    return t;
}

cop_term cop_binary(cop_ctx *ctx, const void *from, size_t size) {
    uint8_t *data;
    cop_term t = bits_new(ctx, size, 0, &data);
    if (size > 0)
        memcpy(data, from, size);
    return t;
}

cop_term cop_binary_part(cop_ctx *ctx, cop_term binary, size_t start, size_t size) {
    cop_bytes bytes;
    unsigned bits;
    if (!cop__binary_view(binary, &bytes, &bits) || bits != 0 || start > bytes.size
        || size > bytes.size - start)
        cop__raise(ctx, cop_a(badarg).t);
    if (size <= COP__BINARY_INLINE_MAX)
        return cop_binary(ctx, bytes.data + start, size);
    uint64_t *box = cop__box(binary);
    struct cop__shared *shared = (struct cop__shared *)(uintptr_t)box[2];
    size_t offset = (size_t)box[3] + start;
    __atomic_fetch_add(&shared->count, 1, __ATOMIC_RELAXED);
    return shared_box(ctx, shared, offset, size, 0);
}

cop_term cop_format(cop_ctx *ctx, const char *format, ...) {
    va_list args;
    char text[512];
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0)
        cop__raise(ctx, cop_a(badarg).t);
    if ((size_t)n < sizeof text)
        return cop_binary(ctx, text, (size_t)n);
    cop__heap_hold(cop__heap_of(ctx));
    char *longer = cop__malloc((size_t)n + 1);
    va_start(args, format);
    vsnprintf(longer, (size_t)n + 1, format, args);
    va_end(args);
    cop_term t = cop_binary(ctx, longer, (size_t)n);
    cop__free(longer);
    cop__heap_let(cop__heap_of(ctx));
    return t;
}

/* ---- iodata ---------------------------------------------------------------------------------- */

/* Walks iodata, calling for each piece; false for what is none. The list of what is still to come
   holds tails; nothing recurses. */
static bool iodata_walk(cop_term t, uint8_t *out, size_t *total) {
    struct cop__worklist work;
    cop__worklist_init(&work);
    cop__worklist_push(&work, t);
    bool good = true;
    while (good && work.count > 0) {
        t = work.items[--work.count];
        while (good) {
            cop_bytes bytes;
            int64_t byte;
            cop_term head;
            if (cop_get_cons(t, &head, &t)) {
                if (cop_is_small(head)) {
                    good = cop_get_i64(head, &byte) && byte >= 0 && byte <= 255;
                    if (good && out != NULL)
                        out[*total] = (uint8_t)byte;
                    *total += 1;
                    continue;
                }
                cop__worklist_push(&work, t);
                t = head;
                continue;
            }
            if (cop_is_nil(t))
                break;
            good = cop_get_bytes(t, &bytes);
            if (good && out != NULL && bytes.size > 0)
                memcpy(out + *total, bytes.data, bytes.size);
            if (good)
                *total += bytes.size;
            break;
        }
    }
    cop__worklist_free(&work);
    return good;
}

int64_t cop_iodata_size(cop_term iodata) {
    size_t total = 0;
    return iodata_walk(iodata, NULL, &total) ? (int64_t)total : -1;
}

void cop_iodata_copy(cop_term iodata, uint8_t *out) {
    size_t total = 0;
    iodata_walk(iodata, out, &total);
}

cop_term cop_iodata_to_binary(cop_ctx *ctx, cop_term iodata) {
    if (cop_is_binary(iodata))
        return iodata;
    int64_t size = cop_iodata_size(iodata);
    if (size < 0)
        cop__raise(ctx, cop_a(badarg).t);
    uint8_t *data;
    cop_term t = cop_binary_new(ctx, (size_t)size, &data);
    cop_iodata_copy(iodata, data);
    return t;
}
