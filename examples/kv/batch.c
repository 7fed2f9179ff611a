/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches: plain writing and reading of the two binaries. Reading checks every size against what is
 * there, so a mistake of the writer becomes the end of the batch, never a read beyond it.
 */
#include "batch.h"

#include <string.h>

void batch_add(struct buffer *request, size_t command, uint64_t hash, const cop_bytes *argv,
               size_t argc) {
    size_t size = 16;
    for (size_t i = 0; i < argc; i++)
        size += 4 + argv[i].size;
    buffer_reserve(request, size);
    buffer_put_u32(request, (uint32_t)command);
    buffer_put_u32(request, (uint32_t)argc);
    buffer_put_u64(request, hash);
    for (size_t i = 0; i < argc; i++) {
        buffer_put_u32(request, (uint32_t)argv[i].size);
        buffer_put(request, argv[i].data, argv[i].size);
    }
}

/* Takes `size` bytes off the front. */
static bool take(cop_bytes *from, void *to, size_t size) {
    if (from->size < size)
        return false;
    memcpy(to, from->data, size);
    from->data += size;
    from->size -= size;
    return true;
}

static bool take_bytes(cop_bytes *from, size_t size, cop_bytes *to) {
    if (from->size < size)
        return false;
    *to = (cop_bytes){ .data = from->data, .size = size };
    from->data += size;
    from->size -= size;
    return true;
}

bool batch_read(cop_bytes request, size_t *at, struct batch_item *item) {
    cop_bytes rest = { .data = request.data + *at, .size = request.size - *at };
    if (!take(&rest, &item->command, 4) || !take(&rest, &item->argc, 4)
        || !take(&rest, &item->hash, 8) || item->argc > BATCH_MAX_ARGS)
        return false;
    for (uint32_t i = 0; i < item->argc; i++) {
        uint32_t size;
        if (!take(&rest, &size, 4) || !take_bytes(&rest, size, &item->argv[i]))
            return false;
    }
    *at = request.size - rest.size;
    return true;
}

size_t batch_reply_begin(struct buffer *out) {
    size_t head = out->size;
    buffer_put_u64(out, 0);
    return head;
}

void batch_reply_end(struct buffer *out, size_t head) {
    uint64_t size = out->size - head - sizeof size;
    memcpy(out->data + head, &size, sizeof size);
}

bool batch_reply_done(cop_bytes *reply, uint64_t *done) { return take(reply, done, sizeof *done); }

bool batch_reply_next(cop_bytes *reply, cop_bytes *one) {
    uint64_t size;
    return take(reply, &size, sizeof size) && take_bytes(reply, size, one);
}
