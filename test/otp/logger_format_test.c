/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formatters: Elixir's patterns, and JSON lines, which must be JSON whatever is logged.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logger_help.h"

/* 2023-11-14 22:13:20.001234 UTC */
#define TIME_US INT64_C(1700000000001234)

static cop_log_event event_of(cop_ctx *ctx, cop_level level, cop_term message, cop_term metadata) {
    cop_term map = cop_map(ctx, cop_a(time), TIME_US);
    if (!cop_is_none(metadata))
        map = cop_map_merge(ctx, map, metadata);
    return (cop_log_event){ level, cop_tuple(ctx, cop_a(string), message), map };
}

static cop_term text_of(cop_ctx *ctx, const char *message, const cop_logger_formatter *f) {
    cop_log_event event = event_of(ctx, COP_LEVEL_INFO, cop_of(ctx, message), COP_NONE);
    return cop_logger_format(ctx, &event, f);
}

/* ---- patterns --------------------------------------------------------------------------------------------- */

/* observed: Elixir 1.14, format "\n$time $metadata[$level] $message\n" */
TEST(the_default_is_Elixirs) {
    setenv("TZ", "UTC", 1);
    EXPECT_TERM(ctx, text_of(ctx, "hello", NULL), "\"\\n22:13:20.001 [info] hello\\n\"");
}

TEST(a_pattern_has_words) {
    static const cop_logger_formatter f = { .pattern = "$date $time|$level|$$5|$node|$message$",
                                            .utc = true };
    EXPECT_TERM(ctx, text_of(ctx, "x", &f),
                "\"2023-11-14 22:13:20.001|info|$$5|nonode@nohost|x$\"");
}

/* observed: Elixir 1.14: pid=<0.96.0> a=1 b=two c=three d=Enum e=1.5 domain=elixir r=<0.3750...>; lists, maps,
   tuples and nil are not shown; the order is that of the configuration */
TEST(metadata_is_shown_by_Elixirs_rules) {
    cop_logger_formatter f = { .pattern = "$metadata[$level]",
                               .metadata = "e d c b a f g u x domain mfa missing" };
    cop_term meta =
        cop_map(ctx, cop_a(a), 1, cop_a(b), "two", cop_a(c), cop_a(three), cop_a(d),
                cop_as("Elixir.Enum"), cop_a(e), 1.5, cop_a(f), cop_list(ctx, 1, 2), cop_a(g),
                cop_map(ctx), cop_a(x), cop_a(nil), cop_a(u), cop_tuple(ctx, 1));
    meta = cop_map_put(ctx, meta, cop_a(domain).t, cop_list(ctx, cop_a(otp), cop_a(sasl)));
    meta = cop_map_put(ctx, meta, cop_a(mfa).t, cop_tuple(ctx, cop_as("Elixir.M"), cop_a(f), 2));
    cop_log_event event = event_of(ctx, COP_LEVEL_INFO, cop_of(ctx, "x"), meta);
    EXPECT_TERM(ctx, cop_logger_format(ctx, &event, &f),
                "\"e=1.5 d=Enum c=three b=two a=1 domain=otp.sasl mfa=M.f/2 [info]\"");
    f.metadata = "all";
    EXPECT_TERM(ctx, cop_logger_format(ctx, &event, &f),
                "\"a=1 b=two c=three d=Enum domain=otp.sasl e=1.5 mfa=M.f/2 [info]\"");
}

TEST(a_pid_is_shown_as_Erlang_does) {
    static const cop_logger_formatter f = { .pattern = "$metadata", .metadata = "pid" };
    cop_log_event event =
        event_of(ctx, COP_LEVEL_INFO, cop_of(ctx, "x"), cop_map(ctx, cop_a(pid), cop_self(ctx)));
    char text[100], expected[120];
    cop_inspect_to(text, sizeof text, cop_self(ctx).t, NULL);
    snprintf(expected, sizeof expected, "\"pid=%s \"", text + strlen("#PID"));
    EXPECT_TERM(ctx, cop_logger_format(ctx, &event, &f), expected);
}

/* observed: Elixir 1.14: 8096 bytes, then " (truncated)", for 9000 x and for 5000 times é */
TEST(a_message_is_cut_at_8096_bytes) {
    static const cop_logger_formatter f = { .pattern = "$message" },
                                      shorter = { .pattern = "$message", .truncate = 10 };
    char text[9001];
    memset(text, 'x', 9000);
    text[9000] = '\0';
    EXPECT_INT(cop_iodata_size(text_of(ctx, text, &f)), 8096 + 12);
    EXPECT_TERM(ctx, text_of(ctx, "abcdefghijk", &shorter), "\"abcdefghij (truncated)\"");
    EXPECT_TERM(ctx, text_of(ctx, "abcdefghij", &shorter), "\"abcdefghij\"");
    EXPECT_TERM(ctx, text_of(ctx, "ééééaéé", &shorter), "\"ééééa (truncated)\"");
}

/* observed: Elixir 1.14, "bad" <> <<255, 254>> <> "end" */
TEST(bytes_that_are_no_text_are_replaced) {
    static const cop_logger_formatter f = { .pattern = "$message" };
    EXPECT_TERM(ctx,
                text_of(ctx,
                        "bad\xff\xfe"
                        "end",
                        &f),
                "\"bad\xef\xbf\xbd\xef\xbf\xbd"
                "end\"");
    EXPECT_TERM(
        ctx, text_of(ctx, "\xed\xa0\x80|\xc0\x80|\xf4\x90\x80\x80|\xe2\x82", &f),
        "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd"
        "\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\"");
}

/* observed: Elixir 1.14, colors: [enabled: true] */
TEST(colours_are_those_of_the_level) {
    static const cop_logger_formatter f = { .pattern = "$message", .colors = true };
    static const struct {
        cop_level level;
        const char *text;
    } cases[] = {
        { COP_LEVEL_DEBUG, "\"\\e[36mx\\e[0m\"" },  { COP_LEVEL_INFO, "\"\\e[22mx\\e[0m\"" },
        { COP_LEVEL_NOTICE, "\"\\e[22mx\\e[0m\"" }, { COP_LEVEL_WARNING, "\"\\e[33mx\\e[0m\"" },
        { COP_LEVEL_ERROR, "\"\\e[31mx\\e[0m\"" },  { COP_LEVEL_EMERGENCY, "\"\\e[31mx\\e[0m\"" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cop_log_event event = event_of(ctx, cases[i].level, cop_of(ctx, "x"), COP_NONE);
        EXPECT_TERM(ctx, cop_logger_format(ctx, &event, &f), cases[i].text);
    }
}

static cop_term shouts(cop_ctx *ctx, const cop_log_event *event, cop_term message,
                       const void *arg) {
    if (cop_match(message, "raise"))
        cop_error(ctx, cop_a(oops));
    return cop_list(ctx, cop_level_name(event->level), (const char *)arg, message, (int)'!');
}

TEST(a_function_formats) {
    static const cop_logger_formatter f = { .format = shouts, .arg = ": " };
    EXPECT_TERM(ctx, text_of(ctx, "hello", &f), "\"info: hello!\"");
    EXPECT_TERM(ctx, text_of(ctx, "raise", &f),
                "\"could not format: {:string, \\\"raise\\\"}\\n\"");
}

/* observed: io_lib:format("~p ~s ~ts|~c~~~n~w", ...), with Elixir's notation for the terms */
TEST(a_format_of_Erlangs_is_filled_in) {
    cop_term args = cop_list(ctx, cop_a(a), "text", cop_list(ctx, 0xe9), (int)'c', 1.5, "rest");
    cop_term event_term =
        cop_tuple(ctx, cop_a(format), cop_charlist(ctx, "é ~p ~s ~ts|~c~~~n~10.2w ~p ~p~"), args);
    cop_log_event event = { COP_LEVEL_INFO, event_term, cop_map(ctx) };
    EXPECT_TERM(ctx, cop_logger_message(ctx, &event, false),
                "\"é :a text é|c~\\n1.5 \\\"rest\\\" \"");
}

/* ---- errors --------------------------------------------------------------------------------------------------- */

/* observed: Elixir 1.14, a GenServer whose handle_cast/2 calls :erlang.error/1 with each of these, exits with
   :ex, or stops with {:bad, []} or by a call of :nobody */
TEST(errors_are_shown_as_Elixirs_exceptions) {
    static const struct {
        const char *reason, *text;
    } cases[] = {
        { "{:badthing, S}", "** (stop) :badthing\n    Srv.handle_cast/2" },
        { "{:badarg, S}", "** (ArgumentError) argument error\n    Srv.handle_cast/2" },
        { "{{:badmatch, 7}, S}",
          "** (MatchError) no match of right hand side value: 7\n    Srv.handle_cast/2" },
        { "{{:case_clause, 7}, S}",
          "** (CaseClauseError) no case clause matching: 7\n    Srv.handle_cast/2" },
        { "{:function_clause, S}", "** (FunctionClauseError) no function clause matching in "
                                   "Srv.handle_cast/2\n    Srv.handle_cast/2" },
        { "{{:badfun, 1}, S}",
          "** (BadFunctionError) expected a function, got: 1\n    Srv.handle_cast/2" },
        { "{{:badkey, :a, %{}}, S}",
          "** (KeyError) key :a not found in: %{}\n    Srv.handle_cast/2" },
        { "{{:badmap, 1}, S}", "** (BadMapError) expected a map, got: 1\n    Srv.handle_cast/2" },
        { "{:if_clause, S}", "** (stop) :if_clause\n    Srv.handle_cast/2" },
        { "{:cond_clause, S}", "** (CondClauseError) no cond clause evaluated to a truthy value\n"
                               "    Srv.handle_cast/2" },
        { "{{:with_clause, 1}, S}",
          "** (WithClauseError) no with clause matching: 1\n    Srv.handle_cast/2" },
        { "{{:try_clause, 1}, S}",
          "** (TryClauseError) no try clause matching: 1\n    Srv.handle_cast/2" },
        { "{{:badbool, :and, 1}, S}",
          "** (BadBooleanError) expected a boolean on left-side of \"and\", "
          "got: 1\n    Srv.handle_cast/2" },
        { "{:system_limit, S}",
          "** (SystemLimitError) a system limit has been reached\n    Srv.handle_cast/2" },
        { "{:ex, S}", "** (stop) :ex\n    Srv.handle_cast/2" },
        { "{:bad, []}", "** (stop) {:bad, []}" },
        { "{:noproc, {GenServer, :call, [:nobody, :x, 5000]}}",
          "** (stop) exited in: GenServer.call(:nobody, :x, 5000)\n    ** (EXIT) no process: the "
          "process "
          "is not alive or there's no process currently associated with the given name, possibly "
          "because its application isn't started" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600], expected[600];
        const char *s = strstr(cases[i].reason, " S}");
        int n = s != NULL ? (int)(s - cases[i].reason) : (int)strlen(cases[i].reason);
        snprintf(text, sizeof text, "%.*s%s", n, cases[i].reason,
                 s != NULL ? " [{Srv, :handle_cast, 2, []}]}" : "");
        cop_term reason;
        EXPECT(cop_parse(ctx, text, strlen(text), &reason, NULL));
        cop_term label = cop_tuple(ctx, cop_a(gen_server), cop_a(terminate));
        cop_term report = cop_map(ctx, cop_a(label), label, cop_a(name), cop_as("Elixir.Srv"),
                                  cop_a(reason), reason, cop_a(last_message), cop_a(x));
        cop_log_event event = { COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(report), report),
                                cop_map(ctx) };
        snprintf(expected, sizeof expected, "GenServer Srv terminating\n%s\nLast message: :x",
                 cases[i].text);
        cop_bytes bytes;
        EXPECT(cop_get_bytes(cop_logger_message(ctx, &event, false), &bytes));
        snprintf(text, sizeof text, "%.*s", (int)bytes.size, (const char *)bytes.data);
        EXPECT_STR(text, expected);
    }
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static const cop_logger_formatter json = { .json = true };

static void expect_json(cop_ctx *ctx, const cop_log_event *event, const char *expected) {
    cop_bytes bytes;
    EXPECT(cop_get_bytes(cop_logger_format(ctx, event, &json), &bytes));
    char text[2048];
    snprintf(text, sizeof text, "%.*s", (int)bytes.size, (const char *)bytes.data);
    EXPECT_STR(text, expected);
}

#define HEAD "{\"time\":\"2023-11-14T22:13:20.001234Z\",\"level\":\"info\",\"message\":"

TEST(an_event_is_one_object_on_one_line) {
    cop_term meta = cop_map(ctx, cop_a(n), -7, cop_a(ok), cop_a(true), cop_a(none), cop_a(nil),
                            cop_a(f), 0.1, cop_a(text), "\"q\"", cop_a(module),
                            cop_as("Elixir.Enum"), cop_a(list), cop_list(ctx, 1, cop_a(a)));
    cop_log_event event = event_of(ctx, COP_LEVEL_INFO, cop_of(ctx, "a\nb"), meta);
    expect_json(
        ctx, &event,
        HEAD "\"a\\nb\",\"f\":0.1,\"list\":\"[1, :a]\",\"module\":\"Enum\",\"n\":-7,\"none\":null,"
             "\"ok\":true,\"text\":\"\\\"q\\\"\"}\n");
}

TEST(no_field_comes_twice) {
    cop_term meta = cop_map(ctx, cop_a(level), 1, cop_a(message), 2, "a", 3, cop_a(a), 4);
    cop_log_event event = event_of(ctx, COP_LEVEL_INFO, cop_of(ctx, ""), meta);
    expect_json(ctx, &event,
                HEAD "\"\",\"a\":4,\"metadata.level\":1,\"metadata.message\":2,"
                     "\"\\\"a\\\"\":3}\n");
}

TEST(large_integers_are_text_because_readers_make_doubles_of_them) {
    cop_term meta = cop_map(ctx, cop_a(a), INT64_C(9007199254740991), cop_a(b),
                            INT64_C(9007199254740992), cop_a(c), INT64_MIN);
    cop_log_event event = event_of(ctx, COP_LEVEL_INFO, cop_of(ctx, ""), meta);
    expect_json(ctx, &event,
                HEAD "\"\",\"a\":9007199254740991,\"b\":\"9007199254740992\","
                     "\"c\":\"-9223372036854775808\"}\n");
}

TEST(control_characters_are_escaped) {
    cop_log_event event =
        event_of(ctx, COP_LEVEL_INFO, cop_of(ctx, "\x01\t\x1f\x7f\\\"/é\xff"), COP_NONE);
    expect_json(ctx, &event, HEAD "\"\\u0001\\t\\u001f\\u007f\\\\\\\"/é\xef\xbf\xbd\"}\n");
}

/* A strict reader of what RFC 8259 calls JSON; NULL where it is none. */
static const unsigned char *read_value(const unsigned char *at, const unsigned char *end);

static const unsigned char *read_string(const unsigned char *at, const unsigned char *end) {
    if (at >= end || *at++ != '"')
        return NULL;
    while (at < end && *at != '"') {
        if (*at < 0x20)
            return NULL;
        if (*at < 0x80) {
            if (*at != '\\') {
                at++;
                continue;
            }
            if (++at >= end || strchr("\"\\/bfnrtu", *at) == NULL)
                return NULL;
            if (*at++ == 'u')
                for (int i = 0; i < 4; i++)
                    if (at >= end || strchr("0123456789abcdefABCDEF", *at++) == NULL)
                        return NULL;
            continue;
        }
        int more = *at >= 0xf0 && *at < 0xf5 ? 3 : *at >= 0xe0 ? 2 : *at >= 0xc2 ? 1 : -1;
        if (more < 0 || *at > 0xf4 || end - at <= more)
            return NULL;
        if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f)
            || (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f))
            return NULL;
        for (int i = 1; i <= more; i++)
            if ((at[i] & 0xc0) != 0x80)
                return NULL;
        at += more + 1;
    }
    return at < end ? at + 1 : NULL;
}

static const unsigned char *read_digits(const unsigned char *at, const unsigned char *end) {
    const unsigned char *first = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > first ? at : NULL;
}

static const unsigned char *read_number(const unsigned char *at, const unsigned char *end) {
    if (at < end && *at == '-')
        at++;
    const unsigned char *first = at;
    if ((at = read_digits(at, end)) == NULL || (*first == '0' && at > first + 1))
        return NULL;
    if (at < end && *at == '.' && (at = read_digits(at + 1, end)) == NULL)
        return NULL;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = read_digits(at, end);
    }
    return at;
}

static const unsigned char *read_object(const unsigned char *at, const unsigned char *end) {
    for (at++; at != NULL && at < end;) {
        if ((at = read_string(at, end)) == NULL || at >= end || *at++ != ':'
            || (at = read_value(at, end)) == NULL || at >= end)
            return NULL;
        if (*at == '}')
            return at + 1;
        if (*at++ != ',')
            return NULL;
    }
    return NULL;
}

static const unsigned char *read_value(const unsigned char *at, const unsigned char *end) {
    static const char *const words[] = { "true", "false", "null" };
    if (at >= end)
        return NULL;
    if (*at == '"')
        return read_string(at, end);
    if (*at == '{')
        return read_object(at, end);
    for (int i = 0; i < 3; i++)
        if ((size_t)(end - at) >= strlen(words[i]) && memcmp(at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    return read_number(at, end);
}

static bool is_json_line(cop_term binary) {
    cop_bytes b;
    return cop_get_bytes(binary, &b) && b.size > 2 && b.data[b.size - 1] == '\n'
           && memchr(b.data, '\n', b.size) == b.data + b.size - 1
           && read_value(b.data, b.data + b.size) == b.data + b.size - 1;
}

TEST_TERM(the_reader_of_these_tests_is_strict) {
    static const char *const bad[] = { "{\"a\":01}\n",      "{\"a\":\"\xff\"}\n",
                                       "{\"a\":1,}\n",      "{a:1}\n",
                                       "{\"a\":\"\\x\"}\n", "{\"a\":\"\xc0\x80\"}\n",
                                       "{\"a\":.5}\n",      "{\"a\":\"b\n\"}\n",
                                       "{\"a\":1}",         "{\"a\":1} \n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        EXPECT(!is_json_line(cop_of(ctx, bad[i])));
    EXPECT(is_json_line(cop_of(ctx, "{\"a\":-1.5e+20,\"b\":\"\\u00e9é\",\"c\":null}\n")));
}

static uint64_t draw(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

/* Bytes of all kinds: any at all, pieces of UTF-8, what must be escaped. */
static cop_term strange_binary(cop_ctx *ctx, uint64_t *seed) {
    static const char *const pieces[] = {
        "é",    "\xe2\x82", "\xf0\x9f\x98\x80", "\"", "\\",   "\n",   "\xed\xa0",
        "\x7f", "\\u12",    "\xf4\x90\x80",     "a",  "\x80", "\xc3", "}\n{\"a",
        "\xff"
    };
    uint8_t bytes[300];
    size_t n = 0, wanted = draw(seed) % 200;
    while (n < wanted) {
        if (draw(seed) % 3 == 0) {
            bytes[n++] = (uint8_t)draw(seed);
            continue;
        }
        const char *piece = pieces[draw(seed) % (sizeof pieces / sizeof *pieces)];
        memcpy(bytes + n, piece, strlen(piece));
        n += strlen(piece);
    }
    return cop_binary(ctx, bytes, n);
}

static cop_term strange_term(cop_ctx *ctx, uint64_t *seed, int depth) {
    switch (draw(seed) % (depth > 0 ? 9 : 6)) {
    case 0:
    case 1:
        return strange_binary(ctx, seed);
    case 2:
        return cop_of(ctx, (int64_t)draw(seed));
    case 3: {
        double d;
        uint64_t bits = draw(seed);
        memcpy(&d, &bits, sizeof d);
        return cop_of(ctx, d - d < 0 || d - d > 0 || d != d || d - d != 0 ? 1e300 : d);
    }
    case 4:
        return cop_a(nil).t;
    case 5:
        return cop_of(ctx, (int)(draw(seed) % 0x120000));
    case 6:
        return cop_list(ctx, strange_term(ctx, seed, depth - 1),
                        strange_term(ctx, seed, depth - 1));
    case 7:
        return cop_map(ctx, strange_term(ctx, seed, depth - 1), strange_term(ctx, seed, depth - 1));
    default:
        return cop_tuple(ctx, strange_term(ctx, seed, depth - 1), cop_a(x));
    }
}

TEST(fuzz_every_line_is_JSON) {
    const char *scale = getenv("COPPICE_TEST_SCALE");
    int rounds = 20000 / (scale != NULL ? atoi(scale) : 1) + 20;
    uint64_t seed = cop_random_u64(ctx) | 1;
    cop_logger_formatter f = { .json = true };
    for (int i = 0; i < rounds; i++) {
        COP_SCOPE(ctx) {
            uint64_t start = seed;
            cop_term message = strange_term(ctx, &seed, 4), meta = cop_map(ctx);
            for (int k = 0; k < 4; k++)
                meta = cop_map_put(ctx, meta, strange_term(ctx, &seed, 2),
                                   strange_term(ctx, &seed, 3));
            cop_log_event event = event_of(ctx, COP_LEVEL_ERROR, message, meta);
            f.truncate = draw(&seed) % 4 == 0 ? draw(&seed) % 100 + 1 : 0;
            if (draw(&seed) % 8 == 0)
                event.event = cop_tuple(ctx, cop_a(report), message);
            cop_term line = cop_logger_format(ctx, &event, &f);
            if (!is_json_line(line)) {
                cop_bytes b = { 0 };
                cop_get_bytes(line, &b);
                FAIL("seed %llx: %.*s", (unsigned long long)start, (int)b.size,
                     (const char *)b.data);
            }
        }
    }
}

TEST(fuzz_every_text_is_UTF_8) {
    uint64_t seed = cop_random_u64(ctx) | 1;
    static const cop_logger_formatter f = { .pattern = "$metadata$message", .metadata = "a" };
    for (int i = 0; i < 500; i++) {
        COP_SCOPE(ctx) {
            cop_log_event event = event_of(ctx, COP_LEVEL_ERROR, strange_term(ctx, &seed, 4),
                                           cop_map(ctx, cop_a(a), strange_binary(ctx, &seed)));
            cop_bytes b;
            EXPECT(cop_get_bytes(cop_logger_format(ctx, &event, &f), &b));
            for (size_t at = 0;
                 at < b.size;) { /* the rules of a JSON string, without its escapes */
                unsigned char quoted[8] = { '"', 0, 0, 0, 0, '"' };
                size_t n = b.data[at] < 0x80   ? 1
                           : b.data[at] < 0xe0 ? 2
                           : b.data[at] < 0xf0 ? 3
                                               : 4;
                EXPECT(b.size - at >= n);
                memcpy(quoted + 1, b.data + at, n);
                quoted[1 + n] = '"';
                EXPECT(n == 1 || read_string(quoted, quoted + n + 2) == quoted + n + 2);
                at += n;
            }
        }
    }
}
