//! What is handed on and what isn't, and how often the system is asked.

use super::*;
use futures::future::join_all;
use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    thread,
    time::Duration,
};
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};

fn name() -> Name {
    "example.org".parse().expect("a name")
}

async fn resolved(lookup: Lookup) -> Result<Vec<SocketAddr>, String> {
    let found = Resolver::by(lookup, Some(Egress::default())).call(name()).await;
    found.map(Iterator::collect).map_err(|error| error.to_string())
}

#[expect(clippy::unnecessary_wraps, reason = "a look-up may fail")]
fn given(addresses: &[&str]) -> io::Result<Addresses> {
    Ok(addresses.iter().map(|ip| SocketAddr::new(ip.parse().expect("an IP"), 0)).collect())
}

#[tokio::test]
async fn public_addresses_are_handed_on_as_they_are() {
    let found = resolved(|_| given(&["8.8.8.8", "2606:4700::1"])).await.expect("public");
    assert_eq!(
        found.iter().map(|found| found.ip().to_string()).collect::<Vec<_>>(),
        ["8.8.8.8", "2606:4700::1"]
    );
}

#[tokio::test]
async fn one_address_inside_condemns_the_name() {
    let denied = resolved(|_| given(&["8.8.8.8", "127.0.0.1"])).await.expect_err("loopback");
    assert!(denied.contains("127.0.0.1 is loopback"), "{denied}");
    let denied = resolved(|_| given(&["::ffff:10.0.0.1"])).await.expect_err("mapped");
    assert!(denied.contains("IPv4-mapped"), "{denied}");
}

#[tokio::test]
async fn without_a_judge_any_address_is_handed_on() {
    let found = Resolver::by(|_| given(&["127.0.0.1"]), None).call(name()).await.expect("any");
    assert_eq!(found.map(|found| found.ip().to_string()).collect::<Vec<_>>(), ["127.0.0.1"]);
}

#[tokio::test]
async fn a_name_that_is_bound_anew_is_judged_anew() {
    static ASKED: AtomicBool = AtomicBool::new(false);
    let rebinding: Lookup = |_| {
        let asked_before = ASKED.swap(true, SeqCst);
        given(&[if asked_before { "169.254.169.254" } else { "8.8.8.8" }])
    };
    resolved(rebinding).await.expect("public at first");
    resolved(rebinding).await.expect_err("a cloud's metadata the second time");
}

#[tokio::test]
async fn why_a_name_stands_for_nothing_is_told_to_each_who_waited() {
    let failing: Lookup = |_| Err(io::Error::from_raw_os_error(nix::libc::EMFILE));
    let told = resolved(failing).await.expect_err("none");
    assert!(told.contains("Too many open files"), "{told}");
}

/// However many ask, and also after all of them have lost patience, one thread is blocked.
#[tokio::test]
async fn while_a_look_up_goes_on_nobody_begins_another() {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    static ANSWERS: AtomicBool = AtomicBool::new(false);
    let slow: Lookup = |_| {
        BEGUN.fetch_add(1, SeqCst);
        while !ANSWERS.load(SeqCst) {
            thread::yield_now();
        }
        given(&["8.8.8.8"])
    };
    let resolver = Resolver::by(slow, None);
    let ask = || resolver.clone().call(name());
    // Long enough for whoever would begin one.
    let impatient = timeout(Duration::from_millis(50), join_all((0..50).map(|_| ask())));
    impatient.await.expect_err("nothing answers");
    let answers = async {
        while BEGUN.load(SeqCst) == 0 {
            yield_now().await;
        }
        ANSWERS.store(true, SeqCst);
    };
    let (found, ()) = tokio::join!(join_all((0..50).map(|_| ask())), answers);
    assert!(found.len() == 50 && found.iter().all(Result::is_ok));
    assert_eq!(BEGUN.load(SeqCst), 1);
    // What is over answers nobody who comes later, once its thread has gone.
    while BEGUN.load(SeqCst) < 2 {
        ask().await.expect("an address");
        // The thread's last breath.
        sleep(Duration::from_millis(1)).await;
    }
}
