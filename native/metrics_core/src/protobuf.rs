//! Prometheus' protobuf: messages `io.prometheus.client.MetricFamily`, each after its length. The one
//! form with native histograms.

mod messages;

use crate::histogram::{Classic, Exponentials};
use crate::{newest, Encoder, Exemplar, Family, Kind, Label, Number, Series, Value};
use histogram_core::snapshot::Snapshot;
use messages as pb;
use prost::encoding::{encode_varint, message};
use prost::Message;

#[derive(Default)]
pub struct Protobuf {
    out: Vec<u8>,
    /// The family at hand: its fields but for the metrics, then these.
    family: Vec<u8>,
    /// How long that is without metrics.
    head: usize,
    classic: Classic,
    exponentials: Exponentials,
}

/// But for its metrics, which are written one by one.
#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(int32, tag = "3")]
    r#type: i32,
    #[prost(string, tag = "5")]
    unit: String,
}
const METRIC: u32 = 4;

/// Values of `MetricType`.
const COUNTER: i32 = 0;
const GAUGE: i32 = 1;
const HISTOGRAM: i32 = 4;

const MAX_SCHEMA: i32 = 8;
/// The most buckets of a native histogram that are not empty; where there are more it is coarser.
const MAX_BUCKETS: usize = 160;
/// No value is so small but 0. A threshold other than 0 marks a native histogram that is empty.
const ZERO_THRESHOLD: f64 = f64::from_bits((1023 - 128) << 52);

impl Protobuf {
    fn histogram(
        &mut self,
        family: &Family,
        series: &Series,
        snapshot: &Snapshot,
    ) -> pb::Histogram {
        self.classic.count(snapshot);
        let count = snapshot.count();
        let mut below = f64::NEG_INFINITY;
        let bounds = family.bounds.iter().chain([&f64::INFINITY]);
        let counts = self.classic.counts.iter().chain([&count]);
        let buckets = bounds.zip(counts).map(|(&bound, &count)| {
            let exemplar = newest(series.exemplars, below, bound, |_| true);
            below = bound;
            pb::Bucket {
                cumulative_count: count,
                upper_bound: bound,
                exemplar: exemplar.map(exemplar_message),
            }
        });
        let bucket = buckets.collect();
        let is_small = |counts: &[(i32, u64)]| counts.len() <= MAX_BUCKETS;
        let exponential = self.exponentials.of(family, snapshot, MAX_SCHEMA, is_small);
        let (positive_span, positive_delta) = spans(&exponential.counts);
        let timed = series
            .exemplars
            .iter()
            .filter(|exemplar| exemplar.time > 0.0);
        pb::Histogram {
            sample_count: count,
            sample_sum: family.scale.expose(snapshot.sum as f64),
            bucket,
            schema: exponential.scale,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: exponential.zero,
            positive_span,
            positive_delta,
            created_timestamp: timestamp(series.created),
            exemplars: timed.map(exemplar_message).collect(),
        }
    }
}

impl Encoder for Protobuf {
    fn open(&mut self, family: &Family) {
        self.classic.open(family);
        let (suffix, r#type) = match family.kind {
            Kind::Counter => ("_total", COUNTER),
            Kind::Gauge => ("", GAUGE),
            Kind::Histogram => ("", HISTOGRAM),
        };
        let head = MetricFamily {
            name: [family.name, suffix].concat(),
            help: family.help.to_string(),
            r#type,
            unit: family.unit.to_string(),
        };
        self.family.clear();
        head.encode_raw(&mut self.family);
        self.head = self.family.len();
    }

    fn series(&mut self, family: &Family, series: &Series) {
        let mut metric = pb::Metric::default();
        match (family.kind, series.value) {
            (Kind::Gauge, Value::Number(value)) => {
                let value = exposed(family, value);
                metric.gauge = Some(pb::Gauge { value });
            }
            (Kind::Counter, Value::Number(value)) => {
                let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
                let exemplar = newest(series.exemplars, low, high, |_| true);
                metric.counter = Some(pb::Counter {
                    value: exposed(family, value),
                    exemplar: exemplar.map(exemplar_message),
                    created_timestamp: timestamp(series.created),
                });
            }
            (Kind::Histogram, Value::Histogram(snapshot)) => {
                metric.histogram = Some(self.histogram(family, series, snapshot));
            }
            _ => return,
        }
        metric.label = pairs(series.labels);
        message::encode(METRIC, &metric, &mut self.family);
    }

    fn close(&mut self, _family: &Family) {
        if self.family.len() > self.head {
            encode_varint(self.family.len() as u64, &mut self.out);
            self.out.extend_from_slice(&self.family);
        }
        self.family.clear();
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.out
    }

    fn size(&self) -> usize {
        self.out.len() + self.family.len()
    }
}

fn exposed(family: &Family, value: Number) -> f64 {
    family.scale.expose_number(value).as_f64()
}

fn pairs(labels: &[Label]) -> Vec<pb::LabelPair> {
    let pair = |label: &Label| pb::LabelPair {
        name: label.name.to_string(),
        value: label.value.to_string(),
    };
    labels.iter().map(pair).collect()
}

fn exemplar_message(exemplar: &Exemplar) -> pb::Exemplar {
    pb::Exemplar {
        label: pairs(&exemplar.labels),
        value: exemplar.value,
        timestamp: timestamp(exemplar.time),
    }
}

fn timestamp(seconds: f64) -> Option<pb::Timestamp> {
    let whole = seconds.floor();
    (seconds > 0.0).then(|| pb::Timestamp {
        seconds: whole as i64,
        nanos: (((seconds - whole) * 1e9) as i32).min(999_999_999),
    })
}

/// Runs of buckets, and by how much each one's count differs from the one's before. The form's
/// index is that of a bucket's upper bound.
fn spans(counts: &[(i32, u64)]) -> (Vec<pb::BucketSpan>, Vec<i64>) {
    let mut spans: Vec<pb::BucketSpan> = Vec::new();
    let mut deltas = Vec::with_capacity(counts.len());
    let (mut next, mut before) = (0, 0);
    for &(index, count) in counts {
        let index = index + 1;
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(pb::BucketSpan {
                offset: index - next,
                length: 1,
            }),
        }
        next = index + 1;
        deltas.push(count.wrapping_sub(before).cast_signed());
        before = count;
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests;
