//! Statements that exist twice ([`Many`]): both texts must have the same effect.

use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any},
    test_runner::{TestCaseError, TestRunner},
};
use store::{Database, Durability, Location, Many, Row, StoreError, Value};

use super::postgres;

/// How many random runs there are.
const CASES: u32 = 64;

/// One step of a random run: which statement, and of what its rows are made.
type Step = (u8, Vec<Vec<u8>>);

/// Statements of one database that exist twice.
#[derive(Clone, Copy, Debug)]
pub struct Pairs {
    /// They.
    pub statements: &'static [Many],
    /// What is run before each random run. It removes the rows that the statements change; rows that it inserts have the
    /// texts `a` to `f` and the numbers 0 to 4, as the random rows have.
    pub before: &'static [&'static str],
    /// What is asked after each step: everything that the statements may change, but for numbers that the engines count, since
    /// PostgreSQL counts on when it refuses a row.
    pub effects: &'static [&'static str],
}

/// Runs random steps on a database of each engine, a transaction a step, and compares every answer and every effect. `open` opens
/// a database with its tables. Says in one line that it does nothing where there is no PostgreSQL.
///
/// # Panics
/// If an answer or an effect differs; it names the step.
pub fn agree(pairs: Pairs, open: impl AsyncFn(Location) -> Database) {
    let Some(server) = postgres() else { return };
    let folder = tempfile::tempdir().expect("a folder for SQLite");
    let sqlite =
        Location::Folder { folder: folder.path().to_owned(), durability: Durability::Process };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let databases = runtime.block_on(async { [open(sqlite).await, open(server.location()).await] });
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..Default::default()
    };
    let steps = vec((any::<u8>(), vec(vec(any::<u8>(), 12), 0..6)), 1..12);
    let compared = TestRunner::new(config).run(&steps, |steps| {
        runtime.block_on(compare(&databases, pairs, &steps)).map_err(TestCaseError::fail)
    });
    runtime.shutdown_background();
    if let Err(difference) = compared {
        panic!("{difference}");
    }
}

async fn compare(databases: &[Database; 2], pairs: Pairs, steps: &[Step]) -> Result<(), String> {
    for database in databases {
        let begun = database
            .write(move |tx| pairs.before.iter().try_for_each(|sql| tx.execute(sql, &[]).map(drop)))
            .await;
        begun.map_err(|error| format!("{}: {error}", database.engine()))?;
    }
    for (which, seeds) in steps {
        let pair = pairs.statements[usize::from(*which) % pairs.statements.len()];
        let rows = rows(&pair, seeds);
        let (mut answers, mut effects) = (Vec::new(), Vec::new());
        for database in databases {
            let given = rows.clone();
            answers.push(database.write(move |tx| run(tx, &pair, &given)).await.map_err(kind));
            effects.push(effects_of(database, pairs).await?);
        }
        if answers[0] != answers[1] {
            let [one, other] = &answers[..] else { continue };
            return Err(format!("{}\n{rows:?}\nanswers {one:?} and {other:?}", pair.all));
        }
        if effects[0] != effects[1] {
            let [one, other] = &effects[..] else { continue };
            return Err(format!("{}\n{rows:?}\nleaves {one:?} and {other:?}", pair.all));
        }
    }
    Ok(())
}

async fn effects_of(database: &Database, pairs: Pairs) -> Result<Vec<Vec<Vec<Value>>>, String> {
    let asked = database.read(move |tx| {
        let sorted = |mut rows: Vec<_>| {
            rows.sort();
            rows
        };
        pairs.effects.iter().map(|sql| tx.query(sql, &[], values).map(sorted)).collect()
    });
    asked.await.map_err(|error: StoreError| format!("{}: {error}", database.engine()))
}

/// What an error is, without the engine's words.
fn kind(error: StoreError) -> String {
    match error {
        StoreError::Rejected(_) => "refused".into(),
        other => other.to_string(),
    }
}

fn run(
    tx: &mut store::Tx<'_>,
    pair: &Many,
    rows: &[Vec<Value>],
) -> Result<Vec<Vec<Value>>, StoreError> {
    let is_question = pair.each.trim_start().starts_with("SELECT");
    if is_question {
        let mut found = tx.query_all(pair, rows, values)?;
        found.sort();
        return Ok(found);
    }
    // The outbox returns the numbers that PostgreSQL counted.
    if pair.all.contains(" RETURNING ") && !pair.all.contains("RETURNING seq") {
        let changed = tx.change_all(pair, rows)?;
        return Ok(vec![
            changed.into_iter().map(|changed| Value::Integer(changed.into())).collect(),
        ]);
    }
    let changed = tx.execute_all(pair, rows)?;
    Ok(vec![vec![Value::Integer(i64::try_from(changed).unwrap_or(i64::MAX))]])
}

fn values(row: &Row<'_>) -> Result<Vec<Value>, StoreError> {
    Ok((0..).map_while(|column| row.get(column).ok()).collect())
}

/// Makes rows of the types that the text for PostgreSQL casts its arrays to. No two have the same first value, and they are
/// in the order of it, as batches are.
fn rows(pair: &Many, seeds: &[Vec<u8>]) -> Vec<Vec<Value>> {
    let types: Vec<bool> = (1..)
        .map_while(|at| {
            pair.all.split_once(&format!("${at}::")).map(|(_, rest)| rest.starts_with("TEXT"))
        })
        .collect();
    let value = |is_text: bool, seed: u8| match is_text {
        true => Value::Text(char::from(b'a' + seed % 6).to_string()),
        false => Value::Integer(i64::from(seed % 5)),
    };
    let row = |seeds: &Vec<u8>| {
        let seed = |at: usize| seeds.get(at).copied().unwrap_or_default();
        // A quarter of the rows may have NULLs: more of them would have most batches refused. A key is never NULL: SQLite would
        // count a number for it.
        let has_nulls = seed(types.len()) >= 192;
        let is_null = |at: usize| at > 0 && has_nulls && seed(at) >= 192;
        let cell = |(at, is_text): (usize, &bool)| match is_null(at) {
            true => Value::Null,
            false => value(*is_text, seed(at)),
        };
        types.iter().enumerate().map(cell).collect()
    };
    let mut rows: Vec<Vec<Value>> = seeds.iter().map(row).collect();
    rows.sort();
    rows.dedup_by(|one, other| one.first() == other.first());
    rows
}
