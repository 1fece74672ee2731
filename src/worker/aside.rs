//! Letting those go first who were woken on this thread.

use std::{future::poll_fn, task::Poll};

/// Comes back behind whoever was woken here before, on this thread or on another that is free.
///
/// tokio's own `yield_now` keeps who yields for the thread's next look at its sockets, where no other thread finds
/// them: a handler that blocks the thread meanwhile keeps them for as long as it likes.
pub(super) async fn step_aside() {
    let mut stepped = false;
    poll_fn(|context| {
        if std::mem::replace(&mut stepped, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        sync::{Arc, mpsc},
        time::Duration,
    };
    use tokio::sync::Notify;

    /// Longer than any machine takes to run a task that nobody holds up.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn who_stepped_aside_goes_on_while_whom_they_let_go_first_blocks_the_thread() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        let runtime = runtime.expect("a runtime");
        let (called, (went_on, hears)) = (Arc::new(Notify::new()), mpsc::channel());
        let (waits, is_waiting) = mpsc::channel();
        let blocks = {
            let called = Arc::clone(&called);
            runtime.spawn(async move {
                let mut called = pin!(called.notified());
                called.as_mut().enable();
                waits.send(()).expect("somebody asks");
                called.await;
                hears.recv_timeout(PATIENCE).is_ok()
            })
        };
        is_waiting.recv().expect("it waits to be called");
        let steps = runtime.spawn(async move {
            called.notify_one();
            step_aside().await;
            went_on.send(()).expect("somebody blocks for it");
        });
        assert!(runtime.block_on(blocks).expect("no panic"), "it lay where nobody found it");
        runtime.block_on(steps).expect("no panic");
    }
}
