%% Where and on what a run was made, and what else the machine did meanwhile.
-module(erlmcp_bench_environment).

-export([describe/0, machine/0, load_start/0, load_since/1]).

%% Cores' worth of other work above which the machine is said not to have been idle.
-define(IDLE, 0.1).

-spec describe() -> erlmcp_bench_writer:document().
describe() ->
    {[
        {<<"date">>, text(calendar:system_time_to_rfc3339(erlang:system_time(second), [{offset, "Z"}]))},
        {<<"library_version">>, library_version()},
        {<<"git_commit">>, commit()},
        {<<"otp">>, otp()},
        {<<"erts">>, text(erlang:system_info(version))},
        {<<"emulator">>, atom_to_binary(erlang:system_info(emu_flavor))},
        {<<"schedulers">>, erlang:system_info(schedulers_online)},
        {<<"cpu">>, cpu()},
        {<<"cores">>, cores()},
        {<<"architecture">>, text(erlang:system_info(system_architecture))},
        {<<"os">>, os()}
    ]}.

%% A short name of the processor, never of the host.
-spec machine() -> string().
machine() ->
    Words = string:lexemes(string:lowercase(cpu()), " ()@,/"),
    Dull = [<<"r">>, <<"tm">>, <<"cpu">>, <<"processor">>, <<"core">>, <<"core-processor">>],
    Kept = lists:sublist([Word || Word <- Words, not lists:member(Word, Dull)], 3),
    unicode:characters_to_list([lists:join("-", Kept), "-", integer_to_list(cores()), "c"]).

-spec load_start() -> term().
load_start() ->
    {erlang:monotonic_time(), busy(), own()}.

%% The cores' worth of work that other processes did since.
-spec load_since(term()) -> erlmcp_bench_writer:document().
load_since({Start, {ok, Busy0}, {ok, Own0}}) ->
    case {busy(), own()} of
        {{ok, Busy}, {ok, Own}} ->
            Elapsed = erlang:convert_time_unit(erlang:monotonic_time() - Start, native, millisecond),
            Ticks = max(0, (Busy - Busy0) - (Own - Own0)),
            %% A tick is 10 ms in what the kernel tells.
            Cores = round(1000 * Ticks * 10 / max(1, Elapsed)) / 1000,
            {[{<<"other_cores">>, Cores}, {<<"idle">>, Cores =< ?IDLE}]};
        _ ->
            unknown_load()
    end;
load_since(_) ->
    unknown_load().

unknown_load() ->
    {[{<<"other_cores">>, null}, {<<"idle">>, null}]}.

%% Ticks of all processors that were neither idle nor waiting for a disk; steal counts as busy.
busy() ->
    case file:read_file("/proc/stat") of
        {ok, Stat} ->
            [Line | _] = binary:split(Stat, <<"\n">>),
            [<<"cpu">>, User, Nice, System, _Idle, _Wait, Irq, Soft, Steal | _] =
                binary:split(Line, <<" ">>, [global, trim_all]),
            {ok, lists:sum([binary_to_integer(T) || T <- [User, Nice, System, Irq, Soft, Steal]])};
        {error, _} ->
            unknown
    end.

%% Ticks of this VM.
own() ->
    case file:read_file("/proc/self/stat") of
        {ok, Stat} ->
            %% The second field is a name in brackets that may hold spaces.
            [_, Rest] = binary:split(Stat, <<") ">>),
            Fields = binary:split(Rest, <<" ">>, [global]),
            {ok, binary_to_integer(lists:nth(12, Fields)) + binary_to_integer(lists:nth(13, Fields))};
        {error, _} ->
            unknown
    end.

library_version() ->
    _ = application:load(erlmcp_native),
    case application:get_key(erlmcp_native, vsn) of
        {ok, Version} -> text(Version);
        undefined -> null
    end.

%% The revision, with `-dirty` where files differ from it.
commit() ->
    case string:trim(os:cmd("git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null")) of
        "" -> null;
        Commit -> text(Commit)
    end.

otp() ->
    Release = erlang:system_info(otp_release),
    File = filename:join([code:root_dir(), "releases", Release, "OTP_VERSION"]),
    case file:read_file(File) of
        {ok, Version} -> string:trim(Version);
        {error, _} -> text(Release)
    end.

cpu() ->
    case file:read_file("/proc/cpuinfo") of
        {ok, Info} ->
            case re:run(Info, "model name\\s*:\\s*(.*)", [{capture, all_but_first, binary}]) of
                {match, [Model]} -> string:trim(Model);
                nomatch -> text(erlang:system_info(system_architecture))
            end;
        {error, _} ->
            text(erlang:system_info(system_architecture))
    end.

cores() ->
    case erlang:system_info(logical_processors_available) of
        unknown -> erlang:system_info(schedulers);
        Count -> Count
    end.

os() ->
    {_, Name} = os:type(),
    Version =
        case os:version() of
            {Major, Minor, Release} -> io_lib:format("~b.~b.~b", [Major, Minor, Release]);
            Text -> Text
        end,
    text([atom_to_list(Name), " ", Version]).

text(Characters) ->
    unicode:characters_to_binary(Characters).
