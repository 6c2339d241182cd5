-module(erlmcp_native_json).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
JSON (RFC 8259) to terms and back, natively.

`decode/1` and `encode/1` do what `json:decode/1` and `json:encode/1` of OTP 27 do, with the same
terms and the same error reasons. Everything else is an option.
""").

-export([decode/1, decode/2, try_decode/2, get/2]).
-export([encode/1, encode/2, encode_to_iodata/1, encode_to_iodata/2]).
-export([stream_new/1, stream_feed/2, stream_end/1]).
-export([format_error/2]).
%% For erlmcp_native_rpc.
-export([decode_options/3, filled/3]).
-export_type([
    decode_opts/0, encode_opts/0, stream_opts/0, stream/0, decode_error/0, reason/0
]).

-type decode_opts() :: #{
    keys => binary | existing_atom | {atoms, [atom()]},
    objects => map | proplist | tuple,
    null => term(),
    duplicate_keys => first | last | error,
    strings => auto | copy | reference,
    max_depth => pos_integer() | infinity,
    max_size => pos_integer() | infinity,
    max_digits => pos_integer() | infinity,
    trailing => error | return
}.
%% What the decoder can be told:
%%
%% `keys': object keys as binaries (default), as atoms that exist already, or as atoms of a list;
%% a key that has no such atom stays a binary, and no atom is ever made.
%% `objects': as maps (default), as `[{Key, Value}]' or as `{[{Key, Value}]}'.
%% `null': the term for null; default `null'.
%% `duplicate_keys': which of equal keys of an object counts; default `first', as OTP.
%% `strings': `copy' never refers to the text, `reference' does for every string without escapes;
%% `auto' (default) only where the string keeps at most 1 KB or eight times itself of the text alive
%% (and of what the text is itself a part of, all).
%% `max_depth': open arrays and objects; default `infinity'.
%% `max_size': bytes of the text; default `infinity'.
%% `max_digits': digits of an integer beyond 64 bits; default 100,000.
%% `trailing': `return' gives `{Term, Rest}' where text follows the value; default `error'.
-type reason() ::
    unexpected_end
    | {invalid_byte, byte()}
    | {unexpected_sequence, binary()}
    | {duplicate_key, binary() | atom()}
    | {max_depth | max_size | max_digits, pos_integer()}
    | system_limit.
-type decode_error() :: #{
    reason := reason(),
    offset := non_neg_integer(),
    line := pos_integer(),
    column := pos_integer()
}.
-type stream() :: erlmcp_native_json_stream:stream().
%% `framing' says how documents follow one another: `concatenated' (default), each where the one
%% before ends by itself, white space allowed between; or `lines', one a line, so that a broken
%% line spoils no other. A stream faces a network: its defaults are a `max_depth' of 512 and a
%% `max_size' (of a document) of 16 MiB.
-type stream_opts() :: #{
    framing => concatenated | lines,
    keys => binary | existing_atom | {atoms, [atom()]},
    objects => map | proplist | tuple,
    null => term(),
    duplicate_keys => first | last | error,
    strings => auto | copy | reference,
    max_depth => pos_integer() | infinity,
    max_size => pos_integer() | infinity,
    max_digits => pos_integer() | infinity
}.

-type encode_opts() :: #{
    pretty => boolean() | 1..255,
    escape => json | unicode,
    escape_slash => boolean(),
    sort_keys => boolean(),
    proplists => boolean(),
    fragments => boolean(),
    null => term(),
    other => fun((term()) -> term())
}.
%% What the encoder can be told; booleans are `false' by default:
%%
%% `pretty': each element and each pair on a line of its own, indented by so many spaces a level
%% (`true': 2), up to 256 in all.
%% `escape': `unicode' writes all that is not ASCII as `\uXXXX'; default `json'.
%% `escape_slash': `/' as `\/'.
%% `sort_keys': the keys of objects in the order of their bytes; otherwise a map's are in the
%% order of its iterator. Integers beyond 1,024 bits cannot be keys then.
%% `proplists': `[{Key, Value}, ...]' with a first key that is a binary or an atom, `[{}]',
%% `{[{Key, Value}, ...]}' and `{[]}' are objects.
%% `fragments': `{json, IoData}' is text that is ready; it is not looked at.
%% `null': this term is written as null too.
%% `other': called for terms that have no JSON form; what it gives is written instead,
%% by the same options, which may call it again, up to 1,000 times one within another.

%% The conversion is quadratic: this many digits take some 10 ms.
-define(MAX_DIGITS, 100_000).

%% Words of heap that are asked for ahead at the most.
-define(MOST_ROOM, 16#1000000).

?DOC("""
The term that a JSON text stands for, as `json:decode/1` of OTP 27 gives it: objects as maps with
binary keys (of equal keys the first counts), arrays as lists, strings as binaries, numbers as
integers or floats, and the atoms `null`, `true` and `false`.

Raises `unexpected_end`, `{invalid_byte, Byte}` or `{unexpected_sequence, Binary}`, with the
offset under `position` in the cause of the `error_info`; and, where OTP goes on, `{max_digits, N}`
for an integer of more than 100,000 digits.
""").
-spec decode(iodata()) -> term().
decode(Text) when is_binary(Text) ->
    try
        erlmcp_native_nif:json_decode(Text, erlmcp_native_nif:vocabulary(), default)
    catch
        error:large ->
            decoded_or_raised(decode_large(Text, default), {?MODULE, decode, [Text]});
        error:{json_error, Reason, Offset, _, _} ->
            erlmcp_native_error:raise({?MODULE, decode, [Text]}, Reason, #{position => Offset})
    end;
decode(Text) ->
    decode(erlmcp_native_error:flat(Text, 1, {?MODULE, decode, [Text]})).

?DOC("""
As `decode/1`, with options.

Raises also `{duplicate_key, Key}`, and `{max_depth, N}`, `{max_size, N}` or `{max_digits, N}` where
the text is beyond that limit.
""").
-spec decode(iodata(), decode_opts()) -> term().
decode(Text, Opts) ->
    Call = {?MODULE, decode, [Text, Opts]},
    Flat = erlmcp_native_error:flat(Text, 1, Call),
    decoded_or_raised(decode_flat(Flat, decode_options(Opts, 2, Call)), Call).

decoded_or_raised({ok, Term}, _Call) ->
    Term;
decoded_or_raised({error, Reason, Offset, _, _}, Call) ->
    erlmcp_native_error:raise(Call, Reason, #{position => Offset}).

?DOC("""
As `decode/2`, with what is wrong with the text as a value: the reason, the offset of the byte in
question (from 0), its line (from 1) and its column (from 1, in bytes).
""").
-spec try_decode(iodata(), decode_opts()) -> {ok, term()} | {error, decode_error()}.
try_decode(Text, Opts) ->
    Call = {?MODULE, try_decode, [Text, Opts]},
    decoded(decode_flat(erlmcp_native_error:flat(Text, 1, Call), decode_options(Opts, 2, Call))).

?DOC("""
The value at a path, without building the rest: a binary names the member of an object, an
integer the element of an array, counted from 0. What stands before the value is checked, what
comes after it is not read. `{error, not_found}` where there is no such value.
""").
-spec get(iodata(), [binary() | non_neg_integer()]) ->
    {ok, term()} | {error, not_found | decode_error()}.
get(Text, Path) ->
    Call = {?MODULE, get, [Text, Path]},
    is_path(Path) orelse erlmcp_native_error:badarg(Call, 2, "not a list of keys and indices"),
    try
        Flat = erlmcp_native_error:flat(Text, 1, Call),
        erlmcp_native_nif:json_get(Flat, erlmcp_native_nif:vocabulary(), Path)
    catch
        error:{json_error, Reason, Offset, Line, Column} ->
            {error, #{reason => Reason, offset => Offset, line => Line, column => Column}}
    end.

is_path([Key | Path]) when is_binary(Key) -> is_path(Path);
is_path([Index | Path]) when is_integer(Index), Index >= 0, Index < 1 bsl 64 -> is_path(Path);
is_path(Rest) -> Rest =:= [].

?DOC("""
A stream of documents that comes in chunks cut anywhere. It is a plain term: each call gives the
one to go on with.
""").
-spec stream_new(stream_opts()) -> stream().
stream_new(Opts) when is_map(Opts), not is_map_key(trailing, Opts) ->
    Call = {?MODULE, stream_new, [Opts]},
    Framing = maps:get(framing, Opts, concatenated),
    lists:member(Framing, [concatenated, lines]) orelse
        erlmcp_native_error:bad_option(Call, 1, framing, Framing),
    Defaults = #{max_depth => 512, max_size => 16#1000000},
    All = maps:merge(Defaults, maps:remove(framing, Opts)),
    {Options, MaxSize} = decode_options(All, 1, Call),
    {Copying, _} = decode_options(All#{strings => copying(All)}, 1, Call),
    Decode = fun(With) -> fun(Document) -> decoded(decode_flat(Document, With)) end end,
    erlmcp_native_json_stream:new(
        Decode({Options, MaxSize}), Decode({Copying, MaxSize}), MaxSize, Framing
    );
stream_new(Opts) ->
    erlmcp_native_error:badarg({?MODULE, stream_new, [Opts]}, 1, "not a map of stream options").

copying(#{strings := reference}) -> reference;
copying(_) -> copy.

?DOC("""
The documents that this chunk completes. Where one is malformed or too large, the answer is what
is wrong with it, offsets counted from its start, and the documents before it; the stream given
with it goes on at the next line, with what was left of this chunk read at the next call: feed it an
empty chunk until the answer is `ok` before what comes next, and before `stream_end/1`.
""").
-spec stream_feed(stream(), iodata()) ->
    {ok, [term()], stream()} | {error, decode_error(), [term()], stream()}.
stream_feed(Stream, Chunk) ->
    Call = {?MODULE, stream_feed, [Stream, Chunk]},
    erlmcp_native_json_stream:is_stream(Stream) orelse
        erlmcp_native_error:badarg(Call, 1, "not a stream"),
    erlmcp_native_json_stream:feed(Stream, erlmcp_native_error:flat(Chunk, 2, Call)).

?DOC("""
Says that no more comes. A number or a line ends here too: `{ok, Documents}` where that completes
one.
""").
-spec stream_end(stream()) -> ok | {ok, [term()]} | {error, decode_error()}.
stream_end(Stream) ->
    erlmcp_native_json_stream:is_stream(Stream) orelse
        erlmcp_native_error:badarg({?MODULE, stream_end, [Stream]}, 1, "not a stream"),
    erlmcp_native_json_stream:finish(Stream).

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).

decoded({ok, Term}) ->
    {ok, Term};
decoded({error, Reason, Offset, Line, Column}) ->
    {error, #{reason => Reason, offset => Offset, line => Line, column => Column}}.

decode_flat(Text, {_, MaxSize}) when byte_size(Text) > MaxSize ->
    {error, {max_size, MaxSize}, MaxSize, 1, MaxSize + 1};
decode_flat(Text, {Options, _}) ->
    try
        {ok, erlmcp_native_nif:json_decode(Text, erlmcp_native_nif:vocabulary(), Options)}
    catch
        error:large ->
            decode_large(Text, Options);
        error:{json_error, Reason, Offset, Line, Column} ->
            {error, Reason, Offset, Line, Column}
    end.

decode_large(Text, Options) ->
    make_room(min(byte_size(Text) div 4, ?MOST_ROOM)),
    try
        {ok, erlmcp_native_nif:json_decode_large(Text, erlmcp_native_nif:vocabulary(), Options)}
    catch
        error:{json_error, Reason, Offset, Line, Column} ->
            {error, Reason, Offset, Line, Column}
    end.

%% Grows the caller's heap to this many words if it is smaller. Terms that a NIF makes beyond the
%% heap go into fragments, which the next collection copies: a third of the time of a large text.
%% Most texts make less than a quarter of a word a byte.
make_room(Words) ->
    [{total_heap_size, Size}, {garbage_collection, Settings}] =
        process_info(self(), [total_heap_size, garbage_collection]),
    case proplists:get_value(max_heap_size, Settings) of
        #{size := 0} when Size < Words ->
            Minimum = process_flag(min_heap_size, Words),
            true = garbage_collect(),
            _ = process_flag(min_heap_size, Minimum),
            ok;
        _ ->
            ok
    end.

?DOC(false).
%% What the NIF takes, and the largest text; At is the place of the options in the call.
-spec decode_options(decode_opts(), pos_integer(), erlmcp_native_error:call()) ->
    {default | tuple(), pos_integer() | infinity}.
decode_options(Opts, _At, _Call) when Opts =:= #{} ->
    {default, infinity};
decode_options(Opts, At, Call) when is_map(Opts) ->
    [
        erlmcp_native_error:bad_option(Call, At, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not is_decode_option(Key, Value)
    ],
    Get = fun(Key, Default) -> maps:get(Key, Opts, Default) end,
    Keys =
        case Get(keys, binary) of
            {atoms, Atoms} -> Atoms;
            Kind -> Kind
        end,
    {
        {
            {Keys, Get(objects, map), Get(null, null), Get(duplicate_keys, first),
                Get(strings, auto)},
            {limit(Get(max_depth, infinity)), limit(Get(max_digits, ?MAX_DIGITS)),
                Get(trailing, error) =:= return}
        },
        Get(max_size, infinity)
    };
decode_options(_Opts, At, Call) ->
    erlmcp_native_error:badarg(Call, At, "not a map of options").

is_decode_option(keys, {atoms, Atoms}) -> is_atom_list(Atoms);
is_decode_option(keys, Value) -> lists:member(Value, [binary, existing_atom]);
is_decode_option(objects, Value) -> lists:member(Value, [map, proplist, tuple]);
is_decode_option(null, _) -> true;
is_decode_option(duplicate_keys, Value) -> lists:member(Value, [first, last, error]);
is_decode_option(strings, Value) -> lists:member(Value, [auto, copy, reference]);
is_decode_option(max_depth, Value) -> is_limit(Value);
is_decode_option(max_size, Value) -> is_limit(Value);
is_decode_option(max_digits, Value) -> is_limit(Value);
is_decode_option(trailing, Value) -> lists:member(Value, [error, return]);
is_decode_option(_, _) -> false.

is_atom_list([Atom | Rest]) when is_atom(Atom) -> is_atom_list(Rest);
is_atom_list(Rest) -> Rest =:= [].

%% The NIF takes limits of 64 bits; what is beyond them is no limit.
is_limit(infinity) -> true;
is_limit(Limit) -> is_integer(Limit) andalso Limit > 0.

limit(Limit) when is_integer(Limit), Limit < 1 bsl 63 -> Limit;
limit(_) -> -1.

%%% Encoding

-define(INDENT_SHIFT, 8).
%% A fun that gives its argument back, or something around it, would never end.
-define(REPLACEMENTS, 1_000).

?DOC("""
The JSON text of a term, as `json:encode/1` of OTP 27 writes it: maps (with binaries, atoms,
integers or floats as keys), lists, binaries of UTF-8, integers, floats, the atoms `null`, `true`
and `false`; other atoms as strings.

Raises `unexpected_end` or `{invalid_byte, Byte}` for a binary that is not UTF-8, the latter with
the offset within that binary under `position` in the cause of the `error_info`;
`{unsupported_type, Term}` for a term that has no JSON form, as value or as key; and
`{improper_list, Tail}`.
""").
-spec encode(term()) -> binary().
encode(Term) ->
    case erlmcp_native_nif:json_encode(Term) of
        Text when is_binary(Text) -> Text;
        Other -> iolist_to_binary(filled(Other, none, {?MODULE, encode, [Term]}))
    end.

?DOC("""
As `encode/1`, with options.
""").
-spec encode(term(), encode_opts()) -> binary().
encode(Term, Opts) ->
    iolist_to_binary(encode_called(Term, Opts, {?MODULE, encode, [Term, Opts]})).

?DOC("""
As `encode/1`, as iodata.
""").
-spec encode_to_iodata(term()) -> iodata().
encode_to_iodata(Term) ->
    filled(erlmcp_native_nif:json_encode(Term), none, {?MODULE, encode_to_iodata, [Term]}).

?DOC("""
As `encode/2`, as iodata: the fragments among the terms are referred to, not copied.
""").
-spec encode_to_iodata(term(), encode_opts()) -> iodata().
encode_to_iodata(Term, Opts) ->
    encode_called(Term, Opts, {?MODULE, encode_to_iodata, [Term, Opts]}).

encode_called(Term, Opts, Call) ->
    encode_level(Term, encode_options(Opts, Call), 0, Call).

encode_level(Term, {Options, Null, _, _} = How, Level, Call) ->
    filled(erlmcp_native_nif:json_encode(Term, Options, Null, Level), How, Call).

?DOC(false).
%% What the NIF gives is a binary, an error, or a list of binaries and of what it leaves to us.
-spec filled(term(), none | tuple(), erlmcp_native_error:call()) -> iodata().
filled(Text, _How, _Call) when is_binary(Text) ->
    Text;
filled(Parts, How, Call) when is_list(Parts) ->
    [filled_part(Part, How, Call) || Part <- Parts];
filled({error, Reason, none}, _How, Call) ->
    erlmcp_native_error:raise(Call, Reason, #{});
filled({error, Reason, Offset}, _How, Call) ->
    erlmcp_native_error:raise(Call, Reason, #{position => Offset}).

filled_part(Text, _How, _Call) when is_binary(Text) ->
    Text;
filled_part({json, Text}, _How, _Call) when is_binary(Text); is_list(Text) ->
    Text;
filled_part({json, _} = Fragment, _How, Call) ->
    erlmcp_native_error:raise(Call, {unsupported_type, Fragment}, #{});
filled_part({integer, Integer, _Level}, _How, _Call) ->
    integer_to_binary(Integer);
filled_part({other, Term, _Level}, {_, _, _, 0}, Call) ->
    erlmcp_native_error:raise(Call, {unsupported_type, Term}, #{});
filled_part({other, Term, Level}, {Options, Null, Other, Left}, Call) ->
    encode_level(Other(Term), {Options, Null, Other, Left - 1}, Level, Call).

%% Flags and indentation in one integer, as native/nif/src/json/encode/mod.rs reads it; the term
%% for null; the fun for other terms, and how often it is called for what it gave itself.
encode_options(Opts, Call) when is_map(Opts) ->
    {maps:fold(fun(Key, Value, Sum) -> Sum bor encode_option(Key, Value, Call) end, 0, Opts),
        maps:get(null, Opts, null), maps:get(other, Opts, undefined), ?REPLACEMENTS};
encode_options(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a map of options").

encode_option(escape, unicode, _Call) -> 1;
encode_option(escape_slash, true, _Call) -> 2;
encode_option(sort_keys, true, _Call) -> 4;
encode_option(proplists, true, _Call) -> 8;
encode_option(fragments, true, _Call) -> 16;
encode_option(other, Fun, _Call) when is_function(Fun, 1) -> 32;
encode_option(null, _Null, _Call) -> 64;
encode_option(pretty, true, _Call) -> 2 bsl ?INDENT_SHIFT;
encode_option(pretty, N, _Call) when is_integer(N), N > 0, N < 256 -> N bsl ?INDENT_SHIFT;
encode_option(escape, json, _Call) -> 0;
encode_option(Key, false, _Call) when
    Key =:= pretty; Key =:= escape_slash; Key =:= sort_keys; Key =:= proplists; Key =:= fragments
->
    0;
encode_option(Key, Value, Call) ->
    erlmcp_native_error:bad_option(Call, 2, Key, Value).
