/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File work on libuv's thread pool.
 *
 *     process --call--> loop's thread --uv_queue_work--> pool: run --{ref, :done}--> process
 *                                                          |
 *                                            loop's thread: lets go of the job
 *
 * The pool's thread answers the process itself, before the loop hears of it: one wake-up less. The
 * results are plain C in the job; the process makes terms of them.
 *
 * Invariants
 *   1. A job is touched by the pool only until its message is sent, by the process only after that.
 *   2. Who opens is who closes: a file in a job belongs to the job's count until it is taken out.
 *
 * Opening never waits for the other side of a FIFO (O_NONBLOCK): the pool has few threads, and one that
 * waits for ever would hold up the end of the node. FIFOs and sockets are refused with :enotsup.
 *
 * Threads: run_on_pool on the pool's, submit and after_work on the loop's, the rest in processes.
 */
#include "io/file_job.h"

#include <coppice/file.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/chardata.h"
#include "io/loop.h"
#include "os/alloc.h"
#include "proc/proc.h"

struct cop__fd *cop__fd_keep(struct cop__fd *file) {
    __atomic_fetch_add(&file->count, 1, __ATOMIC_RELAXED);
    return file;
}

void cop__fd_release(void *object) {
    struct cop__fd *file = object;
    if (file == NULL || __atomic_sub_fetch(&file->count, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    close(file->fd);
    cop__free(file);
}

/* ---- the way there and back ---------------------------------------------------------------------------- */

static void job_empty(struct cop__file_job *job) {
    cop__fd_release(job->file);
    cop__free(job->path);
    cop__free(job->other);
    cop__free(job->bytes);
    job->file = NULL;
    job->path = job->other = NULL;
    job->bytes = NULL;
}

static void job_release(void *object) {
    struct cop__file_job *job = object;
    if (__atomic_sub_fetch(&job->count, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    job_empty(job);
    cop__free(job);
}

struct cop__file_job *cop__file_job(cop_ctx *ctx, void (*run)(struct cop__file_job *job)) {
    cop__enter(ctx); /* a kill comes before the job is there, or when it is owned */
    struct cop__file_job *job = cop__calloc(1, sizeof *job);
    job->count = 1;
    job->run = run;
    job->offset = -1;
    return cop_own(ctx, job, job_release);
}

/* The pool is done with what is in the job: a file is closed now, not when the loop hears of it. */
void cop__file_job_end(cop_ctx *ctx, struct cop__file_job *job) {
    if (!cop_disown(ctx, job))
        return;
    job_empty(job);
    job_release(job);
}

static void run_on_pool(uv_work_t *work) {
    struct cop__file_job *job = work->data;
    job->run(job);
    struct cop__scratch scratch;
    cop_ctx *ctx = cop__scratch_open(&scratch);
    cop_term done = cop_tuple(ctx, job->ref, cop_a(done));
    struct cop__env *env = cop__env_new(SIG_MESSAGE, job->caller.t, COP_NONE, done);
    cop__scratch_close(&scratch);
    cop__deliver(NULL, env);
}

static void after_work(uv_work_t *work, int status) {
    (void)status;
    job_release(work->data);
}

static void submit(void *arg) {
    struct cop__file_job *job = arg;
    job->work.data = job;
    uv_queue_work(cop__io_loop(), &job->work, run_on_pool, after_work);
}

void cop__file_do(cop_ctx *ctx, struct cop__file_job *job) {
    if (cop__node_is_simulated()) {
        job->run(job);
        cop_yield(ctx); /* others may go on before the answer is there */
        return;
    }
    cop_term done;
    job->caller = cop_self(ctx);
    job->ref = cop_make_ref(ctx);
    cop__enter(ctx);
    __atomic_fetch_add(&job->count, 1, __ATOMIC_RELAXED);
    cop__io_call(submit, job);
    cop__leave(ctx);
    cop_receive_ref(ctx, COP_INFINITY, job->ref, &done);
}

/* ---- names and errors ---------------------------------------------------------------------------------- */

char *cop__file_path(cop_term path) {
    struct cop__framer text = { 0 };
    char *name = NULL;
    if (cop__chardata_utf8(&text, path, COP__UTF8_LENIENT) == COP__CHARDATA_OK) {
        size_t size = cop__framer_size(&text);
        const char *bytes = size > 0 ? cop__framer_data(&text) : "";
        if (size < PATH_MAX && memchr(bytes, 0, size) == NULL) {
            name = cop__malloc(size + 1);
            memcpy(name, bytes, size);
            name[size] = '\0';
        }
    }
    cop__framer_free(&text);
    return name;
}

cop_atom cop__file_errno(int error) {
    if (error == 0)
        return cop_a(badarg);
    char name[32];
    const char *text = uv_err_name(uv_translate_sys_error(error));
    size_t n = 0;
    for (; text[n] != '\0' && n < sizeof name - 1; n++)
        name[n] = (char)tolower((unsigned char)text[n]);
    name[n] = '\0';
    return cop_atom_new(name);
}

cop_term cop__file_error(cop_ctx *ctx, int error) {
    return cop_tuple(ctx, cop_a(error), cop__file_errno(error));
}

/* As Elixir's File.open: writing empties the file unless it is also read, appended to or made now. */
int cop__file_flags(int modes) {
    if ((modes & (COP_FILE_WRITE | COP_FILE_APPEND | COP_FILE_EXCLUSIVE)) == 0)
        return O_RDONLY;
    int flags = (modes & COP_FILE_READ ? O_RDWR : O_WRONLY) | O_CREAT;
    if (modes & COP_FILE_APPEND)
        flags |= O_APPEND;
    if (modes & COP_FILE_EXCLUSIVE)
        flags |= O_EXCL;
    if (modes & COP_FILE_SYNC)
        flags |= O_SYNC;
    if ((modes & (COP_FILE_READ | COP_FILE_APPEND | COP_FILE_EXCLUSIVE)) == 0)
        flags |= O_TRUNC;
    return flags;
}

/* ---- open, read, write --------------------------------------------------------------------------------- */

void cop__file_run_open(struct cop__file_job *job) {
    int fd = open(job->path, job->flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, job->mode);
    if (fd < 0) {
        job->error = errno;
        return;
    }
    job->error = fstat(fd, &job->stat) < 0                                    ? errno
                 : S_ISDIR(job->stat.st_mode)                                 ? EISDIR
                 : S_ISFIFO(job->stat.st_mode) || S_ISSOCK(job->stat.st_mode) ? ENOTSUP
                                                                              : 0;
    if (job->error != 0) {
        close(fd);
        return;
    }
    job->file = cop__malloc(sizeof *job->file);
    *job->file = (struct cop__fd){ .count = 1, .fd = fd };
}

/* One read, as long as it is interrupted. */
static ssize_t read_once(const struct cop__file_job *job, uint8_t *to, size_t size) {
    ssize_t n;
    do
        n = job->offset < 0 ? read(job->file->fd, to, size)
                            : pread(job->file->fd, to, size, job->offset + (int64_t)job->size);
    while (n < 0 && errno == EINTR);
    return n;
}

/* `limit` bytes, or fewer at the end of the file; the buffer grows as they come, because a small file may
   be asked for a large piece. */
void cop__file_run_read(struct cop__file_job *job) {
    size_t room = 0;
    while (job->size < job->limit) {
        if (job->size == room) {
            room = room == 0 ? 65536 : room * 2;
            if (room > job->limit)
                room = job->limit;
            job->bytes = cop__realloc(job->bytes, room);
        }
        ssize_t n = read_once(job, job->bytes + job->size, room - job->size);
        if (n < 0 && job->size == 0)
            job->error = errno;
        if (n <= 0)
            break;
        job->size += (size_t)n;
    }
}

void cop__file_run_write(struct cop__file_job *job) {
    size_t done = 0;
    while (done < job->size) {
        ssize_t n = job->offset < 0 ? write(job->file->fd, job->bytes + done, job->size - done)
                                    : pwrite(job->file->fd, job->bytes + done, job->size - done,
                                             job->offset + (int64_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            job->error = errno;
            return;
        }
        done += (size_t)n;
    }
}
