%% The door to circuit breakers. When they open and close is tested in Rust, by a clock of its own; here it
%% is what Erlang sees. What must wait uses no time, or an endless one.
-module(erlmcp_native_breaker_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    failures_in_a_row/1,
    failure_rate/1,
    slow_calls/1,
    time_window/1,
    what_is_a_failure/1,
    exceptions_pass_through/1,
    outcome_is_asked/1,
    outcome_is_wrong/1,
    refused_for_so_long/1,
    fallback/1,
    the_wait_ends/1,
    the_wait_grows/1,
    probes_close_it/1,
    slow_probe/1,
    told_later/1,
    stale_tokens/1,
    tokens_of_others/1,
    forced/1,
    disabled/1,
    names/1,
    ends_with_its_owner/1,
    belongs_to_nobody/1,
    deleted_meanwhile/1,
    events/1,
    metrics/1,
    wrong_options/1,
    wrong_arguments/1,
    shell_explains/1,
    properties/1
]).

-define(M, erlmcp_native_breaker).
-define(HOUR, 3_600_000).

all() ->
    [
        failures_in_a_row,
        failure_rate,
        slow_calls,
        time_window,
        what_is_a_failure,
        exceptions_pass_through,
        outcome_is_asked,
        outcome_is_wrong,
        refused_for_so_long,
        fallback,
        the_wait_ends,
        the_wait_grows,
        probes_close_it,
        slow_probe,
        told_later,
        stale_tokens,
        tokens_of_others,
        forced,
        disabled,
        names,
        ends_with_its_owner,
        belongs_to_nobody,
        deleted_meanwhile,
        events,
        metrics,
        wrong_options,
        wrong_arguments,
        shell_explains,
        properties
    ].

suite() -> [{timetrap, {minutes, 5}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_testcase(_, _) -> ok.

%%% What opens it

failures_in_a_row(_) ->
    [
        begin
            B = ?M:new(#{failures => N, open => ?HOUR}),
            run(B, lists:duplicate(N - 1, failure) ++ [ok]),
            run(B, lists:duplicate(N - 1, failure)),
            ?assertEqual(closed, ?M:state(B)),
            run(B, [failure]),
            ?assertEqual(open, ?M:state(B)),
            ?assertMatch({error, {circuit_open, _}}, ?M:call(B, fun() -> ct:fail(called) end)),
            Counts = #{calls => 2 * N, failures => 2 * N - 1, refused => 1},
            ?assertEqual(Counts, maps:with(maps:keys(Counts), ?M:info(B)))
        end
     || N <- [1, 2, 5, 100]
    ],
    Never = ?M:new(#{failures => infinity}),
    run(Never, lists:duplicate(1000, failure)),
    ?assertMatch(#{state := closed, failures_in_a_row := 1000}, ?M:info(Never)),
    Default = ?M:new(),
    run(Default, lists:duplicate(4, failure)),
    ?assertEqual(closed, ?M:state(Default)),
    run(Default, [failure]),
    ?assertEqual(open, ?M:state(Default)).

failure_rate(_) ->
    %% Of the last 10 calls, from 4 on.
    New = fun() ->
        ?M:new(#{failure_rate => 0.5, window => {count, 10}, minimum_calls => 4, open => ?HOUR})
    end,
    B = New(),
    run(B, [failure, failure, failure]),
    ?assertEqual(closed, ?M:state(B)),
    %% A success never opens it.
    run(B, [ok]),
    ?assertEqual(closed, ?M:state(B)),
    run(B, [failure]),
    ?assertEqual(open, ?M:state(B)),
    C = New(),
    run(C, lists:duplicate(6, ok) ++ lists:duplicate(4, failure)),
    ?assertMatch(
        #{state := closed, window := #{calls := 10, failures := 4, failure_rate := 0.4}}, ?M:info(C)
    ),
    run(C, [failure]),
    ?assertMatch(#{state := open, transitions := #{open := 1, closed := 0}}, ?M:info(C)),
    %% Not by failures in a row, unless asked for.
    D = ?M:new(#{failure_rate => 1, minimum_calls => 100}),
    run(D, lists:duplicate(99, failure)),
    ?assertEqual(closed, ?M:state(D)),
    run(D, [failure]),
    ?assertEqual(open, ?M:state(D)),
    E = ?M:new(#{failure_rate => 1, failures => 2}),
    run(E, [failure, failure]),
    ?assertEqual(open, ?M:state(E)).

slow_calls(_) ->
    B = ?M:new(#{slow_call => 20, slow_rate => 0.5, minimum_calls => 2}),
    Slow = fun() -> timer:sleep(50) end,
    ok = ?M:call(B, fun() -> ok end),
    ?assertMatch(#{state := closed, failures := 0}, ?M:info(B)),
    ok = ?M:call(B, Slow),
    %% Whether or not the machine stood still for 20 ms at the first one.
    ?assertMatch(#{state := open, failures := 0, calls := 2}, ?M:info(B)),
    Quick = ?M:new(#{slow_call => ?HOUR, minimum_calls => 1}),
    ok = ?M:call(Quick, Slow),
    ?assertMatch(#{state := closed, window := #{calls := 1, slow := 0, slow_rate := 0.0}}, ?M:info(Quick)).

time_window(_) ->
    B = ?M:new(#{failure_rate => 1.0, window => {time, ?HOUR}, minimum_calls => 3, open => ?HOUR}),
    run(B, [failure, failure]),
    ?assertEqual(closed, ?M:state(B)),
    run(B, [failure]),
    ?assertEqual(open, ?M:state(B)),
    C = ?M:new(#{failure_rate => 1.0, window => {time, 40}, minimum_calls => 1_000_00}),
    run(C, lists:duplicate(100, failure)),
    until(fun() -> maps:get(calls, maps:get(window, ?M:info(C))) =:= 0 end),
    ?assertMatch(#{calls := 100, failures := 100}, ?M:info(C)).

%%% What a call is

what_is_a_failure(_) ->
    Is = fun(Result) ->
        B = ?M:new(#{failures => 1}),
        ?assertEqual(Result, ?M:call(B, fun() -> Result end)),
        ?assertEqual(Result, ?M:call(?M:new(), fun() -> Result end, #{})),
        ?M:state(B) =:= open
    end,
    ?assertEqual([], [R || R <- [error, {error}, {error, a}, {error, a, 1}], not Is(R)]),
    ?assertEqual([], [
        R
     || R <- [ok, {ok, error}, {}, [], [error], #{error => 1}, errors, {errors, 1}, <<"error">>, self()],
        Is(R)
    ]).

exceptions_pass_through(_) ->
    [
        begin
            B = ?M:new(#{failures => 1}),
            ?assertEqual(raised(fun() -> raise(Class) end), raised(fun() -> Call(B, fun() -> raise(Class) end) end)),
            ?assertMatch(#{state := open, failures := 1, calls := 1}, ?M:info(B))
        end
     || Class <- [error, exit, throw],
        Call <- [
            fun ?M:call/2,
            fun(B, F) -> ?M:call(B, F, #{}) end,
            fun(B, F) -> ?M:call(B, F, #{outcome => fun(_, _) -> failure end}) end
        ]
    ].

raise(Class) -> erlang:raise(Class, because, [{here, there, 1, []}]).

raised(Fun) ->
    try Fun() of
        _ -> ct:fail(returned)
    catch
        Class:Reason:Stack -> {Class, Reason, hd(Stack)}
    end.

outcome_is_asked(_) ->
    Test = self(),
    Outcome = fun(Class, Value) ->
        Test ! {asked, Class, Value},
        case Value of
            bad -> failure;
            not_mine -> ignored;
            _ -> ok
        end
    end,
    Asked = fun(Expected) -> receive {asked, Class, Value} -> ?assertEqual(Expected, {Class, Value}) end end,
    Count = fun(B) -> maps:with([calls, failures, ignored, state], ?M:info(B)) end,
    B = ?M:new(#{failures => 1, outcome => Outcome}),
    {error, fine} = ?M:call(B, fun() -> {error, fine} end),
    Asked({returned, {error, fine}}),
    not_mine = ?M:call(B, fun() -> not_mine end, #{}),
    Asked({returned, not_mine}),
    not_mine = (catch ?M:call(B, fun() -> throw(not_mine) end)),
    Asked({throw, not_mine}),
    ?assertExit(normal, ?M:call(B, fun() -> exit(normal) end)),
    Asked({exit, normal}),
    ?assertEqual(#{calls => 2, failures => 0, ignored => 2, state => closed}, Count(B)),
    %% That of the call comes first.
    bad = ?M:call(B, fun() -> bad end, #{outcome => fun(returned, bad) -> ok end}),
    ?assertEqual(#{calls => 3, failures => 0, ignored => 2, state => closed}, Count(B)),
    ?assertError(bad, ?M:call(B, fun() -> error(bad) end)),
    Asked({error, bad}),
    ?assertEqual(#{calls => 4, failures => 1, ignored => 2, state => open}, Count(B)),
    C = ?M:new(#{failures => 1}),
    error = ?M:call(C, fun() -> error end, #{outcome => fun(_, _) -> ok end}),
    ?assertEqual(closed, ?M:state(C)),
    receive {asked, _, _} = More -> ct:fail(More) after 0 -> ok end.

%% The call has ended all the same, as a failure: a probe's place is not lost.
outcome_is_wrong(_) ->
    [
        begin
            B = half_open(#{outcome => Outcome, probes => 2, successes => 1}),
            ?assertEqual({error, Reason}, class_and_reason(fun() -> ?M:call(B, Fun) end)),
            ?assertMatch(#{state := half_open, probes := #{running := 0, failed := 1}}, ?M:info(B))
        end
     || {Outcome, Reason} <- [
            {fun(_, _) -> 'maybe' end, {bad_outcome, 'maybe'}},
            {fun(_, _) -> error(oops) end, oops}
        ],
        Fun <- [fun() -> 1 end, fun() -> exit(a) end]
    ].

class_and_reason(Fun) ->
    try Fun() of
        Result -> {returned, Result}
    catch
        Class:Reason -> {Class, Reason}
    end.

%%% Refusal

refused_for_so_long(_) ->
    B = ?M:new(#{failures => 1, open => ?HOUR}),
    run(B, [failure]),
    {error, {circuit_open, Left}} = ?M:call(B, fun() -> ct:fail(called) end),
    ?assert(Left > 0 andalso Left =< ?HOUR),
    until(fun() ->
        {error, {circuit_open, Less}} = ?M:allow(B),
        ?assert(Less =< Left),
        Less < Left
    end),
    ?M:force_open(B),
    ?assertEqual({error, {circuit_open, infinity}}, ?M:allow(B)),
    ?assertEqual({error, {circuit_open, infinity}}, ?M:call(B, fun() -> 1 end)),
    ?assertMatch(#{retry_after := infinity}, ?M:info(B)).

fallback(_) ->
    B = ?M:new(),
    Fun = fun() -> from_fun end,
    Called = fun() -> from_fallback end,
    from_fun = ?M:call_with_fallback(B, Fun, Called),
    from_fun = ?M:call(B, Fun, #{fallback => Called}),
    %% What fails is not what is refused.
    {error, a} = ?M:call_with_fallback(B, fun() -> {error, a} end, Called),
    ?M:force_open(B),
    from_fallback = ?M:call_with_fallback(B, Fun, Called),
    from_fallback = ?M:call(B, Fun, #{fallback => Called}),
    {circuit_open, infinity} = ?M:call_with_fallback(B, Fun, fun(Refusal) -> Refusal end),
    ?assertError(here, ?M:call_with_fallback(B, Fun, fun() -> error(here) end)),
    ?assertMatch(#{refused := 4, calls := 3}, ?M:info(B)).

%%% Half-open

the_wait_ends(_) ->
    B = ?M:new(#{failures => 1, open => 50}),
    run(B, [failure]),
    until(fun() -> maps:get(retry_after, ?M:info(B)) =:= 0 end),
    %% Nobody has called.
    ?assertEqual(open, ?M:state(B)),
    here = ?M:call(B, fun() ->
        ?assertEqual(half_open, ?M:state(B)),
        here
    end),
    ?assertEqual(closed, ?M:state(B)),
    Never = ?M:new(#{failures => 1, open => (1 bsl 40) - 1}),
    run(Never, [failure]),
    ?assertMatch({error, _}, ?M:allow(Never)).

the_wait_grows(_) ->
    B = ?M:new(#{failures => 1, open => #{wait => 0, factor => 2, max => 0, jitter => 1}}),
    run(B, [failure]),
    [run(B, [failure]) || _ <- lists:seq(1, 10)],
    ?assertMatch(#{transitions := #{open := 11, half_open := 10}}, ?M:info(B)),
    %% Ten milliseconds, and then an hour, once more than that however late this process runs.
    Grows = ?M:new(#{failures => 1, open => #{wait => 10, factor => 360_000}}),
    run(Grows, [failure]),
    until(fun() -> ?M:call(Grows, fun() -> error end) =:= error end),
    #{retry_after := Left} = ?M:info(Grows),
    ?assert(Left > 1000 andalso Left =< 3_600_000),
    ?M:force_open(Grows, 0),
    run(Grows, [ok, failure]),
    %% It was closed: the wait begins anew.
    #{retry_after := Short} = ?M:info(Grows),
    ?assert(Short =< 10).

probes_close_it(_) ->
    [
        begin
            B = half_open(#{probes => Probes, successes => Successes, open => ?HOUR}),
            Tokens = [token(B) || _ <- lists:seq(1, Probes)],
            ?assertMatch({error, {circuit_open, _}}, ?M:allow(B)),
            {Failing, Succeeding} = lists:split(Probes - Successes, Tokens),
            [?assertEqual(ok, ?M:failure(B, T)) || T <- Failing],
            [
                begin
                    ?assertEqual(half_open, ?M:state(B)),
                    ?assertMatch({error, {circuit_open, _}}, ?M:allow(B)),
                    ?assertEqual(ok, ?M:success(B, T))
                end
             || T <- Succeeding
            ],
            ?assertEqual(closed, ?M:state(B)),
            %% One failure more is one too many.
            ?M:force_open(B, 0),
            More = [token(B) || _ <- lists:seq(1, Probes)],
            {Fail, [Last | Rest]} = lists:split(Probes - Successes, More),
            [?assertEqual(ok, ?M:failure(B, T)) || T <- Fail],
            ?assertEqual(half_open, ?M:state(B)),
            ?assertEqual(ok, ?M:failure(B, Last)),
            ?assertEqual(open, ?M:state(B)),
            [?assertEqual(stale, ?M:success(B, T)) || T <- Rest],
            ?assertEqual(open, ?M:state(B))
        end
     || {Probes, Successes} <- [{1, 1}, {2, 1}, {2, 2}, {10, 6}, {1000, 1000}]
    ],
    %% What was ignored makes place.
    Ignoring = half_open(#{}),
    [?assertEqual(ok, ?M:ignore(Ignoring, token(Ignoring))) || _ <- lists:seq(1, 10)],
    ?assertEqual(half_open, ?M:state(Ignoring)).

slow_probe(_) ->
    B = half_open(#{slow_call => 10, open => ?HOUR}),
    ok = ?M:call(B, fun() -> timer:sleep(30) end),
    ?assertMatch(#{state := open, slow := 1, failures := 0}, ?M:info(B)).

%%% Tokens

told_later(_) ->
    B = ?M:new(#{failures => 2}),
    [One, Two, Three, Four] = [token(B) || _ <- [1, 2, 3, 4]],
    ok = ?M:failure(B, Two),
    ok = ?M:success(B, One),
    ok = ?M:ignore(B, Four),
    Test = self(),
    %% By another process.
    spawn(fun() -> Test ! {told, ?M:failure(B, Three)} end),
    receive {told, ok} -> ok end,
    ?assertMatch(#{calls := 3, failures := 2, ignored := 1, state := closed}, ?M:info(B)).

stale_tokens(_) ->
    B = ?M:new(#{failures => 1, open => 0}),
    [A1, A2, A3, A4] = [token(B) || _ <- [1, 2, 3, 4]],
    ok = ?M:failure(B, A1),
    %% Open.
    stale = ?M:success(B, A2),
    Probe = token(B),
    %% Half-open.
    stale = ?M:failure(B, A3),
    half_open = ?M:state(B),
    ok = ?M:success(B, Probe),
    stale = ?M:success(B, Probe),
    stale = ?M:failure(B, Probe),
    %% Closed once more.
    stale = ?M:failure(B, A4),
    ?assertMatch(#{state := closed, stale := 5, calls := 2}, ?M:info(B)),
    Before = token(B),
    ok = ?M:reset(B),
    stale = ?M:failure(B, Before),
    closed = ?M:state(B).

tokens_of_others(_) ->
    Breakers = [?M:new(#{failures => 1}) || _ <- lists:seq(1, 20)],
    [
        ?assertError(badarg, ?M:failure(B, Token))
     || B <- Breakers, C <- Breakers, B =/= C, Token <- [token(C)]
    ],
    Half = [half_open(#{}) || _ <- lists:seq(1, 20)],
    Tokens = [{B, token(B)} || B <- Half],
    [
        begin
            ?assertError(badarg, ?M:success(B, Token)),
            ?assertError(badarg, ?M:failure(B, Token))
        end
     || B <- Half, {C, Token} <- Tokens, B =/= C
    ],
    ?assertEqual([half_open], lists:usort([?M:state(B) || B <- Half])),
    [?assertEqual(ok, ?M:success(B, Token)) || {B, Token} <- Tokens].

%%% Told what to be

forced(_) ->
    B = ?M:new(#{failures => 2, open => ?HOUR}),
    run(B, [failure]),
    ok = ?M:force_close(B),
    ?assertMatch(#{state := closed, failures_in_a_row := 1}, ?M:info(B)),
    ok = ?M:reset(B),
    ?assertMatch(#{state := closed, failures_in_a_row := 0, transitions := #{closed := 0}}, ?M:info(B)),
    run(B, [failure, failure]),
    ok = ?M:force_close(B),
    ?assertMatch(#{state := closed, failures_in_a_row := 0, transitions := #{closed := 1}}, ?M:info(B)),
    ok = ?M:force_open(B, 0),
    ?assertEqual(open, ?M:state(B)),
    run(B, [ok]),
    ?assertEqual(closed, ?M:state(B)),
    ok = ?M:force_open(B, infinity),
    ok = ?M:force_open(B, ?HOUR),
    {error, {circuit_open, Left}} = ?M:allow(B),
    ?assert(is_integer(Left) andalso Left =< ?HOUR),
    ok = ?M:reset(B),
    run(B, [ok]).

disabled(_) ->
    B = ?M:new(#{failures => 1}),
    run(B, [failure]),
    ok = ?M:disable(B),
    run(B, lists:duplicate(10, failure) ++ [ok]),
    ?assertMatch(#{state := disabled, calls := 12, failures := 11, refused := 0}, ?M:info(B)),
    ok = ?M:force_close(B),
    ?assertEqual(closed, ?M:state(B)),
    run(B, [failure]),
    ?assertEqual(open, ?M:state(B)),
    ok = ?M:disable(B),
    ok = ?M:force_open(B),
    ?assertMatch({error, _}, ?M:allow(B)).

%%% Life

names(_) ->
    B = ?M:new(#{name => a_breaker}),
    ?assertEqual(B, ?M:whereis(a_breaker)),
    ?assert(lists:member(a_breaker, ?M:names())),
    1 = ?M:call(a_breaker, fun() -> 1 end),
    Token = token(a_breaker),
    ok = ?M:success(B, Token),
    ?assertMatch(#{calls := 2, name := a_breaker, owner := Self} when Self =:= self(), ?M:info(a_breaker)),
    ?assertError(badarg, ?M:new(#{name => a_breaker})),
    Rate = erlmcp_native_rate:new(#{name => a_breaker}),
    ?assertError(badarg, ?M:state(Rate)),
    ok = ?M:delete(a_breaker),
    ?assertEqual(undefined, ?M:whereis(a_breaker)),
    ?assertNot(lists:member(a_breaker, ?M:names())),
    ?assertError(badarg, ?M:state(a_breaker)),
    Next = ?M:new(#{name => a_breaker}),
    ?assertNotEqual(B, Next),
    ?assertMatch(#{calls := 0}, ?M:info(a_breaker)),
    %% A call of the one that has gone is none of the next one's.
    Old = token(a_breaker),
    ok = ?M:delete(Next),
    ?M:new(#{name => a_breaker, failures => 1}),
    ?assertError(badarg, ?M:failure(a_breaker, Old)),
    ?assertEqual(closed, ?M:state(a_breaker)).

ends_with_its_owner(_) ->
    Test = self(),
    {Pid, Ref} = spawn_monitor(fun() ->
        Test ! {breaker, ?M:new(#{name => owned_breaker, outcome => fun(_, _) -> ok end})},
        receive stop -> ok end
    end),
    B = receive {breaker, Made} -> Made end,
    1 = ?M:call(B, fun() -> 1 end),
    Pid ! stop,
    receive {'DOWN', Ref, process, Pid, normal} -> ok end,
    until(fun() -> ?M:whereis(owned_breaker) =:= undefined end),
    ?assertError(badarg, ?M:call(B, fun() -> 1 end)),
    Gone = ?M:new(#{owner => Pid}),
    ?assertError(badarg, ?M:state(Gone)).

belongs_to_nobody(_) ->
    Test = self(),
    {Pid, Ref} = spawn_monitor(fun() -> Test ! {breaker, ?M:new(#{owner => none})} end),
    B = receive {breaker, Made} -> Made end,
    receive {'DOWN', Ref, process, Pid, normal} -> ok end,
    ?assertMatch(#{owner := none, name := undefined}, ?M:info(B)),
    ok = ?M:delete(B),
    ?assertError(badarg, ?M:delete(B)).

%% Who calls through it is not disturbed.
deleted_meanwhile(_) ->
    [
        begin
            B = Make(),
            Call = fun(Result) -> ?M:call(B, fun() -> ?M:delete(B), Result() end) end,
            ?assertEqual(Expected, class_and_reason(fun() -> Call(Fun) end))
        end
     || Make <- [fun() -> ?M:new(#{}) end, fun() -> half_open(#{}) end],
        {Fun, Expected} <- [
            {fun() -> 1 end, {returned, 1}},
            {fun() -> error end, {returned, error}},
            {fun() -> exit(a) end, {exit, a}}
        ]
    ].

%%% What others are told

events(_) ->
    ok = erlmcp_native_events:subscribe(breaker),
    B = ?M:new(#{name => told_breaker, failures => 1, open => 0}),
    Told = fun() ->
        receive
            {erlmcp_native_event, [breaker, state], #{system_time := Time}, Metadata} when is_integer(Time) ->
                Metadata
        end
    end,
    Expect = fun(Name, From, To, Cause) ->
        ?assertEqual(#{breaker => Name, from => From, to => To, cause => Cause}, Told())
    end,
    run(B, [failure]),
    Expect(told_breaker, closed, open, failures),
    run(B, [failure]),
    Expect(told_breaker, open, half_open, waited),
    Expect(told_breaker, half_open, open, probes_failed),
    run(B, [ok]),
    Expect(told_breaker, open, half_open, waited),
    Expect(told_breaker, half_open, closed, probes_succeeded),
    ok = ?M:reset(B),
    ok = ?M:force_close(B),
    ok = ?M:force_open(B),
    Expect(told_breaker, closed, open, forced),
    ok = ?M:force_open(B),
    ok = ?M:disable(B),
    Expect(told_breaker, open, disabled, forced),
    ok = ?M:reset(B),
    Expect(told_breaker, disabled, closed, forced),
    Rate = ?M:new(#{failure_rate => 1, minimum_calls => 1}),
    run(Rate, [failure]),
    Expect(Rate, closed, open, failure_rate),
    Slow = ?M:new(#{slow_call => 0, minimum_calls => 1}),
    ?M:call(Slow, fun() -> timer:sleep(30) end),
    Expect(Slow, closed, open, slow_rate),
    ok = erlmcp_native_events:unsubscribe(breaker),
    receive Other -> ct:fail(Other) after 0 -> ok end.

metrics(_) ->
    B = ?M:new(#{name => measured_breaker, failures => 2, slow_call => ?HOUR, minimum_calls => 100_0, window => {time, 1000}}),
    run(B, [ok, ok, ok, failure, ignored, failure]),
    _ = ?M:allow(B),
    Families = erlmcp_native_breaker_metrics:collect(),
    Values = fun(Name) ->
        {_, _, _, _, _, _, Series} = lists:keyfind(Name, 1, Families),
        maps:from_list([
            {[V || {K, V} <- Labels, K =/= <<"breaker">>], Value}
         || {Labels, Value, _, _} <- Series, lists:member({<<"breaker">>, <<"measured_breaker">>}, Labels)
        ])
    end,
    ?assertEqual(
        #{[<<"closed">>] => 0, [<<"open">>] => 1, [<<"half_open">>] => 0, [<<"disabled">>] => 0},
        Values(<<"erlmcp_circuit_breaker_state">>)
    ),
    ?assertEqual(
        #{[<<"closed">>] => 0, [<<"open">>] => 1, [<<"half_open">>] => 0, [<<"disabled">>] => 0},
        Values(<<"erlmcp_circuit_breaker_transitions">>)
    ),
    ?assertEqual(
        #{[<<"success">>] => 3, [<<"failure">>] => 2, [<<"ignored">>] => 1, [<<"refused">>] => 1},
        Values(<<"erlmcp_circuit_breaker_calls">>)
    ),
    ?assertEqual(#{[] => 0}, Values(<<"erlmcp_circuit_breaker_slow_calls">>)),
    ?assertEqual(#{[] => 0}, Values(<<"erlmcp_circuit_breaker_lost_probes">>)),
    %% Among all.
    Text = erlmcp_native_nif:metrics_encode(text, erlmcp_native_metrics:collect()),
    Line = <<"erlmcp_circuit_breaker_state{breaker=\"measured_breaker\",state=\"open\"} 1\n">>,
    ?assertNotEqual(nomatch, binary:match(Text, Line)),
    ok = ?M:delete(B),
    ?assertEqual(nomatch, binary:match(erlmcp_native_nif:metrics_encode(text, erlmcp_native_metrics:collect()), <<"measured_breaker">>)).

%%% Wrong

wrong_options(_) ->
    Wrong = [
        [], a,
        #{nosuch => 1}, #{name => undefined}, #{name => "a"}, #{owner => a},
        #{failures => 0}, #{failures => -1}, #{failures => 1.0}, #{failures => 100_001}, #{failures => a},
        #{failure_rate => 0}, #{failure_rate => 0.0}, #{failure_rate => 1.1}, #{failure_rate => a},
        #{failure_rate => -0.5}, #{slow_call => -1}, #{slow_call => 1 bsl 40}, #{slow_call => 1.0},
        #{slow_rate => 0.5}, #{slow_call => 1, slow_rate => 0},
        #{window => {count, 10}}, #{minimum_calls => 1},
        #{failure_rate => 1, window => {count, 0}}, #{failure_rate => 1, window => {count, 100_001}},
        #{failure_rate => 1, window => {time, 0}}, #{failure_rate => 1, window => {days, 1}},
        #{failure_rate => 1, window => 10}, #{failure_rate => 1, minimum_calls => 0},
        #{failure_rate => 1, window => {count, 10}, minimum_calls => 11},
        #{open => -1}, #{open => infinity}, #{open => 1 bsl 40}, #{open => #{}}, #{open => #{factor => 2}},
        #{open => #{wait => 1, factor => 0.9}}, #{open => #{wait => 1, jitter => 1.1}},
        #{open => #{wait => 1, jitter => -0.1}}, #{open => #{wait => 2, max => 1}},
        #{open => #{wait => 1, nosuch => 1}}, #{open => #{wait => 1, factor => 1.0e7}},
        #{probes => 0}, #{probes => 1_001}, #{successes => 2}, #{probes => 2, successes => 3},
        #{successes => 0}, #{probe_timeout => -1}, #{probe_timeout => a},
        #{outcome => fun() -> ok end}, #{outcome => a}
    ],
    [?assertError(badarg, ?M:new(Opts), Opts) || Opts <- Wrong],
    Right = [
        #{}, #{failures => 100_000}, #{failure_rate => 1}, #{failure_rate => 1.0e-9},
        #{failure_rate => 0.5, window => {count, 1}}, #{failure_rate => 0.5, window => {count, 100_000}},
        #{failure_rate => 0.5, window => {time, 1}}, #{slow_call => 0}, #{slow_call => (1 bsl 40) - 1},
        #{open => 0}, #{open => #{wait => 5, max => 5, factor => 1, jitter => 0}}, #{probes => 1_000},
        #{probes => 3, successes => 1}, #{probe_timeout => infinity}, #{probe_timeout => 0},
        #{outcome => fun lists:member/2}, #{owner => none}
    ],
    [?assertEqual(ok, ?M:delete(?M:new(Opts)), Opts) || Opts <- Right].

wrong_arguments(_) ->
    B = ?M:new(),
    Token = token(B),
    Fun = fun() -> 1 end,
    No = [0, -1, B + 1, 1 bsl 70, nosuch, undefined, "x", self(), make_ref(), 1.5, {}, #{}],
    [
        ?assertError(badarg, Call(Other))
     || Other <- No,
        Call <- [
            fun(X) -> ?M:call(X, Fun) end,
            fun(X) -> ?M:call(X, Fun, #{}) end,
            fun(X) -> ?M:call_with_fallback(X, Fun, Fun) end,
            fun ?M:allow/1,
            fun(X) -> ?M:allow(X, #{}) end,
            fun(X) -> ?M:success(X, Token) end,
            fun(X) -> ?M:failure(X, Token) end,
            fun(X) -> ?M:ignore(X, Token) end,
            fun ?M:state/1,
            fun ?M:info/1,
            fun ?M:reset/1,
            fun ?M:force_open/1,
            fun(X) -> ?M:force_open(X, 1) end,
            fun ?M:force_close/1,
            fun ?M:disable/1,
            fun ?M:delete/1
        ]
    ],
    [
        begin
            ?assertError(badarg, ?M:success(B, Other)),
            ?assertError(badarg, ?M:failure(B, Other)),
            ?assertError(badarg, ?M:ignore(B, Other))
        end
     || Other <- [Token + (1 bsl 57), 1 bsl 70, -(1 bsl 70), a, 1.0, "x", self(), {Token}, [], #{}]
    ],
    [
        begin
            ?assertError(badarg, ?M:call(B, Other)),
            ?assertError(badarg, ?M:call(B, Other, #{}))
        end
     || Other <- [a, 1, fun(_) -> 1 end, {lists, seq, []}]
    ],
    [
        ?assertError(badarg, ?M:call(B, Fun, Opts))
     || Opts <- [[], a, #{nosuch => 1}, #{fallback => a}, #{fallback => fun(_, _) -> 1 end}, #{outcome => Fun}]
    ],
    [
        ?assertError(badarg, ?M:allow(B, Opts))
     || Opts <- [[], a, #{caller => a}, #{nosuch => 1}]
    ],
    [?assertError(badarg, ?M:force_open(B, Time)) || Time <- [-1, 1 bsl 40, a, 1.0, closed, reset]],
    ?assertError(badarg, ?M:whereis("a")),
    ok = ?M:success(B, Token),
    ?assertMatch(#{state := closed, calls := 1, stale := 0}, ?M:info(B)).

shell_explains(_) ->
    B = ?M:new(),
    ?assertMatch(#{1 := "not a breaker" ++ _}, explained(fun() -> ?M:state(B + 1) end)),
    ?assertMatch(#{2 := "not a token" ++ _}, explained(fun() -> ?M:failure(B, 1 bsl 70) end)),
    ?assertMatch(#{2 := "not a fun" ++ _}, explained(fun() -> ?M:call(B, a) end)),
    ?assertMatch(#{2 := "not infinity" ++ _}, explained(fun() -> ?M:force_open(B, -1) end)),
    ?assertMatch(#{1 := "slow_rate needs" ++ _}, explained(fun() -> ?M:new(#{slow_rate => 1}) end)),
    #{1 := Option} = explained(fun() -> ?M:new(#{size => 1}) end),
    ?assertEqual("no such option or value: {size,1}", lists:flatten(Option)).

explained(Call) ->
    try Call() of
        Answer -> {no_error, Answer}
    catch
        error:badarg:Stack ->
            [{?M, _, _, _} | _] = Stack,
            ?M:format_error(badarg, Stack)
    end.

properties(_) -> erlmcp_native_test_proper:check(prop_breaker).

%%% Help

run(B, Outcomes) ->
    [
        case Outcome of
            ok -> ok = ?M:call(B, fun() -> ok end);
            failure -> error = ?M:call(B, fun() -> error end);
            ignored -> ignore_me = ?M:call(B, fun() -> ignore_me end, #{outcome => fun(_, _) -> ignored end})
        end
     || Outcome <- Outcomes
    ].

token(B) ->
    {ok, Token} = ?M:allow(B),
    Token.

%% One that the next call finds half-open.
half_open(Opts) ->
    B = ?M:new(Opts),
    ok = ?M:force_open(B, 0),
    B.

until(Is) -> erlmcp_native_test_wait:until(Is).
