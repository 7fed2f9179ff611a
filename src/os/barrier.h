/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_BARRIER_H
#define COP__OS_BARRIER_H

#include <stdbool.h>

/* Before the first cop__membarrier of the program. */
void cop__membarrier_init(void);
/* A full memory barrier on every running thread of this program: what they stored before is visible
   to the caller afterwards, and they see what the caller stored before. */
void cop__membarrier(void);
/* Does that take microseconds at most? Else it may take milliseconds. Set by cop__membarrier_init. */
extern bool cop__membarrier_is_quick;

#endif
