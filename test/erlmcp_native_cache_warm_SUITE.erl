%% Warming: from files, funs and other nodes, once and by warmers.
-module(erlmcp_native_cache_warm_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, groups/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2]).
-export([
    from_a_file/1,
    from_a_fun/1,
    batches/1,
    funs_that_fail/1,
    present_keys/1,
    once_out_of_time/1,
    from_a_peer/1,
    a_large_peer/1,
    time_left_on_a_peer/1,
    peers_that_fail/1,
    peer_stops_halfway/1,
    warmer_at_start/1,
    warmer_periodic/1,
    warmer_runs_when_told/1,
    warmer_blocks/1,
    warmer_blocks_and_fails/1,
    warmer_under_a_supervisor/1,
    warmer_survives_failures/1,
    warmer_overdue/1,
    warmer_ends_with_the_cache/1,
    warmer_stops/1,
    needs_the_application/1,
    wrong_arguments/1
]).
%% On peers.
-export([own/3]).
%% As a supervisor.
-export([init/1]).

-import(erlmcp_native_test_cache, [new/2, until/1, no_message/0]).

-define(CACHE, erlmcp_native_cache).
-define(WARMER, erlmcp_native_cache_warmer).

all() ->
    [
        from_a_file,
        from_a_fun,
        batches,
        funs_that_fail,
        present_keys,
        once_out_of_time,
        {group, peers},
        warmer_at_start,
        warmer_periodic,
        warmer_runs_when_told,
        warmer_blocks,
        warmer_blocks_and_fails,
        warmer_under_a_supervisor,
        warmer_survives_failures,
        warmer_overdue,
        warmer_ends_with_the_cache,
        warmer_stops,
        needs_the_application,
        wrong_arguments
    ].

suite() -> [{timetrap, {minutes, 2}}].

groups() ->
    [
        {peers, [
            from_a_peer, a_large_peer, time_left_on_a_peer, peers_that_fail, peer_stops_halfway
        ]}
    ].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

init_per_group(peers, Config) -> erlmcp_native_test_peer:init(warm, Config).

end_per_group(peers, Config) -> erlmcp_native_test_peer:finish(Config).

start_peer() ->
    {Peer, Node} = erlmcp_native_test_peer:start(),
    {ok, _} = erpc:call(Node, application, ensure_all_started, [erlmcp_native]),
    {Peer, Node}.

%% A cache of Count entries on a peer.
fill(Node, Name, Count) ->
    fill(Node, Name, Count, #{}).

fill(Node, Name, Count, PutOpts) ->
    Self = self(),
    _ = spawn(Node, ?MODULE, own, [Self, Name, {Count, PutOpts}]),
    receive
        {filled, Name} -> ok
    after 30_000 -> ct:fail(not_filled)
    end.

own(Pid, Name, {Count, PutOpts}) ->
    {ok, Cache} = ?CACHE:new(Name, #{capacity => 100_000}),
    [ok = ?CACHE:put(Cache, {key, N}, {value, N}, PutOpts) || N <- lists:seq(1, Count)],
    Pid ! {filled, Name},
    receive
        stop -> ok
    end.

name(Cache) ->
    #{name := Name} = ?CACHE:info(Cache),
    Name.

counts(Loaded, Present) -> #{loaded => Loaded, present => Present, too_large => 0}.

%%% Once

from_a_file(Config) ->
    File = filename:join(proplists:get_value(priv_dir, Config), "warm.snapshot"),
    From = new(Config, #{capacity => 100}),
    ok = ?CACHE:put(From, a, 1),
    {ok, _} = ?CACHE:save(From, File),
    To = new(Config, #{capacity => 100}),
    ?assertMatch({ok, #{loaded := 1}}, ?CACHE:warm(To, {file, File})),
    ?assertEqual({ok, 1}, ?CACHE:get(To, a)),
    ?assertEqual({error, {file, enoent}}, ?CACHE:warm(To, {file, File ++ ".none"})).

from_a_fun(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Fun = fun() -> {ok, [{a, 1}, {b, 2, #{ttl => 100_000, tags => [t]}}]} end,
    ?assertEqual({ok, counts(2, 0)}, ?CACHE:warm(Cache, {function, Fun})),
    ?assertEqual({ok, 1}, ?CACHE:get(Cache, a)),
    {ok, Left} = ?CACHE:ttl(Cache, b),
    ?assert(Left > 90_000 andalso Left =< 100_000),
    ?assertEqual({ok, 1}, ?CACHE:invalidate_tag(Cache, t)),
    ?assertEqual({ok, counts(0, 0)}, ?CACHE:warm(Cache, {function, fun() -> {ok, []} end})).

batches(Config) ->
    Cache = new(Config, #{capacity => 10_000}),
    ?assertEqual({ok, counts(5000, 0)}, ?CACHE:warm(Cache, {function, fun() -> batch(1) end})),
    ?assertEqual({ok, {v, 5000}}, ?CACHE:get(Cache, 5000)).

batch(From) ->
    Entries = [{N, {v, N}} || N <- lists:seq(From, From + 99)],
    case From + 100 of
        5001 -> {ok, Entries};
        Next -> {more, Entries, fun() -> batch(Next) end}
    end.

funs_that_fail(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Warm = fun(Fun) -> ?CACHE:warm(Cache, {function, Fun}) end,
    ?assertEqual({error, why}, Warm(fun() -> {error, why} end)),
    ?assertEqual({error, {raised, throw, up}}, Warm(fun() -> throw(up) end)),
    ?assertEqual({error, {raised, error, badarg}}, Warm(fun() -> error(badarg) end)),
    ?assertEqual({error, {raised, exit, x}}, Warm(fun() -> exit(x) end)),
    ?assertEqual({error, {bad_batch, other}}, Warm(fun() -> other end)),
    ?assertEqual({error, {bad_batch, 1}}, Warm(fun() -> {ok, 1} end)),
    ?assertEqual({error, {bad_batch, tail}}, Warm(fun() -> {ok, [{a, 1} | tail]} end)),
    ?assertEqual({error, {bad_entry, no}}, Warm(fun() -> {ok, [{b, 1}, no, {c, 1}]} end)),
    Bad = {d, 1, #{ttl => no}},
    ?assertEqual({error, {bad_entry, Bad}}, Warm(fun() -> {ok, [Bad]} end)),
    ?assertEqual({error, {raised, error, later}}, Warm(fun() ->
        {more, [{e, 1}], fun() -> error(later) end}
    end)),
    ?assertEqual({error, no_cache}, Warm(fun() ->
        ok = ?CACHE:drop(Cache),
        {ok, [{f, 1}]}
    end)).

present_keys(Config) ->
    Cache = new(Config, #{capacity => 100, bound => weight, max_entry => 10}),
    ok = ?CACHE:put(Cache, a, old),
    Fun = fun() -> {ok, [{a, new}, {b, new}, {c, new, #{weight => 11}}]} end,
    ?assertEqual(
        {ok, #{loaded => 1, present => 1, too_large => 1}}, ?CACHE:warm(Cache, {function, Fun})
    ),
    ?assertEqual({ok, old}, ?CACHE:get(Cache, a)),
    ?assertEqual(
        {ok, #{loaded => 2, present => 0, too_large => 1}},
        ?CACHE:warm(Cache, {function, Fun}, #{overwrite => true})
    ),
    ?assertEqual({ok, new}, ?CACHE:get(Cache, a)).

once_out_of_time(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Endless = fun Endless() -> {more, [{a, 1}], Endless} end,
    ?assertEqual(
        {error, timeout}, ?CACHE:warm(Cache, {function, Endless}, #{timeout => 50})
    ),
    ?assertEqual({ok, 1}, ?CACHE:get(Cache, a)).

%%% From other nodes

from_a_peer(Config) ->
    {Peer, Node} = start_peer(),
    Cache = new(Config, #{capacity => 10_000}),
    ok = fill(Node, name(Cache), 1000),
    ok = fill(Node, other, 10),
    ?assertEqual({ok, counts(1000, 0)}, ?CACHE:warm(Cache, {node, Node})),
    [?assertEqual({ok, {value, N}}, ?CACHE:get(Cache, {key, N})) || N <- lists:seq(1, 1000)],
    ?assertEqual({ok, counts(0, 10)}, ?CACHE:warm(Cache, {node, Node, other})),
    ok = peer:stop(Peer).

%% More than a message is to hold.
a_large_peer(Config) ->
    {Peer, Node} = start_peer(),
    ok = fill(Node, large, 50_000),
    {Entries, Next} = erpc:call(Node, erlmcp_native_cache_warm, export, [large, start, 100_000]),
    ?assertNotEqual(done, Next),
    Size = erlang:external_size(Entries),
    ?assert(Size > 100_000 andalso Size < 300_000),
    Cache = new(Config, #{capacity => 100_000}),
    ?assertEqual({ok, counts(50_000, 0)}, ?CACHE:warm(Cache, {node, Node, large})),
    %% The peer's policy and its counts saw nothing of it.
    #{hits := Hits} = erpc:call(Node, ?CACHE, stats, [large]),
    ?assertEqual(0, Hits),
    ok = peer:stop(Peer).

time_left_on_a_peer(Config) ->
    {Peer, Node} = start_peer(),
    ok = fill(Node, mortal, 10, #{ttl => 100_000}),
    timer:sleep(200),
    Cache = new(Config, #{capacity => 100}),
    ?assertEqual({ok, counts(10, 0)}, ?CACHE:warm(Cache, {node, Node, mortal})),
    {ok, Left} = ?CACHE:ttl(Cache, {key, 1}),
    ?assert(Left > 90_000 andalso Left =< 99_900),
    ok = peer:stop(Peer).

peers_that_fail(Config) ->
    {Peer, Node} = start_peer(),
    Cache = new(Config, #{capacity => 100}),
    ?assertEqual({error, {node, Node, badarg}}, ?CACHE:warm(Cache, {node, Node, none})),
    ok = peer:stop(Peer),
    ?assertEqual({error, {node, Node, noconnection}}, ?CACHE:warm(Cache, {node, Node, none})),
    ?assertEqual(
        {error, {node, none@nowhere, noconnection}}, ?CACHE:warm(Cache, {node, none@nowhere})
    ).

peer_stops_halfway(Config) ->
    {Peer, Node} = start_peer(),
    Cache = new(Config, #{capacity => 100_000}),
    ok = fill(Node, halfway, 50_000),
    Self = self(),
    _ = spawn_link(fun() -> Self ! {warmed, ?CACHE:warm(Cache, {node, Node, halfway})} end),
    until(fun() -> ?CACHE:is_key(Cache, {key, 1}) orelse some(Cache) end),
    unlink(Peer),
    ok = peer:stop(Peer),
    receive
        {warmed, {error, {node, Node, noconnection}}} -> ok;
        {warmed, {ok, #{loaded := 50_000}}} -> ok
    end.

some(Cache) ->
    #{entries := Entries} = ?CACHE:info(Cache),
    Entries > 0.

%%% Warmers

init([]) -> {ok, {#{intensity => 5}, []}}.

%% What a warmer runs: counts its runs.
source(Counter) ->
    {function, fun() ->
        N = counters:get(Counter, 1) + 1,
        ok = counters:put(Counter, 1, N),
        {ok, [{run, N}]}
    end}.

warmer_at_start(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Counter = counters:new(1, []),
    {ok, Pid} = ?CACHE:start_warmer(Cache, source(Counter), #{}),
    until(fun() -> ?CACHE:get(Cache, run) =:= {ok, 1} end),
    until(fun() -> not maps:get(running, ?WARMER:info(Pid)) end),
    ?assertMatch(
        #{runs := 1, failures := 0, last := {ok, #{loaded := 1}}}, ?WARMER:info(Pid)
    ),
    timer:sleep(100),
    ?assertEqual(1, counters:get(Counter, 1)),
    %% Not at the start.
    {ok, Idle} = ?CACHE:start_warmer(Cache, source(Counter), #{at_start => false}),
    timer:sleep(100),
    ?assertMatch(#{runs := 0, last := none}, ?WARMER:info(Idle)),
    ?assertEqual(1, counters:get(Counter, 1)).

warmer_periodic(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Counter = counters:new(1, []),
    Opts = #{interval => 20, at_start => false, overwrite => true},
    {ok, Pid} = ?CACHE:start_warmer(Cache, source(Counter), Opts),
    until(fun() -> counters:get(Counter, 1) >= 5 end),
    #{runs := Runs, failures := 0} = ?WARMER:info(Pid),
    ?assert(Runs >= 4),
    {ok, N} = ?CACHE:get(Cache, run),
    ?assert(N >= 4).

warmer_runs_when_told(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Gate = self(),
    Fun = fun() ->
        Gate ! {waits, self()},
        receive
            go -> {ok, [{a, 1}]}
        end
    end,
    {ok, Pid} = ?CACHE:start_warmer(Cache, {function, Fun}, #{at_start => false}),
    %% Callers at the same time share a run.
    Calls = [
        spawn_monitor(fun() -> exit(?WARMER:run(Pid)) end)
     || _ <- lists:seq(1, 3)
    ],
    Worker =
        receive
            {waits, W} -> W
        end,
    until(fun() ->
        {messages, []} = process_info(Pid, messages),
        lists:all(fun({Caller, _}) -> process_info(Caller, status) =:= {status, waiting} end, Calls)
    end),
    ?assertMatch(#{running := true, runs := 0}, ?WARMER:info(Pid)),
    Worker ! go,
    [
        receive
            {'DOWN', Monitor, process, Caller, Result} ->
                ?assertEqual({ok, counts(1, 0)}, Result)
        end
     || {Caller, Monitor} <- Calls
    ],
    ?assertMatch(#{running := false, runs := 1}, ?WARMER:info(Pid)),
    no_message().

warmer_blocks(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Counter = counters:new(1, []),
    {function, Fun} = source(Counter),
    Slow = fun() ->
        timer:sleep(100),
        Fun()
    end,
    {ok, Pid} = ?CACHE:start_warmer(Cache, {function, Slow}, #{blocking => true}),
    ?assertEqual({ok, 1}, ?CACHE:get(Cache, run)),
    ?assertMatch(#{runs := 1, last_duration := D} when D >= 100, ?WARMER:info(Pid)).

warmer_blocks_and_fails(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Before = supervisor:count_children(erlmcp_native_sup),
    Fun = fun() -> {error, no_database} end,
    ?assertEqual(
        {error, no_database}, ?CACHE:start_warmer(Cache, {function, Fun}, #{blocking => true})
    ),
    ?assertEqual(
        {error, timeout},
        ?CACHE:start_warmer(
            Cache, {function, fun() -> timer:sleep(infinity) end}, #{blocking => true, timeout => 50}
        )
    ),
    ?assertEqual(Before, supervisor:count_children(erlmcp_native_sup)),
    ?assertEqual(
        {error, {exit, killed}},
        ?CACHE:start_warmer(
            Cache, {function, fun() -> exit(self(), kill) end}, #{blocking => true}
        )
    ).

warmer_under_a_supervisor(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Counter = counters:new(1, []),
    Spec = ?WARMER:child_spec(Cache, source(Counter), #{blocking => true, interval => 1_000_000}),
    {ok, Sup} = supervisor:start_link(?MODULE, []),
    {ok, Pid} = supervisor:start_child(Sup, Spec),
    ?assertEqual({ok, 1}, ?CACHE:get(Cache, run)),
    %% It is started again when it crashes.
    exit(Pid, kill),
    until(fun() -> counters:get(Counter, 1) =:= 2 end),
    Failing = ?WARMER:child_spec(Cache, {function, fun() -> {error, why} end}, #{blocking => true}),
    ?assertMatch({error, _}, supervisor:start_child(Sup, Failing)),
    %% It ends with its cache, and that is no crash.
    ok = ?CACHE:drop(Cache),
    until(fun() -> [undefined] =:= [P || {_, P, _, _} <- supervisor:which_children(Sup)] end),
    unlink(Sup),
    exit(Sup, shutdown).

warmer_survives_failures(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Counter = counters:new(1, []),
    {function, Fun} = source(Counter),
    Moody = fun() ->
        {ok, [{run, N}]} = Fun(),
        case N rem 4 of
            0 -> {error, why};
            1 -> exit(self(), kill);
            2 -> error(oops);
            3 -> {ok, [{run, N}]}
        end
    end,
    {ok, Pid} = ?CACHE:start_warmer(Cache, {function, Moody}, #{interval => 1}),
    until(fun() -> counters:get(Counter, 1) >= 12 end),
    ?assertMatch(#{failures := F} when F >= 8, ?WARMER:info(Pid)),
    ?assertMatch({ok, _}, ?CACHE:get(Cache, run)).

warmer_overdue(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Self = self(),
    Hang = fun() ->
        Self ! {hangs, self()},
        timer:sleep(infinity)
    end,
    {ok, Pid} = ?CACHE:start_warmer(Cache, {function, Hang}, #{timeout => 50}),
    receive
        {hangs, Worker} ->
            Monitor = monitor(process, Worker),
            receive
                {'DOWN', Monitor, process, Worker, _} -> ok
            end
    end,
    until(fun() -> maps:get(last, ?WARMER:info(Pid)) =:= {error, timeout} end),
    ?assertMatch(#{runs := 1, failures := 1, running := false}, ?WARMER:info(Pid)).

warmer_ends_with_the_cache(Config) ->
    Cache = new(Config, #{capacity => 100}),
    {ok, Pid} = ?CACHE:start_warmer(Cache, source(counters:new(1, [])), #{interval => 20}),
    Monitor = monitor(process, Pid),
    %% One that has nothing to do, and one whose times are beyond the VM's.
    {ok, Idle} = ?CACHE:start_warmer(Cache, source(counters:new(1, [])), #{at_start => false}),
    Ages = #{interval => 1 bsl 70, timeout => 1 bsl 70, blocking => true},
    {ok, Slow} = ?CACHE:start_warmer(Cache, source(counters:new(1, [])), Ages),
    Monitors = [monitor(process, Warmer) || Warmer <- [Idle, Slow]],
    ok = ?CACHE:drop(Cache),
    [
        receive
            {'DOWN', One, process, _, Reason} -> ?assertEqual(normal, Reason)
        end
     || One <- [Monitor | Monitors]
    ],
    ?assertError(badarg, ?CACHE:start_warmer(Cache, source(counters:new(1, [])), #{})).

warmer_stops(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Self = self(),
    Hang = fun() ->
        Self ! {hangs, self()},
        timer:sleep(infinity)
    end,
    {ok, Pid} = ?CACHE:start_warmer(Cache, {function, Hang}, #{}),
    Worker =
        receive
            {hangs, W} -> W
        end,
    Monitor = monitor(process, Worker),
    ?assertEqual(ok, ?CACHE:stop_warmer(Pid)),
    receive
        {'DOWN', Monitor, process, Worker, _} -> ok
    end,
    ?assertNot(is_process_alive(Pid)),
    ?assertEqual(ok, ?CACHE:stop_warmer(Pid)),
    no_message().

needs_the_application(Config) ->
    Cache = new(Config, #{capacity => 100}),
    ok = application:stop(erlmcp_native),
    try
        ?assertEqual(
            {error, not_started}, ?CACHE:start_warmer(Cache, source(counters:new(1, [])), #{})
        ),
        %% Warming once needs no process.
        ?assertMatch({ok, #{loaded := 1}}, ?CACHE:warm(Cache, source(counters:new(1, []))))
    after
        ok = application:start(erlmcp_native)
    end.

wrong_arguments(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Source = {function, fun() -> {ok, []} end},
    Wrong = [
        {warm, [none, Source], 1},
        {warm, [Cache, {function, fun(_) -> ok end}], 2},
        {warm, [Cache, {node, "node"}], 2},
        {warm, [Cache, {file, 17}], 2},
        {warm, [Cache, other], 2},
        {warm, [Cache, Source, []], 3},
        {warm, [Cache, Source, #{interval => 5}], 3},
        {warm, [Cache, Source, #{timeout => soon}], 3},
        {start_warmer, [none, Source, #{}], 1},
        {start_warmer, [Cache, other, #{}], 2},
        {start_warmer, [Cache, {file, 17}, #{}], 2},
        {start_warmer, [Cache, Source, none], 3},
        {start_warmer, [Cache, Source, #{interval => 0}], 3},
        {start_warmer, [Cache, Source, #{blocking => true, at_start => false}], 3},
        {start_warmer, [Cache, Source, #{every => 5}], 3},
        {stop_warmer, [warmer], 1}
    ],
    [
        try apply(?CACHE, Function, Args) of
            Answer -> ct:fail({Function, Args, Answer})
        catch
            error:badarg:Stack ->
                ?assertMatch([{?CACHE, Function, Args, _} | _], Stack),
                ?assertMatch(#{At := _}, ?CACHE:format_error(badarg, Stack))
        end
     || {Function, Args, At} <- Wrong
    ],
    ?assertError(badarg, ?WARMER:child_spec(Cache, other, #{})).
