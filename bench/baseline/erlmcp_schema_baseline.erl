-module(erlmcp_schema_baseline).
%% A validator in pure Erlang, written for speed: the keywords that tool schemas use, compiled
%% to one closure. A measure and an oracle, not product.
%%
%% It takes decoded terms and gives a boolean. `$ref`, formats and the rarer keywords are not
%% there; a schema that uses them is refused.

-export([compile/1, is_valid/2]).

-export_type([schema/0]).

-opaque schema() :: fun((term()) -> boolean()).

-spec compile(map() | boolean()) -> schema().
compile(true) ->
    fun(_) -> true end;
compile(false) ->
    fun(_) -> false end;
compile(Schema) when is_map(Schema) ->
    Known = [
        <<"$schema">>, <<"$id">>, <<"title">>, <<"description">>, <<"default">>, <<"examples">>,
        <<"type">>, <<"enum">>, <<"const">>, <<"minimum">>, <<"maximum">>,
        <<"exclusiveMinimum">>, <<"exclusiveMaximum">>, <<"minLength">>, <<"maxLength">>,
        <<"pattern">>, <<"items">>, <<"minItems">>, <<"maxItems">>, <<"uniqueItems">>,
        <<"properties">>, <<"required">>, <<"additionalProperties">>, <<"anyOf">>, <<"oneOf">>,
        <<"allOf">>
    ],
    case maps:keys(maps:without(Known, Schema)) of
        [] -> ok;
        Unknown -> error({unknown_keywords, Unknown})
    end,
    all(
        type(Schema) ++ values(Schema) ++ numbers(Schema) ++ strings(Schema) ++ arrays(Schema) ++
            objects(Schema) ++ alternatives(Schema)
    ).

-spec is_valid(schema(), term()) -> boolean().
is_valid(Schema, Instance) ->
    Schema(Instance).

%% One closure calls up to four others directly.
all([]) -> fun(_) -> true end;
all([A]) -> A;
all([A, B]) -> fun(X) -> A(X) andalso B(X) end;
all([A, B, C]) -> fun(X) -> A(X) andalso B(X) andalso C(X) end;
all([A, B, C, D]) -> fun(X) -> A(X) andalso B(X) andalso C(X) andalso D(X) end;
all([A, B, C, D | More]) -> all([all([A, B, C, D]) | More]).

type(#{<<"type">> := Types}) when is_list(Types) ->
    [any([type_of(Type) || Type <- Types])];
type(#{<<"type">> := Type}) ->
    [type_of(Type)];
type(_) ->
    [].

type_of(<<"string">>) -> fun erlang:is_binary/1;
type_of(<<"boolean">>) -> fun erlang:is_boolean/1;
type_of(<<"object">>) -> fun erlang:is_map/1;
type_of(<<"array">>) -> fun erlang:is_list/1;
type_of(<<"number">>) -> fun erlang:is_number/1;
type_of(<<"null">>) -> fun(X) -> X =:= null end;
type_of(<<"integer">>) ->
    fun
        (X) when is_integer(X) -> true;
        (X) when is_float(X) -> X == trunc(X);
        (_) -> false
    end.

any([A]) -> A;
any([A, B]) -> fun(X) -> A(X) orelse B(X) end;
any([A, B | More]) -> any([any([A, B]) | More]).

%% JSON equality is that of `==`: 1 and 1.0 are the same number. Strings are looked up.
values(Schema) ->
    enum(maps:get(<<"enum">>, Schema, none)) ++ const(Schema).

enum(none) ->
    [];
enum(Values) ->
    case lists:all(fun erlang:is_binary/1, Values) of
        true when length(Values) > 8 ->
            Set = maps:from_list([{Value, []} || Value <- Values]),
            [fun(X) -> is_map_key(X, Set) end];
        true ->
            [fun(X) -> lists:member(X, Values) end];
        false ->
            [fun(X) -> lists:any(fun(Value) -> Value == X end, Values) end]
    end.

const(#{<<"const">> := Value}) -> [fun(X) -> X == Value end];
const(_) -> [].

numbers(Schema) ->
    [
        number(Keyword, Limit)
     || Keyword <- [
            <<"minimum">>, <<"maximum">>, <<"exclusiveMinimum">>, <<"exclusiveMaximum">>
        ],
        {ok, Limit} <- [maps:find(Keyword, Schema)]
    ].

number(<<"minimum">>, Limit) -> fun(X) -> not is_number(X) orelse X >= Limit end;
number(<<"maximum">>, Limit) -> fun(X) -> not is_number(X) orelse X =< Limit end;
number(<<"exclusiveMinimum">>, Limit) -> fun(X) -> not is_number(X) orelse X > Limit end;
number(<<"exclusiveMaximum">>, Limit) -> fun(X) -> not is_number(X) orelse X < Limit end.

strings(Schema) ->
    length_bounds(
        maps:get(<<"minLength">>, Schema, 0), maps:get(<<"maxLength">>, Schema, infinity)
    ) ++ pattern(Schema).

%% A character takes one to four bytes, so that most lengths need no counting.
length_bounds(0, infinity) ->
    [];
length_bounds(Min, Max) ->
    [
        fun
            (X) when is_binary(X) ->
                Size = byte_size(X),
                Fewest = (Size + 3) div 4,
                case Fewest >= Min andalso Size =< Max of
                    true ->
                        true;
                    false ->
                        Size >= Min andalso Fewest =< Max andalso
                            begin
                                Length = characters(X, 0),
                                Length >= Min andalso Length =< Max
                            end
                end;
            (_) ->
                true
        end
    ].

characters(<<_/utf8, Rest/binary>>, N) -> characters(Rest, N + 1);
characters(<<>>, N) -> N.

pattern(#{<<"pattern">> := Pattern}) ->
    {ok, Regex} = re:compile(Pattern, [unicode, dollar_endonly]),
    [fun(X) -> not is_binary(X) orelse re:run(X, Regex, [{capture, none}]) =:= match end];
pattern(_) ->
    [].

arrays(Schema) ->
    items(Schema) ++
        count(maps:get(<<"minItems">>, Schema, 0), maps:get(<<"maxItems">>, Schema, infinity)) ++
        unique(maps:get(<<"uniqueItems">>, Schema, false)).

items(#{<<"items">> := Items}) ->
    Item = compile(Items),
    [fun(X) -> not is_list(X) orelse every(Item, X) end];
items(_) ->
    [].

every(Item, [X | Rest]) -> Item(X) andalso every(Item, Rest);
every(_, []) -> true.

count(0, infinity) ->
    [];
count(Min, Max) ->
    [
        fun(X) ->
            not is_list(X) orelse
                begin
                    Length = length(X),
                    Length >= Min andalso Length =< Max
                end
        end
    ].

unique(true) -> [fun(X) -> not is_list(X) orelse distinct(X) end];
unique(false) -> [].

%% Sorting by `==` puts equal values beside each other; short lists are faster without.
distinct([_]) -> true;
distinct([A, B]) -> A /= B;
distinct([A, B, C]) -> A /= B andalso A /= C andalso B /= C;
distinct(List) -> length(lists:usort(List)) =:= length(List).

objects(Schema) ->
    required(maps:get(<<"required">>, Schema, [])) ++ properties(Schema).

required([]) ->
    [];
required(Keys) ->
    [fun(X) -> not is_map(X) orelse has_all(Keys, X) end].

has_all([Key | Rest], Map) -> is_map_key(Key, Map) andalso has_all(Rest, Map);
has_all([], _) -> true.

properties(#{<<"properties">> := Properties, <<"additionalProperties">> := Other}) ->
    Compiled = maps:map(fun(_, Property) -> compile(Property) end, Properties),
    Additional = compile(Other),
    [
        fun(X) ->
            not is_map(X) orelse members(maps:next(maps:iterator(X)), Compiled, Additional)
        end
    ];
properties(#{<<"properties">> := Properties}) ->
    Compiled = [{Key, compile(Property)} || {Key, Property} <- maps:to_list(Properties)],
    [fun(X) -> not is_map(X) orelse present(Compiled, X) end];
properties(#{<<"additionalProperties">> := Other}) ->
    properties(#{<<"properties">> => #{}, <<"additionalProperties">> => Other});
properties(_) ->
    [].

members({Key, Value, Iterator}, Compiled, Additional) ->
    Check =
        case Compiled of
            #{Key := Found} -> Found;
            #{} -> Additional
        end,
    Check(Value) andalso members(maps:next(Iterator), Compiled, Additional);
members(none, _, _) ->
    true.

present([{Key, Property} | Rest], Map) ->
    case Map of
        #{Key := Value} -> Property(Value) andalso present(Rest, Map);
        #{} -> present(Rest, Map)
    end;
present([], _) ->
    true.

alternatives(Schema) ->
    [
        alternative(Keyword, [compile(Subschema) || Subschema <- Subschemas])
     || Keyword <- [<<"allOf">>, <<"anyOf">>, <<"oneOf">>],
        {ok, Subschemas} <- [maps:find(Keyword, Schema)]
    ].

alternative(<<"allOf">>, Schemas) -> all(Schemas);
alternative(<<"anyOf">>, Schemas) -> any(Schemas);
alternative(<<"oneOf">>, Schemas) -> fun(X) -> one(Schemas, X) end.

one([Schema | Rest], X) ->
    case Schema(X) of
        true -> none(Rest, X);
        false -> one(Rest, X)
    end;
one([], _) ->
    false.

none([Schema | Rest], X) -> not Schema(X) andalso none(Rest, X);
none([], _) -> true.
