//! The command line. Data goes to stdout, everything else to stderr; errors exit 1, wrong usage 2.

mod anchors;
mod archive;
mod args;
mod ask;
mod attend;
mod bad_rows;
mod channel;
mod check;
mod clock;
mod color;
mod compaction;
mod engine_job;
mod init;
mod jobs;
mod listener;
mod mirrors;
mod model;
mod model_trial;
mod outcome;
mod plan;
mod print;
mod progress;
mod publish;
mod pubsub;
mod pulsar;
mod query;
mod rebuild;
mod report;
mod retention;
mod run;
mod savepoint;
mod show;
mod signals;
mod state_bound;
mod summary;
mod table;
mod table_args;
mod table_text;
mod test;
mod watermark;
mod why;
mod width;

use args::{Cli, Command, ModelCommand, PubsubCommand, PulsarCommand, ResumeArgs, RunArgs};
use clap::{CommandFactory, FromArgMatches};
use dataflow::Error;
use outcome::Outcome;
use project::{Failure, Project};
use std::process::ExitCode;
use std::sync::Arc;

/// The stack of the thread that plans statements, which may be as long as SQL allows. Only what is used of it is memory.
const STACK_BYTES: usize = 512 << 20;

fn main() -> ExitCode {
    let typed = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let read = Cli::command().color(args::color(typed)).get_matches();
    let cli = Cli::from_arg_matches(&read).unwrap_or_else(|wrong| wrong.exit());
    color::choose(cli.color);
    let run = move || match signals::survive_file_limit().map_err(Failure::Error).and_then(|()| command(&cli)) {
        Ok(code) => code,
        Err(failure) => {
            report::failure(&failure);
            ExitCode::from(1)
        }
    };
    match std::thread::Builder::new().name("main".to_owned()).stack_size(STACK_BYTES).spawn(run) {
        // A panic has said what it is about.
        Ok(main) => main.join().unwrap_or(ExitCode::from(101)),
        Err(error) => {
            let error = Error::unavailable("the thread of the command cannot be started").with_source(error);
            report::failure(&Failure::Error(error));
            ExitCode::from(1)
        }
    }
}

/// Opens the project that a command is for.
fn open(cli: &Cli) -> Result<Project, Failure> {
    let mut project = Project::open(&cli.project, &cli.env, Arc::new(clock::SystemClock))?;
    cli.person.iter().try_for_each(|person| project.write_as(person))?;
    project.try_models(model_trial::attempt);
    if let Some(warning) = project.settings_warning() {
        print::note(format_args!("warning: {warning}"));
    }
    Ok(project)
}

fn command(cli: &Cli) -> Outcome {
    let open = || open(cli);
    match &cli.command {
        Command::Init { folder } => init::init(folder),
        Command::Run(args) => run_beside(open()?, args),
        Command::Plan(args) => {
            let mut project = open()?;
            args.job.iter().for_each(|job| project.for_job(job));
            plan::plan(&project, args)
        }
        Command::Jobs { json } => jobs::jobs(&open()?, *json),
        Command::Savepoint(args) => savepoint::savepoint(&open()?, args),
        Command::Stop(args) => savepoint::stop(&open()?, args),
        Command::Resume(args) => resume_beside(open()?, args),
        Command::Query(args) => query::query(&open()?, args),
        Command::Check { json } => {
            let mut project = Project::open_to_check(&cli.project, &cli.env, Arc::new(clock::SystemClock))?;
            cli.person.iter().try_for_each(|person| project.write_as(person))?;
            project.try_models(model_trial::attempt);
            check::check(&project, *json)
        }
        Command::Explain { name, json, dot, sql } => {
            let form = match (json, dot, sql) {
                (true, ..) => check::Form::Json,
                (_, true, _) => check::Form::Dot,
                (.., true) => check::Form::Sql,
                _ => check::Form::Text,
            };
            explain(&open()?, name.as_deref(), form)
        }
        Command::Publish(args) => publish::publish(&open()?, args),
        Command::Tail { name, limit, from_start, until_caught_up, json } => {
            let project = open()?;
            let options = publish::TailOptions {
                limit: *limit,
                from_start: *from_start,
                until_caught_up: *until_caught_up,
                json: *json,
            };
            let tail = || publish::tail(&project, name, &options);
            if *until_caught_up { tail() } else { mirrors::beside(&project, Some(name), tail) }
        }
        Command::Why { id, json } => why::why(&open()?, id, *json),
        Command::Test { filter, json } => test::test(&open()?, filter.as_deref(), *json),
        Command::Table { command } => table::table(&open()?, command),
        Command::Model { command: ModelCommand::Check { file, json } } => model::check(file, *json),
        Command::Model { command: ModelCommand::Add(args) } => model::add(&open()?, args),
        Command::Model { command: ModelCommand::Try } => model_trial::child(),
        Command::Pulsar { command: PulsarCommand::Start { data } } => {
            pulsar::start(&cli.project, &cli.env, data.as_deref())
        }
        Command::Pulsar { command: PulsarCommand::Stop { data } } => pulsar::stop(&cli.project, data.as_deref()),
        Command::Pubsub { command: PubsubCommand::Start { data } } => pubsub::start(&cli.project, data.as_deref()),
        Command::Pubsub { command: PubsubCommand::Stop { data } } => pubsub::stop(&cli.project, data.as_deref()),
        Command::Pubsub { command: PubsubCommand::Mirror { name, partitions, until_idle } } => {
            pubsub::mirror(&open()?, name, *partitions, until_idle.map(|idle| idle.0))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "riverrun", &mut script);
            print::data(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs a job, with what goes on beside it.
fn run_beside(mut project: Project, args: &RunArgs) -> Outcome {
    args.job.iter().for_each(|job| project.for_job(job));
    let is_archive = args.job.as_deref() == Some("archive");
    // One that ends where the topics end now takes them as they are.
    let ends = args.until_caught_up || !args.to.is_empty();
    retention::beside(&project, args.apply && !is_archive, |built| {
        let run = || if is_archive { archive::archive(&project, args) } else { run::run(&project, args, built) };
        let beside = || if ends { run() } else { mirrors::beside(&project, None, run) };
        compaction::beside(&project, args.job.as_deref(), beside)
    })
}

/// Runs a job from a savepoint on, with what goes on beside it.
fn resume_beside(mut project: Project, args: &ResumeArgs) -> Outcome {
    savepoint::checked(&project, args.job.as_deref())?;
    args.job.iter().for_each(|job| project.for_job(job));
    retention::beside(&project, false, |built| {
        let run = || run::resume(&project, args, built);
        let beside = || if args.until_caught_up { run() } else { mirrors::beside(&project, None, run) };
        compaction::beside(&project, args.job.as_deref(), beside)
    })
}

/// Explains a view, or the watermarks of the jobs that run.
fn explain(project: &Project, name: Option<&str>, form: check::Form) -> Outcome {
    let view = || sql::Target::View("watermark".to_owned());
    match (name, form) {
        // A view of this name is explained as others are.
        (Some("watermark"), check::Form::Text | check::Form::Json) if project.check(&view()).is_err() => {
            watermark::explain(project, matches!(form, check::Form::Json))
        }
        (name, form) => check::explain(project, name, form),
    }
}
