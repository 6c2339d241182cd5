%% Several processes that make calls at the same time.
-module(erlmcp_bench_crowd).

-export([time_per_call/2, among/2]).

%% A crowd works for about as many batches of one process as this, so that starting it is lost.
-define(BATCHES, 8).

%% Nanoseconds of the clock on the wall for one call: a process to each of `Calls` repeats it, all
%% begin together, and the time ends with the last. Together they make about `Batch` calls a few
%% times over; half as many each have been made before.
-spec time_per_call([fun(() -> term()), ...], pos_integer()) -> float().
time_per_call(Calls, Batch) ->
    Each = max(2, ?BATCHES * Batch div length(Calls)),
    Workers = [spawn_worker(Call, Each) || Call <- Calls],
    lists:foreach(fun ready/1, Workers),
    Start = erlang:monotonic_time(nanosecond),
    lists:foreach(fun({Pid, _}) -> Pid ! go end, Workers),
    lists:foreach(fun done/1, Workers),
    (erlang:monotonic_time(nanosecond) - Start) / (Each * length(Calls)).

spawn_worker(Call, Each) ->
    Parent = self(),
    spawn_monitor(fun() ->
        true = erlang:garbage_collect(),
        repeat(Call, Each div 2),
        Parent ! {ready, self()},
        receive
            go -> repeat(Call, Each)
        end
    end).

ready({Pid, Monitor}) ->
    receive
        {ready, Pid} -> ok;
        {'DOWN', Monitor, process, Pid, Reason} -> error({subject_failed, Reason})
    end.

done({Pid, Monitor}) ->
    receive
        {'DOWN', Monitor, process, Pid, normal} -> ok;
        {'DOWN', Monitor, process, Pid, Reason} -> error({subject_failed, Reason})
    end.

%% What `Fun` gives, run by a process that is preferred, while a process to each of `Calls` repeats
%% it: what it times is what the calls of others do to its own, without the turns that it waits for
%% where there are more processes than schedulers.
-spec among([fun(() -> term())], fun(() -> Answer)) -> Answer.
among(Calls, Fun) ->
    Before = process_flag(priority, high),
    Workers = [spawn_opt(fun() -> forever(Call) end, [monitor, {priority, normal}]) || Call <- Calls],
    try
        Fun()
    after
        %% Between two calls: who is killed in one may leave something undone.
        lists:foreach(fun({Pid, _}) -> Pid ! stop end, Workers),
        lists:foreach(fun done/1, Workers),
        process_flag(priority, Before)
    end.

forever(Call) ->
    _ = Call(),
    receive
        stop -> ok
    after 0 -> forever(Call)
    end.

repeat(_, 0) ->
    ok;
repeat(Call, Left) ->
    _ = Call(),
    repeat(Call, Left - 1).
