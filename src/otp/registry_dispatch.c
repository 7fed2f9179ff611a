/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry.dispatch: a function is called with the entries under a key. In a registry whose entries are
 * spread by process, every partition has its own, and the function is called for each: in the
 * caller, or (parallel) in a process for each, which reads its entries itself. Such a process is
 * linked to the caller and monitored by it; the caller waits for all of them. What is left of them
 * (the exit signals of a caller that traps exits) is taken away.
 */
#include <coppice/module.h>

#include "registry_parts.h"

static void call(cop_ctx *ctx, cop_term fun_or_mfa, cop_term entries) {
    cop_atom module, function;
    cop_term args;
    if (cop_is_nil(entries))
        return;
    if (cop_match_tuple(fun_or_mfa, &module, &function, &args))
        cop_apply(ctx, module, function, cop_cons(ctx, entries, args));
    else
        cop_fun_call(ctx, fun_or_mfa, entries);
}

static void call_for(cop_ctx *ctx, const struct registry *r, int64_t index, cop_term key,
                     cop_term fun) {
    cop_term entries = COP_NIL;
    cop_table table = registry_partition(ctx, r, index, NULL);
    cop_table_read(ctx, table, &(cop_table_query){ .key = key }, &entries);
    call(ctx, fun, entries);
}

/* ---- in parallel -------------------------------------------------------------------------------- */

/* {caller, ref, registry, partition, key, fun} */
static void task(cop_ctx *ctx, cop_term arg) {
    cop_term caller, ref, key, fun;
    cop_atom name;
    int64_t index;
    if (!cop_match_tuple(arg, &caller, &ref, &name, &index, &key, &fun))
        cop_error(ctx, cop_a(badarg));
    struct registry r = registry_of(ctx, name);
    call_for(ctx, &r, index, key, fun);
    cop_send(ctx, caller, cop_tuple(ctx, ref, cop_a(ok)));
}

struct waiting {
    cop_pid pid;
    cop_ref ref, monitor;
};

static bool is_end(cop_term message, void *arg) {
    const struct waiting *w = arg;
    cop_term any;
    return cop_match_tuple(message, w->ref, &any)
           || cop_match_tuple(message, cop_as("DOWN"), w->monitor, &any, &any, &any);
}

static bool is_exit(cop_term message, void *arg) {
    cop_term any;
    return cop_match_tuple(message, cop_as("EXIT"), ((const struct waiting *)arg)->pid, &any);
}

static void await(cop_ctx *ctx, struct waiting *w) {
    cop_term message, reason, any;
    cop_receive_match(ctx, COP_INFINITY, is_end, w, &message);
    if (cop_match_tuple(message, cop_as("DOWN"), w->monitor, &any, &any, &reason)) {
        cop_term shown = cop_list(ctx, w->pid, cop_a(infinity));
        cop_exit(ctx, cop_tuple(ctx, reason,
                                cop_tuple(ctx, cop_as("Elixir.Task"), cop_a(await), shown)));
    }
    cop_process_demonitor(ctx, w->monitor, COP_DEMONITOR_FLUSH);
    cop_process_unlink(ctx, w->pid);
    cop_receive_match(ctx, 0, is_exit, w, &message);
}

static void dispatch_parallel(cop_ctx *ctx, const struct registry *r, cop_term key, cop_term fun) {
    struct waiting *waiting = cop_alloc(ctx, (size_t)r->partitions * sizeof *waiting);
    for (int64_t i = 0; i < r->partitions; i++) {
        waiting[i].ref = cop_make_ref(ctx);
        /* Monitored from its birth: it may have ended before it could be asked for. */
        cop_spawned s = cop_proc_lib_spawn_opt(
            ctx, task, cop_tuple(ctx, cop_self(ctx), waiting[i].ref, r->name, i, key, fun),
            &(cop_spawn_opts){ .link = true, .monitor = true });
        waiting[i].pid = s.pid;
        waiting[i].monitor = s.ref;
    }
    for (int64_t i = 0; i < r->partitions; i++)
        await(ctx, &waiting[i]);
    cop_free(ctx, waiting);
}

void cop__registry_dispatch(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term fun_or_mfa,
                            const cop_dispatch_opts *opts) {
    struct registry r = registry_of(ctx, registry);
    if (r.keys != COP_REGISTRY_DUPLICATE || r.partitions == 1) {
        call(ctx, fun_or_mfa, cop_registry_lookup(ctx, registry, key));
    } else if (opts != NULL && opts->parallel) {
        dispatch_parallel(ctx, &r, key, fun_or_mfa);
    } else {
        for (int64_t i = r.partitions; i > 0; i--)
            call_for(ctx, &r, i - 1, key, fun_or_mfa);
    }
}
