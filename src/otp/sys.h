/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_SYS_H
#define COP__OTP_SYS_H

#include <coppice/proc_lib.h>
#include <coppice/sys.h>

/* The module's atom for a table's name: Elixir.Name for a name that begins with a capital. */
cop_atom sys_module_atom(const char *name);
/* The atom of that name; quicker than cop_atom_new for a literal. */
cop_atom sys_atom(const char *name);
/* {module, function, arity} as reports show it: with a list of :Argument__1, ... for the arity. */
cop_term sys_initial_call_shown(cop_ctx *ctx, cop_term call);
/* What may be shown of it; redact may be NULL. */
cop_term sys_shown(cop_ctx *ctx, cop_redact redact, cop_atom what, cop_term term);
/* cop_proc_lib_crash_report with a behaviour's redact; NULL: the process's own, if it has one. */
void sys_crash_report(cop_ctx *ctx, const cop_caught *caught, cop_redact redact);
/* The term, or if it has more words than that the beginning of its text. */
enum { SYS_REPORT_WORDS = 65536 };
cop_term sys_bounded(cop_ctx *ctx, cop_term t, size_t max_words);

/* A keyword list, each of its values bounded. */
cop_term sys_bounded_fields(cop_ctx *ctx, cop_term list);

/* ---- for a server that hibernates while it is suspended (sys.c) ---- */

/* Serves one message if it is a system message; does not wait when that suspends the process. */
bool sys_serve(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, void *state,
               cop_term message);
bool sys_is_suspended(const cop_sys *sys);
/* Hibernates until a message comes that a suspended process takes, then runs entry(ctx, arg). `sys` stands in
   the process's state. */
_Noreturn void sys_hibernate(cop_ctx *ctx, cop_sys *sys, cop_entry entry, cop_term arg);
/* Serves what is there for a suspended process, until nothing is or it is resumed. */
void sys_serve_suspended(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, void *state);

#endif
