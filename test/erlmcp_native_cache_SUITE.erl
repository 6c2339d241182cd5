%% The cache's calls one by one: options, names, owners, every term, what each answers. Bounds,
%% events, time, fetch and invalidation have suites of their own.
-module(erlmcp_native_cache_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, groups/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2]).
-export([
    properties/1,
    wrong_options/1,
    wrong_arguments/1,
    no_such_cache/1,
    names/1,
    names_of_all/1,
    new_makes_no_second/1,
    dropped/1,
    owner_death_drops/1,
    owner_killed_in_new/1,
    heir_takes_over/1,
    heir_that_is_gone/1,
    ets_needs_the_application/1,
    every_value_comes_back/1,
    sub_binary_keeps_no_parent/1,
    large_binary_is_shared/1,
    keys_by_identity/1,
    large_keys/1,
    put_get_delete/1,
    many/1,
    put_new/1,
    compare_and_put/1,
    counters/1,
    take/1,
    rows_outlive_their_entries/1
]).

-import(erlmcp_native_test_cache, [new/2, badarg/2, until/1, parallel/2, stores/0]).

-define(cache, erlmcp_native_cache).

all() ->
    [
        properties,
        wrong_options,
        wrong_arguments,
        no_such_cache,
        names,
        names_of_all,
        new_makes_no_second,
        dropped,
        owner_death_drops,
        owner_killed_in_new,
        heir_takes_over,
        heir_that_is_gone,
        ets_needs_the_application,
        large_binary_is_shared,
        rows_outlive_their_entries,
        {group, native},
        {group, ets}
    ].

groups() ->
    Both = [
        every_value_comes_back,
        sub_binary_keeps_no_parent,
        keys_by_identity,
        large_keys,
        put_get_delete,
        many,
        put_new,
        compare_and_put,
        counters,
        take
    ],
    [{native, [], Both}, {ets, [], Both}].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

init_per_group(Store, Config) -> [{store, Store} | Config].

end_per_group(_, _) -> ok.

properties(_) ->
    erlmcp_native_test_proper:check(prop_cache).

%%% Options and arguments

wrong_options(_) ->
    Wrong = [
        #{}, [], #{capacity => 0}, #{capacity => -1}, #{capacity => 1.0}, #{capacity => 1 bsl 48},
        #{capacity => infinity}, #{capacity => 1, nosuch => 1}, #{capacity => 1, policy => mru},
        #{capacity => 1, bound => words}, #{capacity => 1, ttl => 0}, #{capacity => 1, ttl => -1},
        #{capacity => 1, ttl => 1.5}, #{capacity => 1, idle => 0}, #{capacity => 1, jitter => 91},
        #{capacity => 1, jitter => -1}, #{capacity => 1, stale_for => -1},
        #{capacity => 1, stale_for => infinity}, #{capacity => 1, stale_if_error => a},
        #{capacity => 1, refresh_before => -1}, #{capacity => 1, negative_ttl => -1},
        #{capacity => 1, store => dets}, #{capacity => 1, heir => self()},
        #{capacity => 1, heir => {a, b}}, #{capacity => 1, max_entry => 0},
        #{capacity => 1, heir => {self(), binary:copy(<<0>>, 65_536)}},
        #{capacity => 10, max_entry => 11}, #{capacity => 1, weigher => fun() -> 1 end},
        #{capacity => 1, weigher => fun(_, _) -> 1 end}, #{capacity => 1, ets => true}
    ],
    [
        begin
            badarg(2, fun() -> ?cache:new(wrong, Opts) end),
            ?assertEqual(undefined, ?cache:whereis(wrong))
        end
     || Opts <- Wrong
    ],
    [badarg(1, fun() -> ?cache:new(Name, #{capacity => 1}) end) || Name <- [undefined, "a", <<"a">>, 1]],
    Cache = new([], #{capacity => 10}),
    WrongPuts = [
        [], #{nosuch => 1}, #{ttl => 0}, #{ttl => a}, #{idle => -1}, #{weight => 0}, #{weight => 1.5},
        #{stale_for => -1}, #{stale_if_error => -1}, #{tags => a}, #{tags => [a | b]}, #{depends_on => k}
    ],
    [
        begin
            badarg(4, fun() -> ?cache:put(Cache, k, v, Opts) end),
            badarg(4, fun() -> ?cache:put_new(Cache, k, v, Opts) end),
            badarg(5, fun() -> ?cache:compare_and_put(Cache, k, 1, v, Opts) end),
            badarg(4, fun() -> ?cache:update_counter(Cache, k, 1, Opts) end)
        end
     || Opts <- WrongPuts
    ],
    [
        badarg(2, fun() -> ?cache:subscribe(Cache, Opts) end)
     || Opts <- [[], #{a => 1}, #{events => []}, #{events => [gone]}, #{events => [expired | a]}, #{capacity => 0}, #{capacity => 65_537}]
    ],
    ?assertEqual(false, ?cache:is_key(Cache, k)).

wrong_arguments(_) ->
    Cache = new([], #{capacity => 10}),
    Run = fun() -> {ok, 1} end,
    badarg(1, fun() -> ?cache:whereis("a") end),
    badarg(2, fun() -> ?cache:resize(Cache, 0) end),
    badarg(2, fun() -> ?cache:get_many(Cache, a) end),
    badarg(2, fun() -> ?cache:get_many(Cache, [a | b]) end),
    badarg(2, fun() -> ?cache:put_many(Cache, [a]) end),
    badarg(2, fun() -> ?cache:put_many(Cache, [{a, 1} | b]) end),
    badarg(2, fun() -> ?cache:delete_many(Cache, [a | b]) end),
    badarg(3, fun() -> ?cache:compare_and_put(Cache, k, -1, v) end),
    badarg(3, fun() -> ?cache:compare_and_put(Cache, k, a, v) end),
    badarg(3, fun() -> ?cache:update_counter(Cache, k, 1.0) end),
    badarg(3, fun() -> ?cache:update_counter(Cache, k, 1 bsl 63) end),
    badarg(4, fun() -> ?cache:update_counter(Cache, k, 1, #{initial => 1 bsl 63}) end),
    badarg(3, fun() -> ?cache:touch(Cache, k, 0) end),
    badarg(3, fun() -> ?cache:fetch(Cache, k, fun(_) -> ok end) end),
    badarg(4, fun() -> ?cache:fetch(Cache, k, Run, -1) end),
    badarg(4, fun() -> ?cache:fetch(Cache, k, Run, 1.0) end),
    badarg(2, fun() -> ?cache:invalidate_prefix(Cache, "a") end),
    badarg(2, fun() -> ?cache:invalidate_matching(Cache, a) end),
    badarg(1, fun() -> ?cache:fold(fun(_) -> ok end, 0, Cache) end),
    badarg(2, fun() -> ?cache:keys(Cache, -1) end),
    badarg(2, fun() -> ?cache:keys(Cache, none) end),
    badarg(2, fun() -> ?cache:unsubscribe(Cache, make_ref()) end),
    badarg(1, fun() -> ?cache:events(make_ref(), 1) end),
    {ok, Subscription} = ?cache:subscribe(Cache, #{}),
    badarg(2, fun() -> ?cache:events(Subscription, 0) end).

%% Every call says so, by handle and by name.
no_such_cache(_) ->
    Gone = new([], #{capacity => 10}),
    ok = ?cache:drop(Gone),
    Run = fun() -> {ok, 1} end,
    [
        begin
            badarg(1, fun() -> ?cache:drop(Cache) end),
            badarg(1, fun() -> ?cache:info(Cache) end),
            badarg(1, fun() -> ?cache:stats(Cache) end),
            badarg(1, fun() -> ?cache:resize(Cache, 1) end),
            badarg(1, fun() -> ?cache:clear(Cache) end),
            badarg(1, fun() -> ?cache:get(Cache, k) end),
            badarg(1, fun() -> ?cache:get(Cache, k, d) end),
            badarg(1, fun() -> ?cache:get_entry(Cache, k) end),
            badarg(1, fun() -> ?cache:get_many(Cache, [k]) end),
            badarg(1, fun() -> ?cache:is_key(Cache, k) end),
            badarg(1, fun() -> ?cache:ttl(Cache, k) end),
            badarg(1, fun() -> ?cache:put(Cache, k, v) end),
            badarg(1, fun() -> ?cache:put(Cache, k, #{a => fun() -> ok end}) end),
            badarg(1, fun() -> ?cache:put(Cache, k, v, #{}) end),
            badarg(1, fun() -> ?cache:put_new(Cache, k, v) end),
            badarg(1, fun() -> ?cache:put_many(Cache, [{k, v}]) end),
            badarg(1, fun() -> ?cache:compare_and_put(Cache, k, 1, v) end),
            badarg(1, fun() -> ?cache:update_counter(Cache, k, 1) end),
            badarg(1, fun() -> ?cache:take(Cache, k) end),
            badarg(1, fun() -> ?cache:touch(Cache, k) end),
            badarg(1, fun() -> ?cache:delete(Cache, k) end),
            badarg(1, fun() -> ?cache:delete_many(Cache, [k]) end),
            badarg(1, fun() -> ?cache:fetch(Cache, k, Run) end),
            badarg(1, fun() -> ?cache:invalidate_tag(Cache, t) end),
            badarg(1, fun() -> ?cache:invalidate_dependents(Cache, t) end),
            badarg(1, fun() -> ?cache:invalidate_prefix(Cache, <<>>) end),
            badarg(1, fun() -> ?cache:invalidate_matching(Cache, <<>>) end),
            badarg(1, fun() -> ?cache:subscribe(Cache, #{}) end),
            badarg(3, fun() -> ?cache:fold(fun(_, _, A) -> A end, a, Cache) end),
            badarg(1, fun() -> ?cache:keys(Cache) end),
            badarg(1, fun() -> ?cache:keys(Cache, start) end)
        end
     || Cache <- [Gone, no_cache_of_this_name, make_ref(), <<"text">>, undefined, self(), [], {a}]
    ].

%%% Life

names(_) ->
    ?assertEqual(undefined, ?cache:whereis(named)),
    {ok, Cache} = ?cache:new(named, #{capacity => 10}),
    ?assert(is_reference(Cache)),
    ?assertEqual(Cache, ?cache:whereis(named)),
    ok = ?cache:put(named, k, v),
    ?assertEqual({ok, v}, ?cache:get(Cache, k)),
    ok = ?cache:put(Cache, k, w),
    ?assertEqual({ok, w}, ?cache:get(named, k)),
    ?assertMatch(#{name := named, capacity := 10, bound := entries, entries := 1, used := 1}, ?cache:info(named)),
    ?assertEqual(self(), maps:get(owner, ?cache:info(named))),
    Other = new([], #{capacity => 10}),
    ?assertEqual({error, not_found}, ?cache:get(Other, k)),
    %% Long, and not of ASCII.
    [
        begin
            {ok, One} = ?cache:new(Name, #{capacity => 1}),
            ?assertEqual(One, ?cache:whereis(Name)),
            ok = ?cache:drop(Name),
            ?assertEqual(undefined, ?cache:whereis(Name))
        end
     || Name <- ['', list_to_atom(lists:duplicate(255, $a)), list_to_atom([16#436, 16#1F600])]
    ],
    ok = ?cache:drop(named),
    ok = ?cache:drop(Other).

names_of_all(_) ->
    Before = ?cache:names(),
    Names = [list_to_atom("listed_" ++ integer_to_list(I)) || I <- lists:seq(1, 40)],
    [{ok, _} = ?cache:new(Name, #{capacity => 1}) || Name <- Names],
    ?assertEqual(lists:sort(Names), lists:sort(?cache:names() -- Before)),
    {Gone, Left} = lists:split(20, Names),
    [ok = ?cache:drop(Name) || Name <- Gone],
    ?assertEqual(Left, lists:sort(?cache:names() -- Before)),
    [ok = ?cache:drop(Name) || Name <- Left],
    ?assertEqual([], ?cache:names() -- Before).

new_makes_no_second(_) ->
    {ok, First} = ?cache:new(one_name, #{capacity => 10}),
    ok = ?cache:put(First, k, v),
    ?assertEqual({error, exists}, ?cache:new(one_name, #{capacity => 10})),
    ?assertEqual({error, exists}, ?cache:new(one_name, #{capacity => 10, store => ets})),
    ?assertEqual({ok, v}, ?cache:get(one_name, k)),
    ok = ?cache:drop(one_name),
    %% Of many at once, one makes it, and it dies with that one.
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            Self ! {self(), ?cache:new(one_name, #{capacity => 10})},
            receive stop -> ok end
        end)
     || _ <- lists:seq(1, 20)
    ],
    Answers = [receive {Pid, Answer} -> Answer end || Pid <- Pids],
    ?assertMatch([{ok, _}], [A || A <- Answers, A =/= {error, exists}]),
    [Pid ! stop || Pid <- Pids],
    until(fun() -> ?cache:whereis(one_name) =:= undefined end).

dropped(_) ->
    {ok, Cache} = ?cache:new(dropped, #{capacity => 10}),
    ok = ?cache:put(Cache, k, v),
    %% By any process.
    {_, Monitor} = spawn_monitor(fun() -> ok = ?cache:drop(dropped) end),
    receive {'DOWN', Monitor, _, _, Reason} -> ?assertEqual(normal, Reason) end,
    ?assertEqual(undefined, ?cache:whereis(dropped)),
    badarg(1, fun() -> ?cache:get(Cache, k) end),
    %% The name is free, and the old handle does not reach the new cache.
    {ok, Second} = ?cache:new(dropped, #{capacity => 10}),
    ?assertEqual({error, not_found}, ?cache:get(dropped, k)),
    badarg(1, fun() -> ?cache:put(Cache, k, v) end),
    ?assertError(badarg, ?cache:drop(Cache)),
    ?assertEqual({error, not_found}, ?cache:get(Second, k)),
    ok = ?cache:drop(Second).

owner_death_drops(_) ->
    [
        begin
            Cache = owned(#{capacity => 10, store => Store}, Reason),
            until(fun() -> ?cache:whereis(owned) =:= undefined end),
            badarg(1, fun() -> ?cache:get(Cache, k) end)
        end
     || Reason <- [normal, kill, failed], Store <- [native, ets]
    ],
    until(fun() -> stores() =:= [] end).

%% The handle of a cache whose owner ends for this reason.
owned(Opts, Reason) ->
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        {ok, Cache} = ?cache:new(owned, Opts),
        ok = ?cache:put(Cache, k, #{v => 1}),
        Self ! {cache, Cache},
        receive stop -> ok end
    end),
    Cache = receive {cache, C} -> C after 5000 -> ct:fail(no_cache) end,
    ?assertEqual({ok, #{v => 1}}, ?cache:get(Cache, k)),
    ?assertEqual(Pid, maps:get(owner, ?cache:info(Cache))),
    if
        Reason =:= normal -> Pid ! stop;
        true -> exit(Pid, Reason)
    end,
    receive {'DOWN', Monitor, _, _, _} -> Cache end.

%% Whenever it is: while new/2 is under way on another scheduler too.
owner_killed_in_new(_) ->
    [
        begin
            {Pid, Monitor} = spawn_monitor(fun() ->
                %% With so many shards that it takes milliseconds.
                {ok, _} = ?cache:new(briefly, #{capacity => 100_000_000}),
                timer:sleep(infinity)
            end),
            timer:sleep(Wait),
            exit(Pid, kill),
            receive {'DOWN', Monitor, _, _, Reason} -> ?assertEqual(killed, Reason) end,
            timer:sleep(50),
            until(fun() -> ?cache:whereis(briefly) =:= undefined end)
        end
     || Wait <- lists:seq(0, 15)
    ].

heir_takes_over(_) ->
    [
        begin
            Cache = owned(#{capacity => 10, heir => {self(), {some, <<"data">>}}, store => Store}, kill),
            receive
                {erlmcp_native_cache, Cache, {transfer, From, Data}} ->
                    ?assert(is_pid(From)),
                    ?assertEqual({some, <<"data">>}, Data)
            after 5000 -> ct:fail(no_transfer)
            end,
            ?assertEqual(self(), maps:get(owner, ?cache:info(Cache))),
            ?assertEqual({ok, #{v => 1}}, ?cache:get(owned, k)),
            ok = ?cache:drop(Cache)
        end
     || Store <- [native, ets]
    ].

heir_that_is_gone(_) ->
    {Dead, Monitor} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Monitor, _, _, _} -> ok end,
    Cache = owned(#{capacity => 10, heir => {Dead, data}}, kill),
    until(fun() -> ?cache:whereis(owned) =:= undefined end),
    ?assertError(badarg, ?cache:get(Cache, k)).

ets_needs_the_application(_) ->
    {ok, Before} = ?cache:new(ends_with_it, #{capacity => 1, store => ets}),
    {ok, Stays} = ?cache:new(stays, #{capacity => 1}),
    ok = application:stop(erlmcp_native),
    ?assertError(badarg, ?cache:get(Before, k)),
    ?assertEqual(undefined, ?cache:whereis(ends_with_it)),
    ok = ?cache:put(Stays, k, v),
    ok = ?cache:drop(Stays),
    ?assertEqual({error, not_started}, ?cache:new(no_app, #{capacity => 1, store => ets})),
    ?assertEqual(undefined, ?cache:whereis(no_app)),
    {ok, Cache} = ?cache:new(no_app, #{capacity => 1}),
    ok = ?cache:drop(Cache),
    {ok, _} = application:ensure_all_started(erlmcp_native).

%%% Terms

every_value_comes_back(Config) ->
    Cache = new(Config, #{capacity => 10_000}),
    Values = erlmcp_native_wrong_terms:small() ++ erlmcp_native_wrong_terms:large() ++ lengths(),
    Numbered = lists:zip(lists:seq(1, length(Values)), Values),
    [ok = ?cache:put(Cache, Number, Value) || {Number, Value} <- Numbered],
    Check = fun() ->
        [
            case ?cache:get(Cache, Number) of
                {ok, Same} when Same =:= Value -> ok;
                Other -> ct:fail("~p: ~P instead of ~P", [Number, Other, 20, Value, 20])
            end
         || {Number, Value} <- Numbered
        ]
    end,
    Check(),
    erlang:garbage_collect(),
    Check(),
    %% As put by everything else that puts.
    [ok = ?cache:put(Cache, Number, Value, #{tags => [t]}) || {Number, Value} <- Numbered],
    Check(),
    ok = ?cache:clear(Cache),
    [ok = ?cache:put_new(Cache, Number, Value) || {Number, Value} <- Numbered],
    Check(),
    All = ?cache:fold(fun(K, V, Map) -> Map#{K => V} end, #{}, Cache),
    ?assert(All =:= maps:from_list(Numbered)),
    ok = ?cache:drop(Cache).

%% Around every length at which the form may change.
lengths() ->
    [
        Make(Length)
     || Length <- [0, 1, 7, 8, 15, 16, 31, 32, 63, 64, 65, 127, 128, 255, 256, 1000, 1023, 1024, 1025, 4095, 4096, 65535, 65536, 65537],
        Make <- [
            fun(N) -> binary:copy(<<"b">>, N) end,
            fun(N) -> <<(binary:copy(<<"b">>, N))/binary, 1:3>> end,
            fun(N) -> {binary:copy(<<"b">>, N), a} end,
            fun(N) -> lists:seq(1, N) end,
            fun(N) -> lists:duplicate(N, $a) end,
            fun(N) -> list_to_tuple(lists:seq(1, N)) end,
            fun(N) -> maps:from_list([{I, I} || I <- lists:seq(1, N)]) end
        ]
    ].

sub_binary_keeps_no_parent(Config) ->
    Cache = new(Config, #{capacity => 1000}),
    IsTable = proplists:get_value(store, Config) =:= ets,
    Before = binaries(),
    [
        begin
            Parent = binary:copy(<<I>>, 10_000_000),
            ok = ?cache:put(Cache, I, binary:part(Parent, 5, Size)),
            %% A table keeps terms as tables do.
            IsTable orelse ?cache:put(Cache, {I, tuple}, {binary:part(Parent, 5, Size)})
        end
     || {I, Size} <- [{1, 10}, {2, 100}, {3, 2000}, {4, 70_000}]
    ],
    erlang:garbage_collect(),
    until(fun() -> binaries() - Before < 1_000_000 end),
    {ok, Part} = ?cache:get(Cache, 3),
    ?assertEqual(binary:copy(<<3>>, 2000), Part),
    ok = ?cache:drop(Cache).

binaries() -> erlang:memory(binary).

large_binary_is_shared(_) ->
    Cache = new([], #{capacity => 10}),
    Size = 50_000_000,
    Large = binary:copy(<<"x">>, Size),
    Before = binaries() + erlmcp_native:memory(),
    ok = ?cache:put(Cache, k, Large),
    Answers = [?cache:get(Cache, k) || _ <- lists:seq(1, 10)],
    ?assertEqual([{ok, Large}], lists:usort(Answers)),
    ?assert(binaries() + erlmcp_native:memory() - Before < Size div 2),
    %% Whoever has it keeps it.
    {ok, Held} = ?cache:take(Cache, k),
    ok = ?cache:drop(Cache),
    ?assertEqual(Size, byte_size(Held)),
    ?assertEqual(Large, Held).

keys_by_identity(Config) ->
    Cache = new(Config, #{capacity => 1000}),
    Keys = [
        1, 1.0, <<"1">>, "1", '1', [1], {1}, #{1 => 1}, #{1.0 => 1}, #{1 => 1.0}, [1.0], {1.0}, [[1]], <<1>>, <<1:4>>,
        <<0:4>>, <<>>, [], {}, #{}, '', true, 1 bsl 64, -(1 bsl 64), (1 bsl 64) + 1.0, [a | b], [a, b], self(),
        fun erlang:abs/1, fun erlang:abs/1, {{}}, {[]}, [{}], #{a => #{b => c}}, #{a => #{b => d}}
    ],
    [?cache:put(Cache, Key, {value, Key}) || Key <- Keys],
    [?assertEqual({ok, {value, Key}}, ?cache:get(Cache, Key)) || Key <- Keys],
    Unique = lists:usort(fun(A, B) -> A =:= B orelse term_to_binary(A) =< term_to_binary(B) end, Keys),
    ?assertEqual(length(Unique), maps:get(entries, ?cache:info(Cache))),
    %% The same key, built otherwise.
    Large = maps:from_list([{I, I} || I <- lists:seq(1, 100)]),
    Again = maps:from_list([{I, I} || I <- lists:seq(100, 1, -1)]),
    ok = ?cache:put(Cache, Large, large),
    ?assertEqual({ok, large}, ?cache:get(Cache, Again)),
    ?assertEqual({error, not_found}, ?cache:get(Cache, Again#{1 => 1.0})),
    Reference = make_ref(),
    Fun = fun() -> Reference end,
    ok = ?cache:put(Cache, Fun, a),
    ok = ?cache:put(Cache, {Reference, 1}, b),
    ?assertEqual({ok, a}, ?cache:get(Cache, Fun)),
    ?assertEqual({ok, b}, ?cache:get(Cache, {Reference, 1})),
    ?assertEqual({error, not_found}, ?cache:get(Cache, {make_ref(), 1})),
    ok = ?cache:drop(Cache).

%% Up to 65,535 bytes in the form in which it is held; a larger one is refused and never there.
large_keys(Config) ->
    Cache = new(Config, #{capacity => 1000}),
    Keys = lists:usort(lengths() ++ erlmcp_native_wrong_terms:large()),
    {Put, Refused} = lists:partition(
        fun(Key) ->
            case ?cache:put(Cache, Key, erlang:phash2(Key)) of
                ok -> true;
                {error, too_large} -> false
            end
        end,
        Keys
    ),
    ?assertEqual([], [K || K <- Put, erlang:external_size(K) > 4 * 65_535]),
    ?assertEqual([], [K || K <- Refused, erlang:external_size(K) < 65_535]),
    ?assert(lists:member(binary:copy(<<"b">>, 65_535), Put)),
    ?assert(lists:member(binary:copy(<<"b">>, 65_536), Refused)),
    [?assertEqual({ok, erlang:phash2(Key)}, ?cache:get(Cache, Key)) || Key <- Put],
    [
        begin
            ?assert(?cache:is_key(Cache, Key)),
            ok = ?cache:delete(Cache, Key),
            ?assertNot(?cache:is_key(Cache, Key))
        end
     || Key <- Put
    ],
    [
        begin
            ?assertEqual({error, not_found}, ?cache:get(Cache, Key)),
            ?assertEqual({error, not_found}, ?cache:get_entry(Cache, Key)),
            ?assertEqual({error, not_found}, ?cache:take(Cache, Key)),
            ?assertEqual({error, not_found}, ?cache:ttl(Cache, Key)),
            ?assertEqual({error, too_large}, ?cache:put_new(Cache, Key, v)),
            ?assertEqual({error, too_large}, ?cache:update_counter(Cache, Key, 1)),
            ?assertNot(?cache:is_key(Cache, Key)),
            ?assertNot(?cache:touch(Cache, Key)),
            ok = ?cache:delete(Cache, Key)
        end
     || Key <- Refused
    ],
    ?assertEqual(0, maps:get(entries, ?cache:info(Cache))),
    ok = ?cache:drop(Cache).

%%% Calls

put_get_delete(Config) ->
    Cache = new(Config, #{capacity => 10}),
    ?assertEqual({error, not_found}, ?cache:get(Cache, k)),
    ?assertEqual(d, ?cache:get(Cache, k, d)),
    ok = ?cache:put(Cache, k, #{v => 1}),
    ?assertEqual({ok, #{v => 1}}, ?cache:get(Cache, k)),
    ?assertEqual(#{v => 1}, ?cache:get(Cache, k, d)),
    ?assert(?cache:is_key(Cache, k)),
    ok = ?cache:put(Cache, k, w, #{}),
    ?assertEqual({ok, w}, ?cache:get(Cache, k)),
    ?assertEqual({ok, infinity}, ?cache:ttl(Cache, k)),
    ?assert(?cache:touch(Cache, k)),
    ok = ?cache:delete(Cache, k),
    ok = ?cache:delete(Cache, k),
    ?assertNot(?cache:is_key(Cache, k)),
    ?assertNot(?cache:touch(Cache, k)),
    ?assertEqual({error, not_found}, ?cache:ttl(Cache, k)),
    ok = ?cache:put(Cache, a, 1),
    ok = ?cache:clear(Cache),
    ?assertEqual([], ?cache:keys(Cache)),
    ok = ?cache:drop(Cache).

many(Config) ->
    Cache = new(Config, #{capacity => 1000, bound => weight, max_entry => 10}),
    ok = ?cache:put_many(Cache, [{1, a}, {2, #{b => 1}}, {1, c}]),
    ok = ?cache:put_many(Cache, #{3 => d}),
    ok = ?cache:put_many(Cache, []),
    ?assertEqual(#{1 => c, 2 => #{b => 1}, 3 => d}, ?cache:get_many(Cache, [1, 2, 3, 4])),
    ?assertEqual(#{}, ?cache:get_many(Cache, [])),
    ok = ?cache:delete_many(Cache, [1, 3, 4]),
    ?assertEqual([2], ?cache:keys(Cache)),
    ok = ?cache:drop(Cache),
    Small = new(Config, #{capacity => 10_000, bound => bytes, max_entry => 1000}),
    Large = binary:copy(<<"x">>, 1001),
    ?assertEqual({error, {too_large, [2, 4]}}, ?cache:put_many(Small, [{1, a}, {2, Large}, {3, c}, {4, Large}])),
    ok = ?cache:drop(Small).

put_new(Config) ->
    Cache = new(Config, #{capacity => 10}),
    ok = ?cache:put_new(Cache, k, #{v => 1}),
    ?assertEqual({error, exists}, ?cache:put_new(Cache, k, w)),
    ?assertEqual({error, exists}, ?cache:put_new(Cache, k, #{w => 1}, #{ttl => 10})),
    ?assertEqual({ok, #{v => 1}}, ?cache:get(Cache, k)),
    ?assertEqual({ok, infinity}, ?cache:ttl(Cache, k)),
    ok = ?cache:delete(Cache, k),
    %% Of many at once, one.
    Answers = parallel(20, fun(I) -> ?cache:put_new(Cache, k, #{i => I}) end),
    ?assertEqual(1, length([ok || ok <- Answers])),
    ?assertEqual(19, length([e || {error, exists} <- Answers])),
    ok = ?cache:drop(Cache).

compare_and_put(Config) ->
    Cache = new(Config, #{capacity => 10}),
    ?assertEqual({error, not_found}, ?cache:compare_and_put(Cache, k, 1, v)),
    ok = ?cache:put(Cache, k, #{v => 1}),
    {ok, #{value := #{v := 1}, version := V1, ttl := infinity}} = ?cache:get_entry(Cache, k),
    {ok, V2} = ?cache:compare_and_put(Cache, k, V1, #{v => 2}),
    ?assertEqual({error, {conflict, V2}}, ?cache:compare_and_put(Cache, k, V1, w)),
    ?assertEqual({ok, #{value => #{v => 2}, version => V2, ttl => infinity}}, ?cache:get_entry(Cache, k)),
    ok = ?cache:put(Cache, k, same),
    ?assertMatch({error, {conflict, _}}, ?cache:compare_and_put(Cache, k, V2, w)),
    {ok, #{version := V3}} = ?cache:get_entry(Cache, k),
    {ok, _} = ?cache:compare_and_put(Cache, k, V3, x, #{ttl => 60_000}),
    {ok, #{ttl := Left}} = ?cache:get_entry(Cache, k),
    ?assert(Left > 50_000 andalso Left =< 60_000),
    %% Deleted and put again, it has another version.
    {ok, #{version := V4}} = ?cache:get_entry(Cache, k),
    ok = ?cache:delete(Cache, k),
    ?assertEqual({error, not_found}, ?cache:get_entry(Cache, k)),
    ok = ?cache:put(Cache, k, x),
    ?assertMatch({error, {conflict, _}}, ?cache:compare_and_put(Cache, k, V4, w)),
    %% No update is lost.
    ok = ?cache:put(Cache, sum, {0}),
    _ = parallel(8, fun(_) -> [add(Cache) || _ <- lists:seq(1, 200)] end),
    ?assertEqual({ok, {1600}}, ?cache:get(Cache, sum)),
    ok = ?cache:drop(Cache).

add(Cache) ->
    {ok, #{value := {Sum}, version := Version}} = ?cache:get_entry(Cache, sum),
    case ?cache:compare_and_put(Cache, sum, Version, {Sum + 1}) of
        {ok, _} -> ok;
        {error, {conflict, _}} -> add(Cache)
    end.

counters(Config) ->
    Cache = new(Config, #{capacity => 10}),
    ?assertEqual({ok, 1}, ?cache:update_counter(Cache, c, 1)),
    ?assertEqual({ok, -4}, ?cache:update_counter(Cache, c, -5)),
    ?assertEqual({ok, -4}, ?cache:get(Cache, c)),
    ?assertEqual({ok, 13}, ?cache:update_counter(Cache, d, 3, #{initial => 10})),
    ?assertEqual({ok, 16}, ?cache:update_counter(Cache, d, 3, #{initial => 10})),
    Most = (1 bsl 63) - 1,
    ?assertEqual({ok, Most}, ?cache:update_counter(Cache, e, Most)),
    ?assertEqual({error, overflow}, ?cache:update_counter(Cache, e, 1)),
    ?assertEqual({ok, Most}, ?cache:get(Cache, e)),
    ?assertEqual({ok, Most - 1}, ?cache:update_counter(Cache, e, -1)),
    ?assertEqual({ok, -Most - 1}, ?cache:update_counter(Cache, f, -Most - 1)),
    ?assertEqual({error, overflow}, ?cache:update_counter(Cache, f, -1)),
    ok = ?cache:put(Cache, g, (1 bsl 60)),
    ?assertEqual({ok, (1 bsl 60) + 1}, ?cache:update_counter(Cache, g, 1)),
    [
        begin
            ok = ?cache:put(Cache, no, Value),
            ?assertEqual({error, not_integer}, ?cache:update_counter(Cache, no, 1)),
            ?assertEqual({ok, Value}, ?cache:get(Cache, no))
        end
     || Value <- [a, 1.0, <<"1">>, <<0:64>>, {1}, #{a => 1}, 1 bsl 63, binary:copy(<<1>>, 2000)]
    ],
    _ = parallel(10, fun(_) -> [?cache:update_counter(Cache, all, 1) || _ <- lists:seq(1, 1000)] end),
    ?assertEqual({ok, 10_000}, ?cache:get(Cache, all)),
    %% Its times are those it was made with.
    {ok, 1} = ?cache:update_counter(Cache, timed, 1, #{ttl => 60_000}),
    {ok, 2} = ?cache:update_counter(Cache, timed, 1, #{ttl => 1}),
    {ok, Left} = ?cache:ttl(Cache, timed),
    ?assert(Left > 50_000),
    ok = ?cache:drop(Cache).

take(Config) ->
    Cache = new(Config, #{capacity => 1000}),
    ?assertEqual({error, not_found}, ?cache:take(Cache, k)),
    ok = ?cache:put(Cache, k, #{v => 1}),
    ?assertEqual({ok, #{v => 1}}, ?cache:take(Cache, k)),
    ?assertEqual({error, not_found}, ?cache:take(Cache, k)),
    %% Each is taken once.
    [ok = ?cache:put(Cache, I, {I}) || I <- lists:seq(1, 500)],
    Taken = parallel(5, fun(_) ->
        [Value || I <- lists:seq(1, 500), {ok, Value} <- [?cache:take(Cache, I)]]
    end),
    ?assertEqual([{I} || I <- lists:seq(1, 500)], lists:sort(lists:append(Taken))),
    ok = ?cache:drop(Cache).

%% Whoever has taken an entry reads its row, however many others are deleted at once.
rows_outlive_their_entries(_) ->
    {ok, Cache} = ?cache:new(rows, #{capacity => 10_000, store => ets}),
    Count = 2500,
    Take = fun() ->
        [ok = ?cache:put(Cache, I, {I}) || I <- lists:seq(1, Count)],
        Start = erlang:monotonic_time(millisecond),
        Answers = [erlmcp_native_nif:cache_take(Cache, I, []) || I <- lists:seq(1, Count)],
        [{stored, Table, _} | _] = Answers,
        Keeper = ets:info(Table, owner),
        [Keeper ! tick || _ <- lists:seq(1, 5)],
        _ = sys:get_state(Keeper),
        Found = [erlmcp_native_cache_terms:value(Answer) || Answer <- Answers],
        Left = erlang:monotonic_time(millisecond) - Start,
        {Left < 400, Found, Table}
    end,
    %% Where that took too long it says nothing.
    InTime = fun InTime(Tries) ->
        case Take() of
            {true, Found, Table} -> {Found, Table};
            _ when Tries > 1 -> InTime(Tries - 1)
        end
    end,
    {Found, Table} = InTime(50),
    ?assertEqual([{ok, {I}} || I <- lists:seq(1, Count)], Found),
    until(fun() -> ets:info(Table, size) =:= 0 end),
    ok = ?cache:drop(Cache).
