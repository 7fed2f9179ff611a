/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default handler's module: texts to a file descriptor, or to a file that is rotated.
 *
 * An event is formatted into one buffer and written by one call, so lines of two events never mix. A file is
 * opened for appending; before a write that would make it longer than max_no_bytes it becomes file.0, file.0
 * becomes file.1, and so on, and the last one goes. At most once in a second, and at a flush, the name is looked
 * up: when it is not our file any more, somebody has moved it away, and it is opened again.
 *
 * What cannot be written is lost. The first time, and the first time after it went well again, an event says
 * why; it goes to the other handlers.
 *
 * Threads: the handler's process; log_write_direct: whoever logs.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "log_format.h"

enum { WAIT_MS = 5000 };

struct std {
    struct log_text text;
    bool is_file, failed;
    int fd;     /* -1: closed */
    int *owned; /* the file's fd again, closed however the process ends */
    dev_t device;
    ino_t inode;
    uint64_t size;
    int64_t looked_ms;
};

/* ---- files ----------------------------------------------------------------------------------------------------- */

static bool open_file(struct std *s, const char *path) {
    struct stat st;
    s->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (s->owned != NULL)
        *s->owned = s->fd;
    if (s->fd < 0 || fstat(s->fd, &st) != 0)
        return false;
    s->device = st.st_dev;
    s->inode = st.st_ino;
    s->size = (uint64_t)st.st_size;
    return true;
}

static void close_file(struct std *s) {
    if (s->is_file && s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    if (s->owned != NULL)
        *s->owned = -1;
}

static void release_fd(void *object) {
    int *fd = object;
    if (*fd >= 0)
        close(*fd);
    free(fd);
}

static void look_at_file(cop_ctx *ctx, struct std *s, const char *path, bool now) {
    struct stat st;
    int64_t ms = cop_monotonic_ms(ctx);
    if (!now && s->fd >= 0 && ms - s->looked_ms < 1000)
        return;
    s->looked_ms = ms;
    if (s->fd >= 0 && stat(path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
        return;
    close_file(s);
    open_file(s, path);
}

static void name_of(char *out, size_t size, const char *path, unsigned n) {
    snprintf(out, size, "%s.%u", path, n);
}

static void rotate(struct std *s, const cop_logger_handler_opts *o) {
    char from[4200], to[4200];
    close_file(s);
    for (unsigned n = o->max_no_files; n-- > 0;) {
        if (n > 0)
            name_of(from, sizeof from, o->file, n - 1);
        else
            snprintf(from, sizeof from, "%s", o->file);
        name_of(to, sizeof to, o->file, n);
        rename(from, to);
    }
    if (o->max_no_files == 0 && truncate(o->file, 0) != 0)
        return;
    open_file(s, o->file);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* Somebody who shares the descriptor may have made it one that does not wait: then this waits, but not for
   ever. */
static bool can_go_on(int fd) {
    struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
    return errno == EINTR || (errno == EAGAIN && poll(&poll_fd, 1, WAIT_MS) > 0);
}

static int write_all(int fd, const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t n = write(fd, text + at, size - at);
        if (n < 0 && can_go_on(fd))
            continue;
        if (n <= 0)
            return n == 0 ? EIO : errno;
        at += (size_t)n;
    }
    return 0;
}

static void tell(cop_ctx *ctx, cop_atom id, int error) {
    cop_term list = cop_list(ctx, cop_tuple(ctx, cop_a(handler), id),
                             cop_tuple(ctx, cop_a(reason), (const char *)strerror(error)));
    log_own_event(ctx, COP_LEVEL_ERROR, "write_failed", list);
}

static void write_text(cop_ctx *ctx, struct std *s, const cop_logger_handler_opts *o) {
    if (s->is_file) {
        look_at_file(ctx, s, o->file, false);
        if (o->max_no_bytes > 0 && s->size > 0 && s->size + s->text.size > o->max_no_bytes)
            rotate(s, o);
    }
    int error = s->fd < 0 ? ENOENT : write_all(s->fd, s->text.text, s->text.size);
    s->size += s->text.size;
    s->text.size = 0;
    if (error != 0 && !s->failed)
        tell(ctx, o->id, error);
    s->failed = error != 0;
}

/* ---- callbacks ------------------------------------------------------------------------------------------------------- */

static cop_term std_init(cop_ctx *ctx, void *state, const cop_logger_handler_opts *o) {
    struct std *s = state;
    s->is_file = o->file != NULL;
    s->fd = o->fd == 0 ? STDERR_FILENO : o->fd;
    s->looked_ms = cop_monotonic_ms(ctx);
    struct sigaction broken_pipe;
    if (sigaction(SIGPIPE, NULL, &broken_pipe) == 0 && broken_pipe.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of who writes to it */
    if (s->is_file) {
        s->owned = cop_own(ctx, calloc(1, sizeof *s->owned), release_fd);
        if (s->owned == NULL)
            return cop_a(system_limit).t;
        *s->owned = -1;
    }
    if (s->is_file && !open_file(s, o->file))
        return cop_tuple(ctx, cop_a(file_error), o->file, (const char *)strerror(errno));
    return cop_a(ok).t;
}

static bool shows_details(const cop_logger_handler_opts *o) {
    return cop_log_level() == COP_LEVEL_DEBUG && (o->level == 0 || o->level == COP_LEVEL_DEBUG);
}

static void std_log(cop_ctx *ctx, void *state, const cop_log_event *event,
                    const cop_logger_handler_opts *o) {
    struct std *s = state;
    s->text.size = 0;
    log_put_formatted(ctx, &s->text, event, &o->formatter, shows_details(o));
    write_text(ctx, s, o);
}

static void std_flush(cop_ctx *ctx, void *state, const cop_logger_handler_opts *o) {
    struct std *s = state;
    if (s->is_file)
        look_at_file(ctx, s, o->file, true);
}

static void std_terminate(cop_ctx *ctx, void *state) { close_file(state); }

const cop_logger_handler cop_logger_std = {
    .name = "logger_std_h",
    .state_size = sizeof(struct std),
    .init = std_init,
    .log = std_log,
    .flush = std_flush,
    .terminate = std_terminate,
};

/* ---- without a handler's process ------------------------------------------------------------------------------------ */

void log_write_direct(cop_ctx *ctx, const cop_log_event *event) {
    static const cop_logger_handler_opts plain;
    int at = log_find(cop_a(default).t);
    struct log_config *config = at < 0 ? NULL : log_config_of(at);
    if (config != NULL)
        cop_own(ctx, config, log_config_release);
    const cop_logger_handler_opts *o = config != NULL ? &config->opts : &plain;
    int level = o->level == 0 ? COP_LEVEL_DEBUG : (int)o->level;
    bool is_ours = o->module == NULL || o->module == &cop_logger_std;
    if (at >= 0 && is_ours && (int)event->level <= level) {
        struct std s = { .fd = o->fd == 0 ? STDERR_FILENO : o->fd, .is_file = o->file != NULL };
        log_put_formatted(ctx, &s.text, event, &o->formatter, shows_details(o));
        if (!s.is_file || open_file(&s, o->file))
            write_all(s.fd, s.text.text, s.text.size);
        close_file(&s);
        cop_free(ctx, s.text.text);
    }
    if (config != NULL && cop_disown(ctx, config))
        log_config_release(config);
}
