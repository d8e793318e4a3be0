//! The process: its command line, its exit status, its signals, its only line of output.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::client::{Server, serve, signal};

#[test]
fn the_status_is_that_of_the_command() {
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        let output = serve(&["--", "sh", "-c", script]).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{script}");
        assert!(output.stderr.is_empty(), "beside a command it is silent: {output:?}");
    }
}

#[test]
fn the_command_finds_the_registry_while_it_runs() {
    let mut command = serve(&["--", "sh", "-c", "echo $IMGSTEP_REGISTRY; read line"]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let address = address.trim().to_owned();
    assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{address}");
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("docker-distribution-api-version: registry/2.0"), "{answer}");
    drop(process.stdin.take());
    // `read` fails at the end of its input, and so does the shell.
    assert_eq!(process.wait().unwrap().code(), Some(1));
    assert!(std::net::TcpStream::connect(&address).is_err(), "it is still served");
}

#[test]
fn signals_reach_the_command() {
    for name in ["TERM", "INT"] {
        let script = format!("trap 'exit 9' {name}; echo ready; while :; do sleep 0.05; done");
        let mut process = serve(&["--", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        signal(process.id(), name);
        assert_eq!(process.wait().unwrap().code(), Some(9), "{name}");
    }
}

#[test]
fn without_a_command_a_signal_ends_it_with_its_status() {
    for (name, status) in [("TERM", 143), ("INT", 130)] {
        let mut server = Server::start(&[]);
        server.get("/v2/").expect(200);
        server.signal(name);
        assert_eq!(server.process.wait().unwrap().code(), Some(status), "{name}");
        let mut rest = String::new();
        server.stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(server.first_line.lines().count(), 1);
        // It is followed by a first command to try, and nothing else.
        assert!(rest.starts_with("imgstep: try `imgstep promote ") && rest.lines().count() == 1, "{rest}");
    }
}

#[test]
fn an_idle_connection_does_not_delay_the_end() {
    let mut server = Server::start(&[]);
    let _idle = server.connect();
    server.get("/v2/").expect(200);
    server.signal("TERM");
    assert_eq!(server.process.wait().unwrap().code(), Some(143));
}

#[test]
fn impossible_changes_are_reported() {
    let fails = |words: &[&str], message: &str| {
        let output = serve(words).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(message), "{stderr}");
    };
    fails(&["--", "/there/is/no/such/command"], "can't run `/there/is/no/such/command`");
    let taken = Server::start(&[]);
    fails(&["--address", &taken.address], &format!("can't listen on {}", taken.address));
    fails(&["--address", "nonsense"], "can't listen on nonsense");
}

#[test]
fn it_can_be_served_in_another_process() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = imgstep::serve::start(imgstep::serve::ServeOptions::default()).await.unwrap();
        let address = server.address();
        assert!(address.ip().is_loopback() && address.port() != 0);
        let ask = move || {
            let mut stream = std::net::TcpStream::connect(address)?;
            std::io::Write::write_all(&mut stream, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
            std::io::read_to_string(stream)
        };
        let answer = tokio::task::spawn_blocking(ask).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        server.stop().await;
        assert!(tokio::task::spawn_blocking(ask).await.unwrap().is_err(), "it is still served");
    });
}
