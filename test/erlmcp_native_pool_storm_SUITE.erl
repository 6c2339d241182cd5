%% Native pools where very much happens at once: what was counted is right, and everybody is answered. Nothing
%% here is decided by how long it takes.
-module(erlmcp_native_pool_storm_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([
    timeout_storm/1,
    kill_storm_in_order/1,
    kill_storm_with_barging/1,
    kill_storm_with_resets/1,
    kill_storm_of_shared_workers/1,
    kill_storm_beside_workers_that_go/1,
    process_per_request/1,
    one_owner_of_many_leases/1,
    one_owner_that_waits_often/1,
    many_owners_of_many_leases/1,
    opened_and_suspended_while_many_wait/1,
    many_waiters_are_told_it_is_closed/1,
    manager_is_killed_while_many_wait/1,
    killed_between_wake_and_claim/1,
    full_mailboxes/1,
    many_pools/1,
    pools_come_and_go_by_one_name/1
]).

-import(erlmcp_native_test_wait, [until/1]).
-import(erlmcp_native_test_pool_nif, [new/1, new/2, checkout/2, checkout/3, status/2]).

-define(NIF, erlmcp_native_nif).
%% A kill storm has this many users, and goes on until so many have been killed.
-define(USERS, 240).
-define(KILLS, 3000).

all() ->
    [
        timeout_storm,
        kill_storm_in_order,
        kill_storm_with_barging,
        kill_storm_with_resets,
        kill_storm_of_shared_workers,
        kill_storm_beside_workers_that_go,
        process_per_request,
        one_owner_of_many_leases,
        one_owner_that_waits_often,
        many_owners_of_many_leases,
        opened_and_suspended_while_many_wait,
        many_waiters_are_told_it_is_closed,
        manager_is_killed_while_many_wait,
        killed_between_wake_and_claim,
        full_mailboxes,
        many_pools,
        pools_come_and_go_by_one_name
    ].

suite() -> [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

%%% Too many for the time they have

%% 2,000 callers who wait for 20 ms, each 5 times, for 5 workers who work for 2 ms.
timeout_storm(_) ->
    Pool = new(5, #{}),
    Hands = hands(5),
    Caller = fun() -> [stormy(Pool, Hands) || _ <- lists:seq(1, 5)] end,
    Answers = lists:append(results([in_process(Caller) || _ <- lists:seq(1, 2000)])),
    10_000 = length(Answers),
    Served = length([ok || ok <- Answers]),
    TimedOut = length([timeout || timeout <- Answers]),
    ?assertEqual(10_000, Served + TimedOut),
    ?assert(Served > 0 andalso TimedOut > 0),
    ?assertEqual([Served, TimedOut], status(Pool, [checkouts, timeouts])),
    is_at_rest(Pool, 5),
    %% And it serves as if nothing had been.
    Leases = [begin {ok, _, Lease} = ?NIF:pool_checkout(Pool, 1, none), Lease end || _ <- lists:seq(1, 5)],
    wait = ?NIF:pool_checkout(Pool, 1, none),
    [ok = ?NIF:pool_checkin(Pool, Lease, ok) || Lease <- Leases],
    true = ?NIF:pool_delete(Pool),
    {comment, io_lib:format("~b served, ~b timed out", [Served, TimedOut])}.

stormy(Pool, Hands) ->
    Start = erlang:monotonic_time(millisecond),
    Answer = checkout(Pool, 20),
    Took = erlang:monotonic_time(millisecond) - Start,
    case Answer of
        {ok, Worker, Lease} ->
            took(Hands, Worker),
            receive after 2 -> ok end,
            gave_back(Hands, Worker),
            ok = ?NIF:pool_checkin(Pool, Lease, ok);
        timeout ->
            %% The clock may be coarse.
            ?assert(Took >= 10)
    end,
    nothing_is_left(),
    case Answer of timeout -> timeout; _ -> ok end.

%%% Owners that are killed whatever they do

kill_storm_in_order(_) -> kill_storm(#{barging => 0}).

kill_storm_with_barging(_) -> kill_storm(#{barging => 1, strategy => lifo}).

kill_storm_with_resets(_) -> kill_storm(#{reset => true, barging => 1, strategy => random}).

kill_storm_of_shared_workers(_) ->
    kill_storm(#{concurrency => 4, strategy => least_loaded, barging => 1}).

%% Workers end, come, are retired and are taken away meanwhile.
kill_storm_beside_workers_that_go(_) -> kill_storm(#{reset => true, changes => true}).

kill_storm(Options) ->
    {Changes, Config} = case maps:take(changes, Options) of error -> {false, Options}; Taken -> Taken end,
    Self = self(),
    Shared = maps:get(concurrency, Config, 1),
    %% By worker: how many have it, of those that are alive.
    Hands = hands(100_000),
    Keeper = spawn_link(fun() ->
        Pool = new(Config#{max => 16}),
        All = [added(Pool, Worker) || Worker <- lists:seq(1, 16)],
        Self ! {self(), Pool},
        keep(Pool, Hands, maps:from_list(All), 16)
    end),
    Pool = receive {Keeper, Made} -> Made end,
    Stop = atomics:new(1, []),
    User = fun() -> use(Pool, Hands, Shared, Config, Stop) end,
    Users = maps:from_list([{N, spawn_monitor(User)} || N <- lists:seq(1, ?USERS)]),
    Changer = [spawn_link(fun() -> change(Keeper, Stop) end) || Changes],
    Last = killing(?KILLS, User, Users),
    ok = atomics:put(Stop, 1, 1),
    %% Nobody is stuck.
    [receive {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(normal, Reason) end || {Pid, Ref} <- maps:values(Last)],
    [begin unlink(Pid), exit(Pid, kill) end || Pid <- Changer],
    until(fun() -> status(Pool, [owners, in_use, waiting, away]) =:= [0, 0, 0, 0] end),
    [Workers, Idle, Reclaimed, Checkouts] = status(Pool, [workers, idle, reclaimed, checkouts]),
    ?assertEqual(Workers, Idle),
    ?assert(Changes orelse Workers =:= 16),
    ?assertEqual([], ?NIF:pool_leases(Pool, 0, 100)),
    %% Each of them, once.
    Leases = [?NIF:pool_checkout(Pool, 1, none) || _ <- lists:seq(1, Workers * Shared)],
    Given = [Worker || {ok, Worker, _} <- Leases],
    ?assertEqual(Workers * Shared, length(Given)),
    ?assertEqual(Workers, length(lists:usort(Given))),
    wait = ?NIF:pool_checkout(Pool, 1, none),
    true = ?NIF:pool_delete(Pool),
    unlink(Keeper),
    exit(Keeper, kill),
    {comment,
        io_lib:format("~b killed, ~b while they had one; ~b checkouts", [?KILLS, Reclaimed, Checkouts])}.

killing(0, _, Users) ->
    Users;
killing(Left, User, Users) ->
    N = rand:uniform(?USERS),
    #{N := {Pid, Ref}} = Users,
    exit(Pid, kill),
    receive {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(killed, Reason) end,
    [receive after 1 -> ok end || Left rem 8 =:= 0],
    killing(Left - 1, User, Users#{N := spawn_monitor(User)}).

use(Pool, Hands, Shared, Config, Stop) ->
    case atomics:get(Stop, 1) of
        1 ->
            nothing_is_left();
        0 ->
            Timeout = lists:nth(rand:uniform(4), [0, 1, 20, infinity]),
            case checkout(Pool, rand:uniform(4) - 1, Timeout) of
                {ok, Worker, Lease} ->
                    %% What a user that was killed had is reset before, or shared with it in appearance.
                    Tracks = Shared =:= 1 andalso maps:get(reset, Config, false),
                    [took(Hands, Worker) || Tracks],
                    [own(Hands, Worker) || Shared =:= 1, not Tracks],
                    Work = rand:uniform(10),
                    if
                        Work =:= 1 -> receive after 1 -> ok end;
                        Work < 5 -> erlang:yield();
                        true -> ok
                    end,
                    [gave_back(Hands, Worker) || Tracks],
                    [disown(Hands, Worker) || Shared =:= 1, not Tracks],
                    How = lists:nth(rand:uniform(20), [broken, reset | lists:duplicate(18, ok)]),
                    ok = ?NIF:pool_checkin(Pool, Lease, How),
                    [stale = ?NIF:pool_checkin(Pool, Lease, How) || rand:uniform(20) =:= 1];
                timeout ->
                    ?assertNotEqual(infinity, Timeout)
            end,
            nothing_is_left(),
            use(Pool, Hands, Shared, Config, Stop)
    end.

added(Pool, Worker) ->
    Cell = ?NIF:pool_add(Pool, Worker, self(), infinity),
    true = is_integer(Cell),
    {Cell, Worker}.

%% The keeper of all workers, and the pool's manager.
keep(Pool, Hands, Workers, Made) ->
    receive
        {erlmcp_native_pool, grow} ->
            _ = ?NIF:pool_demand(Pool),
            keep(Pool, Hands, Workers, Made);
        {erlmcp_native_pool, Cell, retire} when is_map_key(Cell, Workers) ->
            ok = ?NIF:pool_remove(Pool, Cell),
            keep_and_add(Pool, Hands, maps:remove(Cell, Workers), Made);
        %% It has been removed since.
        {erlmcp_native_pool, Cell, retire} ->
            gone = ?NIF:pool_remove(Pool, Cell),
            keep(Pool, Hands, Workers, Made);
        {erlmcp_native_pool, Cell, _ResetOrBroken} ->
            case Workers of
                #{Cell := Worker} ->
                    ok = atomics:put(Hands, Worker, 0),
                    ok = ?NIF:pool_ready(Pool, Cell);
                #{} ->
                    gone = ?NIF:pool_ready(Pool, Cell)
            end,
            keep(Pool, Hands, Workers, Made);
        {change, How} ->
            {Cell, _} = lists:nth(rand:uniform(map_size(Workers)), maps:to_list(Workers)),
            case How of
                %% Who has it goes on, and gives back what is not there any more.
                remove ->
                    ok = ?NIF:pool_remove(Pool, Cell),
                    keep_and_add(Pool, Hands, maps:remove(Cell, Workers), Made);
                retire ->
                    case ?NIF:pool_retire(Pool, Cell) of
                        removed -> keep_and_add(Pool, Hands, maps:remove(Cell, Workers), Made);
                        retiring -> keep(Pool, Hands, Workers, Made)
                    end;
                take ->
                    case ?NIF:pool_take(Pool, Cell) of
                        ok -> ok = ?NIF:pool_ready(Pool, Cell);
                        busy -> ok
                    end,
                    keep(Pool, Hands, Workers, Made);
                Mode ->
                    ok = ?NIF:pool_mode(Pool, Mode),
                    ok = ?NIF:pool_mode(Pool, open),
                    keep(Pool, Hands, Workers, Made)
            end
    end.

keep_and_add(Pool, Hands, Workers, Made) ->
    {Cell, Worker} = added(Pool, Made + 1),
    keep(Pool, Hands, Workers#{Cell => Worker}, Made + 1).

change(Keeper, Stop) ->
    case atomics:get(Stop, 1) of
        1 ->
            ok;
        0 ->
            Keeper ! {change, lists:nth(rand:uniform(4), [remove, retire, take, suspended])},
            receive after 1 -> change(Keeper, Stop) end
    end.

%%% Very many of something

process_per_request(_) ->
    Pool = new(4, #{}),
    Request = fun() ->
        {ok, _, Lease} = checkout(Pool, infinity),
        case rand:uniform(2) of
            1 -> ok = ?NIF:pool_checkin(Pool, Lease, ok);
            %% The end of the request gives it back.
            2 -> ok
        end
    end,
    [results([in_process(Request) || _ <- lists:seq(1, 500)]) || _ <- lists:seq(1, 200)],
    is_at_rest(Pool, 4),
    [Checkouts, Memory] = status(Pool, [checkouts, memory]),
    ?assertEqual(100_000, Checkouts),
    %% Of 500 at a time, not of all.
    ?assert(Memory < 1_000_000, Memory),
    true = ?NIF:pool_delete(Pool).

%% 20,000 uses of a token end at once; others go on meanwhile.
one_owner_of_many_leases(_) ->
    Pool = new(1, #{concurrency => 20_000}),
    Ticks = atomics:new(1, []),
    Ticker = spawn_link(fun() -> tick(Ticks) end),
    Owner = in_process(fun() ->
        [{ok, 1, _} = ?NIF:pool_checkout(Pool, 1, none) || _ <- lists:seq(1, 20_000)],
        ok
    end),
    %% They get what comes back.
    Waiters = [in_process(fun() -> {ok, 1, _} = checkout(Pool, infinity), ok end) || _ <- lists:seq(1, 100)],
    [ok] = results([Owner]),
    Before = atomics:get(Ticks, 1),
    results(Waiters),
    until(fun() -> atomics:get(Ticks, 1) > Before end),
    is_at_rest(Pool, 1),
    ?assert(hd(status(Pool, [reclaimed])) >= 20_000),
    unlink(Ticker),
    exit(Ticker, kill),
    true = ?NIF:pool_delete(Pool).

tick(Ticks) ->
    atomics:add(Ticks, 1, 1),
    erlang:yield(),
    tick(Ticks).

%% It is killed with 20,000 waits. Those behind it are served, and none of its own.
one_owner_that_waits_often(_) ->
    Pool = new(1, #{barging => 0}),
    {ok, 1, Lease} = ?NIF:pool_checkout(Pool, 1, none),
    Owner = spawn(fun() ->
        [{wait, _, infinity, _} = ?NIF:pool_wait(Pool, 1, none, make_ref(), infinity) || _ <- lists:seq(1, 20_000)],
        receive never -> ok end
    end),
    until(fun() -> status(Pool, [waiting]) =:= [20_000] end),
    Waiter = in_process(fun() -> {ok, 1, _} = checkout(Pool, infinity), ok end),
    until(fun() -> status(Pool, [waiting]) =:= [20_001] end),
    exit(Owner, kill),
    ok = ?NIF:pool_checkin(Pool, Lease, ok),
    [ok] = results([Waiter]),
    is_at_rest(Pool, 1),
    true = ?NIF:pool_delete(Pool).

%% Those that end together have more each than is taken back at once.
many_owners_of_many_leases(_) ->
    Pool = new(2, #{concurrency => 200_000}),
    Owner = fun() ->
        [{ok, _, _} = ?NIF:pool_checkout(Pool, 1, none) || _ <- lists:seq(1, 5000)],
        receive never -> ok end
    end,
    Owners = [in_process(Owner) || _ <- lists:seq(1, 50)],
    until(fun() -> status(Pool, [in_use]) =:= [250_000] end),
    [exit(Pid, kill) || {Pid, _} <- Owners],
    [killed = Reason || Reason <- results(Owners)],
    is_at_rest(Pool, 2),
    [250_000] = status(Pool, [reclaimed]),
    true = ?NIF:pool_delete(Pool).

%% There is room for all of them whenever the pool is open, which it is now and then.
opened_and_suspended_while_many_wait(_) ->
    Pool = new(1, #{concurrency => 1_000_000, barging => 3_600_000}),
    ok = ?NIF:pool_mode(Pool, suspended),
    Wait = fun() -> {ok, 1, _} = checkout(Pool, rand:uniform(4) - 1, infinity), nothing_is_left() end,
    Waiters = [in_process(Wait) || _ <- lists:seq(1, 20_000)],
    until(fun() -> status(Pool, [waiting]) =:= [20_000] end),
    [
        begin
            ok = ?NIF:pool_mode(Pool, open),
            [erlang:yield() || _ <- lists:seq(1, N)],
            ok = ?NIF:pool_mode(Pool, suspended)
        end
     || N <- lists:seq(1, 100)
    ],
    ok = ?NIF:pool_mode(Pool, open),
    ?assertEqual([ok], lists:usort(results(Waiters))),
    is_at_rest(Pool, 1),
    true = ?NIF:pool_delete(Pool).

many_waiters_are_told_it_is_closed(_) ->
    Pool = new(1, #{}),
    {ok, 1, Lease} = ?NIF:pool_checkout(Pool, 1, none),
    Wait = fun() ->
        Answer = checkout(Pool, rand:uniform(4) - 1, infinity),
        nothing_is_left(),
        Answer
    end,
    Waiters = [in_process(Wait) || _ <- lists:seq(1, 100_000)],
    until(fun() -> status(Pool, [waiting]) =:= [100_000] end),
    true = ?NIF:pool_delete(Pool),
    ?assertEqual([closed], lists:usort(results(Waiters))),
    until(fun() -> ?NIF:pool_status(Pool) =:= invalid_pool end),
    invalid_pool = ?NIF:pool_checkin(Pool, Lease, ok).

manager_is_killed_while_many_wait(_) ->
    Name = ?FUNCTION_NAME,
    Self = self(),
    Manager = spawn(fun() ->
        Self ! {self(), new(3, #{name => Name})},
        receive never -> ok end
    end),
    Pool = receive {Manager, Made} -> Made end,
    Leases = [begin {ok, _, Lease} = ?NIF:pool_checkout(Pool, 1, none), Lease end || _ <- lists:seq(1, 3)],
    Waiters = [in_process(fun() -> checkout(Name, infinity) end) || _ <- lists:seq(1, 5000)],
    until(fun() -> status(Pool, [waiting]) =:= [5000] end),
    %% Some of those that wait die with it.
    [exit(Pid, kill) || {Pid, _} <- lists:sublist(Waiters, 1, 200)],
    exit(Manager, kill),
    {Killed, Others} = lists:split(200, results(Waiters)),
    [?assert(lists:member(Answer, [killed, closed])) || Answer <- Killed],
    ?assertEqual([closed], lists:usort(Others)),
    until(fun() -> ?NIF:pool_status(Pool) =:= invalid_pool end),
    undefined = ?NIF:pool_whereis(Name),
    invalid_pool = ?NIF:pool_checkout(Name, 1, none),
    [invalid_pool = ?NIF:pool_checkin(Pool, Lease, ok) || Lease <- Leases].

%%% One at a time

%% Each round one that waits is stopped, told, and killed before it can come.
killed_between_wake_and_claim(_) ->
    [killed_between_wake_and_claim(Barging, Round) || Barging <- [0, 3_600_000], Round <- lists:seq(1, 100)].

killed_between_wake_and_claim(Barging, Round) ->
    Pool = new(1, #{barging => Barging, reset => Round rem 2 =:= 0}),
    {ok, 1, Lease} = ?NIF:pool_checkout(Pool, 1, none),
    [First | Others] = [
        begin
            Waiter = in_process(fun() -> {ok, 1, L} = checkout(Pool, infinity), ?NIF:pool_checkin(Pool, L, ok) end),
            until(fun() -> status(Pool, [waiting]) =:= [N] end),
            Waiter
        end
     || N <- [1, 2, 3]
    ],
    {Pid, _} = First,
    true = erlang:suspend_process(Pid),
    ok = ?NIF:pool_checkin(Pool, Lease, ok),
    exit(Pid, kill),
    ?assertEqual([killed, ok, ok], results([First | Others])),
    is_at_rest(Pool, 1),
    true = ?NIF:pool_delete(Pool).

%% Those who wait have 10,000 other messages each, and find theirs, and keep the others.
full_mailboxes(_) ->
    Pool = new(2, #{}),
    Full = fun() ->
        [self() ! {other, N} || N <- lists:seq(1, 10_000)],
        Done = [
            case checkout(Pool, lists:nth(1 + N rem 2, [infinity, 1])) of
                {ok, _, Lease} -> erlang:yield(), ?NIF:pool_checkin(Pool, Lease, ok);
                timeout -> ok
            end
         || N <- lists:seq(1, 50)
        ],
        [receive {other, N} -> ok after 0 -> error({lost, N}) end || N <- lists:seq(1, 10_000)],
        nothing_is_left(),
        lists:usort(Done)
    end,
    ?assertEqual([[ok]], lists:usort(results([in_process(Full) || _ <- lists:seq(1, 50)]))),
    is_at_rest(Pool, 2),
    true = ?NIF:pool_delete(Pool).

%% A process that has one of each of 50 pools ends; others want what it has.
many_pools(_) ->
    Pools = [new(2, #{}) || _ <- lists:seq(1, 50)],
    Use = fun() ->
        [{ok, _, _} = checkout(Pool, infinity) || Pool <- Pools],
        nothing_is_left(),
        case rand:uniform(3) of
            1 -> ok;
            2 -> exit(self(), kill);
            3 -> error(as_it_is_meant)
        end
    end,
    Users = [spawn_monitor(fun() -> silent(Use) end) || _ <- lists:seq(1, 200)],
    [receive {'DOWN', Ref, process, Pid, _} -> ok end || {Pid, Ref} <- Users],
    [is_at_rest(Pool, 2) || Pool <- Pools],
    [?assertEqual([200, 200], status(Pool, [checkouts, reclaimed])) || Pool <- Pools],
    [true = ?NIF:pool_delete(Pool) || Pool <- Pools].

silent(Fun) ->
    try Fun()
    catch error:as_it_is_meant -> exit(as_it_is_meant)
    end.

%% What a client has of a pool that is gone is nothing to the next of its name.
pools_come_and_go_by_one_name(_) ->
    Name = ?FUNCTION_NAME,
    Stop = atomics:new(1, []),
    %% They call it by its name all the while.
    Callers = [in_process(fun() -> by_name(Name, [], Stop) end) || _ <- lists:seq(1, 20)],
    lists:foldl(
        fun(_, Before) ->
            Pool = new(2, #{name => Name}),
            Pool = ?NIF:pool_whereis(Name),
            {ok, Worker, Lease} = checkout(Pool, infinity),
            Stale = [?NIF:pool_checkin(Pool, Old, ok) || Old <- Before],
            ?assertEqual([], [Answer || Answer <- Stale, Answer =/= stale]),
            [{Lease, _, Worker, _}] = [Held || {_, Owner, _, _} = Held <- leases(Pool), Owner =:= self()],
            true = ?NIF:pool_delete(Pool),
            until(fun() -> ?NIF:pool_whereis(Name) =:= undefined end),
            [Lease | Before]
        end,
        [],
        lists:seq(1, 200)
    ),
    ok = atomics:put(Stop, 1, 1),
    results(Callers).

%% Held for no millisecond yet, it is not listed.
leases(Pool) ->
    case ?NIF:pool_leases(Pool, 0, 100) of
        [] -> leases(Pool);
        Leases ->
            case lists:keymember(self(), 2, Leases) of true -> Leases; false -> leases(Pool) end
    end.

by_name(Name, Old, Stop) ->
    case atomics:get(Stop, 1) of
        1 ->
            nothing_is_left();
        0 ->
            case checkout(Name, 5) of
                %% Given back too late, perhaps.
                {ok, _, Lease} ->
                    erlang:yield(),
                    Answer = ?NIF:pool_checkin(Name, Lease, ok),
                    ?assert(lists:member(Answer, [ok, stale, invalid_pool])),
                    [
                        ?assert(lists:member(?NIF:pool_checkin(Name, Gone, ok), [stale, invalid_pool]))
                     || Gone <- Old
                    ],
                    by_name(Name, lists:sublist([Lease | Old], 10), Stop);
                Answer ->
                    ?assert(lists:member(Answer, [timeout, closed, invalid_pool])),
                    erlang:yield(),
                    by_name(Name, Old, Stop)
            end
    end.

%%% Processes

in_process(Fun) -> spawn_monitor(fun() -> exit({answer, Fun()}) end).

%% Of many: in the order in which they come, as looking for each takes too long.
results(Processes) ->
    Own = maps:from_list([{Ref, none} || {_, Ref} <- Processes]),
    Answers = maps:from_list([
        receive
            {'DOWN', Ref, process, _, {answer, Answer}} when is_map_key(Ref, Own) -> {Ref, Answer};
            {'DOWN', Ref, process, _, Reason} when is_map_key(Ref, Own) -> {Ref, Reason}
        end
     || _ <- Processes
    ]),
    [map_get(Ref, Answers) || {_, Ref} <- Processes].

nothing_is_left() ->
    ?assertEqual({messages, []}, process_info(self(), messages)).

%% When all have ended, whatever they did.
is_at_rest(Pool, Workers) ->
    Self = self(),
    Keep = fun Keep() ->
        receive {erlmcp_native_pool, Cell, reset} -> ok = ?NIF:pool_ready(Pool, Cell), Keep()
        after 0 -> ok
        end
    end,
    until(fun() ->
        Keep(),
        status(Pool, [in_use, waiting, idle]) =:= [0, 0, Workers] andalso
            lists:member(hd(status(Pool, [owners])), [0, 1])
    end),
    ?assertEqual([], [Owner || {_, Owner, _, _} <- ?NIF:pool_leases(Pool, 0, 10), Owner =/= Self]).

%%% In whose hands a worker is

hands(Workers) -> atomics:new(Workers, []).

%% By a count: where nobody dies, or the keeper puts it back.
took(Hands, Worker) -> ?assertEqual(1, atomics:add_get(Hands, Worker, 1)).

gave_back(Hands, Worker) -> ?assertEqual(0, atomics:sub_get(Hands, Worker, 1)).

%% By who it is: whoever had it before has given it back, or is dead.
own(Hands, Worker) ->
    case atomics:exchange(Hands, Worker, number(self())) of
        0 -> ok;
        Before -> ?assertNot(is_process_alive(pid(Before)))
    end.

disown(Hands, Worker) ->
    Own = number(self()),
    ?assertEqual(Own, atomics:exchange(Hands, Worker, 0)).

number(Pid) ->
    [_, Number, Serial] = string:lexemes(pid_to_list(Pid), "<.>"),
    list_to_integer(Number) bsl 20 bor list_to_integer(Serial).

pid(Number) ->
    list_to_pid(lists:flatten(io_lib:format("<0.~b.~b>", [Number bsr 20, Number band 16#fffff]))).
