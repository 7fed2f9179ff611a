/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A supervisor's children, and the rules of starting, stopping and restarting them.
 *
 * A child is an entry of one array, in a doubly linked list by order of start; free entries are
 * linked too. Two tables lead to it: from its pid, and from its id's hash. So whatever is done to one
 * child costs the same with ten of them and with a hundred thousand.
 *
 *     first -> a <-> b <-> c <- last        by_pid: pid -> entry      by_id: phash2(id) -> entries
 *
 * Ids and arguments are saved terms outside of the process's heap (see sup_child.c).
 *
 * Everything that waits for a child (starting, stopping) waits inside the callback, as in OTP. A restart
 * that fails is tried again by a cast to itself, so that calls get in between; with a back-off, by a
 * timer. A child in one of these states is CHILD_RESTARTING, and keeps its old pid for the reports.
 *
 * Invariants
 *   1. by_pid has exactly the children that are CHILD_RUNNING; by_id has all.
 *   2. An index is good until its entry is removed; a pointer only until the next append.
 * Threads: the supervisor's own process.
 */
#include "supervisor_engine.h"

#include <stdlib.h>

static void child_free(struct child *child) {
    sup_form_release(child->form);
    cop_saved_forget(child->id);
    cop_saved_forget(child->args);
}

void sup_tables_release(void *object) {
    struct tables *t = object;
    for (uint32_t i = t->first; i != NONE; i = t->children[i].next)
        child_free(&t->children[i]);
    free(t->children);
    free(t->by_pid.slots);
    free(t->by_id.slots);
    free(t->window.at);
    cop_saved_forget(t->args);
    cop_saved_forget(t->brought_out);
    sup_timeline_end(t->timeline);
    free(t);
}

/* ---- the list of children ------------------------------------------------------------------------------ */

struct child *sup_at(const struct sup *s, uint32_t i) {
    return &s->t->children[i];
}

cop_term sup_id_term(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    return cop_saved_load(ctx, sup_at(s, i)->id);
}

uint32_t sup_find(const struct sup *s, cop_term id) {
    uint64_t hash = cop_phash2(id);
    size_t place = SIZE_MAX;
    uint32_t i;
    while ((i = sup_table_next(&s->t->by_id, hash, &place)) != NONE)
        if (cop_saved_is(sup_at(s, i)->id, id))
            return i;
    return NONE;
}

uint32_t sup_find_pid(const struct sup *s, cop_pid pid) {
    size_t place = SIZE_MAX;
    uint32_t i;
    while ((i = sup_table_next(&s->t->by_pid, pid.t.w, &place)) != NONE)
        if (sup_at(s, i)->pid.t.w == pid.t.w)
            break;
    return i;
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

static void put_last(struct tables *t, uint32_t i) {
    t->children[i].prev = t->last;
    t->children[i].next = NONE;
    *(t->last != NONE ? &t->children[t->last].next : &t->first) = i;
    t->last = i;
}

static void take_out(struct tables *t, uint32_t i) {
    const struct child *child = &t->children[i];
    *(child->prev != NONE ? &t->children[child->prev].next : &t->first) = child->next;
    *(child->next != NONE ? &t->children[child->next].prev : &t->last) = child->prev;
}

uint32_t sup_append(cop_ctx *ctx, struct sup *s, const struct sup_spec *spec) {
    struct tables *t = s->t;
    uint32_t i = entry_new(ctx, t);
    t->children[i] = (struct child){
        .form = sup_form_new(spec),
        .id = cop_term_save(spec->id),
        .args = cop_term_save(spec->args),
        .hash = cop_phash2(spec->id),
    };
    put_last(t, i);
    t->count++;
    sup_table_put(&t->by_id, t->children[i].hash, i);
    return i;
}

static void set_state(struct sup *s, uint32_t i, enum child_state state, cop_pid pid) {
    struct child *child = sup_at(s, i);
    if (child->state == CHILD_RUNNING)
        sup_table_remove(&s->t->by_pid, child->pid.t.w, i);
    child->state = state;
    child->pid = pid;
    if (state == CHILD_RUNNING)
        sup_table_put(&s->t->by_pid, pid.t.w, i);
}

static const cop_pid NO_PID = { { 0 } };

void sup_remove(struct sup *s, uint32_t i) {
    struct tables *t = s->t;
    struct child *child = &t->children[i];
    set_state(s, i, CHILD_UNDEFINED, NO_PID);
    sup_table_remove(&t->by_id, child->hash, i);
    take_out(t, i);
    child_free(child);
    *child = (struct child){ .next = t->free };
    t->free = i;
    t->count--;
}

void sup_respecify(struct sup *s, uint32_t i, const struct sup_spec *spec) {
    struct child *child = sup_at(s, i);
    sup_form_release(child->form);
    child->form = sup_form_new(spec);
    cop_saved_forget(child->args);
    child->args = cop_term_save(spec->args);
    sup_move_last(s, i);
}

void sup_move_last(struct sup *s, uint32_t i) {
    take_out(s->t, i);
    put_last(s->t, i);
}

/* ---- showing ------------------------------------------------------------------------------------------- */

/* pid | :undefined | {:restarting, pid | :undefined}, as OTP keeps it in its state. */
cop_term sup_pid_term(cop_ctx *ctx, const struct child *child) {
    cop_term pid = cop_is_none(child->pid.t) ? cop_a(undefined).t : child->pid.t;
    return child->state == CHILD_RESTARTING ? cop_tuple(ctx, cop_a(restarting), pid) : pid;
}

cop_term sup_pid_shown(const struct child *child) {
    return child->state == CHILD_RUNNING      ? child->pid.t
           : child->state == CHILD_RESTARTING ? cop_a(restarting).t
                                              : cop_a(undefined).t;
}

cop_term sup_mfa_term(cop_ctx *ctx, const struct child *child) {
    return sup_mfa(ctx, child->form, sup_args(ctx, child->args));
}

cop_term sup_modules_term(cop_ctx *ctx, const struct child *child) {
    return cop_saved_load(ctx, child->form->modules);
}

static cop_term child_info(cop_ctx *ctx, const struct sup *s, uint32_t i, cop_term pid) {
    const struct child *child = sup_at(s, i);
    const struct sup_form *form = child->form;
    return cop_list(ctx, cop_tuple(ctx, cop_a(pid), pid),
                    cop_tuple(ctx, cop_a(id), sup_id_term(ctx, s, i)),
                    cop_tuple(ctx, cop_a(mfargs), sup_mfa_term(ctx, child)),
                    cop_tuple(ctx, cop_a(restart_type), sup_restart_atom(form->restart)),
                    cop_tuple(ctx, cop_a(significant), form->significant),
                    cop_tuple(ctx, cop_a(shutdown), sup_shutdown_term(ctx, form->shutdown)),
                    cop_tuple(ctx, cop_a(child_type), sup_type_atom(form->type)));
}

/* OTP's record of a child, the 9-tuple that start_child's failures carry. */
cop_term sup_record(cop_ctx *ctx, const struct sup *s, uint32_t i) {
    const struct child *child = sup_at(s, i);
    const struct sup_form *form = child->form;
    return cop_tuple(ctx, cop_a(child), sup_pid_term(ctx, child), sup_id_term(ctx, s, i),
                     sup_mfa_term(ctx, child), sup_restart_atom(form->restart), form->significant,
                     sup_shutdown_term(ctx, form->shutdown), sup_type_atom(form->type),
                     sup_modules_term(ctx, child));
}

void sup_note(cop_ctx *ctx, const struct sup *s, const char *event, uint32_t i, cop_term pid,
              cop_term reason) {
    if (s->t->timeline != NULL)
        sup_timeline_note(ctx, s->t->timeline, event, sup_id_term(ctx, s, i), pid, reason);
}

static void report_pid(cop_ctx *ctx, const struct sup *s, const char *what, cop_term reason,
                       uint32_t i, cop_term pid) {
    sup_note(ctx, s, what, i, pid, reason);
    if (sup_is_logged(ctx, COP_LEVEL_ERROR))
        sup_report(ctx, what, sup_shown_name(ctx, s->name, s->module_name), reason,
                   child_info(ctx, s, i, pid));
}

void sup_report_child(cop_ctx *ctx, const struct sup *s, const char *what, cop_term reason,
                      uint32_t i) {
    report_pid(ctx, s, what, reason, i, sup_pid_term(ctx, sup_at(s, i)));
}

/* ---- starting and stopping one child -------------------------------------------------------------------- */

static void cancel_timer(cop_ctx *ctx, struct child *child) {
    if (!cop_is_none(child->timer.t))
        cop_process_cancel_timer_async(ctx, child->timer, true);
    child->timer = (cop_ref){ COP_NONE };
}

static void started(cop_ctx *ctx, struct sup *s, uint32_t i, cop_pid pid) {
    set_state(s, i, CHILD_RUNNING, pid);
    sup_at(s, i)->started_ms = cop_monotonic_ms(ctx);
    sup_note(ctx, s, "started", i, pid.t, cop_a(nil).t);
    if (sup_is_logged(ctx, COP_LEVEL_INFO))
        sup_report_progress(ctx, sup_shown_name(ctx, s->name, s->module_name),
                            child_info(ctx, s, i, pid.t));
}

/* Runs the start function; false with *reason when it fails, and the state as it was. An ignored child is
   undefined. */
bool sup_start_child(cop_ctx *ctx, struct sup *s, uint32_t i, cop_term *reason, cop_term *info) {
    struct sup_started got =
        sup_start(ctx, sup_at(s, i)->form, COP_NIL, sup_args(ctx, sup_at(s, i)->args));
    if (got.is == SUP_RAISED && got.caught.class == COP_CLASS_THROW)
        got = sup_started_of(got.caught.reason); /* what is thrown counts as returned */
    *info = got.info;
    if (got.is == SUP_RAISED)
        *reason = cop_tuple(ctx, cop_as("EXIT"), cop_caught_reason(ctx, &got.caught));
    else if (got.is == SUP_FAILED)
        *reason = got.reason;
    if (got.is == SUP_RAISED || got.is == SUP_FAILED)
        return false;
    cancel_timer(ctx, sup_at(s, i));
    if (got.is == SUP_STARTED) {
        started(ctx, s, i, got.pid);
        return true;
    }
    set_state(s, i, CHILD_UNDEFINED, NO_PID);
    sup_note(ctx, s, "ignored", i, cop_a(undefined).t, cop_a(ignore).t);
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

void sup_stop_child(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (sup_at(s, i)->state != CHILD_RUNNING) {
        cancel_timer(ctx, sup_at(s, i));
        set_state(s, i, CHILD_UNDEFINED, NO_PID);
        return;
    }
    COP_SCOPE(ctx) {
        cop_term reason = stop_process(ctx, sup_at(s, i)->pid, sup_at(s, i)->form->shutdown);
        if (!is_acceptable(sup_at(s, i)->form, reason))
            sup_report_child(ctx, s, "shutdown_error", reason, i);
    }
    set_state(s, i, CHILD_UNDEFINED, NO_PID);
}

/* Stops the children from the last to the one at `from`, and forgets the temporary ones but `spare`. */
static void stop_group(cop_ctx *ctx, struct sup *s, uint32_t from, uint32_t spare) {
    for (uint32_t i = s->t->last, prev; i != NONE; i = prev) {
        bool is_last = i == from;
        prev = sup_at(s, i)->prev;
        if (i != spare) {
            sup_stop_child(ctx, s, i);
            if (sup_at(s, i)->form->restart == COP_TEMPORARY)
                sup_remove(s, i);
        }
        if (is_last)
            break;
    }
}

void sup_stop_all(cop_ctx *ctx, struct sup *s) {
    for (uint32_t i = s->t->last; i != NONE; i = sup_at(s, i)->prev)
        sup_stop_child(ctx, s, i);
}

/* ---- restarting ------------------------------------------------------------------------------------------ */

static cop_next give_up(cop_ctx *ctx, struct sup *s, uint32_t i) {
    sup_report_child(ctx, s, "shutdown", cop_a(reached_max_restart_intensity).t, i);
    sup_stop_child(ctx, s, i); /* it does not run: forgets its timer, and that it was to restart */
    return cop_stop(cop_a(shutdown));
}

static bool has_backoff(const struct sup *s, uint32_t i) {
    return sup_at(s, i)->form->backoff.min_ms > 0;
}

/* The child is restarted after its pause; it stays restarting until then. */
static void restart_later(cop_ctx *ctx, struct sup *s, uint32_t i) {
    struct child *child = sup_at(s, i);
    const cop_backoff *b = &child->form->backoff;
    int64_t reset_after = b->reset_after_ms > 0 ? b->reset_after_ms : 60000;
    if (child->started_ms != 0 && cop_monotonic_ms(ctx) - child->started_ms >= reset_after)
        child->pauses = 0;
    child->started_ms = 0;
    int64_t pause = sup_pause(ctx, b, child->pauses++);
    cancel_timer(ctx, child);
    child->timer = cop_start_timer(ctx, pause, cop_self(ctx).t,
                                   cop_tuple(ctx, cop_as("$backoff"), sup_id_term(ctx, s, i)));
    sup_note(ctx, s, "backoff", i, sup_pid_term(ctx, sup_at(s, i)), cop_of(ctx, pause));
}

static void try_again(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (has_backoff(s, i))
        restart_later(ctx, s, i);
    else
        cop_gen_server_cast(ctx, cop_self(ctx),
                            cop_tuple(ctx, cop_a(try_again_restart), sup_id_term(ctx, s, i)));
}

/* A start failed on a restart: tried again from the loop. The child that crashed keeps its old pid, but
   the report of a group shows none. */
static void start_failed(cop_ctx *ctx, struct sup *s, uint32_t i, cop_term reason, bool in_group) {
    report_pid(ctx, s, "start_error", reason, i,
               in_group ? cop_a(undefined).t : sup_pid_term(ctx, sup_at(s, i)));
    set_state(s, i, CHILD_RESTARTING, sup_at(s, i)->pid);
    try_again(ctx, s, i);
}

static void start_one(cop_ctx *ctx, struct sup *s, uint32_t i) {
    cop_term reason, info;
    if (!sup_start_child(ctx, s, i, &reason, &info))
        start_failed(ctx, s, i, reason, false);
}

/* Starts those from `from` on that do not run; the first failure is tried again later. */
static void start_group(cop_ctx *ctx, struct sup *s, uint32_t from) {
    volatile bool failed = false;
    for (uint32_t i = from; i != NONE && !failed; i = sup_at(s, i)->next) {
        if (sup_at(s, i)->state == CHILD_RUNNING)
            continue;
        COP_SCOPE(ctx) {
            cop_term reason, info;
            failed = !sup_start_child(ctx, s, i, &reason, &info);
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
void sup_start_again(cop_ctx *ctx, struct sup *s, uint32_t i) {
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

cop_next sup_restart(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (is_too_often(ctx, s))
        return give_up(ctx, s, i);
    sup_start_again(ctx, s, i);
    return cop_noreply();
}

/* The same of a child that has ended and has a back-off: what the strategy stops is stopped now. */
static cop_next restart_with_pause(cop_ctx *ctx, struct sup *s, uint32_t i) {
    if (is_too_often(ctx, s))
        return give_up(ctx, s, i);
    stop_others(ctx, s, i);
    set_state(s, i, CHILD_RESTARTING, sup_at(s, i)->pid);
    restart_later(ctx, s, i);
    return cop_noreply();
}

static bool any_significant_runs(const struct sup *s) {
    for (uint32_t i = s->t->first; i != NONE; i = sup_at(s, i)->next)
        if (sup_at(s, i)->form->significant && sup_at(s, i)->state != CHILD_UNDEFINED)
            return true;
    return false;
}

static cop_next ended_for_good(cop_ctx *ctx, struct sup *s, uint32_t i) {
    bool significant = sup_at(s, i)->form->significant;
    set_state(s, i, CHILD_UNDEFINED, NO_PID);
    if (sup_at(s, i)->form->restart == COP_TEMPORARY)
        sup_remove(s, i);
    if (significant
        && (s->auto_shutdown == COP_AUTO_SHUTDOWN_ANY_SIGNIFICANT
            || (s->auto_shutdown == COP_AUTO_SHUTDOWN_ALL_SIGNIFICANT && !any_significant_runs(s))))
        return cop_stop(cop_a(shutdown));
    return cop_noreply();
}

cop_next sup_child_ended(cop_ctx *ctx, struct sup *s, uint32_t i, cop_term reason) {
    cop_restart type = sup_at(s, i)->form->restart;
    bool normal = cop_reason_is_normal(reason);
    if (type == COP_PERMANENT || !normal)
        sup_report_child(ctx, s, "child_terminated", reason, i);
    if (type == COP_TEMPORARY || (type == COP_TRANSIENT && normal))
        return ended_for_good(ctx, s, i);
    set_state(s, i, CHILD_UNDEFINED, sup_at(s, i)->pid); /* it keeps its old pid for the reports */
    return has_backoff(s, i) ? restart_with_pause(ctx, s, i) : sup_restart(ctx, s, i);
}
