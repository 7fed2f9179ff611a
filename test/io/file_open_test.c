/* SPDX-License-Identifier: Apache-2.0 */
/* Open files. Observed: Elixir 1.14, OTP 25, unless a test says otherwise. */
#include <coppice/file.h>
#include <coppice/io.h>
#include <coppice/test.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "folder.h"

static cop_pid open_file(cop_ctx *ctx, const char *path, int modes) {
    cop_pid file;
    cop_term opened = cop_file_open(ctx, path, modes);
    EXPECT_TERM(ctx, opened, "{:ok, _}");
    EXPECT(cop_match_tuple(opened, cop_a(ok), &file));
    return file;
}

TEST(opening_fails_with_the_names_of_posix) {
    enter_folder();
    cop_file_write_or_raise(ctx, "s", "x", 0);
    EXPECT_TERM(ctx, cop_file_open(ctx, "none", 0), "{:error, :enoent}");
    EXPECT_TERM(ctx, cop_file_open(ctx, ".", COP_FILE_READ), "{:error, :eisdir}");
    EXPECT_TERM(ctx, cop_file_open(ctx, ".", COP_FILE_WRITE), "{:error, :eisdir}");
    EXPECT_TERM(ctx, cop_file_open(ctx, "s", COP_FILE_EXCLUSIVE), "{:error, :eexist}");
    EXPECT_TERM(ctx, cop_file_open(ctx, cop_binary(ctx, "a\0b", 3), 0), "{:error, :badarg}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(a_file_is_latin1_unless_told_otherwise) {
    enter_folder();
    cop_pid f = open_file(ctx, "f", COP_FILE_WRITE);
    cop_io_write(ctx, f, "aé");
    cop_io_binwrite(ctx, f, "\xff");
    EXPECT_ERROR(ctx, ":no_translation") { cop_io_write(ctx, f, "☃"); } /* Elixir's file ends */
    EXPECT_TERM(ctx, cop_file_close(ctx, f), ":ok");
    EXPECT_SAME(ctx, cop_file_read_or_raise(ctx, "f"), cop_of(ctx, "a\xe9\xff"));
    f = open_file(ctx, "f", COP_FILE_READ);
    EXPECT_TERM(ctx, cop_io_read(ctx, f, 2), "\"aé\"");
    EXPECT_SAME(ctx, cop_io_binread(ctx, f, 9), cop_of(ctx, "\xff"));
    EXPECT_TERM(ctx, cop_io_binread(ctx, f, 9), ":eof");
    f = open_file(ctx, "f", COP_FILE_READ | COP_FILE_UTF8);
    EXPECT_TERM(ctx, cop_io_read(ctx, f, 1), "\"a\"");
    EXPECT_TERM(ctx, cop_io_read(ctx, f, 1), "{:error, :invalid_unicode}");
}

TEST(lines_are_read_from_a_file) {
    enter_folder();
    cop_file_write_or_raise(ctx, "g", "héllo\r\nzwei\nend", 0);
    cop_pid f = open_file(ctx, "g", COP_FILE_UTF8);
    EXPECT_TERM(ctx, cop_io_read_line(ctx, f), "\"héllo\\n\"");
    EXPECT_TERM(ctx, cop_io_gets(ctx, f, "prompt"), "\"zwei\\n\"");
    EXPECT_TERM(ctx, cop_io_read_line(ctx, f), "\"end\"");
    EXPECT_TERM(ctx, cop_io_read_line(ctx, f), ":eof");
    f = open_file(ctx, "g", 0);
    EXPECT_TERM(ctx, cop_io_read_line(ctx, f), "\"hÃ©llo\\n\"");
    EXPECT_TERM(ctx, cop_io_read_all(ctx, f, 0), "\"zwei\\nend\"");
}

TEST(a_file_is_read_and_written_in_place) {
    enter_folder();
    cop_file_write_or_raise(ctx, "g", "h\xc3\xa9llo\r\nzwei\nend", 0);
    cop_pid f = open_file(ctx, "g", COP_FILE_READ | COP_FILE_WRITE);
    EXPECT_SAME(ctx, cop_file_pread(ctx, f, 2, 3),
                cop_tuple(ctx, cop_a(ok), cop_binary(ctx, "\xa9ll", 3)));
    EXPECT_TERM(ctx, cop_file_pread(ctx, f, 100, 3), ":eof");
    EXPECT_TERM(ctx, cop_file_pread(ctx, f, -1, 3), "{:error, :einval}");
    EXPECT_TERM(ctx, cop_file_pread(ctx, f, 0, 0), "{:ok, \"\"}");
    EXPECT_TERM(ctx, cop_file_pread(ctx, f, 0, UINT64_C(1) << 40), "{:error, :enomem}");
    EXPECT_TERM(ctx, cop_file_pwrite(ctx, f, 1, cop_list(ctx, "X", 'Y')), ":ok");
    EXPECT_TERM(ctx, cop_file_pwrite(ctx, f, -1, "a"), "{:error, :einval}");
    EXPECT_TERM(ctx, cop_file_pwrite(ctx, f, 0, cop_a(bad)), "{:error, :badarg}");
    EXPECT_TERM(ctx, cop_file_position(ctx, f, COP_FILE_EOF, -2), "{:ok, 14}");
    EXPECT_TERM(ctx, cop_file_position(ctx, f, COP_FILE_CUR, 1), "{:ok, 15}");
    EXPECT_TERM(ctx, cop_file_position(ctx, f, COP_FILE_BOF, -1), "{:error, :einval}");
    EXPECT_TERM(ctx, cop_file_position(ctx, f, COP_FILE_BOF, 3), "{:ok, 3}");
    EXPECT_TERM(ctx, cop_io_binread(ctx, f, 2), "\"ll\"");
    EXPECT_TERM(ctx, cop_file_position(ctx, f, COP_FILE_CUR, 0), "{:ok, 5}");
    EXPECT_TERM(ctx, cop_file_truncate(ctx, f), ":ok");
    EXPECT_TERM(ctx, cop_file_read(ctx, "g"), "{:ok, \"hXYll\"}");
    EXPECT_TERM(ctx, cop_file_sync(ctx, f), ":ok");
    EXPECT_TERM(ctx, cop_file_datasync(ctx, f), ":ok");
}

TEST(what_was_read_ahead_does_not_move_a_write) {
    enter_folder();
    cop_file_write_or_raise(ctx, "g", "one\ntwo\nthree\n", 0);
    cop_pid f = open_file(ctx, "g", COP_FILE_READ | COP_FILE_WRITE);
    EXPECT_TERM(ctx, cop_io_read_line(ctx, f), "\"one\\n\"");
    cop_io_write(ctx, f, "TWO");
    EXPECT_TERM(ctx, cop_io_read_line(ctx, f), "\"\\n\"");
    EXPECT_TERM(ctx, cop_io_read_line(ctx, f), "\"three\\n\"");
    EXPECT_TERM(ctx, cop_file_read(ctx, "g"), "{:ok, \"one\\nTWO\\nthree\\n\"}");
}

TEST(modes_say_what_becomes_of_the_old_content) {
    enter_folder();
    cop_file_write_or_raise(ctx, "g", "old", 0);
    cop_pid f = open_file(ctx, "g", COP_FILE_APPEND);
    cop_io_write(ctx, f, "+new");
    EXPECT_TERM(ctx, cop_file_read(ctx, "g"), "{:ok, \"old+new\"}");
    f = open_file(ctx, "g", COP_FILE_WRITE);
    EXPECT_TERM(ctx, cop_file_read(ctx, "g"), "{:ok, \"\"}");
    EXPECT_TERM(ctx, cop_io_read(ctx, f, 1), "{:error, :ebadf}");
    f = open_file(ctx, "g", COP_FILE_READ);
    EXPECT_TERM(ctx, cop_io_request(ctx, f, cop_tuple(ctx, cop_a(put_chars), "x")),
                "{:error, :ebadf}");
}

TEST(a_closed_file_is_terminated) {
    enter_folder();
    cop_pid f = open_file(ctx, "f", COP_FILE_WRITE);
    EXPECT_TERM(ctx, cop_file_close(ctx, f), ":ok");
    EXPECT_TERM(ctx, cop_file_close(ctx, f), ":ok");
    EXPECT(!cop_process_is_alive(ctx, f));
    EXPECT_ERROR(ctx, ":terminated") { cop_io_write(ctx, f, "x"); }
    EXPECT_TERM(ctx, cop_io_gets(ctx, f, ""), "{:error, :terminated}");
    EXPECT_TERM(ctx, cop_file_pread(ctx, f, 1, 2), "{:error, :terminated}");
}

static int open_files(void) {
    int count = 0;
    for (int fd = 3; fd < 200; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void open_and_wait(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_send(ctx, arg, cop_elem(cop_file_open(ctx, "f", COP_FILE_WRITE), 1));
    cop_receive(ctx, COP_INFINITY, &message);
    cop_exit(ctx, message);
}

/* Elixir: the file's process ends with the reason of its owner. */
TEST(a_file_is_closed_with_its_owner) {
    enter_folder();
    cop_pid f = open_file(ctx, "f", COP_FILE_WRITE);
    int before = open_files();
    cop_pid owner = cop_spawn(ctx, open_and_wait, cop_self(ctx).t);
    cop_term message;
    EXPECT(cop_receive(ctx, 5000, &message) && cop_match(message, &f));
    EXPECT_INT(open_files(), before + 1);
    cop_ref ref = cop_process_monitor(ctx, f);
    cop_send(ctx, owner, cop_a(boo));
    EXPECT(cop_receive_ref(ctx, 5000, ref, &message));
    EXPECT_TERM(ctx, message, "{:DOWN, _, :process, _, :boo}");
    EXPECT_INT(open_files(), before);
}

TEST(a_bad_request_hurts_no_file) {
    enter_folder();
    cop_file_write_or_raise(ctx, "f", "abc", 0);
    cop_pid f = open_file(ctx, "f", 0);
    static const char *const bad[] = { ":bogus", "{:pread, 1}", "{:position}", "{:pwrite, :x, 1}",
                                       "[]" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cop_term request;
        EXPECT(cop_parse(ctx, bad[i], strlen(bad[i]), &request, NULL));
        cop_ref ref = cop_make_ref(ctx);
        cop_send(ctx, f, cop_tuple(ctx, cop_a(file_request), cop_self(ctx), ref, request));
        EXPECT_TERM(ctx, ASSERT_RECEIVE(ctx, "{:file_reply, _, _}"),
                    "{:file_reply, _, {:error, :request}}");
    }
    cop_send(ctx, f, cop_tuple(ctx, cop_a(file_request), 1, 2, cop_a(close)));
    cop_send(ctx, f,
             cop_tuple(ctx, cop_a(file_request), cop_self(ctx), 1,
                       cop_tuple(ctx, cop_a(position), cop_a(x))));
    EXPECT_TERM(ctx, ASSERT_RECEIVE(ctx, "{:file_reply, 1, _}"),
                "{:file_reply, 1, {:error, :badarg}}");
    EXPECT_TERM(ctx, cop_io_read(ctx, f, 5), "\"abc\"");
}
