//! A value of a document with its path, so that an error can say where it is.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Number;
use yaml::{Node, NotYaml};

use crate::compose_file::sizes;

/// An error in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// The path, such as `services.orders.image`; empty for the document itself.
    path: String,
    /// The line, if it is known.
    line: Option<usize>,
    what: String,
}

impl Flaw {
    pub(crate) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, what: what.into() }
    }

    /// Returns it with its line in the text of the document, if that can be found.
    pub(crate) fn in_text(&self, text: &str) -> String {
        let line = self.line.map(|line| (line, None));
        match line.or_else(|| yaml::line_of(text, &self.path)) {
            Some((line, None)) => format!("line {line}: {self}"),
            Some((line, Some(anchor))) => {
                format!("line {line} (an alias of line {anchor}): {self}")
            }
            None => self.to_string(),
        }
    }
}

impl From<NotYaml> for Flaw {
    fn from(error: NotYaml) -> Self {
        Self { path: String::new(), line: Some(error.line), what: error.what }
    }
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.what)
    }
}

pub(crate) type Result<T, E = Flaw> = std::result::Result<T, E>;

/// Returns the path of a key below a path.
pub(crate) fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}

/// A value and its path.
#[derive(Clone, Debug)]
pub(crate) struct At<'a> {
    path: String,
    node: &'a Node,
}

impl<'a> At<'a> {
    pub(crate) const fn root(node: &'a Node) -> Self {
        Self { path: String::new(), node }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) const fn node(&self) -> &'a Node {
        self.node
    }

    pub(crate) fn flaw(&self, what: impl Into<String>) -> Flaw {
        Flaw::new(&self.path, what)
    }

    fn expected(&self, what: &str) -> Flaw {
        self.flaw(format!("it should be {what}, not {}", self.node.kind()))
    }

    pub(crate) const fn is_null(&self) -> bool {
        matches!(self.node, Node::Null)
    }

    /// Returns the keys and values of a map; `null` counts as an empty one.
    pub(crate) fn entries(&self) -> Result<Vec<(String, At<'a>)>> {
        match self.node {
            Node::Null => Ok(Vec::new()),
            Node::Map(entries) => Ok(entries
                .iter()
                .map(|(key, node)| (key.clone(), At { path: below(&self.path, key), node }))
                .collect()),
            _ => Err(self.expected("a map")),
        }
    }

    /// Returns the fields of a map, to take one by one.
    pub(crate) fn fields(&self) -> Result<Fields<'a>> {
        Ok(Fields { entries: self.entries()?, asked: Vec::new(), null_is_absent: true })
    }

    /// Returns the fields of a map without extensions, whose names begin with `x-`: the compose file has them beside keys of its own,
    /// and not among names. A field without a value is an error there, but for the program of a container.
    pub(crate) fn extensible_fields(&self) -> Result<Fields<'a>> {
        let mut fields = self.fields()?;
        fields.entries.retain(|(key, _)| !key.starts_with("x-"));
        fields.null_is_absent = false;
        Ok(fields)
    }

    pub(crate) fn list(&self) -> Result<Vec<At<'a>>> {
        match self.node {
            Node::Null => Ok(Vec::new()),
            Node::List(list) => Ok(list
                .iter()
                .enumerate()
                .map(|(at, node)| At { path: format!("{}[{at}]", self.path), node })
                .collect()),
            _ => Err(self.expected("a list")),
        }
    }

    pub(crate) fn text(&self) -> Result<String> {
        match self.node {
            Node::Text(text) => Ok(text.clone()),
            Node::Whole(_) | Node::Number(_) | Node::Bool(_) => {
                Err(self.expected("a text in quotes"))
            }
            Node::Null | Node::List(_) | Node::Map(_) => Err(self.expected("a text")),
        }
    }

    /// Returns a text; a number or a boolean is converted as docker compose does it.
    pub(crate) fn scalar(&self) -> Result<String> {
        match self.node {
            Node::Whole(number) => Ok(number.to_string()),
            Node::Number(number) => Ok(as_go_prints(number)),
            Node::Bool(truth) => Ok(truth.to_string()),
            _ => self.text(),
        }
    }

    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        self.list()?.iter().map(At::text).collect()
    }

    /// Returns texts of which no two are the same.
    pub(crate) fn distinct_texts(&self) -> Result<Vec<String>> {
        self.distinct(At::text)
    }

    /// Returns texts of which no two are the same; numbers and booleans are converted.
    pub(crate) fn distinct_scalars(&self) -> Result<Vec<String>> {
        self.distinct(At::scalar)
    }

    fn distinct(&self, read: impl Fn(&Self) -> Result<String>) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for at in self.list()? {
            let text = read(&at)?;
            if found.contains(&text) {
                return Err(at.flaw(format!("`{text}` is a duplicate")));
            }
            found.push(text);
        }
        Ok(found)
    }

    pub(crate) fn truth(&self) -> Result<bool> {
        match self.scalar()?.as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    pub(crate) fn parsed<T: std::str::FromStr>(&self, what: &str) -> Result<T> {
        self.scalar()?.trim().parse().map_err(|_| self.expected(what))
    }

    pub(crate) fn duration(&self) -> Result<Duration> {
        sizes::duration(&self.text()?).ok_or_else(|| self.expected("a duration such as 1m30s"))
    }

    pub(crate) fn bytes(&self) -> Result<u64> {
        // Docker compose drops a fraction, with all of the number.
        let text = if let Node::Number(_) = self.node { self.text()? } else { self.scalar()? };
        sizes::bytes(&text).ok_or_else(|| self.expected("a size such as 128m"))
    }

    /// Returns names and values, from a map or a list of `NAME=VALUE`. A name without a value has `None`.
    pub(crate) fn pairs(&self) -> Result<BTreeMap<String, Option<String>>> {
        if !matches!(self.node, Node::List(_)) {
            let pair = |(name, at): (String, At<'_>)| {
                let value = if at.is_null() { None } else { Some(at.scalar()?) };
                Ok((name, value))
            };
            return self.entries()?.into_iter().map(pair).collect();
        }
        let mut pairs = BTreeMap::new();
        for at in self.list()? {
            let text = at.text()?;
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (text, None),
            };
            if name.is_empty() || pairs.insert(name.clone(), value).is_some() {
                return Err(at.flaw(format!("`{name}` is empty or a duplicate")));
            }
        }
        Ok(pairs)
    }

    /// Returns the texts of a map; a name without a value has an empty one.
    pub(crate) fn texts_by_name(&self) -> Result<BTreeMap<String, String>> {
        let text = |at: &At<'_>| if at.is_null() { Ok(String::new()) } else { at.text() };
        self.entries()?.into_iter().map(|(name, at)| Ok((name, text(&at)?))).collect()
    }

    /// Returns names and values of an option each, which are texts and numbers.
    pub(crate) fn options(&self) -> Result<BTreeMap<String, String>> {
        let option = |(name, at): (String, At<'_>)| match at.node {
            Node::Bool(_) => Err(at.expected("a text in quotes")),
            _ => Ok((name, at.scalar()?)),
        };
        self.entries()?.into_iter().map(option).collect()
    }

    /// Returns names and values; a name without a value has an empty one.
    pub(crate) fn filled_pairs(&self) -> Result<BTreeMap<String, String>> {
        let filled = |(name, value): (String, Option<String>)| (name, value.unwrap_or_default());
        Ok(self.pairs()?.into_iter().map(filled).collect())
    }
}

/// The fields of a map that are not taken yet.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    entries: Vec<(String, At<'a>)>,
    /// The names that were asked for: those that are supported.
    asked: Vec<String>,
    /// Whether a field without a value is as one that is not there.
    null_is_absent: bool,
}

impl<'a> Fields<'a> {
    /// Takes a field, if it exists.
    pub(crate) fn take(&mut self, name: &str) -> Option<At<'a>> {
        self.asked.push(name.to_owned());
        self.remove(name)
    }

    fn remove(&mut self, name: &str) -> Option<At<'a>> {
        let at = self.entries.iter().position(|(key, _)| key == name)?;
        Some(self.entries.remove(at).1)
    }

    /// Refuses a field with a reason.
    pub(crate) fn refuse(&mut self, name: &str, why: &str) -> Result<()> {
        self.remove(name).map_or(Ok(()), |at| Err(at.flaw(why)))
    }

    /// Takes a field and reads it.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&At<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.take(name) {
            Some(at)
                if at.is_null()
                    && !self.null_is_absent
                    && !["command", "entrypoint"].contains(&name) =>
            {
                Err(at.flaw("it has no value"))
            }
            Some(at) if !at.is_null() => read(&at).map(Some),
            _ => Ok(None),
        }
    }

    /// Refuses fields that were not taken, which are not supported.
    pub(crate) fn finish(mut self) -> Result<()> {
        match self.entries.first() {
            Some((_, at)) => {
                self.asked.sort();
                self.asked.dedup();
                let supported = self.asked.join(", ");
                Err(at.flaw(format!("chefcito does not support this key; it supports {supported}")))
            }
            None => Ok(()),
        }
    }
}

/// Returns a number as Go prints one, with an exponent unless it is small.
fn as_go_prints(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        return number.to_string();
    };
    let scientific = format!("{float:e}");
    match scientific.split_once('e').map(|(mantissa, exponent)| (mantissa, exponent.parse::<i32>()))
    {
        Some((_, Ok(-4..=5))) | None => format!("{float}"),
        Some((mantissa, Ok(exponent))) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        Some((_, Err(_))) => scientific,
    }
}
