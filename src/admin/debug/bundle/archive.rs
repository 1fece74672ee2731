//! The archive: what was gathered, a page for people and one for programs that say what it is, all in one folder.

use super::parts::Part;
use crate::telemetry::build;
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use std::{fmt::Write as _, io};
use tar::{Builder, Header};
use time::{OffsetDateTime, macros::format_description};

/// Longest that one part may be, in bytes.
pub(super) const PART_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Longest that all of them may be together, in bytes, and so what an archive may take of memory twice.
const ALL_MAX_BYTES: usize = 48 * 1024 * 1024;
/// Longest that a daemon's name is in that of the archive, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// What people have to know before they send it on; docs/profiling.md says the same.
const WHAT_IS_IN_IT: &str = "\
Legwork puts no payload, no metadata and no result of a job into it, and no secret of the configuration, unless one is\n\
an argument of a command whose name doesn't sound like a secret's. There are the names of kinds, queues, tasks, hosts\n\
and database roles, ids of jobs, and what handlers and the database said of errors. A handler that puts a payload into\n\
its error's text has it in here as well, and so do functions and triggers that say one by RAISE NOTICE or WARNING where\n\
log.filter has those logged. Look through it before you send it outside.";

/// Whose bundle it is, and when it was taken.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) daemon: String,
    pub(super) at: OffsetDateTime,
    pub(super) uptime_seconds: u64,
    /// How long was sampled and recorded.
    pub(super) seconds: u64,
    /// The server's version, where it said so.
    pub(super) postgres: Option<String>,
}

impl Subject {
    /// What the archive is called without its ending, and the folder in it.
    pub(super) fn folder(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let daemon: String = self.daemon.chars().take(NAME_MAX_BYTES).map(plain).collect();
        let form = format_description!("[year][month][day]T[hour][minute][second]Z");
        format!("legwork-bundle-{daemon}-{}", self.at.format(form).unwrap_or_default())
    }
}

/// What programs read of it.
#[derive(Serialize)]
struct Manifest<'a> {
    version: &'static str,
    commit: &'static str,
    daemon: &'a str,
    taken_at: String,
    uptime_seconds: u64,
    profiled_seconds: u64,
    postgres: Option<&'a str>,
    parts: Vec<OfPart<'a>>,
}

#[derive(Serialize)]
struct OfPart<'a> {
    file: &'a str,
    outcome: &'static str,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

/// Packs it. What is longer than it may be is left out, and that is said where the rest of it is.
pub(super) fn packed(subject: &Subject, mut parts: Vec<Part>) -> io::Result<Vec<u8>> {
    bound(&mut parts);
    let folder = subject.folder();
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut add = |file: &str, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(subject.at.unix_timestamp().try_into().unwrap_or_default());
        archive.append_data(&mut header, format!("{folder}/{file}"), content)
    };
    add("README.txt", readme(subject, &parts).as_bytes())?;
    add("manifest.json", &manifest(subject, &parts)?)?;
    for Part { file, content, .. } in &parts {
        if let Ok(content) = content {
            add(file, content)?;
        }
    }
    archive.into_inner()?.finish()
}

fn bound(parts: &mut [Part]) {
    let mut all = 0;
    for part in parts {
        let Ok(content) = &part.content else { continue };
        let bytes = content.len();
        if bytes > PART_MAX_BYTES || all + bytes > ALL_MAX_BYTES {
            part.content = Err(format!("its {bytes} bytes are more than there is room for"));
        } else {
            all += bytes;
        }
    }
}

fn manifest<'p>(subject: &Subject, parts: &'p [Part]) -> io::Result<Vec<u8>> {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let of_part = |part: &'p Part| OfPart {
        file: part.file,
        outcome: if part.content.is_ok() { "taken" } else { "missing" },
        bytes: part.content.as_ref().map_or(0, Vec::len),
        why: part.content.as_ref().err().map(String::as_str),
    };
    let manifest = Manifest {
        version: build::VERSION,
        commit: build::COMMIT,
        daemon: &subject.daemon,
        taken_at: subject.at.format(form).unwrap_or_default(),
        uptime_seconds: subject.uptime_seconds,
        profiled_seconds: subject.seconds,
        postgres: subject.postgres.as_deref(),
        parts: parts.iter().map(of_part).collect(),
    };
    Ok(serde_json::to_vec_pretty(&manifest)?)
}

fn readme(subject: &Subject, parts: &[Part]) -> String {
    let Subject { daemon, at, seconds, uptime_seconds, postgres } = subject;
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let mut text = format!(
        "A support bundle of the Legwork daemon {daemon}, version {} ({}), taken at {} UTC over {seconds} s.\n\
         It had been up for {uptime_seconds} s; Postgres: {}.\n\n\
         {WHAT_IS_IN_IT}\n\n",
        build::VERSION,
        build::COMMIT,
        at.format(form).unwrap_or_default(),
        postgres.as_deref().unwrap_or("it said nothing"),
    );
    let taken = parts.iter().filter(|part| part.content.is_ok());
    for Part { file, about, .. } in taken {
        writeln!(text, "{file}\n    {about}").ok();
    }
    let mut missing = parts.iter().filter_map(|part| Some((part, part.content.as_ref().err()?)));
    if let Some(first) = missing.next() {
        text.push_str("\nWhat is missing, and why:\n\n");
        for (Part { file, .. }, why) in [first].into_iter().chain(missing) {
            writeln!(text, "{file}\n    {why}").ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn subject(daemon: &str) -> Subject {
        let at = OffsetDateTime::from_unix_timestamp(1_772_366_400).expect("a moment");
        let daemon = daemon.to_owned();
        Subject { daemon, at, uptime_seconds: 7, seconds: 10, postgres: None }
    }

    fn part(file: &'static str, content: Result<Vec<u8>, String>) -> Part {
        Part { file, about: "what it is", content }
    }

    /// Each file with what is in it.
    fn unpacked(archive: &[u8]) -> Vec<(String, String)> {
        let mut archive = tar::Archive::new(GzDecoder::new(archive));
        let entries = archive.entries().expect("an archive");
        let read = |entry: io::Result<tar::Entry<'_, _>>| {
            let mut entry = entry.expect("an entry");
            let mut content = String::new();
            entry.read_to_string(&mut content).expect("text");
            (entry.path().expect("a path").display().to_string(), content)
        };
        entries.map(read).collect()
    }

    #[test]
    fn what_is_missing_is_named_with_the_reason_and_the_rest_is_there() {
        let parts = vec![
            part("metrics.txt", Ok(b"legwork_up 1\n".to_vec())),
            part("cpu.pb.gz", Err("somebody else takes one".into())),
        ];
        let subject = subject("a");
        let archive = unpacked(&packed(&subject, parts).expect("memory takes it"));
        let folder = "legwork-bundle-a-20260301T120000Z";
        let files = ["README.txt", "manifest.json", "metrics.txt"];
        let names: Vec<_> = archive.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, files.map(|file| format!("{folder}/{file}")));
        assert!(archive[0].1.contains("What is missing, and why:\n\ncpu.pb.gz\n    somebody else"));
        for told in ["an argument of a command", "puts a payload into", "RAISE NOTICE"] {
            assert!(archive[0].1.contains(told), "{told}");
        }
        let manifest: serde_json::Value = serde_json::from_str(&archive[1].1).expect("JSON");
        assert_eq!(manifest["taken_at"], "2026-03-01T12:00:00Z");
        let parts = serde_json::json!([
            { "file": "metrics.txt", "outcome": "taken", "bytes": 13 },
            { "file": "cpu.pb.gz", "outcome": "missing", "bytes": 0, "why": "somebody else takes one" },
        ]);
        assert_eq!(manifest["parts"], parts);
        assert_eq!(archive[2].1, "legwork_up 1\n");
    }

    #[test]
    fn no_part_and_not_all_of_them_are_larger_than_they_may_be() {
        let full = || part("large", Ok(vec![0; PART_MAX_BYTES]));
        let mut parts = vec![part("larger", Ok(vec![0; PART_MAX_BYTES + 1]))];
        parts.extend((0..=ALL_MAX_BYTES / PART_MAX_BYTES).map(|_| full()));
        parts.push(part("none", Ok(Vec::new())));
        bound(&mut parts);
        let is_there: Vec<_> = parts.iter().map(|part| part.content.is_ok()).collect();
        assert_eq!(is_there, [false, true, true, true, false, true]);
    }

    #[test]
    fn a_name_is_no_path() {
        let folder = subject("../a b/ö\n").folder();
        assert_eq!(folder, "legwork-bundle-..-a-b----20260301T120000Z");
        assert!(subject(&"x".repeat(1000)).folder().len() < 120);
    }
}
