//! What every runtime is tested by, for tests only: guests who know an address and a key and nothing else, the answers that
//! they must get, and a stage on which all services run as processes of their own.
//!
//! Guarantees: what it starts (processes, PostgreSQL, Redis) ends with the test; a part that this machine lacks is said, and
//! is a failure where `CHEFCITO_TEST_REQUIRE` is set.
//!
//! Does not know: how services work inside: it sees what guests and operators see.

#![expect(clippy::unwrap_used, reason = "only tests use it, and they may")]

mod answers;
mod crowd;
mod guest;
mod history;
mod parts;
mod processes;

pub use self::history::History;
pub use answers::{Exchange, converse};
pub use crowd::{Crowd, Tally};
pub use guest::{Guest, Reply, menu, until};
pub use parts::{
    POSTGRES, REQUIRE, TestAuthority, TestDatabase, TestIdentity, TestRedis, TestServer, elsewhere,
    lacking, pairs, postgres, redis, redis_with_tls, server,
};
pub use processes::{Process, ProcessCluster};
