//! `[canary]`.

use std::time::Duration;

use super::keys::file;
use crate::support::{self, Daemon};

#[test]
fn a_canary_goes_through_the_named_queue_at_each_interval() {
    const DEFAULT: Duration = Duration::from_secs(30);
    support::run(async |db| {
        let rest = "[admin]\nlisten = '127.0.0.1:0'\n\
            [canary]\nenabled = true\ninterval = '1s'\nqueue = 'second'\n\
            [[queue]]\nname = 'first'\n[[queue]]\nname = 'second'\n";
        let daemon = Daemon::start(&file(&db, rest)).await;
        let arrived = async |least: f64| {
            support::eventually("canaries arrive", async || {
                let of_queue = ["queue=\"second\""];
                daemon.metric("legwork_canary_roundtrip_seconds_count", &of_queue).await >= least
            })
            .await;
        };
        arrived(1.0).await;
        let begun = tokio::time::Instant::now();
        arrived(3.0).await;
        assert!(begun.elapsed() < DEFAULT, "two came after {:?}", begun.elapsed());
        let others = daemon.metric("legwork_jobs_claimed_total", &["queue=\"first\""]).await;
        assert!(others < 1.0, "{others} in the other queue");
        daemon.stop().await;
    });
}
