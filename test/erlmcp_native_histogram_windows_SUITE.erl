%% What was recorded of late: windows, and the view in which the past fades.
-module(erlmcp_native_histogram_windows_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0]).
-export([
    not_asked_for/1,
    windows_hold_what_is_new/1,
    windows_let_go_of_what_is_old/1,
    windows_are_nested/1,
    windows_and_resets/1,
    windows_lose_nothing/1,
    windows_of_many/1,
    decaying_weighs_by_age/1,
    decaying_of_one_value/1,
    decaying_goes_down/1,
    decaying_and_wrong_quantiles/1,
    ends_with_its_owner/1
]).

-import(erlmcp_native_test_cache, [until/1, parallel/2]).
-import(erlmcp_native_test_histogram, [filled/2, badarg/2, count/1, sum/1]).

-define(HISTOGRAM, erlmcp_native_histogram).
-define(LENGTHS, [1000, 10_000, 60_000, 300_000, 3_600_000, 86_400_000]).
-define(DAY, 86_400_000).

all() ->
    [
        not_asked_for,
        windows_hold_what_is_new,
        windows_let_go_of_what_is_old,
        windows_are_nested,
        windows_and_resets,
        windows_lose_nothing,
        windows_of_many,
        decaying_weighs_by_age,
        decaying_of_one_value,
        decaying_goes_down,
        decaying_and_wrong_quantiles,
        ends_with_its_owner
    ].

suite() -> [{timetrap, {minutes, 2}}].

not_asked_for(_) ->
    Plain = filled([1], #{}),
    badarg(1, fun() -> ?HISTOGRAM:windows(Plain) end),
    badarg(1, fun() -> ?HISTOGRAM:window(Plain, 1000) end),
    badarg(1, fun() -> ?HISTOGRAM:decaying(Plain) end),
    Windowed = filled([1], #{windows => true}),
    badarg(1, fun() -> ?HISTOGRAM:decaying(Windowed) end),
    [badarg(2, fun() -> ?HISTOGRAM:window(Windowed, W) end) || W <- [0, 999, 1000.0, a, -1000, 1 bsl 70]],
    Fading = filled([1], #{half_life => 1000}),
    badarg(1, fun() -> ?HISTOGRAM:windows(Fading) end),
    Both = filled([1], #{windows => true, half_life => 1000, name => both}),
    ?assertEqual(6, length(?HISTOGRAM:windows(both))),
    ?assertMatch(#{half_life := 1000}, ?HISTOGRAM:decaying(Both)).

windows_hold_what_is_new(_) ->
    H = filled([], #{windows => true}),
    ?assertEqual(?LENGTHS, [Length || {Length, _} <- ?HISTOGRAM:windows(H)]),
    ?assertEqual([0], lists:usort([count(S) || {_, S} <- ?HISTOGRAM:windows(H)])),
    ok = ?HISTOGRAM:record_many(H, lists:seq(1, 1000)),
    %% A machine that stands still for longer than a window sees it empty; not ten times in a row.
    until(fun() ->
        ok = ?HISTOGRAM:record(H, 7),
        count(?HISTOGRAM:window(H, 1000)) > 0
    end),
    Hour = ?HISTOGRAM:window(H, 3_600_000),
    ?assert(count(Hour) >= 1001),
    ?assertMatch(#{p50 := P50} when P50 > 490 andalso P50 < 510, ?HISTOGRAM:summary(Hour)),
    %% It is a snapshot like any other.
    Merged = ?HISTOGRAM:merge([Hour, Hour]),
    ?assertEqual(2 * count(Hour), count(Merged)),
    ?assert(is_integer(maps:get(span, ?HISTOGRAM:summary(Hour)))).

windows_let_go_of_what_is_old(_) ->
    H = filled([5, 5, 5], #{windows => true}),
    until(fun() -> count(?HISTOGRAM:window(H, 1000)) =:= 0 end),
    ?assertEqual(3, count(?HISTOGRAM:window(H, 300_000))),
    ?assertEqual(3, count(?HISTOGRAM:window(H, ?DAY))),
    ok = ?HISTOGRAM:record(H, 1000),
    Five = ?HISTOGRAM:window(H, 300_000),
    ?assertEqual({4, 1015}, {count(Five), sum(Five)}).

%% Read at one moment, a longer window has all that a shorter one has.
windows_are_nested(_) ->
    H = filled([], #{windows => true}),
    Self = self(),
    Writer = spawn_link(fun() ->
        record_until_stopped(H, 0),
        Self ! stopped
    end),
    [
        begin
            Counts = [count(S) || {_, S} <- ?HISTOGRAM:windows(H)],
            ?assertEqual(lists:sort(Counts), Counts),
            timer:sleep(5)
        end
     || _ <- lists:seq(1, 300)
    ],
    Writer ! stop,
    receive stopped -> ok end.

record_until_stopped(H, Value) ->
    receive
        stop -> ok
    after 0 ->
        ok = ?HISTOGRAM:record(H, Value band 16#FFF),
        record_until_stopped(H, Value + 1)
    end.

windows_and_resets(_) ->
    H = filled([1, 2, 3], #{windows => true}),
    ok = ?HISTOGRAM:reset(H),
    ?assertEqual(0, count(H)),
    ?assertEqual(3, count(?HISTOGRAM:window(H, ?DAY))).

%% Ticks go on while eight record; nothing of it is lost or counted twice.
windows_lose_nothing(_) ->
    H = filled([], #{windows => true, half_life => 60_000, precision => 5}),
    Each = 300_000,
    Sums = parallel(8, fun(Nth) ->
        lists:foldl(
            fun(I, Sum) ->
                Value = (I * Nth) band 16#FFFFF,
                ok = ?HISTOGRAM:record(H, Value),
                Sum + Value
            end,
            0,
            lists:seq(1, Each)
        )
    end),
    Day = ?HISTOGRAM:window(H, ?DAY),
    ?assertEqual({8 * Each, lists:sum(Sums)}, {count(Day), sum(Day)}),
    ?assertEqual({8 * Each, lists:sum(Sums)}, {count(H), sum(H)}).

windows_of_many(_) ->
    Many = [filled([I], #{windows => true, half_life => 1000}) || I <- lists:seq(1, 500)],
    until(fun() -> lists:all(fun(H) -> count(?HISTOGRAM:window(H, 1000)) =:= 0 end, Many) end),
    ?assertEqual([1], lists:usort([count(?HISTOGRAM:window(H, ?DAY)) || H <- Many])),
    %% Some end while they are ticked.
    [ok = ?HISTOGRAM:delete(H) || H <- Many].

%% A half-life so long that no pause of the machine counts.
decaying_weighs_by_age(_) ->
    H = filled(lists:seq(1, 1000), #{half_life => 86_400_000}),
    #{weight := Weight, mean := Mean, quantiles := [P50, P90, P99, P999], half_life := ?DAY} =
        ?HISTOGRAM:decaying(H),
    ?assert(Weight > 999.0 andalso Weight =< 1000.001, Weight),
    ?assert(abs(Mean - 500.5) < 5, Mean),
    [
        ?assert(abs(Told - Value) =< Value / 100, {Told, Value})
     || {Told, Value} <- [{P50, 500}, {P90, 900}, {P99, 990}, {P999, 999}]
    ],
    ?assertMatch(#{quantiles := [P99, P50]}, ?HISTOGRAM:decaying(H, [0.99, 0.5])),
    ?assertMatch(#{quantiles := [1, 1000]}, ?HISTOGRAM:decaying(H, [0, 1])).

decaying_of_one_value(_) ->
    Empty = filled([], #{half_life => 1000}),
    #{weight := None, mean := undefined, quantiles := [undefined]} = ?HISTOGRAM:decaying(Empty, [0.5]),
    ?assert(None == 0),
    H = filled([42], #{half_life => 3_600_000}),
    #{weight := One, mean := Mean, quantiles := [42]} = ?HISTOGRAM:decaying(H, [0.5]),
    ?assert(One > 0.99 andalso One =< 1.0),
    ?assert(abs(Mean - 42) < 1.0e-6).

decaying_goes_down(_) ->
    H = filled(lists:duplicate(1000, 10), #{half_life => 50}),
    Weight = fun() -> maps:get(weight, ?HISTOGRAM:decaying(H)) end,
    Falling = [
        begin
            timer:sleep(3),
            Weight()
        end
     || _ <- lists:seq(1, 100)
    ],
    ?assertEqual(lists:reverse(lists:sort(Falling)), Falling),
    until(fun() -> Weight() < 0.001 end),
    %% What is new then counts for all.
    ok = ?HISTOGRAM:record_many(H, lists:duplicate(1000, 1000)),
    ?assertMatch(#{mean := M, quantiles := [P]} when M > 990 andalso P > 990, ?HISTOGRAM:decaying(H, [0.5])),
    ?assertEqual(2000, count(H)).

decaying_and_wrong_quantiles(_) ->
    H = filled([1], #{half_life => 1000}),
    [
        badarg(2, fun() -> ?HISTOGRAM:decaying(H, Q) end)
     || Q <- [0.5, [1.5], [-0.1], [a], [0.5 | 0.6], [2], <<>>]
    ],
    ?assertMatch(#{quantiles := []}, ?HISTOGRAM:decaying(H, [])).

ends_with_its_owner(_) ->
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        Self ! {made, filled([1], #{windows => true, half_life => 10, name => windowed})},
        receive stop -> ok end
    end),
    H = receive {made, Handle} -> Handle end,
    ?assertEqual(1, count(?HISTOGRAM:window(windowed, ?DAY))),
    exit(Pid, kill),
    receive {'DOWN', Monitor, _, _, killed} -> ok end,
    until(fun() -> ?HISTOGRAM:whereis(windowed) =:= undefined end),
    badarg(1, fun() -> ?HISTOGRAM:windows(H) end),
    badarg(1, fun() -> ?HISTOGRAM:decaying(H) end).
