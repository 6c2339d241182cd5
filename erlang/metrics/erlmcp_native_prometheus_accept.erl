-module(erlmcp_native_prometheus_accept).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% What a request accepts (RFC 9110, 12.5).

-export([format/1, gzip/1]).

%% The media types that are to be had, those first that are taken where a request likes several as
%% much and names them.
-define(OFFERS, [
    {protobuf, <<"application/vnd.google.protobuf">>, [
        {<<"proto">>, <<"io.prometheus.client.metricfamily">>}, {<<"encoding">>, <<"delimited">>}
    ]},
    {openmetrics, <<"application/openmetrics-text">>, [{<<"version">>, <<"1.0.0">>}]},
    {text, <<"text/plain">>, [{<<"version">>, <<"0.0.4">>}]}
]).

-spec format(binary()) -> erlmcp_native_prometheus:format().
format(Accept) ->
    Ranges = [range(Element) || Element <- elements(Accept)],
    Liked = [
        {Quality, Precision, -Position, Format}
     || {Position, {Format, Type, Parameters}} <- lists:zip(lists:seq(1, 3), ?OFFERS),
        {Precision, Quality} <- [liking(Format, Type, Parameters, Ranges)],
        Quality > 0
    ],
    case Liked of
        [] -> text;
        _ -> element(4, lists:max(Liked))
    end.

%% How precisely the most precise range names what is offered, and how much that is liked.
liking(Format, Type, Parameters, Ranges) ->
    lists:max([{-1, 0} | [
        {Precision, Quality}
     || {Range, Given, Quality} <- Ranges,
        Precision <- precision(Format, Type, Parameters, Range, Given)
    ]]).

%% Whoever takes anything is given text; protobuf is for those who ask for all of it.
precision(text, _, _, <<"*/*">>, _) -> [1];
precision(openmetrics, _, _, <<"*/*">>, _) -> [0];
precision(text, _, _, <<"text/*">>, _) -> [2];
precision(openmetrics, _, _, <<"application/*">>, _) -> [2];
precision(Format, Type, Parameters, Type, Given) ->
    Asked = [{Key, Value} || {Key, Value} <- Given, lists:keymember(Key, 1, Parameters)],
    case Asked -- Parameters of
        [] when Format =/= protobuf; length(Asked) =:= 2 -> [3 + length(Asked)];
        _ -> []
    end;
precision(_, _, _, _, _) -> [].

%% Whether a body may come compressed, by the header Accept-Encoding.
-spec gzip(binary()) -> boolean().
gzip(AcceptEncoding) ->
    Codings = [range(Element) || Element <- elements(AcceptEncoding)],
    Of = fun(Name) -> [Quality || {Coding, _, Quality} <- Codings, Coding =:= Name] end,
    case Of(<<"gzip">>) ++ Of(<<"x-gzip">>) ++ Of(<<"*">>) of
        [Quality | _] -> Quality > 0;
        [] -> false
    end.

%% Elements of a list as `type/subtype;name=value;q=0.5', in lower case, none of them empty.
elements(Header) ->
    Lower = string:lowercase(<<<<Byte>> || <<Byte>> <= Header, Byte < 128>>),
    [
        [trimmed(Part) || Part <- binary:split(Element, <<";">>, [global])]
     || Element <- binary:split(Lower, <<",">>, [global]), trimmed(Element) =/= <<>>
    ].

range([Name | Parameters]) ->
    Pairs = [pair(Parameter) || Parameter <- Parameters],
    {Name, lists:keydelete(<<"q">>, 1, Pairs), quality(lists:keyfind(<<"q">>, 1, Pairs))}.

pair(Parameter) ->
    case binary:split(Parameter, <<"=">>) of
        [Name, Value] -> {trimmed(Name), string:trim(trimmed(Value), both, "\"")};
        [Name] -> {Name, <<>>}
    end.

%% In thousandths; 0 where it is none.
quality(false) ->
    1000;
quality({_, Value}) ->
    case Value of
        <<"0">> -> 0;
        <<"1">> -> 1000;
        <<"0.", Digits/binary>> -> thousandths(Digits);
        <<"1.", Digits/binary>> -> 1000 - thousandths(Digits);
        _ -> 0
    end.

thousandths(Digits) when byte_size(Digits) =< 3 ->
    try
        binary_to_integer(<<"0", Digits/binary, (binary:copy(<<"0">>, 3 - byte_size(Digits)))/binary>>)
    catch
        error:badarg -> 0
    end;
thousandths(_) ->
    0.

trimmed(Text) ->
    string:trim(Text, both, " \t").
