//! `handler = "command"`: a program that may be run, and the environment it gets.
//!
//! The program is looked at once, when the configuration is read, so that a typo or an unsafe mode is
//! found at the start and not by the first job. Variables are copied here: nothing below `config`
//! reads the environment.

use super::Warnings;
use crate::config::{
    arguments::{argument, name_in},
    environment::Environment,
    reader::{At, Reader},
    settings::CommandSettings,
};
use std::{
    collections::BTreeSet,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Most arguments and most variables of a command.
const ITEMS_MAX: usize = 256;
/// What is said to whoever writes a command line as one text.
const EACH_BY_ITSELF: &str =
    ": write each argument as a text of its own, [\"/usr/local/bin/program\", \"argument\"]";
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox"];
/// Legwork's own, the loader's, and systemd's, whose meaning ends with the daemon.
const RESERVED: [&str; 11] = [
    "LEGWORK_",
    "LD_",
    "DYLD_",
    "BASH_ENV",
    "TRACEPARENT",
    "TRACESTATE",
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "LISTEN_",
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
];

pub(super) fn settings(
    reader: &mut Reader<'_>,
    at: At<'_>,
    environment: &Environment,
    warnings: &mut Warnings,
) -> Option<CommandSettings> {
    let default = CommandSettings::default();
    let env = variables(reader, at, environment);
    let cwd = reader.text(at, "cwd", directory).map(PathBuf::from);
    let kill_grace = reader.duration(at, "kill_grace", default.kill_grace);
    let max_output = reader.size(at, "max_output", default.max_output);
    let unsafe_shell = reader.switch(at, "unsafe_shell", false);
    let command = command(reader, at, unsafe_shell, warnings)?;
    Some(CommandSettings { command, env, cwd, kill_grace, max_output })
}

/// What is wrong with a command that a program put together. Whether it may run a shell on a line of text is
/// asked of files alone, which people write by hand.
pub(super) fn wrong(command: &CommandSettings) -> Vec<(&'static str, String)> {
    let CommandSettings { command, env, cwd, kill_grace: _, max_output: _ } = command;
    let program = arguments(command, true).and_then(runnable).err();
    let cwd = cwd.as_ref().and_then(|path| directory(&path.to_string_lossy()).err());
    let variables = env.iter().filter_map(|(name, value)| legal(name, value).err());
    let many = (env.len() > ITEMS_MAX).then(|| too_many(env.len()));
    let keyed = |key| move |why| (key, why);
    let single = program.map(keyed("command")).into_iter().chain(cwd.map(keyed("cwd")));
    single.chain(variables.chain(many).map(keyed("env"))).collect()
}

fn too_many(variables: usize) -> String {
    format!("{variables} variables are given, {ITEMS_MAX} are allowed")
}

fn command(
    reader: &mut Reader<'_>,
    at: At<'_>,
    unsafe_shell: bool,
    warnings: &mut Warnings,
) -> Option<Vec<String>> {
    if reader.raw(at, "command").is_none() && !reader.broken {
        let message = format!(
            "{} is missing: handler = \"command\" needs the program's absolute path and its \
             arguments, [\"/usr/local/bin/program\", \"argument\"]",
            at.label("command")
        );
        let place = reader.place(at, "handler");
        reader.mistakes.push(message, place);
    }
    let words = reader.words(at, "command")?;
    let checked = arguments(&words, unsafe_shell).and_then(runnable);
    match checked {
        Ok(known) => {
            warnings.extend(known.iter().map(|why| format!("{}: {why}", at.label("command"))));
        }
        Err(why) => {
            reader.refuse(at, "command", &why);
            return None;
        }
    }
    Some(words)
}

fn arguments(words: &[String], unsafe_shell: bool) -> Result<&Path, String> {
    let [program, ..] = words else { return Err("it is empty: name a program".into()) };
    if words.len() > ITEMS_MAX {
        return Err(format!("it has {} parts, {ITEMS_MAX} are allowed", words.len()));
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err("a NUL can't stand in an argument".into());
    }
    if !program.starts_with('/') {
        let (word, rest) = program.split_once(char::is_whitespace).unwrap_or((program, ""));
        let how = if rest.is_empty() { "" } else { EACH_BY_ITSELF };
        let word = argument(word);
        return Err(format!("{word:?} isn't an absolute path; PATH isn't searched{how}"));
    }
    if !unsafe_shell && is_shell_script(words) {
        return Err(
            "it runs a shell on a line of text: put the line into a script and name that, \
                    or set unsafe_shell = true"
                .into(),
        );
    }
    Ok(Path::new(program))
}

/// `sh -c …`, also as `/usr/bin/env bash -lc …`.
fn is_shell_script(words: &[String]) -> bool {
    let named = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let shell = words.iter().position(|word| SHELLS.contains(&named(word).as_str()));
    let is_line =
        |word: &String| word.starts_with('-') && !word.starts_with("--") && word.contains('c');
    shell.is_some_and(|shell| words[shell + 1..].iter().any(is_line))
}

/// Refuses a program that can't be run or that others may replace; says what should be known.
fn runnable(program: &Path) -> Result<Vec<String>, String> {
    const OTHERS_MAY_WRITE: u32 = 0o022;
    const ANY_MAY_EXECUTE: u32 = 0o111;
    let name = program.display();
    let metadata = fs::metadata(program).map_err(|error| missing(program, &error))?;
    let mode = metadata.permissions().mode();
    if !metadata.is_file() {
        Err(format!("{name} isn't a program but a directory or device"))
    } else if mode & ANY_MAY_EXECUTE == 0 {
        Err(format!("{name} isn't executable: chmod +x {name}"))
    } else if mode & OTHERS_MAY_WRITE != 0 {
        Err(format!("{name} may be replaced by its group or everybody: chmod go-w {name}"))
    } else if metadata.len() == 0 {
        Err(format!("{name} is empty: the kernel runs no such file, and no shell is asked to"))
    } else {
        let replaceable = ours(&metadata)
            .then(|| format!("{name} belongs to the daemon's own user, so a job may replace it"));
        let unknown = is_of_no_known_format(program).then(|| {
            format!(
                "{name} is neither an ELF binary nor begins with #!, so unless binfmt_misc knows \
                 it, no job of this kind can start: no shell is asked"
            )
        });
        Ok(replaceable.into_iter().chain(unknown).collect())
    }
}

/// Of a whole command line nothing is shown: a secret may stand in it.
fn missing(program: &Path, error: &io::Error) -> String {
    let name = program.to_string_lossy();
    if name.contains(char::is_whitespace) {
        return format!("there is no program of that whole text ({error}){EACH_BY_ITSELF}");
    }
    format!("{}: {error}", argument(&name))
}

/// Neither what every Linux runs nor, elsewhere, anything to tell: a program that may be executed and not
/// read is none of our business.
fn is_of_no_known_format(program: &Path) -> bool {
    const FORMATS: [&[u8]; 2] = [b"\x7fELF", b"#!"];
    const LONGEST: u64 = 4;
    let mut beginning = Vec::new();
    let file = File::open(program).map(|file| file.take(LONGEST));
    let read = file.and_then(|mut file| file.read_to_end(&mut beginning));
    let is_known = || FORMATS.iter().any(|format| beginning.starts_with(format));
    cfg!(target_os = "linux") && read.is_ok() && !is_known()
}

/// Root may write everything; to say so of each program would say nothing.
fn ours(metadata: &Metadata) -> bool {
    let us = nix::unistd::geteuid();
    !us.is_root() && metadata.uid() == us.as_raw()
}

fn directory(path: &str) -> Result<(), String> {
    match fs::metadata(path) {
        _ if !path.starts_with('/') => Err(format!("{path:?} isn't an absolute path")),
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!("{path:?} isn't a directory")),
        Err(error) => Err(format!("{path:?}: {error}")),
    }
}

/// `env`, and what `pass_env` names as far as it is set, sorted by name.
fn variables(
    reader: &mut Reader<'_>,
    at: At<'_>,
    environment: &Environment,
) -> Vec<(String, String)> {
    let mut variables = reader.pairs(at, "env");
    for (name, value) in &variables {
        if let Err(why) = legal(name, value) {
            reader.refuse(at, "env", &why);
        }
    }
    let given: BTreeSet<String> = variables.iter().map(|(name, _)| name.clone()).collect();
    for name in reader.words(at, "pass_env").unwrap_or_default() {
        let value = environment.raw(&name).map(|value| value.to_str().ok_or("isn't UTF-8"));
        match (legal(&name, ""), value) {
            (Err(why), _) => reader.refuse(at, "pass_env", &why),
            (Ok(()), _) if given.contains(&name) => {
                reader.refuse(at, "pass_env", &format!("{name} is in env as well"));
            }
            (Ok(()), Some(Err(why))) => reader.refuse(at, "pass_env", &format!("{name} {why}")),
            (Ok(()), Some(Ok(value))) => variables.push((name, value.to_owned())),
            (Ok(()), None) => {}
        }
    }
    if variables.len() > ITEMS_MAX {
        reader.refuse(at, "env", &too_many(variables.len()));
    }
    variables.sort();
    variables.dedup();
    variables
}

fn legal(name: &str, value: &str) -> Result<(), String> {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let starts_well = name.starts_with(letter);
    if !starts_well || !name.chars().all(|c| letter(c) || c.is_ascii_digit()) {
        let name = name_in(name);
        return Err(format!("{name:?} isn't a variable's name: letters, digits and _"));
    }
    let reserved = |word: &str| name == word || (word.ends_with('_') && name.starts_with(word));
    if RESERVED.into_iter().any(reserved) {
        return Err(format!("{name} can't be given to a command: it is reserved"));
    }
    if value.contains('\0') {
        return Err(format!("a NUL can't stand in {name}"));
    }
    Ok(())
}
