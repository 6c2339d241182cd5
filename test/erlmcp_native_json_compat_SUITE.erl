%% What erlmcp's own tests and its behaviour pin of `erlmcp_json_native'.
-module(erlmcp_native_json_compat_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, init_per_suite/1, end_per_suite/1]).
-export([results/1, decode_errors/1, encode_errors/1]).

-define(COMPAT, erlmcp_native_json_compat).

all() -> [results, decode_errors, encode_errors].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

results(_) ->
    [
        begin
            ?assertEqual(Term, ?COMPAT:decode(Text)),
            ?assertEqual(Term, ?COMPAT:decode(Text, [return_maps]))
        end
     || {Text, Term} <- [
            {<<"{\"id\":1,\"id\":2}">>, #{<<"id">> => 1}},
            {<<" [null,true,1.5,-0.0,123456789012345678901234567890] ">>,
                [null, true, 1.5, -0.0, 123456789012345678901234567890]},
            {<<"\"こんにちは\""/utf8>>, <<"こんにちは"/utf8>>}
        ]
    ],
    [
        begin
            ?assertEqual(Text, ?COMPAT:encode(Term)),
            ?assertEqual(Text, ?COMPAT:encode(Term, []))
        end
     || {Term, Text} <- [
            {#{<<"result">> => undefined}, <<"{\"result\":\"undefined\"}">>},
            {[null, true, 1.0, <<"こ\n"/utf8>>], <<"[null,true,1.0,\"こ\\n\"]"/utf8>>},
            {1 bsl 70, integer_to_binary(1 bsl 70)}
        ]
    ].

decode_errors(_) ->
    [
        begin
            ?assertError({decode_error, Reason}, ?COMPAT:decode(Text)),
            ?assertError({decode_error, Reason}, ?COMPAT:decode(Text, []))
        end
     || {Text, Reason} <- [
            {<<>>, unexpected_end},
            {<<"{">>, unexpected_end},
            {<<"{\"a\":x}">>, {invalid_byte, $x}},
            {<<"{} x">>, {invalid_byte, $\s}},
            {<<"\"", 255, "\"">>, {invalid_byte, 255}},
            {<<"[1e400]">>, {unexpected_sequence, <<"1.0e400">>}}
        ]
    ],
    ?assertError(function_clause, ?COMPAT:decode("[]")).

encode_errors(_) ->
    Reference = make_ref(),
    [
        begin
            ?assertError({encode_error, Reason}, ?COMPAT:encode(Term)),
            ?assertError({encode_error, Reason}, ?COMPAT:encode(Term, []))
        end
     || {Term, Reason} <- [
            {Reference, {unsupported_type, Reference}},
            {#{<<"a">> => {b}}, {unsupported_type, {b}}},
            {[<<"a", 255>>], {invalid_byte, 255}}
        ]
    ].
