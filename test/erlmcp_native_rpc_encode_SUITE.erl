%% JSON-RPC through the door: encoding, and what routing needs.
-module(erlmcp_native_rpc_encode_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([
    encode_and_decode/1,
    encode_texts/1,
    ready_results_are_not_copied/1,
    encode_batches/1,
    encode_errors/1,
    peek/1,
    headers/1
]).

-define(RPC, erlmcp_native_rpc).
-define(V, "\"jsonrpc\":\"2.0\"").

all() ->
    [
        encode_and_decode,
        encode_texts,
        ready_results_are_not_copied,
        encode_batches,
        encode_errors,
        peek,
        headers
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

%%% Encoding

encode_and_decode(_) ->
    Values = [
        #{},
        [],
        #{<<"a">> => [1, -1.5, null, true, <<"é\"\\"/utf8>>]},
        [#{<<"b">> => #{}} | lists:seq(1, 100)]
    ],
    Messages =
        [{request, 1, <<"a">>, Params} || Params <- [undefined | Values]] ++
            [{notification, <<"a\n">>, Params} || Params <- [undefined | Values]] ++
            [{response, <<"x">>, Result} || Result <- [1, null, <<>> | Values]] ++
            [
                {error_response, Id, -32000, <<"m\t">>, Data}
             || Data <- [undefined, null, 7 | Values], Id <- [null, 1, <<"é"/utf8>>]
            ],
    [?assertEqual(Message, ?RPC:decode(encode(Message))) || Message <- Messages],
    ?assertEqual({batch, Messages}, ?RPC:decode(?RPC:encode_batch(Messages))).

encode({request, Id, Method, Params}) -> ?RPC:encode_request(Id, Method, Params);
encode({notification, Method, Params}) -> ?RPC:encode_notification(Method, Params);
encode({response, Id, Result}) -> ?RPC:encode_response(Id, Result);
encode({error_response, Id, Code, Message, Data}) -> ?RPC:encode_error(Id, Code, Message, Data).

encode_texts(_) ->
    [
        ?assertEqual(Expected, iolist_to_binary(Text))
     || {Text, Expected} <- [
            {?RPC:encode_request(1, <<"a">>, undefined), <<"{", ?V, ",\"id\":1,\"method\":\"a\"}">>},
            {?RPC:encode_request(<<"x">>, <<"a">>, [1]),
                <<"{", ?V, ",\"id\":\"x\",\"method\":\"a\",\"params\":[1]}">>},
            {?RPC:encode_request(null, <<"a">>, {json, ["{\"b\"", $:, <<"1}">>]}),
                <<"{", ?V, ",\"id\":null,\"method\":\"a\",\"params\":{\"b\":1}}">>},
            {?RPC:encode_notification(<<"a">>, undefined), <<"{", ?V, ",\"method\":\"a\"}">>},
            {?RPC:encode_notification(<<"a">>, {json, <<"{}">>}),
                <<"{", ?V, ",\"method\":\"a\",\"params\":{}}">>},
            {?RPC:encode_response(1, {json, <<"[]">>}), <<"{", ?V, ",\"id\":1,\"result\":[]}">>},
            {?RPC:encode_response(-1, {json, "[]"}), <<"{", ?V, ",\"id\":-1,\"result\":[]}">>},
            {?RPC:encode_response(null, {json, "[]"}), <<"{", ?V, ",\"id\":null,\"result\":[]}">>},
            {?RPC:encode_response(1.5, {json, "[]"}), <<"{", ?V, ",\"id\":1.5,\"result\":[]}">>},
            {?RPC:encode_response(<<"ab\"c">>, {json, <<"[]">>}),
                <<"{", ?V, ",\"id\":\"ab\\\"c\",\"result\":[]}">>},
            {?RPC:encode_response(<<"abcdefg">>, {json, <<"[]">>}),
                <<"{", ?V, ",\"id\":\"abcdefg\",\"result\":[]}">>},
            {?RPC:encode_response(<<"é"/utf8>>, {json, <<"[]">>}),
                <<"{", ?V, ",\"id\":\"é\",\"result\":[]}"/utf8>>},
            {?RPC:encode_response(1, #{<<"a">> => {json, <<"[0]">>}}),
                <<"{", ?V, ",\"id\":1,\"result\":{\"a\":[0]}}">>},
            {?RPC:encode_error(1, -32601, <<"m">>),
                <<"{", ?V, ",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"m\"}}">>},
            {?RPC:encode_error(1, -32601, <<"m">>, undefined),
                <<"{", ?V, ",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"m\"}}">>},
            {?RPC:encode_error(1, 2, <<"m">>, {json, "[]"}),
                <<"{", ?V, ",\"id\":1,\"error\":{\"code\":2,\"message\":\"m\",\"data\":[]}}">>}
        ]
    ],
    %% Each byte that a string may have, as an id: written as it is or escaped, it comes back.
    [
        ?assertEqual({response, Id, 1}, ?RPC:decode(?RPC:encode_response(Id, {json, <<"1">>})))
     || Byte <- lists:seq(0, 127),
        Before <- [0, 1, 2, 3, 4, 63],
        Id <- [<<(binary:copy(<<"a">>, Before))/binary, Byte>>]
    ].

ready_results_are_not_copied(_) ->
    Result = binary:copy(<<"\"0123456789\"">>, 100),
    [
        ?assert(has_same(Result, Text))
     || Text <- [
            ?RPC:encode_response(1, {json, Result}),
            ?RPC:encode_response(<<"abc">>, {json, Result}),
            ?RPC:encode_response(<<"a\"c">>, {json, Result}),
            ?RPC:encode_response(null, {json, [Result]}),
            ?RPC:encode_response(1, [#{<<"a">> => {json, Result}}]),
            ?RPC:encode_request(1, <<"a">>, {json, Result}),
            ?RPC:encode_notification(<<"a">>, {json, Result}),
            ?RPC:encode_error(1, 1, <<"a">>, {json, Result}),
            ?RPC:encode_batch([{response, 1, {json, Result}}, {response, 2, 1}])
        ]
    ],
    ?assertNot(has_same(Result, ?RPC:encode_response(1, {json, binary:copy(Result)}))).

%% Whether the very term is a part of the iodata.
has_same(Term, [Head | Tail]) -> has_same(Term, Head) orelse has_same(Term, Tail);
has_same(Term, Other) -> erts_debug:same(Term, Other).

encode_batches(_) ->
    Invalid = ?RPC:decode(<<"{}">>),
    {invalid, null, -32600, _, Reply} = Invalid,
    ?assertEqual(
        <<"[{", ?V, ",\"id\":1,\"result\":1},", Reply/binary, ",{", ?V, ",\"method\":\"a\"}]">>,
        iolist_to_binary(
            ?RPC:encode_batch([{response, 1, 1}, Invalid, {notification, <<"a">>, undefined}])
        )
    ),
    ?assertEqual(
        <<"[", Reply/binary, "]">>, iolist_to_binary(?RPC:encode_batch([Invalid]))
    ).

encode_errors(_) ->
    ?assertError({unsupported_type, _}, ?RPC:encode_response(1, self())),
    ?assertError({unsupported_type, {a}}, ?RPC:encode_request(1, <<"a">>, [{a}])),
    ?assertError({invalid_byte, 255}, ?RPC:encode_notification(<<255>>, undefined)),
    ?assertError({invalid_byte, 255}, ?RPC:encode_response(<<255>>, {json, <<"1">>})),
    ?assertError({invalid_byte, 255}, ?RPC:encode_error(1, 1, <<"a", 255>>)),
    ?assertError({unsupported_type, _}, ?RPC:encode_error(1, 1, <<"a">>, make_ref())),
    ?assertError({unsupported_type, _}, ?RPC:encode_batch([{response, 1, self()}])),
    ?assertError(badarg, ?RPC:encode_batch([{response, 1, 1}, {response, 2, 2} | {response, 3, 3}])).

%%% Routing

peek(_) ->
    Call = fun(Method, Params) ->
        ?RPC:peek(?RPC:encode_request(7, Method, Params))
    end,
    Common = fun(Method, More) -> maps:merge(#{kind => request, id => 7, method => Method}, More) end,
    Full = #{
        <<"name">> => <<"n">>,
        <<"uri">> => <<"u">>,
        <<"arguments">> => #{<<"name">> => 1, <<"_meta">> => #{<<"progressToken">> => 1}},
        <<"_meta">> => #{<<"progressToken">> => <<"t">>},
        <<"progressToken">> => 5
    },
    [
        ?assertEqual(Common(Method, More#{progress_token => <<"t">>}), Call(Method, Full))
     || {Method, More} <- [
            {<<"tools/call">>, #{tool => <<"n">>}},
            {<<"prompts/get">>, #{name => <<"n">>}},
            {<<"resources/read">>, #{uri => <<"u">>}},
            {<<"resources/subscribe">>, #{uri => <<"u">>}},
            {<<"resources/unsubscribe">>, #{uri => <<"u">>}},
            {<<"tools/list">>, #{}},
            {<<"x">>, #{}}
        ]
    ],
    ?assertEqual(
        #{kind => notification, method => <<"notifications/progress">>, progress_token => 5},
        ?RPC:peek(?RPC:encode_notification(<<"notifications/progress">>, Full))
    ),
    %% What has another type is not there.
    [
        ?assertEqual(Common(<<"tools/call">>, #{}), Call(<<"tools/call">>, Params))
     || Params <- [
            undefined,
            [],
            [<<"name">>],
            #{},
            #{<<"name">> => 1, <<"_meta">> => 5},
            #{<<"name">> => null, <<"_meta">> => #{<<"progressToken">> => null}},
            #{<<"name">> => [], <<"_meta">> => [#{<<"progressToken">> => 1}]},
            #{<<"_meta">> => #{<<"progressToken">> => #{<<"progressToken">> => 1}}}
        ]
    ],
    [
        ?assertEqual(
            Common(<<"a">>, #{progress_token => Token}),
            Call(<<"a">>, #{<<"_meta">> => #{<<"progressToken">> => Token}})
        )
     || Token <- [0, -1, 1 bsl 64, 1.5, <<>>, <<"é"/utf8>>, binary:copy(<<"x">>, 300)]
    ],
    ?assertEqual(#{kind => response, id => <<"a">>}, ?RPC:peek(?RPC:encode_response(<<"a">>, 1))),
    ?assertEqual(
        #{kind => error_response, id => null}, ?RPC:peek(?RPC:encode_error(null, 1, <<>>, Full))
    ),
    ?assertEqual(#{kind => batch}, ?RPC:peek(<<"[1,2]">>)),
    ?assertMatch(
        #{kind := invalid, id := 3, code := -32600, reason := missing_jsonrpc, reply := _},
        ?RPC:peek(<<"{\"id\":3,\"method\":\"a\"}">>)
    ),
    ?assertMatch(
        #{kind := invalid, id := null, code := -32700, reason := {parse_error, unexpected_end, 1}},
        ?RPC:peek(<<"{">>)
    ),
    %% In any order, the first of equal members, escapes resolved.
    ?assertEqual(
        #{kind => request, id => 1, method => <<"tools/call">>, tool => <<"a\n">>, progress_token => 2},
        ?RPC:peek(
            <<"{\"params\":{\"_meta\":{\"x\":{},\"progressToken\":2},\"n\\u0061me\":\"a\\n\",",
                "\"name\":\"b\",\"_meta\":{\"progressToken\":3}},\"method\":\"tools\\/call\",\"id\":1,", ?V,
                "}">>
        )
    ).

headers(_) ->
    Body = fun(Method, Params) -> iolist_to_binary(?RPC:encode_request(1, Method, Params)) end,
    Call = Body(<<"tools/call">>, #{<<"name">> => <<"get">>}),
    Method = {<<"Mcp-Method">>, <<"tools/call">>},
    Name = {<<"Mcp-Name">>, <<"get">>},
    Fails = fun(Headers, Text) ->
        case ?RPC:headers_match(Headers, Text) of
            ok ->
                ok;
            {error, {invalid, Id, -32020, Reason, Reply}} ->
                #{<<"error">> := Error, <<"id">> := Id} = erlmcp_native_json:decode(Reply),
                ?assertMatch(
                    #{<<"code">> := -32020, <<"message">> := <<"Header mismatch: ", _/binary>>}, Error
                ),
                Reason
        end
    end,
    [
        ?assertEqual(Expected, Fails(Headers, Call), Headers)
     || {Headers, Expected} <- [
            {[Method, Name], ok},
            {#{<<"mcp-method">> => <<"tools/call">>, <<"mcp-name">> => <<"get">>}, ok},
            {[{<<"host">>, <<"x">>}, {<<"MCP-METHOD">>, <<"tools/call">>}, {<<"x-header-of-20-bytes">>, <<>>},
                {<<"mcp-NAME">>, <<"get">>}, {<<"accepted">>, <<"1">>}], ok},
            {[Method, {<<"mcp-name">>, <<"=?base64?Z2V0?=">>}], ok},
            {[Method, {<<"mcp-name">>, <<" get\t">>}], ok},
            {[], {missing_header, <<"Mcp-Method">>}},
            {[Name], {missing_header, <<"Mcp-Method">>}},
            {[Method], {missing_header, <<"Mcp-Name">>}},
            {[Method, Method, Name], {repeated_header, <<"Mcp-Method">>}},
            {[Method, Name, {<<"mcp-name">>, <<"get">>}], {repeated_header, <<"Mcp-Name">>}},
            {[{<<"mcp-method">>, <<"tools/Call">>}, Name], {mismatched_header, <<"Mcp-Method">>}},
            {[Method, {<<"mcp-name">>, <<"Get">>}], {mismatched_header, <<"Mcp-Name">>}},
            {[Method, {<<"mcp-name">>, <<>>}], {mismatched_header, <<"Mcp-Name">>}},
            {[Method, {<<"mcp-name">>, <<"=?base64?Z2V?=">>}], {malformed_header, <<"Mcp-Name">>}},
            {[Method, {<<"mcp-name">>, <<"=?BASE64?Z2V0?=">>}], {mismatched_header, <<"Mcp-Name">>}},
            {[Method, {<<"mcp-name">>, <<"g\net">>}], {malformed_header, <<"Mcp-Name">>}},
            {[Method, {<<"mcp-name">>, <<"gét"/utf8>>}], {malformed_header, <<"Mcp-Name">>}}
        ]
    ],
    %% The encodings that the specification gives as examples.
    [
        ?assertEqual(
            ok,
            Fails(
                [{<<"mcp-method">>, <<"prompts/get">>}, {<<"mcp-name">>, Header}],
                Body(<<"prompts/get">>, #{<<"name">> => Value})
            )
        )
     || {Value, Header} <- [
            {<<"us-west1">>, <<"us-west1">>},
            {<<"Hello, 世界"/utf8>>, <<"=?base64?SGVsbG8sIOS4lueVjA==?=">>},
            {<<" padded ">>, <<"=?base64?IHBhZGRlZCA=?=">>},
            {<<"line1\nline2">>, <<"=?base64?bGluZTEKbGluZTI=?=">>},
            {<<"=?base64?literal?=">>, <<"=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=">>}
        ]
    ],
    Read = Body(<<"resources/read">>, #{<<"uri">> => <<"file:///a">>, <<"name">> => <<"b">>}),
    ReadMethod = {<<"mcp-method">>, <<"resources/read">>},
    ?assertEqual(ok, Fails([ReadMethod, {<<"mcp-name">>, <<"file:///a">>}], Read)),
    ?assertEqual(
        {mismatched_header, <<"Mcp-Name">>}, Fails([ReadMethod, {<<"mcp-name">>, <<"b">>}], Read)
    ),
    ?assertEqual(ok, Fails([{<<"mcp-method">>, <<"tools/list">>}], Body(<<"tools/list">>, undefined))),
    %% The version, where both sides have one.
    Versioned = Body(<<"a">>, #{
        <<"_meta">> => #{<<"io.modelcontextprotocol/protocolVersion">> => <<"2026-07-28">>}
    }),
    A = {<<"mcp-method">>, <<"a">>},
    ?assertEqual(ok, Fails([A], Versioned)),
    ?assertEqual(ok, Fails([A, {<<"MCP-Protocol-Version">>, <<"2026-07-28">>}], Versioned)),
    ?assertEqual(
        {mismatched_header, <<"MCP-Protocol-Version">>},
        Fails([A, {<<"MCP-Protocol-Version">>, <<"2025-11-25">>}], Versioned)
    ),
    ?assertEqual(
        ok, Fails([A, {<<"MCP-Protocol-Version">>, <<"2025-11-25">>}], Body(<<"a">>, undefined))
    ),
    Notification = ?RPC:encode_notification(<<"a">>, undefined),
    ?assertEqual(ok, Fails([], Notification)),
    ?assertEqual(ok, Fails([A], Notification)),
    ?assertEqual({mismatched_header, <<"Mcp-Method">>}, Fails([Method], Notification)),
    [
        ?assertMatch({error, {invalid, null, -32600, not_a_request, _}}, ?RPC:headers_match([A], Text))
     || Text <- [<<"[1]">>, ?RPC:encode_response(1, #{}), ?RPC:encode_error(1, 1, <<>>)]
    ],
    ?assertMatch({error, {invalid, null, -32700, _, _}}, ?RPC:headers_match([A], <<"{">>)),
    ?assertMatch(
        {error, {invalid, null, -32600, invalid_id, _}},
        ?RPC:headers_match([A], ?RPC:encode_request(null, <<"a">>, undefined))
    ).
