/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files: I/O devices (device.c) that also answer the requests of Erlang's :file,
 *
 *     {:file_request, from, reply_as, request}  ->  {:file_reply, reply_as, reply}
 *
 * The device's process opens the file itself and tells the opener; it monitors the opener and ends with it. Each
 * access is a job (file_job.c) for which the process waits, so requests are done in the order they came.
 *
 * Input is read ahead. Before a write, a change of place or a truncation what is read ahead is thrown away and
 * the file goes back by as much, so that it always stands where its reader thinks.
 *
 * Threads: run_* on the pool's; the device's process; the calls below from any.
 */
#include <coppice/file.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "io/device.h"
#include "io/file_job.h"
#include "io/user.h"
#include "os/alloc.h"

enum { READ_AHEAD = 65536 };
static const uint64_t count_max = (uint64_t)1 << 30;

struct file {
    struct cop__fd *file; /* owned by the process */
    cop_ref owner;        /* the monitor on it */
};

static struct cop__file_job *file_job(cop_ctx *ctx, const struct file *self,
                                      void (*run)(struct cop__file_job *)) {
    struct cop__file_job *job = cop__file_job(ctx, run);
    job->file = cop__fd_keep(self->file);
    return job;
}

/* Does it; its error. */
static int finish(cop_ctx *ctx, struct cop__file_job *job) {
    cop__file_do(ctx, job);
    int error = job->error;
    cop__file_job_end(ctx, job);
    return error;
}

static cop_term ok_or_error(cop_ctx *ctx, int error) {
    return error == 0 ? cop_a(ok).t : cop__file_error(ctx, error);
}

/* Back to where the reader is. */
static void forget_ahead(struct cop__device *d) {
    const struct file *self = d->self;
    size_t ahead = cop__device_drop_input(d);
    if (ahead > 0)
        lseek(self->file->fd, -(off_t)ahead, SEEK_CUR);
}

/* ---- as a device --------------------------------------------------------------------------------------- */

static enum cop__device_input file_more(cop_ctx *ctx, struct cop__device *d) {
    struct cop__file_job *job = file_job(ctx, d->self, cop__file_run_read);
    job->limit = READ_AHEAD;
    cop__file_do(ctx, job);
    if (job->size > 0)
        cop__device_input(d, (const char *)job->bytes, job->size);
    else
        cop__device_input_end(d, job->error == 0 ? COP_NONE : cop__file_errno(job->error).t);
    cop__file_job_end(ctx, job);
    return COP__INPUT_NOW;
}

static void fill(struct cop__file_job *job, const void *bytes, size_t size) {
    job->bytes = cop__malloc(size + 1);
    memcpy(job->bytes, bytes, size);
    job->size = size;
}

static enum cop__device_output file_write(cop_ctx *ctx, struct cop__device *d, const char *bytes,
                                          size_t size, cop_term *reason) {
    forget_ahead(d);
    struct cop__file_job *job = file_job(ctx, d->self, cop__file_run_write);
    fill(job, bytes, size);
    int error = finish(ctx, job);
    if (error == 0)
        return COP__OUTPUT_DONE;
    *reason = cop__file_errno(error).t;
    return COP__OUTPUT_FAILED;
}

/* ---- the requests of :file ----------------------------------------------------------------------------- */

static void run_truncate(struct cop__file_job *job) {
    off_t at = lseek(job->file->fd, 0, SEEK_CUR);
    if (at < 0 || ftruncate(job->file->fd, at) < 0)
        job->error = errno;
}

static void run_sync(struct cop__file_job *job) {
    if ((job->flags != 0 ? fdatasync(job->file->fd) : fsync(job->file->fd)) < 0)
        job->error = errno;
}

static cop_term request_pread(cop_ctx *ctx, struct cop__device *d, int64_t at, uint64_t count) {
    if (at < 0)
        return cop__file_error(ctx, EINVAL);
    if (count > count_max)
        return cop__file_error(ctx, ENOMEM);
    struct cop__file_job *job = file_job(ctx, d->self, cop__file_run_read);
    job->offset = at;
    job->limit = (size_t)count;
    cop__file_do(ctx, job);
    cop_term reply = job->error != 0 ? cop__file_error(ctx, job->error)
                     : job->size == 0 && count > 0
                         ? cop_a(eof).t
                         : cop_tuple(ctx, cop_a(ok), cop_binary(ctx, job->bytes, job->size));
    cop__file_job_end(ctx, job);
    return reply;
}

static cop_term request_pwrite(cop_ctx *ctx, struct cop__device *d, int64_t at, cop_term iodata) {
    int64_t size = cop_iodata_size(iodata);
    if (size < 0)
        return cop__file_error(ctx, 0);
    if (at < 0)
        return cop__file_error(ctx, EINVAL);
    forget_ahead(d);
    struct cop__file_job *job = file_job(ctx, d->self, cop__file_run_write);
    job->offset = at;
    job->bytes = cop__malloc((size_t)size + 1);
    job->size = (size_t)size;
    cop_iodata_copy(iodata, job->bytes);
    return ok_or_error(ctx, finish(ctx, job));
}

/* An integer, {:bof | :cur | :eof, integer}, or one of these atoms alone. */
static cop_term request_position(cop_ctx *ctx, struct cop__device *d, cop_term place) {
    const struct file *self = d->self;
    int64_t offset = 0;
    cop_term from = cop_a(bof).t;
    if (!cop_get_i64(place, &offset) && !cop_match_tuple(place, &from, &offset))
        from = place;
    int whence = cop_match(from, cop_a(bof))   ? SEEK_SET
                 : cop_match(from, cop_a(cur)) ? SEEK_CUR
                 : cop_match(from, cop_a(eof)) ? SEEK_END
                                               : -1;
    if (whence < 0)
        return cop__file_error(ctx, 0);
    forget_ahead(d);
    off_t at = lseek(self->file->fd, offset, whence);
    return at < 0 ? cop__file_error(ctx, errno) : cop_tuple(ctx, cop_a(ok), (int64_t)at);
}

static cop_term file_request(cop_ctx *ctx, struct cop__device *d, cop_term request) {
    int64_t at;
    uint64_t count;
    cop_term data;
    if (cop_match_tuple(request, cop_a(pread), &at, &count))
        return request_pread(ctx, d, at, count);
    if (cop_match_tuple(request, cop_a(pread), &at, &data))
        return cop__file_error(ctx, 0);
    if (cop_match_tuple(request, cop_a(pwrite), &at, &data))
        return request_pwrite(ctx, d, at, data);
    if (cop_match_tuple(request, cop_a(position), &data))
        return request_position(ctx, d, data);
    if (cop_match(request, cop_a(truncate))) {
        forget_ahead(d);
        return ok_or_error(ctx, finish(ctx, file_job(ctx, d->self, run_truncate)));
    }
    if (cop_match(request, cop_a(sync)) || cop_match(request, cop_a(datasync))) {
        struct cop__file_job *job = file_job(ctx, d->self, run_sync);
        job->flags = cop_match(request, cop_a(datasync));
        return ok_or_error(ctx, finish(ctx, job));
    }
    return cop_match(request, cop_a(close)) ? cop_a(ok).t
                                            : cop_tuple(ctx, cop_a(error), cop_a(request));
}

static void file_message(cop_ctx *ctx, struct cop__device *d, cop_term message) {
    const struct file *self = d->self;
    cop_term from, reply_as, request, pid, reason;
    if (cop_match_tuple(message, cop_as("DOWN"), self->owner, cop_a(process), &pid, &reason))
        cop_exit(ctx, reason);
    if (!cop_match_tuple(message, cop_a(file_request), &from, &reply_as, &request)
        || !cop_is_pid(from))
        return;
    cop_term reply = file_request(ctx, d, request);
    bool closing = cop_match(request, cop_a(close));
    if (closing && cop_disown(ctx, self->file))
        cop__fd_release(self->file); /* closed when the answer comes */
    cop_send(ctx, from, cop_tuple(ctx, cop_a(file_reply), reply_as, reply));
    if (closing)
        cop_exit(ctx, cop_a(normal));
}

static const struct cop__device_ops file_ops = {
    .name = "file",
    .more = file_more,
    .write = file_write,
    .message = file_message,
};

/* ---- opening ------------------------------------------------------------------------------------------- */

/* {opener, ref, path, modes} */
static void file_main(cop_ctx *ctx, cop_term arg) {
    cop_pid opener;
    cop_ref ref;
    int modes;
    cop_term path;
    if (!cop_match_tuple(arg, &opener, &ref, &path, &modes))
        cop_exit(ctx, cop_a(badarg));
    struct file *self = cop_alloc(ctx, sizeof *self);
    self->owner = cop_process_monitor(ctx, opener);
    struct cop__file_job *job = cop__file_job(ctx, cop__file_run_open);
    job->path = cop__file_path(path);
    job->flags = cop__file_flags(modes);
    job->mode = 0666;
    if (job->path != NULL)
        cop__file_do(ctx, job);
    if (job->file == NULL) {
        cop_term error = cop__file_error(ctx, job->error);
        cop__file_job_end(ctx, job);
        cop_send(ctx, opener, cop_tuple(ctx, ref, error));
        return;
    }
    self->file = cop_own(ctx, cop__fd_keep(job->file), cop__fd_release);
    cop__file_job_end(ctx, job);
    struct cop__device *d = cop__device_new(ctx, &file_ops, self, (modes & COP_FILE_UTF8) == 0);
    cop_send(ctx, opener, cop_tuple(ctx, ref, cop_tuple(ctx, cop_a(ok), cop_self(ctx))));
    cop__device_run(ctx, d);
}

cop_term cop__file_open(cop_ctx *ctx, cop_term path, int modes) {
    cop_term message;
    cop_ref ref = cop_make_ref(ctx);
    cop_term arg = cop_tuple(ctx, cop_self(ctx), ref, path, modes);
    cop_process_spawn(ctx, file_main, arg,
                      &(cop_spawn_opts){ .monitor_ref = ref, .name_hint = "File" });
    cop_receive_ref(ctx, COP_INFINITY, ref, &message);
    cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
    if (cop_tuple_size(message) == 2)
        return cop_elem(message, 1);
    return cop_tuple(ctx, cop_a(error),
                     cop_elem(message, 4)); /* it was killed before it could answer */
}

/* ---- the calls ----------------------------------------------------------------------------------------- */

cop_term cop_file_close(cop_ctx *ctx, cop_pid file) {
    cop_term reply = cop__file_request(ctx, file.t, cop_a(close).t);
    return cop_match(reply, cop_a(ok)) || cop_match(cop_elem(reply, 1), cop_a(terminated))
               ? cop_a(ok).t
               : reply;
}

cop_term cop_file_pread(cop_ctx *ctx, cop_pid file, int64_t at, uint64_t count) {
    return cop__file_request(ctx, file.t, cop_tuple(ctx, cop_a(pread), at, count));
}

cop_term cop__file_pwrite(cop_ctx *ctx, cop_pid file, int64_t at, cop_term iodata) {
    return cop__file_request(ctx, file.t, cop_tuple(ctx, cop_a(pwrite), at, iodata));
}

cop_term cop_file_position(cop_ctx *ctx, cop_pid file, cop_file_whence whence, int64_t offset) {
    cop_atom from = whence == COP_FILE_CUR   ? cop_a(cur)
                    : whence == COP_FILE_EOF ? cop_a(eof)
                                             : cop_a(bof);
    return cop__file_request(ctx, file.t,
                             cop_tuple(ctx, cop_a(position), cop_tuple(ctx, from, offset)));
}

cop_term cop_file_truncate(cop_ctx *ctx, cop_pid file) {
    return cop__file_request(ctx, file.t, cop_a(truncate).t);
}

cop_term cop_file_sync(cop_ctx *ctx, cop_pid file) {
    return cop__file_request(ctx, file.t, cop_a(sync).t);
}

cop_term cop_file_datasync(cop_ctx *ctx, cop_pid file) {
    return cop__file_request(ctx, file.t, cop_a(datasync).t);
}
