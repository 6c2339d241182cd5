-module(erlmcp_native_limiter_metrics).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% The collector of all limiters that have a name.

-export([collect/0]).

%% Of more, the first by name are shown.
-define(MAX_LIMITERS, 1_000).

-spec collect() -> [erlmcp_native_metrics:family()].
collect() ->
    Names = lists:sublist(lists:sort(erlmcp_native_limiter:names()), ?MAX_LIMITERS),
    Limiters = lists:append([read(Name) || Name <- Names]),
    [
        family(<<"allowed">>, counter, "Requests that a rate limiter let pass.", allowed, Limiters),
        family(<<"exceeded">>, counter, "Requests that a rate limiter refused.", refused, Limiters),
        family(<<"blocked">>, counter, "Times that a key was shut out.", blocked, Limiters),
        family(<<"forgiven">>, counter, "Keys forgotten though they were not idle.", forgiven, Limiters),
        family(<<"keys">>, gauge, "Keys that are remembered.", keys, Limiters)
    ].

read(Name) ->
    try
        [{atom_to_binary(Name), erlmcp_native_limiter:info(Name)}]
    catch
        %% It is gone.
        error:badarg -> []
    end.

family(What, Type, Help, Key, Limiters) ->
    Values = [{[{<<"limiter">>, Name}], maps:get(Key, Info)} || {Name, Info} <- Limiters],
    erlmcp_native_metrics_vm:family(<<"erlmcp_rate_limit_", What/binary>>, Type, Help, <<>>, 1, Values).
