//! Who gives its place up when all are taken and another client comes, and whose request is answered next.
//!
//! If newcomers had to wait for a place, a few clients that never end their request's head would
//! keep the probes out, and the daemon would be killed for it. So a connection counts by when its
//! last head was complete: the one that is longest without gives way, of the address that has the
//! most places. One whose request is complete stays until the answer is written, or the client of a change that was made
//! would never hear of it; how long the client may take for the answer is bounded. Beside such ones newcomers
//! are let in without anybody's leaving, up to a bound, and their requests wait for a turn: for a second, then they are told to come again.

use crate::sys;
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
/// Those of them whose body is still to come, so that however many send theirs slowly, who only asks finds a turn.
const LONG_BODIES: usize = TURNS / 2;
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
    long_bodies: Arc<Semaphore>,
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
    /// The accept, or when a head was complete last, or a body that was waited for.
    since: Instant,
    step: Step,
    /// Since when the client takes nothing of what is written.
    stalled: Option<Instant>,
    /// The request's turn, until the answer is written.
    turn: Option<OwnedSemaphorePermit>,
    /// As long, that its body may come meanwhile.
    long_body: Option<OwnedSemaphorePermit>,
    /// Cancelled when another needs the place.
    leave: CancellationToken,
    /// When it was told so, something had come that wasn't read yet.
    has_more: bool,
}

#[derive(PartialEq, Eq)]
enum Step {
    /// The head isn't complete.
    Head,
    /// The body is waited for, before anything is done.
    Body,
    /// The request waits for its turn, or a route has it.
    Asked,
    /// The route has given its answer, which is being written.
    Answered(Instant),
    /// The answer goes on for as long as the client listens, which comes again by itself.
    Listens,
}

impl Default for Places {
    fn default() -> Self {
        Self::with(TURNS, LONG_BODIES)
    }
}

impl Places {
    fn with(turns: usize, long_bodies: usize) -> Self {
        let (taken, asked) = (Mutex::default(), Notify::new());
        let [turns, long_bodies] = [turns, long_bodies].map(|most| Arc::new(Semaphore::new(most)));
        Self(Arc::new(All { taken, turns, long_bodies, asked }))
    }

    /// Where no request ever comes in turn.
    #[cfg(test)]
    pub(super) fn without_turns() -> Self {
        Self::with(0, 0)
    }

    /// A place for a connection from there, free again when it is dropped.
    pub(super) fn take(&self, peer: IpAddr) -> Arc<Place> {
        let (since, leave) = (Instant::now(), CancellationToken::new());
        let (turn, long_body, stalled) = (None, None, None);
        let state =
            State { since, step: Step::Head, stalled, turn, long_body, leave, has_more: false };
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
    /// A request is complete as far as it is waited for.
    pub(super) fn asked(&self) {
        let mut state = self.lock();
        state.since = Instant::now();
        state.step = Step::Asked;
        self.places.0.asked.notify_one();
    }

    /// Its body is waited for, and may be for long.
    pub(super) fn gathers(&self) {
        self.lock().step = Step::Body;
    }

    /// The route has its answer, which may have no end.
    pub(super) fn answered(&self, listens: bool) {
        let step = if listens { Step::Listens } else { Step::Answered(Instant::now()) };
        self.lock().step = step;
    }

    /// Whose it is.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
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

    /// Waits for the request's turn, which lasts until the connection's end; `false` where it didn't come in time. Of those
    /// whose body comes meanwhile there are fewer.
    pub(super) async fn comes_in_turn(&self, is_long: bool) -> bool {
        let until = Instant::now() + TURN_WITHIN;
        let All { turns, long_bodies, .. } = &*self.places.0;
        if is_long {
            let long_body = self.granted(long_bodies, until, |state| state.long_body.is_some());
            let Some(long_body) = long_body.await else { return false };
            self.lock().long_body = Some(long_body);
        }
        let turn = self.granted(turns, until, |state| state.turn.is_some()).await;
        let is_granted = turn.is_some();
        self.lock().turn = turn;
        is_granted
    }

    /// One of so many, for which one that has one already and may leave has to.
    async fn granted(
        &self,
        of: &Arc<Semaphore>,
        until: Instant,
        has: impl Fn(&State) -> bool,
    ) -> Option<OwnedSemaphorePermit> {
        let mut permit = pin!(Arc::clone(of).acquire_owned());
        loop {
            if let Ok(permit) = timeout(UNDISTURBED, permit.as_mut()).await {
                // It is never closed.
                return permit.ok();
            }
            let now = Instant::now();
            if now >= until {
                return None;
            }
            self.places.one_leaves(now, &has);
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
            Step::Head | Step::Body | Step::Listens => true,
            Step::Asked => false,
            Step::Answered(at) => {
                lasts(at, TAKEN_WITHIN) || self.stalled.is_some_and(|at| lasts(at, STALLED_AFTER))
            }
        }
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
mod tests;
