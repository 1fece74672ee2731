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
    /// What the session is said to be as it starts, and whether that is still to come.
    start: Vec<u8>,
    is_starting: bool,
    /// Statements since they were asked for.
    statements: usize,
}

impl Requests {
    /// How many round trips began with these bytes.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> usize {
        let mut trips = 0;
        while !bytes.is_empty() {
            let passed = self.passing.min(bytes.len());
            self.passing -= passed;
            if self.is_starting {
                self.start.extend_from_slice(&bytes[..passed]);
            }
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

    /// How many statements were run since this was asked last, however they were prepared.
    pub(crate) fn statements(&mut self) -> usize {
        std::mem::take(&mut self.statements)
    }

    /// What the session is called (`application_name`).
    pub(crate) fn session(&self) -> String {
        let mut words = self.start.split(|byte| *byte == 0);
        let name = words.by_ref().find(|word| *word == b"application_name").and(words.next());
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    }

    /// Reads the head of a message; the rest of it passes.
    fn head(&mut self) -> usize {
        let number = |at: usize| {
            let bytes = self.begun[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes)
        };
        if !self.has_started {
            self.has_started = STARTS.contains(&number(4));
            self.is_starting = self.has_started;
            self.passing = usize::try_from(number(0)).expect("a length").saturating_sub(8);
            return 0;
        }
        self.is_starting = false;
        self.passing = usize::try_from(number(1)).expect("a length").saturating_sub(4);
        self.statements += usize::from(matches!(self.begun[0], b'E' | b'Q'));
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
    let told = b"user\0S\0application_name\0legwork admin\0\0";
    let length = u32::try_from(told.len() + 8).expect("it is short").to_be_bytes();
    let start = [&length[..], &196_608u32.to_be_bytes()[..], &told[..]].concat();
    let prepared = [message(b'P', b"SSSS"), message(b'D', b"S"), message(b'S', b"")].concat();
    let run = [message(b'B', b"QcS"), message(b'E', b""), message(b'S', b"")].concat();
    let copied =
        [message(b'Q', b"COPY"), message(b'd', &[b'S'; 5000]), message(b'c', b"")].concat();
    let all = [ssl, start, message(b'p', b"secret"), prepared, run, copied].concat();
    for piece in [1, 3, 7, 100, all.len()] {
        let mut requests = Requests::default();
        let trips: usize = all.chunks(piece).map(|bytes| requests.take(bytes)).sum();
        assert_eq!(trips, 4, "in pieces of {piece}");
        // One that was prepared, and a COPY.
        assert_eq!((requests.statements(), requests.statements()), (2, 0), "in pieces of {piece}");
        assert_eq!(requests.session(), "legwork admin");
    }
}
