//! Which addresses a kind's requests may reach: public ones, and what the kind allows besides.
//!
//! It knows addresses and names, no sockets. Whoever connects asks for every address that a name has
//! right before it does, so that a name which was public a minute ago doesn't lead inside.

use super::arguments::host_in;
use ::url::{Host, Url};
use ipnet::IpNet;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What lies behind an address that isn't public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Somebody's own network or host: what a listed name may lead to.
    Inside(&'static str),
    /// Addresses that mean something to one link, one cloud or nobody: only a listed network does.
    Special(&'static str),
}

use Place::{Inside, Special};

/// IANA's special-purpose registry for IPv4, and one address that a cloud made special.
const V4: [(Ipv4Addr, u8, Place); 17] = [
    (Ipv4Addr::UNSPECIFIED, 8, Special("this network")),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Inside("private")),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Inside("shared by a provider")),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Inside("loopback")),
    (Ipv4Addr::new(168, 63, 129, 16), 32, Special("a cloud's metadata")),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Special("link-local or a cloud's metadata")),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Inside("private")),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Special("protocol assignments")),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Special("documentation")),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Special("6to4 relay")),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Inside("private")),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Special("benchmarking")),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Special("documentation")),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Special("documentation")),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Special("multicast")),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Special("reserved")),
    (Ipv4Addr::new(100, 100, 100, 200), 32, Special("a cloud's metadata")),
];

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

/// The same for IPv6, most special first. What isn't global unicast (`2000::/3`) is denied anyway.
const V6: [(Ipv6Addr, u8, Place); 14] = [
    (Ipv6Addr::LOCALHOST, 128, Inside("loopback")),
    (Ipv6Addr::UNSPECIFIED, 128, Special("unspecified")),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, Special("IPv4-mapped")),
    (v6(0x0064, 0xff9b, 0), 96, Special("translated to IPv4")),
    (v6(0x0064, 0xff9b, 1), 48, Special("translated to IPv4")),
    (Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254), 128, Special("a cloud's metadata")),
    (v6(0xfc00, 0, 0), 7, Inside("private")),
    (v6(0xfe80, 0, 0), 10, Special("link-local")),
    (v6(0xff00, 0, 0), 8, Special("multicast")),
    (v6(0x2001, 0, 0), 23, Special("protocol assignments")),
    (v6(0x2001, 0x0db8, 0), 32, Special("documentation")),
    (v6(0x2002, 0, 0), 16, Special("6to4")),
    (v6(0x3fff, 0, 0), 20, Special("documentation")),
    (v6(0x0100, 0, 0), 8, Special("discarded or reserved")),
];

/// An address that may not be reached, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {what}: name {how} in allow_hosts if it is meant")]
pub struct Denied {
    address: IpAddr,
    what: &'static str,
    how: String,
}

/// What a kind's `allow_hosts` lets in, on top of public addresses.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Egress {
    names: Vec<String>,
    networks: Vec<IpNet>,
}

impl Egress {
    /// Names, addresses and networks (`10.0.0.0/8`).
    pub fn allowing<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut egress = Self::default();
        for host in hosts {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            match (host.parse::<IpNet>(), address) {
                (Ok(network), _) => egress.networks.push(network),
                (_, Ok(address)) => egress.networks.push(IpNet::from(address)),
                _ => egress.names.push(name(host)?),
            }
        }
        Ok(egress)
    }

    /// Whether it names the very host of a URL.
    pub(crate) fn lists(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Domain(name)) => self.names_host(name),
            Some(Host::Ipv4(address)) => self.has(address.into()),
            Some(Host::Ipv6(address)) => self.has(address.into()),
            None => false,
        }
    }

    fn names_host(&self, host: &str) -> bool {
        let bare = host.trim_end_matches('.');
        self.names.iter().any(|name| name == bare)
    }

    fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The address that stands in a URL itself, if one does: no name is looked up on the way to it.
    pub(crate) fn judge_address(&self, url: &Url) -> Result<(), Denied> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::from(address),
            Some(Host::Ipv6(address)) => IpAddr::from(address),
            _ => return Ok(()),
        };
        self.judge(url.host_str().unwrap_or_default(), address)
    }

    /// Whether requests to `host` may go to this address, which it has now. A listed name may lead inside,
    /// but not to a cloud's metadata and the like: those have to be listed as what they are.
    pub fn judge(&self, host: &str, address: IpAddr) -> Result<(), Denied> {
        let Some(place) = place(address) else { return Ok(()) };
        if self.has(address) {
            return Ok(());
        }
        let bare = host.trim_end_matches('.');
        match place {
            Inside(_) if self.names_host(bare) => Ok(()),
            Inside(what) => {
                let is_name = bare.parse::<IpAddr>().is_err() && !bare.starts_with('[');
                let how = if is_name { bare.to_owned() } else { address.to_string() };
                Err(Denied { address, what, how: format!("{how:?}") })
            }
            Special(what) => Err(Denied { address, what, how: format!("\"{address}\" itself") }),
        }
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks = self.networks.iter().map(ToString::to_string);
        f.debug_set().entries(&self.names).entries(networks).finish()
    }
}

/// A host name as URLs have it: lower case, and ASCII.
fn name(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err(format!(
            "{:?} would match nothing, since no host has such a name: list each host by its own, or \
             the network that they are in, \"10.0.0.0/8\"",
            host_in(text)
        ));
    }
    match Host::parse(text) {
        Ok(Host::Domain(name))
            if !name.contains(['/', ':']) && !name.trim_end_matches('.').is_empty() =>
        {
            Ok(name.trim_end_matches('.').to_owned())
        }
        _ => Err(format!(
            "{:?} is neither a host's name nor an address nor a network: write \"app\", \
             \"10.1.2.3\" or \"10.0.0.0/8\"",
            host_in(text)
        )),
    }
}

/// Nothing for a public address.
fn place(address: IpAddr) -> Option<Place> {
    match address {
        IpAddr::V4(address) => {
            let bits = u32::from(address);
            let inside = |(network, length, _): &&(Ipv4Addr, u8, Place)| {
                (bits ^ u32::from(*network)) >> (32 - length) == 0
            };
            // The longest prefix tells most.
            V4.iter().filter(inside).max_by_key(|(_, length, _)| *length).map(|(.., place)| *place)
        }
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            let inside = |(network, length, _): &&(Ipv6Addr, u8, Place)| {
                (bits ^ u128::from(*network)) >> (128 - length) == 0
            };
            let listed = V6.iter().find(inside).map(|(.., place)| *place);
            let is_global_unicast = bits >> 125 == 0b001;
            listed.or((!is_global_unicast).then_some(Special("not global")))
        }
    }
}

#[cfg(test)]
mod tests;
