-module(erlmcp_native_sup).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% What needs a process starts here: the registry of metrics, which also owns by this process what
%% it keeps, who subscribed to events, and the rest only when it is asked for. Nothing on a hot path waits
%% for one of them.

-behaviour(supervisor).

-export([start_link/0, start_child/2, start_service/2, stop_service/1]).
-export([init/1]).

-spec start_link() -> supervisor:startlink_ret().
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

?DOC(false).
%% Starts a worker that ends by itself and is not restarted, by its start_link/1. The application
%% must be running.
-spec start_child(module(), term()) -> supervisor:startchild_ret() | {error, not_started}.
start_child(Module, Arg) ->
    Child = #{
        id => make_ref(),
        start => {Module, start_link, [Arg]},
        restart => temporary,
        modules => [Module]
    },
    try
        supervisor:start_child(?MODULE, Child)
    catch
        exit:{noproc, _} -> {error, not_started}
    end.

?DOC(false).
%% As start_child/2, of what may not start for a reason that its starter is told.
-spec start_service(module(), term()) -> {ok, pid()} | {error, term()}.
start_service(Module, Arg) ->
    case start_child(Module, Arg) of
        {error, {Reason, _Child}} -> {error, Reason};
        Result -> Result
    end.

?DOC(false).
%% Stops one, and is content where somebody else has, also meanwhile.
-spec stop_service(pid()) -> ok.
stop_service(Pid) ->
    try
        gen_server:stop(Pid)
    catch
        exit:noproc -> ok;
        exit:shutdown -> ok;
        exit:{Reason, _} when Reason =:= normal; Reason =:= shutdown -> ok
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    ok = erlmcp_native_metrics_registry:create_tables(),
    Registry = #{
        id => erlmcp_native_metrics_registry,
        start => {erlmcp_native_metrics_registry, start_link, []}
    },
    {ok, {#{strategy => one_for_one, intensity => 5, period => 10}, [Registry, erlmcp_native_events:child_spec()]}}.
