//! A value of a document with its path, so that an error can say where it is.

use std::{collections::BTreeMap, time::Duration};

use super::sizes;
use crate::yaml::Node;

/// An error in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// The path, such as `services.orders.image`; empty for the document itself.
    pub(crate) path: String,
    /// The line, if it is known.
    pub(crate) line: Option<usize>,
    what: String,
}

impl Flaw {
    pub(crate) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, what: what.into() }
    }

    pub(crate) fn at_line(line: usize, what: String) -> Self {
        Self { path: String::new(), line: (line > 0).then_some(line), what }
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
                .filter(|(key, _)| !key.starts_with("x-"))
                .map(|(key, node)| (key.clone(), At { path: below(&self.path, key), node }))
                .collect()),
            _ => Err(self.expected("a map")),
        }
    }

    /// Returns the fields of a map, to take one by one.
    pub(crate) fn fields(&self) -> Result<Fields<'a>> {
        Ok(Fields { entries: self.entries()? })
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

    /// Returns a text; a number or a boolean is converted.
    pub(crate) fn text(&self) -> Result<String> {
        match self.node {
            Node::Text(text) => Ok(text.clone()),
            Node::Whole(number) => Ok(number.to_string()),
            Node::Number(number) => Ok(number.to_string()),
            Node::Bool(truth) => Ok(truth.to_string()),
            Node::Null | Node::List(_) | Node::Map(_) => Err(self.expected("a text")),
        }
    }

    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        self.list()?.iter().map(At::text).collect()
    }

    pub(crate) fn truth(&self) -> Result<bool> {
        match self.text()?.as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    pub(crate) fn parsed<T: std::str::FromStr>(&self, what: &str) -> Result<T> {
        self.text()?.trim().parse().map_err(|_| self.expected(what))
    }

    pub(crate) fn duration(&self) -> Result<Duration> {
        sizes::duration(&self.text()?).ok_or_else(|| self.expected("a duration such as 1m30s"))
    }

    pub(crate) fn bytes(&self) -> Result<u64> {
        sizes::bytes(&self.text()?).ok_or_else(|| self.expected("a size such as 128m"))
    }

    /// Returns names and values, from a map or a list of `NAME=VALUE`. A name without a value has `None`.
    pub(crate) fn pairs(&self) -> Result<BTreeMap<String, Option<String>>> {
        if !matches!(self.node, Node::List(_)) {
            let pair = |(name, at): (String, At<'_>)| {
                let value = if at.is_null() { None } else { Some(at.text()?) };
                Ok((name, value))
            };
            // Here `x-` is not a comment: a name may begin with it.
            return match self.node {
                Node::Map(entries) => entries
                    .iter()
                    .map(|(key, node)| {
                        pair((key.clone(), At { path: below(&self.path, key), node }))
                    })
                    .collect(),
                _ => self.entries()?.into_iter().map(pair).collect(),
            };
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
}

impl<'a> Fields<'a> {
    /// Takes a field, if it exists.
    pub(crate) fn take(&mut self, name: &str) -> Option<At<'a>> {
        let at = self.entries.iter().position(|(key, _)| key == name)?;
        Some(self.entries.remove(at).1)
    }

    /// Takes a field and reads it.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&At<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.take(name) {
            Some(at) if !at.is_null() => read(&at).map(Some),
            _ => Ok(None),
        }
    }

    /// Refuses fields that were not taken, which are not supported.
    pub(crate) fn finish(self) -> Result<()> {
        match self.entries.first() {
            Some((_, at)) => Err(at.flaw("chefcito does not support this key")),
            None => Ok(()),
        }
    }
}
