/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help inside a test: small things that every second test would write for itself. All of it is
 * public API, used in the calling process.
 */
#include "kit.h"

#include <coppice/io.h>
#include <coppice/logger.h>
#include <time.h>
#include <unistd.h>

#define AWAIT_MS 5000

cop_term test_flush(cop_ctx *ctx) {
    cop_term reversed = COP_NIL, message;
    while (cop_receive(ctx, 0, &message))
        reversed = cop_cons(ctx, message, reversed);
    return cop_list_reverse(ctx, reversed);
}

static void nothing(cop_ctx *ctx, cop_term arg) {}

cop_pid test_dead_pid(cop_ctx *ctx) {
    cop_term down;
    cop_spawned dead = cop_spawn_monitor(ctx, nothing, COP_NIL);
    if (!cop_receive_ref(ctx, AWAIT_MS, dead.ref, &down))
        test_fail_at("test_dead_pid", 0, "an empty process did not end in %d ms", AWAIT_MS);
    return dead.pid;
}

static void idle(cop_ctx *ctx, cop_term arg) {
    for (;;) {
        COP_SCOPE(ctx) {
            cop_term message;
            cop_receive(ctx, COP_INFINITY, &message);
        }
    }
}

cop_pid test_idle_pid(cop_ctx *ctx) { return cop_spawn(ctx, idle, COP_NIL); }

void test_trap_exit(cop_ctx *ctx) { cop_process_trap_exit(ctx, true); }

void test_capture_log(cop_ctx *ctx) {
    if (!cop_is_none(cop_process_whereis(ctx, cop_a(logger))))
        cop_process_unregister(ctx, cop_a(logger));
    if (!cop_process_try_register(ctx, cop_self(ctx), cop_a(logger)))
        test_fail_at("test_capture_log", 0, "the process already has a name of its own");
}

static bool is_log(cop_term message, void *arg) {
    cop_term level, event, metadata;
    return cop_match_tuple(message, cop_a(log), &level, &event, &metadata) && cop_is_map(metadata);
}

static cop_term text_of(cop_ctx *ctx, cop_term message) {
    static const cop_logger_formatter formatter = { .pattern = "\n[$level] $message\n" };
    cop_log_event event = { COP_LEVEL_ERROR, cop_elem(message, 2), cop_elem(message, 3) };
    cop_atom level;
    if (cop_get_atom(cop_elem(message, 1), &level))
        cop_level_from_name(cop_atom_name(level, NULL), &event.level);
    return cop_logger_format(ctx, &event, &formatter);
}

static void be_logger(cop_ctx *ctx, cop_term before) {
    cop_process_unregister(ctx, cop_a(logger));
    if (!cop_is_none(before))
        cop_process_try_register(ctx, before, cop_a(logger));
}

cop_term test_log_of(cop_ctx *ctx, void (*function)(cop_ctx *ctx, cop_term arg), cop_term arg) {
    cop_term before = cop_process_whereis(ctx, cop_a(logger)), message, texts = COP_NIL;
    test_capture_log(ctx);
    COP_TRY(ctx) { function(ctx, arg); }
    COP_CATCH(caught) {
        be_logger(ctx, before);
        cop_rethrow(ctx, caught);
    }
    be_logger(ctx, before);
    while (cop_receive_match(ctx, 0, is_log, NULL, &message))
        texts = cop_cons(ctx, text_of(ctx, message), texts);
    return cop_iodata_to_binary(ctx, cop_list_reverse(ctx, texts));
}

cop_term test_await_down(cop_ctx *ctx, cop_pid pid) {
    cop_term down, reason = COP_NONE, object;
    cop_ref ref = cop_process_monitor(ctx, pid);
    if (!cop_receive_ref(ctx, AWAIT_MS, ref, &down)) {
        kit_fail_begin("test_await_down", 0);
        kit_report_term("this process is still alive", pid.t);
        kit_fail_end();
    }
    if (!cop_match_tuple(down, cop_a(DOWN), ref, cop_a(process), &object, &reason)) {
        kit_fail_begin("test_await_down", 0);
        kit_report_term("this is no down message", down);
        kit_fail_end();
    }
    return reason;
}

uint64_t test_unique(void) {
    static uint64_t count;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t n = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
    return ((uint64_t)now.tv_sec << 32) ^ ((uint64_t)getpid() << 12) ^ n;
}

cop_term test_capture_io(cop_ctx *ctx, const char *input,
                         void (*function)(cop_ctx *ctx, cop_term arg), cop_term arg) {
    cop_pid before = cop_process_group_leader(ctx), device = cop_string_io_open(ctx, input, NULL);
    cop_process_set_group_leader(ctx, cop_self(ctx), device);
    COP_TRY(ctx) { function(ctx, arg); }
    COP_CATCH(caught) {
        cop_process_set_group_leader(ctx, cop_self(ctx), before);
        cop_rethrow(ctx, caught);
    }
    cop_process_set_group_leader(ctx, cop_self(ctx), before);
    return cop_elem(cop_string_io_close(ctx, device), 1);
}
