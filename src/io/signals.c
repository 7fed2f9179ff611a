/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGTERM and SIGINT: the orderly end.
 *
 * The signal is taken by the I/O thread, which spawns a process to do the work: it monitors what is
 * linked to the main process (its supervision tree), sends the main process :shutdown, waits until
 * all of these have ended, and then ends the node. A second signal ends the program at once.
 */
#include <coppice/node.h>
#include <coppice/os.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/loop.h"

enum { PATIENCE_MS = 30000, RETRY_MS = 10 };

static struct {
    cop_pid main;
    uv_signal_t term, interrupt;
    uv_timer_t again;
    uv_sem_t watching; /* posted when the two are started */
    int signo;
    int count;
    bool stopping; /* atomic */
} signals;

bool cop_os_is_stopping(void) { return __atomic_load_n(&signals.stopping, __ATOMIC_ACQUIRE); }

static void stop_in_order(cop_ctx *ctx, cop_term arg) {
    cop_term server = cop_process_whereis(ctx, cop_a(erl_signal_server)), link, message;
    cop_pid pid;
    if (cop_get_pid(server, &pid)) {
        cop_send(ctx, pid,
                 cop_tuple(ctx, cop_a(signal),
                           signals.signo == SIGTERM ? cop_a(sigterm) : cop_a(sigint)));
        return;
    }
    cop_term links = cop_process_info(ctx, signals.main, cop_a(links));
    int waiting = 0;
    while (!cop_is_none(links) && cop_get_cons(links, &link, &links))
        if (cop_get_pid(link, &pid)) {
            cop_process_monitor(ctx, pid);
            waiting++;
        }
    cop_process_monitor(ctx, signals.main);
    waiting++;
    cop_process_exit(ctx, signals.main, cop_a(shutdown).t);
    while (waiting > 0 && cop_receive(ctx, PATIENCE_MS, &message))
        waiting--;
    cop_node_shutdown(ctx, 0);
}

/* In a full process table there is no place for it now, but there may be one soon. */
static void begin_stop(uv_timer_t *timer) {
    if (cop_is_none(cop_node_spawn(stop_in_order).t))
        uv_timer_start(timer, begin_stop, RETRY_MS, 0);
}

static void on_signal(uv_signal_t *handle, int signo) {
    (void)handle;
    if (signals.count++ > 0)
        _exit(128 + signo);
    signals.signo = signo;
    __atomic_store_n(&signals.stopping, true, __ATOMIC_RELEASE);
    begin_stop(&signals.again);
}

static void start_watching(void *arg) {
    (void)arg;
    uv_signal_init(cop__io_loop(), &signals.term);
    uv_signal_init(cop__io_loop(), &signals.interrupt);
    uv_timer_init(cop__io_loop(), &signals.again);
    uv_signal_start(&signals.term, on_signal, SIGTERM);
    uv_signal_start(&signals.interrupt, on_signal, SIGINT);
    uv_sem_post(&signals.watching);
}

int cop_os_stop_on_signals(cop_pid main) {
    signals.main = main;
    signals.count = 0;
    __atomic_store_n(&signals.stopping, false, __ATOMIC_RELEASE);
    signal(SIGPIPE, SIG_IGN);
    int rc = uv_sem_init(&signals.watching, 0);
    if (rc < 0)
        return rc;
    /* Whoever returns from here may be sent a signal, so it waits until they are taken. */
    cop__io_call(start_watching, NULL);
    uv_sem_wait(&signals.watching);
    uv_sem_destroy(&signals.watching);
    return 0;
}
