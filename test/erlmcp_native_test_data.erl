-module(erlmcp_native_test_data).
%% Where public test data is, which the repository does not hold.

-export([files/2, how_to_find/0]).

%% The files of a folder that match, in order; none where the folder is not there.
-spec files(string(), string()) -> [file:filename()].
files(Folder, Pattern) ->
    case [Root || Root <- roots(), filelib:is_dir(filename:join(Root, Folder))] of
        [] -> [];
        [Root | _] -> filelib:wildcard(filename:join([Root, Folder, Pattern]))
    end.

-spec how_to_find() -> string().
how_to_find() ->
    "set ERLMCP_SHARED_DATA or put it under ../shared/data of the repository".

roots() ->
    case os:getenv("ERLMCP_SHARED_DATA") of
        false ->
            Beam = filename:absname(code:which(?MODULE)),
            [filename:join([Folder, "shared", "data"]) || Folder <- above(Beam)];
        Folder ->
            [Folder]
    end.

%% The beam lies some levels under the repository, which lies beside the data.
above(Path) ->
    case filename:dirname(Path) of
        Path -> [];
        Parent -> [Parent | above(Parent)]
    end.
