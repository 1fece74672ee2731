//! The rules of Chrome's trace events, as far as a reader that keeps to them loses nothing: each event has what its
//! phase needs, slices of a thread come in their order and lie within each other or apart, what begins ends, and an
//! arrow has both ends, each in a slice.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

fn events(trace: &Value) -> &[Value] {
    trace["traceEvents"].as_array().expect("a list")
}

/// On which track, by process and thread.
type Track = (u64, u64);

fn track(event: &Value) -> Track {
    let number = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{name} of {event}"));
    (number("pid"), number("tid"))
}

fn begins(event: &Value) -> f64 {
    event["ts"].as_f64().unwrap_or_else(|| panic!("ts of {event}"))
}

fn ends(event: &Value) -> f64 {
    begins(event) + event["dur"].as_f64().unwrap_or_else(|| panic!("dur of {event}"))
}

/// Whether a slice lies within another.
pub(crate) fn is_within(inner: &Value, outer: &Value) -> bool {
    track(inner) == track(outer) && begins(outer) <= begins(inner) && ends(inner) <= ends(outer)
}

/// Fails where a rule is broken.
pub(crate) fn holds(trace: &Value) {
    let mut names: BTreeMap<(&str, Track), &str> = BTreeMap::new();
    let mut open: HashMap<Track, Vec<&Value>> = HashMap::new();
    let mut last: HashMap<Track, f64> = HashMap::new();
    let mut asynchronous: HashMap<(&str, &str), Vec<&Value>> = HashMap::new();
    let mut arrows: HashMap<(&str, &str), Vec<&Value>> = HashMap::new();
    let text = |event: &'_ Value, name: &str| -> String {
        event[name].as_str().unwrap_or_else(|| panic!("{name} of {event}")).to_owned()
    };
    for event in events(trace) {
        let (on, phase) = (track(event), event["ph"].as_str().expect("a phase"));
        text(event, "name");
        if phase == "M" {
            let said = event["args"]["name"].as_str().unwrap_or_default();
            names.insert((event["name"].as_str().expect("a name"), on), said);
            continue;
        }
        assert!(begins(event) >= 0.0, "{event}");
        let key = || {
            let member = |of: &str| event[of].as_str().unwrap_or_else(|| panic!("{event}"));
            // Of jobs it is one of their process: with a plain one Perfetto shows them apart from it.
            let local = event["id2"]["local"].as_str();
            (member("cat"), local.unwrap_or_else(|| member("id")))
        };
        match phase {
            "X" => {
                assert!(ends(event) >= begins(event), "{event}");
                // Perfetto would take the row for the main thread.
                let is_task = event["cat"] == "wait";
                assert!(!is_task || event["tid"] != event["pid"], "{event}");
                let latest = last.insert(on, begins(event)).unwrap_or(0.0);
                assert!(latest <= begins(event), "out of order: {event}");
                let open = open.entry(on).or_default();
                open.retain(|outer| ends(outer) > begins(event));
                assert!(
                    open.iter().all(|outer| is_within(event, outer)),
                    "across: {event} {open:?}"
                );
                open.push(event);
            }
            "b" => asynchronous.entry(key()).or_default().push(event),
            "e" => {
                let begun = asynchronous.get_mut(&key()).and_then(Vec::pop);
                let begun = begun.unwrap_or_else(|| panic!("it never began: {event}"));
                assert_eq!(begun["name"], event["name"], "{begun}");
                assert!(begins(begun) <= begins(event), "{begun} {event}");
            }
            "n" => assert!(!asynchronous.entry(key()).or_default().is_empty(), "{event}"),
            "s" | "f" => arrows.entry(key()).or_default().push(event),
            "i" => assert!(["g", "p", "t"].contains(&text(event, "s").as_str()), "{event}"),
            other => panic!("no such phase: {other}"),
        }
    }
    let endless: Vec<_> = asynchronous.values().flatten().collect();
    assert!(endless.is_empty(), "they never end: {endless:?}");
    for on in last.keys() {
        assert!(names.contains_key(&("thread_name", *on)), "{on:?} has no name");
        assert!(names.contains_key(&("process_name", (on.0, 0))), "{on:?} has no process");
    }
    both_ends(trace, &arrows);
}

fn both_ends(trace: &Value, arrows: &HashMap<(&str, &str), Vec<&Value>>) {
    for (id, ends_of) in arrows {
        let mut phases: Vec<_> = ends_of.iter().map(|end| end["ph"].as_str()).collect();
        phases.sort_unstable();
        assert_eq!(phases, [Some("f"), Some("s")], "{id:?} has other than two ends");
        let end = |phase| *ends_of.iter().find(|end| end["ph"] == phase).expect("an end");
        let (start, finish) = (end("s"), end("f"));
        assert!(begins(start) <= begins(finish), "{start} {finish}");
        assert_eq!(finish["bp"], "e", "{finish}");
    }
    // In the order of their beginnings, which has been looked at.
    let mut by_track: HashMap<Track, Vec<(f64, f64)>> = HashMap::new();
    for slice in events(trace).iter().filter(|event| event["ph"] == "X") {
        by_track.entry(track(slice)).or_default().push((begins(slice), ends(slice)));
    }
    for end in arrows.values().flatten() {
        let slices = by_track.get(&track(end)).map_or(&[][..], Vec::as_slice);
        let at = begins(end);
        let begun = slices.partition_point(|(began, _)| *began <= at);
        let round = slices[..begun].iter().rev().any(|(_, ended)| at <= *ended);
        assert!(round, "an arrow that leads nowhere: {end}");
    }
}

/// A trace to look things up in.
pub(crate) struct Tracks<'t>(&'t Value);

impl<'t> Tracks<'t> {
    pub(crate) fn of(trace: &'t Value) -> Self {
        Self(trace)
    }

    /// Slices of this category.
    pub(crate) fn slices(&self, category: &str) -> Vec<&'t Value> {
        let is_it = |event: &&Value| event["ph"] == "X" && event["cat"] == category;
        events(self.0).iter().filter(is_it).collect()
    }

    /// Ends of arrows of this phase.
    pub(crate) fn ends(&self, phase: &str) -> Vec<&'t Value> {
        events(self.0).iter().filter(|event| event["ph"] == phase).collect()
    }

    /// The name of the track that an event is on.
    pub(crate) fn name(&self, event: &Value) -> &'t str {
        let is_its = |meta: &&Value| meta["name"] == "thread_name" && track(meta) == track(event);
        let meta = events(self.0).iter().find(is_its).expect("a name");
        meta["args"]["name"].as_str().expect("a text")
    }

    /// What began, or happened, on each asynchronous track of this sort, in its order.
    pub(crate) fn asynchronous(
        &self,
        sort: impl Fn(&Value) -> bool,
    ) -> BTreeMap<&'t str, Vec<&'t str>> {
        let mut steps = BTreeMap::<_, Vec<_>>::new();
        let phases = ["b", "n"];
        let is_it = |event: &&Value| phases.iter().any(|ph| event["ph"] == *ph) && sort(event);
        for event in events(self.0).iter().filter(is_it) {
            let id = event["id2"]["local"].as_str().expect("an id of its process");
            steps.entry(id).or_default().push(event["name"].as_str().expect("a name"));
        }
        steps
    }

    /// The beginning of an asynchronous slice of this name.
    pub(crate) fn begins(&self, name: &str, is_it: impl Fn(&Value) -> bool) -> &'t Value {
        let is_it =
            |event: &&Value| event["ph"] == "b" && event["name"] == name && is_it(&event["args"]);
        events(self.0).iter().find(is_it).unwrap_or_else(|| panic!("no {name}"))
    }
}
