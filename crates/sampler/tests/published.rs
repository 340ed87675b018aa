//! Presets and schedules against the published classes.
//!
//! The numbers were computed with PyTorch 2.15 on the CPU in f32 from the classes named below, unchanged, driven by the model
//! `v = 0.6 x + c t/1000 − 0.2 x t/1000` (t is the timestep that the model is told) from one start.
#![expect(clippy::unwrap_used, reason = "tests, helpers included")]

use anicrafter_sampler::{FewStep, FlowMatch, Solver, SolverKind, TimestepRounding};
use candle_core::{Device, Tensor};

const START: [f32; 4] = [1.5, -0.7, 0.1, -2.0];
const C: [f32; 4] = [0.3, -1.0, 0.25, 0.8];

fn run(solver: &mut Solver) -> Vec<f32> {
    let c = Tensor::new(&C, &Device::Cpu).unwrap();
    let mut x = Tensor::new(&START, &Device::Cpu).unwrap();
    for step in 0..solver.schedule().len() {
        let t = f64::from(solver.schedule().timesteps()[step] / 1000.0);
        let velocity = ((&x * (0.6 - 0.2 * t)).unwrap() + (&c * t).unwrap()).unwrap();
        x = solver.step(step, &velocity, &x).unwrap();
    }
    x.to_vec1().unwrap()
}

#[track_caller]
fn close(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance, "{got} instead of {expected}");
    }
}

fn preset(name: &str) -> Solver {
    let preset = FewStep::named(name).unwrap();
    Solver::new(preset.solver, preset.schedule().unwrap())
}

/// `WanStepDistillScheduler` with steps 1000, 750, 500, 250 and shift 5 (ModelTC/LightX2V, commit f8aee98).
#[test]
fn lightx2v() {
    let mut solver = preset("lightx2v");
    assert_eq!(solver.schedule().sigmas(), [1.0, 0.9375, 0.833_333_3, 0.625]);
    close(solver.schedule().timesteps(), &[1000.0, 937.5, 833.333_3, 625.0], 1e-4);
    close(&run(&mut solver), &[0.711_262_76, 0.195_619_58, -0.093_669_35, -1.684_455_9], 1e-6);
    // The plain schedule at 4 steps and shift 5 is the same.
    assert_eq!(FlowMatch::new(4, 5.0).unwrap().sigmas(), solver.schedule().sigmas());
}

/// `FlowUniPCMultistepScheduler` of order 2, 4 steps, shift 5 (Wan-Video/Wan2.1, commit 9737cba).
#[test]
fn longlive() {
    let mut solver = preset("longlive");
    assert_eq!(solver.schedule().timesteps(), [999.0, 937.0, 833.0, 624.0]);
    close(&run(&mut solver), &[0.716_070_77, 0.178_351_37, -0.089_330_64, -1.669_901_9], 2e-6);
    let wan = FlowMatch::wan(4, 5.0).unwrap().rounded(TimestepRounding::Truncate);
    assert_eq!(&wan, solver.schedule());
}

/// The same class at 20 steps.
#[test]
fn wans_own_unipc() {
    let schedule = FlowMatch::wan(20, 5.0).unwrap().rounded(TimestepRounding::Truncate);
    close(&schedule.sigmas()[..3], &[0.999_799_85, 0.989_377, 0.978_048], 1e-7);
    close(&schedule.sigmas()[17..], &[0.468_456_92, 0.356_887_7, 0.208_159_7], 1e-7);
    let told: Vec<u32> = schedule.timesteps().iter().map(|&t| t as u32).collect();
    assert_eq!(
        told,
        [999, 989, 978, 965, 952, 937, 920, 902, 882, 859, 833, 803, 768, 728, 681, 624, 555, 468, 356, 208]
    );
    let out = run(&mut Solver::new(SolverKind::UniPc, schedule));
    close(&out, &[0.795_947_3, -0.052_788_2, -0.032_158_215, -1.505_896_5], 5e-6);
}

/// The list of CausVid's 14B model, stepped by Euler at noise levels of timestep / 1000.
#[test]
fn causvid() {
    let mut solver = preset("causvid");
    let list = [999.0, 934.0, 862.0, 756.0, 603.0, 410.0, 250.0, 140.0, 74.0];
    assert_eq!(solver.schedule().timesteps(), list);
    assert_eq!(FlowMatch::from_timesteps(list.to_vec()).unwrap(), *solver.schedule());
    close(&run(&mut solver), &[0.782_242_1, -0.006_809_7, -0.043_657_977, -1.542_854_5], 2e-6);
}

#[test]
fn presets_are_consistent() {
    for preset in FewStep::ALL {
        assert_eq!(FewStep::named(preset.name), Some(&preset));
        assert_eq!(preset.schedule().unwrap().len(), preset.steps());
        assert!(!preset.loras.is_empty() && !preset.source.is_empty());
        // Lists of a shifted schedule agree with the shift that they state.
        if preset.name != "causvid" && preset.name != "longlive" {
            assert_eq!(FlowMatch::new(preset.steps(), preset.shift).unwrap().sigmas(), preset.sigmas);
        }
    }
    let strengths: Vec<f64> = FewStep::named("longlive").unwrap().loras.iter().map(|l| l.strength).collect();
    assert_eq!(strengths, [1.0, 0.5]);
}

#[test]
fn impossible_lists_are_refused_by_name() {
    let error = |sigmas: &[f32]| FlowMatch::from_sigmas(sigmas.to_vec()).unwrap_err().to_string();
    assert!(error(&[]).contains("at least 1 step"));
    assert!(error(&[0.9, 0.9]).contains("must fall"));
    assert!(error(&[1.2]).contains("1.2"));
    assert!(error(&[0.5, f32::NAN]).contains("noise level 1"));
    let schedule = FlowMatch::from_sigmas(vec![0.9, 0.5]).unwrap();
    assert!(schedule.clone().with_timesteps(vec![1.0]).unwrap_err().to_string().contains("1 timesteps"));
    assert!(schedule.with_timesteps(vec![1.0, 1001.0]).unwrap_err().to_string().contains("1001"));
}
