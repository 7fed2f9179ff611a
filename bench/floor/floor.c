/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor: what the machine itself allows, in plain C with threads, nothing of Coppice in it. No
 * run-time that switches, allocates and passes messages can be faster than this.
 *
 *   floor.switch       saving six registers and a stack, and taking up another
 *   floor.atomic       an atomic addition that nobody contends for
 *   floor.malloc       malloc and free of 64 bytes (the C library's)
 *   floor.queue        malloc, push to a many-producer queue, pop, free: a message to oneself
 *   floor.line         a word from one core to another, both spinning
 *   floor.wake         a word to a thread that sleeps in the kernel
 *   floor.memcpy       16,000 bytes: a list of a thousand, as one block
 *   floor.page         the first write to a page of memory
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void print_each(const char *name, double started, int64_t count) {
    printf("%s %.3f ns\n", name, (now_ns() - started) / (double)count);
    fflush(stdout);
}

/* Keeps the compiler from leaving out what nobody reads. */
static void keep(const void *object) { __asm__ volatile("" : : "r"(object) : "memory"); }

/* ---- switch ---------------------------------------------------------------------------------- */

/* switch_*.S: saves what a call must keep and the stack pointer in *from, continues at `to`. */
void floor_switch(void **from, void *to);
/* A new context on that stack, which calls entry() when it is first taken up. */
void *floor_switch_make(char *stack, size_t size, void (*entry)(void));

static void *main_context, *other_context;

static void switch_back(void) {
    for (;;)
        floor_switch(&other_context, main_context);
}

static void measure_switch(void) {
    enum { COUNT = 20000000 };
    char *stack = malloc(65536);
    other_context = floor_switch_make(stack, 65536, switch_back);
    floor_switch(&main_context, other_context);
    double start = now_ns();
    for (int i = 0; i < COUNT; i++)
        floor_switch(&main_context, other_context);
    print_each("floor.switch", start, 2 * COUNT);
    free(stack);
}

/* ---- one core -------------------------------------------------------------------------------- */

struct message {
    _Atomic(struct message *) next;
    uint64_t value[7];
};
static _Atomic(struct message *) tail;

static void push(struct message *message) {
    atomic_store_explicit(&message->next, NULL, memory_order_relaxed);
    struct message *before = atomic_exchange_explicit(&tail, message, memory_order_acq_rel);
    atomic_store_explicit(&before->next, message, memory_order_release);
}

static void measure_queue(void) {
    enum { COUNT = 20000000 };
    struct message *head = malloc(sizeof *head);
    head->next = NULL;
    tail = head;
    double start = now_ns();
    for (int i = 0; i < COUNT; i++) {
        struct message *message = malloc(sizeof *message);
        message->value[0] = (uint64_t)i;
        push(message);
        struct message *next = atomic_load_explicit(&head->next, memory_order_acquire);
        keep(next);
        free(head);
        head = next;
    }
    print_each("floor.queue", start, COUNT);
    free(head);
}

static void measure_one_core(void) {
    enum { COUNT = 20000000, COPIES = 1000000, PAGES = 20000 };
    _Atomic int counter = 0;
    double start = now_ns();
    for (int i = 0; i < COUNT; i++)
        atomic_fetch_add(&counter, 1);
    print_each("floor.atomic", start, COUNT);
    start = now_ns();
    for (int i = 0; i < COUNT; i++) {
        void *block = malloc(64);
        keep(block);
        free(block);
    }
    print_each("floor.malloc", start, COUNT);
    measure_queue();
    static char from[16000], to[16000];
    start = now_ns();
    for (int i = 0; i < COPIES; i++) {
        memcpy(to, from, sizeof(to));
        keep(to);
    }
    print_each("floor.memcpy", start, COPIES);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map =
        mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        exit(1);
    start = now_ns();
    for (size_t i = 0; i < PAGES; i++)
        map[i * page] = 1;
    print_each("floor.page", start, PAGES);
    munmap(map, PAGES * page);
}

/* ---- two cores ------------------------------------------------------------------------------- */

static _Atomic int word;
static int rounds;

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static void *spin_and_clear(void *arg) {
    pin(1);
    for (int i = 0; i < rounds; i++) {
        while (atomic_load(&word) != 1)
            ;
        atomic_store(&word, 0);
    }
    return arg;
}

static void futex(int operation, int value) {
    syscall(SYS_futex, &word, operation, value, NULL, NULL, 0);
}

static void *sleep_and_clear(void *arg) {
    pin(1);
    for (int i = 0; i < rounds; i++) {
        while (atomic_load(&word) != 1)
            futex(FUTEX_WAIT_PRIVATE, 0);
        atomic_store(&word, 0);
        futex(FUTEX_WAKE_PRIVATE, 1);
    }
    return arg;
}

static void measure_two_cores(const char *name, void *(*other)(void *arg), int count, int sleeps) {
    pthread_t thread;
    rounds = count;
    word = 0;
    if (pthread_create(&thread, NULL, other, NULL) != 0)
        exit(1);
    double start = now_ns();
    for (int i = 0; i < count; i++) {
        atomic_store(&word, 1);
        if (sleeps)
            futex(FUTEX_WAKE_PRIVATE, 1);
        while (atomic_load(&word) != 0)
            if (sleeps)
                futex(FUTEX_WAIT_PRIVATE, 1);
    }
    print_each(name, start, 2 * (int64_t)count);
    pthread_join(thread, NULL);
}

int main(void) {
    pin(0);
    measure_switch();
    measure_one_core();
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
        measure_two_cores("floor.line", spin_and_clear, 1000000, 0);
        measure_two_cores("floor.wake", sleep_and_clear, 10000, 1);
    }
    return 0;
}
