use super::*;
use crate::tests::*;
use crate::Scale;

/// With its metrics.
#[derive(Clone, PartialEq, Message)]
struct Whole {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(int32, tag = "3")]
    r#type: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<pb::Metric>,
    #[prost(string, tag = "5")]
    unit: String,
}

fn decode(bytes: &[u8]) -> Vec<Whole> {
    let mut rest = bytes;
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(Whole::decode_length_delimited(&mut rest).unwrap());
    }
    families
}

/// Buckets by the form's index.
fn native(histogram: &pb::Histogram) -> Vec<(i32, u64)> {
    let mut deltas = histogram.positive_delta.iter();
    let (mut index, mut count) = (0, 0_i64);
    let mut buckets = Vec::new();
    for span in &histogram.positive_span {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().unwrap();
            buckets.push((index, count as u64));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    buckets
}

#[test]
fn counters_and_gauges() {
    let counter = family("calls", Kind::Counter);
    let labels = labels(&[("tool", "a\"\n")]);
    let exemplars = [exemplar("x", 1.0, 2.25)];
    let counted = [
        Series {
            created: 1_700_000_000.5,
            exemplars: &exemplars,
            ..series(&labels, Value::Number(Number::Integer(5)))
        },
        series(&[], Value::Number(Number::Unsigned(u64::MAX))),
    ];
    let mut gauge = family("level_ratio", Kind::Gauge);
    gauge.unit = "ratio".into();
    gauge.scale = Scale::new(0.01).unwrap();
    let level = [series(&[], Value::Number(Number::Float(-50.0)))];
    let none = family("none", Kind::Gauge);
    let of: &[(&Family, &[Series])] = &[(&counter, &counted), (&none, &[]), (&gauge, &level)];
    let families = decode(&encode(Protobuf::default(), of));
    let [calls, level] = &families[..] else {
        panic!("{families:?}");
    };
    assert_eq!(
        (calls.name.as_str(), calls.help.as_str(), calls.r#type),
        ("calls_total", "Help.", COUNTER)
    );
    let metric = &calls.metric[0];
    assert_eq!(metric.label[0].name, "tool");
    assert_eq!(metric.label[0].value, "a\"\n");
    let counter = metric.counter.as_ref().unwrap();
    assert_eq!(counter.value, 5.0);
    let created = pb::Timestamp {
        seconds: 1_700_000_000,
        nanos: 500_000_000,
    };
    assert_eq!(counter.created_timestamp, Some(created));
    let exemplar = counter.exemplar.as_ref().unwrap();
    assert_eq!(
        (exemplar.value, exemplar.timestamp.unwrap().seconds),
        (1.0, 2)
    );
    let other = calls.metric[1].counter.as_ref().unwrap();
    assert_eq!(
        (other.value, other.created_timestamp),
        (u64::MAX as f64, None)
    );
    assert_eq!(
        (level.name.as_str(), level.unit.as_str()),
        ("level_ratio", "ratio")
    );
    assert_eq!(level.r#type, GAUGE);
    assert_eq!(level.metric[0].gauge.unwrap().value, -0.5);
}

#[test]
fn histograms() {
    let mut family = family("wait_seconds", Kind::Histogram);
    family.scale = Scale::new(1e-9).unwrap();
    family.bounds = vec![0.001, 1.0];
    let values = [0, 0, 500_000, 2_000_000, 2_000_000, 7_000_000_000];
    let snapshot = recorded(7, 42, &values);
    let exemplars = [exemplar("a", 0.5, 3.0), exemplar("b", 0.6, 0.0)];
    let of = [Series {
        exemplars: &exemplars,
        ..series(&[], Value::Histogram(&snapshot))
    }];
    let families = decode(&encode(Protobuf::default(), &[(&family, &of)]));
    assert_eq!(families[0].r#type, HISTOGRAM);
    let histogram = families[0].metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.sample_count, histogram.sample_sum), (6, 7.0045));
    let classic: Vec<_> = histogram
        .bucket
        .iter()
        .map(|bucket| (bucket.upper_bound, bucket.cumulative_count))
        .collect();
    assert_eq!(classic, [(0.001, 3), (1.0, 5), (f64::INFINITY, 6)]);
    let of_bucket = histogram.bucket[1].exemplar.as_ref().unwrap();
    assert_eq!(of_bucket.label[0].value, "a");
    assert!(histogram.bucket[0].exemplar.is_none());
    // Those without a time are not for native histograms.
    assert_eq!(histogram.exemplars.len(), 1);
    assert_eq!((histogram.schema, histogram.zero_count), (6, 2));
    assert!(histogram.zero_threshold > 0.0 && histogram.zero_threshold < 1e-30);
    let base = 2_f64.powf(2_f64.powi(-histogram.schema));
    let buckets = native(histogram);
    assert_eq!(
        buckets.iter().map(|&(_, count)| count).collect::<Vec<_>>(),
        [1, 2, 1]
    );
    for (&(index, _), value) in buckets.iter().zip([0.0005, 0.002, 7.0]) {
        let (low, high) = (base.powi(index - 1), base.powi(index));
        let slack = 1.0 + 1.0 / 256.0;
        assert!(
            low <= value * slack && value <= high * slack,
            "{low} {value} {high}"
        );
    }
}

#[test]
fn an_empty_histogram_is_a_native_one() {
    let family = family("m", Kind::Histogram);
    let snapshot = recorded(7, 42, &[]);
    let of = [series(&[], Value::Histogram(&snapshot))];
    let families = decode(&encode(Protobuf::default(), &[(&family, &of)]));
    let histogram = families[0].metric[0].histogram.as_ref().unwrap();
    assert!(histogram.zero_threshold > 0.0);
    assert_eq!(histogram.sample_count, 0);
    assert!(histogram.positive_span.is_empty());
}

#[test]
fn many_buckets_make_it_coarser() {
    let family = family("m", Kind::Histogram);
    let values: Vec<u64> = (0..64)
        .flat_map(|bit| [1 << bit, (3 << bit) >> 1])
        .collect();
    for precision in 5..=10 {
        let snapshot = recorded(precision, 64, &values);
        let of = [series(&[], Value::Histogram(&snapshot))];
        let families = decode(&encode(Protobuf::default(), &[(&family, &of)]));
        let histogram = families[0].metric[0].histogram.as_ref().unwrap();
        let buckets = native(histogram);
        assert!(buckets.len() <= MAX_BUCKETS, "{}", buckets.len());
        assert!((-4..=8).contains(&histogram.schema));
        let counted: u64 = buckets.iter().map(|&(_, count)| count).sum();
        assert_eq!(counted + histogram.zero_count, snapshot.count());
    }
}

#[test]
fn times() {
    assert_eq!(timestamp(0.0), None);
    assert_eq!(timestamp(-1.0), None);
    assert_eq!(timestamp(f64::NAN), None);
    let time = timestamp(1.999_999_999_9).unwrap();
    assert_eq!((time.seconds, time.nanos), (1, 999_999_999));
}
