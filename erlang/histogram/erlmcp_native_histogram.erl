-module(erlmcp_native_histogram).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
Histograms that any number of processes record into at once, in some 20 ns, without a lock and
without losing a value.

Values are integers from 0 in any unit; latencies are recorded in nanoseconds. They are counted in
buckets whose width grows with the value, so that every quantile is within a known part of the true
one: at most 2 ^ -(precision + 1), which is 0.39 % for the default precision of 7. Memory is constant,
and what no value fell into takes none.

A histogram belongs to the process that made it, as an ETS table does, and every call takes its
handle or its name; a call on one that is not there raises `badarg`. What was counted at a moment
is a snapshot: a binary that can be kept, sent to other nodes, merged with others and asked the same
questions. Whatever reads takes either.

Choosing a precision, intervals, windows, and formats are explained in docs/histograms.md.
""").

-export([new/0, new/1, delete/1, whereis/1, info/1]).
-export([record/2, record_many/2, record_corrected/3]).
-export([start/0, stop/2, elapsed/1, time/2]).
-export([quantile/2, quantiles/2, quantiles/3, summary/1, buckets/2, fraction_below/2]).
-export([snapshot/1, interval/2, reset/1, merge/1, subtract/2]).
-export([windows/1, window/2, decaying/1, decaying/2]).
-export([to_binary/1, from_binary/1, to_hdr/1, to_hdr/2, from_hdr/1]).
-export([to_prometheus/1, to_prometheus/2, to_otlp/1, to_otlp/2]).
-export([plot/1, plot/2]).
-export([format_error/2]).
-export_type([
    histogram/0, handle/0, snapshot/0, readable/0, opts/0, value/0, timestamp/0, quantile/0,
    method/0, summary/0, cursor/0, decaying/0, hdr_opts/0, exposition_opts/0
]).

-type handle() :: non_neg_integer().
%% Of this node. It bears a generation: the handle of a histogram that has gone is never that of
%% another one.
-type histogram() :: handle() | atom().
%% A name costs a look-up at each call, some 20 ns; what records often keeps the handle.
-opaque snapshot() :: binary().
-type readable() :: histogram() | snapshot().
-type value() :: non_neg_integer().
-type milliseconds() :: pos_integer().
-opaque timestamp() :: integer().
-opaque cursor() :: {cursor, handle(), binary()}.

-type opts() :: #{
    precision => 5..10,
    max => pos_integer(),
    name => atom(),
    owner => pid() | none,
    windows => boolean(),
    half_life => milliseconds()
}.
%% What a histogram is made with:
%%
%% `precision': each power of two is cut into `2 ^ precision' buckets; default 7.
%% `max': the largest value that has a bucket, rounded up to a power of two less 1; default
%% `2 ^ 42 - 1', which is 73 minutes in nanoseconds. Larger values are counted as overflow.
%% `name': an atom other than `undefined' that stands for the handle; default: none.
%% `owner': the process with which it ends, or `none'; default: the caller.
%% `windows': whether windows/1 can tell the last second to the last day; default `false'.
%% `half_life': for decaying/1, after how long a value counts half; default: it is not kept.

-type quantile() :: float() | 0 | 1.
%% 0.99 is what 99 of 100 values are at most.
-type method() :: nearest_rank | linear.
-type summary() :: #{
    count := non_neg_integer(),
    sum := non_neg_integer(),
    overflow := non_neg_integer(),
    min | max | mean | stddev | p50 | p75 | p90 | p95 | p99 | p999 | p9999 => number() | undefined,
    atom() => term()
}.
-type decaying() :: #{atom() => term()}.
-type hdr_opts() :: #{compress => boolean()}.
-type exposition_opts() :: erlmcp_native_histogram_formats:exposition_opts().

-define(CALL(Name, Args), {?MODULE, Name, Args}).

%%% The histogram

?DOC("""
As `new/1` with no options.
""").
-spec new() -> handle().
new() ->
    new(#{}).

?DOC("""
Makes a histogram, which ends with the process that calls this unless `owner` says otherwise.

Raises `badarg` where one of that name is there, and `system_limit` where there are as many as there
can be.
""").
-spec new(Opts :: opts()) -> handle().
new(Opts) ->
    Call = ?CALL(new, [Opts]),
    {Precision, Bits, Name, Owner, Windows, HalfLife} =
        erlmcp_native_histogram_options:new(Opts, Call),
    case erlmcp_native_nif:histogram_new(Precision, Bits, Name, Owner, Windows, HalfLife) of
        Handle when is_integer(Handle) ->
            Handle;
        exists ->
            erlmcp_native_error:badarg(Call, 1, "there is a histogram of this name");
        system_limit ->
            erlmcp_native_error:raise(Call, system_limit, #{general => "too many histograms"})
    end.

?DOC("""
Ends a histogram: its memory is free again, and so is its name. Any process may.
""").
-spec delete(Histogram :: histogram()) -> ok.
delete(Histogram) ->
    erlmcp_native_nif:histogram_delete(Histogram) orelse
        wrong(invalid_histogram, ?CALL(delete, [Histogram])),
    ok.

?DOC("""
The handle of the histogram of that name.
""").
-spec whereis(Name :: atom()) -> handle() | undefined.
whereis(Name) when is_atom(Name) ->
    erlmcp_native_nif:histogram_whereis(Name);
whereis(Name) ->
    erlmcp_native_error:badarg(?CALL(whereis, [Name]), 1, "not an atom").

?DOC("""
Its `precision`, `max`, the largest value that it has a bucket for, its `name` and `owner`, and the
bytes of `memory` that it takes by now.
""").
-spec info(Histogram :: histogram()) -> #{atom() => term()}.
info(Histogram) ->
    told(erlmcp_native_nif:histogram_info(Histogram), ?CALL(info, [Histogram])).

%%% Recording

?DOC("""
Counts a value. One above the largest of the histogram, a big integer too, is counted as overflow.
""").
-spec record(Histogram :: histogram(), Value :: value()) -> ok.
record(Histogram, Value) ->
    case erlmcp_native_nif:histogram_record(Histogram, Value) of
        ok -> ok;
        Wrong -> wrong(Wrong, ?CALL(record, [Histogram, Value]))
    end.

?DOC("""
Counts many values: of a list, or of a binary of 64-bit unsigned integers in the machine's byte order
(`<<V:64/native>>`), which takes a tenth of the time that as many calls do. All or, where one is wrong,
none.
""").
-spec record_many(Histogram :: histogram(), Values :: [value()] | binary()) -> ok.
record_many(Histogram, Values) ->
    case erlmcp_native_nif:histogram_record_many(Histogram, Values) of
        ok -> ok;
        Wrong -> wrong(Wrong, ?CALL(record_many, [Histogram, Values]))
    end.

?DOC("""
Counts a value of something that is measured every so often, and with it the values that could not
be measured since they waited for this one: those smaller by one interval, by two, and so on down to
the interval (coordinated omission). For measuring that waits for each answer before it asks again; not for
values that are counted from when something was to begin, and once only: snapshots remember it
(`corrected`).
""").
-spec record_corrected(Histogram :: histogram(), Value :: value(), Interval :: pos_integer()) -> ok.
record_corrected(Histogram, Value, Interval) when is_integer(Interval), Interval > 0 ->
    case erlmcp_native_nif:histogram_record_corrected(Histogram, Value, Interval) of
        ok -> ok;
        Wrong -> wrong(Wrong, ?CALL(record_corrected, [Histogram, Value, Interval]))
    end;
record_corrected(Histogram, Value, Interval) ->
    wrong(invalid_interval, ?CALL(record_corrected, [Histogram, Value, Interval])).

?DOC("""
The time, for `stop/2` and `elapsed/1` on this node: the processor's counter where it is sound, in a few
nanoseconds, else the monotonic clock.
""").
-spec start() -> timestamp().
start() ->
    erlmcp_native_nif:clock_start().

?DOC("""
Counts the nanoseconds since `start/0`, which any process may have called.
""").
-spec stop(Histogram :: histogram(), Since :: timestamp()) -> ok.
stop(Histogram, Since) ->
    case erlmcp_native_nif:histogram_stop(Histogram, Since) of
        ok -> ok;
        Wrong -> wrong(Wrong, ?CALL(stop, [Histogram, Since]))
    end.

?DOC("""
The nanoseconds since `start/0`.
""").
-spec elapsed(Since :: timestamp()) -> non_neg_integer().
elapsed(Since) ->
    try
        erlmcp_native_nif:clock_elapsed(Since)
    catch
        error:badarg ->
            erlmcp_native_error:badarg(?CALL(elapsed, [Since]), 1, "not what start/0 gave")
    end.

?DOC("""
Runs a fun and counts the nanoseconds that it took, also where it raises. What it answers or raises
is passed on. A histogram that is deleted meanwhile counts nothing.
""").
-spec time(Histogram :: histogram(), Fun :: fun(() -> Result)) -> Result.
time(Histogram, Fun) when is_function(Fun, 0) ->
    %% Before the fun is run, and without counting anything.
    case erlmcp_native_nif:histogram_record_many(Histogram, <<>>) of
        ok -> ok;
        Wrong -> wrong(Wrong, ?CALL(time, [Histogram, Fun]))
    end,
    Since = erlmcp_native_nif:clock_start(),
    try
        Fun()
    after
        erlmcp_native_nif:histogram_stop(Histogram, Since)
    end;
time(Histogram, Fun) ->
    Call = ?CALL(time, [Histogram, Fun]),
    erlmcp_native_error:badarg(Call, 2, "not a fun of no arguments").

%%% Asking

?DOC("""
As `quantiles/2`, of one.
""").
-spec quantile(From :: readable(), Quantile :: quantile()) -> number() | undefined.
quantile(From, Quantile) ->
    Quantiles = erlmcp_native_nif:histogram_quantiles(From, [Quantile], nearest_rank),
    [Value] = told(Quantiles, ?CALL(quantile, [From, Quantile])),
    Value.

?DOC("""
As `quantiles/3` by nearest rank.
""").
-spec quantiles(From :: readable(), Quantiles :: [quantile()]) -> [number() | undefined].
quantiles(From, Quantiles) ->
    Values = erlmcp_native_nif:histogram_quantiles(From, Quantiles, nearest_rank),
    told(Values, ?CALL(quantiles, [From, Quantiles])).

?DOC("""
The values that these parts of all values do not exceed, in the order asked; `undefined` for each where
there are none.

`nearest_rank`: of `Count` values the `ceil(Quantile * Count)`th; the middle of its bucket, but never
less than the least value or more than the greatest, so at most `2 ^ -(precision + 1)` off: an integer.
Where it is an overflow, the greatest. `linear`: a float, as if the values of a bucket lay evenly from its
lowest to its highest, at most `2 ^ -precision` off.
""").
-spec quantiles(From :: readable(), Quantiles :: [quantile()], Method :: method()) ->
    [number() | undefined].
quantiles(From, Quantiles, Method) ->
    Values = erlmcp_native_nif:histogram_quantiles(From, Quantiles, Method),
    told(Values, ?CALL(quantiles, [From, Quantiles, Method])).

?DOC("""
Count, sum, least, greatest, mean, standard deviation (of the population) and the usual quantiles, of one
moment; in an interval or a window, of how many milliseconds (`span`). What has no value is `undefined`.
""").
-spec summary(From :: readable()) -> summary().
summary(From) ->
    told(erlmcp_native_nif:histogram_summary(From), ?CALL(summary, [From])).

?DOC("""
How many values are at most each bound, in the order given. Of a bucket that a bound lies in, the values
are taken to lie evenly in it.
""").
-spec buckets(From :: readable(), Bounds :: [Bound]) -> [{Bound, Count :: non_neg_integer()}] when
    Bound :: number() | infinity.
buckets(From, Bounds) ->
    told(erlmcp_native_nif:histogram_buckets(From, Bounds), ?CALL(buckets, [From, Bounds])).

?DOC("""
Which part of all values, from 0.0 to 1.0, is at most this one: the inverse of `quantile/2`, to the
width of a bucket. `undefined` where there are none.
""").
-spec fraction_below(From :: readable(), Bound :: number() | infinity) -> float() | undefined.
fraction_below(From, Bound) ->
    Part = erlmcp_native_nif:histogram_fraction_below(From, Bound),
    told(Part, ?CALL(fraction_below, [From, Bound])).

?DOC("""
As `plot/2` of 80 columns.
""").
-spec plot(From :: readable()) -> unicode:unicode_binary().
plot(From) ->
    told(erlmcp_native_nif:histogram_plot(From, 80), ?CALL(plot, [From])).

?DOC("""
A picture in text, for the shell: `io:put_chars(erlmcp_native_histogram:plot(H))`.
""").
-spec plot(From :: readable(), Columns :: 60..400) -> unicode:unicode_binary().
plot(From, Columns) when is_integer(Columns), Columns >= 60, Columns =< 400 ->
    told(erlmcp_native_nif:histogram_plot(From, Columns), ?CALL(plot, [From, Columns]));
plot(From, Columns) ->
    wrong(invalid_width, ?CALL(plot, [From, Columns])).

%%% Snapshots

?DOC("""
What was counted since the histogram was made or last reset.
""").
-spec snapshot(Histogram :: histogram()) -> snapshot().
snapshot(Histogram) ->
    told(erlmcp_native_nif:histogram_snapshot(Histogram), ?CALL(snapshot, [Histogram])).

?DOC("""
What was counted since the cursor was given, and the cursor for the next interval. With `first`, what was
counted since the histogram was made.

Each value is in exactly one interval of a reader that goes from cursor to cursor, whatever others record,
read and reset meanwhile; any number of readers may do so, each with cursors of its own. A cursor is a
term like any other: nothing has to be ended.
""").
-spec interval(Histogram :: histogram(), Since :: first | cursor()) -> {snapshot(), cursor()}.
interval(Histogram, Since) ->
    Call = ?CALL(interval, [Histogram, Since]),
    %% By its handle, so that a name that is given to another histogram is not taken for this one.
    Handle = handle(Histogram, Call),
    Now = told(erlmcp_native_nif:histogram_cumulative(Handle), Call),
    Delta =
        case Since of
            first -> Now;
            {cursor, Handle, Before} when is_binary(Before) ->
                erlmcp_native_nif:histogram_subtract(Now, Before);
            _ -> invalid_cursor
        end,
    is_binary(Delta) orelse wrong(invalid_cursor, Call),
    {Delta, {cursor, Handle, Now}}.

handle(Name, Call) when is_atom(Name) ->
    case erlmcp_native_nif:histogram_whereis(Name) of
        undefined -> wrong(invalid_histogram, Call);
        Handle -> Handle
    end;
handle(Handle, _Call) ->
    Handle.

?DOC("""
Makes what reads begin anew: what was counted before is no longer in snapshots, quantiles and
the summary. Intervals and windows go on as if nothing had happened.
""").
-spec reset(Histogram :: histogram()) -> ok.
reset(Histogram) ->
    told(erlmcp_native_nif:histogram_reset(Histogram), ?CALL(reset, [Histogram])).

?DOC("""
All values of these together, whatever node, machine and precision they come from. Exact, and in whatever
order or grouping the same: the buckets are those of the lowest precision, and where values of
one overflowed, values so large overflow in the whole.
""").
-spec merge(From :: [readable(), ...]) -> snapshot().
merge(From) ->
    Call = ?CALL(merge, [From]),
    told(erlmcp_native_nif:histogram_merge(snapshots(From, [], Call)), Call).

snapshots([Snapshot | More], Before, Call) when is_binary(Snapshot) ->
    snapshots(More, [Snapshot | Before], Call);
snapshots([Histogram | More], Before, Call) ->
    Snapshot = told(erlmcp_native_nif:histogram_snapshot(Histogram), Call),
    snapshots(More, [Snapshot | Before], Call);
snapshots([], [_ | _] = Snapshots, _Call) ->
    lists:reverse(Snapshots);
snapshots(_, _, Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a proper list of one or more").

?DOC("""
The values that are in one snapshot and not in an earlier one of the same histogram. `{error,
not_earlier}`: the other has some that this one lacks, as where the histogram was made anew or reset
between.
""").
-spec subtract(Later :: readable(), Earlier :: readable()) ->
    {ok, snapshot()} | {error, not_earlier}.
subtract(Later, Earlier) ->
    Call = ?CALL(subtract, [Later, Earlier]),
    %% Each by itself, so that the wrong one is named.
    case erlmcp_native_nif:histogram_subtract(binary(Later, 1, Call), binary(Earlier, 2, Call)) of
        not_earlier -> {error, not_earlier};
        Delta -> {ok, told(Delta, Call)}
    end.

%% Of what is read, the snapshot.
binary(From, At, Call) when is_binary(From) ->
    case erlmcp_native_nif:histogram_check(From) of
        ok -> From;
        {error, _} -> erlmcp_native_error:badarg(Call, At, "not a snapshot")
    end;
binary(From, At, Call) ->
    case erlmcp_native_nif:histogram_snapshot(From) of
        invalid_histogram -> erlmcp_native_error:badarg(Call, At, "no such histogram");
        Snapshot -> Snapshot
    end.

%%% Windows

?DOC("""
What was counted in the last 1 s, 10 s, 1 min, 5 min, 1 h and 24 h, by milliseconds. Of a histogram made
with `windows => true`.
""").
-spec windows(Histogram :: histogram()) -> [{milliseconds(), snapshot()}].
windows(Histogram) ->
    told(erlmcp_native_nif:histogram_windows(Histogram), ?CALL(windows, [Histogram])).

?DOC("""
What was counted in one of the windows of `windows/1`, by its milliseconds.
""").
-spec window(Histogram :: histogram(), Window :: milliseconds()) -> snapshot().
window(Histogram, Window) ->
    Call = ?CALL(window, [Histogram, Window]),
    Windows = told(erlmcp_native_nif:histogram_windows(Histogram), Call),
    case [Snapshot || {Length, Snapshot} <- Windows, Length =:= Window] of
        [Snapshot] -> Snapshot;
        [] -> wrong(invalid_window, Call)
    end.

?DOC("""
As `decaying/2` with the quantiles 0.5, 0.9, 0.99 and 0.999.
""").
-spec decaying(Histogram :: histogram()) -> decaying().
decaying(Histogram) ->
    Decaying = erlmcp_native_nif:histogram_decaying(Histogram, [0.5, 0.9, 0.99, 0.999]),
    told(Decaying, ?CALL(decaying, [Histogram])).

?DOC("""
The values weighted by age: one that was recorded a half-life ago counts half, two ago a quarter. Their
`weight` in all, `mean`, and `quantiles` in the order asked. Of a histogram made with a `half_life`.
""").
-spec decaying(Histogram :: histogram(), Quantiles :: [quantile()]) -> decaying().
decaying(Histogram, Quantiles) ->
    Decaying = erlmcp_native_nif:histogram_decaying(Histogram, Quantiles),
    told(Decaying, ?CALL(decaying, [Histogram, Quantiles])).

%%% Formats

?DOC("""
The snapshot as bytes to keep or send; some three kilobytes for a million latencies. Later versions of
this library read it.
""").
-spec to_binary(From :: readable()) -> binary().
to_binary(From) ->
    binary(From, 1, ?CALL(to_binary, [From])).

?DOC("""
A snapshot of the bytes that `to_binary/1` gave, on whatever node. `{error, Reason}`: it is not one, whole and
of a known version.
""").
-spec from_binary(Bytes :: binary()) -> {ok, snapshot()} | {error, Reason :: atom()}.
from_binary(Bytes) when is_binary(Bytes) ->
    case erlmcp_native_nif:histogram_check(Bytes) of
        ok -> {ok, Bytes};
        {error, _} = Error -> Error
    end;
from_binary(Bytes) ->
    erlmcp_native_error:badarg(?CALL(from_binary, [Bytes]), 1, "not a binary").

?DOC("""
As `to_hdr/2` with no options.
""").
-spec to_hdr(From :: readable()) -> binary().
to_hdr(From) ->
    told(erlmcp_native_nif:histogram_to_hdr(From, true), ?CALL(to_hdr, [From])).

?DOC("""
In the format of HdrHistogram, V2, which libraries in many languages read; erlmcp_native_histogram_log
writes its interval logs. With `compress => false` it is not deflated.
""").
-spec to_hdr(From :: readable(), Opts :: hdr_opts()) -> binary().
to_hdr(From, Opts) ->
    Call = ?CALL(to_hdr, [From, Opts]),
    Is = fun(Key, Value) -> Key =:= compress andalso is_boolean(Value) end,
    ok = erlmcp_native_histogram_options:check(Is, Opts, 2, Call),
    told(erlmcp_native_nif:histogram_to_hdr(From, maps:get(compress, Opts, true)), Call).

?DOC("""
A snapshot of what HdrHistogram wrote in V2, deflated or not: of the precision that its digits make, from 5
to 10, so that values are at most that much further off.
""").
-spec from_hdr(Bytes :: binary()) -> {ok, snapshot()} | {error, Reason :: atom()}.
from_hdr(Bytes) when is_binary(Bytes) ->
    case erlmcp_native_nif:histogram_from_hdr(Bytes) of
        {error, _} = Error -> Error;
        Snapshot -> {ok, Snapshot}
    end;
from_hdr(Bytes) ->
    erlmcp_native_error:badarg(?CALL(from_hdr, [Bytes]), 1, "not a binary").

?DOC("""
As `to_prometheus/2` with no options: latencies in nanoseconds exposed as seconds.
""").
-spec to_prometheus(From :: readable()) -> binary().
to_prometheus(From) ->
    Call = ?CALL(to_prometheus, [From]),
    erlmcp_native_histogram_formats:prometheus(binary(From, 1, Call), #{}, Call).

?DOC("""
What a Prometheus server scrapes, of this histogram alone: text, or protobuf with a native histogram.
""").
-spec to_prometheus(From :: readable(), Opts :: exposition_opts()) -> binary().
to_prometheus(From, Opts) ->
    Call = ?CALL(to_prometheus, [From, Opts]),
    erlmcp_native_histogram_formats:prometheus(binary(From, 1, Call), Opts, Call).

?DOC("""
As `to_otlp/2` with no options: latencies in nanoseconds exposed as seconds.
""").
-spec to_otlp(From :: readable()) -> binary().
to_otlp(From) ->
    Call = ?CALL(to_otlp, [From]),
    erlmcp_native_histogram_formats:otlp(binary(From, 1, Call), #{}, Call).

?DOC("""
OpenTelemetry's `ExportMetricsServiceRequest` in protobuf, with an exponential histogram.
""").
-spec to_otlp(From :: readable(), Opts :: exposition_opts()) -> binary().
to_otlp(From, Opts) ->
    Call = ?CALL(to_otlp, [From, Opts]),
    erlmcp_native_histogram_formats:otlp(binary(From, 1, Call), Opts, Call).

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).

%% What a NIF answered.
told(Answer, _Call) when not is_atom(Answer); Answer =:= ok; Answer =:= undefined ->
    Answer;
told(Wrong, Call) ->
    wrong(Wrong, Call).

-spec wrong(atom(), erlmcp_native_error:call()) -> no_return().
wrong(Wrong, {_, Name, _} = Call) ->
    {At, Why} = why(Wrong, Name),
    erlmcp_native_error:badarg(Call, At, Why).

why(invalid_histogram, _) -> {1, "no such histogram"};
why(invalid_snapshot, _) -> {1, "neither a histogram nor a snapshot"};
why(invalid_value, record_many) -> {2, "not a list of integers from 0, nor a binary of 64-bit integers"};
why(invalid_value, stop) -> {2, "not what start/0 gave"};
why(invalid_value, _) -> {2, "not an integer from 0"};
why(invalid_interval, _) -> {3, "not a positive integer"};
why(invalid_quantile, quantile) -> {2, "not a number from 0 to 1"};
why(invalid_quantile, _) -> {2, "not a list of numbers from 0 to 1"};
why(invalid_method, _) -> {3, "neither nearest_rank nor linear"};
why(invalid_bound, fraction_below) -> {2, "not a number of at most 64 bits"};
why(invalid_bound, _) -> {2, "not a list of numbers of at most 64 bits"};
why(invalid_window, _) -> {2, "no such window"};
why(no_windows, _) -> {1, "this histogram has no windows"};
why(no_half_life, _) -> {1, "this histogram has no half-life"};
why(invalid_width, _) -> {2, "not a number of columns from 60 to 400"};
why(invalid_cursor, _) -> {2, "neither first nor a cursor of this histogram"}.
