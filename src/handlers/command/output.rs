//! What is kept of a program's output: its head and its tail, however much there is between.
//!
//! Everything is read, or the program would block; memory stays within the limit whether it writes
//! ten bytes or ten gigabytes, with or without newlines, text or not.

use std::collections::VecDeque;
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

/// Read at once, in bytes; a pipe holds 64 KiB by default.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// The two ends of a stream.
#[derive(Debug)]
pub(super) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_max: usize,
    tail_max: usize,
    cut: u64,
}

impl Capture {
    /// Keeps `max` bytes, half of them from the end.
    pub(super) fn of_at_most(max: usize) -> Self {
        let tail_max = max / 2;
        let (head, tail) = (Vec::new(), VecDeque::new());
        Self { head, tail, head_max: max - tail_max, tail_max, cut: 0 }
    }

    /// Reads until the last writer is gone. A pipe that can't be read ends here too: what came
    /// before counts.
    pub(super) async fn read(&mut self, mut pipe: Receiver) {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
            self.push(&buffer[..read]);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = (self.head_max - self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(self.tail_max);
        self.tail.drain(..excess);
        self.cut += excess as u64;
    }

    /// All of it, where nothing was cut.
    pub(super) fn whole(&self) -> Option<String> {
        (self.cut == 0).then(|| self.text())
    }

    /// As text: what isn't UTF-8 is replaced, and a cut is marked with its length.
    pub(super) fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.cut == 0 {
            return String::from_utf8_lossy(&[self.head.as_slice(), &tail].concat()).into_owned();
        }
        let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&tail));
        format!("{head}\n[… {} bytes cut …]\n{tail}", self.cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn captured(max: usize, chunks: &[Vec<u8>]) -> Capture {
        let mut capture = Capture::of_at_most(max);
        for chunk in chunks {
            capture.push(chunk);
        }
        capture
    }

    #[test]
    fn a_long_stream_keeps_its_head_and_its_tail() {
        let capture = captured(8, &[b"0123456".to_vec(), b"789abcdef".to_vec()]);
        assert_eq!(capture.text(), "0123\n[… 8 bytes cut …]\ncdef");
        assert_eq!(capture.whole(), None);
    }

    #[test]
    fn what_is_not_utf_8_is_replaced() {
        assert_eq!(captured(8, &[vec![b'a', 0xff, b'b']]).text(), "a\u{fffd}b");
    }

    #[test]
    fn a_character_that_straddles_head_and_tail_survives_where_nothing_is_cut() {
        assert_eq!(captured(4, &["äöü"[..4].into()]).text(), "äö");
        assert_eq!(captured(6, &["aäöb".into()]).whole().as_deref(), Some("aäöb"));
    }

    proptest! {
        #[test]
        fn however_it_comes_in_the_ends_are_kept_and_the_limit_holds(
            max in 0usize..40, chunks in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..30), 0..8),
        ) {
            let all = chunks.concat();
            let capture = captured(max, &chunks);
            let kept = capture.head.len() + capture.tail.len();
            prop_assert!(kept <= max);
            prop_assert_eq!(kept as u64 + capture.cut, all.len() as u64);
            prop_assert!(all.starts_with(&capture.head));
            prop_assert!(all.ends_with(&capture.tail.iter().copied().collect::<Vec<_>>()));
        }
    }
}
