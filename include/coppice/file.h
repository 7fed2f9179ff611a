/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_FILE_H
#define COPPICE_FILE_H

#include <coppice/enum.h>
#include <coppice/process.h>

/*
 * Files, as Elixir's File. The work is done by a small pool of threads (4; libuv's environment variable
 * UV_THREADPOOL_SIZE) while the caller waits for the answer, so a slow disk holds up no scheduler.
 *
 * A path is a C string or a term: a binary or a charlist. Results are terms, as in Elixir:
 * :ok, {:ok, value} or {:error, reason}; a reason is a POSIX name such as :enoent, :eacces, :eexist,
 * :enospc, or :badarg for a path with a NUL. Everything here may wait; call it inside a process.
 */

#define COP__PATH(function, ctx, path, ...)                                  \
    ({                                                                       \
        cop_ctx *cop__fc = (ctx);                                            \
        function(cop__fc, cop_of(cop__fc, path) __VA_OPT__(, ) __VA_ARGS__); \
    })
#define COP__PATHS(function, ctx, path, other)                            \
    ({                                                                    \
        cop_ctx *cop__fc = (ctx);                                         \
        function(cop__fc, cop_of(cop__fc, path), cop_of(cop__fc, other)); \
    })

/* ---- whole files ----------------------------------------------------------------------------- */

/*
 * The content of a file.
 *
 * Elixir:    File.read/1
 * Max_bytes: of cop_file_read_max: {:error, :efbig} for a longer file, of which no more is read
 * Returns:   {:ok, binary} or {:error, reason}; :eisdir for a directory, :enotsup for a FIFO
 */
#define cop_file_read(ctx, path) COP__PATH(cop__file_read, ctx, path, 0)
#define cop_file_read_max(ctx, path, max_bytes) COP__PATH(cop__file_read, ctx, path, (max_bytes))
/* The same, a binary; raises a File.Error. Elixir: File.read!/1. */
#define cop_file_read_or_raise(ctx, path) COP__PATH(cop__file_read_or_raise, ctx, path)

/*
 * What a file is opened for; a combination.
 *   COP_FILE_READ       to read. Alone it is also the meaning of 0
 *   COP_FILE_WRITE      to write: made if it is missing, emptied unless READ, APPEND or EXCLUSIVE is
 *                       given too
 *   COP_FILE_APPEND     every write goes to the end; made if it is missing
 *   COP_FILE_EXCLUSIVE  made now, {:error, :eexist} if it is there
 *   COP_FILE_SYNC       a write returns when the data is on the device (O_SYNC)
 *   COP_FILE_UTF8       of cop_file_open: the device's encoding is unicode; without it latin1
 */
enum {
    COP_FILE_READ = 1,
    COP_FILE_WRITE = 2,
    COP_FILE_APPEND = 4,
    COP_FILE_EXCLUSIVE = 8,
    COP_FILE_SYNC = 16,
    COP_FILE_UTF8 = 32,
};
/*
 * Makes iodata the content of a file; with COP_FILE_APPEND its end, with COP_FILE_EXCLUSIVE only of a
 * new one.
 *
 * Elixir:  File.write/3
 * Iodata:  anything cop_of takes
 * Returns: :ok or {:error, reason}; :badarg for what is no iodata
 */
#define cop_file_write(ctx, path, iodata, modes)                                           \
    ({                                                                                     \
        cop_ctx *cop__fc = (ctx);                                                          \
        cop__file_write(cop__fc, cop_of(cop__fc, path), cop_of(cop__fc, iodata), (modes)); \
    })
/* The same; raises a File.Error. Elixir: File.write!/3. */
#define cop_file_write_or_raise(ctx, path, iodata, modes)                                 \
    ({                                                                                    \
        cop_ctx *cop__fc = (ctx);                                                         \
        cop__file_write_or_raise(cop__fc, cop_of(cop__fc, path), cop_of(cop__fc, iodata), \
                                 (modes));                                                \
    })

/*
 * How a file is streamed.
 *   chunk      bytes of an element; 0 = line by line
 *   line_max   a longer line comes in pieces of that size, so that no file can take all memory;
 *              0 = 1 MiB, at most 1 GiB
 *   missing_is_empty   a file that is not there has no elements
 */
typedef struct cop_file_stream_opts {
    size_t chunk;
    size_t line_max;
    bool missing_is_empty;
} cop_file_stream_opts;
/*
 * A file as an enumerable (coppice/enum.h) of binaries: lines with their newline, "\r\n" as "\n", or
 * chunks. It is opened when a walk begins and closed when it ends; a walk holds one line or chunk and
 * 64 KiB.
 *
 * Elixir:  File.stream!/3
 * Opts:    NULL = lines
 * Errors:  the walk raises a File.Error; a path that can be none raises it here
 */
#define cop_file_stream(ctx, path, opts) COP__PATH(cop__file_stream, ctx, path, (opts))

/* ---- open files ------------------------------------------------------------------------------ */

/*
 * Opens a file. What comes back is a process, an I/O device, as in Elixir: it is read and written by the
 * functions of coppice/io.h, from any process, and of any node. Its encoding is latin1 (so
 * cop_io_binread and cop_io_binwrite mean bytes), or unicode with COP_FILE_UTF8. It closes the file and
 * ends when the process that opened it ends. Unlike Elixir's it also lives on after a failed write.
 *
 * Elixir:  File.open/2
 * Modes:   COP_FILE_READ and so on; 0 = COP_FILE_READ
 * Returns: {:ok, pid} or {:error, reason}
 */
#define cop_file_open(ctx, path, modes) COP__PATH(cop__file_open, ctx, path, (modes))
/* :ok, also when it is closed already. Elixir: File.close/1. */
cop_term cop_file_close(cop_ctx *ctx, cop_pid file);
/*
 * Reads at a place, or writes there; where the file stands does not change.
 *
 * Erlang:  :file.pread/3, pwrite/3
 * Returns: pread: {:ok, binary}, shorter only at the end of the file, or :eof; pwrite: :ok; or
 *          {:error, reason}: :einval for a negative place, :enomem for more than 1 GiB at once,
 *          :terminated when the file is closed
 */
cop_term cop_file_pread(cop_ctx *ctx, cop_pid file, int64_t at, uint64_t count);
#define cop_file_pwrite(ctx, file, at, iodata)                            \
    ({                                                                    \
        cop_ctx *cop__fc = (ctx);                                         \
        cop__file_pwrite(cop__fc, (file), (at), cop_of(cop__fc, iodata)); \
    })
/* Moves to `offset` from the beginning, from here or from the end: {:ok, place from the beginning} or
   {:error, reason}. Erlang: :file.position/2. */
typedef enum cop_file_whence { COP_FILE_BOF, COP_FILE_CUR, COP_FILE_EOF } cop_file_whence;
cop_term cop_file_position(cop_ctx *ctx, cop_pid file, cop_file_whence whence, int64_t offset);
/* Cuts the file off where it stands. Erlang: :file.truncate/1. */
cop_term cop_file_truncate(cop_ctx *ctx, cop_pid file);
/* :ok when what was written is on the device; datasync: without the times of access and the like.
   Erlang: :file.sync/1, datasync/1. */
cop_term cop_file_sync(cop_ctx *ctx, cop_pid file);
cop_term cop_file_datasync(cop_ctx *ctx, cop_pid file);

/* ---- names and directories ------------------------------------------------------------------- */

typedef enum cop_file_type {
    COP_FILE_REGULAR,
    COP_FILE_DIRECTORY,
    COP_FILE_SYMLINK,
    COP_FILE_DEVICE,
    COP_FILE_OTHER,
} cop_file_type;
/* Times are seconds since 1970. Elixir: %File.Stat{}. */
typedef struct cop_file_stat {
    uint64_t size;
    cop_file_type type;
    bool can_read, can_write; /* by this program's user: `access` */
    int64_t atime, mtime, ctime;
    uint32_t mode;
    uint64_t links, major_device, minor_device, inode;
    uint32_t uid, gid;
} cop_file_stat;
/*
 * What is known about a file; lstat does not follow a symbolic link.
 *
 * Elixir:  File.stat/2, lstat/2, with times as :posix
 * Returns: {:ok, %File.Stat{...}} or {:error, reason}
 */
#define cop_file_stat(ctx, path) COP__PATH(cop__file_stat, ctx, path, true)
#define cop_file_lstat(ctx, path) COP__PATH(cop__file_stat, ctx, path, false)
/* Such a term as a C struct; false for another. */
bool cop_file_stat_from_term(cop_term stat, cop_file_stat *out);

/* Elixir: File.exists?/1, dir?/1, regular?/1. */
#define cop_file_exists(ctx, path) COP__PATH(cop__file_exists, ctx, path)
#define cop_file_is_dir(ctx, path) COP__PATH(cop__file_is, ctx, path, COP_FILE_DIRECTORY)
#define cop_file_is_regular(ctx, path) COP__PATH(cop__file_is, ctx, path, COP_FILE_REGULAR)
/* {:ok, [name]}, in the order of the directory, without "." and "..". Elixir: File.ls/1. */
#define cop_file_ls(ctx, path) COP__PATH(cop__file_ls, ctx, path)
/* :ok or {:error, reason}. A directory is no file: :eperm. Elixir: File.rm/1. */
#define cop_file_rm(ctx, path) COP__PATH(cop__file_rm, ctx, path)
/* An empty directory; :eexist for one that is not empty. Elixir: File.rmdir/1. */
#define cop_file_rmdir(ctx, path) COP__PATH(cop__file_rmdir, ctx, path)
/* A file or a directory with all it holds; {:ok, count of what was removed}, 0 when it was not there, or
   {:error, reason}. Symbolic links are removed, not followed. Elixir: File.rm_rf/1. */
#define cop_file_rm_rf(ctx, path) COP__PATH(cop__file_rm_rf, ctx, path)
/* A directory; mkdir_p makes its parents too, and one that is there is :ok. Elixir: File.mkdir/1,
   mkdir_p/1. */
#define cop_file_mkdir(ctx, path) COP__PATH(cop__file_mkdir, ctx, path)
#define cop_file_mkdir_p(ctx, path) COP__PATH(cop__file_mkdir_p, ctx, path)
/* Elixir: File.rename/2. */
#define cop_file_rename(ctx, from, to) COP__PATHS(cop__file_rename, ctx, from, to)
/* Copies a file's content and permissions; `to` is replaced. Elixir: File.cp/2. */
#define cop_file_cp(ctx, from, to) COP__PATHS(cop__file_cp, ctx, from, to)

/* ---- pieces of the macros above -------------------------------------------------------------- */

cop_term cop__file_read(cop_ctx *ctx, cop_term path, size_t max_bytes);
cop_term cop__file_read_or_raise(cop_ctx *ctx, cop_term path);
cop_term cop__file_write(cop_ctx *ctx, cop_term path, cop_term iodata, int modes);
void cop__file_write_or_raise(cop_ctx *ctx, cop_term path, cop_term iodata, int modes);
cop_term cop__file_open(cop_ctx *ctx, cop_term path, int modes);
cop_term cop__file_pwrite(cop_ctx *ctx, cop_pid file, int64_t at, cop_term iodata);
cop_term cop__file_stream(cop_ctx *ctx, cop_term path, const cop_file_stream_opts *opts);
cop_term cop__file_stat(cop_ctx *ctx, cop_term path, bool follow);
bool cop__file_exists(cop_ctx *ctx, cop_term path);
bool cop__file_is(cop_ctx *ctx, cop_term path, cop_file_type type);
cop_term cop__file_ls(cop_ctx *ctx, cop_term path);
cop_term cop__file_rm(cop_ctx *ctx, cop_term path);
cop_term cop__file_rmdir(cop_ctx *ctx, cop_term path);
cop_term cop__file_rm_rf(cop_ctx *ctx, cop_term path);
cop_term cop__file_mkdir(cop_ctx *ctx, cop_term path);
cop_term cop__file_mkdir_p(cop_ctx *ctx, cop_term path);
cop_term cop__file_rename(cop_ctx *ctx, cop_term from, cop_term to);
cop_term cop__file_cp(cop_ctx *ctx, cop_term from, cop_term to);

#endif
