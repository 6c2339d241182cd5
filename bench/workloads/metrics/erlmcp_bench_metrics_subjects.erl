%% The registries that are on the code path, each brought to one shape. As with histograms, a call
%% makes many records in a loop of the subject's own.
-module(erlmcp_bench_metrics_subjects).

-export([all/0, missing/0, bounds/0]).
-export_type([subject/0, kind/0]).

-type metric() :: term().
-type kind() :: #{
    new := fun(() -> metric()),
    %% Records that often.
    by_handle => fun((metric(), pos_integer()) -> ok),
    by_labels => fun((metric(), pos_integer()) -> ok),
    %% Of a histogram the sum.
    value := fun((metric()) -> number() | unknown),
    drop := fun((metric()) -> term())
}.
-type subject() :: #{
    name := atom(),
    role := measured | baseline | peer,
    version := binary(),
    kinds := #{counter | gauge | histogram | rate => kind()},
    %% Makes so many series, and gives what their names begin with, and what writes them all.
    fill => fun(
        (Counters :: non_neg_integer(), Gauges :: non_neg_integer(), Histograms :: non_neg_integer()) ->
            {binary(), fun(() -> binary()), fun(() -> term())}
    )
}.

-define(MILLISECOND, 1_000_000).
-define(LABELS, [<<"tools/call">>, <<"search_issues">>]).
-define(LATENCIES, [3_000_000, 30_000_000, 300_000_000, 30_000_000_000]).

-spec all() -> [subject()].
all() ->
    [native(), pure_erlang() | lists:append([Peer() || {_, Peer} <- peers()])].

-spec missing() -> [{atom(), binary()}].
missing() ->
    [{Name, <<"not on the code path">>} || {Name, Peer} <- peers(), Peer() =:= []].

peers() ->
    [{prometheus, fun prometheus/0}, {folsom, fun folsom/0}].

%% Of the buckets that are shown, in seconds.
-spec bounds() -> [float()].
bounds() ->
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5].

name(Kind) ->
    iolist_to_binary(["bench_", Kind, "_", integer_to_binary(erlang:unique_integer([positive]))]).

%% A hundred tools to each method.
label_values(Number) ->
    [
        <<"method/", (integer_to_binary(Number div 100))/binary>>,
        <<"tool_", (integer_to_binary(Number rem 100))/binary>>
    ].

%% The library.

native() ->
    #{
        name => native,
        role => measured,
        version => erlmcp_bench_suite:version(erlmcp_native),
        kinds => #{
            counter => native_kind(counter, fun native_inc/2, fun erlmcp_native_metrics:value/1),
            gauge => native_kind(gauge, fun native_set/2, fun erlmcp_native_metrics:value/1),
            histogram => native_kind(histogram, fun native_observe/2, fun(Metric) ->
                Histogram = erlmcp_native_metrics:histogram(Metric),
                maps:get(sum, erlmcp_native_histogram:summary(Histogram))
            end),
            rate => #{
                new => fun erlmcp_native_rate:new/0,
                by_handle => fun native_mark/2,
                value => fun(Rate) -> maps:get(total, erlmcp_native_rate:read(Rate)) end,
                drop => fun erlmcp_native_rate:delete/1
            }
        },
        fill => fun native_fill/3
    }.

native_kind(Type, Record, Value) ->
    #{
        new => fun() ->
            {ok, _} = application:ensure_all_started(erlmcp_native),
            Name = native_family(name("metric"), Type, 10),
            {Name, erlmcp_native_metrics:with_labels(Name, ?LABELS)}
        end,
        by_handle => fun({_, Handle}, Times) -> Record(Handle, Times) end,
        by_labels => fun({Name, _}, Times) -> Record({Name, ?LABELS}, Times) end,
        value => fun({_, Handle}) -> Value(Handle) end,
        drop => fun({Name, _}) -> erlmcp_native_metrics:delete(Name) end
    }.

%% A histogram's name ends in its unit.
native_family(Stem, Type, MaxSeries) ->
    {Name, Options} =
        case Type of
            histogram -> {<<Stem/binary, "_seconds">>, #{unit => seconds, bounds => bounds()}};
            _ -> {Stem, #{}}
        end,
    ok = erlmcp_native_metrics:new(Options#{
        name => Name,
        type => Type,
        help => "for the bench",
        labels => [method, tool],
        max_series => MaxSeries
    }),
    Name.

native_inc(_, 0) ->
    ok;
native_inc(Counter, Left) ->
    ok = erlmcp_native_metrics:inc(Counter),
    native_inc(Counter, Left - 1).

native_set(_, 0) ->
    ok;
native_set(Gauge, Left) ->
    ok = erlmcp_native_metrics:set(Gauge, 1.5),
    native_set(Gauge, Left - 1).

native_observe(_, 0) ->
    ok;
native_observe(Histogram, Left) ->
    ok = erlmcp_native_metrics:observe(Histogram, ?MILLISECOND),
    native_observe(Histogram, Left - 1).

native_mark(_, 0) ->
    ok;
native_mark(Rate, Left) ->
    ok = erlmcp_native_rate:mark(Rate),
    native_mark(Rate, Left - 1).

native_fill(Counters, Gauges, Histograms) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Stem = name("all"),
    Series = fun(Kind, Type, Count) ->
        Name = native_family(<<Stem/binary, Kind/binary>>, Type, max(1, Count)),
        {Name, [erlmcp_native_metrics:with_labels(Name, label_values(Number)) || Number <- lists:seq(1, Count)]}
    end,
    {C, OfC} = Series(<<"_c">>, counter, Counters),
    {G, OfG} = Series(<<"_g">>, gauge, Gauges),
    {H, OfH} = Series(<<"_h">>, histogram, Histograms),
    lists:foreach(fun(Handle) -> erlmcp_native_metrics:inc(Handle, 3) end, OfC),
    lists:foreach(fun(Handle) -> erlmcp_native_metrics:set(Handle, 1.5) end, OfG),
    _ = [erlmcp_native_metrics:observe(Handle, Value) || Handle <- OfH, Value <- ?LATENCIES],
    {
        Stem,
        fun() -> element(2, erlmcp_native_prometheus:exposition()) end,
        fun() -> lists:foreach(fun erlmcp_native_metrics:delete/1, [C, G, H]) end
    }.

%% The baseline; by handle it is what OTP has.

pure_erlang() ->
    Counter = pure_kind(fun erlmcp_metrics_baseline:counter/3, fun pure_inc/2, fun pure_inc_found/4),
    #{
        name => pure_erlang,
        role => baseline,
        version => <<"erlmcp_metrics_baseline">>,
        kinds => #{
            counter => Counter,
            %% A counter that something reads now and then.
            rate => Counter,
            gauge => pure_kind(fun erlmcp_metrics_baseline:gauge/3, fun pure_set/2, fun pure_set_found/4),
            histogram => pure_kind(
                fun(Registry, Name, Labels) ->
                    erlmcp_metrics_baseline:histogram(Registry, Name, Labels, bounds())
                end,
                fun pure_observe/2,
                fun pure_observe_found/4
            )
        },
        fill => fun pure_fill/3
    }.

pure_kind(Make, Record, RecordFound) ->
    #{
        new => fun() ->
            Registry = erlmcp_metrics_baseline:new(),
            Name = name("metric"),
            {Registry, Name, Make(Registry, Name, lists:zip([<<"method">>, <<"tool">>], ?LABELS))}
        end,
        by_handle => fun({_, _, Series}, Times) -> Record(Series, Times) end,
        by_labels => fun({Registry, Name, _}, Times) -> RecordFound(Registry, Name, ?LABELS, Times) end,
        value => fun({_, _, Series}) -> erlmcp_metrics_baseline:value(Series) end,
        drop => fun({Registry, _, _}) -> erlmcp_metrics_baseline:drop(Registry) end
    }.

pure_inc(_, 0) ->
    ok;
pure_inc(Counter, Left) ->
    ok = erlmcp_metrics_baseline:inc(Counter),
    pure_inc(Counter, Left - 1).

pure_inc_found(_, _, _, 0) ->
    ok;
pure_inc_found(Registry, Name, Labels, Left) ->
    ok = erlmcp_metrics_baseline:inc(erlmcp_metrics_baseline:find(Registry, Name, Labels)),
    pure_inc_found(Registry, Name, Labels, Left - 1).

pure_set(_, 0) ->
    ok;
pure_set(Gauge, Left) ->
    ok = erlmcp_metrics_baseline:set(Gauge, 1.5),
    pure_set(Gauge, Left - 1).

pure_set_found(_, _, _, 0) ->
    ok;
pure_set_found(Registry, Name, Labels, Left) ->
    ok = erlmcp_metrics_baseline:set(erlmcp_metrics_baseline:find(Registry, Name, Labels), 1.5),
    pure_set_found(Registry, Name, Labels, Left - 1).

pure_observe(_, 0) ->
    ok;
pure_observe(Histogram, Left) ->
    ok = erlmcp_metrics_baseline:observe(Histogram, ?MILLISECOND),
    pure_observe(Histogram, Left - 1).

pure_observe_found(_, _, _, 0) ->
    ok;
pure_observe_found(Registry, Name, Labels, Left) ->
    ok = erlmcp_metrics_baseline:observe(erlmcp_metrics_baseline:find(Registry, Name, Labels), ?MILLISECOND),
    pure_observe_found(Registry, Name, Labels, Left - 1).

pure_fill(Counters, Gauges, Histograms) ->
    Registry = erlmcp_metrics_baseline:new(),
    Stem = name("all"),
    Labels = fun(Number) -> lists:zip([<<"method">>, <<"tool">>], label_values(Number)) end,
    lists:foreach(
        fun(Number) ->
            Counter = erlmcp_metrics_baseline:counter(Registry, <<Stem/binary, "_c">>, Labels(Number)),
            lists:foreach(fun(_) -> erlmcp_metrics_baseline:inc(Counter) end, [1, 2, 3])
        end,
        lists:seq(1, Counters)
    ),
    lists:foreach(
        fun(Number) ->
            Gauge = erlmcp_metrics_baseline:gauge(Registry, <<Stem/binary, "_g">>, Labels(Number)),
            erlmcp_metrics_baseline:set(Gauge, 1.5)
        end,
        lists:seq(1, Gauges)
    ),
    lists:foreach(
        fun(Number) ->
            Name = <<Stem/binary, "_h_seconds">>,
            Histogram = erlmcp_metrics_baseline:histogram(Registry, Name, Labels(Number), bounds()),
            lists:foreach(fun(Value) -> erlmcp_metrics_baseline:observe(Histogram, Value) end, ?LATENCIES)
        end,
        lists:seq(1, Histograms)
    ),
    {Stem, fun() -> erlmcp_metrics_baseline:text(Registry) end, fun() -> erlmcp_metrics_baseline:drop(Registry) end}.

%% prometheus.erl has no handles.

prometheus() ->
    Functions = [{new, 1}, {inc, 2}, {value, 2}, {deregister, 1}],
    case erlmcp_bench_suite:present(prometheus_counter, Functions) andalso application:ensure_all_started(prometheus) of
        {ok, _} ->
            [
                #{
                    name => prometheus,
                    role => peer,
                    version => erlmcp_bench_suite:version(prometheus),
                    kinds => #{
                        counter => prometheus_kind(prometheus_counter, fun prometheus_inc/2, fun(Value) -> Value end),
                        gauge => prometheus_kind(prometheus_gauge, fun prometheus_set/2, fun(Value) -> Value end),
                        histogram => prometheus_kind(prometheus_histogram, fun prometheus_observe/2, fun({_, Sum}) ->
                            Sum
                        end)
                    },
                    fill => fun prometheus_fill/3
                }
            ];
        _ ->
            []
    end.

prometheus_kind(Module, Record, Value) ->
    #{
        new => fun() ->
            Name = erlmcp_bench_histograms_subjects:unique(),
            ok = Module:new(prometheus_spec(Module, default, Name)),
            Name
        end,
        by_labels => Record,
        value => fun(Name) -> Value(Module:value(Name, ?LABELS)) end,
        drop => fun Module:deregister/1
    }.

%% Of a histogram the bounds are in nanoseconds, which are recorded and shown.
prometheus_spec(Module, Registry, Name) ->
    [{registry, Registry}, {name, Name}, {help, "for the bench"}, {labels, [method, tool]}] ++
        [{buckets, [round(1.0e9 * Bound) || Bound <- bounds()]} || Module =:= prometheus_histogram].

prometheus_inc(_, 0) ->
    ok;
prometheus_inc(Name, Left) ->
    ok = prometheus_counter:inc(Name, ?LABELS),
    prometheus_inc(Name, Left - 1).

prometheus_set(_, 0) ->
    ok;
prometheus_set(Name, Left) ->
    ok = prometheus_gauge:set(Name, ?LABELS, 1.5),
    prometheus_set(Name, Left - 1).

prometheus_observe(_, 0) ->
    ok;
prometheus_observe(Name, Left) ->
    ok = prometheus_histogram:observe(Name, ?LABELS, ?MILLISECOND),
    prometheus_observe(Name, Left - 1).

%% In a registry of its own, and in seconds.
prometheus_fill(Counters, Gauges, Histograms) ->
    Registry = erlmcp_bench_histograms_subjects:unique(),
    Stem = name("all"),
    [C, G, H] = [binary_to_atom(<<Stem/binary, Kind/binary>>) || Kind <- [<<"_c">>, <<"_g">>, <<"_h">>]],
    ok = prometheus_counter:new(prometheus_spec(prometheus_counter, Registry, C)),
    ok = prometheus_gauge:new(prometheus_spec(prometheus_gauge, Registry, G)),
    ok = prometheus_histogram:new([
        {registry, Registry}, {name, H}, {help, "for the bench"}, {labels, [method, tool]}, {buckets, bounds()}
    ]),
    _ = [prometheus_counter:inc(Registry, C, label_values(Number), 3) || Number <- lists:seq(1, Counters)],
    _ = [prometheus_gauge:set(Registry, G, label_values(Number), 1.5) || Number <- lists:seq(1, Gauges)],
    _ = [
        prometheus_histogram:observe(Registry, H, label_values(Number), Value * 1.0e-9)
     || Number <- lists:seq(1, Histograms), Value <- ?LATENCIES
    ],
    {
        Stem,
        fun() -> prometheus_text_format:format(Registry) end,
        fun() ->
            _ = prometheus_counter:deregister(Registry, C),
            _ = prometheus_gauge:deregister(Registry, G),
            prometheus_histogram:deregister(Registry, H)
        end
    }.

%% Debian's erlang-folsom: names, no labels, and no text.

folsom() ->
    case erlmcp_bench_suite:present(folsom_metrics, [{notify, 1}, {new_counter, 1}]) andalso
        application:ensure_all_started(folsom)
    of
        {ok, _} ->
            Value = fun folsom_metrics:get_metric_value/1,
            [
                #{
                    name => folsom,
                    role => peer,
                    version => erlmcp_bench_suite:version(folsom),
                    kinds => #{
                        counter => folsom_kind(fun folsom_metrics:new_counter/1, {inc, 1}, Value),
                        gauge => folsom_kind(fun folsom_metrics:new_gauge/1, 1.5, Value),
                        histogram => folsom_kind(fun folsom_metrics:new_histogram/1, ?MILLISECOND, fun(_) ->
                            unknown
                        end),
                        rate => folsom_kind(fun folsom_metrics:new_meter/1, 1, fun(Name) ->
                            proplists:get_value(count, Value(Name))
                        end)
                    }
                }
            ];
        _ ->
            []
    end.

folsom_kind(Make, Event, Value) ->
    #{
        new => fun() ->
            Name = erlmcp_bench_histograms_subjects:unique(),
            ok = Make(Name),
            Name
        end,
        by_handle => fun(Name, Times) -> folsom_notify(Name, Event, Times) end,
        value => Value,
        drop => fun folsom_metrics:delete_metric/1
    }.

folsom_notify(_, _, 0) ->
    ok;
folsom_notify(Name, Event, Left) ->
    ok = folsom_metrics:notify({Name, Event}),
    folsom_notify(Name, Event, Left - 1).
