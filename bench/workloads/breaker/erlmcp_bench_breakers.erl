%% Circuit breakers: around a fun that does nothing, and one that is open.
-module(erlmcp_bench_breakers).
-behaviour(erlmcp_bench_suite).

-export([cases/0, targets/0, subjects/0]).

%% Five failures in a row open it for a minute.
-define(FAILURES, 5).
-define(OPEN, 60_000).

-type breaker() :: term().
-type subject() :: #{
    name := atom(),
    role := measured | baseline | peer | variant,
    version := binary(),
    new := fun(() -> breaker()),
    call := fun((breaker(), fun(() -> ok)) -> term()),
    open := fun((breaker()) -> term()),
    drop := fun((breaker()) -> term())
}.

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    Fun = fun nothing/0,
    [
        bench_case(Id, Modes, ok, [
            opened(Subject, Processes, fun(#{call := Call}, Breaker) -> fun() -> Call(Breaker, Fun) end end)
         || Subject <- [bare() | all()]
        ])
     || {Id, Modes, Processes} <- [{empty_fun, all_modes(), 1}, {empty_fun_by_16, [standard, full], 16}]
    ] ++
        [
            bench_case(refused, [quick, full], refused, [
                opened(Subject, 1, fun(#{call := Call, open := Open}, Breaker) ->
                    _ = Open(Breaker),
                    fun() -> Call(Breaker, Fun) end
                end)
             || Subject <- all()
            ])
        ].

nothing() -> ok.

all_modes() -> [quick, standard, full].

bench_case(Id, Modes, Expected, Subjects) ->
    #{
        group => breaker_call,
        id => Id,
        set => breaker,
        bytes => 0,
        modes => Modes,
        expected => Expected,
        missing => [{fuse, <<"not on the code path">>} || fuse() =:= []],
        subjects => Subjects
    }.

opened(#{name := Name, role := Role, new := New, drop := Drop} = Subject, Processes, Call) ->
    #{
        name => Name,
        role => Role,
        normal => fun
            ({error, {circuit_open, _}}) -> refused;
            (blown) -> refused;
            ({ok, Result}) -> Result;
            (Result) -> Result
        end,
        open => fun() ->
            Breaker = New(),
            #{
                calls => [Call(Subject, Breaker) || _ <- lists:seq(1, Processes)],
                close => fun() -> Drop(Breaker) end
            }
        end
    }.

-spec subjects() -> [{atom(), binary()}].
subjects() ->
    [{Name, Version} || #{name := Name, version := Version} <- all()].

-spec targets() -> [erlmcp_bench_suite:target()].
targets() ->
    [
        #{
            text => <<"breaker around an empty fun">>,
            group => breaker_call,
            ids => [empty_fun],
            subject => native,
            figure => {at_most, 100}
        }
    ].

-spec all() -> [subject()].
all() ->
    [
        native(native, measured, #{}),
        native(native_rate, variant, #{failure_rate => 0.5, window => {count, 100}}),
        native(native_rate_slow, variant, #{
            failure_rate => 0.5, slow_call => 1000, slow_rate => 0.5, window => {time, 10_000}
        }),
        native(native_named, variant, #{name => erlmcp_bench_breaker}),
        #{
            name => pure_erlang,
            role => baseline,
            version => <<"erlmcp_breaker_baseline">>,
            new => fun() -> erlmcp_breaker_baseline:new(#{failures => ?FAILURES, open => ?OPEN}) end,
            call => fun erlmcp_breaker_baseline:call/2,
            open => fun(Breaker) -> fail(fun erlmcp_breaker_baseline:call/2, Breaker) end,
            drop => fun(_) -> ok end
        },
        #{
            name => serialised,
            role => peer,
            version => <<"erlmcp_serialised_baseline">>,
            new => fun() ->
                {ok, Breaker} = erlmcp_serialised_baseline:start_breaker(?FAILURES, ?OPEN),
                Breaker
            end,
            call => fun erlmcp_serialised_baseline:call/2,
            open => fun(Breaker) -> fail(fun erlmcp_serialised_baseline:call/2, Breaker) end,
            drop => fun erlmcp_serialised_baseline:stop/1
        }
        | fuse()
    ].

%% The fun alone.
bare() ->
    #{
        name => bare_fun,
        role => peer,
        version => <<>>,
        new => fun() -> none end,
        call => fun(_, Fun) -> Fun() end,
        open => fun(_) -> ok end,
        drop => fun(_) -> ok end
    }.

native(Name, Role, Opts) ->
    #{
        name => Name,
        role => Role,
        version => erlmcp_bench_suite:version(erlmcp_native),
        new => fun() ->
            Handle = erlmcp_native_breaker:new(maps:merge(#{failures => ?FAILURES, open => ?OPEN}, Opts)),
            maps:get(name, Opts, Handle)
        end,
        call => fun erlmcp_native_breaker:call/2,
        open => fun(Breaker) -> fail(fun erlmcp_native_breaker:call/2, Breaker) end,
        drop => fun erlmcp_native_breaker:delete/1
    }.

fail(Call, Breaker) ->
    [{error, failed} = Call(Breaker, fun() -> {error, failed} end) || _ <- lists:seq(1, ?FAILURES)].

%% As its documentation advises where many call: the table is read without its process.
fuse() ->
    case
        erlmcp_bench_suite:present(fuse, [{install, 2}, {run, 3}, {melt, 1}, {remove, 1}]) andalso
            application:ensure_all_started(fuse)
    of
        {ok, _} ->
            [
                #{
                    name => fuse,
                    role => peer,
                    version => erlmcp_bench_suite:version(fuse),
                    new => fun() ->
                        Name = list_to_atom("erlmcp_bench_" ++ integer_to_list(erlang:unique_integer([positive]))),
                        ok = fuse:install(Name, {{standard, ?FAILURES - 1, ?OPEN}, {reset, ?OPEN}}),
                        Name
                    end,
                    call => fun(Name, Fun) -> fuse:run(Name, fun() -> {ok, Fun()} end, async_dirty) end,
                    open => fun(Name) -> [ok = fuse:melt(Name) || _ <- lists:seq(1, ?FAILURES)] end,
                    drop => fun fuse:remove/1
                }
            ];
        _ ->
            []
    end.
