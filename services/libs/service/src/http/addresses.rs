//! How many connections each address has open.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Counts the open connections of each address, up to a maximum for each. It remembers as many addresses as there are connections.
#[derive(Debug)]
pub(super) struct Addresses {
    connections_max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of an address. Dropping it makes room for another.
#[derive(Debug)]
pub(super) struct Counted {
    addresses: Arc<Addresses>,
    network: IpAddr,
}

impl Addresses {
    pub(super) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, open: Mutex::default() })
    }

    /// Counts one more connection of an address; nothing if it has as many as one may have.
    pub(super) fn count(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let network = network_of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = open.entry(network).or_default();
        if *connections >= self.connections_max {
            return None;
        }
        *connections += 1;
        Some(Counted { addresses: Arc::clone(self), network })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = open.get_mut(&self.network) {
            *connections -= 1;
            if *connections == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// Returns what counts as one client: an address of IPv4, or all of a /64 of IPv6, which one client has to itself.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::from(u64::MAX) << 64)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_with_a_whole_network_of_ipv6_is_one_client() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }

    #[test]
    fn an_address_without_connections_is_not_remembered() {
        let addresses = Addresses::new(2);
        let of = |text: &str| addresses.count(text.parse().unwrap());
        let first = of("10.0.0.1").unwrap();
        let second = of("10.0.0.1").unwrap();
        assert!(of("10.0.0.1").is_none());
        assert!(of("10.0.0.2").is_some());
        drop((first, second));
        assert!(addresses.open.lock().unwrap().is_empty());
    }
}
