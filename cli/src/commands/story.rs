use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use contracts::{
    Timestamp,
    api::gateway::{Story, StoryEvent},
};
use serde::Serialize;
use serde_json::Value;

use super::connect;
use crate::{
    clock::Clock,
    completion,
    error::Result,
    order_prefix::OrderPrefix,
    output::{Output, Table},
    state::Environment,
};

/// Print what happened to an order, service by service, with times
#[derive(Debug, Args)]
pub(crate) struct StoryArgs {
    /// Order: its id, or a beginning that no other order has
    #[arg(add = ArgValueCandidates::new(completion::orders))]
    order: OrderPrefix,
    /// Print times in UTC, not in the zone of this machine
    #[arg(long, conflicts_with = "json")]
    utc: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    schema_version: u32,
    #[serde(flatten)]
    story: Story,
}

pub(crate) async fn run(args: StoryArgs, environment: &Environment, output: &Output) -> Result<()> {
    let client = connect(environment).await?;
    let order = args.order.find(&client, "story").await?;
    let story: Story = client.get(&format!("/v1/orders/{order}/story")).await?;
    if args.json {
        return output.json(&Document { schema_version: 1, story });
    }
    if story.events.is_empty() {
        output.status(format_args!("The story of {} is no longer kept", story.order));
    } else {
        output.data(table(&story, &Clock::new(args.utc)))?;
        if !story.complete {
            output.status(format_args!("Older events are no longer kept (CHEFCITO_RETENTION)"));
        }
    }
    if !story.missing.is_empty() {
        output.warn(format_args!("parts are missing: {} did not answer", story.missing.join(", ")));
    }
    Ok(())
}

/// Returns the events of a story, the first one first, with the clock's zone in the heading.
pub(super) fn table(story: &Story, clock: &Clock) -> Table<5> {
    let placed = story.events.first().map(|event| event.time).unwrap_or_default();
    let time = format!("time ({})", clock.zone_at(placed));
    let mut table =
        Table::new([time, "after".into(), "service".into(), "event".into(), "what".into()]);
    for event in &story.events {
        table.row([
            clock.time_of_day(event.time).to_string(),
            after(event.time, placed),
            event.service.clone(),
            event.event.clone(),
            words(event),
        ]);
    }
    table
}

fn after(time: Timestamp, placed: Timestamp) -> String {
    let micros = time.as_micros() - placed.as_micros();
    #[expect(clippy::cast_precision_loss, reason = "only a tenth of a millisecond is shown")]
    let ms = micros as f64 / 1e3;
    format!("{ms:+.1} ms")
}

/// Returns the event's data in short, without what other columns show.
fn words(event: &StoryEvent) -> String {
    let Value::Object(data) = &event.data else { return String::new() };
    let reported =
        data.iter().filter(|(name, _)| !matches!(name.as_str(), "order" | "recipe_version"));
    reported.filter_map(|(name, value)| word(name, value)).collect::<Vec<_>>().join(", ")
}

fn word(name: &str, value: &Value) -> Option<String> {
    let name = name.replace('_', " ");
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some(name),
        // The line has the time already.
        Value::String(text) if text.parse::<Timestamp>().is_ok() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(format!("{name} {number}")),
        Value::Object(quantities) => {
            let parts: Vec<_> =
                quantities.iter().map(|(what, quantity)| format!("{quantity} {what}")).collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        }
        Value::Array(items) => Some(format!("{} {name}", items.len())),
    }
}

#[cfg(test)]
mod tests {
    use contracts::{
        OrderId,
        services::{INVENTORY, KITCHEN, ORDERS},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_is_printed_in_aligned_lines() {
        let order: OrderId = "0192f3c4-5a6b-7c8d-9e0f-112233445566".parse().unwrap();
        let start = Timestamp::from_micros(1_769_860_800_000_000);
        let happened = |ms: u64, service: &str, event: &str, data: Value| StoryEvent {
            time: start.plus(std::time::Duration::from_micros(ms * 1_000 + 250)),
            service: service.into(),
            event: event.into(),
            version: 1,
            id: order.uuid(),
            traceparent: None,
            data,
        };
        let events = vec![
            happened(
                0,
                ORDERS,
                "order.placed",
                json!({"order": order, "number": 7, "dish": "salad", "placed_at": start}),
            ),
            happened(
                2,
                KITCHEN,
                "ingredients.requested",
                json!({"order": order, "number": 7, "dish": "salad", "recipe_version": 1, "needs": {"lemon": 1, "tomato": 2}}),
            ),
            happened(
                3,
                INVENTORY,
                "ingredients.reserved",
                json!({"order": order, "reserved": {"lemon": 1, "tomato": 2}, "waited": true}),
            ),
            happened(
                4,
                KITCHEN,
                "cooking.started",
                json!({"order": order, "dish": "salad", "stove": 3}),
            ),
            happened(1204, KITCHEN, "dish.prepared", json!({"order": order, "dish": "salad"})),
            happened(1206, ORDERS, "order.delivered", json!({"order": order, "dish": null})),
        ];
        let story = Story { order, events, missing: vec![], complete: true };
        insta::assert_snapshot!(table(&story, &Clock::utc()));
    }
}
