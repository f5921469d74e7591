//! Ids, times, ingredients and quantities as texts: each comes back as it went, and what is none says what it should be.

use std::time::Duration;

use contracts::{Ingredient, OrderId, PurchaseId, Quantities, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: &T,
    text: &str,
) {
    assert_eq!(serde_json::to_string(value).unwrap(), text);
    assert_eq!(&serde_json::from_str::<T>(text).unwrap(), value);
}

#[test]
fn an_id_is_a_hyphenated_lower_case_uuid() {
    let text = "0199d5b0-7c1e-7a40-9f3b-5d2c8e6a1b70";
    let order: OrderId = text.parse().unwrap();
    assert_eq!(order.to_string(), text);
    assert_eq!(text.to_uppercase().parse::<OrderId>().unwrap(), order);
    comes_back(&order, &format!("\"{text}\""));
    assert_eq!(text.parse::<PurchaseId>().unwrap().uuid(), order.uuid());
}

#[test]
fn ids_sort_by_the_time_at_which_they_were_made_and_so_do_their_texts() {
    let made: Vec<OrderId> = (0..1_000).map(|_| OrderId::new()).collect();
    assert!(made.is_sorted_by(|earlier, later| earlier < later));
    assert!(made.is_sorted_by_key(OrderId::to_string));
}

#[test]
fn what_is_no_id_is_shown_in_short_with_what_it_should_be() {
    for text in
        ["", "soup", "0199d5b0-7c1e-7a40-9f3b-5d2c8e6a1b7", "0199d5b0-7c1e-7a40-9f3b-5d2c8e6a1b7g"]
    {
        let error = text.parse::<OrderId>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{text}` is not an id: it should be a UUID")),
            "{error}"
        );
    }
    let error = "ñ".repeat(10_000).parse::<OrderId>().unwrap_err().to_string();
    assert!(error.chars().count() < 200, "{error}");
}

#[test]
fn a_time_is_rfc_3339_text_to_the_microsecond() {
    let moment = Timestamp::from_micros(1_769_860_800_000_125);
    assert_eq!(moment.to_string(), "2026-01-31T12:00:00.000125Z");
    comes_back(&moment, "\"2026-01-31T12:00:00.000125Z\"");
    comes_back(&Timestamp::from_micros(0), "\"1970-01-01T00:00:00.000000Z\"");
    comes_back(&Timestamp::from_micros(-1), "\"1969-12-31T23:59:59.999999Z\"");
}

#[test]
fn a_time_is_read_in_any_zone_and_precision() {
    let noon = Timestamp::from_micros(1_769_860_800_000_000);
    for text in
        ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00.0000001Z"]
    {
        assert_eq!(text.parse::<Timestamp>().unwrap(), noon, "{text}");
    }
    for text in ["", "noon", "2026-01-31", "2026-02-30T12:00:00Z", "2026-01-31T12:00:00"] {
        let error = text.parse::<Timestamp>().unwrap_err().to_string();
        assert!(error.contains("RFC 3339"), "{error}");
    }
}

#[test]
fn time_never_overflows_and_never_runs_backwards() {
    let (early, late) = (Timestamp::from_micros(10), Timestamp::from_micros(25));
    assert_eq!(late.since(early), Duration::from_micros(15));
    assert_eq!(early.since(late), Duration::ZERO);
    assert_eq!(early.plus(Duration::from_micros(15)), late);
    assert_eq!(late.minus(Duration::from_micros(15)), early);
    let (first, last) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
    assert_eq!(last.plus(Duration::MAX), last);
    assert_eq!(first.minus(Duration::MAX), first);
    assert_eq!(last.since(first), Duration::from_micros(i64::MAX.unsigned_abs()));
    assert!(last.to_string().ends_with(" µs"), "beyond every calendar, and still no panic: {last}");
}

#[test]
fn an_ingredient_is_its_name() {
    for ingredient in Ingredient::ALL {
        assert_eq!(ingredient.name().parse::<Ingredient>().unwrap(), ingredient);
        assert_eq!(ingredient.to_string(), ingredient.name());
        comes_back(&ingredient, &format!("\"{ingredient}\""));
    }
    assert!(Ingredient::ALL.is_sorted_by(|one, next| one < next && one.name() < next.name()));
}

#[test]
fn what_is_no_ingredient_is_told_which_there_are() {
    for name in ["", "Tomato", "tomatoes", " rice", "saffron"] {
        let error = name.parse::<Ingredient>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{name}` is not an ingredient of this environment")),
            "{error}"
        );
        for ingredient in Ingredient::ALL {
            assert!(error.contains(ingredient.name()), "{error}");
        }
        assert!(serde_json::from_str::<Ingredient>(&format!("\"{name}\"")).is_err());
    }
}

#[test]
fn quantities_are_an_object_sorted_by_ingredient() {
    comes_back(&Quantities::new(), "{}");
    let salad = [(Ingredient::Tomato, 2), (Ingredient::Lemon, 1), (Ingredient::Lettuce, 2)];
    comes_back(&Quantities::from(salad), r#"{"lemon":1,"lettuce":2,"tomato":2}"#);
    for text in
        [r#"{"saffron":1}"#, r#"{"rice":"two"}"#, r#"{"rice":1.5}"#, r#"{"rice":null}"#, "[]"]
    {
        assert!(serde_json::from_str::<Quantities>(text).is_err(), "{text}");
    }
}
