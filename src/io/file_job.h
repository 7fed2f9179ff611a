/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_FILE_JOB_H
#define COP__IO_FILE_JOB_H

#include <coppice/process.h>
#include <sys/stat.h>
#include <uv.h>

/* An open file, shared by count between its device or stream and the jobs that use it, so that its
   number cannot become another file's while one of them runs. */
struct cop__fd {
    uint32_t count; /* atomic */
    int fd;
};
struct cop__fd *cop__fd_keep(struct cop__fd *file);
void cop__fd_release(void *file); /* closes with the last; takes NULL */

/*
 * Work with files for a process: `run` is called on a thread of libuv's pool while the process waits.
 * Both hold the job by count: a process that is killed leaves it to the pool, and what it had
 * opened is closed, what it had read is freed, by who lets go last.
 */
struct cop__file_job {
    uv_work_t work;
    uint32_t count; /* atomic */
    cop_pid caller;
    cop_ref ref;
    void (*run)(struct cop__file_job *job);
    char *path, *other;
    struct cop__fd *file; /* to work on; of an open: the file that was opened */
    int flags, mode;
    int64_t offset; /* -1: where the file stands */
    size_t limit;   /* of a read: bytes wanted; of a whole file: bytes allowed, 0 = no limit */
    uint8_t *bytes; /* to write; read; or names, each with its NUL */
    size_t size;
    int64_t number;
    struct stat stat;
    int error; /* 0 or an errno */
};

/* A job owned by the caller. */
struct cop__file_job *cop__file_job(cop_ctx *ctx, void (*run)(struct cop__file_job *job));
/* Does it and waits; the job is the caller's until cop__file_job_end. Under simulation it is done on
   the caller's thread: files are the same in every run, their speed is not. */
void cop__file_do(cop_ctx *ctx, struct cop__file_job *job);
void cop__file_job_end(cop_ctx *ctx, struct cop__file_job *job);

/* A file's name from a term, a binary or a charlist; NULL for what can be none (a NUL inside). The
   caller's, to put into a job at once. */
char *cop__file_path(cop_term path);
/* :enoent for ENOENT and so on; :badarg for 0. */
cop_atom cop__file_errno(int error);
cop_term cop__file_error(cop_ctx *ctx, int error);

/* Flags of open(2) for the modes of coppice/file.h. */
int cop__file_flags(int modes);

/* What jobs run. */
void cop__file_run_open(struct cop__file_job *job);
void cop__file_run_read(struct cop__file_job *job);
void cop__file_run_write(struct cop__file_job *job);

#endif
