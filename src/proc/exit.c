/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exits, errors and throws; COP_TRY; what a process owns; faults.
 *
 * Raising jumps: to the innermost COP_TRY of the process, or to the loop frame at the base of its
 * stack. A fault does the same out of the signal handler, which only notes what happened in the
 * worker (no allocation, no lock); terms are built by whoever catches it (cop__try_caught or the
 * loop). A fault inside the run-time (in_runtime), inside the allocator, or on a thread that runs no
 * process is not isolated: the program ends with a core file.
 *
 * Owned things (cop_alloc, cop_own, cop_defer) stand in one list, youngest first, and are released in
 * that order when the process ends.
 */
#include <stdarg.h>

#include "os/symbol.h"
#include "proc/proc.h"
#include "term/match_spec.h"

enum { TRY_PLAIN = 1, TRY_TRACED, TRY_FAULT };

/* ---- stack traces --------------------------------------------------------------------------------- */

/* {:c, function, 0, [file: 'name.c', line: n]}, looked up outside of any handler. */
static cop_term frame_term(cop_ctx *ctx, uintptr_t pc) {
    struct cop__symbol symbol;
    memset(&symbol, 0, sizeof symbol);
    cop__symbol_of(pc, &symbol);
    cop_atom function;
    if (symbol.function[0] == '\0'
        || !cop_atom_try(symbol.function, strlen(symbol.function), &function)) {
        char name[32];
        snprintf(name, sizeof name, "0x%llx", (unsigned long long)pc);
        function = cop_atom_new(name);
    }
    cop_term location = COP_NIL;
    if (symbol.file[0] != '\0')
        location = cop_list(ctx, cop_tuple(ctx, cop_a(file), cop_charlist(ctx, symbol.file)),
                            cop_tuple(ctx, cop_a(line), (int64_t)symbol.line));
    return cop_tuple(ctx, cop_a(c), function, 0, location);
}

cop_term cop__stacktrace(cop_ctx *p, const uintptr_t *pcs, size_t count) {
    cop_term frames[16];
    size_t n = 0;
    for (size_t i = 0; i < count && n < 16; i++) {
        /* A return address is one past its call; the first pc of a fault is the place itself. */
        frames[n] = frame_term(p, i == 0 ? pcs[0] : pcs[i] - 1);
        const cop_term *e = cop__tuple_elems(frames[n], 4);
        const char *name = cop_atom_name((cop_atom){ e[1] }, NULL);
        if (strcmp(name, "cop__turn") == 0 || strcmp(name, "run_entry") == 0
            || strcmp(name, "call_message") == 0 || strcmp(name, "turn_callbacks") == 0
            || strcmp(name, "cop__loop") == 0)
            break; /* below this are the run-time's own frames */
        n++;
    }
    return cop_list_n(p, n, frames);
}

static void note_frames(cop_ctx *p, uintptr_t pc, uintptr_t fp) {
    struct cop__worker *w = p->worker;
    w->fault_depth = 0;
    if (p->stack != NULL && p->kind == KIND_PROCESS)
        /* pc is a return address: of a call that never returns it may be in the next function. */
        w->fault_depth = cop__frames_walk(pc - 1, fp, (uintptr_t)p->stack->low, (uintptr_t)p->stack,
                                          w->fault_pcs, 24);
}

static const char *signal_name(int signo) {
    switch (signo) {
    case SIGSEGV:
        return "sigsegv";
    case SIGBUS:
        return "sigbus";
    case SIGFPE:
        return "sigfpe";
    case SIGILL:
        return "sigill";
    case SIGABRT:
        return "sigabrt";
    default:
        return "sigtrap";
    }
}

static cop_term fault_term(cop_ctx *p, const struct cop__worker *w) {
    cop_atom name = cop_atom_new(signal_name(w->fault.signo));
    if (w->fault.signo == SIGABRT)
        return cop_tuple(p, name, 0);
    return cop_tuple(p, name, (uint64_t)(uintptr_t)w->fault.address);
}

cop_term cop__fault_reason(cop_ctx *p, struct cop__worker *w) {
    cop_term what = fault_term(p, w);
    return cop_tuple(p, what, cop__stacktrace(p, w->fault_pcs, w->fault_depth));
}

/* ---- raising ---------------------------------------------------------------------------------------- */

static _Noreturn void exit_with(cop_ctx *p, cop_term reason) {
    if (p->kind == KIND_PORT)
        cop__panic(__FILE__, __LINE__, "an error was raised in a port");
    struct cop__extra *extra = cop__extra_of(p);
    if (!p->pending_exit || extra->exit_env == NULL)
        extra->exit_term = reason;
    p->pending_exit = true;
    if (p->kind == KIND_HOST) {
        cop__host_end(p, reason);
        pthread_exit(NULL);
    }
    cop__back(p, BACK_EXIT);
}

static _Noreturn void jump_to_try(cop_ctx *p, int how) {
    struct cop__try *t = p->tries;
    t->owner = (void *)(intptr_t)how;
    p->tries = t->outer;
    cop__heap_drop_holds(&p->heap);
    cop__leave(p);
    if (p->kind == KIND_PROCESS)
        cop__fiber_abandon_frames(p->stack->low, cop__jump_sp(t->regs));
    cop__jump_to(t->regs, 1);
}

bool cop__wants_raised(const cop_ctx *p) {
    return p->kind == KIND_PROCESS && p->life == LIFE_CALLBACK && !p->in_raised
           && p->does.callbacks->raised != NULL;
}

static _Noreturn void jump_to_raised(cop_ctx *p, const cop_caught *caught, int how) {
    struct cop__extra *extra = cop__extra_of(p);
    extra->raised = *caught;
    extra->raised_how = how;
    cop__back(p, BACK_RAISED);
}

_Noreturn void cop__host_exit(cop_ctx *p) {
    cop_term reason = p->extra->exit_term;
    if (p->tries != NULL) { /* raised in the call it is in */
        p->pending_exit = false;
        p->tries->caught =
            (cop_caught){ .class = COP_CLASS_EXIT, .reason = reason, .stacktrace = COP_NIL };
        jump_to_try(p, TRY_PLAIN);
    }
    cop__host_end(p, reason);
    pthread_exit(NULL);
}

/* Also for errors: a log event as Erlang's emulator makes one for a process that is not of proc_lib. */
void cop__report_error(cop_ctx *p, cop_term reason) {
    cop_term logger;
    if (!cop__log_is_heard(&logger))
        return;
    cop_term meta = cop_map(p, cop_a(error_logger),
                            cop_map(p, cop_a(tag), cop_a(error), cop_a(emulator), cop_bool(true)));
    cop_term event =
        cop_tuple(p, cop_a(format), cop_charlist(p, "Error in process ~p with exit value:~n~p~n"),
                  cop_list(p, p->pid, reason));
    cop__log_from_end(p, logger, event, meta);
    cop__enter(p);
}

static _Noreturn void raise_class(cop_ctx *p, cop_class class, cop_term reason, uintptr_t pc,
                                  uintptr_t fp) {
    cop__enter(p);
    note_frames(p, pc, fp);
    if (p->tries != NULL) {
        p->tries->caught = (cop_caught){ .class = class, .reason = reason, .stacktrace = COP_NIL };
        jump_to_try(p, class == COP_CLASS_ERROR ? TRY_TRACED : TRY_PLAIN);
    }
    if (cop__wants_raised(p)) {
        cop_caught caught = { .class = class, .reason = reason, .stacktrace = COP_NIL };
        jump_to_raised(p, &caught, class == COP_CLASS_ERROR ? TRY_TRACED : TRY_PLAIN);
    }
    if (class != COP_CLASS_EXIT) {
        cop_term trace = cop__stacktrace(p, p->worker->fault_pcs, p->worker->fault_depth);
        if (class == COP_CLASS_THROW)
            reason = cop_tuple(p, cop_a(nocatch), reason);
        reason = cop_tuple(p, reason, trace);
        if (p->kind == KIND_PROCESS)
            cop__report_error(p, reason);
    }
    exit_with(p, reason);
}

_Noreturn __attribute__((noinline)) void cop__exit(cop_ctx *ctx, cop_term reason) {
    raise_class(ctx, COP_CLASS_EXIT, reason, (uintptr_t)__builtin_return_address(0),
                *(uintptr_t *)__builtin_frame_address(0));
}

_Noreturn __attribute__((noinline)) void cop__error(cop_ctx *ctx, cop_term reason) {
    raise_class(ctx, COP_CLASS_ERROR, reason, (uintptr_t)__builtin_return_address(0),
                *(uintptr_t *)__builtin_frame_address(0));
}

_Noreturn __attribute__((noinline)) void cop__throw(cop_ctx *ctx, cop_term value) {
    raise_class(ctx, COP_CLASS_THROW, value, (uintptr_t)__builtin_return_address(0),
                *(uintptr_t *)__builtin_frame_address(0));
}

_Noreturn __attribute__((noinline)) void cop_raise(cop_ctx *ctx, const char *exception,
                                                   const char *format, ...) {
    char text[512], module[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(module, sizeof module, "Elixir.%s", exception);
    cop_term error =
        cop_map(ctx, cop_as("__struct__"), cop_atom_new(module), cop_as("__exception__"),
                cop_bool(true), cop_a(message), (const char *)text);
    raise_class(ctx, COP_CLASS_ERROR, error, (uintptr_t)__builtin_return_address(0),
                *(uintptr_t *)__builtin_frame_address(0));
}

void cop__try_push(cop_ctx *ctx, struct cop__try *t) {
    t->outer = ctx->tries;
    ctx->tries = t;
}

void cop__try_pop(cop_ctx *ctx, struct cop__try *t) {
    COP_ASSERT(ctx->tries == t); /* the block was left by its end */
    ctx->tries = t->outer;
}

/* What the jump left to do, where there is room and time for it. */
static void complete(cop_ctx *ctx, cop_caught *caught, int how) {
    struct cop__worker *w = ctx->worker;
    if (how == TRY_FAULT)
        *caught = (cop_caught){ .class = COP_CLASS_ERROR,
                                .reason = fault_term(ctx, w),
                                .is_fault = true };
    if (how == TRY_FAULT || how == TRY_TRACED)
        caught->stacktrace = cop__stacktrace(ctx, w->fault_pcs, w->fault_depth);
}

const cop_caught *cop__try_caught(cop_ctx *ctx, struct cop__try *t) {
    complete(ctx, &t->caught, (int)(intptr_t)t->owner);
    return &t->caught;
}

cop_term cop__call_raised(cop_ctx *p, bool is_fault) {
    struct cop__extra *extra = cop__extra_of(p);
    p->in_raised = true;
    p->idle = false;
    cop__leave(p);
    complete(p, &extra->raised, is_fault ? TRY_FAULT : extra->raised_how);
    p->does.callbacks->raised(p, p->state, &extra->raised);
    cop__enter(p);
    cop__check_exit(p);
    cop_term reason = cop_caught_reason(p, &extra->raised);
    if (extra->raised.class != COP_CLASS_EXIT)
        cop__report_error(p, reason);
    return reason;
}

cop_term cop_stacktrace(cop_ctx *ctx) {
    cop__enter(ctx);
    cop_term trace = cop__stacktrace(ctx, ctx->worker->fault_pcs, ctx->worker->fault_depth);
    cop__leave(ctx);
    return trace;
}

cop_term cop_caught_reason(cop_ctx *ctx, const cop_caught *caught) {
    switch (caught->class) {
    case COP_CLASS_EXIT:
        return caught->reason;
    case COP_CLASS_ERROR:
        return cop_tuple(ctx, caught->reason, caught->stacktrace);
    case COP_CLASS_THROW:
        break;
    }
    return cop_tuple(ctx, cop_tuple(ctx, cop_a(nocatch), caught->reason), caught->stacktrace);
}

_Noreturn void cop_rethrow(cop_ctx *ctx, const cop_caught *caught) {
    cop__enter(ctx);
    ctx->worker->fault_depth = 0; /* what is noted there may be of another raise by now */
    if (ctx->tries != NULL) {
        ctx->tries->caught = *caught;
        jump_to_try(ctx, TRY_PLAIN);
    }
    if (cop__wants_raised(ctx))
        jump_to_raised(ctx, caught, TRY_PLAIN);
    cop_term reason = cop_caught_reason(ctx, caught);
    if (caught->class != COP_CLASS_EXIT && ctx->kind == KIND_PROCESS)
        cop__report_error(ctx, reason);
    exit_with(ctx, reason);
}

static void raise_from_terms(cop_ctx *ctx, cop_term reason) { cop__error(ctx, reason); }

/* An error whose stacktrace begins with the call that could not be made. */
static void raise_undef(cop_ctx *ctx, cop_term frame) {
    cop__enter(ctx);
    note_frames(ctx, (uintptr_t)__builtin_return_address(0),
                *(uintptr_t *)__builtin_frame_address(0));
    cop_caught caught = { .class = COP_CLASS_ERROR,
                          .reason = cop_a(undef).t,
                          .stacktrace = cop_cons(ctx, frame,
                                                 cop__stacktrace(ctx, ctx->worker->fault_pcs,
                                                                 ctx->worker->fault_depth)) };
    cop_rethrow(ctx, &caught);
}

/* ---- faults ------------------------------------------------------------------------------------------- */

static bool on_fault(const struct cop__fault *fault) {
    struct cop__worker *w = cop__worker_self();
    if (w == NULL || __atomic_load_n(&w->in_runtime, __ATOMIC_RELAXED) || cop__node.fault_aborts)
        return false;
    cop_ctx *p = w->current;
    if (p == NULL || p->kind == KIND_PORT || (p->kind == KIND_HOST && p->tries == NULL))
        return false;
    if (cop__alloc_contains(fault->pc))
        return false; /* the allocator's own structures are broken */
    cop__set_in_runtime(w, 1);
    w->fault = *fault;
    note_frames(p, fault->pc, fault->fp);
    struct cop__try *t = p->tries;
    if (t != NULL) {
        t->owner = (void *)(intptr_t)TRY_FAULT;
        p->tries = t->outer;
        cop__heap_drop_holds(&p->heap);
        cop__set_in_runtime(w, 0);
        if (p->kind == KIND_PROCESS)
            cop__fiber_abandon_frames(p->stack->low, cop__jump_sp(t->regs));
        cop__jump_to(t->regs, 1);
    }
    cop__fiber_abandon_frames(p->stack->low, cop__jump_sp(p->stack->base_jump));
    cop__jump_to(p->stack->base_jump, BACK_FAULT);
}

/* A call into the run-time with too little stack left: the same as running into the guard page. */
_Noreturn __attribute__((noinline)) void cop__stack_exhausted(cop_ctx *p) {
    struct cop__worker *w = p->worker;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    w->fault = (struct cop__fault){ .signo = SIGSEGV,
                                    .address = (void *)here,
                                    .pc = (uintptr_t)__builtin_return_address(0),
                                    .fp = *(uintptr_t *)here };
    note_frames(p, w->fault.pc, w->fault.fp);
    if (p->tries != NULL)
        jump_to_try(p, TRY_FAULT);
    cop__back(p, BACK_FAULT);
}

static cop_term self_for_terms(cop_ctx *ctx) { return ctx->pid; }

void cop__fault_init(void) {
    cop__self_hook = self_for_terms;
    cop__raise_hook = raise_from_terms;
    cop__undef_hook = raise_undef;
    cop__fault_install(on_fault);
}

/* ---- owned things --------------------------------------------------------------------------------------- */

static struct cop__owned *owned_new(cop_ctx *p, size_t size) {
    struct cop__extra *extra = cop__extra_of(p);
    struct cop__owned *o = cop__calloc(1, sizeof *o + size);
    o->size = size;
    o->next = extra->owned;
    if (o->next != NULL)
        o->next->prev = o;
    extra->owned = o;
    extra->owned_bytes += sizeof *o + size;
    return o;
}

static void owned_unlink(cop_ctx *p, struct cop__owned *o) {
    if (o->next != NULL)
        o->next->prev = o->prev;
    if (o->prev != NULL)
        o->prev->next = o->next;
    else
        p->extra->owned = o->next;
    p->extra->owned_bytes -= sizeof *o + o->size;
}

void *cop_alloc(cop_ctx *ctx, size_t size) {
    if (size > (size_t)1 << 40)
        cop__error(ctx, cop_a(system_limit).t);
    cop__enter(ctx);
    if (cop__node.sim && cop__sim_no_memory(ctx))
        cop__error(ctx, cop_a(system_limit).t);
    struct cop__owned *o = owned_new(ctx, size);
    cop__leave(ctx);
    return o + 1;
}

void *cop_realloc(cop_ctx *ctx, void *block, size_t size) {
    if (block == NULL)
        return cop_alloc(ctx, size);
    struct cop__owned *old = (struct cop__owned *)block - 1;
    void *fresh = cop_alloc(ctx, size);
    memcpy(fresh, block, old->size < size ? old->size : size);
    cop_free(ctx, block);
    return fresh;
}

void cop_free(cop_ctx *ctx, void *block) {
    if (block == NULL)
        return;
    cop__enter(ctx);
    struct cop__owned *o = (struct cop__owned *)block - 1;
    owned_unlink(ctx, o);
    cop__free(o);
    cop__leave(ctx);
}

void *cop_own(cop_ctx *ctx, void *object, void (*release)(void *object)) {
    if (object == NULL)
        return NULL;
    cop__enter_holding(ctx);
    struct cop__owned *o = owned_new(ctx, 0);
    o->object = object;
    o->release = release;
    cop__enter_held(ctx);
    cop__leave(ctx);
    return object;
}

bool cop__owned_forget(cop_ctx *p, const void *object) {
    struct cop__owned *o = p->extra != NULL ? p->extra->owned : NULL;
    while (o != NULL && (o->object != object || o->release == NULL))
        o = o->next;
    if (o == NULL)
        return false;
    owned_unlink(p, o);
    cop__free(o);
    return true;
}

bool cop_disown(cop_ctx *ctx, void *object) {
    cop__enter(ctx);
    bool found = cop__owned_forget(ctx, object);
    cop__leave(ctx);
    return found;
}

void cop_defer(cop_ctx *ctx, void (*function)(cop_ctx *ctx, void *arg), void *arg) {
    cop__enter(ctx);
    struct cop__owned *o = owned_new(ctx, 0);
    o->object = arg;
    o->defer = function;
    cop__leave(ctx);
}

/* One deferred function or release; what it raises ends only itself. */
static void release_one(cop_ctx *p, struct cop__owned *o) {
    if (o->release == NULL && (o->defer == NULL || p->zombie))
        return;
    if (p->kind == KIND_PORT) {
        if (o->release != NULL)
            o->release(o->object);
        return;
    }
    cop__set_in_runtime(p->worker, 0);
    COP_TRY(p) {
        if (o->release != NULL)
            o->release(o->object);
        else
            o->defer(p, o->object);
    }
    COP_CATCH(caught) { (void)caught; }
    cop__enter(p);
}

void cop__owned_release(cop_ctx *p) {
    while (p->extra != NULL && p->extra->owned != NULL) {
        struct cop__owned *o = p->extra->owned;
        owned_unlink(p, o);
        release_one(p, o);
        cop__free(o);
    }
}

void cop__scope_enter(cop_ctx *ctx, struct cop__scope *scope) {
    _Static_assert(sizeof(struct cop__heap_mark) <= sizeof scope->mark, "a mark fits its scope");
    struct cop__heap_mark mark = cop__heap_mark(&ctx->heap);
    memcpy(scope->mark, &mark, sizeof mark);
    scope->ctx = ctx;
    scope->dictionary = ctx->dictionary.w;
}

/* *keep (NULL: nothing) outlives the scope too. */
void cop__scope_leave_with(struct cop__scope *scope, cop_term *keep) {
    struct cop__heap_mark mark;
    memcpy(&mark, scope->mark, sizeof mark);
    cop_ctx *p = scope->ctx;
    cop__enter(p);
    /* What was put into the dictionary meanwhile outlives the scope: it moves out first. */
    struct cop__env *dictionary = NULL, *kept = NULL;
    if (p->dictionary.w != scope->dictionary && !cop_is_none(p->dictionary)) {
        dictionary = cop__env_new(SIG_MESSAGE, p->pid, p->pid, p->dictionary);
        p->dictionary = dictionary->term;
    }
    if (keep != NULL) {
        kept = cop__env_new(SIG_MESSAGE, p->pid, p->pid, *keep);
        *keep = kept->term;
    }
    cop__heap_release(&p->heap, &mark);
    if (dictionary != NULL)
        cop__heap_adopt(&p->heap, &dictionary->frag);
    if (kept != NULL)
        cop__heap_adopt(&p->heap, &kept->frag);
    cop__leave(p);
}

/* Was nothing done since but to build small boxes? */
static inline bool is_simple(const cop_ctx *p, const struct cop__scope *scope) {
    const struct cop__young *y = p->heap.young;
    return (uintptr_t)y->fragments == scope->mark[offsetof(struct cop__heap_mark, fragments) / 8]
           && (uintptr_t)y->blocks == scope->mark[offsetof(struct cop__heap_mark, young) / 8]
           && (uintptr_t)y->off == scope->mark[offsetof(struct cop__heap_mark, young_off) / 8];
}

static __attribute__((noinline)) void scope_release(cop_ctx *p, const struct cop__scope *scope) {
    struct cop__heap_mark mark;
    memcpy(&mark, scope->mark, sizeof mark);
    cop__enter(p);
    cop__heap_release_more(&p->heap, &mark);
    cop__leave(p);
}

/* What is simple need not come into the run-time, unless somebody waits for that. */
void cop__scope_leave(struct cop__scope *scope) {
    cop_ctx *p = scope->ctx;
    if (__builtin_expect(p->dictionary.w != scope->dictionary, 0))
        cop__scope_leave_with(scope, NULL);
    else if (is_simple(p, scope) && __atomic_load_n(&p->worker->attention, __ATOMIC_RELAXED) == 0)
        p->heap.hp = (uint64_t *)(uintptr_t)scope->mark[offsetof(struct cop__heap_mark, hp) / 8];
    else
        scope_release(p, scope);
}
