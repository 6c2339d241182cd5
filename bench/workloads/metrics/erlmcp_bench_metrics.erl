%% Metrics: recording into a registry by handle and by name and labels, the text that Prometheus
%% scrapes, and memory where nobody does.
-module(erlmcp_bench_metrics).
-behaviour(erlmcp_bench_suite).

-export([cases/0, targets/0, subjects/0]).

-define(SUBJECTS, erlmcp_bench_metrics_subjects).
-define(VM, erlmcp_bench_vm).

%% Records of a call.
-define(CALLS, 1024).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    records() ++ expositions() ++ unscraped().

-spec subjects() -> [{atom(), binary()}].
subjects() ->
    [{Name, Version} || #{name := Name, version := Version} <- ?SUBJECTS:all()].

-spec targets() -> [erlmcp_bench_suite:target()].
targets() ->
    Target = fun(Text, Group, Id, Figure) ->
        #{text => Text, group => Group, ids => [Id], subject => native, figure => Figure}
    end,
    [
        Target(<<"exposition of 10,000 series">>, metrics_exposition, exposition_10000_series, {at_most, 10_000_000}),
        Target(
            <<"memory growth, nobody scrapes, after 10 million">>,
            metrics_unscraped,
            unscraped_10m,
            {observed, growth, at_most, 65_536}
        )
    ].

bench_case(Group, Id, Case) ->
    maps:merge(
        #{group => Group, id => Id, set => metrics, bytes => 0, missing => ?SUBJECTS:missing()},
        Case
    ).

%% A counter goes up by one, a histogram counts 1 ms, a gauge is set to 1.5, a rate is marked. After
%% every round its value must be that of whole calls.

records() ->
    [
        bench_case(metrics_record, Id, #{
            expected => ok,
            operations => ?CALLS,
            subjects => [
                #{name => Name, role => Role, open => fun() -> record(New, Record, Value, Drop, Each) end}
             || #{name := Name, role := Role, kinds := #{Kind := Of}} <- ?SUBJECTS:all(),
                #{new := New, How := Record, value := Value, drop := Drop} <- [Of]
            ]
        })
     || {Id, Kind, How, Each} <- [
            {counter_by_handle, counter, by_handle, 1},
            {counter_by_labels, counter, by_labels, 1},
            {histogram_by_handle, histogram, by_handle, 1_000_000},
            {histogram_by_labels, histogram, by_labels, 1_000_000},
            {gauge_by_handle, gauge, by_handle, none},
            {gauge_by_labels, gauge, by_labels, none},
            {rate_by_handle, rate, by_handle, 1}
        ]
    ].

record(New, Record, Value, Drop, Each) ->
    Metric = New(),
    #{
        calls => [fun() -> Record(Metric, ?CALLS) end],
        verify => fun() -> whole(Each, Value(Metric)) end,
        close => fun() -> Drop(Metric) end
    }.

whole(none, 1.5) -> ok;
whole(Each, Value) when is_integer(Each), Value > 0, round(Value) rem (Each * ?CALLS) =:= 0 -> ok;
whole(_, unknown) -> ok;
whole(_, Value) -> {wrong, iolist_to_binary(io_lib:format("the value is ~w", [Value]))}.

%% Series as Prometheus counts them, a line to each; and sets of labels, of which a histogram's
%% has fourteen lines. All of them are collected and written at each call.

expositions() ->
    [
        bench_case(metrics_exposition, Id, #{
            expected => totals(Counters, Gauges, Histograms),
            modes => Modes,
            subjects => [
                #{
                    name => Name,
                    role => Role,
                    open => fun() -> exposition(Fill, Counters, Gauges, Histograms) end,
                    normal => fun({Prefix, Text}) -> totals(Prefix, Text) end
                }
             || #{name := Name, role := Role, fill := Fill} <- ?SUBJECTS:all()
            ]
        })
     || {Id, Modes, Counters, Gauges, Histograms} <- [
            {exposition_1000_series, [quick], 400, 250, 25},
            {exposition_10000_series, [quick, standard, full], 4000, 2500, 250},
            {exposition_10000_label_sets, [standard, full], 6500, 2500, 1000}
        ]
    ].

exposition(Fill, Counters, Gauges, Histograms) ->
    {Prefix, Expose, Drop} = Fill(Counters, Gauges, Histograms),
    #{calls => [fun() -> {Prefix, Expose()} end], close => Drop}.

%% The lines, and the sum of their values in thousandths: each counter is at 3, each gauge at 1.5,
%% each histogram has 3 ms, 30 ms, 300 ms and 30 s in it, under ?SUBJECTS:bounds().
totals(Counters, Gauges, Histograms) ->
    Values = [0.003, 0.03, 0.3, 30.0],
    Bounds = ?SUBJECTS:bounds(),
    Buckets = length([in || Bound <- Bounds, Value <- Values, Value =< Bound]),
    {
        Counters + Gauges + Histograms * (length(Bounds) + 3),
        round(1000 * (3 * Counters + 1.5 * Gauges + Histograms * (Buckets + 2 * length(Values) + lists:sum(Values))))
    }.

totals(Prefix, Text) ->
    Size = byte_size(Prefix),
    {Lines, Sum} = lists:foldl(
        fun
            (<<Start:Size/binary, _/binary>> = Line, {Count, Sum}) when Start =:= Prefix ->
                {Count + 1, Sum + number(lists:last(binary:split(Line, <<" ">>, [global])))};
            (_, Totals) ->
                Totals
        end,
        {0, 0},
        binary:split(Text, <<"\n">>, [global, trim_all])
    ),
    {Lines, round(1000 * Sum)}.

number(Text) ->
    try
        binary_to_integer(Text)
    catch
        error:badarg -> binary_to_float(Text)
    end.

%% Samples of a counter and of a histogram by two processes, in a VM of its own, after a hundred
%% thousand have been recorded: how much memory is in use beyond what was.

unscraped() ->
    [
        #{
            group => metrics_unscraped,
            id => Id,
            set => metrics,
            bytes => 0,
            modes => Modes,
            subjects => [
                #{name => Name, role => Role, observe => fun() -> ?VM:anew(fun() -> unscraped(Kinds, Samples) end) end}
             || #{name := Name, role := Role, kinds := #{counter := _, histogram := _} = Kinds} <- ?SUBJECTS:all(),
                Role =/= peer
            ]
        }
     || {Id, Modes, Samples} <- [
            {unscraped_1m, [quick], 1_000_000},
            {unscraped_10m, [standard, full], 10_000_000}
        ]
    ].

unscraped(#{counter := Counter, histogram := Histogram}, Samples) ->
    Metrics = [{Record, New()} || #{new := New, by_labels := Record} <- [Counter, Histogram]],
    ok = by_two(Metrics, 100_000),
    Before = in_use(),
    ok = by_two(Metrics, Samples),
    [{growth, max(0, in_use() - Before), bytes}, {samples, Samples, count}].

by_two(Metrics, Samples) ->
    Workers = [
        spawn_monitor(fun() -> [Record(Metric, Samples div 4) || {Record, Metric} <- Metrics] end)
     || _ <- [1, 2]
    ],
    lists:foreach(
        fun({Pid, Monitor}) ->
            receive
                {'DOWN', Monitor, process, Pid, normal} -> ok
            end
        end,
        Workers
    ).

in_use() ->
    lists:foreach(fun erlang:garbage_collect/1, processes()),
    erlang:memory(processes) + ?VM:counted().
