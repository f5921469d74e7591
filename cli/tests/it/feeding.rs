//! Recipes, stock, the simulated market, keys and dead letters.

use std::fs;

use contracts::services::KITCHEN;

use crate::chefcito::Home;

#[test]
fn seeding_twice_changes_nothing() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    let dry = home.must(&["seed", "--dry-run"]);
    assert_eq!(home.must(&["seed", "--dry-run"]).stdout, dry.stdout, "a dry run changes nothing");
    let first = home.must(&["seed"]);
    assert!(first.stdout.starts_with("recipes added: burger, french fries, pizza,"), "{first}");
    assert!(first.stdout.contains("opening stock booked: cheese +5, chicken +5,"), "{first}");
    let second = home.must(&["seed"]);
    assert!(second.stdout.starts_with("recipes unchanged: burger,"), "{second}");
    assert!(second.stdout.contains("opening stock unchanged: cheese, chicken,"), "{second}");
    let set = home.must(&["seed", "--set", "rice=12", "--set", "tomato=5"]);
    assert_eq!(set.stdout, "adjustments booked: rice +7\nadjustments unchanged: tomato\n");
}

#[test]
fn a_bad_seed_file_sends_nothing() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    let file = home.environment().join("menu.yaml");
    fs::write(
        &file,
        "recipes:\n  - {name: soup, ingredients: {potato: 1}, cooking_time: 1s}\n  - {name: stew, ingredients: {beer: 1}, cooking_time: -1s}\n",
    )
    .unwrap();
    let bad = home.run(&["seed", file.to_str().unwrap()]);
    assert_eq!(bad.code, Some(1), "{bad}");
    assert!(bad.stderr.contains("2 problems, sent nothing:"), "{bad}");
    assert!(
        bad.stderr.contains("menu.yaml: recipes[1].ingredients.beer: `beer` is not an ingredient"),
        "{bad}"
    );
    let still_empty = home.run(&["order", "--dish", "soup"]);
    assert_eq!(still_empty.code, Some(1), "{still_empty}");

    fs::write(&file, "recipes:\n  - {name: soup, ingredients: {potato: 1}, cooking_time: 0.2s}\n")
        .unwrap();
    home.must(&["seed", file.to_str().unwrap()]);
    let soup = home.must(&["order", "--dish", "soup"]);
    assert!(soup.stdout.contains("soup, delivered in "), "{soup}");
    assert_eq!(home.run(&["seed", "nowhere.yaml"]).code, Some(1));
    for wrong in ["rice", "rice=-1", "rice=1000000001", "beer=1"] {
        assert_eq!(home.run(&["seed", "--set", wrong]).code, Some(2), "{wrong}");
    }
}

#[test]
fn the_simulated_market_has_the_given_settings() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    let reported = home.must(&[
        "market",
        "set",
        "--quantity",
        "2-3",
        "--zeros",
        "0.25",
        "--delay",
        "7ms",
        "--outage",
        "on",
    ]);
    for shown in [&["market"][..], &["market", "show"]] {
        assert_eq!(home.must(shown).stdout, reported.stdout);
    }
    insta::assert_snapshot!(reported.stdout, @r"
    setting   value
    quantity  2-3
    zeros     0.25
    delay     7 ms
    errors    0
    outage    on
    seed      0

    0 sales
    ");
    for wrong in
        [["--quantity", "3-2"], ["--zeros", "1.1"], ["--delay", "soon"], ["--outage", "maybe"]]
    {
        assert_eq!(home.run(&["market", "set", wrong[0], wrong[1]]).code, Some(2), "{wrong:?}");
    }
    assert_eq!(home.run(&["market", "set"]).code, Some(2), "nothing to set");
    assert_eq!(home.run(&["market", "set", "--json"]).code, Some(2), "nothing to set");
    insta::assert_snapshot!(home.must(&["market", "reset"]).stdout, @r"
    setting   value
    quantity  1-10
    zeros     0.1
    delay     5 ms
    errors    0
    outage    off
    seed      0

    0 sales
    ");
}

#[test]
fn keys_are_added_listed_and_revoked() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    let added = home.must(&["keys", "add", "bob", "--role", "viewer"]);
    let secret = added.stdout.trim();
    assert!(secret.starts_with("cfk_"), "{added}");
    let id = secret.split('_').nth(1).unwrap();
    let list = home.must(&["keys", "list"]);
    assert!(list.stdout.contains(id) && !list.stdout.contains(secret), "{list}");
    home.must(&["keys", "revoke", id]);
    assert_eq!(home.run(&["keys", "revoke", "../orders"]).code, Some(1));
    assert_eq!(home.run(&["keys", "add", "bob", "--role", "cook"]).code, Some(2));
}

#[test]
fn dead_letters_are_none_in_a_healthy_environment() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    assert_eq!(home.must(&["dead-letters", "list"]).stderr, "There are no dead letters\n");
    assert_eq!(home.must(&["dead-letters", "replay", "--all"]).stderr, "Replayed 0 dead letters\n");
    let id = "0192f3c4-5a6b-7c8d-9e0f-112233445566";
    assert_eq!(home.run(&["dead-letters", "drop", KITCHEN, id]).code, Some(1));
    assert_eq!(home.run(&["dead-letters", "drop", "cellar", id]).code, Some(2));
    assert_eq!(home.run(&["dead-letters", "drop", KITCHEN]).code, Some(2));
}
