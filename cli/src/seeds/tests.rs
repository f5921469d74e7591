use super::*;

fn file(name: &str, bytes: impl Into<Vec<u8>>) -> SeedFile {
    SeedFile { name: name.into(), bytes: bytes.into() }
}

fn problems(files: &[SeedFile]) -> String {
    check(files).expect_err("there are problems").to_string()
}

#[test]
fn what_is_built_in_is_the_restaurant_of_the_rules() {
    let seeds = check(&built_in()).unwrap();
    let recipe = |recipe: &Recipe| {
        let parts: Vec<_> = recipe
            .ingredients
            .iter()
            .map(|(name, quantity)| format!("{name} {quantity}"))
            .collect();
        format!("{}: {}; {} ms", recipe.name, parts.join(", "), recipe.cooking_time_ms)
    };
    insta::assert_snapshot!(seeds.recipes.iter().map(recipe).collect::<Vec<_>>().join("\n"), @r"
    rice with chicken: chicken 1, onion 1, rice 2; 800 ms
    rice with meat: meat 1, onion 1, rice 2; 800 ms
    burger: cheese 1, ketchup 1, lettuce 1, meat 1; 500 ms
    french fries: ketchup 1, potato 3; 400 ms
    pizza: cheese 2, tomato 3; 1000 ms
    salad: lemon 1, lettuce 2, onion 1, tomato 2; 200 ms
    ");
    assert_eq!(seeds.opening, Ingredient::ALL.map(|ingredient| (ingredient, 5)).into());
}

#[test]
fn recipes_and_stock_may_share_a_file_or_be_spread() {
    let together = file(
        "all.yaml",
        "recipes: [{name: soup, ingredients: {potato: 1}, cooking_time: 1s}]\nstock: {potato: 0}\n",
    );
    let apart = [file(
        "a.yaml",
        "# nothing yet\n---\nrecipes: [{name: soup, ingredients: {potato: 1}, cooking_time: 1s}]\n---\nstock: {potato: 0}",
    )];
    let apart_seeds = check(&apart);
    assert_eq!(check(&[together]).unwrap().recipes.len(), 1);
    insta::assert_snapshot!(
        apart_seeds.map_or_else(|error| error.to_string(), |seeds| format!("{seeds:?}"))
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    let recipes = file(
        "recipes.yaml",
        "recipes:
  - name: pizza
    ingredients: {cheese: 2, tomatoe: 3, rice: 0, onion: -1, meat: 1000000001, lemon: 1.5, potato: many}
    cooking_time: 1s
  - name: Pizza!
    ingredients: {cheese: 1, cheese: 2}
    cooking_time: 0.5
  - name: pizza
    ingredients: [cheese]
    cooking_time: 2h
    chef: luigi
  - ingredients: {}
  - soup
  - name: toast
    ingredients: {}
    cooking_time: 10us
  - name: ''
    ingredients: {rice: 99999999999999999999}
    cooking_time: soon
menu: []
",
    );
    let stock = file("stock.yaml", "stock: {rice: 5, rice: 6, beer: 1, lemon: -1}\nrecipes: {}\n");
    let more = file("more.yaml", "stock: {rice: 7}\n");
    insta::assert_snapshot!(problems(&[recipes, stock, more]));
}

#[test]
fn files_that_are_no_seed_files_are_refused_with_the_reason() {
    let files = [
        file("empty.yaml", ""),
        file("comment.yaml", "# only a comment\n"),
        file("braces.yaml", "{}"),
        file("list.yaml", "- a\n- b\n"),
        file("text.yaml", "hello"),
        file("broken.yaml", "recipes:\n  - name: pizza\n   ingredients: {}\n"),
        file("latin1.yaml", b"recipes:\n  - name: cr\xe8me\n".to_vec()),
        file("huge.yaml", vec![b' '; FILE_BYTES_MAX + 1]),
        file("nothing.yaml", "recipes:\nstock:\n"),
        file("none.yaml", "recipes: []\nstock: {}\n"),
        file("tagged.yaml", "recipes: !include x\n"),
    ];
    insta::assert_snapshot!(problems(&files));
}

#[test]
fn a_hopeless_file_does_not_fill_the_screen() {
    let lines: String = (0..200).map(|n| format!("  x{n}: 1\n")).collect();
    let problems = problems(&[file("stock.yaml", format!("stock:\n{lines}"))]);
    assert_eq!(problems.lines().count(), PROBLEMS_MAX + 1);
    assert!(problems.ends_with("… and 150 more"), "{problems}");
}

#[test]
fn a_menu_has_an_end() {
    let recipe =
        |n| format!("  - {{name: soup {n}, ingredients: {{potato: 1}}, cooking_time: 1s}}\n");
    let recipes: String = (0..=RECIPES_MAX).map(recipe).collect();
    insta::assert_snapshot!(
        problems(&[file("many.yaml", format!("recipes:\n{recipes}"))]),
        @"many.yaml: there are 1001 recipes: 1000 are the most"
    );
}

#[test]
fn a_forgotten_dash_loses_no_recipe() {
    let text = "recipes:
  - name: pizza
    ingredients: {tomato: 1}
    cooking_time: 1s
    name: burger
    ingredients: {meat: 1}
    cooking_time: 2s
";
    insta::assert_snapshot!(
        problems(&[file("dash.yaml", text)]),
        @"dash.yaml: recipes[0].name: it is a duplicate in line 5: a recipe has it once, and begins with a dash"
    );
}

#[test]
fn byte_order_marks_and_empty_documents_are_no_problem() {
    let files = [
        file("bom.yaml", "\u{feff}stock: {rice: 1}\n"),
        file("empty.yaml", "---\n---\nstock: {potato: 1}\n---\n"),
    ];
    assert_eq!(check(&files).unwrap().opening.len(), 2);
}
