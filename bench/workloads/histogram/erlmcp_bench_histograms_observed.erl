%% What is no time of a call: samples that were lost, the size of a snapshot, memory.
-module(erlmcp_bench_histograms_observed).

-export([cases/0]).

-define(SUBJECTS, erlmcp_bench_histograms_subjects).
-define(WORKLOADS, erlmcp_bench_histograms_workloads).
-define(BASELINE, erlmcp_histogram_baseline).
-define(VM, erlmcp_bench_vm).

-define(RECORDERS, 8).
-define(VALUES, 1000).
-define(MILLION, 1_000_000).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    lists:append([losses(), sizes(), memory()]).

bench_case(Group, Id, Modes, Subjects) ->
    #{
        group => Group,
        id => Id,
        set => histogram,
        bytes => 0,
        modes => Modes,
        subjects => [
            #{name => Name, role => Role, observe => Observe}
         || {#{name := Name, role := Role}, Observe} <- Subjects
        ]
    }.

with(#{new := New, drop := Drop} = Of, Observe) ->
    Histogram = New(),
    try
        Observe(Of, Histogram)
    after
        Drop(Histogram)
    end.

%% Eight processes record while another takes one interval after the other: what the intervals
%% have together, and what was recorded. hdr_histogram has no intervals: there it is the count.

losses() ->
    %% With windows, for which everything is read four times a second.
    Native = (?SUBJECTS:native())#{new := fun() -> erlmcp_native_histogram:new(#{windows => true}) end},
    [
        bench_case(histogram_loss, Id, Modes, [
            {Of, fun() -> with(Of, fun(One, Histogram) -> lost(One, Histogram, Reader, Count) end) end}
         || {Of, Reader} <- [
                {Native, fun native_interval/2},
                {?SUBJECTS:pure_erlang(), fun pure_interval/2}
                | [{Hdr, fun hdr_count/2} || Hdr <- ?SUBJECTS:hdr_histogram()]
            ]
        ])
     || {Id, Modes, Count} <- [
            {lost_of_1m, [quick], ?MILLION},
            {lost_of_100m, [standard, full], 100 * ?MILLION}
        ]
    ].

lost(#{record_all := Record}, Histogram, Interval, Count) ->
    Values = ?WORKLOADS:latencies(?VALUES),
    Times = Count div ?VALUES div ?RECORDERS,
    Recorders = [
        spawn_monitor(fun() -> lists:foreach(fun(_) -> Record(Histogram, Values) end, lists:seq(1, Times)) end)
     || _ <- lists:seq(1, ?RECORDERS)
    ],
    {Counted, Intervals} = rotate(Histogram, Interval, Recorders, first, 0, 0),
    [
        {lost, Count - Counted, count},
        {recorded, Count, count},
        {intervals, Intervals, count}
    ].

%% The last interval begins before and ends after the last record.
rotate(Histogram, Interval, [], Cursor, Sum, Intervals) ->
    {Count, _} = Interval(Histogram, Cursor),
    {Sum + Count, Intervals + 1};
rotate(Histogram, Interval, Recorders, Cursor, Sum, Intervals) ->
    {Count, Next} = Interval(Histogram, Cursor),
    receive
        {'DOWN', Monitor, process, Pid, normal} ->
            rotate(Histogram, Interval, lists:delete({Pid, Monitor}, Recorders), Next, Sum + Count, Intervals + 1);
        {'DOWN', _, process, _, Reason} ->
            error(Reason)
    after 1 -> rotate(Histogram, Interval, Recorders, Next, Sum + Count, Intervals + 1)
    end.

native_interval(Histogram, Cursor) ->
    {Delta, Next} = erlmcp_native_histogram:interval(Histogram, Cursor),
    {maps:get(count, erlmcp_native_histogram:summary(Delta)), Next}.

pure_interval(Histogram, Cursor) ->
    Now = ?BASELINE:snapshot(Histogram),
    Delta =
        case Cursor of
            first -> Now;
            Before -> ?BASELINE:subtract(Now, Before)
        end,
    {?BASELINE:count(Delta), Now}.

hdr_count(Histogram, first) -> hdr_count(Histogram, 0);
hdr_count(Histogram, Before) ->
    Now = hdr_histogram:get_total_count(Histogram),
    {Now - Before, Now}.

%% A million log-normal latencies, as bytes to keep or send.

sizes() ->
    [
        bench_case(histogram_size, snapshot_size_of_1m, [quick, standard, full], [
            {Of, fun() ->
                with(Of, fun(#{record_all := Record}, Histogram) ->
                    ok = Record(Histogram, ?WORKLOADS:latencies(?MILLION)),
                    [{snapshot_bytes, byte_size(ToBinary(Histogram)), bytes}]
                end)
            end}
         || {Of, ToBinary} <- [
                {?SUBJECTS:native(), fun erlmcp_native_histogram:to_binary/1},
                {?SUBJECTS:pure_erlang(), fun(Histogram) ->
                    term_to_binary(?BASELINE:snapshot(Histogram), [compressed])
                end}
                | [{Hdr, fun hdr_histogram:to_binary/1} || Hdr <- ?SUBJECTS:hdr_histogram()]
            ]
        ])
    ].

%% By histogram, in a VM of its own: with nothing recorded, one value, and a thousand values by
%% each of two processes, which the schedulers share.

memory() ->
    [
        bench_case(histogram_memory, Id, Modes, [
            {Of, fun() -> ?VM:anew(fun() -> memory(Of, Count) end) end}
         || Of <- [?SUBJECTS:native(), ?SUBJECTS:pure_erlang()]
        ])
     || {Id, Modes, Count} <- [
            {memory_of_100, [quick], 100},
            {memory_of_1000, [standard, full], 1000}
        ]
    ].

memory(#{new := New, record_all := Record, drop := Drop}, Count) ->
    %% What is made once is made.
    First = New(),
    ok = Record(First, [1]),
    Before = ?VM:counted(),
    Histograms = [New() || _ <- lists:seq(1, Count)],
    Empty = ?VM:counted(),
    lists:foreach(fun(Histogram) -> ok = Record(Histogram, [1_000_000]) end, Histograms),
    One = ?VM:counted(),
    Values = ?WORKLOADS:latencies(?VALUES),
    Recorders = [
        spawn_monitor(fun() -> lists:foreach(fun(Histogram) -> ok = Record(Histogram, Values) end, Histograms) end)
     || _ <- [1, 2]
    ],
    lists:foreach(
        fun({Pid, Monitor}) ->
            receive
                {'DOWN', Monitor, process, Pid, normal} -> ok
            end
        end,
        Recorders
    ),
    Full = ?VM:counted(),
    lists:foreach(Drop, [First | Histograms]),
    [
        {empty, (Empty - Before) / Count, bytes},
        {with_one_value, (One - Before) / Count, bytes},
        {with_2000_values, (Full - Before) / Count, bytes}
    ].
