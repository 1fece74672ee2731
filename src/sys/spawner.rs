//! The one thread that starts child processes.
//!
//! `PDEATHSIG` is sent when the *thread* that forked ends, and the runtime's blocking threads end
//! whenever they were idle for a while: a child started on one of them would be killed at a moment
//! nobody chose. This thread lives as long as the process, so here the signal means what its users
//! mean by it: the daemon is gone.
//!
//! It is process-wide because the fact that it stands for is. It stops no child; that is done by
//! whoever holds the [`Child`]. It only buries those that were killed and that nobody waits for.

use super::sampler;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

/// Starts that may wait for the thread at once. A start takes 1 to 2 ms, so the last of them waits
/// about a tenth of a second; further callers wait for a place.
const MAX_WAITING: usize = 64;

/// Something to be done on the thread.
struct Errand {
    /// Whose work it is, as the caller's thread says.
    label: u32,
    work: Box<dyn FnOnce() + Send>,
}

impl Errand {
    fn of(work: impl FnOnce() + Send + 'static) -> Self {
        let label = sampler::label(0);
        sampler::label(label);
        Self { label, work: Box::new(work) }
    }

    /// Does it. One that panics fails alone: the end of the thread would end every child.
    fn run(self) {
        sampler::label(self.label);
        drop(catch_unwind(AssertUnwindSafe(self.work)));
        sampler::label(0);
    }
}

/// The way to the thread, made at the first use.
static ERRANDS: Mutex<Option<SyncSender<Errand>>> = Mutex::new(None);

/// Keeps the callers that await from filling the channel, whose `send` would block their thread. A place
/// is its errand's and not its caller's: whoever gives up, as an attempt does when its time is up, leaves
/// the errand in the channel.
static PLACES: Semaphore = Semaphore::const_new(MAX_WAITING);

/// How often the thread looks whether a killed child has ended. A process in an uninterruptible
/// wait may take its time, so the thread never waits for one.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Children that were killed and that nobody waits for. As many as there are processes at most.
static LEFT: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Starts a child from the immortal thread and hands it to the caller's runtime.
///
/// Set `kill_on_drop` on the command where a child nobody waits for any more has to go: a caller
/// that is dropped while it waits here never sees its child.
pub async fn spawn(mut command: tokio::process::Command) -> io::Result<tokio::process::Child> {
    let runtime = tokio::runtime::Handle::current();
    let place = PLACES.acquire().await.map_err(io::Error::other)?;
    let (reply, answer) = oneshot::channel();
    send(Errand::of(move || {
        let (_place, _entered) = (place, runtime.enter());
        // Nobody waits any more if this fails: the child is dropped with the answer.
        reply.send(command.spawn()).ok();
    }))?;
    answer.await.map_err(io::Error::other)?
}

/// Does some work on the thread. Its value is dropped there if the caller was dropped meanwhile.
pub(super) async fn on_the_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let place = PLACES.acquire().await.map_err(io::Error::other)?;
    let (reply, answer) = oneshot::channel();
    send(Errand::of(move || {
        let _place = place;
        reply.send(work()).ok();
    }))?;
    answer.await.map_err(io::Error::other)
}

/// Has a killed child reaped once it has ended, so that it leaves no zombie. Doesn't block.
pub(super) fn reap(child: Child) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(child);
    // Wakes the thread if it sleeps; with a full channel it is awake and looks after each errand.
    let errands = ERRANDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(way) = errands.as_ref() {
        way.try_send(Errand::of(|| {})).ok();
    }
}

/// As [`spawn`], for callers outside a runtime. Blocks until the program runs or couldn't be run.
pub fn spawn_blocking(mut command: std::process::Command) -> io::Result<std::process::Child> {
    let (reply, answer) = sync_channel(1);
    send(Errand::of(move || {
        reply.send(command.spawn()).ok();
    }))?;
    answer.recv().map_err(io::Error::other)?
}

/// Puts an errand into the channel, starting the thread first if there is none.
fn send(errand: Errand) -> io::Result<()> {
    let mut errands = ERRANDS.lock().unwrap_or_else(PoisonError::into_inner);
    let way = match errands.take() {
        Some(way) => way,
        None => start()?,
    };
    let way = errands.insert(way).clone();
    drop(errands);
    way.send(errand).map_err(|_| io::Error::other("the thread that starts processes has ended"))
}

/// Starts the thread.
fn start() -> io::Result<SyncSender<Errand>> {
    let (way, waiting) = sync_channel(MAX_WAITING);
    std::thread::Builder::new().name("spawner".to_owned()).spawn(move || serve(&waiting))?;
    Ok(way)
}

/// The thread: one errand after the other, for ever. The sender is never dropped.
fn serve(errands: &Receiver<Errand>) {
    sampler::register();
    let mut left = 0;
    loop {
        let errand = match left {
            0 => errands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            _ => errands.recv_timeout(LOOK_AGAIN),
        };
        match errand {
            Ok(errand) => errand.run(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // An errand that comes in between makes one look more and none less.
        left = bury();
    }
}

/// Reaps what has ended and says how many have not.
fn bury() -> usize {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    left.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        use nix::sys::signal::Signal;

        let mut child = std::thread::spawn(|| {
            let mut command = std::process::Command::new("cat");
            command.stdin(std::process::Stdio::piped());
            crate::sys::ChildSetup::new().death_signal(Signal::SIGKILL).apply(&mut command);
            spawn_blocking(command).expect("cat runs")
        })
        .join()
        .expect("the asking thread ends");

        drop(child.stdin.take());
        assert!(child.wait().expect("cat ends").success(), "ended by its input, not by a signal");
    }

    #[tokio::test]
    async fn an_awaiting_caller_gets_its_child() {
        let status = spawn(tokio::process::Command::new("true")).await.expect("true runs");
        assert!({ status }.wait().await.expect("true ends").success());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        let refused = spawn(tokio::process::Command::new("/nowhere/at-all")).await;
        assert_eq!(refused.expect_err("there is no such file").kind(), io::ErrorKind::NotFound);
    }

    /// Other tests' children wait meanwhile, for a fifth of a second.
    #[test]
    fn however_many_gave_up_while_the_thread_hung_nobody_who_awaits_is_blocked() {
        let (go, wait) = sync_channel::<()>(0);
        send(Errand::of(move || _ = wait.recv())).expect("the thread takes it");
        let (done, all) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                for _ in 0..=2 * MAX_WAITING {
                    let given_up = on_the_thread(|| ());
                    drop(tokio::time::timeout(Duration::from_millis(1), given_up).await);
                }
            });
            done.send(()).ok();
        });
        let finished = all.recv_timeout(Duration::from_secs(20));
        drop(go);
        finished.expect("whoever waits for a place can give up");
    }

    #[test]
    fn an_errand_is_the_work_of_whoever_sent_it() {
        let (tell, told) = sync_channel(2);
        for mine in [7, 0] {
            let (before, tell) = (sampler::label(mine), tell.clone());
            let seen = Errand::of(move || {
                let label = sampler::label(0);
                tell.send(label).expect("somebody listens");
                panic!("and it is nobody's work again");
            });
            send(seen).expect("the thread takes it");
            assert_eq!(sampler::label(before), mine, "the caller's own stays");
            assert_eq!(told.recv(), Ok(mine));
        }
    }

    #[test]
    fn what_a_thread_does_after_an_errand_is_nobodys_work_also_after_a_panic() {
        for work in [|| {}, || panic!("an errand that fails")] {
            let before = sampler::label(7);
            let errand = Errand::of(work);
            assert_eq!(sampler::label(before), 7);
            errand.run();
            assert_eq!(sampler::label(before), 0);
        }
    }

    #[test]
    fn an_errand_that_panics_does_not_end_the_thread() {
        send(Errand::of(|| panic!("an errand that fails"))).expect("the thread takes it");
        let mut child = spawn_blocking(std::process::Command::new("true")).expect("true runs");
        assert!(child.wait().expect("true ends").success());
    }
}
