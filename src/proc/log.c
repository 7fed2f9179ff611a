/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log events at the bottom: which levels anybody wants, and who takes an event.
 *
 *     cop_log            --sink--------------> the logger's dispatch, in the process that logs
 *     cop__log_from_end  --message {:log, ..}-> :logger, the logger's server, which dispatches
 *     no logger yet, or not any more ---------> standard error, errors and warnings only
 *
 * An event of a process that is ending, or found above its heap's limit, goes by message, because filters
 * and formatters, which are user code, cannot run there. Of those messages at most 1000 wait: the server
 * tells of each that it has taken. Whoever else is registered as :logger gets all events as messages,
 * which is how tests capture them.
 *
 * The gate is one word that every disabled level is stopped at. It may let too much through, never too
 * little.
 *
 * Threads: any; all that is shared is words, read and written atomically. The sink is set before its
 * owner, and taken away after it.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "proc/proc.h"

enum { MOST_WAITING = 1000 };

int cop__log_gate = COP_LEVEL_DEBUG;

static struct { int primary, finest; } levels = { COP_LEVEL_DEBUG, COP_LEVEL_NONE };

static struct {
    cop_log_sink sink;
    uint64_t owner;
    int64_t waiting;
    uint64_t dropped;
    bool silent; /* no_logger: nothing goes to standard error either */
} taker;

static const char *const names[] = { "emergency", "alert",  "critical", "error",
                                     "warning",   "notice", "info",     "debug" };

const char *cop_level_name(cop_level level) {
    return level < 0 ? "none" : names[(unsigned)level & 7];
}

bool cop_level_from_name(const char *name, cop_level *out) {
    if (name == NULL)
        return false;
    for (int i = 0; i < 8; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (cop_level)i;
            return true;
        }
    *out = strcmp(name, "all") == 0 ? COP_LEVEL_ALL : COP_LEVEL_NONE;
    return *out == COP_LEVEL_ALL || strcmp(name, "none") == 0;
}

/* Again when somebody else has set one meanwhile: the last store is made of what both were then. */
static void set_gate(void) {
    int level, finest;
    do {
        level = __atomic_load_n(&levels.primary, __ATOMIC_SEQ_CST);
        finest = __atomic_load_n(&levels.finest, __ATOMIC_SEQ_CST);
        __atomic_store_n(&cop__log_gate, level > finest ? level : finest, __ATOMIC_SEQ_CST);
    } while (level != __atomic_load_n(&levels.primary, __ATOMIC_SEQ_CST)
             || finest != __atomic_load_n(&levels.finest, __ATOMIC_SEQ_CST));
}

void cop_log_set_level(cop_level level) {
    __atomic_store_n(&levels.primary, (int)level, __ATOMIC_SEQ_CST);
    set_gate();
}

cop_level cop_log_level(void) {
    return (cop_level)__atomic_load_n(&levels.primary, __ATOMIC_RELAXED);
}

void cop_log_set_finest(cop_level level) {
    __atomic_store_n(&levels.finest, (int)level, __ATOMIC_SEQ_CST);
    set_gate();
}

int cop__log_init(const cop_node_opts *opts) {
    cop_level level = COP_LEVEL_DEBUG;
    const char *name = opts->log_level != NULL ? opts->log_level : getenv("COP_LOG_LEVEL");
    if (name != NULL && *name != '\0' && !cop_level_from_name(name, &level))
        return -EINVAL;
    cop_log_set_finest(COP_LEVEL_NONE);
    cop_log_set_level(level);
    memset(&taker, 0, sizeof taker);
    taker.silent = opts->no_logger;
    return 0;
}

void cop_log_set_sink(cop_log_sink sink, cop_pid owner) {
    if (sink == NULL)
        __atomic_store_n(&taker.owner, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&taker.sink, sink, __ATOMIC_SEQ_CST);
    if (sink != NULL)
        __atomic_store_n(&taker.owner, owner.t.w, __ATOMIC_SEQ_CST);
    __atomic_store_n(&taker.waiting, 0, __ATOMIC_SEQ_CST);
}

uint64_t cop_log_taken(void) {
    int64_t waiting = __atomic_load_n(&taker.waiting, __ATOMIC_RELAXED);
    while (waiting > 0
           && !__atomic_compare_exchange_n(&taker.waiting, &waiting, waiting - 1, false,
                                           __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return __atomic_exchange_n(&taker.dropped, 0, __ATOMIC_RELAXED);
}

/* ---- events ------------------------------------------------------------------------------------------------ */

static bool is_owner(cop_term named) {
    return named.w == __atomic_load_n(&taker.owner, __ATOMIC_ACQUIRE);
}

static cop_term put_missing(cop_ctx *ctx, cop_term meta, cop_atom key, cop_term value) {
    cop_term there;
    return cop_map_get(meta, key.t, &there) ? meta : cop_map_put(ctx, meta, key.t, value);
}

static cop_term completed(cop_ctx *ctx, cop_term metadata) {
    cop_term own = cop_process_get(ctx, cop_as("$logger_metadata$").t);
    cop_term meta = cop_is_map(metadata) ? metadata : cop_map(ctx);
    if (cop_is_map(own))
        meta = cop_map_merge(ctx, own, meta);
    meta = put_missing(ctx, meta, cop_a(pid), ctx->pid);
    meta = put_missing(ctx, meta, cop_a(gl), cop__leader_of(ctx));
    return put_missing(ctx, meta, cop_a(time), cop_of(ctx, cop_system_time_ns(ctx) / 1000));
}

/* Nobody takes it: one write, so that lines of two events do not mix. */
static void to_stderr(cop_level level, cop_term event) {
    char text[4096];
    if (taker.silent || level > COP_LEVEL_WARNING)
        return;
    size_t n = (size_t)snprintf(text, sizeof text, "\n[%s] ", cop_level_name(level));
    size_t more = cop_inspect_to(text + n, sizeof text - n - 1, event, NULL);
    n += more < sizeof text - n - 1 ? more : sizeof text - n - 2;
    text[n++] = '\n';
    if (write(STDERR_FILENO, text, n) < 0)
        return;
}

static cop_term message_of(cop_ctx *ctx, cop_level level, cop_term event, cop_term meta) {
    return cop_tuple(ctx, cop_a(log), cop_atom_new(cop_level_name(level)), event, meta);
}

void cop_log(cop_ctx *ctx, cop_level level, cop_term event, cop_term metadata) {
    if (!cop_log_is_enabled(level))
        return;
    cop_term named = cop_process_whereis(ctx, cop_a(logger));
    cop_log_sink sink = __atomic_load_n(&taker.sink, __ATOMIC_ACQUIRE);
    if (!cop_is_none(named) && (sink == NULL || !is_owner(named))) {
        cop_term meta = completed(ctx, metadata);
        cop__send(ctx, named, message_of(ctx, level, event, meta));
    } else if (sink != NULL) {
        sink(ctx, level, event, completed(ctx, metadata));
    } else {
        to_stderr(level, event);
    }
}

bool cop__log_is_heard(cop_term *logger) {
    *logger = cop__name_lookup(cop_a(logger).t);
    return cop_log_is_enabled(COP_LEVEL_ERROR) && (!cop_is_none(*logger) || !taker.silent);
}

/* Counts a message to the logger's server; false when it has too many. */
static bool admitted(cop_term logger) {
    if (!is_owner(logger))
        return true;
    if (__atomic_fetch_add(&taker.waiting, 1, __ATOMIC_RELAXED) < MOST_WAITING)
        return true;
    __atomic_fetch_sub(&taker.waiting, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&taker.dropped, 1, __ATOMIC_RELAXED);
    return false;
}

void cop__log_from_end(cop_ctx *p, cop_term logger, cop_term event, cop_term metadata) {
    if (cop_is_none(logger))
        to_stderr(COP_LEVEL_ERROR, event);
    else if (admitted(logger))
        cop__send(p, logger, message_of(p, COP_LEVEL_ERROR, event, completed(p, metadata)));
}

void cop__log_aside(cop_ctx *p, cop_ctx *scratch, cop_term logger, cop_term event,
                    cop_term metadata) {
    if (cop_is_none(logger)) {
        to_stderr(COP_LEVEL_ERROR, event);
    } else if (admitted(logger)) {
        cop_term message = message_of(scratch, COP_LEVEL_ERROR, event, metadata);
        cop__deliver(cop__worker_self(), cop__env_new(SIG_MESSAGE, logger, p->pid, message));
    }
}
