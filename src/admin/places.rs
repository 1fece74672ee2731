//! Who gives its place up when all are taken and another client comes.
//!
//! If newcomers had to wait for a place, a few clients that never end their request's head would
//! keep the probes out, and the daemon would be killed for it. So a connection counts by when its
//! last head was complete: the one that is longest without gives way, of the address that has the
//! most places. One that is being answered stays, as long as its client takes the answer.

use std::{
    cmp::Reverse,
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How long each connection has for a head before it may have to leave, or a crowd that comes again
/// and again would push a probe out before its request arrives. It bounds how fast places change
/// hands: a full backlog of 1,024 clients is through in 1.6 s.
const UNDISTURBED: Duration = Duration::from_millis(100);
/// A client that has taken nothing of its answer for so long isn't being answered any more: it
/// could hold its place for as long as it likes.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// The places that are taken.
#[derive(Default)]
pub(super) struct Places(Vec<Weak<Place>>);

/// One connection's.
pub(super) struct Place {
    peer: IpAddr,
    state: Mutex<State>,
    /// Cancelled when another needs the place.
    pub(super) leave: CancellationToken,
}

struct State {
    /// The accept, or the last complete head.
    since: Instant,
    /// A route has the request.
    answering: bool,
    /// Since when the client takes nothing of what is written.
    stalled: Option<Instant>,
}

impl Places {
    /// A place for a connection from there, free again when it is dropped.
    pub(super) fn take(&mut self, peer: IpAddr) -> Arc<Place> {
        self.0.retain(|place| place.strong_count() > 0);
        let state = State { since: Instant::now(), answering: false, stalled: None };
        let (state, leave) = (Mutex::new(state), CancellationToken::new());
        let place = Arc::new(Place { peer, state, leave });
        self.0.push(Arc::downgrade(&place));
        place
    }

    /// Who leaves next. Where all are being answered it is one of those, or clients that agree on
    /// taking their answers slowly would have the port for themselves.
    pub(super) fn first_to_leave(&self, now: Instant) -> Option<Arc<Place>> {
        let taken = self.0.iter().filter_map(Weak::upgrade);
        let staying: Vec<_> = taken.filter(|place| !place.leave.is_cancelled()).collect();
        let crowd = |peer| staying.iter().filter(|place| place.peer == peer).count();
        let first = staying.iter().min_by_key(|place| {
            let state = place.lock();
            (state.is_answered(now), Reverse(crowd(place.peer)), state.since)
        });
        first.cloned()
    }
}

impl Place {
    /// From then on another may have the place.
    pub(super) fn is_due(&self) -> Instant {
        self.lock().since + UNDISTURBED
    }

    /// A head is complete.
    pub(super) fn asked(&self) {
        let mut state = self.lock();
        state.since = Instant::now();
        state.answering = true;
    }

    /// The route has its answer.
    pub(super) fn answered(&self) {
        self.lock().answering = false;
    }

    fn wrote(&self, is_full: bool) {
        let mut state = self.lock();
        state.stalled = is_full.then(|| state.stalled.unwrap_or_else(Instant::now));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_answered(&self, now: Instant) -> bool {
        let taken = |since| now.saturating_duration_since(since) < STALLED_AFTER;
        self.answering || self.stalled.is_some_and(taken)
    }
}

/// A connection's stream, whose place knows whether the client takes what is written.
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    pub(super) place: Arc<Place>,
}

impl Watched {
    fn write(
        &mut self,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = write(Pin::new(&mut self.stream));
        self.place.wrote(written.is_pending());
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(|stream| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(|stream| stream.poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::{advance, timeout},
    };

    const SOMEBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const NEIGHBOUR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    /// One after the other, a second apart.
    async fn taken(places: &mut Places, peers: &[IpAddr]) -> Vec<Arc<Place>> {
        let mut taken = Vec::new();
        for peer in peers {
            taken.push(places.take(*peer));
            advance(Duration::from_secs(1)).await;
        }
        taken
    }

    /// Which of them leave, from first to last, when all have to.
    fn leaving(places: &Places, taken: &[Arc<Place>]) -> Vec<usize> {
        let mut order = Vec::new();
        for _ in taken {
            let first = places.first_to_leave(Instant::now()).unwrap();
            first.leave.cancel();
            order.extend(taken.iter().position(|place| Arc::ptr_eq(place, &first)));
        }
        order
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_longest_without_a_head_leaves_first_and_who_is_answered_last() {
        let mut places = Places::default();
        let all = taken(&mut places, &[SOMEBODY; 4]).await;
        all[0].asked();
        all[1].asked();
        all[1].answered();
        assert_eq!(leaving(&places, &all), [2, 3, 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_many_places_gives_its_own_up() {
        let mut places = Places::default();
        let all = taken(&mut places, &[NEIGHBOUR, SOMEBODY, SOMEBODY, SOMEBODY]).await;
        assert_eq!(leaving(&places, &all), [1, 2, 0, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_was_dropped_is_asked_no_more() {
        let mut places = Places::default();
        let mut all = taken(&mut places, &[SOMEBODY; 2]).await;
        drop(all.remove(0));
        let newest = places.take(SOMEBODY);
        assert_eq!(places.0.len(), 2);
        assert_eq!(leaving(&places, &[all.remove(0), newest]), [0, 1]);
    }

    #[tokio::test]
    async fn a_client_that_takes_its_answer_slowly_is_answered_for_a_second() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let place = Places::default().take(peer.ip());
        let before = Instant::now();
        let is_answered = |after| place.lock().is_answered(before + after);
        let mut watched = Watched { stream, place: Arc::clone(&place) };
        let much = vec![0; 1 << 20];
        assert!(!is_answered(Duration::ZERO), "nothing is written");
        let full = async {
            while place.lock().stalled.is_none() {
                tokio::task::yield_now().await;
            }
        };
        let writing = async { while watched.write_all(&much).await.is_ok() {} };
        let filled = async {
            tokio::select! { () = writing => {}, () = full => {} }
        };
        timeout(Duration::from_secs(20), filled)
            .await
            .expect("a client that reads nothing stalls it");
        assert!(is_answered(Duration::ZERO));
        let later = place.lock().stalled.unwrap() + STALLED_AFTER;
        assert!(!place.lock().is_answered(later), "it took nothing for too long");
        let mut taken = vec![0; 1 << 16];
        let reading = async { while client.read(&mut taken).await.is_ok() {} };
        let again = watched.write_all(b"more");
        tokio::select! { () = reading => {}, written = again => written.unwrap() }
        assert!(!is_answered(Duration::ZERO), "all that was written is on its way");
    }
}
