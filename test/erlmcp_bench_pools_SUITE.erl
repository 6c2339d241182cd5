%% The baselines of pools, limits and breakers are right, and what is to find a wrong one finds it.
-module(erlmcp_bench_pools_SUITE).
-behaviour(ct_suite).

-export([all/0]).
-export([
    a_worker_has_one_owner/1,
    a_lease_is_given_back_once/1,
    deadlines_hold/1,
    waiters_are_served_in_their_order/1,
    the_dead_return_what_they_had/1,
    a_dead_waiter_is_in_nobodys_way/1,
    owners_are_forgotten/1,
    kills_lose_nothing/1,
    a_pool_that_is_wrong_is_noticed/1
]).

-define(BASELINE, erlmcp_pool_baseline).
%% Milliseconds, far more than anything takes.
-define(LONG, 60_000).

all() ->
    [
        a_worker_has_one_owner,
        a_lease_is_given_back_once,
        deadlines_hold,
        waiters_are_served_in_their_order,
        the_dead_return_what_they_had,
        a_dead_waiter_is_in_nobodys_way,
        owners_are_forgotten,
        kills_lose_nothing,
        a_pool_that_is_wrong_is_noticed
    ].

a_worker_has_one_owner(_Config) ->
    {ok, Pool} = ?BASELINE:start_link([a, b, c]),
    Leased = [?BASELINE:checkout(Pool, 0) || _ <- [1, 2, 3]],
    [a, b, c] = lists:sort([Worker || {ok, Worker, _} <- Leased]),
    {error, timeout} = ?BASELINE:checkout(Pool, 0),
    #{in_use := 3, waiting := 0} = ?BASELINE:counts(Pool),
    [ok, ok, ok] = [?BASELINE:checkin(Pool, Lease) || {ok, _, Lease} <- Leased],
    #{in_use := 0, waiting := 0} = ?BASELINE:counts(Pool),
    ok = ?BASELINE:stop(Pool).

a_lease_is_given_back_once(_Config) ->
    {ok, Pool} = ?BASELINE:start_link([a]),
    {ok, a, Lease} = ?BASELINE:checkout(Pool),
    ok = ?BASELINE:checkin(Pool, Lease),
    stale = ?BASELINE:checkin(Pool, Lease),
    Holder = client(Pool, ?LONG),
    {ok, a, _} = result(Holder),
    stale = ?BASELINE:checkin(Pool, Lease),
    {error, timeout} = ?BASELINE:checkout(Pool, 0),
    ok = ended(Holder, kill),
    ok = ?BASELINE:stop(Pool).

deadlines_hold(_Config) ->
    {ok, Pool} = ?BASELINE:start_link([a]),
    {ok, a, Lease} = ?BASELINE:checkout(Pool, infinity),
    Before = erlang:monotonic_time(millisecond),
    {error, timeout} = ?BASELINE:checkout(Pool, 30),
    true = erlang:monotonic_time(millisecond) - Before >= 29,
    #{waiting := 0} = ?BASELINE:counts(Pool),
    {message_queue_len, 0} = process_info(self(), message_queue_len),
    ok = ?BASELINE:checkin(Pool, Lease),
    ok = ?BASELINE:stop(Pool).

waiters_are_served_in_their_order(_Config) ->
    {ok, Pool} = ?BASELINE:start_link([a]),
    {ok, a, Lease} = ?BASELINE:checkout(Pool),
    Clients = [waiting_client(Pool, Number) || Number <- lists:seq(1, 5)],
    ok = ?BASELINE:checkin(Pool, Lease),
    lists:foreach(
        fun(Client) ->
            {ok, a, _} = result(Client),
            ok = ended(Client, normal)
        end,
        Clients
    ),
    #{in_use := 0, waiting := 0} = ?BASELINE:counts(Pool),
    ok = ?BASELINE:stop(Pool).

the_dead_return_what_they_had(_Config) ->
    {ok, Pool} = ?BASELINE:start_link([a, b]),
    Self = self(),
    {Holder, Monitor} = spawn_monitor(fun() ->
        Self ! {self(), [?BASELINE:checkout(Pool) || _ <- [1, 2]]},
        receive
            never -> ok
        end
    end),
    [{ok, _, _}, {ok, _, _}] = result({Holder, Monitor}),
    First = waiting_client(Pool, 1),
    Second = waiting_client(Pool, 2),
    ok = ended({Holder, Monitor}, kill),
    [a, b] = lists:sort([Worker || Client <- [First, Second], {ok, Worker, _} <- [result(Client)]]),
    [ok, ok] = [ended(Client, kill) || Client <- [First, Second]],
    {ok, _, _} = ?BASELINE:checkout(Pool, ?LONG),
    {ok, _, _} = ?BASELINE:checkout(Pool, ?LONG),
    ok = ?BASELINE:stop(Pool).

a_dead_waiter_is_in_nobodys_way(_Config) ->
    {ok, Pool} = ?BASELINE:start_link([a]),
    {ok, a, Lease} = ?BASELINE:checkout(Pool),
    Dead = waiting_client(Pool, 1),
    Next = waiting_client(Pool, 2),
    ok = ended(Dead, kill),
    ok = ?BASELINE:checkin(Pool, Lease),
    {ok, a, _} = result(Next),
    ok = ended(Next, kill),
    ok = ?BASELINE:stop(Pool).

owners_are_forgotten(_Config) ->
    {ok, Pool} = ?BASELINE:start_link([a]),
    lists:foreach(
        fun(_) ->
            Client = client(Pool, ?LONG),
            {ok, a, _} = result(Client),
            ok = ended(Client, normal)
        end,
        lists:seq(1, 20)
    ),
    ok = until(fun() -> maps:get(owners, ?BASELINE:counts(Pool)) =:= 0 end),
    #{in_use := 0} = ?BASELINE:counts(Pool),
    ok = ?BASELINE:stop(Pool).

kills_lose_nothing(_Config) ->
    Subject = erlmcp_bench_pools_subjects:pure_erlang(),
    Figures = erlmcp_bench_pools_subjects:with(Subject, 16, fun(Pool) ->
        erlmcp_bench_pools_kills:storm(Subject, Pool, 2)
    end),
    Figures = erlmcp_bench_pools_kills:counted(Figures),
    {kills, Kills, count} = lists:keyfind(kills, 1, Figures),
    {pairs, Pairs, count} = lists:keyfind(pairs, 1, Figures),
    true = Kills > 0 andalso Pairs > 0.

%% One that gives every worker to all, one that loses those of the dead, and one that leaves messages.
a_pool_that_is_wrong_is_noticed(_Config) ->
    Right = erlmcp_bench_pools_subjects:pure_erlang(),
    #{checkout := Checkout} = Right,
    Storm = fun(Subject) ->
        Figures = erlmcp_bench_pools_subjects:with(Subject, 16, fun(Pool) ->
            erlmcp_bench_pools_kills:storm(Subject, Pool, 1)
        end),
        {error, {not_zero, Wrong}} =
            try
                erlmcp_bench_pools_kills:counted(Figures)
            catch
                Class:Reason -> {Class, Reason}
            end,
        [Figure || {Figure, _} <- Wrong]
    end,
    Shared = Storm(Right#{checkout := fun(_, _) -> {ok, worker, lease} end, checkin := fun(_, _) -> ok end}),
    true = lists:member(handed_out_twice, Shared),
    true = lists:member(lost_workers, Shared),
    Noisy = Storm(Right#{
        checkout := fun(Pool, Timeout) ->
            Answer = Checkout(Pool, Timeout),
            _ = erlang:send_after(10, self(), late),
            Answer
        end
    }),
    [late_messages] = Noisy.

%% A process that takes a worker, tells what it got, and gives it back when it is to end normally.

client(Pool, Timeout) ->
    Self = self(),
    spawn_monitor(fun() ->
        Answer = ?BASELINE:checkout(Pool, Timeout),
        Self ! {self(), Answer},
        receive
            stop ->
                {ok, _, Lease} = Answer,
                ok = ?BASELINE:checkin(Pool, Lease)
        end
    end).

%% One that is the last of so many in the queue.
waiting_client(Pool, Number) ->
    Client = client(Pool, ?LONG),
    ok = until(fun() -> maps:get(waiting, ?BASELINE:counts(Pool)) =:= Number end),
    Client.

result({Pid, Monitor}) ->
    receive
        {Pid, Answer} -> Answer;
        {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
    end.

ended({Pid, Monitor}, How) ->
    _ =
        case How of
            normal -> Pid ! stop;
            kill -> exit(Pid, kill)
        end,
    receive
        {'DOWN', Monitor, process, Pid, _} -> ok
    end.

until(Is) ->
    case Is() of
        true ->
            ok;
        false ->
            timer:sleep(1),
            until(Is)
    end.
