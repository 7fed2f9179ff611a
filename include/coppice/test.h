/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_TEST_H
#define COPPICE_TEST_H

#include <coppice/node.h>
#include <coppice/proc_lib.h>
#include <coppice/process.h>
#include <setjmp.h>

/*
 * The test kit: link with libcoppice_test, write tests, have no main().
 *
 *     TEST(a_counter_counts) {
 *         cop_pid counter = test_start_supervised(ctx, start_counter, COP_INT(1));
 *         cop_send(ctx, counter, cop_tuple(ctx, cop_a(get), cop_self(ctx)));
 *         ASSERT_RECEIVE(ctx, "{:count, 1}");
 *     }
 *
 * Every test is an OS process of its own, which starts a fresh node and runs the body in a process
 * of that node, called `ctx`. The first expectation that fails ends the test. A test that takes too
 * long is ended too, after all its live processes and their mailboxes were printed. Whatever a test
 * leaves behind goes with its OS process. The output is TAP; the exit status is 0 when all passed.
 *
 *     some_test               all tests
 *     some_test link exit     those whose name contains "link" or "exit"
 *     some_test --list        their names
 *
 * Environment:
 *   COPPICE_TEST_SEEDS=n     runs every test n times, each under simulation with another seed
 *   COPPICE_TEST_SEED=s      the first of these seeds (1); alone, runs that one seed
 *   COPPICE_TEST_BATCH=n     so many seeds in one OS process, a fresh node each (1000)
 *   COPPICE_TEST_TRACE=file  a line "test seed trace" for each seed that passed, to be compared
 *   COPPICE_TEST_TIMEOUT=s   the time-out of tests that set none (30)
 *   COP_SIM=s                as always: one run under simulation with that seed
 *
 * Elixir: ExUnit, as far as C can have it.
 */

enum { COP__TEST_NODE, COP__TEST_TERM, COP__TEST_HOST };

/*
 * What may follow a test's name, as designated initialisers: TEST(name, .timeout_s = 60) { ... }
 *   timeout_s     seconds until the test is ended; 0 = 30
 *   schedulers    of its node; 0 = 2
 *   real_time     never run under simulation (it talks to the world outside)
 *   seeds         run it under simulation with so many seeds, always
 *   faults        fault points under simulation, as in COP_SIM_FAULTS (coppice/sim.h); the kit's own
 *                 processes and the test's are never killed by one
 *   logger        start the node's logger; without it log events go nowhere, or to the test
 *                 itself after test_capture_log
 */
struct cop__test {
    const char *name;
    const char *file;
    int line;
    int kind;
    void (*body)(cop_ctx *ctx);
    int timeout_s;
    int schedulers;
    bool real_time;
    bool logger;
    uint64_t seeds;
    const char *faults;
};

#define COP__TEST(test_kind, test_name, ...)                                               \
    static void test_name(cop_ctx *ctx);                                                   \
    static const struct cop__test COP__CAT(cop__test_, test_name) = { .name = #test_name,  \
                                                                      .file = __FILE__,    \
                                                                      .line = __LINE__,    \
                                                                      .kind = (test_kind), \
                                                                      .body = (test_name), \
                                                                      __VA_ARGS__ };       \
    static const struct cop__test *const COP__CAT(cop__test_at_, test_name)                \
        __attribute__((section("cop_tests"), used)) = &COP__CAT(cop__test_, test_name);    \
    static void test_name(cop_ctx *ctx)

/*
 * TEST(name) { ... }        inside a process of a fresh node. The name is a sentence; it may begin
 *                           with a case of a specification: PR_040_a_dead_pid_is_down_at_once.
 * TEST_TERM(name) { ... }   no node: `ctx` is a bare heap, for building, comparing and printing
 *                           terms. Nothing that needs a process may be called.
 * TEST_HOST(name) { ... }   no node and no heap: `ctx` is NULL. For host calls such as
 *                           cop_node_start itself.
 */
#define TEST(name, ...) COP__TEST(COP__TEST_NODE, name __VA_OPT__(, ) __VA_ARGS__)
#define TEST_TIMEOUT(name, seconds) COP__TEST(COP__TEST_NODE, name, .timeout_s = (seconds))
#define TEST_TERM(name, ...) COP__TEST(COP__TEST_TERM, name __VA_OPT__(, ) __VA_ARGS__)
#define TEST_HOST(name, ...) COP__TEST(COP__TEST_HOST, name __VA_OPT__(, ) __VA_ARGS__)

/* ---- expectations ---------------------------------------------------------------------------- */

/*
 * Each ends the whole test when it does not hold, with the place, what was expected and what was
 * there. They may be used in any process of the node, and outside of processes.
 */

/* A condition. */
#define EXPECT(condition) \
    ((condition) ? (void)0 : test_fail_at(__FILE__, __LINE__, "expected: %s", #condition))
/* Two integers, the expected one last. */
#define EXPECT_INT(expression, expected) \
    cop__test_int(__FILE__, __LINE__, #expression, (int64_t)(expression), (int64_t)(expected))
/* Two C strings, or NULL. */
#define EXPECT_STR(expression, expected) \
    cop__test_str(__FILE__, __LINE__, #expression, (expression), (expected))
/*
 * A term (anything cop_of takes) against a pattern in Elixir's notation, where `_` matches
 * anything, and a map pattern asks for its own keys only: EXPECT_TERM(ctx, reply, "{:ok, _}").
 */
#define EXPECT_TERM(ctx, term, pattern)                                              \
    ({                                                                               \
        cop_ctx *cop__ec = (ctx);                                                    \
        cop__test_term(__FILE__, __LINE__, #term, cop_of(cop__ec, term), (pattern)); \
    })
/* Two terms that must be === (Elixir: assert a === b), the expected one last. */
#define EXPECT_SAME(ctx, term, expected)                                 \
    ({                                                                   \
        cop_ctx *cop__ec = (ctx);                                        \
        cop__test_same(__FILE__, __LINE__, #term, cop_of(cop__ec, term), \
                       cop_of(cop__ec, expected));                       \
    })

/*
 * EXPECT_EXIT(ctx, "{:noproc, _}") { ... }
 * The block must be left by an exit with such a reason; for EXPECT_ERROR by cop_error (or a raise
 * of the run-time), for EXPECT_THROW by cop_throw. Do not leave it by return, break or goto;
 * locals changed in it and read afterwards must be volatile. In a TEST_TERM only EXPECT_ERROR has
 * a meaning.
 */
#define EXPECT_EXIT(ctx, pattern) COP__EXPECT_RAISED(ctx, COP_CLASS_EXIT, pattern)
#define EXPECT_ERROR(ctx, pattern) COP__EXPECT_RAISED(ctx, COP_CLASS_ERROR, pattern)
#define EXPECT_THROW(ctx, pattern) COP__EXPECT_RAISED(ctx, COP_CLASS_THROW, pattern)

/*
 * Takes the oldest message that matches the pattern out of the mailbox; the others stay in order.
 * Waits for one up to 5 seconds, in virtual time under simulation; then the test fails and shows
 * the mailbox.
 *
 * Elixir:  assert_receive/1 (assert_received/1 with 0 ms)
 * Returns: the message
 */
#define ASSERT_RECEIVE(ctx, pattern) ASSERT_RECEIVE_IN(ctx, pattern, 5000)
#define ASSERT_RECEIVE_IN(ctx, pattern, ms) \
    cop__test_assert_receive(__FILE__, __LINE__, (ctx), (pattern), (ms))
/* No message that matches is there, nor comes in `ms` milliseconds. Elixir: refute_receive/2. */
#define REFUTE_RECEIVE(ctx, pattern, ms) \
    cop__test_refute_receive(__FILE__, __LINE__, (ctx), (pattern), (ms))

/*
 * simulate(seeds, body): runs body(ctx) under that many seeds, each in a fresh simulated node, as a TEST
 * is run; in a TEST_HOST, which has no node of its own. The first seed that fails ends the test, and the
 * report shows the command that runs that seed again. Options follow as designated initialisers:
 *
 *     static void two_clients(cop_ctx *ctx) { ... EXPECT_TERM(ctx, total, "3") ... }
 *     TEST_HOST(no_increment_is_lost) { simulate(1000, two_clients, .faults = "kill=0.01"); }
 *
 * Options: .faults      fault points, as in COP_SIM_FAULTS (coppice/sim.h)
 *          .first_seed  instead of 1
 */
#define simulate(seeds, body, ...) \
    cop__test_simulate((seeds), (body), &(const struct cop__test_simulate){ __VA_ARGS__ })
struct cop__test_simulate {
    const char *faults;
    uint64_t first_seed;
};
void cop__test_simulate(uint64_t seeds, void (*body)(cop_ctx *ctx),
                        const struct cop__test_simulate *how);

/* Fails the test with a text, as printf makes it. */
#define FAIL(...) test_fail_at(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void test_fail_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Ends the test at once as skipped, with a reason (for what this machine lacks). */
_Noreturn void test_skip(const char *why);
/* A line of the report, shown when the test fails. */
void test_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- help inside a test ---------------------------------------------------------------------- */

/* All messages that are there now, as a list, oldest first; the mailbox is empty afterwards. */
cop_term test_flush(cop_ctx *ctx);
/* The pid of a process that has lived and is dead. */
cop_pid test_dead_pid(cop_ctx *ctx);
/* A live process that takes and forgets every message; it goes with the test. */
cop_pid test_idle_pid(cop_ctx *ctx);
/* Exit signals become messages {:EXIT, pid, reason} from here on; Elixir: Process.flag/2. */
void test_trap_exit(cop_ctx *ctx);
/*
 * Runs start(c, arg) inside the test's own supervisor process and returns the pid of what it
 * started, which must be linked to the process that called it (as start_link functions do). It is
 * shut down with reason :shutdown before the test ends, last started first, and killed after 5
 * seconds. When it ends earlier nothing happens. A start that fails or exits fails the test.
 *
 * Elixir:  ExUnit.Callbacks.start_supervised!/1, without restarts
 * Start:   cop_started (*)(cop_ctx *, cop_term), as of behaviours, or the same returning a cop_pid
 * Arg:     any of the term types
 */
#define test_start_supervised(ctx, start, arg) \
    cop__test_start((ctx), COP__TEST_START(start), COP_TERM(arg))
/* Ends one of them now, and waits until it has ended. Elixir: stop_supervised!/1. */
void test_stop_supervised(cop_ctx *ctx, cop_pid pid);
/*
 * From here on the calling process is :logger (whoever was, is not any more): every log event of
 * the node comes to it as the message {:log, level, event, metadata}.
 *
 * Elixir:  ExUnit.CaptureLog, with messages in the place of text
 */
void test_capture_log(cop_ctx *ctx);
/*
 * Runs function(ctx, arg) and returns what the node logs meanwhile, as text: "\n[error] oops\n" for each event,
 * in the order they come. The caller must have no other registered name. What is logged later, by
 * processes that function has started and that still run, is not in it.
 *
 * Elixir: ExUnit.CaptureLog.capture_log/1
 */
cop_term test_log_of(cop_ctx *ctx, void (*function)(cop_ctx *ctx, cop_term arg), cop_term arg);
/*
 * Runs function(ctx, arg) with a string device as the caller's group leader: what it, and processes it
 * starts, write to :stdio until it returns is caught, and what they read comes from `input`.
 *
 * Elixir:  ExUnit.CaptureIO.capture_io/2
 * Returns: the output, a binary
 */
cop_term test_capture_io(cop_ctx *ctx, const char *input,
                         void (*function)(cop_ctx *ctx, cop_term arg), cop_term arg);
/* Waits until a process has ended, by a monitor, at most 5 s; returns its exit reason. */
cop_term test_await_down(cop_ctx *ctx, cop_pid pid);
/* A number that no other test run has: for names of files and the like. */
uint64_t test_unique(void);

/* The kit's own main; src/kit gives a main() that calls it. Host call. */
int cop_test_main(int argc, char **argv);

/* ---- pieces of the macros above -------------------------------------------------------------- */

struct cop__test_start {
    cop_started (*started)(cop_ctx *ctx, cop_term arg); /* this one, */
    cop_pid (*pid)(cop_ctx *ctx, cop_term arg);         /* or this */
};
static inline struct cop__test_start cop__test_start_of_started(
    cop_started (*start)(cop_ctx *ctx, cop_term arg)) {
    return (struct cop__test_start){ .started = start };
}
static inline struct cop__test_start cop__test_start_of_pid(cop_pid (*start)(cop_ctx *ctx,
                                                                             cop_term arg)) {
    return (struct cop__test_start){ .pid = start };
}
#define COP__TEST_START(start)                                             \
    _Generic((start), cop_started(*)(cop_ctx *, cop_term)                  \
             : cop__test_start_of_started, cop_pid(*)(cop_ctx *, cop_term) \
             : cop__test_start_of_pid)(start)
cop_pid cop__test_start(cop_ctx *ctx, struct cop__test_start start, cop_term arg);

void cop__test_int(const char *file, int line, const char *what, int64_t have, int64_t expected);
void cop__test_str(const char *file, int line, const char *what, const char *have,
                   const char *expected);
void cop__test_term(const char *file, int line, const char *what, cop_term have,
                    const char *pattern);
void cop__test_same(const char *file, int line, const char *what, cop_term have, cop_term expected);
cop_term cop__test_assert_receive(const char *file, int line, cop_ctx *ctx, const char *pattern,
                                  int64_t ms);
void cop__test_refute_receive(const char *file, int line, cop_ctx *ctx, const char *pattern,
                              int64_t ms);

/* A block that is expected to be left by an exit. In a TEST_TERM there is no process to catch in,
   so `jump` takes the place of the run-time's COP_TRY there. */
struct cop__test_raised {
    struct cop__try t;
    jmp_buf jump;
    cop_term reason;
    cop_ctx *ctx;
    const char *file;
    const char *pattern;
    int line;
    cop_class class;
    int pass;
};
bool cop__test_is_bare(struct cop__test_raised *raised); /* also arms `jump` when it is */
void cop__test_raised(struct cop__test_raised *raised);
_Noreturn void cop__test_not_raised(struct cop__test_raised *raised);

#define COP__EXPECT_RAISED(c, expected_class, expected)                                         \
    for (struct cop__test_raised cop__tr = { .ctx = (c),                                        \
                                             .file = __FILE__,                                  \
                                             .pattern = (expected),                             \
                                             .line = __LINE__,                                  \
                                             .class = (expected_class) };                       \
         cop__tr.pass < 1; cop__tr.pass++)                                                      \
        if (cop__test_is_bare(&cop__tr)                                                         \
                ? setjmp(cop__tr.jump) != 0                                                     \
                : (cop__try_push(cop__tr.ctx, &cop__tr.t), cop__try_save(cop__tr.t.regs)) != 0) \
            cop__test_raised(&cop__tr);                                                         \
        else                                                                                    \
            for (;; cop__test_not_raised(&cop__tr))

#endif
