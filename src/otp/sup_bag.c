/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bag of children that are known by pid.
 *
 * A child is an entry; entries stand in blocks and never move, and free ones are linked. One table leads from a
 * pid to its entry: the running child's, or, while a child is restarting, the pid it had. What many children
 * have in common (function, restart, shutdown ...) is a form that they share, found again among the last few;
 * what few need (a back-off, a bad end) is apart; a temporary child's arguments are forgotten. So a million
 * children cost some 80 bytes each, and what is done to one of them takes the same time as with ten.
 *
 * The end stops all children at once: monitor and unlink all, see in one look through the mailbox who had
 * ended before, send the exit signals, then wait. There is one timer for each distinct time-out.
 *
 * Invariants
 *   1. by_pid has every entry in use, once.
 *   2. An index is good until its entry is removed; a pointer only until the next entry_new.
 * Threads: the supervisor's own process.
 */
#include "sup_bag.h"

#include <stdlib.h>
#include <string.h>

enum kid_state { KID_FREE, KID_RUNNING, KID_RESTARTING };
enum { FORMS = 8, FIRST_BLOCK = 8, BLOCK = 128 };
static const uint32_t NONE = UINT32_MAX;

/* What few children need. */
struct kid_more {
    cop_ref timer; /* of a back-off that runs; else COP_NONE inside */
    int64_t started_ms;
    uint32_t pauses;
    cop_saved *why; /* a bad reason of its end, to be reported when all are down */
};

struct kid {
    struct sup_form *form;
    cop_saved *args; /* NULL: forgotten, or none were ever kept */
    cop_pid pid;     /* restarting: the one it had */
    uint64_t origin;
    struct kid_more *more; /* NULL: nothing */
    uint32_t next_free;
    uint8_t state;
    bool waited_for;
};

/* Malloc'ed, owned by the process: released by tables_release however it ends. */
struct bag_tables {
    struct kid **blocks; /* of BLOCK each; while there is one it may be shorter */
    uint32_t count, restarting, supervisors, used, room, free;
    struct sup_table by_pid;
    struct sup_form *forms[FORMS]; /* the last ones met, newest first */
    struct sup_window window;
    cop_saved *extra, *args, *id; /* NULL: [], and :undefined */
    struct sup_timeline *timeline;
};

static struct kid *kid_of(const struct bag_tables *t, uint32_t i) {
    return &t->blocks[i / BLOCK][i % BLOCK];
}

static void more_release(struct kid *kid) {
    if (kid->more == NULL)
        return;
    cop_saved_forget(kid->more->why);
    free(kid->more);
    kid->more = NULL;
}

static void tables_release(void *object) {
    struct bag_tables *t = object;
    for (uint32_t i = 0; i < t->used; i++) {
        struct kid *kid = kid_of(t, i);
        if (kid->state == KID_FREE)
            continue;
        sup_form_release(kid->form);
        cop_saved_forget(kid->args);
        more_release(kid);
    }
    for (int i = 0; i < FORMS; i++)
        sup_form_release(t->forms[i]);
    for (uint32_t i = 0; i < t->room; i += BLOCK)
        free(t->blocks[i / BLOCK]);
    free(t->blocks);
    free(t->by_pid.slots);
    free(t->window.at);
    cop_saved_forget(t->extra);
    cop_saved_forget(t->args);
    cop_saved_forget(t->id);
    sup_timeline_end(t->timeline);
    free(t);
}

void bag_init(cop_ctx *ctx, struct bag *b, cop_term args) {
    struct bag_tables *t = sup_alloc(ctx, sizeof *t);
    t->free = NONE;
    b->t = cop_own(ctx, t, tables_release);
    t->args = cop_term_save(args);
}

void bag_set_id(struct bag *b, cop_term id) {
    cop_saved_forget(b->t->id);
    b->t->id = cop_is_none(id) ? NULL : cop_term_save(id);
}

void bag_set_extra(struct bag *b, cop_term extra) {
    cop_saved_forget(b->t->extra);
    b->t->extra = cop_term_save(extra);
}

void bag_set_timeline(cop_ctx *ctx, struct bag *b, int64_t limit) {
    if (b->t->timeline == NULL)
        b->t->timeline = sup_timeline_new(ctx, limit, b->name);
}

cop_term bag_args(cop_ctx *ctx, const struct bag *b) { return cop_saved_load(ctx, b->t->args); }

cop_term bag_extra(cop_ctx *ctx, const struct bag *b) {
    return b->t->extra == NULL ? COP_NIL : cop_saved_load(ctx, b->t->extra);
}

cop_term bag_id(cop_ctx *ctx, const struct bag *b) {
    return b->t->id == NULL ? cop_a(undefined).t : cop_saved_load(ctx, b->t->id);
}

cop_term bag_name(cop_ctx *ctx, const struct bag *b) {
    return b->bare_name && cop_is_atom(b->name) ? b->name
                                                : sup_shown_name(ctx, b->name, b->module_name);
}

static void note(cop_ctx *ctx, const struct bag *b, const char *event, cop_term pid,
                 cop_term reason) {
    if (b->t->timeline != NULL)
        sup_timeline_note(ctx, b->t->timeline, event, bag_id(ctx, b), pid, reason);
}

/* ---- the bag ------------------------------------------------------------------------------------------- */

static struct kid *at(const struct bag *b, uint32_t i) { return kid_of(b->t, i); }

static uint32_t find(const struct bag *b, cop_term pid) {
    size_t place = SIZE_MAX;
    uint32_t i;
    while ((i = sup_table_next(&b->t->by_pid, pid.w, &place)) != NONE)
        if (at(b, i)->pid.t.w == pid.w)
            break;
    return i;
}

struct sup_form *bag_form(struct bag *b, const struct sup_spec *spec) {
    struct bag_tables *t = b->t;
    int i = 0;
    while (i < FORMS && t->forms[i] != NULL && !sup_form_is_of(t->forms[i], spec))
        i++;
    struct sup_form *form = i < FORMS && t->forms[i] != NULL ? t->forms[i] : sup_form_new(spec);
    if (i == FORMS)
        sup_form_release(t->forms[--i]);
    memmove(&t->forms[1], &t->forms[0], (size_t)i * sizeof *t->forms);
    t->forms[0] = form;
    form->refs++;
    return form;
}

static void grow(cop_ctx *ctx, struct bag_tables *t) {
    uint32_t blocks = (t->room + BLOCK - 1) / BLOCK;
    if (t->room < BLOCK) { /* a supervisor of a few has a small one */
        uint32_t room = t->room == 0 ? FIRST_BLOCK : 4 * t->room;
        if (blocks == 0)
            t->blocks = sup_alloc(ctx, sizeof *t->blocks);
        t->blocks[0] = sup_grow(ctx, t->blocks[0], room * sizeof **t->blocks);
        t->room = room;
        return;
    }
    if ((blocks & (blocks - 1)) == 0)
        t->blocks = sup_grow(ctx, t->blocks, 2 * blocks * sizeof *t->blocks);
    t->blocks[blocks] = sup_grow(ctx, NULL, BLOCK * sizeof **t->blocks);
    t->room += BLOCK;
}

static uint32_t entry_new(cop_ctx *ctx, struct bag_tables *t) {
    if (t->free != NONE) {
        uint32_t i = t->free;
        t->free = kid_of(t, i)->next_free;
        return i;
    }
    if (t->used == t->room)
        grow(ctx, t);
    return t->used++;
}

static struct kid_more *more_of(cop_ctx *ctx, struct kid *kid) {
    if (kid->more == NULL)
        kid->more = sup_alloc(ctx, sizeof *kid->more);
    return kid->more;
}

static bool has_timer(const struct kid *kid) {
    return kid->more != NULL && !cop_is_none(kid->more->timer.t);
}

static void note_start(cop_ctx *ctx, struct kid *kid) {
    if (kid->form->backoff.min_ms > 0)
        more_of(ctx, kid)->started_ms = cop_monotonic_ms(ctx);
}

void bag_add(cop_ctx *ctx, struct bag *b, struct sup_form *form, cop_term args, cop_pid pid,
             uint64_t origin) {
    struct bag_tables *t = b->t;
    uint32_t i = entry_new(ctx, t);
    *kid_of(t, i) = (struct kid){
        .form = form,
        .args = form->restart == COP_TEMPORARY ? NULL : cop_term_save(args),
        .pid = pid,
        .origin = origin,
        .state = KID_RUNNING,
    };
    sup_table_put(&t->by_pid, pid.t.w, i);
    t->count++;
    t->supervisors += form->type == COP_SUPERVISOR;
    note_start(ctx, kid_of(t, i));
    note(ctx, b, "started", pid.t, cop_a(nil).t);
}

static void set_state(struct bag *b, uint32_t i, enum kid_state state) {
    b->t->restarting -= at(b, i)->state == KID_RESTARTING;
    b->t->restarting += state == KID_RESTARTING;
    at(b, i)->state = (uint8_t)state;
}

static void cancel_timer(cop_ctx *ctx, struct kid *kid) {
    if (!has_timer(kid))
        return;
    cop_process_cancel_timer_async(ctx, kid->more->timer, true);
    kid->more->timer = (cop_ref){ COP_NONE };
}

static void forget(cop_ctx *ctx, struct bag *b, uint32_t i) {
    struct kid *kid = at(b, i);
    uint64_t origin = kid->origin;
    cancel_timer(ctx, kid);
    set_state(b, i, KID_FREE);
    sup_table_remove(&b->t->by_pid, kid->pid.t.w, i);
    b->t->count--;
    b->t->supervisors -= kid->form->type == COP_SUPERVISOR;
    sup_form_release(kid->form);
    cop_saved_forget(kid->args);
    more_release(kid);
    *kid = (struct kid){ .next_free = b->t->free };
    b->t->free = i;
    if (b->gone != NULL)
        b->gone(ctx, b, origin);
}

/* ---- reports ------------------------------------------------------------------------------------------- */

static void report_form(cop_ctx *ctx, const struct bag *b, const char *what, cop_term reason,
                        const struct sup_form *form, cop_term pid, cop_term args) {
    cop_term offender =
        cop_list(ctx, cop_tuple(ctx, cop_a(pid), pid), cop_tuple(ctx, cop_a(id), bag_id(ctx, b)),
                 cop_tuple(ctx, cop_a(mfargs), sup_mfa(ctx, form, args)),
                 cop_tuple(ctx, cop_a(restart_type), sup_restart_atom(form->restart)),
                 cop_tuple(ctx, cop_a(shutdown), sup_shutdown_term(ctx, form->shutdown)),
                 cop_tuple(ctx, cop_a(child_type), sup_type_atom(form->type)));
    sup_report(ctx, what, bag_name(ctx, b), reason, offender);
}

static cop_term shown_args(cop_ctx *ctx, const struct bag *b, const struct kid *kid) {
    cop_term args = sup_args(ctx, kid->args);
    return cop_is_list(args) ? cop_list_append(ctx, bag_extra(ctx, b), args) : args;
}

static void report(cop_ctx *ctx, const struct bag *b, const char *what, cop_term reason, uint32_t i,
                   cop_term pid) {
    const struct kid *kid = at(b, i);
    note(ctx, b, what, pid, reason);
    if (sup_is_logged(ctx, COP_LEVEL_ERROR))
        report_form(ctx, b, what, reason, kid->form, pid, shown_args(ctx, b, kid));
}

void bag_report_start(cop_ctx *ctx, const struct bag *b, const struct sup_form *form,
                      cop_term reason, cop_term args) {
    note(ctx, b, "start_error", cop_a(undefined).t, reason);
    if (sup_is_logged(ctx, COP_LEVEL_ERROR))
        report_form(ctx, b, "start_error", reason, form, cop_a(undefined).t, args);
}

/* ---- starting and restarting --------------------------------------------------------------------------- */

cop_term bag_reason(cop_ctx *ctx, const struct sup_started *got) {
    return got->is == SUP_RAISED ? cop_caught_reason(ctx, &got->caught) : got->reason;
}

cop_term bag_started_term(cop_ctx *ctx, const struct sup_started *got) {
    if (got->is == SUP_IGNORED)
        return cop_a(ignore).t;
    if (got->is != SUP_STARTED)
        return cop_tuple(ctx, cop_a(error), bag_reason(ctx, got));
    return cop_is_none(got->info) ? cop_tuple(ctx, cop_a(ok), got->pid)
                                  : cop_tuple(ctx, cop_a(ok), got->pid, got->info);
}

static void restart_later(cop_ctx *ctx, struct bag *b, uint32_t i) {
    struct kid *kid = at(b, i);
    const cop_backoff *backoff = &kid->form->backoff;
    int64_t reset_after = backoff->reset_after_ms > 0 ? backoff->reset_after_ms : 60000;
    struct kid_more *more = more_of(ctx, kid);
    if (more->started_ms != 0 && cop_monotonic_ms(ctx) - more->started_ms >= reset_after)
        more->pauses = 0;
    more->started_ms = 0;
    int64_t pause = sup_pause(ctx, backoff, more->pauses++);
    cancel_timer(ctx, kid);
    more->timer = cop_start_timer(ctx, pause, cop_self(ctx).t,
                                  cop_tuple(ctx, cop_as("$gen_restart"), kid->pid));
    note(ctx, b, "backoff", kid->pid.t, cop_of(ctx, pause));
}

/* The start after an end, noted already. The new pid takes the place of the old one. */
static void start_again(cop_ctx *ctx, struct bag *b, uint32_t i) {
    struct kid *kid = at(b, i);
    struct sup_started got = sup_start(ctx, kid->form, bag_extra(ctx, b), sup_args(ctx, kid->args));
    if (got.is == SUP_IGNORED) {
        note(ctx, b, "ignored", kid->pid.t, cop_a(ignore).t);
        forget(ctx, b, i);
    } else if (got.is == SUP_STARTED) {
        sup_table_remove(&b->t->by_pid, kid->pid.t.w, i);
        kid->pid = got.pid;
        note_start(ctx, kid);
        sup_table_put(&b->t->by_pid, got.pid.t.w, i);
        set_state(b, i, KID_RUNNING);
        note(ctx, b, "started", got.pid.t, cop_a(nil).t);
    } else {
        cop_term old = cop_tuple(ctx, cop_a(restarting), kid->pid);
        report(ctx, b, "start_error", bag_reason(ctx, &got), i, old);
        set_state(b, i, KID_RESTARTING);
        if (kid->form->backoff.min_ms > 0)
            restart_later(ctx, b, i);
        else
            cop_send(ctx, cop_self(ctx), cop_tuple(ctx, cop_as("$gen_restart"), kid->pid));
    }
}

static enum bag_took restart(cop_ctx *ctx, struct bag *b, uint32_t i, bool pause) {
    if (sup_window_add(&b->t->window, cop_monotonic_ms(ctx) / 1000, b->max_seconds)
        > b->max_restarts) {
        report(ctx, b, "shutdown", cop_a(reached_max_restart_intensity).t, i, at(b, i)->pid.t);
        forget(ctx, b, i);
        return BAG_STOPS;
    }
    if (!pause) {
        start_again(ctx, b, i);
        return BAG_DONE;
    }
    set_state(b, i, KID_RESTARTING);
    restart_later(ctx, b, i);
    return BAG_DONE;
}

static enum bag_took kid_ended(cop_ctx *ctx, struct bag *b, uint32_t i, cop_term reason) {
    const struct sup_form *form = at(b, i)->form;
    bool normal = cop_reason_is_normal(reason);
    if (form->restart == COP_PERMANENT || !normal)
        report(ctx, b, "child_terminated", reason, i, at(b, i)->pid.t);
    if (form->restart == COP_PERMANENT || (form->restart == COP_TRANSIENT && !normal))
        return restart(ctx, b, i, form->backoff.min_ms > 0);
    forget(ctx, b, i);
    return BAG_DONE;
}

/* ---- stopping ------------------------------------------------------------------------------------------- */

static bool is_acceptable(const struct sup_form *form, cop_term reason) {
    cop_term any;
    if (form->shutdown == COP_BRUTAL_KILL)
        return cop_match(reason, cop_a(killed));
    return cop_match(reason, cop_a(shutdown)) || cop_match_tuple(reason, cop_a(shutdown), &any)
           || (form->restart != COP_PERMANENT && cop_match(reason, cop_a(normal)));
}

/* Of one whose exit was in the mailbox before it was asked to stop. */
static bool is_fine_before(const struct sup_form *form, cop_term reason) {
    return form->restart != COP_PERMANENT && cop_match(reason, cop_a(normal));
}

static bool has_timeout(const struct sup_form *form) {
    return form->shutdown >= 0 && form->shutdown <= INT64_C(4294967295);
}

static void ask_to_stop(cop_ctx *ctx, const struct kid *kid) {
    cop_process_exit(ctx, kid->pid,
                     kid->form->shutdown == COP_BRUTAL_KILL ? cop_a(kill).t : cop_a(shutdown).t);
}

static void stop_one(cop_ctx *ctx, struct bag *b, uint32_t i) {
    const struct kid *kid = at(b, i);
    cop_term reason, down;
    cop_ref ref = cop_process_monitor(ctx, kid->pid);
    cop_process_unlink(ctx, kid->pid);
    if (sup_take_exit(ctx, kid->pid, &reason)) {
        cop_receive_ref(ctx, COP_INFINITY, ref, &down);
        if (!is_fine_before(kid->form, reason))
            report(ctx, b, "shutdown_error", reason, i, kid->pid.t);
        return;
    }
    ask_to_stop(ctx, kid);
    int64_t wait = has_timeout(kid->form) ? kid->form->shutdown : COP_INFINITY;
    if (!cop_receive_ref(ctx, wait, ref, &down)) {
        cop_process_exit(ctx, kid->pid, cop_a(kill));
        cop_receive_ref(ctx, COP_INFINITY, ref, &down);
    }
    reason = cop_elem(down, 4);
    if (!is_acceptable(kid->form, reason))
        report(ctx, b, "shutdown_error", reason, i, kid->pid.t);
}

struct see {
    cop_ctx *ctx;
    struct bag *bag;
};

/* Looks at each message and takes none: those who had ended are not waited for. */
static bool see_exit(cop_term message, void *arg) {
    struct see *see = arg;
    struct bag *b = see->bag;
    cop_pid pid;
    cop_term reason;
    if (!cop_match_tuple(message, cop_as("EXIT"), &pid, &reason))
        return false;
    uint32_t i = find(b, pid.t);
    if (i == NONE || !at(b, i)->waited_for)
        return false;
    at(b, i)->waited_for = false;
    if (!is_fine_before(at(b, i)->form, reason))
        more_of(see->ctx, at(b, i))->why = cop_term_save(reason);
    return false;
}

/* The distinct time-outs, each with its timer. */
struct timeouts {
    size_t count, cap;
    struct {
        int64_t ms;
        cop_ref timer;
    } * at;
};

static void start_timer(cop_ctx *ctx, struct timeouts *all, int64_t ms) {
    for (size_t i = 0; i < all->count; i++)
        if (all->at[i].ms == ms)
            return;
    if (all->count == all->cap) {
        all->cap = all->cap == 0 ? 8 : 2 * all->cap;
        all->at = cop_realloc(ctx, all->at, all->cap * sizeof *all->at);
    }
    all->at[all->count].ms = ms;
    all->at[all->count++].timer = cop_start_timer(ctx, ms, cop_self(ctx).t, cop_a(kill).t);
}

/* Monitors all that run; how many are asked to stop, and so waited for. */
static uint32_t ask_all(cop_ctx *ctx, struct bag *b, struct timeouts *timeouts) {
    uint32_t waiting = 0;
    cop_term unused;
    for (uint32_t i = 0; i < b->t->used; i++) {
        if (at(b, i)->state != KID_RUNNING)
            continue;
        cop_process_monitor(ctx, at(b, i)->pid);
        cop_process_unlink(ctx, at(b, i)->pid);
        at(b, i)->waited_for = true;
    }
    cop_receive_match(ctx, 0, see_exit, &(struct see){ ctx, b }, &unused);
    for (uint32_t i = 0; i < b->t->used; i++) {
        if (!at(b, i)->waited_for)
            continue;
        ask_to_stop(ctx, at(b, i));
        if (has_timeout(at(b, i)->form))
            start_timer(ctx, timeouts, at(b, i)->form->shutdown);
        waiting++;
    }
    return waiting;
}

static void kill_late(cop_ctx *ctx, struct bag *b, int64_t ms) {
    for (uint32_t i = 0; i < b->t->used; i++)
        if (at(b, i)->waited_for && at(b, i)->form->shutdown == ms)
            cop_process_exit(ctx, at(b, i)->pid, cop_a(kill));
}

/* One message while all stop; true if it was the end of one that was waited for. Whatever else comes is
   dropped: the process is about to end. */
static bool take_end(cop_ctx *ctx, struct bag *b, const struct timeouts *timeouts,
                     cop_term message) {
    cop_pid pid;
    cop_ref ref;
    cop_term reason;
    if (cop_match_tuple(message, cop_a(timeout), &ref, cop_a(kill)))
        for (size_t k = 0; k < timeouts->count; k++)
            if (timeouts->at[k].timer.t.w == ref.t.w)
                kill_late(ctx, b, timeouts->at[k].ms);
    if (!cop_match_tuple(message, cop_as("DOWN"), &ref, cop_a(process), &pid, &reason))
        return false;
    uint32_t i = find(b, pid.t);
    if (i == NONE || !at(b, i)->waited_for)
        return false;
    at(b, i)->waited_for = false;
    if (!is_acceptable(at(b, i)->form, reason))
        more_of(ctx, at(b, i))->why = cop_term_save(reason);
    return true;
}

void bag_stop_all(cop_ctx *ctx, struct bag *b, cop_term reason) {
    struct timeouts timeouts = { 0 };
    for (volatile uint32_t waiting = ask_all(ctx, b, &timeouts); waiting > 0;) {
        COP_SCOPE(ctx) {
            cop_term message;
            cop_receive(ctx, COP_INFINITY, &message);
            waiting -= take_end(ctx, b, &timeouts, message);
        }
    }
    for (uint32_t i = 0; i < b->t->used; i++)
        if (at(b, i)->more != NULL && at(b, i)->more->why != NULL)
            COP_SCOPE(ctx) {
                report(ctx, b, "shutdown_error", cop_saved_load(ctx, at(b, i)->more->why), i,
                       at(b, i)->pid.t);
            }
    for (size_t k = 0; k < timeouts.count; k++)
        cop_process_cancel_timer_async(ctx, timeouts.at[k].timer, true);
    cop_term self = cop_self(ctx).t;
    sup_timeline_note(ctx, b->t->timeline, "stopped", cop_is_none(b->name) ? self : b->name, self,
                      reason);
}

cop_term bag_terminate(cop_ctx *ctx, struct bag *b, cop_term pid) {
    uint32_t i = cop_is_pid(pid) ? find(b, pid) : NONE;
    if (i == NONE)
        return cop_tuple(ctx, cop_a(error), cop_a(not_found));
    note(ctx, b, "terminated", pid, cop_a(nil).t);
    if (at(b, i)->state == KID_RUNNING)
        stop_one(ctx, b, i);
    forget(ctx, b, i);
    return cop_a(ok).t;
}

/* ---- messages ------------------------------------------------------------------------------------------- */

enum bag_took bag_message(cop_ctx *ctx, struct bag *b, cop_term message) {
    cop_pid pid;
    cop_ref timer;
    cop_term reason, what;
    if (cop_match_tuple(message, cop_as("EXIT"), &pid, &reason)) {
        uint32_t i = find(b, pid.t);
        return i == NONE || at(b, i)->state != KID_RUNNING ? BAG_DONE
                                                           : kid_ended(ctx, b, i, reason);
    }
    if (cop_match_tuple(message, cop_as("$gen_restart"), &pid)) {
        uint32_t i = find(b, pid.t);
        return i == NONE || at(b, i)->state != KID_RESTARTING || has_timer(at(b, i))
                   ? BAG_DONE
                   : restart(ctx, b, i, false);
    }
    if (cop_match_tuple(message, cop_a(timeout), &timer, &what)
        && cop_match_tuple(what, cop_as("$gen_restart"), &pid)) {
        uint32_t i = find(b, pid.t);
        if (i == NONE || !has_timer(at(b, i)) || at(b, i)->more->timer.t.w != timer.t.w)
            return BAG_DONE;
        at(b, i)->more->timer = (cop_ref){ COP_NONE };
        start_again(ctx, b, i);
        return BAG_DONE;
    }
    return BAG_NOT_MINE;
}

/* ---- looking in ----------------------------------------------------------------------------------------- */

size_t bag_count(const struct bag *b) { return b->t->count; }

struct bag_counts bag_counts(const struct bag *b) {
    const struct bag_tables *t = b->t;
    return (struct bag_counts){ .active = t->count - t->restarting,
                                .supervisors = t->supervisors,
                                .workers = t->count - t->supervisors };
}

cop_term bag_which(cop_ctx *ctx, const struct bag *b) {
    cop_term list = COP_NIL;
    for (uint32_t i = b->t->used; i > 0; i--) {
        const struct kid *kid = at(b, i - 1);
        if (kid->state != KID_FREE)
            list = cop_cons(ctx,
                            cop_tuple(ctx, cop_a(undefined),
                                      kid->state == KID_RUNNING ? kid->pid.t : cop_a(restarting).t,
                                      sup_type_atom(kid->form->type),
                                      cop_saved_load(ctx, kid->form->modules)),
                            list);
    }
    return list;
}

cop_term bag_children(cop_ctx *ctx, const struct bag *b, bag_shown make) {
    cop_term children = cop_map(ctx);
    for (uint32_t i = 0; i < b->t->used; i++) {
        const struct kid *kid = at(b, i);
        if (kid->state != KID_FREE)
            children = cop_map_put(ctx, children, kid->pid.t,
                                   make(ctx, b, kid->origin, kid->form, sup_args(ctx, kid->args),
                                        kid->state == KID_RESTARTING));
    }
    return children;
}

cop_term bag_restarts(cop_ctx *ctx, const struct bag *b) {
    return sup_window_term(ctx, &b->t->window);
}
