//! Tests of the search as a whole: files, helpers and the order among them.

use super::testing::{TestFolder, config};
use super::*;

fn basic(username: &str, password: &str) -> Login {
    Login::Basic { username: username.to_owned(), password: Secret::new(password) }
}

/// The credentials of a folder given as `--auth-dir`, whose programs are the helpers.
fn load(folder: &TestFolder) -> Credentials {
    load_all(&[folder], folder)
}

fn load_all(auth_dirs: &[&TestFolder], programs: &TestFolder) -> Credentials {
    let sources = Sources {
        auth_dirs: auth_dirs.iter().map(|folder| folder.path("")).collect(),
        environment: Environment::default(),
    };
    Credentials::load_with(&sources, programs.settings()).unwrap()
}

#[tokio::test]
async fn nobody_is_anonymous() {
    let credentials = Credentials::load(&Sources::default()).unwrap();
    assert_eq!(credentials.find("ghcr.io", "org/app").await.unwrap(), Login::Anonymous);
    assert_eq!(credentials.places(), "there is no credentials file");
}

#[tokio::test]
async fn the_longest_path_of_a_file_wins() {
    let folder = TestFolder::new();
    folder.write("config.json", r#"{"auths": {"host": {"auth": "d2lkZTpw"}, "host/org": {"auth": "bmFycm93OnA="}}}"#);
    let credentials = load(&folder);
    assert_eq!(credentials.find("host", "org/app").await.unwrap(), basic("narrow", "p"));
    assert_eq!(credentials.find("host", "organisation/app").await.unwrap(), basic("wide", "p"));
    assert_eq!(credentials.find("host:5000", "org/app").await.unwrap(), Login::Anonymous);
}

#[tokio::test]
async fn an_earlier_file_wins_over_a_longer_path() {
    let (first, second) = (TestFolder::new(), TestFolder::new());
    first.write("config.json", &config("host", "first"));
    second.write("config.json", &config("host/org/app", "second"));
    second.write("auth.json", &config("other", "third"));
    let credentials = load_all(&[&first, &second], &first);
    assert_eq!(credentials.find("host", "org/app").await.unwrap(), basic("first", "p"));
    assert_eq!(credentials.find("other", "org/app").await.unwrap(), basic("third", "p"));
    let credentials = load_all(&[&second, &first], &first);
    assert_eq!(credentials.find("host", "org/app").await.unwrap(), basic("second", "p"));
    assert_eq!(credentials.find("host", "org/x").await.unwrap(), basic("first", "p"));
}

#[tokio::test]
async fn a_broken_entry_is_told_to_who_needs_it() {
    let folder = TestFolder::new();
    folder.write("config.json", r#"{"auths": {"host": {"auth": "hunter2!"}}}"#);
    let credentials = load(&folder);
    assert_eq!(credentials.find("other", "app").await.unwrap(), Login::Anonymous);
    let message = credentials.find("host", "app").await.unwrap_err().to_string();
    let file = folder.path("config.json").display().to_string();
    assert_eq!(message, format!("the credentials in {file} can't be used: host: auth is not base64"));
}

#[test]
fn nothing_secret_is_printed() {
    let folder = TestFolder::new();
    folder.write(
        "config.json",
        r#"{"auths": {"a": {"username": "u", "password": "hunter2"}, "b": {"identitytoken": "hunter2"}}}"#,
    );
    let credentials = load(&folder);
    assert!(!format!("{credentials:?}").contains("hunter2"));
    assert!(!format!("{:?}", credentials.inner.found).contains("hunter2"));
    let login = basic("u", "hunter2");
    assert_eq!(format!("{login:?}"), r#"Basic { username: "u", password: *** }"#);
}

#[test]
fn places_names_what_exists_or_what_is_missing() {
    let folder = TestFolder::new();
    let credentials = load(&folder);
    let (path, config) = (folder.path("").display().to_string(), folder.path("config.json").display().to_string());
    let places = credentials.places();
    assert!(places.starts_with("there is no credentials file; looked for any of config.json, "), "{places}");
    assert!(places.ends_with(&format!(" in {path}")), "{places}");
    folder.write("config.json", "{}");
    assert_eq!(load(&folder).places(), format!("looked in {config}"));
}

#[cfg(unix)]
mod with_helpers {
    use super::*;

    /// Says who was asked for what, and notes each run in the file `asked`.
    const ECHO: &str = r#"read -r server
echo "$server" >>"$(dirname "$0")/asked"
echo "{\"Username\":\"$(basename "$0")\",\"Secret\":\"$server\"}""#;
    const NOT_FOUND: &str = "echo credentials not found in native keychain; exit 1";

    #[tokio::test]
    async fn a_host_has_its_own_helper_and_the_others_the_store() {
        let folder = TestFolder::new();
        folder.write(
            "config.json",
            r#"{"auths": {"ghcr.io": {}}, "credHelpers": {"host:5000": "own"}, "credsStore": "all"}"#,
        );
        folder.write_program("docker-credential-own", ECHO);
        folder.write_program("docker-credential-all", ECHO);
        let credentials = load(&folder);
        let find = async |registry| credentials.find(registry, "org/app").await.unwrap();
        assert_eq!(find("host:5000").await, basic("docker-credential-own", "host:5000"));
        assert_eq!(find("ghcr.io").await, basic("docker-credential-all", "ghcr.io"));
        assert_eq!(find("quay.io").await, basic("docker-credential-all", "quay.io"));
        assert_eq!(find("docker.io").await, basic("docker-credential-all", "https://index.docker.io/v1/"));
    }

    #[tokio::test]
    async fn a_helper_that_does_not_know_passes_the_question_on() {
        let (first, second) = (TestFolder::new(), TestFolder::new());
        first.write("config.json", r#"{"auths": {"host/org": {}, "host": {"auth": "d2lkZTpw"}}, "credsStore": "all"}"#);
        first.write_program("docker-credential-all", NOT_FOUND);
        second.write("config.json", &config("other", "second"));
        let credentials = load_all(&[&first, &second], &first);
        assert_eq!(credentials.find("host", "org/app").await.unwrap(), basic("wide", "p"));
        assert_eq!(credentials.find("other", "app").await.unwrap(), basic("second", "p"));
        assert_eq!(credentials.find("third", "app").await.unwrap(), Login::Anonymous);
    }

    #[tokio::test]
    async fn a_helper_that_fails_is_named_with_its_file() {
        let (first, second) = (TestFolder::new(), TestFolder::new());
        first.write("config.json", r#"{"credHelpers": {"host": "own"}}"#);
        first.write_program("docker-credential-own", "echo the vault is locked; exit 1");
        second.write("config.json", &config("host", "second"));
        let credentials = load_all(&[&first, &second], &first);
        let error = credentials.find("host", "app").await.unwrap_err();
        assert!(matches!(error.kind(), crate::ErrorKind::Credentials(_)));
        let (message, file) = (error.to_string(), first.path("config.json").display().to_string());
        assert!(message.contains(&file) && message.contains("docker-credential-own"), "{message}");
        assert!(message.contains("the vault is locked"), "{message}");
    }

    #[tokio::test]
    async fn a_helper_is_asked_once_however_many_wait() {
        let folder = TestFolder::new();
        folder.write("config.json", r#"{"credsStore": "all"}"#);
        // All callers are waiting before the answer comes.
        let slow = format!("while ! test -e \"$(dirname \"$0\")/go\"; do sleep 0.02; done\n{ECHO}");
        folder.write_program("docker-credential-all", &slow);
        let credentials = load(&folder);
        let callers: Vec<_> = (0..50)
            .map(|number| {
                let credentials = credentials.clone();
                tokio::spawn(async move { credentials.find("host", &format!("org/{number}")).await.unwrap() })
            })
            .collect();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        folder.write("go", "");
        for caller in callers {
            assert_eq!(caller.await.unwrap(), basic("docker-credential-all", "host"));
        }
        credentials.find("host", "later").await.unwrap();
        assert_eq!(folder.read("asked"), "host\n");
        // Another host is another question.
        credentials.find("other", "app").await.unwrap();
        assert_eq!(folder.read("asked"), "host\nother\n");
    }

    #[tokio::test]
    async fn a_failure_is_not_tried_again() {
        let folder = TestFolder::new();
        folder.write("config.json", r#"{"credsStore": "all"}"#);
        folder.write_program("docker-credential-all", r#"echo x >>"$(dirname "$0")/asked"; exit 1"#);
        let credentials = load(&folder);
        for _ in 0..3 {
            assert!(credentials.find("host", "app").await.is_err());
        }
        assert_eq!(folder.read("asked"), "x\n");
    }
}
