/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_OTP_LOGGER_HELP_H
#define TEST_OTP_LOGGER_HELP_H

#include <coppice.h>
#include <coppice/test.h>

/* A handler that sends {:logged, id, text} for each event to the process in its arg, its text without the
   time; and {:flushed, id}, {:terminated, id}. */
struct collector {
    cop_pid to;
    cop_atom id;
};

static cop_term collector_init(cop_ctx *ctx, void *state, const cop_logger_handler_opts *opts) {
    struct collector *self = state;
    self->id = opts->id;
    return cop_get_pid(opts->arg, &self->to) ? cop_a(ok).t : cop_a(no_pid).t;
}

static void collector_log(cop_ctx *ctx, void *state, const cop_log_event *event,
                          const cop_logger_handler_opts *opts) {
    struct collector *self = state;
    cop_send(
        ctx, self->to,
        cop_tuple(ctx, cop_a(logged), self->id, cop_logger_format(ctx, event, &opts->formatter)));
}

static void collector_terminate(cop_ctx *ctx, void *state) {
    struct collector *self = state;
    cop_send(ctx, self->to, cop_tuple(ctx, cop_a(terminated), self->id));
}

static const cop_logger_handler collector = {
    .name = "collector",
    .state_size = sizeof(struct collector),
    .init = collector_init,
    .log = collector_log,
    .terminate = collector_terminate,
};

/* The logger without a handler, ready. */
static inline void start_logger(cop_ctx *ctx) {
    cop_logger_start(&(cop_logger_opts){ .no_handler = true });
    while (cop_is_none(cop_process_whereis(ctx, cop_a(logger))))
        cop_process_sleep(ctx, 1);
}

static inline cop_logger_handler_opts collects(cop_ctx *ctx, const char *id) {
    return (cop_logger_handler_opts){
        .id = cop_atom_new(id),
        .module = &collector,
        .formatter = { .pattern = "[$level] $message" },
        .arg = cop_self(ctx).t,
    };
}

static inline void add_collector(cop_ctx *ctx, const char *id) {
    cop_logger_handler_opts opts = collects(ctx, id);
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
}

static inline cop_pid handler_pid(cop_ctx *ctx, const char *id) {
    cop_term config = cop_logger_get_handler_config(ctx, cop_atom_new(id));
    cop_pid pid = { COP_NONE };
    EXPECT(cop_match_key(cop_elem(config, 1), cop_a(pid), &pid));
    return pid;
}

#endif
