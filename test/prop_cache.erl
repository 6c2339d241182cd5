-module(prop_cache).
%% Properties of erlmcp_native_cache: any sequence of calls, alone and beside another, answers as a
%% map does; a bounded cache answers as a map that forgets. Run by erlmcp_native_cache_SUITE; the
%% environment variable ERLMCP_NUMTESTS says how many cases.

-export([
    prop_answers_as_a_map/0,
    prop_parallel_calls_have_an_order/0,
    prop_bounded_answers_as_a_map_that_forgets/0,
    prop_keys_are_compared_exactly/0
]).
%% proper_statem
-export([initial_state/0, command/1, precondition/2, postcondition/3, next_state/3]).
%% Commands
-export([replace/3, replace_old/3, entries/1, keys_by_cursor/1, put_tagged/4]).

-define(CACHE, prop_cache).
-define(cache, erlmcp_native_cache).

%% What is there: key => value, and key => tags. `in parallel' leaves out what walks the cache,
%% which is not one step.
-record(model, {
    map = #{} :: #{term() => term()},
    tags = #{} :: #{term() => [term()]},
    %% Tags of entries that were invalidated and may be counted until they are freed.
    dead = [] :: [[term()]],
    is_parallel = false :: boolean()
}).

prop_answers_as_a_map() ->
    for_all({proper_statem:commands(?MODULE), options()}, fun({Commands, Options}) ->
        in_cache(Options#{capacity => 100_000}, fun() ->
            {History, State, Result} = proper_statem:run_commands(?MODULE, Commands),
            Result =:= ok orelse
                begin
                    io:format("~p~n~p~n~p~n", [lists:last(History), State, Result]),
                    false
                end
        end)
    end).

prop_parallel_calls_have_an_order() ->
    Initial = #model{is_parallel = true},
    for_all({proper_statem:parallel_commands(?MODULE, Initial), options()}, fun({Test, Options}) ->
        in_cache(Options#{capacity => 100_000}, fun() ->
            {_, _, Result} = proper_statem:run_parallel_commands(?MODULE, Test),
            Result =:= ok
        end)
    end).

prop_bounded_answers_as_a_map_that_forgets() ->
    Capacity = proper_types:integer(1, 20),
    Calls = proper_types:list(
        proper_types:frequency([
            {5, {put, proper_types:integer(1, 40), proper_types:integer()}},
            {3, {get, proper_types:integer(1, 40)}},
            {1, {delete, proper_types:integer(1, 40)}},
            {1, {resize, proper_types:integer(1, 20)}}
        ])
    ),
    for_all({Calls, Capacity, options()}, fun({All, First, Options}) ->
        in_cache(Options#{capacity => First}, fun() ->
            Bounded = fun(Call, State) -> bounded(Call, First, State) end,
            {_, _, Holds} = lists:foldl(Bounded, {#{}, First, true}, All),
            Holds
        end)
    end).

bounded(Call, First, {Map0, Capacity0, Held}) ->
    {Map, Capacity, Right} =
        case Call of
            {put, Key, Value} ->
                ok = ?cache:put(?CACHE, Key, Value),
                {Map0#{Key => Value}, Capacity0, true};
            {get, Key} ->
                Is =
                    case ?cache:get(?CACHE, Key) of
                        {ok, Value} -> Map0 =:= Map0#{Key => Value};
                        {error, not_found} -> true
                    end,
                {Map0, Capacity0, Is};
            {delete, Key} ->
                ok = ?cache:delete(?CACHE, Key),
                {maps:remove(Key, Map0), Capacity0, true};
            {resize, New} when New =< 4 * First ->
                ok = ?cache:resize(?CACHE, New),
                {Map0, New, true};
            {resize, New} ->
                {error, too_large} = ?cache:resize(?CACHE, New),
                {Map0, Capacity0, true}
        end,
    There = entries(?CACHE),
    Bound = map_size(There) =< Capacity,
    Subset = maps:size(maps:filter(fun(K, V) -> maps:find(K, Map) =/= {ok, V} end, There)) =:= 0,
    {Map, Capacity, Held andalso Right andalso Bound andalso Subset}.

%% One key is found by another if and only if they are equal by =:=.
prop_keys_are_compared_exactly() ->
    for_all({key(), key()}, fun({One, Other}) ->
        in_cache(#{capacity => 10}, fun() ->
            ok = ?cache:put(?CACHE, One, one),
            Expected = if One =:= Other -> {ok, one}; true -> {error, not_found} end,
            Expected =:= ?cache:get(?CACHE, Other) andalso
                (Expected =/= {error, not_found}) =:= ?cache:is_key(?CACHE, Other) andalso
                [One] =:= ?cache:keys(?CACHE)
        end)
    end).

%%% The machine

initial_state() -> #model{}.

command(#model{is_parallel = IsParallel}) ->
    proper_types:frequency(
        [
            {6, call(put, [?CACHE, few_keys(), value()])},
            {4, call(get, [?CACHE, few_keys()])},
            {2, call(put_new, [?CACHE, few_keys(), value()])},
            {2, call(update_counter, [?CACHE, few_keys(), proper_types:integer()])},
            {2, call(take, [?CACHE, few_keys()])},
            {2, call(delete, [?CACHE, few_keys()])},
            {1, call(touch, [?CACHE, few_keys()])},
            {1, call(is_key, [?CACHE, few_keys()])},
            {1, call(ttl, [?CACHE, few_keys()])}
        ] ++
            [
                Alone
             || not IsParallel,
                Alone <- [
                    {1, {call, ?MODULE, put_tagged, [?CACHE, few_keys(), value(), few_tags()]}},
                    {1, call(invalidate_tag, [?CACHE, pick(tags())])},
                    {1, {call, ?MODULE, replace, [?CACHE, few_keys(), value()]}},
                    {1, {call, ?MODULE, replace_old, [?CACHE, few_keys(), value()]}},
                    {1, call(get_many, [?CACHE, proper_types:list(few_keys())])},
                    {1, call(put_many, [
                        ?CACHE, proper_types:list(proper_types:tuple([few_keys(), value()]))
                    ])},
                    {1, call(delete_many, [?CACHE, proper_types:list(few_keys())])},
                    {1, call(invalidate_prefix, [?CACHE, pick(prefixes())])},
                    {1, call(clear, [?CACHE])},
                    {1, {call, ?MODULE, entries, [?CACHE]}},
                    {1, {call, ?MODULE, keys_by_cursor, [?CACHE]}}
                ]
            ]
    ).

call(Function, Args) -> {call, ?cache, Function, Args}.

precondition(_State, _Call) -> true.

postcondition(#model{tags = Tags, dead = Dead}, {call, _, invalidate_tag, [_, Tag]}, {ok, Count}) ->
    Least = length(tagged(Tag, maps:values(Tags))),
    Count >= Least andalso Count =< Least + length(tagged(Tag, Dead));
postcondition(#model{map = Map, tags = Tags}, {call, _, Name, [_ | Args]}, Answer) ->
    Answer =:= answer(Name, Args, Map, Tags).

answer(put, _, _, _) -> ok;
answer(put_tagged, _, _, _) -> ok;
answer(put_many, _, _, _) -> ok;
answer(delete, _, _, _) -> ok;
answer(delete_many, _, _, _) -> ok;
answer(clear, _, _, _) -> ok;
answer(get, [Key], Map, _) -> found(Key, Map);
answer(take, [Key], Map, _) -> found(Key, Map);
answer(get_many, [Keys], Map, _) -> maps:with(Keys, Map);
answer(put_new, [Key, _], Map, _) when is_map_key(Key, Map) -> {error, exists};
answer(put_new, _, _, _) -> ok;
answer(update_counter, [Key, Increment], Map, _) ->
    case maps:get(Key, Map, 0) of
        Value when is_integer(Value), abs(Value) < 1 bsl 62 -> {ok, Value + Increment};
        _ -> {error, not_integer}
    end;
answer(touch, [Key], Map, _) -> is_map_key(Key, Map);
answer(is_key, [Key], Map, _) -> is_map_key(Key, Map);
answer(ttl, [Key], Map, _) when is_map_key(Key, Map) -> {ok, infinity};
answer(ttl, _, _, _) -> {error, not_found};
answer(invalidate_prefix, [Prefix], Map, _) -> {ok, length(with_prefix(Prefix, Map))};
answer(replace, [Key, _], Map, _) when is_map_key(Key, Map) -> replaced;
answer(replace, _, _, _) -> {error, not_found};
answer(replace_old, [Key, _], Map, _) when is_map_key(Key, Map) -> conflict;
answer(replace_old, _, _, _) -> {error, not_found};
answer(entries, [], Map, _) -> Map;
answer(keys_by_cursor, [], Map, _) -> sorted(maps:keys(Map)).

found(Key, Map) ->
    case Map of
        #{Key := Value} -> {ok, Value};
        _ -> {error, not_found}
    end.

tagged(Tag, Many) -> [Of || Of <- Many, lists:member(Tag, Of)].

with_prefix(Prefix, Map) ->
    [K || K <- maps:keys(Map), is_binary(K), binary:longest_common_prefix([K, Prefix]) =:= byte_size(Prefix)].

next_state(#model{map = Map, tags = Tags} = Model, _Answer, {call, _, Name, [_ | Args]}) ->
    case {Name, Args} of
        {put, [Key, Value]} -> put_in(Key, Value, [], Model);
        {put_tagged, [Key, Value, Of]} -> put_in(Key, Value, Of, Model);
        {put_new, [Key, _]} when is_map_key(Key, Map) -> Model;
        {put_new, [Key, Value]} -> put_in(Key, Value, [], Model);
        {put_many, [Pairs]} -> lists:foldl(fun({K, V}, M) -> put_in(K, V, [], M) end, Model, Pairs);
        {replace, [Key, Value]} when is_map_key(Key, Map) -> put_in(Key, Value, [], Model);
        {replace_old, [Key, _]} when is_map_key(Key, Map) ->
            put_in(Key, map_get(Key, Map), [], Model);
        {update_counter, [Key, _]} ->
            %% Keeps its tags.
            case answer(Name, Args, Map, Tags) of
                {ok, Sum} -> put_in(Key, Sum, maps:get(Key, Tags, []), Model);
                {error, _} -> Model
            end;
        {take, [Key]} -> without([Key], Model);
        {delete, [Key]} -> without([Key], Model);
        {delete_many, [Keys]} -> without(Keys, Model);
        {invalidate_tag, [Tag]} ->
            Keys = [K || {K, Of} <- maps:to_list(Tags), lists:member(Tag, Of)],
            Dead = [map_get(K, Tags) || K <- Keys],
            without(Keys, Model#model{dead = Dead ++ Model#model.dead});
        {invalidate_prefix, [Prefix]} -> without(with_prefix(Prefix, Map), Model);
        {clear, []} -> without(maps:keys(Map), Model);
        _ -> Model
    end.

put_in(Key, Value, Of, #model{map = Map, tags = Tags} = Model) ->
    Model#model{map = Map#{Key => Value}, tags = Tags#{Key => Of}}.

without(Keys, #model{map = Map, tags = Tags} = Model) ->
    Model#model{map = maps:without(Keys, Map), tags = maps:without(Keys, Tags)}.

%%% Commands that are not a single call

put_tagged(Cache, Key, Value, Tags) ->
    ?cache:put(Cache, Key, Value, #{tags => Tags}).

replace(Cache, Key, Value) ->
    case ?cache:get_entry(Cache, Key) of
        {ok, #{version := Version}} ->
            {ok, New} = ?cache:compare_and_put(Cache, Key, Version, Value),
            true = New =/= Version,
            replaced;
        {error, not_found} = Error ->
            Error = ?cache:compare_and_put(Cache, Key, 1, Value)
    end.

replace_old(Cache, Key, Value) ->
    case ?cache:get_entry(Cache, Key) of
        {ok, #{value := Same, version := Old}} ->
            {ok, New} = ?cache:compare_and_put(Cache, Key, Old, Same),
            %% Tags are the put's, and this one has none.
            {error, {conflict, New}} = ?cache:compare_and_put(Cache, Key, Old, Value),
            conflict;
        {error, not_found} = Error ->
            Error
    end.

%% In an order that knows 1 from 1.0.
sorted(Keys) -> [K || {_, K} <- lists:sort([{term_to_binary(K), K} || K <- Keys])].

entries(Cache) ->
    ?cache:fold(
        fun(Key, Value, Map) when not is_map_key(Key, Map) -> Map#{Key => Value} end, #{}, Cache
    ).

keys_by_cursor(Cache) -> sorted(keys_by_cursor(Cache, start, [])).
keys_by_cursor(_, done, Keys) -> Keys;
keys_by_cursor(Cache, Cursor, Before) ->
    {Keys, Next} = ?cache:keys(Cache, Cursor),
    keys_by_cursor(Cache, Next, Keys ++ Before).

%%% Generators

options() ->
    proper_types:bind(
        {proper_types:elements([lru, s3_fifo, fifo, lfu, random]), proper_types:elements([native, ets])},
        fun({Policy, Store}) -> #{policy => Policy, store => Store} end,
        false
    ).

%% Few enough that they meet.
few_keys() -> pick(keys()).

%% As they are: proper_types:elements/1 reads some of them as types.
pick(Terms) ->
    Nth = proper_types:integer(1, length(Terms)),
    proper_types:bind(Nth, fun(I) -> lists:nth(I, Terms) end, false).

keys() ->
    [
        1, 1.0, 2, a, <<"a">>, <<"user:1">>, <<"user:2">>, <<>>, [], {}, {a, 1}, {a, 1.0}, [a | b],
        #{}, #{a => 1}, 1 bsl 70, "text", fun lists:map/2, binary:copy(<<"k">>, 100)
    ].

prefixes() -> [<<>>, <<"user:">>, <<"user:1">>, <<"user:1x">>, <<"b">>].

tags() -> [t, <<"t">>, 1, {t, 1}, "t"].

few_tags() -> proper_types:list(pick(tags())).

key() ->
    proper_types:oneof([few_keys(), proper_types:term(), large_key()]).

large_key() ->
    pick([
        binary:copy(<<1>>, 65_000), lists:seq(1, 300), maps:from_list([{I, I} || I <- lists:seq(1, 40)]),
        maps:from_list([{I, I} || I <- lists:seq(40, 1, -1)]), self(),
        {1 bsl 64, -1.5e300}, #{1 => a, 1.0 => b}, #{1.0 => a, 1 => b}
    ]).

value() ->
    proper_types:oneof([
        proper_types:integer(),
        pick([
            1 bsl 70, true, <<>>, <<1:1>>, binary:copy(<<"v">>, 65), binary:copy(<<"v">>, 70_000),
            #{<<"a">> => [1, 2.0, #{}]}, {a, b, 1, 2, <<"c">>}, lists:seq(1, 1000), "text", fun lists:map/2,
            [{I, integer_to_binary(I)} || I <- lists:seq(1, 200)], [a | b], 1.5
        ]),
        proper_types:term()
    ]).

%%% Running

in_cache(Options, Fun) ->
    {ok, _} = ?cache:new(?CACHE, Options),
    try
        Fun()
    after
        ?cache:drop(?CACHE)
    end.

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
