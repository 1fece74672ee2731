//! Who gives its place up when all are taken and another client comes, and whose request is answered next.
//!
//! If newcomers had to wait for a place, a few clients that never end their request's head would
//! keep the probes out, and the daemon would be killed for it. So a connection counts by when its
//! last head was complete: the one that is longest without gives way, of the address that has the
//! most places. One whose request is complete stays until the answer is written, or the client of a change that was made
//! would never hear of it; how long the client may take for the answer is bounded. Beside such ones newcomers
//! are let in without anybody's leaving, up to a bound, and their requests wait for a turn: for a second, then they are told to come again.

use super::{problem::Problem, routes::QUIET};
use crate::sys;
use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    cmp::Reverse,
    io::{self, IoSlice},
    net::IpAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Connections at once that have nothing to be answered: more than clients that mean it well begin at the same moment.
pub(super) const PLACES_MAX: usize = 128;
/// Connections beside them, of those whose request is complete.
const BESIDE_MAX: usize = 128;
/// Requests that routes have at once.
const TURNS: usize = 64;
/// How long each connection has for a head before it may have to leave, or a crowd that comes again
/// and again would push a probe out before its request arrives. It bounds how fast places change
/// hands: a full backlog of 1,024 clients is through in 0.8 s.
const UNDISTURBED: Duration = Duration::from_millis(100);
/// A client that has taken nothing of its answer for so long isn't being answered any more: it
/// could hold its place for as long as it likes.
const STALLED_AFTER: Duration = Duration::from_secs(1);
/// How long a client may take for its answer before another may have its place, though it takes some of it all the time.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// How long a request waits for its turn. So long a probe may have to wait behind a full crowd.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// The places that are taken. Clones share them.
#[derive(Clone)]
pub(super) struct Places(Arc<All>);

struct All {
    taken: Mutex<Vec<Weak<Place>>>,
    turns: Arc<Semaphore>,
    /// A head is complete, so that another may be let in.
    asked: Notify,
}

/// One connection's.
pub(super) struct Place {
    peer: IpAddr,
    state: Mutex<State>,
    places: Places,
}

struct State {
    /// The accept, or the last complete head.
    since: Instant,
    step: Step,
    /// Since when the client takes nothing of what is written.
    stalled: Option<Instant>,
    /// The request's turn, until the answer is written.
    turn: Option<OwnedSemaphorePermit>,
    /// Cancelled when another needs the place.
    leave: CancellationToken,
    /// When it was told so, something had come that wasn't read yet.
    has_more: bool,
}

#[derive(PartialEq, Eq)]
enum Step {
    /// The head isn't complete.
    Head,
    /// The request waits for its turn, or a route has it.
    Asked,
    /// The route has given its answer, which is being written.
    Answered(Instant),
    /// The answer goes on for as long as the client listens, which comes again by itself.
    Listens,
}

impl Default for Places {
    fn default() -> Self {
        Self::with(TURNS)
    }
}

impl Places {
    fn with(turns: usize) -> Self {
        let (taken, asked) = (Mutex::default(), Notify::new());
        Self(Arc::new(All { taken, turns: Arc::new(Semaphore::new(turns)), asked }))
    }

    /// Where no request ever comes in turn.
    #[cfg(test)]
    pub(super) fn without_turns() -> Self {
        Self::with(0)
    }

    /// A place for a connection from there, free again when it is dropped.
    pub(super) fn take(&self, peer: IpAddr) -> Arc<Place> {
        let (since, leave) = (Instant::now(), CancellationToken::new());
        let state =
            State { since, step: Step::Head, stalled: None, turn: None, leave, has_more: false };
        let place = Arc::new(Place { peer, state: Mutex::new(state), places: self.clone() });
        let mut taken = self.taken();
        taken.retain(|place| place.strong_count() > 0);
        taken.push(Arc::downgrade(&place));
        place
    }

    /// Whether another may be let in: not beside as many as there are places that have nothing to be answered. Then one of
    /// those leaves; it gives how long to wait for that.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let there = self.there();
        let idle = there.iter().filter(|place| place.lock().may_leave(now)).count();
        if idle < PLACES_MAX && there.len() < PLACES_MAX + BESIDE_MAX {
            return Ok(());
        }
        Err(self.one_leaves(now, |_| true).unwrap_or(UNDISTURBED))
    }

    /// Waits until a head is complete.
    pub(super) async fn asked(&self) {
        self.0.asked.notified().await;
    }

    /// Has one of these leave, unless one does already, and says when to look again; nothing where none may have to.
    fn one_leaves(&self, now: Instant, of: impl Fn(&State) -> bool) -> Option<Duration> {
        let there: Vec<_> = self.there().into_iter().filter(|place| of(&place.lock())).collect();
        if there.iter().any(|place| place.is_leaving()) {
            return Some(UNDISTURBED);
        }
        let first = first_to_leave(&there, now)?;
        let due = first.lock().since + UNDISTURBED;
        if due <= now {
            first.lock().leave.cancel();
            return Some(UNDISTURBED);
        }
        Some(due - now)
    }

    fn there(&self) -> Vec<Arc<Place>> {
        self.taken().iter().filter_map(Weak::upgrade).collect()
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Weak<Place>>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who of them leaves next, if any may have to.
fn first_to_leave(there: &[Arc<Place>], now: Instant) -> Option<Arc<Place>> {
    let crowd = |peer| there.iter().filter(|place| place.peer == peer).count();
    let leaving = there.iter().filter(|place| place.lock().may_leave(now));
    let first = leaving.min_by_key(|place| (Reverse(crowd(place.peer)), place.lock().since));
    first.cloned()
}

impl Place {
    /// A head is complete.
    pub(super) fn asked(&self) {
        let mut state = self.lock();
        state.since = Instant::now();
        state.step = Step::Asked;
        self.places.0.asked.notify_one();
    }

    /// The route has its answer, which may have no end.
    pub(super) fn answered(&self, listens: bool) {
        let step = if listens { Step::Listens } else { Step::Answered(Instant::now()) };
        self.lock().step = step;
    }

    /// Cancelled when another needs the place.
    pub(super) fn leave(&self) -> CancellationToken {
        self.lock().leave.clone()
    }

    fn is_leaving(&self) -> bool {
        self.lock().leave.is_cancelled()
    }

    /// Whether it still is to leave, once all that its client had sent by then is read: a head that has come stays.
    pub(super) fn leaves(&self) -> bool {
        let mut state = self.lock();
        let has_more = std::mem::take(&mut state.has_more);
        let leaves = state.may_leave(Instant::now()) && !has_more;
        if !leaves {
            state.leave = CancellationToken::new();
        }
        leaves
    }

    /// Waits for the request's turn, which lasts until the connection's end; `false` where it didn't come in time.
    async fn comes_in_turn(&self) -> bool {
        let until = Instant::now() + TURN_WITHIN;
        let mut turn = pin!(Arc::clone(&self.places.0.turns).acquire_owned());
        loop {
            if let Ok(turn) = timeout(UNDISTURBED, turn.as_mut()).await {
                // It is never closed.
                self.lock().turn = turn.ok();
                return true;
            }
            let now = Instant::now();
            if now >= until {
                return false;
            }
            self.places.one_leaves(now, |state| state.turn.is_some());
        }
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
    fn may_leave(&self, now: Instant) -> bool {
        let lasts = |since, most| now.saturating_duration_since(since) >= most;
        match self.step {
            Step::Head | Step::Listens => true,
            Step::Asked => false,
            Step::Answered(at) => {
                lasts(at, TAKEN_WITHIN) || self.stalled.is_some_and(|at| lasts(at, STALLED_AFTER))
            }
        }
    }
}

/// Lets as many requests at once to their routes as there are places. Probes and scrapes ask nobody and wait for nobody.
pub(super) async fn in_turn(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let is_quiet = route.is_some_and(|route| QUIET.contains(&route.as_str()));
    let place = request.extensions().get::<Arc<Place>>().filter(|_| !is_quiet).cloned();
    match place {
        Some(place) if !place.comes_in_turn().await => Problem::Overloaded.into_response(),
        _ => next.run(request).await,
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
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        // The system is asked, since the runtime knows of what has come only once its driver has had a turn.
        if read.is_pending() && self.place.is_leaving() {
            self.place.lock().has_more = sys::is_readable(&self.stream);
        }
        read
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
    async fn taken(places: &Places, peers: &[IpAddr]) -> Vec<Arc<Place>> {
        let mut taken = Vec::new();
        for peer in peers {
            taken.push(places.take(*peer));
            advance(Duration::from_secs(1)).await;
        }
        taken
    }

    /// Which of them leave, from first to last, when all have to that may.
    fn leaving(mut taken: Vec<(usize, Arc<Place>)>) -> Vec<usize> {
        let mut order = Vec::new();
        loop {
            let there: Vec<_> = taken.iter().map(|(_, place)| Arc::clone(place)).collect();
            let Some(first) = first_to_leave(&there, Instant::now()) else { return order };
            let at = taken.iter().position(|(_, place)| Arc::ptr_eq(place, &first)).unwrap();
            order.push(taken.remove(at).0);
        }
    }

    fn numbered(taken: &[Arc<Place>]) -> Vec<(usize, Arc<Place>)> {
        taken.iter().cloned().enumerate().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_longest_without_a_head_leaves_first_and_who_is_answered_stays() {
        let places = Places::default();
        let all = taken(&places, &[SOMEBODY; 5]).await;
        for place in &all[..3] {
            place.asked();
        }
        all[1].answered(false);
        all[2].answered(true);
        assert_eq!(leaving(numbered(&all)), [3, 4, 2], "a route has one, another is written");
        advance(TAKEN_WITHIN).await;
        assert_eq!(leaving(numbered(&all)), [3, 4, 1, 2], "it had time to take its answer");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_many_places_gives_its_own_up() {
        let places = Places::default();
        let all = taken(&places, &[NEIGHBOUR, SOMEBODY, SOMEBODY, SOMEBODY]).await;
        assert_eq!(leaving(numbered(&all)), [1, 2, 0, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn beside_requests_that_are_answered_others_are_let_in_up_to_a_bound() {
        let places = Places::default();
        let mut all = taken(&places, &[SOMEBODY; PLACES_MAX]).await;
        assert_eq!(places.admit(Instant::now()), Err(UNDISTURBED));
        assert!(all[0].is_leaving(), "it sends its head since long");
        assert!(all[1..].iter().all(|place| !place.is_leaving()));
        drop(all.remove(0));
        for place in &all {
            place.asked();
        }
        while places.admit(Instant::now()).is_ok() {
            all.push(places.take(SOMEBODY));
            all.last().unwrap().asked();
        }
        assert_eq!(all.len(), PLACES_MAX + BESIDE_MAX);
        assert!(all.iter().all(|place| !place.is_leaving()));
        drop(all.remove(0));
        assert_eq!(places.admit(Instant::now()), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_a_second_for_its_turn_and_who_takes_no_answer_leaves_for_it() {
        let places = Places::default();
        let mut all = taken(&places, &[SOMEBODY; TURNS]).await;
        for place in &all {
            place.asked();
            assert!(place.comes_in_turn().await);
        }
        let (next, began) = (places.take(NEIGHBOUR), Instant::now());
        next.asked();
        assert!(!next.comes_in_turn().await);
        assert!(began.elapsed() >= TURN_WITHIN);
        assert!(all.iter().all(|place| !place.is_leaving()), "routes have them");

        all[5].answered(false);
        all[5].lock().stalled = Some(Instant::now() - STALLED_AFTER);
        let (waiting, leave) = (next.comes_in_turn(), all[5].leave());
        let left = async {
            leave.cancelled().await;
            drop(all.remove(5));
        };
        assert!(tokio::join!(waiting, left).0);
        assert!(all.iter().all(|place| !place.is_leaving()));
    }

    #[tokio::test]
    async fn a_client_that_takes_its_answer_slowly_is_answered_for_a_second() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let place = Places::default().take(peer.ip());
        let before = Instant::now();
        place.asked();
        place.answered(false);
        let may_leave = |after| place.lock().may_leave(before + after);
        let mut watched = Watched { stream, place: Arc::clone(&place) };
        let much = vec![0; 1 << 20];
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
        assert!(!may_leave(Duration::ZERO));
        let later = place.lock().stalled.unwrap() + STALLED_AFTER;
        assert!(place.lock().may_leave(later), "it took nothing for too long");
        let mut taken = vec![0; 1 << 16];
        let reading = async { while client.read(&mut taken).await.is_ok() {} };
        let again = watched.write_all(b"more");
        tokio::select! { () = reading => {}, written = again => written.unwrap() }
        assert!(place.lock().stalled.is_none(), "all that was written is on its way");
    }
}
