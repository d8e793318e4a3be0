//! Runs a credential helper: the protocol of Docker's `docker-credential-NAME` programs.
//!
//! docker-credential-helpers, "Development": the argument `get`, the server's name on stdin, JSON on stdout; on
//! failure a message on stdout and a status other than 0.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::Login;
use super::config_file::password_login;
use super::secret::Secret;
use crate::text::printable;

/// What a helper prints if it has no login for a server; all of them use this text.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The largest output of a helper in bytes.
const OUTPUT_LIMIT: usize = 64 << 10;

/// How helpers are run.
#[derive(Debug, Clone)]
pub(super) struct HelperSettings {
    /// When a helper that has not replied is killed.
    pub time_limit: Duration,
    /// The `PATH` in which helpers are found; `None` for that of this process.
    pub search_path: Option<OsString>,
}

impl Default for HelperSettings {
    fn default() -> Self {
        Self { time_limit: Duration::from_secs(30), search_path: None }
    }
}

/// The JSON that a helper prints.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

/// The output of a helper.
struct HelperOutput {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Asks `docker-credential-<name>` for the login at `server`; `None` if it has none.
///
/// # Errors
/// A reason that begins with the helper's name and contains no secret.
pub(super) async fn ask(name: &str, server: &str, settings: &HelperSettings) -> Result<Option<Login>, String> {
    let program = format!("docker-credential-{}", printable(name, 100));
    if !is_plain_name(name) {
        return Err(format!("{program} is not the name of a program: a helper is named by one word, without slashes"));
    }
    let mut child = start(name, settings).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("{program} is not installed: no folder of PATH holds it (or remove it from the file)")
        }
        _ => format!("{program} can't be run: {error}"),
    })?;
    let Ok(output) = tokio::time::timeout(settings.time_limit, converse(&mut child, server)).await else {
        // The child may have ended by now.
        let _ = child.kill().await;
        return Err(format!("{program} did not answer within {} and was ended", seconds(settings.time_limit)));
    };
    match output {
        Ok(output) => interpret(&output).map_err(|reason| format!("{program} {reason}")),
        Err(reason) => {
            let _ = child.kill().await;
            Err(format!("{program} {reason}"))
        }
    }
}

/// A name with a slash would run a program that isn't on `PATH`.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\']) && !name.chars().any(char::is_control)
}

fn start(name: &str, settings: &HelperSettings) -> std::io::Result<Child> {
    let mut command = Command::new(format!("docker-credential-{name}"));
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if let Some(path) = &settings.search_path {
        command.env("PATH", path);
    }
    command.spawn()
}

/// Writes the question, and reads until the child has ended.
async fn converse(child: &mut Child, server: &str) -> Result<HelperOutput, String> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let question = async {
        if let Some(mut stdin) = stdin {
            // A helper with a single login may end without reading the question.
            let _ = stdin.write_all(server.as_bytes()).await;
            let _ = stdin.shutdown().await;
        }
        Ok(())
    };
    let complaint = async { Ok(read_start(stderr).await) };
    let ((), stdout, stderr) = tokio::try_join!(question, read_all(stdout), complaint)?;
    let status = child.wait().await.map_err(|error| format!("was lost: {error}"))?;
    Ok(HelperOutput { status, stdout, stderr })
}

/// Reads a reply, up to the limit.
async fn read_all(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let Some(pipe) = pipe else { return Ok(bytes) };
    let read = pipe.take(OUTPUT_LIMIT as u64 + 1).read_to_end(&mut bytes).await;
    read.map_err(|error| format!("can't be read from: {error}"))?;
    if bytes.len() > OUTPUT_LIMIT {
        return Err(format!("wrote more than {} KiB and was ended", OUTPUT_LIMIT >> 10));
    }
    Ok(bytes)
}

/// Reads stderr: its beginning is kept and the rest is discarded, so that the child never blocks.
async fn read_start(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What can't be read isn't needed: stderr only adds to an error.
        let _ = (&mut pipe).take(OUTPUT_LIMIT as u64).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    bytes
}

fn interpret(output: &HelperOutput) -> Result<Option<Login>, String> {
    if output.status.success() {
        // Its output isn't printed: it contains a secret, or should.
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .map_err(|_| "answered something that is not the JSON of a login".to_owned())?;
        return Ok(password_login(answer.username, Secret::new(answer.secret)));
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    if stdout.contains(NOT_FOUND) {
        return Ok(None);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    // If a helper prints a login and then fails, the login must not be printed.
    let message = if stdout.trim().is_empty() || stdout.trim_start().starts_with('{') { &stderr } else { &stdout };
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = if message.is_empty() { "no message".to_owned() } else { printable(&message, 300) };
    Err(format!("failed ({}): {message}", output.status))
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::testing::TestFolder;
    use super::*;

    /// The reply of `docker-credential-test` if it is `script`.
    async fn answer(script: &str) -> Result<Option<Login>, String> {
        let folder = TestFolder::new();
        folder.write_program("docker-credential-test", script);
        ask("test", "ghcr.io", &folder.settings()).await
    }

    fn basic(username: &str, password: &str) -> Login {
        Login::Basic { username: username.to_owned(), password: Secret::new(password) }
    }

    #[tokio::test]
    async fn it_is_asked_for_the_server_and_answers() {
        let script = r#"test "$1" = get && test $# = 1 && read -r server; echo "{\"ServerURL\":\"$server\",\"Username\":\"at $server\",\"Secret\":\"s\"}""#;
        assert_eq!(answer(script).await, Ok(Some(basic("at ghcr.io", "s"))));
        // A helper that doesn't read the question works as well.
        let script = r#"exec <&-; echo '{"Username":"u","Secret":"s"}'"#;
        assert_eq!(answer(script).await, Ok(Some(basic("u", "s"))));
    }

    #[tokio::test]
    async fn a_token_is_an_identity_token() {
        let login = answer(r#"echo '{"ServerURL":"x","Username":"<token>","Secret":"t"}'"#).await;
        assert_eq!(login, Ok(Some(Login::IdentityToken { username: String::new(), token: Secret::new("t") })));
    }

    #[tokio::test]
    async fn not_found_is_no_login() {
        assert_eq!(answer("echo credentials not found in native keychain; exit 1").await, Ok(None));
        assert_eq!(answer(r#"echo '{"Username":"","Secret":""}'"#).await, Ok(None));
        // The text isn't enough: the status must be a failure too.
        assert!(answer("echo credentials not found in native keychain").await.is_err());
    }

    #[tokio::test]
    async fn failures_are_told_with_its_words() {
        let message = answer("echo 'vault is\tlocked'; echo '\x1b[2Jrun unlock'; exit 3").await.unwrap_err();
        assert!(message.starts_with("docker-credential-test failed (exit status: 3): vault is locked"), "{message}");
        assert!(message.contains("\\u{1b}[2Jrun unlock") && !message.contains('\x1b'), "{message}");
        let message = answer("echo no session >&2; exit 1").await.unwrap_err();
        assert!(message.ends_with("no session"), "{message}");
        let message = answer("exit 1").await.unwrap_err();
        assert!(message.ends_with("no message"), "{message}");
    }

    #[tokio::test]
    async fn no_secret_is_told() {
        for script in [
            r#"echo '{"Username":"u","Secret":"hunter2"'"#,
            "echo hunter2",
            r#"echo '{"Username":"u","Secret":["hunter2"]}'"#,
            r#"echo '{"Username":"u","Secret":"hunter2"}'; exit 1"#,
        ] {
            let message = answer(script).await.unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[tokio::test]
    async fn output_is_bounded() {
        let message = answer("exec yes").await.unwrap_err();
        assert!(message.contains("more than 64 KiB"), "{message}");
        // Output on stderr doesn't count, and doesn't block the helper.
        let script = r#"head -c 300000 /dev/zero >&2; echo '{"Username":"u","Secret":"s"}'"#;
        assert_eq!(answer(script).await, Ok(Some(basic("u", "s"))));
    }

    #[tokio::test]
    async fn names_are_plain_and_programs_must_be_there() {
        let folder = TestFolder::new();
        folder.write_program("docker-credential-x/../evil", "exit 0");
        for name in ["", "x/../evil", "/bin/sh", "a\\b", "a\nb"] {
            let message = ask(name, "ghcr.io", &folder.settings()).await.unwrap_err();
            assert!(message.contains("not the name of a program") && !message.contains('\n'), "{message}");
        }
        let message = ask("absent", "ghcr.io", &folder.settings()).await.unwrap_err();
        assert!(message.starts_with("docker-credential-absent is not installed"), "{message}");
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed() {
        let folder = TestFolder::new();
        folder.write_program("docker-credential-test", r#"echo $$ >"$(dirname "$0")/pid"; exec sleep 600"#);
        // The time limit grows until the script has run its first line, however busy the machine is.
        let mut limit = Duration::from_millis(50);
        let process = loop {
            let settings = HelperSettings { time_limit: limit, ..folder.settings() };
            let message = ask("test", "ghcr.io", &settings).await.unwrap_err();
            assert!(message.contains("did not answer within"), "{message}");
            match folder.read("pid").trim() {
                "" => limit *= 2,
                process => break process.to_owned(),
            }
        };
        let probe = std::process::Command::new("sh").args(["-c", "kill -0 \"$0\" 2>/dev/null", &process]).status();
        assert!(!probe.unwrap().success(), "process {process} is still there");
    }
}
