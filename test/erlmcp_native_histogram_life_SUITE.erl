%% Handles, names and owners of histograms, and what is left when processes end.
-module(erlmcp_native_histogram_life_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0]).
-export([
    no_such_histogram/1,
    forged_handles/1,
    handles_of_another_kind/1,
    names/1,
    one_of_many_gets_the_name/1,
    deleted/1,
    owner_death_deletes/1,
    owner_killed_in_new/1,
    other_owners/1,
    killed_recorder/1,
    many_histograms/1
]).

-import(erlmcp_native_test_cache, [until/1]).
-import(erlmcp_native_test_histogram, [filled/1, badarg/2, count/1, sum/1]).

-define(HISTOGRAM, erlmcp_native_histogram).

all() ->
    [
        no_such_histogram,
        forged_handles,
        handles_of_another_kind,
        names,
        one_of_many_gets_the_name,
        deleted,
        owner_death_deletes,
        owner_killed_in_new,
        other_owners,
        killed_recorder,
        many_histograms
    ].

suite() -> [{timetrap, {minutes, 5}}].

%% Every call says so, of a handle, a name, and what is neither.
no_such_histogram(_) ->
    Gone = filled([1]),
    ok = ?HISTOGRAM:delete(Gone),
    lists:foreach(
        fun(H) ->
            no_such_live(H),
            no_such_readable(H)
        end,
        [Gone, no_histogram_of_this_name, undefined, make_ref(), self(), "text", [], {a}, 1.0, -1, #{}]
    ),
    %% Bytes may be a snapshot, but not a histogram; and these are neither.
    lists:foreach(
        fun no_such_readable/1,
        [<<>>, <<"text">>, binary:copy(<<0>>, 100), <<1:1>>]
    ),
    no_such_live(<<"text">>),
    no_such_live(?HISTOGRAM:snapshot(filled([1]))).

no_such_live(H) ->
    badarg(1, fun() -> ?HISTOGRAM:delete(H) end),
    badarg(1, fun() -> ?HISTOGRAM:info(H) end),
    badarg(1, fun() -> ?HISTOGRAM:record(H, 1) end),
    badarg(1, fun() -> ?HISTOGRAM:record_many(H, [1]) end),
    badarg(1, fun() -> ?HISTOGRAM:record_many(H, <<1:64/native>>) end),
    badarg(1, fun() -> ?HISTOGRAM:record_corrected(H, 1, 1) end),
    badarg(1, fun() -> ?HISTOGRAM:stop(H, ?HISTOGRAM:start()) end),
    badarg(1, fun() -> ?HISTOGRAM:time(H, fun() -> exit(it_ran) end) end),
    badarg(1, fun() -> ?HISTOGRAM:snapshot(H) end),
    badarg(1, fun() -> ?HISTOGRAM:interval(H, first) end),
    badarg(1, fun() -> ?HISTOGRAM:reset(H) end),
    badarg(1, fun() -> ?HISTOGRAM:windows(H) end),
    badarg(1, fun() -> ?HISTOGRAM:window(H, 1000) end),
    badarg(1, fun() -> ?HISTOGRAM:decaying(H) end).

no_such_readable(H) ->
    badarg(1, fun() -> ?HISTOGRAM:quantile(H, 0.5) end),
    badarg(1, fun() -> ?HISTOGRAM:quantiles(H, [0.5]) end),
    badarg(1, fun() -> ?HISTOGRAM:quantiles(H, [0.5], linear) end),
    badarg(1, fun() -> ?HISTOGRAM:summary(H) end),
    badarg(1, fun() -> ?HISTOGRAM:buckets(H, [1]) end),
    badarg(1, fun() -> ?HISTOGRAM:fraction_below(H, 1) end),
    badarg(1, fun() -> ?HISTOGRAM:merge([filled([1]), H]) end),
    badarg(1, fun() -> ?HISTOGRAM:subtract(H, filled([1])) end),
    badarg(2, fun() -> ?HISTOGRAM:subtract(filled([1]), H) end),
    badarg(1, fun() -> ?HISTOGRAM:to_binary(H) end),
    badarg(1, fun() -> ?HISTOGRAM:to_hdr(H) end),
    badarg(1, fun() -> ?HISTOGRAM:to_prometheus(H) end),
    badarg(1, fun() -> ?HISTOGRAM:to_otlp(H) end),
    badarg(1, fun() -> ?HISTOGRAM:plot(H) end).

%% Integers that no call gave lead nowhere, or, once in 2^27, to what they happen to be.
forged_handles(_) ->
    Histograms = [filled([7]) || _ <- lists:seq(1, 10)],
    Forged = [
        F
     || H <- Histograms,
        F <- [H bxor (1 bsl Bit) || Bit <- lists:seq(0, 70)] ++ [H + 1, H - 1, -H, H bsl 1, H bsr 1],
        not lists:member(F, Histograms)
    ],
    [
        ?assertError(badarg, ?HISTOGRAM:record(F, 1))
     || F <- Forged ++ [0, 1, 2, 1 bsl 24, 1 bsl 59 - 1, 1 bsl 64 - 1, 1 bsl 64]
    ],
    ?assertEqual([7], lists:usort([sum(H) || H <- Histograms])).

%% A rate is an integer too, and may have the same name.
handles_of_another_kind(_) ->
    Rate = erlmcp_native_rate:new(#{name => of_both}),
    badarg(1, fun() -> ?HISTOGRAM:record(Rate, 1) end),
    badarg(1, fun() -> ?HISTOGRAM:summary(Rate) end),
    badarg(1, fun() -> ?HISTOGRAM:delete(Rate) end),
    badarg(1, fun() -> ?HISTOGRAM:record(of_both, 1) end),
    H = ?HISTOGRAM:new(#{name => of_both}),
    ok = ?HISTOGRAM:record(of_both, 1),
    ?assertEqual(1, count(H)),
    ?assertError(badarg, erlmcp_native_rate:mark(H, 1)),
    ok = ?HISTOGRAM:delete(of_both),
    ok = erlmcp_native_rate:mark(of_both, 1),
    ok = erlmcp_native_rate:delete(Rate).

names(_) ->
    ?assertEqual(undefined, ?HISTOGRAM:whereis(named)),
    H = ?HISTOGRAM:new(#{name => named}),
    ?assert(is_integer(H)),
    ?assertEqual(H, ?HISTOGRAM:whereis(named)),
    ok = ?HISTOGRAM:record(named, 1),
    ok = ?HISTOGRAM:record(H, 2),
    ok = ?HISTOGRAM:record_many(named, [3, 4]),
    ok = ?HISTOGRAM:stop(named, ?HISTOGRAM:start()),
    ?assertEqual(5, count(named)),
    ?assertEqual(?HISTOGRAM:to_binary(H), ?HISTOGRAM:to_binary(named)),
    ?assertMatch(#{name := named}, ?HISTOGRAM:info(H)),
    ?assertMatch(#{name := undefined}, ?HISTOGRAM:info(?HISTOGRAM:new())),
    badarg(1, fun() -> ?HISTOGRAM:new(#{name => named}) end),
    ok = ?HISTOGRAM:delete(named),
    ?assertEqual(undefined, ?HISTOGRAM:whereis(named)),
    [
        begin
            One = ?HISTOGRAM:new(#{name => Name}),
            ?assertEqual(One, ?HISTOGRAM:whereis(Name)),
            ok = ?HISTOGRAM:record(Name, 1),
            ok = ?HISTOGRAM:delete(Name),
            badarg(1, fun() -> ?HISTOGRAM:record(Name, 1) end)
        end
     || Name <- ['', list_to_atom(lists:duplicate(255, $a)), list_to_atom([16#436, 16#1F600])]
    ].

one_of_many_gets_the_name(_) ->
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            Self ! {self(), catch ?HISTOGRAM:new(#{name => one_name})},
            receive stop -> ok end
        end)
     || _ <- lists:seq(1, 20)
    ],
    Answers = [receive {Pid, Answer} -> Answer end || Pid <- Pids],
    [Handle] = [H || H <- Answers, is_integer(H)],
    ?assertEqual(Handle, ?HISTOGRAM:whereis(one_name)),
    [?assertMatch({'EXIT', {badarg, _}}, A) || A <- Answers, A =/= Handle],
    [Pid ! stop || Pid <- Pids],
    until(fun() -> ?HISTOGRAM:whereis(one_name) =:= undefined end).

deleted(_) ->
    H = ?HISTOGRAM:new(#{name => deleted}),
    ok = ?HISTOGRAM:record(H, 1),
    %% By any process.
    {_, Monitor} = spawn_monitor(fun() -> ok = ?HISTOGRAM:delete(deleted) end),
    receive {'DOWN', Monitor, _, _, Reason} -> ?assertEqual(normal, Reason) end,
    badarg(1, fun() -> ?HISTOGRAM:record(H, 1) end),
    %% The name is free, and the old handle does not reach the new one, whose place may be the same.
    More = [?HISTOGRAM:new() || _ <- lists:seq(1, 100)],
    Second = ?HISTOGRAM:new(#{name => deleted}),
    ?assertNot(lists:member(H, [Second | More])),
    badarg(1, fun() -> ?HISTOGRAM:record(H, 1) end),
    badarg(1, fun() -> ?HISTOGRAM:delete(H) end),
    ?assertEqual([0], lists:usort([count(A) || A <- [deleted | More]])),
    [ok = ?HISTOGRAM:delete(A) || A <- [Second | More]].

owner_death_deletes(_) ->
    Self = self(),
    [
        begin
            {Pid, Monitor} = spawn_monitor(fun() ->
                H = ?HISTOGRAM:new(#{name => owned}),
                ok = ?HISTOGRAM:record(H, 1),
                Self ! {made, H},
                receive stop -> ok end
            end),
            Handle = receive {made, H} -> H end,
            ?assertEqual(1, count(Handle)),
            ?assertMatch(#{owner := Pid}, ?HISTOGRAM:info(Handle)),
            if
                Reason =:= normal -> Pid ! stop;
                true -> exit(Pid, Reason)
            end,
            receive {'DOWN', Monitor, _, _, _} -> ok end,
            until(fun() -> ?HISTOGRAM:whereis(owned) =:= undefined end),
            badarg(1, fun() -> ?HISTOGRAM:record(Handle, 1) end)
        end
     || Reason <- [normal, kill, failed]
    ].

%% Whenever it is.
owner_killed_in_new(_) ->
    [
        begin
            {Pid, Monitor} = spawn_monitor(fun() ->
                _ = ?HISTOGRAM:new(#{name => briefly}),
                timer:sleep(infinity)
            end),
            [erlang:yield() || _ <- lists:seq(1, Turns)],
            exit(Pid, kill),
            receive {'DOWN', Monitor, _, _, Reason} -> ?assertEqual(killed, Reason) end,
            until(fun() -> ?HISTOGRAM:whereis(briefly) =:= undefined end)
        end
     || Turns <- lists:seq(0, 200)
    ].

other_owners(_) ->
    Self = self(),
    {Owner, Monitor} = spawn_monitor(fun() -> receive stop -> ok end end),
    Make = fun() ->
        Self ! {made, ?HISTOGRAM:new(#{owner => Owner}), ?HISTOGRAM:new(#{owner => none, name => nobody})}
    end,
    {_, Made} = spawn_monitor(Make),
    receive {'DOWN', Made, _, _, normal} -> ok end,
    {Owned, Nobodys} = receive {made, A, B} -> {A, B} end,
    ?assertMatch(#{owner := Owner}, ?HISTOGRAM:info(Owned)),
    ?assertMatch(#{owner := none}, ?HISTOGRAM:info(nobody)),
    ok = ?HISTOGRAM:record(Owned, 1),
    Owner ! stop,
    receive {'DOWN', Monitor, _, _, normal} -> ok end,
    until(fun() -> is_badarg(fun() -> ?HISTOGRAM:record(Owned, 1) end) end),
    %% One whose owner has ended already is gone at once.
    Late = ?HISTOGRAM:new(#{owner => Owner}),
    until(fun() -> is_badarg(fun() -> ?HISTOGRAM:record(Late, 1) end) end),
    timer:sleep(50),
    ok = ?HISTOGRAM:record(Nobodys, 1),
    ok = ?HISTOGRAM:delete(Nobodys).

is_badarg(Fun) ->
    try Fun() of
        _ -> false
    catch
        error:badarg -> true
    end.

%% What a process had recorded when it was killed is there; it holds nothing that others wait for.
killed_recorder(_) ->
    H = ?HISTOGRAM:new(),
    [
        begin
            Recorded = atomics:new(1, []),
            {Pid, Monitor} = spawn_monitor(fun() -> record_on(H, Recorded) end),
            timer:sleep(rand:uniform(5)),
            exit(Pid, kill),
            receive {'DOWN', Monitor, _, _, killed} -> ok end,
            %% One more where it was killed between the two.
            Least = atomics:get(Recorded, 1),
            Count = count(H),
            ?assert(Count =:= Least orelse Count =:= Least + 1, {Count, Least}),
            ok = ?HISTOGRAM:reset(H)
        end
     || _ <- lists:seq(1, 100)
    ],
    ok = ?HISTOGRAM:record(H, 1),
    ?assertEqual(1, count(H)).

record_on(H, Recorded) ->
    ok = ?HISTOGRAM:record(H, 1),
    atomics:add(Recorded, 1, 1),
    record_on(H, Recorded).

%% Their memory comes back, deleted or not.
many_histograms(_) ->
    Fill = fun(Count) ->
        {_, Monitor} = spawn_monitor(fun() ->
            All = [filled([I, 1 bsl 20]) || I <- lists:seq(1, Count)],
            ?assertEqual(Count, length(lists:usort(All))),
            ?assertEqual(Count * (Count + 1) div 2 + (Count bsl 20), lists:sum([sum(H) || H <- All])),
            [ok = ?HISTOGRAM:delete(H) || H <- lists:sublist(All, Count div 2)]
        end),
        receive {'DOWN', Monitor, _, _, Reason} -> ?assertEqual(normal, Reason) end
    end,
    Fill(10_000),
    until(fun() -> settled(0) end),
    Before = erlmcp_native:memory(),
    [Fill(10_000) || _ <- lists:seq(1, 5)],
    until(fun() -> settled(Before) end).

%% Back to what it was, give or take 2 MB; of 0: no longer falling.
settled(0) ->
    Memory = erlmcp_native:memory(),
    timer:sleep(100),
    erlmcp_native:memory() >= Memory;
settled(Before) ->
    erlmcp_native:memory() < Before + 2_000_000.
