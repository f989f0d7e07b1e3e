//! Who may open another connection: limits of all together and of each address (`max.connections`, `max.connections.per.ip`,
//! `max.connections.per.ip.overrides`; KIP-402, KIP-612).

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use crate::BrokerSettings;

/// Places kept for clients on the machine itself, but never more than this part of all.
const KEPT_FOR_LOOPBACK: usize = 16;
const KEPT_PART: usize = 8;

/// The connections that are open.
#[derive(Default)]
pub(crate) struct Admission(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why another connection is too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("there are as many connections as max.connections allows")]
    All,
    #[error("there are as many connections from this address as max.connections.per.ip allows")]
    Address,
}

/// A place, until it is dropped.
pub(crate) struct Place {
    open: Arc<Mutex<Open>>,
    address: IpAddr,
}

impl Admission {
    pub(crate) fn enter(&self, from: IpAddr, limits: &BrokerSettings) -> Result<Place, Full> {
        let address = from.to_canonical();
        let all_max = limits.connections_max;
        let kept = if address.is_loopback() { 0 } else { KEPT_FOR_LOOPBACK.min(all_max / KEPT_PART) };
        let own = limits.connections_per_ip_overrides.get(&address);
        let address_max = own.copied().unwrap_or(limits.connections_per_ip_max);
        let mut open = self.0.lock();
        if open.all >= all_max - kept {
            return Err(Full::All);
        }
        if open.by_address.get(&address).copied().unwrap_or(0) >= address_max {
            return Err(Full::Address);
        }
        open.all += 1;
        *open.by_address.entry(address).or_default() += 1;
        Ok(Place { open: self.0.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        open.all -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_last_places_are_for_the_machine_itself() {
        let limits = BrokerSettings { connections_max: 16, ..Default::default() };
        let admission = Admission::default();
        let enter = |from: &str| admission.enter(ip(from), &limits);
        let places: Vec<_> = (0..14).map(|_| enter("10.0.0.1").expect("room")).collect();
        assert_eq!(enter("10.0.0.2").err(), Some(Full::All));
        let own = (enter("127.0.0.1").expect("kept"), enter("::ffff:127.0.0.1").expect("kept"));
        assert_eq!(enter("::1").err(), Some(Full::All));
        drop((places, own));
        assert!(enter("10.0.0.2").is_ok(), "who left makes room");
        assert!(admission.0.lock().by_address.is_empty(), "and is forgotten");
    }

    #[test]
    fn an_address_has_its_own_limit_or_that_of_all() {
        let overrides = [(ip("10.0.0.1"), 2), (ip("10.0.0.3"), 0)].into();
        let limits = BrokerSettings {
            connections_per_ip_max: 1,
            connections_per_ip_overrides: overrides,
            ..BrokerSettings::default()
        };
        let admission = Admission::default();
        let enter = |from: &str| admission.enter(ip(from), &limits);
        let first = enter("10.0.0.1").expect("one");
        let _second = enter("::ffff:10.0.0.1").expect("two");
        assert_eq!(enter("10.0.0.1").err(), Some(Full::Address));
        let _other = enter("10.0.0.2").expect("one");
        assert_eq!(enter("10.0.0.2").err(), Some(Full::Address));
        assert_eq!(enter("10.0.0.3").err(), Some(Full::Address));
        drop(first);
        assert!(enter("10.0.0.1").is_ok());
    }
}
