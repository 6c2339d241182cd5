-module(erlmcp_native_otlp_push).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% One push, in a process of its own: the families are cut into requests of a bounded size, which are
%% sent one after the other, again where the protocol says so
%% (https://opentelemetry.io/docs/specs/otlp/#otlphttp).

-export([prepare/1, run/1, run_last/1]).

%% Of httpc: not its default one, so that nothing is shared with other users of it.
-define(PROFILE, erlmcp_native_otlp).
-define(MAX_BACKOFF, 30_000).
-define(MAX_HTTPC_WAIT, 100_000).
%% The longest that a collector may have us wait.
-define(MAX_WAIT, 600_000).
%% Of what a collector says is wrong, characters that are kept.
-define(MAX_MESSAGE, 500).

-type counts() :: #{atom() => non_neg_integer() | binary()}.

%% Starts what is needed.
-spec prepare(map()) -> ok | {error, no_inets}.
prepare(#{endpoint := Endpoint}) ->
    Applications = [ssl || "https:" ++ _ <- [string:lowercase(Endpoint)]] ++ [inets],
    case lists:all(fun(App) -> is_tuple_ok(application:ensure_all_started(App)) end, Applications) of
        true -> profile(inets:start(httpc, [{profile, ?PROFILE}]));
        false -> {error, no_inets}
    end.

is_tuple_ok({ok, _}) -> true;
is_tuple_ok(_) -> false.

profile({ok, _}) -> ok;
profile({error, {already_started, _}}) -> ok;
profile({error, _}) -> {error, no_inets}.

%% Exits with {pushed, ok | {error, Reason}, Counts}.
-spec run(map()) -> no_return().
run(Opts) ->
    %% Again, since inets may have been started anew.
    push(fun prepare/1, Opts).

%% As run/1, once, and with what there is: where the node stops, nothing can be started.
-spec run_last(map()) -> no_return().
run_last(Opts) ->
    push(fun(_) -> ok end, Opts#{retries := 0}).

-spec push(fun((map()) -> ok | {error, no_inets}), map()) -> no_return().
push(Prepare, #{max_points := Most} = Opts) ->
    {Result, Counts} =
        try
            case Prepare(Opts) of
                ok ->
                    Time = erlang:system_time(nanosecond),
                    Families = erlmcp_native_metrics:collect(),
                    requests(cut(Families, Most), Time, Opts, {ok, #{}});
                {error, _} = Error ->
                    {Error, #{}}
            end
        catch
            %% Without a report of its own, nor the request, whose headers may be secret.
            exit:{noproc, _} -> {{error, no_inets}, #{}};
            exit:{Reason, {gen_server, call, _}} -> {{error, {exit, Reason}}, #{}};
            Class:Reason -> {{error, {Class, Reason}}, #{}}
        end,
    exit({pushed, Result, Counts}).

%% What failed is what the push says, also where later requests did not.
requests([], _Time, _Opts, Done) ->
    Done;
requests([Families | Rest], Time, Opts, {Result, Counts}) ->
    Body = erlmcp_native_nif:metrics_encode({otlp, maps:get(resource, Opts), Time}, Families),
    Points = points(Families),
    IsSmall = byte_size(Body) =< maps:get(max_body, Opts),
    case IsSmall of
        false when Points > 1 ->
            requests(cut(Families, (Points + 1) div 2) ++ Rest, Time, Opts, {Result, Counts});
        false ->
            requests(Rest, Time, Opts, {Result, add(too_large, 1, Counts)});
        true ->
            case request(packed(Body, Opts), Opts, 0, Counts) of
                {ok, Counts1} ->
                    requests(Rest, Time, Opts, {Result, add(points, Points, Counts1)});
                {{error, {status, Status, _}} = Error, Counts1} when Status =:= 400; Status =:= 413 ->
                    %% It is this request that is not liked.
                    requests(Rest, Time, Opts, {Error, Counts1});
                Failed ->
                    Failed
            end
    end.

points(Families) ->
    lists:sum([length(element(7, Family)) || Family <- Families]).

%% Lists of families with at most so many series each; families without any are left out.
cut(Families, Most) ->
    cut(Families, Most, Most, [], []).

cut([], _Most, _Room, [], Done) ->
    lists:reverse(Done);
cut([], _Most, _Room, Now, Done) ->
    lists:reverse([lists:reverse(Now) | Done]);
cut([Family | Rest], Most, Room, Now, Done) ->
    case element(7, Family) of
        [] ->
            cut(Rest, Most, Room, Now, Done);
        _ when Room =:= 0 ->
            cut([Family | Rest], Most, Most, [], [lists:reverse(Now) | Done]);
        Series ->
            {Fits, Others} = lists:split(min(Room, length(Series)), Series),
            Now1 = [setelement(7, Family, Fits) | Now],
            cut([setelement(7, Family, Others) | Rest], Most, Room - length(Fits), Now1, Done)
    end.

packed(Body, #{compression := gzip} = Opts) ->
    {zlib:gzip(Body), [{"content-encoding", "gzip"} | fields(Opts)]};
packed(Body, Opts) ->
    {Body, fields(Opts)}.

fields(#{headers := Headers}) ->
    case lists:keymember("user-agent", 1, Headers) of
        true -> Headers;
        false -> [{"user-agent", "OTel-OTLP-Exporter-Erlang erlmcp_native"} | Headers]
    end.

-spec request({binary(), [{string(), string()}]}, map(), non_neg_integer(), counts()) ->
    {ok | {error, term()}, counts()}.
request({Body, Fields} = Packed, Opts, Sent, Counts) ->
    #{endpoint := Endpoint, timeout := Timeout, retries := Retries} = Opts,
    Sending = httpc:request(
        post,
        {Endpoint, Fields, "application/x-protobuf", Body},
        [{timeout, Timeout}, {connect_timeout, Timeout}, {autoredirect, false} | ssl(Opts)],
        [{body_format, binary}, {sync, false}],
        ?PROFILE
    ),
    Answer = answer(Sending, 2 * Timeout + ?MAX_HTTPC_WAIT),
    Counts1 = add(requests, 1, add(bytes, byte_size(Body), Counts)),
    case outcome(Answer) of
        {ok, Response} ->
            {ok, partial(Response, Counts1)};
        {busy, _Error, After} when Sent < Retries ->
            ok = timer:sleep(wait(After, Sent, Opts)),
            request(Packed, Opts, Sent + 1, add(retries, 1, Counts1));
        {busy, Error, _After} ->
            {{error, Error}, Counts1};
        {error, Error} ->
            {{error, Error}, Counts1}
    end.

%% httpc sends again by itself, as often as it takes, what was answered by 503 and that it may come again
%% in less than 100 s. It has time for the longest of these waits.
answer({ok, Id}, Time) ->
    receive
        {http, {Id, {error, Reason}}} -> {error, Reason};
        {http, {Id, Response}} -> {ok, Response}
    after Time ->
        ok = httpc:cancel_request(Id, ?PROFILE),
        overdue
    end;
answer({error, Reason}, _Time) ->
    {error, Reason}.

outcome(overdue) ->
    {error, timeout};
outcome({ok, {{_, Status, _}, _, Response}}) when Status >= 200, Status < 300 ->
    {ok, Response};
outcome({ok, {{_, Status, _}, Fields, Response}}) when
    Status =:= 429; Status =:= 502; Status =:= 503; Status =:= 504
->
    {busy, {status, Status, message(Response)}, retry_after(Fields)};
outcome({ok, {{_, Status, _}, _, Response}}) ->
    {error, {status, Status, message(Response)}};
%% The connection could not be made, broke, or the answer was too late.
outcome({error, Reason}) ->
    {busy, Reason, unknown}.

%% Milliseconds, from seconds or a date.
retry_after(Fields) ->
    Value = proplists:get_value("retry-after", Fields, ""),
    try
        list_to_integer(Value) * 1000
    catch
        error:badarg -> until(Value)
    end.

until(Date) ->
    try
        Then = calendar:datetime_to_gregorian_seconds(httpd_util:convert_request_date(Date)),
        (Then - calendar:datetime_to_gregorian_seconds(calendar:universal_time())) * 1000
    catch
        %% Nothing, or no date.
        error:_ -> unknown
    end.

wait(unknown, Sent, #{backoff := Backoff}) ->
    Whole = min(Backoff bsl min(Sent, 20), ?MAX_BACKOFF),
    Whole - rand:uniform(Whole div 2 + 1) + 1;
wait(After, _Sent, _Opts) ->
    max(0, min(After, ?MAX_WAIT)).

ssl(#{endpoint := Endpoint, ssl := default}) ->
    case string:lowercase(Endpoint) of
        "https:" ++ _ ->
            Match = public_key:pkix_verify_hostname_match_fun(https),
            [
                {ssl, [
                    {verify, verify_peer},
                    {cacerts, public_key:cacerts_get()},
                    {customize_hostname_check, [{match_fun, Match}]}
                ]}
            ];
        _ ->
            []
    end;
ssl(#{ssl := Options}) ->
    [{ssl, Options}].

%% An ExportMetricsServiceResponse: what it says of points that were rejected, or warns of.
partial(Response, Counts) ->
    case field(1, Response) of
        Partial when is_binary(Partial) ->
            Warned =
                case field(2, Partial) of
                    Message when is_binary(Message), Message =/= <<>> ->
                        Counts#{warning => {partial_success, message(Message)}};
                    _ ->
                        Counts
                end,
            case field(1, Partial) of
                Rejected when is_integer(Rejected), Rejected > 0 -> add(rejected, Rejected, Warned);
                _ -> Warned
            end;
        _ ->
            Counts
    end.

%% The last value of a field in a message of protobuf; `none' where there is none, or no message.
field(Number, Message) ->
    field(Number, Message, none).

field(Number, Message, Found) ->
    case tagged(Message) of
        {Number, Value, Rest} -> field(Number, Rest, Value);
        {_, _, Rest} -> field(Number, Rest, Found);
        done -> Found;
        malformed -> none
    end.

tagged(<<>>) ->
    done;
tagged(Message) ->
    case varint(Message) of
        {Tag, Rest} -> value(Tag band 7, Tag bsr 3, Rest);
        malformed -> malformed
    end.

value(0, Number, Message) ->
    case varint(Message) of
        {Value, Rest} -> {Number, Value, Rest};
        malformed -> malformed
    end;
value(1, Number, <<Value:64/little, Rest/binary>>) ->
    {Number, Value, Rest};
value(2, Number, Message) ->
    case varint(Message) of
        {Size, Sized} when Size =< byte_size(Sized) ->
            <<Value:Size/binary, Rest/binary>> = Sized,
            {Number, Value, Rest};
        _ ->
            malformed
    end;
value(5, Number, <<Value:32/little, Rest/binary>>) ->
    {Number, Value, Rest};
value(_, _, _) ->
    malformed.

varint(Message) -> varint(Message, 0, 0).

varint(<<0:1, Bits:7, Rest/binary>>, Shift, Sum) when Shift < 70 ->
    {Sum bor (Bits bsl Shift), Rest};
varint(<<1:1, Bits:7, Rest/binary>>, Shift, Sum) when Shift < 70 ->
    varint(Rest, Shift + 7, Sum bor (Bits bsl Shift));
varint(_, _, _) ->
    malformed.

message(Text) ->
    binary:copy(binary:part(Text, 0, min(byte_size(Text), ?MAX_MESSAGE))).

add(Key, Number, Counts) ->
    maps:update_with(Key, fun(Before) -> Before + Number end, Number, Counts).
