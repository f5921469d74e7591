//! Completions for shells. The script of a shell asks this program which words can follow; the answer knows the
//! environments of this user, their services, dishes and latest orders.
//!
//! Nothing is started, changed or reported: where something can't be found out, there are fewer candidates. The admin key
//! is sent only to an embedded process of this user, which holds the lock of its environment.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    time::Duration,
};

use clap_complete::{
    Shell,
    engine::CompletionCandidate,
    env::{EnvCompleter, Shells},
};
use client::Client;
use contracts::{
    OrderId,
    api::{kitchen::Menu, orders::OrderPage},
    services,
};
use files::open_regular;
use serde::de::DeserializeOwned;

use crate::{
    config::Runtime,
    error::Result,
    runtimes::compose,
    seeds,
    state::{EmbeddedState, Environment, EnvironmentName},
};

/// The variable by which the script of a shell asks. Its value is the shell's name.
const VARIABLE: &str = "_CHEFCITO_COMPLETE";
/// How long an environment may take to answer: a user waits for the completion.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(30);
/// How many of the latest orders are candidates.
const ORDERS_MAX: usize = 20;

/// Returns the script that makes a shell ask this program.
///
/// # Errors
/// Never in practice: it is written to memory.
pub(crate) fn script(shell: Shell) -> io::Result<Vec<u8>> {
    let mut script = Vec::new();
    if let Some(completer) = Shells::builtins().completer(&shell.to_string()) {
        completer.write_registration(VARIABLE, "chefcito", "chefcito", "chefcito", &mut script)?;
    }
    Ok(script)
}

/// Writes the words that can follow to stdout if a shell asks. Returns whether one asks.
pub(crate) fn answer(command_line: impl FnOnce() -> clap::Command) -> bool {
    let Some(shell) = env::var_os(VARIABLE) else { return false };
    let shells = Shells::builtins();
    let completer = shell.to_str().and_then(|shell| shells.completer(shell));
    // An error would be printed into the line that the user types.
    let _fewer_candidates = completer.map(|completer| complete(completer, command_line()));
    true
}

fn complete(completer: &dyn EnvCompleter, mut command_line: clap::Command) -> io::Result<()> {
    let words: Vec<OsString> = words().collect();
    if words.is_empty() {
        return Ok(());
    }
    let mut text = Vec::new();
    let folder = env::current_dir().ok();
    completer.write_complete(&mut command_line, words, folder.as_deref(), &mut text)?;
    io::stdout().write_all(&text)
}

/// Returns the words of the line that the user types.
fn words() -> impl Iterator<Item = OsString> {
    env::args_os().skip_while(|word| word != "--").skip(1)
}

/// Returns the environment that the line is about; `None` if its state folder is not safe to read.
fn environment() -> Option<Environment> {
    let mut name = env::var("CHEFCITO_NAME").ok().filter(|name| !name.is_empty());
    let mut words = words().filter_map(|word| word.into_string().ok());
    while let Some(word) = words.next() {
        match word.strip_prefix("--name") {
            Some("") => name = words.next().or(name),
            Some(value) => name = value.strip_prefix('=').map(str::to_owned).or(name),
            None => {}
        }
    }
    let name = name.unwrap_or_else(|| EnvironmentName::DEFAULT.into());
    let environment = Environment::locate(name.parse().ok()?).ok()?;
    environment.refuse_unsafe().ok()?;
    Some(environment)
}

/// Returns the environments of this user.
pub(crate) fn environments() -> Vec<CompletionCandidate> {
    let all = || -> Result<Vec<Environment>> {
        Environment::locate(EnvironmentName::DEFAULT.parse().map_err(anyhow::Error::msg)?)?.all()
    };
    let names = all().unwrap_or_default().into_iter().map(|one| one.name().to_string());
    names.map(CompletionCandidate::new).collect()
}

/// Returns the services that have containers or pods of their own; none for an embedded environment.
pub(crate) fn services_in_containers() -> Vec<CompletionCandidate> {
    names_in_containers().into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the same services for `scale`: the user adds the number.
pub(crate) fn services_to_scale() -> Vec<CompletionCandidate> {
    names_in_containers()
        .into_iter()
        .map(|name| CompletionCandidate::new(format!("{name}=")))
        .collect()
}

fn names_in_containers() -> Vec<String> {
    let settings = environment().and_then(|environment| environment.former_settings().ok()?);
    let runtime = settings.map(|settings| settings.runtime);
    let of_file = match runtime {
        Some(Runtime::Embedded) => return Vec::new(),
        Some(Runtime::Compose) => compose::services(),
        Some(Runtime::Kubernetes) | None => None,
    };
    let usual = || services::ALL.into_iter().chain(["postgres", "redis"]).map(Into::into);
    of_file.unwrap_or_else(|| usual().collect())
}

/// Returns the dishes on the menu of an embedded environment, or else those of the built-in recipes.
pub(crate) fn dishes() -> Vec<CompletionCandidate> {
    let recipes = match environment().and_then(|environment| ask(&environment, "/v1/recipes")) {
        Some(Menu { recipes, .. }) => recipes,
        None => seeds::check(&seeds::built_in()).map(|seeds| seeds.recipes).unwrap_or_default(),
    };
    recipes.into_iter().map(|recipe| CompletionCandidate::new(in_shell(&recipe.name))).collect()
}

/// Returns the latest orders, newest first: of an embedded environment all, else those that `order` placed.
pub(crate) fn orders() -> Vec<CompletionCandidate> {
    let Some(environment) = environment() else { return Vec::new() };
    let path = format!("/v1/orders?limit={ORDERS_MAX}");
    if let Some(OrderPage { orders, .. }) = ask(&environment, &path) {
        let candidate = |order: contracts::api::orders::Order| {
            let dish = order.dish.map(|dish| format!("{dish}, ")).unwrap_or_default();
            let help = format!("{dish}{}", order.status.name());
            CompletionCandidate::new(order.id.to_string()).help(Some(help.into()))
        };
        return orders.into_iter().map(candidate).collect();
    }
    let noted = noted_orders(&environment).unwrap_or_default();
    noted.into_iter().map(|order| CompletionCandidate::new(order.to_string())).collect()
}

/// Asks an embedded environment; `None` if it does not run, or does not answer at once.
fn ask<T: DeserializeOwned>(environment: &Environment, path: &str) -> Option<T> {
    let EmbeddedState::Running(record) = environment.embedded().ok()? else { return None };
    let client = Client::new(record.address, &environment.admin_key().ok()?).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(client.waiting(ANSWER_WAIT_MAX).get(path)).ok()
}

/// Returns the last orders of the newest ledger, newest first.
fn noted_orders(environment: &Environment) -> io::Result<Vec<OrderId>> {
    const TAIL_BYTES_MAX: u64 = 4096;
    let ledgers = fs::read_dir(environment.ledgers())?.flatten().map(|entry| entry.path());
    let Some(newest) = ledgers.max() else { return Ok(Vec::new()) };
    let mut ledger = open_regular(&newest)?;
    let length = ledger.metadata()?.len();
    ledger.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
    let mut tail = Vec::new();
    ledger.take(TAIL_BYTES_MAX).read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    let ids = tail.lines().rev().filter_map(|line| line.split(' ').next()?.parse().ok());
    Ok(ids.take(ORDERS_MAX).collect())
}

/// Returns a name as the line of the shell needs it: bash takes it as it is, others quote it.
fn in_shell(name: &str) -> String {
    let is_bash = env::var_os(VARIABLE).is_some_and(|shell| shell == "bash");
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if !is_bash {
        return name.to_owned();
    }
    let escaped = |letter| {
        let escape = if is_plain(letter) { "" } else { "\\" };
        format!("{escape}{letter}")
    };
    name.chars().map(escaped).collect()
}
