//! A job template of Open Job Description (AWS Deadline Cloud and others): a step for each group of stages, a task for each shot.
//!
//! A step waits for whole steps: the description has no dependencies between single tasks. Shots with other stages have steps of
//! their own. It is written as JSON, which the specification `jobtemplate-2023-09` allows beside YAML.

use crate::{CACHE, Chain, Error, Farm, FarmTask, Resources, Result};
use pipeline::work::write_atomically;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The template's file. Its folder is the farm: a path's default is relative to its template, and can't lead out of its folder.
const FILE: &str = "openjd.json";
/// The most values of a task's parameter that the specification allows.
const MOST_SHOTS: usize = 1024;
/// The longest notice before a task is ended that the specification allows, in seconds.
const LONGEST_NOTICE_S: u64 = 600;

/// Writes the template into the farm's folder; gives its path. `address` is where the farm is in an object store, whose tasks have a
/// folder of their machine's own.
///
/// # Errors
/// When a setting makes no sense, or the file can't be written.
pub fn export(farm: &Farm, program: &Path, resources: &Resources, address: Option<&str>) -> Result<PathBuf> {
    resources.check()?;
    let path = farm.root().join(FILE);
    if let Some(chain) = farm.chains().iter().find(|chain| chain.shots.len() > MOST_SHOTS) {
        let why = format!(
            "{} shots are more than a step may have tasks ({MOST_SHOTS}): make farms of parts of them",
            chain.shots.len()
        );
        return Err(Error::Option { option: "--for openjd", why });
    }
    let text = serde_json::to_vec_pretty(&template(farm, program, resources, address))
        .map_err(|error| Error::Damaged { path: path.clone(), why: error.to_string() })?;
    write_atomically(&path, &text)?;
    Ok(path)
}

fn template(farm: &Farm, program: &Path, resources: &Resources, address: Option<&str>) -> Value {
    let name = farm.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let chains = farm.chains();
    let steps: Vec<Value> = chains
        .iter()
        .enumerate()
        .flat_map(|(n, chain)| {
            let suffix = if chains.len() == 1 { String::new() } else { format!("-{}", n + 1) };
            chain
                .tasks
                .iter()
                .map(move |task| step(farm, chain, task, &suffix, (resources, address.is_some())))
                .collect::<Vec<_>>()
        })
        .collect();
    let mut parameters = match address {
        None => vec![json!({
            "name": "Farm",
            "type": "PATH",
            "objectType": "DIRECTORY",
            "dataFlow": "INOUT",
            "default": ".",
            "description": "The farm's folder, on a file system that all machines see under this name.",
        })],
        Some(address) => vec![
            json!({
                "name": "Farm",
                "type": "STRING",
                "default": address,
                "description": "The farm's address in an object store.",
            }),
            json!({
                "name": "Cache",
                "type": "STRING",
                "default": CACHE,
                "description": "A folder of each machine's own for what it needs of the farm.",
            }),
        ],
    };
    parameters.push(json!({
        "name": "Program",
        "type": "STRING",
        "default": program,
        "description": "The command anicrafter on the machines that run tasks.",
    }));
    json!({
        "specificationVersion": "jobtemplate-2023-09",
        "name": format!("anicrafter {name}").chars().take(128).collect::<String>(),
        "parameterDefinitions": parameters,
        "steps": steps,
    })
}

fn step(
    farm: &Farm,
    chain: &Chain,
    task: &FarmTask,
    suffix: &str,
    (resources, has_cache): (&Resources, bool),
) -> Value {
    let named = |group: crate::Group| format!("{}{suffix}", group.name());
    let shots: Vec<&str> = chain.shots.iter().map(|shot| &*farm.shots[*shot].name).collect();
    let mut amounts = vec![
        json!({"name": "amount.worker.vcpu", "min": resources.cores(task)}),
        json!({"name": "amount.worker.memory", "min": resources.memory_mib(task)}),
    ];
    if resources.gpu(task) {
        amounts.push(json!({"name": "amount.worker.gpu", "min": 1}));
    }
    let mut args: Vec<Value> = [
        "--threads",
        &resources.cores(task).to_string(),
        "--progress",
        "plain",
        "farm",
        "task",
        "{{Param.Farm}}",
        "--shot",
        "{{Task.Param.Shot}}",
        "--task",
        task.task.group.name(),
        "--scheduler",
        "openjd",
    ]
    .map(Value::from)
    .into();
    if has_cache {
        args.extend(["--cache", "{{Param.Cache}}"].map(Value::from));
    }
    let mut step = json!({
        "name": named(task.task.group),
        "parameterSpace": {
            "taskParameterDefinitions": [{"name": "Shot", "type": "STRING", "range": shots}],
        },
        "hostRequirements": {"amounts": amounts},
        "script": {
            "actions": {
                "onRun": {
                    "command": "{{Param.Program}}",
                    "args": args,
                    "timeout": 60 * resources.minutes(task),
                    "cancelation": {
                        "mode": "NOTIFY_THEN_TERMINATE",
                        "notifyPeriodInSeconds": resources.notice_s(task).clamp(1, LONGEST_NOTICE_S),
                    },
                },
            },
        },
    });
    if !task.task.after.is_empty() {
        let after: Vec<Value> =
            task.task.after.iter().map(|group| json!({"dependsOn": named(*group)})).collect();
        step["dependencies"] = after.into();
    }
    step
}
