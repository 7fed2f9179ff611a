/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logflow: what is in an access log, by a pipeline of stages.
 *
 *     logflow generate [--lines N] [--seed N] [--malformed PPM] [--crashes N] [--gzip] FILE
 *     logflow run [--parsers N] [--aggregators N] [--top N] [--quiet] FILE
 *
 * The report goes to standard output, how it goes to standard error. The first process is the collector.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collect.h"
#include "generate.h"

enum { TOP_MAX = 1000 };

static struct {
    struct flow flow;
    int64_t top;
    bool quiet;
} the;

/* ---- the report -------------------------------------------------------------------------------------------- */

static void print_report(const struct totals *t, size_t top) {
    static const int percents[] = { 50, 90, 99, 100 };
    const struct path_total *rows[TOP_MAX];
    printf("lines %lld\nmalformed %lld\nlost %lld\nbytes %lld\nserver errors %lld\n",
           (long long)t->lines, (long long)t->malformed, (long long)t->lost, (long long)t->bytes,
           (long long)t->server_errors);
    for (int i = 0; i < 600; i++)
        if (t->status[i] > 0)
            printf("status %d %lld\n", i, (long long)t->status[i]);
    for (size_t i = 0; i < sizeof percents / sizeof *percents; i++)
        printf("size %d%% %lld\n", percents[i], (long long)totals_percentile(t, percents[i]));
    printf("paths %zu\n", t->count);
    for (size_t i = 0, n = totals_top(t, top, rows); i < n; i++)
        printf("top %lld %lld %.*s\n", (long long)rows[i]->requests, (long long)rows[i]->bytes,
               (int)rows[i]->size, (const char *)rows[i]->path);
}

/* ---- a run -------------------------------------------------------------------------------------------------- */

static double seconds(cop_ctx *ctx, const struct progress *p) {
    return (double)(cop_monotonic_ns(ctx) - p->began_ns) / 1e9;
}

static void show(cop_ctx *ctx, struct progress *p) {
    double s = seconds(ctx, p);
    fprintf(stderr, "%6.2f s  %10lld lines  %6.2f million/s  %lld crashes  %lld alerts\n", s,
            (long long)p->counted, s > 0 ? (double)p->counted / s / 1e6 : 0.0,
            (long long)p->crashes, (long long)p->handled);
}

static void count_log(cop_ctx *ctx) {
    struct progress p;
    cop_started tree = flow_start_link(ctx, &the.flow);
    if (tree.is != COP_STARTED)
        cop_exit(ctx, tree.reason);
    collect(ctx, &p, the.quiet ? NULL : show);
    show(ctx, &p);
    print_report(collect_totals(ctx, &the.flow), (size_t)the.top);
    cop_supervisor_stop(ctx, tree.pid, cop_a(normal), 0);
}

static void complain(cop_term reason) {
    char text[300];
    cop_term inner, id;
    cop_bytes bytes;
    if (cop_match_tuple(reason, cop_a(shutdown), &inner))
        cop_match_tuple(inner, cop_a(failed_to_start_child), &id, &reason);
    cop_inspect_to(text, sizeof text, reason, NULL);
    if (cop_get_bytes(reason, &bytes))
        snprintf(text, sizeof text, "%.*s", (int)bytes.size, (const char *)bytes.data);
    fprintf(stderr, "logflow: %s: %s\n", the.flow.path, text);
}

static void run(cop_ctx *ctx, cop_term arg) {
    the.flow.collector = cop_self(ctx);
    cop_process_trap_exit(ctx, true);
    COP_TRY(ctx) { count_log(ctx); }
    COP_CATCH(caught) {
        complain(caught->reason);
        cop_node_shutdown(ctx, 1);
    }
}

/* ---- the command line ------------------------------------------------------------------------------------- */

struct option {
    const char *name;
    int64_t *number; /* with a value */
    bool *flag;      /* without one */
    int64_t least, most;
};

static int usage(void) {
    fprintf(stderr,
            "usage: logflow generate [--lines N] [--seed N] [--malformed PPM] [--crashes N] "
            "[--gzip] FILE\n"
            "       logflow run [--parsers N] [--aggregators N] [--top N] [--quiet] FILE\n");
    return 2;
}

static bool number_of(const char *text, const struct option *o) {
    char *end;
    long long n = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0' || n < o->least || n > o->most)
        return false;
    *o->number = n;
    return true;
}

/* The options, and the one argument that is none; NULL if that is not what stands there. */
static const char *read_options(int argc, char **argv, const struct option *options) {
    const char *file = NULL;
    for (int i = 0; i < argc; i++) {
        const struct option *o = options;
        while (o->name != NULL && strcmp(o->name, argv[i]) != 0)
            o++;
        if (o->name == NULL) {
            if (file != NULL || argv[i][0] == '-')
                return NULL;
            file = argv[i];
        } else if (o->flag != NULL) {
            *o->flag = true;
        } else if (++i == argc || !number_of(argv[i], o)) {
            return NULL;
        }
    }
    return file;
}

static int main_generate(int argc, char **argv) {
    int64_t seed = 1, malformed = 1000;
    struct generate what = { .lines = 1000000 };
    const struct option options[] = { { "--lines", &what.lines, NULL, 0, INT64_C(1) << 40 },
                                      { "--seed", &seed, NULL, 0, INT64_MAX },
                                      { "--malformed", &malformed, NULL, 0, 1000000 },
                                      { "--crashes", &what.crashes, NULL, 0, INT64_C(1) << 40 },
                                      { "--gzip", NULL, &what.gzip, 0, 0 },
                                      { 0 } };
    const char *file = read_options(argc, argv, options);
    if (file == NULL)
        return usage();
    what.seed = (uint64_t)seed;
    what.malformed = (int)malformed;
    int rc = generate_log(&what, file);
    if (rc < 0)
        fprintf(stderr, "logflow: %s: %s\n", file, cop_strerror(rc));
    return rc < 0;
}

static int main_run(int argc, char **argv, cop_node_opts *node) {
    int64_t parsers = 4, aggregators = 2;
    the.top = 10;
    const struct option options[] = { { "--parsers", &parsers, NULL, 1, 32 },
                                      { "--aggregators", &aggregators, NULL, 1, 32 },
                                      { "--top", &the.top, NULL, 0, TOP_MAX },
                                      { "--quiet", NULL, &the.quiet, 0, 0 },
                                      { 0 } };
    the.flow.path = read_options(argc, argv, options);
    if (the.flow.path == NULL)
        return usage();
    the.flow.parsers = (int)parsers;
    the.flow.aggregators = (int)aggregators;
    the.flow.ledger = ledger_new();
    if (the.flow.ledger == NULL)
        return 1;
    node->no_logger = the.quiet;
    int status = cop_run(node, run);
    ledger_free(the.flow.ledger);
    return status;
}

int main(int argc, char **argv) {
    cop_node_opts node = { 0 };
    const char *bad;
    if (cop_node_opts_from_args(&argc, argv, &node, &bad) != 0) {
        fprintf(stderr, "logflow: bad flag %s\n", bad);
        return 2;
    }
    if (argc > 2 && strcmp(argv[1], "generate") == 0)
        return main_generate(argc - 2, argv + 2);
    if (argc > 2 && strcmp(argv[1], "run") == 0)
        return main_run(argc - 2, argv + 2, &node);
    return usage();
}
