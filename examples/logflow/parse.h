/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOGFLOW_PARSE_H
#define LOGFLOW_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One line of an access log, in the common or the combined format:
 *
 *     host ident user [time] "GET /path?query HTTP/1.1" 200 1234
 *     host ident user [time] "GET /path?query HTTP/1.1" 200 1234 "referer" "agent"
 *
 * Everything is bounded: a line of more than LOG_LINE_MAX bytes, a path of more than LOG_PATH_MAX, a size of more
 * than 15 digits is malformed, and so is a line with a byte below 32.
 */
enum { LOG_LINE_MAX = 8192, LOG_PATH_MAX = 2048 };

struct log_part {
    const uint8_t *at;
    size_t size;
};

/* Views into the line. path is without its query; status is 100 to 599; bytes is 0 for "-". */
struct log_line {
    struct log_part host, time, method, path;
    int status;
    int64_t bytes;
};

/* False for a malformed line; *out may be half written then. Reads nothing but line[0 .. size - 1]. */
bool log_parse(const uint8_t *line, size_t size, struct log_line *out);

#endif
