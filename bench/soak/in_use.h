/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the allocator's memory is in use: see in_use.c. */
#ifndef SOAK_IN_USE_H
#define SOAK_IN_USE_H

#include <stdint.h>

/* Bytes of all blocks that were taken and not given back; -1 if this build does not count them. */
int64_t bytes_in_use(void);

#endif
