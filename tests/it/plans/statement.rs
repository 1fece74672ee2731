//! How a statement of the catalogue is described.

/// On which of the daemon's or the operators' sessions a statement runs: what the planner is told there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Session {
    Claim,
    Completer,
    /// `maintenance` and `survey`.
    Indexed,
    /// Of what looks after attempts of functions.
    Aside,
    /// Of an attempt of a function, in its transaction and behind the function.
    Attempt,
    /// Without settings for the planner, and kept: heartbeat, demo, programs that enqueue.
    Plain,
    /// As `Plain`, and planned anew at each call, for the arguments that it has: what people ask for.
    Operator,
    /// As `Operator`, of the admin port, whose lists have to cost the same whatever the planner believes.
    Request,
}

impl Session {
    pub(super) const ALL: [Self; 8] = [
        Self::Claim,
        Self::Completer,
        Self::Indexed,
        Self::Aside,
        Self::Attempt,
        Self::Plain,
        Self::Operator,
        Self::Request,
    ];

    /// How its statements are planned: for any arguments, as a session keeps them, and for those that are
    /// given.
    pub(super) const fn modes(self) -> &'static [&'static str] {
        match self {
            Self::Operator | Self::Request => &["force_custom_plan"],
            _ => &["force_generic_plan", "force_custom_plan"],
        }
    }

    /// The files that are sent before.
    pub(super) const fn setup(self) -> &'static str {
        match self {
            Self::Claim => include_str!("../../../src/postgres/sql/claim_session.sql"),
            Self::Completer => include_str!("../../../src/postgres/sql/completer_session.sql"),
            Self::Indexed | Self::Request => {
                include_str!("../../../src/postgres/sql/indexed_session.sql")
            }
            Self::Aside => include_str!("../../../src/postgres/sql/aside_session.sql"),
            Self::Attempt => {
                concat!("BEGIN;\n", include_str!("../../../src/postgres/sql/before_fence.sql"))
            }
            Self::Plain | Self::Operator => "",
        }
    }
}

/// A statement with its arguments. One file may have several, where arguments decide about the plan.
#[derive(Clone, Copy)]
pub(super) struct Statement {
    pub(super) file: &'static str,
    /// Which of them, where its file has several.
    pub(super) case: &'static str,
    pub(super) session: Session,
    /// Types of the parameters, as the code binds them.
    pub(super) types: &'static str,
    pub(super) arguments: &'static str,
    /// Indexes that it goes by, whatever the planner knows.
    pub(super) by: &'static [&'static str],
    /// What it reads as a whole: a table, by whatever way, or an index.
    pub(super) reads: &'static [&'static str],
    /// Why it may, or why that isn't whole.
    pub(super) why: &'static str,
    /// How many entries of indexes it may read inside of functions, where it calls one.
    pub(super) inside: Option<i64>,
}

impl Statement {
    pub(super) const fn new(session: Session, file: &'static str) -> Self {
        Self {
            file,
            case: "",
            session,
            types: "",
            arguments: "",
            by: &[],
            reads: &[],
            why: "",
            inside: None,
        }
    }

    pub(super) const fn with(self, types: &'static str, arguments: &'static str) -> Self {
        Self { types, arguments, ..self }
    }

    pub(super) const fn case(self, case: &'static str) -> Self {
        Self { case, ..self }
    }

    pub(super) const fn by(self, by: &'static [&'static str]) -> Self {
        Self { by, ..self }
    }

    pub(super) const fn reads(self, reads: &'static [&'static str], why: &'static str) -> Self {
        Self { reads, why, ..self }
    }

    pub(super) const fn inside(self, entries: i64) -> Self {
        Self { inside: Some(entries), ..self }
    }

    pub(super) fn name(&self) -> String {
        if self.case.is_empty() {
            self.file.to_owned()
        } else {
            format!("{}, {}", self.file, self.case)
        }
    }

    /// Its text, which stands in its file.
    pub(super) fn text(&self) -> String {
        let path = format!("{}/src/postgres/sql/{}.sql", env!("CARGO_MANIFEST_DIR"), self.file);
        std::fs::read_to_string(path).expect("a statement has a file")
    }
}
