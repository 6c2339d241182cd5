%% JSON: every coder decodes every workload to the same term, and encodes it to one binary.
-module(erlmcp_bench_json).
-behaviour(erlmcp_bench_suite).

-export([cases/0, targets/0, subjects/0]).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    Coders = erlmcp_bench_json_coders:all(),
    Missing = erlmcp_bench_json_coders:missing(),
    Workloads = erlmcp_bench_json_workloads:all(),
    [decode_case(Workload, Coders, Missing) || Workload <- Workloads] ++
        [encode_case(Workload, Coders, Missing) || Workload <- Workloads].

decode_case(#{json := Json, term := Term} = Workload, Coders, Missing) ->
    bench_case(json_decode, Workload, Missing, Term, [
        #{
            name => Name,
            role => Role,
            call => fun() -> Decode(Json) end,
            normal => fun(Answer) -> erlmcp_bench_json_coders:output(Coder, Answer) end
        }
     || #{name := Name, role := Role, decode := Decode} = Coder <- Coders
    ]).

%% Members may come in any order and floats in any of their forms, so what was written is read
%% again before it is compared.
encode_case(#{term := Term} = Workload, Coders, Missing) ->
    Reference = erlmcp_bench_json_coders:reference(),
    Read = fun(Output) -> Reference(iolist_to_binary(Output)) end,
    Binary = fun(Output) when is_binary(Output) -> Read(Output) end,
    Encoders = [
        encoder(Name, Role, Encode, erlmcp_bench_json_coders:input(Coder, Term), Binary)
     || #{name := Name, role := Role, encode := Encode} = Coder <- Coders
    ],
    Variants = [
        encoder(variant(Name), variant, Encode, erlmcp_bench_json_coders:input(Coder, Term), Read)
     || #{name := Name, iodata := Encode} = Coder <- Coders
    ],
    bench_case(json_encode, Workload, Missing, Term, Encoders ++ Variants).

encoder(Name, Role, Encode, Input, Normal) ->
    #{name => Name, role => Role, call => fun() -> Encode(Input) end, normal => Normal}.

variant(Name) ->
    list_to_atom(atom_to_list(Name) ++ "_iodata").

bench_case(Group, #{id := Id, set := Set, json := Json}, Missing, Expected, Subjects) ->
    #{
        group => Group,
        id => Id,
        set => Set,
        bytes => byte_size(Json),
        expected => Expected,
        subjects => Subjects,
        missing => Missing
    }.

-spec targets() -> [erlmcp_bench_suite:target()].
targets() ->
    Target = fun(Text, Group, Figure, More) ->
        maps:merge(#{text => Text, group => Group, subject => native, figure => Figure}, More)
    end,
    Erlang = fun(AtLeast) -> {least, pure_erlang, AtLeast} end,
    Large = #{min_bytes => 1024},
    Small = #{ids => [tools_call_174b]},
    [
        Target(<<"decode over jiffy, all">>, json_decode, {mean, jiffy, 2.5}, #{}),
        Target(<<"decode over jiffy, least">>, json_decode, {least, jiffy, 1.4}, #{}),
        Target(<<"decode over torque, all">>, json_decode, {mean, torque, 1.25}, #{}),
        Target(<<"encode over jiffy, MCP messages">>, json_encode, {mean, jiffy, 2.5}, #{set => mcp}),
        Target(<<"encode over jiffy, files">>, json_encode, {mean, jiffy, 1.8}, #{set => files}),
        Target(<<"encode over torque, all">>, json_encode, {mean, torque, 1.1}, #{}),
        Target(<<"decode over pure Erlang from 1 KB, least">>, json_decode, Erlang(3.0), Large),
        Target(<<"encode over pure Erlang from 1 KB, least">>, json_encode, Erlang(2.5), Large),
        Target(<<"decode over pure Erlang, 174 bytes">>, json_decode, Erlang(2.5), Small),
        Target(<<"encode over pure Erlang, 174 bytes">>, json_encode, Erlang(1.5), Small)
    ].

-spec subjects() -> [{atom(), binary()}].
subjects() ->
    [{Name, Version} || #{name := Name, version := Version} <- erlmcp_bench_json_coders:all()].
