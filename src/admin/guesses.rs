//! Who has sent wrong tokens of late, and how long the next one from there isn't looked at.
//!
//! Nobody is kept waiting on a connection: while its time runs, whoever guesses is answered at once, by when
//! to come again, whatever the token. So a guess costs time and no place of the port, and others notice
//! nothing. A token that was wrong before is no guess, or a program that still has the old one would keep
//! everybody out who shares its address. It knows no token and compares none.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Addresses that are remembered; beyond it the one that has been quiet for longest is forgotten. Who has
/// more than that can guess faster, and needs 2^128 guesses all the same.
const PEERS_MAX: usize = 1024;
/// Wrong tokens that cost nothing: people mistype.
const FREE: u32 = 5;
/// The wait after the first that does; each further one doubles it.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// After so long without a wrong token an address is one like any other.
const MEMORY: Duration = Duration::from_mins(10);
/// Wrong tokens of an address that are known again.
const KNOWN_MAX: usize = 16;

/// Everybody who has guessed.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    peers: Mutex<HashMap<IpAddr, Guesser>>,
    /// Keyed at random, so that nobody can make two tokens look the same.
    hasher: RandomState,
}

#[derive(Debug)]
struct Guesser {
    wrong: u32,
    last: Instant,
    /// Until when no token is looked at.
    until: Instant,
    known: VecDeque<u64>,
}

impl Guesses {
    /// How long no token from there is looked at.
    pub(super) fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = peers.get(&place(peer))?.until.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// A token from there was wrong.
    pub(super) fn wrong(&self, peer: IpAddr, token: &str, now: Instant) {
        let token = self.hasher.hash_one(token);
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, guesser| now.saturating_duration_since(guesser.last) < MEMORY);
        let peer = place(peer);
        if peers.len() >= PEERS_MAX && !peers.contains_key(&peer) {
            let quietest = peers.iter().min_by_key(|(_, guesser)| guesser.last);
            if let Some(quietest) = quietest.map(|(peer, _)| *peer) {
                peers.remove(&quietest);
            }
        }
        let fresh = || Guesser { wrong: 0, last: now, until: now, known: VecDeque::new() };
        peers.entry(peer).or_insert_with(fresh).guessed(token, now);
    }
}

impl Guesser {
    fn guessed(&mut self, token: u64, now: Instant) {
        if self.known.contains(&token) {
            return;
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back(token);
        self.wrong = self.wrong.saturating_add(1);
        self.last = now;
        if let Some(beyond) = self.wrong.checked_sub(FREE + 1) {
            let wait = WAIT_MIN.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX));
            self.until = now + wait.min(WAIT_MAX);
        }
    }
}

/// What counts as one address: all of loopback, and the network that one customer has of IPv6.
fn place(peer: IpAddr) -> IpAddr {
    let peer = peer.to_canonical();
    if peer.is_loopback() {
        return IpAddr::V4(Ipv4Addr::LOCALHOST);
    }
    match peer {
        IpAddr::V6(peer) => IpAddr::V6(Ipv6Addr::from_bits(peer.to_bits() >> 64 << 64)),
        peer @ IpAddr::V4(_) => peer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const NEIGHBOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// So many different tokens from there.
    fn guess(guesses: &Guesses, peer: IpAddr, tokens: std::ops::Range<u32>, now: Instant) {
        tokens.for_each(|token| guesses.wrong(peer, &token.to_string(), now));
    }

    #[test]
    fn from_the_sixth_guess_on_each_costs_twice_the_time_of_the_one_before() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        guess(&guesses, SOMEBODY, 0..5, now);
        assert_eq!(guesses.wait(SOMEBODY, now), None);
        for (number, seconds) in [(5, 1), (6, 2), (7, 4), (8, 8), (9, 16), (10, 30), (11, 30)] {
            guess(&guesses, SOMEBODY, number..number + 1, now);
            assert_eq!(guesses.wait(SOMEBODY, now), Some(Duration::from_secs(seconds)));
        }
        guess(&guesses, SOMEBODY, 12..100, now);
        assert_eq!(guesses.wait(SOMEBODY, now), Some(WAIT_MAX));
        assert_eq!(guesses.wait(SOMEBODY, now + WAIT_MAX), None, "its time is over");
        assert_eq!(guesses.wait(NEIGHBOUR, now), None);
    }

    #[test]
    fn a_token_that_was_wrong_before_is_no_guess() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..1000 {
            guess(&guesses, SOMEBODY, 0..5, now);
        }
        assert_eq!(guesses.wait(SOMEBODY, now), None);
    }

    #[test]
    fn who_was_quiet_for_ten_minutes_begins_anew() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        guess(&guesses, SOMEBODY, 0..20, now);
        let later = now + MEMORY - Duration::from_secs(1);
        guess(&guesses, SOMEBODY, 20..21, later);
        assert_eq!(guesses.wait(SOMEBODY, later), Some(WAIT_MAX), "it isn't forgotten yet");
        let later = later + MEMORY;
        guess(&guesses, SOMEBODY, 21..26, later);
        assert_eq!(guesses.wait(SOMEBODY, later), None);
    }

    #[test]
    fn all_of_loopback_is_one_address_and_so_is_a_network_of_ipv6() {
        for (one, other, same) in [
            ("127.0.0.1", "127.9.9.9", true),
            ("127.0.0.1", "::1", true),
            ("127.0.0.1", "::ffff:127.0.0.3", true),
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let (guesses, now) = (Guesses::default(), Instant::now());
            guess(&guesses, address(one), 0..6, now);
            assert_eq!(guesses.wait(address(other), now).is_some(), same, "{one} and {other}");
        }
    }

    #[test]
    fn a_thousand_and_some_addresses_are_remembered_and_the_quietest_is_forgotten() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let of = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + number));
        guess(&guesses, of(0), 0..6, now);
        guess(&guesses, of(1), 0..6, now + Duration::from_millis(1));
        for number in 2..2000 {
            guess(&guesses, of(number), 0..1, now + Duration::from_millis(number.into()));
            // It guesses on and stays.
            guess(&guesses, of(1), number..number + 1, now + Duration::from_millis(number.into()));
        }
        assert_eq!(guesses.peers.lock().unwrap().len(), PEERS_MAX);
        assert_eq!(guesses.wait(of(0), now), None);
        assert!(guesses.wait(of(1), now).is_some());
    }
}
