/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test's supervisor: a raw process that starts things for the test, so that they are linked to
 * it and not to the test, and ends them in reverse order when the test is over. It restarts
 * nothing: what a test starts and then kills stays dead.
 *
 * Requests are {:start, pid, ref, function, arg}, {:stop, pid, ref, child} and {:stop_all, pid,
 * ref}; the answer is {ref, result}. `function` is the address of a struct on the stack of the
 * test, which waits for the answer.
 * Children are pids of this node and therefore words without memory, which can stand in plain C
 * memory. Everything here runs in the supervisor's process but the test_ functions at the end.
 */
#include "kit.h"

#include <coppice/sim.h>

#define SHUTDOWN_MS 5000
#define START_MS 60000

static cop_pid supervisor;

struct children {
    cop_pid *pids;
    size_t count;
    size_t room;
};

static void children_add(cop_ctx *ctx, struct children *children, cop_pid pid) {
    if (children->count == children->room) {
        children->room = children->room * 2 + 8;
        children->pids =
            cop_realloc(ctx, children->pids, children->room * sizeof(children->pids[0]));
    }
    children->pids[children->count++] = pid;
}

static void children_remove(struct children *children, cop_pid pid) {
    for (size_t i = 0; i < children->count; i++)
        if (children->pids[i].t.w == pid.t.w) {
            children->count--;
            for (; i < children->count; i++)
                children->pids[i] = children->pids[i + 1];
        }
}

static void shut_down(cop_ctx *ctx, cop_pid pid) {
    cop_term down;
    cop_ref ref = cop_process_monitor(ctx, pid);
    cop_process_exit(ctx, pid, cop_a(shutdown));
    if (cop_receive_ref(ctx, SHUTDOWN_MS, ref, &down))
        return;
    test_note("a supervised process did not shut down in %d ms and was killed", SHUTDOWN_MS);
    cop_process_exit(ctx, pid, cop_a(kill));
    cop_receive_ref(ctx, COP_INFINITY, ref, &down);
}

/* The pid of what it starts; COP_NONE inside after a report if that failed. */
static cop_pid call_start(cop_ctx *ctx, const struct cop__test_start *start, cop_term arg) {
    if (start->pid != NULL)
        return start->pid(ctx, arg);
    cop_started started = start->started(ctx, arg);
    if (started.is == COP_STARTED)
        return started.pid;
    const char *label = started.is == COP_IGNORE ? "start was ignored" : "start failed";
    kit_report_term(label, started.reason);
    return (cop_pid){ COP_NONE };
}

static cop_pid start_child(cop_ctx *ctx, const struct cop__test_start *start, cop_term arg) {
    volatile cop_pid pid = { COP_NONE };
    COP_TRY(ctx) {
        cop_pid started = call_start(ctx, start, arg);
        pid.t.w = started.t.w;
    }
    COP_CATCH(caught) {
        kit_fail_begin("test_start_supervised", 0);
        kit_report_term("the start function was left by", cop_caught_reason(ctx, caught));
        kit_fail_end();
    }
    return (cop_pid){ { pid.t.w } };
}

static void handle(cop_ctx *ctx, struct children *children, cop_term message) {
    cop_pid from, pid;
    cop_ref ref;
    cop_term arg;
    int64_t start;
    if (cop_match_tuple(message, cop_a(start), &from, &ref, &start, &arg)) {
        pid = start_child(ctx, (const struct cop__test_start *)(uintptr_t)start, arg);
        if (cop_is_none(pid.t))
            test_fail_at("test_start_supervised", 0, "the start function started no process");
        children_add(ctx, children, pid);
        cop_send(ctx, from, cop_tuple(ctx, ref, pid));
    } else if (cop_match_tuple(message, cop_a(stop), &from, &ref, &pid)) {
        children_remove(children, pid);
        shut_down(ctx, pid);
        cop_send(ctx, from, cop_tuple(ctx, ref, cop_a(ok)));
    } else if (cop_match_tuple(message, cop_a(stop_all), &from, &ref)) {
        while (children->count > 0)
            shut_down(ctx, children->pids[--children->count]);
        cop_send(ctx, from, cop_tuple(ctx, ref, cop_a(ok)));
    } else if (cop_match_tuple(message, cop_a(EXIT), &pid, &arg)) {
        children_remove(children, pid);
    }
}

static void supervise(cop_ctx *ctx, cop_term arg) {
    struct children children = { 0 };
    cop_sim_spare(ctx);
    cop_process_trap_exit(ctx, true);
    for (;;) {
        COP_SCOPE(ctx) {
            cop_term message;
            if (cop_receive(ctx, COP_INFINITY, &message))
                handle(ctx, &children, message);
        }
    }
}

void kit_supervisor_start(cop_ctx *ctx) {
    cop_spawn_opts opts = { .stack_size = (size_t)256 * 1024, .name_hint = "test_supervisor" };
    supervisor = cop_process_spawn(ctx, supervise, COP_NIL, &opts).pid;
}

/* Asks the supervisor and waits; it always answers, or the test's time-out strikes. */
static cop_term ask(cop_ctx *ctx, cop_ref ref, cop_term request) {
    cop_term answer, result;
    cop_send(ctx, supervisor, request);
    if (!cop_receive_ref(ctx, START_MS, ref, &answer) || !cop_match_tuple(answer, ref, &result))
        test_fail_at("the test's supervisor", 0, "a child did not start or stop in %d ms",
                     START_MS);
    return result;
}

void kit_supervisor_stop(cop_ctx *ctx) {
    cop_ref ref = cop_make_ref(ctx);
    ask(ctx, ref, cop_tuple(ctx, cop_a(stop_all), cop_self(ctx), ref));
}

cop_pid cop__test_start(cop_ctx *ctx, struct cop__test_start start, cop_term arg) {
    cop_pid pid = { COP_NONE };
    cop_ref ref = cop_make_ref(ctx);
    cop_term request =
        cop_tuple(ctx, cop_a(start), cop_self(ctx), ref, (int64_t)(uintptr_t)&start, arg);
    cop_get_pid(ask(ctx, ref, request), &pid);
    return pid;
}

void test_stop_supervised(cop_ctx *ctx, cop_pid pid) {
    cop_ref ref = cop_make_ref(ctx);
    ask(ctx, ref, cop_tuple(ctx, cop_a(stop), cop_self(ctx), ref, pid));
}
