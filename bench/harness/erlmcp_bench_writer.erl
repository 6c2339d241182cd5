%% JSON text with the members of objects in the order given. The reports and the workloads use
%% it: both need an order that maps do not keep, and neither may depend on what is measured.
-module(erlmcp_bench_writer).

-export([compact/1, pretty/1, to_term/1]).
-export_type([document/0]).

%% `{Members}` is an object.
-type document() ::
    null
    | boolean()
    | number()
    | binary()
    | [document()]
    | {[{binary(), document()}]}.

-spec compact(document()) -> binary().
compact(Document) ->
    iolist_to_binary(write(Document, none)).

-spec pretty(document()) -> binary().
pretty(Document) ->
    iolist_to_binary([write(Document, 0), $\n]).

%% The same value as decoders give it: objects as maps.
-spec to_term(document()) -> term().
to_term({Members}) -> maps:from_list([{Key, to_term(Value)} || {Key, Value} <- Members]);
to_term(List) when is_list(List) -> [to_term(Item) || Item <- List];
to_term(Scalar) -> Scalar.

write({[]}, _) ->
    "{}";
write([], _) ->
    "[]";
write({Members}, Indent) ->
    Colon =
        case Indent of
            none -> $:;
            _ -> ": "
        end,
    Items = [[string(Key), Colon, write(Value, deeper(Indent))] || {Key, Value} <- Members],
    block(${, Items, $}, Indent);
write([Number | _] = Numbers, Indent) when is_number(Number), Indent =/= none ->
    [$[, lists:join(", ", [write(Item, none) || Item <- Numbers]), $]];
write(List, Indent) when is_list(List) ->
    block($[, [write(Item, deeper(Indent)) || Item <- List], $], Indent);
write(Text, _) when is_binary(Text) ->
    string(Text);
write(Integer, _) when is_integer(Integer) ->
    integer_to_binary(Integer);
write(Float, _) when is_float(Float) ->
    float_to_binary(Float, [short]);
write(Atom, _) when Atom =:= null; Atom =:= true; Atom =:= false ->
    atom_to_binary(Atom).

deeper(none) -> none;
deeper(Indent) -> Indent + 1.

block(Open, Items, Close, none) ->
    [Open, lists:join($,, Items), Close];
block(Open, Items, Close, Indent) ->
    Inner = [$\n | lists:duplicate(2 * (Indent + 1), $\s)],
    Outer = [$\n | lists:duplicate(2 * Indent, $\s)],
    [Open, Inner, lists:join([$,, Inner], Items), Outer, Close].

string(Text) ->
    [$", [escape(Byte) || <<Byte>> <= Text], $"].

escape($") -> "\\\"";
escape($\\) -> "\\\\";
escape($\n) -> "\\n";
escape($\r) -> "\\r";
escape($\t) -> "\\t";
escape($\b) -> "\\b";
escape($\f) -> "\\f";
escape(Byte) when Byte < 16#20 -> io_lib:format("\\u~4.16.0b", [Byte]);
escape(Byte) -> Byte.
