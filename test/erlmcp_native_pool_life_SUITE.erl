%% What becomes of workers: how they start, are made fit again, are checked, end and are replaced.
-module(erlmcp_native_pool_life_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    slow_start_blocks_nobody/1,
    failing_start_backs_off_and_recovers/1,
    failed_starts_tell_why/1,
    why_nobody_is_served/1,
    hung_start_is_ended/1,
    hung_worker_is_ended_with_its_start/1,
    start_waits_for_workers/1,
    start_waits_for_nobody/1,
    start_fails_with_a_worker/1,
    reset_before_reuse/1,
    failed_reset_replaces/1,
    hung_reset_replaces/1,
    hung_reset_touches_no_other/1,
    broken_is_replaced/1,
    dies_idle/1,
    dies_in_use/1,
    dies_soon_and_backs_off/1,
    terms_die_with_what_they_are_made_of/1,
    maximum_of_uses/1,
    maximum_of_life/1,
    life_ends_while_in_use/1,
    health_check_replaces/1,
    hung_check_replaces/1,
    healthy_stays/1,
    shared_are_checked_in_use/1,
    keeper_is_killed/1,
    manager_is_killed/1,
    manager_is_killed_during_a_start/1,
    stop_is_in_order/1,
    stop_ends_the_deaf/1,
    stop_during_a_start/1,
    events_tell/1
]).

-import(erlmcp_native_test_pool, [
    start/1, start_all/1, workers/2, is_waiting/2, user/0, ask/2, tell/2, answer/1, kill/1, finish/1,
    take/1, event/1, events/1
]).
-import(erlmcp_native_test_wait, [until/1]).

-define(p, erlmcp_native_pool).
-define(LONG, 60_000).

all() ->
    [
        slow_start_blocks_nobody,
        failing_start_backs_off_and_recovers,
        failed_starts_tell_why,
        why_nobody_is_served,
        hung_start_is_ended,
        hung_worker_is_ended_with_its_start,
        start_waits_for_workers,
        start_waits_for_nobody,
        start_fails_with_a_worker,
        reset_before_reuse,
        failed_reset_replaces,
        hung_reset_replaces,
        hung_reset_touches_no_other,
        broken_is_replaced,
        dies_idle,
        dies_in_use,
        dies_soon_and_backs_off,
        terms_die_with_what_they_are_made_of,
        maximum_of_uses,
        maximum_of_life,
        life_ends_while_in_use,
        health_check_replaces,
        hung_check_replaces,
        healthy_stays,
        shared_are_checked_in_use,
        keeper_is_killed,
        manager_is_killed,
        manager_is_killed_during_a_start,
        stop_is_in_order,
        stop_ends_the_deaf,
        stop_during_a_start,
        events_tell
    ].

suite() -> [{timetrap, {minutes, 3}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    ok = logger:set_module_level([erlmcp_native_pool_manager, erlmcp_native_pool_keeper], none),
    Config.

end_per_testcase(_, _) ->
    ok = logger:unset_module_level([erlmcp_native_pool_manager, erlmcp_native_pool_keeper]),
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

%% A function that does the first of these, then the next, and goes on with the last.
script(Steps) ->
    Count = counters:new(1, []),
    fun() ->
        ok = counters:add(Count, 1, 1),
        Step = lists:nth(min(counters:get(Count, 1), length(Steps)), Steps),
        Step()
    end.

hang() ->
    fun() -> receive never -> ok end end.

works() ->
    fun() -> ok end.

fails(Reason) ->
    fun() -> {error, Reason} end.

%% It goes on when it is told to.
waits_for_me() ->
    Test = self(),
    fun() ->
        Test ! {here, self()},
        receive
            go -> ok
        end
    end.

gone(Pids) ->
    until(fun() -> not lists:any(fun is_process_alive/1, Pids) end).

%% The keepers and workers of a pool, and its manager.
processes(Pool) ->
    #{manager := Manager} = ?p:status(Pool),
    {links, Links} = process_info(Manager, links),
    Keepers = [Pid || Pid <- Links, Pid =/= self()],
    {Manager, Keepers, [W || #{worker := W} <- ?p:workers(Pool)]}.

slow_start_blocks_nobody(_) ->
    Pool = start(#{max => 2, worker => worker(#{start => script([works(), waits_for_me()])})}),
    Starting = receive {here, Keeper} -> Keeper end,
    workers(Pool, #{workers => 1, starting => 1}),
    [?assertEqual(served, ?p:with(Pool, fun(_) -> served end)) || _ <- lists:seq(1, 100)],
    %% Nor does one that waits for the worker that is there.
    {_, Lease} = take(Pool),
    User = user(),
    Answer = tell(User, fun() -> ?p:with(Pool, fun(_) -> served end) end),
    is_waiting(Pool, 1),
    ok = ?p:checkin(Pool, Lease),
    ?assertEqual(served, answer(Answer)),
    Starting ! go,
    workers(Pool, #{workers => 2, starting => 0}),
    finish(User),
    ?p:stop(Pool).

failing_start_backs_off_and_recovers(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Start = script([fails(nxdomain), fails(nxdomain), fails(econnrefused), works()]),
    Pool = start(#{max => 1, name => failing, worker => worker(#{start => Start}), backoff => #{min => 8, max => 20}}),
    Failed = [event([pool, worker, failed]) || _ <- [1, 2, 3]],
    {#{}, #{pool := failing}} = event([pool, worker, up]),
    ?assertMatch(
        [
            {#{failures := 1, retry_in := A}, #{pool := failing, reason := nxdomain}},
            {#{failures := 2, retry_in := B}, #{reason := nxdomain}},
            {#{failures := 3, retry_in := C}, #{reason := econnrefused}}
        ] when A >= 4 andalso A =< 8 andalso B >= 8 andalso B =< 16 andalso C >= 10 andalso C =< 20,
        Failed
    ),
    ?assertEqual(served, ?p:with(Pool, fun(_) -> served end)),
    ?assertMatch(#{workers := 1, retrying := 0, last_error := none}, ?p:status(Pool)),
    ?p:stop(Pool).

failed_starts_tell_why(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Dies = fun() -> exit(self(), kill), timer:sleep(infinity) end,
    Start = script([
        fun() -> ignore end, fun() -> {ok, not_a, pid} end, fun() -> ok(none) end, fun() -> error(oops) end,
        fun() -> throw(ball) end, Dies, works()
    ]),
    Pool = start(#{max => 1, worker => worker(#{start => Start})}),
    Reasons = [Reason || {_, #{reason := Reason}} <- [event([pool, worker, failed]) || _ <- lists:seq(1, 6)]],
    ?assertEqual(
        [ignore, {bad_return, {ok, not_a, pid}}, {bad_return, {ok}}, {error, oops}, {throw, ball}, {exit, killed}],
        Reasons
    ),
    workers(Pool, #{workers => 1}),
    ?p:stop(Pool).

ok(none) -> {ok}.

%% While no worker can be started, who waits in vain is told why.
why_nobody_is_served(_) ->
    Up = counters:new(1, []),
    Start = fun() ->
        case counters:get(Up, 1) of
            0 -> {error, econnrefused};
            _ -> ok
        end
    end,
    Pool = start(#{max => 1, worker => worker(#{start => Start})}),
    workers(Pool, #{last_error => econnrefused}),
    ?assertEqual({error, {connect, econnrefused}}, ?p:checkout(Pool, #{timeout => 0})),
    ?assertEqual({error, {connect, econnrefused}}, ?p:checkout(Pool, #{timeout => 5})),
    ?assertError({checkout, {connect, econnrefused}}, ?p:with(Pool, fun(_) -> ok end, #{timeout => 5})),
    ok = counters:add(Up, 1, 1),
    {Worker, _} = take(Pool),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 5})),
    %% It goes away again.
    ok = counters:put(Up, 1, 0),
    exit(Worker, kill),
    until(fun() -> ?p:checkout(Pool, #{timeout => 0}) =:= {error, {connect, econnrefused}} end),
    ?p:stop(Pool).

hung_start_is_ended(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Start = script([hang(), works()]),
    Pool = start(#{max => 1, start_timeout => 20, worker => worker(#{start => Start})}),
    {_, #{reason := timeout}} = event([pool, worker, failed]),
    workers(Pool, #{workers => 1}),
    ?p:stop(Pool).

%% Also where what it starts never looks at its parent's end.
hung_worker_is_ended_with_its_start(_) ->
    Before = all_processes(),
    Pool = start(#{max => 1, start_timeout => 20, worker => worker(#{init => hang, traps => true})}),
    workers(Pool, #{last_error => timeout}),
    ?p:stop(Pool),
    until(fun() -> all_processes() -- Before =:= [] end).

all_processes() -> [Pid || Pid <- erlang:processes(), is_of_a_pool(Pid)].

is_of_a_pool(Pid) ->
    case process_info(Pid, dictionary) of
        {dictionary, Dictionary} ->
            case lists:keyfind('$initial_call', 1, Dictionary) of
                {_, {Module, _, _}} ->
                    lists:member(Module, [
                        erlmcp_native_pool_manager, erlmcp_native_pool_keeper, erlmcp_native_test_worker
                    ]);
                false ->
                    false
            end;
        undefined ->
            false
    end.

start_waits_for_workers(_) ->
    Started = counters:new(1, []),
    Start = fun() -> counters:add(Started, 1, 1) end,
    All = start(#{max => 5, start => all, worker => worker(#{start => Start})}),
    ?assertMatch(#{workers := 5, starting := 0}, ?p:status(All)),
    ?p:stop(All),
    First = start(#{max => 2, start => first, worker => worker(#{start => script([works(), waits_for_me()])})}),
    ?assertMatch(#{workers := 1}, ?p:status(First)),
    receive {here, Keeper} -> Keeper ! go end,
    ?p:stop(First),
    %% Nothing to wait for.
    None = start(#{min => 0, max => 2, start => all, worker => worker(#{start => hang()})}),
    ?assertMatch(#{workers := 0, starting := 0}, ?p:status(None)),
    ?p:stop(None),
    %% It returns though its worker hangs.
    Background = start(#{max => 1, worker => worker(#{start => hang()}), stop_timeout => 10}),
    ?assertMatch(#{workers := 0, starting := 1}, ?p:status(Background)),
    ?p:stop(Background).

%% Static workers and tokens need no start.
start_waits_for_nobody(_) ->
    [
        begin
            Pool = start(Opts#{start => Start}),
            ?assertMatch({ok, token, _}, ?p:checkout(Pool)),
            ?p:stop(Pool)
        end
     || Opts <- [#{worker => token, concurrency => 1}, #{worker => {static, [token]}}], Start <- [first, all]
    ].

start_fails_with_a_worker(_) ->
    Before = all_processes(),
    _ = process_flag(trap_exit, true),
    [
        begin
            Opts = #{name => none_of_it, max => 3, start => Start, worker => worker(#{start => script(Steps)})},
            ?assertEqual({error, {connect, econnrefused}}, ?p:start_link(Opts)),
            receive {'EXIT', _, {connect, econnrefused}} -> ok end,
            ?assertEqual({error, closed}, ?p:checkout(none_of_it)),
            until(fun() -> all_processes() -- Before =:= [] end)
        end
     || {Start, Steps} <- [
            {all, [works(), works(), fails(econnrefused)]},
            {first, [fails(econnrefused)]}
        ]
    ],
    process_flag(trap_exit, false).

reset_before_reuse(_) ->
    Test = self(),
    Reset = fun(Worker) ->
        Test ! {resetting, Worker, self()},
        receive
            go -> ok
        end
    end,
    Pool = start_all(#{max => 1, worker => worker(#{reset => Reset}), reset_timeout => ?LONG}),
    User = user(),
    {Worker, _} = ask(User, fun() -> take(Pool) end),
    ok = kill(User),
    Resets = receive {resetting, Worker, Pid} -> Pid end,
    ?assertMatch(#{away := 1, idle := 0, in_use := 0, reclaimed := 1}, ?p:status(Pool)),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 5})),
    Waits = user(),
    Answer = tell(Waits, fun() -> take(Pool) end),
    is_waiting(Pool, 1),
    Resets ! go,
    {Worker, Lease} = answer(Answer),
    %% What comes back by itself is not reset.
    ok = ?p:checkin(Pool, Lease),
    {Worker, Next} = take(Pool),
    %% What is given back to be reset is.
    ok = ?p:checkin(Pool, Next, reset),
    receive {resetting, Worker, Other} -> Other ! go end,
    {Worker, _} = take(Pool),
    finish(Waits),
    ?p:stop(Pool).

failed_reset_replaces(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Results = [fun(_) -> {error, dirty} end, fun(_) -> error(oops) end, fun(_) -> maybe_not end],
    Reasons = [{reset, dirty}, {reset, {error, oops}}, {reset, {bad_return, maybe_not}}],
    [
        begin
            Pool = start_all(#{max => 1, worker => worker(#{reset => Reset})}),
            User = user(),
            {Worker, _} = ask(User, fun() -> take(Pool) end),
            ok = kill(User),
            {Other, _} = take(Pool),
            ?assertNotEqual(Worker, Other),
            gone([Worker]),
            {_, #{worker := Worker, reason := Reason}} = event([pool, worker, down]),
            ?p:stop(Pool)
        end
     || {Reset, Reason} <- lists:zip(Results, Reasons)
    ].

hung_reset_replaces(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Test = self(),
    Reset = fun(_) ->
        Test ! {resetting, self()},
        timer:sleep(infinity)
    end,
    Pool = start_all(#{max => 1, worker => worker(#{reset => Reset}), reset_timeout => 10}),
    User = user(),
    {Worker, _} = ask(User, fun() -> take(Pool) end),
    ok = kill(User),
    Resets = receive {resetting, Pid} -> Pid end,
    {Other, _} = take(Pool),
    ?assertNotEqual(Worker, Other),
    {_, #{worker := Worker, reason := {reset, timeout}}} = event([pool, worker, down]),
    gone([Worker, Resets]),
    ?p:stop(Pool).

hung_reset_touches_no_other(_) ->
    Reset = fun(_) -> timer:sleep(infinity) end,
    Pool = start_all(#{max => 2, worker => worker(#{reset => Reset}), reset_timeout => ?LONG}),
    User = user(),
    {Worker, _} = ask(User, fun() -> take(Pool) end),
    ok = kill(User),
    workers(Pool, #{away => 1, idle => 1}),
    [?assert(?p:with(Pool, fun(W) -> W =/= Worker end)) || _ <- lists:seq(1, 50)],
    ok = ?p:resize(Pool, 3),
    workers(Pool, #{workers => 3, away => 1, idle => 2}),
    ?p:stop(Pool),
    gone([Worker]).

broken_is_replaced(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Pool = start_all(#{max => 1, worker => worker(#{})}),
    {Worker, Lease} = take(Pool),
    ok = ?p:checkin(Pool, Lease, broken),
    {_, #{worker := Worker, reason := broken}} = event([pool, worker, down]),
    {Other, _} = take(Pool),
    ?assertNotEqual(Worker, Other),
    gone([Worker]),
    ?assertMatch(#{broken := 1, workers := 1, in_use := 1}, ?p:status(Pool)),
    ?p:stop(Pool).

dies_idle(_) ->
    Pool = start_all(#{max => 2, worker => worker(#{})}),
    [#{worker := Worker}, _] = ?p:workers(Pool),
    exit(Worker, kill),
    until(fun() -> not lists:any(fun(#{worker := W}) -> W =:= Worker end, ?p:workers(Pool)) end),
    workers(Pool, #{workers => 2, idle => 2}),
    [?assert(is_process_alive(W)) || #{worker := W} <- ?p:workers(Pool)],
    ?p:stop(Pool).

%% Whoever has it finds out; its lease is of no use any more, and harmless.
dies_in_use(_) ->
    Pool = start_all(#{max => 1, worker => worker(#{})}),
    {Worker, Lease} = take(Pool),
    gen_server:cast(Worker, {crash, shutdown}),
    gone([Worker]),
    workers(Pool, #{workers => 1, idle => 1, in_use => 0}),
    ok = ?p:checkin(Pool, Lease),
    ?assertEqual({error, stale}, ?p:checkin(Pool, Lease)),
    {_, Next} = take(Pool),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 0})),
    ok = ?p:checkin(Pool, Next),
    %% The owner ends after its worker.
    User = user(),
    {Mine, _} = ask(User, fun() -> take(Pool) end),
    exit(Mine, kill),
    gone([Mine]),
    workers(Pool, #{idle => 1, in_use => 0}),
    ok = kill(User),
    workers(Pool, #{idle => 1, in_use => 0, owners => 1}),
    ?p:stop(Pool).

%% One that ends soon after its start is not started again and again at once.
dies_soon_and_backs_off(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Pool = start_all(#{max => 1, worker => worker(#{}), backoff => #{min => ?LONG, max => ?LONG}}),
    [#{worker := Worker}] = ?p:workers(Pool),
    exit(Worker, kill),
    {#{age := Age}, #{reason := {exit, killed}}} = event([pool, worker, down]),
    ?assert(Age < ?LONG),
    workers(Pool, #{workers => 0, starting => 0, retrying => 1}),
    %% Also while somebody waits.
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 50})),
    ?assertMatch(#{workers := 0, starting := 0, retrying := 1}, ?p:status(Pool)),
    ?p:stop(Pool).

terms_die_with_what_they_are_made_of(_) ->
    Test = self(),
    Start = fun() ->
        Pid = spawn_link(fun() -> receive Reason -> exit(Reason) end end),
        {ok, #{socket => Pid, stop => fun(#{socket := P}) -> Test ! {stopped, P} end}}
    end,
    Pool = start_all(#{max => 1, worker => worker(#{start => Start})}),
    {#{socket := Pid}, _} = take(Pool),
    Pid ! closed,
    receive {stopped, Pid} -> ok end,
    {#{socket := Other}, _} = take(Pool),
    ?assertNotEqual(Pid, Other),
    ?p:stop(Pool),
    receive {stopped, Other} -> ok end.

maximum_of_uses(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Pool = start_all(#{max => 1, max_uses => 3, worker => worker(#{}), backoff => #{min => ?LONG, max => ?LONG}}),
    Workers = [?p:with(Pool, fun(W) -> W end) || _ <- lists:seq(1, 9)],
    [[A, A, A], [B, B, B], [C, C, C]] = [lists:sublist(Workers, N, 3) || N <- [1, 4, 7]],
    ?assertEqual(3, length(lists:usort([A, B, C]))),
    {_, #{worker := A, reason := uses}} = event([pool, worker, down]),
    gone([A, B]),
    ?p:stop(Pool).

maximum_of_life(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Pool = start_all(#{max => 2, max_lifetime => 30, worker => worker(#{})}),
    Down = [event([pool, worker, down]) || _ <- [1, 2, 3, 4]],
    [?assertMatch({#{age := Age}, #{reason := lifetime}} when Age >= 26, Event) || Event <- Down],
    until(fun() -> ?p:with(Pool, fun is_process_alive/1) end),
    ?p:stop(Pool).

life_ends_while_in_use(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Pool = start_all(#{max => 1, max_lifetime => 500, worker => worker(#{})}),
    {Worker, Lease} = take(Pool),
    until(fun() -> [State || #{state := State} <- ?p:workers(Pool)] =:= [retiring] end),
    ?assert(is_process_alive(Worker)),
    ?assertEqual([], events([pool, worker, down])),
    ok = ?p:checkin(Pool, Lease),
    {_, #{worker := Worker, reason := lifetime}} = event([pool, worker, down]),
    gone([Worker]),
    ?p:stop(Pool).

health_check_replaces(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Check = script([works(), fails(unreachable), works()]),
    Pool = start_all(#{max => 1, health => #{interval => 5}, worker => worker(#{check => fun(_) -> Check() end})}),
    [#{worker := Worker}] = ?p:workers(Pool),
    {_, #{worker := Worker, reason := {check, unreachable}}} = event([pool, worker, down]),
    gone([Worker]),
    workers(Pool, #{workers => 1}),
    ?p:stop(Pool).

hung_check_replaces(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Test = self(),
    Check = fun(_) ->
        Test ! {checking, self()},
        timer:sleep(infinity)
    end,
    Pool = start_all(#{
        max => 1, health => #{interval => 5, timeout => 10}, worker => worker(#{check => Check, start => script([works(), hang()])}),
        stop_timeout => 10
    }),
    [#{worker := Worker}] = ?p:workers(Pool),
    {_, #{worker := Worker, reason := {check, timeout}}} = event([pool, worker, down]),
    receive {checking, Checks} -> gone([Worker, Checks]) end,
    ?p:stop(Pool).

%% It is asked only while nobody has it, and comes back after each check.
healthy_stays(_) ->
    Test = self(),
    Check = fun(Worker) ->
        Test ! {checked, Worker},
        ok
    end,
    Pool = start_all(#{max => 1, health => #{interval => 2}, worker => worker(#{check => Check})}),
    {Worker, Lease} = take(Pool),
    flush_checks(),
    timer:sleep(30),
    ?assertEqual(0, flush_checks()),
    ok = ?p:checkin(Pool, Lease),
    [receive {checked, Worker} -> ok end || _ <- [1, 2, 3]],
    {Worker, _} = take(Pool),
    ?p:stop(Pool),
    _ = flush_checks(),
    ok.

flush_checks() ->
    receive
        {checked, _} -> 1 + flush_checks()
    after 0 -> 0
    end.

shared_are_checked_in_use(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Check = script([works(), works(), fails(goaway), works()]),
    Pool = start_all(#{
        max => 1, concurrency => 10, health => #{interval => 5}, worker => worker(#{check => fun(_) -> Check() end})
    }),
    {Worker, Lease} = take(Pool),
    {_, #{worker := Worker, reason := {check, goaway}}} = event([pool, worker, down]),
    {Other, _} = take(Pool),
    ?assertNotEqual(Worker, Other),
    ok = ?p:checkin(Pool, Lease),
    ?p:stop(Pool).

keeper_is_killed(_) ->
    Pool = start_all(#{max => 2, worker => {erlmcp_native_test_deaf_worker, []}, stop_timeout => 10}),
    {Worker, Lease} = take(Pool),
    {_, Keepers, Workers} = processes(Pool),
    [exit(Keeper, kill) || Keeper <- Keepers],
    gone(Workers),
    workers(Pool, #{workers => 2, idle => 2, in_use => 0}),
    ?assertNot(lists:any(fun(#{worker := W}) -> W =:= Worker end, ?p:workers(Pool))),
    ok = ?p:checkin(Pool, Lease),
    {_, _} = take(Pool),
    ?p:stop(Pool).

%% No worker, no keeper and nobody who waits stays behind.
manager_is_killed(_) ->
    Pool = start_all(#{max => 2, worker => worker(#{traps => true})}),
    {Manager, Keepers, Workers} = processes(Pool),
    [{_, Lease}, _] = [take(Pool), take(Pool)],
    User = user(),
    Answer = tell(User, fun() -> ?p:checkout(Pool) end),
    is_waiting(Pool, 1),
    true = unlink(Manager),
    exit(Manager, kill),
    ?assertEqual({error, closed}, answer(Answer)),
    gone(Keepers ++ Workers),
    ok = ?p:checkin(Pool, Lease),
    finish(User).

manager_is_killed_during_a_start(_) ->
    Before = all_processes(),
    Pool = start(#{max => 2, worker => worker(#{start => script([hang(), works()]), init => hang, traps => true})}),
    workers(Pool, #{starting => 2}),
    {Manager, Keepers, []} = processes(Pool),
    %% One hangs itself, and one waits for a worker that does.
    until(fun() -> length(all_processes() -- Before) =:= 4 end),
    true = unlink(Manager),
    exit(Manager, kill),
    gone(Keepers),
    until(fun() -> all_processes() -- Before =:= [] end).

stop_is_in_order(_) ->
    Test = self(),
    Stop = fun(Worker) ->
        Test ! {stopping, Worker, is_process_alive(Worker), ?p:checkout(stopping, #{timeout => 0})},
        gen_server:stop(Worker)
    end,
    Pool = start_all(#{name => stopping, max => 2, worker => worker(#{stop => Stop})}),
    {Manager, Keepers, Workers} = processes(Pool),
    {_, Lease} = take(Pool),
    ok = ?p:stop(stopping),
    ?assertEqual([], [Pid || Pid <- [Manager | Keepers] ++ Workers, is_process_alive(Pid)]),
    %% The pool had been closed before.
    [receive {stopping, Worker, true, {error, closed}} -> ok end || Worker <- Workers],
    ok = ?p:checkin(Pool, Lease),
    ?assertEqual({error, closed}, ?p:checkout(Pool)).

stop_ends_the_deaf(_) ->
    Test = self(),
    Stop = fun(_) ->
        Test ! stopping,
        timer:sleep(infinity)
    end,
    Handle = fun(Opts) -> start_all(Opts#{max => 1, stop_timeout => 20}) end,
    Deaf = Handle(#{worker => {erlmcp_native_test_deaf_worker, []}}),
    {_, Keepers, Workers} = processes(Deaf),
    ok = ?p:stop(Deaf),
    gone(Keepers ++ Workers),
    Hangs = Handle(#{worker => worker(#{stop => Stop})}),
    {_, Others, More} = processes(Hangs),
    ok = ?p:stop(Hangs),
    receive stopping -> ok end,
    gone(Others ++ More).

stop_during_a_start(_) ->
    Before = all_processes(),
    %% Longer than this test may take.
    Pool = start(#{max => 2, stop_timeout => 600_000, worker => worker(#{start => hang()})}),
    workers(Pool, #{starting => 2}),
    ok = ?p:stop(Pool),
    until(fun() -> all_processes() -- Before =:= [] end).

events_tell(_) ->
    ok = erlmcp_native_events:subscribe(pool),
    Pool = start_all(#{name => telling, max => 1, worker => worker(#{})}),
    [#{worker := Worker}] = ?p:workers(Pool),
    {#{duration := Took}, #{pool := telling, worker := Worker}} = event([pool, worker, up]),
    ?assert(Took > 0),
    exit(Worker, kill),
    {#{age := Age}, #{pool := telling, worker := Worker, reason := {exit, killed}}} = event([pool, worker, down]),
    ?assert(Age >= 0),
    {_, #{worker := Other}} = event([pool, worker, up]),
    ?assertNotEqual(Worker, Other),
    ?p:stop(Pool).
