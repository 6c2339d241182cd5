%% More processes than one: how many pairs a second they make together, and how long each waits.
-module(erlmcp_bench_pools_crowd).

-export([cases/0]).

-define(SUBJECTS, erlmcp_bench_pools_subjects).
-define(HISTOGRAM, erlmcp_bench_histogram).

-define(WORKERS, 16).
%% Milliseconds of a slice, and how many there are: the median of their rates is told.
-define(SLICE, 100).
-define(SLICES, 5).
%% Of so many pairs one is timed where waits are what is measured.
-define(TIMED, 8).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    crowds() ++ of_erlmcp() ++ choices().

bench_case(Group, Id, Modes, Subjects) ->
    #{
        group => Group,
        id => Id,
        set => pool,
        bytes => 0,
        modes => Modes,
        missing => ?SUBJECTS:missing(),
        subjects => [
            #{name => Name, role => Role, observe => Observe}
         || {#{name := Name, role := Role}, Observe} <- Subjects
        ]
    }.

all() ->
    [quick, standard, full].

%% Sixteen workers, nothing done with them, from 2 to 256 processes. First for the rate, without a clock;
%% then for the time from the call to the worker.

crowds() ->
    [
        bench_case(pool_crowd, Id, all(), [
            {Subject, fun() -> ?SUBJECTS:with(Subject, ?WORKERS, fun(Pool) -> crowd(Subject, Pool, Processes) end) end}
         || Subject <- ?SUBJECTS:all()
        ])
     || {Id, Processes} <- [{crowd_of_2, 2}, {crowd_of_16, 16}, {crowd_of_256, 256}]
    ].

crowd(#{pair := Pair} = Subject, Pool, Processes) ->
    Rate = rate([fun() -> Pair(Pool) end || _ <- lists:seq(1, Processes)]),
    [{pairs_per_second, Rate, count} | waits(Subject, Pool, Processes)].

%% Calls by all together, each counted by its process alone, in its own line of memory.
rate(Calls) ->
    Processes = length(Calls),
    Counts = counters:new(Processes * 8, []),
    Workers = [
        spawn_monitor(fun() -> count_until_stopped(Call, Counts, 8 * Number - 7) end)
     || {Number, Call} <- lists:zip(lists:seq(1, Processes), Calls)
    ],
    ok = timer:sleep(?SLICE),
    Slices = [slice(Counts, Processes) || _ <- lists:seq(1, ?SLICES)],
    ok = stop(Workers),
    erlmcp_bench_statistics:median(Slices).

slice(Counts, Processes) ->
    Before = {total(Counts, Processes), erlang:monotonic_time(nanosecond)},
    ok = timer:sleep(?SLICE),
    {Count, Time} = {total(Counts, Processes), erlang:monotonic_time(nanosecond)},
    (Count - element(1, Before)) * 1.0e9 / (Time - element(2, Before)).

total(Counts, Processes) ->
    lists:sum([counters:get(Counts, 8 * Number - 7) || Number <- lists:seq(1, Processes)]).

count_until_stopped(Call, Counts, At) ->
    _ = Call(),
    _ = Call(),
    _ = Call(),
    _ = Call(),
    ok = counters:add(Counts, At, 4),
    receive
        stop -> ok
    after 0 -> count_until_stopped(Call, Counts, At)
    end.

stop(Workers) ->
    lists:foreach(fun({Pid, _}) -> Pid ! stop end, Workers),
    lists:foreach(
        fun({Pid, Monitor}) ->
            receive
                {'DOWN', Monitor, process, Pid, normal} -> ok;
                {'DOWN', Monitor, process, Pid, Reason} -> error({subject_failed, Reason})
            end
        end,
        Workers
    ).

waits(#{checkout := Checkout, checkin := Checkin}, Pool, Processes) ->
    Waits = ?HISTOGRAM:new(),
    Workers = [
        spawn_monitor(fun() -> wait_until_stopped(Checkout, Checkin, Pool, Waits, Number) end)
     || Number <- lists:seq(1, Processes)
    ],
    ok = timer:sleep(?SLICE * ?SLICES),
    ok = stop(Workers),
    [
        {wait_p50, ?HISTOGRAM:quantile(Waits, 0.5), nanoseconds},
        {wait_p99, ?HISTOGRAM:quantile(Waits, 0.99), nanoseconds},
        {wait_max, ?HISTOGRAM:maximum(Waits), nanoseconds}
    ];
waits(_, _, _) ->
    [].

wait_until_stopped(Checkout, Checkin, Pool, Waits, Pairs) ->
    case Pairs rem ?TIMED of
        0 ->
            Start = erlang:monotonic_time(nanosecond),
            {ok, _, Lease} = Checkout(Pool, infinity),
            ?HISTOGRAM:record(Waits, erlang:monotonic_time(nanosecond) - Start),
            _ = Checkin(Pool, Lease);
        _ ->
            {ok, _, Lease} = Checkout(Pool, infinity),
            _ = Checkin(Pool, Lease)
    end,
    receive
        stop -> ok
    after 0 -> wait_until_stopped(Checkout, Checkin, Pool, Waits, Pairs + 1)
    end.

%% The workloads of erlmcp's `erlmcp_bench_pool`, by their ids, without the sleep of 1 to 5 ms that
%% their workers answer with: 100 clients that make 1,000 pairs each.

-define(CLIENTS, 100).
-define(PAIRS, 1000).

of_erlmcp() ->
    [
        bench_case(pool_erlmcp, pool_10_to_1000, all(), [
            {Subject, fun() ->
                [{figure(Size), clients(Subject, Size), count} || Size <- [10, 50, 100, 250, 500, 1000]]
            end}
         || Subject <- [(?SUBJECTS:native(round_robin))#{name := native, role := measured} | tl(?SUBJECTS:all())]
        ]),
        bench_case(pool_erlmcp, pool_strategies, all(), [
            {?SUBJECTS:native(), fun() ->
                [{Strategy, clients(?SUBJECTS:native(Strategy), 50), count} || Strategy <- ?SUBJECTS:strategies()]
            end},
            %% Which have one.
            {?SUBJECTS:pure_erlang(), fun() -> [{affinity, clients(?SUBJECTS:pure_erlang(), 50), count}] end}
        ])
    ].

figure(Size) ->
    list_to_atom("of_" ++ integer_to_list(Size)).

%% Pairs a second.
clients(Subject, Size) ->
    ?SUBJECTS:with(Subject, Size, fun(Pool) ->
        #{pair := Pair} = Subject,
        Start = erlang:monotonic_time(nanosecond),
        Clients = [
            spawn_monitor(fun() -> lists:foreach(fun(_) -> Pair(Pool) end, lists:seq(1, ?PAIRS)) end)
         || _ <- lists:seq(1, ?CLIENTS)
        ],
        ok = stop(Clients),
        ?CLIENTS * ?PAIRS * 1.0e9 / (erlang:monotonic_time(nanosecond) - Start)
    end).

%% What the choice of two costs: pairs by p2c less pairs by lifo, in turn, medians of the rounds.

-define(ROUNDS, 101).
-define(BATCH, 5000).

choices() ->
    [
        bench_case(pool_choice, two_choices_of_1000, all(), [
            {?SUBJECTS:native(), fun() ->
                Lifo = ?SUBJECTS:native(lifo),
                P2c = ?SUBJECTS:native(p2c),
                ?SUBJECTS:with(Lifo, 1000, fun(One) ->
                    ?SUBJECTS:with(P2c, 1000, fun(Other) ->
                        Rounds = [{batch(Lifo, One), batch(P2c, Other)} || _ <- lists:seq(1, ?ROUNDS)],
                        {Ones, Others} = lists:unzip(Rounds),
                        Plain = erlmcp_bench_statistics:median(Ones),
                        Chosen = erlmcp_bench_statistics:median(Others),
                        [
                            {difference, Chosen - Plain, nanoseconds},
                            {lifo, Plain, nanoseconds},
                            {p2c, Chosen, nanoseconds}
                        ]
                    end)
                end)
            end}
        ])
    ].

batch(#{pair := Pair}, Pool) ->
    Start = erlang:monotonic_time(nanosecond),
    lists:foreach(fun(_) -> Pair(Pool) end, lists:seq(1, ?BATCH)),
    (erlang:monotonic_time(nanosecond) - Start) / ?BATCH.
