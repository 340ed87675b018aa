//! A farm of tiny shots on this machine: killed, stopped, run twice, and always the bytes of single runs.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "the tests share more than this one takes")]
mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::{scene, text};

fn anicrafter(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anicrafter"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Output {
    anicrafter(args).output().unwrap()
}

fn succeeds(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn fails(args: &[&str]) -> String {
    let output = run(args);
    assert!(!output.status.success(), "{args:?} should fail");
    text(&output.stderr)
}

/// A base job over the demo scene, tiny, and a table of shots over it.
fn jobs(folder: &Path, rows: &str) -> (PathBuf, PathBuf) {
    let (base, table) = (folder.join("base.toml"), folder.join("shots.csv"));
    let path = |name: &str| toml_text(&scene().join(name));
    let job = format!(
        "[input]\nactors = [{{ avatar = {}, motion = {} }}]\nbackground = {}\ncharacter = {}\nend = 7\n\
         [video]\nwidth = 80\nheight = 48\nwindow = 5\noverlap = 1\n[sampling]\nsteps = 3\n",
        path("avatar.safetensors"),
        path("motion.json"),
        path("background.mp4"),
        path("character.png")
    );
    std::fs::write(&base, job).unwrap();
    std::fs::write(&table, rows).unwrap();
    (base, table)
}

fn toml_text(path: &Path) -> String {
    format!("{:?}", path.canonicalize().unwrap().to_str().unwrap())
}

fn export(folder: &Path, rows: &str, scheduler: &str, more: &[&str]) -> PathBuf {
    let (base, table) = jobs(folder, rows);
    let farm = folder.join("farm");
    let (base, table, farm_text) = (base.to_str().unwrap(), table.to_str().unwrap(), farm.to_str().unwrap());
    let args =
        [&["farm", "export", "--for", scheduler, "-o", farm_text, "--base", base, table], more].concat();
    succeeds(&args);
    farm
}

/// The shots' videos, by the whole job in one go, without a farm.
fn alone(farm: &Path, names: &[&str], folder: &Path) -> Vec<Vec<u8>> {
    std::fs::create_dir_all(folder).unwrap();
    let each = |name: &&str| {
        let job = farm.join("shots").join(name).join("job.toml");
        let text = std::fs::read_to_string(&job).unwrap();
        let mut table: Value = toml_to_json(&text);
        let output = table["output"].as_object_mut().unwrap();
        output.remove("shared");
        output.insert("work".to_owned(), folder.join(name).to_str().unwrap().into());
        output.insert("video".to_owned(), folder.join(format!("{name}.mp4")).to_str().unwrap().into());
        let own = folder.join(format!("{name}.json"));
        std::fs::write(&own, table.to_string()).unwrap();
        succeeds(&["animate", "--progress", "none", "--renderer", "cpu", "--job", own.to_str().unwrap()]);
        std::fs::read(folder.join(format!("{name}.mp4"))).unwrap()
    };
    names.iter().map(each).collect()
}

/// The command's own reader of job files, and its writer, turn TOML into JSON.
fn toml_to_json(text: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a.toml"), dir.path().join("a.json"));
    std::fs::write(&from, text).unwrap();
    succeeds(&["animate", "--job", from.to_str().unwrap(), "--write-job", to.to_str().unwrap()]);
    serde_json::from_slice(&std::fs::read(to).unwrap()).unwrap()
}

fn status(farm: &Path) -> Value {
    serde_json::from_str(&succeeds(&["farm", "status", "--json", farm.to_str().unwrap()])).unwrap()
}

/// The sum of a number over all cells of a group.
fn sum(status: &Value, group: &str, what: &str) -> u64 {
    let shots = status["shots"].as_array().unwrap().iter();
    let cells = shots.flat_map(|shot| shot["tasks"].as_array().unwrap());
    cells.filter(|cell| cell["group"] == group).map(|cell| cell[what].as_u64().unwrap()).sum()
}

#[cfg(unix)]
fn signal(pid: u64, name: &str) {
    // A process that is gone already is no failure.
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Waits until a task that was started says that it is at work.
#[cfg(unix)]
fn at_work(farm: &Path, event: &Value) {
    let (shot, task) = (event["shot"].as_str().unwrap(), event["task"].as_str().unwrap());
    let record = farm.join("shots").join(shot).join("tasks").join(format!("{task}.json"));
    let pid = format!("\"pid\": {},", event["pid"]);
    for _ in 0..2000 {
        if std::fs::read_to_string(&record).is_ok_and(|text| text.contains(&pid)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{shot} {task} doesn't begin");
}

const ROWS: &str = "name,seed,prompt\none,1,a dancer\ntwo,2,a dancer\n";

#[cfg(unix)]
#[test]
fn killed_stopped_and_run_again_a_farm_gives_the_bytes_of_single_runs() {
    let dir = tempfile::tempdir().unwrap();
    let farm = export(dir.path(), ROWS, "local", &[]);
    let names = ["one", "two"];
    let expected = alone(&farm, &names, &dir.path().join("alone"));
    let args = ["--progress", "json", "farm", "run", farm.to_str().unwrap(), "--at-once", "2"];

    let mut child = anicrafter(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Each is tried until it hits: a task may have been faster.
    let (mut killed, mut stopped, mut told) = (0, 0, false);
    for line in lines {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let is = |kind: &str, task: &str| event["event"] == kind && event["task"] == task;
        if is("started", "condition") && killed == 0 {
            at_work(&farm, &event);
            signal(event["pid"].as_u64().unwrap(), "KILL");
        } else if is("started", "denoise") && stopped == 0 {
            at_work(&farm, &event);
            signal(event["pid"].as_u64().unwrap(), "TERM");
        } else if is("started", "decode") && !std::mem::replace(&mut told, true) {
            // Who runs the farm is stopped, too: what runs is saved. Once: a second signal would end it at once.
            signal(u64::from(child.id()), "TERM");
        }
        killed += usize::from(is("ended", "condition") && event["again"] == true);
        stopped += usize::from(is("ended", "denoise") && event["again"] == true);
    }
    assert_eq!(child.wait().unwrap().code(), Some(75), "again");
    assert!(killed > 0 && stopped > 0, "{killed} {stopped}");
    assert!(status(&farm)["shots"].as_array().unwrap().iter().any(|shot| shot["done"] == false));

    succeeds(&["farm", "run", farm.to_str().unwrap(), "--at-once", "2"]);
    for (name, expected) in names.iter().zip(&expected) {
        let made = std::fs::read(farm.join("videos").join(format!("{name}.mp4"))).unwrap();
        assert!(made == *expected, "{name} has other bytes");
    }
    let status = status(&farm);
    assert!(status["machine_hours"].as_f64().unwrap() > 0.0);
    assert!(sum(&status, "condition", "attempts") > 2 && sum(&status, "denoise", "attempts") > 2);
    // One prompt, one avatar before one background: what shots share is made once.
    assert_eq!((sum(&status, "text", "made"), sum(&status, "composite", "made")), (1, 1));
    let shared = std::fs::read_dir(farm.join("shared")).unwrap().map(|e| e.unwrap().file_name());
    let shared: Vec<String> = shared.map(|name| name.to_string_lossy().into_owned()).collect();
    let count =
        |stage: &str| shared.iter().filter(|name| name[3..].starts_with(&format!("-{stage}-"))).count();
    // Two windows each, which differ by the shots' noise only.
    assert_eq!((count("condition"), count("denoise")), (2, 4), "{shared:?}");
    assert!(shared.iter().all(|name| !name.ends_with(".part") && !name.ends_with(".lease")), "{shared:?}");

    // A second start has nothing to do.
    let again = succeeds(&["--progress", "json", "farm", "run", farm.to_str().unwrap()]);
    assert_eq!(again.lines().count(), 1, "{again}");
    assert_eq!(succeeds(&["farm", "todo", farm.to_str().unwrap()]).trim(), "");

    // The videos and their page.
    let gathered = dir.path().join("gathered");
    succeeds(&["farm", "collect", farm.to_str().unwrap(), "-o", gathered.to_str().unwrap()]);
    let page = std::fs::read_to_string(gathered.join("index.html")).unwrap();
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 6);
    assert!(page.contains("href=\"two.mp4\"") && page.contains("2 of 2 shots"), "{}", &page[..600]);
    assert!(!page.contains("http"), "the page needs no network");
    assert!(std::fs::read(gathered.join("two.mp4")).unwrap() == expected[1]);
}

#[test]
fn two_machines_on_one_task_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let farm = export(dir.path(), "name,seed\none,1\ntwo,2\n", "local", &[]);
    let task = |shot: &str, task: &str, patience: &str| {
        let farm = farm.to_str().unwrap();
        anicrafter(&["farm", "task", farm, "--shot", shot, "--task", task, "--patience", patience])
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    // Three at the same task, and two of another shot whose stage is the same.
    let mut all: Vec<_> =
        ["one", "one", "one", "two", "two"].map(|shot| task(shot, "composite", "60")).into();
    for child in &mut all {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let now = status(&farm);
    assert_eq!((sum(&now, "composite", "attempts"), sum(&now, "composite", "made")), (5, 1));
    // Who has no patience is told to come again; who needs what isn't there is told so at once.
    let slow = farm.join("shots/one/tasks/text.lease");
    std::fs::write(&slow, "{\"host\":\"elsewhere\",\"pid\":1,\"boot\":\"x\",\"number\":0}").unwrap();
    assert_eq!(task("one", "text", "0").wait().unwrap().code(), Some(75));
    let farm_text = farm.to_str().unwrap();
    let output = run(&["farm", "task", farm_text, "--shot", "two", "--task", "denoise"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--only text"), "{}", text(&output.stderr));
    let table = succeeds(&["farm", "status", farm_text]);
    assert!(table.contains("failed") && table.contains("two denoise"), "{table}");
    assert_eq!(succeeds(&["farm", "todo", farm_text, "two"]).trim(), "1");
    assert_eq!(run(&["farm", "task", farm_text, "--shot", "9", "--task", "text"]).status.code(), Some(1));
    assert_eq!(run(&["farm", "task", farm_text, "--shot", "0", "--task", "nothing"]).status.code(), Some(2));
}

#[test]
fn schedulers_get_what_they_take() {
    let dir = tempfile::tempdir().unwrap();
    let more = [
        "--gpu",
        "--cores=4",
        "--cores=denoise=2",
        "--hours=denoise=3",
        "--memory=text=12",
        "--at-once=5",
        "--sbatch=--partition=batch",
        "--sbatch=denoise:--partition=gpu",
        "--program=/opt/ani crafter's/bin",
    ];
    let farm = export(dir.path(), ROWS, "slurm", &more);
    let script = |name: &str| std::fs::read_to_string(farm.join("slurm").join(name)).unwrap();
    let denoise = script("1-denoise.sbatch");
    for line in [
        "--gres=gpu:1",
        "--cpus-per-task=2",
        "--time=180\n",
        "--requeue",
        "--signal=B:TERM@",
        "--partition=gpu",
    ] {
        assert!(denoise.contains(&format!("#SBATCH {line}")), "{line}: {denoise}");
    }
    assert!(script("1-text.sbatch").contains("--mem=12288M"));
    assert!(!script("1-composite.sbatch").contains("--gres"));
    let submit = script("submit.sh");
    assert!(submit.contains("--dependency=\"aftercorr:$job_text,aftercorr:$job_condition\""), "{submit}");
    assert!(submit.contains("\"$shots%5\""), "{submit}");
    is_a_script(&farm.join("slurm/submit.sh"));
    is_a_script(&farm.join("slurm/1-denoise.sbatch"));
    assert!(denoise.contains(r"program='/opt/ani crafter'\''s/bin'"));

    // The same folder for another scheduler; shots that end with the condition video have tasks of their own.
    let rows = "name,until\none,\ntwo,composite\n";
    let farm = export(dir.path(), rows, "openjd", &[]);
    let template: Value = serde_json::from_slice(&std::fs::read(farm.join("openjd.json")).unwrap()).unwrap();
    let names: Vec<&str> =
        template["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["composite-1", "text-1", "condition-1", "denoise-1", "decode-1", "finish-1", "composite-2"]
    );
    assert_eq!(template["steps"][3]["dependencies"][1]["dependsOn"], "condition-1");
}

/// Fails for what a shell can't read; passes where there is no shell.
fn is_a_script(path: &Path) {
    if let Ok(checked) = Command::new("bash").arg("-n").arg(path).output() {
        assert!(checked.status.success(), "{}: {}", path.display(), text(&checked.stderr));
    }
}

/// On a real Slurm, where it is asked for: `ANICRAFTER_SLURM=1`, as root, with slurmctld, slurmd and munge.
#[cfg(unix)]
#[test]
fn slurm_gives_the_bytes_of_a_local_run() {
    if std::env::var_os("ANICRAFTER_SLURM").is_none() {
        println!("skipped: ANICRAFTER_SLURM isn't set");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../farm/tests/slurm.sh");
    let output = Command::new("bash").arg(script).arg(env!("CARGO_BIN_EXE_anicrafter")).output().unwrap();
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn what_cannot_run_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (base, table) = jobs(dir.path(), "name,avatar,output\na,,a.mp4\nb,none.ply,b.mp4\n");
    let farm = dir.path().join("farm");
    let (base, farm_text) = (base.to_str().unwrap(), farm.to_str().unwrap());
    let export = |table: &Path, more: &[&str]| {
        let args =
            ["farm", "export", "--for", "local", "-o", farm_text, "--base", base, table.to_str().unwrap()];
        fails(&[&args, more].concat())
    };
    let error = export(&table, &[]);
    assert!(error.contains("shot b") && error.contains("none.ply"), "{error}");
    std::fs::write(&table, "name,output\na,x.mp4\nb,./x.mp4\n").unwrap();
    let error = export(&table, &[]);
    assert!(error.contains("row 2") && error.contains("row 3") && error.contains("output"), "{error}");
    std::fs::write(&table, "name,sede\na,1\n").unwrap();
    let error = export(&table, &[]);
    assert!(error.contains("column sede") && error.contains("sampling.seed"), "{error}");
    std::fs::write(&table, "name,seed\na,1\n").unwrap();
    for unread in ["--sbatch=--partition=x", "--reserve=2", "--gpu", "--restarts=2"] {
        let name = unread.split('=').next().unwrap();
        assert!(export(&table, &[unread]).contains(name), "{unread}");
    }
    assert!(!farm.exists());
    let error = fails(&["farm", "export", "--for", "local", "-o", "s3://bucket/farm", base]);
    assert!(error.contains("--cache"), "{error}");
    std::fs::create_dir(&farm).unwrap();
    std::fs::write(farm.join("thesis.txt"), "x").unwrap();
    assert!(export(&table, &[]).contains("isn't empty"));
    assert!(fails(&["farm", "status", farm_text]).contains("farm.json"));
}

/// The object store is a folder here: the same calls as for S3, without a network.
#[cfg(feature = "cloud")]
mod in_a_store {
    use super::*;

    const TASKS: [&str; 6] = ["composite", "text", "condition", "denoise", "decode", "finish"];

    struct Store {
        dir: tempfile::TempDir,
        address: String,
    }

    impl Store {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("store")).unwrap();
            let address = format!("file://{}", dir.path().join("store/farm").display());
            Self { dir, address }
        }

        fn cache(&self, node: &str) -> String {
            self.dir.path().join(node).display().to_string()
        }

        fn export(&self) {
            let (base, table) = jobs(self.dir.path(), ROWS);
            let (base, table) = (base.to_str().unwrap(), table.to_str().unwrap());
            let to = ["-o", &self.address, "--cache", &self.cache("maker"), "--base", base, table];
            succeeds(&[&["farm", "export", "--for", "local"], &to[..]].concat());
        }

        fn task(&self, node: &str, shot: &str, task: &str) -> Output {
            let cache = self.cache(node);
            let of = ["--cache", &cache, "--shot", shot, "--task", task, "--patience", "0"];
            run(&[&["--progress", "none", "farm", "task", &self.address], &of[..]].concat())
        }

        fn runs(&self, node: &str, shot: &str, task: &str) {
            let output = self.task(node, shot, task);
            assert!(output.status.success(), "{node} {shot} {task}: {}", text(&output.stderr));
        }

        /// All objects with the times at which they were written.
        fn objects(&self, prefix: &str) -> Vec<(PathBuf, std::time::SystemTime)> {
            let mut found = Vec::new();
            let mut open = vec![self.dir.path().join("store/farm").join(prefix)];
            while let Some(folder) = open.pop() {
                for entry in std::fs::read_dir(folder).into_iter().flatten() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        open.push(path);
                    } else {
                        let written = path.metadata().unwrap().modified().unwrap();
                        found.push((path, written));
                    }
                }
            }
            found.sort();
            found
        }
    }

    #[test]
    fn nodes_without_a_shared_folder_make_the_bytes_of_single_runs() {
        let store = Store::new();
        store.export();
        let before = [store.objects("inputs"), store.objects("shared")];
        assert!(before[0].len() > 4 && before[1].is_empty());
        // Each task on another node than the one before it.
        for (n, shot) in ["one", "two"].iter().enumerate() {
            for (m, task) in TASKS.iter().enumerate() {
                store.runs(["left", "right"][(n + m) % 2], shot, task);
            }
        }
        let cache = store.cache("looker");
        let status = succeeds(&["farm", "status", "--json", &store.address, "--cache", &cache]);
        let status: Value = serde_json::from_str(&status).unwrap();
        assert!(status["shots"].as_array().unwrap().iter().all(|shot| shot["done"] == true), "{status}");
        // Two seeds of one prompt and one scene share everything up to the transformer.
        assert_eq!((sum(&status, "text", "made"), sum(&status, "text", "found")), (1, 1), "{status}");
        let videos = store.dir.path().join("videos");
        succeeds(&["farm", "collect", &store.address, "--cache", &cache, "-o", videos.to_str().unwrap()]);
        let folder = tempfile::tempdir().unwrap();
        let farm = export(folder.path(), ROWS, "local", &[]);
        let wanted = alone(&farm, &["one", "two"], &folder.path().join("alone"));
        for (name, wanted) in ["one", "two"].iter().zip(wanted) {
            assert!(std::fs::read(videos.join(format!("{name}.mp4"))).unwrap() == wanted, "{name}");
        }
        // Again, by a node that has nothing: nothing is uploaded twice.
        let kept = ["inputs", "shared", "videos"].map(|prefix| store.objects(prefix));
        store.export();
        TASKS.iter().for_each(|task| store.runs("new", "one", task));
        assert_eq!(["inputs", "shared", "videos"].map(|prefix| store.objects(prefix)), kept);
    }

    #[test]
    fn what_isnt_whole_or_is_damaged_is_no_result() {
        let store = Store::new();
        store.export();
        store.runs("left", "one", "composite");
        let whole = |objects: &[(PathBuf, std::time::SystemTime)]| -> Vec<PathBuf> {
            objects.iter().map(|(path, _)| path.clone()).filter(|path| path.ends_with("whole.json")).collect()
        };
        // As a node leaves it that was killed before the end: another one makes it again.
        let [marker] = &whole(&store.objects("shared"))[..] else { panic!("one result") };
        std::fs::remove_file(marker).unwrap();
        store.runs("right", "one", "text");
        let output = store.task("right", "one", "condition");
        assert!(text(&output.stderr).contains("composite"), "{}", text(&output.stderr));
        // The node that has it keeps it once more.
        std::fs::remove_file(
            store
                .objects("shots")
                .iter()
                .map(|(path, _)| path)
                .find(|p| p.ends_with("composite.json"))
                .unwrap(),
        )
        .unwrap();
        store.runs("left", "one", "composite");
        store.runs("right", "one", "condition");
        // A changed byte is found, by name. What the first attempt left is there too.
        let all = store.objects("shared").into_iter().map(|(path, _)| path);
        for frames in all.filter(|path| path.ends_with("blend.rgb")) {
            let mut bytes = std::fs::read(&frames).unwrap();
            bytes[100] ^= 1;
            std::fs::write(&frames, bytes).unwrap();
        }
        let output = store.task("third", "one", "denoise");
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("blend.rgb") && said.contains("hash"), "{said}");
    }

    #[test]
    fn a_task_that_another_node_has_waits_its_turn() {
        let store = Store::new();
        store.export();
        let lease = store.dir.path().join("store/farm/shots/one/tasks/text.lease");
        std::fs::create_dir_all(lease.parent().unwrap()).unwrap();
        // What counts is when the store has it from: the other node's clock may be wrong.
        let seen = |ago: u64| {
            std::fs::write(&lease, r#"{"host":"far","pid":7,"seen_s":0}"#).unwrap();
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(ago);
            std::fs::File::options().append(true).open(&lease).unwrap().set_modified(then).unwrap();
        };
        seen(10);
        let output = store.task("left", "one", "text");
        assert_eq!(output.status.code(), Some(75));
        assert!(text(&output.stderr).contains("far"), "{}", text(&output.stderr));
        // Its owner is dead.
        seen(200);
        store.runs("left", "one", "text");
        assert!(!lease.exists());
    }

    #[test]
    fn slurm_needs_no_shared_folder() {
        let store = Store::new();
        let (base, table) = jobs(store.dir.path(), ROWS);
        let (base, table, cache) = (base.to_str().unwrap(), table.to_str().unwrap(), store.cache("maker"));
        let to = ["-o", &store.address, "--cache", &cache, "--base", base, table];
        let said = succeeds(
            &[&["farm", "export", "--for", "slurm", "--program", "/opt/anicrafter"], &to[..]].concat(),
        );
        let submit = Path::new(said.trim().rsplit_once("sh ").unwrap().1);
        let task = submit.with_file_name("1-denoise.sbatch");
        is_a_script(submit);
        is_a_script(&task);
        let (submit, task) =
            (std::fs::read_to_string(submit).unwrap(), std::fs::read_to_string(task).unwrap());
        let farm = format!("farm='{}'\n", store.address);
        assert!(submit.contains(&farm) && task.contains(&farm), "{submit}{task}");
        assert!(submit.contains(&format!("farm todo \"$farm\" --cache '{cache}' --chain 1")), "{submit}");
        // Machines that run tasks have nothing of the machine that exports.
        assert!(!task.contains(store.dir.path().join("maker").to_str().unwrap()), "{task}");
        assert!(task.contains("cache=${ANICRAFTER_CACHE:-/var/tmp/anicrafter}"), "{task}");
        assert!(task.contains("farm task \"$farm\" --cache \"$cache\""), "{task}");
    }

    #[test]
    fn addresses_that_lead_nowhere_are_named() {
        let store = Store::new();
        let cache = store.cache("node");
        let said = fails(&["farm", "status", &store.address, "--cache", &cache]);
        assert!(said.contains("there is no farm here"), "{said}");
        let said = fails(&["farm", "status", "ftp://somewhere/farm", "--cache", &cache]);
        assert!(said.contains("ftp://somewhere/farm"), "{said}");
        assert!(fails(&["farm", "status", &store.address]).contains("--cache"));
        assert!(fails(&["farm", "status", "folder", "--cache", &cache]).contains("object stores"));
    }
}

#[cfg(not(feature = "cloud"))]
#[test]
fn object_stores_are_a_feature() {
    let said = fails(&["farm", "status", "s3://bucket/farm", "--cache", "here"]);
    assert!(said.contains("--features cloud"), "{said}");
}
