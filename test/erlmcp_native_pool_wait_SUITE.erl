%% Waiting for a worker: who is next, until when, and who is told that there is none.
-module(erlmcp_native_pool_wait_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    waits_and_is_served/1,
    served_in_order/1,
    served_by_priority/1,
    handed_over_past_newcomers/1,
    newcomers_pass_within_the_bound/1,
    timeout_of_zero_never_waits/1,
    deadlines_hold/1,
    default_timeout/1,
    served_at_the_last_moment/1,
    too_late_to_be_served/1,
    late_wakes_leave_no_message/1,
    dies_while_waiting/1,
    dies_when_it_was_served/1,
    timed_out_are_passed_over/1,
    worker_dies_while_somebody_waits/1,
    queue_is_bounded/1,
    no_queue/1,
    long_waits_are_dropped/1,
    adaptive_limit/1,
    suspended/1,
    drains/1,
    resumed_while_it_drains/1,
    drained_at_once/1,
    drain_tells_of_it/1,
    stop_turns_away/1,
    crash_turns_away/1,
    waits_of_one_process/1,
    waits_with_a_full_mailbox/1,
    shared_workers_are_waited_for/1,
    many_at_once/1,
    killed_at_any_moment/1
]).

-import(erlmcp_native_test_pool, [
    start/1, start_all/1, workers/2, is_waiting/2, user/0, ask/2, tell/2, answer/1, kill/1, finish/1,
    take/1, take/2
]).
-import(erlmcp_native_test_wait, [until/1]).

-define(p, erlmcp_native_pool).
-define(HOUR, 3_600_000).

all() ->
    [
        waits_and_is_served,
        served_in_order,
        served_by_priority,
        handed_over_past_newcomers,
        newcomers_pass_within_the_bound,
        timeout_of_zero_never_waits,
        deadlines_hold,
        default_timeout,
        served_at_the_last_moment,
        too_late_to_be_served,
        late_wakes_leave_no_message,
        dies_while_waiting,
        dies_when_it_was_served,
        timed_out_are_passed_over,
        worker_dies_while_somebody_waits,
        queue_is_bounded,
        no_queue,
        long_waits_are_dropped,
        adaptive_limit,
        suspended,
        drains,
        resumed_while_it_drains,
        drained_at_once,
        drain_tells_of_it,
        stop_turns_away,
        crash_turns_away,
        waits_of_one_process,
        waits_with_a_full_mailbox,
        shared_workers_are_waited_for,
        many_at_once,
        killed_at_any_moment
    ].

suite() -> [{timetrap, {minutes, 3}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_testcase(_, _) ->
    case process_info(self(), messages) of
        {messages, []} -> ok;
        {messages, Late} -> {fail, {late, Late}}
    end.

waits_and_is_served(_) ->
    Pool = start_all(#{max => 1}),
    {Worker, Lease} = take(Pool),
    User = user(),
    Answer = tell(User, fun() -> take(Pool) end),
    is_waiting(Pool, 1),
    ok = ?p:checkin(Pool, Lease),
    {Worker, Next} = answer(Answer),
    #{wait_histogram := Waits, waited := 1, waiting := 0} = ?p:status(Pool),
    ?assertMatch(#{count := 1, min := Least} when Least > 0, erlmcp_native_histogram:summary(Waits)),
    ok = ?p:checkin(Pool, Next),
    finish(User),
    ?p:stop(Pool).

served_in_order(_) ->
    [served_in_order(#{barging => Barging}, lists:duplicate(20, normal), lists:seq(1, 20)) || Barging <- [0, ?HOUR]].

served_by_priority(_) ->
    Priorities = [low, 3, high, normal, 0, 1, 2, low, high],
    Order = [3, 5, 9, 4, 6, 1, 7, 8, 2],
    served_in_order(#{barging => 0}, Priorities, Order).

served_in_order(Opts, Priorities, Order) ->
    Test = self(),
    Pool = start_all(Opts#{max => 1}),
    {_, Lease} = take(Pool),
    Users = [user() || _ <- Priorities],
    _ = [
        begin
            _ = tell(User, fun() ->
                {_, Own} = take(Pool, #{priority => Priority}),
                Test ! {served, N},
                ok = ?p:checkin(Pool, Own)
            end),
            is_waiting(Pool, N)
        end
     || {N, User, Priority} <- lists:zip3(lists:seq(1, length(Users)), Users, Priorities)
    ],
    ok = ?p:checkin(Pool, Lease),
    Served = [receive {served, N} -> N end || _ <- Users],
    ?assertEqual(Order, Served),
    _ = [receive {_, ok} -> ok end || _ <- Users],
    _ = [finish(User) || User <- Users],
    flush_downs(),
    ?p:stop(Pool).

%% The monitors of tell/2 that nobody asked for.
flush_downs() ->
    receive
        {'DOWN', _, process, _, normal} -> flush_downs()
    after 0 -> ok
    end.

%% What is given back goes to the first who waits, also when that cannot run.
handed_over_past_newcomers(_) ->
    Pool = start_all(#{max => 1, barging => 0}),
    {Worker, Lease} = take(Pool),
    User = user(),
    Answer = tell(User, fun() -> take(Pool) end),
    is_waiting(Pool, 1),
    true = erlang:suspend_process(User),
    ok = ?p:checkin(Pool, Lease),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 0})),
    true = erlang:resume_process(User),
    {Worker, Next} = answer(Answer),
    ?assertMatch(#{handed_over := 1, barged := 0}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Next),
    finish(User),
    ?p:stop(Pool).

newcomers_pass_within_the_bound(_) ->
    Pool = start_all(#{max => 1, barging => ?HOUR}),
    {Worker, Lease} = take(Pool),
    User = user(),
    Answer = tell(User, fun() -> take(Pool) end),
    is_waiting(Pool, 1),
    true = erlang:suspend_process(User),
    ok = ?p:checkin(Pool, Lease),
    {Worker, Mine} = take(Pool, #{timeout => 0}),
    true = erlang:resume_process(User),
    %% It has looked, found nothing, and waits on.
    is_waiting(Pool, 1),
    ok = ?p:checkin(Pool, Mine),
    {Worker, Next} = answer(Answer),
    ?assertMatch(#{handed_over := 0, barged := 1}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Next),
    finish(User),
    ?p:stop(Pool).

timeout_of_zero_never_waits(_) ->
    Pool = start_all(#{max => 1}),
    {_, Lease} = take(Pool, #{timeout => 0}),
    [?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 0})) || _ <- lists:seq(1, 100)],
    ?assertMatch(#{waiting := 0, timeouts := 100, waited := 0}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Lease),
    ?p:stop(Pool).

deadlines_hold(_) ->
    Pool = start_all(#{max => 1}),
    {_, Lease} = take(Pool),
    [
        begin
            Begun = erlang:monotonic_time(millisecond),
            ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => Timeout})),
            ?assert(erlang:monotonic_time(millisecond) - Begun >= Timeout)
        end
     || Timeout <- [1, 2, 5, 20, 50]
    ],
    ?assertMatch(#{waiting := 0, timeouts := 5}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Lease),
    ?p:stop(Pool).

default_timeout(_) ->
    Pool = start_all(#{max => 1, checkout_timeout => 5}),
    {_, Lease} = take(Pool),
    ?assertEqual({error, timeout}, ?p:checkout(Pool)),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{priority => low})),
    ?assertError({checkout, timeout}, ?p:with(Pool, fun(_) -> ok end)),
    ?assertMatch(#{timeouts := 3}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Lease),
    ?p:stop(Pool),
    None = start_all(#{max => 1, checkout_timeout => 0}),
    {_, _} = take(None),
    ?assertEqual({error, timeout}, ?p:checkout(None)),
    ?p:stop(None).

%% Handed over in time, and looked at after it.
served_at_the_last_moment(_) ->
    Pool = start_all(#{max => 1, barging => 0}),
    {Worker, Lease} = take(Pool),
    User = user(),
    Answer = tell(User, fun() -> take(Pool, #{timeout => 500}) end),
    is_waiting(Pool, 1),
    true = erlang:suspend_process(User),
    ok = ?p:checkin(Pool, Lease),
    timer:sleep(600),
    true = erlang:resume_process(User),
    case answer(Answer) of
        {Worker, Next} -> ok = ?p:checkin(Pool, Next);
        %% Suspended after its deadline on a machine that stood still.
        {died, {{badmatch, {error, timeout}}, _}} -> ok
    end,
    workers(Pool, #{idle => 1, waiting => 0}),
    ?p:stop(Pool).

%% Told to look in time, but a newcomer was quicker, and then the time was over.
too_late_to_be_served(_) ->
    Pool = start_all(#{max => 1, barging => ?HOUR}),
    {Worker, Lease} = take(Pool),
    User = user(),
    Answer = tell(User, fun() -> ?p:checkout(Pool, #{timeout => 500}) end),
    is_waiting(Pool, 1),
    true = erlang:suspend_process(User),
    ok = ?p:checkin(Pool, Lease),
    {Worker, Mine} = take(Pool),
    timer:sleep(600),
    true = erlang:resume_process(User),
    ?assertEqual({error, timeout}, answer(Answer)),
    finish(User),
    ok = ?p:checkin(Pool, Mine),
    workers(Pool, #{idle => 1, waiting => 0, timeouts => 1}),
    ?p:stop(Pool).

%% Deadlines and returns at the same moments, again and again.
late_wakes_leave_no_message(_) ->
    [
        begin
            Pool = start_all(#{max => 2, barging => Barging}),
            Users = [user() || _ <- lists:seq(1, 12)],
            Loop = fun() ->
                [
                    case ?p:checkout(Pool, #{timeout => rand:uniform(4) - 1}) of
                        {ok, _, Lease} ->
                            timer:sleep(rand:uniform(3) - 1),
                            ok = ?p:checkin(Pool, Lease),
                            1;
                        {error, timeout} ->
                            0
                    end
                 || _ <- lists:seq(1, 150)
                ]
            end,
            Answers = [tell(User, Loop) || User <- Users],
            Served = lists:sum([lists:sum(answer(Answer)) || Answer <- Answers]),
            [finish(User) || User <- Users],
            ?assertMatch(
                #{checkouts := Served, idle := 2, in_use := 0, waiting := 0, owners := Owners} when
                    Owners =< 12,
                ?p:status(Pool)
            ),
            #{timeouts := Timeouts} = ?p:status(Pool),
            ?assertEqual(12 * 150, Served + Timeouts),
            ?p:stop(Pool)
        end
     || Barging <- [0, 1, ?HOUR]
    ].

dies_while_waiting(_) ->
    Pool = start_all(#{max => 1}),
    {Worker, Lease} = take(Pool),
    [First, Second] = [user(), user()],
    _ = tell(First, fun() -> take(Pool) end),
    is_waiting(Pool, 1),
    Answer = tell(Second, fun() -> take(Pool) end),
    is_waiting(Pool, 2),
    ok = kill(First),
    is_waiting(Pool, 1),
    ok = ?p:checkin(Pool, Lease),
    {Worker, Next} = answer(Answer),
    ok = ?p:checkin(Pool, Next),
    finish(Second),
    receive {'DOWN', _, process, First, killed} -> ok end,
    ?p:stop(Pool).

%% It was told, or had been handed the worker, and never came.
dies_when_it_was_served(_) ->
    [
        begin
            Pool = start_all(#{max => 1, barging => Barging}),
            {Worker, Lease} = take(Pool),
            [First, Second] = [user(), user()],
            _ = tell(First, fun() -> take(Pool) end),
            is_waiting(Pool, 1),
            Answer = tell(Second, fun() -> take(Pool) end),
            is_waiting(Pool, 2),
            true = erlang:suspend_process(First),
            ok = ?p:checkin(Pool, Lease),
            ok = kill(First),
            {Worker, Next} = answer(Answer),
            %% It never had the worker: there is nothing to reset.
            ?assertMatch(#{reclaimed := 0, workers := 1}, ?p:status(Pool)),
            ok = ?p:checkin(Pool, Next),
            finish(Second),
            receive {'DOWN', _, process, First, killed} -> ok end,
            ?p:stop(Pool)
        end
     || Barging <- [0, ?HOUR]
    ].

timed_out_are_passed_over(_) ->
    Pool = start_all(#{max => 1, barging => 0}),
    {Worker, Lease} = take(Pool),
    [First, Second] = [user(), user()],
    Late = tell(First, fun() -> ?p:checkout(Pool, #{timeout => 50}) end),
    Answer = tell(Second, fun() -> take(Pool) end),
    ?assertEqual({error, timeout}, answer(Late)),
    is_waiting(Pool, 1),
    ok = ?p:checkin(Pool, Lease),
    {Worker, Next} = answer(Answer),
    ok = ?p:checkin(Pool, Next),
    [finish(User) || User <- [First, Second]],
    ?p:stop(Pool).

worker_dies_while_somebody_waits(_) ->
    Pool = start_all(#{max => 1}),
    {Worker, Lease} = take(Pool),
    User = user(),
    Answer = tell(User, fun() -> take(Pool) end),
    is_waiting(Pool, 1),
    exit(Worker, kill),
    {Other, Next} = answer(Answer),
    ?assertNotEqual(Worker, Other),
    %% The lease went with the worker: nothing of it comes back.
    ok = ?p:checkin(Pool, Lease),
    ?assertMatch(#{in_use := 1, idle := 0, workers := 1}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Next),
    finish(User),
    ?p:stop(Pool).

queue_is_bounded(_) ->
    Pool = start_all(#{max => 1, queue => 2}),
    {_, Lease} = take(Pool),
    Users = [user(), user()],
    Answers = [tell(User, fun() -> ?p:with(Pool, fun(_) -> served end) end) || User <- Users],
    is_waiting(Pool, 2),
    ?assertEqual({error, overloaded}, ?p:checkout(Pool)),
    ?assertEqual({error, overloaded}, ?p:checkout(Pool, #{priority => high, timeout => 1000})),
    ?assertError({checkout, overloaded}, ?p:with(Pool, fun(_) -> ok end)),
    ?assertMatch(#{overloads := 3, waiting := 2}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Lease),
    [served = answer(Answer) || Answer <- Answers],
    [finish(User) || User <- Users],
    ?p:stop(Pool).

no_queue(_) ->
    Pool = start_all(#{max => 1, queue => 0}),
    {_, Lease} = take(Pool),
    ?assertEqual({error, overloaded}, ?p:checkout(Pool)),
    ok = ?p:checkin(Pool, Lease),
    {_, _} = take(Pool),
    ?p:stop(Pool).

%% All have waited for longer than the target for an interval.
long_waits_are_dropped(_) ->
    Pool = start_all(#{max => 1, barging => 0, codel => #{target => 1, interval => 2}}),
    {_, Lease} = take(Pool),
    Users = [user() || _ <- lists:seq(1, 40)],
    Use = fun() ->
        case ?p:checkout(Pool) of
            {ok, _, Own} ->
                timer:sleep(5),
                ok = ?p:checkin(Pool, Own),
                ok;
            {error, Reason} ->
                Reason
        end
    end,
    Answers = [tell(User, Use) || User <- Users],
    is_waiting(Pool, 40),
    timer:sleep(10),
    ok = ?p:checkin(Pool, Lease),
    All = [answer(Answer) || Answer <- Answers],
    Dropped = length([overloaded || overloaded <- All]),
    ?assertEqual([], [Other || Other <- All, Other =/= ok, Other =/= overloaded]),
    ?assert(Dropped > 0 andalso Dropped < 40),
    ?assertMatch(#{dropped := Dropped, idle := 1, waiting := 0}, ?p:status(Pool)),
    [finish(User) || User <- Users],
    ?p:stop(Pool).

adaptive_limit(_) ->
    Pool = start_all(#{max => 3, adaptive => #{min => 2, max => 2}}),
    [{_, Lease}, _] = [take(Pool), take(Pool)],
    ?assertMatch(#{limit := 2, idle := 1}, ?p:status(Pool)),
    ?assertEqual({error, overloaded}, ?p:checkout(Pool)),
    ok = ?p:checkin(Pool, Lease),
    {_, _} = take(Pool),
    ?p:stop(Pool).

suspended(_) ->
    Pool = start_all(#{max => 2}),
    {_, Lease} = take(Pool),
    ok = ?p:suspend(Pool),
    ?assertMatch(#{mode := suspended, in_use := 1}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Lease),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 1})),
    Users = [user() || _ <- [1, 2, 3]],
    Answers = [tell(User, fun() -> ?p:with(Pool, fun(_) -> served end) end) || User <- Users],
    is_waiting(Pool, 3),
    ok = ?p:resume(Pool),
    [served = answer(Answer) || Answer <- Answers],
    [finish(User) || User <- Users],
    ?p:stop(Pool).

drains(_) ->
    Pool = start_all(#{max => 1}),
    {Worker, Lease} = take(Pool),
    [Waits, Drains] = Users = [user(), user()],
    Answer = tell(Waits, fun() -> take(Pool) end),
    is_waiting(Pool, 1),
    ?assertEqual({error, timeout}, ?p:drain(Pool, 0)),
    ?assertEqual({error, closed}, ?p:checkout(Pool)),
    Drained = tell(Drains, fun() -> ?p:drain(Pool, infinity) end),
    ok = ?p:checkin(Pool, Lease),
    %% Who came before is served.
    {Worker, Next} = answer(Answer),
    ?assertEqual({error, timeout}, ?p:drain(Pool, 10)),
    ok = ?p:checkin(Pool, Next),
    ?assertEqual(ok, answer(Drained)),
    ?assertEqual({error, closed}, ?p:checkout(Pool)),
    ok = ?p:resume(Pool),
    ?assertEqual(opened, ?p:with(Pool, fun(_) -> opened end)),
    [finish(User) || User <- Users],
    ?p:stop(Pool).

%% Whoever waits for the end of it is told.
resumed_while_it_drains(_) ->
    Pool = start_all(#{max => 1}),
    {_, Lease} = take(Pool),
    User = user(),
    Drained = tell(User, fun() -> ?p:drain(Pool, infinity) end),
    workers(Pool, #{mode => draining}),
    ok = ?p:resume(Pool),
    ?assertEqual({error, resumed}, answer(Drained)),
    ok = ?p:checkin(Pool, Lease),
    ?assertEqual(opened, ?p:with(Pool, fun(_) -> opened end)),
    finish(User),
    ?p:stop(Pool).

drained_at_once(_) ->
    Pool = start_all(#{max => 1}),
    ?assertEqual(ok, ?p:drain(Pool, 60_000)),
    ?assertEqual(ok, ?p:drain(Pool, infinity)),
    ?p:stop(Pool).

%% An owner's end drains as well.
drain_tells_of_it(_) ->
    Pool = start_all(#{max => 1, name => drains}),
    ok = erlmcp_native_events:subscribe(pool),
    User = user(),
    _ = ask(User, fun() -> take(Pool) end),
    ?assertEqual({error, timeout}, ?p:drain(Pool, 1)),
    ok = kill(User),
    {#{}, #{pool := drains}} = erlmcp_native_test_pool:event([pool, drained]),
    ok = ?p:drain(Pool, infinity),
    ok = erlmcp_native_events:unsubscribe(pool),
    ?p:stop(Pool),
    flush_events().

flush_events() ->
    receive
        {erlmcp_native_event, _, _, _} -> flush_events()
    after 0 -> ok
    end.

stop_turns_away(_) ->
    Pool = start_all(#{max => 1, name => stops}),
    {_, Lease} = take(Pool),
    Users = [user() || _ <- lists:seq(1, 200)],
    Answers = [tell(User, fun() -> ?p:checkout(stops) end) || User <- Users],
    is_waiting(Pool, 200),
    ok = ?p:stop(Pool),
    [{error, closed} = answer(Answer) || Answer <- Answers],
    ok = ?p:checkin(Pool, Lease),
    [finish(User) || User <- Users].

crash_turns_away(_) ->
    Pool = start_all(#{max => 1}),
    #{manager := Manager} = ?p:status(Pool),
    true = unlink(Manager),
    {_, Lease} = take(Pool),
    Users = [user() || _ <- lists:seq(1, 200)],
    Answers = [tell(User, fun() -> ?p:checkout(Pool) end) || User <- Users],
    is_waiting(Pool, 200),
    exit(Manager, kill),
    [{error, closed} = answer(Answer) || Answer <- Answers],
    ok = ?p:checkin(Pool, Lease),
    until(fun() -> ?p:checkout(Pool) =:= {error, closed} end),
    [finish(User) || User <- Users].

%% A process may hold some while it waits for more.
waits_of_one_process(_) ->
    Pool = start_all(#{max => 2}),
    User = user(),
    [{_, One}, {_, Two}] = ask(User, fun() -> [take(Pool), take(Pool)] end),
    ?assertEqual({error, timeout}, ask(User, fun() -> ?p:checkout(Pool, #{timeout => 5}) end)),
    Answer = tell(User, fun() -> take(Pool) end),
    is_waiting(Pool, 1),
    ok = ?p:checkin(Pool, One),
    {_, Three} = answer(Answer),
    ?assertMatch(#{owners := 1, in_use := 2}, ?p:status(Pool)),
    [ok = ?p:checkin(Pool, Lease) || Lease <- [Two, Three]],
    finish(User),
    ?p:stop(Pool).

%% The messages that are there are not gone through for each wait, nor touched.
waits_with_a_full_mailbox(_) ->
    Pool = start_all(#{max => 1}),
    User = user(),
    Ball = fun Ball(0) -> ok; Ball(N) ->
        {_, Lease} = take(Pool),
        erlang:yield(),
        ok = ?p:checkin(Pool, Lease),
        Ball(N - 1)
    end,
    Answer = tell(User, fun() ->
        [self() ! {noise, N} || N <- lists:seq(1, 50_000)],
        Ball(200),
        Noise = [receive {noise, N} -> N end || N <- lists:seq(1, 50_000)],
        length(Noise)
    end),
    Ball(200),
    50_000 = answer(Answer),
    finish(User),
    ?p:stop(Pool).

shared_workers_are_waited_for(_) ->
    Pool = start_all(#{max => 2, concurrency => 2}),
    [{_, Lease} | _] = [take(Pool) || _ <- lists:seq(1, 4)],
    User = user(),
    Answer = tell(User, fun() -> take(Pool) end),
    is_waiting(Pool, 1),
    ok = ?p:checkin(Pool, Lease),
    {_, _} = answer(Answer),
    ?assertMatch(#{in_use := 4, waiting := 0}, ?p:status(Pool)),
    finish(User),
    ?p:stop(Pool).

%% Nobody has what another has, and all are served.
many_at_once(_) ->
    [
        begin
            Pool = start_all(#{max => 4, strategy => Strategy, barging => Barging}),
            Held = ets:new(held, [public]),
            Users = [user() || _ <- lists:seq(1, 32)],
            Loop = fun() ->
                [
                    begin
                        {Worker, Lease} = take(Pool),
                        true = ets:insert_new(Held, {Worker, self()}),
                        [erlang:yield() || N rem 7 =:= 0],
                        true = ets:delete(Held, Worker),
                        ok = ?p:checkin(Pool, Lease)
                    end
                 || N <- lists:seq(1, 300)
                ],
                done
            end,
            Answers = [tell(User, Loop) || User <- Users],
            [done = answer(Answer) || Answer <- Answers],
            [finish(User) || User <- Users],
            ?assertMatch(#{checkouts := 9600, idle := 4, waiting := 0, timeouts := 0}, ?p:status(Pool)),
            ?p:stop(Pool)
        end
     || {Strategy, Barging} <- [
            {fifo, 0}, {lifo, 1}, {round_robin, 1}, {random, 0}, {least_loaded, 1}, {p2c, 0}, {hash, 1}
        ]
    ].

%% Owners are killed wherever they are: no worker is lost, none is had twice, nobody waits for ever.
killed_at_any_moment(_) ->
    Reset = #{reset => fun(_) -> ok end},
    Pool = start_all(#{max => 4, worker => {erlmcp_native_test_worker, Reset}}),
    Held = ets:new(held, [public]),
    Loop = fun Loop() ->
        case ?p:checkout(Pool, #{timeout => rand:uniform(20)}) of
            {ok, Worker, Lease} ->
                case ets:insert(Held, {Worker, self()}) of
                    true -> ok
                end,
                [{Worker, Self}] = ets:lookup(Held, Worker),
                Self = self(),
                erlang:yield(),
                [{Worker, Self}] = ets:lookup(Held, Worker),
                ok = ?p:checkin(Pool, Lease);
            {error, timeout} ->
                ok
        end,
        Loop()
    end,
    {Killed, Faults} = kill_some(2_000, [spawn_monitor(Loop) || _ <- lists:seq(1, 40)], Loop, []),
    ?assertEqual([], Faults),
    ?assertEqual(2_000, Killed),
    workers(Pool, #{workers => 4, idle => 4, in_use => 0, waiting => 0, owners => 0}),
    Leases = [take(Pool) || _ <- [1, 2, 3, 4]],
    ?assertEqual(4, length(lists:usort([Worker || {Worker, _} <- Leases]))),
    [ok = ?p:checkin(Pool, Lease) || {_, Lease} <- Leases],
    ?p:stop(Pool).

kill_some(Kills, Users, Loop, Faults) ->
    kill_some(0, Kills, Users, Loop, Faults).

kill_some(Done, Kills, Users, _Loop, Faults) when Done =:= Kills ->
    {Done, lists:append([killed(User) || User <- Users]) ++ Faults};
kill_some(Done, Kills, [User | Users], Loop, Faults) ->
    erlang:yield(),
    kill_some(Done + 1, Kills, Users ++ [spawn_monitor(Loop)], Loop, killed(User) ++ Faults).

killed({Pid, Monitor}) ->
    exit(Pid, kill),
    receive
        {'DOWN', Monitor, process, Pid, killed} -> [];
        {'DOWN', Monitor, process, Pid, Fault} -> [Fault]
    end.
