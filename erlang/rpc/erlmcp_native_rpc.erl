-module(erlmcp_native_rpc).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
JSON-RPC 2.0, with what the Model Context Protocol (MCP) adds and narrows.

`decode/2` goes in one native call from bytes to a classified message. A message that cannot be
taken comes with the error reply that is to be sent for it.
""").

-export([decode/1, decode/2, peek/1, headers_match/2]).
-export([
    encode_request/3,
    encode_notification/2,
    encode_response/2,
    encode_error/3, encode_error/4,
    encode_batch/1
]).
-export([format_error/2]).
-export_type([params/0, id/0, message/0, invalid/0, reason/0, rpc_opts/0, peek/0]).

-type id() :: binary() | integer() | float() | null.
-type message() ::
    {request, id(), Method :: binary(), Params :: term() | undefined}
    | {notification, Method :: binary(), Params :: term() | undefined}
    | {response, id(), Result :: term()}
    | {error_response, id(), Code :: integer(), Message :: binary(), Data :: term() | undefined}
    | {batch, [message()]}
    | invalid().
%% `undefined' stands for a member that is not there. No batch is inside a batch.
-type invalid() :: {invalid, id(), Code :: integer(), reason(), Reply :: binary()}.
%% The id as far as it could be read, else `null'. The reply has the same id, but for a faulty
%% response: its id is one of ours, and means something else to the peer.
-type reason() ::
    {parse_error, erlmcp_native_json:reason(), Offset :: non_neg_integer()}
    | {max_size, pos_integer()}
    | max_batch
    | empty_batch
    | not_an_object
    | missing_jsonrpc
    | wrong_version
    | invalid_id
    | missing_id
    | invalid_method
    | invalid_params
    | invalid_result
    | invalid_error
    | result_and_error
    | request_and_response
    | unknown_message
    | not_a_request
    | {invalid_arguments,
        [erlmcp_native_schema:violation()] | erlmcp_native_schema:instance_error()}
    | {missing_header | repeated_header | malformed_header | mismatched_header, binary()}.
-type rpc_opts() :: #{
    params => built | raw,
    result => built | raw,
    dialect => json_rpc | mcp,
    max_size => pos_integer() | infinity,
    max_depth => pos_integer() | infinity,
    max_digits => pos_integer() | infinity,
    max_batch => non_neg_integer() | infinity,
    schemas => #{Tool :: binary() => erlmcp_native_schema:schema()},
    keys => binary | existing_atom | {atoms, [atom()]},
    objects => map | proplist | tuple,
    null => term(),
    duplicate_keys => first | last | error,
    strings => auto | copy | reference
}.
%% `params': `raw' gives the parameters as the part of the text that they are, checked but not
%% decoded; it refers to the text and keeps it alive. Default `built'.
%% `result': likewise for results and for the data of error responses.
%% `dialect': whose rules apply where they differ. `mcp': ids are strings or integers, parameters
%% and results objects; an error response may lack its id. Default `json_rpc'.
%% `max_size': bytes of the text; default 16 MiB.
%% `max_depth': open arrays and objects, those of the message included; default 512.
%% `max_digits': digits of an integer beyond 64 bits; default 1,000.
%% `max_batch': messages in a batch, 0 to refuse batches; default 1,000.
%% `schemas': the `arguments' of a `tools/call' request are validated against the schema of that
%% tool, if there is one. Of equal keys the first is validated, so that `duplicate_keys' may not be
%% `last' then.
%% The others are those of `erlmcp_native_json:decode/2', for parameters, results and error data.

-type params() :: map() | list() | {json, iodata()} | undefined.
%% `undefined' leaves the member out; `{json, Text}' is text that is ready.

-type peek() :: #{
    kind := request | notification | response | error_response | batch | invalid,
    id => id(),
    method => binary(),
    tool => binary(),
    uri => binary(),
    name => binary(),
    progress_token => binary() | integer() | float(),
    code => integer(),
    reason => reason(),
    reply => binary()
}.
%% `id' is there for requests, responses and invalid messages, `method' for requests and
%% notifications. `tool' is the name in `tools/call', `name' that in `prompts/get', `uri' that of a
%% resource to read, to subscribe to or to unsubscribe from. `progress_token' is the one of
%% `params._meta', and of `params' in a progress notification. The last three tell what is wrong
%% with an invalid message.

-define(MAX_SIZE, 16_777_216).
%% Equal to the defaults in native/nif/src/rpc/decode.rs.
-define(MAX_DEPTH, 512).
-define(MAX_DIGITS, 1000).
-define(MAX_BATCH, 1000).

-define(RAW_PARAMS, 1).
-define(RAW_RESULT, 2).
-define(MCP, 4).

%% The envelopes of native/nif/src/rpc/encode.rs.
-define(REQUEST, 0).
-define(BARE_REQUEST, 1).
-define(NOTIFICATION, 2).
-define(BARE_NOTIFICATION, 3).
-define(RESPONSE, 4).
-define(ERROR, 5).
-define(ERROR_WITH_DATA, 6).

-define(IS_ID(Id), (is_binary(Id) orelse is_number(Id) orelse Id =:= null)).
-define(IS_PARAMS(Params),
    (is_map(Params) orelse is_list(Params) orelse
        (tuple_size(Params) =:= 2 andalso element(1, Params) =:= json))
).

?DOC("""
As `decode/2` with the default options.
""").
-spec decode(iodata()) -> message().
decode(Text) ->
    decode(Text, #{}).

?DOC("""
The message, or the batch of messages, that a text is.

It never fails for what is in the text: `{invalid, Id, Code, Reason, Reply}` says what is wrong,
and `Reply` is the JSON text to answer with. Codes are -32700 where the text is no JSON or beyond
a limit of depth or digits, -32600 where the JSON is no message, and -32012 where the text is
larger than `max_size`. Invalid messages of a batch stand in their places with a reply each.

Arguments that do not fit the schema of their tool make a request invalid, with code -32602 and the
violations as the data of the reply. (From the revision 2025-11-25 on, MCP wants them reported to
the model instead: as a result with `isError`, made of the violations in the reason.)

Of equal members of a message the first counts; members that JSON-RPC does not know are ignored.
""").
-spec decode(iodata(), rpc_opts()) -> message().
decode(Text, Opts) when
    is_binary(Text), map_size(Opts) =:= 0, byte_size(Text) =< ?MAX_SIZE
->
    erlmcp_native_nif:rpc_decode(Text, erlmcp_native_nif:vocabulary(), 0);
decode(Text, #{params := raw} = Opts) when
    is_binary(Text), map_size(Opts) =:= 1, byte_size(Text) =< ?MAX_SIZE
->
    erlmcp_native_nif:rpc_decode(Text, erlmcp_native_nif:vocabulary(), ?RAW_PARAMS);
decode(Text, #{dialect := mcp} = Opts) when
    is_binary(Text), map_size(Opts) =:= 1, byte_size(Text) =< ?MAX_SIZE
->
    erlmcp_native_nif:rpc_decode(Text, erlmcp_native_nif:vocabulary(), ?MCP);
decode(Text, #{dialect := mcp, params := raw} = Opts) when
    is_binary(Text), map_size(Opts) =:= 2, byte_size(Text) =< ?MAX_SIZE
->
    erlmcp_native_nif:rpc_decode(Text, erlmcp_native_nif:vocabulary(), ?MCP bor ?RAW_PARAMS);
decode(Text, Opts) ->
    Call = {?MODULE, decode, [Text, Opts]},
    {Options, MaxSize} = options(Opts, Call),
    case size_of(1, Text, Call) of
        Size when Size > MaxSize ->
            too_large(MaxSize);
        _ ->
            try
                erlmcp_native_nif:rpc_decode(
                    iolist_to_binary(Text), erlmcp_native_nif:vocabulary(), Options
                )
            of
                Decoded -> with_replies(Decoded, Opts)
            catch
                error:badarg -> erlmcp_native_error:badarg(Call, 2, "schemas: not a schema")
            end
    end.

%% The replies to arguments that do not fit are not made in the NIF.
with_replies({batch, Messages}, #{schemas := _} = Opts) ->
    {batch, [with_replies(Message, Opts) || Message <- Messages]};
with_replies({invalid, Id, Code, {invalid_arguments, Why} = Reason, undefined}, _Opts) ->
    Data =
        case Why of
            [_ | _] -> Why;
            _ -> iolist_to_binary(io_lib:format("~0tp", [Why]))
        end,
    Reply = iolist_to_binary(encode_error(Id, Code, <<"Invalid params">>, Data)),
    {invalid, Id, Code, Reason, Reply};
with_replies(Message, _Opts) ->
    Message.

?DOC("""
What routing needs to know of a message, without building the rest; the whole text is checked.
Limits and rules are the defaults of `decode/2`.
""").
-spec peek(iodata()) -> peek().
peek(Text) when is_binary(Text), byte_size(Text) =< ?MAX_SIZE ->
    case erlmcp_native_nif:rpc_peek(Text, erlmcp_native_nif:vocabulary()) of
        Peek when is_map(Peek) -> Peek;
        Invalid -> peek_invalid(Invalid)
    end;
peek(Text) ->
    case size_of(1, Text, {?MODULE, peek, [Text]}) of
        Size when Size > ?MAX_SIZE -> peek_invalid(too_large(?MAX_SIZE));
        _ -> peek(iolist_to_binary(Text))
    end.

peek_invalid({invalid, Id, Code, Reason, Reply}) ->
    #{kind => invalid, id => Id, code => Code, reason => Reason, reply => Reply}.

?DOC("""
Whether the headers of an HTTP request agree with its body, as the revision 2026-07-28 of MCP
demands. Names are compared without case; of a list, pairs whose name is none of the three below
are passed over.

- `Mcp-Method` must be there for a request and equal `method`; for a notification it may be
  missing.
- `Mcp-Name` must be there for the requests `tools/call` and `prompts/get`, and equal
  `params.name`, and for `resources/read`, and equal `params.uri`. It may come as
  `=?base64?...?=`.
- `MCP-Protocol-Version` must equal `params._meta["io.modelcontextprotocol/protocolVersion"]`
  where both are there. Whether it must be there depends on the revisions that a server speaks,
  and is the caller's to check.

The error says what is wrong and has the reply, which belongs to HTTP status 400: with code -32020
and a reason like `{missing_header, Name}`, `{repeated_header, Name}`, `{malformed_header, Name}`
or `{mismatched_header, Name}`; or what `decode/2` says of a body that is no message under the
rules of MCP; or `not_a_request` for a response or a batch.
""").
-spec headers_match(Headers, Body :: iodata()) -> ok | {error, invalid()} when
    Headers :: [{Name :: binary(), Value :: binary()}] | #{Name :: binary() => Value :: binary()}.
headers_match(Headers, Body) when is_binary(Body), byte_size(Body) =< ?MAX_SIZE ->
    {Method, Name, Version} =
        try
            mcp_headers(Headers, undefined, undefined, undefined)
        catch
            error:_ ->
                Call = {?MODULE, headers_match, [Headers, Body]},
                erlmcp_native_error:badarg(Call, 1, "not pairs of binaries")
        end,
    case
        erlmcp_native_nif:rpc_headers_match(
            Body, erlmcp_native_nif:vocabulary(), Method, Name, Version
        )
    of
        ok -> ok;
        Invalid -> {error, Invalid}
    end;
headers_match(Headers, Body) ->
    case size_of(2, Body, {?MODULE, headers_match, [Headers, Body]}) of
        Size when Size > ?MAX_SIZE -> {error, too_large(?MAX_SIZE)};
        _ -> headers_match(Headers, iolist_to_binary(Body))
    end.

%% The three headers: a binary, undefined or repeated.
mcp_headers([{<<"mcp-method">>, Value} | Rest], Method, Name, Version) ->
    mcp_headers(Rest, once(Method, Value), Name, Version);
mcp_headers([{<<"mcp-name">>, Value} | Rest], Method, Name, Version) ->
    mcp_headers(Rest, Method, once(Name, Value), Version);
mcp_headers([{<<"mcp-protocol-version">>, Value} | Rest], Method, Name, Version) ->
    mcp_headers(Rest, Method, Name, once(Version, Value));
mcp_headers([{Key, Value} | Rest], Method, Name, Version) when
    byte_size(Key) =:= 10; byte_size(Key) =:= 8; byte_size(Key) =:= 20
->
    case lowercase(Key) of
        Key -> mcp_headers(Rest, Method, Name, Version);
        Lower -> mcp_headers([{Lower, Value} | Rest], Method, Name, Version)
    end;
mcp_headers([{Key, _} | Rest], Method, Name, Version) when is_binary(Key) ->
    mcp_headers(Rest, Method, Name, Version);
mcp_headers([], Method, Name, Version) ->
    {Method, Name, Version};
mcp_headers(Headers, undefined, undefined, undefined) when is_map(Headers) ->
    mcp_headers(maps:to_list(Headers), undefined, undefined, undefined).

once(undefined, Value) when is_binary(Value) -> Value;
once(_, Value) when is_binary(Value) -> repeated.

lowercase(Key) ->
    <<<<(lowercase_letter(Byte))>> || <<Byte>> <= Key>>.

lowercase_letter(Byte) when Byte >= $A, Byte =< $Z -> Byte + 32;
lowercase_letter(Byte) -> Byte.

too_large(MaxSize) ->
    Size = integer_to_binary(MaxSize),
    Reply = <<
        "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32012,"
        "\"message\":\"Message size exceeds maximum allowed\",\"data\":{\"maxSize\":",
        Size/binary,
        ",\"unit\":\"bytes\",\"maxSizeReadable\":\"",
        (readable(MaxSize))/binary,
        "\"}},\"id\":null}"
    >>,
    {invalid, null, -32012, {max_size, MaxSize}, Reply}.

readable(Bytes) when Bytes < 1024 -> <<(integer_to_binary(Bytes))/binary, " B">>;
readable(Bytes) when Bytes < 1 bsl 20 -> in(Bytes / 1024, <<" KB">>);
readable(Bytes) when Bytes < 1 bsl 30 -> in(Bytes / (1 bsl 20), <<" MB">>);
readable(Bytes) -> in(Bytes / (1 bsl 30), <<" GB">>).

in(Number, Unit) ->
    <<(float_to_binary(Number, [{decimals, 2}]))/binary, Unit/binary>>.

?DOC("""
The text of a request. Terms are written as `erlmcp_native_json:encode/1` does, and with its errors;
wherever a value may stand, `{json, Text}` is text that is ready: it is not looked at, not copied
and becomes a part of the result as it is.
""").
-spec encode_request(id(), Method :: binary(), params()) -> iodata().
encode_request(Id, Method, undefined) when ?IS_ID(Id), is_binary(Method) ->
    encode(?BARE_REQUEST, {Id, Method}, {?MODULE, encode_request, [Id, Method, undefined]});
encode_request(Id, Method, Params) when ?IS_ID(Id), is_binary(Method), ?IS_PARAMS(Params) ->
    encode(?REQUEST, {Id, Method, Params}, {?MODULE, encode_request, [Id, Method, Params]});
encode_request(Id, Method, Params) ->
    Wrong = wrong_id(1, Id, wrong_text(2, Method, wrong_params(3, Params, #{}))),
    badarg({?MODULE, encode_request, [Id, Method, Params]}, Wrong).

?DOC("""
The text of a notification. See `encode_request/3`.
""").
-spec encode_notification(Method :: binary(), params()) -> iodata().
encode_notification(Method, undefined) when is_binary(Method) ->
    encode(?BARE_NOTIFICATION, {Method}, {?MODULE, encode_notification, [Method, undefined]});
encode_notification(Method, Params) when is_binary(Method), ?IS_PARAMS(Params) ->
    encode(?NOTIFICATION, {Method, Params}, {?MODULE, encode_notification, [Method, Params]});
encode_notification(Method, Params) ->
    Wrong = wrong_text(1, Method, wrong_params(2, Params, #{})),
    badarg({?MODULE, encode_notification, [Method, Params]}, Wrong).

?DOC("""
The text of a successful response. A result `{json, Text}` costs next to nothing. See
`encode_request/3`.
""").
-spec encode_response(id(), Result :: term()) -> iodata().
encode_response(Id, {json, Result}) when is_integer(Id) ->
    [
        <<"{\"jsonrpc\":\"2.0\",\"id\":">>,
        integer_to_binary(Id),
        <<",\"result\":">>,
        Result
        | <<"}">>
    ];
encode_response(Id, {json, Result} = Fragment) when is_binary(Id), byte_size(Id) =< 64 ->
    case is_plain(Id) of
        true ->
            [
                <<"{\"jsonrpc\":\"2.0\",\"id\":\"">>,
                Id,
                <<"\",\"result\":">>,
                Result
                | <<"}">>
            ];
        false ->
            encode(?RESPONSE, {Id, Fragment}, {?MODULE, encode_response, [Id, Fragment]})
    end;
encode_response(Id, Result) when ?IS_ID(Id) ->
    encode(?RESPONSE, {Id, Result}, {?MODULE, encode_response, [Id, Result]});
encode_response(Id, Result) ->
    badarg({?MODULE, encode_response, [Id, Result]}, wrong_id(1, Id, #{})).

%% ASCII that needs no escape.
is_plain(<<A, B, C, D, Rest/binary>>) when
    A >= $\s, A < 127, A =/= $", A =/= $\\,
    B >= $\s, B < 127, B =/= $", B =/= $\\,
    C >= $\s, C < 127, C =/= $", C =/= $\\,
    D >= $\s, D < 127, D =/= $", D =/= $\\
->
    is_plain(Rest);
is_plain(<<A, Rest/binary>>) when A >= $\s, A < 127, A =/= $", A =/= $\\ ->
    is_plain(Rest);
is_plain(Rest) ->
    Rest =:= <<>>.

?DOC("""
As `encode_error/4` without data.
""").
-spec encode_error(id(), Code :: integer(), Message :: binary()) -> iodata().
encode_error(Id, Code, Message) when ?IS_ID(Id), is_integer(Code), is_binary(Message) ->
    encode(?ERROR, {Id, Code, Message}, {?MODULE, encode_error, [Id, Code, Message]});
encode_error(Id, Code, Message) ->
    badarg({?MODULE, encode_error, [Id, Code, Message]}, wrong_error(Id, Code, Message)).

?DOC("""
The text of an error response; the data `undefined` is left out. See `encode_request/3`.
""").
-spec encode_error(id(), Code :: integer(), Message :: binary(), Data :: term()) -> iodata().
encode_error(Id, Code, Message, undefined) ->
    encode_error(Id, Code, Message);
encode_error(Id, Code, Message, Data) when ?IS_ID(Id), is_integer(Code), is_binary(Message) ->
    Call = {?MODULE, encode_error, [Id, Code, Message, Data]},
    encode(?ERROR_WITH_DATA, {Id, Code, Message, Data}, Call);
encode_error(Id, Code, Message, Data) ->
    Wrong = wrong_error(Id, Code, Message),
    badarg({?MODULE, encode_error, [Id, Code, Message, Data]}, Wrong).

?DOC("""
The text of a batch: messages as `decode/2` gives them, of which an invalid one is written as its
reply. A batch has at least one message, and none of them is a batch.
""").
-spec encode_batch([message(), ...]) -> iodata().
encode_batch([First | Rest] = Messages) when length(Rest) >= 0 ->
    try
        [$[, encode_message(First), [[$,, encode_message(Message)] || Message <- Rest] | "]"]
    catch
        throw:{no_message, Term} ->
            Cause = io_lib:format("no message: ~0tP", [Term, 10]),
            erlmcp_native_error:badarg({?MODULE, encode_batch, [Messages]}, 1, Cause)
    end;
encode_batch(Messages) ->
    erlmcp_native_error:badarg({?MODULE, encode_batch, [Messages]}, 1, "not a list of messages").

encode_message({request, Id, Method, Params}) -> encode_request(Id, Method, Params);
encode_message({notification, Method, Params}) -> encode_notification(Method, Params);
encode_message({response, Id, Result}) -> encode_response(Id, Result);
encode_message({error_response, Id, Code, Message, Data}) -> encode_error(Id, Code, Message, Data);
encode_message({invalid, _Id, _Code, _Reason, Reply}) when is_binary(Reply) -> Reply;
encode_message(Term) -> throw({no_message, Term}).

encode(Envelope, Values, Call) ->
    case erlmcp_native_nif:rpc_encode(Envelope, Values) of
        Text when is_binary(Text) -> Text;
        Other -> erlmcp_native_json:filled(Other, none, Call)
    end.

-spec badarg(erlmcp_native_error:call(), #{pos_integer() => binary()}) -> no_return().
badarg(Call, Wrong) ->
    erlmcp_native_error:raise(Call, badarg, Wrong).

wrong_error(Id, Code, Message) ->
    Wrong = wrong_id(1, Id, wrong_text(3, Message, #{})),
    case is_integer(Code) of
        true -> Wrong;
        false -> Wrong#{2 => <<"not an integer">>}
    end.

wrong_id(_Position, Id, Wrong) when ?IS_ID(Id) -> Wrong;
wrong_id(Position, _Id, Wrong) -> Wrong#{Position => <<"not a binary, a number or null">>}.

wrong_text(_Position, Text, Wrong) when is_binary(Text) -> Wrong;
wrong_text(Position, _Text, Wrong) -> Wrong#{Position => <<"not a binary">>}.

wrong_params(_Position, Params, Wrong) when Params =:= undefined; ?IS_PARAMS(Params) -> Wrong;
wrong_params(Position, _Params, Wrong) ->
    Wrong#{Position => <<"not a map, a list, {json, Text} or undefined">>}.

%% What the NIF takes, and the largest text.
options(Opts, Call) when is_map(Opts) ->
    {Flags, MaxBatch, Schemas, Json} =
        own_options(maps:to_list(Opts), {0, ?MAX_BATCH, none, #{}}, Call),
    case Json of
        #{duplicate_keys := last} when Schemas =/= none ->
            %% What was validated would not be what is given.
            erlmcp_native_error:bad_option(Call, 2, duplicate_keys, last);
        _ when map_size(Json) =:= 0 ->
            {{Flags, MaxBatch, default, Schemas}, ?MAX_SIZE};
        _ ->
            Defaults = #{max_size => ?MAX_SIZE, max_depth => ?MAX_DEPTH, max_digits => ?MAX_DIGITS},
            {Decode, MaxSize} =
                erlmcp_native_json:decode_options(maps:merge(Defaults, Json), 2, Call),
            {{Flags, MaxBatch, Decode, Schemas}, MaxSize}
    end;
options(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a map of options").

own_options([], Own, _Call) ->
    Own;
own_options([{Key, Value} | Rest], {Flags, Batch, Schemas, Json}, Call) ->
    Own =
        case {Key, Value} of
            {params, built} -> {Flags, Batch, Schemas, Json};
            {params, raw} -> {Flags bor ?RAW_PARAMS, Batch, Schemas, Json};
            {result, built} -> {Flags, Batch, Schemas, Json};
            {result, raw} -> {Flags bor ?RAW_RESULT, Batch, Schemas, Json};
            {dialect, json_rpc} -> {Flags, Batch, Schemas, Json};
            {dialect, mcp} -> {Flags bor ?MCP, Batch, Schemas, Json};
            {max_batch, infinity} -> {Flags, -1, Schemas, Json};
            %% The NIF takes limits of 64 bits; what is beyond them is no limit.
            {max_batch, Max} when is_integer(Max), Max >= 1 bsl 63 -> {Flags, -1, Schemas, Json};
            {max_batch, Max} when is_integer(Max), Max >= 0 -> {Flags, Max, Schemas, Json};
            %% Whether the values are schemas shows when one is used.
            {schemas, Map} when is_map(Map) -> {Flags, Batch, Map, Json};
            _ when
                Key =:= params; Key =:= result; Key =:= dialect; Key =:= max_batch; Key =:= schemas;
                %% Nothing may follow a message.
                Key =:= trailing
            ->
                erlmcp_native_error:bad_option(Call, 2, Key, Value);
            _ ->
                {Flags, Batch, Schemas, Json#{Key => Value}}
        end,
    own_options(Rest, Own, Call).

size_of(At, Text, Call) ->
    try
        iolist_size(Text)
    catch
        error:badarg -> erlmcp_native_error:badarg(Call, At, "not iodata")
    end.

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
