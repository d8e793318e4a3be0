//! What is written: layers, annotations, config; only what is new is sent.

use std::fs::File;
use std::io::Read as _;

use super::{blob, bundle, resource, three, written};
use crate::support::{Folder, Proxy, images, imgstep, registries};

/// The only file in a layer: its name and its bytes. Asserts that the layer has nothing else.
fn only_file(layer: &[u8]) -> (String, String) {
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(layer));
    let mut entries = archive.entries().unwrap();
    let mut file = entries.next().unwrap().unwrap();
    assert_eq!(file.header().entry_type(), tar::EntryType::Regular);
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let name = String::from_utf8(file.path_bytes().into_owned()).unwrap();
    assert!(entries.next().is_none(), "one file alone");
    (name, text)
}

#[test]
fn each_resource_is_a_layer_with_annotations() {
    let folder = three();
    for registry in registries() {
        let run = bundle(&folder, &["tasks.yaml", "more"], &registry.at("tasks:v1"))
            .args(["--annotation", "org.opencontainers.image.version=1.0", "com.example.empty="])
            .run()
            .ended(0);
        let manifest = written(&run, &registry, "tasks", "v1");
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        let annotations = serde_json::json!({"com.example.empty": "", "org.opencontainers.image.version": "1.0"});
        assert_eq!(manifest["annotations"], annotations);
        let layers = manifest["layers"].as_array().unwrap();
        let expected = [("Pipeline", "all", "v1"), ("StepAction", "build", "v1beta1"), ("Task", "build", "v1")];
        assert_eq!(layers.len(), expected.len());
        let config: serde_json::Value = serde_json::from_slice(&blob(&registry, "tasks", &manifest["config"])).unwrap();
        for (position, (kind, name, version)) in expected.into_iter().enumerate() {
            let layer = &layers[position];
            assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
            let own = &layer["annotations"];
            assert_eq!(own["dev.tekton.image.kind"], kind.to_lowercase());
            assert_eq!(own["dev.tekton.image.name"], name);
            assert_eq!(own["dev.tekton.image.apiVersion"], format!("tekton.dev/{version}"));
            assert_eq!(own.as_object().unwrap().len(), 3);
            let bytes = blob(&registry, "tasks", layer);
            let (file, text) = only_file(&bytes);
            assert_eq!(file, name);
            // As written in its file, with its comments.
            assert_eq!(text, resource(kind, name));
            let mut tar = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut tar).unwrap();
            assert_eq!(config["rootfs"]["diff_ids"][position], images::sha256(&tar));
        }
    }
}

#[test]
fn several_destinations_and_tags_and_a_layout_get_the_same() {
    let folder = three();
    for registry in registries() {
        let run = bundle(&folder, &["tasks.yaml"], &registry.at("tasks:v1"))
            .args(["--to", &registry.at("copy:v1"), "oci:out:v1", "--tags", "v0", "latest"])
            .run()
            .ended(0);
        assert_eq!(run.stdout.lines().count(), 3);
        for repository in ["tasks", "copy"] {
            for tag in ["v1", "v0", "latest"] {
                written(&run, &registry, repository, tag);
            }
        }
        let layout = imgstep(["digest", "oci:out:latest"]).in_folder(folder.path()).run().ended(0).stdout;
        assert!(run.stdout.contains(layout.trim()), "{layout}");
    }
}

#[test]
fn a_second_run_only_reads_the_tags() {
    let folder = three();
    for registry in registries() {
        let writing = Proxy::before(&registry);
        let run = || bundle(&folder, &["tasks.yaml"], &writing.at("tasks:v1")).args(["--tags", "v0"]).run().ended(0);
        let first = run().stdout;
        let put = writing.matching("PUT", "/manifests/");
        assert_eq!(put.len(), 2, "{put:?}");
        assert_eq!(writing.uploaded().len(), 3, "two layers and a config");
        writing.reset();
        let second = run();
        assert_eq!(second.stdout, first);
        assert!(second.stderr.contains("unchanged:"), "{}", second.stderr);
        assert_eq!(writing.log().len(), 2, "one look at each tag: {:#?}", writing.lines());
        // With another task, only its layer, the config and the manifest are sent.
        folder.write("third.yaml", resource("Task", "third"));
        writing.reset();
        bundle(&folder, &["tasks.yaml", "third.yaml"], &writing.at("tasks:v1")).run().ended(0);
        assert_eq!(writing.uploaded().len(), 2, "{:#?}", writing.lines());
        std::fs::remove_file(folder.join("third.yaml")).unwrap();
    }
}

#[test]
fn an_existing_tag_can_be_kept() {
    let folder = three();
    for registry in registries() {
        let step = |files: &[&str], what: &str| {
            bundle(&folder, files, &registry.at("tasks:v1")).args(["--if-exists", what]).run()
        };
        let first = step(&["tasks.yaml"], "fail").ended(0).stdout;
        assert_eq!(step(&["tasks.yaml"], "fail").ended(0).stdout, first);
        step(&["more"], "fail").failed(3, &["tasks:v1", "exists"]);
        assert_eq!(step(&["more"], "skip").ended(0).stdout, first);
        assert_ne!(step(&["more"], "overwrite").ended(0).stdout, first);
    }
}

#[test]
fn a_dry_run_prints_the_line_of_the_real_run_and_writes_nothing() {
    let folder = three();
    for registry in registries() {
        let writing = Proxy::before(&registry);
        let step =
            |more: &[&str]| bundle(&folder, &["tasks.yaml", "more"], &writing.at("tasks:v1")).args(more).run().ended(0);
        let plan = step(&["--dry-run"]);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        assert!(plan.stderr.contains("would bundle") && plan.stderr.contains("(3 resources)"), "{}", plan.stderr);
        assert_eq!(step(&[]).stdout, plan.stdout);
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let folder = three();
    for registry in registries() {
        let from_file = bundle(&folder, &["tasks.yaml"], &registry.at("tasks:file")).run().ended(0).stdout;
        let input = File::open(folder.join("tasks.yaml")).unwrap();
        let from_input = bundle(&folder, &["-"], &registry.at("tasks:input")).stdin(input).run().ended(0).stdout;
        assert_eq!(from_input, from_file);
    }
    bundle(&folder, &["-", "-"], "localhost:1/tasks").run().failed(2, &["`-` is given twice"]);
}

#[test]
fn all_twenty_resources_that_tekton_reads_are_accepted() {
    let folder = Folder::new();
    let tasks: Vec<String> = (0..20).map(|number| resource("Task", &format!("t{number}"))).collect();
    folder.write("tasks.yaml", tasks.join("---\n"));
    for registry in registries() {
        let run = bundle(&folder, &["tasks.yaml"], &registry.at("tasks:v1")).run().ended(0);
        let manifest = written(&run, &registry, "tasks", "v1");
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 20);
    }
}
