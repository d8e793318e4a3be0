//! From arguments to an exit status: the one place that knows all parts. It builds client, credentials and console, runs a
//! step under the signals that may end it, and reports.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::CommandFactory as _;

use crate::cli::common::{CommonArgs, paths};
use crate::cli::duration::Limit;
use crate::cli::failure::FailureReporter;
use crate::cli::github_action::{self, ActionCommand};
use crate::cli::parse::{Wrong, parse, wrong};
use crate::cli::registry::RegistryCommand;
use crate::cli::step::StepOutput;
use crate::cli::{Cli, Step, completion, man, suggestions};
use crate::credentials::{Credentials, Environment, Sources};
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::registry::client::{Client, Options};
use crate::registry::remedies::Hints;
use crate::registry::tls::Trust;
use crate::report::ci::{self, Ci};
use crate::report::console::{Console, Verbosity};
use crate::report::outcome::Outcome;
use crate::report::progress::Progress;
use crate::report::reporter::Reporter;
use crate::report::results;
use crate::report::stdout;
use crate::report::tekton;
use crate::signals::Signals;
use crate::steps::context::Context;
use crate::transfer::manifest_limits::ManifestMemory;
use crate::transfer::options::LargeBlobSlots;

/// Maximum time for cancelling open uploads when a step ends.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

/// Runs the program with the arguments of its command line.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let variable = |name: &str| std::env::var_os(name);
    let system = ci::detect(&variable);
    let console = Console::new(Verbosity::Normal, ci::log_style(system));
    let words: Vec<OsString> = words.into_iter().collect();
    let is_action = github_action::is_action_invocation(&words);
    let step = if is_action { of_github_action(&console) } else { Ok(Some(words.clone())) };
    let words = match step {
        Ok(Some(words)) => words,
        Ok(None) => return ExitCode::from(ExitStatus::Done as u8),
        Err(error) => return failed(&console, &FailureReporter::of_words(&words, &variable), error),
    };
    let cli = match parse(words.clone()) {
        Ok(cli) => cli,
        Err(Wrong::Clap(error)) => return wrong(&console, &FailureReporter::of_words(&words, &variable), &error),
        Err(Wrong::Words(error)) => return failed(&console, &FailureReporter::of_words(&words, &variable), error),
    };
    // A workflow that is rerun with debug logging should print more, whatever the step's options are.
    let debug = system.and_then(|system| system.debug);
    let is_debugged = debug.is_some_and(|(name, expected)| std::env::var(name).is_ok_and(|value| value == expected));
    let options = cli.step.options();
    let verbosity =
        options.as_ref().map_or(Verbosity::Normal, |options| match (options.common.quiet, options.common.verbose) {
            _ if is_debugged => Verbosity::Verbose,
            (_, true) => Verbosity::Verbose,
            (true, false) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
        });
    let choice = options.as_ref().and_then(|options| options.results).map_or(ci::Choice::Auto, |results| results.ci);
    let ci = match Ci::new(choice, &variable) {
        Ok(ci) => ci,
        Err(error) => {
            let failing = FailureReporter::of_words(&words, &variable);
            return failed(&Console::new(verbosity, ci::log_style(system)), &failing, error);
        }
    };
    let console = Console::new(verbosity, ci::log_style(ci.system));
    if options.is_some() {
        let names = std::env::vars_os().filter(|(_, value)| !value.is_empty());
        let names = names.filter_map(|(name, _)| name.into_string().ok());
        for warning in suggestions::strange_variables(&Cli::command(), names) {
            console.warn(&warning);
        }
    }
    match run(&cli, &console, &ci) {
        Ok(code) => code,
        Err(error) => failed(&console, &FailureReporter::of_step(&cli.step, &ci), error),
    }
}

fn failed(console: &Console, failing: &FailureReporter, error: Error) -> ExitCode {
    failing.tell(console, &tekton::hinted(error))
}

/// The arguments of the step that the action's inputs request; `None` if the request was done right away.
fn of_github_action(console: &Console) -> Result<Option<Vec<OsString>>> {
    match github_action::asked(&Cli::command(), &|variable| std::env::var(variable).ok())? {
        ActionCommand::Step(words) => Ok(Some(words.into_iter().map(OsString::from).collect())),
        ActionCommand::Setup => {
            let program = std::env::current_exe().map_err(Error::system("the program's own path can't be found"))?;
            let github_path = std::env::var_os("GITHUB_PATH").filter(|path| !path.is_empty());
            github_action::set_up(&program, github_path.as_deref().map(Path::new))?;
            console.note(concat!("imgstep ", env!("CARGO_PKG_VERSION"), " is on the PATH of the steps that follow"));
            Ok(None)
        }
    }
}

fn run(cli: &Cli, console: &Console, ci: &Ci) -> Result<ExitCode> {
    let text = match &cli.step {
        Step::Completion(args) => Some(completion::script(args.shell)),
        Step::Man(args) => Some(man::page(&args.step)?),
        _ => None,
    };
    if let Some(text) = text {
        stdout::print(&text)?;
        return Ok(ExitCode::from(ExitStatus::Done as u8));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("the runtime can't be set up"))?;
    let done = runtime.block_on(async {
        match &cli.step {
            Step::Registry(RegistryCommand::Serve(args)) => {
                crate::serve::run(args.options(), &args.command).await.map(ExitCode::from)
            }
            step => execute(step, console, ci).await,
        }
    });
    // A DNS lookup that never returns must not keep the process alive.
    runtime.shutdown_background();
    done
}

/// Runs a step that talks to registries, and reports what it did.
async fn execute(step: &Step, console: &Console, ci: &Ci) -> Result<ExitCode> {
    let Some(options) = step.options() else { return Err(Error::bug("this command doesn't talk to registries")) };
    // Errors in the arguments are reported before anything else is tried. Standard input may be read here: a signal
    // before the handlers are installed ends the process.
    let mut files = step.result_files()?;
    if options.results.is_some() {
        files.extend(ci.result_file());
        ci.preflight()?;
    }
    let request = step.request()?;
    let artifacts = options.writes.filter(|writes| writes.github_artifacts).map(|_| artifacts_file()).transpose()?;
    let context = context(options.common, console)?;
    results::preflight(&files)?;
    let mut signals = Signals::listen()?;
    let output = tokio::select! {
        biased;
        signal = signals.next() => Err(Error::from(ErrorKind::Interrupted(signal))),
        limit = over(options.common.timeout.as_ref()) => Err(Error::from(ErrorKind::TimedOut { limit })),
        output = request.run(&context) => output,
    };
    context.progress.finish();
    // Some images of a list may have failed. A second signal ends the cancelling.
    tokio::select! {
        () = context.client.cancel_open_uploads(CANCEL_LIMIT) => {}
        _ = signals.next() => {}
    }
    let format = options.common.output.into();
    let reporter = Reporter { verb: options.verb, results: &files, ci, format, console };
    let declare = |outcome: &Outcome| match &artifacts {
        Some(file) => ci::github::append_artifacts(file, outcome),
        None => Ok(()),
    };
    match output? {
        StepOutput::Outcome(outcome) => {
            declare(&outcome)?;
            reporter.finish(&outcome)?;
        }
        StepOutput::Query(outcome) => reporter.finish_query(&outcome)?,
        StepOutput::Inspection(inspection, is_whole) => reporter.finish_inspection(&inspection, is_whole)?,
        StepOutput::List(list) => {
            list.done().unwrap_or_default().into_iter().try_for_each(declare)?;
            let status = list.finish(context.client.requests(), context.seconds(), &reporter)?;
            return Ok(ExitCode::from(status));
        }
    }
    Ok(ExitCode::from(ExitStatus::Done as u8))
}

/// The file in which GitHub's runner expects declarations of artifacts.
fn artifacts_file() -> Result<PathBuf> {
    std::env::var_os("GITHUB_ARTIFACTS").filter(|path| !path.is_empty()).map(PathBuf::from).ok_or_else(|| {
        Error::usage("--github-artifacts: GITHUB_ARTIFACTS is not set, this runner doesn't support it")
            .with_hint("leave out the option, and pass the outputs `name` and `digest` to the step that attests")
    })
}

fn context(common: &CommonArgs, console: &Console) -> Result<Context> {
    let trace = (console.verbosity() == Verbosity::Verbose).then(|| {
        let console = console.clone();
        Arc::new(move |line: &str| console.request(line)) as crate::registry::client::Trace
    });
    let warn = {
        let console = console.clone();
        Some(Arc::new(move |text: &str| console.warn(text)) as crate::registry::client::Trace)
    };
    let notice = {
        let console = console.clone();
        Some(Arc::new(move |text: &str| console.note(text)) as crate::registry::client::Trace)
    };
    let trust = Trust { directories: paths(&common.ca_dir), files: paths(&common.ca_file) };
    // Errors in these are reported now, not at the first TLS host.
    trust.check()?;
    let client = Client::new(Options {
        jobs: usize::from(common.jobs),
        retries: common.retries,
        trust,
        insecure_registries: common.insecure_registries(),
        manifest_limit: common.max_manifest_size,
        trace,
        warn,
        notice,
        hints: if tekton::is_here() { Hints::Tekton } else { Hints::Shell },
    });
    let general = paths(&common.auth_dir);
    let of_source = paths(&common.source_auth_dir);
    let load = |auth_dirs: Vec<std::path::PathBuf>| {
        Credentials::load(&Sources { auth_dirs, environment: Environment::from_process() })
    };
    let credentials = load(general.clone())?;
    let source_credentials =
        if of_source.is_empty() { credentials.clone() } else { load([of_source, general].concat())? };
    Ok(Context {
        client,
        source_credentials,
        credentials,
        console: console.clone(),
        progress: Progress::new(console.clone()),
        started: Instant::now(),
        large_blobs: LargeBlobSlots::of_step(usize::from(common.jobs)),
        manifest_memory: ManifestMemory::default(),
    })
}

/// Waits until the time limit of a step, forever if there is none; returns the limit.
async fn over(limit: Option<&Limit>) -> String {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit.time).await;
            limit.text.clone()
        }
        None => std::future::pending().await,
    }
}
