/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_GEN_SERVER_H
#define COP__OTP_GEN_SERVER_H

#include <coppice/gen_server.h>
#include <coppice/sys.h>

enum step { STEP_INIT, STEP_CALL, STEP_CAST, STEP_INFO, STEP_CONTINUE };

/* What a server's files share. The user's state follows the struct in the same block, so that the terms of
   both lie together. */
struct server {
    /* plain */
    const cop_gen_server *module;
    int64_t timeout_ms;         /* of the last return; -1: none */
    int64_t hibernate_after_ms; /* -1: never */
    uint8_t step;               /* enum step: which callback runs */
    bool hibernate, idle_is_hibernate;
    bool asleep; /* it hibernates because nothing came for hibernate_after_ms */
    bool ends;   /* terminate has had its turn: the exit that follows is the end */
    /* terms */
    cop_sys sys;           /* parent, registered name or pid, debug options, phase */
    cop_term last_message; /* for reports, while a callback runs */
    cop_term client;       /* {pid, tag} of the call that is served, or COP_NONE */
};
enum { SERVER_TERMS = COP_SYS_TERMS + 2 };
_Static_assert(sizeof(struct server) % 16 == 0, "the user's state is aligned");

static inline void *user_state(struct server *s) { return s + 1; }

/* ---- gen_server.c ---- */
extern const cop_callbacks gen_server_callbacks;
/* Carries out one return, and the continues that follow from it. */
void gen_server_proceed(cop_ctx *ctx, struct server *s, cop_next *next);
/* Ends the server with that reason; terminate runs first. */
_Noreturn void gen_server_stop(cop_ctx *ctx, struct server *s, cop_term reason, cop_term reply);

/* ---- gen_server_sys.c ---- */
extern const cop_sys_callbacks gen_server_sys;
/* The state as a term, and from one. */
cop_term gen_server_state(cop_ctx *ctx, struct server *s);
bool gen_server_set_state(cop_ctx *ctx, struct server *s, cop_term term);
/* The log event of a server that ends abnormally. */
void gen_server_report(cop_ctx *ctx, struct server *s, cop_term reason, bool is_fault);
/* The same, as an event of sys shows it: redacted. */
cop_term gen_server_shown(cop_ctx *ctx, struct server *s, cop_atom what, cop_term term);
/* Not more of it than the table's report_max_words. */
cop_term gen_server_bounded(cop_ctx *ctx, struct server *s, cop_term term);

#endif
