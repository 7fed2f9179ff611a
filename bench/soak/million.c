/* SPDX-License-Identifier: Apache-2.0 */
/*
 * million: a million processes that wait, and what each of them costs.
 *
 *     million [COUNT]     1,000,000 without an argument
 *
 *   raw          processes that have called down to a depth of 4 KiB of stack and now wait in
 *                cop_receive near its beginning: once when all have just come to rest, and again when
 *                they have slept, after the run-time gave back what of their stacks is not in use
 *   gen_server   idle gen_servers with a state of two words
 *   callback     callback processes without a behaviour
 *
 * Each kind lives in an OS process of its own. Every process is asked for an answer in the end, so that
 * it is certain that each was there: a million replies are counted.
 */
#include <coppice.h>
#include <coppice/gen_server.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    STACK_USED = 4096,
    LOOK_MS = 100,
    REST_MS = 5000,
    LONGEST_REST_MS = 60000,
    STACK_IDLE_MS = 2000
};

static int64_t processes = 1000000;

_Noreturn static void fail(const char *what) {
    fprintf(stderr, "million: %s\n", what);
    _Exit(1);
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double resident_bytes(void) {
    unsigned long long all, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%llu %llu", &all, &resident) != 2)
        fail("statm");
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* ---- the three kinds ------------------------------------------------------------------------- */

static __attribute__((noinline)) void use_stack(void) {
    char area[STACK_USED];
    memset(area, 1, sizeof(area));
    __asm__ volatile("" : : "r"(area) : "memory");
}

static void raw(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    use_stack();
    cop_receive(ctx, COP_INFINITY, &message);
    cop_send(ctx, message, cop_a(here));
}

static void start_raw(cop_ctx *ctx, cop_pid *pid) { *pid = cop_spawn(ctx, raw, COP_NIL); }

struct state {
    cop_term main;
    int64_t number;
};

static cop_init server_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct state *self = state;
    self->main = arg;
    return cop_init_ok();
}

static cop_next server_info(cop_ctx *ctx, void *state, cop_term message) {
    cop_send(ctx, message, cop_a(here));
    return cop_noreply();
}

static const cop_gen_server server = {
    .name = "MillionServer",
    .state_size = sizeof(struct state),
    .state_terms = 1,
    .init = server_init,
    .handle_info = server_info,
};

static void start_gen_server(cop_ctx *ctx, cop_pid *pid) {
    cop_started started = cop_gen_server_start(ctx, &server, cop_self(ctx).t, NULL);
    if (started.is != COP_STARTED)
        fail("a gen_server did not start");
    *pid = started.pid;
}

static void callback_message(cop_ctx *ctx, void *state, cop_term message) {
    cop_send(ctx, message, cop_a(here));
}

static const cop_callbacks callbacks = { .name = "million", .message = callback_message };

static void callback(cop_ctx *ctx, cop_term arg) { cop_become(ctx, &callbacks, NULL); }

static void start_callback(cop_ctx *ctx, cop_pid *pid) { *pid = cop_spawn(ctx, callback, COP_NIL); }

static const struct kind {
    const char *name;
    void (*start)(cop_ctx *ctx, cop_pid *pid);
    size_t needs; /* bytes each, at most */
} kinds[] = {
    { "raw", start_raw, 16384 },
    { "gen_server", start_gen_server, 4096 },
    { "callback", start_callback, 4096 },
};

/* ---- measuring ------------------------------------------------------------------------------- */

static const struct kind *kind;

/* Each process answers, by which it is known that it was there all the time. */
static void ask_all(cop_ctx *ctx, const cop_pid *all) {
    for (int64_t i = 0; i < processes; i++) {
        cop_send(ctx, all[i], cop_self(ctx));
        if (i % 1000 != 999 && i != processes - 1)
            continue;
        for (int64_t left = i % 1000 + 1; left > 0; left--) {
            COP_SCOPE(ctx) {
                cop_term message;
                if (!cop_receive(ctx, 60000, &message) || !cop_match(message, cop_a(here)))
                    fail("a process does not answer");
            }
        }
    }
}

static void print_each(const char *when, double bytes, double seconds) {
    printf("%-12s %9lld %-24s %8.0f bytes each %8.2f GiB in all %7.1f s\n", kind->name,
           (long long)processes, when, bytes / (double)processes, bytes / (1 << 30), seconds);
    fflush(stdout);
}

/* Those with a stack: until all of them have given it back. Kernels before 6.13 cannot do that, and then
   it is a minute for nothing. */
static void let_them_sleep(cop_ctx *ctx) {
    for (int ms = 0; ms < LONGEST_REST_MS; ms += LOOK_MS) {
        bool rested = kind->start == start_raw ? cop_node_stacks_given_back() >= (size_t)processes
                                               : ms >= REST_MS;
        if (rested)
            return;
        cop_process_sleep(ctx, LOOK_MS);
    }
}

static void measure(cop_ctx *ctx, cop_term arg) {
    cop_pid *all = cop_alloc(ctx, (size_t)processes * sizeof(all[0]));
    memset(all, 1, (size_t)processes * sizeof(all[0])); /* resident before it begins */
    double before = resident_bytes(), began = now_s();
    for (int64_t i = 0; i < processes; i++) {
        COP_SCOPE(ctx) { kind->start(ctx, &all[i]); }
        if (i % 1000 == 999)
            cop_yield(ctx);
    }
    print_each("when all wait", resident_bytes() - before, now_s() - began);
    let_them_sleep(ctx);
    print_each("after they have slept", resident_bytes() - before, now_s() - began);
    ask_all(ctx, all);
    print_each("when all have answered", resident_bytes() - before, now_s() - began);
    fflush(stdout);
    _Exit(0);
}

static bool fits(const struct kind *of) {
    double pages = (double)sysconf(_SC_AVPHYS_PAGES), page = (double)sysconf(_SC_PAGESIZE);
    return (double)of->needs * (double)processes < pages * page;
}

int main(int argc, char **argv) {
    if (argc == 2)
        processes = strtoll(argv[1], NULL, 10);
    if (argc > 2 || processes < 1) {
        fprintf(stderr, "usage: million [COUNT]\n");
        return 2;
    }
    int failed = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        int status = 0;
        if (!fits(&kinds[i]))
            printf("%-12s left out: not enough free memory\n", kinds[i].name);
        fflush(stdout);
        pid_t child = fits(&kinds[i]) ? fork() : -1;
        if (child == 0) {
            kind = &kinds[i];
            cop_run(&(cop_node_opts){ .max_processes = (size_t)processes + 1000,
                                      .stack_idle_ms = STACK_IDLE_MS,
                                      .no_logger = true },
                    measure);
            _Exit(1);
        }
        if (child > 0 && (waitpid(child, &status, 0) != child || status != 0))
            failed = 1;
    }
    return failed;
}
