mod feed;
pub(crate) mod link;
mod snapshot;
mod terminal;

use std::{io, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, ValueHint};
use contracts::{
    OrderId,
    api::{
        gateway::{Role, Story},
        live::View,
    },
};
use crossterm::event::{Event, EventStream};
use futures_util::{StreamExt, stream::FuturesUnordered};
use screen::{Action, Options, State, on_key};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use self::{
    feed::{Feed, News},
    terminal::Terminal,
};
use super::{connect, story::table};
use crate::{
    background::chain,
    clock::Clock,
    error::{CliError, Result},
    output::{Output, closed_or_broken},
    state::Environment,
};

/// The time between two frames, so that a terminal far away can follow: at most ten a second.
const FRAME_EVERY: Duration = Duration::from_millis(100);
/// How often ages are drawn anew.
const AGES_EVERY: Duration = Duration::from_secs(1);

/// Show the restaurant live: kitchen, stock, history, services, totals
#[derive(Debug, Args)]
#[command(after_help = "\
In a browser, a link signs in: once, within ten minutes. The session ends after twelve hours;
`chefcito keys list` shows it, `chefcito keys revoke` ends it.

Keys in the terminal: 1-5 or Tab for the five tabs, arrows or j/k for rows, Enter for the story of
an order, / to filter, ? for help, q to quit. It reconnects by itself, and says since when there are
no news.

A snapshot has the board, the last 200 orders, the stories of those that the board shows, recipes,
dead letters, and what an audit finds, but no key. What does not answer is left out, with a warning.
A file of that name is replaced.

Exit codes: 1 if it can't connect at first, no program opens a browser or the file can't be written,
3 if nothing is running.

Examples:
  chefcito board
  chefcito board --web                         Print a link that signs a browser in
  chefcito board --web --role viewer           … to look only
  chefcito board --open                        Open it in the browser
  chefcito board --snapshot friday.html        What there is now, as a page to send to others
  chefcito board --json | jq .summary.in_flight")]
#[command(group(ArgGroup::new("browser").args(["web", "open"]).multiple(true)))]
pub(crate) struct BoardArgs {
    /// Print a link to the page, which signs a browser in
    #[arg(long)]
    web: bool,
    /// Print it, and open it in the browser
    #[arg(long)]
    open: bool,
    /// What the browser may do: viewer (read), manager (also order and seed) or admin (everything) [default: admin]
    #[arg(long, requires = "browser")]
    role: Option<Role>,
    /// Write what there is now as one page, which opens in a browser without a server
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["browser", "json"])]
    snapshot: Option<PathBuf>,
    /// Print what there is now as JSON, and end
    #[arg(long, conflicts_with = "browser")]
    json: bool,
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
struct Document {
    schema_version: u32,
    #[serde(flatten)]
    view: View,
}

pub(crate) async fn run(args: BoardArgs, environment: &Environment, output: &Output) -> Result<()> {
    if args.web || args.open {
        return link::print(args.role, args.open, environment, output).await;
    }
    if let Some(path) = &args.snapshot {
        return snapshot::write(path, environment, output).await;
    }
    if !args.json && !output.stdout_is_drawable() {
        return Err(CliError::Failed {
            what: "the board needs a terminal to draw on".into(),
            hint: "`chefcito board --web` prints a link for a browser, `chefcito board --json` what there is now, and \
                   `--snapshot FILE` writes that as a page"
                .into(),
            source: None,
        });
    }
    let feed = Feed::open(environment).await?;
    if args.json {
        let view = feed.news().borrow().view.clone();
        return output.json(&Document { schema_version: 1, view });
    }
    let news = feed.news();
    tokio::select! {
        never = feed.follow() => match never {},
        ended = show(news, environment, output) => ended,
    }
}

/// Shows the news until the user quits.
async fn show(
    mut news: watch::Receiver<News>,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let clock = Clock::local();
    let mut state = first_state(&news.borrow_and_update(), &clock, environment, output);
    let mut terminal = Terminal::open(output.stdout_has_colors())?;
    let mut typed = EventStream::new();
    let mut stories = FuturesUnordered::new();
    let mut ages = interval(AGES_EVERY);
    ages.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next_frame = Instant::now();
    let mut is_drawn = false;
    loop {
        tokio::select! {
            () = sleep_until(next_frame), if !is_drawn => {
                terminal.draw(&state)?;
                next_frame = Instant::now() + FRAME_EVERY;
                is_drawn = true;
                continue;
            }
            event = typed.next() => match event {
                Some(Ok(Event::Key(key))) => match on_key(&mut state, key) {
                    None => {}
                    Some(Action::Quit) => return Ok(()),
                    Some(Action::Interrupt) => return Err(CliError::Interrupted),
                    Some(Action::Story(order)) => {
                        stories.clear();
                        stories.push(lines(order, environment, &clock));
                    }
                },
                // A new size.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(closed_or_broken(error)),
                None => return Err(closed_or_broken(io::ErrorKind::UnexpectedEof.into())),
            },
            Some((order, lines)) = stories.next() => state.show_story(order, lines),
            Ok(()) = news.changed() => {
                let news = news.borrow_and_update();
                state.show(news.view.clone(), news.came_at);
                state.set_address(news.address.to_string());
                state.set_stale(news.stale.clone());
            }
            _ = ages.tick() => {}
        }
        is_drawn = false;
    }
}

fn first_state(news: &News, clock: &Clock, environment: &Environment, output: &Output) -> State {
    let options = Options {
        name: environment.name().to_string(),
        address: news.address.to_string(),
        zone: clock.zone().clone(),
        colors: output.stdout_has_colors(),
    };
    State::new(options, news.view.clone(), news.came_at)
}

/// Returns the story of an order in lines, or why there is none.
async fn lines(
    order: OrderId,
    environment: &Environment,
    clock: &Clock,
) -> (OrderId, Result<Vec<String>, String>) {
    let asked = async {
        let client = connect(environment).await?;
        Ok(client.get::<Story>(&format!("/v1/orders/{order}/story")).await?)
    };
    let story = asked.await.map_err(|error: CliError| chain(&error));
    (order, story.map(|story| story_lines(&story, clock)))
}

fn story_lines(story: &Story, clock: &Clock) -> Vec<String> {
    let mut lines: Vec<String> = match story.events.is_empty() {
        true => vec!["It is no longer kept.".into()],
        false => table(story, clock).to_string().lines().map(Into::into).collect(),
    };
    if !story.events.is_empty() && !story.complete {
        lines.push("Older events are no longer kept (CHEFCITO_RETENTION).".into());
    }
    if !story.missing.is_empty() {
        lines.push(format!("Parts are missing: {} did not answer.", story.missing.join(", ")));
    }
    lines
}
