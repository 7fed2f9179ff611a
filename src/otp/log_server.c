/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logger's processes: who starts handlers, watches them, and takes what the run-time tells.
 *
 *     root (cop_logger_start) -- :logger_sup -+- :logger_handlers, a DynamicSupervisor
 *                                             |      +- :default, and the other handlers
 *                                             +- the server, registered as :logger
 *
 * The server adds and removes handlers, one request after the other, and starts one again that has crashed,
 * up to 3 times in 5 seconds; then it is removed. So a handler that cannot live takes nobody with it: for
 * its supervisor it is temporary. Events that ending processes leave to the server by message are
 * dispatched by it. Everything that must outlive the server stands in the table: one that is started again
 * finds the handlers there.
 *
 * The name :logger is taken last, by the root's request: whoever sees it may log.
 *
 * At the node's stop everything that was accepted is written: the host attaches itself, closes the logger,
 * and waits for the handlers, at most 5 s. From then on who logs writes by itself.
 *
 * Threads: the processes' own; at_stop: the host's.
 */
#include <coppice/dynamic_supervisor.h>
#include <coppice/node.h>
#include <coppice/supervisor.h>
#include <pthread.h>
#include <stdlib.h>

#include "log.h"
#include "sys.h"

enum { RESTARTS = 3, RESTARTS_MS = 5000, FLUSH_MS = 5000 };

struct watch {
    cop_ref ref;                  /* COP_NONE inside: not watched */
    int64_t started_ms[RESTARTS]; /* the latest starts again */
    unsigned next;
};
struct server {
    struct watch watches[LOG_HANDLERS];
};

static uint64_t server_pid;             /* atomic */
static struct log_config *next_default; /* of the logger that starts next; under the mutex */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

uint64_t log_server_pid(void) { return __atomic_load_n(&server_pid, __ATOMIC_ACQUIRE); }

static const cop_resource_type config_type = { .name = "log_config",
                                               .destroy = log_config_release };

/* ---- the server: handlers -------------------------------------------------------------------------------------- */

static bool start_handler(cop_ctx *ctx, struct server *s, int at, cop_term *reason) {
    cop_child_spec spec = {
        .id = "handler",
        .start = log_handler_start,
        .arg = cop_of(ctx, at),
        .module = "Logger.Handler",
        .restart = COP_TEMPORARY,
    };
    cop_pid pid;
    cop_term result = cop_dynamic_supervisor_start_child(ctx, cop_a(logger_handlers), &spec);
    if (!cop_match_tuple(result, cop_a(ok), &pid)) {
        if (!cop_match_tuple(result, cop_a(error), reason))
            *reason = result;
        return false;
    }
    s->watches[at].ref = cop_process_monitor(ctx, pid);
    return true;
}

static cop_term error(cop_ctx *ctx, cop_atom what, cop_term about) {
    return cop_tuple(ctx, cop_a(error), cop_tuple(ctx, what, about));
}

/* Takes over the reference. */
static cop_term add(cop_ctx *ctx, struct server *s, struct log_config *config) {
    cop_term id = config->opts.id.t, reason = COP_NONE;
    if (log_find(id) >= 0) {
        log_config_release(config);
        return error(ctx, cop_a(already_exist), id);
    }
    int at = log_place(config);
    if (at < 0) {
        log_config_release(config);
        return error(ctx, cop_a(handler_not_added), cop_a(system_limit).t);
    }
    s->watches[at] = (struct watch){ 0 };
    if (start_handler(ctx, s, at, &reason))
        return cop_a(ok).t;
    log_unplace(at);
    return error(ctx, cop_a(handler_not_added), reason);
}

static cop_pid pid_of(int at) {
    const struct log_handler *h = &log_handlers[at];
    uint32_t current = __atomic_load_n(&h->current, __ATOMIC_ACQUIRE) & 1;
    return (cop_pid){ { __atomic_load_n(&h->lives[current].pid, __ATOMIC_ACQUIRE) } };
}

/* No event comes any more once the id is gone; what has come is written before it ends. */
static cop_term remove_at(cop_ctx *ctx, struct server *s, int at) {
    cop_pid pid = pid_of(at);
    if (!cop_is_none(s->watches[at].ref.t))
        cop_process_demonitor(ctx, s->watches[at].ref, COP_DEMONITOR_FLUSH);
    s->watches[at] = (struct watch){ 0 };
    log_unplace(at);
    if (!cop_is_none(pid.t)) {
        cop_gen_server_try_call(ctx, pid, cop_a(flush), FLUSH_MS);
        cop_dynamic_supervisor_terminate_child(ctx, cop_a(logger_handlers), pid);
    }
    return cop_a(ok).t;
}

static cop_term reconfigure(cop_ctx *ctx, int at, struct log_config *config) {
    struct log_config *before = log_config_of(at);
    if (before != NULL)
        config->opts.module = before->opts.module;
    log_config_release(before);
    log_reconfigure(at, log_config_ref(config));
    cop_pid pid = pid_of(at);
    if (!cop_is_none(pid.t))
        cop_gen_server_try_call(ctx, pid, cop_a(config), FLUSH_MS);
    return cop_a(ok).t;
}

/* ---- the server: crashes ---------------------------------------------------------------------------------------------- */

static void tell(cop_ctx *ctx, const char *what, cop_term id, cop_term reason) {
    cop_term list = cop_list(ctx, cop_tuple(ctx, cop_a(handler), id),
                             cop_tuple(ctx, cop_a(reason), sys_bounded(ctx, reason, 1000)));
    log_own_event(ctx, COP_LEVEL_ERROR, what, list);
}

static void on_down(cop_ctx *ctx, struct server *s, int at, cop_term reason) {
    struct watch *w = &s->watches[at];
    cop_term id = { __atomic_load_n(&log_handlers[at].id, __ATOMIC_ACQUIRE) };
    int64_t now = cop_monotonic_ms(ctx);
    w->ref = (cop_ref){ COP_NONE };
    log_died(at);
    if (cop_reason_is_normal(reason)) { /* somebody ended it */
        log_unplace(at);
        return;
    }
    int64_t *oldest = &w->started_ms[w->next++ % RESTARTS];
    bool too_often = *oldest != 0 && now - *oldest < RESTARTS_MS;
    *oldest = now;
    if (!too_often && start_handler(ctx, s, at, &reason)) {
        tell(ctx, "restarted", id, reason);
        return;
    }
    log_unplace(at);
    tell(ctx, "removed_failing_handler", id, reason);
}

static int watched_at(const struct server *s, cop_ref ref) {
    for (int i = 0; i < LOG_HANDLERS; i++)
        if (s->watches[i].ref.t.w == ref.t.w)
            return i;
    return -1;
}

/* ---- the server: callbacks ----------------------------------------------------------------------------------------------- */

/* From here on it is :logger. */
static bool open_up(cop_ctx *ctx) {
    if (!cop_process_try_register(ctx, cop_self(ctx), cop_a(logger)))
        return false;
    __atomic_store_n(&server_pid, cop_self(ctx).t.w, __ATOMIC_RELEASE);
    cop_log_set_sink(log_dispatch, cop_self(ctx));
    __atomic_store_n(&log_state, LOG_ON, __ATOMIC_RELEASE);
    return true;
}

/* After a crash of its own, or of the handlers' supervisor: what stands in the table goes on, or starts. */
static bool adopt(cop_ctx *ctx, struct server *s) {
    for (int i = 0; i < LOG_HANDLERS; i++) {
        cop_term reason, id = { __atomic_load_n(&log_handlers[i].id, __ATOMIC_ACQUIRE) };
        cop_pid pid = pid_of(i);
        if (cop_is_none(id))
            continue;
        if (!cop_is_none(pid.t) && cop_process_is_alive(ctx, pid)) {
            s->watches[i].ref = cop_process_monitor(ctx, pid);
            continue;
        }
        log_died(i);
        if (!start_handler(ctx, s, i, &reason))
            log_unplace(i);
    }
    return open_up(ctx);
}

static cop_init server_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct server *s = state;
    if (__atomic_load_n(&log_state, __ATOMIC_ACQUIRE) == LOG_ON)
        return adopt(ctx, s) ? cop_init_ok() : cop_init_stop(cop_a(already_started).t);
    pthread_mutex_lock(&mutex);
    struct log_config *config = next_default;
    next_default = NULL;
    pthread_mutex_unlock(&mutex);
    if (config == NULL)
        return cop_init_ok();
    cop_term result = add(ctx, s, config);
    return cop_match(result, cop_a(ok)) ? cop_init_ok() : cop_init_stop(result);
}

static struct log_config *config_in(cop_term term) {
    void *object = NULL;
    cop_get_resource(term, &config_type, &object);
    return object;
}

static cop_term answer(cop_ctx *ctx, struct server *s, cop_term request) {
    cop_term what;
    struct log_config *config;
    if (cop_match(request, cop_a(open)))
        return cop_bool(open_up(ctx)).t;
    if (cop_match_tuple(request, cop_a(add), &what) && (config = config_in(what)) != NULL)
        return add(ctx, s, log_config_ref(config));
    if (cop_match_tuple(request, cop_a(remove), &what)) {
        int at = log_find(what);
        return at >= 0 ? remove_at(ctx, s, at) : error(ctx, cop_a(not_found), what);
    }
    if (cop_match_tuple(request, cop_a(config), &what) && (config = config_in(what)) != NULL) {
        int at = log_find(config->opts.id.t);
        return at >= 0 ? reconfigure(ctx, at, config)
                       : error(ctx, cop_a(not_found), config->opts.id.t);
    }
    return cop_a(ok).t; /* a flush: what came before it is dispatched */
}

static cop_next server_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    return cop_reply(ctx, answer(ctx, state, request));
}

static void tell_of_lost(cop_ctx *ctx, uint64_t count) {
    if (count == 0)
        return;
    cop_term list = cop_list(ctx, cop_tuple(ctx, cop_a(handler), cop_a(logger)),
                             cop_tuple(ctx, cop_a(count), count));
    log_own_event(ctx, COP_LEVEL_WARNING, "dropped", list);
}

static cop_next server_info(cop_ctx *ctx, void *state, cop_term message) {
    struct server *s = state;
    cop_term event, metadata, object, reason;
    cop_atom name;
    cop_level level;
    cop_ref ref;
    if (cop_match_tuple(message, cop_a(log), &name, &event, &metadata)
        && cop_level_from_name(cop_atom_name(name, NULL), &level) && cop_is_map(metadata)) {
        tell_of_lost(ctx, cop_log_taken());
        log_dispatch(ctx, level, event, metadata);
    } else if (cop_match_tuple(message, cop_as("DOWN"), &ref, cop_a(process), &object, &reason)) {
        int at = watched_at(s, ref);
        if (at >= 0)
            on_down(ctx, s, at, reason);
    }
    return cop_noreply();
}

static cop_next server_cast(cop_ctx *ctx, void *state, cop_term request) { return cop_noreply(); }

static cop_term server_state(cop_ctx *ctx, const void *state) { return log_ids(ctx); }

static const cop_gen_server server_module = {
    .name = "Logger",
    .state_size = sizeof(struct server),
    .init = server_init,
    .handle_call = server_call,
    .handle_cast = server_cast,
    .handle_info = server_info,
    .state_to_term = server_state,
};

/* ---- flushing ----------------------------------------------------------------------------------------------------------- */

static int64_t left_ms(cop_ctx *ctx, int64_t until_ms) {
    int64_t left = until_ms - cop_monotonic_ms(ctx);
    return left > 0 ? left : COP_ZERO;
}

static void flush_until(cop_ctx *ctx, int64_t until_ms) {
    cop_request_id requests[LOG_HANDLERS];
    size_t n = 0;
    cop_term server = { log_server_pid() };
    if (cop_is_none(server) || __atomic_load_n(&log_state, __ATOMIC_ACQUIRE) == LOG_OFF)
        return;
    /* What it has to hand on; it may also be waiting for a handler. */
    cop_gen_server_try_call(ctx, server, cop_a(flush), left_ms(ctx, until_ms));
    for (int i = 0; i < LOG_HANDLERS; i++) {
        cop_pid pid = pid_of(i);
        if (!cop_is_none(pid.t) && pid.t.w != cop_self(ctx).t.w)
            requests[n++] = cop_gen_server_send_request(ctx, pid, cop_a(flush));
    }
    for (size_t i = 0; i < n; i++)
        cop_gen_server_receive_response(ctx, requests[i], left_ms(ctx, until_ms));
}

void cop_logger_flush(cop_ctx *ctx) { flush_until(ctx, cop_monotonic_ms(ctx) + FLUSH_MS); }

/* ---- starting -------------------------------------------------------------------------------------------------------------- */

static cop_started start_handlers(cop_ctx *ctx, cop_term arg) {
    return cop_dynamic_supervisor_start_link(
        ctx, &(cop_dynamic_supervisor_opts){ .name = cop_a(logger_handlers) });
}

static cop_started start_server(cop_ctx *ctx, cop_term arg) {
    cop_spawn_opts spawn = { .priority = COP_PRIORITY_HIGH };
    return cop_gen_server_start_link(ctx, &server_module, arg,
                                     &(cop_start_opts){ .spawn = &spawn });
}

static const cop_child_spec children[] = {
    { .id = "logger_handlers", .start = start_handlers, .type = COP_SUPERVISOR },
    { .id = "logger", .start = start_server },
};

/* It is gone in the midst of its node's life: events go to standard error. */
static void closed(cop_ctx *ctx, void *arg) {
    int on = LOG_ON;
    if (!__atomic_compare_exchange_n(&log_state, &on, LOG_OFF, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    cop_log_set_sink(NULL, (cop_pid){ COP_NONE });
    __atomic_store_n(&server_pid, 0, __ATOMIC_RELEASE);
}

/* The supervisor's parent. */
static void root(cop_ctx *ctx, cop_term arg) {
    cop_supervisor_opts opts = { .strategy = COP_REST_FOR_ONE, .name = cop_a(logger_sup) };
    cop_term message, pid, reason;
    cop_process_trap_exit(ctx, true);
    cop_started sup = cop_supervisor_start_link(ctx, children, 2, &opts);
    if (sup.is != COP_STARTED)
        cop_exit(ctx, sup.reason);
    cop_term server = cop_supervisor_child(ctx, sup.pid, cop_a(logger));
    cop_called opened = cop_gen_server_try_call(ctx, server, cop_a(open), COP_INFINITY);
    if (!opened.ok || !cop_match(opened.value, cop_a(true)))
        cop_exit(ctx, cop_a(already_started));
    cop_defer(ctx, closed, NULL);
    while (cop_receive(ctx, COP_INFINITY, &message))
        if (cop_match_tuple(message, cop_as("EXIT"), &pid, &reason) && cop_match(pid, sup.pid))
            cop__exit(ctx, reason);
}

static void flush_safely(cop_ctx *ctx, int64_t until_ms) {
    if (ctx == NULL)
        return;
    COP_TRY(ctx) { flush_until(ctx, until_ms); }
    COP_CATCH(caught) { (void)caught; } /* nobody is there to be told */
}

/* Twice: what came before the logger was closed, and what came meanwhile. */
static void at_stop(void) {
    if (__atomic_load_n(&log_state, __ATOMIC_ACQUIRE) != LOG_ON)
        return;
    cop_ctx *ctx = cop_attach();
    int64_t until_ms = ctx != NULL ? cop_monotonic_ms(ctx) + FLUSH_MS : 0;
    flush_safely(ctx, until_ms);
    __atomic_store_n(&log_state, LOG_CLOSED, __ATOMIC_SEQ_CST);
    log_levels_clear();
    flush_safely(ctx, until_ms);
    if (ctx != NULL)
        cop_detach(ctx);
}

static cop_logger_handler_opts default_of(const cop_logger_opts *o) {
    cop_logger_handler_opts handler = { .level = o->level,
                                        .fd = o->fd,
                                        .sasl_reports = o->sasl_reports,
                                        .queue_limit = o->queue_limit,
                                        .formatter = o->formatter };
    if (o->handler != NULL)
        handler = *o->handler;
    if (cop_is_none(handler.id.t))
        handler.id = cop_a(default);
    if (o->no_time && handler.formatter.pattern == NULL)
        handler.formatter.pattern = "\n$metadata[$level] $message\n";
    return handler;
}

cop_pid cop_logger_start(const cop_logger_opts *opts) {
    static const cop_logger_opts defaults;
    const cop_logger_opts *o = opts != NULL ? opts : &defaults;
    cop_logger_handler_opts handler = default_of(o);
    struct log_config *config = o->no_handler ? NULL : log_config_new(&handler);
    int state = __atomic_load_n(&log_state, __ATOMIC_ACQUIRE);
    if (state != LOG_ON) {
        log_clear(state == LOG_CLOSED);
        __atomic_store_n(&server_pid, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&log_state, LOG_OFF, __ATOMIC_RELEASE);
    }
    pthread_mutex_lock(&mutex);
    log_config_release(next_default);
    next_default = config;
    pthread_mutex_unlock(&mutex);
    cop_node_at_stop(at_stop);
    return cop_node_spawn(root);
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------ */

static cop_term ask(cop_ctx *ctx, cop_term request) {
    cop_term server = { log_server_pid() };
    cop_called called = { 0 };
    if (__atomic_load_n(&log_state, __ATOMIC_ACQUIRE) == LOG_ON)
        called = cop_gen_server_try_call(ctx, server, request, COP_INFINITY);
    return called.ok ? called.value : cop_tuple(ctx, cop_a(error), cop_a(no_logger));
}

static cop_term ask_with(cop_ctx *ctx, cop_atom what, const cop_logger_handler_opts *opts) {
    struct log_config *config = log_config_new(opts);
    if (config == NULL)
        return cop_tuple(ctx, cop_a(error), cop_a(bad_config));
    return ask(ctx, cop_tuple(ctx, what, cop_resource(ctx, &config_type, config)));
}

cop_term cop_logger_add_handler(cop_ctx *ctx, const cop_logger_handler_opts *opts) {
    return ask_with(ctx, cop_a(add), opts);
}

cop_term cop_logger_set_handler_config(cop_ctx *ctx, const cop_logger_handler_opts *opts) {
    return ask_with(ctx, cop_a(config), opts);
}

cop_term cop_logger_remove_handler(cop_ctx *ctx, cop_atom id) {
    return ask(ctx, cop_tuple(ctx, cop_a(remove), id));
}

cop_term cop_logger_get_handler_ids(cop_ctx *ctx) { return log_ids(ctx); }

cop_term cop_logger_get_handler_config(cop_ctx *ctx, cop_atom id) {
    int at = log_find(id.t);
    struct log_config *config = at < 0 ? NULL : log_config_of(at);
    if (config == NULL)
        return error(ctx, cop_a(not_found), id.t);
    const cop_logger_handler *module =
        config->opts.module != NULL ? config->opts.module : &cop_logger_std;
    log_config_release(config);
    const struct log_handler *h = &log_handlers[at];
    uint32_t current = __atomic_load_n(&h->current, __ATOMIC_ACQUIRE) & 1;
    int64_t queued = __atomic_load_n(&h->lives[current].queued, __ATOMIC_RELAXED);
    cop_pid pid = pid_of(at);
    cop_level level = (cop_level)__atomic_load_n(&h->level, __ATOMIC_RELAXED);
    cop_term map =
        cop_map(ctx, cop_a(id), id, cop_a(module), sys_module_atom(module->name), cop_a(level),
                cop_atom_new(cop_level_name(level)), cop_a(pid),
                cop_is_none(pid.t) ? cop_a(nil).t : pid.t, cop_a(queued), queued > 0 ? queued : 0,
                cop_a(dropped), __atomic_load_n(&h->dropped, __ATOMIC_RELAXED));
    return cop_tuple(ctx, cop_a(ok), map);
}
