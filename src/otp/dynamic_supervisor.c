/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DynamicSupervisor: a gen_server around a bag of children, which are known by pid.
 *
 * A child is an entry of one array; free entries are linked. One table leads from a pid to its entry: the
 * running child's, or, while a child is restarting, the pid it had. What many children have in
 * common (function, restart, shutdown ...) is a form that they share, found again among the last few; a
 * temporary child's arguments are forgotten. So a million children cost some 100 bytes each, and what
 * is done to one of them takes the same time as with ten.
 *
 * The end stops all children at once: monitor and unlink all, see in one look through the mailbox who had
 * ended before, send the exit signals, then wait. There is one timer for each distinct time-out.
 *
 * Invariants
 *   1. by_pid has every entry in use, once.
 *   2. An index is good until its entry is removed; a pointer only until the next entry_new.
 * Threads: its own process. The API for others is in dynamic_supervisor_api.c.
 */
#include <stdlib.h>
#include <string.h>

#include "sup.h"
#include "sys.h"

enum kid_state { KID_FREE, KID_RUNNING, KID_RESTARTING };
enum { FORMS = 8 };
static const uint32_t NONE = UINT32_MAX;

struct kid {
    struct sup_form *form;
    cop_saved *args; /* NULL: forgotten, or none were ever kept */
    cop_pid pid;     /* restarting: the one it had */
    cop_ref timer;   /* of a back-off that runs; else COP_NONE inside */
    int64_t started_ms;
    uint32_t pauses;
    uint32_t next_free;
    uint8_t state;
    bool waited_for;
    cop_saved *why; /* a bad reason of its end, to be reported when all are down */
};

/* Malloc'ed, owned by the process: released by tables_release however it ends. */
struct tables {
    struct kid *kids;
    uint32_t count, restarting, supervisors, used, cap, free;
    struct sup_table by_pid;
    struct sup_form *forms[FORMS]; /* the last ones met, newest first */
    struct sup_window window;
    cop_saved *extra, *args;
    struct sup_timeline *timeline;
};

struct dyn {
    cop_term name; /* an atom, {:via, module, name} or COP_NONE; kept alive */
    struct tables *t;
    const cop_supervisor *module;
    cop_atom module_name;
    int64_t max_restarts, max_seconds, max_children;
};

static void tables_release(void *object) {
    struct tables *t = object;
    for (uint32_t i = 0; i < t->used; i++) {
        if (t->kids[i].state == KID_FREE)
            continue;
        sup_form_release(t->kids[i].form);
        cop_saved_forget(t->kids[i].args);
        cop_saved_forget(t->kids[i].why);
    }
    for (int i = 0; i < FORMS; i++)
        sup_form_release(t->forms[i]);
    free(t->kids);
    free(t->by_pid.slots);
    free(t->window.at);
    cop_saved_forget(t->extra);
    cop_saved_forget(t->args);
    sup_timeline_end(t->timeline);
    free(t);
}

/* ---- the bag ------------------------------------------------------------------------------------------- */

static struct kid *at(const struct dyn *d, uint32_t i) { return &d->t->kids[i]; }

static uint32_t find(const struct dyn *d, cop_term pid) {
    return sup_table_get(&d->t->by_pid, pid.w);
}

/* The form of that specification, one of the last few or a new one; counted for the caller. */
static struct sup_form *form_of(struct tables *t, const struct sup_spec *spec) {
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

static uint32_t entry_new(cop_ctx *ctx, struct tables *t) {
    if (t->free != NONE) {
        uint32_t i = t->free;
        t->free = t->kids[i].next_free;
        return i;
    }
    if (t->used == t->cap) {
        uint32_t cap = t->cap == 0 ? 8 : 2 * t->cap;
        t->kids = sup_grow(ctx, t->kids, cap * sizeof *t->kids);
        t->cap = cap;
    }
    return t->used++;
}

static uint32_t add(cop_ctx *ctx, struct dyn *d, struct sup_form *form, cop_term args,
                    cop_pid pid) {
    struct tables *t = d->t;
    uint32_t i = entry_new(ctx, t);
    t->kids[i] = (struct kid){
        .form = form,
        .args = form->restart == COP_TEMPORARY ? NULL : cop_term_save(args),
        .pid = pid,
        .state = KID_RUNNING,
        .started_ms = form->backoff.min_ms > 0 ? cop_monotonic_ms(ctx) : 0,
    };
    sup_table_put(&t->by_pid, pid.t.w, i);
    t->count++;
    t->supervisors += form->type == COP_SUPERVISOR;
    return i;
}

static void set_state(struct dyn *d, uint32_t i, enum kid_state state) {
    d->t->restarting -= at(d, i)->state == KID_RESTARTING;
    d->t->restarting += state == KID_RESTARTING;
    at(d, i)->state = (uint8_t)state;
}

static void cancel_timer(cop_ctx *ctx, struct kid *kid) {
    if (!cop_is_none(kid->timer.t))
        cop_process_cancel_timer_async(ctx, kid->timer, true);
    kid->timer = (cop_ref){ COP_NONE };
}

static void forget(cop_ctx *ctx, struct dyn *d, uint32_t i) {
    struct kid *kid = at(d, i);
    cancel_timer(ctx, kid);
    set_state(d, i, KID_FREE);
    sup_table_remove(&d->t->by_pid, kid->pid.t.w, i);
    d->t->count--;
    d->t->supervisors -= kid->form->type == COP_SUPERVISOR;
    sup_form_release(kid->form);
    cop_saved_forget(kid->args);
    cop_saved_forget(kid->why);
    *kid = (struct kid){ .next_free = d->t->free };
    d->t->free = i;
}

/* ---- reports ------------------------------------------------------------------------------------------- */

static cop_term extra_term(cop_ctx *ctx, const struct dyn *d) {
    return cop_saved_load(ctx, d->t->extra);
}

static cop_term shown_args(cop_ctx *ctx, const struct dyn *d, const struct kid *kid) {
    cop_term args = sup_args(ctx, kid->args);
    return cop_is_list(args) ? cop_list_append(ctx, extra_term(ctx, d), args) : args;
}

static void report(cop_ctx *ctx, const struct dyn *d, const char *what, cop_term reason, uint32_t i,
                   cop_term pid) {
    const struct kid *kid = at(d, i);
    const struct sup_form *form = kid->form;
    sup_timeline_note(ctx, d->t->timeline, what, cop_a(undefined).t, pid, reason);
    if (!sup_is_logged(ctx))
        return;
    cop_term offender =
        cop_list(ctx, cop_tuple(ctx, cop_a(pid), pid), cop_tuple(ctx, cop_a(id), cop_a(undefined)),
                 cop_tuple(ctx, cop_a(mfargs), sup_mfa(ctx, form, shown_args(ctx, d, kid))),
                 cop_tuple(ctx, cop_a(restart_type), sup_restart_atom(form->restart)),
                 cop_tuple(ctx, cop_a(shutdown), sup_shutdown_term(ctx, form->shutdown)),
                 cop_tuple(ctx, cop_a(child_type), sup_type_atom(form->type)));
    sup_report(ctx, what, sup_shown_name(ctx, d->name, d->module_name), reason, offender);
}

static void note(cop_ctx *ctx, const struct dyn *d, const char *event, cop_term pid,
                 cop_term reason) {
    sup_timeline_note(ctx, d->t->timeline, event, cop_a(undefined).t, pid, reason);
}

/* ---- starting and restarting --------------------------------------------------------------------------- */

/* {{m, f, args}, restart, shutdown, type, modules}, which the caller has checked; another node's caller
   may not have. */
static bool take_wire(cop_term t, cop_term c_start, cop_term backoff, struct sup_spec *out) {
    cop_term mfa, restart, shutdown, type;
    *out = (struct sup_spec){ .id = cop_a(undefined).t };
    if (!cop_match_tuple(t, &mfa, &restart, &shutdown, &type, &out->modules)
        || !cop_match_tuple(mfa, &out->m, &out->f, &out->args) || !cop_is_list(out->args))
        return false;
    sup_c_start_from(c_start, &out->c_start);
    return sup_restart_from(restart, &out->restart) && sup_shutdown_from(shutdown, &out->shutdown)
           && sup_type_from(type, &out->type)
           && sup_backoff_from(cop_match(backoff, cop_a(nil)) ? COP_NONE : backoff, &out->backoff);
}

static cop_term reason_of(cop_ctx *ctx, const struct sup_started *got) {
    return got->is == SUP_RAISED ? cop_caught_reason(ctx, &got->caught) : got->reason;
}

static cop_term started_term(cop_ctx *ctx, const struct sup_started *got) {
    return cop_is_none(got->info) ? cop_tuple(ctx, cop_a(ok), got->pid)
                                  : cop_tuple(ctx, cop_a(ok), got->pid, got->info);
}

static cop_term do_start_child(cop_ctx *ctx, struct dyn *d, const struct sup_spec *spec) {
    if (d->t->count >= d->max_children)
        return cop_tuple(ctx, cop_a(error), cop_a(max_children));
    struct sup_form *form = form_of(d->t, spec);
    struct sup_started got = sup_start(ctx, form, extra_term(ctx, d), spec->args);
    if (got.is == SUP_STARTED) {
        add(ctx, d, form, spec->args, got.pid);
        note(ctx, d, "started", got.pid.t, cop_a(nil).t);
        return started_term(ctx, &got);
    }
    sup_form_release(form);
    if (got.is == SUP_IGNORED)
        return cop_a(ignore).t;
    return cop_tuple(ctx, cop_a(error), reason_of(ctx, &got));
}

static void restart_later(cop_ctx *ctx, struct dyn *d, uint32_t i) {
    struct kid *kid = at(d, i);
    const cop_backoff *b = &kid->form->backoff;
    int64_t reset_after = b->reset_after_ms > 0 ? b->reset_after_ms : 60000;
    if (kid->started_ms != 0 && cop_monotonic_ms(ctx) - kid->started_ms >= reset_after)
        kid->pauses = 0;
    kid->started_ms = 0;
    int64_t pause = sup_pause(ctx, b, kid->pauses++);
    cancel_timer(ctx, kid);
    kid->timer = cop_start_timer(ctx, pause, cop_self(ctx).t,
                                 cop_tuple(ctx, cop_as("$gen_restart"), kid->pid));
    note(ctx, d, "backoff", kid->pid.t, cop_of(ctx, pause));
}

/* The start after an end, noted already. The new pid takes the place of the old one. */
static void start_again(cop_ctx *ctx, struct dyn *d, uint32_t i) {
    struct kid *kid = at(d, i);
    struct sup_started got =
        sup_start(ctx, kid->form, extra_term(ctx, d), sup_args(ctx, kid->args));
    if (got.is == SUP_IGNORED) {
        note(ctx, d, "ignored", kid->pid.t, cop_a(ignore).t);
        forget(ctx, d, i);
    } else if (got.is == SUP_STARTED) {
        sup_table_remove(&d->t->by_pid, kid->pid.t.w, i);
        kid->pid = got.pid;
        kid->started_ms = kid->form->backoff.min_ms > 0 ? cop_monotonic_ms(ctx) : 0;
        sup_table_put(&d->t->by_pid, got.pid.t.w, i);
        set_state(d, i, KID_RUNNING);
        note(ctx, d, "started", got.pid.t, cop_a(nil).t);
    } else {
        cop_term old = cop_tuple(ctx, cop_a(restarting), kid->pid);
        report(ctx, d, "start_error", reason_of(ctx, &got), i, old);
        set_state(d, i, KID_RESTARTING);
        if (kid->form->backoff.min_ms > 0)
            restart_later(ctx, d, i);
        else
            cop_send(ctx, cop_self(ctx), cop_tuple(ctx, cop_as("$gen_restart"), kid->pid));
    }
}

static cop_next restart(cop_ctx *ctx, struct dyn *d, uint32_t i, bool pause) {
    if (sup_window_add(&d->t->window, cop_monotonic_ms(ctx) / 1000, d->max_seconds)
        > d->max_restarts) {
        report(ctx, d, "shutdown", cop_a(reached_max_restart_intensity).t, i, at(d, i)->pid.t);
        forget(ctx, d, i);
        return cop_stop(cop_a(shutdown));
    }
    if (!pause) {
        start_again(ctx, d, i);
        return cop_noreply();
    }
    set_state(d, i, KID_RESTARTING);
    restart_later(ctx, d, i);
    return cop_noreply();
}

static cop_next kid_ended(cop_ctx *ctx, struct dyn *d, uint32_t i, cop_term reason) {
    const struct sup_form *form = at(d, i)->form;
    bool normal = cop_reason_is_normal(reason);
    if (form->restart == COP_PERMANENT || !normal)
        report(ctx, d, "child_terminated", reason, i, at(d, i)->pid.t);
    if (form->restart == COP_PERMANENT || (form->restart == COP_TRANSIENT && !normal))
        return restart(ctx, d, i, form->backoff.min_ms > 0);
    forget(ctx, d, i);
    return cop_noreply();
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

static void stop_one(cop_ctx *ctx, struct dyn *d, uint32_t i) {
    const struct kid *kid = at(d, i);
    cop_term reason, down;
    cop_ref ref = cop_process_monitor(ctx, kid->pid);
    cop_process_unlink(ctx, kid->pid);
    if (sup_take_exit(ctx, kid->pid, &reason)) {
        cop_receive_ref(ctx, COP_INFINITY, ref, &down);
        if (!is_fine_before(kid->form, reason))
            report(ctx, d, "shutdown_error", reason, i, kid->pid.t);
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
        report(ctx, d, "shutdown_error", reason, i, kid->pid.t);
}

/* Looks at each message and takes none: those who had ended are not waited for. */
static bool see_exit(cop_term message, void *arg) {
    struct dyn *d = arg;
    cop_pid pid;
    cop_term reason;
    if (!cop_match_tuple(message, cop_as("EXIT"), &pid, &reason))
        return false;
    uint32_t i = find(d, pid.t);
    if (i == NONE || !at(d, i)->waited_for)
        return false;
    at(d, i)->waited_for = false;
    if (!is_fine_before(at(d, i)->form, reason))
        at(d, i)->why = cop_term_save(reason);
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
static uint32_t ask_all(cop_ctx *ctx, struct dyn *d, struct timeouts *timeouts) {
    uint32_t waiting = 0;
    cop_term unused;
    for (uint32_t i = 0; i < d->t->used; i++) {
        if (at(d, i)->state != KID_RUNNING)
            continue;
        cop_process_monitor(ctx, at(d, i)->pid);
        cop_process_unlink(ctx, at(d, i)->pid);
        at(d, i)->waited_for = true;
    }
    cop_receive_match(ctx, 0, see_exit, d, &unused);
    for (uint32_t i = 0; i < d->t->used; i++) {
        if (!at(d, i)->waited_for)
            continue;
        ask_to_stop(ctx, at(d, i));
        if (has_timeout(at(d, i)->form))
            start_timer(ctx, timeouts, at(d, i)->form->shutdown);
        waiting++;
    }
    return waiting;
}

static void kill_late(cop_ctx *ctx, struct dyn *d, int64_t ms) {
    for (uint32_t i = 0; i < d->t->used; i++)
        if (at(d, i)->waited_for && at(d, i)->form->shutdown == ms)
            cop_process_exit(ctx, at(d, i)->pid, cop_a(kill));
}

/* One message while all stop; true if it was the end of one that was waited for. Whatever else comes is
   dropped: the process is about to end. */
static bool take_end(cop_ctx *ctx, struct dyn *d, const struct timeouts *timeouts,
                     cop_term message) {
    cop_pid pid;
    cop_ref ref;
    cop_term reason;
    if (cop_match_tuple(message, cop_a(timeout), &ref, cop_a(kill)))
        for (size_t k = 0; k < timeouts->count; k++)
            if (timeouts->at[k].timer.t.w == ref.t.w)
                kill_late(ctx, d, timeouts->at[k].ms);
    if (!cop_match_tuple(message, cop_as("DOWN"), &ref, cop_a(process), &pid, &reason))
        return false;
    uint32_t i = find(d, pid.t);
    if (i == NONE || !at(d, i)->waited_for)
        return false;
    at(d, i)->waited_for = false;
    if (!is_acceptable(at(d, i)->form, reason))
        at(d, i)->why = cop_term_save(reason);
    return true;
}

static void stop_all(cop_ctx *ctx, struct dyn *d) {
    struct timeouts timeouts = { 0 };
    for (volatile uint32_t waiting = ask_all(ctx, d, &timeouts); waiting > 0;) {
        COP_SCOPE(ctx) {
            cop_term message;
            cop_receive(ctx, COP_INFINITY, &message);
            waiting -= take_end(ctx, d, &timeouts, message);
        }
    }
    for (uint32_t i = 0; i < d->t->used; i++)
        if (at(d, i)->why != NULL)
            COP_SCOPE(ctx) {
                report(ctx, d, "shutdown_error", cop_saved_load(ctx, at(d, i)->why), i,
                       at(d, i)->pid.t);
            }
    for (size_t k = 0; k < timeouts.count; k++)
        cop_process_cancel_timer_async(ctx, timeouts.at[k].timer, true);
}

/* ---- the start ------------------------------------------------------------------------------------------ */

static cop_term flag(cop_term flags, cop_atom key, cop_term otherwise) {
    cop_term value;
    return cop_map_get(flags, key.t, &value) ? value : otherwise;
}

static cop_term wrong(cop_ctx *ctx, const char *what, cop_term value) {
    return cop_tuple(ctx, cop_atom_new(what), value);
}

/* What is wrong with the flags; COP_NONE when they were taken. Nothing is changed before all are good. */
static cop_term take_flags(cop_ctx *ctx, struct dyn *d, cop_term flags) {
    struct dyn new = *d;
    int64_t timeline = 0;
    cop_term v = flag(flags, cop_a(strategy), cop_a(one_for_one).t);
    if (!cop_match(v, cop_a(one_for_one)))
        return wrong(ctx, "invalid_strategy", v);
    if (!sup_count_from(v = flag(flags, cop_a(intensity), COP_INT(1)), 0, &new.max_restarts))
        return wrong(ctx, "invalid_intensity", v);
    if (!sup_count_from(v = flag(flags, cop_a(period), COP_INT(5)), 1, &new.max_seconds))
        return wrong(ctx, "invalid_period", v);
    new.max_children = INT64_MAX;
    v = flag(flags, cop_a(max_children), cop_a(infinity).t);
    if (!cop_match(v, cop_a(infinity)) && !sup_count_from(v, 0, &new.max_children))
        return wrong(ctx, "invalid_max_children", v);
    cop_term extra = flag(flags, cop_a(extra_arguments), COP_NIL);
    if (!cop_is_proper_list(extra))
        return wrong(ctx, "invalid_extra_arguments", extra);
    v = flag(flags, cop_a(auto_shutdown), cop_a(never).t);
    if (!cop_match(v, cop_a(never)))
        return wrong(ctx, "invalid_auto_shutdown", v);
    if (!sup_count_from(v = flag(flags, cop_a(timeline), COP_INT(0)), 0, &timeline))
        return wrong(ctx, "invalid_timeline", v);
    *d = new;
    cop_saved_forget(d->t->extra);
    d->t->extra = cop_term_save(extra);
    if (d->t->timeline == NULL)
        d->t->timeline = sup_timeline_new(ctx, timeline, d->name);
    return COP_NONE;
}

static cop_init dyn_init(cop_ctx *ctx, void *state, cop_term packed) {
    struct dyn *d = state;
    cop_term arg, result, flags;
    if (!sup_unpack(packed, &d->module, &arg, &d->name))
        return cop_init_stop(cop_a(badarg));
    struct tables *t = sup_alloc(ctx, sizeof *t);
    t->free = NONE;
    d->t = cop_own(ctx, t, tables_release);
    t->args = cop_term_save(arg);
    cop_process_trap_exit(ctx, true);
    d->module_name = sys_module_atom(d->module->name);
    result = d->module->init(ctx, arg);
    if (cop_match(result, cop_a(ignore)))
        return cop_init_ignore();
    if (!cop_match_tuple(result, cop_a(ok), &flags) || !cop_is_map(flags))
        return cop_init_stop(
            cop_tuple(ctx, cop_a(bad_return), cop_tuple(ctx, d->module_name, cop_a(init), result)));
    cop_term bad = take_flags(ctx, d, flags);
    if (!cop_is_none(bad))
        return cop_init_stop(cop_tuple(ctx, cop_a(supervisor_data), bad));
    return cop_init_ok();
}

/* ---- callbacks ------------------------------------------------------------------------------------------- */

static void dyn_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct dyn *d = state;
    stop_all(ctx, d);
    cop_term self = cop_self(ctx).t;
    sup_timeline_note(ctx, d->t->timeline, "stopped", cop_is_none(d->name) ? self : d->name, self,
                      reason);
}

static cop_next dyn_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    struct dyn *d = state;
    cop_pid pid;
    cop_ref timer;
    cop_term reason, what;
    if (cop_match_tuple(message, cop_as("EXIT"), &pid, &reason)) {
        uint32_t i = find(d, pid.t);
        return i == NONE || at(d, i)->state != KID_RUNNING ? cop_noreply()
                                                           : kid_ended(ctx, d, i, reason);
    }
    if (cop_match_tuple(message, cop_as("$gen_restart"), &pid)) {
        uint32_t i = find(d, pid.t);
        return i == NONE || at(d, i)->state != KID_RESTARTING || !cop_is_none(at(d, i)->timer.t)
                   ? cop_noreply()
                   : restart(ctx, d, i, false);
    }
    if (cop_match_tuple(message, cop_a(timeout), &timer, &what)
        && cop_match_tuple(what, cop_as("$gen_restart"), &pid)) {
        uint32_t i = find(d, pid.t);
        if (i == NONE || at(d, i)->timer.t.w != timer.t.w)
            return cop_noreply();
        at(d, i)->timer = (cop_ref){ COP_NONE };
        start_again(ctx, d, i);
        return cop_noreply();
    }
    sup_report_message(ctx, true, message);
    return cop_noreply();
}

static cop_next dyn_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    return cop_noreply(); /* observed: casts are ignored, silently */
}

static cop_term do_terminate_child(cop_ctx *ctx, struct dyn *d, cop_term pid) {
    uint32_t i = cop_is_pid(pid) ? find(d, pid) : NONE;
    if (i == NONE)
        return cop_tuple(ctx, cop_a(error), cop_a(not_found));
    note(ctx, d, "terminated", pid, cop_a(nil).t);
    if (at(d, i)->state == KID_RUNNING)
        stop_one(ctx, d, i);
    forget(ctx, d, i);
    return cop_a(ok).t;
}

static cop_term which_children(cop_ctx *ctx, const struct dyn *d) {
    cop_term list = COP_NIL;
    for (uint32_t i = d->t->used; i > 0; i--) {
        const struct kid *kid = at(d, i - 1);
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

static cop_term count_children(cop_ctx *ctx, const struct dyn *d) {
    const struct tables *t = d->t;
    return cop_list(ctx, cop_tuple(ctx, cop_a(specs), t->count),
                    cop_tuple(ctx, cop_a(active), t->count - t->restarting),
                    cop_tuple(ctx, cop_a(supervisors), t->supervisors),
                    cop_tuple(ctx, cop_a(workers), t->count - t->supervisors));
}

/* {:start_task, args, restart, shutdown}, as of a Task.Supervisor: nil stands for its defaults. */
static bool take_task(cop_term request, struct sup_spec *out) {
    cop_term restart, shutdown;
    *out = (struct sup_spec){ .id = cop_a(undefined).t,
                              .m = cop_as("Elixir.Task.Supervised"),
                              .f = cop_a(start_link),
                              .restart = COP_TEMPORARY,
                              .shutdown = 5000 };
    return cop_match_tuple(request, cop_a(start_task), &out->args, &restart, &shutdown)
           && cop_is_proper_list(out->args)
           && (cop_match(restart, cop_a(nil)) || sup_restart_from(restart, &out->restart))
           && (cop_match(shutdown, cop_a(nil)) || sup_shutdown_from(shutdown, &out->shutdown));
}

static cop_next dyn_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct dyn *d = state;
    struct sup_spec spec;
    cop_term x, c_start = COP_NONE, backoff = cop_a(nil).t;
    if ((cop_match_tuple(request, cop_a(start_child), &x)
         || cop_match_tuple(request, cop_a(start_child), &x, &c_start, &backoff))
        && take_wire(x, c_start, backoff, &spec))
        return cop_reply(ctx, do_start_child(ctx, d, &spec));
    if (take_task(request, &spec)) {
        spec.modules = cop_list(ctx, spec.m);
        return cop_reply(ctx, do_start_child(ctx, d, &spec));
    }
    if (cop_match_tuple(request, cop_a(terminate_child), &x))
        return cop_reply(ctx, do_terminate_child(ctx, d, x));
    if (cop_match(request, cop_a(which_children)))
        return cop_reply(ctx, which_children(ctx, d));
    if (cop_match(request, cop_a(count_children)))
        return cop_reply(ctx, count_children(ctx, d));
    cop_error(ctx, cop_a(function_clause));
}

static cop_term kid_term(cop_ctx *ctx, const struct kid *kid) {
    const struct sup_form *form = kid->form;
    cop_term term =
        cop_tuple(ctx, sup_mfa(ctx, form, sup_args(ctx, kid->args)),
                  sup_restart_atom(form->restart), sup_shutdown_term(ctx, form->shutdown),
                  sup_type_atom(form->type), cop_saved_load(ctx, form->modules));
    return kid->state == KID_RUNNING ? term : cop_tuple(ctx, cop_a(restarting), term);
}

/* Elixir's struct. */
static cop_term dyn_state_to_term(cop_ctx *ctx, const void *state) {
    const struct dyn *d = state;
    cop_term children = cop_map(ctx);
    for (uint32_t i = 0; i < d->t->used; i++)
        if (at(d, i)->state != KID_FREE)
            children = cop_map_put(ctx, children, at(d, i)->pid.t, kid_term(ctx, at(d, i)));
    cop_term more = cop_map(ctx, cop_a(children), children, cop_a(restarts),
                            sup_window_term(ctx, &d->t->window));
    cop_term map = cop_map(
        ctx, cop_as("__struct__"), cop_as("Elixir.DynamicSupervisor"), cop_a(args),
        cop_saved_load(ctx, d->t->args), cop_a(extra_arguments), extra_term(ctx, d), cop_a(mod),
        d->module_name, cop_a(name), sup_shown_name(ctx, d->name, d->module_name), cop_a(strategy),
        cop_a(one_for_one), cop_a(max_children),
        d->max_children == INT64_MAX ? cop_a(infinity).t : cop_of(ctx, d->max_children),
        cop_a(max_restarts), d->max_restarts, cop_a(max_seconds), d->max_seconds);
    return cop_map_merge(ctx, map, more);
}

static const cop_gen_server dynamic_server = {
    .name = "supervisor",
    .state_size = sizeof(struct dyn),
    .state_terms = 1,
    .init = dyn_init,
    .handle_call = dyn_handle_call,
    .handle_cast = dyn_handle_cast,
    .handle_info = dyn_handle_info,
    .terminate = dyn_terminate,
    .state_to_term = dyn_state_to_term,
};

cop_started cop_dynamic_supervisor_start_link_module(cop_ctx *ctx, const cop_supervisor *module,
                                                     cop_term arg, const cop_start_opts *opts) {
    char call[SUP_CALL];
    cop_start_opts start = { 0 };
    if (opts != NULL)
        start = *opts;
    start.initial_call = sup_initial_call(call, module);
    return cop_gen_server_start_link(ctx, &dynamic_server, sup_pack(ctx, module, arg, &start),
                                     &start);
}
