//! Image configs, edited in place: every other field keeps its value and its place.
//!
//! OCI image specification, config.md. Docker's configs have the same fields.

use serde_json::{Map, Value, json};

use super::digest::Digest;
use super::manifest_json;
use super::platform::Platform;
use super::spec;
use crate::error::{Error, Result};
use crate::text::printable;

/// An image config: its fields as they were written, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The bytes as they were read; empty for a new config.
    original: Vec<u8>,
    before: Map<String, Value>,
    fields: Map<String, Value>,
}

/// What `append` and `mutate` change in an image: its config, and the annotations of its manifest. What isn't given
/// stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The program and its first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// Keep the base's cmd when the entrypoint is set.
    pub keep_cmd: bool,
    /// The arguments after the entrypoint.
    pub cmd: Option<Vec<String>>,
    /// Variables to set, in this order; one without a value is removed.
    pub env: Vec<(String, Option<String>)>,
    /// Labels to set, in this order; one without a value is removed.
    pub labels: Vec<(String, Option<String>)>,
    /// Annotations to set, in this order; one without a value is removed.
    pub annotations: Vec<(String, Option<String>)>,
    /// The user, `user[:group]` or `uid[:gid]`.
    pub user: Option<String>,
    /// The working directory.
    pub workdir: Option<String>,
    /// Ports, as [`port`] writes them.
    pub expose: Vec<String>,
    /// Paths of volumes.
    pub volumes: Vec<String>,
    /// The signal that stops the program.
    pub stop_signal: Option<String>,
    /// The creation time (RFC 3339).
    pub created: Option<String>,
}

impl Changes {
    /// Whether a config changes.
    pub fn any_in_config(&self) -> bool {
        let none = Self { keep_cmd: self.keep_cmd, annotations: self.annotations.clone(), ..Self::default() };
        *self != none
    }

    /// Whether an annotation is set, not only removed.
    pub fn sets_annotations(&self) -> bool {
        self.annotations.iter().any(|(_, value)| value.is_some())
    }
}

impl Config {
    /// Parses a config.
    ///
    /// # Errors
    /// It isn't a JSON object, or its `config`, `history` or `rootfs` don't conform to the specification.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let fields: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| malformed(&manifest_json::words(&error, bytes)))?;
        for name in ["config", "rootfs"] {
            if fields.get(name).is_some_and(|value| !value.is_null() && !value.is_object()) {
                return Err(malformed(&format!("`{name}` is not an object")));
            }
        }
        if fields.get("history").is_some_and(|history| !history.is_null() && !history.is_array()) {
            return Err(malformed("`history` is not a list"));
        }
        Ok(Self { original: bytes.to_vec(), before: fields.clone(), fields })
    }

    /// The config of an image of these layers, without settings for running it.
    pub(crate) fn new(platform: &Platform, diff_ids: &[Digest]) -> Result<Self> {
        Ok(Self { original: Vec::new(), before: Map::new(), fields: spec::config(platform, diff_ids)? })
    }

    /// The platform, if it has one.
    pub(crate) fn platform(&self) -> Option<Platform> {
        let platform: Option<Platform> = serde_json::from_value(Value::Object(self.fields.clone())).ok();
        platform.filter(|platform| !platform.os.is_empty() && !platform.architecture.is_empty())
    }

    /// The bytes to write: those that were read, if nothing changed.
    ///
    /// # Errors
    /// The fields can't be written as JSON.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        if !self.original.is_empty() && self.before == self.fields {
            return Ok(self.original.clone());
        }
        serde_json::to_vec(&self.fields).map_err(|error| malformed(&error.to_string()))
    }

    /// Makes all `changes` of a config.
    ///
    /// # Errors
    /// A list or map of the config has another type.
    pub(crate) fn apply(&mut self, changes: &Changes) -> Result<()> {
        if let Some(entrypoint) = &changes.entrypoint {
            self.set_entrypoint(entrypoint, changes.keep_cmd)?;
        }
        if let Some(cmd) = &changes.cmd {
            self.set_cmd(cmd)?;
        }
        for (name, value) in &changes.env {
            match value {
                Some(value) => self.set_env(name, value)?,
                None => self.unset_env(name)?,
            }
        }
        for (name, value) in &changes.labels {
            match value {
                Some(value) => self.set_label(name, value)?,
                None => self.unset_label(name)?,
            }
        }
        for port in &changes.expose {
            self.add_to_set("ExposedPorts", port)?;
        }
        for path in &changes.volumes {
            self.add_to_set("Volumes", path)?;
        }
        let words = [("User", &changes.user), ("WorkingDir", &changes.workdir), ("StopSignal", &changes.stop_signal)];
        for (name, value) in words {
            if let Some(value) = value {
                self.run()?.insert(name.to_owned(), json!(value));
            }
        }
        if let Some(created) = &changes.created {
            self.set_created(created);
        }
        Ok(())
    }

    /// The object `config`, with the settings for running the image.
    fn run(&mut self) -> Result<&mut Map<String, Value>> {
        object(&mut self.fields, "config")
    }

    /// Sets the entrypoint. The base's cmd, which was meant for another program, is removed unless it is to be kept.
    ///
    /// # Errors
    /// `config` isn't an object.
    pub(crate) fn set_entrypoint(&mut self, words: &[String], keep_cmd: bool) -> Result<()> {
        let run = self.run()?;
        run.insert("Entrypoint".to_owned(), json!(words));
        if !keep_cmd {
            run.shift_remove("Cmd");
        }
        // These arguments are a list, not a line that was escaped for a shell of Windows.
        run.shift_remove("ArgsEscaped");
        Ok(())
    }

    /// The arguments that are run: the entrypoint, otherwise the cmd; `None` if there is neither.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn command(&self) -> Vec<String> {
        let words = |name: &str| -> Vec<String> {
            let list = self.fields.get("config").and_then(|run| run.get(name)).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Some(words("Entrypoint")).filter(|entrypoint| !entrypoint.is_empty()).unwrap_or_else(|| words("Cmd"))
    }

    /// Sets the cmd.
    ///
    /// # Errors
    /// `config` isn't an object.
    pub(crate) fn set_cmd(&mut self, words: &[String]) -> Result<()> {
        let is_windows = self.is_windows();
        let run = self.run()?;
        run.insert("Cmd".to_owned(), json!(words));
        // As with an entrypoint; if there is one, the mark is about that.
        if is_windows && run.get("Entrypoint").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            run.shift_remove("ArgsEscaped");
        }
        Ok(())
    }

    /// Sets a variable. An existing one keeps its position, a new one is appended.
    ///
    /// # Errors
    /// `Env` isn't a list.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) -> Result<()> {
        let windows = self.is_windows();
        let entry = json!(format!("{name}={value}"));
        let list = list(self.run()?, "Env")?;
        match list.iter().position(|old| is_variable(old, name, windows)) {
            Some(position) => {
                list[position] = entry;
                let mut number = 0;
                list.retain(|old| {
                    number += 1;
                    number - 1 <= position || !is_variable(old, name, windows)
                });
            }
            None => list.push(entry),
        }
        Ok(())
    }

    /// Removes a variable.
    ///
    /// # Errors
    /// `Env` isn't a list.
    pub(crate) fn unset_env(&mut self, name: &str) -> Result<()> {
        if !self.has("Env") {
            return Ok(());
        }
        let windows = self.is_windows();
        let list = list(self.run()?, "Env")?;
        let length = list.len();
        list.retain(|old| !is_variable(old, name, windows));
        if list.is_empty() && length > 0 {
            self.run()?.shift_remove("Env");
        }
        Ok(())
    }

    /// Sets a label.
    ///
    /// # Errors
    /// `Labels` isn't an object.
    pub(crate) fn set_label(&mut self, name: &str, value: &str) -> Result<()> {
        self.map("Labels")?.insert(name.to_owned(), json!(value));
        Ok(())
    }

    /// Removes a label.
    ///
    /// # Errors
    /// `Labels` isn't an object.
    pub(crate) fn unset_label(&mut self, name: &str) -> Result<()> {
        if !self.has("Labels") {
            return Ok(());
        }
        let labels = self.map("Labels")?;
        if labels.shift_remove(name).is_some() && labels.is_empty() {
            self.run()?.shift_remove("Labels");
        }
        Ok(())
    }

    /// Adds a member to a set in Go's form, an object whose values are empty objects.
    fn add_to_set(&mut self, set: &str, member: &str) -> Result<()> {
        let set = self.map(set)?;
        if !set.contains_key(member) {
            set.insert(member.to_owned(), json!({}));
        }
        Ok(())
    }

    /// Sets the creation time (RFC 3339).
    pub(crate) fn set_created(&mut self, created: &str) {
        self.fields.insert("created".to_owned(), json!(created));
    }

    /// Adds a layer: the digest of its uncompressed tar, and a history entry that describes it.
    ///
    /// # Errors
    /// `rootfs` has no list of layers.
    pub(crate) fn add_layer(&mut self, diff_id: &Digest, created: &str, created_by: &str) -> Result<()> {
        let root = object(&mut self.fields, "rootfs")?;
        root.entry("type").or_insert_with(|| json!("layers"));
        let layers = list(root, "diff_ids")?;
        let below = layers.len();
        layers.push(json!(diff_id));
        let history = list(&mut self.fields, "history")?;
        // A history has an entry for every layer or for none: readers count its entries against the layers.
        let told = history.iter().filter(|entry| entry.get("empty_layer") != Some(&Value::Bool(true))).count();
        for _ in told..below {
            history.push(spec::history(None, None, Some("a layer of the base"))?);
        }
        history.push(spec::history(Some(created), Some(created_by), None)?);
        Ok(())
    }

    /// The digests of the layers' uncompressed tars, base first.
    pub(crate) fn diff_ids(&self) -> Vec<&str> {
        let list = self.fields.get("rootfs").and_then(|root| root.get("diff_ids")).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn is_windows(&self) -> bool {
        self.fields.get("os").is_some_and(|os| os == "windows")
    }

    /// Whether `config` has a field that isn't null.
    fn has(&self, name: &str) -> bool {
        self.fields.get("config").and_then(|run| run.get(name)).is_some_and(|value| !value.is_null())
    }

    fn map(&mut self, name: &str) -> Result<&mut Map<String, Value>> {
        object(self.run()?, name)
    }
}

/// An object in `fields`, created if it is missing or null: Go writes `null` for nothing.
fn object<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Result<&'a mut Map<String, Value>> {
    let value = fields.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or_else(|| malformed(&format!("`{name}` is not an object")))
}

fn list<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Result<&'a mut Vec<Value>> {
    let value = fields.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut().ok_or_else(|| malformed(&format!("`{name}` is not a list")))
}

fn is_variable(entry: &Value, name: &str, windows: bool) -> bool {
    let own = entry.as_str().and_then(|entry| entry.split('=').next()).unwrap_or_default();
    own == name || (windows && own.eq_ignore_ascii_case(name))
}

fn malformed(reason: &str) -> Error {
    Error::malformed("the image's config", printable(reason, 300))
}

/// A port as configs contain it, `8080/tcp`; the default protocol is TCP (config.md, "ExposedPorts").
///
/// # Errors
/// It isn't a port (`ErrorKind::Usage`).
pub(crate) fn port(text: &str) -> Result<String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit()) && number.parse::<u16>().is_ok_and(|n| n > 0);
    if !is_number || !matches!(protocol, "tcp" | "udp" | "sctp") {
        let text = printable(text, 60);
        return Err(Error::usage(format!("`{text}` is not a port")).with_hint("use 8080, 8080/tcp, 53/udp or 132/sctp"));
    }
    Ok(format!("{number}/{protocol}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    fn text(config: &Config) -> String {
        String::from_utf8(config.to_bytes().unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_changed_keeps_its_bytes() {
        let bytes = b"{\n \"os\": \"linux\", \"config\": {\"Env\": null, \"Labels\": {\"a\": \"b\"}} }\n";
        let mut config = Config::parse(bytes).unwrap();
        let gone = |name: &str| vec![(name.to_owned(), None)];
        let changes = Changes { env: gone("X"), labels: gone("y"), ..Changes::default() };
        config.apply(&changes).unwrap();
        config.set_label("a", "b").unwrap();
        assert_eq!(config.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn unknown_fields_stay_in_their_place() {
        let mut config = Config::parse(
            br#"{"zebra":1,"config":{"Healthcheck":{"Test":["CMD"]},"Cmd":["sh"],"Env":["A=1","B=2","A=3"],"OnBuild":["x"]},"os":"linux","last":null}"#,
        )
        .unwrap();
        let changes = Changes {
            entrypoint: Some(words(&["/app"])),
            env: vec![("B".into(), None), ("A".into(), Some("x=y".into())), ("C".into(), Some(String::new()))],
            labels: vec![("l".into(), Some("v".into()))],
            user: Some("65532:65532".into()),
            expose: vec![port("8080").unwrap()],
            volumes: words(&["/data"]),
            stop_signal: Some("SIGINT".into()),
            workdir: Some("/work".into()),
            created: Some("1970-01-01T00:00:00Z".into()),
            ..Changes::default()
        };
        config.apply(&changes).unwrap();
        assert_eq!(
            text(&config),
            r#"{"zebra":1,"config":{"Healthcheck":{"Test":["CMD"]},"Env":["A=x=y","C="],"OnBuild":["x"],"Entrypoint":["/app"],"Labels":{"l":"v"},"ExposedPorts":{"8080/tcp":{}},"Volumes":{"/data":{}},"User":"65532:65532","WorkingDir":"/work","StopSignal":"SIGINT"},"os":"linux","last":null,"created":"1970-01-01T00:00:00Z"}"#
        );
    }

    #[test]
    fn the_cmd_of_the_base_goes_unless_it_is_kept_or_given() {
        let base = br#"{"config":{"Cmd":["sh"]}}"#;
        let with = |changes: Changes| {
            let mut config = Config::parse(base).unwrap();
            config.apply(&changes).unwrap();
            text(&config)
        };
        let entrypoint = Some(words(&["/app"]));
        let set = Changes { entrypoint, ..Changes::default() };
        assert_eq!(with(set.clone()), r#"{"config":{"Entrypoint":["/app"]}}"#);
        let kept = Changes { keep_cmd: true, ..set.clone() };
        assert_eq!(with(kept), r#"{"config":{"Cmd":["sh"],"Entrypoint":["/app"]}}"#);
        let given = Changes { cmd: Some(words(&["-v"])), ..set };
        assert_eq!(with(given), r#"{"config":{"Entrypoint":["/app"],"Cmd":["-v"]}}"#);
    }

    #[test]
    fn words_are_no_line_that_a_shell_of_windows_has_escaped() {
        let with = |base: &str, entrypoint: Option<Vec<String>>, cmd: Option<Vec<String>>| {
            let mut config = Config::parse(base.as_bytes()).unwrap();
            config.apply(&Changes { entrypoint, cmd, ..Changes::default() }).unwrap();
            text(&config)
        };
        let line = r#"{"os":"windows","config":{"Cmd":["a b"],"ArgsEscaped":true}}"#;
        assert_eq!(with(line, None, Some(words(&["c", "d"]))), r#"{"os":"windows","config":{"Cmd":["c","d"]}}"#);
        assert_eq!(with(line, Some(words(&["e"])), None), r#"{"os":"windows","config":{"Entrypoint":["e"]}}"#);
        let of_entrypoint = r#"{"os":"windows","config":{"Entrypoint":["a b"],"ArgsEscaped":true}}"#;
        assert_eq!(
            with(of_entrypoint, None, Some(words(&["c"]))),
            r#"{"os":"windows","config":{"Entrypoint":["a b"],"ArgsEscaped":true,"Cmd":["c"]}}"#
        );
        // BuildKit always writes it; elsewhere it has no meaning, and other fields stay.
        let linux = r#"{"os":"linux","config":{"Cmd":["sh"],"ArgsEscaped":true}}"#;
        assert_eq!(with(linux, None, Some(words(&["sh"]))), linux);
    }

    #[test]
    fn variables_of_windows_have_no_case() {
        let mut config = Config::parse(br#"{"os":"windows","config":{"Env":["Path=C:\\"]}}"#).unwrap();
        config.set_env("PATH", "D:\\").unwrap();
        assert_eq!(text(&config), r#"{"os":"windows","config":{"Env":["PATH=D:\\"]}}"#);
    }

    #[test]
    fn a_layer_and_its_history() {
        let digest = Digest::of(b"");
        let mut config = Config::new(&"linux/arm/v7".parse().unwrap(), &[]).unwrap();
        config.add_layer(&digest, "1970-01-01T00:00:00Z", "imgstep append").unwrap();
        assert_eq!(
            text(&config),
            format!(
                r#"{{"architecture":"arm","os":"linux","variant":"v7","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{digest}"]}},"history":[{{"created":"1970-01-01T00:00:00Z","created_by":"imgstep append"}}]}}"#
            )
        );
        assert_eq!(config.platform().unwrap().to_string(), "linux/arm/v7");
        let mut untold =
            Config::parse(br#"{"rootfs":{"type":"layers","diff_ids":["x","y"]},"history":[{"empty_layer":true},{}]}"#)
                .unwrap();
        untold.add_layer(&digest, "c", "b").unwrap();
        assert_eq!(untold.fields["history"].as_array().unwrap().len(), 4);
        assert_eq!(untold.diff_ids().len(), 3);
    }

    #[test]
    fn what_is_no_config_is_refused() {
        for bad in ["[]", "x", r#"{"config":[]}"#, r#"{"rootfs":"x"}"#, r#"{"history":{}}"#] {
            assert!(Config::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let mut config = Config::parse(br#"{"config":{"Env":"x","Labels":[]}}"#).unwrap();
        assert!(config.set_env("A", "b").is_err());
        assert!(config.set_label("A", "b").is_err());
    }

    #[test]
    fn ports() {
        assert_eq!(port("8080").unwrap(), "8080/tcp");
        assert_eq!(port("53/udp").unwrap(), "53/udp");
        for bad in ["", "0", "x", "80/", "70000", "80/http", "+80"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }
}
