-module(erlmcp_native_prometheus).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
What Prometheus scrapes: all metrics in the text format 0.0.4, in OpenMetrics 1.0.0 with exemplars, or
in Prometheus' protobuf, which has native histograms.

`exposition/1` is for a web server of yours: it takes the request's header `Accept` and gives the type
and the body of the answer. `erlmcp_native_prometheus_httpd` is one that is ready made. Which form has
what is explained in docs/exposition.md.
""").

-export([exposition/0, exposition/1, encode/2, content_type/1]).
-export([format_error/2]).
-export_type([format/0]).

-type format() :: text | openmetrics | protobuf.

?DOC("""
All metrics in the text format.
""").
-spec exposition() -> {ContentType :: binary(), Body :: binary()}.
exposition() ->
    exposition(text, ?FUNCTION_NAME, []).

?DOC("""
All metrics in the format that a request accepts most, by its header `Accept`; where it accepts none of
them, or has no such header (`undefined`), in the text format. Raises `badarg` where the application is
not running.
""").
-spec exposition(Accept :: binary() | string() | undefined) ->
    {ContentType :: binary(), Body :: binary()}.
exposition(undefined) ->
    exposition(text, ?FUNCTION_NAME, [undefined]);
exposition(Accept) ->
    Header = erlmcp_native_error:flat(Accept, 1, {?MODULE, exposition, [Accept]}),
    exposition(erlmcp_native_prometheus_accept:format(Header), ?FUNCTION_NAME, [Accept]).

exposition(Format, Function, Args) ->
    Families = erlmcp_native_metrics:collect(),
    {content_type(Format), encode(Format, Families, {?MODULE, Function, Args})}.

?DOC("""
Families in a format. A series whose histogram has been deleted meanwhile is left out, and so is an
exemplar where the format has no room for it. Bytes of help and label values that are not UTF-8
are replaced by U+FFFD.

Raises `badarg` where the families are no such terms, with a name that is no name of Prometheus, bounds
that do not rise, or beyond 256 MiB.
""").
-spec encode(Format :: format(), [erlmcp_native_metrics:family()]) -> binary().
encode(Format, Families) ->
    Call = {?MODULE, encode, [Format, Families]},
    lists:member(Format, [text, openmetrics, protobuf]) orelse
        erlmcp_native_error:badarg(Call, 1, "not text, openmetrics or protobuf"),
    encode(Format, Families, Call).

encode(Format, Families, Call) ->
    try
        erlmcp_native_nif:metrics_encode(Format, Families)
    catch
        error:badarg -> erlmcp_native_error:badarg(Call, 2, "not families of metrics")
    end.

?DOC("""
The value of a response's header `Content-Type`.
""").
-spec content_type(Format :: format()) -> binary().
content_type(text) ->
    <<"text/plain; version=0.0.4; charset=utf-8">>;
content_type(openmetrics) ->
    <<"application/openmetrics-text; version=1.0.0; charset=utf-8">>;
content_type(protobuf) ->
    <<
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
        "encoding=delimited"
    >>.

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
