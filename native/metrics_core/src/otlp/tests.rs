use super::*;
use crate::tests::*;
use crate::Scale;
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<pb::Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<pb::InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(oneof = "Data", tags = "5, 7, 10")]
    data: Option<Data>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Data {
    #[prost(message, tag = "5")]
    Gauge(Numbers),
    #[prost(message, tag = "7")]
    Sum(Numbers),
    #[prost(message, tag = "10")]
    Histogram(Histograms),
}

#[derive(Clone, PartialEq, Message)]
struct Numbers {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<pb::NumberDataPoint>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Histograms {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<pb::ExponentialHistogramDataPoint>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
}

fn decode(bytes: &[u8]) -> ResourceMetrics {
    let request = Request::decode(bytes).unwrap();
    assert_eq!(request.resource_metrics.len(), 1);
    request.resource_metrics[0].clone()
}

#[test]
fn resource_and_scope() {
    let resource = [
        ("text", Attribute::Text("é")),
        ("is", Attribute::Bool(true)),
        ("number", Attribute::Integer(-3)),
        ("share", Attribute::Float(0.5)),
    ];
    let decoded = decode(&encode(Otlp::new(&resource, 1), &[]));
    let values: Vec<_> = decoded
        .resource
        .unwrap()
        .attributes
        .into_iter()
        .map(|attribute| (attribute.key, attribute.value.unwrap().value.unwrap()))
        .collect();
    assert_eq!(
        values,
        [
            ("text".to_string(), pb::Any::String("é".to_string())),
            ("is".to_string(), pb::Any::Bool(true)),
            ("number".to_string(), pb::Any::Int(-3)),
            ("share".to_string(), pb::Any::Double(0.5)),
        ]
    );
    let scope = &decoded.scope_metrics[0];
    assert_eq!(scope.scope.as_ref().unwrap().name, "erlmcp_native");
    assert!(scope.metrics.is_empty());
}

#[test]
fn overflow_is_an_attribute_of_its_own() {
    let attribute = |label| attributes(&labels(&[label])).remove(0);
    let text = |text: &str| pb::Any::String(text.to_string());
    assert_eq!(
        attribute(("otel_metric_overflow", "true")),
        key_value("otel.metric.overflow", pb::Any::Bool(true))
    );
    assert_eq!(
        attribute(("otel_metric_overflow", "false")),
        key_value("otel_metric_overflow", text("false"))
    );
    assert_eq!(
        attribute(("other", "true")),
        key_value("other", text("true"))
    );
}

#[test]
fn sums_and_gauges() {
    let counter = family("calls", Kind::Counter);
    let labels = labels(&[("tool", "a")]);
    let counted = [
        Series {
            created: 2.5,
            ..series(&labels, Value::Number(Number::Integer(5)))
        },
        series(&[], Value::Number(Number::Unsigned(u64::MAX))),
    ];
    let mut gauge = family("size_bytes", Kind::Gauge);
    gauge.unit = "bytes".into();
    gauge.scale = Scale::new(1024.0).unwrap();
    let size = [Series {
        created: 2.5,
        ..series(&[], Value::Number(Number::Integer(-2)))
    }];
    let none = family("none", Kind::Gauge);
    let of: &[(&Family, &[Series])] = &[(&counter, &counted), (&none, &[]), (&gauge, &size)];
    let decoded = decode(&encode(Otlp::new(&[], 7), of));
    let metrics = &decoded.scope_metrics[0].metrics;
    assert_eq!(metrics.len(), 2);
    assert_eq!(
        (metrics[0].name.as_str(), metrics[0].description.as_str()),
        ("calls", "Help.")
    );
    let Some(Data::Sum(sum)) = &metrics[0].data else {
        panic!("{metrics:?}");
    };
    assert!(sum.is_monotonic && sum.aggregation_temporality == CUMULATIVE);
    let [first, second] = &sum.data_points[..] else {
        panic!("{sum:?}");
    };
    assert_eq!(
        (first.start_time_unix_nano, first.time_unix_nano),
        (2_500_000_000, 7)
    );
    assert_eq!(first.value, Some(pb::NumberValue::Int(5)));
    assert_eq!(first.attributes[0].key, "tool");
    assert_eq!(second.value, Some(pb::NumberValue::Double(u64::MAX as f64)));
    let Some(Data::Gauge(gauge)) = &metrics[1].data else {
        panic!("{metrics:?}");
    };
    assert_eq!(metrics[1].unit, "By");
    let point = &gauge.data_points[0];
    assert_eq!(point.value, Some(pb::NumberValue::Double(-2048.0)));
    assert_eq!(point.start_time_unix_nano, 0);
}

#[test]
fn histograms() {
    let mut family = family("wait_seconds", Kind::Histogram);
    family.unit = "seconds".into();
    family.scale = Scale::new(1e-9).unwrap();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let exemplars = [
        Exemplar {
            labels: labels(&[
                ("trace_id", trace),
                ("span_id", "b7ad6b7169203331"),
                ("user", "x"),
            ]),
            value: 0.5,
            time: 3.0,
        },
        // No such identifiers.
        Exemplar {
            labels: labels(&[("trace_id", "xyz"), ("span_id", "")]),
            value: 0.5,
            time: 0.0,
        },
    ];
    let values: Vec<u64> = (0..1000).map(|n| n * 1_000_000).collect();
    for values in [&values[..], &[]] {
        let snapshot = recorded(7, 42, values);
        let of = [Series {
            exemplars: &exemplars,
            ..series(&[], Value::Histogram(&snapshot))
        }];
        let decoded = decode(&encode(Otlp::new(&[], 7), &[(&family, &of)]));
        let metric = &decoded.scope_metrics[0].metrics[0];
        assert_eq!(metric.unit, "s");
        let Some(Data::Histogram(histogram)) = &metric.data else {
            panic!("{metric:?}");
        };
        assert_eq!(histogram.aggregation_temporality, CUMULATIVE);
        let point = &histogram.data_points[0];
        assert_eq!(point.count, values.len() as u64);
        assert_eq!(point.sum, Some(values.iter().sum::<u64>() as f64 / 1e9));
        let Some(buckets) = &point.positive else {
            assert!(values.is_empty() && point.min.is_none() && point.max.is_none());
            continue;
        };
        assert_eq!(
            (point.zero_count, point.min, point.max),
            (1, Some(0.0), Some(0.999))
        );
        assert!(buckets.bucket_counts.len() as i64 <= MAX_BUCKETS);
        assert_eq!(buckets.bucket_counts.iter().sum::<u64>(), 999);
        assert!(point.scale >= 3, "{}", point.scale);
        let [first, second] = &point.exemplars[..] else {
            panic!("{point:?}");
        };
        assert_eq!((first.trace_id.len(), first.trace_id[0]), (16, 0x0a));
        assert_eq!((first.span_id.len(), first.span_id[7]), (8, 0x31));
        assert_eq!(first.filtered_attributes[0].key, "user");
        assert_eq!(first.time_unix_nano, 3_000_000_000);
        assert!(second.trace_id.is_empty() && second.span_id.is_empty());
        assert_eq!(second.filtered_attributes.len(), 2);
    }
}

#[test]
fn hexadecimal_is_read() {
    assert_eq!(hexadecimal("00fFa1"), Some(vec![0, 0xff, 0xa1]));
    assert_eq!(hexadecimal(""), Some(vec![]));
    for text in ["0", "000", "0g", "é0", "+1"] {
        assert_eq!(hexadecimal(text), None, "{text}");
    }
}
