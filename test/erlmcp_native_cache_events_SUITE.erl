%% Subscriptions: what is reported and why, one wake-up until the queue was found empty, drops
%% counted, ends with the subscriber, the cache or unsubscribe/2.
-module(erlmcp_native_cache_events_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, groups/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2]).
-export([
    replaced/1,
    deleted/1,
    taken/1,
    counters/1,
    evicted/1,
    expired/1,
    expired_unseen/1,
    invalidated/1,
    cleared/1,
    purged/1,
    keys_of_all_sorts/1,
    kinds/1,
    one_wake_up/1,
    drops_are_counted/1,
    several_subscribers/1,
    sixty_four_subscribers/1,
    unsubscribed/1,
    subscriber_dies/1,
    cache_ends/1,
    handle_of_nobody/1,
    many_writers/1,
    full_queue_is_freed/1
]).

-import(erlmcp_native_test_cache, [new/2, until/1, parallel/2, no_message/0]).

-define(cache, erlmcp_native_cache).

all() -> [{group, native}, {group, ets}].

groups() ->
    All = [
        replaced,
        deleted,
        taken,
        counters,
        evicted,
        expired,
        expired_unseen,
        invalidated,
        cleared,
        purged,
        keys_of_all_sorts,
        kinds,
        one_wake_up,
        drops_are_counted,
        several_subscribers,
        sixty_four_subscribers,
        unsubscribed,
        subscriber_dies,
        cache_ends,
        handle_of_nobody,
        many_writers,
        full_queue_is_freed
    ],
    [{native, [], All}, {ets, [], All}].

suite() -> [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

init_per_group(Store, Config) -> [{store, Store} | Config].

end_per_group(_, _) -> ok.

%% A cache with a subscription.
subscribed(Config, CacheOpts, Opts) ->
    Cache = new(Config, CacheOpts),
    {ok, Subscription} = ?cache:subscribe(Cache, Opts),
    {Cache, Subscription}.

ready(Subscription) ->
    receive
        {erlmcp_native_cache, Subscription, ready} -> ok
    after 10_000 -> ct:fail(no_wake_up)
    end.

%% All that there are after a wake-up; none may have been dropped.
woken(Subscription) ->
    ready(Subscription),
    {Events, 0} = ?cache:events(Subscription, 10_000),
    Events.

replaced(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    ok = ?cache:put(Cache, a, {first, "value"}),
    ok = ?cache:put(Cache, a, {second, "value"}),
    {_, Version} = version(Cache, a),
    {ok, _} = ?cache:compare_and_put(Cache, a, Version, 3),
    ?assertEqual([{replaced, a, put}, {replaced, a, put}], woken(Subscription)).

version(Cache, Key) ->
    {ok, #{value := Value, version := Version}} = ?cache:get_entry(Cache, Key),
    {Value, Version}.

deleted(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    ok = ?cache:put(Cache, a, #{map => 1}),
    ok = ?cache:delete(Cache, a),
    ok = ?cache:delete(Cache, a),
    ?assertEqual([{deleted, a, explicit}], woken(Subscription)).

taken(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    ok = ?cache:put(Cache, a, #{map => 1}),
    {ok, #{map := 1}} = ?cache:take(Cache, a),
    {error, not_found} = ?cache:take(Cache, a),
    ?assertEqual([{deleted, a, take}], woken(Subscription)).

counters(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    {ok, 5} = ?cache:update_counter(Cache, a, 5, #{initial => 0}),
    {ok, 6} = ?cache:update_counter(Cache, a, 1, #{initial => 0}),
    ?assertEqual([{replaced, a, update}], woken(Subscription)).

%% What is not there any more was reported, and nothing else.
evicted(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{capacity => 1000}),
    [ok = ?cache:put(Cache, I, {I, <<"value">>}) || I <- lists:seq(1, 500)],
    Events = woken(Subscription),
    Gone = lists:sort([Key || {evicted, Key, size} <- Events]),
    ?assertEqual(length(Events), length(Gone)),
    ?assertEqual(lists:seq(1, 500), lists:sort(Gone ++ ?cache:keys(Cache))).

expired(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    ok = ?cache:put(Cache, a, {1}, #{ttl => 30}),
    ok = ?cache:put(Cache, b, {2}, #{idle => 30}),
    Events = woken(Subscription),
    %% They may be found one after the other.
    More = if length(Events) < 2 -> woken(Subscription); true -> [] end,
    ?assertEqual([{expired, a, ttl}, {expired, b, idle}], lists:sort(Events ++ More)).

%% Nobody touches the cache: the wake-up comes from the library's own thread.
expired_unseen(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{events => [expired]}),
    ok = ?cache:put(Cache, a, 1, #{ttl => 20}),
    ?assertEqual([{expired, a, ttl}], woken(Subscription)),
    ok = ?cache:put(Cache, b, 1, #{ttl => 20}),
    ?assertEqual([{expired, b, ttl}], woken(Subscription)).

invalidated(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    ok = ?cache:put(Cache, a, {1}, #{tags => [t]}),
    ok = ?cache:put(Cache, b, {2}, #{depends_on => [t]}),
    ok = ?cache:put(Cache, c, {3}, #{tags => [u]}),
    {ok, 1} = ?cache:invalidate_tag(Cache, t),
    ?assertEqual([{deleted, a, tag}], woken(Subscription)),
    {ok, 1} = ?cache:invalidate_dependents(Cache, t),
    ?assertEqual([{deleted, b, dependency}], woken(Subscription)).

cleared(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 1000}, #{capacity => 1000}),
    [ok = ?cache:put(Cache, I, {I}) || I <- lists:seq(1, 700)],
    ok = ?cache:clear(Cache),
    timer:sleep(10),
    ?assertEqual(
        [{deleted, I, clear} || I <- lists:seq(1, 700)],
        lists:sort(woken(Subscription))
    ).

purged(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    [ok = ?cache:put(Cache, Key, 1) || Key <- [<<"a:1">>, <<"a:2">>, <<"b:1">>, a]],
    {ok, 2} = ?cache:invalidate_prefix(Cache, <<"a:">>),
    ?assertEqual(
        [{deleted, <<"a:1">>, prefix}, {deleted, <<"a:2">>, prefix}],
        lists:sort(woken(Subscription))
    ),
    {ok, 1} = ?cache:invalidate_matching(Cache, <<"*:1">>),
    ?assertEqual([{deleted, <<"b:1">>, pattern}], woken(Subscription)).

keys_of_all_sorts(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    Keys = [
        1,
        1.0,
        1 bsl 100,
        <<>>,
        <<"binary">>,
        <<5:3>>,
        binary:copy(<<"x">>, 10_000),
        [],
        "string",
        {tuple, [<<"nested">>, #{map => 1}]},
        self(),
        make_ref(),
        fun() -> Config end,
        lists:seq(1, 9000),
        #{},
        maps:from_list([{I, {I}} || I <- lists:seq(1, 1000)])
    ],
    [ok = ?cache:put(Cache, Key, 1) || Key <- Keys],
    [ok = ?cache:delete(Cache, Key) || Key <- Keys],
    ?assertEqual([{deleted, Key, explicit} || Key <- Keys], woken(Subscription)).

kinds(Config) ->
    {Cache, Deletions} = subscribed(Config, #{capacity => 10}, #{events => [deleted]}),
    {ok, Rest} = ?cache:subscribe(Cache, #{events => [evicted, replaced]}),
    ok = ?cache:put(Cache, a, 1),
    ok = ?cache:put(Cache, a, 2),
    ok = ?cache:delete(Cache, a),
    ?assertEqual([{deleted, a, explicit}], woken(Deletions)),
    ?assertEqual([{replaced, a, put}], woken(Rest)).

one_wake_up(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    ok = ?cache:put(Cache, a, 0),
    [ok = ?cache:put(Cache, a, I) || I <- lists:seq(1, 10)],
    ready(Subscription),
    no_message(),
    %% As many as asked for: it is not known to be empty.
    {Ten, 0} = ?cache:events(Subscription, 10),
    ?assertEqual(10, length(Ten)),
    ok = ?cache:put(Cache, a, 11),
    no_message(),
    ?assertEqual({[{replaced, a, put}], 0}, ?cache:events(Subscription, 10)),
    ok = ?cache:put(Cache, a, 12),
    ?assertEqual([{replaced, a, put}], woken(Subscription)),
    no_message().

drops_are_counted(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{capacity => 7}),
    ok = ?cache:put(Cache, a, 0),
    [ok = ?cache:put(Cache, a, I) || I <- lists:seq(1, 100)],
    ready(Subscription),
    {Events, 93} = ?cache:events(Subscription, 1000),
    ?assertEqual(7, length(Events)),
    ?assertEqual({[], 0}, ?cache:events(Subscription, 1000)).

several_subscribers(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Self = self(),
    ok = ?cache:put(Cache, a, 0),
    Pids = [
        spawn_link(fun() ->
            {ok, Subscription} = ?cache:subscribe(Cache, #{}),
            Self ! subscribed,
            Self ! {self(), woken(Subscription)}
        end)
     || _ <- lists:seq(1, 20)
    ],
    [receive subscribed -> ok end || _ <- Pids],
    ok = ?cache:put(Cache, a, 1),
    [receive {Pid, Events} -> ?assertEqual([{replaced, a, put}], Events) end || Pid <- Pids].

sixty_four_subscribers(Config) ->
    Cache = new(Config, #{capacity => 100}),
    All = [element(2, {ok, _} = ?cache:subscribe(Cache, #{})) || _ <- lists:seq(1, 64)],
    ?assertEqual({error, system_limit}, ?cache:subscribe(Cache, #{})),
    ok = ?cache:unsubscribe(Cache, lists:last(All)),
    ?assertMatch({ok, _}, ?cache:subscribe(Cache, #{})).

unsubscribed(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    ok = ?cache:put(Cache, a, 1),
    ok = ?cache:unsubscribe(Cache, Subscription),
    ok = ?cache:unsubscribe(Cache, Subscription),
    ok = ?cache:put(Cache, a, 2),
    no_message(),
    ?assertEqual({[], 0}, ?cache:events(Subscription, 10)).

%% The places of the dead are free again.
subscriber_dies(Config) ->
    Cache = new(Config, #{capacity => 100}),
    Subscribe = fun() -> element(1, ?cache:subscribe(Cache, #{})) =:= ok end,
    Live = fun() -> [until(Subscribe) || _ <- lists:seq(1, 40)] end,
    ok = ?cache:put(Cache, a, 0),
    [
        begin
            {Pid, Monitor} = spawn_monitor(Live),
            receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason) end,
            ok = ?cache:put(Cache, a, I)
        end
     || I <- lists:seq(1, 10)
    ].

%% What is in the queue can still be taken.
cache_ends(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 100}, #{}),
    ok = ?cache:put(Cache, a, 1),
    ok = ?cache:put(Cache, a, 2),
    ok = ?cache:drop(Cache),
    ready(Subscription),
    ?assertMatch({[{replaced, a, put} | _], 0}, ?cache:events(Subscription, 10)),
    ?assertError(badarg, ?cache:unsubscribe(Cache, Subscription)).

%% The cache keeps a subscription that its subscriber refers to no more: the wake-up brings it.
handle_of_nobody(Config) ->
    Cache = new(Config, #{capacity => 100}),
    {ok, _} = ?cache:subscribe(Cache, #{}),
    erlang:garbage_collect(),
    ok = ?cache:put(Cache, a, 1),
    ok = ?cache:put(Cache, a, 2),
    receive
        {erlmcp_native_cache, Subscription, ready} ->
            ?assertEqual({[{replaced, a, put}], 0}, ?cache:events(Subscription, 10))
    after 10_000 -> ct:fail(no_wake_up)
    end.

%% With its subscriber, while the cache goes on.
full_queue_is_freed(Config) ->
    Cache = new(Config, #{capacity => 100}),
    ok = ?cache:put(Cache, a, 0),
    Before = erlmcp_native:memory(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        {ok, Subscription} = ?cache:subscribe(Cache, #{capacity => 65_536}),
        [ok = ?cache:put(Cache, a, I) || I <- lists:seq(1, 65_537)],
        ?assert(erlmcp_native:memory() - Before > 2_000_000),
        ready(Subscription),
        {Events, 1} = ?cache:events(Subscription, 10),
        ?assertEqual(10, length(Events))
    end),
    receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason) end,
    until(fun() -> erlmcp_native:memory() - Before < 500_000 end).

%% Every replacement arrives or is counted.
many_writers(Config) ->
    {Cache, Subscription} = subscribed(Config, #{capacity => 1000}, #{capacity => 100}),
    Self = self(),
    spawn_link(fun() ->
        _ = parallel(8, fun(I) ->
            [ok = ?cache:put(Cache, {I, J rem 10}, J) || J <- lists:seq(0, 4999)]
        end),
        Self ! done
    end),
    ?assertEqual(8 * 4990, take(Cache, Subscription, 0)).

take(Cache, Subscription, Sum) ->
    receive
        {erlmcp_native_cache, Subscription, ready} ->
            take(Cache, Subscription, Sum + taken_now(Subscription))
    after 0 ->
        receive
            {erlmcp_native_cache, Subscription, ready} ->
                take(Cache, Subscription, Sum + taken_now(Subscription));
            done ->
                Sum + taken_now(Subscription)
        end
    end.

taken_now(Subscription) ->
    {Events, Dropped} = ?cache:events(Subscription, 100_000),
    ?assert(lists:all(fun(Event) -> element(1, Event) =:= replaced end, Events)),
    length(Events) + Dropped.
