%% Compute once: of many that miss a key one runs its fun; whoever is killed, at whatever point,
%% exactly one takes over; deadlines hold; nothing arrives late and nothing is left behind.
-module(erlmcp_native_cache_fetch_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, groups/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2]).
-export([
    answers/1,
    raised/1,
    runs_in_the_caller/1,
    thousand_callers/1,
    thousand_callers_of_an_error/1,
    thousand_callers_of_what_is_not_cached/1,
    many_keys_at_once/1,
    large_key/1,
    runner_is_killed/1,
    runner_is_killed_at_any_point/1,
    runners_are_killed_one_after_another/1,
    waiters_are_killed/1,
    deadline_of_a_wait/1,
    deadline_across_runners/1,
    no_wait_at_all/1,
    late_outcome_is_dropped/1,
    recursive/1,
    other_key_within/1,
    deleted_meanwhile/1,
    replaced_meanwhile/1,
    invalidated_meanwhile/1,
    dropped_meanwhile/1,
    loads_are_counted/1,
    no_flight_is_left/1
]).

-import(erlmcp_native_test_cache, [new/2, until/1, parallel/2, no_message/0]).

-define(cache, erlmcp_native_cache).

all() -> [no_flight_is_left, {group, native}, {group, ets}].

groups() ->
    All = [
        answers,
        raised,
        runs_in_the_caller,
        thousand_callers,
        thousand_callers_of_an_error,
        thousand_callers_of_what_is_not_cached,
        many_keys_at_once,
        large_key,
        runner_is_killed,
        runner_is_killed_at_any_point,
        runners_are_killed_one_after_another,
        waiters_are_killed,
        deadline_of_a_wait,
        deadline_across_runners,
        no_wait_at_all,
        late_outcome_is_dropped,
        recursive,
        other_key_within,
        deleted_meanwhile,
        replaced_meanwhile,
        invalidated_meanwhile,
        dropped_meanwhile,
        loads_are_counted
    ],
    [{native, [], All}, {ets, [], All}].

suite() -> [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

init_per_group(Store, Config) -> [{store, Store} | Config].

end_per_group(_, _) -> ok.

%%% Answers

answers(Config) ->
    Cache = new(Config, #{capacity => 10}),
    ?assertEqual({ok, {1}}, ?cache:fetch(Cache, k, fun() -> {ok, {1}} end)),
    ?assertEqual({ok, {1}}, ?cache:get(Cache, k)),
    ?assertEqual({ok, {1}}, ?cache:fetch(Cache, k, fun() -> error(not_called) end)),
    ?assertEqual({ok, 2}, ?cache:fetch(Cache, ttl, fun() -> {ok, 2, #{ttl => 60_000, tags => [t]}} end)),
    {ok, Left} = ?cache:ttl(Cache, ttl),
    ?assert(Left > 50_000 andalso Left =< 60_000),
    ?assertEqual({ok, 1}, ?cache:invalidate_tag(Cache, t)),
    ?assertEqual({ok, 3}, ?cache:fetch(Cache, no, fun() -> {no_cache, 3} end)),
    ?assertEqual({error, not_found}, ?cache:get(Cache, no)),
    ?assertEqual({error, {some, reason}}, ?cache:fetch(Cache, no, fun() -> {error, {some, reason}} end)),
    ?assertEqual({error, not_found}, ?cache:get(Cache, no)),
    ?assertEqual({ok, 4}, ?cache:fetch(Cache, no, fun() -> {ok, 4} end, 0)),
    ?assertEqual({ok, 5}, ?cache:fetch(Cache, five, fun() -> {ok, 5} end, infinity)),
    %% Values of every form.
    [
        begin
            ?assertEqual({ok, Value}, ?cache:fetch(Cache, {v, Nth}, fun() -> {ok, Value} end)),
            ?assertEqual({ok, Value}, ?cache:fetch(Cache, {v, Nth}, fun() -> error(not_called) end))
        end
     || {Nth, Value} <- [
            {1, ok}, {2, {ok, 1}}, {3, #{a => 1}}, {4, binary:copy(<<"v">>, 100_000)}, {5, fun() -> 1 end},
            {6, {error, not_found}}, {7, lists:seq(1, 5000)}
        ]
    ],
    no_message().

raised(Config) ->
    Cache = new(Config, #{capacity => 10}),
    [
        ?assertEqual({error, {raised, Class, Reason}}, ?cache:fetch(Cache, k, Fun))
     || {Class, Reason, Fun} <- [
            {error, {some, reason}, fun() -> error({some, reason}) end},
            {exit, normal, fun() -> exit(normal) end},
            {throw, ball, fun() -> throw(ball) end},
            {error, {bad_return, ok}, fun() -> ok end},
            {error, {bad_return, {ok, 1, 2, 3}}, fun() -> {ok, 1, 2, 3} end},
            {error, {bad_return, {ok, 1, #{ttl => 0}}}, fun() -> {ok, 1, #{ttl => 0}} end},
            {error, {bad_return, {ok, 1, #{nosuch => 1}}}, fun() -> {ok, 1, #{nosuch => 1}} end},
            {error, {bad_return, {ok, 1, []}}, fun() -> {ok, 1, []} end}
        ]
    ],
    ?assertEqual({ok, 1}, ?cache:fetch(Cache, k, fun() -> {ok, 1} end)).

runs_in_the_caller(Config) ->
    Cache = new(Config, #{capacity => 10}),
    ?assertEqual({ok, self()}, ?cache:fetch(Cache, k, fun() -> {ok, self()} end)).

%%% Once

thousand_callers(Config) ->
    Cache = new(Config, #{capacity => 10}),
    Value = #{list => lists:seq(1, 100)},
    once(Cache, fun() -> {ok, Value} end, {ok, Value}),
    ?assertEqual({ok, Value}, ?cache:get(Cache, k)).

thousand_callers_of_an_error(Config) ->
    once(new(Config, #{capacity => 10}), fun() -> {error, no} end, {error, no}),
    once(new(Config, #{capacity => 10}), fun() -> throw(no) end, {error, {raised, throw, no}}).

thousand_callers_of_what_is_not_cached(Config) ->
    Cache = new(Config, #{capacity => 10}),
    once(Cache, fun() -> {no_cache, <<"it">>} end, {ok, <<"it">>}),
    ?assertEqual({error, not_found}, ?cache:get(Cache, k)).

%% All have called before the one that runs goes on.
once(Cache, Answer, Expected) ->
    Runs = counters:new(1, []),
    Called = counters:new(1, []),
    Count = 1000,
    Run = fun() ->
        counters:add(Runs, 1, 1),
        until(fun() -> counters:get(Called, 1) =:= Count end),
        timer:sleep(200),
        Answer()
    end,
    Answers = parallel(Count, fun(_) ->
        counters:add(Called, 1, 1),
        {?cache:fetch(Cache, k, Run, infinity), mailbox()}
    end),
    ?assertEqual([{Expected, []}], lists:usort(Answers)),
    ?assertEqual(1, counters:get(Runs, 1)).

%% What is in it some time later.
mailbox() ->
    timer:sleep(20),
    {messages, Messages} = process_info(self(), messages),
    Messages.

many_keys_at_once(Config) ->
    Cache = new(Config, #{capacity => 1000}),
    Keys = 100,
    Runs = counters:new(Keys, []),
    Answers = parallel(20, fun(_) ->
        [
            ?cache:fetch(Cache, Key, fun() ->
                counters:add(Runs, Key, 1),
                erlang:yield(),
                {ok, {Key}}
            end)
         || Key <- lists:seq(1, Keys)
        ]
    end),
    ?assertEqual([[{ok, {Key}} || Key <- lists:seq(1, Keys)]], lists:usort(Answers)),
    ?assertEqual([1], lists:usort([counters:get(Runs, Key) || Key <- lists:seq(1, Keys)])).

large_key(Config) ->
    Cache = new(Config, #{capacity => 10}),
    [
        begin
            Answers = parallel(20, fun(I) ->
                ?cache:fetch(Cache, Key, fun() -> timer:sleep(50), {ok, I} end)
            end),
            ?assertMatch([{ok, _}], lists:usort(Answers)),
            ?assertEqual(hd(Answers), ?cache:get(Cache, Key)),
            Run = fun() -> receive nothing -> ok end end,
            {Pid, Monitor} = spawn_monitor(fun() -> ?cache:fetch(Cache, {Key}, Run) end),
            timer:sleep(20),
            exit(Pid, kill),
            receive {'DOWN', Monitor, _, _, _} -> ok end,
            ?assertEqual({ok, 1}, ?cache:fetch(Cache, {Key}, fun() -> {ok, 1} end))
        end
     || Key <- [
            binary:copy(<<"k">>, 60_000), maps:from_list([{I, I} || I <- lists:seq(1, 100)]),
            fun() -> Config end, lists:seq(1, 10_000)
        ]
    ],
    %% Beyond what a cache can hold.
    Large = binary:copy(<<"k">>, 100_000),
    ?assertEqual({error, too_large}, ?cache:fetch(Cache, Large, fun() -> error(not_called) end)).

%%% Deaths

runner_is_killed(Config) ->
    Cache = new(Config, #{capacity => 10}),
    [
        begin
            Key = {k, Reason},
            Self = self(),
            Runner = spawn(fun() ->
                ?cache:fetch(Cache, Key, fun() -> Self ! running, receive nothing -> ok end end)
            end),
            receive running -> ok end,
            Runs = counters:new(1, []),
            Waiters = waiters(Cache, Key, 100, Runs),
            exit(Runner, Reason),
            ?assertEqual([{ok, {second}}], lists:usort(outcomes(Waiters))),
            ?assertEqual(1, counters:get(Runs, 1))
        end
     || Reason <- [kill, failed]
    ],
    no_message().

%% Processes that wait for the key, with a fun that counts its runs.
waiters(Cache, Key, Count, Runs) ->
    Self = self(),
    Run = fun() ->
        counters:add(Runs, 1, 1),
        timer:sleep(50),
        {ok, {second}}
    end,
    Pids = [
        spawn(fun() -> Self ! {self(), ?cache:fetch(Cache, Key, Run, infinity), mailbox()} end)
     || _ <- lists:seq(1, Count)
    ],
    until(fun() -> lists:all(fun is_waiting/1, Pids) end),
    Pids.

is_waiting(Pid) -> process_info(Pid, status) =:= {status, waiting}.

outcomes(Pids) ->
    [receive {Pid, Outcome, Late} -> ?assertEqual([], Late), Outcome end || Pid <- Pids].

%% After so many reductions of its own work that every point of it is met: in the fun, while it
%% puts, ends the flight and tells the others.
runner_is_killed_at_any_point(Config) ->
    Cache = new(Config, #{capacity => 10}),
    Ends = [at_some_point(Cache, Delay, Count) || Delay <- lists:seq(0, 300, 3), Count <- [1, 50]],
    ct:log("killed before, after: ~p", [[length([E || E <- Ends, E =:= W]) || W <- [before, aft]]]),
    ?assertEqual({ok, last}, ?cache:fetch(Cache, last, fun() -> {ok, last} end)),
    no_message().

at_some_point(Cache, Delay, Count) ->
    Key = make_ref(),
    Self = self(),
    Runner = spawn(fun() ->
        ?cache:fetch(Cache, Key, fun() -> Self ! running, receive go -> {ok, {first}} end end),
        Self ! done,
        receive nothing -> ok end
    end),
    receive running -> ok end,
    Runs = counters:new(1, []),
    Waiters = waiters(Cache, Key, Count, Runs),
    Runner ! go,
    spin(Delay),
    exit(Runner, kill),
    Outcomes = outcomes(Waiters),
    %% Either got what it computed, or one computed it again: never both, never neither.
    case {lists:usort(Outcomes), counters:get(Runs, 1)} of
        {[{ok, {first}}], 0} -> ok;
        {[{ok, {second}}], 1} -> ok;
        Other -> ct:fail({Delay, Count, Other})
    end,
    receive done -> aft after 0 -> before end.

spin(0) -> ok;
spin(N) -> _ = erlang:monotonic_time(), spin(N - 1).

%% Each that takes over is killed in turn, until one is left.
runners_are_killed_one_after_another(Config) ->
    Cache = new(Config, #{capacity => 10}),
    Self = self(),
    Count = 30,
    Run = fun() ->
        Self ! {running, self()},
        receive go -> {ok, {last}} end
    end,
    Pids = [spawn(fun() -> Self ! {self(), ?cache:fetch(Cache, k, Run, infinity), []} end) || _ <- lists:seq(1, Count)],
    kill_runners(Count - 1),
    Last = receive {running, Pid} -> Pid end,
    ?assert(lists:member(Last, Pids)),
    Last ! go,
    ?assertEqual([{ok, {last}}], outcomes([Last])),
    ?assertEqual({ok, {last}}, ?cache:get(Cache, k)),
    no_message().

kill_runners(0) -> ok;
kill_runners(Left) ->
    receive {running, Pid} -> exit(Pid, kill) after 5000 -> ct:fail({nobody_runs, Left}) end,
    kill_runners(Left - 1).

waiters_are_killed(Config) ->
    Cache = new(Config, #{capacity => 10}),
    Self = self(),
    Runner = spawn(fun() ->
        Self ! {self(), ?cache:fetch(Cache, k, fun() -> receive go -> {ok, {first}} end end), mailbox()}
    end),
    until(fun() -> is_waiting(Runner) end),
    Runs = counters:new(1, []),
    {Killed, Left} = lists:split(50, waiters(Cache, k, 60, Runs)),
    [exit(Pid, kill) || Pid <- Killed],
    Runner ! go,
    ?assertEqual([{ok, {first}}], lists:usort(outcomes([Runner | Left]))),
    ?assertEqual(0, counters:get(Runs, 1)).

%%% Deadlines

deadline_of_a_wait(Config) ->
    Cache = new(Config, #{capacity => 10}),
    Runner = held(Cache, k),
    {Time, Answers} = timer:tc(fun() ->
        parallel(100, fun(_) ->
            Answer = ?cache:fetch(Cache, k, fun() -> error(not_called) end, 200),
            {Answer, mailbox()}
        end)
    end),
    ?assertEqual([{{error, timeout}, []}], lists:usort(Answers)),
    ?assert(Time >= 200_000),
    ?assert(Time < 1_500_000, Time),
    %% It goes on all the same.
    Runner ! go,
    until(fun() -> ?cache:get(Cache, k) =:= {ok, {held}} end).

%% A process that runs the fun of this key until it is told to go.
held(Cache, Key) ->
    Self = self(),
    Pid = spawn_link(fun() ->
        ?cache:fetch(Cache, Key, fun() -> Self ! {held, self()}, receive go -> {ok, {held}} end end)
    end),
    receive {held, Pid} -> Pid end.

%% The deadline is the call's, not that of one wait.
deadline_across_runners(Config) ->
    case waited_across_runners(new(Config, #{capacity => 10})) of
        %% It may be the one that takes over.
        took_over ->
            deadline_across_runners(Config);
        {Time, Answer} ->
            ?assertEqual({error, timeout}, Answer),
            ?assert(Time >= 500_000 andalso Time < 1_500_000, Time)
    end.

waited_across_runners(Cache) ->
    Self = self(),
    Endless = fun() -> Self ! {running, self()}, receive nothing -> ok end end,
    Others = [spawn(fun() -> ?cache:fetch(Cache, k, Endless, infinity) end) || _ <- lists:seq(1, 40)],
    First = receive {running, Pid} -> Pid end,
    Killer = spawn_link(fun() -> kill_slowly(First) end),
    Forward = spawn(fun() ->
        {Time, Answer} = timer:tc(fun() -> ?cache:fetch(Cache, k, Endless, 500) end),
        Self ! {answered, Time, Answer}
    end),
    Waited = forward(Killer, Forward),
    unlink(Killer),
    [exit(Ended, kill) || Ended <- [Killer, Forward | Others]],
    Waited.

%% Kills the one that runs, every 50 ms.
kill_slowly(Pid) ->
    timer:sleep(50),
    exit(Pid, kill),
    receive {next, Next} -> kill_slowly(Next) end.

forward(Killer, Forward) ->
    receive
        {running, Forward} -> took_over;
        {running, Pid} -> Killer ! {next, Pid}, forward(Killer, Forward);
        {answered, Time, Answer} -> {Time, Answer}
    end.

no_wait_at_all(Config) ->
    Cache = new(Config, #{capacity => 10}),
    Runner = held(Cache, k),
    ?assertEqual({error, timeout}, ?cache:fetch(Cache, k, fun() -> error(not_called) end, 0)),
    Runner ! go,
    until(fun() -> ?cache:fetch(Cache, k, fun() -> error(not_called) end, 0) =:= {ok, {held}} end).

%% It comes as the deadline passes, or a little later.
late_outcome_is_dropped(Config) ->
    Cache = new(Config, #{capacity => 1000}),
    Answers = lists:append([
        begin
            Runner = held(Cache, Nth),
            Self = self(),
            Pids = [
                spawn(fun() ->
                    Answer = ?cache:fetch(Cache, Nth, fun() -> error(not_called) end, 20),
                    Self ! {self(), Answer, mailbox()}
                end)
             || _ <- lists:seq(1, 20)
            ],
            timer:sleep(18 + Nth rem 5),
            Runner ! go,
            outcomes(Pids)
        end
     || Nth <- lists:seq(1, 50)
    ]),
    ?assertEqual([], lists:usort(Answers) -- [{ok, {held}}, {error, timeout}]),
    no_message().

%%% Within one another

recursive(Config) ->
    Cache = new(Config, #{capacity => 10}),
    Again = fun() -> ?cache:fetch(Cache, k, fun() -> {ok, 1} end) end,
    ?assertEqual({error, {raised, error, recursive_fetch}}, ?cache:fetch(Cache, k, Again)),
    ?assertEqual({ok, 1}, ?cache:fetch(Cache, k, fun() -> {ok, 1} end)).

other_key_within(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Sum = fun
        Sum(0) -> {ok, 0};
        Sum(N) ->
            {ok, Less} = ?cache:fetch(Cache, N - 1, fun() -> Sum(N - 1) end),
            {ok, N + Less}
    end,
    ?assertEqual([{ok, 1275}], lists:usort(parallel(20, fun(_) -> ?cache:fetch(Cache, 50, fun() -> Sum(50) end) end))),
    ?assertEqual({ok, 1225}, ?cache:get(Cache, 49)).

%%% What happens to the key meanwhile

deleted_meanwhile(Config) -> meanwhile(Config, fun(Cache) -> ?cache:delete(Cache, k) end, {error, not_found}).

replaced_meanwhile(Config) ->
    meanwhile(Config, fun(Cache) -> ?cache:put(Cache, k, {newer}) end, {ok, {newer}}),
    meanwhile(Config, fun(Cache) -> ?cache:put_new(Cache, k, {newer}) end, {ok, {newer}}),
    meanwhile(Config, fun(Cache) -> ?cache:update_counter(Cache, k, 7) end, {ok, 7}).

invalidated_meanwhile(Config) ->
    meanwhile(Config, fun(Cache) -> ?cache:clear(Cache) end, {error, not_found}),
    meanwhile(Config, fun(Cache) -> ?cache:invalidate_tag(Cache, t) end, {error, not_found}),
    meanwhile(Config, fun(Cache) -> ?cache:invalidate_dependents(Cache, t) end, {error, not_found}).

%% Who waited gets what was computed, it is not kept, and who comes later computes it anew.
meanwhile(Config, What, Left) ->
    Cache = new(Config, #{capacity => 10}),
    Runner = held_tagged(Cache),
    Runs = counters:new(1, []),
    Waiters = waiters(Cache, k, 5, Runs),
    _ = What(Cache),
    Later = ?cache:get(Cache, k),
    ?assertEqual(Left, Later),
    Runner ! go,
    ?assertEqual([{ok, {held}}], lists:usort(outcomes(Waiters))),
    ?assertEqual(0, counters:get(Runs, 1)),
    receive {ended, Outcome} -> ?assertEqual({ok, {held}}, Outcome) end,
    ?assertEqual(Left, ?cache:get(Cache, k)),
    case Left of
        {error, not_found} -> {ok, new} = ?cache:fetch(Cache, k, fun() -> {ok, new} end);
        {ok, _} -> Left = ?cache:fetch(Cache, k, fun() -> error(not_called) end)
    end,
    ok = ?cache:drop(Cache).

held_tagged(Cache) ->
    Self = self(),
    Run = fun() ->
        Self ! {held, self()},
        receive go -> {ok, {held}, #{tags => [t], depends_on => [t]}} end
    end,
    Pid = spawn_link(fun() -> Self ! {ended, ?cache:fetch(Cache, k, Run)} end),
    receive {held, Pid} -> Pid end.

%% The value is right, though there is nowhere to put it.
dropped_meanwhile(Config) ->
    Cache = new(Config, #{capacity => 10}),
    Self = self(),
    Run = fun() -> Self ! {held, self()}, receive go -> {ok, {held}} end end,
    Runner = spawn(fun() -> Self ! {ended, catch ?cache:fetch(Cache, k, Run)} end),
    receive {held, Runner} -> ok end,
    Pids = [spawn(fun() -> Self ! {ended, catch ?cache:fetch(Cache, k, Run)} end) || _ <- lists:seq(1, 10)],
    until(fun() -> lists:all(fun is_waiting/1, Pids) end),
    ok = ?cache:drop(Cache),
    Runner ! go,
    [receive {ended, Answer} -> ?assertEqual({ok, {held}}, Answer) end || _ <- [Runner | Pids]],
    no_message().

%%% Counts

loads_are_counted(Config) ->
    Cache = new(Config, #{capacity => 10}),
    _ = ?cache:fetch(Cache, a, fun() -> timer:sleep(20), {ok, {1}} end),
    _ = ?cache:fetch(Cache, a, fun() -> error(not_called) end),
    _ = ?cache:fetch(Cache, b, fun() -> {error, no} end),
    _ = ?cache:fetch(Cache, b, fun() -> error(no) end),
    _ = ?cache:fetch(Cache, c, fun() -> {no_cache, 1} end),
    Stats = #{load_time := Time} = ?cache:stats(Cache),
    ?assertMatch(#{hits := 1, misses := 4, loads := 2, load_failures := 2}, Stats),
    ?assert(Time >= 20_000_000),
    ?assert(Time < 2_000_000_000).

%% Many flights that end in every way leave no memory behind.
no_flight_is_left(_) ->
    Cache = new([], #{capacity => 10}),
    Round = fun() ->
        _ = parallel(50, fun(I) ->
            [
                begin
                    Key = {J rem 7, binary:copy(<<"k">>, 200)},
                    ?cache:fetch(Cache, Key, fun() ->
                        case (I + J) rem 4 of
                            0 -> {ok, J};
                            1 -> {error, no};
                            2 -> error(no);
                            3 -> ?cache:delete(Cache, Key), {ok, J}
                        end
                    end, 1)
                end
             || J <- lists:seq(1, 100)
            ]
        end),
        Killed = [spawn(fun() -> ?cache:fetch(Cache, {kill, J}, fun() -> receive nothing -> ok end end, 50) end) || J <- lists:seq(1, 100), _ <- [1, 2, 3]],
        [exit(Pid, kill) || Pid <- Killed],
        ok = ?cache:clear(Cache)
    end,
    Round(),
    timer:sleep(300),
    Before = erlmcp_native:memory(),
    [Round() || _ <- lists:seq(1, 10)],
    until(fun() -> erlmcp_native:memory() - Before < 200_000 end),
    ?assertEqual({ok, 1}, ?cache:fetch(Cache, {kill, 1}, fun() -> {ok, 1} end)).
