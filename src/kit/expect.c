/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expectations: compare, and when it does not hold, report what was expected and what was there.
 *
 * EXPECT_EXIT and its sisters are COP_TRY turned round: the block must be left. In a test without a
 * node there is nobody who could catch; there the term code raises through cop__raise_hook, and
 * kit_bare_raise jumps back to the one armed block.
 *
 * Threads: any; the armed block belongs to tests without a node, which have one thread.
 */
#include "kit.h"

#include <string.h>

static cop_ctx *bare_ctx;
static struct cop__test_raised *armed;

void cop__test_int(const char *file, int line, const char *what, int64_t have, int64_t expected) {
    if (have == expected)
        return;
    test_fail_at(file, line, "%s\nexpected: %lld\nthere is: %lld", what, (long long)expected,
                 (long long)have);
}

void cop__test_str(const char *file, int line, const char *what, const char *have,
                   const char *expected) {
    if (have == expected || (have != NULL && expected != NULL && strcmp(have, expected) == 0))
        return;
    kit_fail_begin(file, line);
    kit_report("%s\nexpected: \"", what);
    kit_report_write(expected != NULL ? expected : "(NULL)", expected ? strlen(expected) : 6);
    kit_report("\"\nthere is: \"");
    kit_report_write(have != NULL ? have : "(NULL)", have ? strlen(have) : 6);
    kit_report("\"\n");
    kit_fail_end();
}

void cop__test_term(const char *file, int line, const char *what, cop_term have,
                    const char *pattern) {
    if (!cop_is_none(have) && kit_matches(file, line, have, pattern))
        return;
    kit_fail_begin(file, line);
    kit_report("%s\nexpected: %s\n", what, pattern);
    kit_report_term("there is", have);
    kit_fail_end();
}

void cop__test_same(const char *file, int line, const char *what, cop_term have,
                    cop_term expected) {
    if (!cop_is_none(have) && cop_same(have, expected))
        return;
    kit_fail_begin(file, line);
    kit_report("%s\n", what);
    kit_report_term("expected", expected);
    kit_report_term("there is", have);
    kit_fail_end();
}

/* ---- blocks that must be left ---------------------------------------------------------------- */

static const char *class_name(cop_class class) {
    switch (class) {
    case COP_CLASS_EXIT:
        return "an exit";
    case COP_CLASS_ERROR:
        return "an error";
    case COP_CLASS_THROW:
        return "a throw";
    }
    return "nothing known";
}

void kit_bare_is(cop_ctx *ctx) { bare_ctx = ctx; }

void kit_bare_raise(cop_ctx *ctx, cop_term reason) {
    struct cop__test_raised *raised = armed;
    if (raised == NULL) {
        kit_fail_begin("(inside the library)", 0);
        kit_report_term("an error was raised that nothing expected", reason);
        kit_fail_end();
    }
    armed = NULL;
    raised->reason = reason;
    longjmp(raised->jump, 1);
}

bool cop__test_is_bare(struct cop__test_raised *raised) {
    if (bare_ctx == NULL)
        return false;
    armed = raised;
    return true;
}

void cop__test_raised(struct cop__test_raised *raised) {
    cop_class class = COP_CLASS_ERROR; /* all that is raised without a node */
    bool is_fault = false;
    if (bare_ctx == NULL) {
        const cop_caught *caught = cop__try_caught(raised->ctx, &raised->t);
        class = caught->class;
        is_fault = caught->is_fault;
        raised->reason = caught->reason;
    }
    if (class == raised->class && !is_fault
        && kit_matches(raised->file, raised->line, raised->reason, raised->pattern))
        return;
    kit_fail_begin(raised->file, raised->line);
    kit_report("expected: %s with reason %s\n", class_name(raised->class), raised->pattern);
    kit_report("there is: %s%s\n", class_name(class), is_fault ? " (a fault)" : "");
    kit_report_term("    with", raised->reason);
    kit_fail_end();
}

_Noreturn void cop__test_not_raised(struct cop__test_raised *raised) {
    test_fail_at(raised->file, raised->line,
                 "expected: %s with reason %s\nthere is: none, the block came to its end",
                 class_name(raised->class), raised->pattern);
}

/* ---- messages -------------------------------------------------------------------------------- */

struct wanted_pattern {
    const char *file;
    int line;
    const char *pattern;
};

static bool matches_pattern(cop_term message, void *arg) {
    const struct wanted_pattern *wanted = arg;
    return kit_matches(wanted->file, wanted->line, message, wanted->pattern);
}

static void report_mailbox(cop_ctx *ctx) {
    cop_term message;
    int count = 0;
    while (cop_receive(ctx, 0, &message) && count++ < 100)
        kit_report_term("in the mailbox", message);
    if (count == 0)
        kit_report("the mailbox is empty\n");
}

cop_term cop__test_assert_receive(const char *file, int line, cop_ctx *ctx, const char *pattern,
                                  int64_t ms) {
    struct wanted_pattern wanted = { .file = file, .line = line, .pattern = pattern };
    cop_term message = COP_NONE;
    if (cop_receive_match(ctx, ms, matches_pattern, &wanted, &message))
        return message;
    kit_fail_begin(file, line);
    kit_report("expected a message: %s\nnone came in %lld ms\n", pattern, (long long)ms);
    report_mailbox(ctx);
    kit_fail_end();
}

void cop__test_refute_receive(const char *file, int line, cop_ctx *ctx, const char *pattern,
                              int64_t ms) {
    struct wanted_pattern wanted = { .file = file, .line = line, .pattern = pattern };
    cop_term message = COP_NONE;
    if (!cop_receive_match(ctx, ms, matches_pattern, &wanted, &message))
        return;
    kit_fail_begin(file, line);
    kit_report("expected no message: %s\n", pattern);
    kit_report_term("there is", message);
    report_mailbox(ctx);
    kit_fail_end();
}
