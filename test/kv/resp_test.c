/* SPDX-License-Identifier: Apache-2.0 */
/* The RESP parser: what it reads, however the bytes are cut. Texts: redis-server 7.0.15, observed.
   */
#include <coppice/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resp.h"

/* Feeds `size` bytes in pieces of `piece` and writes what was read: "arg|arg;" for each command,
   and an error's text. */
static void read_pieces(struct buffer *seen, const void *bytes, size_t size, size_t piece,
                        const struct resp_limits *limits) {
    struct resp resp;
    resp_init(&resp, limits);
    seen->size = 0;
    enum resp_status status = RESP_MORE;
    for (size_t at = 0; at < size && status != RESP_ERROR; at += piece) {
        size_t part = size - at < piece ? size - at : piece;
        /* A copy of exact size, so that a sanitizer sees every byte read beyond it. */
        uint8_t *fed = malloc(part);
        memcpy(fed, (const uint8_t *)bytes + at, part);
        resp_feed(&resp, fed, part);
        while ((status = resp_next(&resp)) == RESP_COMMAND) {
            for (size_t i = 0; i < resp.argc; i++) {
                buffer_put(seen, "|", i > 0);
                buffer_put(seen, resp.argv[i].data, resp.argv[i].size);
            }
            buffer_put(seen, ";", 1);
        }
        if (status == RESP_ERROR)
            buffer_put(seen, resp.error, strlen(resp.error));
        resp_park(&resp);
        free(fed);
    }
    resp_free(&resp);
    buffer_put(seen, "", 1);
}

static void expect_read_limited(const void *bytes, size_t size, const char *expected,
                                const struct resp_limits *limits) {
    struct buffer seen = { 0 };
    for (size_t piece = 1; piece <= size; piece++) {
        read_pieces(&seen, bytes, size, piece, limits);
        EXPECT_STR((const char *)seen.data, expected);
    }
    buffer_free(&seen);
}

static void expect_read(const char *bytes, const char *expected) {
    expect_read_limited(bytes, strlen(bytes), expected, NULL);
}

TEST_HOST(arrays_of_bulk_strings_are_commands) {
    expect_read("*1\r\n$4\r\nPING\r\n", "PING;");
    expect_read("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
                "SET|a|;GET|a;");
}

TEST_HOST(an_incomplete_command_is_waited_for) {
    expect_read("*2\r\n$3\r\nGET\r\n$1\r\na\r", "");
    expect_read("*1\r\n$4\r\nPING\r\n*1", "PING;");
    expect_read("PING", "");
}

TEST_HOST(values_may_hold_any_byte) {
    static const char bytes[] = "*2\r\n$4\r\nECHO\r\n$6\r\na\r\n$\0b\r\nPING\r\n";
    struct buffer seen = { 0 };
    for (size_t piece = 1; piece < sizeof bytes; piece++) {
        read_pieces(&seen, bytes, sizeof bytes - 1, piece, NULL);
        EXPECT_INT(seen.size, sizeof "ECHO|a\r\n$\0b;PING;");
        EXPECT(memcmp(seen.data, "ECHO|a\r\n$\0b;PING;", seen.size) == 0);
    }
    buffer_free(&seen);
}

TEST_HOST(inline_commands_are_split_at_spaces) {
    expect_read("PING\r\n", "PING;");
    expect_read("ping\n", "ping;");
    expect_read("  SET\ta   1 \r\nGET a\r\n", "SET|a|1;GET|a;");
}

TEST_HOST(inline_quotes_and_escapes_are_those_of_redis) {
    expect_read("ECHO \"a\\x41\\n\\\"b\" \r\n", "ECHO|aA\n\"b;");
    expect_read("ECHO 'a\\'b\\n'\r\n", "ECHO|a'b\\n;");
    expect_read("ECHO \"\\q\\xzz\"\r\n", "ECHO|qxzz;");
    expect_read("ECHO \"\"\r\n", "ECHO|;");
}

TEST_HOST(unbalanced_quotes_end_the_connection) {
    static const char error[] = "ERR Protocol error: unbalanced quotes in request";
    expect_read("ECHO \"abc\r\n", error);
    expect_read("ECHO \"abc\"d\r\n", error);
    expect_read("ECHO 'a\r\n", error);
    expect_read("ECHO a\"b\"c\r\n", error);
}

TEST_HOST(empty_commands_are_passed_over) {
    expect_read("\r\n\r\nPING\r\n", "PING;");
    expect_read("*0\r\nPING\r\n", "PING;");
    expect_read("*-1\r\nPING\r\n", "PING;");
}

TEST_HOST(wrong_lengths_end_the_connection) {
    static const char bulk[] = "ERR Protocol error: invalid bulk length";
    expect_read("*1\r\n$-1\r\n", bulk);
    expect_read("*1\r\n$abc\r\n", bulk);
    expect_read("*1\r\n$04\r\nPING\r\n", bulk);
    expect_read("*1\r\n$67108865\r\n", bulk);
    expect_read("*1\r\n$67108864\r\n", "");
    expect_read("*1\r\n+OK\r\n", "ERR Protocol error: expected '$', got '+'");
    expect_read("*1\r\n\r\n", "ERR Protocol error: expected '$', got ' '");
}

TEST_HOST(wrong_counts_end_the_connection) {
    static const char count[] = "ERR Protocol error: invalid multibulk length";
    expect_read("*abc\r\n", count);
    expect_read("*+1\r\n", count);
    expect_read("* 1\r\n", count);
    expect_read("*01\r\n", count);
    expect_read("*1048577\r\n", count);
    expect_read("*1048576\r\n", "");
}

TEST_HOST(what_stood_before_a_protocol_error_is_served) {
    expect_read("PING\r\n*1\r\n$1\r\na\r\n*x\r\n",
                "PING;a;ERR Protocol error: invalid multibulk length");
}

TEST_HOST(the_byte_behind_a_carriage_return_is_not_looked_at) {
    expect_read("*1\rX$4\rYPINGxx*1\r\n$4\r\nPING\r\n", "PING;PING;");
}

TEST_HOST(long_lines_end_the_connection) {
    const struct resp_limits limits = { .max_line = 8 };
    expect_read_limited("PINGPING\r\n", 10, "ERR Protocol error: too big inline request", &limits);
    expect_read_limited("PINGPIN\n", 8, "PINGPIN;", &limits);
    expect_read_limited("*000000000", 10, "ERR Protocol error: too big mbulk count string",
                        &limits);
    expect_read_limited("*1\r\n$00000000", 13, "ERR Protocol error: too big bulk count string",
                        &limits);
}

TEST_HOST(a_command_that_never_ends_is_refused) {
    const struct resp_limits limits = { .max_bulk = 16, .max_command = 64 };
    char bytes[400] = "*30\r\n";
    size_t size = 5;
    for (int i = 0; i < 30; i++, size += 11)
        memcpy(bytes + size, "$5\r\nabcde\r\n", 11);
    struct buffer seen = { 0 };
    read_pieces(&seen, bytes, size, 1, &limits);
    EXPECT_STR((const char *)seen.data, "ERR Protocol error: too big request");
    buffer_free(&seen);
}

TEST_HOST(a_big_value_in_small_pieces_is_whole) {
    enum { SIZE = 300000 };
    char head[64];
    size_t head_size = (size_t)snprintf(head, sizeof head, "*2\r\n$3\r\nSET\r\n$%d\r\n", SIZE);
    struct buffer bytes = { 0 }, seen = { 0 };
    buffer_put(&bytes, head, head_size);
    for (uint32_t i = 0; i < SIZE; i++)
        buffer_put(&bytes, &(uint8_t){ (uint8_t)(i * 7919 >> 3) }, 1);
    buffer_put(&bytes, "\r\n", 2);
    read_pieces(&seen, bytes.data, bytes.size, 1000, NULL);
    EXPECT_INT(seen.size, SIZE + 6);
    EXPECT(memcmp(seen.data + 4, bytes.data + head_size, SIZE) == 0);
    buffer_free(&bytes);
    buffer_free(&seen);
}

TEST_HOST(integers_are_read_as_redis_reads_them) {
    static const struct {
        const char *text;
        bool ok;
        int64_t n;
    } cases[] = {
        { "0", true, 0 },    { "-1", true, -1 }, { "9223372036854775807", true, INT64_MAX },
        { "-0", false, 0 },  { "+1", false, 0 }, { "-9223372036854775808", true, INT64_MIN },
        { "01", false, 0 },  { "", false, 0 },   { "9223372036854775808", false, 0 },
        { "-", false, 0 },   { " 1", false, 0 }, { "-9223372036854775809", false, 0 },
        { "1 ", false, 0 },  { "1x", false, 0 }, { "18446744073709551616", false, 0 },
        { "-01", false, 0 }, { "12", true, 12 }, { "99999999999999999999", false, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t n = 0;
        test_note("\"%s\"", cases[i].text);
        EXPECT_INT(integer_parse(bytes_of(cases[i].text), &n), cases[i].ok);
        EXPECT_INT(n, cases[i].n);
        char text[24] = { 0 };
        integer_format(text, cases[i].n);
        if (cases[i].ok)
            EXPECT_STR(text, cases[i].text);
    }
}

TEST_HOST(replies_are_written_in_resp2) {
    struct buffer out = { 0 };
    reply_text(&out, "+OK");
    reply_integer(&out, -12);
    reply_bulk(&out, (cop_bytes){ .data = (const uint8_t *)"a\0b", .size = 3 });
    reply_nil(&out);
    reply_array(&out, 2);
    reply_error(&out, "ERR %s", "a\r\nb");
    static const char expected[] = "+OK\r\n:-12\r\n$3\r\na\0b\r\n$-1\r\n*2\r\n-ERR a  b\r\n";
    EXPECT_INT(out.size, sizeof expected - 1);
    EXPECT(memcmp(out.data, expected, out.size) == 0);
    buffer_free(&out);
}
