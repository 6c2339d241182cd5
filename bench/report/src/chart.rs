//! The plots. Black is drawn as the page's text colour, so that they can be read on a light and
//! on a dark page.

use crate::figures::{duration, thousands, Case, Measure, Role, Run};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;

type Drawn = Result<String, Box<dyn Error>>;
/// Where values are on the axis, in pixels.
type Axis<'a> = dyn Fn(f64) -> i32 + 'a;
/// Draws one row, given the pixel where it begins.
type DrawRow<'a> = dyn Fn(&Area, &Axis, usize, i32) -> Result<(), Box<dyn Error>> + 'a;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 920;
const LEFT: i32 = 190;
const RIGHT: i32 = 70;
const TOP: i32 = 10;
const BOTTOM: i32 = 40;
const GRID: RGBColor = RGBColor(128, 128, 128);

/// Apart from each other for colour-blind readers, and from white and near-black paper.
const BASELINE: RGBColor = RGBColor(138, 143, 152);
const COLOURS: [RGBColor; 7] = [
    RGBColor(31, 134, 214),
    RGBColor(222, 135, 0),
    RGBColor(166, 95, 208),
    RGBColor(42, 168, 118),
    RGBColor(208, 83, 63),
    RGBColor(76, 181, 201),
    RGBColor(168, 140, 60),
];

pub fn colour(run: &Run, subject: &str) -> RGBColor {
    if run.baseline() == Some(subject) {
        return BASELINE;
    }
    let others = run
        .compared()
        .into_iter()
        .filter(|name| Some(*name) != run.baseline());
    // Without ours, its colour stays free.
    let free = usize::from(!run.has_measured());
    let place = others.into_iter().position(|name| name == subject);
    place.map_or(BASELINE, |place| COLOURS[(place + free) % COLOURS.len()])
}

pub fn hex(colour: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", colour.0, colour.1, colour.2)
}

/// How many times faster than the baseline: a bar to each subject, its interval as a whisker.
pub fn ratios(run: &Run, group: &str) -> Drawn {
    let cases = run.cases_of(group);
    let Some(baseline) = run.baseline() else {
        return Ok(String::new());
    };
    let rows: Vec<Vec<_>> = cases
        .iter()
        .map(|case| {
            let mut bars: Vec<_> = case
                .comparisons
                .iter()
                .filter(|c| c.to == baseline && run.compared().contains(&c.subject.as_str()))
                .collect();
            bars.sort_by_key(|c| run.compared().iter().position(|name| *name == c.subject));
            bars
        })
        .collect();
    let ends = rows.iter().flatten().flat_map(|c| [c.low, c.high]);
    let (low, high) = bounds(ends.chain([1.0, 2.0]), 2.0);
    const BAR: i32 = 11;
    const GAP: i32 = 11;
    let heights: Vec<i32> = rows
        .iter()
        .map(|r| r.len().max(1) as i32 * BAR + GAP)
        .collect();

    horizontal(
        &cases,
        &heights,
        (low, high, 2.0),
        &|ratio| format!("{ratio}×"),
        &|area, x, row, top| {
            for (index, bar) in rows[row].iter().enumerate() {
                let y = top + GAP / 2 + index as i32 * BAR;
                let fill = colour(run, &bar.subject);
                let (from, to) = (x(1.0).min(x(bar.ratio)), x(1.0).max(x(bar.ratio)));
                area.draw(&Rectangle::new(
                    [(from, y + 1), (to, y + BAR - 1)],
                    fill.filled(),
                ))?;
                let middle = y + BAR / 2;
                let whisker = BLACK.stroke_width(1);
                area.draw(&PathElement::new(
                    vec![(x(bar.low), middle), (x(bar.high), middle)],
                    whisker,
                ))?;
                for end in [bar.low, bar.high] {
                    area.draw(&PathElement::new(
                        vec![(x(end), middle - 3), (x(end), middle + 3)],
                        whisker,
                    ))?;
                }
                let label = format!("{:.2}", bar.ratio);
                let right = to.max(x(bar.high)) + 5;
                area.draw(&Text::new(label, (right, middle), text(10, HPos::Left)))?;
            }
            Ok(())
        },
    )
}

/// Calls per second, a dot to each subject.
pub fn rates(run: &Run, group: &str) -> Drawn {
    let cases = run.cases_of(group);
    let rates = |case: &Case| -> Vec<(String, f64)> {
        let compared = case.measures.iter().filter(|m| m.role != Role::Variant);
        compared
            .map(|m| (m.subject.clone(), m.calls_per_second))
            .collect()
    };
    let (low, high) = bounds(
        cases.iter().flat_map(|c| rates(c)).map(|(_, rate)| rate),
        10.0,
    );
    const HEIGHT: i32 = 24;
    horizontal(
        &cases,
        &vec![HEIGHT; cases.len()],
        (low, high, 10.0),
        &|rate| thousands(rate),
        &|area, x, row, top| {
            let mut dots = rates(cases[row]);
            let middle = top + HEIGHT / 2;
            // Ours last, above the others.
            dots.sort_by_key(|(name, _)| {
                std::cmp::Reverse(run.compared().iter().position(|n| n == name))
            });
            if let (Some(least), Some(most)) = (
                dots.iter().map(|(_, rate)| x(*rate)).min(),
                dots.iter().map(|(_, rate)| x(*rate)).max(),
            ) {
                area.draw(&PathElement::new(
                    vec![(least, middle), (most, middle)],
                    GRID.mix(0.5).stroke_width(2),
                ))?;
            }
            for (name, rate) in dots {
                area.draw(&Circle::new(
                    (x(rate), middle),
                    5,
                    colour(run, &name).filled(),
                ))?;
            }
            Ok(())
        },
    )
}

/// The time of single calls at p50, p90, p99, p99.9 and the longest, a curve to each subject.
pub fn quantiles(run: &Run, case: &Case) -> Drawn {
    let compared: Vec<&Measure> = case
        .measures
        .iter()
        .filter(|m| m.role != Role::Variant)
        .collect();
    let values = compared
        .iter()
        .flat_map(|m| m.quantiles_ns.curve())
        .filter_map(|(_, value)| value);
    let (low, high) = bounds(values.filter(|v| *v > 0.0), 10.0);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (300, 210)).into_drawing_area();
        let labels = ["p50", "p90", "p99", "p99.9", "max"];
        let mut chart = ChartBuilder::on(&root)
            .margin(6)
            .x_label_area_size(20)
            .y_label_area_size(62)
            .build_cartesian_2d(-0.2f64..4.2, (low..high).log_scale())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.mix(0.3))
            .axis_style(GRID)
            .y_labels(6)
            .y_label_formatter(&|ns| short(*ns))
            .y_label_style(text(10, HPos::Right))
            .x_labels(0)
            .draw()?;
        for (index, label) in labels.iter().enumerate() {
            let (x, _) = chart.backend_coord(&(index as f64, low));
            root.draw(&Text::new(
                *label,
                (x, 190),
                text_at(10, HPos::Center, VPos::Top),
            ))?;
        }
        // Ours last, above the others.
        let ours_last = compared.iter().filter(|m| m.role != Role::Measured);
        for measure in ours_last.chain(compared.iter().filter(|m| m.role == Role::Measured)) {
            let line = colour(run, &measure.subject);
            let curve = measure.quantiles_ns.curve();
            let points: Vec<(f64, f64)> = curve
                .iter()
                .enumerate()
                .filter_map(|(index, (_, value))| value.map(|ns| (index as f64, ns.max(low))))
                .collect();
            chart.draw_series(LineSeries::new(points.clone(), line.stroke_width(2)))?;
            chart.draw_series(
                points
                    .into_iter()
                    .map(|point| Circle::new(point, 3, line.filled())),
            )?;
        }
        root.present()?;
    }
    Ok(themed(svg))
}

/// Rows from top to bottom, each under its case's name, along one logarithmic axis.
fn horizontal(
    cases: &[&Case],
    heights: &[i32],
    (low, high, base): (f64, f64, f64),
    label: &dyn Fn(f64) -> String,
    draw: &DrawRow,
) -> Drawn {
    let height = TOP + heights.iter().sum::<i32>() + BOTTOM;
    let bottom = height - BOTTOM;
    let scale = f64::from(WIDTH as i32 - LEFT - RIGHT) / (high / low).ln();
    let x = |value: f64| LEFT + ((value.clamp(low, high) / low).ln() * scale).round() as i32;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height as u32)).into_drawing_area();
        let mut tick = low;
        while tick <= high * 1.001 {
            let strong = base == 2.0 && tick == 1.0;
            let style = if strong {
                GRID.stroke_width(2)
            } else {
                GRID.mix(0.3).stroke_width(1)
            };
            root.draw(&PathElement::new(
                vec![(x(tick), TOP), (x(tick), bottom)],
                style,
            ))?;
            let at = (x(tick), bottom + 8);
            root.draw(&Text::new(
                label(tick),
                at,
                text_at(11, HPos::Center, VPos::Top),
            ))?;
            tick *= base;
        }
        let mut top = TOP;
        for (row, case) in cases.iter().enumerate() {
            let middle = top + heights[row] / 2;
            root.draw(&Text::new(
                case.id.clone(),
                (LEFT - 10, middle),
                text(12, HPos::Right),
            ))?;
            draw(&root, &x, row, top)?;
            top += heights[row];
        }
        root.present()?;
    }
    Ok(themed(svg))
}

/// The powers of `base` around all values.
fn bounds(values: impl Iterator<Item = f64>, base: f64) -> (f64, f64) {
    let (low, high) = values
        .filter(|value| value.is_finite() && *value > 0.0)
        .fold((f64::INFINITY, 0.0f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    if high == 0.0 {
        return (1.0, base);
    }
    let power = |value: f64, round: fn(f64) -> f64| base.powf(round(value.ln() / base.ln()));
    let (low, high) = (power(low, f64::floor), power(high, f64::ceil));
    (low, if high > low { high } else { low * base })
}

fn text(size: i32, horizontal: HPos) -> TextStyle<'static> {
    text_at(size, horizontal, VPos::Center)
}

fn text_at(size: i32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(horizontal, vertical))
}

/// A round duration on an axis.
fn short(ns: f64) -> String {
    duration(ns).replace(".00", "")
}

fn themed(svg: String) -> String {
    svg.replace("#000000", "currentColor")
}
