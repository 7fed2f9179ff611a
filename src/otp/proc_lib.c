/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc_lib: starting a process and waiting until it is ready; where it came from; crash reports.
 *
 * The starter spawns with a monitor and waits for one of three: {:ack, pid, ret}, {:nack, pid, ret}
 * (then also for the end of the process, so that nothing is left of it), or its down message. What a
 * failed start leaves in a trapping starter's queue ({:EXIT, pid, _}) is taken out.
 *
 * The new process gets a tuple {entry, parent, ancestors, initial_call, arg}; the entry travels as an
 * integer. Its dictionary gets $ancestors and $initial_call before the entry runs, and what the entry
 * raises is reported before the process ends with it.
 */
#include <coppice/proc_lib.h>
#include <string.h>

bool cop_reason_is_normal(cop_term reason) {
    cop_term any;
    return cop_match(reason, cop_a(normal)) || cop_match(reason, cop_a(shutdown))
           || cop_match_tuple(reason, cop_a(shutdown), &any);
}

/* ---- results as terms ------------------------------------------------------------------------------ */

cop_term cop_started_to_term(cop_ctx *ctx, cop_started s) {
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
    if (cop_match(t, cop_a(ignore))) {
        out->is = COP_IGNORE;
        return true;
    }
    out->is = COP_ERROR;
    return cop_match_tuple(t, cop_a(error), &out->reason);
}

/* ---- in the new process -------------------------------------------------------------------------------- */

static void report(cop_ctx *ctx, const char *class, cop_term reason, cop_term trace);

static const char *class_name(cop_class class) {
    return class == COP_CLASS_EXIT ? "exit" : class == COP_CLASS_ERROR ? "error" : "throw";
}

void cop_proc_lib_crash_report(cop_ctx *ctx, const cop_caught *caught) {
    if (caught->class == COP_CLASS_EXIT && cop_reason_is_normal(caught->reason))
        return;
    report(ctx, class_name(caught->class), caught->reason, caught->stacktrace);
}

/* A name is better than a pid: it is what people know. */
static cop_term name_or_self(cop_ctx *ctx) {
    cop_term name = cop_process_info(ctx, cop_self(ctx), cop_a(registered_name));
    return cop_is_atom(name) ? name : cop_self(ctx).t;
}

static void run(cop_ctx *ctx, cop_term packed) {
    uint64_t entry;
    cop_term parent, ancestors, initial_call, arg;
    if (!cop_match_tuple(packed, &entry, &parent, &ancestors, &initial_call, &arg))
        cop_error(ctx, cop_a(badarg));
    cop_process_put(ctx, cop_as("$ancestors").t, ancestors);
    cop_process_put(ctx, cop_as("$initial_call").t, initial_call);
    COP_TRY(ctx) { ((cop_entry)(uintptr_t)entry)(ctx, arg); }
    COP_CATCH(caught) {
        /* A behaviour that has reported already says so in the dictionary. */
        if (cop_is_none(cop_process_get(ctx, cop_as("$reported").t)))
            cop_proc_lib_crash_report(ctx, caught);
        cop_exit(ctx, cop_caught_reason(ctx, caught));
    }
}

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

void cop_proc_lib_init_ack(cop_ctx *ctx, cop_started started) {
    cop_send(ctx, cop_process_parent(ctx),
             cop_tuple(ctx, cop_a(ack), cop_self(ctx), cop_started_to_term(ctx, started)));
}

_Noreturn void cop_proc_lib_init_fail(cop_ctx *ctx, cop_started started, cop_term exit_reason) {
    cop_send(ctx, cop_process_parent(ctx),
             cop_tuple(ctx, cop_a(nack), cop_self(ctx), cop_started_to_term(ctx, started)));
    cop__exit(ctx, exit_reason);
}

/* ---- in the starter ---------------------------------------------------------------------------------------- */

static cop_spawned spawn(cop_ctx *ctx, cop_entry entry, cop_term arg, const cop_start_opts *opts,
                         bool link, bool monitor) {
    static const cop_start_opts defaults;
    if (opts == NULL)
        opts = &defaults;
    cop_term ancestors = cop_process_get(ctx, cop_as("$ancestors").t);
    ancestors = cop_list_tail(ctx, name_or_self(ctx), cop_is_none(ancestors) ? COP_NIL : ancestors);
    const char *name = opts->initial_call != NULL ? opts->initial_call : "entry";
    cop_atom module = cop_as("Elixir.entry");
    char full[256] = "Elixir.";
    if (strlen(name) < sizeof full - 8 && name[0] >= 'A' && name[0] <= 'Z') {
        strcat(full, name);
        module = cop_atom_new(full);
    } else {
        module = cop_atom_new(name);
    }
    cop_term initial = cop_tuple(ctx, module, cop_a(init), 1);
    cop_term packed = cop_tuple(ctx, (uint64_t)(uintptr_t)entry, cop_self(ctx), ancestors, initial,
                                cop_is_none(arg) ? cop_a(undefined).t : arg);
    cop_spawn_opts o = { .name_hint = opts->initial_call };
    if (opts->spawn != NULL) {
        o = *opts->spawn;
        if (o.monitor || o.monitor_alias != COP_ALIAS_NONE || !cop_is_none(o.monitor_tag))
            cop_error(ctx, cop_a(badarg));
    }
    o.link = o.link || link;
    o.monitor = monitor;
    return cop_process_spawn(ctx, run, packed, &o);
}

cop_pid cop_proc_lib_spawn(cop_ctx *ctx, cop_entry entry, cop_term arg) {
    return spawn(ctx, entry, arg, NULL, false, false).pid;
}

cop_pid cop_proc_lib_spawn_link(cop_ctx *ctx, cop_entry entry, cop_term arg) {
    return spawn(ctx, entry, arg, NULL, true, false).pid;
}

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

static void wait_for_end(cop_ctx *ctx, cop_ref ref) {
    cop_term down;
    cop_receive_ref(ctx, COP_INFINITY, ref, &down);
}

static cop_started wait_for_start(cop_ctx *ctx, cop_spawned child, int64_t timeout_ms,
                                  bool monitor) {
    struct waited waited = { child.pid, child.ref };
    cop_started result = { .is = COP_ERROR };
    cop_term message, ret, reason = COP_NONE, any;
    if (!cop_receive_match(ctx, timeout_ms, is_start_message, &waited, &message)) {
        cop_process_unlink(ctx, child.pid);
        cop_process_exit(ctx, child.pid, cop_a(kill).t);
        if (!monitor)
            wait_for_end(ctx, child.ref);
        flush_exit(ctx, child.pid);
        result.reason = cop_a(timeout).t;
    } else if (cop_match_tuple(message, cop_a(ack), child.pid, &ret)) {
        if (!monitor)
            cop_process_demonitor(ctx, child.ref, COP_DEMONITOR_FLUSH);
        if (!cop_started_from_term(ret, &result))
            result = cop_started_error(ret);
    } else if (cop_match_tuple(message, cop_a(nack), child.pid, &ret)) {
        if (!monitor)
            wait_for_end(ctx, child.ref);
        flush_exit(ctx, child.pid);
        if (!cop_started_from_term(ret, &result))
            result = cop_started_error(ret);
    } else {
        cop_match_tuple(message, cop_as("DOWN"), child.ref, &any, &any, &reason);
        flush_exit(ctx, child.pid);
        result.reason = reason;
        if (monitor) /* the caller is to see it too */
            cop_send(ctx, cop_self(ctx), message);
    }
    if (monitor)
        result.ref = child.ref;
    return result;
}

static cop_started start(cop_ctx *ctx, cop_entry entry, cop_term arg, const cop_start_opts *opts,
                         bool link, bool monitor) {
    cop_spawned child = spawn(ctx, entry, arg, opts, link, true);
    int64_t timeout = opts == NULL || opts->timeout_ms == 0 ? COP_INFINITY : opts->timeout_ms;
    return wait_for_start(ctx, child, timeout == COP_ZERO ? 0 : timeout, monitor);
}

cop_started cop_proc_lib_start(cop_ctx *ctx, cop_entry entry, cop_term arg,
                               const cop_start_opts *opts) {
    return start(ctx, entry, arg, opts, false, false);
}

cop_started cop_proc_lib_start_link(cop_ctx *ctx, cop_entry entry, cop_term arg,
                                    const cop_start_opts *opts) {
    return start(ctx, entry, arg, opts, true, false);
}

cop_started cop_proc_lib_start_monitor(cop_ctx *ctx, cop_entry entry, cop_term arg,
                                       const cop_start_opts *opts) {
    return start(ctx, entry, arg, opts, false, true);
}

/* ---- stopping --------------------------------------------------------------------------------------------------- */

cop_term cop_proc_lib_try_stop(cop_ctx *ctx, cop_pid process, cop_term reason, int64_t timeout_ms) {
    cop_ref ref = cop_process_monitor(ctx, process);
    cop_send(ctx, process,
             cop_tuple(ctx, cop_a(system), cop_tuple(ctx, cop_self(ctx), ref),
                       cop_tuple(ctx, cop_a(terminate), reason)));
    int64_t timeout = timeout_ms == 0 ? COP_INFINITY : timeout_ms == COP_ZERO ? 0 : timeout_ms;
    cop_term message, any, why;
    for (;;) {
        if (!cop_receive_ref(ctx, timeout, ref, &message)) {
            cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
            return cop_a(timeout).t;
        }
        if (cop_match_tuple(message, cop_as("DOWN"), ref, &any, &any, &why))
            return cop_same(why, reason) ? cop_a(ok).t : why;
        /* {ref, :ok}: the request was taken; its end comes next. */
    }
}

/* ---- crash reports ------------------------------------------------------------------------------------------------- */

static bool is_hidden_key(cop_term key) {
    cop_atom a;
    if (!cop_get_atom(key, &a))
        return false;
    const char *name = cop_atom_name(a, NULL);
    return strcmp(name, "$ancestors") == 0 || strcmp(name, "$initial_call") == 0
           || strcmp(name, "$process_label") == 0 || strcmp(name, "$reported") == 0;
}

static cop_term user_dictionary(cop_ctx *ctx) {
    cop_term list = cop_process_dictionary(ctx), shown = COP_NIL, pair;
    while (cop_get_cons(list, &pair, &list))
        if (!is_hidden_key(cop_elem(pair, 0)))
            shown = cop_cons(ctx, pair, shown);
    return cop_list_reverse(ctx, shown);
}

static cop_term item(cop_ctx *ctx, const char *name) {
    cop_atom key = cop_atom_new(name);
    return cop_tuple(ctx, key, cop_process_info(ctx, cop_self(ctx), key));
}

static cop_term initial_call_shown(cop_ctx *ctx) {
    cop_term call = cop_process_get(ctx, cop_as("$initial_call").t);
    if (cop_tuple_size(call) != 3)
        return cop_a(undefined).t;
    return cop_tuple(ctx, cop_elem(call, 0), cop_elem(call, 1),
                     cop_list(ctx, cop_as("Argument__1")));
}

static void report(cop_ctx *ctx, const char *class, cop_term reason, cop_term trace) {
    cop_term ancestors = cop_process_get(ctx, cop_as("$ancestors").t);
    cop_term own = cop_list(
        ctx, cop_tuple(ctx, cop_a(initial_call), initial_call_shown(ctx)),
        cop_tuple(ctx, cop_a(pid), cop_self(ctx)), item(ctx, "registered_name"),
        cop_tuple(ctx, cop_a(error_info), cop_tuple(ctx, cop_atom_new(class), reason, trace)),
        cop_tuple(ctx, cop_a(ancestors), cop_is_none(ancestors) ? COP_NIL : ancestors),
        item(ctx, "message_queue_len"), item(ctx, "messages"), item(ctx, "links"),
        cop_tuple(ctx, cop_a(dictionary), user_dictionary(ctx)), item(ctx, "trap_exit"),
        item(ctx, "status"), item(ctx, "heap_size"), item(ctx, "stack_size"),
        item(ctx, "reductions"));
    cop_term label = cop_tuple(ctx, cop_a(proc_lib), cop_a(crash));
    cop_term event = cop_map(ctx, cop_a(label), label, cop_a(report), cop_list(ctx, own, COP_NIL));
    cop_term kind = cop_map(ctx, cop_a(tag), cop_a(error_report), cop_a(type), cop_a(crash_report));
    cop_term title = cop_map(ctx, cop_a(title), cop_charlist(ctx, "CRASH REPORT"));
    cop_log(ctx, COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(report), event),
            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp), cop_a(sasl)), cop_a(error_logger),
                    kind, cop_a(logger_formatter), title));
}
