//! Bar charts as small SVG files, readable on a light and on a dark ground.

use std::fmt::Write as _;

use super::document::docs;
use crate::Result;

/// One chart: a title, and bars with a label, a length and the figure that is written beside it.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) bars: Vec<(String, f64, String)>,
}

const WIDTH: f64 = 720.0;
const LABELS: f64 = 220.0;
const LONGEST: f64 = 390.0;
const LINE: f64 = 22.0;
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#59636e}.t{font-weight:600;font-size:13px;fill:#1f2328}\
                     rect{fill:#8c959f}.o{fill:#0969da}@media(prefers-color-scheme:dark){text{fill:#9198a1}\
                     .t{fill:#f0f6fc}rect{fill:#656c76}.o{fill:#4493f8}}";

/// Bars whose label begins with `highlighted` have a colour of their own. Each panel has its own scale.
pub(crate) fn write_plot(file: &str, highlighted: &str, panels: &[Panel]) -> Result<()> {
    let directory = docs().join("performance");
    std::fs::create_dir_all(&directory)?;
    Ok(std::fs::write(directory.join(file), draw(highlighted, panels))?)
}

fn draw(highlighted: &str, panels: &[Panel]) -> String {
    let mut body = String::new();
    let mut y = 6.0;
    for panel in panels {
        y += LINE;
        _ = writeln!(body, "<text class=\"t\" x=\"4\" y=\"{:.0}\">{}</text>", y - 6.0, escape(&panel.title));
        let greatest = panel.bars.iter().map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
        for (label, value, figure) in &panel.bars {
            let length = (value / greatest * LONGEST).max(1.0);
            let class = if label.starts_with(highlighted) { " class=\"o\"" } else { "" };
            _ = writeln!(
                body,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
                 <rect{class} x=\"{LABELS:.0}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"16\" rx=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                LABELS - 8.0,
                y + 12.5,
                escape(label),
                LABELS + length + 6.0,
                y + 12.5,
                escape(figure),
            );
            y += LINE;
        }
        y += 10.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" width=\"{WIDTH}\" role=\"img\">\
         <style>{STYLE}</style>\n{body}</svg>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
