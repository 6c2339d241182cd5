-module(erlmcp_native_json).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
JSON (RFC 8259) to terms and back, natively.

`decode/1` and `encode/1` do what `json:decode/1` and `json:encode/1` of OTP 27 do, with the same
terms and the same error reasons. Everything else is an option.
""").

-export([decode/1, decode/2, try_decode/2]).
-export([encode/1, encode/2, encode_to_iodata/1, encode_to_iodata/2]).
%% For erlmcp_native_rpc.
-export([decode_options/2]).
-export_type([decode_opts/0, decode_error/0, reason/0, encode_opts/0]).

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
%% `auto' (default) only where the string keeps at most 1 KB or eight times itself alive.
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
%% order of its iterator.
%% `proplists': `[{Key, Value}, ...]' with a first key that is a binary or an atom, `[{}]',
%% `{[{Key, Value}, ...]}' and `{[]}' are objects.
%% `fragments': `{json, IoData}' is text that is ready; it is not looked at.
%% `null': this term is written as null too.
%% `other': called for terms that have no JSON form; what it gives is written instead.

%% The conversion is quadratic: this many digits take some 10 ms.
-define(MAX_DIGITS, 100_000).

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
        error:{json_error, Reason, Offset, _, _} ->
            raise(Reason, [Text], Offset);
        error:badarg ->
            badarg([Text], #{1 => <<"not iodata">>})
    end;
decode(Text) ->
    decode(flat(Text, [Text])).

?DOC("""
As `decode/1`, with options.

Raises also `{duplicate_key, Key}`, and `{max_depth, N}`, `{max_size, N}` or `{max_digits, N}` where
the text is beyond that limit.
""").
-spec decode(iodata(), decode_opts()) -> term().
decode(Text, Opts) ->
    Args = [Text, Opts],
    case decode_flat(flat(Text, Args), decode_options(Opts, Args)) of
        {ok, Term} -> Term;
        {error, Reason, Offset, _, _} -> raise(Reason, Args, Offset)
    end.

?DOC("""
As `decode/2`, with what is wrong with the text as a value: the reason, the offset of the byte in
question (from 0), its line (from 1) and its column (from 1, in bytes).
""").
-spec try_decode(iodata(), decode_opts()) -> {ok, term()} | {error, decode_error()}.
try_decode(Text, Opts) ->
    Args = [Text, Opts],
    case decode_flat(flat(Text, Args), decode_options(Opts, Args)) of
        {ok, Term} ->
            {ok, Term};
        {error, Reason, Offset, Line, Column} ->
            {error, #{reason => Reason, offset => Offset, line => Line, column => Column}}
    end.

decode_flat(Text, {_, MaxSize}) when byte_size(Text) > MaxSize ->
    {error, {max_size, MaxSize}, MaxSize, 1, MaxSize + 1};
decode_flat(Text, {Options, _}) ->
    try
        {ok, erlmcp_native_nif:json_decode(Text, erlmcp_native_nif:vocabulary(), Options)}
    catch
        error:{json_error, Reason, Offset, Line, Column} ->
            {error, Reason, Offset, Line, Column}
    end.

?DOC(false).
%% What the NIF takes, and the largest text.
-spec decode_options(decode_opts(), [term()]) -> {default | tuple(), pos_integer() | infinity}.
decode_options(Opts, _Args) when Opts =:= #{} ->
    {default, infinity};
decode_options(Opts, Args) when is_map(Opts) ->
    Check = fun(Key, Value) ->
        case is_decode_option(Key, Value) of
            true -> ok;
            false -> badarg(Args, #{2 => option_error(Key, Value)})
        end
    end,
    ok = maps:foreach(Check, Opts),
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
decode_options(_Opts, Args) ->
    badarg(Args, #{2 => <<"not a map of options">>}).

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

%% Flattening is the VM's: it yields.
flat(Text, _Args) when is_binary(Text) ->
    Text;
flat(Text, Args) ->
    try
        iolist_to_binary(Text)
    catch
        error:badarg -> badarg(Args, #{1 => <<"not iodata">>})
    end.

-spec raise(term(), [term()], non_neg_integer()) -> no_return().
raise(Reason, Args, Offset) ->
    erlang:error(Reason, Args, [{error_info, #{cause => #{position => Offset}}}]).

-spec badarg([term()], #{pos_integer() => binary()}) -> no_return().
badarg(Args, Cause) ->
    erlang:error(badarg, Args, [{error_info, #{cause => Cause}}]).

option_error(Key, Value) ->
    iolist_to_binary(io_lib:format("no such option or value: ~0tp", [{Key, Value}])).

%%% Encoding

-define(INDENT_SHIFT, 8).

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
        Other -> iolist_to_binary(filled(Other, none, [Term]))
    end.

?DOC("""
As `encode/1`, with options.
""").
-spec encode(term(), encode_opts()) -> binary().
encode(Term, Opts) ->
    iolist_to_binary(encode_to_iodata(Term, Opts)).

?DOC("""
As `encode/1`, as iodata.
""").
-spec encode_to_iodata(term()) -> iodata().
encode_to_iodata(Term) ->
    filled(erlmcp_native_nif:json_encode(Term), none, [Term]).

?DOC("""
As `encode/2`, as iodata: the fragments among the terms are referred to, not copied.
""").
-spec encode_to_iodata(term(), encode_opts()) -> iodata().
encode_to_iodata(Term, Opts) ->
    Args = [Term, Opts],
    encode_level(Term, encode_options(Opts, Args), 0, Args).

encode_level(Term, {Options, Null, _} = How, Level, Args) ->
    filled(erlmcp_native_nif:json_encode(Term, Options, Null, Level), How, Args).

%% What the NIF gives is a binary, an error, or a list of binaries and of what it leaves to us.
filled(Text, _How, _Args) when is_binary(Text) ->
    Text;
filled(Parts, How, Args) when is_list(Parts) ->
    [filled_part(Part, How, Args) || Part <- Parts];
filled({error, Reason, none}, _How, Args) ->
    erlang:error(Reason, Args);
filled({error, Reason, Offset}, _How, Args) ->
    raise(Reason, Args, Offset).

filled_part(Text, _How, _Args) when is_binary(Text) ->
    Text;
filled_part({json, Text}, _How, _Args) ->
    Text;
filled_part({integer, Integer, _Level}, _How, _Args) ->
    integer_to_binary(Integer);
filled_part({other, Term, Level}, {Options, Null, Other}, Args) ->
    encode_level(Other(Term), {Options, Null, Other}, Level, Args).

%% Flags and indentation in one integer, as native/nif/src/json/encode/mod.rs reads it; the term
%% for null; the fun for other terms.
encode_options(Opts, Args) when is_map(Opts) ->
    {maps:fold(fun(Key, Value, Sum) -> Sum bor encode_option(Key, Value, Args) end, 0, Opts),
        maps:get(null, Opts, null), maps:get(other, Opts, undefined)};
encode_options(_Opts, Args) ->
    badarg(Args, #{2 => <<"not a map of options">>}).

encode_option(escape, unicode, _Args) -> 1;
encode_option(escape_slash, true, _Args) -> 2;
encode_option(sort_keys, true, _Args) -> 4;
encode_option(proplists, true, _Args) -> 8;
encode_option(fragments, true, _Args) -> 16;
encode_option(other, Fun, _Args) when is_function(Fun, 1) -> 32;
encode_option(null, _Null, _Args) -> 64;
encode_option(pretty, true, _Args) -> 2 bsl ?INDENT_SHIFT;
encode_option(pretty, N, _Args) when is_integer(N), N > 0, N < 256 -> N bsl ?INDENT_SHIFT;
encode_option(escape, json, _Args) -> 0;
encode_option(Key, false, _Args) when
    Key =:= pretty; Key =:= escape_slash; Key =:= sort_keys; Key =:= proplists; Key =:= fragments
->
    0;
encode_option(Key, Value, Args) ->
    badarg(Args, #{2 => option_error(Key, Value)}).
