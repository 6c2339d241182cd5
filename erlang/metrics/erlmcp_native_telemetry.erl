-module(erlmcp_native_telemetry).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
Feeds metrics from the events of `telemetry`, which is an optional application: it is looked for when
something is attached.

What cannot be recorded is left out and counted in `erlmcp_metrics_telemetry_failures_total`: a handler
never raises, since telemetry would detach it.
""").

-export([attach/2, detach/1, format_error/2]).
-export([handle_event/4]).
-export_type([spec/0, event/0, measurement/0, label/0]).

-type event() :: [atom(), ...].
-type measurement() ::
    term() | fun((Measurements :: map(), Metadata :: map()) -> number()).
-type label() ::
    term() | [term()] | fun((Metadata :: map()) -> term()).
-type spec() :: #{
    event := event(),
    metric := erlmcp_native_metrics:name(),
    measurement => measurement(),
    labels => #{erlmcp_native_metrics:name() => label()},
    unit => {From :: erlang:time_unit(), To :: erlang:time_unit()},
    keep => fun((Metadata :: map()) -> boolean()),
    drop => fun((Metadata :: map()) -> boolean())
}.
%% What becomes of an event. The metric must be there; its type says how: a counter and an up-down
%% counter grow by the measurement, a gauge is set to it, a histogram counts it, a rate marks so many
%% events. All but gauges round it.
%%
%% `measurement': the key of it, or a fun; default: 1 for each event.
%% `labels': for each label the key of the metadata, a list of keys where maps are nested, or a
%% fun. What is missing is empty; text may be a list of characters too.
%% `unit': a time is given in the one and recorded in the other unit, as `{native, nanosecond}'.
%% `keep', `drop': which events are recorded; default: all.

-record(compiled, {
    metric :: erlmcp_native_metrics:name(),
    operation :: inc | set | observe | mark,
    measurement :: measurement() | undefined,
    %% In the order of the metric's; none is empty.
    labels :: [{from, label()} | none],
    unit :: {erlang:time_unit(), erlang:time_unit()} | none,
    keep :: fun((map()) -> boolean()) | all,
    drop :: fun((map()) -> boolean()) | none
}).

-define(CALL(Name, Args), {?MODULE, Name, Args}).
-define(MAX_ID, 200).

?DOC("""
Attaches one handler, of any name, for all of these. `{error, already_exists}`: there is one of that name.
`{error, no_telemetry}`: the application is not on the code path, or not running.
""").
-spec attach(HandlerId :: term(), Specs :: [spec(), ...]) ->
    ok | {error, no_telemetry | already_exists}.
attach(HandlerId, Specs) ->
    Call = ?CALL(attach, [HandlerId, Specs]),
    is_list(Specs) andalso Specs =/= [] orelse erlmcp_native_error:badarg(Call, 2, "not a list of maps"),
    Compiled = compile(Specs, #{}, Call),
    Config = {id_text(HandlerId), Compiled},
    with_telemetry(fun(Telemetry) ->
        Telemetry:attach_many(HandlerId, maps:keys(Compiled), fun ?MODULE:handle_event/4, Config)
    end).

?DOC("""
Detaches a handler.
""").
-spec detach(HandlerId :: term()) -> ok | {error, no_telemetry | not_found}.
detach(HandlerId) ->
    with_telemetry(fun(Telemetry) -> Telemetry:detach(HandlerId) end).

with_telemetry(Do) ->
    case code:ensure_loaded(telemetry) of
        {module, Telemetry} ->
            try
                Do(Telemetry)
            catch
                exit:{noproc, _} -> {error, no_telemetry}
            end;
        {error, _} -> {error, no_telemetry}
    end.

%%% Specs, by event

compile([Spec | Specs], Compiled, Call) when is_map(Spec) ->
    _ = [
        erlmcp_native_error:badarg(Call, 2, io_lib:format("no ~tw is given", [Key]))
     || Key <- [event, metric], not is_map_key(Key, Spec)
    ],
    _ = [
        erlmcp_native_error:bad_option(Call, 2, Key, Value)
     || {Key, Value} <- maps:to_list(Spec), not is_option(Key, Value)
    ],
    #{event := Event} = Spec,
    One = compiled(Spec, Call),
    compile(Specs, Compiled#{Event => maps:get(Event, Compiled, []) ++ [One]}, Call);
compile([], Compiled, _Call) ->
    Compiled;
compile(_, _Compiled, Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a list of maps").

is_option(event, [_ | _] = V) ->
    try
        lists:all(fun is_atom/1, V)
    catch
        error:function_clause -> false
    end;
is_option(metric, V) -> is_atom(V) orelse is_binary(V);
is_option(measurement, V) -> is_function(V, 2) orelse not is_function(V);
is_option(labels, V) when is_map(V) ->
    lists:all(
        fun({Name, From}) ->
            erlmcp_native_metrics_options:is_name(Name) andalso
                (is_function(From, 1) orelse not is_function(From))
        end,
        maps:to_list(V)
    );
is_option(unit, {From, To}) -> is_time_unit(From) andalso is_time_unit(To);
is_option(keep, V) -> is_function(V, 1);
is_option(drop, V) -> is_function(V, 1);
is_option(_, _) -> false.

is_time_unit(Unit) ->
    try
        is_integer(erlang:convert_time_unit(1, Unit, native))
    catch
        error:badarg -> false
    end.

compiled(#{metric := Name} = Spec, Call) ->
    #{type := Type, labels := Known} = info(Name, Call),
    Labels = maps:from_list([
        {text(Label), {from, From}}
     || {Label, From} <- maps:to_list(maps:get(labels, Spec, #{}))
    ]),
    _ = [
        erlmcp_native_error:badarg(Call, 2, io_lib:format("~tw has no label ~ts", [Name, Label]))
     || Label <- maps:keys(maps:without(Known, Labels))
    ],
    #compiled{
        metric = Name,
        operation = operation(Type),
        measurement = maps:get(measurement, Spec, undefined),
        labels = [maps:get(Label, Labels, none) || Label <- Known],
        unit = maps:get(unit, Spec, none),
        keep = maps:get(keep, Spec, all),
        drop = maps:get(drop, Spec, none)
    }.

info(Name, Call) ->
    try
        erlmcp_native_metrics:info(Name)
    catch
        error:badarg ->
            erlmcp_native_error:badarg(Call, 2, io_lib:format("no such metric: ~0tp", [Name]))
    end.

operation(counter) -> inc;
operation(up_down_counter) -> inc;
operation(gauge) -> set;
operation(histogram) -> observe;
operation(rate) -> mark.

text(Name) when is_atom(Name) -> atom_to_binary(Name);
text(Name) -> Name.

id_text(Id) when is_atom(Id); is_binary(Id), byte_size(Id) =< ?MAX_ID -> Id;
id_text(Id) -> unicode:characters_to_binary(io_lib:format("~0tP", [Id, 10], [{chars_limit, ?MAX_ID}])).

%%% Events

?DOC(false).
-spec handle_event(event(), map(), map(), {erlmcp_native_metrics:label_value(), map()}) -> ok.
handle_event(Event, Measurements, Metadata, {HandlerId, Compiled}) ->
    lists:foreach(
        fun(One) ->
            try
                record(One, Measurements, Metadata)
            catch
                _:_ -> failed(HandlerId)
            end
        end,
        maps:get(Event, Compiled, [])
    ).

record(#compiled{keep = Keep, drop = Drop} = One, Measurements, Metadata) ->
    IsKept =
        (Keep =:= all orelse Keep(Metadata)) andalso (Drop =:= none orelse not Drop(Metadata)),
    case IsKept of
        true -> record_kept(One, Measurements, Metadata);
        false -> ok
    end.

record_kept(#compiled{metric = Name, operation = Operation} = One, Measurements, Metadata) ->
    Given = measured(One#compiled.measurement, Measurements, Metadata),
    Value = converted(One#compiled.unit, Given),
    Metric = {Name, [labelled(From, Metadata) || From <- One#compiled.labels]},
    case Operation of
        set -> erlmcp_native_metrics:set(Metric, Value);
        inc -> erlmcp_native_metrics:inc(Metric, round(Value));
        observe -> erlmcp_native_metrics:observe(Metric, round(Value));
        mark -> erlmcp_native_metrics:mark(Metric, round(Value))
    end.

measured(undefined, _Measurements, _Metadata) -> 1;
measured(Fun, Measurements, Metadata) when is_function(Fun) -> Fun(Measurements, Metadata);
measured(Key, Measurements, _Metadata) -> maps:get(Key, Measurements).

converted(none, Value) -> Value;
converted({From, To}, Value) -> erlang:convert_time_unit(round(Value), From, To).

labelled({from, From}, Metadata) -> label(From, Metadata);
labelled(none, _Metadata) -> <<>>.

label(Fun, Metadata) when is_function(Fun) -> label_value(Fun(Metadata));
label([Key], Metadata) -> label(Key, Metadata);
label([Key | Path], Metadata) -> label(Path, maps:get(Key, Metadata, #{}));
label(Key, Metadata) -> label_value(maps:get(Key, Metadata, <<>>)).

label_value(Text) when is_list(Text) ->
    Value = unicode:characters_to_binary(Text),
    true = is_binary(Value),
    Value;
label_value(Value) ->
    Value.

failed(HandlerId) ->
    try
        erlmcp_native_metrics:inc({erlmcp_metrics_telemetry_failures, [HandlerId]})
    catch
        %% The application is not running, or the family was deleted.
        error:badarg -> ok
    end.

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
