//! Every operation of the document, asked by its own example of a daemon whose database is prepared for it: what it
//! answers is what is described, and it asks the database as often beside ten rows as beside a thousand.
//!
//! An operation that is new is in here by itself. What isn't asked is listed, each with its reason.

mod prepared;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Answer, change_as,
    described::{schema::faults, with_examples},
    found,
};
use crate::statements::end;
use crate::support::{self, Proxy};
use prepared::Prepared;

const FEW: usize = 10;
const MANY: usize = 1000;

/// What requests ask by.
const SESSION: &str = "legwork admin";

/// What isn't counted, and why.
const NOT_COUNTED: &[(&str, &str)] = &[
    ("/api/v1/events", "a stream has no end, and is told from memory"),
    ("/api/v1/shutdown", "it ends the daemon"),
    ("/debug/pprof/profile", "it measures for seconds and asks the database nothing"),
    ("/debug/pprof/heap", "it measures for seconds and asks the database nothing"),
    ("/debug/pprof/allocs", "it measures for seconds and asks the database nothing"),
    ("/debug/pprof/trace", "it measures for seconds and asks the database nothing"),
    ("/debug/trace", "it measures for seconds and asks the database nothing"),
];

/// Lists, whose answers are longer beside more rows.
const LISTS: [&str; 6] = [
    "/api/v1/audit",
    "/api/v1/daemons",
    "/api/v1/jobs",
    "/api/v1/jobs/{id}",
    "/api/v1/operations",
    "/api/v1/queues",
];

/// One operation.
struct Operation<'d> {
    method: String,
    path: &'d str,
    described: &'d Value,
}

impl Operation<'_> {
    /// Sends its example, to the path that this leads to.
    async fn ask(&self, prepared: &Prepared, path: &str, rows: usize) -> Answer {
        let content = self.described["requestBody"]["content"].as_object();
        let Some((kind, content)) = content.and_then(|kinds| kinds.iter().next()) else {
            return super::ask(prepared.daemon.admin().await, &self.method, path).await;
        };
        let body = match &content["example"] {
            // Two lines, of as many as there are rows.
            Value::String(lines) if self.path.ends_with(":batch") => lines.repeat(rows / 2),
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        change_as(&prepared.daemon, &self.method, path, (kind, &body)).await
    }

    /// Its path with the examples of its parameters, and where it lists without being told what, that as well.
    async fn paths(&self, prepared: &Prepared) -> Vec<String> {
        let example = match prepared.path(self.path).await {
            Some(path) => path,
            None => with_examples(self.path, self.described),
        };
        let bare = example.split('?').next().expect("a path").to_owned();
        let has_bare = self.path.starts_with("/api/") && bare != example;
        [example].into_iter().chain(has_bare.then_some(bare)).collect()
    }

    fn is_change(&self) -> bool {
        !["GET", "HEAD"].contains(&&*self.method)
    }
}

/// All of the document: what reads, and then what changes something; what ends the daemon comes last.
fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().expect("paths");
    let mut all = Vec::new();
    for (path, operations) in paths {
        for (method, described) in operations.as_object().expect("operations") {
            all.push(Operation { method: method.to_uppercase(), path, described });
        }
    }
    all.sort_by_key(|operation| (operation.is_change(), operation.path == "/api/v1/shutdown"));
    all
}

/// The longest list in a value.
fn longest(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(longest).max().unwrap_or(0).max(items.len()),
        Value::Object(members) => members.values().map(longest).max().unwrap_or(0),
        _ => 0,
    }
}

/// How many statements each request takes beside so many rows, and how long the longest list of its answer is.
async fn counted(
    prepared: &mut Prepared,
    (proxy, document): (&Proxy, &Value),
    rows: usize,
) -> BTreeMap<String, (usize, usize)> {
    let mut counts = BTreeMap::new();
    // For all that read.
    prepared.arrange("", rows).await;
    for operation in operations(document) {
        if NOT_COUNTED.iter().any(|(path, _)| *path == operation.path) {
            continue;
        }
        if operation.is_change() {
            prepared.arrange(operation.path, rows).await;
        }
        for path in operation.paths(prepared).await {
            let before = proxy.statements_of(SESSION);
            let answer = operation.ask(prepared, &path, rows).await;
            let statements = proxy.statements_of(SESSION) - before;
            let asked = format!("{} {path}", operation.method);
            // The list of Go's profiles has moved.
            assert!(matches!(answer.status, 200..=202 | 301), "{asked}: {}", answer.body);
            let listed = serde_json::from_str(&answer.body).map_or(0, |value| longest(&value));
            // Of a call back the path is another each time.
            let query = path.split_once('?').map_or("", |(_, query)| query);
            let name = format!("{} {}?{query}", operation.method, operation.path);
            counts.insert(name, (statements, listed));
        }
    }
    counts
}

#[test]
fn a_request_asks_the_database_as_often_beside_a_thousand_rows_as_beside_ten() {
    support::run(async |db| {
        let proxy = Proxy::before(&db.url()).await;
        let mut prepared = Prepared::new(&db, proxy.url()).await;
        let document = found(&prepared.daemon, "/openapi.json").await;
        // Sessions, and what they prepare, are there from the first time on.
        counted(&mut prepared, (&proxy, &document), FEW).await;
        let few = counted(&mut prepared, (&proxy, &document), FEW).await;
        let many = counted(&mut prepared, (&proxy, &document), MANY).await;
        let mut wrong = Vec::new();
        for (name, (statements, _)) in &few {
            if many[name].0 != *statements {
                wrong.push(format!("{name}: {statements} and {} statements", many[name].0));
            }
        }
        assert!(wrong.is_empty(), "beside {FEW} and beside {MANY} rows:\n{}", wrong.join("\n"));
        assert!(few["GET /debug/bundle?seconds=1"].0 > 0, "a bundle asks it too: {few:?}");
        for path in LISTS {
            let name = format!("GET {path}?");
            assert!(few[&name].0 > 0, "{path} asks the database, which is counted");
            assert!(few[&name].1 < many[&name].1, "{path} shows the rows: {few:?} {many:?}");
        }
        let unknown: Vec<_> =
            NOT_COUNTED.iter().filter(|(path, _)| document["paths"].get(*path).is_none()).collect();
        assert!(unknown.is_empty(), "there is no such path: {unknown:?}");
        let Prepared { daemon, session, .. } = prepared;
        daemon.stop().await;
        end(session).await;
    });
}

/// Holds an answer to what is described of its status.
fn held(document: &Value, operation: &Operation<'_>, answer: &Answer) -> Vec<String> {
    let described = &operation.described["responses"][answer.status.to_string()];
    let kind = answer.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().expect("a type");
    let schema = &described["content"][kind]["schema"];
    if !schema.is_object() {
        return vec![format!("{kind} isn't described of {}", answer.status)];
    }
    let value =
        if kind == "application/json" { answer.json() } else { Value::String(answer.body.clone()) };
    let headers = described["headers"].as_object().into_iter().flatten();
    let required = headers.filter(|(_, header)| header["required"] == true);
    let lacking = required.filter(|(name, _)| answer.header(&name.to_lowercase()).is_none());
    let lacking = lacking.map(|(name, _)| format!("{name} isn't there"));
    faults(document, schema, &value).into_iter().chain(lacking).collect()
}

#[test]
fn every_change_s_example_succeeds_and_is_answered_as_it_is_described() {
    support::run(async |db| {
        let mut prepared = Prepared::new(&db, &db.url()).await;
        let document = found(&prepared.daemon, "/openapi.json").await;
        let (mut asked, mut wrong) = (BTreeSet::new(), Vec::new());
        for operation in operations(&document).into_iter().filter(Operation::is_change) {
            prepared.arrange(operation.path, FEW).await;
            let path = operation.paths(&prepared).await.remove(0);
            let answer = operation.ask(&prepared, &path, FEW).await;
            let name = format!("{} {}", operation.method, operation.path);
            if !matches!(answer.status, 200..=202) {
                wrong.push(format!("{name}: {} {}", answer.status, answer.body));
            }
            let faults = held(&document, &operation, &answer);
            wrong.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
            asked.insert(name);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(asked.len() >= 26, "all that change something: {asked:?}");
        // The last of them has ended it.
        let Prepared { mut daemon, session, .. } = prepared;
        assert_eq!(daemon.exit(support::PATIENCE).await.code(), Some(0), "{}", daemon.printed());
        end(session).await;
    });
}
