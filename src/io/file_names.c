/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files by their names: whole contents, directories, what is known about them.
 *
 * Each function fills a job, has it run on the pool (file_job.c) and makes a term of what it left. What
 * the kernel calls otherwise than Elixir is renamed here: a directory that is not empty is :eexist, one that
 * is no file :eperm.
 *
 * Threads: run_* on the pool's, the rest in processes.
 */
#include <coppice/file.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "io/file_job.h"
#include "io/framer.h"
#include "os/alloc.h"

/* What is read of a device whole: some never end. */
enum { ENDLESS_MAX = 64 << 20 };

/* A job about one or two paths; NULL for a bad one. */
static struct cop__file_job *job_for(cop_ctx *ctx, void (*run)(struct cop__file_job *),
                                     cop_term path, cop_term other) {
    struct cop__file_job *job = cop__file_job(ctx, run);
    job->path = cop__file_path(path);
    if (!cop_is_none(other))
        job->other = cop__file_path(other);
    if (job->path != NULL && (cop_is_none(other) || job->other != NULL))
        return job;
    cop__file_job_end(ctx, job);
    return NULL;
}

/* Does it; its error, 0 for none. */
static int done(cop_ctx *ctx, struct cop__file_job *job) {
    cop__file_do(ctx, job);
    return job->error;
}

/* :ok or {:error, reason}, and the job's end. */
static cop_term ok_or_error(cop_ctx *ctx, struct cop__file_job *job) {
    if (job == NULL)
        return cop__file_error(ctx, 0);
    int error = done(ctx, job);
    cop__file_job_end(ctx, job);
    return error == 0 ? cop_a(ok).t : cop__file_error(ctx, error);
}

static _Noreturn void raise_file_error(cop_ctx *ctx, const char *action, cop_term path,
                                       cop_term reason) {
    cop_error(ctx, cop_map(ctx, cop_a(__struct__), cop_as("Elixir.File.Error"),
                           cop_a(__exception__), cop_a(true), cop_a(action), action, cop_a(path),
                           path, cop_a(reason), reason));
}

/* ---- whole files --------------------------------------------------------------------------------------- */

static void run_read_whole(struct cop__file_job *job) {
    size_t max = job->limit;
    cop__file_run_open(job);
    if (job->error != 0)
        return;
    /* One more than there should be, so that the end is seen; it may have grown meanwhile. */
    size_t expected = job->stat.st_size > 0 ? (size_t)job->stat.st_size : 0;
    if (max != 0 && expected > max) {
        job->error = EFBIG;
        return;
    }
    if (max == 0)
        max = S_ISREG(job->stat.st_mode) ? SIZE_MAX >> 1 : ENDLESS_MAX;
    job->limit = max + 1;
    cop__file_run_read(job);
    if (job->size > max)
        job->error = EFBIG;
}

cop_term cop__file_read(cop_ctx *ctx, cop_term path, size_t max_bytes) {
    struct cop__file_job *job = job_for(ctx, run_read_whole, path, COP_NONE);
    if (job == NULL)
        return cop__file_error(ctx, 0);
    job->flags = O_RDONLY;
    job->limit = max_bytes;
    int error = done(ctx, job);
    cop_term result = error != 0
                          ? cop__file_error(ctx, error)
                          : cop_tuple(ctx, cop_a(ok), cop_binary(ctx, job->bytes, job->size));
    cop__file_job_end(ctx, job);
    return result;
}

cop_term cop__file_read_or_raise(cop_ctx *ctx, cop_term path) {
    cop_term result = cop__file_read(ctx, path, 0);
    if (!cop_match(cop_elem(result, 0), cop_a(ok)))
        raise_file_error(ctx, "read file", path, cop_elem(result, 1));
    return cop_elem(result, 1);
}

static void run_write_whole(struct cop__file_job *job) {
    cop__file_run_open(job);
    if (job->error == 0)
        cop__file_run_write(job);
}

cop_term cop__file_write(cop_ctx *ctx, cop_term path, cop_term iodata, int modes) {
    int64_t size = cop_iodata_size(iodata);
    struct cop__file_job *job = size < 0 ? NULL : job_for(ctx, run_write_whole, path, COP_NONE);
    if (job == NULL)
        return cop__file_error(ctx, 0);
    job->flags = cop__file_flags((modes & ~COP_FILE_READ) | COP_FILE_WRITE);
    job->mode = 0666;
    job->size = (size_t)size;
    job->bytes = cop__malloc(job->size + 1);
    cop_iodata_copy(iodata, job->bytes);
    return ok_or_error(ctx, job);
}

void cop__file_write_or_raise(cop_ctx *ctx, cop_term path, cop_term iodata, int modes) {
    cop_term result = cop__file_write(ctx, path, iodata, modes);
    if (!cop_match(result, cop_a(ok)))
        raise_file_error(ctx, "write to file", path, cop_elem(result, 1));
}

/* ---- what is known about a file ------------------------------------------------------------------------ */

static void run_stat(struct cop__file_job *job) {
    int rc = job->flags != 0 ? stat(job->path, &job->stat) : lstat(job->path, &job->stat);
    if (rc < 0) {
        job->error = errno;
        return;
    }
    job->number = (access(job->path, R_OK) == 0) + 2 * (access(job->path, W_OK) == 0);
}

static cop_file_type type_of(const struct stat *s) {
    return S_ISREG(s->st_mode)                          ? COP_FILE_REGULAR
           : S_ISDIR(s->st_mode)                        ? COP_FILE_DIRECTORY
           : S_ISLNK(s->st_mode)                        ? COP_FILE_SYMLINK
           : S_ISCHR(s->st_mode) || S_ISBLK(s->st_mode) ? COP_FILE_DEVICE
                                                        : COP_FILE_OTHER;
}

static const char *const type_names[] = { "regular", "directory", "symlink", "device", "other" };
static const char *const access_names[] = { "none", "read", "write", "read_write" };

static cop_term stat_term(cop_ctx *ctx, const struct cop__file_job *job) {
    const struct stat *s = &job->stat;
    return cop_map_merge(
        ctx,
        cop_map(ctx, cop_a(__struct__), cop_as("Elixir.File.Stat"), cop_a(size),
                (uint64_t)s->st_size, cop_a(type), cop_atom_new(type_names[type_of(s)]),
                cop_a(access), cop_atom_new(access_names[job->number & 3]), cop_a(mode), s->st_mode,
                cop_a(links), (uint64_t)s->st_nlink, cop_a(inode), (uint64_t)s->st_ino),
        cop_map(ctx, cop_a(atime), (int64_t)s->st_atime, cop_a(mtime), (int64_t)s->st_mtime,
                cop_a(ctime), (int64_t)s->st_ctime, cop_a(major_device), major(s->st_dev),
                cop_a(minor_device), minor(s->st_dev), cop_a(uid), s->st_uid, cop_a(gid),
                s->st_gid));
}

cop_term cop__file_stat(cop_ctx *ctx, cop_term path, bool follow) {
    struct cop__file_job *job = job_for(ctx, run_stat, path, COP_NONE);
    if (job == NULL)
        return cop__file_error(ctx, 0);
    job->flags = follow;
    int error = done(ctx, job);
    cop_term result =
        error != 0 ? cop__file_error(ctx, error) : cop_tuple(ctx, cop_a(ok), stat_term(ctx, job));
    cop__file_job_end(ctx, job);
    return result;
}

static bool name_index(cop_term name, const char *const *names, int count, int *out) {
    cop_atom atom;
    if (!cop_get_atom(name, &atom))
        return false;
    for (*out = 0; *out < count; ++*out)
        if (strcmp(cop_atom_name(atom, NULL), names[*out]) == 0)
            return true;
    return false;
}

bool cop_file_stat_from_term(cop_term stat, cop_file_stat *out) {
    cop_term type, access;
    int type_at, access_at;
    cop_term inner = stat;
    cop_match_tuple(stat, cop_a(ok), &inner);
    if (!cop_is_struct(inner, cop_as("Elixir.File.Stat"))
        || !cop_match_key(inner, cop_a(size), &out->size)
        || !cop_match_key(inner, cop_a(type), &type)
        || !cop_match_key(inner, cop_a(access), &access)
        || !cop_match_key(inner, cop_a(atime), &out->atime)
        || !cop_match_key(inner, cop_a(mtime), &out->mtime)
        || !cop_match_key(inner, cop_a(ctime), &out->ctime)
        || !cop_match_key(inner, cop_a(mode), &out->mode)
        || !cop_match_key(inner, cop_a(links), &out->links)
        || !cop_match_key(inner, cop_a(major_device), &out->major_device)
        || !cop_match_key(inner, cop_a(minor_device), &out->minor_device)
        || !cop_match_key(inner, cop_a(inode), &out->inode)
        || !cop_match_key(inner, cop_a(uid), &out->uid)
        || !cop_match_key(inner, cop_a(gid), &out->gid)
        || !name_index(type, type_names, 5, &type_at)
        || !name_index(access, access_names, 4, &access_at))
        return false;
    out->type = (cop_file_type)type_at;
    out->can_read = access_at & 1;
    out->can_write = access_at & 2;
    return true;
}

static bool stat_of(cop_ctx *ctx, cop_term path, struct stat *out) {
    struct cop__file_job *job = job_for(ctx, run_stat, path, COP_NONE);
    if (job == NULL)
        return false;
    job->flags = 1;
    bool is_there = done(ctx, job) == 0;
    *out = job->stat;
    cop__file_job_end(ctx, job);
    return is_there;
}

bool cop__file_exists(cop_ctx *ctx, cop_term path) {
    struct stat found;
    return stat_of(ctx, path, &found);
}

bool cop__file_is(cop_ctx *ctx, cop_term path, cop_file_type type) {
    struct stat found;
    return stat_of(ctx, path, &found) && type_of(&found) == type;
}

/* ---- directories --------------------------------------------------------------------------------------- */

static bool is_dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

/* The names in `bytes`, each with its NUL. */
static void run_ls(struct cop__file_job *job) {
    struct cop__framer names = { 0 };
    DIR *dir = opendir(job->path);
    if (dir == NULL) {
        job->error = errno;
        return;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL)
            break;
        if (!is_dots(entry->d_name))
            cop__framer_put(&names, entry->d_name, strlen(entry->d_name) + 1);
    }
    job->error = errno;
    closedir(dir);
    job->bytes = (uint8_t *)names.bytes;
    job->size = names.end;
}

cop_term cop__file_ls(cop_ctx *ctx, cop_term path) {
    struct cop__file_job *job = job_for(ctx, run_ls, path, COP_NONE);
    if (job == NULL)
        return cop__file_error(ctx, 0);
    int error = done(ctx, job);
    cop_term names = COP_NIL;
    for (size_t at = 0; error == 0 && at < job->size;) {
        const char *name = (const char *)job->bytes + at;
        names = cop_cons(ctx, name, names);
        at += strlen(name) + 1;
    }
    cop__file_job_end(ctx, job);
    if (error != 0)
        return cop__file_error(ctx, error);
    return cop_tuple(ctx, cop_a(ok), cop_list_reverse(ctx, names));
}

static void run_mkdir(struct cop__file_job *job) {
    if (mkdir(job->path, 0777) < 0)
        job->error = errno;
}

static bool is_dir(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static void run_mkdir_p(struct cop__file_job *job) {
    char *path = job->path;
    if (*path == '\0') {
        job->error = ENOENT;
        return;
    }
    for (char *slash = path + 1;; slash++) {
        if (*slash != '/' && *slash != '\0')
            continue;
        char end = *slash;
        *slash = '\0';
        if (mkdir(path, 0777) < 0 && (errno != EEXIST || !is_dir(path)))
            job->error = errno == EEXIST && end != '\0' ? ENOTDIR : errno;
        *slash = end;
        if (end == '\0' || job->error != 0)
            return;
    }
}

static void run_rm(struct cop__file_job *job) {
    if (unlink(job->path) < 0)
        job->error = errno == EISDIR ? EPERM : errno;
}

static void run_rmdir(struct cop__file_job *job) {
    if (rmdir(job->path) < 0)
        job->error = errno == ENOTEMPTY ? EEXIST : errno;
}

/* One entry of a directory, with all it holds. Descriptors, not paths: nobody can put a link in the way
   between the look and the removal. */
static int remove_at(int parent, const char *name, int depth, int64_t *count);

static int remove_content(int dir_fd, int depth, int64_t *count) {
    DIR *dir = fdopendir(dir_fd);
    if (dir == NULL) {
        int error = errno;
        close(dir_fd);
        return error;
    }
    int error = 0;
    for (struct dirent *entry; error == 0 && (entry = readdir(dir)) != NULL;)
        if (!is_dots(entry->d_name))
            error = remove_at(dirfd(dir), entry->d_name, depth + 1, count);
    closedir(dir);
    return error;
}

static int remove_at(int parent, const char *name, int depth, int64_t *count) {
    if (unlinkat(parent, name, 0) == 0) {
        ++*count;
        return 0;
    }
    if (errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return errno;
    if (depth > 500) /* each level holds a descriptor and some stack */
        return ELOOP;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    int error = remove_content(fd, depth, count);
    if (error == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        error = errno == ENOTEMPTY ? EEXIST : errno;
    *count += error == 0;
    return error;
}

static void run_rm_rf(struct cop__file_job *job) {
    job->error = remove_at(AT_FDCWD, job->path, 0, &job->number);
    if (job->error == ENOTDIR) /* a parent is a file: there is nothing of that name */
        job->error = 0;
}

static void run_rename(struct cop__file_job *job) {
    if (rename(job->path, job->other) < 0)
        job->error = errno == ENOTEMPTY ? EEXIST : errno;
}

static void run_cp(struct cop__file_job *job) {
    uv_fs_t copy;
    if (stat(job->path, &job->stat) < 0) {
        job->error = errno;
        return;
    }
    if (!S_ISREG(job->stat.st_mode)) { /* a FIFO would make the pool wait */
        job->error = S_ISDIR(job->stat.st_mode) ? EISDIR : ENOTSUP;
        return;
    }
    int rc = uv_fs_copyfile(NULL, &copy, job->path, job->other, 0, NULL);
    uv_fs_req_cleanup(&copy);
    if (rc < 0)
        job->error = -rc;
}

cop_term cop__file_mkdir(cop_ctx *ctx, cop_term path) {
    return ok_or_error(ctx, job_for(ctx, run_mkdir, path, COP_NONE));
}

cop_term cop__file_mkdir_p(cop_ctx *ctx, cop_term path) {
    return ok_or_error(ctx, job_for(ctx, run_mkdir_p, path, COP_NONE));
}

cop_term cop__file_rm(cop_ctx *ctx, cop_term path) {
    return ok_or_error(ctx, job_for(ctx, run_rm, path, COP_NONE));
}

cop_term cop__file_rmdir(cop_ctx *ctx, cop_term path) {
    return ok_or_error(ctx, job_for(ctx, run_rmdir, path, COP_NONE));
}

cop_term cop__file_rm_rf(cop_ctx *ctx, cop_term path) {
    struct cop__file_job *job = job_for(ctx, run_rm_rf, path, COP_NONE);
    if (job == NULL)
        return cop__file_error(ctx, 0);
    int error = done(ctx, job);
    int64_t count = job->number;
    cop__file_job_end(ctx, job);
    return error != 0 ? cop__file_error(ctx, error) : cop_tuple(ctx, cop_a(ok), count);
}

cop_term cop__file_rename(cop_ctx *ctx, cop_term from, cop_term to) {
    return ok_or_error(ctx, job_for(ctx, run_rename, from, to));
}

cop_term cop__file_cp(cop_ctx *ctx, cop_term from, cop_term to) {
    return ok_or_error(ctx, job_for(ctx, run_cp, from, to));
}
