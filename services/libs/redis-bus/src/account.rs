//! The account that the bus has at a Redis of the environment's own.

/// What the bus sends, its scripts included, and `PING` for people who look whether Redis answers. Nothing that empties,
/// stops or configures a Redis, or ends another client's connection, is among it.
const COMMANDS: [&str; 25] = [
    "del",
    "eval",
    "evalsha",
    "exists",
    "get",
    "hget",
    "hgetall",
    "hset",
    "info",
    "memory|usage",
    "ping",
    "publish",
    "sadd",
    "script|load",
    "set",
    "srem",
    "subscribe",
    "unsubscribe",
    "xack",
    "xadd",
    "xgroup",
    "xinfo",
    "xpending",
    "xreadgroup",
    "xtrim",
];

/// Returns the file that `redis-server --aclfile` reads, in one line: the user `default` has this password and may use only the
/// commands that the bus needs. So Redis refuses a connection that does not authenticate, whatever it asks.
#[must_use]
pub fn account(password: &str) -> String {
    format!("user default on >{password} ~* &* -@all +{}", COMMANDS.join(" +"))
}
