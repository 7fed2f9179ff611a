/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor: a gen_server around an ordered list of children.
 *
 * A child is an entry of one array, in a doubly linked list by order of start; free entries are
 * linked too. Two tables lead to it: from its pid, and from its id's hash. So whatever is done to one
 * child costs the same with ten of them and with a hundred thousand.
 *
 *     first -> a <-> b <-> c <- last        by_pid: pid -> entry      by_id: phash2(id) -> entries
 *
 * Ids and arguments are saved terms outside of the process's heap (see sup_child.c).
 *
 * Everything that waits for a child (starting, stopping) waits inside the callback, as in OTP; calls are
 * served one at a time. A restart that fails is tried again by a cast to itself, so that calls get in
 * between; with a back-off, by a timer. A child in one of these states is CHILD_RESTARTING, and keeps
 * its old pid for the reports.
 *
 * The supervisor is stopped through its parent's exit, through :sys, or by itself; all three come to
 * `terminate`, which stops the children in reverse order.
 *
 * Invariants
 *   1. by_pid has exactly the children that are CHILD_RUNNING; by_id has all.
 *   2. An index is good until its entry is removed; a pointer only until the next append.
 * Threads: its own process. The API for others is in supervisor_api.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sup.h"
#include "sys.h"

enum child_state { CHILD_UNDEFINED, CHILD_RUNNING, CHILD_RESTARTING };
static const uint32_t NONE = UINT32_MAX;

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
    struct sup_timeline *timeline;
};

struct sup {
    struct tables *t;
    const cop_supervisor *module;
    cop_atom module_name;
    cop_term name; /* an atom or COP_NONE */
    cop_strategy strategy;
    cop_auto_shutdown auto_shutdown;
    int64_t max_restarts, max_seconds;
};

static void child_free(struct child *child) {
    sup_form_release(child->form);
    cop_saved_forget(child->id);
    cop_saved_forget(child->args);
}

static void tables_release(void *object) {
    struct tables *t = object;
    for (uint32_t i = t->first; i != NONE; i = t->children[i].next)
        child_free(&t->children[i]);
    free(t->children);
    free(t->by_pid.slots);
    free(t->by_id.slots);
    free(t->window.at);
    cop_saved_forget(t->args);
    sup_timeline_end(t->timeline);
    free(t);
}

/* ---- the list of children ------------------------------------------------------------------------------ */

static struct child *at(const struct sup *s, uint32_t i) { return &s->t->children[i]; }

static cop_term id_term(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    return cop_saved_load(ctx, at(s, i)->id);
}

static uint32_t find(const struct sup *s, cop_term id) {
    uint64_t hash = cop_phash2(id);
    size_t place = SIZE_MAX;
    uint32_t i;
    while ((i = sup_table_next(&s->t->by_id, hash, &place)) != NONE)
        if (cop_saved_is(at(s, i)->id, id))
            return i;
    return NONE;
}

static uint32_t entry_new(cop_ctx *ctx, struct tables *t) {
    if (t->free != NONE) {
        uint32_t i = t->free;
        t->free = t->children[i].next;
        return i;
    }
    if (t->used == t->cap) {
        uint32_t cap = t->cap == 0 ? 4 : 2 * t->cap;
        t->children = sup_grow(ctx, t->children, cap * sizeof *t->children);
        t->cap = cap;
    }
    return t->used++;
}

static uint32_t append(cop_ctx *ctx, struct sup *s, const struct sup_spec *spec) {
    struct tables *t = s->t;
    uint32_t i = entry_new(ctx, t);
    t->children[i] = (struct child){
        .prev = t->last,
        .next = NONE,
        .form = sup_form_new(spec),
        .id = cop_term_save(spec->id),
        .args = cop_term_save(spec->args),
        .hash = cop_phash2(spec->id),
    };
    if (t->last != NONE)
        t->children[t->last].next = i;
    else
        t->first = i;
    t->last = i;
    t->count++;
    sup_table_put(&t->by_id, t->children[i].hash, i);
    return i;
}

static void set_state(struct sup *s, uint32_t i, enum child_state state, cop_pid pid) {
    struct child *child = at(s, i);
    if (child->state == CHILD_RUNNING)
        sup_table_remove(&s->t->by_pid, child->pid.t.w, i);
    child->state = state;
    child->pid = pid;
    if (state == CHILD_RUNNING)
        sup_table_put(&s->t->by_pid, pid.t.w, i);
}

static const cop_pid NO_PID = { { 0 } };

static void remove_child(struct sup *s, uint32_t i) {
    struct tables *t = s->t;
    struct child *child = &t->children[i];
    set_state(s, i, CHILD_UNDEFINED, NO_PID);
    sup_table_remove(&t->by_id, child->hash, i);
    *(child->prev != NONE ? &t->children[child->prev].next : &t->first) = child->next;
    *(child->next != NONE ? &t->children[child->next].prev : &t->last) = child->prev;
    child_free(child);
    *child = (struct child){ .next = t->free };
    t->free = i;
    t->count--;
}

/* ---- showing ------------------------------------------------------------------------------------------- */

/* pid | :undefined | {:restarting, pid | :undefined}, as OTP keeps it in its state. */
static cop_term pid_term(cop_ctx *ctx, const struct child *child) {
    cop_term pid = cop_is_none(child->pid.t) ? cop_a(undefined).t : child->pid.t;
    return child->state == CHILD_RESTARTING ? cop_tuple(ctx, cop_a(restarting), pid) : pid;
}

static cop_term pid_shown(const struct child *child) {
    return child->state == CHILD_RUNNING      ? child->pid.t
           : child->state == CHILD_RESTARTING ? cop_a(restarting).t
                                              : cop_a(undefined).t;
}

static cop_term mfa_term(cop_ctx *ctx, const struct child *child) {
    return sup_mfa(ctx, child->form, sup_args(ctx, child->args));
}

static cop_term modules_term(cop_ctx *ctx, const struct child *child) {
    return cop_saved_load(ctx, child->form->modules);
}

static cop_term child_info(cop_ctx *ctx, const struct sup *s, uint32_t i, cop_term pid) {
    const struct child *child = at(s, i);
    const struct sup_form *form = child->form;
    return cop_list(ctx, cop_tuple(ctx, cop_a(pid), pid),
                    cop_tuple(ctx, cop_a(id), id_term(ctx, s, i)),
                    cop_tuple(ctx, cop_a(mfargs), mfa_term(ctx, child)),
                    cop_tuple(ctx, cop_a(restart_type), sup_restart_atom(form->restart)),
                    cop_tuple(ctx, cop_a(significant), form->significant),
                    cop_tuple(ctx, cop_a(shutdown), sup_shutdown_term(ctx, form->shutdown)),
                    cop_tuple(ctx, cop_a(child_type), sup_type_atom(form->type)));
}

/* OTP's record of a child, the 9-tuple that start_child's failures carry. */
static cop_term child_record(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    const struct child *child = at(s, i);
    const struct sup_form *form = child->form;
    return cop_tuple(ctx, cop_a(child), pid_term(ctx, child), id_term(ctx, s, i),
                     mfa_term(ctx, child), sup_restart_atom(form->restart), form->significant,
                     sup_shutdown_term(ctx, form->shutdown), sup_type_atom(form->type),
                     modules_term(ctx, child));
}

static void note(cop_ctx *ctx, const struct sup *s, const char *event, uint32_t i, cop_term pid,
                 cop_term reason) {
    if (s->t->timeline != NULL)
        sup_timeline_note(ctx, s->t->timeline, event, id_term(ctx, s, i), pid, reason);
}

static void report_pid(cop_ctx *ctx, const struct sup *s, const char *what, cop_term reason,
                       uint32_t i, cop_term pid) {
    note(ctx, s, what, i, pid, reason);
    if (sup_is_logged(ctx))
        sup_report(ctx, what, sup_shown_name(ctx, s->name, s->module_name), reason,
                   child_info(ctx, s, i, pid));
}

static void report(cop_ctx *ctx, const struct sup *s, const char *what, cop_term reason,
                   uint32_t i) {
    report_pid(ctx, s, what, reason, i, pid_term(ctx, at(s, i)));
}

/* ---- starting and stopping one child -------------------------------------------------------------------- */

static void cancel_timer(cop_ctx *ctx, struct child *child) {
    if (!cop_is_none(child->timer.t))
        cop_process_cancel_timer_async(ctx, child->timer, true);
    child->timer = (cop_ref){ COP_NONE };
}

static void started(cop_ctx *ctx, struct sup *s, uint32_t i, cop_pid pid) {
    set_state(s, i, CHILD_RUNNING, pid);
    at(s, i)->started_ms = cop_monotonic_ms(ctx);
    note(ctx, s, "started", i, pid.t, cop_a(nil).t);
    if (sup_is_logged(ctx))
        sup_report_progress(ctx, sup_shown_name(ctx, s->name, s->module_name),
                            child_info(ctx, s, i, pid.t));
}

/* Runs the start function; false with *reason when it fails, and the state as it was. An ignored child is
   undefined. */
static bool start_child(cop_ctx *ctx, struct sup *s, uint32_t i, cop_term *reason, cop_term *info) {
    struct sup_started got = sup_start(ctx, at(s, i)->form, COP_NIL, sup_args(ctx, at(s, i)->args));
    if (got.is == SUP_RAISED && got.caught.class == COP_CLASS_THROW)
        got = sup_started_of(got.caught.reason); /* what is thrown counts as returned */
    *info = got.info;
    if (got.is == SUP_RAISED)
        *reason = cop_tuple(ctx, cop_as("EXIT"), cop_caught_reason(ctx, &got.caught));
    else if (got.is == SUP_FAILED)
        *reason = got.reason;
    if (got.is == SUP_RAISED || got.is == SUP_FAILED)
        return false;
    cancel_timer(ctx, at(s, i));
    if (got.is == SUP_STARTED) {
        started(ctx, s, i, got.pid);
        return true;
    }
    set_state(s, i, CHILD_UNDEFINED, NO_PID);
    note(ctx, s, "ignored", i, cop_a(undefined).t, cop_a(ignore).t);
    return true;
}

static bool is_acceptable(const struct sup_form *form, cop_term reason) {
    cop_atom usual = form->shutdown == COP_BRUTAL_KILL ? cop_a(killed) : cop_a(shutdown);
    return cop_match(reason, usual)
           || (form->restart != COP_PERMANENT && cop_reason_is_normal(reason));
}

static cop_term stop_process(cop_ctx *ctx, cop_pid pid, int64_t shutdown) {
    cop_term down, reason;
    cop_ref ref = cop_process_monitor(ctx, pid);
    int64_t wait =
        shutdown == COP_BRUTAL_KILL || shutdown > INT64_C(4294967295) ? COP_INFINITY : shutdown;
    cop_process_exit(ctx, pid, shutdown == COP_BRUTAL_KILL ? cop_a(kill).t : cop_a(shutdown).t);
    if (!cop_receive_ref(ctx, wait, ref, &down)) {
        cop_process_exit(ctx, pid, cop_a(kill).t);
        cop_receive_ref(ctx, COP_INFINITY, ref, &down);
    }
    cop_process_unlink(ctx, pid);
    /* What the link said is more than what the monitor said. */
    return sup_take_exit(ctx, pid, &reason) ? reason : cop_elem(down, 4);
}

static void stop_child(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (at(s, i)->state != CHILD_RUNNING) {
        cancel_timer(ctx, at(s, i));
        set_state(s, i, CHILD_UNDEFINED, NO_PID);
        return;
    }
    COP_SCOPE(ctx) {
        cop_term reason = stop_process(ctx, at(s, i)->pid, at(s, i)->form->shutdown);
        if (!is_acceptable(at(s, i)->form, reason))
            report(ctx, s, "shutdown_error", reason, i);
    }
    set_state(s, i, CHILD_UNDEFINED, NO_PID);
}

/* Stops the children from the last to the one at `from`, and forgets the temporary ones but `spare`. */
static void stop_group(cop_ctx *ctx, struct sup *s, uint32_t from, uint32_t spare) {
    for (uint32_t i = s->t->last, prev; i != NONE; i = prev) {
        bool is_last = i == from;
        prev = at(s, i)->prev;
        if (i != spare) {
            stop_child(ctx, s, i);
            if (at(s, i)->form->restart == COP_TEMPORARY)
                remove_child(s, i);
        }
        if (is_last)
            break;
    }
}

static void stop_all(cop_ctx *ctx, struct sup *s) {
    for (uint32_t i = s->t->last; i != NONE; i = at(s, i)->prev)
        stop_child(ctx, s, i);
}

/* ---- restarting ------------------------------------------------------------------------------------------ */

static cop_next give_up(cop_ctx *ctx, struct sup *s, uint32_t i) {
    report(ctx, s, "shutdown", cop_a(reached_max_restart_intensity).t, i);
    stop_child(ctx, s, i); /* it does not run: forgets its timer, and that it was to restart */
    return cop_stop(cop_a(shutdown));
}

static bool has_backoff(const struct sup *s, uint32_t i) {
    return at(s, i)->form->backoff.min_ms > 0;
}

/* The child is restarted after its pause; it stays restarting until then. */
static void restart_later(cop_ctx *ctx, struct sup *s, uint32_t i) {
    struct child *child = at(s, i);
    const cop_backoff *b = &child->form->backoff;
    int64_t reset_after = b->reset_after_ms > 0 ? b->reset_after_ms : 60000;
    if (child->started_ms != 0 && cop_monotonic_ms(ctx) - child->started_ms >= reset_after)
        child->pauses = 0;
    child->started_ms = 0;
    int64_t pause = sup_pause(ctx, b, child->pauses++);
    cancel_timer(ctx, child);
    child->timer = cop_start_timer(ctx, pause, cop_self(ctx).t,
                                   cop_tuple(ctx, cop_as("$backoff"), id_term(ctx, s, i)));
    note(ctx, s, "backoff", i, pid_term(ctx, at(s, i)), cop_of(ctx, pause));
}

static void try_again(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (has_backoff(s, i))
        restart_later(ctx, s, i);
    else
        cop_gen_server_cast(ctx, cop_self(ctx),
                            cop_tuple(ctx, cop_a(try_again_restart), id_term(ctx, s, i)));
}

/* A start failed on a restart: tried again from the loop. The child that crashed keeps its old pid, but
   the report of a group shows none. */
static void start_failed(cop_ctx *ctx, struct sup *s, uint32_t i, cop_term reason, bool in_group) {
    report_pid(ctx, s, "start_error", reason, i,
               in_group ? cop_a(undefined).t : pid_term(ctx, at(s, i)));
    set_state(s, i, CHILD_RESTARTING, at(s, i)->pid);
    try_again(ctx, s, i);
}

static void start_one(cop_ctx *ctx, struct sup *s, uint32_t i) {
    cop_term reason, info;
    if (!start_child(ctx, s, i, &reason, &info))
        start_failed(ctx, s, i, reason, false);
}

/* Starts those from `from` on that do not run; the first failure is tried again later. */
static void start_group(cop_ctx *ctx, struct sup *s, uint32_t from) {
    volatile bool failed = false;
    for (uint32_t i = from; i != NONE && !failed; i = at(s, i)->next) {
        if (at(s, i)->state == CHILD_RUNNING)
            continue;
        COP_SCOPE(ctx) {
            cop_term reason, info;
            failed = !start_child(ctx, s, i, &reason, &info);
            if (failed)
                start_failed(ctx, s, i, reason, true);
        }
    }
}

/* What a restart stops first. The crashed child itself may be temporary no more: those never restart. */
static uint32_t stop_others(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (s->strategy == COP_ONE_FOR_ONE)
        return i;
    if (s->strategy == COP_REST_FOR_ONE) {
        stop_group(ctx, s, i, i);
        return i;
    }
    stop_group(ctx, s, s->t->first, i);
    return s->t->first;
}

/* The restart itself, noted already. */
static void start_again(cop_ctx *ctx, struct sup *s, uint32_t i) {
    uint32_t from = stop_others(ctx, s, i);
    if (s->strategy == COP_ONE_FOR_ONE)
        start_one(ctx, s, i);
    else
        start_group(ctx, s, from);
}

static bool is_too_often(cop_ctx *ctx, struct sup *s) {
    return sup_window_add(&s->t->window, cop_monotonic_ms(ctx) / 1000, s->max_seconds)
           > s->max_restarts;
}

static cop_next restart(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (is_too_often(ctx, s))
        return give_up(ctx, s, i);
    start_again(ctx, s, i);
    return cop_noreply();
}

/* The same of a child that has ended and has a back-off: what the strategy stops is stopped now. */
static cop_next restart_with_pause(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (is_too_often(ctx, s))
        return give_up(ctx, s, i);
    stop_others(ctx, s, i);
    set_state(s, i, CHILD_RESTARTING, at(s, i)->pid);
    restart_later(ctx, s, i);
    return cop_noreply();
}

static bool any_significant_runs(const struct sup *s) {
    for (uint32_t i = s->t->first; i != NONE; i = at(s, i)->next)
        if (at(s, i)->form->significant && at(s, i)->state != CHILD_UNDEFINED)
            return true;
    return false;
}

static cop_next ended_for_good(cop_ctx *ctx, struct sup *s, uint32_t i) {
    bool significant = at(s, i)->form->significant;
    set_state(s, i, CHILD_UNDEFINED, NO_PID);
    if (at(s, i)->form->restart == COP_TEMPORARY)
        remove_child(s, i);
    if (significant
        && (s->auto_shutdown == COP_AUTO_SHUTDOWN_ANY_SIGNIFICANT
            || (s->auto_shutdown == COP_AUTO_SHUTDOWN_ALL_SIGNIFICANT && !any_significant_runs(s))))
        return cop_stop(cop_a(shutdown));
    return cop_noreply();
}

static cop_next child_ended(cop_ctx *ctx, struct sup *s, uint32_t i, cop_term reason) {
    cop_restart type = at(s, i)->form->restart;
    bool normal = cop_reason_is_normal(reason);
    if (type == COP_PERMANENT || !normal)
        report(ctx, s, "child_terminated", reason, i);
    if (type == COP_TEMPORARY || (type == COP_TRANSIENT && normal))
        return ended_for_good(ctx, s, i);
    set_state(s, i, CHILD_UNDEFINED, at(s, i)->pid); /* it keeps its old pid for the reports */
    return has_backoff(s, i) ? restart_with_pause(ctx, s, i) : restart(ctx, s, i);
}

/* ---- the start ------------------------------------------------------------------------------------------ */

static const char *const strategies[] = { "one_for_one", "one_for_all", "rest_for_one" };
static const char *const auto_shutdowns[] = { "never", "any_significant", "all_significant" };

static bool index_of(cop_term t, const char *const *names, size_t n, int *out) {
    cop_atom atom;
    for (size_t i = 0; i < n; i++)
        if (cop_get_atom(t, &atom) && strcmp(cop_atom_name(atom, NULL), names[i]) == 0) {
            *out = (int)i;
            return true;
        }
    return false;
}

static cop_term flag(cop_term flags, cop_atom key, cop_term otherwise) {
    cop_term value;
    return cop_map_get(flags, key.t, &value) ? value : otherwise;
}

static cop_term wrong(cop_ctx *ctx, const char *what, cop_term value) {
    return cop_tuple(ctx, cop_atom_new(what), value);
}

/* What is wrong with the flags; COP_NONE when they were taken. */
static cop_term take_flags(cop_ctx *ctx, struct sup *s, cop_term flags) {
    cop_term strategy = cop_a(one_for_one).t, intensity = COP_INT(1), period = COP_INT(5);
    cop_term auto_shutdown = cop_a(never).t, timeline = COP_INT(0);
    int index;
    int64_t limit;
    if (cop_is_map(flags)) {
        strategy = flag(flags, cop_a(strategy), strategy);
        intensity = flag(flags, cop_a(intensity), intensity);
        period = flag(flags, cop_a(period), period);
        auto_shutdown = flag(flags, cop_a(auto_shutdown), auto_shutdown);
        timeline = flag(flags, cop_a(timeline), timeline);
    } else if (!cop_match_tuple(flags, &strategy, &intensity, &period)) {
        return wrong(ctx, "invalid_type", flags);
    }
    if (!index_of(strategy, strategies, 3, &index))
        return wrong(ctx, "invalid_strategy", strategy);
    s->strategy = (cop_strategy)index;
    if (!sup_count_from(intensity, 0, &s->max_restarts))
        return wrong(ctx, "invalid_intensity", intensity);
    if (!sup_count_from(period, 1, &s->max_seconds))
        return wrong(ctx, "invalid_period", period);
    if (!index_of(auto_shutdown, auto_shutdowns, 3, &index))
        return wrong(ctx, "invalid_auto_shutdown", auto_shutdown);
    s->auto_shutdown = (cop_auto_shutdown)index;
    if (!sup_count_from(timeline, 0, &limit))
        return wrong(ctx, "invalid_timeline", timeline);
    if (s->t->timeline == NULL)
        s->t->timeline = sup_timeline_new(ctx, limit, s->name);
    return COP_NONE;
}

/* Takes a specification in; what is wrong with it, or COP_NONE and *i. */
static cop_term take_spec(cop_ctx *ctx, struct sup *s, cop_term term, uint32_t *i) {
    struct sup_raw raw;
    struct sup_spec spec;
    if (!sup_raw_from(term, &raw))
        return wrong(ctx, "invalid_child_spec", term);
    cop_term bad = sup_check(ctx, &raw, cop_atom_new(auto_shutdowns[s->auto_shutdown]).t, &spec);
    if (!cop_is_none(bad))
        return bad;
    *i = find(s, spec.id);
    if (*i != NONE)
        return wrong(ctx, "duplicate_child_name", spec.id);
    *i = append(ctx, s, &spec);
    return COP_NONE;
}

/* A reason that leaves the scope it was made in. */
static cop_term brought_out(cop_ctx *ctx, cop_saved *saved) {
    cop_term t = saved == NULL ? COP_NONE : cop_saved_load(ctx, saved);
    cop_saved_forget(saved);
    return t;
}

static cop_term take_specs(cop_ctx *ctx, struct sup *s, cop_term specs) {
    cop_saved *volatile bad = NULL;
    while (bad == NULL && cop_is_cons(specs)) {
        COP_SCOPE(ctx) {
            uint32_t i;
            cop_term why = take_spec(ctx, s, cop_head(specs), &i);
            if (!cop_is_none(why))
                bad = cop_term_save(why);
        }
        specs = cop_tail(specs);
    }
    return brought_out(ctx, bad);
}

/* Starts all in order; COP_NONE, or the exit reason after one failed and those before it were stopped. */
static cop_term start_all(cop_ctx *ctx, struct sup *s) {
    cop_saved *volatile failed = NULL;
    for (uint32_t i = s->t->first, next; i != NONE && failed == NULL; i = next) {
        COP_SCOPE(ctx) {
            cop_term reason, info;
            if (!start_child(ctx, s, i, &reason, &info)) {
                report(ctx, s, "start_error", reason, i);
                failed = cop_term_save(
                    cop_tuple(ctx, cop_a(failed_to_start_child), id_term(ctx, s, i), reason));
            }
        }
        next = at(s, i)->next;
        if (at(s, i)->form->restart == COP_TEMPORARY && at(s, i)->state != CHILD_RUNNING
            && failed == NULL)
            remove_child(s, i); /* it was ignored, so it is forgotten */
    }
    if (failed == NULL)
        return COP_NONE;
    stop_all(ctx, s);
    return cop_tuple(ctx, cop_a(shutdown), brought_out(ctx, failed));
}

static void note_end(cop_ctx *ctx, const struct sup *s, cop_term reason) {
    cop_term self = cop_self(ctx).t;
    sup_timeline_note(ctx, s->t->timeline, "stopped", cop_is_none(s->name) ? self : s->name, self,
                      reason);
}

static cop_init start_with(cop_ctx *ctx, struct sup *s, cop_term flags, cop_term specs) {
    cop_term bad = take_flags(ctx, s, flags);
    if (!cop_is_none(bad))
        return cop_init_stop(cop_tuple(ctx, cop_a(supervisor_data), bad));
    bad = take_specs(ctx, s, specs);
    if (!cop_is_none(bad))
        return cop_init_stop(cop_tuple(ctx, cop_a(start_spec), bad));
    cop_term failed = start_all(ctx, s);
    if (cop_is_none(failed))
        return cop_init_ok();
    note_end(ctx, s, failed);
    return cop_init_stop(failed);
}

static cop_init sup_init(cop_ctx *ctx, void *state, cop_term packed) {
    struct sup *s = state;
    cop_term arg, result, inner, flags, specs;
    if (!sup_unpack(packed, &s->module, &arg, &s->name))
        return cop_init_stop(cop_a(badarg));
    struct tables *t = sup_alloc(ctx, sizeof *t);
    t->first = t->last = t->free = NONE;
    s->t = cop_own(ctx, t, tables_release);
    t->args = cop_term_save(arg);
    cop_process_trap_exit(ctx, true);
    s->module_name = sys_module_atom(s->module->name);
    sup_present(ctx, s->module_name);
    result = s->module->init(ctx, arg);
    if (cop_match(result, cop_a(ignore)))
        return cop_init_ignore();
    if (cop_match_tuple(result, cop_a(ok), &inner) && cop_match_tuple(inner, &flags, &specs)
        && cop_is_proper_list(specs))
        return start_with(ctx, s, flags, specs);
    return cop_init_stop(
        cop_tuple(ctx, cop_a(bad_return), cop_tuple(ctx, s->module_name, cop_a(init), result)));
}

/* ---- callbacks ------------------------------------------------------------------------------------------- */

static void sup_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    stop_all(ctx, state);
    note_end(ctx, state, reason);
}

static cop_next sup_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    struct sup *s = state;
    cop_pid pid;
    cop_ref timer;
    cop_term reason, what, id;
    if (cop_match_tuple(message, cop_as("EXIT"), &pid, &reason)) {
        uint32_t i = sup_table_get(&s->t->by_pid, pid.t.w);
        return i == NONE ? cop_noreply() : child_ended(ctx, s, i, reason);
    }
    if (cop_match_tuple(message, cop_a(timeout), &timer, &what)
        && cop_match_tuple(what, cop_as("$backoff"), &id)) {
        uint32_t i = find(s, id);
        if (i == NONE || at(s, i)->timer.t.w != timer.t.w || at(s, i)->state != CHILD_RESTARTING)
            return cop_noreply(); /* somebody was faster */
        at(s, i)->timer = (cop_ref){ COP_NONE };
        start_again(ctx, s, i);
        return cop_noreply();
    }
    sup_report_message(ctx, false, message);
    return cop_noreply();
}

static cop_next sup_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    struct sup *s = state;
    cop_term id;
    if (!cop_match_tuple(request, cop_a(try_again_restart), &id))
        cop_error(ctx, cop_a(function_clause));
    uint32_t i = find(s, id);
    if (i == NONE || at(s, i)->state != CHILD_RESTARTING)
        return cop_noreply();
    return restart(ctx, s, i);
}

static cop_term error(cop_ctx *ctx, const char *why) {
    return cop_tuple(ctx, cop_a(error), cop_atom_new(why));
}

static cop_term started_child(cop_ctx *ctx, const struct sup *s, uint32_t i, cop_term info) {
    cop_term pid = pid_shown(at(s, i));
    return cop_is_none(info) ? cop_tuple(ctx, cop_a(ok), pid)
                             : cop_tuple(ctx, cop_a(ok), pid, info);
}

static cop_term already(cop_ctx *ctx, const struct sup *s, cop_term id) {
    uint32_t i = find(s, id);
    if (at(s, i)->state != CHILD_RUNNING)
        return error(ctx, "already_present");
    return cop_tuple(ctx, cop_a(error), cop_tuple(ctx, cop_a(already_started), at(s, i)->pid));
}

static cop_term do_start_child(cop_ctx *ctx, struct sup *s, cop_term spec) {
    uint32_t i;
    cop_term bad = take_spec(ctx, s, spec, &i), id, reason, info;
    if (!cop_is_none(bad))
        return cop_match_tuple(bad, cop_a(duplicate_child_name), &id)
                   ? already(ctx, s, id)
                   : cop_tuple(ctx, cop_a(error), bad);
    if (!start_child(ctx, s, i, &reason, &info)) {
        cop_term failed =
            cop_tuple(ctx, cop_a(error), cop_tuple(ctx, reason, child_record(ctx, s, i)));
        remove_child(s, i);
        return failed;
    }
    cop_term reply = started_child(ctx, s, i, info);
    if (at(s, i)->form->restart == COP_TEMPORARY) {
        cop_saved_forget(at(s, i)->args); /* it is never started again */
        at(s, i)->args = NULL;
        if (at(s, i)->state != CHILD_RUNNING)
            remove_child(s, i);
    }
    return reply;
}

static cop_term not_idle(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    if (i == NONE)
        return error(ctx, "not_found");
    if (at(s, i)->state == CHILD_UNDEFINED)
        return COP_NONE;
    return error(ctx, at(s, i)->state == CHILD_RUNNING ? "running" : "restarting");
}

static cop_term do_restart_child(cop_ctx *ctx, struct sup *s, uint32_t i) {
    cop_term reason, info, refused = not_idle(ctx, s, i);
    if (!cop_is_none(refused))
        return refused;
    if (!start_child(ctx, s, i, &reason, &info))
        return cop_tuple(ctx, cop_a(error), reason);
    return started_child(ctx, s, i, info);
}

static cop_term do_terminate_child(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (i == NONE)
        return error(ctx, "not_found");
    note(ctx, s, "terminated", i, pid_term(ctx, at(s, i)), cop_a(nil).t);
    stop_child(ctx, s, i);
    if (at(s, i)->form->restart == COP_TEMPORARY)
        remove_child(s, i);
    return cop_a(ok).t;
}

static cop_term do_delete_child(cop_ctx *ctx, struct sup *s, uint32_t i) {
    cop_term refused = not_idle(ctx, s, i);
    if (!cop_is_none(refused))
        return refused;
    remove_child(s, i);
    return cop_a(ok).t;
}

static cop_term child_shown(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    return cop_tuple(ctx, id_term(ctx, s, i), pid_shown(at(s, i)),
                     sup_type_atom(at(s, i)->form->type), modules_term(ctx, at(s, i)));
}

static cop_term which_child(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    return i == NONE ? error(ctx, "not_found") : cop_tuple(ctx, cop_a(ok), child_shown(ctx, s, i));
}

static cop_term which_children(cop_ctx *ctx, const struct sup *s) {
    cop_term list = COP_NIL;
    for (uint32_t i = s->t->first; i != NONE; i = at(s, i)->next)
        list = cop_cons(ctx, child_shown(ctx, s, i), list);
    return list;
}

static cop_term count_children(cop_ctx *ctx, const struct sup *s) {
    int64_t active = 0, supervisors = 0, specs = s->t->count;
    for (uint32_t i = s->t->first; i != NONE; i = at(s, i)->next) {
        const struct child *child = at(s, i);
        active += child->state == CHILD_RUNNING && cop_process_is_alive(ctx, child->pid);
        supervisors += child->form->type == COP_SUPERVISOR;
    }
    return cop_list(ctx, cop_tuple(ctx, cop_a(specs), specs), cop_tuple(ctx, cop_a(active), active),
                    cop_tuple(ctx, cop_a(supervisors), supervisors),
                    cop_tuple(ctx, cop_a(workers), specs - supervisors));
}

static cop_term childspec(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    if (i == NONE)
        return error(ctx, "not_found");
    const struct sup_form *form = at(s, i)->form;
    return cop_tuple(ctx, cop_a(ok),
                     cop_map(ctx, cop_a(id), id_term(ctx, s, i), cop_a(start),
                             mfa_term(ctx, at(s, i)), cop_a(restart),
                             sup_restart_atom(form->restart), cop_a(significant), form->significant,
                             cop_a(shutdown), sup_shutdown_term(ctx, form->shutdown), cop_a(type),
                             sup_type_atom(form->type), cop_a(modules),
                             modules_term(ctx, at(s, i))));
}

static cop_next sup_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct sup *s = state;
    cop_term x;
    if (cop_match_tuple(request, cop_a(start_child), &x))
        return cop_reply(ctx, do_start_child(ctx, s, x));
    if (cop_match_tuple(request, cop_a(restart_child), &x))
        return cop_reply(ctx, do_restart_child(ctx, s, find(s, x)));
    if (cop_match_tuple(request, cop_a(terminate_child), &x))
        return cop_reply(ctx, do_terminate_child(ctx, s, find(s, x)));
    if (cop_match_tuple(request, cop_a(delete_child), &x))
        return cop_reply(ctx, do_delete_child(ctx, s, find(s, x)));
    if (cop_match_tuple(request, cop_a(get_childspec), &x))
        return cop_reply(ctx, childspec(ctx, s, find(s, x)));
    if (cop_match_tuple(request, cop_a(which_child), &x))
        return cop_reply(ctx, which_child(ctx, s, find(s, x)));
    if (cop_match(request, cop_a(which_children)))
        return cop_reply(ctx, which_children(ctx, s));
    if (cop_match(request, cop_a(count_children)))
        return cop_reply(ctx, count_children(ctx, s));
    cop_error(ctx, cop_a(function_clause));
}

/* OTP's state record. */
static cop_term sup_state_to_term(cop_ctx *ctx, const void *state) {
    const struct sup *s = state;
    cop_term ids = COP_NIL, db = cop_map(ctx);
    for (uint32_t i = s->t->first; i != NONE; i = at(s, i)->next) {
        cop_term id = id_term(ctx, s, i);
        ids = cop_cons(ctx, id, ids);
        db = cop_map_put(ctx, db, id, child_record(ctx, s, i));
    }
    return cop_tuple(ctx, cop_a(state), sup_shown_name(ctx, s->name, s->module_name),
                     cop_atom_new(strategies[s->strategy]), cop_tuple(ctx, ids, db),
                     cop_a(undefined), s->max_restarts, s->max_seconds,
                     sup_window_term(ctx, &s->t->window), 0,
                     cop_atom_new(auto_shutdowns[s->auto_shutdown]), s->module_name,
                     cop_saved_load(ctx, s->t->args));
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

cop_started cop_supervisor_start_link_module(cop_ctx *ctx, const cop_supervisor *module,
                                             cop_term arg, const cop_supervisor_opts *opts) {
    char call[300];
    cop_start_opts start = { .initial_call = call };
    snprintf(call, sizeof call, "supervisor:%s/1",
             module != NULL && module->name != NULL ? module->name : "Supervisor.Default");
    if (opts != NULL)
        start.name = opts->name;
    return cop_gen_server_start_link(ctx, &supervisor_server,
                                     sup_pack(ctx, module, arg, start.name), &start);
}
