-module(erlmcp_native_json_compat).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
The API of erlmcp's `erlmcp_json_native`, with its results and its error terms, on
`erlmcp_native_json`.
""").

-export([encode/1, encode/2, decode/1, decode/2]).

?DOC("""
The JSON text of a term, as `json:encode/1` of OTP 27 writes it, as a binary. Raises
`{encode_error, Reason}` with the reason that `json:encode/1` raises.
""").
-spec encode(term()) -> binary().
encode(Term) ->
    try
        erlmcp_native_json:encode(Term)
    catch
        error:Reason -> erlang:error({encode_error, Reason})
    end.

?DOC("""
As `encode/1`: the options are ignored.
""").
-spec encode(term(), list()) -> binary().
encode(Term, _Options) ->
    encode(Term).

?DOC("""
The term of a JSON text, as `json:decode/1` of OTP 27 gives it. Raises `{decode_error, Reason}` with
the reason that `json:decode/1` raises, or `{max_digits, N}` for an integer of too many digits.
""").
-spec decode(binary()) -> term().
decode(Text) when is_binary(Text) ->
    try
        erlmcp_native_json:decode(Text)
    catch
        error:Reason -> erlang:error({decode_error, Reason})
    end.

?DOC("""
As `decode/1`: the options are ignored.
""").
-spec decode(binary(), list()) -> term().
decode(Text, _Options) ->
    decode(Text).
