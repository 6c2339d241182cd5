%% The terminal: a progress line, one table to each group, the summary and the targets.
-module(erlmcp_bench_table).

-export([print/1, summary/1, targets/1, progress/1, duration/1, quantity/2]).

-spec print([erlmcp_bench_measure:result()]) -> ok.
print(Results) ->
    lists:foreach(fun(Group) -> group(Group, Results) end, groups(Results)).

groups(Results) ->
    lists:foldl(
        fun(#{group := Group}, Seen) ->
            case lists:member(Group, Seen) of
                true -> Seen;
                false -> Seen ++ [Group]
            end
        end,
        [],
        Results
    ).

group(Group, Results) ->
    io:format("~n~ts~n", [Group]),
    Own = [Result || #{group := G} = Result <- Results, G =:= Group],
    _ = [
        row([
            "",
            "median",
            "calls/s",
            "MB/s",
            "first",
            "p50",
            "p99",
            "p99.9",
            "heap B",
            "binary B",
            "reds",
            "x pure Erlang [95 %]"
        ])
     || lists:any(fun(#{measures := Measures}) -> Measures =/= [] end, Own)
    ],
    lists:foreach(fun result/1, Own).

result(#{id := Id, bytes := Bytes, measures := Measures, comparisons := Comparisons, wrong := Wrong} = Result) ->
    #{observed := Observed, operations := Operations, processes := Processes} = Result,
    Notes =
        [[thousands(Bytes), " bytes"] || Bytes > 0] ++
            [["by operation, ", thousands(Operations), " in a call"] || Operations > 1] ++
            [[integer_to_list(Processes), " processes"] || Processes > 1],
    io:format("~ts~ts~n", [Id, [[" (", lists:join("; ", Notes), ")"] || Notes =/= []]]),
    lists:foreach(fun(Measure) -> measure(Measure, Bytes, Comparisons) end, Measures),
    lists:foreach(fun observed/1, Observed),
    lists:foreach(
        fun({Name, _, Why}) -> io:format("  ~ts: WRONG RESULT, not counted: ~ts~n", [Name, Why]) end,
        Wrong
    ).

observed(#{name := Name, figures := Figures}) ->
    Texts = [
        [string:replace(atom_to_list(Figure), "_", " ", all), " ", quantity(Value, Unit)]
     || {Figure, Value, Unit} <- Figures
    ],
    io:format("~ts~ts~n", [string:pad(["  ", atom_to_list(Name)], 21), lists:join("; ", Texts)]).

measure(#{name := Name, role := Role, median := Median, quantiles := Quantiles} = Measure, Bytes, Comparisons) ->
    row([
        ["  ", atom_to_list(Name)],
        duration(Median),
        thousands(round(1.0e9 / Median)),
        case Bytes of
            0 -> "-";
            _ -> io_lib:format("~.1f", [Bytes * 1.0e3 / Median])
        end,
        duration(maps:get(first, Measure)),
        duration(proplists:get_value(p50, Quantiles)),
        duration(proplists:get_value(p99, Quantiles)),
        duration(proplists:get_value(p999, Quantiles)),
        thousands(round(maps:get(heap_bytes, Measure))),
        thousands(round(maps:get(binary_bytes, Measure))),
        thousands(round(maps:get(reductions, Measure))),
        case Role of
            baseline ->
                "1";
            _ ->
                Baseline = [
                    io_lib:format("~.2f [~.2f, ~.2f]", [Ratio, Low, High])
                 || #{subject := S, to := pure_erlang, ratio := Ratio, low := Low, high := High} <- Comparisons,
                    S =:= Name
                ],
                case Baseline of
                    [Text] -> Text;
                    [] -> "-"
                end
        end
    ]).

row([First | Rest]) ->
    Widths = [11, 11, 9, 11, 11, 11, 11, 12, 11, 11, 25],
    io:format("~ts~ts~n", [
        string:pad(First, 21),
        [string:pad(Cell, Width, leading) || {Cell, Width} <- lists:zip(Rest, Widths)]
    ]).

%% Who is how many times faster than whom, over the cases of each group.
-spec summary([map()]) -> ok.
summary(Summary) ->
    io:format("~ntimes faster: geometric mean and least over the cases~n", []),
    lists:foreach(
        fun(#{group := Group, set := Set, subject := Subject, to := To} = Line) ->
            #{cases := Cases, mean := Mean, least := Least, least_id := Id} = Line,
            io:format("  ~ts~ts~ts~8.2f   least ~8.2f at ~ts (~b cases)~n", [
                string:pad(atom_to_list(Group), 18),
                string:pad(atom_to_list(Set), 8),
                string:pad([atom_to_list(Subject), " over ", atom_to_list(To)], 32),
                Mean,
                Least,
                Id,
                Cases
            ])
        end,
        Summary
    ).

-spec targets([map()]) -> ok.
targets([]) ->
    ok;
targets(Targets) ->
    io:format("~ntargets~n", []),
    lists:foreach(
        fun(#{text := Text, wanted := Wanted, reached := Reached, met := Met}) ->
            io:format("  ~ts~ts~ts~ts~n", [
                string:pad(Text, 48),
                string:pad([Wanted, " "], 26),
                string:pad([Reached, " "], 40),
                case Met of
                    true -> "met";
                    false -> "NOT MET";
                    unknown -> "not measured"
                end
            ])
        end,
        Targets
    ).

%% `bar` redraws one line; `lines` says each case once; `none` is silent. On standard error, so
%% that the table can be kept in a file.
-spec progress(bar | lines | none) -> fun((non_neg_integer(), pos_integer(), atom(), atom()) -> ok).
progress(none) ->
    fun(_, _, _, _) -> ok end;
progress(lines) ->
    fun
        (_, _, done, done) -> ok;
        (Done, Total, Group, Id) -> io:format(standard_error, "[~b/~b] ~ts ~ts~n", [Done + 1, Total, Group, Id])
    end;
progress(bar) ->
    fun
        (_, _, done, done) ->
            io:format(standard_error, "\r\e[K", []);
        (Done, Total, Group, Id) ->
            Full = 30 * Done div Total,
            io:format(standard_error, "\r\e[K[~ts~ts] ~b/~b ~ts ~ts", [
                lists:duplicate(Full, $#), lists:duplicate(30 - Full, $.), Done, Total, Group, Id
            ])
    end.

-spec quantity(number(), bytes | count | nanoseconds | percent) -> iolist().
quantity(Value, nanoseconds) -> duration(Value);
quantity(Value, percent) -> format("~.2f %", [float(Value)]);
quantity(Value, bytes) when abs(Value) < 1000 -> format("~.1f B", [float(Value)]);
quantity(Value, bytes) when Value < 0 -> ["-" | quantity(-Value, bytes)];
quantity(Value, bytes) -> [thousands(round(Value)), " B"];
quantity(Value, count) -> thousands(round(Value)).

-spec duration(number() | undefined) -> string().
duration(undefined) -> "-";
duration(Ns) when Ns < 1_000 -> format("~.1f ns", [float(Ns)]);
duration(Ns) when Ns < 1_000_000 -> format("~.2f us", [Ns / 1.0e3]);
duration(Ns) -> format("~.2f ms", [Ns / 1.0e6]).

format(Format, Arguments) ->
    lists:flatten(io_lib:format(Format, Arguments)).

thousands(Integer) when Integer < 1000 ->
    integer_to_list(Integer);
thousands(Integer) ->
    thousands(Integer div 1000) ++ io_lib:format(",~3..0b", [Integer rem 1000]).
