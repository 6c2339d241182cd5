-module(erlmcp_native_app).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

-behaviour(application).

-export([start/2, stop/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    erlmcp_native_sup:start_link().

-spec stop(term()) -> ok.
stop(_State) ->
    ok.
