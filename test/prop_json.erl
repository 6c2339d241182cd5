-module(prop_json).
%% Properties of erlmcp_native_json. The oracle is bench/baseline/erlmcp_json_baseline.erl, for
%% options a model over documents (erlmcp_native_test_json:term/2). Run by
%% erlmcp_native_json_SUITE; the environment variable ERLMCP_NUMTESTS says how many cases.

-export([
    prop_decode_valid/0,
    prop_decode_mutated/0,
    prop_decode_random_bytes/0,
    prop_decode_broken_text/0,
    prop_decode_iodata/0,
    prop_decode_in_place/0,
    prop_decode_options/0,
    prop_decode_digits/0,
    prop_duplicate_error/0,
    prop_trailing_return/0,
    prop_try_decode/0,
    prop_encode/0,
    prop_encode_flat/0,
    prop_encode_bad_text/0,
    prop_encode_bad_term/0,
    prop_encode_options/0,
    prop_round_trip/0,
    prop_stream/0,
    prop_stream_errors/0,
    prop_get/0,
    prop_get_missing/0
]).

-define(json, erlmcp_native_json).
-define(oracle, erlmcp_json_baseline).
-define(test, erlmcp_native_test_json).

%% Decoding

prop_decode_valid() ->
    for_all({?test:document(), proper_types:integer()}, fun({Document, Seed}) ->
        Text = ?test:text(Document, Seed),
        Expected = {ok, ?test:exact(?test:term(Document))},
        Expected =:= ?test:outcome(fun() -> ?oracle:decode(Text) end) andalso
            Expected =:= ?test:outcome(fun() -> ?json:decode(Text) end)
    end).

prop_decode_mutated() ->
    for_all(
        {?test:document(), proper_types:integer(), ?test:mutations()},
        fun({Document, Seed, Mutations}) ->
            decodes_as_oracle(?test:mutate(?test:text(Document, Seed), Mutations))
        end
    ).

prop_decode_random_bytes() ->
    Token = proper_types:oneof([
        <<"{">>, <<"}">>, <<"[">>, <<"]">>, <<",">>, <<":">>, <<"\"">>, <<"\\">>, <<"\\u">>,
        <<"00e9">>, <<"d83d">>, <<"\\ude00">>, <<"0">>, <<"1">>, <<"-">>, <<"+">>, <<".">>, <<"e">>,
        <<"E">>,
        <<"true">>, <<"false">>, <<"null">>, <<" ">>, <<"\n">>, <<"\"a\":">>, <<"é"/utf8>>,
        proper_types:binary(1)
    ]),
    for_all(proper_types:list(Token), fun(Tokens) ->
        decodes_as_oracle(iolist_to_binary(Tokens))
    end).

prop_decode_broken_text() ->
    for_all({?test:broken_text(), proper_types:oneof([<<>>, <<"\\n">>, <<"\\u00e9">>])},
        fun({Text, Escape}) ->
            decodes_as_oracle(<<"[\"", Escape/binary, Text/binary, "\"]">>)
        end
    ).

decodes_as_oracle(Text) ->
    Expected = ?test:outcome(fun() -> ?oracle:decode(Text) end),
    agrees(Expected, ?test:outcome(fun() -> ?json:decode(Text) end)).

%% The oracle gives no position for an early end.
agrees({error, Reason, none}, {error, Reason, _}) -> true;
agrees(Outcome, Outcome) -> true;
agrees(_, _) -> false.

prop_decode_iodata() ->
    for_all(
        {?test:document(), proper_types:integer(), ?test:chunk_sizes()},
        fun({Document, Seed, Sizes}) ->
            Text = ?test:text(Document, Seed),
            Expected = ?test:exact(?test:term(Document)),
            Chunks = ?test:chunks(Text, Sizes),
            Bytes = binary_to_list(Text),
            Expected =:= ?test:exact(?json:decode(Chunks)) andalso
                Expected =:= ?test:exact(?json:decode([[Chunks], [] | <<>>])) andalso
                Expected =:= ?test:exact(?json:decode(Bytes))
        end
    ).

%% A part of a larger binary, at any alignment.
prop_decode_in_place() ->
    for_all(
        {?test:document(), proper_types:integer(), proper_types:range(0, 40),
            proper_types:oneof([auto, copy, reference])},
        fun({Document, Seed, Before, Strings}) ->
            Text = ?test:text(Document, Seed),
            Size = byte_size(Text),
            Larger = <<0:Before, Text/binary, "\"\\{[">>,
            <<_:Before, Part:Size/binary, _/binary>> = Larger,
            ?test:exact(?test:term(Document)) =:=
                ?test:exact(?json:decode(Part, #{strings => Strings}))
        end
    ).

prop_decode_options() ->
    Options = [
        {keys, [binary, existing_atom, {atoms, []}, {atoms, [id, a, jsonrpc, '']}]},
        {objects, [map, map, proplist, tuple]},
        {null, [null, nil, undefined, [], <<"null">>]},
        {duplicate_keys, [first, last]},
        {strings, [auto, copy, reference]},
        {max_depth, [infinity, 1000]},
        {max_size, [infinity, 1 bsl 24]},
        {max_digits, [infinity, 1000]},
        {trailing, [error]}
    ],
    for_all(
        {?test:document(), proper_types:integer(), options(Options)},
        fun({Document, Seed, Chosen}) ->
            Text = ?test:text(Document, Seed),
            Expected = ?test:exact(?test:term(Document, Chosen)),
            Expected =:= ?test:exact(?json:decode(Text, Chosen))
        end
    ).

prop_decode_digits() ->
    for_all({?test:integer(), proper_types:range(1, 60)}, fun({Integer, Limit}) ->
        Digits = length(integer_to_list(abs(Integer))),
        Outcome = ?test:outcome(fun() ->
            ?json:decode(integer_to_binary(Integer), #{max_digits => Limit})
        end),
        %% What fits 64 bits is not limited.
        case Digits =< Limit orelse (Integer < 1 bsl 63 andalso Integer >= -(1 bsl 63)) of
            true -> Outcome =:= {ok, Integer};
            false -> {error, {max_digits, Limit}, 0} =:= Outcome
        end
    end).

prop_duplicate_error() ->
    for_all({?test:document(), proper_types:integer()}, fun({Document, Seed}) ->
        Text = ?test:text(Document, Seed),
        case ?json:try_decode(Text, #{duplicate_keys => error}) of
            {ok, Term} ->
                not ?test:has_duplicates(Document) andalso
                    ?test:exact(Term) =:= ?test:exact(?test:term(Document));
            {error, #{reason := {duplicate_key, Key}}} ->
                is_binary(Key) andalso ?test:has_duplicates(Document)
        end
    end).

%% What is behind the document comes back byte for byte.
prop_trailing_return() ->
    for_all(
        {?test:document(), proper_types:integer(), proper_types:binary()},
        fun({Document, Seed, Behind}) ->
            Text = ?test:text(Document, Seed),
            All = <<Text/binary, "\n", Behind/binary>>,
            {Term, Rest} = ?json:decode(All, #{trailing => return}),
            Kept = byte_size(Rest) - byte_size(Behind),
            <<Space:Kept/binary, Behind/binary>> = Rest,
            ?test:exact(Term) =:= ?test:exact(?test:term(Document)) andalso
                [] =:= [Byte || <<Byte>> <= Space, not lists:member(Byte, " \t\r\n")]
        end
    ).

prop_try_decode() ->
    for_all(
        {?test:document(), proper_types:integer(), ?test:mutations()},
        fun({Document, Seed, Mutations}) ->
            Text = ?test:mutate(?test:text(Document, Seed), Mutations),
            case {?test:outcome(fun() -> ?oracle:decode(Text) end), ?json:try_decode(Text, #{})} of
                {{ok, Expected}, {ok, Term}} ->
                    Expected =:= ?test:exact(Term);
                {{error, Reason, Position}, {error, Error}} ->
                    #{reason := Reason, offset := Offset, line := Line, column := Column} = Error,
                    lists:member(Position, [none, Offset]) andalso
                        {Line, Column} =:= line_and_column(Text, Offset);
                _ ->
                    false
            end
        end
    ).

line_and_column(Text, Offset) ->
    Lines = binary:split(binary_part(Text, 0, Offset), <<"\n">>, [global]),
    {length(Lines), byte_size(lists:last(Lines)) + 1}.

%% Encoding

%% The bytes are the oracle's, map order included: both follow the VM's order of a map of at most
%% 32 keys. Above that the order is free, so the meaning is compared.
prop_encode() ->
    for_all(?test:encodable(), fun(Term) ->
        Binary = ?json:encode(Term),
        is_binary(Binary) andalso
            Binary =:= iolist_to_binary(?json:encode_to_iodata(Term)) andalso
            ?test:exact(?oracle:decode(Binary)) =:=
                ?test:exact(?oracle:decode(?oracle:encode_to_binary(Term))) andalso
            (has_wide_map(Term) orelse Binary =:= ?oracle:encode_to_binary(Term))
    end).

has_wide_map(Map) when is_map(Map) ->
    map_size(Map) > 32 orelse lists:any(fun has_wide_map/1, maps:values(Map));
has_wide_map(List) when is_list(List) ->
    lists:any(fun has_wide_map/1, List);
has_wide_map(_) ->
    false.

%% Long flat lists of every scalar, so that buffers of the encoder fill at every place.
prop_encode_flat() ->
    Scalar = proper_types:oneof([?test:integer(), ?test:float(), ?test:chars()]),
    for_all({proper_types:list(Scalar), proper_types:range(1, 300)}, fun({Scalars, Times}) ->
        Term = lists:append(lists:duplicate(Times, Scalars)),
        ?json:encode(Term) =:= ?oracle:encode_to_binary(Term)
    end).

prop_encode_bad_text() ->
    for_all(?test:broken_text(), fun(Text) ->
        lists:all(
            fun(Term) ->
                ?test:reason(fun() -> ?oracle:encode_to_binary(Term) end) =:=
                    ?test:reason(fun() -> ?json:encode(Term) end)
            end,
            [Text, [Text], #{Text => 1}, #{<<"a">> => [Text, null]}]
        )
    end).

prop_encode_bad_term() ->
    Bad = proper_types:oneof([
        {}, {a, b}, self(), make_ref(), fun() -> ok end, <<1:3>>, {json, <<"1">>}, {[]}
    ]),
    Around = proper_types:oneof([
        fun(Term) -> Term end,
        fun(Term) -> [Term] end,
        fun(Term) -> [1, [Term, null]] end,
        fun(Term) -> #{a => Term} end,
        fun(Term) -> #{<<"k">> => [#{1 => Term}]} end
    ]),
    for_all({Bad, Around}, fun({Term, Wrap}) ->
        {error, {unsupported_type, Term}} =:=
            ?test:reason(fun() -> ?json:encode(Wrap(Term)) end)
    end).

prop_encode_options() ->
    Options = [
        {pretty, [true, false]},
        {escape, [json, unicode]},
        {escape_slash, [true, false]},
        {sort_keys, [true, false]}
    ],
    for_all({?test:encodable(), options(Options)}, fun({Any, Chosen}) ->
        Term = sortable(Any, Chosen),
        Binary = ?json:encode(Term, Chosen),
        Binary =:= iolist_to_binary(?json:encode_to_iodata(Term, Chosen)) andalso
            ?test:exact(?oracle:decode(Binary)) =:=
                ?test:exact(?oracle:decode(?oracle:encode_to_binary(Term))) andalso
            lists:all(fun(Option) -> has_effect(Option, Binary) end, maps:to_list(Chosen))
    end).

%% Without the keys that cannot be sorted.
sortable(Map, #{sort_keys := true} = Chosen) when is_map(Map) ->
    maps:from_list([
        {Key, sortable(Value, Chosen)}
     || {Key, Value} <- maps:to_list(Map), not is_integer(Key) orelse abs(Key) < 1 bsl 1024
    ]);
sortable(List, Chosen) when is_list(List) ->
    [sortable(Element, Chosen) || Element <- List];
sortable(Term, _) ->
    Term.

has_effect({escape, unicode}, Binary) ->
    [] =:= [Byte || <<Byte>> <= Binary, Byte > 127];
has_effect({escape_slash, true}, Binary) ->
    nomatch =:= re:run(Binary, "(?<!\\\\)(\\\\\\\\)*/");
has_effect({sort_keys, true}, Binary) ->
    is_sorted(?json:decode(Binary, #{objects => tuple}));
has_effect({pretty, false}, Binary) ->
    %% White space stands only in strings.
    nomatch =:= binary:match(Binary, <<"\n">>);
has_effect(_, _) ->
    true.

is_sorted({Pairs}) ->
    {Keys, Values} = lists:unzip(Pairs),
    Keys =:= lists:sort(Keys) andalso is_sorted(Values);
is_sorted(List) when is_list(List) ->
    lists:all(fun is_sorted/1, List);
is_sorted(_) ->
    true.

prop_round_trip() ->
    for_all(?test:document(), fun(Document) ->
        Term = ?test:term(Document),
        Decoded = ?json:decode(?json:encode(Term)),
        %% Maps must be those that the VM itself builds, not only look like them.
        Decoded =:= Term andalso ?test:exact(Decoded) =:= ?test:exact(Term) andalso
            erlang:phash2(Decoded) =:= erlang:phash2(Term)
    end).

%% Streams

prop_stream() ->
    Separator = proper_types:oneof([<<"\n">>, <<" ">>, <<"\r\n">>, <<"\t\n\n">>]),
    Documents = proper_types:list({?test:document(), proper_types:integer(), Separator}),
    for_all({Documents, ?test:chunk_sizes()}, fun({List, Sizes}) ->
        Text = iolist_to_binary([
            [?test:text(Document, Seed), Behind]
         || {Document, Seed, Behind} <- List
        ]),
        Expected = [?test:exact(?test:term(Document)) || {Document, _, _} <- List],
        {Terms, Stream} = lists:foldl(
            fun(Chunk, {Before, Stream0}) ->
                {ok, New, Stream1} = ?json:stream_feed(Stream0, Chunk),
                {Before ++ New, Stream1}
            end,
            {[], ?json:stream_new(#{})},
            ?test:chunks(Text, Sizes)
        ),
        ok =:= ?json:stream_end(Stream) andalso ?test:exact(Terms) =:= Expected
    end).

%% What was whole before the error is given, wherever the chunks end. A bracket that stays open
%% is an error at the end only.
prop_stream_errors() ->
    Broken = [<<"]">>, <<"{]">>, <<"[1,,">>, <<"\"\\x\"">>, <<"tru ">>, <<"01">>],
    for_all(
        {proper_types:list({?test:document(), proper_types:integer()}), ?test:chunk_sizes(),
            proper_types:oneof(Broken)},
        fun({List, Sizes, Bad}) ->
            Text = iolist_to_binary(
                [[?test:text(Document, Seed), $\n] || {Document, Seed} <- List] ++ [Bad, "        "]
            ),
            Expected = [?test:exact(?test:term(Document)) || {Document, _} <- List],
            {{error, #{reason := _}}, Terms} = feed_until_error(
                ?json:stream_new(#{}), ?test:chunks(Text, Sizes), []
            ),
            ?test:exact(Terms) =:= Expected
        end
    ).

feed_until_error(Stream0, [Chunk | Chunks], Before) ->
    case ?json:stream_feed(Stream0, Chunk) of
        {ok, Terms, Stream} -> feed_until_error(Stream, Chunks, Before ++ Terms);
        {error, Error, Terms, _} -> {{error, Error}, Before ++ Terms}
    end;
feed_until_error(Stream, [], Before) ->
    {?json:stream_end(Stream), Before}.

%% One value

prop_get() ->
    Step = proper_types:range(0, 5),
    for_all(
        {?test:document(), proper_types:integer(), proper_types:list(Step)},
        fun({Document, Seed, Steps}) ->
            Term = ?test:term(Document),
            {Path, Value} = walk(Term, Steps, []),
            case ?json:get(?test:text(Document, Seed), Path) of
                {ok, Got} -> ?test:exact(Got) =:= ?test:exact(Value);
                _ -> false
            end
        end
    ).

walk(Map, [Step | Steps], Path) when is_map(Map), map_size(Map) > 0 ->
    {Key, Value} = lists:nth(Step rem map_size(Map) + 1, maps:to_list(Map)),
    walk(Value, Steps, [Key | Path]);
walk([_ | _] = List, [Step | Steps], Path) ->
    Index = Step rem length(List),
    walk(lists:nth(Index + 1, List), Steps, [Index | Path]);
walk(Term, _, Path) ->
    {lists:reverse(Path), Term}.

prop_get_missing() ->
    for_all(
        {?test:document(), proper_types:integer(), proper_types:list(proper_types:range(0, 5)),
            proper_types:oneof([<<"no such key">>, 1000])},
        fun({Document, Seed, Steps, Missing}) ->
            {Path, _} = walk(?test:term(Document), Steps, []),
            {error, not_found} =:= ?json:get(?test:text(Document, Seed), Path ++ [Missing])
        end
    ).

%% Helpers

%% PropEr itself, as Debian has it, does not survive an exception in a property on a new OTP.
for_all(Type, Property) ->
    proper:forall(Type, fun(Instance) ->
        try
            Property(Instance)
        catch
            Class:Reason:Stack ->
                io:format("~p:~p~n~p~n", [Class, Reason, Stack]),
                false
        end
    end).

%% Each option is absent or has one of its values.
options(Options) ->
    Choice = [
        proper_types:oneof([absent | [{Option, Value} || Value <- Values]])
     || {Option, Values} <- Options
    ],
    proper_types:bind(
        Choice,
        fun(Chosen) -> maps:from_list([Pair || {_, _} = Pair <- Chosen]) end,
        false
    ).
