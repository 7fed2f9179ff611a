/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash reports are bounded, and who holds secrets has a say in what they show. The fields of the reports are
 * tested in proc_lib_test.c.
 */
#include <string.h>

#include "logger_help.h"

static cop_term of_list(cop_term list, cop_atom key) {
    cop_term pair, value;
    while (cop_get_cons(list, &pair, &list))
        if (cop_match_tuple(pair, key, &value))
            return value;
    return COP_NONE;
}

/* What the next crash report says of the process itself. */
static cop_term next_report(cop_ctx *ctx) {
    cop_term event = ASSERT_RECEIVE(
        ctx, "{:log, :error, {:report, %{label: {:proc_lib, :crash}, report: [_, _]}}, _}");
    cop_term report;
    EXPECT(cop_map_get(cop_elem(cop_elem(event, 2), 1), cop_a(report).t, &report));
    return cop_head(report);
}

static cop_term report_of(cop_ctx *ctx, cop_entry entry) {
    test_capture_log(ctx);
    cop_proc_lib_spawn(ctx, entry, COP_NONE);
    return next_report(ctx);
}

/* ---- bounds ------------------------------------------------------------------------------------------------- */

static void with_a_long_queue(cop_ctx *ctx, cop_term arg) {
    for (int i = 0; i < 1500; i++)
        cop_send(ctx, cop_self(ctx), i);
    cop_exit(ctx, cop_a(boo));
}

TEST(a_long_queue_is_only_counted) {
    cop_term own = report_of(ctx, with_a_long_queue);
    EXPECT_TERM(ctx, of_list(own, cop_a(messages)), "\"1500 messages\"");
    EXPECT_TERM(ctx, of_list(own, cop_a(message_queue_len)), "1500");
}

static void with_a_short_queue(cop_ctx *ctx, cop_term arg) {
    for (int i = 0; i < 3; i++)
        cop_send(ctx, cop_self(ctx), i);
    cop_exit(ctx, cop_a(boo));
}

TEST(a_short_queue_is_shown_as_it_is) {
    cop_term own = report_of(ctx, with_a_short_queue);
    EXPECT_TERM(ctx, of_list(own, cop_a(messages)), "[0, 1, 2]");
}

static cop_term long_list(cop_ctx *ctx) {
    cop_term list = COP_NIL;
    for (int i = 0; i < 100000; i++)
        list = cop_cons(ctx, i, list);
    return list;
}

static void with_large_terms(cop_ctx *ctx, cop_term arg) {
    cop_process_put(ctx, cop_a(large).t, long_list(ctx));
    cop_send(ctx, cop_self(ctx), long_list(ctx));
    cop_exit(ctx, long_list(ctx));
}

TEST(large_terms_are_shown_as_the_beginning_of_their_text) {
    cop_term own = report_of(ctx, with_large_terms), info = of_list(own, cop_a(error_info));
    cop_term shown[] = { of_list(own, cop_a(messages)), of_list(own, cop_a(dictionary)),
                         cop_elem(info, 1) };
    for (int i = 0; i < 3; i++) {
        EXPECT(cop_is_binary(shown[i]));
        EXPECT(cop_iodata_size(shown[i]) < 2100);
    }
    EXPECT_TERM(ctx, cop_elem(info, 0), ":exit");
}

/* ---- redaction ------------------------------------------------------------------------------------------------ */

static cop_term names_only(cop_ctx *ctx, cop_atom what, cop_term term) {
    return cop_tuple(ctx, cop_a(hidden), what);
}

static void knows_much(cop_ctx *ctx, cop_term arg) {
    cop_proc_lib_set_redact(ctx, names_only);
    cop_process_put(ctx, cop_a(key).t, cop_of(ctx, "secret"));
    cop_process_set_label(ctx, "secret");
    cop_send(ctx, cop_self(ctx), "secret");
    cop_send(ctx, cop_self(ctx), "secret");
    cop_exit(ctx, cop_tuple(ctx, cop_a(bad), "secret"));
}

static bool holds_secret(cop_term t) {
    static char text[100000];
    cop_inspect_to(text, sizeof text, t, &(cop_inspect_opts){ .limit = -1, .printable_limit = -1 });
    return strstr(text, "secret") != NULL;
}

TEST(a_process_has_a_say_in_its_report) {
    cop_term own = report_of(ctx, knows_much);
    EXPECT_TERM(ctx, of_list(own, cop_a(messages)), "[{:hidden, :message}, {:hidden, :message}]");
    EXPECT_TERM(ctx, of_list(own, cop_a(dictionary)), "{:hidden, :dictionary}");
    EXPECT_TERM(ctx, of_list(own, cop_a(process_label)), "{:hidden, :label}");
    EXPECT_TERM(ctx, of_list(own, cop_a(error_info)), "{:exit, {:hidden, :reason}, _}");
    EXPECT_TERM(ctx, of_list(own, cop_a(pid)), "_");
    EXPECT(!holds_secret(own));
}

static void has_it_taken_back(cop_ctx *ctx, cop_term arg) {
    cop_proc_lib_set_redact(ctx, names_only);
    cop_proc_lib_set_redact(ctx, NULL);
    cop_exit(ctx, cop_a(boo));
}

TEST(redaction_can_be_taken_back_and_leaves_no_trace_in_the_dictionary) {
    cop_term own = report_of(ctx, has_it_taken_back);
    EXPECT_TERM(ctx, of_list(own, cop_a(error_info)), "{:exit, :boo, _}");
    EXPECT_TERM(ctx, of_list(own, cop_a(dictionary)), "[]");
}

static cop_term cannot(cop_ctx *ctx, cop_atom what, cop_term term) { cop_error(ctx, cop_a(oops)); }

static void with_a_bad_redact(cop_ctx *ctx, cop_term arg) {
    cop_proc_lib_set_redact(ctx, cannot);
    cop_exit(ctx, cop_a(secret));
}

TEST(what_raises_instead_of_redacting_shows_nothing) {
    cop_term own = report_of(ctx, with_a_bad_redact);
    EXPECT_TERM(ctx, of_list(own, cop_a(error_info)), "{:exit, :redacted, _}");
    EXPECT_TERM(ctx, of_list(own, cop_a(dictionary)), ":redacted");
}

static void with_arguments(cop_ctx *ctx, cop_term arg) {
    cop_proc_lib_set_redact(ctx, names_only);
    cop_apply(ctx, cop_as("Elixir.M"), cop_a(undefd), cop_list(ctx, "secret", 2));
}

TEST(arguments_in_a_redacted_trace_are_counted) {
    cop_term own = report_of(ctx, with_arguments);
    EXPECT_TERM(ctx, cop_head(cop_elem(of_list(own, cop_a(error_info)), 2)), "{M, :undefd, 2, _}");
    EXPECT(!holds_secret(own));
}

/* ---- servers ----------------------------------------------------------------------------------------------------- */

static cop_init srv_init(cop_ctx *ctx, void *state, cop_term arg) {
    cop_process_put(ctx, cop_a(key).t, cop_of(ctx, "secret"));
    return cop_init_ok();
}

static cop_next srv_cast(cop_ctx *ctx, void *state, cop_term request) {
    cop_send(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(later), "secret"));
    return cop_stop(cop_tuple(ctx, cop_a(bad), "secret"));
}

static cop_term srv_state(cop_ctx *ctx, const void *state) { return cop_of(ctx, "secret"); }

static const cop_gen_server srv = {
    .name = "Srv",
    .state_size = 8,
    .init = srv_init,
    .handle_cast = srv_cast,
    .state_to_term = srv_state,
    .redact = names_only,
};

TEST(a_servers_redact_counts_for_both_of_its_reports) {
    test_capture_log(ctx);
    cop_started s = cop_gen_server_start(ctx, &srv, COP_NONE, NULL);
    cop_gen_server_cast(ctx, s.pid, cop_of(ctx, "secret"));
    cop_term first = ASSERT_RECEIVE(
        ctx,
        "{:log, :error, {:report, %{label: {:gen_server, :terminate}, state: {:hidden, :state}, "
        "last_message: {:hidden, :message}, reason: {:hidden, :reason}}}, _}");
    EXPECT(!holds_secret(first));
    cop_term own = next_report(ctx);
    EXPECT_TERM(ctx, of_list(own, cop_a(messages)), "[{:hidden, :message}]");
    EXPECT_TERM(ctx, of_list(own, cop_a(dictionary)), "{:hidden, :dictionary}");
    EXPECT(!holds_secret(own));
    EXPECT_TERM(ctx, test_await_down(ctx, s.pid), "_");
}

TEST(an_unexpected_message_is_redacted_too) {
    test_capture_log(ctx);
    cop_started s = cop_gen_server_start(ctx, &srv, COP_NONE, NULL);
    cop_send(ctx, s.pid, "secret");
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{label: {GenServer, :no_handle_info}, report: "
                        "%{message: {:hidden, :message}}}}, _}");
    cop_gen_server_stop(ctx, s.pid, cop_a(normal), 0);
}

TEST(nobody_builds_a_report_that_no_handler_wants) {
    start_logger(ctx);
    add_collector(ctx, "a"); /* without sasl_reports */
    cop_spawned p = cop_proc_lib_spawn_opt(ctx, with_a_bad_redact, COP_NONE,
                                           &(cop_spawn_opts){ .monitor = true });
    test_await_down(ctx, p.pid);
    cop_logger_flush(ctx);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :secret}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}
