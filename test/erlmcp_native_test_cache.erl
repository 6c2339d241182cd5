%% What the suites of the cache share.
-module(erlmcp_native_test_cache).
-include_lib("stdlib/include/assert.hrl").

-export([new/2, with_file/2, file/1, put_all/2, badarg/2, until/1, parallel/2, no_message/0, stores/0]).

-define(cache, erlmcp_native_cache).

%% A cache of its own name, stored as the group says. It ends with the case, whose process owns it.
new(Config, Opts) ->
    Name = list_to_atom("cache_" ++ integer_to_list(erlang:unique_integer([positive]) rem 1000)),
    Store = proplists:get_value(store, Config, native),
    {ok, Cache} = ?cache:new(Name, maps:merge(#{store => Store}, Opts)),
    Cache.

%% Gives a case a folder of its own, and in it the name of a file.
with_file(Case, Config) ->
    Directory = filename:join(proplists:get_value(priv_dir, Config), atom_to_list(Case)),
    ok = filelib:ensure_path(Directory),
    [{file, filename:join(Directory, "cache.snapshot")}, {directory, Directory} | Config].

file(Config) -> proplists:get_value(file, Config).

put_all(Cache, Pairs) ->
    ?assertEqual(ok, ?cache:put_many(Cache, Pairs)).

%% The processes that hold the tables of caches with `store => ets'.
stores() ->
    [Pid || {_, Pid, _, [erlmcp_native_cache_store]} <- supervisor:which_children(erlmcp_native_sup)].

%% As the shell sees it: where it was raised, and which argument was wrong.
badarg(At, Fun) ->
    try Fun() of
        Answer -> ct:fail("answers ~p", [Answer])
    catch
        error:badarg:Stack ->
            [{?cache, _, Args, _} | _] = Stack,
            ?assert(is_list(Args)),
            ?assertMatch(#{At := _}, ?cache:format_error(badarg, Stack))
    end.

%% Within ten seconds.
until(Fun) -> until(Fun, 1000).
until(Fun, 0) -> ct:fail("never true: ~p", [Fun]);
until(Fun, Left) ->
    Fun() orelse
        begin
            timer:sleep(10),
            until(Fun, Left - 1)
        end.

%% What Count processes answer that begin at once.
parallel(Count, Fun) ->
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            receive go -> ok end,
            Answer = Fun(I),
            Self ! {self(), Answer}
        end)
     || I <- lists:seq(1, Count)
    ],
    [Pid ! go || Pid <- Pids],
    [receive {Pid, Answer} -> Answer end || Pid <- Pids].

no_message() ->
    receive
        Message -> ct:fail("late message ~p", [Message])
    after 100 -> ok
    end.
