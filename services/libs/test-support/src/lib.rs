//! What every runtime is tested by, for tests only: guests who know an address and a key and nothing else, the answers that
//! they must get, and a stage on which all services run as processes of their own.

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
