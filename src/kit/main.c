/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kit's main: finds the tests, runs those that were asked for one after the other, prints TAP.
 *
 * TEST() leaves a pointer in the linker section `cop_tests`; the linker gives the section's bounds
 * as two symbols. They are weak, so that a program without tests links and says so. The order of
 * that section depends on the compiler, so tests are sorted by file and line first.
 *
 * With COPPICE_TEST_SEEDS=n a test is one line of TAP all the same: it fails with the first seed
 * that fails, and the report says how to run that seed again. Seeds are run in batches, an OS process
 * each; a seed that failed is run once more in one of its own, because that is what its command does.
 *
 * Threads: the main thread only; there is no other in this OS process.
 */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DEFAULT_TIMEOUT_S 30

static const char *program;

extern const struct cop__test *const __start_cop_tests[] __attribute__((weak));
extern const struct cop__test *const __stop_cop_tests[] __attribute__((weak));

struct settings {
    uint64_t seeds;
    uint64_t first_seed;
    uint64_t batch;
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
        .batch = number_from("COPPICE_TEST_BATCH", 1000),
        .timeout_s = (int)number_from("COPPICE_TEST_TIMEOUT", DEFAULT_TIMEOUT_S),
    };
    if (settings.batch == 0)
        settings.batch = 1;
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

/* The command that does it again. */
static void print_replay(const struct kit_run *run) {
    const char *faults = getenv("COP_SIM_FAULTS");
    printf("#   simulated with seed %llu%s%s", (unsigned long long)kit_progress->seed,
           *kit_progress->faults != '\0' ? ", faults " : "", kit_progress->faults);
    if (kit_progress->trace != 0) /* 0: it crashed */
        printf(", trace %016llx", (unsigned long long)kit_progress->trace);
    printf("\n#   again:");
    if (faults != NULL && *kit_progress->faults == '\0')
        printf(" COP_SIM_FAULTS='%s'", faults);
    printf(" COPPICE_TEST_SEED=%llu %s %s\n", (unsigned long long)kit_progress->seed, program,
           run->test->name);
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
    if (kit_progress->simulated)
        print_replay(run);
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

/* A seed failed after others in the same OS process. Alone it fails as well, or else it was what the
   others left behind in static data that made it fail. */
static struct kit_outcome run_alone(const struct kit_run *run, struct kit_outcome first) {
    struct kit_run alone = *run;
    free(first.report);
    alone.seed = kit_progress->seed;
    alone.count = 1;
    struct kit_outcome outcome = kit_run_apart(&alone);
    if (outcome.status == KIT_PASSED)
        printf("# %s leaves something in static data: from seed %llu on each has an OS process\n",
               run->test->name, (unsigned long long)alone.seed);
    return outcome;
}

/* Batch after batch, until one fails or none is left; run->seed is the next one then. */
static struct kit_outcome run_seeds(struct kit_run *run, uint64_t seeds, uint64_t batch) {
    uint64_t end = run->seed + seeds;
    for (;;) {
        run->count = end - run->seed < batch ? end - run->seed : batch;
        struct kit_outcome outcome = kit_run_apart(run);
        if (outcome.status != KIT_PASSED && kit_progress->seed != run->seed) {
            batch = 1;
            run->count = kit_progress->seed - run->seed + 1;
            outcome = run_alone(run, outcome);
        }
        run->seed += run->count;
        if (outcome.status != KIT_PASSED || run->seed == end)
            return outcome;
        free(outcome.report);
    }
}

static bool run_one(size_t number, const struct cop__test *test, const struct settings *settings) {
    uint64_t seeds = settings->seeds > 0 ? settings->seeds : test->seeds;
    struct kit_run run = {
        .test = test,
        .simulated = seeds > 0 && test->kind == COP__TEST_NODE && !test->real_time,
        .seed = settings->first_seed,
        .timeout_s = test->timeout_s > 0 ? test->timeout_s : settings->timeout_s,
    };
    memset(kit_progress, 0, sizeof *kit_progress);
    struct kit_outcome outcome =
        run.simulated ? run_seeds(&run, seeds, settings->batch) : kit_run_apart(&run);
    if (run.simulated && outcome.status == KIT_PASSED)
        printf("# %s: %llu seeds, all traces %016llx\n", test->name, (unsigned long long)seeds,
               (unsigned long long)kit_progress->all_traces);
    bool good = print_outcome(number, &run, &outcome);
    free(outcome.report);
    return good;
}

int cop_test_main(int argc, char **argv) {
    struct settings settings = read_settings();
    program = argv[0];
    kit_progress =
        mmap(NULL, sizeof *kit_progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (kit_progress == MAP_FAILED)
        return 2;
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
