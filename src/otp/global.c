/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Global names. They stand in a table of the process :global_name_server, which alone writes it and
 * monitors whoever has a name; reading asks no process. It starts with the first name that is registered,
 * belongs to nobody, and ends with the node.
 *
 * Invariant: each row's owner is monitored, so a row of a dead process is on its way out. Until then it
 * counts as free.
 */
#include <coppice/gen_server.h>
#include <coppice/global.h>
#include <coppice/module.h>
#include <coppice/table.h>

struct names {
    cop_table table;
};

static cop_table names_table(cop_ctx *ctx) { return cop_table_whereis(ctx, cop_a(global_names)); }

cop_term cop__global_whereis_name(cop_ctx *ctx, cop_term name) {
    cop_pid owner;
    if (cop_table_get(ctx, names_table(ctx), name, &owner, NULL) != COP_TABLE_OK
        || !cop_process_is_alive(ctx, owner))
        return COP_NONE;
    return owner.t;
}

/* ---- the server ------------------------------------------------------------------------------------------ */

static cop_init names_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct names *self = state;
    self->table = cop_table_new(ctx, &(cop_table_opts){ .name = cop_a(global_names) });
    return cop_init_ok();
}

static bool take(cop_ctx *ctx, struct names *self, cop_term name, cop_pid pid) {
    cop_pid holder;
    while (cop_table_insert(ctx, self->table, pid, name, COP_NIL, &holder) == COP_TABLE_TAKEN) {
        if (cop_process_is_alive(ctx, holder))
            return false;
        cop_table_remove(ctx, self->table, &(cop_table_query){ .owner = holder }, NULL);
    }
    cop_process_monitor(ctx, pid);
    return true;
}

static cop_next names_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct names *self = state;
    cop_term name;
    cop_pid pid;
    if (cop_match_tuple(request, cop_a(register), &name, &pid))
        return cop_reply(ctx, cop_bool(take(ctx, self, name, pid)));
    if (!cop_match_tuple(request, cop_a(unregister), &name))
        return cop_bad_call(ctx, request);
    if (cop_table_get(ctx, self->table, name, &pid, NULL) == COP_TABLE_OK)
        cop_table_remove(ctx, self->table, &(cop_table_query){ .key = name, .owner = pid }, NULL);
    return cop_reply(ctx, cop_a(ok));
}

static cop_next names_info(cop_ctx *ctx, void *state, cop_term message) {
    struct names *self = state;
    cop_term any;
    cop_pid pid;
    if (cop_match_tuple(message, cop_as("DOWN"), &any, &any, &pid, &any))
        cop_table_remove(ctx, self->table, &(cop_table_query){ .owner = pid }, NULL);
    return cop_noreply();
}

static const cop_gen_server names_server = {
    .name = "global",
    .state_size = sizeof(struct names),
    .init = names_init,
    .handle_call = names_call,
    .handle_info = names_info,
};

static cop_term ask(cop_ctx *ctx, cop_term request) {
    cop_atom server = cop_a(global_name_server);
    if (cop_is_none(cop_process_whereis(ctx, server))) /* if another was faster, it is there too */
        cop_gen_server_start(ctx, &names_server, COP_NIL, &(cop_start_opts){ .name = server });
    return cop_gen_server_call(ctx, server, request, COP_INFINITY);
}

/* ---- for clients ------------------------------------------------------------------------------------------- */

bool cop__global_register_name(cop_ctx *ctx, cop_term name, cop_pid pid) {
    return cop_match(ask(ctx, cop_tuple(ctx, cop_a(register), name, pid)), cop_a(true));
}

void cop__global_unregister_name(cop_ctx *ctx, cop_term name) {
    if (!cop_is_none(cop__global_whereis_name(ctx, name)))
        ask(ctx, cop_tuple(ctx, cop_a(unregister), name));
}

cop_pid cop__global_send(cop_ctx *ctx, cop_term name, cop_term message) {
    cop_pid pid;
    if (!cop_get_pid(cop__global_whereis_name(ctx, name), &pid))
        cop_exit(ctx, cop_tuple(ctx, cop_a(badarg), cop_tuple(ctx, name, message)));
    cop_send(ctx, pid, message);
    return pid;
}

cop_term cop_global_registered_names(cop_ctx *ctx) {
    cop_term names = COP_NIL;
    cop_table_read(ctx, names_table(ctx), &(cop_table_query){ .what = COP_TABLE_KEYS }, &names);
    return names;
}
