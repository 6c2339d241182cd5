-module(erlmcp_native_pool_worker).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
What a module must be for a pool to start its workers: only `start_link/1` is needed, so that worker
modules of poolboy work as they are.

A worker is whatever `start_link/1` gives: mostly a process, but also a port, a socket or any other term,
such as a map with what belongs to a connection. It is called in a process of the worker's own, the keeper,
which is then its parent: it links the worker, owns its port, and ends after it. A call that takes long, fails
or never returns holds up that one worker and nothing else.

The other callbacks run in processes of their own that are ended when they take too long.
""").

-export([start/2, can/2, ask/3, answer/1, cancel/1, start_watchdog/2, kill/1]).
%% Processes
-export([call/4]).
-export_type([worker/0, question/0]).

-type worker() :: pid() | port() | term().

?DOC("""
Starts a worker, linked to the caller where it is a process. What it returns besides (an error,
`ignore`, an exception) is a failed start, which is tried again after a while.
""").
-callback start_link(Args :: term()) -> {ok, worker()} | {ok, pid(), Info :: term()} | {error, term()} | ignore.

?DOC("""
Makes a worker fit for another user after one that ended or failed while it had it: rolls back, drains what
was not read. Without this callback, and where it does not return `ok` in time, the worker is stopped and
another one is started in its place.
""").
-callback reset(worker()) -> ok | {error, term()}.

?DOC("""
Whether a worker still works, asked while nobody uses it. Where it does not return `ok` in time, the worker is
stopped and another one is started in its place.
""").
-callback check(worker()) -> ok | {error, term()}.

?DOC("""
Ends a worker. A process that is still there afterwards, or without this callback, is told to end with reason
`shutdown`, and is killed if it does not.
""").
-callback stop(worker()) -> term().

-optional_callbacks([reset/1, check/1, stop/1]).

-record(question, {
    about :: atom(),
    pid :: pid(),
    monitor :: reference(),
    timer :: reference()
}).
-opaque question() :: #question{}.

%% In the keeper.
-spec start(module(), term()) -> {ok, worker()} | {error, term()}.
start(Module, Args) ->
    try Module:start_link(Args) of
        {ok, Worker} -> {ok, Worker};
        {ok, Pid, _Info} when is_pid(Pid) -> {ok, Pid};
        {error, Reason} -> {error, Reason};
        ignore -> {error, ignore};
        Other -> {error, {bad_return, Other}}
    catch
        Class:Reason -> {error, {Class, Reason}}
    end.

-spec can(module(), reset | check | stop) -> boolean().
can(Module, Callback) ->
    erlang:function_exported(Module, Callback, 1).

%% Calls it in a process of its own: its message or that of its timer is for answer/1. It is linked,
%% so that it does not outlive a keeper.
-spec ask(reset | check | stop, {module(), worker()}, timeout()) -> question().
ask(Callback, {Module, Worker}, Timeout) ->
    Args = [self(), Callback, Module, Worker],
    {Pid, Monitor} = spawn_opt(?MODULE, call, Args, [link, monitor]),
    Timer = erlang:start_timer(Timeout, self(), {overdue, Monitor}),
    #question{about = Callback, pid = Pid, monitor = Monitor, timer = Timer}.

?DOC(false).
-spec call(Keeper :: pid(), reset | check | stop, module(), worker()) -> no_return().
call(Keeper, Callback, Module, Worker) ->
    Answer =
        try
            Module:Callback(Worker)
        catch
            Class:Reason -> {error, {Class, Reason}}
        end,
    %% Its end is no news for whoever traps exits.
    true = unlink(Keeper),
    exit({answer, Answer}).

%% What a message says about a question, if anything.
-spec answer({term(), question()}) -> {reset | check | stop, ok | {error, term()}} | none.
answer({{'DOWN', Monitor, process, _, Exit}, #question{monitor = Monitor} = Question}) ->
    _ = erlang:cancel_timer(Question#question.timer),
    Result =
        case Exit of
            {answer, ok} -> ok;
            {answer, {error, Reason}} -> {error, Reason};
            {answer, Other} -> {error, {bad_return, Other}};
            Reason -> {error, {exit, Reason}}
        end,
    {Question#question.about, Result};
answer({{timeout, Timer, _}, #question{timer = Timer} = Question}) ->
    ok = cancel(Question),
    {Question#question.about, {error, timeout}};
answer(_) ->
    none.

%% Ends the call, if it has not ended.
-spec cancel(question()) -> ok.
cancel(#question{pid = Pid, monitor = Monitor, timer = Timer}) ->
    _ = erlang:cancel_timer(Timer),
    true = unlink(Pid),
    true = exit(Pid, kill),
    true = demonitor(Monitor, [flush]),
    receive
        {'EXIT', Pid, _} -> ok
    after 0 -> ok
    end.

%% Ends the caller, a keeper, if it is not done in time or its manager ends, since a keeper that waits in
%% start_link/1 notices neither. What this gives is told `done'.
-spec start_watchdog(Manager :: pid(), Timeout :: pos_integer()) -> pid().
start_watchdog(Manager, Timeout) ->
    Keeper = self(),
    spawn(fun() ->
        OfKeeper = monitor(process, Keeper),
        OfManager = monitor(process, Manager),
        receive
            done ->
                ok;
            {'DOWN', OfKeeper, _, _, _} ->
                ok;
            {'DOWN', OfManager, _, _, _} ->
                kill(Keeper)
        after Timeout ->
            Manager ! {keeper, Keeper, overdue},
            kill(Keeper)
        end
    end).

%% Ends a keeper with what it was starting: that may trap exits, and be where it never looks at them.
-spec kill(Keeper :: pid()) -> ok.
kill(Keeper) ->
    Children =
        case process_info(Keeper, links) of
            {links, Links} -> [Pid || Pid <- Links, is_pid(Pid), is_child(Pid, Keeper)];
            undefined -> []
        end,
    _ = [exit(Pid, kill) || Pid <- [Keeper | Children]],
    ok.

is_child(Pid, Keeper) when node(Pid) =:= node() ->
    case process_info(Pid, dictionary) of
        {dictionary, Dictionary} ->
            case lists:keyfind('$ancestors', 1, Dictionary) of
                {_, [Keeper | _]} -> true;
                _ -> false
            end;
        undefined ->
            false
    end;
is_child(_Pid, _Keeper) ->
    false.
