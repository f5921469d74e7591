use std::{ops::RangeInclusive, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use contracts::api::market_sim::{ChangeMarketSim, MarketSim};
use serde::Serialize;

use super::{connect, duration};
use crate::{
    error::Result,
    output::{Output, Table},
    state::Environment,
};

/// Show, change or reset the simulated market, which stands in for the farmers' market
///
/// For development only: production has no simulated market.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  chefcito market                                      Show its settings and its sales
  chefcito market set --quantity 1-10 --zeros 0.3      Sell 1 to 10, and nothing 3 times of 10
  chefcito market set --outage on                      Answer no call
  chefcito market set --errors 0.1 --delay 20ms        Fail every tenth time, after 20 ms
  chefcito market reset                                Restore the initial settings"
)]
pub(crate) struct MarketArgs {
    #[command(subcommand)]
    command: Option<MarketCommand>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum MarketCommand {
    /// Show its settings and its sales; the default
    Show(Format),
    /// Change settings at once, also while orders run; the others stay as they are
    Set(SetArgs),
    /// Restore the initial settings; the sales stay
    Reset(Format),
}

#[derive(Clone, Copy, Debug, Args)]
struct Format {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SetArgs {
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct ChangeArgs {
    /// Quantity of a sale
    #[arg(long, value_name = "MIN-MAX", value_parser = quantities)]
    quantity: Option<RangeInclusive<i64>>,
    /// Share of sales that deliver nothing, from 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    zeros: Option<f64>,
    /// How long an answer takes
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    delay: Option<Duration>,
    /// Share of calls that fail, from 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    errors: Option<f64>,
    /// Whether the market answers no call at all
    #[arg(long)]
    outage: Option<Switch>,
    /// Seed of the random draws
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Parses `1-10`, or `5` for always five.
fn quantities(text: &str) -> Result<RangeInclusive<i64>, String> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    let read = |number: &str| number.trim().parse::<i64>().ok();
    match (read(least), read(most)) {
        (Some(least), Some(most)) if (0..=most).contains(&least) => Ok(least..=most),
        _ => {
            Err("it should be two numbers that are not below 0, the smaller first, such as 1-10"
                .into())
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "it should be a number from 0 to 1, such as 0.3".into())
}

impl ChangeArgs {
    fn change(&self) -> ChangeMarketSim {
        ChangeMarketSim {
            quantity_min: self.quantity.as_ref().map(|quantity| *quantity.start()),
            quantity_max: self.quantity.as_ref().map(|quantity| *quantity.end()),
            zeros: self.zeros,
            delay_ms: self.delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
            errors: self.errors,
            outage: self.outage.map(|outage| outage == Switch::On),
            seed: self.seed,
        }
    }
}

#[derive(Debug, Serialize)]
struct Document {
    schema_version: u32,
    #[serde(flatten)]
    market_sim: MarketSim,
}

pub(crate) async fn run(
    args: MarketArgs,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let client = connect(environment).await?;
    let (market_sim, format): (MarketSim, Format) = match args.command {
        None => (client.get("/v1/market").await?, args.format),
        Some(MarketCommand::Show(format)) => (client.get("/v1/market").await?, format),
        Some(MarketCommand::Set(SetArgs { change, format })) => {
            (client.put("/v1/market", &change.change()).await?, format)
        }
        Some(MarketCommand::Reset(format)) => (client.reset("/v1/market").await?, format),
    };
    match format.json {
        true => output.json(&Document { schema_version: 1, market_sim }),
        false => show(&market_sim, output),
    }
}

fn show(market_sim: &MarketSim, output: &Output) -> Result<()> {
    let settings = &market_sim.settings;
    let mut table = Table::new(["setting", "value"]);
    table.row(["quantity".into(), format!("{}-{}", settings.quantity_min, settings.quantity_max)]);
    table.row(["zeros".into(), settings.zeros.to_string()]);
    table.row(["delay".into(), format!("{} ms", settings.delay_ms)]);
    table.row(["errors".into(), settings.errors.to_string()]);
    table.row(["outage".into(), if settings.outage { "on".into() } else { "off".into() }]);
    table.row(["seed".into(), settings.seed.to_string()]);
    output.data(table)?;
    output.data(format_args!("\n{} sales", market_sim.sales))?;
    if market_sim.sold.is_empty() {
        return Ok(());
    }
    let mut sold = Table::new(["ingredient", "sold"]);
    for (ingredient, quantity) in &market_sim.sold {
        sold.row([ingredient.to_string(), quantity.to_string()]);
    }
    output.data(sold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_a_range_or_one_number() {
        assert_eq!(quantities("1-10"), Ok(1..=10));
        assert_eq!(quantities("5"), Ok(5..=5));
        assert_eq!(quantities("0-0"), Ok(0..=0));
        for wrong in ["", "-", "10-1", "-1-3", "1-", "a-b", "1-2-3", "99999999999999999999"] {
            assert!(quantities(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_between_nothing_and_all() {
        assert_eq!(share("0.3"), Ok(0.3));
        for wrong in ["", "-0.1", "1.1", "nan", "30%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
