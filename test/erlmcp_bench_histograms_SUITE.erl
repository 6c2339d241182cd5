%% The baselines of histograms and metrics are right, and the library answers as they do.
-module(erlmcp_bench_histograms_SUITE).
-behaviour(ct_suite).

-export([all/0, init_per_suite/1, end_per_suite/1]).
-export([
    buckets_follow_one_another/1,
    baseline_is_within_its_error/1,
    native_answers_as_the_baseline/1,
    lost_samples_are_noticed/1,
    latencies_are_log_normal/1,
    metrics_baseline_text/1
]).

-define(BASELINE, erlmcp_histogram_baseline).
-define(QUANTILES, [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0]).

all() ->
    [
        buckets_follow_one_another,
        baseline_is_within_its_error,
        native_answers_as_the_baseline,
        lost_samples_are_noticed,
        latencies_are_log_normal,
        metrics_baseline_text
    ].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_Config) ->
    ok.

%% Each begins where the one before ends, and both of its bounds are in it.
buckets_follow_one_another(_Config) ->
    Overflow = ?BASELINE:index(1 bsl 42),
    Overflow = ?BASELINE:index(1 bsl 70),
    {1 bsl 42, infinity} = ?BASELINE:bounds(Overflow),
    End = lists:foldl(
        fun(Bucket, Next) ->
            {Next, High} = ?BASELINE:bounds(Bucket),
            {Bucket, Bucket} = {?BASELINE:index(Next), ?BASELINE:index(High)},
            High + 1
        end,
        0,
        lists:seq(0, Overflow - 1)
    ),
    1 bsl 42 = End.

baseline_is_within_its_error(_Config) ->
    Values = values(5000, 41),
    Histogram = ?BASELINE:new(),
    lists:foreach(fun(Value) -> ?BASELINE:record(Histogram, Value) end, Values),
    Snapshot = ?BASELINE:snapshot(Histogram),
    {5000, Sum} = {?BASELINE:count(Snapshot), ?BASELINE:sum(Snapshot)},
    Sum = lists:sum(Values),
    Exact = ?BASELINE:sorted_quantiles(Values, ?QUANTILES),
    [] = [
        {Quantile, Is, Told}
     || {Quantile, Is, Told} <- lists:zip3(?QUANTILES, Exact, ?BASELINE:quantiles(Histogram, ?QUANTILES)),
        abs(Told - Is) > Is / 256
    ],
    [undefined, undefined] = ?BASELINE:quantiles(?BASELINE:new(), [0.0, 1.0]).

%% Counts, sums, quantiles (by their buckets), merges and intervals, values beyond the largest
%% included.
native_answers_as_the_baseline(_Config) ->
    lists:foreach(
        fun(Bits) ->
            [A, B, C] = [values(Count, Bits) || Count <- [1, 300, 2000]],
            Native = erlmcp_native_histogram:new(#{}),
            Baseline = ?BASELINE:new(),
            lists:foreach(fun(Value) -> ok = erlmcp_native_histogram:record(Native, Value) end, A ++ B),
            ok = ?BASELINE:record_many(Baseline, A ++ B),
            {First, Cursor} = erlmcp_native_histogram:interval(Native, first),
            Before = ?BASELINE:snapshot(Baseline),
            same(First, Before),
            ok = erlmcp_native_histogram:record_many(Native, <<<<Value:64/native>> || Value <- C>>),
            ok = ?BASELINE:record_many(Baseline, <<<<Value:64/native>> || Value <- C>>),
            After = ?BASELINE:snapshot(Baseline),
            same(Native, After),
            {Delta, _} = erlmcp_native_histogram:interval(Native, Cursor),
            Since = ?BASELINE:subtract(After, Before),
            same(Delta, Since),
            same(erlmcp_native_histogram:merge([Delta, First]), ?BASELINE:merge(Since, Before)),
            same(erlmcp_native_histogram:merge([Delta, Delta]), ?BASELINE:merge(Since, Since)),
            ok = erlmcp_native_histogram:delete(Native)
        end,
        [1, 7, 8, 20, 42, 44]
    ).

same(Native, Baseline) ->
    #{count := Count, sum := Sum} = erlmcp_native_histogram:summary(Native),
    {Count, Sum} = {?BASELINE:count(Baseline), ?BASELINE:sum(Baseline)},
    Told = erlmcp_native_histogram:quantiles(Native, ?QUANTILES),
    Expected = ?BASELINE:quantiles(Baseline, ?QUANTILES),
    {Told, Expected, true} = {Told, Expected, buckets(Told) =:= buckets(Expected)}.

buckets(Values) ->
    [
        case Value of
            infinity -> ?BASELINE:index(1 bsl 42);
            _ -> ?BASELINE:index(Value)
        end
     || Value <- Values
    ].

%% As many values of up to so many bits, of all sizes, the same at every run.
values(Count, Bits) ->
    {Values, _} = lists:mapfoldl(
        fun(_, State) ->
            {Size, State1} = rand:uniform_s(Bits, State),
            {Value, State2} = rand:uniform_s(1 bsl Size, State1),
            {Value - 1, State2}
        end,
        rand:seed_s(exsss, {Count, Bits, 1}),
        lists:seq(1, Count)
    ),
    Values.

lost_samples_are_noticed(_Config) ->
    Values = [1, 2, 3],
    Of = fun(Totals) -> #{totals => fun(_) -> Totals end} end,
    Check = fun(Totals) -> erlmcp_bench_histograms_subjects:in_step(Of(Totals), histogram, Values) end,
    ok = Check({6, 12}),
    ok = Check({6, 12.0}),
    ok = Check({6, unknown}),
    ok = Check({unknown, 18}),
    [{wrong, <<"lost samples", _/binary>>} = Check(Wrong) || Wrong <- [{5, 12}, {6, 11}, {6, 18}, {7, unknown}, {0, 0}]].

latencies_are_log_normal(_Config) ->
    Values = erlmcp_bench_histograms_workloads:latencies(10_000),
    10_000 = length(Values),
    [Low, Median, High] = erlmcp_bench_histograms_workloads:exact(10_000, [0.1587, 0.5, 0.8413]),
    [Low, Median, High] = ?BASELINE:sorted_quantiles(Values, [0.1587, 0.5, 0.8413]),
    Near = fun(Value, Expected) -> abs(Value / Expected - 1) < 0.1 end,
    [true, true, true] = [Near(Low, 1.0e6 * math:exp(-0.8)), Near(Median, 1.0e6), Near(High, 1.0e6 * math:exp(0.8))].

metrics_baseline_text(_Config) ->
    Registry = erlmcp_metrics_baseline:new(),
    Labels = [{<<"tool">>, <<"a\"b\\c\nd">>}],
    Counter = erlmcp_metrics_baseline:counter(Registry, <<"calls">>, Labels),
    ok = erlmcp_metrics_baseline:inc(Counter),
    ok = erlmcp_metrics_baseline:inc(erlmcp_metrics_baseline:find(Registry, <<"calls">>, [<<"a\"b\\c\nd">>])),
    Gauge = erlmcp_metrics_baseline:gauge(Registry, <<"temperature">>, []),
    ok = erlmcp_metrics_baseline:set(Gauge, -2.5),
    Histogram = erlmcp_metrics_baseline:histogram(Registry, <<"time_seconds">>, [], [0.001, 1.0]),
    lists:foreach(
        fun(Value) -> ok = erlmcp_metrics_baseline:observe(Histogram, Value) end,
        [1, 1_000_000, 1_000_001, 1_000_000_000, 2_000_000_000]
    ),
    [2, -2.5, 3_002_000_002] = [erlmcp_metrics_baseline:value(Series) || Series <- [Counter, Gauge, Histogram]],
    [
        <<"calls_total{tool=\"a\\\"b\\\\c\\nd\"} 2">>,
        <<"temperature -2.5">>,
        <<"time_seconds_bucket{le=\"+Inf\"} 5">>,
        <<"time_seconds_bucket{le=\"0.001\"} 2">>,
        <<"time_seconds_bucket{le=\"1.0\"} 4">>,
        <<"time_seconds_count 5">>,
        <<"time_seconds_sum ", Sum/binary>>
    ] = lists:sort(binary:split(erlmcp_metrics_baseline:text(Registry), <<"\n">>, [global, trim_all])),
    true = abs(binary_to_float(Sum) - 3.002000002) < 1.0e-9,
    true = erlmcp_metrics_baseline:drop(Registry).
