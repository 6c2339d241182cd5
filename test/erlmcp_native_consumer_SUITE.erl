%% What a user of the library does: a project of two applications that depends on it, by git or
%% under _checkouts, is compiled, assembled into a release and booted.
-module(erlmcp_native_consumer_SUITE).
-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([
    git_dependency_with_a_prebuilt_library/1,
    checkout_built_by_cargo/1,
    without_cargo/1,
    old_cargo/1,
    missing_prebuilt_library/1,
    library_is_replaced_only_when_changed/1
]).

all() ->
    [
        git_dependency_with_a_prebuilt_library,
        checkout_built_by_cargo,
        without_cargo,
        old_cargo,
        missing_prebuilt_library,
        library_is_replaced_only_when_changed
    ].

suite() -> [{timetrap, {minutes, 15}}].

%% A repository of the files as they are now, committed or not.
init_per_suite(Config) ->
    Root = root(),
    Folder = filename:join(
        os:getenv("TMPDIR", "/tmp"), "erlmcp_native_consumer_" ++ os:getpid()
    ),
    Origin = filename:join(Folder, "erlmcp_native"),
    ok = filelib:ensure_path(Origin),
    Copy =
        "git ls-files -z --cached --others --exclude-standard | "
        "while IFS= read -r -d '' f; do [ -e \"$f\" ] && printf '%s\\0' \"$f\"; done | "
        "tar -c --null -T - | tar -x -C \"$ORIGIN\" && cd \"$ORIGIN\" && "
        "git init -q -b main && git add -A && "
        "git -c user.name=t -c user.email=t@localhost commit -q -m t",
    case run("bash", ["-c", Copy], Root, [{"ORIGIN", Origin}]) of
        {0, _} ->
            [{folder, Folder}, {origin, Origin} | Config];
        {_, Output} ->
            ok = file:del_dir_r(Folder),
            {skip, "the sources are not a git checkout: " ++ Output}
    end.

end_per_suite(Config) ->
    ok = file:del_dir_r(?config(folder, Config)).

git_dependency_with_a_prebuilt_library(Config) ->
    Deps = io_lib:format(
        "{deps, [{erlmcp_native, {git, \"file://~ts\", {branch, \"main\"}}}]}.~n",
        [?config(origin, Config)]
    ),
    Project = project(by_git, Deps, Config),
    %% A cargo that is called would fail.
    Env = [{"ERLMCP_NATIVE_LIB", library()}, {"PATH", broken_cargo(Config)}],
    succeeds("rebar3", ["compile"], Project, Env),
    boots(Project, Env),
    ?assertEqual([], compiled_extras(Project)).

checkout_built_by_cargo(Config) ->
    Project = project(by_checkout, "{deps, [erlmcp_native]}.\n", Config),
    Checkout = filename:join([Project, "_checkouts", "erlmcp_native"]),
    ok = filelib:ensure_dir(Checkout),
    ok = file:make_symlink(?config(origin, Config), Checkout),
    Env =
        case os:getenv("ERLMCP_NATIVE_LIB") of
            false -> cargo_settings();
            _ -> []
        end,
    succeeds("rebar3", ["compile"], Project, Env),
    boots(Project, Env),
    ?assertEqual([], compiled_extras(Project)),
    %% Under a second with nothing changed, of which rebar3's own start is a third or more. As a
    %% multiple of that, since others use the machine too; the best of five of each, in turns.
    {Starts, Again} = lists:unzip([
        {elapsed(["version"], Project, Env), elapsed(["compile"], Project, Env)}
     || _ <- lists:seq(1, 5)
    ]),
    ct:log("starts ~p, compiles ~p microseconds", [Starts, Again]),
    ?assert(lists:min(Again) < 3 * lists:min(Starts), {Starts, Again}).

elapsed(Arguments, Project, Env) ->
    element(1, timer:tc(fun() -> succeeds("rebar3", Arguments, Project, Env) end)).

%% The folders of dependency crates are shared with this project's own build.
cargo_settings() ->
    [
        {"PROFILE", "quick"},
        {"FEATURES", ""},
        {"ERLMCP_NATIVE_TARGET", filename:join(root(), "target")}
    ].

without_cargo(Config) ->
    Path = path_without(["cargo", "rustc"], Config),
    Env = [{"PATH", Path}, {"CARGO_HOME", "/nonexistent"}, {"ERLMCP_NATIVE_LIB", false}],
    {Status, Output} = run("rebar3", ["compile"], ?config(origin, Config), Env),
    ?assertNotEqual(0, Status),
    names_the_way_out(Output).

old_cargo(Config) ->
    Bin = script(old_cargo, "cargo", "[ \"$1\" = --version ] && echo 'cargo 1.63.0'; exit 101", Config),
    Env = [{"PATH", Bin ++ ":" ++ os:getenv("PATH")}, {"ERLMCP_NATIVE_LIB", false}],
    {Status, Output} = run("make", ["-s", "nif"], ?config(origin, Config), Env),
    ?assertNotEqual(0, Status),
    names_the_way_out(Output).

names_the_way_out(Output) ->
    [
        ?assertNotEqual(nomatch, string:find(Output, Text), Output)
     || Text <- ["Rust 1.91 or newer", "ERLMCP_NATIVE_LIB=/path/to.so"]
    ].

missing_prebuilt_library(Config) ->
    {Status, Output} = run(
        "make", ["-s", "nif"], ?config(origin, Config), [{"ERLMCP_NATIVE_LIB", "/nonexistent.so"}]
    ),
    ?assertNotEqual(0, Status),
    ?assertNotEqual(nomatch, string:find(Output, "/nonexistent.so")).

%% A running VM has the old file mapped: writing over it would pull the code from under it.
library_is_replaced_only_when_changed(Config) ->
    Origin = ?config(origin, Config),
    Placed = filename:join([Origin, "priv", "liberlmcp_native.so"]),
    Given = filename:join(?config(folder, Config), "given.so"),
    Place = fun(Contents) ->
        ok = file:write_file(Given, Contents),
        succeeds("make", ["-s", "nif"], Origin, [{"ERLMCP_NATIVE_LIB", Given}]),
        {ok, Info} = file:read_file_info(Placed),
        element(12, Info)
    end,
    First = Place("first"),
    {ok, Mapped} = file:open(Placed, [read, raw]),
    ?assertEqual(First, Place("first")),
    ?assertNotEqual(First, Place("second")),
    ?assertEqual({ok, "first"}, file:read(Mapped, 100)),
    ok = file:close(Mapped),
    ?assertEqual({ok, ["liberlmcp_native.so"]}, file:list_dir(filename:dirname(Placed))).

project(Name, Deps, Config) ->
    Project = filename:join(?config(folder, Config), atom_to_list(Name)),
    Write = fun(Path, Text) ->
        File = filename:join([Project | Path]),
        ok = filelib:ensure_dir(File),
        ok = file:write_file(File, Text)
    end,
    Write(["rebar.config"], [
        Deps,
        "{relx, [{release, {consumer, \"1\"}, [first, second, sasl]},"
        " {mode, prod}, {include_erts, false}, {extended_start_script, false}]}.\n"
    ]),
    Write(["apps", "first", "src", "first.app.src"], application(first, "[kernel, stdlib, erlmcp_native]", "")),
    Write(["apps", "first", "src", "first.erl"], [
        "-module(first).\n-export([call/0]).\n"
        "call() -> Bytes = erlmcp_native:memory(), true = is_integer(Bytes),\n"
        "    #{<<\"a\">> := [1]} = erlmcp_native_json:decode(<<\"{\\\"a\\\":[1]}\">>), called.\n"
    ]),
    Write(
        ["apps", "second", "src", "second.app.src"],
        application(second, "[kernel, stdlib, first]", "{mod, {second, []}},")
    ),
    Write(["apps", "second", "src", "second.erl"], [
        "-module(second).\n-behaviour(application).\n-behaviour(supervisor).\n"
        "-export([start/2, stop/1, init/1]).\n"
        "start(_, _) ->\n"
        "    Answer = first:call(),\n"
        "    io:format(\"the release answers ~p from ~s~n\", [Answer, code:priv_dir(erlmcp_native)]),\n"
        "    spawn(fun init:stop/0),\n"
        "    supervisor:start_link(?MODULE, []).\n"
        "stop(_) -> ok.\n"
        "init(_) -> {ok, {#{}, []}}.\n"
    ]),
    Project.

application(Name, Needs, More) ->
    io_lib:format(
        "{application, ~p, [{vsn, \"1\"}, ~s {applications, ~s}]}.~n", [Name, More, Needs]
    ).

boots(Project, Env) ->
    succeeds("rebar3", ["release"], Project, Env),
    Release = filename:join([Project, "_build", "default", "rel", "consumer"]),
    Output = succeeds(
        filename:join([Release, "bin", "consumer"]), ["-noshell", "-noinput"], Project, Env
    ),
    ?assertNotEqual(nomatch, string:find(Output, "the release answers called from " ++ Release), Output).

%% The measures and oracles of this project are no part of what a consumer compiles.
compiled_extras(Project) ->
    [
        File
     || File <- filelib:wildcard(filename:join(Project, "_build/**/*.beam")),
        string:find(File, "/bench/") =/= nomatch orelse string:find(File, "/test/") =/= nomatch
    ].

library() ->
    filename:join(code:priv_dir(erlmcp_native), "liberlmcp_native.so").

broken_cargo(Config) ->
    script(broken_cargo, "cargo", "echo 'cargo was called' >&2; exit 1", Config) ++
        ":" ++ os:getenv("PATH").

%% A folder for PATH with one command in it.
script(Folder, Name, Body, Config) ->
    Bin = filename:join(?config(folder, Config), atom_to_list(Folder)),
    File = filename:join(Bin, Name),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, ["#!/bin/sh\n", Body, "\n"]),
    ok = file:change_mode(File, 8#755),
    Bin.

%% A folder with links to everything that is on PATH but these.
path_without(Names, Config) ->
    Bin = filename:join(?config(folder, Config), "path_without"),
    ok = filelib:ensure_path(Bin),
    [
        file:make_symlink(filename:join(Folder, Name), filename:join(Bin, Name))
     || Folder <- string:lexemes(os:getenv("PATH"), ":"),
        {ok, Commands} <- [file:list_dir(Folder)],
        Name <- Commands,
        not lists:member(Name, Names)
    ],
    Bin.

succeeds(Command, Arguments, Folder, Env) ->
    case run(Command, Arguments, Folder, Env) of
        {0, Output} -> Output;
        {Status, Output} -> ct:fail("~ts ~p ended with ~p:~n~ts", [Command, Arguments, Status, Output])
    end.

run(Command, Arguments, Folder, Env) ->
    Port = open_port({spawn_executable, os:find_executable(Command)}, [
        {args, Arguments},
        {cd, Folder},
        {env, [{"REBAR_PROFILE", false} | Env]},
        exit_status,
        stderr_to_stdout,
        hide
    ]),
    gather(Port, []).

gather(Port, Output) ->
    receive
        {Port, {data, Data}} -> gather(Port, [Output, Data]);
        {Port, {exit_status, Status}} -> {Status, lists:flatten(Output)}
    end.

root() ->
    filename:dirname(filename:dirname(proplists:get_value(source, ?MODULE:module_info(compile)))).
