//! What breaks of schemas. Of what is asked whatever was taken has to be taken still; of what is answered nothing may
//! come that couldn't come before, but for members and words that are new, which clients pass over. A member or a word
//! that goes is a break on either side.
//!
//! Numbers and types are compared. Which of two patterns or formats allows more isn't found out: another one is a
//! break on either side, except for a longer number.

use super::{Comparison, Pair, Side, Value, members, resolved};
use std::collections::BTreeSet;

/// The larger, the narrower.
const LEAST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
/// The smaller, the narrower.
const MOST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
/// Formats of numbers of which the first fits into the second.
const LONGER: [(&str, &str); 2] = [("int32", "int64"), ("float", "double")];

impl<'d> Comparison<'d> {
    pub(super) fn schema(&mut self, place: &str, (was, is): Pair<'d>, side: Side) {
        let (was, is) = (resolved(self.old, was), resolved(self.new, is));
        match (alternatives(was), alternatives(is)) {
            (None, None) => self.plain(place, (was, is), side),
            (Some(had), Some(has)) => {
                self.plain(place, (was, is), side);
                self.one_of(place, (had, has), side);
            }
            // What was the only form is one of several now, or the other way round.
            (had, has) => {
                let alone = (std::slice::from_ref(was), std::slice::from_ref(is));
                self.one_of(place, (had.unwrap_or(alone.0), has.unwrap_or(alone.1)), side);
            }
        }
    }

    /// Each of the narrow side has to fit one of the wide side; what is told is what keeps it from the likest.
    fn one_of(&mut self, place: &str, (had, has): (&'d [Value], &'d [Value]), side: Side) {
        let (narrow, wide) = ordered((had, has), side);
        for one in narrow {
            let breaks = |other: &'d Value| {
                let mut trial = Comparison { broken: Vec::new(), ..*self };
                trial.schema(place, ordered((one, other), side), side);
                trial.broken
            };
            let least = wide.iter().map(breaks).min_by_key(Vec::len);
            self.broken.extend(least.unwrap_or_default());
        }
    }

    fn plain(&mut self, place: &str, pair: Pair<'d>, side: Side) {
        self.forms(place, pair, side);
        self.words(place, pair, side);
        self.bounds(place, pair, side);
        self.default(place, pair, side);
        self.required(place, pair, side);
        self.properties(place, pair, side);
        self.other_properties(place, pair, side);
        let (was, is) = pair;
        for (name, mark) in [("items", "[]"), ("propertyNames", "{}")] {
            if was.get(name).or(is.get(name)).is_some() {
                self.schema(&format!("{place}{mark}"), (&was[name], &is[name]), side);
            }
        }
        let parts = |schema: &Value| schema["allOf"].as_array().map_or(0, Vec::len);
        for at in 0..parts(was).max(parts(is)) {
            self.schema(place, (&was["allOf"][at], &is["allOf"][at]), side);
        }
    }

    fn forms(&mut self, place: &str, (was, is): Pair<'d>, side: Side) {
        let (narrow, wide) = ordered((forms(was), forms(is)), side);
        let fits = wide.is_none_or(|wide| narrow.is_some_and(|narrow| narrow.is_subset(&wide)));
        if !fits {
            self.became(place, "type", (was, is));
        }
    }

    fn words(&mut self, place: &str, (was, is): Pair<'d>, side: Side) {
        match (was["enum"].as_array(), is["enum"].as_array(), side) {
            (Some(was), Some(is), _) => {
                let gone = was.iter().filter(|word| !is.contains(word));
                self.broken.extend(gone.map(|word| format!("{place}: the word {word} is gone")));
            }
            (None, Some(_), Side::Asked) => {
                self.say(format!("{place}: takes certain words alone now"));
            }
            (Some(_), None, Side::Answered) => {
                self.say(format!("{place}: may be any word now"));
            }
            _ => {}
        }
    }

    fn bounds(&mut self, place: &str, pair: Pair<'d>, side: Side) {
        let (narrow, wide) = ordered(pair, side);
        let number = |schema: &Value, name: &str| schema[name].as_f64();
        let beyond = |name: &&str, is_beyond: fn(f64, f64) -> bool| {
            number(wide, name)
                .is_some_and(|wide| number(narrow, name).is_none_or(|it| is_beyond(it, wide)))
        };
        let least = LEAST.into_iter().filter(|name| beyond(name, |it, wide| it < wide));
        let most = MOST.into_iter().filter(|name| beyond(name, |it, wide| it > wide));
        let other = ["pattern", "format"].into_iter().filter(|name| {
            let (narrow, wide) = (&narrow[name], &wide[name]);
            !wide.is_null() && narrow != wide && !is_longer(narrow, wide)
        });
        for name in least.chain(most).chain(other) {
            self.became(place, name, pair);
        }
    }

    /// Who says nothing is answered otherwise.
    fn default(&mut self, place: &str, pair: Pair<'d>, side: Side) {
        const NAME: &str = "default";
        let (was, is) = (&pair.0[NAME], &pair.1[NAME]);
        if side == Side::Asked && !was.is_null() && was != is {
            self.became(place, NAME, pair);
        }
    }

    fn required(&mut self, place: &str, (was, is): Pair<'d>, side: Side) {
        let (had, has) = (required(was), required(is));
        let (names, say) = match side {
            Side::Asked => (has.difference(&had), "is required now"),
            Side::Answered => (had.difference(&has), "may be absent now"),
        };
        self.broken.extend(names.map(|name| format!("{place}: {name} {say}")));
    }

    fn properties(&mut self, place: &str, (was, is): Pair<'d>, side: Side) {
        for (name, was) in members(&was["properties"]) {
            let place = format!("{place}.{name}");
            match is["properties"].get(name) {
                Some(is) => self.schema(&place, (was, is), side),
                None => self.say(format!("{place} is gone")),
            }
        }
    }

    /// Members that have no name of their own. An answer may gain some; those of which the form was said keep it.
    fn other_properties(&mut self, place: &str, pair: Pair<'d>, side: Side) {
        const NAME: &str = "additionalProperties";
        let (was, is) = (&pair.0[NAME], &pair.1[NAME]);
        let is_broken = match side {
            _ if was.is_object() && is.is_object() => {
                return self.schema(&format!("{place}.*"), (was, is), side);
            }
            Side::Asked => openness(is) < openness(was),
            Side::Answered => was.is_object(),
        };
        if is_broken {
            self.became(place, NAME, pair);
        }
    }

    fn became(&mut self, place: &str, name: &str, (was, is): Pair<'d>) {
        let shown = |schema: &Value| schema.get(name).map_or("any".to_owned(), Value::to_string);
        self.say(format!("{place}: {name} was {}, is {}", shown(was), shown(is)));
    }
}

/// Of old and new, first the one that has to fit into the other; of these two, the other way round.
fn ordered<T>((was, is): (T, T), side: Side) -> (T, T) {
    match side {
        Side::Asked => (was, is),
        Side::Answered => (is, was),
    }
}

fn alternatives(schema: &Value) -> Option<&[Value]> {
    let listed = schema.get("oneOf").or_else(|| schema.get("anyOf"))?;
    listed.as_array().map(Vec::as_slice)
}

/// The types that a schema allows; none is any.
fn forms(schema: &Value) -> Option<BTreeSet<&str>> {
    match &schema["type"] {
        Value::String(one) => Some([one.as_str()].into()),
        Value::Array(several) => Some(several.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn required(schema: &Value) -> BTreeSet<&str> {
    let names = schema["required"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).collect()
}

/// How many other members a schema lets in: none, those of a form, or any.
fn openness(others: &Value) -> u8 {
    match others {
        Value::Bool(false) => 0,
        Value::Object(_) => 1,
        _ => 2,
    }
}

fn is_longer(short: &Value, long: &Value) -> bool {
    short.as_str().zip(long.as_str()).is_some_and(|pair| LONGER.contains(&pair))
}
