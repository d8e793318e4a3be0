//! The outputs of the step.

use serde_json::Value;

use super::{digests, image_for, index, written};
use crate::support::{Folder, Style, imgstep, json_schema, registries};

#[test]
fn every_result_is_exact() {
    for registry in registries() {
        for (tag, on) in [("amd", "linux/amd64"), ("arm", "linux/arm64")] {
            image_for(Style::Oci, on, 1).push(&registry, "app", tag);
        }
        let folder = Folder::new();
        let mut step = index(&[registry.at("app:amd"), registry.at("app:arm")], &registry.at("out:v1"));
        step = step.args(["--tags", "v1.0"]);
        for key in ["digest", "url", "ref", "images", "json", "dotenv", "tags"] {
            step = step.args(["--result", &format!("{key}={}", folder.join(key).display())]);
        }
        let run = step.run().ended(0);
        let index = written(&run, &registry, "out", "v1");
        let name = registry.at("out");
        let read = |key: &str| folder.read(key).unwrap_or_else(|| panic!("{key} was not written"));
        assert_eq!(format!("{name}@{}\n", read("digest")), run.stdout);
        assert_eq!(read("url"), format!("{name}:v1"));
        assert_eq!(format!("{}\n", read("ref")), run.stdout);
        let children: Vec<String> = digests(&index).iter().map(|digest| format!("{name}@{digest}")).collect();
        assert_eq!(read("images"), children.join(","));
        assert!(read("tags").contains("v1.0"), "{}", read("tags"));
        assert!(read("dotenv").contains("IMGSTEP_DIGEST=sha256:"));
        let report: Value = serde_json::from_str(&read("json")).unwrap();
        json_schema::assert_valid("docs/report.schema.json", &report);
        assert_eq!(report["step"], "index");
        assert_eq!(report["platforms"][1]["platform"], "linux/arm64");
        assert_eq!(report["source"], Value::Null);
        assert!(run.stderr.contains("assembled"), "{}", run.stderr);
    }
}

#[test]
fn an_index_to_start_from_is_a_source() {
    let image = crate::support::images::index(Style::Oci, 1, 2, 1, 300);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let folder = Folder::new();
        imgstep(["index", "--from", &registry.at("app:v1"), "--to", &registry.at("app:v2")])
            .args(["--result", &format!("source={}", folder.join("source").display())])
            .run()
            .ended(0);
        assert!(folder.read("source").unwrap().contains(image.digest()));
    }
}

#[test]
fn arguments_may_come_from_the_environment() {
    for registry in registries() {
        for (tag, on) in [("amd", "linux/amd64"), ("arm", "linux/arm64")] {
            image_for(Style::Oci, on, 1).push(&registry, "app", tag);
        }
        let run = imgstep(["index", "--from=", "--format=", "--platform-of", "--remove=", "--allow-single=false"])
            .env("IMGSTEP_IMAGES", format!("{}\n{}\n", registry.at("app:amd"), registry.at("app:arm")))
            .env("IMGSTEP_TO", registry.at("app:v1"))
            .env("IMGSTEP_ANNOTATION", "a=1\nb=2")
            .run()
            .ended(0);
        let index = written(&run, &registry, "app", "v1");
        assert_eq!(index["annotations"].to_string(), r#"{"a":"1","b":"2"}"#);
    }
}

#[test]
fn help_has_examples() {
    let help = imgstep(["index", "--help"]).run().ended(0).stdout;
    for word in ["Examples:", "--from", "--platform-of", "--replace", "exit status 3"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn github_gets_outputs_and_a_summary() {
    for registry in registries() {
        for (tag, on) in [("amd", "linux/amd64"), ("arm", "linux/arm64")] {
            image_for(Style::Oci, on, 1).push(&registry, "app", tag);
        }
        let folder = Folder::new();
        let (output, summary) = (folder.write("output", ""), folder.write("summary", ""));
        let run = index(&[registry.at("app:amd"), registry.at("app:arm")], &registry.at("app:v1"))
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_OUTPUT", output)
            .env("GITHUB_STEP_SUMMARY", summary)
            .run()
            .ended(0);
        let index = written(&run, &registry, "app", "v1");
        let output = folder.read("output").unwrap();
        assert!(digests(&index).iter().all(|digest| output.contains(digest)), "{output}");
        let summary = folder.read("summary").unwrap();
        assert!(summary.contains("Assembled") && summary.contains("linux/arm64"), "{summary}");
    }
}
