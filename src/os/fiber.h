/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_FIBER_H
#define COP__OS_FIBER_H

/*
 * Telling the sanitizers about stacks: which one code runs on, when it changes, and when frames are
 * abandoned by a jump. In other builds all of this is nothing.
 *
 * A switch is: cop__fiber_before_switch(from, to); cop__context_switch(...); and, as the first thing
 * on the other side, cop__fiber_after_switch(self).
 */
#include <stddef.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COP__ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define COP__ASAN 1
#endif

/* COP__FIBERS_ARE_WATCHED: somebody keeps records of each stack's memory, so it must stay in place. */
#if defined(__SANITIZE_THREAD__)

enum { COP__FIBERS_ARE_WATCHED = 1 };
#include <sanitizer/tsan_interface.h>
struct cop__fiber {
    void *tsan;
};
static inline void cop__fiber_init_thread(struct cop__fiber *f) {
    f->tsan = __tsan_get_current_fiber();
}
static inline void cop__fiber_create(struct cop__fiber *f, void *low, size_t size) {
    (void)low;
    (void)size;
    f->tsan = __tsan_create_fiber(0);
}
static inline void cop__fiber_destroy(struct cop__fiber *f) { __tsan_destroy_fiber(f->tsan); }
static inline void cop__fiber_restart(struct cop__fiber *f) {
    __tsan_destroy_fiber(f->tsan);
    f->tsan = __tsan_create_fiber(0);
}
static inline void cop__fiber_before_switch(struct cop__fiber *from, struct cop__fiber *to) {
    (void)from;
    __tsan_switch_to_fiber(to->tsan, 0);
}
static inline void cop__fiber_after_switch(struct cop__fiber *self) { (void)self; }
static inline void cop__fiber_abandon_frames(void *low, uintptr_t sp) {
    (void)low;
    (void)sp;
}

#elif defined(COP__ASAN)

enum { COP__FIBERS_ARE_WATCHED = 1 };

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
struct cop__fiber {
    void *low;
    size_t size;
    void *fake;
};
/* The calling thread's own stack. */
static inline void cop__fiber_init_thread(struct cop__fiber *f) {
    pthread_attr_t attr;
    f->low = NULL;
    f->size = 0;
    f->fake = NULL;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &f->low, &f->size);
        pthread_attr_destroy(&attr);
    }
}
static inline void cop__fiber_create(struct cop__fiber *f, void *low, size_t size) {
    f->low = low;
    f->size = size;
    f->fake = NULL;
}
static inline void cop__fiber_destroy(struct cop__fiber *f) {
    __asan_unpoison_memory_region(f->low, f->size);
}
/* A stack that is used anew: whatever abandoned frames poisoned is clean again. */
static inline void cop__fiber_restart(struct cop__fiber *f) {
    __asan_unpoison_memory_region(f->low, f->size);
    f->fake = NULL;
}
static inline void cop__fiber_before_switch(struct cop__fiber *from, struct cop__fiber *to) {
    __sanitizer_start_switch_fiber(&from->fake, to->low, to->size);
}
static inline void cop__fiber_after_switch(struct cop__fiber *self) {
    __sanitizer_finish_switch_fiber(self->fake, NULL, NULL);
}
/* The frames in [low, sp) are left by a jump. */
static inline void cop__fiber_abandon_frames(void *low, uintptr_t sp) {
    if (low != NULL && sp > (uintptr_t)low)
        __asan_unpoison_memory_region(low, sp - (uintptr_t)low);
}

#else

enum { COP__FIBERS_ARE_WATCHED = 0 };

struct cop__fiber {
    char unused;
};
static inline void cop__fiber_init_thread(struct cop__fiber *f) { (void)f; }
static inline void cop__fiber_create(struct cop__fiber *f, void *low, size_t size) {
    (void)f;
    (void)low;
    (void)size;
}
static inline void cop__fiber_destroy(struct cop__fiber *f) { (void)f; }
static inline void cop__fiber_restart(struct cop__fiber *f) { (void)f; }
static inline void cop__fiber_before_switch(struct cop__fiber *from, struct cop__fiber *to) {
    (void)from;
    (void)to;
}
static inline void cop__fiber_after_switch(struct cop__fiber *self) { (void)self; }
static inline void cop__fiber_abandon_frames(void *low, uintptr_t sp) {
    (void)low;
    (void)sp;
}

#endif
#endif
