/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test program that is not run as a test: most of its tests fail, each in its own way.
 * kit_test.c runs it and reads what it prints.
 */
#include <coppice/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

TEST_HOST(host_passes) {
    EXPECT(ctx == NULL);
    EXPECT_INT(1 + 1, 2);
    EXPECT_STR("a", "a");
    printf("this line must not be on standard output\n");
}

TEST_HOST(host_condition_fails) {
    int n = 1;
    EXPECT(n == 2);
}

TEST_HOST(host_integer_fails) { EXPECT_INT(20 + 1, 22); }

TEST_HOST(host_string_fails) { EXPECT_STR("have", "wanted"); }

TEST_HOST(host_skips) { test_skip("nothing to do here"); }

TEST_HOST(host_exits_half_way) { exit(0); }

TEST_HOST(host_crashes) {
    test_note("just before");
    abort();
}

TEST_HOST(host_hangs, .timeout_s = 1) {
    for (;;)
        pause();
}

/* The grandchild prints its number and would live for ever. */
TEST_HOST(host_leaves_a_process) {
    pid_t left = fork();
    if (left == 0)
        for (;;)
            pause();
    test_note("left behind: %d", (int)left);
    FAIL("so that the note is shown");
}

TEST_TERM(term_passes) {
    EXPECT_TERM(ctx, cop_tuple(ctx, cop_a(ok), cop_list(ctx, 1, 2.5, "x")), "{:ok, [1, 2.5, _]}");
    EXPECT_SAME(ctx, cop_list(ctx, 1), cop_list(ctx, 1));
    EXPECT_ERROR(ctx, ":badarg") { cop_binary_part(ctx, cop_of(ctx, "abc"), 2, 5); }
}

TEST_TERM(term_differs) { EXPECT_TERM(ctx, cop_tuple(ctx, cop_a(ok), 1), "{:ok, 2}"); }

TEST_TERM(term_raises_unexpectedly) { cop_binary_part(ctx, cop_of(ctx, "abc"), 2, 5); }

TEST_TERM(term_does_not_raise) {
    EXPECT_ERROR(ctx, ":badarg") { cop_binary_part(ctx, cop_of(ctx, "abc"), 1, 1); }
}

TEST_TERM(term_pattern_is_bad) { EXPECT_TERM(ctx, 1, "{:ok, "); }
