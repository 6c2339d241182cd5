%% The harness of every part. A case is one input and several subjects; a subject is a closure.
%%
%% Results are compared first: nothing is timed whose answer is not the expected one. Then come
%% the rounds, interleaved A B C, B C A, ...: in each round every subject runs in a process of its
%% own, with the default heap and collected just before: one call by itself, which pays for the
%% growth of the heap (`first`), some calls to settle, and the batch whose time counts (`rounds`),
%% as in a process that lives longer. The batch is as long as the settings say, so the clock's
%% cost is lost in it; the loop's own cost (a fun call) is not taken off. The times of single
%% calls are sampled apart from the batches, interleaved too, and hold the clock's cost.
%% Allocation is counted by tracing the collections of one more process.
%%
%% A subject that needs something to work on is opened before and closed after its case, and says
%% after every round whether its state is still as it has to be: a cache within its bound. With
%% several `calls` as many processes make them at the same time (`erlmcp_bench_crowd`).
%%
%% What is no time of a call is observed: such a subject gives figures once and is not timed.
-module(erlmcp_bench_measure).

-export([run/3, settings/1, clock_cost/0]).
-export_type([bench_case/0, subject/0, opened/0, settings/0, result/0, measure/0, comparison/0]).
-export_type([observation/0]).

-type subject() :: #{
    name := atom(),
    %% What is compared: `measured` is ours, `baseline` what the ratio is to, `variant` another
    %% form of either (an output that is not a binary, say) shown but not compared.
    role := measured | baseline | peer | variant,
    %% One of these three.
    call => fun(() -> term()),
    open => fun(() -> opened()),
    observe => fun(() -> [observation()]),
    %% Brings the answer to the form of `expected`.
    normal => fun((term()) -> term())
}.
-type opened() :: #{
    %% As many processes as calls; each repeats its own.
    calls := [fun(() -> term()), ...],
    verify => fun(() -> ok | {wrong, binary()}),
    close => fun(() -> term())
}.
%% What the number is of, the number, and its unit.
-type observation() :: {Figure :: atom(), number(), bytes | count | nanoseconds | percent}.
-type bench_case() :: #{
    group := atom(),
    id := atom(),
    set := atom(),
    bytes := non_neg_integer(),
    expected => term(),
    subjects := [subject()],
    missing => [{atom(), Why :: binary()}],
    %% How many operations a call is; times are given by operation. 1 unless said.
    operations => pos_integer(),
    %% The modes that the case is part of, all unless said; naming its id adds it to any.
    modes => [quick | standard | full]
}.
-type settings() :: #{
    rounds := pos_integer(),
    least_rounds := pos_integer(),
    budget := pos_integer(),
    batch := pos_integer(),
    sample := pos_integer(),
    warm_up := pos_integer(),
    resamples := pos_integer()
}.
-type measure() :: #{
    name := atom(),
    role := atom(),
    median := float(),
    rounds := [float()],
    first := float(),
    calls_per_round := pos_integer(),
    samples := non_neg_integer(),
    quantiles := [{atom(), non_neg_integer() | undefined}],
    heap_bytes := float(),
    binary_bytes := float(),
    reductions := float()
}.
-type comparison() :: #{
    subject := atom(), to := atom(), ratio := float(), low := float(), high := float()
}.
-type result() :: #{
    group := atom(),
    id := atom(),
    set := atom(),
    bytes := non_neg_integer(),
    measures := [measure()],
    comparisons := [comparison()],
    observed := [#{name := atom(), role := atom(), figures := [observation()]}],
    operations := pos_integer(),
    processes := pos_integer(),
    missing := [{atom(), binary()}],
    wrong := [{atom(), atom(), binary()}]
}.

-define(QUANTILES, [{p50, 0.5}, {p90, 0.9}, {p99, 0.99}, {p999, 0.999}]).
-define(CHUNKS, 5).

%% Times in nanoseconds: of one batch, of all samples of single calls of a subject, of its
%% warm-up, and of all rounds of a case, where the rounds are not fewer than the least. The
%% batches are shorter than an operating system's time slice, so that most of them are not
%% interrupted even where something else runs.
-spec settings(quick | standard | full) -> settings().
settings(quick) ->
    #{
        rounds => 31,
        least_rounds => 9,
        budget => 500_000_000,
        batch => 1_000_000,
        sample => 30_000_000,
        warm_up => 5_000_000,
        resamples => 500
    };
settings(standard) ->
    #{
        rounds => 151,
        least_rounds => 31,
        budget => 4_000_000_000,
        batch => 2_000_000,
        sample => 150_000_000,
        warm_up => 40_000_000,
        resamples => 1000
    };
settings(full) ->
    #{
        rounds => 501,
        least_rounds => 101,
        budget => 20_000_000_000,
        batch => 2_000_000,
        sample => 1_000_000_000,
        warm_up => 100_000_000,
        resamples => 2000
    }.

-spec run([bench_case()], settings(), fun((non_neg_integer(), pos_integer(), atom(), atom()) -> any())) ->
    [result()].
run(Cases, Settings, Progress) ->
    Total = length(Cases),
    Numbered = lists:zip(lists:seq(0, Total - 1), Cases),
    Results = [
        begin
            _ = Progress(Done, Total, Group, Id),
            run_case(Case, Settings)
        end
     || {Done, #{group := Group, id := Id} = Case} <- Numbered
    ],
    _ = Progress(Total, max(1, Total), done, done),
    Results.

run_case(#{subjects := Subjects} = Case, Settings) ->
    Opened = [open(Subject) || Subject <- Subjects],
    Ready = [Subject || {Subject, ok} <- Opened],
    {Wrong, Measures, Observed} =
        try
            measure_case(Case, Ready, Settings)
        after
            lists:foreach(fun(#{close := Close}) -> Close() end, Ready)
        end,
    #{
        group => maps:get(group, Case),
        id => maps:get(id, Case),
        set => maps:get(set, Case),
        bytes => maps:get(bytes, Case),
        measures => Measures,
        comparisons => comparisons(Measures, Settings),
        observed => Observed,
        operations => maps:get(operations, Case, 1),
        processes => lists:max([1 | [length(Calls) || #{calls := Calls} <- Ready]]),
        missing => maps:get(missing, Case, []),
        wrong => [
            {Name, Role, Why}
         || {#{name := Name, role := Role}, {wrong, Why}} <- Opened ++ Wrong
        ]
    }.

open(#{open := Open} = Subject) ->
    try Open() of
        Opened -> {maps:merge(opened(Subject, []), Opened), ok}
    catch
        Class:Reason -> {Subject, {wrong, excerpt({Class, Reason})}}
    end;
open(#{call := Call} = Subject) ->
    {opened(Subject, [Call]), ok};
open(#{observe := _} = Subject) ->
    {opened(Subject, []), ok}.

opened(Subject, Calls) ->
    maps:merge(#{calls => Calls, verify => fun() -> ok end, close => fun() -> ok end}, Subject).

measure_case(Case, Subjects, Settings) ->
    {Observers, Timed} = lists:partition(fun(Subject) -> is_map_key(observe, Subject) end, Subjects),
    Seen = [{Subject, observe(Subject)} || Subject <- Observers],
    Checked = [{Subject, check(Subject, maps:get(expected, Case))} || Subject <- Timed],
    Right = [Subject || {Subject, ok} <- Checked],
    {Broken, Measures} = measure(Right, maps:get(operations, Case, 1), Settings),
    Observed = [
        #{name => Name, role => Role, figures => Figures}
     || {#{name := Name, role := Role}, {ok, Figures}} <- Seen
    ],
    {Seen ++ Checked ++ Broken, Measures, Observed}.

observe(#{observe := Observe}) ->
    apart(fun() ->
        try
            {ok, Observe()}
        catch
            Class:Reason -> {wrong, excerpt({Class, Reason})}
        end
    end).

%% Equality, before any timing.

check(#{calls := [Call | _], verify := Verify} = Subject, Expected) ->
    Normal = maps:get(normal, Subject, fun(Answer) -> Answer end),
    apart(fun() ->
        try Normal(Call()) of
            Expected -> Verify();
            Answer -> {wrong, difference(Answer, Expected)}
        catch
            Class:Reason -> {wrong, excerpt({Class, Reason})}
        end
    end).

%% Where they first differ, and how.
difference(Answer, Expected) when is_map(Answer), is_map(Expected) ->
    Keys = lists:usort(maps:keys(Answer) ++ maps:keys(Expected)),
    first_of([{Key, maps:find(Key, Answer), maps:find(Key, Expected)} || Key <- Keys]);
difference(Answer, Expected) when is_list(Answer), length(Answer) =:= length(Expected) ->
    first_of(lists:zip3(lists:seq(0, length(Answer) - 1), [{ok, A} || A <- Answer], [{ok, E} || E <- Expected]));
difference(Answer, Expected) ->
    iolist_to_binary([excerpt(Answer), " instead of ", excerpt(Expected)]).

first_of(Parts) ->
    [{Key, Answer, Expected} | _] = [Part || {_, A, E} = Part <- Parts, A =/= E],
    Rest =
        case {Answer, Expected} of
            {{ok, A}, {ok, E}} -> difference(A, E);
            {error, {ok, _}} -> <<"missing">>;
            {{ok, _}, error} -> <<"too much">>
        end,
    iolist_to_binary(["at ", excerpt(Key), ": ", Rest]).

excerpt(Term) ->
    unicode:characters_to_binary(string:slice(io_lib:format("~0tP", [Term, 12]), 0, 120)).

%% The measurement of one case.

measure(Subjects, Operations, Settings) ->
    Sized = [{Subject, calls_per_batch(Call, Settings)} || #{calls := [Call | _]} = Subject <- Subjects],
    Rounds = rounds(Sized, Settings),
    Broken = [{Subject, Why} || #{name := Name} = Subject <- Subjects, {wrong, _} = Why <- maps:get(Name, Rounds)],
    Sound = [One || {Subject, _} = One <- Sized, not lists:keymember(Subject, 1, Broken)],
    Histograms = sample([Subject || {Subject, _} <- Sound], Operations, Settings),
    Measures = [
        begin
            {Times, Firsts} = lists:unzip(maps:get(Name, Rounds)),
            Histogram = maps:get(Name, Histograms),
            Counted = min(Calls, max(1, 200 div Operations)),
            {HeapBytes, BinaryBytes} = allocation(Call, Counted),
            #{
                name => Name,
                role => Role,
                median => erlmcp_bench_statistics:median(Times) / Operations,
                rounds => [Time / Operations || Time <- Times],
                first => erlmcp_bench_statistics:median(Firsts) / Operations,
                calls_per_round => Calls,
                samples => erlmcp_bench_histogram:count(Histogram),
                quantiles =>
                    [{Key, erlmcp_bench_histogram:quantile(Histogram, Q)} || {Key, Q} <- ?QUANTILES] ++
                        [{max, erlmcp_bench_histogram:maximum(Histogram)}],
                heap_bytes => HeapBytes / Operations,
                binary_bytes => BinaryBytes / Operations,
                reductions => reductions(Call, Counted) / Operations
            }
        end
     || {#{name := Name, role := Role, calls := [Call | _]}, Calls} <- Sound
    ],
    {Broken, Measures}.

%% Also the warm-up.
calls_per_batch(Call, #{batch := Batch, warm_up := WarmUp}) ->
    apart(fun() -> calibrate(Call, 1, Batch, clock() + WarmUp) end).

calibrate(Call, Calls, Batch, WarmUntil) ->
    Time = max(1, batch(Call, Calls)),
    if
        Time < Batch div 4 ->
            calibrate(Call, Calls * 2, Batch, WarmUntil);
        true ->
            _ = [batch(Call, Calls) || clock() < WarmUntil],
            case clock() < WarmUntil of
                true -> calibrate(Call, Calls, Batch, WarmUntil);
                false -> max(1, round(Calls * Batch / max(1, batch(Call, Calls))))
            end
    end.

rounds(Sized, #{rounds := Most, least_rounds := Least, budget := Budget}) ->
    Empty = maps:from_list([{Name, []} || {#{name := Name}, _} <- Sized]),
    rounds(Sized, 0, Most, Least, clock() + Budget, Empty).

rounds(Sized, Done, Most, Least, Until, Times) ->
    case Done =:= Most orelse (Done >= Least andalso clock() > Until) of
        true -> Times;
        false -> rounds(Sized, Done + 1, Most, Least, Until, round_of(rotate(Done, Sized), Times))
    end.

%% Whose state was wrong after a round is in no further one.
round_of(Sized, Times) ->
    lists:foldl(
        fun({#{name := Name, calls := Calls, verify := Verify}, Count}, Acc) ->
            case maps:get(Name, Acc) of
                [{wrong, _}] ->
                    Acc;
                Earlier ->
                    Round = round_of_one(Calls, Count),
                    case Verify() of
                        ok -> Acc#{Name := [Round | Earlier]};
                        {wrong, _} = Wrong -> Acc#{Name := [Wrong]}
                    end
            end
        end,
        Times,
        Sized
    ).

round_of_one([Call], Count) ->
    apart(fun() ->
        First = batch(Call, 1),
        repeat(Call, Count div 2),
        {batch(Call, Count) / Count, First}
    end);
round_of_one([Call | _] = Calls, Count) ->
    First = apart(fun() -> batch(Call, 1) end),
    {erlmcp_bench_crowd:time_per_call(Calls, Count), First}.

rotate(_, []) ->
    [];
rotate(Round, List) ->
    {Front, Back} = lists:split(Round rem length(List), List),
    Back ++ Front.

sample(Subjects, Operations, #{sample := Sample}) ->
    Histograms = maps:from_list([{Name, erlmcp_bench_histogram:new()} || #{name := Name} <- Subjects]),
    _ = [
        erlmcp_bench_crowd:among(Others, fun() ->
            apart(fun() ->
                _ = process_flag(priority, high),
                sample(Call, Operations, maps:get(Name, Histograms), clock() + Sample div ?CHUNKS)
            end)
        end)
     || Chunk <- lists:seq(1, ?CHUNKS), #{name := Name, calls := [Call | Others]} <- rotate(Chunk, Subjects)
    ],
    Histograms.

sample(Call, Operations, Histogram, Until) ->
    Start = clock(),
    _ = Call(),
    End = clock(),
    erlmcp_bench_histogram:record(Histogram, (End - Start) div Operations),
    case End < Until of
        true -> sample(Call, Operations, Histogram, Until);
        false -> ok
    end.

batch(Call, Calls) ->
    Start = clock(),
    repeat(Call, Calls),
    clock() - Start.

repeat(_, 0) ->
    ok;
repeat(Call, Left) ->
    _ = Call(),
    repeat(Call, Left - 1).

clock() ->
    erlang:monotonic_time(nanosecond).

%% The nanoseconds that one reading of the clock takes: the least of many tries, since only
%% interruptions make it longer.
-spec clock_cost() -> float().
clock_cost() ->
    apart(fun() -> lists:min([batch(fun clock/0, 1000) / 1000 || _ <- lists:seq(1, 100)]) end).

%% A process of its own, with the default heap, collected before it starts.
apart(Fun) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        true = erlang:garbage_collect(),
        exit({answer, Fun()})
    end),
    receive
        {'DOWN', Monitor, process, Pid, {answer, Answer}} -> Answer;
        {'DOWN', Monitor, process, Pid, Reason} -> error({subject_failed, Reason})
    end.

%% Reductions per call, without those of the loop.
reductions(Call, Calls) ->
    max(0, spent(Call, Calls) - spent(fun() -> ok end, Calls)) / Calls.

spent(Call, Calls) ->
    apart(fun() ->
        {reductions, Before} = process_info(self(), reductions),
        repeat(Call, Calls),
        {reductions, After} = process_info(self(), reductions),
        After - Before
    end).

%% Bytes allocated per call on the heap, and the bytes of binaries outside it that the heap came
%% to refer to. Between two collections what is in use only grows, so the sum of the growths is
%% what was allocated. What native code allocates and frees by itself is not seen.
allocation(Call, Calls) ->
    Tracer = self(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        receive
            go -> ok
        end,
        true = erlang:garbage_collect(),
        repeat(Call, Calls),
        true = erlang:garbage_collect()
    end),
    1 = erlang:trace(Pid, true, [garbage_collection, {tracer, Tracer}]),
    Pid ! go,
    receive
        {'DOWN', Monitor, process, Pid, normal} ->
            Delivered = erlang:trace_delivered(Pid),
            receive
                {trace_delivered, Pid, Delivered} -> ok
            end,
            {Heap, Binaries} = growth(Pid, none, {0, 0}),
            Word = erlang:system_info(wordsize),
            {Heap * Word / Calls, Binaries * Word / Calls};
        {'DOWN', Monitor, process, Pid, Reason} ->
            error({subject_failed, Reason})
    end.

%% What was in use at the start of each collection beyond the end of the one before it.
growth(Pid, Before, Sum) ->
    receive
        {trace, Pid, Start, Info} when Start =:= gc_minor_start; Start =:= gc_major_start ->
            growth(Pid, Before, add(Sum, Before, in_use(Info)));
        {trace, Pid, _, Info} ->
            growth(Pid, in_use(Info), Sum)
    after 0 ->
        Sum
    end.

add(Sum, none, _) ->
    Sum;
add({Heap, Binaries}, {HeapBefore, BinariesBefore}, {HeapAfter, BinariesAfter}) ->
    {Heap + max(0, HeapAfter - HeapBefore), Binaries + max(0, BinariesAfter - BinariesBefore)}.

in_use(Info) ->
    Sum = fun(Keys) -> lists:sum([proplists:get_value(Key, Info, 0) || Key <- Keys]) end,
    {Sum([heap_size, old_heap_size, mbuf_size]), Sum([bin_vheap_size, bin_old_vheap_size])}.

%% Everything to the baseline, and ours to everything.
comparisons(Measures, #{resamples := Resamples}) ->
    Baselines = [Measure || #{role := baseline} = Measure <- Measures],
    Peers = [Measure || #{role := peer} = Measure <- Measures],
    Ours = [Measure || #{role := measured} = Measure <- Measures],
    Pairs =
        [{One, Base} || Base <- Baselines, #{role := Role} = One <- Measures, Role =/= baseline] ++
            [{One, Peer} || One <- Ours, Peer <- Peers],
    [
        begin
            {Ratio, Low, High} = erlmcp_bench_statistics:ratio(Times, Reference, Resamples),
            #{subject => Name, to => To, ratio => Ratio, low => Low, high => High}
        end
     || {#{name := Name, rounds := Times}, #{name := To, rounds := Reference}} <- Pairs
    ].
