/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at a running thread: a signal to it, whose handler is told where it was.
 *
 * The handler runs on the thread's alternate stack, as that of faults does, because the thread may stand
 * near the end of a small one. SIGURG is the signal because nobody minds it: it is ignored where no
 * handler is, debuggers let it pass, and only out-of-band data of sockets brings it otherwise; a
 * handler that nothing was asked of does nothing.
 */
#include "os/sample.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/fault.h"

static void (*installed)(uintptr_t pc, uintptr_t fp);

static void on_signal(int signo, siginfo_t *info, void *context) {
    struct cop__fault at;
    memset(&at, 0, sizeof at);
    cop__fault_registers(context, &at);
    installed(at.pc, at.fp);
}

void cop__sample_install(void (*handler)(uintptr_t pc, uintptr_t fp)) {
    installed = handler;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigaction(SIGURG, &action, NULL);
}

int cop__thread_number(void) { return (int)syscall(SYS_gettid); }

bool cop__sample(int thread) { return syscall(SYS_tgkill, getpid(), thread, SIGURG) == 0; }
