-module(prop_pool).
%% A native pool and a model of it: any sequence of calls by processes that come, wait and are killed
%% answers as the model does, and calls beside each other as in some order of them. Run by
%% erlmcp_native_pool_model_SUITE; the environment variable ERLMCP_NUMTESTS says how many cases.

-export([prop_answers_as_the_model/0, prop_parallel_calls_have_an_order/0]).
%% proper_statem
-export([initial_state/0, command/1, precondition/2, postcondition/3, next_state/3]).
%% Commands
-export([run/2]).

-define(POOL, prop_pool).
-define(KEEPER, prop_pool_keeper).
-define(CELLS, prop_pool_cells).
-define(NIF, erlmcp_native_nif).
-define(CLIENTS, [1, 2, 3, 4]).
%% For what is certain to come.
-define(LONG, 20_000).

-record(worker, {
    state = up :: up | away,
    is_retiring = false :: boolean(),
    in_use = false :: boolean(),
    uses = 0 :: non_neg_integer(),
    most = infinity :: pos_integer() | infinity
}).

-record(model, {
    is_parallel = false :: boolean(),
    %% Whether workers are handed over in order, or are for whoever comes first.
    is_strict = true :: boolean(),
    resets = true :: boolean(),
    most_wait = 3 :: non_neg_integer(),
    max = 3 :: non_neg_integer(),
    mode = open :: open | suspended | draining,
    is_growing = false :: boolean(),
    %% Those who found no worker and would not wait.
    missed = 0 :: non_neg_integer(),
    is_told = false :: boolean(),
    workers = #{} :: #{pos_integer() => #worker{}},
    %% Those that may be given out, the next one first.
    ready = [] :: [pos_integer()],
    made = 0 :: non_neg_integer(),
    %% Of each client its leases, the latest first: of a worker that it has, or the one by which it waits.
    leases = #{} :: #{pos_integer() => [{held, pos_integer()} | waits]},
    %% How far those who wait have come. The number is that of their turn.
    waits = #{} :: #{pos_integer() => {0..3, pos_integer(), queued | woken | {granted, pos_integer()}}},
    turns = 0 :: non_neg_integer(),
    owners = [] :: [pos_integer()],
    returned = [] :: [pos_integer()],
    %% Told to the pool's manager and the workers' keeper in this step.
    events = [] :: [term()]
}).

prop_answers_as_the_model() ->
    Long = fun(Model) -> proper_statem:more_commands(2, proper_statem:commands(?MODULE, Model)) end,
    for_all(options(), Long, fun(Model, Commands) ->
        in_pool(Model, fun() ->
            {History, State, Result} = proper_statem:run_commands(?MODULE, Commands),
            Result =:= ok andalso is_as(State) orelse
                begin
                    io:format("~p~n~p~n~p~n", [lists:last([none | History]), State, Result]),
                    false
                end
        end)
    end).

prop_parallel_calls_have_an_order() ->
    Commands = fun(Model) ->
        proper_statem:parallel_commands(?MODULE, Model#model{is_parallel = true})
    end,
    for_all(options(), Commands, fun(Model, Test) ->
        in_pool(Model, fun() ->
            {_, _, Result} = proper_statem:run_parallel_commands(?MODULE, Test),
            Result =:= ok
        end)
    end).

options() ->
    proper_types:bind(
        {proper_types:boolean(), proper_types:boolean(), proper_types:elements([0, 1, 3])},
        fun({IsStrict, Resets, MostWait}) ->
            proper_types:exactly(#model{
                is_strict = IsStrict, resets = Resets, most_wait = MostWait
            })
        end,
        false
    ).

%%% The machine

initial_state() -> #model{}.

command(#model{is_parallel = IsParallel, made = Made, waits = Waits} = Model) ->
    Told = [Client || {Client, {_, _, State}} <- maps:to_list(Waits), State =/= queued],
    Worker = proper_types:integer(1, max(1, Made)),
    Client = proper_types:elements(?CLIENTS),
    How = proper_types:frequency([{3, ok}, {1, broken}, {1, reset}]),
    Commands = [
        {8, {checkout, Client}},
        {6, {wait, Client, proper_types:elements([0, 1, 1, 3])}},
        {5, {claim, Client}},
        {3, {cancel, Client}},
        {1, {wait_no_time, Client}},
        {8, {checkin, Client, How}},
        {3, {kill, Client}},
        {4, {add, proper_types:elements([infinity, infinity, 1, 2])}},
        {1, {remove, Worker}},
        {1, {retire, Worker}},
        {2, {take, Worker}},
        {4, {ready, Worker}},
        {2, {mode, proper_types:elements([open, open, suspended, draining])}},
        {1, {resize, proper_types:integer(0, 4)}}
        %% When it matters most.
        | [{4, {kill, proper_types:elements(Told)}} || Told =/= []]
    ],
    Alone = [{2, {checkin_again, Client}}, {1, demand}, {4, status}],
    proper_types:bind(
        proper_types:frequency(case IsParallel of true -> Commands; false -> Alone ++ Commands end),
        fun(Command) -> {call, ?MODULE, run, [Command, expected(Command, Model)]} end,
        false
    ).

%% What a command needs to know to tell when all is over.
expected(_, #model{is_parallel = true}) -> parallel;
expected(Command, Model) ->
    {Answer, #model{events = Events, owners = Owners}} = step(Command, Model),
    {length(Events), length(Owners), Answer =/= no_message}.

precondition(Model, {call, _, run, [Command, Expected]}) ->
    Expected =:= expected(Command, Model).

%% A message may be on its way.
postcondition(#model{is_parallel = true}, {call, _, run, [{claim, _}, _]}, {no_message, _}) ->
    true;
postcondition(#model{is_parallel = true} = Model, {call, _, run, [Command, _]}, {Answer, _}) ->
    {Right, _} = step(Command, Model),
    Right =:= Answer;
postcondition(Model, {call, _, run, [Command, _]}, Result) ->
    {Right, #model{events = Events}} = step(Command, Model),
    {Right, lists:sort(Events)} =:= Result.

next_state(#model{is_parallel = true} = Model, {no_message, _}, {call, _, run, [{claim, _}, _]}) ->
    Model;
next_state(Model, _, {call, _, run, [Command, _]}) ->
    {_, Next} = step(Command, Model),
    Next.

step(Command, Model) -> answer(Command, Model#model{events = []}).

%% In parallel a client has one lease at most.
answer({Name, Client}, #model{is_parallel = true, leases = Leases} = Model) when
    Name =:= checkout orelse Name =:= wait_no_time, is_map_key(Client, Leases)
->
    {has_one, Model};
answer({wait, Client, _}, #model{is_parallel = true, leases = Leases} = Model) when
    is_map_key(Client, Leases)
->
    {has_one, Model};
answer({Name, Client}, #model{waits = Waits} = Model) when
    is_map_key(Client, Waits), Name =:= wait_no_time
->
    {waits, Model};
answer({wait, Client, _}, #model{waits = Waits} = Model) when is_map_key(Client, Waits) ->
    {waits, Model};
answer({checkout, Client}, Model) ->
    case asked(Model) of
        {ok, Worker} -> {{ok, Worker}, got(Client, Worker, entered(Client, Model))};
        Answer -> {Answer, Model}
    end;
answer({wait, Client, Priority}, Model) ->
    case asked(Model) of
        wait ->
            #model{leases = Leases, waits = Waits, turns = Turns} = Entered = entered(Client, Model),
            Queued = Entered#model{
                turns = Turns + 1,
                leases = Leases#{Client => [waits | maps:get(Client, Leases, [])]},
                waits = Waits#{Client => {Priority, Turns + 1, queued}}
            },
            {waiting, serve(grow(Queued))};
        _ ->
            answer({checkout, Client}, Model)
    end;
answer({wait_no_time, Client}, Model) ->
    case asked(Model) of
        wait -> {timeout, grow(Model#model{missed = Model#model.missed + 1})};
        _ -> answer({checkout, Client}, Model)
    end;
answer({Name, Client}, #model{waits = Waits} = Model) when Name =:= claim; Name =:= cancel ->
    case Waits of
        #{Client := {_, _, queued}} when Name =:= claim -> {no_message, Model};
        #{Client := {_, _, queued}} -> {timeout, settle_down(serve(given_up(Client, Model)))};
        #{Client := Wait} -> told(Client, Wait, Name =:= claim, Model);
        #{} -> {nothing, Model}
    end;
answer({checkin, Client, How}, #model{leases = Leases, resets = Resets} = Model) ->
    case [Lease || {held, _} = Lease <- maps:get(Client, Leases, [])] of
        [] ->
            {nothing, Model};
        Held ->
            {held, Worker} = lists:min(Held),
            #model{returned = Returned} = Without = without_lease(Client, {held, Worker}, Model),
            Why = [How || How =:= broken orelse How =:= reset andalso Resets],
            Back = Without#model{returned = [Client | lists:delete(Client, Returned)]},
            {ok, end_use(Worker, Why, Back)}
    end;
answer({checkin_again, Client}, #model{returned = Returned} = Model) ->
    {case lists:member(Client, Returned) of true -> stale; false -> nothing end, Model};
answer({kill, Client}, #model{leases = Leases} = Model) ->
    Dead = lists:foldl(
        fun(Lease, M) -> taken_back(Client, Lease, M) end, Model, maps:get(Client, Leases, [])
    ),
    #model{owners = Owners, returned = Returned} = Dead,
    Left = Dead#model{
        owners = lists:delete(Client, Owners), returned = lists:delete(Client, Returned)
    },
    {ok, case lists:member(Client, Owners) of true -> settle_down(Left); false -> Left end};
answer({add, _}, #model{workers = Workers, max = Max} = Model) when map_size(Workers) >= Max ->
    {full, Model};
answer({add, Most}, #model{workers = Workers, made = Made, ready = Ready} = Model) ->
    {Made + 1,
        serve(Model#model{
            made = Made + 1,
            workers = Workers#{Made + 1 => #worker{most = Most}},
            ready = Ready ++ [Made + 1]
        })};
answer({Name, Number}, #model{workers = Workers} = Model) when
    Name =:= remove; Name =:= retire; Name =:= take; Name =:= ready
->
    case Workers of
        #{Number := Worker} -> managed(Name, Number, Worker, Model);
        #{} -> {gone, Model}
    end;
answer({mode, Mode}, Model) ->
    {ok, settle_down(serve(Model#model{mode = Mode, is_told = false}))};
answer({resize, Max}, Model) ->
    {ok, resized(Model#model{max = Max, is_growing = false})};
answer(demand, #model{missed = Missed, ready = Ready} = Model) ->
    Wanted = waiting(Model) + Missed - length(Ready),
    {max(0, Wanted), Model#model{is_growing = false, missed = 0}};
answer(status, #model{workers = Workers, mode = Mode, owners = Owners} = Model) ->
    All = maps:values(Workers),
    Status = #{
        mode => Mode,
        workers => map_size(Workers),
        idle => length([it || #worker{state = up, in_use = false} <- All]),
        away => length([it || #worker{state = away} <- All]),
        in_use => length([it || #worker{in_use = true} <- All]),
        waiting => waiting(Model),
        owners => length(Owners)
    },
    {Status, Model}.

managed(remove, Number, _, Model) ->
    {ok, removed(Number, Model)};
managed(retire, Number, #worker{in_use = true} = Worker, Model) ->
    {retiring, put_worker(Number, Worker#worker{is_retiring = true}, Model)};
managed(retire, Number, _, Model) ->
    {removed, removed(Number, Model)};
managed(take, Number, #worker{state = up, in_use = false} = Worker, #model{waits = Waits} = Model) ->
    case [it || {_, _, State} <- maps:values(Waits), State =:= queued orelse State =:= woken] of
        [] -> {ok, put_worker(Number, Worker#worker{state = away}, Model)};
        _ -> {busy, Model}
    end;
managed(take, _, _, Model) ->
    {busy, Model};
managed(ready, Number, #worker{state = away} = Worker, Model) ->
    Up = put_worker(Number, Worker#worker{state = up}, Model),
    {ok, serve(retire_if_due(Number, Up))};
managed(ready, _, _, Model) ->
    {ok, Model}.

removed(Number, #model{workers = Workers, ready = Ready} = Model) ->
    Less = Model#model{
        workers = maps:remove(Number, Workers), ready = lists:delete(Number, Ready)
    },
    settle_down(serve(resized(Less))).

entered(Client, #model{owners = Owners} = Model) ->
    Model#model{owners = [Client | lists:delete(Client, Owners)]}.

waiting(#model{waits = Waits}) ->
    length([it || {_, _, State} <- maps:values(Waits), State =:= queued orelse State =:= woken]).

queued(#model{waits = Waits}) ->
    lists:sort([{Priority, Turn, Client} || {Client, {Priority, Turn, queued}} <- maps:to_list(Waits)]).

woken(#model{waits = Waits}) -> length([it || {_, _, woken} <- maps:values(Waits)]).

%% What somebody who comes now is told.
asked(#model{mode = draining}) -> closed;
asked(#model{mode = open, ready = [Worker | _], is_strict = IsStrict} = Model) ->
    case IsStrict andalso queued(Model) =/= [] of
        true -> wait_if_there_is_room(Model);
        false -> {ok, Worker}
    end;
asked(Model) -> wait_if_there_is_room(Model).

wait_if_there_is_room(#model{most_wait = Most} = Model) ->
    case waiting(Model) >= Most of
        true -> overloaded;
        false -> wait
    end.

grow(#model{is_growing = false, workers = Workers, max = Max, events = Events} = Model) when
    map_size(Workers) < Max
->
    Model#model{is_growing = true, events = [grow | Events]};
grow(Model) ->
    Model.

%% There are fewer, or may be more: those who wait want to know.
resized(Model) ->
    case waiting(Model) of
        0 -> Model;
        _ -> grow(Model)
    end.

%% Takes the next worker.
take(#model{ready = [Number | _], workers = Workers} = Model) ->
    #{Number := #worker{uses = Uses} = Worker} = Workers,
    {Number, put_worker(Number, Worker#worker{in_use = true, uses = Uses + 1}, Model)}.

got(Client, Number, #model{leases = Leases} = Model) ->
    {Number, #model{} = Taken} = take(Model),
    Taken#model{leases = Leases#{Client => [{held, Number} | maps:get(Client, Leases, [])]}}.

%% Keeps those in order that may be given out.
put_worker(Number, Worker, #model{workers = Workers, ready = Ready} = Model) ->
    #worker{state = State, is_retiring = IsRetiring, in_use = InUse, uses = Uses, most = Most} = Worker,
    HasRoom = State =:= up andalso not IsRetiring andalso not InUse andalso Uses < Most,
    Now =
        case {lists:member(Number, Ready), HasRoom} of
            {false, true} -> Ready ++ [Number];
            {true, false} -> lists:delete(Number, Ready);
            _ -> Ready
        end,
    Model#model{workers = Workers#{Number => Worker}, ready = Now}.

retire_if_due(Number, #model{workers = Workers, events = Events} = Model) ->
    case Workers of
        #{Number := #worker{state = up, in_use = false, is_retiring = Is, uses = Uses, most = Most} = Worker} when
            Is orelse Uses >= Most
        ->
            Away = put_worker(Number, Worker#worker{state = away}, Model),
            Away#model{events = [{retire, Number} | Events]};
        #{} ->
            Model
    end.

%% `Why' is why it goes to its keeper, if it does.
end_use(Number, Why, #model{workers = Workers, events = Events} = Model) ->
    case Workers of
        #{Number := Worker} when Why =:= [] ->
            Free = put_worker(Number, Worker#worker{in_use = false}, Model),
            settle_down(serve(retire_if_due(Number, Free)));
        #{Number := Worker} ->
            Away = put_worker(Number, Worker#worker{in_use = false, state = away}, Model),
            settle_down(serve(Away#model{events = [{hd(Why), Number} | Events]}));
        #{} ->
            settle_down(Model)
    end.

undo_use(Number, #model{workers = Workers} = Model) ->
    case Workers of
        #{Number := #worker{uses = Uses} = Worker} ->
            Undone = put_worker(Number, Worker#worker{in_use = false, uses = Uses - 1}, Model),
            retire_if_due(Number, Undone);
        #{} ->
            Model
    end.

serve(#model{mode = suspended} = Model) ->
    Model;
serve(#model{ready = Ready, is_strict = IsStrict, waits = Waits} = Model) ->
    case length(Ready) > woken(Model) andalso queued(Model) of
        [{Priority, Turn, Client} | _] when IsStrict ->
            {Number, #model{} = Taken} = take(Model),
            serve(Taken#model{waits = Waits#{Client := {Priority, Turn, {granted, Number}}}});
        [{Priority, Turn, Client} | _] ->
            serve(Model#model{waits = Waits#{Client := {Priority, Turn, woken}}});
        _ ->
            Model
    end.

told(Client, {_, _, State}, GoesOn, #model{mode = Mode, ready = Ready, workers = Workers} = Model) ->
    Got =
        case State of
            {granted, Number} when is_map_key(Number, Workers) -> [{Number, Model}];
            {granted, _} -> [];
            woken when Mode =/= suspended, Ready =/= [] -> [take(Model)];
            woken -> []
        end,
    {Answer, Next} =
        case Got of
            [{Worker, Taken}] -> {{ok, Worker}, settled(Client, Worker, Taken)};
            [] when GoesOn -> {wait, again(Client, Model)};
            [] -> {timeout, given_up(Client, Model)}
        end,
    {Answer, settle_down(serve(Next))}.

settled(Client, Number, #model{leases = Leases, waits = Waits} = Model) ->
    #{Client := Own} = Leases,
    Held = [case Lease of waits -> {held, Number}; _ -> Lease end || Lease <- Own],
    Model#model{leases = Leases#{Client := Held}, waits = maps:remove(Client, Waits)}.

again(Client, #model{waits = Waits} = Model) ->
    #{Client := {Priority, Turn, _}} = Waits,
    Model#model{waits = Waits#{Client := {Priority, Turn, queued}}}.

given_up(Client, #model{waits = Waits} = Model) ->
    without_lease(Client, waits, Model#model{waits = maps:remove(Client, Waits)}).

without_lease(Client, Lease, #model{leases = Leases} = Model) ->
    #{Client := Own} = Leases,
    case lists:delete(Lease, Own) of
        [] -> Model#model{leases = maps:remove(Client, Leases)};
        Left -> Model#model{leases = Leases#{Client := Left}}
    end.

taken_back(Client, {held, Number} = Lease, #model{resets = Resets} = Model) ->
    end_use(Number, [reset || Resets], without_lease(Client, Lease, Model));
taken_back(Client, waits, #model{waits = Waits} = Model) ->
    #{Client := {_, _, State}} = Waits,
    Left = given_up(Client, Model),
    case State of
        {granted, Number} -> serve(undo_use(Number, Left));
        _ -> serve(Left)
    end.

settle_down(#model{mode = draining, is_told = false, waits = Waits, workers = Workers} = Model) when
    map_size(Waits) =:= 0
->
    #model{events = Events} = Model,
    case [it || #worker{in_use = true} <- maps:values(Workers)] of
        [] -> Model#model{is_told = true, events = [drained | Events]};
        _ -> Model
    end;
settle_down(Model) ->
    Model.

%%% The pool, its clients and its keeper

%% Answers with what the manager and the keepers were told.
run(Command, parallel) ->
    {do(Command, parallel), []};
run(Command, {Events, Owners, IsTold}) ->
    Answer = do(Command, {alone, IsTold}),
    case Command of
        {kill, _} -> until(fun() -> maps:get(owners, ?NIF:pool_status(?POOL)) =:= Owners end);
        _ -> ok
    end,
    {Answer, lists:sort(ask(?KEEPER, {events, Events}))}.

do({add, Most}, _) ->
    %% Numbered in the order in which they come to the pool.
    ask(?KEEPER, {add, Most});
do({Name, Number}, _) when Name =:= remove; Name =:= retire; Name =:= take; Name =:= ready ->
    %% Somebody may be about to add it.
    until(fun() -> not ets:member(?CELLS, {adding, Number}) end),
    case ets:lookup(?CELLS, Number) of
        [{_, Cell}] ->
            case Name of
                remove -> ?NIF:pool_remove(?POOL, Cell);
                retire -> ?NIF:pool_retire(?POOL, Cell);
                take -> ?NIF:pool_take(?POOL, Cell);
                ready -> ?NIF:pool_ready(?POOL, Cell)
            end;
        [] ->
            gone
    end;
do({mode, Mode}, _) ->
    ?NIF:pool_mode(?POOL, Mode);
do({resize, Max}, _) ->
    ?NIF:pool_resize(?POOL, Max);
do(demand, _) ->
    ?NIF:pool_demand(?POOL);
do(status, _) ->
    Keys = [mode, workers, idle, away, in_use, waiting, owners],
    maps:with(Keys, ?NIF:pool_status(?POOL));
do(Command, Mode) ->
    ask(place(element(2, Command)), {Command, Mode}).

place(Client) -> element(Client, {prop_pool_1, prop_pool_2, prop_pool_3, prop_pool_4}).

%% A place is where a client is, or the next one after it was killed. One command at a time.
places(Client) ->
    receive
        {From, Ref, {{kill, _}, Mode}} ->
            {Held, Waits} = ask(Client, leases),
            Monitor = monitor(process, Client),
            exit(Client, kill),
            receive {'DOWN', Monitor, _, _, _} -> ok end,
            Mode =:= parallel andalso until_taken_back(Client, Held, Waits),
            From ! {Ref, ok},
            places(spawn_client());
        {From, Ref, {Command, Mode}} ->
            From ! {Ref, ask(Client, {Command, Mode})},
            places(Client);
        {From, Ref, mailbox} ->
            From ! {Ref, ask(Client, mailbox)},
            places(Client)
    end.

until_taken_back(Client, Held, Waits) ->
    until(fun() -> not (Held andalso lists:keymember(Client, 2, ?NIF:pool_leases(?POOL, 0, 100))) end),
    %% Mostly that is over by now; if it is not, whoever gives up in its stead does not hurt.
    [receive after 3 -> ok end || _ <- Waits],
    [until(fun() -> ?NIF:pool_cancel(?POOL, Lease) =/= woken end) || Lease <- Waits].

spawn_client() ->
    spawn(fun() -> client(#{held => [], waits => none, last => none}) end).

client(#{held := Held, waits := Waits} = State) ->
    receive
        {From, Ref, leases} ->
            From ! {Ref, {Held =/= [], [Lease || {Lease, _} <- [Waits]]}},
            client(State);
        {From, Ref, mailbox} ->
            {message_queue_len, Count} = process_info(self(), message_queue_len),
            From ! {Ref, {Count, Waits =/= none}},
            client(State);
        {From, Ref, {Command, Mode}} ->
            {Answer, Next} = client(Command, Mode, State),
            From ! {Ref, Answer},
            client(Next)
    end.

client({Name, _}, parallel, #{held := Held, waits := Waits} = State) when
    Name =:= checkout orelse Name =:= wait_no_time, Held =/= [] orelse Waits =/= none
->
    {has_one, State};
client({wait, _, _}, parallel, #{held := Held, waits := Waits} = State) when
    Held =/= []; Waits =/= none
->
    {has_one, State};
client({wait, _, _}, _, #{waits := {_, _}} = State) ->
    {waits, State};
client({wait_no_time, _}, _, #{waits := {_, _}} = State) ->
    {waits, State};
client({checkout, _}, _, State) ->
    answered(?NIF:pool_checkout(?POOL, 1, 0), State);
client({wait, _, Priority}, _, State) ->
    Ref = make_ref(),
    case ?NIF:pool_wait(?POOL, Priority, 0, Ref, infinity) of
        {wait, Lease, infinity, _} -> {waiting, State#{waits := {Lease, Ref}}};
        Answer -> answered(Answer, State)
    end;
client({wait_no_time, _}, _, State) ->
    answered(?NIF:pool_wait(?POOL, 1, none, make_ref(), 0), State);
client({claim, _}, Mode, #{waits := {Lease, Ref}} = State) ->
    %% After a death what was told may be on its way.
    Longest = case Mode of {alone, true} -> ?LONG; _ -> 0 end,
    receive Ref -> claimed(?NIF:pool_claim(?POOL, Lease, Ref), State)
    after Longest -> {no_message, State}
    end;
client({cancel, _}, _, #{waits := {Lease, Ref}} = State) ->
    case ?NIF:pool_cancel(?POOL, Lease) of
        woken ->
            receive Ref -> claimed(?NIF:pool_claim(?POOL, Lease, none), State)
            after ?LONG -> {no_message, State}
            end;
        Answer ->
            claimed(Answer, State)
    end;
client({checkin, _, How}, _, #{held := [_ | _] = Held} = State) ->
    {_, Lease} = First = lists:min(Held),
    Back = State#{held := lists:delete(First, Held), last := Lease},
    {?NIF:pool_checkin(?POOL, Lease, How), Back};
client({checkin_again, _}, _, #{last := Lease} = State) when Lease =/= none ->
    {?NIF:pool_checkin(?POOL, Lease, ok), State};
client(_, _, State) ->
    {nothing, State}.

answered({ok, Worker, Lease}, #{held := Held} = State) ->
    {{ok, Worker}, State#{held := [{Worker, Lease} | Held]}};
answered(Answer, State) ->
    {Answer, State}.

%% What ends the wait, or not.
claimed(wait, State) -> {wait, State};
claimed(Answer, State) -> answered(Answer, State#{waits := none}).

%% The pool's manager and the workers' keeper.
keeper(Made, Events) ->
    receive
        {From, Ref, {add, Most}} ->
            ets:insert(?CELLS, {{adding, Made + 1}}),
            case ?NIF:pool_add(?POOL, Made + 1, self(), Most) of
                full ->
                    ets:delete(?CELLS, {adding, Made + 1}),
                    From ! {Ref, full},
                    keeper(Made, Events);
                Cell ->
                    ets:insert(?CELLS, [{Made + 1, Cell}, {{cell, Cell}, Made + 1}]),
                    ets:delete(?CELLS, {adding, Made + 1}),
                    From ! {Ref, Made + 1},
                    keeper(Made + 1, Events)
            end;
        {From, Ref, {events, Count}} when length(Events) >= Count ->
            self() ! {drain, From, Ref},
            keeper(Made, Events);
        {drain, From, Ref} ->
            From ! {Ref, Events},
            keeper(Made, []);
        {erlmcp_native_pool, What} ->
            keeper(Made, [What | Events]);
        {erlmcp_native_pool, Cell, Why} ->
            keeper(Made, [{Why, ets:lookup_element(?CELLS, {cell, Cell}, 2)} | Events])
    end.

ask(Process, What) ->
    Ref = make_ref(),
    Process ! {self(), Ref, What},
    receive {Ref, Answer} -> Answer
    after 2 * ?LONG -> error({no_answer, Process, What})
    end.

until(Is) -> until(Is, ?LONG).
until(Is, Left) when Left > 0 ->
    Is() orelse
        begin
            receive after 1 -> ok end,
            until(Is, Left - 1)
        end;
until(Is, _) ->
    error({never, Is}).

%%% Running

%% The pool is as the model, and who was told something has been told once.
is_as(#model{waits = Waits} = Model) ->
    {Status, _} = answer(status, Model),
    Told = fun(Client) ->
        case Waits of
            #{Client := {_, _, State}} when State =/= queued -> {1, true};
            #{Client := _} -> {0, true};
            #{} -> {0, false}
        end
    end,
    Is = {do(status, alone), [ask(place(Client), mailbox) || Client <- ?CLIENTS]},
    Is =:= {Status, lists:map(Told, ?CLIENTS)} orelse
        begin
            io:format("at the end: ~p~n", [Is]),
            false
        end.

%% Whatever was done: when all clients have ended nobody has a worker, and nobody waits.
is_at_rest() ->
    Mailboxes = [ask(place(Client), mailbox) || Client <- ?CLIENTS],
    [ok = ask(place(Client), {{kill, Client}, alone}) || Client <- ?CLIENTS],
    until(fun() -> maps:get(owners, ?NIF:pool_status(?POOL)) =:= 0 end),
    #{workers := All, idle := Idle, away := Away} = Status = ?NIF:pool_status(?POOL),
    IsRight = fun({Count, Waits}) -> Count =:= 0 orelse Waits andalso Count =:= 1 end,
    lists:all(IsRight, Mailboxes) andalso Idle + Away =:= All andalso
        maps:with([in_use, waiting], Status) =:= #{in_use => 0, waiting => 0} andalso
        ?NIF:pool_leases(?POOL, 0, 100) =:= [].

in_pool(#model{} = Model, Fun) ->
    ?CELLS = ets:new(?CELLS, [named_table, public]),
    Keeper = spawn_link(fun() -> keeper(0, []) end),
    true = register(?KEEPER, Keeper),
    Pool = ?NIF:pool_new(?POOL, Keeper, config(Model)),
    true = is_integer(Pool),
    Places = [spawn_link(fun() -> places(spawn_client()) end) || _ <- ?CLIENTS],
    [true = register(place(Client), Place) || {Client, Place} <- lists:zip(?CLIENTS, Places)],
    try
        Fun() andalso is_at_rest()
    after
        true = ?NIF:pool_delete(?POOL),
        [stop(Process) || Process <- [Keeper | Places]],
        ets:delete(?CELLS)
    end.

stop(Process) ->
    unlink(Process),
    Monitor = monitor(process, Process),
    exit(Process, kill),
    receive {'DOWN', Monitor, _, _, _} -> ok end.

config(#model{is_strict = IsStrict, resets = Resets, most_wait = MostWait, max = Max}) ->
    erlmcp_native_test_pool_nif:config(#{
        max => Max,
        queue => MostWait,
        reset => Resets,
        %% None of them waits for longer.
        barging => if IsStrict -> 0; true -> 3_600_000 end
    }).

for_all(Options, Commands, Property) ->
    Cases = proper_types:bind(Options, fun(Model) -> {proper_types:exactly(Model), Commands(Model)} end, false),
    proper:forall(Cases, fun({Model, Test}) ->
        try
            Property(Model, Test)
        catch
            Class:Reason:Stack ->
                io:format("~p:~p~n~p~n", [Class, Reason, Stack]),
                false
        end
    end).
