//! The documents of this repository: every link to a file or a heading leads somewhere.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::imgstep;

#[allow(dead_code)]
#[path = "../../docs/steps/generate.rs"]
mod generate;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, except what is built or downloaded here.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink() || ["target", "node_modules", "dist", "vendor", ".git"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

/// The prose lines of a page: without code blocks and inline code.
fn prose(text: &str) -> impl Iterator<Item = String> {
    let mut fenced = false;
    text.lines().filter_map(move |line| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        let is_code = fenced || line.starts_with("    ");
        (!is_code).then(|| line.split('`').step_by(2).collect::<Vec<_>>().join("`"))
    })
}

/// The targets of a line's links.
fn links(line: &str) -> Vec<String> {
    let ends = line.match_indices("](").map(|(position, mark)| &line[position + mark.len()..]);
    ends.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The anchors that GitHub makes of a page's headings.
fn anchors(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut fenced = false;
    let mut anchors = Vec::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) else { continue };
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        let slug: String = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect();
        let number = seen.entry(slug.clone()).or_default();
        anchors.push(if *number == 0 { slug } else { format!("{slug}-{number}") });
        *number += 1;
    }
    anchors
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in prose(&text).flat_map(|line| links(&line)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let leads = file.exists() && (anchor.is_empty() || anchors(&file).iter().any(|own| own == anchor));
            if !leads {
                wrong.push(format!("{}: {target}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a path in `ARCHITECTURE.md` is that of a file: from the root, from `src`, or with the folders of its section left
/// out.
fn is_source(path: &str) -> bool {
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let found = entry.unwrap().path();
            if found.ends_with(path) {
                return true;
            }
            if found.is_dir() {
                folders.push(found);
            }
        }
    }
    root().join(path).exists()
}

#[test]
fn every_file_that_the_architecture_names_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let is_path = |name: &&str| name.starts_with("src/") || Path::new(name).extension().is_some_and(|end| end == "rs");
    let names: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_path).collect();
    assert!(names.len() > 20, "{names:?}");
    let wrong: Vec<&&str> = names.iter().filter(|name| !is_source(name)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_readme_links_to_the_tekton_tasks() {
    let text = fs::read_to_string(root().join("docs/ci/README.md")).unwrap();
    assert!(text.contains("Tekton has [Tasks](../../tasks/README.md)"), "{text}");
}

#[test]
fn the_page_of_every_step_is_what_the_command_line_defines() {
    let folder = root().join("docs/steps");
    let pages = generate::pages();
    for (name, text) in &pages {
        let known = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(known == *text, "docs/steps/{name} is out of date; run `make pages`");
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "generate.rs" || pages.contains_key(&name), "docs/steps/{name} is the page of no step");
    }
}

#[test]
fn the_results_of_every_page_are_those_of_the_step() {
    for (step, arguments) in [
        ("promote", &["localhost:1/a", "localhost:1/b"][..]),
        ("append", &["localhost:1/a", "--to", "localhost:1/b", "--delete", "/x"]),
        ("index", &["--from", "localhost:1/a", "--to", "localhost:1/b"]),
        ("mutate", &["localhost:1/a", "--to", "localhost:1/b"]),
        ("bundle", &["no-such-file", "--to", "localhost:1/b"]),
        ("tag", &["localhost:1/a", "b"]),
        ("digest", &["localhost:1/a"]),
    ] {
        for (key, _, lacking) in generate::RESULTS {
            let run = imgstep([step]).args(arguments).args(["--retries=0", &format!("--result={key}=/dev/null")]).run();
            assert_eq!(run.status == 2, lacking.contains(&step), "{step} {key}: {}", run.stderr);
        }
    }
}
