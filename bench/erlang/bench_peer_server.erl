%% SPDX-License-Identifier: Apache-2.0
%% The gen_server of the Erlang side: echoes calls, counts casts, tells when so many have come.
-module(bench_peer_server).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2]).

init(hibernate) -> {ok, 0, hibernate};
init(_) -> {ok, 0}.

handle_call({limit, Pid, N}, _From, _) -> {reply, ok, {Pid, N}};
handle_call(Request, _From, State) -> {reply, Request, State}.

handle_cast({m, 1}, {Pid, 1}) -> Pid ! all_there, {noreply, 0};
handle_cast({m, 1}, {Pid, N}) -> {noreply, {Pid, N - 1}}.
