/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_SAMPLE_H
#define COP__OS_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

/* Calls handler on a thread that was asked by cop__sample, in the middle of whatever it does, with the
   program counter and frame pointer of that. It is a signal handler (SIGURG, which is ignored by default):
   it may neither allocate nor lock. Once is enough. */
void cop__sample_install(void (*handler)(uintptr_t pc, uintptr_t fp));
/* The calling thread's number, for cop__sample. */
int cop__thread_number(void);
/* False when there is no such thread. A system call that the thread waits in may end with EINTR. */
bool cop__sample(int thread);

#endif
