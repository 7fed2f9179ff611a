/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_SUPERVISOR_ENGINE_H
#define COP__OTP_SUPERVISOR_ENGINE_H

#include "sup.h"

/*
 * A supervisor's list of children and what is done to them: starting, stopping, restarting by the
 * strategy (supervisor_engine.c). Children are known by their index, NONE is no child; an index is good
 * until its child is removed, a pointer only until the next append.
 */

enum child_state { CHILD_UNDEFINED, CHILD_RUNNING, CHILD_RESTARTING };
#define NONE UINT32_MAX

struct child {
    uint32_t prev, next;
    struct sup_form *form;
    cop_saved *id, *args; /* args NULL: forgotten, as those of a temporary child are */
    uint32_t hash;
    enum child_state state;
    cop_pid pid; /* running: its pid; restarting, or about to be: the one it had; COP_NONE inside */
    cop_ref timer;   /* of a back-off that runs; else COP_NONE inside */
    uint32_t pauses; /* since it last ran long enough */
    int64_t started_ms;
};

/* Malloc'ed, owned by the process: released by tables_release however it ends. */
struct tables {
    struct child *children;
    uint32_t count, used, cap, free, first, last;
    struct sup_table by_pid, by_id;
    struct sup_window window;
    cop_saved *args;
    cop_saved *brought_out; /* a term on its way out of a scope; here it goes with the process */
    struct sup_timeline *timeline;
};

struct sup {
    cop_term name; /* an atom, {:via, module, name} or COP_NONE; kept alive */
    struct tables *t;
    const cop_supervisor *module;
    cop_atom module_name;
    cop_strategy strategy;
    cop_auto_shutdown auto_shutdown;
    int64_t max_restarts, max_seconds;
};

/* Frees the tables, however the process ends. */
void sup_tables_release(void *object);

struct child *sup_at(const struct sup *s, uint32_t i);
uint32_t sup_find(const struct sup *s, cop_term id);
uint32_t sup_find_pid(const struct sup *s, cop_pid pid);
/* Puts a child at the end of the list; it does not run. */
uint32_t sup_append(cop_ctx *ctx, struct sup *s, const struct sup_spec *spec);
void sup_remove(struct sup *s, uint32_t i);
/* Gives a child another specification, and the last place in the list; it runs on as it does. */
void sup_respecify(struct sup *s, uint32_t i, const struct sup_spec *spec);
void sup_move_last(struct sup *s, uint32_t i);

/* How a child is shown: :restarting to users, {:restarting, pid} in reports. */
cop_term sup_id_term(cop_ctx *ctx, const struct sup *s, uint32_t i);
cop_term sup_pid_term(cop_ctx *ctx, const struct child *child);
cop_term sup_pid_shown(const struct child *child);
cop_term sup_mfa_term(cop_ctx *ctx, const struct child *child);
cop_term sup_modules_term(cop_ctx *ctx, const struct child *child);
/* OTP's record of a child, the 9-tuple that start_child's failures carry. */
cop_term sup_record(cop_ctx *ctx, const struct sup *s, uint32_t i);
/* Into the timeline only; and into the log too. */
void sup_note(cop_ctx *ctx, const struct sup *s, const char *event, uint32_t i, cop_term pid,
              cop_term reason);
void sup_report_child(cop_ctx *ctx, const struct sup *s, const char *what, cop_term reason,
                      uint32_t i);

/* Runs the start function; false with *reason when it fails, and the state as it was. An ignored child is
   undefined afterwards. *info is COP_NONE unless the function gave some. */
bool sup_start_child(cop_ctx *ctx, struct sup *s, uint32_t i, cop_term *reason, cop_term *info);
/* Waits until it is down; afterwards it is undefined. */
void sup_stop_child(cop_ctx *ctx, struct sup *s, uint32_t i);
/* All, from the last to the first. */
void sup_stop_all(cop_ctx *ctx, struct sup *s);
/* A child has ended by itself with that reason: reports, restarts, gives up as the rules say. */
cop_next sup_child_ended(cop_ctx *ctx, struct sup *s, uint32_t i, cop_term reason);
/* A restart that is to be tried again: counted as another one; and one whose pause is over, which was
   counted before it. */
cop_next sup_restart(cop_ctx *ctx, struct sup *s, uint32_t i);
void sup_start_again(cop_ctx *ctx, struct sup *s, uint32_t i);

#endif
