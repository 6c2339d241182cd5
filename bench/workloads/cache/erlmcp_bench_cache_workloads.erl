%% Values, and orders of requests: generated from fixed seeds, or the traces of the ARC paper
%% where they are.
-module(erlmcp_bench_cache_workloads).

-export([values/0, zipf/2, zipf/4, scan_and_hot/1, trace/1, fold/3, chunks/2]).
-export_type([requests/0]).

%% Gives all keys in their order to a function.
-type requests() :: fun((fun((Key :: term(), Acc) -> Acc), Acc) -> Acc).

-spec values() -> [{Id :: atom(), Bytes :: non_neg_integer(), Value :: term()}].
values() ->
    [Tools] = [
        lists:append(lists:duplicate(2, Tools))
     || #{id := tools_list_50, term := #{<<"result">> := #{<<"tools">> := Tools}}} <- erlmcp_bench_json_workloads:all()
    ],
    [
        {Id, erts_debug:flat_size(Value) * erlang:system_info(wordsize) + outside(Value), Value}
     || {Id, Value} <- [
            {integer, 42},
            {tuple_5, {session, 1234567, <<"tools/call">>, active, 3.5}},
            {map_10_atoms, maps:from_list([{Key, true} || Key <- [a, b, c, d, e, f, g, h, i, j]])},
            {binary_40b, bytes(40)},
            {binary_1kb, bytes(1024)},
            {binary_64kb, bytes(65536)},
            {tools_100, #{<<"tools">> => Tools}}
        ]
    ].

outside(Binary) when is_binary(Binary), byte_size(Binary) > 64 -> byte_size(Binary);
outside(_) -> 0.

bytes(Size) ->
    {Bytes, _} = rand:bytes_s(Size, rand:seed_s(exsss, Size)),
    Bytes.

%% Keys 1 to Universe, the first the most frequent: with exponent S the K-th is asked for in
%% proportion to K to the power of -S. By rejection-inversion (Hörmann and Derflinger 1996).
-spec zipf(float(), pos_integer()) -> fun((rand:state()) -> {pos_integer(), rand:state()}).
zipf(S, Universe) ->
    {H, Inverse} =
        case S == 1.0 of
            true -> {fun math:log/1, fun math:exp/1};
            false -> {fun(X) -> math:pow(X, 1 - S) / (1 - S) end, fun(X) -> math:pow((1 - S) * X, 1 / (1 - S)) end}
        end,
    Density = fun(X) -> math:pow(X, -S) end,
    From = H(Universe + 0.5),
    Span = H(1.5) - 1 - From,
    Near = 2 - Inverse(H(2.5) - Density(2)),
    fun(State) -> zipf_draw(State, {H, Inverse, Density, From, Span, Near, Universe}) end.

zipf_draw(State, {H, Inverse, Density, From, Span, Near, Universe} = Parameters) ->
    {Uniform, Next} = rand:uniform_s(State),
    U = From + Uniform * Span,
    X = Inverse(U),
    Key = min(Universe, max(1, round(X))),
    case Key - X =< Near orelse U >= H(Key + 0.5) - Density(Key) of
        true -> {Key, Next};
        false -> zipf_draw(Next, Parameters)
    end.

-spec zipf(float(), pos_integer(), pos_integer(), Seed :: integer()) -> requests().
zipf(S, Universe, Count, Seed) ->
    Draw = zipf(S, Universe),
    fun(Fun, Acc) -> drawn(Draw, rand:seed_s(exsss, Seed), Count, Fun, Acc) end.

drawn(_, _, 0, _, Acc) ->
    Acc;
drawn(Draw, State, Left, Fun, Acc) ->
    {Key, Next} = Draw(State),
    drawn(Draw, Next, Left - 1, Fun, Fun(Key, Acc)).

%% 4,096 requests for a hot set of 1,000 keys, then a scan over 6,144 keys that come once in a
%% million, and so on.
-spec scan_and_hot(Count :: pos_integer()) -> requests().
scan_and_hot(Count) ->
    fun(Fun, Acc) -> hot(rand:seed_s(exsss, 5), Count, 0, Fun, Acc) end.

hot(_, Left, _, _, Acc) when Left =< 0 ->
    Acc;
hot(State, Left, Scanned, Fun, Acc) ->
    {Acc1, State1} = lists:foldl(
        fun(_, {A, S}) ->
            {Key, S1} = rand:uniform_s(1000, S),
            {Fun(Key, A), S1}
        end,
        {Acc, State},
        lists:seq(1, min(Left, 4096))
    ),
    Scan = max(0, min(Left - 4096, 6144)),
    Keys = [1001 + (Scanned + N) rem 1_000_000 || N <- lists:seq(1, Scan)],
    hot(State1, Left - 4096 - Scan, Scanned + Scan, Fun, lists:foldl(Fun, Acc1, Keys)).

%% A file of the ARC paper's: `start count ...` to a line, for the blocks from start on.
-spec trace(string()) -> {ok, requests()} | none.
trace(Name) ->
    case erlmcp_bench_json_workloads:shared_data() of
        {ok, Dir} ->
            File = filename:join([Dir, "traces", Name ++ ".lis"]),
            case filelib:is_regular(File) of
                true -> {ok, fun(Fun, Acc) -> read(File, Fun, Acc) end};
                false -> none
            end;
        none ->
            none
    end.

read(File, Fun, Acc) ->
    {ok, Text} = file:read_file(File),
    lists:foldl(
        fun(Line, Acc1) ->
            [Start, Count | _] = binary:split(Line, <<" ">>, [global]),
            First = binary_to_integer(Start),
            blocks(First, First + binary_to_integer(Count), Fun, Acc1)
        end,
        Acc,
        binary:split(Text, <<"\n">>, [global, trim_all])
    ).

blocks(End, End, _, Acc) -> Acc;
blocks(Block, End, Fun, Acc) -> blocks(Block + 1, End, Fun, Fun(Block, Acc)).

-spec fold(fun((term(), Acc) -> Acc), Acc, requests()) -> Acc.
fold(Fun, Acc, Requests) ->
    Requests(Fun, Acc).

%% The requests as lists of `Size`, without a shorter last one.
-spec chunks(pos_integer(), requests()) -> [[term()]].
chunks(Size, Requests) ->
    {Chunks, _, _} = fold(
        fun
            (Key, {Full, Keys, Length}) when Length + 1 =:= Size -> {[lists:reverse([Key | Keys]) | Full], [], 0};
            (Key, {Full, Keys, Length}) -> {Full, [Key | Keys], Length + 1}
        end,
        {[], [], 0},
        Requests
    ),
    lists:reverse(Chunks).
