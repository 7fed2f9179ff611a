/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small services of the kernel: futexes, memory maps, barriers, CPUs, random bits.
 * Threads: any.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/barrier.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/futex.h"
#include "os/random.h"
#include "os/vm.h"

/* Linux 6.13; older headers do not name it. */
enum { GUARD_INSTALL = 102, GUARD_REMOVE = 103 };

void cop__futex_wait(uint32_t *word, uint32_t expected, int64_t timeout_ns) {
#ifdef __SANITIZE_THREAD__
    /* ThreadSanitizer hands a signal on when the thread next does something that it sees. After a signal the
       kernel begins a wait without an end anew, but not one with an end: that one returns. */
    if (timeout_ns < 0)
        timeout_ns = INT64_C(3600000000000);
#endif
    struct timespec t = { .tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000 };
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? NULL : &t, NULL, 0);
}

void cop__futex_wake(uint32_t *word, int n) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

int cop__cpu_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* How a barrier is made; the best way that the kernel (or a sandbox) allows. */
static enum { BARRIER_BY_PROTECTION, BARRIER_GLOBAL, BARRIER_EXPEDITED } barrier_way;
bool cop__membarrier_is_quick;

void cop__membarrier_init(void) {
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (commands < 0)
        commands = 0;
    if ((commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0
        && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0)
        barrier_way = BARRIER_EXPEDITED;
    else if ((commands & MEMBARRIER_CMD_GLOBAL) != 0)
        barrier_way = BARRIER_GLOBAL;
    cop__membarrier_is_quick = barrier_way == BARRIER_EXPEDITED;
}

/* Taking a right away from a page in use interrupts every CPU that runs this program. That is so on
   x86-64; on aarch64 it is a broadcast without an interrupt, but every kernel there has
   membarrier. */
static void barrier_by_protection(void) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static uint32_t *page;
    size_t size = cop__vm_page_size();
    pthread_mutex_lock(&mutex);
    if (page == NULL)
        page = cop__vm_reserve(size);
    if (page != NULL && mprotect(page, size, PROT_READ | PROT_WRITE) == 0) {
        __atomic_fetch_add(page, 1, __ATOMIC_SEQ_CST);
        mprotect(page, size, PROT_READ);
    }
    pthread_mutex_unlock(&mutex);
}

void cop__membarrier(void) {
    if (barrier_way == BARRIER_EXPEDITED)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    else if (barrier_way == BARRIER_GLOBAL)
        syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
    else
        barrier_by_protection();
}

uint64_t cop__random_seed(void) {
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        bits = (uint64_t)cop__clock_realtime_ns() ^ (uint64_t)getpid() << 32;
    return bits;
}

void *cop__vm_reserve(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void cop__vm_release(void *addr, size_t bytes) { munmap(addr, bytes); }

bool cop__vm_guard(void *addr, size_t bytes) {
    /* A guard that splits no mapping, where the kernel has it. */
    return madvise(addr, bytes, GUARD_INSTALL) == 0 || mprotect(addr, bytes, PROT_NONE) == 0;
}

bool cop__vm_seal(void *addr, size_t bytes) { return madvise(addr, bytes, GUARD_INSTALL) == 0; }
bool cop__vm_unseal(void *addr, size_t bytes) { return madvise(addr, bytes, GUARD_REMOVE) == 0; }

void cop__vm_discard(void *addr, size_t bytes) { madvise(addr, bytes, MADV_DONTNEED); }

size_t cop__vm_page_size(void) {
    static size_t size;
    size_t known = __atomic_load_n(&size, __ATOMIC_RELAXED);
    if (known == 0) {
        known = (size_t)sysconf(_SC_PAGESIZE);
        __atomic_store_n(&size, known, __ATOMIC_RELAXED);
    }
    return known;
}
