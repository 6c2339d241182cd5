%% Caches in files, through the door. What is in a file is tested with cache_core.
-module(erlmcp_native_cache_snapshot_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([
    any_terms/1,
    large_as_terms/1,
    a_few_hundred_thousand/1,
    order/1,
    times/1,
    the_clock_goes_on/1,
    tags/1,
    weights/1,
    present_keys/1,
    too_large/1,
    stored_in_ets/1,
    into_another_kind/1,
    unknown_atoms/1,
    damaged_files/1,
    hostile_terms/1,
    files_that_cannot_be/1,
    file_names/1,
    wrong_arguments/1
]).

-import(erlmcp_native_test_cache, [file/1, put_all/2]).

-define(CACHE, erlmcp_native_cache).
-define(NO_FILE, "/nonexistent/cache.snapshot").

all() ->
    [
        any_terms,
        large_as_terms,
        a_few_hundred_thousand,
        order,
        times,
        the_clock_goes_on,
        tags,
        weights,
        present_keys,
        too_large,
        stored_in_ets,
        into_another_kind,
        unknown_atoms,
        damaged_files,
        hostile_terms,
        files_that_cannot_be,
        file_names,
        wrong_arguments
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

init_per_testcase(Case, Config) -> erlmcp_native_test_cache:with_file(Case, Config).

end_per_testcase(_Case, _Config) -> ok.

new(Opts) ->
    erlmcp_native_test_cache:new([], maps:merge(#{capacity => 1_000_000}, Opts)).

contents(Cache) ->
    ?CACHE:fold(fun(Key, Value, Acc) -> Acc#{Key => Value} end, #{}, Cache).

counts(Counts) ->
    Zero = #{loaded => 0, present => 0, expired => 0, too_large => 0, undecodable => 0},
    maps:merge(Zero, Counts).

%%% What comes back

any_terms(Config) ->
    Ref = make_ref(),
    Terms = [
        0, -1, 1 bsl 59, -(1 bsl 63), 1 bsl 200, 1.5, -0.0, a, '', true, [], {}, #{}, <<>>, <<"b">>,
        <<1:3>>, "text", [a | b], {a, 1, <<"x">>}, #{a => 1}, maps:from_list([{N, N} || N <- lists:seq(1, 100)]),
        binary:copy(<<"large">>, 10_000), lists:seq(1, 10_000), self(), Ref, fun erlang:abs/1,
        {deep, [#{k => {[], <<>>}}]}, binary:copy(<<7>>, 1024), binary:copy(<<8>>, 1025),
        list_to_tuple(lists:duplicate(2000, x))
    ],
    Pairs = [{{as_value, N}, T} || {N, T} <- lists:enumerate(Terms)],
    Keys = [{T, as_key} || T <- Terms, byte_size(term_to_binary(T)) < 60_000],
    From = new(#{}),
    put_all(From, Pairs ++ Keys),
    Count = length(Pairs) + length(Keys),
    {ok, #{entries := Count, bytes := Bytes}} = ?CACHE:save(From, file(Config)),
    ?assertEqual(Bytes, filelib:file_size(file(Config))),
    To = new(#{}),
    ?assertEqual({ok, counts(#{loaded => Count})}, ?CACHE:load(To, file(Config))),
    ?assertEqual(contents(From), contents(To)),
    [?assertEqual({ok, V}, ?CACHE:get(To, K)) || {K, V} <- Pairs ++ Keys],
    %% Keys stay the keys that they were.
    [?assertEqual(ok, ?CACHE:put(To, K, V)) || {K, V} <- Keys],
    ?assertEqual(Count, maps:size(contents(To))).

%% As put by the door: what is large as a term is not copied by a NIF.
large_as_terms(Config) ->
    Value = lists:duplicate(100_000, []),
    From = new(#{}),
    put_all(From, [{K, [K | Value]} || K <- lists:seq(1, 5)]),
    {ok, #{entries := 5}} = ?CACHE:save(From, file(Config)),
    To = new(#{}),
    ?assertEqual({ok, counts(#{loaded => 5})}, ?CACHE:load(To, file(Config))),
    erlmcp_native_call_time:assert_short(fun() ->
        [?assert({ok, [K | Value]} =:= ?CACHE:get(To, K)) || K <- lists:seq(1, 5)],
        ok
    end).

a_few_hundred_thousand(Config) ->
    Count = 200_000,
    From = new(#{}),
    put_all(From, [{{user, N}, {N, <<"name">>, active}} || N <- lists:seq(1, Count)]),
    {SaveTime, {ok, #{entries := Count, bytes := Bytes}}} =
        timer:tc(fun() -> ?CACHE:save(From, file(Config)) end),
    To = new(#{}),
    {LoadTime, Loaded} = timer:tc(fun() -> ?CACHE:load(To, file(Config)) end),
    ?assertEqual({ok, counts(#{loaded => Count})}, Loaded),
    ct:pal("~b entries: ~b bytes, saved in ~b us, loaded in ~b us", [Count, Bytes, SaveTime, LoadTime]),
    [
        ?assertEqual({ok, {N, <<"name">>, active}}, ?CACHE:get(To, {user, N}))
     || N <- lists:seq(1, Count, 97)
    ].

%% The coldest leave first, as they would have.
order(Config) ->
    From = new(#{policy => lru, capacity => 100}),
    put_all(From, [{N, N} || N <- lists:seq(1, 100)]),
    [{ok, N} = ?CACHE:get(From, N) || N <- lists:seq(1, 50)],
    {ok, _} = ?CACHE:save(From, file(Config)),
    To = new(#{policy => lru, capacity => 100}),
    {ok, _} = ?CACHE:load(To, file(Config)),
    put_all(To, [{{new, N}, N} || N <- lists:seq(1, 50)]),
    ?assertEqual([], [N || N <- lists:seq(51, 100), ?CACHE:is_key(To, N)]),
    ?assertEqual(lists:seq(1, 50), [N || N <- lists:seq(1, 50), ?CACHE:is_key(To, N)]),
    %% Into a smaller one: what was used last stays.
    Small = new(#{policy => lru, capacity => 10}),
    {ok, _} = ?CACHE:load(Small, file(Config)),
    ?assertEqual(lists:seq(41, 50), lists:sort(?CACHE:keys(Small))).

times(Config) ->
    From = new(#{}),
    ok = ?CACHE:put(From, ever, 1),
    ok = ?CACHE:put(From, long, 2, #{ttl => 100_000}),
    ok = ?CACHE:put(From, soon, 3, #{ttl => 1500}),
    ok = ?CACHE:put(From, idle, 4, #{idle => 200_000}),
    ok = ?CACHE:put(From, over, 5, #{ttl => 1}),
    timer:sleep(50),
    {ok, #{entries := 4}} = ?CACHE:save(From, file(Config)),
    timer:sleep(1600),
    To = new(#{}),
    ?assertEqual({ok, counts(#{loaded => 3, expired => 1})}, ?CACHE:load(To, file(Config))),
    ?assertEqual({ok, infinity}, ?CACHE:ttl(To, ever)),
    {ok, Long} = ?CACHE:ttl(To, long),
    ?assert(Long > 90_000 andalso Long =< 100_000 - 1600),
    {ok, Idle} = ?CACHE:ttl(To, idle),
    ?assert(Idle > 190_000 andalso Idle =< 200_000 - 1600),
    %% A use renews the time to idle, a touch the time to live.
    {ok, 4} = ?CACHE:get(To, idle),
    {ok, Renewed} = ?CACHE:ttl(To, idle),
    ?assert(Renewed > 199_000 andalso Renewed =< 200_000),
    true = ?CACHE:touch(To, long),
    {ok, Touched} = ?CACHE:ttl(To, long),
    ?assert(Touched > 99_000 andalso Touched =< 100_000),
    ?assertEqual({error, not_found}, ?CACHE:get(To, soon)).

%% It is the wall clock that counts: a file of yesterday.
the_clock_goes_on(Config) ->
    From = new(#{}),
    ok = ?CACHE:put(From, day, 1, #{ttl => 86_400_000}),
    ok = ?CACHE:put(From, days, 2, #{ttl => 3 * 86_400_000}),
    {ok, _} = ?CACHE:save(From, file(Config)),
    {ok, Bytes} = file:read_file(file(Config)),
    <<Start:16/binary, 1:32/little, 0:32, Size:64/little, _:32, _:32, Rest/binary>> = Bytes,
    <<Head:Size/binary, Frames/binary>> = Rest,
    %% bincode: 253, then eight bytes.
    <<253, SavedAt:64/little, Entries/binary>> = Head,
    Yesterday = SavedAt - 86_400_000 - 1,
    New = <<253, Yesterday:64/little, Entries/binary>>,
    Frame = <<1:32/little, 0:32, Size:64/little, (erlang:crc32(New)):32/little>>,
    %% The checksum of the checksums is in the last frame; only the records are of interest here.
    Altered = [Start, Frame, <<(erlang:crc32(Frame)):32/little>>, New, with_end(New, Frames)],
    ok = file:write_file(file(Config), Altered),
    To = new(#{}),
    ?assertEqual({ok, counts(#{loaded => 1, expired => 1})}, ?CACHE:load(To, file(Config))),
    {ok, Left} = ?CACHE:ttl(To, days),
    ?assert(Left =< 2 * 86_400_000).

%% The frames after the head, the last of them made anew.
with_end(Head, Frames) ->
    with_end(Frames, [<<(erlang:crc32(Head)):32/little>>], 1, []).

with_end(<<2:32/little, _/binary>> = Frames, Sums, Count, Before) ->
    <<Start:20/binary, Crc:4/binary, Rest/binary>> = Frames,
    <<_:8/binary, Size:64/little, Sum:4/binary>> = Start,
    <<Payload:Size/binary, Next/binary>> = Rest,
    with_end(Next, [Sums, Sum], Count + 1, [Before, Start, Crc, Payload]);
with_end(<<3:32/little, Number:4/binary, _/binary>> = Last, Sums, Count, Before) ->
    <<_:24/binary, Count, Records, _/binary>> = Last,
    End = <<Count, Records, 252, (erlang:crc32(Sums)):32/little>>,
    Start = <<3:32/little, Number/binary, (byte_size(End)):64/little, (erlang:crc32(End)):32/little>>,
    [Before, Start, <<(erlang:crc32(Start)):32/little>>, End].

tags(Config) ->
    From = new(#{}),
    Tags = [a, <<"binary">>, 17, {any, "term"}],
    [ok = ?CACHE:put(From, {N, Tag}, N, #{tags => [Tag, all]}) || Tag <- Tags, N <- lists:seq(1, 3)],
    ok = ?CACHE:put(From, child, 1, #{depends_on => [{parent, 1}, b]}),
    ok = ?CACHE:put(From, gone, 1, #{tags => [gone]}),
    {ok, 1} = ?CACHE:invalidate_tag(From, gone),
    {ok, #{entries := 13}} = ?CACHE:save(From, file(Config)),
    To = new(#{}),
    {ok, #{loaded := 13}} = ?CACHE:load(To, file(Config)),
    [?assertEqual({ok, 3}, ?CACHE:invalidate_tag(To, Tag)) || Tag <- Tags],
    ?assertEqual([child], ?CACHE:keys(To)),
    ?assertEqual({ok, 0}, ?CACHE:invalidate_tag(To, b)),
    ?assertEqual({ok, 1}, ?CACHE:invalidate_dependents(To, {parent, 1})),
    ?assertEqual([], ?CACHE:keys(To)).

weights(Config) ->
    From = new(#{bound => weight, capacity => 1000}),
    [ok = ?CACHE:put(From, N, N, #{weight => N}) || N <- lists:seq(1, 10)],
    {ok, _} = ?CACHE:save(From, file(Config)),
    To = new(#{bound => weight, capacity => 1000}),
    {ok, #{loaded := 10}} = ?CACHE:load(To, file(Config)),
    ?assertMatch(#{used := 55}, ?CACHE:info(To)).

present_keys(Config) ->
    From = new(#{}),
    put_all(From, [{N, old} || N <- lists:seq(1, 10)]),
    {ok, _} = ?CACHE:save(From, file(Config)),
    put_all(From, [{N, new} || N <- lists:seq(1, 5)]),
    [ok = ?CACHE:delete(From, N) || N <- lists:seq(6, 10)],
    ?assertEqual({ok, counts(#{loaded => 5, present => 5})}, ?CACHE:load(From, file(Config))),
    ?assertEqual({ok, new}, ?CACHE:get(From, 1)),
    ?assertEqual({ok, old}, ?CACHE:get(From, 6)),
    ?assertEqual({ok, counts(#{loaded => 10})}, ?CACHE:load(From, file(Config), #{overwrite => true})),
    ?assertEqual({ok, old}, ?CACHE:get(From, 1)).

too_large(Config) ->
    From = new(#{bound => bytes, capacity => 10_000_000}),
    put_all(From, [{large, binary:copy(<<1>>, 500_000)}, {small, 1}]),
    {ok, #{entries := 2}} = ?CACHE:save(From, file(Config)),
    To = new(#{bound => bytes, capacity => 100_000}),
    ?assertEqual({ok, counts(#{loaded => 1, too_large => 1})}, ?CACHE:load(To, file(Config))),
    %% The bound holds while more is loaded than there is room for.
    Many = new(#{bound => bytes, capacity => 10_000_000}),
    put_all(Many, [{N, binary:copy(<<N>>, 1000)} || N <- lists:seq(1, 200)]),
    {ok, _} = ?CACHE:save(Many, file(Config)),
    {ok, #{loaded := 200}} = ?CACHE:load(To, file(Config)),
    #{used := Used} = ?CACHE:info(To),
    ?assert(Used =< 100_000).

stored_in_ets(Config) ->
    From = new(#{store => ets}),
    Pairs = [{N, #{number => N, text => integer_to_binary(N)}} || N <- lists:seq(1, 3000)],
    put_all(From, [{atom, a}, {large, binary:copy(<<1>>, 5000)} | Pairs]),
    {ok, #{entries := 3002}} = ?CACHE:save(From, file(Config)),
    [
        begin
            To = new(#{store => Store}),
            ?assertEqual({ok, counts(#{loaded => 3002})}, ?CACHE:load(To, file(Config))),
            ?assertEqual(contents(From), contents(To))
        end
     || Store <- [ets, native]
    ].

into_another_kind(Config) ->
    From = new(#{policy => lru, capacity => 50_000}),
    put_all(From, [{N, {value, N}} || N <- lists:seq(1, 20_000)]),
    {ok, #{entries := 20_000}} = ?CACHE:save(From, file(Config)),
    [
        begin
            To = new(#{policy => Policy, capacity => Capacity}),
            {ok, Counts} = ?CACHE:load(To, file(Config)),
            ?assertEqual(counts(#{loaded => 20_000}), Counts),
            #{used := Used} = ?CACHE:info(To),
            ?assertEqual(min(Capacity, 20_000), Used)
        end
     || Policy <- [lru, s3_fifo, fifo, lfu, random], Capacity <- [30_000, 1000]
    ].

%%% Files that are not trusted

unknown_atoms(Config) ->
    From = new(#{}),
    ok = ?CACHE:put(From, known, {a, 1}),
    ok = ?CACHE:put(From, value, {erlmcp_known_atom_of_the_test, 1}),
    {ok, _} = ?CACHE:save(From, file(Config)),
    Known = <<"erlmcp_known_atom_of_the_test">>,
    %% As a node would have written it that knows an atom which this one does not.
    Name = "erlmcp_" ++ integer_to_list(erlang:unique_integer([positive])),
    Unknown = iolist_to_binary(string:pad(Name, byte_size(Known), trailing, $_)),
    ?assertEqual(byte_size(Known), byte_size(Unknown)),
    ok = rewrite(file(Config), Known, Unknown),
    To = new(#{}),
    ?assertEqual({ok, counts(#{loaded => 1, undecodable => 1})}, ?CACHE:load(To, file(Config))),
    ?assertError(badarg, binary_to_existing_atom(Unknown)),
    ?assertEqual(
        {ok, counts(#{loaded => 1, present => 1})},
        ?CACHE:load(To, file(Config), #{atoms => any})
    ),
    ?assertEqual({ok, {binary_to_existing_atom(Unknown), 1}}, ?CACHE:get(To, value)).

%% Replaces bytes by as many others, and makes the checksums right.
rewrite(File, Old, New) ->
    {ok, <<Start:16/binary, Frames/binary>>} = file:read_file(File),
    Size = byte_size(Old),
    Size = byte_size(New),
    file:write_file(File, [Start, frames(binary:replace(Frames, Old, New, [global]), [])]).

frames(<<Kind:32/little, Number:4/binary, Size:64/little, _:32, _:32, Rest/binary>>, Sums) when
    Kind < 3
->
    <<Payload:Size/binary, Next/binary>> = Rest,
    Sum = <<(erlang:crc32(Payload)):32/little>>,
    Frame = [<<Kind:32/little, Number/binary, Size:64/little>>, Sum],
    [Frame, <<(erlang:crc32(Frame)):32/little>>, Payload, frames(Next, [Sums, Sum])];
frames(<<3:32/little, Number:4/binary, _:64, _:32, _:32, Count, Records, _/binary>>, Sums) ->
    End = <<Count, Records, 252, (erlang:crc32(Sums)):32/little>>,
    Frame = <<3:32/little, Number/binary, (byte_size(End)):64/little, (erlang:crc32(End)):32/little>>,
    [Frame, <<(erlang:crc32(Frame)):32/little>>, End].

damaged_files(Config) ->
    From = new(#{}),
    put_all(From, [{N, N} || N <- lists:seq(1, 100)]),
    {ok, _} = ?CACHE:save(From, file(Config)),
    {ok, Good} = file:read_file(file(Config)),
    To = new(#{}),
    Load = fun(Bytes) ->
        ok = file:write_file(file(Config), Bytes),
        Answer = ?CACHE:load(To, file(Config)),
        ?assertEqual([], ?CACHE:keys(To)),
        Answer
    end,
    ?assertEqual({error, not_a_snapshot}, Load(<<"something else">>)),
    ?assertEqual({error, truncated}, Load(<<>>)),
    ?assertEqual({error, truncated}, Load(binary:part(Good, 0, byte_size(Good) - 1))),
    Version = <<(binary:part(Good, 0, 8))/binary, 7:32/little>>,
    ?assertEqual({error, {newer_version, 7}}, Load([Version, <<(erlang:crc32(Version)):32/little>>])),
    At = byte_size(Good) div 2,
    <<Before:At/binary, Byte, After/binary>> = Good,
    ?assertMatch({error, {damaged, _}}, Load([Before, Byte bxor 1, After])),
    ?assertMatch({ok, #{loaded := 100}}, begin
        ok = file:write_file(file(Config), Good),
        ?CACHE:load(To, file(Config))
    end).

%% Right checksums around external forms that no cache writes.
hostile_terms(Config) ->
    From = new(#{}),
    Length = 40,
    Place = binary:copy(<<"#">>, Length),
    ok = ?CACHE:put(From, key, Place),
    ok = ?CACHE:put(From, other, 1),
    {ok, _} = ?CACHE:save(From, file(Config)),
    {ok, Good} = file:read_file(file(Config)),
    Old = term_to_binary(Place),
    Fill = fun(Bytes) -> [Bytes, binary:copy(<<0>>, byte_size(Old) - iolist_size(Bytes))] end,
    Hostile = [
        %% Not a term at all.
        Fill(<<131>>), Fill(<<130, 97, 1>>),
        %% A term, and more.
        Fill(<<131, 97, 1>>),
        %% Compressed, of four gigabytes.
        Fill(<<131, 80, 16#ffffffff:32, 120, 156>>),
        %% A binary, a list and a tuple that are longer than the bytes.
        Fill(<<131, 109, 16#ffffffff:32>>), Fill(<<131, 108, 16#ffffffff:32>>),
        Fill(<<131, 105, 16#ffffffff:32>>),
        %% Maps whose keys are not told apart.
        Fill(<<131, 116, 2:32, 97, 1, 97, 1, 97, 1, 97, 1>>)
    ],
    [
        begin
            ok = file:write_file(file(Config), Good),
            ok = rewrite(file(Config), Old, iolist_to_binary(Bytes)),
            To = new(#{}),
            Counts = counts(#{loaded => 1, undecodable => 1}),
            ?assertEqual({ok, Counts}, ?CACHE:load(To, file(Config), #{atoms => any})),
            ?assertEqual([other], ?CACHE:keys(To)),
            ok = ?CACHE:drop(To)
        end
     || Bytes <- Hostile
    ].

files_that_cannot_be(Config) ->
    Cache = new(#{}),
    Directory = proplists:get_value(directory, Config),
    ?assertEqual({error, {file, enoent}}, ?CACHE:load(Cache, ?NO_FILE)),
    ?assertEqual({error, {file, enoent}}, ?CACHE:save(Cache, ?NO_FILE)),
    ?assertEqual({error, not_a_snapshot}, ?CACHE:load(Cache, Directory)),
    ?assertEqual({error, {file, eexist}}, ?CACHE:save(Cache, Directory)),
    ?assertEqual({ok, []}, file:list_dir(Directory)).

file_names(Config) ->
    Cache = new(#{}),
    ok = ?CACHE:put(Cache, a, 1),
    Directory = proplists:get_value(directory, Config),
    Names = [
        filename:join(Directory, "plain"),
        filename:join(Directory, <<"binary">>),
        [Directory, "/deep", ["li", ["s"], $t, suffix]],
        filename:join(Directory, [16#e9, 16#263a])
    ],
    [
        begin
            {ok, #{entries := 1}} = ?CACHE:save(Cache, File),
            {ok, #{present := 1}} = ?CACHE:load(Cache, File)
        end
     || File <- Names
    ],
    {ok, Found} = file:list_dir(Directory),
    ?assertEqual(length(Names), length(Found)),
    %% Relative to where the VM is.
    {ok, Here} = file:get_cwd(),
    ok = file:set_cwd(Directory),
    try
        ?assertMatch({ok, _}, ?CACHE:load(Cache, "plain"))
    after
        ok = file:set_cwd(Here)
    end.

wrong_arguments(Config) ->
    Cache = new(#{}),
    File = file(Config),
    Wrong = [
        {save, [none, File], 1},
        {save, [make_ref(), File], 1},
        {save, [Cache, 17], 2},
        {save, [Cache, ""], 2},
        {save, [Cache, "a\0b"], 2},
        {load, [none, File], 1},
        {load, [Cache, {a}], 2},
        {load, [Cache, File, []], 3},
        {load, [Cache, File, #{overwrite => 1}], 3},
        {load, [Cache, File, #{atoms => all}], 3},
        {load, [Cache, File, #{timeout => -1}], 3},
        {load, [Cache, File, #{other => 1}], 3}
    ],
    [
        try apply(?CACHE, Function, Args) of
            Answer -> ct:fail({Function, Args, Answer})
        catch
            error:badarg:Stack ->
                [{?CACHE, Function, Args, _} | _] = Stack,
                #{At := _} = ?CACHE:format_error(badarg, Stack)
        end
     || {Function, Args, At} <- Wrong
    ].
