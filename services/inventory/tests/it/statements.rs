//! Both engines understand every statement.

use ::store::Clock;
use contracts::{Ingredient, services};
use inventory::{MIGRATIONS, store};
use service::ServiceContext;

use crate::pantry::{Pantry, Place, Stall, on_both_engines};

on_both_engines!(every_statement_is_understood, every_ingredient_has_a_row_to_lock);

async fn every_statement_is_understood(place: Place) {
    let context = ServiceContext::new(place.location(), events::in_process(), Clock::System);
    let service = context.open(services::INVENTORY, MIGRATIONS).await.unwrap();
    let engine = service.database().engine();
    let prepared = service.database().read(move |tx| {
        for sql in store::STATEMENTS {
            tx.prepare(sql)?;
        }
        if engine == "postgresql" {
            for sql in store::POSTGRESQL_STATEMENTS {
                tx.prepare(sql)?;
            }
        }
        tx.prepare_all(&store::MANY)
    });
    prepared.await.unwrap();
    context.close().await;
}

async fn every_ingredient_has_a_row_to_lock(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&Ingredient::ALL.map(|ingredient| (ingredient, 1))).await;
    assert_eq!(pantry.stock().await.stock.len(), Ingredient::ALL.len());
    pantry.close().await;
}
