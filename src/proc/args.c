/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's flags on a program's command line, in the form that erl has for its emulator's: +S 4. They are
 * read into a copy first, so that bad ones change nothing; then what is not ours moves up.
 * Threads: none; before the node starts.
 */
#include <errno.h>
#include <string.h>

#include "proc/proc.h"

static bool number_from(const char *text, uint64_t least, uint64_t most, uint64_t *out) {
    char *end;
    if (text == NULL || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &end, 0);
    return errno == 0 && *end == '\0' && *out >= least && *out <= most;
}

static bool read_fault(const char *value, cop_node_opts *o) {
    bool aborts = value != NULL && strcmp(value, "abort") == 0;
    if (!aborts && (value == NULL || strcmp(value, "isolate") != 0))
        return false;
    o->fault_aborts = aborts;
    o->fault_isolates = !aborts;
    return true;
}

static bool read_sim(const char *value, cop_node_opts *o) {
    o->sim = true;
    return number_from(value, 0, UINT64_MAX, &o->sim_seed);
}

/* Is it a flag of ours? Then *ok says whether its value is good. */
static bool read_flag(const char *flag, const char *value, cop_node_opts *o, bool *ok) {
    uint64_t n = 0;
    if (strcmp(flag, "+S") == 0) {
        *ok = number_from(value, 1, COP__MAX_SCHEDS, &n);
        o->schedulers = (int)n;
    } else if (strcmp(flag, "+P") == 0) {
        *ok = number_from(value, 1, 16000000, &n);
        o->max_processes = (size_t)n;
    } else if (strcmp(flag, "+stack") == 0) {
        *ok = number_from(value, 16 * 1024, 1 << 30, &n);
        o->stack_size = (size_t)n;
    } else if (strcmp(flag, "+slice") == 0) {
        *ok = number_from(value, 1, 3600000, &n);
        o->slice_ms = (int)n;
    } else if (strcmp(flag, "+stall") == 0) {
        *ok = number_from(value, 1, INT32_MAX, &n);
        o->stall_report_ms = (int64_t)n;
    } else if (strcmp(flag, "+fault") == 0) {
        *ok = read_fault(value, o);
    } else if (strcmp(flag, "+sim") == 0) {
        *ok = read_sim(value, o);
    } else if (strcmp(flag, "+log") == 0) {
        cop_level level;
        *ok = cop_level_from_name(value, &level);
        o->log_level = value;
    } else {
        return false;
    }
    return true;
}

int cop_node_opts_from_args(int *argc, char **argv, cop_node_opts *opts, const char **bad) {
    cop_node_opts read = *opts, scratch = *opts;
    bool ok;
    for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        if (!read_flag(argv[i], i + 1 < *argc ? argv[i + 1] : NULL, &read, &ok))
            continue;
        if (!ok) {
            if (bad != NULL)
                *bad = argv[i];
            return -EINVAL;
        }
        i++;
    }
    int kept = 1;
    bool after = false;
    for (int i = 1; i < *argc; i++) {
        after = after || strcmp(argv[i], "--") == 0;
        if (!after && read_flag(argv[i], argv[i + 1], &scratch, &ok))
            i++;
        else
            argv[kept++] = argv[i];
    }
    if (kept < *argc)
        argv[kept] = NULL;
    *argc = kept;
    *opts = read;
    return 0;
}
