//! Lines of a file, of standard input or of a body, one at a time, each with its number and none too long.
//!
//! The input may be larger than memory, and may be one line without end; what is held is one line.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// The longest line, in bytes: the largest payload written with escapes and spaces, and some.
pub const LINE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// One line, or why it can't be had.
pub enum Read<'a> {
    /// What stands in it, without its end.
    Line(&'a [u8]),
    /// It goes on beyond [`LINE_MAX_BYTES`]; the next one is behind it.
    TooLong,
    /// It holds nothing but spaces.
    Empty,
    /// There are no more.
    End,
}

/// The reader.
pub struct Lines<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
    most: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub fn new(from: R) -> Self {
        Self { from, line: Vec::new(), number: 0, bytes: 0, most: u64::MAX }
    }

    /// Of an input that may have so many bytes: the line in which it has more is too long, and isn't read to its end.
    pub fn within(most: u64, from: R) -> Self {
        Self { most, ..Self::new(from) }
    }

    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Passes over what has come, whatever it is; `false` at the end.
    pub async fn pass(&mut self) -> std::io::Result<bool> {
        let passed = self.from.fill_buf().await?.len();
        self.bytes += passed as u64;
        self.from.consume(passed);
        Ok(passed > 0)
    }

    /// The next line.
    pub async fn next(&mut self) -> std::io::Result<Read<'_>> {
        self.line.clear();
        let (mut ended, mut too_long, mut any) = (false, false, false);
        while !ended {
            let chunk = self.from.fill_buf().await?;
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let content = &chunk[..end.unwrap_or(chunk.len())];
            too_long |= self.line.len() + content.len() > LINE_MAX_BYTES;
            if !too_long {
                self.line.extend_from_slice(content);
            }
            ended = end.is_some() || self.bytes > self.most;
            too_long |= self.bytes > self.most;
            let used = end.map_or(chunk.len(), |at| at + 1);
            self.bytes += used as u64;
            self.from.consume(used);
        }
        if !any {
            return Ok(Read::End);
        }
        self.number += 1;
        // Spaces before it stay, so that a place in it is one of the input.
        Ok(match self.line.trim_ascii_end() {
            _ if too_long => Read::TooLong,
            [] => Read::Empty,
            line => Read::Line(line),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8], chunk: usize) -> Vec<String> {
        let mut lines = Lines::new(tokio::io::BufReader::with_capacity(chunk, input));
        let mut seen = Vec::new();
        loop {
            let said = match lines.next().await.expect("memory can be read") {
                Read::Line(line) => String::from_utf8_lossy(line).into_owned(),
                Read::TooLong => "too long".into(),
                Read::Empty => "empty".into(),
                Read::End => return seen,
            };
            seen.push(format!("{}:{said}", lines.number()));
        }
    }

    #[tokio::test]
    async fn lines_are_numbered_whatever_their_ends_and_the_readers_chunks() {
        for chunk in [1, 2, 3, 64] {
            let seen = read(b"a\r\n\n  \nbb\nc", chunk).await;
            assert_eq!(seen, ["1:a", "2:empty", "3:empty", "4:bb", "5:c"], "chunks of {chunk}");
        }
        assert!(read(b"", 8).await.is_empty());
    }

    #[tokio::test]
    async fn of_an_input_that_may_not_be_so_long_a_line_without_end_is_left() {
        let input = vec![b'x'; 1000];
        let mut lines = Lines::within(100, tokio::io::BufReader::with_capacity(10, &*input));
        assert!(matches!(lines.next().await, Ok(Read::TooLong)));
        assert_eq!(lines.bytes(), 120, "a buffer beyond");
        while lines.pass().await.expect("memory can be read") {}
        assert_eq!(lines.bytes(), 1000);
        assert!(matches!(lines.next().await, Ok(Read::End)));
    }

    #[tokio::test]
    async fn a_line_without_end_is_passed_over_and_not_held() {
        let mut input = vec![b'x'; LINE_MAX_BYTES + 1];
        input.extend_from_slice(b"\nafter\n");
        assert_eq!(read(&input, 64 * 1024).await, ["1:too long", "2:after"]);
    }
}
