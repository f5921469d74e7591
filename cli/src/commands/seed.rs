use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use client::Client;
use contracts::{
    Ingredient, QUANTITY_MAX, Quantities,
    api::{
        inventory::{AdjustStock, OpenStock, StockChanges},
        kitchen::{Menu, MenuChanges},
    },
};
use serde::Serialize;

use super::{connect, usage_error};
use crate::{
    error::{CliError, Result},
    output::Output,
    seeds::{self, FILE_BYTES_MAX, SeedFile, Seeds},
    state::Environment,
};

/// Send recipes and opening stock from YAML files to the environment
///
/// All files are checked before anything is sent. Repeating it is safe: recipes are replaced by name, and the opening
/// quantity of an ingredient is booked once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chefcito seed                                      The built-in recipes and stock
  chefcito seed recipes.yaml stock.yaml --dry-run    Only check, and say what would change
  chefcito seed --set rice=100 --set tomato=0        Make it so many of these now

A file has `recipes:` (a list of name, ingredients, cooking_time), `stock:` (a map of ingredient to quantity), or both.")]
pub(crate) struct SeedArgs {
    /// YAML files [default: the built-in ones, unless there is a --set]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Book the difference to this quantity on hand; may be given several times
    #[arg(long, value_name = "INGREDIENT=QUANTITY", value_parser = quantity)]
    set: Vec<(Ingredient, i64)>,
    /// Only print what would change
    #[arg(long)]
    dry_run: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn quantity(text: &str) -> Result<(Ingredient, i64), String> {
    let (name, quantity) = text.split_once('=').ok_or("it should look like rice=100")?;
    let ingredient = name.trim().parse::<Ingredient>().map_err(|error| error.to_string())?;
    let quantity =
        quantity.trim().parse().ok().filter(|quantity| (0..=QUANTITY_MAX).contains(quantity));
    Ok((
        ingredient,
        quantity.ok_or_else(|| {
            format!("the quantity should be a whole number from 0 to {QUANTITY_MAX}")
        })?,
    ))
}

/// The changes of a seeding, made or planned.
#[derive(Debug, Default, Serialize)]
struct Changes {
    schema_version: u32,
    dry_run: bool,
    recipes: Option<MenuChanges>,
    opening: Option<StockChanges>,
    adjustments: Option<StockChanges>,
}

pub(crate) async fn run(args: SeedArgs, environment: &Environment, output: &Output) -> Result<()> {
    let files = match (args.files.is_empty(), args.set.is_empty()) {
        (true, true) => seeds::built_in(),
        _ => read_all(args.files).await?,
    };
    let seeds = checked(&files)?;
    let set = set(&args.set)?;
    let changes = plant(&connect(environment).await?, &seeds, set, args.dry_run).await?;
    match args.json {
        true => output.json(&changes),
        false => show(&changes, output),
    }
}

/// Sends the built-in recipes and stock to the environment.
///
/// # Errors
/// [`CliError`] if the environment does not run, or refuses them.
pub(crate) async fn seed_built_in(environment: &Environment, output: &Output) -> Result<()> {
    let seeds = checked(&seeds::built_in())?;
    plant(&connect(environment).await?, &seeds, Quantities::new(), false).await?;
    let (recipes, ingredients) = (seeds.recipes.len(), seeds.opening.len());
    output.status(format_args!(
        "Seeded {recipes} recipes and the opening stock of {ingredients} ingredients"
    ));
    Ok(())
}

/// Reads files, which may be pipes or terminals. Runs on a thread of its own, so that a signal ends the wait.
async fn read_all(paths: Vec<PathBuf>) -> Result<Vec<SeedFile>> {
    let all = move || paths.iter().map(|path| read(path)).collect();
    tokio::task::spawn_blocking(all).await.map_err(anyhow::Error::from)?
}

/// Reads a file up to one byte more than the largest allowed size.
fn read(path: &Path) -> Result<SeedFile> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(CliError::io(|| format!("read {}", path.display())))?;
    Ok(SeedFile { name: path.display().to_string(), bytes })
}

fn checked(files: &[SeedFile]) -> Result<Seeds> {
    seeds::check(files).map_err(|problems| CliError::Failed {
        what: match problems.len() {
            1 => problems.to_string(),
            many => format!("{many} problems, sent nothing:\n{problems}"),
        },
        hint: String::new(),
        source: None,
    })
}

fn set(pairs: &[(Ingredient, i64)]) -> Result<Quantities> {
    let mut set = Quantities::new();
    for (ingredient, quantity) in pairs {
        if set.insert(*ingredient, *quantity).is_some() {
            return Err(usage_error("seed", format_args!("`--set` names {ingredient} twice")));
        }
    }
    Ok(set)
}

/// Sends recipes before stock, so that no stock is booked for a menu that is refused.
async fn plant(client: &Client, seeds: &Seeds, set: Quantities, dry_run: bool) -> Result<Changes> {
    let query = if dry_run { "?dry_run=true" } else { "" };
    let mut changes = Changes { schema_version: 1, dry_run, ..Changes::default() };
    if !seeds.recipes.is_empty() {
        let menu = Menu { recipes: seeds.recipes.clone(), version: 0 };
        changes.recipes = Some(client.put(&format!("/v1/recipes{query}"), &menu).await?);
    }
    if !seeds.opening.is_empty() {
        let stock = OpenStock { opening: seeds.opening.clone() };
        changes.opening = Some(client.put(&format!("/v1/stock{query}"), &stock).await?);
    }
    if !set.is_empty() {
        let key = uuid::Uuid::now_v7().to_string();
        let adjustments = AdjustStock { set };
        let path = format!("/v1/stock/adjustments{query}");
        changes.adjustments = Some(client.post_once(&path, &key, &adjustments).await?);
    }
    Ok(changes)
}

fn show(changes: &Changes, output: &Output) -> Result<()> {
    lines(changes).iter().try_for_each(|line| output.data(line))
}

/// Returns one line for each kind of change.
fn lines(changes: &Changes) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(MenuChanges { added, changed, removed, unchanged }) = &changes.recipes {
        for (did, names) in
            [("added", added), ("changed", changed), ("removed", removed), ("unchanged", unchanged)]
        {
            if !names.is_empty() {
                lines.push(format!("recipes {did}: {}", printable::line(&names.join(", "))));
            }
        }
    }
    let booked = |what: &str, StockChanges { booked, unchanged }: &StockChanges| {
        let booked: Vec<_> =
            booked.iter().map(|(ingredient, by)| format!("{ingredient} {by:+}")).collect();
        let unchanged: Vec<_> = unchanged.iter().map(ToString::to_string).collect();
        [("booked", booked), ("unchanged", unchanged)]
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(move |(did, names)| format!("{what} {did}: {}", names.join(", ")))
            .collect::<Vec<_>>()
    };
    lines.extend(changes.opening.iter().flat_map(|stock| booked("opening stock", stock)));
    lines.extend(changes.adjustments.iter().flat_map(|stock| booked("adjustments", stock)));
    if changes.dry_run {
        lines.push("Changed nothing: this was a dry run".into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_an_ingredient_and_a_quantity() {
        assert_eq!(quantity("rice=100"), Ok((Ingredient::Rice, 100)));
        assert_eq!(quantity(" rice = 0 "), Ok((Ingredient::Rice, 0)));
        let wrong = ["rice", "beer=1", "rice=-1", "rice=1.5", "rice=1000000001", "=1", "rice="];
        let said: Vec<_> =
            wrong.map(|text| format!("{text}: {}", quantity(text).unwrap_err())).into();
        insta::assert_snapshot!(said.join("\n"));
        assert!(set(&[(Ingredient::Rice, 1), (Ingredient::Rice, 2)]).is_err());
    }

    #[test]
    fn changes_are_printed_with_one_line_for_each_kind() {
        let changes = Changes {
            schema_version: 1,
            dry_run: true,
            recipes: Some(MenuChanges {
                added: vec!["soup".into(), "stew".into()],
                unchanged: vec!["pizza".into()],
                ..MenuChanges::default()
            }),
            opening: Some(StockChanges {
                booked: [(Ingredient::Rice, 5)].into(),
                unchanged: vec![Ingredient::Meat],
            }),
            adjustments: Some(StockChanges {
                booked: [(Ingredient::Rice, -3)].into(),
                unchanged: vec![],
            }),
        };
        insta::assert_snapshot!(lines(&changes).join("\n"), @r"
        recipes added: soup, stew
        recipes unchanged: pizza
        opening stock booked: rice +5
        opening stock unchanged: meat
        adjustments booked: rice -3
        Changed nothing: this was a dry run
        ");
    }
}
