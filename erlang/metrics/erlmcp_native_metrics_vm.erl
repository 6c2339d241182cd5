-module(erlmcp_native_metrics_vm).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% The collectors that are there from the start: the VM, its memory, and what is native.

-export([all/0, family/6]).
-export([vm/0, memory/0, native_memory/0]).

-spec all() -> [{atom(), fun(() -> [erlmcp_native_metrics:family()])}].
all() ->
    [
        {erlmcp_vm, fun ?MODULE:vm/0},
        {erlmcp_memory, fun ?MODULE:memory/0},
        {erlmcp_native_memory, fun ?MODULE:native_memory/0},
        {erlmcp_breakers, fun erlmcp_native_breaker_metrics:collect/0},
        {erlmcp_caches, fun erlmcp_native_metrics_caches:collect/0},
        {erlmcp_limiters, fun erlmcp_native_limiter_metrics:collect/0},
        {erlmcp_pools, fun erlmcp_native_pool_metrics:collect/0}
    ].

?DOC(false).
-spec memory() -> [erlmcp_native_metrics:family()].
memory() ->
    ByType = [{[{<<"type">>, atom_to_binary(Type)}], Bytes} || {Type, Bytes} <- erlang:memory()],
    [
        gauge(
            <<"erlmcp_memory_bytes">>, <<"bytes">>,
            "Memory of the VM by type; total is processes and system, the others are parts of those.",
            ByType
        )
    ].

?DOC(false).
-spec native_memory() -> [erlmcp_native_metrics:family()].
native_memory() ->
    Bytes = erlmcp_native:memory(),
    [
        gauge(
            <<"erlmcp_native_memory_bytes">>, <<"bytes">>,
            "Memory of the library's native part, which the VM does not count.",
            [{[], Bytes}]
        )
    ].

?DOC(false).
-spec vm() -> [erlmcp_native_metrics:family()].
vm() ->
    limits() ++ work() ++ times() ++ schedulers().

limits() ->
    Info = fun erlang:system_info/1,
    Held = fun(Name, What, Held, Limit) ->
        [
            gauge(Name, <<>>, [What, " that there are."], [{[], Held}]),
            gauge(<<Name/binary, "_limit">>, <<>>, [What, " that there can be."], [{[], Limit}])
        ]
    end,
    Held(<<"erlmcp_vm_processes">>, "Processes", Info(process_count), Info(process_limit)) ++
        Held(<<"erlmcp_vm_ports">>, "Ports", Info(port_count), Info(port_limit)) ++
        Held(<<"erlmcp_vm_atoms">>, "Atoms", Info(atom_count), Info(atom_limit)) ++
        Held(<<"erlmcp_vm_ets_tables">>, "ETS tables", Info(ets_count), Info(ets_limit)).

work() ->
    {Switches, _} = statistics(context_switches),
    {Collections, Words, _} = statistics(garbage_collection),
    {{input, In}, {output, Out}} = statistics(io),
    {Reductions, _} = statistics(reductions),
    {Normal, Dirty} = lists:split(
        erlang:system_info(schedulers), statistics(run_queue_lengths_all)
    ),
    [Cpu, Io | _] = Dirty ++ [0, 0],
    [
        counter(<<"erlmcp_vm_reductions">>, <<>>, "Reductions.", [{[], Reductions}]),
        counter(<<"erlmcp_vm_context_switches">>, <<>>, "Context switches.", [{[], Switches}]),
        counter(<<"erlmcp_vm_garbage_collections">>, <<>>, "Garbage collections.", [{[], Collections}]),
        counter(
            <<"erlmcp_vm_garbage_collected_bytes">>, <<"bytes">>, "Bytes that were collected.",
            [{[], Words * erlang:system_info(wordsize)}]
        ),
        counter(
            <<"erlmcp_vm_io_bytes">>, <<"bytes">>, "Bytes that went through ports.",
            [{[{<<"direction">>, <<"in">>}], In}, {[{<<"direction">>, <<"out">>}], Out}]
        ),
        gauge(
            <<"erlmcp_vm_run_queue_length">>, <<>>, "Processes and ports that wait for a scheduler.",
            [
                {[{<<"type">>, <<"normal">>}], lists:sum(Normal)},
                {[{<<"type">>, <<"dirty_cpu">>}], Cpu},
                {[{<<"type">>, <<"dirty_io">>}], Io}
            ]
        )
    ].

times() ->
    {Runtime, _} = statistics(runtime),
    Uptime = erlang:monotonic_time() - erlang:system_info(start_time),
    [
        counter(
            <<"erlmcp_vm_cpu_seconds">>, <<"seconds">>, "Processor time of all threads.",
            [{[], Runtime / 1000}]
        ),
        gauge(
            <<"erlmcp_vm_uptime_seconds">>, <<"seconds">>, "Time since the VM was started.",
            [{[], erlang:convert_time_unit(Uptime, native, millisecond) / 1000}]
        )
    ].

%% The times are told only while somebody has the VM measure them.
schedulers() ->
    Online = gauge(
        <<"erlmcp_vm_schedulers">>, <<>>, "Schedulers that are online.",
        [
            {[{<<"type">>, <<"normal">>}], erlang:system_info(schedulers_online)},
            {[{<<"type">>, <<"dirty_cpu">>}], erlang:system_info(dirty_cpu_schedulers_online)},
            {[{<<"type">>, <<"dirty_io">>}], erlang:system_info(dirty_io_schedulers)}
        ]
    ),
    case statistics(scheduler_wall_time_all) of
        undefined -> [Online];
        Times -> [Online | utilization(lists:sort(Times))]
    end.

utilization(Times) ->
    Labelled = [
        {[{<<"scheduler">>, integer_to_binary(Id)}, {<<"type">>, scheduler_type(Id)}], Active, Total}
     || {Id, Active, Total} <- Times
    ],
    [
        counter(
            <<"erlmcp_vm_scheduler_active_ticks">>, <<>>,
            "Time that a scheduler was busy; by that of erlmcp_vm_scheduler_ticks_total, its utilization.",
            [{Labels, Active} || {Labels, Active, _} <- Labelled]
        ),
        counter(
            <<"erlmcp_vm_scheduler_ticks">>, <<>>, "Time that a scheduler has been measured.",
            [{Labels, Total} || {Labels, _, Total} <- Labelled]
        )
    ].

scheduler_type(Id) ->
    Normal = erlang:system_info(schedulers),
    Cpu = Normal + erlang:system_info(dirty_cpu_schedulers),
    if
        Id =< Normal -> <<"normal">>;
        Id =< Cpu -> <<"dirty_cpu">>;
        true -> <<"dirty_io">>
    end.

gauge(Name, Unit, Help, Values) -> family(Name, gauge, Help, Unit, 1, Values).

counter(Name, Unit, Help, Values) -> family(Name, counter, Help, Unit, 1, Values).

%% Of labels and what was counted since the VM was started.
-spec family(binary(), counter | gauge, iodata(), binary(), number(), [
    {[{binary(), binary()}], number()}
]) -> erlmcp_native_metrics:family().
family(Name, Type, Help, Unit, Scale, Values) ->
    Created = started(),
    Series = [{Labels, Value, Created, []} || {Labels, Value} <- Values],
    {Name, Type, iolist_to_binary(Help), Unit, Scale, [], Series}.

started() ->
    Start = erlang:system_info(start_time) + erlang:time_offset(),
    erlang:convert_time_unit(Start, native, millisecond) / 1000.
