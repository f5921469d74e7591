//! The limits of the parts by themselves, for comparison with the environment.

use std::time::{Duration, Instant};

use anyhow::Result;
use load::Plan;

use super::{
    closed,
    rows::{Rows, Way},
};
use crate::{
    figures::Figures,
    hello::Hello,
    options::Options,
    process::{Process, micros_each, number},
    stage::order,
};

/// Orders per commit: one, as many as there are connections, and the most of a writer.
const BATCHES: [usize; 3] = [1, 64, store::BATCH_MAX];

pub(super) async fn play(options: &Options, figures: &mut Figures) -> Result<()> {
    let each = options.duration() / 5;
    for (way, name) in [(Way::Accepted, "an accepted"), (Way::Delivered, "a delivered")] {
        for batch in BATCHES {
            let what = format!("rows of {name} order, {batch} a commit");
            figures.note(what, "orders/s", rate(way, batch, each)?);
        }
    }
    let hello = Hello::start()?;
    let (cpu, own) = (hello.process().cpu()?, Process::this().cpu()?);
    let plan = Plan { follow: false, ..closed(each) };
    let report = order(plan, &hello.target()).await?;
    figures.note("hello, 64 guests", "answers/s", report.accepted_rate());
    let server = hello.process().cpu()? - cpu;
    figures.note("hello, CPU of the server", "µs an answer", micros_each(server, report.accepted));
    let own = Process::this().cpu()? - own;
    figures.note("hello, CPU of the guests", "µs an answer", micros_each(own, report.accepted));
    Ok(())
}

/// Returns how many orders per second can be written; preparing the rows does not count.
fn rate(way: Way, batch: usize, duration: Duration) -> Result<f64> {
    let mut rows = Rows::create(way)?;
    let mut spent = Duration::ZERO;
    let mut orders = 0;
    while spent < duration {
        let batch_of_rows = rows.make(batch)?;
        let start = Instant::now();
        rows.write(&batch_of_rows)?;
        spent += start.elapsed();
        orders += batch as u64;
    }
    Ok(number(orders) / spent.as_secs_f64())
}
