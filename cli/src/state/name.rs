//! Names of environments.

use std::{fmt, str::FromStr};

/// The longest name of an environment, in bytes; it has to fit into the names of schemas, labels and clusters.
const NAME_BYTES_MAX: usize = 32;
/// The name of an environment: a lower-case letter, then lower-case letters, digits and hyphens, 32 at the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvironmentName(String);

impl EnvironmentName {
    /// The default name.
    pub(crate) const DEFAULT: &str = "chefcito";

    /// Returns it as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it is the default name.
    pub(crate) fn is_default(&self) -> bool {
        self.0 == Self::DEFAULT
    }

    /// Returns the flag that a command for this environment needs: empty for the default one, else ` --name NAME`.
    pub(crate) fn flag(&self) -> String {
        if self.is_default() { String::new() } else { format!(" --name {self}") }
    }

    /// Returns the prefix of its PostgreSQL schemas. No name contains `_`, so environments can share a database.
    pub(crate) fn schema_prefix(&self) -> String {
        format!("{}_", self.0.replace('-', "_"))
    }
}

impl FromStr for EnvironmentName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let begins_well = name.starts_with(|first: char| first.is_ascii_lowercase());
        let goes_on_well = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        (begins_well && goes_on_well && name.len() <= NAME_BYTES_MAX)
            .then(|| Self(name.to_owned()))
            .ok_or("it should be a lower-case letter, then lower-case letters, digits and hyphens, 32 at the most")
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_lower_case_words() {
        for good in ["chefcito", "a", "ci-2"] {
            assert!(good.parse::<EnvironmentName>().is_ok(), "{good}");
        }
        let long = "a".repeat(33);
        for bad in ["", "Chef", "2ci", "-a", "a/b", "..", "a b", long.as_str()] {
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad}");
        }
    }
}
