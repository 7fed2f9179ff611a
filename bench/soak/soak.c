/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak: many short lives, and nothing may be left of them.
 *
 *     soak [PROCESSES]      10,000,000 without an argument
 *
 * Two drivers start batches of processes, and wait for the down message of each before the next
 * batch. What a process does in its life is one of the `lives` below, in turn: it ends in order, exits,
 * raises, faults, keeps binaries, starts timers, holds resources, dies by a link, by a kill, with a
 * name, with a mailbox full of messages, and so on. Some start processes of their own, which count too.
 *
 * It begins with more at once than there will ever be: processes that wait, so that the table of
 * processes has its size, steps that stand still, so that the workers are there which a busy machine
 * makes the node start, and all kinds of lives. Then it looks at the node eleven times, each time after all
 * are gone and the schedulers have been at rest for long enough to give back what they keep. It fails when
 *   - a process, a port or a timer lives that did not before;
 *   - a resource was not destroyed, or something owned not released, exactly once;
 *   - the bytes of blocks in use after one of the last three tenths differ by more than one percent from
 *     what they were at the beginning;
 *   - what is resident differs by more than five percent. It is more than what is in use, and not the same
 *     each time: a page of the allocator's in which one block lives on is as resident as the most that
 *     its other blocks have ever been used.
 * Memory is looked at only from ten million processes on, and not in sanitizers' builds: theirs is another.
 * The program ends through the node's orderly stop, so a leak checker sees what it should.
 */
#include <coppice.h>
#include <coppice/gen_server.h>
#include <coppice/gen_tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "in_use.h"

enum { BATCH = 2000, DRIVERS = 2, STEPS = 10, NAMES = 16 };
enum { WARM_UP = 1000000, PEAK = 20000, STANDING = 8, STAND_MS = 200, REST_MS = 3000, RESTS = 10 };

/* Counted by all processes; atomic. */
static int64_t made, destroyed, owned, released, started, mistakes;

static int64_t wanted = 10000000;

static void count(int64_t *counter) { __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

static void mistake(const char *what) {
    fprintf(stderr, "soak: %s\n", what);
    count(&mistakes);
}

/* The name is what cop_node_dump shows of a process that stays. */
static cop_pid start_named(cop_ctx *ctx, const char *name, cop_entry entry, cop_term arg,
                           const cop_spawn_opts *opts) {
    cop_spawn_opts named = opts != NULL ? *opts : (cop_spawn_opts){ 0 };
    named.name_hint = name;
    count(&started);
    return cop_process_spawn(ctx, entry, arg, &named).pid;
}
#define start(ctx, entry, arg, opts) start_named((ctx), #entry, (entry), (arg), (opts))

/* ---- lives ----------------------------------------------------------------------------------- */

static void end_in_order(cop_ctx *ctx, cop_term arg) {}

static void exit_with_a_term(cop_ctx *ctx, cop_term arg) {
    cop_exit(ctx, cop_tuple(ctx, cop_a(because), cop_list(ctx, 1, 2.5, "a text"), arg));
}

static void raise(cop_ctx *ctx, cop_term arg) { cop_error(ctx, cop_a(badarith)); }

static void write_to_null(cop_ctx *ctx, cop_term arg) {
#if COP__HAS_TSAN
    cop_exit(ctx, cop_a(no_fault)); /* it does not follow a jump out of a signal handler */
#else
    int *volatile nothing = NULL;
    *(volatile int *)nothing = 1;
#endif
}

static void catch_a_throw(cop_ctx *ctx, cop_term arg) {
    volatile bool caught_it = false;
    COP_TRY(ctx) { cop_throw(ctx, cop_list(ctx, 1, 2, 3)); }
    COP_CATCH(caught) { caught_it = caught->class == COP_CLASS_THROW; }
    if (!caught_it)
        mistake("a throw was not caught");
}

static void take_two(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
    cop_receive(ctx, COP_INFINITY, &message);
}

/* A shared binary and a part of it in two mailboxes, one of which is not emptied. */
static void send_binaries(cop_ctx *ctx, cop_term arg) {
    uint8_t *data;
    cop_term binary = cop_binary_new(ctx, 2000, &data);
    memset(data, 'b', 2000);
    cop_pid other = start(ctx, take_two, COP_NIL, NULL);
    cop_term part = cop_binary_part(ctx, binary, 100, 1000);
    for (int i = 0; i < 3; i++)
        cop_send(ctx, other, cop_list(ctx, binary, part, binary));
    cop_send(ctx, cop_self(ctx), part);
}

/* One fires, one is cancelled, one is still about when its process is gone. */
static void start_timers(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_ref cancelled = cop_start_timer(ctx, 60000, cop_self(ctx).t, cop_list(ctx, 1, 2, 3));
    cop_process_send_after(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(late), "text"), 5);
    cop_process_send_after(ctx, cop_self(ctx), cop_a(now), 0);
    if (cop_process_cancel_timer(ctx, cancelled) < 0)
        mistake("a timer of a minute was gone");
    cop_receive(ctx, COP_INFINITY, &message);
}

static void destroy(void *object) {
    free(object);
    count(&destroyed);
}
static const cop_resource_type resource_type = { .name = "soak", .destroy = destroy };

static void hold_resources(cop_ctx *ctx, cop_term arg) {
    count(&made);
    cop_term resource = cop_resource(ctx, &resource_type, malloc(100));
    cop_pid other = start(ctx, take_two, COP_NIL, NULL);
    cop_process_put(ctx, cop_a(resource).t, resource);
    for (int i = 0; i < 3; i++)
        cop_send(ctx, other, cop_tuple(ctx, resource, i));
}

static void release(void *object) {
    free(object);
    count(&released);
}

static void deferred(cop_ctx *ctx, void *arg) { count(&released); }

static void own_things(cop_ctx *ctx, cop_term arg) {
    count(&owned);
    cop_own(ctx, malloc(300), release);
    count(&owned);
    cop_defer(ctx, deferred, NULL);
    cop_alloc(ctx, 1000);
    cop_free(ctx, cop_alloc(ctx, 5000));
    cop_exit(ctx, cop_a(shutdown));
}

static void wait_for_ever(cop_ctx *ctx, cop_term arg) { cop_process_sleep(ctx, COP_INFINITY); }

static void die_by_a_link(cop_ctx *ctx, cop_term arg) {
    start(ctx, exit_with_a_term, COP_NIL, &(cop_spawn_opts){ .link = true });
    start(ctx, wait_for_ever, COP_NIL, &(cop_spawn_opts){ .link = true });
    cop_process_sleep(ctx, COP_INFINITY);
}

static void trap_an_exit(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_process_trap_exit(ctx, true);
    start(ctx, exit_with_a_term, COP_NIL, &(cop_spawn_opts){ .link = true });
    cop_receive(ctx, COP_INFINITY, &message);
    if (!cop_match_tuple(message, cop_a(EXIT), &(cop_pid){ 0 }, &(cop_term){ 0 }))
        mistake("not the exit of a link");
}

static void monitor_and_kill(cop_ctx *ctx, cop_term arg) {
    cop_term message, ref, pid;
    cop_pid other = start(ctx, wait_for_ever, COP_NIL, &(cop_spawn_opts){ .monitor = true });
    cop_process_monitor(ctx, other);
    cop_process_demonitor(ctx, cop_process_monitor(ctx, other), COP_DEMONITOR_FLUSH);
    cop_process_exit(ctx, other, cop_a(kill));
    for (int i = 0; i < 2; i++) {
        cop_receive(ctx, COP_INFINITY, &message);
        if (!cop_match_tuple(message, cop_a(DOWN), &ref, cop_a(process), &pid, cop_a(killed)))
            mistake("not the end of a killed process");
    }
}

static void die_with_a_name(cop_ctx *ctx, cop_term arg) {
    char name[32];
    int64_t number = 0;
    cop_get_i64(arg, &number);
    snprintf(name, sizeof(name), "soak_%d", (int)(number / 32 % NAMES));
    cop_atom atom = cop_atom_new(name);
    if (cop_process_try_register(ctx, cop_self(ctx), atom))
        cop_send(ctx, atom, cop_list(ctx, 1, 2, 3));
}

static void keep_a_large_heap(cop_ctx *ctx, cop_term arg) {
    cop_term list = COP_NIL, map = cop_map(ctx);
    for (int64_t i = 0; i < 500; i++)
        list = cop_cons(ctx, cop_of(ctx, (double)i), list);
    for (int64_t i = 0; i < 50; i++)
        map = cop_map_put(ctx, map, cop_of(ctx, i), list);
    cop_process_put(ctx, cop_a(list).t, list);
    cop_process_put(ctx, cop_a(map).t, map);
}

static void take_message(cop_ctx *ctx, void *state, cop_term message) {
    cop_term *kept = state;
    if (!cop_match(message, cop_a(stop))) {
        *kept = cop_cons(ctx, message, *kept);
        return;
    }
    cop_exit(ctx, cop_a(normal));
}
static const cop_callbacks taker = { .name = "taker", .message = take_message };

static void become_a_callback_process(cop_ctx *ctx, cop_term arg) {
    cop_term *kept = cop_process_state(ctx, sizeof(*kept));
    *kept = COP_NIL;
    cop_process_keep(ctx, 0, kept, 1);
    for (int i = 0; i < 10; i++)
        cop_send(ctx, cop_self(ctx), cop_list(ctx, i, "a text that is longer than nothing"));
    cop_send(ctx, cop_self(ctx), cop_a(stop));
    cop_send(ctx, cop_self(ctx), cop_a(never_taken));
    cop_become(ctx, &taker, kept);
}

static void wake_and_end(cop_ctx *ctx, cop_term arg) { cop_exit(ctx, arg); }

static void hibernate(cop_ctx *ctx, cop_term arg) {
    cop_process_send_after(ctx, cop_self(ctx), cop_a(wake), 1);
    cop_process_hibernate(ctx, wake_and_end, cop_list(ctx, cop_a(woken), 1));
}

static cop_init server_init(cop_ctx *ctx, void *state, cop_term arg) { return cop_init_ok(); }

static cop_next server_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    if (cop_match(request, cop_a(crash)))
        cop_exit(ctx, cop_a(shutdown));
    return cop_match(request, cop_a(silence)) ? cop_noreply() : cop_reply(ctx, request);
}

static const cop_gen_server server = {
    .name = "SoakServer",
    .init = server_init,
    .handle_call = server_call,
};

static void call_a_server(cop_ctx *ctx, cop_term arg) {
    count(&started);
    cop_started s = cop_gen_server_start(ctx, &server, COP_NIL, NULL);
    if (s.is != COP_STARTED || !cop_match(cop_gen_server_call(ctx, s.pid, 5, 5000), 5))
        mistake("a server did not start or answer");
    if (cop_gen_server_try_call(ctx, s.pid, cop_a(silence), 1).ok)
        mistake("a reply where none was given");
    if (cop_gen_server_try_call(ctx, s.pid, cop_a(crash), 5000).ok)
        mistake("a crashed server answered");
}

static void leave_an_alias(cop_ctx *ctx, cop_term arg) {
    cop_ref alias = cop_process_alias(ctx, false);
    cop_send(ctx, alias, cop_list(ctx, 1, 2));
    cop_process_unalias(ctx, alias);
    cop_send(ctx, alias, cop_list(ctx, 3, 4));
    cop_process_alias(ctx, true);
}

/* Its mailbox is full; one of its senders is killed while it waits for room, the other outlives it. */
static void flood(cop_ctx *ctx, cop_term arg) {
    for (int i = 0; i < 20; i++)
        cop_send(ctx, arg, cop_list(ctx, i, i, i));
}

static void be_flooded(cop_ctx *ctx, cop_term arg) {
    cop_spawn_opts bound = { .max_queue_len = 4, .max_queue_policy = COP_QUEUE_WAIT };
    cop_pid full = start(ctx, wait_for_ever, COP_NIL, &bound);
    cop_pid one = start(ctx, flood, full.t, NULL);
    start(ctx, flood, full.t, NULL);
    cop_yield(ctx);
    cop_process_exit(ctx, one, cop_a(kill));
    cop_process_exit(ctx, full, cop_a(enough));
}

static void grow(cop_ctx *ctx, cop_term arg) {
    cop_term list = COP_NIL;
    for (int64_t i = 0;; i++)
        list = cop_cons(ctx, i, list);
}

static void reach_the_heap_limit(cop_ctx *ctx, cop_term arg) {
    cop_spawn_opts o = { .link = true, .max_heap_words = 3000, .max_heap_no_log = true };
    start(ctx, grow, COP_NIL, &o);
    cop_process_sleep(ctx, COP_INFINITY);
}

/* One of a thousand opens a port: there is a limit to how many the kernel likes. */
static void leave_a_port(cop_ctx *ctx, cop_term arg) {
    int64_t number = 0;
    cop_get_i64(arg, &number);
    if (number / 32 % 30 != 0)
        return;
    if (!cop_gen_tcp_listen(ctx, 0, NULL).ok)
        mistake("listen");
}

static const cop_entry lives[] = {
    end_in_order,  exit_with_a_term, raise,           write_to_null,     catch_a_throw,
    send_binaries, start_timers,     hold_resources,  own_things,        die_by_a_link,
    trap_an_exit,  monitor_and_kill, die_with_a_name, keep_a_large_heap, become_a_callback_process,
    hibernate,     call_a_server,    leave_an_alias,  be_flooded,        reach_the_heap_limit,
    leave_a_port,
};

/* ---- drivers --------------------------------------------------------------------------------- */

static void live(cop_ctx *ctx, cop_term arg) {
    int64_t number = 0;
    cop_get_i64(arg, &number);
    lives[(size_t)number % (sizeof(lives) / sizeof(lives[0]))](ctx, arg);
}

/* arg: {main, how many must have been started in all when this driver ends, its number, how many at once} */
static void drive(cop_ctx *ctx, cop_term arg) {
    cop_pid main_pid;
    int64_t until = 0, number = 0, batch = 0;
    if (!cop_match_tuple(arg, &main_pid, &until, &number, &batch))
        mistake("drive");
    while (__atomic_load_n(&started, __ATOMIC_RELAXED) < until) {
        for (int64_t i = 0; i < batch; i++, number++)
            start(ctx, live, cop_of(ctx, number), &(cop_spawn_opts){ .monitor = true });
        for (int64_t i = 0; i < batch; i++) {
            COP_SCOPE(ctx) {
                cop_term message;
                if (!cop_receive(ctx, 60000, &message)) {
                    mistake("a process lived for a minute");
                    cop_node_dump(2);
                    i = batch;
                }
            }
        }
    }
    cop_send(ctx, main_pid, cop_a(driven));
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double resident_kib(void) {
    unsigned long long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%llu %llu", &all, &resident) != 2)
        mistake("statm");
    if (file != NULL)
        fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/* Waits until all are gone that came since `before`, ten seconds at most. */
static void settle(cop_ctx *ctx, size_t before) {
    for (int i = 0; i < 100; i++) {
        cop_process_sleep(ctx, 100);
        if (cop_node_process_count() <= before && cop_node_port_count() == 0
            && cop_node_timer_count() == 0)
            return;
    }
    mistake("processes, ports or timers live on");
    fprintf(stderr, "soak: %zu processes, %zu ports, %zu timers\n",
            cop_node_process_count() - before, cop_node_port_count(), cop_node_timer_count());
    cop_node_dump(2);
}

static void stand_still(cop_ctx *ctx, cop_term arg) { usleep(STAND_MS * 1000); }

/* More at once than later ever. */
static void peak(cop_ctx *ctx, cop_term arg) {
    cop_spawn_opts linked = { .link = true }, monitored = { .monitor = true };
    for (int i = 0; i < STANDING; i++)
        start(ctx, stand_still, COP_NIL, &monitored);
    for (int i = 0; i < PEAK; i++)
        start(ctx, wait_for_ever, COP_NIL, &linked);
    for (int i = 0; i < STANDING; i++) {
        cop_term message;
        cop_receive(ctx, COP_INFINITY, &message);
    }
    cop_exit(ctx, cop_a(enough));
}

static bool looks_at_memory(void) { return wanted >= 10000000 && !COP_SANITIZED; }

struct memory {
    int64_t in_use;  /* bytes of the allocator's blocks */
    double resident; /* KiB */
};

static struct memory memory_now(void) {
    return (struct memory){ .in_use = bytes_in_use(), .resident = resident_kib() };
}

static double percent_from(double memory, double begun) { return (memory - begun) / begun * 100; }
static bool is_within(double percent, double memory, double begun) {
    double by = percent_from(memory, begun);
    return by <= percent && by >= -percent;
}
static bool is_steady(struct memory m, struct memory before) {
    return m.in_use == before.in_use && is_within(0.5, m.resident, before.resident);
}

/* What there is once the schedulers have rested, which on a busy machine may take them some time. */
static struct memory memory_at_rest(cop_ctx *ctx) {
    struct memory before, now = memory_now();
    for (int i = 0; looks_at_memory() && i < RESTS; i++) {
        before = now;
        cop_process_sleep(ctx, REST_MS);
        now = memory_now();
        if (is_steady(now, before))
            break;
    }
    return now;
}

static void drive_all(cop_ctx *ctx, int64_t until, int64_t batch) {
    for (int64_t i = 0; i < DRIVERS; i++)
        cop_spawn(ctx, drive, cop_tuple(ctx, cop_self(ctx), until, i * 7 + until, batch));
    for (int i = 0; i < DRIVERS; i++) {
        COP_SCOPE(ctx) {
            cop_term message;
            cop_receive(ctx, COP_INFINITY, &message);
        }
    }
}

/* Waits until all are gone, and says what is left. */
static struct memory look(cop_ctx *ctx, size_t before) {
    static double began;
    if (began == 0)
        began = now_s();
    settle(ctx, before);
    struct memory memory = memory_at_rest(ctx);
    printf("%10lld processes  %7.1f s", (long long)started, now_s() - began);
    if (memory.in_use >= 0)
        printf("  %9lld bytes in use", (long long)memory.in_use);
    printf("  %9.0f KiB resident  %zu live\n", memory.resident, cop_node_process_count());
    fflush(stdout);
    return memory;
}

/* All kinds of lives, and of each more at once than there will be later. */
static void warm_up(cop_ctx *ctx, size_t before) {
    start(ctx, peak, COP_NIL, NULL);
    drive_all(ctx, WARM_UP / 2, PEAK);
    drive_all(ctx, WARM_UP, BATCH);
    settle(ctx, before);
    started = 0;
}

static void judge(struct memory memory, struct memory begun) {
    if (!is_within(1, (double)memory.in_use, (double)begun.in_use))
        mistake("not so much is in use as at the beginning");
    if (!is_within(5, memory.resident, begun.resident))
        mistake("not so much is resident as at the beginning");
}

static void compare(struct memory begun, struct memory memory) {
    printf("in use: %lld bytes at the beginning, %lld at the end: %+.2f %%\n",
           (long long)begun.in_use, (long long)memory.in_use,
           percent_from((double)memory.in_use, (double)begun.in_use));
    printf("resident: %.0f KiB at the beginning, %.0f KiB at the end: %+.2f %%\n", begun.resident,
           memory.resident, percent_from(memory.resident, begun.resident));
}

static void soak(cop_ctx *ctx, cop_term arg) {
    cop_process_sleep(ctx, 100); /* what cop_run starts beside this process is there now */
    size_t before = cop_node_process_count();
    if (looks_at_memory())
        warm_up(ctx, before);
    struct memory begun = look(ctx, before), memory = begun;
    for (int i = 1; i <= STEPS; i++) {
        drive_all(ctx, wanted / STEPS * i, BATCH);
        memory = look(ctx, before);
        if (i > STEPS - 3 && looks_at_memory())
            judge(memory, begun);
    }
    printf("resources: %lld made, %lld destroyed; owned: %lld, released: %lld\n", (long long)made,
           (long long)destroyed, (long long)owned, (long long)released);
    if (looks_at_memory())
        compare(begun, memory);
    if (made != destroyed || owned != released)
        mistake("resources or owned things are left, or were released twice");
    cop_node_shutdown(ctx, mistakes == 0 ? 0 : 1);
}

int main(int argc, char **argv) {
    if (argc == 2)
        wanted = strtoll(argv[1], NULL, 10);
    if (argc > 2 || wanted < STEPS) {
        fprintf(stderr, "usage: soak [PROCESSES]\n");
        return 2;
    }
    int status = cop_run(&(cop_node_opts){ .no_logger = true }, soak);
    puts(status == 0 ? "soak: nothing is left of them" : "soak: FAILED");
    return status == 0 ? 0 : 1;
}
