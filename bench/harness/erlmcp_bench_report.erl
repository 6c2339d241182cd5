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

target(#{text := Text, subject := Subject, figure := {at_most, Limit}} = Target, Results) ->
    Medians = [
        Median
     || #{measures := Measures} <- chosen(Results, Target),
        #{name := Name, median := Median} <- Measures,
        Name =:= Subject
    ],
    Wanted = ["<= ", erlmcp_bench_table:duration(Limit)],
    case Medians of
        [] -> outcome(Text, Wanted, "", unknown);
        _ -> outcome(Text, Wanted, erlmcp_bench_table:duration(lists:max(Medians)), lists:max(Medians) =< Limit)
    end;
target(#{text := Text, subject := Subject, figure := {Kind, To, AtLeast}} = Target, Results) ->
    Wanted = io_lib:format(">= ~.2fx", [AtLeast]),
    case ratios(Results, Target, Subject, To) of
        [] ->
            outcome(Text, Wanted, "", unknown);
        Ratios when Kind =:= mean ->
            Mean = erlmcp_bench_statistics:geometric_mean([Ratio || {Ratio, _} <- Ratios]),
            outcome(Text, Wanted, io_lib:format("~.2fx", [Mean]), Mean >= AtLeast);
        Ratios ->
            {Least, Id} = lists:min(Ratios),
            outcome(Text, Wanted, io_lib:format("~.2fx ~ts", [Least, Id]), Least >= AtLeast)
    end.

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
        {<<"subjects">>, {[{atom_to_binary(Name), Text} || {Name, Text} <- subjects()]}},
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
        {<<"cases">>, [result(Result, Detail) || Result <- maps:get(results, Run)]}
    ]}.

subjects() ->
    [{Name, Version} || #{name := Name, version := Version} <- erlmcp_bench_json_coders:all()].

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
            Arguments = ["run", "--release", "--quiet", "--locked", "--manifest-path", Manifest, "--", File, Page],
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
