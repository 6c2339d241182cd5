%% The door to pools: who has which worker. Waiting is in erlmcp_native_pool_wait_SUITE, what becomes of workers
%% in erlmcp_native_pool_life_SUITE, sizes in erlmcp_native_pool_size_SUITE.
-module(erlmcp_native_pool_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    takes_and_gives_back/1,
    involves_no_process/1,
    gives_back_once/1,
    leases_are_of_one_pool/1,
    owner_dies_while_holding/1,
    owner_dies_with_many/1,
    owner_dies_while_returning/1,
    another_process_gives_back/1,
    with_gives_back/1,
    with_raises/1,
    with_resets_what_failed/1,
    strategies/1,
    sticky_by_key/1,
    sticky_by_process/1,
    shared_workers/1,
    shared_workers_of_dead_owners/1,
    tokens/1,
    static_workers/1,
    static_workers_that_die/1,
    workers_of_any_kind/1,
    plain_workers/1,
    names/1,
    unnamed/1,
    status_tells/1,
    workers_and_leases/1,
    wrong_options/1,
    wrong_arguments/1,
    shell_explains/1,
    under_a_supervisor/1
]).

-import(erlmcp_native_test_pool, [
    start/1, start_all/1, workers/2, user/0, ask/2, kill/1, finish/1, take/1, take/2
]).
-import(erlmcp_native_test_wait, [until/1]).

-define(p, erlmcp_native_pool).

all() ->
    [
        takes_and_gives_back,
        involves_no_process,
        gives_back_once,
        leases_are_of_one_pool,
        owner_dies_while_holding,
        owner_dies_with_many,
        owner_dies_while_returning,
        another_process_gives_back,
        with_gives_back,
        with_raises,
        with_resets_what_failed,
        strategies,
        sticky_by_key,
        sticky_by_process,
        shared_workers,
        shared_workers_of_dead_owners,
        tokens,
        static_workers,
        static_workers_that_die,
        workers_of_any_kind,
        plain_workers,
        names,
        unnamed,
        status_tells,
        workers_and_leases,
        wrong_options,
        wrong_arguments,
        shell_explains,
        under_a_supervisor
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

takes_and_gives_back(_) ->
    Pool = start_all(#{max => 2}),
    {A, LeaseA} = take(Pool),
    {B, LeaseB} = take(Pool),
    ?assertNotEqual(A, B),
    ?assertEqual([hello, hello], [gen_server:call(W, hello) || W <- [A, B]]),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 0})),
    ok = ?p:checkin(Pool, LeaseA),
    {A, LeaseC} = take(Pool, #{timeout => 0}),
    ?assertNotEqual(LeaseA, LeaseC),
    ok = ?p:checkin(Pool, LeaseB),
    ok = ?p:checkin(Pool, LeaseC, ok),
    workers(Pool, #{workers => 2, idle => 2, in_use => 0, checkouts => 3, timeouts => 1}),
    ?p:stop(Pool).

%% A free worker is taken and given back while no process of the pool can run.
involves_no_process(_) ->
    Pool = start_all(#{max => 1}),
    #{manager := Manager} = ?p:status(Pool),
    {links, Keepers} = process_info(Manager, links),
    Held = [Pid || Pid <- [Manager | Keepers], Pid =/= self()],
    [true = erlang:suspend_process(Pid) || Pid <- Held],
    [
        begin
            {_, Lease} = take(Pool),
            ok = ?p:checkin(Pool, Lease)
        end
     || _ <- lists:seq(1, 1000)
    ],
    {_, Last} = take(Pool),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 1})),
    ok = ?p:checkin(Pool, Last),
    [true = erlang:resume_process(Pid) || Pid <- Held],
    ?p:stop(Pool).

gives_back_once(_) ->
    Pool = start_all(#{max => 1}),
    {Worker, Lease} = take(Pool),
    ok = ?p:checkin(Pool, Lease),
    ?assertEqual({error, stale}, ?p:checkin(Pool, Lease)),
    {Worker, Next} = take(Pool),
    %% What has come back once does not take it from its next owner.
    ?assertEqual({error, stale}, ?p:checkin(Pool, Lease)),
    ?assertEqual({error, stale}, ?p:checkin(Pool, Lease, broken)),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 0})),
    ok = ?p:checkin(Pool, Next),
    ?assertMatch(#{idle := 1, broken := 0}, ?p:status(Pool)),
    ?p:stop(Pool).

leases_are_of_one_pool(_) ->
    [One, Other] = [start_all(#{max => 1}) || _ <- [1, 2]],
    {_, Lease} = take(One),
    {_, OfOther} = take(Other),
    ?assertEqual({error, stale}, ?p:checkin(Other, Lease)),
    ?assertMatch(#{in_use := 1}, ?p:status(Other)),
    ok = ?p:checkin(One, Lease),
    ok = ?p:checkin(Other, OfOther),
    [?p:stop(Pool) || Pool <- [One, Other]].

owner_dies_while_holding(_) ->
    Pool = start_all(#{max => 1}),
    User = user(),
    {Worker, Lease} = ask(User, fun() -> take(Pool) end),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 0})),
    ok = kill(User),
    {Worker, Mine} = take(Pool),
    ?assertEqual({error, stale}, ?p:checkin(Pool, Lease)),
    ?assertMatch(#{reclaimed := 1, in_use := 1, workers := 1}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Mine),
    ?p:stop(Pool).

owner_dies_with_many(_) ->
    Pool = start_all(#{max => 100}),
    User = user(),
    _ = ask(User, fun() -> [take(Pool) || _ <- lists:seq(1, 100)] end),
    ?assertMatch(#{in_use := 100, owners := 1}, ?p:status(Pool)),
    ok = kill(User),
    workers(Pool, #{idle => 100, in_use => 0, reclaimed => 100, owners => 0}),
    ?p:stop(Pool).

%% Killed at any moment of a loop of both.
owner_dies_while_returning(_) ->
    Pool = start_all(#{max => 2}),
    Loop = fun Loop() ->
        {_, Lease} = take(Pool),
        ok = ?p:checkin(Pool, Lease),
        Loop()
    end,
    [
        begin
            Users = [spawn(Loop) || _ <- [1, 2, 3]],
            _ = [erlang:yield() || _ <- lists:seq(1, rand:uniform(20))],
            [ok = kill(User) || User <- Users]
        end
     || _ <- lists:seq(1, 300)
    ],
    workers(Pool, #{workers => 2, idle => 2, in_use => 0, waiting => 0, owners => 0}),
    {A, LeaseA} = take(Pool),
    {B, LeaseB} = take(Pool),
    ?assertNotEqual(A, B),
    [ok = ?p:checkin(Pool, Lease) || Lease <- [LeaseA, LeaseB]],
    ?p:stop(Pool).

another_process_gives_back(_) ->
    Pool = start_all(#{max => 1}),
    User = user(),
    {_, Lease} = ask(User, fun() -> take(Pool) end),
    ok = ?p:checkin(Pool, Lease),
    {_, Mine} = take(Pool),
    %% It has nothing any more that its end could give back.
    ok = kill(User),
    ?assertMatch(#{in_use := 1, reclaimed := 0}, ?p:status(Pool)),
    ok = ?p:checkin(Pool, Mine),
    ?p:stop(Pool).

with_gives_back(_) ->
    Pool = start_all(#{max => 1}),
    ?assertEqual({did, hello}, ?p:with(Pool, fun(W) -> {did, gen_server:call(W, hello)} end)),
    ?assertEqual(3, ?p:with(Pool, fun(_) -> 3 end, #{timeout => 0, priority => high, key => k})),
    ?assertMatch(#{idle := 1, checkouts := 2}, ?p:status(Pool)),
    ?p:stop(Pool).

with_raises(_) ->
    Pool = start_all(#{max => 1}),
    %% As it was raised, with its stack.
    Raise = fun(_) -> erlang:raise(throw, {some, reason}, [{a_module, a_function, 0, []}]) end,
    try ?p:with(Pool, Raise, #{on_exception => ok}) of
        _ -> ct:fail(no_exception)
    catch
        throw:{some, reason}:Stack -> ?assertMatch([{a_module, a_function, 0, []} | _], Stack)
    end,
    ?assertMatch(#{idle := 1}, ?p:status(Pool)),
    [Before] = ?p:workers(Pool),
    ?assertError(function_clause, ?p:with(Pool, fun(never) -> ok end, #{on_exception => ok})),
    ?assertExit(stop, ?p:with(Pool, fun(_) -> exit(stop) end, #{on_exception => ok})),
    ?assertMatch([#{uses := 3}], ?p:workers(Pool)),
    ?assertMatch(#{uses := 1}, Before),
    {_, Lease} = take(Pool),
    ?assertError({checkout, timeout}, ?p:with(Pool, fun(_) -> ok end, #{timeout => 0})),
    ok = ?p:checkin(Pool, Lease),
    ?p:stop(Pool),
    ?assertError({checkout, closed}, ?p:with(Pool, fun(_) -> ok end)).

%% As a worker whose owner ended; one that was broken is replaced.
with_resets_what_failed(_) ->
    Test = self(),
    Reset = fun(Worker) ->
        Test ! {reset, Worker},
        ok
    end,
    Pool = start_all(#{max => 1, worker => {erlmcp_native_test_worker, #{reset => Reset}}}),
    #{worker := Worker} = hd(?p:workers(Pool)),
    ?assertError(oops, ?p:with(Pool, fun(_) -> error(oops) end)),
    receive
        {reset, Worker} -> ok
    end,
    ?assertError(oops, ?p:with(Pool, fun(W) when W =:= Worker -> error(oops) end, #{on_exception => broken})),
    ?assert(?p:with(Pool, fun(W) -> W =/= Worker end)),
    ?p:stop(Pool).

%% The order in which workers come is tested with the native part; here, that each strategy gets there.
strategies(_) ->
    Order = fun(Strategy) ->
        Pool = start_all(#{max => 3, strategy => Strategy}),
        Leases = [take(Pool) || _ <- [1, 2, 3]],
        [ok = ?p:checkin(Pool, Lease) || {_, Lease} <- Leases],
        Back = [Worker || {Worker, _} <- Leases],
        Taken = [
            begin
                {Worker, Lease} = take(Pool),
                ok = ?p:checkin(Pool, Lease),
                Worker
            end
         || _ <- lists:seq(1, 30)
        ],
        ?p:stop(Pool),
        {Back, Taken}
    end,
    {[A, B, C], Fifo} = Order(fifo),
    ?assertEqual(lists:append(lists:duplicate(10, [A, B, C])), Fifo),
    {Lifo, LifoTaken} = Order(lifo),
    ?assertEqual(lists:duplicate(30, lists:last(Lifo)), LifoTaken),
    {Robin, RobinTaken} = Order(round_robin),
    Counted = [length([W || W <- RobinTaken, W =:= Worker]) || Worker <- Robin],
    ?assertEqual([10, 10, 10], Counted),
    [
        begin
            {Back, Taken} = Order(Strategy),
            ?assertEqual([], Taken -- lists:append(lists:duplicate(30, Back)))
        end
     || Strategy <- [random, least_loaded, p2c]
    ],
    {_, Hash} = Order(hash),
    ?assertMatch([_], lists:usort(Hash)).

sticky_by_key(_) ->
    Pool = start_all(#{max => 8, strategy => hash}),
    Of = fun(Key) -> ?p:with(Pool, fun(W) -> W end, #{key => Key}) end,
    Keys = [{client, I} || I <- lists:seq(1, 200)],
    First = [Of(Key) || Key <- Keys],
    ?assertEqual(First, [Of(Key) || Key <- Keys]),
    ?assert(length(lists:usort(First)) > 4),
    ?p:stop(Pool).

%% Without a key, by the process that asks.
sticky_by_process(_) ->
    Pool = start_all(#{max => 8, strategy => hash}),
    Users = [user() || _ <- lists:seq(1, 50)],
    Of = fun(User) -> ask(User, fun() -> ?p:with(Pool, fun(W) -> W end) end) end,
    First = [Of(User) || User <- Users],
    ?assertEqual(First, [Of(User) || User <- Users]),
    ?assert(length(lists:usort(First)) > 2),
    [finish(User) || User <- Users],
    ?p:stop(Pool).

shared_workers(_) ->
    Pool = start_all(#{max => 2, concurrency => 3, strategy => least_loaded}),
    Leases = [take(Pool) || _ <- lists:seq(1, 6)],
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 0})),
    ?assertEqual([3, 3], [InUse || #{in_use := InUse} <- ?p:workers(Pool)]),
    ?assertMatch(#{in_use := 6, workers := 2}, ?p:status(Pool)),
    [ok = ?p:checkin(Pool, Lease) || {_, Lease} <- Leases],
    ?assertEqual([0, 0], [InUse || #{in_use := InUse} <- ?p:workers(Pool)]),
    ?p:stop(Pool).

%% One that ends among several users of a worker disturbs nobody else.
shared_workers_of_dead_owners(_) ->
    Pool = start_all(#{max => 1, concurrency => 2}),
    User = user(),
    {Worker, _} = ask(User, fun() -> take(Pool) end),
    {Worker, Lease} = take(Pool),
    ok = kill(User),
    {Worker, Other} = take(Pool),
    [ok = ?p:checkin(Pool, L) || L <- [Lease, Other]],
    ?assertMatch(#{reclaimed := 1, workers := 1}, ?p:status(Pool)),
    ?p:stop(Pool).

tokens(_) ->
    Pool = start(#{worker => token, concurrency => 3}),
    Leases = [take(Pool) || _ <- [1, 2, 3]],
    ?assertEqual([token, token, token], [Worker || {Worker, _} <- Leases]),
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 0})),
    [ok = ?p:checkin(Pool, Lease) || {_, Lease} <- Leases],
    User = user(),
    _ = ask(User, fun() -> [take(Pool) || _ <- [1, 2, 3]] end),
    ok = kill(User),
    [{token, One}, {token, Two}, {token, Three}] = [take(Pool) || _ <- [1, 2, 3]],
    %% There is nothing that could break or be reset.
    ok = ?p:checkin(Pool, One, broken),
    ok = ?p:checkin(Pool, Two, reset),
    ok = ?p:checkin(Pool, Three),
    ?assertError(oops, ?p:with(Pool, fun(_) -> error(oops) end)),
    workers(Pool, #{in_use => 0, workers => 1}),
    _ = [take(Pool) || _ <- [1, 2, 3]],
    ?assertEqual({error, fixed}, ?p:resize(Pool, 4)),
    ?p:stop(Pool).

static_workers(_) ->
    Mine = [#{host => <<"a">>}, {port, 8080}],
    Pool = start(#{worker => {static, Mine}, strategy => fifo}),
    {A, LeaseA} = take(Pool),
    {B, LeaseB} = take(Pool),
    ?assertEqual(Mine, [A, B]),
    [ok = ?p:checkin(Pool, Lease) || Lease <- [LeaseA, LeaseB]],
    User = user(),
    {A, _} = ask(User, fun() -> take(Pool) end),
    ok = kill(User),
    workers(Pool, #{idle => 2, reclaimed => 1}),
    %% One that is broken is not given out again; nobody can replace it.
    ok = erlmcp_native_events:subscribe(pool),
    {Worker, Lease} = take(Pool),
    ok = ?p:checkin(Pool, Lease, broken),
    {_, #{worker := Worker, reason := broken, pool := Pool}} =
        erlmcp_native_test_pool:event([pool, worker, down]),
    ok = erlmcp_native_events:unsubscribe(pool),
    workers(Pool, #{workers => 1, idle => 1, away => 0}),
    ?assertEqual({error, fixed}, ?p:resize(Pool, 4)),
    ?p:stop(Pool).

static_workers_that_die(_) ->
    [A, B] = Users = [user(), user()],
    Pool = start(#{worker => {static, Users}, concurrency => 10}),
    _ = [take(Pool) || _ <- lists:seq(1, 20)],
    ok = kill(A),
    workers(Pool, #{workers => 1, in_use => 10}),
    ?assertMatch([#{worker := B}], ?p:workers(Pool)),
    %% Nor to start.
    ?assertEqual({error, timeout}, ?p:checkout(Pool, #{timeout => 20})),
    ?assertMatch(#{starting := 0, retrying := 0, last_error := none}, ?p:status(Pool)),
    ?p:stop(Pool),
    %% It is not the pool's to stop.
    finish(B).

workers_of_any_kind(_) ->
    Test = self(),
    Stop = fun(#{id := Id}) -> Test ! {stopped, Id} end,
    Terms = start_all(#{max => 1, worker => {erlmcp_native_test_worker, #{kind => term, stop => Stop}}}),
    {#{id := Id}, Lease} = take(Terms),
    ok = ?p:checkin(Terms, Lease),
    ?p:stop(Terms),
    receive
        {stopped, Id} -> ok
    end,
    Ports = start_all(#{max => 1, worker => {erlmcp_native_test_worker, #{kind => port}}}),
    {Socket, OfPort} = take(Ports),
    {ok, Number} = inet:port(Socket),
    {ok, Client} = gen_tcp:connect("localhost", Number, []),
    ok = gen_tcp:close(Client),
    ok = ?p:checkin(Ports, OfPort),
    %% One that is closed is replaced.
    ok = gen_tcp:close(Socket),
    until(fun() ->
        ?p:with(Ports, fun(Other) -> Other =/= Socket andalso element(1, inet:port(Other)) =:= ok end)
    end),
    {Open, _} = take(Ports),
    ?p:stop(Ports),
    ?assertEqual(undefined, erlang:port_info(Open)).

%% Worker modules of poolboy work as they are.
plain_workers(_) ->
    Pool = start_all(#{max => 2, worker => {erlmcp_native_test_plain_worker, [{size, 1}]}}),
    ?assertEqual([{size, 1}], ?p:with(Pool, fun(W) -> gen_server:call(W, args) end)),
    User = user(),
    {Worker, _} = ask(User, fun() -> take(Pool) end),
    Monitor = monitor(process, Worker),
    ok = kill(User),
    %% It cannot be reset.
    receive
        {'DOWN', Monitor, process, Worker, shutdown} -> ok
    end,
    workers(Pool, #{idle => 2}),
    Workers = [W || #{worker := W} <- ?p:workers(Pool)],
    ?assertNot(lists:member(Worker, Workers)),
    Monitors = [monitor(process, W) || W <- Workers],
    ?p:stop(Pool),
    [receive {'DOWN', M, process, _, shutdown} -> ok end || M <- Monitors].

names(_) ->
    Pool = start_all(#{name => a_pool, max => 1}),
    ?assertEqual(Pool, ?p:handle(a_pool)),
    {Worker, Lease} = take(a_pool),
    ok = ?p:checkin(Pool, Lease),
    {Worker, Next} = take(Pool),
    ok = ?p:checkin(a_pool, Next),
    ?assert(lists:member(a_pool, ?p:names())),
    #{manager := Manager, name := a_pool} = ?p:status(a_pool),
    Opts = #{name => a_pool, worker => token, concurrency => 1},
    %% This process does not trap exits.
    ?assertEqual({error, {already_started, Manager}}, ?p:start_link(Opts)),
    ok = ?p:stop(a_pool),
    ?assertNot(lists:member(a_pool, ?p:names())),
    ?assertEqual({error, closed}, ?p:checkout(a_pool)),
    ?assertError(badarg, ?p:status(a_pool)),
    Again = start(Opts),
    ?assertNotEqual(Pool, Again),
    ?assertEqual({error, closed}, ?p:checkout(Pool)),
    ?p:stop(Again).

unnamed(_) ->
    {ok, Pid} = ?p:start_link(#{worker => token, concurrency => 1}),
    Pool = ?p:handle(Pid),
    ?assertEqual(Pool, ?p:handle(Pool)),
    ?assertMatch(#{name := undefined, handle := Pool, manager := Pid}, ?p:status(Pid)),
    {token, Lease} = take(Pool),
    ok = ?p:stop(Pid),
    ok = ?p:checkin(Pool, Lease),
    ?assertError(badarg, ?p:handle(Pid)).

status_tells(_) ->
    Pool = start_all(#{max => 3, min => 2, strategy => fifo}),
    {_, Lease} = take(Pool),
    Status = ?p:status(Pool),
    ?assertMatch(
        #{
            min := 2, max := 3, strategy := fifo, mode := open, workers := 2, idle := 1, in_use := 1,
            away := 0, starting := 0, retrying := 0, waiting := 0, owners := 1,
            limit := infinity, checkouts := 1, waited := 0, timeouts := 0, overloads := 0, dropped := 0,
            reclaimed := 0, broken := 0, handed_over := 0, barged := 0, last_error := none
        },
        Status
    ),
    ?assert(maps:get(memory, Status) > 0),
    ?assertMatch(#{count := 0}, erlmcp_native_histogram:summary(maps:get(wait_histogram, Status))),
    ok = ?p:checkin(Pool, Lease),
    ?p:stop(Pool).

workers_and_leases(_) ->
    Pool = start_all(#{max => 2}),
    {Worker, Lease} = take(Pool),
    Self = self(),
    until(fun() -> ?p:leases(Pool, 1) =/= [] end),
    [#{lease := Lease, owner := Self, worker := Worker, held := Held}] = ?p:leases(Pool, 0),
    ?assert(Held > 0),
    ?assertEqual([], ?p:leases(Pool, 1_000_000)),
    States = lists:sort([{State, InUse, Uses} || #{state := State, in_use := InUse, uses := Uses} <- ?p:workers(Pool)]),
    ?assertEqual([{idle, 0, 0}, {in_use, 1, 1}], States),
    ok = ?p:checkin(Pool, Lease),
    ?p:stop(Pool).

wrong_options(_) ->
    Good = #{worker => {erlmcp_native_test_worker, #{}}},
    Wrong = [
        [], #{}, #{worker => none}, #{worker => {static, []}}, #{worker => {static, [a | b]}},
        #{worker => {no_such_module, []}}, #{worker => {lists, []}}, #{worker => token},
        #{worker => token, concurrency => 1, max => 2}, #{worker => {static, [a]}, min => 0},
        #{worker => {static, [a]}, health => #{}}, Good#{min => 3, max => 2},
        #{worker => {erlmcp_native_test_plain_worker, []}, health => #{}}
    ] ++ [
        Good#{Key => Value}
     || {Key, Values} <- [
            {size, [1]},
            {name, [undefined, <<"a">>, "a"]},
            {min, [-1, 1.0, infinity, 100_001]},
            {max, [0, 100_001, infinity]},
            {concurrency, [0, 1_000_001]},
            {strategy, [random2, none]},
            {queue, [-1, none]},
            {barging, [-1, infinity]},
            {codel, [true, #{target => 0}, #{goal => 1}]},
            {adaptive, [1, #{min => 0}, #{min => 3, max => 2}, #{initial => 20, max => 10}]},
            {latency_decay, [0]},
            {checkout_timeout, [-1, none, 1 bsl 32]},
            {start, [true]},
            {start_timeout, [0, infinity]},
            {stop_timeout, [-1, infinity]},
            {reset_timeout, [0]},
            {backoff, [none, #{min => 0}, #{min => 10, max => 9}, #{jitter => 1}]},
            {idle_timeout, [0]},
            {max_lifetime, [0]},
            {max_uses, [0]},
            {health, [#{interval => 0}, #{every => 1}, true]},
            {leak_timeout, [0]}
        ],
        Value <- Values
    ],
    [
        begin
            ?assertError(badarg, ?p:start_link(Opts)),
            ?assertError(badarg, ?p:child_spec(Opts))
        end
     || Opts <- Wrong
    ].

wrong_arguments(_) ->
    Pool = start(#{worker => token, concurrency => 1}),
    [?assertError(badarg, ?p:checkout(P)) || P <- [self(), <<"pool">>, 1.0, {pool}]],
    [?assertError(badarg, ?p:checkin(P, 1)) || P <- [self(), <<"pool">>, 1.0, {pool}]],
    [?assertError(badarg, ?p:checkin(P, 1, ok)) || P <- [self(), <<"pool">>, 1.0, {pool}]],
    ?assertEqual({error, closed}, ?p:checkout(no_such_pool)),
    ?assertEqual(ok, ?p:checkin(no_such_pool, 1)),
    [
        ?assertError(badarg, ?p:checkout(Pool, Opts))
     || Opts <- [
            [], #{timeout => -1}, #{timeout => none}, #{timeout => 1 bsl 32}, #{priority => 4},
            #{priority => highest}, #{wait => 1}, #{key => 1, lock => 2}, #{on_exception => ok}
        ]
    ],
    {token, Lease} = take(Pool),
    [?assertError(badarg, ?p:checkin(Pool, L)) || L <- [lease, 1.0, make_ref(), -1, 1 bsl 59, 1 bsl 64]],
    [?assertEqual({error, stale}, ?p:checkin(Pool, L)) || L <- [0, Lease + 1, 1 bsl 58]],
    [?assertError(badarg, ?p:checkin(Pool, Lease, State)) || State <- [bad, true]],
    ok = ?p:checkin(Pool, Lease),
    [?assertError(badarg, ?p:with(Pool, Fun)) || Fun <- [fun() -> ok end, none]],
    [
        ?assertError(badarg, ?p:with(Pool, fun(_) -> ok end, Opts))
     || Opts <- [[], #{on_exception => kill}, #{timeout => -1}, #{wait => 1}]
    ],
    ?assertError(badarg, ?p:drain(Pool, -1)),
    ?assertError(badarg, ?p:leases(Pool, -1)),
    Workers = start(#{max => 1}),
    [?assertError(badarg, ?p:resize(Workers, Size)) || Size <- [0, -1, {2, 1}, {0, 0}, 100_001, a]],
    ?p:stop(Workers),
    ?p:stop(Pool),
    Dead = user(),
    ok = kill(Dead),
    [
        ?assertError(badarg, Call(P))
     || P <- [no_such_pool, Pool, 12345, Dead],
        Call <- [
            fun ?p:status/1, fun ?p:suspend/1, fun ?p:resume/1, fun ?p:handle/1,
            fun(Any) -> ?p:drain(Any, 0) end, fun(Any) -> ?p:resize(Any, 1) end
        ]
    ],
    [
        ?assertError(badarg, Call(P))
     || P <- [no_such_pool, Pool, 12345, Dead],
        Call <- [fun ?p:workers/1, fun(Any) -> ?p:leases(Any, 0) end]
    ],
    [?assertError(badarg, ?p:stop(P)) || P <- [no_such_pool, Pool, 12345]],
    %% Somebody else was quicker.
    ok = ?p:stop(Dead).

shell_explains(_) ->
    Explained = fun(Call) ->
        try
            Call()
        catch
            error:Reason:Stack -> ?p:format_error(Reason, Stack)
        end
    end,
    Text = fun(#{1 := Why}) -> lists:flatten(Why) end,
    ?assertEqual("no worker is given", Text(Explained(fun() -> ?p:start_link(#{}) end))),
    ?assertEqual(
        "no such option or value: {size,3}",
        Text(Explained(fun() -> ?p:start_link(#{worker => token, concurrency => 1, size => 3}) end))
    ),
    ?assertMatch("not a pool" ++ _, Text(Explained(fun() -> ?p:status(none_such) end))),
    ?assertMatch(
        #{general := _}, Explained(fun() -> ?p:with(none_such, fun(_) -> ok end) end)
    ).

%% It comes back with its name when its process or the workers' fail.
under_a_supervisor(_) ->
    Spec = ?p:child_spec(#{
        name => supervised, max => 2, worker => {erlmcp_native_test_worker, #{}}, start => all
    }),
    {ok, Supervisor} = supervisor:start_link(erlmcp_native_test_supervisor, [Spec]),
    #{manager := Manager, handle := Pool} = ?p:status(supervised),
    Workers = [W || #{worker := W} <- ?p:workers(supervised)],
    Monitors = [monitor(process, Pid) || Pid <- [Manager | Workers]],
    exit(Manager, kill),
    [receive {'DOWN', M, process, _, _} -> ok end || M <- Monitors],
    until(fun() -> lists:member(supervised, ?p:names()) end),
    ?assert(?p:with(supervised, fun(W) -> not lists:member(W, Workers) end, #{timeout => infinity})),
    ?assertEqual({error, closed}, ?p:checkout(Pool)),
    Others = [monitor(process, W) || #{worker := W} <- ?p:workers(supervised)],
    _ = process_flag(trap_exit, true),
    ok = gen_server:stop(Supervisor),
    receive {'EXIT', Supervisor, _} -> ok end,
    [receive {'DOWN', M, process, _, shutdown} -> ok end || M <- Others],
    ?assertEqual({error, closed}, ?p:checkout(supervised)),
    %% Beside one without a name there may be another.
    Unnamed = [?p:child_spec(#{worker => token, concurrency => 1}) || _ <- [1, 2]],
    ?assertMatch(ok, supervisor:check_childspecs(Unnamed)).
