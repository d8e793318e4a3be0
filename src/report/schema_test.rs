//! Tests that `docs/report.schema.json` is the schema of what is written.

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use super::failure::{FailedRequest, FailedStep};
use super::list::ListOutcome;
use super::outcome::{Action, DestinationState, Outcome};
use super::{json as report_json, sample};
use crate::error::{Error, ErrorKind, GuardKind};

const FILE: &str = "report.schema.json";

struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn load() -> Self {
        let mut compiler = Compiler::new();
        compiler.add_resource(FILE, text()).unwrap();
        let mut schemas = Schemas::new();
        let index = compiler.compile(FILE, &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn accepts(&self, report: &Value) -> bool {
        self.schemas.validate(report, self.index).is_ok()
    }

    #[track_caller]
    fn check(&self, outcome: &Outcome) {
        self.check_written(&written(outcome));
    }

    #[track_caller]
    fn check_written(&self, report: &Value) {
        if let Err(error) = self.schemas.validate(report, self.index) {
            panic!("{error:#}");
        }
    }
}

fn text() -> Value {
    serde_json::from_str(include_str!("../../docs/report.schema.json")).unwrap()
}

fn written(outcome: &Outcome) -> Value {
    serde_json::from_str(&report_json::render(outcome).unwrap()).unwrap()
}

#[test]
fn what_is_written_is_valid() {
    let schema = Schema::load();
    schema.check(&sample::promoted());
    schema.check(&sample::single());
    schema.check(&sample::bundled());

    let mut outcome = sample::promoted();
    outcome.source = None;
    outcome.base = Some(sample::source("docker.io/library/alpine", "3.22"));
    outcome.warnings.push("beware".into());
    outcome.platforms.clear();
    for state in
        [DestinationState::Written, DestinationState::Unchanged, DestinationState::Skipped, DestinationState::Planned]
    {
        outcome.destinations[0].state = state;
        schema.check(&outcome);
    }
    for action in [Action::Present, Action::Mounted, Action::Sent, Action::Foreign] {
        outcome.destinations[0].blobs[0].action = action;
        schema.check(&outcome);
    }
    outcome.destinations.clear();
    schema.check(&outcome);
}

#[test]
fn what_is_written_of_a_list_is_valid() {
    let schema = Schema::load();
    let mut list = sample::list();
    let json = |list: &ListOutcome| serde_json::from_str::<Value>(&report_json::render(list).unwrap()).unwrap();
    schema.check_written(&json(&list));
    schema.check_written(&json(&list.without_contents()));
    for field in ["reports", "failed", "totals"] {
        let mut report = json(&list);
        report.as_object_mut().unwrap().remove(field);
        assert!(!schema.accepts(&report), "{field}");
    }
    list.reports.clear();
    list.failed.clear();
    schema.check_written(&json(&list));
}

#[test]
fn what_is_written_of_a_failure_is_valid() {
    let schema = Schema::load();
    let missing = ErrorKind::SourceMissing { reference: "r.example/app:v1".into(), answer: "it isn't there".into() };
    let missing = Error::from(missing).with_hint("name another");
    let asked = FailedRequest {
        step: Some("promote".into()),
        source: Some("r.example/app:v1".into()),
        destinations: vec!["r.example/copy:v1".into()],
    };
    let failed = serde_json::to_value(FailedStep::new(asked, &missing)).unwrap();
    schema.check_written(&failed);
    let refused = Error::guard(GuardKind::TagExists, "v1 already points to another image");
    let refused = serde_json::to_value(FailedStep::new(FailedRequest::default(), &refused)).unwrap();
    schema.check_written(&refused);
    assert_eq!((&refused["error"]["kind"], &refused["error"]["guard"]), (&json!("guard"), &json!("tagExists")));
    assert_eq!((&failed["error"]["kind"], &failed["error"]["status"]), (&json!("sourceMissing"), &json!(5)));
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&failed), names(&text()["$defs"]["failedStep"]["properties"]));
    let mut known = names(&text()["$defs"]["reason"]["properties"]);
    known.retain(|name| name != "guard");
    assert_eq!(names(&failed["error"]), known);
    schema.check_written(&serde_json::to_value(FailedStep::usage(FailedRequest::default(), "no such option")).unwrap());
}

/// A report and what to break in it.
type Breakage = (&'static str, fn(&mut Value));

#[test]
fn what_is_broken_is_refused() {
    let schema = Schema::load();
    let breakages: [Breakage; 8] = [
        ("an unknown field", |report| report["extra"] = json!(1)),
        ("an unknown field below", |report| report["destinations"][0]["blobs"][0]["extra"] = json!(1)),
        ("a missing field", |report| drop(report.as_object_mut().unwrap().remove("totals"))),
        ("a digest with upper-case digits", |report| report["digest"] = json!(format!("sha256:{}", "A".repeat(64)))),
        ("another version", |report| report["schemaVersion"] = json!(2)),
        ("an unknown action", |report| report["destinations"][0]["blobs"][0]["action"] = json!("moved")),
        ("a negative size", |report| report["size"] = json!(-1)),
        ("a number as text", |report| report["totals"]["seconds"] = json!("3.2")),
    ];
    for (what, breakage) in breakages {
        let mut report = written(&sample::promoted());
        assert!(schema.accepts(&report));
        breakage(&mut report);
        assert!(!schema.accepts(&report), "{what} was accepted");
    }
}

/// Every field that may be absent is filled here, so a field that only one side knows shows up.
#[test]
fn the_schema_and_the_report_have_the_same_fields() {
    let mut outcome = sample::promoted();
    outcome.base = outcome.source.clone();
    outcome.resources = sample::bundled().resources;
    outcome.destinations[0].previous = vec![sample::previous("v1")];
    let (report, schema) = (written(&outcome), text());
    let list: Value = serde_json::from_str(&report_json::render(&sample::list()).unwrap()).unwrap();
    let definition = |name: &str| schema["$defs"][name]["properties"].clone();
    for (object, properties) in [
        (&report, definition("report")),
        (&report["source"], definition("source")),
        (&report["platforms"][0], definition("platformImage")),
        (&report["resources"][0], definition("bundledResource")),
        (&report["destinations"][0], definition("destination")),
        (&report["destinations"][0]["previous"][0], definition("previous")),
        (&report["destinations"][0]["manifests"][0], definition("manifestTransfer")),
        (&report["destinations"][0]["blobs"][0], definition("blobTransfer")),
        (&report["totals"], definition("totals")),
        (&list, definition("list")),
        (&list["failed"][0], definition("failure")),
    ] {
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(object), names(&properties));
    }
}
