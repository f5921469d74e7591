//! The menu: which recipes are good, and what new ones change.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{
    QUANTITY_MAX,
    api::kitchen::{COOKING_TIME_MS_MAX, Menu, MenuChanges, RECIPES_MAX, Recipe},
};

/// The longest name of a dish.
const NAME_BYTES_MAX: usize = 64;

/// What new recipes do to a menu.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// What changes, for who sent them.
    pub(crate) changes: MenuChanges,
    /// The menu afterwards, sorted by name.
    pub(crate) menu: Menu,
}

impl Revision {
    /// Puts recipes on a menu, by name; with `replace_all` those that are not sent leave it. What changes gets the
    /// version of the new menu, so that a name and a version mean one recipe for ever.
    pub(crate) fn new(menu: Menu, sent: &[Recipe], replace_all: bool) -> Self {
        let mut changes = MenuChanges::default();
        let version = menu.version + 1;
        let mut recipes: BTreeMap<String, Recipe> =
            menu.recipes.into_iter().map(|recipe| (recipe.name.clone(), recipe)).collect();
        if replace_all {
            let sent: BTreeSet<&str> = sent.iter().map(|recipe| recipe.name.as_str()).collect();
            let removed = recipes.extract_if(.., |name, _| !sent.contains(name.as_str()));
            changes.removed = removed.map(|(name, _)| name).collect();
        }
        for recipe in sent {
            let list = match recipes.get(&recipe.name) {
                None => &mut changes.added,
                Some(old) if is_same(old, recipe) => {
                    changes.unchanged.push(recipe.name.clone());
                    continue;
                }
                Some(_) => &mut changes.changed,
            };
            list.push(recipe.name.clone());
            recipes.insert(recipe.name.clone(), Recipe { version, ..recipe.clone() });
        }
        for list in [&mut changes.added, &mut changes.changed, &mut changes.unchanged] {
            list.sort_unstable();
        }
        let version = if changes_anything(&changes) { version } else { menu.version };
        Self { changes, menu: Menu { recipes: recipes.into_values().collect(), version } }
    }

    /// Returns whether anything is another than before.
    pub(crate) fn changes_anything(&self) -> bool {
        changes_anything(&self.changes)
    }

    /// Returns the recipes that are to be saved.
    pub(crate) fn saved(&self) -> impl Iterator<Item = &Recipe> {
        let version = self.menu.version;
        self.menu
            .recipes
            .iter()
            .filter(move |recipe| self.changes_anything() && recipe.version == version)
    }
}

const fn changes_anything(changes: &MenuChanges) -> bool {
    !(changes.added.is_empty() && changes.changed.is_empty() && changes.removed.is_empty())
}

fn is_same(old: &Recipe, new: &Recipe) -> bool {
    old.ingredients == new.ingredients && old.cooking_time_ms == new.cooking_time_ms
}

/// Returns everything that is wrong with sent recipes, a sentence each.
pub(crate) fn problems(sent: &[Recipe]) -> Vec<String> {
    if sent.len() > RECIPES_MAX {
        return vec![format!(
            "A menu has {RECIPES_MAX} recipes at the most, and {} were sent.",
            sent.len()
        )];
    }
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for (recipe, place) in sent.iter().zip(1..) {
        // A name may be anything of any length: only a good one is repeated.
        let who = match name_problem(&recipe.name) {
            None => format!("`{}`", recipe.name),
            Some(problem) => {
                let who = format!("Recipe {place}");
                problems.push(format!("{who}: the name {problem}."));
                who
            }
        };
        if !names.insert(&recipe.name) {
            problems.push(format!("{who} is there twice."));
        }
        if recipe.ingredients.is_empty() {
            problems.push(format!("{who} has no ingredient."));
        }
        for (ingredient, quantity) in &recipe.ingredients {
            if !(1..=QUANTITY_MAX).contains(quantity) {
                problems.push(format!(
                    "{who} takes {quantity} {ingredient}: it should be from 1 to {QUANTITY_MAX}."
                ));
            }
        }
        let time = recipe.cooking_time_ms;
        if !(0..=COOKING_TIME_MS_MAX).contains(&time) {
            problems.push(format!(
                "{who} cooks for {time} ms: it should be from 0 to {COOKING_TIME_MS_MAX}."
            ));
        }
    }
    problems
}

/// Returns what is wrong with the menu as it would be.
pub(crate) fn too_long(menu: &Menu) -> Option<String> {
    let length = menu.recipes.len();
    (length > RECIPES_MAX).then(|| {
        format!(
            "A menu has {RECIPES_MAX} recipes at the most, and with these it would have {length}."
        )
    })
}

fn name_problem(name: &str) -> Option<&'static str> {
    let is_good = |character: char| {
        (character.is_alphabetic() && !character.is_uppercase())
            || character.is_ascii_digit()
            || matches!(character, ' ' | '-' | '\'')
    };
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > NAME_BYTES_MAX {
        Some("is longer than 64 bytes")
    } else if !name.chars().all(is_good) {
        Some("should be of lower-case letters, digits, spaces, hyphens and apostrophes")
    } else if name.trim() != name || name.contains("  ") {
        Some("has spaces around it or two in a row")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use contracts::{
        Ingredient, Quantities,
        api::kitchen::{Menu, Recipe},
    };

    use super::{Revision, problems};

    fn recipe(name: &str, rice: i64, version: i64) -> Recipe {
        let ingredients = Quantities::from([(Ingredient::Rice, rice)]);
        Recipe { name: name.into(), ingredients, cooking_time_ms: 100, version }
    }

    #[test]
    fn what_changes_gets_the_version_of_the_menu_that_it_changed_with() {
        let menu = Menu { recipes: vec![recipe("paella", 2, 1), recipe("soup", 1, 3)], version: 4 };
        let revision = Revision::new(
            menu.clone(),
            &[recipe("soup", 1, 0), recipe("paella", 3, 0), recipe("bowl", 1, 0)],
            false,
        );
        assert_eq!(revision.menu.version, 5);
        assert_eq!(
            revision.menu.recipes,
            [recipe("bowl", 1, 5), recipe("paella", 3, 5), recipe("soup", 1, 3)]
        );
        assert_eq!(
            revision.saved().map(|recipe| recipe.name.as_str()).collect::<Vec<_>>(),
            ["bowl", "paella"]
        );

        let same = Revision::new(menu.clone(), &[recipe("soup", 1, 0)], false);
        assert!(!same.changes_anything());
        assert_eq!(same.menu, menu);
        assert_eq!(same.saved().count(), 0);

        let fewer = Revision::new(menu, &[recipe("soup", 1, 0)], true);
        assert_eq!((fewer.changes.removed, fewer.menu.version), (vec!["paella".to_owned()], 5));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let nameless =
            Recipe { ingredients: Quantities::new(), cooking_time_ms: -1, ..recipe("", 1, 0) };
        let sent = [
            nameless,
            recipe("Paella", 0, 0),
            recipe("soup", 1, 0),
            recipe("soup", 1_000_000_001, 0),
        ];
        insta::assert_snapshot!(problems(&sent).join("\n"), @r"
        Recipe 1: the name is empty.
        Recipe 1 has no ingredient.
        Recipe 1 cooks for -1 ms: it should be from 0 to 3600000.
        Recipe 2: the name should be of lower-case letters, digits, spaces, hyphens and apostrophes.
        Recipe 2 takes 0 rice: it should be from 1 to 1000000000.
        `soup` is there twice.
        `soup` takes 1000000001 rice: it should be from 1 to 1000000000.
        ");
        assert!(
            problems(&[recipe("crème brûlée", 1, 0), recipe("rice 'n' peas", 1, 0)]).is_empty()
        );
        assert_eq!(problems(&vec![recipe("soup", 1, 0); 1_001]).len(), 1);
        assert_eq!(problems(&[recipe(" soup", 1, 0), recipe(&"x".repeat(65), 1, 0)]).len(), 2);
    }
}
