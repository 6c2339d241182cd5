-module(erlmcp_json_baseline).
%% The strongest JSON coder in pure Erlang that we know how to write: the measure that the
%% native one is compared with, and the oracle of its property tests. Not product.
%%
%% Terms, error reasons and positions are those of OTP's json:decode/1 and json:encode/1, with
%% two exceptions where OTP's answer is an accident: `-0e1` is -0.0 (OTP: 0.0), and the position
%% of trailing data counts from the start of the document (OTP: from the end of the value).
%% Maps are encoded in the order of maps:to_list/1.
%%
%% What makes it fast: no callbacks; one match context through the whole document; strings are
%% tested four bytes at a time; integers and most floats are computed while they are read.

-export([decode/1, encode/1, encode_to_binary/1]).
-export_type([json/0]).

-type json() :: null | boolean() | number() | binary() | [json()] | #{binary() => json()}.

-define(is_digit(B), B >= $0, B =< $9).
-define(is_ws(B), B =:= $\s; B =:= $\n; B =:= $\r; B =:= $\t).
%% Four bytes in one integer: none is a control character, a quote, a backslash or above 127.
%% The high bit of each byte of the three sums stays set only where the byte passes its test.
-define(is_plain_4(W),
    W band 16#80808080 =:= 0,
    ((W bor 16#80808080) - 16#20202020) band ((W bxor 16#22222222) + 16#7F7F7F7F) band
        ((W bxor 16#5C5C5C5C) + 16#7F7F7F7F) band 16#80808080 =:= 16#80808080
).
-define(is_plain(B), B >= 32, B < 128, B =/= $", B =/= $\\).
-define(is_tail(B), B >= 16#80, B =< 16#BF).
%% With so many characters a number's digits are a small integer.
-define(SMALL_LENGTH, 18).
%% Integers up to this are exact as floats, as are the powers of ten up to 22: their quotient is
%% correctly rounded.
-define(EXACT, 16#20000000000000).

%% Decoding. Every state is a function of the rest of the input (a match context), the whole
%% input, the offset of the rest, the open container's elements in reverse, and the stack:
%% `array, Elements` or `object, Elements` of the containers around, with an object's pending
%% key on top.

-spec decode(binary()) -> json().
decode(Binary) when is_binary(Binary) ->
    value(Binary, Binary, 0, [], []).

value(<<Byte, Rest/bits>>, Input, At, Acc, Stack) ->
    case Byte of
        $\s -> value_spaces(Rest, Input, At + 1, Acc, Stack);
        $\n -> value_spaces(Rest, Input, At + 1, Acc, Stack);
        $\r -> value_spaces(Rest, Input, At + 1, Acc, Stack);
        $\t -> value_spaces(Rest, Input, At + 1, Acc, Stack);
        $" -> string(Rest, Input, At + 1, Acc, Stack, 0);
        ${ -> object_start(Rest, Input, At + 1, Acc, Stack);
        $[ -> array_start(Rest, Input, At + 1, Acc, Stack);
        $0 -> zero(Rest, Input, At, Acc, Stack, 1, 0);
        $1 -> integer(Rest, Input, At, Acc, Stack, 1, 1);
        $2 -> integer(Rest, Input, At, Acc, Stack, 1, 2);
        $3 -> integer(Rest, Input, At, Acc, Stack, 1, 3);
        $4 -> integer(Rest, Input, At, Acc, Stack, 1, 4);
        $5 -> integer(Rest, Input, At, Acc, Stack, 1, 5);
        $6 -> integer(Rest, Input, At, Acc, Stack, 1, 6);
        $7 -> integer(Rest, Input, At, Acc, Stack, 1, 7);
        $8 -> integer(Rest, Input, At, Acc, Stack, 1, 8);
        $9 -> integer(Rest, Input, At, Acc, Stack, 1, 9);
        $- -> minus(Rest, Input, At, Acc, Stack);
        $t -> true(Rest, Input, At, Acc, Stack);
        $f -> false(Rest, Input, At, Acc, Stack);
        $n -> null(Rest, Input, At, Acc, Stack);
        _ -> invalid_byte(Input, At)
    end;
value(<<>>, _, _, _, _) ->
    error(unexpected_end).

value_spaces(<<"    ", Rest/bits>>, Input, At, Acc, Stack) ->
    value_spaces(Rest, Input, At + 4, Acc, Stack);
value_spaces(<<Rest/bits>>, Input, At, Acc, Stack) ->
    value(Rest, Input, At, Acc, Stack).

true(<<"rue", Rest/bits>>, Input, At, Acc, Stack) ->
    next(Rest, Input, At + 4, Acc, Stack, true);
true(_, Input, At, _, _) ->
    bad_literal(Input, At, 4).

false(<<"alse", Rest/bits>>, Input, At, Acc, Stack) ->
    next(Rest, Input, At + 5, Acc, Stack, false);
false(_, Input, At, _, _) ->
    bad_literal(Input, At, 5).

null(<<"ull", Rest/bits>>, Input, At, Acc, Stack) ->
    next(Rest, Input, At + 4, Acc, Stack, null);
null(_, Input, At, _, _) ->
    bad_literal(Input, At, 4).

%% Where a value ended.
next(<<Rest/bits>>, Input, At, Acc, Stack, Value) ->
    case Stack of
        [array | Around] -> array_next(Rest, Input, At, [Value | Acc], Around);
        [object | _] -> colon(Rest, Input, At, Acc, Stack, Value);
        [] -> finish(Rest, Input, At, Value);
        [Key | Around] -> object_next(Rest, Input, At, [{Key, Value} | Acc], Around)
    end.

%% As OTP 27: what is reported is the byte behind the value, be it white space itself.
finish(<<Byte, Rest/bits>>, Input, At, Value) when ?is_ws(Byte) ->
    finish(Rest, Input, At, Value);
finish(<<>>, _, _, Value) ->
    Value;
finish(_, Input, At, _) ->
    invalid_byte(Input, At).

array_start(<<Byte, Rest/bits>>, Input, At, Acc, Stack) when ?is_ws(Byte) ->
    array_start(Rest, Input, At + 1, Acc, Stack);
array_start(<<$], Rest/bits>>, Input, At, Acc, Stack) ->
    next(Rest, Input, At + 1, Acc, Stack, []);
array_start(<<Rest/bits>>, Input, At, Acc, Stack) ->
    value(Rest, Input, At, [], [array, Acc | Stack]).

array_next(<<Byte, Rest/bits>>, Input, At, Acc, Around) ->
    case Byte of
        $, -> value(Rest, Input, At + 1, Acc, [array | Around]);
        $] ->
            [AccAround | Stack] = Around,
            next(Rest, Input, At + 1, AccAround, Stack, lists:reverse(Acc));
        $\s -> array_next_spaces(Rest, Input, At + 1, Acc, Around);
        $\n -> array_next_spaces(Rest, Input, At + 1, Acc, Around);
        $\r -> array_next_spaces(Rest, Input, At + 1, Acc, Around);
        $\t -> array_next_spaces(Rest, Input, At + 1, Acc, Around);
        _ -> invalid_byte(Input, At)
    end;
array_next(<<>>, _, _, _, _) ->
    error(unexpected_end).

array_next_spaces(<<"    ", Rest/bits>>, Input, At, Acc, Around) ->
    array_next_spaces(Rest, Input, At + 4, Acc, Around);
array_next_spaces(<<Rest/bits>>, Input, At, Acc, Around) ->
    array_next(Rest, Input, At, Acc, Around).

object_start(<<Byte, Rest/bits>>, Input, At, Acc, Stack) ->
    case Byte of
        $" -> string(Rest, Input, At + 1, [], [object, Acc | Stack], 0);
        $} -> next(Rest, Input, At + 1, Acc, Stack, #{});
        $\s -> object_start_spaces(Rest, Input, At + 1, Acc, Stack);
        $\n -> object_start_spaces(Rest, Input, At + 1, Acc, Stack);
        $\r -> object_start_spaces(Rest, Input, At + 1, Acc, Stack);
        $\t -> object_start_spaces(Rest, Input, At + 1, Acc, Stack);
        _ -> invalid_byte(Input, At)
    end;
object_start(<<>>, _, _, _, _) ->
    error(unexpected_end).

object_start_spaces(<<"    ", Rest/bits>>, Input, At, Acc, Stack) ->
    object_start_spaces(Rest, Input, At + 4, Acc, Stack);
object_start_spaces(<<Rest/bits>>, Input, At, Acc, Stack) ->
    object_start(Rest, Input, At, Acc, Stack).

colon(<<$:, Rest/bits>>, Input, At, Acc, Stack, Key) ->
    value(Rest, Input, At + 1, Acc, [Key | Stack]);
colon(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Key) when ?is_ws(Byte) ->
    colon(Rest, Input, At + 1, Acc, Stack, Key);
colon(<<_, _/bits>>, Input, At, _, _, _) ->
    invalid_byte(Input, At);
colon(<<>>, _, _, _, _, _) ->
    error(unexpected_end).

%% The list begins with the last pair, so that maps:from_list/1 keeps the first of equal keys.
object_next(<<Byte, Rest/bits>>, Input, At, Acc, Stack) ->
    case Byte of
        $, -> object_key(Rest, Input, At + 1, Acc, Stack);
        $} ->
            [object, AccAround | Around] = Stack,
            next(Rest, Input, At + 1, AccAround, Around, maps:from_list(Acc));
        $\s -> object_next_spaces(Rest, Input, At + 1, Acc, Stack);
        $\n -> object_next_spaces(Rest, Input, At + 1, Acc, Stack);
        $\r -> object_next_spaces(Rest, Input, At + 1, Acc, Stack);
        $\t -> object_next_spaces(Rest, Input, At + 1, Acc, Stack);
        _ -> invalid_byte(Input, At)
    end;
object_next(<<>>, _, _, _, _) ->
    error(unexpected_end).

object_next_spaces(<<"    ", Rest/bits>>, Input, At, Acc, Stack) ->
    object_next_spaces(Rest, Input, At + 4, Acc, Stack);
object_next_spaces(<<Rest/bits>>, Input, At, Acc, Stack) ->
    object_next(Rest, Input, At, Acc, Stack).

object_key(<<Byte, Rest/bits>>, Input, At, Acc, Stack) ->
    case Byte of
        $" -> string(Rest, Input, At + 1, Acc, Stack, 0);
        $\s -> object_key_spaces(Rest, Input, At + 1, Acc, Stack);
        $\n -> object_key_spaces(Rest, Input, At + 1, Acc, Stack);
        $\r -> object_key_spaces(Rest, Input, At + 1, Acc, Stack);
        $\t -> object_key_spaces(Rest, Input, At + 1, Acc, Stack);
        _ -> invalid_byte(Input, At)
    end;
object_key(<<>>, _, _, _, _) ->
    error(unexpected_end).

object_key_spaces(<<"    ", Rest/bits>>, Input, At, Acc, Stack) ->
    object_key_spaces(Rest, Input, At + 4, Acc, Stack);
object_key_spaces(<<Rest/bits>>, Input, At, Acc, Stack) ->
    object_key(Rest, Input, At, Acc, Stack).

%% Numbers. At stays the offset of the first character, Length counts the characters read.
%% Power is 0, or 16 for a negative number: an index into power/1.

minus(<<$0, Rest/bits>>, Input, At, Acc, Stack) ->
    zero(Rest, Input, At, Acc, Stack, 2, 16);
minus(<<Byte, Rest/bits>>, Input, At, Acc, Stack) when ?is_digit(Byte) ->
    negative(Rest, Input, At, Acc, Stack, 2, Byte - $0);
minus(_, Input, At, _, _) ->
    stopped(Input, At + 1).

zero(<<$., Rest/bits>>, Input, At, Acc, Stack, Length, Power) ->
    point(Rest, Input, At, Acc, Stack, Length + 1, 0, Power);
zero(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, _) when Byte =:= $e; Byte =:= $E ->
    exponent_sign(Rest, Input, At, Acc, Stack, Length + 1, Length);
zero(<<Rest/bits>>, Input, At, Acc, Stack, Length, _) ->
    next(Rest, Input, At + Length, Acc, Stack, 0).

integer(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, N) when ?is_digit(Byte) ->
    case Length of
        ?SMALL_LENGTH -> long_integer(Rest, Input, At, Acc, Stack, Length + 1);
        _ -> integer(Rest, Input, At, Acc, Stack, Length + 1, N * 10 + Byte - $0)
    end;
integer(<<$., Rest/bits>>, Input, At, Acc, Stack, Length, N) ->
    point(Rest, Input, At, Acc, Stack, Length + 1, N, 0);
integer(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, _) when Byte =:= $e; Byte =:= $E ->
    exponent_sign(Rest, Input, At, Acc, Stack, Length + 1, Length);
integer(<<Rest/bits>>, Input, At, Acc, Stack, Length, N) ->
    next(Rest, Input, At + Length, Acc, Stack, N).

negative(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, N) when ?is_digit(Byte) ->
    case Length of
        ?SMALL_LENGTH -> long_integer(Rest, Input, At, Acc, Stack, Length + 1);
        _ -> negative(Rest, Input, At, Acc, Stack, Length + 1, N * 10 + Byte - $0)
    end;
negative(<<$., Rest/bits>>, Input, At, Acc, Stack, Length, N) ->
    point(Rest, Input, At, Acc, Stack, Length + 1, N, 16);
negative(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, _) when Byte =:= $e; Byte =:= $E ->
    exponent_sign(Rest, Input, At, Acc, Stack, Length + 1, Length);
negative(<<Rest/bits>>, Input, At, Acc, Stack, Length, N) ->
    next(Rest, Input, At + Length, Acc, Stack, -N).

long_integer(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length) when ?is_digit(Byte) ->
    long_integer(Rest, Input, At, Acc, Stack, Length + 1);
long_integer(<<$., Rest/bits>>, Input, At, Acc, Stack, Length) ->
    long_point(Rest, Input, At, Acc, Stack, Length + 1);
long_integer(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length) when Byte =:= $e; Byte =:= $E ->
    exponent_sign(Rest, Input, At, Acc, Stack, Length + 1, Length);
long_integer(<<Rest/bits>>, Input, At, Acc, Stack, Length) ->
    Value = binary_to_integer(binary_part(Input, At, Length)),
    next(Rest, Input, At + Length, Acc, Stack, Value).

point(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, N, Power) when ?is_digit(Byte) ->
    case Length >= ?SMALL_LENGTH of
        true -> long_fraction(Rest, Input, At, Acc, Stack, Length + 1);
        false -> fraction(Rest, Input, At, Acc, Stack, Length + 1, N * 10 + Byte - $0, Power + 1)
    end;
point(_, Input, At, _, _, Length, _, _) ->
    stopped(Input, At + Length).

fraction(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, N, Power) when ?is_digit(Byte) ->
    case Length of
        ?SMALL_LENGTH -> long_fraction(Rest, Input, At, Acc, Stack, Length + 1);
        _ -> fraction(Rest, Input, At, Acc, Stack, Length + 1, N * 10 + Byte - $0, Power + 1)
    end;
fraction(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, _, _) when Byte =:= $e; Byte =:= $E ->
    exponent_sign(Rest, Input, At, Acc, Stack, Length + 1, 0);
fraction(<<Rest/bits>>, Input, At, Acc, Stack, Length, N, Power) when N =< ?EXACT ->
    next(Rest, Input, At + Length, Acc, Stack, N / power(Power));
fraction(<<Rest/bits>>, Input, At, Acc, Stack, Length, _, _) ->
    float(Rest, Input, At, Acc, Stack, Length, 0).

%% Minus zero comes out right since the power, not the integer, is the negative one.
power(Index) ->
    element(Index, {
        1.0e1, 1.0e2, 1.0e3, 1.0e4, 1.0e5, 1.0e6, 1.0e7, 1.0e8,
        1.0e9, 1.0e10, 1.0e11, 1.0e12, 1.0e13, 1.0e14, 1.0e15, 1.0e16,
        -1.0e1, -1.0e2, -1.0e3, -1.0e4, -1.0e5, -1.0e6, -1.0e7, -1.0e8,
        -1.0e9, -1.0e10, -1.0e11, -1.0e12, -1.0e13, -1.0e14, -1.0e15, -1.0e16
    }).

long_point(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length) when ?is_digit(Byte) ->
    long_fraction(Rest, Input, At, Acc, Stack, Length + 1);
long_point(_, Input, At, _, _, Length) ->
    stopped(Input, At + Length).

long_fraction(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length) when ?is_digit(Byte) ->
    long_fraction(Rest, Input, At, Acc, Stack, Length + 1);
long_fraction(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length) when Byte =:= $e; Byte =:= $E ->
    exponent_sign(Rest, Input, At, Acc, Stack, Length + 1, 0);
long_fraction(<<Rest/bits>>, Input, At, Acc, Stack, Length) ->
    float(Rest, Input, At, Acc, Stack, Length, 0).

%% Whole is the length of the part before the exponent when it has no fraction, else 0:
%% binary_to_float/1 wants one.
exponent_sign(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, Whole) when ?is_digit(Byte) ->
    exponent(Rest, Input, At, Acc, Stack, Length + 1, Whole);
exponent_sign(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, Whole) when
    Byte =:= $-; Byte =:= $+
->
    exponent_digit(Rest, Input, At, Acc, Stack, Length + 1, Whole);
exponent_sign(_, Input, At, _, _, Length, _) ->
    stopped(Input, At + Length).

exponent_digit(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, Whole) when ?is_digit(Byte) ->
    exponent(Rest, Input, At, Acc, Stack, Length + 1, Whole);
exponent_digit(_, Input, At, _, _, Length, _) ->
    stopped(Input, At + Length).

exponent(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, Whole) when ?is_digit(Byte) ->
    exponent(Rest, Input, At, Acc, Stack, Length + 1, Whole);
exponent(<<Rest/bits>>, Input, At, Acc, Stack, Length, Whole) ->
    float(Rest, Input, At, Acc, Stack, Length, Whole).

float(<<Rest/bits>>, Input, At, Acc, Stack, Length, Whole) ->
    Token = float_token(binary_part(Input, At, Length), Whole),
    try binary_to_float(Token) of
        Value -> next(Rest, Input, At + Length, Acc, Stack, Value)
    catch
        error:badarg -> unexpected_sequence(Token, At)
    end.

float_token(Text, 0) ->
    Text;
float_token(Text, Whole) ->
    <<Digits:Whole/binary, _, Exponent/binary>> = Text,
    <<Digits/binary, ".0e", Exponent/binary>>.

%% Strings. At is the offset of the part that was not yet taken, Length its length so far.

string(<<W1:32, W2:32, Rest/bits>>, Input, At, Acc, Stack, Length) when
    ?is_plain_4(W1), ?is_plain_4(W2)
->
    string(Rest, Input, At, Acc, Stack, Length + 8);
string(<<Rest/bits>>, Input, At, Acc, Stack, Length) ->
    string_bytes(Rest, Input, At, Acc, Stack, Length).

string_bytes(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length) when ?is_plain(Byte) ->
    string_bytes(Rest, Input, At, Acc, Stack, Length + 1);
string_bytes(<<$", Rest/bits>>, Input, At, Acc, Stack, Length) ->
    next(Rest, Input, At + Length + 1, Acc, Stack, binary_part(Input, At, Length));
string_bytes(<<$\\, Rest/bits>>, Input, At, Acc, Stack, Length) ->
    escape(Rest, Input, At, Acc, Stack, Length, <<>>);
string_bytes(<<B1, B2, B3, Rest/bits>>, Input, At, Acc, Stack, Length) when
    B1 >= 16#E1, B1 =< 16#EC, ?is_tail(B2), ?is_tail(B3)
->
    string_bytes(Rest, Input, At, Acc, Stack, Length + 3);
string_bytes(<<B1, B2, Rest/bits>>, Input, At, Acc, Stack, Length) when
    B1 >= 16#C2, B1 =< 16#DF, ?is_tail(B2)
->
    string(Rest, Input, At, Acc, Stack, Length + 2);
string_bytes(<<Char/utf8, Rest/bits>>, Input, At, Acc, Stack, Length) when Char > 16#7F ->
    string(Rest, Input, At, Acc, Stack, Length + utf8_length(Char));
string_bytes(_, Input, At, _, _, Length) ->
    bad_text(Input, At + Length).

%% The same once an escape was seen; Text is what came before.
text(<<W1:32, W2:32, Rest/bits>>, Input, At, Acc, Stack, Length, Text) when
    ?is_plain_4(W1), ?is_plain_4(W2)
->
    text(Rest, Input, At, Acc, Stack, Length + 8, Text);
text(<<Rest/bits>>, Input, At, Acc, Stack, Length, Text) ->
    text_bytes(Rest, Input, At, Acc, Stack, Length, Text).

text_bytes(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, Text) when ?is_plain(Byte) ->
    text_bytes(Rest, Input, At, Acc, Stack, Length + 1, Text);
text_bytes(<<$", Rest/bits>>, Input, At, Acc, Stack, Length, Text) ->
    Value = <<Text/binary, (binary_part(Input, At, Length))/binary>>,
    next(Rest, Input, At + Length + 1, Acc, Stack, Value);
text_bytes(<<$\\, Rest/bits>>, Input, At, Acc, Stack, Length, Text) ->
    escape(Rest, Input, At, Acc, Stack, Length, Text);
text_bytes(<<B1, B2, B3, Rest/bits>>, Input, At, Acc, Stack, Length, Text) when
    B1 >= 16#E1, B1 =< 16#EC, ?is_tail(B2), ?is_tail(B3)
->
    text_bytes(Rest, Input, At, Acc, Stack, Length + 3, Text);
text_bytes(<<B1, B2, Rest/bits>>, Input, At, Acc, Stack, Length, Text) when
    B1 >= 16#C2, B1 =< 16#DF, ?is_tail(B2)
->
    text(Rest, Input, At, Acc, Stack, Length + 2, Text);
text_bytes(<<Char/utf8, Rest/bits>>, Input, At, Acc, Stack, Length, Text) when Char > 16#7F ->
    text(Rest, Input, At, Acc, Stack, Length + utf8_length(Char), Text);
text_bytes(_, Input, At, _, _, Length, _) ->
    bad_text(Input, At + Length).

escape(<<Byte, Rest/bits>>, Input, At, Acc, Stack, Length, Text) ->
    case Byte of
        $" -> escaped(Rest, Input, At, Acc, Stack, Length, Text, $");
        $\\ -> escaped(Rest, Input, At, Acc, Stack, Length, Text, $\\);
        $/ -> escaped(Rest, Input, At, Acc, Stack, Length, Text, $/);
        $b -> escaped(Rest, Input, At, Acc, Stack, Length, Text, $\b);
        $f -> escaped(Rest, Input, At, Acc, Stack, Length, Text, $\f);
        $n -> escaped(Rest, Input, At, Acc, Stack, Length, Text, $\n);
        $r -> escaped(Rest, Input, At, Acc, Stack, Length, Text, $\r);
        $t -> escaped(Rest, Input, At, Acc, Stack, Length, Text, $\t);
        $u -> unicode(Rest, Input, At, Acc, Stack, Length, Text);
        _ -> invalid_byte(Input, At + Length + 1)
    end;
escape(<<>>, _, _, _, _, _, _) ->
    error(unexpected_end).

escaped(<<Rest/bits>>, Input, At, Acc, Stack, 0, Text, Char) ->
    text(Rest, Input, At + 2, Acc, Stack, 0, <<Text/binary, Char>>);
escaped(<<Rest/bits>>, Input, At, Acc, Stack, Length, Text, Char) ->
    Part = binary_part(Input, At, Length),
    text(Rest, Input, At + Length + 2, Acc, Stack, 0, <<Text/binary, Part/binary, Char>>).

unicode(<<H1, H2, H3, H4, Rest/bits>>, Input, At, Acc, Stack, Length, Text) ->
    case hex(H1, H2, H3, H4) of
        High when High >= 16#D800, High =< 16#DBFF ->
            low_surrogate(Rest, Input, At, Acc, Stack, Length, Text, High);
        Char when is_integer(Char), (Char < 16#DC00 orelse Char > 16#DFFF) ->
            Part = binary_part(Input, At, Length),
            text(Rest, Input, At + Length + 6, Acc, Stack, 0,
                <<Text/binary, Part/binary, Char/utf8>>);
        _ ->
            unexpected_sequence(binary_part(Input, At + Length, 6), At + Length)
    end;
unicode(_, _, _, _, _, _, _) ->
    error(unexpected_end).

low_surrogate(<<"\\u", H1, H2, H3, H4, Rest/bits>>, Input, At, Acc, Stack, Length, Text, High) ->
    case hex(H1, H2, H3, H4) of
        Low when Low >= 16#DC00, Low =< 16#DFFF ->
            Char = 16#10000 + ((High band 16#3FF) bsl 10) + (Low band 16#3FF),
            Part = binary_part(Input, At, Length),
            text(Rest, Input, At + Length + 12, Acc, Stack, 0,
                <<Text/binary, Part/binary, Char/utf8>>);
        _ ->
            unexpected_sequence(binary_part(Input, At + Length, 12), At + Length)
    end;
low_surrogate(_, Input, At, _, _, Length, _, _) ->
    %% As OTP: less input than a second escape would take is an early end.
    case byte_size(Input) =< At + Length + 11 of
        true -> error(unexpected_end);
        false -> invalid_byte(Input, At + Length + 6)
    end.

%% An integer, or invalid, which no range test takes for one of its own.
hex(H1, H2, H3, H4) ->
    case (hex(H1) bsl 12) bor (hex(H2) bsl 8) bor (hex(H3) bsl 4) bor hex(H4) of
        N when N < 16#10000 -> N;
        _ -> invalid
    end.

hex(H) when H >= $0, H =< $9 -> H - $0;
hex(H) when H >= $a, H =< $f -> H - $a + 10;
hex(H) when H >= $A, H =< $F -> H - $A + 10;
hex(_) -> 16#10000.

utf8_length(Char) when Char =< 16#7FF -> 2;
utf8_length(Char) when Char =< 16#FFFF -> 3;
utf8_length(_) -> 4.

%% Errors.

-spec invalid_byte(binary(), non_neg_integer()) -> no_return().
invalid_byte(Input, At) ->
    error({invalid_byte, binary:at(Input, At)}, none, error_info(At)).

-spec unexpected_sequence(binary(), non_neg_integer()) -> no_return().
unexpected_sequence(Bytes, At) ->
    error({unexpected_sequence, Bytes}, none, error_info(At)).

error_info(At) ->
    [{error_info, #{cause => #{position => At}}}].

stopped(Input, At) when byte_size(Input) =:= At ->
    error(unexpected_end);
stopped(Input, At) ->
    invalid_byte(Input, At).

%% As OTP: less input than the word would take is an early end, whatever it is.
bad_literal(Input, At, Length) when byte_size(Input) =< At + Length ->
    error(unexpected_end);
bad_literal(Input, At, _) ->
    invalid_byte(Input, At + 1).

%% A control character, or the first byte that cannot continue valid UTF-8.
bad_text(Input, At) ->
    case Input of
        <<_:At/binary, B1, B2, B3, _/bits>> when
            B1 >= 16#F1, B1 =< 16#F3, ?is_tail(B2), ?is_tail(B3);
            B1 =:= 16#F0, B2 >= 16#90, B2 =< 16#BF, ?is_tail(B3);
            B1 =:= 16#F4, B2 >= 16#80, B2 =< 16#8F, ?is_tail(B3)
        ->
            stopped(Input, At + 3);
        <<_:At/binary, B1, B2, _/bits>> when
            B1 >= 16#E1, B1 =< 16#EC, ?is_tail(B2);
            B1 =:= 16#EE, ?is_tail(B2);
            B1 =:= 16#EF, ?is_tail(B2);
            B1 =:= 16#E0, B2 >= 16#A0, B2 =< 16#BF;
            B1 =:= 16#ED, B2 >= 16#80, B2 =< 16#9F;
            B1 >= 16#F1, B1 =< 16#F3, ?is_tail(B2);
            B1 =:= 16#F0, B2 >= 16#90, B2 =< 16#BF;
            B1 =:= 16#F4, B2 >= 16#80, B2 =< 16#8F
        ->
            stopped(Input, At + 2);
        <<_:At/binary, B1, _/bits>> when B1 >= 16#C2, B1 =< 16#F4 ->
            stopped(Input, At + 1);
        _ ->
            stopped(Input, At)
    end.

%% Encoding.

-spec encode(term()) -> iodata().
encode(Value) when is_binary(Value) -> [$", quoted(Value)];
encode(Value) when is_atom(Value) -> encode_atom(Value);
encode(Value) when is_integer(Value) -> integer_to_binary(Value);
encode(Value) when is_map(Value) -> encode_object(maps:to_list(Value));
encode([]) -> <<"[]">>;
encode([First | Rest]) -> [$[, encode(First) | elements(Rest)];
encode(Value) when is_float(Value) -> float_to_binary(Value, [short]);
encode(Value) -> error({unsupported_type, Value}).

-spec encode_to_binary(term()) -> binary().
encode_to_binary(Value) ->
    iolist_to_binary(encode(Value)).

encode_atom(null) -> <<"null">>;
encode_atom(true) -> <<"true">>;
encode_atom(false) -> <<"false">>;
encode_atom(Other) -> [$", quoted(atom_to_binary(Other))].

elements([First | Rest]) -> [$,, encode(First) | elements(Rest)];
elements([]) -> [$]].

encode_object([]) -> <<"{}">>;
encode_object([{Key, Value} | Rest]) -> [<<"{\"">>, key(Key), $:, encode(Value) | pairs(Rest)].

pairs([{Key, Value} | Rest]) -> [<<",\"">>, key(Key), $:, encode(Value) | pairs(Rest)];
pairs([]) -> [$}].

key(Key) when is_binary(Key) -> quoted(Key);
key(Key) when is_atom(Key) -> quoted(atom_to_binary(Key));
key(Key) when is_integer(Key) -> [integer_to_binary(Key), $"];
key(Key) when is_float(Key) -> [float_to_binary(Key, [short]), $"].

%% A string's text and its closing quote.
quoted(Text) ->
    plain(Text, Text).

plain(<<W1:32, W2:32, Rest/bits>>, Text) when ?is_plain_4(W1), ?is_plain_4(W2) ->
    plain(Rest, Text);
plain(<<Byte, Rest/bits>>, Text) when ?is_plain(Byte) ->
    plain_bytes(Rest, Text);
plain(<<>>, Text) ->
    [Text, $"];
plain(<<Rest/bits>>, Text) ->
    escaping(Rest, Text, 0, byte_size(Text) - byte_size(Rest), []).

plain_bytes(<<Byte, Rest/bits>>, Text) when ?is_plain(Byte) ->
    plain_bytes(Rest, Text);
plain_bytes(<<>>, Text) ->
    [Text, $"];
plain_bytes(<<Rest/bits>>, Text) ->
    escaping(Rest, Text, 0, byte_size(Text) - byte_size(Rest), []).

escaping(<<W1:32, W2:32, Rest/bits>>, Text, At, Length, Acc) when
    ?is_plain_4(W1), ?is_plain_4(W2)
->
    escaping(Rest, Text, At, Length + 8, Acc);
escaping(<<Rest/bits>>, Text, At, Length, Acc) ->
    escaping_bytes(Rest, Text, At, Length, Acc).

escaping_bytes(<<Byte, Rest/bits>>, Text, At, Length, Acc) when ?is_plain(Byte) ->
    escaping_bytes(Rest, Text, At, Length + 1, Acc);
escaping_bytes(<<Byte, Rest/bits>>, Text, At, Length, Acc) when Byte < 128 ->
    case Length of
        0 ->
            escaping(Rest, Text, At + 1, 0, [Acc | escape_of(Byte)]);
        _ ->
            Part = binary_part(Text, At, Length),
            escaping(Rest, Text, At + Length + 1, 0, [Acc, Part | escape_of(Byte)])
    end;
escaping_bytes(<<B1, B2, B3, Rest/bits>>, Text, At, Length, Acc) when
    B1 >= 16#E1, B1 =< 16#EC, ?is_tail(B2), ?is_tail(B3)
->
    escaping_bytes(Rest, Text, At, Length + 3, Acc);
escaping_bytes(<<B1, B2, Rest/bits>>, Text, At, Length, Acc) when
    B1 >= 16#C2, B1 =< 16#DF, ?is_tail(B2)
->
    escaping(Rest, Text, At, Length + 2, Acc);
escaping_bytes(<<Char/utf8, Rest/bits>>, Text, At, Length, Acc) ->
    escaping(Rest, Text, At, Length + utf8_length(Char), Acc);
escaping_bytes(<<>>, Text, 0, _, _) ->
    [Text, $"];
escaping_bytes(<<>>, Text, At, Length, Acc) ->
    [Acc, binary_part(Text, At, Length), $"];
escaping_bytes(_, Text, At, Length, _) ->
    bad_text(Text, At + Length).

escape_of($") -> <<"\\\"">>;
escape_of($\\) -> <<"\\\\">>;
escape_of($\b) -> <<"\\b">>;
escape_of($\t) -> <<"\\t">>;
escape_of($\n) -> <<"\\n">>;
escape_of($\f) -> <<"\\f">>;
escape_of($\r) -> <<"\\r">>;
escape_of(Byte) when Byte < 16 -> [<<"\\u000">>, hex_digit(Byte)];
escape_of(Byte) -> [<<"\\u001">>, hex_digit(Byte - 16)].

hex_digit(N) when N < 10 -> $0 + N;
hex_digit(N) -> $A + N - 10.
