/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOGFLOW_READER_H
#define LOGFLOW_READER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Lines of a file, plain or gzip (zlib tells them apart). A line is a view into a block, which stays as long as
 * somebody holds one of its lines. A line of more than READER_LINE_MAX bytes is cut there, so no file can take
 * all memory. One thread at a time.
 */
enum { READER_LINE_MAX = 64 * 1024 };

struct block;
void block_hold(struct block *block);
void block_release(struct block *block);

struct reader;
/* NULL with errno. */
struct reader *reader_open(const char *path);
void reader_close(struct reader *r);

/* 1: a line, without its newline, in *block, which was not held for the caller; 0: the end; negative: -errno,
   -EBADMSG for a damaged gzip file. */
int reader_next(struct reader *r, const uint8_t **line, size_t *size, struct block **block);

#endif
