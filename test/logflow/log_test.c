/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of examples/logflow that need no process: lines, counts, the generator, the reader, the ledger. */
#include <coppice/test.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "generate.h"
#include "ledger.h"
#include "parse.h"
#include "reader.h"
#include "totals.h"

#define COMMON "10.1.2.3 - ada [03/Mar/2026:10:00:00 +0000] \"GET /a/b?x=1 HTTP/1.1\" 404 17"

static bool parses(const char *text, struct log_line *out) {
    return log_parse((const uint8_t *)text, strlen(text), out);
}

static void expect_part(struct log_part part, const char *expected) {
    EXPECT_INT(part.size, strlen(expected));
    EXPECT(memcmp(part.at, expected, part.size) == 0);
}

/* ---- lines --------------------------------------------------------------------------------------------------- */

TEST_HOST(a_line_in_the_common_format) {
    struct log_line line;
    EXPECT(parses(COMMON, &line));
    expect_part(line.host, "10.1.2.3");
    expect_part(line.time, "03/Mar/2026:10:00:00 +0000");
    expect_part(line.method, "GET");
    expect_part(line.path, "/a/b");
    EXPECT_INT(line.status, 404);
    EXPECT_INT(line.bytes, 17);
}

TEST_HOST(a_line_in_the_combined_format) {
    struct log_line line;
    EXPECT(parses("::1 - - [t] \"POST / HTTP/2.0\" 200 - \"-\" \"curl \xc3\xa9\"", &line));
    expect_part(line.path, "/");
    EXPECT_INT(line.bytes, 0);
}

TEST_HOST(malformed_lines) {
    static const char *const bad[] = {
        "",
        "x",
        "10.1.2.3 - ada",
        COMMON " ",
        COMMON " \"-\"",
        COMMON " \"-\" \"x\"y",
        COMMON " \"-\" \"x",
        "10.1.2.3 -  [t] \"GET / HTTP/1.1\" 200 1",
        "10.1.2.3 - - [] \"GET / HTTP/1.1\" 200 1",
        "10.1.2.3 - - [t]\"GET / HTTP/1.1\" 200 1",
        "10.1.2.3 - - [t] \"GET / HTTP/11\" 200 1",
        "10.1.2.3 - - [t] \"GET / HTTP/1.10\" 200 1",
        "10.1.2.3 - - [t] \"GET x HTTP/1.1\" 200 1",
        "10.1.2.3 - - [t] \"get / HTTP/1.1\" 200 1",
        "10.1.2.3 - - [t] \" / HTTP/1.1\" 200 1",
        "10.1.2.3 - - [t] \"GET /\" 200 1",
        "10.1.2.3 - - [t] \"GET / HTTP/1.1\" 600 1",
        "10.1.2.3 - - [t] \"GET / HTTP/1.1\" 099 1",
        "10.1.2.3 - - [t] \"GET / HTTP/1.1\" 20 1",
        "10.1.2.3 - - [t] \"GET / HTTP/1.1\" 200",
        "10.1.2.3 - - [t] \"GET / HTTP/1.1\" 200 ",
        "10.1.2.3 - - [t] \"GET / HTTP/1.1\" 200 -1",
        "10.1.2.3 - - [t] \"GET / HTTP/1.1\" 200 1234567890123456",
        "10.1.2.3 - - [t] \"GET /\t HTTP/1.1\" 200 1",
    };
    struct log_line line;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parses(bad[i], &line))
            FAIL("no line of a log: %s", bad[i]);
}

TEST_HOST(a_line_is_bounded) {
    static char text[LOG_LINE_MAX + 2];
    struct log_line line;
    int size = snprintf(text, sizeof text, "%s \"", COMMON);
    memset(text + size, 'r', sizeof text - (size_t)size);
    memcpy(text + LOG_LINE_MAX - 5, "\" \"a\"", 5);
    EXPECT(log_parse((const uint8_t *)text, LOG_LINE_MAX, &line));
    memcpy(text + LOG_LINE_MAX - 5, "r\" \"a\"", 6);
    EXPECT(!log_parse((const uint8_t *)text, LOG_LINE_MAX + 1, &line));
}

/* ---- counts ------------------------------------------------------------------------------------------------- */

TEST_HOST(a_bucket_is_not_wider_than_a_hundredth) {
    for (int64_t n = 0; n < INT64_C(1) << 49; n = n * 3 / 2 + 1) {
        size_t bucket = size_bucket(n);
        EXPECT(bucket < SIZE_BUCKETS);
        EXPECT(size_of_bucket(bucket) <= n && n < size_of_bucket(bucket + 1));
        EXPECT((size_of_bucket(bucket + 1) - size_of_bucket(bucket)) * 64 <= n || n < 128);
    }
    EXPECT_INT(size_bucket(INT64_MAX), SIZE_BUCKETS - 1);
}

static void add(struct totals *t, const char *path, int status, int64_t bytes) {
    EXPECT(totals_add(t, (const uint8_t *)path, strlen(path), status, bytes));
}

TEST_HOST(parts_add_up_to_the_whole) {
    static struct totals parts[3], whole, sum;
    for (int i = 0; i < 3000; i++) {
        char path[20];
        snprintf(path, sizeof path, "/%d", i * i % 101);
        add(&whole, path, 200 + i % 5, i);
        add(&parts[i % 3], path, 200 + i % 5, i);
    }
    for (int i = 0; i < 3; i++)
        EXPECT(totals_merge(&sum, &parts[i]));
    EXPECT_INT(sum.lines, 3000);
    EXPECT_INT(sum.bytes, whole.bytes);
    EXPECT_INT(sum.count, whole.count);
    EXPECT(memcmp(sum.status, whole.status, sizeof sum.status) == 0);
    EXPECT_INT(totals_percentile(&sum, 50), size_of_bucket(size_bucket(1499)));
    EXPECT_INT(totals_percentile(&sum, 100), size_of_bucket(size_bucket(2999)));
    const struct path_total *a[200], *b[200];
    EXPECT_INT(totals_top(&sum, 200, a), sum.count);
    EXPECT_INT(totals_top(&whole, 200, b), sum.count);
    for (size_t i = 0; i < sum.count; i++) {
        EXPECT_INT(a[i]->requests, b[i]->requests);
        EXPECT_INT(a[i]->bytes, b[i]->bytes);
        EXPECT(a[i]->size == b[i]->size && memcmp(a[i]->path, b[i]->path, a[i]->size) == 0);
    }
    for (int i = 0; i < 3; i++)
        totals_free(&parts[i]);
    totals_free(&whole);
    totals_free(&sum);
}

TEST_HOST(the_top_is_ordered_by_requests_and_then_by_name) {
    static struct totals t;
    static const char *const paths[] = { "/b", "/a", "/ab", "/c", "/c" };
    for (int i = 0; i < 5; i++)
        add(&t, paths[i], 200, 1);
    const struct path_total *top[3];
    EXPECT_INT(totals_top(&t, 3, top), 3);
    EXPECT(memcmp(top[0]->path, "/c", 2) == 0 && memcmp(top[2]->path, "/ab", 3) == 0);
    EXPECT(top[1]->size == 2 && memcmp(top[1]->path, "/a", 2) == 0);
    totals_free(&t);
}

/* ---- files --------------------------------------------------------------------------------------------------- */

static char file[64];

static const char *temporary(void) {
    snprintf(file, sizeof file, "/tmp/logflow-%llx", (unsigned long long)test_unique());
    return file;
}

struct seen {
    int64_t lines, malformed, crashes;
    uint64_t hash;
};

static struct seen read_all(const char *path) {
    struct seen seen = { .hash = 1469598103934665603u };
    struct reader *r = reader_open(path);
    EXPECT(r != NULL);
    const uint8_t *line;
    size_t size;
    struct block *block;
    int rc;
    while ((rc = reader_next(r, &line, &size, &block)) > 0) {
        struct log_line parsed;
        bool crash = memmem(line, size, "\0CRASH", 6) != NULL;
        seen.lines++;
        seen.crashes += crash;
        seen.malformed += !crash && !log_parse(line, size, &parsed);
        for (size_t i = 0; i < size; i++)
            seen.hash = (seen.hash ^ line[i]) * 1099511628211u;
    }
    EXPECT_INT(rc, 0);
    reader_close(r);
    return seen;
}

TEST_HOST(the_same_seed_makes_the_same_log_plain_or_compressed) {
    struct generate what = { .lines = 20000, .seed = 7, .malformed = 1000, .crashes = 3 };
    const char *path = temporary();
    EXPECT_INT(generate_log(&what, path), 0);
    struct seen plain = read_all(path);
    EXPECT_INT(plain.lines, 20000);
    EXPECT_INT(plain.crashes, 3);
    EXPECT(plain.malformed > 5 && plain.malformed < 50);
    what.gzip = true;
    EXPECT_INT(generate_log(&what, path), 0);
    EXPECT_INT(read_all(path).hash, plain.hash);
    what.seed = 8;
    EXPECT_INT(generate_log(&what, path), 0);
    EXPECT(read_all(path).hash != plain.hash);
    unlink(path);
}

static void write_file(const char *path, const void *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    EXPECT(f != NULL && fwrite(bytes, 1, size, f) == size && fclose(f) == 0);
}

TEST_HOST(long_lines_are_cut_and_the_last_needs_no_newline) {
    static char bytes[1200000];
    static const size_t sizes[] = { 0, 1, READER_LINE_MAX, READER_LINE_MAX + 1, 600000, 5 };
    size_t n = 0;
    for (size_t i = 0; i < 6; i++) {
        memset(bytes + n, 'a' + (int)i, sizes[i]);
        n += sizes[i];
        bytes[n++] = '\n';
    }
    write_file(temporary(), bytes, n - 1);
    struct reader *r = reader_open(file);
    const uint8_t *line;
    size_t size;
    struct block *block, *held = NULL;
    for (size_t i = 0; i < 6; i++) {
        EXPECT_INT(reader_next(r, &line, &size, &block), 1);
        EXPECT_INT(size, sizes[i] < READER_LINE_MAX ? sizes[i] : READER_LINE_MAX);
        EXPECT(size == 0 || (line[0] == 'a' + (int)i && line[size - 1] == line[0]));
        if (i == 1)
            block_hold(held = block);
    }
    EXPECT_INT(reader_next(r, &line, &size, &block), 0);
    reader_close(r);
    block_release(held);
    unlink(file);
}

TEST_HOST(a_damaged_file_is_an_error) {
    struct generate what = { .lines = 20000, .seed = 1, .gzip = true };
    const char *path = temporary();
    EXPECT_INT(generate_log(&what, path), 0);
    EXPECT(truncate(path, 100000) == 0);
    struct reader *r = reader_open(path);
    const uint8_t *line;
    size_t size;
    struct block *block;
    int rc;
    while ((rc = reader_next(r, &line, &size, &block)) > 0)
        continue;
    EXPECT_INT(rc, -EBADMSG);
    reader_close(r);
    unlink(path);
    EXPECT(reader_open("/nowhere/at/all") == NULL);
    EXPECT_INT(errno, ENOENT);
}

/* ---- the ledger -------------------------------------------------------------------------------------------- */

TEST_HOST(a_line_is_counted_by_the_first_who_marks_it) {
    struct ledger *l = ledger_new();
    ledger_open(l, 7);
    EXPECT(!ledger_is_finished(l, 7));
    EXPECT(ledger_mark(l, 7, LINE_COUNTED | LINE_SERVER_ERROR));
    EXPECT(!ledger_mark(l, 7, LINE_COUNTED | LINE_SERVER_ERROR));
    EXPECT(!ledger_is_finished(l, 7));
    EXPECT(ledger_mark(l, 7, LINE_HANDLED));
    EXPECT(ledger_is_finished(l, 7));
    ledger_open(l, 7 + LEDGER_WINDOW);
    EXPECT(!ledger_mark(l, 7, LINE_CRASHED)); /* a late copy */
    EXPECT_INT(ledger_marks(l, 7), ~0u);
    EXPECT_INT(ledger_marks(l, 7 + LEDGER_WINDOW), 0);
    ledger_free(l);
}
