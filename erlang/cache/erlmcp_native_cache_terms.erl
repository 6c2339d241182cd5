-module(erlmcp_native_cache_terms).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% Terms as the NIFs give and take them. Most keys and values go as they are; of the rest the NIF
%% asks for the external format, which is made and read here, where the VM yields.

-export([on_cache/3, keyed/3, found/3, value/1, key/1, put/6, put_on/2]).
-export_type([answer/0, given_key/0]).

%% A value as a NIF gives it.
-type answer() ::
    {ok, term()} | {external, binary()} | {stored, ets:tid(), integer()}.
-type given_key() :: {key, term()} | {external, binary()}.

%% Bytes of binaries and external formats: up to the first they lie in the entry. Up to the second a
%% term is kept instead of its external format if it takes no more than the third.
-define(INSIDE, 1024).
-define(COPIED, 131_072).
-define(COPIED_SIZE, 262_144).

-record(put, {
    call :: erlmcp_native_error:call(),
    cache :: erlmcp_native_cache:cache(),
    key :: term(),
    %% The key's external format, where the NIF asked for it.
    bytes = [] :: binary() | [],
    value :: term(),
    mode = always :: always | new | {version, non_neg_integer()},
    options = default :: default | erlmcp_native_cache_options:put_tuple()
}).

%% Calls a NIF; At is the cache's place in the call. Whatever else could be wrong has been checked
%% before: badarg means that there is no such cache.
-spec on_cache(erlmcp_native_error:call(), pos_integer(), fun(() -> Answer)) -> Answer.
on_cache(Call, At, Nif) ->
    try
        Nif()
    catch
        error:badarg -> erlmcp_native_error:badarg(Call, At, "no such cache")
    end.

%% Calls a NIF that takes a key, with the key's external format where it asks for that.
-spec keyed(erlmcp_native_error:call(), term(), fun((binary() | []) -> Answer)) -> Answer.
keyed(Call, Key, Nif) ->
    on_cache(Call, 1, fun() ->
        case Nif([]) of
            complex -> Nif(term_to_binary(Key));
            Answer -> Answer
        end
    end).

%% What get/2 answers where its NIF does not answer with the value itself.
-spec found(term(), erlmcp_native_cache:cache(), term()) ->
    {ok, term()} | {error, not_found}.
found(Answer, Cache, Key) ->
    found(Answer, Cache, Key, []).

found({error, not_found} = Miss, _Cache, _Key, _Bytes) ->
    Miss;
found(complex, Cache, Key, _Bytes) ->
    Bytes = term_to_binary(Key),
    found(erlmcp_native_nif:cache_get(Cache, Key, Bytes), Cache, Key, Bytes);
found(Answer, Cache, Key, Bytes) ->
    case value(Answer) of
        {ok, _} = Hit -> Hit;
        %% Replaced since: the next row is there already.
        gone -> found(erlmcp_native_nif:cache_get(Cache, Key, Bytes), Cache, Key, Bytes)
    end.

-spec value(answer()) -> {ok, term()} | gone.
value({ok, _} = Found) -> Found;
value({external, Bytes}) -> {ok, binary_to_term(Bytes)};
value({stored, Table, Row}) -> erlmcp_native_cache_store:lookup(Table, Row).

-spec key(given_key()) -> term().
key({key, Key}) -> Key;
key({external, Bytes}) -> binary_to_term(Bytes).

%% Puts a value in the form that the NIF asks for.
-spec put(Call, Cache, Key, Value, Mode, Options) -> term() when
    Call :: erlmcp_native_error:call(),
    Cache :: erlmcp_native_cache:cache(),
    Key :: term(),
    Value :: term(),
    Mode :: always | new | {version, non_neg_integer()},
    Options :: erlmcp_native_cache_options:put_tuple() | default.
put(Call, Cache, Key, Value, Mode, Options) ->
    give(own(Value), plain, #put{
        call = Call, cache = Cache, key = Key, value = Value, mode = Mode, options = Options
    }).

%% Goes on with what the short form of cache_put answered to the value itself.
-spec put_on(term(), erlmcp_native_error:call()) -> ok | {error, too_large}.
put_on(Answer, {_, put, [Cache, Key, Value]} = Call) ->
    put_answered(Answer, Value, plain, #put{call = Call, cache = Cache, key = Key, value = Value}).

%% What is not held by reference is copied anyway; what is must not keep more alive.
own(Value) when is_binary(Value), byte_size(Value) > ?INSIDE ->
    case 2 * binary:referenced_byte_size(Value) > 3 * byte_size(Value) of
        true -> binary:copy(Value);
        false -> Value
    end;
own(Value) ->
    Value.

give(Given, Form, #put{cache = Cache, key = Key, bytes = Bytes} = Put) ->
    try
        case Put#put.options of
            default ->
                erlmcp_native_nif:cache_put(Cache, Key, Bytes, Given, Form);
            Options ->
                erlmcp_native_nif:cache_put(
                    Cache, Key, Bytes, Given, Form, Put#put.mode, Options
                )
        end
    of
        Answer -> put_answered(Answer, Given, Form, Put)
    catch
        error:badarg -> erlmcp_native_error:badarg(Put#put.call, 1, "no such cache")
    end.

put_answered(complex, Given, Form, #put{key = Key} = Put) ->
    give(Given, Form, Put#put{bytes = term_to_binary(Key)});
put_answered(complex_value, _Given, _Form, #put{value = Value} = Put) ->
    give_complex(term_to_binary(Value), Put);
put_answered({weigh, Weigher}, Given, Form, #put{key = Key, value = Value} = Put) ->
    give(Given, Form, weighed(weight(Weigher, Key, Value), Put));
put_answered({store, Table, IsSized}, _Given, _Form, #put{value = Value} = Put) ->
    Sized = if IsSized -> weighed(erlang:external_size(Value), Put); true -> Put end,
    erlmcp_native_cache_store:put(Table, Value, fun(Row) -> give(Row, stored, Sized) end);
put_answered(Answer, _Given, _Form, _Put) ->
    Answer.

%% The VM copies a term faster than it decodes one, but the term takes more memory than its external
%% format, and a NIF may copy only so much at once.
give_complex(Bytes, Put) when byte_size(Bytes) =< ?INSIDE; byte_size(Bytes) > ?COPIED ->
    give(Bytes, external, Put);
give_complex(Bytes, Put) ->
    %% Made anew, it refers to no larger binary.
    Term = binary_to_term(Bytes),
    case erts_debug:flat_size(Term) * erlang:system_info(wordsize) of
        Size when Size =< ?COPIED_SIZE -> give({Term, Size + byte_size(Bytes)}, copied, Put);
        _ -> give(Bytes, external, Put)
    end.

weighed(Weight, #put{options = default} = Put) ->
    weighed(Weight, Put#put{options = erlmcp_native_cache_options:put_given(#{}, default)});
weighed(Weight, #put{options = Options} = Put) ->
    Put#put{options = setelement(3, Options, Weight)}.

weight(Weigher, Key, Value) ->
    case Weigher(Key, Value) of
        Weight when is_integer(Weight), Weight > 0, Weight < 1 bsl 48 -> Weight;
        Other -> error({bad_weight, Other})
    end.
