%% Who is told of what happens, and who no longer is.
-module(erlmcp_native_events_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    subscribers_are_told/1,
    each_event_comes_once/1,
    unsubscribed_is_silent/1,
    dead_subscribers_are_forgotten/1,
    telemetry_is_told/1,
    without_the_application/1,
    wrong_parts/1
]).

-define(e, erlmcp_native_events).

all() ->
    [
        subscribers_are_told,
        each_event_comes_once,
        unsubscribed_is_silent,
        dead_subscribers_are_forgotten,
        telemetry_is_told,
        without_the_application,
        wrong_parts
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_testcase(_, _) ->
    ok.

subscribers_are_told(_) ->
    ok = ?e:subscribe(pool),
    Other = subscriber([breaker, limiter]),
    ok = ?e:emit([pool, worker, up], #{duration => 7}, #{pool => p}),
    ok = ?e:emit([breaker, state], #{}, #{breaker => b}),
    ok = ?e:emit([limiter, blocked], #{}, #{key => k}),
    ?assertEqual([{[pool, worker, up], #{duration => 7}, #{pool => p}}], events()),
    ?assertEqual(
        [{[breaker, state], #{}, #{breaker => b}}, {[limiter, blocked], #{}, #{key => k}}],
        stop(Other)
    ).

%% However often one has subscribed, and to whatever.
each_event_comes_once(_) ->
    [ok = ?e:subscribe(Part) || Part <- [pool, pool, all, all]],
    ok = ?e:emit([pool, drained], #{}, #{}),
    ok = ?e:emit([breaker, state], #{}, #{}),
    ?assertEqual([{[pool, drained], #{}, #{}}, {[breaker, state], #{}, #{}}], events()),
    ok = ?e:unsubscribe(all),
    ok = ?e:emit([pool, drained], #{}, #{}),
    ok = ?e:emit([breaker, state], #{}, #{}),
    ?assertEqual([{[pool, drained], #{}, #{}}], events()).

unsubscribed_is_silent(_) ->
    ok = ?e:subscribe(limiter),
    ok = ?e:unsubscribe(limiter),
    ok = ?e:unsubscribe(limiter),
    ok = ?e:unsubscribe(breaker),
    ok = ?e:emit([limiter, blocked], #{}, #{}),
    ?assertEqual([], events()).

dead_subscribers_are_forgotten(_) ->
    Subscriber = subscriber([pool]),
    ?assertEqual([Subscriber], pg:get_local_members(?e, pool)),
    [] = stop(Subscriber),
    erlmcp_native_test_wait:until(fun() -> pg:get_local_members(?e, pool) =:= [] end),
    ok = ?e:emit([pool, drained], #{}, #{}).

%% The module of that name is looked for where it is loaded; here one that says what it was called with.
telemetry_is_told(_) ->
    case code:which(telemetry) of
        non_existing ->
            ok = load_telemetry(),
            try
                true = register(events_test, self()),
                ok = ?e:emit([pool, leak], #{held => 1}, #{pool => p}),
                receive
                    Called -> ?assertEqual({[erlmcp_native, pool, leak], #{held => 1}, #{pool => p}}, Called)
                after 0 -> ct:fail(not_told)
                end
            after
                true = unregister(events_test),
                _ = code:purge(telemetry),
                _ = code:delete(telemetry)
            end;
        _ ->
            {ok, _} = application:ensure_all_started(telemetry),
            Test = self(),
            Tell = fun(Event, Measurements, Metadata, none) -> Test ! {Event, Measurements, Metadata} end,
            ok = telemetry:attach(events_test, [erlmcp_native, pool, leak], Tell, none),
            ok = ?e:emit([pool, leak], #{held => 1}, #{pool => p}),
            ok = telemetry:detach(events_test),
            receive
                Called -> ?assertEqual({[erlmcp_native, pool, leak], #{held => 1}, #{pool => p}}, Called)
            after 0 -> ct:fail(not_told)
            end
    end.

without_the_application(_) ->
    ok = application:stop(erlmcp_native),
    ?assertEqual({error, not_started}, ?e:subscribe(pool)),
    ?assertEqual({error, not_started}, ?e:unsubscribe(pool)),
    ok = ?e:emit([pool, drained], #{}, #{}),
    ?assertEqual([], events()).

wrong_parts(_) ->
    [
        begin
            ?assertError(badarg, ?e:subscribe(Part)),
            ?assertError(badarg, ?e:unsubscribe(Part))
        end
     || Part <- [pools, <<"pool">>, [pool], undefined]
    ],
    try
        ?e:subscribe(pools)
    catch
        error:badarg:Stack ->
            ?assertMatch(#{1 := "not pool" ++ _}, ?e:format_error(badarg, Stack))
    end.

%%% Helpers

events() ->
    receive
        {erlmcp_native_event, Event, Measurements, Metadata} -> [{Event, Measurements, Metadata} | events()];
        Other -> ct:fail({unexpected, Other})
    after 0 -> []
    end.

%% A process that subscribes, and says what came when it is stopped.
subscriber(Parts) ->
    Test = self(),
    Pid = spawn_link(fun() ->
        [ok = ?e:subscribe(Part) || Part <- Parts],
        Test ! {self(), subscribed},
        %% Whatever came before this is in the mailbox.
        receive
            stop -> Test ! {self(), events()}
        end
    end),
    receive
        {Pid, subscribed} -> Pid
    end.

stop(Pid) ->
    Pid ! stop,
    receive
        {Pid, Events} -> Events
    end.

load_telemetry() ->
    Source =
        "-module(telemetry).\n"
        "-export([execute/3]).\n"
        "execute(Event, Measurements, Metadata) ->"
        "    events_test ! {Event, Measurements, Metadata}, ok.",
    {ok, telemetry, Code} = compile:forms(forms(Source), [return_errors]),
    {module, telemetry} = code:load_binary(telemetry, "telemetry.erl", Code),
    ok.

forms(Source) ->
    {ok, Tokens, _} = erl_scan:string(Source),
    forms(Tokens, []).

forms([], []) ->
    [];
forms([{dot, _} = Dot | Tokens], Form) ->
    {ok, Parsed} = erl_parse:parse_form(lists:reverse([Dot | Form])),
    [Parsed | forms(Tokens, [])];
forms([Token | Tokens], Form) ->
    forms(Tokens, [Token | Form]).
