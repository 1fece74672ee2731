//! Where `healthcheck` asks: the port that the daemon has by its configuration.

use super::{Ran, command, finished};
use std::{net::SocketAddr, path::Path};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A place where a daemon might listen; nobody does.
const NOBODY: &str = "127.0.0.1:1";

/// Runs `healthcheck` beside a port that answers whoever asks. `{port}` in arguments and variables is
/// that port, and `{file}` a file that says `admin.listen = …`.
async fn asked(listen: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let here: SocketAddr = listener.local_addr().expect("bound");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("legwork.toml");
    let filled = |text: &str| {
        let file: &Path = &file;
        let text = text.replace("{port}", &here.port().to_string());
        text.replace("{file}", file.to_str().expect("UTF-8"))
    };
    let text = format!("[admin]\nlisten = '{}'\n", filled(listen));
    std::fs::write(&file, text).expect("it can be written");
    let arguments: Vec<_> = arguments.iter().map(|word| filled(word)).collect();
    let words = ["healthcheck"].into_iter().chain(arguments.iter().map(String::as_str));
    let mut command = command("", &words.collect::<Vec<_>>());
    command.envs(variables.iter().map(|(name, value)| (name, filled(value))));
    let serve = async {
        loop {
            let (mut stream, _) = listener.accept().await.expect("somebody asks");
            let asked = stream.read(&mut [0; 1024]).await.expect("a request");
            assert!(asked > 0, "a request has bytes");
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhere\n").await.expect("an answer");
        }
    };
    tokio::select! {
        ran = finished(command, None) => ran,
        () = serve => unreachable!("it serves for ever"),
    }
}

/// A name, `admin.listen` of the file, variables, and arguments.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

const LISTEN: &str = "LEGWORK_ADMIN__LISTEN";

#[tokio::test]
async fn healthcheck_asks_where_the_daemon_listens_by_its_configuration() {
    let (here, file) = ("127.0.0.1:{port}", &["--config", "{file}"][..]);
    let url = &["--url", "http://127.0.0.1:{port}"][..];
    let cases: [Case<'_>; 7] = [
        ("the file", here, &[], file),
        ("the file by its variable", here, &[("LEGWORK_CONFIG", "{file}")], &[]),
        ("the environment", NOBODY, &[(LISTEN, here)], &[]),
        ("the environment over the file", NOBODY, &[(LISTEN, here)], file),
        ("the flag over the environment", NOBODY, &[(LISTEN, NOBODY)], url),
        ("the flag where there is no port", NOBODY, &[(LISTEN, "off")], url),
        ("every address, of which it takes its own", "0.0.0.0:{port}", &[], file),
    ];
    for (case, listen, variables, arguments) in cases {
        let ran = asked(listen, variables, arguments).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "here\n"), "{case}: {}", ran.stderr);
    }
    let told = asked(here, &[], &[file, &["--output", "json"]].concat()).await.done().json();
    assert_eq!((&told["status"], &told["body"]), (&200.into(), &"here\n".into()));
    let dead = asked(NOBODY, &[], file).await;
    assert_eq!(dead.code, 3, "{}", dead.stderr);
    assert!(dead.stderr.contains("no daemon answers on 127.0.0.1:1"), "{}", dead.stderr);
}

#[tokio::test]
async fn healthcheck_says_where_the_configuration_leaves_nothing_to_ask() {
    for (listen, said) in [
        ("off", "admin.listen is off"),
        ("127.0.0.1:0", "admin.listen is 127.0.0.1:0"),
        ("nonsense", "admin.listen"),
    ] {
        let ran = asked(listen, &[], &["--config", "{file}"]).await;
        assert_eq!(ran.code, 78, "{listen}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}
