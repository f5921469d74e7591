use clap::{Args, Subcommand, builder::PossibleValuesParser};
use client::Client;
use contracts::{
    api::{gateway::DeadLetters, service::DeadLetter},
    services,
};
use serde::Serialize;
use uuid::Uuid;

use super::connect;
use crate::{
    confirmation::Confirmation,
    error::Result,
    output::{Output, Table},
    signals::Signals,
    state::Environment,
};

/// How many characters of an error a table shows.
const ERROR_CHARS_MAX: usize = 80;
/// How often the list is read again to take more than one page: 1,000 letters a service each time.
const ROUNDS_MAX: usize = 1_000;

/// List, replay and drop the events that a service failed to process
#[derive(Debug, Args)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// List them, oldest first
    List {
        /// As JSON, with the whole events
        #[arg(long)]
        json: bool,
    },
    /// Give them back to their services for another try
    Replay(Chosen),
    /// Delete them; a user at a terminal is asked for confirmation
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// The dead letters to act on: one, all of a service, or all.
#[derive(Debug, Args)]
struct Chosen {
    /// Service that failed to process them
    #[arg(required_unless_present = "all", value_parser = PossibleValuesParser::new(services::ALL))]
    service: Option<String>,
    /// Id of the event, as `dead-letters list` shows it
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<Uuid>,
    /// All of them, or all of the service
    #[arg(long)]
    all: bool,
}

impl Chosen {
    fn has(&self, letter: &DeadLetter) -> bool {
        self.service.as_ref().is_none_or(|service| *service == letter.service)
            && self.id.is_none_or(|id| id == letter.id)
    }
}

#[derive(Debug, Serialize)]
struct Document {
    schema_version: u32,
    #[serde(flatten)]
    letters: DeadLetters,
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Replay,
    Drop,
}

impl Deed {
    const fn done(self) -> &'static str {
        match self {
            Self::Replay => "Replayed",
            Self::Drop => "Dropped",
        }
    }

    async fn to(self, client: &Client, service: &str, id: Uuid) -> Result<()> {
        match self {
            Self::Replay => {
                client.post_nothing(&format!("/v1/dead-letters/{service}/{id}/replay")).await?
            }
            Self::Drop => client.delete(&format!("/v1/dead-letters/{service}/{id}")).await?,
        }
        Ok(())
    }
}

pub(crate) async fn run(
    args: DeadLettersArgs,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let client = signals.or(connect(environment)).await?;
    if let DeadLettersCommand::Drop { chosen, confirmation } = &args.command
        && confirmation.is_needed()
        && let Some(loss) = signals.or(loss(chosen, &client, environment)).await?
    {
        confirmation.ask(loss, output, signals).await?;
    }
    signals.or(act_on(args.command, &client, output)).await
}

async fn act_on(command: DeadLettersCommand, client: &Client, output: &Output) -> Result<()> {
    match command {
        DeadLettersCommand::List { json } => {
            let letters = list(client).await?;
            if json {
                return output.json(&Document { schema_version: 1, letters });
            }
            if letters.dead_letters.is_empty() {
                output.status(format_args!("There are no dead letters"));
                return Ok(());
            }
            output.data(table(&letters.dead_letters))
        }
        DeadLettersCommand::Replay(chosen) => act(Deed::Replay, &chosen, client, output).await,
        DeadLettersCommand::Drop { chosen, .. } => act(Deed::Drop, &chosen, client, output).await,
    }
}

/// Returns which events are deleted, and how many there are now; `None` if there are none.
///
/// # Errors
/// As [`Client::get`].
async fn loss(
    chosen: &Chosen,
    client: &Client,
    environment: &Environment,
) -> Result<Option<String>> {
    let letters = list(client).await?.dead_letters;
    let count = letters.iter().filter(|letter| chosen.has(letter)).count();
    let letters = if count == 1 { "dead letter" } else { "dead letters" };
    let of = chosen.service.as_deref().unwrap_or("all services");
    let loss = format!("This deletes {count} {letters} of {of} in `{}`", environment.name());
    Ok((count > 0).then_some(loss))
}

async fn list(client: &Client) -> Result<DeadLetters> {
    Ok(client.get("/v1/dead-letters").await?)
}

async fn act(deed: Deed, chosen: &Chosen, client: &Client, output: &Output) -> Result<()> {
    if let (Some(service), Some(id)) = (&chosen.service, chosen.id) {
        deed.to(client, service, id).await?;
        output.status(format_args!("{} {id} of {service}", deed.done()));
        return Ok(());
    }
    // A replayed letter may come back: take each one once.
    let mut done = std::collections::BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let letters = list(client).await?.dead_letters;
        let new = |letter: &&DeadLetter| !done.contains(&(letter.service.clone(), letter.id));
        let left: Vec<DeadLetter> =
            letters.iter().filter(|letter| chosen.has(letter)).filter(new).cloned().collect();
        if left.is_empty() {
            break;
        }
        for letter in left {
            deed.to(client, &letter.service, letter.id).await?;
            done.insert((letter.service, letter.id));
        }
    }
    output.status(format_args!(
        "{} {} dead {}",
        deed.done(),
        done.len(),
        if done.len() == 1 { "letter" } else { "letters" }
    ));
    Ok(())
}

fn table(letters: &[DeadLetter]) -> Table<6> {
    let mut table = Table::new(["service", "id", "event", "failed", "tries", "error"]);
    for letter in letters {
        table.row([
            letter.service.clone(),
            letter.id.to_string(),
            letter.kind.clone(),
            letter.failed_at.to_string(),
            letter.attempts.to_string(),
            letter.error.chars().take(ERROR_CHARS_MAX).collect(),
        ]);
    }
    table
}
