/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node: start, stop, and threads of the host program that become processes.
 *
 * Stopping: what asked for it is told (cop_node_at_stop); all processes are sent a kill, and the caller waits until they are gone; then the
 * registered services (ports) stop, then the workers end, then memory is given back. A step that
 * never returns (an endless loop) is dead to all others by then, but its thread, its stack and the
 * table stay behind: there is no safe way to take them.
 * Threads: start and stop from host threads, one at a time.
 */
#include <errno.h>

#include "os/symbol.h"
#include "proc/proc.h"

static struct {
    struct {
        void (*stop)(void *);
        void *arg;
    } hooks[16];
    int hook_count;
    void (*before_stop[8])(void);
    int before_count;
    struct cop__lock lock;
    uint32_t down; /* futex: 1 once somebody asked for the end */
    int down_status;
    bool left_behind;
} host;

const char *cop_version(void) { return "0.1.0"; }

void cop__node_at_stop(void (*stop)(void *arg), void *arg) {
    cop__lock(&host.lock);
    COP_ASSERT(host.hook_count < 16);
    host.hooks[host.hook_count].stop = stop;
    host.hooks[host.hook_count++].arg = arg;
    cop__unlock(&host.lock);
}

void cop_node_at_stop(void (*function)(void)) {
    cop__lock(&host.lock);
    bool there = false;
    for (int i = 0; i < host.before_count; i++)
        there = there || host.before_stop[i] == function;
    COP_ASSERT(there || host.before_count < 8);
    if (!there)
        host.before_stop[host.before_count++] = function;
    cop__unlock(&host.lock);
}

static void run_before_stop(void) {
    while (host.before_count > 0)
        host.before_stop[--host.before_count]();
}

bool cop__node_is_simulated(void) { return cop__node.sim; }

void cop__run_stop_hooks(void) {
    while (host.hook_count > 0) {
        host.hook_count--;
        host.hooks[host.hook_count].stop(host.hooks[host.hook_count].arg);
    }
}

static uint64_t env_number(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    if (text == NULL || *text == '\0')
        return otherwise;
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    return *end == '\0' ? n : otherwise;
}

static int64_t idle_ns(int64_t ms, int64_t otherwise_ms) {
    return ms == COP_INFINITY ? -1 : (ms > 0 ? ms : otherwise_ms) * 1000000;
}

static void read_opts(const cop_node_opts *o, int *schedulers) {
    const char *fault = getenv("COP_FAULT");
    cop__node.fault_aborts =
        o->fault_aborts || (fault != NULL && strcmp(fault, "abort") == 0 && !o->fault_isolates);
    int n = o->schedulers > 0 ? o->schedulers : (int)env_number("COP_SCHEDULERS", 0);
    if (n <= 0)
        n = cop__cpu_count();
    if (n > COP__MAX_SCHEDS)
        n = COP__MAX_SCHEDS;
    *schedulers = cop__node.sim ? 1 : n;
    cop__node.max_slots = o->max_processes > 0 ? o->max_processes : 1 << 20;
    cop__node.stack_idle_ns = idle_ns(o->stack_idle_ms, 10000);
    cop__node.worker_idle_ns = idle_ns(o->worker_idle_ms, 30000);
    cop__node.slice_ns = (int64_t)(o->slice_ms > 0 ? o->slice_ms : 10) * 1000000;
    cop__node.stack_size = o->stack_size > 0 ? o->stack_size : 65536;
}

int cop_node_start(const cop_node_opts *opts) {
    static const cop_node_opts defaults;
    if (cop__node.running || host.left_behind)
        return -EALREADY;
    if (opts == NULL)
        opts = &defaults;
    if (opts->max_processes > 16000000)
        return -EINVAL;
    memset(&cop__node, 0, sizeof cop__node);
    host.down = 0;
    int schedulers;
    int rc = cop__log_init(opts);
    if (rc < 0)
        return rc;
    rc = cop__sim_start(opts->sim, opts->sim_seed, opts->sim_faults);
    if (rc < 0)
        return rc;
    read_opts(opts, &schedulers);
    cop__node.slots = cop__vm_reserve(cop__node.max_slots * sizeof(struct cop__slot));
    if (cop__node.slots == NULL)
        return -ENOMEM;
    cop__membarrier_init();
    cop__names_init();
    cop__tables_init();
    cop__meters_init(cop__node.max_slots);
    cop__stacks_init(cop__node.stack_size);
    cop__pack_init();
    cop__public_timers_init();
    cop__fault_init();
    cop__stalls_init(opts->stall_report_ms > 0 ? opts->stall_report_ms
                                               : (int64_t)env_number("COP_STALL_MS", 0));
    cop__scheds_start(schedulers);
    cop__node.running = true;
    if (!cop__node.sim)
        cop__monitor_start();
    return 0;
}

static void kill_all(void) {
    uint32_t top = __atomic_load_n(&cop__node.slot_top, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < top; i++) {
        cop_term id = { __atomic_load_n(&cop__node.slots[i].pid, __ATOMIC_ACQUIRE) };
        if (!cop__is_local_pid(id))
            continue;
        struct cop__scratch scratch;
        cop_ctx *c = cop__scratch_open(&scratch);
        cop_term tuple = cop__exit_tuple(c, id, cop_a(kill).t);
        struct cop__env *env = cop__env_new(SIG_EXIT, id, id, tuple);
        cop__scratch_close(&scratch);
        cop__deliver(NULL, env);
    }
}

static bool processes_left(void) {
    return __atomic_load_n(&cop__node.processes, __ATOMIC_ACQUIRE) != 0;
}

int cop_node_stop(void) {
    if (!cop__node.running)
        return -ESRCH;
    if (cop__node.sim) {
        cop__sim_trace_close();
        cop__sim_open();
    }
    run_before_stop();
    __atomic_store_n(&cop__node.stopping, true, __ATOMIC_SEQ_CST);
    while (processes_left()) {
        uint32_t tick = __atomic_load_n(&cop__node.tick, __ATOMIC_ACQUIRE);
        kill_all(); /* again for what was spawned meanwhile */
        if (processes_left())
            cop__futex_wait(&cop__node.tick, tick, 20000000);
    }
    cop__run_stop_hooks();
    cop__monitor_stop();
    bool clean = cop__workers_stop();
    cop__node.running = false;
    if (cop__node.sim)
        cop__sim_stop();
    if (!clean) {
        host.left_behind = true;
        return 0;
    }
    cop__scheds_free();
    cop__public_timers_free();
    cop__stacks_free();
    cop__tables_free();
    cop__pack_free();
    cop__names_free();
    cop__meters_free();
    cop__vm_release(cop__node.slots, cop__node.max_slots * sizeof(struct cop__slot));
    cop__symbol_stop();
    cop__small_flush();
    return 0;
}

void cop_node_shutdown(cop_ctx *ctx, int status) {
    (void)ctx;
    uint32_t up = 0;
    if (!__atomic_compare_exchange_n(&host.down, &up, 2, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return; /* the first one's status counts */
    if (cop__node.sim)
        cop__sim_trace_close();
    host.down_status = status;
    __atomic_store_n(&host.down, 1, __ATOMIC_RELEASE);
    cop__futex_wake(&host.down, 1 << 30);
}

int cop_node_wait(void) {
    if (cop__node.sim)
        cop__sim_open();
    for (uint32_t down; (down = __atomic_load_n(&host.down, __ATOMIC_ACQUIRE)) != 1;)
        cop__futex_wait(&host.down, down, -1);
    return host.down_status;
}

cop_pid cop_node_spawn(cop_entry entry) {
    if (!cop__node.running)
        return (cop_pid){ COP_NONE };
    cop_ctx *p = cop__proc_new(NULL, NULL, KIND_PROCESS);
    if (p == NULL)
        return (cop_pid){ COP_NONE };
    cop_pid pid = { p->pid };
    p->does.entry = entry;
    p->life = LIFE_START;
    p->arg = cop_a(undefined).t;
    cop__schedule(NULL, p);
    return pid;
}

bool cop__spawn_service(cop_entry entry, int64_t arg) {
    cop_ctx *p = cop__proc_new(NULL, NULL, KIND_PROCESS);
    if (p == NULL)
        return false;
    p->does.entry = entry;
    p->life = LIFE_START;
    p->arg = cop_of(p, arg);
    cop__schedule(NULL, p);
    return true;
}

int cop_node_schedulers(void) { return (int)cop__node.sched_count; }

/* ---- threads of the host program ----------------------------------------------------------------------- */

cop_ctx *cop_attach(void) {
    if (!cop__node.running || cop__worker_self() != NULL)
        return NULL;
    struct cop__worker *w = cop__calloc(1, sizeof *w);
    cop_ctx *p = cop__proc_new(NULL, NULL, KIND_HOST);
    if (p == NULL) {
        cop__free(w);
        return NULL;
    }
    if (cop__node.sim)
        cop__sim_open();
    w->is_pseudo = true;
    w->current = p;
    p->worker = w;
    p->life = LIFE_RAW;
    p->where = WHERE_RUNNING;
    cop__heap_lend(&p->heap, cop__nursery_take(NULL), COP__BIG_NURSERY);
    p->has_nursery = true;
    cop__worker_set_self(w);
    cop__small_keep();
    cop__fault_thread_begin();
    return p;
}

void cop__host_end(cop_ctx *p, cop_term reason) {
    struct cop__worker *w = p->worker;
    cop__set_in_runtime(w, 1);
    cop__die(p, reason);
    cop__worker_set_self(NULL);
    cop__fault_thread_end();
    cop__epoch_forget(w);
    cop__free(w);
    cop__small_flush();
}

void cop_detach(cop_ctx *ctx) {
    COP_ASSERT(ctx->kind == KIND_HOST);
    cop__host_end(ctx, cop_a(normal).t);
}
