//! HTTP in, a command or a query out.

use axum::{Router, extract::State, routing::get};
use contracts::api::{
    audit::{Facts, FactsQuery, TicketFact},
    kitchen::{Menu, MenuChanges, SeedOptions},
};
use service::{
    Service, facts_page,
    http::{Json, Query},
    problem::Problem,
};

use crate::{
    commands::{ChangeMenu, change_menu},
    domain::menu::problems,
    queries,
};

/// Returns the kitchen's own routes.
pub(crate) fn routes(service: Service) -> Router {
    Router::new()
        .route("/v1/recipes", get(menu).put(put_recipes))
        .route("/internal/facts/tickets", get(ticket_facts))
        .with_state(service)
}

async fn menu(State(service): State<Service>) -> Result<axum::Json<Menu>, Problem> {
    Ok(axum::Json(service.database().read(queries::menu).await?))
}

async fn put_recipes(
    State(service): State<Service>,
    Query(options): Query<SeedOptions>,
    Json(menu): Json<Menu>,
) -> Result<axum::Json<MenuChanges>, Problem> {
    let problems = problems(&menu.recipes);
    if !problems.is_empty() {
        return Err(invalid_menu(problems.join(" ")));
    }
    let command =
        ChangeMenu { recipes: menu.recipes, replace_all: options.replace_all.unwrap_or(false) };
    let changed = match options.dry_run.unwrap_or(false) {
        true => service.database().read(move |tx| queries::menu_changes(tx, &command)).await?,
        false => service.database().write(move |tx| change_menu(tx, &command)).await?,
    };
    changed.map(axum::Json).map_err(invalid_menu)
}

fn invalid_menu(detail: String) -> Problem {
    Problem::unprocessable("invalid-menu", "The menu can't be used", detail)
}

async fn ticket_facts(
    State(service): State<Service>,
    Query(query): Query<FactsQuery>,
) -> Result<axum::Json<Facts<TicketFact>>, Problem> {
    facts_page(&service, move |tx| queries::ticket_facts(tx, &query)).await
}
