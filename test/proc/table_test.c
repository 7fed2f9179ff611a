/* SPDX-License-Identifier: Apache-2.0 */
/* Shared tables: rows by key and by owner, what readers see, and many processes at once. */
#include "help.h"

static cop_term read_rows(cop_ctx *ctx, cop_table t, cop_table_query query) {
    cop_term list = COP_NONE;
    EXPECT_INT(cop_table_read(ctx, t, &query, &list), COP_TABLE_OK);
    return list;
}

static size_t count_rows(cop_ctx *ctx, cop_table t, cop_table_query query) {
    size_t n = 0;
    EXPECT_INT(cop_table_count(ctx, t, &query, &n), COP_TABLE_OK);
    return n;
}

static void add(cop_ctx *ctx, cop_table t, cop_pid owner, cop_term key, int value) {
    EXPECT_INT(cop_table_insert(ctx, t, owner, key, cop_of(ctx, value), NULL), COP_TABLE_OK);
}

static size_t remove_rows(cop_ctx *ctx, cop_table t, cop_table_query query) {
    size_t n = 0;
    EXPECT_INT(cop_table_remove(ctx, t, &query, &n), COP_TABLE_OK);
    return n;
}

static cop_term compiled(cop_ctx *ctx, const char *text) {
    cop_term spec;
    EXPECT(cop_parse(ctx, text, strlen(text), &spec, NULL));
    spec = cop_match_spec_compile(ctx, spec, NULL);
    EXPECT(!cop_is_none(spec));
    return spec;
}

TEST(a_unique_table_has_one_row_for_a_key) {
    cop_table t = cop_table_new(ctx, NULL);
    cop_pid other = test_idle_pid(ctx), holder;
    cop_term value;
    add(ctx, t, cop_self(ctx), cop_of(ctx, 1), 10);
    add(ctx, t, cop_self(ctx), cop_of(ctx, 1.0), 11); /* keys compare with === */
    EXPECT_INT(cop_table_insert(ctx, t, other, cop_of(ctx, 1), COP_NIL, &holder), COP_TABLE_TAKEN);
    EXPECT(cop_same(holder.t, cop_self(ctx).t));
    EXPECT_INT(cop_table_get(ctx, t, cop_of(ctx, 1.0), &holder, &value), COP_TABLE_OK);
    EXPECT_TERM(ctx, value, "11");
    EXPECT_INT(cop_table_get(ctx, t, cop_of(ctx, 2), NULL, NULL), COP_TABLE_MISSING);
    EXPECT_TERM(ctx, read_rows(ctx, t, (cop_table_query){ .key = cop_of(ctx, 1) }), "[{_, 10}]");
}

TEST(a_duplicate_table_keeps_the_order_of_a_key) {
    cop_table t = cop_table_new(ctx, &(cop_table_opts){ .duplicate = true });
    cop_pid other = test_idle_pid(ctx);
    for (int i = 0; i < 5; i++)
        add(ctx, t, i % 2 == 0 ? cop_self(ctx) : other, cop_a(k).t, i);
    cop_table_query values = { .key = cop_a(k).t, .what = COP_TABLE_VALUES };
    EXPECT_TERM(ctx, read_rows(ctx, t, values), "[0, 1, 2, 3, 4]");
    EXPECT_INT(remove_rows(ctx, t, (cop_table_query){ .owner = other, .key = cop_a(k).t }), 2);
    EXPECT_TERM(ctx, read_rows(ctx, t, values), "[0, 2, 4]");
    add(ctx, t, other, cop_a(k).t, 5);
    values.spec = compiled(ctx, "[{{:_, {:_, :\"$1\"}}, [{:<, :\"$1\", 3}], [:\"$1\"]}]");
    EXPECT_TERM(ctx, read_rows(ctx, t, values), "[0, 2]");
    cop_table_query mine = { .owner = cop_self(ctx), .what = COP_TABLE_KEYS };
    EXPECT_TERM(ctx, read_rows(ctx, t, mine), "[:k, :k, :k]");
    EXPECT_INT(count_rows(ctx, t, (cop_table_query){ .with_dead = true }), 4);
}

TEST(rows_are_removed_by_a_specification) {
    cop_table t = cop_table_new(ctx, &(cop_table_opts){ .duplicate = true });
    for (int i = 0; i < 4; i++)
        add(ctx, t, cop_self(ctx), cop_a(k).t, i);
    cop_table_query q = { .owner = cop_self(ctx),
                          .key = cop_a(k).t,
                          .spec = compiled(ctx,
                                           "[{{:_, {:_, :\"$1\"}}, [{:>, :\"$1\", 1}], [true]}]") };
    EXPECT_INT(count_rows(ctx, t, q), 2);
    EXPECT_INT(remove_rows(ctx, t, q), 2);
    EXPECT_INT(remove_rows(ctx, t, q), 0);
    EXPECT_INT(count_rows(ctx, t, (cop_table_query){ .owner = cop_self(ctx), .with_dead = true }),
               2);
}

TEST(a_row_of_the_dead_is_read_only_on_demand) {
    cop_table t = cop_table_new(ctx, &(cop_table_opts){ .duplicate = true });
    cop_pid other = cop_spawn(ctx, sleep_for_ever, COP_NONE);
    add(ctx, t, other, cop_a(k).t, 1);
    add(ctx, t, cop_self(ctx), cop_a(k).t, 2);
    cop_process_exit(ctx, other, cop_a(kill).t);
    test_await_down(ctx, other);
    cop_table_query q = { .key = cop_a(k).t, .what = COP_TABLE_VALUES };
    EXPECT_TERM(ctx, read_rows(ctx, t, q), "[2]");
    EXPECT_INT(count_rows(ctx, t, (cop_table_query){ 0 }), 1);
    q.with_dead = true;
    EXPECT_TERM(ctx, read_rows(ctx, t, q), "[1, 2]");
    EXPECT_INT(remove_rows(ctx, t, (cop_table_query){ .owner = other }), 1);
    EXPECT_TERM(ctx, read_rows(ctx, t, q), "[2]");
}

TEST(rows_of_nobody_are_put_and_replaced) {
    cop_table t = cop_table_new(ctx, NULL);
    cop_term value;
    EXPECT_INT(cop_table_put(ctx, t, cop_a(k).t, cop_of(ctx, "a text")), COP_TABLE_OK);
    EXPECT_INT(cop_table_put(ctx, t, cop_a(k).t, cop_of(ctx, "another")), COP_TABLE_OK);
    EXPECT_INT(cop_table_get(ctx, t, cop_a(k).t, NULL, &value), COP_TABLE_OK);
    EXPECT_TERM(ctx, value, "\"another\"");
    cop_term spec = compiled(ctx, "[{:_, [], [:\"$_\"]}]");
    EXPECT_TERM(ctx, read_rows(ctx, t, (cop_table_query){ .spec = spec }),
                "[{:k, {nil, \"another\"}}]");
    EXPECT_INT(cop_table_replace(ctx, t, cop_self(ctx), cop_a(k).t, COP_NIL), COP_TABLE_MISSING);
    add(ctx, t, cop_self(ctx), cop_a(mine).t, 1);
    EXPECT_INT(cop_table_put(ctx, t, cop_a(mine).t, COP_NIL), COP_TABLE_TAKEN);
    EXPECT_INT(cop_table_replace(ctx, t, cop_self(ctx), cop_a(mine).t, COP_NIL), COP_TABLE_OK);
    EXPECT_TERM(ctx, read_rows(ctx, t, (cop_table_query){ .key = cop_a(mine).t }), "[{_, []}]");
    EXPECT_INT(remove_rows(ctx, t, (cop_table_query){ .key = cop_a(k).t }), 1);
    EXPECT_INT(count_rows(ctx, t, (cop_table_query){ .with_dead = true }), 1);
}

static void make_named(cop_ctx *ctx, cop_term arg) {
    cop_table t = cop_table_new(ctx, &(cop_table_opts){ .name = cop_a(the_table) });
    cop_send(ctx, arg, cop_tuple(ctx, cop_a(made), t.id));
    cop_process_sleep(ctx, COP_INFINITY);
}

TEST(a_table_ends_with_its_maker_and_frees_its_name) {
    for (int i = 0; i < 2; i++) {
        cop_pid maker = cop_spawn(ctx, make_named, cop_self(ctx).t);
        cop_table t;
        EXPECT(cop_get_u64(cop_elem(ASSERT_RECEIVE(ctx, "{:made, _}"), 1), &t.id));
        EXPECT(cop_table_whereis(ctx, cop_a(the_table)).id == t.id);
        EXPECT_ERROR(ctx, ":badarg") {
            cop_table_new(ctx, &(cop_table_opts){ .name = cop_a(the_table) });
        }
        add(ctx, t, cop_self(ctx), cop_a(k).t, 1);
        cop_process_exit(ctx, maker, cop_a(kill).t);
        test_await_down(ctx, maker);
        EXPECT_INT(cop_table_whereis(ctx, cop_a(the_table)).id, 0);
        EXPECT_INT(cop_table_get(ctx, t, cop_a(k).t, NULL, NULL), COP_TABLE_GONE);
        EXPECT_INT(cop_table_insert(ctx, t, cop_self(ctx), cop_a(k).t, COP_NIL, NULL),
                   COP_TABLE_GONE);
        EXPECT(!cop_table_delete(ctx, t));
    }
}

TEST(shared_binaries_live_as_long_as_their_rows_and_readers) {
    char text[200];
    memset(text, 'x', sizeof text);
    cop_table t = cop_table_new(ctx, NULL);
    cop_term kept = COP_NONE;
    COP_SCOPE(ctx) {
        cop_term value = cop_binary(ctx, text, sizeof text);
        cop_table_insert(ctx, t, cop_self(ctx), value, value, NULL);
    }
    cop_term key = cop_binary(ctx, text, sizeof text);
    EXPECT_INT(cop_table_get(ctx, t, key, NULL, &kept), COP_TABLE_OK);
    EXPECT_INT(remove_rows(ctx, t, (cop_table_query){ .owner = cop_self(ctx) }), 1);
    EXPECT(cop_table_delete(ctx, t));
    EXPECT(cop_same(kept, key));
}

/* A key's hash must not depend on how a binary is kept: inside a box, or as a part of a shared one. */
TEST(keys_are_found_however_they_are_kept) {
    static const char *const keys[] = { "\"\"",         "\"1234567\"",
                                        "\"12345678\"", "\"123456789\"",
                                        "{:a, \"b\"}",  "{\"x\", {1, 2.0}, []}",
                                        "%{a: 1}",      "[1, 2]",
                                        "1.5",          "123456789012345678901234567890" };
    cop_table t = cop_table_new(ctx, NULL);
    for (int i = 0; i < (int)(sizeof keys / sizeof *keys); i++) {
        cop_term key, value = COP_NONE;
        EXPECT(cop_parse(ctx, keys[i], strlen(keys[i]), &key, NULL));
        add(ctx, t, cop_self(ctx), key, i);
        EXPECT(cop_parse(ctx, keys[i], strlen(keys[i]), &key, NULL));
        EXPECT_INT(cop_table_get(ctx, t, key, NULL, &value), COP_TABLE_OK);
        EXPECT(cop_match(value, i));
    }
    char text[300];
    memset(text, 'y', sizeof text);
    cop_term whole = cop_binary(ctx, text, sizeof text), found = COP_NONE;
    for (size_t size = 60; size < 90; size++) {
        add(ctx, t, cop_self(ctx), cop_binary(ctx, text, size), (int)size);
        cop_term part = cop_binary_part(ctx, whole, 100, size);
        EXPECT_INT(cop_table_get(ctx, t, part, NULL, &found), COP_TABLE_OK);
        EXPECT(cop_match(found, (int)size));
        EXPECT_INT(cop_table_get(ctx, t, cop_binary_part(ctx, whole, 1, 200), NULL, NULL),
                   COP_TABLE_MISSING);
    }
}

static int scale(int n) {
    const char *text = getenv("COPPICE_TEST_SCALE");
    int by = text != NULL ? atoi(text) : 1;
    return n / (by > 0 ? by : 1) + 1;
}

TEST(leaving_is_short_however_many_rows_a_key_has) {
    int rows = scale(150000);
    cop_table t = cop_table_new(ctx, &(cop_table_opts){ .duplicate = true });
    cop_pid others = test_idle_pid(ctx);
    for (int i = 0; i < rows; i++)
        COP_SCOPE(ctx) { add(ctx, t, i == rows / 2 ? cop_self(ctx) : others, cop_a(k).t, i); }
    int64_t before = 0, after = 0;
    cop_get_i64(cop_process_info(ctx, cop_self(ctx), cop_a(reductions)), &before);
    EXPECT_INT(remove_rows(ctx, t, (cop_table_query){ .owner = cop_self(ctx) }), 1);
    cop_get_i64(cop_process_info(ctx, cop_self(ctx), cop_a(reductions)), &after);
    EXPECT(after - before < 100); /* a reduction is counted for every 8 rows looked at */
    EXPECT_INT(count_rows(ctx, t, (cop_table_query){ .key = cop_a(k).t, .with_dead = true }),
               rows - 1);
}

/* ---- many at once ---------------------------------------------------------------------------------- */

enum { KEYS = 40 };

/* {table, rounds}: adds rows {key, n}, replaces and removes them, and ends with some left. */
static void write_rows(cop_ctx *ctx, cop_term arg) {
    cop_table t = { 0 };
    int rounds = 0;
    cop_match_tuple(arg, &t.id, &rounds);
    for (int i = 0; i < rounds; i++)
        COP_SCOPE(ctx) {
            cop_term key = cop_of(ctx, (int64_t)(cop_random_u64(ctx) % KEYS));
            cop_table_insert(ctx, t, cop_self(ctx), key,
                             cop_tuple(ctx, cop_self(ctx), key, "a value with some text"), NULL);
            cop_table_replace(ctx, t, cop_self(ctx), key,
                              cop_tuple(ctx, cop_self(ctx), key, "another"));
            if (i % 3 == 0)
                cop_table_remove(ctx, t, &(cop_table_query){ .owner = cop_self(ctx), .key = key },
                                 NULL);
        }
}

/* {table, rounds, test}: every row that is read says what its key and its owner are. */
static void read_and_check(cop_ctx *ctx, cop_term arg) {
    cop_table t = { 0 };
    int rounds = 0;
    cop_term test = COP_NONE;
    cop_match_tuple(arg, &t.id, &rounds, &test);
    for (int i = 0; i < rounds; i++)
        COP_SCOPE(ctx) {
            cop_term key = cop_of(ctx, (int64_t)(cop_random_u64(ctx) % KEYS)), list, entry;
            cop_table_query q = { .key = i % 16 == 0 ? COP_NONE : key };
            cop_table_read(ctx, t, &q, &list);
            while (cop_get_cons(list, &entry, &list)) {
                cop_term value = cop_elem(entry, 1);
                EXPECT(cop_same(cop_elem(entry, 0), cop_elem(value, 0)));
                EXPECT(cop_is_none(q.key) || cop_same(cop_elem(value, 1), key));
            }
        }
    cop_send(ctx, test, cop_a(read));
}

static void many_at_once(cop_ctx *ctx, bool duplicate) {
    cop_table t = cop_table_new(ctx, &(cop_table_opts){ .duplicate = duplicate });
    int rounds = scale(100000);
    for (int i = 0; i < 3; i++)
        cop_spawn(ctx, read_and_check, cop_tuple(ctx, t.id, rounds, cop_self(ctx)));
    for (int i = 0; i < scale(400); i++) {
        cop_spawned writer =
            cop_spawn_monitor(ctx, write_rows, cop_tuple(ctx, t.id, duplicate ? 100 : scale(300)));
        if (i % 2 == 0)
            cop_process_exit(ctx, writer.pid, cop_a(kill).t);
        cop_term down;
        cop_receive_ref(ctx, COP_INFINITY, writer.ref, &down);
        cop_table_remove(ctx, t, &(cop_table_query){ .owner = writer.pid }, NULL);
    }
    for (int i = 0; i < 3; i++)
        ASSERT_RECEIVE_IN(ctx, ":read", 100000);
    EXPECT_INT(count_rows(ctx, t, (cop_table_query){ .with_dead = true }), 0);
    EXPECT_TERM(ctx, read_rows(ctx, t, (cop_table_query){ .with_dead = true }), "[]");
}

TEST(readers_and_writers_of_a_unique_table_at_once, .timeout_s = 120) { many_at_once(ctx, false); }
TEST(readers_and_writers_of_a_duplicate_table_at_once, .timeout_s = 120) {
    many_at_once(ctx, true);
}

/* {test, rounds}: makes tables and ends them under their readers. */
static void make_and_end(cop_ctx *ctx, cop_term arg) {
    int rounds = 0;
    cop_term test = COP_NONE;
    cop_match_tuple(arg, &test, &rounds);
    for (int i = 0; i < rounds; i++) {
        cop_table t = cop_table_new(ctx, &(cop_table_opts){ .name = cop_a(short_lived) });
        for (int k = 0; k < 20; k++)
            cop_table_insert(ctx, t, cop_self(ctx), cop_of(ctx, k), cop_of(ctx, "a binary"), NULL);
        cop_table_delete(ctx, t);
    }
    cop_send(ctx, test, cop_a(made));
}

static void read_by_name(cop_ctx *ctx, cop_term arg) {
    for (;;)
        COP_SCOPE(ctx) {
            cop_term list;
            cop_table_read(ctx, cop_table_whereis(ctx, cop_a(short_lived)), &(cop_table_query){ 0 },
                           &list);
            cop_yield(ctx);
        }
}

TEST(tables_end_under_their_readers, .timeout_s = 60) {
    cop_pid reader = cop_spawn(ctx, read_by_name, COP_NONE);
    cop_spawn(ctx, make_and_end, cop_tuple(ctx, cop_self(ctx), scale(2000)));
    ASSERT_RECEIVE_IN(ctx, ":made", 50000);
    cop_process_exit(ctx, reader, cop_a(kill).t);
    test_await_down(ctx, reader);
}
