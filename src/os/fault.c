/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Synchronous signals.
 *
 * The handler runs on an alternate stack (a fault may be a stack overflow) with SA_NODEFER, so it may
 * be left by a jump: no signal stays blocked, and the kernel sees by the stack pointer that the
 * alternate stack is free again. It allocates nothing and takes no lock.
 *
 * A signal that is not ours gets its default action back. Most faults then strike again when the
 * handler returns, at their own place, which is what the core file should show. What does not is
 * raised anew: a signal that somebody sent, and a breakpoint, after which the program would go on.
 */
#include "os/fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "os/fiber.h"
#include "os/vm.h"

enum { ALTERNATE_STACK = 64 * 1024 };

static bool (*installed)(const struct cop__fault *fault);

#if defined(__x86_64__)
void cop__fault_registers(const void *context, struct cop__fault *f) {
    const ucontext_t *u = context;
    f->pc = (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
    f->fp = (uintptr_t)u->uc_mcontext.gregs[REG_RBP];
    f->sp = (uintptr_t)u->uc_mcontext.gregs[REG_RSP];
}
#else
void cop__fault_registers(const void *context, struct cop__fault *f) {
    const ucontext_t *u = context;
    f->pc = (uintptr_t)u->uc_mcontext.pc;
    f->fp = (uintptr_t)u->uc_mcontext.regs[29];
    f->sp = (uintptr_t)u->uc_mcontext.sp;
}
#endif

static void on_signal(int signo, siginfo_t *info, void *context) {
    /* The last handler's frames may have been left by a jump; where this one begins is known. */
    cop__fiber_abandon_frames(((const ucontext_t *)context)->uc_stack.ss_sp,
                              (uintptr_t)__builtin_frame_address(0));
    /* A signal that was sent has no address, but its sender's id in that place. */
    struct cop__fault fault = { .signo = signo,
                                .code = info->si_code,
                                .address = info->si_code > 0 ? info->si_addr : NULL };
    cop__fault_registers(context, &fault);
    if (installed(&fault))
        return;
    struct sigaction standard;
    memset(&standard, 0, sizeof standard);
    standard.sa_handler = SIG_DFL;
    sigaction(signo, &standard, NULL);
    if (info->si_code <= 0 || signo == SIGABRT || signo == SIGTRAP)
        raise(signo);
}

void cop__fault_install(bool (*handler)(const struct cop__fault *fault)) {
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP };
    installed = handler;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

void cop__fault_thread_begin(void) {
    size_t page = cop__vm_page_size();
    stack_t stack = { .ss_size = ALTERNATE_STACK };
    char *map = cop__vm_reserve(ALTERNATE_STACK + page);
    if (map == NULL)
        return;
    cop__vm_guard(map, page);
    stack.ss_sp = map + page;
    if (sigaltstack(&stack, NULL) != 0)
        cop__vm_release(map, ALTERNATE_STACK + page);
}

void cop__fault_thread_end(void) {
    stack_t stack = { .ss_flags = SS_DISABLE }, old;
    memset(&old, 0, sizeof old);
    if (sigaltstack(&stack, &old) == 0 && old.ss_size == ALTERNATE_STACK)
        cop__vm_release((char *)old.ss_sp - cop__vm_page_size(),
                        ALTERNATE_STACK + cop__vm_page_size());
}

__attribute__((no_sanitize("address", "undefined"))) size_t cop__frames_walk(
    uintptr_t pc, uintptr_t fp, uintptr_t low, uintptr_t high, uintptr_t *out, size_t max) {
    size_t n = 0;
    if (max > 0)
        out[n++] = pc;
    /* fp may be any number, up to the last one: nothing is added to it. */
    while (n < max && fp >= low && fp < high && high - fp >= 2 * sizeof(uintptr_t)
           && fp % sizeof(uintptr_t) == 0) {
        const uintptr_t *frame = (const uintptr_t *)fp;
        if (frame[1] == 0)
            break;
        out[n++] = frame[1];
        if (frame[0] <= fp) /* frames only go up */
            break;
        fp = frame[0];
    }
    return n;
}
