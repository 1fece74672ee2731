//! For <https://www.speedscope.app>, which shows the stacks of each thread by themselves.

use super::{Profile, Stack};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

impl Profile {
    /// Its file.
    pub fn speedscope(&self, name: &str) -> Value {
        let drawn = self.drawn(|stack| (thread(stack), self.names(stack)));
        let name = drawn.title(name);
        let mut frames: Vec<Value> = Vec::new();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut threads: BTreeMap<&str, (Vec<Vec<usize>>, Vec<i64>)> = BTreeMap::new();
        for ((thread, names), value) in drawn.values {
            let numbered = names.into_iter().map(|name| {
                *numbers.entry(name).or_insert_with(|| {
                    frames.push(json!({ "name": name }));
                    frames.len() - 1
                })
            });
            let (stacks, weights) = threads.entry(thread).or_default();
            stacks.push(numbered.collect());
            weights.push(value);
        }
        let unit = self.main().unit;
        let unit = if unit == "count" { "none" } else { unit };
        let profiles = threads.into_iter().map(|(thread, (samples, weights))| {
            let end: i64 = weights.iter().sum();
            // Where there are no threads, the name of the whole is shown over it.
            let name = if thread.is_empty() { name.as_str() } else { thread };
            json!({
                "type": "sampled", "name": name, "unit": unit, "startValue": 0, "endValue": end,
                "samples": samples, "weights": weights,
            })
        });
        json!({
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "exporter": concat!("legwork@", env!("CARGO_PKG_VERSION")),
            "name": name,
            "profiles": profiles.collect::<Vec<_>>(),
            "shared": { "frames": frames },
        })
    }
}

fn thread(stack: &Stack) -> &str {
    let thread = stack.labels.iter().find(|(name, _)| *name == "thread");
    thread.map_or("", |(_, thread)| thread)
}
