%% Rate limits: one key that everybody asks for, a million keys, and whether N admit N.
-module(erlmcp_bench_limiters).
-behaviour(erlmcp_bench_suite).

-export([cases/0, targets/0, subjects/0, admitted/3, all/0]).
-export_type([subject/0]).

-define(MILLION, 1_000_000).
%% So much that nobody is refused.
-define(PLENTY, #{limit => 1_000_000_000, per => 1000, burst => 1_000_000_000}).
%% So many, and no more for a quarter of an hour.
-define(ONCE(Burst), #{limit => 1, per => 1_000_000, burst => Burst}).
%% Checks of a call over many keys.
-define(CHECKS, 1024).
-define(HOT, <<"client-1">>).

%% So much in so many milliseconds, and so much at once.
-type limit() :: #{limit := pos_integer(), per := pos_integer(), burst := pos_integer()}.
-type subject() :: #{
    name := atom(),
    role := measured | baseline | peer | variant,
    version := binary(),
    new := fun((limit(), Keys :: pos_integer()) -> term()),
    check := fun((term(), Key :: term()) -> {ok, non_neg_integer()} | {error, rate_limited, number()}),
    %% So many of the million in a loop of its own, from that one on.
    check_many := fun((term(), non_neg_integer(), non_neg_integer()) -> ok),
    drop := fun((term()) -> term())
}.

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    hot() ++ refused() ++ many() ++ together() ++ exact().

all_modes() -> [quick, standard, full].

bench_case(Group, Id, Modes, Case) ->
    maps:merge(#{group => Group, id => Id, set => limiter, bytes => 0, modes => Modes}, Case).

opened(#{name := Name, role := Role, new := New, drop := Drop} = Subject, {Limit, Keys}, Calls) ->
    #{
        name => Name,
        role => Role,
        normal => fun
            ({ok, _}) -> ok;
            ({error, rate_limited, _}) -> refused;
            (Other) -> Other
        end,
        open => fun() ->
            Limiter = New(Limit, Keys),
            #{calls => Calls(Subject, Limiter), close => fun() -> Drop(Limiter) end}
        end
    }.

hot() ->
    [
        bench_case(limiter_check, Id, Modes, #{
            expected => ok,
            subjects => [
                opened(Subject, {?PLENTY, 1000}, fun(#{check := Check}, Limiter) ->
                    [fun() -> Check(Limiter, ?HOT) end || _ <- lists:seq(1, Processes)]
                end)
             || Subject <- all()
            ]
        })
     || {Id, Modes, Processes} <- [{hot_key, all_modes(), 1}, {hot_key_by_16, all_modes(), 16}]
    ].

refused() ->
    [
        bench_case(limiter_check, refused, [quick, full], #{
            expected => refused,
            subjects => [
                opened(Subject, {?ONCE(1), 1000}, fun(#{check := Check}, Limiter) ->
                    {ok, _} = Check(Limiter, ?HOT),
                    [fun() -> Check(Limiter, ?HOT) end]
                end)
             || Subject <- all()
            ]
        })
    ].

%% All of them were seen before. A call is a loop over the next ones, far apart from each other.
many() ->
    [
        bench_case(limiter_check, Id, Modes, #{
            expected => ok,
            operations => ?CHECKS,
            subjects => [
                opened(Subject, {?PLENTY, 2 * Keys}, fun(#{check := Check, check_many := Many}, Limiter) ->
                    lists:foreach(fun(Key) -> {ok, _} = Check(Limiter, <<Key:64>>) end, lists:seq(0, Keys - 1)),
                    Next = atomics:new(1, []),
                    [fun() -> Many(Limiter, atomics:add_get(Next, 1, ?CHECKS), Keys) end]
                end)
             || Subject <- all()
            ]
        })
     || {Id, Modes, Keys} <- [
            {keys_100k, [quick], 100_000},
            {keys_1m, [standard, full], ?MILLION}
        ]
    ].

%% The client's, the tool's and everybody's, in one call or in three.

together() ->
    [
        bench_case(limiter_together, client_tool_global, all_modes(), #{
            expected => ok,
            subjects => [
                opened(native(native, measured, token_bucket), {?PLENTY, 1000}, fun(_, Limiter) ->
                    Limits = [{Limiter, ?HOT}, {Limiter, {tool, <<"search">>}}, {Limiter, global}],
                    [fun() -> erlmcp_native_limiter:check_all(Limits) end]
                end)
                | [
                    opened(Subject, {?PLENTY, 1000}, fun(#{check := Check}, Limiter) ->
                        [
                            fun() ->
                                {ok, _} = Check(Limiter, ?HOT),
                                {ok, _} = Check(Limiter, {tool, <<"search">>}),
                                Check(Limiter, global)
                            end
                        ]
                    end)
                 || Subject <- tl(all()), maps:get(role, Subject) =/= variant
                ]
            ]
        })
    ].

%% Sixteen processes ask for twice as much as there is: how many were let pass too many or, where the number
%% is negative, too few. Any but none is a wrong result.

exact() ->
    [
        bench_case(limiter_exact, Id, Modes, #{
            subjects => [
                #{
                    name => Name,
                    role => Role,
                    observe => fun() ->
                        Admitted = admitted(Subject, Burst, 16),
                        Admitted =:= Burst orelse error({admitted, Admitted, instead_of, Burst}),
                        [{admitted, Admitted, count}, {too_many, Admitted - Burst, count}]
                    end
                }
             || #{name := Name, role := Role} = Subject <- all()
            ]
        })
     || {Id, Modes, Burst} <- [{admitted_of_16k, [quick], 16_000}, {admitted_of_160k, [standard, full], 160_000}]
    ].

%% Of one key.
-spec admitted(subject(), pos_integer(), pos_integer()) -> non_neg_integer().
admitted(#{new := New, check := Check, drop := Drop}, Burst, Processes) ->
    Limiter = New(?ONCE(Burst), 1000),
    try
        Admitted = counters:new(1, []),
        Askers = [
            spawn_monitor(fun() -> ask(Check, Limiter, Admitted, 2 * Burst div Processes) end)
         || _ <- lists:seq(1, Processes)
        ],
        lists:foreach(
            fun({Pid, Monitor}) ->
                receive
                    {'DOWN', Monitor, process, Pid, normal} -> ok;
                    {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
                end
            end,
            Askers
        ),
        counters:get(Admitted, 1)
    after
        Drop(Limiter)
    end.

ask(_, _, _, 0) ->
    ok;
ask(Check, Limiter, Admitted, Left) ->
    case Check(Limiter, ?HOT) of
        {ok, _} -> counters:add(Admitted, 1, 1);
        {error, rate_limited, _} -> ok
    end,
    ask(Check, Limiter, Admitted, Left - 1).

-spec targets() -> [erlmcp_bench_suite:target()].
targets() ->
    [
        #{text => Text, group => Group, ids => [Id], subject => native, figure => Figure}
     || {Text, Group, Id, Figure} <- [
            {<<"limiter, a hot key">>, limiter_check, hot_key, {at_most, 100}},
            {<<"limiter, over a million keys">>, limiter_check, keys_1m, {at_most, 250}},
            {<<"admitted of 160,000, too many">>, limiter_exact, admitted_of_160k, {observed, too_many, at_most, 0}}
        ]
    ].

-spec subjects() -> [{atom(), binary()}].
subjects() ->
    [{Name, Version} || #{name := Name, version := Version} <- all()].

-spec all() -> [subject()].
all() ->
    [
        native(native, measured, token_bucket),
        native(native_leaky, variant, leaky_bucket),
        native(native_window, variant, sliding_window),
        native_named(),
        #{
            name => pure_erlang,
            role => baseline,
            version => <<"erlmcp_limiter_baseline">>,
            new => fun(Limit, Keys) ->
                {ok, Limiter} = erlmcp_limiter_baseline:start_link(Limit#{keys => Keys}),
                Limiter
            end,
            check => fun erlmcp_limiter_baseline:check/2,
            check_many => fun pure_many/3,
            drop => fun erlmcp_limiter_baseline:stop/1
        },
        #{
            name => serialised,
            role => peer,
            version => <<"erlmcp_serialised_baseline">>,
            new => fun(Limit, _) ->
                {ok, Limiter} = erlmcp_serialised_baseline:start_limiter(Limit),
                Limiter
            end,
            check => fun erlmcp_serialised_baseline:check/2,
            check_many => fun serialised_many/3,
            drop => fun erlmcp_serialised_baseline:stop/1
        }
    ].

%% A window has what the others have as a burst.
native(Name, Role, Algorithm) ->
    #{
        name => Name,
        role => Role,
        version => erlmcp_bench_suite:version(erlmcp_native),
        new => fun(Limit, Keys) -> erlmcp_native_limiter:new(opts(Algorithm, Limit, Keys)) end,
        check => fun erlmcp_native_limiter:check/2,
        check_many => fun native_many/3,
        drop => fun erlmcp_native_limiter:delete/1
    }.

native_named() ->
    (native(native_named, variant, token_bucket))#{
        new := fun(Limit, Keys) ->
            Name = erlmcp_bench_limiter,
            _ = erlmcp_native_limiter:new((opts(token_bucket, Limit, Keys))#{name => Name}),
            Name
        end
    }.

opts(sliding_window, #{per := Per, burst := Burst}, Keys) ->
    #{algorithm => sliding_window, limit => Burst, per => Per, max_keys => Keys};
opts(Algorithm, Limit, Keys) ->
    Limit#{algorithm => Algorithm, max_keys => Keys}.

%% Steps of a prime: every key once before any comes again.
-define(STEP, 611_953).

native_many(Limiter, From, Keys) -> native_many(Limiter, From, Keys, ?CHECKS).

native_many(_, _, _, 0) ->
    ok;
native_many(Limiter, At, Keys, Left) ->
    Key = At * ?STEP rem Keys,
    {ok, _} = erlmcp_native_limiter:check(Limiter, <<Key:64>>),
    native_many(Limiter, At + 1, Keys, Left - 1).

pure_many(Limiter, From, Keys) -> pure_many(Limiter, From, Keys, ?CHECKS).

pure_many(_, _, _, 0) ->
    ok;
pure_many(Limiter, At, Keys, Left) ->
    Key = At * ?STEP rem Keys,
    {ok, _} = erlmcp_limiter_baseline:check(Limiter, <<Key:64>>),
    pure_many(Limiter, At + 1, Keys, Left - 1).

serialised_many(Limiter, From, Keys) -> serialised_many(Limiter, From, Keys, ?CHECKS).

serialised_many(_, _, _, 0) ->
    ok;
serialised_many(Limiter, At, Keys, Left) ->
    Key = At * ?STEP rem Keys,
    {ok, _} = erlmcp_serialised_baseline:check(Limiter, <<Key:64>>),
    serialised_many(Limiter, At + 1, Keys, Left - 1).
