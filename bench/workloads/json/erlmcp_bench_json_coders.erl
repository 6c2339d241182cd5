%% The JSON coders that are on the code path, each brought to one shape: decode to maps with
%% binary keys, encode to one binary.
-module(erlmcp_bench_json_coders).

-export([all/0, reference/0, missing/0, input/2, output/2]).
-export_type([coder/0]).

-type coder() :: #{
    name := atom(),
    role := measured | baseline | peer,
    version := binary(),
    decode := fun((binary()) -> term()),
    encode := fun((term()) -> binary()),
    %% Encoding without the last step to a binary, where the coder has it.
    iodata => fun((term()) -> iodata()),
    %% Encoding where `{json, IoData}` is taken as it is.
    splice => fun((term()) -> iodata()),
    %% What the coder gives for `null`.
    null => atom()
}.

-spec all() -> [coder()].
all() ->
    [ours(), baseline() | lists:append([Peer() || {_, Peer} <- peers()])].

%% The usual peers that are not there.
-spec missing() -> [{atom(), binary()}].
missing() ->
    [{Name, <<"not on the code path">>} || {Name, Peer} <- peers(), Peer() =:= []].

%% The decoder that answers are checked by.
-spec reference() -> fun((binary()) -> term()).
reference() ->
    #{decode := Decode} = baseline(),
    Decode.

%% A coder with another atom for null is given that one to encode, and its answers are compared
%% after that atom is replaced.
-spec input(coder(), term()) -> term().
input(#{null := Null}, Term) -> replace(null, Null, Term);
input(_, Term) -> Term.

-spec output(coder(), term()) -> term().
output(#{null := Null}, Answer) -> replace(Null, null, Answer);
output(_, Answer) -> Answer.

replace(Old, New, Old) -> New;
replace(Old, New, Map) when is_map(Map) -> maps:map(fun(_, Value) -> replace(Old, New, Value) end, Map);
replace(Old, New, List) when is_list(List) -> [replace(Old, New, Item) || Item <- List];
replace(Old, New, Tuple) when is_tuple(Tuple) -> list_to_tuple(replace(Old, New, tuple_to_list(Tuple)));
replace(_, _, Other) -> Other.

ours() ->
    #{
        name => native,
        role => measured,
        version => erlmcp_bench_suite:version(erlmcp_native),
        decode => fun erlmcp_native_json:decode/1,
        encode => fun erlmcp_native_json:encode/1,
        iodata => fun erlmcp_native_json:encode_to_iodata/1
    }.

%% The strongest pure Erlang there is: OTP's own from release 27, the one kept here before.
baseline() ->
    {Version, Decode, Encode, IoData} =
        case erlmcp_bench_suite:present(json, [{decode, 1}, {encode, 1}]) of
            true ->
                {
                    <<"OTP json, stdlib ", (erlmcp_bench_suite:version(stdlib))/binary>>,
                    fun json:decode/1,
                    fun(Term) -> iolist_to_binary(json:encode(Term)) end,
                    fun json:encode/1
                };
            false ->
                {
                    <<"erlmcp_json_baseline">>,
                    fun erlmcp_json_baseline:decode/1,
                    fun erlmcp_json_baseline:encode_to_binary/1,
                    fun erlmcp_json_baseline:encode/1
                }
        end,
    #{
        name => pure_erlang,
        role => baseline,
        version => Version,
        decode => Decode,
        encode => Encode,
        iodata => IoData
    }.

peers() ->
    [
        {jiffy, fun jiffy/0},
        {torque, fun torque/0},
        {glazer, fun glazer/0},
        {simdjsone, fun simdjsone/0},
        {euneus, fun euneus/0},
        {thoas, fun thoas/0},
        {jsone, fun jsone/0},
        {jsx, fun jsx/0},
        {erlmcp, fun erlmcp/0}
    ].

peer(Name, Module, Functions, Coder) ->
    case erlmcp_bench_suite:present(Module, Functions) of
        true -> [maps:merge(#{name => Name, role => peer, version => erlmcp_bench_suite:version(Name)}, Coder)];
        false -> []
    end.

jiffy() ->
    [
        case splices() of
            true -> Jiffy#{splice => fun jiffy:encode/1};
            false -> Jiffy
        end
     || Jiffy <- peer(jiffy, jiffy, [{decode, 2}, {encode, 1}], #{
            decode => fun(Json) -> jiffy:decode(Json, [return_maps]) end,
            encode => fun(Term) -> iolist_to_binary(jiffy:encode(Term)) end
        })
    ].

%% From jiffy 2 on.
splices() ->
    try
        <<"[1]">> =:= iolist_to_binary(jiffy:encode({json, <<"[1]">>}))
    catch
        _:_ -> false
    end.

torque() ->
    peer(torque, 'Elixir.Torque', [{decode, 1}, {encode, 1}], #{
        decode => fun(Json) ->
            {ok, Term} = 'Elixir.Torque':decode(Json),
            Term
        end,
        encode => fun(Term) ->
            {ok, Json} = 'Elixir.Torque':encode(Term),
            Json
        end,
        null => nil
    }).

glazer() ->
    peer(glazer, glazer, [{decode, 2}, {encode, 1}], #{
        decode => fun(Json) -> plain(glazer:decode(Json, [return_maps])) end,
        encode => fun(Term) -> iolist_to_binary(plain(glazer:encode(Term))) end
    }).

plain({ok, Answer}) -> Answer;
plain(Answer) -> Answer.

simdjsone() ->
    peer(simdjsone, simdjson, [{decode, 2}, {encode, 1}], #{
        decode => fun(Json) -> plain(simdjson:decode(Json, [return_maps])) end,
        encode => fun(Term) -> iolist_to_binary(plain(simdjson:encode(Term))) end
    }).

euneus() ->
    peer(euneus, euneus, [{decode, 1}, {encode, 1}], #{
        decode => fun(Json) -> plain(euneus:decode(Json)) end,
        encode => fun(Term) -> iolist_to_binary(plain(euneus:encode(Term))) end
    }).

thoas() ->
    peer(thoas, thoas, [{decode, 1}, {encode, 1}], #{
        decode => fun(Json) -> plain(thoas:decode(Json)) end,
        encode => fun(Term) -> iolist_to_binary(thoas:encode(Term)) end
    }).

jsone() ->
    peer(jsone, jsone, [{decode, 1}, {encode, 1}], #{
        decode => fun jsone:decode/1,
        encode => fun jsone:encode/1
    }).

jsx() ->
    peer(jsx, jsx, [{decode, 2}, {encode, 1}], #{
        decode => fun(Json) -> jsx:decode(Json, [return_maps]) end,
        encode => fun jsx:encode/1
    }).

erlmcp() ->
    peer(erlmcp, erlmcp_json_native, [{decode, 1}, {encode, 1}], #{
        decode => fun erlmcp_json_native:decode/1,
        encode => fun erlmcp_json_native:encode/1
    }).
