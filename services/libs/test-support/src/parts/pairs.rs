//! Statements that exist twice ([`Many`]): both texts must have the same effect.

use store::{Database, Many, Row, StoreError, Value};

/// One step of a random run: which statement, and of what its rows are made.
pub type Step = (u8, Vec<Vec<u8>>);

/// Runs random steps on two databases of different engines, a transaction each.
///
/// # Errors
/// A text with the first step after which an answer or a table differs.
pub async fn compare(
    databases: [&Database; 2],
    pairs: &'static [Many],
    tables: &'static [&'static str],
    steps: &[Step],
) -> Result<(), String> {
    for (which, seeds) in steps {
        let pair = pairs[usize::from(*which) % pairs.len()];
        let rows = rows(&pair, seeds);
        let mut answers = Vec::new();
        for database in databases {
            let rows = rows.clone();
            answers.push(database.write(move |tx| run(tx, &pair, &rows)).await.map_err(kind));
        }
        let [one, other] = &answers[..] else { continue };
        if one != other {
            return Err(format!("{}\n{rows:?}\nanswers {one:?} and {other:?}", pair.all));
        }
        for table in tables {
            let (one, other) =
                (content(databases[0], table).await, content(databases[1], table).await);
            if one != other {
                return Err(format!("{}\n{rows:?}\nleaves {one:?} and {other:?}", pair.all));
            }
        }
    }
    Ok(())
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
    if pair.all.contains(" RETURNING ") {
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

async fn content(database: &Database, table: &'static str) -> Vec<Vec<Value>> {
    let sql: &'static str = Box::leak(format!("SELECT * FROM {table}").into_boxed_str());
    let mut rows = database.read(move |tx| tx.query(sql, &[], values)).await.unwrap_or_default();
    rows.sort();
    rows
}

/// Makes rows of the types that the text for PostgreSQL casts its arrays to. No two have the same first value, and they are
/// in the order of it, as batches are.
fn rows(pair: &Many, seeds: &[Vec<u8>]) -> Vec<Vec<Value>> {
    let types: Vec<bool> = (1..)
        .map_while(|at| {
            pair.all.split_once(&format!("${at}::")).map(|(_, rest)| rest.starts_with("TEXT"))
        })
        .collect();
    let value = |is_text: bool, seed: u8| match (seed, is_text) {
        (250.., _) => Value::Null,
        (seed, true) => Value::Text(char::from(b'a' + seed % 6).to_string()),
        (seed, false) => Value::Integer(i64::from(seed % 5)),
    };
    let mut rows: Vec<Vec<Value>> = seeds
        .iter()
        .map(|seeds| {
            // A key is never NULL: SQLite would count a number for it.
            let seed = |at: usize| {
                let seed = seeds.get(at).copied().unwrap_or_default();
                if at == 0 { seed % 250 } else { seed }
            };
            types.iter().enumerate().map(|(at, is_text)| value(*is_text, seed(at))).collect()
        })
        .collect();
    rows.sort();
    rows.dedup_by(|one, other| one.first() == other.first());
    rows
}
