/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_FAULT_H
#define COP__OS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a fault was and where: program counter, frame pointer and stack pointer at that moment. */
struct cop__fault {
    int signo, code;
    void *address;
    uintptr_t pc, fp, sp;
};

/* Calls handler, on the thread's alternate stack, for SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT and
   SIGTRAP. It may leave by cop__jump_to, or return false: then the signal takes its default action
   (a core file). No signal is blocked in it. */
void cop__fault_install(bool (*handler)(const struct cop__fault *fault));
/* pc, fp and sp of a signal handler's third argument. */
void cop__fault_registers(const void *context, struct cop__fault *out);
/* Gives the calling thread its alternate stack, and takes it back. */
void cop__fault_thread_begin(void);
void cop__fault_thread_end(void);

/* The return addresses of a chain of frames, pc first; reads only inside [low, high). */
size_t cop__frames_walk(uintptr_t pc, uintptr_t fp, uintptr_t low, uintptr_t high, uintptr_t *out,
                        size_t max);

#endif
