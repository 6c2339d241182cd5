-module(erlmcp_native_test_json).
%% JSON documents for tests: PropEr generators, texts written with every freedom that JSON
%% leaves, and what decoding them must give. Written without PropEr's header, which
%% distributions ship apart.
%%
%% A document keeps what a term loses: {array, Documents}, {object, [{Key, Document}]} with equal
%% keys and in order, null, booleans, numbers, binaries.

-export([document/0, object/0, wide_object/0, chars/0, key/0, integer/0, float/0]).
-export([encodable/0, broken_text/0, mutations/0, chunk_sizes/0]).
-export([text/2, mutate/2, chunks/2, term/1, term/2, pairs_of/1, has_duplicates/1]).
-export([exact/1, outcome/1, reason/1, refused/1]).
-export_type([document/0]).

-type document() :: null | boolean() | number() | binary()
    | {array, [document()]} | {object, [{binary(), document()}]}.

%% Generators

document() ->
    proper_types:frequency([{12, proper_types:sized(fun nested/1)}, {1, wide_object()}]).

nested(Size) when Size < 2 ->
    scalar();
nested(Size) ->
    Inner = proper_types:lazy(fun() -> nested(Size div 3) end),
    proper_types:frequency([
        {2, scalar()},
        {2, {array, proper_types:resize(6, proper_types:list(Inner))}},
        {3, {object, proper_types:resize(6, proper_types:list({key(), Inner}))}}
    ]).

object() ->
    Inner = proper_types:sized(fun(Size) -> nested(Size div 3) end),
    {object, proper_types:list({key(), Inner})}.

%% Around the size where a map stops being flat, some of the keys twice.
wide_object() ->
    let_(
        {proper_types:oneof([31, 32, 33, 34, 65, 130]), proper_types:list({key(), scalar()}),
            proper_types:list({proper_types:range(1, 31), scalar()})},
        fun({Size, Others, Again}) ->
            Wide = [{name(N), N} || N <- lists:seq(1, Size)],
            {object, Wide ++ Others ++ [{name(N), Value} || {N, Value} <- Again]}
        end
    ).

name(N) ->
    <<"key", (integer_to_binary(N))/binary>>.

scalar() ->
    proper_types:oneof([null, true, false, integer(), float(), chars()]).

key() ->
    proper_types:oneof([
        proper_types:oneof([<<>>, <<"a">>, <<"b">>, <<"id">>, <<"jsonrpc">>, <<"name">>]),
        chars()
    ]).

integer() ->
    proper_types:oneof([
        proper_types:integer(),
        let_(
            {proper_types:oneof([7, 8, 15, 16, 31, 32, 52, 53, 58, 59, 60, 61, 62, 63, 64, 128]),
                proper_types:range(-2, 2), proper_types:oneof([1, -1])},
            fun({Power, Offset, Sign}) -> Sign * ((1 bsl Power) + Offset) end
        ),
        let_(
            {proper_types:oneof([17, 18, 19, 20, 21, 39, 100, 400]),
                proper_types:integer(1, 1 bsl 60), proper_types:oneof([1, -1])},
            fun({Digits, N, Sign}) -> Sign * (N * N + ten_to(Digits)) end
        )
    ]).

ten_to(N) ->
    binary_to_integer(<<"1", (binary:copy(<<"0">>, N))/binary>>).

float() ->
    proper_types:oneof([
        proper_types:float(),
        proper_types:oneof([
            0.0, -0.0, 1.0, -1.5, 0.1, 5.0e-324, -5.0e-324, 2.2250738585072014e-308,
            2.225073858507201e-308, 1.7976931348623157e308, 9007199254740993.0, 1.0e21, 1.0e22,
            1.0e23, 123456789012345680.0, 9.5e-7, 1.0e-5, 4.35, 0.3
        ]),
        let_(proper_types:vector(8, proper_types:range(0, 255)), fun(Bytes) ->
            case list_to_binary(Bytes) of
                <<Float/float>> -> Float;
                _ -> 0.5
            end
        end)
    ]).

%% Text: all planes, all that must or may be escaped, lengths around the block sizes of scanners.
chars() ->
    Char = proper_types:frequency([
        {6, proper_types:range($a, $z)},
        {2, proper_types:oneof([$", $\\, $/, $\b, $\f, $\n, $\r, $\t, 0, 16#1F, 16#7F])},
        {1, proper_types:range(0, 16#1F)},
        {1, proper_types:oneof([16#80, 16#7FF, 16#800, 16#2028, 16#D7FF, 16#E000, 16#FFFF,
            16#10000, 16#1F600, 16#10FFFF])},
        {1, proper_types:range(16#80, 16#7FF)},
        {1, proper_types:range(16#800, 16#D7FF)},
        {1, proper_types:range(16#E000, 16#FFFF)},
        {1, proper_types:range(16#10000, 16#10FFFF)}
    ]),
    let_(
        {proper_types:frequency([{4, 0}, {2, proper_types:range(0, 70)}, {1, 300}]),
            proper_types:list(Char)},
        fun({Plain, Chars}) ->
            unicode:characters_to_binary([lists:duplicate(Plain, $x), Chars])
        end
    ).

%% Terms for encode: also atoms, and keys that are atoms or numbers. Keys of a map never read the
%% same once written.
encodable() ->
    proper_types:sized(fun encodable/1).

encodable(Size) when Size < 2 ->
    Atom = proper_types:oneof(['', undefined, 'ok "then"', 'ÿ', '日本']),
    proper_types:oneof([scalar(), Atom]);
encodable(Size) ->
    Inner = proper_types:lazy(fun() -> encodable(Size div 3) end),
    Key = proper_types:oneof([key(), integer(), float(), proper_types:oneof([id, true, 'é"'])]),
    Map = fun(Pairs) ->
        maps:from_list([
            {AKey, Value}
         || {_, {AKey, Value}} <- maps:to_list(
                maps:from_list([{written(AKey), Pair} || {AKey, _} = Pair <- Pairs])
            )
        ])
    end,
    proper_types:frequency([
        {2, encodable(0)},
        {2, proper_types:resize(6, proper_types:list(Inner))},
        {3, let_(proper_types:resize(6, proper_types:list({Key, Inner})), Map)},
        {1, let_({wide_object(), proper_types:list({Key, Inner})}, fun({Wide, Pairs}) ->
            Map(maps:to_list(term(Wide)) ++ Pairs)
        end)}
    ]).

written(Key) when is_binary(Key) -> Key;
written(Key) when is_atom(Key) -> atom_to_binary(Key);
written(Key) when is_integer(Key) -> integer_to_binary(Key);
written(Key) when is_float(Key) -> float_to_binary(Key, [short]).

%% Bytes that are UTF-8 only by luck.
broken_text() ->
    Piece = proper_types:frequency([
        {2, chars()},
        {3, proper_types:oneof([
            <<16#80>>, <<16#BF>>, <<16#C0, 16#80>>, <<16#C1>>, <<16#C2>>, <<16#DF, 16#BF>>,
            <<16#E0, 16#9F>>, <<16#E0, 16#A0>>, <<16#ED, 16#A0, 16#80>>, <<16#ED, 16#9F>>,
            <<16#EF, 16#BF>>, <<16#F0, 16#8F>>, <<16#F0, 16#90, 16#80>>, <<16#F4, 16#90>>,
            <<16#F4, 16#8F, 16#BF>>, <<16#F5>>, <<16#FF>>
        ])}
    ]),
    let_(proper_types:list(Piece), fun iolist_to_binary/1).

%% Places (parts of a million of the text) and what to do there.
mutations() ->
    Byte = proper_types:oneof([
        proper_types:range(0, 255),
        proper_types:oneof("\"\\[]{},:0-+.eE1tfnu \n"),
        proper_types:oneof([16#80, 16#BF, 16#C3, 16#E0, 16#ED, 16#F0, 16#F4])
    ]),
    Mutation = {
        proper_types:range(0, 999999),
        proper_types:oneof([cut, delete, {insert, Byte}, {replace, Byte}, {insert, Byte}])
    },
    proper_types:oneof([[Mutation], [Mutation, Mutation], [Mutation, Mutation, Mutation]]).

chunk_sizes() ->
    proper_types:list(
        proper_types:oneof([0, 1, 1, 2, 3, proper_types:range(1, 40), proper_types:range(1, 500)])
    ).

let_(Type, Fun) ->
    proper_types:bind(Type, Fun, false).

%% Writing

%% The document as text; the seed decides about white space, escapes and forms of numbers.
-spec text(document(), integer()) -> binary().
text(Document, Seed) ->
    _ = rand:seed(exsss, Seed),
    iolist_to_binary([space(), write(Document), space()]).

write({array, Documents}) ->
    [$[, space(), separated([[write(Document), space()] || Document <- Documents]), $]];
write({object, Pairs}) ->
    Written = [
        [write(Key), space(), $:, space(), write(Document), space()]
     || {Key, Document} <- Pairs
    ],
    [${, space(), separated(Written), $}];
write(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
write(0) -> one_of([<<"0">>, <<"-0">>]);
write(Integer) when is_integer(Integer) -> integer_to_binary(Integer);
write(Float) when is_float(Float) -> write_float(Float);
write(Text) when is_binary(Text) ->
    Escape = one_of([1, 1, 1, 8, 64]),
    [$", [write_char(Char, Escape) || Char <- unicode:characters_to_list(Text)], $"].

separated(Parts) ->
    lists:join([$,, space()], Parts).

write_float(Float) ->
    Short = float_to_binary(Float, [short]),
    case rand:uniform(5) of
        1 -> float_to_binary(Float, [{scientific, 17 + rand:uniform(8)}]);
        2 -> string:uppercase(Short);
        %% 1.5e-7 is 1.50000e-0007 as well.
        3 -> re:replace(Short, "e-", "00000e-000", [{return, binary}]);
        4 -> re:replace(Short, "\\.0e(?=[0-9])", "E+0", [{return, binary}]);
        5 -> Short
    end.

write_char(Char, Escape) when Char < 32; Char =:= $"; Char =:= $\\ ->
    Short = short_escape(Char),
    one_of([Short, unicode_escape(Char) | lists:duplicate(Escape, Short)]);
write_char($/, _) ->
    one_of([<<"/">>, <<"\\/">>, <<"\\u002f">>]);
write_char(Char, Escape) ->
    case rand:uniform(64) < Escape of
        true -> unicode_escape(Char);
        false -> <<Char/utf8>>
    end.

short_escape($") -> <<"\\\"">>;
short_escape($\\) -> <<"\\\\">>;
short_escape($\b) -> <<"\\b">>;
short_escape($\f) -> <<"\\f">>;
short_escape($\n) -> <<"\\n">>;
short_escape($\r) -> <<"\\r">>;
short_escape($\t) -> <<"\\t">>;
short_escape(Char) -> unicode_escape(Char).

unicode_escape(Char) when Char > 16#FFFF ->
    Bits = Char - 16#10000,
    [unicode_escape(16#D800 + (Bits bsr 10)), unicode_escape(16#DC00 + (Bits band 16#3FF))];
unicode_escape(Char) ->
    io_lib:format(one_of(["\\u~4.16.0b", "\\u~4.16.0B"]), [Char]).

space() ->
    case rand:uniform(4) of
        1 -> [one_of([$\s, $\n, $\r, $\t]) || _ <- lists:seq(1, rand:uniform(20))];
        2 -> $\s;
        _ -> []
    end.

one_of(List) ->
    lists:nth(rand:uniform(length(List)), List).

mutate(Text, Mutations) ->
    lists:foldl(fun mutate_once/2, Text, Mutations).

mutate_once({Place, Mutation}, Text) ->
    At = byte_size(Text) * Place div 1000000,
    <<Before:At/binary, After/binary>> = Text,
    case {Mutation, After} of
        {cut, _} -> Before;
        {{insert, Byte}, _} -> <<Before/binary, Byte, After/binary>>;
        {_, <<>>} -> Before;
        {delete, <<_, Rest/binary>>} -> <<Before/binary, Rest/binary>>;
        {{replace, Byte}, <<_, Rest/binary>>} -> <<Before/binary, Byte, Rest/binary>>
    end.

%% The text in pieces of these sizes, again and again; in one when all sizes are 0.
chunks(Text, Sizes) ->
    case lists:sum(Sizes) of
        0 -> [Text];
        _ -> chunks(Text, Sizes, Sizes)
    end.

chunks(<<>>, _, _) ->
    [];
chunks(Text, [], Sizes) ->
    chunks(Text, Sizes, Sizes);
chunks(Text, [Size | More], Sizes) ->
    case Text of
        <<Chunk:Size/binary, Rest/binary>> -> [Chunk | chunks(Rest, More, Sizes)];
        _ -> [Text]
    end.

%% What decoding gives

term(Document) ->
    term(Document, #{}).

%% With the options keys, objects, null and duplicate_keys (first or last). Proplists keep
%% every pair.
-spec term(document(), map()) -> term().
term({array, Documents}, Options) ->
    [term(Document, Options) || Document <- Documents];
term({object, Pairs}, Options) ->
    Read = [{read_key(Key, Options), term(Document, Options)} || {Key, Document} <- Pairs],
    case Options of
        #{objects := proplist} -> Read;
        #{objects := tuple} -> {Read};
        #{duplicate_keys := last} -> maps:from_list(Read);
        _ -> maps:from_list(lists:reverse(Read))
    end;
term(null, Options) ->
    maps:get(null, Options, null);
term(Scalar, _) ->
    Scalar.

read_key(Key, #{keys := existing_atom}) ->
    try
        binary_to_existing_atom(Key)
    catch
        error:_ -> Key
    end;
read_key(Key, #{keys := {atoms, Atoms}}) ->
    case [Atom || Atom <- Atoms, atom_to_binary(Atom) =:= Key] of
        [Atom | _] -> Atom;
        [] -> Key
    end;
read_key(Key, _) ->
    Key.

pairs_of({object, Pairs}) -> Pairs.

has_duplicates({array, Documents}) ->
    lists:any(fun has_duplicates/1, Documents);
has_duplicates({object, Pairs}) ->
    {Keys, Documents} = lists:unzip(Pairs),
    length(lists:usort(Keys)) < length(Keys) orelse lists:any(fun has_duplicates/1, Documents);
has_duplicates(_) ->
    false.

%% The term with its floats as bits, since 0.0 =:= -0.0 before OTP 27.
exact(Float) when is_float(Float) -> {float, <<Float/float>>};
exact(List) when is_list(List) -> [exact(Element) || Element <- List];
exact(Tuple) when is_tuple(Tuple) -> list_to_tuple(exact(tuple_to_list(Tuple)));
exact(Map) when is_map(Map) -> maps:map(fun(_, Value) -> exact(Value) end, Map);
exact(Term) -> Term.

%% What a call gave: {ok, Value} with exact floats, or {error, Reason, Position | none}.
outcome(Call) ->
    try Call() of
        Value -> {ok, exact(Value)}
    catch
        error:Reason:Stack -> {error, Reason, position(Stack)}
    end.

position([{_, _, _, Info} | _]) ->
    case lists:keyfind(error_info, 1, Info) of
        {error_info, #{cause := #{position := Position}}} -> Position;
        _ -> none
    end;
position([]) ->
    none.

%% The same without the position.
reason(Call) ->
    case outcome(Call) of
        {error, Reason, _} -> {error, Reason};
        Ok -> Ok
    end.

%% The call raises badarg and says more in error_info.
refused(Call) ->
    try Call() of
        Value -> error({not_refused, Call, Value})
    catch
        error:badarg:Stack ->
            [{_, _, _, Info} | _] = Stack,
            {error_info, #{}} = lists:keyfind(error_info, 1, Info),
            ok
    end.
