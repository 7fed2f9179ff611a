/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading lines. The file comes in blocks of 256 KiB; what is left of one behind its last newline is copied to
 * the front of the next, so that each line lies in one piece:
 *
 *     block:  | left over | read from the file ... line\n line\n line\n beginn |
 *                                                                       +-----> the next block's left over
 *
 * A line that is longer than allowed is given as its beginning, and the rest up to its newline is skipped.
 */
#include "reader.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { BLOCK = 256 * 1024 };

struct block {
    size_t holders;
    size_t size, at; /* bytes in it; where the next line begins */
    uint8_t bytes[READER_LINE_MAX + BLOCK];
};

struct reader {
    gzFile file;
    struct block *block;
    bool end, skips;
};

void block_hold(struct block *block) { block->holders++; }

void block_release(struct block *block) {
    if (block != NULL && --block->holders == 0)
        free(block);
}

struct reader *reader_open(const char *path) {
    struct reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    errno = 0;
    r->file = gzopen(path, "rb");
    if (r->file == NULL) {
        int error = errno != 0 ? errno : ENOMEM;
        free(r);
        errno = error;
        return NULL;
    }
    gzbuffer(r->file, 128 * 1024);
    return r;
}

void reader_close(struct reader *r) {
    if (r == NULL)
        return;
    gzclose(r->file);
    block_release(r->block);
    free(r);
}

/* A new block, which begins with what is left of the old one; 0, or a negative errno. */
static int next_block(struct reader *r) {
    struct block *old = r->block, *new = malloc(sizeof *new);
    if (new == NULL)
        return -ENOMEM;
    size_t left = old == NULL ? 0 : old->size - old->at;
    if (left > 0)
        memcpy(new->bytes, old->bytes + old->at, left);
    new->holders = 1;
    new->at = 0;
    errno = 0;
    int got = gzread(r->file, new->bytes + left, BLOCK);
    int problem = Z_OK;
    gzerror(r->file, &problem);
    if (got < 0 || (got < BLOCK && problem != Z_OK && problem != Z_STREAM_END)) {
        free(new);
        return problem == Z_ERRNO && errno != 0 ? -errno : -EBADMSG;
    }
    r->end = got < BLOCK;
    new->size = left + (size_t)got;
    block_release(old);
    r->block = new;
    return 0;
}

/* A line, or its beginning, in the block that is there. False: more must be read. */
static bool cut_line(struct reader *r, const uint8_t **line, size_t *size) {
    struct block *b = r->block;
    const uint8_t *at = b->bytes + b->at;
    size_t left = b->size - b->at;
    const uint8_t *newline = memchr(at, '\n', left);
    if (newline == NULL && left <= READER_LINE_MAX && !r->end)
        return false;
    size_t whole = newline != NULL ? (size_t)(newline - at) : left;
    *line = at;
    *size = whole < READER_LINE_MAX ? whole : READER_LINE_MAX;
    b->at += newline != NULL ? whole + 1 : whole;
    r->skips = newline == NULL;
    return true;
}

int reader_next(struct reader *r, const uint8_t **line, size_t *size, struct block **block) {
    for (;;) {
        bool was_cut = r->skips; /* this piece is the rest of a line that was given already */
        if (r->block != NULL && r->block->at < r->block->size && cut_line(r, line, size)) {
            if (was_cut)
                continue;
            *block = r->block;
            return 1;
        }
        if (r->end)
            return 0;
        int rc = next_block(r);
        if (rc < 0)
            return rc;
    }
}
