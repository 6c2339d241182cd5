%% Nanoseconds in log-linear buckets: 64 exact ones, then 32 to each power of two, so a quantile
%% is at most 3.2 % too high. The counts are outside the heap: recording allocates nothing that
%% the measured process would have to collect.
-module(erlmcp_bench_histogram).

-export([new/0, record/2, count/1, quantile/2, maximum/1]).
-export_type([histogram/0]).

-define(EXACT, 64).
-define(HALF, 32).
-define(BUCKETS, (?EXACT + ?HALF * 40)).

-opaque histogram() :: counters:counters_ref().

-spec new() -> histogram().
new() ->
    counters:new(?BUCKETS, []).

-spec record(histogram(), non_neg_integer()) -> ok.
record(Histogram, Nanoseconds) ->
    counters:add(Histogram, min(?BUCKETS, bucket(Nanoseconds) + 1), 1).

-spec count(histogram()) -> non_neg_integer().
count(Histogram) ->
    lists:sum([counters:get(Histogram, Index) || Index <- lists:seq(1, ?BUCKETS)]).

%% The highest value of the bucket where the quantile lies; `undefined` where fewer than one
%% sample would lie above it.
-spec quantile(histogram(), float()) -> non_neg_integer() | undefined.
quantile(Histogram, Quantile) ->
    Count = count(Histogram),
    case Count * (1 - Quantile) >= 1 orelse (Count > 0 andalso Quantile =< 0.5) of
        true -> walk(Histogram, 1, max(1, ceil(Count * Quantile)));
        false -> undefined
    end.

-spec maximum(histogram()) -> non_neg_integer() | undefined.
maximum(Histogram) ->
    case count(Histogram) of
        0 -> undefined;
        Count -> walk(Histogram, 1, Count)
    end.

walk(Histogram, Index, Rank) ->
    case Rank - counters:get(Histogram, Index) of
        Left when Left =< 0 -> highest(Index - 1);
        Left -> walk(Histogram, Index + 1, Left)
    end.

bucket(Value) when Value < ?EXACT -> Value;
bucket(Value) -> bucket(Value bsr 1, 0).

bucket(Value, Shift) when Value < ?EXACT -> ?EXACT + Shift * ?HALF + (Value - ?HALF);
bucket(Value, Shift) -> bucket(Value bsr 1, Shift + 1).

highest(Bucket) when Bucket < ?EXACT -> Bucket;
highest(Bucket) ->
    Shift = (Bucket - ?EXACT) div ?HALF + 1,
    Part = (Bucket - ?EXACT) rem ?HALF + ?HALF,
    ((Part + 1) bsl Shift) - 1.
