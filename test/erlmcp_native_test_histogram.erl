%% What the suites of histograms share.
-module(erlmcp_native_test_histogram).
-include_lib("stdlib/include/assert.hrl").

-export([filled/1, filled/2, badarg/2, rank/2, within/3, count/1, sum/1, collect/2]).

-define(HISTOGRAM, erlmcp_native_histogram).

%% A histogram with these values.
filled(Values) -> filled(Values, #{}).

filled(Values, Opts) ->
    Histogram = ?HISTOGRAM:new(Opts),
    ok = ?HISTOGRAM:record_many(Histogram, Values),
    Histogram.

%% As the shell sees it: where it was raised, and which argument was wrong.
badarg(At, Fun) ->
    try Fun() of
        Answer -> ct:fail("answers ~p", [Answer])
    catch
        error:badarg:Stack ->
            [{Module, _, Args, _} | _] = Stack,
            ?assertMatch("erlmcp_native_histogram" ++ _, atom_to_list(Module)),
            ?assert(is_list(Args), Stack),
            Explained = Module:format_error(badarg, Stack),
            ?assertEqual([At], maps:keys(Explained), Explained),
            ?assert(string:length(map_get(At, Explained)) > 0)
    end.

%% The quantile of a list, by nearest rank. The quantile is meant as the decimal that it is written
%% as: 0.07 of 100 values is the seventh.
rank(Values, Quantile) ->
    Sorted = lists:sort(Values),
    Exact = Quantile * length(Sorted),
    Rank =
        case abs(Exact - round(Exact)) =< Exact * 1.0e-15 of
            true -> round(Exact);
            false -> ceil(Exact)
        end,
    lists:nth(max(1, Rank), Sorted).

%% Whether a value is told within the error of a precision.
within(Told, Value, Precision) ->
    abs(Told - Value) * (1 bsl (Precision + 1)) =< Value.

count(From) -> maps:get(count, ?HISTOGRAM:summary(From)).
sum(From) -> maps:get(sum, ?HISTOGRAM:summary(From)).

%% Goes from interval to interval, as fast as it can, until it is told to stop; then once more. What
%% it saw, in all.
collect(Histogram, Between) ->
    {Snapshot, Cursor} = ?HISTOGRAM:interval(Histogram, first),
    collect(Histogram, Cursor, [Snapshot], Between).

collect(Histogram, Cursor0, Before, Between) ->
    Stop =
        receive
            stop -> true
        after 0 -> false
        end,
    {Snapshot, Cursor} = ?HISTOGRAM:interval(Histogram, Cursor0),
    All = [?HISTOGRAM:merge([Snapshot | Before])],
    Between(),
    case Stop of
        true -> {?HISTOGRAM:to_binary(hd(All)), Cursor};
        false -> collect(Histogram, Cursor, All, Between)
    end.
