/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the line parser of examples/logflow: it never looks beyond what it was given, and what it finds lies
 * within the line and within the limits.
 */
#include "parse.h"

#include <stdlib.h>
#include <string.h>

static void check_within(struct log_part part, const uint8_t *line, size_t size) {
    if (part.at < line || part.at + part.size > line + size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *line = malloc(size); /* of exact size, for the sanitizer */
    struct log_line parsed;
    if (line == NULL && size > 0)
        abort();
    if (size > 0)
        memcpy(line, data, size);
    if (log_parse(line, size, &parsed)) {
        check_within(parsed.host, line, size);
        check_within(parsed.time, line, size);
        check_within(parsed.method, line, size);
        check_within(parsed.path, line, size);
        if (parsed.path.size > LOG_PATH_MAX || parsed.status < 100 || parsed.status > 599
            || parsed.bytes < 0)
            abort();
    }
    free(line);
    return 0;
}
