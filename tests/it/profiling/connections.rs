//! What a connection to a receiver takes is the work of the kind that it carries.

use super::TURN;
use crate::process::enqueue_many;
use crate::support::{
    self, Daemon,
    receiver::{Receiver, answer},
};

/// What the client library does in the task that a connection is.
const CLIENT: &str = "hyper::proto::h1::dispatch::Client<";

#[test]
fn what_a_connection_takes_is_its_kinds() {
    support::run(async |db| {
        let _turn = TURN.lock().await;
        let receiver = Receiver::answering(|_| answer("204 No Content", &[], "")).await;
        let text = super::configuration(&db)
            + &format!(
                "[[kind]]\nname = 'hook'\nhandler = 'http'\nurl = 'http://{}/'\nallow_hosts = ['127.0.0.1']\n",
                receiver.address
            );
        let daemon = Daemon::start(&text).await;
        let (admin, pool) = (daemon.admin().await, db.pool().await);
        let (mut own, mut others) = (0, Vec::new());
        support::eventually("samples of the connections", async || {
            enqueue_many(&pool, "hook", 500).await;
            let profile = super::ask(admin, "profile?seconds=1&format=folded").await;
            assert_eq!(profile.status, 200, "{}", profile.text());
            let stacks = profile.text();
            for stack in stacks.lines().filter(|stack| stack.contains(CLIENT)) {
                if stack.starts_with("hook;") {
                    own += 1;
                } else {
                    others.push(stack.to_owned());
                }
            }
            own > 0
        })
        .await;
        assert!(others.is_empty(), "{others:#?}");
        daemon.stop().await;
        pool.close().await;
    });
}
