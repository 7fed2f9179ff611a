/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts of an access log. The table of paths is open-addressed and at most three quarters full; it owns the
 * bytes of its paths. Nothing here knows of processes or terms.
 */
#include "totals.h"

#include <stdlib.h>
#include <string.h>

size_t size_bucket(int64_t bytes) {
    uint64_t n = bytes < 0 ? 0 : (uint64_t)bytes;
    if (n < 128)
        return (size_t)n;
    if (n >> 50 != 0)
        n = (UINT64_C(1) << 50) - 1;
    unsigned shift = 57 - (unsigned)__builtin_clzll(n); /* so that 64 <= n >> shift < 128 */
    return 128 + (shift - 1) * 64 + (size_t)((n >> shift) - 64);
}

int64_t size_of_bucket(size_t bucket) {
    if (bucket < 128)
        return (int64_t)bucket;
    size_t shift = (bucket - 128) / 64 + 1;
    return (int64_t)((bucket - 128) % 64 + 64) << shift;
}

static uint64_t hash_of(const uint8_t *path, size_t size) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        h = (h ^ path[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

/* The row of that path, or the free one where it would stand. */
static struct path_total *find(struct path_total *paths, size_t room, const uint8_t *path,
                               size_t size, uint64_t hash) {
    for (size_t i = (size_t)hash & (room - 1);; i = (i + 1) & (room - 1)) {
        struct path_total *row = &paths[i];
        if (row->path == NULL
            || (row->hash == hash && row->size == size && memcmp(row->path, path, size) == 0))
            return row;
    }
}

static bool grow(struct totals *t) {
    size_t room = t->room == 0 ? 64 : 2 * t->room;
    struct path_total *paths = calloc(room, sizeof *paths);
    if (paths == NULL)
        return false;
    for (size_t i = 0; i < t->room; i++) {
        const struct path_total *row = &t->paths[i];
        if (row->path != NULL)
            *find(paths, room, row->path, row->size, row->hash) = *row;
    }
    free(t->paths);
    t->paths = paths;
    t->room = room;
    return true;
}

static bool add_path(struct totals *t, const uint8_t *path, size_t size, int64_t requests,
                     int64_t bytes) {
    if (4 * (t->count + 1) > 3 * t->room && !grow(t))
        return false;
    uint64_t hash = hash_of(path, size);
    struct path_total *row = find(t->paths, t->room, path, size, hash);
    if (row->path == NULL) {
        if (t->count == PATHS_MAX) {
            t->others += requests;
            return true;
        }
        uint8_t *copy = malloc(size + 1);
        if (copy == NULL)
            return false;
        memcpy(copy, path, size);
        *row = (struct path_total){ .path = copy, .size = size, .hash = hash };
        t->count++;
    }
    row->requests += requests;
    row->bytes += bytes;
    return true;
}

void totals_free(struct totals *t) {
    for (size_t i = 0; i < t->room; i++)
        free(t->paths[i].path);
    free(t->paths);
    *t = (struct totals){ 0 };
}

bool totals_add(struct totals *t, const uint8_t *path, size_t path_size, int status,
                int64_t bytes) {
    if (status < 0 || status >= 600 || !add_path(t, path, path_size, 1, bytes))
        return false;
    t->lines++;
    t->bytes += bytes;
    t->status[status]++;
    t->server_errors += status >= 500;
    t->sizes[size_bucket(bytes)]++;
    return true;
}

bool totals_merge(struct totals *t, const struct totals *more) {
    t->lines += more->lines;
    t->malformed += more->malformed;
    t->lost += more->lost;
    t->bytes += more->bytes;
    t->server_errors += more->server_errors;
    t->others += more->others;
    for (size_t i = 0; i < 600; i++)
        t->status[i] += more->status[i];
    for (size_t i = 0; i < SIZE_BUCKETS; i++)
        t->sizes[i] += more->sizes[i];
    for (size_t i = 0; i < more->room; i++) {
        const struct path_total *row = &more->paths[i];
        if (row->path != NULL && !add_path(t, row->path, row->size, row->requests, row->bytes))
            return false;
    }
    return true;
}

int64_t totals_percentile(const struct totals *t, int percent) {
    int64_t all = 0, seen = 0;
    for (size_t i = 0; i < SIZE_BUCKETS; i++)
        all += t->sizes[i];
    for (size_t i = 0; i < SIZE_BUCKETS; i++) {
        seen += t->sizes[i];
        if (all > 0 && seen * 100 >= all * percent)
            return size_of_bucket(i);
    }
    return 0;
}

/* Does a stand before b in the report? */
static bool is_before(const struct path_total *a, const struct path_total *b) {
    if (a->requests != b->requests)
        return a->requests > b->requests;
    int order = memcmp(a->path, b->path, a->size < b->size ? a->size : b->size);
    return order != 0 ? order < 0 : a->size < b->size;
}

size_t totals_top(const struct totals *t, size_t n, const struct path_total **out) {
    size_t found = 0;
    for (size_t i = 0; i < t->room; i++) {
        const struct path_total *row = &t->paths[i];
        if (row->path == NULL || n == 0 || (found == n && !is_before(row, out[n - 1])))
            continue;
        size_t at = found < n ? found++ : n - 1;
        for (; at > 0 && is_before(row, out[at - 1]); at--)
            out[at] = out[at - 1];
        out[at] = row;
    }
    return found;
}
