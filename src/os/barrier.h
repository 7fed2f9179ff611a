/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_BARRIER_H
#define COP__OS_BARRIER_H

/* Before the first cop__membarrier of the program. */
void cop__membarrier_init(void);
/* A full memory barrier on every running thread of this program: what they stored before is visible
   to the caller afterwards, and they see what the caller stored before. */
void cop__membarrier(void);

#endif
