//! README and the guides in `docs/`: their commands are extracted and run, and their options exist.
//!
//! A block to run has a name after its fence, starting with the tool: ```` ```sh crane copy ````.

mod from;
mod proxy;
mod readme;
mod world;

use std::path::Path;

use clap::{Command, CommandFactory as _};
use imgstep::cli::Cli;

const PAGES: [&str; 8] = [
    "README.md",
    "docs/from-buildx.md",
    "docs/from-crane.md",
    "docs/from-docker.md",
    "docs/from-jib.md",
    "docs/from-ko.md",
    "docs/from-skopeo.md",
    "docs/proxy.md",
];

fn read(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{page}: {error}"))
}

struct Block {
    /// `imgstep`, or the tool that the page compares it with.
    tool: String,
    name: String,
    script: String,
}

/// The named shell blocks of a page.
fn blocks(page: &str) -> Vec<Block> {
    let text = read(page);
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (tool, name) = match info.split(' ').collect::<Vec<_>>()[..] {
            ["sh", name] => ("imgstep", name),
            ["sh", tool, name] => (tool, name),
            _ => panic!("{page}: a block without a name: {line}"),
        };
        blocks.push(Block { tool: tool.to_owned(), name: name.to_owned(), script: inside.join("\n") + "\n" });
    }
    blocks
}

fn block(page: &str, tool: &str, name: &str) -> String {
    let found = blocks(page).into_iter().find(|block| block.tool == tool && block.name == name);
    found.unwrap_or_else(|| panic!("{page} has no block `{tool} {name}`")).script
}

/// The options of a step, or of any step if none is given.
fn options(step: Option<&str>) -> Vec<String> {
    let of = |command: &Command| -> Vec<String> {
        let steps = command.get_subcommands().flat_map(Command::get_arguments);
        steps.chain(command.get_arguments()).filter_map(|option| Some(format!("--{}", option.get_long()?))).collect()
    };
    let command = Cli::command();
    let everywhere = ["--help", "--version"].map(str::to_owned);
    let Some(name) = step else { return command.get_subcommands().flat_map(of).chain(everywhere).collect() };
    let found =
        command.get_subcommands().find(|one| one.get_name() == name || one.get_all_aliases().any(|two| two == name));
    let mut options = of(found.unwrap_or_else(|| panic!("there is no step `{name}`")));
    options.extend(everywhere);
    options
}

/// The options in an imgstep command that this step doesn't have.
fn unknown(command: &str) -> Vec<String> {
    let mut unknown = Vec::new();
    for invocation in command.split("imgstep ").skip(1) {
        // Up to the end of this command, whatever follows it on the line.
        let end = invocation.find(['|', ';', ')', '\n']).unwrap_or(invocation.len());
        let mut words = invocation[..end].split_whitespace();
        let Some(step) = words.next().filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase())) else {
            continue;
        };
        let known = options(Some(step));
        let words = words.take_while(|word| *word != "--");
        let name = |word: &str| word.split('=').next().unwrap_or(word).to_owned();
        unknown.extend(words.filter(|word| word.starts_with("--")).map(name).filter(|option| !known.contains(option)));
    }
    unknown
}

/// The inline code in a line of prose.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// README and all pages of `docs/`.
fn documents() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let pages = pages.map(|path| format!("docs/{}", path.file_name().unwrap().display()));
    pages.chain(["README.md", "SECURITY.md"].map(str::to_owned)).collect()
}

/// The options in a page that imgstep doesn't have.
fn wrong_options(page: &str) -> Vec<String> {
    let any = options(None);
    let mut wrong = Vec::new();
    let mut is_ours = true;
    let mut fenced = false;
    for line in read(page).replace("\\\n", " ").lines() {
        if let Some(info) = line.strip_prefix("```") {
            fenced = !fenced;
            // `sh crane copy` is another tool's.
            is_ours = info.split(' ').count() < 3 || info.starts_with("sh imgstep ");
            continue;
        }
        if fenced || line.starts_with("    ") {
            wrong.extend(unknown(line).into_iter().filter(|_| is_ours));
            continue;
        }
        wrong.extend(code(line).flat_map(unknown));
        // Other columns of a table have other tools' options.
        let own = match line.split('|').collect::<Vec<_>>()[..] {
            ["", _, own, _, ""] if page.contains("from-") => own,
            _ if line.starts_with('|') => "",
            _ => line,
        };
        let names = code(own).filter_map(|code| code.split([' ', '=']).next()).filter(|word| word.starts_with("--"));
        wrong.extend(
            names
                .filter(|name| !name.trim_matches('-').is_empty() && !any.iter().any(|known| known == name))
                .map(str::to_owned),
        );
    }
    wrong
}

#[test]
fn every_option_of_the_documents_exists() {
    let mut wrong = Vec::new();
    for page in documents() {
        wrong.extend(wrong_options(&page).into_iter().map(|option| format!("{page}: {option}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        unknown("imgstep promote a b --tag c | imgstep tag --tags"),
        ["--tag", "--tags"],
        "this test sees nothing"
    );
}

#[test]
fn every_block_of_the_guides_is_run() {
    let tests = ["from", "proxy", "readme"].map(|name| read(&format!("tests/steps/guides/{name}.rs"))).concat();
    for page in PAGES {
        let blocks = blocks(page);
        assert!(!blocks.is_empty(), "{page}");
        for Block { tool, name, .. } in blocks {
            let short = page.trim_start_matches("docs/").trim_end_matches(".md");
            assert!(
                tests.contains(&format!("(\"{short}\", \"{tool}\", \"{name}\")")),
                "nothing runs {page}, {tool} {name}"
            );
        }
    }
}
