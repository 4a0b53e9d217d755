//! `model check` and `model add`: what a model's file takes and gives, what a row costs on this machine, and how a
//! statement names it.

use crate::args::AddModelArgs;
use crate::clock::Stopwatch;
use crate::outcome::Outcome;
use crate::print;
use dataflow::{Result, Scorer, ScorerInput};
use model::{Model, Output};
use project::{NewModel, Project};
use std::path::Path;
use std::process::ExitCode;

/// The rows that are scored to see what one costs, in batches.
const ROWS: usize = 4096;

/// Loads a model as CREATE MODEL would, and shows it.
pub fn check(file: &Path, json: bool) -> Outcome {
    let name = project::name_of(file);
    let loaded = Model::load(&name, file)?;
    let scorer = loaded.select_all()?;
    let rows = loaded.probe(ROWS);
    scorer.score(&rows)?;
    let watch = Stopwatch::start();
    scorer.score(&rows)?;
    let nanoseconds = watch.elapsed().as_nanos() / ROWS as u128;
    if json {
        print::line(&format!("{:#}", as_json(&loaded, nanoseconds)))?;
    } else {
        print::data(&text(&loaded, &name, file, nanoseconds)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of an input, or its place where the file has none.
fn input_names(model: &Model) -> Vec<String> {
    let inputs = model.signature().inputs.iter().enumerate();
    inputs.map(|(at, input)| input.name.clone().unwrap_or_else(|| format!("input_{at}"))).collect()
}

fn as_json(model: &Model, nanoseconds: u128) -> serde_json::Value {
    let names = input_names(model);
    let takes = model.signature().inputs.iter().map(ScorerInput::to_string);
    let input = |(name, takes): (&String, String)| serde_json::json!({ "name": name, "takes": takes });
    let inputs: Vec<serde_json::Value> = names.iter().zip(takes).map(input).collect();
    let outputs: Vec<String> = model.outputs().iter().map(Output::to_string).collect();
    let fields = model.signature().field_names();
    serde_json::json!({
        "version": model.version(),
        "inputs": inputs,
        "outputs": outputs,
        "fields": fields,
        "operators": model.operators(),
        "nanoseconds_per_row": u64::try_from(nanoseconds).unwrap_or(u64::MAX),
    })
}

fn text(model: &Model, name: &str, file: &Path, nanoseconds: u128) -> Result<String> {
    let names = input_names(model);
    let inputs = names.iter().zip(&model.signature().inputs).map(|(name, input)| format!("  {name}: {input}\n"));
    // Where there are several, predict without OUTPUT gives all of them.
    let fields = model.signature().field_names();
    let output = |(output, field): (&Output, &String)| match fields.as_slice() {
        [_] => format!("  {output}\n"),
        _ => format!("  {output}: predict({name}).{}\n", project::identifier(field)),
    };
    let outputs = model.outputs().iter().zip(&fields).map(output);
    Ok(format!(
        "version    {}\noperators  {}\na row      {nanoseconds} ns in batches of {ROWS}, on this machine\n\
         inputs\n{}outputs\n{}\n{}",
        model.version(),
        model.operators().join(", "),
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
