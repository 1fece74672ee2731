//! What the binary prints about itself for other programs: completions, manual pages, the schema of its
//! file. Each is given to the program that it is for, where that is at hand.

use super::{command, finished, reference::helped};
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

async fn printed(arguments: &[&str]) -> String {
    finished(command("", arguments), None).await.done().stdout
}

/// What a program says of this text; nothing where it isn't installed.
fn read_by(program: &str, arguments: &[&str], text: &str) -> Option<String> {
    let mut reader = Command::new(program);
    reader.args(arguments).env("LC_ALL", "C.UTF-8").env("MANWIDTH", "100");
    reader.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = reader.spawn().ok()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let text = text.to_owned();
    let fed = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("it can be waited for");
    fed.join().expect("no panic").expect("it reads all");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaint.is_empty(), "{program}: {complaint}");
    Some(String::from_utf8(output.stdout).expect("it speaks UTF-8"))
}

/// What bash would offer after these words, the last of which is being written.
fn offered(script: &str, words: &[&str]) -> Option<Vec<String>> {
    let (line, last) = (words.join(" "), words.len() - 1);
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let before = words.get(last.wrapping_sub(1)).copied().unwrap_or_default();
    let asked = format!(
        "{script}\ncomplete -p legwork > /dev/null || exit 1\n\
         COMP_WORDS=({}); COMP_CWORD={last}; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}\n\
         _legwork legwork '{}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        quoted.join(" "),
        words[last],
    );
    let said = read_by("bash", &["--norc", "--noprofile", "-s"], &asked)?;
    Some(said.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn bash_completes_commands_options_and_values() {
    let script = printed(&["completions", "bash"]).await;
    let Some(commands) = offered(&script, &["legwork", "s"]) else {
        assert!(script.contains("complete -F _legwork"), "{script}");
        return;
    };
    assert_eq!(commands, ["schedule"]);
    assert_eq!(offered(&script, &["legwork", "job", "ca"]).expect("bash"), ["cancel"]);
    assert_eq!(offered(&script, &["legwork", "run", "--on"]).expect("bash"), ["--once"]);
    let forms = offered(&script, &["legwork", "job", "list", "--output", ""]).expect("bash");
    assert_eq!(forms, ["text", "json"]);
}

#[tokio::test]
async fn every_shell_has_a_script_that_knows_the_commands_and_another_is_refused() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]).await;
        for word in ["healthcheck", "database-url", "once"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
        // Where the shell is at hand, that it is a script.
        if ["bash", "fish", "zsh"].contains(&shell) {
            read_by(shell, &["-n"], &script);
        }
    }
    let refused = finished(command("", &["completions", "tcsh"]), None).await;
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}

#[tokio::test]
async fn the_manual_page_names_every_command_and_renders() {
    let page = printed(&["man"]).await;
    assert!(page.contains(".TH legwork 1"), "{page}");
    let rendered = read_by("man", &["-l", "-"], &page);
    let rendered = rendered.or_else(|| read_by("groff", &["-man", "-Tutf8", "-Wall"], &page));
    for path in helped().await.keys() {
        let first = path.split(' ').next().expect("a word");
        // Such a page has its hyphens escaped.
        assert!(page.replace("\\-", "-").contains(first), "{first}");
        assert!(rendered.as_ref().is_none_or(|text| text.contains(first)), "{first}");
    }
}

#[tokio::test]
async fn a_directory_gets_a_manual_page_for_every_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let inside = directory.path().join("man1");
    let arguments = ["man", "--dir", inside.to_str().expect("text")];
    assert_eq!(printed(&arguments).await, "", "the result is files");
    for path in helped().await.keys() {
        let file = inside.join(format!("legwork-{}.1", path.replace(' ', "-")));
        let page = std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{}", file.display()));
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
        read_by("groff", &["-man", "-Tutf8", "-Wall"], &page);
    }
    assert!(inside.join("legwork.1").exists());
    let taken = directory.path().join("file");
    std::fs::write(&taken, "").expect("a file");
    let arguments = ["man", "--dir", taken.to_str().expect("text")];
    let refused = finished(command("", &arguments), None).await;
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("manual pages can't be written"), "{}", refused.stderr);
}

#[tokio::test]
async fn the_schema_is_printed_as_json() {
    let schema: serde_json::Value =
        serde_json::from_str(&printed(&["config", "schema"]).await).expect("JSON");
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["properties"]["queue"]["items"]["properties"]["rate_limit"].is_object());
}
