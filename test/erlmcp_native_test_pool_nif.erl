%% Native pools without their door: how a client waits, and pools of workers that are numbers.
-module(erlmcp_native_test_pool_nif).

-export([config/1, new/1, new/2, checkout/2, checkout/3, status/2]).

-define(NIF, erlmcp_native_nif).

-spec config(map()) -> map().
config(Other) ->
    Config = #{
        strategy => fifo, concurrency => 1, max => 1000, queue => infinity, barging => 1,
        codel => none, adaptive => none, reset => false, latency_decay => 10_000,
        wait_histogram => none, checkout_timeout => 5000
    },
    maps:merge(Config, Other).

%% A pool of the caller, with so many workers, from 1 on, whose keeper it is.
-spec new(pos_integer(), map()) -> pos_integer().
new(Workers, Config) ->
    Pool = new(Config#{max => Workers}),
    [true = is_integer(?NIF:pool_add(Pool, Worker, self(), infinity)) || Worker <- lists:seq(1, Workers)],
    Pool.

-spec new(map()) -> pos_integer().
new(Config) ->
    {Name, Other} = case maps:take(name, Config) of error -> {undefined, Config}; Taken -> Taken end,
    Pool = ?NIF:pool_new(Name, self(), config(Other)),
    true = is_integer(Pool),
    Pool.

-spec checkout(erlmcp_native_nif:pool(), timeout()) -> {ok, term(), non_neg_integer()} | atom().
checkout(Pool, Timeout) -> checkout(Pool, 1, Timeout).

%% As the door does it.
-spec checkout(erlmcp_native_nif:pool(), 0..3, timeout()) -> {ok, term(), non_neg_integer()} | atom().
checkout(Pool, Priority, Timeout) ->
    Ref = make_ref(),
    Timer = erlang:monotonic_time(millisecond),
    case ?NIF:pool_wait(Pool, Priority, 0, Ref, Timeout) of
        {wait, Lease, infinity, Handle} -> await(Handle, Lease, Ref, infinity);
        {wait, Lease, Timeout, Handle} -> await(Handle, Lease, Ref, Timer + Timeout);
        Answer -> Answer
    end.

await(Pool, Lease, Ref, Deadline) ->
    Left =
        case Deadline of
            infinity -> infinity;
            _ -> max(0, Deadline + 1 - erlang:monotonic_time(millisecond))
        end,
    receive
        Ref ->
            case ?NIF:pool_claim(Pool, Lease, Ref) of
                wait -> await(Pool, Lease, Ref, Deadline);
                Answer -> Answer
            end
    after Left ->
        case ?NIF:pool_cancel(Pool, Lease) of
            woken ->
                receive Ref -> ok end,
                ?NIF:pool_claim(Pool, Lease, none);
            timeout ->
                timeout
        end
    end.

%% Some of a pool's status, in this order.
-spec status(erlmcp_native_nif:pool(), [atom()]) -> [term()].
status(Pool, Keys) ->
    Status = ?NIF:pool_status(Pool),
    [map_get(Key, Status) || Key <- Keys].
