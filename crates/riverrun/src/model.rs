//! `model check` and `model add`: what a model's file takes and gives, what a row costs on this machine, and how a
//! statement names it.

use crate::args::AddModelArgs;
use crate::clock::Stopwatch;
use crate::model_trial;
use crate::outcome::Outcome;
use crate::print;
use dataflow::{Result, Scorer, ScorerInput};
use model::{Model, ModelFile, Output};
use project::{NewModel, Project};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The rows that are scored at most to see what one costs, in one batch.
const ROWS_MAX: usize = 4096;
/// A model is slow enough to be measured with fewer rows where they take that long.
const ENOUGH: Duration = Duration::from_millis(100);

/// Tries a model out in a process of its own, loads it as CREATE MODEL would, and shows it.
pub fn check(file: &Path, json: bool) -> Outcome {
    let name = project::name_of(file);
    let read = ModelFile::read(&name, file);
    let read = project::with_near_path(read, Path::new("."), &file.display().to_string())?;
    model_trial::attempt(&read)?;
    let loaded = Model::from_file(read)?;
    let scorer = loaded.select_all()?;
    let cost = measure(&loaded, &scorer)?;
    if json {
        print::line(&format!("{:#}", as_json(&loaded, cost)))?;
    } else {
        print::data(&text(&loaded, &name, file, cost)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a row costs in batches of so many.
#[derive(Clone, Copy)]
struct Cost {
    nanoseconds: u64,
    rows: usize,
}

/// Scores ever larger batches, until one takes long enough to be measured.
fn measure(model: &Model, scorer: &impl Scorer) -> Result<Cost> {
    let mut rows = 1;
    loop {
        let batch = model.probe(rows);
        scorer.score(&batch)?;
        let watch = Stopwatch::start();
        scorer.score(&batch)?;
        let took = watch.elapsed();
        if took >= ENOUGH || rows == ROWS_MAX {
            let nanoseconds = u64::try_from(took.as_nanos() / rows as u128).unwrap_or(u64::MAX);
            return Ok(Cost { nanoseconds, rows });
        }
        rows = (rows * 8).min(ROWS_MAX);
    }
}

/// The name of an input, or its place where the file has none.
fn input_names(model: &Model) -> Vec<String> {
    let inputs = model.signature().inputs.iter().enumerate();
    inputs.map(|(at, input)| input.name.clone().unwrap_or_else(|| format!("input_{at}"))).collect()
}

fn as_json(model: &Model, cost: Cost) -> serde_json::Value {
    let names = input_names(model);
    let takes = model.signature().inputs.iter().map(ScorerInput::to_string);
    let input = |(name, takes): (&String, String)| serde_json::json!({ "name": name, "takes": takes });
    let inputs: Vec<serde_json::Value> = names.iter().zip(takes).map(input).collect();
    let outputs: Vec<String> = model.outputs().iter().map(|output| model.signature().name(output)).collect();
    let fields = model.signature().field_names();
    serde_json::json!({
        "version": model.version(),
        "inputs": inputs,
        "outputs": outputs,
        "fields": fields,
        "operators": model.operators(),
        "nanoseconds_per_row": cost.nanoseconds,
    })
}

fn text(model: &Model, name: &str, file: &Path, cost: Cost) -> Result<String> {
    let names = input_names(model);
    let inputs = names.iter().zip(&model.signature().inputs).map(|(name, input)| format!("  {name}: {input}\n"));
    // Where there are several, predict without OUTPUT gives all of them.
    let fields = model.signature().field_names();
    let output = |(output, field): (&Output, &String)| match fields.as_slice() {
        [_] => format!("  {output}\n"),
        _ => {
            let output = model.signature().name(output);
            format!("  {output}: predict({name}).{}\n", project::identifier(field))
        }
    };
    let outputs = model.outputs().iter().zip(&fields).map(output);
    Ok(format!(
        "version    {}\noperators  {}\na row      {} ns in batches of {}, on this machine\n\
         inputs\n{}outputs\n{}\n{}",
        model.version(),
        model.operators().join(", "),
        cost.nanoseconds,
        cost.rows,
        inputs.collect::<String>(),
        outputs.collect::<String>(),
        project::create_statement(model, name, &file.display().to_string(), &names)?
    ))
}

/// Makes a file a model of the project, and shows a SELECT that scores with it.
pub fn add(project: &Project, args: &AddModelArgs) -> Outcome {
    let AddModelArgs { file, name, inputs } = args.clone();
    let added = project.add_model(&NewModel { file, name, inputs })?;
    for file in &added.written {
        print::note(format_args!("wrote {file}"));
    }
    print::note(format_args!("pinned {} in riverrun.lock: {}\n", added.name, added.version));
    print::note(format_args!("{}", added.statement));
    match &added.query {
        Some(query) => {
            print::data(&format!("{query};\n"))?;
        }
        None => print::note(format_args!(
            "no stream and no view has all inputs of {0} as columns: {1}\n\
             select them in a view, then: SELECT *, predict({0}) AS score FROM that_view;",
            added.name,
            added.inputs.join(", ")
        )),
    }
    Ok(ExitCode::SUCCESS)
}
