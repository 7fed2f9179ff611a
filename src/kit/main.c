/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kit's main: finds the tests, runs those that were asked for one after the other, prints TAP.
 *
 * TEST() leaves a pointer in the linker section `cop_tests`; the linker gives the section's bounds
 * as two symbols. They are weak, so that a program without tests links and says so. The order of
 * that section depends on the compiler, so tests are sorted by file and line first.
 *
 * With COPPICE_TEST_SEEDS=n a test is one line of TAP all the same: it fails with the first seed
 * that fails, and the report says how to run that seed again.
 *
 * Threads: the main thread only; there is no other in this OS process.
 */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_S 30

extern const struct cop__test *const __start_cop_tests[] __attribute__((weak));
extern const struct cop__test *const __stop_cop_tests[] __attribute__((weak));

struct settings {
    uint64_t seeds;
    uint64_t first_seed;
    int timeout_s;
};

static uint64_t number_from(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    char *end;
    if (text == NULL || *text == '\0')
        return otherwise;
    uint64_t n = strtoull(text, &end, 0);
    if (*end == '\0')
        return n;
    fprintf(stderr, "Bail out! %s is no number: %s\n", variable, text);
    exit(2);
}

static struct settings read_settings(void) {
    struct settings settings = {
        .seeds = number_from("COPPICE_TEST_SEEDS", getenv("COPPICE_TEST_SEED") ? 1 : 0),
        .first_seed = number_from("COPPICE_TEST_SEED", 1),
        .timeout_s = (int)number_from("COPPICE_TEST_TIMEOUT", DEFAULT_TIMEOUT_S),
    };
    return settings;
}

static int by_place(const void *left, const void *right) {
    const struct cop__test *a = *(const struct cop__test *const *)left;
    const struct cop__test *b = *(const struct cop__test *const *)right;
    int order = strcmp(a->file, b->file);
    return order != 0 ? order : (a->line > b->line) - (a->line < b->line);
}

static bool is_wanted(const struct cop__test *test, int argc, char **argv) {
    if (argc < 2)
        return true;
    for (int i = 1; i < argc; i++)
        if (strstr(test->name, argv[i]) != NULL)
            return true;
    return false;
}

/* The wanted tests in order; *count of them, in malloc'ed memory. */
static const struct cop__test **select_tests(int argc, char **argv, size_t *count) {
    size_t all = (size_t)(__stop_cop_tests - __start_cop_tests);
    const struct cop__test **tests = calloc(all + 1, sizeof(const struct cop__test *));
    if (tests == NULL)
        exit(2);
    *count = 0;
    for (size_t i = 0; i < all; i++)
        if (is_wanted(__start_cop_tests[i], argc, argv))
            tests[(*count)++] = __start_cop_tests[i];
    qsort(tests, *count, sizeof(tests[0]), by_place);
    return tests;
}

/* Every line of the report becomes a comment of TAP. */
static void print_report(const struct kit_outcome *outcome) {
    const char *at = outcome->report;
    const char *end = at + outcome->size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL)
            stop = end;
        printf("#   %.*s\n", (int)(stop - at), at);
        at = stop + 1;
    }
}

static void print_failure(const struct kit_run *run, const struct kit_outcome *outcome) {
    if (outcome->status == KIT_TIMED_OUT)
        printf("#   time-out: not finished after %d s\n", run->timeout_s);
    else if (outcome->status > 128)
        printf("#   the OS process of the test died of signal %d (%s)\n", outcome->status - 128,
               strsignal(outcome->status - 128));
    else if (outcome->size == 0)
        printf("#   the OS process of the test ended early, with status %d\n", outcome->status);
    print_report(outcome);
    if (run->simulated)
        printf("#   again: COPPICE_TEST_SEED=%llu %s\n", (unsigned long long)run->seed,
               run->test->name);
}

/* Prints the test's line. True unless it failed. */
static bool print_outcome(size_t number, const struct kit_run *run,
                          const struct kit_outcome *outcome) {
    const char *name = run->test->name;
    bool good = outcome->status == KIT_PASSED || outcome->status == KIT_SKIPPED;
    printf("%sok %zu - %s", good ? "" : "not ", number, name);
    if (outcome->status == KIT_SKIPPED)
        printf(" # SKIP %s", outcome->report != NULL ? outcome->report : "");
    printf("\n");
    if (!good)
        print_failure(run, outcome);
    fflush(stdout);
    return good;
}

static bool run_one(size_t number, const struct cop__test *test, const struct settings *settings) {
    struct kit_run run = {
        .test = test,
        .simulated = settings->seeds > 0 && test->kind == COP__TEST_NODE && !test->real_time,
        .seed = settings->first_seed,
        .timeout_s = test->timeout_s > 0 ? test->timeout_s : settings->timeout_s,
    };
    uint64_t left = run.simulated ? settings->seeds : 1;
    for (;;) {
        struct kit_outcome outcome = kit_run_apart(&run);
        if (outcome.status != KIT_PASSED || --left == 0) {
            bool good = print_outcome(number, &run, &outcome);
            free(outcome.report);
            return good;
        }
        free(outcome.report);
        run.seed++;
    }
}

int cop_test_main(int argc, char **argv) {
    struct settings settings = read_settings();
    bool list = argc == 2 && strcmp(argv[1], "--list") == 0;
    size_t count, failed = 0;
    const struct cop__test **tests = select_tests(list ? 1 : argc, argv, &count);
    if (list) {
        for (size_t i = 0; i < count; i++)
            printf("%s\n", tests[i]->name);
        free(tests);
        return 0;
    }
    printf("TAP version 13\n1..%zu%s\n", count, count == 0 ? " # SKIP no such test" : "");
    for (size_t i = 0; i < count; i++)
        failed += run_one(i + 1, tests[i], &settings) ? 0 : 1;
    free(tests);
    if (failed > 0)
        printf("# %zu of %zu tests failed\n", failed, count);
    return failed > 0 ? 1 : 0;
}
