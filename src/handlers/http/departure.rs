//! Whether a request has left: what never did may be sent again or put off, and nobody is charged for it.
//!
//! The client library asks a body for its bytes once the head is on its way: over HTTP/2 not before the
//! connection has a free stream. So the body knows, and one that was given up hands out nothing.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// A payload on its way, and what tells when it leaves.
pub(super) fn of(payload: &str) -> (Departing, Departure) {
    let (leaving, left) = oneshot::channel();
    let payload = Some(Bytes::copy_from_slice(payload.as_bytes()));
    let body = Departing { payload, leaving: Some(leaving) };
    (body, Departure { left, has_left: false })
}

/// Tells when a request leaves. Once it is dropped, or has said that nothing has left, nothing will.
pub(super) struct Departure {
    left: oneshot::Receiver<()>,
    has_left: bool,
}

impl Departure {
    /// Waits until it leaves, this long at most; else it never will.
    pub(super) async fn before(&mut self, last: Instant) -> bool {
        // A body that is dropped unasked belongs to a request that was answered all the same, or failed.
        match timeout_at(last, &mut self.left).await {
            Ok(told) => {
                self.has_left = told.is_ok();
                true
            }
            Err(_) => self.has_left(),
        }
    }

    /// Whether it has left so far; if not, it never will.
    pub(super) fn has_left(&mut self) -> bool {
        if !self.has_left {
            self.left.close();
            self.has_left = self.left.try_recv().is_ok();
        }
        self.has_left
    }
}

/// The payload in one piece.
pub(super) struct Departing {
    payload: Option<Bytes>,
    leaving: Option<oneshot::Sender<()>>,
}

#[derive(Debug, thiserror::Error)]
#[error("given up before it left")]
pub(super) struct GivenUp;

impl Body for Departing {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        let payload = self.payload.take();
        let is_wanted = self.leaving.take().is_none_or(|leaving| leaving.send(()).is_ok());
        let handed = |payload| if is_wanted { Ok(Frame::data(payload)) } else { Err(GivenUp) };
        Poll::Ready(payload.map(handed))
    }

    fn is_end_stream(&self) -> bool {
        self.payload.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.payload.as_ref().map_or(0, |payload| payload.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn asked(body: &mut Departing) -> Option<Result<Bytes, String>> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        Some(frame.map(|frame| frame.into_data().expect("data")).map_err(|error| error.to_string()))
    }

    #[tokio::test]
    async fn a_payload_that_is_asked_for_leaves_whole() {
        let (mut body, mut departure) = of("{}");
        assert_eq!(body.size_hint().exact(), Some(2));
        assert_eq!(asked(&mut body).await, Some(Ok(Bytes::from("{}"))));
        assert_eq!(asked(&mut body).await, None);
        assert!(departure.before(Instant::now()).await && departure.has_left());
    }

    #[tokio::test]
    async fn one_that_was_given_up_never_leaves() {
        let (mut body, mut departure) = of("{}");
        assert!(!departure.before(Instant::now()).await && !departure.has_left());
        asked(&mut body).await.expect("an error").expect_err("given up");
        let (mut body, departure) = of("{}");
        drop(departure);
        asked(&mut body).await.expect("an error").expect_err("nobody waits for it");
    }

    #[tokio::test]
    async fn one_that_is_dropped_unasked_has_not_left() {
        let (body, mut departure) = of("{}");
        drop(body);
        let never = Instant::now() + std::time::Duration::from_hours(1);
        assert!(departure.before(never).await, "there is nothing to wait for");
        assert!(!departure.has_left());
    }
}
