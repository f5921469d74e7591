//! The pages for readers: links, paths and tables are true, and commands do what the pages show.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, iter,
    path::{Path, PathBuf},
    process::Command,
};

use contracts::events::catalogue::{CATALOGUE, Key};
use serde_json::Value;
use uuid::Uuid;

use crate::chefcito::Home;

const PAGES: [&str; 4] =
    ["README.md", "cli/README.md", "manifests/README.md", "services/README.md"];
/// In place of lines of an output that a page leaves out.
const GAP: &str = "…";
/// What the language of a block is followed by if nothing in it is run here, before the reason.
const NOT_RUN: &str = "not run: ";

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut dead = Vec::new();
    for page in PAGES {
        for link in links(&prose(page)) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { root().join(page) } else { beside(page, path) };
            let is_there = if anchor.is_empty() {
                target.exists()
            } else {
                fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor))
            };
            dead.extend((!is_there).then(|| format!("{page}: {link}")));
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn every_path_that_a_page_names_is_there() {
    let is_path = |span: &&String| {
        let folders = ["cli/", "containerfiles/", "manifests/", "services/", ".ci/", ".github/"];
        let is_example = span.contains("NAME") || span.contains("do_it") || span.contains(' ');
        folders.iter().any(|folder| span.starts_with(folder)) && !is_example
    };
    let mut missing = Vec::new();
    for page in PAGES {
        let spans = spans(&prose(page));
        let named = spans.iter().filter(is_path).map(|span| root().join(span));
        let drawings = blocks(page).into_iter().filter(|block| block.language == "text");
        let drawn = drawings.flat_map(|block| tree(&block.text)).map(|path| beside(page, &path));
        missing.extend(named.chain(drawn).filter(|path| !path.exists()));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_command_and_every_option_on_a_page_is_one_of_chefcito() {
    let home = Home::new();
    let helps: String = commands_of_help(&home)
        .iter()
        .map(|command| home.must(&[command, "--help"]).stdout)
        .chain([home.must(&["market", "set", "--help"]).stdout])
        .collect();
    let options: BTreeSet<_> =
        helps.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).collect();
    for page in PAGES {
        let spans = spans(&prose(page));
        let unknown = |span: &&String| {
            let option = span.split([' ', '=']).next().unwrap();
            option.strip_prefix("--").is_some_and(|name| !name.is_empty())
                && !options.contains(option)
        };
        assert_eq!(spans.iter().find(unknown), None, "{page}: no command has this option");
        let written = blocks(page).into_iter().filter(is_shell);
        let scripts = written.flat_map(|block| commands(&block)).map(|(_, command, _)| command);
        for command in scripts.chain(spans).flat_map(|script| calls(&script)) {
            let ran = home.run(&command.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(ran.code, Some(0), "{page}: {ran}");
        }
    }
}

#[test]
fn every_variable_on_a_page_is_in_the_example() {
    let example = fs::read_to_string(root().join(".env.example")).unwrap();
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let names =
            text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        for name in names.filter(|name| name.len() > 9 && name.starts_with("CHEFCITO_")) {
            let name = name.strip_suffix("_FILE").unwrap_or(name);
            let is_known = example.contains(&format!("# {name}="));
            assert!(is_known || name.starts_with("CHEFCITO_TEST_"), "{page}: {name}");
        }
    }
}

#[test]
fn the_tables_name_every_command_exit_code_event_and_invariant() {
    let home = Home::new();
    let listed = cells(&table("cli/README.md", "to"), 1, spans);
    let listed: BTreeSet<_> = listed.into_iter().filter(|one| !one.starts_with('-')).collect();
    assert_eq!(listed, commands_of_help(&home), "commands");

    let help = home.must(&["--help"]).stdout;
    let numbers = |text: &str| -> BTreeSet<u8> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|one| one.parse().ok()).collect()
    };
    let codes: String =
        table("cli/README.md", "exit code").into_iter().map(|row| row[0].clone() + " ").collect();
    assert_eq!(numbers(&codes), numbers(help.split_once("Exit codes:").unwrap().1));

    let subject = |key| match key {
        Key::Order => "an order",
        Key::Ingredient => "an ingredient",
        Key::Menu => "the menu",
    };
    let catalogue = CATALOGUE.map(|entry| {
        [&format!("`{}`", entry.name), entry.writer, &entry.readers.join(", "), subject(entry.key)]
            .map(str::to_owned)
            .to_vec()
    });
    assert_eq!(table("services/README.md", "event"), catalogue, "events");

    home.must(&["up", "--port", "0", "--cooking-time", "0s"]);
    home.must(&["order", "--history", "history"]);
    let report = home.must(&["audit", "--json", "--history", "history"]).stdout;
    let report: Value = serde_json::from_str(&report).unwrap();
    let checked = report["invariants"].as_array().unwrap().iter();
    let checked: BTreeSet<_> =
        checked.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    let told = cells(&table("services/README.md", "invariant"), 0, spans);
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), checked, "invariants");
}

#[test]
fn the_first_page_does_what_it_shows() {
    run("README.md");
}

#[test]
fn the_page_of_the_command_line_does_what_it_shows() {
    run("cli/README.md");
}

#[test]
fn the_page_of_the_manifests_does_what_it_shows() {
    run("manifests/README.md");
}

#[test]
fn the_page_of_the_services_does_what_it_shows() {
    run("services/README.md");
}

/// Runs the commands of a page one after the other in a home of its own, and compares their outputs with those on the page.
#[expect(clippy::print_stderr, reason = "says what is not tested, and why")]
fn run(page: &str) {
    let home = Home::new();
    home.put_program("chefcito", &format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_chefcito")));
    let mut ids = BTreeMap::<String, String>::new();
    for block in blocks(page).into_iter().filter(is_shell) {
        if let Some(why) = &block.not_run {
            eprintln!("not run: {page}:{}: {why}", block.line);
            continue;
        }
        for (line, command, shown) in commands(&block) {
            if command.starts_with("curl") && Command::new("curl").arg("-V").output().is_err() {
                test_support::lacking("the program curl");
                continue;
            }
            let mut command = command;
            for (on_page, here) in &ids {
                command = command.replace(on_page, here);
            }
            if let Some(address) = address(&home) {
                command = command.replace("127.0.0.1:7373", &address);
            }
            let said = shell(&home, &command);
            if let Some(shown) = shown {
                let compared = compare(&shown, &said, &mut ids);
                assert!(compared.is_ok(), "{page}:{line}: no line as {compared:?} in\n{said}");
            }
        }
    }
}

/// Runs a command as a reader does, but at any free port; returns all that it said. It must succeed.
fn shell(home: &Home, command: &str) -> String {
    let plain = home.command(&[]);
    let ran = Command::new("/bin/sh")
        .args(["-ec", &format!("exec 2>&1\n{command}")])
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("CHEFCITO_PORT", "0")
        .current_dir(home.path())
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "$ {command}\n{said}{}", ran.status);
    said
}

/// Returns the address of the environment of this home, if it runs.
fn address(home: &Home) -> Option<String> {
    let record = fs::read(home.environment().join("environment.json")).ok()?;
    serde_json::from_slice::<Value>(&record).ok()?["address"].as_str().map(Into::into)
}

/// Finds each line of a page in an output: in order, and without lines between them but for a gap. Notes which id of the output
/// stands for which of the page. The error is the first line that is not there.
fn compare(shown: &[String], said: &str, ids: &mut BTreeMap<String, String>) -> Result<(), String> {
    let mut said = said.lines().filter(|line| !is_progress(line));
    let mut may_pass = false;
    for expected in shown {
        if expected == GAP {
            may_pass = true;
            continue;
        }
        let wanted = shape(expected);
        let found = said.by_ref().find(|line| shape(line) == wanted || !may_pass);
        let found = found.filter(|line| shape(line) == wanted).ok_or_else(|| expected.clone())?;
        ids.extend(uuids(expected).zip(uuids(found)));
        may_pass = false;
    }
    match said.next() {
        Some(line) if !may_pass => Err(format!("the end, before `{line}`")),
        _ => Ok(()),
    }
}

/// Returns whether a line says how far a command is: on a terminal, a bar does that, and vanishes.
fn is_progress(line: &str) -> bool {
    let begins = line.starts_with("Delivering ") || line.starts_with("Ordering ");
    begins && line.contains(" of ")
}

fn uuids(line: &str) -> impl Iterator<Item = String> {
    line.split_whitespace().filter(|word| word.parse::<Uuid>().is_ok()).map(str::to_owned)
}

/// Returns the words of a line, without what differs from run to run: ids, times, rates, ports and processes.
fn shape(line: &str) -> String {
    let is_number = |text: &str| text.parse::<f64>().is_ok();
    let mut shape: Vec<&str> = Vec::new();
    let mut words = line.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let bare = word.trim_matches(['(', ')', ',']);
        let is_time =
            words.peek().is_some_and(|unit| ["µs", "ms", "s"].contains(&unit.trim_matches(',')));
        shape.push(if is_number(bare) && is_time {
            words.next();
            "TIME"
        } else if bare.len() == 12 && bare.matches(':').count() == 2 {
            "TIME"
        } else if bare.parse::<Uuid>().is_ok() {
            "ID"
        } else if bare.strip_suffix("/s").is_some_and(is_number) {
            "RATE"
        } else if word.starts_with("http://127.0.0.1:") {
            "ADDRESS"
        } else if shape.last() == Some(&"(process") {
            "PROCESS"
        } else {
            word
        });
    }
    shape.join(" ")
}

/// A fenced block of a page.
struct Block {
    line: usize,
    language: String,
    not_run: Option<String>,
    text: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_in = false;
    for (line, text) in iter::zip(1.., text.lines()) {
        if let Some(info) = text.strip_prefix("```") {
            is_in = !is_in;
            if is_in {
                let (language, reason) = info.split_once(' ').unwrap_or((info, ""));
                let not_run = reason.strip_prefix(NOT_RUN).map(str::to_owned);
                assert!(reason.is_empty() || not_run.is_some(), "{page}:{line}: {info}");
                blocks.push(Block { line, language: language.into(), not_run, text: Vec::new() });
            }
        } else if is_in {
            blocks.last_mut().unwrap().text.push(text.into());
        }
    }
    blocks
}

fn is_shell(block: &Block) -> bool {
    match &*block.language {
        "sh" | "console" => true,
        "text" | "toml" | "yaml" => false,
        other => panic!("a block of {other}: can it be run?"),
    }
}

/// Returns the commands of a block, each with its line and, in a `console` block, with the output that the page shows.
fn commands(block: &Block) -> Vec<(usize, String, Option<Vec<String>>)> {
    let is_console = block.language == "console";
    let mut commands = Vec::new();
    let mut lines = iter::zip(block.line + 1.., &block.text);
    while let Some((number, line)) = lines.next() {
        match line.strip_prefix("$ ").or((!is_console).then_some(line)) {
            Some(first) => {
                let mut command = first.to_owned();
                while command.ends_with('\\')
                    || (command.contains("<<'END'") && !command.ends_with("\nEND"))
                {
                    command = command + "\n" + lines.next().unwrap().1;
                }
                commands.push((number, command, is_console.then(Vec::new)));
            }
            None => commands.last_mut().unwrap().2.as_mut().unwrap().push(line.clone()),
        }
    }
    commands
}

/// Returns the calls of chefcito in a script, each asking for help: arguments are read up to there, and refused if they are wrong.
fn calls(script: &str) -> Vec<Vec<String>> {
    let script = script.split(" #").next().unwrap().replace("ORDER", &Uuid::nil().to_string());
    let parts = script.split("&&").flat_map(|part| part.split(';')).map(str::trim);
    let parts = parts.filter_map(|part| {
        part.strip_prefix("chefcito ").or(part.strip_prefix("cargo run --release -- "))
    });
    parts
        .map(|part| part.split(" > ").next().unwrap())
        .map(|part| {
            let mut words: Vec<String> =
                part.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
            let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
            words.insert(end, "--help".into());
            words
        })
        .collect()
}

fn commands_of_help(home: &Home) -> BTreeSet<String> {
    let help = home.must(&["--help"]).stdout;
    let commands =
        help.split_once("Environment:").unwrap().1.split_once("Global options:").unwrap().0;
    let named = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    named.map(str::to_owned).collect()
}

/// Returns the rows of the first table of a page whose first column has this title.
fn table(page: &str, title: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let head = format!("| {title} |");
    let rows = text.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let rows = rows.map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(str::to_owned).collect()).collect()
}

fn cells(table: &[Vec<String>], column: usize, parts: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    table.iter().flat_map(|row| parts(&row[column])).collect()
}

/// Returns a page without its blocks.
fn prose(page: &str) -> String {
    let text = fs::read_to_string(root().join(page)).unwrap();
    text.split("\n```").step_by(2).collect()
}

/// Returns what stands between backticks.
fn spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the targets of links, but for those elsewhere on the web.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.starts_with("https://")).map(str::to_owned).collect()
}

/// Returns the anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    headings.map(anchor).collect()
}

/// Returns the paths of a drawn tree: a name begins a line, and two spaces more are a folder deeper. Other drawings have none.
fn tree(lines: &[String]) -> Vec<String> {
    let name = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let mut folders = Vec::new();
    let mut paths = Vec::new();
    for line in lines.iter().take_while(|_| name(&lines[0]).ends_with('/')) {
        let depth = (line.len() - line.trim_start().len()) / 2;
        if depth <= folders.len() {
            folders.truncate(depth);
            folders.push(name(line).trim_end_matches('/').to_owned());
            paths.push(folders.join("/"));
        }
    }
    paths
}

fn beside(page: &str, path: &str) -> PathBuf {
    root().join(page).parent().unwrap().join(path)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
