%% SPDX-License-Identifier: Apache-2.0
%% The supervisor workloads of bench_peer: gen_servers under Elixir's DynamicSupervisor.
-module(bench_peer_supervisor).
-behaviour(gen_server).
-export([start/1, restart_burst/1, shutdown/1]).
-export([start_link/1, init/1, handle_call/3, handle_cast/2]).

%% ns that starting Count children takes
start(Count) ->
    {Sup, T, _} = started(Count, nil),
    %% Not stop/1, whose time grows with the square of Count: minutes for 100,000.
    unlink(Sup),
    Monitor = monitor(process, Sup),
    exit(Sup, kill),
    receive {'DOWN', Monitor, process, _, _} -> T end.

%% ns from the first of Count kills until all have told that they are there again
restart_burst(Count) ->
    {Sup, _, Pids} = started(Count, self()),
    collect(Count),
    From = now_ns(),
    [exit(P, kill) || P <- Pids],
    collect(Count),
    T = now_ns() - From,
    stop(Sup),
    T.

%% ns that stopping a supervisor of Count children takes
shutdown(Count) ->
    {Sup, _, _} = started(Count, nil),
    From = now_ns(),
    stop(Sup),
    now_ns() - From.

started(Count, Arg) ->
    load(),
    {ok, Sup} = 'Elixir.DynamicSupervisor':start_link(
                    [{strategy, one_for_one}, {max_restarts, 1000000000}]),
    Spec = #{id => child, start => {?MODULE, start_link, [Arg]}},
    From = now_ns(),
    Pids = [begin {ok, P} = 'Elixir.DynamicSupervisor':start_child(Sup, Spec), P end
            || _ <- lists:seq(1, Count)],
    {Sup, now_ns() - From, Pids}.

stop(Sup) ->
    unlink(Sup),
    'Elixir.DynamicSupervisor':stop(Sup).

collect(0) -> ok;
collect(N) -> receive up -> collect(N - 1) end.

now_ns() -> erlang:monotonic_time(nanosecond).

%% Elixir's modules stand beside its command.
load() ->
    case code:ensure_loaded('Elixir.DynamicSupervisor') of
        {module, _} -> ok;
        _ ->
            {ok, Link} = file:read_link_all(os:find_executable("elixir")),
            Bin = filename:dirname(filename:join("/usr/bin", Link)),
            true = code:add_path(filename:join([filename:dirname(Bin), "lib", "elixir", "ebin"])),
            {ok, _} = application:ensure_all_started(elixir)
    end.

%% ---- the child
start_link(Arg) -> gen_server:start_link(?MODULE, Arg, []).
init(nil) -> {ok, nil};
init(Main) -> Main ! up, {ok, nil}.
handle_call(_, _, S) -> {reply, ok, S}.
handle_cast(_, S) -> {noreply, S}.
