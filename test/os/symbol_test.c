/* SPDX-License-Identifier: Apache-2.0 */
/* Walks of frames, and the names of places in the code. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "os/fault.h"
#include "os/symbol.h"
#include "tap.h"

enum { MOST = 32, ROUNDS = 200 };

static uintptr_t pcs[MOST];
static size_t depth;
static uintptr_t stack_low, stack_high;
static volatile int sink;

/* A chain of calls that no compiler turns into jumps: each has something to do afterwards. */
static __attribute__((noinline)) void innermost(void) {
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    depth = cop__frames_walk((uintptr_t)innermost + 4, frame, stack_low, stack_high, pcs, MOST);
    sink++;
}
static void (*volatile call_innermost)(void) = innermost;
static __attribute__((noinline)) void in_between(void) {
    call_innermost();
    sink++;
}
static void (*volatile call_in_between)(void) = in_between;
static __attribute__((noinline)) void outermost(void) {
    call_in_between();
    sink++;
}
static void (*volatile call_outermost)(void) = outermost;

static void find_stack(void) {
    pthread_attr_t attr;
    void *low;
    size_t size;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &low, &size);
    pthread_attr_destroy(&attr);
    stack_low = (uintptr_t)low;
    stack_high = stack_low + size;
}

static bool is_named(uintptr_t pc, const char *name) {
    struct cop__symbol symbol;
    return cop__symbol_of(pc, &symbol) && strncmp(symbol.function, name, strlen(name)) == 0;
}

static void frames_have_names(void) {
    call_outermost();
    ok(depth >= 4 && depth <= MOST, "a walk finds the frames");
    ok(is_named(pcs[0], "innermost") && is_named(pcs[1] - 1, "in_between")
           && is_named(pcs[2] - 1, "outermost"),
       "static functions have their names, innermost first");
    struct cop__symbol symbol;
    cop__symbol_of(pcs[1] - 1, &symbol);
    ok(strcmp(symbol.file, "symbol_test.c") == 0 && symbol.line > 0, "and their files and lines");
}

static void walks_never_fault(void) {
    uintptr_t out[MOST], words[8];
    memset(words, 0, sizeof words);
    uintptr_t low = (uintptr_t)words, high = low + sizeof words;
    static const uintptr_t wild[] = {
        0, 1, 8, 0x1000, UINTPTR_MAX, UINTPTR_MAX - 7, UINTPTR_MAX - 15, UINTPTR_MAX / 2
    };
    bool good = cop__frames_walk(1, low, low, high, out, 0) == 0;
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++)
        good = good && cop__frames_walk(1, wild[i], low, high, out, MOST) == 1;
    ok(good, "a wild frame pointer is not followed");
    good = true;
    for (uintptr_t fp = low - 16; fp < high + 16; fp++)
        good = good && cop__frames_walk(1, fp, low, high, out, MOST) == 1;
    ok(good, "nothing is read outside of the bounds");
    words[0] = low; /* a frame whose caller is itself */
    words[1] = 77;
    ok(cop__frames_walk(1, low, low, high, out, MOST) == 2 && out[1] == 77, "a circle ends");
    words[0] = low + 32;
    words[4] = low;
    words[5] = 78;
    ok(cop__frames_walk(1, low, low, high, out, MOST) == 3 && out[2] == 78, "so does one of two");
    ok(cop__frames_walk(1, low, low, high, out, 2) == 2, "no more frames than there is room for");
}

static void unknown_places(void) {
    struct cop__symbol symbol;
    memset(&symbol, 1, sizeof symbol);
    ok(!cop__symbol_of(16, &symbol) && symbol.function[0] == '\0' && symbol.file[0] == '\0'
           && symbol.line == 0,
       "a place that is nowhere has no name");
}

static void libraries_loaded_later(void) {
    static const char what[] = "a function of a library that was loaded later has its name";
    void *library = dlopen("libthread_db.so.1", RTLD_LAZY);
    void *place = library != NULL ? dlsym(library, "td_init") : NULL;
    if (place == NULL)
        skip(what, "no libthread_db here");
    else
        ok(is_named((uintptr_t)place, "td_init"), what);
}

static void *ask_often(void *good) {
    bool all = true;
    for (uintptr_t i = 0; i < ROUNDS; i++) {
        all = all && is_named((uintptr_t)innermost + 4, "innermost");
        all = all && is_named((uintptr_t)outermost + 4, "outermost");
        struct cop__symbol symbol;
        cop__symbol_of((uintptr_t)ask_often + i % 32, &symbol);
    }
    *(bool *)good = all;
    return NULL;
}

static void *stop_often(void *unused) {
    (void)unused;
    for (int i = 0; i < ROUNDS / 4; i++)
        cop__symbol_stop();
    return NULL;
}

static void asked_and_stopped_at_once(void) {
    pthread_t askers[3], stoppers[2];
    bool good[3] = { false };
    for (int i = 0; i < 3; i++)
        pthread_create(&askers[i], NULL, ask_often, &good[i]);
    for (int i = 0; i < 2; i++)
        pthread_create(&stoppers[i], NULL, stop_often, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(askers[i], NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(stoppers[i], NULL);
    ok(good[0] && good[1] && good[2], "every question is answered while others stop the service");
    cop__symbol_stop();
    cop__symbol_stop();
    ok(is_named((uintptr_t)innermost + 4, "innermost"), "after a stop it starts again");
    cop__symbol_stop();
}

int main(void) {
    puts("1..12");
    find_stack();
    frames_have_names();
    walks_never_fault();
    unknown_places();
    libraries_loaded_later();
    asked_and_stopped_at_once();
    return 0;
}
