/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_SUP_H
#define COP__OTP_SUP_H

#include <coppice/dynamic_supervisor.h>
#include <coppice/module.h>

/*
 * What the supervisors have in common: the two forms of a child's specification and their one
 * validation, starting a child, the restart window, tables, reports, pauses and the timeline.
 */

/* ---- specifications (child_spec.c) ----------------------------------------------------------------- */

/* As it came: COP_NONE is "not given". */
struct sup_raw {
    cop_term id, start, restart, shutdown, type, modules, significant, backoff, c_start;
};

/* Checked, defaults filled in. shutdown: ms, COP_INFINITY or COP_BRUTAL_KILL. */
struct sup_spec {
    cop_term id, args, modules;
    cop_atom m, f;
    cop_started (*c_start)(cop_ctx *ctx, cop_term arg); /* NULL: m.f is called */
    cop_restart restart;
    cop_child_type type;
    bool significant;
    int64_t shutdown;
    cop_backoff backoff;
};

/* Takes a map or a 6-tuple apart; false for anything else. */
bool sup_raw_from(cop_term spec, struct sup_raw *out);
struct sup_raw sup_raw_from_struct(cop_ctx *ctx, const cop_child_spec *spec);
/* What is wrong, in OTP's words and order; COP_NONE, and *out, when nothing is. */
cop_term sup_check(cop_ctx *ctx, const struct sup_raw *raw, cop_term auto_shutdown,
                   struct sup_spec *out);
/* The same in DynamicSupervisor's words; `shown` is the specification for its errors. */
cop_term sup_check_dynamic(cop_ctx *ctx, const struct sup_raw *raw, cop_term shown,
                           struct sup_spec *out);
/* A module or {module, arg} as its map; a map or a 6-tuple unchanged. Raises Elixir's errors. */
cop_term sup_resolve(cop_ctx *ctx, cop_term spec);
/* Elixir's for a name: option that can be none. */
_Noreturn void sup_bad_name(cop_ctx *ctx, cop_term name);
_Noreturn void sup_argument_error(cop_ctx *ctx, const char *head, cop_term shown, const char *tail);
/* A keyword list's value of that key, else `otherwise`. */
cop_term sup_option(cop_term options, cop_atom key, cop_term otherwise);
/* Takes the :name of options into name or via; raises for what is no name. */
void sup_name_option(cop_ctx *ctx, cop_term options, cop_start_opts *start);

/* An integer of at least `least`, of any size; one too large is as good as the largest. */
bool sup_count_from(cop_term t, int64_t least, int64_t *out);

/* The terms of single fields, and back. */
cop_atom sup_restart_atom(cop_restart restart);
cop_atom sup_type_atom(cop_child_type type);
cop_term sup_shutdown_term(cop_ctx *ctx, int64_t shutdown);
bool sup_restart_from(cop_term t, cop_restart *out);
bool sup_type_from(cop_term t, cop_child_type *out);
bool sup_shutdown_from(cop_term t, int64_t *out);
cop_term sup_backoff_term(cop_ctx *ctx, const cop_backoff *backoff);
bool sup_backoff_from(cop_term t, cop_backoff *out);
cop_term sup_c_start_term(cop_ctx *ctx, cop_started (*start)(cop_ctx *, cop_term));
bool sup_c_start_from(cop_term t, cop_started (**out)(cop_ctx *, cop_term));

/* ---- forms: what many children have in common, shared by count (sup_child.c) -------------------------- */

struct sup_form {
    size_t refs;
    cop_atom m, f;
    cop_started (*c_start)(cop_ctx *ctx, cop_term arg);
    cop_saved *modules;
    cop_restart restart;
    cop_child_type type;
    bool significant;
    int64_t shutdown;
    cop_backoff backoff;
};
struct sup_form *sup_form_new(const struct sup_spec *spec);
bool sup_form_is_of(const struct sup_form *form, const struct sup_spec *spec);
void sup_form_release(struct sup_form *form);

/* {m, f, args}; args NULL is :undefined. */
cop_term sup_mfa(cop_ctx *ctx, const struct sup_form *form, cop_term args);
static inline cop_term sup_args(cop_ctx *ctx, const cop_saved *args) {
    return args == NULL ? cop_a(undefined).t : cop_saved_load(ctx, args);
}

/* How a start function ended. A reason is what it returned, or, RAISED, what `caught` has. */
struct sup_started {
    enum { SUP_STARTED, SUP_IGNORED, SUP_FAILED, SUP_RAISED } is;
    cop_pid pid;
    cop_term info, reason;
    cop_caught caught;
};
/* Runs it with extra ++ args. */
struct sup_started sup_start(cop_ctx *ctx, const struct sup_form *form, cop_term extra,
                             cop_term args);
/* What a start function's result means. */
struct sup_started sup_started_of(cop_term result);
/* Takes {:EXIT, pid, reason} out of the mailbox if it is there. */
bool sup_take_exit(cop_ctx *ctx, cop_pid pid, cop_term *reason);
/* The pause before restart number `attempt` (from 0) of a child. */
int64_t sup_pause(cop_ctx *ctx, const cop_backoff *backoff, uint32_t attempt);

/* ---- the restart window ---------------------------------------------------------------------------------- */

/* The seconds in which restarts were, and how many in each: as long as max_seconds at most. */
struct sup_window {
    struct sup_second {
        int64_t second, count;
    } * at;
    size_t first, end, cap;
    int64_t total;
};
/* Notes a restart; returns how many there are now within the last `period` seconds. */
int64_t sup_window_add(struct sup_window *w, int64_t now, int64_t period);
/* The seconds, newest first, as a list. */
cop_term sup_window_term(cop_ctx *ctx, const struct sup_window *w);

/* ---- a table from a word to an index ------------------------------------------------------------------ */

/* Of a key it has 32 bits: whoever looks one up compares what stands at the index. */
struct sup_table {
    struct sup_slot {
        uint32_t hash;
        uint32_t value; /* index + 1; 0: free */
    } * slots;
    size_t mask, count;
};
void sup_table_put(struct sup_table *t, uint64_t key, uint32_t value);
void sup_table_remove(struct sup_table *t, uint64_t key, uint32_t value);
/* The next value behind *at (SIZE_MAX: the first) that may be under key; UINT32_MAX: no more. */
uint32_t sup_table_next(const struct sup_table *t, uint64_t key, size_t *at);

/* malloc that raises :system_limit in the process. */
void *sup_alloc(cop_ctx *ctx, size_t size);
void *sup_grow(cop_ctx *ctx, void *block, size_t size);

/* ---- reports and the timeline (sup_report.c) -------------------------------------------------------------- */

/* Is anybody there who reads reports? They are not even built when not. */
bool sup_is_logged(cop_ctx *ctx, cop_level level);
void sup_report(cop_ctx *ctx, const char *what, cop_term supervisor, cop_term reason,
                cop_term offender);
void sup_report_progress(cop_ctx *ctx, cop_term supervisor, cop_term started);
/* An unexpected message: Supervisor logs a text, DynamicSupervisor a report. */
void sup_report_message(cop_ctx *ctx, bool dynamic, cop_term message);

struct sup_timeline;
/* NULL when limit <= 0. */
struct sup_timeline *sup_timeline_new(cop_ctx *ctx, int64_t limit, cop_term name);
void sup_timeline_note(cop_ctx *ctx, struct sup_timeline *timeline, const char *event, cop_term id,
                       cop_term pid, cop_term reason);
/* Its supervisor is gone. */
void sup_timeline_end(struct sup_timeline *timeline);

/* ---- flags (sup_child.c) ------------------------------------------------------------------------------------ */

/* What stands between a start and the new process: {module's address, arg, name | nil}. */
cop_term sup_pack(cop_ctx *ctx, const cop_supervisor *module, cop_term arg,
                  const cop_start_opts *start);
bool sup_unpack(cop_term packed, const cop_supervisor **module, cop_term *arg, cop_term *name);
/* Loads the modules Supervisor, DynamicSupervisor and PartitionSupervisor, once (sup_modules.c). */
void sup_load_modules(void);
extern const cop_module sup_partition_module;
/* The options that were given, if any, with what $initial_call is to show, {:supervisor, Module, 1}; `call` has
   room for its text. */
enum { SUP_CALL = 300 };
cop_start_opts sup_start_opts(char *call, const cop_supervisor *module,
                              const cop_start_opts *given);
/* [{:supervisor, [{'Callback', Module}]}], which get_status has behind the rest. */
cop_term sup_status(cop_ctx *ctx, cop_atom module);
/* {:local, name}, {:via, module, name} or {pid, module} */
cop_term sup_shown_name(cop_ctx *ctx, cop_term name, cop_atom module);
extern const cop_supervisor sup_default_module;

#endif
