%% Whether calls keep a normal scheduler for more than a millisecond of thread CPU time.
-module(erlmcp_native_call_time).

-export([is_counted/0, assert_short/1, assert_short/2]).

-define(LIMIT, 1_000_000).
%% A virtual machine's thread clock jumps by milliseconds when the host takes the processor away,
%% with no call to blame. What the library does comes back in every run; a jump does not.
-define(RUNS, 40).

is_counted() -> is_list(erlmcp_native_nif:call_time_read()).

%% Runs Work, again while some call was long; fails for a NIF that was in every run.
assert_short(Work) -> assert_short(calls, Work).

assert_short(Name, Work) ->
    Counted = is_counted(),
    Long = runs(Work, ?RUNS, all),
    case Long of
        [] when Counted -> ok;
        [] -> {comment, "call time not checked: built without the feature call_time"};
        _ -> ct:fail("~p: more than 1 ms in each of ~p runs: ~p", [Name, ?RUNS, Long])
    end.

runs(_, 0, Long) -> Long;
runs(Work, Runs, Before) ->
    ok = erlmcp_native_nif:call_time_reset(),
    {Elapsed, ok} = timer:tc(fun() -> apart(Work) end),
    Counts = read(),
    ct:log("~p ms; calls and longest in ns: ~p", [Elapsed div 1000, Counts]),
    case still_long(Counts, Before) of
        [] -> [];
        Long -> runs(Work, Runs - 1, Long)
    end.

read() ->
    case erlmcp_native_nif:call_time_read() of
        disabled -> [];
        Counts -> Counts
    end.

%% With the shortest maximum over the runs so far.
still_long(Counts, all) ->
    [{Name, Most} || {Name, _, Most} <- Counts, Most > ?LIMIT];
still_long(Counts, Before) ->
    [{Name, min(Most, Least)} || {Name, Most} <- still_long(Counts, all),
        {_, Least} <- [lists:keyfind(Name, 1, Before)]].

%% In a process of its own, so that its heap goes with it.
apart(Work) ->
    {Pid, Monitor} = spawn_monitor(Work),
    receive
        {'DOWN', Monitor, process, Pid, normal} -> ok;
        {'DOWN', Monitor, process, Pid, Reason} -> exit(Reason)
    end.
