//! One order, from the outboxes of all who tell of orders.

use backends::{Backends, LIST_WAIT_MAX};
use contracts::{
    OrderId,
    api::{
        gateway::{Story, StoryEvent},
        orders::Order,
        service::Events,
    },
    events::{
        Envelope, Event, OrderPlaced,
        catalogue::{CATALOGUE, Key},
    },
    services::ORDERS,
};
use service::problem::Problem;

/// Tells what happened to an order.
///
/// # Errors
/// 404 if there is no such order, 503 if none of the services that keep its events could be asked.
pub(crate) async fn tell_story(services: &Backends, order: OrderId) -> Result<Story, Problem> {
    let path = format!("/internal/events?subject={order}");
    let path = path.as_str();
    let asked = services.ask_all(async |service, backend| {
        if tells_of_orders(service) {
            Some(backend.get::<Events>(path, LIST_WAIT_MAX).await)
        } else {
            None
        }
    });
    let mut events = Vec::new();
    let mut missing = Vec::new();
    for (service, answer) in asked.await {
        match answer {
            Some(Ok(told)) => events.extend(told.events),
            Some(Err(_)) => missing.push(service.to_owned()),
            None => {}
        }
    }
    if events.is_empty() {
        make_sure_of(services, order).await?;
    }
    let events = in_order(events);
    let begins = events.iter().any(|event| event.name() == OrderPlaced::NAME);
    let complete = begins || missing.iter().any(|service| service == ORDERS);
    Ok(Story { order, events: events.into_iter().map(told).collect(), missing, complete })
}

fn tells_of_orders(service: &str) -> bool {
    CATALOGUE.iter().any(|entry| entry.writer == service && entry.key == Key::Order)
}

/// Makes sure that there is such an order, although nothing is told of it any more.
async fn make_sure_of(services: &Backends, order: OrderId) -> Result<(), Problem> {
    let Some(orders) = services.get(ORDERS) else { return Err(Problem::internal()) };
    match orders.get::<Order>(&format!("/v1/orders/{order}"), LIST_WAIT_MAX).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => {
            Err(Problem::not_found(format!("There is no order {order}.")))
        }
        Err(_) => Err(Problem::unavailable("The orders service can't be asked.")),
    }
}

/// Puts events of several clocks in order: by time, and at the same microsecond as an order meets them.
fn in_order(mut events: Vec<Envelope>) -> Vec<Envelope> {
    let place = |event: &Envelope| {
        CATALOGUE.iter().position(|entry| entry.name == event.name()).unwrap_or(CATALOGUE.len())
    };
    events.sort_by_cached_key(|event| (event.time, place(event), event.id));
    events.dedup_by_key(|event| event.id);
    events
}

fn told(event: Envelope) -> StoryEvent {
    StoryEvent {
        time: event.time,
        service: event.service().to_owned(),
        event: event.name().to_owned(),
        version: event.name_and_version().map_or(0, |(_, version)| version),
        id: event.id,
        data: serde_json::from_str(event.data.get()).unwrap_or_default(),
        traceparent: event.traceparent,
    }
}
