%% Waiting for what happens elsewhere. Only the suite's time trap ends it: no test depends on how quick the
%% machine is.
-module(erlmcp_native_test_wait).

-export([until/1]).

-spec until(fun(() -> boolean())) -> ok.
until(Is) ->
    case Is() of
        true ->
            ok;
        false ->
            receive
            after 1 -> until(Is)
            end
    end.
