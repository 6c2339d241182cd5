%% JSON-RPC through the door: what the messages become. The judging of envelopes is tested against a
%% naive judge in native/json_core/tests/rpc.rs.
-module(erlmcp_native_rpc_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([
    examples_of_the_specification/1,
    messages/1,
    invalid_messages/1,
    ids/1,
    duplicates/1,
    strings/1,
    batches/1,
    dialects/1,
    raw_values_refer_to_the_text/1,
    value_options/1,
    arguments_against_schemas/1
]).

-define(RPC, erlmcp_native_rpc).
-define(V, "\"jsonrpc\":\"2.0\"").

all() ->
    [
        examples_of_the_specification,
        messages,
        invalid_messages,
        ids,
        duplicates,
        strings,
        batches,
        dialects,
        raw_values_refer_to_the_text,
        value_options,
        arguments_against_schemas
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

%%% The 15 exchanges of section 7 of the JSON-RPC 2.0 specification, with a server that does what
%%% they ask for.

examples_of_the_specification(_) ->
    Exchanges = [
        {"{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [42, 23], \"id\": 1}",
            "{\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": 1}"},
        {"{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [23, 42], \"id\": 2}",
            "{\"jsonrpc\": \"2.0\", \"result\": -19, \"id\": 2}"},
        {
            "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\","
            " \"params\": {\"subtrahend\": 23, \"minuend\": 42}, \"id\": 3}",
            "{\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": 3}"
        },
        {
            "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\","
            " \"params\": {\"minuend\": 42, \"subtrahend\": 23}, \"id\": 4}",
            "{\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": 4}"
        },
        {"{\"jsonrpc\": \"2.0\", \"method\": \"update\", \"params\": [1,2,3,4,5]}", none},
        {"{\"jsonrpc\": \"2.0\", \"method\": \"foobar\"}", none},
        {
            "{\"jsonrpc\": \"2.0\", \"method\": \"foobar\", \"id\": \"1\"}",
            "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32601, \"message\": \"Method not found\"},"
            " \"id\": \"1\"}"
        },
        {"{\"jsonrpc\": \"2.0\", \"method\": \"foobar, \"params\": \"bar\", \"baz]", parse_error()},
        {"{\"jsonrpc\": \"2.0\", \"method\": 1, \"params\": \"bar\"}", invalid_request()},
        {
            "[\n"
            "  {\"jsonrpc\": \"2.0\", \"method\": \"sum\", \"params\": [1,2,4], \"id\": \"1\"},\n"
            "  {\"jsonrpc\": \"2.0\", \"method\"\n"
            "]",
            parse_error()
        },
        {"[]", invalid_request()},
        {"[1]", ["[", invalid_request(), "]"]},
        {"[1,2,3]", ["[", lists:join(",", lists:duplicate(3, invalid_request())), "]"]},
        {
            "[\n"
            "{\"jsonrpc\": \"2.0\", \"method\": \"sum\", \"params\": [1,2,4], \"id\": \"1\"},\n"
            "{\"jsonrpc\": \"2.0\", \"method\": \"notify_hello\", \"params\": [7]},\n"
            "{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": [42,23], \"id\": \"2\"},\n"
            "{\"foo\": \"boo\"},\n"
            "{\"jsonrpc\": \"2.0\", \"method\": \"foo.get\", \"params\": {\"name\": \"myself\"},"
            " \"id\": \"5\"},\n"
            "{\"jsonrpc\": \"2.0\", \"method\": \"get_data\", \"id\": \"9\"}\n"
            "]",
            [
                "[{\"jsonrpc\": \"2.0\", \"result\": 7, \"id\": \"1\"},"
                "{\"jsonrpc\": \"2.0\", \"result\": 19, \"id\": \"2\"},",
                invalid_request(),
                ",{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32601,"
                " \"message\": \"Method not found\"}, \"id\": \"5\"},"
                "{\"jsonrpc\": \"2.0\", \"result\": [\"hello\", 5], \"id\": \"9\"}]"
            ]
        },
        {
            "[{\"jsonrpc\": \"2.0\", \"method\": \"notify_sum\", \"params\": [1,2,4]},"
            "{\"jsonrpc\": \"2.0\", \"method\": \"notify_hello\", \"params\": [7]}]",
            none
        }
    ],
    ?assertEqual(15, length(Exchanges)),
    [
        ?assertEqual(json(Expected), json(serve(?RPC:decode(Request))), Request)
     || {Request, Expected} <- Exchanges
    ].

parse_error() ->
    "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32700, \"message\": \"Parse error\"}, \"id\": null}".

invalid_request() ->
    "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32600, \"message\": \"Invalid Request\"},"
    " \"id\": null}".

json(none) -> none;
json(Text) -> erlmcp_native_json:decode(Text).

serve({batch, Messages}) ->
    case [Answer || Message <- Messages, (Answer = answer(Message)) =/= none] of
        [] -> none;
        Answers -> ?RPC:encode_batch(Answers)
    end;
serve(Message) ->
    case answer(Message) of
        none -> none;
        Answer -> ?RPC:encode_batch([Answer]) -- "[]"
    end.

answer({request, Id, <<"subtract">>, [A, B]}) -> {response, Id, A - B};
answer({request, Id, <<"subtract">>, #{<<"minuend">> := A, <<"subtrahend">> := B}}) ->
    {response, Id, A - B};
answer({request, Id, <<"sum">>, Numbers}) -> {response, Id, lists:sum(Numbers)};
answer({request, Id, <<"get_data">>, undefined}) -> {response, Id, [<<"hello">>, 5]};
answer({request, Id, _, _}) -> {error_response, Id, -32601, <<"Method not found">>, undefined};
answer({notification, _, _}) -> none;
answer({invalid, _, _, _, _} = Invalid) -> Invalid.

%%% Messages

messages(_) ->
    [
        ?assertEqual(Expected, ?RPC:decode(Text), Text)
     || {Text, Expected} <- [
            {<<"{", ?V, ",\"id\":1,\"method\":\"ping\"}">>, {request, 1, <<"ping">>, undefined}},
            {<<" { \"params\" : { } , \"method\":\"x\",\n\t\"id\":\"a\" ,", ?V, "} \r\n">>,
                {request, <<"a">>, <<"x">>, #{}}},
            {<<"{", ?V, ",\"id\":1,\"method\":\"x\",\"params\":[1,null,\"a\",{\"b\":[]}]}">>,
                {request, 1, <<"x">>, [1, null, <<"a">>, #{<<"b">> => []}]}},
            {<<"{", ?V, ",\"method\":\"rpc.x\",\"params\":{\"a\":1}}">>,
                {notification, <<"rpc.x">>, #{<<"a">> => 1}}},
            {<<"{", ?V, ",\"method\":\"\"}">>, {notification, <<>>, undefined}},
            {<<"{", ?V, ",\"id\":1,\"result\":null}">>, {response, 1, null}},
            {<<"{", ?V, ",\"result\":{\"a\":[true,1.5]},\"id\":\"x\"}">>,
                {response, <<"x">>, #{<<"a">> => [true, 1.5]}}},
            {<<"{", ?V, ",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"m\"}}">>,
                {error_response, 1, -32601, <<"m">>, undefined}},
            {<<"{", ?V, ",\"id\":null,\"error\":{\"data\":null,\"message\":\"\",\"code\":1,\"x\":2}}">>,
                {error_response, null, 1, <<>>, null}},
            {<<"{", ?V, ",\"id\":1,\"error\":{\"code\":-3.2e4,\"message\":\"m\",\"data\":[{}]}}">>,
                {error_response, 1, -32000, <<"m">>, [#{}]}},
            {<<"{\"x\":[{}],", ?V, ",\"id\":1,\"method\":\"a\",\"y\":{\"method\":\"b\"}}">>,
                {request, 1, <<"a">>, undefined}}
        ]
    ],
    %% Every method of every revision.
    [
        ?assertEqual(
            {notification, Method, undefined},
            ?RPC:decode(<<"{", ?V, ",\"method\":\"", Method/binary, "\"}">>)
        )
     || Revision <- erlmcp_native_mcp:revisions(),
        Method <- maps:keys(erlmcp_native_mcp:methods(Revision))
    ].

invalid_messages(_) ->
    [
        begin
            ?assertMatch({invalid, Id, -32600, Reason, _}, ?RPC:decode(Text), Text),
            ?assertEqual(reply(ReplyId, -32600, <<"Invalid Request">>), reply_of(?RPC:decode(Text)))
        end
     || {Text, Id, Reason, ReplyId} <- [
            {<<"1">>, null, not_an_object, null},
            {<<"\"a\"">>, null, not_an_object, null},
            {<<"null">>, null, not_an_object, null},
            {<<"{}">>, null, missing_jsonrpc, null},
            {<<"{\"id\":5,\"method\":\"a\"}">>, 5, missing_jsonrpc, 5},
            {<<"{\"method\":\"a\",\"id\":\"\\u00e9\"}">>, <<"é"/utf8>>, missing_jsonrpc, <<"é"/utf8>>},
            {<<"{\"jsonrpc\":\"1.0\",\"id\":5,\"method\":\"a\"}">>, 5, wrong_version, 5},
            {<<"{\"jsonrpc\":2.0,\"id\":5,\"method\":\"a\"}">>, 5, wrong_version, 5},
            {<<"{\"jsonrpc\":\"2.00\",\"id\":5,\"method\":\"a\"}">>, 5, wrong_version, 5},
            {<<"{", ?V, ",\"id\":5}">>, 5, unknown_message, 5},
            {<<"{", ?V, ",\"id\":5,\"method\":null}">>, 5, invalid_method, 5},
            {<<"{", ?V, ",\"id\":5,\"method\":[\"a\"]}">>, 5, invalid_method, 5},
            {<<"{", ?V, ",\"id\":5,\"method\":\"a\",\"params\":null}">>, 5, invalid_params, 5},
            {<<"{", ?V, ",\"id\":5,\"method\":\"a\",\"params\":\"b\"}">>, 5, invalid_params, 5},
            {<<"{", ?V, ",\"method\":\"a\",\"params\":7}">>, null, invalid_params, null},
            {<<"{", ?V, ",\"id\":true,\"method\":\"a\"}">>, null, invalid_id, null},
            {<<"{", ?V, ",\"id\":[1],\"method\":\"a\"}">>, null, invalid_id, null},
            {<<"{", ?V, ",\"id\":{\"id\":1},\"method\":\"a\"}">>, null, invalid_id, null},
            %% The id of a response is not the peer's: no reply bears it.
            {<<"{\"id\":5,\"result\":1}">>, 5, missing_jsonrpc, null},
            {<<"{", ?V, ",\"result\":1}">>, null, missing_id, null},
            {<<"{", ?V, ",\"error\":{\"code\":1,\"message\":\"m\"}}">>, null, missing_id, null},
            {<<"{", ?V, ",\"id\":5,\"result\":1,\"error\":{\"code\":1,\"message\":\"m\"}}">>, 5,
                result_and_error, null},
            {<<"{", ?V, ",\"id\":5,\"result\":1,\"error\":null}">>, 5, result_and_error, null},
            {<<"{", ?V, ",\"id\":5,\"method\":\"a\",\"result\":1}">>, 5, request_and_response, null},
            {<<"{", ?V, ",\"id\":5,\"error\":\"m\"}">>, 5, invalid_error, null},
            {<<"{", ?V, ",\"id\":5,\"error\":{\"message\":\"m\"}}">>, 5, invalid_error, null},
            {<<"{", ?V, ",\"id\":5,\"error\":{\"code\":1}}">>, 5, invalid_error, null},
            {<<"{", ?V, ",\"id\":5,\"error\":{\"code\":1.5,\"message\":\"m\"}}">>, 5, invalid_error,
                null},
            {<<"{", ?V, ",\"id\":5,\"error\":{\"code\":1,\"message\":2}}">>, 5, invalid_error, null}
        ]
    ].

reply(Id, Code, Message) ->
    #{
        <<"jsonrpc">> => <<"2.0">>,
        <<"error">> => #{<<"code">> => Code, <<"message">> => Message},
        <<"id">> => Id
    }.

reply_of({invalid, _, _, _, Reply}) when is_binary(Reply) -> erlmcp_native_json:decode(Reply).

%% Ids are equal term for term, and their replies bear them as they were written.
ids(_) ->
    [
        begin
            Request = <<"{", ?V, ",\"id\":", Text/binary, ",\"method\":\"a\"}">>,
            ?assertEqual({request, Id, <<"a">>, undefined}, ?RPC:decode(Request)),
            Response = <<"{\"result\":1,", ?V, ",\"id\":", Text/binary, "}">>,
            ?assertEqual({response, Id, 1}, ?RPC:decode(Response)),
            ?assertEqual(
                {request, Id, <<"a">>, undefined}, ?RPC:decode(?RPC:encode_request(Id, <<"a">>, undefined))
            ),
            ?assertEqual({response, Id, 1}, ?RPC:decode(?RPC:encode_response(Id, 1))),
            ?assertEqual({response, Id, []}, ?RPC:decode(?RPC:encode_response(Id, {json, "[]"}))),
            {invalid, Id, -32600, missing_jsonrpc, Reply} =
                ?RPC:decode(<<"{\"method\":\"a\",\"id\": ", Text/binary, " }">>),
            ?assertNotEqual(nomatch, binary:match(Reply, <<"\"id\":", Text/binary, "}">>))
        end
     || {Text, Id} <- [
            {<<"0">>, 0},
            {<<"-1">>, -1},
            {<<"9223372036854775807">>, 1 bsl 63 - 1},
            {<<"-9223372036854775808">>, -(1 bsl 63)},
            {<<"9223372036854775808">>, 1 bsl 63},
            {<<"18446744073709551615">>, 1 bsl 64 - 1},
            {<<"18446744073709551616">>, 1 bsl 64},
            {integer_to_binary(1 bsl 2000), 1 bsl 2000},
            {integer_to_binary(-(1 bsl 2000)), -(1 bsl 2000)},
            {<<"1.5">>, 1.5},
            {<<"1.0">>, 1.0},
            {<<"-2.5e-7">>, -2.5e-7},
            {<<"null">>, null},
            {<<"\"\"">>, <<>>},
            {<<"\"1\"">>, <<"1">>},
            {<<"\"null\"">>, <<"null">>},
            {<<"\"tools/call\"">>, <<"tools/call">>},
            {<<"\"a\\\"b\\\\c\\n\\u0000\"">>, <<"a\"b\\c\n", 0>>},
            {<<"\"日本語 😀\""/utf8>>, <<"日本語 😀"/utf8>>},
            {<<"\"\\ud83d\\ude00\"">>, <<"😀"/utf8>>},
            {<<"\"", (binary:copy(<<"x">>, 100))/binary, "\"">>, binary:copy(<<"x">>, 100)}
        ]
    ].

duplicates(_) ->
    ?assertEqual(
        {request, 1, <<"a">>, [1]},
        ?RPC:decode(
            <<"{", ?V, ",\"id\":1,\"method\":\"a\",\"params\":[1],\"id\":2,\"method\":7,",
                "\"params\":[2],\"jsonrpc\":\"1.0\"}">>
        )
    ),
    ?assertMatch(
        {invalid, 1, -32600, wrong_version, _},
        ?RPC:decode(<<"{\"jsonrpc\":\"1.0\",", ?V, ",\"id\":1,\"method\":\"a\"}">>)
    ),
    ?assertMatch(
        {invalid, null, -32600, invalid_id, _},
        ?RPC:decode(<<"{", ?V, ",\"id\":true,\"id\":1,\"method\":\"a\"}">>)
    ),
    ?assertEqual(
        {error_response, 1, 2, <<"m">>, 3},
        ?RPC:decode(
            <<"{", ?V, ",\"id\":1,\"error\":{\"code\":2,\"message\":\"m\",\"data\":3,\"code\":4,",
                "\"message\":\"n\",\"data\":5}}">>
        )
    ),
    Params = <<"{", ?V, ",\"method\":\"a\",\"params\":{\"k\":1,\"k\":2}}">>,
    ?assertEqual({notification, <<"a">>, #{<<"k">> => 1}}, ?RPC:decode(Params)),
    ?assertEqual(
        {notification, <<"a">>, #{<<"k">> => 2}}, ?RPC:decode(Params, #{duplicate_keys => last})
    ),
    ?assertMatch(
        {invalid, null, -32700, {parse_error, {duplicate_key, <<"k">>}, _}, _},
        ?RPC:decode(Params, #{duplicate_keys => error})
    ).

%% Keys, methods and ids with escapes are the same as without.
strings(_) ->
    ?assertEqual(
        {request, <<"a/b">>, <<"tools/call">>, #{<<"name">> => <<"ü"/utf8>>}},
        ?RPC:decode(
            <<"{\"json\\u0072pc\":\"2\\u002e0\",\"\\u0069d\":\"a\\/b\",\"meth\\u006fd\":\"tools\\/call\",",
                "\"p\\u0061rams\":{\"n\\u0061me\":\"\\u00fc\"}}">>
        )
    ),
    ?assertEqual(
        {notification, <<"méthode/日本"/utf8>>, undefined},
        ?RPC:decode(<<"{", ?V, ",\"method\":\"méthode/日本\"}"/utf8>>)
    ),
    %% A method of any length, near the sizes at which strings are made in another way.
    [
        ?assertEqual(
            {notification, Method, undefined},
            ?RPC:decode(?RPC:encode_notification(Method, undefined))
        )
     || Length <- [0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 63, 64, 65, 255, 256, 257, 2000],
        Method <- [binary:copy(<<"m">>, Length)]
    ].

batches(_) ->
    Request = <<"{", ?V, ",\"id\":1,\"method\":\"a\"}">>,
    Notification = <<"{", ?V, ",\"method\":\"a\"}">>,
    Response = <<"{", ?V, ",\"id\":1,\"result\":1}">>,
    Text = [
        "[", Request, ",", Notification, " , [", Request, "],", Response, ",7,[],", Request, ",{}]"
    ],
    {batch, Messages} = ?RPC:decode(Text),
    ?assertMatch(
        [
            {request, 1, <<"a">>, undefined},
            {notification, <<"a">>, undefined},
            {invalid, null, -32600, not_an_object, _},
            {response, 1, 1},
            {invalid, null, -32600, not_an_object, _},
            {invalid, null, -32600, not_an_object, _},
            {request, 1, <<"a">>, undefined},
            {invalid, null, -32600, missing_jsonrpc, _}
        ],
        Messages
    ),
    [
        ?assertEqual(reply(null, -32600, <<"Invalid Request">>), reply_of(Message))
     || {invalid, _, _, _, _} = Message <- Messages
    ],
    ?assertEqual({batch, [{request, 1, <<"a">>, undefined}]}, ?RPC:decode(["[", Request, "]"])),
    ?assertMatch({invalid, null, -32600, empty_batch, _}, ?RPC:decode(<<" [ ] ">>)),
    %% What is no JSON is one error, whatever stood before it.
    [
        ?assertMatch({invalid, null, -32700, {parse_error, _, _}, _}, ?RPC:decode(Broken))
     || Broken <- [
            ["[", Request], ["[", Request, ","], ["[", Request, ",]"], ["[", Request, "] x"], "[]]",
            "[,]", ["[", Request, " ", Request, "]"]
        ]
    ].

dialects(_) ->
    Both = fun(Text) ->
        [
            case ?RPC:decode(Text, #{dialect => Dialect}) of
                {invalid, _, -32600, Reason, _} -> Reason;
                Message -> element(1, Message)
            end
         || Dialect <- [json_rpc, mcp]
        ]
    end,
    [
        ?assertEqual(Expected, Both(Text), Text)
     || {Text, Expected} <- [
            {<<"{", ?V, ",\"id\":null,\"method\":\"a\"}">>, [request, invalid_id]},
            {<<"{", ?V, ",\"id\":1.5,\"method\":\"a\"}">>, [request, invalid_id]},
            {<<"{", ?V, ",\"id\":2.0,\"method\":\"a\"}">>, [request, request]},
            {<<"{", ?V, ",\"id\":2,\"method\":\"a\",\"params\":[]}">>, [request, invalid_params]},
            {<<"{", ?V, ",\"id\":2,\"method\":\"a\",\"params\":{}}">>, [request, request]},
            {<<"{", ?V, ",\"id\":2,\"result\":[]}">>, [response, invalid_result]},
            {<<"{", ?V, ",\"id\":null,\"result\":{}}">>, [response, invalid_id]},
            {<<"{", ?V, ",\"id\":null,\"error\":{\"code\":1,\"message\":\"\"}}">>,
                [error_response, error_response]},
            {<<"{", ?V, ",\"error\":{\"code\":1,\"message\":\"\"}}">>, [missing_id, error_response]},
            {<<"{", ?V, ",\"id\":1.5,\"error\":{\"code\":1,\"message\":\"\"}}">>,
                [error_response, invalid_id]}
        ]
    ].

%%% Values

raw_values_refer_to_the_text(_) ->
    Params = <<" {\"a\" : [1, {}],\"b\":\"\\u0041\"} ">>,
    Trimmed = string:trim(Params),
    Request = <<"{", ?V, ",\"id\":1,\"params\":", Params/binary, ",\"method\":\"tools/call\"}">>,
    {request, 1, <<"tools/call">>, Raw} = ?RPC:decode(Request, #{params => raw}),
    ?assertEqual(Trimmed, Raw),
    %% A part of the text, not a copy.
    ?assertEqual(byte_size(Request), binary:referenced_byte_size(Raw)),
    ?assertEqual(
        {request, 1, <<"tools/call">>, erlmcp_native_json:decode(Raw)}, ?RPC:decode(Request)
    ),
    ?assertEqual(
        {request, 1, <<"tools/call">>, Trimmed},
        ?RPC:decode(Request, #{params => raw, max_size => 1000, strings => copy})
    ),
    %% Raw is still checked.
    [
        ?assertMatch(
            {invalid, null, -32700, {parse_error, Reason, _}, _},
            ?RPC:decode(
                <<"{", ?V, ",\"id\":1,\"method\":\"a\",\"params\":", Broken/binary, "}">>, #{
                    params => raw
                }
            )
        )
     || {Broken, Reason} <- [
            {<<"{\"a\":01}">>, {invalid_byte, $1}},
            {<<"[\"\\ud800 and more\"]">>, {invalid_byte, $\s}},
            {<<"[\"\\udc00\"]">>, {unexpected_sequence, <<"\\udc00">>}},
            {<<"[\"", 255, "\"]">>, {invalid_byte, 255}},
            {<<"[1e400]">>, {unexpected_sequence, <<"1.0e400">>}}
        ]
    ],
    Response = <<"{", ?V, ",\"id\":1,\"result\": [1 ] }">>,
    ?assertEqual({response, 1, [1]}, ?RPC:decode(Response, #{params => raw})),
    ?assertEqual({response, 1, <<"[1 ]">>}, ?RPC:decode(Response, #{result => raw})),
    Error = <<"{", ?V, ",\"id\":1,\"error\":{\"code\":1,\"message\":\"m\",\"data\":{ }}}">>,
    ?assertEqual({error_response, 1, 1, <<"m">>, <<"{ }">>}, ?RPC:decode(Error, #{result => raw})),
    ?assertEqual({request, 1, <<"tools/call">>, erlmcp_native_json:decode(Raw)},
        ?RPC:decode(Request, #{result => raw, params => built})),
    %% Without parameters there is nothing to refer to.
    ?assertEqual(
        {notification, <<"a">>, undefined},
        ?RPC:decode(<<"{", ?V, ",\"method\":\"a\"}">>, #{params => raw})
    ),
    {batch, [{request, 1, _, Raw}, {notification, _, <<"[]">>}]} =
        ?RPC:decode(["[", Request, ",{", ?V, ",\"method\":\"a\",\"params\":[]}]"], #{params => raw}).

value_options(_) ->
    Text = <<"{", ?V, ",\"id\":null,\"method\":\"name\",\"params\":{\"name\":null,\"no such atom\":1}}">>,
    ?assertEqual(
        {request, null, <<"name">>, {[{name, nil}, {<<"no such atom">>, 1}]}},
        ?RPC:decode(Text, #{keys => {atoms, [name]}, objects => tuple, null => nil})
    ),
    ?assertEqual(
        {request, null, <<"name">>, [{name, null}, {<<"no such atom">>, 1}]},
        ?RPC:decode(Text, #{keys => existing_atom, objects => proplist, strings => reference})
    ).

arguments_against_schemas(_) ->
    {ok, Schema} = erlmcp_native_schema:compile(#{
        <<"type">> => <<"object">>,
        <<"properties">> => #{<<"n">> => #{<<"type">> => <<"integer">>}},
        <<"required">> => [<<"n">>]
    }),
    {ok, Loose} = erlmcp_native_schema:compile(#{}),
    Opts = #{schemas => #{<<"add">> => Schema, <<"any">> => Loose}},
    Call = fun(Params) -> iolist_to_binary(?RPC:encode_request(<<"i">>, <<"tools/call">>, Params)) end,
    Arguments = fun(Value) -> #{<<"name">> => <<"add">>, <<"arguments">> => Value} end,
    %% What fits, and what no schema is for.
    [
        begin
            Text = Call(Params),
            ?assertEqual({request, <<"i">>, <<"tools/call">>, Params}, ?RPC:decode(Text, Opts)),
            ?assertMatch(
                {request, <<"i">>, <<"tools/call">>, _}, ?RPC:decode(Text, Opts#{params => raw})
            )
        end
     || Params <- [
            Arguments(#{<<"n">> => 1}),
            Arguments(#{<<"n">> => 1 bsl 70, <<"m">> => [#{}]}),
            #{<<"name">> => <<"any">>, <<"arguments">> => [1]},
            #{<<"name">> => <<"any">>},
            #{<<"name">> => <<"other">>, <<"arguments">> => 5},
            #{<<"name">> => 1, <<"arguments">> => 5},
            #{},
            undefined
        ]
    ],
    {request, _, _, Raw} = ?RPC:decode(Call(Arguments(#{<<"n">> => 1})), Opts#{params => raw}),
    ?assertEqual(Arguments(#{<<"n">> => 1}), erlmcp_native_json:decode(Raw)),
    Other = ?RPC:encode_request(1, <<"prompts/get">>, Arguments(#{})),
    ?assertMatch({request, 1, <<"prompts/get">>, _}, ?RPC:decode(Other, Opts)),
    %% What does not, built or raw, with the arguments before or after the name.
    [
        begin
            {invalid, <<"i">>, -32602, {invalid_arguments, [Violation]}, Reply} =
                ?RPC:decode(Text, Opts#{params => Form}),
            ?assertMatch(#{keyword := Keyword, instance_path := Path}, Violation),
            #{<<"id">> := <<"i">>, <<"error">> := Error} = erlmcp_native_json:decode(Reply),
            ?assertMatch(
                #{
                    <<"code">> := -32602,
                    <<"message">> := <<"Invalid params">>,
                    <<"data">> := [#{<<"keyword">> := Keyword}]
                },
                Error
            )
        end
     || Form <- [built, raw],
        {Text, Keyword, Path} <- [
            {Call(Arguments(#{<<"n">> => <<"1">>})), <<"type">>, <<"/n">>},
            {Call(Arguments(#{})), <<"required">>, <<>>},
            {Call(#{<<"name">> => <<"add">>}), <<"required">>, <<>>},
            {Call(Arguments([])), <<"type">>, <<>>},
            {<<"{\"method\":\"tools/call\",\"params\":{\"arguments\":{\"n\":[]},\"name\":\"add\"},",
                    ?V, ",\"id\":\"i\"}">>, <<"type">>, <<"/n">>}
        ]
    ],
    %% Each of a batch, and what is too large for a normal scheduler.
    Good = Call(Arguments(#{<<"n">> => 1})),
    Bad = Call(Arguments(#{<<"n">> => null})),
    ?assertMatch(
        {batch, [
            {request, <<"i">>, _, _},
            {invalid, <<"i">>, -32602, {invalid_arguments, [_]}, <<_/binary>>},
            {request, <<"i">>, _, _},
            {invalid, null, -32600, not_an_object, <<_/binary>>}
        ]},
        ?RPC:decode(["[", Good, ",", Bad, ",", Good, ",1]"], Opts)
    ),
    %% The parameters of one message are not another's.
    ?assertMatch(
        {batch, [{invalid, null, -32600, missing_jsonrpc, _}, {request, 1, <<"tools/call">>, undefined}]},
        ?RPC:decode(
            [
                "[{\"params\":{\"name\":\"add\"}},",
                ?RPC:encode_request(1, <<"tools/call">>, undefined),
                "]"
            ],
            Opts
        )
    ),
    Large = Arguments(#{<<"n">> => 1, <<"m">> => lists:seq(1, 100_000)}),
    ?assertEqual({request, <<"i">>, <<"tools/call">>, Large}, ?RPC:decode(Call(Large), Opts)),
    Many = Arguments(#{<<"n">> => 1, <<"m">> => lists:duplicate(10_000, 1)}),
    ?assertEqual({request, <<"i">>, <<"tools/call">>, Many}, ?RPC:decode(Call(Many), Opts)),
    %% Nested beyond what a schema looks at.
    Deep = lists:foldl(fun(_, Value) -> [Value] end, 1, lists:seq(1, 300)),
    {invalid, <<"i">>, -32602, {invalid_arguments, {too_deep, _}}, DeepReply} =
        ?RPC:decode(Call(Arguments(Deep)), Opts),
    ?assertMatch(
        #{<<"error">> := #{<<"data">> := <<"{too_deep", _/binary>>}}, erlmcp_native_json:decode(DeepReply)
    ),
    %% What is validated is what is given.
    ?assertError(badarg, ?RPC:decode(Good, Opts#{duplicate_keys => last})),
    ?assertError(badarg, ?RPC:decode(Good, #{schemas => []})),
    ?assertError(badarg, ?RPC:decode(Good, #{schemas => #{<<"add">> => make_ref()}})),
    ?assertError(badarg, ?RPC:decode(Good, #{schemas => #{<<"add">> => #{}}})).
