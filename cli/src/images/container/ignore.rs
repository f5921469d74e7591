//! `.dockerignore`, as `docker build` reads it: which files of a checkout are no part of a build.

use std::{fs, io, path::Path};

/// The name of the file, at the root of a checkout.
pub(super) const FILE_NAME: &str = ".dockerignore";

/// The patterns of the file; the last one that matches a path or a folder above it decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Ignore(Vec<Pattern>);

#[derive(Clone, Debug)]
struct Pattern {
    /// Whether it begins with `!`: it takes paths back in.
    is_exception: bool,
    /// Its parts between slashes.
    parts: Vec<String>,
}

impl Ignore {
    /// Reads the file of a checkout; `None` if it has none.
    ///
    /// # Errors
    /// The system's error if it can't be read.
    pub(super) fn read(root: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(root.join(FILE_NAME)) {
            Ok(text) => Ok(Some(Self::parse(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}');
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        let pattern = |line: &str| {
            let (is_exception, path) = match line.strip_prefix('!') {
                Some(path) => (true, path.trim()),
                None => (false, line),
            };
            let mut parts: Vec<String> = Vec::new();
            for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
                match part {
                    ".." => drop(parts.pop()),
                    part => parts.push(part.to_owned()),
                }
            }
            (!parts.is_empty()).then_some(Pattern { is_exception, parts })
        };
        Self(lines.filter_map(pattern).collect())
    }

    /// Returns whether a path, relative to the root, is left out.
    pub(super) fn ignores(&self, path: &Path) -> bool {
        let parts = parts(path);
        let matches = |pattern: &&Pattern| {
            (1..=parts.len()).any(|length| matches(&pattern.parts, &parts[..length]))
        };
        self.0.iter().rev().find(matches).is_some_and(|pattern| !pattern.is_exception)
    }

    /// Returns whether a folder may have files that are not left out, although it is itself.
    pub(super) fn may_keep_below(&self, folder: &Path) -> bool {
        let folder = parts(folder);
        let reaches = |pattern: &Pattern| {
            let begins = pattern.parts.iter().take_while(|part| *part != "**");
            begins.zip(&folder).all(|(part, name)| is_like(part.as_bytes(), name.as_bytes()))
        };
        self.0.iter().filter(|pattern| pattern.is_exception).any(reaches)
    }
}

fn parts(path: &Path) -> Vec<String> {
    path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
}

/// Returns whether the parts of a pattern match all parts of a path.
fn matches(pattern: &[String], path: &[String]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            matches(rest, path)
                || path.split_first().is_some_and(|(_, path)| matches(pattern, path))
        }
        (Some((part, pattern)), Some((name, path))) => {
            is_like(part.as_bytes(), name.as_bytes()) && matches(pattern, path)
        }
        _ => false,
    }
}

/// Returns whether a pattern with `*`, `?`, `[a-z]` and `\` matches a name.
fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, _) => name.is_empty(),
        (Some((b'*', rest)), _) => {
            is_like(rest, name)
                || name.split_first().is_some_and(|(_, name)| is_like(pattern, name))
        }
        (Some((b'?', rest)), Some((_, name))) => is_like(rest, name),
        (Some((b'[', rest)), Some((letter, name))) => {
            match rest.iter().skip(1).position(|end| *end == b']') {
                Some(end) => is_in(&rest[..=end], *letter) && is_like(&rest[end + 2..], name),
                None => false,
            }
        }
        (Some((b'\\', rest)), Some((letter, name))) => {
            rest.split_first().is_some_and(|(first, rest)| first == letter && is_like(rest, name))
        }
        (Some((first, rest)), Some((letter, name))) => first == letter && is_like(rest, name),
        (Some(_), None) => false,
    }
}

/// Returns whether a class, without its brackets, has a letter.
fn is_in(class: &[u8], letter: u8) -> bool {
    let (is_negated, mut class) = match class.split_first() {
        Some((b'^', rest)) => (true, rest),
        _ => (false, class),
    };
    let mut has_it = false;
    while let Some((first, rest)) = class.split_first() {
        (has_it, class) = match rest {
            [b'-', last, rest @ ..] => (has_it || (*first..=*last).contains(&letter), rest),
            _ => (has_it || *first == letter, rest),
        };
    }
    has_it != is_negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides_as_for_docker_build() {
        let ours = Ignore::parse(include_str!("../../../../.dockerignore"));
        let kept =
            ["Cargo.toml", "cli/src/main.rs", "services/kitchen/src/lib.rs", ".cargo/config.toml"];
        for path in kept {
            assert!(!ours.ignores(Path::new(path)), "{path}");
        }
        let left_out = [
            "secrets.env",
            "manifests/compose.yaml",
            "cli/README.md",
            "services/kitchen/tests/it/main.rs",
            ".git/config",
        ];
        for path in left_out {
            assert!(ours.ignores(Path::new(path)), "{path}");
        }
        assert!(ours.may_keep_below(Path::new("cli")) && !ours.may_keep_below(Path::new("target")));

        let other = Ignore::parse("# all but\n/a/*.tx?\n!a/b.txt\n[x-z]*/\n**/*.log\n\\!odd\n");
        let ignored = |path| other.ignores(Path::new(path));
        assert!(
            ignored("a/a.txt")
                && ignored("a/a.txt/below")
                && ignored("yard/file")
                && ignored("!odd")
        );
        assert!(ignored("a.log") && ignored("deep/er/a.log"));
        assert!(
            !ignored("a/b.txt") && !ignored("a/a.text") && !ignored("b/a.txt") && !ignored("wood")
        );
    }
}
