/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOGFLOW_TOTALS_H
#define LOGFLOW_TOTALS_H

#include "parse.h"

/*
 * What a report is made of, as plain C: counts, and a table of paths. An aggregator has one for its part of the
 * paths; the report adds them up.
 */

/*
 * Sizes are counted in buckets: those below 128 each alone, others with their 7 highest bits, so a percentile is
 * exact to less than 1 %. The same values give the same buckets however they were divided and added up.
 */
enum { SIZE_BUCKETS = 128 + (50 - 7) * 64 };
size_t size_bucket(int64_t bytes);
/* The smallest size of a bucket. */
int64_t size_of_bucket(size_t bucket);

struct path_total {
    uint8_t *path; /* malloc'ed */
    size_t size;
    uint64_t hash;
    int64_t requests, bytes;
};

/* At most PATHS_MAX different paths have a row of their own; the others are counted in `others`. */
enum { PATHS_MAX = 1 << 20 };

struct totals {
    int64_t lines, malformed, lost, bytes, server_errors;
    int64_t others;
    int64_t status[600];
    int64_t sizes[SIZE_BUCKETS];
    struct path_total *paths; /* an open-addressed table of `room` */
    size_t count, room;
};

/* Zeroed memory is empty. */
void totals_free(struct totals *t);
/* False if there is no memory. */
bool totals_add(struct totals *t, const uint8_t *path, size_t path_size, int status, int64_t bytes);
/* Adds all of `more`; false if there is no memory. */
bool totals_merge(struct totals *t, const struct totals *more);
/* The size that `percent` of all requests do not exceed; 0 if there are none. */
int64_t totals_percentile(const struct totals *t, int percent);
/* The `n` paths with the most requests, those with the same number by name; how many there are. */
size_t totals_top(const struct totals *t, size_t n, const struct path_total **out);

#endif
