%% The cases that are timed: recording, timing, batches, and what is asked of a histogram.
-module(erlmcp_bench_histograms_calls).

-export([cases/0]).

-define(SUBJECTS, erlmcp_bench_histograms_subjects).
-define(WORKLOADS, erlmcp_bench_histograms_workloads).
-define(BASELINE, erlmcp_histogram_baseline).

%% Values of a call.
-define(VALUES, 1024).
-define(MILLION, 1_000_000).
-define(QUANTILES, [0.5, 0.9, 0.95, 0.99, 0.999]).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    lists:append([records(), timed(), batches(), questions(), samples(), snapshots()]).

%% Processes that record into one histogram.

records() ->
    Values = ?WORKLOADS:latencies(?VALUES),
    [
        bench_case(histogram_record, Id, #{
            expected => ok,
            operations => ?VALUES,
            modes => Modes,
            missing => ?SUBJECTS:missing(),
            subjects => [
                subject(Subject, fun(#{record_all := Record} = Of, Histogram) ->
                    opened(Of, Histogram, Values, [
                        fun() -> Record(Histogram, Values) end
                     || _ <- lists:seq(1, Processes)
                    ])
                end)
             || Subject <- ?SUBJECTS:all()
            ]
        })
     || {Id, Processes, Modes} <- [
            {record_by_1, 1, all()},
            {record_by_2, 2, all()},
            {record_by_16, 16, [standard, full]}
        ]
    ].

%% Nothing is timed: what is left is the clock and the record.

timed() ->
    [
        bench_case(histogram_time, timed_operation, #{
            expected => ok,
            operations => ?VALUES,
            subjects => [
                subject(Subject, fun(#{time_all := Time} = Of, Histogram) ->
                    Opened = opened(Of, Histogram, [1], [fun() -> Time(Histogram, ?VALUES) end]),
                    Opened#{verify := fun() -> all_timed(Of, Histogram) end}
                end)
             || #{time_all := _} = Subject <- [?SUBJECTS:vm_clock() | ?SUBJECTS:all()],
                maps:get(name, Subject) =/= native_named
            ]
        })
    ].

all_timed(#{totals := Totals}, Histogram) ->
    case Totals(Histogram) of
        {unknown, _} -> ok;
        {Count, _} when Count > 0, Count rem ?VALUES =:= 0 -> ok;
        {Count, _} -> {wrong, iolist_to_binary(io_lib:format("lost samples: ~b", [Count]))}
    end.

batches() ->
    Binary = ?WORKLOADS:binary(?VALUES),
    List = ?WORKLOADS:latencies(?VALUES),
    [
        bench_case(histogram_batch, Id, #{
            expected => ok,
            operations => ?VALUES,
            subjects => [
                subject(Subject, fun(Of, Histogram) ->
                    opened(Of, Histogram, List, [fun() -> Record(Histogram, Values) end])
                end)
             || {Subject, Record} <- [
                    {?SUBJECTS:native(), fun erlmcp_native_histogram:record_many/2},
                    {?SUBJECTS:pure_erlang(), fun ?BASELINE:record_many/2}
                ]
            ]
        })
     || {Id, Values} <- [{batch_binary, Binary}, {batch_list, List}]
    ].

%% Of a histogram with a million values that two processes recorded. Who answers wrongly by more
%% than its error is not timed.

questions() ->
    [five_quantiles(), summary()].

five_quantiles() ->
    Of = [?SUBJECTS:native(), ?SUBJECTS:pure_erlang()] ++ ?SUBJECTS:hdr_histogram() ++ ?SUBJECTS:ddskerl(),
    Quantiles = fun(#{quantiles := Ask}, Held) -> [fun() -> Ask(Held, ?QUANTILES) end] end,
    bench_case(histogram_read, five_quantiles_of_1m, #{
        expected => within,
        missing => ?SUBJECTS:missing(),
        subjects => [
            (of_million(Subject, Quantiles))#{normal => within(?MILLION, Error)}
         || #{error := Error} = Subject <- Of
        ] ++ [(of_snapshot(Quantiles))#{normal => within(?MILLION, 1 / 256)}]
    }).

summary() ->
    Summary = fun(#{summary := Ask}, Held) -> [fun() -> Ask(Held) end] end,
    Within = within(?MILLION, 1 / 256),
    bench_case(histogram_read, summary_of_1m, #{
        expected => {?MILLION, 0, within},
        subjects => [
            Subject#{
                normal => fun(#{count := Count, sum := Total, p50 := A, p90 := B, p95 := C, p99 := D, p999 := E}) ->
                    {Count, Total - lists:sum(?WORKLOADS:latencies(?MILLION)), Within([A, B, C, D, E])}
                end
            }
         || Subject <- [
                of_million(?SUBJECTS:native(), Summary),
                of_million(?SUBJECTS:pure_erlang(), Summary),
                of_snapshot(Summary)
            ]
        ]
    }).

%% Whether the answers are off the exact ones by no more than that part of their values.
within(Count, Error) ->
    fun(Answers) ->
        Exact = ?WORKLOADS:exact(Count, ?QUANTILES),
        case [{Is, Answer} || {Is, Answer} <- lists:zip(Exact, Answers), abs(Answer - Is) > Error * Is] of
            [] -> within;
            Off -> Off
        end
    end.

of_million(Subject, Calls) ->
    subject(Subject, fun(Of, Histogram) ->
        ok = fill(Of, Histogram),
        #{calls => Calls(Of, Histogram), close => fun() -> close(Of, Histogram) end}
    end).

of_snapshot(Calls) ->
    #{name := Name} = Subject = (?SUBJECTS:native())#{name := native_snapshot, role := variant},
    (subject(Subject, fun(Of, Histogram) ->
        ok = fill(Of, Histogram),
        Snapshot = erlmcp_native_histogram:snapshot(Histogram),
        #{calls => Calls(Of, Snapshot), close => fun() -> close(Of, Histogram) end}
    end))#{name := Name}.

%% A million values, half of them by each of two processes, which is more than some can take.
fill(#{one_at_a_time := true, record_all := Record}, Histogram) ->
    Record(Histogram, ?WORKLOADS:latencies(?MILLION));
fill(#{record_all := Record}, Histogram) ->
    {First, Second} = lists:split(?MILLION div 2, ?WORKLOADS:latencies(?MILLION)),
    Workers = [spawn_monitor(fun() -> Record(Histogram, Values) end) || Values <- [First, Second]],
    lists:foreach(
        fun({Pid, Monitor}) ->
            receive
                {'DOWN', Monitor, process, Pid, normal} -> ok;
                {'DOWN', Monitor, process, Pid, Reason} -> error({fill, Reason})
            end
        end,
        Workers
    ).

%% 10,000 samples as erlmcp keeps them, in a list that is sorted for each answer; as folsom does
%% with its sample; and in a histogram.

samples() ->
    Count = 10_000,
    Values = ?WORKLOADS:latencies(Count),
    Histograms = [
        (subject(Subject, fun(#{record_all := Record, quantiles := Ask} = Of, Histogram) ->
            ok = Record(Histogram, Values),
            #{calls => [fun() -> Ask(Histogram, ?QUANTILES) end], close => fun() -> close(Of, Histogram) end}
        end))#{normal => within(Count, Error)}
     || #{error := Error} = Subject <- [?SUBJECTS:native(), ?SUBJECTS:pure_erlang()]
    ],
    Sorted = #{
        name => erlmcp_sorted_list,
        role => peer,
        normal => within(Count, 0),
        call => fun() -> ?BASELINE:sorted_quantiles(Values, ?QUANTILES) end
    },
    [
        bench_case(histogram_read, quantiles_of_10000, #{
            expected => within,
            missing => [{bear, <<"not on the code path">>} || bear(Count, Values) =:= []],
            subjects => Histograms ++ [Sorted] ++ bear(Count, Values)
        }),
        bench_case(histogram_read, record_10000_and_ask, #{
            expected => within,
            subjects => [
                #{
                    name => Name,
                    role => Role,
                    normal => within(Count, Error),
                    call => fun() ->
                        Histogram = New(),
                        ok = Record(Histogram, Values),
                        Answer = Ask(Histogram, ?QUANTILES),
                        _ = Drop(Histogram),
                        Answer
                    end
                }
             || #{
                    name := Name,
                    role := Role,
                    new := New,
                    record_all := Record,
                    quantiles := Ask,
                    error := Error,
                    drop := Drop
                } <- [?SUBJECTS:native(), ?SUBJECTS:pure_erlang()]
            ] ++
                [
                    Sorted#{
                        call := fun() ->
                            Kept = lists:foldl(fun(Value, Earlier) -> [Value | Earlier] end, [], Values),
                            ?BASELINE:sorted_quantiles(Kept, ?QUANTILES)
                        end
                    }
                ]
        })
    ].

%% Debian's erlang-bear, which takes percentiles only as integers (999 of 1,000 as 999).
bear(Count, Values) ->
    case erlmcp_bench_suite:present(bear, [{get_statistics_subset, 2}]) of
        true ->
            Within = within(Count, 0.005),
            [
                #{
                    name => bear,
                    role => peer,
                    normal => fun([{percentile, Answers}]) -> Within([Answer || {_, Answer} <- Answers]) end,
                    call => fun() ->
                        bear:get_statistics_subset(Values, [{percentile, [50, 90, 95, 99, 999]}])
                    end
                }
            ];
        false ->
            []
    end.

snapshots() ->
    Baseline = ?SUBJECTS:pure_erlang(),
    Native = ?SUBJECTS:native(),
    Counted = fun
        (Snapshot) when is_binary(Snapshot) -> maps:get(count, erlmcp_native_histogram:summary(Snapshot));
        (Snapshot) -> ?BASELINE:count(Snapshot)
    end,
    Case = fun(Id, Expected, NativeCalls, BaselineCalls) ->
        bench_case(histogram_snapshot, Id, #{
            expected => Expected,
            subjects => [
                (of_million(Native, fun(_, Histogram) -> NativeCalls(Histogram) end))#{normal => Counted},
                (of_million(Baseline, fun(_, Histogram) -> BaselineCalls(Histogram) end))#{normal => Counted}
            ]
        })
    end,
    [
        Case(
            snapshot_of_1m,
            ?MILLION,
            fun(Histogram) -> [fun() -> erlmcp_native_histogram:snapshot(Histogram) end] end,
            fun(Histogram) -> [fun() -> ?BASELINE:snapshot(Histogram) end] end
        ),
        Case(
            merge_of_two,
            2 * ?MILLION,
            fun(Histogram) ->
                Two = [erlmcp_native_histogram:snapshot(Histogram) || _ <- [1, 2]],
                [fun() -> erlmcp_native_histogram:merge(Two) end]
            end,
            fun(Histogram) ->
                Snapshot = ?BASELINE:snapshot(Histogram),
                [fun() -> ?BASELINE:merge(Snapshot, Snapshot) end]
            end
        ),
        Case(
            interval_since_1m,
            0,
            fun(Histogram) ->
                {_, Cursor} = erlmcp_native_histogram:interval(Histogram, first),
                [fun() -> element(1, erlmcp_native_histogram:interval(Histogram, Cursor)) end]
            end,
            fun(Histogram) ->
                Before = ?BASELINE:snapshot(Histogram),
                [fun() -> ?BASELINE:subtract(?BASELINE:snapshot(Histogram), Before) end]
            end
        )
    ].

%% What the cases have in common.

bench_case(Group, Id, Case) ->
    maps:merge(#{group => Group, id => Id, set => histogram, bytes => 0}, Case).

all() ->
    [quick, standard, full].

subject(#{name := Name, role := Role, new := New} = Of, Open) ->
    #{name => Name, role => Role, open => fun() -> Open(Of, New()) end}.

opened(Of, Histogram, Values, Calls) ->
    #{
        calls => Calls,
        verify => fun() -> ?SUBJECTS:in_step(Of, Histogram, Values) end,
        close => fun() -> close(Of, Histogram) end
    }.

close(#{drop := Drop}, Histogram) ->
    Drop(Histogram).
