%% The door to rate limits. What meters and shards do is tested in Rust, by a clock of its own; here it is
%% what Erlang sees, that time passes, and that many processes at once get no more than there is. Limits
%% that must not move while a test looks at them are for an hour.
-module(erlmcp_native_limiter_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    as_many_as_the_limit/1,
    many_processes_get_no_more/1,
    many_processes_in_several_limits/1,
    retry_is_let_pass/1,
    rate_is_kept/1,
    window_is_kept/1,
    costs/1,
    priorities/1,
    peeking_takes_nothing/1,
    turns_follow_one_another/1,
    all_or_nothing/1,
    several_limits_wrong/1,
    blocked_after_violations/1,
    blocked_for_a_time/1,
    blocked_in_several_limits/1,
    names_and_handles/1,
    ends_with_its_owner/1,
    deleted_is_gone/1,
    options_are_checked/1,
    arguments_are_checked/1,
    shell_explains/1,
    metrics_are_collected/1,
    properties/1
]).

-define(m, erlmcp_native_limiter).
-define(HOUR, 3_600_000).

all() ->
    [
        as_many_as_the_limit,
        many_processes_get_no_more,
        many_processes_in_several_limits,
        retry_is_let_pass,
        rate_is_kept,
        window_is_kept,
        costs,
        priorities,
        peeking_takes_nothing,
        turns_follow_one_another,
        all_or_nothing,
        several_limits_wrong,
        blocked_after_violations,
        blocked_for_a_time,
        blocked_in_several_limits,
        names_and_handles,
        ends_with_its_owner,
        deleted_is_gone,
        options_are_checked,
        arguments_are_checked,
        shell_explains,
        metrics_are_collected,
        properties
    ].

suite() -> [{timetrap, {minutes, 5}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_testcase(_, _) -> ok.

%% Windows of up to 16 are a log, larger ones are counted.
hourly() ->
    [
        #{algorithm => Algorithm, limit => Limit, per => ?HOUR}
     || Algorithm <- [token_bucket, leaky_bucket, sliding_window], Limit <- [1, 2, 16, 17, 100]
    ].

as_many_as_the_limit(_) ->
    [
        begin
            Limiter = ?m:new(Opts),
            [?assertEqual({ok, Limit - N}, ?m:check(Limiter, a)) || N <- lists:seq(1, Limit)],
            {error, rate_limited, RetryAfter} = ?m:check(Limiter, a),
            Least = case Algorithm of sliding_window -> ?HOUR; _ -> ?HOUR div Limit end,
            ?assert(RetryAfter > Least - 60_000 andalso RetryAfter =< Least * 16 div 15 + 1),
            %% Others have their own.
            ?assertEqual({ok, Limit - 1}, ?m:check(Limiter, b)),
            ?assertMatch({error, rate_limited, _}, ?m:check(Limiter, a)),
            ?assertMatch(#{allowed := A, refused := 2, keys := 2} when A =:= Limit + 1, ?m:info(Limiter))
        end
     || #{algorithm := Algorithm, limit := Limit} = Opts <- hourly()
    ].

many_processes_get_no_more(_) ->
    [
        begin
            Limiter = ?m:new(Opts#{limit := Limit}),
            Passed = hammered(16, 3 * Limit div 16 + 10, fun() -> ?m:check(Limiter, hot) end),
            ?assertEqual(Limit, Passed),
            ?assertMatch(#{allowed := Limit}, ?m:info(Limiter))
        end
     || Opts <- hourly(), Limit <- [5, 1000], maps:get(limit, Opts) =:= 1
    ].

many_processes_in_several_limits(_) ->
    Clients = ?m:new(#{limit => 1000, per => ?HOUR}),
    Tools = ?m:new(#{limit => 300, per => ?HOUR, algorithm => sliding_window}),
    All = ?m:new(#{limit => 500, per => ?HOUR, algorithm => leaky_bucket}),
    Check = fun(Tool) ->
        %% In whatever order.
        Limits = [{Clients, client}, {Tools, Tool}, {All, all}],
        fun() -> ?m:check_all(case rand:uniform(2) of 1 -> Limits; 2 -> lists:reverse(Limits) end) end
    end,
    Passed = hammered(16, 100, Check(one)),
    ?assertEqual(300, Passed),
    ?assertEqual(200, hammered(16, 100, Check(two))),
    %% What was refused was charged nowhere.
    ?assertEqual({ok, 500}, ?m:peek(Clients, client)),
    ?assertEqual({ok, 100}, ?m:peek(Tools, two)),
    ?assertMatch(#{allowed := 500, refused := 0}, ?m:info(Clients)).

%% How many calls of several processes pass.
hammered(Processes, Times, Check) ->
    Test = self(),
    Hammer = fun() ->
        receive go -> ok end,
        Test ! {self(), length([ok || _ <- lists:seq(1, Times), {ok, _} <- [Check()]])}
    end,
    Pids = [spawn_link(Hammer) || _ <- lists:seq(1, Processes)],
    [Pid ! go || Pid <- Pids],
    lists:sum([receive {Pid, Count} -> Count end || Pid <- Pids]).

retry_is_let_pass(_) ->
    [
        begin
            Limiter = ?m:new(Opts#{limit := 4, per := 200}),
            [
                begin
                    RetryAfter = emptied(Limiter),
                    ?assert(RetryAfter > 0 andalso RetryAfter =< 214),
                    timer:sleep(RetryAfter),
                    ?assertMatch({ok, _}, ?m:check(Limiter, a))
                end
             || _ <- lists:seq(1, 5)
            ]
        end
     || #{limit := 1} = Opts <- hourly()
    ].

emptied(Limiter) ->
    case ?m:check(Limiter, a) of
        {ok, _} -> emptied(Limiter);
        {error, rate_limited, RetryAfter} -> RetryAfter
    end.

rate_is_kept(_) ->
    [
        begin
            Before = erlang:monotonic_time(),
            Limiter = ?m:new(#{algorithm => Algorithm, limit => 500, per => 1000, burst => 20}),
            Passed = passed_until(Limiter, Before + erlang:convert_time_unit(400, millisecond, native)),
            Passing = native_to_us(erlang:monotonic_time() - Before),
            %% A thousandth more, for a clock that is not the VM's.
            ?assert(Passed =< 20 + Passing * 501 div 1_000_000, {Passed, Passing}),
            ?assert(Passed > 20)
        end
     || Algorithm <- [token_bucket, leaky_bucket]
    ].

native_to_us(Time) -> erlang:convert_time_unit(Time, native, microsecond).

passed_until(Limiter, End) ->
    length([ok || {ok, _} <- until(End, fun() -> ?m:check(Limiter, a) end)]).

until(End, Call) ->
    case erlang:monotonic_time() < End of
        true -> [Call() | until(End, Call)];
        false -> []
    end.

window_is_kept(_) ->
    [
        begin
            Limiter = ?m:new(#{algorithm => sliding_window, limit => Limit, per => 100}),
            End = erlang:monotonic_time() + erlang:convert_time_unit(500, millisecond, native),
            Check = fun() ->
                Before = erlang:monotonic_time(),
                Answer = ?m:check(Limiter, a),
                {Before, Answer, erlang:monotonic_time()}
            end,
            Times = [{Before, After} || {Before, {ok, _}, After} <- until(End, Check)],
            ?assert(length(Times) > Limit),
            Apart = lists:zip(
                lists:sublist(Times, length(Times) - Limit), lists:nthtail(Limit, Times)
            ),
            [
                ?assert(native_to_us(After - Before) >= 99_900)
             || {{Before, _}, {_, After}} <- Apart
            ]
        end
     || Limit <- [3, 16, 17, 200]
    ].

costs(_) ->
    [
        begin
            Limiter = ?m:new(Opts#{limit := 100}),
            ?assertEqual({ok, 40}, ?m:check(Limiter, a, #{cost => 60})),
            ?assertMatch({error, rate_limited, T} when is_integer(T), ?m:check(Limiter, a, #{cost => 41})),
            ?assertEqual({ok, 0}, ?m:check(Limiter, a, #{cost => 40})),
            ?assertEqual({error, rate_limited, infinity}, ?m:check(Limiter, a, #{cost => 101})),
            ?assertEqual({error, rate_limited, infinity}, ?m:check(Limiter, b, #{cost => 1_000_000_000})),
            ?assertEqual({ok, 0}, ?m:check(Limiter, b, #{cost => 100}))
        end
     || #{limit := 1} = Opts <- hourly()
    ].

priorities(_) ->
    [
        begin
            Limiter = ?m:new(Opts#{limit := 100, reserve => #{high => 0.201, normal => 10}}),
            ?assertEqual({ok, 68}, ?m:check(Limiter, a, #{priority => low})),
            ?assertEqual({ok, 0}, ?m:check(Limiter, a, #{priority => low, cost => 68})),
            ?assertMatch({error, rate_limited, T} when is_integer(T), ?m:check(Limiter, a, #{priority => low})),
            ?assertEqual({ok, 9}, ?m:check(Limiter, a, #{priority => normal})),
            ?assertEqual({ok, 0}, ?m:check(Limiter, a, #{cost => 9})),
            ?assertMatch({error, rate_limited, _}, ?m:check(Limiter, a)),
            ?assertEqual({ok, 20}, ?m:check(Limiter, a, #{priority => high})),
            ?assertEqual({ok, 0}, ?m:check(Limiter, a, #{priority => high, cost => 20})),
            ?assertMatch({error, rate_limited, _}, ?m:check(Limiter, a, #{priority => high})),
            ?assertEqual({error, rate_limited, infinity}, ?m:check(Limiter, b, #{cost => 80})),
            Open = ?m:new(Opts#{limit := 2, bypass => high}),
            [?assertMatch({ok, _}, ?m:check(Open, a, #{priority => high})) || _ <- lists:seq(1, 50)],
            ?assertMatch({error, rate_limited, _}, ?m:check(Open, a)),
            ?assertEqual({ok, 0}, ?m:check(Open, a, #{priority => high}))
        end
     || #{limit := 1} = Opts <- hourly()
    ].

peeking_takes_nothing(_) ->
    [
        begin
            Limiter = ?m:new(Opts#{limit := 3}),
            [?assertEqual({ok, 3}, ?m:peek(Limiter, a)) || _ <- lists:seq(1, 5)],
            ?assertEqual({ok, 3}, ?m:peek(Limiter, a, #{cost => 3})),
            ?assertEqual({error, rate_limited, infinity}, ?m:peek(Limiter, a, #{cost => 4})),
            ?assertMatch(#{keys := 0, allowed := 0, refused := 0}, ?m:info(Limiter)),
            {ok, 1} = ?m:check(Limiter, a, #{cost => 2}),
            ?assertEqual({ok, 1}, ?m:peek(Limiter, a)),
            ?assertMatch({error, rate_limited, _}, ?m:peek(Limiter, a, #{cost => 2}))
        end
     || #{limit := 1} = Opts <- hourly()
    ].

turns_follow_one_another(_) ->
    Before = now_ms(),
    Limiter = ?m:new(#{algorithm => leaky_bucket, limit => 10, per => 1000, burst => 20}),
    {Delays, Times} = lists:unzip([
        begin
            {ok, Delay} = ?m:reserve(Limiter, a),
            {Delay, now_ms()}
        end
     || _ <- lists:seq(1, 20)
    ]),
    ?assertEqual(0, hd(Delays)),
    %% Each turn is a tenth of a second after the one before, whenever it was asked for, unless the
    %% machine stood still for so long that it was due.
    [
        ?assert(Delay =:= 0 orelse Time + Delay >= Before + 100 * N, {N, Delay})
     || {N, Delay, Time} <- lists:zip3(lists:seq(0, 19), Delays, Times)
    ],
    ?assert(lists:all(fun(Delay) -> Delay =< 1900 end, Delays)),
    Full = ?m:reserve(Limiter, a),
    [?assertMatch({error, rate_limited, T} when T =< 100, Full) || now_ms() - Before < 100],
    {ok, 0} = ?m:reserve(Limiter, b, #{cost => 20}),
    {error, rate_limited, infinity} = ?m:reserve(Limiter, c, #{cost => 21}),
    Bucket = ?m:new(#{limit => 1}),
    ?assertError(badarg, ?m:reserve(Bucket, a)).

all_or_nothing(_) ->
    Large = ?m:new(#{limit => 10, per => ?HOUR, name => large_limit}),
    Small = ?m:new(#{limit => 2, per => ?HOUR, algorithm => sliding_window}),
    Other = ?m:new(#{limit => 2, per => 1000 * ?HOUR, algorithm => sliding_window}),
    ?assertEqual({ok, 1}, ?m:check_all([{large_limit, a}, {Small, a}])),
    ?assertEqual({ok, 0}, ?m:check_all([{Small, a}, {Large, a}])),
    {error, rate_limited, Hour} = ?m:check_all([{Large, a}, {Small, a}]),
    ?assertEqual({ok, 8}, ?m:peek(Large, a)),
    %% The longest time of those that refuse.
    {ok, 0} = ?m:check(Other, a, #{cost => 2}),
    {error, rate_limited, Long} = ?m:check_all([{Large, a}, {Small, a}, {Other, a}]),
    ?assert(Hour =< ?HOUR andalso Long > 900 * ?HOUR),
    ?assertMatch(#{refused := 0}, ?m:info(Large)),
    ?assertMatch(#{refused := 2}, ?m:info(Small)),
    %% The same twice takes it twice, or not at all.
    ?assertEqual({ok, 0}, ?m:check_all([{Small, b}, {Small, b}])),
    ?assertMatch({error, rate_limited, T} when is_integer(T), ?m:check_all([{Small, b}, {Small, c}])),
    ?assertEqual({ok, 2}, ?m:peek(Small, c)),
    ?assertEqual({error, rate_limited, infinity}, ?m:check_all([{Small, c}, {Small, c}, {Small, c}])),
    %% Several keys of a limiter, in one shard or another, and costs and priorities.
    Keys = lists:seq(1, 16),
    ?assertEqual({ok, 7}, ?m:check_all([{Large, K} || K <- Keys], #{cost => 3, priority => low})),
    ?assertMatch({error, rate_limited, _}, ?m:check_all([{Large, K} || K <- Keys], #{cost => 8})),
    [?assertEqual({ok, 7}, ?m:peek(Large, K)) || K <- Keys],
    %% Keys that have to come in the external form.
    Fun = fun lists:map/2,
    ?assertEqual({ok, 1}, ?m:check_all([{Small, Fun}, {Large, lists:seq(1, 1000)}, {Large, 16}])),
    ?assertEqual({ok, 1}, ?m:peek(Small, Fun)).

several_limits_wrong(_) ->
    Limiter = ?m:new(#{limit => 10, per => ?HOUR}),
    Concurrency = ?m:new(#{limit => 10, algorithm => concurrency}),
    [
        ?assertError(badarg, ?m:check_all(Limits))
     || Limits <- [
            [], a, {Limiter, a}, [Limiter], [{Limiter, a, #{cost => 2}}], [{Limiter, a} | a], [{Limiter, a}, {Limiter + 1, a}],
            [{Limiter, a}, {nosuch, a}], [{Limiter, a}, {Concurrency, a}],
            [{Limiter, K} || K <- lists:seq(1, 17)], [{Limiter, a}, {Limiter, <<0:(70_000 * 8)>>}]
        ]
    ],
    ?assertEqual({ok, 10}, ?m:peek(Limiter, a)).

blocked_after_violations(_) ->
    Block = #{violations => 3, within => ?HOUR, duration => ?HOUR},
    ok = erlmcp_native_events:subscribe(limiter),
    [
        begin
            Limiter = ?m:new(Opts#{limit := 2, block => Block, bypass => high}),
            {ok, 0} = ?m:check(Limiter, a, #{cost => 2}),
            {error, rate_limited, _} = ?m:check(Limiter, a),
            {error, rate_limited, _} = ?m:check(Limiter, a),
            ?assertNot(?m:is_blocked(Limiter, a)),
            ?assertEqual(none, event()),
            {error, rate_limited, RetryAfter} = ?m:check(Limiter, a),
            ?assert(RetryAfter >= ?HOUR),
            ?assert(?m:is_blocked(Limiter, a)),
            Metadata = #{limiter => Limiter, key => a},
            ?assertEqual({[limiter, blocked], #{retry_after => RetryAfter}, Metadata}, event()),
            %% Whatever it has, and whoever asks.
            ?assertMatch({error, rate_limited, _}, ?m:check(Limiter, a, #{priority => high})),
            ?assertMatch({error, rate_limited, _}, ?m:peek(Limiter, a, #{priority => high})),
            ?assertEqual({ok, 1}, ?m:check(Limiter, b)),
            ?assertNot(?m:is_blocked(Limiter, b)),
            ?assertEqual(none, event()),
            ok = ?m:unblock(Limiter, a),
            ?assertEqual({[limiter, unblocked], #{}, Metadata}, event()),
            ?assertNot(?m:is_blocked(Limiter, a)),
            ok = ?m:unblock(Limiter, a),
            ?assertEqual(none, event()),
            ?assertMatch({ok, _}, ?m:check(Limiter, a, #{priority => high})),
            %% It is counted anew.
            [?assertMatch({error, rate_limited, _}, ?m:check(Limiter, a)) || _ <- [1, 2]],
            ?assertNot(?m:is_blocked(Limiter, a)),
            {error, rate_limited, _} = ?m:check(Limiter, a),
            {[limiter, blocked], _, Metadata} = event(),
            ok = ?m:reset(Limiter, a),
            ?assertEqual({[limiter, unblocked], #{}, Metadata}, event()),
            ?assertEqual({ok, 1}, ?m:check(Limiter, a)),
            ?assertMatch(#{blocked := 2}, ?m:info(Limiter)),
            %% What never can be let pass counts also.
            [?m:check(Limiter, c, #{cost => 3}) || _ <- [1, 2, 3]],
            ?assert(?m:is_blocked(Limiter, c)),
            {[limiter, blocked], _, #{key := c}} = event()
        end
     || #{limit := 1} = Opts <- hourly()
    ],
    ok = erlmcp_native_events:unsubscribe(limiter).

event() ->
    receive
        {erlmcp_native_event, Event, Measurements, Metadata} -> {Event, Measurements, Metadata}
    after 0 -> none
    end.

blocked_for_a_time(_) ->
    Block = #{violations => 1, within => 1000, duration => 300},
    Limiter = ?m:new(#{limit => 2, per => ?HOUR, block => Block, name => shuts_out}),
    ok = erlmcp_native_events:subscribe(limiter),
    {ok, 1} = ?m:check(shuts_out, a),
    Before = now_ms(),
    %% More than it has: refused, though it could still take one.
    {error, rate_limited, _} = ?m:check(shuts_out, a, #{cost => 2}),
    Blocked = ?m:peek(Limiter, a),
    [
        ?assertMatch({error, rate_limited, T} when T > 0 andalso T =< 300, Blocked)
     || now_ms() - Before < 300
    ],
    wait_until(fun() -> not ?m:is_blocked(Limiter, a) end),
    ?assert(now_ms() - Before >= 299),
    ?assertMatch({[limiter, blocked], _, #{limiter := shuts_out}}, event()),
    ?assertEqual(none, event()),
    ?assertEqual({ok, 0}, ?m:check(Limiter, a)),
    ?assertEqual({[limiter, unblocked], #{}, #{limiter => Limiter, key => a}}, event()),
    ok = erlmcp_native_events:unsubscribe(limiter).

blocked_in_several_limits(_) ->
    Block = #{violations => 2, within => ?HOUR, duration => ?HOUR},
    [One, Two] = [?m:new(#{limit => L, per => ?HOUR, block => Block}) || L <- [1, 3]],
    ok = erlmcp_native_events:subscribe(limiter),
    Limits = [{Two, all}, {One, client}],
    {ok, 0} = ?m:check_all(Limits),
    {error, rate_limited, _} = ?m:check_all(Limits),
    {error, rate_limited, RetryAfter} = ?m:check_all(Limits),
    ?assertEqual(
        {[limiter, blocked], #{retry_after => RetryAfter}, #{limiter => One, key => client}}, event()
    ),
    ?assertEqual(none, event()),
    ?assertNot(?m:is_blocked(Two, all)),
    ?assertEqual({ok, 2}, ?m:peek(Two, all)),
    ok = erlmcp_native_events:unsubscribe(limiter).

names_and_handles(_) ->
    Limiter = ?m:new(#{limit => 5, per => ?HOUR, name => a_limiter}),
    ?assertEqual(Limiter, ?m:whereis(a_limiter)),
    ?assert(lists:member(a_limiter, ?m:names())),
    {ok, 4} = ?m:check(a_limiter, a),
    {ok, 3} = ?m:check(Limiter, a),
    ?assertError(badarg, ?m:new(#{limit => 1, name => a_limiter})),
    ?assertMatch(
        #{
            name := a_limiter, owner := Owner, algorithm := token_bucket, limit := 5, per := ?HOUR,
            burst := 5, max_keys := 1_000_000
        } when Owner =:= self(),
        ?m:info(a_limiter)
    ),
    ok = ?m:delete(a_limiter),
    ?assertEqual(undefined, ?m:whereis(a_limiter)),
    ?assertNot(lists:member(a_limiter, ?m:names())),
    ?assertError(badarg, ?m:check(a_limiter, a)),
    Next = ?m:new(#{limit => 5, per => ?HOUR, name => a_limiter}),
    ?assertNotEqual(Limiter, Next),
    ?assertEqual({ok, 4}, ?m:check(a_limiter, a)),
    %% Others' handles are none.
    ?assertError(badarg, ?m:check(erlmcp_native_rate:new(), a)),
    Window = ?m:info(?m:new(#{limit => 5, algorithm => sliding_window})),
    ?assertNot(is_map_key(burst, Window)),
    ?assertMatch(#{per := 1000, name := undefined}, Window).

ends_with_its_owner(_) ->
    Test = self(),
    {Pid, Ref} = spawn_monitor(fun() ->
        Test ! {limiter, ?m:new(#{limit => 1, name => owned_limiter})},
        receive stop -> ok end
    end),
    Limiter = receive {limiter, L} -> L end,
    {ok, 0} = ?m:check(Limiter, a),
    Pid ! stop,
    receive {'DOWN', Ref, process, Pid, normal} -> ok end,
    wait_until(fun() -> ?m:whereis(owned_limiter) =:= undefined end),
    ?assertError(badarg, ?m:check(Limiter, a)),
    %% Of an owner that is gone already, and of none.
    ?assertError(badarg, ?m:check(?m:new(#{limit => 1, owner => Pid}), a)),
    {Other, Gone} = spawn_monitor(fun() -> Test ! {limiter, ?m:new(#{limit => 1, owner => none})} end),
    Free = receive {limiter, F} -> F end,
    receive {'DOWN', Gone, process, Other, normal} -> ok end,
    {ok, 0} = ?m:check(Free, a),
    ok = ?m:delete(Free).

calls(Limiter) ->
    [
        fun() -> ?m:delete(Limiter) end,
        fun() -> ?m:info(Limiter) end,
        fun() -> ?m:check(Limiter, a) end,
        fun() -> ?m:check(Limiter, a, #{cost => 2}) end,
        fun() -> ?m:check_all([{Limiter, a}]) end,
        fun() -> ?m:peek(Limiter, a) end,
        fun() -> ?m:reserve(Limiter, a) end,
        fun() -> ?m:acquire(Limiter, a) end,
        fun() -> ?m:release(Limiter, 1) end,
        fun() -> ?m:with(Limiter, a, fun() -> error(called) end) end,
        fun() -> ?m:reset(Limiter, a) end,
        fun() -> ?m:is_blocked(Limiter, a) end,
        fun() -> ?m:unblock(Limiter, a) end
    ].

deleted_is_gone(_) ->
    Limiter = ?m:new(#{limit => 1}),
    ok = ?m:delete(Limiter),
    [?assertError(badarg, Call()) || Call <- calls(Limiter)].

options_are_checked(_) ->
    Bad = [
        [], a, #{}, #{per => 1000}, #{limit => 0}, #{limit => 1_000_000_001}, #{limit => 1.0},
        #{limit => 1, per => 0}, #{limit => 1, per => infinity}, #{limit => 1, per => 1 bsl 41},
        #{limit => 1, burst => 0}, #{limit => 1, burst => 1_000_000_001},
        #{limit => 1, algorithm => fixed_window}, #{limit => 1, max_keys => 0},
        #{limit => 1, max_keys => 100_000_001}, #{limit => 1, size => 1}, #{limit => 1, name => undefined},
        #{limit => 1, name => "a"}, #{limit => 1, owner => a}, #{limit => 1, bypass => true},
        #{limit => 1, burst => 2, algorithm => sliding_window},
        #{limit => 1, burst => 2, algorithm => concurrency},
        #{limit => 1, per => 2, algorithm => concurrency},
        #{limit => 1, block => #{}}, #{limit => 1, block => #{violations => 1, within => 1}},
        #{limit => 1, block => #{violations => 0, within => 1, duration => 1}},
        #{limit => 1, block => #{violations => 1, within => 1, duration => 1, more => 1}},
        #{limit => 1, reserve => 0.5}, #{limit => 10, reserve => #{low => 1}},
        #{limit => 10, reserve => #{high => 1.0}}, #{limit => 10, reserve => #{high => -0.1}},
        #{limit => 10, reserve => #{high => 10}}, #{limit => 10, reserve => #{high => 0.5, normal => 5}},
        #{limit => 1, reserve => #{high => 0.01}}
    ],
    [?assertError(badarg, ?m:new(Opts), Opts) || Opts <- Bad],
    Good = [
        #{limit => 1_000_000_000, per => 1 bsl 40, burst => 1_000_000_000},
        #{limit => 1, per => 1, max_keys => 1},
        #{limit => 1, reserve => #{}},
        #{limit => 10, reserve => #{high => 0.0, normal => 0}},
        #{limit => 10, reserve => #{high => 0.5, normal => 4}}
    ],
    [{ok, _} = ?m:check(?m:new(Opts), a, #{priority => low}) || Opts <- Good].

arguments_are_checked(_) ->
    Limiter = ?m:new(#{limit => 10, per => ?HOUR}),
    [
        [
            ?assertError(badarg, Call(Opts))
         || Call <- [
                fun(O) -> ?m:check(Limiter, a, O) end,
                fun(O) -> ?m:check_all([{Limiter, a}], O) end,
                fun(O) -> ?m:peek(Limiter, a, O) end,
                fun(O) -> ?m:reserve(Limiter, a, O) end,
                fun(O) -> ?m:acquire(Limiter, a, O) end,
                fun(O) -> ?m:with(Limiter, a, fun() -> ok end, O) end
            ]
        ]
     || Opts <- [
            a, [], #{cost => 0}, #{cost => -1}, #{cost => 1.0}, #{cost => 1_000_000_001},
            #{priority => urgent}, #{priority => 1}, #{size => 1}, #{cost => 1, priority => low, size => 1}
        ]
    ],
    [
        [?assertError(badarg, Call()) || Call <- calls(Other)]
     || Other <- [0, -1, Limiter + 1, 1 bsl 70, nosuch, undefined, "x", self(), make_ref()]
    ],
    ?assertError(badarg, ?m:whereis("a")),
    ?assertError(badarg, ?m:acquire(Limiter, a)),
    ?assertError(badarg, ?m:release(Limiter, 1)),
    ?assertEqual({ok, 10}, ?m:peek(Limiter, a)).

shell_explains(_) ->
    Limiter = ?m:new(#{limit => 10}),
    ?assertMatch(#{1 := "not a limiter" ++ _}, explained(fun() -> ?m:check(Limiter + 1, a) end)),
    ?assertMatch(#{1 := "one is not" ++ _}, explained(fun() -> ?m:check_all([{Limiter + 1, a}]) end)),
    ?assertMatch(#{2 := "the key is too" ++ _}, explained(fun() -> ?m:check(Limiter, <<0:800_000>>) end)),
    ?assertMatch(#{1 := "the limiter's algo" ++ _}, explained(fun() -> ?m:reserve(Limiter, a) end)),
    ?assertMatch(#{1 := "not a list" ++ _}, explained(fun() -> ?m:check_all([]) end)),
    ?assertMatch(#{1 := "the option limit" ++ _}, explained(fun() -> ?m:new(#{}) end)),
    ?assertMatch(#{1 := "not a map" ++ _}, explained(fun() -> ?m:new(a) end)),
    ?assertMatch(#{3 := "not a fun" ++ _}, explained(fun() -> ?m:with(Limiter, a, b) end)),
    #{3 := Option} = explained(fun() -> ?m:check(Limiter, a, #{size => 1}) end),
    ?assertEqual("no such option or value: {size,1}", lists:flatten(Option)),
    #{4 := _} = explained(fun() -> ?m:with(Limiter, a, fun() -> ok end, #{size => 1}) end).

explained(Call) ->
    try Call() of
        Answer -> {no_error, Answer}
    catch
        error:badarg:Stack ->
            [{?m, _, _, _} | _] = Stack,
            ?m:format_error(badarg, Stack)
    end.

metrics_are_collected(_) ->
    Limiter = ?m:new(#{limit => 2, per => ?HOUR, name => collected_limiter, max_keys => 1}),
    Unnamed = ?m:new(#{limit => 2}),
    [?m:check(Limiter, a) || _ <- lists:seq(1, 5)],
    {ok, _} = ?m:check(Unnamed, a),
    {ok, _} = ?m:check(Limiter, b),
    Of = fun(Name) ->
        {_, Type, _, _, _, _, Series} = lists:keyfind(Name, 1, erlmcp_native_metrics:collect()),
        {Type, [Value || {[{<<"limiter">>, <<"collected_limiter">>}], Value, _, _} <- Series]}
    end,
    ?assertEqual({counter, [3]}, Of(<<"erlmcp_rate_limit_allowed">>)),
    ?assertEqual({counter, [3]}, Of(<<"erlmcp_rate_limit_exceeded">>)),
    ?assertEqual({counter, [0]}, Of(<<"erlmcp_rate_limit_blocked">>)),
    ?assertEqual({counter, [1]}, Of(<<"erlmcp_rate_limit_forgiven">>)),
    ?assertEqual({gauge, [1]}, Of(<<"erlmcp_rate_limit_keys">>)).

properties(_) -> erlmcp_native_test_proper:check(prop_limiter).

now_ms() -> erlang:monotonic_time(millisecond).

wait_until(Is) ->
    case Is() of
        true ->
            ok;
        false ->
            timer:sleep(10),
            wait_until(Is)
    end.
