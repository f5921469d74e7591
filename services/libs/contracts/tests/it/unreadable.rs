//! Events that this program can't read say why, and are never taken for something else.

use contracts::{
    OrderId, Timestamp,
    events::{Envelope, Event, OrderPlaced, OrderRejected, UnreadableEvent},
    services::ORDERS,
};
use serde_json::{json, value::to_raw_value};

fn placed() -> Envelope {
    let order = OrderPlaced {
        order: OrderId::new(),
        number: 1,
        dish: None,
        placed_at: Timestamp::from_micros(1),
    };
    Envelope::new(ORDERS, &order, Timestamp::from_micros(2), None)
}

#[test]
fn a_version_that_a_newer_service_wrote_is_told_apart() {
    for (version, kind) in [(2, "chefcito.order.placed.v2"), (0, "chefcito.order.placed.v0")] {
        let error = Envelope { kind: kind.into(), ..placed() }.read::<OrderPlaced>().unwrap_err();
        assert!(matches!(
            error,
            UnreadableEvent::UnknownVersion { name: OrderPlaced::NAME, version: found } if found == version
        ));
    }
}

#[test]
fn data_of_another_shape_are_malformed_and_say_what_is_wrong() {
    let order = OrderId::new();
    for (data, what) in [
        (json!({}), "missing field `order`"),
        (json!({ "order": order, "number": 1, "dish": null }), "missing field `placed_at`"),
        (json!({ "order": "soup" }), "UUID parsing failed"),
        (json!({ "order": order, "number": "one" }), "invalid type: string \"one\""),
        (json!([1, 2]), "invalid"),
        (json!(null), "invalid type: null"),
    ] {
        let envelope = Envelope { data: to_raw_value(&data).unwrap(), ..placed() };
        match envelope.read::<OrderPlaced>().unwrap_err() {
            UnreadableEvent::Malformed { name: "order.placed", version: 1, source } => {
                assert!(source.to_string().contains(what), "{source}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn fields_that_a_newer_writer_added_are_passed_over() {
    let mut data: serde_json::Value = serde_json::from_str(placed().data.get()).unwrap();
    data["tip"] = json!(5);
    let envelope = Envelope { data: to_raw_value(&data).unwrap(), ..placed() };
    assert_eq!(envelope.read::<OrderPlaced>().unwrap().number, 1);
}

#[test]
fn another_event_is_not_read_and_neither_is_a_type_that_is_none_of_ours() {
    assert!(matches!(
        placed().read::<OrderRejected>(),
        Err(UnreadableEvent::OtherEvent { name: OrderRejected::NAME, kind })
            if kind == "chefcito.order.placed.v1"
    ));
    for kind in [
        "",
        "chefcito.",
        "order.placed.v1",
        "other.order.placed.v1",
        "chefcito.order.placed",
        "chefcito.order.placed.v",
        "chefcito.order.placed.v-1",
        "chefcito.order.placed.v1.5",
        "chefcito.order.placed.v65536",
        "chefcito.order.placedv1",
    ] {
        let envelope = Envelope { kind: kind.into(), ..placed() };
        assert!(
            matches!(envelope.read::<OrderPlaced>(), Err(UnreadableEvent::OtherEvent { .. })),
            "`{kind}`"
        );
    }
}

#[test]
fn a_type_of_any_length_is_shown_in_short() {
    let envelope = Envelope { kind: "ñ".repeat(10_000), ..placed() };
    let error = envelope.read::<OrderPlaced>().unwrap_err().to_string();
    assert!(error.chars().count() < 200, "{error}");
}

#[test]
fn an_envelope_of_another_specification_is_refused() {
    let text = serde_json::to_string(&placed()).unwrap();
    assert!(serde_json::from_str::<Envelope>(&text).is_ok());
    let other = text.replacen("\"1.0\"", "\"0.3\"", 1);
    assert!(serde_json::from_str::<Envelope>(&other).is_err());
}
