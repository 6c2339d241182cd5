%% What a part gives to the harness: its cases, and the figures that it has to reach.
-module(erlmcp_bench_suite).

-export([present/2, version/1]).
-export_type([target/0, figure/0]).

%% `ids` and `min_bytes` choose cases of the group.
-type target() :: #{
    text := binary(),
    group := atom(),
    set => atom(),
    ids => [atom()],
    min_bytes => pos_integer(),
    subject := atom(),
    figure := figure()
}.
-type figure() ::
    %% The ratio of the medians of `subject` over `To`, as the geometric mean or the least of the
    %% cases chosen.
    {mean | least, To :: atom(), AtLeast :: float()}
    %% The largest median.
    | {at_most, Nanoseconds :: number()}
    %% How many times faster than in the case `Id` of the group, the least of the cases chosen.
    | {against, Id :: atom(), AtLeast :: float()}
    %% What was observed, the worst of the cases chosen.
    | {observed, Figure :: atom(), at_least | at_most, number()}
    %% One of them is enough.
    | {any, [figure(), ...]}.

-callback cases() -> [erlmcp_bench_measure:bench_case()].
-callback targets() -> [target()].
%% What is measured, and its version.
-callback subjects() -> [{atom(), binary()}].
-optional_callbacks([subjects/0]).

%% Whether the module is on the code path, loads, and exports all of these.
-spec present(module(), [{atom(), arity()}]) -> boolean().
present(Module, Functions) ->
    case code:ensure_loaded(Module) of
        {module, Module} ->
            lists:all(fun({Name, Arity}) -> erlang:function_exported(Module, Name, Arity) end, Functions);
        {error, _} ->
            false
    end.

-spec version(atom()) -> binary().
version(Application) ->
    _ = application:load(Application),
    case application:get_key(Application, vsn) of
        {ok, Version} -> unicode:characters_to_binary(Version);
        undefined -> <<"unknown">>
    end.
