/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulses: one array for the whole program, so that it does not matter when the watchdog itself is
 * restarted. A place is claimed by writing a pid where 0 was, and given back by its process's end.
 * A process that was killed in an endless loop never gets there: its place stays taken, as its
 * stack does.
 *
 * Time is counted in ticks of the watchdog: to note the time is then to copy a word.
 * Threads: any; a pulse is written by its process, read by the watchdog. A pulse may change hands
 * between the watchdog's looks at `since` and at `pid`; it looks at `since` a second time then.
 */
#include "pulse.h"

#include <stdlib.h>

_Atomic uint64_t pulse_tick = 1;

static struct pulse *pulses;
static size_t pulses_count;
static _Atomic size_t next_place;

bool pulse_setup(size_t count) {
    pulses = aligned_alloc(sizeof *pulses, count * sizeof *pulses);
    if (pulses == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        pulses[i] = (struct pulse){ 0 };
    pulses_count = count;
    return true;
}

static void pulse_release(void *object) {
    struct pulse *pulse = object;
    pulse_end(pulse);
    atomic_store(&pulse->pid, 0);
}

struct pulse *pulse_claim(cop_ctx *ctx) {
    uint64_t pid = cop_self(ctx).t.w;
    for (size_t i = 0; i < pulses_count; i++) {
        struct pulse *pulse = &pulses[atomic_fetch_add(&next_place, 1) % pulses_count];
        uint64_t nobody = 0;
        if (atomic_load(&pulse->pid) == 0
            && atomic_compare_exchange_strong(&pulse->pid, &nobody, pid))
            return cop_own(ctx, pulse, pulse_release);
    }
    return NULL;
}

void pulse_check(uint64_t ticks, void (*late)(void *arg, cop_pid pid), void *arg) {
    uint64_t now = atomic_fetch_add(&pulse_tick, 1) + 1;
    for (size_t i = 0; i < pulses_count; i++) {
        struct pulse *pulse = &pulses[i];
        uint64_t since = atomic_load(&pulse->since);
        uint64_t pid = atomic_load(&pulse->pid);
        if (since == 0 || pid == 0 || now - since < ticks)
            continue;
        if (atomic_compare_exchange_strong(&pulse->since, &since, 0))
            late(arg, (cop_pid){ { pid } });
    }
}
