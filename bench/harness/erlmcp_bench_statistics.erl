%% Medians, ratios of medians with a bootstrap interval, geometric means.
-module(erlmcp_bench_statistics).

-export([median/1, ratio/3, geometric_mean/1]).

-define(CONFIDENCE, 0.95).

-spec median([number(), ...]) -> float().
median(Values) ->
    Sorted = lists:sort(Values),
    Count = length(Sorted),
    case lists:nthtail((Count - 1) div 2, Sorted) of
        [Middle | _] when Count rem 2 =:= 1 -> float(Middle);
        [Low, High | _] -> (Low + High) / 2
    end.

%% How many times faster `Times` are than `Reference`: the ratio of the medians and its 95 %
%% interval. Both lists hold the same rounds in the same order, and a resample draws rounds, so
%% that what slows a whole round slows both. The seed is fixed: the same times, the same interval.
-spec ratio([number(), ...], [number(), ...], pos_integer()) -> {float(), float(), float()}.
ratio(Times, Reference, Resamples) ->
    Rounds = list_to_tuple(lists:zip(Times, Reference)),
    Seed = rand:seed_s(exsss, {1, 2, 3}),
    {Ratios, _} = lists:mapfoldl(fun(_, State) -> resample(Rounds, State) end, Seed, lists:seq(1, Resamples)),
    Sorted = list_to_tuple(lists:sort(Ratios)),
    Tail = (1 - ?CONFIDENCE) / 2,
    {
        median(Reference) / median(Times),
        element(max(1, round(Resamples * Tail)), Sorted),
        element(min(Resamples, round(Resamples * (1 - Tail))), Sorted)
    }.

resample(Rounds, State) ->
    Size = tuple_size(Rounds),
    {Drawn, Next} = lists:mapfoldl(
        fun(_, Acc) ->
            {Index, Acc1} = rand:uniform_s(Size, Acc),
            {element(Index, Rounds), Acc1}
        end,
        State,
        lists:seq(1, Size)
    ),
    {Times, Reference} = lists:unzip(Drawn),
    {median(Reference) / median(Times), Next}.

-spec geometric_mean([float(), ...]) -> float().
geometric_mean(Ratios) ->
    math:exp(lists:sum([math:log(Ratio) || Ratio <- Ratios]) / length(Ratios)).
