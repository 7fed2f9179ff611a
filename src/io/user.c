/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard input, output and error: the devices :user and :standard_error.
 *
 * A device reads and writes its descriptors itself, in its own process, whenever poll(2) says that this does
 * not wait. Else it asks its port, which lives on the loop's thread, to say when it will not:
 *
 *     device --{:watch, fd, events}--> port: epoll --{:ready, fd}--> device
 *
 * The port has an epoll descriptor of its own and lets libuv watch that one. uv_poll on standard input
 * would make it non-blocking, and with it the terminal of everybody who shares it: the shell, other
 * programs, this program's printf.
 *
 * Output that cannot be written stands in text->out; its writers wait for their answers, so there is never
 * more of it than they have asked to write. A pipe that poll calls writable takes 4096 bytes without waiting, so
 * that is a piece. Should a descriptor wait nevertheless (another program took what there was), only this step
 * waits, and the monitor hands its scheduler to another worker.
 *
 * Input is read when somebody asks for it, and 64 KiB at most.
 *
 * Threads: port_* on the loop's thread, ensure_started from any, the rest in the devices' processes.
 */
#include "io/user.h"

#include <coppice/io.h>
#include <coppice/node.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/device.h"
#include "io/file_job.h"
#include "io/loop.h"
#include "os/alloc.h"
#include "proc/proc.h"

enum { READ_SIZE = 65536, PIECE = 4096, RETRY_MS = 10 };

struct stdio {
    int in, out; /* -1: there is none */
    bool in_watched, out_watched;
    bool out_is_file; /* which never waits for a reader */
    cop_port port;
};

/* ---- the port ------------------------------------------------------------------------------------------ */

struct watcher {
    uv_poll_t handle;
    int epoll;
    cop_ctx *ctx; /* NULL after the port's end */
    cop_pid owner;
};

static void tell_ready(struct watcher *w, int fd) {
    cop_send(w->ctx, w->owner, cop_tuple(w->ctx, cop_a(ready), fd));
}

static void on_epoll(uv_poll_t *handle, int status, int events) {
    struct watcher *w = handle->data;
    struct epoll_event ready[4];
    (void)status;
    (void)events;
    int n = w->ctx == NULL ? 0 : epoll_wait(w->epoll, ready, 4, 0);
    if (n <= 0)
        return;
    cop__port_enter(w->ctx);
    for (int i = 0; i < n; i++)
        tell_ready(w, ready[i].data.fd);
    cop__port_leave(w->ctx);
}

static void port_start(cop_ctx *ctx, void *data) {
    struct watcher *w = data;
    w->ctx = ctx;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll >= 0 && uv_poll_init(cop__io_loop(), &w->handle, w->epoll) == 0) {
        w->handle.data = w;
        uv_poll_start(&w->handle, UV_READABLE, on_epoll);
    } else if (w->epoll >= 0) {
        close(w->epoll);
        w->epoll = -1;
    }
}

/* What cannot be watched (a regular file, a closed descriptor) is as ready as it will be. */
static void port_message(cop_ctx *ctx, void *data, cop_term message) {
    struct watcher *w = data;
    int fd;
    uint64_t events;
    (void)ctx;
    if (!cop_match_tuple(message, cop_a(watch), &fd, &events))
        return;
    struct epoll_event event = { .events = (uint32_t)events | EPOLLONESHOT, .data.fd = fd };
    if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, fd, &event) < 0
        && epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        tell_ready(w, fd);
}

static void on_closed(uv_handle_t *handle) {
    struct watcher *w = handle->data;
    close(w->epoll);
    cop__free(w);
}

static void port_stop(cop_ctx *ctx, void *data, cop_term reason) {
    struct watcher *w = data;
    (void)ctx;
    (void)reason;
    w->ctx = NULL;
    if (w->epoll >= 0)
        uv_close((uv_handle_t *)&w->handle, on_closed);
    else
        cop__free(w);
}

static const struct cop__port_ops port_ops = { "stdio", port_start, port_message, port_stop };

static void drop(void *watcher) { cop__free(watcher); }

static void watch(cop_ctx *ctx, struct stdio *self, int fd, uint32_t events) {
    if (cop_is_none(self->port.t)) {
        struct watcher *w = cop_own(ctx, cop__calloc(1, sizeof *w), drop);
        w->owner = cop_self(ctx);
        self->port = cop__port_open(ctx, cop__io_bound(ctx), &port_ops, w, w->owner);
        if (cop_is_none(self->port.t)) { /* the table is full: a device does not end of that */
            if (cop_disown(ctx, w))
                cop__free(w);
            cop_process_send_after(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(watch), fd, events),
                                   RETRY_MS);
            return;
        }
    }
    cop_send(ctx, self->port, cop_tuple(ctx, cop_a(watch), fd, events));
}

/* Under simulation a device waits on the spot: virtual time must not pass meanwhile. */
static bool is_ready(int fd, short events) {
    struct pollfd p = { .fd = fd, .events = events };
    return poll(&p, 1, cop__node_is_simulated() ? -1 : 0) > 0;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static void read_now(struct cop__device *d) {
    struct stdio *self = d->self;
    char *bytes = cop__malloc(READ_SIZE); /* not on the stack: it is as large as one */
    ssize_t n;
    do
        n = read(self->in, bytes, READ_SIZE);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        cop__device_input(d, bytes, (size_t)n);
    else
        cop__device_input_end(d, n == 0 ? COP_NONE : cop__file_errno(errno).t);
    cop__free(bytes);
}

static enum cop__device_input stdio_more(cop_ctx *ctx, struct cop__device *d) {
    struct stdio *self = d->self;
    if (self->in < 0) {
        cop__device_input_end(d, cop_a(enotsup).t);
        return COP__INPUT_NOW;
    }
    if (!self->in_watched && is_ready(self->in, POLLIN)) {
        read_now(d);
        return COP__INPUT_NOW;
    }
    if (!self->in_watched)
        watch(ctx, self, self->in, EPOLLIN);
    self->in_watched = true;
    return COP__INPUT_LATER;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* What goes out without waiting; a negative errno when nothing will. */
static ssize_t write_now(const struct stdio *self, const char *bytes, size_t size) {
    size_t done = 0;
    while (done < size && (self->out_is_file || is_ready(self->out, POLLOUT))) {
        size_t piece = self->out_is_file || size - done < PIECE ? size - done : PIECE;
        ssize_t n = write(self->out, bytes + done, piece);
        if (n < 0 && errno == EAGAIN) /* non-blocking by somebody else's wish */
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            done += (size_t)n;
    }
    return (ssize_t)done;
}

static void watch_output(cop_ctx *ctx, struct stdio *self) {
    if (!self->out_watched)
        watch(ctx, self, self->out, EPOLLOUT);
    self->out_watched = true;
}

static enum cop__device_output stdio_write(cop_ctx *ctx, struct cop__device *d, const char *bytes,
                                           size_t size, cop_term *reason) {
    struct stdio *self = d->self;
    ssize_t done = 0;
    if (cop__framer_size(&d->text->out) == 0) {
        done = write_now(self, bytes, size);
        if (done < 0) {
            *reason = cop__file_errno((int)-done).t;
            return COP__OUTPUT_FAILED;
        }
        if ((size_t)done == size)
            return COP__OUTPUT_DONE;
    }
    cop__framer_put(&d->text->out, bytes + done, size - (size_t)done);
    d->queued += size - (size_t)done;
    watch_output(ctx, self);
    return COP__OUTPUT_LATER;
}

static void stdio_prompt(cop_ctx *ctx, struct cop__device *d, const char *bytes, size_t size) {
    cop_term reason;
    stdio_write(ctx, d, bytes, size, &reason);
}

static void flush(cop_ctx *ctx, struct cop__device *d) {
    struct stdio *self = d->self;
    size_t size = cop__framer_size(&d->text->out);
    if (size == 0)
        return;
    ssize_t done = write_now(self, cop__framer_data(&d->text->out), size);
    cop__framer_take(&d->text->out, done < 0 ? size : (size_t)done);
    if (done < 0)
        cop__device_written(ctx, d, size, cop__file_errno((int)-done).t);
    else
        cop__device_written(ctx, d, (size_t)done, COP_NONE);
    if (cop__framer_size(&d->text->out) > 0)
        watch_output(ctx, self);
}

/* ---- the devices --------------------------------------------------------------------------------------- */

static cop_term stdio_geometry(cop_ctx *ctx, struct cop__device *d, bool columns) {
    struct stdio *self = d->self;
    struct winsize size;
    if (ioctl(self->out, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
        return cop_tuple(ctx, cop_a(error), cop_a(enotsup));
    return cop_of(ctx, columns ? size.ws_col : size.ws_row);
}

static void stdio_message(cop_ctx *ctx, struct cop__device *d, cop_term message) {
    struct stdio *self = d->self;
    int fd;
    uint64_t events;
    if (cop_match_tuple(message, cop_a(watch), &fd, &events) && (fd == self->in || fd == self->out))
        watch(ctx, self, fd, (uint32_t)events);
    if (!cop_match_tuple(message, cop_a(ready), &fd))
        return;
    if (fd == self->in && self->in_watched) {
        self->in_watched = false;
        read_now(d);
        cop__device_input_came(ctx, d);
    } else if (fd == self->out && self->out_watched) {
        self->out_watched = false;
        flush(ctx, d);
    }
}

static const struct cop__device_ops stdio_ops = {
    .name = "user",
    .more = stdio_more,
    .write = stdio_write,
    .prompt = stdio_prompt,
    .geometry = stdio_geometry,
    .message = stdio_message,
    .is_terminal = true,
};

static _Noreturn void stdio_main(cop_ctx *ctx, cop_atom name, int in, int out) {
    struct stat s;
    struct stdio *self = cop_alloc(ctx, sizeof *self);
    self->in = in;
    self->out = out;
    self->out_is_file = fstat(out, &s) == 0 && S_ISREG(s.st_mode);
    cop_process_try_register(ctx, cop_self(ctx), name);
    cop__device_run(ctx, cop__device_new(ctx, &stdio_ops, self, false));
}

static void user_main(cop_ctx *ctx, cop_term arg) {
    (void)arg;
    stdio_main(ctx, cop_a(user), STDIN_FILENO, STDOUT_FILENO);
}

static void error_main(cop_ctx *ctx, cop_term arg) {
    (void)arg;
    stdio_main(ctx, cop_a(standard_error), -1, STDERR_FILENO);
}

/* ---- starting them ------------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    cop_pid user, error;
    bool is_hooked;
} devices = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Another node's pids mean nothing to the next. */
static void forget(void *arg) {
    (void)arg;
    devices.user.t = devices.error.t = COP_NONE;
    devices.is_hooked = false;
}

static int start_missing(cop_pid *user, cop_pid *error) {
    int rc = 0;
    pthread_mutex_lock(&devices.lock);
    if (cop_is_none(devices.user.t) || !cop__is_here(devices.user.t)) {
        signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of who writes to it */
        devices.user = cop_node_spawn(user_main);
        cop__node_set_leader(devices.user);
    }
    if (cop_is_none(devices.error.t) || !cop__is_here(devices.error.t))
        devices.error = cop_node_spawn(error_main);
    if (cop_is_none(devices.user.t) || cop_is_none(devices.error.t))
        rc = -ESRCH; /* no node runs, or it is full */
    else if (!devices.is_hooked)
        cop__node_at_stop(forget, NULL);
    devices.is_hooked = rc == 0 || devices.is_hooked;
    *user = devices.user;
    *error = devices.error;
    pthread_mutex_unlock(&devices.lock);
    return rc;
}

int cop_io_start(void) {
    cop_pid user, error;
    return start_missing(&user, &error);
}

cop_pid cop__io_ensure_started(cop_ctx *ctx, bool wants_error) {
    cop_pid user, error;
    cop__enter(ctx); /* nobody takes this process away while it holds the lock */
    start_missing(&user, &error);
    cop__leave(ctx);
    return wants_error ? error : user;
}
