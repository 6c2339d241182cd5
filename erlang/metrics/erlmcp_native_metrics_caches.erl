-module(erlmcp_native_metrics_caches).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% The collector of all caches.

-export([collect/0]).

%% Of more, the first by name are shown.
-define(MAX_CACHES, 1_000).

-spec collect() -> [erlmcp_native_metrics:family()].
collect() ->
    Names = lists:sublist(lists:sort(erlmcp_native_cache:names()), ?MAX_CACHES),
    Caches = lists:append([read(Name) || Name <- Names]),
    [
        counted(<<"hits">>, "Reads that found their key.", hits, Caches),
        counted(<<"stale_hits">>, "Reads that were served past the time to live.", stale_hits, Caches),
        counted(<<"misses">>, "Reads that did not find their key.", misses, Caches),
        counted(<<"inserts">>, "Entries put under new keys.", inserts, Caches),
        counted(<<"replacements">>, "Entries put in the place of another.", replacements, Caches),
        counted(<<"refusals">>, "Entries refused as too large.", refusals, Caches),
        removals(Caches),
        counted(<<"loads">>, "Values computed for fetch.", loads, Caches),
        counted(<<"load_failures">>, "Values that could not be computed.", load_failures, Caches),
        load_seconds(Caches),
        held(<<"entries">>, "Entries that there are.", entries, Caches),
        held(<<"used">>, "What the cache holds, in what its bound counts.", used, Caches),
        held(<<"capacity">>, "What the cache can hold, in what its bound counts.", capacity, Caches)
    ].

read(Name) ->
    try
        #{capacity := Capacity, bound := Bound} = erlmcp_native_cache:info(Name),
        Stats = erlmcp_native_cache:stats(Name),
        [{atom_to_binary(Name), atom_to_binary(Bound), Stats#{capacity => Capacity}}]
    catch
        %% It is gone.
        error:badarg -> []
    end.

counted(What, Help, Key, Caches) ->
    family(<<"erlmcp_cache_", What/binary>>, counter, Help, <<>>, 1, [
        {[{<<"cache">>, Name}], maps:get(Key, Stats)}
     || {Name, _, Stats} <- Caches
    ]).

removals(Caches) ->
    family(<<"erlmcp_cache_removals">>, counter, "Entries that left, by cause.", <<>>, 1, [
        {[{<<"cache">>, Name}, {<<"cause">>, atom_to_binary(Cause)}], maps:get(Cause, Stats)}
     || {Name, _, Stats} <- Caches, Cause <- [cleared, deleted, evicted, expired, invalidated]
    ]).

load_seconds(Caches) ->
    Help = "Time that computing values for fetch took.",
    family(<<"erlmcp_cache_load_seconds">>, counter, Help, <<"seconds">>, 1.0e-9, [
        {[{<<"cache">>, Name}], maps:get(load_time, Stats)}
     || {Name, _, Stats} <- Caches
    ]).

held(What, Help, Key, Caches) ->
    family(<<"erlmcp_cache_", What/binary>>, gauge, Help, <<>>, 1, [
        {[{<<"cache">>, Name}, {<<"bound">>, Bound}], maps:get(Key, Stats)}
     || {Name, Bound, Stats} <- Caches
    ]).

family(Name, Type, Help, Unit, Scale, Values) ->
    erlmcp_native_metrics_vm:family(Name, Type, Help, Unit, Scale, Values).
