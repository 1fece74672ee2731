//! What a client of Postgres sends, taken apart into messages as far as it takes to count round trips.
//!
//! A round trip is a message after which a client waits for the server: the end of a group of messages
//! (Sync), a statement as text, the end of a COPY's rows. Without TLS alone: there is nothing to read
//! otherwise.

/// Messages without a type come first: each a length and a code.
const STARTS: [u32; 2] = [196_608, 196_610];

/// One connection's messages, whatever the pieces that they come in.
#[derive(Default)]
pub(crate) struct Requests {
    /// Of a message that isn't whole yet.
    begun: Vec<u8>,
    /// How much of the message under way is still to come and of no interest.
    passing: usize,
    has_started: bool,
}

impl Requests {
    /// How many round trips began with these bytes.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> usize {
        let mut trips = 0;
        while !bytes.is_empty() {
            let passed = self.passing.min(bytes.len());
            self.passing -= passed;
            bytes = &bytes[passed..];
            let wanted = if self.has_started { 5 } else { 8 };
            let taken = (wanted - self.begun.len()).min(bytes.len());
            self.begun.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.begun.len() == wanted {
                trips += self.head();
                self.begun.clear();
            }
        }
        trips
    }

    /// Reads the head of a message; the rest of it passes.
    fn head(&mut self) -> usize {
        let number = |at: usize| {
            let bytes = self.begun[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes)
        };
        if !self.has_started {
            self.has_started = STARTS.contains(&number(4));
            self.passing = usize::try_from(number(0)).expect("a length").saturating_sub(8);
            return 0;
        }
        self.passing = usize::try_from(number(1)).expect("a length").saturating_sub(4);
        usize::from(matches!(self.begun[0], b'S' | b'Q' | b'c' | b'f'))
    }
}

#[test]
fn requests_are_counted_whatever_the_pieces_that_they_come_in() {
    let message = |kind: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).expect("it is short").to_be_bytes();
        [&[kind][..], &length[..], body].concat()
    };
    let ssl = [8u32.to_be_bytes(), 80_877_103u32.to_be_bytes()].concat();
    let start = [&13u32.to_be_bytes()[..], &196_608u32.to_be_bytes()[..], &b"userS"[..]].concat();
    let prepared = [message(b'P', b"SSSS"), message(b'D', b"S"), message(b'S', b"")].concat();
    let run = [message(b'B', b"QcS"), message(b'E', b""), message(b'S', b"")].concat();
    let copied =
        [message(b'Q', b"COPY"), message(b'd', &[b'S'; 5000]), message(b'c', b"")].concat();
    let all = [ssl, start, message(b'p', b"secret"), prepared, run, copied].concat();
    for piece in [1, 3, 7, 100, all.len()] {
        let mut requests = Requests::default();
        let trips: usize = all.chunks(piece).map(|bytes| requests.take(bytes)).sum();
        assert_eq!(trips, 4, "in pieces of {piece}");
    }
}
