//! Who we are at the moment: the boot id under which jobs may be claimed, if any.

use tokio::sync::watch;

/// The heartbeat's end.
#[derive(Debug)]
pub struct Publisher(watch::Sender<Option<i64>>);

/// Everybody else's end.
#[derive(Debug, Clone)]
pub struct Leases(watch::Receiver<Option<i64>>);

pub(super) fn channel() -> (Publisher, Leases) {
    let (sender, receiver) = watch::channel(None);
    (Publisher(sender), Leases(receiver))
}

impl Publisher {
    pub(super) fn publish(&self, boot: Option<i64>) {
        self.0.send_replace(boot);
    }
}

impl Leases {
    /// Waits until there is a boot id. An unhealthy daemon claims nothing.
    pub async fn current(&self) -> i64 {
        match self.0.clone().wait_for(Option::is_some).await.map(|boot| *boot) {
            Ok(Some(boot)) => boot,
            // The heartbeat is over, and with it claiming.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// The boot id, if there is one now.
    pub fn now(&self) -> Option<i64> {
        *self.0.borrow()
    }
}
