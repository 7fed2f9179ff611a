/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc_lib: starting a process and waiting until it is ready; where it came from; stopping it.
 *
 * The starter spawns with a monitor and waits for one of three: {:ack, pid, ret}, {:nack, pid, ret}
 * (then also for the end of the process, so that nothing is left of it), or its down message. What a
 * failed start leaves in a trapping starter's queue ({:EXIT, pid, _}) is taken out.
 *
 * The new process gets a tuple {entry, arg}; the entry travels as an integer. Its dictionary begins with
 * $ancestors and $initial_call, and what the entry raises is reported (crash_report.c) before the process
 * ends with it. A function by name, or a fun, is the argument of an entry of ours.
 *
 * Threads: the processes' own.
 */
#include <coppice/module.h>
#include <coppice/proc_lib.h>
#include <stdio.h>
#include <string.h>

#include "sys.h"

bool cop_reason_is_normal(cop_term reason) {
    cop_term any;
    return cop_match(reason, cop_a(normal)) || cop_match(reason, cop_a(shutdown))
           || cop_match_tuple(reason, cop_a(shutdown), &any);
}

/* ---- results as terms ------------------------------------------------------------------------------ */

cop_term cop_started_to_term(cop_ctx *ctx, cop_started s) {
    if (s.is == COP_OTHER)
        return s.reason;
    if (s.is == COP_IGNORE)
        return cop_a(ignore).t;
    if (s.is == COP_ERROR)
        return cop_tuple(ctx, cop_a(error), s.reason);
    if (cop_is_none(s.info))
        return cop_tuple(ctx, cop_a(ok), s.pid);
    return cop_tuple(ctx, cop_a(ok), s.pid, s.info);
}

bool cop_started_from_term(cop_term t, cop_started *out) {
    *out = (cop_started){ .is = COP_STARTED };
    if (cop_match_tuple(t, cop_a(ok), &out->pid)
        || cop_match_tuple(t, cop_a(ok), &out->pid, &out->info))
        return true;
    *out = (cop_started){ .is = COP_IGNORE };
    if (cop_match(t, cop_a(ignore)))
        return true;
    out->is = COP_ERROR;
    if (cop_match_tuple(t, cop_a(error), &out->reason))
        return true;
    *out = (cop_started){ .is = COP_OTHER, .reason = t };
    return false;
}

static cop_started started_of(cop_term ret) {
    cop_started started;
    cop_started_from_term(ret, &started);
    return started;
}

/* ---- in the new process -------------------------------------------------------------------------------- */

/* Runs the entry; a crash of it is reported. */
static void run_entry(cop_ctx *ctx, cop_entry entry, cop_term arg) {
    COP_TRY(ctx) { entry(ctx, arg); }
    COP_CATCH(caught) {
        cop_caught crash = *caught;
        if (caught->class != COP_CLASS_ERROR && cop_is_nil(caught->stacktrace))
            crash.stacktrace = cop_stacktrace(ctx);
        cop_proc_lib_crash_report(ctx, &crash);
        cop_exit(ctx, cop_caught_reason(ctx, &crash));
    }
}

/* The entry of all of them, and of those that wake from hibernation. */
static void run(cop_ctx *ctx, cop_term packed) {
    uint64_t entry;
    cop_term arg;
    if (!cop_match_tuple(packed, &entry, &arg))
        cop_error(ctx, cop_a(badarg));
    run_entry(ctx, (cop_entry)(uintptr_t)entry, arg);
}

static cop_term pack(cop_ctx *ctx, cop_entry entry, cop_term arg) {
    return cop_tuple(ctx, (uint64_t)(uintptr_t)entry, cop_is_none(arg) ? cop_a(undefined).t : arg);
}

/* Entries of ours: a function by name, {module, function, args}, and a fun. */
static void run_mfa(cop_ctx *ctx, cop_term mfa) {
    cop_atom module, function;
    cop_term args;
    if (cop_match_tuple(mfa, &module, &function, &args))
        cop_apply(ctx, module, function, args);
}

static void run_fun(cop_ctx *ctx, cop_term fun) { cop_fun_call_n(ctx, fun, 0, NULL); }

cop_pid cop_proc_lib_parent(cop_ctx *ctx) {
    cop_term ancestors = cop_process_get(ctx, cop_as("$ancestors").t), rest;
    cop_pid parent = { COP_NONE };
    if (cop_is_none(ancestors))
        return parent;
    cop_atom name;
    if (!cop_match_cons(ancestors, &parent, &rest) && cop_match_cons(ancestors, &name, &rest)) {
        cop_term named = cop_process_whereis(ctx, name);
        if (!cop_get_pid(named, &parent))
            parent = cop_process_parent(ctx);
    }
    return parent;
}

void cop_proc_lib_init_ack_to(cop_ctx *ctx, cop_pid parent, cop_term ret) {
    cop_send(ctx, parent, cop_tuple(ctx, cop_a(ack), cop_self(ctx), ret));
}

void cop_proc_lib_init_ack(cop_ctx *ctx, cop_started started) {
    cop_proc_lib_init_ack_to(ctx, cop_process_parent(ctx), cop_started_to_term(ctx, started));
}

_Noreturn void cop_proc_lib_init_fail_to(cop_ctx *ctx, cop_pid parent, cop_term ret,
                                         const cop_caught *exception) {
    cop_send(ctx, parent, cop_tuple(ctx, cop_a(nack), cop_self(ctx), ret));
    cop_rethrow(ctx, exception);
}

_Noreturn void cop_proc_lib_init_fail(cop_ctx *ctx, cop_started started, cop_term exit_reason) {
    cop_send(ctx, cop_process_parent(ctx),
             cop_tuple(ctx, cop_a(nack), cop_self(ctx), cop_started_to_term(ctx, started)));
    cop__exit(ctx, exit_reason);
}

_Noreturn void cop_proc_lib_hibernate(cop_ctx *ctx, cop_entry entry, cop_term arg) {
    cop_process_hibernate(ctx, run, pack(ctx, entry, arg));
}

/* In OTP no clause takes what is no list. */
static void must_be_list(cop_ctx *ctx, cop_term args) {
    if (cop_list_length(args) < 0)
        cop_error(ctx, cop_a(function_clause));
}

_Noreturn void cop_proc_lib_hibernate_mfa(cop_ctx *ctx, cop_atom module, cop_atom function,
                                          cop_term args) {
    must_be_list(ctx, args);
    cop_proc_lib_hibernate(ctx, run_mfa, cop_tuple(ctx, module, function, args));
}

/* ---- in the starter ---------------------------------------------------------------------------------------- */

/* A name is better than a pid: it is what people know. */
static cop_term name_or_self(cop_ctx *ctx) {
    cop_term name = cop_process_info(ctx, cop_self(ctx), cop_a(registered_name));
    return cop_is_atom(name) ? name : cop_self(ctx).t;
}

static cop_term dictionary_of(cop_ctx *ctx, cop_term initial_call, cop_term given) {
    cop_term ancestors = cop_process_get(ctx, cop_as("$ancestors").t);
    ancestors = cop_list_tail(ctx, name_or_self(ctx), cop_is_list(ancestors) ? ancestors : COP_NIL);
    if (!cop_is_map(given))
        return cop_map(ctx, cop_as("$ancestors"), ancestors, cop_as("$initial_call"), initial_call);
    given = cop_map_put(ctx, given, cop_as("$ancestors").t, ancestors);
    return cop_map_put(ctx, given, cop_as("$initial_call").t, initial_call);
}

/* Children of one process and one module, or one C function, all have the same, which is made once. */
static cop_term dictionary_of_module(cop_ctx *ctx, cop_term module) {
    return dictionary_of(ctx, cop_tuple(ctx, module, cop_a(init), 1), COP_NONE);
}

static cop_term dictionary_of_entry(cop_ctx *ctx, cop_term name) {
    return dictionary_of(ctx, cop_tuple(ctx, cop_a(c), name, 2), COP_NONE);
}

/* The initial call: a term, or the atom that `make` makes it of. */
struct call {
    cop_term (*make)(cop_ctx *ctx, cop_term atom); /* NULL: it is the term */
    cop_term term;
};

/* Of the text in the options, else of the entry's name in the source. In the place of the function stands
   the module of a supervisor: {:supervisor, Module, 1}. */
static struct call call_of(cop_ctx *ctx, const char *given, const char *entry) {
    char module[256], function[256];
    int arity;
    if (given == NULL)
        return (struct call){ dictionary_of_entry, sys_atom(entry).t };
    if (strchr(given, ':') != NULL
        && sscanf(given, "%255[^:]:%255[^/]/%d", module, function, &arity) == 3)
        return (struct call){ NULL, cop_tuple(ctx, sys_module_atom(module),
                                              sys_module_atom(function), arity) };
    return (struct call){ dictionary_of_module, sys_module_atom(given).t };
}

static void give_dictionary(cop_ctx *ctx, struct call call, cop_spawn_opts *o) {
    if (o->make_dictionary != NULL) /* the starter's own */
        o->dictionary = o->make_dictionary(ctx, o->dictionary_key);
    o->make_dictionary = NULL;
    if (call.make == NULL) {
        o->dictionary = dictionary_of(ctx, call.term, o->dictionary);
    } else if (cop_is_map(o->dictionary)) {
        o->dictionary = cop_map_merge(ctx, o->dictionary, call.make(ctx, call.term));
    } else {
        o->make_dictionary = call.make;
        o->dictionary_key = call.term;
    }
}

static cop_spawned spawn(cop_ctx *ctx, cop_entry entry, cop_term arg, struct call call,
                         const cop_spawn_opts *opts) {
    cop_spawn_opts o = *opts;
    give_dictionary(ctx, call, &o);
    o.name_hint = entry == run_fun ? "proc_lib:init_p/3" : "proc_lib:init_p/5";
    return cop_process_spawn(ctx, run, pack(ctx, entry, arg), &o);
}

static cop_spawned spawn_opt(cop_ctx *ctx, cop_entry entry, cop_term arg, struct call call,
                             const cop_spawn_opts *opts, bool link) {
    cop_spawn_opts o = { 0 };
    if (opts != NULL)
        o = *opts;
    o.link = o.link || link;
    return spawn(ctx, entry, arg, call, &o);
}

cop_spawned cop__proc_lib_spawn(cop_ctx *ctx, cop_entry entry, cop_term arg, bool link,
                                const char *name, const cop_spawn_opts *opts) {
    return spawn_opt(ctx, entry, arg, call_of(ctx, NULL, name), opts, link);
}

static struct call mfa_arity(cop_ctx *ctx, cop_atom module, cop_atom function, cop_term args) {
    must_be_list(ctx, args);
    return (struct call){ NULL, cop_tuple(ctx, module, function, cop_list_length(args)) };
}

cop_spawned cop_proc_lib_spawn_mfa(cop_ctx *ctx, cop_atom module, cop_atom function, cop_term args,
                                   const cop_spawn_opts *opts) {
    struct call call = mfa_arity(ctx, module, function, args);
    return spawn_opt(ctx, run_mfa, cop_tuple(ctx, module, function, args), call, opts, false);
}

/* A C function has no module; how its fun prints is the name it has. */
static cop_term fun_call(cop_ctx *ctx, cop_term fun) {
    cop_atom module, function;
    size_t arity;
    char text[200];
    if (cop_get_fun_export(fun, &module, &function, &arity))
        return cop_tuple(ctx, module, function, (uint64_t)arity);
    cop_inspect_to(text, sizeof text, fun, NULL);
    return cop_tuple(ctx, cop_a(c), cop_atom_new(text), cop_fun_arity(fun));
}

cop_spawned cop_proc_lib_spawn_fun(cop_ctx *ctx, cop_term fun, const cop_spawn_opts *opts) {
    if (cop_fun_arity(fun) < 0)
        cop_error(ctx, cop_a(function_clause));
    return spawn_opt(ctx, run_fun, fun, (struct call){ NULL, fun_call(ctx, fun) }, opts, false);
}

/* ---- waiting for the start ------------------------------------------------------------------------------------ */

struct waited {
    cop_pid pid;
    cop_ref ref;
};

static bool is_start_message(cop_term message, void *arg) {
    const struct waited *w = arg;
    cop_term any;
    return cop_match_tuple(message, cop_a(ack), w->pid, &any)
           || cop_match_tuple(message, cop_a(nack), w->pid, &any)
           || cop_match_tuple(message, cop_as("DOWN"), w->ref, &any, &any, &any);
}

static bool is_exit_of(cop_term message, void *arg) {
    cop_term any;
    return cop_match_tuple(message, cop_as("EXIT"), *(cop_pid *)arg, &any);
}

static void flush_exit(cop_ctx *ctx, cop_pid pid) {
    cop_term message;
    cop_receive_match(ctx, 0, is_exit_of, &pid, &message);
}

/* Until the process is gone. With start_monitor its down message stays, or comes again. */
static void wait_for_end(cop_ctx *ctx, cop_ref ref, bool monitor) {
    cop_term down;
    cop_receive_ref(ctx, COP_INFINITY, ref, &down);
    if (monitor)
        cop_send(ctx, cop_self(ctx), down);
}

static cop_started wait_for_start(cop_ctx *ctx, cop_spawned child, int64_t timeout_ms,
                                  bool monitor) {
    struct waited waited = { child.pid, child.ref };
    cop_started result;
    cop_term message, ret, reason = COP_NONE, any;
    if (!cop_receive_match_since(ctx, timeout_ms, child.ref, is_start_message, &waited, &message)) {
        cop_process_unlink(ctx, child.pid);
        cop_process_exit(ctx, child.pid, cop_a(kill).t);
        wait_for_end(ctx, child.ref, monitor);
        flush_exit(ctx, child.pid);
        result = cop_started_error(cop_a(timeout).t);
    } else if (cop_match_tuple(message, cop_a(ack), child.pid, &ret)) {
        if (!monitor)
            cop_process_demonitor(ctx, child.ref, COP_DEMONITOR_FLUSH);
        result = started_of(ret);
    } else if (cop_match_tuple(message, cop_a(nack), child.pid, &ret)) {
        wait_for_end(ctx, child.ref, monitor);
        flush_exit(ctx, child.pid);
        result = started_of(ret);
    } else {
        cop_match_tuple(message, cop_as("DOWN"), child.ref, &any, &any, &reason);
        flush_exit(ctx, child.pid);
        result = cop_started_error(reason);
        if (monitor) /* the caller is to see it too */
            cop_send(ctx, cop_self(ctx), message);
    }
    if (monitor)
        result.ref = child.ref;
    return result;
}

static cop_started start(cop_ctx *ctx, cop_entry entry, cop_term arg, struct call call,
                         const cop_start_opts *opts, enum cop__start_kind kind) {
    cop_spawn_opts o = { 0 };
    int64_t timeout = COP_INFINITY;
    if (opts != NULL && opts->timeout_ms != 0)
        timeout = opts->timeout_ms == COP_ZERO ? 0 : opts->timeout_ms;
    if (opts != NULL && opts->spawn != NULL) {
        o = *opts->spawn;
        if (o.monitor || o.monitor_alias != COP_ALIAS_NONE || !cop_is_none(o.monitor_tag))
            cop_error(ctx, cop_a(badarg));
    }
    o.link = o.link || kind == COP__START_LINK;
    o.monitor = true;
    return wait_for_start(ctx, spawn(ctx, entry, arg, call, &o), timeout,
                          kind == COP__START_MONITOR);
}

cop_started cop__proc_lib_start(cop_ctx *ctx, cop_entry entry, cop_term arg,
                                enum cop__start_kind kind, const char *name,
                                const cop_start_opts *opts) {
    const char *given = opts != NULL ? opts->initial_call : NULL;
    return start(ctx, entry, arg, call_of(ctx, given, name), opts, kind);
}

static cop_started start_mfa(cop_ctx *ctx, cop_atom module, cop_atom function, cop_term args,
                             const cop_start_opts *opts, enum cop__start_kind kind) {
    struct call call = mfa_arity(ctx, module, function, args);
    return start(ctx, run_mfa, cop_tuple(ctx, module, function, args), call, opts, kind);
}

cop_started cop_proc_lib_start_mfa(cop_ctx *ctx, cop_atom module, cop_atom function, cop_term args,
                                   const cop_start_opts *opts) {
    return start_mfa(ctx, module, function, args, opts, COP__START);
}

cop_started cop_proc_lib_start_link_mfa(cop_ctx *ctx, cop_atom module, cop_atom function,
                                        cop_term args, const cop_start_opts *opts) {
    return start_mfa(ctx, module, function, args, opts, COP__START_LINK);
}

cop_started cop_proc_lib_start_monitor_mfa(cop_ctx *ctx, cop_atom module, cop_atom function,
                                           cop_term args, const cop_start_opts *opts) {
    return start_mfa(ctx, module, function, args, opts, COP__START_MONITOR);
}

/* ---- stopping --------------------------------------------------------------------------------------------------- */

/* {reason, {:sys, :terminate, [process, wanted, timeout]}}: it ended before it took the request. */
static cop_term not_taken(cop_ctx *ctx, cop_term why, cop_pid process, cop_term wanted,
                          int64_t timeout) {
    cop_term shown = timeout == COP_INFINITY ? cop_a(infinity).t : cop_of(ctx, timeout);
    return cop_tuple(
        ctx, why,
        cop_tuple(ctx, cop_a(sys), cop_a(terminate), cop_list(ctx, process, wanted, shown)));
}

static int64_t left_ms(cop_ctx *ctx, int64_t until_ms) {
    if (until_ms == COP_INFINITY)
        return COP_INFINITY;
    int64_t now = cop_monotonic_ms(ctx);
    return until_ms > now ? until_ms - now : 0;
}

cop_term cop_proc_lib_try_stop(cop_ctx *ctx, cop_pid process, cop_term reason, int64_t timeout_ms) {
    static const cop_monitor_opts by_alias = { .alias = COP_ALIAS_EXPLICIT_UNALIAS };
    int64_t timeout = timeout_ms == 0 ? COP_INFINITY : timeout_ms == COP_ZERO ? 0 : timeout_ms;
    int64_t until = timeout == COP_INFINITY ? COP_INFINITY : cop_monotonic_ms(ctx) + timeout;
    cop_ref ref = cop_process_monitor_opts(ctx, process, &by_alias);
    cop_term from = cop_tuple(ctx, cop_self(ctx), cop_cons(ctx, cop_a(alias), ref));
    cop_send(ctx, process,
             cop_tuple(ctx, cop_a(system), from, cop_tuple(ctx, cop_a(terminate), reason)));
    cop_term message, any, why, result = COP_NONE;
    bool taken = false;
    while (cop_is_none(result)) {
        if (!cop_receive_ref(ctx, left_ms(ctx, until), ref, &message)) {
            result = cop_a(timeout).t;
        } else if (!cop_match_tuple(message, cop_as("DOWN"), ref, &any, &any, &why)) {
            taken = true; /* the answer: its end comes next */
        } else if (taken && cop_same(why, reason)) {
            result = cop_a(ok).t;
        } else {
            result = taken || cop_match(why, cop_a(noproc))
                         ? why
                         : not_taken(ctx, why, process, reason, timeout);
        }
    }
    cop_process_unalias(ctx, ref);
    cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
    return result;
}

void cop__proc_lib_stop(cop_ctx *ctx, cop_term process, cop_term reason, int64_t timeout_ms) {
    cop_atom name;
    cop_pid pid;
    if (cop_get_atom(process, &name)) {
        process = cop_process_whereis(ctx, name);
        if (cop_is_none(process))
            cop_exit(ctx, cop_a(noproc));
    }
    if (!cop_get_pid(process, &pid))
        cop_error(ctx, cop_a(badarg));
    cop_term result = cop_proc_lib_try_stop(ctx, pid, reason, timeout_ms);
    if (!cop_match(result, cop_a(ok)))
        cop_exit(ctx, result);
}

/* ---- where a process came from ---------------------------------------------------------------------------------- */

/* $initial_call as {module, function, arity}; COP_NONE when there is none. */
static cop_term initial_call(cop_ctx *ctx, cop_pid process) {
    cop_term key = cop_tuple(ctx, cop_a(dictionary), cop_as("$initial_call"));
    cop_term call = cop_process_info(ctx, process, key);
    return cop_tuple_size(call) == 3 ? call : COP_NONE;
}

cop_term cop_proc_lib_initial_call(cop_ctx *ctx, cop_pid process) {
    cop_term call = initial_call(ctx, process);
    return cop_is_none(call) ? cop_a(false).t : sys_initial_call_shown(ctx, call);
}

cop_term cop_proc_lib_translate_initial_call(cop_ctx *ctx, cop_pid process) {
    cop_term call = initial_call(ctx, process);
    return cop_is_none(call) ? cop_tuple(ctx, cop_a(proc_lib), cop_a(init_p), 5) : call;
}

cop_term cop_proc_lib_get_label(cop_ctx *ctx, cop_pid process) {
    cop_term label = cop_process_info(ctx, process, cop_a(label));
    return cop_is_none(label) ? cop_a(undefined).t : label;
}
