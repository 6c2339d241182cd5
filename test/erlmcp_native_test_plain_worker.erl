%% A worker as poolboy takes them: a module with a start_link/1 and nothing else that a pool knows of.
-module(erlmcp_native_test_plain_worker).
-behaviour(gen_server).

-export([start_link/1]).
-export([init/1, handle_call/3, handle_cast/2]).

start_link(Args) -> gen_server:start_link(?MODULE, Args, []).

init(Args) -> {ok, Args}.

handle_call(args, _From, Args) -> {reply, Args, Args}.

handle_cast(_, Args) -> {noreply, Args}.
