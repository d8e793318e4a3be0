//! The storage folder: restarts, kills, damage, and folders that don't belong to the registry.

use std::fs;
use std::io::Write as _;

use imgstep::image::digest::Digest;

use crate::client::{Folder, IMAGE, Server, image, serve};

#[test]
fn a_restart_serves_everything_again() {
    let folder = Folder::new();
    let words = ["--storage", folder.text()];
    let server = Server::start(&words);
    let (digest, json) = server.push_image("a/b", "v1", "layer");
    let more = format!(
        r#""subject":{{"mediaType":"{IMAGE}","digest":"{digest}","size":{}}},"annotations":{{"a":"b"}},"#,
        json.len()
    );
    let config = Digest::of(b"{}");
    let referrer = image(&config, &config, 2, &more);
    server.put_manifest("a/b", "referrer", IMAGE, &referrer).expect(201);
    server.push_image("a", "other", "layer");
    let paths = [
        "/v2/a/b/tags/list".to_owned(),
        "/v2/a/tags/list".to_owned(),
        "/v2/a/b/manifests/v1".to_owned(),
        format!("/v2/a/b/manifests/{digest}"),
        format!("/v2/a/b/referrers/{digest}"),
        format!("/v2/a/b/blobs/{}", Digest::of(b"layer")),
    ];
    let all = |server: &Server| {
        let read = |path: &String| {
            let reply = server.get(path).expect(200);
            (reply.text(), reply.header("content-type").to_owned(), reply.header("docker-content-digest").to_owned())
        };
        paths.iter().map(read).collect::<Vec<_>>()
    };
    let before = all(&server);
    assert!(before[4].0.contains(Digest::of(referrer.as_bytes()).as_str()));
    // Killed, not asked to stop.
    drop(server);
    let server = Server::start(&words);
    assert_eq!(all(&server), before);
    assert_eq!(server.first_line.lines().count(), 1, "{}", server.first_line);
    // What was deleted stays deleted; what other repositories hold stays.
    server.send("DELETE", &format!("/v2/a/b/manifests/{digest}"), &[], b"").expect(202);
    server.send("DELETE", "/v2/a/b/manifests/referrer", &[], b"").expect(202);
    drop(server);
    let server = Server::start(&words);
    server.get("/v2/a/b/manifests/v1").refused(404, "MANIFEST_UNKNOWN");
    assert_eq!(server.get("/v2/a/b/tags/list").expect(200).json()["tags"], serde_json::json!([]));
    server.get("/v2/a/manifests/other").expect(200);
}

#[test]
fn content_is_removed_with_its_last_reference() {
    let folder = Folder::new();
    let server = Server::start(&["--storage", folder.text()]);
    let digest = server.push_blob("a", b"content");
    server.send("POST", &format!("/v2/b/blobs/uploads/?mount={digest}&from=a"), &[], b"").expect(201);
    let content = format!("blobs/sha256/{}", digest.hex());
    assert_eq!(folder.files("blobs"), [content.as_str()], "once for both");
    server.send("DELETE", &format!("/v2/a/blobs/{digest}"), &[], b"").expect(202);
    assert_eq!(folder.files("blobs"), [content.as_str()]);
    server.send("DELETE", &format!("/v2/b/blobs/{digest}"), &[], b"").expect(202);
    assert!(folder.files("blobs").is_empty());
    server.push_blob("a", b"content");
    assert_eq!(folder.files("blobs"), [content.as_str()]);
}

#[test]
fn a_kill_during_an_upload_leaves_nothing_behind() {
    let folder = Folder::new();
    let words = ["--storage", folder.text()];
    let server = Server::start(&words);
    server.push_image("app", "v1", "layer");
    let before = folder.files(".");
    let upload = server.begin("app");
    let mut stream = server.connect();
    write!(stream, "PATCH {upload} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n").unwrap();
    stream.write_all(&vec![1; 4_000_000]).unwrap();
    // Killed too early, it would have left nothing behind.
    for _ in 0..4000 {
        if !folder.files("uploads").is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(server);
    assert_ne!(folder.files("."), before, "nothing of the upload was written");
    let server = Server::start(&words);
    assert_eq!(folder.files("."), before);
    server.get(&upload).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.get("/v2/app/manifests/v1").expect(200);
}

#[test]
fn damaged_content_is_skipped_and_can_be_repaired() {
    let folder = Folder::new();
    let words = ["--storage", folder.text()];
    let server = Server::start(&words);
    let layer = Digest::of(b"layer");
    let (digest, json) = server.push_image("app", "v1", "layer");
    server.push_image("app", "v2", "another layer");
    drop(server);
    let blob = |digest: &Digest| folder.path().join("blobs/sha256").join(digest.hex());
    fs::write(blob(&layer), "").unwrap();
    fs::remove_file(blob(&digest)).unwrap();
    fs::write(folder.path().join("repositories/app/_tags/v3"), "nonsense").unwrap();
    fs::write(folder.path().join("repositories/app/_tags/..v4"), format!("{digest}\n")).unwrap();
    fs::write(folder.path().join("repositories/app/_blobs/sha256/nonsense"), "1\n").unwrap();
    let server = Server::start(&words);
    // A layer, a manifest, the tag that pointed to it, and three files that were never ours.
    assert!(server.first_line.starts_with("imgstep: 6 damaged entries"), "{}", server.first_line);
    server.get("/v2/app/manifests/v1").refused(404, "MANIFEST_UNKNOWN");
    server.get(&format!("/v2/app/blobs/{layer}")).refused(404, "BLOB_UNKNOWN");
    server.get("/v2/app/manifests/v2").expect(200);
    // Uploaded again, it is complete again.
    server.push_image("app", "v1", "layer");
    assert_eq!(server.get("/v2/app/manifests/v1").expect(200).text(), json);
    assert_eq!(server.get(&format!("/v2/app/blobs/{layer}")).expect(200).text(), "layer");
}

#[test]
fn a_foreign_folder_is_not_touched() {
    let fails = |folder: &Folder, message: &str, more: &[&str]| {
        let output =
            serve(&[&["--address", "127.0.0.1:0", "--storage", folder.text()], more].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(message), "{stderr}");
    };
    let folder = Folder::new();
    fs::create_dir_all(folder.path()).unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    fails(&folder, "did not write", &[]);
    assert_eq!(folder.files("."), ["notes.txt"]);
    let folder = Folder::new();
    fails(&folder, "imgstep-registry", &["--read-only"]);
    let server = Server::start(&["--storage", folder.text()]);
    fails(&folder, "served by another process", &[]);
    drop(server);
    fs::write(folder.path().join("imgstep-registry"), "version 9\n").unwrap();
    fails(&folder, "not the storage of this version", &[]);
}

#[test]
fn a_folder_with_links_is_not_served_and_their_targets_are_not_touched() {
    let refused = |link: &str, change: &dyn Fn(&Folder)| {
        let (folder, victim) = (Folder::new(), Folder::new());
        fs::create_dir_all(victim.path()).unwrap();
        fs::write(victim.path().join("precious"), "mine").unwrap();
        let server = Server::start(&["--storage", folder.text()]);
        server.push_image("app", "v1", "layer");
        drop(server);
        change(&folder);
        let path = folder.path().join(link);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            let _ = fs::remove_file(&path);
        }
        let target = if link.ends_with("precious") { victim.path().join("precious") } else { victim.path().to_owned() };
        std::os::unix::fs::symlink(target, &path).unwrap();
        for more in [&[][..], &["--read-only"]] {
            let words = [&["--address", "127.0.0.1:0", "--storage", folder.text()], more].concat();
            let output = serve(&words).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{link}: {stderr}");
            assert!(stderr.contains(&format!("{} is a link", path.display())), "{link}: {stderr}");
        }
        assert_eq!(fs::read_to_string(victim.path().join("precious")).unwrap(), "mine", "{link}");
        assert_eq!(victim.files("."), ["precious"], "{link}");
    };
    let layer = Digest::of(b"layer");
    let entry = format!("repositories/app/_blobs/sha256/{}", layer.hex());
    let content = format!("blobs/sha256/{}", layer.hex());
    for link in [
        "uploads",
        "blobs",
        "blobs/sha256",
        "repositories",
        "repositories/app",
        "repositories/other",
        "repositories/app/_tags",
        "repositories/app/_blobs/sha256",
        "repositories/app/_tags/v1",
        "imgstep-registry",
        &entry,
        &content,
    ] {
        refused(link, &|_| {});
    }
}
