/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What supervisors say: reports, with OTP's labels, fields and metadata; and the timeline, which is
 * beyond OTP.
 *
 * Timelines stand in one list of the program, under a mutex, apart from the supervisors: whoever asks
 * gets an answer from a supervisor that is busy, and from one that is gone. Each is a ring of saved
 * terms; the last 64 whose supervisors have ended are kept.
 *
 *     timelines -> newest -> ... -> oldest        dead ones beyond 64: the oldest is freed
 *
 * A timeline belongs to its supervisor until sup_timeline_end; only that process adds to it.
 *
 * Threads: the mutex guards the list and every ring; it is held for copies of a few words, never
 * while anything waits or may raise.
 */
#include <coppice/logger.h>
#include <pthread.h>
#include <stdlib.h>

#include "log.h"
#include "sup.h"
#include "sys.h"

bool sup_is_logged(cop_ctx *ctx, cop_level level) { return log_is_heard(ctx, level, true); }

/* ---- reports ---------------------------------------------------------------------------------------------- */

static cop_term metadata(cop_ctx *ctx, const char *title, cop_atom tag, cop_atom type) {
    return cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp), cop_a(sasl)),
                   cop_a(logger_formatter), cop_map(ctx, cop_a(title), cop_charlist(ctx, title)),
                   cop_a(error_logger), cop_map(ctx, cop_a(tag), tag, cop_a(type), type));
}

static cop_term event(cop_ctx *ctx, cop_atom what, cop_term report) {
    return cop_tuple(
        ctx, cop_a(report),
        cop_map(ctx, cop_a(label), cop_tuple(ctx, cop_a(supervisor), what), cop_a(report), report));
}

void sup_report(cop_ctx *ctx, const char *what, cop_term supervisor, cop_term reason,
                cop_term offender) {
    cop_atom name = cop_atom_new(what);
    cop_term report =
        cop_list(ctx, cop_tuple(ctx, cop_a(supervisor), supervisor),
                 cop_tuple(ctx, cop_as("errorContext"), name),
                 cop_tuple(ctx, cop_a(reason), sys_bounded(ctx, reason, SYS_REPORT_WORDS)),
                 cop_tuple(ctx, cop_a(offender), sys_bounded_fields(ctx, offender)));
    cop_log(ctx, COP_LEVEL_ERROR, event(ctx, name, report),
            metadata(ctx, "SUPERVISOR REPORT", cop_a(error_report), cop_a(supervisor_report)));
}

void sup_report_progress(cop_ctx *ctx, cop_term supervisor, cop_term started) {
    cop_term report = cop_list(ctx, cop_tuple(ctx, cop_a(supervisor), supervisor),
                               cop_tuple(ctx, cop_a(started), sys_bounded_fields(ctx, started)));
    cop_log(ctx, COP_LEVEL_INFO, event(ctx, cop_a(progress), report),
            metadata(ctx, "PROGRESS REPORT", cop_a(info_report), cop_a(progress)));
}

void sup_report_message(cop_ctx *ctx, bool dynamic, cop_term message) {
    if (!log_is_heard(ctx, COP_LEVEL_ERROR, false))
        return;
    if (dynamic) {
        cop_term label = cop_tuple(ctx, cop_as("Elixir.DynamicSupervisor"), cop_a(unexpected_msg));
        cop_log(ctx, COP_LEVEL_ERROR,
                cop_tuple(ctx, cop_a(report),
                          cop_map(ctx, cop_a(label), label, cop_a(report),
                                  cop_map(ctx, cop_a(msg), message))),
                cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp), cop_a(elixir)),
                        cop_a(error_logger), cop_map(ctx, cop_a(tag), cop_a(error_msg))));
        return;
    }
    cop_term text = cop_list(
        ctx, "Supervisor received unexpected message: ", cop_inspect(ctx, message, NULL), "\n");
    cop_log(ctx, COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(string), cop_iodata_to_binary(ctx, text)),
            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp)), cop_a(error_logger),
                    cop_map(ctx, cop_a(tag), cop_a(error_msg))));
}

/* ---- the timeline ------------------------------------------------------------------------------------------- */

enum { DEAD_KEPT = 64, LONGEST = 100000 };

/* An event may be read by several while the ring drops it. */
struct happened {
    size_t refs; /* under the mutex */
    cop_saved *saved;
};

struct sup_timeline {
    struct sup_timeline *next;
    cop_term pid, name; /* immediate; name COP_NONE when there is none */
    bool dead;
    size_t limit, count, first;
    struct happened *events[]; /* a ring of `limit` */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sup_timeline *timelines;

struct sup_timeline *sup_timeline_new(cop_ctx *ctx, int64_t limit, cop_term name) {
    if (limit <= 0)
        return NULL;
    size_t n = limit > LONGEST ? LONGEST : (size_t)limit;
    struct sup_timeline *timeline =
        sup_alloc(ctx, sizeof *timeline + n * sizeof(struct happened *));
    timeline->pid = cop_self(ctx).t;
    timeline->name = !cop_is_none(name) && cop_is_atom(name) ? name : COP_NONE;
    timeline->limit = n;
    pthread_mutex_lock(&mutex);
    timeline->next = timelines;
    timelines = timeline;
    pthread_mutex_unlock(&mutex);
    return timeline;
}

/* Under the mutex. */
static void release(struct happened *h) {
    if (h == NULL || --h->refs > 0)
        return;
    cop_saved_forget(h->saved);
    free(h);
}

void sup_timeline_note(cop_ctx *ctx, struct sup_timeline *timeline, const char *what, cop_term id,
                       cop_term pid, cop_term reason) {
    if (timeline == NULL)
        return;
    cop_term term = cop_map(ctx, cop_a(at), cop_monotonic_ms(ctx), cop_a(event), cop_atom_new(what),
                            cop_a(id), id, cop_a(pid), pid, cop_a(reason), reason);
    struct happened *fresh = sup_alloc(ctx, sizeof *fresh), *old = NULL;
    *fresh = (struct happened){ 1, cop_term_save(term) };
    pthread_mutex_lock(&mutex);
    size_t at = (timeline->first + timeline->count) % timeline->limit;
    if (timeline->count == timeline->limit) {
        old = timeline->events[at];
        timeline->first = (timeline->first + 1) % timeline->limit;
    } else {
        timeline->count++;
    }
    timeline->events[at] = fresh;
    release(old);
    pthread_mutex_unlock(&mutex);
}

/* Under the mutex. */
static void timeline_free(struct sup_timeline *timeline) {
    for (size_t i = 0; i < timeline->count; i++)
        release(timeline->events[(timeline->first + i) % timeline->limit]);
    free(timeline);
}

void sup_timeline_end(struct sup_timeline *timeline) {
    if (timeline == NULL)
        return;
    struct sup_timeline **oldest = NULL, *gone = NULL;
    int dead = 0;
    pthread_mutex_lock(&mutex);
    timeline->dead = true;
    for (struct sup_timeline **at = &timelines; *at != NULL; at = &(*at)->next)
        if ((*at)->dead) {
            dead++;
            oldest = at;
        }
    if (dead > DEAD_KEPT) {
        gone = *oldest;
        *oldest = gone->next;
    }
    if (gone != NULL)
        timeline_free(gone);
    pthread_mutex_unlock(&mutex);
}

/* The newest of that pid or name; under the mutex. */
static const struct sup_timeline *timeline_of(cop_term who) {
    for (const struct sup_timeline *t = timelines; t != NULL; t = t->next)
        if (t->pid.w == who.w || (!cop_is_none(t->name) && t->name.w == who.w))
            return t;
    return NULL;
}

/* What a reader holds: released also when the reader ends while it builds its list. */
struct view {
    size_t count;
    struct happened *events[];
};

static void view_release(void *object) {
    struct view *view = object;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < view->count; i++)
        release(view->events[i]);
    pthread_mutex_unlock(&mutex);
    free(view);
}

static struct view *view_of(cop_term who) {
    pthread_mutex_lock(&mutex);
    const struct sup_timeline *t = timeline_of(who);
    size_t n = t == NULL ? 0 : t->count;
    struct view *view = malloc(sizeof *view + n * sizeof(struct happened *));
    if (view != NULL)
        view->count = n;
    for (size_t i = 0; view != NULL && i < n; i++) {
        view->events[i] = t->events[(t->first + i) % t->limit];
        view->events[i]->refs++;
    }
    pthread_mutex_unlock(&mutex);
    return view;
}

cop_term cop__supervisor_timeline(cop_ctx *ctx, cop_term supervisor) {
    struct view *view = view_of(supervisor);
    if (view == NULL)
        cop_error(ctx, cop_a(system_limit));
    cop_own(ctx, view, view_release);
    cop_term list = COP_NIL;
    for (size_t i = view->count; i > 0; i--)
        list = cop_cons(ctx, cop_saved_load(ctx, view->events[i - 1]->saved), list);
    cop_disown(ctx, view);
    view_release(view);
    return list;
}
