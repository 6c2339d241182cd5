%% Metrics as pure Erlang does them best, as far as we know: what the registry and the exposition are
%% measured against, and no part of the library.
%%
%% A row of a public ETS table to each series, `{{Name, Labels}, Type, Ref}`, that leads to a
%% `counters` array, an `atomics` array with the bits of a float, or a `counters` array with an element
%% for each bucket that is shown and the sum: what a text needs, and no quantile within a known error.
%% The text is built as iodata, from what does not change (names and labels, escaped and joined when the
%% series is made) and numbers.
-module(erlmcp_metrics_baseline).

-export([new/0, drop/1, counter/3, gauge/3, histogram/4, find/3]).
-export([inc/1, set/2, observe/2, value/1, text/1]).
-export_type([registry/0, series/0]).

-opaque registry() :: ets:table().
-opaque series() ::
    {counter, counters:counters_ref()}
    | {gauge, atomics:atomics_ref()}
    %% The bounds in what is recorded; after the buckets come that of all above, and the sum.
    | {histogram, counters:counters_ref(), [integer()]}.
-type labels() :: [{Name :: binary(), Value :: binary()}].

-spec new() -> registry().
new() ->
    ets:new(?MODULE, [set, public, {read_concurrency, true}]).

-spec drop(registry()) -> true.
drop(Registry) ->
    ets:delete(Registry).

-spec counter(registry(), binary(), labels()) -> series().
counter(Registry, Name, Labels) ->
    add(Registry, Name, Labels, {counter, counters:new(1, [write_concurrency])}, [[Name, "_total", braces(Labels, [])]]).

-spec gauge(registry(), binary(), labels()) -> series().
gauge(Registry, Name, Labels) ->
    Gauge = {gauge, atomics:new(1, [])},
    set(Gauge, 0),
    add(Registry, Name, Labels, Gauge, [[Name, braces(Labels, [])]]).

%% Bounds in seconds; nanoseconds are recorded.
-spec histogram(registry(), binary(), labels(), [float()]) -> series().
histogram(Registry, Name, Labels, Bounds) ->
    Les = [float_to_binary(Bound, [short]) || Bound <- Bounds] ++ [<<"+Inf">>],
    Lines =
        [[Name, "_bucket", braces(Labels, [{<<"le">>, Le}])] || Le <- Les] ++
            [[Name, "_sum", braces(Labels, [])], [Name, "_count", braces(Labels, [])]],
    Counts = counters:new(length(Bounds) + 2, [write_concurrency]),
    add(Registry, Name, Labels, {histogram, Counts, [round(Bound * 1.0e9) || Bound <- Bounds]}, Lines).

add(Registry, Name, Labels, Series, Lines) ->
    Key = {Name, [Value || {_, Value} <- Labels]},
    true = ets:insert(Registry, {Key, Series, [iolist_to_binary(Line) || Line <- Lines]}),
    Series.

-spec find(registry(), binary(), [binary()]) -> series().
find(Registry, Name, Values) ->
    ets:lookup_element(Registry, {Name, Values}, 2).

-spec inc(series()) -> ok.
inc({counter, Counter}) ->
    counters:add(Counter, 1, 1).

-spec set(series(), number()) -> ok.
set({gauge, Gauge}, Value) ->
    <<Bits:64/signed>> = <<Value:64/float>>,
    atomics:put(Gauge, 1, Bits).

-spec observe(series(), non_neg_integer()) -> ok.
observe({histogram, Counts, Bounds}, Value) ->
    observe(Counts, Bounds, Value, 1).

observe(Counts, [Bound | Bounds], Value, At) when Value > Bound ->
    observe(Counts, Bounds, Value, At + 1);
observe(Counts, Bounds, Value, At) ->
    ok = counters:add(Counts, At, 1),
    counters:add(Counts, sum_at(Bounds, At), Value).

%% Where the sum is: after the buckets that are left.
sum_at([], At) -> At + 1;
sum_at([_ | Bounds], At) -> sum_at(Bounds, At + 1).

%% A histogram's is its sum.
-spec value(series()) -> number().
value({counter, Counter}) ->
    counters:get(Counter, 1);
value({gauge, Gauge}) ->
    <<Value:64/float>> = <<(atomics:get(Gauge, 1)):64/signed>>,
    Value;
value({histogram, Counts, Bounds}) ->
    counters:get(Counts, length(Bounds) + 2).

%% In the text format of Prometheus, one series after the other, families in no order.
-spec text(registry()) -> binary().
text(Registry) ->
    iolist_to_binary(ets:foldl(fun({_, Series, Lines}, Text) -> [lines(Series, Lines) | Text] end, [], Registry)).

lines({counter, _} = Series, [Line]) ->
    [Line, $\s, integer_to_binary(value(Series)), $\n];
lines({gauge, _} = Series, [Line]) ->
    [Line, $\s, float_to_binary(value(Series), [short]), $\n];
lines({histogram, Counts, _}, Lines) ->
    buckets(Lines, Counts, 1, 0).

buckets([SumLine, CountLine], Counts, At, Below) ->
    Seconds = float_to_binary(counters:get(Counts, At) * 1.0e-9, [short]),
    [SumLine, $\s, Seconds, $\n, CountLine, $\s, integer_to_binary(Below), $\n];
buckets([Line | Lines], Counts, At, Below) ->
    Count = Below + counters:get(Counts, At),
    [Line, $\s, integer_to_binary(Count), $\n | buckets(Lines, Counts, At + 1, Count)].

braces(Labels, More) ->
    case [[Name, "=\"", escaped(Value), "\""] || {Name, Value} <- Labels ++ More] of
        [] -> "";
        Pairs -> ["{", lists:join(",", Pairs), "}"]
    end.

escaped(Value) ->
    << <<(escaped_byte(Byte))/binary>> || <<Byte>> <= Value >>.

escaped_byte($\\) -> <<"\\\\">>;
escaped_byte($") -> <<"\\\"">>;
escaped_byte($\n) -> <<"\\n">>;
escaped_byte(Byte) -> <<Byte>>.
