%% JSON-RPC: from bytes to a classified message, with the parameters built and left raw, and the
%% reply made of a result that is encoded already. The others decode everything and classify
%% the map, as MCP libraries do today; they have no raw form.
-module(erlmcp_bench_rpc).
-behaviour(erlmcp_bench_suite).

-export([cases/0, targets/0]).

-define(IDS, [tools_call_174b, tools_call_2kb, progress_notification, initialize, batch_50]).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    All = erlmcp_bench_json_workloads:all(),
    Workloads = [Workload || #{id := Id} = Workload <- All, lists:member(Id, ?IDS)],
    [decode_case(rpc_decode_raw, #{params => raw}, Workload) || Workload <- Workloads] ++
        [decode_case(rpc_decode_built, #{}, Workload) || Workload <- Workloads] ++
        [reply_case(Workload) || Workload <- Workloads].

%% Decoding.

decode_case(Group, Options, #{json := Json, term := Term} = Workload) ->
    Ours = #{
        name => native,
        role => measured,
        call => fun() -> erlmcp_native_rpc:decode(Json, Options) end,
        normal => fun built/1
    },
    Others = [
        #{
            name => Name,
            role => Role,
            call => fun() -> classify(Decode(Json)) end,
            normal => fun(Message) -> erlmcp_bench_json_coders:output(Coder, Message) end
        }
     || #{name := Name, role := Role, decode := Decode} = Coder <- others()
    ],
    bench_case(Group, Workload, classify(Term), [Ours | Others]).

others() ->
    [Coder || #{role := Role} = Coder <- erlmcp_bench_json_coders:all(), Role =/= measured].

%% Raw parameters, as the reference decodes them.
built({batch, Messages}) -> {batch, [built(Message) || Message <- Messages]};
built({request, Id, Method, Raw}) when is_binary(Raw) -> {request, Id, Method, decoded(Raw)};
built({notification, Method, Raw}) when is_binary(Raw) -> {notification, Method, decoded(Raw)};
built(Message) -> Message.

decoded(Raw) ->
    Decode = erlmcp_bench_json_coders:reference(),
    Decode(Raw).

classify(Batch) when is_list(Batch) ->
    {batch, [classify(Message) || Message <- Batch]};
classify(#{<<"jsonrpc">> := <<"2.0">>, <<"method">> := Method, <<"id">> := Id} = Message) when is_binary(Method) ->
    {request, Id, Method, maps:get(<<"params">>, Message, undefined)};
classify(#{<<"jsonrpc">> := <<"2.0">>, <<"method">> := Method} = Message) when is_binary(Method) ->
    {notification, Method, maps:get(<<"params">>, Message, undefined)};
classify(#{<<"jsonrpc">> := <<"2.0">>, <<"id">> := Id, <<"result">> := Result}) ->
    {response, Id, Result}.

%% Replies. The result is the workload; a coder that cannot splice encodes it each time.

reply_case(#{json := Ready, term := Result} = Workload) ->
    Read = erlmcp_bench_json_coders:reference(),
    Normal = fun(Text) -> Read(iolist_to_binary(Text)) end,
    Reply = #{<<"jsonrpc">> => <<"2.0">>, <<"id">> => 7, <<"result">> => Result},
    Ours = #{
        name => native,
        role => measured,
        call => fun() -> erlmcp_native_rpc:encode_response(7, {json, Ready}) end,
        normal => Normal
    },
    Others = [
        #{name => Name, role => Role, call => encoder(Coder, Reply, Ready), normal => Normal}
     || #{name := Name, role := Role} = Coder <- others()
    ],
    bench_case(rpc_reply, Workload, Reply, [Ours | Others]).

encoder(#{splice := Splice}, Reply, Ready) ->
    Spliced = Reply#{<<"result">> := {json, Ready}},
    fun() -> Splice(Spliced) end;
encoder(#{iodata := Encode}, Reply, _) ->
    fun() -> Encode(Reply) end;
encoder(#{encode := Encode} = Coder, Reply, _) ->
    Input = erlmcp_bench_json_coders:input(Coder, Reply),
    fun() -> Encode(Input) end.

bench_case(Group, #{id := Id, set := Set, json := Json}, Expected, Subjects) ->
    #{
        group => Group,
        id => Id,
        set => Set,
        bytes => byte_size(Json),
        expected => Expected,
        subjects => Subjects
    }.

-spec targets() -> [erlmcp_bench_suite:target()].
targets() ->
    AtMost = fun(Text, Group, Ns) ->
        #{text => Text, group => Group, ids => [tools_call_174b], subject => native, figure => {at_most, Ns}}
    end,
    [
        AtMost(<<"rpc:decode, 174 bytes, params raw">>, rpc_decode_raw, 300),
        AtMost(<<"rpc:decode, 174 bytes, params built">>, rpc_decode_built, 650),
        AtMost(<<"reply with a ready result">>, rpc_reply, 80)
    ].
