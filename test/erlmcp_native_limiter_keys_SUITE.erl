%% Keys of rate limits: any term, as many as there are, in bounded memory.
-module(erlmcp_native_limiter_keys_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    keys_are_any_term/1,
    keys_are_equal_as_terms_are/1,
    keys_of_two_limiters/1,
    reset_forgets/1,
    idle_keys_leave_first/1,
    memory_is_bounded/1,
    million_keys/1
]).

-define(m, erlmcp_native_limiter).
-define(HOUR, 3_600_000).

all() ->
    [
        keys_are_any_term,
        keys_are_equal_as_terms_are,
        keys_of_two_limiters,
        reset_forgets,
        idle_keys_leave_first,
        memory_is_bounded,
        million_keys
    ].

suite() -> [{timetrap, {minutes, 5}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_testcase(_, _) -> ok.

%% Windows of up to 16 are a log, larger ones are counted.
hourly() ->
    [
        #{algorithm => Algorithm, limit => Limit, per => ?HOUR}
     || Algorithm <- [token_bucket, leaky_bucket, sliding_window], Limit <- [1, 2, 16, 17, 100]
    ].

%% Of each a fresh copy, so that it is the same term at another place.
keys_are_any_term(_) ->
    Limiter = ?m:new(#{limit => 2, per => ?HOUR}),
    Keys = lists:usort(fun(A, B) -> A =< B orelse A =:= B end, terms()),
    ?assert(length(Keys) > 80),
    [?assertEqual({ok, 1}, ?m:check(Limiter, Key), Key) || Key <- Keys],
    [?assertEqual({ok, 1}, ?m:peek(Limiter, copy(Key)), Key) || Key <- Keys],
    [?assertEqual({ok, 0}, ?m:check(Limiter, Key, #{}), Key) || Key <- Keys],
    [?assertMatch({error, rate_limited, _}, ?m:check(Limiter, Key), Key) || Key <- Keys],
    ?assertMatch(#{keys := Count} when Count =:= length(Keys), ?m:info(Limiter)),
    [ok = ?m:reset(Limiter, copy(Key)) || Key <- Keys],
    ?assertMatch(#{keys := 0}, ?m:info(Limiter)),
    [?assertNot(?m:is_blocked(Limiter, Key)) || Key <- Keys].

terms() ->
    erlmcp_native_wrong_terms:small() ++
        [lists:seq(1, N) || N <- [10, 100, 1000]] ++
        [maps:from_list([{I, I} || I <- lists:seq(1, N)]) || N <- [32, 33, 500]] ++
        [<<0:(8 * N)>> || N <- [7, 8, 9, 65_535]].

copy(Term) -> binary_to_term(term_to_binary(Term)).

keys_are_equal_as_terms_are(_) ->
    Limiter = ?m:new(#{limit => 2, per => ?HOUR}),
    Same = fun(A, B) ->
        {ok, 1} = ?m:check(Limiter, A),
        Is = ?m:check(Limiter, B) =:= {ok, 0},
        ok = ?m:reset(Limiter, A),
        ok = ?m:reset(Limiter, B),
        Is
    end,
    Word = fun(Term) -> <<_:3/binary, Bytes/binary>> = term_to_binary(Term), Bytes end,
    [
        ?assertEqual(A =:= B, Same(A, B), {A, B})
     || {A, B} <- [
            {1, 1.0}, {0.0, -0.0}, {a, <<"a">>}, {"a", <<"a">>}, {[], <<>>}, {[], {}}, {{1}, [1]},
            {{a, 0.0}, {a, -0.0}}, {<<1:1>>, <<1>>}, {<<1:1>>, <<1:2>>}, {1 bsl 80, 1 bsl 81},
            {[a | b], [a, b]}, {#{1 => 2, 3 => 4}, #{3 => 4, 1 => 2}}, {Word(a), a}
        ]
    ],
    ?assert(Same([1, 2] ++ [3], [1 | [2, 3]])),
    ?assertError(badarg, ?m:check(Limiter, <<0:(65_536 * 8)>>)),
    ?assertError(badarg, ?m:check(Limiter, lists:seq(1, 100_000))),
    ?assertError(badarg, ?m:check(Limiter, lists:seq(1, 100_000), #{cost => 2})).

keys_of_two_limiters(_) ->
    [One, Two] = [?m:new(#{limit => 1, per => ?HOUR}) || _ <- [1, 2]],
    {ok, 0} = ?m:check(One, a),
    ?assertEqual({ok, 0}, ?m:check(Two, a)),
    ok = ?m:reset(One, a),
    ?assertMatch({error, rate_limited, _}, ?m:check(Two, a)).

reset_forgets(_) ->
    [
        begin
            Limiter = ?m:new(Opts),
            [{ok, _} = ?m:check(Limiter, a) || _ <- lists:seq(1, Limit)],
            {error, rate_limited, _} = ?m:check(Limiter, a),
            ok = ?m:reset(Limiter, a),
            ok = ?m:reset(Limiter, nosuch),
            ?assertMatch(#{keys := 0}, ?m:info(Limiter)),
            ?assertEqual({ok, Limit - 1}, ?m:check(Limiter, a))
        end
     || #{limit := Limit} = Opts <- hourly()
    ].

idle_keys_leave_first(_) ->
    Limiter = ?m:new(#{limit => 10, per => 10 * ?HOUR, max_keys => 3}),
    {ok, 7} = ?m:check(Limiter, three, #{cost => 3}),
    {ok, 9} = ?m:check(Limiter, one, #{cost => 1}),
    {ok, 8} = ?m:check(Limiter, two, #{cost => 2}),
    %% None is idle: the one goes that would be soonest.
    {ok, 5} = ?m:check(Limiter, five, #{cost => 5}),
    ?assertEqual({ok, 10}, ?m:peek(Limiter, one)),
    ?assertMatch(#{keys := 3, forgiven := 1}, ?m:info(Limiter)),
    %% By being used it is no longer the soonest.
    {ok, 4} = ?m:check(Limiter, two, #{cost => 4}),
    {ok, 9} = ?m:check(Limiter, new),
    ?assertEqual({ok, 10}, ?m:peek(Limiter, three)),
    [?assertEqual({ok, A}, ?m:peek(Limiter, K)) || {K, A} <- [{two, 4}, {five, 5}, {new, 9}]],
    %% Now one that is idle.
    Quick = ?m:new(#{limit => 1000, per => 1000, burst => 1_000_000, max_keys => 3}),
    {ok, _} = ?m:check(Quick, a, #{cost => 900_000}),
    {ok, _} = ?m:check(Quick, soon, #{cost => 1}),
    {ok, _} = ?m:check(Quick, b, #{cost => 800_000}),
    wait_until(fun() -> ?m:peek(Quick, soon) =:= {ok, 1_000_000} end),
    {ok, _} = ?m:check(Quick, c, #{cost => 700_000}),
    ?assertMatch(#{keys := 3, forgiven := 0}, ?m:info(Quick)),
    [?assertMatch({ok, A} when A < 500_000, ?m:peek(Quick, K)) || K <- [a, b, c]].

memory_is_bounded(_) ->
    [
        begin
            Limiter = ?m:new(Opts#{limit := Limit, max_keys => 10_000, block => Block}),
            {ok, _} = ?m:check(Limiter, vip, #{cost => Limit}),
            Checked = [?m:check(Limiter, {key, N}) || N <- lists:seq(1, 100_000)],
            ?assert(lists:all(fun({ok, _}) -> true; (_) -> false end, Checked)),
            #{keys := Keys, forgiven := Forgiven, memory := Memory} = ?m:info(Limiter),
            ?assertEqual(10_000, Keys),
            ?assertEqual(90_001, Forgiven),
            %% At most four places for a key, and eight shards' candidates.
            ?assert(Memory =< 10_000 * 4 * 96 + 100_000, Memory),
            %% It had used more than they, whenever it came; windows forget by time alone.
            [
                ?assertMatch({error, rate_limited, _}, ?m:check(Limiter, vip))
             || Algorithm =/= sliding_window
            ]
        end
     || #{limit := 1, algorithm := Algorithm} = Opts <- hourly(),
        Limit <- [16, 17],
        Block <- [none, #{violations => 10, within => 1000, duration => 1000}]
    ].

million_keys(_) ->
    Limiter = ?m:new(#{limit => 2, per => ?HOUR}),
    Check = fun(Keys) -> fun() -> [?m:check(Limiter, K) || K <- Keys] end end,
    Run = fun() ->
        Pids = [
            spawn_monitor(Check(lists:seq(First, First + 249_999)))
         || First <- lists:seq(1, 1_000_000, 250_000)
        ],
        [receive {'DOWN', Ref, process, Pid, normal} -> ok end || {Pid, Ref} <- Pids]
    end,
    Run(),
    #{keys := 1_000_000, forgiven := 0, memory := Memory} = ?m:info(Limiter),
    ?assert(Memory < 100_000_000),
    Run(),
    ?assertMatch(#{keys := 1_000_000, allowed := 2_000_000, refused := 0}, ?m:info(Limiter)),
    Run(),
    ?assertMatch(#{keys := 1_000_000, allowed := 2_000_000, refused := 1_000_000}, ?m:info(Limiter)),
    Before = erlmcp_native:memory(),
    ok = ?m:delete(Limiter),
    wait_until(fun() -> erlmcp_native:memory() < Before - Memory + 1_000_000 end).

wait_until(Is) ->
    case Is() of
        true ->
            ok;
        false ->
            timer:sleep(10),
            wait_until(Is)
    end.
