%% Every NIF, whatever it does: it is there, it survives any term, and on a normal scheduler it
%% ends within a millisecond. What is declared later is covered without a change here; the large
%% inputs of doors are in erlmcp_native_large_SUITE.
-module(erlmcp_native_nif_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([
    declared_is_implemented/1,
    every_position_survives_every_term/1,
    combinations_survive/1,
    call_time_counts/1,
    memory_follows_a_resource/1,
    release_numbers_agree/1,
    other_abi_is_refused/1,
    reload_leaves_the_old_one_working/1,
    library_is_never_unmapped/1
]).

-define(NIF, erlmcp_native_nif).
-define(COMBINATIONS, 5000).

all() ->
    [
        declared_is_implemented,
        every_position_survives_every_term,
        combinations_survive,
        call_time_counts,
        memory_follows_a_resource,
        release_numbers_agree,
        other_abi_is_refused,
        reload_leaves_the_old_one_working,
        library_is_never_unmapped
    ].

suite() -> [{timetrap, {minutes, 10}}].

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_testcase(_, _) -> ok.

declared_is_implemented(_) ->
    Declared = declared(),
    ?assertNotEqual([], Declared),
    ?assertEqual([], Declared -- ?NIF:module_info(exports)),
    ?assertEqual(lists:sort(Declared), lists:sort(stubs())),
    ?assertEqual([], [Nif || Nif <- Declared, call(Nif, usual_arguments(Nif)) =:= not_loaded]).

stubs() ->
    [
        {Name, Arity}
     || {function, _, Name, Arity, _} = Form <- forms(),
        erl_syntax_lib:fold(fun calls_nif_error/2, false, Form)
    ].

calls_nif_error(Node, Found) ->
    Found orelse (erl_syntax:type(Node) =:= atom andalso erl_syntax:atom_value(Node) =:= nif_error).

every_position_survives_every_term(_) ->
    Small = erlmcp_native_wrong_terms:small(),
    Large = erlmcp_native_wrong_terms:large(),
    erlmcp_native_call_time:assert_short(fun() ->
        %% By foreach: in a comprehension this deep the VM would look through all of its stack for
        %% the trace of every badarg.
        lists:foreach(
            fun({Terms, Rows}) ->
                lists:foreach(
                    fun({Nif, Position}) ->
                        {_, Arity} = Nif,
                        lists:foreach(
                            fun(Term) ->
                                survive(Nif, [replace(Position, Term, Row) || Row <- Rows(Arity)])
                            end,
                            Terms
                        )
                    end,
                    [{Nif, P} || {_, Arity} = Nif <- declared(), P <- lists:seq(1, Arity)]
                )
            end,
            [{Small, fun fillers/1}, {Large, fun(Arity) -> sample(6, Arity) end}]
        )
    end).

survive(Nif, Calls) ->
    lists:foreach(fun(Arguments) -> survives(Nif, Arguments) end, Calls).

%% Handles that calls return join the terms, so that NIFs meet their own and one another's.
combinations_survive(_) ->
    erlmcp_native_call_time:assert_short(fun() ->
        rand:seed(exsss, {1, 2, 3}),
        Terms = usual() ++ erlmcp_native_wrong_terms:small() ++ made(),
        %% Not the one that would forget what this run has counted.
        Ends = [{breaker_delete, 1}, {histogram_delete, 1}, {limiter_delete, 1}, {rate_delete, 1}],
        Nifs = (declared() -- [{call_time_reset, 0}]) -- Ends,
        lists:foldl(fun combine/2, Terms, Nifs ++ Nifs ++ Ends)
    end).

%% Handles that are integers do not show what they are when a call returns one; and chance would hardly
%% find the six arguments that make one.
made() ->
    Histogram = ?NIF:histogram_new(7, 42, undefined, none, true, 1000),
    Other = ?NIF:histogram_new(10, 64, undefined, self(), false, none),
    ok = ?NIF:histogram_record_many(Histogram, lists:seq(1, 1000)),
    ok = ?NIF:histogram_record(Other, 1 bsl 63),
    Settings = {1, 0.5, 1.0, 2, {count, 3}, 1, 0, 2.0, 9, 0.5, 2, 1, 1},
    Breaker = ?NIF:breaker_new(undefined, self(), Settings, fun(_, _) -> ok end),
    {Token, _} = ?NIF:breaker_enter(Breaker),
    Limiters = [
        ?NIF:limiter_new(
            undefined, none, {Algorithm, {Limit, 1000, 100}, 1000, {0, 1, 2}, true, {3, 1000, 1000}}
        )
     || {Algorithm, Limit} <- [
            {token_bucket, 1}, {leaky_bucket, 1000}, {sliding_window, 4}, {sliding_window, 100},
            {concurrency, 5}
        ]
    ],
    {ok, Permit} = ?NIF:limiter_acquire(lists:last(Limiters), a, 1, 0, []),
    Limits = [{Limiter, a} || Limiter <- tl(lists:reverse(Limiters))],
    Limiters ++ [Limits, Permit] ++ [
        Breaker, Token, Settings, failure, reset, disabled,
        Histogram, Other, ?NIF:rate_new(undefined, none), ?NIF:histogram_snapshot(Histogram),
        ?NIF:histogram_cumulative(Other), ?NIF:histogram_to_hdr(Histogram, true), ?NIF:clock_start()
    ].

combine({_, 0} = Nif, Pool) ->
    handles(survives(Nif, [])) ++ Pool;
combine({_, Arity} = Nif, Pool) ->
    Terms = list_to_tuple(Pool),
    Any = fun(_) -> element(rand:uniform(tuple_size(Terms)), Terms) end,
    Found = lists:foldl(
        fun(_, Acc) when length(Acc) >= 4 ->
                _ = survives(Nif, lists:map(Any, lists:seq(1, Arity))),
                Acc;
            (_, Acc) ->
                handles(survives(Nif, lists:map(Any, lists:seq(1, Arity)))) ++ Acc
        end,
        [],
        lists:seq(1, ?COMBINATIONS)
    ),
    Found ++ Pool.

handles({returned, Handle}) when is_reference(Handle) -> [Handle];
handles({returned, <<"EMHS", _/binary>> = Snapshot}) -> [Snapshot];
handles({returned, Tuple}) when is_tuple(Tuple) -> [H || H <- tuple_to_list(Tuple), is_reference(H)];
handles(_) -> [].

call_time_counts(_) ->
    case erlmcp_native_call_time:is_counted() of
        false ->
            {skip, "the library was built without the feature call_time"};
        true ->
            ok = ?NIF:call_time_reset(),
            [_ = ?NIF:memory_in_use() || _ <- lists:seq(1, 10)],
            {_, Calls, Most} = lists:keyfind(<<"memory_in_use/0">>, 1, ?NIF:call_time_read()),
            ?assertEqual(10, Calls),
            ?assert(Most > 0),
            ok = ?NIF:call_time_reset(),
            ?assertMatch(
                {_, 0, 0}, lists:keyfind(<<"memory_in_use/0">>, 1, ?NIF:call_time_read())
            )
    end.

memory_follows_a_resource(_) ->
    Properties = maps:from_list([
        {integer_to_binary(I), #{<<"type">> => <<"string">>}}
     || I <- lists:seq(1, 2000)
    ]),
    %% The first one also makes what is made once, such as the schemas of schemas.
    _ = released(held(Properties)),
    Before = settled(),
    Holder = held(Properties),
    Held = erlmcp_native:memory(),
    ?assert(Held > Before + 100_000, {Before, Held}),
    After = released(Holder),
    ?assert(After < Before + (Held - Before) div 10, {Before, Held, After}).

%% A process that holds a schema.
held(Properties) ->
    Self = self(),
    {Pid, _} = Holder = spawn_monitor(fun() ->
        {ok, Schema} = erlmcp_native_schema:compile(#{<<"properties">> => Properties}, #{}),
        Self ! {held, self()},
        receive stop -> ok end,
        ?assertNotEqual(undefined, Schema)
    end),
    receive {held, Pid} -> Holder end.

released({Pid, Monitor}) ->
    Pid ! stop,
    receive {'DOWN', Monitor, _, _, normal} -> settled() end.

%% The memory in use once it no longer falls: destructors may work in steps.
settled() -> settled(erlmcp_native:memory()).
settled(Last) ->
    timer:sleep(50),
    case erlmcp_native:memory() of
        Less when Less < Last -> settled(Less);
        _ -> Last
    end.

release_numbers_agree(_) ->
    {ok, Cargo} = file:read_file(filename:join(root(), "Cargo.toml")),
    {match, [InCargo]} = re:run(
        Cargo, "^version = \"(.*)\"$", [multiline, {capture, all_but_first, list}]
    ),
    {ok, InApplication} = application:get_key(erlmcp_native, vsn),
    ?assertEqual(InApplication, InCargo).

%% The same stubs with another ABI number and without -on_load, in a node of their own.
other_abi_is_refused(_) ->
    Changed = [
        case Form of
            {function, _, init, 0, _} -> other_abi(Form);
            _ -> Form
        end
     || Form <- forms(), not is_on_load(Form)
    ],
    {ok, ?NIF, Beam} = compile:forms(Changed, [export_all, nowarn_export_all]),
    {ok, Peer, _} = peer:start_link(#{connection => standard_io, args => ["-pa" | code:get_path()]}),
    {module, ?NIF} = peer:call(Peer, code, load_binary, [?NIF, "changed", Beam]),
    ?assertMatch({error, {load, _}}, peer:call(Peer, ?NIF, init, [])),
    ok = peer:stop(Peer).

is_on_load({attribute, _, on_load, _}) -> true;
is_on_load(_) -> false.

other_abi(Form) ->
    erl_syntax:revert(
        erl_syntax_lib:map(
            fun(Node) ->
                case erl_syntax:type(Node) of
                    integer -> erl_syntax:integer(erl_syntax:integer_value(Node) + 1);
                    _ -> Node
                end
            end,
            Form
        )
    ).

reload_leaves_the_old_one_working(_) ->
    Before = ?NIF:module_info(md5),
    Level = maps:get(level, logger:get_primary_config()),
    ok = logger:set_primary_config(level, none),
    _ = code:purge(?NIF),
    ?assertMatch({error, _}, code:load_file(?NIF)),
    ?assertMatch({error, _}, code:load_file(?NIF)),
    ok = logger:set_primary_config(level, Level),
    ?assertEqual(Before, ?NIF:module_info(md5)),
    ?assert(is_integer(?NIF:memory_in_use())).

%% Its threads and thread-local destructors may run after the last module has gone.
library_is_never_unmapped(_) ->
    {ok, Peer, _} = peer:start_link(#{connection => standard_io, args => ["-pa" | code:get_path()]}),
    {module, ?NIF} = peer:call(Peer, code, ensure_loaded, [?NIF]),
    Mapped = fun() ->
        case peer:call(Peer, file, read_file, ["/proc/self/maps"]) of
            {ok, Maps} -> binary:match(Maps, <<"liberlmcp_native">>) =/= nomatch;
            {error, _} -> no_proc
        end
    end,
    Answer =
        case Mapped() of
            no_proc ->
                {skip, "there is no /proc to look in"};
            true ->
                true = peer:call(Peer, code, delete, [?NIF]),
                _ = peer:call(Peer, code, purge, [?NIF]),
                ?assert(Mapped())
        end,
    ok = peer:stop(Peer),
    Answer.

%% OTP 25 keeps -nifs out of module_info.
declared() ->
    lists:append([Nifs || {attribute, _, nifs, Nifs} <- forms()]).

forms() ->
    {ok, {?NIF, [{abstract_code, {raw_abstract_v1, Forms}}]}} =
        beam_lib:chunks(code:which(?NIF), [abstract_code]),
    Forms.

usual_arguments({_, Arity}) -> lists:duplicate(Arity, []).

%% What stands beside the term under test: all rows of what NIFs mostly take, or some of them.
fillers(Arity) when Arity =< 3 -> rows(Arity);
fillers(Arity) -> sample(200, Arity).

sample(Rows, Arity) ->
    Usual = list_to_tuple(usual()),
    {Sample, _} = lists:mapfoldl(
        fun(_, Seed) -> row(Arity, Usual, Seed) end, rand:seed_s(exsss, Arity), lists:seq(1, Rows)
    ),
    Sample.

rows(0) -> [[]];
rows(Arity) -> [[Term | Row] || Term <- usual(), Row <- rows(Arity - 1)].

row(Arity, Usual, Seed) ->
    lists:mapfoldl(
        fun(_, Before) ->
            {Nth, After} = rand:uniform_s(tuple_size(Usual), Before),
            {element(Nth, Usual), After}
        end,
        Seed,
        lists:seq(1, Arity)
    ).

usual() -> [[], <<"[1]">>, #{}, 1, default, ?NIF:vocabulary()].

replace(Position, Term, Terms) ->
    {Before, [_ | After]} = lists:split(Position - 1, Terms),
    Before ++ [Term | After].

survives(Nif, Arguments) ->
    case call(Nif, Arguments) of
        {returned, _} = Returned -> Returned;
        {error, Reason} = Error ->
            case erlmcp_native_wrong_terms:is_documented(Reason) of
                true -> Error;
                false -> ct:fail("~p answers ~P to ~P", [Nif, Reason, 20, Arguments, 40])
            end;
        Other ->
            ct:fail("~p: ~p", [Nif, Other])
    end.

call({Name, _}, Arguments) ->
    try apply(?NIF, Name, Arguments) of
        Value -> {returned, Value}
    catch
        error:{nif_not_loaded, _} -> not_loaded;
        error:Reason -> {error, Reason};
        Class:Reason -> {Class, Reason}
    end.

root() ->
    filename:dirname(filename:dirname(proplists:get_value(source, ?MODULE:module_info(compile)))).
