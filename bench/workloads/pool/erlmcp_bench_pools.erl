%% Pools: a free worker, many processes, far too many, and owners that are killed.
-module(erlmcp_bench_pools).
-behaviour(erlmcp_bench_suite).

-export([cases/0, targets/0, subjects/0]).

-define(SUBJECTS, erlmcp_bench_pools_subjects).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    lists:append([
        erlmcp_bench_pools_calls:cases(),
        erlmcp_bench_pools_crowd:cases(),
        erlmcp_bench_pools_storm:cases(),
        erlmcp_bench_pools_kills:cases()
    ]).

-spec subjects() -> [{atom(), binary()}].
subjects() ->
    [{Name, Version} || #{name := Name, version := Version} <- ?SUBJECTS:all()].

-spec targets() -> [erlmcp_bench_suite:target()].
targets() ->
    Target = fun(Text, Group, Id, Figure) ->
        #{text => Text, group => Group, ids => [Id], subject => native, figure => Figure}
    end,
    Flat = [
        (Target(
            iolist_to_binary(["10,000 workers against 10, ", atom_to_list(Strategy)]),
            pool_checkout,
            checkout_of_10000,
            %% Twice as long would be no more work: the nearest cache holds no thousand cells.
            {against, checkout_of_10, 0.5}
        ))#{subject := Subject}
     || {Strategy, Subject} <- [
            {lifo, native} | [{S, maps:get(name, ?SUBJECTS:native(S))} || S <- tl(?SUBJECTS:strategies())]
        ]
    ],
    [
        #{
            text => <<"checkout and checkin, one process">>,
            group => pool_checkout,
            ids => [checkout_of_10, checkout_of_100, checkout_of_1000, checkout_of_10000],
            subject => native,
            figure => {at_most, 400}
        }
        | Flat
    ] ++
        [
            Target(<<"the same over poolboy, 10 workers">>, pool_checkout, checkout_of_10, {least, poolboy, 2.6 / 0.4}),
            Target(
                <<"16 processes on 16 workers, pairs a second">>,
                pool_crowd,
                crowd_of_16,
                {observed, pairs_per_second, at_least, 4_500_000}
            ),
            Target(
                <<"256 processes on 16 workers, pairs a second">>,
                pool_crowd,
                crowd_of_256,
                {observed, pairs_per_second, at_least, 2_500_000}
            ),
            Target(<<"the same, p99 of the wait">>, pool_crowd, crowd_of_256, {observed, wait_p99, at_most, 2_000_000}),
            Target(
                <<"2,000 callers on 5 workers, goodput of 100's">>,
                pool_storm,
                storm_of_2000,
                {observed, share_of_100_callers, at_least, 98}
            ),
            Target(
                <<"10,000 callers on 5 workers, goodput of 100's">>,
                pool_storm,
                storm_of_10000,
                {observed, share_of_100_callers, at_least, 80}
            ),
            (Target(
                <<"beyond the deadline, p99">>,
                pool_storm,
                storm_of_10000,
                {observed, overshoot_p99, at_most, 10_000_000}
            ))#{ids := [storm_of_2000, storm_of_10000]},
            Target(<<"killed owner to its worker, idle">>, pool_reclaim, reclaim, {observed, idle_p50, at_most, 100_000}),
            Target(
                <<"the same right after a storm">>,
                pool_reclaim,
                reclaim,
                {observed, after_storm_p50, at_most, 100_000}
            ),
            Target(
                <<"owners killed: workers lost">>, pool_kills, kills_for_a_minute, {observed, lost_workers, at_most, 0}
            ),
            Target(
                <<"owners killed: handed out twice">>,
                pool_kills,
                kills_for_a_minute,
                {observed, handed_out_twice, at_most, 0}
            ),
            Target(
                <<"owners killed: waiters forgotten">>,
                pool_kills,
                kills_for_a_minute,
                {observed, stuck_waiters, at_most, 0}
            ),
            Target(
                <<"owners killed: late messages">>, pool_kills, kills_for_a_minute, {observed, late_messages, at_most, 0}
            ),
            Target(
                <<"spawn, pair and exit against spawn and exit">>,
                pool_spawn,
                spawn_checkout_exit,
                {least, spawn_alone, 1 / 1.5}
            ),
            Target(
                <<"the choice of two, beyond lifo">>,
                pool_choice,
                two_choices_of_1000,
                {observed, difference, at_most, 100}
            )
        ].
