-module(erlmcp_native_nif).
-include("erlmcp_native_doc.hrl").
-include("erlmcp_native_vocabulary.hrl").
?MODULEDOC(false).

-export([
    breaker_delete/1,
    breaker_enter/1,
    breaker_enter/2,
    breaker_force/2,
    breaker_info/1,
    breaker_leave/3,
    breaker_names/0,
    breaker_new/4,
    breaker_state/1,
    breaker_whereis/1,
    cache_clear/1,
    cache_dead/2,
    cache_delete/3,
    cache_drop/1,
    cache_events/2,
    cache_fetch/5,
    cache_flight_adopt/1,
    cache_flight_end/2,
    cache_flight_join/3,
    cache_flight_leave/3,
    cache_get/3,
    cache_get_entry/3,
    cache_info/1,
    cache_invalidate/3,
    cache_is_key/3,
    cache_job_cancel/1,
    cache_job_rows/2,
    cache_load/4,
    cache_names/0,
    cache_new/2,
    cache_purge/4,
    cache_put/5,
    cache_put/7,
    cache_resize/2,
    cache_save/3,
    cache_scan/4,
    cache_stale/3,
    cache_stats/1,
    cache_subscribe/3,
    cache_take/3,
    cache_touch/4,
    cache_ttl/3,
    cache_unsubscribe/2,
    cache_update_counter/6,
    cache_whereis/1,
    call_time_read/0,
    call_time_reset/0,
    clock_elapsed/1,
    clock_start/0,
    histogram_buckets/2,
    histogram_check/1,
    histogram_cumulative/1,
    histogram_decaying/2,
    histogram_delete/1,
    histogram_fraction_below/2,
    histogram_from_hdr/1,
    histogram_info/1,
    histogram_log_header/1,
    histogram_log_line/5,
    histogram_log_read/1,
    histogram_merge/1,
    histogram_new/6,
    histogram_plot/2,
    histogram_quantiles/3,
    histogram_record/2,
    histogram_record_corrected/3,
    histogram_record_many/2,
    histogram_reset/1,
    histogram_snapshot/1,
    histogram_stop/2,
    histogram_subtract/2,
    histogram_summary/1,
    histogram_to_hdr/2,
    histogram_whereis/1,
    histogram_windows/1,
    json_decode/3,
    json_decode_large/3,
    json_encode/1,
    json_encode/4,
    json_get/3,
    json_split/2,
    limiter_acquire/5,
    limiter_blocked_for/3,
    limiter_check/2,
    limiter_check/5,
    limiter_check_all/4,
    limiter_delete/1,
    limiter_info/1,
    limiter_names/0,
    limiter_new/3,
    limiter_peek/5,
    limiter_release/2,
    limiter_reserve/5,
    limiter_reset/3,
    limiter_unblock/3,
    limiter_whereis/1,
    memory_in_use/0,
    metrics_encode/2,
    pool_add/4,
    pool_cancel/2,
    pool_checkin/3,
    pool_checkout/3,
    pool_claim/3,
    pool_delete/1,
    pool_demand/1,
    pool_failure/1,
    pool_failure/2,
    pool_idle/3,
    pool_leases/3,
    pool_manager/1,
    pool_mode/2,
    pool_names/0,
    pool_new/3,
    pool_ready/2,
    pool_remove/2,
    pool_resize/2,
    pool_retire/2,
    pool_status/1,
    pool_take/2,
    pool_wait/5,
    pool_whereis/1,
    pool_workers/1,
    rate_delete/1,
    rate_mark/2,
    rate_new/2,
    rate_read/1,
    rate_whereis/1,
    rpc_decode/3,
    rpc_encode/2,
    rpc_headers_match/5,
    rpc_peek/2,
    schema_compile/2,
    schema_validate/3,
    schema_validate_large/3
]).
-export([vocabulary/0]).
-nifs([
    breaker_delete/1,
    breaker_enter/1,
    breaker_enter/2,
    breaker_force/2,
    breaker_info/1,
    breaker_leave/3,
    breaker_names/0,
    breaker_new/4,
    breaker_state/1,
    breaker_whereis/1,
    cache_clear/1,
    cache_dead/2,
    cache_delete/3,
    cache_drop/1,
    cache_events/2,
    cache_fetch/5,
    cache_flight_adopt/1,
    cache_flight_end/2,
    cache_flight_join/3,
    cache_flight_leave/3,
    cache_get/3,
    cache_get_entry/3,
    cache_info/1,
    cache_invalidate/3,
    cache_is_key/3,
    cache_job_cancel/1,
    cache_job_rows/2,
    cache_load/4,
    cache_names/0,
    cache_new/2,
    cache_purge/4,
    cache_put/5,
    cache_put/7,
    cache_resize/2,
    cache_save/3,
    cache_scan/4,
    cache_stale/3,
    cache_stats/1,
    cache_subscribe/3,
    cache_take/3,
    cache_touch/4,
    cache_ttl/3,
    cache_unsubscribe/2,
    cache_update_counter/6,
    cache_whereis/1,
    call_time_read/0,
    call_time_reset/0,
    clock_elapsed/1,
    clock_start/0,
    histogram_buckets/2,
    histogram_check/1,
    histogram_cumulative/1,
    histogram_decaying/2,
    histogram_delete/1,
    histogram_fraction_below/2,
    histogram_from_hdr/1,
    histogram_info/1,
    histogram_log_header/1,
    histogram_log_line/5,
    histogram_log_read/1,
    histogram_merge/1,
    histogram_new/6,
    histogram_plot/2,
    histogram_quantiles/3,
    histogram_record/2,
    histogram_record_corrected/3,
    histogram_record_many/2,
    histogram_reset/1,
    histogram_snapshot/1,
    histogram_stop/2,
    histogram_subtract/2,
    histogram_summary/1,
    histogram_to_hdr/2,
    histogram_whereis/1,
    histogram_windows/1,
    json_decode/3,
    json_decode_large/3,
    json_encode/1,
    json_encode/4,
    json_get/3,
    json_split/2,
    limiter_acquire/5,
    limiter_blocked_for/3,
    limiter_check/2,
    limiter_check/5,
    limiter_check_all/4,
    limiter_delete/1,
    limiter_info/1,
    limiter_names/0,
    limiter_new/3,
    limiter_peek/5,
    limiter_release/2,
    limiter_reserve/5,
    limiter_reset/3,
    limiter_unblock/3,
    limiter_whereis/1,
    memory_in_use/0,
    metrics_encode/2,
    pool_add/4,
    pool_cancel/2,
    pool_checkin/3,
    pool_checkout/3,
    pool_claim/3,
    pool_delete/1,
    pool_demand/1,
    pool_failure/1,
    pool_failure/2,
    pool_idle/3,
    pool_leases/3,
    pool_manager/1,
    pool_mode/2,
    pool_names/0,
    pool_new/3,
    pool_ready/2,
    pool_remove/2,
    pool_resize/2,
    pool_retire/2,
    pool_status/1,
    pool_take/2,
    pool_wait/5,
    pool_whereis/1,
    pool_workers/1,
    rate_delete/1,
    rate_mark/2,
    rate_new/2,
    rate_read/1,
    rate_whereis/1,
    rpc_decode/3,
    rpc_encode/2,
    rpc_headers_match/5,
    rpc_peek/2,
    schema_compile/2,
    schema_validate/3,
    schema_validate_large/3
]).
-on_load(init/0).

%% Equals ABI in native/nif/src/boundary.rs.
-define(ABI, 1).
-define(nif_stub, erlang:nif_error({nif_not_loaded, ?MODULE})).

-spec init() -> ok | {error, {Reason, string()}} when
    Reason :: load_failed | bad_lib | load | reload | upgrade | old_code.
init() ->
    erlang:load_nif(filename:join(code:priv_dir(erlmcp_native), "liberlmcp_native"), {?ABI, ?VOCABULARY}).

%% The literal that the NIFs take well-known strings from. It stands in this module, which is
%% never replaced, so that it is always the one the library was loaded with.
-spec vocabulary() -> tuple().
vocabulary() -> ?VOCABULARY.

%% A limiter is a handle or a name. Costs are from 1 to 10^9, priorities 0 (high), 1 and 2. External is
%% [] or, after the answer complex, what term_to_binary/2 makes of the key.
-type limiter() :: non_neg_integer() | atom().
-type limiter_refused() :: {error, rate_limited, non_neg_integer() | infinity}.
%% Nothing was done: the limiter is none or of another algorithm, or an argument is wrong.
-type limiter_wrong() :: invalid_limiter | unsupported | complex | too_large | invalid_value.
-type limiter_answer(T) ::
    {ok, T}
    | limiter_refused()
    | {events, {ok, T} | limiter_refused(), [{blocked | unblocked, Nth :: pos_integer()}]}
    | limiter_wrong().

-spec limiter_acquire(limiter(), term(), pos_integer(), 0..2, binary() | []) ->
    limiter_answer(Permit :: non_neg_integer()) | system_limit.
limiter_acquire(_Limiter, _Key, _Cost, _Priority, _External) -> ?nif_stub.

-spec limiter_blocked_for(limiter(), term(), binary() | []) -> non_neg_integer() | limiter_wrong().
limiter_blocked_for(_Limiter, _Key, _External) -> ?nif_stub.

-spec limiter_check(limiter(), term()) -> limiter_answer(Left :: non_neg_integer()).
limiter_check(_Limiter, _Key) -> ?nif_stub.

-spec limiter_check(limiter(), term(), pos_integer(), 0..2, binary() | []) ->
    limiter_answer(Left :: non_neg_integer()).
limiter_check(_Limiter, _Key, _Cost, _Priority, _External) -> ?nif_stub.

%% Externals are of all keys or of none.
-spec limiter_check_all([{limiter(), term()}, ...], pos_integer(), 0..2, [binary()]) ->
    limiter_answer(Left :: non_neg_integer()).
limiter_check_all(_Limits, _Cost, _Priority, _Externals) -> ?nif_stub.

-spec limiter_delete(limiter()) -> boolean().
limiter_delete(_Limiter) -> ?nif_stub.

-spec limiter_info(limiter()) -> map() | invalid_limiter.
limiter_info(_Limiter) -> ?nif_stub.

-spec limiter_names() -> [atom()].
limiter_names() -> ?nif_stub.

%% Limit is how many in Per milliseconds; Floors is what is left to higher priorities by high, normal
%% and low ones; Bypass is whether high ones always go on. Block is after how many refusals within how
%% many milliseconds a key is shut out for how many.
-spec limiter_new(Name :: atom(), Owner :: pid() | none, {
    Algorithm :: atom(),
    {Limit :: pos_integer(), Per :: pos_integer(), Burst :: pos_integer()},
    MaxKeys :: pos_integer(),
    Floors :: {non_neg_integer(), non_neg_integer(), non_neg_integer()},
    Bypass :: boolean(),
    Block :: none | {pos_integer(), pos_integer(), pos_integer()}
}) -> pos_integer() | exists | system_limit.
limiter_new(_Name, _Owner, _Config) -> ?nif_stub.

-spec limiter_peek(limiter(), term(), pos_integer(), 0..2, binary() | []) ->
    {ok, Left :: non_neg_integer()} | limiter_refused() | limiter_wrong().
limiter_peek(_Limiter, _Key, _Cost, _Priority, _External) -> ?nif_stub.

-spec limiter_release(limiter(), Permit :: non_neg_integer()) -> ok | stale | limiter_wrong().
limiter_release(_Limiter, _Permit) -> ?nif_stub.

-spec limiter_reserve(limiter(), term(), pos_integer(), 0..2, binary() | []) ->
    limiter_answer(Delay :: non_neg_integer()).
limiter_reserve(_Limiter, _Key, _Cost, _Priority, _External) -> ?nif_stub.

%% Whether the key was shut out.
-spec limiter_reset(limiter(), term(), binary() | []) -> boolean() | limiter_wrong().
limiter_reset(_Limiter, _Key, _External) -> ?nif_stub.

-spec limiter_unblock(limiter(), term(), binary() | []) -> boolean() | limiter_wrong().
limiter_unblock(_Limiter, _Key, _External) -> ?nif_stub.

-spec limiter_whereis(atom()) -> pos_integer() | undefined.
limiter_whereis(_Name) -> ?nif_stub.

%% A handle or a name; anything else is no pool.
-type pool() :: term().
-type pool_lease() :: non_neg_integer().
-type pool_cell() :: non_neg_integer().
%% What a process that wants a worker is told. `wait': there is none now. `system_limit': too many
%% leases, or the process is about to end.
-type pool_answer() ::
    {ok, Worker :: term(), pool_lease()} | overloaded | closed | invalid_pool | system_limit.

%% Arguments: name, the process that the pool ends with and that is told of what it needs, options.
-spec pool_new(atom(), pid(), map()) -> non_neg_integer() | exists | system_limit.
pool_new(_Name, _Manager, _Options) -> ?nif_stub.

-spec pool_delete(pool()) -> boolean().
pool_delete(_Pool) -> ?nif_stub.

-spec pool_whereis(atom()) -> non_neg_integer() | undefined.
pool_whereis(_Name) -> ?nif_stub.

%% Arguments: pool, priority, key (of the strategy hash; `none' is the caller).
-spec pool_checkout(pool(), 0..3, non_neg_integer() | none) -> pool_answer() | wait.
pool_checkout(_Pool, _Priority, _Key) -> ?nif_stub.

%% As above, with a reference of make_ref/0 and milliseconds: where there is no worker the caller is
%% sent the reference when it is to claim one by the lease, of the pool of that handle. It is told for how
%% long that may take.
-spec pool_wait(pool(), 0..3, non_neg_integer() | none, reference(), timeout() | default) ->
    pool_answer() | {wait, pool_lease(), timeout(), pool()} | timeout.
pool_wait(_Pool, _Priority, _Key, _Reference, _Timeout) -> ?nif_stub.

%% After the reference was received. With `none' for one it does not go on waiting.
-spec pool_claim(pool(), pool_lease(), reference() | none) ->
    pool_answer() | wait | timeout | stale.
pool_claim(_Pool, _Lease, _Reference) -> ?nif_stub.

%% `woken': the reference was sent, or is about to be.
-spec pool_cancel(pool(), pool_lease()) -> timeout | woken | stale | invalid_pool.
pool_cancel(_Pool, _Lease) -> ?nif_stub.

%% `reset': as if its owner had ended.
-spec pool_checkin(pool(), pool_lease(), ok | broken | reset) -> ok | stale | invalid_pool.
pool_checkin(_Pool, _Lease, _How) -> ?nif_stub.

%% Arguments: pool, worker, its keeper, how often it may be used.
-spec pool_add(pool(), term(), pid() | none, pos_integer() | infinity) ->
    pool_cell() | full | closed | invalid_pool | system_limit.
pool_add(_Pool, _Worker, _Keeper, _Uses) -> ?nif_stub.

%% Its worker has ended.
-spec pool_remove(pool(), pool_cell()) -> ok | gone | invalid_pool.
pool_remove(_Pool, _Cell) -> ?nif_stub.

%% Nobody gets it any more.
-spec pool_retire(pool(), pool_cell()) -> removed | retiring | gone | invalid_pool.
pool_retire(_Pool, _Cell) -> ?nif_stub.

%% Takes an idle one away for a while.
-spec pool_take(pool(), pool_cell()) -> ok | busy | gone | invalid_pool.
pool_take(_Pool, _Cell) -> ?nif_stub.

%% It is back.
-spec pool_ready(pool(), pool_cell()) -> ok | gone | invalid_pool.
pool_ready(_Pool, _Cell) -> ?nif_stub.

%% Takes those away that were idle for longer than so many milliseconds, so many at most.
-spec pool_idle(pool(), timeout(), non_neg_integer()) -> [pool_cell()] | invalid_pool.
pool_idle(_Pool, _Longer, _Most) -> ?nif_stub.

-spec pool_mode(pool(), open | suspended | draining | closed) -> ok | invalid_pool.
pool_mode(_Pool, _Mode) -> ?nif_stub.

-spec pool_resize(pool(), non_neg_integer()) -> ok | invalid_pool.
pool_resize(_Pool, _Max) -> ?nif_stub.

%% How many wait, or found no worker and would not wait, beyond the uses that could begin. The manager is
%% told of the next.
-spec pool_demand(pool()) -> non_neg_integer() | invalid_pool.
pool_demand(_Pool) -> ?nif_stub.

%% Why no worker could be started, or `none'.
-spec pool_failure(pool(), term()) -> ok | system_limit | invalid_pool.
pool_failure(_Pool, _Reason) -> ?nif_stub.

-spec pool_failure(pool()) -> none | {failed, term()} | invalid_pool.
pool_failure(_Pool) -> ?nif_stub.

-spec pool_manager(pool()) -> pid() | invalid_pool.
pool_manager(_Pool) -> ?nif_stub.

%% Also of some that are closed.
-spec pool_names() -> [atom()].
pool_names() -> ?nif_stub.

-spec pool_status(pool()) -> map() | invalid_pool.
pool_status(_Pool) -> ?nif_stub.

%% Those held for longer than so many milliseconds, so many at most, the longest first.
-spec pool_leases(pool(), timeout(), non_neg_integer()) ->
    [{pool_lease(), Owner :: pid(), Worker :: term(), Milliseconds :: non_neg_integer()}]
    | invalid_pool.
pool_leases(_Pool, _Longer, _Most) -> ?nif_stub.

%% With how often each was used, by how many it is used now, and its smoothed latency in nanoseconds.
-spec pool_workers(pool()) ->
    [{
        pool_cell(),
        Worker :: term(),
        Uses :: non_neg_integer(),
        InUse :: non_neg_integer(),
        idle | in_use | away | retiring,
        Nanoseconds :: non_neg_integer(),
        Keeper :: pid() | none
    }]
    | invalid_pool.
pool_workers(_Pool) -> ?nif_stub.

%% A cache is a handle or a name; Bytes is [] or, after the answer complex, what term_to_binary/1
%% makes of the key. What the doors must still make a value of: an answer.
-type cache() :: reference() | atom().
-type breaker() :: pos_integer() | atom().
%% A breaker's changes of state that the call has brought about or found, if there are any.
-type changed(Answer) ::
    Answer | {[{Name :: atom(), From :: atom(), To :: atom(), Cause :: atom()}, ...], Answer}.
-type entry() ::
    integer() | {integer(), fun((atom(), term()) -> term())}
    | {open, RetryAfter :: non_neg_integer() | infinity}.
-type histogram() :: pos_integer() | atom().
-type rate() :: pos_integer() | atom().
-type bytes() :: [] | binary().
-type token() :: reference().
-type event() ::
    {Kind :: atom(), Key :: term(), Cause :: atom()}
    | {Kind :: atom(), Cause :: atom(), external, Key :: binary()}.
-type form() :: plain | external | copied | stored.
-type answer() :: {ok, term()} | {external, binary()} | {stored, ets:tid(), pos_integer()}.
-type put_answer() ::
    ok | {ok, [pos_integer()] | pos_integer()} | superseded | complex | complex_value
    | {store, ets:tid(), IsSized :: boolean()}
    | {weigh, fun((term(), term()) -> pos_integer())}
    | {error, too_large | exists | not_found | {conflict, pos_integer()} | system_limit}.

-spec breaker_delete(breaker()) -> boolean().
breaker_delete(_Breaker) -> ?nif_stub.

%% A token admits the calling process, or that one; with a fun, that is to be asked for the outcome.
-spec breaker_enter(breaker()) -> changed(entry()) | invalid_breaker.
breaker_enter(_Breaker) -> ?nif_stub.

-spec breaker_enter(breaker(), pid()) -> changed(entry()) | invalid_breaker.
breaker_enter(_Breaker, _Caller) -> ?nif_stub.

%% A time is one to be open for, in milliseconds.
-spec breaker_force(breaker(), reset | closed | disabled | infinity | non_neg_integer()) ->
    changed(ok) | invalid_breaker | invalid_value.
breaker_force(_Breaker, _To) -> ?nif_stub.

%% Tuples of numbers: the window's calls, failures and slow ones; the probes under way, succeeded
%% and failed; the transitions to closed, open, half_open and disabled.
-spec breaker_info(breaker()) -> changed(map()) | invalid_breaker.
breaker_info(_Breaker) -> ?nif_stub.

-spec breaker_leave(breaker(), integer(), ok | failure | ignored) ->
    changed(ok | stale | invalid_token) | invalid_breaker | invalid_token | invalid_value.
breaker_leave(_Breaker, _Token, _Outcome) -> ?nif_stub.

-spec breaker_names() -> [atom()].
breaker_names() -> ?nif_stub.

%% The settings are what erlmcp_native_breaker_options makes.
-spec breaker_new(Name :: atom(), Owner :: pid() | none, Settings :: tuple(), Outcome) ->
    pos_integer() | exists | system_limit
when
    Outcome :: fun((atom(), term()) -> ok | failure | ignored) | none.
breaker_new(_Name, _Owner, _Settings, _Outcome) -> ?nif_stub.

-spec breaker_state(breaker()) -> changed(closed | open | half_open | disabled) | invalid_breaker.
breaker_state(_Breaker) -> ?nif_stub.

-spec breaker_whereis(atom()) -> pos_integer() | undefined.
breaker_whereis(_Name) -> ?nif_stub.

-spec cache_clear(cache()) -> ok.
cache_clear(_Cache) -> ?nif_stub.

%% Rows of the table of a cache with store => ets whose entries are gone.
-spec cache_dead(cache(), non_neg_integer()) -> [pos_integer()].
cache_dead(_Cache, _Max) -> ?nif_stub.

-spec cache_delete(cache(), term(), bytes()) -> boolean() | complex.
cache_delete(_Cache, _Key, _Bytes) -> ?nif_stub.

-spec cache_drop(cache()) -> ok.
cache_drop(_Cache) -> ?nif_stub.

%% Events since the last call, how many more found no room, and whether there may be more; if not,
%% the next one sends {erlmcp_native_cache, Subscription, ready}.
-spec cache_events(reference(), pos_integer()) ->
    {[event()], non_neg_integer(), more | empty}.
cache_events(_Subscription, _Max) -> ?nif_stub.

%% After is 0 or a flight whose runner died; Ahead how many milliseconds before its end a value is
%% to be refreshed. The answer's token is to be kept until cache_flight_end/2.
-spec cache_fetch(cache(), term(), bytes(), non_neg_integer(), default | non_neg_integer()) ->
    answer() | {refresh, answer(), token()} | {run, token()} | {wait, pid(), pos_integer()}
    | recursive | complex | {error, too_large}.
cache_fetch(_Cache, _Key, _Bytes, _After, _Ahead) -> ?nif_stub.

-spec cache_flight_adopt(token()) -> ok | ended.
cache_flight_adopt(_Token) -> ?nif_stub.

%% Aliases of those who wait, some at a time, until there are no more.
-spec cache_flight_end(token(), loaded | failed | unused) -> [reference()].
cache_flight_end(_Token, _Outcome) -> ?nif_stub.

-spec cache_flight_join(cache(), pos_integer(), reference()) ->
    ok | ended | {error, system_limit}.
cache_flight_join(_Cache, _Flight, _Alias) -> ?nif_stub.

-spec cache_flight_leave(cache(), pos_integer(), reference()) -> ok.
cache_flight_leave(_Cache, _Flight, _Alias) -> ?nif_stub.

-spec cache_get(cache(), term(), bytes()) -> answer() | {error, not_found} | complex.
cache_get(_Cache, _Key, _Bytes) -> ?nif_stub.

-spec cache_get_entry(cache(), term(), bytes()) ->
    {answer(), pos_integer(), non_neg_integer() | infinity} | {error, not_found} | complex.
cache_get_entry(_Cache, _Key, _Bytes) -> ?nif_stub.

-spec cache_info(cache()) -> map().
cache_info(_Cache) -> ?nif_stub.

-spec cache_invalidate(cache(), tag | dependents, term()) -> {ok, non_neg_integer()}.
cache_invalidate(_Cache, _Kind, _Name) -> ?nif_stub.

-spec cache_is_key(cache(), term(), bytes()) -> boolean() | complex.
cache_is_key(_Cache, _Key, _Bytes) -> ?nif_stub.

-spec cache_job_cancel(reference()) -> ok.
cache_job_cancel(_Job) -> ?nif_stub.

%% Answers {Job, {rows, Table, Rows}}: for each row its value's external form, if it is there.
-spec cache_job_rows(reference(), [binary() | gone]) -> ok.
cache_job_rows(_Job, _Rows) -> ?nif_stub.

%% The answer comes as {Job, Answer}.
-spec cache_load(cache(), binary(), pos_integer(), {boolean(), boolean()}) ->
    {ok, Job :: reference()} | {error, system_limit}.
cache_load(_Cache, _Path, _Threads, _OverwriteAnyAtoms) -> ?nif_stub.

-spec cache_names() -> [atom()].
cache_names() -> ?nif_stub.

-spec cache_new(atom(), map()) -> {ok, reference()} | {error, exists | system_limit}.
cache_new(_Name, _Options) -> ?nif_stub.

-spec cache_purge(cache(), start | non_neg_integer(), {prefix | glob, binary()}, pos_integer()) ->
    {non_neg_integer(), non_neg_integer() | done}.
cache_purge(_Cache, _From, _What, _Limit) -> ?nif_stub.

-spec cache_put(cache(), term(), bytes(), term(), form()) -> put_answer().
cache_put(_Cache, _Key, _Bytes, _Value, _Form) -> ?nif_stub.

-spec cache_put(cache(), term(), bytes(), term(), form(), Mode, tuple()) ->
    put_answer() when Mode :: always | new | {version, non_neg_integer()}.
cache_put(_Cache, _Key, _Bytes, _Value, _Form, _Mode, _Options) -> ?nif_stub.

-spec cache_resize(cache(), pos_integer()) -> ok | {error, too_large}.
cache_resize(_Cache, _Capacity) -> ?nif_stub.

%% The answer comes as {Job, Answer}, after questions for rows of the cache's table.
-spec cache_save(cache(), binary(), pos_integer()) ->
    {ok, Job :: reference()} | {error, system_limit}.
cache_save(_Cache, _Path, _Threads) -> ?nif_stub.

-spec cache_scan(cache(), start | non_neg_integer(), keys | entries, pos_integer()) ->
    {[{key, term()} | {{key, term()}, answer()}], non_neg_integer() | done}.
cache_scan(_Cache, _From, _What, _Limit) -> ?nif_stub.

-spec cache_stale(cache(), term(), bytes()) -> answer() | {error, not_found} | complex.
cache_stale(_Cache, _Key, _Bytes) -> ?nif_stub.

-spec cache_stats(cache()) -> map().
cache_stats(_Cache) -> ?nif_stub.

-spec cache_subscribe(cache(), [evicted | expired | replaced | deleted, ...], 1..65536) ->
    {ok, reference()} | {error, system_limit}.
cache_subscribe(_Cache, _Kinds, _Capacity) -> ?nif_stub.

-spec cache_take(cache(), term(), bytes()) -> answer() | {error, not_found} | complex.
cache_take(_Cache, _Key, _Bytes) -> ?nif_stub.

-spec cache_touch(cache(), term(), bytes(), default | infinity | non_neg_integer()) ->
    boolean() | complex.
cache_touch(_Cache, _Key, _Bytes, _Ttl) -> ?nif_stub.

-spec cache_ttl(cache(), term(), bytes()) ->
    {ok, non_neg_integer() | infinity} | {error, not_found} | complex.
cache_ttl(_Cache, _Key, _Bytes) -> ?nif_stub.

-spec cache_unsubscribe(cache(), reference()) -> ok.
cache_unsubscribe(_Cache, _Subscription) -> ?nif_stub.

-spec cache_update_counter(cache(), term(), bytes(), integer(), integer() | none, tuple()) ->
    {ok, integer()} | {error, not_found | not_integer | overflow | too_large} | complex.
cache_update_counter(_Cache, _Key, _Bytes, _Increment, _Initial, _Options) -> ?nif_stub.

-spec cache_whereis(atom()) -> reference() | undefined.
cache_whereis(_Name) -> ?nif_stub.

%% Thread CPU time of calls on normal schedulers, by NIF: calls and nanoseconds of the longest.
%% Counted only in a library built with the feature call_time.
-spec call_time_read() -> [{binary(), non_neg_integer(), non_neg_integer()}] | disabled.
call_time_read() -> ?nif_stub.

-spec call_time_reset() -> ok.
call_time_reset() -> ?nif_stub.

-spec clock_elapsed(integer()) -> non_neg_integer().
clock_elapsed(_Since) -> ?nif_stub.

-spec clock_start() -> integer().
clock_start() -> ?nif_stub.

%% A histogram, or a snapshot, and bounds; of each how many values are at most it.
-spec histogram_buckets(histogram() | binary(), [Bound]) ->
    [{Bound, non_neg_integer()}] | invalid_histogram | invalid_snapshot | invalid_bound
when
    Bound :: number() | infinity.
histogram_buckets(_From, _Bounds) -> ?nif_stub.

%% Why a binary is no snapshot.
-spec histogram_check(binary()) -> ok | {error, atom()}.
histogram_check(_Binary) -> ?nif_stub.

-spec histogram_cumulative(histogram()) -> binary() | invalid_histogram.
histogram_cumulative(_Histogram) -> ?nif_stub.

%% The weights of what was recorded: the mean, and the values of the quantiles.
-spec histogram_decaying(histogram(), [float()]) ->
    map() | invalid_histogram | invalid_quantile | no_half_life.
histogram_decaying(_Histogram, _Quantiles) -> ?nif_stub.

-spec histogram_delete(histogram()) -> boolean().
histogram_delete(_Histogram) -> ?nif_stub.

%% The share of the values that are at most the bound.
-spec histogram_fraction_below(histogram() | binary(), number() | infinity) ->
    float() | undefined | invalid_histogram | invalid_snapshot | invalid_bound.
histogram_fraction_below(_From, _Bound) -> ?nif_stub.

%% HdrHistogram's V2, deflated or not.
-spec histogram_from_hdr(binary()) -> Snapshot :: binary() | {error, atom()}.
histogram_from_hdr(_Binary) -> ?nif_stub.

-spec histogram_info(histogram()) -> map() | invalid_histogram.
histogram_info(_Histogram) -> ?nif_stub.

%% Of an interval log of HdrHistogram's; seconds since the epoch.
-spec histogram_log_header(Start :: number() | undefined) -> binary() | invalid_value.
histogram_log_header(_Start) -> ?nif_stub.

%% Start and Length are seconds; the greatest value is shown divided by Divisor.
-spec histogram_log_line(histogram() | binary(), Tag, Start, Length, Divisor) ->
    binary() | invalid_histogram | invalid_snapshot | invalid_value
when
    Tag :: binary() | undefined, Start :: number(), Length :: number(), Divisor :: number().
histogram_log_line(_From, _Tag, _Start, _Length, _Divisor) -> ?nif_stub.

%% A line of an interval log; undefined where it is empty, a comment or the legend.
-spec histogram_log_read(binary()) -> {Tag, Start, Length, Snapshot} | undefined | {error, atom()}
when
    Tag :: binary() | undefined, Start :: float(), Length :: float(), Snapshot :: binary().
histogram_log_read(_Line) -> ?nif_stub.

-spec histogram_merge([binary()]) -> binary() | invalid_snapshot | empty.
histogram_merge(_Snapshots) -> ?nif_stub.

%% Buckets for the values of so many bits; the name is an atom or undefined, the half-life
%% milliseconds.
-spec histogram_new(5..10, Bits :: 1..64, atom(), pid() | none, Windows :: boolean(), HalfLife) ->
    pos_integer() | exists | system_limit
when
    HalfLife :: pos_integer() | none.
histogram_new(_Precision, _Bits, _Name, _Owner, _Windows, _HalfLife) -> ?nif_stub.

-spec histogram_plot(histogram() | binary(), Width :: non_neg_integer()) ->
    binary() | invalid_histogram | invalid_snapshot | invalid_width.
histogram_plot(_From, _Width) -> ?nif_stub.

%% In the order asked.
-spec histogram_quantiles(histogram() | binary(), [number()], nearest_rank | linear) ->
    [number() | undefined]
    | invalid_histogram
    | invalid_snapshot
    | invalid_quantile
    | invalid_method.
histogram_quantiles(_From, _Quantiles, _Method) -> ?nif_stub.

-spec histogram_record(histogram(), non_neg_integer()) -> ok | invalid_histogram | invalid_value.
histogram_record(_Histogram, _Value) -> ?nif_stub.

-spec histogram_record_corrected(histogram(), non_neg_integer(), Interval :: non_neg_integer()) ->
    ok | invalid_histogram | invalid_value | invalid_interval.
histogram_record_corrected(_Histogram, _Value, _Interval) -> ?nif_stub.

%% A list, or 64-bit integers in the byte order of the machine.
-spec histogram_record_many(histogram(), [non_neg_integer()] | binary()) ->
    ok | invalid_histogram | invalid_value.
histogram_record_many(_Histogram, _Values) -> ?nif_stub.

-spec histogram_reset(histogram()) -> ok | invalid_histogram.
histogram_reset(_Histogram) -> ?nif_stub.

-spec histogram_snapshot(histogram()) -> binary() | invalid_histogram.
histogram_snapshot(_Histogram) -> ?nif_stub.

-spec histogram_stop(histogram(), integer()) -> ok | invalid_histogram | invalid_value.
histogram_stop(_Histogram, _Since) -> ?nif_stub.

-spec histogram_subtract(Later :: histogram() | binary(), Earlier :: histogram() | binary()) ->
    binary() | invalid_histogram | invalid_snapshot | not_earlier.
histogram_subtract(_Later, _Earlier) -> ?nif_stub.

-spec histogram_summary(histogram() | binary()) -> map() | invalid_histogram | invalid_snapshot.
histogram_summary(_From) -> ?nif_stub.

-spec histogram_to_hdr(histogram() | binary(), Deflated :: boolean()) ->
    binary() | invalid_histogram | invalid_snapshot | invalid_value.
histogram_to_hdr(_From, _Deflated) -> ?nif_stub.

-spec histogram_whereis(atom()) -> pos_integer() | undefined.
histogram_whereis(_Name) -> ?nif_stub.

%% The windows in milliseconds, the shortest first, each with a snapshot.
-spec histogram_windows(histogram()) ->
    [{pos_integer(), binary()}] | invalid_histogram | no_windows.
histogram_windows(_Histogram) -> ?nif_stub.

-spec json_decode(binary(), tuple(), default | tuple()) -> term().
json_decode(_Text, _Vocabulary, _Options) -> ?nif_stub.

-spec json_decode_large(binary(), tuple(), default | tuple()) -> term().
json_decode_large(_Text, _Vocabulary, _Options) -> ?nif_stub.

-spec json_encode(term()) -> binary() | nonempty_list() | {error, term(), non_neg_integer() | none}.
json_encode(_Term) -> ?nif_stub.

%% Options and Level (of the outermost value) as the door makes them; Null counts only if the
%% options say so.
-spec json_encode(term(), non_neg_integer(), term(), non_neg_integer()) ->
    binary() | nonempty_list() | {error, term(), non_neg_integer() | none}.
json_encode(_Term, _Options, _Null, _Level) -> ?nif_stub.

-spec json_get(binary(), tuple(), [binary() | non_neg_integer()]) ->
    {ok, term()} | {error, not_found}.
json_get(_Text, _Vocabulary, _Path) -> ?nif_stub.

-spec json_split(binary(), lines | concatenated | non_neg_integer()) ->
    {[{non_neg_integer(), non_neg_integer(), boolean()}], non_neg_integer()}.
json_split(_Chunk, _State) -> ?nif_stub.

-spec memory_in_use() -> non_neg_integer().
memory_in_use() -> ?nif_stub.

%% The families are erlmcp_native_metrics:family(); a series whose histogram has gone is left out.
-spec metrics_encode(Format, [tuple()]) -> binary() when
    Format :: text | openmetrics | protobuf | {otlp, [{binary(), Value}], Time :: non_neg_integer()},
    Value :: binary() | boolean() | integer() | float().
metrics_encode(_Format, _Families) -> ?nif_stub.

-spec rate_delete(rate()) -> boolean().
rate_delete(_Rate) -> ?nif_stub.

-spec rate_mark(rate(), non_neg_integer()) -> ok | invalid_rate | invalid_value.
rate_mark(_Rate, _Events) -> ?nif_stub.

-spec rate_new(Name :: atom(), Owner :: pid() | none) -> pos_integer() | exists | system_limit.
rate_new(_Name, _Owner) -> ?nif_stub.

%% All events, and how many a second there are: decaying, and in each window.
-spec rate_read(rate()) ->
    {non_neg_integer(), float(), [{pos_integer(), float()}]} | invalid_rate.
rate_read(_Rate) -> ?nif_stub.

-spec rate_whereis(atom()) -> pos_integer() | undefined.
rate_whereis(_Name) -> ?nif_stub.

-spec rpc_decode(binary(), tuple(), non_neg_integer() | tuple()) -> tuple().
rpc_decode(_Text, _Vocabulary, _Options) -> ?nif_stub.

-spec rpc_encode(0..6, tuple()) -> binary() | nonempty_list() | {error, term(), non_neg_integer() | none}.
rpc_encode(_Envelope, _Values) -> ?nif_stub.

-spec rpc_headers_match(binary(), tuple(), Header, Header, Header) -> ok | tuple() when
    Header :: binary() | undefined | repeated.
rpc_headers_match(_Text, _Vocabulary, _Method, _Name, _ProtocolVersion) -> ?nif_stub.

-spec rpc_peek(binary(), tuple()) -> map() | tuple().
rpc_peek(_Text, _Vocabulary) -> ?nif_stub.

-spec schema_compile(term(), tuple()) -> {ok, reference()} | {error, term()}.
schema_compile(_Schema, _Options) -> ?nif_stub.

-spec schema_validate(reference(), term(), boolean()) -> ok | large | {error, term()}.
schema_validate(_Schema, _Instance, _Explain) -> ?nif_stub.

-spec schema_validate_large(reference(), term(), boolean()) -> ok | {error, term()}.
schema_validate_large(_Schema, _Instance, _Explain) -> ?nif_stub.
