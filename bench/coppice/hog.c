/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hog.*: as many processes as there are cores never come to an end. What do others notice? Round
 * trips between two of them, each after a pause of a millisecond.
 *
 *   hog.cooperative     loops that count their work, as long work in C should (cop_bump_reductions)
 *   hog.uncooperative   loops in plain C, without a call into the run-time
 *   hog.blocking        processes that wait in a system call, in open() of a pipe that nobody writes
 *
 *   hog.KIND.p50, .p99, .p99.9    the round trip
 *   hog.KIND.due.p99              from the instant the pause was over until the reply was there
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void cooperative(cop_ctx *ctx, cop_term arg) {
    for (uint32_t x = 1;; x = x * 1103515245 + 12345)
        if (x >> 24 == 0)
            cop_bump_reductions(ctx, 1);
}

static void uncooperative(cop_ctx *ctx, cop_term arg) {
    for (;;)
        __asm__ volatile("");
}

static char fifo[64];

static void blocking(cop_ctx *ctx, cop_term arg) {
    for (;;)
        close(open(fifo, O_RDONLY | O_CLOEXEC));
}

static int by_size(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

struct times {
    int64_t round_trip[PROBES];
    int64_t due[PROBES];
};

static void probe(cop_ctx *ctx, cop_pid other, struct times *times, int count) {
    for (int i = 0; i < count; i++) {
        COP_SCOPE(ctx) {
            int64_t asleep = bench_now_ns();
            cop_process_sleep(ctx, 1);
            int64_t start = bench_now_ns();
            cop_send(ctx, other, cop_tuple(ctx, cop_self(ctx), cop_a(ping)));
            bench_collect(ctx, 1, cop_a(pong).t);
            int64_t end = bench_now_ns();
            times->round_trip[i] = end - start;
            times->due[i] = end - asleep - 1000000;
        }
    }
}

static void print_quantile(const char *kind, const char *which, const int64_t *sorted, int number) {
    char name[64];
    snprintf(name, sizeof(name), "hog.%s.%s", kind, which);
    bench_out(name, (double)sorted[number - 1] / 1000, "us");
}

static void bench_hog(cop_ctx *ctx, const char *kind, cop_entry hog) {
    struct times *times = cop_alloc(ctx, sizeof(*times));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; i < cores; i++)
        cop_spawn(ctx, hog, COP_NIL);
    cop_pid other = bench_start_echo(ctx);
    cop_process_sleep(ctx, 200);
    probe(ctx, other, times, PROBES / 10);
    probe(ctx, other, times, PROBES);
    qsort(times->round_trip, PROBES, sizeof(times->round_trip[0]), by_size);
    qsort(times->due, PROBES, sizeof(times->due[0]), by_size);
    print_quantile(kind, "p50", times->round_trip, PROBES / 2);
    print_quantile(kind, "p99", times->round_trip, PROBES * 99 / 100);
    print_quantile(kind, "p99.9", times->round_trip, PROBES * 999 / 1000);
    print_quantile(kind, "due.p99", times->due, PROBES * 99 / 100);
}

void bench_hog_cooperative(cop_ctx *ctx) { bench_hog(ctx, "cooperative", cooperative); }

void bench_hog_uncooperative(cop_ctx *ctx) { bench_hog(ctx, "uncooperative", uncooperative); }

void bench_hog_blocking(cop_ctx *ctx) {
    snprintf(fifo, sizeof(fifo), "/tmp/coppice-bench-%ld.fifo", (long)getpid());
    if (mkfifo(fifo, 0600) != 0)
        bench_fail("mkfifo");
    bench_hog(ctx, "blocking", blocking);
    unlink(fifo);
}
