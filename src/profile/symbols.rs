//! What an address is called: function, file and line, with what was inlined there.

mod kept;

use super::{
    Places, aside,
    modules::{self, Module},
};
use addr2line::{Loader, demangle_auto};
use kept::Kept;
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fs::File,
    ops::Range,
    os::fd::AsRawFd,
    path::Path,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// What was looked up before. Held for as long as something is: so the tables are in memory once.
static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// One function at an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) function: Arc<str>,
    pub(super) file: Arc<str>,
    pub(super) number: u32,
}

impl Line {
    /// Nothing but a name.
    pub(super) fn of(function: &str) -> Self {
        Self { function: function.into(), file: "".into(), number: 0 }
    }
}

/// Looks addresses up: those of each module together, since reading its tables is what takes long, and those alone that
/// weren't looked up before.
pub(super) fn look_up(modules: Vec<Module>, addresses: &BTreeSet<u64>) -> Places {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.forget_others(&modules);
    let mut known = HashMap::with_capacity(addresses.len());
    for (number, module) in modules.iter().enumerate() {
        let mut tables = None;
        for address in addresses.range(module.mapping.range.clone()) {
            let lines = kept.lines(*address).unwrap_or_else(|| {
                let tables = tables.get_or_insert_with(|| Tables::of(module));
                kept.keep(*address, tables.lines(*address))
            });
            known.insert(*address, (Some(number), lines));
        }
    }
    kept.forget_what_is_too_much();
    for address in addresses {
        let nowhere = || (None, vec![Line::of(&format!("{address:#x}"))]);
        known.entry(*address).or_insert_with(nowhere);
    }
    Places { modules, known }
}

/// The functions at addresses of this process, the innermost of each.
pub fn names_of(addresses: &[u64]) -> Vec<String> {
    let all = addresses.iter().copied().collect();
    let places = aside(|| look_up(modules::loaded().unwrap_or_default(), &all));
    let name = |address| places.known.get(address).and_then(|(_, lines)| lines.first());
    let names = addresses.iter().map(|address| name(address).map(|line| line.function.to_string()));
    names.map(Option::unwrap_or_default).collect()
}

/// What one file says of its addresses. It is mapped and not read: the pages that are looked at are the file's.
struct Tables<'m> {
    module: &'m Module,
    file: Option<Loader>,
    /// What it offers to others, where it can't be opened.
    offered: Vec<(Range<u64>, String)>,
}

impl<'m> Tables<'m> {
    fn of(module: &'m Module) -> Self {
        // By the file that was looked at: another may be called so by now.
        let loaded = |file: File| Loader::new(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
        let file = module.opened().and_then(loaded);
        let in_memory = || module.image()?.functions();
        let offered = if file.is_none() { in_memory() } else { None };
        Self { module, file, offered: offered.unwrap_or_default() }
    }

    fn lines(&self, address: u64) -> Vec<Line> {
        let own = address.wrapping_sub(self.module.bias);
        let debugged = self.file.as_ref().and_then(|file| debugged(file, own));
        let mut lines = debugged.unwrap_or_default();
        let symbol = self.symbol(own);
        match (lines.last_mut(), symbol) {
            // Line tables name functions without their path; the symbol has it.
            (Some(outermost), Some(symbol)) => outermost.function = symbol.into(),
            (Some(_), None) => {}
            (None, symbol) => {
                lines.push(Line::of(&symbol.unwrap_or_else(|| self.nameless(own))));
            }
        }
        lines
    }

    /// Where there is no name: the file, and where in it.
    fn nameless(&self, own: u64) -> String {
        let file = self.module.name.file_name().unwrap_or_default().to_string_lossy();
        if file == modules::VDSO { file.into_owned() } else { format!("{file}+{own:#x}") }
    }

    /// All that a library without debug information has are the functions that it offers.
    fn symbol(&self, own: u64) -> Option<String> {
        let offered = || self.offered.iter().find(|(range, _)| range.contains(&own));
        let name = match &self.file {
            Some(file) => file.find_symbol(own)?,
            None => &offered()?.1,
        };
        Some(demangle_auto(Cow::from(name), None).into_owned())
    }
}

fn debugged(debug: &Loader, own: u64) -> Option<Vec<Line>> {
    let mut frames = debug.find_frames(own).ok()?;
    let mut lines = Vec::new();
    while let Some(frame) = frames.next().ok()? {
        let Some(function) = frame.function else { continue };
        let location = frame.location;
        let place = location.map(|place| (place.file.unwrap_or_default().to_owned(), place.line));
        let (file, line) = place.unwrap_or_default();
        let function = function.demangle().map_or_else(|_| "?".to_owned(), Cow::into_owned);
        let function = with_path(function, &file);
        lines.push(Line {
            function: function.into(),
            file: file.into(),
            number: line.unwrap_or(0),
        });
    }
    Some(lines)
}

/// Line tables have no more than the last part of an inlined function's name. Its file says the rest, as far as
/// modules are files.
pub(super) fn with_path(function: String, file: &str) -> String {
    let Some((before, within)) = file.rsplit_once("/src/") else { return function };
    if !is_rust(file) || has_path(&function) {
        return function;
    }
    let own = before == env!("CARGO_MANIFEST_DIR");
    let package =
        if own { env!("CARGO_PKG_NAME") } else { before.rsplit('/').next().unwrap_or_default() };
    // As the registry's directories are called, `tokio-util-0.7.1`.
    let named = package.rsplit_once('-');
    let versioned = named.filter(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()));
    let package = versioned.map_or(package, |(name, _)| name).replace('-', "_");
    let within = within.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    let within = if within == "lib" { String::new() } else { format!("{within}::") };
    format!("{package}::{within}{function}")
}

/// Whether a function is named with where it is. What its generic arguments are named with says nothing of that.
pub(super) fn has_path(function: &str) -> bool {
    function.starts_with('<') || without_arguments(function).contains("::")
}

/// A function's name without its generic arguments.
pub(super) fn without_arguments(function: &str) -> &str {
    function.split_once('<').map_or(function, |(name, _)| name)
}

/// Whether a file is one of Rust.
pub(super) fn is_rust(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "rs")
}

#[cfg(test)]
mod tests {
    use super::{KEPT, PoisonError, names_of, with_path};
    use rstest::rstest;
    use std::{sync::mpsc, thread, time::Duration};

    /// The tables are a hundred times as large as what is found in them.
    #[test]
    fn of_two_that_look_names_up_one_waits_so_that_the_tables_are_in_memory_once() {
        let turn = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let (teller, told) = mpsc::channel();
        thread::spawn(move || {
            // That it is there, before it asks.
            teller
                .send(Vec::new())
                .and_then(|()| teller.send(names_of(&[names_of as *const () as u64])))
        });
        assert!(told.recv_timeout(Duration::from_mins(1)).is_ok_and(|none| none.is_empty()));
        assert!(told.recv_timeout(Duration::from_millis(100)).is_err(), "it waits for its turn");
        drop(turn);
        let names = told.recv_timeout(Duration::from_mins(1)).expect("it has its turn");
        assert!(names[0].ends_with("symbols::names_of"), "{names:?}");
    }

    #[rstest]
    #[case::of_a_package(
        "/home/a/registry/src/index/tokio-util-0.7.1/src/sync/mod.rs",
        "tokio_util::sync::poll"
    )]
    #[case::of_the_library("/rustc/5980/library/alloc/src/sync.rs", "alloc::sync::poll")]
    #[case::at_the_top("/x/legwork/src/lib.rs", "legwork::poll")]
    #[case::of_this_one(concat!(env!("CARGO_MANIFEST_DIR"), "/src/worker/pool.rs"), "legwork::worker::pool::poll")]
    #[case::of_c("/x/build/src/prof.c", "poll")]
    #[case::of_nothing_known("main.c", "poll")]
    fn an_inlined_function_is_named_by_its_file(#[case] file: &str, #[case] expected: &str) {
        assert_eq!(with_path("poll".into(), file), expected);
        assert_eq!(with_path("a::poll".into(), file), "a::poll");
    }

    /// As a release build has them.
    #[rstest]
    #[case::of_a_type(
        "push_mut<u8, alloc::alloc::Global>",
        "alloc::vec::push_mut<u8, alloc::alloc::Global>"
    )]
    #[case::of_a_closure(
        "{closure#0}<(), tokio::task::Id>",
        "alloc::vec::{closure#0}<(), tokio::task::Id>"
    )]
    #[case::of_a_trait("call_once<<T as a::B>::C>", "alloc::vec::call_once<<T as a::B>::C>")]
    #[case::with_the_path_before(
        "core::ptr::drop_in_place<a::B>",
        "core::ptr::drop_in_place<a::B>"
    )]
    #[case::of_an_implementation("<a::B as c::D>::poll", "<a::B as c::D>::poll")]
    #[case::of_a_generic_implementation("a::B<T,S>::poll", "a::B<T,S>::poll")]
    #[case::of_an_array(
        "<[u8]>::to_vec_in::<alloc::alloc::Global>",
        "<[u8]>::to_vec_in::<alloc::alloc::Global>"
    )]
    fn generic_arguments_are_no_path(#[case] function: &str, #[case] expected: &str) {
        let file = "/rustc/5980/library/alloc/src/vec/mod.rs";
        assert_eq!(with_path(function.into(), file), expected);
    }
}
