/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults are exits: each kind ends the process it happens in, with the signal's name and the place
 * in its reason, and nobody else notices but those who asked to.
 */
#include <assert.h>
#include <coppice.h>
#include <coppice/test.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile int zero;

static void null_write(cop_ctx *ctx, cop_term arg) { *(volatile int *)(uintptr_t)zero = 1; }
static void null_read(cop_ctx *ctx, cop_term arg) { zero = *(volatile int *)(uintptr_t)zero; }
static void wild_write(cop_ctx *ctx, cop_term arg) {
    *(volatile int *)(uintptr_t)(UINT64_C(0x123456789000) + (uint64_t)zero) = 1;
}
static void noncanonical_write(cop_ctx *ctx, cop_term arg) {
    *(volatile int *)(uintptr_t)(UINT64_C(0xdead000000000000) + (uint64_t)zero) = 1;
}
/* A store that wants 16-byte alignment, to an address that has none. */
static void misaligned_write(cop_ctx *ctx, cop_term arg) {
    typedef int four __attribute__((vector_size(16)));
    static char bytes[64];
    char *volatile at = bytes + 1;
    *(volatile four *)(void *)at = (four){ zero, 1, 2, 3 };
}
static void read_only_write(cop_ctx *ctx, cop_term arg) {
    char *text = (char *)(uintptr_t) "a literal";
    *(volatile char *)text = 'b';
}
static void null_call(cop_ctx *ctx, cop_term arg) {
    void (*volatile function)(void) = (void (*)(void))(uintptr_t)zero;
    function();
}
static void wild_call(cop_ctx *ctx, cop_term arg) {
    void (*volatile function)(void) = (void (*)(void))(uintptr_t)(0x10 + zero);
    function();
}
__attribute__((noinline)) static int deeper(int n) {
    volatile char frame[512];
    frame[0] = (char)n;
    return n < 0 ? 0 : deeper(n + 1) + frame[0];
}
static void stack_overflow(cop_ctx *ctx, cop_term arg) { zero = deeper(1) == 12345; }
__attribute__((noinline)) static int deeper_by_calls(cop_ctx *ctx, int n) {
    volatile char frame[64];
    frame[0] = (char)n;
    cop_send(ctx, cop_self(ctx), n);
    return n < 0 ? 0 : deeper_by_calls(ctx, n + 1) + frame[0];
}
static void overflow_in_calls(cop_ctx *ctx, cop_term arg) {
    zero = deeper_by_calls(ctx, 1) == 12345;
}
static void call_abort(cop_ctx *ctx, cop_term arg) { abort(); }
static void failed_assert(cop_ctx *ctx, cop_term arg) { assert(zero == 1); }
static void divide(cop_ctx *ctx, cop_term arg) {
    volatile int one = 1;
    zero = one / zero;
}
static void illegal(cop_ctx *ctx, cop_term arg) { __builtin_trap(); }
static void raise_fpe(cop_ctx *ctx, cop_term arg) { raise(SIGFPE); }
static void holding_memory(cop_ctx *ctx, cop_term arg) {
    char *block = cop_alloc(ctx, 100000);
    memset(block, 1, 100000);
    null_write(ctx, arg);
}
static void after_a_wait(cop_ctx *ctx, cop_term arg) {
    cop_process_sleep(ctx, 1);
    null_write(ctx, arg);
}
static void in_strlen(cop_ctx *ctx, cop_term arg) {
    const char *volatile text = (const char *)(uintptr_t)(8 + zero);
    zero = strlen(text) == 12345;
}
static void in_memcpy(cop_ctx *ctx, cop_term arg) {
    char *volatile to = (char *)(uintptr_t)(16 + zero);
    memcpy(to, "0123456789abcdef0123456789abcdef", 32);
}
static void holding_terms(cop_ctx *ctx, cop_term arg) {
    for (int i = 0; i < 100; i++)
        cop_list(ctx, i, "some words", cop_tuple(ctx, i));
    null_write(ctx, arg);
}
static void linked_child(cop_ctx *ctx, cop_term arg) {
    cop_spawn_link(ctx, null_write, arg);
    cop_process_sleep(ctx, COP_INFINITY);
}
static void in_a_deferred(cop_ctx *ctx, void *arg) { null_write(ctx, COP_NIL); }
static void deferred_fault(cop_ctx *ctx, cop_term arg) {
    cop_defer(ctx, in_a_deferred, NULL);
    cop_exit(ctx, cop_a(still_told));
}
static void fault_message(cop_ctx *ctx, void *state, cop_term message) { null_write(ctx, message); }
static void fault_timeout(cop_ctx *ctx, void *state) { null_write(ctx, COP_NIL); }
static const cop_callbacks faulty = { .name = "faulty",
                                      .message = fault_message,
                                      .timeout = fault_timeout };
static void in_a_timeout_callback(cop_ctx *ctx, cop_term arg) {
    cop_process_idle_timeout(ctx, 1);
    cop_become(ctx, &faulty, NULL);
}
static void in_a_callback(cop_ctx *ctx, cop_term arg) {
    cop_send(ctx, cop_self(ctx), 1);
    cop_become(ctx, &faulty, NULL);
}

static const struct {
    cop_entry entry;
    const char *reason;
} kinds[] = {
    { null_write, "{{:sigsegv, 0}, _}" },
    { null_read, "{{:sigsegv, 0}, _}" },
    { wild_write, "{{:sigsegv, 0x123456789000}, _}" },
    { noncanonical_write, "{{:sigsegv, _}, _}" },
#ifdef __x86_64__
    { misaligned_write, "{{:sigsegv, _}, _}" },
#endif
    { read_only_write, "{{:sigsegv, _}, _}" },
    { null_call, "{{:sigsegv, 0}, _}" },
    { wild_call, "{{:sigsegv, 16}, _}" },
    { stack_overflow, "{{:sigsegv, _}, _}" },
    { overflow_in_calls, "{{:sigsegv, _}, _}" },
    { call_abort, "{{:sigabrt, _}, _}" },
    { failed_assert, "{{:sigabrt, _}, _}" },
    { divide, "{{:sigfpe, _}, _}" },
    { illegal, "{{:sigill, _}, _}" },
    { raise_fpe, "{{:sigfpe, _}, _}" },
    { holding_memory, "{{:sigsegv, 0}, _}" },
    { after_a_wait, "{{:sigsegv, 0}, _}" },
    { in_strlen, "{{:sigsegv, _}, _}" },
    { in_memcpy, "{{:sigsegv, _}, _}" },
    { holding_terms, "{{:sigsegv, 0}, _}" },
    { linked_child, "{{:sigsegv, 0}, _}" },
    { deferred_fault, ":still_told" },
    { in_a_timeout_callback, "{{:sigsegv, 0}, _}" },
    { in_a_callback, "{{:sigsegv, 0}, _}" },
};

TEST(every_kind_of_fault_ends_its_process_only) {
    size_t before = cop_node_process_count();
    cop_pid neighbour = test_idle_pid(ctx);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        test_note("kind %zu, %s", i, kinds[i].reason);
        cop_spawn_monitor(ctx, kinds[i].entry, COP_NONE);
        cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
        EXPECT_TERM(ctx, cop_elem(down, 4), kinds[i].reason);
    }
    EXPECT(cop_process_is_alive(ctx, neighbour));
    while (cop_node_process_count() > before + 1)
        cop_yield(ctx);
}

static void all_kinds(cop_ctx *ctx, cop_term arg) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        cop_spawn_monitor(ctx, kinds[i].entry, COP_NONE);
        ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
    }
    cop_node_shutdown(ctx, 0);
}

/* Under AddressSanitizer what is still allocated at the end fails this test. */
TEST_HOST(faults_leave_nothing_behind) {
    EXPECT_INT(cop_node_start(&(cop_node_opts){ .schedulers = 2 }), 0);
    cop_node_spawn(all_kinds);
    EXPECT_INT(cop_node_wait(), 0);
    EXPECT_INT(cop_node_stop(), 0);
}

TEST(a_thousand_faults_of_each_kind_in_a_row, .timeout_s = 120) {
    static const cop_entry some[] = { null_write, stack_overflow, after_a_wait, holding_memory };
    for (int round = 0; round < 1000; round++)
        for (size_t i = 0; i < sizeof some / sizeof *some; i++)
            COP_SCOPE(ctx) {
                cop_spawn_monitor(ctx, some[i], COP_NONE);
                ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {{:sigsegv, _}, _}}");
            }
}

TEST(a_fault_is_caught_by_try) {
    volatile bool caught_it = false;
    COP_TRY(ctx) { null_write(ctx, COP_NIL); }
    COP_CATCH(caught) {
        EXPECT(caught->is_fault);
        EXPECT_TERM(ctx, caught->reason, "{:sigsegv, 0}");
        caught_it = true;
    }
    EXPECT(caught_it);
    cop_send(ctx, cop_self(ctx), cop_a(on));
    ASSERT_RECEIVE(ctx, ":on");
}

TEST(the_place_of_a_fault_is_named) {
    cop_spawn_monitor(ctx, divide, COP_NONE);
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
    cop_term trace = cop_elem(cop_elem(down, 4), 1);
    EXPECT(cop_is_cons(trace));
    EXPECT_TERM(ctx, cop_head(trace), "{:c, :divide, _, _}");
}

/* Allocates all the time, on every scheduler, and faults between: the handler must need no lock that
   somebody holds. */
static void __attribute__((noinline)) fault_here(void) { *(volatile int *)(uintptr_t)zero = 1; }
static void allocate_and_fault(cop_ctx *ctx, cop_term arg) {
    void *blocks[64] = { NULL };
    uint64_t random = cop_random_u64(ctx);
    for (int i = 0; i < 2000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        free(blocks[random >> 58]);
        blocks[random >> 58] = malloc(16 + (random >> 40) % 5000);
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    fault_here();
}

TEST(faults_beside_allocating_threads_have_their_places, .schedulers = 4) {
    for (int round = 0; round < 50; round++)
        COP_SCOPE(ctx) {
            for (int i = 0; i < 8; i++)
                cop_spawn_monitor(ctx, allocate_and_fault, COP_NONE);
            for (int i = 0; i < 8; i++) {
                cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {{:sigsegv, 0}, _}}");
                EXPECT_TERM(ctx, cop_head(cop_elem(cop_elem(down, 4), 1)),
                            "{:c, :fault_here, _, [file: 'fault_test.c', line: _]}");
            }
        }
}

static void fault_of_proc_lib(cop_ctx *ctx, cop_term arg) {
    cop_process_put(ctx, cop_a(user).t, cop_of(ctx, 1));
    fault_here();
}

TEST(a_fault_has_a_crash_report_with_its_place) {
    test_capture_log(ctx);
    cop_pid p = cop_proc_lib_spawn(ctx, fault_of_proc_lib, COP_NONE);
    cop_term log = ASSERT_RECEIVE(
        ctx, "{:log, :error, {:report, %{label: {:proc_lib, :crash}, report: [_, _]}}, _}");
    cop_term report;
    EXPECT(cop_map_get(cop_elem(cop_elem(log, 2), 1), cop_a(report).t, &report));
    EXPECT_TERM(
        ctx, cop_head(report),
        "[{:initial_call, {:c, :fault_of_proc_lib, [:Argument__1, :Argument__2]}}, "
        "{:pid, _}, {:registered_name, []}, {:process_label, _}, {:error_info, {:error, "
        "{:sigsegv, 0}, [{:c, :fault_here, _, [file: 'fault_test.c', line: _]} | _]}} | _]");
    test_await_down(ctx, p);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void catch_an_exit(cop_ctx *ctx, volatile int *seen) {
    COP_TRY(ctx) { cop_exit(ctx, cop_a(inner)); }
    COP_CATCH(caught) {
        EXPECT(caught->class == COP_CLASS_EXIT);
        EXPECT_TERM(ctx, caught->reason, ":inner");
        (*seen)++;
    }
}

TEST(try_catches_exits_errors_and_throws) {
    volatile int seen = 0;
    COP_TRY(ctx) {
        catch_an_exit(ctx, &seen);
        cop_throw(ctx, cop_a(ball));
    }
    COP_CATCH(caught) {
        EXPECT(caught->class == COP_CLASS_THROW);
        seen++;
    }
    COP_TRY(ctx) { seen++; }
    COP_CATCH(caught) { FAIL("nothing was raised"); }
    EXPECT_INT(seen, 3);
}

/* ---- what a process owns ------------------------------------------------------------------------ */

static int released;
static void count_release(void *object) {
    __atomic_fetch_add(&released, *(int *)object, __ATOMIC_SEQ_CST);
}
static void count_deferred(cop_ctx *ctx, void *arg) {
    cop_send(ctx, *(cop_pid *)arg, cop_a(deferred));
}

static void own_and_fault(cop_ctx *ctx, cop_term arg) {
    static int ten = 10, hundred = 100;
    cop_pid *to = cop_alloc(ctx, sizeof *to);
    EXPECT(cop_match(arg, to));
    cop_own(ctx, &ten, count_release);
    cop_own(ctx, &hundred, count_release);
    EXPECT(cop_disown(ctx, &hundred));
    cop_defer(ctx, count_deferred, to);
    null_write(ctx, arg);
}

TEST(what_a_process_owns_is_released_however_it_ends) {
    cop_spawn_monitor(ctx, own_and_fault, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {{:sigsegv, 0}, _}}");
    EXPECT_INT(__atomic_load_n(&released, __ATOMIC_SEQ_CST), 10);
    EXPECT_TERM(ctx, test_flush(ctx), "[:deferred]");
}

/* ---- long steps ------------------------------------------------------------------------------------ */

static uint32_t stop_looping;

static void endless(cop_ctx *ctx, cop_term to) {
    cop_send(ctx, to, cop_a(started));
    while (!__atomic_load_n(&stop_looping, __ATOMIC_RELAXED))
        ;
}

static void echo(cop_ctx *ctx, cop_term arg) {
    for (;;)
        COP_SCOPE(ctx) {
            cop_term message;
            cop_pid from;
            cop_receive(ctx, COP_INFINITY, &message);
            EXPECT(cop_match(message, &from));
            cop_send(ctx, from, cop_a(pong));
        }
}

TEST(an_endless_loop_leaves_the_others_alone, .schedulers = 2, .real_time = true) {
    cop_spawned hogs[3];
    for (int i = 0; i < 3; i++) { /* more than there are schedulers */
        hogs[i] = cop_spawn_monitor(ctx, endless, cop_self(ctx).t);
        ASSERT_RECEIVE(ctx, ":started");
    }
    cop_pid other = cop_spawn(ctx, echo, COP_NONE);
    int64_t worst = 0;
    for (int i = 0; i < 100; i++)
        COP_SCOPE(ctx) {
            int64_t before = cop_monotonic_ns(ctx);
            cop_send(ctx, other, cop_self(ctx));
            ASSERT_RECEIVE(ctx, ":pong");
            int64_t took = cop_monotonic_ns(ctx) - before;
            worst = took > worst ? took : worst;
        }
    test_note("worst of 100 round trips beside 3 endless loops: %lld us", (long long)worst / 1000);
    /* A kill is carried out on one that does not come. */
    cop_process_register(ctx, hogs[0].pid, cop_a(hog));
    cop_process_exit(ctx, hogs[0].pid, cop_a(kill).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    EXPECT(cop_is_none(cop_process_whereis(ctx, cop_a(hog))));
    EXPECT(!cop_process_is_alive(ctx, hogs[0].pid));
    __atomic_store_n(&stop_looping, 1, __ATOMIC_RELAXED);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
}

static void tell_of_fault(cop_ctx *ctx, void *state, const cop_caught *caught) {
    cop_pid *told = state;
    cop_send(ctx, *told, cop_tuple(ctx, cop_a(raised), caught->reason, caught->is_fault));
}

static void faulty_and_told(cop_ctx *ctx, cop_term arg) {
    static const cop_callbacks callbacks = { .name = "told",
                                             .message = fault_message,
                                             .raised = tell_of_fault };
    cop_pid *told = cop_process_state(ctx, sizeof *told);
    EXPECT(cop_match(arg, told));
    cop_become(ctx, &callbacks, told);
}

TEST(a_callback_hears_of_its_fault) {
    test_capture_log(ctx);
    cop_spawned s = cop_spawn_monitor(ctx, faulty_and_told, cop_self(ctx).t);
    cop_send(ctx, s.pid, 1);
    ASSERT_RECEIVE(ctx, "{:raised, {:sigsegv, 0}, true}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {{:sigsegv, 0}, [_ | _]}}");
}
