%% What the suites of pools share: pools, and processes that use them as they are told.
-module(erlmcp_native_test_pools).
-include_lib("stdlib/include/assert.hrl").

-export([start/1, start_all/1, workers/2, is_quiet/0]).
-export([user/0, ask/2, tell/2, answer/1, kill/1, finish/1, take/1, take/2]).
-export([is_waiting/2, events/1, event/1]).

-define(p, erlmcp_native_pool).

%% A pool's handle; all its workers are up.
start_all(Opts) ->
    start(Opts#{start => all}).

start(Opts) ->
    Defaults = #{
        worker => {erlmcp_native_test_worker, #{}},
        backoff => #{min => 1, max => 5},
        checkout_timeout => infinity
    },
    Given =
        case Opts of
            #{worker := {static, _}} -> maps:remove(backoff, Defaults);
            #{worker := token} -> maps:remove(backoff, Defaults);
            #{} -> Defaults
        end,
    {ok, Pid} = ?p:start_link(maps:merge(Given, Opts)),
    ?p:handle(Pid).

%% Waits until the status has these.
workers(Pool, Expected) ->
    erlmcp_native_test_wait:until(fun() ->
        Status = ?p:status(Pool),
        maps:with(maps:keys(Expected), Status) =:= Expected
    end).

is_waiting(Pool, N) ->
    workers(Pool, #{waiting => N}).

%% Whether nothing came that nobody waits for.
is_quiet() ->
    process_info(self(), messages) =:= {messages, []}.

%% A process that does what it is told to.
user() ->
    spawn(fun user_loop/0).

user_loop() ->
    receive
        {do, From, Ref, Fun} ->
            From ! {Ref, Fun()},
            user_loop();
        {finish, From, Ref} ->
            From ! {Ref, process_info(self(), messages)}
    end.

ask(User, Fun) ->
    answer(tell(User, Fun)).

tell(User, Fun) ->
    Ref = monitor(process, User),
    User ! {do, self(), Ref, Fun},
    Ref.

answer(Ref) ->
    receive
        {Ref, Answer} ->
            true = demonitor(Ref, [flush]),
            Answer;
        {'DOWN', Ref, process, _, Reason} ->
            {died, Reason}
    end.

kill(User) ->
    Ref = monitor(process, User),
    exit(User, kill),
    receive
        {'DOWN', Ref, process, User, _} -> ok
    end.

%% Ends it, and it has nothing left in its mailbox.
finish(User) ->
    Ref = monitor(process, User),
    User ! {finish, self(), Ref},
    ?assertEqual({messages, []}, answer(Ref)).

take(Pool) -> take(Pool, #{}).

take(Pool, Opts) ->
    {ok, Worker, Lease} = ?p:checkout(Pool, Opts),
    {Worker, Lease}.

%% The events of that name that have come.
events(Name) ->
    receive
        {erlmcp_native_event, Name, Measured, Metadata} -> [{Measured, Metadata} | events(Name)]
    after 0 -> []
    end.

event(Name) ->
    receive
        {erlmcp_native_event, Name, Measured, Metadata} -> {Measured, Metadata}
    end.
