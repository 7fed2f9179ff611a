/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_TEST_IO_FOLDER_H
#define COPPICE_TEST_IO_FOLDER_H

#include <coppice/test.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[128];

static inline int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at) {
    (void)s;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void leave_folder(void) { nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/* A fresh directory, in which the test's OS process goes to work; removed at its end. */
static inline void enter_folder(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/coppice-file-XXXXXX", tmp != NULL ? tmp : "/tmp");
    EXPECT(mkdtemp(folder) != NULL && chdir(folder) == 0);
    atexit(leave_folder);
}

#endif
