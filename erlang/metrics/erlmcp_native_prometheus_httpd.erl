-module(erlmcp_native_prometheus_httpd).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
A web server that Prometheus can scrape, on OTP's httpd: `GET` and `HEAD` of one path. It is there when
it is started, listens to this machine only unless told otherwise, and needs the code of the application
inets, which need not run.
""").

-behaviour(gen_server).

-export([start/1, stop/1, info/1, child_spec/1, start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
%% For httpd, for spawn, and for the shell.
-export([do/1, answer/2, format_error/2]).
-export_type([opts/0, info/0]).

-include_lib("inets/include/httpd.hrl").

-type opts() :: #{
    ip => inet:ip_address(),
    port => inet:port_number(),
    path => binary() | string()
}.
%% Where it listens:
%%
%% `ip': an address of this machine; default `{127, 0, 0, 1}'.
%% `port': default 0, for one that is free.
%% `path': default `/metrics'.
-type info() :: #{
    ip := inet:ip_address(),
    port := inet:port_number(),
    path := binary(),
    url := binary()
}.

%% Milliseconds until it is started again where it ended by itself.
-define(RESTART, 1000).
%% The milliseconds that an exposition may take.
-define(TIMEOUT, 30_000).
%% Connections at a time, and the bytes of a request.
-define(MAX_CLIENTS, 50).
-define(MAX_HEADER, 16_384).
-define(MAX_BODY, 65_536).
%% The key of the path among the options of httpd.
-define(PATH, erlmcp_native_path).

-record(state, {
    ip :: inet:ip_address(),
    port :: inet:port_number(),
    path :: binary(),
    server = none :: none | pid()
}).

?DOC("""
Starts one under the library's own supervisor, which does not start it again where it crashes: for that, see
`child_spec/1`.

`{error, not_started}`: the application is not running. `{error, no_inets}`: that application is not on
the code path. `{error, no_address}`: this machine does not have the `ip`. `{error, Reason}`: of inets,
as where the port is taken.
""").
-spec start(Opts :: opts()) -> {ok, pid()} | {error, term()}.
start(Opts) ->
    Given = options(Opts, {?MODULE, start, [Opts]}),
    erlmcp_native_sup:start_service(?MODULE, Given).

?DOC("""
Stops one. Scrapes that are under way are cut off.
""").
-spec stop(pid()) -> ok.
stop(Pid) ->
    erlmcp_native_sup:stop_service(Pid).

?DOC("""
Where it listens.
""").
-spec info(pid()) -> info().
info(Pid) ->
    gen_server:call(Pid, info).

?DOC("""
For a supervisor of yours, which starts it again.
""").
-spec child_spec(Opts :: opts()) -> supervisor:child_spec().
child_spec(Opts) ->
    Given = options(Opts, {?MODULE, child_spec, [Opts]}),
    #{id => {?MODULE, Given}, start => {?MODULE, start_link, [Given]}}.

?DOC(false).
-spec start_link(opts()) -> {ok, pid()} | {error, term()}.
start_link(Opts) ->
    gen_server:start_link(?MODULE, Opts, []).

options(Opts, Call) when is_map(Opts) ->
    _ = [
        erlmcp_native_error:bad_option(Call, 1, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not is_option(Key, Value)
    ],
    maps:merge(#{ip => {127, 0, 0, 1}, port => 0, path => <<"/metrics">>}, Opts);
options(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a map of options").

is_option(ip, V) -> inet:is_ip_address(V);
is_option(port, V) -> is_integer(V) andalso V >= 0 andalso V < 65_536;
is_option(path, V) -> is_path(V);
is_option(_, _) -> false.

is_path(Path) ->
    try iolist_to_binary(Path) of
        <<"/", Rest/binary>> -> binary:match(Rest, [<<"?">>, <<"#">>, <<" ">>]) =:= nomatch;
        _ -> false
    catch
        error:badarg -> false
    end.

?DOC(false).
-spec init(opts()) -> {ok, #state{}} | {stop, term()}.
init(#{ip := Ip, port := Port, path := Path}) ->
    _ = process_flag(trap_exit, true),
    case listen(#state{ip = Ip, port = Port, path = iolist_to_binary(Path)}) of
        {ok, State} -> {ok, State};
        {error, Reason} -> {stop, Reason}
    end.

listen(#state{ip = Ip, port = Port, path = Path} = State) ->
    %% Nothing is served from it, but httpd wants a directory.
    Root = code:priv_dir(erlmcp_native),
    Config = [
        {bind_address, Ip},
        {ipfamily, family(Ip)},
        {port, Port},
        {server_name, "erlmcp_native"},
        {server_tokens, none},
        {server_root, Root},
        {document_root, Root},
        {modules, [?MODULE]},
        {max_clients, ?MAX_CLIENTS},
        {max_header_size, ?MAX_HEADER},
        {max_body_size, ?MAX_BODY},
        {?PATH, Path}
    ],
    try inets:start(httpd, Config, stand_alone) of
        {ok, Server} -> listening(Server, State);
        {error, Reason} -> {error, Reason}
    catch
        error:undef -> {error, no_inets}
    end.

family(Ip) when tuple_size(Ip) =:= 4 -> inet;
family(_) -> inet6.

%% With the port that was taken where any was asked for. httpd starts without listening, and logs why,
%% where it cannot have one at the address.
listening(Server, State) ->
    case supervisor:which_children(Server) of
        [{{httpd_instance_sup, _Address, Port, _Profile}, _, _, _}] ->
            {ok, State#state{server = Server, port = Port}};
        [] ->
            ok = stop_server(Server),
            {error, no_address}
    end.

?DOC(false).
-spec handle_call(info, gen_server:from(), #state{}) -> {reply, info(), #state{}}.
handle_call(info, _From, #state{ip = Ip, port = Port, path = Path} = State) ->
    Host =
        case family(Ip) of
            inet -> inet:ntoa(Ip);
            inet6 -> ["[", inet:ntoa(Ip), "]"]
        end,
    Url = iolist_to_binary(["http://", Host, ":", integer_to_list(Port), Path]),
    {reply, #{ip => Ip, port => Port, path => Path, url => Url}, State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({'EXIT', Server, Reason}, #state{server = Server} = State) ->
    complain("the endpoint for Prometheus ended: ~0tp", [Reason]),
    _ = erlang:send_after(?RESTART, self(), listen),
    {noreply, State#state{server = none}};
handle_info(listen, #state{server = none} = State) ->
    case listen(State) of
        {ok, Listening} ->
            {noreply, Listening};
        {error, _} ->
            _ = erlang:send_after(?RESTART, self(), listen),
            {noreply, State}
    end;
handle_info(_, State) ->
    {noreply, State}.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{server = none}) ->
    ok;
terminate(_Reason, #state{server = Server}) ->
    stop_server(Server).

stop_server(Server) ->
    %% One of the processes that it is linked to holds the socket, and ends after it.
    Links =
        case process_info(Server, links) of
            {links, All} -> [Pid || Pid <- All, is_pid(Pid), Pid =/= self()];
            undefined -> []
        end,
    Monitors = [monitor(process, Pid) || Pid <- [Server | Links]],
    true = exit(Server, shutdown),
    lists:foreach(fun(Monitor) -> receive {'DOWN', Monitor, _, _, _} -> ok end end, Monitors).

?DOC(false).
%% A request, in a process of httpd's.
-spec do(#mod{}) -> {proceed, list()}.
do(#mod{method = Method, request_uri = Uri, parsed_header = Header, config_db = Config}) ->
    [Path | _] = binary:split(iolist_to_binary(Uri), <<"?">>),
    Response =
        case httpd_util:lookup(Config, ?PATH) of
            Path when Method =:= "GET"; Method =:= "HEAD" ->
                scraped(field("accept", Header), field("accept-encoding", Header));
            Path ->
                plain(405, [{allow, "GET, HEAD"}], <<"Method Not Allowed\n">>);
            _ ->
                plain(404, [], <<"Not Found\n">>)
        end,
    {proceed, [{response, without_body(Method, Response)}]}.

%% httpd would send it also where it must not.
without_body("HEAD", {response, Head, _Body}) -> {response, Head, []};
without_body(_, Response) -> Response.

field(Name, Header) ->
    iolist_to_binary(lists:join($,, [Value || {Key, Value} <- Header, Key =:= Name])).

%% In a process that ends: the one that asks stays as long as its connection, and would keep the room.
scraped(Accept, AcceptEncoding) ->
    {Pid, Monitor} = spawn_monitor(?MODULE, answer, [Accept, AcceptEncoding]),
    receive
        {'DOWN', Monitor, process, Pid, {answer, Type, Fields, Body}} ->
            response(200, Type, [{"vary", "Accept, Accept-Encoding"} | Fields], Body);
        {'DOWN', Monitor, process, Pid, Reason} ->
            complain("an exposition for Prometheus failed: ~0tp", [Reason]),
            plain(500, [], <<"Internal Server Error\n">>)
    after ?TIMEOUT ->
        true = exit(Pid, kill),
        true = demonitor(Monitor, [flush]),
        plain(503, [], <<"Service Unavailable\n">>)
    end.

?DOC(false).
-spec answer(binary(), binary()) -> no_return().
answer(Accept, AcceptEncoding) ->
    {Type, Body} =
        try
            erlmcp_native_prometheus:exposition(Accept)
        catch
            %% Without a report of its own.
            Class:Reason:Stack -> exit({Class, Reason, Stack})
        end,
    case erlmcp_native_prometheus_accept:gzip(AcceptEncoding) of
        true -> exit({answer, Type, [{"content-encoding", "gzip"}], compressed(Body)});
        false -> exit({answer, Type, [], Body})
    end.

%% At the least level, which is several times as fast as the usual one.
compressed(Body) ->
    Stream = zlib:open(),
    %% A window of 32 KB, and 16 for the form of gzip.
    ok = zlib:deflateInit(Stream, best_speed, deflated, 16 + 15, 8, default),
    Compressed = zlib:deflate(Stream, Body, finish),
    ok = zlib:close(Stream),
    iolist_to_binary(Compressed).

plain(Code, Fields, Body) ->
    response(Code, <<"text/plain; charset=utf-8">>, Fields, Body).

response(Code, Type, Fields, Body) ->
    Head = [
        {code, Code},
        {content_type, binary_to_list(Type)},
        {content_length, integer_to_list(byte_size(Body))}
        | Fields
    ],
    {response, Head, [Body]}.

complain(Format, Args) ->
    logger:warning(Format, Args, #{domain => [erlmcp_native]}).

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
