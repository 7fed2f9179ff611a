/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KV_PULSE_H
#define KV_PULSE_H

#include <coppice/process.h>
#include <stdatomic.h>

/*
 * A process that may be asked to run away (CRASH loop, or a mistake) has a pulse: it notes when it
 * begins a piece of work and when it is through. The watchdog looks at all of them now and then,
 * and kills who has been at one piece too long. An idle process costs nothing.
 */
struct pulse {
    _Alignas(64) _Atomic uint64_t pid; /* the word of its pid; 0: nobody's */
    _Atomic uint64_t since;            /* the tick at which its work began; 0: it has none */
};

extern _Atomic uint64_t pulse_tick; /* never 0 */

/* Room for that many processes. Once, before the first is claimed; false without memory. */
bool pulse_setup(size_t count);
/* A pulse for the calling process, given back when it ends. NULL when all are taken. */
struct pulse *pulse_claim(cop_ctx *ctx);

static inline void pulse_begin(struct pulse *pulse) {
    uint64_t now = atomic_load_explicit(&pulse_tick, memory_order_relaxed);
    atomic_store_explicit(&pulse->since, now, memory_order_relaxed);
}

static inline void pulse_end(struct pulse *pulse) {
    atomic_store_explicit(&pulse->since, 0, memory_order_relaxed);
}

/* Counts a tick, and calls `late` for each pulse whose work began `ticks` or more ticks ago; that
   pulse is then left alone until its next piece of work. For the watchdog only. */
void pulse_check(uint64_t ticks, void (*late)(void *arg, cop_pid pid), void *arg);

#endif
