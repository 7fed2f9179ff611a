/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper and the shards of examples/kv: what becomes of the data when one of them ends. */
#include <coppice/test.h>
#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "command.h"
#include "kv.h"
#include "pulse.h"
#include "store.h"

/* Torn stores are never freed, since to walk them is not safe; a leak checker must not mind. */
const char *__lsan_default_options(void);
const char *__lsan_default_options(void) { return "detect_leaks=0"; }

struct kv_config kv_config = { .shards = 2,
                               .watchdog_ms = 1000,
                               .limits = { .max_bulk = 1 << 20 } };
struct kv_counters kv_counters;

static void start(cop_ctx *ctx) {
    command_setup();
    EXPECT(pulse_setup(64));
    test_start_supervised(ctx, keeper_start_link, COP_NIL);
}

static cop_bytes bytes(const char *text) { return bytes_of(text); }

/* One command's reply, from the shard of its key. */
static const char *ask(cop_ctx *ctx, const char *name, const char *key, const char *value) {
    static char text[200];
    struct buffer request = { 0 };
    cop_bytes argv[2] = { bytes(key), bytes(value != NULL ? value : "") };
    uint64_t hash = store_hash(argv[0]), done;
    batch_add(&request, command_number(command_find(bytes(name))), hash, argv, value ? 2 : 1);
    cop_term binary = cop_binary(ctx, request.data, request.size);
    buffer_free(&request);
    cop_term answer = cop_gen_server_call(ctx, kv_shard_name(kv_shard_of(hash)),
                                          cop_tuple(ctx, cop_a(run), binary), 5000);
    cop_bytes replies, reply = { 0 };
    EXPECT(cop_get_bytes(answer, &replies) && batch_reply_done(&replies, &done)
           && batch_reply_next(&replies, &reply) && reply.size < sizeof text);
    memcpy(text, reply.data, reply.size);
    text[reply.size] = 0;
    return text;
}

static void fill(cop_ctx *ctx) {
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key%d", i);
        EXPECT_STR(ask(ctx, "SET", key, key), "+OK\r\n");
    }
}

static void expect_filled(cop_ctx *ctx) {
    char key[16], expected[40];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key%d", i);
        snprintf(expected, sizeof expected, "$%zu\r\n%s\r\n", strlen(key), key);
        EXPECT_STR(ask(ctx, "GET", key, NULL), expected);
    }
}

/* Kills the process of that name, and waits until its restarted self has its store. */
static void kill_shard(cop_ctx *ctx, unsigned shard) {
    cop_pid pid;
    EXPECT(cop_get_pid(cop_process_whereis(ctx, kv_shard_name(shard)), &pid));
    cop_process_exit(ctx, pid, cop_a(kill));
    test_await_down(ctx, pid);
    EXPECT_TERM(ctx,
                cop_gen_server_call(ctx, cop_a(keeper), cop_tuple(ctx, cop_a(await), shard), 5000),
                ":ok");
}

TEST(a_killed_shard_comes_back_with_its_data) {
    start(ctx);
    test_start_supervised(ctx, shards_start_link, COP_NIL);
    fill(ctx);
    kill_shard(ctx, 0);
    kill_shard(ctx, 1);
    expect_filled(ctx);
    EXPECT_INT(atomic_load(&kv_counters.taken_over), 2);
    EXPECT_INT(atomic_load(&kv_counters.salvaged), 0);
}

TEST(a_new_keeper_gets_the_stores_from_the_shards) {
    start(ctx);
    cop_pid shards = test_start_supervised(ctx, shards_start_link, COP_NIL);
    fill(ctx);
    cop_pid keeper;
    EXPECT(cop_get_pid(cop_process_whereis(ctx, cop_a(keeper)), &keeper));
    test_stop_supervised(ctx, keeper);
    test_start_supervised(ctx, keeper_start_link, COP_NIL);
    expect_filled(ctx); /* these calls come after the keeper's, so both shards have answered it */
    kill_shard(ctx, 0);
    kill_shard(ctx, 1);
    expect_filled(ctx);
    test_stop_supervised(ctx, shards);
}

/* The store of shard 0, as a process gets it that is this shard. */
static struct store *take_store(cop_ctx *ctx) {
    cop_term resource;
    void *object;
    cop_term answer = cop_gen_server_call(ctx, cop_a(keeper), cop_tuple(ctx, cop_a(take), 0), 5000);
    EXPECT(cop_match_tuple(answer, cop_a(ok), &resource));
    EXPECT(cop_get_resource(resource, &kv_store_resource, &object));
    return object;
}

static void put(struct store *store, const char *key) {
    store_put(store, bytes(key), store_hash(bytes(key)), bytes(key), STORE_FOREVER);
}

TEST(a_store_left_in_the_middle_of_a_change_is_salvaged) {
    kv_config.shards = 1;
    start(ctx);
    struct store *store = take_store(ctx);
    uint64_t claim = store_claim(store);
    EXPECT(store_enter(store, claim));
    put(store, "a");
    put(store, "b");
    test_start_supervised(ctx, shards_start_link, COP_NIL);
    EXPECT_STR(ask(ctx, "GET", "a", NULL), "$1\r\na\r\n");
    EXPECT_STR(ask(ctx, "GET", "b", NULL), "$1\r\nb\r\n");
    EXPECT_INT(atomic_load(&kv_counters.salvaged), 1);
    EXPECT_STR(ask(ctx, "SET", "a", "new"), "+OK\r\n");
    kill_shard(ctx, 0); /* the keeper has the new store */
    EXPECT_STR(ask(ctx, "GET", "a", NULL), "$3\r\nnew\r\n");
    EXPECT_INT(atomic_load(&kv_counters.salvaged), 1);
}

TEST(a_store_with_a_wild_pointer_loses_that_chain_only) {
    kv_config.shards = 1;
    start(ctx);
    struct store *store = take_store(ctx);
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key%d", i);
        put(store, key);
    }
    struct found found;
    EXPECT(store_get(store, bytes("key50"), store_hash(bytes("key50")), 0, &found));
    /* An entry begins with the pointer to the next one, 40 bytes in front of its key. */
    memset((void *)((uintptr_t)found.value.data - 5 - 40), 0x78, 8);
    test_start_supervised(ctx, shards_start_link, COP_NIL);
    EXPECT_INT(atomic_load(&kv_counters.salvaged), 1);
    int kept = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key%d", i);
        kept += ask(ctx, "EXISTS", key, NULL)[1] == '1';
    }
    EXPECT(kept >= 90);
    EXPECT_STR(ask(ctx, "GET", "key50", NULL), "$5\r\nkey50\r\n");
}

TEST(a_shard_that_was_given_up_does_not_touch_the_store_again) {
    kv_config.shards = 1;
    start(ctx);
    test_start_supervised(ctx, shards_start_link, COP_NIL);
    struct store *store = take_store(ctx);
    uint64_t claim = store_claim(store); /* as its successor does */
    EXPECT_EXIT(ctx, "{:superseded, _}") { ask(ctx, "SET", "a", "late"); }
    EXPECT(claim != 0);
    while (cop_is_none(cop_process_whereis(ctx, kv_shard_name(0))))
        cop_yield(ctx); /* until it is restarted */
    EXPECT_STR(ask(ctx, "EXISTS", "a", NULL), ":0\r\n");
}
