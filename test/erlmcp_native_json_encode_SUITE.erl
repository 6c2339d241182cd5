-module(erlmcp_native_json_encode_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0]).
-export([
    terms/1,
    errors/1,
    unknown_options/1,
    pretty/1,
    escape/1,
    sort_keys/1,
    proplists/1,
    fragments/1,
    other/1
]).

-define(json, erlmcp_native_json).
-define(test, erlmcp_native_test_json).

all() ->
    [terms, errors, unknown_options, pretty, escape, sort_keys, proplists, fragments, other].

terms(_) ->
    [
        begin
            ?assertEqual(Text, ?json:encode(Term)),
            ?assertEqual(Text, iolist_to_binary(?json:encode_to_iodata(Term)))
        end
     || {Term, Text} <- [
            {null, <<"null">>}, {true, <<"true">>}, {false, <<"false">>}, {[], <<"[]">>},
            {#{}, <<"{}">>}, {<<>>, <<"\"\"">>}, {undefined, <<"\"undefined\"">>},
            {'a"b', <<"\"a\\\"b\"">>}, {'日', <<"\"日\""/utf8>>}, {"ab", <<"[97,98]">>},
            {[[], [[]], #{}], <<"[[],[[]],{}]">>},
            {#{a => 1}, <<"{\"a\":1}">>}, {#{1 => 2}, <<"{\"1\":2}">>},
            {#{1.5 => null}, <<"{\"1.5\":null}">>}, {#{null => true}, <<"{\"null\":true}">>},
            {#{(-(1 bsl 70)) => 1}, <<"{\"-1180591620717411303424\":1}">>},
            {<<0, 8, 9, 10, 11, 12, 13, 31, 127, "\"\\/">>,
                <<"\"\\u0000\\b\\t\\n\\u000B\\f\\r\\u001F", 127, "\\\"\\\\/\"">>}
        ]
    ],
    %% Part of a larger binary, at a bit offset.
    <<_:3, Part:5/binary, _:5>> = <<0:3, "\"abc\n", 0:5>>,
    ?assertEqual(<<"\"\\\"abc\\n\"">>, ?json:encode(Part)).

errors(_) ->
    [
        ?assertEqual({Term, {error, Reason}}, {Term, ?test:reason(fun() -> ?json:encode(Term) end)})
     || {Term, Reason} <- [
            {{}, {unsupported_type, {}}},
            {[1, {a}], {unsupported_type, {a}}},
            {#{a => <<1:1>>}, {unsupported_type, <<1:1>>}},
            {<<255>>, {invalid_byte, 255}},
            {<<"ab", 16#E2, 16#82>>, unexpected_end},
            {[<<16#C3, $a>>], {invalid_byte, $a}},
            {#{<<16#ED, 16#A0, 16#80>> => 1}, {invalid_byte, 16#A0}}
        ]
    ],
    %% OTP stops here with function_clause.
    ?assertError({improper_list, 2}, ?json:encode([1 | 2])),
    [?assertError({unsupported_type, Key}, ?json:encode(#{Key => 1})) || Key <- [[], {}, self()]].

unknown_options(_) ->
    Wrong = [
        a, [], [{pretty, true}], #{unknown => 1}, #{<<"pretty">> => true}, #{1 => 2},
        #{pretty => 0}, #{pretty => 256}, #{pretty => yes},
        #{escape => all}, #{escape_slash => yes}, #{sort_keys => 0},
        #{proplists => map}, #{fragments => 1}, #{other => fun(_, _) -> ok end}, #{other => a},
        #{keys => binary}
    ],
    [
        ?test:refused(fun() -> Call(1, Options) end)
     || Call <- [fun ?json:encode/2, fun ?json:encode_to_iodata/2], Options <- Wrong
    ].

pretty(_) ->
    Term = #{a => [1, [], #{}, [#{b => <<"x">>}]]},
    Pretty = ?json:encode(Term, #{pretty => true}),
    ?assertEqual(?json:decode(?json:encode(Term)), ?json:decode(Pretty)),
    Lines = binary:split(Pretty, <<"\n">>, [global]),
    ?assert(length(Lines) > 5),
    [?assertEqual(nomatch, re:run(Line, "[ \t]$")) || Line <- Lines],
    ?assertEqual(<<"1">>, ?json:encode(1, #{pretty => true})),
    ?assertEqual(?json:encode(Term), ?json:encode(Term, #{pretty => false})).

escape(_) ->
    ?assertEqual(<<"\"é/\""/utf8>>, ?json:encode(<<"é/"/utf8>>, #{escape => json})),
    Unicode = ?json:encode(#{'é' => <<"€😀"/utf8, 16#FFFF/utf8, "/">>}, #{escape => unicode}),
    ?assertEqual(<<"{\"\\u00E9\":\"\\u20AC\\uD83D\\uDE00\\uFFFF/\"}">>, upper_hex(Unicode)),
    ?assertEqual(<<"\"<\\/a>\"">>, ?json:encode(<<"</a>">>, #{escape_slash => true})),
    Both = ?json:encode(#{<<"/">> => <<"é/"/utf8>>}, #{escape => unicode, escape_slash => true}),
    ?assertEqual(<<"{\"\\/\":\"\\u00E9\\/\"}">>, upper_hex(Both)),
    [
        ?assertError(_, ?json:encode(Bad, #{escape => unicode}))
     || Bad <- [<<255>>, <<16#E2, 16#82>>, <<16#ED, 16#A0, 16#80>>]
    ].

%% The case of the digits is free.
upper_hex(Binary) ->
    iolist_to_binary(
        [
            case Part of
                <<"\\u", Digits:4/binary>> -> ["\\u", string:uppercase(Digits)];
                _ -> Part
            end
         || Part <- re:split(Binary, "(\\\\u[0-9a-fA-F]{4})")
        ]
    ).

sort_keys(_) ->
    ?assertEqual(
        <<"{\"1\":0,\"a\":{\"x\":1,\"y\":2},\"b\":[{\"c\":1,\"d\":2}]}">>,
        ?json:encode(
            #{b => [#{d => 2, <<"c">> => 1}], <<"a">> => #{y => 2, x => 1}, 1 => 0},
            #{sort_keys => true}
        )
    ),
    Wide = maps:from_list([{N, N} || N <- lists:seq(1, 200)]),
    {Pairs} = ?json:decode(?json:encode(Wide, #{sort_keys => true}), #{objects => tuple}),
    Keys = [Key || {Key, _} <- Pairs],
    ?assertEqual(lists:sort(Keys), Keys),
    ?assertEqual(200, length(Keys)).

proplists(_) ->
    On = #{proplists => true},
    [
        ?assertEqual(Text, ?json:encode(Term, On))
     || {Term, Text} <- [
            {[{a, 1}, {<<"b">>, [2]}], <<"{\"a\":1,\"b\":[2]}">>},
            {{[{a, {[]}}]}, <<"{\"a\":{}}">>},
            {[], <<"[]">>},
            {[[{a, 1}], [{b, 2}]], <<"[{\"a\":1},{\"b\":2}]">>},
            {#{a => [{b, 2}]}, <<"{\"a\":{\"b\":2}}">>},
            {{[{1, 2}]}, <<"{\"1\":2}">>},
            {[{}], <<"{}">>},
            {{[{b, 1}, {a, 2}, {b, 3}]}, <<"{\"b\":1,\"a\":2,\"b\":3}">>}
        ]
    ],
    ?assertError({unsupported_type, {a, 1}}, ?json:encode([{a, 1}])),
    ?assertError(_, ?json:encode([{a, 1}, b], On)),
    ?assertError({unsupported_type, {1, 2, 3}}, ?json:encode([{1, 2, 3}], On)).

fragments(_) ->
    On = #{fragments => true},
    Big = iolist_to_binary([$", lists:duplicate(100000, $x), $"]),
    [
        begin
            ?assertEqual(Text, ?json:encode(Term, On)),
            ?assertEqual(Text, iolist_to_binary(?json:encode_to_iodata(Term, On)))
        end
     || {Term, Text} <- [
            {{json, <<"{\"a\":1}">>}, <<"{\"a\":1}">>},
            {[1, {json, ["[", <<"2">>, $]]}, #{}], <<"[1,[2],{}]">>},
            {#{a => {json, <<"null">>}}, <<"{\"a\":null}">>},
            {[{json, Big}, {json, Big}], <<"[", Big/binary, ",", Big/binary, "]">>}
        ]
    ],
    ?assertError({unsupported_type, {json, <<"1">>}}, ?json:encode({json, <<"1">>})),
    [
        ?assertError({unsupported_type, {json, Bad}}, ?json:encode([{json, Bad}], On))
     || Bad <- [a, 1, {}, <<1:1>>]
    ].

other(_) ->
    Other = fun
        ({date, Year}) -> Year;
        (Pid) when is_pid(Pid) -> #{pid => [ref]};
        (Ref) when is_reference(Ref) -> {date, 7}
    end,
    On = #{other => Other},
    ?assertEqual(<<"[1,2026]">>, ?json:encode([1, {date, 2026}], On)),
    ?assertEqual(<<"{\"a\":{\"pid\":[\"ref\"]}}">>, ?json:encode(#{a => self()}, On)),
    %% What the fun gives may need it again.
    ?assertEqual(<<"[7]">>, ?json:encode([make_ref()], On)),
    ?assertError(function_clause, ?json:encode([{unknown}], On)),
    %% But it must end.
    [
        ?assertError({unsupported_type, {x}}, ?json:encode([{x}], #{other => Endless}))
     || Endless <- [fun(Term) -> Term end, fun(Term) -> [Term] end]
    ],
    ?assertEqual(<<"[null,null]">>, ?json:encode([nil, null], #{null => nil})).
