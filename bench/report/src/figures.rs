//! What the suite writes; docs/performance.md describes the members.

use serde::Deserialize;
use std::collections::BTreeMap;

pub const SCHEMA_VERSION: u32 = 1;

#[derive(Deserialize)]
pub struct Run {
    pub schema_version: u32,
    pub mode: String,
    pub environment: Environment,
    pub subjects: BTreeMap<String, String>,
    pub load: Load,
    pub method: Method,
    pub targets: Vec<Target>,
    pub summary: Vec<Summary>,
    pub cases: Vec<Case>,
    #[serde(default)]
    pub observations: Vec<Observation>,
}

#[derive(Deserialize)]
pub struct Environment {
    pub date: String,
    pub library_version: Option<String>,
    pub git_commit: Option<String>,
    pub otp: String,
    pub erts: String,
    pub emulator: String,
    pub schedulers: u32,
    pub cpu: String,
    pub cores: u32,
    pub os: String,
}

#[derive(Deserialize)]
pub struct Load {
    pub other_cores: Option<f64>,
    pub idle: Option<bool>,
}

#[derive(Deserialize)]
pub struct Method {
    pub rounds: u32,
    pub batch_ns: u64,
    pub bootstrap_resamples: u32,
    pub confidence: f64,
    pub clock_ns: f64,
    pub min_heap_words: u32,
}

#[derive(Deserialize)]
pub struct Target {
    pub text: String,
    pub wanted: String,
    pub reached: String,
    pub met: Option<bool>,
}

#[derive(Deserialize)]
pub struct Summary {
    pub group: String,
    pub set: String,
    pub subject: String,
    pub to: String,
    pub cases: u32,
    pub geometric_mean: f64,
    pub least: f64,
    pub least_id: String,
}

#[derive(Deserialize)]
pub struct Case {
    pub group: String,
    pub id: String,
    pub bytes: u64,
    #[serde(default = "one")]
    pub operations: u64,
    #[serde(default = "one")]
    pub processes: u64,
    pub measures: Vec<Measure>,
    pub comparisons: Vec<Comparison>,
    pub not_measured: BTreeMap<String, String>,
}

fn one() -> u64 {
    1
}

/// A figure that is no time of a call.
#[derive(Deserialize)]
pub struct Observation {
    pub group: String,
    pub id: String,
    pub subject: String,
    pub figure: String,
    pub value: f64,
    pub unit: Unit,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Bytes,
    Count,
    Nanoseconds,
    Percent,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Measured,
    Baseline,
    Peer,
    Variant,
}

#[derive(Deserialize)]
pub struct Measure {
    pub subject: String,
    pub role: Role,
    pub median_ns: f64,
    pub first_ns: f64,
    pub calls_per_second: f64,
    pub quantiles_ns: Quantiles,
    pub heap_bytes: f64,
    pub binary_bytes: f64,
    pub reductions: f64,
}

#[derive(Deserialize)]
pub struct Quantiles {
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

#[derive(Deserialize)]
pub struct Comparison {
    pub subject: String,
    pub to: String,
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

impl Run {
    /// The groups, in the order measured.
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for case in &self.cases {
            if !groups.contains(&case.group.as_str()) {
                groups.push(&case.group);
            }
        }
        groups
    }

    /// A group's cases, the smallest input first.
    pub fn cases_of(&self, group: &str) -> Vec<&Case> {
        let mut cases: Vec<&Case> = self.cases.iter().filter(|c| c.group == group).collect();
        cases.sort_by_key(|case| case.bytes);
        cases
    }

    pub fn baseline(&self) -> Option<&str> {
        self.with_role(Role::Baseline).into_iter().next()
    }

    pub fn has_measured(&self) -> bool {
        !self.with_role(Role::Measured).is_empty()
    }

    /// Ours first, then the baseline, then the peers: the order of colours and legends.
    pub fn compared(&self) -> Vec<&str> {
        [Role::Measured, Role::Baseline, Role::Peer]
            .into_iter()
            .flat_map(|role| self.with_role(role))
            .collect()
    }

    fn with_role(&self, role: Role) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for measure in self.cases.iter().flat_map(|case| &case.measures) {
            if measure.role == role && !names.contains(&measure.subject.as_str()) {
                names.push(&measure.subject);
            }
        }
        names
    }
}

impl Case {
    /// What the times are of, where it is not one call of one process.
    pub fn notes(&self) -> String {
        let mut notes = Vec::new();
        if self.bytes > 0 {
            notes.push(format!("{} bytes", thousands(self.bytes as f64)));
        }
        if self.operations > 1 {
            let operations = thousands(self.operations as f64);
            notes.push(format!("by operation, {operations} in a call"));
        }
        if self.processes > 1 {
            notes.push(format!("{} processes", self.processes));
        }
        notes.join("; ")
    }
}

impl Observation {
    pub fn quantity(&self) -> String {
        match self.unit {
            Unit::Nanoseconds => duration(self.value),
            Unit::Percent => format!("{:.2} %", self.value),
            Unit::Bytes if self.value.abs() < 1e3 => format!("{:.1} B", self.value),
            Unit::Bytes if self.value < 0.0 => format!("-{} B", thousands(-self.value)),
            Unit::Bytes => format!("{} B", thousands(self.value)),
            Unit::Count => thousands(self.value),
        }
    }
}

impl Quantiles {
    pub fn curve(&self) -> [(&'static str, Option<f64>); 5] {
        [
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p999),
            ("max", self.max),
        ]
    }
}

pub fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

/// With a comma to each three digits.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_from_the_right() {
        assert_eq!(thousands(7.0), "7");
        assert_eq!(thousands(999.4), "999");
        assert_eq!(thousands(1000.0), "1,000");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
    }

    #[test]
    fn notes_say_what_is_unusual() {
        let case = |bytes, operations, processes| {
            let text = format!(
                r#"{{"group":"g","id":"i","bytes":{bytes},"operations":{operations},"processes":{processes},
                    "measures":[],"comparisons":[],"not_measured":{{}}}}"#
            );
            serde_json::from_str::<Case>(&text).unwrap().notes()
        };
        assert_eq!(case(1234, 1, 1), "1,234 bytes");
        assert_eq!(case(0, 250, 4), "by operation, 250 in a call; 4 processes");
        assert_eq!(case(0, 1, 1), "");
    }

    #[test]
    fn observations_have_units() {
        let quantity = |value: f64, unit: &str| {
            let text = format!(
                r#"{{"group":"g","id":"i","subject":"s","figure":"f","value":{value},"unit":"{unit}"}}"#
            );
            serde_json::from_str::<Observation>(&text)
                .unwrap()
                .quantity()
        };
        assert_eq!(quantity(39.456, "percent"), "39.46 %");
        assert_eq!(quantity(95.5, "bytes"), "95.5 B");
        assert_eq!(quantity(-4096.0, "bytes"), "-4,096 B");
        assert_eq!(quantity(5e6, "count"), "5,000,000");
        assert_eq!(quantity(2500.0, "nanoseconds"), "2.50 µs");
    }

    #[test]
    fn durations_change_their_unit_at_a_thousand() {
        assert_eq!(duration(999.0), "999 ns");
        assert_eq!(duration(1_000.0), "1.00 µs");
        assert_eq!(duration(2_500_000.0), "2.50 ms");
    }
}
