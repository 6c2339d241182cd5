//! The text format 0.0.4 of Prometheus.

use crate::lines::{write_escaped_but_quotes, Lines};
use crate::{Encoder, Family, Kind, Series, Value};

#[derive(Default)]
pub struct Text {
    lines: Lines,
}

fn suffix(family: &Family) -> &'static str {
    match family.kind {
        Kind::Counter => "_total",
        Kind::Gauge | Kind::Histogram => "",
    }
}

impl Encoder for Text {
    fn open(&mut self, family: &Family) {
        let lines = &mut self.lines;
        lines.open(family);
        if !family.help.is_empty() {
            lines.comment("HELP", family.name, suffix(family));
            write_escaped_but_quotes(&mut lines.out, &family.help);
            lines.end();
        }
        lines.comment("TYPE", family.name, suffix(family));
        lines.text(family.kind.as_str());
        lines.end();
    }

    fn series(&mut self, family: &Family, series: &Series) {
        let lines = &mut self.lines;
        match (family.kind, series.value) {
            (Kind::Counter | Kind::Gauge, Value::Number(value)) => {
                lines.begin(series);
                let exposed = family.scale.expose_number(value);
                lines.sample(family.name, suffix(family), exposed);
                lines.end();
            }
            (Kind::Histogram, Value::Histogram(snapshot)) => {
                lines.begin(series);
                lines.histogram(family, snapshot, |_, _, _| ());
            }
            _ => {}
        }
    }

    fn close(&mut self, _family: &Family) {}

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.lines.out
    }

    fn size(&self) -> usize {
        self.lines.out.len()
    }
}
