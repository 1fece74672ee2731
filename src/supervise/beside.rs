//! Tasks that a library asks for while it works for one of ours: they are shown beside that one.
//!
//! Such a task ends by itself, as a connection does: that is no failure, and nobody starts it again.

use super::{End, WaitPoint, at, here};
use futures::FutureExt;
use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc};

/// What a library wants to be run.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts what the HTTP client asks for on the way to this target, each in the list of the task that asks for it. Outside of
/// every task of ours, as in a command that sends one request, it runs all the same and nobody lists it.
pub fn http_client(target: &str) -> Arc<dyn Fn(Work) + Send + Sync> {
    let name = format!("http[{target}]");
    Arc::new(move |work| start(&name, work))
}

#[expect(
    clippy::disallowed_methods,
    reason = "who asks for it has no supervisor, but is in a list"
)]
fn start(name: &str, work: Work) {
    let registry = here().and_then(|here| here.registry.upgrade());
    let Some(registry) = registry else {
        tokio::spawn(work);
        return;
    };
    let entry = registry.enter_unrecorded(name.to_owned());
    let task = Arc::clone(entry.task());
    let spawned = tokio::spawn(Arc::clone(&task.at).over(async move {
        let work = at(WaitPoint::HttpClient, work);
        if AssertUnwindSafe(work).catch_unwind().await.is_err() {
            End::Panicked
                .say_failed(&entry.task().name, ", and with it what a library carried on it");
        }
        drop(entry);
    }));
    task.owned_by(spawned.abort_handle());
}

#[cfg(test)]
mod tests;
