//! While nobody takes a CPU profile, the daemon has no timer of the sampler's.

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

use super::{ask, daemon};
use crate::support::{self, Daemon, PATIENCE};

/// Timers of a process that send SIGPROF, as the kernel lists them: the sampler's, a line of this kind each.
fn timers(daemon: &Daemon) -> usize {
    let listed = format!("/proc/{}/timers", daemon.pid());
    let listed = fs::read_to_string(&listed).expect("a kernel that lists a process's timers");
    listed.lines().filter(|line| line.starts_with("signal: 27/")).count()
}

/// Which signals have a handler, are ignored, and are waited with, as the kernel has it.
fn signals(daemon: &Daemon) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("it lives");
    let of = |line: &&str| ["SigCgt:", "SigIgn:"].iter().any(|name| line.starts_with(name));
    status.lines().filter(of).map(str::to_owned).collect()
}

/// Less than the profile that is looked at meanwhile.
const A_WHILE: Duration = Duration::from_secs(4);

#[test]
fn there_are_timers_while_a_profile_is_taken_and_none_before_after_and_once_its_client_has_left() {
    support::run(async |db| {
        let (daemon, address) = daemon(&db).await;
        daemon.logged("daemon.started").await;
        let before = signals(&daemon);
        assert_eq!(timers(&daemon), 0, "nobody has asked");

        // On a busy machine one may be over before anybody looks.
        let (began, mut looked) = (Instant::now(), false);
        while !looked {
            assert!(began.elapsed() < PATIENCE, "no profile had a timer");
            let profile = ask(address, "profile?seconds=5");
            let looks = support::holds_within(A_WHILE, async || timers(&daemon) > 0);
            let (profile, saw) = tokio::join!(profile, looks);
            assert_eq!(profile.status, 200, "{}", profile.text());
            // Before the answer, and not some time after it.
            assert_eq!(timers(&daemon), 0, "a profile was taken");
            looked = saw;
        }

        tokio::select! {
            profile = ask(address, "profile?seconds=120") => {
                unreachable!("it takes two minutes: {}", profile.text())
            }
            () = support::eventually("it is under way", async || timers(&daemon) > 0) => {}
        }
        support::eventually("its client has left", async || timers(&daemon) == 0).await;
        assert_eq!(signals(&daemon), before, "a profile changes no handler");
        daemon.stop().await;
    });
}
