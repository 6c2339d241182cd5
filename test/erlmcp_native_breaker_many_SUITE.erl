%% Circuit breakers that many processes use at once, and processes that end in between: who is admitted, and
%% what is counted, is exact.
-module(erlmcp_native_breaker_many_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    probes_are_exactly_so_many/1,
    failing_probes_are_exactly_so_many/1,
    opens_exactly_once/1,
    counts_are_exact/1,
    killed_probes/1,
    killed_anywhere/1,
    killed_with_the_outcome_told/1,
    probe_for_another/1,
    probe_that_is_kept/1,
    states_follow_one_another/1,
    many_breakers/1
]).

-define(M, erlmcp_native_breaker).
-define(HOUR, 3_600_000).

all() ->
    [
        probes_are_exactly_so_many,
        failing_probes_are_exactly_so_many,
        opens_exactly_once,
        counts_are_exact,
        killed_probes,
        killed_anywhere,
        killed_with_the_outcome_told,
        probe_for_another,
        probe_that_is_kept,
        states_follow_one_another,
        many_breakers
    ].

suite() -> [{timetrap, {minutes, 10}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_testcase(_, _) -> ok.

%%% Half-open

probes_are_exactly_so_many(_) ->
    Rounds = 300,
    [
        begin
            B = ?M:new(#{probes => Probes, open => ?HOUR}),
            [
                begin
                    ok = ?M:force_open(B, 0),
                    Answers = at_once(100, fun() -> ?M:allow(B) end),
                    Tokens = [Token || {ok, Token} <- Answers],
                    ?assertEqual(Probes, length(Tokens)),
                    ?assertEqual(Probes, length(lists:usort(Tokens))),
                    ?assertEqual(100 - Probes, length([1 || {error, {circuit_open, _}} <- Answers])),
                    %% The processes have ended: all are lost.
                    until(fun() -> ?M:state(B) =:= open end),
                    ?assertEqual([stale], lists:usort([?M:success(B, Token) || Token <- Tokens]))
                end
             || _ <- lists:seq(1, Rounds)
            ],
            #{transitions := #{half_open := Rounds, open := Opened}, lost := Lost} = ?M:info(B),
            %% Opened by force or not from closed alone, and each time by its probes.
            ?assertEqual(Rounds + 1, Opened),
            ?assert(Lost >= Rounds andalso Lost =< Rounds * Probes)
        end
     || Probes <- [1, 7]
    ].

%% Among calls that end while others ask.
failing_probes_are_exactly_so_many(_) ->
    Called = counters:new(1, []),
    B = ?M:new(#{probes => 10, successes => 6, open => ?HOUR}),
    [
        begin
            counters:put(Called, 1, 0),
            ok = ?M:force_open(B, 0),
            Answers = at_once(100, fun() ->
                ?M:call(B, fun() ->
                    counters:add(Called, 1, 1),
                    erlang:yield(),
                    error
                end)
            end),
            Admitted = counters:get(Called, 1),
            %% Five are one too many of ten that may fail; up to ten are under way by then.
            ?assert(Admitted >= 5 andalso Admitted =< 10),
            ?assertEqual(Admitted, length([A || error = A <- Answers])),
            ?assertEqual(open, ?M:state(B))
        end
     || _ <- lists:seq(1, 300)
    ].

opens_exactly_once(_) ->
    ok = erlmcp_native_events:subscribe(breaker),
    Rounds = 200,
    B = ?M:new(#{name => opens_once, failures => 5, open => ?HOUR}),
    [
        begin
            at_once(50, fun() -> ?M:call(B, fun() -> error end) end),
            open = ?M:state(B),
            ok = ?M:reset(B)
        end
     || _ <- lists:seq(1, Rounds)
    ],
    Told = told(opens_once, 2 * Rounds),
    ?assertEqual(Rounds, length([1 || {closed, open} <- Told])),
    ?assertEqual(Rounds, length([1 || {open, closed} <- Told])),
    ok = erlmcp_native_events:unsubscribe(breaker),
    receive Other -> ct:fail(Other) after 0 -> ok end.

%% Each comes once, in whatever order their tellers were run.
told(_, 0) ->
    [];
told(Name, Left) ->
    receive
        {erlmcp_native_event, [breaker, state], _, #{breaker := Name, from := From, to := To}} ->
            [{From, To} | told(Name, Left - 1)]
    end.

%%% Counting

counts_are_exact(_) ->
    [
        begin
            B = ?M:new(Opts),
            Each = 5_000,
            Call = fun(N) ->
                Result =
                    case N rem 10 of
                        0 -> error;
                        1 -> ignored;
                        _ -> ok
                    end,
                Result = ?M:call(B, fun() -> Result end, #{outcome => fun(returned, R) -> outcome(R) end})
            end,
            at_once(16, fun() -> lists:foreach(Call, lists:seq(1, Each)) end),
            ?assertMatch(
                #{state := closed, calls := 72_000, failures := 8_000, ignored := 8_000, stale := 0, refused := 0},
                ?M:info(B)
            ),
            ok = ?M:force_open(B),
            at_once(16, fun() ->
                [{error, {circuit_open, infinity}} = ?M:allow(B) || _ <- lists:seq(1, Each)]
            end),
            ?assertMatch(#{calls := 72_000, refused := 80_000}, ?M:info(B))
        end
     || Opts <- [
            #{failures => infinity},
            #{failures => 100_000},
            #{failure_rate => 1.0, window => {count, 100_000}},
            #{failure_rate => 1.0, window => {time, ?HOUR}},
            #{failure_rate => 1.0, window => {count, 20_000}, minimum_calls => 20_000}
        ]
    ].

outcome(error) -> failure;
outcome(Other) -> Other.

%%% Those that end

killed_probes(_) ->
    B = ?M:new(#{probes => 4, successes => 2, open => ?HOUR}),
    [
        begin
            ok = ?M:force_open(B, 0),
            Probers = [prober(B) || _ <- lists:seq(1, 4)],
            {error, _} = ?M:allow(B),
            {Killed, [{Third, _}, {_, Token}]} = lists:split(2, Probers),
            [exit(Pid, kill) || {Pid, _} <- Killed],
            until(fun() -> maps:get(failed, maps:get(probes, ?M:info(B))) =:= 2 end),
            ?assertMatch(
                #{state := half_open, probes := #{running := 2, succeeded := 0, failed := 2}}, ?M:info(B)
            ),
            %% No more than four, however they end.
            {error, _} = ?M:allow(B),
            case Round rem 2 of
                0 ->
                    exit(Third, kill),
                    until(fun() -> ?M:state(B) =:= open end),
                    ?assertEqual(stale, ?M:success(B, Token)),
                    ?assertMatch({error, _}, ?M:allow(B));
                1 ->
                    ?assertEqual(ok, ?M:success(B, Token)),
                    {_, Last} = lists:nth(3, Probers),
                    ?assertEqual(ok, ?M:success(B, Last)),
                    ?assertEqual(closed, ?M:state(B))
            end,
            [exit(Pid, kill) || {Pid, _} <- Probers]
        end
     || Round <- lists:seq(1, 200)
    ],
    ?assertMatch(#{lost := 500, calls := 200}, ?M:info(B)).

prober(B) ->
    Test = self(),
    {Pid, Ref} = spawn_monitor(fun() ->
        Test ! {self(), ?M:allow(B)},
        receive stop -> ok end
    end),
    receive
        {Pid, {ok, Token}} ->
            demonitor(Ref, [flush]),
            {Pid, Token}
    end.

%% Processes that are killed at any point of their calls leave no place taken: whatever happens, the breaker
%% closes once what it guards works.
killed_anywhere(_) ->
    Works = atomics:new(1, []),
    B = ?M:new(#{failures => 3, open => 0, probes => 3, successes => 1}),
    Call = fun Again() ->
        _ = ?M:call(B, fun() ->
            erlang:yield(),
            case atomics:get(Works, 1) of
                0 -> error;
                1 -> ok
            end
        end),
        Again()
    end,
    [
        begin
            atomics:put(Works, 1, 0),
            Callers = [spawn(Call) || _ <- lists:seq(1, 6)],
            [
                begin
                    [erlang:yield() || _ <- lists:seq(1, rand:uniform(3))],
                    exit(Pid, kill)
                end
             || Pid <- Callers
            ],
            until(fun() -> not lists:any(fun is_process_alive/1, Callers) end),
            atomics:put(Works, 1, 1),
            until(fun() -> ?M:call(B, fun() -> works end) =:= works andalso ?M:state(B) =:= closed end),
            ?assertMatch(#{probes := #{running := 0}}, ?M:info(B))
        end
     || _ <- lists:seq(1, 100)
    ].

killed_with_the_outcome_told(_) ->
    B = ?M:new(#{probes => 2, successes => 2, open => ?HOUR}),
    [
        begin
            ok = ?M:force_open(B, 0),
            {Pid, Token} = prober(B),
            ok = ?M:success(B, Token),
            exit(Pid, kill),
            until(fun() -> not is_process_alive(Pid) end),
            %% Its end is nothing to the breaker any more.
            ?assertMatch(#{state := half_open, probes := #{succeeded := 1, failed := 0}}, ?M:info(B)),
            {ok, Second} = ?M:allow(B),
            ok = ?M:success(B, Second),
            closed = ?M:state(B)
        end
     || _ <- lists:seq(1, 200)
    ],
    ?assertMatch(#{lost := 0}, ?M:info(B)).

probe_for_another(_) ->
    B = ?M:new(#{open => ?HOUR}),
    Pid = spawn(fun() -> receive stop -> ok end end),
    ok = ?M:force_open(B, 0),
    {ok, _} = ?M:allow(B, #{caller => Pid}),
    half_open = ?M:state(B),
    exit(Pid, kill),
    until(fun() -> ?M:state(B) =:= open end),
    %% One that has ended already.
    ok = ?M:force_open(B, 0),
    {ok, Token} = ?M:allow(B, #{caller => Pid}),
    ?assertMatch(#{state := open, lost := 2}, ?M:info(B)),
    stale = ?M:success(B, Token),
    %% It is the caller that counts, not who asks.
    ok = ?M:force_open(B, 0),
    Test = self(),
    Asker = spawn(fun() -> Test ! {token, ?M:allow(B, #{caller => Test})} end),
    {ok, Kept} = receive {token, Answer} -> Answer end,
    until(fun() -> not is_process_alive(Asker) end),
    half_open = ?M:state(B),
    ok = ?M:success(B, Kept),
    closed = ?M:state(B).

probe_that_is_kept(_) ->
    ok = erlmcp_native_events:subscribe(breaker),
    B = ?M:new(#{name => kept_probe, failures => 1, probe_timeout => 30, open => ?HOUR}),
    ok = ?M:force_open(B, 0),
    {ok, Token} = ?M:allow(B),
    until(fun() -> ?M:state(B) =:= open end),
    stale = ?M:success(B, Token),
    ?assertMatch(#{lost := 1, calls := 0}, ?M:info(B)),
    ?assertEqual([{closed, open}, {open, half_open}, {half_open, open}], told(kept_probe, 3)),
    ok = erlmcp_native_events:unsubscribe(breaker).

%%% All together

%% What 50 processes that succeed and fail are told of one breaker is a walk through its states: as many ways
%% in as out of each, but for the first and the last.
states_follow_one_another(_) ->
    ok = erlmcp_native_events:subscribe(breaker),
    B = ?M:new(#{name => walk, failures => 3, open => 0, probes => 3, successes => 2}),
    at_once(50, fun() ->
        [
            ?M:call(B, fun() ->
                case rand:uniform(2) of
                    1 -> error;
                    2 -> ok
                end
            end)
         || _ <- lists:seq(1, 500)
        ]
    end),
    #{state := State, transitions := Into} = ?M:info(B),
    Told = told(walk, lists:sum(maps:values(Into))),
    [
        begin
            In = length([1 || {_, To} <- Told, To =:= S]),
            Out = length([1 || {From, _} <- Told, From =:= S]),
            ?assertEqual(maps:get(S, Into), In),
            ?assertEqual(one(S =:= closed) + In, one(S =:= State) + Out)
        end
     || S <- [closed, open, half_open]
    ],
    ?assert(maps:get(half_open, Into) > 0),
    ?assertEqual([], lists:usort(Told) -- [{closed, open}, {half_open, closed}, {half_open, open}, {open, half_open}]),
    ok = erlmcp_native_events:unsubscribe(breaker),
    receive Other -> ct:fail(Other) after 0 -> ok end.

one(true) -> 1;
one(false) -> 0.

%% Their memory is free again, with the probes' watches.
many_breakers(_) ->
    Round = fun() ->
        Bs = [?M:new(#{name => list_to_atom("many_" ++ integer_to_list(N)), outcome => fun(_, _) -> N end}) || N <- lists:seq(1, 1000)],
        [begin ok = ?M:force_open(B, 0), {ok, _} = ?M:allow(B) end || B <- Bs],
        [ok = ?M:delete(B) || B <- Bs],
        erlmcp_native:memory()
    end,
    _ = Round(),
    Before = Round(),
    After = lists:last([Round() || _ <- lists:seq(1, 10)]),
    ?assert(After < Before + 1_000_000, {Before, After}),
    ?assertEqual([], [Name || Name <- ?M:names(), lists:prefix("many_", atom_to_list(Name))]).

%%% Help

%% What so many processes answer that begin together, and end when all have answered.
at_once(Count, Fun) ->
    Test = self(),
    Gate = make_ref(),
    Pids = [
        spawn_link(fun() ->
            receive Gate -> ok end,
            Test ! {Gate, self(), Fun()},
            receive Gate -> ok end
        end)
     || _ <- lists:seq(1, Count)
    ],
    [Pid ! Gate || Pid <- Pids],
    Answers = [receive {Gate, Pid, Answer} -> Answer end || Pid <- Pids],
    [Pid ! Gate || Pid <- Pids],
    Answers.

until(Is) -> erlmcp_native_test_wait:until(Is).
