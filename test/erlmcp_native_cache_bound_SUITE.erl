%% The bound of a cache is strict, and its policy decides who leaves: by entries, bytes and weight,
%% alone and from many processes; what is counted; memory that comes back.
-module(erlmcp_native_cache_bound_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, groups/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2]).
-export([
    entries_bound/1,
    weight_bound/1,
    bytes_bound/1,
    bytes_of_rows/1,
    weigher/1,
    largest_entry/1,
    resized/1,
    lru_order/1,
    fifo_order/1,
    hot_keys_stay/1,
    counted/1,
    many_writers/1,
    readers_see_whole_values/1,
    rows_are_deleted/1,
    memory_comes_back/1,
    nothing_takes_long/1
]).

-import(erlmcp_native_test_cache, [new/2, badarg/2, until/1, parallel/2, stores/0]).

-define(cache, erlmcp_native_cache).
-define(POLICIES, [lru, s3_fifo, fifo, lfu, random]).

all() ->
    [
        bytes_bound,
        bytes_of_rows,
        lru_order,
        fifo_order,
        hot_keys_stay,
        rows_are_deleted,
        memory_comes_back,
        nothing_takes_long,
        {group, native},
        {group, ets}
    ].

groups() ->
    Both = [
        entries_bound,
        weight_bound,
        weigher,
        largest_entry,
        resized,
        counted,
        many_writers,
        readers_see_whole_values
    ],
    [{native, [], Both}, {ets, [], Both}].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

init_per_group(Store, Config) -> [{store, Store} | Config].

end_per_group(_, _) -> ok.

%%% Bounds

entries_bound(Config) ->
    [
        begin
            Cache = new(Config, #{capacity => Capacity, policy => Policy}),
            fill(Cache, Capacity - 1),
            ?assertEqual(Capacity - 1, entries(Cache)),
            fill(Cache, Capacity),
            ?assertEqual(Capacity, entries(Cache)),
            lists:foreach(
                fun(I) ->
                    ok = ?cache:put(Cache, I, {I}),
                    ?assertEqual(Capacity, entries(Cache))
                end,
                lists:seq(Capacity + 1, 3 * Capacity)
            ),
            ?assertEqual(Capacity, length(?cache:keys(Cache))),
            %% A replacement takes no room.
            [Key | _] = ?cache:keys(Cache),
            ok = ?cache:put(Cache, Key, again),
            ?assertEqual(Capacity, entries(Cache)),
            ok = ?cache:drop(Cache)
        end
     || Policy <- ?POLICIES, Capacity <- [1, 2, 3, 10, 1000]
    ].

fill(Cache, Count) -> [ok = ?cache:put(Cache, I, {I}) || I <- lists:seq(1, Count)].

entries(Cache) -> maps:get(entries, ?cache:info(Cache)).

used(Cache) -> maps:get(used, ?cache:info(Cache)).

weight_bound(Config) ->
    [
        begin
            Cache = new(Config, #{capacity => 100, bound => weight, policy => Policy, max_entry => 100}),
            ok = ?cache:put(Cache, light, {a}),
            ?assertEqual(1, used(Cache)),
            ok = ?cache:put(Cache, light, {a}, #{weight => 2}),
            ?assertEqual(2, used(Cache)),
            lists:foreach(
                fun(I) ->
                    ok = ?cache:put(Cache, I rem 50, {I}, #{weight => 1 + I rem 30}),
                    ?assert(used(Cache) =< 100),
                    ?assertMatch({ok, {I}}, ?cache:get(Cache, I rem 50))
                end,
                lists:seq(1, 500)
            ),
            %% One that takes all the room.
            ok = ?cache:put(Cache, all, {a}, #{weight => 100}),
            ?assertEqual([all], ?cache:keys(Cache)),
            ?assertEqual(100, used(Cache)),
            ok = ?cache:delete(Cache, all),
            ?assertEqual(0, used(Cache)),
            ok = ?cache:drop(Cache)
        end
     || Policy <- ?POLICIES
    ].

bytes_bound(Config) ->
    [
        begin
            Cache = new(Config, #{capacity => 100_000, bound => bytes, policy => Policy}),
            ok = ?cache:put(Cache, <<"key">>, binary:copy(<<"v">>, 1000)),
            One = used(Cache),
            ?assert(One >= 1003 andalso One =< 1003 + 128, One),
            ok = ?cache:put(Cache, <<"key">>, binary:copy(<<"v">>, 2000)),
            Two = used(Cache),
            ?assert(Two - One >= 1000 andalso Two - One =< 1400, {One, Two}),
            lists:foreach(
                fun(I) ->
                    ok = ?cache:put(Cache, I, binary:copy(<<"v">>, I)),
                    ?assert(used(Cache) =< 100_000)
                end,
                lists:seq(1, 5000)
            ),
            ?assert(used(Cache) > 80_000),
            Bytes = ?cache:fold(fun(_, V, Sum) -> Sum + byte_size(V) end, 0, Cache),
            ?assert(Bytes =< used(Cache)),
            ok = ?cache:clear(Cache),
            ?assertEqual(0, used(Cache)),
            ok = ?cache:drop(Cache)
        end
     || Policy <- ?POLICIES
    ].

%% What a table holds is counted by its external size.
bytes_of_rows(_) ->
    Cache = new([{store, ets}], #{capacity => 100_000, bound => bytes}),
    Value = #{list => lists:seq(1, 100)},
    ok = ?cache:put(Cache, k, Value),
    ?assert(used(Cache) >= erlang:external_size(Value)),
    lists:foreach(
        fun(I) ->
            ok = ?cache:put(Cache, I, Value),
            ?assert(used(Cache) =< 100_000)
        end,
        lists:seq(1, 2000)
    ),
    ?assert(used(Cache) > 80_000),
    ok = ?cache:drop(Cache).

weigher(Config) ->
    Weigh = fun
        (raises, _) -> error(heavy);
        (_, Value) -> map_get(weight, Value)
    end,
    Cache = new(Config, #{capacity => 100, bound => weight, weigher => Weigh, max_entry => 50}),
    ok = ?cache:put(Cache, a, #{weight => 30}),
    ?assertEqual(30, used(Cache)),
    ok = ?cache:put(Cache, a, #{weight => 30}, #{weight => 3}),
    ?assertEqual(3, used(Cache)),
    ok = ?cache:put_new(Cache, b, #{weight => 50}),
    ?assertEqual(53, used(Cache)),
    {ok, _} = ?cache:fetch(Cache, c, fun() -> {ok, #{weight => 40}} end),
    ?assertEqual(93, used(Cache)),
    ?assertEqual({error, too_large}, ?cache:put(Cache, d, #{weight => 51})),
    %% Its own errors are the caller's.
    ?assertError(heavy, ?cache:put(Cache, raises, 1)),
    ?assertError({badmap, 1}, ?cache:put(Cache, d, 1)),
    [?assertError({bad_weight, W}, ?cache:put(Cache, d, #{weight => W})) || W <- [0, -1, 1.0, a, 1 bsl 48]],
    ?assertEqual({error, {raised, error, {bad_weight, 0}}}, ?cache:fetch(Cache, e, fun() -> {ok, #{weight => 0}} end)),
    ?assertEqual([a, b, c], lists:sort(?cache:keys(Cache))),
    ok = ?cache:drop(Cache).

largest_entry(Config) ->
    Cache = new(Config, #{capacity => 100, bound => weight, max_entry => 10}),
    ok = ?cache:put(Cache, k, {9}, #{weight => 9}),
    ok = ?cache:put(Cache, k, {10}, #{weight => 10}),
    ?assertEqual({error, too_large}, ?cache:put(Cache, k, {11}, #{weight => 11})),
    ?assertEqual({ok, {10}}, ?cache:get(Cache, k)),
    ?assertEqual({error, too_large}, ?cache:put_new(Cache, new, {11}, #{weight => 11})),
    {ok, #{version := Version}} = ?cache:get_entry(Cache, k),
    ?assertEqual({error, too_large}, ?cache:compare_and_put(Cache, k, Version, {11}, #{weight => 11})),
    %% It is computed all the same.
    ?assertEqual({ok, {11}}, ?cache:fetch(Cache, new, fun() -> {ok, {11}, #{weight => 11}} end)),
    ?assertEqual([k], ?cache:keys(Cache)),
    Heavy = #{weight => 1 bsl 32},
    ?assertEqual({error, too_large}, ?cache:update_counter(Cache, count, 1, Heavy)),
    ok = ?cache:drop(Cache),
    Default = new(Config, #{capacity => 800, bound => weight}),
    ok = ?cache:put(Default, k, v, #{weight => 100}),
    ?assertEqual({error, too_large}, ?cache:put(Default, k, v, #{weight => 101})),
    ok = ?cache:drop(Default).

resized(Config) ->
    [
        begin
            Cache = new(Config, #{capacity => 1000, policy => Policy}),
            fill(Cache, 1000),
            ok = ?cache:resize(Cache, 100),
            ?assertEqual(100, entries(Cache)),
            ?assertMatch(#{capacity := 100}, ?cache:info(Cache)),
            fill(Cache, 200),
            ?assertEqual(100, entries(Cache)),
            ok = ?cache:resize(Cache, 1),
            ?assertEqual(1, entries(Cache)),
            ok = ?cache:resize(Cache, 2000),
            fill(Cache, 2000),
            ?assertEqual(2000, entries(Cache)),
            ok = ?cache:resize(Cache, 4000),
            ?assertEqual({error, too_large}, ?cache:resize(Cache, 4001)),
            ?assertEqual(2000, entries(Cache)),
            ok = ?cache:drop(Cache)
        end
     || Policy <- ?POLICIES
    ].

%%% Who leaves

lru_order(_) ->
    Cache = new([], #{capacity => 3, policy => lru}),
    fill(Cache, 3),
    {ok, _} = ?cache:get(Cache, 1),
    ok = ?cache:put(Cache, 4, 4),
    ?assertEqual([1, 3, 4], lists:sort(?cache:keys(Cache))),
    %% A write is a use; looking whether it is there is none.
    ok = ?cache:put(Cache, 3, again),
    true = ?cache:is_key(Cache, 1),
    {ok, infinity} = ?cache:ttl(Cache, 1),
    ok = ?cache:put(Cache, 5, 5),
    ?assertEqual([3, 4, 5], lists:sort(?cache:keys(Cache))),
    true = ?cache:touch(Cache, 4),
    ok = ?cache:put(Cache, 6, 6),
    ?assertEqual([4, 5, 6], lists:sort(?cache:keys(Cache))),
    {ok, _} = ?cache:fetch(Cache, 4, fun() -> error(not_called) end),
    {ok, _} = ?cache:get_entry(Cache, 5),
    ok = ?cache:put(Cache, 7, 7),
    ?assertEqual([4, 5, 7], lists:sort(?cache:keys(Cache))),
    ok = ?cache:drop(Cache),
    exact_lru().

%% One process alone sees textbook lru, whatever it does.
exact_lru() ->
    Cache = new([], #{capacity => 20, policy => lru}),
    rand:seed(exsss, {1, 2, 3}),
    lists:foldl(
        fun(_, Order0) ->
            Key = rand:uniform(40),
            Is = lists:member(Key, Order0),
            case rand:uniform(10) of
                1 ->
                    ok = ?cache:delete(Cache, Key),
                    lists:delete(Key, Order0);
                N when N < 6 ->
                    ok = ?cache:put(Cache, Key, Key),
                    lists:sublist([Key | lists:delete(Key, Order0)], 20);
                _ when Is ->
                    ?assertEqual({ok, Key}, ?cache:get(Cache, Key)),
                    [Key | lists:delete(Key, Order0)];
                _ ->
                    ?assertEqual({error, not_found}, ?cache:get(Cache, Key)),
                    Order0
            end
        end,
        [],
        lists:seq(1, 20_000)
    ),
    ok = ?cache:drop(Cache).

fifo_order(_) ->
    Cache = new([], #{capacity => 3, policy => fifo}),
    fill(Cache, 3),
    {ok, _} = ?cache:get(Cache, 1),
    ok = ?cache:put(Cache, 4, 4),
    ?assertEqual([2, 3, 4], lists:sort(?cache:keys(Cache))),
    ok = ?cache:drop(Cache).

%% A scan does not drive out what is used again and again, where the policy is meant for that.
hot_keys_stay(_) ->
    [
        begin
            Cache = new([], #{capacity => 1000, policy => Policy}),
            Hot = lists:seq(1, 100),
            [ok = ?cache:put(Cache, {hot, I}, I) || I <- Hot],
            [?cache:get(Cache, {hot, I}) || _ <- lists:seq(1, 5), I <- Hot],
            [ok = ?cache:put(Cache, {scan, I}, I) || I <- lists:seq(1, 10_000)],
            Left = length([I || I <- Hot, ?cache:is_key(Cache, {hot, I})]),
            ?assert(Left >= 70, {Policy, Left}),
            ok = ?cache:drop(Cache)
        end
     || Policy <- [s3_fifo, lfu]
    ].

%%% Counts

counted(Config) ->
    Cache = new(Config, #{capacity => 5}),
    Zero = ?cache:stats(Cache),
    ?assertMatch(#{hits := 0, misses := 0, inserts := 0, evicted := 0}, Zero),
    fill(Cache, 7),
    ok = ?cache:put(Cache, 7, again),
    {ok, _} = ?cache:get(Cache, 7),
    {ok, _} = ?cache:get_entry(Cache, 7),
    {error, not_found} = ?cache:get(Cache, nosuch),
    {error, not_found} = ?cache:get(Cache, nosuch),
    true = ?cache:is_key(Cache, 7),
    ?assertMatch(#{7 := again}, ?cache:get_many(Cache, [7, nosuch])),
    ok = ?cache:delete(Cache, 7),
    ?assertMatch(
        #{hits := 3, misses := 3, inserts := 7, replacements := 1, evicted := 2, deleted := 1},
        ?cache:stats(Cache)
    ),
    ok = ?cache:drop(Cache).

%%% Many processes

many_writers(Config) ->
    [
        begin
            Cache = new(Config, #{capacity => 500, policy => Policy}),
            Stop = atomics:new(1, []),
            Watcher = spawn_monitor(fun() -> exit({most, watch(Cache, Stop, 0)}) end),
            Writers = 8,
            _ = parallel(Writers, fun(Writer) ->
                [
                    case I rem 10 of
                        0 -> ok = ?cache:delete(Cache, I);
                        1 -> ?cache:get(Cache, I - 1);
                        _ -> ok = ?cache:put(Cache, {Writer rem 2, I rem 2000}, {Writer, I})
                    end
                 || I <- lists:seq(1, 5000)
                ]
            end),
            atomics:put(Stop, 1, 1),
            {Pid, Monitor} = Watcher,
            receive
                {'DOWN', Monitor, process, Pid, {most, Most}} ->
                    %% One in flight for each writer.
                    ?assert(Most >= 500 andalso Most =< 500 + Writers, {Policy, Most})
            end,
            ?assertEqual(500, entries(Cache)),
            ?assertEqual(500, length(lists:usort(?cache:keys(Cache)))),
            ok = ?cache:drop(Cache)
        end
     || Policy <- ?POLICIES
    ].

watch(Cache, Stop, Most) ->
    case atomics:get(Stop, 1) of
        0 -> watch(Cache, Stop, max(Most, used(Cache)));
        1 -> Most
    end.

%% Whatever is found is a value that was put under that key, whole.
readers_see_whole_values(Config) ->
    Cache = new(Config, #{capacity => 20}),
    _ = parallel(6, fun(Process) ->
        [
            begin
                Key = I rem 30,
                case Process rem 2 of
                    0 ->
                        ok = ?cache:put(Cache, Key, value(Key, I));
                    1 ->
                        case ?cache:get(Cache, Key) of
                            {ok, {Key, J, Binary, _} = Value} ->
                                ?assertEqual(value(Key, J), Value),
                                ?assertEqual(J rem 3000, byte_size(Binary));
                            {error, not_found} ->
                                ok
                        end
                end
            end
         || I <- lists:seq(1, 20_000)
        ]
    end),
    ok = ?cache:drop(Cache).

value(Key, I) -> {Key, I, binary:copy(<<(I rem 256)>>, I rem 3000), #{I => [Key, I]}}.

%%% Memory

%% However an entry leaves, its row leaves the table.
rows_are_deleted(_) ->
    Config = [{store, ets}],
    Cache = new(Config, #{capacity => 1000}),
    Table = table(),
    Rows = fun() -> ets:info(Table, size) end,
    Ways = [
        {#{}, fun() -> ?cache:clear(Cache) end},
        {#{}, fun() -> ?cache:delete_many(Cache, lists:seq(1, 1000)) end},
        {#{}, fun() -> [{ok, {I}} = ?cache:take(Cache, I) || I <- lists:seq(1, 1000)] end},
        {#{tags => [t]}, fun() -> ?cache:invalidate_tag(Cache, t) end},
        {#{}, fun() ->
            ok = ?cache:resize(Cache, 1),
            ok = ?cache:clear(Cache),
            ok = ?cache:resize(Cache, 1000)
        end},
        {#{}, fun() -> [?cache:put(Cache, I, native) || I <- lists:seq(1, 1000)] end},
        {#{ttl => 200}, fun() -> ok end},
        {#{idle => 200}, fun() -> ok end}
    ],
    lists:foreach(
        fun({Opts, Way}) ->
            [ok = ?cache:put(Cache, I, {I}, Opts) || I <- lists:seq(1, 1000)],
            ?assert(Rows() >= 1000),
            _ = Way(),
            until(fun() -> Rows() =:= 0 end)
        end,
        Ways
    ),
    fill(Cache, 10_000),
    until(fun() -> Rows() =:= 1000 end),
    {error, exists} = ?cache:put_new(Cache, 10_000, {a}),
    {error, {conflict, _}} = ?cache:compare_and_put(Cache, 10_000, 1, {a}),
    ?assertEqual(1000, Rows()),
    ok = ?cache:drop(Cache),
    until(fun() -> ets:info(Table) =:= undefined end),
    ?assertEqual([], stores()).

table() ->
    [Store] = stores(),
    [Table] = [T || T <- ets:all(), ets:info(T, owner) =:= Store],
    Table.

memory_comes_back(_) ->
    Fill = fun(Cache, Count) ->
        [ok = ?cache:put(Cache, {I, <<"key">>}, {I, binary:copy(<<"v">>, 100)}) || I <- lists:seq(1, Count)]
    end,
    %% What is made once is there before.
    Warm = new([], #{capacity => 10}),
    Fill(Warm, 10),
    ok = ?cache:drop(Warm),
    timer:sleep(500),
    Before = erlmcp_native:memory(),
    Is = fun(Bytes) -> fun() -> erlmcp_native:memory() - Before < Bytes end end,
    Cache = new([], #{capacity => 100_000}),
    Fill(Cache, 100_000),
    Full = erlmcp_native:memory() - Before,
    ?assert(Full > 100_000 * 120, Full),
    ?assert(Full < 100_000 * (130 + 150), Full),
    ok = ?cache:clear(Cache),
    until(Is(Full div 3)),
    Fill(Cache, 300_000),
    until(Is(Full * 5 div 4)),
    ok = ?cache:drop(Cache),
    until(Is(1_000_000)).

%% No call uses a millisecond of a normal scheduler, whatever is freed by it.
nothing_takes_long(_) ->
    erlmcp_native_call_time:assert_short(fun() ->
        [
            begin
                Cache = new([], #{capacity => 30_000, policy => Policy}),
                Fill = fun() -> [?cache:put(Cache, I, I, #{tags => [I rem 2]}) || I <- lists:seq(1, 30_000)] end,
                Fill(),
                {ok, 15_000} = ?cache:invalidate_tag(Cache, 1),
                {ok, 0} = ?cache:invalidate_matching(Cache, <<"*a*">>),
                ?assertEqual(15_000, length(?cache:keys(Cache))),
                ok = ?cache:resize(Cache, 10),
                ok = ?cache:resize(Cache, 30_000),
                Fill(),
                ok = ?cache:clear(Cache),
                Fill(),
                ok = ?cache:drop(Cache)
            end
         || Policy <- ?POLICIES
        ]
    end).
