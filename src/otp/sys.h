/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_SYS_H
#define COP__OTP_SYS_H

#include <coppice/term.h>

/* The module's atom for a table's name: Elixir.Name for a name that begins with a capital. */
cop_atom sys_module_atom(const char *name);
/* {module, function, arity} as reports show it: with a list of :Argument__1, ... for the arity. */
cop_term sys_initial_call_shown(cop_ctx *ctx, cop_term call);

#endif
