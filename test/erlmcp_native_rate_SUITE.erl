%% The door to sliding rates. What windows hold is tested in Rust, by a clock of its own; here it is
%% what Erlang sees, and that time passes.
-module(erlmcp_native_rate_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    events_are_counted/1,
    nothing_was_marked/1,
    many_processes_mark/1,
    time_passes/1,
    windows_forget/1,
    names/1,
    ends_with_its_owner/1,
    belongs_to_nobody/1,
    deleted_is_gone/1,
    wrong_arguments/1,
    shell_explains/1,
    thread_comes_and_goes/1,
    halts_cleanly/1
]).

-define(RATE, erlmcp_native_rate).
-define(WINDOWS, [1000, 10_000, 60_000, 300_000, 3_600_000, 86_400_000]).

all() ->
    [
        events_are_counted,
        nothing_was_marked,
        many_processes_mark,
        time_passes,
        windows_forget,
        names,
        ends_with_its_owner,
        belongs_to_nobody,
        deleted_is_gone,
        wrong_arguments,
        shell_explains,
        thread_comes_and_goes,
        halts_cleanly
    ].

suite() -> [{timetrap, {minutes, 5}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_testcase(_, _) -> ok.

events_are_counted(_) ->
    Rate = ?RATE:new(),
    ok = ?RATE:mark(Rate),
    ok = ?RATE:mark(Rate, 0),
    ok = ?RATE:mark(Rate, 41),
    #{total := 42} = ?RATE:read(Rate),
    ok = ?RATE:mark(Rate, (1 bsl 64) - 1),
    #{total := 41} = ?RATE:read(Rate).

nothing_was_marked(_) ->
    Reading = ?RATE:read(?RATE:new()),
    ?assertEqual(#{total => 0, rate => 0.0, windows => [{W, 0.0} || W <- ?WINDOWS]}, Reading).

many_processes_mark(_) ->
    Rate = ?RATE:new(),
    Mark = fun() -> [?RATE:mark(Rate, 3) || _ <- lists:seq(1, 20_000)] end,
    Workers = [spawn_monitor(Mark) || _ <- lists:seq(1, 16)],
    %% Totals never go down meanwhile.
    lists:foldl(
        fun(_, Before) ->
            #{total := Total, windows := [{1000, PerSecond} | _]} = ?RATE:read(Rate),
            ?assert(Total >= Before),
            ?assert(PerSecond >= 0.0),
            Total
        end,
        0,
        lists:seq(1, 1000)
    ),
    [receive {'DOWN', Ref, process, Pid, normal} -> ok end || {Pid, Ref} <- Workers],
    ?assertMatch(#{total := 960_000}, ?RATE:read(Rate)).

%% However late this process runs: the rate is what was marked by the time that has passed.
time_passes(_) ->
    Earliest = now_ms(),
    Rate = ?RATE:new(),
    Latest = now_ms(),
    ok = ?RATE:mark(Rate, 1_000_000),
    wait_until(fun() -> now_ms() > Latest + 300 end),
    Before = now_ms(),
    #{windows := Windows, rate := Decaying} = ?RATE:read(Rate),
    After = now_ms(),
    %% None of these windows is over yet, unless the machine stood still for an hour. Their clock
    %% counts whole milliseconds.
    [Day, Hour] = [maps:get(W, maps:from_list(Windows)) || W <- [86_400_000, 3_600_000]],
    ?assertEqual(Day, Hour),
    ?assert(Day =< 1.0e9 / (Before - Latest - 2)),
    ?assert(Day >= 1.0e9 / (After - Earliest + 2)),
    %% The decaying rate is taken up to each tick, so evenly before and after it.
    ?assert(Decaying > 0.0 andalso Decaying =< 1.0e9 / 10).

%% What was marked leaves the shortest window, though nobody marks.
windows_forget(_) ->
    Rate = ?RATE:new(),
    ok = ?RATE:mark(Rate, 1000),
    wait_until(fun() -> maps:get(rate, ?RATE:read(Rate)) > 0.0 end),
    wait_until(fun() ->
        #{windows := [{1000, Second} | _]} = ?RATE:read(Rate),
        Second == 0.0
    end),
    #{total := 1000, rate := Decaying, windows := [_ | Longer]} = ?RATE:read(Rate),
    ?assert(Decaying > 0.0),
    ?assert(proplists:get_value(86_400_000, Longer) > 0.0).

names(_) ->
    Rate = ?RATE:new(#{name => a_rate}),
    ?assertEqual(Rate, ?RATE:whereis(a_rate)),
    ok = ?RATE:mark(a_rate),
    ok = ?RATE:mark(Rate),
    ?assertMatch(#{total := 2}, ?RATE:read(a_rate)),
    ?assertError(badarg, ?RATE:new(#{name => a_rate})),
    %% Histograms have names of their own, and handles that are no rates'.
    Histogram = erlmcp_native_histogram:new(#{name => a_rate}),
    ?assertError(badarg, ?RATE:mark(Histogram)),
    ?assertError(badarg, erlmcp_native_histogram:record(Rate, 1)),
    ok = ?RATE:delete(a_rate),
    ?assertEqual(undefined, ?RATE:whereis(a_rate)),
    ?assertError(badarg, ?RATE:mark(a_rate)),
    Next = ?RATE:new(#{name => a_rate}),
    ?assertNotEqual(Rate, Next),
    ?assertMatch(#{total := 0}, ?RATE:read(a_rate)).

ends_with_its_owner(_) ->
    Test = self(),
    {Pid, Ref} = spawn_monitor(fun() ->
        Test ! {rate, ?RATE:new(#{name => owned_rate})},
        receive stop -> ok end
    end),
    Rate = receive {rate, R} -> R end,
    ok = ?RATE:mark(Rate),
    Pid ! stop,
    receive {'DOWN', Ref, process, Pid, normal} -> ok end,
    wait_until(fun() -> ?RATE:whereis(owned_rate) =:= undefined end),
    ?assertError(badarg, ?RATE:mark(Rate)),
    %% Of an owner that is gone already.
    Gone = ?RATE:new(#{owner => Pid}),
    ?assertError(badarg, ?RATE:read(Gone)).

belongs_to_nobody(_) ->
    Test = self(),
    {Pid, Ref} = spawn_monitor(fun() -> Test ! {rate, ?RATE:new(#{owner => none})} end),
    Rate = receive {rate, R} -> R end,
    receive {'DOWN', Ref, process, Pid, normal} -> ok end,
    ok = ?RATE:mark(Rate),
    ok = ?RATE:delete(Rate).

deleted_is_gone(_) ->
    Rate = ?RATE:new(),
    ok = ?RATE:delete(Rate),
    [
        ?assertError(badarg, Call())
     || Call <- [
            fun() -> ?RATE:delete(Rate) end,
            fun() -> ?RATE:mark(Rate) end,
            fun() -> ?RATE:mark(Rate, 2) end,
            fun() -> ?RATE:read(Rate) end
        ]
    ].

wrong_arguments(_) ->
    Rate = ?RATE:new(),
    [
        ?assertError(badarg, ?RATE:mark(Rate, Events))
     || Events <- [-1, 1 bsl 64, 1.0, a, <<>>, []]
    ],
    [
        ?assertError(badarg, ?RATE:mark(Other))
     || Other <- [0, -1, Rate + 1, 1 bsl 70, nosuch, undefined, "x", self(), make_ref()]
    ],
    [
        ?assertError(badarg, ?RATE:new(Opts))
     || Opts <- [
            [],
            a,
            #{name => undefined},
            #{name => "a"},
            #{owner => a},
            #{owner => make_ref()},
            #{half_life => 1}
        ]
    ],
    ?assertError(badarg, ?RATE:whereis("a")),
    ?assertMatch(#{total := 0}, ?RATE:read(Rate)).

shell_explains(_) ->
    Rate = ?RATE:new(),
    ?assertMatch(#{1 := "not a rate" ++ _}, explained(fun() -> ?RATE:mark(Rate + 1) end)),
    ?assertMatch(#{2 := "not an integer" ++ _}, explained(fun() -> ?RATE:mark(Rate, -1) end)),
    #{1 := Option} = explained(fun() -> ?RATE:new(#{size => 1}) end),
    ?assertEqual("no such option or value: {size,1}", lists:flatten(Option)).

explained(Call) ->
    try Call() of
        Answer -> {no_error, Answer}
    catch
        error:badarg:Stack ->
            [{?RATE, _, _, _} | _] = Stack,
            ?RATE:format_error(badarg, Stack)
    end.

%% It ends when nobody needs it, and is there again for the next.
thread_comes_and_goes(_) ->
    Args = ["-pa" | code:get_path()],
    {ok, Peer, _} = peer:start_link(#{connection => standard_io, args => Args}),
    Call = fun(Module, Function, Arguments) -> peer:call(Peer, Module, Function, Arguments) end,
    {ok, _} = Call(application, ensure_all_started, [erlmcp_native]),
    Pid = Call(os, getpid, []),
    %% The threads of a process are seen on Linux.
    [
        begin
            ?assertEqual(0, threads(Pid)),
            Rate = Call(?RATE, new, [#{owner => none}]),
            Histogram = Call(erlmcp_native_histogram, new, [#{owner => none, windows => true}]),
            wait_until(fun() -> threads(Pid) =:= 1 end),
            ok = Call(?RATE, delete, [Rate]),
            ok = Call(erlmcp_native_histogram, delete, [Histogram]),
            wait_until(fun() -> threads(Pid) =:= 0 end),
            _ = Call(erlmcp_native_histogram, new, [#{owner => none, half_life => 10}]),
            wait_until(fun() -> threads(Pid) =:= 1 end)
        end
     || filelib:is_dir("/proc/" ++ Pid ++ "/task")
    ],
    ok = peer:stop(Peer).

threads(Pid) ->
    Files = filelib:wildcard("/proc/" ++ Pid ++ "/task/*/comm"),
    Names = [Name || File <- Files, {ok, Name} <- [file:read_file(File)]],
    %% Linux keeps 15 bytes of a name.
    length([Name || <<"erlmcp_histogra", _/binary>> = Name <- Names]).

%% Whatever the thread is at.
halts_cleanly(_) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    [
        begin
            Eval = lists:concat([
                "[begin H = erlmcp_native_histogram:new(#{windows => true, half_life => 100}),",
                "erlmcp_native_histogram:record(H, N) end || N <- lists:seq(1, 300)],",
                "_ = erlmcp_native_rate:new(), timer:sleep(",
                Sleep,
                "), halt(17)."
            ]),
            Args = ["-noshell", "-eval", Eval, "-pa" | code:get_path()],
            Port = open_port({spawn_executable, Erl}, [{args, Args}, exit_status]),
            receive {Port, {exit_status, Status}} -> ?assertEqual(17, Status) end
        end
     || Sleep <- [0, 200, 251]
    ].

now_ms() -> erlang:monotonic_time(millisecond).

wait_until(Is) ->
    case Is() of
        true ->
            ok;
        false ->
            timer:sleep(20),
            wait_until(Is)
    end.
