/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOGFLOW_LEDGER_H
#define LOGFLOW_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The ledger: what has become of each line that is on its way. It is why every line is counted once, whatever
 * crashes: a line may be sent again as often as one likes, but only the first who enters it may count it.
 *
 * A slot holds a line's number with its marks; lines LEDGER_WINDOW apart share one, so there are never more lines
 * than that on their way, and a copy that comes late finds another number and is ignored.
 *
 *     slot[n % LEDGER_WINDOW] = n << 8 | marks
 *
 * Threads: any, each slot is one atomic word.
 */
enum { LEDGER_WINDOW = 65536, LEDGER_DESKS = 4096 };
enum {
    LINE_COUNTED = 1,      /* an aggregator has it, as good, malformed or lost */
    LINE_SERVER_ERROR = 2, /* and it must be handled too */
    LINE_HANDLED = 4,      /* by a process of its own */
    LINE_POISON = 8,       /* it has ended two parsers: not to be parsed again */
    LINE_CRASHED = 16,     /* it has ended one */
};

struct ledger;
struct ledger *ledger_new(void); /* NULL: no memory */
void ledger_free(void *ledger);

/* A line is on its way from here on, without marks. */
void ledger_open(struct ledger *l, int64_t line);
/* Sets marks; true if this call has set the first of them, false when they were there, or the line is not on
   its way any more. */
bool ledger_mark(struct ledger *l, int64_t line, unsigned marks);
/* Its marks; ~0u when it is not on its way any more. */
unsigned ledger_marks(const struct ledger *l, int64_t line);
/* Nothing is left to be done for it. */
bool ledger_is_finished(const struct ledger *l, int64_t line);

/*
 * A desk is where a parser writes down which line it works on, so that it is known after it crashed. Each
 * parser that starts takes one, the next one round.
 */
unsigned ledger_take_desk(struct ledger *l);
void ledger_work_on(struct ledger *l, unsigned desk, int64_t line); /* -1: none */
int64_t ledger_worked_on(const struct ledger *l, unsigned desk);

#endif
