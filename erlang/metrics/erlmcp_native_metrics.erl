-module(erlmcp_native_metrics).
-include("erlmcp_native_doc.hrl").
-include("erlmcp_native_metrics.hrl").
?MODULEDOC("""
Metrics: families of counters, gauges, histograms and rates, each with a series for every set of
label values that occurs, up to a bound.

Recording goes through no process. A metric is given by `{Name, Labels}`, by its name where it has
no labels, or by the handle that `with_labels/2` gives, which saves looking it up. A call on a metric
that is not there raises `badarg`. The application must be running.

Beyond a family's `max_series`, what has no series of its own is recorded in one that has the only
label `otel_metric_overflow`, and counted in `erlmcp_metrics_overflow_total`.

The metrics that are there by default, collectors and telemetry are explained in docs/metrics.md.
""").

-export([new/1, delete/1, names/0, info/1]).
-export([with_labels/2, remove_series/2, reset/1]).
-export([inc/1, inc/2, dec/1, dec/2, set/2]).
-export([observe/2, observe/3, start/0, stop/2, stop/3, time/2]).
-export([mark/1, mark/2]).
-export([value/1, histogram/1, rate/1]).
-export([collect/0, add_collector/2, remove_collector/1]).
-export([format_error/2]).
-export_type([
    name/0, type/0, opts/0, labels/0, label_value/0, handle/0, metric/0, timestamp/0, exemplar/0,
    family/0, series/0
]).

-type name() :: atom() | binary().
%% `erlmcp_requests', `erlmcp_requests_total' and their binaries are the same counter.
-type type() :: counter | up_down_counter | gauge | histogram | rate.
-type label_value() :: binary() | atom() | integer().
%% Shown as text: `200' and `<<"200">>' are the same. Of more than 1,024 bytes, it has no series of
%% its own.
-type labels() :: [label_value()] | #{name() => label_value()}.
%% In the order of the family's labels, or by name, where those that are missing are empty.
-opaque handle() :: erlmcp_native_metrics_record:native().
-opaque timestamp() :: integer().
-type metric() :: handle() | name() | {name(), labels()}.
-type exemplar() :: #{name() => label_value()}.

-type opts() :: #{
    name := name(),
    type := type(),
    help := unicode:chardata(),
    unit => name(),
    labels => [name()],
    max_series => pos_integer(),
    scale => number(),
    bounds => [number(), ...],
    precision => 5..10,
    max => pos_integer(),
    windows => boolean(),
    half_life => pos_integer()
}.
%% What a family is made with:
%%
%% `name': letters, digits and `_'. A counter is exposed with `_total' at the end, given or not.
%% `type': a `counter' grows, an `up_down_counter' is one that may fall, a `gauge' is a float that is
%% set, a `histogram' counts how large values are, a `rate' tells events a second in windows of the
%% last second to the last day, each shown as a gauge with the label `window'.
%% `help': what it means, for who reads the dashboard.
%% `unit': in which it is exposed, as `seconds' or `bytes'; the name must end in it. Default: none.
%% `labels': names of labels; default: none. Beginning with `__', and `le' and `quantile', they are
%% Prometheus's own.
%% `max_series': how many sets of label values have a series of their own, up to a million; default
%% 1,000.
%% `scale': what a recorded value is multiplied by to be exposed, 1.0e-100 to 1.0e100; default 1, and 1.0e-9 for
%% histograms of `seconds', which record nanoseconds.
%% `bounds': for a histogram, of the buckets of the text formats, ascending, as exposed. Default: those of
%% a latency from 1 ms to 10 s for `seconds', else powers of ten up to ten million.
%% `precision', `max', `windows', `half_life': those of erlmcp_native_histogram:new/1; the values
%% recorded are integers.

-type family() :: {
    Name :: binary(),
    counter | gauge | histogram,
    Help :: binary(),
    Unit :: binary(),
    Scale :: number(),
    Bounds :: [number()],
    [series()]
}.
%% What is exposed: Name without the `_total' of a counter; a recorded value times Scale is the exposed
%% one; Bounds are exposed values.
-type series() :: {
    Labels :: [{binary(), binary()}],
    Value :: number() | erlmcp_native_histogram:histogram() | erlmcp_native_histogram:snapshot(),
    Created :: number(),
    Exemplars :: [{Labels :: [{binary(), binary()}], Value :: number(), Time :: number()}]
}.
%% Created and Time are seconds since 1970.

-define(CALL(Name, Args), {?MODULE, Name, Args}).

%%% Families

?DOC("""
Adds a family. Nothing happens where there is one with the same options.

`{error, exists}`: another family exposes something of this name. `{error, not_started}`: the
application is not running. `{error, system_limit}`: there are 10,000 families.
""").
-spec new(Opts :: opts()) -> ok | {error, exists | not_started | system_limit}.
new(Opts) ->
    Family = erlmcp_native_metrics_options:family(Opts, ?CALL(new, [Opts])),
    erlmcp_native_metrics_registry:new(Family).

?DOC("""
Removes a family and its series, and says whether there was one. Handles to them stay, but what they
record is not seen.
""").
-spec delete(Name :: name()) -> boolean().
delete(Name) ->
    Call = ?CALL(delete, [Name]),
    case find(Name, Call) of
        none -> false;
        #family{key = Key} -> done(erlmcp_native_metrics_registry:delete(Key), Call)
    end.

?DOC("""
The names of all families, as they were given.
""").
-spec names() -> [name()].
names() ->
    started(?CALL(names, [])),
    [Key || #family{key = Key} <- erlmcp_native_metrics_registry:families()].

?DOC("""
What a family was made with, defaults filled in, and how many `series` it has, that of overflow not
counted.
""").
-spec info(Name :: name()) -> #{atom() => term()}.
info(Name) ->
    Family = family(Name, ?CALL(info, [Name])),
    (Family#family.native)#{
        name => Family#family.name,
        type => Family#family.type,
        help => Family#family.help,
        unit => Family#family.unit,
        labels => Family#family.labels,
        max_series => Family#family.max_series,
        scale => Family#family.scale,
        bounds => Family#family.bounds,
        series => Family#family.count
    }.

%%% Series

?DOC("""
The series of these label values, made if there is none, for many calls. Any process may keep it
as long as the application runs, whatever crashes. Where the family is full it is the series of
overflow.

Raises `system_limit` where there is no room for another histogram.
""").
-spec with_labels(Name :: name(), Labels :: labels()) -> handle().
with_labels(Name, Labels) ->
    lookup(Name, Labels, ?CALL(with_labels, [Name, Labels])).

?DOC("""
Removes a series, or that of `overflow`, and says whether there was one. Recorded again, it begins anew.
""").
-spec remove_series(Name :: name(), Labels :: labels() | overflow) -> boolean().
remove_series(Name, Labels) ->
    Call = ?CALL(remove_series, [Name, Labels]),
    Family = family(Name, Call),
    Values =
        case Labels of
            overflow -> overflow;
            _ -> erlmcp_native_metrics_options:labels(Labels, Family, 2, Call)
        end,
    done(erlmcp_native_metrics_registry:remove_series(Family, Values), Call).

?DOC("""
Sets the counters or gauges of a family to zero, created now. Of histograms, what `erlmcp_native_histogram`
reads begins anew, and what is exposed goes on; rates forget by themselves. What a counter or gauge is
given at the same moment may be lost.
""").
-spec reset(Name :: name()) -> ok.
reset(Name) ->
    Call = ?CALL(reset, [Name]),
    done(erlmcp_native_metrics_registry:reset(family(Name, Call)), Call).

%%% Recording

?DOC("""
As `inc/2`, by 1.
""").
-spec inc(Metric :: metric()) -> ok.
inc(Metric) ->
    inc(Metric, 1).

?DOC("""
Adds to a counter an integer from 0, to an up-down counter an integer, to a gauge a number.
""").
-spec inc(Metric :: metric(), By :: number()) -> ok.
inc({Type, Ref, At} = Metric, By) ->
    try
        add(Type, Ref, At, By)
    catch
        error:_ -> wrong(Metric, "not a number that the metric can grow by", ?CALL(inc, [Metric, By]))
    end;
inc(Metric, By) ->
    Call = ?CALL(inc, [Metric, By]),
    {Type, Ref, At} = Handle = handle(Metric, Call),
    try
        add(Type, Ref, At, By)
    catch
        error:_ -> wrong(Handle, "not a number that the metric can grow by", Call)
    end.

?DOC("""
As `dec/2`, by 1.
""").
-spec dec(Metric :: metric()) -> ok.
dec(Metric) ->
    dec(Metric, 1).

?DOC("""
Subtracts from an up-down counter an integer, from a gauge a number.
""").
-spec dec(Metric :: metric(), By :: number()) -> ok.
dec(Metric, By) ->
    Call = ?CALL(dec, [Metric, By]),
    {Type, Ref, At} = Handle = handle(Metric, Call),
    try
        subtract(Type, Ref, At, By)
    catch
        error:_ -> wrong(Handle, "not a number that the metric can fall by", Call)
    end.

?DOC("""
Sets a gauge.
""").
-spec set(Metric :: metric(), Value :: number()) -> ok.
set({gauge, Ref, 1} = Metric, Value) when is_number(Value) ->
    try
        erlmcp_native_metrics_record:set_gauge(Ref, Value)
    catch
        error:_ -> wrong(Metric, "not a number that a float can hold", ?CALL(set, [Metric, Value]))
    end;
set(Metric, Value) ->
    Call = ?CALL(set, [Metric, Value]),
    case handle(Metric, Call) of
        {gauge, Ref, 1} = Handle ->
            try
                erlmcp_native_metrics_record:set_gauge(Ref, Value)
            catch
                error:_ -> wrong(Handle, "not a number that a float can hold", Call)
            end;
        _ ->
            erlmcp_native_error:badarg(Call, 1, "not a gauge")
    end.

add(counter, Ref, At, By) when By >= 0 -> counters:add(Ref, At, By);
add(up_down_counter, Ref, At, By) -> counters:add(Ref, At, By);
add(gauge, Ref, 1, By) -> erlmcp_native_metrics_record:add_gauge(Ref, By).

subtract(up_down_counter, Ref, At, By) -> counters:sub(Ref, At, By);
subtract(gauge, Ref, 1, By) -> erlmcp_native_metrics_record:add_gauge(Ref, -By).

?DOC("""
Counts a value in a histogram: an integer from 0 in the unit recorded, nanoseconds for histograms of
`seconds`.
""").
-spec observe(Metric :: metric(), Value :: non_neg_integer()) -> ok.
observe({histogram, Histogram, _} = Metric, Value) ->
    recorded(erlmcp_native_nif:histogram_record(Histogram, Value), observe, Metric, Value);
observe(Metric, Value) ->
    Histogram = a_histogram(Metric, ?CALL(observe, [Metric, Value])),
    recorded(erlmcp_native_nif:histogram_record(Histogram, Value), observe, Metric, Value).

?DOC("""
As `observe/2`, keeping the exemplar as the last one of its bucket: labels such as `trace_id`, of
128 characters together at most.
""").
-spec observe(Metric :: metric(), Value :: non_neg_integer(), Exemplar :: exemplar()) -> ok.
observe(Metric, Value, Exemplar) ->
    Call = ?CALL(observe, [Metric, Value, Exemplar]),
    {histogram, Histogram, Key} = histogram_handle(Metric, Call),
    Labels = erlmcp_native_metrics_options:exemplar(Exemplar, 3, Call),
    case erlmcp_native_nif:histogram_record(Histogram, Value) of
        ok -> keep_exemplar(Histogram, Key, Value, Labels);
        invalid_histogram -> ok;
        _ -> erlmcp_native_error:badarg(Call, 2, "not an integer from 0")
    end.

keep_exemplar(Histogram, Key, Value, Labels) ->
    case erlmcp_native_metrics_registry:family(Key) of
        #family{type = histogram} = Family ->
            erlmcp_native_metrics_record:exemplar(Histogram, Family, Value, Labels);
        _ ->
            ok
    end.

?DOC("""
The time, for `stop/2`: see `erlmcp_native_histogram:start/0`.
""").
-spec start() -> timestamp().
start() ->
    erlmcp_native_nif:clock_start().

?DOC("""
Counts the nanoseconds since `start/0` in a histogram, which should be one of `seconds`.
""").
-spec stop(Metric :: metric(), Since :: timestamp()) -> ok.
stop({histogram, Histogram, _} = Metric, Since) ->
    recorded(erlmcp_native_nif:histogram_stop(Histogram, Since), stop, Metric, Since);
stop(Metric, Since) ->
    Histogram = a_histogram(Metric, ?CALL(stop, [Metric, Since])),
    recorded(erlmcp_native_nif:histogram_stop(Histogram, Since), stop, Metric, Since).

?DOC("""
As `stop/2`, keeping an exemplar: see `observe/3`.
""").
-spec stop(Metric :: metric(), Since :: timestamp(), Exemplar :: exemplar()) -> ok.
stop(Metric, Since, Exemplar) ->
    try erlmcp_native_nif:clock_elapsed(Since) of
        Elapsed -> observe(Metric, Elapsed, Exemplar)
    catch
        error:badarg ->
            erlmcp_native_error:badarg(?CALL(stop, [Metric, Since, Exemplar]), 2, "not what start/0 gave")
    end.

?DOC("""
Counts the nanoseconds that a fun takes in a histogram, also where it raises, and gives its answer.
""").
-spec time(Metric :: metric(), Fun :: fun(() -> Answer)) -> Answer when Answer :: term().
time(Metric, Fun) when is_function(Fun, 0) ->
    Handle = histogram_handle(Metric, ?CALL(time, [Metric, Fun])),
    Since = start(),
    try
        Fun()
    after
        stop(Handle, Since)
    end;
time(Metric, Fun) ->
    erlmcp_native_error:badarg(?CALL(time, [Metric, Fun]), 2, "not a fun without arguments").

?DOC("""
As `mark/2` of one event.
""").
-spec mark(Metric :: metric()) -> ok.
mark(Metric) ->
    mark(Metric, 1).

?DOC("""
Counts so many events of a rate, from 0 to 2 ^ 64 - 1.
""").
-spec mark(Metric :: metric(), Events :: non_neg_integer()) -> ok.
mark({rate, Rate, _} = Metric, Events) ->
    recorded(erlmcp_native_nif:rate_mark(Rate, Events), mark, Metric, Events);
mark(Metric, Events) ->
    Rate = a_rate(Metric, ?CALL(mark, [Metric, Events])),
    recorded(erlmcp_native_nif:rate_mark(Rate, Events), mark, Metric, Events).

recorded(ok, _Function, _Metric, _Value) ->
    ok;
%% Its series was removed.
recorded(Gone, _Function, _Metric, _Value) when Gone =:= invalid_histogram; Gone =:= invalid_rate ->
    ok;
recorded(_, observe, Metric, Value) ->
    erlmcp_native_error:badarg(?CALL(observe, [Metric, Value]), 2, "not an integer from 0");
recorded(_, mark, Metric, Value) ->
    Why = "not an integer from 0 to 2 ^ 64 - 1",
    erlmcp_native_error:badarg(?CALL(mark, [Metric, Value]), 2, Why);
recorded(_, stop, Metric, Value) ->
    erlmcp_native_error:badarg(?CALL(stop, [Metric, Value]), 2, "not what start/0 gave").

%%% Reading

?DOC("""
What a counter or a gauge is at, as recorded. Makes no series: what has none is at 0.
""").
-spec value(Metric :: metric()) -> number().
value(Metric) ->
    Call = ?CALL(value, [Metric]),
    case existing(Metric, Call) of
        {Type, _, _} when Type =:= histogram; Type =:= rate ->
            erlmcp_native_error:badarg(Call, 1, io_lib:format("this metric is a ~tw", [Type]));
        none -> 0;
        Handle -> erlmcp_native_metrics_record:read(Handle)
    end.

?DOC("""
The histogram of a series, made if there is none, for all that `erlmcp_native_histogram` reads.
""").
-spec histogram(Metric :: metric()) -> erlmcp_native_histogram:handle().
histogram(Metric) ->
    a_histogram(Metric, ?CALL(histogram, [Metric])).

?DOC("""
The rate of a series, made if there is none, for `erlmcp_native_rate:read/1`.
""").
-spec rate(Metric :: metric()) -> erlmcp_native_rate:handle().
rate(Metric) ->
    a_rate(Metric, ?CALL(rate, [Metric])).

?DOC("""
All families with what they are at, and those of the collectors, sorted by name: what
`erlmcp_native_prometheus` and `erlmcp_native_otlp` encode.
""").
-spec collect() -> [family()].
collect() ->
    started(?CALL(collect, [])),
    erlmcp_native_metrics_collect:collect().

?DOC("""
Adds a fun that `collect/0` calls for families that are counted elsewhere, in place of another
of that name. It runs in a process of its own. What it gives is left out, and counted in
`erlmcp_metrics_collector_failures_total`, where it raises, takes longer than the application's
environment `collector_timeout` (milliseconds, default 1,000), gives something else, or a name that another
family exposes.
""").
-spec add_collector(Name :: atom(), Fun :: fun(() -> [family()])) -> ok.
add_collector(Name, Fun) ->
    Call = ?CALL(add_collector, [Name, Fun]),
    is_atom(Name) orelse erlmcp_native_error:badarg(Call, 1, "not an atom"),
    is_function(Fun, 0) orelse erlmcp_native_error:badarg(Call, 2, "not a fun without arguments"),
    started(Call),
    erlmcp_native_metrics_collect:add(Name, Fun).

?DOC("""
Removes a collector, also one of the library's own, and says whether there was one.
""").
-spec remove_collector(Name :: atom()) -> boolean().
remove_collector(Name) ->
    Call = ?CALL(remove_collector, [Name]),
    is_atom(Name) orelse erlmcp_native_error:badarg(Call, 1, "not an atom"),
    started(Call),
    erlmcp_native_metrics_collect:remove(Name).

%%% Finding

%% The fast way: one look, by the name as it was given to new/1 and values as text.
handle({Name, Labels}, Call) when is_list(Labels) ->
    try
        ets:lookup_element(?SERIES, {Name, [text(Value) || Value <- Labels]}, 2)
    catch
        error:_ -> lookup(Name, Labels, Call)
    end;
handle({Name, Labels}, Call) ->
    lookup(Name, Labels, Call);
handle(Name, Call) when is_atom(Name); is_binary(Name) ->
    handle({Name, []}, Call);
handle(Handle, Call) ->
    is_handle(Handle) orelse not_a_metric(Call),
    Handle.

text(Value) when is_binary(Value) -> Value;
text(Value) when is_atom(Value) -> atom_to_binary(Value);
text(Value) when is_integer(Value), Value >= -(1 bsl 63), Value < 1 bsl 64 -> integer_to_binary(Value).

lookup(Name, Labels, Call) ->
    Family = family(Name, Call),
    Values = erlmcp_native_metrics_options:labels(Labels, Family, at_labels(Call), Call),
    case erlmcp_native_metrics_registry:series(Family, Values, true) of
        {ok, Handle} -> Handle;
        full -> overflow(Family, Call);
        gone -> no_such(Name, Call);
        {error, Reason} -> failed(Reason, Call)
    end.

overflow(#family{name = Name} = Family, Call) ->
    Name =:= <<"erlmcp_metrics_overflow">> orelse count_overflow(Name),
    case erlmcp_native_metrics_registry:overflow(Family) of
        {ok, Handle} -> Handle;
        gone -> no_such(Name, Call);
        {error, Reason} -> failed(Reason, Call)
    end.

count_overflow(Name) ->
    try
        inc({erlmcp_metrics_overflow, [Name]})
    catch
        %% The family was deleted.
        error:badarg -> ok
    end.

existing({Name, Labels}, Call) ->
    Family = family(Name, Call),
    Values = erlmcp_native_metrics_options:labels(Labels, Family, 1, Call),
    case erlmcp_native_metrics_registry:series(Family, Values, false) of
        {ok, Handle} -> Handle;
        none -> none
    end;
existing(Name, Call) when is_atom(Name); is_binary(Name) ->
    existing({Name, []}, Call);
existing(Handle, Call) ->
    handle(Handle, Call).

a_histogram(Metric, Call) ->
    {histogram, Histogram, _} = histogram_handle(Metric, Call),
    Histogram.

histogram_handle(Metric, Call) ->
    case handle(Metric, Call) of
        {histogram, _, _} = Handle -> Handle;
        _ -> erlmcp_native_error:badarg(Call, 1, "not a histogram")
    end.

a_rate(Metric, Call) ->
    case handle(Metric, Call) of
        {rate, Rate, _} -> Rate;
        _ -> erlmcp_native_error:badarg(Call, 1, "not a rate")
    end.

%% Asked when something is wrong already, or not known to be of a series.
is_handle({Type, Ref, At}) when Type =:= counter; Type =:= up_down_counter ->
    holds(fun counters:info/1, Ref, At);
is_handle({gauge, Ref, 1}) ->
    holds(fun atomics:info/1, Ref, 1);
is_handle({Type, Native, _}) when Type =:= histogram; Type =:= rate ->
    is_integer(Native);
is_handle(_) ->
    false.

holds(Info, Ref, At) ->
    try Info(Ref) of
        #{size := Size} -> is_integer(At) andalso At >= 1 andalso At =< Size
    catch
        error:_ -> false
    end.

find(Name, Call) ->
    started(Call),
    erlmcp_native_metrics_registry:find(Name).

family(Name, Call) ->
    case find(Name, Call) of
        none -> no_such(Name, Call);
        Family -> Family
    end.

%%% Errors

%% Labels have an argument of their own in with_labels/2 only.
at_labels({_, with_labels, _}) -> 2;
at_labels(_) -> 1.

started(Call) ->
    erlmcp_native_metrics_registry:is_started() orelse failed(not_started, Call).

done({error, Reason}, Call) -> failed(Reason, Call);
done(Done, _Call) -> Done.

-spec failed(not_started | system_limit, erlmcp_native_error:call()) -> no_return().
failed(not_started, Call) ->
    erlmcp_native_error:raise(Call, badarg, #{general => "the application is not running"});
failed(system_limit, Call) ->
    erlmcp_native_error:raise(Call, system_limit, #{general => "too many histograms"}).

-spec no_such(term(), erlmcp_native_error:call()) -> no_return().
no_such(Name, Call) ->
    erlmcp_native_error:badarg(Call, 1, io_lib:format("no such metric: ~0tp", [Name])).

-spec not_a_metric(erlmcp_native_error:call()) -> no_return().
not_a_metric(Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a metric: a handle, a name, or {Name, Labels}").

%% Why recording in a handle did not go.
-spec wrong(term(), string(), erlmcp_native_error:call()) -> no_return().
wrong(Handle, Why, {_, Function, _} = Call) ->
    is_handle(Handle) orelse not_a_metric(Call),
    lists:member(element(1, Handle), types_of(Function)) orelse
        erlmcp_native_error:badarg(Call, 1, io_lib:format("this metric is a ~tw", [element(1, Handle)])),
    erlmcp_native_error:badarg(Call, 2, Why).

types_of(inc) -> [counter, up_down_counter, gauge];
types_of(dec) -> [up_down_counter, gauge];
types_of(set) -> [gauge].

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
