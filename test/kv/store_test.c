/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: against a plain model, and against a writer that ends anywhere.
 * The store is compiled with STORE_STEP, a call between every two steps of its writing, from which
 * these tests jump away: so does a process that crashes there.
 */
#include "store.h"

#include <coppice/test.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A writer that ends in the middle leaves the one block that it had in hand, and torn stores are
   never freed: that is the price of taking over, and a leak checker must not mind. */
const char *__lsan_default_options(void);
const char *__lsan_default_options(void) { return "detect_leaks=0"; }

static int64_t steps_left = -1;
static jmp_buf crash;

void STORE_STEP(void);
void STORE_STEP(void) {
    if (steps_left >= 0 && steps_left-- == 0)
        longjmp(crash, 1);
}

static cop_bytes bytes(const char *text) {
    return (cop_bytes){ .data = (const uint8_t *)text, .size = strlen(text) };
}

static void put(struct store *store, const char *key, const char *value, int64_t expires_ms) {
    store_put(store, bytes(key), store_hash(bytes(key)), bytes(value), expires_ms);
}

static bool is(struct store *store, const char *key, int64_t now_ms, const char *value) {
    struct found found;
    if (!store_get(store, bytes(key), store_hash(bytes(key)), now_ms, &found))
        return value == NULL;
    return value != NULL && found.value.size == strlen(value)
           && memcmp(found.value.data, value, found.value.size) == 0;
}

TEST_HOST(what_was_put_is_there_until_it_is_deleted) {
    struct store *store = store_new();
    EXPECT(is(store, "a", 0, NULL));
    put(store, "a", "1", STORE_FOREVER);
    put(store, "", "empty", STORE_FOREVER);
    EXPECT(is(store, "a", 0, "1"));
    EXPECT(is(store, "", 0, "empty"));
    put(store, "a", "22", STORE_FOREVER);
    EXPECT(is(store, "a", 0, "22"));
    EXPECT(store_delete(store, bytes("a"), store_hash(bytes("a")), 0));
    EXPECT(!store_delete(store, bytes("a"), store_hash(bytes("a")), 0));
    EXPECT(is(store, "a", 0, NULL));
    EXPECT_INT(store_count(store), 1);
    store_free(store);
}

TEST_HOST(keys_and_values_may_hold_any_byte) {
    struct store *store = store_new();
    cop_bytes key = { .data = (const uint8_t *)"a\0b", .size = 3 };
    cop_bytes other = { .data = (const uint8_t *)"a\0c", .size = 3 };
    struct found found;
    store_put(store, key, store_hash(key), other, STORE_FOREVER);
    EXPECT(!store_get(store, other, store_hash(other), 0, &found));
    EXPECT(store_get(store, key, store_hash(key), 0, &found));
    EXPECT(found.value.size == 3 && memcmp(found.value.data, "a\0c", 3) == 0);
    store_free(store);
}

TEST_HOST(what_has_expired_is_gone_and_is_counted_so) {
    struct store *store = store_new();
    put(store, "a", "1", 100);
    EXPECT(is(store, "a", 99, "1"));
    EXPECT_INT(store_count_expiring(store), 1);
    EXPECT(is(store, "a", 100, NULL));
    EXPECT_INT(store_count(store), 0);
    EXPECT_INT(store_count_expiring(store), 0);
    EXPECT_INT(store_bytes(store), 0);
    put(store, "a", "1", STORE_FOREVER);
    EXPECT(store_expire(store, bytes("a"), store_hash(bytes("a")), 0, 50));
    EXPECT_INT(store_count_expiring(store), 1);
    EXPECT(!store_expire(store, bytes("a"), store_hash(bytes("a")), 50, 60));
    store_free(store);
}

TEST_HOST(a_sweep_frees_what_nobody_asks_for) {
    struct store *store = store_new();
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(store, key, "x", i < 900 ? 10 : STORE_FOREVER);
    }
    for (int i = 0; i < 10000 && store_count_expiring(store) > 0; i++)
        store_sweep(store, 20, 16);
    EXPECT_INT(store_count(store), 100);
    EXPECT(is(store, "k950", 20, "x"));
    EXPECT(store_verify(store));
    store_free(store);
}

TEST_HOST(appending_keeps_the_rest) {
    struct store *store = store_new();
    char expected[200] = { 0 };
    for (int i = 0; i < 100; i++) {
        strcat(expected, i % 2 ? "x" : "y");
        size_t size =
            store_append(store, bytes("a"), store_hash(bytes("a")), 0, bytes(i % 2 ? "x" : "y"));
        EXPECT_INT(size, i + 1);
    }
    EXPECT(is(store, "a", 0, expected));
    store_free(store);
}

static void mark_seen(void *arg, cop_bytes key, const struct found *found) {
    uint8_t *seen = arg;
    if (key.data[0] == 'k') /* "k123": one of those that stay */
        seen[atoi((const char *)memcpy((char[8]){ 0 }, key.data + 1, key.size - 1))] = 1;
}

/* While it scans, others come and go, so the table grows and shrinks. */
static void scan_while_changing(struct store *store, uint8_t *seen, int change) {
    uint64_t cursor = 0;
    char key[16];
    int n = 0;
    do {
        cursor = store_scan(store, cursor, mark_seen, seen);
        for (int i = 0; i < 20 && n < 4000; i++, n++) {
            snprintf(key, sizeof key, "x%d", n);
            if (change > 0)
                put(store, key, "", STORE_FOREVER);
            else
                store_delete(store, bytes(key), store_hash(bytes(key)), 0);
        }
    } while (cursor != 0);
}

TEST_HOST(a_scan_misses_nothing_while_the_table_changes) {
    struct store *store = store_new();
    char key[16];
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(store, key, "", STORE_FOREVER);
    }
    for (int change = 1; change >= -1; change -= 2) {
        uint8_t seen[500] = { 0 };
        scan_while_changing(store, seen, change);
        for (int i = 0; i < 500; i++)
            EXPECT_INT(seen[i], 1);
    }
    EXPECT(store_verify(store));
    store_free(store);
}

TEST_HOST(a_cleared_store_is_empty_and_usable) {
    struct store *store = store_new();
    char key[16];
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(store, key, "v", STORE_FOREVER);
    }
    store_clear(store);
    EXPECT_INT(store_count(store), 0);
    EXPECT(is(store, "k7", 0, NULL));
    put(store, "k7", "new", STORE_FOREVER);
    EXPECT(is(store, "k7", 0, "new"));
    EXPECT(store_verify(store));
    store_free(store);
}

TEST_HOST(only_the_newest_claim_may_enter) {
    struct store *store = store_new();
    uint64_t first = store_claim(store);
    EXPECT(store_enter(store, first));
    store_leave(store, first);
    uint64_t second = store_claim(store);
    EXPECT(second != 0 && second != first);
    EXPECT(!store_enter(store, first));
    EXPECT(store_enter(store, second));
    EXPECT_INT(store_claim(store), 0); /* it ended in there */
    store_free(store);
}

/* ---- a writer that ends anywhere ------------------------------------------------------------- */

enum { KEYS = 48, LONGEST = 64 };

struct model {
    char value[KEYS][LONGEST]; /* "" is: not there */
    int64_t expires_ms[KEYS];
};

struct operation {
    int key;
    int what; /* 0-4 put, 5-7 delete, 8 append, 9 expire */
    char text[8];
    int64_t expires_ms;
};

static uint64_t random_state;

static int pick(int below) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int)((random_state >> 33) % (uint64_t)below);
}

static struct operation any_operation(void) {
    struct operation op = { .key = pick(KEYS), .what = pick(10), .expires_ms = STORE_FOREVER };
    snprintf(op.text, sizeof op.text, "%d", pick(99999));
    if (pick(4) == 0)
        op.expires_ms = 1000 + pick(1000);
    return op;
}

static void model_apply(struct model *model, const struct operation *op) {
    char *value = model->value[op->key];
    if (op->what < 5)
        strcpy(value, op->text);
    else if (op->what < 8)
        value[0] = 0;
    else if (op->what == 8 && strlen(value) + strlen(op->text) < LONGEST)
        strcat(value, op->text);
    if (op->what < 5 || (op->what == 9 && value[0] != 0))
        model->expires_ms[op->key] = op->expires_ms;
    if (value[0] == 0 || (op->what == 8 && strcmp(value, op->text) == 0))
        model->expires_ms[op->key] = value[0] == 0 ? 0 : model->expires_ms[op->key];
    if (value[0] != 0 && model->expires_ms[op->key] == 0)
        model->expires_ms[op->key] = STORE_FOREVER;
}

static void store_apply(struct store *store, const struct model *model,
                        const struct operation *op) {
    char name[16];
    snprintf(name, sizeof name, "key:%d", op->key);
    cop_bytes key = bytes(name);
    uint64_t hash = store_hash(key);
    if (op->what < 5)
        store_put(store, key, hash, bytes(op->text), op->expires_ms);
    else if (op->what < 8)
        store_delete(store, key, hash, 0);
    else if (op->what == 8 && strlen(model->value[op->key]) + strlen(op->text) < LONGEST)
        store_append(store, key, hash, 0, bytes(op->text));
    else if (op->what == 9)
        store_expire(store, key, hash, 0, op->expires_ms);
}

static bool key_agrees(struct store *store, const struct model *model, int i) {
    char name[16];
    snprintf(name, sizeof name, "key:%d", i);
    struct found found;
    const char *value = model->value[i];
    if (!store_get(store, bytes(name), store_hash(bytes(name)), 0, &found))
        return value[0] == 0;
    return found.value.size == strlen(value)
           && memcmp(found.value.data, value, found.value.size) == 0
           && found.expires_ms == model->expires_ms[i];
}

static bool agrees(struct store *store, const struct model *model) {
    for (int i = 0; i < KEYS; i++)
        if (!key_agrees(store, model, i))
            return false;
    return true;
}

TEST_HOST(a_long_random_use_agrees_with_a_model) {
    static struct model model;
    struct store *store = store_new();
    random_state = 7;
    for (int i = 0; i < 20000; i++) {
        struct operation op = any_operation();
        store_apply(store, &model, &op);
        model_apply(&model, &op);
        EXPECT(key_agrees(store, &model, op.key));
    }
    EXPECT(agrees(store, &model));
    EXPECT(store_verify(store));
    store_free(store);
}

static struct store *salvaged(struct store *torn, size_t *lost) {
    struct salvage salvage = { .from = torn, .into = store_new() };
    while (store_salvage(&salvage))
        continue;
    *lost = salvage.lost;
    return salvage.into;
}

/* One operation, cut after `steps` steps; then the salvaged store must be as before it or as after
   it. */
static struct store *crash_in(struct store *store, struct model *before, int steps) {
    struct operation op = any_operation();
    static struct model after;
    after = *before;
    model_apply(&after, &op);
    steps_left = steps;
    if (setjmp(crash) == 0)
        store_apply(store, before, &op);
    bool finished = steps_left >= 0;
    steps_left = -1;
    size_t lost = 0;
    struct store *fresh = salvaged(store, &lost);
    EXPECT_INT(lost, 0);
    EXPECT(store_verify(fresh));
    if (finished || agrees(fresh, &after))
        *before = after;
    EXPECT(agrees(fresh, before));
    return fresh;
}

TEST_HOST(whatever_step_a_writer_ends_at_nothing_is_lost, .timeout_s = 120) {
    static struct model model;
    struct store *store = store_new();
    random_state = 11;
    for (int round = 0; round < 4000; round++) {
        for (int i = pick(40); i > 0; i--) {
            struct operation op = any_operation();
            store_apply(store, &model, &op);
            model_apply(&model, &op);
        }
        store = crash_in(store, &model, pick(14));
    }
    EXPECT(agrees(store, &model));
    store_free(store);
}

TEST_HOST(a_salvage_leaves_out_what_is_not_sound) {
    struct store *store = store_new();
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(store, key, "value", STORE_FOREVER);
    }
    struct found found;
    EXPECT(store_get(store, bytes("k50"), store_hash(bytes("k50")), 0, &found));
    uint8_t *stray = (uint8_t *)(uintptr_t)found.value.data;
    stray[-3] ^= 1; /* its key, just in front of its value */
    EXPECT(!store_verify(store));
    size_t lost = 0;
    struct store *fresh = salvaged(store, &lost);
    EXPECT_INT(lost, 1);
    EXPECT(is(fresh, "k50", 0, NULL));
    EXPECT(store_count(fresh) >= 90);
    store_free(fresh);
}
