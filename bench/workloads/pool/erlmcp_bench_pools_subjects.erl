%% The pools that are on the code path, each brought to one shape.
-module(erlmcp_bench_pools_subjects).

-export([all/0, missing/0, native/0, native/1, strategies/0, pure_erlang/0, reclaiming/0, queueing/0]).
-export([with/3]).
-export_type([subject/0, pool/0]).

-type pool() :: term().
-type subject() :: #{
    name := atom(),
    role := measured | baseline | peer | variant,
    version := binary(),
    %% With so many workers, all of them started.
    start := fun((pos_integer()) -> pool()),
    stop := fun((pool()) -> term()),
    %% A checkout and the checkin.
    pair := fun((pool()) -> ok),
    %% These where a worker can be held at all.
    checkout => fun((pool(), timeout()) -> {ok, Worker :: term(), Lease :: term()} | {error, term()}),
    checkin => fun((pool(), Lease :: term()) -> term()),
    %% How many workers are out.
    in_use => fun((pool()) -> non_neg_integer()),
    %% The messages that wait before the processes that serve the pool.
    mailbox := fun((pool()) -> non_neg_integer()),
    %% Whether who ends without returning a worker loses it: what only counts does.
    reclaims := boolean()
}.

-spec all() -> [subject()].
all() ->
    [native(), pure_erlang() | lists:append([Peer() || {_, Peer} <- peers()])].

%% Whose workers can be held.
-spec queueing() -> [subject()].
queueing() ->
    [Subject || #{checkout := _} = Subject <- all()].

%% Who gives back what the dead had.
-spec reclaiming() -> [subject()].
reclaiming() ->
    [Subject || #{reclaims := true} = Subject <- queueing()].

-spec missing() -> [{atom(), binary()}].
missing() ->
    [{Name, <<"not on the code path">>} || {Name, Peer} <- peers(), Peer() =:= []].

peers() ->
    [
        {poolboy, fun poolboy/0},
        {pooler, fun pooler/0},
        {pgo_pool, fun pgo_pool/0},
        {worker_pool, fun worker_pool/0},
        {hackney, fun hackney/0}
    ].

%% What `Fun` gives of a pool that is stopped afterwards.
-spec with(subject(), pos_integer(), fun((pool()) -> Answer)) -> Answer.
with(#{start := Start, stop := Stop}, Size, Fun) ->
    Pool = Start(Size),
    try
        Fun(Pool)
    after
        Stop(Pool)
    end.

unique() ->
    list_to_atom("erlmcp_bench_" ++ integer_to_list(erlang:unique_integer([positive]))).

-spec strategies() -> [atom()].
strategies() ->
    [lifo, fifo, round_robin, random, least_loaded, p2c, hash].

%% With the strategy that is the default.
-spec native() -> subject().
native() ->
    (native(lifo))#{name := native, role := measured}.

-spec native(atom()) -> subject().
native(Strategy) ->
    #{
        name => list_to_atom("native_" ++ atom_to_list(Strategy)),
        role => variant,
        version => erlmcp_bench_suite:version(erlmcp_native),
        start => fun(Size) ->
            {ok, Pid} = erlmcp_native_pool:start_link(#{
                name => unique(),
                worker => {erlmcp_bench_pools_worker, []},
                min => Size,
                max => Size,
                strategy => Strategy,
                start => all
            }),
            {erlmcp_native_pool:handle(Pid), Pid}
        end,
        stop => fun({Pool, _}) -> erlmcp_native_pool:stop(Pool) end,
        pair =>
            case Strategy of
                hash -> fun({Pool, _}) -> native_pair_by_key(Pool) end;
                _ -> fun({Pool, _}) -> native_pair(Pool) end
            end,
        checkout => fun({Pool, _}, Timeout) -> erlmcp_native_pool:checkout(Pool, #{timeout => Timeout}) end,
        checkin => fun({Pool, _}, Lease) -> erlmcp_native_pool:checkin(Pool, Lease) end,
        in_use => fun({Pool, _}) -> maps:get(in_use, erlmcp_native_pool:status(Pool)) end,
        mailbox => fun({_, Pid}) -> waiting_messages([Pid]) end,
        reclaims => true
    }.

native_pair(Pool) ->
    {ok, _, Lease} = erlmcp_native_pool:checkout(Pool),
    erlmcp_native_pool:checkin(Pool, Lease).

native_pair_by_key(Pool) ->
    {ok, _, Lease} = erlmcp_native_pool:checkout(Pool, #{key => key}),
    erlmcp_native_pool:checkin(Pool, Lease).

-spec pure_erlang() -> subject().
pure_erlang() ->
    #{
        name => pure_erlang,
        role => baseline,
        version => <<"erlmcp_pool_baseline">>,
        start => fun(Size) ->
            Workers = [worker() || _ <- lists:seq(1, Size)],
            {ok, Pool} = erlmcp_pool_baseline:start_link(Workers),
            {Pool, Workers}
        end,
        stop => fun({Pool, Workers}) ->
            ok = erlmcp_pool_baseline:stop(Pool),
            lists:foreach(fun end_process/1, Workers)
        end,
        pair => fun({Pool, _}) -> pure_pair(Pool) end,
        checkout => fun({Pool, _}, Timeout) -> erlmcp_pool_baseline:checkout(Pool, Timeout) end,
        checkin => fun({Pool, _}, Lease) -> erlmcp_pool_baseline:checkin(Pool, Lease) end,
        in_use => fun({Pool, _}) -> maps:get(in_use, erlmcp_pool_baseline:counts(Pool)) end,
        mailbox => fun({Pool, _}) -> waiting_messages([erlmcp_pool_baseline:janitor(Pool)]) end,
        reclaims => true
    }.

worker() ->
    {ok, Worker} = erlmcp_bench_pools_worker:start_link([]),
    Worker.

end_process(Pid) ->
    true = unlink(Pid),
    Monitor = monitor(process, Pid),
    true = exit(Pid, kill),
    receive
        {'DOWN', Monitor, process, Pid, _} -> ok
    end.

pure_pair(Pool) ->
    {ok, _, Lease} = erlmcp_pool_baseline:checkout(Pool, 5000),
    erlmcp_pool_baseline:checkin(Pool, Lease).

%% Debian's erlang-poolboy.
poolboy() ->
    case erlmcp_bench_suite:present(poolboy, [{start_link, 2}, {checkout, 3}, {checkin, 2}, {stop, 1}]) of
        true ->
            [
                #{
                    name => poolboy,
                    role => peer,
                    version => erlmcp_bench_suite:version(poolboy),
                    start => fun(Size) ->
                        Arguments = [
                            {worker_module, erlmcp_bench_pools_worker}, {size, Size}, {max_overflow, 0}
                        ],
                        {ok, Pool} = poolboy:start_link(Arguments, []),
                        Pool
                    end,
                    stop => fun end_poolboy/1,
                    pair => fun(Pool) -> poolboy:checkin(Pool, poolboy:checkout(Pool, true, 5000)) end,
                    checkout => fun(Pool, Timeout) ->
                        try poolboy:checkout(Pool, true, Timeout) of
                            Worker -> {ok, Worker, Worker}
                        catch
                            exit:{timeout, _} -> {error, timeout}
                        end
                    end,
                    checkin => fun poolboy:checkin/2,
                    in_use => fun(Pool) -> element(4, poolboy:status(Pool)) end,
                    mailbox => fun(Pool) -> waiting_messages([Pool]) end,
                    reclaims => true
                }
            ];
        false ->
            []
    end.

%% A request to stop would wait behind all that came in a storm. The workers end with their supervisor; the
%% pool is held meanwhile, or it would have them started again.
end_poolboy(Pool) ->
    {links, Links} = process_info(Pool, links),
    [Supervisor] = [
        Pid
     || Pid <- Links, is_pid(Pid), proc_lib:translate_initial_call(Pid) =:= {supervisor, poolboy_sup, 1}
    ],
    true = erlang:suspend_process(Pool),
    lists:foreach(fun end_process/1, [Supervisor, Pool]).

%% Its queue of 50 would refuse who is to wait here.
pooler() ->
    Functions = [{new_pool, 1}, {take_member, 2}, {return_member, 2}, {rm_pool, 1}],
    case erlmcp_bench_suite:present(pooler, Functions) andalso application:ensure_all_started(pooler) of
        {ok, _} ->
            [
                #{
                    name => pooler,
                    role => peer,
                    version => erlmcp_bench_suite:version(pooler),
                    start => fun(Size) ->
                        Name = unique(),
                        {ok, _} = pooler:new_pool(#{
                            name => Name,
                            init_count => Size,
                            max_count => Size,
                            queue_max => 1_000_000,
                            member_start_timeout => {1, min},
                            start_mfa => {erlmcp_bench_pools_worker, start_link, [[]]}
                        }),
                        Name
                    end,
                    stop => fun pooler:rm_pool/1,
                    pair => fun(Name) ->
                        Worker = pooler:take_member(Name, 5000),
                        true = is_pid(Worker),
                        pooler:return_member(Name, Worker)
                    end,
                    checkout => fun(Name, Timeout) ->
                        case pooler:take_member(Name, milliseconds(Timeout)) of
                            Worker when is_pid(Worker) -> {ok, Worker, Worker};
                            error_no_members -> {error, timeout}
                        end
                    end,
                    checkin => fun pooler:return_member/2,
                    mailbox => fun(Name) -> waiting_messages([whereis(Name)]) end,
                    reclaims => true
                }
            ];
        _ ->
            []
    end.

%% It knows no infinity: an hour.
milliseconds(infinity) -> 3_600_000;
milliseconds(Timeout) -> Timeout.

%% The pool of pgo alone, which is db_connection's: the connections are processes of ours that have
%% none, so that nothing but the pool is measured. It has no deadline in its queue but what its
%% shedding drops, so nobody waits for a time of his own here.
pgo_pool() ->
    Functions = [{start_link, 2}, {checkout, 2}, {checkin, 3}, {update, 4}],
    case erlmcp_bench_suite:present(pgo_pool, Functions) of
        true ->
            [
                #{
                    name => pgo_pool,
                    role => peer,
                    version => erlmcp_bench_suite:version(pgo),
                    start => fun(Size) ->
                        {ok, Pool} = pgo_pool:start_link(unique(), #{pool_size => 0}),
                        {_, Queue, _} = sys:get_state(Pool),
                        {registered_name, Name} = process_info(Pool, registered_name),
                        Connections = [
                            spawn_link(fun() -> pgo_connection(Pool, Queue) end)
                         || _ <- lists:seq(1, Size)
                        ],
                        ok = until(fun() ->
                            {_, Held, _} = sys:get_state(Pool),
                            ets:info(Held, size) =:= Size
                        end),
                        {Name, Pool, Connections}
                    end,
                    stop => fun({_, Pool, Connections}) ->
                        lists:foreach(fun end_process/1, Connections),
                        gen_server:stop(Pool)
                    end,
                    pair => fun({Name, _, _}) ->
                        {ok, Ref, Connection} = pgo_pool:checkout(Name, [{timeout, infinity}]),
                        pgo_pool:checkin(Ref, Connection, [])
                    end,
                    mailbox => fun({_, Pool, _}) -> waiting_messages([Pool]) end,
                    reclaims => false
                }
            ];
        false ->
            []
    end.

%% Is asked to look after its connection now and then, and to make a new one after a death.
pgo_connection(Pool, Queue) ->
    _ = pgo_pool:update(Pool, Queue, none, none),
    receive
        {'$gen_cast', _} -> pgo_connection(Pool, Queue)
    end.

%% Who has a worker of worker_pool's calls it, and cannot hold it otherwise: a call is in the pair.
worker_pool() ->
    case
        erlmcp_bench_suite:present(wpool, [{start_pool, 2}, {call, 4}, {stop_pool, 1}]) andalso
            application:ensure_all_started(worker_pool)
    of
        {ok, _} ->
            [
                #{
                    name => worker_pool,
                    role => peer,
                    version => erlmcp_bench_suite:version(worker_pool),
                    start => fun(Size) ->
                        Name = unique(),
                        {ok, _} = wpool:start_pool(Name, [
                            {workers, Size}, {worker, {erlmcp_bench_pools_worker, []}}
                        ]),
                        Name
                    end,
                    stop => fun wpool:stop_pool/1,
                    pair => fun(Name) -> wpool:call(Name, nothing, available_worker, 5000) end,
                    mailbox => fun(_) -> 0 end,
                    reclaims => false
                }
            ];
        _ ->
            []
    end.

%% The limit of connections to a host, which knows no owners and has no workers.
hackney() ->
    Functions = [{init, 0}, {acquire, 4}, {release, 2}, {reset, 2}],
    case erlmcp_bench_suite:present(hackney_load_regulation, Functions) of
        true ->
            Port = 80,
            [
                #{
                    name => hackney,
                    role => peer,
                    version => erlmcp_bench_suite:version(hackney),
                    start => fun(Size) ->
                        ok = hackney_table(),
                        {atom_to_binary(unique()), Size}
                    end,
                    stop => fun({Host, _}) -> hackney_load_regulation:reset(Host, Port) end,
                    pair => fun({Host, Size}) ->
                        ok = hackney_load_regulation:acquire(Host, Port, Size, 5000),
                        hackney_load_regulation:release(Host, Port)
                    end,
                    checkout => fun({Host, Size}, Timeout) ->
                        case hackney_load_regulation:acquire(Host, Port, Size, Timeout) of
                            ok -> {ok, none, Host};
                            Error -> Error
                        end
                    end,
                    checkin => fun(_, Host) -> hackney_load_regulation:release(Host, Port) end,
                    mailbox => fun(_) -> 0 end,
                    reclaims => false
                }
            ];
        false ->
            []
    end.

%% One for all, of a process that lives as long as the VM, as hackney's own does.
hackney_table() ->
    _ = [
        spawn(fun() ->
            ok = hackney_load_regulation:init(),
            receive
                never -> ok
            end
        end)
     || ets:whereis(hackney_host_limits) =:= undefined
    ],
    until(fun() -> ets:whereis(hackney_host_limits) =/= undefined end).

waiting_messages(Pids) ->
    lists:sum([
        case process_info(Pid, message_queue_len) of
            {message_queue_len, Length} -> Length;
            undefined -> 0
        end
     || Pid <- Pids, is_pid(Pid)
    ]).

until(Is) ->
    case Is() of
        true ->
            ok;
        false ->
            timer:sleep(1),
            until(Is)
    end.
