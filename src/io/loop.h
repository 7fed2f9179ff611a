/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_LOOP_H
#define COP__IO_LOOP_H

#include <uv.h>

#include "proc/port.h"

/* The libuv loop and the bound that its ports live on; starts the thread at the first use. */
uv_loop_t *cop__io_loop(void); /* on the loop's thread only */
struct cop__bound *cop__io_bound(cop_ctx *ctx);
/* On the loop's thread: something must still be done when the node stops; the loop goes on until as many
   have let go. */
void cop__io_hold(void);
void cop__io_let(void);
/* Runs function(arg) on the loop's thread, soon. A host call; a process calls it inside of the run-time. */
void cop__io_call(void (*function)(void *arg), void *arg);

#endif
