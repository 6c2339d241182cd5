%% Terms that a NIF may be handed by mistake or on purpose.
-module(erlmcp_native_wrong_terms).

-export([small/0, large/0, is_documented/1]).

%% A few of every type, and the edges of the integers and binaries.
small() ->
    integers() ++ binaries() ++ lists_and_tuples() ++ atoms() ++ maps() ++ floats() ++ identities().

integers() ->
    [
        0, 1, -1, 63, 64, 255, 256, 65536, 16#D800, 16#10FFFF, 16#110000,
        1 bsl 31, -(1 bsl 31) - 1, 1 bsl 32,
        (1 bsl 59) - 1, 1 bsl 59, -(1 bsl 59), -(1 bsl 59) - 1,
        (1 bsl 63) - 1, 1 bsl 63, -(1 bsl 63), -(1 bsl 63) - 1,
        (1 bsl 64) - 1, 1 bsl 64, (1 bsl 64) + 1, -(1 bsl 64), 1 bsl 4096, -(1 bsl 4096)
    ].

binaries() ->
    Large = binary:copy(<<"{\"a\":[1]}">>, 100),
    <<_:3, Unaligned:16/binary, _/bits>> = Large,
    [
        <<>>, <<0>>, <<"[1]">>, <<"{\"a\":1}">>, <<"\"a">>, <<255, 254>>, <<16#ED, 16#A0, 16#80>>,
        Large, binary:part(Large, 1, 200), binary:part(Large, 0, 0), Unaligned,
        <<1:1>>, <<1:7>>, <<Large/binary, 1:1>>
    ].

lists_and_tuples() ->
    [
        [], [[]], "text", [256], [-1], [<<"a">> | <<"b">>], [<<"[">>, [[<<"1">>], $]]],
        [a | b], [1 | 2], [{a, 1}, b], [{a, 1} | x], [<<1:1>>], [<<"a">>, 0, (1 bsl 64)],
        {}, {[]}, {a}, {[{<<"a">>, 1}]}, {json, <<"1">>}, {json, [<<1:1>>]}, {json, a}, {a, b, c, d},
        {[{<<"a">>, 1} | b]}
    ].

atoms() ->
    [
        '', a, true, false, null, undefined, nil, infinity, error, badarg,
        list_to_atom(lists:duplicate(255, $a)), list_to_atom([16#436, 16#1F600])
    ].

maps() ->
    [
        #{}, #{a => b}, #{<<"a">> => 1}, #{depth => -1}, #{1 => #{}}, #{#{} => []},
        #{nosuch_option => 1}, maps:from_list([{I, I} || I <- lists:seq(1, 33)])
    ].

floats() ->
    [0.0, -0.0, 1.5, -1.0e308, 5.0e-324].

%% References and processes of this and of another node, ports, funs.
identities() ->
    Elsewhere = binary_to_term(<<131, 88, 119, 5, "a@b.c", 0:32, 1:32, 2:32>>),
    There = binary_to_term(<<131, 90, 0, 1, 119, 5, "a@b.c", 0:32, 7:32>>),
    [
        self(), Elsewhere, make_ref(), There, hd(erlang:ports()),
        fun() -> ok end, fun lists:map/2, fun erlang:nosuch/3, atomics:new(1, [])
    ].

%% Too large or too deep for a recursive walk or for one slice of a scheduler's time.
large() ->
    [
        nested(fun(T) -> [T] end, 200_000), nested(fun(T) -> {T} end, 200_000),
        nested(fun(T) -> #{a => T} end, 200_000), nested(fun(T) -> [$a | T] end, 200_000),
        lists:seq(1, 200_000), lists:duplicate(200_000, <<"abc">>),
        list_to_tuple(lists:seq(1, 200_000)),
        maps:from_list([{I, I} || I <- lists:seq(1, 50_000)]),
        [{I, I} || I <- lists:seq(1, 50_000)],
        binary:copy(<<"[">>, 1_000_000), binary:copy(<<0>>, 1_000_000),
        binary:copy(<<"1">>, 1_000_000), 1 bsl 1_000_000
    ].

nested(Wrap, Depth) -> nested(Wrap, Depth, []).
nested(_, 0, Term) -> Term;
nested(Wrap, Depth, Term) -> nested(Wrap, Depth - 1, Wrap(Term)).

%% The reasons with which a call may refuse its arguments.
is_documented(badarg) -> true;
%% What json_decode leaves to json_decode_large.
is_documented(large) -> true;
is_documented(unexpected_end) -> true;
is_documented({invalid_byte, Byte}) -> is_integer(Byte);
is_documented({unexpected_sequence, Bytes}) -> is_binary(Bytes);
is_documented({unsupported_type, _}) -> true;
is_documented({improper_list, _}) -> true;
is_documented({Limit, Value}) when Limit =:= max_digits; Limit =:= max_depth; Limit =:= max_size ->
    is_integer(Value);
is_documented({json_error, Reason, Offset, Line, Column}) ->
    %% What doors turn into the reason alone or into a map.
    lists:all(fun is_integer/1, [Offset, Line, Column]) andalso is_documented(Reason);
is_documented(_) -> false.
