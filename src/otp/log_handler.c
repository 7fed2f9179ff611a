/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handler: a gen_server around a module's callbacks, which takes events in the order of its mailbox.
 *
 * It counts down what waits for it as it takes events, so that those who log know when it has enough. What
 * they dropped, and what it drops itself because of its limits (a burst, a flush), is told by one event
 * of its own when it is better: when the queue is down to a quarter, and the burst's window is over.
 *
 * Threads: its own process.
 */
#include <coppice/gen_server.h>
#include <stdlib.h>

#include "log.h"
#include "sys.h"

enum { START_MS = 5000 }; /* the logger's server waits meanwhile */

struct handler {
    int at;        /* its place in the table */
    uint32_t life; /* which of the two lives is this one */
    struct log_config *config;
    const cop_logger_handler *module;
    void *state;
    int64_t to_flush; /* so many events more are dropped unseen */
    int64_t window_ends_ms;
    size_t in_window;
    bool window_is_over_comes; /* a message to tell of it */
};

static struct log_handler *place_of(const struct handler *h) { return &log_handlers[h->at]; }
static const cop_logger_handler_opts *opts_of(const struct handler *h) { return &h->config->opts; }

static int64_t waiting(const struct handler *h) {
    return __atomic_load_n(&place_of(h)->lives[h->life].queued, __ATOMIC_RELAXED);
}

static void drop(struct handler *h) {
    __atomic_fetch_add(&place_of(h)->dropped, 1, __ATOMIC_RELAXED);
}

/* ---- starting ------------------------------------------------------------------------------------------------- */

static void use(cop_ctx *ctx, struct handler *h, struct log_config *config) {
    if (h->config != NULL && cop_disown(ctx, h->config))
        log_config_release(h->config);
    h->config = cop_own(ctx, config, log_config_release);
}

static cop_init handler_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct handler *h = state;
    int64_t at = -1;
    cop_get_i64(arg, &at);
    struct log_config *config = at < 0 ? NULL : log_config_of((int)at);
    if (config == NULL)
        return cop_init_stop(cop_a(badarg).t);
    h->at = (int)at;
    use(ctx, h, config);
    cop_process_trap_exit(ctx, true); /* to be told of the end, and write what waits */
    h->module = config->opts.module != NULL ? config->opts.module : &cop_logger_std;
    h->state = cop_alloc(ctx, h->module->state_size > 0 ? h->module->state_size : 1);
    cop_logger_handler_opts opts = config->opts;
    if (config->arg != NULL)
        opts.arg = cop_saved_load(ctx, config->arg);
    cop_term result = cop_a(ok).t;
    if (h->module->init != NULL)
        result = h->module->init(ctx, h->state, &opts);
    if (!cop_match(result, cop_a(ok)))
        return cop_init_stop(result);
    h->life = log_born(h->at, cop_self(ctx));
    return cop_init_ok();
}

/* ---- what was dropped -------------------------------------------------------------------------------------------- */

static void write_event(cop_ctx *ctx, struct handler *h, const cop_log_event *event) {
    if (h->module->log != NULL)
        h->module->log(ctx, h->state, event, opts_of(h));
}

static bool is_in_burst(cop_ctx *ctx, const struct handler *h) {
    return opts_of(h)->burst_limit > 0 && h->in_window > opts_of(h)->burst_limit
           && cop_monotonic_ms(ctx) < h->window_ends_ms;
}

static void tell_of_dropped(cop_ctx *ctx, struct handler *h) {
    struct log_handler *place = place_of(h);
    if (__atomic_load_n(&place->dropped, __ATOMIC_RELAXED) == 0 || h->to_flush > 0
        || is_in_burst(ctx, h) || waiting(h) > __atomic_load_n(&place->limit, __ATOMIC_RELAXED) / 4)
        return;
    uint64_t count = __atomic_exchange_n(&place->dropped, 0, __ATOMIC_RELAXED);
    cop_term list = cop_list(ctx, cop_tuple(ctx, cop_a(handler), opts_of(h)->id),
                             cop_tuple(ctx, cop_a(count), count));
    cop_log_event event = { COP_LEVEL_WARNING, log_own_report(ctx, "dropped", list),
                            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp)), cop_a(pid),
                                    cop_self(ctx), cop_a(time), cop_system_time_ns(ctx) / 1000) };
    write_event(ctx, h, &event);
}

/* Counts an event of the present window; true when there are too many. */
static bool is_too_much(cop_ctx *ctx, struct handler *h) {
    const cop_logger_handler_opts *o = opts_of(h);
    if (o->burst_limit == 0)
        return false;
    int64_t now = cop_monotonic_ms(ctx);
    if (now >= h->window_ends_ms) {
        h->window_ends_ms = now + (o->burst_window_ms > 0 ? o->burst_window_ms : 1000);
        h->in_window = 0;
    }
    if (++h->in_window <= o->burst_limit)
        return false;
    if (!h->window_is_over_comes)
        cop_process_send_at(ctx, cop_self(ctx), cop_a(window_is_over), h->window_ends_ms);
    h->window_is_over_comes = true;
    return true;
}

/* With flush_limit: from too many waiting events on, as many as wait then are dropped. */
static bool is_flushed(struct handler *h, int64_t still_waiting) {
    size_t limit = opts_of(h)->flush_limit;
    if (h->to_flush == 0 && limit > 0 && still_waiting >= (int64_t)limit)
        h->to_flush = still_waiting + 1;
    return h->to_flush > 0 && h->to_flush-- > 0;
}

static void on_event(cop_ctx *ctx, struct handler *h, const cop_log_event *event) {
    int64_t *queued = &place_of(h)->lives[h->life].queued;
    int64_t before = __atomic_fetch_sub(queued, 1, __ATOMIC_RELAXED);
    if (is_flushed(h, before - 1) || is_too_much(ctx, h))
        drop(h);
    else
        write_event(ctx, h, event);
    tell_of_dropped(ctx, h);
}

/* ---- callbacks -------------------------------------------------------------------------------------------------------- */

static cop_next handler_info(cop_ctx *ctx, void *state, cop_term message) {
    struct handler *h = state;
    cop_log_event event;
    int level;
    if (cop_match_tuple(message, cop_a(log), &level, &event.event, &event.metadata)) {
        event.level = (cop_level)level;
        on_event(ctx, h, &event);
    } else if (cop_match(message, cop_a(window_is_over))) {
        h->window_is_over_comes = false;
        tell_of_dropped(ctx, h);
    }
    return cop_noreply();
}

static void flush(cop_ctx *ctx, struct handler *h) {
    tell_of_dropped(ctx, h);
    if (h->module->flush != NULL)
        h->module->flush(ctx, h->state, opts_of(h));
}

static cop_next handler_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct handler *h = state;
    if (cop_match(request, cop_a(flush))) {
        flush(ctx, h);
    } else if (cop_match(request, cop_a(config))) {
        struct log_config *config = log_config_of(h->at);
        if (config != NULL)
            use(ctx, h, config);
    }
    return cop_reply(ctx, cop_a(ok));
}

static cop_next handler_cast(cop_ctx *ctx, void *state, cop_term request) { return cop_noreply(); }

static void handler_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct handler *h = state;
    if (!cop_reason_is_normal(reason))
        return;
    flush(ctx, h);
    if (h->module->terminate != NULL)
        h->module->terminate(ctx, h->state);
}

static cop_term handler_state(cop_ctx *ctx, const void *state) {
    const struct handler *h = state;
    return cop_map(ctx, cop_a(id), opts_of(h)->id, cop_a(module), sys_module_atom(h->module->name));
}

/* An event of somebody else's is not repeated in the report of a handler that it broke. */
static cop_term handler_redact(cop_ctx *ctx, cop_atom what, cop_term term) {
    cop_term any, level;
    if (cop_match(what.t, cop_a(message)) && cop_match_tuple(term, cop_a(log), &level, &any, &any))
        return cop_tuple(ctx, cop_a(log), level, cop_as("..."), cop_as("..."));
    return term;
}

static const cop_gen_server handler_server = {
    .name = "Logger.Handler",
    .state_size = sizeof(struct handler),
    .init = handler_init,
    .handle_call = handler_call,
    .handle_cast = handler_cast,
    .handle_info = handler_info,
    .terminate = handler_terminate,
    .state_to_term = handler_state,
    .redact = handler_redact,
};

cop_started log_handler_start(cop_ctx *ctx, cop_term arg) {
    cop_spawn_opts spawn = { .priority = COP_PRIORITY_HIGH };
    return cop_gen_server_start_link(ctx, &handler_server, arg,
                                     &(cop_start_opts){ .spawn = &spawn, .timeout_ms = START_MS });
}
