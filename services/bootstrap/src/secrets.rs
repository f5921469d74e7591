//! Which secrets there are, whose they are, and how each comes from the seed. Plain functions; `folder` acts.

use std::{collections::BTreeMap, fmt, fmt::Write as _};

use contracts::services::{ALL, BOOTSTRAP, GATEWAY, Program};
use serde_json::{Map, Value};
use service::config::{self, ConfigError};

/// What the seed is for: the same bytes used elsewhere give other secrets. It must never change.
const CONTEXT: &str = "chefcito bootstrap 2026 secrets of one environment";
/// Who owns what only root reads.
const ROOT: u32 = 0;
/// Where Redis is, as the manifests have it; an environment with another writes its own URL.
const REDIS_ADDRESS: &str = "redis:6379";
/// As which user Redis runs in its image.
const REDIS: u32 = 999;

/// What all secrets of an environment derive from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Seed([u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seed(…)")
    }
}

impl Seed {
    /// Makes a seed.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads a seed as [`Seed::text`] writes it; `None` if it is none.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text.trim()).ok().map(|bytes| Self(bytes.into()))
    }

    /// Returns it as a text of 64 hex digits.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        hex(&self.0)
    }

    /// Returns the secret for a purpose: 64 hex digits, from which neither the seed nor another secret can be told.
    fn secret(&self, purpose: &str) -> String {
        let key = blake3::derive_key(CONTEXT, &self.0);
        hex(blake3::keyed_hash(&key, purpose.as_bytes()).as_bytes())
    }

    /// Returns what tells whether these files are made from this seed.
    pub(crate) fn fingerprint(&self, files: &[SecretFile]) -> String {
        let mut all = String::new();
        for SecretFile { path, owner, text } in files {
            let _ = write!(all, "{path}\0{owner}\0{text}\0");
        }
        self.secret(&format!("fingerprint {all}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where PostgreSQL is, from within.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Its host and port.
    pub(crate) address: String,
    /// The database of the services.
    pub(crate) database: String,
    /// What URLs end with: whether TLS is spoken, if that is said.
    pub(crate) query: String,
}

impl Default for Places {
    /// As `manifests/compose.yaml` has it.
    fn default() -> Self {
        Self { address: "postgres:5432".into(), database: "chefcito".into(), query: String::new() }
    }
}

impl Places {
    /// Reads `CHEFCITO_POSTGRES_ADDRESS`, `CHEFCITO_POSTGRES_DATABASE` and `CHEFCITO_POSTGRES_SSLMODE`.
    ///
    /// # Errors
    /// [`ConfigError`] if one can't be used.
    pub(crate) fn from_environment() -> Result<Self, ConfigError> {
        let default = Self::default();
        let address = "a host and a port such as postgres:5432";
        let database = "a name of letters, digits and underscores";
        let sslmode = "require, or disable";
        let asked: Option<String> = config::read("CHEFCITO_POSTGRES_SSLMODE", sslmode)?;
        let places = Self {
            query: asked.as_ref().map_or_else(String::new, |mode| format!("?sslmode={mode}")),
            address: config::read_or("CHEFCITO_POSTGRES_ADDRESS", address, default.address)?,
            database: config::read_or("CHEFCITO_POSTGRES_DATABASE", database, default.database)?,
        };
        // They become parts of URLs.
        let plain = |text: &str, others: &str| {
            text.chars().all(|one| one.is_ascii_alphanumeric() || others.contains(one))
        };
        let invalid = |variable: &str, expected, value: &str| {
            Err(ConfigError::Invalid { variable: variable.into(), expected, value: value.into() })
        };
        if let Some(other) = asked.filter(|mode| !["require", "disable"].contains(&mode.as_str())) {
            return invalid("CHEFCITO_POSTGRES_SSLMODE", sslmode, &other);
        }
        if !plain(&places.address, "-._:[]") {
            return invalid("CHEFCITO_POSTGRES_ADDRESS", address, &places.address);
        }
        if !plain(&places.database, "_") {
            return invalid("CHEFCITO_POSTGRES_DATABASE", database, &places.database);
        }
        Ok(places)
    }
}

/// A file with a secret, which its owner alone may read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretFile {
    /// Where it is in the folder: a folder and a name.
    pub(crate) path: String,
    /// The user and the group that it belongs to.
    pub(crate) owner: u32,
    /// What is in it.
    pub(crate) text: String,
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, owner, .. } = self;
        formatter.debug_struct("SecretFile").field("path", path).field("owner", owner).finish()
    }
}

/// Returns all files of an environment.
///
/// There is one service token for all services: they trust each other as much as they trust their network, which
/// they alone are on. A token a pair would not stop an attacker in one service from calling those that it may call anyway.
#[must_use]
pub(crate) fn files(seed: &Seed, places: &Places) -> Vec<SecretFile> {
    let Places { address, database, query } = places;
    let postgres = seed.secret("password of postgres");
    let mut files = vec![
        file("postgres/password", ROOT, postgres.clone()),
        // As psql reads it: for a look into the databases.
        file("postgres/pgpass", ROOT, format!("*:*:*:postgres:{postgres}")),
    ];
    let redis = redis_password(seed);
    files.push(file("redis/users.acl", REDIS, redis_bus::account(&redis)));
    let mut passwords = Map::new();
    for service in ALL {
        let password = seed.secret(&format!("password of {service}"));
        let url = format!("postgres://{service}:{password}@{address}/{database}{query}");
        let owner = uid_of(service);
        files.push(file(&format!("{service}/database.url"), owner, url));
        if uses_bus(service) {
            files.push(file(&redis_file(service), owner, redis_url(&redis)));
        }
        files.push(file(&format!("{service}/service.token"), owner, seed.secret("service token")));
        passwords.insert(service.into(), Value::String(password));
    }
    let gateway = uid_of(GATEWAY);
    files.push(file("gateway/key.pepper", gateway, seed.secret("key pepper")));
    let admin_key = format!("cfk_local_{}", seed.secret("admin key"));
    files.push(file("gateway/admin.key", gateway, admin_key));
    let bootstrap = uid_of(BOOTSTRAP);
    let admin_url = format!("postgres://postgres:{postgres}@{address}/postgres{query}");
    files.push(file("bootstrap/admin-database.url", bootstrap, admin_url));
    files.push(file("bootstrap/roles.json", bootstrap, Value::Object(passwords).to_string()));
    files
}

/// Returns the files that an earlier version wrote and no program reads any more: services that neither read nor write events had
/// the password of Redis, too.
pub(crate) fn withdrawn() -> impl Iterator<Item = String> {
    ALL.into_iter().filter(|service| !uses_bus(service)).map(redis_file)
}

fn redis_file(service: &str) -> String {
    format!("{service}/redis.url")
}

fn uses_bus(service: &str) -> bool {
    Program::named(service).is_some_and(Program::uses_bus)
}

/// The names that what belongs to Redis' account has on Kubernetes.
const REDIS_USERS: &str = "redis-users";
const REDIS_URL: &str = "redis-url";

/// Returns the secrets of an environment by the names that they have in its Secret on Kubernetes: the same values as in
/// [`files()`], each once.
#[must_use]
pub(crate) fn variables(seed: &Seed, places: &Places) -> Vec<(String, String)> {
    let all = files(seed, places).into_iter();
    let mut variables: Vec<(String, String)> = all
        .filter_map(|SecretFile { path, text, .. }| {
            let (owner, name) = path.split_once('/')?;
            let variable = match (owner, name) {
                ("postgres", "password") => "postgres-password".into(),
                ("postgres", _) => return None,
                ("redis", _) => REDIS_USERS.into(),
                (_, "roles.json") => "role-passwords".into(),
                (service, "database.url") => format!("{service}-database-url"),
                (_, name) => name.replace('.', "-"),
            };
            Some((variable, text.trim_end().to_owned()))
        })
        .collect();
    variables.sort();
    variables.dedup();
    variables
}

/// Returns the secrets of an environment, one `NAME=value` a line, with an account at Redis: one that was made before Redis had a
/// password gets one, and the account of another version gets the commands that this one needs. The others stay as they are.
#[must_use]
pub(crate) fn completed(lines: &str, seed: &Seed) -> String {
    let mut all: BTreeMap<&str, String> = lines
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    let url = all.entry(REDIS_URL).or_insert_with(|| redis_url(&redis_password(seed)));
    let account = url.strip_prefix("redis://default:").and_then(|rest| rest.split_once('@'));
    if let Some((password, _)) = account {
        let users = redis_bus::account(password);
        all.insert(REDIS_USERS, users);
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

fn redis_password(seed: &Seed) -> String {
    seed.secret("password of redis")
}

fn redis_url(password: &str) -> String {
    format!("redis://default:{password}@{REDIS_ADDRESS}")
}

fn file(path: &str, owner: u32, secret: String) -> SecretFile {
    SecretFile { path: path.to_owned(), owner, text: secret + "\n" }
}

/// Returns the user that a service runs as; root for one that the table does not have, which then can't read its files.
fn uid_of(service: &str) -> u32 {
    Program::named(service).map_or(ROOT, |program| program.uid)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use contracts::services::TABLE;

    use super::*;

    fn seed(byte: u8) -> Seed {
        Seed([byte; 32])
    }

    #[test]
    fn the_same_seed_gives_the_same_files_and_another_one_others() {
        let places = Places::default();
        assert_eq!(files(&seed(1), &places), files(&seed(1), &places));
        let texts = |seed| files(&seed, &places).into_iter().map(|file| file.text);
        let ours: HashSet<String> = texts(seed(1)).collect();
        assert!(texts(seed(2)).all(|text| !ours.contains(&text)));
        assert_eq!(Seed::parse(&seed(7).text()), Some(seed(7)));
        assert_eq!(Seed::parse(""), None);
    }

    /// What is derived must never change: passwords are in PostgreSQL, and keys in the hands of people.
    #[test]
    fn what_a_seed_gives_is_so_for_ever() {
        let files = files(&seed(0), &Places::default());
        let text = |path: &str| files.iter().find(|file| file.path == path).unwrap().text.clone();
        let others = files.iter().filter(|file| !file.path.contains("redis"));
        let texts: String = others.map(|file| file.text.as_str()).collect();
        assert_eq!(
            blake3::hash(texts.as_bytes()).to_hex().as_str(),
            "277091b13c632be41ad75394c78fb2165d5ad9a131f2f7e1dddecc5c82c47846"
        );
        assert_eq!(
            text("orders/redis.url"),
            "redis://default:ea8bc4a1d970c259c2f4d270d243d390301c4de0d9367d98a202d8cf7c56d546@redis:6379\n"
        );
        assert!(text("gateway/admin.key").starts_with("cfk_local_"));
        assert_eq!(text("orders/service.token"), text("board/service.token"));
        assert!(text("orders/database.url").ends_with("@postgres:5432/chefcito\n"));
    }

    #[test]
    fn each_secret_is_a_variable_of_one_name() {
        let variables = variables(&seed(1), &Places::default());
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "admin-database-url",
                "admin-key",
                "board-database-url",
                "gateway-database-url",
                "inventory-database-url",
                "key-pepper",
                "kitchen-database-url",
                "market-database-url",
                "market-sim-database-url",
                "orders-database-url",
                "postgres-password",
                "redis-url",
                "redis-users",
                "role-passwords",
                "service-token",
            ]
        );
        assert!(variables.iter().all(|(_, value)| !value.is_empty() && !value.contains('\n')));
    }

    #[test]
    fn what_was_made_before_redis_had_a_password_gets_its_account_and_keeps_the_rest() {
        let new = |seed| -> String {
            let all = variables(&seed, &Places::default()).into_iter();
            all.map(|(name, value)| format!("{name}={value}\n")).collect()
        };
        let only = |text: &str, is_meant: fn(&str) -> bool| -> String {
            text.lines().filter(|line| is_meant(line)).map(|line| format!("{line}\n")).collect()
        };
        let (ours, theirs) = (new(seed(1)), new(seed(2)));
        assert_eq!(completed(&ours, &seed(2)), ours);
        let without_users = only(&ours, |line| !line.starts_with("redis-users"));
        assert_eq!(completed(&without_users, &seed(2)), ours, "the password is in the URL");
        let old = only(&ours, |line| !line.starts_with("redis-"));
        let given = completed(&old, &seed(2));
        assert_eq!(only(&given, |line| !line.starts_with("redis-")), old);
        assert_eq!(
            only(&given, |line| line.starts_with("redis-")),
            only(&theirs, |line| line.starts_with("redis-"))
        );
    }

    #[test]
    fn redis_asks_for_the_password_that_the_services_have() {
        let files = files(&seed(1), &Places::default());
        let text = |path: &str| files.iter().find(|file| file.path == path).unwrap().text.clone();
        let url = text("orders/redis.url");
        let password = url.strip_prefix("redis://default:").unwrap();
        let password = password.strip_suffix("@redis:6379\n").unwrap();
        assert!(text("redis/users.acl").starts_with(&format!("user default on >{password} ")));
        let urls: Vec<&SecretFile> =
            files.iter().filter(|file| file.path.ends_with("redis.url")).collect();
        assert!(urls.iter().all(|file| file.text == url));
        let owners: Vec<u32> = urls.iter().map(|file| file.owner).collect();
        let users = TABLE.iter().filter(|program| program.uses_bus());
        assert_eq!(owners, users.map(|program| program.uid).collect::<Vec<_>>());
    }

    #[test]
    fn each_service_owns_its_files_and_no_other() {
        let files = files(&seed(1), &Places::default());
        for program in TABLE {
            let below = format!("{}/", program.name);
            for file in &files {
                assert_eq!(file.path.starts_with(&below), file.owner == program.uid, "{file:?}");
            }
        }
        assert_eq!(files.iter().filter(|file| file.owner == ROOT).count(), 2);
    }
}
