use std::time::{Duration, Instant};

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use client::Client;
use contracts::{
    OrderId,
    api::orders::{AskStates, Order, OrderStates, OrderStatus},
};

use super::{connect, duration};
use crate::{
    completion,
    error::{CliError, Result},
    order_prefix::OrderPrefix,
    output::Output,
    progress::Waiting,
    state::Environment,
};

/// How often the command asks for the kitchen's decision.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Cancel an order, as long as the kitchen has not begun to cook it
///
/// Waits for the kitchen's decision, and fails if the order is cooked or delivered already.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// Order to cancel: its id, or a beginning that no other order has
    #[arg(add = ArgValueCandidates::new(completion::orders))]
    order: OrderPrefix,
    /// Only send the request, do not wait for the decision
    #[arg(long)]
    no_wait: bool,
    /// How long to wait
    #[arg(
        long,
        value_name = "DURATION",
        env = "CHEFCITO_ORDER_TIMEOUT",
        default_value = "60s",
        value_parser = duration
    )]
    timeout: Duration,
}

pub(crate) async fn run(
    args: CancelArgs,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let client = connect(environment).await?;
    let id = args.order.find(&client, "cancel").await?;
    client.post_nothing(&format!("/v1/orders/{id}/cancel")).await?;
    if args.no_wait {
        output.status(format_args!("Asked the kitchen to cancel {id}"));
        return Ok(());
    }
    let _waiting = Waiting::new(output, "Waiting for the kitchen's decision");
    let deadline = Instant::now() + args.timeout;
    loop {
        if let Some(decision) = decision(&order(&client, id).await?) {
            return match decision {
                Decision::Cancelled => output.data(format_args!("{id} is cancelled")),
                Decision::Refused(why) => Err(CliError::Failed {
                    what: format!("order {id} could not be cancelled: {}", printable::line(&why)),
                    hint: format!("look at `chefcito story {id}`"),
                    source: None,
                }),
            };
        }
        if Instant::now() >= deadline {
            return Err(CliError::Undecided { order: id, waited: args.timeout });
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn order(client: &Client, id: OrderId) -> Result<Order> {
    let states: OrderStates =
        client.post("/v1/orders/states", &AskStates { ids: vec![id] }).await?;
    states
        .orders
        .into_iter()
        .next()
        .ok_or_else(|| CliError::failed(format!("there is no order {id}")))
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Cancelled,
    Refused(String),
}

/// Returns the kitchen's decision; `None` as long as there is none.
fn decision(order: &Order) -> Option<Decision> {
    let refused = |otherwise: &str| {
        Decision::Refused(order.reason.clone().unwrap_or_else(|| otherwise.into()))
    };
    match order.status {
        OrderStatus::Cancelled => Some(Decision::Cancelled),
        OrderStatus::Delivered => Some(refused("it is delivered")),
        OrderStatus::Rejected => Some(refused("the kitchen rejected it")),
        OrderStatus::Cooking => Some(refused("it is on the stove")),
        // With a reason, the kitchen has refused, and only the next status is not published yet.
        OrderStatus::Placed | OrderStatus::Cancelling => order.reason.as_ref().map(|_| refused("")),
    }
}
