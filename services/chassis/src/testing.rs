//! What the tests of services stand on.

use std::{env, thread};

use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::database::Location;

mod server;

pub use server::{TestServer, server};

/// The variable with the URL of a PostgreSQL whose user may create databases.
pub const POSTGRES: &str = "CHEFCITO_TEST_POSTGRES_URL";
/// The variable that makes the lack of a real part a failure.
pub const REQUIRE: &str = "CHEFCITO_TEST_REQUIRE";

/// A PostgreSQL database of one test's own. It is dropped with this.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    name: String,
    url: String,
}

impl TestDatabase {
    /// Returns its connection string.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns where a service keeps its data in it.
    #[must_use]
    pub fn location(&self) -> Location {
        Location::Postgres { url: self.url.clone(), schema_prefix: String::new() }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A test that fails for another reason must say that one.
        let _ = on_server(self.server.clone(), drop);
    }
}

/// Makes a PostgreSQL database for one test; `None`, said in one line, where there is no server.
///
/// # Panics
/// Where a server is required and there is none, or it does not make the database.
#[must_use]
pub fn postgres() -> Option<TestDatabase> {
    let Ok(server) = env::var(POSTGRES) else {
        lacking("PostgreSQL; set CHEFCITO_TEST_POSTGRES_URL to the URL of a server");
        return None;
    };
    let name = format!("chefcito_test_{}", Uuid::now_v7().simple());
    on_server(server.clone(), format!("CREATE DATABASE {name}"))
        .expect("the server makes a database");
    let (before, query) = server
        .split_once('?')
        .map_or((server.as_str(), String::new()), |(url, query)| (url, format!("?{query}")));
    let scheme_end = before.find("://").map_or(0, |at| at + 3);
    let path = before[scheme_end..].find('/').map_or(before.len(), |at| scheme_end + at);
    let url = format!("{}/{name}{query}", &before[..path]);
    Some(TestDatabase { server, name, url })
}

/// Says in one line what a test needs and does not have, so that it is skipped.
///
/// # Panics
/// Where every real part is required.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn lacking(what: &str) {
    assert!(env::var_os(REQUIRE).is_none(), "{REQUIRE} is set, but this test needs {what}");
    eprintln!("skipped: needs {what}");
}

fn on_server(server: String, sql: String) -> Result<(), String> {
    // A thread of its own, because tests may be in a runtime already.
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&server, NoTls).await.map_err(|e| e.to_string())?;
            tokio::spawn(connection);
            client.batch_execute(&sql).await.map_err(|e| crate::database::chain(&e))
        })
    };
    thread::spawn(work).join().unwrap_or_else(|_| Err("the thread panicked".into()))
}
