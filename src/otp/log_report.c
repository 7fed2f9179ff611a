/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a log event, as Elixir's console logger shows it (Logger.Translator, Exception).
 *
 * A report is told by its label and translated; a format of the emulator's own is recognised by its
 * beginning; everything else is shown as it is. Frames of C functions, {:c, function, arity, location},
 * are shown as "file.c:12: function".
 *
 * Threads: the process's own that has the buffer.
 */
#include <coppice/gen_server.h>
#include <stdio.h>
#include <string.h>

#include "log_text.h"

enum { EXIT_DEPTH = 8 };

/* ---- traces ------------------------------------------------------------------------------------------- */

bool log_is_trace(cop_term t) {
    cop_term frame, rest;
    if (!cop_match_cons(t, &frame, &rest))
        return cop_is_nil(t);
    return cop_tuple_size(frame) == 4 || cop_tuple_size(frame) == 3;
}

/* "kv.c:12: shard_handle_call"; false for what is no frame. */
static bool put_frame(cop_ctx *ctx, struct log_text *l, const char *before, cop_term frame) {
    cop_atom module, function;
    cop_term arity, location, file = COP_NONE, value, pair;
    int64_t line = 0;
    if (!cop_match_tuple(frame, &module, &function, &arity, &location))
        return false;
    while (cop_get_cons(location, &pair, &location)) {
        if (cop_match_tuple(pair, cop_a(file), &value))
            file = value;
        cop_match_tuple(pair, cop_a(line), &line);
    }
    log_put(ctx, l, before);
    if (!cop_is_none(file)) {
        log_put_chardata(ctx, l, file);
        log_put(ctx, l, ":");
        log_put_integer(ctx, l, line);
        log_put(ctx, l, ": ");
    }
    if (cop_match(module.t, cop_a(c)))
        log_put(ctx, l, cop_atom_name(function, NULL));
    else
        log_put_call(ctx, l, module, function, arity);
    return true;
}

static void put_trace(cop_ctx *ctx, struct log_text *l, const char *before, cop_term trace) {
    cop_term frame;
    while (cop_get_cons(trace, &frame, &trace))
        put_frame(ctx, l, before, frame);
}

/* ---- errors, as Exception.format_banner shows them ---------------------------------------------------------- */

/* %Module{message: "text"} as "(Module) text"; false for what is no exception. */
static bool put_exception(cop_ctx *ctx, struct log_text *l, cop_term error) {
    cop_atom module;
    cop_term message;
    cop_bytes text;
    if (!cop_match_key(error, cop_as("__struct__"), &module)
        || !cop_match_key(error, cop_a(message), &message) || !cop_get_bytes(message, &text))
        return false;
    const char *name = cop_atom_name(module, NULL);
    log_put(ctx, l, "(");
    log_put(ctx, l, strncmp(name, "Elixir.", 7) == 0 ? name + 7 : name);
    log_put(ctx, l, ") ");
    log_put_bytes(ctx, l, (const char *)text.data, text.size);
    return true;
}

/* {:sigsegv, address} as "(fault) SIGSEGV at 0x10". */
static bool put_fault(cop_ctx *ctx, struct log_text *l, cop_term error) {
    cop_atom name;
    cop_term address;
    uint64_t where = 0;
    if (!cop_match_tuple(error, &name, &address)
        || strncmp(cop_atom_name(name, NULL), "sig", 3) != 0)
        return false;
    char text[80], upper[16];
    size_t n = 0;
    cop_get_u64(address, &where);
    for (const char *c = cop_atom_name(name, NULL); *c != '\0' && n < sizeof upper - 1; c++)
        upper[n++] = (char)(*c - ('a' <= *c && *c <= 'z' ? 32 : 0));
    upper[n] = '\0';
    snprintf(text, sizeof text, "(fault) %s at 0x%llx", upper, (unsigned long long)where);
    log_put(ctx, l, text);
    return true;
}

static void put_undefined(cop_ctx *ctx, struct log_text *l, cop_term trace) {
    cop_atom module, function;
    cop_term args, location, rest, frame;
    log_put(ctx, l, "(UndefinedFunctionError) ");
    if (!cop_match_cons(trace, &frame, &rest)
        || !cop_match_tuple(frame, &module, &function, &args, &location)) {
        log_put(ctx, l, "undefined function");
        return;
    }
    int64_t arity = cop_list_length(args);
    log_put(ctx, l, "function ");
    log_put_call(ctx, l, module, function, arity < 0 ? args : cop_of(ctx, arity));
    log_put(ctx, l, " is undefined or private");
}

/* "no function clause matching in M.f/2", of the frame that was not found one for. */
static void put_no_clause(cop_ctx *ctx, struct log_text *l, cop_term trace) {
    cop_atom module, function;
    cop_term args, location, rest, frame;
    log_put(ctx, l, "(FunctionClauseError) no function clause matching");
    if (!cop_match_cons(trace, &frame, &rest)
        || !cop_match_tuple(frame, &module, &function, &args, &location))
        return;
    int64_t arity = cop_list_length(args);
    log_put(ctx, l, " in ");
    log_put_call(ctx, l, module, function, arity < 0 ? args : cop_of(ctx, arity));
}

/* {:badarity, {fun, args}} */
static void put_bad_arity(cop_ctx *ctx, struct log_text *l, cop_term fun, cop_term args) {
    int64_t n = cop_list_length(args);
    cop_term arg;
    log_put(ctx, l, "(BadArityError) ");
    log_put_term(ctx, l, fun);
    log_put(ctx, l, " with arity ");
    log_put_integer(ctx, l, cop_fun_arity(fun));
    log_put(ctx, l, " called with ");
    if (n <= 0) {
        log_put(ctx, l, "no arguments");
        return;
    }
    log_put_integer(ctx, l, n);
    log_put(ctx, l, n == 1 ? " argument (" : " arguments (");
    for (bool first = true; cop_get_cons(args, &arg, &args); first = false) {
        log_put(ctx, l, first ? "" : ", ");
        log_put_term(ctx, l, arg);
    }
    log_put(ctx, l, ")");
}

/* {tag, value} */
static bool put_tagged_error(cop_ctx *ctx, struct log_text *l, cop_term error) {
    static const struct {
        const char *tag, *text;
    } known[] = {
        { "badmatch", "(MatchError) no match of right hand side value: " },
        { "case_clause", "(CaseClauseError) no case clause matching: " },
        { "with_clause", "(WithClauseError) no with clause matching: " },
        { "try_clause", "(TryClauseError) no try clause matching: " },
        { "badfun", "(BadFunctionError) expected a function, got: " },
        { "badmap", "(BadMapError) expected a map, got: " },
    };
    cop_atom tag;
    cop_term value, fun, args;
    if (!cop_match_tuple(error, &tag, &value))
        return false;
    if (cop_match(tag.t, cop_a(badarity)) && cop_match_tuple(value, &fun, &args)) {
        put_bad_arity(ctx, l, fun, args);
        return true;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(cop_atom_name(tag, NULL), known[i].tag) == 0) {
            log_put(ctx, l, known[i].text);
            log_put_term(ctx, l, value);
            return true;
        }
    return false;
}

/* An Erlang error as the exception that Elixir makes of it; false for one it has no exception for. */
static bool put_known_error(cop_ctx *ctx, struct log_text *l, cop_term error, cop_term trace) {
    cop_term key, value;
    cop_atom operator;
    if (put_exception(ctx, l, error) || put_fault(ctx, l, error) || put_tagged_error(ctx, l, error))
        return true;
    if (cop_match(error, cop_a(undef))) {
        put_undefined(ctx, l, trace);
    } else if (cop_match(error, cop_a(function_clause))) {
        put_no_clause(ctx, l, trace);
    } else if (cop_match(error, cop_a(badarg))) {
        log_put(ctx, l, "(ArgumentError) argument error");
    } else if (cop_match(error, cop_a(badarith))) {
        log_put(ctx, l, "(ArithmeticError) bad argument in arithmetic expression");
    } else if (cop_match(error, cop_a(system_limit))) {
        log_put(ctx, l, "(SystemLimitError) a system limit has been reached");
    } else if (cop_match(error, cop_a(cond_clause))) {
        log_put(ctx, l, "(CondClauseError) no cond clause evaluated to a truthy value");
    } else if (cop_match_tuple(error, cop_a(badkey), &key, &value)) {
        log_put(ctx, l, "(KeyError) key ");
        log_put_term(ctx, l, key);
        log_put(ctx, l, " not found in: ");
        log_put_term(ctx, l, value);
    } else if (cop_match_tuple(error, cop_a(badbool), &operator, & value)) {
        log_put(ctx, l, "(BadBooleanError) expected a boolean on left-side of \"");
        log_put(ctx, l, cop_atom_name(operator, NULL));
        log_put(ctx, l, "\", got: ");
        log_put_term(ctx, l, value);
    } else {
        return false;
    }
    return true;
}

static void put_error(cop_ctx *ctx, struct log_text *l, cop_term error, cop_term trace) {
    if (put_known_error(ctx, l, error, trace))
        return;
    log_put(ctx, l, "(ErlangError) Erlang error: ");
    log_put_term(ctx, l, error);
}

/* ---- exit reasons, as Exception.format_exit shows them ----------------------------------------------------------- */

static bool put_known_exit(cop_ctx *ctx, struct log_text *l, cop_term reason) {
    static const struct {
        const char *atom, *text;
    } known[] = {
        { "normal", "normal" },
        { "shutdown", "shutdown" },
        { "calling_self", "process attempted to call itself" },
        { "timeout", "time out" },
        { "killed", "killed" },
        { "noconnection", "no connection" },
        { "noproc",
          "no process: the process is not alive or there's no process currently associated with the "
          "given name, possibly because its application isn't started" },
    }, tagged[] = {
        { "shutdown", "shutdown: " },
        { "nodedown", "no connection to " },
        { "bad_return_value", "bad return value: " },
        { "bad_call", "bad call: " },
        { "bad_cast", "bad cast: " },
    };
    cop_atom atom;
    cop_term value;
    if (cop_get_atom(reason, &atom)) {
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcmp(cop_atom_name(atom, NULL), known[i].atom) == 0) {
                log_put(ctx, l, known[i].text);
                return true;
            }
    } else if (cop_match_tuple(reason, &atom, &value)) {
        for (size_t i = 0; i < sizeof tagged / sizeof *tagged; i++)
            if (strcmp(cop_atom_name(atom, NULL), tagged[i].atom) == 0) {
                log_put(ctx, l, tagged[i].text);
                if (i == 1 && cop_get_atom(value, &atom))
                    log_put(ctx, l, cop_atom_name(atom, NULL));
                else
                    log_put_term(ctx, l, value);
                return true;
            }
    }
    return false;
}

/* A new line, and four spaces for each level. */
static const char *joiner(char *out, int depth) {
    out[0] = '\n';
    memset(out + 1, ' ', (size_t)depth * 4);
    out[1 + depth * 4] = '\0';
    return out;
}

static void put_exit_at(cop_ctx *ctx, struct log_text *l, cop_term reason, int depth) {
    char line[4 * (EXIT_DEPTH + 2) + 2];
    cop_term inner, trace;
    cop_atom module, function;
    if (depth > EXIT_DEPTH) {
        log_put_term(ctx, l, reason);
    } else if (cop_match_tuple(reason, &inner, &trace) && cop_is_cons(trace)
               && log_is_trace(trace)) {
        log_put(ctx, l, "an exception was raised:");
        log_put(ctx, l, joiner(line, depth));
        log_put(ctx, l, "** ");
        put_error(ctx, l, inner, trace);
        put_trace(ctx, l, joiner(line, depth + 1), trace);
    } else if (cop_match_tuple(reason, &inner, &trace)
               && cop_match_tuple(trace, &module, &function, &trace) && cop_is_list(trace)) {
        log_put(ctx, l, "exited in: ");
        log_put_call(ctx, l, module, function, trace);
        log_put(ctx, l, joiner(line, depth));
        log_put(ctx, l, "** (EXIT) ");
        put_exit_at(ctx, l, inner, depth + 1);
    } else if (!put_known_exit(ctx, l, reason)) {
        log_put_term(ctx, l, reason);
    }
}

static void put_exit(cop_ctx *ctx, struct log_text *l, const char *banner, cop_term reason) {
    log_put(ctx, l, banner);
    put_exit_at(ctx, l, reason, 1);
}

/* {error, trace}: an exception, "** (RuntimeError) boom", or as of an exit, "** (stop) reason", and in either
   case the trace; anything else is a reason without one. */
static void put_reason(cop_ctx *ctx, struct log_text *l, cop_term reason) {
    cop_term error, trace;
    if (!cop_match_tuple(reason, &error, &trace) || !cop_is_list(trace) || !log_is_trace(trace)
        || (cop_is_nil(trace) && !cop_is_map(error))) {
        put_exit(ctx, l, "** (stop) ", reason);
        return;
    }
    size_t before = l->size;
    log_put(ctx, l, "** ");
    if (!put_known_error(ctx, l, error, trace)) {
        l->size = before;
        put_exit(ctx, l, "** (stop) ", error);
    }
    put_trace(ctx, l, "\n    ", trace);
}

/* What was raised, by its class. */
static void put_raised(cop_ctx *ctx, struct log_text *l, cop_term class, cop_term reason,
                       cop_term trace) {
    if (cop_match(class, cop_a(error))) {
        log_put(ctx, l, "** ");
        put_error(ctx, l, reason, trace);
    } else if (cop_match(class, cop_a(throw))) {
        log_put(ctx, l, "** (throw) ");
        log_put_term(ctx, l, reason);
    } else {
        put_exit(ctx, l, "** (exit) ", reason);
    }
    put_trace(ctx, l, "\n    ", trace);
}

/* ---- reports --------------------------------------------------------------------------------------------------- */

static cop_term field(cop_term map, cop_atom key) {
    cop_term value;
    return cop_map_get(map, key.t, &value) ? value : COP_NONE;
}

static cop_term keyword(cop_term list, cop_atom key) {
    cop_term pair, value;
    while (cop_get_cons(list, &pair, &list))
        if (cop_match_tuple(pair, key, &value))
            return value;
    return COP_NONE;
}

static void put_pair(cop_ctx *ctx, struct log_text *l, const char *label, cop_term value) {
    if (cop_is_none(value))
        return;
    log_put(ctx, l, label);
    log_put_term(ctx, l, value);
}

static void put_label(cop_ctx *ctx, struct log_text *l, cop_term label) {
    if (!cop_is_none(label) && !cop_match(label, cop_a(undefined)))
        put_pair(ctx, l, "\nProcess Label: ", label);
}

static void put_server_report(cop_ctx *ctx, struct log_text *l, cop_term report) {
    cop_term reason = field(report, cop_a(reason)), client = field(report, cop_a(client_info));
    cop_term trace, who, what, name;
    log_put(ctx, l, "GenServer ");
    log_put_term(ctx, l, field(report, cop_a(name)));
    log_put(ctx, l, " terminating\n");
    put_reason(ctx, l, reason);
    put_label(ctx, l, field(report, cop_a(process_label)));
    log_put(ctx, l, "\nLast message");
    if (cop_match_tuple(client, &who, &what)) {
        if (cop_match_tuple(what, &name, &trace))
            who = name;
        log_put(ctx, l, " (from ");
        log_put_term(ctx, l, who);
        log_put(ctx, l, ")");
    }
    log_put(ctx, l, ": ");
    log_put_term(ctx, l, field(report, cop_a(last_message)));
    if (!l->details)
        return;
    log_put(ctx, l, "\nState: ");
    log_put_term(ctx, l, field(report, cop_a(state)));
    if (!cop_match_tuple(client, &who, &what))
        return;
    bool is_alive = cop_match_tuple(what, &name, &trace);
    log_put(ctx, l, "\nClient ");
    log_put_term(ctx, l, is_alive ? name : who);
    log_put(ctx, l, is_alive ? " is alive\n" : " is dead");
    if (is_alive)
        put_trace(ctx, l, "\n    ", trace);
}

/* observed: Elixir 1.14's Logger.Translator. */
static void put_task_report(cop_ctx *ctx, struct log_text *l, cop_term report) {
    log_put(ctx, l, "Task ");
    log_put_term(ctx, l, field(report, cop_a(name)));
    log_put(ctx, l, " started from ");
    log_put_term(ctx, l, field(report, cop_a(starter)));
    log_put(ctx, l, " terminating\n");
    put_reason(ctx, l, field(report, cop_a(reason)));
    put_label(ctx, l, field(report, cop_a(process_label)));
    put_pair(ctx, l, "\nFunction: ", field(report, cop_a(function)));
    put_pair(ctx, l, "\n    Args: ", field(report, cop_a(args)));
}

/* ":name (#PID<...>)", or the pid. */
static void put_who(cop_ctx *ctx, struct log_text *l, cop_term list) {
    cop_term name = keyword(list, cop_a(registered_name)), pid = keyword(list, cop_a(pid));
    if (!cop_is_atom(name)) {
        log_put_term(ctx, l, pid);
        return;
    }
    log_put_term(ctx, l, name);
    log_put(ctx, l, " (");
    log_put_term(ctx, l, pid);
    log_put(ctx, l, ")");
}

/* {module, function, arity or arguments}; a supervisor's is shown as its module's init. */
static void put_crash_call(cop_ctx *ctx, struct log_text *l, const char *before, const char *label,
                           cop_term call) {
    cop_atom module, function;
    cop_term args;
    if (!cop_match_tuple(call, &module, &function, &args))
        return;
    int64_t arity = cop_list_length(args);
    log_put(ctx, l, before);
    log_put(ctx, l, label);
    if (cop_match(module.t, cop_a(supervisor))) {
        log_put_function(ctx, l, function, cop_a(init));
        log_put(ctx, l, "/1");
        return;
    }
    log_put_call(ctx, l, module, function, arity < 0 ? args : cop_of(ctx, arity));
}

/* The rest of one process of a crash report: in full only at level debug. */
static void put_crash_info(cop_ctx *ctx, struct log_text *l, const char *before, cop_term list) {
    static const struct {
        const char *key, *label;
    } details[] = {
        { "message_queue_len", "Message Queue Length: " },
        { "messages", "Messages: " },
        { "links", "Links: " },
        { "dictionary", "Dictionary: " },
        { "trap_exit", "Trapping Exits: " },
        { "status", "Status: " },
        { "heap_size", "Heap Size: " },
        { "stack_size", "Stack Size: " },
        { "reductions", "Reductions: " },
    };
    char inner[32];
    cop_term trace = keyword(list, cop_a(current_stacktrace));
    put_crash_call(ctx, l, before, "Initial Call: ", keyword(list, cop_a(initial_call)));
    put_crash_call(ctx, l, before, "Current Call: ", keyword(list, cop_a(current_function)));
    log_put(ctx, l, before);
    put_pair(ctx, l, "Ancestors: ", keyword(list, cop_a(ancestors)));
    for (size_t i = 0; i < sizeof details / sizeof *details && l->details; i++) {
        cop_term value = keyword(list, cop_atom_new(details[i].key));
        if (cop_is_none(value))
            continue;
        log_put(ctx, l, before);
        put_pair(ctx, l, details[i].label, value);
    }
    if (!l->details || cop_is_none(trace))
        return;
    log_put(ctx, l, before);
    log_put(ctx, l, "Current Stacktrace:");
    snprintf(inner, sizeof inner, "%s    ", before);
    put_trace(ctx, l, inner, trace);
}

static void put_crash_report(cop_ctx *ctx, struct log_text *l, cop_term report) {
    cop_term own, neighbours, class, reason, trace, neighbour, list;
    if (!cop_match_cons(field(report, cop_a(report)), &own, &list)
        || !cop_match_cons(list, &neighbours, &list))
        return;
    log_put(ctx, l, "Process ");
    put_who(ctx, l, own);
    log_put(ctx, l, " terminating\n");
    if (cop_match_tuple(keyword(own, cop_a(error_info)), &class, &reason, &trace))
        put_raised(ctx, l, class, reason, trace);
    put_label(ctx, l, keyword(own, cop_a(process_label)));
    put_crash_info(ctx, l, "\n", own);
    if (cop_is_cons(neighbours))
        log_put(ctx, l, "\nNeighbours:");
    while (cop_get_cons(neighbours, &neighbour, &neighbours))
        if (cop_match_tuple(neighbour, cop_a(neighbour), &list)) {
            log_put(ctx, l, "\n    ");
            put_who(ctx, l, list);
            put_crash_info(ctx, l, "\n        ", list);
        }
}

/* "W.start_link(1, 2)"; "W.start_link/?" when the arguments were forgotten. */
static void put_start_call(cop_ctx *ctx, struct log_text *l, cop_term mfa) {
    cop_atom module, function;
    cop_term args;
    log_put(ctx, l, "\nStart Call: ");
    if (!cop_match_tuple(mfa, &module, &function, &args)) {
        log_put_term(ctx, l, mfa);
    } else if (cop_is_list(args)) {
        log_put_call(ctx, l, module, function, args);
    } else {
        log_put_function(ctx, l, module, function);
        log_put(ctx, l, "/?");
    }
}

static void put_supervisor_name(cop_ctx *ctx, struct log_text *l, cop_term name) {
    cop_term first = cop_is_tuple(name) ? cop_elem(name, 0) : name;
    if (!cop_is_pid(first)) { /* {:local, name}, {:global, name}, {:via, module, name} */
        log_put_term(ctx, l,
                     cop_is_tuple(name) ? cop_elem(name, (size_t)cop_tuple_size(name) - 1) : name);
        return;
    }
    log_put_term(ctx, l, first);
    if (cop_tuple_size(name) == 2) {
        log_put(ctx, l, " (");
        log_put_term(ctx, l, cop_elem(name, 1));
        log_put(ctx, l, ")");
    }
}

static void put_supervisor_report(cop_ctx *ctx, struct log_text *l, cop_term what, cop_term list) {
    bool progress = cop_match(what, cop_a(progress));
    cop_term child = keyword(list, progress ? cop_a(started) : cop_a(offender));
    cop_term reason = keyword(list, cop_a(reason));
    log_put(ctx, l, "Child ");
    log_put_term(ctx, l, keyword(child, cop_a(id)));
    log_put(ctx, l, " of Supervisor ");
    put_supervisor_name(ctx, l, keyword(list, cop_a(supervisor)));
    log_put(ctx, l,
            progress                                   ? " started"
            : cop_match(what, cop_a(start_error))      ? " failed to start"
            : cop_match(what, cop_a(child_terminated)) ? " terminated"
            : cop_match(what, cop_a(shutdown_error))   ? " shut down abnormally"
                                                       : " caused shutdown");
    if (!progress) {
        cop_match_tuple(reason, cop_as("EXIT"), &reason);
        put_exit(ctx, l, "\n** (exit) ", reason);
    }
    if (cop_is_pid(keyword(child, cop_a(pid))) && !cop_match(what, cop_a(shutdown)))
        put_pair(ctx, l, "\nPid: ", keyword(child, cop_a(pid)));
    put_start_call(ctx, l, keyword(child, cop_a(mfargs)));
    if (!l->details)
        return;
    put_pair(ctx, l, "\nRestart: ", keyword(child, cop_a(restart_type)));
    put_pair(ctx, l, "\nShutdown: ", keyword(child, cop_a(shutdown)));
    put_pair(ctx, l, "\nType: ", keyword(child, cop_a(child_type)));
}

/* "Process :name (#PID<...>) has been in one step for 250 ms", and where. */
static void put_stall(cop_ctx *ctx, struct log_text *l, cop_term list) {
    log_put(ctx, l, "Process ");
    put_who(ctx, l, list);
    log_put(ctx, l, " has been in one step for ");
    log_put_term(ctx, l, keyword(list, cop_a(timeout)));
    log_put(ctx, l, " ms");
    put_trace(ctx, l, "\n    ", keyword(list, cop_a(stacktrace)));
}

/* What the logger tells of itself. */
static void put_own(cop_ctx *ctx, struct log_text *l, cop_term what, cop_term list) {
    cop_term subject = keyword(list, cop_a(handler));
    bool is_filter = cop_is_none(subject);
    log_put(ctx, l, is_filter ? "Logger filter " : "Logger handler ");
    log_put_term(ctx, l, is_filter ? keyword(list, cop_a(filter)) : subject);
    if (cop_match(what, cop_a(dropped))) {
        log_put(ctx, l, " dropped ");
        log_put_term(ctx, l, keyword(list, cop_a(count)));
        log_put(ctx, l, " messages");
        return;
    }
    log_put(ctx, l,
            cop_match(what, cop_a(write_failed)) ? " could not write: "
            : cop_match(what, cop_a(restarted))  ? " was started again: "
                                                 : " was removed: ");
    log_put_term(ctx, l, keyword(list, cop_a(reason)));
}

static void put_report(cop_ctx *ctx, struct log_text *l, cop_term report) {
    cop_term label = field(report, cop_a(label)), what, inner = field(report, cop_a(report));
    if (cop_match_tuple(label, cop_a(gen_server), cop_a(terminate))) {
        put_server_report(ctx, l, report);
    } else if (cop_match_tuple(label, cop_a(proc_lib), cop_a(crash))) {
        put_crash_report(ctx, l, report);
    } else if (cop_match_tuple(label, cop_a(supervisor), &what)) {
        put_supervisor_report(ctx, l, what, inner);
    } else if (cop_match_tuple(label, cop_a(system_monitor), cop_a(long_schedule))) {
        put_stall(ctx, l, inner);
    } else if (cop_match_tuple(label, cop_as("Elixir.Task.Supervisor"), cop_a(terminating))) {
        put_task_report(ctx, l, inner);
    } else if (cop_match_tuple(label, cop_as("Elixir.DynamicSupervisor"), cop_a(unexpected_msg))) {
        log_put(ctx, l, "DynamicSupervisor received unexpected message: ");
        log_put_term(ctx, l, field(inner, cop_a(msg)));
        log_put(ctx, l, "\n");
    } else if (cop_match_tuple(label, cop_as("Elixir.GenServer"), cop_a(no_handle_info))) {
        log_put_term(ctx, l, field(inner, cop_a(module)));
        log_put(ctx, l, " ");
        log_put_term(ctx, l, field(inner, cop_a(name)));
        log_put(ctx, l, " received unexpected message in handle_info/2: ");
        log_put_term(ctx, l, field(inner, cop_a(message)));
    } else if (cop_match_tuple(label, cop_a(logger), &what) && cop_is_atom(what)) {
        put_own(ctx, l, what, inner);
    } else {
        log_put_term(ctx, l, cop_is_map(report) ? cop_map_to_list(ctx, report) : report);
    }
}

/* ---- formats and texts ---------------------------------------------------------------------------------------------- */

/* The emulator's "Error in process", args [pid, {error, trace}], as Elixir shows it. */
static bool put_process_error(cop_ctx *ctx, struct log_text *l, cop_term format, cop_term args) {
    cop_term pid, rest, reason, error, trace;
    if (!cop_is_cons(format) || !cop_match(cop_head(format), (int)'E')
        || !cop_match_cons(args, &pid, &rest) || !cop_is_pid(pid)
        || !cop_match_cons(rest, &reason, &rest) || !cop_match_tuple(reason, &error, &trace)
        || !cop_is_list(trace))
        return false;
    log_put(ctx, l, "Process ");
    log_put_term(ctx, l, pid);
    log_put(ctx, l, " raised an exception\n");
    put_raised(ctx, l, cop_a(error).t, error, trace);
    return true;
}

/* One directive of io_lib's, without the ~: "p", "ts", "10.2f". What is told of itself is inspected, whatever
   the field's width. Returns what is behind it. */
static const char *put_directive(cop_ctx *ctx, struct log_text *l, const char *at, cop_term *args) {
    cop_term value;
    at += strspn(at, "0123456789.-*");
    at += strspn(at, "tlkK");
    char directive = *at;
    if (directive == '~' || directive == 'n')
        log_put(ctx, l, directive == 'n' ? "\n" : "~");
    else if (directive == 's' && cop_get_cons(*args, &value, args))
        log_put_chardata(ctx, l, value);
    else if (directive == 'c' && cop_get_cons(*args, &value, args))
        log_put_chardata(ctx, l, cop_list(ctx, value));
    else if (cop_get_cons(*args, &value, args) && directive != 'i')
        log_put_term(ctx, l, value);
    return directive == '\0' ? at : at + 1;
}

static void put_format(cop_ctx *ctx, struct log_text *l, cop_term format, cop_term args) {
    if (put_process_error(ctx, l, format, args))
        return;
    struct log_text text = { 0 };
    log_put_chardata(ctx, &text, format);
    log_put_bytes(ctx, &text, "", 1); /* ends where it ends, or at a NUL of its own */
    for (const char *at = text.text; *at != '\0';) {
        size_t plain = strcspn(at, "~");
        log_put_bytes(ctx, l, at, plain);
        at += plain;
        if (*at == '~')
            at = put_directive(ctx, l, at + 1, &args);
    }
    cop_free(ctx, text.text);
}

void log_put_event(cop_ctx *ctx, struct log_text *l, cop_term event) {
    cop_term text, format, args, report;
    if (cop_match_tuple(event, cop_a(string), &text))
        log_put_chardata(ctx, l, text);
    else if (cop_match_tuple(event, cop_a(format), &format, &args))
        put_format(ctx, l, format, args);
    else if (cop_match_tuple(event, cop_a(report), &report))
        put_report(ctx, l, report);
    else
        log_put_term(ctx, l, event);
}
