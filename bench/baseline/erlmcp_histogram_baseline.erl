%% The strongest log-linear histogram in pure Erlang that we know how to write: what the histogram is
%% measured against, the oracle of its results, and no part of the library.
%%
%% The layout is that of the library's default: 128 buckets to each power of two below 2^42, so that the
%% middle of a bucket is at most 0.4 % off. Everything is in one `counters` array with write concurrency.
%% A record is the index and two additions, to the bucket and to the sum; the count is what the
%% buckets have together.
%%
%% The index is a tree of comparisons with constants, whose leaves shift by constants. Also tried,
%% in ns by index, the loop taken off, on a machine where a bare `counters:add/3` takes 13:
%%
%%   this                                                            3.5
%%   the exponent from a tuple of 256                                10
%%   `math:log2/1`, a truncation and a shift                         20
%%   the bits of the float, `<<V/float>>`                            24
%%
%% Beside it is what erlmcp does: append to a list, sort the list to answer, and take the n-th.
-module(erlmcp_histogram_baseline).

-export([new/0, record/2, record_many/2, index/1, bounds/1]).
-export([snapshot/1, count/1, sum/1, quantiles/2, summary/1, merge/2, subtract/2]).
-export([sorted_quantiles/2]).
-export_type([histogram/0, snapshot/0]).

-opaque histogram() :: counters:counters_ref().
%% How many were too large for a bucket, the sum of all, and the buckets that are not empty,
%% lowest first.
-type snapshot() :: {
    Overflow :: non_neg_integer(), Sum :: non_neg_integer(), [{Bucket :: non_neg_integer(), pos_integer()}]
}.

-define(PRECISION, 7).
-define(BITS, 42).
-define(BUCKETS, ((?BITS - ?PRECISION + 1) bsl ?PRECISION)).
%% The bucket of what is above all others comes after them, then the sum.
-define(OVERFLOW, ?BUCKETS).
-define(SUM, (?BUCKETS + 2)).

-spec new() -> histogram().
new() ->
    counters:new(?SUM, [write_concurrency]).

-spec record(histogram(), non_neg_integer()) -> ok.
record(Histogram, Value) ->
    ok = counters:add(Histogram, index(Value) + 1, 1),
    counters:add(Histogram, ?SUM, Value).

%% The sum is added once.
-spec record_many(histogram(), [non_neg_integer()] | binary()) -> ok.
record_many(Histogram, Values) ->
    counters:add(Histogram, ?SUM, count_all(Histogram, Values, 0)).

count_all(Histogram, [Value | Values], Sum) ->
    ok = counters:add(Histogram, index(Value) + 1, 1),
    count_all(Histogram, Values, Sum + Value);
count_all(Histogram, <<Value:64/native, Values/binary>>, Sum) ->
    ok = counters:add(Histogram, index(Value) + 1, 1),
    count_all(Histogram, Values, Sum + Value);
count_all(_, [], Sum) ->
    Sum;
count_all(_, <<>>, Sum) ->
    Sum.

%% Of values from 2^(7 + K) to 2^(8 + K) - 1.
-define(AT(K), (((K) bsl ?PRECISION) + (V bsr (K)))).
-define(LIMIT(K), 1 bsl (?PRECISION + 1 + (K))).

-spec index(non_neg_integer()) -> non_neg_integer().
index(V) when V < ?LIMIT(17) ->
    if
        V < ?LIMIT(9) ->
            if
                V < ?LIMIT(5) ->
                    if
                        V < ?LIMIT(0) -> V;
                        V < ?LIMIT(2), V < ?LIMIT(1) -> ?AT(1);
                        V < ?LIMIT(2) -> ?AT(2);
                        V < ?LIMIT(3) -> ?AT(3);
                        V < ?LIMIT(4) -> ?AT(4);
                        true -> ?AT(5)
                    end;
                V < ?LIMIT(7) ->
                    if
                        V < ?LIMIT(6) -> ?AT(6);
                        true -> ?AT(7)
                    end;
                V < ?LIMIT(8) ->
                    ?AT(8);
                true ->
                    ?AT(9)
            end;
        V < ?LIMIT(13) ->
            if
                V < ?LIMIT(11) ->
                    if
                        V < ?LIMIT(10) -> ?AT(10);
                        true -> ?AT(11)
                    end;
                V < ?LIMIT(12) ->
                    ?AT(12);
                true ->
                    ?AT(13)
            end;
        V < ?LIMIT(15) ->
            if
                V < ?LIMIT(14) -> ?AT(14);
                true -> ?AT(15)
            end;
        V < ?LIMIT(16) ->
            ?AT(16);
        true ->
            ?AT(17)
    end;
index(V) when V < ?LIMIT(26) ->
    if
        V < ?LIMIT(22) ->
            if
                V < ?LIMIT(20), V < ?LIMIT(19), V < ?LIMIT(18) -> ?AT(18);
                V < ?LIMIT(20), V < ?LIMIT(19) -> ?AT(19);
                V < ?LIMIT(20) -> ?AT(20);
                V < ?LIMIT(21) -> ?AT(21);
                true -> ?AT(22)
            end;
        V < ?LIMIT(24) ->
            if
                V < ?LIMIT(23) -> ?AT(23);
                true -> ?AT(24)
            end;
        V < ?LIMIT(25) ->
            ?AT(25);
        true ->
            ?AT(26)
    end;
index(V) when V < ?LIMIT(30) ->
    if
        V < ?LIMIT(28) ->
            if
                V < ?LIMIT(27) -> ?AT(27);
                true -> ?AT(28)
            end;
        V < ?LIMIT(29) ->
            ?AT(29);
        true ->
            ?AT(30)
    end;
index(V) when V < ?LIMIT(34) ->
    if
        V < ?LIMIT(32) ->
            if
                V < ?LIMIT(31) -> ?AT(31);
                true -> ?AT(32)
            end;
        V < ?LIMIT(33) ->
            ?AT(33);
        true ->
            ?AT(34)
    end;
index(_) ->
    ?OVERFLOW.

%% The least and the greatest value of a bucket.
-spec bounds(non_neg_integer()) -> {non_neg_integer(), non_neg_integer() | infinity}.
bounds(?OVERFLOW) ->
    {1 bsl ?BITS, infinity};
bounds(Bucket) ->
    Shift = max(0, (Bucket bsr ?PRECISION) - 1),
    Low = (Bucket - (Shift bsl ?PRECISION)) bsl Shift,
    {Low, Low + (1 bsl Shift) - 1}.

-spec snapshot(histogram()) -> snapshot().
snapshot(Histogram) ->
    {counters:get(Histogram, ?OVERFLOW + 1), counters:get(Histogram, ?SUM), walk(Histogram, ?BUCKETS, [])}.

walk(_, 0, Buckets) ->
    Buckets;
walk(Histogram, Index, Buckets) ->
    case counters:get(Histogram, Index) of
        0 -> walk(Histogram, Index - 1, Buckets);
        Count -> walk(Histogram, Index - 1, [{Index - 1, Count} | Buckets])
    end.

-spec count(snapshot()) -> non_neg_integer().
count({Overflow, _, Buckets}) ->
    count(Buckets, Overflow).

count([{_, Count} | Buckets], Sum) -> count(Buckets, Sum + Count);
count([], Sum) -> Sum.

-spec sum(snapshot()) -> non_neg_integer().
sum({_, Sum, _}) ->
    Sum.

%% The middles of the buckets that hold the values of rank ceil(q * N). The quantiles ascend.
-spec quantiles(histogram() | snapshot(), [float()]) -> [number() | infinity | undefined].
quantiles({Overflow, _, Buckets} = Snapshot, Quantiles) ->
    case count(Snapshot) of
        0 ->
            [undefined || _ <- Quantiles];
        Count ->
            Ranks = [max(1, ceil(Quantile * Count)) || Quantile <- Quantiles],
            at_ranks(Ranks, Buckets ++ [{?OVERFLOW, Overflow} || Overflow > 0], 0)
    end;
quantiles(Histogram, Quantiles) ->
    quantiles(snapshot(Histogram), Quantiles).

at_ranks([Rank | Ranks], [{Bucket, Count} | _] = Buckets, Below) when Rank =< Below + Count ->
    [middle(bounds(Bucket)) | at_ranks(Ranks, Buckets, Below)];
at_ranks([_ | _] = Ranks, [{_, Count} | Buckets], Below) ->
    at_ranks(Ranks, Buckets, Below + Count);
at_ranks([], _, _) ->
    [].

middle({_, infinity}) -> infinity;
middle({Low, High}) -> Low + (High - Low) div 2.

%% The standard deviation is that of the buckets' middles.
-spec summary(histogram() | snapshot()) -> #{atom() => number() | infinity | undefined}.
summary({_, Sum, Buckets} = Snapshot) ->
    Count = count(Snapshot),
    [P50, P90, P95, P99, P999] = quantiles(Snapshot, [0.5, 0.9, 0.95, 0.99, 0.999]),
    Mean = Sum / max(1, Count),
    Squares = squares(Buckets, Mean, 0.0),
    #{
        count => Count,
        sum => Sum,
        mean => Mean,
        stddev => math:sqrt(Squares / max(1, Count)),
        p50 => P50,
        p90 => P90,
        p95 => P95,
        p99 => P99,
        p999 => P999
    };
summary(Histogram) ->
    summary(snapshot(Histogram)).

squares([{Bucket, Count} | Buckets], Mean, Sum) ->
    Off = middle(bounds(Bucket)) - Mean,
    squares(Buckets, Mean, Sum + Count * Off * Off);
squares([], _, Sum) ->
    Sum.

-spec merge(snapshot(), snapshot()) -> snapshot().
merge({OverflowA, SumA, A}, {OverflowB, SumB, B}) ->
    {OverflowA + OverflowB, SumA + SumB, merged(A, B)}.

merged([{Bucket, CountA} | A], [{Bucket, CountB} | B]) -> [{Bucket, CountA + CountB} | merged(A, B)];
merged([{BucketA, _} = One | A], [{BucketB, _} | _] = B) when BucketA < BucketB -> [One | merged(A, B)];
merged([_ | _] = A, [One | B]) -> [One | merged(A, B)];
merged(A, []) -> A;
merged([], B) -> B.

%% What came between an earlier snapshot and a later one of the same histogram.
-spec subtract(Later :: snapshot(), Earlier :: snapshot()) -> snapshot().
subtract({OverflowA, SumA, A}, {OverflowB, SumB, B}) ->
    {OverflowA - OverflowB, SumA - SumB, subtracted(A, B)}.

subtracted([Same | A], [Same | B]) -> subtracted(A, B);
subtracted([{Bucket, CountA} | A], [{Bucket, CountB} | B]) -> [{Bucket, CountA - CountB} | subtracted(A, B)];
subtracted([One | A], B) -> [One | subtracted(A, B)];
subtracted([], []) -> [].

%% The same of a list of values, by sorting it: erlmcp's way, and the exact answer.
-spec sorted_quantiles([number(), ...], [float()]) -> [number()].
sorted_quantiles(Values, Quantiles) ->
    Sorted = lists:sort(Values),
    Count = length(Sorted),
    [lists:nth(max(1, ceil(Quantile * Count)), Sorted) || Quantile <- Quantiles].
