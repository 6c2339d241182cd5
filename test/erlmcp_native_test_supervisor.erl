%% A supervisor of the children that it is given.
-module(erlmcp_native_test_supervisor).
-behaviour(supervisor).

-export([init/1]).

init(Children) ->
    {ok, {#{strategy => one_for_one, intensity => 100, period => 1}, Children}}.
