//! `docs/from-*.md`: runs the commands of both tools, if the other tool is installed, and compares what they wrote.

use serde_json::json;

use super::world::World;
use crate::support::Kind;
use crate::support::docker::{Docker, docker};
use crate::support::step::Run;
use crate::support::tools::{is_here, missing, missing_optional};

type Name = (&'static str, &'static str, &'static str);

/// What a block left behind.
struct Outcome {
    world: World,
    run: Run,
}

fn ran(name: Name) -> Outcome {
    ran_in(World::new(), name)
}

fn ran_in(world: World, name: Name) -> Outcome {
    let run = world.run(name, None);
    Outcome { world, run }
}

/// Whether tags that share manifests may be promoted to one repository at the same time: distribution rewrites the file
/// of a manifest, which is missing for a moment.
fn for_all_tags() -> World {
    World::of(Kind::Inside)
}

/// The same for another tool's block; `None`, with a note, if that tool isn't installed.
fn ran_by(name: Name) -> Option<Outcome> {
    if name.1 == "docker" {
        return ran_by_docker(name, docker()?);
    }
    if !is_here(name.1) {
        missing_optional(name.1, "its commands in the guides are not run");
        return None;
    }
    Some(ran(name))
}

fn ran_by_docker(name: Name, docker: &Docker) -> Option<Outcome> {
    let world = World::new();
    let version = String::from_utf8(docker.output(&["version", "--format", "{{.Server.Version}}"])).unwrap();
    let major: u32 = version.split('.').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    if name.2 == "save" && major < 25 {
        missing_optional("Docker 25", "`docker save` as an OCI layout is not tested");
        return None;
    }
    // The client needs an option for a registry on loopback without TLS.
    let script = world.named(&super::block(&format!("docs/{}.md", name.0), name.1, name.2));
    let script = script.replace("docker manifest create", "docker manifest create --insecure");
    let run =
        world.run_script(&script.replace("docker manifest push", "docker manifest push --insecure"), Some(docker));
    world.clear(docker);
    Some(Outcome { world, run })
}

/// Asserts that both tools wrote the same bytes under these tags.
#[track_caller]
fn assert_same(ours: &Outcome, theirs: Option<&Outcome>, tags: &[&str]) {
    for tag in tags {
        let digest = ours.world.digest(tag);
        if let Some(theirs) = theirs {
            assert_eq!(theirs.world.digest(tag), digest, "{tag}");
        }
    }
}

#[test]
fn crane_copies_and_tags_in_four_commands() {
    let ours = ran(("from-crane", "imgstep", "release"));
    let theirs = ran_by(("from-crane", "crane", "release"));
    let tags = ["v1.2.3", "v1.2", "v1"].map(|tag| format!("registry.example/org/app:{tag}"));
    assert_same(&ours, theirs.as_ref(), &tags.each_ref().map(String::as_str));
    let digest = ours.world.digest("ghcr.io/org/app:main");
    assert_eq!(ours.world.digest("registry.example/org/app:v1"), digest);
    assert_eq!(ours.world.read("digest.txt").unwrap(), digest);
    if let Some(theirs) = theirs {
        assert_eq!(theirs.world.read("digest.txt").unwrap(), format!("{digest}\n"));
        assert_eq!(theirs.run.stdout, "");
    }
}

#[test]
fn all_tags_that_crane_lists_are_promoted() {
    if !is_here("crane") {
        return missing_optional("crane", "all tags of a repository are not copied");
    }
    let theirs = ran_in(for_all_tags(), ("from-crane", "crane", "all-tags"));
    let ours = ran_in(for_all_tags(), ("from-crane", "imgstep", "all-tags"));
    let tags = ["main", "main-amd64", "main-arm64", "amd64-only"].map(|tag| format!("registry.example/org/app:{tag}"));
    assert_same(&ours, Some(&theirs), &tags.each_ref().map(String::as_str));
}

#[test]
fn crane_appends_to_one_platform_and_imgstep_to_all() {
    let ours = ran(("from-crane", "imgstep", "append"));
    let web = "ghcr.io/org/web:v1";
    assert_eq!(ours.world.platforms(web), ["amd64", "arm64"]);
    assert_eq!(ours.world.config(web), json!({"Cmd": ["node", "/server.js"], "WorkingDir": "/srv"}));
    let Some(theirs) = ran_by(("from-crane", "crane", "append")) else { return };
    assert_eq!(theirs.world.platforms(web), [""; 0]);
    assert_eq!(theirs.world.config(web), ours.world.config(web));
    assert_eq!(theirs.world.top_files(web), ours.world.top_files(web));
}

#[test]
fn crane_and_imgstep_set_the_same_config() {
    let ours = ran(("from-crane", "imgstep", "mutate"));
    let changed = "ghcr.io/org/app:changed";
    let config = json!({
        "Entrypoint": ["/app", "--verbose"], "Env": ["PORT=8080"], "Labels": {"com.example.team": "core"}, "User": "65532",
    });
    assert_eq!(ours.world.config(changed), config);
    if let Some(theirs) = ran_by(("from-crane", "crane", "mutate")) {
        assert_eq!(theirs.world.config(changed), config);
    }
}

#[test]
fn indexes_of_other_tools_have_the_same_images() {
    let pages: [(Name, Name, &str); 2] = [
        (("from-crane", "imgstep", "join"), ("from-crane", "crane", "join"), "registry.example/org/app:v1"),
        (("from-docker", "imgstep", "manifest"), ("from-docker", "docker", "manifest"), "ghcr.io/org/app:v2"),
    ];
    for (own, other, tag) in pages {
        let ours = ran(own);
        let children = ours.world.children(tag);
        assert_eq!(children, ours.world.children("ghcr.io/org/app:main"), "{own:?}");
        let Some(theirs) = ran_by(other) else { continue };
        assert_eq!(theirs.world.children(tag), children, "{other:?}");
        assert_ne!(theirs.world.digest(tag), ours.world.digest(tag), "the page says that they differ: {other:?}");
    }
}

#[test]
fn skopeo_copies_to_the_same_digest() {
    let ours = ran(("from-skopeo", "imgstep", "copy"));
    let theirs = ran_by(("from-skopeo", "skopeo", "copy"));
    let tag = "registry.example/org/app:v1";
    assert_same(&ours, theirs.as_ref(), &[tag]);
    let digest = ours.world.digest(tag);
    assert_eq!(digest, ours.world.digest("ghcr.io/org/app:main"));
    for outcome in [Some(&ours), theirs.as_ref()].into_iter().flatten() {
        assert_eq!(outcome.world.read("digest.txt").unwrap(), digest);
    }
}

#[test]
fn skopeo_copies_one_platform_to_the_same_digest() {
    let ours = ran(("from-skopeo", "imgstep", "one-platform"));
    let theirs = ran_by(("from-skopeo", "skopeo", "one-platform"));
    let tag = "registry.example/org/app:v1-arm64";
    assert_same(&ours, theirs.as_ref(), &[tag]);
    assert_eq!(ours.world.digest(tag), ours.world.digest("ghcr.io/org/app:main-arm64"));
}

#[test]
fn skopeo_syncs_what_a_list_promotes() {
    let ours = ran_in(for_all_tags(), ("from-skopeo", "imgstep", "sync"));
    let theirs = ran_by(("from-skopeo", "skopeo", "sync"));
    assert_same(
        &ours,
        theirs.as_ref(),
        &["registry.example/mirror/app:main", "registry.example/mirror/app:main-arm64"],
    );
}

#[test]
fn all_tags_that_skopeo_lists_are_promoted() {
    for tool in ["skopeo", "jq"] {
        if !is_here(tool) {
            return missing_optional(tool, "a list of tags is not created");
        }
    }
    let ours = ran_in(for_all_tags(), ("from-skopeo", "imgstep", "list-tags"));
    for tag in ["main", "main-amd64", "v1-arm64"] {
        let digest = ours.world.digest(&format!("ghcr.io/org/app:{tag}"));
        assert_eq!(ours.world.digest(&format!("registry.example/mirror/app:{tag}")), digest);
    }
}

#[test]
fn an_archive_is_promoted_through_a_layout() {
    if !is_here("skopeo") {
        return missing_optional("skopeo", "no archive is built");
    }
    let world = World::new();
    let make = "skopeo copy docker://ghcr.io/org/app:main-amd64 docker-archive:image.tar:app:v1\n";
    world.run_script(&world.named(make), None);
    world.run(("from-skopeo", "imgstep", "archive"), None);
    let tag = "registry.example/org/app:v1";
    assert_eq!(world.config(tag), world.config("ghcr.io/org/app:main-amd64"));
    assert_eq!(world.top_files(tag), ["app"]);
}

#[test]
fn docker_moves_one_platform_and_imgstep_all() {
    let ours = ran(("from-docker", "imgstep", "retag"));
    let (main, tag) = ("ghcr.io/org/app:main", "registry.example/org/app:v1");
    assert_eq!(ours.world.digest(tag), ours.world.digest(main));
    let Some(theirs) = ran_by(("from-docker", "docker", "retag")) else { return };
    assert_ne!(theirs.world.digest(tag), theirs.world.digest(main));
    assert_eq!(theirs.world.platforms(tag), [""; 0]);
}

#[test]
fn docker_builds_what_imgstep_appends() {
    let ours = ran(("from-docker", "imgstep", "build"));
    let web = "registry.example/org/web:v1";
    assert_eq!(ours.world.platforms(web), ["amd64", "arm64"]);
    let config = json!({"Cmd": ["node", "server.js"], "Env": ["PORT=8080"], "WorkingDir": "/srv"});
    assert_eq!(ours.world.config(web), config);
    assert_eq!(ours.world.top_files(web), ["srv/server.js"]);
    let Some(theirs) = ran_by(("from-docker", "docker", "build")) else { return };
    assert_eq!(theirs.world.config(web), config);
}

#[test]
fn a_binary_for_each_platform() {
    let ours = ran(("from-docker", "imgstep", "program"));
    let app = "registry.example/org/app:v2";
    assert_eq!(ours.world.platforms(app), ["amd64", "arm64"]);
    assert_eq!(ours.world.config(app), json!({"Entrypoint": ["/app"]}));
    assert_eq!(ours.world.top_files(app), ["app"]);
}

#[test]
fn what_docker_saves_is_promoted() {
    let Some(theirs) = ran_by(("from-docker", "docker", "save")) else { return };
    assert_eq!(theirs.world.config("registry.example/org/app:saved")["WorkingDir"], "/srv");
}

/// A block that compiles the Go program of the examples.
fn compiled(name: Name) -> Outcome {
    let world = World::new();
    let copy = format!("cp -R {}/examples/go/. {}", env!("CARGO_MANIFEST_DIR"), world.work().display());
    world.run_script(&copy, None);
    // The user's cache, so that Go's library is not compiled each time.
    let cache = std::process::Command::new("go").args(["env", "GOCACHE"]).output().unwrap().stdout;
    let cache = format!("export GOCACHE={}\n", String::from_utf8(cache).unwrap().trim());
    let script = super::block(&format!("docs/{}.md", name.0), name.1, name.2);
    let run = world.run_script(&(cache + &world.named(&script)), None);
    Outcome { world, run }
}

#[test]
fn a_go_program_for_two_platforms() {
    if !is_here("go") {
        return missing("go", "the example for users of ko is not run");
    }
    let ours = compiled(("from-ko", "imgstep", "build"));
    let hello = "ghcr.io/org/hello:v1";
    assert_eq!(ours.run.stdout.lines().count(), 1, "{:?}", ours.run);
    assert_eq!(ours.world.platforms(hello), ["amd64", "arm64"]);
    assert_eq!(ours.world.config(hello), json!({"Entrypoint": ["/ko-app/hello"]}));
    assert_eq!(ours.world.top_files(hello), ["ko-app/hello"]);
    if !is_here("ko") {
        return missing_optional("ko", "its command in the guides is not run");
    }
    let theirs = compiled(("from-ko", "ko", "build"));
    assert_eq!(theirs.run.stdout.lines().count(), 1, "{:?}", theirs.run);
    assert_eq!(theirs.world.platforms(hello), ours.world.platforms(hello));
    assert_eq!(theirs.world.config(hello)["Entrypoint"], ours.world.config(hello)["Entrypoint"]);
    assert!(theirs.world.top_files(hello).contains(&"/ko-app/hello".to_owned()));
}

#[test]
fn a_java_program_as_jib_layers_it() {
    let world = World::new();
    // Maven would download its plugins: the test checks its arguments, and its inputs are here.
    world.stand_in(
        "mvn",
        "#!/bin/sh\n[ \"$*\" = '-q package dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=target/libs' ]\n\
         mkdir -p target/libs target/classes/com/example\n\
         echo jar >target/libs/dependency.jar; echo class >target/classes/com/example/Main.class\n",
    );
    world.run(("from-jib", "imgstep", "build"), None);
    let hello = "ghcr.io/org/hello:v1";
    assert_eq!(world.platforms(hello), ["amd64", "arm64"]);
    assert_eq!(world.top_files(hello), ["app/classes/com/example/Main.class"]);
    assert_eq!(world.config(hello)["Entrypoint"][3], "com.example.Main");
    let _: Name = ("from-jib", "jib", "build");
    missing_optional("Jib", "its command in the guides is not run: it downloads");
}

#[test]
fn what_imagetools_does() {
    let ours = ran(("from-buildx", "imgstep", "join"));
    let main = ours.world.children("ghcr.io/org/app:main");
    assert_eq!(ours.world.children("registry.example/org/app:v1"), main);

    let ours = ran(("from-buildx", "imgstep", "matrix"));
    assert_eq!(ours.world.children("ghcr.io/org/app:v1"), main);
    assert_eq!(ours.world.read("digest.txt").unwrap(), ours.world.digest("ghcr.io/org/app:main"));
    let annotations = &ours.world.manifest("ghcr.io/org/app:v1")["annotations"];
    assert_eq!(annotations["org.opencontainers.image.source"], "https://github.com/org/app");

    let ours = ran(("from-buildx", "imgstep", "add"));
    assert_eq!(ours.world.children("ghcr.io/org/app:amd64-only"), main);

    let ours = ran(("from-buildx", "imgstep", "copy"));
    let at = |tag: &str| ours.world.digest(&format!("registry.example/org/app:{tag}"));
    assert_eq!(at("v1"), ours.world.digest("ghcr.io/org/app:main"));
    assert_eq!(at("v1-amd64"), ours.world.digest("ghcr.io/org/app:main-amd64"));

    let _: [Name; 3] =
        [("from-buildx", "buildx", "join"), ("from-buildx", "buildx", "add"), ("from-buildx", "buildx", "copy")];
    missing_optional("docker buildx", "its commands in the guides are not run");
}
