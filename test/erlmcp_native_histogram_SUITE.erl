%% The histogram's calls one by one: options, values, recording by many, what is told of them.
%% Handles and owners, snapshots, windows and the clock have suites of their own.
-module(erlmcp_native_histogram_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0]).
-export([
    properties/1,
    wrong_options/1,
    wrong_arguments/1,
    wrong_values/1,
    defaults/1,
    largest_values/1,
    overflow/1,
    zero/1,
    error_per_precision/1,
    nothing_recorded/1,
    summary/1,
    quantile_edges/1,
    linear/1,
    buckets_and_fractions/1,
    corrected/1,
    many_at_once/1,
    all_or_none/1,
    long_lists/1,
    nothing_is_lost/1,
    many_processes_and_schedulers/1,
    plot/1
]).

-import(erlmcp_native_test_cache, [parallel/2]).
-import(erlmcp_native_test_histogram, [filled/1, filled/2, badarg/2, rank/2, within/3, count/1, sum/1]).

-define(HISTOGRAM, erlmcp_native_histogram).

all() ->
    [
        properties,
        wrong_options,
        wrong_arguments,
        wrong_values,
        defaults,
        largest_values,
        overflow,
        zero,
        error_per_precision,
        nothing_recorded,
        summary,
        quantile_edges,
        linear,
        buckets_and_fractions,
        corrected,
        many_at_once,
        all_or_none,
        long_lists,
        nothing_is_lost,
        many_processes_and_schedulers,
        plot
    ].

suite() -> [{timetrap, {minutes, 5}}].

properties(_) ->
    erlmcp_native_test_proper:check(prop_histogram).

%%% Options and arguments

wrong_options(_) ->
    [
        badarg(1, fun() -> ?HISTOGRAM:new(Opts) end)
     || Opts <- [
            [], a, #{nosuch => 1}, #{precision => 4}, #{precision => 11}, #{precision => 7.0},
            #{max => 0}, #{max => -1}, #{max => 1.0e9}, #{max => 1 bsl 64}, #{max => infinity},
            #{name => undefined}, #{name => "a"}, #{name => <<"a">>}, #{owner => undefined},
            #{owner => a}, #{owner => elsewhere()}, #{windows => 1}, #{half_life => 0},
            #{half_life => -1}, #{half_life => 1.0}, #{half_life => infinity}, #{"precision" => 7}
        ]
    ].

elsewhere() -> binary_to_term(<<131, 88, 119, 5, "a@b.c", 0:32, 1:32, 2:32>>).

wrong_arguments(_) ->
    H = filled([1, 2, 3]),
    badarg(1, fun() -> ?HISTOGRAM:whereis("a") end),
    [badarg(3, fun() -> ?HISTOGRAM:record_corrected(H, 1, I) end) || I <- [0, -1, 1.0, a]],
    [
        badarg(2, fun() -> ?HISTOGRAM:quantiles(H, Q) end)
     || Q <- [0.5, [a], [1.1], [-0.1], [2], [0.5 | 0.9], [0.5, [0.9]], <<>>]
    ],
    [badarg(2, fun() -> ?HISTOGRAM:quantile(H, Q) end) || Q <- [a, 1.00001, -1, [0.5]]],
    badarg(2, fun() -> ?HISTOGRAM:quantiles(H, [a], linear) end),
    badarg(3, fun() -> ?HISTOGRAM:quantiles(H, [0.5], cubic) end),
    [
        badarg(2, fun() -> ?HISTOGRAM:buckets(H, Bounds) end)
     || Bounds <- [a, [a], [1 | 2], [1, [2]], <<>>, [1 bsl 64], [undefined]]
    ],
    [badarg(2, fun() -> ?HISTOGRAM:fraction_below(H, B) end) || B <- [a, [1], 1 bsl 64, <<"1">>]],
    [badarg(2, fun() -> ?HISTOGRAM:time(H, F) end) || F <- [a, fun(_) -> ok end, {?MODULE, all, 0}]],
    [badarg(2, fun() -> ?HISTOGRAM:plot(H, C) end) || C <- [59, 401, a, 80.0, 1 bsl 64]],
    ?assertEqual(3, count(H)).

%% Refused, and nothing of them is recorded.
wrong_values(_) ->
    H = ?HISTOGRAM:new(),
    Wrong = [
        -1, -(1 bsl 59) - 1, -(1 bsl 64), -(1 bsl 4096), 0.0, 1.0, 1.5e300, a, true, "1", <<"1">>, {1}, [],
        #{}, self(), make_ref(), fun() -> 1 end
    ],
    [badarg(2, fun() -> ?HISTOGRAM:record(H, V) end) || V <- Wrong],
    [badarg(2, fun() -> ?HISTOGRAM:record_corrected(H, V, 10) end) || V <- Wrong],
    [badarg(2, fun() -> ?HISTOGRAM:record_many(H, [1, V, 2]) end) || V <- Wrong],
    [
        badarg(2, fun() -> ?HISTOGRAM:record_many(H, Values) end)
     || Values <- [a, 1, {1, 2}, [1 | 2], [1 | <<0:64>>], <<1>>, <<0:65>>, <<1:1>>, <<0:63>>, #{}]
    ],
    %% An interval is no small integer.
    ok = ?HISTOGRAM:record_corrected(H, 5, 1 bsl 70),
    ?assertMatch(#{count := 1, sum := 5, corrected := false}, ?HISTOGRAM:summary(H)).

%%% Values

defaults(_) ->
    Self = self(),
    ?assertMatch(
        #{precision := 7, max := 4398046511103, name := undefined, owner := Self},
        ?HISTOGRAM:info(?HISTOGRAM:new())
    ),
    [
        ?assertMatch(#{max := Max}, ?HISTOGRAM:info(?HISTOGRAM:new(#{max => Asked})))
     || {Asked, Max} <- [
            {1, 1}, {2, 3}, {3, 3}, {4, 7}, {1_000_000, 1_048_575}, {1 bsl 42, 1 bsl 43 - 1},
            {1 bsl 63 - 1, 1 bsl 63 - 1}, {1 bsl 63, 1 bsl 64 - 1}, {1 bsl 64 - 1, 1 bsl 64 - 1}
        ]
    ].

largest_values(_) ->
    [
        begin
            Max = 1 bsl Bits - 1,
            H = filled([Max], #{max => Max, precision => Precision}),
            ?assertMatch(#{count := 1, overflow := 0, max := Max, min := Max}, ?HISTOGRAM:summary(H)),
            ok = ?HISTOGRAM:record(H, Max + 1),
            ok = ?HISTOGRAM:record(H, Max - 1),
            ?assertMatch(#{count := 3, overflow := 1}, ?HISTOGRAM:summary(H)),
            ok = ?HISTOGRAM:delete(H)
        end
     || Bits <- lists:seq(1, 63), Precision <- [5, 7, 10]
    ],
    %% All that is beyond 64 bits is taken for their largest value, which has a bucket here.
    H = filled([1 bsl 64 - 1, 1 bsl 64, 1 bsl 70], #{max => 1 bsl 64 - 1}),
    ?assertMatch(
        #{count := 3, overflow := 0, sum := Sum} when Sum =:= 3 * (1 bsl 64 - 1), ?HISTOGRAM:summary(H)
    ).

overflow(_) ->
    Large = [1 bsl 20, 1 bsl 58, 1 bsl 59 - 1, 1 bsl 59, 1 bsl 60, 1 bsl 63, 1 bsl 64 - 1],
    Beyond = [1 bsl 64, 1 bsl 64 + 1, 1 bsl 128, 1 bsl 4096],
    H = ?HISTOGRAM:new(#{max => 1000}),
    [ok = ?HISTOGRAM:record(H, V) || V <- Large ++ Beyond],
    ok = ?HISTOGRAM:record_many(H, Large ++ Beyond),
    ok = ?HISTOGRAM:record_many(H, << <<V:64/native>> || V <- Large >>),
    Expected = 2 * length(Large ++ Beyond) + length(Large),
    ?assertMatch(#{count := Expected, overflow := Expected, min := 1048576}, ?HISTOGRAM:summary(H)),
    %% What is beyond 64 bits is taken for their largest.
    ?assertEqual(1 bsl 64 - 1, maps:get(max, ?HISTOGRAM:summary(H))),
    Total = 3 * lists:sum(Large) + 2 * length(Beyond) * (1 bsl 64 - 1),
    ?assertEqual(Total, sum(H)),
    %% A rank among them is their largest; no bound has them below it.
    ?assertEqual(1 bsl 64 - 1, ?HISTOGRAM:quantile(H, 0.5)),
    ok = ?HISTOGRAM:record_many(H, lists:duplicate(2 * Expected, 10)),
    ?assertEqual([10, 10, 1 bsl 64 - 1], ?HISTOGRAM:quantiles(H, [0.0, 0.6, 0.7])),
    ?assertEqual([{1000, 2 * Expected}], ?HISTOGRAM:buckets(H, [1000])).

zero(_) ->
    H = filled([0, 0, 0, 1]),
    ?assertMatch(#{count := 4, sum := 1, min := 0, max := 1, p50 := 0}, ?HISTOGRAM:summary(H)),
    ?assertEqual([{0, 3}, {1, 4}], ?HISTOGRAM:buckets(H, [0, 1])),
    ?assertEqual(0.75, ?HISTOGRAM:fraction_below(H, 0)),
    Zero = filled([0]),
    ?assertEqual([0, 0, 0], ?HISTOGRAM:quantiles(Zero, [0, 0.5, 1])),
    ?assertMatch(#{mean := M, stddev := S} when M == 0 andalso S == 0, ?HISTOGRAM:summary(Zero)).

%% The bound that the documentation states, at the values where buckets are widest, and that it
%% is not stated too well: somewhere the error comes near it.
error_per_precision(_) ->
    [
        begin
            H = ?HISTOGRAM:new(#{precision => Precision, max => 1 bsl 64 - 1}),
            Errors = [
                begin
                    %% Alone it would be known exactly.
                    ok = ?HISTOGRAM:record_many(H, [0, Value, 1 bsl 64 - 1]),
                    Told = ?HISTOGRAM:quantile(H, 0.5),
                    ok = ?HISTOGRAM:reset(H),
                    ?assert(within(Told, Value, Precision), {Precision, Value, Told}),
                    abs(Told - Value) / max(1, Value)
                end
             || Bits <- lists:seq(0, 63),
                Value <- [1 bsl Bits, 2 bsl Bits - 1, 1 bsl Bits + 1, 3 bsl Bits div 2]
            ],
            ct:log("precision ~b: at most ~.4f %", [Precision, 100 * lists:max(Errors)]),
            ?assert(lists:max(Errors) > 0.45 / (1 bsl Precision))
        end
     || Precision <- lists:seq(5, 10)
    ].

nothing_recorded(_) ->
    H = ?HISTOGRAM:new(),
    [
        begin
            ?assertMatch(
                #{count := 0, sum := 0, overflow := 0, min := undefined, max := undefined,
                    mean := undefined, stddev := undefined, p50 := undefined, p999 := undefined},
                ?HISTOGRAM:summary(From)
            ),
            ?assertEqual([undefined, undefined], ?HISTOGRAM:quantiles(From, [0.5, 1.0])),
            ?assertEqual([undefined], ?HISTOGRAM:quantiles(From, [0.5], linear)),
            ?assertEqual([], ?HISTOGRAM:quantiles(From, [])),
            ?assertEqual(undefined, ?HISTOGRAM:fraction_below(From, 10)),
            ?assertEqual([{1, 0}, {2.5, 0}], ?HISTOGRAM:buckets(From, [1, 2.5])),
            ?assertEqual([], ?HISTOGRAM:buckets(From, [])),
            ?assert(is_binary(?HISTOGRAM:plot(From)))
        end
     || From <- [H, ?HISTOGRAM:snapshot(H), ?HISTOGRAM:merge([H, H])]
    ].

summary(_) ->
    H = filled(lists:seq(1, 100)),
    ?assertMatch(
        #{count := 100, sum := 5050, overflow := 0, min := 1, max := 100, p50 := 50, p90 := 90,
            p95 := 95, p99 := 99, p999 := 100, corrected := false},
        ?HISTOGRAM:summary(H)
    ),
    #{mean := Mean, stddev := Deviation} = ?HISTOGRAM:summary(H),
    ?assert(abs(Mean - 50.5) < 1.0e-9),
    ?assert(abs(Deviation - math:sqrt(833.25)) < 1.0e-6),
    %% The sum needs more than 64 bits.
    Large = filled(lists:duplicate(100, 1 bsl 64 - 1), #{max => 1 bsl 64 - 1}),
    ?assertEqual(100 * (1 bsl 64 - 1), sum(Large)).

quantile_edges(_) ->
    H = filled(lists:seq(1, 10)),
    ?assertEqual(
        [1, 1, 1, 2, 5, 6, 10, 10, 10],
        ?HISTOGRAM:quantiles(H, [0, 0.0, 0.1, 0.11, 0.5, 0.51, 0.99, 1.0, 1])
    ),
    %% In the order asked, also twice.
    ?assertEqual([9, 1, 9], ?HISTOGRAM:quantiles(H, [0.9, 0, 0.9])),
    ?assertEqual(5, ?HISTOGRAM:quantile(H, 0.5)),
    %% Of one value all are that one, exactly.
    One = filled([123_456_789]),
    ?assertEqual([123_456_789], lists:usort(?HISTOGRAM:quantiles(One, [0, 0.5, 0.999, 1]))),
    Many = [I / 2000 || I <- lists:seq(0, 2000)],
    ?assertEqual([rank(lists:seq(1, 10), Q) || Q <- Many], ?HISTOGRAM:quantiles(H, Many)).

%% Within its bucket as far along as the quantile is within the part of all values that the bucket
%% holds.
linear(_) ->
    H = filled(lists:seq(1, 100) ++ lists:duplicate(100, 1100)),
    Told = ?HISTOGRAM:quantiles(H, [0.0, 0.25, 0.5, 0.75, 1.0], linear),
    ?assert(lists:all(fun is_float/1, Told), Told),
    %% The bucket from 1096 to 1103; there is nothing above 1100.
    ?assertEqual([1.0, 50.0, 100.0, 1099.5, 1100.0], Told).

buckets_and_fractions(_) ->
    H = filled([1, 2, 2, 50, 100, 5000]),
    ?assertEqual(
        [{0, 0}, {1, 1}, {2.5, 3}, {99, 4}, {100, 5}, {1.0e4, 6}, {infinity, 6}],
        ?HISTOGRAM:buckets(H, [0, 1, 2.5, 99, 100, 1.0e4, infinity])
    ),
    ?assertEqual([{2, 3}, {-1, 0}, {2, 3}], ?HISTOGRAM:buckets(H, [2, -1, 2])),
    ?assertEqual(
        [0.0, 0.0, 0.5, 1.0, 1.0], [?HISTOGRAM:fraction_below(H, V) || V <- [-1, 0, 2, 6000, infinity]]
    ).

%% HdrHistogram's own example: a hundred seconds of a thousand values each, of 1 ms, then one of 100 s
%% while none could be taken.
corrected(_) ->
    H = ?HISTOGRAM:new(),
    [ok = ?HISTOGRAM:record_corrected(H, 1_000_000, 10_000_000) || _ <- lists:seq(1, 10_000)],
    ?assertMatch(#{count := 10_000, corrected := false}, ?HISTOGRAM:summary(H)),
    ok = ?HISTOGRAM:record_corrected(H, 100_000_000_000, 10_000_000),
    ?assertMatch(#{count := 20_000, corrected := true}, ?HISTOGRAM:summary(H)),
    ?assertEqual(10_000 * 1_000_000 + 10_000_000 * (10_000 * 10_001 div 2), sum(H)),
    [P50, P75, P99] = ?HISTOGRAM:quantiles(H, [0.5, 0.75, 0.99]),
    [
        ?assert(within(Told, Value, 7), {Told, Value})
     || {Told, Value} <- [{P50, 1_000_000}, {P75, 50_000_000_000}, {P99, 98_000_000_000}]
    ],
    ?assertMatch(#{corrected := true}, ?HISTOGRAM:summary(?HISTOGRAM:snapshot(H))),
    %% However many there are that it stands for.
    Far = filled([]),
    ok = ?HISTOGRAM:record_corrected(Far, 1 bsl 42 - 1, 1),
    ?assertEqual(1 bsl 42 - 1, count(Far)).

%%% Many

many_at_once(_) ->
    Values = [erlang:phash2(I, 1 bsl 27) bsl (I rem 10) || I <- lists:seq(1, 100_000)],
    One = ?HISTOGRAM:new(),
    [ok = ?HISTOGRAM:record(One, V) || V <- Values],
    List = filled(Values),
    Binary = filled(<< <<V:64/native>> || V <- Values >>),
    %% The bytes need not lie at a multiple of eight.
    <<_, Inner/binary>> = <<0, << <<V:64/native>> || V <- Values >>/binary>>,
    Shifted = filled(Inner),
    Expected = ?HISTOGRAM:buckets(One, [1 bsl B || B <- lists:seq(0, 40)]),
    [
        begin
            ?assertEqual(100_000, count(H)),
            ?assertEqual(lists:sum(Values), sum(H)),
            ?assertEqual(Expected, ?HISTOGRAM:buckets(H, [1 bsl B || B <- lists:seq(0, 40)]))
        end
     || H <- [One, List, Binary, Shifted]
    ],
    ok = ?HISTOGRAM:record_many(One, []),
    ok = ?HISTOGRAM:record_many(One, <<>>),
    ?assertEqual(100_000, count(One)).

%% Wherever the wrong one is.
all_or_none(_) ->
    H = ?HISTOGRAM:new(),
    [
        badarg(2, fun() -> ?HISTOGRAM:record_many(H, lists:seq(1, Before) ++ Wrong) end)
     || Before <- [0, 1, 2, 100, 1000, 10_000, 100_000, 1_000_000],
        Wrong <- [[-1], [1.0], [a, 1], b, [1 | 2], [1 bsl 64, -(1 bsl 64)]]
    ],
    ?assertEqual(0, count(H)),
    ?assertEqual(0, sum(H)).

long_lists(_) ->
    Values = lists:seq(1, 1_000_000),
    H = filled(Values),
    ?assertEqual(1_000_000, count(H)),
    ?assertEqual(lists:sum(Values), sum(H)),
    ok = ?HISTOGRAM:record_many(H, << <<V:64/native>> || V <- Values >>),
    ?assertEqual(2 * lists:sum(Values), sum(H)).

%% Eight processes record while four readers go from interval to interval and one resets.
nothing_is_lost(_) ->
    H = ?HISTOGRAM:new(#{precision => 5}),
    Each = 1_000_000,
    Readers = [start_reader(H) || _ <- lists:seq(1, 3)] ++ [start_resetting(H)],
    Sums = parallel(8, fun(Nth) -> record_each(H, Nth, Each, 0) end),
    Seen = [
        begin
            Pid ! stop,
            receive {Pid, Answer} -> Answer end
        end
     || Pid <- Readers
    ],
    [
        ?assertEqual({8 * Each, lists:sum(Sums)}, {count(Snapshot), sum(Snapshot)})
     || {Snapshot, _} <- Seen
    ],
    %% All readers saw the same, to the last bucket.
    Bounds = [V || V <- lists:seq(0, 1 bsl 16, 64)],
    ?assertMatch([_], lists:usort([?HISTOGRAM:buckets(Snapshot, Bounds) || {Snapshot, _} <- Seen])),
    %% And what was there before a cursor is not in the next interval.
    [
        ?assertEqual(0, count(element(1, ?HISTOGRAM:interval(H, Cursor))))
     || {_, Cursor} <- Seen
    ].

start_reader(H) ->
    Self = self(),
    spawn_link(fun() -> Self ! {self(), erlmcp_native_test_histogram:collect(H, fun() -> ok end)} end).

start_resetting(H) ->
    Self = self(),
    Reset = fun() -> ok = ?HISTOGRAM:reset(H) end,
    spawn_link(fun() -> Self ! {self(), erlmcp_native_test_histogram:collect(H, Reset)} end).

record_each(_, _, 0, Sum) ->
    Sum;
record_each(H, Nth, Left, Sum) ->
    Value = (Left * Nth * 7919) band 16#FFFF,
    ok = ?HISTOGRAM:record(H, Value),
    record_each(H, Nth, Left - 1, Sum + Value).

%% More processes than there are schedulers, and dirty ones among what records.
many_processes_and_schedulers(_) ->
    H = ?HISTOGRAM:new(),
    Long = << <<V:64/native>> || V <- lists:seq(1, 100_000) >>,
    _ = parallel(200, fun
        (Nth) when Nth rem 50 =:= 0 -> ok = ?HISTOGRAM:record_many(H, Long);
        (Nth) -> [ok = ?HISTOGRAM:record(H, Nth) || _ <- lists:seq(1, 1000)]
    end),
    ?assertEqual(4 * 100_000 + 196 * 1000, count(H)).

%%% For the eye

plot(_) ->
    H = filled([trunc(math:exp(rand:normal()) * 1_000_000) || _ <- lists:seq(1, 10_000)]),
    Plot = ?HISTOGRAM:plot(H),
    ct:log("~ts", [Plot]),
    ?assert(is_list(unicode:characters_to_list(Plot))),
    [
        begin
            Lines = string:split(?HISTOGRAM:plot(H, Columns), "\n", all),
            ?assert(length(Lines) > 5),
            [?assert(string:length(Line) =< Columns, Line) || Line <- Lines]
        end
     || Columns <- [60, 80, 200, 400]
    ],
    [?assert(is_binary(?HISTOGRAM:plot(filled(V, #{max => 1000})))) || V <- [[0], [5], [1 bsl 64], [0, 1000, 2000]]].
