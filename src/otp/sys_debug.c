/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys: debug options. They are a list of pairs, newest first, in the form that get_status shows:
 *
 *     {:statistics, {started, {:reductions, n}, in, out}}
 *     {:log, {size, [event]}}             events newest first, at most size of them
 *     {:trace, true}   {:log_to_file, device}
 *     {fun, state}     {id, {fun, state}}
 *
 * While the list is empty a process makes no events, so all of this costs one test a message. An event
 * goes to the options in their order, and a new list is made of what they have become.
 *
 * What an installed function or a device does wrong is caught: a function is removed, a line is lost.
 */
#include "sys_debug.h"

#include <coppice/file.h>
#include <coppice/io.h>
#include <time.h>

enum { LOG_SIZE = 10 };

static bool find(cop_term debug, cop_term key, cop_term *value) {
    cop_term head, k, v;
    for (; cop_get_cons(debug, &head, &debug);)
        if (cop_match_tuple(head, &k, &v) && cop_same(k, key)) {
            *value = v;
            return true;
        }
    return false;
}

/* One that is there already stays as it is. */
static void install(cop_ctx *ctx, cop_sys *sys, cop_term key, cop_term value) {
    cop_term there, rest = cop_is_none(sys->debug) ? COP_NIL : sys->debug;
    if (!find(sys->debug, key, &there))
        sys->debug = cop_cons(ctx, cop_tuple(ctx, key, value), rest);
}

static void drop(cop_ctx *ctx, cop_sys *sys, cop_term key) {
    cop_term kept = COP_NIL, head, k, v, debug = sys->debug;
    for (; cop_get_cons(debug, &head, &debug);)
        if (!cop_match_tuple(head, &k, &v) || !cop_same(k, key))
            kept = cop_cons(ctx, head, kept);
    sys->debug = cop_list_reverse(ctx, kept);
}

/* ---- lines of events -------------------------------------------------------------------------------- */

static cop_term line_of(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, cop_term event) {
    cop_term name = cop_is_none(sys->name) ? cop_self(ctx).t : sys->name;
    if (cb->format != NULL)
        return cb->format(ctx, event, name);
    return cop_list(ctx, "*DBG* ", cop_sys_erlang_text(ctx, name), " dbg  ",
                    cop_sys_erlang_text(ctx, event), "\n");
}

static void print(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, cop_term device,
                  cop_term event) {
    COP_TRY(ctx) { cop_io_write(ctx, device, line_of(ctx, sys, cb, event)); }
    COP_CATCH(caught) { (void)caught; }
}

cop_term cop_sys_get_log(cop_ctx *ctx, const cop_sys *sys) {
    cop_term log, size, events;
    if (find(sys->debug, cop_a(log).t, &log) && cop_match_tuple(log, &size, &events))
        return cop_list_reverse(ctx, events);
    return COP_NIL;
}

void cop_sys_print_log(cop_ctx *ctx, const cop_sys *sys, const cop_sys_callbacks *callbacks) {
    cop_sys copy = *sys;
    cop_term event, events = cop_sys_get_log(ctx, sys);
    for (; cop_get_cons(events, &event, &events);)
        print(ctx, &copy, callbacks, cop_a(stdio).t, event);
}

/* ---- statistics -------------------------------------------------------------------------------------- */

static cop_term local_time(cop_ctx *ctx) {
    time_t seconds = (time_t)(cop_system_time_ns(ctx) / 1000000000);
    struct tm tm = { 0 };
    localtime_r(&seconds, &tm);
    return cop_tuple(ctx, cop_tuple(ctx, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday),
                     cop_tuple(ctx, tm.tm_hour, tm.tm_min, tm.tm_sec));
}

static int64_t reductions(cop_ctx *ctx) {
    int64_t n = 0;
    cop_get_i64(cop_process_info(ctx, cop_self(ctx), cop_a(reductions)), &n);
    return n;
}

static cop_term statistics_new(cop_ctx *ctx) {
    return cop_tuple(ctx, local_time(ctx), cop_tuple(ctx, cop_a(reductions), reductions(ctx)), 0,
                     0);
}

static cop_term statistics_get(cop_ctx *ctx, cop_sys *sys) {
    cop_term stat, started, reds, any;
    int64_t in, out, at_start = 0;
    if (!find(sys->debug, cop_a(statistics).t, &stat)
        || !cop_match_tuple(stat, &started, &reds, &in, &out))
        return cop_tuple(ctx, cop_a(ok), cop_a(no_statistics));
    cop_match_tuple(reds, &any, &at_start);
    return cop_tuple(ctx, cop_a(ok),
                     cop_list(ctx, cop_tuple(ctx, cop_a(start_time), started),
                              cop_tuple(ctx, cop_a(current_time), local_time(ctx)),
                              cop_tuple(ctx, cop_a(reductions), reductions(ctx) - at_start),
                              cop_tuple(ctx, cop_a(messages_in), in),
                              cop_tuple(ctx, cop_a(messages_out), out)));
}

static cop_term statistics_count(cop_ctx *ctx, cop_term stat, cop_term event) {
    cop_term started, reds;
    int64_t in, out;
    if (!cop_match_tuple(stat, &started, &reds, &in, &out) || !cop_is_tuple(event))
        return stat;
    in += cop_match(cop_elem(event, 0), cop_a(in));
    out += cop_match(cop_elem(event, 0), cop_a(out));
    return cop_tuple(ctx, started, reds, in, out);
}

/* ---- the log ------------------------------------------------------------------------------------------- */

static cop_term first_of(cop_ctx *ctx, cop_term list, int64_t count) {
    cop_term kept = COP_NIL, head;
    for (; count > 0 && cop_get_cons(list, &head, &list); count--)
        kept = cop_cons(ctx, head, kept);
    return cop_list_reverse(ctx, kept);
}

static cop_term log_add(cop_ctx *ctx, cop_term log, cop_term event) {
    cop_term events;
    int64_t size;
    if (!cop_match_tuple(log, &size, &events))
        return log;
    return cop_tuple(ctx, size, cop_cons(ctx, event, first_of(ctx, events, size - 1)));
}

/* ---- files ----------------------------------------------------------------------------------------------- */

static void close_file(cop_ctx *ctx, cop_sys *sys) {
    cop_term device;
    cop_pid file;
    if (!find(sys->debug, cop_a(log_to_file).t, &device))
        return;
    if (cop_get_pid(device, &file))
        cop_file_close(ctx, file);
    drop(ctx, sys, cop_a(log_to_file).t);
}

static cop_term open_file(cop_ctx *ctx, cop_sys *sys, cop_term path) {
    volatile cop_term opened = COP_NIL;
    cop_term device;
    close_file(ctx, sys);
    COP_TRY(ctx) { opened.w = cop_file_open(ctx, path, COP_FILE_WRITE | COP_FILE_UTF8).w; }
    COP_CATCH(caught) { opened.w = COP_NIL.w; }
    if (!cop_match_tuple((cop_term){ opened.w }, cop_a(ok), &device))
        return cop_tuple(ctx, cop_a(error), cop_a(open_file));
    install(ctx, sys, cop_a(log_to_file).t, device);
    return cop_a(ok).t;
}

/* ---- installed functions ------------------------------------------------------------------------------------ */

/* The function's next state; :done also when it has raised. */
static cop_term call(cop_ctx *ctx, cop_sys *sys, cop_term fun, cop_term state, cop_term event) {
    volatile cop_term next = cop_a(done).t;
    cop_term name = cop_is_none(sys->name) ? cop_self(ctx).t : sys->name;
    COP_TRY(ctx) { next.w = cop_fun_call(ctx, fun, state, event, name).w; }
    COP_CATCH(caught) {
        next.w = caught->class == COP_CLASS_THROW ? caught->reason.w : cop_a(done).t.w;
    }
    return (cop_term){ next.w };
}

/* What the option becomes after an event; COP_NONE: it goes. */
static cop_term after(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb, cop_term option,
                      cop_term event) {
    cop_term key, value, fun, state, next;
    if (!cop_match_tuple(option, &key, &value))
        return COP_NONE;
    if (cop_match(key, cop_a(statistics)))
        return cop_tuple(ctx, key, statistics_count(ctx, value, event));
    if (cop_match(key, cop_a(log)))
        return cop_tuple(ctx, key, log_add(ctx, value, event));
    if (cop_match(key, cop_a(trace)) || cop_match(key, cop_a(log_to_file))) {
        print(ctx, sys, cb, cop_match(key, cop_a(trace)) ? cop_a(stdio).t : value, event);
        return option;
    }
    if (!cop_is_fun(key) && cop_match_tuple(value, &fun, &state)) {
        next = call(ctx, sys, fun, state, event);
        value = cop_tuple(ctx, fun, next);
    } else {
        value = next = call(ctx, sys, key, value, event);
    }
    return cop_match(next, cop_a(done)) ? COP_NONE : cop_tuple(ctx, key, value);
}

void cop__sys_handle_debug(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *callbacks,
                           cop_term event) {
    cop_term kept = COP_NIL, option, debug = sys->debug;
    for (; cop_get_cons(debug, &option, &debug);) {
        cop_term next = after(ctx, sys, callbacks, option, event);
        if (!cop_is_none(next))
            kept = cop_cons(ctx, next, kept);
    }
    sys->debug = cop_list_reverse(ctx, kept);
}

/* ---- commands -------------------------------------------------------------------------------------------------- */

/* On or off, for an option with a value of its own. */
static cop_term toggle(cop_ctx *ctx, cop_sys *sys, cop_atom key, bool on, cop_term value) {
    if (on)
        install(ctx, sys, key.t, value);
    else
        drop(ctx, sys, key.t);
    return cop_a(ok).t;
}

static cop_term log_command(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *cb,
                            cop_term flag) {
    bool on;
    int64_t size = LOG_SIZE;
    if (cop_match_tuple(flag, cop_a(true), &size) && size >= 1)
        return toggle(ctx, sys, cop_a(log), true, cop_tuple(ctx, size, COP_NIL));
    if (cop_get_bool(flag, &on))
        return toggle(ctx, sys, cop_a(log), on, cop_tuple(ctx, (int64_t)LOG_SIZE, COP_NIL));
    if (cop_match(flag, cop_a(get)))
        return cop_tuple(ctx, cop_a(ok), cop_sys_get_log(ctx, sys));
    if (!cop_match(flag, cop_a(print)))
        return cop_a(unknown_debug).t;
    cop_sys_print_log(ctx, sys, cb);
    return cop_a(ok).t;
}

static cop_term install_command(cop_ctx *ctx, cop_sys *sys, cop_term spec) {
    cop_term id, fun, state;
    if (cop_match_tuple(spec, &fun, &state))
        install(ctx, sys, fun, state);
    else if (cop_match_tuple(spec, &id, &fun, &state))
        install(ctx, sys, id, cop_tuple(ctx, fun, state));
    else
        return cop_a(unknown_debug).t;
    return cop_a(ok).t;
}

cop_term sys_debug_command(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *callbacks,
                           cop_term command) {
    cop_term x;
    bool on;
    if (cop_match(command, cop_a(no_debug))) {
        close_file(ctx, sys);
        sys->debug = COP_NIL;
        return cop_a(ok).t;
    }
    if (cop_match_tuple(command, cop_a(trace), &x) && cop_get_bool(x, &on))
        return toggle(ctx, sys, cop_a(trace), on, cop_a(true).t);
    if (cop_match_tuple(command, cop_a(log), &x))
        return log_command(ctx, sys, callbacks, x);
    if (cop_match_tuple(command, cop_a(statistics), &x)) {
        if (cop_match(x, cop_a(get)))
            return statistics_get(ctx, sys);
        if (cop_get_bool(x, &on))
            return toggle(ctx, sys, cop_a(statistics), on, statistics_new(ctx));
    }
    if (cop_match_tuple(command, cop_a(log_to_file), &x)) {
        if (!cop_match(x, cop_a(false)))
            return open_file(ctx, sys, x);
        close_file(ctx, sys);
        return cop_a(ok).t;
    }
    if (cop_match_tuple(command, cop_a(install), &x))
        return install_command(ctx, sys, x);
    if (cop_match_tuple(command, cop_a(remove), &x)) {
        drop(ctx, sys, x);
        return cop_a(ok).t;
    }
    return cop_a(unknown_debug).t;
}

cop_term cop_sys_debug_options(cop_ctx *ctx, cop_term list) {
    cop_sys sys = { .debug = COP_NIL };
    cop_term option, x;
    int64_t size;
    for (; cop_get_cons(list, &option, &list);) {
        if (cop_match(option, cop_a(trace)))
            install(ctx, &sys, option, cop_a(true).t);
        else if (cop_match(option, cop_a(log)))
            install(ctx, &sys, option, cop_tuple(ctx, (int64_t)LOG_SIZE, COP_NIL));
        else if (cop_match_tuple(option, cop_a(log), &size) && size >= 1)
            install(ctx, &sys, cop_a(log).t, cop_tuple(ctx, size, COP_NIL));
        else if (cop_match(option, cop_a(statistics)))
            install(ctx, &sys, option, statistics_new(ctx));
        else if (cop_match_tuple(option, cop_a(log_to_file), &x))
            open_file(ctx, &sys, x);
        else if (cop_match_tuple(option, cop_a(install), &x))
            install_command(ctx, &sys, x);
    }
    return sys.debug;
}
