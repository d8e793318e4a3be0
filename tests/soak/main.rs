//! The soak test: thousands of steps with seeded faults, kills and races, each judged by the registry's storage. `make
//! soak` runs it at length, `cargo test` for a minute; `tests/soak/README.md` explains its output.

// Reports go to stdout, like any program's.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
// Shares of a few hundred requests.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod cases;
mod expected;
mod faults;
mod judge;
mod plan;
mod run;
mod settings;
mod storage;
mod table;
mod world;

// The proxy, the registries and the images are those of `tests/steps`, which uses all of them.
#[allow(dead_code, unused_imports, clippy::too_many_lines)]
#[path = "../steps/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::judge::Verdict;
use crate::plan::Plan;
use crate::settings::Settings;
use crate::table::Table;
use crate::world::{Worker, World};

fn main() -> ExitCode {
    let settings = match Settings::read() {
        Ok(Some(settings)) => settings,
        // `cargo test` was called for another test.
        Ok(None) => return ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let world = World::make();
    let table = soak(&settings, &world, begun);
    let text = table.text(&settings, begun.elapsed());
    println!("{text}");
    table::write(&text);
    if table.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All runs, several at a time.
fn soak(settings: &Settings, world: &World, begun: Instant) -> Table {
    let next = AtomicU64::new(0);
    let table = Mutex::new(Table::default());
    thread::scope(|scope| {
        for _ in 0..settings.jobs {
            scope.spawn(|| {
                let worker = Worker::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= settings.runs || settings.limit.is_some_and(|limit| begun.elapsed() > limit) {
                        return;
                    }
                    let plan = Plan::of(settings.seed.wrapping_add(number), settings.rate, settings.kind);
                    let started = Instant::now();
                    let verdict = run::run(&plan, world, &worker);
                    tell(&plan, &verdict, settings);
                    let mut table = table.lock().unwrap();
                    table.add(&plan, &verdict, started.elapsed());
                    if table.runs() % 500 == 0 {
                        eprintln!("{} runs after {} s", table.runs(), begun.elapsed().as_secs());
                    }
                }
            });
        }
    });
    table.into_inner().unwrap()
}

/// What needs a person's attention is printed at once, and saved with everything that was observed.
fn tell(plan: &Plan, verdict: &Verdict, settings: &Settings) {
    let serious = verdict.outcome.is_wrong() || plan.must_succeed() && !verdict.outcome.is_right();
    if serious || settings.runs <= 3 {
        println!("seed {} ({plan}): {}: {}", plan.seed, verdict.outcome.name(), verdict.reason);
        println!("    {}", table::keep(plan, verdict).display());
    }
}
