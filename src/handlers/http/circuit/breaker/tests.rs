//! The rule by examples, and by all that can happen in any order.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const FAILURES: u32 = 3;
const OPEN: Duration = Duration::from_secs(30);

fn breaker(failures: u32) -> Breaker {
    Breaker::new(CircuitSettings { failures, open_for: OPEN })
}

/// One request after the other, which all end so.
fn ends(breaker: &mut Breaker, signs: &[Sign], now: Instant) -> Vec<Option<Change>> {
    let one = |sign: &Sign| {
        let Admission::Go(ticket) = breaker.admit(now) else {
            panic!("{sign:?} isn't let through")
        };
        breaker.settle(ticket, *sign, now)
    };
    signs.iter().map(one).collect()
}

fn go(breaker: &mut Breaker, now: Instant) -> Ticket {
    match breaker.admit(now) {
        Admission::Go(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

use Sign::{Ill, Late, Silent, Well};

#[test]
fn it_opens_with_the_last_of_so_many_failures_in_a_row() {
    let now = Instant::now();
    let mut breaker = breaker(FAILURES);
    assert_eq!(ends(&mut breaker, &[Ill, Ill, Well, Ill, Silent, Ill], now), [None; 6]);
    assert_eq!(ends(&mut breaker, &[Ill], now), [Some(Change::Opened)]);
    assert!(breaker.is_open());
    assert_eq!(breaker.admit(now), Admission::Wait(OPEN));
    assert_eq!(breaker.admit(now + OPEN / 3), Admission::Wait(OPEN / 3 * 2));
}

#[test]
fn one_request_sees_whether_it_is_well_and_opens_it_again_if_not() {
    let start = Instant::now();
    let mut breaker = breaker(FAILURES);
    ends(&mut breaker, &[Ill; 3], start);
    for round in 1..4 {
        let now = start + OPEN * round;
        let trial = go(&mut breaker, now);
        assert!(!breaker.is_open() && !breaker.is_closed());
        assert_eq!(breaker.admit(now), Admission::Wait(OPEN), "the others wait for the trial");
        assert_eq!(breaker.settle(trial, Ill, now), None, "told of once");
        assert_eq!(breaker.admit(now), Admission::Wait(OPEN));
    }
}

#[test]
fn each_success_lets_one_more_be_under_way_until_it_is_closed() {
    let start = Instant::now();
    let mut breaker = breaker(4);
    ends(&mut breaker, &[Ill; 4], start);
    let now = start + OPEN;
    let mut under_way = vec![go(&mut breaker, now)];
    for round in [1, 2] {
        assert_eq!(under_way.len(), round);
        for ticket in std::mem::take(&mut under_way) {
            assert_eq!(breaker.settle(ticket, Well, now), None);
        }
        while let Admission::Go(ticket) = breaker.admit(now) {
            under_way.push(ticket);
        }
        assert_eq!(breaker.admit(now), Admission::Full);
    }
    assert_eq!(under_way.len(), 4, "1 + 2 have succeeded");
    assert_eq!(breaker.settle(under_way.remove(0), Well, now), Some(Change::Closed));
    assert!(breaker.is_closed());
    // What the half-open one had sent says nothing of the closed one.
    for ticket in under_way {
        assert_eq!(breaker.settle(ticket, Ill, now), None);
    }
    assert_eq!(ends(&mut breaker, &[Ill; 3], now), [None; 3]);
}

#[test]
fn a_trial_that_says_nothing_gives_its_place_to_the_next() {
    let start = Instant::now();
    let mut breaker = breaker(FAILURES);
    ends(&mut breaker, &[Ill; 3], start);
    let now = start + OPEN;
    let trial = go(&mut breaker, now);
    assert_eq!(breaker.settle(trial, Silent, now), None);
    assert_eq!(ends(&mut breaker, &[Well; 3], now), [None, None, Some(Change::Closed)]);
}

#[test]
fn a_trial_that_is_not_answered_in_its_jobs_time_is_followed_by_a_rest() {
    let start = Instant::now();
    let mut breaker = breaker(FAILURES);
    assert_eq!(ends(&mut breaker, &[Late; 9], start), [None; 9], "a job's time opens no circuit");
    ends(&mut breaker, &[Ill; 3], start);
    let now = start + OPEN;
    let trial = go(&mut breaker, now);
    assert_eq!(breaker.settle(trial, Late, now), None);
    assert_eq!(breaker.admit(now), Admission::Wait(OPEN));
}

#[test]
fn what_was_under_way_when_it_opened_neither_closes_it_nor_keeps_it_open() {
    let now = Instant::now();
    let mut breaker = breaker(FAILURES);
    let mut old: Vec<_> = (0..10).map(|_| go(&mut breaker, now)).collect();
    let very_old = old.split_off(4);
    ends(&mut breaker, &[Ill; 3], now);
    for (ticket, sign) in old.into_iter().zip([Well, Ill].into_iter().cycle()) {
        assert_eq!(breaker.settle(ticket, sign, now + OPEN / 2), None);
    }
    assert_eq!(breaker.admit(now + OPEN / 2), Admission::Wait(OPEN / 2));
    go(&mut breaker, now + OPEN);
    for (ticket, sign) in very_old.into_iter().zip([Well, Ill, Silent].into_iter().cycle()) {
        assert_eq!(breaker.settle(ticket, sign, now + OPEN), None);
        assert!(!breaker.is_open() && !breaker.is_closed());
        assert_eq!(
            breaker.admit(now + OPEN),
            Admission::Wait(OPEN),
            "the trial alone is under way"
        );
    }
}

#[test]
fn without_failures_to_count_there_is_none() {
    let now = Instant::now();
    let mut breaker = breaker(0);
    assert_eq!(ends(&mut breaker, &[Ill; 1000], now), vec![None; 1000]);
    assert!(breaker.is_closed());
}

/// What happens next: a job comes; the oldest or the newest request ends; time passes.
#[derive(Debug, Clone, Copy)]
enum Step {
    Job,
    End { oldest: bool, sign: Sign },
    Time(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    let sign = prop_oneof![3 => Just(Ill), 2 => Just(Well), 1 => Just(Late), 1 => Just(Silent)];
    prop_oneof![
        3 => Just(Step::Job),
        3 => (any::<bool>(), sign).prop_map(|(oldest, sign)| Step::End { oldest, sign }),
        1 => (0..40u8).prop_map(Step::Time),
    ]
}

#[test]
fn in_whatever_order_things_happen_nothing_is_sent_too_early_and_nobody_waits_for_ever() {
    proptest!(|(steps in proptest::collection::vec(any_step(), 0..300))| {
        let mut now = Instant::now();
        let mut breaker = breaker(FAILURES);
        let mut under_way = VecDeque::new();
        // When it was last seen to become open, by the state alone.
        let mut opened = None;
        for step in steps {
            let was_open = breaker.is_open();
            match step {
                Step::Job => match breaker.admit(now) {
                    Admission::Go(ticket) => {
                        prop_assert!(!was_open || opened.is_none_or(|at| now >= at + OPEN));
                        under_way.push_back(ticket);
                    }
                    Admission::Wait(rest) => {
                        prop_assert!(!breaker.is_closed() && rest <= OPEN && rest > Duration::ZERO);
                    }
                    Admission::Full => prop_assert!(!under_way.is_empty()),
                },
                Step::End { oldest, sign } => {
                    let ticket = if oldest { under_way.pop_front() } else { under_way.pop_back() };
                    let Some(ticket) = ticket else { continue };
                    let was_closed = breaker.is_closed();
                    let change = breaker.settle(ticket, sign, now);
                    let expected = match (was_closed, breaker.is_closed()) {
                        (true, false) => Some(Change::Opened),
                        (false, true) => Some(Change::Closed),
                        _ => None,
                    };
                    prop_assert_eq!(change, expected);
                    // A failure opens it; being late, only when it was half open.
                    let may_open = sign == Ill || sign == Late && !was_closed;
                    prop_assert!(may_open || was_open || !breaker.is_open());
                }
                Step::Time(seconds) => now += Duration::from_secs(seconds.into()),
            }
            if breaker.is_open() && !was_open {
                opened = Some(now);
            }
        }
        // Whatever is still under way ends; then the receiver is well, and gets everything again.
        for ticket in under_way {
            breaker.settle(ticket, Silent, now);
        }
        now += OPEN;
        for _ in 0..2 * FAILURES {
            let ticket = go(&mut breaker, now);
            breaker.settle(ticket, Well, now);
        }
        prop_assert!(breaker.is_closed());
    });
}
