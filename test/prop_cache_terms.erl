-module(prop_cache_terms).
%% Properties of how the cache holds keys and values. Run by erlmcp_native_cache_terms_SUITE; the
%% environment variable ERLMCP_NUMTESTS says how many cases.

-export([prop_value/0, prop_key/0, prop_keys_equal/0, prop_near_keys/0]).

-define(cache, erlmcp_native_cache).

prop_value() ->
    for_all(any_term(), fun(Cache, Term) ->
        ok = ?cache:put(Cache, key, Term),
        {ok, Got} = ?cache:get(Cache, key),
        Got =:= Term andalso term_to_binary(Got) =:= term_to_binary(Term) andalso
            erlang:phash2(Got) =:= erlang:phash2(Term)
    end).

%% Found by a copy of itself, and given back as it was put.
prop_key() ->
    for_all(any_term(), fun(Cache, Key) ->
        ok = ?cache:put(Cache, Key, value),
        Copy = binary_to_term(term_to_binary(Key)),
        {ok, value} =:= ?cache:get(Cache, Copy) andalso
            [Key] =:= ?cache:keys(Cache) andalso
            ok =:= ?cache:delete(Cache, Copy) andalso
            {error, not_found} =:= ?cache:get(Cache, Key)
    end).

prop_keys_equal() ->
    for_all({any_term(), any_term()}, fun keys_equal/2).

%% Terms that differ in one place only.
prop_near_keys() ->
    Pair = proper_types:bind(
        {any_term(), leaf(), leaf()},
        fun({Around, A, B}) -> {{Around, [A]}, {Around, [B]}} end,
        false
    ),
    for_all(Pair, fun keys_equal/2).

keys_equal(Cache, {A, B}) ->
    ok = ?cache:put(Cache, A, value),
    Found = ?cache:is_key(Cache, B),
    ok = ?cache:delete(Cache, A),
    Found =:= (A =:= B).

%% Generators

any_term() ->
    proper_types:oneof([
        leaf(),
        proper_types:any(),
        proper_types:list(leaf()),
        proper_types:loose_tuple(proper_types:oneof([leaf(), proper_types:list(leaf())])),
        map_of(leaf(), proper_types:oneof([leaf(), proper_types:any()])),
        map_of(proper_types:any(), leaf()),
        wide_map()
    ]).

leaf() ->
    proper_types:oneof([
        proper_types:integer(), proper_types:float(), proper_types:atom(), proper_types:binary(),
        proper_types:bitstring(), proper_types:oneof(edges())
    ]).

edges() ->
    [
        (1 bsl 59) - 1, 1 bsl 59, -(1 bsl 59), -(1 bsl 59) - 1, (1 bsl 63) - 1, 1 bsl 63,
        -(1 bsl 63), -(1 bsl 63) - 1, (1 bsl 64) - 1, 1 bsl 64, 1 bsl 200, 1, 1.0, 0.0, -0.0, [], {},
        #{}, self(), binary:copy(<<"x">>, 63), binary:copy(<<"x">>, 64), binary:copy(<<"x">>, 65)
    ].

map_of(Key, Value) ->
    proper_types:bind(proper_types:list({Key, Value}), fun(L) -> maps:from_list(L) end, false).

%% On both sides of what a map of two tuples may hold.
wide_map() ->
    proper_types:bind(
        {proper_types:range(28, 36), leaf()},
        fun({Size, Value}) -> maps:from_list([{I, Value} || I <- lists:seq(1, Size)]) end,
        false
    ).

%% With a cache, which is empty before each case. PropEr itself, as Debian has it, does not
%% survive an exception in a property on a new OTP.
for_all(Type, Property) ->
    proper:forall(Type, fun(Instance) ->
        {ok, Cache} = ?cache:new(?MODULE, #{capacity => 1000}),
        try
            Property(Cache, Instance)
        catch
            Class:Reason:Stack ->
                io:format("~p:~p~n~p~n", [Class, Reason, Stack]),
                false
        after
            ok = ?cache:drop(Cache)
        end
    end).
