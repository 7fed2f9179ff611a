%% SPDX-License-Identifier: Apache-2.0
%% The Erlang side of the benchmarks. One workload per OS process:
%%     erl -noshell -pa BEAMS -run bench_peer main WORKLOAD
%% Every workload warms up with the same code first, times itself on the monotonic clock and prints
%% one line "name value unit". Sizes are those of bench/coppice/bench.h: change both or none.
-module(bench_peer).
-export([main/1]).

-define(SPAWN_BATCH, 1000).
-define(SPAWN_BATCHES, 300).
-define(PINGPONG_ROUNDS, 500000).
-define(RING_SIZE, 1000).
-define(RING_HOPS, 2000000).
-define(CALLS, 400000).
-define(PAIRS, 1000).
-define(FANIN_SENDERS, 8).
-define(FANIN_MESSAGES, 1000000).
-define(MEMORY_PROCESSES, 1000000).
-define(PROBES, 2000).

main([Workload]) ->
    logger:set_primary_config(level, none),
    %% A fresh process, as a service's would be, not the one that started the system.
    {_, M} = spawn_monitor(fun() -> run(Workload) end),
    receive
        {'DOWN', M, _, _, normal} -> halt(0);
        {'DOWN', M, _, _, Reason} -> io:format("FAILED ~p~n", [Reason]), halt(1)
    end.

run("spawn") ->
    spawn_batches(?SPAWN_BATCHES div 10),
    T = timed(fun() -> spawn_batches(?SPAWN_BATCHES) end),
    out("spawn", T / (?SPAWN_BATCHES * ?SPAWN_BATCH), "ns/process");
run("pingpong") ->
    pingpong(?PINGPONG_ROUNDS div 10),
    out("pingpong", pingpong(?PINGPONG_ROUNDS) / (2 * ?PINGPONG_ROUNDS), "ns/message");
run("ring") ->
    ring(?RING_HOPS div 10),
    out("ring", ring(?RING_HOPS) / ?RING_HOPS, "ns/hop");
run("call.1") -> calls("call.1", servers(1), 1);
run("call.8") -> calls("call.8", servers(1), 8);
run("call.1000") -> calls("call.1000", servers(?PAIRS), ?PAIRS);
run("fanin.cast") ->
    fanin_cast(?FANIN_MESSAGES div 10),
    out("fanin.cast", rate(?FANIN_MESSAGES, fanin_cast(?FANIN_MESSAGES)), "messages/s");
run("fanin.send") ->
    fanin_send(?FANIN_MESSAGES div 10),
    out("fanin.send", rate(?FANIN_MESSAGES, fanin_send(?FANIN_MESSAGES)), "messages/s");
run("memory.gen_server") ->
    memory("memory.gen_server", fun() -> hd(servers(1)) end);
run("memory.raw") ->
    memory("memory.raw", fun() -> spawn(fun() -> receive stop -> ok end end) end);
run("latency.hog") ->
    spawn(fun() -> hog(0) end),
    Echo = spawn(fun echo/0),
    timer:sleep(200),
    probe(Echo, ?PROBES div 10),
    Sorted = lists:sort(probe(Echo, ?PROBES)),
    out("latency.hog.p50", quantile(Sorted, 0.5), "us"),
    out("latency.hog.p99", quantile(Sorted, 0.99), "us").

%% ---- spawn: 1000 processes at a time, each says one word and ends
spawn_batches(Batches) ->
    Me = self(),
    rep(Batches, fun() ->
        rep(?SPAWN_BATCH, fun() -> spawn(fun() -> Me ! done end) end),
        collect(?SPAWN_BATCH, done)
    end).

%% ---- ping-pong
pingpong(Rounds) ->
    Me = self(),
    Echo = spawn(fun echo/0),
    spawn(fun() ->
        T = timed(fun() -> ping(Rounds, Echo) end),
        Echo ! stop,
        Me ! {took, T}
    end),
    receive {took, T} -> T end.

ping(0, _) -> ok;
ping(N, Echo) ->
    Echo ! {self(), ping},
    receive pong -> ping(N - 1, Echo) end.

echo() ->
    receive
        {From, ping} -> From ! pong, echo();
        stop -> ok
    end.

%% ---- ring: one token
ring(Hops) ->
    Me = self(),
    Last = spawn(fun() -> receive {next, First} -> ring_loop(First, Me) end end),
    First = lists:foldl(fun(_, Next) -> spawn(fun() -> ring_loop(Next, Me) end) end, Last,
                        lists:seq(2, ?RING_SIZE)),
    Last ! {next, First},
    T = timed(fun() -> First ! Hops, receive ring_done -> ok end end),
    First ! stop,
    T.

ring_loop(Next, Main) ->
    receive
        0 -> Main ! ring_done, ring_loop(Next, Main);
        stop -> Next ! stop;
        N -> Next ! N - 1, ring_loop(Next, Main)
    end.

%% ---- calls: so many clients, spread over the servers
servers(N) ->
    [begin {ok, P} = gen_server:start(bench_peer_server, x, []), P end || _ <- lists:seq(1, N)].

calls(Name, Servers, Clients) ->
    timed_calls(Servers, Clients, ?CALLS div 10),
    out(Name, timed_calls(Servers, Clients, ?CALLS) / ?CALLS, "ns/call").

timed_calls(Servers, Clients, Total) ->
    Me = self(),
    Each = Total div Clients,
    Spread = case Servers of [One] -> lists:duplicate(Clients, One); _ -> Servers end,
    Started = [spawn(fun() ->
        receive go -> ok end,
        rep(Each, fun() -> gen_server:call(S, hi) end),
        Me ! client_done
    end) || S <- Spread],
    timed(fun() -> [C ! go || C <- Started], collect(Clients, client_done) end).

%% ---- many to one
fanin_cast(Messages) ->
    {ok, Server} = gen_server:start(bench_peer_server, x, []),
    gen_server:call(Server, {limit, self(), Messages}),
    T = timed(fun() ->
        senders(Messages, fun() -> gen_server:cast(Server, {m, 1}) end),
        receive all_there -> ok end
    end),
    gen_server:stop(Server),
    T.

fanin_send(Messages) ->
    Me = self(),
    Receiver = spawn(fun() -> collect(Messages, {m, 1}), Me ! all_there end),
    timed(fun() ->
        senders(Messages, fun() -> Receiver ! {m, 1} end),
        receive all_there -> ok end
    end).

senders(Messages, Send) ->
    Each = Messages div ?FANIN_SENDERS,
    rep(?FANIN_SENDERS, fun() -> spawn(fun() -> rep(Each, Send) end) end).

%% ---- memory: resident bytes per idle process
memory(Name, Start) ->
    Before = rss(),
    All = [Start() || _ <- lists:seq(1, ?MEMORY_PROCESSES)],
    timer:sleep(500),
    After = rss(),
    ?MEMORY_PROCESSES = length(All),
    out(Name, (After - Before) / ?MEMORY_PROCESSES, "bytes/process").

rss() ->
    {ok, Text} = file:read_file("/proc/self/statm"),
    [_, Resident | _] = string:lexemes(Text, " "),
    binary_to_integer(Resident) * 4096.

%% ---- latency beside an endless loop
hog(N) -> hog((N * 1103515245 + 12345) band 16#7fffffff).

probe(Echo, N) ->
    [begin
        timer:sleep(1),
        timed(fun() -> Echo ! {self(), ping}, receive pong -> ok end end)
     end || _ <- lists:seq(1, N)].

quantile(Sorted, Q) -> lists:nth(max(1, round(length(Sorted) * Q)), Sorted) / 1000.

%% ---- small things
timed(F) ->
    T0 = erlang:monotonic_time(nanosecond),
    F(),
    erlang:monotonic_time(nanosecond) - T0.

rate(N, Ns) -> N * 1.0e9 / Ns.

out(Name, Value, Unit) -> io:format("~s ~.3f ~s~n", [Name, Value * 1.0, Unit]).

rep(0, _) -> ok;
rep(N, F) -> F(), rep(N - 1, F).

collect(0, _) -> ok;
collect(N, Message) -> receive Message -> collect(N - 1, Message) end.
