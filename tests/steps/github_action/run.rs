//! The action, run for real by nektos/act on this machine.

use std::fs;

use super::runner::{Runner, root, tool};

/// The repository's self-test: a release on loopback, its checksum right and wrong, the tool cache, hostile values, an
/// unexpected input, `setup`. It compares by itself; here its output is checked.
#[test]
fn the_self_test_workflow_succeeds() {
    if tool("python3").is_none() {
        return;
    }
    let runner = Runner::new();
    for name in [".github/workflows/action.yml", "README.md", "LICENSE"] {
        fs::copy(root().join(name), runner.path("repository").join(name)).unwrap();
    }
    let program = format!("PROGRAM={}", env!("CARGO_BIN_EXE_imgstep"));
    let words = ["--job", "action", "--matrix", "runner:ubuntu-latest", "--env", &program];
    if runner.commit().is_none() {
        return;
    }
    let Some(run) = runner.act("push", "action.yml", &[], &words) else { return };
    let run = run.ended(0);
    let log = &run.stdout;
    for said in [
        "imgstep 0.0.0-test: downloaded and verified",
        "imgstep 0.0.0-test: from the tool cache",
        "::error title=imgstep::layer: the step `digest` has no such input",
        "is not what was released",
        "is on the PATH of the steps that follow",
        &format!("imgstep {}", env!("CARGO_PKG_VERSION")),
        "Summary - ### Built `127.0.0.1:",
        "Job succeeded",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    // What act shows for a command.
    for spoken in ["set-output:: digest=wrong", "set-output:: digest=forged", "::error::forged"] {
        assert!(!log.contains(spoken), "{spoken}: {log}");
    }
}
