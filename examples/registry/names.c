/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers found by any term: a bank whose accounts are gen_servers named {:via, Registry, {accounts, id}}.
 *
 *     children = [{Registry, keys: :unique, name: Bank.Accounts}]
 *     GenServer.start_link(Account, 100, name: {:via, Registry, {Bank.Accounts, {:account, 7}}})
 *     GenServer.call({:via, Registry, {Bank.Accounts, {:account, 7}}}, {:deposit, 5})
 */
#include <coppice.h>
#include <stdio.h>
#include <stdlib.h>

struct account {
    int64_t balance;
};

static cop_init account_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct account *self = state;
    return cop_match(arg, &self->balance) ? cop_init_ok() : cop_init_stop(cop_a(badarg));
}

static cop_next account_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct account *self = state;
    int64_t amount;
    if (cop_match_tuple(request, cop_a(deposit), &amount))
        return cop_reply(ctx, self->balance += amount);
    if (cop_match(request, cop_a(crash)))
        abort();
    return cop_bad_call(ctx, request);
}

static const cop_gen_server account_server = {
    .name = "Account",
    .state_size = sizeof(struct account),
    .init = account_init,
    .handle_call = account_call,
};

static const cop_registry_opts accounts = { .keys = COP_REGISTRY_UNIQUE, .name = "Bank.Accounts" };
#define ACCOUNTS cop_as("Elixir.Bank.Accounts")

/* The name of an account; with its currency as the value that the registry keeps. */
static cop_term account(cop_ctx *ctx, int id) {
    return cop_registry_via_value(ctx, ACCOUNTS, cop_tuple(ctx, cop_a(account), id), "EUR");
}

static cop_started start_account(cop_ctx *ctx, int id, int64_t balance) {
    return cop_gen_server_start(ctx, &account_server, cop_of(ctx, balance),
                                &(cop_start_opts){ .via = account(ctx, id) });
}

static const cop_child_spec children[] = {
    { .id = "accounts",
      .start = cop_registry_start_link,
      .arg = COP_REGISTRY_ARG(&accounts),
      .type = COP_SUPERVISOR },
};

static void expect(bool ok, const char *what) {
    printf("%s: %s\n", what, ok ? "yes" : "NO");
    if (!ok)
        exit(1);
}

static void run(cop_ctx *ctx, cop_term arg) {
    cop_supervisor_start_link(ctx, children, 1, NULL);
    cop_started first = start_account(ctx, 7, 100);
    expect(first.is == COP_STARTED, "account 7 is open");
    cop_started again = start_account(ctx, 7, 0);
    expect(cop_match_tuple(again.reason, cop_a(already_started), first.pid), "and only once");
    int64_t balance = 0;
    cop_get_i64(cop_gen_server_call(ctx, account(ctx, 7), cop_tuple(ctx, cop_a(deposit), 5), 0),
                &balance);
    expect(balance == 105, "it is called by its name");

    /* Its end frees the name; who sees the end finds the name free. */
    cop_ref ref = cop_process_monitor(ctx, first.pid);
    cop_gen_server_try_call(ctx, account(ctx, 7), cop_a(crash), 0);
    cop_term down;
    cop_receive_ref(ctx, COP_INFINITY, ref, &down);
    expect(cop_is_none(cop_gen_server_whereis(ctx, account(ctx, 7))), "a crash frees the name");
    expect(start_account(ctx, 7, 0).is == COP_STARTED, "which is taken again");

    /* Who has how much of which currency? All rows, by a match specification. */
    start_account(ctx, 8, 1);
    cop_term head = cop_tuple(ctx, cop_tuple(ctx, cop_a(account), cop_as("$1")), cop_a(_), "EUR");
    cop_term spec = cop_list(ctx, cop_tuple(ctx, head, COP_NIL, cop_list(ctx, cop_as("$1"))));
    expect(cop_list_length(cop_registry_select(ctx, ACCOUNTS, spec)) == 2, "two accounts in EUR");
}

int main(void) { return cop_run(&(cop_node_opts){ .no_logger = true }, run); }
