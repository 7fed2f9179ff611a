/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which events are made at all: the level of the process, else that of the file, else the primary one.
 *
 * cop_log_is_enabled, one load, has let an event through when it comes here. The levels of files are a
 * small table under a mutex, which is looked at only while there are any; that of a process stands in its
 * dictionary, which is looked at once any process has set one.
 *
 * Threads: any.
 */
#include <pthread.h>
#include <string.h>

#include "log.h"

enum { MOST_FILES = 64 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char name[64];
    int level;
} files[MOST_FILES];
static uint32_t file_count;                 /* atomic; written under the mutex */
static int process_finest = COP_LEVEL_NONE; /* atomic: the most verbose that any process has set */
static uint32_t process_levels;             /* atomic: 1 once one has */

/* Under the mutex. */
static void tell_finest(void) {
    int finest = __atomic_load_n(&process_finest, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < file_count; i++)
        if (files[i].level > finest)
            finest = files[i].level;
    cop_log_set_finest((cop_level)finest);
}

void log_levels_clear(void) {
    pthread_mutex_lock(&mutex);
    __atomic_store_n(&file_count, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&process_finest, COP_LEVEL_NONE, __ATOMIC_RELAXED);
    __atomic_store_n(&process_levels, 0, __ATOMIC_RELAXED);
    tell_finest();
    pthread_mutex_unlock(&mutex);
}

void cop_logger_configure_level(cop_level level) { cop_log_set_level(level); }
cop_level cop_logger_level(void) { return cop_log_level(); }

/* ---- files -------------------------------------------------------------------------------------------------- */

static uint32_t file_at(const char *name) {
    uint32_t i = 0;
    while (i < file_count && strcmp(files[i].name, name) != 0)
        i++;
    return i;
}

bool cop_logger_put_file_level(const char *file, cop_level level) {
    if (strlen(file) >= sizeof files[0].name || *file == '\0')
        return false;
    pthread_mutex_lock(&mutex);
    uint32_t at = file_at(file);
    bool ok = at < MOST_FILES;
    if (ok) {
        strcpy(files[at].name, file);
        files[at].level = (int)level;
        if (at == file_count)
            __atomic_store_n(&file_count, at + 1, __ATOMIC_RELEASE);
        tell_finest();
    }
    pthread_mutex_unlock(&mutex);
    return ok;
}

void cop_logger_delete_file_level(const char *file) {
    pthread_mutex_lock(&mutex);
    uint32_t at = file_at(file);
    if (at < file_count) {
        files[at] = files[file_count - 1];
        __atomic_store_n(&file_count, file_count - 1, __ATOMIC_RELEASE);
        tell_finest();
    }
    pthread_mutex_unlock(&mutex);
}

/* "shard.c" is the end of "src/shard.c", not of "src/big_shard.c"; "net/" is a part of "src/net/tcp.c". */
static bool is_named(const char *path, size_t size, const char *name) {
    size_t n = strlen(name);
    bool folder = name[n - 1] == '/';
    for (size_t at = 0; at + n <= size; at++)
        if ((at == 0 || path[at - 1] == '/') && memcmp(path + at, name, n) == 0
            && (folder || at + n == size))
            return true;
    return false;
}

static bool file_level(const char *path, size_t size, int *level) {
    size_t longest = 0;
    pthread_mutex_lock(&mutex);
    for (uint32_t i = 0; i < file_count; i++)
        if (strlen(files[i].name) > longest && is_named(path, size, files[i].name)) {
            longest = strlen(files[i].name);
            *level = files[i].level;
        }
    pthread_mutex_unlock(&mutex);
    return longest > 0;
}

/* ---- processes ------------------------------------------------------------------------------------------------ */

static cop_term level_key(void) { return cop_as("$logger_level").t; }

void cop_logger_put_process_level(cop_ctx *ctx, cop_level level) {
    cop_process_put(ctx, level_key(), cop_of(ctx, (int64_t)level));
    pthread_mutex_lock(&mutex);
    if ((int)level > __atomic_load_n(&process_finest, __ATOMIC_RELAXED))
        __atomic_store_n(&process_finest, (int)level, __ATOMIC_RELAXED);
    __atomic_store_n(&process_levels, 1, __ATOMIC_RELEASE);
    tell_finest();
    pthread_mutex_unlock(&mutex);
}

bool cop_logger_get_process_level(cop_ctx *ctx, cop_level *level) {
    cop_term there = cop_process_get(ctx, level_key());
    int64_t n;
    if (cop_is_none(there) || !cop_get_i64(there, &n))
        return false;
    *level = (cop_level)n;
    return true;
}

void cop_logger_delete_process_level(cop_ctx *ctx) { cop_process_delete(ctx, level_key()); }

bool log_allows(cop_ctx *ctx, cop_level level, const char *file, size_t size) {
    cop_level own;
    int limit = (int)cop_log_level();
    if (__atomic_load_n(&process_levels, __ATOMIC_ACQUIRE) != 0
        && cop_logger_get_process_level(ctx, &own))
        limit = (int)own;
    else if (__atomic_load_n(&file_count, __ATOMIC_ACQUIRE) != 0 && file != NULL)
        file_level(file, size, &limit);
    return (int)level <= limit;
}
