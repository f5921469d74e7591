//! A CONTAINERFILE, as far as `chefcito build` uses it: the image to compile in, and the last stage.
//!
//! An engine supports every instruction. The last stage of a service's image needs few, and the stage before it compiles
//! the workspace, which `chefcito build` does without the engine; others are refused rather than ignored, so that both
//! ways build the same image.

mod compile_stage;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;

use self::words::{exec_form, nanoseconds, pairs, word};

/// The name of the file in a service's folder of `containerfiles/`.
pub(crate) const FILE_NAME: &str = "CONTAINERFILE";

/// An error in a CONTAINERFILE, with its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {detail}")]
pub(crate) struct Unusable {
    line: usize,
    detail: String,
}

/// A parsed CONTAINERFILE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Containerfile {
    /// The image of the first stage, in which an engine compiles.
    pub(crate) compile_image: String,
    /// The name of the binary that the last stage copies from an earlier one.
    pub(crate) binary: String,
    /// Its absolute path in the image.
    pub(crate) path: String,
    /// The configuration of containers.
    pub(crate) config: Config,
}

/// The configuration of containers, with the names of OCI's image specification; `Healthcheck` is Docker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Config {
    /// User and group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    /// Ports, such as `8080/tcp`; the keys of an object of empty objects in JSON.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) exposed_ports: BTreeMap<String, Empty>,
    /// Variables, as `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) env: Vec<String>,
    /// The program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) entrypoint: Vec<String>,
    /// Its default arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cmd: Vec<String>,
    /// The working directory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) working_dir: String,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    /// The stop signal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) stop_signal: String,
    /// The health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) healthcheck: Option<Healthcheck>,
}

/// An object without fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Empty {}

/// The health check of a container. Times are in nanoseconds; 0 is the engine's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Healthcheck {
    test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    interval: u64,
    #[serde(skip_serializing_if = "is_zero")]
    timeout: u64,
    #[serde(skip_serializing_if = "is_zero")]
    start_period: u64,
    #[serde(skip_serializing_if = "is_zero")]
    retries: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Containerfile {
    /// Parses a CONTAINERFILE.
    ///
    /// # Errors
    /// [`Unusable`] if it has an instruction that `chefcito build` does not carry out, or its last stage is not one binary
    /// without a base image.
    pub(crate) fn parse(text: &str) -> Result<Self, Unusable> {
        let instructions = instructions(text);
        let end = text.lines().count();
        let mut stages = instructions.iter().filter(|instruction| instruction.is("FROM"));
        let compile_image = stages.next().map(|from| from.image().to_owned()).unwrap_or_default();
        let last = instructions.iter().rposition(|instruction| instruction.is("FROM"));
        let (Some(last), Some(from)) = (last, stages.next_back()) else {
            return Err(unusable(
                end,
                "there should be a stage that compiles and one `FROM scratch`",
            ));
        };
        if from.image() != "scratch" {
            return Err(unusable(
                from.line,
                format!("the last stage should be `FROM scratch`, not `FROM {}`", from.image()),
            ));
        }
        for (index, instruction) in instructions[..last].iter().enumerate() {
            compile_stage::check(index, instruction)
                .map_err(|detail| unusable(instruction.line, detail))?;
        }
        let mut stage = Stage::default();
        for instruction in &instructions[last + 1..] {
            stage.apply(instruction).map_err(|detail| unusable(instruction.line, detail))?;
        }
        let (binary, path) = stage.copied.ok_or_else(|| {
            unusable(
                end,
                "the last stage copies no binary: `COPY --from=compile /binaries/NAME /NAME`",
            )
        })?;
        Ok(Self { compile_image, binary, path, config: stage.config })
    }
}

fn unusable(line: usize, detail: impl Into<String>) -> Unusable {
    Unusable { line, detail: detail.into() }
}

/// One instruction, its continued lines joined.
#[derive(Debug)]
struct Instruction {
    line: usize,
    name: String,
    arguments: String,
}

impl Instruction {
    fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// Returns the image of a `FROM`.
    fn image(&self) -> &str {
        self.arguments.split_whitespace().find(|word| !word.starts_with("--")).unwrap_or_default()
    }
}

/// Splits a text into its instructions, without comments and empty lines, even between continued lines.
fn instructions(text: &str) -> Vec<Instruction> {
    let mut found: Vec<Instruction> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (part, continued) = match line.strip_suffix('\\') {
            Some(part) => (part.trim_end(), true),
            None => (line, false),
        };
        match found.last_mut() {
            Some(instruction) if goes_on => {
                instruction.arguments.push(' ');
                instruction.arguments.push_str(part);
            }
            _ => {
                let (name, arguments) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
                found.push(Instruction {
                    line: index + 1,
                    name: name.to_ascii_uppercase(),
                    arguments: arguments.trim().to_owned(),
                });
            }
        }
        goes_on = continued;
    }
    found
}

/// The result of the last stage's instructions.
#[derive(Debug, Default)]
struct Stage {
    config: Config,
    copied: Option<(String, String)>,
}

impl Stage {
    fn apply(&mut self, instruction: &Instruction) -> Result<(), String> {
        let arguments = instruction.arguments.as_str();
        let config = &mut self.config;
        match instruction.name.as_str() {
            "COPY" => {
                let copied = copied(arguments)?;
                if self.copied.replace(copied).is_some() {
                    return Err("the image should have one binary, and this is a second one".into());
                }
            }
            "USER" => config.user = word(arguments)?,
            "WORKDIR" => config.working_dir = word(arguments)?,
            "STOPSIGNAL" => config.stop_signal = word(arguments)?,
            "ENTRYPOINT" => config.entrypoint = exec_form(arguments)?,
            "CMD" => config.cmd = exec_form(arguments)?,
            "EXPOSE" => config.exposed_ports.extend(arguments.split_whitespace().map(port)),
            "LABEL" => config.labels.extend(pairs(arguments)?),
            "ENV" => config
                .env
                .extend(pairs(arguments)?.iter().map(|(name, value)| format!("{name}={value}"))),
            "HEALTHCHECK" => config.healthcheck = Some(healthcheck(arguments)?),
            other => {
                return Err(format!(
                    "`{other}` in the last stage is not supported by `chefcito build`"
                ));
            }
        }
        Ok(())
    }
}

/// Returns the name of the binary and its path, from `--from=STAGE /some/where/NAME /NAME`.
fn copied(arguments: &str) -> Result<(String, String), String> {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    match words.as_slice() {
        [stage, from, to] if stage.starts_with("--from=") && to.starts_with('/') => {
            let binary = from.rsplit('/').next().unwrap_or(from);
            // As engines do it: a copy into a folder keeps its name.
            let path = if to.ends_with('/') { format!("{to}{binary}") } else { (*to).to_owned() };
            Ok((binary.to_owned(), path))
        }
        _ => {
            Err("only `COPY --from=STAGE /FOLDER/NAME /NAME` is supported by `chefcito build`"
                .into())
        }
    }
}

fn port(word: &str) -> (String, Empty) {
    let port = if word.contains('/') { word.to_owned() } else { format!("{word}/tcp") };
    (port, Empty {})
}

fn healthcheck(arguments: &str) -> Result<Healthcheck, String> {
    if arguments.trim() == "NONE" {
        return Ok(Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() });
    }
    let (options, command) = arguments.split_once("CMD").ok_or_else(|| {
        format!("`{arguments}` should be `[--interval=…] CMD [\"/NAME\", \"--health\"]`")
    })?;
    let mut check = Healthcheck::default();
    for option in options.split_whitespace() {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "--interval" => check.interval = nanoseconds(value)?,
            "--timeout" => check.timeout = nanoseconds(value)?,
            "--start-period" => check.start_period = nanoseconds(value)?,
            "--retries" => {
                check.retries =
                    value.parse().map_err(|_| format!("`{value}` should be a number"))?
            }
            _ => {
                return Err(format!(
                    "`{name}` of HEALTHCHECK is not supported by `chefcito build`"
                ));
            }
        }
    }
    check.test = vec!["CMD".into()];
    check.test.extend(exec_form(command.trim())?);
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &str = include_str!("../../../containerfiles/orders/CONTAINERFILE");

    fn with_last_stage(stage: &str) -> Result<Containerfile, Unusable> {
        Containerfile::parse(&format!(
            "FROM rust:1 AS compile\nRUN cargo build\nFROM scratch\nCOPY --from=compile /b/tea /tea\n{stage}"
        ))
    }

    #[test]
    fn the_last_stage_becomes_the_configuration_of_an_image() {
        let orders = Containerfile::parse(ORDERS).unwrap();
        assert_eq!(
            (orders.compile_image.as_str(), orders.binary.as_str(), orders.path.as_str()),
            ("rust:1.95.0-bookworm", "orders", "/orders")
        );
        insta::assert_snapshot!(serde_json::to_string_pretty(&orders.config).unwrap());
    }

    #[test]
    fn words_may_be_quoted_continued_and_commented() {
        let file = with_last_stage(
            "LABEL a=\"two words\" \\\n # why\n  b='it''s' c=d\\ e\nENV X=1\nstopsignal SIGINT\n",
        )
        .unwrap();
        let label = |name: &str| file.config.labels[name].as_str();
        assert_eq!((label("a"), label("b"), label("c")), ("two words", "its", "d e"));
        assert_eq!(
            (file.config.env, file.config.stop_signal.as_str()),
            (vec!["X=1".to_owned()], "SIGINT")
        );
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        let refused = |stage| with_last_stage(stage).unwrap_err().to_string();
        assert_eq!(
            refused("VOLUME /data"),
            "line 5: `VOLUME` in the last stage is not supported by `chefcito build`"
        );
        assert!(refused("USER a\nENTRYPOINT /tea").starts_with("line 6: `/tea` should be like"));
        assert!(refused("COPY --from=compile /b/cup /cup").contains("a second"));
        assert!(refused("LABEL version=$VERSION").contains("variable"));
        assert!(refused("LABEL a=\"b").contains("not closed"));
        let parse = |text| Containerfile::parse(text).unwrap_err().to_string();
        let ignored = |line: &str| {
            let text = format!(
                "FROM rust:1 AS compile\nCOPY . .\n{line}\nFROM scratch\nCOPY --from=compile /b/a /a"
            );
            let refused = Containerfile::parse(&text).unwrap_err().to_string();
            let named = refused.strip_prefix("line 3: `chefcito build` would ignore `");
            let (named, _) = named.and_then(|named| named.split_once("`: ")).expect(&refused);
            named.to_owned()
        };
        assert_eq!(ignored("RUN apt-get update && apt-get install -y cmake"), "RUN apt-get update");
        assert_eq!(
            ignored("RUN cargo build --locked \\\n  --features extra"),
            "RUN cargo build --locked --features extra"
        );
        for line in [
            "RUN X=1 apt-get install cmake",
            "ENV RUSTFLAGS=-Ctarget-cpu=native",
            "COPY --from=tools /bin/protoc /bin/",
            "ARG VERSION=1",
            "FROM rust:1 AS other",
        ] {
            assert_eq!(ignored(line), line);
        }
        assert!(parse("").contains("a stage that compiles"));
        assert!(parse("FROM rust:1\nFROM debian").contains("not `FROM debian`"));
        assert!(parse("FROM rust:1\nFROM scratch\n").contains("copies no binary"));
    }
}
