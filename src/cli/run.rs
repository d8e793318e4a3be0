//! From words to an exit status: parses, sets the step up, runs it under the signals that may end it, and tells.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::CommandFactory as _;

use super::args::list;
use super::common::{CommonArgs, ResultArgs, WriteArgs, paths};
use super::duration::Limit;
use super::failure::FailureReporter;
use super::github_action::{self, ActionCommand};
use super::parse::{Wrong, parse, wrong};
use super::promote_list;
use super::references::reference;
use super::registry::RegistryCommand;
use super::suggestions;
use super::{Cli, Step, completion, man};
use crate::credentials::{Credentials, Environment, Sources};
use crate::error::{Error, ErrorKind, ExitStatus, Result, Signal};
use crate::registry::client::{Client, Options};
use crate::registry::remedies::Hints;
use crate::registry::tls::Trust;
use crate::report::ci::{self, Ci};
use crate::report::console::{Console, Verbosity};
use crate::report::inspection::Inspection;
use crate::report::list_reporter::ListReporter;
use crate::report::outcome::Outcome;
use crate::report::progress::Progress;
use crate::report::reporter::Reporter;
use crate::report::results::{self, ResultFile};
use crate::report::stdout::{self, OutputFormat};
use crate::report::subject::StepVerb;
use crate::report::tekton;
use crate::report::values::Inputs;
use crate::steps::context::Context;
use crate::steps::promote_list::ListEntry;
use crate::steps::{append, bundle, digest, index, inspect, mutate, promote, tag};
use crate::transfer::manifest_limits::ManifestMemory;
use crate::transfer::options::LargeBlobSlots;

/// When a step ends, open uploads are cancelled for no longer than this.
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
    // Whoever runs a workflow again with GitHub's debug logging wants to see more, whatever the step says.
    let debug = system.and_then(|system| system.debug);
    let is_debugged = debug.is_some_and(|(name, expected)| std::env::var(name).is_ok_and(|value| value == expected));
    let verbosity = cli.step.common().map_or(Verbosity::Normal, |common| match (common.quiet, common.verbose) {
        _ if is_debugged => Verbosity::Verbose,
        (_, true) => Verbosity::Verbose,
        (true, false) => Verbosity::Quiet,
        (false, false) => Verbosity::Normal,
    });
    let choice = cli.step.results().map_or(ci::Choice::Auto, |results| results.ci);
    let ci = match Ci::new(choice, &variable) {
        Ok(ci) => ci,
        Err(error) => {
            let failing = FailureReporter::of_words(&words, &variable);
            return failed(&Console::new(verbosity, ci::log_style(system)), &failing, error);
        }
    };
    let console = Console::new(verbosity, ci::log_style(ci.system));
    if cli.step.common().is_some() {
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

/// The words of the step that the action's inputs ask for; none where they asked for what is done now.
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

impl Step {
    pub(super) fn common(&self) -> Option<&CommonArgs> {
        match self {
            Self::Promote(args) => Some(&args.common),
            Self::Append(args) => Some(&args.common),
            Self::Index(args) => Some(&args.common),
            Self::Mutate(args) => Some(&args.common),
            Self::Bundle(args) => Some(&args.common),
            Self::Tag(args) => Some(&args.common),
            Self::Digest(args) => Some(&args.common),
            Self::Inspect(args) => Some(&args.common),
            Self::Registry(_) | Self::Completion(_) | Self::Man(_) => None,
        }
    }

    /// The images of a step that takes a list of them.
    fn list(&self) -> Result<Option<Vec<ListEntry>>> {
        match self {
            Self::Promote(args) => promote_list::lines(args),
            _ => Ok(None),
        }
    }

    /// Where its results go, if it has some.
    fn results(&self) -> Option<&ResultArgs> {
        match self {
            Self::Promote(args) => Some(&args.results),
            Self::Append(args) => Some(&args.results),
            Self::Index(args) => Some(&args.results),
            Self::Mutate(args) => Some(&args.results),
            Self::Bundle(args) => Some(&args.results),
            Self::Tag(args) => Some(&args.results),
            Self::Digest(args) => Some(&args.results),
            Self::Inspect(_) | Self::Registry(_) | Self::Completion(_) | Self::Man(_) => None,
        }
    }

    fn writing(&self) -> Option<&WriteArgs> {
        match self {
            Self::Promote(args) => Some(&args.writing),
            Self::Append(args) => Some(&args.writing),
            Self::Index(args) => Some(&args.writing),
            Self::Mutate(args) => Some(&args.writing),
            Self::Bundle(args) => Some(&args.writing),
            Self::Tag(_)
            | Self::Digest(_)
            | Self::Inspect(_)
            | Self::Registry(_)
            | Self::Completion(_)
            | Self::Man(_) => None,
        }
    }

    fn result_files(&self) -> Result<Vec<ResultFile>> {
        match (self, self.results()) {
            (Self::Append(args), _) => args.result_files(),
            (Self::Promote(args), _) => args.result_files(),
            (Self::Index(args), Some(results)) => files_of(results, args.inputs()),
            (Self::Bundle(_), Some(results)) => files_of(results, Inputs::NONE),
            (_, Some(results)) => files_of(results, Inputs::SOURCE),
            (_, None) => Ok(Vec::new()),
        }
    }
}

fn files_of(results: &ResultArgs, inputs: Inputs) -> Result<Vec<ResultFile>> {
    results::parse(&list(&results.result), |value| value.is_given(inputs, false))
}

impl Step {
    fn verb(&self) -> StepVerb {
        let verb = |name, done| StepVerb { name, done, same: done };
        match self {
            Self::Promote(_) => verb("promote", "promoted"),
            Self::Append(_) => verb("append", "built"),
            Self::Index(_) => verb("index", "assembled"),
            Self::Mutate(_) => StepVerb { name: "mutate", done: "changed", same: "unchanged:" },
            Self::Bundle(_) => verb("bundle", "bundled"),
            Self::Tag(_) => verb("tag", "tagged"),
            Self::Digest(_) => verb("digest", "digest"),
            Self::Inspect(_) => verb("inspect", "inspect"),
            Self::Registry(_) | Self::Completion(_) | Self::Man(_) => verb("", ""),
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
            step => told(step, console, ci).await,
        }
    });
    // A blocking look-up of a name that never answers must not keep the process.
    runtime.shutdown_background();
    done
}

/// Runs a step that talks to registries, and tells what it did.
async fn told(step: &Step, console: &Console, ci: &Ci) -> Result<ExitCode> {
    let Some(common) = step.common() else { return Err(Error::bug("this step talks to no registry")) };
    let mut files = step.result_files()?;
    if step.results().is_some() {
        files.extend(ci.result_file());
        ci.preflight()?;
    }
    // Before signals are listened to: one that comes while standard input is waited for ends the process.
    let lines = step.list()?;
    let artifacts = step.writing().filter(|writing| writing.github_artifacts).map(|_| artifacts_file()).transpose()?;
    let context = context(common, console)?;
    let format = common.output.into();
    // What is wrong with the words is said before anything else is tried.
    let work = work(step, lines.as_deref(), &context, &files, format);
    let mut signals = Signals::new()?;
    let told = tokio::select! {
        biased;
        signal = signals.next() => Err(Error::from(ErrorKind::Interrupted(signal))),
        limit = over(common.timeout.as_ref()) => Err(Error::from(ErrorKind::TimedOut { limit })),
        told = work => told,
    };
    context.progress.finish();
    // Of a list, some images may have failed. Whoever signals twice wants no kindness to the registry.
    tokio::select! {
        () = context.client.cancel_open_uploads(CANCEL_LIMIT) => {}
        _ = signals.next() => {}
    }
    let reporter = Reporter { verb: step.verb(), results: &files, ci, format, console };
    match told? {
        StepOutput::Outcome(outcome) => {
            if let Some(file) = &artifacts {
                ci::github::append_artifacts(file, &outcome)?;
            }
            reporter.finish(&outcome)?;
        }
        StepOutput::Answer(outcome) => reporter.finish_query(&outcome)?,
        StepOutput::Inspection(inspection) => {
            let is_whole = matches!(step, Step::Inspect(args) if args.no_trunc);
            reporter.finish_inspection(&inspection, is_whole)?;
        }
        StepOutput::List(list) => {
            if let (Some(file), Some(outcomes)) = (&artifacts, list.done()) {
                outcomes.into_iter().try_for_each(|outcome| ci::github::append_artifacts(file, outcome))?;
            }
            let status = list.finish(context.client.requests(), context.seconds(), &reporter)?;
            return Ok(ExitCode::from(status));
        }
    }
    Ok(ExitCode::from(ExitStatus::Done as u8))
}

/// Where GitHub's runner takes declarations of artifacts from.
fn artifacts_file() -> Result<PathBuf> {
    std::env::var_os("GITHUB_ARTIFACTS").filter(|path| !path.is_empty()).map(PathBuf::from).ok_or_else(|| {
        Error::usage("--github-artifacts: GITHUB_ARTIFACTS is not set, this runner doesn't support it")
            .with_hint("leave out the option, and pass the outputs `name` and `digest` to the step that attests")
    })
}

/// What a step has to tell.
enum StepOutput {
    /// What it wrote.
    Outcome(Box<Outcome>),
    /// What it found out.
    Answer(Box<Outcome>),
    /// What an image is made of.
    Inspection(Box<Inspection>),
    /// What became of a list of images.
    List(Box<ListReporter>),
}

async fn work(
    step: &Step,
    lines: Option<&[ListEntry]>,
    context: &Context,
    files: &[ResultFile],
    format: OutputFormat,
) -> Result<StepOutput> {
    match step {
        Step::Promote(args) => {
            if let Some(lines) = lines {
                results::preflight(files)?;
                let teller = promote_list::promote(context, step.verb(), lines, args.writing.dry_run, format).await;
                return Ok(StepOutput::List(Box::new(teller)));
            }
            let request = args.request()?;
            results::preflight(files)?;
            promote::run(context, &request).await.map(|outcome| StepOutput::Outcome(Box::new(outcome)))
        }
        Step::Index(args) => {
            let request = args.request()?;
            results::preflight(files)?;
            index::run(context, &request).await.map(|outcome| StepOutput::Outcome(Box::new(outcome)))
        }
        Step::Mutate(args) => {
            let request = args.request()?;
            results::preflight(files)?;
            mutate::run(context, &request).await.map(|outcome| StepOutput::Outcome(Box::new(outcome)))
        }
        Step::Append(args) => {
            let request = args.request()?;
            results::preflight(files)?;
            append::run(context, &request).await.map(|outcome| StepOutput::Outcome(Box::new(outcome)))
        }
        Step::Bundle(args) => {
            let request = args.request()?;
            results::preflight(files)?;
            bundle::run(context, &request).await.map(|outcome| StepOutput::Outcome(Box::new(outcome)))
        }
        Step::Tag(args) => {
            let (image, tags) = args.request()?;
            results::preflight(files)?;
            tag::run(context, &image, &tags, args.if_exists.into())
                .await
                .map(|outcome| StepOutput::Outcome(Box::new(outcome)))
        }
        Step::Digest(args) => {
            let (image, platform) = args.request()?;
            results::preflight(files)?;
            digest::run(context, &image, platform.as_ref()).await.map(|outcome| StepOutput::Answer(Box::new(outcome)))
        }
        Step::Inspect(args) => {
            let image = reference("IMAGE", &args.image)?;
            inspect::run(context, &image).await.map(|inspection| StepOutput::Inspection(Box::new(inspection)))
        }
        Step::Registry(_) | Step::Completion(_) | Step::Man(_) => {
            Err(Error::bug("this step doesn't talk to registries"))
        }
    }
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
    // What is wrong with these is said now, not at the first host that speaks TLS.
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

/// Waits until the time of a step is over, for ever if it has no limit; the limit.
async fn over(limit: Option<&Limit>) -> String {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit.time).await;
            limit.text.clone()
        }
        None => std::future::pending().await,
    }
}

/// The signals that ask a step to end.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(Error::system("can't listen to signals"));
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

/// The signals that ask a step to end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        let _ = tokio::signal::ctrl_c().await;
        Signal::Interrupt
    }
}
