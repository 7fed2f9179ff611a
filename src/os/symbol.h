/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_SYMBOL_H
#define COP__OS_SYMBOL_H

#include <stdbool.h>
#include <stdint.h>

/* What is at a place in the code; empty strings and 0 where it is not known. */
struct cop__symbol {
    char function[96];
    char file[128]; /* the name without its folders */
    int line;
};

/* Looks it up, by the program's debug information and symbol tables. Not in a signal handler; any
   thread, any stack: the work is done on a thread of its own, with a cache. */
bool cop__symbol_of(uintptr_t pc, struct cop__symbol *out);
/* Ends that thread and gives its memory back; the next look-up starts it again. */
void cop__symbol_stop(void);

#endif
