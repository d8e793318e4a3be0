//! What people read: some eighty errors, warnings and summaries as the binary prints them, in a table that is easy to
//! extend.
//!
//! Each line runs in a folder with the files below, against a registry with the images below; earlier lines of a topic
//! may write for later ones. Ports, digests and times are replaced. `UPDATE_SNAPSHOTS=1` rewrites the snapshots.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::support::images::{self, PLATFORMS, platform};
use crate::support::snapshot::assert_snapshots;
use crate::support::{Action, Folder, Proxy, Registry, Style, imgstep, rule};

/// The description, and the command line. `REGISTRY` and the names of [`proxies`] are replaced with hosts.
type Message = (&'static str, &'static str);

const TOPICS: [(&str, &[Message]); 8] = [
    ("command-line", &COMMAND_LINE),
    ("values", &VALUES),
    ("references", &REFERENCES),
    ("layers", &LAYERS),
    ("bundles", &BUNDLES),
    ("guards", &GUARDS),
    ("registries", &REGISTRIES),
    ("summaries", &SUMMARIES),
];

const COMMAND_LINE: [Message; 20] = [
    ("no such step", "imgstep frobnicate"),
    ("a step that is mistyped", "imgstep promot REGISTRY/app"),
    ("a command of another tool", "imgstep ls REGISTRY/app"),
    ("no such option", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --no-such"),
    ("an option that is mistyped", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --if-exist fail"),
    ("an option of another tool", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --authfile auth.json"),
    ("no source", "imgstep promote"),
    ("no destination", "imgstep promote REGISTRY/app:v1"),
    ("a list that took the source", "imgstep promote -t REGISTRY/x:v1"),
    ("two readings", "imgstep promote -t REGISTRY/x REGISTRY/app REGISTRY/y"),
    ("one argument too many", "imgstep append REGISTRY/app:v1 REGISTRY/x:v1 --layer site=/srv"),
    ("no image", "imgstep index --to REGISTRY/x:v1"),
    ("--add without --from", "imgstep index REGISTRY/app:v1 --add REGISTRY/app:v2 --to REGISTRY/x:v1"),
    ("nothing to append", "imgstep append REGISTRY/app:v1 --to REGISTRY/x:v1"),
    ("no tag", "imgstep tag REGISTRY/app:v1"),
    ("SOURCE with --list", "imgstep promote REGISTRY/app:v1 --list images.txt"),
    ("a variable that nothing reads", "IMGSTEP_TAG=v1 imgstep digest REGISTRY/app:v1"),
    ("a step of the action without its input", "IMGSTEP_STEP=promote imgstep github-action"),
    ("an element that starts with a dash", "imgstep tag --strict=jobs --jobs=3 --to=x -- REGISTRY/app:v1 v2"),
    ("no page for a step", "imgstep man nope"),
];

const VALUES: [Message; 23] = [
    ("not a boolean", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --dry-run=maybe"),
    ("not a number", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --jobs x"),
    ("out of range", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --jobs 4096"),
    ("not a duration", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --timeout soon"),
    ("not one of the values", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --if-exists maybe"),
    ("not a platform", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --platform arm64"),
    ("not a digest", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --expect-digest sha256:12"),
    ("not a tag", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --tags -- 'v 1'"),
    ("a full reference as a tag", "imgstep tag REGISTRY/app:v1 REGISTRY/other:v2"),
    ("two platforms", "imgstep digest REGISTRY/app:v1 --platform linux/amd64,linux/arm64"),
    ("not KEY=VALUE", "imgstep mutate REGISTRY/app:v1 -t REGISTRY/x:v1 --env DEBUG"),
    ("not a JSON array", "imgstep mutate REGISTRY/app:v1 -t REGISTRY/x:v1 --entrypoint '/app --verbose'"),
    ("an option twice", "imgstep mutate REGISTRY/app:v1 -t REGISTRY/x:v1 --user 1 --user 2"),
    ("brackets without a platform", "imgstep mutate REGISTRY/app:v1 -t REGISTRY/x:v1 --env [arm64]A=1"),
    ("not a port", "imgstep mutate REGISTRY/app:v1 -t REGISTRY/x:v1 --expose http"),
    ("not a signal", "imgstep mutate REGISTRY/app:v1 -t REGISTRY/x:v1 --stop-signal 'SIG TERM'"),
    ("not a time", "imgstep mutate REGISTRY/app:v1 -t REGISTRY/x:v1 --created yesterday"),
    ("neither platform nor digest", "imgstep index --from REGISTRY/app:v1 --remove arm -t REGISTRY/x:v1"),
    ("a platform of nothing", "imgstep index REGISTRY/app:v1 --platform-of linux/arm64 -t REGISTRY/x:v1"),
    ("no such result", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --result size=size.txt"),
    ("a result without a file", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --result digest"),
    ("no CI system", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --ci azure --github-artifacts"),
    ("a line of a list", "imgstep promote --list broken.txt"),
];

const REFERENCES: [Message; 13] = [
    ("a URL", "imgstep digest https://ghcr.io/org/app"),
    ("upper case", "imgstep digest ghcr.io/Org/app"),
    ("not a port", "imgstep digest localhost:99999/app"),
    ("an empty tag", "imgstep digest ghcr.io/org/app:"),
    ("an empty layout", "imgstep digest oci:"),
    ("a folder", "imgstep digest site"),
    ("no such image", "imgstep digest REGISTRY/no-such:v1"),
    ("no such tag", "imgstep promote REGISTRY/app:v9 REGISTRY/x:v1"),
    (
        "no such digest",
        "imgstep promote REGISTRY/app@sha256:0000000000000000000000000000000000000000000000000000000000000000 REGISTRY/x:v1",
    ),
    ("no such layout", "imgstep promote oci:nowhere REGISTRY/x:v1"),
    ("no such platform", "imgstep promote REGISTRY/app:v1 REGISTRY/x:v1 --platform linux/s390x"),
    ("no such platform of a digest", "imgstep digest REGISTRY/single:v1 --platform linux/arm64"),
    ("a tag that moved on", "imgstep promote REGISTRY/app:v2@V1-DIGEST REGISTRY/x:v1 --check-tag"),
];

const LAYERS: [Message; 12] = [
    ("no platform on scratch", "imgstep append scratch --layer site=/srv --to REGISTRY/x:v1"),
    ("nothing to delete", "imgstep append scratch --delete /etc --to REGISTRY/x:v1"),
    ("no such file", "imgstep append REGISTRY/app:v1 --layer nowhere=/srv --to REGISTRY/x:v1"),
    ("no such layer option", "imgstep append REGISTRY/app:v1 --layer site=/srv,user=1 --to REGISTRY/x:v1"),
    ("no such mode", "imgstep append REGISTRY/app:v1 --layer site=/srv,mode=rwx --to REGISTRY/x:v1"),
    ("no such compression", "imgstep append REGISTRY/app:v1 --layer site=/srv --compression br --to REGISTRY/x:v1"),
    ("a path that leads out", "imgstep append REGISTRY/app:v1 --layer site=../srv --to REGISTRY/x:v1"),
    ("a broken tar", "imgstep append REGISTRY/app:v1 --layer broken.tar --to REGISTRY/x:v1"),
    (
        "a binary for another platform",
        "imgstep append scratch --layer arm64=/app,mode=0755,platform=linux/amd64 --to REGISTRY/x:v1",
    ),
    (
        "no such program",
        "imgstep append scratch --layer site=/srv,platform=linux/amd64 --entrypoint /app --to REGISTRY/x:v1",
    ),
    ("a private key", "imgstep append REGISTRY/single:v1 --layer keys=/keys --to REGISTRY/x:keys"),
    ("a file of logins", "imgstep append REGISTRY/single:v1 --layer logins=/l --auth-dir logins --to REGISTRY/x:l"),
];

const BUNDLES: [Message; 6] = [
    ("no such file", "imgstep bundle nowhere.yaml --to REGISTRY/x:v1"),
    ("an empty folder", "imgstep bundle empty --to REGISTRY/x:v1"),
    ("not YAML", "imgstep bundle broken.yaml --to REGISTRY/x:v1"),
    ("not a mapping", "imgstep bundle list.yaml --to REGISTRY/x:v1"),
    ("no name", "imgstep bundle nameless.yaml --to REGISTRY/x:v1"),
    ("the same resource twice", "imgstep bundle task.yaml task.yaml --to REGISTRY/x:v1"),
];

const GUARDS: [Message; 9] = [
    ("a tag that exists", "imgstep promote REGISTRY/app:v2 REGISTRY/app:v1 --if-exists fail"),
    ("a tag that exists, by tag", "imgstep tag REGISTRY/app:v2 v1 --if-exists fail"),
    ("a tag that is kept", "imgstep promote REGISTRY/app:v2 REGISTRY/app:v1 --if-exists skip"),
    ("another digest than expected", "imgstep promote REGISTRY/app:v2 REGISTRY/x:v1 --expect-digest V1-DIGEST"),
    ("a digest as the destination", "imgstep promote REGISTRY/app:v2 REGISTRY/x@V1-DIGEST"),
    ("two images for a platform", "imgstep index REGISTRY/single:v1 REGISTRY/single:v2 --to REGISTRY/x:v1"),
    ("two formats", "imgstep index REGISTRY/single:v1 REGISTRY/docker:v1 --to REGISTRY/x:v1"),
    ("a single image", "imgstep index REGISTRY/single:v1 --to REGISTRY/x:v1"),
    ("nothing to remove", "imgstep index --from REGISTRY/app:v1 --remove linux/386 --to REGISTRY/x:v1"),
];

const REGISTRIES: [Message; 9] = [
    ("nobody listens", "imgstep digest 127.0.0.1:1/app:v1 --retries 0"),
    ("a login is missing", "XDG_RUNTIME_DIR=/run/user/1 imgstep digest UNAUTHORIZED/app:v1"),
    ("a login is refused", "imgstep digest DENIED/app:v1"),
    ("too many requests", "imgstep digest BUSY/app:v1 --retries 0"),
    ("an error of the server", "imgstep digest BROKEN/app:v1 --retries 0"),
    ("a page for people", "imgstep digest PORTAL/app:v1"),
    ("writing is refused", "imgstep promote REGISTRY/app:v1 READ-ONLY/x:v1"),
    ("an upload fails", "imgstep promote REGISTRY/app:v1 FULL/x:v1 --retries 0"),
    ("other bytes", "imgstep promote LYING/app:v1 OTHER/x:v1 --retries 0"),
];

const SUMMARIES: [Message; 17] = [
    ("a dry run", "imgstep promote REGISTRY/app:v1 REGISTRY/prod:v1 --tags latest --dry-run"),
    ("an image", "imgstep promote REGISTRY/app:v1 REGISTRY/prod:v1 --tags latest"),
    ("an image for another registry", "imgstep promote REGISTRY/app:v1 OTHER/prod:v1"),
    ("an image again", "imgstep promote REGISTRY/app:v1 REGISTRY/prod:v1 --tags latest"),
    ("a tag that moves", "imgstep promote REGISTRY/app:v2 REGISTRY/prod:v1"),
    ("some platforms", "imgstep promote REGISTRY/app:v1 REGISTRY/few:v1 --platform linux/amd64 linux/arm64"),
    ("one platform", "imgstep promote REGISTRY/app:v1 REGISTRY/one:v1 --platform linux/amd64"),
    ("a foreign layer", "imgstep promote REGISTRY/foreign:v1 REGISTRY/prod:foreign"),
    ("no tag for the destination", "imgstep promote REGISTRY/app:v1 REGISTRY/untagged"),
    ("many images, one of which fails", "imgstep promote --list images.txt"),
    ("an index", "imgstep index REGISTRY/single:v1 REGISTRY/arm64:v1 --to REGISTRY/joined:v1"),
    ("an image with a layer", "imgstep append REGISTRY/single:v1 --layer site=/srv --to REGISTRY/site:v1"),
    ("an image with a label", "imgstep mutate REGISTRY/app:v1 --label a=b --to REGISTRY/labelled:v1"),
    ("a bundle", "imgstep bundle task.yaml --to REGISTRY/tasks:v1"),
    ("tags", "imgstep tag REGISTRY/app:v1 v1.2 stable"),
    ("a digest", "imgstep digest REGISTRY/app:v1 --platform linux/arm64"),
    ("an inspection", "imgstep inspect REGISTRY/attested:v1"),
];

#[test]
fn snapshot_of_every_message() {
    let (registry, other) = (Registry::inside(), Registry::inside());
    fill(&registry);
    let proxies = proxies(&registry, &other);
    let v1 = images::index(Style::Oci, 1, 3, 1, 500).digest().to_owned();
    let folder = files(&registry.host);
    let hosts: Vec<(&str, &str)> = std::iter::once(("REGISTRY", registry.host.as_str()))
        .chain(proxies.iter().map(|(name, proxy)| (*name, proxy.host.as_str())))
        .collect();
    let mut texts = BTreeMap::new();
    for (topic, messages) in TOPICS {
        let mut text = String::new();
        for (what, line) in messages {
            let shown = hosts.iter().fold((*line).to_owned(), |line, (name, _)| line.replace(name, &written(name)));
            let meant =
                hosts.iter().fold((*line).replace("V1-DIGEST", &v1), |line, (name, host)| line.replace(name, host));
            let run = run(&meant, &folder);
            let _ = write!(text, "# {what}\n$ {shown}\n");
            let folder = folder.path().display().to_string();
            let hide = |printed: &str| {
                let printed =
                    hosts.iter().fold(printed.to_owned(), |text, (name, host)| text.replace(host, &written(name)));
                steady(&without_homes(&printed.replace(&folder, "/work")))
            };
            // Digests are numbered across both.
            let printed = hide(&format!("{}\0{}", run.stdout, run.stderr));
            let (stdout, stderr) = printed.split_once('\0').unwrap();
            text.extend(stdout.lines().map(|line| format!("stdout: {line}").trim_end().to_owned() + "\n"));
            text.extend(stderr.lines().map(|line| line.trim_end().to_owned() + "\n"));
            let _ = write!(text, "exit status {}\n\n", run.status);
        }
        texts.insert(topic.to_owned(), text.trim_end().to_owned() + "\n");
    }
    assert_snapshots("messages", &texts);
}

/// A host with a readable name.
fn written(name: &str) -> String {
    format!("{}.example", name.to_lowercase())
}

fn fill(registry: &Registry) {
    images::index(Style::Oci, 1, 3, 1, 500).push(registry, "app", "v1");
    images::index(Style::Oci, 2, 3, 1, 500).push(registry, "app", "v2");
    images::image(3, 1, 500).push(registry, "single", "v1");
    images::image(4, 1, 500).push(registry, "single", "v2");
    images::image_of(Style::Oci, PLATFORMS[1], images::layers(Style::Oci, 5, 1, 500)).push(registry, "arm64", "v1");
    images::image_of(Style::Docker, PLATFORMS[1], images::layers(Style::Docker, 6, 1, 500))
        .push(registry, "docker", "v1");
    images::with_foreign_layer(7).push(registry, "foreign", "v1");
    images::attested(8).push(registry, "attested", "v1");
    images::image_with(Style::Oci, platform(PLATFORMS[0]), Vec::new()).push(registry, "empty", "v1");
}

/// Registries with one fault each: sources have the images, destinations are empty.
fn proxies(registry: &Registry, other: &Registry) -> Vec<(&'static str, Proxy)> {
    let before = |method, path: &str, action| Proxy::before(registry).with(rule(method, path, action));
    let empty = |method, path: &str, action| Proxy::before(other).with(rule(method, path, action));
    let unauthorized = Action::Answer {
        status: 401,
        headers: vec![("WWW-Authenticate".to_owned(), "Basic realm=\"registry\"".to_owned())],
        body: br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#.to_vec(),
    };
    let denied = || Action::error(403, "DENIED", "requested access to the resource is denied");
    vec![
        ("UNAUTHORIZED", before("", "/v2/", unauthorized)),
        ("DENIED", before("", "/v2/", denied())),
        ("BUSY", before("", "/v2/", Action::too_many("1"))),
        ("BROKEN", before("", "/v2/", Action::error(500, "UNKNOWN", "unknown error"))),
        ("PORTAL", before("", "/v2/", Action::html())),
        ("OTHER", Proxy::before(other)),
        ("READ-ONLY", empty("POST", "/v2/", denied())),
        ("FULL", empty("PUT", "/blobs/", Action::error(507, "UNKNOWN", "no space left on device"))),
        ("LYING", before("GET", "/blobs/", Action::answer(200))),
    ]
}

fn files(host: &str) -> Folder {
    let folder = Folder::new();
    let task = |fields: &str| format!("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {{{fields}}}\n");
    for (name, text) in [
        ("site/index.html", "<p>Hello\n"),
        ("keys/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
        ("logins/config.json", r#"{"auths":{}}"#),
        ("broken.tar", "not a tar"),
        ("broken.yaml", "a: [1\n"),
        ("list.yaml", "- a\n- b\n"),
        ("nameless.yaml", &task("")),
        ("task.yaml", &task("name: build")),
        ("empty/README", ""),
        (
            "images.txt",
            "# the first line\nREGISTRY/app:v1 REGISTRY/listed:v1\nREGISTRY/no-such:v1 REGISTRY/listed:v2\n",
        ),
        ("broken.txt", "ghcr.io/org/app:v1\n"),
    ] {
        folder.write(name, text.replace("REGISTRY", host));
    }
    // The header of an ELF file for aarch64 (elf(5)).
    let head = [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &[2, 0, 183, 0, 1, 0, 0, 0], &[0; 40]].concat();
    folder.write_program("arm64", head);
    folder
}

/// Runs a line: variables first, arguments separated by spaces, with quotes around those that contain some.
fn run(line: &str, folder: &Folder) -> crate::support::step::Run {
    let mut words = crate::help::words(line).into_iter().peekable();
    let mut variables = Vec::new();
    while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
        variables.push((name.to_owned(), value.to_owned()));
        words.next();
    }
    let step = imgstep(words.skip(1)).in_folder(folder.path());
    variables.into_iter().fold(step, |step, (name, value)| step.env(&name, value)).run()
}

/// Replaces what changes from run to run: times, and digests, which are numbered in order.
fn steady(text: &str) -> String {
    let mut out = String::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("sha256:") {
        let (before, digest) = rest.split_at(at);
        let end = digest[7..].find(|letter: char| !letter.is_ascii_hexdigit()).map_or(digest.len(), |end| end + 7);
        out += before;
        if end < 7 + 12 {
            out += &digest[..end];
        } else {
            let number = seen.iter().position(|known| known.starts_with(&digest[..end])).unwrap_or_else(|| {
                seen.push(&digest[..end]);
                seen.len() - 1
            });
            let _ = write!(out, "sha256:<{}>", number + 1);
        }
        rest = &digest[end..];
    }
    without_times(&(out + rest))
}

/// Each run has its own home folder.
fn without_homes(text: &str) -> String {
    let home = std::env::temp_dir().join("imgstep-test-").display().to_string();
    let mut parts = text.split(&home);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + "/home" + part.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '-')
    })
}

/// `0.01 s` becomes `<time>`.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.contains('.') && word.parse::<f64>().is_ok();
    let lines = text.split('\n').map(|line| {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for at in 1..words.len() {
            if words[at].trim_end_matches([',', ';', ')']) == "s" && is_time(words[at - 1].trim_start_matches('(')) {
                "<time>".clone_into(&mut words[at - 1]);
            }
        }
        words.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}
