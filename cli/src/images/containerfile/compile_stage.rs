//! The stage that compiles: `chefcito build` runs cargo with arguments of its own instead of it. What else the stage does
//! would have no effect, so it is refused.

use super::{Instruction, words::pairs};

/// Programs of `RUN` that only move what was compiled.
const MOVING: [&str; 6] = ["cp", "find", "install", "mkdir", "mv", "rm"];
/// Arguments of `cargo build` that say what `chefcito build` does, without a value.
const FLAGS: [&str; 4] = ["--locked", "--workspace", "--bins", "--release"];
/// Those with a value.
const OPTIONS: [&str; 6] = ["--profile", "--target", "--exclude", "--package", "-p", "--bin"];
/// Variables that say what `chefcito build` does, each with its value.
const VARIABLES: [(&str, &str); 2] = [
    ("CARGO_INCREMENTAL", "0"),
    (
        "RUSTFLAGS",
        "-C target-feature=+crt-static --remap-path-prefix=/usr/local/cargo/registry/src=/registry",
    ),
];
/// What to do instead.
const INSTEAD: &str = "put it into an image of your own and name that in `FROM`, or build with `docker build -f FILE .`";

/// Refuses an instruction that `chefcito build` would ignore, with its index before the last stage.
pub(super) fn check(index: usize, instruction: &Instruction) -> Result<(), String> {
    let arguments = instruction.arguments.as_str();
    let ignored = match instruction.name.as_str() {
        "FROM" if index == 0 => None,
        "LABEL" | "WORKDIR" => None,
        "COPY" if !arguments.contains("--from") => None,
        "ENV" => pairs(arguments)?
            .into_iter()
            .find(|(name, value)| !VARIABLES.contains(&(name.as_str(), value.as_str())))
            .map(|(name, value)| format!("ENV {name}={value}")),
        "RUN" => ignored_command(arguments).map(|command| format!("RUN {command}")),
        name => Some(format!("{name} {arguments}")),
    };
    match ignored {
        Some(ignored) => Err(format!(
            "`chefcito build` would ignore `{ignored}`: of this stage it uses the image only, to compile the workspace \
             in; {INSTEAD}"
        )),
        None => Ok(()),
    }
}

/// Returns the first command of a `RUN` that is neither the compilation nor moves what was compiled.
fn ignored_command(script: &str) -> Option<String> {
    let commands = script.split("&&").flat_map(|part| part.split(';'));
    let commands = commands.map(str::trim).filter(|command| !command.is_empty());
    commands.map(str::to_owned).find(|command| !has_same_effect(command))
}

fn has_same_effect(command: &str) -> bool {
    let mut words = command.split_whitespace().filter(|word| !word.starts_with("--mount="));
    match words.next() {
        Some("cargo") => words.next() == Some("build") && has_known_arguments(words),
        Some(program) if MOVING.contains(&program) => true,
        Some(_) => is_assignment(command),
        None => true,
    }
}

/// Returns whether a command only sets a variable of the shell.
fn is_assignment(command: &str) -> bool {
    let Some((name, value)) = command.split_once('=') else { return false };
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let is_one_word = match quoted {
        Some(value) => !value.contains('"'),
        None => !value.contains(char::is_whitespace),
    };
    name.chars().all(is_name) && is_one_word
}

fn has_known_arguments<'a>(mut words: impl Iterator<Item = &'a str>) -> bool {
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some((option, _)) if OPTIONS.contains(&option) => {}
            None if OPTIONS.contains(&word) => {
                let _value = words.next();
            }
            None if FLAGS.contains(&word) => {}
            _ => return false,
        }
    }
    true
}
