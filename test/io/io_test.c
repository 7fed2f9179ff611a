/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O protocol: string devices, :user, the functions of coppice/io.h. Observed: Elixir 1.14, OTP 25,
   unless a test says otherwise. */
#include <coppice/io.h>
#include <coppice/module.h>
#include <coppice/test.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static cop_pid string(cop_ctx *ctx, const char *text) {
    return cop_string_io_open(ctx, text, NULL);
}
static cop_term notation(cop_ctx *ctx, const char *text) {
    cop_term t;
    EXPECT(cop_parse(ctx, text, strlen(text), &t, NULL));
    return t;
}
/* A request in Elixir's notation and the reply that is expected. */
static void ask(cop_ctx *ctx, cop_pid device, const char *request, const char *reply) {
    test_note("%s", request);
    EXPECT_TERM(ctx, cop_io_request(ctx, device, notation(ctx, request)), reply);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

TEST(reading_takes_lines_and_characters_in_turn) {
    cop_pid s = string(ctx, "héllo\nwörld\nlast");
    ask(ctx, s, "{:get_line, :unicode, \">\"}", "\"héllo\\n\"");
    ask(ctx, s, "{:get_chars, :unicode, \">\", 3}", "\"wör\"");
    ask(ctx, s, "{:get_line, :unicode, '>'}", "\"ld\\n\"");
    ask(ctx, s, "{:get_line, \">\"}", "\"last\"");
    ask(ctx, s, "{:get_line, :unicode, \">\"}", ":eof");
    ask(ctx, s, "{:get_chars, :unicode, \"\", 4}", ":eof");
    ask(ctx, s, "{:get_chars, :unicode, \"\", 0}", "\"\""); /* as :user; StringIO: :eof */
}

TEST(carriage_returns_before_newlines_are_not_read) {
    cop_pid s = string(ctx, "a\r\nb\rc\n\r\n\n");
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), "\"a\\n\"");
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), "\"b\\rc\\n\"");
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), "\"\\n\"");
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), "\"\\n\"");
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), ":eof");
}

TEST(old_forms_read_latin1) {
    cop_pid s = string(ctx, "ö\n☃\nab");
    EXPECT_SAME(ctx, cop_io_request(ctx, s, notation(ctx, "{:get_line, \"\"}")),
                cop_binary(ctx, "\xf6\n", 2));
    ask(ctx, s, "{:get_line, :latin1, \"\"}", "{:error, {:no_translation, :unicode, :latin1}}");
    ask(ctx, s, "{:get_chars, \"\", 1}", "\"a\"");
    EXPECT_TERM(ctx, cop_io_binread(ctx, s, 5), "\"b\"");
}

TEST(bytes_that_are_no_characters_are_an_error_and_pass) {
    cop_pid s = string(ctx, "ab\xff"
                            "c\nx\xff\nrest");
    EXPECT_TERM(ctx, cop_io_read(ctx, s, 1), "\"a\"");
    EXPECT_TERM(ctx, cop_io_read(ctx, s, 3), "{:error, :invalid_unicode}");
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), "\"\\n\"");
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), "{:error, :collect_line}");
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), "\"rest\""); /* StringIO: the same error for ever */
}

TEST(all_is_read_up_to_a_limit) {
    EXPECT_TERM(ctx, cop_io_read_all(ctx, string(ctx, "a\nbé"), 0), "\"a\\nbé\"");
    EXPECT_TERM(ctx, cop_io_read_all(ctx, string(ctx, ""), 0), "\"\"");
    EXPECT_TERM(ctx, cop_io_read_all(ctx, string(ctx, "abcd"), 3), "{:error, :efbig}");
    EXPECT_TERM(ctx, cop_enum_to_list(ctx, cop_io_stream(ctx, string(ctx, "a\nb\nc"))),
                "[\"a\\n\", \"b\\n\", \"c\"]");
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static void wrote(cop_ctx *ctx, cop_pid device, const char *expected) {
    cop_bytes bytes;
    cop_term out = cop_string_io_flush(ctx, device);
    EXPECT(cop_get_bytes(out, &bytes));
    EXPECT_INT(bytes.size, strlen(expected));
    EXPECT(memcmp(bytes.data, expected, bytes.size) == 0);
}

TEST(characters_are_written_in_the_encoding_of_the_request) {
    cop_pid s = string(ctx, "");
    ask(ctx, s, "{:put_chars, :unicode, \"ö\"}", ":ok");
    ask(ctx, s, "{:put_chars, :latin1, \"ö\"}", ":ok");
    ask(ctx, s, "{:put_chars, :latin1, [246]}", ":ok");
    ask(ctx, s, "{:put_chars, :unicode, [300, \"a\", ['b' | \"c\"]]}", ":ok");
    ask(ctx, s, "{:put_chars, \"abc\"}", ":ok");
    wrote(ctx, s, "öÃ¶öĬabcabc");
    ask(ctx, s, "{:put_chars, :latin1, [300]}", "{:error, {:no_translation, :latin1, :unicode}}");
    ask(ctx, s, "{:put_chars, [300]}", "{:error, {:no_translation, :latin1, :unicode}}");
    ask(ctx, s, "{:put_chars, :unicode, <<255>>}",
        "{:error, {:no_translation, :unicode, :unicode}}");
    ask(ctx, s, "{:put_chars, :unicode, :foo}", "{:error, {:put_chars, :unicode, :foo}}");
    ask(ctx, s, "{:put_chars, :unicode, [1.5]}", "{:error, {:put_chars, :unicode, [1.5]}}");
    wrote(ctx, s, "");
}

TEST(a_latin1_device_takes_no_more_than_it_can_hold) {
    cop_pid s = cop_string_io_open(ctx, "a\xe9\r\nb\n", &(cop_string_io_opts){ .latin1 = true });
    ask(ctx, s, ":getopts", "[binary: true, encoding: :latin1]");
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), "\"aé\\n\"");
    ask(ctx, s, "{:put_chars, :unicode, \"ö\"}", ":ok");
    ask(ctx, s, "{:put_chars, :unicode, \"☃\"}", "{:error, {:no_translation, :unicode, :latin1}}");
    wrote(ctx, s, "\xf6");
}

static cop_term text_of_x(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    return cop_list(ctx, "<", argv[0], ">");
}
static cop_term no_text(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    return cop_self(ctx).t;
}
static cop_term raising(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_exit(ctx, cop_a(boom));
}
/* Collects lines until an empty one; gives back what follows "|" in a line. */
static cop_term block(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term list = argv[1], head;
    if (cop_match(list, cop_a(eof)))
        return cop_tuple(ctx, cop_a(done), cop_a(eof), cop_a(eof));
    if (cop_list_length(list) == 1)
        return cop_tuple(ctx, cop_a(done), argv[0], COP_NIL);
    while (cop_get_cons(list, &head, &list))
        if (cop_match(head, '|'))
            return cop_tuple(ctx, cop_a(done), cop_tuple(ctx, cop_a(found), argv[2]), list);
    return cop_tuple(ctx, cop_a(more), cop_list_append(ctx, argv[0], argv[1]));
}
static const cop_module texts = {
    .name = "texts",
    .exports = (const cop_export[]){ { "bracket", 1, text_of_x },
                                     { "none", 0, no_text },
                                     { "boom", 0, raising },
                                     { "boom", 2, raising },
                                     { "block", 3, block },
                                     { 0 } },
};

TEST(functions_make_what_is_written) {
    cop_module_load(&texts);
    cop_pid s = string(ctx, "");
    ask(ctx, s, "{:put_chars, :unicode, :texts, :bracket, [\"x\"]}", ":ok");
    ask(ctx, s, "{:put_chars, :texts, :bracket, ['y']}", ":ok");
    ask(ctx, s, "{:put_chars, :unicode, :texts, :none, []}",
        "{:error, {:put_chars, :unicode, :texts, :none, []}}");
    ask(ctx, s, "{:put_chars, :unicode, :texts, :boom, []}", "{:error, _}");
    ask(ctx, s, "{:put_chars, :unicode, :nomod, :f, []}", "{:error, _}"); /* StringIO ends */
    ask(ctx, s, "{:put_chars, :unicode, :texts, :bracket, :x}", "{:error, _}");
    wrote(ctx, s, "<x><y>");
}

TEST(functions_decide_what_is_read) {
    cop_module_load(&texts);
    cop_pid s = string(ctx, "ab\nc\n\nd|e\nlast");
    ask(ctx, s, "{:get_until, :unicode, \"\", :texts, :block, [1]}", "\"ab\\nc\\n\"");
    ask(ctx, s, "{:get_until, :unicode, \"\", :texts, :block, [2]}", "{:found, 2}");
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), "\"e\\n\"");
    ask(ctx, s, "{:get_until, :unicode, \"\", :texts, :boom, []}", "{:error, :get_until}");
    ask(ctx, s, "{:get_until, \"\", :texts, :block, [2]}", ":eof");
    ask(ctx, s, "{:get_until, :unicode, \"\", :texts, :block, :x}", "{:error, :get_until}");
}

TEST(several_requests_end_at_the_first_error) {
    cop_pid s = string(ctx, "in");
    ask(ctx, s, "{:requests, [{:put_chars, :unicode, \"a\"}, {:put_chars, :unicode, \"b\"}]}",
        ":ok");
    ask(ctx, s, "{:requests, [{:put_chars, :unicode, :bad}, {:put_chars, :unicode, \"c\"}]}",
        "{:error, {:put_chars, :unicode, :bad}}");
    ask(ctx, s, "{:requests, []}", ":ok");
    ask(ctx, s, "{:requests, [:bogus, {:put_chars, :unicode, \"d\"}]}", "{:error, :request}");
    ask(ctx, s, "{:requests, [{:put_chars, \"e\"}, {:requests, [{:get_chars, \"\", 1}]}]}",
        "\"i\"");
    wrote(ctx, s, "abe");
}

TEST(options_are_set_all_or_none) {
    cop_pid s = string(ctx, "äb");
    ask(ctx, s, ":getopts", "[binary: true, encoding: :unicode]");
    ask(ctx, s, "{:setopts, [binary: false, foo: 1]}", "{:error, :enotsup}");
    ask(ctx, s, "{:setopts, :x}", "{:error, :request}");
    ask(ctx, s, "{:setopts, [:list]}", ":ok");
    ask(ctx, s, ":getopts", "[binary: false, encoding: :unicode]");
    ask(ctx, s, "{:get_chars, :unicode, \"\", 2}", "[228, 98]");
    ask(ctx, s, "{:setopts, [encoding: :latin1, binary: true]}", ":ok");
    ask(ctx, s, ":getopts", "[binary: true, encoding: :latin1]");
    ask(ctx, s, "{:get_geometry, :columns}", "{:error, :enotsup}");
}

TEST(what_is_no_request_answers_so_and_hurts_nobody) {
    static const char *const bad[] = { ":bogus",
                                       "{:a, :b}",
                                       "{:get_geometry, :x}",
                                       "{:get_chars, :unicode, \"\", -1}",
                                       "{:get_chars, :unicode, \"\", :x}",
                                       "{:get_chars, :foo, \"\", 1}",
                                       "{:put_chars, :foo, \"x\"}",
                                       "{:requests, :x}",
                                       "{:requests, [1 | 2]}",
                                       "{}",
                                       "[]",
                                       "%{}",
                                       "{:get_line}",
                                       "{:get_until, 1, 2}",
                                       "1.5" };
    cop_pid s = string(ctx, "abc");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ask(ctx, s, bad[i], "{:error, :request}");
    ask(ctx, s, "{:get_chars, :unicode, \"\", 100000000000}", "{:error, :enomem}");
    cop_send(ctx, s, cop_a(junk));
    cop_send(ctx, s, cop_tuple(ctx, cop_a(io_request), 1, 2, 3)); /* StringIO ends here */
    cop_send(ctx, s, cop_tuple(ctx, cop_a(io_request), cop_self(ctx), 1));
    cop_send(ctx, s, cop_tuple(ctx, cop_as("$gen_call"), 1, cop_a(contents)));
    EXPECT_TERM(ctx, cop_io_read(ctx, s, 3), "\"abc\"");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

/* ---- the functions ------------------------------------------------------------------------------------ */

TEST(puts_writes_what_has_a_text) {
    cop_pid s = string(ctx, "ab");
    cop_io_puts(ctx, s, "a");
    cop_io_puts(ctx, s, cop_list(ctx, 'a', "b"));
    cop_io_puts(ctx, s, cop_a(atom));
    cop_io_puts(ctx, s, 5);
    cop_io_puts(ctx, s, 1.5);
    cop_io_write(ctx, s, cop_a(nil));
    EXPECT_TERM(ctx, cop_io_inspect(ctx, s, cop_tuple(ctx, cop_a(a), "b")), "{:a, \"b\"}");
    cop_io_binwrite(ctx, s, cop_list(ctx, "x", 'y'));
    cop_io_puts(ctx, s, "");
    EXPECT_TERM(ctx, cop_string_io_contents(ctx, s),
                "{\"ab\", \"a\\nab\\natom\\n5\\n1.5\\n{:a, \\\"b\\\"}\\nxy\\n\"}");
    EXPECT_ERROR(ctx, "%Protocol.UndefinedError{}") { cop_io_puts(ctx, s, cop_tuple(ctx, 1)); }
    EXPECT_ERROR(ctx, ":badarg") { cop_io_write(ctx, s, cop_list(ctx, 5.5)); }
    EXPECT_ERROR(ctx, ":no_translation") { cop_io_write(ctx, s, "\xff"); }
    EXPECT_ERROR(ctx, ":badarg") { cop_io_binwrite(ctx, s, cop_a(x)); }
}

TEST(a_prompt_is_output_when_that_is_wanted) {
    cop_pid s = cop_string_io_open(ctx, "in\n", &(cop_string_io_opts){ .capture_prompt = true });
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, "p>"), "\"in\\n\"");
    cop_io_puts(ctx, s, "o");
    EXPECT_TERM(ctx, cop_string_io_contents(ctx, s), "{\"\", \"p>o\\n\"}");
}

TEST(a_device_that_is_gone_is_an_error) {
    cop_pid s = string(ctx, "in");
    EXPECT_TERM(ctx, cop_string_io_close(ctx, s), "{\"in\", \"\"}");
    EXPECT_ERROR(ctx, ":terminated") { cop_io_puts(ctx, s, "x"); }
    EXPECT_TERM(ctx, cop_io_gets(ctx, s, ""), "{:error, :terminated}");
    EXPECT_ERROR(ctx, ":badarg") { cop_io_puts(ctx, cop_a(nodevice), "x"); }
    EXPECT_TERM(ctx, cop_io_gets(ctx, cop_a(nodevice), ""), "{:error, :arguments}");
    EXPECT_ERROR(ctx, ":calling_self") { cop_io_puts(ctx, cop_self(ctx), "x"); }
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :call, [_, :contents, 5000]}}") {
        cop_string_io_contents(ctx, s);
    }
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void say(cop_ctx *ctx, cop_term arg) { cop_io_puts(ctx, cop_a(stdio), arg); }

TEST(the_group_leader_takes_what_its_processes_write) {
    cop_pid s = string(ctx, "line\n");
    cop_process_set_group_leader(ctx, cop_self(ctx), s);
    test_await_down(ctx, cop_spawn(ctx, say, cop_of(ctx, "hello")));
    EXPECT_TERM(ctx, cop_io_gets(ctx, cop_a(stdio), ""), "\"line\\n\"");
    wrote(ctx, s, "hello\n");
}

static void greet(cop_ctx *ctx, cop_term arg) {
    cop_io_write(ctx, cop_a(stdio), "name? ");
    cop_term name = cop_io_gets(ctx, cop_a(stdio), "");
    cop_io_puts(ctx, cop_a(stdio), cop_list(ctx, arg, ", ", name));
}
static void fail_loudly(cop_ctx *ctx, cop_term arg) {
    cop_io_puts(ctx, cop_a(stdio), "lost");
    cop_exit(ctx, arg);
}

TEST(a_test_catches_what_is_written) {
    cop_pid before = cop_process_group_leader(ctx);
    EXPECT_TERM(ctx, test_capture_io(ctx, "world\n", greet, cop_of(ctx, "hello")),
                "\"name? hello, world\\n\\n\"");
    EXPECT_EXIT(ctx, ":why") { test_capture_io(ctx, "", fail_loudly, cop_a(why).t); }
    EXPECT_SAME(ctx, cop_process_group_leader(ctx), before);
}

/* ---- :user -------------------------------------------------------------------------------------------- */

/* Standard input and output of this OS process become pipes (or other descriptors). */
static void plug(int in, int out) {
    fflush(stdout);
    if (in >= 0)
        EXPECT(dup2(in, STDIN_FILENO) >= 0);
    if (out >= 0)
        EXPECT(dup2(out, STDOUT_FILENO) >= 0);
}

TEST(user_is_the_leader_of_the_first_processes, .real_time = true) {
    int out[2];
    char text[64] = "";
    EXPECT(pipe(out) == 0);
    int kept = dup(STDOUT_FILENO);
    plug(-1, out[1]);
    cop_io_puts(ctx, cop_a(stdio), "héllo");
    cop_io_write(ctx, cop_a(user), "x");
    test_await_down(ctx, cop_spawn(ctx, say, cop_of(ctx, "from a child")));
    plug(-1, kept);
    EXPECT(read(out[0], text, sizeof text - 1) > 0);
    EXPECT_STR(text, "héllo\nxfrom a child\n");
    EXPECT_SAME(ctx, cop_process_group_leader(ctx), cop_process_whereis(ctx, cop_a(user)));
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(group_leader)), "_");
}

static void read_line(cop_ctx *ctx, cop_term arg) {
    cop_send(ctx, arg, cop_tuple(ctx, cop_self(ctx), cop_io_gets(ctx, cop_a(user), "")));
}

TEST(readers_of_standard_input_wait_in_order_and_block_no_writer, .real_time = true) {
    int in[2], out[2];
    char text[16] = "";
    EXPECT(pipe(in) == 0 && pipe(out) == 0);
    int kept = dup(STDOUT_FILENO);
    plug(in[0], out[1]);
    cop_pid readers[3];
    for (int i = 0; i < 3; i++) {
        readers[i] = cop_spawn(ctx, read_line, cop_self(ctx).t);
        cop_term status; /* it waits for the device: its request is there */
        do
            status = cop_process_info(ctx, readers[i], cop_a(status));
        while (!cop_match(status, cop_a(waiting)));
    }
    cop_io_puts(ctx, cop_a(stdio), "not held up");
    plug(-1, kept);
    EXPECT(read(out[0], text, 12) == 12 && strcmp(text, "not held up\n") == 0);
    EXPECT(write(in[1], "one\ntw", 6) == 6);
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{_, \"one\\n\"}"), 0), readers[0]);
    EXPECT(write(in[1], "o\nthr", 5) == 5);
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{_, \"two\\n\"}"), 0), readers[1]);
    close(in[1]);
    ASSERT_RECEIVE(ctx, "{_, \"thr\"}");
    EXPECT_TERM(ctx, cop_io_gets(ctx, cop_a(user), ""), ":eof");
    EXPECT_TERM(ctx, cop_io_read_line(ctx, cop_a(user)), ":eof");
}

static void write_much(cop_ctx *ctx, cop_term arg) {
    char line[1001];
    memset(line, 'x', 1000);
    line[1000] = '\0';
    for (int i = 0; i < 300; i++)
        cop_io_write(ctx, cop_a(user), (const char *)line);
    cop_send(ctx, arg, cop_a(done));
}

TEST(writers_wait_for_who_reads_their_output, .real_time = true) {
    int out[2];
    char text[65536];
    EXPECT(pipe(out) == 0);
    int kept = dup(STDOUT_FILENO);
    plug(-1, out[1]);
    for (int i = 0; i < 3; i++)
        cop_spawn(ctx, write_much, cop_self(ctx).t);
    REFUTE_RECEIVE(ctx, ":done", 50); /* 900,000 bytes, and a pipe holds 65,536 */
    size_t size = 0;
    while (size < 900000) {
        ssize_t n = read(out[0], text, sizeof text);
        EXPECT(n > 0);
        for (ssize_t i = 0; i < n; i++)
            EXPECT(text[i] == 'x');
        size += (size_t)n;
    }
    for (int i = 0; i < 3; i++)
        ASSERT_RECEIVE(ctx, ":done");
    plug(-1, kept);
    EXPECT_INT(size, 900000);
}

TEST(a_closed_output_is_an_error_of_who_writes, .real_time = true) {
    int out[2];
    EXPECT(pipe(out) == 0);
    int kept = dup(STDOUT_FILENO);
    plug(-1, out[1]);
    close(out[1]);
    close(out[0]);
    cop_term reply =
        cop_io_request(ctx, cop_a(user), cop_tuple(ctx, cop_a(put_chars), cop_a(unicode), "x"));
    plug(-1, kept);
    EXPECT_TERM(ctx, reply, "{:error, :epipe}");
}

TEST(user_answers_errors_as_erlangs_does, .real_time = true) {
    int null = open("/dev/null", O_RDWR);
    int kept = dup(STDOUT_FILENO);
    plug(null, null);
    EXPECT_INT(cop_io_start(), 0);
    cop_pid user = { cop_process_whereis(ctx, cop_a(user)) };
    while (cop_is_none(user.t))
        user.t = cop_process_whereis(ctx, cop_a(user));
    ask(ctx, user, "{:put_chars, :latin1, [300]}", "{:error, :put_chars}");
    ask(ctx, user, "{:put_chars, :unicode, :foo}", "{:error, :put_chars}");
    ask(ctx, user, "{:put_chars, :unicode, <<255>>}", ":ok");
    ask(ctx, user, "{:put_chars, :unicode, :nomod, :f, []}", "{:error, :put_chars}");
    ask(ctx, user, "{:requests, :x}", "{:error, :request}"); /* Erlang's :user ends */
    ask(ctx, user, ":getopts", "[binary: true, encoding: :unicode]");
    ask(ctx, user, "{:get_geometry, :columns}", "{:error, :enotsup}");
    ask(ctx, user, "{:get_line, :unicode, \"P\"}", ":eof");
    plug(-1, kept);
    EXPECT_TERM(ctx, cop_io_gets(ctx, cop_a(stderr), ""), "{:error, :enotsup}");
}

TEST(user_is_started_again_when_it_was_killed, .real_time = true) {
    int null = open("/dev/null", O_RDWR);
    int kept = dup(STDOUT_FILENO);
    plug(null, null);
    cop_io_puts(ctx, cop_a(stdio), "x");
    cop_pid first = cop_process_group_leader(ctx);
    cop_process_exit(ctx, first, cop_a(kill));
    test_await_down(ctx, first);
    cop_io_puts(ctx, cop_a(stdio), "x");
    EXPECT(cop_process_group_leader(ctx).t.w != first.t.w);
    plug(-1, kept);
}
