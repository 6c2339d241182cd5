-module(erlmcp_native_breaker_metrics).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% The collector of all breakers that have a name.

-export([collect/0]).

%% Of more, the first by name are shown.
-define(MAX_BREAKERS, 1_000).
-define(STATES, [closed, open, half_open, disabled]).

-spec collect() -> [erlmcp_native_metrics:family()].
collect() ->
    Names = lists:sublist(lists:usort(erlmcp_native_breaker:names()), ?MAX_BREAKERS),
    Breakers = lists:append([read(Name) || Name <- Names]),
    [
        family(
            <<"erlmcp_circuit_breaker_state">>, gauge,
            "1 for the state that a circuit breaker is in: closed, open, half_open or disabled.",
            fun state/1, Breakers
        ),
        family(
            <<"erlmcp_circuit_breaker_transitions">>, counter,
            "Times that a circuit breaker has come into a state.", fun transitions/1, Breakers
        ),
        family(
            <<"erlmcp_circuit_breaker_calls">>, counter,
            "Calls through a circuit breaker: success, failure, ignored or refused.",
            fun calls/1, Breakers
        ),
        family(
            <<"erlmcp_circuit_breaker_slow_calls">>, counter,
            "Calls through a circuit breaker that were slow, whether they failed or not.",
            fun(#{slow := Slow}) -> [{[], Slow}] end, Breakers
        ),
        family(
            <<"erlmcp_circuit_breaker_lost_probes">>, counter,
            "Probes of a half-open circuit breaker whose outcome nobody told.",
            fun(#{lost := Lost}) -> [{[], Lost}] end, Breakers
        )
    ].

read(Name) ->
    try
        [{{<<"breaker">>, atom_to_binary(Name)}, erlmcp_native_breaker:info(Name)}]
    catch
        %% It is gone.
        error:badarg -> []
    end.

state(#{state := State}) ->
    [
        {[{<<"state">>, atom_to_binary(Each)}], if Each =:= State -> 1; true -> 0 end}
     || Each <- ?STATES
    ].

transitions(#{transitions := Into}) ->
    [{[{<<"state">>, atom_to_binary(State)}], maps:get(State, Into)} || State <- ?STATES].

calls(#{calls := Calls, failures := Failures, ignored := Ignored, refused := Refused}) ->
    [
        {[{<<"outcome">>, <<"success">>}], Calls - Failures},
        {[{<<"outcome">>, <<"failure">>}], Failures},
        {[{<<"outcome">>, <<"ignored">>}], Ignored},
        {[{<<"outcome">>, <<"refused">>}], Refused}
    ].

family(Name, Type, Help, Read, Breakers) ->
    erlmcp_native_metrics_vm:family(Name, Type, Help, <<>>, 1, [
        {[Breaker | Labels], Value}
     || {Breaker, Info} <- Breakers, {Labels, Value} <- Read(Info)
    ]).
