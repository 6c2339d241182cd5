%% Far more callers than workers, all with a deadline; and workers whose owner is killed.
-module(erlmcp_bench_pools_storm).

-export([cases/0]).

-define(SUBJECTS, erlmcp_bench_pools_subjects).
-define(HISTOGRAM, erlmcp_bench_histogram).

-define(WORKERS, 5).
%% Milliseconds.
-define(WORK, 2).
-define(TIMEOUT, 20).
%% Of so many callers one reads the clock, which costs a part of what a whole call does.
-define(TIMED, 8).
%% Callers of whose goodput the others have a share.
-define(FEW, 100).
%% Milliseconds that a pool gets to serve again after a storm.
-define(PATIENCE, 5000).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    storms() ++ reclaims().

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

storms() ->
    [
        bench_case(pool_storm, Id, Modes, [
            {Subject, fun() -> observed(Subject, Callers, Milliseconds) end}
         || Subject <- ?SUBJECTS:queueing()
        ])
     || {Id, Modes, Callers, Milliseconds} <- [
            {short_storm_of_2000, [quick], 2000, 500},
            {storm_of_2000, [standard, full], 2000, 3000},
            {storm_of_10000, [standard, full], 10_000, 3000}
        ]
    ].

observed(Subject, Callers, Milliseconds) ->
    Few = ?SUBJECTS:with(Subject, ?WORKERS, fun(Pool) -> storm(Subject, Pool, ?FEW, Milliseconds div 3) end),
    {Storm, ServedAfter} = ?SUBJECTS:with(Subject, ?WORKERS, fun(Pool) ->
        Storm = storm(Subject, Pool, Callers, Milliseconds),
        {Storm, served_after(Subject, Pool)}
    end),
    #{goodput := Goodput, overshoot := Overshoot, mailbox := Mailbox} = Storm,
    [
        {goodput_per_second, Goodput, count},
        {goodput_of_100_callers, maps:get(goodput, Few), count},
        {share_of_100_callers, 100 * Goodput / maps:get(goodput, Few), percent}
    ] ++
        %% There is none where all were served.
        [{overshoot_p99, P99, nanoseconds} || P99 <- [?HISTOGRAM:quantile(Overshoot, 0.99)], P99 =/= undefined] ++
        [
            {longest_mailbox, Mailbox, count},
            {served_after, ServedAfter, nanoseconds}
        ].

%% Callers without end, until they are told: what they had in time, how far beyond their deadline others
%% were told that there was nothing, and the most messages that were seen before the pool.
storm(#{mailbox := Length} = Subject, Pool, Callers, Milliseconds) ->
    %% Good ones, and whether to end.
    State = counters:new(2, []),
    Overshoot = ?HISTOGRAM:new(),
    Workers = [
        spawn_monitor(fun() -> caller(Subject, Pool, State, Number rem ?TIMED =:= 0 andalso Overshoot) end)
     || Number <- lists:seq(1, Callers)
    ],
    Start = erlang:monotonic_time(nanosecond),
    Mailbox = watch(fun() -> Length(Pool) end, Start + 1_000_000 * Milliseconds, 0),
    Good = counters:get(State, 1),
    Took = erlang:monotonic_time(nanosecond) - Start,
    ok = counters:put(State, 2, 1),
    lists:foreach(
        fun({Pid, Monitor}) ->
            receive
                {'DOWN', Monitor, process, Pid, normal} -> ok;
                {'DOWN', Monitor, process, Pid, Reason} -> error({subject_failed, Reason})
            end
        end,
        Workers
    ),
    #{goodput => Good * 1.0e9 / Took, overshoot => Overshoot, mailbox => Mailbox}.

%% Preferred, or it would see nothing where it matters.
watch(Length, Until, Most) ->
    Before = process_flag(priority, high),
    Seen = watching(Length, Until, Most),
    _ = process_flag(priority, Before),
    Seen.

watching(Length, Until, Most) ->
    Now = max(Most, Length()),
    case erlang:monotonic_time(nanosecond) > Until of
        true ->
            Now;
        false ->
            ok = timer:sleep(5),
            watching(Length, Until, Now)
    end.

caller(#{checkout := Checkout, checkin := Checkin} = Subject, Pool, State, Overshoot) ->
    Start = Overshoot =/= false andalso erlang:monotonic_time(nanosecond),
    case Checkout(Pool, ?TIMEOUT) of
        {ok, _, Lease} ->
            ok = timer:sleep(?WORK),
            _ = Checkin(Pool, Lease),
            ok = counters:add(State, 1, 1);
        {error, _} when Overshoot =:= false ->
            ok;
        {error, _} ->
            Late = erlang:monotonic_time(nanosecond) - Start - 1_000_000 * ?TIMEOUT,
            ?HISTOGRAM:record(Overshoot, max(0, Late))
    end,
    case counters:get(State, 2) of
        0 -> caller(Subject, Pool, State, Overshoot);
        _ -> ok
    end.

%% From the moment when nobody calls any more until a call is served.
served_after(#{checkout := Checkout, checkin := Checkin}, Pool) ->
    Start = erlang:monotonic_time(nanosecond),
    ok = serve(Checkout, Checkin, Pool, Start + 1_000_000 * ?PATIENCE),
    erlang:monotonic_time(nanosecond) - Start.

serve(Checkout, Checkin, Pool, Until) ->
    case Checkout(Pool, ?TIMEOUT) of
        {ok, _, Lease} ->
            _ = Checkin(Pool, Lease),
            ok;
        {error, _} ->
            case erlang:monotonic_time(nanosecond) > Until of
                true -> ok;
                false -> serve(Checkout, Checkin, Pool, Until)
            end
    end.

%% From the kill of an owner until its worker, the last of five, is had again.

reclaims() ->
    [
        bench_case(pool_reclaim, Id, Modes, [
            {Subject, fun() -> reclaimed(Subject, Kills, Storm) end}
         || Subject <- ?SUBJECTS:reclaiming()
        ])
     || {Id, Modes, Kills, Storm} <- [
            {short_reclaim, [quick], 50, 100},
            {reclaim, [standard, full], 500, 1000}
        ]
    ].

reclaimed(Subject, Kills, Storm) ->
    ?SUBJECTS:with(Subject, ?WORKERS, fun(Pool) ->
        Idle = kills(Subject, Pool, Kills),
        #{goodput := _} = storm(Subject, Pool, 2000, Storm),
        After = kills(Subject, Pool, min(Kills, 100)),
        [
            {Figure, Value, nanoseconds}
         || {Figure, Times, Quantile} <- [
                {idle_p50, Idle, 0.5},
                {idle_p90, Idle, 0.9},
                {after_storm_p50, After, 0.5},
                {after_storm_p90, After, 0.9}
            ],
            Value <- [?HISTOGRAM:quantile(Times, Quantile)],
            Value =/= undefined
        ]
    end).

%% Who is not served within the patience has no better figure than that.
kills(#{checkin := Checkin} = Subject, Pool, Kills) ->
    Times = ?HISTOGRAM:new(),
    try
        Held = [take(Subject, Pool) || _ <- lists:seq(2, ?WORKERS)],
        lists:foreach(fun(_) -> ?HISTOGRAM:record(Times, kill(Subject, Pool)) end, lists:seq(1, Kills)),
        lists:foreach(fun(Lease) -> Checkin(Pool, Lease) end, Held)
    catch
        throw:not_served ->
            ?HISTOGRAM:record(Times, 1_000_000 * ?PATIENCE)
    end,
    Times.

kill(#{checkin := Checkin} = Subject, Pool) ->
    Self = self(),
    {Owner, Monitor} = spawn_monitor(fun() ->
        _ = take(Subject, Pool),
        Self ! {holds, self()},
        receive
            never -> ok
        end
    end),
    receive
        {holds, Owner} -> true = demonitor(Monitor, [flush]);
        {'DOWN', Monitor, process, Owner, _} -> throw(not_served)
    end,
    Start = erlang:monotonic_time(nanosecond),
    true = exit(Owner, kill),
    Lease = take(Subject, Pool),
    Took = erlang:monotonic_time(nanosecond) - Start,
    _ = Checkin(Pool, Lease),
    Took.

take(#{checkout := Checkout}, Pool) ->
    case Checkout(Pool, ?PATIENCE) of
        {ok, _, Lease} -> Lease;
        {error, _} -> throw(not_served)
    end.
