//! The one table of what may be asked: who answers, who may ask, and in which words. Dispatch, permissions, figures and the
//! OpenAPI document all derive from it. What is not in it is denied.

mod route;

use axum::http::{Method, StatusCode};
use contracts::{
    api::{
        audit::{AuditOptions, AuditReport, Ledger},
        board::Summary,
        gateway::{
            AddKey, AddedKey, DeadLetters, Keys, MakeSignInLink, OpenSession, Role, Session,
            SignInLink, Status, Story,
        },
        inventory::{
            AdjustStock, BookingOptions, ListPurchases, OpenStock, PurchasePage, Stock,
            StockChanges,
        },
        kitchen::{Menu, MenuChanges, SeedOptions},
        live::{Change, View, WatchOptions},
        market_sim::{ChangeMarketSim, MarketSim},
        orders::{AskStates, ListOrders, Order, OrderPage, OrderStates, PlaceOrders, PlacedOrders},
        proof::{self, AskProof, Proof},
    },
    services::{BOARD, INVENTORY, KITCHEN, MARKET_SIM, ORDERS},
};

pub(crate) use self::route::{Access, Answer, Own, Route, Shape, Target};
use crate::page::File;

/// Returns every route of an environment, with or without a simulated market.
pub(crate) fn table(has_market_sim: bool) -> Vec<Route> {
    let mut routes = public();
    routes.extend(browsers());
    routes.extend(guests());
    routes.extend(larder());
    routes.extend(overview());
    routes.extend(administration());
    if has_market_sim {
        routes.extend(market_sim());
    }
    routes
}

fn public() -> Vec<Route> {
    let own = |path, name, own, summary| {
        Route::new(Method::GET, path, name, Access::Anyone, Target::Own(own), summary)
    };
    vec![
        own("/", "greet", Own::Greeting, "Say what this is").says(Answer::Text),
        own("/health", "health", Own::Health, "Say that the gateway runs").says(Answer::Text),
        own("/ready", "ready", Own::Ready, "Say whether the gateway can answer by itself")
            .says(Answer::Text),
        own("/openapi.json", "openapi", Own::OpenApi, "Tell this document").says(Answer::Object),
        own(proof::PATH, "prove", Own::Proof, "Prove that this gateway holds the first admin key")
            .query::<AskProof>()
            .answers::<Proof>(),
    ]
}

fn browsers() -> Vec<Route> {
    let page = |path, name, file, summary| {
        let target = Target::Own(Own::Page(file));
        Route::new(Method::GET, path, name, Access::Anyone, target, summary)
            .says(Answer::Page(file))
    };
    let (link, session) = ("/v1/sign-in-links", "/v1/session");
    vec![
        page("/board", "page", File::Document, "Show the restaurant in a browser"),
        page("/board/app.js", "page_script", File::Script, "Tell the script of the page"),
        page("/board/app.css", "page_style", File::Style, "Tell the style of the page"),
        viewer(
            Method::POST,
            link,
            "make_sign_in_link",
            Target::Own(Own::MakeSignInLink),
            "Make a link by which a browser signs in, once",
        )
        .for_keys()
        .may_take::<MakeSignInLink>()
        .with(StatusCode::CREATED)
        .answers::<SignInLink>(),
        Route::new(
            Method::POST,
            session,
            "open_session",
            Access::Anyone,
            Target::Own(Own::OpenSession),
            "Sign in by a link: the answer sets the cookie of a session",
        )
        .takes::<OpenSession>()
        .with(StatusCode::CREATED)
        .answers::<Session>(),
        viewer(Method::GET, session, "get_session", Target::Own(Own::GetSession), "Tell who asks")
            .answers::<Session>(),
        viewer(
            Method::DELETE,
            session,
            "close_session",
            Target::Own(Own::CloseSession),
            "Sign out: end the session",
        )
        .with(StatusCode::NO_CONTENT),
    ]
}

fn guests() -> Vec<Route> {
    let orders = Target::Service(ORDERS);
    vec![
        manager(Method::POST, "/v1/orders", "place_orders", orders, "Place one order, or several")
            .idempotent()
            .may_take::<PlaceOrders>()
            .with(StatusCode::ACCEPTED)
            .answers::<PlacedOrders>(),
        viewer(Method::GET, "/v1/orders", "list_orders", orders, "List orders, newest first")
            .query::<ListOrders>()
            .answers::<OrderPage>(),
        viewer(Method::GET, "/v1/orders/{id}", "get_order", orders, "Tell where an order is")
            .answers::<Order>(),
        viewer(
            Method::POST,
            "/v1/orders/states",
            "ask_states",
            orders,
            "Tell where up to 1,000 orders are",
        )
        .only_asks()
        .takes::<AskStates>()
        .answers::<OrderStates>(),
        manager(
            Method::POST,
            "/v1/orders/{id}/cancel",
            "cancel_order",
            orders,
            "Ask the kitchen to cancel an order",
        )
        .with(StatusCode::ACCEPTED)
        .answers::<Order>(),
        viewer(
            Method::GET,
            "/v1/orders/{id}/story",
            "tell_story",
            Target::Own(Own::Story),
            "Tell what happened to an order, service by service",
        )
        .answers::<Story>(),
    ]
}

fn larder() -> Vec<Route> {
    let (kitchen, inventory) = (Target::Service(KITCHEN), Target::Service(INVENTORY));
    vec![
        viewer(Method::GET, "/v1/recipes", "get_recipes", kitchen, "Show the menu")
            .answers::<Menu>(),
        manager(Method::PUT, "/v1/recipes", "put_recipes", kitchen, "Replace recipes by name")
            .query::<SeedOptions>()
            .takes::<Menu>()
            .answers::<MenuChanges>(),
        viewer(Method::GET, "/v1/stock", "get_stock", inventory, "Show what is on the shelves")
            .answers::<Stock>(),
        manager(
            Method::PUT,
            "/v1/stock",
            "open_stock",
            inventory,
            "Book opening quantities, once an ingredient",
        )
        .query::<BookingOptions>()
        .takes::<OpenStock>()
        .answers::<StockChanges>(),
        manager(
            Method::POST,
            "/v1/stock/adjustments",
            "adjust_stock",
            inventory,
            "Book what makes the shelves hold what is said",
        )
        .idempotent()
        .query::<BookingOptions>()
        .takes::<AdjustStock>()
        .answers::<StockChanges>(),
        viewer(
            Method::GET,
            "/v1/purchases",
            "list_purchases",
            inventory,
            "List purchases, newest first",
        )
        .query::<ListPurchases>()
        .answers::<PurchasePage>(),
    ]
}

fn overview() -> Vec<Route> {
    vec![
        viewer(
            Method::GET,
            "/v1/live",
            "watch",
            Target::Own(Own::Live),
            "Watch the restaurant as it changes, as server-sent events or at a WebSocket",
        )
        .query::<WatchOptions>()
        .says(Answer::Events([Shape::of::<View>(), Shape::of::<Change>()])),
        viewer(
            Method::GET,
            "/metrics",
            "metrics",
            Target::Own(Own::Metrics),
            "Tell the figures, as Prometheus reads them",
        )
        .says(Answer::Figures),
        viewer(
            Method::GET,
            "/v1/summary",
            "get_summary",
            Target::Service(BOARD),
            "Show the environment at a glance",
        )
        .answers::<Summary>(),
        viewer(
            Method::GET,
            "/v1/status",
            "get_status",
            Target::Own(Own::Status),
            "Show every service: whether it is ready, and what waits in it",
        )
        .answers::<Status>(),
        manager(
            Method::GET,
            "/v1/audit",
            "audit",
            Target::Own(Own::Audit),
            "Check what must always hold, across services",
        )
        .query::<AuditOptions>()
        .answers::<AuditReport>(),
        viewer(
            Method::POST,
            "/v1/audit/ledger",
            "audit_ledger",
            Target::Own(Own::AuditLedger),
            "Check that orders which a client was told are accepted exist",
        )
        .only_asks()
        .takes::<Ledger>()
        .answers::<AuditReport>(),
    ]
}

fn administration() -> Vec<Route> {
    let own = |method, path, name, own, summary| {
        Route::new(method, path, name, Access::Needs(Role::Admin), Target::Own(own), summary)
    };
    vec![
        own(
            Method::GET,
            "/v1/keys",
            "list_keys",
            Own::ListKeys,
            "List keys, without their secrets",
        )
        .answers::<Keys>(),
        own(Method::POST, "/v1/keys", "add_key", Own::AddKey, "Make a key, and show it once")
            .for_keys()
            .takes::<AddKey>()
            .with(StatusCode::CREATED)
            .answers::<AddedKey>(),
        own(Method::DELETE, "/v1/keys/{id}", "revoke_key", Own::RevokeKey, "Revoke a key")
            .with(StatusCode::NO_CONTENT),
        own(
            Method::GET,
            "/v1/dead-letters",
            "list_dead_letters",
            Own::ListDeadLetters,
            "List the events that services could not act on",
        )
        .answers::<DeadLetters>(),
        own(
            Method::POST,
            "/v1/dead-letters/{service}/{id}/replay",
            "replay_dead_letter",
            Own::ReplayDeadLetter,
            "Let a service act on an event once more",
        )
        .with(StatusCode::NO_CONTENT),
        own(
            Method::DELETE,
            "/v1/dead-letters/{service}/{id}",
            "drop_dead_letter",
            Own::DropDeadLetter,
            "Forget an event that could not be acted on",
        )
        .with(StatusCode::NO_CONTENT),
    ]
}

fn market_sim() -> Vec<Route> {
    let market_sim = |method, name, summary| {
        let admin = Access::Needs(Role::Admin);
        Route::new(method, "/v1/market", name, admin, Target::Service(MARKET_SIM), summary)
    };
    vec![
        market_sim(
            Method::GET,
            "get_market_sim",
            "Show what the simulated market is told to be, and what it sold",
        )
        .answers::<MarketSim>(),
        market_sim(Method::PUT, "change_market_sim", "Tell the simulated market what to be")
            .may_take::<ChangeMarketSim>()
            .answers::<MarketSim>(),
        market_sim(
            Method::DELETE,
            "reset_market_sim",
            "Make the simulated market what it begins as; what it sold stays",
        )
        .answers::<MarketSim>(),
    ]
}

fn viewer(
    method: Method,
    path: &'static str,
    name: &'static str,
    target: Target,
    summary: &'static str,
) -> Route {
    Route::new(method, path, name, Access::Needs(Role::Viewer), target, summary)
}

fn manager(
    method: Method,
    path: &'static str,
    name: &'static str,
    target: Target,
    summary: &'static str,
) -> Route {
    Route::new(method, path, name, Access::Needs(Role::Manager), target, summary)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use contracts::services::{GATEWAY, Program};

    use super::*;

    #[test]
    fn requests_go_only_to_services_that_the_table_lets_the_gateway_call() {
        let calls: BTreeSet<&str> =
            Program::named(GATEWAY).unwrap().calls.iter().map(|call| call.to).collect();
        for route in table(true) {
            if let Target::Service(service) = route.target {
                assert!(
                    calls.contains(service),
                    "{} {} goes to {service}",
                    route.method,
                    route.path
                );
            }
        }
    }
}
