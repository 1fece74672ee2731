//! What breaks of operations: paths, methods, parameters, bodies, statuses, headers.

use super::{Comparison, Pair, Side, Value, members, resolved};

impl<'d> Comparison<'d> {
    pub(super) fn paths(&mut self) {
        let (old, new) = (self.old, self.new);
        for (path, operations) in members(&old["paths"]) {
            if new["paths"].get(path).is_none() {
                self.say(format!("{path} is gone"));
                continue;
            }
            for (method, was) in members(operations) {
                let place = format!("{method} {path}");
                match new["paths"][path].get(method) {
                    Some(is) => self.operation(&place, (was, is)),
                    None => self.say(format!("{place} is gone")),
                }
            }
        }
    }

    /// How whoever asks shows who it is.
    pub(super) fn security_schemes(&mut self) {
        let schemes = |document: &'d Value| &document["components"]["securitySchemes"];
        let (was, is) = (schemes(self.old), schemes(self.new));
        for (name, was) in members(was) {
            if is.get(name) != Some(was) {
                self.say(format!("the security scheme {name} was {was}, is {}", is[name]));
            }
        }
    }

    fn operation(&mut self, place: &str, (was, is): Pair<'d>) {
        for name in ["operationId", "security"] {
            if was[name] != is[name] {
                self.say(format!("{place}: {name} was {}, is {}", was[name], is[name]));
            }
        }
        self.parameters(place, (was, is));
        self.body(place, (&was["requestBody"], &is["requestBody"]));
        for (status, was) in members(&was["responses"]) {
            match is["responses"].get(status) {
                Some(is) => {
                    let place = format!("{place} {status}");
                    self.headers(&place, (was, is));
                    self.contents(&place, (was, is), Side::Answered);
                }
                None => self.say(format!("{place}: {status} is gone")),
            }
        }
    }

    fn parameters(&mut self, place: &str, (was, is): Pair<'d>) {
        let (was, is) = (parameters_of(self.old, was), parameters_of(self.new, is));
        for (at, was) in &was {
            let name = at.1;
            match is.iter().find(|(other, _)| other == at) {
                Some((_, is)) => {
                    let place = format!("{place} ?{name}");
                    let (before, now) = (written(was), written(is));
                    if before != now {
                        self.say(format!("{place}: style was {before:?}, is {now:?}"));
                    }
                    self.schema(&place, (&was["schema"], &is["schema"]), Side::Asked);
                }
                None => self.say(format!("{place}: parameter {name} is gone")),
            }
        }
        for (at, _) in is.iter().filter(|(_, is)| is["required"] == true) {
            let was = was.iter().find(|(other, _)| other == at);
            if was.is_none_or(|(_, was)| was["required"] != true) && at.0 != "path" {
                self.say(format!("{place}: parameter {} is required now", at.1));
            }
        }
    }

    fn body(&mut self, place: &str, (was, is): Pair<'d>) {
        if was["required"] != true && is["required"] == true {
            self.say(format!("{place}: a body is required now"));
        }
        self.contents(&format!("{place} body"), (was, is), Side::Asked);
    }

    fn contents(&mut self, place: &str, (was, is): Pair<'d>, side: Side) {
        for (kind, was) in members(&was["content"]) {
            let place = format!("{place} {kind}");
            match is["content"].get(kind) {
                Some(is) => self.schema(&place, (&was["schema"], &is["schema"]), side),
                None => self.say(format!("{place} is gone")),
            }
        }
    }

    fn headers(&mut self, place: &str, (was, is): Pair<'d>) {
        for (name, was) in members(&was["headers"]) {
            let place = format!("{place} {name}");
            let Some(is) = is["headers"].get(name) else {
                self.say(format!("{place} is gone"));
                continue;
            };
            let (was, is) = (resolved(self.old, was), resolved(self.new, is));
            if was["required"] == true && is["required"] != true {
                self.say(format!("{place} may be absent now"));
            }
            self.schema(&place, (&was["schema"], &is["schema"]), Side::Answered);
        }
    }
}

/// Where a parameter stands, and what it is called there: a header and a part of the query may have one name.
type At<'d> = (&'d str, &'d str);

/// How a parameter's value is written, also where the document leaves that to the rule.
fn written(parameter: &Value) -> (&str, bool) {
    let of_place = match parameter["in"].as_str() {
        Some("query" | "cookie") => "form",
        _ => "simple",
    };
    let style = parameter["style"].as_str().unwrap_or(of_place);
    (style, parameter["explode"].as_bool().unwrap_or(style == "form"))
}

fn parameters_of<'d>(document: &'d Value, operation: &'d Value) -> Vec<(At<'d>, &'d Value)> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    let all = all.map(|parameter| resolved(document, parameter));
    let text = |of: &'d Value| of.as_str().unwrap();
    all.map(|parameter| ((text(&parameter["in"]), text(&parameter["name"])), parameter)).collect()
}
