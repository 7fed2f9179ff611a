/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file as a stream of lines or chunks: a generator (proc/enum.c) with a buffer.
 *
 * The stream's argument is a map with the path and the options, so it can be sent and opened anywhere. A
 * walk reads 64 KiB at a time, or a chunk, and keeps what is not yet a line; a line longer than line_max is
 * given in pieces, so the buffer has a bound whatever the file holds.
 *
 * Threads: the process that walks.
 */
#include <coppice/file.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "io/file_job.h"
#include "io/framer.h"
#include "os/alloc.h"

enum { READ_SIZE = 65536, LINE_MAX_DEFAULT = 1 << 20 };
static const size_t size_limit = (size_t)1 << 30;

struct stream {
    struct cop__fd *file;
    struct cop__framer buffer;
    size_t chunk, line_max;
    bool eof;
};

static _Noreturn void raise_stream_error(cop_ctx *ctx, cop_term path, int error) {
    cop_error(ctx, cop_map(ctx, cop_a(__struct__), cop_as("Elixir.File.Error"),
                           cop_a(__exception__), cop_a(true), cop_a(action), "stream", cop_a(path),
                           path, cop_a(reason), cop__file_errno(error)));
}

static cop_term path_of(cop_term arg) {
    cop_term path = COP_NIL;
    cop_map_get(arg, cop_a(path).t, &path);
    return path;
}

static void stream_open(cop_ctx *ctx, void *state, cop_term arg) {
    struct stream *self = state;
    bool missing_is_empty = false;
    struct cop__file_job *job = cop__file_job(ctx, cop__file_run_open);
    job->path = cop__file_path(path_of(arg));
    if (job->path == NULL || !cop_match_key(arg, cop_a(chunk), &self->chunk)
        || !cop_match_key(arg, cop_a(line_max), &self->line_max)
        || !cop_match_key(arg, cop_a(missing_is_empty), &missing_is_empty)) {
        cop__file_job_end(ctx, job);
        cop_error(ctx, cop_a(badarg));
    }
    job->flags = O_RDONLY;
    cop__file_do(ctx, job);
    int error = job->error;
    self->file = job->file;
    job->file = NULL;
    cop__file_job_end(ctx, job);
    if (error == ENOENT && missing_is_empty)
        self->eof = true;
    else if (error != 0)
        raise_stream_error(ctx, path_of(arg), error);
}

static void read_more(cop_ctx *ctx, struct stream *self, cop_term arg) {
    size_t have = cop__framer_size(&self->buffer);
    struct cop__file_job *job = cop__file_job(ctx, cop__file_run_read);
    job->file = cop__fd_keep(self->file);
    job->limit = self->chunk > READ_SIZE ? self->chunk - have : READ_SIZE;
    cop__file_do(ctx, job);
    int error = job->error;
    self->eof = job->size < job->limit;
    cop__framer_put(&self->buffer, (const char *)job->bytes, job->size);
    cop__file_job_end(ctx, job);
    if (error != 0)
        raise_stream_error(ctx, path_of(arg), error);
}

/* The size of the next element; 0: not here yet. */
static size_t element_size(struct stream *self) {
    size_t have = cop__framer_size(&self->buffer);
    if (self->chunk == 0) {
        size_t line = cop__framer_line(&self->buffer, self->line_max);
        return line == 0 && self->eof ? have : line;
    }
    return have >= self->chunk ? self->chunk : self->eof ? have : 0;
}

static bool stream_next(cop_ctx *ctx, void *state, cop_term *kept, cop_term *element) {
    struct stream *self = state;
    size_t size;
    while ((size = element_size(self)) == 0 && !self->eof)
        read_more(ctx, self, *kept);
    if (size == 0)
        return false;
    const char *bytes = cop__framer_data(&self->buffer);
    if (self->chunk == 0 && size >= 2 && bytes[size - 2] == '\r' && bytes[size - 1] == '\n') {
        uint8_t *line;
        *element = cop_binary_new(ctx, size - 1, &line);
        memcpy(line, bytes, size - 2);
        line[size - 2] = '\n';
    } else {
        *element = cop_binary(ctx, bytes, size);
    }
    cop__framer_take(&self->buffer, size);
    return true;
}

static void stream_close(void *state) {
    struct stream *self = state;
    cop__fd_release(self->file);
    cop__framer_free(&self->buffer);
}

static const cop_generator file_stream = {
    .name = "File.Stream",
    .state_size = sizeof(struct stream),
    .open = stream_open,
    .next = stream_next,
    .close = stream_close,
};

cop_term cop__file_stream(cop_ctx *ctx, cop_term path, const cop_file_stream_opts *opts) {
    cop_file_stream_opts o = opts != NULL ? *opts : (cop_file_stream_opts){ 0 };
    char *name = cop__file_path(path);
    if (name == NULL || o.chunk > size_limit || o.line_max > size_limit) {
        cop__free(name);
        raise_stream_error(ctx, path, 0);
    }
    cop__free(name);
    return cop_stream(ctx, &file_stream,
                      cop_map(ctx, cop_a(path), path, cop_a(chunk), (uint64_t)o.chunk,
                              cop_a(line_max),
                              (uint64_t)(o.line_max != 0 ? o.line_max : LINE_MAX_DEFAULT),
                              cop_a(missing_is_empty), o.missing_is_empty));
}
