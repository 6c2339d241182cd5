-module(erlmcp_native_histogram_log).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
Interval logs of HdrHistogram, which its plotters and analysers read: a text of some comments and a line
for each interval, with its histogram compressed and in base64.

A log of a histogram is its header, and a line for each delta of `erlmcp_native_histogram:interval/2`.
""").

-export([header/1, line/2, read/1, format_error/2]).
-export_type([line_opts/0, interval/0]).

-type line_opts() :: #{
    start => non_neg_integer(),
    length => non_neg_integer(),
    tag => binary(),
    unit => pos_integer()
}.
%% `start': milliseconds since the start that the header tells; default 0.
%% `length': of the interval, in milliseconds; default: the span that the snapshot knows.
%% `tag': which of several logs in one the line is of: some text without commas, blanks and ends of
%% lines; default: none.
%% `unit': by how much the greatest value is divided to be shown in the line; default 1,000,000,
%% which shows nanoseconds as milliseconds. The histogram itself is not scaled.
-type interval() :: #{
    start := number(),
    length := number(),
    tag := binary() | undefined,
    snapshot := erlmcp_native_histogram:snapshot()
}.
%% Milliseconds; since 1970 where the log tells a base time, else as its lines tell them.

-define(MAX_TIME, (1 bsl 48)).
%% In seconds, of a line.
-define(MAX_SECONDS, 1.0e15).
-define(CALL(Name, Args), {?MODULE, Name, Args}).

?DOC("""
The lines that a log begins with. Start: milliseconds since 1970.
""").
-spec header(Start :: non_neg_integer()) -> binary().
header(Start) when is_integer(Start), Start >= 0, Start < ?MAX_TIME ->
    erlmcp_native_nif:histogram_log_header(Start / 1000);
header(Start) ->
    erlmcp_native_error:badarg(?CALL(header, [Start]), 1, "not a time in milliseconds").

?DOC("""
The line of an interval, with its end.
""").
-spec line(From :: erlmcp_native_histogram:readable(), Opts :: line_opts()) -> binary().
line(From, Opts) ->
    Call = ?CALL(line, [From, Opts]),
    ok = erlmcp_native_histogram_options:check(fun is_option/2, Opts, 2, Call),
    Start = maps:get(start, Opts, 0) / 1000,
    Length = length_of(From, Opts, Call) / 1000,
    Unit = maps:get(unit, Opts, 1_000_000),
    case erlmcp_native_nif:histogram_log_line(From, maps:get(tag, Opts, undefined), Start, Length, Unit) of
        Line when is_binary(Line) -> Line;
        invalid_value -> erlmcp_native_error:badarg(Call, 2, "the tag is none that a line can have");
        _ -> no_snapshot(Call)
    end.

length_of(_From, #{length := Length}, _Call) ->
    Length;
length_of(From, _Opts, Call) ->
    case erlmcp_native_nif:histogram_summary(From) of
        #{span := Span} -> Span;
        _ -> no_snapshot(Call)
    end.

-spec no_snapshot(erlmcp_native_error:call()) -> no_return().
no_snapshot(Call) ->
    erlmcp_native_error:badarg(Call, 1, "neither a histogram nor a snapshot").

is_option(start, V) -> is_time(V);
is_option(length, V) -> is_time(V);
is_option(tag, V) -> is_binary(V);
is_option(unit, V) -> is_integer(V) andalso V > 0 andalso V < 1 bsl 64;
is_option(_, _) -> false.

is_time(V) -> is_integer(V) andalso V >= 0 andalso V < ?MAX_TIME.

?DOC("""
The intervals of a log, in its order. `{error, {Line, Reason}}`: the line of this number, from 1, is none
that a log has.
""").
-spec read(Log :: iodata()) -> {ok, [interval()]} | {error, {pos_integer(), Reason :: atom()}}.
read(Log) ->
    Text = erlmcp_native_error:flat(Log, 1, ?CALL(read, [Log])),
    read(binary:split(Text, <<"\n">>, [global]), 1, 0, []).

read([<<"#[BaseTime:", Time/binary>> | Lines], Nth, _Base, Intervals) ->
    case re:run(Time, "^ *([0-9]{1,15}\\.[0-9]{1,15})", [{capture, all_but_first, binary}]) of
        {match, [Seconds]} -> read(Lines, Nth + 1, binary_to_float(Seconds) * 1000, Intervals);
        nomatch -> {error, {Nth, invalid_line}}
    end;
read([Line | Lines], Nth, Base, Intervals) ->
    case erlmcp_native_nif:histogram_log_read(Line) of
        undefined ->
            read(Lines, Nth + 1, Base, Intervals);
        {error, Reason} ->
            {error, {Nth, Reason}};
        {_Tag, Start, Length, _Snapshot} when abs(Start) > ?MAX_SECONDS; abs(Length) > ?MAX_SECONDS ->
            {error, {Nth, invalid_line}};
        {Tag, Start, Length, Snapshot} ->
            Interval = #{
                start => Base + Start * 1000,
                length => Length * 1000,
                tag => Tag,
                snapshot => Snapshot
            },
            read(Lines, Nth + 1, Base, [Interval | Intervals])
    end;
read([], _Nth, _Base, Intervals) ->
    {ok, lists:reverse(Intervals)}.

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
