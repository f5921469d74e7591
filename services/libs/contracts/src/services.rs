//! The services of the environment, by the names that logs, events, schemas, roles, images and files use.

/// The one public door.
pub const GATEWAY: &str = "gateway";
/// Takes orders and knows where each one is.
pub const ORDERS: &str = "orders";
/// Picks the recipe, asks for ingredients, cooks.
pub const KITCHEN: &str = "kitchen";
/// Stock, reservations, purchases.
pub const INVENTORY: &str = "inventory";
/// The adapter in front of the farmers' market outside.
pub const MARKET: &str = "market";
/// The stand-in for that market.
pub const MARKET_SIM: &str = "market-sim";
/// The live view.
pub const BOARD: &str = "board";

/// All of them, in the order in which an order meets them.
pub const ALL: [&str; 7] = [GATEWAY, ORDERS, KITCHEN, INVENTORY, MARKET, MARKET_SIM, BOARD];

/// What prepares the others, and then ends: it is no service.
pub const BOOTSTRAP: &str = "bootstrap";

/// As which user each runs in a container; its group has the same number. Each has one of its own, so that a file can be
/// for one of them alone.
pub const UIDS: [(&str, u32); 8] = [
    (BOOTSTRAP, 10_000),
    (GATEWAY, 10_001),
    (ORDERS, 10_002),
    (KITCHEN, 10_003),
    (INVENTORY, 10_004),
    (MARKET, 10_005),
    (MARKET_SIM, 10_006),
    (BOARD, 10_007),
];
