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
-define(FANOUT_PROCESSES, 100000).
-define(FANOUT_ROUNDS, 5).
-define(BIGMSG_BINARY_BYTES, (1 bsl 20)).
-define(BIGMSG_BINARY_ROUNDS, 300000).
-define(BIGMSG_LIST_LENGTH, 1000).
-define(BIGMSG_LIST_ROUNDS, 100000).
-define(SELECTIVE_WAITING, 10000).
-define(SELECTIVE_ROUNDS, 200000).
-define(SELECTIVE_SCANS, 2000).
-define(TIMERS, 1000000).
-define(MEMORY_PROCESSES, 1000000).
-define(PROBES, 1000).
-define(SUPERVISOR_CHILDREN, 100000).
-define(STAGE_EVENTS, 2000000).
-define(STAGE_DEMAND, 1000).

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
    out("spawn", T / (?SPAWN_BATCHES * ?SPAWN_BATCH), "ns/process"),
    monitor_batches(?SPAWN_BATCHES div 10),
    T2 = timed(fun() -> monitor_batches(?SPAWN_BATCHES) end),
    out("spawn.monitor", T2 / (?SPAWN_BATCHES * ?SPAWN_BATCH), "ns/process");
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
run("memory.hibernated") ->
    memory("memory.hibernated", fun() ->
        {ok, P} = gen_server:start(bench_peer_server, hibernate, []), P end);
run("memory.timer") ->
    Before = rss(),
    start_timers(?TIMERS),
    out("memory.timer", (rss() - Before) / ?TIMERS, "bytes/timer");
run("fanout") ->
    All = [spawn(fun echo/0) || _ <- lists:seq(1, ?FANOUT_PROCESSES)],
    fan(All, 2),
    T = timed(fun() -> fan(All, ?FANOUT_ROUNDS) end),
    out("fanout", T / (?FANOUT_ROUNDS * ?FANOUT_PROCESSES), "ns/process");
run("bigmsg.binary") ->
    bigmsg("bigmsg.binary", binary:copy(<<"x">>, ?BIGMSG_BINARY_BYTES), ?BIGMSG_BINARY_ROUNDS);
run("bigmsg.list") ->
    bigmsg("bigmsg.list", lists:seq(1, ?BIGMSG_LIST_LENGTH), ?BIGMSG_LIST_ROUNDS);
run("selective") -> selective();
run("timers") -> timers();
run("teardown.chain") ->
    chain(10000),
    out("teardown.chain.10k", chain(10000) / 10000, "ns/process"),
    out("teardown.chain.100k", chain(100000) / 100000, "ns/process");
run("teardown.chain.1M") ->
    chain(10000),
    out("teardown.chain.1M", chain(1000000) / 1000000, "ns/process");
run("teardown.hub") ->
    hub(10000),
    out("teardown.hub.10k", hub(10000) / 10000, "ns/process"),
    out("teardown.hub.100k", hub(100000) / 100000, "ns/process");
run("teardown.hub.1M") ->
    hub(10000),
    out("teardown.hub.1M", hub(1000000) / 1000000, "ns/process");
run("genstage.pipeline") ->
    stage("genstage.pipeline", pipeline, ?STAGE_EVENTS, ?STAGE_DEMAND);
run("genstage.demand1") ->
    stage("genstage.demand1", pipeline, ?STAGE_EVENTS div 10, 1);
run("genstage.broadcast") ->
    stage("genstage.broadcast", broadcast, ?STAGE_EVENTS, ?STAGE_DEMAND);
run("genstage.partition") ->
    stage("genstage.partition", partition, ?STAGE_EVENTS, ?STAGE_DEMAND);
run("genstage.consumer_supervisor") ->
    stage("genstage.consumer_supervisor", consumer_supervisor, ?STAGE_EVENTS div 10, ?STAGE_DEMAND);
run("supervisor.start") ->
    bench_peer_supervisor:start(?SUPERVISOR_CHILDREN div 10),
    T = bench_peer_supervisor:start(?SUPERVISOR_CHILDREN),
    out("supervisor.start", T / ?SUPERVISOR_CHILDREN, "ns/child");
run("supervisor.restart_burst") ->
    bench_peer_supervisor:restart_burst(1000),
    out("supervisor.restart_burst.1k", bench_peer_supervisor:restart_burst(1000) / 1000,
        "ns/restart"),
    out("supervisor.restart_burst.10k", bench_peer_supervisor:restart_burst(10000) / 10000,
        "ns/restart");
run("supervisor.shutdown") ->
    bench_peer_supervisor:shutdown(1000),
    out("supervisor.shutdown.10k", bench_peer_supervisor:shutdown(10000) / 10000, "ns/child");
%% An ordinary loop is counted and preempted whether it wants or not, so both have this peer.
run("hog.cooperative") -> hogs("hog.cooperative", fun() -> hog(0) end);
%% open() of a pipe that nobody writes, on a dirty scheduler.
run("hog.blocking") ->
    Fifo = "/tmp/coppice-bench-" ++ os:getpid() ++ ".fifo",
    "" = os:cmd("mkfifo -m 600 " ++ Fifo),
    hogs("hog.blocking", fun() -> file:open(Fifo, [read, raw]) end),
    file:delete(Fifo).

%% ---- spawn: 1000 processes at a time, each says one word and ends
spawn_batches(Batches) ->
    Me = self(),
    rep(Batches, fun() ->
        rep(?SPAWN_BATCH, fun() -> spawn(fun() -> Me ! done end) end),
        collect(?SPAWN_BATCH, done)
    end).

%% the same, joined by monitors in the place of a word
monitor_batches(Batches) ->
    rep(Batches, fun() ->
        rep(?SPAWN_BATCH, fun() -> spawn_monitor(fun() -> ok end) end),
        rep(?SPAWN_BATCH, fun() -> receive {'DOWN', _, process, _, normal} -> ok end end)
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

%% ---- fan-out: one asks all, and all answer
fan(All, Rounds) ->
    Question = {self(), ping},
    rep(Rounds, fun() -> [P ! Question || P <- All], collect(?FANOUT_PROCESSES, pong) end).

%% ---- large messages and their acknowledgement
bigmsg(Name, What, Rounds) ->
    Acker = spawn(fun acker/0),
    Round = fun() -> Acker ! {self(), What}, receive ack -> ok end end,
    rep(Rounds div 10, Round),
    out(Name, timed(fun() -> rep(Rounds, Round) end) / Rounds, "ns/round").

acker() -> receive {From, What} when is_list(What); is_binary(What) -> From ! ack, acker() end.

%% ---- selective receive
selective() ->
    Server = spawn(fun answer/0),
    [Called] = servers(1),
    ByRef = fun() -> R = make_ref(), Server ! {self(), R}, receive {R, 1} -> ok end end,
    ByScan = fun() -> Server ! {self(), tag}, receive {tag, 1} -> ok end end,
    ByCall = fun() -> hi = gen_server:call(Called, hi) end,
    rep(?SELECTIVE_ROUNDS div 10, ByRef),
    rep(?SELECTIVE_ROUNDS div 10, ByCall),
    Empty = timed(fun() -> rep(?SELECTIVE_ROUNDS, ByRef) end) / ?SELECTIVE_ROUNDS,
    [self() ! {junk, I} || I <- lists:seq(1, ?SELECTIVE_WAITING)],
    rep(?SELECTIVE_ROUNDS div 10, ByRef),
    Full = timed(fun() -> rep(?SELECTIVE_ROUNDS, ByRef) end) / ?SELECTIVE_ROUNDS,
    out("selective.empty", Empty, "ns/request"),
    out("selective.full", Full, "ns/request"),
    out("selective.ratio", Full / Empty, "full/empty"),
    out("selective.call", timed(fun() -> rep(?SELECTIVE_ROUNDS, ByCall) end) / ?SELECTIVE_ROUNDS,
        "ns/call"),
    rep(?SELECTIVE_SCANS div 10, ByScan),
    Scan = timed(fun() -> rep(?SELECTIVE_SCANS, ByScan) end),
    out("selective.scan", Scan / (?SELECTIVE_SCANS * ?SELECTIVE_WAITING), "ns/skipped"),
    [receive {junk, I} -> ok end || I <- lists:seq(1, ?SELECTIVE_WAITING)].

answer() -> receive {From, Tag} -> From ! {Tag, 1}, answer() end.

%% ---- timers
timers() ->
    Pair = fun() ->
        Left = erlang:cancel_timer(erlang:start_timer(60000, self(), x)),
        true = is_integer(Left)
    end,
    rep(?TIMERS div 10, Pair),
    out("timers.pair", timed(fun() -> rep(?TIMERS, Pair) end) / ?TIMERS, "ns/pair"),
    T0 = erlang:monotonic_time(nanosecond),
    All = [erlang:start_timer(60000 + I * 7919 rem 60000, self(), x) || I <- lists:seq(1, ?TIMERS)],
    T1 = erlang:monotonic_time(nanosecond),
    cancel_all(All),
    T2 = erlang:monotonic_time(nanosecond),
    out("timers.start", (T1 - T0) / ?TIMERS, "ns/timer"),
    out("timers.cancel", (T2 - T1) / ?TIMERS, "ns/timer"),
    erlang:garbage_collect(),
    Due = erlang:monotonic_time(millisecond) + 300 + 2 * (T1 - T0) div 1000000,
    rep(?TIMERS, fun() -> erlang:start_timer(Due, self(), x, [{abs, true}]) end),
    true = erlang:monotonic_time(millisecond) < Due,
    receive {timeout, _, x} -> true = erlang:monotonic_time(millisecond) >= Due end,
    rep(?TIMERS - 1, fun() -> receive {timeout, _, x} -> ok end end),
    Late = erlang:monotonic_time(nanosecond) - Due * 1000000,
    out("timers.fire", rate(?TIMERS, Late), "timers/s").

start_timers(0) -> ok;
start_timers(I) ->
    erlang:start_timer(60000 + I * 7919 rem 60000, self(), x),
    start_timers(I - 1).

cancel_all([]) -> ok;
cancel_all([T | Rest]) ->
    Left = erlang:cancel_timer(T),
    true = is_integer(Left),
    cancel_all(Rest).

%% ---- tear-down by one exit signal
chain(N) ->
    Me = self(),
    Before = erlang:system_info(process_count),
    First = spawn(fun() -> chain_start(N, Me) end),
    Last = receive {last, L} -> L end,
    M = monitor(process, Last),
    N = erlang:system_info(process_count) - Before,
    timed(fun() -> exit(First, boom), receive {'DOWN', M, _, _, boom} -> ok end end).

chain_start(1, Me) -> Me ! {last, self()}, receive never -> ok end;
chain_start(N, Me) -> spawn_link(fun() -> chain_start(N - 1, Me) end), receive never -> ok end.

hub(N) ->
    Me = self(),
    Hub = spawn(fun() ->
        rep(N, fun() -> Me ! spawn_link(fun() -> receive never -> ok end end) end),
        receive never -> ok end
    end),
    rep(N, fun() -> receive P when is_pid(P) -> monitor(process, P) end end),
    timed(fun() ->
        exit(Hub, boom),
        rep(N, fun() -> receive {'DOWN', _, process, _, boom} -> ok end end)
    end).

%% ---- round trips beside processes that do not end
hogs(Name, Hog) ->
    rep(erlang:system_info(logical_processors_online), fun() -> spawn(Hog) end),
    Echo = spawn(fun echo/0),
    timer:sleep(200),
    probe(Echo, ?PROBES div 10),
    {Trips, Dues} = lists:unzip(probe(Echo, ?PROBES)),
    Sorted = lists:sort(Trips),
    out(Name ++ ".p50", quantile(Sorted, 0.5), "us"),
    out(Name ++ ".p99", quantile(Sorted, 0.99), "us"),
    out(Name ++ ".p99.9", quantile(Sorted, 0.999), "us"),
    out(Name ++ ".due.p99", quantile(lists:sort(Dues), 0.99), "us").

hog(N) -> hog((N * 1103515245 + 12345) band 16#7fffffff).

probe(Echo, N) ->
    [begin
        Asleep = erlang:monotonic_time(nanosecond),
        timer:sleep(1),
        Start = erlang:monotonic_time(nanosecond),
        Echo ! {self(), ping},
        receive pong -> ok end,
        End = erlang:monotonic_time(nanosecond),
        {End - Start, End - Asleep - 1000000}
     end || _ <- lists:seq(1, N)].

quantile(Sorted, Q) -> lists:nth(round(length(Sorted) * Q), Sorted) / 1000.

%% ---- small things
timed(F) ->
    T0 = erlang:monotonic_time(nanosecond),
    F(),
    erlang:monotonic_time(nanosecond) - T0.

stage(Name, Run, Count, MaxDemand) ->
    bench_peer_stage:Run(Count div 10, MaxDemand),
    out(Name, rate(Count, bench_peer_stage:Run(Count, MaxDemand)), "events/s").

rate(N, Ns) -> N * 1.0e9 / Ns.

out(Name, Value, Unit) -> io:format("~s ~.3f ~s~n", [Name, Value * 1.0, Unit]).

rep(0, _) -> ok;
rep(N, F) -> F(), rep(N - 1, F).

collect(0, _) -> ok;
collect(N, Message) -> receive Message -> collect(N - 1, Message) end.
