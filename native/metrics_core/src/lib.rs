//! Families of metrics, and the forms in which they are written: Prometheus text and OpenMetrics,
//! protobuf of Prometheus and of OpenTelemetry.
//!
//! An encoder is handed one series after the other, so that what is exposed is never held twice.

mod histogram;
mod lines;
pub mod names;
mod number;
mod openmetrics;
mod otlp;
mod protobuf;
mod text;

pub use number::{Number, Scale};
pub use openmetrics::OpenMetrics;
pub use otlp::{Attribute, Otlp, Resource};
pub use protobuf::Protobuf;
pub use text::Text;

use histogram_core::snapshot::Snapshot;
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// What series of one name have in common.
#[derive(Clone, Debug)]
pub struct Family<'a> {
    /// Without the `_total` of counters. To be one that [`names::is_metric`] lets pass.
    pub name: &'a str,
    pub kind: Kind,
    pub help: Cow<'a, str>,
    /// As the name ends in it, say `seconds`; empty where there is none.
    pub unit: Cow<'a, str>,
    /// From values as they were recorded to those that are exposed.
    pub scale: Scale,
    /// Upper bounds of the classic buckets, exposed, rising; `+Inf` is not among them.
    pub bounds: Vec<f64>,
}

/// Its name is to be one that [`names::is_label`] lets pass.
#[derive(Clone, Debug)]
pub struct Label<'a> {
    pub name: &'a str,
    pub value: Cow<'a, str>,
}

#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// As it was recorded, as the others.
    Number(Number),
    Histogram(&'a Snapshot),
}

/// One value that was recorded, and where it comes from: a trace as a rule.
#[derive(Clone, Debug)]
pub struct Exemplar<'a> {
    pub labels: Vec<Label<'a>>,
    /// As it is exposed.
    pub value: f64,
    /// Seconds since 1970.
    pub time: f64,
}

/// The newest exemplar with a value above `low` and up to `high`, of those that are fit.
fn newest<'s, 'a>(
    exemplars: &'s [Exemplar<'a>],
    low: f64,
    high: f64,
    is_fit: impl Fn(&Exemplar) -> bool,
) -> Option<&'s Exemplar<'a>> {
    exemplars
        .iter()
        .filter(|exemplar| exemplar.value > low && exemplar.value <= high && is_fit(exemplar))
        .max_by(|a, b| a.time.total_cmp(&b.time))
}

#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    pub labels: &'a [Label<'a>],
    pub value: Value<'a>,
    /// Seconds since 1970 when its values began to be recorded; 0 where that is not known.
    pub created: f64,
    pub exemplars: &'a [Exemplar<'a>],
}

/// For each family `open`, its series, `close`.
pub trait Encoder {
    fn open(&mut self, family: &Family);
    /// A value that is not of the family's kind is left out.
    fn series(&mut self, family: &Family, series: &Series);
    fn close(&mut self, family: &Family);
    fn finish(self: Box<Self>) -> Vec<u8>;
    /// The bytes held until now.
    fn size(&self) -> usize;
}

#[cfg(test)]
mod tests;
