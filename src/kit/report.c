/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report: what a test's OS process has to say, written to a pipe that the parent reads.
 *
 * A failure ends the OS process on the spot with _exit: whichever process of the node noticed it,
 * whatever the others hold, nothing has to be unwound, and the parent sees it at once. The first
 * failure wins; any other thread that fails while it is being written waits for the end here. That
 * is why buffers can be static, which matters on the small stacks of processes.
 *
 * Threads: all functions from any thread; between kit_fail_begin and kit_fail_end only its caller.
 */
#include "kit.h"

#include <coppice/sim.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int report_fd = STDERR_FILENO;
static atomic_flag failing = ATOMIC_FLAG_INIT;

void kit_report_to(int fd) { report_fd = fd; }

void kit_report_write(const char *text, size_t size) {
    while (size > 0) {
        ssize_t written = write(report_fd, text, size);
        if (written < 0 && errno != EINTR)
            return;
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        }
    }
}

static void report_args(const char *format, va_list args) {
    char line[1024];
    int length = vsnprintf(line, sizeof(line), format, args);
    if (length < 0)
        return;
    size_t size = (size_t)length;
    kit_report_write(line, size < sizeof(line) ? size : sizeof(line) - 1);
}

void kit_report(const char *format, ...) {
    va_list args;
    va_start(args, format);
    report_args(format, args);
    va_end(args);
}

void kit_report_term(const char *label, cop_term t) {
    static char text[64 * 1024];
    static const cop_inspect_opts opts = { .limit = 400, .printable_limit = 8192 };
    if (cop_is_none(t)) {
        kit_report("%s: (no term)\n", label);
        return;
    }
    size_t size = cop_inspect_to(text, sizeof(text), t, &opts);
    kit_report("%s: ", label);
    kit_report_write(text, size < sizeof(text) ? size : sizeof(text) - 1);
    kit_report("%s\n", size < sizeof(text) ? "" : " ...");
}

void kit_fail_begin(const char *file, int line) {
    while (atomic_flag_test_and_set(&failing))
        pause();
    kit_report("%s:%d\n", file, line);
}

_Noreturn void kit_fail_end(void) {
    if (kit_progress != NULL && kit_progress->simulated)
        kit_progress->trace = cop_sim_trace();
    _exit(KIT_FAILED);
}

_Noreturn void test_fail_at(const char *file, int line, const char *format, ...) {
    va_list args;
    kit_fail_begin(file, line);
    va_start(args, format);
    report_args(format, args);
    va_end(args);
    kit_report("\n");
    kit_fail_end();
}

_Noreturn void test_skip(const char *why) {
    kit_report("%s", why);
    _exit(KIT_SKIPPED);
}

void test_note(const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    if (length < 0)
        return;
    size_t size = strlen(line);
    line[size++] = '\n'; /* in one write, so that notes of several processes do not mix */
    kit_report_write(line, size);
}
