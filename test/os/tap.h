/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_OS_TAP_H
#define TEST_OS_TAP_H

/* The least that speaks TAP: these tests run without a node, so without the kit. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int tap_number;

static inline void ok(bool good, const char *what) {
    printf("%s %d - %s\n", good ? "ok" : "not ok", ++tap_number, what);
    fflush(stdout);
    if (!good)
        exit(1);
}

static inline void skip(const char *what, const char *why) {
    printf("ok %d - %s # SKIP %s\n", ++tap_number, what, why);
}

#endif
