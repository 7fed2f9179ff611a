/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task.Supervisor. The specification's cases TA-090 and TA-130..153; what is expected was observed with the
 * Task.Supervisor of Elixir's main branch, and with Elixir 1.14 where the two agree.
 */
#include "task_stream_help.h"

static cop_started start_sup(cop_ctx *ctx, cop_term arg) {
    int64_t max = 0;
    cop_get_i64(arg, &max);
    return cop_task_supervisor_start_link(ctx,
                                          &(cop_dynamic_supervisor_opts){ .max_children = max });
}
static cop_pid new_sup(cop_ctx *ctx) { return test_start_supervised(ctx, start_sup, COP_NIL); }
static cop_pid small_sup(cop_ctx *ctx) { return test_start_supervised(ctx, start_sup, COP_INT(1)); }

/* ---- starting one --------------------------------------------------------------------------------------- */

TEST(TA_130_a_supervisor_starts_without_children) {
    cop_pid sup = new_sup(ctx);
    EXPECT_TERM(ctx, cop_task_supervisor_children(ctx, sup), "[]");
    EXPECT_TERM(ctx, cop_dynamic_supervisor_count_children(ctx, sup),
                "%{active: 0, specs: 0, supervisors: 0, workers: 0}");
    EXPECT_TERM(ctx, dict(ctx, sup, "$initial_call"), "{:supervisor, Task.Supervisor, 1}");
    EXPECT_TERM(ctx, dict(ctx, sup, "Elixir.Task.Supervisor"), "{:temporary, 5000}");
    cop_started tree = cop_supervisor_start_link_terms(
        ctx, T(ctx, "[{Task.Supervisor, [name: :my_tasks]}]"), T(ctx, "[strategy: :one_for_one]"));
    EXPECT_INT(tree.is, COP_STARTED);
    EXPECT(cop_is_pid(cop_process_whereis(ctx, cop_a(my_tasks))));
    cop_task task = cop_task_supervisor_async(ctx, cop_a(my_tasks), give, COP_INT(1), NULL);
    EXPECT_TERM(ctx, cop_task_await(ctx, task, 0), "1");
    /* The task is linked to us: stopped between its reply and its end it would take us along. */
    cop_process_monitor(ctx, task.pid);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
    cop_supervisor_stop(ctx, tree.pid, cop_a(normal), 0);
}

TEST(TA_131_spawn_options_are_honoured) {
    cop_spawn_opts high = { .priority = COP_PRIORITY_HIGH };
    cop_start_opts start = { .spawn = &high };
    cop_started sup =
        cop_task_supervisor_start_link(ctx, &(cop_dynamic_supervisor_opts){ .start = &start });
    EXPECT_TERM(ctx, cop_process_info(ctx, sup.pid, cop_a(priority)), ":high");
}

TEST(TA_132_the_ids_of_child_specs) {
    static const char *cases[][2] = {
        { "[]", "%{id: Task.Supervisor, start: {Task.Supervisor, :start_link, [[]]}, "
                "type: :supervisor}" },
        { "[name: :n]", "%{id: :n}" },
        { "[name: {:global, :g}]", "%{id: :g}" },
        { "[name: {:via, Registry, {:r, 1}}]", "%{id: {:r, 1}}" },
    };
    for (size_t i = 0; i < 4; i++)
        EXPECT_TERM(ctx, cop_task_supervisor_child_spec(ctx, T(ctx, cases[i][0])), cases[i][1]);
}

/* ---- tasks ------------------------------------------------------------------------------------------------ */

TEST(TA_133_async_is_linked_to_the_caller_and_the_supervisor) {
    cop_pid sup = new_sup(ctx);
    cop_task task = cop_task_supervisor_async(ctx, sup, at_go, cop_a(v).t, NULL);
    EXPECT_SAME(ctx, cop_task_supervisor_children(ctx, sup), cop_list(ctx, task.pid));
    cop_term both = links(ctx, task.pid);
    EXPECT(cop_list_length(both) == 2 && in_list(both, sup.t) && in_list(both, cop_self(ctx).t));
    go(ctx, task.pid);
    EXPECT_TERM(ctx, cop_task_await(ctx, task, 0), ":v");
}

TEST(TA_134_async_nolink_is_not_linked_to_the_caller) {
    cop_pid sup = new_sup(ctx);
    cop_task task = cop_task_supervisor_async_nolink(ctx, sup, at_go, cop_a(v).t, NULL);
    EXPECT(!is_linked(ctx, task.pid));
    go(ctx, task.pid);
    EXPECT_SAME(ctx, ASSERT_RECEIVE(ctx, "{_, :v}"), cop_tuple(ctx, task.ref, cop_a(v)));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    cop_task_supervisor_async_nolink(ctx, sup, leave, cop_a(boom).t, NULL);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boom}");
    no_messages(ctx);
}

/* Traps exits, so that only a kill ends it at once. */
static cop_term deaf(cop_ctx *ctx, cop_term to) {
    cop_process_trap_exit(ctx, true);
    cop_send(ctx, to, cop_tuple(ctx, cop_a(ready), cop_self(ctx)));
    return stay(ctx, to);
}

TEST(TA_135_a_brutal_kill_when_the_supervisor_stops) {
    cop_task_opts brutal = { .shutdown_ms = COP_BRUTAL_KILL };
    test_trap_exit(ctx);
    for (int i = 0; i < 3; i++) {
        cop_started sup = cop_task_supervisor_start_link(ctx, NULL);
        cop_term self = cop_self(ctx).t;
        cop_pid pid;
        if (i == 0)
            cop_task_supervisor_async(ctx, sup.pid, deaf, self, &brutal);
        else if (i == 1)
            cop_task_supervisor_async_nolink(ctx, sup.pid, deaf, self, &brutal);
        else
            cop_task_supervisor_start_child(ctx, sup.pid, deaf, self, &brutal);
        EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{:ready, _}"), cop_a(ready), &pid));
        cop_ref down = cop_process_monitor(ctx, pid);
        cop_process_exit(ctx, sup.pid, cop_a(shutdown));
        cop_term message;
        EXPECT(cop_receive_ref(ctx, 5000, down, &message));
        EXPECT_TERM(ctx, cop_elem(message, 4), ":killed");
    }
}

#define MAX_TEXT                                                                                 \
    "reached the maximum number of tasks for this task supervisor. The maximum number of tasks " \
    "that are allowed to run at the same time under this supervisor can be configured with the " \
    ":max_children option passed to Task.Supervisor.start_link/1"

TEST(TA_136_at_max_children) {
    const char *pattern = "%{__struct__: RuntimeError, message: \"" MAX_TEXT "\"}";
    const char *of_stream =
        "%{__struct__: RuntimeError, message: \"" MAX_TEXT
        ". When using async_stream or async_stream_nolink, make sure to configure "
        ":max_concurrency to be lower or equal to :max_children and pay attention to whether other "
        "tasks are also spawned under the same task supervisor.\"}";
    cop_async_stream_opts two = { .max_concurrency = 2 };
    cop_pid sup = small_sup(ctx);
    cop_term input = T(ctx, "[:infinity, :infinity]");
    EXPECT_ERROR(ctx, of_stream) {
        cop_enum_to_list(
            ctx, cop_task_supervisor_async_stream(ctx, sup, input, slow_one, COP_NIL, &two));
    }
    EXPECT_ERROR(ctx, of_stream) {
        cop_enum_to_list(
            ctx, cop_task_supervisor_async_stream_nolink(ctx, sup, input, slow_one, COP_NIL, &two));
    }
    EXPECT_TERM(ctx, cop_task_supervisor_children(ctx, sup), "[]");
    cop_task_supervisor_start_child(ctx, sup, stay, COP_NIL, NULL);
    EXPECT_ERROR(ctx, pattern) { cop_task_supervisor_async(ctx, sup, stay, COP_NIL, NULL); }
    EXPECT_ERROR(ctx, pattern) { cop_task_supervisor_async_nolink(ctx, sup, stay, COP_NIL, NULL); }
    cop_started full = cop_task_supervisor_start_child(ctx, sup, stay, COP_NIL, NULL);
    EXPECT_TERM(ctx, cop_started_to_term(ctx, full), "{:error, :max_children}");
    no_messages(ctx);
}

TEST(TA_137_start_child_is_only_the_supervisor_s) {
    cop_pid sup = new_sup(ctx);
    cop_started child = cop_task_supervisor_start_child(ctx, sup, at_go, COP_NIL, NULL);
    EXPECT_INT(child.is, COP_STARTED);
    EXPECT(!is_linked(ctx, child.pid));
    EXPECT_SAME(ctx, cop_task_supervisor_children(ctx, sup), cop_list(ctx, child.pid));
    go(ctx, child.pid);
    test_await_down(ctx, child.pid);
    no_messages(ctx);
    cop_term args = cop_list(ctx, cop_tuple(ctx, cop_self(ctx), cop_a(by_name)));
    child = cop_task_supervisor_start_child_term(ctx, sup.t, mfa(ctx, "tell", args), NULL);
    EXPECT_SAME(ctx, ASSERT_RECEIVE(ctx, "{:by_name, _}"),
                cop_tuple(ctx, cop_a(by_name), child.pid));
}

static cop_term tell_and_leave(cop_ctx *ctx, cop_term arg) {
    cop_term reason = cop_elem(arg, 1);
    cop_send(ctx, cop_elem(arg, 0), cop_tuple(ctx, cop_a(run), cop_self(ctx)));
    if (cop_match(reason, cop_a(wait)))
        return stay(ctx, arg);
    cop_exit(ctx, reason);
}

TEST(TA_138_a_permanent_child_is_run_again) {
    cop_task_opts permanent = { .restart = COP_TASK_PERMANENT };
    cop_pid sup = new_sup(ctx), first = { COP_NONE };
    cop_term arg = cop_tuple(ctx, cop_self(ctx), cop_a(wait));
    cop_task_supervisor_start_child(ctx, sup, tell_and_leave, arg, &permanent);
    EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{:run, _}"), cop_a(run), &first));
    cop_process_exit(ctx, first, cop_a(shutdown));
    EXPECT(!cop_same(cop_elem(ASSERT_RECEIVE(ctx, "{:run, _}"), 1), first.t));
}

TEST(TA_139_a_transient_child_is_run_again_after_a_bad_end) {
    cop_task_opts transient = { .restart = COP_TASK_TRANSIENT };
    test_trap_exit(ctx);
    cop_started sup = cop_task_supervisor_start_link(ctx, NULL);
    cop_term good = cop_tuple(ctx, cop_self(ctx), T(ctx, "{:shutdown, 1}"));
    cop_task_supervisor_start_child(ctx, sup.pid, tell_and_leave, good, &transient);
    ASSERT_RECEIVE(ctx, "{:run, _}");
    REFUTE_RECEIVE(ctx, "{:run, _}", 20);
    cop_term bad = cop_tuple(ctx, cop_self(ctx), cop_a(boom));
    cop_task_supervisor_start_child(ctx, sup.pid, tell_and_leave, bad, &transient);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
    EXPECT_INT(cop_list_length(test_flush(ctx)), 4);
}

/* {callers, ancestors} of this process. */
static cop_term family(cop_ctx *ctx) {
    return cop_tuple(ctx, cop_process_get(ctx, cop_as("$callers").t),
                     cop_process_get(ctx, cop_as("$ancestors").t));
}
static cop_term family_task(cop_ctx *ctx, cop_term sup) {
    cop_term inner = COP_NIL;
    if (cop_is_pid(sup))
        inner =
            cop_task_await(ctx, cop_task_supervisor_async(ctx, sup, family_task, COP_NIL, NULL), 0);
    return cop_tuple(ctx, cop_self(ctx), family(ctx), inner);
}

TEST(TA_140_callers_and_ancestors_under_a_supervisor) {
    cop_started sup = cop_task_supervisor_start_link(ctx, NULL);
    cop_term outer = cop_task_await(
        ctx, cop_task_supervisor_async(ctx, sup.pid, family_task, sup.pid.t, NULL), 0);
    cop_term ancestors = cop_list(ctx, sup.pid, cop_self(ctx));
    cop_term callers = cop_list(ctx, cop_self(ctx)), inner = cop_elem(outer, 2);
    EXPECT_SAME(ctx, cop_elem(outer, 1), cop_tuple(ctx, callers, ancestors));
    callers = cop_cons(ctx, cop_elem(outer, 0), callers);
    EXPECT_SAME(ctx, cop_elem(inner, 1), cop_tuple(ctx, callers, ancestors));
}

TEST(TA_141_terminate_child) {
    cop_pid sup = new_sup(ctx);
    cop_task task = cop_task_supervisor_async_nolink(ctx, sup, stay, COP_NIL, NULL);
    EXPECT_TERM(ctx, cop_task_supervisor_terminate_child(ctx, sup, task.pid), ":ok");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :shutdown}");
    EXPECT_TERM(ctx, cop_task_supervisor_terminate_child(ctx, sup, task.pid),
                "{:error, :not_found}");
    EXPECT_ERROR(ctx, "%{__struct__: FunctionClauseError}") {
        cop_task_supervisor_terminate_child(ctx, sup, cop_a(no_pid));
    }
}

TEST(TA_142_a_supervisor_that_is_not_there) {
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :call, [:nope, {:start_task, [{_, _, _}, :monitor], "
                     ":temporary, 5000}, :infinity]}}") {
        cop_task_supervisor_async(ctx, cop_a(nope), give, COP_NIL, NULL);
    }
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :call, [:nope, {:start_task, _, _, _}, :infinity]}}") {
        cop_task_supervisor_start_child(ctx, cop_a(nope), give, COP_NIL, NULL);
    }
    cop_term stream =
        cop_task_supervisor_async_stream(ctx, cop_a(nope), T(ctx, "[1]"), slow_one, COP_NIL, NULL);
    test_trap_exit(ctx);
    EXPECT_EXIT(ctx, "{{:noproc, {GenServer, :call, [:nope, {:start_task, _, _, _}, :infinity]}}, "
                     "{Task.Supervised, :stream, [5000]}}") {
        cop_enum_to_list(ctx, stream);
    }
    no_messages(ctx);
}

TEST(TA_143_the_supervisor_is_shut_down) {
    test_trap_exit(ctx);
    for (int link = 0; link < 2; link++) {
        cop_started sup = cop_task_supervisor_start_link(ctx, NULL);
        cop_process_unlink(ctx, sup.pid);
        cop_task task = link ? cop_task_supervisor_async(ctx, sup.pid, stay, COP_NIL, NULL)
                             : cop_task_supervisor_async_nolink(ctx, sup.pid, stay, COP_NIL, NULL);
        cop_process_exit(ctx, sup.pid, cop_a(shutdown));
        cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :shutdown}");
        EXPECT_SAME(ctx, cop_elem(down, 1), task.ref);
        if (link)
            ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
        test_await_down(ctx, sup.pid);
        no_messages(ctx);
    }
}

/* arg is {to, supervisor, linked?}. */
static void caller_of_one(cop_ctx *ctx, cop_term arg) {
    cop_term sup = cop_elem(arg, 1);
    cop_task task = cop_match(cop_elem(arg, 2), cop_a(true))
                        ? cop_task_supervisor_async(ctx, sup, stay, COP_NIL, NULL)
                        : cop_task_supervisor_async_nolink(ctx, sup, stay, COP_NIL, NULL);
    cop_send(ctx, cop_elem(arg, 0), cop_tuple(ctx, cop_a(task), task.pid));
    stay(ctx, arg);
}

TEST(TA_144_the_caller_is_killed) {
    cop_pid sup = new_sup(ctx), task = { COP_NONE };
    for (int link = 0; link < 2; link++) {
        cop_pid caller =
            cop_spawn(ctx, caller_of_one, cop_tuple(ctx, cop_self(ctx), sup, cop_bool(link == 1)));
        EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{:task, _}"), cop_a(task), &task));
        cop_process_monitor(ctx, task);
        cop_process_exit(ctx, caller, cop_a(kill));
        test_await_down(ctx, caller);
        if (link)
            ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
        else
            REFUTE_RECEIVE(ctx, "{:DOWN, _, :process, _, _}", 20);
    }
}

/* ---- the protocol ------------------------------------------------------------------------------------------- */

static cop_pid raw_task(cop_ctx *ctx, cop_pid sup, cop_pid owner) {
    cop_term me = cop_tuple(ctx, cop_as("nonode@nohost"), owner, owner);
    cop_term got =
        cop_gen_server_call(ctx, sup,
                            cop_tuple(ctx, cop_a(start_task), cop_list(ctx, me, cop_a(monitor)),
                                      cop_a(temporary), cop_a(nil)),
                            0);
    cop_pid pid = { COP_NONE };
    EXPECT(cop_match_tuple(got, cop_a(ok), &pid));
    cop_process_monitor(ctx, pid);
    return pid;
}
static cop_term start_message(cop_ctx *ctx, cop_pid from, cop_ref ref) {
    return cop_tuple(ctx, from, ref, cop_self(ctx), cop_list(ctx, from),
                     mfa(ctx, "add", T(ctx, "[1, 2]")));
}

TEST(TA_145_the_protocol_by_hand) {
    cop_pid pid = raw_task(ctx, new_sup(ctx), cop_self(ctx));
    cop_ref ref = cop_make_ref(ctx);
    cop_send(ctx, pid, start_message(ctx, cop_self(ctx), ref));
    EXPECT_SAME(ctx, ASSERT_RECEIVE(ctx, "{_, 3}"), cop_tuple(ctx, ref, 3));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
}

TEST(TA_146_a_task_without_its_start_message) {
    cop_pid pid = raw_task(ctx, new_sup(ctx), cop_self(ctx));
    int64_t began = cop_monotonic_ms(ctx);
    cop_send(ctx, pid, start_message(ctx, test_idle_pid(ctx), cop_make_ref(ctx)));
    ASSERT_RECEIVE_IN(ctx, "{:DOWN, _, :process, _, :timeout}", 10000);
    EXPECT(cop_monotonic_ms(ctx) - began >= 4990);
    no_messages(ctx);
}

TEST(TA_147_an_owner_that_dies_before_the_start_message) {
    cop_pid owner = test_idle_pid(ctx), pid = raw_task(ctx, new_sup(ctx), owner);
    while (cop_is_nil(cop_process_info(ctx, pid, cop_a(monitors))))
        cop_yield(ctx); /* until it watches its owner */
    cop_process_exit(ctx, owner, cop_a(boom));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:shutdown, :boom}}");
}

/* ---- streams -------------------------------------------------------------------------------------------------- */

static cop_term sup_stream(cop_ctx *ctx, cop_pid sup, const char *input, bool link,
                           cop_task_element_function f, const cop_async_stream_opts *opts) {
    cop_term list = T(ctx, input), self = cop_self(ctx).t;
    return link ? cop_task_supervisor_async_stream(ctx, sup, list, f, self, opts)
                : cop_task_supervisor_async_stream_nolink(ctx, sup, list, f, self, opts);
}
static cop_term link_count(cop_ctx *ctx, cop_term sup, cop_term to) {
    cop_term mine = links(ctx, cop_self(ctx));
    EXPECT(in_list(mine, sup));
    return cop_of(ctx, cop_list_length(mine));
}

TEST(TA_148_streams_under_a_supervisor) {
    cop_async_stream_opts late = { .timeout_ms = 30,
                                   .on_timeout = COP_ELEMENT_TIMEOUT_KILL,
                                   .zip_input_on_exit = true };
    cop_pid sup = new_sup(ctx);
    for (int link = 0; link < 2; link++) {
        cop_term stream = sup_stream(ctx, sup, "[1, 2, 3, 4]", link, slow_one, NULL);
        EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream), "[ok: 1, ok: 2, ok: 3, ok: 4]");
        stream = sup_stream(ctx, sup, "[1, :infinity]", link, slow_one, &late);
        EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream), "[ok: 1, exit: {:infinity, :timeout}]");
        EXPECT_EXIT(ctx, "{:timeout, {Task.Supervised, :stream, [20]}}") {
            cop_enum_to_list(ctx, sup_stream(ctx, sup, "[:infinity]", link, slow_one,
                                             &(cop_async_stream_opts){ .timeout_ms = 20 }));
        }
        stream = cop_task_supervisor_async_stream_term(ctx, sup.t, T(ctx, "[1, 2]"),
                                                       mfa(ctx, "subtract", T(ctx, "[10]")), NULL);
        EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream), "[ok: -9, ok: -8]");
        char input[60];
        snprintf(input, sizeof input, "[%s]", text_of(sup.t));
        stream = sup_stream(ctx, sup, input, link, link_count, NULL);
        EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream), link ? "[ok: 2]" : "[ok: 1]");
        no_messages(ctx);
    }
}

static void walk_failing(cop_ctx *ctx, cop_term sup) {
    cop_enum_to_list(ctx, sup_stream(ctx, (cop_pid){ sup }, "[:boom]", true, leave_one, NULL));
}

TEST(TA_149_a_failure_in_a_stream_under_a_supervisor) {
    cop_pid sup = new_sup(ctx);
    cop_spawn_monitor(ctx, walk_failing, sup.t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boom}");
    cop_term stream = sup_stream(ctx, sup, "[1, :boom, 2, :bad]", false, leave_if_atom, NULL);
    EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream), "[ok: 1, exit: :boom, ok: 2, exit: :bad]");
    no_messages(ctx);
}

static cop_term tell_and_stay(cop_ctx *ctx, cop_term element, cop_term to) {
    cop_send(ctx, to, cop_tuple(ctx, cop_a(task), cop_self(ctx)));
    return slow_one(ctx, element, to);
}
static void walk_nolink(cop_ctx *ctx, cop_term arg) {
    cop_enum_to_list(
        ctx, cop_task_supervisor_async_stream_nolink(ctx, cop_elem(arg, 0), T(ctx, "[:infinity]"),
                                                     tell_and_stay, cop_elem(arg, 1), NULL));
}

TEST(TA_150_a_nolink_stream_whose_caller_is_killed) {
    cop_pid sup = new_sup(ctx), task = { COP_NONE };
    cop_pid caller = cop_spawn(ctx, walk_nolink, cop_tuple(ctx, sup, cop_self(ctx)));
    EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{:task, _}"), cop_a(task), &task));
    cop_process_monitor(ctx, task);
    cop_process_exit(ctx, caller, cop_a(kill));
    test_await_down(ctx, caller);
    REFUTE_RECEIVE(ctx, "{:DOWN, _, :process, _, _}", 20);
    EXPECT_SAME(ctx, cop_task_supervisor_children(ctx, sup), cop_list(ctx, task));
}

TEST(TA_151_a_nolink_stream_that_is_halted) {
    cop_pid sup = new_sup(ctx);
    cop_term stream = sup_stream(ctx, sup, "[1, :infinity, :infinity]", false, slow_one,
                                 &(cop_async_stream_opts){ .max_concurrency = 4 });
    EXPECT_TERM(ctx, cop_enum_take(ctx, stream, 1), "[ok: 1]");
    cop_dynamic_supervisor_count_children(ctx,
                                          sup); /* their exits are before this in its mailbox */
    EXPECT_TERM(ctx, cop_task_supervisor_children(ctx, sup), "[]");
    no_messages(ctx);
}

TEST(TA_153_what_which_children_shows) {
    cop_pid sup = new_sup(ctx);
    cop_started child = cop_task_supervisor_start_child(ctx, sup, stay, COP_NIL, NULL);
    EXPECT_TERM(ctx, cop_dynamic_supervisor_which_children(ctx, sup),
                "[{:undefined, _, :worker, [Task.Supervised]}]");
    EXPECT_SAME(ctx, cop_elem(cop_head(cop_dynamic_supervisor_which_children(ctx, sup)), 1),
                child.pid);
}

/* ---- TA-090: a server that has one task at a time ---------------------------------------------------------------- */

struct server {
    cop_ref ref; /* of the task that runs; COP_NONE inside when none does */
    cop_term supervisor, last;
};

static cop_init server_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct server *self = state;
    self->supervisor = arg;
    self->last = cop_a(nil).t;
    return cop_init_ok();
}

static cop_next server_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct server *self = state;
    cop_term reason;
    if (cop_match(request, cop_a(get)))
        return cop_reply(ctx, cop_tuple(ctx, cop_bool(!cop_is_none(self->ref.t)), self->last));
    if (!cop_match_tuple(request, cop_a(start), &reason))
        return cop_bad_call(ctx, request);
    if (cop_is_none(self->ref.t))
        self->ref = cop_task_supervisor_async_nolink(
                        ctx, self->supervisor, cop_match(reason, cop_a(good)) ? at_go : leave_go,
                        reason, NULL)
                        .ref;
    return cop_reply(ctx, cop_a(ok));
}

static cop_next server_info(cop_ctx *ctx, void *state, cop_term message) {
    struct server *self = state;
    cop_term answer, any;
    if (cop_match_tuple(message, self->ref, &answer)) {
        cop_process_demonitor(ctx, self->ref, COP_DEMONITOR_FLUSH);
        self->last = answer;
    } else if (cop_match_tuple(message, cop_as("DOWN"), self->ref, &any, &any, &answer)) {
        self->last = cop_tuple(ctx, cop_a(down), answer);
    } else {
        self->last = cop_tuple(ctx, cop_a(unexpected), message);
    }
    self->ref = (cop_ref){ COP_NONE };
    return cop_noreply();
}

static const cop_gen_server server = { .name = "Server",
                                       .state_size = sizeof(struct server),
                                       .state_terms = 3,
                                       .init = server_init,
                                       .handle_call = server_call,
                                       .handle_info = server_info };

static cop_started start_server(cop_ctx *ctx, cop_term sup) {
    return cop_gen_server_start_link(ctx, &server, sup, NULL);
}

/* Starts a task twice: one runs. Lets it go on, and waits until the server has none. */
static void one_task(cop_ctx *ctx, cop_pid pid, cop_pid sup, cop_atom how) {
    cop_pid task = { COP_NONE };
    for (int i = 0; i < 2; i++)
        EXPECT_TERM(ctx, cop_gen_server_call(ctx, pid, cop_tuple(ctx, cop_a(start), how), 0),
                    ":ok");
    cop_term children = cop_task_supervisor_children(ctx, sup);
    EXPECT(cop_list_length(children) == 1 && cop_get_pid(cop_head(children), &task));
    go(ctx, task);
    test_await_down(ctx, task);
}

TEST(TA_090_a_server_with_a_task) {
    cop_pid sup = new_sup(ctx), pid = test_start_supervised(ctx, start_server, sup.t);
    one_task(ctx, pid, sup, cop_a(good));
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, pid, cop_a(get), 0), "{false, :good}");
    one_task(ctx, pid, sup, cop_a(bad));
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, pid, cop_a(get), 0), "{false, {:down, :bad}}");
}
