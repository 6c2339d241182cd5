%% Properties of erlmcp_native_limiter: any sequence of calls answers as counting would. The limits are for
%% so long that nothing comes back while a test runs. Run by erlmcp_native_limiter_SUITE.
-module(prop_limiter).

-export([prop_limits_are_counted/0, prop_permits_are_counted/0, prop_options_are_taken_or_refused/0]).

-define(m, erlmcp_native_limiter).
%% Some thirty years.
-define(LONG, (1 bsl 40 - 1)).

-record(limit, {
    handle :: ?m:handle(),
    most :: pos_integer(),
    floors :: #{?m:priority() => non_neg_integer()},
    bypass :: none | high,
    violations :: pos_integer() | none
}).

%% Of a key of a limit: what was taken, how often it was refused, and whether it is shut out.
-record(key, {taken = 0 :: non_neg_integer(), refused = 0 :: non_neg_integer(), blocked = false :: boolean()}).

prop_limits_are_counted() ->
    for_all({proper_types:vector(3, limit()), proper_types:list(step())}, fun({Specs, Steps}) ->
        Limits = list_to_tuple([made(Spec) || Spec <- Specs]),
        Is = run(Steps, Limits, #{}),
        _ = [?m:delete(Limit#limit.handle) || Limit <- tuple_to_list(Limits)],
        Is
    end).

made({Algorithm, Most, High, Normal, Bypass, Violations}) ->
    Reserve = #{high => min(High, Most - 1), normal => min(Normal, Most - 1 - min(High, Most - 1))},
    #{high := H, normal := N} = Reserve,
    Block =
        case Violations of
            none -> none;
            _ -> #{violations => Violations, within => ?LONG, duration => ?LONG}
        end,
    Opts = #{
        algorithm => Algorithm, limit => Most, per => ?LONG, reserve => Reserve, bypass => Bypass, block => Block
    },
    #limit{
        handle = ?m:new(Opts),
        most = Most,
        floors = #{high => 0, normal => H, low => H + N},
        bypass = Bypass,
        violations = Violations
    }.

run([], _Limits, _Keys) ->
    true;
run([Step | Steps], Limits, Keys0) ->
    {Expected, Keys} = expected(Step, Limits, Keys0),
    case told(answer(Step, Limits)) of
        Expected ->
            run(Steps, Limits, Keys);
        Other ->
            io:format("~p~n~p~n~p instead of ~p~n", [Keys0, Step, Other, Expected]),
            false
    end.

%% How long it is until a retry is tested elsewhere.
told({error, rate_limited, infinity}) -> never;
told({error, rate_limited, RetryAfter}) when RetryAfter > 0 -> refused;
told(Answer) -> Answer.

answer({check, Nth, Key, Ask}, Limits) -> ?m:check(handle(Nth, Limits), Key, Ask);
answer({peek, Nth, Key, Ask}, Limits) -> ?m:peek(handle(Nth, Limits), Key, Ask);
answer({check_all, Parts, Ask}, Limits) -> ?m:check_all([{handle(N, Limits), K} || {N, K} <- Parts], Ask);
answer({reset, Nth, Key}, Limits) -> ?m:reset(handle(Nth, Limits), Key);
answer({unblock, Nth, Key}, Limits) -> ?m:unblock(handle(Nth, Limits), Key);
answer({is_blocked, Nth, Key}, Limits) -> ?m:is_blocked(handle(Nth, Limits), Key).

handle(Nth, Limits) -> (element(Nth, Limits))#limit.handle.

expected({check, Nth, Key, Ask}, Limits, Keys) ->
    expected({check_all, [{Nth, Key}], Ask}, Limits, Keys);
expected({peek, Nth, Key, Ask}, Limits, Keys) ->
    {Cost, Priority} = ask(Ask),
    Limit = element(Nth, Limits),
    case judged(Limit, key({Nth, Key}, Keys), Cost, Priority) of
        {ok, Left} -> {{ok, Left + Cost}, Keys};
        No -> {No, Keys}
    end;
expected({check_all, Parts, Ask}, Limits, Keys) ->
    {Cost, Priority} = ask(Ask),
    Costs = maps:map(
        fun(_, Times) -> Cost * length(Times) end,
        maps:groups_from_list(fun(Part) -> Part end, Parts)
    ),
    Judged = [
        {Part, C, judged(element(Nth, Limits), key(Part, Keys), C, Priority)}
     || {{Nth, _} = Part, C} <- maps:to_list(Costs)
    ],
    case [{Part, No} || {Part, _, No} <- Judged, is_atom(No)] of
        [] ->
            Taken = lists:foldl(
                fun({Part, C, _}, Acc) -> taken(Part, C, element(element(1, Part), Limits), Acc) end, Keys, Judged
            ),
            {{ok, lists:min([Left || {_, _, {ok, Left}} <- Judged])}, Taken};
        Refusing ->
            Refused = lists:foldl(
                fun({Part, _}, Acc) -> refused(Part, element(element(1, Part), Limits), Acc) end, Keys, Refusing
            ),
            {lists:min([No || {_, No} <- Refusing]), Refused}
    end;
expected({reset, Nth, Key}, _Limits, Keys) ->
    {ok, maps:remove({Nth, Key}, Keys)};
expected({unblock, Nth, Key}, _Limits, Keys) ->
    Known = key({Nth, Key}, Keys),
    {ok, Keys#{{Nth, Key} => Known#key{refused = 0, blocked = false}}};
expected({is_blocked, Nth, Key}, _Limits, Keys) ->
    {(key({Nth, Key}, Keys))#key.blocked, Keys}.

key(Part, Keys) -> maps:get(Part, Keys, #key{}).

ask(Ask) -> {maps:get(cost, Ask, 1), maps:get(priority, Ask, normal)}.

judged(#limit{most = Most, floors = Floors, bypass = Bypass}, Key, Cost, Priority) ->
    #key{taken = Taken, blocked = IsBlocked} = Key,
    #{Priority := Floor} = Floors,
    Open = Most - Floor,
    Bypasses = Bypass =:= Priority,
    if
        Cost > Open, not Bypasses -> never;
        IsBlocked -> refused;
        Taken + Cost > Open, not Bypasses -> refused;
        true -> {ok, max(0, Open - min(Most, Taken + Cost))}
    end.

taken(Part, Cost, #limit{most = Most}, Keys) ->
    #key{taken = Taken} = Key = key(Part, Keys),
    Keys#{Part => Key#key{taken = min(Most, Taken + Cost)}}.

refused(_Part, #limit{violations = none}, Keys) ->
    Keys;
refused(Part, #limit{violations = Violations}, Keys) ->
    case key(Part, Keys) of
        #key{blocked = true} ->
            Keys;
        #key{refused = Before} = Key ->
            Keys#{Part => Key#key{refused = Before + 1, blocked = Before + 1 >= Violations}}
    end.

%%% Permits

%% Processes, each with the permits that it has by its own count.
prop_permits_are_counted() ->
    Steps = proper_types:list(permit_step()),
    for_all({proper_types:integer(1, 4), Steps}, fun({Most, Given}) ->
        Limiter = ?m:new(#{algorithm => concurrency, limit => Most}),
        Workers = maps:from_list([{N, worker(Limiter)} || N <- lists:seq(1, 3)]),
        {Is, Left} = permits(Given, Limiter, Most, Workers, []),
        _ = [exit(Pid, kill) || Pid <- maps:values(Left)],
        ok = ?m:delete(Limiter),
        Is
    end).

worker(Limiter) -> spawn(fun() -> worker_loop(Limiter) end).

worker_loop(Limiter) ->
    receive
        {From, Key, Ask} ->
            From ! {self(), ?m:acquire(Limiter, Key, Ask)},
            worker_loop(Limiter)
    end.

permits([], Limiter, _Most, Workers, Held) ->
    #{allowed := Allowed} = ?m:info(Limiter),
    {Allowed >= length(Held), Workers};
permits([{acquire, Nth, Key, Cost} | Steps], Limiter, Most, Workers, Held) ->
    #{Nth := Pid} = Workers,
    Pid ! {self(), Key, #{cost => Cost}},
    Answer = receive {Pid, A} -> A end,
    InUse = lists:sum([C || {_, _, K, C} <- Held, K =:= Key]),
    case Answer of
        {ok, Permit} when InUse + Cost =< Most ->
            IsNew = not lists:keymember(Permit, 1, Held),
            {Is, Left} = permits(Steps, Limiter, Most, Workers, [{Permit, Pid, Key, Cost} | Held]),
            {IsNew andalso Is, Left};
        {error, rate_limited, infinity} when Cost > Most ->
            permits(Steps, Limiter, Most, Workers, Held);
        {error, rate_limited, 0} when InUse + Cost > Most, Cost =< Most ->
            permits(Steps, Limiter, Most, Workers, Held);
        _ ->
            io:format("~p with ~p in use~n", [Answer, InUse]),
            {false, Workers}
    end;
permits([{release, Nth} | Steps], Limiter, Most, Workers, Held) ->
    case lists:nthtail(min(Nth, length(Held)), Held) of
        [{Permit, _, _, _} = One | _] ->
            %% Twice is as once.
            ok = ?m:release(Limiter, Permit),
            ok = ?m:release(Limiter, Permit),
            permits(Steps, Limiter, Most, Workers, Held -- [One]);
        [] ->
            permits(Steps, Limiter, Most, Workers, Held)
    end;
permits([{kill, Nth} | Steps], Limiter, Most, Workers, Held) ->
    #{Nth := Pid} = Workers,
    Left = [One || {_, P, _, _} = One <- Held, P =/= Pid],
    exit(Pid, kill),
    %% Given back soon after it has ended.
    wait_until(fun() -> in_use(Limiter, Most) =:= [total(Left, Key) || Key <- [a, b]] end),
    permits(Steps, Limiter, Most, Workers#{Nth := worker(Limiter)}, Left).

total(Held, Key) -> lists:sum([C || {_, _, K, C} <- Held, K =:= Key]).

in_use(Limiter, Most) ->
    [
        case ?m:peek(Limiter, Key) of
            {ok, Available} -> Most - Available;
            {error, rate_limited, 0} -> Most
        end
     || Key <- [a, b]
    ].

wait_until(Is) ->
    case Is() of
        true ->
            ok;
        false ->
            timer:sleep(1),
            wait_until(Is)
    end.

permit_step() ->
    proper_types:frequency([
        {6, {acquire, proper_types:integer(1, 3), proper_types:elements([a, b]), proper_types:integer(1, 3)}},
        {3, {release, proper_types:integer(0, 5)}},
        {1, {kill, proper_types:integer(1, 3)}}
    ]).

%%% Generators

limit() ->
    {
        proper_types:elements([token_bucket, leaky_bucket, sliding_window]),
        proper_types:oneof([proper_types:integer(1, 6), proper_types:integer(14, 20)]),
        proper_types:integer(0, 2),
        proper_types:integer(0, 2),
        proper_types:elements([none, none, high]),
        proper_types:oneof([none, proper_types:integer(1, 4)])
    }.

step() ->
    Nth = proper_types:integer(1, 3),
    proper_types:frequency([
        {10, {check, Nth, key(), ask()}},
        {4, {peek, Nth, key(), ask()}},
        {8, {check_all, proper_types:non_empty(parts(Nth)), ask()}},
        {1, {reset, Nth, key()}},
        {1, {unblock, Nth, key()}},
        {2, {is_blocked, Nth, key()}}
    ]).

parts(Nth) ->
    proper_types:bind(proper_types:list({Nth, key()}), fun(List) -> lists:sublist(List, 16) end, false).

%% Of each form.
key() -> proper_types:elements([a, <<"a">>, {a, "b"}, fun lists:map/2]).

ask() ->
    proper_types:elements([
        maps:merge(Cost, Priority)
     || Cost <- [#{}, #{}, #{cost => 2}, #{cost => 5}],
        Priority <- [#{}, #{}, #{priority => high}, #{priority => low}]
    ]).

%% new/1 answers or raises badarg, whatever it is given.
prop_options_are_taken_or_refused() ->
    Key = proper_types:oneof([
        proper_types:elements([limit, per, burst, algorithm, max_keys, block, reserve, bypass, name, owner]),
        proper_types:term()
    ]),
    Value = proper_types:oneof([
        proper_types:term(),
        proper_types:elements([
            1, 1_000_000_000, sliding_window, concurrency, none, #{high => 0.5},
            #{violations => 1, within => 1, duration => 1}
        ])
    ]),
    for_all(proper_types:list({Key, Value}), fun(Pairs) ->
        try ?m:new(maps:merge(#{limit => 3}, maps:from_list(Pairs))) of
            Limiter ->
                ok = ?m:delete(Limiter),
                true
        catch
            error:badarg -> true
        end
    end).

for_all(Type, Property) ->
    proper:forall(Type, fun(Instance) ->
        try
            Property(Instance)
        catch
            Class:Reason:Stack ->
                io:format("~p:~p~n~p~n", [Class, Reason, Stack]),
                false
        end
    end).
