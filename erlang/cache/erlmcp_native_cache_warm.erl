-module(erlmcp_native_cache_warm).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% Filling a cache from elsewhere: once, in the calling process.

-export([warm/4, is_there/1, is_source/1, is_option/2]).
%% For other nodes.
-export([export/3]).
-export_type([source/0, opts/0, batch/0, entry/0, warmed/0]).

-type source() ::
    {file, file:name_all()}
    | {function, fun(() -> batch())}
    | {node, node()}
    | {node, node(), Name :: atom()}.
-type batch() ::
    {ok, [entry()]} | {more, [entry()], fun(() -> batch())} | {error, term()}.
-type entry() ::
    {Key :: term(), Value :: term()}
    | {Key :: term(), Value :: term(), erlmcp_native_cache:put_opts()}.
-type opts() :: #{
    overwrite => boolean(),
    atoms => existing | any,
    timeout => timeout()
}.
-type warmed() :: #{
    loaded := non_neg_integer(),
    present := non_neg_integer(),
    too_large := non_neg_integer(),
    expired => non_neg_integer(),
    undecodable => non_neg_integer()
}.

%% What a peer gives at once, in bytes of keys and values, near enough.
-define(CHUNK_BYTES, 1_048_576).
%% Entries that it looks at before it counts their bytes.
-define(STEP, 32).

-spec warm(erlmcp_native_cache:cache(), source(), opts(), erlmcp_native_error:call()) ->
    {ok, warmed()} | {error, term()}.
warm(Cache, Source, Opts, Call) ->
    is_source(Source) orelse
        erlmcp_native_error:badarg(Call, 2, "not a file, a function or a node"),
    is_map(Opts) orelse erlmcp_native_error:badarg(Call, 3, "not a map of options"),
    _ = [
        erlmcp_native_error:bad_option(Call, 3, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not is_option(Key, Value)
    ],
    is_there(Cache) orelse erlmcp_native_error:badarg(Call, 1, "no such cache"),
    run(Cache, Source, Opts, Call).

-spec is_there(erlmcp_native_cache:cache()) -> boolean().
is_there(Cache) ->
    try
        _ = erlmcp_native_nif:cache_info(Cache),
        true
    catch
        error:badarg -> false
    end.

-spec is_source(term()) -> boolean().
is_source({file, Name}) -> erlmcp_native_cache_snapshot:is_name(Name);
is_source({function, Fun}) -> is_function(Fun, 0);
is_source({node, Node}) -> is_atom(Node);
is_source({node, Node, Name}) -> is_atom(Node) andalso is_atom(Name);
is_source(_) -> false.

-spec is_option(term(), term()) -> boolean().
is_option(overwrite, V) -> is_boolean(V);
is_option(atoms, V) -> V =:= existing orelse V =:= any;
is_option(timeout, V) -> V =:= infinity orelse is_integer(V) andalso V >= 0;
is_option(_, _) -> false.

run(Cache, {file, Name}, Opts, Call) ->
    erlmcp_native_cache_snapshot:load(Cache, Name, Opts, Call);
run(Cache, {function, Fun}, Opts, _Call) ->
    batches(Cache, Fun, Opts, deadline(Opts), zero());
run(Cache, {node, Node}, Opts, Call) ->
    #{name := Name} = erlmcp_native_cache:info(Cache),
    run(Cache, {node, Node, Name}, Opts, Call);
run(Cache, {node, Node, Name}, Opts, _Call) ->
    Deadline = deadline(Opts),
    peer(Cache, Node, Name, start, Opts, Deadline, zero()).

zero() ->
    #{loaded => 0, present => 0, too_large => 0}.

batches(Cache, Fun, Opts, Deadline, Counts) ->
    case batch(Fun) of
        {ok, Entries} ->
            put_all(Entries, Cache, Opts, Counts);
        {more, Entries, Next} when is_function(Next, 0) ->
            case put_all(Entries, Cache, Opts, Counts) of
                {ok, More} ->
                    case left(Deadline) of
                        0 -> {error, timeout};
                        _ -> batches(Cache, Next, Opts, Deadline, More)
                    end;
                {error, _} = Error ->
                    Error
            end;
        {error, _} = Error ->
            Error;
        Other ->
            {error, {bad_batch, Other}}
    end.

batch(Fun) ->
    try
        Fun()
    catch
        Class:Reason -> {error, {raised, Class, Reason}}
    end.

%% Chunk by chunk, the calling process in between: nothing piles up on either side.
peer(Cache, Node, Name, From, Opts, Deadline, Counts) ->
    Timeout = erlmcp_native_cache_snapshot:timeout(left(Deadline)),
    try erpc:call(Node, ?MODULE, export, [Name, From, ?CHUNK_BYTES], Timeout) of
        {Entries, Next} -> given(Cache, Node, Name, Entries, Next, Opts, Deadline, Counts)
    catch
        error:{erpc, timeout} -> {error, timeout};
        error:{erpc, Reason} -> {error, {node, Node, Reason}};
        error:{exception, Reason, _} -> {error, {node, Node, Reason}};
        exit:{exception, Reason} -> {error, {node, Node, Reason}};
        exit:{signal, Reason} -> {error, {node, Node, Reason}};
        throw:Reason -> {error, {node, Node, Reason}}
    end.

given(Cache, Node, Name, Entries, Next, Opts, Deadline, Counts) ->
    case put_all(Entries, Cache, Opts, Counts) of
        {ok, More} when Next =:= done -> {ok, More};
        {ok, More} -> peer(Cache, Node, Name, Next, Opts, Deadline, More);
        {error, _} = Error -> Error
    end.

?DOC(false).
%% Some entries of a cache of this node, with the time that they have left, and where to go on.
-spec export(atom(), start | term(), pos_integer()) -> {[entry()], Next :: term() | done}.
export(Name, From, Bytes) ->
    export(Name, From, Bytes, []).

export(Name, From, Bytes, Before) ->
    {Found, Next} = erlmcp_native_nif:cache_scan(Name, From, entries, ?STEP),
    {Entries, Left} = lists:foldl(
        fun(One, Acc) -> exported(Name, One, Acc) end, {Before, Bytes}, Found
    ),
    case Next of
        done -> {Entries, done};
        _ when Left > 0 -> export(Name, Next, Left, Entries);
        _ -> {Entries, Next}
    end.

exported(Name, {Given, Answer}, {Entries, Left} = Acc) ->
    Key = erlmcp_native_cache_terms:key(Given),
    case erlmcp_native_cache_terms:value(Answer) of
        {ok, Value} ->
            case erlmcp_native_cache:ttl(Name, Key) of
                {ok, Time} when Time =/= 0 ->
                    Size = erlang:external_size(Key) + erlang:external_size(Value),
                    {[{Key, Value, #{ttl => Time}} | Entries], Left - Size};
                _ ->
                    Acc
            end;
        gone ->
            Acc
    end.

put_all([Entry | Entries], Cache, Opts, Counts) ->
    try put(Cache, Entry, Opts) of
        Became -> put_all(Entries, Cache, Opts, maps:update_with(Became, fun(N) -> N + 1 end, Counts))
    catch
        error:Reason when Reason =:= badarg; Reason =:= function_clause ->
            case is_there(Cache) of
                true -> {error, {bad_entry, Entry}};
                false -> {error, no_cache}
            end
    end;
put_all([], _Cache, _Opts, Counts) ->
    {ok, Counts};
put_all(Rest, _Cache, _Opts, _Counts) ->
    {error, {bad_batch, Rest}}.

put(Cache, {Key, Value}, Opts) ->
    put(Cache, {Key, Value, #{}}, Opts);
put(Cache, {Key, Value, PutOpts}, #{overwrite := true}) ->
    became(erlmcp_native_cache:put(Cache, Key, Value, PutOpts));
put(Cache, {Key, Value, PutOpts}, _Opts) ->
    became(erlmcp_native_cache:put_new(Cache, Key, Value, PutOpts)).

became(ok) -> loaded;
became({error, exists}) -> present;
became({error, too_large}) -> too_large.

deadline(#{timeout := Timeout}) when is_integer(Timeout) ->
    erlang:monotonic_time(millisecond) + Timeout;
deadline(_) ->
    infinity.

left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).
