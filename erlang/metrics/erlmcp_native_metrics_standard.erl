-module(erlmcp_native_metrics_standard).
-include("erlmcp_native_doc.hrl").
-include("erlmcp_native_metrics.hrl").
?MODULEDOC(false).

%% The families that are there when the application has started: those that the registry counts itself
%% in, and, unless the environment `standard_metrics' is false, those that erlmcp's dashboards and
%% alert rules ask for and those of what the library has.

-export([families/0, start_values/0, collectors/0]).

-spec families() -> [#family{}].
families() ->
    Standard = [
        Opts
     || is_on(), Opts <- requests() ++ sessions()
    ],
    Call = {erlmcp_native_metrics, new, []},
    [erlmcp_native_metrics_options:family(Opts, Call) || Opts <- own() ++ Standard].

%% Of those that do not begin at 0.
-spec start_values() -> [{atom(), number()}].
start_values() ->
    [{erlmcp_healthy, 1} || is_on()].

-spec collectors() -> [{atom(), fun(() -> [erlmcp_native_metrics:family()])}].
collectors() ->
    [Collector || is_on(), Collector <- erlmcp_native_metrics_vm:all()].

is_on() ->
    application:get_env(erlmcp_native, standard_metrics, true) =/= false.

own() ->
    [
        counter(
            erlmcp_metrics_overflow, [metric],
            "Look-ups of label sets that were given the series of overflow, for want of room."
        ),
        counter(
            erlmcp_metrics_collector_failures, [collector, reason],
            "Collectors left out of an exposition: raised, timeout, invalid or clash."
        ),
        counter(
            erlmcp_metrics_telemetry_failures, [handler],
            "Telemetry events that a handler could not record."
        )
    ].

requests() ->
    [
        counter(
            erlmcp_requests_total, [component, method, status, transport],
            "Requests answered. The status is that of HTTP or its like: 2xx, 4xx, 5xx."
        ),
        counter(erlmcp_responses_total, [endpoint, status], "Responses sent."),
        counter(erlmcp_errors_total, [component, error_type], "Errors."),
        latency(
            erlmcp_request_duration_seconds, [component, endpoint, method],
            "How long requests took."
        ),
        (gauge(erlmcp_queue_size, [queue], "Requests that wait."))#{type => up_down_counter},
        latency(erlmcp_queue_wait_seconds, [queue], "How long requests waited.")
    ].

sessions() ->
    [
        counter(erlmcp_connections_total, [transport], "Connections opened."),
        counter(erlmcp_connections_closed_total, [transport], "Connections closed."),
        (gauge(erlmcp_active_connections, [transport], "Connections that are open."))#{
            type => up_down_counter
        },
        gauge(erlmcp_max_connections, [transport], "Connections that may be open."),
        (gauge(erlmcp_active_sessions, [], "Sessions that are open."))#{type => up_down_counter},
        gauge(erlmcp_healthy, [], "0 where something says that it does not work.")
    ].

counter(Name, Labels, Help) ->
    #{name => Name, type => counter, labels => Labels, help => Help}.

gauge(Name, Labels, Help) ->
    #{name => Name, type => gauge, labels => Labels, help => Help}.

latency(Name, Labels, Help) ->
    #{name => Name, type => histogram, unit => seconds, labels => Labels, help => Help}.
