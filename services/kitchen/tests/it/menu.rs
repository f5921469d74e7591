use axum::http::StatusCode;
use contracts::{
    api::kitchen::{Menu, MenuChanges},
    events::MenuChanged,
};

use crate::stage::{MENU, Stage};

const SMALLER: &str = r#"{"recipes": [
    {"name": "salad", "ingredients": {"lemon": 1, "onion": 1, "tomato": 2, "lettuce": 2}, "cooking_time_ms": 200},
    {"name": "soup", "ingredients": {"onion": 2}, "cooking_time_ms": 300},
    {"name": "burger", "ingredients": {"meat": 2}, "cooking_time_ms": 500}
]}"#;

async fn announced(stage: &Stage) -> Vec<MenuChanged> {
    stage.events("menu").await.iter().map(|event| event.read().unwrap()).collect()
}

#[tokio::test]
async fn a_menu_is_announced_only_when_it_changes() {
    let stage = Stage::open().await;
    let menu: Menu = stage.get("/v1/recipes").await;
    assert_eq!(menu.version, 1);
    assert_eq!(
        menu.recipes.iter().map(|recipe| recipe.name.as_str()).collect::<Vec<_>>(),
        ["burger", "pizza", "salad"]
    );

    let (status, text) = stage.put("/v1/recipes", MENU).await;
    assert_eq!(status, StatusCode::OK);
    let changes: MenuChanges = serde_json::from_str(&text).unwrap();
    assert_eq!(changes.unchanged, ["burger", "pizza", "salad"]);
    assert_eq!(announced(&stage).await.len(), 1);

    let (_, would_change) = stage.put("/v1/recipes?replace_all=true&dry_run=true", SMALLER).await;
    assert_eq!(stage.get::<Menu>("/v1/recipes").await, menu);
    let (_, changed) = stage.put("/v1/recipes?replace_all=true", SMALLER).await;
    assert_eq!(changed, would_change);
    insta::assert_snapshot!(
        changed,
        @r#"{"added":["soup"],"changed":["burger"],"removed":["pizza"],"unchanged":["salad"]}"#
    );
    let menu: Menu = stage.get("/v1/recipes").await;
    let versions: Vec<(&str, i64)> =
        menu.recipes.iter().map(|recipe| (recipe.name.as_str(), recipe.version)).collect();
    assert_eq!((menu.version, versions), (2, vec![("burger", 2), ("salad", 1), ("soup", 2)]));
    let told = announced(&stage).await;
    assert_eq!((told[1].version, told[1].dishes.join(", ")), (2, "burger, salad, soup".to_owned()));
    stage.close().await;
}

#[tokio::test]
async fn a_menu_is_checked_whole_before_anything_is_saved() {
    let stage = Stage::open().await;
    let bad = r#"{"recipes": [
        {"name": "soup", "ingredients": {"onion": 2}, "cooking_time_ms": 300},
        {"name": "Stew", "ingredients": {"meat": -1}, "cooking_time_ms": 99999999},
        {"name": "air", "ingredients": {}, "cooking_time_ms": 0}
    ]}"#;
    let (status, text) = stage.put("/v1/recipes", bad).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let problem: contracts::api::Problem = serde_json::from_str(&text).unwrap();
    insta::assert_snapshot!(problem.detail.unwrap(), @"Recipe 2: the name should be of lower-case letters, digits, spaces, hyphens and apostrophes. Recipe 2 takes -1 meat: it should be from 1 to 1000000000. Recipe 2 cooks for 99999999 ms: it should be from 0 to 3600000. `air` has no ingredient.");

    for (body, expected) in [
        ("{", StatusCode::BAD_REQUEST),
        ("{}", StatusCode::UNPROCESSABLE_ENTITY),
        (
            r#"{"recipes": [{"name": "tea", "ingredients": {"sugar": 1}, "cooking_time_ms": 0}]}"#,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let (status, text) = stage.put("/v1/recipes", body).await;
        assert_eq!(status, expected, "{text}");
    }
    assert_eq!(stage.put("/v1/recipes?dry=true", MENU).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(stage.get::<Menu>("/v1/recipes").await.version, 1);
    stage.close().await;
}

#[tokio::test]
async fn a_menu_has_no_more_recipes_than_it_may() {
    let stage = Stage::open().await;
    let recipe = |number: i64| {
        format!(
            r#"{{"name": "dish {number}", "ingredients": {{"rice": 1}}, "cooking_time_ms": 0}}"#
        )
    };
    let recipes: Vec<String> = (0..1_000).map(recipe).collect();
    let body = format!(r#"{{"recipes": [{}]}}"#, recipes.join(","));
    let (status, text) = stage.put("/v1/recipes", &body).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "with the three that are there: {text}");
    assert_eq!(stage.put("/v1/recipes?replace_all=true", &body).await.0, StatusCode::OK);
    assert_eq!(stage.get::<Menu>("/v1/recipes").await.recipes.len(), 1_000);
    stage.close().await;
}
