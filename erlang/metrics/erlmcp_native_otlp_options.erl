-module(erlmcp_native_otlp_options).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% What an exporter is started with, checked, and as its pushes take it.

-export([new/2]).

-define(MAX_ATTRIBUTES, 1000).
-define(MAX_BODY, 1 bsl 28).

-spec new(erlmcp_native_otlp:opts(), erlmcp_native_error:call()) -> map().
new(Opts, Call) when is_map(Opts) ->
    _ = [
        erlmcp_native_error:bad_option(Call, 1, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not is_option(Key, Value)
    ],
    All = maps:merge(defaults(), Opts),
    #{endpoint := Endpoint, headers := Headers, resource := Resource} = All,
    Attributes = maps:merge(default_resource(), Resource),
    All#{
        endpoint := text(Endpoint),
        headers := [{string:lowercase(text(Name)), text(Value)} || {Name, Value} <- Headers],
        resource := maps:to_list(Attributes)
    };
new(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a map of options").

defaults() ->
    #{
        endpoint => "http://127.0.0.1:4318/v1/metrics",
        interval => 60_000,
        timeout => 10_000,
        headers => [],
        compression => none,
        resource => #{},
        retries => 4,
        backoff => 1000,
        max_points => 2000,
        max_body => 4 bsl 20,
        ssl => default
    }.

default_resource() ->
    #{
        <<"service.name">> => <<"unknown_service:erlang">>,
        <<"service.instance.id">> => atom_to_binary(node()),
        <<"telemetry.sdk.name">> => <<"erlmcp_native">>,
        <<"telemetry.sdk.language">> => <<"erlang">>,
        <<"telemetry.sdk.version">> => version()
    }.

version() ->
    case application:get_key(erlmcp_native, vsn) of
        {ok, Version} -> list_to_binary(Version);
        undefined -> <<>>
    end.

is_option(endpoint, V) -> is_endpoint(V);
is_option(headers, V) -> is_list(V) andalso lists:all(fun is_header/1, V);
is_option(compression, V) -> V =:= none orelse V =:= gzip;
is_option(resource, V) -> is_map(V) andalso is_resource(V);
is_option(retries, V) -> is_integer(V) andalso V >= 0;
is_option(max_body, V) -> is_positive(V) andalso V =< ?MAX_BODY;
is_option(ssl, V) -> is_list(V);
is_option(Key, V) -> lists:member(Key, [interval, timeout, backoff, max_points]) andalso is_positive(V).

is_positive(V) -> is_integer(V) andalso V > 0.

is_endpoint(Endpoint) ->
    is_text(Endpoint) andalso
        case uri_string:parse(text(Endpoint)) of
            #{scheme := Scheme, host := [_ | _]} -> Scheme =:= "http" orelse Scheme =:= "https";
            _ -> false
        end.

is_header({Name, Value}) -> is_text(Name) andalso text(Name) =/= "" andalso is_text(Value);
is_header(_) -> false.

%% Printable ASCII: nothing that ends a line.
is_text(Text) when is_binary(Text); is_list(Text) ->
    try iolist_to_binary(Text) of
        Bytes -> << <<Byte>> || <<Byte>> <= Bytes, Byte < 32 orelse Byte > 126 >> =:= <<>>
    catch
        error:badarg -> false
    end;
is_text(_) ->
    false.

text(Text) -> binary_to_list(iolist_to_binary(Text)).

is_resource(Resource) ->
    map_size(Resource) =< ?MAX_ATTRIBUTES - map_size(default_resource()) andalso
        lists:all(fun is_attribute/1, maps:to_list(Resource)).

is_attribute({Key, Value}) -> is_utf8(Key) andalso is_value(Value).

is_value(Value) when is_boolean(Value); is_float(Value) -> true;
is_value(Value) when is_integer(Value) -> Value >= -(1 bsl 63) andalso Value < 1 bsl 63;
is_value(Value) -> is_utf8(Value).

is_utf8(Text) -> is_binary(Text) andalso is_list(unicode:characters_to_list(Text)).
