/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test, seen from outside: fork, read its report, wait for its end, clear up behind it.
 *
 * The parent has one thread and no node, so a forked child starts from a clean state. The child
 * leads a process group of its own, and at the end the whole group is killed: what a test started
 * and forgot does not outlive it. When the time is up the child is asked through the control pipe
 * to print its processes and to end; if it cannot even do that in GRACE_S seconds, it is killed.
 *
 * A test has passed only when its report ends with the end mark and its status is 0, so a test
 * whose code calls exit() half way has not.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* pipe2 */
#endif

#include "kit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE_S 5
#define REPORT_LIMIT ((size_t)4 << 20)

struct child {
    pid_t pid;
    int pidfd;
    int report;  /* we read */
    int control; /* we write */
    struct kit_outcome outcome;
};

static void give_up(const char *what) {
    fprintf(stderr, "Bail out! %s: %s\n", what, strerror(errno));
    exit(2);
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Standard output belongs to TAP: what a test prints goes to standard error. */
static void prepare_child(void) {
    struct rlimit no_core = { 0, 0 };
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &no_core);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    signal(SIGPIPE, SIG_IGN);
}

static void start_child(struct child *child, const struct kit_run *run) {
    int report[2], control[2];
    if (pipe2(report, O_CLOEXEC) < 0 || pipe2(control, O_CLOEXEC) < 0)
        give_up("pipe");
    fflush(NULL);
    child->pid = fork();
    if (child->pid < 0)
        give_up("fork");
    if (child->pid == 0) {
        close(report[0]);
        close(control[1]);
        prepare_child();
        kit_run_here(run, report[1], control[0]);
    }
    setpgid(child->pid, child->pid);
    close(report[1]);
    close(control[0]);
    child->report = report[0];
    child->control = control[1];
    fcntl(child->report, F_SETFL, O_NONBLOCK);
    child->pidfd = pidfd_open(child->pid, 0);
    if (child->pidfd < 0)
        give_up("pidfd_open");
}

/* Reads what is there. False at the end of the pipe. */
static bool read_report(struct child *child) {
    char chunk[4096];
    for (;;) {
        ssize_t size = read(child->report, chunk, sizeof(chunk));
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size < 0;
        struct kit_outcome *out = &child->outcome;
        if (out->size + (size_t)size > REPORT_LIMIT)
            continue; /* a test that writes for ever fills no memory; its end is lost */
        char *larger = realloc(out->report, out->size + (size_t)size + 1);
        if (larger == NULL)
            give_up("realloc");
        out->report = larger;
        memcpy(out->report + out->size, chunk, (size_t)size);
        out->size += (size_t)size;
        out->report[out->size] = '\0';
    }
}

/* Reads reports until the child has ended or the time is up. True when it has ended. */
static bool wait_until(struct child *child, double deadline) {
    struct pollfd polled[2] = {
        { .fd = child->pidfd, .events = POLLIN },
        { .fd = child->report, .events = POLLIN },
    };
    for (;;) {
        double left = deadline - seconds_now();
        if (left <= 0)
            return false;
        int rc = poll(polled, 2, left > 1e6 ? 1000000000 : (int)(left * 1000) + 1);
        if (rc < 0 && errno != EINTR)
            give_up("poll");
        if (rc > 0 && polled[1].revents != 0 && !read_report(child))
            polled[1].fd = -1;
        if (rc > 0 && polled[0].revents != 0)
            return true;
    }
}

/* Kills what is left of the group while the child's number is still its own, then reaps it, and
   those of the group whose parent it was: as their subreaper we have become it, and only a process
   that was waited for is gone for certain. */
static int reap(struct child *child) {
    siginfo_t info;
    int status;
    while (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        continue;
    kill(-child->pid, SIGKILL);
    while (waitpid(child->pid, &status, 0) < 0)
        if (errno != EINTR)
            give_up("waitpid");
    while (waitpid(-child->pid, NULL, 0) > 0 || errno == EINTR)
        continue;
    read_report(child);
    close(child->report);
    close(child->control);
    close(child->pidfd);
    if (WIFSIGNALED(status))
        return 128 + WTERMSIG(status);
    return WEXITSTATUS(status);
}

struct kit_outcome kit_run_apart(const struct kit_run *run) {
    struct child child = { 0 };
    double start = seconds_now();
    bool late = false;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    start_child(&child, run);
    uint64_t started;
    double from = start;
    bool ended_by_itself;
    do { /* each of several seeds has the whole time */
        started = __atomic_load_n(&kit_progress->started, __ATOMIC_RELAXED);
        ended_by_itself = wait_until(&child, from + run->timeout_s);
        from = seconds_now();
    } while (!ended_by_itself
             && __atomic_load_n(&kit_progress->started, __ATOMIC_RELAXED) != started);
    if (!ended_by_itself) {
        late = true;
        ssize_t written = write(child.control, "t", 1);
        if (written != 1 || !wait_until(&child, seconds_now() + GRACE_S))
            kill(child.pid, SIGKILL);
    }
    child.outcome.status = reap(&child);
    child.outcome.seconds = seconds_now() - start;
    struct kit_outcome *out = &child.outcome;
    bool complete = out->size > 0 && out->report[out->size - 1] == KIT_END_MARK;
    if (complete)
        out->report[--out->size] = '\0';
    if (late)
        out->status = KIT_TIMED_OUT;
    else if (out->status == KIT_PASSED && !complete)
        out->status = KIT_FAILED;
    return *out;
}
