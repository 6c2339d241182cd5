%% Histograms: recording, timed operations, batches, quantiles and snapshots, and what may not be
%% lost or grow. (`erlmcp_bench_histogram` is the harness's own.)
-module(erlmcp_bench_histograms).
-behaviour(erlmcp_bench_suite).

-export([cases/0, targets/0, subjects/0]).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    erlmcp_bench_histograms_calls:cases() ++ erlmcp_bench_histograms_observed:cases().

-spec subjects() -> [{atom(), binary()}].
subjects() ->
    [{Name, Version} || #{name := Name, version := Version} <- erlmcp_bench_histograms_subjects:all()] ++
        [{bear, erlmcp_bench_suite:version(bear)} || erlmcp_bench_suite:present(bear, [])].

-spec targets() -> [erlmcp_bench_suite:target()].
targets() ->
    Target = fun(Text, Group, Id, Figure) ->
        #{text => Text, group => Group, ids => [Id], subject => native, figure => Figure}
    end,
    [
        Target(<<"record, one process">>, histogram_record, record_by_1, {at_most, 30}),
        %% A ratio is how many times faster: 1.3 times as long is 1 / 1.3.
        Target(<<"the same against a bare counter">>, histogram_record, record_by_1, {least, counters_add, 1 / 1.3}),
        Target(<<"the same over pure Erlang">>, histogram_record, record_by_1, {least, pure_erlang, 2.0}),
        %% Both together: each takes 1.2 times as long as one alone.
        Target(<<"two processes, together">>, histogram_record, record_by_2, {against, record_by_1, 2 / 1.2}),
        Target(<<"timed operation, clocks included">>, histogram_time, timed_operation, {at_most, 45}),
        Target(
            <<"the same over two monotonic_time and a record">>,
            histogram_time,
            timed_operation,
            {least, native_vm_clock, 160 / 45}
        ),
        Target(<<"batch from a binary, by value">>, histogram_batch, batch_binary, {at_most, 3}),
        Target(<<"batch from a list, by value">>, histogram_batch, batch_list, {at_most, 7}),
        Target(<<"five quantiles and the summary, one call">>, histogram_read, summary_of_1m, {at_most, 4000}),
        Target(
            <<"snapshot of a million log-normal latencies">>,
            histogram_size,
            snapshot_size_of_1m,
            {observed, snapshot_bytes, at_most, 4096}
        ),
        Target(<<"merge of two such">>, histogram_snapshot, merge_of_two, {at_most, 5000}),
        Target(<<"lost samples of 100 million">>, histogram_loss, lost_of_100m, {observed, lost, at_most, 0})
    ].
