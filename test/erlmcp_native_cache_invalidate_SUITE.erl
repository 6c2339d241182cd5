%% Tags, dependents, prefixes, patterns and clear.
-module(erlmcp_native_cache_invalidate_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, groups/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2]).
-export([
    tags/1,
    any_term_is_a_tag/1,
    many_tags/1,
    tags_of_the_last_put/1,
    tags_of_a_counter/1,
    tag_of_what_has_left/1,
    tag_in_constant_time/1,
    tag_while_written/1,
    put_after_invalidation_stays/1,
    dependents/1,
    prefixes/1,
    patterns/1,
    pattern_takes_no_time/1,
    cleared/1
]).

-import(erlmcp_native_test_cache, [new/2, badarg/2, until/1, parallel/2]).

-define(cache, erlmcp_native_cache).

all() -> [tag_in_constant_time, {group, native}, {group, ets}].

groups() ->
    All = [
        tags,
        any_term_is_a_tag,
        many_tags,
        tags_of_the_last_put,
        tags_of_a_counter,
        tag_of_what_has_left,
        tag_while_written,
        put_after_invalidation_stays,
        dependents,
        prefixes,
        patterns,
        pattern_takes_no_time,
        cleared
    ],
    [{native, [], All}, {ets, [], All}].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

init_per_group(Store, Config) -> [{store, Store} | Config].

end_per_group(_, _) -> ok.

keys(Cache) -> lists:sort(?cache:keys(Cache)).

%%% Tags

tags(Config) ->
    Cache = new(Config, #{capacity => 100}),
    ?assertEqual({ok, 0}, ?cache:invalidate_tag(Cache, nosuch)),
    ok = ?cache:put(Cache, ab, {1}, #{tags => [a, b]}),
    ok = ?cache:put(Cache, a, {1}, #{tags => [a]}),
    ok = ?cache:put(Cache, b, {1}, #{tags => [b, b, b]}),
    ok = ?cache:put(Cache, none, {1}, #{tags => []}),
    ok = ?cache:put(Cache, plain, {1}),
    ?assertEqual({ok, 2}, ?cache:invalidate_tag(Cache, a)),
    ?assertEqual([b, none, plain], keys(Cache)),
    [?assertEqual({error, not_found}, ?cache:get(Cache, K)) || K <- [a, ab]],
    [?assertEqual(false, ?cache:is_key(Cache, K)) || K <- [a, ab]],
    ?assertEqual({error, not_found}, ?cache:get_entry(Cache, a)),
    ?assertEqual({error, not_found}, ?cache:take(Cache, a)),
    ?assertEqual(false, ?cache:touch(Cache, a)),
    ?assertEqual({ok, 0}, ?cache:invalidate_tag(Cache, a)),
    %% And perhaps the one that the other tag has taken.
    {ok, OneOrTwo} = ?cache:invalidate_tag(Cache, b),
    ?assert(lists:member(OneOrTwo, [1, 2])),
    ?assertEqual([none, plain], keys(Cache)),
    ?assertEqual({ok, {2}}, ?cache:fetch(Cache, b, fun() -> {ok, {2}} end)),
    ok = ?cache:put_new(Cache, a, {3}, #{tags => [a]}),
    ?assertEqual({ok, 1}, ?cache:invalidate_tag(Cache, a)),
    until(fun() -> maps:get(entries, ?cache:info(Cache)) =:= 3 end).

any_term_is_a_tag(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Tags = [
        1, 1.0, a, <<"a">>, "a", [], {}, #{}, {a, 1}, {a, 1.0}, self(), make_ref(), fun lists:map/2, 1 bsl 70,
        -(1 bsl 59) - 1, 1 bsl 59, binary:copy(<<"t">>, 10_000), maps:from_list([{I, I} || I <- lists:seq(1, 100)]),
        {external, term_to_binary({a, 1})}, external, <<1:1>>, <<1:2>>
    ],
    Numbered = lists:zip(lists:seq(1, length(Tags)), Tags),
    [ok = ?cache:put(Cache, I, {I}, #{tags => [Tag]}) || {I, Tag} <- Numbered],
    lists:foldl(
        fun({I, Tag}, Left) ->
            ?assertEqual({ok, 1}, ?cache:invalidate_tag(Cache, Tag), Tag),
            Less = lists:delete(I, Left),
            ?assertEqual(Less, keys(Cache)),
            Less
        end,
        lists:seq(1, length(Tags)),
        Numbered
    ),
    %% The same map, built otherwise.
    ok = ?cache:put(Cache, k, {1}, #{tags => [maps:from_list([{I, I} || I <- lists:seq(1, 100)])]}),
    Again = maps:from_list([{I, I} || I <- lists:seq(100, 1, -1)]),
    ?assertEqual({ok, 1}, ?cache:invalidate_tag(Cache, Again)).

many_tags(Config) ->
    Cache = new(Config, #{capacity => 10_000}),
    Tags = lists:seq(1, 100),
    ok = ?cache:put(Cache, all, {1}, #{tags => Tags}),
    [ok = ?cache:put(Cache, {I, J}, {1}, #{tags => [I]}) || I <- Tags, J <- lists:seq(1, 10)],
    ?assertEqual({ok, 11}, ?cache:invalidate_tag(Cache, 50)),
    until(fun() -> maps:get(used, ?cache:info(Cache)) =:= 990 end),
    ?assertEqual({ok, 10}, ?cache:invalidate_tag(Cache, 51)),
    ?assertEqual(980, length(?cache:keys(Cache))),
    %% Tags that nothing has any more take no room for ever.
    tag_and_clear(Cache, 1),
    timer:sleep(300),
    Before = erlmcp_native:memory(),
    tag_and_clear(Cache, 20),
    until(fun() -> erlmcp_native:memory() - Before < 1_000_000 end).

tag_and_clear(Cache, Rounds) ->
    [
        begin
            [ok = ?cache:put(Cache, I, {I}, #{tags => [{Round, I}]}) || I <- lists:seq(1, 2000)],
            ok = ?cache:clear(Cache)
        end
     || Round <- lists:seq(1, Rounds)
    ].

tags_of_the_last_put(Config) ->
    Cache = new(Config, #{capacity => 100}),
    ok = ?cache:put(Cache, k, {1}, #{tags => [a]}),
    ok = ?cache:put(Cache, k, {2}, #{tags => [b]}),
    ?assertEqual({ok, 0}, ?cache:invalidate_tag(Cache, a)),
    ?assertEqual({ok, {2}}, ?cache:get(Cache, k)),
    ok = ?cache:put(Cache, k, {3}),
    ?assertEqual({ok, 0}, ?cache:invalidate_tag(Cache, b)),
    ?assertEqual({ok, {3}}, ?cache:get(Cache, k)).

tags_of_a_counter(Config) ->
    Cache = new(Config, #{capacity => 100}),
    {ok, 1} = ?cache:update_counter(Cache, c, 1, #{tags => [a]}),
    {ok, 2} = ?cache:update_counter(Cache, c, 1),
    true = ?cache:touch(Cache, c),
    true = ?cache:touch(Cache, c, 60_000),
    ?assertEqual({ok, 1}, ?cache:invalidate_tag(Cache, a)),
    ?assertEqual({ok, 1}, ?cache:update_counter(Cache, c, 1)).

%% Only what is there is counted.
tag_of_what_has_left(Config) ->
    Cache = new(Config, #{capacity => 100}),
    [ok = ?cache:put(Cache, I, {I}, #{tags => [a]}) || I <- lists:seq(1, 200)],
    ok = ?cache:delete_many(Cache, lists:seq(101, 120)),
    {ok, _} = ?cache:take(Cache, 121),
    Left = length(?cache:keys(Cache)),
    ?assertEqual({ok, Left}, ?cache:invalidate_tag(Cache, a)),
    ?assertEqual([], ?cache:keys(Cache)).

%% Ten thousand times as many entries take no longer: medians of several, far from one another by
%% less than what counting them one by one would add.
tag_in_constant_time(_) ->
    Cache = new([], #{capacity => 200_000}),
    Time = fun(Count) ->
        Times = [
            begin
                [ok = ?cache:put(Cache, I, I, #{tags => [t]}) || I <- lists:seq(1, Count)],
                {Micros, {ok, Count}} = timer:tc(fun() -> ?cache:invalidate_tag(Cache, t) end),
                ?assertEqual({error, not_found}, ?cache:get(Cache, Count)),
                Micros
            end
         || _ <- lists:seq(1, 7)
        ],
        lists:nth(4, lists:sort(Times))
    end,
    Few = Time(10),
    Many = Time(100_000),
    ct:log("us: ~p, ~p", [Few, Many]),
    ?assert(Many < Few + 200).

%% What was put before an invalidation began is not found after it ended.
tag_while_written(Config) ->
    Cache = new(Config, #{capacity => 1000}),
    _ = parallel(8, fun(Process) ->
        [
            case Process of
                1 ->
                    Before = [K || K <- lists:seq(1, 50), ?cache:is_key(Cache, {old, K})],
                    {ok, _} = ?cache:invalidate_tag(Cache, t),
                    ?assertEqual([], [K || K <- Before, ?cache:is_key(Cache, {old, K})]),
                    [ok = ?cache:put(Cache, {old, K}, {I}, #{tags => [t]}) || K <- lists:seq(1, 50)];
                _ ->
                    ok = ?cache:put(Cache, {Process, I rem 50}, {I}, #{tags => [t, Process]}),
                    ?cache:get(Cache, {Process, (I + 25) rem 50})
            end
         || I <- lists:seq(1, 500)
        ]
    end),
    {ok, Count} = ?cache:invalidate_tag(Cache, t),
    ?assert(Count >= 50),
    ?assertEqual([], ?cache:keys(Cache)).

put_after_invalidation_stays(Config) ->
    Cache = new(Config, #{capacity => 1000}),
    [
        begin
            ok = ?cache:put(Cache, I, {I}, #{tags => [t]}),
            ?assertEqual({ok, 1}, ?cache:invalidate_tag(Cache, t)),
            ok = ?cache:put(Cache, I, {again, I}, #{tags => [t]}),
            ?assertEqual({ok, {again, I}}, ?cache:get(Cache, I)),
            ok = ?cache:delete(Cache, I)
        end
     || I <- lists:seq(1, 500)
    ],
    timer:sleep(200),
    ok = ?cache:put(Cache, k, {v}, #{tags => [t]}),
    timer:sleep(200),
    ?assertEqual({ok, {v}}, ?cache:get(Cache, k)).

dependents(Config) ->
    Cache = new(Config, #{capacity => 100}),
    ok = ?cache:put(Cache, user, {1}),
    ok = ?cache:put(Cache, page, {1}, #{depends_on => [user, {not_there}]}),
    ok = ?cache:put(Cache, list, {1}, #{depends_on => [page]}),
    ok = ?cache:put(Cache, other, {1}, #{tags => [user]}),
    %% Neither the key itself, nor what depends on its dependents, nor what is tagged so.
    ?assertEqual({ok, 1}, ?cache:invalidate_dependents(Cache, user)),
    ?assertEqual([list, other, user], keys(Cache)),
    ?assertEqual({ok, 1}, ?cache:invalidate_tag(Cache, user)),
    ?assertEqual({ok, 1}, ?cache:invalidate_dependents(Cache, page)),
    ok = ?cache:put(Cache, page, {1}, #{depends_on => [user, {not_there}]}),
    ?assertEqual({ok, 1}, ?cache:invalidate_dependents(Cache, {not_there})),
    ?assertEqual([user], keys(Cache)),
    Large = maps:from_list([{I, I} || I <- lists:seq(1, 100)]),
    ok = ?cache:put(Cache, page, {1}, #{depends_on => [Large]}),
    ?assertEqual({ok, 1}, ?cache:invalidate_dependents(Cache, Large)),
    ?assertEqual([user], keys(Cache)).

%%% Walks

prefixes(Config) ->
    Cache = new(Config, #{capacity => 10_000}),
    Keys = [
        <<>>, <<"u">>, <<"user">>, <<"user:">>, <<"user:1">>, <<"user:10">>, <<"users">>, <<"xuser:1">>,
        <<"user:", 1:1>>, 'user:1', "user:1", {<<"user:1">>}, [<<"user:1">>], <<"user:", 0, 255>>,
        <<"user:", (binary:copy(<<"x">>, 60_000))/binary>>
    ],
    Fill = fun() -> [ok = ?cache:put(Cache, K, {v}) || K <- Keys] end,
    Fill(),
    ?assertEqual({ok, 0}, ?cache:invalidate_prefix(Cache, <<"nosuch">>)),
    ?assertEqual({ok, 5}, ?cache:invalidate_prefix(Cache, <<"user:">>)),
    Gone = [<<"user:">>, <<"user:1">>, <<"user:10">>, <<"user:", 0, 255>>, <<"user:", (binary:copy(<<"x">>, 60_000))/binary>>],
    ?assertEqual(lists:sort(Keys -- Gone), keys(Cache)),
    Fill(),
    Binaries = [K || K <- Keys, is_binary(K)],
    ?assertEqual({ok, length(Binaries)}, ?cache:invalidate_prefix(Cache, <<>>)),
    ?assertEqual(lists:sort(Keys -- Binaries), keys(Cache)),
    [ok = ?cache:put(Cache, <<"n:", (integer_to_binary(I))/binary>>, {I}) || I <- lists:seq(1, 5000)],
    ?assertEqual({ok, 1111}, ?cache:invalidate_prefix(Cache, <<"n:1">>)),
    ?assertEqual({ok, 3889}, ?cache:invalidate_prefix(Cache, <<"n:">>)).

patterns(Config) ->
    Cache = new(Config, #{capacity => 10_000}),
    Keys = [
        <<>>, <<"user">>, <<"user:">>, <<"user:1">>, <<"user:12:name">>, <<"user:12:age">>, <<"a*b">>, <<"ab">>,
        <<"aXXb">>, <<"a?b">>, <<"a\\b">>, <<"[a]">>, <<0, 255, 10>>, a, "ab", {<<"ab">>}
    ],
    [
        begin
            [ok = ?cache:put(Cache, K, {v}) || K <- Keys],
            ?assertEqual({ok, length(Matching)}, ?cache:invalidate_matching(Cache, Pattern), Pattern),
            ?assertEqual(lists:sort(Keys -- Matching), keys(Cache), Pattern)
        end
     || {Pattern, Matching} <- [
            {<<"user:*">>, [<<"user:">>, <<"user:1">>, <<"user:12:name">>, <<"user:12:age">>]},
            {<<"user:*:name">>, [<<"user:12:name">>]},
            {<<"user:?">>, [<<"user:1">>]},
            {<<"user:12:*a*e">>, [<<"user:12:name">>, <<"user:12:age">>]},
            {<<"user">>, [<<"user">>]},
            {<<"use">>, []},
            {<<>>, [<<>>]},
            {<<"?">>, []},
            {<<"???">>, [<<"a*b">>, <<"a?b">>, <<"a\\b">>, <<"[a]">>, <<0, 255, 10>>]},
            {<<"*">>, [K || K <- Keys, is_binary(K)]},
            {<<"***">>, [K || K <- Keys, is_binary(K)]},
            {<<"a*b">>, [<<"a*b">>, <<"ab">>, <<"aXXb">>, <<"a?b">>, <<"a\\b">>]},
            {<<"a\\*">>, [<<"a\\b">>]},
            {binary:copy(<<"*">>, 256), [K || K <- Keys, is_binary(K)]},
            {<<"[a]">>, [<<"[a]">>]},
            {<<"*12*">>, [<<"user:12:name">>, <<"user:12:age">>]}
        ]
    ],
    badarg(2, fun() -> ?cache:invalidate_matching(Cache, binary:copy(<<"*">>, 257)) end).

%% Stars upon stars, on keys that almost match.
pattern_takes_no_time(Config) ->
    Cache = new(Config, #{capacity => 1000}),
    [ok = ?cache:put(Cache, <<(binary:copy(<<"a">>, 2000))/binary, I>>, {v}) || I <- lists:seq(1, 90)],
    Pattern = <<(binary:copy(<<"*a">>, 30))/binary, "*b">>,
    {Micros, {ok, 0}} = timer:tc(fun() -> ?cache:invalidate_matching(Cache, Pattern) end),
    ?assert(Micros < 2_000_000, Micros).

cleared(Config) ->
    Cache = new(Config, #{capacity => 10_000}),
    ok = ?cache:clear(Cache),
    [ok = ?cache:put(Cache, I, {I}, #{tags => [t]}) || I <- lists:seq(1, 10_000)],
    ok = ?cache:clear(Cache),
    ?assertMatch(#{entries := 0, used := 0}, ?cache:info(Cache)),
    ?assertEqual([], ?cache:keys(Cache)),
    ?assertEqual({ok, 0}, ?cache:invalidate_tag(Cache, t)),
    ok = ?cache:put(Cache, k, {v}),
    ?assertEqual([k], ?cache:keys(Cache)).
