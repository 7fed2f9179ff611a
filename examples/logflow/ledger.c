/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger; see ledger.h. */
#include "ledger.h"

#include <stdatomic.h>
#include <stdlib.h>

struct ledger {
    _Atomic uint64_t slot[LEDGER_WINDOW];
    _Atomic int64_t desk[LEDGER_DESKS];
    atomic_uint desks;
};

struct ledger *ledger_new(void) {
    struct ledger *l = calloc(1, sizeof *l);
    for (unsigned i = 0; l != NULL && i < LEDGER_WINDOW; i++)
        atomic_init(&l->slot[i], UINT64_MAX);
    return l;
}

void ledger_free(void *ledger) { free(ledger); }

static uint64_t word_of(int64_t line, unsigned marks) { return (uint64_t)line << 8 | marks; }

static unsigned place(int64_t line) { return (unsigned)((uint64_t)line % LEDGER_WINDOW); }

void ledger_open(struct ledger *l, int64_t line) {
    atomic_store(&l->slot[place(line)], word_of(line, 0));
}

bool ledger_mark(struct ledger *l, int64_t line, unsigned marks) {
    _Atomic uint64_t *slot = &l->slot[place(line)];
    uint64_t have = atomic_load(slot);
    do {
        if (have >> 8 != (uint64_t)line || (have & marks) != 0)
            return false;
    } while (!atomic_compare_exchange_weak(slot, &have, have | marks));
    return true;
}

unsigned ledger_marks(const struct ledger *l, int64_t line) {
    uint64_t have = atomic_load(&l->slot[place(line)]);
    return have >> 8 == (uint64_t)line ? (unsigned)(have & 255) : ~0u;
}

bool ledger_is_finished(const struct ledger *l, int64_t line) {
    unsigned marks = ledger_marks(l, line);
    return (marks & LINE_COUNTED) != 0
           && ((marks & LINE_SERVER_ERROR) == 0 || (marks & LINE_HANDLED) != 0);
}

unsigned ledger_take_desk(struct ledger *l) {
    unsigned desk = atomic_fetch_add(&l->desks, 1) % LEDGER_DESKS;
    ledger_work_on(l, desk, -1);
    return desk;
}

void ledger_work_on(struct ledger *l, unsigned desk, int64_t line) {
    atomic_store_explicit(&l->desk[desk % LEDGER_DESKS], line, memory_order_release);
}

int64_t ledger_worked_on(const struct ledger *l, unsigned desk) {
    return atomic_load_explicit(&l->desk[desk % LEDGER_DESKS], memory_order_acquire);
}
