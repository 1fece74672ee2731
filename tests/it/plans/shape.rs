//! What of a plan is pinned: its nodes, what they read and by which columns of an index. No costs, no
//! numbers that a planner gives its parts, no day of history by its date.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// A plan, as `EXPLAIN (FORMAT JSON)` gives it.
pub(super) struct Plan {
    root: Value,
    /// Partitions that are too small for it to matter how they are read; they aren't shown.
    small: BTreeSet<String>,
}

/// A whole table or index that a plan reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Read {
    /// A sequential scan of this table.
    Table(String),
    /// A scan of this index without a condition on it.
    Index(String),
}

impl Read {
    /// Whether this is what an excuse is about: the table, by whatever way, or the index.
    pub(super) fn is_of(&self, excused: &str) -> bool {
        let (Self::Table(name) | Self::Index(name)) = self;
        name == excused || name.strip_prefix(excused).is_some_and(|rest| rest.starts_with('_'))
    }
}

impl std::fmt::Display for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Table(table) => write!(f, "all of {table}"),
            Self::Index(index) => write!(f, "all of the index {index}"),
        }
    }
}

impl Plan {
    pub(super) fn new(explained: &Value, small: BTreeSet<String>) -> Self {
        Self { root: explained[0]["Plan"].clone(), small }
    }

    /// The plan as an indented tree, days of history that are read alike as one.
    pub(super) fn tree(&self) -> String {
        let mut text = String::new();
        for line in self.lines(&self.root) {
            writeln!(text, "  {line}").expect("a String grows");
        }
        text
    }

    /// Every index that it goes by.
    pub(super) fn indexes(&self) -> BTreeSet<String> {
        let mut indexes = BTreeSet::new();
        visit(&self.root, &mut |node| indexes.extend(named(node, "Index Name")));
        indexes
    }

    /// What grows with jobs, live and finished, and is read as a whole.
    pub(super) fn reads(&self) -> BTreeSet<Read> {
        let mut reads = BTreeSet::new();
        visit(&self.root, &mut |node| {
            if self.is_small(node) {
                return;
            }
            let table = named(node, "Relation Name").filter(|table| grows(table));
            let index = named(node, "Index Name").filter(|index| grows(index));
            match text(node, "Node Type") {
                "Seq Scan" => reads.extend(table.map(Read::Table)),
                _ if node.get("Index Cond").is_none() => reads.extend(index.map(Read::Index)),
                _ => {}
            }
        });
        reads
    }

    fn is_small(&self, node: &Value) -> bool {
        self.small.contains(text(node, "Relation Name"))
    }

    /// Whether nothing below reads anything but small partitions.
    fn is_all_small(&self, node: &Value) -> bool {
        let (mut any, mut all) = (false, true);
        visit(node, &mut |node| {
            if node.get("Relation Name").is_some() || node.get("Function Name").is_some() {
                any = true;
                all &= self.is_small(node);
            }
        });
        any && all
    }

    fn lines(&self, node: &Value) -> Vec<String> {
        let mut lines = vec![head(node)];
        let mut before = Vec::new();
        for below in children(node).filter(|below| !self.is_all_small(below)) {
            let below: Vec<_> =
                self.lines(below).into_iter().map(|line| format!("  {line}")).collect();
            if below != before {
                lines.extend(below.iter().cloned());
                before = below;
            }
        }
        lines
    }
}

fn children(node: &Value) -> impl Iterator<Item = &Value> {
    node["Plans"].as_array().into_iter().flatten()
}

fn visit<'p>(node: &'p Value, see: &mut impl FnMut(&'p Value)) {
    see(node);
    for below in children(node) {
        visit(below, see);
    }
}

fn text<'p>(node: &'p Value, key: &str) -> &'p str {
    node[key].as_str().unwrap_or_default()
}

/// A name, of which no day is left.
fn named(node: &Value, key: &str) -> Option<String> {
    static DAY: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"_\d{8}(_\w+)?$").expect("it is a pattern"));
    let name = node[key].as_str()?;
    Some(match (name.split_once("_20").map(|(parent, _)| parent), DAY.captures(name)) {
        (Some("finished"), Some(day)) if day.get(1).is_some() => match &day[1] {
            "_id_idx" => "finished_id".into(),
            _ => "finished_reason".into(),
        },
        (Some("failed_attempt"), Some(day)) if day.get(1).is_some() => "failed_attempt_key".into(),
        (Some(parent), Some(_)) => format!("{parent}_DAY"),
        _ => name.to_owned(),
    })
}

/// Whether there is a row of it for each job, so that nobody may read all of it.
fn grows(name: &str) -> bool {
    let tables = ["job", "finished", "failed_attempt"];
    !name.ends_with("_seq")
        && tables.iter().any(|table| {
            name.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        })
}

/// One node in a line.
fn head(node: &Value) -> String {
    let name = text(node, "Subplan Name");
    let mut line = match (text(node, "Parent Relationship"), name.strip_prefix("CTE ")) {
        (_, Some(cte)) => format!("CTE {cte}: "),
        ("InitPlan", None) => "InitPlan: ".to_owned(),
        ("SubPlan", None) => "SubPlan: ".to_owned(),
        _ => String::new(),
    };
    if node["Parallel Aware"] == true {
        line += "Parallel ";
    }
    line += match (text(node, "Node Type"), text(node, "Strategy")) {
        ("ModifyTable", _) => text(node, "Operation"),
        ("Aggregate", "Hashed") => "HashAggregate",
        ("Aggregate", "Sorted") => "GroupAggregate",
        (kind, _) => kind,
    };
    for key in ["Partial Mode", "Join Type"] {
        let mode = text(node, key);
        if !matches!(mode, "" | "Simple" | "Inner") {
            write!(line, " {mode}").expect("a String grows");
        }
    }
    for key in ["Relation Name", "Function Name", "CTE Name"] {
        if let Some(name) = named(node, key) {
            write!(line, " on {name}").expect("a String grows");
        }
    }
    line + &way(node)
}

/// By which index and which of its columns.
fn way(node: &Value) -> String {
    let mut way = named(node, "Index Name").map(|name| format!(" by {name}")).unwrap_or_default();
    if text(node, "Scan Direction") == "Backward" {
        way += " backward";
    }
    if node.get("Index Cond").is_some() {
        write!(way, " ({})", conditions(text(node, "Index Cond"))).expect("a String grows");
    }
    if node.get("TID Cond").is_some() {
        way += " by ctid";
    }
    way
}

/// Columns and operators of an index condition; what they are compared with differs between a plan for
/// any arguments and one for these, and between versions of Postgres.
fn conditions(condition: &str) -> String {
    static TERM: LazyLock<Regex> = LazyLock::new(|| {
        let pattern =
            r"^\(*(?:\w+\.)?(\w+)\)*(?:::[a-z ]+?)? (=|[<>]=?|IS NOT NULL|IS NULL)( ANY)?";
        Regex::new(pattern).expect("it is a pattern")
    });
    let whole = condition.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let terms = whole.unwrap_or(condition).split(" AND ").map(|term| {
        let term = TERM.captures(term);
        term.map_or_else(
            || condition.to_owned(),
            |t| format!("{} {}{}", &t[1], &t[2], t.get(3).map_or("", |any| any.as_str())),
        )
    });
    terms.collect::<Vec<_>>().join(", ")
}

#[rstest::rstest]
#[case::a_domain("((queue)::text = 'default'::text)", "queue =")]
#[case::columns(
    "(((j.queue)::text = $2) AND ((j.priority)::smallint = p.priority) AND (j.seq >= p.mark))",
    "queue =, priority =, seq >="
)]
#[case::a_time("((run_at)::timestamp with time zone >= to_timestamp($1))", "run_at >=")]
#[case::any("(id = ANY ('{1,2}'::bigint[]))", "id = ANY")]
#[case::any_of_a_column("((f.job_id = 7) AND (f.token < $0))", "job_id =, token <")]
fn a_condition_is_its_columns_and_operators(#[case] condition: &str, #[case] expected: &str) {
    assert_eq!(conditions(condition), expected);
}

#[test]
fn a_plan_is_its_nodes_and_says_what_it_reads_as_a_whole() {
    let scan = |table: &str| serde_json::json!({ "Node Type": "Seq Scan", "Relation Name": table });
    let by_day = |day: &str| {
        serde_json::json!({ "Node Type": "Index Scan", "Relation Name": format!("finished_{day}"),
            "Index Name": format!("finished_{day}_id_idx"), "Index Cond": "(id = $1)" })
    };
    let walk = serde_json::json!({ "Node Type": "Index Only Scan", "Relation Name": "job",
        "Index Name": "job_pkey", "Scan Direction": "Backward" });
    let days = serde_json::json!({ "Node Type": "Append", "Plans": [
        by_day("20260101"), by_day("20260102"), scan("finished_20260103"), scan("finished_20260104")] });
    let explained = serde_json::json!([{ "Plan": { "Node Type": "Nested Loop", "Join Type": "Left",
        "Plans": [walk, days, scan("queue")] } }]);
    let plan = Plan::new(&explained, ["finished_20260104".to_owned()].into());
    assert_eq!(
        plan.tree(),
        "  Nested Loop Left\n    Index Only Scan on job by job_pkey backward\n    Append\n      \
         Index Scan on finished_DAY by finished_id (id =)\n      Seq Scan on finished_DAY\n    \
         Seq Scan on queue\n"
    );
    let reads = [Read::Table("finished_DAY".into()), Read::Index("job_pkey".into())];
    assert_eq!(plan.reads(), reads.into());
    assert_eq!(plan.indexes(), ["finished_id", "job_pkey"].map(str::to_owned).into());
}
