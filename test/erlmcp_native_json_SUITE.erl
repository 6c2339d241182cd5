-module(erlmcp_native_json_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([
    properties/1,
    json_test_suite/1,
    duplicates_of_wide_objects/1,
    integers/1,
    digit_limit/1,
    floats/1,
    text/1,
    error_reasons/1,
    error_positions/1,
    keys/1,
    objects/1,
    null/1,
    duplicates/1,
    depth_limit/1,
    size_limit/1,
    trailing/1,
    wrong_terms/1,
    unknown_options/1,
    get/1,
    get_errors/1,
    stream_chunks/1,
    stream_forms/1,
    stream_errors/1,
    stream_end/1,
    stream_options/1
]).

-define(json, erlmcp_native_json).
-define(oracle, erlmcp_json_baseline).
-define(test, erlmcp_native_test_json).

all() ->
    [properties, json_test_suite, {group, decode}, {group, get}, {group, stream}].

groups() ->
    [
        {decode, [], [
            duplicates_of_wide_objects, integers, digit_limit, floats, text, error_reasons,
            error_positions, keys, objects, null, duplicates, depth_limit, size_limit, trailing,
            wrong_terms, unknown_options
        ]},
        {get, [], [get, get_errors]},
        {stream, [], [stream_chunks, stream_forms, stream_errors, stream_end, stream_options]}
    ].

init_per_group(_, Config) -> Config.

end_per_group(_, _) -> ok.

%% The whole

properties(_) ->
    erlmcp_native_test_proper:check(prop_json).

%% Every y_ is accepted, every n_ refused, nothing crashes, and the answer is the oracle's.
json_test_suite(_) ->
    case erlmcp_native_test_data:files("JSONTestSuite", "*.json") of
        [] ->
            {skip, "no JSONTestSuite: " ++ erlmcp_native_test_data:how_to_find()};
        Files ->
            ?assertEqual([], lists:append([check_file(File) || File <- Files])),
            {comment, integer_to_list(length(Files)) ++ " files"}
    end.

check_file(File) ->
    {ok, Text} = file:read_file(File),
    Expected = ?test:outcome(fun() -> ?oracle:decode(Text) end),
    Outcome = ?test:outcome(fun() -> ?json:decode(Text) end),
    Tried = ?json:try_decode(Text, #{}),
    Kind = hd(filename:basename(File)),
    [
        {filename:basename(File), Problem}
     || {Problem, true} <- [
            {refused, Kind =:= $y andalso element(1, Outcome) =:= error},
            {accepted, Kind =:= $n andalso element(1, Outcome) =:= ok},
            {{oracle, Expected, Outcome}, not agrees(Expected, Outcome)},
            {{try_decode, Tried}, element(1, Tried) =/= element(1, Outcome)}
        ]
    ].

agrees({error, Reason, none}, {error, Reason, _}) -> true;
agrees(Expected, Outcome) -> Expected =:= Outcome.

%% Decoding

%% On an unpatched OTP enif_make_map_from_arrays makes a map of more than 32 keys that is not
%% the one it looks like when a key comes twice.
duplicates_of_wide_objects(_) ->
    [
        begin
            Names = [integer_to_binary(N) || N <- lists:seq(1, Keys)],
            Again = lists:sublist(Names, Twice),
            Text = object([{Name, <<"1">>} || Name <- Names] ++ [{Name, <<"2">>} || Name <- Again]),
            First = maps:from_list([{Name, 1} || Name <- Names]),
            Last = maps:merge(First, maps:from_list([{Name, 2} || Name <- Again])),
            same_map(First, ?json:decode(Text)),
            same_map(First, ?json:decode(Text, #{duplicate_keys => first})),
            same_map(Last, ?json:decode(Text, #{duplicate_keys => last})),
            ?assertError(
                {duplicate_key, <<"1">>},
                ?json:decode(Text, #{duplicate_keys => error})
            )
        end
     || Keys <- [1, 2, 31, 32, 33, 34, 64, 100, 1000], Twice <- [1, 2, 33], Twice =< Keys
    ],
    %% 34 members, two keys.
    Two = object([{<<"a">>, <<"1">>} || _ <- lists:seq(1, 17)] ++
        [{<<"b">>, <<"2">>} || _ <- lists:seq(1, 17)]),
    same_map(#{<<"a">> => 1, <<"b">> => 2}, ?json:decode(Two)),
    same_map(#{<<"a">> => 1, <<"b">> => 2}, ?json:decode(Two, #{duplicate_keys => last})),
    %% Keys that are equal only once read.
    same_map(#{<<"é"/utf8>> => 1}, ?json:decode(<<"{\"é\":1,\"\\u00e9\":2}"/utf8>>)).

same_map(Expected, Map) ->
    ?assertEqual(Expected, Map),
    ?assertEqual(map_size(Expected), map_size(Map)),
    ?assertEqual(erlang:phash2(Expected), erlang:phash2(Map)),
    [?assertEqual(Value, maps:get(Key, Map)) || {Key, Value} <- maps:to_list(Expected)],
    ?assertEqual(#{}, maps:without(maps:keys(Expected), Map)),
    ?assertEqual(Expected#{new => 1}, Map#{new => 1}).

object(Pairs) ->
    iolist_to_binary([${, lists:join($,, [[$", Key, "\":", Value] || {Key, Value} <- Pairs]), $}]).

integers(_) ->
    Edges = [
        Sign * ((1 bsl Power) + Offset)
     || Power <- [0, 7, 8, 31, 32, 53, 58, 59, 60, 62, 63, 64, 65, 127, 128, 1000, 30000],
        Offset <- [-1, 0, 1], Sign <- [1, -1]
    ],
    [
        begin
            ?assertEqual(Integer, ?json:decode(integer_to_binary(Integer))),
            ?assertEqual([Integer, Integer], ?json:decode(?json:encode([Integer, Integer]))),
            ?assertEqual(integer_to_binary(Integer), ?json:encode(Integer))
        end
     || Integer <- Edges
    ],
    ?assertEqual(0, ?json:decode(<<"-0">>)).

digit_limit(_) ->
    [
        begin
            Digits = binary:copy(<<"9">>, Count),
            Expected = binary_to_integer(Digits),
            Over = Count - 1,
            ?assertEqual(Expected, ?json:decode(Digits, #{max_digits => Count})),
            ?assertEqual(Expected, ?json:decode(Digits, #{max_digits => Count + 1})),
            ?assertEqual(-Expected, ?json:decode(<<"-", Digits/binary>>, #{max_digits => Count})),
            ?assertEqual(Expected, ?json:decode(Digits, #{max_digits => infinity})),
            [
                ?assertMatch(
                    {error, #{reason := {max_digits, Over}}},
                    ?json:try_decode(Text, #{max_digits => Over})
                )
             || Text <- [Digits, <<"[-", Digits/binary, "]">>, <<"{\"a\":", Digits/binary, "}">>]
            ]
        end
     || Count <- [20, 21, 22, 400, 5000]
    ],
    %% What fits 64 bits is no effort and not limited.
    ?assertEqual(9223372036854775807, ?json:decode(<<"9223372036854775807">>, #{max_digits => 1})),
    %% Without the option too, digits end somewhere, and cost nothing when they are not wanted.
    Digits = binary:copy(<<"7">>, 100000),
    ?assertEqual(integer_to_binary(?json:decode(Digits)), Digits),
    ?assertError({max_digits, 100000}, ?json:decode(<<Digits/binary, "7">>)).

floats(_) ->
    [
        ?assertEqual(<<Float/float>>, <<(?json:decode(Text))/float>>)
     || {Text, Float} <- [
            {<<"-0.0">>, -0.0},
            {<<"-0e1">>, -0.0},
            {<<"0.0">>, 0.0},
            {<<"1e400">>, error},
            {<<"-1.5E+400">>, error},
            {<<"1e-400">>, 0.0},
            {<<"-1e-400">>, -0.0},
            {<<"1e5">>, 100000.0},
            {<<"1E0">>, 1.0},
            {<<"0e0">>, 0.0},
            {<<"4.9406564584124654e-324">>, 5.0e-324},
            {<<"2.2250738585072011e-308">>, 2.225073858507201e-308},
            {<<"1.7976931348623157e308">>, 1.7976931348623157e308},
            {<<"9007199254740993.0">>, 9007199254740992.0},
            {<<"0.1000000000000000055511151231257827021181583404541015625">>, 0.1},
            {<<"123456789012345678901234567890.0">>, 123456789012345678901234567890.0}
        ],
        Float =/= error
    ],
    ?assertError({unexpected_sequence, <<"1.0e400">>}, ?json:decode(<<"1e400">>)),
    ?assertError({unexpected_sequence, <<"-1.5E+400">>}, ?json:decode(<<"[-1.5E+400]">>)),
    [
        ?assertEqual(Text, ?json:encode(Float))
     || {Text, Float} <- [
            {<<"-0.0">>, -0.0}, {<<"0.1">>, 0.1}, {<<"1.0e22">>, 1.0e22},
            {<<"5.0e-324">>, 5.0e-324}, {<<"0.001">>, 0.001},
            {<<"1.7976931348623157e308">>, 1.7976931348623157e308},
            {<<"9007199254740991.0">>, 9007199254740991.0}, {<<"100.0">>, 100.0}
        ]
    ],
    %% As OTP writes it, each release in its own way.
    [
        ?assertEqual(float_to_binary(Float, [short]), ?json:encode(Float))
     || Power <- lists:seq(-30, 30),
        Float <- [math:pow(10, Power), 1.25 * math:pow(10, Power), math:pow(2, Power * 2)]
    ].

text(_) ->
    [
        ?assertEqual(Expected, ?json:decode(<<$", Text/binary, $">>))
     || {Text, Expected} <- [
            {<<>>, <<>>},
            {<<"\\\"\\\\\\/\\b\\f\\n\\r\\t">>, <<"\"\\/\b\f\n\r\t">>},
            {<<"\\u0000\\u001F\\u007f">>, <<0, 16#1F, 16#7F>>},
            {<<"\\u00E9\\u20ac\\uD83D\\uDE00">>, <<"é€😀"/utf8>>},
            {<<"\\udbff\\udfff">>, <<16#10FFFF/utf8>>},
            {<<16#EF, 16#BF, 16#BF>>, <<16#FFFF/utf8>>}
        ]
    ],
    %% Half a surrogate pair is no text.
    [
        ?assertError({unexpected_sequence, Bad}, ?json:decode(<<$", Bad/binary, $">>))
     || Bad <- [
            <<"\\uDC00">>, <<"\\udfff">>, <<"\\u12g4">>, <<"\\uD800\\uD800">>,
            <<"\\ud800\\u0041">>
        ]
    ],
    ?assertError({invalid_byte, $x}, ?json:decode(<<"\"\\uD800xxxxxxxxxxxx\"">>)),
    [
        ?assertError({invalid_byte, _}, ?json:decode(<<$", Bad/binary, "        \"">>))
     || Bad <- [
            <<16#80>>, <<16#C0, 16#80>>, <<16#E0, 16#80, 16#80>>, <<16#ED, 16#A0, 16#80>>,
            <<16#F4, 16#90, 16#80, 16#80>>, <<16#F8>>, <<0>>, <<31>>, <<$\n>>
        ]
    ].

error_reasons(_) ->
    [
        ?assertEqual({Text, {error, Reason}}, {Text, ?test:reason(fun() -> ?json:decode(Text) end)})
     || {Text, Reason} <- [
            {<<>>, unexpected_end},
            {<<"  ">>, unexpected_end},
            {<<"[1">>, unexpected_end},
            {<<"{\"a\":1,">>, unexpected_end},
            {<<"\"abc">>, unexpected_end},
            {<<"\"\\u12">>, unexpected_end},
            {<<"\"", 16#E2, 16#82>>, unexpected_end},
            {<<"-">>, unexpected_end},
            {<<"1.">>, unexpected_end},
            {<<"nul">>, unexpected_end},
            %% OTP takes a wrong word for an early end unless more input than it needs is there.
            {<<"trux">>, unexpected_end},
            {<<"trux ">>, {invalid_byte, $r}},
            {<<"[1,]">>, {invalid_byte, $]}},
            {<<"{\"a\":1,}">>, {invalid_byte, $}}},
            {<<"{a:1}">>, {invalid_byte, $a}},
            {<<"{\"a\" 1}">>, {invalid_byte, $1}},
            {<<"01">>, {invalid_byte, $1}},
            {<<"+1">>, {invalid_byte, $+}},
            {<<"1.e5">>, {invalid_byte, $e}},
            {<<"1e+ ">>, {invalid_byte, $\s}},
            {<<"\"\\x\"">>, {invalid_byte, $x}},
            {<<"\"\t\"">>, {invalid_byte, $\t}},
            {<<16#EF, 16#BB, 16#BF, "1">>, {invalid_byte, 16#EF}},
            {<<"1 2">>, {invalid_byte, $\s}},
            {<<"[]]">>, {invalid_byte, $]}},
            {<<"NaN">>, {invalid_byte, $N}}
        ]
    ].

error_positions(_) ->
    [
        begin
            {error, Error} = ?json:try_decode(Text, #{}),
            ?assertEqual(
                {Text, Offset, Line, Column},
                {Text, maps:get(offset, Error), maps:get(line, Error), maps:get(column, Error)}
            ),
            ?assertEqual([column, line, offset, reason], lists:sort(maps:keys(Error))),
            ?assertMatch({error, _, Offset}, ?test:outcome(fun() -> ?json:decode(Text) end)),
            %% The same in pieces.
            ?assertEqual({error, Error}, ?json:try_decode(?test:chunks(Text, [1]), #{}))
        end
     || {Text, Offset, Line, Column} <- [
            {<<"]">>, 0, 1, 1},
            {<<"[1,x]">>, 3, 1, 4},
            {<<"[1,\nx]">>, 4, 2, 1},
            {<<"[\"é\",\r\n\n  x]"/utf8>>, 11, 3, 3},
            {<<"\n\n\"", 16#FF, "\"">>, 3, 3, 2},
            {<<"[\"\\uDC00\"]">>, 2, 1, 3},
            {<<"{\"a\":1e999}">>, 5, 1, 6},
            {<<"1]">>, 1, 1, 2}
        ]
    ],
    {error, #{reason := unexpected_end, offset := 2, line := 1, column := 3}} =
        ?json:try_decode(<<"[1">>, #{}),
    {error, #{offset := 2, line := 2, column := 1}} = ?json:try_decode(<<"[\n">>, #{}).

keys(_) ->
    Unknown = <<"no_atom_", (binary:encode_hex(crypto:strong_rand_bytes(12)))/binary>>,
    Text = object([{Unknown, <<"1">>}, {<<"jsonrpc">>, <<"2">>}, {<<"é"/utf8>>, <<"3">>}]),
    ?assertEqual(
        #{Unknown => 1, <<"jsonrpc">> => 2, <<"é"/utf8>> => 3},
        ?json:decode(Text, #{keys => binary})
    ),
    _ = [jsonrpc, 'é'],
    ?assertEqual(
        #{Unknown => 1, jsonrpc => 2, 'é' => 3},
        ?json:decode(Text, #{keys => existing_atom})
    ),
    ?assertEqual(
        #{Unknown => 1, <<"jsonrpc">> => 2, 'é' => 3},
        ?json:decode(Text, #{keys => {atoms, ['é', id]}})
    ),
    ?assertEqual(
        #{Unknown => 1, <<"jsonrpc">> => 2, <<"é"/utf8>> => 3},
        ?json:decode(Text, #{keys => {atoms, []}})
    ),
    ?assertError(badarg, binary_to_existing_atom(Unknown)),
    %% Longer than an atom can be; and input makes no atoms.
    Long = binary:copy(<<"k">>, 256),
    ?assertEqual(#{Long => 1}, ?json:decode(object([{Long, <<"1">>}]), #{keys => existing_atom})),
    Before = erlang:system_info(atom_count),
    New = [<<"new_", (integer_to_binary(N))/binary>> || N <- lists:seq(1, 5000)],
    Many = object([{Name, <<"1">>} || Name <- New]),
    ?assertEqual(5000, map_size(?json:decode(Many, #{keys => existing_atom}))),
    ?assertEqual(5000, map_size(?json:decode(Many, #{keys => {atoms, [jsonrpc]}}))),
    ?assert(erlang:system_info(atom_count) - Before < 1000).

objects(_) ->
    Text = <<"{\"b\":[{}],\"a\":{\"c\":1}}">>,
    ?assertEqual(
        #{<<"b">> => [#{}], <<"a">> => #{<<"c">> => 1}},
        ?json:decode(Text, #{objects => map})
    ),
    ?assertEqual(
        {[{<<"b">>, [{[]}]}, {<<"a">>, {[{<<"c">>, 1}]}}]},
        ?json:decode(Text, #{objects => tuple})
    ),
    ?assertMatch(
        [{<<"b">>, [_]}, {<<"a">>, [{<<"c">>, 1}]}],
        ?json:decode(Text, #{objects => proplist})
    ),
    Wide = [{integer_to_binary(N), N} || N <- lists:seq(1, 100)],
    WideText = object([{Key, integer_to_binary(N)} || {Key, N} <- Wide]),
    ?assertEqual({Wide}, ?json:decode(WideText, #{objects => tuple})),
    ?assertEqual(Wide, ?json:decode(WideText, #{objects => proplist})).

null(_) ->
    [
        ?assertEqual(
            [Null, #{<<"null">> => Null}],
            ?json:decode(<<"[null,{\"null\":null}]">>, #{null => Null})
        )
     || Null <- [null, nil, undefined, [], {}, <<"none">>, {'NULL', 1 bsl 80}, self()]
    ].

duplicates(_) ->
    Text = <<"{\"a\":1,\"b\":{\"c\":1,\"c\":2},\"a\":3}">>,
    ?assertEqual(#{<<"a">> => 1, <<"b">> => #{<<"c">> => 1}}, ?json:decode(Text)),
    ?assertEqual(
        #{<<"a">> => 3, <<"b">> => #{<<"c">> => 2}},
        ?json:decode(Text, #{duplicate_keys => last})
    ),
    ?assertMatch(
        {error, #{reason := {duplicate_key, <<"c">>}, line := 1}},
        ?json:try_decode(Text, #{duplicate_keys => error})
    ),
    %% The same key in two objects is none.
    ?assertEqual(
        [#{<<"a">> => 1}, #{<<"a">> => #{<<"a">> => 2}}],
        ?json:decode(<<"[{\"a\":1},{\"a\":{\"a\":2}}]">>, #{duplicate_keys => error})
    ).

depth_limit(_) ->
    [
        begin
            Text = iolist_to_binary([
                lists:duplicate(Depth, Open), <<"1">>, lists:duplicate(Depth, Close)
            ]),
            ?assertMatch({ok, _}, ?json:try_decode(Text, #{max_depth => Depth})),
            ?assertMatch({ok, _}, ?json:try_decode(Text, #{max_depth => Depth + 1})),
            ?assertMatch({ok, _}, ?json:try_decode(Text, #{max_depth => infinity})),
            [
                ?assertMatch(
                    {error, #{reason := {max_depth, _}}},
                    ?json:try_decode(Text, #{max_depth => Depth - 1})
                )
             || Depth > 1
            ]
        end
     || Depth <- [1, 2, 63, 64, 65, 128, 512, 513], {Open, Close} <- [{$[, $]}, {"{\"a\":", $}}]
    ],
    ?assertEqual(1, ?json:decode(<<"1">>, #{max_depth => 1})).

size_limit(_) ->
    [
        begin
            Text = iolist_to_binary([$", lists:duplicate(Size - 2, $a), $"]),
            ?assertMatch({ok, _}, ?json:try_decode(Text, #{max_size => Size})),
            ?assertMatch({ok, _}, ?json:try_decode([Text], #{max_size => Size + 1})),
            [
                ?assertMatch(
                    {error, #{reason := {max_size, _}}},
                    ?json:try_decode(Input, #{max_size => Size - 1})
                )
             || Input <- [Text, [Text], binary_to_list(Text)]
            ]
        end
     || Size <- [2, 100, 100000]
    ].

trailing(_) ->
    [
        ?assertEqual({Term, Rest}, ?json:decode(Text, #{trailing => return}))
     || {Text, Term, Rest} <- [
            {<<"1">>, 1, <<>>}, {<<"[]x">>, [], <<"x">>}, {<<"{}{}">>, #{}, <<"{}">>},
            {<<"\"a\"\"b\"">>, <<"a">>, <<"\"b\"">>}, {<<"12,3">>, 12, <<",3">>}
        ]
    ],
    ?assertEqual({1, <<"x">>}, ?json:decode(["1", <<"x">>], #{trailing => return})),
    ?assertError({invalid_byte, $x}, ?json:decode(<<"[]x">>, #{trailing => error})),
    ?assertError(unexpected_end, ?json:decode(<<"[1,">>, #{trailing => return})).

wrong_terms(_) ->
    [
        begin
            ?test:refused(fun() -> ?json:decode(Wrong) end),
            ?test:refused(fun() -> ?json:decode(Wrong, #{}) end),
            ?test:refused(fun() -> ?json:try_decode(Wrong, #{}) end),
            ?test:refused(fun() -> ?json:get(Wrong, []) end),
            ?test:refused(fun() -> ?json:stream_feed(?json:stream_new(#{}), Wrong) end)
        end
     || Wrong <- [a, 1, 1.0, {}, #{}, self(), make_ref(), <<1:3>>, [256], [-1], [a], [$1 | $2],
            [<<1:1>>], 1 bsl 70, fun() -> ok end]
    ].

unknown_options(_) ->
    Wrong = [
        a, [], [{keys, binary}], #{unknown => 1}, #{<<"keys">> => binary}, #{1 => 2},
        #{keys => atom}, #{keys => {atoms, [<<"a">>]}}, #{keys => {atoms, a}}, #{objects => list},
        #{duplicate_keys => any}, #{strings => none}, #{max_depth => 0}, #{max_depth => -1},
        #{max_depth => 1.0}, #{max_size => 0}, #{max_size => none}, #{max_digits => 0},
        #{max_digits => a}, #{trailing => ignore}, #{keys => binary, pretty => true}
    ],
    [
        ?test:refused(fun() -> Call(Options) end)
     || Call <- [
            fun(Options) -> ?json:decode(<<"1">>, Options) end,
            fun(Options) -> ?json:try_decode(<<"1">>, Options) end,
            fun ?json:stream_new/1
        ],
        Options <- Wrong
    ].

%% One value

get(_) ->
    Text = <<
        " {\"a\\u0062\":{\"x\":[10,{\"y\":null},\"s\\n\"]},"
        "\"ab\":2,\"n\":-1.5e3,\"e\":{},\"\":7} "
    >>,
    [
        ?assertEqual({Path, {ok, Value}}, {Path, ?json:get(Text, Path)})
     || {Path, Value} <- [
            {[<<"ab">>, <<"x">>, 0], 10},
            {[<<"ab">>, <<"x">>, 1], #{<<"y">> => null}},
            {[<<"ab">>, <<"x">>, 1, <<"y">>], null},
            {[<<"ab">>, <<"x">>, 2], <<"s\n">>},
            {[<<"n">>], -1500.0},
            {[<<"e">>], #{}},
            {[<<>>], 7},
            {[], ?json:decode(Text)}
        ]
    ],
    [
        ?assertEqual({Path, {error, not_found}}, {Path, ?json:get(Text, Path)})
     || Path <- [
            [<<"a">>], [0], [<<"ab">>, <<"x">>, 3], [<<"ab">>, <<"x">>, <<"0">>], [<<"n">>, 0],
            [<<"ab">>, <<"x">>, 0, <<"y">>], [<<"e">>, <<"x">>], [<<"ab">>, <<"x">>, 1 bsl 64 - 1]
        ]
    ],
    ?assertEqual({ok, [1]}, ?json:get([<<"{\"k">>, "\":[", <<"1]}">>], [<<"k">>])).

get_errors(_) ->
    [
        ?assertMatch({Text, {error, #{reason := _, offset := _}}}, {Text, ?json:get(Text, Path)})
     || Path <- [[<<"a">>], [<<"a">>, 0]],
        Text <- [
            <<>>, <<"{">>, <<"x">>, <<"[1,}">>, <<"tru">>, <<"{\"a\"}">>, <<"{\"a\":[,1]}">>,
            <<"{\"b\":[1,},\"a\":1}">>, <<"{\"b\":\"\\x\",\"a\":1}">>, <<"{\"a\":1e999}">>,
            <<"{\"a\":tru}">>
        ]
    ],
    %% What comes behind is not read.
    ?assertEqual({ok, 1}, ?json:get(<<"{\"a\":1 x">>, [<<"a">>])),
    [
        ?test:refused(fun() -> ?json:get(<<"{}">>, Path) end)
     || Path <- [a, [a], [-1], [1 bsl 64], [1.0], [<<"a">> | b], <<"a">>, [<<1:1>>], [[]]]
    ].

%% Streams

stream_chunks(_) ->
    Text = <<
        "{\"a\":[1,-2.5e3,\"\\u00e9\\ud83d\\ude00é\"]}\n[]\n"/utf8,
        "true null\n\n 12345 \"x\" {} 0\n"
    >>,
    Expected = [
        #{<<"a">> => [1, -2500.0, <<"é😀é"/utf8>>]}, [], true, null, 12345, <<"x">>, #{}, 0
    ],
    [
        ?assertEqual({Sizes, {Expected, ok}}, {Sizes, feed(#{}, ?test:chunks(Text, Sizes))})
     || Sizes <- [[1], [0, 1, 0], [2], [3], [5, 1], [7], [16], [1000]]
    ],
    [
        begin
            <<First:At/binary, Second/binary>> = Text,
            ?assertEqual({At, {Expected, ok}}, {At, feed(#{}, [First, <<>>, [Second]])})
        end
     || At <- lists:seq(0, byte_size(Text))
    ].

%% All terms and what the end says.
feed(Options, Chunks) ->
    feed(?json:stream_new(Options), Chunks, []).

feed(Stream0, [Chunk | Chunks], Before) ->
    {ok, Terms, Stream} = ?json:stream_feed(Stream0, Chunk),
    feed(Stream, Chunks, Before ++ Terms);
feed(Stream, [], Terms) ->
    {Terms, ?json:stream_end(Stream)}.

stream_forms(_) ->
    ?assertEqual({[], ok}, feed(#{}, [])),
    ?assertEqual({[], ok}, feed(#{}, [<<>>, <<" \r\n\t">>])),
    %% Concatenated without anything between.
    ?assertEqual({[#{}, [], <<"a">>, [1]], ok}, feed(#{}, [<<"{}[]\"a\"[1]">>])),
    ?assertEqual({[#{}, #{<<"a">> => 1}], ok}, feed(#{}, [<<"{}{\"a\"">>, <<":1}">>])),
    %% A number is whole when something stands behind it.
    {ok, [], Stream} = ?json:stream_feed(?json:stream_new(#{}), <<"12">>),
    {ok, [123], Stream1} = ?json:stream_feed(Stream, <<"3\n4">>),
    {ok, [45], _} = ?json:stream_feed(Stream1, <<"5 ">>),
    %% A stream is a plain term, so an earlier one can be gone on with again.
    {ok, [129], _} = ?json:stream_feed(Stream, <<"9\n">>),
    %% One a line.
    Lines = <<"{\"a\":[1]}\n\r\n[]\r\n  \n12\n\"x\"\n">>,
    [
        ?assertEqual(
            {Sizes, {[#{<<"a">> => [1]}, [], 12, <<"x">>], ok}},
            {Sizes, feed(#{framing => lines}, ?test:chunks(Lines, Sizes))}
        )
     || Sizes <- [[1], [2, 3], [1000]]
    ].

stream_errors(_) ->
    {error, Error, [[1], 2], Stream} =
        ?json:stream_feed(?json:stream_new(#{}), <<"[1]\n2 ]{\"lost\":1}\n[3]\n[">>),
    ?assertEqual(#{reason => {invalid_byte, $]}, offset => 0, line => 1, column => 1}, Error),
    {ok, [[3]], Stream1} = ?json:stream_feed(Stream, <<>>),
    {ok, [[4]], Stream2} = ?json:stream_feed(Stream1, <<"4]">>),
    ?assertEqual(ok, ?json:stream_end(Stream2)),
    %% The line with the error ends in a later chunk.
    {error, #{reason := {invalid_byte, $,}, offset := 1}, [], Broken} =
        ?json:stream_feed(?json:stream_new(#{}), <<"{,\"a\":[]} [">>),
    {ok, [], Broken1} = ?json:stream_feed(Broken, <<"[1] [2]">>),
    {ok, [[3]], Broken2} = ?json:stream_feed(Broken1, <<"\n[3]">>),
    ?assertEqual(ok, ?json:stream_end(Broken2)),
    %% With one document a line, an open bracket spoils only its own line; several errors come
    %% one at a time.
    {error, #{reason := unexpected_end}, [1], Line} =
        ?json:stream_feed(?json:stream_new(#{framing => lines}), <<"1\n[2\n3\n4 4\n5\n">>),
    {error, #{reason := {invalid_byte, $\s}}, [3], Line1} = ?json:stream_feed(Line, <<"6">>),
    {ok, [5], Line2} = ?json:stream_feed(Line1, <<>>),
    ?assertEqual({ok, [6]}, ?json:stream_end(Line2)).

stream_end(_) ->
    [
        begin
            {ok, _, Stream} = ?json:stream_feed(?json:stream_new(#{framing => Framing}), Text),
            ?assertMatch(
                {Framing, Text, {error, #{reason := unexpected_end}}},
                {Framing, Text, ?json:stream_end(Stream)}
            )
        end
     || Framing <- [concatenated, lines],
        Text <- [
            <<"[">>, <<"{\"a\"">>, <<"\"abc">>, <<"tr">>, <<"-">>, <<"1.">>, <<"[]\n{">>,
            <<"1\n[2">>
        ]
    ],
    [
        ?assertEqual({[], {ok, [12]}}, feed(#{framing => Framing}, [<<"1">>, <<"2">>]))
     || Framing <- [concatenated, lines]
    ],
    %% What an error left unread counts as well.
    {error, _, [], Stream} = ?json:stream_feed(?json:stream_new(#{}), <<"]\n[1]\n2">>),
    ?assertEqual({ok, [[1], 2]}, ?json:stream_end(Stream)),
    {error, _, [], Skipping} = ?json:stream_feed(?json:stream_new(#{}), <<"] [1] 2">>),
    ?assertEqual(ok, ?json:stream_end(Skipping)).

stream_options(_) ->
    ?assertEqual(
        {[{[{<<"a">>, nil}]}], ok},
        feed(#{objects => tuple, null => nil}, [<<"{\"a\":n">>, <<"ull}">>])
    ),
    {error, #{reason := {max_depth, 2}}, [[[1]]], _} =
        ?json:stream_feed(?json:stream_new(#{max_depth => 2}), <<"[[1]] [[[]]]">>),
    %% By default a stream faces a network.
    Deep = iolist_to_binary([lists:duplicate(513, $[), lists:duplicate(513, $])]),
    {error, #{reason := {max_depth, 512}}, [], _} =
        ?json:stream_feed(?json:stream_new(#{}), Deep),
    {ok, [_], _} = ?json:stream_feed(?json:stream_new(#{}), binary:part(Deep, 1, 1024)),
    {ok, [_], _} = ?json:stream_feed(?json:stream_new(#{max_depth => infinity}), Deep),
    %% The size is that of one document, which need not be whole to be too large.
    Limited = ?json:stream_new(#{max_size => 10}),
    {ok, [[12, 45], [67, 90]], Limited1} = ?json:stream_feed(Limited, <<"[12,45]\n[67,90]\n">>),
    {ok, [<<"12345678">>], Limited2} = ?json:stream_feed(Limited1, <<"\"12345678\"\"12345">>),
    ?assertMatch(
        {error, #{reason := {max_size, 10}}, [], _},
        ?json:stream_feed(Limited2, <<"67890">>)
    ),
    [
        ?test:refused(fun() -> ?json:stream_new(Options) end)
     || Options <- [#{framing => headers}, #{trailing => error}, #{framing => 1}]
    ],
    [
        ?test:refused(fun() -> Call(Wrong) end)
     || Wrong <- [a, {}, {stream}, #{}, []],
        Call <- [fun ?json:stream_end/1, fun(Stream) -> ?json:stream_feed(Stream, <<>>) end]
    ].
