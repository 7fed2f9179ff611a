/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_GEN_CALL_H
#define COP__OTP_GEN_CALL_H

#include <coppice/gen_server.h>

/*
 * One call with that label to whatever `server` names, and the wait for its answer; what would be an exit
 * comes back as a value, the bare reason. timeout_ms: COP_ZERO for none, else as it is. `function` is shown
 * by the FunctionClauseError of arguments that no clause takes: "call/3", or "sys".
 */
cop_called gen_call(cop_ctx *ctx, const char *function, cop_term server, cop_atom label,
                    cop_term request, int64_t timeout_ms);
/* The address behind a server term. *why is the reason if nobody is there. */
cop_term gen_resolve(cop_ctx *ctx, cop_term server, const char *function, cop_term *why);
/* What came for a request: the reply, or the end of the server. */
cop_called gen_answer(cop_term message);
/* A timeout as Elixir shows it: an integer or :infinity. */
cop_term timeout_shown(cop_ctx *ctx, int64_t timeout_ms);

#endif
