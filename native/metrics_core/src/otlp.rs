//! OpenTelemetry's `ExportMetricsServiceRequest`, with exponential histograms.

mod messages;

use crate::histogram::Exponentials;
use crate::{Encoder, Exemplar, Family, Kind, Label, Number, Series, Value};
use histogram_core::snapshot::Snapshot;
use messages as pb;
use prost::encoding::{self, encode_key, encode_varint, int32, message, string, WireType};

/// What the request is about, and when.
#[derive(Default)]
pub struct Otlp {
    resource: pb::Resource,
    /// Nanoseconds since 1970.
    time: u64,
    /// The data points of the family at hand.
    points: Vec<u8>,
    metrics: Vec<u8>,
    exponentials: Exponentials,
}

/// A value of an attribute of the resource.
pub enum Attribute<'a> {
    Text(&'a str),
    Bool(bool),
    Integer(i64),
    Float(f64),
}

pub type Resource<'a> = [(&'a str, Attribute<'a>)];

/// Numbers of fields of messages that are written piece by piece.
const RESOURCE_METRICS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE_METRICS: u32 = 2;
const SCOPE: u32 = 1;
const METRICS: u32 = 2;
const NAME: u32 = 1;
const DESCRIPTION: u32 = 2;
const UNIT: u32 = 3;
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const EXPONENTIAL_HISTOGRAM: u32 = 10;
const DATA_POINTS: u32 = 1;
const AGGREGATION_TEMPORALITY: u32 = 2;
const IS_MONOTONIC: u32 = 3;

/// A value of `AggregationTemporality`.
const CUMULATIVE: i32 = 2;

const MAX_SCALE: i32 = 20;
/// From the first that is not empty to the last; where there are more the histogram is coarser.
const MAX_BUCKETS: i64 = 160;

impl Otlp {
    /// `time` is in nanoseconds since 1970.
    pub fn new(resource: &Resource, time: u64) -> Self {
        let attribute = |(key, value): &(&str, Attribute)| {
            let value = match *value {
                Attribute::Text(text) => pb::Any::String(text.to_string()),
                Attribute::Bool(value) => pb::Any::Bool(value),
                Attribute::Integer(value) => pb::Any::Int(value),
                Attribute::Float(value) => pb::Any::Double(value),
            };
            key_value(key, value)
        };
        let attributes = resource.iter().map(attribute).collect();
        Otlp {
            resource: pb::Resource { attributes },
            time,
            ..Otlp::default()
        }
    }

    fn number(&self, family: &Family, series: &Series, value: Number) -> pb::NumberDataPoint {
        let value = match family.scale.expose_number(value) {
            Number::Integer(value) => pb::NumberValue::Int(value),
            Number::Unsigned(value) => match i64::try_from(value) {
                Ok(value) => pb::NumberValue::Int(value),
                Err(_) => pb::NumberValue::Double(value as f64),
            },
            Number::Float(value) => pb::NumberValue::Double(value),
        };
        pb::NumberDataPoint {
            start_time_unix_nano: nanoseconds(series.created),
            time_unix_nano: self.time,
            value: Some(value),
            exemplars: series.exemplars.iter().map(exemplar_message).collect(),
            attributes: attributes(series.labels),
        }
    }

    fn histogram(
        &mut self,
        family: &Family,
        series: &Series,
        snapshot: &Snapshot,
    ) -> pb::ExponentialHistogramDataPoint {
        let exponential = self.exponentials.of(family, snapshot, MAX_SCALE, |counts| {
            let (first, last) = (counts.first(), counts.last());
            first.zip(last).is_none_or(|(&(first, _), &(last, _))| {
                i64::from(last) - i64::from(first) < MAX_BUCKETS
            })
        });
        let is_empty = exponential.zero == 0 && exponential.counts.is_empty();
        let known = |value: u64| (!is_empty).then(|| family.scale.expose(value as f64));
        pb::ExponentialHistogramDataPoint {
            attributes: attributes(series.labels),
            start_time_unix_nano: nanoseconds(series.created),
            time_unix_nano: self.time,
            count: snapshot.count(),
            sum: Some(family.scale.expose(snapshot.sum as f64)),
            scale: exponential.scale,
            zero_count: exponential.zero,
            positive: buckets(&exponential.counts),
            exemplars: series.exemplars.iter().map(exemplar_message).collect(),
            min: known(snapshot.min),
            max: known(snapshot.max),
        }
    }
}

impl Encoder for Otlp {
    fn open(&mut self, _family: &Family) {
        self.points.clear();
    }

    fn series(&mut self, family: &Family, series: &Series) {
        match (family.kind, series.value) {
            (Kind::Counter | Kind::Gauge, Value::Number(value)) => {
                let mut point = self.number(family, series, value);
                if family.kind == Kind::Gauge {
                    // It does not add up since then.
                    point.start_time_unix_nano = 0;
                }
                message::encode(DATA_POINTS, &point, &mut self.points);
            }
            (Kind::Histogram, Value::Histogram(snapshot)) => {
                let point = self.histogram(family, series, snapshot);
                message::encode(DATA_POINTS, &point, &mut self.points);
            }
            _ => {}
        }
    }

    fn close(&mut self, family: &Family) {
        if self.points.is_empty() {
            return;
        }
        let mut data = std::mem::take(&mut self.points);
        let field = match family.kind {
            Kind::Gauge => GAUGE,
            Kind::Counter => {
                int32::encode(AGGREGATION_TEMPORALITY, &CUMULATIVE, &mut data);
                encoding::bool::encode(IS_MONOTONIC, &true, &mut data);
                SUM
            }
            Kind::Histogram => {
                int32::encode(AGGREGATION_TEMPORALITY, &CUMULATIVE, &mut data);
                EXPONENTIAL_HISTOGRAM
            }
        };
        let mut head = Vec::new();
        string::encode(NAME, &family.name.to_string(), &mut head);
        string::encode(DESCRIPTION, &family.help.to_string(), &mut head);
        string::encode(UNIT, &unit(&family.unit).to_string(), &mut head);
        encode_length(field, data.len(), &mut head);
        encode_length(METRICS, head.len() + data.len(), &mut self.metrics);
        self.metrics.extend_from_slice(&head);
        self.metrics.extend_from_slice(&data);
        // Its room is used again.
        data.clear();
        self.points = data;
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        let scope = pb::InstrumentationScope {
            name: "erlmcp_native".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
        };
        let mut scope_head = Vec::new();
        message::encode(SCOPE, &scope, &mut scope_head);
        let mut head = Vec::new();
        message::encode(RESOURCE, &self.resource, &mut head);
        let size = scope_head.len() + self.metrics.len();
        encode_length(SCOPE_METRICS, size, &mut head);
        let mut out = Vec::with_capacity(size + head.len() + 16);
        encode_length(RESOURCE_METRICS, head.len() + size, &mut out);
        out.extend_from_slice(&head);
        out.extend_from_slice(&scope_head);
        out.extend_from_slice(&self.metrics);
        out
    }

    fn size(&self) -> usize {
        self.metrics.len() + self.points.len()
    }
}

/// The head of a field that holds a message of so many bytes.
fn encode_length(field: u32, size: usize, out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(size as u64, out);
}

/// As UCUM has it, which OpenTelemetry asks for.
fn unit(unit: &str) -> &str {
    match unit {
        "seconds" => "s",
        "milliseconds" => "ms",
        "microseconds" => "us",
        "nanoseconds" => "ns",
        "bytes" => "By",
        "ratio" => "1",
        other => other,
    }
}

fn key_value(key: &str, value: pb::Any) -> pb::KeyValue {
    pb::KeyValue {
        key: key.to_string(),
        value: Some(pb::AnyValue { value: Some(value) }),
    }
}

/// The label of the series that takes what found no room, by `erlmcp_native_metrics`.
const OVERFLOW: &str = "otel_metric_overflow";

fn attributes(labels: &[Label]) -> Vec<pb::KeyValue> {
    let attribute = |label: &Label| match (label.name, label.value.as_ref()) {
        // The attribute that the label's name stands for.
        (OVERFLOW, "true") => key_value("otel.metric.overflow", pb::Any::Bool(true)),
        (name, value) => key_value(name, pb::Any::String(value.to_string())),
    };
    labels.iter().map(attribute).collect()
}

fn nanoseconds(seconds: f64) -> u64 {
    // Saturates, and is 0 where that is below.
    (seconds * 1e9) as u64
}

/// Labels `trace_id` and `span_id` of 16 and 8 bytes in hexadecimal have fields of their own.
fn exemplar_message(exemplar: &Exemplar) -> pb::Exemplar {
    let mut message = pb::Exemplar {
        time_unix_nano: nanoseconds(exemplar.time),
        value: Some(pb::ExemplarValue::Double(exemplar.value)),
        ..pb::Exemplar::default()
    };
    for label in &exemplar.labels {
        match (label.name, hexadecimal(&label.value)) {
            ("trace_id", Some(bytes)) if bytes.len() == 16 => message.trace_id = bytes,
            ("span_id", Some(bytes)) if bytes.len() == 8 => message.span_id = bytes,
            _ => {
                let others = attributes(std::slice::from_ref(label));
                message.filtered_attributes.extend(others);
            }
        }
    }
    message
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| match *pair {
        [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
        _ => None,
    };
    pairs.map(byte).collect()
}

fn buckets(counts: &[(i32, u64)]) -> Option<pb::Buckets> {
    let (&(first, _), &(last, _)) = counts.first().zip(counts.last())?;
    let mut bucket_counts = vec![0; (last - first) as usize + 1];
    for &(index, count) in counts {
        bucket_counts[(index - first) as usize] = count;
    }
    Some(pb::Buckets {
        offset: first,
        bucket_counts,
    })
}

#[cfg(test)]
mod tests;
