/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the RESP parser of examples/kv: whatever the bytes are, it reads the same commands and
 * meets the same error however they are cut, and never looks beyond what it was given. The input's
 * first two bytes say how it is cut the second time.
 */
#include "resp.h"

#include <stdlib.h>
#include <string.h>

static void read_all(struct buffer *seen, const uint8_t *bytes, size_t size, size_t piece) {
    static const struct resp_limits limits = {
        .max_line = 64, .max_bulk = 256, .max_args = 64, .max_command = 1 << 20
    };
    struct resp resp;
    resp_init(&resp, &limits);
    enum resp_status status = RESP_MORE;
    for (size_t at = 0; at < size && status != RESP_ERROR; at += piece) {
        size_t part = size - at < piece ? size - at : piece;
        uint8_t *fed = malloc(part); /* of exact size, for the sanitizer */
        if (fed == NULL)
            abort();
        memcpy(fed, bytes + at, part);
        resp_feed(&resp, fed, part);
        while ((status = resp_next(&resp)) == RESP_COMMAND) {
            buffer_put_u64(seen, resp.argc);
            for (size_t i = 0; i < resp.argc; i++) {
                buffer_put_u64(seen, resp.argv[i].size);
                buffer_put(seen, resp.argv[i].data, resp.argv[i].size);
            }
        }
        if (status == RESP_ERROR)
            buffer_put(seen, resp.error, strlen(resp.error));
        resp_park(&resp);
        free(fed);
    }
    resp_free(&resp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3)
        return 0;
    size_t piece = 1 + (data[0] | (size_t)data[1] << 8) % 100;
    struct buffer whole = { 0 }, cut = { 0 };
    read_all(&whole, data + 2, size - 2, size);
    read_all(&cut, data + 2, size - 2, piece);
    if (whole.size != cut.size || (whole.size > 0 && memcmp(whole.data, cut.data, whole.size) != 0))
        abort();
    buffer_free(&whole);
    buffer_free(&cut);
    return 0;
}
