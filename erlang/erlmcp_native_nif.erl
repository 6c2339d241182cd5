-module(erlmcp_native_nif).
-include("erlmcp_native_doc.hrl").
-include("erlmcp_native_vocabulary.hrl").
?MODULEDOC(false).

-export([
    call_time_read/0,
    call_time_reset/0,
    json_decode/3,
    json_decode_large/3,
    json_encode/1,
    json_encode/4,
    json_get/3,
    json_split/2,
    memory_in_use/0,
    rpc_decode/3,
    rpc_encode/2,
    rpc_headers_match/5,
    rpc_peek/2,
    schema_compile/2,
    schema_validate/3,
    schema_validate_large/3
]).
-export([vocabulary/0]).
-nifs([
    call_time_read/0,
    call_time_reset/0,
    json_decode/3,
    json_decode_large/3,
    json_encode/1,
    json_encode/4,
    json_get/3,
    json_split/2,
    memory_in_use/0,
    rpc_decode/3,
    rpc_encode/2,
    rpc_headers_match/5,
    rpc_peek/2,
    schema_compile/2,
    schema_validate/3,
    schema_validate_large/3
]).
-on_load(init/0).

%% Equals ABI in native/nif/src/boundary.rs.
-define(ABI, 1).
-define(nif_stub, erlang:nif_error({nif_not_loaded, ?MODULE})).

-spec init() -> ok | {error, {Reason, string()}} when
    Reason :: load_failed | bad_lib | load | reload | upgrade | old_code.
init() ->
    erlang:load_nif(filename:join(code:priv_dir(erlmcp_native), "liberlmcp_native"), {?ABI, ?VOCABULARY}).

%% The literal that the NIFs take well-known strings from. It stands in this module, which is
%% never replaced, so that it is always the one the library was loaded with.
-spec vocabulary() -> tuple().
vocabulary() -> ?VOCABULARY.

%% Thread CPU time of calls on normal schedulers, by NIF: calls and nanoseconds of the longest.
%% Counted only in a library built with the feature call_time.
-spec call_time_read() -> [{binary(), non_neg_integer(), non_neg_integer()}] | disabled.
call_time_read() -> ?nif_stub.

-spec call_time_reset() -> ok.
call_time_reset() -> ?nif_stub.

-spec json_decode(binary(), tuple(), default | tuple()) -> term().
json_decode(_Text, _Vocabulary, _Options) -> ?nif_stub.

-spec json_decode_large(binary(), tuple(), default | tuple()) -> term().
json_decode_large(_Text, _Vocabulary, _Options) -> ?nif_stub.

-spec json_encode(term()) -> binary() | nonempty_list() | {error, term(), non_neg_integer() | none}.
json_encode(_Term) -> ?nif_stub.

%% Options and Level (of the outermost value) as the door makes them; Null counts only if the
%% options say so.
-spec json_encode(term(), non_neg_integer(), term(), non_neg_integer()) ->
    binary() | nonempty_list() | {error, term(), non_neg_integer() | none}.
json_encode(_Term, _Options, _Null, _Level) -> ?nif_stub.

-spec json_get(binary(), tuple(), [binary() | non_neg_integer()]) ->
    {ok, term()} | {error, not_found}.
json_get(_Text, _Vocabulary, _Path) -> ?nif_stub.

-spec json_split(binary(), lines | concatenated | non_neg_integer()) ->
    {[{non_neg_integer(), non_neg_integer(), boolean()}], non_neg_integer()}.
json_split(_Chunk, _State) -> ?nif_stub.

-spec memory_in_use() -> non_neg_integer().
memory_in_use() -> ?nif_stub.

-spec rpc_decode(binary(), tuple(), non_neg_integer() | tuple()) -> tuple().
rpc_decode(_Text, _Vocabulary, _Options) -> ?nif_stub.

-spec rpc_encode(0..6, tuple()) -> binary() | nonempty_list() | {error, term(), non_neg_integer() | none}.
rpc_encode(_Envelope, _Values) -> ?nif_stub.

-spec rpc_headers_match(binary(), tuple(), Header, Header, Header) -> ok | tuple() when
    Header :: binary() | undefined | repeated.
rpc_headers_match(_Text, _Vocabulary, _Method, _Name, _ProtocolVersion) -> ?nif_stub.

-spec rpc_peek(binary(), tuple()) -> map() | tuple().
rpc_peek(_Text, _Vocabulary) -> ?nif_stub.

-spec schema_compile(term(), tuple()) -> {ok, reference()} | {error, term()}.
schema_compile(_Schema, _Options) -> ?nif_stub.

-spec schema_validate(reference(), term(), boolean()) -> ok | large | {error, term()}.
schema_validate(_Schema, _Instance, _Explain) -> ?nif_stub.

-spec schema_validate_large(reference(), term(), boolean()) -> ok | {error, term()}.
schema_validate_large(_Schema, _Instance, _Explain) -> ?nif_stub.
