/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A partition of a registry: a gen_server that owns a table, removes the entries of processes that end
 * (it is linked to all that have some), and hands out locks.
 *
 * Locks: for each key a queue of {ref, from, pid}; the first has the lock, and has been answered with its
 * ref, which is also the partition's monitor of that process. An unlock or the end of a process takes
 * its place out of the queue; when that was the first, the next one is answered.
 */
#include <stdio.h>
#include <string.h>

#include "registry_parts.h"

struct partition {
    cop_term locks; /* a map from keys to queues */
    cop_term name;  /* of the registry: an atom */
    cop_table table, own;
};

cop_atom registry_partition_name(cop_ctx *ctx, cop_atom registry, int64_t index) {
    size_t size;
    const char *name = cop_atom_name(registry, &size);
    char text[400];
    cop_atom atom;
    bool is_module = strncmp(name, "Elixir.", 7) == 0; /* as Module.concat does it */
    int length = snprintf(text, sizeof text, "%s%s.PIDPartition%lld", is_module ? "" : "Elixir.",
                          name, (long long)index);
    if (length < 0 || (size_t)length >= sizeof text || !cop_atom_try(text, (size_t)length, &atom))
        cop_error(ctx, cop_a(system_limit));
    return atom;
}

/* ---- locks ---------------------------------------------------------------------------------------- */

static void grant(cop_ctx *ctx, cop_term place) {
    cop_gen_server_reply(ctx, (cop_from){ cop_elem(place, 1) }, cop_elem(place, 0));
}

static void set_queue(cop_ctx *ctx, struct partition *p, cop_term key, cop_term queue) {
    p->locks = cop_is_nil(queue) ? cop_map_remove(ctx, p->locks, key)
                                 : cop_map_put(ctx, p->locks, key, queue);
}

static void lock(cop_ctx *ctx, struct partition *p, cop_term key, cop_from from) {
    cop_monitor_opts opts = { .tag = cop_tuple(ctx, cop_a(unlock), key) };
    cop_term pid = cop_elem(from.t, 0), queue = COP_NIL;
    cop_ref ref = cop_process_monitor_opts(ctx, pid, &opts);
    cop_term place = cop_tuple(ctx, ref, from, pid);
    cop_map_get(p->locks, key, &queue);
    if (cop_is_nil(queue))
        grant(ctx, place);
    set_queue(ctx, p, key, cop_list_append(ctx, queue, cop_list(ctx, place)));
}

/* Is this the place of `who`? A reference: that one's. A pid: of that process. */
static bool is_place_of(cop_term place, cop_term who) {
    return cop_elem(place, cop_is_pid(who) ? 2 : 0).w == who.w;
}

/* `who` a pid: it has given up waiting, so its last place is meant. */
static void unlock(cop_ctx *ctx, struct partition *p, cop_term key, cop_term who) {
    cop_term queue = COP_NIL, place, rest, found = COP_NONE, kept = COP_NIL;
    cop_map_get(p->locks, key, &queue);
    for (rest = queue; cop_get_cons(rest, &place, &rest);)
        if (is_place_of(place, who))
            found = place;
    if (cop_is_none(found))
        return;
    cop_process_demonitor(ctx, (cop_ref){ cop_elem(found, 0) }, COP_DEMONITOR_FLUSH);
    bool was_first = cop_head(queue).w == found.w;
    for (rest = queue; cop_get_cons(rest, &place, &rest);)
        if (place.w != found.w)
            kept = cop_cons(ctx, place, kept);
    kept = cop_list_reverse(ctx, kept);
    set_queue(ctx, p, key, kept);
    if (was_first && cop_is_cons(kept))
        grant(ctx, cop_head(kept));
}

/* ---- the server -------------------------------------------------------------------------------------- */

static cop_init partition_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct partition *p = state;
    cop_atom name;
    int64_t index, partitions;
    int keys;
    if (!cop_match_tuple(arg, &name, &index, &keys, &partitions))
        return cop_init_stop(cop_a(badarg));
    cop_process_trap_exit(ctx, true);
    p->locks = cop_map(ctx);
    p->name = name.t;
    p->own = cop_table_whereis(ctx, name);
    if (keys != COP_REGISTRY_UNIQUE || index == 0)
        p->table =
            cop_table_new(ctx, &(cop_table_opts){ .duplicate = keys != COP_REGISTRY_UNIQUE });
    cop_table_put(ctx, p->own, COP_INT(index), cop_tuple(ctx, cop_self(ctx), p->table.id));
    if (index == 0) {
        cop_term listeners = COP_NIL;
        cop_table_get(ctx, p->own, COP_INT(REGISTRY_LISTENERS), NULL, &listeners);
        cop_table_put(ctx, p->own, COP_INT(REGISTRY_INFO),
                      cop_tuple(ctx, keys, partitions, p->table.id, cop_is_cons(listeners)));
    }
    registry_changed();
    return cop_init_ok();
}

static cop_next partition_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    cop_term key;
    if (cop_match(request, cop_a(sync)))
        return cop_reply(ctx, cop_a(ok));
    if (!cop_match_tuple(request, cop_a(lock), &key))
        return cop_bad_call(ctx, request);
    lock(ctx, state, key, from);
    return cop_noreply();
}

/* In a unique registry the entries of all are in the first partition's table. */
static void forget(cop_ctx *ctx, const struct partition *p, cop_pid pid) {
    cop_table table = p->table;
    cop_term info = COP_NONE, any;
    if (table.id == 0) {
        cop_table_get(ctx, p->own, COP_INT(REGISTRY_INFO), NULL, &info);
        if (cop_is_none(info) || !cop_match_tuple(info, &any, &any, &table.id, &any))
            return;
    }
    cop_table_remove(ctx, table, &(cop_table_query){ .owner = pid }, NULL);
}

static cop_next partition_info(cop_ctx *ctx, void *state, cop_term message) {
    cop_term tag, key, who, any;
    cop_pid pid;
    if (cop_match_tuple(message, cop_as("EXIT"), &pid, &any))
        forget(ctx, state, pid);
    else if (cop_match_tuple(message, cop_a(unlock), &key, &who))
        unlock(ctx, state, key, who);
    else if (cop_match_tuple(message, &tag, &who, cop_a(process), &any, &any)
             && cop_match_tuple(tag, cop_a(unlock), &key))
        unlock(ctx, state, key, who);
    return cop_noreply();
}

static const cop_gen_server partition_server = {
    .name = "Registry.Partition",
    .state_size = sizeof(struct partition),
    .state_terms = 2,
    .init = partition_init,
    .handle_call = partition_call,
    .handle_info = partition_info,
};

cop_started registry_partition_start(cop_ctx *ctx, cop_term arg) {
    cop_atom name;
    int64_t index;
    cop_term any;
    if (!cop_match_tuple(arg, &name, &index, &any, &any))
        return cop_started_error(cop_a(badarg).t);
    cop_start_opts opts = { .name = registry_partition_name(ctx, name, index) };
    return cop_gen_server_start_link(ctx, &partition_server, arg, &opts);
}
