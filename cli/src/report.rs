//! Reports of a command in files: Markdown for people, JSON for scripts, JUnit for pipelines.

use std::{
    fmt::{self, Write as _},
    fs::OpenOptions,
    io::Write as _,
    path::PathBuf,
    str::FromStr,
};

use serde_json::Value;

use crate::{
    ci,
    error::Result,
    output::Output,
    output_file::{OutputFile, cannot_write},
};

/// A file for a report; its name ends with the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportFile {
    path: PathBuf,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Markdown,
    Json,
    Junit,
}

impl FromStr for ReportFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = PathBuf::from(text);
        let format = match path.extension().and_then(|end| end.to_str()) {
            Some("md") => Format::Markdown,
            Some("json") => Format::Json,
            Some("xml") => Format::Junit,
            _ => return Err("it should end with .md (Markdown), .json or .xml (JUnit)"),
        };
        Ok(Self { path, format })
    }
}

/// What a command found out.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The command: `order`.
    pub(crate) command: &'static str,
    /// The result in a few words.
    pub(crate) result: String,
    /// What was checked, and whether it held.
    pub(crate) checks: Vec<Check>,
    /// The rest of the Markdown, below the result and the checks.
    pub(crate) details: String,
    /// The document of `--json`.
    pub(crate) document: Value,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// One thing that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// What should hold.
    pub(crate) name: String,
    /// Why it does not.
    pub(crate) failure: Option<String>,
}

/// Files for reports, made before the work begins.
#[derive(Debug)]
pub(crate) struct ReportFiles(Vec<(Format, OutputFile)>);

impl ReportFiles {
    /// Prepares the files.
    ///
    /// # Errors
    /// [`CliError::Io`](crate::error::CliError::Io) if one can't be written.
    pub(crate) fn prepare(files: &[ReportFile]) -> Result<Self> {
        let prepared = files.iter().map(|file| Ok((file.format, OutputFile::prepare(&file.path)?)));
        Ok(Self(prepared.collect::<Result<_>>()?))
    }

    /// Returns whether anybody reads a report: one was asked for, or the pipeline shows one.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.0.is_empty() || ci::summary().is_some()
    }

    /// Writes the report, and returns the result of the command. A report that can't be written does not hide why the command
    /// failed.
    ///
    /// # Errors
    /// That of the command; or else [`CliError::Io`](crate::error::CliError::Io) if the report can't be written.
    pub(crate) fn conclude(
        self,
        report: Result<Report>,
        result: Result<()>,
        output: &Output,
    ) -> Result<()> {
        let written = report.and_then(|report| self.write(&report));
        if let (Err(error), Err(_)) = (&written, &result) {
            output.warn(format_args!("the report is not written: {error}"));
        }
        result.and(written)
    }

    /// Writes the report into all files, and adds it to the summary of the pipeline's step.
    fn write(self, report: &Report) -> Result<()> {
        for (format, file) in self.0 {
            let text = match format {
                Format::Markdown => report.markdown(),
                Format::Json => format!("{:#}\n", report.document),
                Format::Junit => report.junit(),
            };
            file.write(&text)?;
        }
        let Some(summary) = ci::summary() else { return Ok(()) };
        let added = OpenOptions::new().append(true).create(true).open(&summary);
        added
            .and_then(|mut file| file.write_all(report.markdown().as_bytes()))
            .map_err(cannot_write(&summary))
    }
}

impl Report {
    fn failures(&self) -> usize {
        self.checks.iter().filter(|check| check.failure.is_some()).count()
    }

    fn markdown(&self) -> String {
        let mark = |failed: bool| if failed { "❌" } else { "✅" };
        let mut text = format!(
            "## {} chefcito {}: {}\n\n",
            mark(self.failures() > 0),
            self.command,
            cell(&self.result)
        );
        for Check { name, failure } in &self.checks {
            let why = failure.as_ref().map(|why| format!(": {}", cell(why)));
            // Writing to a string can't fail.
            let _written = writeln!(
                text,
                "- {} {}{}",
                mark(failure.is_some()),
                cell(name),
                why.unwrap_or_default()
            );
        }
        text + "\n" + &self.details + "\n"
    }

    /// Returns the result in the format that JUnit's Ant task began and pipelines read.
    fn junit(&self) -> String {
        let counts = format!(
            "tests=\"{}\" failures=\"{}\" time=\"{:.3}\"",
            self.checks.len(),
            self.failures(),
            self.seconds
        );
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"chefcito {}\" {counts}>\n",
            self.command
        );
        for Check { name, failure } in &self.checks {
            let case = format!(
                "    <testcase classname=\"chefcito.{}\" name=\"{}\"",
                self.command,
                Xml(name)
            );
            let end = match failure {
                None => "/>\n".to_owned(),
                Some(why) => {
                    format!(">\n      <failure message=\"{}\"/>\n    </testcase>\n", Xml(why))
                }
            };
            text.extend([case, end]);
        }
        text + "  </testsuite>\n</testsuites>\n"
    }
}

/// Returns a text for a cell of a table or an item of a list in Markdown: on one line, and without markup.
pub(crate) fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' | '!' => {
                escaped.extend(['\\', letter]);
            }
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A text as the value of an attribute in XML 1.0, which has no way to write most control characters.
struct Xml<'a>(&'a str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '&' => formatter.write_str("&amp;")?,
                '"' => formatter.write_str("&quot;")?,
                '\n' => formatter.write_str("&#10;")?,
                '\u{fffe}' | '\u{ffff}' => formatter.write_char('\u{fffd}')?,
                letter if letter.is_control() => formatter.write_char('\u{fffd}')?,
                letter => formatter.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Report {
        Report {
            command: "order",
            result: "2 accepted, 1 delivered".into(),
            checks: vec![
                Check { name: "every order is accepted".into(), failure: None },
                Check {
                    name: "delivered.p99>1s <is> \"crossed\"".into(),
                    failure: Some("found 2 s\nfor `a|b` & \u{1b}[31mred".into()),
                },
            ],
            details: "| a |\n|---|\n".into(),
            document: json!({"schema_version": 1}),
            seconds: 1.25,
        }
    }

    #[test]
    fn each_format_shows_what_failed_and_escapes_what_is_from_outside() {
        let report = report();
        insta::assert_snapshot!(format!("{}\n{}", report.markdown(), report.junit()));
    }

    #[test]
    fn the_name_of_the_file_decides_the_format() {
        let format = |name: &str| name.parse::<ReportFile>().map(|file| file.format);
        assert_eq!(format("out/a.md"), Ok(Format::Markdown));
        assert_eq!(format("a.b.json"), Ok(Format::Json));
        assert_eq!(format("a.xml"), Ok(Format::Junit));
        for wrong in ["a", "a.txt", ".md", ""] {
            assert!(format(wrong).is_err(), "{wrong}");
        }
    }
}
