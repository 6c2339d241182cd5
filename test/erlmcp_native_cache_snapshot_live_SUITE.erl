%% Saving and loading while something else happens: to the cache, the caller or the node.
-module(erlmcp_native_cache_snapshot_live_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([
    beside_a_live_cache/1,
    caller_dies/1,
    cache_is_dropped/1,
    halting/1,
    times_out/1,
    too_many_at_once/1,
    threads_end/1
]).
%% On another node.
-export([save_and_halt/1]).

-import(erlmcp_native_test_cache, [until/1]).

-import(erlmcp_native_test_cache, [file/1, put_all/2]).

-define(CACHE, erlmcp_native_cache).

all() ->
    [
        beside_a_live_cache,
        caller_dies,
        cache_is_dropped,
        halting,
        times_out,
        too_many_at_once,
        threads_end
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

beside_a_live_cache(Config) ->
    Cache = new(#{capacity => 100_000}),
    put_all(Cache, [{{stays, N}, N} || N <- lists:seq(1, 20_000)]),
    Writers = [
        spawn_link(fun() -> churn(Cache, W, 1) end)
     || W <- lists:seq(1, 2)
    ],
    Files = [file(Config) ++ integer_to_list(N) || N <- lists:seq(1, 5)],
    [{ok, _} = ?CACHE:save(Cache, File) || File <- Files],
    {ok, _} = ?CACHE:load(Cache, hd(Files), #{overwrite => true}),
    [
        begin
            unlink(Writer),
            exit(Writer, kill)
        end
     || Writer <- Writers
    ],
    [
        begin
            To = new(#{capacity => 200_000}),
            {ok, #{undecodable := 0}} = ?CACHE:load(To, File),
            [?assertEqual({ok, N}, ?CACHE:get(To, {stays, N})) || N <- lists:seq(1, 20_000)],
            [
                ?assertEqual({ok, N * W}, ?CACHE:get(To, K))
             || {goes, W, N} = K <- ?CACHE:keys(To)
            ],
            ok = ?CACHE:drop(To)
        end
     || File <- Files
    ].

churn(Cache, W, N) ->
    ok = ?CACHE:put(Cache, {goes, W, N}, N * W),
    ok = ?CACHE:delete(Cache, {goes, W, N - 1000}),
    churn(Cache, W, N + 1).

%% A cache whose save takes a while.
large() ->
    Cache = new(#{}),
    Value = binary:copy(<<"x">>, 500),
    put_all(Cache, [{N, <<Value/binary, N:32>>} || N <- lists:seq(1, 300_000)]),
    Cache.

caller_dies(Config) ->
    Cache = large(),
    Old = new(#{}),
    ok = ?CACHE:put(Old, old, file),
    {ok, _} = ?CACHE:save(Old, file(Config)),
    Threads = threads(),
    {Pid, Monitor} = spawn_monitor(fun() -> ?CACHE:save(Cache, file(Config)) end),
    Temporary = file(Config) ++ ".tmp",
    until(fun() -> filelib:is_file(Temporary) end),
    exit(Pid, kill),
    receive
        {'DOWN', Monitor, process, Pid, killed} -> ok
    end,
    until(fun() -> not filelib:is_file(Temporary) andalso threads() =< Threads end),
    To = new(#{}),
    ?assertMatch({ok, #{loaded := 1}}, ?CACHE:load(To, file(Config))),
    ?assertEqual({ok, file}, ?CACHE:get(To, old)).

cache_is_dropped(Config) ->
    Cache = large(),
    Self = self(),
    _ = spawn_link(fun() -> Self ! {saved, ?CACHE:save(Cache, file(Config))} end),
    until(fun() -> filelib:is_file(file(Config) ++ ".tmp") end),
    ok = ?CACHE:drop(Cache),
    receive
        {saved, Saved} -> ?assertEqual({error, no_cache}, Saved)
    end,
    ?assertEqual({ok, []}, file:list_dir(proplists:get_value(directory, Config))).

%% A node that halts while its cache is saved ends as others do, and the old file stays.
halting(Config) ->
    Cache = new(#{}),
    ok = ?CACHE:put(Cache, old, file),
    {ok, _} = ?CACHE:save(Cache, file(Config)),
    Paths = lists:append([["-pa", Path] || Path <- code:get_path(), filelib:is_dir(Path)]),
    Eval = io_lib:format("~s:save_and_halt(~0p).", [?MODULE, file(Config)]),
    Port = open_port({spawn_executable, os:find_executable("erl")}, [
        exit_status, {args, ["-noshell", "-eval", lists:flatten(Eval) | Paths]}
    ]),
    receive
        {Port, {exit_status, Status}} -> ?assertEqual(0, Status)
    end,
    ?assert(filelib:is_file(file(Config) ++ ".tmp")),
    ?assertMatch({ok, #{present := 1}}, ?CACHE:load(Cache, file(Config))).

save_and_halt(File) ->
    Cache = large(),
    _ = spawn(fun() -> ?CACHE:save(Cache, File) end),
    until(fun() -> filelib:file_size(File ++ ".tmp") > 100_000 end),
    halt(0).

times_out(Config) ->
    Cache = large(),
    {ok, _} = ?CACHE:save(Cache, file(Config)),
    To = new(#{}),
    ?assertEqual({error, timeout}, ?CACHE:load(To, file(Config), #{timeout => 0})),
    %% No late answer.
    receive
        Message -> ct:fail(Message)
    after 100 -> ok
    end.

too_many_at_once(Config) ->
    Cache = large(),
    Self = self(),
    Count = 40,
    _ = [
        spawn_link(fun() ->
            File = file(Config) ++ integer_to_list(N),
            Self ! {saved, ?CACHE:save(Cache, File)},
            file:delete(File)
        end)
     || N <- lists:seq(1, Count)
    ],
    Answers = [
        receive
            {saved, Saved} -> Saved
        end
     || _ <- lists:seq(1, Count)
    ],
    {Done, Refused} = lists:partition(fun({Tag, _}) -> Tag =:= ok end, Answers),
    ?assert(length(Done) >= 16),
    ?assertEqual([], [Other || Other <- Refused, Other =/= {error, system_limit}]),
    %% There is room again.
    ?assertMatch({ok, _}, ?CACHE:save(Cache, file(Config))).

threads_end(Config) ->
    Cache = new(#{}),
    put_all(Cache, [{N, N} || N <- lists:seq(1, 1000)]),
    Before = threads(),
    [{ok, _} = ?CACHE:save(Cache, file(Config)) || _ <- lists:seq(1, 20)],
    [{ok, _} = ?CACHE:load(Cache, file(Config)) || _ <- lists:seq(1, 20)],
    until(fun() -> threads() =< Before end).

%% Threads of the library's snapshots, where the system lists them.
threads() ->
    Names = filelib:wildcard("/proc/self/task/*/comm"),
    length([1 || Name <- Names, {ok, <<"erlmcp_snap", _/binary>>} <- [file:read_file(Name)]]).
