//! What a purchase costs: `cargo test --release -p market speed -- --ignored --nocapture`.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use contracts::{
    Ingredient, PurchaseId,
    market::{BuyRequest, market_client::MarketClient, market_server::MarketServer},
};
use serde_json::json;

use crate::parts::{Farmers, House};

const PURCHASES: usize = 30_000;
const BUYERS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn buying_costs() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"zeros": 0.3})).await;
    let house = House::open(farmers.config()).await;
    let (started, cpu) = (Instant::now(), cpu_ticks());
    let next = Arc::new(AtomicUsize::new(0));
    let buyers: Vec<_> = (0..BUYERS)
        .map(|_| {
            let (market, next) = (house.market.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut client = MarketClient::new(MarketServer::new(market));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= PURCHASES {
                        break;
                    }
                    let ingredient = Ingredient::ALL[number % Ingredient::ALL.len()];
                    let purchase = PurchaseId::new().to_string();
                    let ingredient = ingredient.name().to_owned();
                    client.buy(BuyRequest { purchase, ingredient }).await.unwrap();
                }
            })
        })
        .collect();
    for buyer in buyers {
        buyer.await.unwrap();
    }
    let (took, ticks) = (started.elapsed().as_secs_f64(), cpu_ticks() - cpu);
    let each = PURCHASES as f64;
    println!(
        "{:.0} purchases/s, {:.0} µs CPU each (inventory's client, market and plaza together)",
        each / took,
        ticks as f64 * 10_000.0 / each
    );
    assert_eq!(farmers.sold().await.0, PURCHASES as i64);
}

/// Returns the hundredths of seconds that this process has computed.
fn cpu_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
