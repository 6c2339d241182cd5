-module(erlmcp_native_cache_terms_SUITE).
-include_lib("stdlib/include/assert.hrl").

%% How keys and values are held: any term goes in, the same comes out, keys are equal as terms
%% are, and large binaries are shared rather than copied.

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    properties/1,
    values/1,
    values_are_those_of_the_vm/1,
    values_at_the_bounds/1,
    keys/1,
    keys_equal_as_terms/1,
    keys_of_zeros/1,
    keys_of_funs/1,
    keys_in_parts/1,
    keys_at_the_bounds/1,
    large_terms/1,
    many_large_keys/1,
    large_binaries_are_shared/1,
    parents_are_let_go/1,
    appended_binaries/1,
    binaries_are_freed/1,
    shared_among_processes/1,
    through_a_snapshot/1
]).

-define(cache, erlmcp_native_cache).

all() ->
    [
        properties, values, values_are_those_of_the_vm, values_at_the_bounds, keys,
        keys_equal_as_terms, keys_of_zeros, keys_of_funs, keys_in_parts, keys_at_the_bounds,
        large_terms, many_large_keys, large_binaries_are_shared, parents_are_let_go, appended_binaries,
        binaries_are_freed, shared_among_processes, through_a_snapshot
    ].

init_per_testcase(Case, Config) ->
    {ok, Cache} = ?cache:new(Case, #{capacity => 100_000}),
    [{cache, Cache} | Config].

end_per_testcase(_, _) -> ok.

properties(_) -> erlmcp_native_test_proper:check(prop_cache_terms).

values(Config) ->
    Cache = cache(Config),
    Terms = erlmcp_native_wrong_terms:small() ++ shapes(),
    [?assertEqual(ok, ?cache:put(Cache, I, Term)) || {I, Term} <- number(Terms)],
    [
        begin
            assert_same(Term, ?cache:get(Cache, I)),
            ?assertMatch({ok, #{value := Term}}, ?cache:get_entry(Cache, I)),
            assert_same(Term, ?cache:take(Cache, I)),
            ?assertEqual({error, not_found}, ?cache:get(Cache, I))
        end
     || {I, Term} <- number(Terms)
    ].

%% Equal is not enough: they must also be built as the VM builds them.
values_are_those_of_the_vm(Config) ->
    Cache = cache(Config),
    [
        begin
            ok = ?cache:put(Cache, key, Term),
            {ok, Got} = ?cache:get(Cache, key),
            ?assertEqual(erlang:phash2(Term), erlang:phash2(Got)),
            ?assertEqual(erts_debug:flat_size(Term), erts_debug:flat_size(Got)),
            %% Found by key in either, and still after an update.
            ?assertEqual(#{Term => 1}, #{Got => 1}),
            [
                ?assertEqual(Term#{new => 1}, Got#{new => 1})
             || is_map(Term)
            ],
            ?assertEqual([Term], lists:usort([Term, Got]))
        end
     || Term <- shapes()
    ].

%% Around every size where the form changes.
values_at_the_bounds(Config) ->
    Cache = cache(Config),
    Sizes = [0, 1, 7, 8, 9, 30, 31, 32, 33, 34, 63, 64, 65, 93, 94, 95, 96, 97, 127, 128] ++
        [1018, 1019, 1023, 1024, 1025, 8190, 8191, 8192, 8193, 8194, 65_535, 65_536, 65_537],
    [
        begin
            ok = ?cache:put(Cache, key, Term),
            assert_same(Term, ?cache:get(Cache, key))
        end
     || Size <- Sizes, Term <- sized(Size)
    ].

sized(Size) ->
    Binary = rand:bytes(Size),
    [
        Binary, {Binary}, [Binary, a], #{Binary => Binary}, binary_to_list(Binary),
        lists:seq(1, Size), list_to_tuple(lists:seq(1, Size)), [{I} || I <- lists:seq(1, Size)],
        maps:from_list([{I, I} || I <- lists:seq(1, Size)]),
        nest(fun(T) -> [T] end, Size), nest(fun(T) -> {1, T, 2} end, Size),
        nest(fun(T) -> #{a => T, b => 1} end, Size), nest(fun(T) -> [1 | T] end, Size)
    ].

nest(_, 0) -> end_of_it;
nest(Wrap, Depth) -> Wrap(nest(Wrap, Depth - 1)).

keys(Config) ->
    Cache = cache(Config),
    Keys = distinct(),
    [?assertEqual(ok, ?cache:put(Cache, Key, I)) || {I, Key} <- number(Keys)],
    [?assertEqual({Key, {ok, I}}, {Key, ?cache:get(Cache, Key)}) || {I, Key} <- number(Keys)],
    %% As made anew.
    [
        ?assertEqual({Key, {ok, I}}, {Key, ?cache:get(Cache, copy(Key))})
     || {I, Key} <- number(Keys)
    ],
    ?assertEqual(length(Keys), length(?cache:keys(Cache))),
    ?assertEqual(#{}, maps:without(?cache:keys(Cache), maps:from_keys(Keys, here))),
    [
        begin
            ?assert(?cache:is_key(Cache, Key)),
            ok = ?cache:delete(Cache, copy(Key)),
            ?assertNot(?cache:is_key(Cache, Key))
        end
     || Key <- Keys
    ],
    ?assertEqual([], ?cache:keys(Cache)).

%% Each with each.
keys_equal_as_terms(Config) ->
    Cache = cache(Config),
    Keys = distinct(),
    Same = distinct(),
    [
        begin
            ok = ?cache:put(Cache, Key, there),
            [
                ?assertEqual({Key, Other, Key =:= Other}, {Key, Other, ?cache:is_key(Cache, Other)})
             || Other <- Same
            ],
            ok = ?cache:delete(Cache, Key)
        end
     || Key <- Keys
    ].

%% Equal before OTP 27, different since.
keys_of_zeros(Config) ->
    Cache = cache(Config),
    Minus = -zero(),
    [
        begin
            ok = ?cache:put(Cache, Wrap(0.0), plus),
            ?assertEqual(Wrap(0.0) =:= Wrap(Minus), ?cache:is_key(Cache, Wrap(Minus))),
            ok = ?cache:delete(Cache, Wrap(0.0)),
            %% As a value it keeps its sign.
            ok = ?cache:put(Cache, zero, Wrap(Minus)),
            assert_same(Wrap(Minus), ?cache:get(Cache, zero))
        end
     || Wrap <- [
            fun(Zero) -> Zero end, fun(Zero) -> {Zero} end, fun(Zero) -> [a, Zero] end,
            fun(Zero) -> #{a => Zero} end, fun(Zero) -> {Zero, make_fun(1)} end,
            fun(Zero) -> maps:from_list([{I, Zero} || I <- lists:seq(1, 40)]) end
        ]
    ].

%% Not known to the compiler.
zero() -> list_to_float("0.0").

%% A fun's external form names the process that made it, which is no part of what it is.
keys_of_funs(Config) ->
    Cache = cache(Config),
    Mine = make_fun(1),
    Theirs = apart(fun() -> make_fun(1) end),
    ?assertEqual(Mine, Theirs),
    ?assertNotEqual(term_to_binary(Mine), term_to_binary(Theirs)),
    ok = ?cache:put(Cache, Mine, value),
    ?assertEqual({ok, value}, ?cache:get(Cache, Theirs)),
    ok = ?cache:put(Cache, {key, Theirs}, other),
    ?assertEqual({ok, other}, ?cache:get(Cache, {key, Mine})),
    ?assertEqual({error, not_found}, ?cache:get(Cache, make_fun(2))),
    ?assertEqual({error, not_found}, ?cache:get(Cache, {key, make_fun(2)})).

make_fun(Free) -> fun(X) -> X + Free end.

%% Parts of larger binaries, also at a bit offset, are keys as whole ones are.
keys_in_parts(Config) ->
    Cache = cache(Config),
    [
        begin
            Part = binary:part(<<1, Key/binary, 2>>, 1, byte_size(Key)),
            <<_:3, Unaligned:(byte_size(Key))/binary, _:5>> = <<0:3, Key/binary, 0:5>>,
            ok = ?cache:put(Cache, Part, Key),
            [?assertEqual({ok, Key}, ?cache:get(Cache, K)) || K <- [Key, Part, Unaligned]],
            ok = ?cache:put(Cache, {Unaligned}, Unaligned),
            [?assertEqual({ok, Key}, ?cache:get(Cache, {K})) || K <- [Key, Part, Unaligned]]
        end
     || Size <- [1, 8, 64, 65, 1024, 5000, 65_000], Key <- [rand:bytes(Size)]
    ].

%% Keys beyond 65,535 bytes are refused as entries that are too large are; they are never there.
keys_at_the_bounds(Config) ->
    Cache = cache(Config),
    [
        begin
            ?assertEqual({Fits, Expected}, {Fits, ?cache:put(Cache, Key, value)}),
            ?assertEqual(Expected =:= ok, ?cache:is_key(Cache, copy(Key)))
        end
     || {Key, Fits} <- [
            {rand:bytes(65_534), true}, {rand:bytes(65_535), true}, {rand:bytes(65_536), false},
            %% Of the external form, 8 bytes are the tuple's and the binary's.
            {{rand:bytes(65_535 - 8)}, true}, {{rand:bytes(65_535 - 7)}, false},
            {1 bsl 400_000, true}, {1 bsl 600_000, false}
        ],
        Expected <- [
            case Fits of
                true -> ok;
                false -> {error, too_large}
            end
        ]
    ].

%% Nothing keeps a scheduler, neither as keys nor as values.
large_terms(Config) ->
    Cache = cache(Config),
    Terms = erlmcp_native_wrong_terms:large(),
    erlmcp_native_call_time:assert_short(fun() ->
        [
            begin
                ?assertEqual({error, too_large}, ?cache:put(Cache, Term, 1)),
                ?assertEqual({error, not_found}, ?cache:get(Cache, Term)),
                ok = ?cache:put(Cache, key, Term),
                ?assert({ok, Term} =:= ?cache:get(Cache, key))
            end
         || Term <- Terms
        ],
        ok
    end).

%% Nor do many keys together that it takes long to decode.
many_large_keys(Config) ->
    Cache = cache(Config),
    Keys = [maps:from_list([{{K, I}, I} || I <- lists:seq(1, 4000)]) || K <- lists:seq(1, 16)],
    [?assertEqual(ok, ?cache:put(Cache, Key, 1)) || Key <- Keys],
    erlmcp_native_call_time:assert_short(fun() ->
        ?assertEqual(Keys, lists:sort(?cache:keys(Cache))),
        ok
    end).

large_binaries_are_shared(Config) ->
    Cache = cache(Config),
    Binary = rand:bytes(65_536),
    ok = ?cache:put(Cache, key, Binary),
    {ok, Got} = ?cache:get(Cache, key),
    ?assertEqual(Binary, Got),
    ?assertEqual(65_536, binary:referenced_byte_size(Got)),
    %% The VM's name for the block that both refer to.
    {binary, Blocks} = process_info(self(), binary),
    ?assertMatch([_], lists:usort([Block || {Block, 65_536, _} <- Blocks])),
    %% Held after the entry has gone.
    ok = ?cache:delete(Cache, key),
    erlang:garbage_collect(),
    ?assertEqual(Binary, Got).

%% A small part does not keep a large binary.
parents_are_let_go(Config) ->
    Cache = cache(Config),
    Sizes = [10, 100, 1000, 1025, 5000, 100_000],
    Puts = fun() ->
        Large = rand:bytes(10_000_000),
        [
            ok = ?cache:put(Cache, {Put, Size}, Value)
         || Size <- Sizes,
            Part <- [binary:part(Large, 1000, Size)],
            {Put, Value} <- [{plain, Part}, {tuple, {Part}}, {list, [Part, make_fun(1)]}]
        ],
        [
            {ok, _} = ?cache:fetch(Cache, {fetch, Size}, fun() ->
                {ok, binary:part(Large, 1000, Size)}
            end)
         || Size <- Sizes
        ],
        ok = ?cache:put_many(Cache, [{{many, S}, binary:part(Large, 1, S)} || S <- Sizes]),
        ok = ?cache:put_new(Cache, new, binary:part(Large, 1, 5000)),
        ok = ?cache:put(Cache, options, binary:part(Large, 1, 5000), #{ttl => 60_000})
    end,
    Before = settled(fun binary_memory/0),
    apart(Puts),
    await(fun() -> binary_memory() - Before < 2_000_000 end),
    Keys = [{Put, Size} || Put <- [plain, fetch, many], Size <- Sizes] ++ [new, options],
    [
        ?assert(binary:referenced_byte_size(Value) < 2 * byte_size(Value))
     || Key <- Keys, {ok, Value} <- [?cache:get(Cache, Key)]
    ].

%% Appending to a binary may write behind it, in the same block.
appended_binaries(Config) ->
    Cache = cache(Config),
    Whole = lists:foldl(
        fun(I, Acc0) ->
            Acc = <<Acc0/binary, I:32, 0:(8 * 500)>>,
            ok = ?cache:put(Cache, I, Acc),
            Acc
        end,
        <<>>,
        lists:seq(1, 200)
    ),
    [
        ?assertEqual({ok, binary:part(Whole, 0, 504 * I)}, ?cache:get(Cache, I))
     || I <- lists:seq(1, 200)
    ],
    %% Also when it is appended to what the cache gave.
    {ok, Got} = ?cache:get(Cache, 100),
    Longer = <<Got/binary, "tail">>,
    ?assertEqual(504 * 100 + 4, byte_size(Longer)),
    ?assertEqual({ok, Got}, ?cache:get(Cache, 100)),
    ?assertEqual({ok, binary:part(Whole, 0, 504 * 101)}, ?cache:get(Cache, 101)).

binaries_are_freed(Config) ->
    Cache = cache(Config),
    Before = settled(fun binary_memory/0),
    Native = settled(fun erlmcp_native:memory/0),
    Fill = fun() ->
        [ok = ?cache:put(Cache, I, rand:bytes(100_000)) || I <- lists:seq(1, 100)],
        [ok = ?cache:put(Cache, {external, I}, lists:seq(1, 20_000)) || I <- lists:seq(1, 50)],
        [ok = ?cache:put(Cache, {inside, I}, rand:bytes(1000)) || I <- lists:seq(1, 100)],
        ok
    end,
    apart(Fill),
    ?assert(binary_memory() - Before > 9_900_000),
    %% In each way that entries leave: replaced, deleted, cleared, with the cache.
    apart(Fill),
    ?assert(binary_memory() - Before < 21_000_000),
    [ok = ?cache:delete(Cache, I) || I <- lists:seq(1, 50)],
    ok = ?cache:clear(Cache),
    await(fun() -> binary_memory() - Before < 5_000_000 end),
    ok = ?cache:drop(Cache),
    await(fun() -> binary_memory() - Before < 1_000_000 end),
    await(fun() -> erlmcp_native:memory() - Native < 1_000_000 end).

%% Many take a value while others replace it; in each way that values are held outside of entries.
shared_among_processes(Config) ->
    Cache = cache(Config),
    [
        begin
            ok = ?cache:put(Cache, key, Make(0)),
            Write = fun(Count) -> ok = ?cache:put(Cache, key, Make(Count rem 256)) end,
            Read = fun(_) ->
                {ok, Value} = ?cache:get(Cache, key),
                true = Value =:= Make(Which(Value))
            end,
            Runs = [
                spawn_monitor(fun() -> lists:foreach(Work, lists:seq(1, 3000)) end)
             || Work <- [Write, Write | lists:duplicate(6, Read)]
            ],
            [
                receive
                    {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason)
                end
             || {Pid, Monitor} <- Runs
            ]
        end
     || {Make, Which} <- [
            {fun(I) -> binary:copy(<<I>>, 5000) end, fun binary:first/1},
            {fun(I) -> [I | lists:seq(1, 2000)] end, fun erlang:hd/1},
            {
                fun(I) -> #{i => I, l => [#{n => N, b => binary:copy(<<I>>, 70)} || N <- lists:seq(1, 20)]} end,
                fun(#{i := I}) -> I end
            }
        ]
    ].

%% Every form of keys and values, to a file and back.
through_a_snapshot(Config) ->
    Cache = cache(Config),
    Keys = distinct(),
    Values = shapes() ++ lists:append([sized(Size) || Size <- [60, 65, 190, 1024, 1025, 8192, 65_536]]),
    [ok = ?cache:put(Cache, {value, I}, Value) || {I, Value} <- number(Values)],
    [ok = ?cache:put(Cache, Key, I) || {I, Key} <- number(Keys)],
    File = filename:join(proplists:get_value(priv_dir, Config), "terms.snapshot"),
    Entries = length(Values) + length(Keys),
    ?assertMatch({ok, #{entries := Entries}}, ?cache:save(Cache, File)),
    {ok, Other} = ?cache:new(through_a_snapshot_again, #{capacity => 100_000}),
    ?assertMatch({ok, #{loaded := Entries}}, ?cache:load(Other, File)),
    ?assertMatch({ok, #{present := Entries}}, ?cache:load(Other, File)),
    [assert_same(Value, ?cache:get(Other, {value, I})) || {I, Value} <- number(Values)],
    [?assertEqual({Key, ?cache:get(Cache, Key)}, {Key, ?cache:get(Other, Key)}) || Key <- Keys].

%% Helpers

cache(Config) -> proplists:get_value(cache, Config).

number(Terms) -> lists:zip(lists:seq(1, length(Terms)), Terms).

%% Under =:= and in every bit.
assert_same(Term, Answer) ->
    ?assertEqual({ok, Term}, Answer),
    {ok, Got} = Answer,
    ?assertEqual(term_to_binary(Term), term_to_binary(Got)).

copy(Term) -> binary_to_term(term_to_binary(Term)).

%% Of every kind, in every container.
shapes() ->
    Leaves = [
        a, 0, -1, (1 bsl 59) - 1, 1 bsl 59, -(1 bsl 59) - 1, (1 bsl 64) - 1, 1 bsl 64, 1.5, [], {},
        #{}, <<>>, <<"abc">>, <<0:64>>, binary:copy(<<"x">>, 64), binary:copy(<<"y">>, 65), <<1:3>>,
        self(), make_fun(1), fun lists:map/2, "text", [1 | 2], {1, [2, {3}]}, #{a => #{b => [c]}}
    ],
    Ten = maps:from_list([{list_to_atom("key_" ++ integer_to_list(I)), I} || I <- lists:seq(1, 10)]),
    Leaves ++ [{Leaf} || Leaf <- Leaves] ++ [[Leaf, Leaf] || Leaf <- Leaves] ++
        [[x | Leaf] || Leaf <- Leaves] ++ [#{Leaf => Leaf, k => Leaf} || Leaf <- Leaves] ++
        [#{a => Leaf, b => {Leaf}, c => 1, d => [Leaf]} || Leaf <- Leaves] ++
        [{1, Leaf, 2, {Leaf}, 3, [Leaf], 4} || Leaf <- Leaves] ++
        [Leaves, list_to_tuple(Leaves), Ten, [Ten, Ten], #{Ten => Ten}, #{1 => a, 1.0 => b}].

%% Terms of which some nearly are others.
distinct() ->
    Pairs = fun(N) -> maps:from_list([{I, I} || I <- lists:seq(1, N)]) end,
    Wide = Pairs(40),
    [
        1, 1.0, 1 bsl 59, float(1 bsl 59), 1 bsl 63, 1 bsl 64, -(1 bsl 63), -(1 bsl 64), a, "a", <<"a">>,
        'true', <<"true">>, [], {}, #{}, <<>>, [[]], {[]}, [{}], {{}}, <<0>>, <<0, 0>>, <<0:7>>, <<0:64>>,
        {<<0>>}, {<<0, 0>>}, {<<0:7>>}, {<<0:64>>}, [1, 2], [1 | 2], [1, 2 | 3], {1, 2}, {1, {2}}, {{1}, 2},
        [[1], 2], [[1, 2]], [1, [2]], {1}, {1.0}, #{1 => 1}, #{1.0 => 1}, #{1 => 1.0}, #{a => b}, #{b => a},
        [{a, b}], [a, b], {a, b}, #{a => #{}}, #{a => []}, #{a => {}}, 0.1, 0.2, {0.1}, {0.2},
        Pairs(31), Pairs(32), Pairs(33), Wide, Wide#{1 := 1.0}, Wide#{1 := 2}, maps:remove(1, Wide),
        binary:copy(<<"k">>, 64), binary:copy(<<"k">>, 65), {binary:copy(<<"k">>, 64)},
        {binary:copy(<<"k">>, 65)}, binary:copy(<<"k">>, 2000), lists:seq(1, 94), lists:seq(1, 95),
        lists:seq(1, 96), lists:seq(1, 97), make_fun(1), make_fun(2), fun lists:map/2, fun lists:foldl/3,
        %% What the flat form of a tuple looks like, and the word of a term.
        binary:part(term_to_binary({1, 2}), 0, 5), term_to_binary(make_fun(1)), <<(1 bsl 4 bor 15):64/native>>,
        self(), hd(erlang:ports()),
        binary_to_term(<<131, 88, 119, 5, "a@b.c", 0:32, 1:32, 2:32>>),
        binary_to_term(<<131, 90, 0, 3, 119, 5, "a@b.c", 0:32, 7:32, 8:32, 9:32>>)
    ].

%% What a process of its own answers; its heap is gone then.
apart(Work) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({answer, Work()}) end),
    receive
        {'DOWN', Monitor, process, Pid, {answer, Answer}} -> Answer;
        {'DOWN', Monitor, process, Pid, Reason} -> ct:fail(Reason)
    end.

binary_memory() ->
    erlang:garbage_collect(),
    erlang:memory(binary).

%% Of earlier cases nothing is to go meanwhile.
settled(Memory) -> settled(Memory, Memory()).

settled(Memory, Before) ->
    timer:sleep(200),
    case Memory() of
        Now when abs(Now - Before) < 10_000 -> Now;
        Now -> settled(Memory, Now)
    end.

%% Memory goes a little after its last use.
await(Condition) -> await(Condition, 500).
await(Condition, 0) -> ?assert(Condition());
await(Condition, Tries) ->
    Condition() orelse begin
        timer:sleep(10),
        await(Condition, Tries - 1)
    end.
