%% A worker that does nothing, as each of the pools starts one.
-module(erlmcp_bench_pools_worker).

-export([start_link/1, reset/1, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-spec start_link(term()) -> {ok, pid()}.
start_link(_) ->
    {ok, proc_lib:spawn_link(fun idle/0)}.

idle() ->
    receive
        _ -> idle()
    end.

%% Nothing is left of its owner; without this callback ours would replace it, which others do not.
-spec reset(pid()) -> ok.
reset(_) -> ok.

%% As a worker of worker_pool's, which wraps it into a process of its own.
init(_) -> {ok, none}.

handle_call(_, _, State) -> {reply, ok, State}.

handle_cast(_, State) -> {noreply, State}.

handle_info(_, State) -> {noreply, State}.
