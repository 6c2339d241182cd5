//! The page: what was run and where, the targets, the summary, the plots, and all the figures.

use crate::chart;
use crate::figures::{duration, thousands, Case, Measure, Run};
use std::error::Error;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");

pub fn html(run: &Run) -> Result<String, Box<dyn Error>> {
    let mut page = String::new();
    writeln!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>erlmcp_native: performance</title>\n<style>{STYLE}</style>\n<main>\n\
         <h1>erlmcp_native: performance</h1>"
    )?;
    environment(&mut page, run)?;
    targets(&mut page, run)?;
    summary(&mut page, run)?;
    for group in run.groups() {
        writeln!(page, "<h2>{}</h2>", title(group))?;
        if let Some(baseline) = run.baseline() {
            writeln!(
                page,
                "<h3>Times faster than {}</h3>\n<p class=\"note\">Ratio of the medians, and its {:.0} % interval. \
                 The axis is logarithmic; the smallest input is on top.</p>",
                escape(baseline),
                100.0 * run.method.confidence
            )?;
            legend(&mut page, run, false)?;
            figure(&mut page, &chart::ratios(run, group)?)?;
        }
        page.push_str(
            "<h3>Calls per second</h3>\n<p class=\"note\">One process, one call after the other, \
         unless the case says otherwise.</p>\n",
        );
        legend(&mut page, run, true)?;
        figure(&mut page, &chart::rates(run, group)?)?;
        writeln!(
            page,
            "<h3>Time of single calls</h3>\n<p class=\"note\">Sampled one by one, apart from the batches of the \
             medians; the clock's {:.0} ns are included. A quantile is drawn where a sample lies above it.</p>",
            run.method.clock_ns
        )?;
        legend(&mut page, run, true)?;
        page.push_str("<div class=\"many\">\n");
        for case in run.cases_of(group) {
            writeln!(
                page,
                "<figure><figcaption>{} <small>{}</small></figcaption>{}</figure>",
                escape(&case.id),
                case.notes(),
                chart::quantiles(run, case)?
            )?;
        }
        page.push_str("</div>\n");
        table(&mut page, run, group)?;
    }
    observations(&mut page, run)?;
    page.push_str("</main>\n</html>\n");
    Ok(page)
}

fn environment(page: &mut String, run: &Run) -> std::fmt::Result {
    let env = &run.environment;
    writeln!(
        page,
        "<p>{} · {} run · version {} · commit <code>{}</code><br>{}, {} cores · {} · OTP {} (ERTS {}, {}, {} schedulers)</p>",
        escape(&env.date),
        escape(&run.mode),
        escape(env.library_version.as_deref().unwrap_or("unknown")),
        escape(env.git_commit.as_deref().unwrap_or("unknown")),
        escape(&env.cpu),
        env.cores,
        escape(&env.os),
        escape(&env.otp),
        escape(&env.erts),
        escape(&env.emulator),
        env.schedulers,
    )?;
    match (run.load.idle, run.load.other_cores) {
        (Some(false), Some(cores)) => writeln!(
            page,
            "<p class=\"warning\">The machine was not idle: other processes used {cores:.2} cores meanwhile.</p>"
        )?,
        (Some(true), Some(cores)) => {
            writeln!(page, "<p class=\"note\">The machine was idle otherwise ({cores:.2} cores of other work).</p>")?
        }
        _ => page.push_str("<p class=\"note\">What else the machine did meanwhile is not known.</p>\n"),
    }
    page.push_str("<ul class=\"subjects\">\n");
    let mut subjects: Vec<_> = run.subjects.iter().collect();
    let compared = run.compared();
    subjects.sort_by_key(|(name, _)| compared.iter().position(|other| other == name));
    for (name, version) in subjects {
        let colour = chart::hex(chart::colour(run, name));
        writeln!(
            page,
            "<li><span class=\"key\" style=\"background:{colour}\"></span>{} <small>{}</small></li>",
            escape(name),
            escape(version)
        )?;
    }
    writeln!(
        page,
        "</ul>\n<p class=\"note\">Up to {} interleaved rounds, each a batch of at least {} in a fresh process \
         with a heap of {} words at first, collected before and settled; {} bootstrap resamples of rounds. Results \
         were compared before anything was timed.</p>",
        run.method.rounds,
        duration(run.method.batch_ns as f64),
        run.method.min_heap_words,
        run.method.bootstrap_resamples,
    )
}

fn targets(page: &mut String, run: &Run) -> std::fmt::Result {
    if run.targets.is_empty() {
        return Ok(());
    }
    page.push_str("<h2>Targets</h2>\n<div class=\"wide\"><table><thead><tr><th>figure<th>wanted<th>reached<th></tr></thead>\n");
    for target in &run.targets {
        let (class, word) = match target.met {
            Some(true) => ("met", "met"),
            Some(false) => ("missed", "not met"),
            None => ("unknown", "not measured"),
        };
        writeln!(
            page,
            "<tr><td>{}<td>{}<td>{}<td class=\"{class}\">{word}</tr>",
            escape(&target.text),
            escape(&target.wanted),
            escape(&target.reached)
        )?;
    }
    page.push_str("</table></div>\n");
    Ok(())
}

fn summary(page: &mut String, run: &Run) -> std::fmt::Result {
    page.push_str(
        "<h2>Summary</h2>\n<div class=\"wide\"><table><thead><tr><th>group<th>cases<th>faster<th>than\
         <th class=\"n\">geometric mean<th class=\"n\">least<th>at</tr></thead>\n",
    );
    for line in &run.summary {
        writeln!(
            page,
            "<tr><td>{}<td>{} ({})<td>{}<td>{}<td class=\"n\">{:.2}×<td class=\"n\">{:.2}×<td>{}</tr>",
            escape(&line.group),
            escape(&line.set),
            line.cases,
            escape(&line.subject),
            escape(&line.to),
            line.geometric_mean,
            line.least,
            escape(&line.least_id)
        )?;
    }
    page.push_str("</table></div>\n");
    Ok(())
}

fn observations(page: &mut String, run: &Run) -> std::fmt::Result {
    if run.observations.is_empty() {
        return Ok(());
    }
    page.push_str(
        "<h2>Observed</h2>\n<div class=\"wide\"><table><thead><tr><th>group<th>case<th>subject<th>figure\
         <th class=\"n\">value</tr></thead>\n",
    );
    for seen in &run.observations {
        writeln!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td class=\"n\">{}</tr>",
            title(&seen.group),
            escape(&seen.id),
            escape(&seen.subject),
            title(&seen.figure),
            escape(&seen.quantity())
        )?;
    }
    page.push_str("</table></div>\n");
    Ok(())
}

fn legend(page: &mut String, run: &Run, baseline: bool) -> std::fmt::Result {
    page.push_str("<p class=\"legend\">");
    for name in run.compared() {
        if baseline || Some(name) != run.baseline() {
            let colour = chart::hex(chart::colour(run, name));
            write!(
                page,
                "<span><span class=\"key\" style=\"background:{colour}\"></span>{}</span>",
                escape(name)
            )?;
        }
    }
    page.push_str("</p>\n");
    Ok(())
}

fn figure(page: &mut String, svg: &str) -> std::fmt::Result {
    writeln!(page, "<figure class=\"chart\">{svg}</figure>")
}

fn table(page: &mut String, run: &Run, group: &str) -> std::fmt::Result {
    writeln!(
        page,
        "<details><summary>All figures of {}</summary>\n<div class=\"wide\"><table class=\"figures\"><thead><tr>\
         <th>subject<th class=\"n\">median<th class=\"n\">calls/s<th class=\"n\">first call<th class=\"n\">p50<th class=\"n\">p99\
         <th class=\"n\">p99.9<th class=\"n\">heap B<th class=\"n\">binary B<th class=\"n\">reductions\
         <th class=\"n\">× {}</tr></thead>",
        title(group),
        escape(run.baseline().unwrap_or("baseline"))
    )?;
    for case in run.cases_of(group) {
        writeln!(
            page,
            "<tr><th colspan=\"11\">{} <small>{}</small></tr>",
            escape(&case.id),
            case.notes()
        )?;
        for measure in &case.measures {
            row(page, run, case, measure)?;
        }
        for (name, why) in &case.not_measured {
            writeln!(
                page,
                "<tr class=\"unknown\"><td>{}<td colspan=\"10\">{}</tr>",
                escape(name),
                escape(why)
            )?;
        }
    }
    page.push_str("</table></div></details>\n");
    Ok(())
}

fn row(page: &mut String, run: &Run, case: &Case, measure: &Measure) -> std::fmt::Result {
    let quantiles = &measure.quantiles_ns;
    let time = |value: Option<f64>| value.map_or("–".to_string(), duration);
    let ratio = case
        .comparisons
        .iter()
        .find(|c| c.subject == measure.subject && Some(c.to.as_str()) == run.baseline())
        .map_or("–".to_string(), |c| {
            format!(
                "{:.2} <small>[{:.2}, {:.2}]</small>",
                c.ratio, c.low, c.high
            )
        });
    write!(page, "<tr><td>{}", escape(&measure.subject))?;
    for cell in [
        duration(measure.median_ns),
        thousands(measure.calls_per_second),
        duration(measure.first_ns),
        time(quantiles.p50),
        time(quantiles.p99),
        time(quantiles.p999),
        thousands(measure.heap_bytes),
        thousands(measure.binary_bytes),
        thousands(measure.reductions),
        ratio,
    ] {
        write!(page, "<td class=\"n\">{cell}")?;
    }
    page.push_str("</tr>\n");
    Ok(())
}

fn title(group: &str) -> String {
    escape(&group.replace('_', " "))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
