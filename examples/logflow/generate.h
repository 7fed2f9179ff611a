/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOGFLOW_GENERATE_H
#define LOGFLOW_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * An access log made by a seed: the same seed gives the same bytes. Half of the lines are in the combined
 * format. `malformed` lines of a million are malformed, in several ways; `crashes` lines contain
 * "\x00CRASH", at which a parser dereferences NULL.
 */
struct generate {
    int64_t lines;
    uint64_t seed;
    int malformed; /* of 1,000,000 */
    int64_t crashes;
    bool gzip;
};

/* 0, or a negative errno. */
int generate_log(const struct generate *what, const char *path);

#endif
