//! Scripts for Slurm: an array of tasks for each group of stages, each task behind its shot's tasks before.
//!
//! `submit.sh` asks the farm which shots aren't done and submits these, so it can be called again after anything that went wrong.
//! A task that ends with "again" ([`Verdict::Again`]) puts itself back into the queue, which keeps its place in the chain.

use crate::{CACHE, Error, Farm, FarmTask, Resources, Result, Verdict};
use pipeline::work::write_atomically;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What the scripts say beside the farm's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlurmOptions {
    /// The program on the machines that run tasks.
    pub program: PathBuf,
    /// What tasks ask for.
    pub resources: Resources,
    /// How many tasks of an array run at once; all that find a place where it isn't given.
    pub at_once: Option<usize>,
    /// Further options for `sbatch`: for all tasks (no group), or those of a group.
    pub more: Vec<(Option<crate::Group>, String)>,
    /// Where the farm is in an object store; in a folder that all machines see, where it isn't given.
    pub store: Option<SlurmStore>,
}

/// A farm in an object store, as Slurm's scripts need it.
#[derive(Clone, Debug, PartialEq)]
pub struct SlurmStore {
    /// The farm's address.
    pub address: String,
    /// The folder for what the machine that submits needs of farms in object stores. Machines that run tasks have [`CACHE`], or what
    /// `ANICRAFTER_CACHE` says where the scripts are submitted.
    pub cache: PathBuf,
}

/// A folder that every machine has.
const LOGS: &str = "/var/tmp";
/// The most tasks of an array where a cluster says nothing else (`MaxArraySize` 1001).
const ARRAY: usize = 1000;

/// Writes the scripts into the farm's folder `slurm`; gives `submit.sh`'s path, and what the user should know.
///
/// # Errors
/// When a setting makes no sense, or a file can't be written.
pub fn export(farm: &Farm, options: &SlurmOptions) -> Result<(PathBuf, Vec<String>)> {
    options.resources.check()?;
    if options.at_once == Some(0) {
        let why = "must be at least 1".to_owned();
        return Err(Error::Option { option: "--at-once", why });
    }
    for (_, option) in &options.more {
        if !option.starts_with("--") || option.contains(['\n', '\r']) {
            let why = format!("{option:?} isn't a long option of sbatch, as in --sbatch=--partition=gpu");
            return Err(Error::Option { option: "--sbatch", why });
        }
    }
    let folder = farm.root().join("slurm");
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let chains = farm.chains();
    for (n, chain) in chains.iter().enumerate() {
        for task in &chain.tasks {
            let name = script_name(n, task);
            write_atomically(&folder.join(name), batch(farm, task, options).as_bytes())?;
        }
    }
    let submit = folder.join("submit.sh");
    write_atomically(&submit, submit_script(farm, options).as_bytes())?;
    let mut notes = Vec::new();
    if farm.shots.len() > ARRAY {
        notes.push(format!(
            "{} shots: Slurm's arrays end at {ARRAY} unless the cluster's MaxArraySize is larger (scontrol show config)",
            farm.shots.len()
        ));
    }
    let unknown: Vec<&str> = chains
        .iter()
        .flat_map(|chain| &chain.tasks)
        .filter(|t| t.needs.seconds.is_none() && !options.resources.hours_of.contains_key(&t.task.group))
        .map(|t| t.task.group.name())
        .collect();
    if !unknown.is_empty() {
        notes.push(format!(
            "the time of {} can't be reckoned before the stages in front of it have run: {} h are asked for (--hours GROUP=HOURS)",
            unknown.join(", "),
            options.resources.unknown_hours
        ));
    }
    Ok((submit, notes))
}

fn script_name(chain: usize, task: &FarmTask) -> String {
    format!("{}-{}.sbatch", chain + 1, task.task.group.name())
}

/// A word of a shell, whatever is in it.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// Where a task's log goes. Without a folder that all machines see it is one of the machine's own that is always there.
fn log(farm: &Farm, options: &SlurmOptions) -> String {
    let name = |path: &Path| path.display().to_string().replace('%', "%%");
    match &options.store {
        None => format!("{}/", name(&farm.logs())),
        Some(_) => {
            let farm = name(Path::new(farm.root().file_name().unwrap_or_default()));
            format!("{LOGS}/anicrafter-{farm}-")
        }
    }
}

/// A script that is whole by itself: Slurm brings it to the machine that runs it.
fn batch(farm: &Farm, task: &FarmTask, options: &SlurmOptions) -> String {
    let (ask, group) = (&options.resources, task.task.group);
    let minutes = ask.minutes(task);
    let mut lines = vec![
        format!("--job-name=anicrafter-{}", group.name()),
        "--requeue".to_owned(),
        "--open-mode=append".to_owned(),
        // The script's shell hears it, and passes it on.
        format!("--signal=B:TERM@{}", ask.notice_s(task)),
        format!("--cpus-per-task={}", ask.cores(task)),
        format!("--mem={}M", ask.memory_mib(task)),
        format!("--time={minutes}"),
        // In double quotes, as sbatch reads it; its own % stays.
        format!("--output=\"{}{}-%a.log\"", log(farm, options), group.name()),
    ];
    if options.store.is_some() {
        // The folder that it is submitted from is on one machine.
        lines.push(format!("--chdir={LOGS}"));
    }
    if ask.gpu(task) {
        lines.push("--gres=gpu:1".to_owned());
    }
    let own = options.more.iter().filter(|(of, _)| of.is_none_or(|of| of == group));
    lines.extend(own.map(|(_, option)| option.clone()));
    let mut text = String::from("#!/bin/bash\n");
    for line in lines {
        text += &format!("#SBATCH {line}\n");
    }
    text + &task_script(farm, task, options)
}

fn task_script(farm: &Farm, task: &FarmTask, options: &SlurmOptions) -> String {
    let (program, group) = (quoted_path(&options.program), task.task.group.name());
    let (again, restarts) = (Verdict::Again.code(), options.resources.restarts);
    let (farm, cache, own) = match &options.store {
        None => (quoted_path(farm.root()), String::new(), ""),
        Some(store) => {
            (quoted(&store.address), format!("cache=${{ANICRAFTER_CACHE:-{CACHE}}}\n"), " --cache \"$cache\"")
        }
    };
    format!(
        r#"# Runs {group} of the shot with the array's number.
# Exit codes: 0 done, {again} again, others never.
program={program}
farm={farm}
{cache}me="${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
"$program" --threads "${{SLURM_CPUS_PER_TASK:-1}}" --progress plain farm task "$farm"{own} \
    --shot "$SLURM_ARRAY_TASK_ID" --task {group} --scheduler "slurm $me" &
child=$!
# What Slurm asks of this script it asks of the task, which saves and ends.
trap 'kill -TERM "$child" 2>/dev/null' TERM INT
wait "$child"
code=$?
while [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
done
if [ "$code" -ne {again} ] && [ "$code" -le 128 ]; then
    exit "$code"
fi
# Stopped, or killed: once more, unless somebody has cancelled it.
state=$(squeue --noheader --jobs "$me" --format %T 2>/dev/null)
if [ "$state" = RUNNING ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {restarts} ]; then
    echo "ended with $code: back into the queue"
    scontrol requeue "$me" && sleep 60
fi
exit "$code"
"#
    )
}

fn submit_script(farm: &Farm, options: &SlurmOptions) -> String {
    let (scripts, program) = (farm.root().join("slurm"), quoted_path(&options.program));
    let (root, own) = match &options.store {
        None => (quoted_path(farm.root()), String::new()),
        Some(store) => (quoted(&store.address), format!(" --cache {}", quoted_path(&store.cache))),
    };
    let mut text = format!(
        "#!/bin/sh\n\
         # Submits what isn't done: all shots, or those that are named (names, or numbers from 0).\n\
         # It may be called again at any time.\n\
         set -eu\n\
         program={program}\n\
         farm={root}\n\
         scripts={}\n\
         submit() {{ sbatch --parsable \"$@\" | cut -d';' -f1; }}\n",
        quoted_path(&scripts)
    );
    let limit = options.at_once.map(|n| format!("%{n}")).unwrap_or_default();
    for (n, chain) in farm.chains().iter().enumerate() {
        let number = n + 1;
        // Writing to a string can't fail.
        let _ = writeln!(text, "\nshots=$(\"$program\" farm todo \"$farm\"{own} --chain {number} \"$@\")");
        let _ = writeln!(text, "if [ -n \"$shots\" ]; then");
        for task in &chain.tasks {
            let (group, script) = (task.task.group.name(), script_name(n, task));
            let after: Vec<String> =
                task.task.after.iter().map(|before| format!("aftercorr:$job_{}", before.name())).collect();
            let after = if after.is_empty() {
                String::new()
            } else {
                format!(" --dependency=\"{}\"", after.join(","))
            };
            let _ = writeln!(
                text,
                "    job_{group}=$(submit --array=\"$shots{limit}\"{after} \"$scripts\"/{script})\n    echo \"{group} $job_{group}\""
            );
        }
        let _ = writeln!(text, "fi");
    }
    text
}

/// Numbers as Slurm's arrays take them: `0-3,7`.
#[must_use]
pub fn array(shots: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for shot in shots {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *shot => *last = *shot,
            _ => runs.push((*shot, *shot)),
        }
    }
    let text = |(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_runs() {
        assert_eq!(array(&[0, 1, 2, 3, 7, 9, 10]), "0-3,7,9-10");
        assert_eq!((array(&[]), array(&[5])), (String::new(), "5".to_owned()));
    }

    #[test]
    fn shells_read_words_back() {
        let odd = "it's a \"$HOME\" `x` \\ path";
        let script = format!("printf %s {}", quoted(odd));
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), odd);
    }
}
