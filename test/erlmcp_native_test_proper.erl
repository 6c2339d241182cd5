-module(erlmcp_native_test_proper).
%% Runs the properties of a module from a Common Test case.

-export([check/1]).

-define(NUMTESTS, "300").

%% Fails with the first counterexample of each property that does not hold.
-spec check(module()) -> {comment, string()}.
check(Module) ->
    Count = list_to_integer(os:getenv("ERLMCP_NUMTESTS", ?NUMTESTS)),
    Properties = [
        Name
     || {Name, 0} <- Module:module_info(exports), lists:prefix("prop_", atom_to_list(Name))
    ],
    Failures = [
        {Name, Result}
     || Name <- Properties,
        Result <- [proper:quickcheck(Module:Name(), [{numtests, Count}, quiet, long_result])],
        Result =/= true
    ],
    case Failures of
        [] ->
            Done = io_lib:format("~b properties, ~b cases each", [length(Properties), Count]),
            {comment, lists:flatten(Done)};
        _ -> ct:fail(Failures)
    end.
