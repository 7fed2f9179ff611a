/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices under garbage: requests of the I/O and the file protocol with any parts replaced by any terms, from
 * a seeded source. Each one with a sender is answered once, the device lives, and the next right request gets the
 * right reply.
 */
#include <coppice/file.h>
#include <coppice/io.h>
#include <coppice/module.h>
#include <coppice/test.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t below(cop_ctx *ctx, uint64_t n) { return cop_random_u64(ctx) % n; }

static cop_term any_term(cop_ctx *ctx, int depth);

static cop_term any_leaf(cop_ctx *ctx) {
    static const char *const atoms[] = {
        "unicode", "latin1",  "utf8",     "eof", "ok",  "binary",
        "nil",     "columns", "get_line", "cur", "mod", "encoding"
    };
    uint8_t bytes[80];
    size_t size = below(ctx, 4) == 0 ? below(ctx, sizeof bytes) : below(ctx, 6);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(below(ctx, 3) == 0 ? below(ctx, 256) : 'a' + below(ctx, 26));
    switch (below(ctx, 9)) {
    case 0:
        return cop_of(ctx, (int64_t)below(ctx, 300) - 20);
    case 1:
        return cop_of(ctx, (int64_t)cop_random_u64(ctx));
    case 2:
        return cop_of(ctx, cop_random_u64(ctx));
    case 3:
        return cop_of(ctx, 1.5);
    case 4:
        return cop_make_ref(ctx).t;
    case 5:
        return cop_atom_new(atoms[below(ctx, sizeof atoms / sizeof *atoms)]).t;
    case 6:
        return COP_NIL;
    default:
        return cop_binary(ctx, bytes, size);
    }
}

static cop_term any_list(cop_ctx *ctx, int depth) {
    cop_term list = below(ctx, 8) == 0 ? any_leaf(ctx) : COP_NIL;
    for (uint64_t n = below(ctx, 4); n > 0; n--)
        list = cop_cons(ctx, any_term(ctx, depth), list);
    return list;
}

static cop_term any_term(cop_ctx *ctx, int depth) {
    cop_term elements[6];
    size_t n = below(ctx, 6);
    if (depth <= 0 || below(ctx, 2) == 0)
        return any_leaf(ctx);
    if (below(ctx, 2) == 0)
        return any_list(ctx, depth - 1);
    if (below(ctx, 6) == 0)
        return cop_map(ctx, any_term(ctx, depth - 1), any_term(ctx, depth - 1));
    for (size_t i = 0; i < n; i++)
        elements[i] = any_term(ctx, depth - 1);
    return cop_tuple_n(ctx, n, elements);
}

/* A right request, some of whose elements are replaced, left out or doubled. */
static cop_term near_request(cop_ctx *ctx, const char *const *texts, size_t count) {
    const char *text = texts[below(ctx, count)];
    cop_term request, elements[10];
    EXPECT(cop_parse(ctx, text, strlen(text), &request, NULL));
    int64_t arity = cop_tuple_size(request);
    size_t n = 0;
    if (arity < 0)
        return below(ctx, 2) == 0 ? request : any_term(ctx, 3);
    for (int64_t i = 0; i < arity; i++) {
        uint64_t fate = below(ctx, 10);
        if (fate == 0)
            continue;
        elements[n++] = fate == 1 ? any_term(ctx, 3) : cop_elem(request, (size_t)i);
        if (fate == 2)
            elements[n++] = any_term(ctx, 2);
    }
    return cop_tuple_n(ctx, n, elements);
}

static const char *const io_requests[] = {
    "{:put_chars, :unicode, \"abc\"}",
    "{:put_chars, :latin1, 'abc'}",
    "{:put_chars, [\"a\", ['b' | \"c\"], 300]}",
    "{:put_chars, :unicode, :mod, :text, [1, 2]}",
    "{:get_line, :unicode, \"prompt\"}",
    "{:get_line, 'prompt'}",
    "{:get_chars, :unicode, :prompt, 3}",
    "{:get_chars, \"\", 100}",
    "{:get_until, :unicode, \"\", :mod, :text, []}",
    "{:requests, [{:get_chars, :unicode, \"\", 1}, :getopts, {:put_chars, \"x\"}]}",
    "{:requests, [{:requests, [{:requests, []}]} | 1]}",
    "{:setopts, [:list, {:binary, true}, {:encoding, :latin1}]}",
    "{:setopts, [encoding: :unicode, binary: true]}",
    "{:get_geometry, :columns}",
    ":getopts",
};
static const char *const file_requests[] = {
    "{:pread, 3, 10}",          "{:pread, 0, 0}",
    "{:pwrite, 2, \"abc\"}",    "{:pwrite, 0, ['a', 98]}",
    "{:position, 5}",           "{:position, {:cur, -2}}",
    "{:position, :eof}",        ":truncate",
    "{:position, {:bof, 3}}",   ":datasync",
    "{:advise, 0, 0, :normal}",
};

/* Answers what get_until and put_chars may want, or not. */
static cop_term mod_text(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    switch (below(ctx, 6)) {
    case 0:
        return cop_tuple(ctx, cop_a(more), any_term(ctx, 2));
    case 1:
        return cop_tuple(ctx, cop_a(done), any_term(ctx, 2), any_term(ctx, 2));
    case 2:
        cop_error(ctx, cop_a(boom));
    case 3:
        return cop_tuple(ctx, cop_a(done), argv[1], argv[0]);
    default:
        return any_term(ctx, 2);
    }
}
static const cop_module mod = { .name = "mod",
                                .exports = (const cop_export[]){ { "text", 2, mod_text }, { 0 } } };

static int rounds(void) {
    const char *scale = getenv("COPPICE_TEST_SCALE");
    int n = scale != NULL ? atoi(scale) : 1;
    return 20000 / (n > 0 ? n : 1);
}

static void one_request(cop_ctx *ctx, cop_pid device, bool is_file) {
    cop_term reply;
    cop_ref ref = cop_make_ref(ctx);
    bool to_file = is_file && below(ctx, 3) == 0;
    cop_term request =
        to_file ? near_request(ctx, file_requests, 11) : near_request(ctx, io_requests, 15);
    cop_atom kind = to_file ? cop_a(file_request) : cop_a(io_request);
    if (below(ctx, 10) == 0) /* without a sender, or no request at all: no answer */
        cop_send(ctx, device,
                 below(ctx, 2) == 0 ? any_term(ctx, 3)
                                    : cop_tuple(ctx, kind, any_leaf(ctx), ref, request));
    cop_send(ctx, device, cop_tuple(ctx, kind, cop_self(ctx), ref, request));
    if (!cop_receive_ref(ctx, 20000, ref, &reply)) {
        char text[500];
        cop_inspect_to(text, sizeof text, request, NULL);
        FAIL("no answer to %s", text);
    }
    EXPECT_TERM(ctx, reply, to_file ? "{:file_reply, _, _}" : "{:io_reply, _, _}");
}

/* Afterwards the device does as it is told. */
static void check_sane(cop_ctx *ctx, cop_pid device) {
    static const char text[] = "{:setopts, [encoding: :unicode, binary: true]}";
    cop_term request;
    EXPECT(cop_parse(ctx, text, strlen(text), &request, NULL));
    EXPECT_TERM(ctx, cop_io_request(ctx, device, request), ":ok");
    cop_io_write(ctx, device, "sane");
    EXPECT_TERM(ctx, cop_io_request(ctx, device, cop_a(getopts)),
                "[binary: true, encoding: :unicode]");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(a_string_device_survives_any_request, .timeout_s = 120) {
    cop_module_load(&mod);
    for (int i = 0; i < rounds(); i += 50)
        COP_SCOPE(ctx) {
            cop_pid s = cop_string_io_open(ctx, "one\ntwö\nthree\xff\nfour", NULL);
            for (int n = 0; n < 50; n++)
                one_request(ctx, s, false);
            check_sane(ctx, s);
            cop_string_io_close(ctx, s);
        }
}

TEST(a_file_survives_any_request, .timeout_s = 120) {
    char name[] = "/tmp/coppice-fuzz-XXXXXX";
    int fd = mkstemp(name);
    EXPECT(fd >= 0);
    cop_module_load(&mod);
    for (int i = 0; i < rounds() / 4; i += 50)
        COP_SCOPE(ctx) {
            cop_pid f;
            cop_file_write_or_raise(ctx, (const char *)name, "one\ntwö\nthree\xff\nfour", 0);
            EXPECT(cop_match_tuple(
                cop_file_open(ctx, (const char *)name, COP_FILE_READ | COP_FILE_WRITE), cop_a(ok),
                &f));
            for (int n = 0; n < 50; n++)
                one_request(ctx, f, true);
            check_sane(ctx, f);
            cop_file_close(ctx, f);
        }
    unlink(name);
}

TEST(user_survives_any_request, .real_time = true, .timeout_s = 120) {
    int null = open("/dev/null", O_RDWR), kept = dup(STDOUT_FILENO);
    EXPECT(dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0);
    cop_module_load(&mod);
    cop_io_write(ctx, cop_a(stdio), "");
    cop_pid user = cop_process_group_leader(ctx);
    for (int i = 0; i < rounds(); i++)
        COP_SCOPE(ctx) { one_request(ctx, user, false); }
    check_sane(ctx, user);
    dup2(kept, STDOUT_FILENO);
}
