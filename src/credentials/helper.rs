//! Credential helpers: programs called `docker-credential-<name>` that are asked for a login.
//!
//! The docker-credential protocol: `get`, the server on stdin, JSON on stdout.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::{Login, Secret};
use crate::error::{Error, printable};

/// A helper may have to wait for a cloud's answer, but not longer.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);
/// A helper's answer is no larger, in bytes.
const OUTPUT_LIMIT: u64 = 64 * 1024;
/// The user name by which a helper says that its secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    secret: Secret,
}

/// Asks the helper `name` for the login of `server`; `None` if it knows none.
///
/// # Errors
/// The helper can't be started, fails, says nothing that makes sense, or takes longer than `time_limit`.
pub async fn get(name: &str, server: &str, time_limit: Duration) -> Result<Option<Login>, Error> {
    let program = format!("docker-credential-{name}");
    let fail =
        |reason: &str| Error::Credentials(format!("the credential helper {} {reason}", printable(&program, 100)));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err(fail("has a name that is no plain file name"));
    }
    match tokio::time::timeout(time_limit, run(&program, server)).await {
        Err(_) => {
            Err(fail(&format!("gave no answer for {} within {} s", printable(server, 200), time_limit.as_secs())))
        }
        Ok(Err(error)) => Err(fail(&format!("can't be run: {error}"))),
        Ok(Ok((true, output, _))) => {
            login(&output).map(Some).ok_or_else(|| fail("gave an answer that is not JSON with `Secret`"))
        }
        Ok(Ok((false, output, errors))) => {
            let said = [output, errors].concat();
            let said = String::from_utf8_lossy(&said);
            // The protocol's words for "none", on either stream.
            if said.contains("credentials not found") {
                return Ok(None);
            }
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            Err(fail(&format!("failed for {}: {}", printable(server, 200), printable(&said, 300))))
        }
    }
}

/// Whether it succeeded, its stdout and its stderr.
async fn run(program: &str, server: &str) -> std::io::Result<(bool, Vec<u8>, Vec<u8>)> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A helper past its time is not left behind.
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let asking = async {
        if let Some(mut stdin) = stdin {
            // A helper that needs no question may have closed its end.
            let _ = stdin.write_all(server.as_bytes()).await;
            let _ = stdin.shutdown().await;
        }
    };
    let ((), output, errors) = tokio::join!(asking, read(stdout), read(stderr));
    let status = child.wait().await?;
    Ok((status.success(), output?, errors?))
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(OUTPUT_LIMIT).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn login(output: &[u8]) -> Option<Login> {
    let answer: Answer = serde_json::from_slice(output).ok()?;
    Some(if answer.username == TOKEN_USER {
        Login::IdentityToken { username: String::new(), token: answer.secret }
    } else {
        Login::Basic { username: answer.username, password: answer.secret }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_helpers() {
        let basic = Login::Basic { username: "AWS".to_owned(), password: Secret::new("p") };
        assert_eq!(login(br#"{"ServerURL":"x","Username":"AWS","Secret":"p"}"#), Some(basic));
        let token = Login::IdentityToken { username: String::new(), token: Secret::new("t") };
        assert_eq!(login(br#"{"Username":"<token>","Secret":"t"}"#), Some(token));
        assert_eq!(login(b"Secret: p"), None);
    }

    #[test]
    fn a_helper_is_a_plain_program() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for name in ["", "../x", "a b", "x;y"] {
            assert!(runtime.block_on(get(name, "r.io", TIME_LIMIT)).is_err(), "{name}");
        }
        let missing = runtime.block_on(get("imgstep-no-such-helper", "r.io", TIME_LIMIT)).unwrap_err().to_string();
        assert!(missing.contains("docker-credential-imgstep-no-such-helper can't be run"), "{missing}");
    }
}
