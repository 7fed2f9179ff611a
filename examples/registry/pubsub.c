/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publish and subscribe: a duplicate registry in which everybody who is interested in a topic registers,
 * with what he wants of it as the value; who publishes dispatches to the topic. Partitions spread
 * the work of cleaning up, and with `parallel` that of publishing.
 *
 *     Registry.register(Chat, "room", %{min: 3})
 *     Registry.dispatch(Chat, "room", fn entries ->
 *       for {pid, wants} <- entries, level >= wants.min, do: send(pid, {:broadcast, text})
 *     end)
 */
#include <coppice.h>
#include <stdio.h>
#include <stdlib.h>

static const cop_registry_opts chat = { .keys = COP_REGISTRY_DUPLICATE,
                                        .name = "Chat",
                                        .partitions = 4 };
#define CHAT cop_as("Elixir.Chat")

/* Subscribes to "room" from a level on, and tells the parent what it hears. */
static void member(cop_ctx *ctx, cop_term arg) {
    cop_term parent = cop_elem(arg, 0), message, text;
    cop_registry_register(ctx, CHAT, "room", cop_map(ctx, cop_a(min), cop_elem(arg, 1)));
    cop_send(ctx, parent, cop_a(joined));
    for (;;)
        COP_SCOPE(ctx) {
            cop_receive(ctx, COP_INFINITY, &message);
            if (cop_match_tuple(message, cop_a(broadcast), &text))
                cop_send(ctx, parent, cop_tuple(ctx, cop_a(heard), text));
        }
}

/* fun(entries): env is {level, text}. */
static cop_term send_to_all(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term entries = argv[0], entry, min, text = cop_elem(env, 1);
    while (cop_get_cons(entries, &entry, &entries))
        if (cop_map_get(cop_elem(entry, 1), cop_a(min).t, &min)
            && cop_compare(cop_elem(env, 0), min) >= 0)
            cop_send(ctx, cop_elem(entry, 0), cop_tuple(ctx, cop_a(broadcast), text));
    return cop_a(ok).t;
}

/* fun(entries): env is the text. */
static cop_term greet(cop_ctx *ctx, cop_term text, size_t argc, const cop_term *argv) {
    cop_term entries = argv[0], entry;
    while (cop_get_cons(entries, &entry, &entries))
        cop_send(ctx, cop_elem(entry, 0), cop_tuple(ctx, cop_a(broadcast), text));
    return cop_a(ok).t;
}

static void publish(cop_ctx *ctx, int level, const char *text) {
    cop_term fun = cop_fun(ctx, send_to_all, 1, cop_tuple(ctx, level, text));
    cop_registry_dispatch(ctx, CHAT, "room", fun, &(cop_dispatch_opts){ .parallel = true });
}

/* How many members have heard something, after `expected` have. */
static int heard(cop_ctx *ctx, int expected) {
    int count = 0;
    cop_term message;
    while (cop_receive(ctx, count < expected ? 5000 : 0, &message))
        count++;
    return count;
}

static void expect(bool ok, const char *what) {
    printf("%s: %s\n", what, ok ? "yes" : "NO");
    if (!ok)
        exit(1);
}

/*
 * One process may be registered several times under a key, with a value each time:
 *
 *     {:ok, _} = Registry.register(Chat, "hello", :world)
 *     {:ok, _} = Registry.register(Chat, "hello", :another)
 *     [{self(), :world}, {self(), :another}] = Registry.lookup(Chat, "hello")
 */
static void twice_under_one_key(cop_ctx *ctx) {
    cop_term message, text;
    cop_registry_register(ctx, CHAT, "hello", cop_a(world));
    cop_term first = cop_tuple(ctx, cop_self(ctx), cop_a(world));
    expect(cop_same(cop_registry_lookup(ctx, CHAT, "hello"), cop_list(ctx, first)),
           "we are found under a key");
    cop_registry_register(ctx, CHAT, "hello", cop_a(another));
    cop_term second = cop_tuple(ctx, cop_self(ctx), cop_a(another));
    expect(cop_same(cop_registry_lookup(ctx, CHAT, "hello"), cop_list(ctx, first, second)),
           "and twice under it");
    cop_term fun = cop_fun(ctx, greet, 1, cop_of(ctx, "world"));
    cop_registry_dispatch(ctx, CHAT, "hello", fun, NULL);
    for (int i = 0; i < 2; i++)
        expect(cop_receive(ctx, 5000, &message) && cop_match_tuple(message, cop_a(broadcast), &text)
                   && cop_match(text, "world"),
               "each time brings a message");
}

static void run(cop_ctx *ctx, cop_term arg) {
    cop_registry_start_link(ctx, COP_REGISTRY_ARG(&chat));
    twice_under_one_key(ctx);
    cop_pid members[10];
    for (int i = 0; i < 10; i++)
        members[i] = cop_spawn(ctx, member, cop_tuple(ctx, cop_self(ctx), i));
    expect(heard(ctx, 10) == 10, "ten have joined");
    publish(ctx, 9, "hello");
    expect(heard(ctx, 10) == 10, "all hear what is important");
    publish(ctx, 4, "psst");
    expect(heard(ctx, 5) == 5, "five hear the rest");

    /* A member that ends is gone from the topic for everybody who knows of the end. */
    cop_ref ref = cop_process_monitor(ctx, members[0]);
    cop_process_exit(ctx, members[0], cop_a(kill).t);
    cop_term down;
    cop_receive_ref(ctx, COP_INFINITY, ref, &down);
    expect(cop_list_length(cop_registry_lookup(ctx, CHAT, "room")) == 9, "nine are left");
}

int main(void) { return cop_run(&(cop_node_opts){ .no_logger = true }, run); }
