/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_CLOCK_H
#define COP__OS_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t cop__clock_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static inline int64_t cop__clock_monotonic_ns(void) { return cop__clock_ns(CLOCK_MONOTONIC); }
/* The same clock as it stood at the kernel's last tick: read in a few instructions, and behind by some
   milliseconds. */
static inline int64_t cop__clock_coarse_ns(void) { return cop__clock_ns(CLOCK_MONOTONIC_COARSE); }
static inline int64_t cop__clock_realtime_ns(void) { return cop__clock_ns(CLOCK_REALTIME); }

#endif
