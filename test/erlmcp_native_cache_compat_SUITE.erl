%% The API of erlmcp's erlmcp_cache, as its own tests pin it down.
-module(erlmcp_native_cache_compat_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    reads_what_was_written/1, lives_as_long_as_its_strategy_says/1, evicts_at_its_size/1,
    invalidates_by_tag_and_dependency/1, marks_values/1, counts_since_the_last_clear/1,
    warms_in_the_background/1
]).

-define(C, erlmcp_native_cache_compat).

all() ->
    [
        reads_what_was_written, lives_as_long_as_its_strategy_says, evicts_at_its_size,
        invalidates_by_tag_and_dependency, marks_values, counts_since_the_last_clear,
        warms_in_the_background
    ].

init_per_testcase(_Case, Config) ->
    {ok, Pid} = ?C:start_link(#{max_l1_size => 100, max_l2_size => 1000, default_ttl_seconds => 60}),
    unlink(Pid),
    [{pid, Pid} | Config].

end_per_testcase(_Case, Config) ->
    gen_server:stop(proplists:get_value(pid, Config)).

reads_what_was_written(_Config) ->
    ?assertEqual({error, not_found}, ?C:get(<<"k">>)),
    ok = ?C:put(<<"k">>, 1),
    ok = ?C:put(<<"k">>, 2),
    ?assertEqual({ok, 2}, ?C:get(<<"k">>)),
    ?assertEqual({ok, 2}, ?C:get(<<"k">>, #{})),
    ok = ?C:delete(<<"k">>),
    ok = ?C:delete(<<"k">>),
    ?assertEqual({error, not_found}, ?C:get(<<"k">>)).

lives_as_long_as_its_strategy_says(_Config) ->
    ok = ?C:put(short, 1, {ttl, 1}),
    ok = ?C:put(lru, 1, {lru, 5}),
    ok = ?C:put(through, 1, write_through),
    ok = ?C:put(back, 1, write_back),
    Ttl = fun(Key) -> {ok, Left} = erlmcp_native_cache:ttl(?C, Key), Left end,
    ?assertEqual(infinity, Ttl(lru)),
    ?assert(Ttl(short) =< 1000),
    [?assert(Ttl(Key) > 50_000 andalso Ttl(Key) =< 60_000) || Key <- [through, back]],
    timer:sleep(1050),
    ?assertEqual({error, not_found}, ?C:get(short)),
    ?assertEqual({ok, 1}, ?C:get(lru)).

evicts_at_its_size(_Config) ->
    [ok = ?C:put(I, I, {lru, 100}) || I <- lists:seq(1, 100)],
    ?assertMatch(#{evictions := 0, l1_size := 100}, ?C:stats()),
    {ok, 1} = ?C:get(1),
    ok = ?C:put(101, 101, {lru, 100}),
    ?assertMatch(#{evictions := 1, l1_size := 100}, ?C:stats()),
    ?assertEqual({ok, 1}, ?C:get(1)),
    ?assertEqual({error, not_found}, ?C:get(2)).

invalidates_by_tag_and_dependency(_Config) ->
    ok = ?C:put(a, 1, {ttl, 10}, #{tags => [<<"user:1">>]}),
    ok = ?C:put(b, 1, {ttl, 10}, #{tags => [<<"user:1">>, x]}),
    ok = ?C:put(c, 1, {ttl, 10}, #{dependencies => [p]}),
    ok = ?C:put(p, 1),
    ?assertEqual({ok, 2}, ?C:invalidate_by_tag(<<"user:1">>)),
    ?assertEqual({ok, 1}, ?C:get(c)),
    ?assertEqual({ok, 1}, ?C:invalidate_by_dependency(p)),
    [?assertEqual({error, not_found}, ?C:get(Key)) || Key <- [a, b, c]],
    ?assertEqual({ok, 1}, ?C:get(p)).

marks_values(_Config) ->
    ok = ?C:put(k, #{a => 1}),
    ETag = ?C:generate_etag(#{a => 1}),
    ?assertEqual({$", $"}, {binary:first(ETag), binary:last(ETag)}),
    ?assert(?C:check_etag(k, ETag)),
    ok = ?C:put(k, #{a => 2}),
    ?assertNot(?C:check_etag(k, ETag)),
    ?assertNot(?C:check_etag(none, ETag)).

counts_since_the_last_clear(_Config) ->
    ok = ?C:put(k, 1),
    {ok, 1} = ?C:get(k),
    {error, not_found} = ?C:get(none),
    ?assertMatch(
        #{hits := 1, misses := 1, writes := 1, hit_rate := 0.5, total_requests := 2, l1_size := 1},
        ?C:stats()
    ),
    ok = ?C:clear(),
    ?assertEqual(
        #{
            hits => 0, misses => 0, l1_hits => 0, l2_hits => 0, l3_hits => 0, evictions => 0,
            expirations => 0, writes => 0, deletes => 0, l1_size => 0, l2_size => 0,
            hit_rate => 0.0, total_requests => 0
        },
        ?C:stats()
    ),
    ?assertEqual({error, not_found}, ?C:get(k)).

warms_in_the_background(_Config) ->
    Self = self(),
    ok = ?C:warm_cache(k, fun() -> Self ! computed, 42 end),
    receive computed -> ok after 5000 -> error(not_computed) end,
    wait(fun() -> ?C:get(k) =:= {ok, 42} end, 100).

wait(Is, Left) when Left > 0 ->
    case Is() of
        true -> ok;
        false -> timer:sleep(20), wait(Is, Left - 1)
    end.
