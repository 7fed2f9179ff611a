/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coppice command: for now it says its version and makes new projects. A project is a folder with
 * a Makefile that finds the library by pkg-config, the counter of the guide under a supervisor, and a
 * test of it.
 */
#include <coppice/node.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "skeleton.h"

static int usage(FILE *to, int status) {
    fputs("usage: coppice new NAME     makes the folder NAME with a program that compiles\n"
          "       coppice --version\n"
          "       coppice help\n",
          to);
    return status;
}

static int fail(const char *what, const char *path) {
    fprintf(stderr, "coppice: %s %s: %s\n", what, path, strerror(errno));
    return 1;
}

static int write_file(const char *folder, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wx");
    if (file == NULL)
        return fail("cannot write", path);
    fputs(text, file);
    return fclose(file) == 0 ? 0 : fail("cannot write", path);
}

/* A name that is also a C identifier, so that files and programs may have it. */
static int name_is_good(const char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    return name[0] >= 'a' && name[0] <= 'z' && strlen(name) <= 64
           && strspn(name, letters) == strlen(name);
}

static int new_project(const char *name) {
    if (!name_is_good(name)) {
        fprintf(stderr,
                "coppice: \"%s\" is no name for a project: lower-case letters, digits and _ are "
                "expected, a letter first, 64 at most\n",
                name);
        return 1;
    }
    if (mkdir(name, 0777) != 0)
        return fail("cannot make the folder", name);
    if (write_file(name, "Makefile", skeleton_makefile) != 0
        || write_file(name, "counter.h", skeleton_counter_h) != 0
        || write_file(name, "counter.c", skeleton_counter_c) != 0
        || write_file(name, "main.c", skeleton_main_c) != 0
        || write_file(name, "counter_test.c", skeleton_test_c) != 0)
        return 1;
    printf("made %s: cd %s && make run, make test\n", name, name);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("coppice %s\n", cop_version());
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0))
        return usage(stdout, 0);
    if (argc == 3 && strcmp(argv[1], "new") == 0)
        return new_project(argv[2]);
    return usage(stderr, 2);
}
