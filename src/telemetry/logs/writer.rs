//! The thread that writes log lines, and the bounded channel in front of it.
//!
//! Work never waits for standard output: a line that finds the channel full is dropped and counted.
//! An error of the output (a closed pipe, a full disk) costs the line and nothing else.
//! `tracing-appender` would do the same, but its guard prints to standard output when that very
//! output is blocked, and so could hang a shutdown (0.2.5).

use super::{recent::Ring, throttle::Due};
use crate::sys::sampler;
use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// Lines that may wait. At the usual 400 bytes that is 1.6 MB; at the longest line 256 MiB.
pub(super) const CHANNEL_LINES: usize = 4096;
/// How often a flush looks whether the channel has room for its mark.
const FLUSH_RETRY: Duration = Duration::from_millis(5);
/// How often the thread asks for what was left out and hasn't been told of.
const LOOK: Duration = Duration::from_secs(1);

/// Lines that never came out.
#[derive(Debug, Default)]
pub struct Losses {
    dropped: AtomicU64,
    suppressed: AtomicU64,
}

impl Losses {
    /// Lines lost because the output didn't take them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Lines left out because they repeated too fast.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Relaxed)
    }

    pub(super) fn suppress(&self) {
        self.suppressed.fetch_add(1, Relaxed);
    }

    fn drop_line(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }
}

enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

/// The handle that lines are given to. The thread ends when the last handle is gone.
#[derive(Debug, Clone)]
pub struct Writer {
    sender: SyncSender<Message>,
    losses: Arc<Losses>,
    recent: Arc<Ring>,
}

impl Writer {
    /// Starts the thread. `tell` gives the lines that say how many were left out; it must not log.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        tell: impl FnMut(Due) -> Vec<String> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(CHANNEL_LINES);
        let losses = Arc::<Losses>::default();
        let recent = Arc::<Ring>::default();
        let (lost, kept) = (Arc::clone(&losses), Arc::clone(&recent));
        let mut pen = Pen { output, tell, losses: lost, recent: kept };
        let run = move || {
            sampler::register();
            pen.write_all(&receiver);
        };
        thread::Builder::new().name("log-writer".into()).spawn(run)?;
        Ok(Self { sender, losses, recent })
    }

    /// Hands a line over; never waits. It is kept here and not by the thread, which may be stuck in its output
    /// when somebody wants to know what happened.
    pub(super) fn write(&self, line: String) {
        self.recent.keep(&line);
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.losses.drop_line();
        }
    }

    pub(super) fn losses(&self) -> Arc<Losses> {
        Arc::clone(&self.losses)
    }

    pub(super) fn recent(&self) -> Arc<Ring> {
        Arc::clone(&self.recent)
    }

    /// Waits until every line so far is written, at most `deadline`.
    pub(super) fn flush(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let (done, flushed) = sync_channel(1);
        let mut mark = Message::Flush(done);
        loop {
            match self.sender.try_send(mark) {
                Ok(()) => return flushed.recv_timeout(until - Instant::now()).is_ok(),
                Err(TrySendError::Full(back)) if Instant::now() < until => mark = back,
                Err(_) => return false,
            }
            thread::sleep(FLUSH_RETRY);
        }
    }
}

/// What the thread writes with.
struct Pen<Output, Tell> {
    output: Output,
    tell: Tell,
    losses: Arc<Losses>,
    recent: Arc<Ring>,
}

impl<Output: Write, Tell: FnMut(Due) -> Vec<String>> Pen<Output, Tell> {
    /// Writes until every handle is gone; flushes when nothing waits.
    fn write_all(&mut self, receiver: &Receiver<Message>) {
        let mut look = Instant::now() + LOOK;
        loop {
            match self.next(receiver, look) {
                Ok(Message::Line(line)) => self.write(&line),
                Ok(Message::Flush(done)) => {
                    self.tell(Due::All);
                    drop(self.output.flush());
                    // Whoever asked may have stopped waiting.
                    done.try_send(()).ok();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= look {
                self.tell(Due::Ended);
                look = Instant::now() + LOOK;
            }
        }
    }

    fn next(
        &mut self,
        receiver: &Receiver<Message>,
        look: Instant,
    ) -> Result<Message, RecvTimeoutError> {
        if let Ok(message) = receiver.try_recv() {
            return Ok(message);
        }
        // Whatever couldn't be flushed shows as an error of the next line.
        drop(self.output.flush());
        receiver.recv_timeout(look.saturating_duration_since(Instant::now()))
    }

    fn tell(&mut self, due: Due) {
        for line in (self.tell)(due) {
            self.recent.keep(&line);
            self.write(&line);
        }
    }

    fn write(&mut self, line: &str) {
        if self.output.write_all(line.as_bytes()).is_err() {
            self.losses.drop_line();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Recent, *};
    use std::sync::{Barrier, Mutex, mpsc};

    /// An output that blocks in its first write until it is let go.
    struct Blocked {
        entered: SyncSender<()>,
        release: Arc<Barrier>,
        waited: bool,
    }

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !std::mem::replace(&mut self.waited, true) {
                self.entered.send(()).unwrap();
                self.release.wait();
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_blocks_costs_lines_that_are_counted_and_never_a_wait() {
        let (entered, is_inside) = mpsc::sync_channel(1);
        let release = Arc::new(Barrier::new(2));
        let output = Blocked { entered, release: Arc::clone(&release), waited: false };
        let writer = Writer::start(output, |_| Vec::new()).unwrap();
        writer.write("first\n".into());
        is_inside.recv().unwrap();
        for _ in 0..CHANNEL_LINES + 7 {
            writer.write("more\n".into());
        }
        assert_eq!(writer.losses().dropped(), 7);
        let kept = Recent::new(writer.recent(), true).lines();
        assert_eq!(kept.len(), 6 + (CHANNEL_LINES + 7) * 5, "they are to be had all the same");
        assert!(!writer.flush(Duration::from_millis(20)), "a flush gives up at its deadline");
        release.wait();
        assert!(writer.flush(Duration::from_secs(10)));
    }

    /// A pipe whose reader is gone until the test mends it.
    struct Broken(Arc<Mutex<Option<String>>>);

    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut text = self.0.lock().unwrap();
            let text = text.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            text.push_str(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_ends_neither_the_process_nor_the_log() {
        let text = Arc::new(Mutex::new(None));
        let writer = Writer::start(Broken(Arc::clone(&text)), |_| Vec::new()).unwrap();
        writer.write("lost\n".into());
        assert!(writer.flush(Duration::from_secs(10)));
        assert_eq!(writer.losses().dropped(), 1);
        *text.lock().unwrap() = Some(String::new());
        writer.write("kept\n".into());
        assert!(writer.flush(Duration::from_secs(10)));
        assert_eq!(text.lock().unwrap().as_deref(), Some("kept\n"));
    }

    /// Hands on what is written.
    struct Read(SyncSender<String>);

    impl Write for Read {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_left_out_is_asked_for_while_nobody_speaks_and_at_a_flush() {
        let (written, reader) = mpsc::sync_channel(CHANNEL_LINES);
        let writer = Writer::start(Read(written), |due| vec![format!("{due:?}\n")]).unwrap();
        assert_eq!(reader.recv_timeout(Duration::from_mins(1)).unwrap(), "Ended\n");
        writer.write("a line\n".into());
        assert!(writer.flush(Duration::from_mins(1)));
        let rest: Vec<_> = reader.try_iter().filter(|line| line != "Ended\n").collect();
        assert_eq!(rest, ["a line\n", "All\n"]);
    }
}
