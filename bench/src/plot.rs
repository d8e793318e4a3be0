//! A plot for each job as SVG: lines over the round trip, or bars.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::compare::{JobResult, ScenarioResult};
use crate::tools::{TOOLS, Tool};

const INK: &str = "#1f2328";
const PALE: &str = "#d0d7de";
const PANEL: f64 = 380.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 72.0;
const HEIGHT: f64 = 240.0;

/// Colours that also differ in lightness, so that they can be told apart without hue.
fn color(tool: Tool) -> &'static str {
    match tool {
        Tool::Imgstep => "#d1242f",
        Tool::Crane => "#0a3069",
        Tool::Regctl => "#4493f8",
        Tool::Oras => "#8250df",
        Tool::Skopeo => "#9a6700",
    }
}

pub fn draw(result: &JobResult) -> String {
    let trips: BTreeSet<_> = result.measured.iter().map(|measured| measured.scenario.link.round_trip).collect();
    if trips.len() > 2 { lines(result) } else { bars(result) }
}

fn begin(width: f64, height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n", escaped(words))
}

fn line(from: (f64, f64), to: (f64, f64), stroke: &str) -> String {
    format!(
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{stroke}\"/>\n",
        from.0, from.1, to.0, to.1
    )
}

/// The step between axis marks up to `most`: 1, 2 or 5 times a power of ten, for four to ten marks.
fn step(most: f64) -> f64 {
    let power = 10f64.powf((most / 4.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().rfind(|step| most / step >= 4.0).unwrap_or(power)
}

/// A number with as many digits as the step needs.
fn label(value: f64, step: f64) -> String {
    let digits = if step >= 1.0 { 0 } else { (-step.log10()).ceil() as usize };
    format!("{value:.digits$}")
}

/// Two panels, plain HTTP and TLS, with wall time over the round trip.
fn lines(result: &JobResult) -> String {
    let panels: Vec<(&str, Vec<&ScenarioResult>)> = [("plain HTTP", false), ("TLS, HTTP/2 where the client can", true)]
        .map(|(words, tls)| (words, result.measured.iter().filter(|one| one.scenario.link.tls == tls).collect()))
        .into_iter()
        .filter(|(_, measured): &(_, Vec<_>)| !measured.is_empty())
        .collect();
    let most = result.measured.iter().flat_map(|one| &one.outcomes).filter(|one| one.done());
    let most = most.map(crate::compare::Outcome::wall).fold(0.001, f64::max);
    let width = LEFT + panels.len() as f64 * (PANEL + LEFT);
    let mut svg = begin(width, TOP + HEIGHT + 84.0, &format!("{}: wall time, seconds", result.job.title));
    for (number, (words, measured)) in panels.iter().enumerate() {
        let left = LEFT + number as f64 * (PANEL + LEFT);
        svg.push_str(&text(left, TOP - 14.0, "start", words));
        svg.push_str(&panel(left, most, measured));
    }
    svg.push_str(&legend(TOP + HEIGHT + 66.0, result));
    svg.push_str("</svg>\n");
    svg
}

fn panel(left: f64, most: f64, measured: &[&ScenarioResult]) -> String {
    let mut svg = String::new();
    let furthest = measured.iter().map(|one| one.scenario.link.round_trip.as_secs_f64()).fold(0.001, f64::max);
    let x = |one: &ScenarioResult| left + one.scenario.link.round_trip.as_secs_f64() / furthest * (PANEL - 20.0);
    let y = |seconds: f64| TOP + HEIGHT * (1.0 - seconds / (most * 1.05));
    let step = step(most);
    let mut mark = 0.0;
    while mark <= most * 1.05 {
        svg.push_str(&line((left, y(mark)), (left + PANEL - 10.0, y(mark)), PALE));
        svg.push_str(&text(left - 6.0, y(mark) + 4.0, "end", &label(mark, step)));
        mark += step;
    }
    for one in measured {
        let words = format!("{}", one.scenario.link.round_trip.as_millis());
        svg.push_str(&line((x(one), TOP + HEIGHT), (x(one), TOP + HEIGHT + 5.0), INK));
        svg.push_str(&text(x(one), TOP + HEIGHT + 19.0, "middle", &words));
    }
    svg.push_str(&text(left + PANEL / 2.0, TOP + HEIGHT + 38.0, "middle", "round trip, ms"));
    // imgstep last, so that it is drawn above the others.
    for tool in TOOLS.into_iter().rev() {
        let points: Vec<(f64, f64)> =
            measured.iter().filter_map(|one| Some((x(one), y(one.of_tool(tool.name())?.wall())))).collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let thick = if tool == Tool::Imgstep { 3 } else { 2 };
        let ink = color(tool);
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{ink}\" stroke-width=\"{thick}\"/>",
            path.join(" ")
        );
        for (x, y) in points {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{thick}.5\" fill=\"{ink}\"/>");
        }
    }
    svg
}

fn legend(y: f64, result: &JobResult) -> String {
    let mut svg = String::new();
    let mut x = LEFT;
    for tool in TOOLS {
        if !result.measured.iter().any(|measured| measured.of_tool(tool.name()).is_some()) {
            continue;
        }
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"18\" height=\"6\" fill=\"{}\"/>",
            y - 7.0,
            color(tool)
        );
        svg.push_str(&text(x + 24.0, y, "start", tool.name()));
        x += 96.0;
    }
    svg
}

/// A group of bars for each scenario, each with its own scale, because scenarios aren't compared with each other.
fn bars(result: &JobResult) -> String {
    let rows: usize = result.measured.iter().map(|measured| measured.outcomes.len() + 2).sum();
    let (left, width, row) = (190.0, 720.0, 20.0);
    let mut svg = begin(width, 44.0 + rows as f64 * row, &format!("{}: wall time, seconds", result.job.title));
    let mut y = 60.0;
    for measured in &result.measured {
        let words =
            format!("<text x=\"16\" y=\"{y:.0}\" font-weight=\"bold\">{}</text>\n", escaped(&measured.scenario.label));
        svg.push_str(&words);
        y += row;
        let walls = measured.outcomes.iter().filter(|one| one.done()).map(crate::compare::Outcome::wall);
        let most = walls.fold(1e-6, f64::max);
        for outcome in &measured.outcomes {
            svg.push_str(&text(left - 8.0, y, "end", &outcome.command.label));
            if outcome.done() {
                let wall = outcome.wall();
                let long = wall / most * (width - left - 80.0);
                let ink = color(outcome.command.tool);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{left:.0}\" y=\"{:.0}\" width=\"{long:.1}\" height=\"14\" fill=\"{ink}\"/>",
                    y - 11.0
                );
                svg.push_str(&text(left + long + 6.0, y, "start", &label(wall, wall.min(1.0) / 100.0)));
            } else {
                svg.push_str(&text(left, y, "start", "failed"));
            }
            y += row;
        }
        y += row;
    }
    svg.push_str("</svg>\n");
    svg
}
