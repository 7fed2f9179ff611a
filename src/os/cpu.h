/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_CPU_H
#define COP__OS_CPU_H

/* How many CPUs this program may use (its affinity). At least 1. */
int cop__cpu_count(void);
/* A pause in a spin loop. */
#if defined(__x86_64__)
static inline void cop__cpu_relax(void) { __builtin_ia32_pause(); }
#else
static inline void cop__cpu_relax(void) { __asm__ volatile("yield" ::: "memory"); }
#endif

#endif
