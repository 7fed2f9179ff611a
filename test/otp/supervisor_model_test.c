/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random trees of supervisors against a model of the rules.
 *
 * A tree of up to 16 nodes is drawn from a seed: supervisors with a strategy, a limit and an auto-shutdown,
 * leaves with a restart type and a way of stopping. Then random things are done to it: a leaf ends or is
 * killed, a child is terminated, restarted, deleted, started, or its next starts are made to fail or to
 * be ignored. The model below, a plain recursive program, says which processes start, fail and stop,
 * in which order, and how the tree looks afterwards; both must be so.
 *
 * The window is so long that no restart falls out of it (SU_046 is about that).
 */
#include <coppice.h>
#include <coppice/test.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NODES = 16, MAX_KIDS = 4, MAX_EVENTS = 4096 };
enum state { UNDEFINED, RUNNING };
enum result { STARTED, IGNORED, FAILED };
enum stopping { STOP_WELL, STOP_SLOW, STOP_DEAF, STOP_EXIT, STOP_RAISE, STOP_BRUTAL, STOPPINGS };

struct node {
    /* the tree; never changes while it runs */
    bool is_sup;
    int parent, kids[MAX_KIDS], kid_count;
    cop_strategy strategy;
    int64_t max_restarts;
    cop_auto_shutdown auto_shutdown;
    cop_restart restart;
    bool significant;
    enum stopping stopping;
    /* the model */
    enum state state;
    int64_t restarts;
    int list[MAX_KIDS], list_count; /* the children it has now, in order */
};

static struct node nodes[MAX_NODES];
static int node_count;
static atomic_int fails[MAX_NODES], ignores[MAX_NODES]; /* of the processes */
static int model_fails[MAX_NODES], model_ignores[MAX_NODES];
static cop_pid tester;
static uint64_t dice;

static unsigned roll(unsigned sides) {
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (unsigned)(dice >> 20) % sides;
}

/* ---- the processes ----------------------------------------------------------------------------------------- */

static void tell(cop_ctx *ctx, const char *what, int64_t id) {
    cop_send(ctx, tester, cop_tuple(ctx, cop_a(event), cop_atom_new(what), id));
}

static cop_init leaf_init(cop_ctx *ctx, void *state, cop_term arg) {
    int64_t *id = state;
    cop_get_i64(arg, id);
    cop_process_trap_exit(ctx, true);
    tell(ctx, "up", *id);
    return cop_init_ok();
}

static cop_next leaf_call(cop_ctx *ctx, void *state, cop_term reason, cop_from from) {
    return cop_stop_reply(ctx, reason, cop_a(ok));
}

/* Only what a supervisor asks for is told; the test itself knows what it ended. */
static void leaf_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    int64_t id = *(int64_t *)state;
    if (!cop_match(reason, cop_a(shutdown)))
        return;
    tell(ctx, "down", id);
    switch (nodes[id].stopping) {
    case STOP_SLOW:
        cop_process_sleep(ctx, 5);
        break;
    case STOP_DEAF:
        cop_process_sleep(ctx, COP_INFINITY);
        break;
    case STOP_EXIT:
        cop_exit(ctx, cop_a(weird));
    case STOP_RAISE:
        cop_raise(ctx, "RuntimeError", "while stopping");
    default:
        break;
    }
}

static const cop_gen_server leaf = {
    .name = "Leaf",
    .state_size = sizeof(int64_t),
    .init = leaf_init,
    .handle_call = leaf_call,
    .terminate = leaf_terminate,
};

static cop_started leaf_start(cop_ctx *ctx, cop_term arg) {
    int64_t id;
    cop_get_i64(arg, &id);
    if (fails[id] > 0) {
        fails[id]--;
        tell(ctx, "fail", id);
        return cop_started_error(cop_a(nope).t);
    }
    if (ignores[id] > 0) {
        ignores[id]--;
        tell(ctx, "ignore", id);
        return (cop_started){ .is = COP_IGNORE };
    }
    return cop_gen_server_start_link(ctx, &leaf, arg, NULL);
}

static cop_started sup_start(cop_ctx *ctx, cop_term arg);

static cop_child_spec spec_of(int id) {
    const struct node *n = &nodes[id];
    static const int64_t shutdown[STOPPINGS] = { 5000, 5000, 5, 5000, 5000, COP_BRUTAL_KILL };
    return (cop_child_spec){
        .id_term = COP_INT(id),
        .start = n->is_sup ? sup_start : leaf_start,
        .arg = COP_INT(id),
        .restart = n->restart,
        .shutdown_ms = n->is_sup ? 0 : shutdown[n->stopping],
        .type = n->is_sup ? COP_SUPERVISOR : COP_WORKER,
        .significant = n->significant,
    };
}

static cop_started sup_start(cop_ctx *ctx, cop_term arg) {
    int64_t id;
    cop_get_i64(arg, &id);
    const struct node *n = &nodes[id];
    cop_child_spec specs[MAX_KIDS];
    for (int i = 0; i < n->kid_count; i++)
        specs[i] = spec_of(n->kids[i]);
    return cop_supervisor_start_link(
        ctx, specs, (size_t)n->kid_count,
        &(cop_supervisor_opts){ .strategy = n->strategy,
                                .max_restarts = n->max_restarts == 0 ? COP_ZERO : n->max_restarts,
                                .max_seconds = 1000000,
                                .auto_shutdown = n->auto_shutdown });
}

/* ---- the model --------------------------------------------------------------------------------------------- */

static struct {
    char what; /* u p, d own, f ail, i gnore */
    int id;
} expected[MAX_EVENTS];
static int expected_count;

static void expect(char what, int id) {
    if (expected_count < MAX_EVENTS) {
        expected[expected_count].what = what;
        expected[expected_count].id = id;
    }
    expected_count++;
}

static int place_of(const struct node *s, int id) {
    for (int i = 0; i < s->list_count; i++)
        if (s->list[i] == id)
            return i;
    return -1;
}

static void drop(struct node *s, int id) {
    int at = place_of(s, id);
    memmove(&s->list[at], &s->list[at + 1], (size_t)(s->list_count - at - 1) * sizeof(int));
    s->list_count--;
}

static void model_stop(int id) {
    struct node *n = &nodes[id];
    if (n->state != RUNNING)
        return;
    n->state = UNDEFINED;
    for (int i = n->is_sup ? n->list_count : 0; i > 0; i--)
        model_stop(n->list[i - 1]);
    if (!n->is_sup && n->stopping != STOP_BRUTAL)
        expect('d', id);
}

static enum result model_start(int id) {
    struct node *n = &nodes[id];
    if (!n->is_sup) {
        if (model_fails[id] > 0) {
            model_fails[id]--;
            expect('f', id);
            return FAILED;
        }
        if (model_ignores[id] > 0) {
            model_ignores[id]--;
            expect('i', id);
            return IGNORED;
        }
        expect('u', id);
        n->state = RUNNING;
        return STARTED;
    }
    n->restarts = 0;
    n->list_count = n->kid_count;
    memcpy(n->list, n->kids, sizeof n->list);
    n->state = RUNNING;
    for (int i = 0; i < n->kid_count; i++)
        nodes[n->kids[i]].state = UNDEFINED;
    for (int i = 0; i < n->kid_count; i++) {
        enum result r = model_start(n->kids[i]);
        if (r == FAILED) {
            model_stop(id);
            return FAILED;
        }
        if (r == IGNORED && nodes[n->kids[i]].restart == COP_TEMPORARY)
            drop(n, n->kids[i]);
    }
    return STARTED;
}

static void model_ended(int id, bool normal);

static void model_gives_up(int sup) {
    model_stop(sup);
    if (sup != 0)
        model_ended(sup, true); /* :shutdown */
}

/* Stops and forgets from the last to the one at `from`, but for the one that crashed. */
static void model_stop_group(struct node *s, int from, int crashed) {
    for (int i = s->list_count; i > from; i--) {
        int id = s->list[i - 1];
        if (id == crashed)
            continue;
        model_stop(id);
        if (nodes[id].restart == COP_TEMPORARY)
            drop(s, id);
    }
}

/* True when all went well; else *failed is to be tried again. */
static bool model_restart_once(struct node *s, int id, int *failed) {
    *failed = id;
    if (s->strategy == COP_ONE_FOR_ONE)
        return model_start(id) != FAILED;
    int from = s->strategy == COP_ONE_FOR_ALL ? 0 : place_of(s, id);
    model_stop_group(s, from, id);
    for (int i = from; i < s->list_count; i++)
        if (nodes[s->list[i]].state != RUNNING && model_start(s->list[i]) == FAILED) {
            *failed = s->list[i];
            return false;
        }
    return true;
}

static void model_restart(int sup, int id) {
    struct node *s = &nodes[sup];
    for (;;) {
        if (++s->restarts > s->max_restarts) {
            model_gives_up(sup);
            return;
        }
        if (model_restart_once(s, id, &id))
            return;
    }
}

static bool significant_left(const struct node *s) {
    for (int i = 0; i < s->list_count; i++)
        if (nodes[s->list[i]].significant && nodes[s->list[i]].state == RUNNING)
            return true;
    return false;
}

/* A child has ended by itself. */
static void model_ended(int id, bool normal) {
    struct node *n = &nodes[id], *s = &nodes[n->parent];
    n->state = UNDEFINED;
    if (n->restart == COP_PERMANENT || (n->restart == COP_TRANSIENT && !normal)) {
        model_restart(n->parent, id);
        return;
    }
    if (n->restart == COP_TEMPORARY)
        drop(s, id);
    if (n->significant
        && (s->auto_shutdown == COP_AUTO_SHUTDOWN_ANY_SIGNIFICANT
            || (s->auto_shutdown == COP_AUTO_SHUTDOWN_ALL_SIGNIFICANT && !significant_left(s))))
        model_gives_up(n->parent);
}

/* ---- drawing a tree ---------------------------------------------------------------------------------------- */

static int draw(int parent, int depth) {
    int id = node_count++;
    struct node *n = &nodes[id];
    *n = (struct node){ .parent = parent };
    n->is_sup = id == 0 || (depth < 3 && roll(3) == 0);
    n->restart = (cop_restart)roll(3);
    n->stopping = (enum stopping)roll(STOPPINGS);
    if (parent >= 0 && nodes[parent].auto_shutdown != COP_AUTO_SHUTDOWN_NEVER)
        n->significant = n->restart != COP_PERMANENT && roll(2) == 0;
    if (!n->is_sup)
        return id;
    n->strategy = (cop_strategy)roll(3);
    n->max_restarts = roll(5);
    n->auto_shutdown = roll(3) != 0 ? COP_AUTO_SHUTDOWN_NEVER : (cop_auto_shutdown)roll(3);
    int kids = 1 + (int)roll(MAX_KIDS);
    for (int i = 0; i < kids && node_count < MAX_NODES; i++)
        n->kids[n->kid_count++] = draw(id, depth + 1);
    return id;
}

/* ---- comparing --------------------------------------------------------------------------------------------- */

static bool is_event(cop_term m, void *arg) {
    cop_term any;
    return cop_match_tuple(m, cop_a(event), &any, &any);
}

/* The events that came must be those of the model, in order. */
static void compare_events(cop_ctx *ctx) {
    cop_term m;
    cop_atom what;
    int64_t id;
    for (int i = 0; i < expected_count && i < MAX_EVENTS; i++) {
        if (!cop_receive_match(ctx, 5000, is_event, NULL, &m))
            FAIL("event %d: expected %c %d, none came", i, expected[i].what, expected[i].id);
        EXPECT(cop_match_tuple(m, cop_a(event), &what, &id));
        if (*cop_atom_name(what, NULL) != expected[i].what || id != expected[i].id)
            FAIL("event %d: expected %c %d, there is %s %d", i, expected[i].what, expected[i].id,
                 cop_atom_name(what, NULL), (int)id);
    }
    expected_count = 0;
}

static bool is_like(cop_ctx *ctx, cop_pid sup, int id) {
    const struct node *s = &nodes[id];
    cop_called called = cop_gen_server_try_call(ctx, sup, cop_a(which_children), COP_INFINITY);
    cop_term list = called.value, one;
    if (!called.ok || cop_list_length(list) != s->list_count)
        return false;
    for (int i = s->list_count; i > 0; i--) {
        int kid = s->list[i - 1];
        cop_pid pid;
        EXPECT(cop_get_cons(list, &one, &list));
        if (!cop_match(cop_elem(one, 0), kid)
            || cop_get_pid(cop_elem(one, 1), &pid) != (nodes[kid].state == RUNNING))
            return false;
        if (nodes[kid].state == RUNNING && nodes[kid].is_sup && !is_like(ctx, pid, kid))
            return false;
    }
    return true;
}

/* The tree looks as the model says, soon: the last end may still be on its way to its supervisor. */
static void compare_trees(cop_ctx *ctx, cop_pid root) {
    volatile bool same = false;
    int64_t until = cop_monotonic_ms(ctx) + 5000;
    while (!same && cop_monotonic_ms(ctx) < until)
        COP_SCOPE(ctx) {
            same = is_like(ctx, root, 0);
            if (!same)
                cop_process_sleep(ctx, 1);
        }
    if (!same)
        EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, root), "as the model says");
    cop_term m;
    if (cop_receive_match(ctx, 0, is_event, NULL, &m))
        EXPECT_TERM(ctx, m, "no more events");
}

/* ---- doing things ------------------------------------------------------------------------------------------ */

/* The pid of a node whose supervisors all run. */
static cop_pid pid_of(cop_ctx *ctx, cop_pid root, int id) {
    if (id == 0)
        return root;
    cop_pid sup = pid_of(ctx, root, nodes[id].parent), pid = { COP_NONE };
    cop_get_pid(cop_supervisor_child(ctx, sup, COP_INT(id)), &pid);
    return pid;
}

static bool is_up(int id) {
    return id == 0 ? nodes[0].state == RUNNING
                   : nodes[id].state == RUNNING && place_of(&nodes[nodes[id].parent], id) >= 0
                         && is_up(nodes[id].parent);
}

static void end_leaf(cop_ctx *ctx, cop_pid root, int id) {
    static const char *const reasons[] = { "normal", "shutdown", "boom" };
    cop_pid pid = pid_of(ctx, root, id);
    unsigned how = roll(4);
    if (how == 3)
        cop_process_exit(ctx, pid, cop_a(kill));
    else
        cop_gen_server_call(ctx, pid, cop_atom_new(reasons[how]), 0);
    test_await_down(ctx, pid);
    /* A stop by itself with :shutdown runs terminate with that reason. */
    if (how == 1)
        expect('d', id);
    model_ended(id, how < 2);
}

/* What a leaf's own stop with :shutdown would do in terminate would change its reason. */
static bool may_end(int id) {
    return nodes[id].stopping == STOP_WELL || nodes[id].stopping == STOP_BRUTAL
           || nodes[id].stopping == STOP_SLOW;
}

static const char *by_hand(cop_ctx *ctx, int id, unsigned what, cop_term *got, cop_pid sup) {
    struct node *n = &nodes[id], *s = &nodes[n->parent];
    bool known = place_of(s, id) >= 0, running = known && n->state == RUNNING;
    cop_child_spec spec = spec_of(id);
    enum result r;
    switch (what) {
    case 0:
        *got = cop_supervisor_terminate_child(ctx, sup, COP_INT(id));
        if (!known)
            return "{:error, :not_found}";
        model_stop(id);
        if (n->restart == COP_TEMPORARY)
            drop(s, id);
        return ":ok";
    case 1:
        *got = cop_supervisor_restart_child(ctx, sup, COP_INT(id));
        if (!known || running)
            return known ? "{:error, :running}" : "{:error, :not_found}";
        r = model_start(id);
        return r == STARTED ? "{:ok, _}" : r == IGNORED ? "{:ok, :undefined}" : "{:error, _}";
    case 2:
        *got = cop_supervisor_delete_child(ctx, sup, COP_INT(id));
        if (!known || running)
            return known ? "{:error, :running}" : "{:error, :not_found}";
        drop(s, id);
        return ":ok";
    default:
        *got = cop_supervisor_start_child(ctx, sup, &spec);
        if (known)
            return running ? "{:error, {:already_started, _}}" : "{:error, :already_present}";
        s->list[s->list_count++] = id;
        r = model_start(id);
        if (r == FAILED || (r == IGNORED && n->restart == COP_TEMPORARY))
            drop(s, id);
        return r == STARTED ? "{:ok, _}" : r == IGNORED ? "{:ok, :undefined}" : "{:error, _}";
    }
}

static void step(cop_ctx *ctx, cop_pid root) {
    if (node_count == 1)
        return;
    int id = 1 + (int)roll((unsigned)node_count - 1);
    struct node *n = &nodes[id];
    unsigned what = roll(10);
    if (what == 9) {
        int k = (int)roll(4);
        if (n->is_sup)
            return;
        if (roll(3) == 0)
            ignores[id] = model_ignores[id] = k > 0;
        else
            fails[id] = model_fails[id] = k;
        return;
    }
    if (!is_up(n->parent))
        return;
    if (what < 5) {
        if (!n->is_sup && is_up(id) && may_end(id))
            end_leaf(ctx, root, id);
    } else {
        cop_term got;
        cop_pid sup = pid_of(ctx, root, n->parent);
        const char *pattern = by_hand(ctx, id, what - 5, &got, sup);
        EXPECT_TERM(ctx, got, pattern);
    }
    compare_events(ctx);
}

static void clear(cop_ctx *ctx) {
    memset(nodes, 0, sizeof nodes);
    node_count = expected_count = 0;
    for (int i = 0; i < MAX_NODES; i++)
        fails[i] = ignores[i] = model_fails[i] = model_ignores[i] = 0;
    test_flush(ctx);
}

static void one_tree(cop_ctx *ctx, uint64_t seed) {
    clear(ctx);
    dice = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (int i = 0; i < 5; i++)
        roll(2);
    draw(-1, 0);
    test_note("tree %llu, %d nodes", (unsigned long long)seed, node_count);
    cop_started root = sup_start(ctx, COP_INT(0));
    EXPECT(root.is == COP_STARTED && model_start(0) == STARTED);
    compare_events(ctx);
    for (int i = 0; i < 40 && nodes[0].state == RUNNING; i++) {
        step(ctx, root.pid);
        if (nodes[0].state == RUNNING)
            compare_trees(ctx, root.pid);
    }
    if (nodes[0].state != RUNNING) {
        EXPECT_TERM(ctx, test_await_down(ctx, root.pid), "_");
        return;
    }
    model_stop(0);
    cop_supervisor_stop(ctx, root.pid, cop_a(normal), 0);
    compare_events(ctx);
}

TEST(random_trees_do_what_the_model_says, .timeout_s = 120) {
    tester = cop_self(ctx);
    test_trap_exit(ctx);
    int trees = cop_sim_is_on() ? 10 : 200;
    for (volatile int i = 0; i < trees; i++)
        COP_SCOPE(ctx) { one_tree(ctx, cop_sim_seed() * 1000 + (uint64_t)i + 1); }
}
