%% SPDX-License-Identifier: Apache-2.0
%% The stages of bench_peer: a pipeline by hand in GenStage's own messages, for GenStage is in none of
%% Debian's packages. Plain receive loops with monitors, and no more of a stage than the workload needs: no
%% gen_server, no buffer, no options, a dispatcher each for the case at hand. So it is leaner than GenStage.
-module(bench_peer_stage).
-export([pipeline/2, broadcast/2, partition/2, consumer_supervisor/2]).

-define(CONSUMERS, 4).

%% Each: ns from the last stage's start, or from the first demand where all must have subscribed before, until
%% Count events have arrived at the end. MaxDemand may be on their way between two stages.
pipeline(Count, MaxDemand) when MaxDemand > 1 ->
    Producer = start_producer(Count, demand),
    Middle = spawn_link(fun() -> middle(subscribe(Producer, MaxDemand), MaxDemand) end),
    timed_consumers([Middle], Count, MaxDemand);
pipeline(Count, 1) ->
    timed_consumers([start_producer(Count, demand)], Count, 1).

broadcast(Count, MaxDemand) ->
    Producer = start_producer(Count, broadcast),
    timed_consumers(lists:duplicate(?CONSUMERS, Producer), Count, MaxDemand).

partition(Count, MaxDemand) ->
    Producer = start_producer(Count, partition),
    timed_consumers(lists:duplicate(?CONSUMERS, Producer), Count div ?CONSUMERS, MaxDemand).

%% A process for each event, at most MaxDemand at a time.
consumer_supervisor(Count, MaxDemand) ->
    Producer = start_producer(Count, demand),
    Self = self(),
    From = now_ns(),
    spawn_link(fun() ->
        process_flag(trap_exit, true),
        To = subscribe(Producer, MaxDemand),
        start_asking(To, MaxDemand),
        children(Self, To, 0, MaxDemand div 2, Count)
    end),
    receive done -> now_ns() - From end.

timed_consumers(Producers, Count, MaxDemand) ->
    Self = self(),
    Consumers = [spawn_link(fun() ->
        To = subscribe(Producer, MaxDemand),
        Self ! ready,
        receive go -> start_asking(To, MaxDemand) end,
        consumer(Self, To, MaxDemand, max(MaxDemand div 2, 1), 0, Count)
    end) || Producer <- Producers],
    [receive ready -> ok end || _ <- Consumers],
    From = now_ns(),
    [Consumer ! go || Consumer <- Consumers],
    [receive done -> ok end || _ <- Consumers],
    now_ns() - From.

%% ---- subscriptions, consumer's side ----------------------------------------------------------------

subscribe(Producer, MaxDemand) ->
    Tag = monitor(process, Producer),
    Producer ! {'$gen_producer', {self(), Tag}, {subscribe, nil, [{max_demand, MaxDemand}]}},
    {Producer, {self(), Tag}}.

start_asking(To, N) -> ask(To, N).

ask({Producer, From}, N) -> Producer ! {'$gen_producer', From, {ask, N}}.

%% ---- the consumer: asks again when half of its demand is done ------------------------------------------

consumer(Parent, To, Max, Half, Done, Left) ->
    receive
        {'$gen_consumer', {_, _}, Events} ->
            Count = count(Events, 0),
            case Left - Count of
                0 -> Parent ! done;
                More -> consumer(Parent, To, Max, Half, asked(To, Half, Done + Count), More)
            end;
        {'DOWN', _, process, _, _} ->
            ok
    end.

asked(To, Half, Done) when Done >= Half -> ask(To, Done), 0;
asked(_, _, Done) -> Done.

count([_ | Events], N) -> count(Events, N + 1);
count([], N) -> N.

%% ---- the producer-consumer: doubles each event ------------------------------------------------------------

middle(To, Max) ->
    receive
        {'$gen_producer', From, {subscribe, _, _}} ->
            start_asking(To, Max),
            middle(To, From, Max div 2, 0, 0, [])
    end.

%% Demand is what its consumer has asked for; what comes without demand waits.
middle(To, From, Half, Done, Demand, Waiting) ->
    receive
        {'$gen_consumer', {_, _}, Events} ->
            Doubled = [2 * E || E <- Events],
            {Demand1, Waiting1} = send_some(From, Demand, Waiting ++ Doubled),
            middle(To, From, Half, asked(To, Half, Done + length(Events)), Demand1, Waiting1);
        {'$gen_producer', _, {ask, N}} ->
            {Demand1, Waiting1} = send_some(From, Demand + N, Waiting),
            middle(To, From, Half, Done, Demand1, Waiting1);
        {'DOWN', _, process, _, _} ->
            ok
    end.

send_some(_, Demand, []) -> {Demand, []};
send_some(_, 0, Waiting) -> {0, Waiting};
send_some({Pid, Tag}, Demand, Waiting) ->
    case length(Waiting) of
        N when N =< Demand ->
            Pid ! {'$gen_consumer', {self(), Tag}, Waiting},
            {Demand - N, []};
        _ ->
            {Now, Later} = lists:split(Demand, Waiting),
            Pid ! {'$gen_consumer', {self(), Tag}, Now},
            {0, Later}
    end.

%% ---- the producer: counts to Max ------------------------------------------------------------------------------

start_producer(Max, Kind) ->
    spawn_link(fun() -> producer(Kind, 0, Max, #{}) end).

%% Consumers: #{Tag => {Pid, what it has asked for, its place}}
producer(Kind, N, Max, Consumers) ->
    receive
        {'$gen_producer', {Pid, Tag}, {subscribe, _, _}} ->
            monitor(process, Pid),
            producer(Kind, N, Max, Consumers#{Tag => {Pid, 0, maps:size(Consumers)}});
        {'$gen_producer', {Pid, Tag}, {ask, Asked}} ->
            #{Tag := {_, Had, Place}} = Consumers,
            Consumers1 = Consumers#{Tag := {Pid, Had + Asked, Place}},
            {N1, Consumers2} = produce(Kind, Tag, N, Max, Consumers1),
            producer(Kind, N1, Max, Consumers2);
        {'DOWN', _, process, _, _} ->
            ok
    end.

produce(demand, Tag, N, Max, Consumers) ->
    #{Tag := {Pid, Asked, Place}} = Consumers,
    Count = min(Asked, Max - N),
    send_events(Pid, Tag, numbers(N, N + Count)),
    {N + Count, Consumers#{Tag := {Pid, Asked - Count, Place}}};
produce(broadcast, _, N, Max, Consumers) ->
    Least = lists:min([Asked || {_, Asked, _} <- maps:values(Consumers)]),
    case min(Least, Max - N) of
        0 ->
            {N, Consumers};
        Count ->
            Events = numbers(N, N + Count),
            {N + Count, maps:map(fun(Tag, {Pid, Asked, Place}) ->
                send_events(Pid, Tag, Events),
                {Pid, Asked - Count, Place}
            end, Consumers)}
    end;
produce(partition, _, N, Max, Consumers) ->
    %% Of a row of numbers each consumer gets as many as the others.
    Least = lists:min([Asked || {_, Asked, _} <- maps:values(Consumers)]),
    case min(Least * ?CONSUMERS, Max - N) of
        0 ->
            {N, Consumers};
        Count ->
            Parts = hashed(numbers(N, N + Count), {[], [], [], []}),
            {N + Count, maps:map(fun(Tag, {Pid, Asked, Place}) ->
                Events = lists:reverse(element(Place + 1, Parts)),
                send_events(Pid, Tag, Events),
                {Pid, Asked - length(Events), Place}
            end, Consumers)}
    end.

send_events(_, _, []) -> ok;
send_events(Pid, Tag, Events) -> Pid ! {'$gen_consumer', {self(), Tag}, Events}.

hashed([E | Events], Parts) ->
    Place = E rem ?CONSUMERS + 1,
    hashed(Events, setelement(Place, Parts, [E | element(Place, Parts)]));
hashed([], Parts) -> Parts.

numbers(From, To) when From < To -> lists:seq(From, To - 1);
numbers(_, _) -> [].

%% ---- the supervisor of one process per event -------------------------------------------------------------------

children(Parent, _, _, _, 0) -> Parent ! done;
children(Parent, To, Ended, Half, Left) ->
    receive
        {'$gen_consumer', {_, _}, Events} ->
            [proc_lib:spawn_link(fun() -> handle(E) end) || E <- Events],
            children(Parent, To, Ended, Half, Left);
        {'EXIT', _, normal} ->
            children(Parent, To, asked(To, Half, Ended + 1), Half, Left - 1)
    end.

handle(_) -> ok.

now_ns() -> erlang:monotonic_time(nanosecond).
