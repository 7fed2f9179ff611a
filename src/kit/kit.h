/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__KIT_H
#define COP__KIT_H

#include <coppice/test.h>

/* How a test's OS process tells how it went; anything else is a failure. */
enum { KIT_PASSED = 0, KIT_FAILED = 1, KIT_SKIPPED = 77, KIT_TIMED_OUT = 124 };

/* One run of one test; simulated: `count` of them one after the other, with seeds from `seed` on. */
struct kit_run {
    const struct cop__test *test;
    bool simulated;
    uint64_t seed, count;
    int timeout_s;
};

/* In memory that the parent and the test's OS process share: how far it has come. */
struct kit_progress {
    bool simulated;      /* the run that is on now */
    char faults[128];    /* its fault points, where the test gives them */
    uint64_t seed;       /* of the run that is on now */
    uint64_t started;    /* counts runs; atomic */
    uint64_t trace;      /* of the run that failed */
    uint64_t all_traces; /* of all runs of this test, as one number */
};
extern struct kit_progress *kit_progress;

/* What a finished run left. The report is malloc'ed text of `size` bytes. */
struct kit_outcome {
    int status; /* one of the above, or 128 + signal */
    char *report;
    size_t size;
    double seconds;
};

/* The byte that closes the report of a test that came to its own end; no text contains it. */
#define KIT_END_MARK '\x04'

/* parent.c: runs it in a fresh OS process and waits for it. */
struct kit_outcome kit_run_apart(const struct kit_run *run);
/* child.c: runs it in this OS process, which ends with it. `report` and `control` are pipes. */
_Noreturn void kit_run_here(const struct kit_run *run, int report, int control);

/* simulate.c: a node from its start to its end, whose first process's child is `body`; fails the test
   when that does not come to its end. And many of them under simulation. */
void kit_run_node(void (*body)(cop_ctx *ctx), const cop_node_opts *opts);
void kit_run_seeds(void (*body)(cop_ctx *ctx), const cop_node_opts *opts, uint64_t first,
                   uint64_t count);
/* What runs here, for its name and place. */
extern const struct cop__test *kit_test;

/* report.c: what the child writes. kit_fail_begin lets one failure in only and waits for ever in
   all others, so its callers may use static buffers; kit_fail_end ends the OS process. */
void kit_report_to(int fd);
void kit_report_write(const char *text, size_t size);
void kit_report(const char *format, ...) __attribute__((format(printf, 1, 2)));
void kit_report_term(const char *label, cop_term t);
void kit_fail_begin(const char *file, int line);
_Noreturn void kit_fail_end(void);

/* pattern.c: a term against a pattern's text. Needs no process, allocates on no process's heap;
   a text that is no pattern fails the test at that place. */
bool kit_matches(const char *file, int line, cop_term t, const char *pattern);

/* supervise.c: the process that test_start_supervised starts things in. */
void kit_supervisor_start(cop_ctx *ctx);
void kit_supervisor_stop(cop_ctx *ctx);

/* expect.c: raises in a TEST_TERM come here (cop__raise_hook). */
void kit_bare_raise(cop_ctx *ctx, cop_term reason);
void kit_bare_is(cop_ctx *ctx);

#endif
