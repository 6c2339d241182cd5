%% Times of entries: to live, to idle, jitter, stale and negative ones. The times are short and the
%% machine may be slow: what must have ended is waited for, what must still be there is asked for
%% with much time left.
-module(erlmcp_native_cache_time_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, groups/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2]).
-export([
    ttl_ends/1,
    own_ttl_before_the_default/1,
    ended_is_not_there/1,
    ended_makes_room/1,
    very_long_times/1,
    idle_ends/1,
    a_count_is_a_use/1,
    idle_and_ttl/1,
    touched/1,
    jittered/1,
    ended_are_reclaimed/1,
    counter_in_a_window/1,
    stale_while_revalidate/1,
    stale_runs_once/1,
    stale_ends/1,
    stale_after_a_failure/1,
    stale_if_error/1,
    refreshed_before_the_end/1,
    negative/1,
    negative_is_not_there/1,
    negative_for_no_raise/1
]).

-import(erlmcp_native_test_cache, [new/2, until/1, parallel/2, no_message/0]).

-define(cache, erlmcp_native_cache).
%% The largest tick of the coarse clock, and the rounding to milliseconds.
-define(TICK, 11).
%% Longer than any case takes.
-define(LONG, 600_000).

all() -> [{group, native}, {group, ets}].

groups() ->
    All = [
        ttl_ends,
        own_ttl_before_the_default,
        ended_is_not_there,
        ended_makes_room,
        very_long_times,
        idle_ends,
        a_count_is_a_use,
        idle_and_ttl,
        touched,
        jittered,
        ended_are_reclaimed,
        counter_in_a_window,
        stale_while_revalidate,
        stale_runs_once,
        stale_ends,
        stale_after_a_failure,
        stale_if_error,
        refreshed_before_the_end,
        negative,
        negative_is_not_there,
        negative_for_no_raise
    ],
    [{native, [], All}, {ets, [], All}].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

init_per_group(Store, Config) -> [{store, Store} | Config].

end_per_group(_, _) -> ok.

%%% To live

ttl_ends(Config) ->
    Cache = new(Config, #{capacity => 10, ttl => 50}),
    Before = now_ms(),
    ok = ?cache:put(Cache, k, {v}),
    After = now_ms(),
    {Last, _} = seen(fun() -> ?cache:get(Cache, k) =:= {ok, {v}} end, After),
    %% Not before its time but for the tick by which the cache's clock lags behind, and not long
    %% after.
    ?assert(now_ms() - Before >= 50 - ?TICK),
    ?assert(Last - After =< 50 + 20, Last - After),
    ?assertEqual({error, not_found}, ?cache:get(Cache, k)).

%% When it last held, and first no longer.
seen(Fun) -> seen(Fun, now_ms()).
seen(Fun, Last) ->
    At = now_ms(),
    case Fun() of
        true -> seen(Fun, At);
        false -> {Last, At}
    end.

now_ms() -> erlang:monotonic_time(millisecond).

own_ttl_before_the_default(Config) ->
    Cache = new(Config, #{capacity => 10, ttl => 30}),
    ok = ?cache:put(Cache, default, {v}),
    ok = ?cache:put(Cache, long, {v}, #{ttl => ?LONG}),
    ok = ?cache:put(Cache, forever, {v}, #{ttl => infinity}),
    ended(Cache, default),
    {ok, Left} = ?cache:ttl(Cache, long),
    ?assert(Left > ?LONG - 60_000 andalso Left =< ?LONG),
    ?assertEqual({ok, infinity}, ?cache:ttl(Cache, forever)),
    {ok, #{ttl := LeftToo}} = ?cache:get_entry(Cache, long),
    ?assert(LeftToo =< Left andalso LeftToo > Left - 60_000),
    %% What replaces it has its own again.
    ok = ?cache:put(Cache, long, {w}),
    ended(Cache, long),
    ?assertEqual([forever], ?cache:keys(Cache)).

ended(Cache, Key) -> until(fun() -> not ?cache:is_key(Cache, Key) end).

ended_is_not_there(Config) ->
    Cache = new(Config, #{capacity => 10, ttl => 20, stale_for => ?LONG, stale_if_error => ?LONG}),
    Put = fun() -> ok = ?cache:put(Cache, k, {v}), ended(Cache, k) end,
    Put(),
    ?assertEqual({error, not_found}, ?cache:get(Cache, k)),
    ?assertEqual({error, not_found}, ?cache:get_entry(Cache, k)),
    ?assertEqual({error, not_found}, ?cache:ttl(Cache, k)),
    ?assertEqual(#{}, ?cache:get_many(Cache, [k])),
    ?assertEqual(false, ?cache:touch(Cache, k)),
    ?assertEqual({error, not_found}, ?cache:compare_and_put(Cache, k, 1, {w})),
    ?assertEqual([], ?cache:keys(Cache)),
    ?assertEqual([], ?cache:fold(fun(K, _, A) -> [K | A] end, [], Cache)),
    ?assertEqual({error, not_found}, ?cache:take(Cache, k)),
    Put(),
    ?assertEqual(ok, ?cache:put_new(Cache, k, {w})),
    ?assertEqual({ok, {w}}, ?cache:get(Cache, k)),
    Put(),
    ?assertEqual({ok, 1}, ?cache:update_counter(Cache, k, 1)).

%% What has ended leaves by itself, and what is put then drives out nothing.
ended_makes_room(Config) ->
    [
        begin
            Cache = new(Config, #{capacity => 100, policy => Policy}),
            [ok = ?cache:put(Cache, I, {I}, #{ttl => 20}) || I <- lists:seq(1, 50)],
            [ok = ?cache:put(Cache, I, {I}) || I <- lists:seq(51, 100)],
            until(fun() -> maps:get(used, ?cache:info(Cache)) =:= 50 end),
            [ok = ?cache:put(Cache, I, {I}) || I <- lists:seq(101, 150)],
            ?assertEqual(lists:seq(51, 150), lists:sort(?cache:keys(Cache)), Policy)
        end
     || Policy <- [lru, s3_fifo, fifo, lfu, random]
    ].

very_long_times(Config) ->
    Cache = new(Config, #{capacity => 100, jitter => 10}),
    [
        begin
            ok = ?cache:put(Cache, {Key, Time}, {v}, #{Key => Time}),
            ?assertEqual({ok, {v}}, ?cache:get(Cache, {Key, Time})),
            {ok, Left} = ?cache:ttl(Cache, {Key, Time}),
            ?assert(Left > 1 bsl 40)
        end
     || Key <- [ttl, idle], Time <- [1 bsl 42, 1 bsl 47, 1 bsl 48, 1 bsl 64, 1 bsl 200, infinity]
    ],
    ?assert(?cache:touch(Cache, {ttl, infinity}, 1 bsl 200)).

idle_ends(Config) ->
    Cache = new(Config, #{capacity => 10, idle => 1500}),
    Begin = now_ms(),
    ok = ?cache:put(Cache, used, {v}),
    ok = ?cache:put(Cache, unused, {v}),
    Use = fun() ->
        {ok, {v}} = ?cache:get(Cache, used),
        timer:sleep(20),
        %% Looking is no use.
        ?cache:is_key(Cache, unused)
    end,
    _ = seen(Use),
    ?assert(now_ms() - Begin >= 1500 - ?TICK),
    ?assertEqual({ok, {v}}, ?cache:get(Cache, used)),
    ended(Cache, used).

a_count_is_a_use(Config) ->
    Cache = new(Config, #{capacity => 10, idle => 300}),
    {ok, 0} = ?cache:update_counter(Cache, k, 0),
    Counts = [
        begin
            timer:sleep(100),
            ?cache:update_counter(Cache, k, 1)
        end
     || _ <- lists:seq(1, 6)
    ],
    ?assertEqual([{ok, N} || N <- lists:seq(1, 6)], Counts),
    ok = ?cache:drop(Cache).

idle_and_ttl(Config) ->
    Cache = new(Config, #{capacity => 10}),
    %% The earlier end counts, and use does not put off the end of the time to live.
    ok = ?cache:put(Cache, k, {v}, #{idle => ?LONG, ttl => 100}),
    ?assert(has_at_most(Cache, k, 100)),
    until(fun() -> ?cache:get(Cache, k) =:= {error, not_found} end),
    ok = ?cache:put(Cache, k, {v}, #{idle => 50, ttl => ?LONG}),
    ?assert(has_at_most(Cache, k, 50)),
    ended(Cache, k).

%% It may have ended meanwhile.
has_at_most(Cache, Key, Time) ->
    case ?cache:ttl(Cache, Key) of
        {ok, Left} -> Left =< Time;
        {error, not_found} -> true
    end.

touched(Config) ->
    Cache = new(Config, #{capacity => 10, ttl => ?LONG}),
    ok = ?cache:put(Cache, k, {v}),
    ?assert(?cache:touch(Cache, k, 10 * ?LONG)),
    {ok, More} = ?cache:ttl(Cache, k),
    ?assert(More > 9 * ?LONG),
    ?assert(?cache:touch(Cache, k, infinity)),
    ?assertEqual({ok, infinity}, ?cache:ttl(Cache, k)),
    ?assertEqual({ok, {v}}, ?cache:get(Cache, k)),
    ?assert(?cache:touch(Cache, k, 20)),
    ended(Cache, k),
    %% As it was put.
    ok = ?cache:put(Cache, own, {v}, #{ttl => ?LONG div 2}),
    timer:sleep(100),
    {ok, Less} = ?cache:ttl(Cache, own),
    ?assert(Less =< ?LONG div 2 - 80),
    ?assert(?cache:touch(Cache, own)),
    Touched = now_ms(),
    {ok, Again} = ?cache:ttl(Cache, own),
    ?assert(Again + now_ms() - Touched > Less),
    ?assert(Again =< ?LONG div 2).

jittered(Config) ->
    Cache = new(Config, #{capacity => 1000, ttl => ?LONG, jitter => 50}),
    [ok = ?cache:put(Cache, I, {I}) || I <- lists:seq(1, 300)],
    Left = [L || I <- lists:seq(1, 300), {ok, L} <- [?cache:ttl(Cache, I)]],
    ?assertEqual(300, length(Left)),
    ?assert(lists:max(Left) =< ?LONG),
    ?assert(lists:min(Left) >= ?LONG div 2 - 60_000),
    ?assert(lists:max(Left) - lists:min(Left) > ?LONG div 4),
    %% Keys that were put together differ, and one key put again differs.
    ?assert(length(lists:usort(Left)) > 200).

%% Without a call, and without a scan that one could notice.
ended_are_reclaimed(Config) ->
    Cache = new(Config, #{capacity => 100_000}),
    [ok = ?cache:put(Cache, I, {I}, #{ttl => 100 + I rem 100}) || I <- lists:seq(1, 20_000)],
    [ok = ?cache:put(Cache, -I, {I}) || I <- lists:seq(1, 100)],
    until(fun() -> maps:get(entries, ?cache:info(Cache)) =:= 100 end),
    ?assertMatch(#{expired := 20_000}, ?cache:stats(Cache)),
    ?assertEqual(100, maps:get(used, ?cache:info(Cache))).

counter_in_a_window(Config) ->
    Cache = new(Config, #{capacity => 10}),
    Count = fun() -> ?cache:update_counter(Cache, user, 1, #{ttl => 200}) end,
    Begin = now_ms(),
    ?assertEqual({ok, 1}, Count()),
    %% Counting does not make the window longer.
    until(fun() -> Count() =:= {ok, 1} end),
    ?assert(now_ms() - Begin >= 200 - ?TICK),
    ?assert(now_ms() - Begin =< 10_000).

%%% Stale

%% The stale value at once, the next one soon.
stale_while_revalidate(Config) ->
    Cache = new(Config, #{capacity => 10, ttl => 30, stale_for => ?LONG}),
    Self = self(),
    {ok, {1}} = ?cache:fetch(Cache, k, fun() -> {ok, {1}} end),
    ended(Cache, k),
    Refresh = fun() ->
        Self ! {runs_in, self()},
        receive go -> {ok, {2}, #{ttl => ?LONG}} end
    end,
    ?assertEqual({ok, {1}}, ?cache:fetch(Cache, k, Refresh)),
    Runner = receive {runs_in, Pid} -> Pid end,
    ?assertNotEqual(Self, Runner),
    %% While it runs all get the stale one, and get finds none.
    ?assertEqual({ok, {1}}, ?cache:fetch(Cache, k, fun() -> error(not_called) end)),
    ?assertEqual({error, not_found}, ?cache:get(Cache, k)),
    Runner ! go,
    until(fun() -> ?cache:get(Cache, k) =:= {ok, {2}} end),
    ?assertEqual({ok, {2}}, ?cache:fetch(Cache, k, fun() -> error(not_called) end)),
    no_message().

stale_runs_once(Config) ->
    Cache = new(Config, #{capacity => 10, ttl => 30, stale_for => ?LONG}),
    ok = ?cache:put(Cache, k, {1}),
    ended(Cache, k),
    Runs = counters:new(1, []),
    Self = self(),
    Run = fun() ->
        counters:add(Runs, 1, 1),
        Self ! {runs_in, self()},
        receive go -> {ok, {2}, #{ttl => ?LONG}} end
    end,
    ?assertEqual([{ok, {1}}], lists:usort(parallel(200, fun(_) -> ?cache:fetch(Cache, k, Run) end))),
    receive {runs_in, Runner} -> Runner ! go end,
    until(fun() -> ?cache:get(Cache, k) =:= {ok, {2}} end),
    ?assertEqual(1, counters:get(Runs, 1)).

stale_ends(Config) ->
    Cache = new(Config, #{capacity => 10, ttl => 20, stale_for => 30}),
    ok = ?cache:put(Cache, k, {1}),
    timer:sleep(100),
    ?assertEqual({ok, {2}}, ?cache:fetch(Cache, k, fun() -> {ok, {2}} end)),
    %% Of one entry.
    ok = ?cache:put(Cache, k, {3}, #{ttl => 20, stale_for => ?LONG}),
    timer:sleep(100),
    ?assertEqual({ok, {3}}, ?cache:fetch(Cache, k, fun() -> {error, no} end)),
    ok = ?cache:put(Cache, l, {4}, #{ttl => 20, stale_for => 0}),
    ended(Cache, l),
    ?assertEqual({error, no}, ?cache:fetch(Cache, l, fun() -> {error, no} end)).

%% The stale value stays, and the next fetch tries again.
stale_after_a_failure(Config) ->
    Cache = new(Config, #{capacity => 10, ttl => 20, stale_for => ?LONG, negative_ttl => ?LONG}),
    ok = ?cache:put(Cache, k, {1}),
    ended(Cache, k),
    Runs = counters:new(1, []),
    Fail = fun(How) -> fun() -> counters:add(Runs, 1, 1), How() end end,
    [
        begin
            %% The one before may still be ending.
            until(fun() ->
                ?assertEqual({ok, {1}}, ?cache:fetch(Cache, k, Fail(How))),
                counters:get(Runs, 1) >= Nth
            end)
        end
     || {Nth, How} <- [
            {1, fun() -> {error, no} end},
            {2, fun() -> error(no) end},
            {3, fun() -> exit(no) end},
            {4, fun() -> exit(self(), kill), receive nothing -> ok end end},
            {5, fun() -> nothing_right end}
        ]
    ],
    until(fun() ->
        {ok, _} = ?cache:fetch(Cache, k, fun() -> {ok, {2}, #{ttl => ?LONG}} end),
        ?cache:get(Cache, k) =:= {ok, {2}}
    end).

stale_if_error(Config) ->
    Cache = new(Config, #{capacity => 10, ttl => 20, stale_if_error => ?LONG, negative_ttl => ?LONG}),
    ok = ?cache:put(Cache, k, {1}),
    ended(Cache, k),
    %% It runs first, and where it fails the old value is better.
    Ran = counters:new(1, []),
    Fail = fun(How) -> fun() -> counters:add(Ran, 1, 1), How() end end,
    ?assertEqual({ok, {1}}, ?cache:fetch(Cache, k, Fail(fun() -> {error, no} end))),
    ?assertEqual({ok, {1}}, ?cache:fetch(Cache, k, Fail(fun() -> error(no) end))),
    ?assertEqual({ok, {1}}, ?cache:fetch(Cache, k, Fail(fun() -> throw(no) end))),
    ?assertEqual(3, counters:get(Ran, 1)),
    ?assertEqual({error, not_found}, ?cache:get(Cache, k)),
    %% Also for those who waited.
    Slow = fun() -> timer:sleep(200), {error, no} end,
    ?assertEqual([{ok, {1}}], lists:usort(parallel(20, fun(_) -> ?cache:fetch(Cache, k, Slow) end))),
    ?assertEqual({ok, {2}}, ?cache:fetch(Cache, k, fun() -> {ok, {2}} end)),
    ok = ?cache:put(Cache, short, {1}, #{ttl => 20, stale_if_error => 20}),
    timer:sleep(100),
    ?assertEqual({error, no}, ?cache:fetch(Cache, short, fun() -> {error, no} end)),
    ?assertEqual({error, no}, ?cache:fetch(Cache, never, fun() -> {error, no} end)).

refreshed_before_the_end(Config) ->
    Cache = new(Config, #{capacity => 10, ttl => ?LONG, refresh_before => ?LONG div 2}),
    ok = ?cache:put(Cache, fresh, {1}),
    ?assertEqual({ok, {1}}, ?cache:fetch(Cache, fresh, fun() -> error(not_called) end)),
    ok = ?cache:put(Cache, old, {1}, #{ttl => ?LONG div 3}),
    ?assertEqual({ok, {1}}, ?cache:fetch(Cache, old, fun() -> {ok, {2}} end)),
    until(fun() -> ?cache:get(Cache, old) =:= {ok, {2}} end),
    ?assertEqual({ok, {2}}, ?cache:fetch(Cache, old, fun() -> error(not_called) end)),
    %% It is fresh for all others.
    ok = ?cache:put(Cache, old, {3}, #{ttl => ?LONG div 3}),
    ?assertEqual({ok, {3}}, ?cache:get(Cache, old)),
    ok = ?cache:put(Cache, forever, {1}, #{ttl => infinity}),
    ?assertEqual({ok, {1}}, ?cache:fetch(Cache, forever, fun() -> error(not_called) end)).

%%% Negative

negative(Config) ->
    Cache = new(Config, #{capacity => 10, negative_ttl => 200}),
    Ran = counters:new(1, []),
    Fail = fun() -> counters:add(Ran, 1, 1), {error, {no, <<"such">>}} end,
    Begin = now_ms(),
    ?assertEqual({error, {no, <<"such">>}}, ?cache:fetch(Cache, k, Fail)),
    Again = fun() ->
        ?assertEqual({error, {no, <<"such">>}}, ?cache:fetch(Cache, k, Fail)),
        counters:get(Ran, 1) =:= 1
    end,
    {_, _} = seen(Again),
    ?assert(now_ms() - Begin >= 200 - ?TICK),
    ?assertEqual(2, counters:get(Ran, 1)),
    %% A value takes its place, and it no value's.
    ok = ?cache:put(Cache, k, {v}),
    ?assertEqual({ok, {v}}, ?cache:fetch(Cache, k, Fail)),
    ok = ?cache:delete(Cache, k),
    ?assertEqual({ok, {w}}, ?cache:fetch(Cache, k, fun() -> {ok, {w}} end)),
    None = new(Config, #{capacity => 10}),
    {error, _} = ?cache:fetch(None, k, Fail),
    {error, _} = ?cache:fetch(None, k, Fail),
    ?assertEqual(4, counters:get(Ran, 1)).

negative_is_not_there(Config) ->
    Cache = new(Config, #{capacity => 10, negative_ttl => ?LONG, stale_if_error => ?LONG}),
    {error, no} = ?cache:fetch(Cache, k, fun() -> {error, no} end),
    ?assertEqual({error, not_found}, ?cache:get(Cache, k)),
    ?assertEqual({error, not_found}, ?cache:get_entry(Cache, k)),
    ?assertEqual(false, ?cache:is_key(Cache, k)),
    ?assertEqual([], ?cache:keys(Cache)),
    ?assertEqual({error, not_found}, ?cache:take(Cache, k)),
    {error, no} = ?cache:fetch(Cache, l, fun() -> {error, no} end),
    ok = ?cache:put_new(Cache, l, {v}),
    ?assertEqual({ok, {v}}, ?cache:get(Cache, l)),
    %% Deleting it forgets it.
    {error, no} = ?cache:fetch(Cache, m, fun() -> {error, no} end),
    ok = ?cache:delete(Cache, m),
    ?assertEqual({ok, 1}, ?cache:fetch(Cache, m, fun() -> {ok, 1} end)).

%% What a fun raises is no answer.
negative_for_no_raise(Config) ->
    Cache = new(Config, #{capacity => 10, negative_ttl => ?LONG}),
    ?assertEqual({error, {raised, error, no}}, ?cache:fetch(Cache, k, fun() -> error(no) end)),
    ?assertEqual({ok, 1}, ?cache:fetch(Cache, k, fun() -> {ok, 1} end)).
