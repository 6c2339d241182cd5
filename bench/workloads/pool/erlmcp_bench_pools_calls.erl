%% The cases that are timed: a checkout and the checkin where a worker is free, for one process, and for
%% a process that is made for it.
-module(erlmcp_bench_pools_calls).

-export([cases/0]).

-define(SUBJECTS, erlmcp_bench_pools_subjects).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    pairs() ++ spawned().

%% Every strategy of ours, and every pool, by how many workers there are.

pairs() ->
    [
        #{
            group => pool_checkout,
            id => Id,
            set => pool,
            bytes => 0,
            expected => ok,
            modes => Modes,
            missing => ?SUBJECTS:missing(),
            subjects => [
                opened(Subject, Size, fun(#{pair := Pair}, Pool) -> fun() -> Pair(Pool) end end)
             || Subject <- with_strategies(?SUBJECTS:all())
            ]
        }
     || {Id, Modes, Size} <- [
            {checkout_of_10, all(), 10},
            {checkout_of_100, all(), 100},
            {checkout_of_1000, all(), 1000},
            {checkout_of_10000, [standard, full], 10_000}
        ]
    ].

%% The default is among the strategies, and first as the one that is compared.
with_strategies([Native | Others]) ->
    [Native | [?SUBJECTS:native(Strategy) || Strategy <- tl(?SUBJECTS:strategies())]] ++ Others.

%% Each call makes a process that makes the pair and ends: it pays for being watched each time.

spawned() ->
    Alone = #{
        name => spawn_alone,
        role => peer,
        call => fun() -> in_a_process(fun() -> ok end) end
    },
    [
        #{
            group => pool_spawn,
            id => spawn_checkout_exit,
            set => pool,
            bytes => 0,
            expected => ok,
            missing => ?SUBJECTS:missing(),
            subjects => [Alone | [
                opened(Subject, 16, fun(#{pair := Pair}, Pool) ->
                    fun() -> in_a_process(fun() -> Pair(Pool) end) end
                end)
             || Subject <- ?SUBJECTS:all()
            ]]
        }
    ].

in_a_process(Fun) ->
    {Pid, Monitor} = spawn_monitor(Fun),
    receive
        {'DOWN', Monitor, process, Pid, normal} -> ok
    end.

opened(#{name := Name, role := Role, start := Start, stop := Stop} = Subject, Size, Call) ->
    #{
        name => Name,
        role => Role,
        open => fun() ->
            Pool = Start(Size),
            #{
                calls => [Call(Subject, Pool)],
                verify => fun() -> all_are_back(Subject, Pool) end,
                close => fun() -> Stop(Pool) end
            }
        end
    }.

%% After a round, where the pool tells.
all_are_back(#{in_use := InUse}, Pool) ->
    case InUse(Pool) of
        0 -> ok;
        Out -> {wrong, iolist_to_binary(io_lib:format("workers not returned: ~b", [Out]))}
    end;
all_are_back(_, _) ->
    ok.

all() ->
    [quick, standard, full].
