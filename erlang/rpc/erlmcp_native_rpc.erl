-module(erlmcp_native_rpc).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
JSON-RPC 2.0, with what the Model Context Protocol (MCP) adds and narrows.

`decode/2` goes in one native call from bytes to a classified message. A message that cannot be
taken comes with the error reply that is to be sent for it.
""").

-export([decode/1, decode/2, peek/1, headers_match/2]).
-export_type([id/0, message/0, invalid/0, reason/0, rpc_opts/0, peek/0]).

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
    | {missing_header | repeated_header | malformed_header | mismatched_header, binary()}.
-type rpc_opts() :: #{
    params => built | raw,
    result => built | raw,
    dialect => json_rpc | mcp,
    max_size => pos_integer() | infinity,
    max_depth => pos_integer() | infinity,
    max_digits => pos_integer() | infinity,
    max_batch => non_neg_integer() | infinity,
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
%% The others are those of `erlmcp_native_json:decode/2', for parameters, results and error data.

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
decode(Text, Opts) ->
    Call = {?MODULE, decode, [Text, Opts]},
    {Options, MaxSize} = options(Opts, Call),
    case size_of(Text, Call) of
        Size when Size > MaxSize ->
            too_large(MaxSize);
        _ ->
            erlmcp_native_nif:rpc_decode(
                iolist_to_binary(Text), erlmcp_native_nif:vocabulary(), Options
            )
    end.

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
    case size_of(Text, [Text]) of
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
            error:_ -> badarg([Headers, Body], #{1 => <<"not pairs of binaries">>})
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
    case size_of(Body, [Headers, Body]) of
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

%% What the NIF takes, and the largest text.
options(Opts, Call) when is_map(Opts) ->
    Own = [params, result, dialect, max_batch],
    [
        erlmcp_native_error:bad_option(Call, 2, Key, Value)
     || {Key, Value} <- maps:to_list(maps:with([trailing | Own], Opts)),
        not is_own_option(Key, Value)
    ],
    Defaults = #{max_size => ?MAX_SIZE, max_depth => ?MAX_DEPTH, max_digits => ?MAX_DIGITS},
    Json = maps:merge(Defaults, maps:without(Own, Opts)),
    {Decode, MaxSize} = erlmcp_native_json:decode_options(Json, 2, Call),
    Flag = fun(Key, Value, Bit) ->
        case Opts of
            #{Key := Value} -> Bit;
            #{} -> 0
        end
    end,
    Flags =
        Flag(params, raw, ?RAW_PARAMS) bor Flag(result, raw, ?RAW_RESULT) bor
            Flag(dialect, mcp, ?MCP),
    {{Flags, batch_limit(maps:get(max_batch, Opts, ?MAX_BATCH)), Decode}, MaxSize};
options(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a map of options").

is_own_option(params, Value) -> lists:member(Value, [built, raw]);
is_own_option(result, Value) -> lists:member(Value, [built, raw]);
is_own_option(dialect, Value) -> lists:member(Value, [json_rpc, mcp]);
is_own_option(max_batch, infinity) -> true;
is_own_option(max_batch, Value) -> is_integer(Value) andalso Value >= 0;
%% Nothing may follow a message.
is_own_option(trailing, _) -> false.

batch_limit(Limit) when is_integer(Limit), Limit < 1 bsl 63 -> Limit;
batch_limit(_) -> -1.

size_of(Text, Call) ->
    try
        iolist_size(Text)
    catch
        error:badarg -> erlmcp_native_error:badarg(Call, 1, "not iodata")
    end.
