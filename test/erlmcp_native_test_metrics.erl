%% What the suites of the metrics share.
-module(erlmcp_native_test_metrics).
-include_lib("stdlib/include/assert.hrl").

-export([restart/0, new/2, new/3, series/1, family/1, family/2, summary/1, badarg/2, badarg/3]).

-define(m, erlmcp_native_metrics).

%% The registry as the application starts with it, without a report of its stop.
restart() ->
    ok = logger:set_module_level(application_controller, error),
    _ = application:stop(erlmcp_native),
    ok = application:start(erlmcp_native).

new(Name, Type) -> new(Name, Type, []).

new(Name, Type, Labels) ->
    ?assertEqual(ok, ?m:new(#{name => Name, type => Type, help => "Of a test.", labels => Labels})).

%% Labels and values as collected, sorted.
series(Name) ->
    {_, _, _, _, _, _, Series} = family(Name),
    lists:sort([{Labels, Value} || {Labels, Value, _, _} <- Series]).

family(Name) -> family(Name, ?m:collect()).

family(Name, Families) when is_atom(Name) -> family(atom_to_binary(Name), Families);
family(Name, Families) -> lists:keyfind(Name, 1, Families).

summary(Histogram) -> erlmcp_native_nif:histogram_summary(Histogram).

%% As the shell sees it: where it was raised, and which argument was wrong.
badarg(At, Fun) -> badarg(?m, At, Fun).

badarg(Module, At, Fun) ->
    try Fun() of
        Answer -> ct:fail("answers ~p", [Answer])
    catch
        error:badarg:Stack ->
            [{Module, _, Args, _} | _] = Stack,
            ?assert(is_list(Args)),
            ?assertMatch(#{At := _}, Module:format_error(badarg, Stack))
    end.
