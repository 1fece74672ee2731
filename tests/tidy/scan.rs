//! Rust text, taken apart just far enough: code without comments, string literals, test modules.
//!
//! A check that greps raw text trips over the comment that explains the rule. This is no parser: it
//! knows comments, strings, characters and matching braces, which is all that the checks ask for.

use std::ops::Range;

/// A string literal and the byte at which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) at: usize,
    pub(crate) text: String,
}

/// A Rust file taken apart. `code` is as long as the original, byte for byte.
#[derive(Debug)]
pub(crate) struct Rust {
    /// The text with comments and the insides of strings turned into spaces.
    pub(crate) code: String,
    pub(crate) literals: Vec<Literal>,
}

impl Rust {
    pub(crate) fn of(text: &str) -> Self {
        let mut scanner = Scanner { text: text.as_bytes(), at: 0, code: Vec::new(), found: vec![] };
        scanner.run();
        let code = String::from_utf8(scanner.code).expect("only ASCII was put in place of text");
        Self { code, literals: scanner.found }
    }

    /// The same without anything under `#[cfg(test)]`.
    pub(crate) fn without_tests(mut self) -> Self {
        let tests = test_items(&self.code);
        let inside = |at: usize| tests.iter().any(|range| range.contains(&at));
        self.literals.retain(|literal| !inside(literal.at));
        let blank = |(at, byte): (usize, u8)| {
            if inside(at) && byte != b'\n' { b' ' } else { byte }
        };
        let code = self.code.bytes().enumerate().map(blank).collect();
        self.code = String::from_utf8(code).expect("only spaces were put in");
        self
    }

    /// Every place where a name stands by itself, not as part of a longer one.
    pub(crate) fn names<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let code = &self.code;
        code.match_indices(name).map(|(at, _)| at).filter(move |at| {
            let before = code[..*at].chars().next_back();
            let after = code[at + name.len()..].chars().next();
            let ends_open = name.ends_with(|last: char| !is_name(last));
            !before.is_some_and(is_name) && (ends_open || !after.is_some_and(is_name))
        })
    }
}

/// Whether a character can stand in a Rust name.
pub(crate) fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for mark in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (start, _) in code.match_indices(mark) {
            let rest = &code[start..];
            let end = match rest.find(['{', ';']) {
                Some(at) if rest.as_bytes()[at] == b'{' => at + length_of_block(&rest[at..]),
                Some(at) => at + 1,
                None => rest.len(),
            };
            ranges.push(start..start + end);
        }
    }
    ranges
}

/// The length of a text's first `{ … }`, which must be at its beginning.
pub(crate) fn length_of_block(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    code: Vec<u8>,
    found: Vec<Literal>,
}

impl Scanner<'_> {
    fn run(&mut self) {
        while self.at < self.text.len() {
            match self.text[self.at] {
                b'/' if self.next_is(1, b'/') => self.blank_until(|rest| rest[0] == b'\n'),
                b'/' if self.next_is(1, b'*') => self.blank_block_comment(),
                b'"' => self.string(),
                b'r' if !self.inside_name() => self.raw_string_or_name(),
                b'\'' => self.character_or_lifetime(),
                _ => self.keep(1),
            }
        }
    }

    fn next_is(&self, ahead: usize, byte: u8) -> bool {
        self.text.get(self.at + ahead) == Some(&byte)
    }

    /// Whether the byte before belongs to a name, byte-string prefixes excepted.
    fn inside_name(&self) -> bool {
        let before = |back: usize| self.at.checked_sub(back).map(|at| char::from(self.text[at]));
        match before(1) {
            Some('b' | 'c') => before(2).is_some_and(is_name),
            Some(other) => is_name(other),
            None => false,
        }
    }

    fn keep(&mut self, count: usize) {
        self.code.extend_from_slice(&self.text[self.at..self.at + count]);
        self.at += count;
    }

    fn blank(&mut self, count: usize) {
        let end = (self.at + count).min(self.text.len());
        for byte in &self.text[self.at..end] {
            self.code.push(if *byte == b'\n' { b'\n' } else { b' ' });
        }
        self.at = end;
    }

    fn blank_until(&mut self, stop: impl Fn(&[u8]) -> bool) {
        while self.at < self.text.len() && !stop(&self.text[self.at..]) {
            self.blank(1);
        }
    }

    fn blank_block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.text.len() {
            if self.text[self.at..].starts_with(b"/*") {
                depth += 1;
                self.blank(2);
            } else if self.text[self.at..].starts_with(b"*/") {
                depth -= 1;
                self.blank(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.blank(1);
            }
        }
    }

    fn raw_string_or_name(&mut self) {
        let hashes = self.text[self.at + 1..].iter().take_while(|byte| **byte == b'#').count();
        if self.next_is(1 + hashes, b'"') {
            self.keep(1 + hashes);
            self.raw_string(hashes);
        } else {
            self.keep(1);
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        let begin = self.at;
        self.keep(1);
        let end: Vec<u8> = [vec![b'"'], vec![b'#'; hashes]].concat();
        self.blank_until(|rest| rest.starts_with(&end));
        self.remember(begin, begin + 1);
        self.keep(end.len().min(self.text.len() - self.at));
    }

    fn string(&mut self) {
        let begin = self.at;
        self.keep(1);
        while self.at < self.text.len() && self.text[self.at] != b'"' {
            self.blank(if self.text[self.at] == b'\\' { 2 } else { 1 });
        }
        self.remember(begin, begin + 1);
        self.keep(usize::from(self.at < self.text.len()));
    }

    fn remember(&mut self, at: usize, inside: usize) {
        let text = String::from_utf8_lossy(&self.text[inside..self.at]).into_owned();
        self.found.push(Literal { at, text });
    }

    fn character_or_lifetime(&mut self) {
        let rest = &self.text[self.at + 1..];
        let length = match rest.first() {
            Some(b'\\') => rest.iter().skip(2).position(|byte| *byte == b'\'').map(|at| at + 2),
            Some(_) => (1..=4).find(|at| rest.get(*at) == Some(&b'\'')),
            None => None,
        };
        let is_character = length.is_some_and(|length| {
            std::str::from_utf8(&rest[..length])
                .is_ok_and(|text| text.starts_with('\\') || text.chars().count() == 1)
        });
        self.keep(1);
        if is_character {
            self.blank(length.unwrap_or(0));
            self.keep(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rust;

    #[test]
    fn comments_and_the_insides_of_strings_are_no_code() {
        let text =
            "// gone\nlet a = \"hidden \\\" too\"; /* gone /* deeper */ gone */ b('\"', 'x');";
        let rust = Rust::of(text);
        assert_eq!(rust.code.len(), text.len());
        for word in ["gone", "hidden", "too", "deeper"] {
            assert!(!rust.code.contains(word), "{word} in {}", rust.code);
        }
        assert!(rust.code.contains("let a = \""));
        assert_eq!(rust.literals.len(), 1);
    }

    #[test]
    fn raw_strings_end_at_their_own_hashes() {
        let rust =
            Rust::of("let sql = r#\"say \"hello\" unsafe\"#; fn for_each<'a>(x: &'a str) {}");
        assert_eq!(rust.literals[0].text, "say \"hello\" unsafe");
        assert!(rust.code.contains("<'a>(x: &'a str) {}"));
    }

    #[test]
    fn test_modules_can_be_left_out() {
        let rust =
            Rust::of("fn real() {}\n#[cfg(test)]\nmod tests { fn fake() { \"x\"; } }\nfn end() {}");
        let rust = rust.without_tests();
        assert!(rust.code.contains("real") && rust.code.contains("end"));
        assert!(!rust.code.contains("fake") && rust.literals.is_empty());
    }

    #[test]
    fn a_name_is_found_only_where_it_stands_by_itself() {
        let rust = Rust::of("sqlx::query(); my_sqlx(); sqlx_more(); unsafe {}");
        assert_eq!(rust.names("sqlx").count(), 1);
        assert_eq!(rust.names("unsafe").count(), 1);
    }
}
