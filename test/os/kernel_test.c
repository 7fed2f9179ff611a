/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small services of the kernel. What an old kernel or a sandbox refuses is tried in a child
 * with a seccomp filter that refuses it.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/barrier.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/futex.h"
#include "os/random.h"
#include "os/vm.h"
#include "tap.h"

/* ---- futex ------------------------------------------------------------------------------- */

enum { TURNS = 10000 };
static uint32_t turn;

/* Waits until it is its turn, takes it, and wakes the other. */
static void *take_turns(void *arg) {
    uint32_t mine = *(uint32_t *)arg;
    for (int i = 0; i < TURNS; i++) {
        uint32_t now;
        while ((now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) % 2 != mine)
            cop__futex_wait(&turn, now, -1);
        __atomic_store_n(&turn, now + 1, __ATOMIC_RELEASE);
        cop__futex_wake(&turn, 1);
    }
    return NULL;
}

static void futexes(void) {
    static uint32_t sides[2] = { 0, 1 };
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, take_turns, &sides[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ok(turn == 2 * TURNS, "two threads wake each other 10,000 times");
    uint32_t word = 5;
    cop__futex_wait(&word, 4, -1);
    ok(true, "who expects another value does not sleep");
    int64_t before = cop__clock_monotonic_ns();
    cop__futex_wait(&word, 5, 2000000);
    ok(cop__clock_monotonic_ns() - before >= 1000000, "nobody wakes: the time runs out");
}

/* ---- clock, CPUs, random ----------------------------------------------------------------- */

static void clocks(void) {
    bool forward = true;
    int64_t last = cop__clock_monotonic_ns();
    for (int i = 0; i < 10000; i++) {
        int64_t now = cop__clock_monotonic_ns();
        forward = forward && now >= last;
        last = now;
    }
    ok(forward, "monotonic time does not go back");
    ok(cop__clock_realtime_ns() / 1000000000 - (int64_t)time(NULL) <= 1, "the wall clock agrees");
}

static void cpus(void) {
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    ok(cop__cpu_count() == CPU_COUNT(&all), "the CPUs that we may use are counted");
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
    ok(cop__cpu_count() == 1, "one is left after a change of affinity");
    sched_setaffinity(0, sizeof all, &all);
}

static void random_bits(void) {
    ok(cop__random_seed() != cop__random_seed(), "seeds differ");
    uint64_t a[4], b[4], ones = 0;
    cop__random_init(a, 42);
    cop__random_init(b, 42);
    bool same = true;
    for (int i = 0; i < 10000; i++) {
        uint64_t x = cop__random_next(a);
        same = same && x == cop__random_next(b);
        ones += (uint64_t)__builtin_popcountll(x);
    }
    ok(same, "the same seed gives the same numbers");
    ok(ones > 316000 && ones < 324000, "half of their bits are ones");
}

/* ---- memory ------------------------------------------------------------------------------ */

static void maps(void) {
    size_t page = cop__vm_page_size();
    char *map = cop__vm_reserve(1000 * page);
    ok(map != NULL && map[0] == 0 && map[999 * page] == 0, "reserved memory reads as zero");
    memset(map, 1, 3 * page);
    cop__vm_discard(map, 2 * page);
    ok(map[0] == 0 && map[2 * page - 1] == 0 && map[2 * page] == 1,
       "discarded pages are zero again");
    cop__vm_release(map, 1000 * page);
}

/* Refuses a system call, or only those with this third argument. */
static bool refuse(int number, uint32_t third, bool any) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, third, 0, (uint8_t)(any ? 0 : 1)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { .len = sizeof program / sizeof *program, .filter = program };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
           && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/* Runs it in a child: its exit status, or 1000 + the signal that ended it. */
static int in_child(int (*run)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(run());
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

enum { NO_FILTER = 77 };

static int touch_guard(void) {
    signal(SIGSEGV, SIG_DFL);
    size_t page = cop__vm_page_size();
    char *map = cop__vm_reserve(3 * page);
    if (map == NULL || !cop__vm_guard(map + page, page))
        return 1;
    map[0] = map[2 * page] = 1; /* its neighbours are not guarded */
    *(volatile char *)(map + page) = 1;
    return 2;
}

static int touch_guard_of_old_kernel(void) {
    return refuse(SYS_madvise, 102, false) ? touch_guard() : NO_FILTER;
}

static void guards(void) {
    ok(in_child(touch_guard) == 1000 + SIGSEGV, "a guard is a SIGSEGV");
    int old = in_child(touch_guard_of_old_kernel);
    if (old == NO_FILTER)
        skip("a guard of an old kernel too", "no seccomp here");
    else
        ok(old == 1000 + SIGSEGV, "a guard of an old kernel too");
}

/* ---- barrier ----------------------------------------------------------------------------- */

static void *many_barriers(void *unused) {
    for (int i = 0; i < 2000; i++)
        cop__membarrier();
    return unused;
}

static int barriers_of_many_threads(void) {
    pthread_t threads[4];
    cop__membarrier_init();
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, many_barriers, NULL) != 0)
            return 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

static int barriers_in_a_sandbox(void) {
    return refuse(SYS_membarrier, 0, true) ? barriers_of_many_threads() : NO_FILTER;
}

/* Dekker's mutual exclusion with the barrier on one side only: both may never see the other absent.
   The rounds are in step by `round`, so that the two meet. */
enum { ROUNDS = 2000 };
static uint32_t round_of_fast, round_of_slow, fast_wants, slow_wants, fast_saw, slow_saw;

static void *fast_side(void *unused) {
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        while (__atomic_load_n(&round_of_slow, __ATOMIC_ACQUIRE) != i)
            sched_yield();
        __atomic_store_n(&fast_wants, i, __ATOMIC_RELAXED);
        __asm__ volatile("" ::: "memory"); /* the compiler's order only: no barrier here */
        fast_saw = __atomic_load_n(&slow_wants, __ATOMIC_RELAXED);
        __atomic_store_n(&round_of_fast, i, __ATOMIC_RELEASE);
    }
    return unused;
}

static void barriers(void) {
    ok(in_child(barriers_of_many_threads) == 0, "four threads issue barriers at once");
    int sandbox = in_child(barriers_in_a_sandbox);
    if (sandbox == NO_FILTER)
        skip("and where membarrier is refused", "no seccomp here");
    else
        ok(sandbox == 0, "and where membarrier is refused");
    cop__membarrier_init();
    pthread_t fast;
    pthread_create(&fast, NULL, fast_side, NULL);
    bool good = true;
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        __atomic_store_n(&round_of_slow, i, __ATOMIC_RELEASE);
        __atomic_store_n(&slow_wants, i, __ATOMIC_RELAXED);
        cop__membarrier();
        slow_saw = __atomic_load_n(&fast_wants, __ATOMIC_RELAXED);
        while (__atomic_load_n(&round_of_fast, __ATOMIC_ACQUIRE) != i)
            sched_yield();
        good = good && (fast_saw == i || slow_saw == i);
    }
    pthread_join(fast, NULL);
    ok(good, "with a barrier on one side only, one of two sees the other");
}

int main(void) {
    puts("1..17");
    futexes();
    clocks();
    cpus();
    random_bits();
    maps();
    guards();
    barriers();
    return 0;
}
