/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logger: a callback process registered as :logger that writes what Elixir's console logger
 * writes.
 *
 * An event is {:string, text}, {:format, format, args} or {:report, map}; a report is told by its label
 * and translated into the text Elixir shows for it. The text is put together in a buffer of the
 * process's and written at once, so that lines of two events never mix. An overloaded logger drops:
 * what waits beyond the limit is counted, and the count is written when there is room again.
 *
 * Threads: the process's own.
 */
#include <coppice/gen_server.h>
#include <coppice/logger.h>
#include <coppice/node.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct logger {
    cop_logger_opts opts;
    char *text;
    size_t size, cap;
    uint64_t dropped;
};

/* ---- the buffer --------------------------------------------------------------------------------------- */

static void put_bytes(cop_ctx *ctx, struct logger *l, const char *bytes, size_t n) {
    if (l->cap - l->size < n + 1) {
        l->cap = (l->cap + n + 1) * 2;
        l->text = cop_realloc(ctx, l->text, l->cap);
    }
    memcpy(l->text + l->size, bytes, n);
    l->size += n;
}

static void put(cop_ctx *ctx, struct logger *l, const char *text) {
    put_bytes(ctx, l, text, strlen(text));
}

static void put_term(cop_ctx *ctx, struct logger *l, cop_term t) {
    cop_bytes bytes;
    if (cop_get_bytes(cop_inspect(ctx, t, NULL), &bytes))
        put_bytes(ctx, l, (const char *)bytes.data, bytes.size);
}

static void put_text(cop_ctx *ctx, struct logger *l, cop_term iodata) {
    int64_t size = cop_iodata_size(iodata);
    if (size < 0) {
        put_term(ctx, l, iodata);
        return;
    }
    cop_bytes bytes;
    if (cop_get_bytes(cop_iodata_to_binary(ctx, iodata), &bytes))
        put_bytes(ctx, l, (const char *)bytes.data, bytes.size);
}

static void write_out(struct logger *l) {
    int fd = l->opts.fd == 0 ? STDERR_FILENO : l->opts.fd;
    for (size_t at = 0; at < l->size;) {
        ssize_t n = write(fd, l->text + at, l->size - at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    l->size = 0;
}

/* ---- reasons, as Elixir's Exception.format_exit shows them ------------------------------------------------- */

static bool is_trace(cop_term t) {
    cop_term frame, rest;
    if (!cop_match_cons(t, &frame, &rest))
        return cop_is_nil(t);
    return cop_tuple_size(frame) == 4 || cop_tuple_size(frame) == 3;
}

static void put_charlist(cop_ctx *ctx, struct logger *l, cop_term t) {
    cop_term c;
    int64_t code;
    while (cop_get_cons(t, &c, &t))
        if (cop_get_i64(c, &code) && code > 0 && code < 128) {
            char byte = (char)code;
            put_bytes(ctx, l, &byte, 1);
        }
}

/* "    kv.c:12: shard_handle_call" */
static void put_trace(cop_ctx *ctx, struct logger *l, cop_term trace, const char *newline) {
    cop_term frame;
    if (cop_is_nil(trace))
        return;
    while (cop_get_cons(trace, &frame, &trace)) {
        cop_atom module, function;
        cop_term arity, location, file = COP_NONE, value, pair;
        int64_t line = 0;
        if (!cop_match_tuple(frame, &module, &function, &arity, &location))
            continue;
        while (cop_get_cons(location, &pair, &location)) {
            if (cop_match_tuple(pair, cop_a(file), &value))
                file = value;
            cop_match_tuple(pair, cop_a(line), &line);
        }
        put(ctx, l, newline);
        if (!cop_is_none(file)) {
            char number[24];
            put_charlist(ctx, l, file);
            snprintf(number, sizeof number, ":%lld: ", (long long)line);
            put(ctx, l, number);
        }
        put(ctx, l, cop_atom_name(function, NULL));
    }
}

/* %Module{message: "text"} as "(Module) text"; false for what is no exception. */
static bool put_exception(cop_ctx *ctx, struct logger *l, cop_term error) {
    cop_atom module;
    cop_term message;
    cop_bytes text;
    if (!cop_match_key(error, cop_as("__struct__"), &module)
        || !cop_match_key(error, cop_a(message), &message) || !cop_get_bytes(message, &text))
        return false;
    const char *name = cop_atom_name(module, NULL);
    put(ctx, l, "(");
    put(ctx, l, strncmp(name, "Elixir.", 7) == 0 ? name + 7 : name);
    put(ctx, l, ") ");
    put_bytes(ctx, l, (const char *)text.data, text.size);
    return true;
}

static void put_error(cop_ctx *ctx, struct logger *l, cop_term error) {
    cop_atom name;
    cop_term address;
    if (put_exception(ctx, l, error))
        return;
    if (cop_match_tuple(error, &name, &address)
        && strncmp(cop_atom_name(name, NULL), "sig", 3) == 0) {
        char text[80];
        uint64_t where = 0;
        cop_get_u64(address, &where);
        char upper[16];
        size_t n = 0;
        for (const char *c = cop_atom_name(name, NULL); *c != '\0' && n < sizeof upper - 1; c++)
            upper[n++] = (char)(*c - ('a' <= *c && *c <= 'z' ? 32 : 0));
        upper[n] = '\0';
        snprintf(text, sizeof text, "(fault) %s at 0x%llx", upper, (unsigned long long)where);
        put(ctx, l, text);
        return;
    }
    put(ctx, l, "(ErlangError) Erlang error: ");
    put_term(ctx, l, error);
}

/* "** (RuntimeError) boom" with its trace, or "** (stop) reason". */
static void put_reason(cop_ctx *ctx, struct logger *l, cop_term reason) {
    cop_term error, trace, value;
    put(ctx, l, "** ");
    if (cop_match_tuple(reason, &error, &trace) && cop_is_list(trace) && is_trace(trace)
        && (cop_is_map(error) || !cop_is_nil(trace))) {
        put_error(ctx, l, error);
        put_trace(ctx, l, trace, "\n    ");
        return;
    }
    if (cop_match_tuple(reason, cop_a(bad_return_value), &value)) {
        put(ctx, l, "(stop) bad return value: ");
        put_term(ctx, l, value);
        return;
    }
    put(ctx, l, "(stop) ");
    if (cop_match(reason, cop_a(noproc)))
        put(ctx, l,
            "no process: the process is not alive or there's no process currently "
            "associated with the given name, possibly because its application isn't started");
    else
        put_term(ctx, l, reason);
}

/* ---- reports --------------------------------------------------------------------------------------------------- */

static cop_term field(cop_term map, cop_atom key) {
    cop_term value;
    return cop_map_get(map, key.t, &value) ? value : COP_NONE;
}

static void put_server_report(cop_ctx *ctx, struct logger *l, cop_term report) {
    cop_term reason = field(report, cop_a(reason)), client = field(report, cop_a(client_info));
    cop_term error, trace, pid, what;
    put(ctx, l, "GenServer ");
    put_term(ctx, l, field(report, cop_a(name)));
    put(ctx, l, " terminating\n");
    /* What was raised is shown with its trace; an exit in a callback as a stop. */
    if (cop_match_tuple(reason, &error, &trace) && cop_is_nil(trace) && !cop_is_map(error))
        reason = error;
    put_reason(ctx, l, reason);
    put(ctx, l, "\nLast message");
    if (cop_match_tuple(client, &pid, &what)) {
        put(ctx, l, " (from ");
        put_term(ctx, l, pid);
        put(ctx, l, ")");
    }
    put(ctx, l, ": ");
    put_term(ctx, l, field(report, cop_a(last_message)));
    put(ctx, l, "\nState: ");
    put_term(ctx, l, field(report, cop_a(state)));
    if (cop_match_tuple(client, &pid, &what)) {
        put(ctx, l, "\nClient ");
        put_term(ctx, l, pid);
        put(ctx, l, cop_match(what, cop_a(dead)) ? " is dead" : " is alive");
    }
}

static cop_term keyword(cop_term list, cop_atom key) {
    cop_term pair, value;
    while (cop_get_cons(list, &pair, &list))
        if (cop_match_tuple(pair, key, &value))
            return value;
    return COP_NONE;
}

static void put_pair(cop_ctx *ctx, struct logger *l, const char *label, cop_term value) {
    if (cop_is_none(value))
        return;
    put(ctx, l, label);
    put_term(ctx, l, value);
}

static void put_crash_report(cop_ctx *ctx, struct logger *l, cop_term report) {
    cop_term own, rest, list = field(report, cop_a(report)), class, reason, trace;
    if (!cop_match_cons(list, &own, &rest))
        return;
    put(ctx, l, "Process ");
    put_term(ctx, l, keyword(own, cop_a(pid)));
    put(ctx, l, " terminating\n");
    if (cop_match_tuple(keyword(own, cop_a(error_info)), &class, &reason, &trace)) {
        if (cop_match(class, cop_a(error)))
            reason = cop_tuple(ctx, reason, trace);
        put_reason(ctx, l, reason);
    }
    put_pair(ctx, l, "\nInitial Call: ", keyword(own, cop_a(initial_call)));
    put_pair(ctx, l, "\nAncestors: ", keyword(own, cop_a(ancestors)));
    put_pair(ctx, l, "\nMessage Queue Length: ", keyword(own, cop_a(message_queue_len)));
    put_pair(ctx, l, "\nMessages: ", keyword(own, cop_a(messages)));
    put_pair(ctx, l, "\nLinks: ", keyword(own, cop_a(links)));
    put_pair(ctx, l, "\nDictionary: ", keyword(own, cop_a(dictionary)));
    put_pair(ctx, l, "\nTrapping Exits: ", keyword(own, cop_a(trap_exit)));
    put_pair(ctx, l, "\nStatus: ", keyword(own, cop_a(status)));
    put_pair(ctx, l, "\nHeap Size: ", keyword(own, cop_a(heap_size)));
    put_pair(ctx, l, "\nStack Size: ", keyword(own, cop_a(stack_size)));
    put_pair(ctx, l, "\nReductions: ", keyword(own, cop_a(reductions)));
}

/* As Exception.format_exit shows an exit reason. */
static void put_exit(cop_ctx *ctx, struct logger *l, cop_term reason) {
    cop_term inner, trace;
    cop_match_tuple(reason, cop_as("EXIT"), &reason);
    if (cop_match_tuple(reason, &inner, &trace) && cop_is_cons(trace) && is_trace(trace)) {
        put(ctx, l, "an exception was raised:\n    ** ");
        put_error(ctx, l, inner);
        put_trace(ctx, l, trace, "\n        ");
    } else if (cop_match(reason, cop_a(normal)) || cop_match(reason, cop_a(shutdown))
               || cop_match(reason, cop_a(killed))) {
        cop_atom name;
        cop_get_atom(reason, &name);
        put(ctx, l, cop_atom_name(name, NULL));
    } else if (cop_match_tuple(reason, cop_a(shutdown), &inner)) {
        put(ctx, l, "shutdown: ");
        put_term(ctx, l, inner);
    } else if (cop_match(reason, cop_a(noproc))) {
        put(ctx, l,
            "no process: the process is not alive or there's no process currently "
            "associated with the given name, possibly because its application isn't started");
    } else {
        put_term(ctx, l, reason);
    }
}

/* "W.start_link(1, 2)"; "W.start_link/?" when the arguments were forgotten. */
static void put_start_call(cop_ctx *ctx, struct logger *l, cop_term mfa) {
    cop_term module, args, arg;
    cop_atom function;
    put(ctx, l, "\nStart Call: ");
    if (!cop_match_tuple(mfa, &module, &function, &args)) {
        put_term(ctx, l, mfa);
        return;
    }
    put_term(ctx, l, module);
    put(ctx, l, ".");
    put(ctx, l, cop_atom_name(function, NULL));
    if (!cop_is_list(args)) {
        put(ctx, l, "/?");
        return;
    }
    put(ctx, l, "(");
    for (bool first = true; cop_get_cons(args, &arg, &args); first = false) {
        put(ctx, l, first ? "" : ", ");
        put_term(ctx, l, arg);
    }
    put(ctx, l, ")");
}

static void put_supervisor_name(cop_ctx *ctx, struct logger *l, cop_term name) {
    cop_term first = cop_is_tuple(name) ? cop_elem(name, 0) : name;
    if (!cop_is_pid(first)) { /* {:local, name}, {:global, name}, {:via, module, name} */
        put_term(ctx, l,
                 cop_is_tuple(name) ? cop_elem(name, (size_t)cop_tuple_size(name) - 1) : name);
        return;
    }
    put_term(ctx, l, first);
    if (cop_tuple_size(name) == 2) {
        put(ctx, l, " (");
        put_term(ctx, l, cop_elem(name, 1));
        put(ctx, l, ")");
    }
}

static void put_supervisor_report(cop_ctx *ctx, struct logger *l, cop_term what, cop_term list) {
    bool progress = cop_match(what, cop_a(progress));
    cop_term child = keyword(list, progress ? cop_a(started) : cop_a(offender));
    put(ctx, l, "Child ");
    put_term(ctx, l, keyword(child, cop_a(id)));
    put(ctx, l, " of Supervisor ");
    put_supervisor_name(ctx, l, keyword(list, cop_a(supervisor)));
    put(ctx, l,
        progress                                   ? " started"
        : cop_match(what, cop_a(start_error))      ? " failed to start"
        : cop_match(what, cop_a(child_terminated)) ? " terminated"
        : cop_match(what, cop_a(shutdown_error))   ? " shut down abnormally"
                                                   : " caused shutdown");
    if (!progress) {
        put(ctx, l, "\n** (exit) ");
        put_exit(ctx, l, keyword(list, cop_a(reason)));
    }
    if (cop_is_pid(keyword(child, cop_a(pid))) && !cop_match(what, cop_a(shutdown)))
        put_pair(ctx, l, "\nPid: ", keyword(child, cop_a(pid)));
    put_start_call(ctx, l, keyword(child, cop_a(mfargs)));
    if (l->opts.level != 0 && l->opts.level != COP_LEVEL_DEBUG)
        return; /* the rest is for those who debug */
    put_pair(ctx, l, "\nRestart: ", keyword(child, cop_a(restart_type)));
    put_pair(ctx, l, "\nShutdown: ", keyword(child, cop_a(shutdown)));
    put_pair(ctx, l, "\nType: ", keyword(child, cop_a(child_type)));
}

static void put_report(cop_ctx *ctx, struct logger *l, cop_term report) {
    cop_term label = field(report, cop_a(label)), what, inner = field(report, cop_a(report));
    if (cop_match_tuple(label, cop_a(gen_server), cop_a(terminate))) {
        put_server_report(ctx, l, report);
    } else if (cop_match_tuple(label, cop_a(proc_lib), cop_a(crash))) {
        put_crash_report(ctx, l, report);
    } else if (cop_match_tuple(label, cop_a(supervisor), &what)) {
        put_supervisor_report(ctx, l, what, inner);
    } else if (cop_match_tuple(label, cop_as("Elixir.DynamicSupervisor"), cop_a(unexpected_msg))) {
        put(ctx, l, "DynamicSupervisor received unexpected message: ");
        put_term(ctx, l, field(inner, cop_a(msg)));
        put(ctx, l, "\n");
    } else if (cop_match_tuple(label, cop_as("Elixir.GenServer"), cop_a(no_handle_info))) {
        put_term(ctx, l, field(inner, cop_a(module)));
        put(ctx, l, " ");
        put_term(ctx, l, field(inner, cop_a(name)));
        put(ctx, l, " received unexpected message in handle_info/2: ");
        put_term(ctx, l, field(inner, cop_a(message)));
    } else {
        put_term(ctx, l, report);
    }
}

/* {:format, format, args}: ~p and ~n are all that the run-time's own formats have; the emulator's
   "Error in process" is shown as Elixir shows it. */
static void put_format(cop_ctx *ctx, struct logger *l, cop_term format, cop_term args) {
    cop_term pid, rest, reason, c;
    cop_term head = cop_is_cons(format) ? cop_head(format) : COP_NIL;
    if (cop_match(head, (int)'E') && cop_match_cons(args, &pid, &rest) && cop_is_pid(pid)
        && cop_match_cons(rest, &reason, &c)) {
        put(ctx, l, "Process ");
        put_term(ctx, l, pid);
        put(ctx, l, " raised an exception\n");
        put_reason(ctx, l, reason);
        return;
    }
    int64_t code;
    while (cop_get_cons(format, &c, &format)) {
        if (!cop_get_i64(c, &code) || code <= 0 || code > 127)
            continue;
        if (code == '~' && cop_is_cons(format)) {
            cop_term directive = cop_head(format), value;
            format = cop_tail(format);
            if (cop_match(directive, (int)'n'))
                put(ctx, l, "\n");
            else if (cop_get_cons(args, &value, &args))
                put_term(ctx, l, value);
            continue;
        }
        char byte = (char)code;
        put_bytes(ctx, l, &byte, 1);
    }
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static cop_level level_of(cop_term name) {
    static const char *const names[] = { "emergency", "alert",  "critical", "error",
                                         "warning",   "notice", "info",     "debug" };
    cop_atom a;
    for (unsigned i = 0; i < 8; i++)
        if (cop_get_atom(name, &a) && strcmp(cop_atom_name(a, NULL), names[i]) == 0)
            return (cop_level)i;
    return COP_LEVEL_ERROR;
}

static bool is_of_sasl(cop_term metadata) {
    cop_term domain, first, rest;
    return cop_map_get(metadata, cop_a(domain).t, &domain)
           && cop_match_cons(domain, cop_a(otp), &rest) && cop_match_cons(rest, &first, &rest)
           && cop_match(first, cop_a(sasl));
}

static void put_header(cop_ctx *ctx, struct logger *l, cop_term level, cop_term metadata) {
    cop_atom name;
    cop_term time_us;
    int64_t us = 0;
    put(ctx, l, "\n");
    if (!l->opts.no_time) {
        if (cop_map_get(metadata, cop_a(time).t, &time_us))
            cop_get_i64(time_us, &us);
        time_t seconds = us / 1000000;
        struct tm tm;
        char text[32];
        localtime_r(&seconds, &tm);
        snprintf(text, sizeof text, "%02d:%02d:%02d.%03d ", tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int)(us / 1000 % 1000));
        put(ctx, l, text);
    }
    put(ctx, l, "[");
    put(ctx, l, cop_get_atom(level, &name) ? cop_atom_name(name, NULL) : "error");
    put(ctx, l, "] ");
}

static void log_event(cop_ctx *ctx, struct logger *l, cop_term level, cop_term event,
                      cop_term metadata) {
    cop_term text, format, args, report;
    cop_level limit = l->opts.level == 0 ? COP_LEVEL_DEBUG : l->opts.level;
    if (level_of(level) > limit || (!l->opts.sasl_reports && is_of_sasl(metadata)))
        return;
    put_header(ctx, l, level, metadata);
    if (cop_match_tuple(event, cop_a(string), &text))
        put_text(ctx, l, text);
    else if (cop_match_tuple(event, cop_a(format), &format, &args))
        put_format(ctx, l, format, args);
    else if (cop_match_tuple(event, cop_a(report), &report))
        put_report(ctx, l, report);
    else
        put_term(ctx, l, event);
    put(ctx, l, "\n");
    write_out(l);
}

static bool is_overloaded(cop_ctx *ctx, struct logger *l) {
    size_t limit = l->opts.queue_limit == 0 ? 1000 : l->opts.queue_limit;
    int64_t waiting;
    return cop_get_i64(cop_process_info(ctx, cop_self(ctx), cop_a(message_queue_len)), &waiting)
           && (size_t)waiting > limit;
}

static void on_message(cop_ctx *ctx, void *state, cop_term message) {
    struct logger *l = state;
    cop_term level, event, metadata;
    cop_pid pid;
    cop_ref ref;
    if (cop_match_tuple(message, cop_a(log), &level, &event, &metadata)) {
        if (is_overloaded(ctx, l)) {
            l->dropped++;
            return;
        }
        if (l->dropped > 0) {
            char text[80];
            snprintf(text, sizeof text, "\n[warning] Logger dropped %llu events\n",
                     (unsigned long long)l->dropped);
            put(ctx, l, text);
            l->dropped = 0;
        }
        log_event(ctx, l, level, event, metadata);
    } else if (cop_match_tuple(message, cop_a(flush), &pid, &ref)) {
        cop_send(ctx, pid, cop_tuple(ctx, ref, cop_a(ok)));
    }
}

/* The options of the next logger; starting is a host call, one at a time. */
static cop_logger_opts next_opts;

static void logger_entry(cop_ctx *ctx, cop_term arg) {
    static const cop_callbacks callbacks = { .name = "logger", .message = on_message };
    struct logger *l = cop_process_state(ctx, sizeof *l);
    l->opts = next_opts;
    if (!cop_process_try_register(ctx, cop_self(ctx), cop_a(logger)))
        cop_exit(ctx, cop_a(already_started));
    cop_process_set_priority(ctx, COP_PRIORITY_HIGH);
    cop_become(ctx, &callbacks, l);
}

cop_pid cop_logger_start(const cop_logger_opts *opts) {
    next_opts = opts != NULL ? *opts : (cop_logger_opts){ 0 };
    return cop_node_spawn(logger_entry);
}

void cop_logger_flush(cop_ctx *ctx) {
    cop_term logger = cop_process_whereis(ctx, cop_a(logger)), message;
    if (cop_is_none(logger))
        return;
    cop_ref ref = cop_process_monitor(ctx, logger);
    cop_send(ctx, logger, cop_tuple(ctx, cop_a(flush), cop_self(ctx), ref));
    cop_receive_ref(ctx, 5000, ref, &message);
    cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
}

void cop_logger_write(cop_ctx *ctx, cop_level level, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cop_log(ctx, level, cop_tuple(ctx, cop_a(string), (const char *)text), COP_NONE);
}
