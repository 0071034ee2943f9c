//! The page that pictures hang on: one HTML file that needs nothing but itself.
//!
//! No script, no font, no address outside: it opens from a disk without a network, today and in
//! ten years, follows the reader's light or dark theme, and prints.

use std::fmt::Write;

use super::svg::escaped;
use super::{Picture, Table};

/// Everything that stands on a page, from top to bottom.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// What it is about.
    pub(crate) title: String,
    /// The line beneath the title.
    pub(crate) subtitle: String,
    /// The findings.
    pub(crate) sections: Vec<Section>,
    /// How to make it again: commands.
    pub(crate) commands: Vec<String>,
    /// The parameters, by name.
    pub(crate) parameters: Vec<(String, String)>,
    /// All results.
    pub(crate) tables: Vec<(String, Table)>,
    /// How the numbers are to be understood, a paragraph each.
    pub(crate) notes: Vec<String>,
}

/// What was found under one set of conditions.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// Which conditions.
    pub(crate) heading: String,
    /// What follows from it.
    pub(crate) verdict: Option<Verdict>,
    /// The evidence.
    pub(crate) pictures: Vec<Picture>,
}

/// What follows from the results.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// How sure it is.
    pub(crate) standing: Standing,
    /// In words, a paragraph each.
    pub(crate) text: Vec<String>,
}

/// Whether what was asked for can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It can: the whole interval lies within it.
    Met,
    /// It may: the interval reaches across.
    Open,
    /// Nothing that was tried does.
    Unmet,
}

impl Page {
    /// The whole file.
    pub(crate) fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{CSS}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p class=\"soft\">{}</p>\n",
            escaped(&self.subtitle)
        );
        for section in &self.sections {
            put(&mut out, &format!("<h2>{}</h2>", escaped(&section.heading)));
            if let Some(verdict) = &section.verdict {
                put(&mut out, &format!("<div class=\"card verdict {}\">", verdict.standing.name()));
                paragraphs(&mut out, &verdict.text);
                put(&mut out, "</div>");
            }
            for picture in &section.pictures {
                figure(&mut out, picture);
            }
        }
        put(&mut out, "<h2>How to make it again</h2>\n<div class=\"card\">");
        put(&mut out, &format!("<pre>{}</pre>", escaped(&self.commands.join("\n"))));
        put(&mut out, "<table class=\"facts\"><tbody>");
        for (name, value) in &self.parameters {
            put(
                &mut out,
                &format!("<tr><th scope=\"row\">{}</th><td><code>{}</code></td></tr>", escaped(name), escaped(value)),
            );
        }
        put(&mut out, "</tbody></table>\n</div>\n<h2>All results</h2>");
        for (name, results) in &self.tables {
            put(&mut out, &format!("<div class=\"card\"><h3>{}</h3>", escaped(name)));
            table(&mut out, results);
            put(&mut out, "</div>");
        }
        put(&mut out, "<h2>How to read the numbers</h2>\n<div class=\"card\">");
        paragraphs(&mut out, &self.notes);
        put(&mut out, "</div>\n</main>\n</body>\n</html>");
        out
    }
}

impl Standing {
    const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Open => "open",
            Self::Unmet => "unmet",
        }
    }
}

fn figure(out: &mut String, picture: &Picture) {
    let Picture { title, description, svg, table: data } = picture;
    put(out, &format!("<figure>\n<h3>{}</h3>\n<figcaption>{}</figcaption>", escaped(title), escaped(description)));
    out.push_str(svg);
    put(out, "<details><summary>The data of this picture</summary>");
    table(out, data);
    put(out, "</details>\n</figure>");
}

fn table(out: &mut String, table: &Table) {
    let head: String = table.head.iter().map(|text| format!("<th scope=\"col\">{}</th>", escaped(text))).collect();
    put(out, &format!("<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>"));
    for row in &table.rows {
        let cells: String = row.iter().map(|text| format!("<td>{}</td>", escaped(text))).collect();
        put(out, &format!("<tr>{cells}</tr>"));
    }
    put(out, "</tbody></table></div>");
}

fn paragraphs(out: &mut String, texts: &[String]) {
    for text in texts {
        put(out, &format!("<p>{}</p>", escaped(text)));
    }
}

fn put(out: &mut String, line: &str) {
    writeln!(out, "{line}").expect("a string takes everything");
}

const CSS: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let table = Table { head: vec!["a & b".into()], rows: vec![vec!["<1>".into()]] };
        let picture =
            Picture { title: "P".into(), description: "D".into(), svg: "<svg></svg>".into(), table: table.clone() };
        let verdict = Some(Verdict { standing: Standing::Open, text: vec!["Perhaps.".into()] });
        Page {
            title: "A <title>".into(),
            subtitle: String::new(),
            sections: vec![Section { heading: "H".into(), verdict, pictures: vec![picture] }],
            commands: vec!["systole-sim sweep \"plan.toml\"".into()],
            parameters: vec![("loss".into(), "0.01".into())],
            tables: vec![("Cells".into(), table)],
            notes: vec!["Intervals are for 95 %.".into()],
        }
    }

    #[test]
    fn texts_are_escaped_and_pictures_are_not() {
        let html = page().html();
        assert!(html.contains("<h1>A &lt;title&gt;</h1>") && html.contains("<td>&lt;1&gt;</td>"));
        assert!(html.contains("<svg></svg>") && html.contains("class=\"card verdict open\""));
    }

    #[test]
    fn a_page_needs_nothing_but_itself() {
        let html = page().html();
        for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "<script"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}
