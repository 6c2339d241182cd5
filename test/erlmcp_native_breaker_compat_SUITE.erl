%% erlmcp's API on native breakers, as its callers and its own tests use it.
-module(erlmcp_native_breaker_compat_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    opens_and_closes/1,
    by_failure_rate/1,
    exceptions_are_results/1,
    fallback/1,
    timeout/1,
    statistics/1,
    forced/1,
    registered/1,
    by_pid/1,
    not_there/1
]).

-define(M, erlmcp_native_breaker_compat).

all() ->
    [
        opens_and_closes,
        by_failure_rate,
        exceptions_are_results,
        fallback,
        timeout,
        statistics,
        forced,
        registered,
        by_pid,
        not_there
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_testcase(_, _) ->
    [?M:unregister_breaker(Name) || Name <- [compat, compat_1, compat_2]].

opens_and_closes(_) ->
    {ok, Pid} = ?M:start_link(compat, #{failure_threshold => 2, timeout => 50}),
    {error, a} = ?M:call(compat, fun() -> {error, a} end),
    ?assertEqual(closed, ?M:get_state(compat)),
    {error, a} = ?M:call(compat, fun() -> {error, a} end),
    %% By the time that is asked the wait may be over.
    ?assertNotEqual(closed, ?M:get_state(compat)),
    erlmcp_native_test_wait:until(fun() -> ?M:get_state(compat) =:= half_open end),
    {ok, 1} = ?M:call(compat, fun() -> {ok, 1} end),
    ?assertEqual(half_open, ?M:get_state(compat)),
    {ok, 2} = ?M:call(compat, fun() -> {ok, 2} end),
    ?assertEqual(closed, ?M:get_state(compat)),
    ok = ?M:stop(compat),
    ?assertNot(is_process_alive(Pid)).

by_failure_rate(_) ->
    ok = ?M:register_breaker(compat, #{failure_threshold => 100, window_size => 4}),
    [?M:call(compat, fun() -> Result end) || Result <- [{error, 1}, {ok, 1}, {ok, 1}]],
    ?assertEqual(closed, ?M:get_state(compat)),
    ?M:call(compat, fun() -> {error, 2} end),
    ?assertEqual(open, ?M:get_state(compat)),
    ?assertEqual({error, circuit_breaker_open}, ?M:call(compat, fun() -> ct:fail(called) end)).

exceptions_are_results(_) ->
    ok = ?M:register_breaker(compat, #{failure_threshold => 3}),
    {error, {exception, throw, a}} = ?M:call(compat, fun() -> throw(a) end),
    {error, {exception, error, b}} = ?M:call(compat, fun() -> error(b) end, infinity),
    {error, {exception, exit, c}} = ?M:call(compat, fun() -> exit(c) end, 60_000),
    ?assertEqual(open, ?M:get_state(compat)).

fallback(_) ->
    ok = ?M:register_breaker(compat, #{}),
    Call = fun() -> ?M:call_with_fallback(compat, fun() -> {ok, first} end, fun() -> {ok, second} end) end,
    ?assertEqual({ok, first}, Call()),
    ok = ?M:force_open(compat),
    ?assertEqual({ok, second}, Call()).

timeout(_) ->
    ok = ?M:register_breaker(compat, #{}),
    Test = self(),
    ?assertExit(
        {timeout, _},
        ?M:call(compat, fun() -> Test ! {runs, self()}, receive go -> {ok, late} end end, 10)
    ),
    {ok, in_time} = ?M:call(compat, fun() -> {ok, in_time} end, 60_000),
    %% It goes on, and its late answer comes to nobody.
    Pid = receive {runs, Runner} -> Runner end,
    Pid ! go,
    erlmcp_native_test_wait:until(fun() -> not is_process_alive(Pid) end),
    {ok, #{total_successes := 2}} = ?M:get_stats(compat),
    receive Other -> ct:fail(Other) after 0 -> ok end.

statistics(_) ->
    Before = erlang:monotonic_time(millisecond),
    ok = ?M:register_breaker(compat, #{failure_threshold => 10, priority_level => high}),
    [?M:call(compat, fun() -> Result end) || Result <- [{ok, 1}, {ok, 2}, {error, 3}]],
    ok = ?M:force_open(compat),
    ?M:call(compat, fun() -> {ok, 1} end),
    {ok, Stats} = ?M:get_stats(compat),
    ?assertMatch(
        #{
            name := compat,
            state := open,
            total_calls := 4,
            total_successes := 2,
            total_failures := 1,
            total_rejected := 1,
            success_rate := 0.5,
            consecutive_failures := 0,
            consecutive_successes := 0,
            config := #{failure_threshold := 10, success_threshold := 2, priority_level := high}
        },
        Stats
    ),
    ?assert(maps:get(last_state_change, Stats) >= Before - 1).

forced(_) ->
    ok = ?M:register_breaker(compat, #{failure_threshold => 1, timeout => 3_600_000}),
    ok = ?M:force_open(compat),
    ok = ?M:force_open(compat),
    ?assertEqual(open, ?M:get_state(compat)),
    ok = ?M:force_close(compat),
    ?assertEqual(closed, ?M:get_state(compat)),
    ?M:call(compat, fun() -> {error, a} end),
    ?assertEqual(open, ?M:get_state(compat)),
    ok = ?M:reset(compat),
    ?assertEqual(closed, ?M:get_state(compat)).

registered(_) ->
    Mine = erlmcp_native_breaker:new(#{name => not_of_compat}),
    ok = ?M:register_breaker(compat_1, #{failure_threshold => 1}),
    ok = ?M:register_breaker(compat_2, #{failure_threshold => 1}, self()),
    ?assertEqual({error, already_registered}, ?M:register_breaker(compat_1, #{})),
    ?M:call(compat_1, fun() -> {error, a} end),
    ?assertEqual(#{compat_1 => open, compat_2 => closed}, ?M:get_all_states()),
    ?assertMatch(#{compat_1 := #{total_failures := 1}, compat_2 := #{total_failures := 0}}, ?M:get_all_stats()),
    ok = erlmcp_native_breaker:force_open(Mine),
    ok = ?M:reset_all(),
    ?assertEqual(#{compat_1 => closed, compat_2 => closed}, ?M:get_all_states()),
    ?assertEqual(open, erlmcp_native_breaker:state(Mine)),
    ok = ?M:unregister_breaker(compat_1),
    ok = ?M:unregister_breaker(compat_1),
    ?assertEqual(#{compat_2 => closed}, ?M:get_all_states()).

by_pid(_) ->
    [
        begin
            {ok, Pid} = Start(),
            {ok, 1} = ?M:call(Pid, fun() -> {ok, 1} end),
            ?assertEqual(closed, ?M:get_state(Pid)),
            ?assertMatch({ok, #{total_calls := 1}}, ?M:get_stats(Pid)),
            ok = ?M:stop(Pid)
        end
     || Start <- [fun() -> ?M:start_link() end, fun() -> ?M:start_link(#{}) end, fun() -> ?M:start_link(compat, #{}) end]
    ].

not_there(_) ->
    {ok, Pid} = ?M:start_link(),
    ok = ?M:stop(Pid),
    [
        ?assertExit({noproc, _}, Call(Breaker))
     || Breaker <- [compat, Pid],
        Call <- [
            fun(B) -> ?M:call(B, fun() -> ok end) end,
            fun(B) -> ?M:call(B, fun() -> ok end, 1000) end,
            fun(B) -> ?M:call_with_fallback(B, fun() -> ok end, fun() -> ok end) end,
            fun ?M:get_state/1,
            fun ?M:get_stats/1,
            fun ?M:reset/1,
            fun ?M:force_open/1,
            fun ?M:force_close/1
        ]
    ].
