%% Workers for the suites of pools, as a map of options says:
%%
%% `kind': `process' (the default), `port', or `term', a map.
%% `start': what start_link/1 does before; it goes on where that is ok, and otherwise returns it.
%% `reset', `check', `stop': what those do, with the worker.
%% `traps': whether the process traps exits.
%% `init': ok, or hang, where it is never up.
-module(erlmcp_native_test_worker).
-behaviour(erlmcp_native_pool_worker).
-behaviour(gen_server).

-export([start_link/1, reset/1, check/1, stop/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

start_link(Opts) ->
    case (maps:get(start, Opts, fun() -> ok end))() of
        ok -> start(maps:get(kind, Opts, process), Opts);
        Other -> Other
    end.

start(process, Opts) -> gen_server:start_link(?MODULE, Opts, []);
start(port, _Opts) -> gen_tcp:listen(0, []);
start(term, Opts) -> {ok, Opts#{id => make_ref()}}.

reset(Worker) -> call(reset, Worker).

check(Worker) -> call(check, Worker).

stop(Worker) -> call(stop, Worker).

call(What, Worker) when is_pid(Worker) ->
    case gen_server:call(Worker, {get, What}, infinity) of
        none -> ok;
        Fun -> Fun(Worker)
    end;
call(What, #{} = Worker) ->
    case Worker of
        #{What := Fun} -> Fun(Worker);
        #{} -> ok
    end;
call(_What, _Port) ->
    ok.

init(Opts) ->
    _ = [process_flag(trap_exit, true) || maps:get(traps, Opts, false)],
    case maps:get(init, Opts, ok) of
        ok -> {ok, Opts};
        %% Never done, and deaf to its parent's end.
        hang -> receive never -> ok end
    end.

handle_call({get, What}, _From, Opts) ->
    {reply, maps:get(What, Opts, none), Opts};
handle_call(hello, _From, Opts) ->
    {reply, hello, Opts}.

handle_cast({crash, Reason}, Opts) ->
    {stop, Reason, Opts}.

handle_info(_, Opts) ->
    {noreply, Opts}.
