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
-export([snapshot/1, reset/1]).
-export([format_error/2]).
-export_type([histogram/0, handle/0, snapshot/0, opts/0, value/0, timestamp/0]).

-type handle() :: non_neg_integer().
%% Of this node. It bears a generation: the handle of a histogram that has gone is never that of
%% another one.
-type histogram() :: handle() | atom().
%% A name costs a look-up at each call, some 20 ns; what records often keeps the handle.
-opaque snapshot() :: binary().
-type value() :: non_neg_integer().
-type milliseconds() :: pos_integer().
-opaque timestamp() :: integer().
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
        no_histogram(?CALL(delete, [Histogram]), 1),
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
What the histogram was made with, the largest value that it has a bucket for, and the bytes that it
takes.
""").
-spec info(Histogram :: histogram()) -> #{atom() => term()}.
info(Histogram) ->
    live(?CALL(info, [Histogram]), fun() -> erlmcp_native_nif:histogram_info(Histogram) end).

%%% Recording

?DOC("""
Counts a value. One above the largest of the histogram, a big integer too, is counted as overflow.
""").
-spec record(Histogram :: histogram(), Value :: value()) -> ok.
record(Histogram, Value) ->
    case erlmcp_native_nif:histogram_record(Histogram, Value) of
        ok -> ok;
        Wrong -> wrong(Wrong, ?CALL(record, [Histogram, Value]), "not an integer from 0")
    end.

?DOC("""
Counts many values: of a list, or of a binary of 64-bit unsigned integers in the machine's byte order
(`<<V:64/native>>`), which takes a tenth of the time that as many calls do. All or, where one is wrong,
none.
""").
-spec record_many(Histogram :: histogram(), Values :: [value()] | binary()) -> ok.
record_many(Histogram, Values) ->
    case erlmcp_native_nif:histogram_record_many(Histogram, Values) of
        ok ->
            ok;
        Wrong ->
            Why = "not a list of integers from 0, nor a binary of 64-bit integers",
            wrong(Wrong, ?CALL(record_many, [Histogram, Values]), Why)
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
        ok ->
            ok;
        Wrong ->
            Call = ?CALL(record_corrected, [Histogram, Value, Interval]),
            wrong(Wrong, Call, "not an integer from 0")
    end;
record_corrected(Histogram, Value, Interval) ->
    Call = ?CALL(record_corrected, [Histogram, Value, Interval]),
    erlmcp_native_error:badarg(Call, 3, "not a positive integer").

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
        Wrong -> wrong(Wrong, ?CALL(stop, [Histogram, Since]), "not what start/0 gave")
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
        _ -> no_histogram(?CALL(time, [Histogram, Fun]), 1)
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

%%% Snapshots

?DOC("""
What was counted since the histogram was made or last reset.
""").
-spec snapshot(Histogram :: histogram()) -> snapshot().
snapshot(Histogram) ->
    live(?CALL(snapshot, [Histogram]), fun() -> erlmcp_native_nif:histogram_snapshot(Histogram) end).

?DOC("""
Makes what reads begin anew: what was counted before is no longer in snapshots, quantiles and
the summary. Intervals and windows go on as if nothing had happened.
""").
-spec reset(Histogram :: histogram()) -> ok.
reset(Histogram) ->
    live(?CALL(reset, [Histogram]), fun() -> erlmcp_native_nif:histogram_reset(Histogram) end).

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).

%% What recording answered but `ok'; the value is the second argument.
-spec wrong(invalid_histogram | invalid_value, erlmcp_native_error:call(), string()) -> no_return().
wrong(invalid_histogram, Call, _Why) ->
    no_histogram(Call, 1);
wrong(invalid_value, Call, Why) ->
    erlmcp_native_error:badarg(Call, 2, Why).

-spec no_histogram(erlmcp_native_error:call(), pos_integer()) -> no_return().
no_histogram(Call, At) ->
    erlmcp_native_error:badarg(Call, At, "no such histogram").

%% What is asked of a histogram, which is the first argument.
live(Call, Nif) ->
    case Nif() of
        invalid_histogram -> no_histogram(Call, 1);
        Answer -> Answer
    end.
