/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a registry: its options, checked in the caller, and its supervisor. Options come as a struct
 * of C's, or as Elixir's keyword list; both are read into one struct. Registry is also a module
 * (coppice/module.h), so that {:via, Registry, name} and {m, f, args} reach it by name.
 */
#include <coppice/module.h>
#include <string.h>

#include "registry_parts.h"
#include "sys.h"

struct options {
    cop_registry_keys keys;
    cop_atom name;
    int64_t partitions;
    cop_term listeners, meta; /* lists */
};

/* ---- reading options ------------------------------------------------------------------------------ */

/* The value of a key in a keyword list; false if it is not there. */
static bool option(cop_term list, cop_atom key, cop_term *value) {
    cop_term pair;
    while (cop_get_cons(list, &pair, &list))
        if (cop_match_tuple(pair, key, value))
            return true;
    return false;
}

static _Noreturn void bad_option(cop_ctx *ctx, const char *expected, cop_term got) {
    char text[400];
    cop_inspect_to(text, sizeof text, got, NULL);
    cop_raise(ctx, "ArgumentError", "expected %s, got: %s", expected, text);
}

static cop_registry_keys keys_from(cop_ctx *ctx, cop_term t) {
    if (cop_match(t, cop_a(unique)))
        return COP_REGISTRY_UNIQUE;
    if (cop_match(t, cop_a(duplicate)) || cop_match_tuple(t, cop_a(duplicate), cop_a(pid)))
        return COP_REGISTRY_DUPLICATE;
    if (cop_match_tuple(t, cop_a(duplicate), cop_a(key)))
        return COP_REGISTRY_DUPLICATE_KEY;
    bad_option(ctx,
               ":keys to be given and be one of :unique, :duplicate, {:duplicate, :key}, or "
               "{:duplicate, :pid}",
               t);
}

static bool are_atoms(cop_term list) {
    cop_term t;
    while (cop_get_cons(list, &t, &list))
        if (!cop_is_atom(t))
            return false;
    return cop_is_nil(list);
}

static bool is_keyword(cop_term list) {
    cop_term t, value;
    cop_atom key;
    while (cop_get_cons(list, &t, &list))
        if (!cop_match_tuple(t, &key, &value))
            return false;
    return cop_is_nil(list);
}

static struct options from_list(cop_ctx *ctx, cop_term list) {
    struct options o = { .partitions = 1, .listeners = COP_NIL, .meta = COP_NIL };
    cop_term keys = cop_a(nil).t, name, partitions = COP_INT(1), compressed = cop_a(false).t;
    option(list, cop_a(keys), &keys);
    o.keys = keys_from(ctx, keys);
    if (!option(list, cop_a(name), &name))
        cop_raise(ctx, "ArgumentError", "expected :name option to be present");
    if (!cop_get_atom(name, &o.name))
        bad_option(ctx, ":name to be an atom", name);
    option(list, cop_a(meta), &o.meta);
    if (!is_keyword(o.meta))
        bad_option(ctx, ":meta to be a keyword list", o.meta);
    option(list, cop_a(partitions), &partitions);
    if (!cop_get_i64(partitions, &o.partitions) || o.partitions < 1)
        bad_option(ctx, ":partitions to be a positive integer", partitions);
    option(list, cop_a(listeners), &o.listeners);
    if (!are_atoms(o.listeners))
        bad_option(ctx, ":listeners to be a list of named processes", o.listeners);
    option(list, cop_a(compressed), &compressed);
    if (!cop_is_boolean(compressed))
        bad_option(ctx, ":compressed to be a boolean", compressed);
    return o;
}

/* A struct as the list: so there is one place that checks. */
static cop_term list_from(cop_ctx *ctx, const cop_registry_opts *opts) {
    static const char *const kinds[] = { NULL, NULL, "pid", "key" };
    cop_term keys = cop_a(unique).t, listeners = COP_NIL, list = COP_NIL;
    if (opts->keys == COP_REGISTRY_DUPLICATE || opts->keys == COP_REGISTRY_DUPLICATE_KEY)
        keys = cop_tuple(ctx, cop_a(duplicate), cop_atom_new(kinds[opts->keys]));
    else if (opts->keys != COP_REGISTRY_UNIQUE)
        keys = cop_a(nil).t;
    for (size_t i = 0; opts->listeners != NULL && opts->listeners[i] != NULL; i++)
        listeners = cop_cons(ctx, cop_atom_new(opts->listeners[i]), listeners);
    listeners = cop_list_reverse(ctx, listeners);
    if (opts->meta != NULL)
        list = cop_cons(ctx, cop_tuple(ctx, cop_a(meta), opts->meta(ctx)), list);
    if (opts->partitions != 0)
        list = cop_cons(ctx, cop_tuple(ctx, cop_a(partitions), opts->partitions), list);
    list = cop_cons(ctx, cop_tuple(ctx, cop_a(listeners), listeners), list);
    if (opts->name != NULL)
        list = cop_cons(ctx, cop_tuple(ctx, cop_a(name), sys_module_atom(opts->name)), list);
    return cop_cons(ctx, cop_tuple(ctx, cop_a(keys), keys), list);
}

/* COP_REGISTRY_ARG of a struct is a small integer: its address without the four low bits. */
static cop_term list_of(cop_ctx *ctx, cop_term options) {
    int64_t address;
    if (!cop_get_i64(options, &address))
        return options;
    return list_from(ctx, (const cop_registry_opts *)(uintptr_t)((uint64_t)address << 4));
}

/* ---- starting ---------------------------------------------------------------------------------------- */

/* The registry's own table is the supervisor's: it outlives the partitions. */
static void make_own_table(cop_ctx *ctx, cop_atom name, cop_term listeners, cop_term meta) {
    cop_table own = cop_table_new(ctx, &(cop_table_opts){ .name = name });
    cop_term pair;
    while (cop_get_cons(meta, &pair, &meta))
        cop_table_put(ctx, own, cop_elem(pair, 0), cop_elem(pair, 1));
    cop_table_put(ctx, own, COP_INT(REGISTRY_LISTENERS), listeners);
}

/* In the new supervisor; arg: {name, keys, partitions, listeners, meta}. */
static cop_term init(cop_ctx *ctx, cop_term arg) {
    cop_atom name;
    int keys;
    size_t count;
    cop_term listeners, meta;
    if (!cop_match_tuple(arg, &name, &keys, &count, &listeners, &meta))
        cop_error(ctx, cop_a(badarg));
    make_own_table(ctx, name, listeners, meta);
    cop_child_spec *children = cop_alloc(ctx, count * sizeof *children);
    for (size_t i = 0; i < count; i++)
        children[i] = (cop_child_spec){
            .id_term = registry_partition_name(ctx, name, (int64_t)i).t,
            .start = registry_partition_start,
            .arg = cop_tuple(ctx, name, i, keys, count),
            .module = "Registry.Partition",
        };
    cop_supervisor_opts opts = { .strategy = keys == COP_REGISTRY_UNIQUE ? COP_ONE_FOR_ALL
                                                                         : COP_ONE_FOR_ONE };
    cop_term result = cop_supervisor_init(ctx, children, count, &opts);
    cop_free(ctx, children);
    return result;
}

static cop_started start(cop_ctx *ctx, const struct options *o) {
    static const cop_supervisor module = { .name = "Registry.Supervisor", .init = init };
    cop_module_load(&registry_module);
    if (o->partitions > 100000)
        cop_error(ctx, cop_a(system_limit));
    cop_term arg = cop_tuple(ctx, o->name, (int)o->keys, o->partitions, o->listeners, o->meta);
    return cop_supervisor_start_link_module(ctx, &module, arg,
                                            &(cop_supervisor_opts){ .name = o->name });
}

cop_started cop_registry_start_link(cop_ctx *ctx, cop_term options) {
    struct options o = from_list(ctx, list_of(ctx, options));
    return start(ctx, &o);
}

cop_started cop_registry_start(cop_ctx *ctx, const cop_registry_opts *opts) {
    return cop_registry_start_link(ctx, list_from(ctx, opts));
}

cop_child_spec cop_registry_child_spec(cop_ctx *ctx, cop_term options) {
    cop_term id = cop_as("Elixir.Registry").t;
    option(list_of(ctx, options), cop_a(name), &id);
    return (cop_child_spec){ .id_term = id,
                             .start = cop_registry_start_link,
                             .arg = options,
                             .module = "Registry",
                             .type = COP_SUPERVISOR };
}

/* ---- the module ------------------------------------------------------------------------------------------ */

static cop_term start_link_1(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    return cop_started_to_term(ctx, cop_registry_start_link(ctx, argv[0]));
}

static cop_term register_name_2(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_pid pid;
    if (!cop_get_pid(argv[1], &pid))
        cop_error(ctx, cop_a(function_clause));
    return cop_registry_register_name(ctx, argv[0], pid) ? cop_a(yes).t : cop_a(no).t;
}

static cop_term unregister_name_1(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_registry_unregister_name(ctx, argv[0]);
    return cop_a(ok).t;
}

static cop_term whereis_name_1(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term pid = cop_registry_whereis_name(ctx, argv[0]);
    return cop_is_none(pid) ? cop_a(undefined).t : pid;
}

static cop_term send_2(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_registry_send(ctx, argv[0], argv[1]);
    return argv[1];
}

static cop_term lookup_2(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_atom registry;
    if (!cop_get_atom(argv[0], &registry))
        cop_error(ctx, cop_a(function_clause));
    return cop_registry_lookup(ctx, registry, argv[1]);
}

static cop_term child_spec_1(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term registry = cop_as("Elixir.Registry").t, id = registry;
    option(list_of(ctx, argv[0]), cop_a(name), &id);
    return cop_map(ctx, cop_a(id), id, cop_a(start),
                   cop_tuple(ctx, registry, cop_a(start_link), cop_list(ctx, argv[0])), cop_a(type),
                   cop_a(supervisor));
}

const cop_module registry_module = {
    .name = "Elixir.Registry",
    .exports = (const cop_export[]){ { "start_link", 1, start_link_1 },
                                     { "child_spec", 1, child_spec_1 },
                                     { "register_name", 2, register_name_2 },
                                     { "unregister_name", 1, unregister_name_1 },
                                     { "whereis_name", 1, whereis_name_1 },
                                     { "send", 2, send_2 },
                                     { "lookup", 2, lookup_2 },
                                     { 0 } },
};
