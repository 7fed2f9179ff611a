/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs of the operating system as ports, the loop's side.
 *
 *     owner --{:command, data}--> port --(to)---> program's input
 *     owner <--{port, {:data, d}}-- port <--(from)-- program's output
 *
 * Pipes are real pipes (libuv would take sockets, which a program cannot open again as /dev/stdin).
 *
 * Life: the port may end before the program, or the program before the port.
 *   - The program ends or closes its output: what it wrote is read to the end first; then come the exit
 *     status (if it is wanted, when both have happened), the rest of a line, and :eof or the port's end.
 *   - The port ends: this struct lives on until the program is waited for and its handles are closed.
 *     What was written is handed over, output is read and thrown away meanwhile; then the pipes close.
 *     After the grace the group gets SIGTERM, after another SIGKILL. `cop__io_hold` makes a node that
 *     stops wait for that.
 * A group is signalled only while its leader has not been waited for, so its number cannot be another's.
 *
 * Back-pressure: above opts.busy_high bytes to be written the port is busy, and who sends commands
 * waits. In the other direction the port asks its owner, each time it has delivered a quarter of
 * unread_max, how much of that is still unread, and stops reading while it is more than unread_max. It
 * reads on when somebody waits for the port itself: a program that echoes would else wait for its owner
 * and its owner for it.
 *
 * Threads: all of it on the loop's thread.
 */
#include "io/os_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "io/loop.h"
#include "os/alloc.h"

enum { READ_SIZE = 65536, COMMANDS = 64, PAUSE_MS = 10, WRITE_MAX = 1 << 30 };

static char read_buffer[READ_SIZE];

static void free_list(char **list) {
    for (char **at = list; at != NULL && *at != NULL; at++)
        cop__free(*at);
    cop__free(list);
}

void cop__os_process_free(struct os_process *s) {
    free_list(s->argv);
    free_list(s->env);
    cop__free(s->name);
    cop__free(s->file);
    cop__free(s->cd);
    cop__packets_free(&s->packets);
    cop__free(s);
}

/* ---- handles ------------------------------------------------------------------------------------------- */

static void end_if_done(struct os_process *s) {
    if (!s->stopped || s->handles > 0)
        return;
    if (s->holds)
        cop__io_let();
    cop__os_process_free(s);
}

static void on_closed(uv_handle_t *handle) {
    struct os_process *s = handle->data;
    s->handles--;
    end_if_done(s);
}

static void opened(struct os_process *s, uv_handle_t *handle, bool *is_open) {
    handle->data = s;
    *is_open = true;
    s->handles++;
}

static void close_handle(uv_handle_t *handle, bool *is_open) {
    if (!*is_open)
        return;
    *is_open = false;
    uv_close(handle, on_closed);
}

static void close_pipes(struct os_process *s) {
    s->reading = false;
    close_handle((uv_handle_t *)&s->from, &s->from_open);
    close_handle((uv_handle_t *)&s->to, &s->to_open);
}

static void close_all(struct os_process *s) {
    close_pipes(s);
    close_handle((uv_handle_t *)&s->timer, &s->timer_open);
    close_handle((uv_handle_t *)&s->process, &s->process_open);
}

/* ---- what comes from the program ------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(read_buffer, sizeof read_buffer);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);
static void on_pause(uv_timer_t *timer);

static void read_on(struct os_process *s) {
    if (s->from_open && !s->reading && !s->eof)
        s->reading = uv_read_start((uv_stream_t *)&s->from, on_alloc, on_read) == 0;
}

static void read_stop(struct os_process *s) {
    if (s->reading)
        uv_read_stop((uv_stream_t *)&s->from);
    s->reading = false;
}

static void ask_unread(struct os_process *s) {
    s->asked = cop__port_ask_unread(s->frame.ctx, s->frame.owner);
    s->since_asked = 0;
}

static void pause_reading(struct os_process *s) {
    read_stop(s);
    uv_timer_start(&s->timer, on_pause, PAUSE_MS, PAUSE_MS);
}

static void resume_reading(struct os_process *s) {
    uv_timer_stop(&s->timer);
    read_on(s);
}

static void on_pause(uv_timer_t *timer) {
    struct os_process *s = timer->data;
    cop__port_enter(s->frame.ctx);
    if (cop__port_has_waiters(s->frame.ctx)) {
        s->unread = 0;
        resume_reading(s);
    } else if (cop_is_none(s->asked.t)) {
        ask_unread(s);
    }
    cop__port_leave(s->frame.ctx);
}

/* The owner has said how much of our data it has not taken. */
static void unread_is(struct os_process *s, cop_term answer) {
    uint64_t bytes = 0;
    cop_match_tuple(answer, &bytes);
    s->asked = (cop_ref){ COP_NONE };
    s->unread = bytes + s->since_asked;
    if (!s->reading && s->unread <= (uint64_t)s->opts.unread_max / 2)
        resume_reading(s);
}

static void count_unread(struct os_process *s, size_t bytes) {
    if (s->opts.unread_max == COP_INFINITY)
        return;
    s->unread += bytes;
    s->since_asked += bytes;
    if (cop_is_none(s->asked.t) && s->since_asked >= (uint64_t)s->opts.unread_max / 4)
        ask_unread(s);
    if (s->unread > (uint64_t)s->opts.unread_max && s->reading)
        pause_reading(s);
}

static cop_term bytes_of(struct os_process *s, const void *data, size_t size) {
    if (!s->opts.list)
        return cop_binary(s->frame.ctx, data, size);
    cop_term list = COP_NIL;
    while (size > 0)
        list = cop_cons(s->frame.ctx, ((const uint8_t *)data)[--size], list);
    return list;
}

static void deliver(struct os_process *s, const void *data, size_t size, const cop_atom *line) {
    cop_ctx *ctx = s->frame.ctx;
    cop_term what = bytes_of(s, data, size);
    if (line != NULL)
        what = cop_tuple(ctx, *line, what);
    s->frame.input += size;
    cop__port_tell(&s->frame, cop_tuple(ctx, cop_a(data), what));
    count_unread(s, (s->opts.list ? 16 * size : size) + 128);
}

static void deliver_piece(struct os_process *s, const struct cop__piece *piece) {
    cop_atom line = piece->whole ? cop_a(eol) : cop_a(noeol);
    deliver(s, piece->data, piece->size, s->opts.line > 0 ? &line : NULL);
}

static void got(struct os_process *s, const char *bytes, size_t size) {
    if (s->opts.line == 0 && s->opts.packet == 0) {
        deliver(s, bytes, size, NULL);
        return;
    }
    struct cop__piece piece;
    enum cop__packets_result result;
    cop__packets_put(&s->packets, bytes, size);
    while ((result = cop__packets_next(&s->packets, &piece)) == COP__PACKETS_PIECE)
        deliver_piece(s, &piece);
    if (result == COP__PACKETS_TOO_LONG) {
        read_stop(s);
        cop__port_close(s->frame.ctx, cop_a(emsgsize).t);
    }
}

/* ---- the end of the program --------------------------------------------------------------------------------- */

/* Its output has ended, and it too, where that matters. */
static void tell_end(struct os_process *s) {
    cop_ctx *ctx = s->frame.ctx;
    bool needs_exit = s->opts.exit_status || !s->opts.in;
    if (s->told_end || !s->eof || (needs_exit && !s->exited))
        return;
    s->told_end = true;
    if (s->opts.exit_status)
        cop__port_tell(&s->frame, cop_tuple(ctx, cop_a(exit_status), s->status));
    struct cop__piece piece;
    while (cop__packets_last(&s->packets, &piece))
        deliver_piece(s, &piece);
    if (s->opts.eof)
        cop__port_tell(&s->frame, cop_a(eof).t);
    else
        cop__port_close(ctx, cop_a(normal).t);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct os_process *s = stream->data;
    if (n < 0) {
        read_stop(s);
        s->eof = true;
    }
    if (s->stopped || n == 0)
        return;
    cop__port_enter(s->frame.ctx);
    if (n > 0)
        got(s, buf->base, (size_t)n);
    else if (n == UV_EOF)
        tell_end(s);
    else
        cop__port_close(s->frame.ctx, cop__port_error((int)n));
    cop__port_leave(s->frame.ctx);
}

static void on_exit(uv_process_t *process, int64_t status, int signo) {
    struct os_process *s = process->data;
    s->exited = true;
    s->status = signo != 0 ? 128 + signo : (int)status;
    close_handle((uv_handle_t *)process, &s->process_open);
    if (s->stopped) {
        close_all(s);
        return;
    }
    cop__port_enter(s->frame.ctx);
    tell_end(s);
    cop__port_leave(s->frame.ctx);
}

/* ---- what goes to the program -------------------------------------------------------------------------------- */

struct write {
    uv_write_t request;
    struct os_process *process;
    size_t size;
    uint8_t bytes[];
};

static void update_busy(struct os_process *s) {
    bool busy = s->busy ? s->pending > s->opts.busy_low : s->pending > s->opts.busy_high;
    if (busy != s->busy)
        cop__port_set_busy(s->frame.ctx, busy);
    s->busy = busy;
}

static void on_written(uv_write_t *request, int status) {
    struct write *w = (struct write *)request;
    struct os_process *s = w->process;
    s->pending -= w->size;
    cop__free(w);
    if (s->stopped) {
        if (s->pending == 0 || status < 0)
            close_pipes(s);
        return;
    }
    cop__port_enter(s->frame.ctx);
    if (status < 0)
        cop__port_close(s->frame.ctx, cop__port_error(status));
    else
        update_busy(s);
    cop__port_leave(s->frame.ctx);
}

static int write_packet(struct os_process *s, cop_term iodata, size_t size) {
    size_t header = (size_t)s->opts.packet;
    uint8_t length[4];
    if (!s->opts.out)
        return UV_EBADF;
    if (!cop__packets_header(s->opts.packet, size, length))
        return UV_EINVAL;
    if (size > WRITE_MAX)
        return UV_ENOMEM;
    if (!s->to_open)
        return UV_EPIPE;
    if (header + size == 0)
        return 0;
    struct write *w = cop__malloc(sizeof *w + header + size);
    w->process = s;
    w->size = header + size;
    for (size_t i = 0; i < header; i++)
        w->bytes[i] = length[i];
    cop_iodata_copy(iodata, w->bytes + header);
    uv_buf_t buf = uv_buf_init((char *)w->bytes, (unsigned)w->size);
    int rc = uv_write(&w->request, (uv_stream_t *)&s->to, &buf, 1, on_written);
    if (rc < 0) {
        cop__free(w);
        return rc;
    }
    s->pending += w->size;
    s->frame.output += size;
    update_busy(s);
    return 0;
}

static void os_command(struct cop__port_frame *frame, cop_term iodata, size_t size) {
    int rc = write_packet((struct os_process *)frame, iodata, size);
    if (rc < 0)
        cop__port_close(frame->ctx, cop__port_error(rc));
}

static void os_close(struct cop__port_frame *frame) {
    cop__port_close(frame->ctx, cop_a(normal).t);
}

static size_t os_queued(const struct cop__port_frame *frame) {
    return ((const struct os_process *)frame)->pending;
}

static const struct cop__port_kind os_kind = { os_command, os_close, os_queued };

/* ---- starting ------------------------------------------------------------------------------------------------- */

/* The descriptors of the two pipes; -1 what there is none of. */
struct ends {
    int to[2], from[2]; /* [0] is read, [1] written */
};

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int open_pipes(struct os_process *s, struct ends *ends) {
    *ends = (struct ends){ { -1, -1 }, { -1, -1 } };
    if ((s->opts.out && pipe2(ends->to, O_CLOEXEC) < 0)
        || (s->opts.in && pipe2(ends->from, O_CLOEXEC) < 0))
        return -errno;
    return 0;
}

static void take_pipe(struct os_process *s, uv_pipe_t *pipe, bool *is_open, int *fd) {
    if (*fd < 0)
        return;
    uv_pipe_init(cop__io_loop(), pipe, 0);
    opened(s, (uv_handle_t *)pipe, is_open);
    if (uv_pipe_open(pipe, *fd) == 0)
        *fd = -1;
}

static uv_stdio_container_t inherit(int fd) {
    return fd < 0 ? (uv_stdio_container_t){ .flags = UV_IGNORE }
                  : (uv_stdio_container_t){ .flags = UV_INHERIT_FD, .data.fd = fd };
}

static int run(struct os_process *s, const struct ends *ends) {
    uv_stdio_container_t stdio[5];
    bool std = !s->opts.nouse_stdio;
    int its_out = std && s->opts.in ? ends->from[1] : 1;
    stdio[0] = inherit(std ? ends->to[0] : -1);
    stdio[1] = inherit(its_out);
    stdio[2] = inherit(s->opts.stderr_to_stdout ? its_out : 2);
    stdio[3] = inherit(ends->to[0]);
    stdio[4] = inherit(ends->from[1]);
    uv_process_options_t options = { .exit_cb = on_exit,
                                     .file = s->file,
                                     .args = s->argv,
                                     .env = s->env,
                                     .cwd = s->cd,
                                     .flags = UV_PROCESS_DETACHED,
                                     .stdio_count = std ? 3 : 5,
                                     .stdio = stdio };
    int rc = uv_spawn(cop__io_loop(), &s->process, &options);
    opened(s, (uv_handle_t *)&s->process, &s->process_open);
    return rc;
}

/* Is it our lack, and not that of the file to be run? */
static bool is_shortage(int rc) {
    return rc == UV_EAGAIN || rc == UV_ENOMEM || rc == UV_EMFILE || rc == UV_ENFILE;
}

/* Runs it. What is wrong with the file shows as on the real system: it ends with the error's number. */
static int launch(struct os_process *s) {
    struct ends ends;
    int rc = open_pipes(s, &ends);
    uv_timer_init(cop__io_loop(), &s->timer);
    opened(s, (uv_handle_t *)&s->timer, &s->timer_open);
    if (rc == 0)
        rc = run(s, &ends);
    if (rc == 0) {
        cop__io_hold();
        s->holds = true;
        s->frame.os_pid = uv_process_get_pid(&s->process);
        take_pipe(s, &s->to, &s->to_open, &ends.to[1]);
        take_pipe(s, &s->from, &s->from_open, &ends.from[0]);
    } else if (!is_shortage(rc)) {
        s->exited = s->eof = true;
        s->status = -rc;
        rc = 0;
    }
    s->eof |= !s->from_open;
    for (int i = 0; i < 2; i++) {
        close_fd(&ends.to[i]);
        close_fd(&ends.from[i]);
    }
    return rc;
}

static void answer_opener(struct os_process *s, cop_term answer) {
    cop_send(s->frame.ctx, s->frame.owner, cop_tuple(s->frame.ctx, s->opened, answer));
}

static void os_start(cop_ctx *ctx, void *data) {
    struct os_process *s = data;
    s->frame.kind = &os_kind;
    s->frame.ctx = ctx;
    s->frame.port = cop__port_self(ctx);
    s->frame.name = s->name;
    cop__port_limit_commands(ctx, COMMANDS);
    int rc = launch(s);
    if (rc < 0) {
        cop_process_unlink(ctx, s->frame.owner);
        answer_opener(s, cop_tuple(ctx, cop_a(error), cop__port_error(rc)));
        cop__port_close(ctx, cop_a(normal).t);
        return;
    }
    answer_opener(s, cop_tuple(ctx, cop_a(ok), s->frame.port));
    read_on(s);
    tell_end(s);
}

static void os_message(cop_ctx *ctx, void *data, cop_term message) {
    struct os_process *s = data;
    cop_term answer;
    (void)ctx;
    if (!cop_is_none(s->asked.t) && cop_match_tuple(message, s->asked, &answer))
        unread_is(s, answer);
    else
        cop__port_protocol(&s->frame, message);
}

/* ---- the end of the port ---------------------------------------------------------------------------------------- */

static void on_grace(uv_timer_t *timer) {
    struct os_process *s = timer->data;
    close_pipes(s);
    kill(-s->frame.os_pid, s->stage++ == 0 ? SIGTERM : SIGKILL);
    if (s->stage == 1)
        uv_timer_start(timer, on_grace, (uint64_t)s->opts.grace_ms, 0);
}

static void os_stop(cop_ctx *ctx, void *data, cop_term reason) {
    struct os_process *s = data;
    (void)ctx;
    s->stopped = true;
    s->frame.ctx = NULL;
    if (s->exited || s->frame.os_pid == 0) {
        close_all(s);
        end_if_done(s);
        return;
    }
    if (s->pending == 0 || cop_match(reason, cop_a(killed)))
        close_pipes(s);
    else
        read_on(s); /* so that it does not wait for us while we wait for it */
    uv_timer_start(&s->timer, on_grace, (uint64_t)s->opts.grace_ms, 0);
}

const struct cop__port_ops cop__os_process_ops = { "spawn", os_start, os_message, os_stop };
