use std::time::{Duration, Instant};

use clap::Args;
use contracts::{
    OrderId,
    api::orders::{AskStates, Order, OrderStates, OrderStatus},
};

use super::connect;
use crate::{
    client::Client,
    error::{CliError, Result},
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
    /// Order to cancel
    order: OrderId,
    /// Only send the request, do not wait for the decision
    #[arg(long)]
    no_wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", env = "CHEFCITO_TIMEOUT", default_value = "60s")]
    timeout: humantime::Duration,
}

pub(crate) async fn run(
    args: CancelArgs,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let client = connect(environment)?;
    client.post_nothing(&format!("/v1/orders/{}/cancel", args.order)).await?;
    if args.no_wait {
        output.status(format_args!("Asked the kitchen to cancel {}", args.order));
        return Ok(());
    }
    let _waiting = Waiting::new(output, "Waiting for the kitchen's decision");
    let deadline = Instant::now() + Duration::from(args.timeout);
    loop {
        if let Some(decision) = decision(&order(&client, args.order).await?) {
            return match decision {
                Decision::Cancelled => output.data(format_args!("{} is cancelled", args.order)),
                Decision::Refused(why) => Err(CliError::Failed {
                    what: format!("order {} could not be cancelled: {why}", args.order),
                    hint: format!("look at `chefcito story {}`", args.order),
                    source: None,
                }),
            };
        }
        if Instant::now() >= deadline {
            return Err(CliError::Undecided { order: args.order, waited: args.timeout.into() });
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
