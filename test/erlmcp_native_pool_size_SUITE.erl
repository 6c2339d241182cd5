%% How many workers there are, what is told of leases that are held for long, and metrics.
-module(erlmcp_native_pool_size_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    grows_by_demand/1,
    grows_for_those_who_do_not_wait/1,
    grows_to_the_maximum/1,
    grows_for_shared_workers_by_need/1,
    demand_that_vanishes_starts_no_more/1,
    a_start_that_hangs_stops_no_growth/1,
    workers_on_their_way_are_counted/1,
    failing_growth_backs_off/1,
    failing_growth_ends_with_the_demand/1,
    shrinks_to_the_minimum/1,
    used_ones_stay/1,
    replaced_beyond_the_minimum_by_demand/1,
    resize_up/1,
    resize_down/1,
    resize_down_while_in_use/1,
    resize_of_a_fixed_size/1,
    resize_while_starting/1,
    suspended_pools_do_not_grow/1,
    draining_pools_serve_who_waits/1,
    leaks_are_told_once/1,
    leaks_of_the_dead/1,
    metrics/1,
    starting_is_shown/1,
    stopped_is_not_shown/1
]).

-import(erlmcp_native_test_pool, [
    start/1, start_all/1, workers/2, is_waiting/2, user/0, ask/2, tell/2, answer/1, kill/1, finish/1,
    take/1, take/2, event/1, events/1
]).
-import(erlmcp_native_test_wait, [until/1]).

-define(p, erlmcp_native_pool).
-define(LONG, 60_000).

all() ->
    [
        grows_by_demand,
        grows_for_those_who_do_not_wait,
        grows_to_the_maximum,
        grows_for_shared_workers_by_need,
        demand_that_vanishes_starts_no_more,
        a_start_that_hangs_stops_no_growth,
        workers_on_their_way_are_counted,
        failing_growth_backs_off,
        failing_growth_ends_with_the_demand,
        shrinks_to_the_minimum,
        used_ones_stay,
        replaced_beyond_the_minimum_by_demand,
        resize_up,
        resize_down,
        resize_down_while_in_use,
        resize_of_a_fixed_size,
        resize_while_starting,
        suspended_pools_do_not_grow,
        draining_pools_serve_who_waits,
        leaks_are_told_once,
        leaks_of_the_dead,
        metrics,
        starting_is_shown,
        stopped_is_not_shown
    ].

suite() -> [{timetrap, {minutes, 1}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Quiet = [erlmcp_native_pool_manager, erlmcp_native_pool_keeper, erlmcp_native_pool_leaks],
    ok = logger:set_module_level(Quiet, none),
    Config.

end_per_testcase(_, _) ->
    Quiet = [erlmcp_native_pool_manager, erlmcp_native_pool_keeper, erlmcp_native_pool_leaks],
    ok = logger:unset_module_level(Quiet),
    ok = erlmcp_native_events:unsubscribe(pool),
    flush_events(),
    case process_info(self(), messages) of
        {messages, []} -> ok;
        {messages, Late} -> {fail, {late, Late}}
    end.

flush_events() ->
    receive
        {erlmcp_native_event, _, _, _} -> flush_events()
    after 0 -> ok
    end.

worker(Opts) -> {erlmcp_native_test_worker, Opts}.

%% A start that says that it is there, and waits to be told how to go on.
asks_me() ->
    Test = self(),
    fun() ->
        Test ! {starting, self()},
        receive
            {go, Result} -> Result
        end
    end.

starting() ->
    receive
        {starting, Pid} -> Pid
    end.

go(Pid) -> Pid ! {go, ok}.

%% So many processes that wait for a worker, have it and give it back.
waiting(Pool, N) ->
    Users = [user() || _ <- lists:seq(1, N)],
    Answers = [tell(User, fun() -> ?p:with(Pool, fun(_) -> served end) end) || User <- Users],
    is_waiting(Pool, N),
    {Users, Answers}.

served({Users, Answers}) ->
    [served = answer(Answer) || Answer <- Answers],
    [finish(User) || User <- Users],
    ok.

grows_by_demand(_) ->
    Pool = start(#{min => 0, max => 3, worker => worker(#{})}),
    ?assertMatch(#{workers := 0, starting := 0}, ?p:status(Pool)),
    {_, Lease} = take(Pool),
    ?assertMatch(#{workers := 1}, ?p:status(Pool)),
    %% One that is free is taken.
    ok = ?p:checkin(Pool, Lease),
    [?p:with(Pool, fun(_) -> ok end) || _ <- lists:seq(1, 100)],
    ?assertMatch(#{workers := 1, starting := 0}, ?p:status(Pool)),
    _ = [take(Pool), take(Pool)],
    workers(Pool, #{workers => 2, in_use => 2}),
    ?p:stop(Pool).

grows_for_those_who_do_not_wait(_) ->
    Pool = start(#{min => 0, max => 3, worker => worker(#{})}),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 0})),
    until(fun() -> element(1, ?p:checkout(Pool, #{timeout => 0})) =:= ok end),
    ?p:stop(Pool).

grows_to_the_maximum(_) ->
    Pool = start(#{min => 1, max => 7, worker => worker(#{})}),
    Users = [user() || _ <- lists:seq(1, 30)],
    Answers = [tell(User, fun() -> take(Pool) end) || User <- Users],
    workers(Pool, #{workers => 7, in_use => 7, waiting => 23, starting => 0}),
    [ok = kill(User) || User <- Users],
    [receive {Answer, _} -> ok; {'DOWN', Answer, _, _, _} -> ok end || Answer <- Answers],
    receive_downs(),
    workers(Pool, #{in_use => 0, waiting => 0}),
    ?p:stop(Pool).

receive_downs() ->
    receive
        {'DOWN', _, process, _, killed} -> receive_downs()
    after 0 -> ok
    end.

%% Four who wait for workers of two need two.
grows_for_shared_workers_by_need(_) ->
    Pool = start(#{min => 0, max => 10, concurrency => 2, worker => worker(#{start => asks_me()})}),
    Users = [user() || _ <- lists:seq(1, 4)],
    Answers = [tell(User, fun() -> take(Pool) end) || User <- Users],
    is_waiting(Pool, 4),
    go(starting()),
    go(starting()),
    [{_, _} = answer(Answer) || Answer <- Answers],
    ?assertMatch(#{workers := 2, in_use := 4, starting := 0}, ?p:status(Pool)),
    [finish(User) || User <- Users],
    ?p:stop(Pool).

%% A worker that takes long to start is the only one that a burst costs.
demand_that_vanishes_starts_no_more(_) ->
    Pool = start(#{min => 1, max => 50, worker => worker(#{start => asks_me()})}),
    go(starting()),
    {_, Lease} = take(Pool),
    Waiting = waiting(Pool, 45),
    Slow = starting(),
    ?assertMatch(#{starting := 1}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Lease),
    ok = served(Waiting),
    go(Slow),
    workers(Pool, #{workers => 2, starting => 0, idle => 2}),
    %% Where the demand stays, more are started each time round.
    Leases = [take(Pool), take(Pool)],
    Again = waiting(Pool, 12),
    go(starting()),
    [ok = ?p:checkin(Pool, L) || {_, L} <- Leases],
    ok = served(Again),
    ok = go_all(Pool),
    ?assert(maps:get(workers, ?p:status(Pool)) < 15),
    ?p:stop(Pool).

go_all(Pool) ->
    receive
        {starting, Pid} ->
            go(Pid),
            go_all(Pool)
    after 0 ->
        case ?p:status(Pool) of
            #{starting := 0} ->
                ok;
            _ ->
                erlang:yield(),
                go_all(Pool)
        end
    end.

%% However long it takes.
a_start_that_hangs_stops_no_growth(_) ->
    Pool = start(#{min => 0, max => 3, worker => worker(#{start => asks_me()})}),
    Waiting = waiting(Pool, 3),
    _Hangs = starting(),
    go(starting()),
    ok = served(Waiting),
    ?p:stop(Pool),
    more_starts().

more_starts() ->
    receive
        {starting, _} -> more_starts()
    after 0 -> ok
    end.

%% The first workers of a pool are not started twice because somebody waits for them.
workers_on_their_way_are_counted(_) ->
    Pool = start(#{min => 3, max => 9, worker => worker(#{start => asks_me()})}),
    Three = [starting() || _ <- [1, 2, 3]],
    Waiting = waiting(Pool, 3),
    ?assertMatch(#{starting := 3, workers := 0}, ?p:status(Pool)),
    [go(Pid) || Pid <- Three],
    ok = served(Waiting),
    ?assertMatch(#{starting := 0, workers := 3}, ?p:status(Pool)),
    ?p:stop(Pool).

%% However many come meanwhile.
failing_growth_backs_off(_) ->
    Starts = counters:new(1, []),
    Start = fun() ->
        ok = counters:add(Starts, 1, 1),
        {error, econnrefused}
    end,
    Backoff = #{min => ?LONG, max => ?LONG},
    Pool = start(#{min => 0, max => 10, worker => worker(#{start => Start}), backoff => Backoff}),
    [
        ?assertMatch({error, _}, ?p:checkout(Pool, #{timeout => rand:uniform(3)}))
     || _ <- lists:seq(1, 100)
    ],
    until(fun() -> ?p:checkout(Pool, #{timeout => 1}) =:= {error, {connect, econnrefused}} end),
    ?assertMatch(#{retrying := 1, starting := 0}, ?p:status(Pool)),
    ?assertEqual(1, counters:get(Starts, 1)),
    ?p:stop(Pool).

failing_growth_ends_with_the_demand(_) ->
    Pool = start(#{min => 0, max => 10, worker => worker(#{start => fun() -> {error, nxdomain} end})}),
    ?assertMatch({error, _}, ?p:checkout(Pool, #{timeout => 100})),
    workers(Pool, #{retrying => 0, starting => 0, last_error => nxdomain}),
    ?p:stop(Pool).

shrinks_to_the_minimum(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Pool = start(#{min => 1, max => 5, idle_timeout => 30, worker => worker(#{})}),
    Users = [user() || _ <- lists:seq(1, 5)],
    Leases = [ask(User, fun() -> take(Pool) end) || User <- Users],
    ?assertMatch(#{workers := 5}, ?p:status(Pool)),
    [ok = ?p:checkin(Pool, Lease) || {_, Lease} <- Leases],
    Down = [event([pool, worker, down]) || _ <- [1, 2, 3, 4]],
    [?assertMatch({#{age := Age}, #{reason := idle}} when Age >= 30, Event) || Event <- Down],
    workers(Pool, #{workers => 1, idle => 1, away => 0}),
    timer:sleep(100),
    ?assertMatch(#{workers := 1, idle := 1}, ?p:status(Pool)),
    [finish(User) || User <- Users],
    ?p:stop(Pool).

used_ones_stay(_) ->
    Pool = start(#{min => 0, max => 3, idle_timeout => 20, worker => worker(#{})}),
    Held = [take(Pool) || _ <- [1, 2, 3]],
    timer:sleep(80),
    ?assertMatch(#{workers := 3, in_use := 3}, ?p:status(Pool)),
    [?assert(is_process_alive(Worker)) || {Worker, _} <- Held],
    [ok = ?p:checkin(Pool, Lease) || {_, Lease} <- Held],
    workers(Pool, #{workers => 0}),
    %% And it grows again.
    {_, _} = take(Pool),
    ?p:stop(Pool).

%% One beyond the least that ends is missed only by who waits.
replaced_beyond_the_minimum_by_demand(_) ->
    Pool = start(#{min => 1, max => 3, worker => worker(#{})}),
    [{One, _}, {_, _}] = [take(Pool), take(Pool)],
    exit(One, kill),
    workers(Pool, #{workers => 1, in_use => 1, retrying => 0, starting => 0}),
    {Three, _} = take(Pool),
    exit(Three, kill),
    {_, _} = take(Pool),
    ?p:stop(Pool).

resize_up(_) ->
    Pool = start_all(#{min => 1, max => 1, worker => worker(#{})}),
    {_, _} = take(Pool),
    User = user(),
    Answer = tell(User, fun() -> take(Pool) end),
    is_waiting(Pool, 1),
    %% Who waits has not to come again.
    ok = ?p:resize(Pool, {1, 2}),
    {_, _} = answer(Answer),
    ?assertMatch(#{min := 1, max := 2, workers := 2}, ?p:status(Pool)),
    ok = ?p:resize(Pool, {4, 6}),
    workers(Pool, #{workers => 4, min => 4, max => 6}),
    finish(User),
    ?p:stop(Pool).

resize_down(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Pool = start_all(#{min => 2, max => 6, worker => worker(#{})}),
    Held = [take(Pool) || _ <- lists:seq(1, 6)],
    [ok = ?p:checkin(Pool, Lease) || {_, Lease} <- Held],
    ?assertMatch(#{workers := 6, idle := 6}, ?p:status(Pool)),
    ok = ?p:resize(Pool, 1),
    workers(Pool, #{workers => 1, idle => 1, min => 1, max => 1}),
    [{_, #{reason := resize}} = event([pool, worker, down]) || _ <- lists:seq(1, 5)],
    ?p:stop(Pool).

%% Those in use go when they come back, and no more than that many go.
resize_down_while_in_use(_) ->
    Pool = start_all(#{min => 0, max => 5, worker => worker(#{})}),
    Held = [take(Pool) || _ <- lists:seq(1, 5)],
    ok = ?p:resize(Pool, {0, 2}),
    until(fun() -> length([r || #{state := retiring} <- ?p:workers(Pool)]) =:= 3 end),
    ok = ?p:resize(Pool, {0, 2}),
    ?assertMatch(#{workers := 5, in_use := 5}, ?p:status(Pool)),
    [?assert(is_process_alive(Worker)) || {Worker, _} <- Held],
    [ok = ?p:checkin(Pool, Lease) || {_, Lease} <- Held],
    workers(Pool, #{workers => 2, idle => 2}),
    _ = [take(Pool), take(Pool)],
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 20})),
    ?p:stop(Pool).

resize_of_a_fixed_size(_) ->
    Pool = start_all(#{max => 2, worker => worker(#{})}),
    ok = ?p:resize(Pool, 5),
    workers(Pool, #{min => 5, max => 5, workers => 5}),
    ok = ?p:resize(Pool, 3),
    workers(Pool, #{min => 3, max => 3, workers => 3}),
    ?p:stop(Pool).

%% What is not there yet is not wanted any more.
resize_while_starting(_) ->
    Pool = start(#{max => 4, worker => worker(#{start => asks_me()})}),
    Four = [starting() || _ <- [1, 2, 3, 4]],
    ok = ?p:resize(Pool, 1),
    [go(Pid) || Pid <- Four],
    workers(Pool, #{workers => 1, idle => 1, starting => 0}),
    ok = ?p:resize(Pool, 2),
    go(starting()),
    workers(Pool, #{workers => 2}),
    ?p:stop(Pool),
    Failing = start(#{max => 4, worker => worker(#{start => fun() -> {error, nxdomain} end}), backoff => #{min => ?LONG, max => ?LONG}}),
    workers(Failing, #{retrying => 4}),
    ok = ?p:resize(Failing, 1),
    ?assertMatch(#{retrying := 1}, ?p:status(Failing)),
    ?p:stop(Failing).

suspended_pools_do_not_grow(_) ->
    Pool = start(#{min => 0, max => 2, worker => worker(#{})}),
    ok = ?p:suspend(Pool),
    Waiting = waiting(Pool, 2),
    ?assertMatch(#{workers := 0, starting := 0}, ?p:status(Pool)),
    ok = ?p:resume(Pool),
    ok = served(Waiting),
    ?p:stop(Pool).

%% Also by workers that have to be started for it.
draining_pools_serve_who_waits(_) ->
    Pool = start_all(#{max => 1, worker => worker(#{})}),
    {Worker, _} = take(Pool),
    Waiting = waiting(Pool, 3),
    ?assertEqual({error, timeout}, ?p:drain(Pool, 0)),
    exit(Worker, kill),
    ok = served(Waiting),
    ok = ?p:drain(Pool, infinity),
    ?p:stop(Pool).

leaks_are_told_once(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Pool = start_all(#{max => 3, name => leaking, leak_timeout => 20, worker => worker(#{})}),
    Leaks = spawn(fun() -> leaks(Pool) end),
    {#{held := Held}, #{pool := leaking, owner := Leaks, worker := Worker, stacktrace := Stack}} =
        event([pool, leak]),
    ?assert(Held > 20),
    ?assertMatch([{?MODULE, leaks, 1, _} | _], [Entry || {?MODULE, _, _, _} = Entry <- Stack]),
    ?assertEqual([Worker], [W || #{worker := W, state := in_use} <- ?p:workers(Pool)]),
    {Other, Lease} = take(Pool),
    Self = self(),
    {_, #{owner := Self, worker := Other}} = event([pool, leak]),
    timer:sleep(100),
    ?assertEqual([], events([pool, leak])),
    %% The next lease of it is another one.
    ok = ?p:checkin(Pool, Lease),
    {Other, _} = take(Pool),
    {_, #{owner := Self, worker := Other}} = event([pool, leak]),
    ok = kill(Leaks),
    ?p:stop(Pool).

leaks(Pool) ->
    _ = take(Pool),
    receive never -> ok end,
    leaks(Pool).

%% Whoever has ended leaks nothing.
leaks_of_the_dead(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Pool = start_all(#{max => 1, leak_timeout => 50, worker => worker(#{reset => fun(_) -> ok end})}),
    [
        begin
            User = user(),
            _ = ask(User, fun() -> take(Pool) end),
            ok = kill(User)
        end
     || _ <- lists:seq(1, 20)
    ],
    timer:sleep(150),
    ?assertEqual([], [Leak || {#{held := Held}, _} = Leak <- events([pool, leak]), Held =< 50]),
    workers(Pool, #{idle => 1}),
    ?assertEqual([], ?p:leases(Pool, 0)),
    ?p:stop(Pool).

%%% Metrics

metrics(_) ->
    ok = erlmcp_native_test_metrics:restart(),
    Pool = start_all(#{max => 2, name => measured, queue => 1, worker => worker(#{})}),
    {_, Lease} = take(Pool),
    {_, Other} = take(Pool),
    {error, timeout} = ?p:checkout(Pool, #{timeout => 0}),
    Waiting = waiting(Pool, 1),
    {error, overloaded} = ?p:checkout(Pool),
    Values = values(),
    ?assertEqual(2, value(<<"erlmcp_pool_checkouts">>, result, <<"ok">>, Values)),
    ?assertEqual(1, value(<<"erlmcp_pool_checkouts">>, result, <<"timeout">>, Values)),
    ?assertEqual(1, value(<<"erlmcp_pool_checkouts">>, result, <<"full">>, Values)),
    ?assertEqual(0, value(<<"erlmcp_pool_checkouts">>, result, <<"dropped">>, Values)),
    [
        ?assertEqual(Value, value(<<"erlmcp_pool_connections">>, state, State, Values))
     || {State, Value} <- [
            {<<"in_use">>, 2}, {<<"idle">>, 0}, {<<"away">>, 0}, {<<"waiting">>, 1}
        ]
    ],
    ok = ?p:checkin(Pool, Lease),
    ok = served(Waiting),
    #{wait_histogram := Waits} = ?p:status(Pool),
    #{<<"erlmcp_pool_wait_seconds">> := {histogram, [{[{<<"pool">>, <<"measured">>}], Waits, _, _}]}} = values(),
    {_, Text} = erlmcp_native_prometheus:exposition(),
    [
        ?assertNotEqual(nomatch, binary:match(Text, Line))
     || Line <- [
            <<"erlmcp_pool_checkouts_total{pool=\"measured\",result=\"ok\"} 3\n">>,
            <<"erlmcp_pool_connections{pool=\"measured\",state=\"in_use\"} 1\n">>,
            <<"erlmcp_pool_wait_seconds_count{pool=\"measured\"} 1\n">>
        ]
    ],
    ok = ?p:checkin(Pool, Other),
    ?p:stop(Pool).

%% One that is not up yet keeps nobody from the numbers of all.
starting_is_shown(_) ->
    ok = erlmcp_native_test_metrics:restart(),
    Test = self(),
    Start = asks_me(),
    Pid = spawn(fun() ->
        {ok, Manager} = ?p:start_link(#{name => measured, max => 1, start => all, worker => worker(#{start => Start})}),
        Test ! {up, Manager},
        receive stop -> ok end
    end),
    Keeper = starting(),
    ?assertEqual(0, value(<<"erlmcp_pool_connections">>, state, <<"idle">>, values())),
    go(Keeper),
    Manager = receive {up, M} -> M end,
    ?assertEqual(1, value(<<"erlmcp_pool_connections">>, state, <<"idle">>, values())),
    Pid ! stop,
    ok = ?p:stop(Manager).

stopped_is_not_shown(_) ->
    Pool = start_all(#{max => 1, name => shown, worker => worker(#{})}),
    #{<<"erlmcp_pool_connections">> := {gauge, [_ | _]}} = values(),
    ?p:stop(Pool),
    ?assertMatch(#{<<"erlmcp_pool_connections">> := {gauge, []}}, values()).

values() ->
    maps:from_list([
        {Name, {Type, Series}}
     || {Name, Type, _, _, _, _, Series} <- erlmcp_native_metrics:collect()
    ]).

value(Family, Label, Value, Values) ->
    #{Family := {_, Series}} = Values,
    Labels = [{<<"pool">>, <<"measured">>}, {atom_to_binary(Label), Value}],
    {_, Number, _, _} = lists:keyfind(Labels, 1, Series),
    Number.
