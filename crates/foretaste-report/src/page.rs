//! The parts of a page: heading, facts, figures, tables, lists.

use std::fmt::Write;

use foretaste_core::markup::escape;

const STYLE: &str = include_str!("style.css");

/// A page being written.
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// A page with a heading.
    pub fn new(title: &str, subtitle: &str) -> Self {
        let (title, subtitle) = (escape(title), escape(subtitle));
        let body = format!("<h1>{title}</h1><p class=\"soft\">{subtitle}</p>");
        Self { title, body }
    }

    /// A line that nobody should miss; `class` is `good`, `bad` or `warn`.
    pub fn banner(&mut self, class: &str, text: &str) {
        let _ = write!(self.body, "<p class=\"banner {class}\">{}</p>", escape(text));
    }

    /// Names and values.
    pub fn facts(&mut self, facts: &[(&str, String)]) {
        self.body.push_str("<dl>");
        for (name, value) in facts {
            let (name, value) = (escape(name), escape(value));
            let _ = write!(self.body, "<div><dt>{name}</dt><dd>{value}</dd></div>");
        }
        self.body.push_str("</dl>");
    }

    /// Plots side by side, with captions.
    pub fn figures(&mut self, figures: &[(&str, String)]) {
        self.body.push_str("<div class=\"plots\">");
        for (caption, plot) in figures {
            let caption = escape(caption);
            let _ = write!(self.body, "<figure><figcaption>{caption}</figcaption>{plot}</figure>");
        }
        self.body.push_str("</div>");
    }

    /// A table; the first row is its head.
    pub fn table(&mut self, heading: &str, rows: &[Vec<String>]) {
        let _ = write!(self.body, "<h2>{}</h2><div class=\"scroll\"><table>", escape(heading));
        for (at, row) in rows.iter().enumerate() {
            let tag = if at == 0 { "th" } else { "td" };
            self.body.push_str("<tr>");
            for cell in row {
                let _ = write!(self.body, "<{tag}>{}</{tag}>", escape(cell));
            }
            self.body.push_str("</tr>");
        }
        self.body.push_str("</table></div>");
    }

    /// A list of sentences.
    pub fn list(&mut self, heading: &str, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let _ = write!(self.body, "<h2>{}</h2><ul>", escape(heading));
        for line in lines {
            let _ = write!(self.body, "<li>{}</li>", escape(line));
        }
        self.body.push_str("</ul>");
    }

    /// The whole page.
    pub fn finish(self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
             <title>{}</title><style>{STYLE}</style></head><body>{}</body></html>\n",
            self.title, self.body
        )
    }
}
