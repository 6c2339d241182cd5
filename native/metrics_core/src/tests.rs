//! What the tests of the forms share, and those of the two texts.

use crate::*;
use histogram_core::histogram::Histogram;
use histogram_core::layout::Layout;

pub fn recorded(precision: u8, bits: u8, values: &[u64]) -> Snapshot {
    let histogram = Histogram::new(Layout::new(precision, bits).unwrap(), 1);
    for &value in values {
        histogram.record(0, value);
    }
    histogram.cumulative()
}

pub fn family(name: &str, kind: Kind) -> Family<'_> {
    Family {
        name,
        kind,
        help: "Help.".into(),
        unit: "".into(),
        scale: Scale::One,
        bounds: Vec::new(),
    }
}

pub fn labels<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<Label<'a>> {
    let label = |&(name, value): &(&'a str, &'a str)| Label {
        name,
        value: value.into(),
    };
    pairs.iter().map(label).collect()
}

pub fn exemplar<'a>(id: &'a str, value: f64, time: f64) -> Exemplar<'a> {
    Exemplar {
        labels: labels(&[("trace_id", id)]),
        value,
        time,
    }
}

pub fn series<'a>(labels: &'a [Label<'a>], value: Value<'a>) -> Series<'a> {
    Series {
        labels,
        value,
        created: 0.0,
        exemplars: &[],
    }
}

pub fn encode(mut encoder: impl Encoder + 'static, of: &[(&Family, &[Series])]) -> Vec<u8> {
    for (family, series) in of {
        encoder.open(family);
        for series in *series {
            encoder.series(family, series);
        }
        encoder.close(family);
    }
    let size = encoder.size();
    let out = Box::new(encoder).finish();
    assert!(out.len() >= size);
    out
}

fn text(of: &[(&Family, &[Series])]) -> String {
    String::from_utf8(encode(Text::default(), of)).unwrap()
}

fn openmetrics(of: &[(&Family, &[Series])]) -> String {
    String::from_utf8(encode(OpenMetrics::default(), of)).unwrap()
}

#[test]
fn numbers_that_are_none() {
    let family = family("m", Kind::Gauge);
    let value = |value| series(&[], Value::Number(Number::Float(value)));
    let of = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(value);
    assert_eq!(
        text(&[(&family, &of)]),
        "# HELP m Help.\n# TYPE m gauge\nm NaN\nm +Inf\nm -Inf\n"
    );
}

#[test]
fn texts_are_escaped() {
    let mut family = family("m", Kind::Counter);
    family.help = "a\\b\n\"c\"".into();
    let labels = labels(&[("x", "\\\"\n"), ("y", ""), ("z", "é{}=,#")]);
    let of = [series(&labels, Value::Number(Number::Integer(1)))];
    assert_eq!(
        text(&[(&family, &of)]),
        "# HELP m_total a\\\\b\\n\"c\"\n# TYPE m_total counter\n\
         m_total{x=\"\\\\\\\"\\n\",y=\"\",z=\"é{}=,#\"} 1\n"
    );
    assert_eq!(
        openmetrics(&[(&family, &of)]),
        "# TYPE m counter\n# HELP m a\\\\b\\n\\\"c\\\"\n\
         m_total{x=\"\\\\\\\"\\n\",y=\"\",z=\"é{}=,#\"} 1\n# EOF\n"
    );
}

#[test]
fn units_are_stated_where_names_end_in_them() {
    for (name, unit, is_stated) in [
        ("a_seconds", "seconds", true),
        ("seconds", "seconds", false),
        ("aseconds", "seconds", false),
        ("a_seconds", "", false),
        ("a_seconds", "bytes", false),
        ("a_seconds", "\n", false),
    ] {
        let mut family = family(name, Kind::Gauge);
        family.unit = unit.into();
        let out = openmetrics(&[(&family, &[])]);
        assert_eq!(out.contains("# UNIT"), is_stated, "{name} {unit}");
    }
}

#[test]
fn a_value_of_another_kind_is_left_out() {
    let snapshot = recorded(7, 42, &[1]);
    let number = Value::Number(Number::Integer(1));
    for (kind, value) in [
        (Kind::Counter, Value::Histogram(&snapshot)),
        (Kind::Gauge, Value::Histogram(&snapshot)),
        (Kind::Histogram, number),
    ] {
        let family = family("m", kind);
        let of = [series(&[], value)];
        assert_eq!(text(&[(&family, &of)]).lines().count(), 2);
        assert_eq!(openmetrics(&[(&family, &of)]).lines().count(), 3);
        assert!(encode(Protobuf::default(), &[(&family, &of)]).is_empty());
        let (otlp, none) = (|| Otlp::new(&[], 1), &[]);
        assert_eq!(
            encode(otlp(), &[(&family, &of)]),
            encode(otlp(), &[(&family, none)])
        );
    }
}

#[test]
fn a_histogram_has_its_buckets_count_and_sum() {
    let mut family = family("m", Kind::Histogram);
    family.bounds = vec![0.0, 2.5, 10.0];
    let snapshot = recorded(7, 4, &[0, 2, 3, 10, 10, 1000]);
    let of = [series(&[], Value::Histogram(&snapshot))];
    assert_eq!(
        text(&[(&family, &of)]),
        "# HELP m Help.\n# TYPE m histogram\n\
         m_bucket{le=\"0.0\"} 1\nm_bucket{le=\"2.5\"} 2\nm_bucket{le=\"10.0\"} 5\n\
         m_bucket{le=\"+Inf\"} 6\nm_sum 1025\nm_count 6\n"
    );
}

#[test]
fn the_newest_exemplar_of_a_bucket_is_told() {
    let mut family = family("m", Kind::Histogram);
    family.bounds = vec![1.0, 2.0];
    let snapshot = recorded(7, 42, &[1, 2, 3]);
    let long = "x".repeat(121);
    let exemplars = [
        exemplar("old", 1.5, 10.0),
        exemplar("new", 2.0, 20.5),
        exemplar("older", 1.1, 5.0),
        exemplar(&long, 1.2, 30.0),
        exemplar("inf", 7.0, 0.0),
    ];
    let of = [Series {
        exemplars: &exemplars,
        ..series(&[], Value::Histogram(&snapshot))
    }];
    let out = openmetrics(&[(&family, &of)]);
    let buckets: Vec<&str> = out
        .lines()
        .filter(|line| line.contains("_bucket"))
        .collect();
    assert_eq!(
        buckets,
        [
            "m_bucket{le=\"1.0\"} 1",
            "m_bucket{le=\"2.0\"} 2 # {trace_id=\"new\"} 2 20.5",
            "m_bucket{le=\"+Inf\"} 3 # {trace_id=\"inf\"} 7",
        ]
    );
    // As long as may be.
    let exemplars = [exemplar(&long[1..], 1.5, 1.0)];
    let of = [Series {
        exemplars: &exemplars,
        ..of[0]
    }];
    assert!(openmetrics(&[(&family, &of)]).contains(&long[1..]));
}
