%% The baselines of pools, limits and breakers are right, and what is to find a wrong one finds it.
-module(erlmcp_bench_pools_SUITE).
-behaviour(ct_suite).

-export([all/0, init_per_suite/1, end_per_suite/1]).
-export([
    a_worker_has_one_owner/1,
    a_lease_is_given_back_once/1,
    deadlines_hold/1,
    waiters_are_served_in_their_order/1,
    the_dead_return_what_they_had/1,
    a_dead_waiter_is_in_nobodys_way/1,
    owners_are_forgotten/1,
    kills_lose_nothing/1,
    a_pool_that_is_wrong_is_noticed/1,
    limits_admit_as_many_as_there_are/1,
    idle_keys_give_room/1,
    breakers_answer_alike/1
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
        a_pool_that_is_wrong_is_noticed,
        limits_admit_as_many_as_there_are,
        idle_keys_give_room,
        breakers_answer_alike
    ].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_Config) ->
    ok.

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

%% Ours in each form, the baseline, and one process.
limits_admit_as_many_as_there_are(_Config) ->
    [] = [
        {Name, Admitted}
     || #{name := Name} = Subject <- erlmcp_bench_limiters:all(),
        Admitted <- [erlmcp_bench_limiters:admitted(Subject, 8000, 8)],
        Admitted =/= 8000
    ].

%% Full buckets are forgotten for others; where none is full a new key is refused. A key that was forgotten is as
%% one that was never seen.
idle_keys_give_room(_Config) ->
    {ok, Limiter} = erlmcp_limiter_baseline:start_link(#{limit => 1, per => 1_000_000, burst => 2, keys => 3}),
    [{ok, 1}, {ok, 1}, {ok, 1}] = [erlmcp_limiter_baseline:check(Limiter, Key) || Key <- [a, b, c]],
    {error, full} = erlmcp_limiter_baseline:check(Limiter, d),
    {ok, 0} = erlmcp_limiter_baseline:check(Limiter, a),
    {error, rate_limited, Retry} = erlmcp_limiter_baseline:check(Limiter, a),
    true = Retry > 0 andalso Retry =< 1_000_000,
    ok = erlmcp_limiter_baseline:stop(Limiter),
    {ok, Quick} = erlmcp_limiter_baseline:start_link(#{limit => 1000, per => 1, burst => 1, keys => 3}),
    lists:foreach(
        fun(Key) ->
            ok = until(fun() -> erlmcp_limiter_baseline:check(Quick, Key) =:= {ok, 0} end),
            true = erlmcp_limiter_baseline:keys(Quick) =< 3
        end,
        lists:seq(1, 50)
    ),
    ok = erlmcp_limiter_baseline:stop(Quick).

%% The same calls in the same order: five failures in a row open each of them, whatever came before.
breakers_answer_alike(_Config) ->
    lists:foreach(
        fun(Seed) ->
            Native = erlmcp_native_breaker:new(#{failures => 5, open => ?LONG}),
            Baseline = erlmcp_breaker_baseline:new(#{failures => 5, open => ?LONG}),
            {ok, Serialised} = erlmcp_serialised_baseline:start_breaker(5, ?LONG),
            {Outcomes, _} = lists:mapfoldl(
                fun(_, State) -> rand:uniform_s(3, State) end, rand:seed_s(exsss, Seed), lists:seq(1, 300)
            ),
            Answers = [
                [answer(Call(guarded(Outcome))) || Outcome <- Outcomes]
             || Call <- [
                    fun(Fun) -> erlmcp_native_breaker:call(Native, Fun) end,
                    fun(Fun) -> erlmcp_breaker_baseline:call(Baseline, Fun) end,
                    fun(Fun) -> erlmcp_serialised_baseline:call(Serialised, Fun) end
                ]
            ],
            [Same, Same, Same] = Answers,
            true = lists:member(refused, Same),
            open = erlmcp_native_breaker:state(Native),
            open = erlmcp_breaker_baseline:state(Baseline),
            ok = erlmcp_native_breaker:delete(Native),
            ok = erlmcp_serialised_baseline:stop(Serialised)
        end,
        lists:seq(1, 20)
    ),
    %% A probe closes it again, or opens it.
    Breaker = erlmcp_breaker_baseline:new(#{failures => 1, open => 1}),
    {error, no} = erlmcp_breaker_baseline:call(Breaker, fun() -> {error, no} end),
    ok = until(fun() -> erlmcp_breaker_baseline:state(Breaker) =:= half_open end),
    {error, no} = erlmcp_breaker_baseline:call(Breaker, fun() -> {error, no} end),
    ok = until(fun() -> erlmcp_breaker_baseline:state(Breaker) =:= half_open end),
    ok = erlmcp_breaker_baseline:call(Breaker, fun() -> ok end),
    closed = erlmcp_breaker_baseline:state(Breaker).

guarded(1) -> fun() -> ok end;
guarded(_) -> fun() -> {error, failed} end.

answer({error, {circuit_open, _}}) -> refused;
answer(Result) -> Result.

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
