/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and replies (coppice/gen.h), and what a callback process does with what it raises.
 * Expected messages are those that :gen.send_request and :gen.reply exchange on OTP 25.
 */
#include "help.h"

/* Answers each request: {:echo, x} with x, :who with its `from`, :hold with the next message, :end by an
   exit. */
static void server(cop_ctx *ctx, cop_term arg) {
    for (;;)
        COP_SCOPE(ctx) {
            cop_term message, from, request, value;
            cop_receive(ctx, COP_INFINITY, &message);
            if (!cop_match_tuple(message, cop_a(ask), &from, &request))
                continue;
            if (cop_match_tuple(request, cop_a(echo), &value))
                cop_gen_reply(ctx, from, value);
            else if (cop_match(request, cop_a(who)))
                cop_gen_reply(ctx, from, from);
            else if (cop_match_tuple(request, cop_a(pass), &value))
                cop_send(ctx, value, from);
            else if (cop_match(request, cop_a(hold)) && cop_receive(ctx, COP_INFINITY, &message))
                cop_gen_reply(ctx, from, message);
            else if (cop_match(request, cop_a(end)))
                cop_exit(ctx, cop_a(ended));
        }
}

static cop_pid start(cop_ctx *ctx) { return cop_spawn(ctx, server, COP_NONE); }

static cop_term answer(cop_ctx *ctx, cop_ref ref) {
    cop_term message;
    EXPECT(cop_gen_receive(ctx, ref, 5000, &message));
    return message;
}

static void expect_no_monitors(cop_ctx *ctx, cop_pid server_pid) {
    EXPECT_TERM(ctx, cop_process_info(ctx, server_pid, cop_a(monitored_by)), "[]");
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)), "[]");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(a_request_is_answered_through_its_alias) {
    cop_pid p = start(ctx);
    cop_term long_one = cop_list(ctx, 1, "a text", cop_tuple(ctx, 2.5, cop_a(x)));
    cop_ref ref = cop_gen_request(ctx, p, cop_a(ask), cop_tuple(ctx, cop_a(echo), long_one), true);
    EXPECT_TERM(ctx, answer(ctx, ref), "{[:alias | _], [1, \"a text\", {2.5, :x}]}");
    ref = cop_gen_request(ctx, p, cop_a(ask), cop_a(who), true);
    cop_term message = answer(ctx, ref);
    EXPECT_TERM(ctx, message, "{[:alias | _], {_, [:alias | _]}}");
    EXPECT_SAME(ctx, cop_elem(cop_elem(message, 1), 0), cop_self(ctx).t);
    EXPECT_SAME(ctx, cop_tail(cop_elem(message, 0)), ref.t);
    expect_no_monitors(ctx, p);
}

TEST(a_bare_reference_is_a_tag_too) {
    cop_pid p = start(ctx);
    cop_ref ref = cop_gen_request(ctx, p, cop_a(ask), cop_a(who), false);
    cop_term message = answer(ctx, ref);
    EXPECT_SAME(ctx, cop_elem(message, 0), ref.t);
    EXPECT_SAME(ctx, cop_elem(cop_elem(message, 1), 1), ref.t);
    expect_no_monitors(ctx, p);
}

TEST(a_request_watches_while_it_is_not_answered) {
    cop_pid p = start(ctx);
    cop_ref ref = cop_gen_request(ctx, p, cop_a(ask), cop_a(nothing), true);
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)), "[process: _]");
    EXPECT_INT(cop_list_length(cop_process_info(ctx, p, cop_a(monitored_by))), 1);
    cop_send(ctx, p, cop_tuple(ctx, cop_a(ask), COP_NIL, cop_a(end)));
    EXPECT_TERM(ctx, answer(ctx, ref), "{:DOWN, _, :process, _, :ended}");
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)), "[]");
}

TEST(a_request_to_the_dead_is_answered_with_noproc) {
    cop_pid p = test_dead_pid(ctx);
    for (int alias = 0; alias < 2; alias++) {
        cop_ref ref = cop_gen_request(ctx, p, cop_a(ask), cop_a(who), alias == 1);
        EXPECT_TERM(ctx, answer(ctx, ref), "{:DOWN, _, :process, _, :noproc}");
    }
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(who_gives_up_gets_no_late_reply) {
    cop_pid p = start(ctx);
    cop_ref ref =
        cop_gen_request(ctx, p, cop_a(ask), cop_tuple(ctx, cop_a(pass), cop_self(ctx)), true);
    cop_term from, message;
    EXPECT(cop_receive(ctx, 5000, &from));
    EXPECT(!cop_gen_receive(ctx, ref, 1, &message));
    expect_no_monitors(ctx, p);
    cop_gen_reply(ctx, from, cop_a(late));
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(anybody_may_reply) {
    cop_pid p = start(ctx);
    for (int alias = 0; alias < 2; alias++) {
        cop_ref ref = cop_gen_request(ctx, p, cop_a(ask),
                                      cop_tuple(ctx, cop_a(pass), cop_self(ctx)), alias == 1);
        cop_term from = ASSERT_RECEIVE(ctx, "{_, _}");
        cop_gen_reply(ctx, from, cop_a(from_another));
        EXPECT_TERM(ctx, answer(ctx, ref), "{_, :from_another}");
        expect_no_monitors(ctx, p);
    }
}

/* The alias is taken back before the reply, which strikes the watcher out, is taken in. */
TEST(who_takes_the_alias_back_still_watches) {
    cop_pid p = start(ctx);
    cop_ref ref = cop_gen_request(ctx, p, cop_a(ask), cop_a(hold), true);
    EXPECT(cop_process_unalias(ctx, ref));
    cop_send(ctx, p, cop_a(hi));
    EXPECT(cop_process_is_alive(ctx, p)); /* the reply has been sent, and is dropped */
    EXPECT_INT(cop_list_length(cop_process_info(ctx, p, cop_a(monitored_by))), 1);
    cop_process_exit(ctx, p, cop_a(boo));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boo}");
}

TEST(a_request_to_oneself_and_to_a_bounded_mailbox) {
    cop_term message, from, request;
    cop_ref ref = cop_gen_request(ctx, cop_self(ctx), cop_a(ask), cop_a(me), true);
    EXPECT(cop_receive(ctx, 0, &message));
    EXPECT(cop_match_tuple(message, cop_a(ask), &from, &request));
    cop_gen_reply(ctx, from, cop_a(yes));
    EXPECT_TERM(ctx, answer(ctx, ref), "{_, :yes}");
    cop_pid p =
        cop_process_spawn(ctx, server, COP_NONE, &(cop_spawn_opts){ .max_queue_len = 10 }).pid;
    ref = cop_gen_request(ctx, p, cop_a(ask), cop_tuple(ctx, cop_a(echo), 7), true);
    EXPECT_TERM(ctx, answer(ctx, ref), "{_, 7}");
    expect_no_monitors(ctx, p);
}

TEST(what_is_no_from_is_refused) {
    EXPECT_ERROR(ctx, ":badarg") { cop_gen_reply(ctx, cop_a(nobody), 1); }
    EXPECT_ERROR(ctx, ":badarg") { cop_gen_reply(ctx, cop_tuple(ctx, 1, 2), 1); }
    cop_gen_reply(ctx, cop_tuple(ctx, cop_self(ctx), cop_a(any_tag)), 1);
    ASSERT_RECEIVE(ctx, "{:any_tag, 1}");
}

/* ---- what a callback raises ---------------------------------------------------------------------- */

struct raiser {
    cop_term told;
};

static void raiser_message(cop_ctx *ctx, void *state, cop_term message) {
    cop_term what;
    if (cop_match_tuple(message, cop_a(error), &what))
        cop_error(ctx, what);
    if (cop_match_tuple(message, cop_a(exit), &what))
        cop_exit(ctx, what);
    if (cop_match_tuple(message, cop_a(throw), &what))
        cop_throw(ctx, what);
    if (cop_match(message, cop_a(fault)))
        *(volatile int *)0 = 1;
    cop_exit(ctx, cop_a(not_understood));
}

static void raiser_raised(cop_ctx *ctx, void *state, const cop_caught *caught) {
    struct raiser *self = state;
    static const char *const names[] = { "exit", "error", "throw" };
    cop_term more;
    cop_send(ctx, self->told,
             cop_tuple(ctx, cop_atom_new(names[caught->class]), caught->reason, caught->is_fault));
    if (cop_receive(ctx, 0, &more)) /* it may wait, and raise */
        cop_exit(ctx, more);
}

static void raiser_start(cop_ctx *ctx, cop_term arg) {
    static const cop_callbacks callbacks = { .name = "raiser",
                                             .message = raiser_message,
                                             .raised = raiser_raised };
    struct raiser *self = cop_process_state(ctx, sizeof *self);
    self->told = arg;
    cop_process_keep(ctx, 0, &self->told, 1);
    cop_become(ctx, &callbacks, self);
}

static cop_pid raiser(cop_ctx *ctx) {
    cop_spawned s = cop_spawn_monitor(ctx, raiser_start, cop_self(ctx).t);
    return s.pid;
}

TEST(a_callback_hears_of_what_was_raised) {
    cop_send(ctx, raiser(ctx), cop_tuple(ctx, cop_a(exit), cop_a(bye)));
    ASSERT_RECEIVE(ctx, "{:exit, :bye, false}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :bye}");
    test_capture_log(ctx);
    cop_send(ctx, raiser(ctx), cop_tuple(ctx, cop_a(error), cop_a(bad)));
    ASSERT_RECEIVE(ctx, "{:error, :bad, false}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:bad, [_ | _]}}");
    cop_send(ctx, raiser(ctx), cop_tuple(ctx, cop_a(throw), cop_a(ball)));
    ASSERT_RECEIVE(ctx, "{:throw, :ball, false}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {{:nocatch, :ball}, []}}");
}

TEST(what_raised_raises_ends_the_process) {
    cop_pid p = raiser(ctx);
    cop_process_suspend(ctx, p, 0); /* both are there before it handles the first */
    cop_send(ctx, p, cop_tuple(ctx, cop_a(exit), cop_a(first)));
    cop_send(ctx, p, cop_a(second));
    cop_process_resume(ctx, p);
    ASSERT_RECEIVE(ctx, "{:exit, :first, false}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :second}");
}

TEST(an_exit_signal_is_not_raised) {
    cop_pid p = raiser(ctx);
    cop_process_exit(ctx, p, cop_a(signal));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :signal}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

/* ---- sending without a monitor ------------------------------------------------------------------------ */

TEST(a_send_has_the_shape_of_a_request) {
    cop_term tag = cop_tuple(ctx, cop_a(any), "tag");
    EXPECT_TERM(ctx, cop_gen_send(ctx, cop_self(ctx), cop_as("$x"), tag, cop_a(hello), 0), ":ok");
    cop_term message = ASSERT_RECEIVE(ctx, "{:\"$x\", {_, {:any, \"tag\"}}, :hello}");
    EXPECT(cop_match(cop_elem(cop_elem(message, 1), 0), cop_self(ctx)));
}

static void forwarder(cop_ctx *ctx, cop_term to) {
    for (cop_term message; cop_receive(ctx, COP_INFINITY, &message);)
        cop_send(ctx, to, message);
}

static void forwarded(cop_ctx *ctx, cop_pid via, const cop_term *elems, size_t n) {
    EXPECT_TERM(ctx, cop_gen_send_list(ctx, via.t, cop_a(l), cop_a(t).t, n, elems, 0), ":ok");
    cop_term message = ASSERT_RECEIVE(ctx, "{:l, {_, :t}, _}");
    EXPECT_SAME(ctx, cop_elem(message, 2), cop_list_n(ctx, n, elems));
}

TEST(a_list_is_sent_from_an_array) {
    cop_pid via = cop_spawn_link(ctx, forwarder, cop_self(ctx).t);
    cop_term flat[] = { COP_INT(1), cop_a(two).t, cop_self(ctx).t, COP_NIL };
    cop_term deep[] = { cop_list(ctx, 1, 2), COP_INT(3), cop_of(ctx, "a binary"),
                        cop_tuple(ctx, cop_a(a), cop_list(ctx, "x")) };
    static char large[200];
    memset(large, 'x', sizeof large - 1);
    cop_term shared[] = { cop_of(ctx, large), cop_of(ctx, 1.5), cop_of(ctx, large) };
    forwarded(ctx, via, flat, 4);
    forwarded(ctx, via, deep, 4);
    forwarded(ctx, via, shared, 3);
    forwarded(ctx, via, flat, 1);
    forwarded(ctx, via, NULL, 0);
    cop_process_unlink(ctx, via);
    cop_process_exit(ctx, via, cop_a(kill));
    test_await_down(ctx, via);
    EXPECT_TERM(ctx, cop_gen_send_list(ctx, via.t, cop_a(l), cop_a(t).t, 4, flat, 0), ":ok");
    EXPECT_TERM(ctx, cop_gen_send(ctx, via, cop_a(l), cop_a(t), 1, 0), ":ok");
}
