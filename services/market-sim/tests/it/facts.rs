//! What the simulated market tells the audit.

use contracts::{
    PurchaseId,
    api::audit::{Facts, PurchaseFact},
};

use crate::{Stand, read};

#[tokio::test]
async fn sales_to_purchases_are_listed_page_by_page_and_others_only_counted() {
    let stand = Stand::open().await;
    let mut purchases: Vec<PurchaseId> = (0..5).map(|_| PurchaseId::new()).collect();
    let mut quantities = Vec::new();
    for purchase in &purchases {
        let (_, sale) = stand.buy_with(&purchase.to_string(), "onion").await;
        quantities.push(sale["quantitySold"].as_i64().unwrap());
    }
    stand.buy("onion").await;
    stand.buy_with("zz-not-a-purchase", "onion").await;
    assert_eq!(stand.sales().await, 7);

    let mut listed: Vec<PurchaseFact> = Vec::new();
    loop {
        let after = listed.last().map(|fact| format!("&after={}", fact.purchase));
        let path = format!("/internal/facts/sales?limit=2{}", after.unwrap_or_default());
        let page: Facts<PurchaseFact> = read(stand.get(&path).await.1);
        let full = page.facts.len() == 2;
        listed.extend(page.facts);
        if !full {
            break;
        }
    }
    purchases.sort();
    assert_eq!(listed.iter().map(|fact| fact.purchase).collect::<Vec<_>>(), purchases);
    assert_eq!(listed.iter().map(|fact| fact.quantity).collect::<Vec<_>>(), quantities);
    assert!(listed.iter().all(|fact| fact.status == "done"));
}
