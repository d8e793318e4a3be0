//! The programs of `examples/`: really built, packed into images by their scripts, and run in Docker.

use serde_json::{Value, json};

use super::{accepted_by_others, blob, config, digest, listed, manifest};
use crate::support::docker::{Docker, docker};
use crate::support::examples::{base, can_build, examples, make};
use crate::support::registry::Registry;
use crate::support::{assert_complete, imgstep, kinds};

/// An architecture's names: Go's, the kernel's, Node's, Java's.
const NAMES: [&str; 4] = if cfg!(target_arch = "x86_64") {
    ["amd64", "x86_64", "x64", "amd64"]
} else {
    ["arm64", "aarch64", "arm64", "aarch64"]
};

/// What is expected of an example.
struct Example {
    /// The folder's name.
    name: &'static str,
    base: &'static str,
    built_with: &'static [&'static str],
    prints: String,
    entrypoint: Value,
    /// The working directory.
    folder: &'static str,
    /// The files in it, without third-party content.
    files: &'static [&'static str],
    /// What each layer above the base contains: files below this path, and nothing else.
    layers: &'static [&'static str],
}

#[test]
fn a_go_program_runs_in_docker() {
    tell(&Example {
        name: "go",
        base: "static",
        built_with: &["go"],
        prints: format!("program: Go on linux/{}\nuser: 65532\nfolder: /srv/hello\n{SHIPPED}", NAMES[0]),
        entrypoint: json!(["/usr/local/bin/hello"]),
        folder: "/srv/hello",
        files: &["hello/", "hello/greeting.txt"],
        layers: &["srv/hello/greeting.txt", "usr/local/bin/hello"],
    });
}

#[test]
fn a_rust_program_runs_in_docker() {
    tell(&Example {
        name: "rust",
        base: "static",
        built_with: &["cargo", "x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc"],
        prints: format!("program: Rust on linux/{}\nuser: 65532\nfolder: /srv/hello\n{SHIPPED}", NAMES[1]),
        entrypoint: json!(["/usr/local/bin/hello"]),
        folder: "/srv/hello",
        files: &["hello/", "hello/greeting.txt"],
        layers: &["srv/hello/greeting.txt", "usr/local/bin/hello"],
    });
}

#[test]
fn a_node_program_runs_in_docker() {
    tell(&Example {
        name: "node",
        base: "node",
        built_with: &["npm"],
        prints: format!("program: Node on linux/{}\nuser: 65532\nfolder: /srv/hello\n{SHIPPED}\n{MS}", NAMES[2]),
        entrypoint: json!(["node", "main.mjs"]),
        folder: "/srv/hello",
        files: &["hello/", "hello/greeting.txt", "hello/main.mjs"],
        layers: &["srv/hello/node_modules/ms/", "srv/hello/"],
    });
}

#[test]
fn a_deno_program_runs_in_docker() {
    tell(&Example {
        name: "deno",
        base: "deno",
        built_with: &["deno", "npm"],
        prints: format!("program: Deno on linux/{}\nuser: 65532\nfolder: /srv/hello\n{SHIPPED}\n{MS}", NAMES[1]),
        entrypoint: json!(["deno", "run", "--cached-only", "--allow-read=.", "--allow-sys=uid", "main.ts"]),
        folder: "/srv/hello",
        files: &["hello/", "hello/deno.json", "hello/deno.lock", "hello/greeting.txt", "hello/main.ts"],
        layers: &["srv/hello/node_modules/", "srv/hello/"],
    });
}

#[test]
fn a_python_program_runs_in_docker() {
    let humanize = "dependency: humanize makes 7.2 MB of 7200000";
    tell(&Example {
        name: "python",
        base: "python",
        built_with: &["python3"],
        prints: format!(
            "program: Python on linux/{}\nuser: 65532\nfolder: /srv/hello\n{SHIPPED}\n{humanize}",
            NAMES[1]
        ),
        entrypoint: json!(["python3", "main.py"]),
        folder: "/srv/hello",
        files: &["hello/", "hello/greeting.txt", "hello/main.py"],
        layers: &["srv/packages/humanize", "srv/hello/"],
    });
}

#[test]
fn a_java_program_runs_in_docker() {
    let durations = "dependency: durations makes 2 hours of 7200000";
    tell(&Example {
        name: "java",
        base: "java",
        built_with: &["javac", "jar"],
        prints: format!("program: Java on linux/{}\nuser: 65532\nfolder: /app\n{SHIPPED}\n{durations}", NAMES[3]),
        entrypoint: json!(["java", "-cp", "/app/resources:/app/classes:/app/libs/*", "hello.Main"]),
        folder: "/app",
        files: &[
            "app/",
            "app/classes/",
            "app/classes/hello/",
            "app/classes/hello/Main.class",
            "app/libs/",
            "app/libs/durations.jar",
            "app/resources/",
            "app/resources/greeting.txt",
        ],
        layers: &["app/libs/durations.jar", "app/resources/greeting.txt", "app/classes/hello/Main.class"],
    });
}

const SHIPPED: &str = "file: Shipped with the program.";
const MS: &str = "dependency: ms makes 2 hours of 7200000";

/// The expectations for each example.
fn tell(example: &Example) {
    if !can_build(example.name, example.built_with) {
        return;
    }
    let Some(base) = base(example.base) else { return };
    let registry = Registry::start(kinds()[0]);
    imgstep(["promote", &base, &registry.at("base:v1")]).run().ended(0);
    let step = || make(example.name, &registry.at("base:v1"), &registry.at("hello:v1"));

    let first = step();
    assert_complete(&registry, "hello", &digest(&first));
    accepted_by_others(&registry, "hello:v1");
    // Built once more, in another folder.
    let again = step();
    assert_eq!(digest(&again), digest(&first));
    assert!(again.stderr.contains("no blobs to send"), "{}", again.stderr);

    let images = children(&registry, "hello");
    let platforms =
        |images: &[(String, Value)]| images.iter().map(|(_, platform)| platform.clone()).collect::<Vec<_>>();
    assert_eq!(platforms(&images), platforms(&children(&registry, "base")));
    if std::fs::read_to_string("/etc/os-release").is_ok_and(|text| text.contains("\nID=debian")) {
        assert_eq!(images.len(), 2, "Debian has packages for both");
    }
    let docker = docker();
    for (reference, platform) in &images {
        let architecture = platform["architecture"].as_str().unwrap();
        assert_layers(&registry, reference, example);
        if let Some(docker) = docker {
            let reference = format!("{}@{reference}", registry.at("hello"));
            assert_in_docker(docker, &reference, architecture, example);
        }
    }
    if let Some(docker) = docker {
        let reference = registry.at("hello:v1");
        let platform = format!("linux/{}", NAMES[0]);
        // By its tag, as a user would: the engine selects its own platform from the index.
        docker.with_image(&reference, &platform, || assert_eq!(docker.run(&reference), example.prints));
    }
}

/// The images of an index with their platforms; a single image if a base could be built for one platform only.
fn children(registry: &Registry, repository: &str) -> Vec<(String, Value)> {
    let root = registry.manifest(repository, "v1");
    let digest = root.header("docker-content-digest").unwrap().to_owned();
    let root: Value = serde_json::from_slice(&root.body).unwrap();
    let Some(children) = root["manifests"].as_array() else {
        let config = config(registry, repository, &root);
        return vec![(digest, json!({"os": config["os"], "architecture": config["architecture"]}))];
    };
    children.iter().map(|child| (child["digest"].as_str().unwrap().to_owned(), child["platform"].clone())).collect()
}

/// Each layer above the base's has its own part of the files.
fn assert_layers(registry: &Registry, reference: &str, example: &Example) {
    let image = manifest(registry, "hello", reference);
    let layers = image["layers"].as_array().unwrap();
    for (layer, below) in layers[layers.len() - example.layers.len()..].iter().zip(example.layers) {
        let listed = listed(&blob(registry, "hello", &layer["digest"]));
        let mut names = listed.iter().filter(|line| !line.starts_with('d')).map(|line| name(line)).peekable();
        assert!(names.peek().is_some(), "{below}: nothing in it");
        for name in names {
            assert!(name.starts_with(below), "{name} is not below {below}");
            assert_eq!(name.contains("/node_modules/"), below.contains("/node_modules/"), "{name}");
        }
    }
    let found = config(registry, "hello", &image);
    assert_eq!(found["rootfs"]["diff_ids"].as_array().unwrap().len(), layers.len());
    assert_eq!(found["created"], "1970-01-01T00:00:00Z");
}

/// The image config as the engine reports it, for one platform.
fn assert_in_docker(docker: &Docker, reference: &str, architecture: &str, example: &Example) {
    let platform = format!("linux/{architecture}");
    docker.with_image(reference, &platform, || {
        let image = docker.inspect(reference);
        assert_eq!((&image["Os"], &image["Architecture"]), (&json!("linux"), &json!(architecture)));
        let config = &image["Config"];
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["WorkingDir"], example.folder);
        assert_eq!(config["Entrypoint"], example.entrypoint);
        // The base's settings are kept.
        assert!(config["Env"].to_string().contains("\"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt\""), "{config}");
        let found = listed(&docker.tar(reference, &platform, example.folder));
        for line in &found {
            let usual = ["drwxr-xr-x 0/0 ", "-rw-r--r-- 0/0 ", "lrwxrwxrwx 0/0 "];
            assert!(usual.iter().any(|start| line.starts_with(start)), "{line}");
            assert!(line.contains(" 1970-01-01 00:00 "), "{line}");
        }
        let own: Vec<&str> =
            found.iter().map(|line| name(line)).filter(|name| !name.contains("node_modules")).collect();
        assert_eq!(own, example.files);
        if let Some(program) = example.entrypoint[0].as_str().filter(|program| program.starts_with('/')) {
            let tar = docker.tar(reference, &platform, program);
            assert!(listed(&tar)[0].starts_with("-rwxr-xr-x 0/0 "));
            // The file starts after its entry's header. In ELF, the machine type is at byte 18.
            let machine = if architecture == "amd64" { super::AMD64 } else { super::ARM64 };
            assert_eq!((&tar[512..516], tar[512 + 18]), (b"\x7fELF".as_slice(), machine));
        }
    });
}

/// The name in a line of GNU tar's listing.
fn name(line: &str) -> &str {
    let line = line.split(" -> ").next().unwrap();
    line.rsplit(' ').next().unwrap()
}

#[test]
fn readmes_match_the_scripts() {
    for example in ["go", "rust", "node", "deno", "python", "java"] {
        let read = |name: &str| std::fs::read_to_string(examples().join(example).join(name)).unwrap();
        let (readme, script) = (read("README.md"), read("image.sh"));
        let (_, commands) = script.split_once("\n# ----\n").unwrap();
        for line in commands.lines() {
            let shown = format!("    {line}");
            assert!(readme.lines().any(|other| other == shown.trim_end()), "{example}/README.md lacks:\n{line}");
        }
    }
}
