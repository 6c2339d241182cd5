//! OpenMetrics 1.0.0: the text with units, times of creation and exemplars.

use crate::lines::{write_escaped, write_labels, Lines};
use crate::number::{self, Number};
use crate::{newest, Encoder, Exemplar, Family, Kind, Series, Value};

#[derive(Default)]
pub struct OpenMetrics {
    lines: Lines,
}

/// The most characters of an exemplar's labels.
const MAX_EXEMPLAR: usize = 128;

impl OpenMetrics {
    fn created(&mut self, family: &Family, series: &Series) {
        if series.created > 0.0 {
            self.lines
                .sample(family.name, "_created", Number::Float(series.created));
            self.lines.end();
        }
    }
}

/// Whether the name ends in the unit, as the form demands of one that it states.
fn has_unit(family: &Family) -> bool {
    !family.unit.is_empty()
        && family
            .name
            .strip_suffix(&*family.unit)
            .is_some_and(|rest| rest.ends_with('_'))
}

fn fits(exemplar: &Exemplar) -> bool {
    let labels = exemplar.labels.iter();
    let characters = labels.map(|label| label.name.len() + label.value.chars().count());
    characters.sum::<usize>() <= MAX_EXEMPLAR
}

/// The newest of those above `low` and up to `high`, if any.
fn write_exemplar(out: &mut Vec<u8>, exemplars: &[Exemplar], low: f64, high: f64) {
    let Some(exemplar) = newest(exemplars, low, high, fits) else {
        return;
    };
    out.extend_from_slice(b" # {");
    write_labels(out, &exemplar.labels);
    out.extend_from_slice(b"} ");
    number::write_float(out, exemplar.value);
    if exemplar.time > 0.0 {
        out.push(b' ');
        number::write_float(out, exemplar.time);
    }
}

impl Encoder for OpenMetrics {
    fn open(&mut self, family: &Family) {
        let lines = &mut self.lines;
        lines.open(family);
        lines.comment("TYPE", family.name, "");
        lines.text(family.kind.as_str());
        lines.end();
        if has_unit(family) {
            lines.comment("UNIT", family.name, "");
            lines.text(&family.unit);
            lines.end();
        }
        if !family.help.is_empty() {
            lines.comment("HELP", family.name, "");
            write_escaped(&mut lines.out, &family.help);
            lines.end();
        }
    }

    fn series(&mut self, family: &Family, series: &Series) {
        let lines = &mut self.lines;
        match (family.kind, series.value) {
            (Kind::Gauge, Value::Number(value)) => {
                lines.begin(series);
                lines.sample(family.name, "", family.scale.expose_number(value));
                lines.end();
            }
            (Kind::Counter, Value::Number(value)) => {
                lines.begin(series);
                lines.sample(family.name, "_total", family.scale.expose_number(value));
                let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
                write_exemplar(&mut lines.out, series.exemplars, low, high);
                lines.end();
                self.created(family, series);
            }
            (Kind::Histogram, Value::Histogram(snapshot)) => {
                lines.begin(series);
                lines.histogram(family, snapshot, |out, low, high| {
                    write_exemplar(out, series.exemplars, low, high);
                });
                self.created(family, series);
            }
            _ => {}
        }
    }

    fn close(&mut self, _family: &Family) {}

    fn finish(self: Box<Self>) -> Vec<u8> {
        let mut out = self.lines.out;
        out.extend_from_slice(b"# EOF\n");
        out
    }

    fn size(&self) -> usize {
        self.lines.out.len()
    }
}
