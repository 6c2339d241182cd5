%% The strongest pool in pure Erlang that we know how to write: what the pool is measured against, and
%% no part of the library.
%%
%% A worker's cell is a word of one `atomics` array, alone in its line of memory: 0, or the number of the
%% process that has it. To take a worker is one compare-and-exchange of its cell, to give it back another,
%% so there is no moment at which a kill could lose it. A process asks the janitor for a number once for
%% each pool and keeps it in its process dictionary; the janitor monitors the process from then on and
%% frees what it had when it ends. Each process begins its search at a cell of its own, so that up
%% to as many processes as workers seldom meet, and a free worker is found at once in a pool of any size.
%%
%% Who finds nothing puts itself into an ordered ETS table, looks once more, and sleeps. Who
%% gives back frees the cell first and then, where somebody may wait and nobody is on his way already,
%% wakes the first in the table with a message that says `look again`. Who was woken passes it on where
%% more cells are free. A newcomer may take what a woken process was to get, who then waits on in
%% his old place: nothing bounds that. After every death the janitor wakes as many as there is room for,
%% so that no wake-up dies with a process.
%%
%% Not here: strategies, growth, restarts, health, limits of the queue, a worker reset before its next
%% owner, leases that are told from earlier ones of the same process.
%%
%% A free list through the cells would take three operations instead of one, and lose a worker to a kill
%% between two of them.
-module(erlmcp_pool_baseline).
-behaviour(gen_server).

-export([start_link/1, stop/1, checkout/1, checkout/2, checkin/2, counts/1, janitor/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([pool/0, lease/0]).

-record(pool, {
    %% In the process dictionary.
    key :: {?MODULE, reference()},
    size :: pos_integer(),
    workers :: tuple(),
    cells :: atomics:atomics_ref(),
    waiters :: ets:tid(),
    janitor :: pid()
}).
-opaque pool() :: #pool{}.
-opaque lease() :: pos_integer().

%% Words before the cells, and between two of them: 64 bytes.
-define(STRIDE, 8).
%% Whether somebody may be in the table of waiters.
-define(WAITING, 1).
%% Whether somebody was woken who has not looked yet.
-define(WOKEN, (1 + ?STRIDE)).
-define(CELL(Index), ((Index + 2) * ?STRIDE + 1)).
%% A lease is the owner's number and the cell's.
-define(INDEX_BITS, 20).

-spec start_link([term(), ...]) -> {ok, pool()}.
start_link(Workers) ->
    {ok, Janitor} = gen_server:start_link(?MODULE, Workers, []),
    {ok, gen_server:call(Janitor, pool)}.

-spec stop(pool()) -> ok.
stop(#pool{janitor = Janitor}) ->
    gen_server:stop(Janitor).

-spec checkout(pool()) -> {ok, Worker :: term(), lease()} | {error, timeout}.
checkout(Pool) ->
    checkout(Pool, 5000).

-spec checkout(pool(), timeout()) -> {ok, Worker :: term(), lease()} | {error, timeout}.
checkout(#pool{key = Key, size = Size, cells = Cells} = Pool, Timeout) ->
    Owner =
        case get(Key) of
            undefined -> enroll(Pool);
            Number -> Number
        end,
    Index = Owner rem Size,
    case atomics:compare_exchange(Cells, ?CELL(Index), 0, Owner) of
        ok -> leased(Pool, Owner, Index);
        _ -> search(Pool, Owner, Timeout)
    end.

%% Of a lease that was given back before, or whose owner the janitor has taken for dead, nothing is done.
-spec checkin(pool(), lease()) -> ok | stale.
checkin(#pool{cells = Cells} = Pool, Lease) ->
    Index = Lease band (1 bsl ?INDEX_BITS - 1),
    Owner = Lease bsr ?INDEX_BITS,
    case atomics:compare_exchange(Cells, ?CELL(Index), Owner, 0) of
        ok ->
            case atomics:get(Cells, ?WAITING) of
                0 -> ok;
                _ -> wake(Pool)
            end;
        _ ->
            stale
    end.

%% How many workers are out, how many wait, and how many processes the janitor watches.
-spec counts(pool()) -> #{in_use | waiting | owners := non_neg_integer()}.
counts(#pool{size = Size, cells = Cells, waiters = Waiters, janitor = Janitor}) ->
    #{
        in_use => length([Index || Index <- lists:seq(0, Size - 1), atomics:get(Cells, ?CELL(Index)) =/= 0]),
        waiting => ets:info(Waiters, size),
        owners => gen_server:call(Janitor, owners)
    }.

-spec janitor(pool()) -> pid().
janitor(#pool{janitor = Janitor}) ->
    Janitor.

enroll(#pool{key = Key, janitor = Janitor}) ->
    Owner = gen_server:call(Janitor, enroll, infinity),
    _ = put(Key, Owner),
    Owner.

leased(#pool{workers = Workers}, Owner, Index) ->
    {ok, element(Index + 1, Workers), (Owner bsl ?INDEX_BITS) bor Index}.

search(Pool, Owner, Timeout) ->
    case take_any(Pool, Owner) of
        none -> wait(Pool, Owner, erlang:unique_integer([monotonic]), deadline(Timeout));
        Index -> leased(Pool, Owner, Index)
    end.

%% All cells once, from the owner's on.
take_any(#pool{size = Size, cells = Cells}, Owner) ->
    First = Owner rem Size,
    case take_from(Cells, Owner, First, Size) of
        none -> take_from(Cells, Owner, 0, First);
        Index -> Index
    end.

take_from(_, _, End, End) ->
    none;
take_from(Cells, Owner, Index, End) ->
    Cell = ?CELL(Index),
    case atomics:get(Cells, Cell) =:= 0 andalso atomics:compare_exchange(Cells, Cell, 0, Owner) of
        ok -> Index;
        _ -> take_from(Cells, Owner, Index + 1, End)
    end.

%% In the table before it says so, and looking only then: who frees a cell sees the word, or the cell is
%% seen here.
wait(#pool{cells = Cells, waiters = Waiters} = Pool, Owner, Place, Deadline) ->
    Ref = make_ref(),
    true = ets:insert(Waiters, {Place, self(), Ref}),
    ok = atomics:put(Cells, ?WAITING, 1),
    case take_any(Pool, Owner) of
        none ->
            receive
                Ref -> look_again(Pool, Owner, Place, Deadline)
            after left(Deadline) ->
                case withdraw(Pool, Place, Ref) of
                    gone -> {error, timeout};
                    woken -> look_last(Pool, Owner)
                end
            end;
        Index ->
            _ = withdraw(Pool, Place, Ref) =:= woken andalso pass_on(Pool),
            leased(Pool, Owner, Index)
    end.

%% `woken`: the message had been sent, or was on its way, and is taken out.
withdraw(#pool{waiters = Waiters}, Place, Ref) ->
    case ets:take(Waiters, Place) of
        [_] ->
            gone;
        [] ->
            receive
                Ref -> woken
            end
    end.

%% The word before the cells: whoever frees one from then on wakes the next himself.
look_again(#pool{cells = Cells} = Pool, Owner, Place, Deadline) ->
    ok = atomics:put(Cells, ?WOKEN, 0),
    case take_any(Pool, Owner) of
        none ->
            wait(Pool, Owner, Place, Deadline);
        Index ->
            ok = wake_for_free(Pool),
            leased(Pool, Owner, Index)
    end.

look_last(#pool{cells = Cells} = Pool, Owner) ->
    ok = atomics:put(Cells, ?WOKEN, 0),
    case take_any(Pool, Owner) of
        none ->
            {error, timeout};
        Index ->
            ok = wake_for_free(Pool),
            leased(Pool, Owner, Index)
    end.

pass_on(#pool{cells = Cells} = Pool) ->
    ok = atomics:put(Cells, ?WOKEN, 0),
    wake_for_free(Pool).

wake_for_free(#pool{cells = Cells} = Pool) ->
    case atomics:get(Cells, ?WAITING) =/= 0 andalso is_any_free(Pool) of
        true -> wake(Pool);
        false -> ok
    end.

is_any_free(#pool{size = Size, cells = Cells}) ->
    is_any_free(Cells, Size - 1).

is_any_free(_, -1) -> false;
is_any_free(Cells, Index) -> atomics:get(Cells, ?CELL(Index)) =:= 0 orelse is_any_free(Cells, Index - 1).

%% One is on his way at a time.
wake(#pool{cells = Cells} = Pool) ->
    case atomics:compare_exchange(Cells, ?WOKEN, 0, 1) of
        ok -> wake_first(Pool);
        _ -> ok
    end.

wake_first(#pool{cells = Cells, waiters = Waiters} = Pool) ->
    case ets:first(Waiters) of
        '$end_of_table' ->
            ok = atomics:put(Cells, ?WOKEN, 0),
            ok = atomics:put(Cells, ?WAITING, 0),
            %% Who came into the table meanwhile may have set the word too early.
            case ets:first(Waiters) of
                '$end_of_table' ->
                    ok;
                _ ->
                    ok = atomics:put(Cells, ?WAITING, 1),
                    wake_for_free(Pool)
            end;
        Place ->
            case ets:take(Waiters, Place) of
                [{_, Pid, Ref}] ->
                    %% Whose death the janitor has seen already gets nobody woken any more.
                    case is_process_alive(Pid) of
                        true ->
                            Pid ! Ref,
                            ok;
                        false ->
                            wake_first(Pool)
                    end;
                [] ->
                    wake_first(Pool)
            end
    end.

deadline(infinity) -> infinity;
deadline(Timeout) -> erlang:monotonic_time(millisecond) + Timeout.

left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).

%% The janitor.

-record(janitor, {pool :: pool(), next = 1 :: pos_integer(), owners = #{} :: #{reference() => pos_integer()}}).

init(Workers) ->
    Size = length(Workers),
    {ok, #janitor{
        pool = #pool{
            key = {?MODULE, make_ref()},
            size = Size,
            workers = list_to_tuple(Workers),
            cells = atomics:new(?CELL(Size), [{signed, false}]),
            waiters = ets:new(?MODULE, [ordered_set, public, {write_concurrency, true}]),
            janitor = self()
        }
    }}.

handle_call(pool, _From, #janitor{pool = Pool} = State) ->
    {reply, Pool, State};
handle_call(enroll, {Pid, _}, #janitor{next = Number, owners = Owners} = State) ->
    Monitor = monitor(process, Pid),
    {reply, Number, State#janitor{next = Number + 1, owners = Owners#{Monitor => Number}}};
handle_call(owners, _From, #janitor{owners = Owners} = State) ->
    {reply, map_size(Owners), State}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({'DOWN', Monitor, process, _, _}, #janitor{pool = Pool, owners = Owners} = State) ->
    {Owner, Rest} = maps:take(Monitor, Owners),
    #pool{size = Size, cells = Cells, waiters = Waiters} = Pool,
    ok = free_all(Cells, Owner, Size - 1),
    %% Not the word: whoever ended may have just cleared it.
    case ets:first(Waiters) of
        '$end_of_table' ->
            ok;
        _ ->
            ok = atomics:put(Cells, ?WAITING, 1),
            ok = pass_on(Pool)
    end,
    {noreply, State#janitor{owners = Rest}}.

free_all(_, _, -1) ->
    ok;
free_all(Cells, Owner, Index) ->
    Cell = ?CELL(Index),
    _ = atomics:get(Cells, Cell) =:= Owner andalso atomics:compare_exchange(Cells, Cell, Owner, 0),
    free_all(Cells, Owner, Index - 1).
