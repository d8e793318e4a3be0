//! Windows bases as Microsoft publishes them: foreign layers, several versions of one platform, and their own file
//! layout.

use serde_json::{Value, json};

use super::{AMD64, append, blob, config, digest, listed, manifest, program};
use crate::support::images::{self, Content, Image, OCI_FOREIGN};
use crate::support::{Folder, Proxy, Registry, Style, assert_complete, imgstep, other_tool, pairs, registries};

const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
/// The two versions of the base.
const VERSIONS: [&str; 2] = ["10.0.17763.6189", "10.0.20348.2655"];

/// A base for two versions of Windows. Its lowest layers are foreign: requests for them go `elsewhere`.
fn base(style: Style, elsewhere: &Proxy) -> Image {
    let one = |number: usize| {
        let mut platform = json!({"architecture": "amd64", "os": "windows", "os.version": VERSIONS[number]});
        if number == 1 {
            platform["os.features"] = json!(["win32k"]);
        }
        (version(style, number, platform.clone(), elsewhere), json!({"platform": platform}))
    };
    images::index_of(style, vec![one(0), one(1)])
}

fn version(style: Style, number: usize, mut fields: Value, elsewhere: &Proxy) -> Image {
    let (foreign_type, own_type) = match style {
        Style::Oci => (OCI_FOREIGN, images::OCI_LAYER),
        Style::Docker => (DOCKER_FOREIGN, images::DOCKER_LAYER),
    };
    let foreign = Content::new(foreign_type, images::noise(number as u64, 600));
    // A layer that tools which inspect it accept.
    let packed = images::well_formed(images::platform("windows/amd64")).blobs[0].bytes.clone();
    let unpacked = images::sha256(&[0; 1024]);
    fields["rootfs"] = json!({"type": "layers", "diff_ids": [images::sha256(b"unpacked"), unpacked]});
    fields["history"] = json!([{"created_by": "Apply image"}, {"created_by": "Install update"}]);
    fields["config"] = json!({"Cmd": [r"c:\windows\system32\cmd.exe"], "User": "ContainerUser", "ArgsEscaped": true});
    let mut image = images::image_with(style, fields, vec![foreign.clone(), Content::new(own_type, packed)]);
    let mut manifest: Value = serde_json::from_slice(&image.root().bytes).unwrap();
    let url = format!("http://{}", elsewhere.at(&format!("v2/layers/blobs/{}", foreign.digest)));
    manifest["layers"][0]["urls"] = json!([url]);
    *image.manifests.last_mut().unwrap() = Content::json(&image.root().media_type.clone(), &manifest);
    image.blobs.retain(|blob| *blob != foreign);
    image.foreign.push(foreign);
    image
}

/// The header of a Windows program, with Microsoft's number for the machine type.
fn exe(machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    bytes[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
    bytes[0x98..0x9a].copy_from_slice(&0x20b_u16.to_le_bytes());
    bytes
}

const EXE_AMD64: u16 = 0x8664;
const EXE_ARM64: u16 = 0xaa64;

/// A folder with a program and its settings, and the arguments that add it to an image.
fn program_folder() -> (Folder, String) {
    let folder = Folder::new();
    folder.write("out/app.exe", exe(EXE_AMD64));
    folder.write("out/conf/app.json", "{}");
    let layer = format!("{}=/app,mode=0755", folder.join("out").display());
    (folder, layer)
}

/// The images of an index, with their configs.
fn children(registry: &Registry, repository: &str, tag: &str) -> Vec<(Value, Value)> {
    let index = manifest(registry, repository, tag);
    let digests = index["manifests"].as_array().unwrap().iter().map(|child| child["digest"].as_str().unwrap());
    let images = digests.map(|digest| manifest(registry, repository, digest));
    images.map(|image| (image.clone(), config(registry, repository, &image))).collect()
}

/// The names in a layer.
fn names(bytes: &[u8]) -> Vec<String> {
    listed(bytes).iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// Asserts that `image` has the base's layers unchanged, the foreign one with its URLs.
fn assert_inherits(image: &Value, base: &Image, number: usize) {
    let before: Value = serde_json::from_slice(&base.manifests[number].bytes).unwrap();
    for layer in 0..2 {
        assert_eq!(image["layers"][layer], before["layers"][layer]);
    }
    assert!(image["layers"][0]["urls"][0].as_str().unwrap().starts_with("http://"));
}

#[test]
fn a_program_goes_on_every_version_and_foreign_layers_stay_where_they_are() {
    let (_folder, layer) = program_folder();
    for style in [Style::Docker, Style::Oci] {
        for (source, destination) in pairs() {
            let elsewhere = Proxy::before(&source);
            let base = base(style, &elsewhere);
            base.push(&source, "windows", "ltsc");
            let run = append(&source.at("windows:ltsc"), &destination.at("app:v1"))
                .args(["--layer", &layer, "--workdir", r"C:\app", "--entrypoint", r#"["C:\\app\\app.exe","/v"]"#])
                .args(["--user", "ContainerAdministrator", "--volume", r"C:\data", "--env", r"Path=C:\app"])
                .run()
                .ended(0);
            assert_complete(&destination, "app", &digest(&run));
            assert!(elsewhere.log().is_empty(), "{:#?}", elsewhere.lines());
            let (before, after) = (manifest(&source, "windows", "ltsc"), manifest(&destination, "app", "v1"));
            assert_eq!(after["mediaType"], before["mediaType"]);
            for (number, (image, config)) in children(&destination, "app", "v1").into_iter().enumerate() {
                assert_eq!(after["manifests"][number]["platform"], before["manifests"][number]["platform"]);
                assert_eq!(image["mediaType"], base.manifests[number].media_type);
                assert_inherits(&image, &base, number);
                assert!(!destination.has_blob("app", &base.foreign[number].digest));
                assert_eq!(image["layers"].as_array().unwrap().len(), 3);
                assert_eq!(config["os.version"], VERSIONS[number]);
                assert_eq!(config["os.features"], before["manifests"][number]["platform"]["os.features"]);
                assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
                assert_eq!(config["history"].as_array().unwrap().len(), 3);
                assert_eq!(
                    config["config"],
                    json!({
                        "User": "ContainerAdministrator", "Entrypoint": [r"C:\app\app.exe", "/v"],
                        "Env": [r"Path=C:\app"], "Volumes": {r"C:\data": {}}, "WorkingDir": r"C:\app",
                    })
                );
                let layer = blob(&destination, "app", &image["layers"][2]["digest"]);
                let expected =
                    ["Files/", "Files/app/", "Files/app/app.exe", "Files/app/conf/", "Files/app/conf/app.json"];
                assert_eq!(names(&layer), [&expected[..], &["Hives/"]].concat());
            }
        }
    }
}

#[test]
fn a_cmd_with_several_arguments_is_not_shell_escaped() {
    let (_folder, layer) = program_folder();
    for registry in registries() {
        let elsewhere = Proxy::before(&registry);
        base(Style::Docker, &elsewhere).push(&registry, "windows", "ltsc");
        append(&registry.at("windows:ltsc"), &registry.at("app:v1"))
            .args(["--layer", &layer, "--cmd", r#"["C:\\app\\app.exe","a b"]"#])
            .run()
            .ended(0);
        let expected = json!({"Cmd": [r"C:\app\app.exe", "a b"], "User": "ContainerUser"});
        assert!(children(&registry, "app", "v1").iter().all(|(_, config)| config["config"] == expected));
    }
}

#[test]
fn every_layer_entry_has_windows_permissions() {
    let (folder, layer) = program_folder();
    let out = format!("oci:{}:v1", folder.join("image").display());
    append("scratch", &out)
        .args(["--layer", &layer, "--platform", "windows/amd64", "--compression", "none"])
        .run()
        .ended(0);
    let blobs = std::fs::read_dir(folder.join("image/blobs/sha256")).unwrap();
    let mut found = blobs.map(|blob| std::fs::read(blob.unwrap().path()).unwrap());
    let tar = found.find(|bytes| bytes.starts_with(b"PaxHeaders")).unwrap();
    let record = b"MSWINDOWS.rawsd=AQAAgBQAAAA";
    let records = tar.windows(record.len()).filter(|window| window == record).count();
    assert_eq!(records, names(&tar).len());
}

#[test]
fn a_version_can_be_given_by_a_prefix() {
    let folder = Folder::new();
    let path = |name: &str| folder.write(name, exe(EXE_AMD64)).display().to_string();
    let (old, new) = (path("old.exe"), path("new.exe"));
    for registry in registries() {
        let elsewhere = Proxy::before(&registry);
        base(Style::Docker, &elsewhere).push(&registry, "windows", "ltsc");
        let step = |tag: &str| append(&registry.at("windows:ltsc"), &registry.at(tag));
        let (on_old, on_new) = (
            format!("{old}=/app.exe,platform=windows/amd64:10.0.17763"),
            format!("{new}=/app.exe,platform=windows/amd64:10.0.20348"),
        );
        step("app:both")
            .args(["--layer", &on_old, &on_new, "--user", "[windows/amd64:10.0.20348]ContainerAdministrator"])
            .args(["--env", "[windows/amd64]A=both", "[windows/amd64:10.0.17763]A=old"])
            .run()
            .ended(0);
        let found = children(&registry, "app", "both");
        assert_eq!(
            found.iter().map(|(_, config)| config["os.version"].as_str().unwrap()).collect::<Vec<_>>(),
            VERSIONS
        );
        for ((_, config), (user, env)) in
            found.iter().zip([("ContainerUser", "A=old"), ("ContainerAdministrator", "A=both")])
        {
            assert_eq!(config["config"]["User"], user);
            assert_eq!(config["config"]["Env"], json!([env]));
            assert_eq!(config["history"].as_array().unwrap().len(), 3);
        }
        // A layer for one version restricts the result to that version, as with any platform.
        step("app:old").args(["--layer", &on_old]).run().ended(0);
        let index = manifest(&registry, "app", "old");
        assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
        assert_eq!(index["manifests"][0]["platform"]["os.version"], VERSIONS[0]);
        // One requested version gives a single image; the platform without a version means all of its versions.
        step("app:one").args(["--layer", &new, "--platform", "windows/amd64:10.0.20348"]).run().ended(0);
        let image = manifest(&registry, "app", "one");
        assert_eq!(config(&registry, "app", &image)["os.features"], json!(["win32k"]));
        step("app:all").args(["--layer", &new, "--platform", "windows/amd64"]).run().ended(0);
        assert_eq!(children(&registry, "app", "all").len(), 2);
        step("app:none")
            .args(["--layer", &format!("{old}=/app.exe,platform=windows/amd64:10.0.1776")])
            .run()
            .failed(3, &["has no image for windows/amd64:10.0.1776", VERSIONS[0], VERSIONS[1]]);
        assert!(elsewhere.log().is_empty(), "{:#?}", elsewhere.lines());
    }
}

#[test]
fn a_program_for_something_else_is_refused() {
    let folder = Folder::new();
    let linux = folder.write("app", program(AMD64, "x")).display().to_string();
    let arm = folder.write("app.exe", exe(EXE_ARM64)).display().to_string();
    for registry in registries() {
        let elsewhere = Proxy::before(&registry);
        base(Style::Docker, &elsewhere).push(&registry, "windows", "ltsc");
        let step = |layer: &str| append(&registry.at("windows:ltsc"), &registry.at("app:v1")).args(["--layer", layer]);
        step(&format!("{linux}=/app.exe,mode=0755"))
            .run()
            .failed(3, &[&linux, "is a linux/amd64 binary (ELF)", "the image is windows/amd64:10.0.17763.6189"]);
        step(&format!("{arm}=/app.exe,mode=0755"))
            .run()
            .failed(3, &[&arm, "is a windows/arm64 binary (PE)", "the image is windows/amd64"]);
        assert!(!registry.has_manifest("app", "v1"));
        step(&format!("{linux}=/app.exe,mode=0755")).args(["--allow-foreign-binaries"]).run().ended(0);
    }
}

#[test]
fn the_format_of_all_layers_changes_and_is_never_mixed() {
    let (_folder, layer) = program_folder();
    for registry in registries() {
        let elsewhere = Proxy::before(&registry);
        let base = base(Style::Docker, &elsewhere);
        base.push(&registry, "windows", "ltsc");
        let step = |from: &str, to: &str, format: &str| {
            append(&registry.at(from), &registry.at(to)).args(["--layer", &layer, "--format", format]).run().ended(0)
        };
        for (from, to, format, foreign, other) in [
            ("windows:ltsc", "app:oci", "oci", OCI_FOREIGN, "vnd.docker."),
            ("app:oci", "app:docker", "docker", DOCKER_FOREIGN, "vnd.oci."),
            ("windows:ltsc", "app:same", "docker", DOCKER_FOREIGN, "vnd.oci."),
        ] {
            let run = step(from, to, format);
            assert_complete(&registry, "app", &digest(&run));
            let tag = to.split_once(':').unwrap().1;
            let index = manifest(&registry, "app", tag);
            assert!(!index.to_string().contains(other), "{index}");
            for (number, (image, _)) in children(&registry, "app", tag).iter().enumerate() {
                assert!(!image.to_string().contains(other), "{image}");
                let before: Value = serde_json::from_slice(&base.manifests[number].bytes).unwrap();
                let mut expected = before["layers"][0].clone();
                expected["mediaType"] = json!(foreign);
                assert_eq!(image["layers"][0], expected);
                assert_eq!(index["manifests"][number]["platform"]["os.version"], VERSIONS[number]);
            }
        }
        assert!(elsewhere.log().is_empty(), "{:#?}", elsewhere.lines());
    }
}

#[test]
fn a_base_file_is_deleted_at_its_windows_path() {
    for registry in registries() {
        let elsewhere = Proxy::before(&registry);
        base(Style::Oci, &elsewhere).push(&registry, "windows", "ltsc");
        append(&registry.at("windows:ltsc"), &registry.at("app:v1"))
            .args(["--delete", "/app/old.exe", "/Windows/Temp/x"])
            .run()
            .ended(0);
        for (image, config) in children(&registry, "app", "v1") {
            let layer = blob(&registry, "app", &image["layers"][2]["digest"]);
            assert_eq!(names(&layer), ["Files/", "Files/Windows/Temp/.wh.x", "Files/app/.wh.old.exe", "Hives/"]);
            assert_eq!(config["history"][2]["created_by"], "imgstep append: delete /app/old.exe /Windows/Temp/x");
        }
    }
}

#[test]
fn one_folder_on_linux_and_windows_is_found_at_each_systems_path() {
    let folder = Folder::new();
    folder.write("site/index.html", "hello");
    let layer = format!("{}=/srv/site", folder.join("site").display());
    for registry in registries() {
        let elsewhere = Proxy::before(&registry);
        let linux = images::image_of(Style::Docker, "linux/amd64", images::layers(Style::Docker, 1, 1, 300));
        let fields = json!({"architecture": "amd64", "os": "windows", "os.version": VERSIONS[0]});
        let windows = version(Style::Docker, 0, fields.clone(), &elsewhere);
        let on = |platform: Value| json!({"platform": platform});
        images::index_of(Style::Docker, vec![(linux, on(images::platform("linux/amd64"))), (windows, on(fields))])
            .push(&registry, "base", "v1");
        append(&registry.at("base:v1"), &registry.at("app:v1"))
            .args(["--layer", &layer, "--workdir", "/srv/site", "--workdir", r"[windows/amd64]C:\srv\site"])
            .run()
            .ended(0);
        let found = children(&registry, "app", "v1");
        let in_layer = |image: &Value, layer: usize| names(&blob(&registry, "app", &image["layers"][layer]["digest"]));
        assert_eq!(in_layer(&found[0].0, 1), ["srv/", "srv/site/", "srv/site/index.html"]);
        assert_eq!(
            in_layer(&found[1].0, 2),
            ["Files/", "Files/srv/", "Files/srv/site/", "Files/srv/site/index.html", "Hives/"]
        );
        let workdirs: Vec<&str> =
            found.iter().map(|(_, config)| config["config"]["WorkingDir"].as_str().unwrap()).collect();
        assert_eq!(workdirs, ["/srv/site", r"C:\srv\site"]);
    }
}

#[test]
fn the_result_is_promoted_with_its_foreign_layers_by_reference_and_others_can_read_it() {
    let (folder, layer) = program_folder();
    for style in [Style::Docker, Style::Oci] {
        for (source, destination) in pairs() {
            let elsewhere = Proxy::before(&source);
            let base = base(style, &elsewhere);
            base.push(&source, "windows", "ltsc");
            let run = append(&source.at("windows:ltsc"), &source.at("app:v1")).args(["--layer", &layer]).run().ended(0);
            let promoted = imgstep(["promote", &source.at("app:v1"), &destination.at("app:v1")]).run().ended(0);
            assert_eq!(digest(&promoted), digest(&run));
            assert_eq!(destination.manifest_bytes("app", "v1"), source.manifest_bytes("app", "v1"));
            assert_complete(&destination, "app", &digest(&run));
            for (number, (image, _)) in children(&destination, "app", "v1").iter().enumerate() {
                assert_inherits(image, &base, number);
                assert!(!destination.has_blob("app", &base.foreign[number].digest));
            }
            read_by_others(&destination.at("app:v1"), &digest(&run));
            // Through a folder, too.
            let layout = format!("oci:{}:v1", folder.join(&destination.host.replace(':', "-")).display());
            append(&source.at("windows:ltsc"), &layout).args(["--layer", &layer]).run().ended(0);
            imgstep(["promote", &layout, &destination.at("again:v1")]).run().ended(0);
            assert_complete(&destination, "again", &digest(&run));
            assert!(elsewhere.log().is_empty(), "{:#?}", elsewhere.lines());
        }
    }
}

/// Asserts that other clients accept the image, and copy it without its foreign layers.
fn read_by_others(reference: &str, digest: &str) {
    let docker = format!("docker://{reference}");
    if let Some(raw) = other_tool(&["skopeo", "inspect", "--tls-verify=false", "--raw", &docker]) {
        assert_eq!(images::sha256(raw.as_bytes()), digest);
    }
    let windows = ["--override-os", "windows", "--override-arch", "amd64"];
    let inspect = ["inspect", "--tls-verify=false", "--no-tags", &docker];
    if let Some(text) = other_tool(&[&["skopeo"], &windows[..], &inspect].concat()) {
        let found: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found["Layers"].as_array().unwrap().len(), 3);
    }
    if let Some(config) = other_tool(&["crane", "config", "--insecure", "--platform", "windows/amd64", reference]) {
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["os.version"], VERSIONS[0]);
    }
    // Copying needs everything that isn't foreign. `crane validate` asks the registry for the foreign layers, too.
    let (host, _) = reference.split_once('/').unwrap();
    let copies = [format!("{host}/by-crane:v1"), format!("{host}/by-skopeo:v1")];
    let (to_crane, to_skopeo) = (&copies[0], format!("docker://{}", copies[1]));
    let insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let tries = [
        vec!["crane", "copy", "--insecure", reference, to_crane],
        [&["skopeo", "copy", "--all", "--preserve-digests"], &insecure[..], &[&docker, &to_skopeo]].concat(),
    ];
    for (words, copy) in tries.iter().zip(&copies) {
        if other_tool(words).is_some() {
            imgstep(["digest", copy]).run().printed(&[digest.to_owned()]);
        }
    }
}
