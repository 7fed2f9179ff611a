/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_FUTEX_H
#define COP__OS_FUTEX_H

#include <stdint.h>

/* Sleeps while *word is `expected`, at most timeout_ns (-1: for ever); may return early. */
void cop__futex_wait(uint32_t *word, uint32_t expected, int64_t timeout_ns);
/* Wakes at most n sleepers. */
void cop__futex_wake(uint32_t *word, int n);

#endif
