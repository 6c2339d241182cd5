-module(erlmcp_native_metrics_options).
-include("erlmcp_native_doc.hrl").
-include("erlmcp_native_metrics.hrl").
?MODULEDOC(false).

%% What callers give as options, names and labels, checked and as the registry keeps it.

-export([family/2, is_name/1, names_exposed/2, labels/4, label/1, exemplar/3]).

-define(MAX_NAME, 255).
-define(MAX_LABELS, 32).
-define(MAX_HELP, 4096).
-define(MAX_BOUNDS, 256).
-define(MAX_SERIES, 1_000_000).
%% So that what is exposed is a float.
-define(MIN_SCALE, 1.0e-100).
-define(MAX_SCALE, 1.0e100).
%% In milliseconds, a year.
-define(MAX_HALF_LIFE, 31_536_000_000).
%% OpenMetrics 1.0: names and values of an exemplar's labels together, in characters.
-define(MAX_EXEMPLAR, 128).

%% In seconds: those of erlmcp_metrics_collector.
-define(BOUNDS_OF_SECONDS, [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]).
-define(BOUNDS, [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000]).

%% The family that the options of new/1 describe.
-spec family(erlmcp_native_metrics:opts(), erlmcp_native_error:call()) -> #family{}.
family(Opts, Call) when is_map(Opts) ->
    _ = [
        erlmcp_native_error:badarg(Call, 1, io_lib:format("no ~tw is given", [Key]))
     || Key <- [name, type, help], not is_map_key(Key, Opts)
    ],
    #{name := Key, type := Type, help := Help} = Opts,
    is_type(Type) orelse erlmcp_native_error:bad_option(Call, 1, type, Type),
    _ = [
        erlmcp_native_error:bad_option(Call, 1, Option, Value)
     || {Option, Value} <- maps:to_list(Opts), not is_option(Option, Value, Type)
    ],
    Name = name_of(Key, Type),
    Unit = text(maps:get(unit, Opts, <<>>)),
    Unit =:= <<>> orelse ends_with(Name, <<"_", Unit/binary>>) orelse
        erlmcp_native_error:badarg(Call, 1, "the name does not end in the unit"),
    Labels = [text(Label) || Label <- maps:get(labels, Opts, [])],
    length(lists:usort(Labels)) =:= length(Labels) orelse
        erlmcp_native_error:badarg(Call, 1, "a label is given twice"),
    #family{
        key = Key,
        name = Name,
        type = Type,
        help = unicode:characters_to_binary(Help),
        unit = Unit,
        labels = Labels,
        max_series = maps:get(max_series, Opts, 1_000),
        scale = maps:get(scale, Opts, scale(Type, Unit)),
        bounds = bounds(Type, Opts, Unit),
        native = maps:with([precision, max, windows, half_life], Opts)
    };
family(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a map of options").

is_type(Type) ->
    lists:member(Type, [counter, up_down_counter, gauge, histogram, rate]).

is_option(name, V, Type) -> is_metric_name(V, Type);
is_option(type, _, _) -> true;
is_option(help, V, _) -> is_text(V, ?MAX_HELP);
is_option(unit, <<>>, _) -> true;
is_option(unit, V, _) -> is_name(V);
is_option(labels, V, Type) -> is_list_of(V, ?MAX_LABELS, fun(L) -> is_label_name(L, Type) end);
is_option(max_series, V, _) -> is_integer(V) andalso V >= 1 andalso V =< ?MAX_SERIES;
is_option(scale, V, _) -> is_finite(V) andalso V >= ?MIN_SCALE andalso V =< ?MAX_SCALE;
is_option(bounds, V, histogram) -> are_bounds(V);
is_option(precision, V, histogram) -> is_integer(V) andalso V >= 5 andalso V =< 10;
is_option(max, V, histogram) -> is_integer(V) andalso V >= 1 andalso V < 1 bsl 64;
is_option(windows, V, histogram) -> is_boolean(V);
is_option(half_life, V, histogram) -> is_integer(V) andalso V >= 1 andalso V =< ?MAX_HALF_LIFE;
is_option(_, _, _) -> false.

%% Without what is exposed only.
name_of(Key, counter) ->
    Text = text(Key),
    case ends_with(Text, <<"_total">>) of
        true -> binary:part(Text, 0, byte_size(Text) - 6);
        false -> Text
    end;
name_of(Key, _Type) ->
    text(Key).

is_metric_name(Key, Type) ->
    is_name(Key) andalso is_name(name_of(Key, Type)).

is_label_name(Label, Type) ->
    is_name(Label) andalso
        begin
            Text = text(Label),
            Reserved = [<<"le">>, <<"quantile">>, ?OVERFLOW_LABEL | [<<"window">> || Type =:= rate]],
            binary:longest_common_prefix([Text, <<"__">>]) < 2 andalso
                not lists:member(Text, Reserved)
        end.

%% What Prometheus takes as the name of a metric, but for colons, which are for its own rules.
-spec is_name(term()) -> boolean().
is_name(<<First, Rest/binary>>) when byte_size(Rest) < ?MAX_NAME ->
    is_letter(First) andalso are_of_names(Rest);
is_name(Name) when is_atom(Name), Name =/= undefined ->
    is_name(atom_to_binary(Name));
is_name(_) ->
    false.

is_letter(C) -> C >= $a andalso C =< $z orelse C >= $A andalso C =< $Z orelse C =:= $_.

are_of_names(<<C, Rest/binary>>) ->
    (is_letter(C) orelse C >= $0 andalso C =< $9) andalso are_of_names(Rest);
are_of_names(<<>>) ->
    true.

%% The names of the samples of a family: no other may have them.
-spec names_exposed(erlmcp_native_metrics:type(), binary()) -> [binary()].
names_exposed(Type, Name) ->
    [Name | [<<Name/binary, Suffix/binary>> || Suffix <- suffixes(Type)]].

suffixes(counter) -> [<<"_total">>, <<"_created">>];
suffixes(histogram) -> [<<"_bucket">>, <<"_count">>, <<"_sum">>, <<"_created">>];
suffixes(_) -> [].

scale(histogram, <<"seconds">>) -> 1.0e-9;
scale(_, _) -> 1.

bounds(histogram, #{bounds := Bounds}, _) -> Bounds;
bounds(histogram, _, <<"seconds">>) -> ?BOUNDS_OF_SECONDS;
bounds(histogram, _, _) -> ?BOUNDS;
bounds(_, _, _) -> [].

are_bounds([_ | _] = Bounds) ->
    is_list_of(Bounds, ?MAX_BOUNDS, fun is_finite/1) andalso ascend([float(B) || B <- Bounds]);
are_bounds(_) ->
    false.

%% Whether it is a number as the native part takes it.
is_finite(V) when is_float(V) -> true;
is_finite(V) when is_integer(V) -> abs(V) < 1 bsl 63;
is_finite(_) -> false.

ascend([A, B | Rest]) -> A < B andalso ascend([B | Rest]);
ascend([_]) -> true.

is_list_of(List, Max, Is) when is_list(List) ->
    try length(List) of
        Length -> Length =< Max andalso lists:all(Is, List)
    catch
        error:badarg -> false
    end;
is_list_of(_, _, _) ->
    false.

is_text(Text, Max) ->
    try unicode:characters_to_binary(Text) of
        Bytes when is_binary(Bytes) -> byte_size(Bytes) =< Max;
        _ -> false
    catch
        error:badarg -> false
    end.

text(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
text(Bytes) -> Bytes.

ends_with(Text, Suffix) ->
    Size = byte_size(Text) - byte_size(Suffix),
    Size >= 0 andalso binary:part(Text, Size, byte_size(Suffix)) =:= Suffix.

%% The values in the order of the family's labels, as text in UTF-8 that holds on to no larger
%% binary. At is their place in the call.
-spec labels(erlmcp_native_metrics:labels(), #family{}, pos_integer(), erlmcp_native_error:call()) ->
    [binary()].
labels(Labels, #family{labels = Names}, At, Call) when is_map(Labels) ->
    Given = maps:fold(fun(Name, Value, Acc) -> put_label(Name, Value, Acc, At, Call) end, #{}, Labels),
    Unknown = maps:keys(maps:without(Names, Given)),
    Unknown =:= [] orelse
        erlmcp_native_error:badarg(Call, At, io_lib:format("no such label: ~ts", [hd(Unknown)])),
    [maps:get(Name, Given, <<>>) || Name <- Names];
labels(Labels, #family{labels = Names}, At, Call) when is_list(Labels) ->
    is_list_of(Labels, length(Names), fun(_) -> true end) andalso length(Labels) =:= length(Names) orelse
        erlmcp_native_error:badarg(
            Call, At, io_lib:format("not a list of ~b label values", [length(Names)])
        ),
    [value(Value, At, Call) || Value <- Labels];
labels(_Labels, _Family, At, Call) ->
    erlmcp_native_error:badarg(Call, At, "not a list or map of labels").

put_label(Name, Value, Given, At, Call) ->
    is_atom(Name) orelse is_binary(Name) orelse
        erlmcp_native_error:badarg(Call, At, io_lib:format("not the name of a label: ~0tp", [Name])),
    Text = text(Name),
    is_map_key(Text, Given) andalso
        erlmcp_native_error:badarg(Call, At, io_lib:format("a label is given twice: ~ts", [Text])),
    Given#{Text => value(Value, At, Call)}.

value(Value, At, Call) ->
    case label(Value) of
        none ->
            Why = io_lib:format("not a binary, an atom or an integer: ~0tp", [Value]),
            erlmcp_native_error:badarg(Call, At, Why);
        Text ->
            valid(Text)
    end.

%% Bytes that are no UTF-8 are taken as Latin-1: they show, and cannot spoil the text around them.
valid(Text) ->
    case unicode:characters_to_binary(Text) of
        Text -> binary:copy(Text);
        _ -> unicode:characters_to_binary(Text, latin1)
    end.

%% A label's value as text, unchecked.
-spec label(term()) -> binary() | none.
label(Value) when is_binary(Value) -> Value;
label(Value) when is_atom(Value) -> atom_to_binary(Value);
label(Value) when is_integer(Value), Value >= -(1 bsl 63), Value < 1 bsl 64 ->
    integer_to_binary(Value);
label(_) -> none.

%% The labels of an exemplar.
-spec exemplar(#{atom() | binary() => term()}, pos_integer(), erlmcp_native_error:call()) ->
    [{binary(), binary()}].
exemplar(Exemplar, At, Call) when is_map(Exemplar) ->
    Labels = [
        {exemplar_name(Name, At, Call), value(Value, At, Call)}
     || {Name, Value} <- maps:to_list(Exemplar)
    ],
    Size = lists:sum([string:length(Part) || {Name, Value} <- Labels, Part <- [Name, Value]]),
    Size =< ?MAX_EXEMPLAR orelse
        erlmcp_native_error:badarg(Call, At, "labels of more than 128 characters"),
    length(lists:ukeysort(1, Labels)) =:= length(Labels) orelse
        erlmcp_native_error:badarg(Call, At, "a label is given twice"),
    Labels;
exemplar(_Exemplar, At, Call) ->
    erlmcp_native_error:badarg(Call, At, "not a map of labels").

exemplar_name(Name, At, Call) ->
    is_name(Name) orelse
        erlmcp_native_error:badarg(Call, At, io_lib:format("not the name of a label: ~0tp", [Name])),
    text(Name).
