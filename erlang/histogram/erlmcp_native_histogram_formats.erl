-module(erlmcp_native_histogram_formats).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% A snapshot as what monitoring systems read: a family of one series.

-export([prometheus/3, otlp/3]).
-export_type([exposition_opts/0]).

-type exposition_opts() :: #{
    name => binary(),
    help => binary(),
    unit => binary(),
    scale => number(),
    bounds => [number()],
    labels => #{binary() => binary()},
    format => text | openmetrics | protobuf,
    resource => #{binary() => binary() | boolean() | number()}
}.
%% How a histogram is exposed:
%%
%% `name', `help', `unit': default `duration_seconds', none, `seconds'.
%% `scale': what a recorded value is multiplied by; default 1.0e-9, for nanoseconds in seconds.
%% `bounds': of a classic histogram's buckets, after scaling and increasing; default: from 1 ms to 10 s.
%% `labels': default none.
%% `format': of to_prometheus/2: the text of version 0.0.4 (default), OpenMetrics 1.0, or protobuf with
%% a native histogram.
%% `resource': of to_otlp/2: the attributes of what sends it; default none.

-define(BOUNDS, [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]).

-spec prometheus(binary(), exposition_opts(), erlmcp_native_error:call()) -> binary().
prometheus(Snapshot, Opts, Call) ->
    ok = erlmcp_native_histogram_options:check(fun is_prometheus/2, Opts, 2, Call),
    encode(maps:get(format, Opts, text), Snapshot, Opts, Call).

-spec otlp(binary(), exposition_opts(), erlmcp_native_error:call()) -> binary().
otlp(Snapshot, Opts, Call) ->
    ok = erlmcp_native_histogram_options:check(fun is_otlp/2, Opts, 2, Call),
    Resource = maps:to_list(maps:get(resource, Opts, #{})),
    encode({otlp, Resource, os:system_time(nanosecond)}, Snapshot, Opts, Call).

encode(Format, Snapshot, Opts, Call) ->
    Family = {
        maps:get(name, Opts, <<"duration_seconds">>),
        histogram,
        maps:get(help, Opts, <<>>),
        maps:get(unit, Opts, <<"seconds">>),
        maps:get(scale, Opts, 1.0e-9),
        maps:get(bounds, Opts, ?BOUNDS),
        [{maps:to_list(maps:get(labels, Opts, #{})), Snapshot, created(Snapshot), []}]
    },
    try
        erlmcp_native_nif:metrics_encode(Format, [Family])
    catch
        error:badarg ->
            Why = "a name, a label, the scale or the bounds are none that can be exposed",
            erlmcp_native_error:badarg(Call, 2, Why)
    end.

%% When what it counts began, in seconds; 0 where that is not known.
created(Snapshot) ->
    case erlmcp_native_nif:histogram_summary(Snapshot) of
        #{span := 0} -> 0;
        #{span := Span} -> (os:system_time(millisecond) - Span) / 1000
    end.

is_prometheus(format, V) -> lists:member(V, [text, openmetrics, protobuf]);
is_prometheus(Key, V) -> is_option(Key, V).

is_otlp(resource, V) -> is_map(V);
is_otlp(Key, V) -> is_option(Key, V).

is_option(name, V) -> is_binary(V);
is_option(help, V) -> is_binary(V);
is_option(unit, V) -> is_binary(V);
is_option(scale, V) -> is_number(V) andalso V > 0;
is_option(bounds, V) -> is_list(V);
is_option(labels, V) -> is_map(V);
is_option(_, _) -> false.
