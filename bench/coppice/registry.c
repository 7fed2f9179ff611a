/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.*: 100,000 names, binaries as "name_7". Registered by one process and by two (in a registry of
 * two partitions); looked up by one and by two; a call through a via name; dispatch to a topic of
 * 10,000 processes: only going over the entries, and sending to each, which answers.
 */
#include <stdio.h>

#include "bench.h"

enum {
    NAMES = 100000,
    LOOKUPS = 5,
    VIA_CALLS = 300000,
    TOPIC = 10000,
    DISPATCHES = 20,
    WALKS = 100
};

static void start(cop_ctx *ctx, const char *name, cop_registry_keys keys, int64_t partitions) {
    cop_registry_opts opts = { .keys = keys, .name = name, .partitions = partitions };
    if (cop_registry_start(ctx, &opts).is != COP_STARTED)
        bench_fail("registry");
}

/* The name as a term; keys are made while others are timed as well, as the peer makes none: it has
   them in a list, so here they are in a list too. */
static cop_term names(cop_ctx *ctx, int first, int last) {
    cop_term list = COP_NIL;
    for (int i = last; i >= first; i--)
        list = cop_cons(ctx, cop_format(ctx, "name_%d", i), list);
    return list;
}

static void register_all(cop_ctx *ctx, cop_atom registry, cop_term list) {
    cop_term name;
    while (cop_get_cons(list, &name, &list))
        if (!cop_registry_register(ctx, registry, name, cop_a(nil)).ok)
            bench_fail("register");
}

/* {main, registry, first, last} */
static void registrar(cop_ctx *ctx, cop_term arg) {
    cop_term main, list, message;
    cop_atom registry;
    int first = 0, last = 0;
    if (!cop_match_tuple(arg, &main, &registry, &first, &last))
        bench_fail("registrar");
    list = names(ctx, first, last);
    cop_send(ctx, main, cop_a(ready));
    cop_receive(ctx, COP_INFINITY, &message);
    register_all(ctx, registry, list);
    cop_send(ctx, main, cop_a(registered));
    cop_process_sleep(ctx, COP_INFINITY);
}

static double register_by(cop_ctx *ctx, const char *name, int64_t partitions, int processes) {
    cop_pid pids[2];
    start(ctx, name, COP_REGISTRY_UNIQUE, partitions);
    for (int i = 0; i < processes; i++)
        pids[i] = cop_spawn(ctx, registrar,
                            cop_tuple(ctx, cop_self(ctx), cop_atom_new(name),
                                      i * NAMES / processes + 1, (i + 1) * NAMES / processes));
    bench_collect(ctx, processes, cop_a(ready).t);
    int64_t began = bench_now_ns();
    for (int i = 0; i < processes; i++)
        cop_send(ctx, pids[i], cop_a(go));
    bench_collect(ctx, processes, cop_a(registered).t);
    return NAMES * 1e9 / (double)(bench_now_ns() - began);
}

void bench_registry_register(cop_ctx *ctx) {
    register_by(ctx, "warm", 1, 1);
    bench_out("registry.register", register_by(ctx, "one", 1, 1), "names/s");
    bench_out("registry.register.2", register_by(ctx, "two", 2, 2), "names/s");
}

/* ---- lookup ------------------------------------------------------------------------------------- */

static void looker(cop_ctx *ctx, cop_term main) {
    cop_term list = names(ctx, 1, NAMES), message, name;
    cop_send(ctx, main, cop_a(ready));
    cop_receive(ctx, COP_INFINITY, &message);
    for (int i = 0; i < LOOKUPS; i++)
        for (cop_term rest = list; cop_get_cons(rest, &name, &rest);)
            COP_SCOPE(ctx) {
                if (!cop_is_cons(cop_registry_lookup(ctx, cop_a(one), name)))
                    bench_fail("lookup");
            }
    cop_send(ctx, main, cop_a(looked));
}

static double look_up_by(cop_ctx *ctx, int processes) {
    cop_pid pids[2];
    for (int i = 0; i < processes; i++)
        pids[i] = cop_spawn(ctx, looker, cop_self(ctx).t);
    bench_collect(ctx, processes, cop_a(ready).t);
    int64_t began = bench_now_ns();
    for (int i = 0; i < processes; i++)
        cop_send(ctx, pids[i], cop_a(go));
    bench_collect(ctx, processes, cop_a(looked).t);
    return processes * (double)LOOKUPS * NAMES * 1e9 / (double)(bench_now_ns() - began);
}

void bench_registry_lookup(cop_ctx *ctx) {
    register_by(ctx, "one", 1, 1);
    look_up_by(ctx, 1);
    bench_out("registry.lookup", look_up_by(ctx, 1), "lookups/s");
    bench_out("registry.lookup.2", look_up_by(ctx, 2), "lookups/s");
}

/* ---- via ----------------------------------------------------------------------------------------- */

static cop_init echo_init(cop_ctx *ctx, void *state, cop_term arg) { return cop_init_ok(); }
static cop_next echo_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    return cop_reply(ctx, request);
}
static const cop_gen_server echo = { .name = "echo", .init = echo_init, .handle_call = echo_call };

static int64_t via_calls(cop_ctx *ctx, int count) {
    int64_t began = bench_now_ns();
    for (int i = 0; i < count; i++)
        COP_SCOPE(ctx) {
            cop_term name = cop_registry_via(ctx, cop_a(via_names), "server");
            if (!cop_match(cop_gen_server_call(ctx, name, 1, 0), 1))
                bench_fail("via call");
        }
    return bench_now_ns() - began;
}

void bench_registry_via(cop_ctx *ctx) {
    start(ctx, "via_names", COP_REGISTRY_UNIQUE, 1);
    cop_term name = cop_registry_via(ctx, cop_a(via_names), "server");
    cop_gen_server_start(ctx, &echo, COP_NIL, &(cop_start_opts){ .via = name });
    via_calls(ctx, VIA_CALLS / 10);
    bench_out("registry.via", (double)via_calls(ctx, VIA_CALLS) / VIA_CALLS, "ns/call");
}

/* ---- dispatch ------------------------------------------------------------------------------------ */

static void subscriber_message(cop_ctx *ctx, void *state, cop_term message) {
    cop_term main;
    if (cop_match_tuple(message, cop_a(event), &main))
        cop_send(ctx, main, cop_a(taken));
}
static const cop_callbacks subscriber_callbacks = { .name = "subscriber",
                                                    .message = subscriber_message };

static void subscriber(cop_ctx *ctx, cop_term main) {
    cop_registry_register(ctx, cop_a(topics), cop_a(topic), cop_a(nil));
    cop_send(ctx, main, cop_a(subscribed));
    cop_become(ctx, &subscriber_callbacks, NULL);
}

static cop_term send_to_each(cop_ctx *ctx, cop_term main, size_t argc, const cop_term *argv) {
    cop_term entries = argv[0], entry;
    while (cop_get_cons(entries, &entry, &entries))
        cop_send(ctx, cop_elem(entry, 0), cop_tuple(ctx, cop_a(event), main));
    return cop_a(ok).t;
}

static cop_term look_at_each(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term entries = argv[0], entry, any;
    while (cop_get_cons(entries, &entry, &entries))
        if (!cop_match_tuple(entry, &any, &any))
            bench_fail("dispatch");
    return cop_a(ok).t;
}

static int64_t dispatch(cop_ctx *ctx, cop_fun_body body, int times, int64_t answers) {
    int64_t began = bench_now_ns();
    for (int i = 0; i < times; i++)
        COP_SCOPE(ctx) {
            cop_registry_dispatch(ctx, cop_a(topics), cop_a(topic),
                                  cop_fun(ctx, body, 1, cop_self(ctx).t), NULL);
            bench_collect(ctx, answers, cop_a(taken).t);
        }
    return bench_now_ns() - began;
}

void bench_registry_dispatch(cop_ctx *ctx) {
    start(ctx, "topics", COP_REGISTRY_DUPLICATE, 1);
    for (int i = 0; i < TOPIC; i++)
        cop_spawn(ctx, subscriber, cop_self(ctx).t);
    bench_collect(ctx, TOPIC, cop_a(subscribed).t);
    dispatch(ctx, send_to_each, DISPATCHES / 10, TOPIC);
    int64_t took = dispatch(ctx, send_to_each, DISPATCHES, TOPIC);
    bench_out("registry.dispatch", (double)took / (DISPATCHES * TOPIC), "ns/entry");
    dispatch(ctx, look_at_each, WALKS / 10, 0);
    took = dispatch(ctx, look_at_each, WALKS, 0);
    bench_out("registry.dispatch.walk", (double)took / ((int64_t)WALKS * TOPIC), "ns/entry");
}
