//! A snapshot as text for a shell.

use crate::snapshot::Snapshot;
use std::fmt::Write;

/// Lines are of buckets joined by powers of two, as few of them as do not make more lines.
const ROWS: usize = 24;
/// What the text may be made as wide as.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=400;
/// Empty lines in a row beyond these become one that says so.
const EMPTY_ROWS: usize = 2;
const MARKS: [(f64, &str); 7] = [
    (0.5, "p50"),
    (0.75, "p75"),
    (0.9, "p90"),
    (0.95, "p95"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
];

struct Row {
    low: u64,
    high: u64,
    count: u64,
    marks: String,
}

impl Snapshot {
    /// One line for each range of values: its bounds, a bar, its share of the values, and
    /// the quantiles that lie in it. `width`, in columns, is brought within [`WIDTHS`]; a line is longer
    /// only where its numbers leave a bar no room.
    pub fn plot(&self, width: usize) -> String {
        let width = width.clamp(*WIDTHS.start(), *WIDTHS.end());
        let summary = self.summary();
        let Some(known) = summary.values else {
            return "no values\n".to_owned();
        };
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} values from {} to {}\nmean {:.1}, standard deviation {:.1}",
            summary.count, self.min, self.max, known.moments.mean, known.moments.stddev
        );
        let rows = self.rows();
        let digits = |number: u64| number.to_string().len();
        let low = rows.last().map_or(1, |row| digits(row.low));
        let high = rows.last().map_or(1, |row| digits(row.high));
        let marks = rows.iter().map(|row| row.marks.len()).max().unwrap_or(0);
        // "low - high |bar| 100.0%marks"
        let beside = low + 3 + high + 2 + 1 + 7 + marks;
        let bar = width.saturating_sub(beside).max(4);
        let most = rows.iter().map(|row| row.count).max().unwrap_or(1).max(1);
        let mut skipped = 0;
        for (at, row) in rows.iter().enumerate() {
            let more_empty = rows[at..].iter().take_while(|row| row.count == 0).count();
            if skipped > 0 || more_empty > EMPTY_ROWS {
                // Within a run of empty lines.
                if more_empty > 0 {
                    skipped += 1;
                    continue;
                }
                let _ = writeln!(text, "{:>low$}", "...");
                skipped = 0;
            }
            let share = row.count as f64 / summary.count as f64;
            let filled = (row.count as f64 / most as f64 * bar as f64).round() as usize;
            let filled = filled.clamp(usize::from(row.count > 0), bar);
            let line = format!(
                "{:>low$} - {:>high$} |{:<bar$}|{:>6.1}%{}",
                row.low,
                row.high,
                "#".repeat(filled),
                100.0 * share,
                row.marks
            );
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    fn rows(&self) -> Vec<Row> {
        let layout = self.layout;
        let mut rows: Vec<Row> = Vec::new();
        if !self.counts.is_empty() {
            let last = self.first + self.counts.len() - 1;
            let lines = |joined: u8| (last >> joined) - (self.first >> joined) + 1;
            let joined = (0..layout.precision())
                .find(|&joined| lines(joined) <= ROWS)
                .unwrap_or(layout.precision());
            rows.extend((self.first >> joined..=last >> joined).map(|row| Row {
                low: layout.bounds(row << joined).0,
                high: layout.bounds(((row + 1) << joined) - 1).1,
                count: 0,
                marks: String::new(),
            }));
            for (index, count) in (self.first..).zip(&self.counts) {
                let row = (index >> joined) - (self.first >> joined);
                rows[row].count = rows[row].count.saturating_add(*count);
            }
        }
        if self.overflow > 0 {
            rows.push(Row {
                low: layout.max() + 1,
                high: self.max,
                count: self.overflow,
                marks: String::new(),
            });
        }
        let distribution = self.distribution();
        for (quantile, mark) in MARKS {
            let value = distribution.nearest(quantile).unwrap_or(0);
            if let Some(row) = rows.iter_mut().find(|row| value <= row.high) {
                row.marks.push(' ');
                row.marks.push_str(mark);
            }
        }
        rows
    }
}
