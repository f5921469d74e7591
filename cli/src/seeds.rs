//! Recipes and stock in YAML files: all files are checked first, so that either everything is sent or nothing.

use std::{collections::BTreeMap, fmt, time::Duration};

use contracts::{
    Ingredient, QUANTITY_MAX, Quantities,
    api::{
        kitchen::{COOKING_TIME_MS_MAX, RECIPES_MAX, Recipe},
        orders::DISH_BYTES_MAX,
    },
};
use printable::line;
use service::config::parse_duration;
use yaml::{self, Node};

/// The largest seed file: a thousand recipes are a fifth of it.
pub(crate) const FILE_BYTES_MAX: usize = 1024 * 1024;
/// The most problems that are listed; a file with more is the wrong file.
const PROBLEMS_MAX: usize = 50;

/// The built-in files.
const BUILT_IN: [(&str, &str); 2] = [
    ("recipes.yaml", include_str!("../../manifests/seed/recipes.yaml")),
    ("stock.yaml", include_str!("../../manifests/seed/stock.yaml")),
];

/// Valid recipes and opening quantities.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seeds {
    /// The recipes, in the order of the files.
    pub(crate) recipes: Vec<Recipe>,
    /// The opening quantities.
    pub(crate) opening: Quantities,
}

/// A seed file.
#[derive(Clone, Debug)]
pub(crate) struct SeedFile {
    /// Its name, as it was given.
    pub(crate) name: String,
    /// Its content; of a file that is too large, one byte more than the limit.
    pub(crate) bytes: Vec<u8>,
}

/// A problem in a seed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeedProblem {
    file: String,
    /// `recipes[2].ingredients.tomato`, `line 3`, or empty for the whole file.
    place: String,
    what: String,
}

impl fmt::Display for SeedProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => write!(formatter, "{}: {}", self.file, line(&self.what)),
            place => write!(formatter, "{}: {}: {}", self.file, line(place), line(&self.what)),
        }
    }
}

/// All problems.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", listed(.0))]
pub(crate) struct SeedProblems(Vec<SeedProblem>);

fn listed(problems: &[SeedProblem]) -> String {
    let mut lines: Vec<String> =
        problems.iter().take(PROBLEMS_MAX).map(ToString::to_string).collect();
    if problems.len() > PROBLEMS_MAX {
        lines.push(format!("… and {} more", problems.len() - PROBLEMS_MAX));
    }
    lines.join("\n")
}

impl SeedProblems {
    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns the built-in files.
pub(crate) fn built_in() -> Vec<SeedFile> {
    BUILT_IN
        .map(|(name, text)| SeedFile { name: format!("built-in {name}"), bytes: text.into() })
        .into()
}

/// Checks all files together.
///
/// # Errors
/// [`SeedProblems`]: all problems of all files.
pub(crate) fn check(files: &[SeedFile]) -> Result<Seeds, SeedProblems> {
    let mut checker = Checker::default();
    for file in files {
        checker.file(file);
    }
    if checker.seeds.recipes.len() > RECIPES_MAX {
        checker.problem(format!(
            "there are {} recipes: {RECIPES_MAX} are the most",
            checker.seeds.recipes.len()
        ));
    }
    if checker.problems.is_empty() {
        Ok(checker.seeds)
    } else {
        Err(SeedProblems(checker.problems))
    }
}

#[derive(Debug, Default)]
struct Checker {
    seeds: Seeds,
    problems: Vec<SeedProblem>,
    /// The first occurrence of each recipe and each opening quantity.
    recipes_seen: BTreeMap<String, String>,
    stock_seen: BTreeMap<Ingredient, String>,
    file: String,
    /// The text of the file, until its first duplicate key is found.
    text: String,
    path: Vec<String>,
}

impl Checker {
    fn problem(&mut self, what: impl Into<String>) {
        let place = self.place();
        self.problem_at(place, what);
    }

    fn problem_at(&mut self, place: String, what: impl Into<String>) {
        self.problems.push(SeedProblem { file: self.file.clone(), place, what: what.into() });
    }

    fn place(&self) -> String {
        self.path.concat().trim_start_matches('.').into()
    }

    /// Checks the values below a step of the path.
    fn below<T>(&mut self, step: impl Into<String>, check: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step.into());
        let outcome = check(self);
        self.path.pop();
        outcome
    }

    fn file(&mut self, file: &SeedFile) {
        self.file.clone_from(&file.name);
        if file.bytes.len() > FILE_BYTES_MAX {
            return self.problem("it is larger than 1 MiB");
        }
        let text = match std::str::from_utf8(&file.bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = 1 + file.bytes[..error.valid_up_to()]
                    .iter()
                    .filter(|byte| **byte == b'\n')
                    .count();
                return self.problem_at(format!("line {line}"), "it is not UTF-8");
            }
        };
        text.clone_into(&mut self.text);
        match yaml::documents(text) {
            Err(error) if error.line > 0 => {
                self.problem_at(format!("line {}", error.line), error.to_string())
            }
            Err(error) => self.problem(error.to_string()),
            Ok(documents) if documents.iter().all(|document| *document == Node::Null) => {
                self.problem("it is empty: it should have `recipes:` or `stock:`");
            }
            Ok(documents) => documents.into_iter().for_each(|document| self.document(document)),
        }
    }

    fn document(&mut self, document: Node) {
        let Some(entries) = self.map(document) else { return };
        if entries.is_empty() {
            self.problem("it is empty: it should have `recipes:` or `stock:`");
        }
        for (key, value) in entries {
            self.below(format!(".{key}"), |checker| match key.as_str() {
                "recipes" => checker.recipes(value),
                "stock" => checker.stock(value),
                _ => checker.problem("only `recipes` and `stock` are supported here"),
            });
        }
    }

    fn recipes(&mut self, value: Node) {
        let Node::List(recipes) = value else {
            return self.problem(format!("it should be a list of recipes, not {}", value.kind()));
        };
        if recipes.is_empty() {
            self.problem("it has no recipe");
        }
        for (index, recipe) in recipes.into_iter().enumerate() {
            self.below(format!("[{index}]"), |checker| checker.recipe(recipe));
        }
    }

    fn recipe(&mut self, value: Node) {
        let Some(fields) = self.map(value) else { return };
        if let Some(field) = duplicate(&fields) {
            let text = std::mem::take(&mut self.text);
            let line = yaml::line_of_duplicate(&text).map(|line| format!(" in line {line}"));
            return self.below(format!(".{field}"), |checker| {
                checker.problem(format!(
                    "it is a duplicate{}: a recipe has it once, and begins with a dash",
                    line.unwrap_or_default()
                ));
            });
        }
        let (mut name, mut ingredients, mut cooking_time_ms) = (None, None, None);
        let before = self.problems.len();
        for (field, value) in fields {
            self.below(format!(".{field}"), |checker| match field.as_str() {
                "name" => name = checker.name(&value),
                "ingredients" if value == Node::Map(Vec::new()) => {
                    checker.problem("a dish needs ingredients")
                }
                "ingredients" => ingredients = checker.quantities(value, 1),
                "cooking_time" => cooking_time_ms = checker.cooking_time(&value),
                _ => checker.problem("a recipe has only `name`, `ingredients` and `cooking_time`"),
            });
        }
        if let Some(name) = &name {
            let here = format!("{}: {}", self.file, self.place());
            if let Some(there) = self.recipes_seen.insert(name.clone(), here) {
                self.problem(format!("there is another recipe named `{name}`, at {there}"));
            }
        }
        match (name, ingredients, cooking_time_ms) {
            (Some(name), Some(ingredients), Some(cooking_time_ms)) => {
                self.seeds.recipes.push(Recipe { name, ingredients, cooking_time_ms, version: 0 });
            }
            // An invalid field was reported already.
            _ if self.problems.len() > before => {}
            (name, ingredients, cooking_time_ms) => {
                let lacking = [
                    ("name", name.is_none()),
                    ("ingredients", ingredients.is_none()),
                    ("cooking_time", cooking_time_ms.is_none()),
                ];
                for (field, _) in lacking.into_iter().filter(|(_, lacks)| *lacks) {
                    self.problem(format!("it has no `{field}`"));
                }
            }
        }
    }

    fn stock(&mut self, value: Node) {
        if value == Node::Map(Vec::new()) {
            return self.problem("it has no ingredient");
        }
        let Some(opening) = self.quantities(value, 0) else { return };
        for (ingredient, quantity) in opening {
            let here = format!("{}: {}.{ingredient}", self.file, self.place());
            if let Some(there) = self.stock_seen.insert(ingredient, here) {
                self.below(format!(".{ingredient}"), |checker| {
                    checker.problem(format!("it is a duplicate of {there}"));
                });
            }
            self.seeds.opening.insert(ingredient, quantity);
        }
    }

    /// Reads a map of quantities, each at least `least`; empty if it is not a map.
    fn quantities(&mut self, value: Node, least: i64) -> Option<Quantities> {
        let mut quantities = Quantities::new();
        for (name, value) in self.map(value)? {
            self.below(format!(".{name}"), |checker| {
                let quantity = checker.quantity(&value, least);
                match name.parse::<Ingredient>() {
                    Ok(ingredient) => {
                        if quantities.insert(ingredient, quantity.unwrap_or(least)).is_some() {
                            checker.text.clear();
                            checker.problem("it is a duplicate");
                        }
                    }
                    Err(error) => checker.problem(error.to_string()),
                }
            });
        }
        Some(quantities)
    }

    fn quantity(&mut self, value: &Node, least: i64) -> Option<i64> {
        match value {
            Node::Whole(quantity) if (least..=QUANTITY_MAX).contains(quantity) => Some(*quantity),
            other => {
                self.problem(format!(
                    "a quantity is a whole number from {least} to {QUANTITY_MAX}, not {}",
                    other.kind()
                ));
                None
            }
        }
    }

    fn name(&mut self, value: &Node) -> Option<String> {
        let Node::Text(name) = value else {
            self.problem(format!("it should be a text, not {}", value.kind()));
            return None;
        };
        let known =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b" -'".contains(&byte);
        if name.trim().is_empty()
            || name.trim() != name
            || name.len() > DISH_BYTES_MAX
            || !name.bytes().all(known)
        {
            self.problem(format!(
                "`{}` is not a valid name of a dish: it should be lower-case letters, digits, spaces, hyphens and apostrophes, \
                 {DISH_BYTES_MAX} at the most, and neither begin nor end with a space",
                name.chars().take(DISH_BYTES_MAX).collect::<String>()
            ));
            return None;
        }
        Some(name.clone())
    }

    fn cooking_time(&mut self, value: &Node) -> Option<i64> {
        let duration = match value {
            Node::Text(text) => parse_duration(text),
            _ => None,
        };
        let Some(duration) = duration else {
            self.problem(format!(
                "it should be a duration such as 800ms or 0.5s, not {}",
                value.kind()
            ));
            return None;
        };
        let whole_ms = duration.subsec_nanos().is_multiple_of(1_000_000);
        match i64::try_from(duration.as_millis()) {
            Ok(ms) if ms <= COOKING_TIME_MS_MAX && whole_ms => Some(ms),
            Ok(ms) if ms <= COOKING_TIME_MS_MAX => {
                self.problem("it should be at least a millisecond");
                None
            }
            _ => {
                let most = humantime::format_duration(Duration::from_millis(
                    COOKING_TIME_MS_MAX.unsigned_abs(),
                ));
                self.problem(format!("it should be at most {most}"));
                None
            }
        }
    }

    /// Returns the entries of a map; reports a problem if it is not one.
    fn map(&mut self, value: Node) -> Option<Vec<(String, Node)>> {
        match value {
            Node::Map(entries) => Some(entries),
            other => {
                self.problem(format!("it should be a map, not {}", other.kind()));
                None
            }
        }
    }
}

/// Returns the first key that an entry before it has, too.
fn duplicate(entries: &[(String, Node)]) -> Option<&str> {
    let is_before = |at: usize, key: &str| entries[..at].iter().any(|(other, _)| other == key);
    let mut keys = entries.iter().map(|(key, _)| key.as_str()).enumerate();
    keys.find(|(at, key)| is_before(*at, key)).map(|(_, key)| key)
}

#[cfg(test)]
mod tests;
