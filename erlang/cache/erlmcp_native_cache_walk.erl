-module(erlmcp_native_cache_walk).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% What takes many calls of a NIF: walks over a cache, and taking events. Call is the public
%% function that runs, for what it raises.

-export([fold/4, keys/3, all_keys/2, purge/3, events/3]).

%% Entries of one step.
-define(STEP, 500).
%% Of one on a dirty scheduler.
-define(PURGE, 10_000).
%% Events that one call of the NIF is asked for.
-define(MAX_EVENTS, 65_536).

-spec fold(Fun, Acc, Cache, Call) -> Acc when
    Fun :: fun((Key :: term(), Value :: term(), Acc) -> Acc),
    Acc :: term(),
    Cache :: erlmcp_native_cache:cache(),
    Call :: erlmcp_native_error:call().
fold(Fun, Acc, Cache, Call) ->
    With = fun({Key, Answer}, Before) ->
        case erlmcp_native_cache_terms:value(Answer) of
            {ok, Value} -> Fun(erlmcp_native_cache_terms:key(Key), Value, Before);
            gone -> Before
        end
    end,
    fold(With, Acc, Cache, start, Call).

fold(_With, Acc, _Cache, done, _Call) ->
    Acc;
fold(With, Acc, Cache, Cursor, Call) ->
    {Entries, Next} = scan(Cache, Cursor, entries, Call),
    fold(With, lists:foldl(With, Acc, Entries), Cache, Next, Call).

-spec keys(
    erlmcp_native_cache:cache(), start | non_neg_integer(), erlmcp_native_error:call()
) -> {[term()], non_neg_integer() | done}.
keys(Cache, Cursor, Call) ->
    {Keys, Next} = scan(Cache, Cursor, keys, Call),
    {[erlmcp_native_cache_terms:key(Key) || Key <- Keys], Next}.

-spec all_keys(erlmcp_native_cache:cache(), erlmcp_native_error:call()) -> [term()].
all_keys(Cache, Call) ->
    all_keys(Cache, start, [], Call).

all_keys(_Cache, done, Keys, _Call) ->
    lists:append(Keys);
all_keys(Cache, Cursor, Before, Call) ->
    {Keys, Next} = keys(Cache, Cursor, Call),
    all_keys(Cache, Next, [Keys | Before], Call).

scan(Cache, Cursor, What, Call) ->
    Scan = fun() -> erlmcp_native_nif:cache_scan(Cache, Cursor, What, ?STEP) end,
    %% As in all folds, the cache is the last argument of that one.
    At = if element(2, Call) =:= fold -> 3; true -> 1 end,
    erlmcp_native_cache_terms:on_cache(Call, At, Scan).

%% Deletes the binary keys that What fits, and counts them.
-spec purge(erlmcp_native_cache:cache(), {prefix | glob, binary()}, erlmcp_native_error:call()) ->
    {ok, non_neg_integer()}.
purge(Cache, What, Call) ->
    purge(Cache, start, What, 0, Call).

purge(_Cache, done, _What, Sum, _Call) ->
    {ok, Sum};
purge(Cache, Cursor, What, Sum, Call) ->
    Purge = fun() -> erlmcp_native_nif:cache_purge(Cache, Cursor, What, ?PURGE) end,
    {Count, Next} = erlmcp_native_cache_terms:on_cache(Call, 1, Purge),
    purge(Cache, Next, What, Sum + Count, Call).

-spec events(reference(), pos_integer(), erlmcp_native_error:call()) ->
    {[{erlmcp_native_cache:event(), term(), erlmcp_native_cache:cause()}], non_neg_integer()}.
events(Subscription, Max, Call) ->
    events(Subscription, Max, [], 0, Call).

events(Subscription, Max, Before, DroppedBefore, Call) ->
    {Given, Dropped, Rest} =
        try
            erlmcp_native_nif:cache_events(Subscription, min(Max, ?MAX_EVENTS))
        catch
            error:badarg -> erlmcp_native_error:badarg(Call, 1, "not a subscription")
        end,
    Events = [event(Event) || Event <- Given],
    Taken = length(Events),
    All = [Events | Before],
    case Rest of
        more when Taken < Max ->
            events(Subscription, Max - Taken, All, DroppedBefore + Dropped, Call);
        _ ->
            {lists:append(lists:reverse(All)), DroppedBefore + Dropped}
    end.

event({Event, Key, Cause}) -> {Event, Key, Cause};
event({Event, Cause, external, Bytes}) -> {Event, binary_to_term(Bytes), Cause}.
