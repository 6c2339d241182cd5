%% A limit and a breaker as erlmcp has them, in the smallest form: one process that does everything, one
%% call after the other. Its `erlmcp_rate_limiter` keeps token buckets in a map by key, its
%% `erlmcp_circuit_breaker` calls the guarded fun itself.
-module(erlmcp_serialised_baseline).
-behaviour(gen_server).

-export([start_limiter/1, check/2, start_breaker/2, call/2, stop/1]).
-export([init/1, handle_call/3, handle_cast/2]).

-type bucket() :: {Tokens :: float(), Since :: integer()}.
-record(limiter, {rate :: float(), burst :: pos_integer(), buckets = #{} :: #{term() => bucket()}}).
-record(breaker, {
    most :: pos_integer(),
    open :: pos_integer(),
    failures = 0 :: non_neg_integer(),
    until = none :: integer() | none
}).

%% So many in so many milliseconds, and so many at once.
-spec start_limiter(#{limit := pos_integer(), per := pos_integer(), burst := pos_integer()}) -> {ok, pid()}.
start_limiter(#{limit := Limit, per := Per, burst := Burst}) ->
    gen_server:start_link(?MODULE, #limiter{rate = Limit / (Per * 1.0e6), burst = Burst}, []).

%% So many failures in a row open it for so many milliseconds.
-spec start_breaker(pos_integer(), pos_integer()) -> {ok, pid()}.
start_breaker(Failures, Open) ->
    gen_server:start_link(?MODULE, #breaker{most = Failures, open = Open}, []).

-spec stop(pid()) -> ok.
stop(Pid) ->
    gen_server:stop(Pid).

-spec check(pid(), term()) -> {ok, non_neg_integer()} | {error, rate_limited, pos_integer()}.
check(Limiter, Key) ->
    gen_server:call(Limiter, {check, Key}, infinity).

-spec call(pid(), fun(() -> Result)) -> Result | {error, {circuit_open, non_neg_integer()}}.
call(Breaker, Fun) ->
    gen_server:call(Breaker, {call, Fun}, infinity).

init(State) ->
    {ok, State}.

handle_call({check, Key}, _From, #limiter{rate = Rate, burst = Burst, buckets = Buckets} = State) ->
    Now = erlang:monotonic_time(nanosecond),
    Tokens =
        case Buckets of
            #{Key := {Left, Since}} -> min(float(Burst), Left + Rate * (Now - Since));
            #{} -> float(Burst)
        end,
    case Tokens >= 1.0 of
        true ->
            {reply, {ok, trunc(Tokens - 1.0)}, State#limiter{buckets = Buckets#{Key => {Tokens - 1.0, Now}}}};
        false ->
            Wait = max(1, ceil((1.0 - Tokens) / Rate / 1.0e6)),
            {reply, {error, rate_limited, Wait}, State}
    end;
handle_call({call, Fun}, _From, #breaker{until = Until, failures = Failures} = State) ->
    Now = erlang:monotonic_time(millisecond),
    case Until =/= none andalso Now < Until of
        true ->
            {reply, {error, {circuit_open, Until - Now}}, State};
        false ->
            case Fun() of
                {error, _} = Result -> {reply, Result, failed(State#breaker{failures = Failures + 1}, Now)};
                Result -> {reply, Result, State#breaker{failures = 0, until = none}}
            end
    end.

failed(#breaker{failures = Failures, most = Most, open = Open} = State, Now) when Failures >= Most ->
    State#breaker{until = Now + Open};
failed(State, _) ->
    State.

handle_cast(_, State) ->
    {noreply, State}.
