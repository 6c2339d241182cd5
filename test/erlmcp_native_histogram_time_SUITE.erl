%% The clock of start/0 and stop/2 beside the VM's, and time/2.
-module(erlmcp_native_histogram_time_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0]).
-export([
    elapsed_agrees/1,
    long_spans_agree/1,
    stop_agrees/1,
    in_many_processes/1,
    never_backwards/1,
    across_schedulers/1,
    starts_are_small/1,
    not_a_start/1,
    time_passes_on/1,
    time_and_a_deleted_histogram/1
]).

-import(erlmcp_native_test_cache, [parallel/2]).
-import(erlmcp_native_test_histogram, [badarg/2, count/1, sum/1]).

-define(HISTOGRAM, erlmcp_native_histogram).

all() ->
    [
        elapsed_agrees,
        long_spans_agree,
        stop_agrees,
        in_many_processes,
        never_backwards,
        across_schedulers,
        starts_are_small,
        not_a_start,
        time_passes_on,
        time_and_a_deleted_histogram
    ].

suite() -> [{timetrap, {minutes, 2}}].

now_ns() -> erlang:monotonic_time(nanosecond).

%% What two clocks may differ by that are both right: the VM's is slewed by NTP, by more than its usual
%% 500 ppm where a machine has just come up, and ticks are of several nanoseconds.
slack(Nanoseconds) -> 1000 + Nanoseconds div 500.

%% What Measure tells of Work lies between what the VM's clock tells of it from within and from
%% without, however long the machine stands still in between.
bracketed(Measure, Work) ->
    Outer0 = now_ns(),
    Told = Measure(fun() ->
        Inner0 = now_ns(),
        _ = Work(),
        put(inner, now_ns() - Inner0)
    end),
    Outer = now_ns() - Outer0,
    Inner = get(inner),
    ?assert(Told >= Inner - slack(Inner), {Inner, Told, Outer}),
    ?assert(Told =< Outer + slack(Outer), {Inner, Told, Outer}),
    Told.

by_elapsed(Work) ->
    Since = ?HISTOGRAM:start(),
    Work(),
    ?HISTOGRAM:elapsed(Since).

by_stop(H) ->
    fun(Work) ->
        Before = sum(H),
        Since = ?HISTOGRAM:start(),
        Work(),
        ok = ?HISTOGRAM:stop(H, Since),
        sum(H) - Before
    end.

works() ->
    [
        fun() -> ok end,
        fun() -> lists:seq(1, 100) end,
        fun() -> lists:sort([erlang:phash2(I) || I <- lists:seq(1, 10_000)]) end,
        fun() -> timer:sleep(1) end,
        fun erlang:yield/0
    ].

elapsed_agrees(_) ->
    [bracketed(fun by_elapsed/1, Work) || _ <- lists:seq(1, 200), Work <- works()].

long_spans_agree(_) ->
    Told = bracketed(fun by_elapsed/1, fun() -> timer:sleep(2000) end),
    ?assert(Told >= 1_900_000_000),
    H = ?HISTOGRAM:new(),
    bracketed(by_stop(H), fun() -> timer:sleep(1500) end).

stop_agrees(_) ->
    H = ?HISTOGRAM:new(),
    [bracketed(by_stop(H), Work) || _ <- lists:seq(1, 100), Work <- works()],
    [bracketed(fun(Run) -> timed(H, Run) end, Work) || _ <- lists:seq(1, 100), Work <- works()],
    ?assertEqual(200 * length(works()), count(H)).

timed(H, Work) ->
    Before = sum(H),
    _ = ?HISTOGRAM:time(H, Work),
    sum(H) - Before.

in_many_processes(_) ->
    _ = parallel(20, fun(_) ->
        [bracketed(fun by_elapsed/1, Work) || _ <- lists:seq(1, 50), Work <- works()]
    end),
    %% All into one: together they are between what all saw from within and from without.
    H = ?HISTOGRAM:new(),
    Spans = parallel(20, fun(_) ->
        [both(H) || _ <- lists:seq(1, 500)]
    end),
    {Inner, Outer} = lists:unzip(lists:append(Spans)),
    ?assertEqual(length(Inner), count(H)),
    ?assert(sum(H) >= lists:sum([I - slack(I) || I <- Inner])),
    ?assert(sum(H) =< lists:sum([O + slack(O) || O <- Outer])).

both(H) ->
    Outer0 = now_ns(),
    Since = ?HISTOGRAM:start(),
    Inner0 = now_ns(),
    erlang:yield(),
    Inner = now_ns() - Inner0,
    ok = ?HISTOGRAM:stop(H, Since),
    {Inner, now_ns() - Outer0}.

never_backwards(_) ->
    _ = parallel(4, fun(_) ->
        Since = ?HISTOGRAM:start(),
        lists:foldl(
            fun(_, Before) ->
                Now = ?HISTOGRAM:elapsed(Since),
                ?assert(Now >= Before, {Before, Now}),
                Now
            end,
            0,
            lists:seq(1, 200_000)
        )
    end).

%% Started in one process and stopped in another, over and over: with two schedulers, on both.
across_schedulers(_) ->
    H = ?HISTOGRAM:new(),
    Self = self(),
    Stop = fun(Stop, Seen) ->
        receive
            {Outer0, Since, Inner0} ->
                Inner = now_ns() - Inner0,
                Told = ?HISTOGRAM:elapsed(Since),
                ok = ?HISTOGRAM:stop(H, Since),
                Outer = now_ns() - Outer0,
                ?assert(Told >= Inner - slack(Inner), {Inner, Told, Outer}),
                ?assert(Told =< Outer + slack(Outer), {Inner, Told, Outer}),
                Stop(Stop, [erlang:system_info(scheduler_id) | Seen]);
            done ->
                Self ! {self(), lists:usort(Seen)}
        end
    end,
    Pids = [spawn_link(fun() -> Stop(Stop, []) end) || _ <- lists:seq(1, 8)],
    [
        begin
            Outer0 = now_ns(),
            Since = ?HISTOGRAM:start(),
            Pid ! {Outer0, Since, now_ns()}
        end
     || _ <- lists:seq(1, 2000), Pid <- Pids
    ],
    [Pid ! done || Pid <- Pids],
    Schedulers = lists:append([receive {Pid, Seen} -> Seen end || Pid <- Pids]),
    ct:log("on schedulers ~p", [lists:usort(Schedulers)]),
    ?assertEqual(16_000, count(H)).

%% No word of a heap is needed for one.
starts_are_small(_) ->
    [?assertEqual(0, erts_debug:flat_size(?HISTOGRAM:start())) || _ <- lists:seq(1, 100)].

not_a_start(_) ->
    H = ?HISTOGRAM:new(),
    Wrong = [a, 1.0, <<1>>, [], {1}, self(), make_ref(), 1 bsl 64, -(1 bsl 64), #{}],
    [badarg(2, fun() -> ?HISTOGRAM:stop(H, Since) end) || Since <- Wrong],
    [badarg(1, fun() -> ?HISTOGRAM:elapsed(Since) end) || Since <- Wrong],
    ?assertEqual(0, count(H)),
    %% Of the future, as far as can be told: nothing has passed.
    Since = ?HISTOGRAM:start() + 1_000_000_000_000,
    ?assertEqual(0, ?HISTOGRAM:elapsed(Since)),
    ok = ?HISTOGRAM:stop(H, Since),
    ?assertEqual({1, 0}, {count(H), sum(H)}).

time_passes_on(_) ->
    H = ?HISTOGRAM:new(#{name => timed}),
    ?assertEqual({some, result}, ?HISTOGRAM:time(H, fun() -> {some, result} end)),
    ?assertThrow(up, ?HISTOGRAM:time(H, fun() -> throw(up) end)),
    ?assertExit({out, 1}, ?HISTOGRAM:time(timed, fun() -> exit({out, 1}) end)),
    ?assertError(badarith, ?HISTOGRAM:time(timed, fun() -> 1 / (count(H) - 3) end)),
    %% With the stack of where it was raised.
    try
        ?HISTOGRAM:time(H, fun() -> lists:map(fun(_) -> error(deep) end, [1]) end)
    catch
        error:deep:Stack ->
            ?assertMatch([{?MODULE, _, _, _}, {lists, map, _, _} | _], Stack)
    end,
    ?assertEqual(5, count(H)),
    ok = ?HISTOGRAM:time(H, fun() -> timer:sleep(20) end),
    ?assert(maps:get(max, ?HISTOGRAM:summary(H)) >= 19_000_000).

time_and_a_deleted_histogram(_) ->
    H = ?HISTOGRAM:new(),
    ?assertEqual(done, ?HISTOGRAM:time(H, fun() -> ok = ?HISTOGRAM:delete(H), done end)),
    badarg(1, fun() -> ?HISTOGRAM:time(H, fun() -> exit(it_ran) end) end).
