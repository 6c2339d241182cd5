%% Limits on what is in use at once: permits are given back once, by whoever does it first, or by the end of
%% the process that has them, whatever it is at.
-module(erlmcp_native_limiter_permits_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    as_many_as_the_limit/1,
    released_once/1,
    priorities_and_costs/1,
    blocked_after_violations/1,
    owners_end_gives_back/1,
    owners_killed_at_random/1,
    never_more_at_once/1,
    with_gives_back/1,
    owner_of_many/1,
    room_for_keys/1,
    deleted_with_permits/1,
    other_calls/1,
    halts_cleanly/1
]).

-define(m, erlmcp_native_limiter).
-define(REFUSED, {error, rate_limited, 0}).

all() ->
    [
        as_many_as_the_limit,
        released_once,
        priorities_and_costs,
        blocked_after_violations,
        owners_end_gives_back,
        owners_killed_at_random,
        never_more_at_once,
        with_gives_back,
        owner_of_many,
        room_for_keys,
        deleted_with_permits,
        other_calls,
        halts_cleanly
    ].

suite() -> [{timetrap, {minutes, 5}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_testcase(_, _) -> ok.

new(Limit) -> ?m:new(#{algorithm => concurrency, limit => Limit}).

as_many_as_the_limit(_) ->
    Limiter = new(3),
    Permits = [begin {ok, Permit} = ?m:acquire(Limiter, a), Permit end || _ <- [1, 2, 3]],
    ?assertEqual(3, length(lists:usort(Permits))),
    ?assertEqual(?REFUSED, ?m:acquire(Limiter, a)),
    ?assertEqual(?REFUSED, ?m:peek(Limiter, a)),
    ?assertMatch({ok, _}, ?m:acquire(Limiter, fun lists:map/2)),
    ok = ?m:release(Limiter, hd(Permits)),
    ?assertEqual({ok, 1}, ?m:peek(Limiter, a)),
    ?assertMatch({ok, _}, ?m:acquire(Limiter, a)),
    ?assertEqual(?REFUSED, ?m:acquire(Limiter, a)),
    Info = ?m:info(Limiter),
    ?assertMatch(#{algorithm := concurrency, keys := 2, allowed := 5, refused := 2}, Info),
    ?assertNot(is_map_key(per, Info) orelse is_map_key(burst, Info)).

released_once(_) ->
    [Limiter, Other] = [new(2), new(2)],
    {ok, One} = ?m:acquire(Limiter, a),
    {ok, Two} = ?m:acquire(Limiter, a),
    {ok, Theirs} = ?m:acquire(Other, a),
    %% Of another limiter, or made up.
    [ok = ?m:release(Limiter, P) || P <- [Theirs, One + (1 bsl 24), 0, (1 bsl 59) - 1]],
    ?assertEqual(?REFUSED, ?m:peek(Limiter, a)),
    %% By another process.
    Self = self(),
    _ = spawn_link(fun() -> Self ! ?m:release(Limiter, One) end),
    receive ok -> ok end,
    ?assertEqual({ok, 1}, ?m:peek(Limiter, a)),
    {ok, Three} = ?m:acquire(Limiter, a),
    %% What is in its place is not given back by it.
    ok = ?m:release(Limiter, One),
    ?assertEqual(?REFUSED, ?m:peek(Limiter, a)),
    [ok = ?m:release(Limiter, P) || P <- [Two, Three, Three, Two]],
    ?assertEqual({ok, 2}, ?m:peek(Limiter, a)),
    ?assertMatch(#{keys := 0}, ?m:info(Limiter)),
    [?assertError(badarg, ?m:release(Limiter, P)) || P <- [a, <<>>, make_ref(), 1 bsl 60, 1.0]].

priorities_and_costs(_) ->
    Limiter = ?m:new(#{algorithm => concurrency, limit => 10, reserve => #{high => 2}, bypass => none}),
    {ok, _} = ?m:acquire(Limiter, a, #{cost => 8}),
    ?assertEqual(?REFUSED, ?m:acquire(Limiter, a)),
    ?assertEqual({ok, 2}, ?m:peek(Limiter, a, #{priority => high})),
    {ok, Two} = ?m:acquire(Limiter, a, #{cost => 2, priority => high}),
    ?assertEqual(?REFUSED, ?m:acquire(Limiter, a, #{priority => high})),
    ?assertEqual({error, rate_limited, infinity}, ?m:acquire(Limiter, b, #{cost => 9})),
    ?assertEqual({error, rate_limited, infinity}, ?m:acquire(Limiter, b, #{cost => 11, priority => high})),
    ok = ?m:release(Limiter, Two),
    ?assertEqual({ok, 2}, ?m:peek(Limiter, a, #{priority => high})),
    Open = ?m:new(#{algorithm => concurrency, limit => 1, bypass => high}),
    Permits = [begin {ok, P} = ?m:acquire(Open, a, #{priority => high}), P end || _ <- [1, 2, 3]],
    ok = ?m:release(Open, hd(Permits)),
    ok = ?m:release(Open, lists:last(Permits)),
    ?assertEqual(?REFUSED, ?m:acquire(Open, a)),
    ok = ?m:release(Open, lists:nth(2, Permits)),
    ?assertMatch({ok, _}, ?m:acquire(Open, a)).

blocked_after_violations(_) ->
    Block = #{violations => 2, within => 3_600_000, duration => 3_600_000},
    Limiter = ?m:new(#{algorithm => concurrency, limit => 1, block => Block}),
    ok = erlmcp_native_events:subscribe(limiter),
    {ok, Permit} = ?m:acquire(Limiter, a),
    ?assertEqual(?REFUSED, ?m:acquire(Limiter, a)),
    ?assertMatch({error, rate_limited, T} when T >= 3_600_000, ?m:acquire(Limiter, a)),
    receive {erlmcp_native_event, [limiter, blocked], _, #{key := a}} -> ok end,
    ok = ?m:release(Limiter, Permit),
    ?assert(?m:is_blocked(Limiter, a)),
    ?assertMatch({error, rate_limited, T} when T > 3_000_000, ?m:acquire(Limiter, a)),
    ok = ?m:unblock(Limiter, a),
    receive {erlmcp_native_event, [limiter, unblocked], _, #{key := a}} -> ok end,
    ok = erlmcp_native_events:unsubscribe(limiter),
    ?assertMatch({ok, _}, ?m:acquire(Limiter, a)).

owners_end_gives_back(_) ->
    Limiter = new(5),
    Test = self(),
    [
        begin
            {Pid, Ref} = spawn_monitor(fun() ->
                {ok, One} = ?m:acquire(Limiter, a, #{cost => 2}),
                {ok, _} = ?m:acquire(Limiter, a, #{cost => 2}),
                {ok, _} = ?m:acquire(Limiter, b, #{cost => 5}),
                ok = ?m:release(Limiter, One),
                Test ! {one, One},
                receive stop -> exit(Reason) end
            end),
            One = receive {one, P} -> P end,
            ?assertEqual({ok, 3}, ?m:peek(Limiter, a)),
            ?assertEqual(?REFUSED, ?m:peek(Limiter, b)),
            case Reason of
                kill -> exit(Pid, kill);
                _ -> Pid ! stop
            end,
            receive {'DOWN', Ref, process, Pid, _} -> ok end,
            wait_until(fun() -> maps:get(keys, ?m:info(Limiter)) =:= 0 end),
            ok = ?m:release(Limiter, One),
            ?assertEqual({ok, 5}, ?m:peek(Limiter, a)),
            ?assertEqual({ok, 5}, ?m:peek(Limiter, b))
        end
     || Reason <- [normal, kill, crashed, normal]
    ].

%% While they hold one, or acquire, or give back; none is lost and none given out twice.
owners_killed_at_random(_) ->
    Limiter = new(8),
    Loop = fun Loop() ->
        case ?m:acquire(Limiter, hot) of
            {ok, Permit} -> _ = ?m:release(Limiter, Permit);
            ?REFUSED -> erlang:yield()
        end,
        Loop()
    end,
    Priority = process_flag(priority, high),
    ok = kill(1000, [spawn(Loop) || _ <- lists:seq(1, 24)], Loop),
    high = process_flag(priority, Priority),
    wait_until(fun() -> maps:get(keys, ?m:info(Limiter)) =:= 0 end),
    ?assertEqual({ok, 8}, ?m:peek(Limiter, hot)).

kill(0, Pids, _Loop) ->
    Refs = [monitor(process, Pid) || Pid <- Pids],
    [exit(Pid, kill) || Pid <- Pids],
    [receive {'DOWN', Ref, _, _, _} -> ok end || Ref <- Refs],
    ok;
kill(Times, [Pid | Pids], Loop) ->
    %% A while, so that they come to hold something.
    _ = [timer:sleep(1) || Times rem 4 =:= 0],
    exit(Pid, kill),
    kill(Times - 1, Pids ++ [spawn(Loop)], Loop).

never_more_at_once(_) ->
    Limiter = new(3),
    InUse = atomics:new(1, []),
    Work = fun() ->
        Now = atomics:add_get(InUse, 1, 1),
        erlang:yield(),
        _ = atomics:sub(InUse, 1, 1),
        Now
    end,
    Worker = fun() ->
        exit({done, [With || _ <- lists:seq(1, 2000), {ok, With} <- [?m:with(Limiter, a, Work)]]})
    end,
    Pids = [spawn_monitor(Worker) || _ <- lists:seq(1, 16)],
    All = lists:append([
        receive {'DOWN', Ref, process, Pid, {done, Seen}} -> Seen end
     || {Pid, Ref} <- Pids
    ]),
    ?assert(length(All) > 3),
    ?assert(lists:max(All) =< 3, lists:max(All)),
    ?assertEqual({ok, 3}, ?m:peek(Limiter, a)).

with_gives_back(_) ->
    Limiter = new(1),
    ?assertEqual({ok, done}, ?m:with(Limiter, a, fun() -> ?REFUSED = ?m:peek(Limiter, a), done end)),
    Nested = fun() -> ?m:with(Limiter, a, fun() -> error(called) end, #{cost => 1}) end,
    ?assertEqual({ok, ?REFUSED}, ?m:with(Limiter, a, Nested)),
    ?assertError(oops, ?m:with(Limiter, a, fun() -> error(oops) end)),
    ?assertExit(oops, ?m:with(Limiter, a, fun() -> exit(oops) end)),
    ?assertEqual(oops, catch ?m:with(Limiter, a, fun() -> throw(oops) end)),
    ?assertEqual({ok, 1}, ?m:peek(Limiter, a)),
    ?assertEqual({ok, ok}, ?m:with(Limiter, a, fun() -> ?m:delete(Limiter) end)).

owner_of_many(_) ->
    Limiter = new(100_000),
    {Pid, Ref} = spawn_monitor(fun() ->
        [{ok, _} = ?m:acquire(Limiter, N rem 1000) || N <- lists:seq(1, 100_000)],
        exit(held)
    end),
    receive {'DOWN', Ref, process, Pid, held} -> ok end,
    wait_until(fun() -> maps:get(keys, ?m:info(Limiter)) =:= 0 end),
    ?assertMatch(#{allowed := 100_000, refused := 0}, ?m:info(Limiter)).

%% What is held is never forgotten.
room_for_keys(_) ->
    Limiter = ?m:new(#{algorithm => concurrency, limit => 2, max_keys => 2}),
    {ok, A} = ?m:acquire(Limiter, a),
    {ok, _} = ?m:acquire(Limiter, b),
    ?assertEqual(?REFUSED, ?m:acquire(Limiter, c)),
    {ok, _} = ?m:acquire(Limiter, b),
    ok = ?m:release(Limiter, A),
    ?assertMatch({ok, _}, ?m:acquire(Limiter, c)),
    ?assertEqual(?REFUSED, ?m:acquire(Limiter, a)),
    ?assertEqual(?REFUSED, ?m:acquire(Limiter, b)),
    ?assertMatch(#{keys := 2, forgiven := 0}, ?m:info(Limiter)).

deleted_with_permits(_) ->
    Limiter = new(1),
    {ok, Permit} = ?m:acquire(Limiter, a),
    {Pid, Ref} = spawn_monitor(fun() ->
        {ok, _} = ?m:acquire(Limiter, b),
        receive stop -> ok end
    end),
    wait_until(fun() -> ?m:peek(Limiter, b) =:= ?REFUSED end),
    ok = ?m:delete(Limiter),
    ?assertError(badarg, ?m:release(Limiter, Permit)),
    Pid ! stop,
    receive {'DOWN', Ref, process, Pid, normal} -> ok end.

other_calls(_) ->
    Limiter = new(1),
    [
        ?assertError(badarg, Call())
     || Call <- [
            fun() -> ?m:check(Limiter, a) end,
            fun() -> ?m:check(Limiter, a, #{cost => 2}) end,
            fun() -> ?m:reserve(Limiter, a) end,
            fun() -> ?m:reset(Limiter, a) end,
            fun() -> ?m:check_all([{Limiter, a}]) end,
            fun() -> ?m:with(Limiter, a, fun(_) -> ok end) end
        ]
    ],
    ?assertEqual({ok, 1}, ?m:peek(Limiter, a)),
    ok = ?m:unblock(Limiter, a).

%% With processes that hold permits, and others that ask.
halts_cleanly(_) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Eval =
        "L = erlmcp_native_limiter:new(#{algorithm => concurrency, limit => 5}),"
        "F = fun F() -> erlmcp_native_limiter:with(L, a, fun() -> ok end), F() end,"
        "[spawn(F) || _ <- lists:seq(1, 20)], timer:sleep(100), halt(17).",
    Port = open_port({spawn_executable, Erl}, [{args, ["-noshell", "-eval", Eval, "-pa" | code:get_path()]}, exit_status]),
    receive {Port, {exit_status, Status}} -> ?assertEqual(17, Status) end.

wait_until(Is) ->
    case Is() of
        true ->
            ok;
        false ->
            timer:sleep(10),
            wait_until(Is)
    end.
