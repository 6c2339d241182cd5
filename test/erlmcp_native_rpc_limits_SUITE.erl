%% JSON-RPC through the door: limits, and texts and arguments that are wrong, hostile or large.
-module(erlmcp_native_rpc_limits_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([
    size_limit/1,
    depth_limit/1,
    digit_limit/1,
    batch_limit/1,
    parse_errors/1,
    hostile_nesting/1,
    large_messages/1,
    wrong_arguments/1,
    iodata_in_any_form/1,
    stays_short/1
]).

-define(RPC, erlmcp_native_rpc).
-define(V, "\"jsonrpc\":\"2.0\"").

all() ->
    [
        size_limit,
        depth_limit,
        digit_limit,
        batch_limit,
        parse_errors,
        hostile_nesting,
        large_messages,
        wrong_arguments,
        iodata_in_any_form,
        stays_short
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

%%% Limits

size_limit(_) ->
    Text = <<"{", ?V, ",\"id\":1,\"method\":\"a\",\"params\":[]}">>,
    Size = byte_size(Text),
    [
        begin
            ?assertEqual(
                {request, 1, <<"a">>, []}, ?RPC:decode(Form, #{max_size => Size + More})
            )
        end
     || Form <- [Text, [Text]], More <- [0, 1]
    ],
    Limit = Size - 1,
    Invalid = ?RPC:decode([[Text]], #{max_size => Limit}),
    ?assertMatch({invalid, null, -32012, {max_size, Limit}, _}, Invalid),
    #{<<"error">> := Error, <<"id">> := null} = reply_of(Invalid),
    ?assertEqual(
        #{
            <<"code">> => -32012,
            <<"message">> => <<"Message size exceeds maximum allowed">>,
            <<"data">> => #{
                <<"maxSize">> => Limit,
                <<"unit">> => <<"bytes">>,
                <<"maxSizeReadable">> => <<(integer_to_binary(Limit))/binary, " B">>
            }
        },
        Error
    ),
    %% 16 MiB unless told otherwise.
    Max = 16 * 1024 * 1024,
    Padded = fun(Total) -> <<Text/binary, (binary:copy(<<" ">>, Total - Size))/binary>> end,
    ?assertEqual({request, 1, <<"a">>, []}, ?RPC:decode(Padded(Max))),
    ?assertEqual({request, 1, <<"a">>, <<"[]">>}, ?RPC:decode(Padded(Max), #{params => raw})),
    ?assertMatch(#{kind := request}, ?RPC:peek(Padded(Max))),
    TooLarge = Padded(Max + 1),
    [
        begin
            ?assertMatch({invalid, null, -32012, {max_size, Max}, _}, Answer),
            #{<<"error">> := #{<<"data">> := Data}} = reply_of(Answer),
            ?assertEqual(<<"16.00 MB">>, maps:get(<<"maxSizeReadable">>, Data))
        end
     || Answer <- [
            ?RPC:decode(TooLarge),
            ?RPC:decode([TooLarge]),
            ?RPC:decode(TooLarge, #{params => raw}),
            element(2, ?RPC:headers_match([], TooLarge))
        ]
    ],
    ?assertMatch(#{kind := invalid, code := -32012}, ?RPC:peek(TooLarge)),
    ?assertEqual({request, 1, <<"a">>, []}, ?RPC:decode(TooLarge, #{max_size => infinity})),
    ?assertEqual({request, 1, <<"a">>, []}, ?RPC:decode(TooLarge, #{max_size => 1 bsl 70})),
    [
        begin
            #{<<"error">> := #{<<"data">> := #{<<"maxSizeReadable">> := Readable}}} =
                reply_of(?RPC:decode(binary:copy(<<" ">>, At + 1), #{max_size => At})),
            ?assertEqual(Expected, Readable)
        end
     || {At, Expected} <- [
            {1023, <<"1023 B">>}, {1024, <<"1.00 KB">>}, {1536, <<"1.50 KB">>},
            {1 bsl 20, <<"1.00 MB">>}
        ]
    ].

nested(Levels) ->
    <<"{", ?V, ",\"method\":\"a\",\"params\":", (binary:copy(<<"[">>, Levels))/binary,
        (binary:copy(<<"]">>, Levels))/binary, "}">>.

depth_limit(_) ->
    [
        begin
            ?assertMatch({notification, <<"a">>, _}, ?RPC:decode(nested(Depth), Opts)),
            ?assertMatch(
                {invalid, null, -32700, {parse_error, {max_depth, Limit}, _}, _},
                ?RPC:decode(nested(Depth + 1), Opts)
            )
        end
     || {Opts, Limit, Depth} <- [
            {#{}, 512, 511},
            {#{params => raw}, 512, 511},
            {#{max_depth => 3}, 3, 2},
            {#{max_depth => 3, params => raw}, 3, 2}
        ]
    ],
    ?assertMatch({notification, <<"a">>, _}, ?RPC:decode(nested(100_000), #{max_depth => infinity})),
    %% A batch is a level too.
    ?assertMatch({batch, _}, ?RPC:decode(["[", nested(2), "]"], #{max_depth => 4})),
    ?assertMatch({invalid, _, -32700, _, _}, ?RPC:decode(["[", nested(2), "]"], #{max_depth => 3})).

digit_limit(_) ->
    Text = fun(Digits) ->
        <<"{", ?V, ",\"method\":\"a\",\"params\":[", (binary:copy(<<"7">>, Digits))/binary, "]}">>
    end,
    [
        begin
            Number = binary_to_integer(binary:copy(<<"7">>, Limit)),
            ?assertEqual({notification, <<"a">>, [Number]}, ?RPC:decode(Text(Limit), Opts)),
            [
                ?assertMatch(
                    {invalid, null, -32700, {parse_error, {max_digits, Limit}, _}, _},
                    ?RPC:decode(Text(Limit + 1), Opts#{params => Form})
                )
             || Form <- [built, raw]
            ]
        end
     || {Opts, Limit} <- [{#{}, 1000}, {#{max_digits => 30}, 30}, {#{max_digits => 5000}, 5000}]
    ],
    %% An id that a normal scheduler may not convert.
    Id = binary:copy(<<"7">>, 5000),
    Request = <<"{", ?V, ",\"method\":\"a\",\"id\":", Id/binary, "}">>,
    ?assertEqual(
        {request, binary_to_integer(Id), <<"a">>, undefined},
        ?RPC:decode(Request, #{max_digits => infinity})
    ).

batch_limit(_) ->
    Batch = fun(Size) -> ["[", lists:join(",", lists:duplicate(Size, "1")), "]"] end,
    [
        begin
            {batch, Messages} = ?RPC:decode(Batch(Limit), Opts),
            ?assertEqual(Limit, length(Messages)),
            {batch, Fewer} = ?RPC:decode(Batch(Limit - 1), Opts),
            ?assertEqual(Limit - 1, length(Fewer)),
            ?assertMatch(
                {invalid, null, -32600, max_batch, _}, ?RPC:decode(Batch(Limit + 1), Opts)
            )
        end
     || {Opts, Limit} <- [{#{}, 1000}, {#{max_batch => 2}, 2}]
    ],
    ?assertMatch({invalid, null, -32600, max_batch, _}, ?RPC:decode("[1]", #{max_batch => 0})),
    ?assertMatch({batch, _}, ?RPC:decode(Batch(50_000), #{max_batch => infinity})).

parse_errors(_) ->
    [
        begin
            ?assertMatch(
                {invalid, null, -32700, {parse_error, Reason, Offset}, _}, ?RPC:decode(Text), Text
            ),
            ?assertEqual(reply(null, -32700, <<"Parse error">>), reply_of(?RPC:decode(Text)))
        end
     || {Text, Reason, Offset} <- [
            {<<>>, unexpected_end, 0},
            {<<"  ">>, unexpected_end, 2},
            {<<"{">>, unexpected_end, 1},
            {<<"{\"id\":1,">>, unexpected_end, 8},
            {<<"x">>, {invalid_byte, $x}, 0},
            {<<"{\"id\":1}}">>, {invalid_byte, $}}, 8},
            {<<"{\"id\":1,}">>, {invalid_byte, $}}, 8},
            {<<"{,}">>, {invalid_byte, $,}, 1},
            {<<"{\"id\" 1}">>, {invalid_byte, $1}, 6},
            {<<"{id:1}">>, {invalid_byte, $i}, 1},
            {<<"{\"method\":\"", 255, "\"}">>, {invalid_byte, 255}, 11},
            {<<"{\"id\":-}">>, {invalid_byte, $}}, 7},
            {<<"{\"id\":1e400}">>, {unexpected_sequence, <<"1.0e400">>}, 6},
            {<<"nul">>, unexpected_end, 3},
            {<<0>>, {invalid_byte, 0}, 0}
        ]
    ].

hostile_nesting(_) ->
    Levels = 1_000_000,
    Open = binary:copy(<<"[">>, Levels),
    Objects = binary:copy(<<"{\"a\":">>, Levels),
    Texts = [
        Open,
        Objects,
        nested(Levels),
        <<"{", ?V, ",\"method\":\"a\",\"params\":", Open/binary>>,
        <<"{", ?V, ",\"method\":\"a\",\"params\":{\"_meta\":", Objects/binary>>,
        <<"{", ?V, ",\"id\":", Open/binary>>,
        <<"{", ?V, ",\"method\":", Objects/binary>>,
        <<"{", ?V, ",\"error\":{\"code\":", Open/binary>>,
        <<"{", ?V, ",\"error\":{\"data\":", Open/binary>>,
        <<"{\"x\":", Open/binary>>
    ],
    [
        begin
            ?assertMatch({invalid, null, -32700, {parse_error, {max_depth, 512}, _}, _}, Answer)
        end
     || Text <- Texts,
        Answer <- [
            ?RPC:decode(Text),
            ?RPC:decode(Text, #{params => raw, result => raw}),
            element(2, ?RPC:headers_match([], Text))
        ]
    ],
    [?assertMatch(#{kind := invalid, code := -32700}, ?RPC:peek(Text)) || Text <- Texts],
    ?assertMatch(
        {invalid, null, -32700, {parse_error, unexpected_end, _}, _},
        ?RPC:decode(lists:nth(4, Texts), #{max_depth => infinity})
    ).

%% Beyond 32 KB the work is done on a dirty scheduler, with the same answers.
large_messages(_) ->
    [
        begin
            Params = #{
                <<"name">> => <<"n">>,
                <<"list">> => lists:seq(1, Length),
                <<"text">> => binary:copy(<<"é\n"/utf8>>, Length)
            },
            Text = iolist_to_binary(?RPC:encode_request(<<"id">>, <<"tools/call">>, Params)),
            ?assertEqual({request, <<"id">>, <<"tools/call">>, Params}, ?RPC:decode(Text)),
            {request, <<"id">>, <<"tools/call">>, Raw} = ?RPC:decode(Text, #{params => raw}),
            ?assertEqual(Params, erlmcp_native_json:decode(Raw)),
            ?assertEqual(
                #{kind => request, id => <<"id">>, method => <<"tools/call">>, tool => <<"n">>},
                ?RPC:peek(Text)
            ),
            ?assertEqual(
                ok,
                ?RPC:headers_match(
                    #{<<"mcp-method">> => <<"tools/call">>, <<"mcp-name">> => <<"n">>}, Text
                )
            )
        end
     || Length <- [1000, 3000, 5000, 6000, 7000, 100_000]
    ].

wrong_arguments(_) ->
    Text = <<"{", ?V, ",\"method\":\"a\"}">>,
    [
        assert_badarg(fun() -> ?RPC:decode(Wrong) end, 1)
     || Wrong <- [atom, 1, {}, [atom], [256], [<<1:3>>], <<1:7>>, #{}]
    ],
    [
        assert_badarg(fun() -> ?RPC:decode(Text, Wrong) end, 2)
     || Wrong <- [
            atom, [], #{unknown => 1}, #{params => binary}, #{result => []}, #{dialect => '2.0'},
            #{max_size => 0}, #{max_size => -1}, #{max_size => 1.0}, #{max_depth => 0},
            #{max_digits => many}, #{max_batch => -1}, #{max_batch => 1.5}, #{keys => atom},
            #{objects => list}, #{trailing => return}, #{trailing => error}, #{1 => 2},
            #{params => raw, unknown => 1}, #{duplicate_keys => all}, #{strings => maybe}
        ]
    ],
    [assert_badarg(fun() -> ?RPC:peek(Wrong) end, 1) || Wrong <- [atom, [atom], <<1:7>>]],
    [
        assert_badarg(fun() -> ?RPC:headers_match(Wrong, Text) end, 1)
     || Wrong <- [
            atom, [atom], [{<<"a">>}], [{a, <<"b">>}], [{<<"mcp-name">>, b}],
            [{<<"Mcp-Name">>, "b"}], [{<<"a">>, <<"b">>} | tail], [<<"a">>]
        ]
    ],
    [assert_badarg(fun() -> ?RPC:headers_match([], Wrong) end, 2) || Wrong <- [atom, [atom]]],
    [assert_badarg(fun() -> ?RPC:encode_request(Wrong, <<"a">>, #{}) end, 1) || Wrong <- wrong_ids()],
    [assert_badarg(fun() -> ?RPC:encode_response(Wrong, 1) end, 1) || Wrong <- wrong_ids()],
    [
        assert_badarg(fun() -> ?RPC:encode_response(Wrong, {json, <<"1">>}) end, 1)
     || Wrong <- wrong_ids()
    ],
    [assert_badarg(fun() -> ?RPC:encode_error(Wrong, 1, <<>>) end, 1) || Wrong <- wrong_ids()],
    [assert_badarg(fun() -> ?RPC:encode_error(Wrong, 1, <<>>, 1) end, 1) || Wrong <- wrong_ids()],
    assert_badarg(fun() -> ?RPC:encode_request(1, "a", #{}) end, 2),
    assert_badarg(fun() -> ?RPC:encode_request(1, <<"a">>, 5) end, 3),
    assert_badarg(fun() -> ?RPC:encode_request(1, <<"a">>, null) end, 3),
    assert_badarg(fun() -> ?RPC:encode_request(1, a, undefined) end, 2),
    assert_badarg(fun() -> ?RPC:encode_notification(a, #{}) end, 1),
    assert_badarg(fun() -> ?RPC:encode_notification(<<"a">>, {}) end, 2),
    assert_badarg(fun() -> ?RPC:encode_error(1, 1.0, <<>>) end, 2),
    assert_badarg(fun() -> ?RPC:encode_error(1, 1, "m") end, 3),
    assert_badarg(fun() -> ?RPC:encode_error(1, 1, m, 1) end, 3),
    [
        assert_badarg(fun() -> ?RPC:encode_batch(Wrong) end, 1)
     || Wrong <- [[], atom, [atom], {batch, []}, [{batch, [{response, 1, 1}]}], [{request, 1}]]
    ].

wrong_ids() -> [undefined, atom, [], "a", #{}, {1}, self(), <<1:3>>].

assert_badarg(Fun, Position) ->
    try Fun() of
        Value -> ct:fail("no badarg but ~p", [Value])
    catch
        error:badarg:Stack ->
            [{Module, _, Arguments, Info} | _] = Stack,
            ?assert(lists:member(Module, [?RPC, erlmcp_native_json])),
            ?assert(is_list(Arguments)),
            #{cause := Cause} = proplists:get_value(error_info, Info),
            ?assert(is_map_key(Position, Cause), Cause)
    end.

iodata_in_any_form(_) ->
    Text = <<"{", ?V, ",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"n\"}}">>,
    Expected = {request, 1, <<"tools/call">>, #{<<"name">> => <<"n">>}},
    <<_, Part:(byte_size(Text))/binary, _/binary>> = <<"x", Text/binary, "x">>,
    Forms = [
        Text,
        Part,
        binary_to_list(Text),
        [[C] || <<C>> <= Text],
        [[], [binary:part(Text, 0, 20)] | binary:part(Text, 20, byte_size(Text) - 20)]
    ],
    [
        begin
            ?assertEqual(Expected, ?RPC:decode(Form)),
            ?assertEqual(
                {request, 1, <<"tools/call">>, <<"{\"name\":\"n\"}">>},
                ?RPC:decode(Form, #{params => raw})
            ),
            ?assertMatch(#{tool := <<"n">>}, ?RPC:peek(Form)),
            ?assertEqual(
                ok,
                ?RPC:headers_match(
                    [{<<"Mcp-Method">>, <<"tools/call">>}, {<<"Mcp-Name">>, <<"n">>}], Form
                )
            )
        end
     || Form <- Forms
    ].

%% No call takes more than a millisecond on a normal scheduler, whatever the size.
stays_short(_) ->
    Escapes = binary:copy(<<"\\u00e9">>, 5000),
    Texts = [
        <<"{", ?V, ",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"",
            (binary:part(Escapes, 0, (Size div 6) * 6))/binary, "\",\"a\":[",
            (binary:copy(<<"1,">>, Size))/binary, "1]}}">>
     || Size <- [100, 3000, 9000, 10_000, 20_000]
    ],
    Batches = [
        ["[", lists:join(",", lists:duplicate(Size, "{}")), "]"]
     || Size <- [10, 900, 5000, 10_000, 100_000]
    ],
    erlmcp_native_call_time:assert_short(fun() ->
        [
            begin
                _ = ?RPC:decode(Text),
                _ = ?RPC:decode(Text, #{params => raw}),
                _ = ?RPC:decode(Text, #{max_batch => infinity}),
                _ = ?RPC:peek(Text),
                _ = ?RPC:headers_match([{<<"mcp-method">>, iolist_to_binary(Text)}], Text)
            end
         || Text <- Texts ++ Batches
        ],
        [_ = ?RPC:encode_response(1, lists:seq(1, N)) || N <- [1000, 100_000, 1_000_000]]
    end).

reply(Id, Code, Message) ->
    #{
        <<"jsonrpc">> => <<"2.0">>,
        <<"error">> => #{<<"code">> => Code, <<"message">> => Message},
        <<"id">> => Id
    }.

reply_of({invalid, _, _, _, Reply}) when is_binary(Reply) -> erlmcp_native_json:decode(Reply).
