%% The summary, the check of the targets, and the files: one JSON document with the schema of
%% docs/performance.md, from which the page is made.
-module(erlmcp_bench_report).

-export([summary/1, targets/2, write/2]).

-define(SCHEMA_VERSION, 1).

%% Geometric mean and least of the ratios, for each pair of subjects in each group: over all
%% cases, and over each set where there are several. Ours come first.
-spec summary([erlmcp_bench_measure:result()]) -> [map()].
summary(Results) ->
    Keys = [
        {Group, rank(Subject, Measures), Subject, To, Set}
     || #{group := Group, set := Own, measures := Measures, comparisons := Comparisons} <- Results,
        #{subject := Subject, to := To} <- Comparisons,
        Set <- [all, Own],
        Set =:= all orelse length(sets(Group, Results)) > 1
    ],
    [
        over({Group, Set, Subject, To}, ratios(Results, #{group => Group, set => Set}, Subject, To))
     || {Group, Rank, Subject, To, Set} <- lists:usort(Keys),
        Rank =/= variant
    ].

%% In the order of terms: numbers before atoms.
rank(Subject, Measures) ->
    [Role] = [Role || #{name := Name, role := Role} <- Measures, Name =:= Subject],
    case Role of
        measured -> 0;
        peer -> 1;
        variant -> variant
    end.

over({Group, Set, Subject, To}, Ratios) ->
    {Least, Id} = lists:min(Ratios),
    #{
        group => Group,
        set => Set,
        subject => Subject,
        to => To,
        cases => length(Ratios),
        mean => erlmcp_bench_statistics:geometric_mean([Ratio || {Ratio, _} <- Ratios]),
        least => Least,
        least_id => Id
    }.

sets(Group, Results) ->
    lists:usort([Set || #{group := G, set := Set} <- Results, G =:= Group]).

ratios(Results, Choice, Subject, To) ->
    [
        {Ratio, Id}
     || #{id := Id, comparisons := Comparisons} <- chosen(Results, Choice),
        #{subject := S, to := T, ratio := Ratio} <- Comparisons,
        S =:= Subject,
        T =:= To
    ].

chosen(Results, #{group := Group} = Choice) ->
    Set = maps:get(set, Choice, all),
    Ids = maps:get(ids, Choice, all),
    MinBytes = maps:get(min_bytes, Choice, 0),
    [
        Result
     || #{group := G, id := Id, set := S, bytes := Bytes} = Result <- Results,
        G =:= Group,
        Set =:= all orelse S =:= Set,
        Ids =:= all orelse lists:member(Id, Ids),
        Bytes >= MinBytes
    ].

-spec targets([erlmcp_bench_suite:target()], [erlmcp_bench_measure:result()]) -> [map()].
targets(Targets, Results) ->
    [target(Target, Results) || Target <- Targets].

%% Where one of the cases named was not measured, nothing is said.
target(#{text := Text, group := Group, figure := Figure} = Target, Results) ->
    Measured = [Id || #{group := G, id := Id} <- Results, G =:= Group],
    {Wanted, Reached, Met} =
        case maps:get(ids, Target, []) -- Measured of
            [] -> reached(Figure, Target, Results);
            _ -> reached(Figure, Target, [])
        end,
    outcome(Text, Wanted, Reached, Met).

reached({at_most, Limit}, Target, Results) ->
    Wanted = ["<= ", erlmcp_bench_table:duration(Limit)],
    case medians(Target, Results) of
        [] ->
            {Wanted, "", unknown};
        Medians ->
            {Most, Id} = lists:max(Medians),
            {Wanted, [erlmcp_bench_table:duration(Most), " ", atom_to_list(Id)], Most =< Limit}
    end;
reached({against, Id, AtLeast}, Target, Results) ->
    Wanted = io_lib:format(">= ~.2fx ~ts", [AtLeast, Id]),
    case {medians(Target#{ids => [Id]}, Results), medians(Target, Results)} of
        {[{Reference, _}], [_ | _] = Medians} ->
            {Slowest, At} = lists:max(Medians),
            Ratio = Reference / Slowest,
            {Wanted, io_lib:format("~.2fx ~ts", [Ratio, At]), Ratio >= AtLeast};
        _ ->
            {Wanted, "", unknown}
    end;
reached({observed, Figure, Sense, Limit}, #{subject := Subject} = Target, Results) ->
    {Sign, Worst} =
        case Sense of
            at_least -> {">= ", fun lists:min/1};
            at_most -> {"<= ", fun lists:max/1}
        end,
    Values = [
        {Value, Id, Unit}
     || #{id := Id, observed := Observed} <- chosen(Results, Target),
        #{name := Name, figures := Figures} <- Observed,
        Name =:= Subject,
        {F, Value, Unit} <- Figures,
        F =:= Figure
    ],
    case Values of
        [] ->
            {[Sign, io_lib:format("~w", [Limit])], "", unknown};
        _ ->
            {Value, Id, Unit} = Worst(Values),
            {
                [Sign, erlmcp_bench_table:quantity(Limit, Unit)],
                [erlmcp_bench_table:quantity(Value, Unit), " ", atom_to_list(Id)],
                case Sense of
                    at_least -> Value >= Limit;
                    at_most -> Value =< Limit
                end
            }
    end;
reached({any, Figures}, Target, Results) ->
    Parts = [reached(Figure, Target, Results) || Figure <- Figures],
    Or = fun(Texts) -> lists:join(" or ", Texts) end,
    Outcomes = [Met || {_, _, Met} <- Parts],
    {
        Or([Wanted || {Wanted, _, _} <- Parts]),
        Or([Reached || {_, Reached, Met} <- Parts, Met =/= unknown]),
        case {lists:member(true, Outcomes), lists:member(unknown, Outcomes)} of
            {true, _} -> true;
            {false, true} -> unknown;
            {false, false} -> false
        end
    };
reached({Kind, To, AtLeast}, #{subject := Subject} = Target, Results) ->
    Wanted = io_lib:format(">= ~.2fx", [AtLeast]),
    case ratios(Results, Target, Subject, To) of
        [] ->
            {Wanted, "", unknown};
        Ratios when Kind =:= mean ->
            Mean = erlmcp_bench_statistics:geometric_mean([Ratio || {Ratio, _} <- Ratios]),
            {Wanted, io_lib:format("~.2fx", [Mean]), Mean >= AtLeast};
        Ratios ->
            {Least, Id} = lists:min(Ratios),
            {Wanted, io_lib:format("~.2fx ~ts", [Least, Id]), Least >= AtLeast}
    end.

medians(#{subject := Subject} = Target, Results) ->
    [
        {Median, Id}
     || #{id := Id, measures := Measures} <- chosen(Results, Target),
        #{name := Name, median := Median} <- Measures,
        Name =:= Subject
    ].

outcome(Text, Wanted, Reached, Met) ->
    #{
        text => Text,
        wanted => unicode:characters_to_binary(Wanted),
        reached => unicode:characters_to_binary(Reached),
        met => Met
    }.

%% The document.

document(#{mode := Mode, settings := Settings, load := Load} = Run, Detail) ->
    {[
        {<<"schema_version">>, ?SCHEMA_VERSION},
        {<<"mode">>, atom_to_binary(Mode)},
        {<<"environment">>, erlmcp_bench_environment:describe()},
        {<<"subjects">>, {[{atom_to_binary(Name), Text} || {Name, Text} <- subjects(maps:get(subjects, Run))]}},
        {<<"load">>, Load},
        {<<"method">>, method(Settings)},
        {<<"targets">>, [
            {[
                {<<"text">>, Text},
                {<<"wanted">>, Wanted},
                {<<"reached">>, Reached},
                {<<"met">>, met(Met)}
            ]}
         || #{text := Text, wanted := Wanted, reached := Reached, met := Met} <- maps:get(targets, Run)
        ]},
        {<<"summary">>, [
            {[
                {<<"group">>, atom_to_binary(Group)},
                {<<"set">>, atom_to_binary(Set)},
                {<<"subject">>, atom_to_binary(Subject)},
                {<<"to">>, atom_to_binary(To)},
                {<<"cases">>, Cases},
                {<<"geometric_mean">>, rounded(Mean)},
                {<<"least">>, rounded(Least)},
                {<<"least_id">>, atom_to_binary(Id)}
            ]}
         || #{
                group := Group,
                set := Set,
                subject := Subject,
                to := To,
                cases := Cases,
                mean := Mean,
                least := Least,
                least_id := Id
            } <- maps:get(summary, Run)
        ]},
        {<<"cases">>, [result(Result, Detail) || Result <- timed(maps:get(results, Run))]},
        {<<"observations">>, lists:append([observations(Result) || Result <- maps:get(results, Run)])}
    ]}.

%% What several parts measure by the same name has a version in each.
subjects(Subjects) ->
    [
        {Name, unicode:characters_to_binary(lists:join("; ", lists:usort([V || {N, V} <- Subjects, N =:= Name])))}
     || Name <- lists:usort([Name || {Name, _} <- Subjects])
    ].

%% All but those that were observed only.
timed(Results) ->
    [Result || #{measures := Measures, observed := Observed} = Result <- Results, Measures =/= [] orelse Observed =:= []].

observations(#{group := Group, id := Id, observed := Observed}) ->
    [
        {[
            {<<"group">>, atom_to_binary(Group)},
            {<<"id">>, atom_to_binary(Id)},
            {<<"subject">>, atom_to_binary(Name)},
            {<<"role">>, atom_to_binary(Role)},
            {<<"figure">>, atom_to_binary(Figure)},
            {<<"value">>, rounded(Value)},
            {<<"unit">>, atom_to_binary(Unit)}
        ]}
     || #{name := Name, role := Role, figures := Figures} <- Observed,
        {Figure, Value, Unit} <- Figures
    ].

met(unknown) -> null;
met(Met) -> Met.

method(Settings) ->
    {[
        {<<"rounds">>, maps:get(rounds, Settings)},
        {<<"least_rounds">>, maps:get(least_rounds, Settings)},
        {<<"batch_ns">>, maps:get(batch, Settings)},
        {<<"sample_ns">>, maps:get(sample, Settings)},
        {<<"warm_up_ns">>, maps:get(warm_up, Settings)},
        {<<"bootstrap_resamples">>, maps:get(resamples, Settings)},
        {<<"confidence">>, 0.95},
        {<<"clock_ns">>, rounded(erlmcp_bench_measure:clock_cost())},
        {<<"min_heap_words">>, element(2, erlang:system_info(min_heap_size))}
    ]}.

result(#{group := Group, id := Id, set := Set, bytes := Bytes} = Result, Detail) ->
    {[
        {<<"group">>, atom_to_binary(Group)},
        {<<"id">>, atom_to_binary(Id)},
        {<<"set">>, atom_to_binary(Set)},
        {<<"bytes">>, Bytes},
        {<<"operations">>, maps:get(operations, Result)},
        {<<"processes">>, maps:get(processes, Result)},
        {<<"measures">>, [measure(Measure, Detail) || Measure <- maps:get(measures, Result)]},
        {<<"comparisons">>, [
            {[
                {<<"subject">>, atom_to_binary(Subject)},
                {<<"to">>, atom_to_binary(To)},
                {<<"ratio">>, rounded(Ratio)},
                {<<"low">>, rounded(Low)},
                {<<"high">>, rounded(High)}
            ]}
         || #{subject := Subject, to := To, ratio := Ratio, low := Low, high := High} <- maps:get(
                comparisons, Result
            )
        ]},
        {<<"not_measured">>,
            {
                [{atom_to_binary(Name), Why} || {Name, Why} <- maps:get(missing, Result)] ++
                    [
                        {atom_to_binary(Name), <<"wrong result: ", Why/binary>>}
                     || {Name, _, Why} <- maps:get(wrong, Result)
                    ]
            }}
    ]}.

measure(#{name := Name, role := Role, median := Median, quantiles := Quantiles} = Measure, Detail) ->
    Rounds = [rounded(Time) || Time <- maps:get(rounds, Measure)],
    {[
        {<<"subject">>, atom_to_binary(Name)},
        {<<"role">>, atom_to_binary(Role)},
        {<<"median_ns">>, rounded(Median)},
        {<<"first_ns">>, rounded(maps:get(first, Measure))},
        {<<"calls_per_second">>, round(1.0e9 / Median)},
        {<<"calls_per_round">>, maps:get(calls_per_round, Measure)},
        {<<"rounds">>, length(Rounds)},
        {<<"rounds_ns">>,
            case Detail of
                rounds -> Rounds;
                no_rounds -> null
            end},
        {<<"samples">>, maps:get(samples, Measure)},
        {<<"quantiles_ns">>,
            {[
                {atom_to_binary(Key),
                    case Value of
                        undefined -> null;
                        _ -> Value
                    end}
             || {Key, Value} <- Quantiles
            ]}},
        {<<"heap_bytes">>, rounded(maps:get(heap_bytes, Measure))},
        {<<"binary_bytes">>, rounded(maps:get(binary_bytes, Measure))},
        {<<"reductions">>, rounded(maps:get(reductions, Measure))}
    ]}.

%% Four digits are more than any clock gives.
rounded(Value) when Value >= 1000 -> round(Value);
rounded(Value) -> round(Value * 1000) / 1000.

%% `performance.json` and the page in the output folder; the first, without the single rounds,
%% also under its date and machine where asked.
-spec write(map(), erlmcp_bench:options()) -> ok.
write(Run, Options) ->
    Text = erlmcp_bench_writer:pretty(document(Run, rounds)),
    Root = maps:get(root, Options, "."),
    Output = maps:get(output, Options, filename:join(Root, "bench/results")),
    File = filename:join(Output, "performance.json"),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, Text),
    io:format("~nfigures: ~ts~n", [File]),
    ok = page(Root, File, filename:join(Output, "performance.html")),
    case maps:find(record, Options) of
        {ok, Dir} ->
            {{Year, Month, Day}, _} = calendar:universal_time(),
            Machine = erlmcp_bench_environment:machine(),
            Name = io_lib:format("~b-~2..0b-~2..0b-~ts.json", [Year, Month, Day, Machine]),
            Copy = filename:join(Dir, Name),
            ok = filelib:ensure_dir(Copy),
            ok = file:write_file(Copy, [erlmcp_bench_writer:compact(document(Run, no_rounds)), $\n]),
            io:format("record:  ~ts~n", [Copy]);
        error ->
            ok
    end.

%% By the program in bench/report, which cargo builds at its first use.
page(Root, File, Page) ->
    case os:find_executable("cargo") of
        false ->
            io:format("page:    not made, cargo is not there~n", []);
        Cargo ->
            Manifest = filename:join([Root, "bench", "Cargo.toml"]),
            Arguments =
                ["run", "--release", "--quiet", "--locked", "--manifest-path", Manifest, "--package", "erlmcp_bench_report"] ++
                    ["--", File, Page],
            Port = open_port({spawn_executable, Cargo}, [
                {args, Arguments}, exit_status, stderr_to_stdout, binary
            ]),
            case finished(Port, []) of
                {0, _} -> io:format("page:    ~ts~n", [Page]);
                {_, Said} -> io:format("page:    not made:~n~ts~n", [Said])
            end
    end.

finished(Port, Said) ->
    receive
        {Port, {data, Data}} -> finished(Port, [Said, Data]);
        {Port, {exit_status, Status}} -> {Status, Said}
    end.
