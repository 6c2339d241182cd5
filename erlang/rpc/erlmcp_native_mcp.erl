-module(erlmcp_native_mcp).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
What the revisions of the Model Context Protocol define: methods and error codes.
""").

-export([
    revisions/0,
    latest/0,
    is_revision/1,
    has_batches/1,
    methods/1,
    method/2,
    error_codes/1,
    error_code/2,
    error_name/2
]).
-export([format_error/2]).
-export_type([revision/0, method_info/0, error_name/0]).

-type revision() :: binary().
%% A date: one of those of `revisions/0'.
-type method_info() :: #{
    kind := request | notification | input_request,
    from := [client | server]
}.
%% `from': which side sends it. An `input_request' is no message of its own: it is part of a
%% result that asks for input.
-type error_name() ::
    parse_error
    | invalid_request
    | method_not_found
    | invalid_params
    | internal_error
    | resource_not_found
    | url_elicitation_required
    | header_mismatch
    | missing_required_client_capability
    | unsupported_protocol_version.

-define(REVISIONS, [
    <<"2024-11-05">>, <<"2025-03-26">>, <<"2025-06-18">>, <<"2025-11-25">>, <<"2026-07-28">>
]).

?DOC("""
The known revisions, oldest first.
""").
-spec revisions() -> [revision()].
revisions() -> ?REVISIONS.

?DOC("""
The newest known revision.
""").
-spec latest() -> revision().
latest() -> lists:last(?REVISIONS).

?DOC("""
Whether this is a known revision.
""").
-spec is_revision(term()) -> boolean().
is_revision(Revision) -> lists:member(Revision, ?REVISIONS).

?DOC("""
Whether the revision has JSON-RPC batches: only 2025-03-26 does. An unknown one raises badarg, here
and below.
""").
-spec has_batches(revision()) -> boolean().
has_batches(Revision) ->
    number(Revision, {?MODULE, has_batches, [Revision]}) =:= 2.

?DOC("""
The methods of a revision.
""").
-spec methods(revision()) -> #{Method :: binary() => method_info()}.
methods(Revision) ->
    methods_at(number(Revision, {?MODULE, methods, [Revision]})).

methods_at(Number) ->
    maps:from_list([
        {Method, #{kind => Kind, from => From}}
     || {Method, Kind, From, First, Last} <- methods(), First =< Number, Number =< Last
    ]).

?DOC("""
What a method is in a revision.
""").
-spec method(revision(), binary()) -> {ok, method_info()} | {error, not_found}.
method(Revision, Method) ->
    case methods_at(number(Revision, {?MODULE, method, [Revision, Method]})) of
        #{Method := Info} -> {ok, Info};
        #{} -> {error, not_found}
    end.

?DOC("""
The error codes of a revision, those of JSON-RPC included.
""").
-spec error_codes(revision()) -> #{error_name() => integer()}.
error_codes(Revision) ->
    error_codes_at(number(Revision, {?MODULE, error_codes, [Revision]})).

error_codes_at(Number) ->
    maps:from_list([
        {Name, Code}
     || {Name, Code, First, Last} <- errors(), First =< Number, Number =< Last
    ]).

?DOC("""
The code that a revision has for an error.
""").
-spec error_code(revision(), error_name()) -> {ok, integer()} | {error, not_found}.
error_code(Revision, Name) ->
    case error_codes_at(number(Revision, {?MODULE, error_code, [Revision, Name]})) of
        #{Name := Code} -> {ok, Code};
        #{} -> {error, not_found}
    end.

?DOC("""
The error that a code stands for in a revision.
""").
-spec error_name(revision(), integer()) -> {ok, error_name()} | {error, not_found}.
error_name(Revision, Code) ->
    Codes = error_codes_at(number(Revision, {?MODULE, error_name, [Revision, Code]})),
    case [Name || {Name, Known} <- maps:to_list(Codes), Known =:= Code] of
        [Name] -> {ok, Name};
        [] -> {error, not_found}
    end.

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).

%% The place of a revision among all, counted from 1.
number(Revision, Call) ->
    number(Revision, Call, ?REVISIONS, 1).

number(Revision, _Call, [Revision | _], Number) -> Number;
number(Revision, Call, [_ | Rest], Number) -> number(Revision, Call, Rest, Number + 1);
number(_, Call, [], _) -> erlmcp_native_error:badarg(Call, 1, "not a revision of the protocol").

%% Name, kind, who sends it, in which revisions (by number, the first and the last).
methods() ->
    [
        {<<"initialize">>, request, [client], 1, 4},
        {<<"ping">>, request, [client, server], 1, 4},
        {<<"server/discover">>, request, [client], 5, 5},
        {<<"subscriptions/listen">>, request, [client], 5, 5},
        {<<"tools/list">>, request, [client], 1, 5},
        {<<"tools/call">>, request, [client], 1, 5},
        {<<"resources/list">>, request, [client], 1, 5},
        {<<"resources/templates/list">>, request, [client], 1, 5},
        {<<"resources/read">>, request, [client], 1, 5},
        {<<"resources/subscribe">>, request, [client], 1, 4},
        {<<"resources/unsubscribe">>, request, [client], 1, 4},
        {<<"prompts/list">>, request, [client], 1, 5},
        {<<"prompts/get">>, request, [client], 1, 5},
        {<<"completion/complete">>, request, [client], 1, 5},
        {<<"logging/setLevel">>, request, [client], 1, 4},
        {<<"tasks/get">>, request, [client, server], 4, 4},
        {<<"tasks/result">>, request, [client, server], 4, 4},
        {<<"tasks/list">>, request, [client, server], 4, 4},
        {<<"tasks/cancel">>, request, [client, server], 4, 4},
        {<<"sampling/createMessage">>, request, [server], 1, 4},
        {<<"sampling/createMessage">>, input_request, [server], 5, 5},
        {<<"roots/list">>, request, [server], 1, 4},
        {<<"roots/list">>, input_request, [server], 5, 5},
        {<<"elicitation/create">>, request, [server], 3, 4},
        {<<"elicitation/create">>, input_request, [server], 5, 5},
        {<<"notifications/initialized">>, notification, [client], 1, 4},
        {<<"notifications/roots/list_changed">>, notification, [client], 1, 4},
        {<<"notifications/cancelled">>, notification, [client, server], 1, 5},
        {<<"notifications/progress">>, notification, [client, server], 1, 4},
        {<<"notifications/progress">>, notification, [server], 5, 5},
        {<<"notifications/message">>, notification, [server], 1, 5},
        {<<"notifications/resources/updated">>, notification, [server], 1, 5},
        {<<"notifications/resources/list_changed">>, notification, [server], 1, 5},
        {<<"notifications/tools/list_changed">>, notification, [server], 1, 5},
        {<<"notifications/prompts/list_changed">>, notification, [server], 1, 5},
        {<<"notifications/tasks/status">>, notification, [client, server], 4, 4},
        {<<"notifications/elicitation/complete">>, notification, [server], 4, 4},
        {<<"notifications/subscriptions/acknowledged">>, notification, [server], 5, 5}
    ].

%% Name, code, in which revisions.
errors() ->
    [
        {parse_error, -32700, 1, 5},
        {invalid_request, -32600, 1, 5},
        {method_not_found, -32601, 1, 5},
        {invalid_params, -32602, 1, 5},
        {internal_error, -32603, 1, 5},
        {resource_not_found, -32002, 1, 4},
        {url_elicitation_required, -32042, 4, 4},
        {header_mismatch, -32020, 5, 5},
        {missing_required_client_capability, -32021, 5, 5},
        {unsupported_protocol_version, -32022, 5, 5}
    ].
