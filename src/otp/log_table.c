/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers, as every process that logs sees them: a table of 16 places that are never moved, whose
 * words are read atomically, one by one. So an event finds its handlers without a lock, and without a
 * process in between.
 *
 *     place: id, level, limit, filters, two lives { pid, queued }, dropped
 *
 * A handler's process counts down `queued` for each event that it takes; who logs counts up, and passes
 * over a handler that has reached its limit. A process that is started again is the other of the two
 * lives: whoever was about to send to the one before counts there, where it does no harm.
 *
 * Configurations are shared by count, under the mutex. Filters are not counted, because a process may end
 * anywhere in the midst of one: lists that are replaced are kept until the next logger starts, when nobody
 * of the node before is left.
 *
 * Invariants
 *   1. id is the last word to be set in a place, and the first to be cleared.
 *   2. Only the logger's server writes to places, except for `queued`, `dropped` and `removed`.
 * Threads: any; the mutex is held for a few words, never while anything waits or may raise.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "log_format.h"

struct log_handler log_handlers[LOG_HANDLERS];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t placed;
static struct log_filters *retired, *primary;

/* ---- configurations ------------------------------------------------------------------------------------------ */

static char *copied(const char *text) { return text == NULL ? NULL : strdup(text); }

static void config_free(struct log_config *config) {
    cop_saved_forget(config->arg);
    free((char *)(uintptr_t)config->opts.formatter.pattern);
    free((char *)(uintptr_t)config->opts.formatter.metadata);
    free((char *)(uintptr_t)config->opts.file);
    free((cop_logger_filter *)(uintptr_t)config->opts.filters);
    free(config);
}

struct log_config *log_config_new(const cop_logger_handler_opts *opts) {
    if (cop_is_none(opts->id.t) || opts->filter_count > LOG_FILTERS
        || !log_pattern_is_good(opts->formatter.pattern))
        return NULL;
    struct log_config *config = calloc(1, sizeof *config);
    if (config == NULL)
        return NULL;
    config->refs = 1;
    config->opts = *opts;
    config->opts.formatter.pattern = copied(opts->formatter.pattern);
    config->opts.formatter.metadata = copied(opts->formatter.metadata);
    config->opts.file = copied(opts->file);
    config->opts.filters = NULL;
    if (opts->filter_count > 0) {
        cop_logger_filter *filters = calloc(opts->filter_count, sizeof *filters);
        if (filters != NULL)
            memcpy(filters, opts->filters, opts->filter_count * sizeof *filters);
        else
            config->opts.filter_count = 0;
        config->opts.filters = filters;
    }
    if (!cop_is_none(opts->arg) && !cop_is_immediate(opts->arg))
        config->arg = cop_term_save(opts->arg);
    return config;
}

struct log_config *log_config_ref(struct log_config *config) {
    __atomic_fetch_add(&config->refs, 1, __ATOMIC_RELAXED);
    return config;
}

void log_config_release(void *object) {
    struct log_config *config = object;
    if (config != NULL && __atomic_fetch_sub(&config->refs, 1, __ATOMIC_ACQ_REL) == 1)
        config_free(config);
}

/* ---- filters ------------------------------------------------------------------------------------------------- */

static void put_filter(struct log_filters *filters, const cop_logger_filter *filter) {
    size_t at = filters->count++;
    filters->list[at] = *filter;
    strncpy(filters->ids[at], filter->id != NULL ? filter->id : "", sizeof filters->ids[at] - 1);
    filters->list[at].id = filters->ids[at];
}

static struct log_filters *filters_of(const cop_logger_handler_opts *opts) {
    struct log_filters *filters =
        opts->filter_count > 0 || opts->filter_default_stop ? calloc(1, sizeof *filters) : NULL;
    if (filters == NULL)
        return NULL;
    filters->default_stop = opts->filter_default_stop;
    for (size_t i = 0; i < opts->filter_count; i++)
        put_filter(filters, &opts->filters[i]);
    return filters;
}

/* Under the mutex. */
static void retire(struct log_filters *filters) {
    if (filters == NULL)
        return;
    filters->next = retired;
    retired = filters;
}

static void replace_filters(struct log_filters **at, struct log_filters *filters) {
    retire(*at);
    __atomic_store_n(at, filters, __ATOMIC_RELEASE);
}

struct log_filters *log_primary_filters(void) {
    return __atomic_load_n(&primary, __ATOMIC_ACQUIRE);
}

/* The primary ones, without one of them: NULL when nothing is left. Under the mutex. */
static struct log_filters *primary_without(const char *id, bool *found) {
    struct log_filters *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return NULL;
    *found = false;
    for (size_t i = 0; primary != NULL && i < primary->count; i++) {
        bool gone = (__atomic_load_n(&primary->removed, __ATOMIC_RELAXED) >> i & 1) != 0;
        if (gone)
            continue;
        if (strcmp(primary->ids[i], id) == 0)
            *found = true;
        else
            put_filter(fresh, &primary->list[i]);
    }
    return fresh;
}

bool cop_logger_add_primary_filter(const cop_logger_filter *filter) {
    bool found = true;
    pthread_mutex_lock(&mutex);
    struct log_filters *fresh = primary_without(filter->id, &found);
    bool ok = fresh != NULL && !found && fresh->count < LOG_FILTERS;
    if (ok) {
        put_filter(fresh, filter);
        replace_filters(&primary, fresh);
    } else {
        free(fresh);
    }
    pthread_mutex_unlock(&mutex);
    return ok;
}

bool cop_logger_remove_primary_filter(const char *id) {
    bool found = false;
    pthread_mutex_lock(&mutex);
    struct log_filters *fresh = primary_without(id, &found);
    if (found)
        replace_filters(&primary, fresh);
    else
        free(fresh);
    pthread_mutex_unlock(&mutex);
    return found;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

int log_find(cop_term id) {
    for (int i = 0; i < LOG_HANDLERS; i++)
        if (__atomic_load_n(&log_handlers[i].id, __ATOMIC_ACQUIRE) == id.w)
            return i;
    return -1;
}

/* Under the mutex. */
static void configure(struct log_handler *h, struct log_config *config) {
    const cop_logger_handler_opts *o = &config->opts;
    __atomic_store_n(&h->level, o->level == 0 ? COP_LEVEL_DEBUG : (int)o->level, __ATOMIC_RELAXED);
    __atomic_store_n(&h->sasl, o->sasl_reports, __ATOMIC_RELAXED);
    __atomic_store_n(&h->limit, o->queue_limit == 0 ? 1000 : (int64_t)o->queue_limit,
                     __ATOMIC_RELAXED);
    replace_filters(&h->filters, filters_of(o));
    h->config = config;
}

int log_place(struct log_config *config) {
    int at = log_find((cop_term){ 0 });
    if (at < 0)
        return at;
    struct log_handler *h = &log_handlers[at];
    pthread_mutex_lock(&mutex);
    configure(h, config);
    h->since = placed++;
    __atomic_store_n(&h->dropped, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&mutex);
    __atomic_store_n(&h->id, config->opts.id.t.w, __ATOMIC_RELEASE);
    return at;
}

void log_reconfigure(int at, struct log_config *config) {
    struct log_handler *h = &log_handlers[at];
    pthread_mutex_lock(&mutex);
    struct log_config *before = h->config;
    configure(h, config);
    pthread_mutex_unlock(&mutex);
    log_config_release(before);
}

/* No event goes to it any more; how many it has not taken. */
static int64_t end_life(struct log_handler *h) {
    struct log_life *life = &h->lives[__atomic_load_n(&h->current, __ATOMIC_RELAXED) & 1];
    if (__atomic_exchange_n(&life->pid, 0, __ATOMIC_ACQ_REL) == 0)
        return 0;
    return __atomic_load_n(&life->queued, __ATOMIC_RELAXED);
}

void log_unplace(int at) {
    struct log_handler *h = &log_handlers[at];
    __atomic_store_n(&h->id, 0, __ATOMIC_RELEASE);
    end_life(h);
    pthread_mutex_lock(&mutex);
    struct log_config *before = h->config;
    h->config = NULL;
    replace_filters(&h->filters, NULL);
    pthread_mutex_unlock(&mutex);
    log_config_release(before);
}

uint32_t log_born(int at, cop_pid pid) {
    struct log_handler *h = &log_handlers[at];
    uint32_t before = __atomic_load_n(&h->current, __ATOMIC_RELAXED) & 1, now = !before;
    __atomic_store_n(&h->lives[now].queued, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&h->lives[now].pid, pid.t.w, __ATOMIC_RELEASE);
    __atomic_store_n(&h->current, now, __ATOMIC_RELEASE);
    __atomic_store_n(&h->lives[before].pid, 0, __ATOMIC_RELEASE);
    return now;
}

void log_died(int at) {
    int64_t lost = end_life(&log_handlers[at]);
    if (lost > 0)
        __atomic_fetch_add(&log_handlers[at].dropped, (uint64_t)lost, __ATOMIC_RELAXED);
}

struct log_config *log_config_of(int at) {
    pthread_mutex_lock(&mutex);
    struct log_config *config = log_handlers[at].config;
    if (config != NULL)
        log_config_ref(config);
    pthread_mutex_unlock(&mutex);
    return config;
}

cop_term log_ids(cop_ctx *ctx) {
    uint64_t ids[LOG_HANDLERS], since[LOG_HANDLERS];
    size_t n = 0;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < LOG_HANDLERS; i++) {
        const struct log_handler *h = &log_handlers[i];
        uint64_t id = __atomic_load_n(&h->id, __ATOMIC_ACQUIRE);
        size_t at = n;
        if (id == 0)
            continue;
        for (; at > 0 && since[at - 1] > h->since; at--) {
            since[at] = since[at - 1];
            ids[at] = ids[at - 1];
        }
        since[at] = h->since;
        ids[at] = id;
        n++;
    }
    pthread_mutex_unlock(&mutex);
    cop_term list = COP_NIL;
    while (n-- > 0)
        list = cop_cons(ctx, ((cop_term){ ids[n] }), list);
    return list;
}

void log_clear(bool all) {
    for (int i = 0; i < LOG_HANDLERS; i++)
        log_unplace(i);
    pthread_mutex_lock(&mutex);
    replace_filters(&primary, NULL);
    while (all && retired != NULL) {
        struct log_filters *next = retired->next;
        free(retired);
        retired = next;
    }
    pthread_mutex_unlock(&mutex);
}
