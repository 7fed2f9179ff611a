/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_VIA_H
#define COP__OTP_VIA_H

#include <coppice/process.h>

/* Names that a module keeps: {:via, module, name}, and {:global, name}. Each raises what the module's function raises. */

/* Is it one? *name (may be NULL) is its last element. */
bool via_is(cop_term t, cop_term *name);
/* The pid that has the name, or COP_NONE. */
cop_term via_whereis(cop_ctx *ctx, cop_term via);
/* Gives it to the calling process; false if it is taken. */
bool via_register(cop_ctx *ctx, cop_term via);
void via_unregister(cop_ctx *ctx, cop_term via);

#endif
