//! The one table of the environment's programs: what each is called, runs as, may call and needs. The gateway, the embedded
//! process, users, secrets, roles, and the checks of `compose.yaml`, the Kubernetes manifests and the images derive from it.

use crate::events::catalogue::{CATALOGUE, Entry};

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
/// What prepares the services, and then ends: it is no service.
pub const BOOTSTRAP: &str = "bootstrap";

/// The port at which a service in a container answers HTTP.
pub const HTTP_PORT: u16 = 8080;
/// The port at which a service in a container answers gRPC.
pub const GRPC_PORT: u16 = 8081;

/// One program of the environment, with an image of its own: a service, or what prepares the services.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// What logs, events, schemas, images, files and hosts call it.
    pub name: &'static str,
    /// The user that it runs as in a container; its group has the same number. Each has one of its own, so that a file can be
    /// for one of them alone.
    pub uid: u32,
    /// Its role in PostgreSQL, which has a schema of the same name; none if it keeps nothing there.
    pub role: Option<&'static str>,
    /// The ports at which it answers in a container: every service answers at [`HTTP_PORT`].
    pub ports: &'static [u16],
    /// The services that it calls. All else goes by events.
    pub calls: &'static [Call],
    /// What it shares with the world outside, if anything.
    pub border: Option<Border>,
    /// Whether it runs only where people develop: staging and production have none.
    pub development_only: bool,
}

/// A service that a program calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The service that answers.
    pub to: &'static str,
    /// The port at which it answers in a container.
    pub port: u16,
    /// The variable with its URLs.
    pub variable: &'static str,
}

/// What a service shares with the world outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Guests call it.
    In,
    /// It calls the farmers' market.
    Out,
}

/// Every program: the services in the order in which an order meets them, then what prepares them.
pub const TABLE: [Program; 8] = [
    Program {
        calls: &[
            http(ORDERS, "CHEFCITO_ORDERS_URL"),
            http(KITCHEN, "CHEFCITO_KITCHEN_URL"),
            http(INVENTORY, "CHEFCITO_INVENTORY_URL"),
            // `CHEFCITO_MARKET_URL` is the farmers' market itself, which only the adapter reaches.
            http(MARKET, "CHEFCITO_MARKET_SERVICE_URL"),
            http(MARKET_SIM, "CHEFCITO_MARKET_SIM_URL"),
            http(BOARD, "CHEFCITO_BOARD_URL"),
        ],
        border: Some(Border::In),
        ..service(GATEWAY, 10_001)
    },
    service(ORDERS, 10_002),
    service(KITCHEN, 10_003),
    Program {
        calls: &[Call { to: MARKET, port: GRPC_PORT, variable: "CHEFCITO_MARKET_ADDRESS" }],
        ..service(INVENTORY, 10_004)
    },
    Program {
        ports: &[HTTP_PORT, GRPC_PORT],
        calls: &[http(MARKET_SIM, "CHEFCITO_MARKET_SIM_URL")],
        border: Some(Border::Out),
        ..service(MARKET, 10_005)
    },
    Program { development_only: true, ..service(MARKET_SIM, 10_006) },
    service(BOARD, 10_007),
    Program { role: None, ports: &[], ..service(BOOTSTRAP, 10_000) },
];

/// The names of the services, in the order of the table.
pub const ALL: [&str; TABLE.len() - 1] = {
    let mut names = [""; TABLE.len() - 1];
    let mut row = 0;
    while row < names.len() {
        assert!(TABLE[row].is_service());
        names[row] = TABLE[row].name;
        row += 1;
    }
    names
};

const fn service(name: &'static str, uid: u32) -> Program {
    Program {
        name,
        uid,
        role: Some(name),
        ports: &[HTTP_PORT],
        calls: &[],
        border: None,
        development_only: false,
    }
}

const fn http(to: &'static str, variable: &'static str) -> Call {
    Call { to, port: HTTP_PORT, variable }
}

impl Program {
    /// Returns the program of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        const { &TABLE }.iter().find(|program| program.name == name)
    }

    /// Returns whether it is a service: it stays, and answers.
    #[must_use]
    pub const fn is_service(&self) -> bool {
        !self.ports.is_empty()
    }

    /// Returns the events that it acts on, as the catalogue says.
    pub fn reads(&self) -> impl Iterator<Item = &'static Entry> + use<'_> {
        const { &CATALOGUE }.iter().filter(|entry| entry.readers.contains(&self.name))
    }

    /// Returns the events that it writes, as the catalogue says.
    pub fn writes(&self) -> impl Iterator<Item = &'static Entry> + use<'_> {
        const { &CATALOGUE }.iter().filter(|entry| entry.writer == self.name)
    }

    /// Returns whether it reads or writes events. Only such a program is given the address and the password of the broker, and
    /// only such a program may reach it.
    #[must_use]
    pub fn uses_bus(&self) -> bool {
        self.reads().chain(self.writes()).next().is_some()
    }
}
