/* SPDX-License-Identifier: Apache-2.0 */
/* Files by name, and streams. Observed: Elixir 1.14, OTP 25, unless a test says otherwise. */
#include <coppice/file.h>
#include <coppice/test.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"

/* ---- whole files -------------------------------------------------------------------------------------- */

TEST(a_file_is_written_and_read_whole) {
    enter_folder();
    cop_term text = cop_list(ctx, "a", 'b', cop_list(ctx, "c"));
    EXPECT_TERM(ctx, cop_file_write(ctx, "w", text, 0), ":ok");
    EXPECT_TERM(ctx, cop_file_write(ctx, "w", "d", COP_FILE_APPEND), ":ok");
    EXPECT_TERM(ctx, cop_file_read(ctx, "w"), "{:ok, \"abcd\"}");
    EXPECT_TERM(ctx, cop_file_read_or_raise(ctx, "w"), "\"abcd\"");
    EXPECT_TERM(ctx, cop_file_write(ctx, "w", "x", COP_FILE_EXCLUSIVE), "{:error, :eexist}");
    EXPECT_TERM(ctx, cop_file_write(ctx, "w", "", 0), ":ok");
    EXPECT_TERM(ctx, cop_file_read(ctx, "w"), "{:ok, \"\"}");
}

TEST(errors_have_the_names_of_posix) {
    enter_folder();
    EXPECT_TERM(ctx, cop_file_read(ctx, "none"), "{:error, :enoent}");
    EXPECT_TERM(ctx, cop_file_read(ctx, "."), "{:error, :eisdir}");
    EXPECT_TERM(ctx, cop_file_read(ctx, ""), "{:error, :enoent}");
    EXPECT_TERM(ctx, cop_file_write(ctx, ".", "x", 0), "{:error, :eisdir}");
    EXPECT_TERM(ctx, cop_file_write(ctx, "w", cop_a(bad), 0), "{:error, :badarg}");
    EXPECT_TERM(ctx, cop_file_write(ctx, "w", cop_list(ctx, 300), 0), "{:error, :badarg}");
    EXPECT(!cop_file_exists(ctx, "w"));
    EXPECT_ERROR(ctx, "%File.Error{action: \"read file\", path: \"none\", reason: :enoent}") {
        cop_file_read_or_raise(ctx, "none");
    }
    EXPECT_ERROR(ctx, "%File.Error{action: \"write to file\", path: \".\", reason: :eisdir}") {
        cop_file_write_or_raise(ctx, ".", "x", 0);
    }
}

TEST(a_path_is_text_without_a_nul) {
    enter_folder();
    cop_term nul = cop_binary(ctx, "a\0b", 3);
    EXPECT_TERM(ctx, cop_file_read(ctx, nul), "{:error, :badarg}");
    EXPECT_TERM(ctx, cop_file_ls(ctx, nul), "{:error, :badarg}");
    EXPECT_TERM(ctx, cop_file_rename(ctx, "w", nul), "{:error, :badarg}");
    EXPECT(!cop_file_exists(ctx, nul));
    EXPECT_TERM(ctx, cop_file_read(ctx, cop_a(atom)), "{:error, :badarg}");
    EXPECT_TERM(ctx, cop_file_write(ctx, cop_charlist(ctx, "w\xc3\xb6"), "1", 0), ":ok");
    EXPECT_TERM(ctx, cop_file_ls(ctx, "."), "{:ok, [\"w\u00f6\"]}");
    char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    EXPECT_TERM(ctx, cop_file_read(ctx, (const char *)longest), "{:error, :badarg}");
}

TEST(a_read_with_a_limit_reads_no_more) {
    enter_folder();
    cop_file_write_or_raise(ctx, "w", "12345", 0);
    EXPECT_TERM(ctx, cop_file_read_max(ctx, "w", 5), "{:ok, \"12345\"}");
    EXPECT_TERM(ctx, cop_file_read_max(ctx, "w", 4), "{:error, :efbig}");
    EXPECT_TERM(ctx, cop_file_read_max(ctx, "/dev/zero", 1000), "{:error, :efbig}");
    EXPECT_TERM(ctx, cop_file_read(ctx, "/dev/null"), "{:ok, \"\"}");
    EXPECT_TERM(ctx, cop_file_read(ctx, "/proc/self/stat"), "{:ok, _}");
    EXPECT(mkfifo("fifo", 0600) == 0);
    EXPECT_TERM(ctx, cop_file_read(ctx, "fifo"), "{:error, :enotsup}");
}

TEST(a_large_file_comes_back_as_it_was) {
    enter_folder();
    uint8_t *bytes;
    cop_term data = cop_binary_new(ctx, 3 << 20, &bytes);
    for (size_t i = 0; i < 3 << 20; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 9));
    cop_file_write_or_raise(ctx, "w", data, 0);
    EXPECT_SAME(ctx, cop_file_read_or_raise(ctx, "w"), data);
}

/* ---- names and directories ---------------------------------------------------------------------------- */

TEST(stat_tells_what_a_file_is) {
    enter_folder();
    cop_file_write_or_raise(ctx, "w", "abcd", 0);
    EXPECT(chmod("w", 0644) == 0 && symlink("w", "l") == 0);
    cop_term stat = cop_file_stat(ctx, "w");
    EXPECT_TERM(ctx, stat,
                "{:ok, %File.Stat{size: 4, type: :regular, access: :read_write, "
                "mode: 33188, links: 1, atime: _, mtime: _, ctime: _, inode: _, "
                "major_device: _, minor_device: _, uid: _, gid: _}}");
    cop_file_stat s;
    EXPECT(cop_file_stat_from_term(stat, &s));
    EXPECT(s.size == 4 && s.type == COP_FILE_REGULAR && s.can_read && s.can_write);
    EXPECT_TERM(ctx, cop_file_stat(ctx, "l"), "{:ok, %File.Stat{type: :regular}}");
    EXPECT_TERM(ctx, cop_file_lstat(ctx, "l"), "{:ok, %File.Stat{type: :symlink}}");
    EXPECT_TERM(ctx, cop_file_stat(ctx, "/dev/null"), "{:ok, %File.Stat{type: :device}}");
    EXPECT_TERM(ctx, cop_file_stat(ctx, "none"), "{:error, :enoent}");
    EXPECT(cop_file_is_dir(ctx, ".") && !cop_file_is_regular(ctx, ".")
           && !cop_file_is_dir(ctx, "w"));
    EXPECT(!cop_file_stat_from_term(cop_a(x).t, &s));
}

TEST(directories_are_made_listed_and_removed) {
    enter_folder();
    cop_file_write_or_raise(ctx, "w", "", 0);
    EXPECT_TERM(ctx, cop_file_mkdir(ctx, "m"), ":ok");
    EXPECT_TERM(ctx, cop_file_mkdir(ctx, "m"), "{:error, :eexist}");
    EXPECT_TERM(ctx, cop_file_mkdir(ctx, "x/y"), "{:error, :enoent}");
    EXPECT_TERM(ctx, cop_file_mkdir_p(ctx, "x/y/z"), ":ok");
    EXPECT_TERM(ctx, cop_file_mkdir_p(ctx, "x//y/z/"), ":ok");
    EXPECT_TERM(ctx, cop_file_mkdir_p(ctx, "w/a"), "{:error, :enotdir}");
    EXPECT_TERM(ctx, cop_file_mkdir_p(ctx, "w"), "{:error, :eexist}");
    EXPECT_TERM(ctx, cop_file_ls(ctx, "x"), "{:ok, [\"y\"]}");
    EXPECT_INT(cop_list_length(cop_elem(cop_file_ls(ctx, "."), 1)), 3);
    EXPECT_TERM(ctx, cop_file_ls(ctx, "none"), "{:error, :enoent}");
    EXPECT_TERM(ctx, cop_file_ls(ctx, "w"), "{:error, :enotdir}");
    EXPECT_TERM(ctx, cop_file_rm(ctx, "none"), "{:error, :enoent}");
    EXPECT_TERM(ctx, cop_file_rm(ctx, "m"), "{:error, :eperm}");
    EXPECT_TERM(ctx, cop_file_rmdir(ctx, "m"), ":ok");
    EXPECT_TERM(ctx, cop_file_rmdir(ctx, "x"), "{:error, :eexist}");
    EXPECT_TERM(ctx, cop_file_rmdir(ctx, "w"), "{:error, :enotdir}");
    EXPECT_TERM(ctx, cop_file_rm(ctx, "w"), ":ok");
}

TEST(rm_rf_removes_links_and_not_what_they_name) {
    enter_folder();
    EXPECT_TERM(ctx, cop_file_mkdir_p(ctx, "x/y"), ":ok");
    cop_file_write_or_raise(ctx, "kept", "1", 0);
    cop_file_write_or_raise(ctx, "x/y/f", "1", 0);
    EXPECT(symlink("..", "x/y/up") == 0);
    EXPECT_TERM(ctx, cop_file_rm_rf(ctx, "x"), "{:ok, 4}");
    EXPECT_TERM(ctx, cop_file_rm_rf(ctx, "x"), "{:ok, 0}");
    EXPECT_TERM(ctx, cop_file_ls(ctx, "."), "{:ok, [\"kept\"]}");
}

TEST(files_are_renamed_and_copied) {
    enter_folder();
    cop_file_write_or_raise(ctx, "w", "abcd", 0);
    EXPECT(chmod("w", 0750) == 0 && mkdir("x", 0700) == 0);
    EXPECT_TERM(ctx, cop_file_rename(ctx, "w", "v"), ":ok");
    EXPECT_TERM(ctx, cop_file_rename(ctx, "w", "v"), "{:error, :enoent}");
    EXPECT_TERM(ctx, cop_file_rename(ctx, "v", "x"), "{:error, :eisdir}");
    EXPECT_TERM(ctx, cop_file_rename(ctx, "v", "none/v"), "{:error, :enoent}");
    EXPECT_TERM(ctx, cop_file_cp(ctx, "v", "u"), ":ok");
    EXPECT_TERM(ctx, cop_file_read(ctx, "u"), "{:ok, \"abcd\"}");
    EXPECT_TERM(ctx, cop_file_stat(ctx, "u"), "{:ok, %File.Stat{mode: 33256}}");
    EXPECT_TERM(ctx, cop_file_cp(ctx, "none", "u"), "{:error, :enoent}");
    EXPECT_TERM(ctx, cop_file_cp(ctx, "v", "x"), "{:error, :eisdir}");
    EXPECT_TERM(ctx, cop_file_cp(ctx, "x", "u2"), "{:error, :eisdir}");
}

/* ---- streams ------------------------------------------------------------------------------------------ */

static cop_term lines(cop_ctx *ctx, const char *path, const cop_file_stream_opts *opts) {
    return cop_enum_to_list(ctx, cop_file_stream(ctx, path, opts));
}

TEST(a_stream_gives_lines_with_their_newlines) {
    enter_folder();
    cop_file_write_or_raise(ctx, "s", "a\nb\r\nlong line\n\nend", 0);
    EXPECT_TERM(ctx, lines(ctx, "s", NULL),
                "[\"a\\n\", \"b\\n\", \"long line\\n\", \"\\n\", \"end\"]");
    EXPECT_TERM(ctx, lines(ctx, "s", &(cop_file_stream_opts){ .chunk = 4 }),
                "[\"a\\nb\\r\", \"\\nlon\", \"g li\", \"ne\\n\\n\", \"end\"]");
    EXPECT_TERM(ctx, cop_enum_take(ctx, cop_file_stream(ctx, "s", NULL), 2),
                "[\"a\\n\", \"b\\n\"]");
    cop_file_write_or_raise(ctx, "s", "", 0);
    EXPECT_TERM(ctx, lines(ctx, "s", NULL), "[]");
    EXPECT_TERM(ctx, lines(ctx, "s", &(cop_file_stream_opts){ .chunk = 4 }), "[]");
}

TEST(a_stream_of_a_missing_file_raises_when_it_is_walked) {
    enter_folder();
    cop_term stream = cop_file_stream(ctx, "none", NULL);
    EXPECT_ERROR(ctx, "%File.Error{action: \"stream\", path: \"none\", reason: :enoent}") {
        cop_enum_to_list(ctx, stream);
    }
    EXPECT_TERM(ctx, lines(ctx, "none", &(cop_file_stream_opts){ .missing_is_empty = true }), "[]");
    cop_file_write_or_raise(ctx, "none", "now", 0);
    EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream), "[\"now\"]");
    EXPECT_ERROR(ctx, "%File.Error{reason: :eisdir}") { lines(ctx, ".", NULL); }
}

TEST(a_line_beyond_the_limit_comes_in_pieces) {
    enter_folder();
    cop_file_write_or_raise(ctx, "s", "123456789\nab\n", 0);
    EXPECT_TERM(ctx, lines(ctx, "s", &(cop_file_stream_opts){ .line_max = 4 }),
                "[\"1234\", \"5678\", \"9\\n\", \"ab\\n\"]");
}

static bool count_bytes(cop_ctx *ctx, cop_term element, void *arg) {
    cop_bytes bytes;
    EXPECT(cop_get_bytes(element, &bytes) && bytes.size <= 1 << 20);
    *(uint64_t *)arg += bytes.size;
    return *(uint64_t *)arg < 64 << 20;
}

static int64_t resident_kb(void) {
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    EXPECT(f != NULL && fscanf(f, "%ld %ld", &pages, &resident) == 2);
    fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

TEST(an_endless_line_takes_the_memory_of_one_piece) {
    uint64_t size = 0;
    EXPECT(!cop_enum_each(ctx, cop_file_stream(ctx, "/dev/zero", NULL), count_bytes, &size));
    int64_t before = resident_kb();
    for (int i = 0; i < 4; i++) {
        size = 0;
        EXPECT(!cop_enum_each(ctx, cop_file_stream(ctx, "/dev/zero", NULL), count_bytes, &size));
    }
    test_note("%lld KiB, then %lld", (long long)before, (long long)resident_kb());
    EXPECT(resident_kb() - before < 32 << 10);
}

TEST(lines_and_chunks_of_a_large_file_are_all_there) {
    enter_folder();
    FILE *f = fopen("s", "w");
    for (int i = 0; i < 100000; i++)
        fprintf(f, "line number %d\n", i);
    uint64_t size = (uint64_t)ftell(f), counted = 0;
    fclose(f);
    EXPECT_INT(cop_enum_count(ctx, cop_file_stream(ctx, "s", NULL)), 100000);
    cop_term chunks = cop_file_stream(ctx, "s", &(cop_file_stream_opts){ .chunk = 100000 });
    EXPECT(cop_enum_each(ctx, chunks, count_bytes, &counted));
    EXPECT_INT(counted, size);
    EXPECT_INT(cop_enum_count(ctx, chunks), (size + 99999) / 100000);
}

static int open_files(void) {
    int count = 0;
    for (int fd = 3; fd < 200; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void walk_and_wait(cop_ctx *ctx, cop_term arg) {
    cop_term element;
    cop_enum e = cop_enum_open(ctx, cop_elem(arg, 1));
    EXPECT(cop_enum_next(ctx, &e, &element));
    cop_send(ctx, cop_elem(arg, 0), element);
    cop_receive(ctx, COP_INFINITY, &element);
}

TEST(a_stream_is_closed_with_its_process) {
    enter_folder();
    cop_file_write_or_raise(ctx, "s", "1\n2\n", 0);
    cop_file_read(ctx, "s");
    int before = open_files();
    cop_term arg = cop_tuple(ctx, cop_self(ctx), cop_file_stream(ctx, "s", NULL));
    cop_pid walker = cop_spawn(ctx, walk_and_wait, arg);
    ASSERT_RECEIVE(ctx, "\"1\\n\"");
    EXPECT_INT(open_files(), before + 1);
    cop_process_exit(ctx, walker, cop_a(kill));
    test_await_down(ctx, walker);
    EXPECT_INT(open_files(), before);
}

static void read_for_ever(cop_ctx *ctx, cop_term arg) {
    for (;;)
        COP_SCOPE(ctx) { cop_file_read(ctx, "s"); }
}

TEST(processes_killed_in_the_middle_of_their_reads_leave_nothing_open) {
    enter_folder();
    cop_file_write_or_raise(ctx, "s", cop_binary(ctx, folder, sizeof folder), 0);
    int before = open_files();
    cop_pid readers[20];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 20; i++)
            readers[i] = cop_spawn(ctx, read_for_ever, COP_NIL);
        for (int i = 0; i < 20; i++) {
            cop_file_read(ctx, "s");
            cop_process_exit(ctx, readers[i], cop_a(kill));
        }
        for (int i = 0; i < 20; i++)
            test_await_down(ctx, readers[i]);
    }
    for (int i = 0; i < 8; i++) /* the pool is a queue: what it still had is done now */
        cop_file_read(ctx, "s");
    while (open_files() != before) /* or soon */
        cop_file_read(ctx, "s");
}

static void ping(cop_ctx *ctx, cop_term arg) { cop_send(ctx, arg, cop_a(pong)); }

TEST(others_run_while_one_waits_for_its_file) {
    cop_pid reader = cop_spawn(ctx, read_for_ever, COP_NIL);
    cop_spawn(ctx, ping, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, ":pong");
    cop_process_exit(ctx, reader, cop_a(kill));
    test_await_down(ctx, reader);
}
