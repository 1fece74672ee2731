//! An answer that may be large, and come by a slow line: as long as pieces come it is waited for, however long the whole
//! takes. What bounds it are the time to its head, the silence between two pieces, and its size.

use super::{
    super::exit::NotReady,
    {Answer, Endpoint, Head, Question},
};
use crate::admin::CONNECTION_MAX_AGE;
use anyhow::{Context as _, anyhow, bail};
use flate2::read::GzDecoder;
use std::{
    io::{self, Read as _},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, timeout, timeout_at},
};

/// How long nothing may come between two pieces of a body.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Most bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

impl Endpoint {
    /// Asks, and takes an answer that may be large. The question's time is that to the answer's head; the body may take
    /// as long as its pieces come, and may come packed.
    pub(in crate::cli) async fn fetch(&self, question: &Question<'_>) -> anyhow::Result<Answer> {
        let began = Instant::now();
        let until = began + question.within;
        let opening =
            async { self.sent(self.connect().await?, question, "Accept-Encoding: gzip\r\n").await };
        let opened = timeout_at(until, opening).await;
        let late = || NotReady::late(&self.authority, question.within.as_secs());
        let stream = opened.map_err(|_elapsed| late())??;
        let (authority, most_bytes) = (self.authority.as_str(), question.most_bytes);
        let pieces = Pieces { authority, most_bytes, began };
        pieces.read(stream, until).await?.with_context(late)
    }
}

/// Whose answer it is, and how long one is read.
struct Pieces<'a> {
    authority: &'a str,
    most_bytes: u64,
    /// When it was asked for, which was before the daemon took the connection.
    began: Instant,
}

impl Pieces<'_> {
    /// Reads an answer; none where its head isn't there in time.
    async fn read(
        &self,
        mut stream: impl AsyncRead + Unpin,
        until: Instant,
    ) -> anyhow::Result<Option<Answer>> {
        let unanswered = || NotReady::unanswered(self.authority);
        let mut bytes = Vec::new();
        let head = loop {
            let Ok(read) = timeout_at(until, self.piece(&mut stream, &mut bytes)).await else {
                return Ok(None);
            };
            let read = read.context("couldn't read the answer").with_context(unanswered)?;
            if let Some(head) = Head::of(&bytes) {
                break head.with_context(unanswered)?;
            }
            if read == 0 {
                return Err(anyhow!("the answer isn't HTTP").context(unanswered()));
            }
            self.bounded(bytes.len())?;
        };
        let mut body = bytes.split_off(head.bytes);
        loop {
            let read = timeout(SILENCE_MAX, self.piece(&mut stream, &mut body)).await;
            let received = body.len();
            let Ok(read) = read else {
                let why = anyhow!("nothing more came for {} s", SILENCE_MAX.as_secs());
                return Err(why.context(self.stopped(received)));
            };
            if read.with_context(|| self.stopped(received))? == 0 {
                break;
            }
            self.bounded(received)?;
        }
        if let Some(length) = head.length.filter(|length| body.len() < *length) {
            let why = anyhow!("it announced {length}");
            return Err(why.context(self.stopped(body.len())));
        }
        let body = if head.is_gzipped { self.unpacked(&body)? } else { body };
        Ok(Some(Answer { status: head.status, body, is_cut_short: false }))
    }

    /// One more piece; nothing is the end.
    async fn piece(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        bytes: &mut Vec<u8>,
    ) -> io::Result<usize> {
        bytes.reserve(PIECE_BYTES);
        stream.read_buf(bytes).await
    }

    fn bounded(&self, length: usize) -> anyhow::Result<()> {
        if u64::try_from(length).is_ok_and(|length| length > self.most_bytes) {
            bail!("the answer is longer than {} bytes", self.most_bytes);
        }
        Ok(())
    }

    /// What is said of an answer that began and didn't end.
    fn stopped(&self, received: usize) -> String {
        let stopped =
            format!("the daemon on {} stopped sending after {received} bytes", self.authority);
        if self.began.elapsed() < CONNECTION_MAX_AGE {
            return stopped;
        }
        let minutes = CONNECTION_MAX_AGE.as_secs() / 60;
        format!(
            "{stopped}: it ends every connection after {minutes} minutes. Ask for fewer seconds, or from nearer"
        )
    }

    fn unpacked(&self, packed: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        let unpacking = GzDecoder::new(packed).take(self.most_bytes + 1).read_to_end(&mut body);
        match unpacking {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(anyhow!("its end is missing").context(self.stopped(packed.len())));
            }
            Err(error) => return Err(anyhow!(error).context("the answer can't be unpacked")),
        }
        self.bounded(body.len())?;
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::io::Write as _;
    use tokio::{io::AsyncWriteExt as _, time::sleep};

    const WITHIN: Duration = Duration::from_secs(65);
    const MOST_BYTES: u64 = 1024;

    /// An answer whose pieces come so long after one another, by a clock that nobody waits for.
    async fn read(pieces: &[(u64, &[u8])]) -> anyhow::Result<Option<Answer>> {
        let (mut server, client) = tokio::io::duplex(4096);
        let sends = async move {
            for (after, piece) in pieces {
                sleep(Duration::from_secs(*after)).await;
                // Whoever has heard enough hangs up.
                server.write_all(piece).await.ok();
            }
        };
        let began = Instant::now();
        let whose = Pieces { authority: "h:1", most_bytes: MOST_BYTES, began };
        tokio::join!(sends, whose.read(client, began + WITHIN)).1
    }

    const HEAD: &[u8] = b"HTTP/1.0 200 OK\r\n\r\n";
    const LONGER: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_as_long_as_its_pieces_come() {
        let pieces = [(60, HEAD), (29, b"a"), (29, b"b"), (29, b"c"), (29, b"d")];
        let answer = read(&pieces).await.expect("it comes").expect("in time");
        assert_eq!((answer.status, answer.text().as_str()), (200, "abcd"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_bit_by_bit_has_to_be_there_in_time() {
        let slow = read(&[(29, &HEAD[..9]), (29, &HEAD[9..12]), (29, &HEAD[12..])]).await;
        assert!(slow.expect("it is no answer").is_none());
        let quick = read(&[(20, &HEAD[..9]), (20, &HEAD[9..12]), (20, &HEAD[12..])]).await;
        assert_eq!(quick.expect("it comes").expect("in time").text(), "");
    }

    #[rstest]
    #[case::silence(&[(0, HEAD), (0, b"abc"), (31, b"d")], "nothing more came for 30 s")]
    #[case::an_end_before_the_end(&[(0, LONGER), (0, b"abc")], "it announced 4")]
    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_midway_is_told_with_how_much_came(
        #[case] pieces: &[(u64, &[u8])],
        #[case] why: &str,
    ) {
        let error = read(pieces).await.expect_err("the rest is missing");
        assert_eq!(error.to_string(), "the daemon on h:1 stopped sending after 3 bytes");
        assert_eq!(error.root_cause().to_string(), why);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_at_the_age_that_a_connection_may_have_says_so() {
        let head: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n";
        let mut pieces = vec![(60, head)];
        pieces.extend([(25, &b"a"[..]); 9]);
        pieces.push((14, b"b"));
        let early = read(&pieces).await.expect_err("the rest is missing").to_string();
        assert!(early.ends_with(" stopped sending after 10 bytes"), "{early}");
        pieces.push((1, b"c"));
        let late = read(&pieces).await.expect_err("the rest is missing").to_string();
        let told = " stopped sending after 11 bytes: it ends every connection after 5 minutes. ";
        assert!(late.contains(told), "{late}");
    }

    fn gzipped(text: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text).expect("packed");
        packed.finish().expect("packed")
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_packed_is_unpacked_and_bounded_as_it_was() {
        let head: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
        let packed = gzipped(b"abcd");
        let answer = read(&[(0, head), (0, &packed)]).await.expect("it comes").expect("in time");
        assert_eq!(answer.text(), "abcd");
        let half = &packed[..packed.len() - 3];
        let cut = read(&[(0, head), (0, half)]).await.expect_err("its end is missing");
        assert!(cut.to_string().ends_with(&format!("after {} bytes", half.len())), "{cut}");
        let large = gzipped(&[0; 1025]);
        assert!(large.len() < 100);
        let large = read(&[(0, head), (0, &large)]).await.expect_err("it is too long");
        assert_eq!(large.to_string(), "the answer is longer than 1024 bytes");
        let no = read(&[(0, head), (0, b"what isn't packed at all")])
            .await
            .expect_err("it isn't packed");
        assert_eq!(no.to_string(), "the answer can't be unpacked");
    }
}
