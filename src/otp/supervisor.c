/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor: a gen_server whose state is an ordered list of children.
 *
 * A child is a copy of its spec and what is known of its process. The terms of all children (id,
 * argument) stand in one array beside it, three for each, which the run-time keeps alive:
 *
 *     children[i] = { spec, pid, state }        terms[2 * i] = { id, arg }
 *
 * Everything that waits for a child (stopping) waits inside the callback, as in OTP; calls are served
 * one at a time. A restart that fails is tried again by a cast to itself, so that calls get in
 * between. The restart window is a ring of the last max_restarts + 1 instants: O(1) each time.
 */
#include <coppice/supervisor.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

enum child_state { CHILD_UNDEFINED, CHILD_RUNNING, CHILD_RESTARTING };
enum { CHILD_TERMS = 2 };

struct child {
    cop_child_spec spec; /* id_term and arg stand in `terms` */
    cop_pid pid;
    enum child_state state;
};

struct sup {
    cop_strategy strategy;
    cop_auto_shutdown auto_shutdown;
    int64_t max_restarts, max_seconds;
    struct child *children;
    cop_term *terms;
    size_t count, cap;
    int64_t *instants; /* the ring: seconds of the last restarts */
    int64_t restarts;  /* how many there were */
    cop_term name;     /* an atom or the pid: immediate */
};

static cop_term id_of(const struct sup *s, size_t i) { return s->terms[CHILD_TERMS * i]; }
static cop_term arg_of(const struct sup *s, size_t i) { return s->terms[CHILD_TERMS * i + 1]; }

/* ---- specs ------------------------------------------------------------------------------------------ */

static cop_term spec_id(const cop_child_spec *spec) {
    return spec->id != NULL ? cop_atom_new(spec->id).t : spec->id_term;
}

static bool is_bad_shutdown(int64_t ms) {
    return ms < 0 && ms != COP_BRUTAL_KILL && ms != COP_ZERO;
}

/* What is wrong with a spec, in OTP's words; COP_NONE if nothing. */
static cop_term spec_error(cop_ctx *ctx, const struct sup *s, const cop_child_spec *spec) {
    if (spec->id == NULL && cop_is_none(spec->id_term))
        return cop_a(missing_id).t;
    if (spec->start == NULL)
        return cop_a(missing_start).t;
    if ((unsigned)spec->restart > COP_TEMPORARY)
        return cop_tuple(ctx, cop_a(invalid_restart_type), (int)spec->restart);
    if (spec->significant && s->auto_shutdown == COP_AUTO_SHUTDOWN_NEVER)
        return cop_tuple(ctx, cop_a(bad_combination),
                         cop_list(ctx, cop_tuple(ctx, cop_a(auto_shutdown), cop_a(never)),
                                  cop_tuple(ctx, cop_a(significant), cop_a(true))));
    if (spec->significant && spec->restart == COP_PERMANENT)
        return cop_tuple(ctx, cop_a(bad_combination),
                         cop_list(ctx, cop_tuple(ctx, cop_a(restart), cop_a(permanent)),
                                  cop_tuple(ctx, cop_a(significant), cop_a(true))));
    if ((unsigned)spec->type > COP_SUPERVISOR)
        return cop_tuple(ctx, cop_a(invalid_child_type), (int)spec->type);
    if (is_bad_shutdown(spec->shutdown_ms))
        return cop_tuple(ctx, cop_a(invalid_shutdown), spec->shutdown_ms);
    return COP_NONE;
}

static size_t find(const struct sup *s, cop_term id) {
    for (size_t i = 0; i < s->count; i++)
        if (cop_same(id_of(s, i), id))
            return i;
    return s->count;
}

static void append(cop_ctx *ctx, struct sup *s, const cop_child_spec *spec, cop_term id,
                   cop_term arg) {
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 4 : 2 * s->cap;
        s->children = cop_realloc(ctx, s->children, s->cap * sizeof *s->children);
        s->terms = cop_realloc(ctx, s->terms, s->cap * CHILD_TERMS * sizeof *s->terms);
    }
    struct child *child = &s->children[s->count];
    memset(child, 0, sizeof *child);
    child->spec = *spec;
    s->terms[CHILD_TERMS * s->count] = id;
    s->terms[CHILD_TERMS * s->count + 1] = cop_is_none(arg) ? cop_a(undefined).t : arg;
    s->count++;
    cop_process_keep(ctx, 1, s->terms, s->count * CHILD_TERMS);
}

static void remove_at(cop_ctx *ctx, struct sup *s, size_t i) {
    memmove(&s->children[i], &s->children[i + 1], (s->count - i - 1) * sizeof *s->children);
    memmove(&s->terms[CHILD_TERMS * i], &s->terms[CHILD_TERMS * (i + 1)],
            (s->count - i - 1) * CHILD_TERMS * sizeof *s->terms);
    s->count--;
    cop_process_keep(ctx, 1, s->terms, s->count * CHILD_TERMS);
}

/* ---- showing ----------------------------------------------------------------------------------------- */

static cop_atom restart_atom(cop_restart r) {
    return r == COP_PERMANENT   ? cop_a(permanent)
           : r == COP_TRANSIENT ? cop_a(transient)
                                : cop_a(temporary);
}

static int64_t shutdown_of(const cop_child_spec *spec) {
    if (spec->shutdown_ms == 0)
        return spec->type == COP_SUPERVISOR ? COP_INFINITY : 5000;
    return spec->shutdown_ms == COP_ZERO ? 0 : spec->shutdown_ms;
}

static cop_term shutdown_term(cop_ctx *ctx, const cop_child_spec *spec) {
    int64_t ms = shutdown_of(spec);
    return ms == COP_BRUTAL_KILL ? cop_a(brutal_kill).t
           : ms == COP_INFINITY  ? cop_a(infinity).t
                                 : cop_of(ctx, ms);
}

static cop_term type_term(const cop_child_spec *spec) {
    return spec->type == COP_SUPERVISOR ? cop_a(supervisor).t : cop_a(worker).t;
}

static cop_term module_term(const struct sup *s, size_t i) {
    const char *module = s->children[i].spec.module;
    cop_atom id;
    if (module != NULL)
        return sys_module_atom(module).t;
    return cop_get_atom(id_of(s, i), &id) ? id.t : cop_a(nil).t;
}

static cop_term pid_term(const struct child *child) {
    return child->state == CHILD_RUNNING      ? child->pid.t
           : child->state == CHILD_RESTARTING ? cop_a(restarting).t
                                              : cop_a(undefined).t;
}

static cop_term mfa_term(cop_ctx *ctx, const struct sup *s, size_t i) {
    return cop_tuple(ctx, module_term(s, i), cop_a(start_link), cop_list(ctx, arg_of(s, i)));
}

static cop_term child_info(cop_ctx *ctx, const struct sup *s, size_t i) {
    const struct child *child = &s->children[i];
    return cop_list(ctx, cop_tuple(ctx, cop_a(pid), pid_term(child)),
                    cop_tuple(ctx, cop_a(id), id_of(s, i)),
                    cop_tuple(ctx, cop_a(mfargs), mfa_term(ctx, s, i)),
                    cop_tuple(ctx, cop_a(restart_type), restart_atom(child->spec.restart)),
                    cop_tuple(ctx, cop_a(significant), child->spec.significant),
                    cop_tuple(ctx, cop_a(shutdown), shutdown_term(ctx, &child->spec)),
                    cop_tuple(ctx, cop_a(child_type), type_term(&child->spec)));
}

/* The 9-tuple that start_child's failures carry. */
static cop_term child_record(cop_ctx *ctx, const struct sup *s, size_t i) {
    const cop_child_spec *spec = &s->children[i].spec;
    return cop_tuple(ctx, cop_a(child), cop_a(undefined), id_of(s, i), mfa_term(ctx, s, i),
                     restart_atom(spec->restart), spec->significant, shutdown_term(ctx, spec),
                     type_term(spec), cop_list(ctx, module_term(s, i)));
}

static cop_term supervisor_name(cop_ctx *ctx, const struct sup *s) {
    return cop_tuple(ctx, cop_is_atom(s->name) ? cop_a(local).t : cop_self(ctx).t,
                     cop_is_atom(s->name) ? s->name : cop_a(supervisor).t);
}

static void log_report(cop_ctx *ctx, const char *what, cop_level level, cop_term report) {
    cop_term label = cop_tuple(ctx, cop_a(supervisor), cop_atom_new(what));
    cop_log(ctx, level,
            cop_tuple(ctx, cop_a(report), cop_map(ctx, cop_a(label), label, cop_a(report), report)),
            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp), cop_a(sasl))));
}

static void log_error(cop_ctx *ctx, const struct sup *s, const char *what, cop_term reason,
                      size_t i) {
    log_report(ctx, what, COP_LEVEL_ERROR,
               cop_list(ctx, cop_tuple(ctx, cop_a(supervisor), supervisor_name(ctx, s)),
                        cop_tuple(ctx, cop_as("errorContext"), cop_atom_new(what)),
                        cop_tuple(ctx, cop_a(reason), reason),
                        cop_tuple(ctx, cop_a(offender), child_info(ctx, s, i))));
}

/* ---- starting and stopping one child ----------------------------------------------------------------------- */

/* Runs the start function; false with *reason when it fails. An ignored child stays undefined. */
static bool start_child(cop_ctx *ctx, struct sup *s, size_t i, cop_term *reason, cop_term *info) {
    cop_started (*start)(cop_ctx *, cop_term) = s->children[i].spec.start;
    volatile cop_started started = { .is = COP_ERROR };
    volatile bool raised = false;
    volatile cop_term why = COP_NONE;
    COP_TRY(ctx) {
        cop_started got = start(ctx, arg_of(s, i));
        started.is = got.is;
        started.pid.t.w = got.pid.t.w;
        started.reason.w = got.reason.w;
        started.info.w = got.info.w;
    }
    COP_CATCH(caught) {
        raised = true;
        why.w = cop_tuple(ctx, cop_as("EXIT"), cop_caught_reason(ctx, caught)).w;
    }
    *info = (cop_term){ started.info.w };
    if (raised || started.is == COP_ERROR) {
        *reason = raised ? (cop_term){ why.w } : (cop_term){ started.reason.w };
        if (cop_is_none(*reason))
            *reason = cop_a(undefined).t;
        return false;
    }
    struct child *child = &s->children[i];
    child->state = started.is == COP_STARTED ? CHILD_RUNNING : CHILD_UNDEFINED;
    child->pid.t.w = started.pid.t.w;
    if (started.is == COP_STARTED)
        log_report(ctx, "progress", COP_LEVEL_INFO,
                   cop_list(ctx, cop_tuple(ctx, cop_a(supervisor), supervisor_name(ctx, s)),
                            cop_tuple(ctx, cop_a(started), child_info(ctx, s, i))));
    return true;
}

static bool is_exit_of(cop_term message, void *arg) {
    cop_term any;
    return cop_match_tuple(message, cop_as("EXIT"), *(cop_pid *)arg, &any);
}

static bool is_acceptable(const cop_child_spec *spec, cop_term reason) {
    if (spec->shutdown_ms == COP_BRUTAL_KILL)
        return cop_match(reason, cop_a(killed))
               || (spec->restart != COP_PERMANENT && cop_reason_is_normal(reason));
    return cop_match(reason, cop_a(shutdown))
           || (spec->restart != COP_PERMANENT && cop_reason_is_normal(reason));
}

static void stop_child(cop_ctx *ctx, struct sup *s, size_t i) {
    struct child *child = &s->children[i];
    if (child->state != CHILD_RUNNING) {
        child->state = CHILD_UNDEFINED;
        return;
    }
    cop_pid pid = child->pid;
    int64_t wait = shutdown_of(&child->spec);
    cop_term down, message, any, reason;
    cop_ref ref = cop_process_monitor(ctx, pid);
    if (wait == COP_BRUTAL_KILL) {
        cop_process_exit(ctx, pid, cop_a(kill).t);
        cop_receive_ref(ctx, COP_INFINITY, ref, &down);
    } else {
        cop_process_exit(ctx, pid, cop_a(shutdown).t);
        if (!cop_receive_ref(ctx, wait, ref, &down)) {
            cop_process_exit(ctx, pid, cop_a(kill).t);
            cop_receive_ref(ctx, COP_INFINITY, ref, &down);
        }
    }
    reason = cop_elem(down, 4);
    cop_process_unlink(ctx, pid);
    if (cop_receive_match(ctx, 0, is_exit_of, &pid, &message)
        && cop_match_tuple(message, cop_as("EXIT"), pid, &any))
        reason = any; /* what the link said is more than the monitor's */
    if (!is_acceptable(&child->spec, reason))
        log_error(ctx, s, "shutdown_error", reason, i);
    s->children[i].state = CHILD_UNDEFINED;
}

/* From the last to the one at `from`. */
static void stop_from(cop_ctx *ctx, struct sup *s, size_t from) {
    for (size_t i = s->count; i > from; i--)
        stop_child(ctx, s, i - 1);
}

/* ---- restarting ----------------------------------------------------------------------------------------------- */

/* Notes a restart; false if there were too many. */
static bool note_restart(cop_ctx *ctx, struct sup *s) {
    int64_t now = cop_monotonic_ms(ctx) / 1000, size = s->max_restarts + 1;
    int64_t *place = &s->instants[s->restarts % size];
    s->restarts++;
    bool full = s->restarts >= size;
    *place = now;
    /* The oldest of the last max_restarts + 1 is the one that would be overwritten next. */
    int64_t oldest = s->instants[s->restarts % size];
    return !(full && oldest >= now - s->max_seconds);
}

static cop_next give_up(cop_ctx *ctx, struct sup *s, size_t i) {
    log_error(ctx, s, "shutdown", cop_a(reached_max_restart_intensity).t, i);
    return cop_stop(cop_a(shutdown));
}

/* Starts the children from `from` on that are not running; the first failure is tried again later. */
static void start_group(cop_ctx *ctx, struct sup *s, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        cop_term reason, info;
        if (s->children[i].state == CHILD_RUNNING)
            continue;
        if (start_child(ctx, s, i, &reason, &info))
            continue;
        log_error(ctx, s, "start_error", reason, i);
        s->children[i].state = CHILD_RESTARTING;
        cop_gen_server_cast(ctx, cop_self(ctx),
                            cop_tuple(ctx, cop_a(try_again_restart), id_of(s, i)));
        return;
    }
}

/* Stops what the strategy says and drops the temporary ones; returns where the group begins. */
static void stop_group(cop_ctx *ctx, struct sup *s, size_t from, cop_term crashed) {
    stop_from(ctx, s, from);
    for (size_t i = s->count; i > from; i--)
        if (s->children[i - 1].spec.restart == COP_TEMPORARY && !cop_same(id_of(s, i - 1), crashed))
            remove_at(ctx, s, i - 1);
}

static cop_next restart(cop_ctx *ctx, struct sup *s, size_t i) {
    if (!note_restart(ctx, s))
        return give_up(ctx, s, i);
    cop_term id = id_of(s, i);
    switch (s->strategy) {
    case COP_ONE_FOR_ONE:
        start_group(ctx, s, i, i + 1);
        break;
    case COP_REST_FOR_ONE:
        stop_group(ctx, s, i + 1, id);
        start_group(ctx, s, i, s->count);
        break;
    case COP_ONE_FOR_ALL:
        stop_group(ctx, s, 0, id);
        start_group(ctx, s, 0, s->count);
        break;
    }
    return cop_noreply();
}

static bool any_significant_runs(const struct sup *s) {
    for (size_t i = 0; i < s->count; i++)
        if (s->children[i].spec.significant && s->children[i].state == CHILD_RUNNING)
            return true;
    return false;
}

static cop_next ended_for_good(cop_ctx *ctx, struct sup *s, size_t i) {
    bool significant = s->children[i].spec.significant;
    s->children[i].state = CHILD_UNDEFINED;
    if (s->children[i].spec.restart == COP_TEMPORARY)
        remove_at(ctx, s, i);
    if (significant
        && (s->auto_shutdown == COP_AUTO_SHUTDOWN_ANY_SIGNIFICANT
            || (s->auto_shutdown == COP_AUTO_SHUTDOWN_ALL_SIGNIFICANT && !any_significant_runs(s))))
        return cop_stop(cop_a(shutdown));
    return cop_noreply();
}

static cop_next child_ended(cop_ctx *ctx, struct sup *s, size_t i, cop_term reason) {
    const cop_child_spec *spec = &s->children[i].spec;
    bool normal = cop_reason_is_normal(reason);
    if (spec->restart == COP_PERMANENT || (spec->restart == COP_TRANSIENT && !normal)) {
        log_error(ctx, s, "child_terminated", reason, i);
        s->children[i].state = CHILD_UNDEFINED;
        return restart(ctx, s, i);
    }
    if (!normal)
        log_error(ctx, s, "child_terminated", reason, i);
    return ended_for_good(ctx, s, i);
}

/* ---- callbacks --------------------------------------------------------------------------------------------------- */

struct start_arg {
    const cop_child_spec *children;
    size_t count;
    const cop_supervisor_opts *opts;
};

/* The specs and options are the starter's, who waits: they are read by address. */
static cop_init sup_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct sup *s = state;
    uint64_t address;
    if (!cop_get_u64(arg, &address))
        return cop_init_stop(cop_a(badarg));
    const struct start_arg *start = (const struct start_arg *)(uintptr_t)address;
    static const cop_supervisor_opts defaults;
    const cop_supervisor_opts *o = start->opts != NULL ? start->opts : &defaults;
    cop_process_trap_exit(ctx, true);
    s->strategy = o->strategy;
    s->auto_shutdown = o->auto_shutdown;
    s->max_restarts = o->max_restarts == 0 ? 3 : o->max_restarts == COP_ZERO ? 0 : o->max_restarts;
    s->max_seconds = o->max_seconds == 0 ? 5 : o->max_seconds;
    s->name = !cop_is_none(o->name.t) ? o->name.t : cop_self(ctx).t;
    cop_term bad = COP_NONE;
    if ((unsigned)s->strategy > COP_REST_FOR_ONE)
        bad = cop_tuple(ctx, cop_a(invalid_strategy), (int)s->strategy);
    else if (s->max_restarts < 0 || s->max_restarts > 10000000)
        bad = cop_tuple(ctx, cop_a(invalid_intensity), s->max_restarts);
    else if (s->max_seconds <= 0)
        bad = cop_tuple(ctx, cop_a(invalid_period), s->max_seconds);
    if (!cop_is_none(bad))
        return cop_init_stop(cop_tuple(ctx, cop_a(supervisor_data), bad));
    s->instants = cop_alloc(ctx, (size_t)(s->max_restarts + 1) * sizeof *s->instants);
    for (size_t i = 0; i < start->count; i++) {
        const cop_child_spec *spec = &start->children[i];
        bad = spec_error(ctx, s, spec);
        if (cop_is_none(bad) && find(s, spec_id(spec)) != s->count)
            bad = cop_tuple(ctx, cop_a(duplicate_child_name), spec_id(spec));
        if (!cop_is_none(bad))
            return cop_init_stop(cop_tuple(ctx, cop_a(start_spec), bad));
        append(ctx, s, spec, spec_id(spec), spec->arg);
    }
    for (size_t i = 0; i < s->count; i++) {
        cop_term reason, info;
        if (start_child(ctx, s, i, &reason, &info))
            continue;
        log_error(ctx, s, "start_error", reason, i);
        cop_term id = id_of(s, i);
        stop_from(ctx, s, 0);
        return cop_init_stop(cop_tuple(ctx, cop_a(shutdown),
                                       cop_tuple(ctx, cop_a(failed_to_start_child), id, reason)));
    }
    for (size_t i = s->count; i > 0; i--) /* a temporary one that was ignored is forgotten */
        if (s->children[i - 1].spec.restart == COP_TEMPORARY
            && s->children[i - 1].state != CHILD_RUNNING)
            remove_at(ctx, s, i - 1);
    return cop_init_ok();
}

static void sup_terminate(cop_ctx *ctx, void *state, cop_term reason) { stop_from(ctx, state, 0); }

static cop_next sup_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    struct sup *s = state;
    cop_pid pid;
    cop_term reason;
    if (!cop_match_tuple(message, cop_as("EXIT"), &pid, &reason)) {
        char text[400];
        cop_inspect_to(text, sizeof text, message, NULL);
        cop_log(ctx, COP_LEVEL_ERROR,
                cop_tuple(ctx, cop_a(string),
                          cop_format(ctx, "Supervisor received unexpected message: %s\n", text)),
                COP_NONE);
        return cop_noreply();
    }
    for (size_t i = 0; i < s->count; i++)
        if (s->children[i].state == CHILD_RUNNING && cop_match(pid.t, s->children[i].pid))
            return child_ended(ctx, s, i, reason);
    return cop_noreply(); /* not one of its children */
}

static cop_next sup_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    struct sup *s = state;
    cop_term id;
    if (!cop_match_tuple(request, cop_a(try_again_restart), &id))
        cop_error(ctx, cop_a(function_clause));
    size_t i = find(s, id);
    if (i == s->count || s->children[i].state != CHILD_RESTARTING)
        return cop_noreply();
    return restart(ctx, s, i);
}

static cop_term error(cop_ctx *ctx, const char *why) {
    return cop_tuple(ctx, cop_a(error), cop_atom_new(why));
}

static cop_term started_child(cop_ctx *ctx, const struct sup *s, size_t i, cop_term info) {
    cop_term pid = pid_term(&s->children[i]);
    return cop_is_none(info) ? cop_tuple(ctx, cop_a(ok), pid)
                             : cop_tuple(ctx, cop_a(ok), pid, info);
}

static void free_spec(void *spec);
static const cop_resource_type spec_type = { "child_spec", free_spec };

static cop_term do_start_child(cop_ctx *ctx, struct sup *s, cop_term box, cop_term id,
                               cop_term arg) {
    void *object;
    if (!cop_get_resource(box, &spec_type, &object))
        cop_error(ctx, cop_a(function_clause));
    cop_child_spec spec = *(const cop_child_spec *)object;
    cop_term bad = spec_error(ctx, s, &spec);
    if (!cop_is_none(bad))
        return cop_tuple(ctx, cop_a(error), bad);
    size_t i = find(s, id);
    if (i < s->count)
        return s->children[i].state == CHILD_RUNNING ? cop_tuple(
                   ctx, cop_a(error), cop_tuple(ctx, cop_a(already_started), s->children[i].pid))
                                                     : error(ctx, "already_present");
    append(ctx, s, &spec, id, arg);
    cop_term reason, info;
    if (!start_child(ctx, s, i, &reason, &info)) {
        cop_term failed =
            cop_tuple(ctx, cop_a(error), cop_tuple(ctx, reason, child_record(ctx, s, i)));
        remove_at(ctx, s, i);
        return failed;
    }
    cop_term reply = started_child(ctx, s, i, info);
    if (spec.restart == COP_TEMPORARY && s->children[i].state != CHILD_RUNNING)
        remove_at(ctx, s, i);
    return reply;
}

static cop_term do_restart_child(cop_ctx *ctx, struct sup *s, size_t i) {
    if (i == s->count)
        return error(ctx, "not_found");
    if (s->children[i].state != CHILD_UNDEFINED)
        return error(ctx, s->children[i].state == CHILD_RUNNING ? "running" : "restarting");
    cop_term reason, info;
    if (!start_child(ctx, s, i, &reason, &info))
        return cop_tuple(ctx, cop_a(error), reason);
    return started_child(ctx, s, i, info);
}

static cop_term do_terminate_child(cop_ctx *ctx, struct sup *s, size_t i) {
    if (i == s->count)
        return error(ctx, "not_found");
    stop_child(ctx, s, i);
    if (s->children[i].spec.restart == COP_TEMPORARY)
        remove_at(ctx, s, i);
    return cop_a(ok).t;
}

static cop_term do_delete_child(cop_ctx *ctx, struct sup *s, size_t i) {
    if (i == s->count)
        return error(ctx, "not_found");
    if (s->children[i].state != CHILD_UNDEFINED)
        return error(ctx, s->children[i].state == CHILD_RUNNING ? "running" : "restarting");
    remove_at(ctx, s, i);
    return cop_a(ok).t;
}

static cop_term which_children(cop_ctx *ctx, const struct sup *s) {
    cop_term list = COP_NIL;
    for (size_t i = 0; i < s->count; i++)
        list =
            cop_cons(ctx,
                     cop_tuple(ctx, id_of(s, i), pid_term(&s->children[i]),
                               type_term(&s->children[i].spec), cop_list(ctx, module_term(s, i))),
                     list);
    return list;
}

static cop_term count_children(cop_ctx *ctx, const struct sup *s) {
    int64_t active = 0, supervisors = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct child *child = &s->children[i];
        active += child->state == CHILD_RUNNING && cop_process_is_alive(ctx, child->pid);
        supervisors += child->spec.type == COP_SUPERVISOR;
    }
    int64_t specs = (int64_t)s->count;
    return cop_list(ctx, cop_tuple(ctx, cop_a(specs), specs), cop_tuple(ctx, cop_a(active), active),
                    cop_tuple(ctx, cop_a(supervisors), supervisors),
                    cop_tuple(ctx, cop_a(workers), specs - supervisors));
}

static cop_term childspec(cop_ctx *ctx, const struct sup *s, size_t i) {
    if (i == s->count)
        return error(ctx, "not_found");
    const cop_child_spec *spec = &s->children[i].spec;
    return cop_tuple(ctx, cop_a(ok),
                     cop_map(ctx, cop_a(id), id_of(s, i), cop_a(start), mfa_term(ctx, s, i),
                             cop_a(restart), restart_atom(spec->restart), cop_a(significant),
                             spec->significant, cop_a(shutdown), shutdown_term(ctx, spec),
                             cop_a(type), type_term(spec), cop_a(modules),
                             cop_list(ctx, module_term(s, i))));
}

static cop_next sup_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct sup *s = state;
    cop_term id, box, arg;
    if (cop_match_tuple(request, cop_a(start_child), &box, &id, &arg))
        return cop_reply(ctx, do_start_child(ctx, s, box, id, arg));
    if (cop_match_tuple(request, cop_a(restart_child), &id))
        return cop_reply(ctx, do_restart_child(ctx, s, find(s, id)));
    if (cop_match_tuple(request, cop_a(terminate_child), &id))
        return cop_reply(ctx, do_terminate_child(ctx, s, find(s, id)));
    if (cop_match_tuple(request, cop_a(delete_child), &id))
        return cop_reply(ctx, do_delete_child(ctx, s, find(s, id)));
    if (cop_match_tuple(request, cop_a(get_childspec), &id))
        return cop_reply(ctx, childspec(ctx, s, find(s, id)));
    if (cop_match(request, cop_a(which_children)))
        return cop_reply(ctx, which_children(ctx, s));
    if (cop_match(request, cop_a(count_children)))
        return cop_reply(ctx, count_children(ctx, s));
    cop_error(ctx, cop_a(function_clause));
}

static cop_term sup_state_to_term(cop_ctx *ctx, const void *state) {
    return cop_tuple(ctx, cop_a(state), which_children(ctx, state));
}

static const cop_gen_server supervisor_server = {
    .name = "supervisor",
    .state_size = sizeof(struct sup),
    .init = sup_init,
    .handle_call = sup_handle_call,
    .handle_cast = sup_handle_cast,
    .handle_info = sup_handle_info,
    .terminate = sup_terminate,
    .state_to_term = sup_state_to_term,
};

cop_started cop_supervisor_start_link(cop_ctx *ctx, const cop_child_spec *children, size_t count,
                                      const cop_supervisor_opts *opts) {
    struct start_arg arg = { children, count, opts };
    cop_start_opts start = { 0 };
    if (opts != NULL)
        start.name = opts->name;
    return cop_gen_server_start_link(ctx, &supervisor_server,
                                     cop_of(ctx, (uint64_t)(uintptr_t)&arg), &start);
}

/* ---- the clients' side ----------------------------------------------------------------------------------------------- */

static void free_spec(void *spec) { free(spec); }

static cop_term ask(cop_ctx *ctx, cop_term supervisor, cop_term request) {
    return cop_gen_server_call(ctx, supervisor, request, COP_INFINITY);
}

cop_term cop_supervisor_start_child(cop_ctx *ctx, cop_term supervisor, const cop_child_spec *spec) {
    cop_child_spec *copy = malloc(sizeof *copy);
    if (copy == NULL)
        cop_error(ctx, cop_a(system_limit));
    *copy = *spec;
    cop_term id = spec_id(spec);
    return ask(ctx, supervisor,
               cop_tuple(ctx, cop_a(start_child), cop_resource(ctx, &spec_type, copy),
                         cop_is_none(id) ? cop_a(undefined).t : id,
                         cop_is_none(spec->arg) ? cop_a(undefined).t : spec->arg));
}

cop_term cop_supervisor_terminate_child(cop_ctx *ctx, cop_term supervisor, cop_term id) {
    return ask(ctx, supervisor, cop_tuple(ctx, cop_a(terminate_child), id));
}

cop_term cop_supervisor_restart_child(cop_ctx *ctx, cop_term supervisor, cop_term id) {
    return ask(ctx, supervisor, cop_tuple(ctx, cop_a(restart_child), id));
}

cop_term cop_supervisor_delete_child(cop_ctx *ctx, cop_term supervisor, cop_term id) {
    return ask(ctx, supervisor, cop_tuple(ctx, cop_a(delete_child), id));
}

cop_term cop_supervisor_which_children(cop_ctx *ctx, cop_term supervisor) {
    return ask(ctx, supervisor, cop_a(which_children).t);
}

cop_term cop_supervisor_count_children(cop_ctx *ctx, cop_term supervisor) {
    cop_term list = ask(ctx, supervisor, cop_a(count_children).t), map = cop_map(ctx), pair;
    while (cop_get_cons(list, &pair, &list))
        map = cop_map_put(ctx, map, cop_elem(pair, 0), cop_elem(pair, 1));
    return map;
}

cop_term cop_supervisor_child(cop_ctx *ctx, cop_term supervisor, cop_term id) {
    cop_term list = cop_supervisor_which_children(ctx, supervisor), child;
    while (cop_get_cons(list, &child, &list))
        if (cop_same(cop_elem(child, 0), id))
            return cop_is_pid(cop_elem(child, 1)) ? cop_elem(child, 1) : COP_NONE;
    return COP_NONE;
}
