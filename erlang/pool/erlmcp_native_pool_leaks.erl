-module(erlmcp_native_pool_leaks).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% Leases that are held for longer than they should be: each is told of once, with what its owner does.

-include_lib("kernel/include/logger.hrl").

-export([new/0, sweep/4]).
-export_type([told/0]).

-opaque told() :: #{erlmcp_native_pool:lease() => true}.

%% At once; the longest held are told of first.
-define(MOST, 1_000).
-define(NIF, erlmcp_native_nif).

-spec new() -> told().
new() ->
    #{}.

-spec sweep(erlmcp_native_pool:handle(), erlmcp_native_pool:pool(), pos_integer(), told()) -> told().
sweep(Pool, Name, Timeout, Told) ->
    Held = ?NIF:pool_leases(Pool, Timeout, ?MOST),
    New = [Lease || {Id, _, _, _} = Lease <- Held, not is_map_key(Id, Told)],
    %% Whoever owns one may be where it does not answer for long.
    _ = [spawn(fun() -> lists:foreach(fun(Lease) -> tell(Lease, Name) end, New) end) || New =/= []],
    maps:from_list([{Id, true} || {Id, _, _, _} <- Held]).

tell({_Lease, Owner, Worker, Held}, Name) ->
    Of = [current_stacktrace, initial_call, registered_name],
    Does =
        case process_info(Owner, Of) of
            undefined -> [];
            Info -> Info
        end,
    Stack = proplists:get_value(current_stacktrace, Does, []),
    ?LOG_WARNING(
        "erlmcp_native_pool ~0tp: ~p has held the worker ~0tP for ~b ms; it is at~n~0tp",
        [Name, Owner, Worker, 10, Held, Does],
        #{domain => [erlmcp_native]}
    ),
    erlmcp_native_events:emit([pool, leak], #{held => Held}, #{
        pool => Name, owner => Owner, worker => Worker, stacktrace => Stack
    }).
