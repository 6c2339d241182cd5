%% Owners that are killed at random at full load: no worker may be lost, none may be had by two, nobody may
%% wait for ever, and no message may be left in a mailbox. A count other than 0 is a wrong result.
-module(erlmcp_bench_pools_kills).

-export([cases/0, storm/3, counted/1]).

-define(SUBJECTS, erlmcp_bench_pools_subjects).

-define(WORKERS, 16).
-define(CLIENTS, 400).
%% Kills in a millisecond.
-define(BURST, 4).
%% Milliseconds: deadline of those who have one; that a client gets to end when nobody holds anything;
%% and until what comes late has come.
-define(DEADLINE, 3).
-define(PATIENCE, 60_000).
-define(LATE, 100).

%% What all clients share: pairs made, workers had by two, messages left over, whether to end.
-define(PAIRS, 1).
-define(TWICE, 2).
-define(MESSAGES, 3).
-define(END, 4).

-record(storm, {
    subject :: erlmcp_bench_pools_subjects:subject(),
    pool :: term(),
    counts = atomics:new(?END, []) :: atomics:atomics_ref(),
    %% Who has it, a client's number or 0, by worker; and the clients by their numbers.
    holders = ets:new(holders, [public, {read_concurrency, true}]) :: ets:tid(),
    clients = ets:new(clients, [public, {write_concurrency, true}]) :: ets:tid()
}).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    [
        #{
            group => pool_kills,
            id => Id,
            set => pool,
            bytes => 0,
            modes => Modes,
            missing => ?SUBJECTS:missing(),
            subjects => [
                #{
                    name => Name,
                    role => Role,
                    observe => fun() ->
                        Seconds = lasting(Role, Long),
                        counted(?SUBJECTS:with(Subject, ?WORKERS, fun(Pool) -> storm(Subject, Pool, Seconds) end))
                    end
                }
             || #{name := Name, role := Role} = Subject <- ?SUBJECTS:reclaiming()
            ]
        }
     || {Id, Modes, Long} <- [
            {kills_for_2_seconds, [quick], 2},
            {kills_for_a_minute, [standard], 60},
            {kills_for_an_hour, [full], 3600}
        ]
    ].

%% Others than ours only show that they do it too.
lasting(measured, Seconds) -> Seconds;
lasting(_, Seconds) -> min(Seconds, 3).

%% The figures, where the counts are what they must be.
-spec counted([erlmcp_bench_measure:observation()]) -> [erlmcp_bench_measure:observation()].
counted(Figures) ->
    case [{Figure, Count} || {Figure, Count, _} <- Figures, not lists:member(Figure, [kills, pairs]), Count =/= 0] of
        [] -> Figures;
        Wrong -> error({not_zero, Wrong})
    end.

-spec storm(erlmcp_bench_pools_subjects:subject(), erlmcp_bench_pools_subjects:pool(), pos_integer()) ->
    [erlmcp_bench_measure:observation()].
storm(Subject, Pool, Seconds) ->
    Storm = #storm{subject = Subject, pool = Pool},
    Clients = maps:from_list([start_client(Storm) || _ <- lists:seq(1, ?CLIENTS)]),
    Until = erlang:monotonic_time(millisecond) + 1000 * Seconds,
    {Kills, Left} = kill_until(Until, Storm, list_to_tuple(maps:keys(Clients)), Clients, 0),
    ok = atomics:put(Storm#storm.counts, ?END, 1),
    Stuck = ended(Left),
    Lost = lost(Storm),
    #storm{counts = Counts} = Storm,
    [
        {lost_workers, Lost, count},
        {handed_out_twice, atomics:get(Counts, ?TWICE), count},
        {stuck_waiters, Stuck, count},
        {late_messages, atomics:get(Counts, ?MESSAGES), count},
        {kills, Kills, count},
        {pairs, atomics:get(Counts, ?PAIRS), count}
    ].

%% Kills, and a new client for each.

kill_until(Until, Storm, Pids, Clients, Kills) ->
    case erlang:monotonic_time(millisecond) >= Until of
        true ->
            {Kills, Clients};
        false ->
            {NewPids, NewClients} = lists:foldl(
                fun(_, {P, C}) -> kill(Storm, P, C) end, {Pids, Clients}, lists:seq(1, ?BURST)
            ),
            ok = timer:sleep(1),
            kill_until(Until, Storm, NewPids, NewClients, Kills + ?BURST)
    end.

kill(Storm, Pids, Clients) ->
    At = rand:uniform(tuple_size(Pids)),
    Pid = element(At, Pids),
    {{Monitor, Number}, Rest} = maps:take(Pid, Clients),
    true = exit(Pid, kill),
    receive
        {'DOWN', Monitor, process, Pid, killed} -> ok;
        {'DOWN', Monitor, process, Pid, Reason} -> error({client_failed, Reason})
    end,
    true = ets:delete(Storm#storm.clients, Number),
    {New, Started} = start_client(Storm),
    {setelement(At, Pids, New), Rest#{New => Started}}.

start_client(#storm{clients = Clients} = Storm) ->
    Number = erlang:unique_integer([positive]),
    {Pid, Monitor} = spawn_monitor(fun() ->
        true = ets:insert(Clients, {Number, self()}),
        _ = rand:seed(exsss, Number),
        client(Storm, Number)
    end),
    {Pid, {Monitor, Number}}.

client(#storm{subject = Subject, pool = Pool, counts = Counts} = Storm, Number) ->
    #{checkout := Checkout, checkin := Checkin} = Subject,
    %% One in four waits as long as it takes.
    Timeout =
        case rand:uniform(4) of
            1 -> infinity;
            _ -> ?DEADLINE
        end,
    case Checkout(Pool, Timeout) of
        {ok, Worker, Lease} ->
            Holder = holder(Storm, Worker),
            ok = taken(Storm, Holder, Number),
            ok = work(rand:uniform(8)),
            ok = given_back(Storm, Holder, Number),
            _ = Checkin(Pool, Lease),
            ok = atomics:add(Counts, ?PAIRS, 1);
        {error, _} ->
            ok
    end,
    case atomics:get(Counts, ?END) of
        0 -> client(Storm, Number);
        1 -> leftover(Counts)
    end.

work(1) -> timer:sleep(1);
work(2) -> erlang:yield() =:= true andalso ok;
work(_) -> ok.

%% A word to each worker, from its first use on: a pool may have replaced one whose owner ended.
holder(#storm{holders = Holders}, Worker) ->
    case ets:lookup(Holders, Worker) of
        [{_, Holder}] ->
            Holder;
        [] ->
            _ = ets:insert_new(Holders, {Worker, atomics:new(1, [])}),
            ets:lookup_element(Holders, Worker, 2)
    end.

%% Whoever had it before has given it back or is dead.
taken(#storm{counts = Counts, clients = Clients}, Holder, Number) ->
    case atomics:exchange(Holder, 1, Number) of
        0 ->
            ok;
        Before ->
            case ets:lookup(Clients, Before) of
                [{_, Pid}] -> is_process_alive(Pid) andalso atomics:add(Counts, ?TWICE, 1);
                [] -> ok
            end,
            ok
    end.

given_back(#storm{counts = Counts}, Holder, Number) ->
    case atomics:compare_exchange(Holder, 1, Number, 0) of
        ok -> ok;
        _ -> atomics:add(Counts, ?TWICE, 1)
    end.

%% Nobody sends to a client but the pool.
leftover(Counts) ->
    ok = timer:sleep(?LATE),
    {message_queue_len, Length} = process_info(self(), message_queue_len),
    atomics:add(Counts, ?MESSAGES, Length).

%% How many did not end: nobody holds anything for long, so whoever waits still was forgotten.
ended(Clients) ->
    ended(Clients, erlang:monotonic_time(millisecond) + ?PATIENCE).

ended(Clients, _) when map_size(Clients) =:= 0 ->
    0;
ended(Clients, Until) ->
    receive
        {'DOWN', _, process, Pid, normal} -> ended(maps:remove(Pid, Clients), Until);
        {'DOWN', _, process, _, Reason} -> error({client_failed, Reason})
    after max(0, Until - erlang:monotonic_time(millisecond)) ->
        lists:foreach(fun(Pid) -> exit(Pid, kill) end, maps:keys(Clients)),
        map_size(Clients)
    end.

%% All are had at once, each another, or they are lost.
lost(#storm{subject = #{checkout := Checkout, checkin := Checkin}, pool = Pool}) ->
    Leased = [Taken || _ <- lists:seq(1, ?WORKERS), {ok, _, _} = Taken <- [Checkout(Pool, ?PATIENCE div ?WORKERS)]],
    Workers = lists:usort([Worker || {ok, Worker, _} <- Leased]),
    lists:foreach(fun({ok, _, Lease}) -> Checkin(Pool, Lease) end, Leased),
    ?WORKERS - length(Workers).
