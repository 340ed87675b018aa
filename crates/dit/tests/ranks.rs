//! Ranks give what one rank gives: the trained small model, the goldens' transformer, made-up ones; as threads, and as processes
//! under `mpirun`.
//!
//! `cargo test -p anicrafter-dit --features mpi --test ranks`; without an `mpirun` those tests say that they were skipped, unless
//! `ANICRAFTER_REQUIRE_MPI=1` makes that a failure.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests that say what they measured, helpers included"
)]

use anicrafter_dit::cost::all_to_all_bytes;
use anicrafter_dit::{
    Branch, Conditions, Config, Error, Observer, Result, Streamed, Streaming, Team, WanModel,
};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use nn::{Probe, QuantizeOnLoad, RandomWeights, Recording, WeightSource, Weights};
use ranks::{Collectives, Threads};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(root().join(path), &Device::Cpu).unwrap()
}

fn json(path: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(root().join(path)).unwrap()).unwrap()
}

/// A model and what it is given: two branches.
struct Case {
    name: &'static str,
    model: WanModel,
    branches: [Branch; 2],
    x: Tensor,
    timestep: f64,
}

impl Case {
    /// The demo's trained transformer, on what its trainer computed: 24 tokens, 8 heads.
    fn trained() -> Self {
        let config: Config =
            serde_json::from_value(json("assets/demo/weights/config.json")["dit"].take()).unwrap();
        let mut tensors = read("assets/demo/weights/dit-1/dit-00001-of-00002.safetensors");
        tensors.extend(read("assets/demo/weights/dit-2/dit-00002-of-00002.safetensors"));
        let weights = Weights::from_tensors(tensors, DType::F32, &Device::Cpu);
        let model = WanModel::load(&config, &weights).unwrap();
        let given = read("fixtures/trained/trained.safetensors");
        let positive = Conditions {
            context: &given["context"],
            clip_feature: Some(&given["clip_feature"]),
            y: Some(&given["y"]),
            add_condition: Some(&given["tokens"]),
        };
        let branches = both(&model, &positive);
        let timestep = f64::from(given["timestep"].to_vec1::<f32>().unwrap()[0]);
        Self { name: "trained", model, branches, x: given["x"].clone(), timestep }
    }

    /// The goldens' transformer: 24 tokens, 4 heads, text alone.
    fn golden() -> Self {
        let config: Config =
            serde_json::from_value(json("fixtures/goldens/dit_t2v/case.json")["config"].take()).unwrap();
        let weights = read("fixtures/goldens/dit_t2v/weights.safetensors");
        let model = WanModel::load(&config, &Weights::from_tensors(weights, DType::F32, &Device::Cpu));
        let (model, given) = (model.unwrap(), read("fixtures/goldens/dit_t2v/inputs.safetensors"));
        let positive = Conditions {
            context: &given["b.context"],
            clip_feature: None,
            y: None,
            add_condition: Some(&given["b.add_condition"]),
        };
        let branches = both(&model, &positive);
        Self { name: "golden", model, branches, x: given["b.x"].clone(), timestep: 12.345 }
    }

    fn both() -> [Self; 2] {
        [Self::trained(), Self::golden()]
    }

    /// A made-up model: 4 heads, a latent of `[t, h, w]`.
    fn made_up(model: impl Fn(&Config) -> WanModel, [t, h, w]: [usize; 3]) -> Self {
        let config = config();
        let model = model(&config);
        let (context, image) =
            (random("context", &[1, 12, config.text_dim]), random("image", &[1, 5, config.image_dim]));
        let (y, condition) =
            (random("y", &[1, 20, t, h, w]), random("tokens", &[1, t * h * w / 4, config.dim]));
        let positive = Conditions {
            context: &context,
            clip_feature: Some(&image),
            y: Some(&y),
            add_condition: Some(&condition),
        };
        let branches = both(&model, &positive);
        Self { name: "made up", model, branches, x: random("x", &[1, 16, t, h, w]), timestep: 700.0 }
    }

    fn alone(&self) -> Vec<Tensor> {
        let branches = self.branches.each_ref();
        self.model.forward_all(&self.x, self.timestep, &branches, &mut ()).unwrap()
    }

    /// What a rank gets when all branches' tokens are shared by all ranks.
    fn shared(&self, ranks: &dyn Collectives) -> Result<Vec<Tensor>> {
        let branches = self.branches.each_ref();
        self.model.on_ranks(ranks)?.forward_all(&self.x, self.timestep, &branches, &mut ())
    }

    /// What a rank gets when each branch has a group.
    fn in_groups(&self, ranks: &dyn Collectives) -> Result<Vec<Tensor>> {
        let team = Team::new(&self.model, ranks, 2)?;
        team.forward_all(&self.x, self.timestep, &self.branches.each_ref(), &mut ())
    }
}

/// A positive branch, and a negative one: other words, no condition tokens.
fn both(model: &WanModel, positive: &Conditions<'_>) -> [Branch; 2] {
    let other = positive.context.affine(-0.5, 0.1).unwrap();
    let negative = Conditions { context: &other, add_condition: None, ..*positive };
    [model.branch(positive).unwrap(), model.branch(&negative).unwrap()]
}

fn config() -> Config {
    Config {
        dim: 96,
        ffn_dim: 128,
        num_heads: 4,
        num_layers: 2,
        text_dim: 32,
        freq_dim: 16,
        image_dim: 24,
        image_tokens: 5,
        text_len: 12,
        ..Config::i2v_14b_720p()
    }
}

fn dense(dtype: DType) -> Weights {
    Weights::new(Arc::new(RandomWeights::default()), dtype, &Device::Cpu)
}

fn resident(config: &Config) -> WanModel {
    WanModel::load(config, &dense(DType::F32)).unwrap()
}

fn random(name: &str, shape: &[usize]) -> Tensor {
    let tensor = RandomWeights { seed: 5 }.dense(name, &shape.into(), DType::F32, &Device::Cpu).unwrap();
    (tensor * (shape[1..].iter().product::<usize>() as f64).sqrt()).unwrap()
}

/// Largest difference over the largest value.
fn error(got: &Tensor, want: &Tensor) -> f32 {
    assert_eq!(got.dims(), want.dims());
    let largest = |t: Tensor| t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    largest((got - want).unwrap()) / largest(want.clone())
}

/// Every rank has every branch's result.
fn check(case: &Case, what: &str, ranks: &[Vec<Tensor>], most: f32) {
    let alone = case.alone();
    for (rank, got) in ranks.iter().enumerate() {
        assert_eq!(got.len(), alone.len());
        for (branch, (got, want)) in got.iter().zip(&alone).enumerate() {
            let error = error(got, want);
            let name = format!("{}, {what}, rank {rank} of {}, branch {branch}", case.name, ranks.len());
            println!("{name}: {error:.1e}");
            assert!(error <= most, "{name}: {error}");
        }
    }
}

#[test]
fn ranks_2_and_4_as_threads_give_the_single_ranks_result() {
    for case in Case::both() {
        for size in [2, 4] {
            let got = Threads::run(size, |ranks| case.shared(ranks)).unwrap();
            check(&case, "shared", &got, 1e-6);
        }
    }
}

#[test]
fn ranks_in_groups_for_the_branches_give_the_single_ranks_result() {
    for case in Case::both() {
        for size in [2, 4, 8] {
            let got = Threads::run(size, |ranks| case.in_groups(ranks)).unwrap();
            check(&case, "groups", &got, 1e-6);
        }
    }
}

#[test]
fn ranks_with_odd_numbers_of_tokens_give_the_single_ranks_result() {
    // 9, 15 and 1 tokens on 2 and 4 ranks; the last ranks have padding, or nothing else.
    for latent in [[1, 6, 6], [3, 2, 10], [1, 2, 2]] {
        let case = Case::made_up(resident, latent);
        for size in [2, 4] {
            check(&case, "odd", &Threads::run(size, |ranks| case.shared(ranks)).unwrap(), 1e-6);
        }
        check(&case, "odd, groups", &Threads::run(4, |ranks| case.in_groups(ranks)).unwrap(), 1e-6);
    }
}

#[test]
fn ranks_in_an_odd_number_share_both_branches() {
    let config = Config { dim: 288, num_heads: 6, ..config() };
    let model = resident(&config);
    let context = random("context", &[1, 12, config.text_dim]);
    let image = random("image", &[1, 5, config.image_dim]);
    let y = random("y", &[1, 20, 1, 4, 10]);
    let positive =
        Conditions { context: &context, clip_feature: Some(&image), y: Some(&y), add_condition: None };
    let branches = both(&model, &positive);
    let case = Case { name: "six heads", model, branches, x: random("x", &[1, 16, 1, 4, 10]), timestep: 3.0 };
    check(&case, "shared by 3", &Threads::run(3, |ranks| case.in_groups(ranks)).unwrap(), 1e-6);
    check(&case, "2 groups of 3", &Threads::run(6, |ranks| case.in_groups(ranks)).unwrap(), 1e-6);
}

#[test]
fn ranks_take_streamed_and_quantised_blocks_and_chunks_of_tokens() {
    let streaming = Streaming { in_flight: 2, keep: 1 };
    let streamed = |config: &Config| {
        let blocks = Streamed::new(config, &dense(DType::F32).pp("blocks"), streaming).unwrap();
        WanModel::with_blocks(config, &dense(DType::F32), Box::new(blocks)).unwrap().with_rows(3)
    };
    let quantised = |config: &Config| {
        let source = QuantizeOnLoad::new(Arc::new(RandomWeights::default()), GgmlDType::Q8_0);
        let blocks = Weights::new(Arc::new(source), DType::F32, &Device::Cpu).pp("blocks");
        let blocks = Streamed::new(config, &blocks, streaming).unwrap();
        WanModel::with_blocks(config, &dense(DType::F32), Box::new(blocks)).unwrap()
    };
    let latent = [2, 6, 6];
    for case in [Case::made_up(streamed, latent), Case::made_up(quantised, latent)] {
        check(&case, "shared", &Threads::run(4, |ranks| case.shared(ranks)).unwrap(), 1e-6);
        check(&case, "groups", &Threads::run(4, |ranks| case.in_groups(ranks)).unwrap(), 1e-6);
    }
}

#[test]
fn ranks_with_bf16_weights_stay_within_their_rounding() {
    let half = |config: &Config| WanModel::load(config, &dense(DType::BF16)).unwrap();
    let case = Case::made_up(half, [2, 6, 6]);
    check(&case, "bf16", &Threads::run(4, |ranks| case.shared(ranks)).unwrap(), 1e-2);
}

#[test]
fn ranks_that_do_not_divide_the_heads_are_refused_by_name() {
    let case = Case::golden();
    let error = Threads::run(3, |ranks| case.shared(ranks)).unwrap_err();
    assert!(matches!(error, Error::Heads { ranks: 3, heads: 4 }), "{error}");
    assert_eq!(error.to_string(), "3 ranks can't share 4 heads: as many as divide them can, 1, 2, 4");
    let error = Threads::run(6, |ranks| case.in_groups(ranks)).unwrap_err();
    assert!(matches!(error, Error::Heads { ranks: 3, heads: 4 }), "{error}");
}

#[test]
fn ranks_send_as_many_bytes_as_the_model_of_the_cost_says() {
    let case = Case::trained();
    let config = case.model.config().clone();
    for (size, tokens) in [(2, 24), (4, 24)] {
        let sent = Threads::run(size, |ranks| {
            case.shared(ranks)?;
            Ok::<_, Error>(ranks.traffic())
        });
        let all_to_all = all_to_all_bytes(&config, tokens, size);
        let patch = config.patch_size.iter().product::<usize>() * config.out_dim;
        let gather = (4 * tokens / size * patch * (size - 1)) as u64;
        for traffic in sent.unwrap() {
            assert_eq!(traffic.sent, 2 * (4 * config.num_layers as u64 * all_to_all + gather));
            assert_eq!(traffic.calls, 2 * (4 * config.num_layers as u64 + 1));
        }
    }
}

/// Stops, fails or panics at a block.
struct At<F: FnMut(usize) -> ControlFlow<()>>(F);

impl<F: FnMut(usize) -> ControlFlow<()>> Observer for At<F> {
    fn block(&mut self, block: usize, _: usize) -> ControlFlow<()> {
        (self.0)(block)
    }
}

#[test]
fn ranks_stop_when_one_of_them_fails_and_name_it() {
    let case = Case::trained();
    let branches = case.branches.each_ref();
    let start = Instant::now();
    let panic =
        |block: usize| if block == 3 { panic!("the card fell out") } else { ControlFlow::Continue(()) };
    let stop = |block: usize| if block == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    type Do<'a> = &'a (dyn Fn(usize) -> ControlFlow<()> + Sync);
    for (what, act) in
        [("panicked: the card fell out", &panic as Do<'_>), ("cancelled before block 3", &stop)]
    {
        let heard = std::sync::Mutex::new(Vec::new());
        let failed = Threads::run(4, |ranks| {
            let mut observer =
                At(|block| if ranks.rank() == 2 { act(block) } else { ControlFlow::Continue(()) });
            let made = Team::new(&case.model, ranks, 2)
                .and_then(|team| team.forward_all(&case.x, case.timestep, &branches, &mut observer));
            heard.lock().unwrap().push((ranks.rank(), made.as_ref().err().map(ToString::to_string)));
            made
        });
        assert!(failed.is_err());
        let heard = heard.into_inner().unwrap();
        for (rank, message) in heard.iter().filter(|(rank, _)| *rank != 2) {
            let message = message.as_deref().unwrap_or("nothing");
            assert!(
                message.starts_with("rank 2 failed") && message.contains(what),
                "{rank} heard {message:?}"
            );
        }
        assert!(heard.iter().filter(|(rank, _)| *rank != 2).count() == 3);
    }
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn ranks_refuse_probes_and_others_tokens() {
    struct Watching(Recording);
    impl Observer for Watching {
        fn probe(&mut self, _: usize) -> Option<&mut dyn Probe> {
            Some(&mut self.0)
        }
    }
    let case = Case::golden();
    let watched = Threads::run(2, |ranks| {
        let mut observer = Watching(Recording::default());
        let hands = case.model.on_ranks(ranks)?;
        hands.forward_all(&case.x, case.timestep, &case.branches.each_ref(), &mut observer)
    });
    assert!(matches!(watched, Err(Error::Watched { ranks: 2 })), "{watched:?}");
    // A rank's tokens are its own: another can't go on with them.
    let mixed = Threads::run(2, |ranks| {
        let embedded = case.model.embed(&case.x, case.timestep, &case.branches[0])?;
        case.model.on_ranks(ranks)?.run_blocks(&[&embedded], &mut ())
    });
    assert!(matches!(mixed, Err(Error::OtherRank { embedded: (0, 1), .. })), "{mixed:?}");
}

#[test]
fn ranks_share_one_branch_when_the_other_rests() {
    let case = Case::trained();
    let alone = case.alone();
    for fixed in [false, true] {
        let got = Threads::run(4, |ranks| {
            let team = Team::new(&case.model, ranks, 2)?;
            let turn = team.turn(1, fixed)?;
            let branches = case.branches.each_ref();
            let own = turn.hands.forward_all(&case.x, case.timestep, &branches[turn.own.clone()], &mut ())?;
            assert_eq!(own.len(), usize::from(!fixed || ranks.rank() < 2));
            turn.all(own, &case.x)
        });
        for got in got.unwrap() {
            assert!(got.len() == 1 && error(&got[0], &alone[0]) < 1e-6);
        }
    }
}

/// Processes under `mpirun`, each of which is this program again.
#[cfg(feature = "mpi")]
mod processes {
    use super::*;
    use std::io::Write;
    use std::process::Command;

    /// What a process of the launcher is to do.
    const ROLE: &str = "ANICRAFTER_TEST_ROLE";

    /// Runs `one_process` below: (did all end well, all that they said); `None` where there is no `mpirun`.
    fn mpirun(size: usize, role: &str) -> Option<(bool, String)> {
        if !Command::new("mpirun").arg("--version").output().is_ok_and(|out| out.status.success()) {
            let required = std::env::var_os("ANICRAFTER_REQUIRE_MPI").is_some_and(|value| value == "1");
            assert!(!required, "mpirun isn't on the PATH");
            println!("skipped: mpirun isn't on the PATH");
            return None;
        }
        let mut command = Command::new("mpirun");
        command.args(["--oversubscribe", "--allow-run-as-root", "-n", &size.to_string()]);
        command.arg(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "processes::one_process",
            "--ignored",
            "--nocapture",
            "--test-threads",
            "1",
        ]);
        let start = Instant::now();
        let output = command.env(ROLE, role).env("RAYON_NUM_THREADS", "1").output().unwrap();
        assert!(start.elapsed() < Duration::from_secs(30), "{role}: {:?}", start.elapsed());
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        println!("{size} processes, {role}:");
        said.lines().filter(|line| line.contains("rank ")).for_each(|line| println!("  {line}"));
        Some((output.status.success(), said))
    }

    #[test]
    fn ranks_2_and_4_under_mpirun_give_the_single_ranks_result() {
        for size in [2, 4] {
            if let Some((success, said)) = mpirun(size, "compare") {
                assert!(success && said.matches("is as near as it should be").count() == size, "{said}");
            }
        }
    }

    #[test]
    fn ranks_under_mpirun_stop_when_one_fails_and_name_it() {
        if let Some((success, said)) = mpirun(4, "fail") {
            assert!(
                !success && said.matches("hears: rank 2 failed: cancelled before block 3").count() == 3,
                "{said}"
            );
        }
    }

    #[test]
    fn ranks_under_mpirun_are_ended_when_one_is_killed_and_the_launcher_names_it() {
        if let Some((success, said)) = mpirun(4, "kill") {
            assert!(!success && said.contains("process rank 2"), "{said}");
        }
    }

    #[test]
    #[ignore = "is what the launcher starts"]
    fn one_process() {
        let Ok(role) = std::env::var(ROLE) else { return };
        let ranks = ranks::Mpi::start().unwrap();
        // In one piece, since all ranks write to one pipe.
        let say = |line: String| std::io::stderr().write_all(line.as_bytes()).unwrap();
        match act(&role, &ranks) {
            Ok(worst) => say(format!("rank {}: {worst:.1e} is as near as it should be\n", ranks.rank())),
            Err(error) => {
                say(format!("rank {} hears: {error}\n", ranks.rank()));
                panic!("{error}");
            }
        }
    }

    fn act(role: &str, ranks: &dyn Collectives) -> Result<f32> {
        let mut worst = 0_f32;
        for case in Case::both() {
            if role == "compare" {
                let alone = case.alone();
                for got in [case.shared(ranks)?, case.in_groups(ranks)?] {
                    worst =
                        got.iter().zip(&alone).fold(worst, |worst, (got, want)| worst.max(error(got, want)));
                }
                assert!(worst <= 1e-6, "rank {}: {worst}", ranks.rank());
                continue;
            }
            let team = Team::new(&case.model, ranks, 2)?;
            let mut observer = At(|block| match (role, ranks.rank(), block) {
                ("fail", 2, 3) => ControlFlow::Break(()),
                ("kill", 2, 3) => {
                    let own = std::process::id().to_string();
                    Command::new("kill").args(["-9", &own]).status().unwrap();
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Continue(()),
            });
            team.forward_all(&case.x, case.timestep, &case.branches.each_ref(), &mut observer)?;
        }
        Ok(worst)
    }
}
