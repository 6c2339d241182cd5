%% What the registry keeps of a family of metrics: a row of its own, and one for each of the names
%% of samples that it exposes. See erlmcp_native_metrics_registry.
-record(family, {
    %% The name as new/1 was given it, which is the first part of the keys of its series.
    key :: atom() | binary(),
    %% As text, without the suffix that is only exposed.
    name :: binary(),
    type :: erlmcp_native_metrics:type(),
    help :: binary(),
    unit :: binary(),
    labels :: [binary()],
    max_series :: pos_integer(),
    scale :: number(),
    bounds :: [number()],
    %% What the native part of each series is made with.
    native :: map(),
    %% Series but for that of overflow.
    count = 0 :: non_neg_integer()
}).

-define(FAMILIES, erlmcp_native_metrics_families).
-define(SERIES, erlmcp_native_metrics_series).
-define(EXEMPLARS, erlmcp_native_metrics_exemplars).
-define(COLLECTORS, erlmcp_native_metrics_collectors).

%% As OpenTelemetry marks the series that takes what has no series of its own.
-define(OVERFLOW_LABEL, <<"otel_metric_overflow">>).
