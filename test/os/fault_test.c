/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults, without a node: caught on the alternate stack and left by a jump, many times; stack
 * overflows onto a guard; what is not ours keeps its default action.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/context.h"
#include "os/fault.h"
#include "os/fiber.h"
#include "os/vm.h"
#include "tap.h"

enum { TIMES = 10000, STACK = 64 * 1024 };

/* What the calling thread wants to be done with its next fault, and what it was. */
static _Thread_local struct {
    uint64_t jump[25];
    struct cop__fault fault;
    void *low; /* of the stack whose frames the jump leaves */
} mine;

static bool leave(const struct cop__fault *fault) {
    mine.fault = *fault;
    cop__fiber_abandon_frames(mine.low, cop__jump_sp(mine.jump));
    cop__jump_to(mine.jump, 1);
}

static bool not_ours(const struct cop__fault *fault) {
    (void)fault;
    return false;
}

/* Runs it `times` times; true if each ended in this signal. */
static bool faults(void (*run)(void), int signo, int times) {
    volatile int caught = 0;
    for (volatile int i = 0; i < times; i++) {
        if (cop__jump_save(mine.jump) == 0)
            run();
        else if (mine.fault.signo == signo)
            caught++;
    }
    return caught == times;
}

static int *volatile nowhere = (int *)64;
static int *volatile beyond_the_file;
static void write_to_nowhere(void) { *nowhere = 1; }
static void read_beyond_the_file(void) { (void)*(volatile int *)beyond_the_file; }
static void raise_fpe(void) { raise(SIGFPE); }
static void raise_ill(void) { raise(SIGILL); }
static void raise_trap(void) { raise(SIGTRAP); }

static void each_signal(void) {
    ok(faults(write_to_nowhere, SIGSEGV, TIMES), "10,000 writes to nowhere are left by a jump");
    ok(mine.fault.address == (void *)64, "the fault has the address");
    ok(faults(abort, SIGABRT, TIMES), "10,000 aborts");
    ok(faults(raise_fpe, SIGFPE, TIMES), "10,000 SIGFPE");
    ok(faults(raise_ill, SIGILL, TIMES), "10,000 SIGILL");
    ok(faults(raise_trap, SIGTRAP, TIMES), "10,000 SIGTRAP");
    char name[] = "/tmp/coppice-fault-XXXXXX";
    int file = mkstemp(name);
    unlink(name);
    beyond_the_file = mmap(NULL, cop__vm_page_size(), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    ok(faults(read_beyond_the_file, SIGBUS, TIMES), "10,000 SIGBUS beyond the end of a file");
    munmap(beyond_the_file, cop__vm_page_size());
}

static void nothing_stays_blocked(void) {
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    bool none = true;
    for (int signo = 1; signo < 32; signo++)
        none = none && sigismember(&blocked, signo) == 0;
    ok(none, "no signal stays blocked");
    stack_t alternate;
    sigaltstack(NULL, &alternate);
    ok((alternate.ss_flags & (SS_ONSTACK | SS_DISABLE)) == 0, "the alternate stack is free again");
}

/* ---- stack overflow ---------------------------------------------------------------------- */

static cop__context here, there;
static struct cop__fiber my_fiber, its_fiber;
static char *stack; /* a guard page, then STACK bytes */
static int overflows;

static int without_end(volatile int *above);
static int (*volatile recurse)(volatile int *above) = without_end;

/* Through a pointer: the compiler must not conclude that this never ends. */
static int without_end(volatile int *above) {
    volatile int here_too[64];
    here_too[0] = *above + 1;
    return recurse(here_too) + here_too[0];
}

static void overflowing(void *arg) {
    (void)arg;
    cop__fiber_after_switch(&its_fiber);
    volatile int zero = 0;
    for (volatile int i = 0; i < TIMES; i++) {
        if (cop__jump_save(mine.jump) == 0)
            recurse(&zero);
        char *at = mine.fault.address;
        overflows += mine.fault.signo == SIGSEGV && at >= stack && at < stack + cop__vm_page_size()
                     && mine.fault.sp != 0;
    }
    cop__fiber_before_switch(&its_fiber, &my_fiber);
    cop__context_switch(&there, &here, NULL);
    abort();
}

static void stack_overflows(void) {
    size_t page = cop__vm_page_size();
    stack = cop__vm_reserve(STACK + page);
    ok(cop__vm_guard(stack, page), "a guard is installed");
    cop__context_make(&there, stack + page, STACK, overflowing);
    cop__fiber_init_thread(&my_fiber);
    cop__fiber_create(&its_fiber, stack + page, STACK);
    mine.low = stack + page;
    cop__fiber_before_switch(&my_fiber, &its_fiber);
    cop__context_switch(&here, &there, NULL);
    cop__fiber_after_switch(&my_fiber);
    mine.low = NULL;
    ok(overflows == TIMES, "10,000 stack overflows strike the guard and are left by a jump");
    cop__fiber_destroy(&its_fiber);
    cop__vm_release(stack, STACK + page);
}

/* ---- threads ----------------------------------------------------------------------------- */

static void *faulting_thread(void *good) {
    cop__fault_thread_begin();
    *(bool *)good = faults(write_to_nowhere, SIGSEGV, TIMES) && faults(abort, SIGABRT, 1000);
    cop__fault_thread_end();
    return NULL;
}

static void threads_at_once(void) {
    pthread_t threads[4];
    bool good[4] = { false };
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, faulting_thread, &good[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ok(good[0] && good[1] && good[2] && good[3], "four threads fault at the same time");
}

static size_t mapped_pages(void) {
    char text[64] = "";
    int file = open("/proc/self/statm", O_RDONLY);
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    return size > 0 ? strtoul(text, NULL, 10) : 0;
}

static void *begin_and_end(void *unused) {
    (void)unused;
    size_t before = mapped_pages();
    for (int i = 0; i < 1000; i++) {
        cop__fault_thread_begin();
        cop__fault_thread_end();
    }
    return (void *)(uintptr_t)(mapped_pages() < before + 1000);
}

static void alternate_stacks_are_given_back(void) {
    pthread_t thread;
    void *good;
    pthread_create(&thread, NULL, begin_and_end, NULL);
    pthread_join(thread, &good);
    ok(good != NULL, "a thread's alternate stack is given back");
}

/* ---- what is not ours -------------------------------------------------------------------- */

static void raise_segv(void) { raise(SIGSEGV); }
static void breakpoint(void) {
#if defined(__x86_64__)
    __asm__ volatile("int3");
#else
    __asm__ volatile("brk #0");
#endif
}

/* Runs it in a child whose handler declines: the signal that ended the child, 0 for none. */
static int ended_by(void (*run)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        cop__fault_install(not_ours);
        run();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void what_is_not_ours(void) {
    ok(ended_by(write_to_nowhere) == SIGSEGV, "declined: a write to nowhere ends the program");
    ok(ended_by(raise_segv) == SIGSEGV, "declined: so does a signal that was sent");
    ok(ended_by(abort) == SIGABRT, "declined: so does an abort");
    ok(ended_by(breakpoint) == SIGTRAP, "declined: so does a breakpoint");
}

int main(void) {
    puts("1..17");
    cop__fault_install(leave);
    cop__fault_thread_begin();
    each_signal();
    nothing_stays_blocked();
    stack_overflows();
    threads_at_once();
    alternate_stacks_are_given_back();
    what_is_not_ours();
    cop__fault_thread_end();
    return 0;
}
