-module(erlmcp_native_pool_metrics).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% The collector of all pools that have a name.

-export([collect/0]).

%% Of more, the first by name are shown.
-define(MAX_POOLS, 1_000).
%% In seconds: waits are shorter than what is waited for.
-define(BOUNDS, [0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]).

-spec collect() -> [erlmcp_native_metrics:family()].
collect() ->
    Names = lists:sublist(erlmcp_native_pool:names(), ?MAX_POOLS),
    Pools = lists:append([read(Name) || Name <- Names]),
    [connections(Pools), checkouts(Pools), waits(Pools)].

read(Name) ->
    %% Without its manager, which may be waiting for its first workers.
    case erlmcp_native_nif:pool_status(Name) of
        invalid_pool -> [];
        Status -> [{[{<<"pool">>, atom_to_binary(Name)}], Status}]
    end.

connections(Pools) ->
    Help = "A pool's workers, idle or away for a reset or check, its uses, and those who wait.",
    family(<<"erlmcp_pool_connections">>, gauge, Help, [
        {Pool ++ [{<<"state">>, atom_to_binary(State)}], maps:get(State, Status)}
     || {Pool, Status} <- Pools, State <- [idle, in_use, away, waiting]
    ]).

checkouts(Pools) ->
    family(<<"erlmcp_pool_checkouts">>, counter, "Checkouts by what came of them.", [
        {Pool ++ [{<<"result">>, Result}], maps:get(Key, Status)}
     || {Pool, Status} <- Pools,
        {Result, Key} <- [
            {<<"ok">>, checkouts}, {<<"timeout">>, timeouts}, {<<"full">>, overloads}, {<<"dropped">>, dropped}
        ]
    ]).

waits(Pools) ->
    {Name, _, Help, Unit, _, _, Series} = erlmcp_native_metrics_vm:family(
        <<"erlmcp_pool_wait_seconds">>, gauge, "How long those waited who waited and were served.", <<"seconds">>, 1,
        [{Pool, Histogram} || {Pool, #{wait_histogram := Histogram}} <- Pools]
    ),
    {Name, histogram, Help, Unit, 1.0e-9, ?BOUNDS, Series}.

family(Name, Type, Help, Values) ->
    erlmcp_native_metrics_vm:family(Name, Type, Help, <<>>, 1, Values).
