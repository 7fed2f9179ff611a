/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context switch and the jumps, on their own: no node, no kit, so that it also runs on another
 * machine's emulator. TAP by hand.
 */
#include <stdint.h>
#include <string.h>

#include "os/context.h"
#include "tap.h"

enum { STACK = 64 * 1024, CHAIN = 50 };

static cop__context here, there;
static int visits;

static void visitor(void *arg) {
    for (;;) {
        visits += *(int *)arg;
        arg = cop__context_switch(&there, &here, arg);
    }
}

static void switches_there_and_back(void) {
    void *stack = malloc(STACK);
    int step = 3;
    cop__context_make(&there, stack, STACK, visitor);
    bool same = true;
    for (int i = 0; i < 100000; i++)
        same = same && cop__context_switch(&here, &there, &step) == &step;
    ok(same, "what is handed over arrives on both sides");
    ok(visits == 300000, "100,000 switches there and back");
    free(stack);
}

/* Values that the compiler likes to keep in callee-saved registers, integer and floating. */
static __attribute__((noinline)) uint64_t mix(uint64_t seed, double *sum) {
    volatile uint64_t v[10];
    for (int i = 0; i < 10; i++)
        v[i] = seed * (uint64_t)(i + 1);
    uint64_t a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5];
    double x = (double)v[6], y = (double)v[7], z = (double)v[8];
    int zero = 0;
    cop__context_switch(&here, &there, &zero);
    *sum = x + y + z;
    return a ^ b ^ c ^ d ^ e ^ f;
}

static void spoiler(void *arg) {
    for (;;) {
        volatile double spoil[16];
        for (int i = 0; i < 16; i++)
            spoil[i] = i * 1e9;
        uint64_t r = 0xdeadbeef;
        for (int i = 0; i < 16; i++)
            r = r * 31 + (uint64_t)spoil[i];
        *(int *)arg = (int)(r & 1);
        arg = cop__context_switch(&there, &here, NULL);
    }
}

static void registers_survive(void) {
    void *stack = malloc(STACK);
    cop__context_make(&there, stack, STACK, spoiler);
    bool good = true;
    for (uint64_t seed = 1; seed < 1000; seed++) {
        double sum;
        uint64_t x = mix(seed, &sum);
        good =
            good && x == ((seed) ^ (2 * seed) ^ (3 * seed) ^ (4 * seed) ^ (5 * seed) ^ (6 * seed));
        good = good && sum == (double)(7 * seed) + (double)(8 * seed) + (double)(9 * seed);
    }
    ok(good, "registers, floating ones too, survive a switch");
    free(stack);
}

static struct link {
    cop__context context;
    void *stack;
} links[CHAIN];
static cop__context top;

static void chain_entry(void *arg) {
    long i = (long)(intptr_t)arg;
    if (i + 1 < CHAIN)
        cop__context_switch(&links[i].context, &links[i + 1].context, (void *)(intptr_t)(i + 1));
    else
        cop__context_switch(&links[i].context, &top, (void *)(intptr_t)(i + 1));
    /* Nobody comes back here. */
    abort();
}

static void chains(void) {
    for (int i = 0; i < CHAIN; i++) {
        links[i].stack = malloc(STACK);
        cop__context_make(&links[i].context, links[i].stack, STACK, chain_entry);
    }
    intptr_t got = (intptr_t)cop__context_switch(&top, &links[0].context, NULL);
    ok(got == CHAIN, "a chain of fifty stacks");
    for (int i = 0; i < CHAIN; i++)
        free(links[i].stack);
}

static uint64_t jump[25];

/* Through a pointer: the compiler must not conclude that deep never ends. */
static void leave_by_jump(int value) { cop__jump_to(jump, value); }
static void (*volatile leave)(int value) = leave_by_jump;

static __attribute__((noinline)) void deep(int n) {
    volatile char frame[100];
    frame[0] = (char)n;
    if (n == 0) {
        leave(42);
        return;
    }
    deep(n - 1);
    frame[1] = frame[0];
}

static void jumps(void) {
    volatile int count = 0, value = 0;
    int how = cop__jump_save(jump);
    if (how != 0) {
        value += how;
        count++;
    }
    if (count < 1000)
        deep(50);
    ok(value == 42000, "a thousand jumps out of deep calls");
}

int main(void) {
    puts("1..5");
    switches_there_and_back();
    registers_survive();
    chains();
    jumps();
    return 0;
}
