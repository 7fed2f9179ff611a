/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_CPU_H
#define COP__OS_CPU_H

#include <stdint.h>

/* How many CPUs this program may use (its affinity). At least 1. */
int cop__cpu_count(void);
/* A pause in a spin loop. Ticks of this CPU's own counter: how many pass in a microsecond is its affair, other CPUs may
   count otherwise, and a machine that slept may begin anew. That few have passed only makes it likely that little
   time has: COP__FEW_TICKS are some microseconds. */
#if defined(__x86_64__)
enum { COP__FEW_TICKS = 8192 };
static inline void cop__cpu_relax(void) { __builtin_ia32_pause(); }
static inline uint64_t cop__cpu_ticks(void) { return __builtin_ia32_rdtsc(); }
#else
enum { COP__FEW_TICKS = 512 };
static inline void cop__cpu_relax(void) { __asm__ volatile("yield" ::: "memory"); }
static inline uint64_t cop__cpu_ticks(void) {
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}
#endif

#endif
