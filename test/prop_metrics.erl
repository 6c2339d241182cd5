-module(prop_metrics).
%% Properties of erlmcp_native_metrics: any sequence of calls answers, and is collected, as a map of
%% bounded maps would; handles stand for the series that they were made for and for no later one. Run by
%% erlmcp_native_metrics_SUITE.

-export([prop_registry_is_a_map/0, prop_options_are_taken_or_refused/0]).

-define(m, erlmcp_native_metrics).

%% The model of a family: series by their text, each with a number of its own and its value.
-record(family, {
    type :: ?m:type(),
    max :: pos_integer(),
    series = #{} :: #{binary() | overflow => {Number :: integer(), Value :: number()}},
    lost = 0 :: non_neg_integer()
}).

%% Handles that were given, the newest first, with the numbers of their series.
-record(model, {
    families = #{} :: #{atom() => #family{}},
    handles = [] :: [{?m:handle(), atom(), integer()}],
    %% Of families that were deleted: what was lost is told of a name.
    lost = #{} :: #{atom() => non_neg_integer()},
    next = 0 :: integer()
}).

prop_registry_is_a_map() ->
    for_all(proper_types:list(step()), fun(Steps) ->
        _ = [?m:delete(Name) || Name <- names()],
        ok = ?m:reset(erlmcp_metrics_overflow),
        run(Steps, #model{})
    end).

run([Step | Steps], Model0) ->
    {Expected, Model} = expected(Step, Model0),
    case {answer(Step, Model0), Expected} of
        {{handle, Handle}, {handle, Name, Number}} ->
            run(Steps, Model#model{handles = [{Handle, Name, Number} | Model#model.handles]});
        {Same, Same} ->
            run(Steps, Model);
        Differ ->
            io:format("~p: ~p~n", [Step, Differ]),
            false
    end;
run([], #model{families = Families}) ->
    Collected = lists:sort([{Name, collected(Name)} || Name <- maps:keys(Families)]),
    Expected = [{Name, shown(Family)} || {Name, Family} <- lists:sort(maps:to_list(Families))],
    Lost = [?m:value({erlmcp_metrics_overflow, [Name]}) || Name <- lists:sort(maps:keys(Families))],
    (Collected =:= Expected andalso Lost =:= [L || {_, #family{lost = L}} <- lists:sort(maps:to_list(Families))]) orelse
        begin
            io:format("~p~n~p~n~p~n", [Collected, Expected, Lost]),
            false
        end.

collected(Name) ->
    {_, _, _, _, _, _, Series} = lists:keyfind(atom_to_binary(Name), 1, ?m:collect()),
    lists:sort([{Labels, Value} || {Labels, Value, _, _} <- Series]).

shown(#family{series = Series}) ->
    lists:sort([
        {[case Key of overflow -> {<<"otel_metric_overflow">>, <<"true">>}; _ -> {<<"a">>, Key} end], Value}
     || {Key, {_, Value}} <- maps:to_list(Series)
    ]).

%%% What the registry does

answer({new, Name, Type, Max}, _) ->
    ?m:new(#{name => Name, type => Type, help => "", labels => [a], max_series => Max});
answer({delete, Name}, _) ->
    ?m:delete(Name);
answer({with_labels, Name, Labels}, _) ->
    try
        {handle, ?m:with_labels(Name, Labels)}
    catch
        error:badarg -> badarg
    end;
answer({by_handle, Nth, By}, #model{handles = Handles}) ->
    case lists:nthtail(min(Nth, length(Handles)), Handles) of
        [{Handle, _, _} | _] -> ?m:inc(Handle, By);
        [] -> ok
    end;
answer({Function, Name, Labels}, _) when Function =:= remove_series ->
    try
        ?m:remove_series(Name, Labels)
    catch
        error:badarg -> badarg
    end;
answer({reset, Name}, _) ->
    try
        ?m:reset(Name)
    catch
        error:badarg -> badarg
    end;
answer({value, Name, Labels}, _) ->
    try
        ?m:value({Name, Labels})
    catch
        error:badarg -> badarg
    end;
answer({Function, Name, Labels, Value}, _) ->
    try
        ?m:Function({Name, Labels}, Value)
    catch
        error:badarg -> badarg
    end.

%%% What the model does

expected({new, Name, Type, Max}, #model{families = Families} = Model) ->
    case Families of
        #{Name := #family{type = Type, max = Max}} -> {ok, Model};
        #{Name := _} -> {{error, exists}, Model};
        _ ->
            Lost = maps:get(Name, Model#model.lost, 0),
            {ok, put_family(Name, #family{type = Type, max = Max, lost = Lost}, Model)}
    end;
expected({delete, Name}, #model{families = Families} = Model) ->
    {is_map_key(Name, Families), forget(Name, Model)};
expected({by_handle, Nth, By}, #model{handles = Handles} = Model) ->
    case lists:nthtail(min(Nth, length(Handles)), Handles) of
        [{_, Name, Number} | _] -> {ok, add(Name, Number, By, Model)};
        [] -> {ok, Model}
    end;
expected(Step, #model{families = Families} = Model) ->
    case Families of
        #{element(2, Step) := Family} -> expected(Step, Family, Model);
        _ -> {badarg, Model}
    end.

expected({with_labels, Name, Labels}, _Family, Model0) ->
    {Key, Model} = series(Name, text(Labels), Model0),
    {Number, _} = map_get(Key, (family(Name, Model))#family.series),
    {{handle, Name, Number}, Model};
expected({remove_series, Name, overflow}, Family, Model) ->
    remove(Name, overflow, Family, Model);
expected({remove_series, Name, Labels}, Family, Model) ->
    remove(Name, text(Labels), Family, Model);
expected({reset, Name}, #family{series = Series} = Family, Model) ->
    Zero = maps:map(fun(_, {Number, _}) -> {Number, zero(Family)} end, Series),
    {ok, put_family(Name, Family#family{series = Zero}, Model)};
expected({value, _Name, Labels}, #family{series = Series}, Model) ->
    {_, Value} = maps:get(text(Labels), Series, {none, 0}),
    {Value, Model};
expected({Function, Name, Labels, By}, #family{type = Type}, Model0) ->
    %% The series is there, whether or not its type can do it.
    {Key, Model} = series(Name, text(Labels), Model0),
    #family{series = #{Key := {Number, _}}} = family(Name, Model),
    case {Function, Type} of
        {inc, _} -> {ok, add(Name, Number, By, Model)};
        {dec, counter} -> {badarg, Model};
        {dec, _} -> {ok, add(Name, Number, -By, Model)};
        {set, gauge} -> {ok, set(Name, Key, float(By), Model)};
        {set, _} -> {badarg, Model}
    end.

remove(Name, Key, #family{series = Series} = Family, Model) ->
    {is_map_key(Key, Series), put_family(Name, Family#family{series = maps:remove(Key, Series)}, Model)}.

%% The series that takes what has this text, made if need be.
series(Name, Text, #model{next = Next} = Model) ->
    #family{series = Series, max = Max, lost = Lost} = Family = family(Name, Model),
    IsFull = map_size(maps:remove(overflow, Series)) >= Max,
    Make = fun(Key, More) ->
        Made = maps:merge(#{Key => {Next, zero(Family)}}, Series),
        {Key, put_family(Name, Family#family{series = Made, lost = Lost + More}, Model#model{next = Next + 1})}
    end,
    if
        is_map_key(Text, Series) -> {Text, Model};
        IsFull -> Make(overflow, 1);
        true -> Make(Text, 0)
    end.

zero(#family{type = gauge}) -> +0.0;
zero(_) -> 0.

add(Name, Number, By, #model{families = Families} = Model) ->
    case Families of
        #{Name := #family{series = Series} = Family} ->
            Added = maps:map(
                fun
                    (_, {N, Value}) when N =:= Number -> {N, Value + By};
                    (_, Other) -> Other
                end,
                Series
            ),
            put_family(Name, Family#family{series = Added}, Model);
        _ ->
            Model
    end.

set(Name, Key, Value, Model) ->
    #family{series = #{Key := {Number, _}} = Series} = Family = family(Name, Model),
    put_family(Name, Family#family{series = Series#{Key := {Number, Value}}}, Model).

family(Name, #model{families = Families}) -> map_get(Name, Families).

put_family(Name, Family, #model{families = Families} = Model) ->
    Model#model{families = Families#{Name => Family}}.

forget(Name, #model{families = Families, lost = Lost} = Model) ->
    case Families of
        #{Name := #family{lost = Of}} ->
            Model#model{families = maps:remove(Name, Families), lost = Lost#{Name => Of}};
        _ ->
            Model
    end.

text([Value]) -> text(Value);
text(#{a := Value}) -> text(Value);
text(#{<<"a">> := Value}) -> text(Value);
text(#{}) -> <<>>;
text(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
text(Integer) when is_integer(Integer) -> integer_to_binary(Integer);
text(<<233>>) -> <<"é"/utf8>>;
text(Text) -> Text.

%%% Generators

step() ->
    proper_types:frequency([
        {3, {new, name(), type(), proper_types:integer(1, 3)}},
        {1, {delete, name()}},
        {8, {inc, name(), labels(), proper_types:integer(0, 5)}},
        {4, {dec, name(), labels(), proper_types:integer(0, 5)}},
        {4, {set, name(), labels(), proper_types:integer(0, 5)}},
        {6, {with_labels, name(), labels()}},
        {10, {by_handle, proper_types:integer(0, 5), proper_types:integer(0, 5)}},
        {3, {remove_series, name(), proper_types:oneof([labels(), overflow])}},
        {1, {reset, name()}},
        {4, {value, name(), labels()}}
    ]).

names() -> [prop_one, prop_two].

name() -> proper_types:elements(names()).

type() -> proper_types:elements([counter, up_down_counter, gauge]).

labels() ->
    Value = proper_types:elements([1, <<"1">>, '1', a, <<"a">>, <<233>>, <<"é"/utf8>>, 'é', <<>>, -7, x, y]),
    proper_types:oneof([[Value], proper_types:elements([#{}]), map_of(Value)]).

map_of(Value) ->
    proper_types:bind(Value, fun(V) -> proper_types:elements([#{a => V}, #{<<"a">> => V}]) end, false).

%% new/1 answers or raises badarg, whatever it is given, and the registry lives on.
prop_options_are_taken_or_refused() ->
    Good = #{name => prop_options, type => counter, help => ""},
    Key = proper_types:oneof([
        proper_types:elements([name, type, help, unit, labels, max_series, scale, bounds, precision, max]),
        proper_types:term()
    ]),
    for_all(proper_types:list({Key, proper_types:term()}), fun(Pairs) ->
        Registry = whereis(erlmcp_native_metrics_registry),
        Opts = maps:merge(Good, maps:from_list(Pairs)),
        try ?m:new(Opts) of
            ok -> ?m:delete(maps:get(name, Opts));
            {error, exists} -> true
        catch
            error:badarg -> true
        end andalso Registry =:= whereis(erlmcp_native_metrics_registry)
    end).

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
